// SPDX-License-Identifier: BSD-2-Clause
// learn/guard.c - reads a guard's list and judges packets by it.
#include "module/learn/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "lib/bytes.h"
#include "lib/error.h"

enum {
	ETH_LEN = 14,
	TAG_LEN = 4,
	TAGS_MAX = 2,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_SERVICE = 0x88a8,
	IPV4_LEN = 20,
	IPV6_LEN = 40,
	ARP_LEN = 28,
	PROTO_UDP = 17,
	/* IPv6 next headers */
	NEXT_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTH = 51,
	NEXT_ICMP = 58,
	NEXT_DEST = 60,
	/* ICMPv6 types */
	MLD_REPORT = 131,
	MLD_DONE = 132,
	ND_RS = 133,
	ND_RA = 134,
	ND_NS = 135,
	ND_NA = 136,
	ND_REDIRECT = 137,
	MLD_REPORT2 = 143,
	/* ND options */
	OPTION_SOURCE = 1,
	OPTION_TARGET = 2,
	WORD_SIZE = 80, /* of a word in the list */
};

/* A packet under judgement. */
struct look {
	const struct guard *g;
	const uint8_t *hdr;
	unsigned have;		     /* bytes of hdr */
	uint32_t len;		     /* of the packet */
	const struct guard_mac *own; /* the source's entry */
};

static const uint8_t zero[16];
static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Reading the list */

static bool read_mac(const char *text, uint8_t mac[6])
{
	unsigned m[6];
	char end;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &m[0], &m[1], &m[2],
		   &m[3], &m[4], &m[5], &end) != 6)
		return false;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = m[i];
	return !(mac[0] & 1) && memcmp(mac, zero, 6);
}

static bool read_length(const char *text, unsigned max, unsigned *length)
{
	char *end;
	unsigned long n;

	*length = max;
	if (!text)
		return true;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || n > max)
		return false;
	*length = n;
	return true;
}

/* "10.0.0.1", "10.0.0.0/24", "2001:db8::1", ... */
static bool read_ip(char *text, struct guard_ip *ip, bool *v6)
{
	char *slash = strchr(text, '/');
	unsigned bits, skip = 0;

	if (slash)
		*slash++ = '\0';
	memset(ip, 0, sizeof(*ip));
	*v6 = strchr(text, ':') != NULL;
	if (*v6 && inet_pton(AF_INET6, text, ip->addr) != 1)
		return false;
	if (!*v6 && inet_pton(AF_INET, text, ip->addr + 12) != 1)
		return false;
	if (!*v6) {
		memcpy(ip->addr, mapped, sizeof(mapped));
		skip = 96;
	}
	if (!read_length(slash, 128 - skip, &bits))
		return false;
	bits += skip;
	for (unsigned i = 0; i < 16; i++) {
		unsigned n = bits > 8 * i ? bits - 8 * i : 0;

		ip->mask[i] = n >= 8 ? 0xff : 0xff00 >> n;
		ip->addr[i] &= ip->mask[i];
	}
	/* An IPv4 address in IPv6 clothes would be taken for IPv4. */
	return !*v6 || bits < 96 || memcmp(ip->addr, mapped, sizeof(mapped));
}

static int add_ip(struct guard *g, struct guard_mac *m, char *word,
		  struct glen_error *error)
{
	char shown[WORD_SIZE];
	bool v6;

	snprintf(shown, sizeof(shown), "%s", word);
	if (g->n_ips == GUARD_IPS)
		return error_set(error, -EINVAL,
				 "guard: more than %d IP addresses", GUARD_IPS);
	if (!read_ip(word, &g->ip[g->n_ips], &v6))
		return error_set(error, -EINVAL,
				 "guard: '%.60s' is no IP address such as "
				 "10.0.0.1, 10.0.0.0/24 or 2001:db8::1",
				 shown);
	m->ipv6 |= v6;
	m->ipv4 |= !v6;
	g->n_ips++;
	m->n_ips++;
	return 0;
}

/* fe80::/64 with the MAC in it (RFC 4291, appendix A). */
static void link_local(const uint8_t mac[6], struct guard_ip *ip)
{
	memset(ip->addr, 0, sizeof(ip->addr));
	memset(ip->mask, 0xff, sizeof(ip->mask));
	ip->addr[0] = 0xfe;
	ip->addr[1] = 0x80;
	memcpy(ip->addr + 8, mac, 3);
	ip->addr[8] ^= 2;
	ip->addr[11] = 0xff;
	ip->addr[12] = 0xfe;
	memcpy(ip->addr + 13, mac + 3, 3);
}

/* "MAC [IP...]" */
static int add_entry(struct guard *g, const char *text,
		     struct glen_error *error)
{
	struct guard_mac *m = &g->mac[g->n_macs];
	char word[WORD_SIZE];
	int err = 0, n;

