// SPDX-License-Identifier: BSD-2-Clause
// tuple3/full.c - verdicts on all but the simplest packets.
/*
 * Workers come here for ARP, neighbour discovery, ICMP, fragments, IP options
 * and extension headers, other protocols, and whatever is malformed; see
 * docs/tuple3.md for the rules.
 */
#include <string.h>

#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

enum {
	ARP_LEN = 28,
	ARP_SENDER = 28, /* offsets in the frame */
	ARP_TARGET = 38,
	PROTO_ICMP = 1,
	NEXT_ICMP = 58,
	ND_ROUTER_ADVERT = 134,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	ND_REDIRECT = 137,
	ND_ROUTER_SOLICIT = 133,
	ND_TARGET = 8, /* offset in the ICMPv6 message */
	ND_LEN = 24,
};

static const uint32_t nowhere = (uint32_t)GLEN_VERDICT_KIND; /* no verdict */

static uint64_t find(const struct t3_look *l, const struct t3_key *key)
{
	return t3_find(l->table, key, t3_hash(l->table, key));
}

/* The value of the address in key, whose other parts do not count. */
static uint64_t find_address(const struct t3_look *l, const struct t3_key *key)
{
	struct t3_key address = { key->a0, key->a1, key->meta & 0xff000000 };

	return find(l, &address);
}

/* The source port has a claim on this address. */
static bool owns(const struct t3_look *l, const struct t3_key *key)
{
	struct t3_key owner = { key->a0, key->a1,
				(key->meta & 0xff000000) | T3_OWNER << 16 |
					l->ctx->src };

	return find(l, &owner) != 0;
}

static bool is_zero(const struct t3_key *key)
{
	return !key->a0 && !key->a1;
}

static bool may_reach(const struct t3_look *l, unsigned port)
{
	const struct glen_lookup *ctx = l->ctx;

	return port != T3_NO_PORT && port != ctx->src &&
	       !(ctx->src_isolated && port < ctx->n_ports &&
		 ctx->port_isolated[port]);
}

/* To the default port and the uplink, as far as they are there and not the
 * source; nowhere. */
static uint32_t to_both(const struct t3_look *l)
{
	unsigned other = l->ways & 0xffff, uplink = l->ways >> 16;

	if (!may_reach(l, other))
		return may_reach(l, uplink) ? glen_to_port(uplink) : nowhere;
	if (!may_reach(l, uplink) || uplink == other)
		return glen_to_port(other);
	return l->both;
}

/* To all who have claims on an address, and to default port and uplink. */
static uint32_t spread(const struct t3_look *l, struct glen_batch *b,
		       unsigned i, const struct t3_key *address)
{
	uint64_t value = find_address(l, address);
	uint32_t both = to_both(l), to = (uint32_t)value;
	bool set = (to & GLEN_VERDICT_KIND) == GLEN_VERDICT_SET;

	/* Who is isolated meets nobody in a set that has isolated members. */
	if (value && !(set ? !l->ctx->src_isolated : may_reach(l, to & 0xffff)))
		value = 0;
	if (!value)
		return both == nowhere ? glen_drop(T3_UNCLAIMED) : both;
	if (both != nowhere)
		glen_batch_copy(b, i, both);
	return to;
}

static uint32_t to_all(const struct t3_look *l)
{
	return glen_to_set(l->ctx->src_isolated ? GLEN_SET_NOT_ISOLATED :
						  GLEN_SET_ALL);
}

static uint32_t arp(const struct t3_look *l, struct glen_batch *b, unsigned i)
{
	static const uint8_t ethernet_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
	const uint8_t *hdr = glen_batch_hdr(b, i);
	struct t3_key sender, target;

	if (b->hdr_len[i] < ETH_LEN + ARP_LEN ||
	    memcmp(hdr + ETH_LEN, ethernet_ipv4, sizeof(ethernet_ipv4)))
		return glen_drop(T3_BAD_ARP);
	sender = t3_key4(hdr + ARP_SENDER);
	target = t3_key4(hdr + ARP_TARGET);
	if (l->claimant) {
		/* A probe asks before it has the address. */
		if (!owns(l, is_zero(&sender) ? &target : &sender))
			return glen_drop(T3_ADDRESS);
	} else if (!memcmp(&sender, &target, sizeof(sender)) &&
		   !is_zero(&sender)) {
		return to_all(l);
	}
	return spread(l, b, i, &target);
}

/* What a claimant may say in neighbour discovery: an enum t3_drop, or -1. */
static int guard_nd(const struct t3_look *l, const struct t3_packet *p,
		    unsigned type, const struct t3_key *target)
{
	if (type == ND_SOLICIT)
		return owns(l, is_zero(&p->src) ? target : &p->src) ?
			       -1 :
			       T3_ADDRESS;
	if (type == ND_ADVERT)
		return owns(l, &p->src) && owns(l, target) ? -1 : T3_ADDRESS;
	return T3_ICMP;
}

