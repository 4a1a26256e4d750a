// SPDX-License-Identifier: BSD-2-Clause
// router/config.c - statements of a router's file.
/*
 *     interface NAME mac MAC [mtu BYTES]
 *     address NAME ADDRESS/LENGTH
 *     route PREFIX via ADDRESS [dev NAME]
 *     route PREFIX dev NAME
 *     route PREFIX blackhole | unreachable | prohibit
 *     icmp-rate NUMBER | neighbours NUMBER | queue NUMBER
 *
 * PREFIX is ADDRESS/LENGTH, or, with via, "default". What a line names must
 * have been made by a line above it.
 */
#include "nf/router/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

enum {
	MTU = 1500,
	FILE_MAX = 64 << 20,
	READ_FIRST = 1 << 16,
};

/* An interface by name; -1: there is none. */
static int find_iface(const struct router *r, const char *name)
{
	for (unsigned i = 0; i < r->n_ifaces; i++)
		if (!strcmp(r->iface[i].name, name))
			return (int)i;
	return -1;
}

/* The interface that the next word names, or -EINVAL. */
static int read_iface(struct router_reading *c)
{
	char name[ROUTER_NAME];
	int err = router_read_name(c, name), i;

	if (err)
		return err;
	i = find_iface(c->r, name);
	return i >= 0 ? i :
			router_say(c, "there is no interface %s above", name);
}

static int read_interface(struct router_reading *c)
{
	struct router *r = c->r;
	struct router_iface *i = &r->iface[r->n_ifaces];
	int err;

	if (r->n_ifaces == ROUTER_IFACES)
		return router_say(c, "at most %d interfaces can be",
				  ROUTER_IFACES);
	memset(i, 0, sizeof(*i));
	i->mtu = MTU;
	err = router_read_name(c, i->name);
	if (err)
		return err;
	if (find_iface(r, i->name) >= 0)
		return router_say(c, "there is an interface %s already",
				  i->name);
	router_next(c);
	if (!router_word_is(c, "mac"))
		return router_refuse(c, "mac");
	err = router_read_mac(c, i->mac);
	if (!err && router_next(c)) {
		if (!router_word_is(c, "mtu"))
			return router_refuse(c, "mtu");
		err = router_read_number(c, ROUTER_MTU_MIN, ROUTER_MTU_MAX,
					 &i->mtu);
	}
	if (err)
		return err;
	i->link.kind = ROUTER_ON_LINK;
	i->link.iface = (uint8_t)r->n_ifaces++;
	router_link_local(i);
	return 0;
}

/* All bits of an address behind a prefix have one value. */
static bool rest_is(const struct router_ip *ip, unsigned len, unsigned bit)
{
	for (unsigned i = len; i < (ip->family == 4 ? 32u : 128u); i++)
		if ((ip->a[i / 8] >> (7 - i % 8) & 1) != bit)
			return false;
	return true;
}

/* One that a station can have. */
static bool is_host(const struct router_ip *ip, unsigned len)
{
	const uint8_t *a = ip->a;

	if (ip->family == 4)
		return a[0] && a[0] != 127 && a[0] < 224 &&
		       (len > 30 ||
			(!rest_is(ip, len, 0) && !rest_is(ip, len, 1)));
	return a[0] != 0xff && !rest_is(ip, 0, 0) &&
	       (a[15] != 1 || memcmp(a, (const uint8_t[15]){ 0 }, 15));
}

static int read_address(struct router_reading *c)
{
	int iface = read_iface(c), err;
	struct router_ip ip;
	unsigned len;

	if (iface < 0)
		return iface;
	router_next(c);
	err = router_prefix(c, &ip, &len);
	if (err)
		return err;
	if (!len || !is_host(&ip, len))
		return router_say(c, "'%s' cannot be a station's address",
				  c->word);
	if (router_is_link_local(&ip))
		return router_say(c, "link-local addresses are made of mac; "
				     "leave this out");
	err = router_address_add(c->r, (unsigned)iface, &ip, len);
	if (err == -EEXIST)
		return router_say(c, "this address or its subnet is there "
				     "already");
	if (err == -ENOSPC)
		return router_say(c, "an interface has at most %d addresses",
				  ROUTER_ADDRESSES - 1);
	return err;
}

/* Finds the interface on whose link a router lies; -1: on none. */
static int link_of(const struct router *r, const struct router_ip *ip)
{
	for (unsigned i = 0; i < r->n_ifaces; i++)
		if (!router_is_link_local(ip) &&
		    router_is_on_link(&r->iface[i], ip))
			return (int)i;
	return -1;
}

static bool is_ours(const struct router *r, const struct router_ip *ip)
{
	for (unsigned i = 0; i < r->n_ifaces; i++)
		if (router_is_own(&r->iface[i], ip))
			return true;
	return false;
}

/* Behind "via": ADDRESS [dev NAME]. family: that it must have; 0: any. */
static int read_via(struct router_reading *c, unsigned family,
		    struct router_hop *hop)
{
	int err = router_read_ip(c, &hop->via), iface;