	if (g->n_macs == GUARD_MACS)
		return error_set(error, -EINVAL, "guard: more than %d MACs",
				 GUARD_MACS);
	*m = (struct guard_mac){ .first = g->n_ips };
	if (sscanf(text, " %79s%n", word, &n) != 1 || !read_mac(word, m->mac))
		return error_set(error, -EINVAL,
				 "guard: '%.60s' does not begin with the MAC "
				 "of a station, such as 02:00:00:00:00:01",
				 text);
	for (unsigned i = 0; i < g->n_macs; i++)
		if (!memcmp(g->mac[i].mac, m->mac, 6))
			return error_set(error, -EINVAL,
					 "guard: %.17s is there twice", word);
	for (text += n; !err && sscanf(text, " %79s%n", word, &n) == 1;
	     text += n)
		err = add_ip(g, m, word, error);
	if (err)
		return err;
	if (m->ipv6 && g->n_ips < GUARD_IPS) {
		link_local(m->mac, &g->ip[g->n_ips++]);
		m->n_ips++;
	}
	g->ipv6 |= m->ipv6;
	g->n_macs++;
	return 0;
}

int guard_create(json_t *list, struct guard **guard, struct glen_error *error)
{
	struct guard *g = calloc(1, sizeof(*g));
	json_t *value;
	size_t i;
	int err = 0;

	if (!g)
		return error_set(error, -ENOMEM, "no memory for a guard");
	if (json_is_string(list))
		err = add_entry(g, json_string_value(list), error);
	else if (!json_is_array(list))
		err = error_set(error, -EINVAL,
				"guard must be a list of texts such as "
				"\"02:00:00:00:00:01 10.0.0.1\"");
	json_array_foreach(list, i, value) {
		const char *text = json_string_value(value);

		if (!err && !text)
			err = error_set(error, -EINVAL,
					"guard: item %zu of the list is no "
					"text",
					i + 1);
		if (!err)
			err = add_entry(g, text, error);
	}
	if (!err && !g->n_macs)
		err = error_set(error, -EINVAL,
				"guard: an empty list would let nothing pass; "
				"null removes the guard");
	if (err) {
		free(g);
		return err;
	}
	*guard = g;
	return 0;
}

unsigned guard_hdr(const struct guard *g)
{
	return g->ipv6 ? HDR_MAX : HDR_MIN;
}

/* Judging */

static const struct guard_mac *owned_mac(const struct guard *g,
					 const uint8_t *mac)
{
	for (unsigned i = 0; i < g->n_macs; i++)
		if (!memcmp(g->mac[i].mac, mac, 6))
			return &g->mac[i];
	return NULL;
}

static bool owned_ip(const struct look *l, const uint8_t addr[16])
{
	for (unsigned k = 0; k < l->own->n_ips; k++) {
		const struct guard_ip *ip = &l->g->ip[l->own->first + k];
		unsigned i = 0;

		while (i < 16 && (addr[i] & ip->mask[i]) == ip->addr[i])
			i++;
		if (i == 16)
			return true;
	}
	return false;
}

/* An IPv6 address of a packet; never one of the IPv4 addresses. */
static bool owned_v6(const struct look *l, const uint8_t *addr)
{
	return memcmp(addr, mapped, sizeof(mapped)) && owned_ip(l, addr);
}

static bool owned_v4(const struct look *l, const uint8_t *addr)
{
	uint8_t wide[16];

	memcpy(wide, mapped, sizeof(mapped));
	memcpy(wide + 12, addr, 4);
	return owned_ip(l, wide);
}

static enum guard_result check_arp(const struct look *l, unsigned at)
{
	static const uint8_t ethernet_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *arp = l->hdr + at;

	if (at + ARP_LEN > l->have)
		return GUARD_OTHER;
	if (memcmp(arp, ethernet_ipv4, 6) || !owned_mac(l->g, arp + 8))
		return GUARD_ND;
	if (!memcmp(arp + 14, zero, 4) && l->own->ipv4)
		return load_be16(arp + 6) == 1 ? GUARD_PASS : GUARD_ND;
	return owned_v4(l, arp + 14) ? GUARD_PASS : GUARD_ND;
}

/* From 0.0.0.0: only the first words to a DHCP server. */
static enum guard_result check_dhcp(const struct look *l, unsigned at)
{
	const uint8_t *ip = l->hdr + at;
	unsigned udp = at + 4 * (ip[0] & 15);

	if (ip[9] != PROTO_UDP || load_be16(ip + 6) & 0x3fff)
		return GUARD_IP;
	if (udp + 4 > l->have)
		return GUARD_OTHER;
	return load_be16(l->hdr + udp) == 68 &&
			       load_be16(l->hdr + udp + 2) == 67 ?
		       GUARD_PASS :
		       GUARD_IP;
}

static enum guard_result check_ipv4(const struct look *l, unsigned at)
{
	const uint8_t *ip = l->hdr + at;

	if (at + IPV4_LEN > l->have || ip[0] >> 4 != 4 || (ip[0] & 15) < 5)
		return GUARD_OTHER;
	if (!memcmp(ip + 12, zero, 4) && l->own->ipv4)
		return check_dhcp(l, at);
	return owned_v4(l, ip + 12) ? GUARD_PASS : GUARD_IP;
}

