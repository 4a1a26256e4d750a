// SPDX-License-Identifier: BSD-2-Clause
// router/table.c - interfaces, addresses and routes of a router.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nf/router/router.h"

int router_init(struct router *r)
{
	int err;

	memset(r, 0, sizeof(*r));
	r->icmp_rate = 100;
	r->neighbours = 4096;
	r->queue = 4;
	r->n_hops = 1;
	r->sum = checksum_best();
	err = lpm_create(&r->table[0], 4);
	return err ?: lpm_create(&r->table[1], 6);
}

void router_fini(struct router *r)
{
	router_neighbours_fini(r);
	lpm_destroy(r->table[0]);
	lpm_destroy(r->table[1]);
	free(r->hop);
}

struct router_ip router_ip4(const uint8_t *bytes)
{
	struct router_ip ip = { .family = 4 };

	memcpy(ip.a, bytes, 4);
	return ip;
}

struct router_ip router_ip6(const uint8_t *bytes)
{
	struct router_ip ip = { .family = 6 };

	memcpy(ip.a, bytes, 16);
	return ip;
}

bool router_ip_equal(const struct router_ip *a, const struct router_ip *b)
{
	return a->family == b->family && !memcmp(a->a, b->a, sizeof(a->a));
}

bool router_is_link_local(const struct router_ip *ip)
{
	return ip->family == 6 && ip->a[0] == 0xfe && (ip->a[1] & 0xc0) == 0x80;
}

bool router_same_prefix(const uint8_t *a, const uint8_t *b, unsigned len)
{
	unsigned bytes = len / 8, rest = len % 8;

	return !memcmp(a, b, bytes) &&
	       (!rest || !((a[bytes] ^ b[bytes]) >> (8 - rest)));
}

bool router_is_own(const struct router_iface *i, const struct router_ip *ip)
{
	for (unsigned k = 0; k < i->n_own; k++)
		if (router_ip_equal(&i->own[k].ip, ip))
			return true;
	return false;
}

bool router_is_on_link(const struct router_iface *i, const struct router_ip *ip)
{
	for (unsigned k = 0; k < i->n_own; k++)
		if (i->own[k].ip.family == ip->family &&
		    router_same_prefix(i->own[k].ip.a, ip->a, i->own[k].len))
			return true;
	return false;
}

/* Nobody looks up while the file is read. */
static void retire(void *arg, void *memory)
{
	free(memory);
}

static unsigned hop_hash(const struct router_hop *hop)
{
	uint32_t h = hop->kind * 31u + hop->iface;

	for (unsigned i = 0; i < sizeof(hop->via.a); i++)
		h = (h ^ hop->via.a[i]) * 16777619u;
	return (h ^ h >> 15) % 1024;
}

/* The number of a hop, which is made if there is none like it; 0: no memory. */
static uint32_t hop_number(struct router *r, const struct router_hop *hop)
{
	uint32_t *bucket = &r->hop_bucket[hop_hash(hop)], i;

	for (i = *bucket; i; i = r->hop[i].next)
		if (r->hop[i].kind == hop->kind &&
		    r->hop[i].iface == hop->iface &&
		    router_ip_equal(&r->hop[i].via, &hop->via))
			return i;
	if (r->n_hops >= r->size_hops) {
		uint32_t size = r->size_hops ? 2 * r->size_hops : 64;
		struct router_hop *more = reallocarray(r->hop, size,
						       sizeof(*more));

		if (!more)
			return 0;
		r->hop = more;
		r->size_hops = size;
	}
	i = r->n_hops++;
	r->hop[i] = *hop;
	r->hop[i].next = *bucket;
	*bucket = i;
	return i;
}

int router_route_add(struct router *r, const struct router_ip *prefix,
		     unsigned len, const struct router_hop *hop)
{
	struct lpm *table = r->table[prefix->family == 6];
	uint32_t number;

	if (lpm_get(table, prefix->a, len))
		return -EEXIST;
	number = hop_number(r, hop);
	if (!number)
		return -ENOMEM;
	return lpm_insert(table, prefix->a, len, number, retire, NULL);
}

