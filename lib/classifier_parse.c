// SPDX-License-Identifier: BSD-2-Clause
// classifier_parse.c - the key of any packet, tagged, odd or short.
#include "lib/classifier_parse.h"

enum {
	ETH_LEN = 14,
	EXTENSIONS_MAX = 8, /* more are odd */
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ICMPV6 = 58,
	PROTO_SCTP = 132,
	V6_HOP = 0,
	V6_ROUTING = 43,
	V6_FRAGMENT = 44,
	V6_OPTIONS = 60,
	TCP_FLAGS_END = 14,
};

/* A packet as it is walked. */
struct walk {
	const uint8_t *hdr;
	uint32_t have; /* bytes that can be read */
	uint32_t end;  /* of what the headers say the packet is */
	uint32_t at;   /* the next header */
	uint64_t l4;   /* word of the key, so far */
};

/* n bytes from w->at on are part of the packet and can be read. */
static bool there(const struct walk *w, uint32_t n)
{
	uint32_t end = w->have < w->end ? w->have : w->end;

	return w->at <= end && end - w->at >= n;
}

static void odd(struct walk *w)
{
	w->l4 |= CLASSIFIER_BIT(ODD);
}

/* What lies behind the IP headers. */
static void walk_l4(struct walk *w, unsigned protocol)
{
	const uint8_t *p = w->hdr + w->at;
	bool ports = protocol == PROTO_TCP || protocol == PROTO_UDP ||
		     protocol == PROTO_SCTP;
	bool icmp = protocol == PROTO_ICMP || protocol == PROTO_ICMPV6;

	w->l4 |= (uint64_t)protocol << CLASSIFIER_L_PROTO;
	if (w->l4 & CLASSIFIER_BIT(LATER))
		return;
	if (ports && there(w, 4))
		w->l4 |= classifier_load16(p) << CLASSIFIER_L_SPORT |
			 classifier_load16(p + 2) << CLASSIFIER_L_DPORT |
			 CLASSIFIER_BIT(PORTS);
	else if (icmp && there(w, 2))
		w->l4 |= p[0] << CLASSIFIER_L_SPORT |
			 p[1] << CLASSIFIER_L_DPORT | CLASSIFIER_BIT(ICMP);
	else if (ports || icmp)
		odd(w);
	if (protocol == PROTO_TCP && there(w, TCP_FLAGS_END))
		w->l4 |= (uint64_t)(classifier_load16(p + 12) & 0x1ff)
				 << CLASSIFIER_L_FLAGS |
			 CLASSIFIER_BIT(TCP);
	else if (protocol == PROTO_TCP)
		odd(w);
}

static void fragment(struct walk *w, unsigned offset, bool more)
{
	if (offset || more)
		w->l4 |= CLASSIFIER_BIT(FRAG);
	if (offset)
		w->l4 |= CLASSIFIER_BIT(LATER);
}

static void walk_ipv4(struct walk *w, struct classifier_key *key)
{
	const uint8_t *ip = w->hdr + w->at;
	uint32_t ip_len, total;

	if (!there(w, 20)) {
		odd(w);
		return;
	}
	ip_len = (ip[0] & 15) * 4u;
	total = classifier_load16(ip + 2);
	if (ip[0] >> 4 != 4 || ip_len < 20 || total < ip_len ||
	    total > w->end - w->at) {
		odd(w);
		return;
	}
	w->l4 |= CLASSIFIER_BIT(IPV4) | CLASSIFIER_BIT(IP) |
		 (uint64_t)(ip[1] >> 2) << CLASSIFIER_L_DSCP;
	key->w[CLASSIFIER_IP] = classifier_load64(ip + 12);
	fragment(w, classifier_load16(ip + 6) & 0x1fff, ip[6] & 0x20);
	w->end = w->at + total;
	w->at += ip_len;
	walk_l4(w, ip[9]);
}

/* One extension header; false: there is none, or it is odd. */
static bool walk_extension(struct walk *w, unsigned *protocol)
{
	const uint8_t *p = w->hdr + w->at;
	uint32_t len = 8;

	if (*protocol != V6_HOP && *protocol != V6_ROUTING &&
	    *protocol != V6_FRAGMENT && *protocol != V6_OPTIONS)
		return false;
	/* Behind its header a later fragment has no other. */
	if (w->l4 & CLASSIFIER_BIT(LATER))
		return false;
	if (!there(w, 8)) {
		odd(w);
		return false;
	}
	if (*protocol == V6_FRAGMENT)
		fragment(w, classifier_load16(p + 2) >> 3, p[3] & 1);
	else
		len += p[1] * 8u;
	*protocol = p[0];
	w->at += len;
	return true;
}

static void walk_ipv6(struct walk *w, struct classifier_key *key)
{
	const uint8_t *ip = w->hdr + w->at;
	unsigned protocol, n = 0;
	uint32_t payload;

	if (!there(w, 40)) {
		odd(w);
		return;
	}
	payload = classifier_load16(ip + 4);
	if (ip[0] >> 4 != 6 || payload > w->end - w->at - 40) {
		odd(w);
		return;
	}
	w->l4 |= CLASSIFIER_BIT(IPV6) | CLASSIFIER_BIT(IP) |
		 (uint64_t)(classifier_load16(ip) >> 6 & 0x3f)
			 << CLASSIFIER_L_DSCP;
	for (unsigned i = 0; i < 4; i++)
		key->w[CLASSIFIER_IP + i] = classifier_load64(ip + 8 + 8 * i);
	w->end = w->at + 40 + payload;
	w->at += 40;
	protocol = ip[6];
	while (walk_extension(w, &protocol))
		if (++n > EXTENSIONS_MAX) {
			odd(w);
			break;
		}
	walk_l4(w, protocol);
}

/* Up to two VLAN tags; the Ethernet type behind them, -1: they are cut off. */
static int walk_tags(struct walk *w, struct classifier_key *key)
{
	unsigned type = classifier_load16(w->hdr + 12);

	for (unsigned i = 0; i < 2 && (type == 0x8100 || type == 0x88a8); i++) {
		uint64_t tci;

		if (!there(w, 4)) {
			odd(w);
			return -1;
		}
		tci = classifier_load16(w->hdr + w->at);
		if (!i)
			key->w[CLASSIFIER_META] |=
				(tci & 0xfff) << CLASSIFIER_M_VID |
				tci >> 13 << CLASSIFIER_M_PCP |
				1ULL << CLASSIFIER_M_TAG;
		type = classifier_load16(w->hdr + w->at + 2);
		w->at += 4;
	}
	return (int)type;
}

void classifier_parse_full(const uint8_t *hdr, unsigned have, uint32_t len,
			   unsigned in_port, struct classifier_key *key)
{
	struct walk w = { hdr, have < len ? have : len, len, ETH_LEN, 0 };
	int type;

	memset(key, 0, sizeof(*key));
	classifier_macs(hdr, in_port, 0, key);
	type = walk_tags(&w, key);
	if (type >= 0)
		key->w[CLASSIFIER_META] |= (uint64_t)type << CLASSIFIER_M_TYPE;
	if (type == 0x0800)
		walk_ipv4(&w, key);
	else if (type == 0x86dd)
		walk_ipv6(&w, key);
	key->w[CLASSIFIER_L4] = w.l4;
}
