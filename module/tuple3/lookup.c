// SPDX-License-Identifier: BSD-2-Clause
// tuple3/lookup.c - verdicts on TCP and UDP packets without options (hot).
#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

/*
 * Works in rounds of GROUP packets. First both keys of each packet are taken
 * out of its headers and their slots are prefetched, so a table that is larger
 * than the caches costs bandwidth, not latency; then they are looked up. What
 * is not the simplest kind of packet is left to full.c, in its turn, so that a
 * flow keeps its order.
 */
enum { GROUP = 64 };

_Static_assert(GLEN_BATCH_MAX % GROUP == 0, "groups fill a batch");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "words are compared as they are loaded");

struct group {
	struct t3_key src[GROUP], dst[GROUP];
	uint64_t src_hash[GROUP], dst_hash[GROUP];
	bool simple[GROUP]; /* if false, all else means nothing */
};

enum {
	LOADED_IPV4 = 0x0008, /* as loaded */
	LOADED_IPV6 = 0xdd86,
};

static inline unsigned be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

/* What TCP or UDP needs of l4_len bytes; false: it has not. */
static inline bool l4_is_there(const uint8_t *l4, unsigned protocol,
			       unsigned l4_len)
{
	unsigned udp_len = be16(load16(l4 + 4));

	if (protocol == T3_TCP)
		return l4_len >= TCP_LEN;
	return protocol == T3_UDP && udp_len >= UDP_LEN && udp_len <= l4_len;
}

static inline void put_ports(const uint8_t *l4, uint64_t meta,
			     struct t3_key *src, struct t3_key *dst)
{
	uint32_t ports = load32(l4);

	src->meta = meta | (ports & 0xffff);
	dst->meta = meta | ports >> 16;
}

/* Headers are GLEN_HDR_MIN bytes, with zeros behind a short packet. */
static inline bool take_ipv4(const uint8_t *ip, uint32_t room,
			     struct t3_key *src, struct t3_key *dst)
{
	unsigned total = be16(load16(ip + 2)), protocol = ip[9];

	/* No options, no fragment. */
	if (ip[0] != 0x45 || load16(ip + 6) & 0xff3f || total > room ||
	    total < IPV4_LEN || t3_sum(ip, IPV4_LEN) != 0xffff ||
	    !l4_is_there(ip + IPV4_LEN, protocol, total - IPV4_LEN))
		return false;
	src->a0 = dst->a0 = 0;
	src->a1 = load32(ip + 12);
	dst->a1 = load32(ip + 16);
	put_ports(ip + IPV4_LEN, META_V4 | protocol << 16, src, dst);
	return true;
}

static inline bool take_ipv6(const uint8_t *ip, uint32_t room,
			     struct t3_key *src, struct t3_key *dst)
{
	unsigned l4_len = be16(load16(ip + 4)), protocol = ip[6];

	if (ip[0] >> 4 != 6 || IPV6_LEN + l4_len > room ||
	    !l4_is_there(ip + IPV6_LEN, protocol, l4_len))
		return false;
	src->a0 = load64(ip + 8);
	src->a1 = load64(ip + 16);
	dst->a0 = load64(ip + 24);
	dst->a1 = load64(ip + 32);
	put_ports(ip + IPV6_LEN, META_V6 | protocol << 16, src, dst);
	return true;
}

static inline void extract(const struct t3_array *t, const struct glen_batch *b,
			   unsigned at, unsigned n, struct group *g)
{
	const uint8_t *h = glen_batch_hdr(b, at);

	for (unsigned i = 0; i < n; i++, h += b->hdr_stride) {
		uint16_t type = load16(h + 12);
		uint32_t room = b->len[at + i] - ETH_LEN;
		struct t3_key src = { 0 }, dst = { 0 };
		bool simple = false;

		if (__builtin_expect(type == LOADED_IPV4, 1))
			simple = take_ipv4(h + ETH_LEN, room, &src, &dst);
		else if (type == LOADED_IPV6)
			simple = take_ipv6(h + ETH_LEN, room, &src, &dst);
		g->simple[i] = simple;
		if (__builtin_expect(!simple, 0))
			continue;
		g->src[i] = src;
		g->dst[i] = dst;
		g->src_hash[i] = t3_hash(t, &src);
		__builtin_prefetch(t3_place(t, g->src_hash[i]));
		g->dst_hash[i] = t3_hash(t, &dst);
		__builtin_prefetch(t3_place(t, g->dst_hash[i]));
	}
}

static void group(const struct t3_look *l, struct glen_batch *b, unsigned at)
{
	unsigned n = b->n - at < GROUP ? b->n - at : GROUP;
	const struct t3_array *t = l->table;
	struct group g;

	extract(t, b, at, n, &g);
	for (unsigned i = 0; i < n; i++) {
		uint64_t from, to;

		if (__builtin_expect(!g.simple[i], 0)) {
			b->verdict[at + i] = t3_full(l, b, at + i);
			continue;
		}
		from = t3_find(t, &g.src[i], g.src_hash[i]);
		to = t3_find(t, &g.dst[i], g.dst_hash[i]);
		b->verdict[at + i] = t3_verdict(l, from, to, &g.dst[i]);
	}
}

/* The source port is isolated: so must no destination be. */
static __attribute__((noinline)) void isolate(const struct glen_lookup *ctx,
					      struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t v = b->verdict[i], port = v & 0xffff;

		if ((v & GLEN_VERDICT_KIND) != GLEN_VERDICT_PORT ||
		    port == ctx->src)
			continue;
		if (port < ctx->n_ports && ctx->port_isolated[port])
			b->verdict[i] = glen_drop(GLEN_DROP_ISOLATED);
	}
}

static inline uint32_t way(uint32_t port)
{
	return port == T3_NO_PORT ? glen_drop(T3_UNCLAIMED) :
				    glen_to_port(port);
}

void HOT(tuple3_lookup)(void *state, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	struct tuple3 *t = state;
	uint64_t ways = atomic_load_explicit(&t->ways, memory_order_acquire);
	uint32_t other = ways & 0xffff, uplink = ways >> 16 & 0xffff;
	struct t3_look l = {
		.t = t,
		.table = rcu_load(&t->table.array),
		.ctx = ctx,
		.own = ctx->src + 1,
		.claimant = ctx->src != other && ctx->src != uplink,
		.ways = (uint32_t)ways,
		.both = (uint32_t)(ways >> 32),
	};

	if (ctx->src == uplink && ctx->src == other)
		l.away = glen_drop(T3_UNCLAIMED);
	else if (ctx->src == uplink)
		l.away = way(other);
	else if (ctx->src == other)
		l.away = way(uplink);
	else
		l.away = way(uplink == T3_NO_PORT ? other : uplink);
	l.local = way(other);
	l.ask_local = l.claimant && uplink != T3_NO_PORT && uplink != other;
	for (unsigned at = 0; at < b->n; at += GROUP)
		group(&l, b, at);
	if (ctx->src_isolated)
		isolate(ctx, b);
}
