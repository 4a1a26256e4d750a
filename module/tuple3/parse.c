// SPDX-License-Identifier: BSD-2-Clause
// tuple3/parse.c - reads IP headers, and those within ICMP errors.
#include "module/tuple3/parse.h"

#include "module/tuple3/tuple3.h"

enum {
	HEADERS_MAX = 8, /* IPv6 extension headers that are walked */
	PROTO_ICMP = 1,
	NEXT_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTH = 51,
	NEXT_ICMP = 58,
	NEXT_DEST = 60,
	ICMP_LEN = 8,
	FRAGMENT_LEN = 8,
};

static int parse_ipv4(struct t3_packet *p, uint32_t room)
{
	const uint8_t *ip = p->ip;
	unsigned flags;

	if (p->have < IPV4_LEN || ip[0] >> 4 != 4)
		return T3_BAD_IP;
	p->l4 = (ip[0] & 15) * 4;
	p->len = load_be16(ip + 2);
	if (p->l4 < IPV4_LEN || p->len < p->l4 || p->len > room)
		return T3_BAD_IP;
	if (p->l4 > p->have)
		return T3_HEADERS;
	if (t3_sum(ip, p->l4) != 0xffff)
		return T3_BAD_CSUM;
	flags = load_be16(ip + 6);
	p->fragment = flags & 0x3fff;
	p->later = flags & 0x1fff;
	p->id = load16(ip + 4);
	p->protocol = ip[9];
	p->src = t3_key4(ip + 12);
	p->dst = t3_key4(ip + 16);
	return -1;
}

/* Length of an extension header; 0: it is none that can be walked over. */
static unsigned extension_len(unsigned next, const uint8_t *h)
{
	switch (next) {
	case NEXT_HOP:
	case NEXT_ROUTING:
	case NEXT_DEST:
		return (h[1] + 1U) * 8;
	case NEXT_FRAGMENT:
		return FRAGMENT_LEN;
	case NEXT_AUTH:
		return (h[1] + 2U) * 4;
	default:
		return 0;
	}
}

static int walk_ipv6(struct t3_packet *p)
{
	static const uint8_t none[2];
	unsigned n = 0;

	while (extension_len(p->protocol, none)) {
		const uint8_t *h = p->ip + p->l4;

		if (p->l4 + 8 > p->len)
			return T3_BAD_L4;
		if (p->l4 + 8 > p->have || n++ == HEADERS_MAX)
			return T3_HEADERS;
		if (p->protocol == NEXT_FRAGMENT) {
			if (p->fragment)
				return T3_HEADERS;
			p->fragment = true;
			p->later = load_be16(h + 2) & 0xfff8;
			p->id = load32(h + 4);
		} else {
			p->options = true;
		}
		p->l4 += extension_len(p->protocol, h);
		p->protocol = h[0];
		if (p->later)
			return -1;
	}
	return -1;
}

static int parse_ipv6(struct t3_packet *p, uint32_t room)
{
	const uint8_t *ip = p->ip;

	if (p->have < IPV6_LEN || ip[0] >> 4 != 6)
		return T3_BAD_IP;
	p->len = IPV6_LEN + load_be16(ip + 4);
	if (p->len > room)
		return T3_BAD_IP;
	p->l4 = IPV6_LEN;
	p->protocol = ip[6];
	p->src = t3_key6(ip + 8);
	p->dst = t3_key6(ip + 24);
	return walk_ipv6(p);
}

/* Ports of TCP and UDP, in a packet that is not a later fragment. */
static int parse_ports(struct t3_packet *p)
{
	const uint8_t *l4 = p->ip + p->l4;
	unsigned least = p->protocol == T3_TCP ? TCP_LEN : UDP_LEN;
	uint32_t l4_len = p->len - p->l4, udp_len;

	if (p->l4 > p->len || l4_len < least)
		return T3_BAD_L4;
	if (p->l4 + UDP_LEN > p->have)
		return T3_HEADERS;
	if (p->protocol == T3_UDP) {
		udp_len = load_be16(l4 + 4);
		if (udp_len < UDP_LEN || (udp_len > l4_len && !p->fragment))
			return T3_BAD_L4;
	}
	p->src.meta |= p->protocol << 16 | load16(l4);
	p->dst.meta |= p->protocol << 16 | load16(l4 + 2);
	return -1;
}

int t3_parse(const uint8_t *hdr, unsigned have, uint32_t len,
	     struct t3_packet *p)
{
	int drop;

	*p = (struct t3_packet){ .ip = hdr + ETH_LEN, .have = have - ETH_LEN };
	if (load_be16(hdr + 12) == TYPE_IPV4)
		drop = parse_ipv4(p, len - ETH_LEN);
	else
		drop = parse_ipv6(p, len - ETH_LEN);
	if (drop >= 0 || p->later)
		return drop;
	if (p->protocol == T3_TCP || p->protocol == T3_UDP)
		return parse_ports(p);
	return -1;
}

static bool is_error(const struct t3_packet *p)
{
	unsigned type = p->ip[p->l4];

	if (p->src.meta >> 24 == 6)
		return p->protocol == NEXT_ICMP && type >= 1 && type <= 4;
	return p->protocol == PROTO_ICMP &&
	       (type == 3 || type == 4 || type == 5 || type == 11 ||
		type == 12);
}

/* The header within: where its ports are, and the protocol; 0: no ports. */
static unsigned inner_ipv4(const uint8_t *ip, unsigned have, unsigned *protocol)
{
	if (have < IPV4_LEN || ip[0] >> 4 != 4 || (ip[0] & 15) < 5 ||
	    load_be16(ip + 6) & 0x1fff)
		return 0;
	*protocol = ip[9];
	return (ip[0] & 15) * 4;
}

static unsigned inner_ipv6(const uint8_t *ip, unsigned have, unsigned *protocol)
{
	if (have < IPV6_LEN || ip[0] >> 4 != 6)
		return 0;
	*protocol = ip[6];
	if (*protocol != NEXT_FRAGMENT)
		return IPV6_LEN;
	if (have < IPV6_LEN + FRAGMENT_LEN ||
	    load_be16(ip + IPV6_LEN + 2) & 0xfff8)
		return 0;
	*protocol = ip[IPV6_LEN];
	return IPV6_LEN + FRAGMENT_LEN;
}

bool t3_parse_error(const struct t3_packet *p, struct t3_key *src,
		    struct t3_key *dst)
{
	unsigned end = p->len < p->have ? p->len : p->have;
	unsigned from = p->l4 + ICMP_LEN, at, protocol = 0;
	bool v6 = p->src.meta >> 24 == 6;
	const uint8_t *ip = p->ip + from;

	if (from > end || !is_error(p))
		return false;
	at = v6 ? inner_ipv6(ip, end - from, &protocol) :
		  inner_ipv4(ip, end - from, &protocol);
	if (!at || from + at + 4 > end ||
	    (protocol != T3_TCP && protocol != T3_UDP))
		return false;
	*src = v6 ? t3_key6(ip + 8) : t3_key4(ip + 12);
	*dst = v6 ? t3_key6(ip + 24) : t3_key4(ip + 16);
	src->meta |= protocol << 16 | load16(ip + at);
	dst->meta |= protocol << 16 | load16(ip + at + 2);
	return true;
}