/* Clears (bit 0) or sets all bits of an address behind a prefix. */
static void fill(struct router_ip *ip, unsigned len, unsigned bit)
{
	for (unsigned i = len; i < (ip->family == 4 ? 32u : 128u); i++) {
		uint8_t mask = (uint8_t)(0x80 >> i % 8);

		ip->a[i / 8] = (uint8_t)(bit ? ip->a[i / 8] | mask :
					       ip->a[i / 8] & ~mask);
	}
}

/* The subnet, and for IPv4 its two addresses that are nobody's. */
static int subnet_add(struct router *r, unsigned iface,
		      const struct router_ip *ip, unsigned len)
{
	struct router_hop link = { .kind = ROUTER_ON_LINK,
				   .iface = (uint8_t)iface };
	struct router_hop all = { .kind = ROUTER_BROADCAST,
				  .iface = (uint8_t)iface };
	struct router_ip low = *ip, high = *ip;
	int err;

	fill(&low, len, 0);
	fill(&high, len, 1);
	err = router_route_add(r, &low, len, &link);
	if (err || ip->family == 6 || len > 30)
		return err;
	/* A larger subnet may begin or end where a smaller one does. */
	err = router_route_add(r, &low, 32, &all);
	if (err && err != -EEXIST)
		return err;
	err = router_route_add(r, &high, 32, &all);
	return err == -EEXIST ? 0 : err;
}

static bool has_subnet(const struct router_iface *i, const struct router_ip *ip,
		       unsigned len)
{
	for (unsigned k = 0; k < i->n_own; k++)
		if (i->own[k].ip.family == ip->family && i->own[k].len == len &&
		    router_same_prefix(i->own[k].ip.a, ip->a, len))
			return true;
	return false;
}

int router_address_add(struct router *r, unsigned iface,
		       const struct router_ip *ip, unsigned len)
{
	struct router_iface *i = &r->iface[iface];
	struct router_hop local = { .kind = ROUTER_LOCAL,
				    .iface = (uint8_t)iface };
	unsigned bits = ip->family == 4 ? 32 : 128;
	int err;

	if (i->n_own == ROUTER_ADDRESSES)
		return -ENOSPC;
	/* A second address in a subnet of the interface is one more address,
	 * not one more subnet. */
	if (len < bits && !has_subnet(i, ip, len)) {
		err = subnet_add(r, iface, ip, len);
		if (err)
			return err;
	}
	err = router_route_add(r, ip, bits, &local);
	if (err)
		return err;
	i->own[i->n_own].ip = *ip;
	i->own[i->n_own++].len = len;
	return 0;
}

void router_link_local(struct router_iface *i)
{
	struct router_own *own = &i->own[i->n_own++];

	memset(own, 0, sizeof(*own));
	own->ip.family = 6;
	own->len = 64;
	own->ip.a[0] = 0xfe;
	own->ip.a[1] = 0x80;
	memcpy(own->ip.a + 8, i->mac, 3);
	memcpy(own->ip.a + 13, i->mac + 3, 3);
	own->ip.a[8] ^= 2;
	own->ip.a[11] = 0xff;
	own->ip.a[12] = 0xfe;
}

const struct router_hop *router_lookup(const struct router *r,
				       const struct router_ip *ip, unsigned in)
{
	const uint8_t *address = ip->a;
	uint32_t number;

	if (router_is_link_local(ip))
		return &r->iface[in].link;
	lpm_find(r->table[ip->family == 6], &address, 1, &number);
	return number ? &r->hop[number] : NULL;
}

/* The first of an interface's that serves. */
static const struct router_ip *source_of(const struct router_iface *i,
					 const struct router_ip *dst)
{
	for (unsigned k = 0; k < i->n_own; k++) {
		const struct router_ip *ip = &i->own[k].ip;

		if (ip->family == dst->family &&
		    router_is_link_local(ip) == router_is_link_local(dst))
			return ip;
	}
	return NULL;
}

const struct router_ip *router_source(const struct router *r, unsigned iface,
				      const struct router_ip *dst)
{
	const struct router_ip *ip = source_of(&r->iface[iface], dst);

	/* A link-local address serves on its own link only. */
	for (unsigned i = 0; !ip && i < r->n_ifaces; i++)
		if (!router_is_link_local(dst))
			ip = source_of(&r->iface[i], dst);
	return ip;
}