	if (err)
		return err;
	hop->kind = ROUTER_VIA;
	if (family && hop->via.family != family)
		return router_say(c, "'%s' is not of the prefix's family",
				  c->word);
	if (!is_host(&hop->via, 32) || is_ours(c->r, &hop->via))
		return router_say(c, "'%s' cannot be another router", c->word);
	iface = link_of(c->r, &hop->via);
	if (iface < 0) {
		char word[sizeof(c->word)];
		unsigned column = c->column;

		memcpy(word, c->word, sizeof(word));
		if (!router_next(c)) {
			c->column = column;
			return router_say(c,
					  "no interface above has %s in a "
					  "subnet; add its address, or dev "
					  "NAME",
					  word);
		}
	} else if (!router_next(c)) {
		hop->iface = (uint8_t)iface;
		return 0;
	}
	if (!router_word_is(c, "dev"))
		return router_refuse(c, "dev");
	iface = read_iface(c);
	hop->iface = (uint8_t)iface;
	return iface < 0 ? iface : 0;
}

/* What follows a prefix; family 0: it is "default". */
static int read_target(struct router_reading *c, unsigned family,
		       struct router_hop *hop)
{
	int iface;

	router_next(c);
	if (router_word_is(c, "via"))
		return read_via(c, family, hop);
	if (!family)
		return router_say(c, "default needs via; write 0.0.0.0/0 or "
				     "::/0 for anything else");
	if (router_word_is(c, "blackhole"))
		hop->kind = ROUTER_BLACKHOLE;
	else if (router_word_is(c, "unreachable"))
		hop->kind = ROUTER_UNREACHABLE;
	else if (router_word_is(c, "prohibit"))
		hop->kind = ROUTER_PROHIBIT;
	else if (!router_word_is(c, "dev"))
		return router_refuse(c, "via, dev, blackhole, unreachable or "
					"prohibit");
	if (hop->kind != ROUTER_ON_LINK)
		return 0;
	iface = read_iface(c);
	hop->iface = (uint8_t)iface;
	return iface < 0 ? iface : 0;
}

static int read_route(struct router_reading *c)
{
	struct router_hop hop = { .kind = ROUTER_ON_LINK };
	struct router_ip prefix = { 0 };
	unsigned len = 0, column;
	int err = 0;

	router_next(c);
	column = c->column;
	if (!router_word_is(c, "default"))
		err = router_prefix(c, &prefix, &len);
	if (!err && prefix.family && !rest_is(&prefix, len, 0))
		err = router_say(c,
				 "'%s' has bits set behind its first %u; clear "
				 "them",
				 c->word, len);
	err = err ?: read_target(c, prefix.family, &hop);
	if (err)
		return err;
	if (!prefix.family)
		prefix.family = hop.via.family;
	err = router_route_add(c->r, &prefix, len, &hop);
	if (err != -EEXIST)
		return err;
	c->column = column;
	return router_say(c, "this prefix has a route already");
}

static int read_icmp_rate(struct router_reading *c)
{
	return router_read_number(c, 0, 1000000, &c->r->icmp_rate);
}

static int read_neighbours(struct router_reading *c)
{
	return router_read_number(c, 16, 1 << 20, &c->r->neighbours);
}

static int read_queue(struct router_reading *c)
{
	return router_read_number(c, 1, 64, &c->r->queue);
}

static const struct {
	const char *name;
	int (*read)(struct router_reading *c);
} statements[] = {
	{ "interface", read_interface },   { "address", read_address },
	{ "route", read_route },	   { "icmp-rate", read_icmp_rate },
	{ "neighbours", read_neighbours }, { "queue", read_queue },
};

static int read_statement(struct router_reading *c)
{
	const unsigned n = sizeof(statements) / sizeof(statements[0]);
	unsigned i;
	int err;

	for (i = 0; i < n && !router_word_is(c, statements[i].name); i++)
		;
	if (i == n)
		return router_refuse(c, "interface, address, route, icmp-rate, "
					"neighbours or queue");
	err = statements[i].read(c);
	if (!err && router_next(c))
		return router_say(c, "'%s' is more than this line may have",
				  c->word);
	return err;
}

int router_config_read(struct router *r, const char *name, const char *text,
		       size_t len, struct glen_error *error)
{
	struct router_reading c = { .r = r,
				    .file = name,
				    .line = text,
				    .at = text,
				    .end = text + len,
				    .number = 1,
				    .error = error };
	int err = 0;

	while (!err && c.at < c.end) {
		if (router_next(&c))
			err = read_statement(&c);
		/* To the next line, over a comment. */
		while (c.at < c.end && *c.at != '\n')
			c.at++;
		c.at += c.at < c.end;
		c.line = c.at;
		c.number += !err;
	}
	if (err == -ENOMEM)
		return error_set(error, err, "%s: out of memory", name);
	if (!err && !r->n_ifaces)
		return error_set(error, -EINVAL, "%s: has no interface", name);
	return err;
}

/* The contents of a file, which the caller frees. */
static int read_all(FILE *file, char **text, size_t *len)
{
	size_t size = READ_FIRST, n;

	*text = malloc(size);
	*len = 0;
	while (*text) {
		char *more;

		n = fread(*text + *len, 1, size - *len, file);
		*len += n;
		if (*len < size)
			return ferror(file) ? -EIO : 0;
		if (size >= FILE_MAX)
			return -EFBIG;
		size *= 2;
		more = realloc(*text, size);
		if (!more)
			return -ENOMEM;
		*text = more;
	}
	return -ENOMEM;
}

int router_config_load(struct router *r, const char *path,
		       struct glen_error *error)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t len;
	int err;

	if (!file)
		return error_set(error, -errno, "%s: %s", path,
				 error_reason(errno));
	err = read_all(file, &text, &len);
	fclose(file);
	if (err)
		error_set(error, err, "%s: %s", path, error_reason(-err));
	else
		err = router_config_read(r, path, text, len, error);
	free(text);
	return err;
}