/* Options of a neighbour discovery message, from at up to end. */
static enum guard_result check_options(const struct look *l, unsigned at,
				       uint32_t end)
{
	while (at < end) {
		unsigned type, len;

		if (at + 2 > l->have)
			return GUARD_OTHER;
		type = l->hdr[at];
		len = 8 * l->hdr[at + 1];
		if (!len || len > end - at)
			return GUARD_OTHER;
		if (type == OPTION_SOURCE || type == OPTION_TARGET) {
			if (at + 8 > l->have)
				return GUARD_OTHER;
			if (!owned_mac(l->g, l->hdr + at + 2))
				return GUARD_ND;
		}
		at += len;
	}
	return GUARD_PASS;
}

/* A neighbour discovery message at that ends at end. */
static enum guard_result check_nd(const struct look *l, unsigned at,
				  uint32_t end, bool unspecified)
{
	unsigned type = l->hdr[at], fixed = 24;

	if (type == ND_REDIRECT)
		return GUARD_ND;
	if (type == ND_RS || type == ND_RA)
		fixed = type == ND_RS ? 8 : 16;
	if (at + fixed > l->have || at + fixed > end)
		return GUARD_OTHER;
	if (type == ND_NA || (type == ND_NS && unspecified))
		if (!owned_v6(l, l->hdr + at + 8))
			return GUARD_ND;
	if (unspecified && type != ND_NS && type != ND_RS)
		return GUARD_IP;
	return check_options(l, at + fixed, end);
}

static enum guard_result check_icmp6(const struct look *l, unsigned at,
				     uint32_t end, bool unspecified,
				     bool fragment)
{
	unsigned type;

	if (at + 4 > l->have || at + 4 > end)
		return GUARD_OTHER;
	type = l->hdr[at];
	if (type >= ND_RS && type <= ND_REDIRECT)
		return fragment ? GUARD_ND : check_nd(l, at, end, unspecified);
	if (unspecified && type != MLD_REPORT && type != MLD_DONE &&
	    type != MLD_REPORT2)
		return GUARD_IP;
	return GUARD_PASS;
}

/* Walks over extension headers; each has at least 8 bytes. */
static enum guard_result check_chain(const struct look *l, unsigned ip,
				     uint32_t end, bool unspecified)
{
	unsigned next = l->hdr[ip + 6], at = ip + IPV6_LEN;
	bool fragment = false;

	for (;;) {
		const uint8_t *h = l->hdr + at;

		if (next == NEXT_ICMP)
			return check_icmp6(l, at, end, unspecified, fragment);
		if (next != NEXT_HOP && next != NEXT_ROUTING &&
		    next != NEXT_DEST && next != NEXT_AUTH &&
		    next != NEXT_FRAGMENT)
			return unspecified ? GUARD_IP : GUARD_PASS;
		if (at + 8 > l->have || at + 8 > end)
			return GUARD_OTHER;
		if (next == NEXT_FRAGMENT) {
			/* Not the first: no headers in it to judge. */
			if (load_be16(h + 2) & 0xfff8)
				return unspecified ? GUARD_IP : GUARD_PASS;
			fragment = true;
			at += 8;
		} else if (next == NEXT_AUTH) {
			at += 4 * (h[1] + 2);
		} else {
			at += 8 * (h[1] + 1);
		}
		next = h[0];
	}
}

static enum guard_result check_ipv6(const struct look *l, unsigned at)
{
	const uint8_t *ip = l->hdr + at;
	bool unspecified;
	uint32_t end;

	if (at + IPV6_LEN > l->have || ip[0] >> 4 != 6)
		return GUARD_OTHER;
	if (!l->own->ipv6)
		return GUARD_IP;
	unspecified = !memcmp(ip + 8, zero, 16);
	if (!unspecified && !owned_v6(l, ip + 8))
		return GUARD_IP;
	end = at + IPV6_LEN + load_be16(ip + 4);
	/* Length 0: a jumbogram, or a packet that is to be segmented. */
	if (end > l->len || !load_be16(ip + 4))
		end = l->len;
	return check_chain(l, at, end, unspecified);
}

enum guard_result guard_check(const struct guard *g, const uint8_t *hdr,
			      unsigned hdr_len, uint32_t len)
{
	struct look l = { g, hdr, hdr_len, len, owned_mac(g, hdr + 6) };
	unsigned at = ETH_LEN, type = load_be16(hdr + 12);

	if (!l.own)
		return GUARD_MAC;
	if (!l.own->n_ips)
		return GUARD_PASS;
	for (unsigned n = 0; n < TAGS_MAX && at + TAG_LEN <= hdr_len &&
			     (type == TYPE_VLAN || type == TYPE_SERVICE);
	     n++) {
		type = load_be16(hdr + at + 2);
		at += TAG_LEN;
	}
	switch (type) {
	case TYPE_IPV4:
		return check_ipv4(&l, at);
	case TYPE_IPV6:
		return check_ipv6(&l, at);
	case TYPE_ARP:
		return check_arp(&l, at);
	}
	return GUARD_OTHER;
}