static uint32_t discovery(const struct t3_look *l, struct glen_batch *b,
			  unsigned i, const struct t3_packet *p, unsigned type)
{
	bool group = p->ip[24] == 0xff;
	struct t3_key target;
	int drop;

	if (type == ND_ROUTER_SOLICIT || type == ND_ROUTER_ADVERT) {
		if (l->claimant)
			return glen_drop(T3_ICMP);
		if (type == ND_ROUTER_ADVERT && group)
			return to_all(l);
		return spread(l, b, i, &p->dst);
	}
	if (p->l4 + ND_LEN > p->len)
		return glen_drop(T3_BAD_L4);
	if (p->l4 + ND_LEN > p->have)
		return glen_drop(T3_HEADERS);
	target = t3_key6(p->ip + p->l4 + ND_TARGET);
	drop = l->claimant ? guard_nd(l, p, type, &target) : -1;
	if (drop >= 0)
		return glen_drop(drop);
	if (type == ND_SOLICIT || (l->claimant && group))
		return spread(l, b, i, &target);
	return group ? to_all(l) : spread(l, b, i, &p->dst);
}

/* An ICMP error belongs to who sent the packet that it is about. */
static uint32_t icmp_error(const struct t3_look *l, const struct t3_packet *p,
			   const struct t3_key *src, const struct t3_key *dst)
{
	uint64_t to = find(l, src);

	if (l->claimant) {
		if (!owns(l, &p->src))
			return glen_drop(T3_ADDRESS);
		if (find(l, dst) != l->own)
			return glen_drop(T3_ICMP);
	}
	if (to)
		return glen_to_port((uint32_t)to - 1);
	return l->ask_local && find_address(l, &p->dst) ? l->local : l->away;
}

/* Whatever is neither TCP nor UDP. */
static uint32_t other(const struct t3_look *l, struct glen_batch *b, unsigned i,
		      const struct t3_packet *p)
{
	bool v6 = p->src.meta >> 24 == 6;
	struct t3_key src, dst;
	unsigned type;

	if (p->fragment || p->protocol != (v6 ? NEXT_ICMP : PROTO_ICMP))
		return l->claimant ? glen_drop(T3_PROTOCOL) : l->away;
	if (p->l4 + 8 > p->len)
		return glen_drop(T3_BAD_L4);
	if (p->l4 + 8 > p->have)
		return glen_drop(T3_HEADERS);
	type = p->ip[p->l4];
	if (v6 && type >= ND_ROUTER_SOLICIT && type <= ND_REDIRECT)
		return discovery(l, b, i, p, type);
	if (t3_parse_error(p, &src, &dst))
		return icmp_error(l, p, &src, &dst);
	return l->claimant ? glen_drop(T3_ICMP) : l->away;
}

static uint32_t whole(const struct t3_look *l, struct glen_batch *b, unsigned i,
		      const struct t3_packet *p)
{
	if (p->protocol != T3_TCP && p->protocol != T3_UDP)
		return other(l, b, i, p);
	return t3_verdict(l, find(l, &p->src), find(l, &p->dst), &p->dst);
}

static uint32_t fragment(const struct t3_look *l, struct glen_batch *b,
			 unsigned i, const struct t3_packet *p)
{
	struct t3_frags *f = &l->t->frags[l->claimant];
	struct t3_frag_key key = {
		.src = { p->src.a0, p->src.a1 },
		.dst = { p->dst.a0, p->dst.a1 },
		.id = p->id,
		.port = l->ctx->src,
		.protocol = p->src.meta >> 24 == 6 ? 0 : p->protocol,
	};
	uint32_t verdict;

	/* Nobody here has to do with it. */
	if (!l->claimant && !find_address(l, &p->src) &&
	    !find_address(l, &p->dst))
		return l->away;
	if (p->later)
		return t3_frag_find(f, &key, l->ctx->now_s, &verdict) ?
			       verdict :
			       glen_drop(T3_FRAGMENT);
	verdict = whole(l, b, i, p);
	if ((verdict & GLEN_VERDICT_KIND) != GLEN_VERDICT_DROP)
		t3_frag_keep(f, &key, verdict, l->ctx->now_s);
	return verdict;
}

static uint32_t ip(const struct t3_look *l, struct glen_batch *b, unsigned i)
{
	struct t3_packet p;
	int drop = t3_parse(glen_batch_hdr(b, i), b->hdr_len[i], b->len[i], &p);

	if (drop >= 0)
		return glen_drop(drop);
	/* They can give a packet another source or destination. */
	if (l->claimant && p.options)
		return glen_drop(T3_HEADERS);
	return p.fragment ? fragment(l, b, i, &p) : whole(l, b, i, &p);
}

uint32_t t3_full(const struct t3_look *l, struct glen_batch *b, unsigned i)
{
	switch (load_be16(glen_batch_hdr(b, i) + 12)) {
	case TYPE_ARP:
		return arp(l, b, i);
	case TYPE_IPV4:
	case TYPE_IPV6:
		return ip(l, b, i);
	default:
		return l->claimant ? glen_drop(T3_NOT_IP) : l->away;
	}
}
