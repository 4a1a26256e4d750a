// SPDX-License-Identifier: BSD-2-Clause
// tuple3/lookup.c - verdicts on TCP and UDP packets without options (hot).
#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

/*
 * Works in rounds of GROUP packets, in passes that each keep what they need in
 * registers. First headers are checked, and both keys of each packet taken out
 * of them; then their places in the table are found and prefetched, so a table
 * that is larger than the caches costs bandwidth, not latency; then they are
 * looked up: those of IPv4 in quick.h, those of IPv6 in table.h. What is not
 * the simplest kind of packet is left to full.c, in its turn, so that a flow
 * keeps its order.
 */
enum { GROUP = 64 };

_Static_assert(GLEN_BATCH_MAX % GROUP == 0, "groups fill a batch");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "words are compared as they are loaded");
_Static_assert((T3_TCP & 1) != (T3_UDP & 1), "one bit tells them apart");

enum form { FORM_FULL, FORM_IPV4, FORM_IPV6 };
enum { SRC, DST };

struct group {
	uint8_t form[GROUP];
	/* Of whatever it is; of IPv4 it means something. */
	_Alignas(16) uint64_t key[GROUP][2];
	uint32_t at[GROUP][2]; /* their buckets */
	/* Of IPv6 only. */
	struct t3_key key6[GROUP][2];
	uint64_t hash[GROUP][2];
};

enum {
	LOADED_IPV4 = 0x0008, /* as loaded */
	LOADED_IPV6 = 0xdd86,
};

/* The first 8 bytes of an IPv4 header, as loaded: version, header length, and
 * the fragment's flag and offset; and what they must be. */
#define IPV4_PLAIN_MASK 0xff3f0000000000ffULL
#define IPV4_PLAIN 0x45ULL

static inline uint32_t be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < b);
}

/*
 * The sum of the header in ones' complement is 0, -0 that is. 2^64 - 1 is a
 * multiple of 65535, so words of any size can be added up; then 65535 divides
 * the sum, for which the compiler multiplies.
 */
static inline bool sum_is_right(const uint8_t *ip)
{
	uint64_t sum = add_carry(load64(ip), load64(ip + 12));

	return add_carry(sum, load32(ip + 8)) % 0xffff == 0;
}

/* The least total length that a packet of the protocol has; of TCP and UDP. */
static const uint32_t ipv4_least[256] = {
	[0 ... T3_TCP - 1] = UINT32_MAX,	  [T3_TCP] = IPV4_LEN + TCP_LEN,
	[T3_TCP + 1 ... T3_UDP - 1] = UINT32_MAX, [T3_UDP] = IPV4_LEN + UDP_LEN,
	[T3_UDP + 1 ... 255] = UINT32_MAX,
};

/*
 * A TCP or UDP packet of len bytes that is right, without options, no fragment.
 * Headers are GLEN_HDR_MIN bytes, with zeros behind a short packet. Without a
 * branch on the protocol: they come in any order.
 */
static inline bool is_ipv4(const uint8_t *ip, uint32_t len)
{
	uint32_t total = be16(load16(ip + 2)), protocol = ip[9];
	uint32_t udp_len = be16(load16(ip + IPV4_LEN + 4));
	bool udp_bad = udp_len - UDP_LEN > total - IPV4_LEN - UDP_LEN;

	return (load64(ip) & IPV4_PLAIN_MASK) == IPV4_PLAIN &&
	       total + ETH_LEN <= len && total >= ipv4_least[protocol] &&
	       !(udp_bad & protocol) && sum_is_right(ip);
}

/* Addresses with ports and the protocol's lowest bit; see quick.h. */
static inline void take_ipv4(const uint8_t *ip, uint64_t key[2])
{
#if defined(__SSSE3__)
	const __m128i order = _mm_setr_epi8(4, 5, 6, 7, 12, 13, 1, -1, 8, 9, 10,
					    11, 14, 15, 1, -1);
	__m128i all = _mm_loadu_si128((const __m128i *)(const void *)(ip + 8));
	__m128i keys = _mm_and_si128(_mm_shuffle_epi8(all, order),
				     _mm_set1_epi64x(T3_QUICK_KEY));

	_mm_store_si128((__m128i *)(void *)key, keys);
#else
	key[SRC] = t3_quick_key(load32(ip + 12), load16(ip + 20), ip[9]);
	key[DST] = t3_quick_key(load32(ip + 16), load16(ip + 22), ip[9]);
#endif
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

static inline bool take_ipv6(const uint8_t *ip, uint32_t len,
			     struct t3_key key[2])
{
	uint32_t l4_len = be16(load16(ip + 4)), protocol = ip[6];
	uint64_t meta = META_V6 | protocol << 16;
	uint32_t ports = load32(ip + IPV6_LEN);

	if (ip[0] >> 4 != 6 || ETH_LEN + IPV6_LEN + l4_len > len ||
	    !l4_is_there(ip + IPV6_LEN, protocol, l4_len))
		return false;
	key[SRC] = (struct t3_key){ load64(ip + 8), load64(ip + 16),
				    meta | (ports & 0xffff) };
	key[DST] = (struct t3_key){ load64(ip + 24), load64(ip + 32),
				    meta | ports >> 16 };
	return true;
}

static inline enum form extract_ipv6(const struct t3_array *t,
				     const uint8_t *ip, uint32_t len,
				     struct t3_key key[2], uint64_t hash[2])
{
	if (!take_ipv6(ip, len, key))
		return FORM_FULL;
	for (unsigned i = 0; i < 2; i++) {
		hash[i] = t3_hash(t, &key[i]);
		__builtin_prefetch(t3_place(t, hash[i]));
	}
	return FORM_IPV6;
}

/* How many are IPv4. */
static inline unsigned extract(const struct t3_array *t,
			       const struct glen_batch *b, unsigned at,
			       unsigned n, struct group *g)
{
	const uint8_t *h = glen_batch_hdr(b, at);
	const uint32_t *len = b->len + at;
	size_t stride = b->hdr_stride;
	unsigned n_ipv4 = n;

	for (size_t i = 0; i < n; i++, h += stride) {
		const uint8_t *ip = h + ETH_LEN;
		uint16_t type = load16(h + 12);

		take_ipv4(ip, g->key[i]);
		g->form[i] = FORM_IPV4;
		if (__builtin_expect(type == LOADED_IPV4 && is_ipv4(ip, len[i]),
				     1))
			continue;
		n_ipv4--;
		g->form[i] = FORM_FULL;
		if (type == LOADED_IPV6)
			g->form[i] = extract_ipv6(t, ip, len[i], g->key6[i],
						  g->hash[i]);
	}
	return n_ipv4;
}

static inline void find_buckets(const struct t3_quick_array *q, struct group *g,
				unsigned n)
{
	const uint64_t seed[2] = { q->seed[0], q->seed[1] };
	uint64_t mask = q->mask;

	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < 2; k++) {
			uint32_t at = t3_quick_at(g->key[i][k], seed, mask);

			g->at[i][k] = at;
			__builtin_prefetch(t3_quick_bucket(q, at));
		}
}

/* Nobody claimed where it goes to. */
static inline uint32_t unclaimed_ipv4(const struct t3_look *l, uint64_t dst)
{
	const struct t3_quick_array *q = l->quick;
	uint64_t address = dst & T3_QUICK_ADDRESS;

	if (l->ask_local &&
	    t3_quick_find(q, address, t3_quick_at(address, q->seed, q->mask)))
		return l->local;
	return l->away;
}

static inline uint32_t verdict_ipv4(const struct t3_look *l,
				    const struct t3_quick_array *q,
				    const uint64_t key[2], const uint32_t at[2])
{
	uint64_t from = t3_quick_find(q, key[SRC], at[SRC]);
	uint64_t to = t3_quick_find(q, key[DST], at[DST]);

	if (t3_is_spoofed(l, from))
		return glen_drop(T3_SPOOFED);
	return to ? glen_to_port((uint32_t)to - 1) :
		    unclaimed_ipv4(l, key[DST]);
}

static inline uint32_t verdict_ipv6(const struct t3_look *l,
				    const struct t3_key key[2],
				    const uint64_t hash[2])
{
	return t3_verdict(l, t3_find(l->table, &key[SRC], hash[SRC]),
			  t3_find(l->table, &key[DST], hash[DST]), &key[DST]);
}

/* Some are not IPv4. */
static __attribute__((noinline)) void mixed(const struct t3_look *l,
					    struct glen_batch *b, unsigned at,
					    unsigned n, const struct group *g)
{
	for (unsigned i = 0; i < n; i++) {
		uint32_t *verdict = &b->verdict[at + i];

		if (g->form[i] == FORM_IPV4)
			*verdict = verdict_ipv4(l, l->quick, g->key[i],
						g->at[i]);
		else if (g->form[i] == FORM_IPV6)
			*verdict = verdict_ipv6(l, g->key6[i], g->hash[i]);
		else
			*verdict = t3_full(l, b, at + i);
	}
}

static void group(const struct t3_look *l, struct glen_batch *b, unsigned at)
{
	unsigned n = b->n - at < GROUP ? b->n - at : GROUP;
	const struct t3_quick_array *q = l->quick;
	uint32_t *verdict = b->verdict + at;
	struct group g;
	unsigned n_ipv4 = extract(l->table, b, at, n, &g);

	if (n_ipv4)
		find_buckets(q, &g, n);
	if (n_ipv4 < n) {
		mixed(l, b, at, n, &g);
		return;
	}
	for (size_t i = 0; i < n; i++)
		verdict[i] = verdict_ipv4(l, q, g.key[i], g.at[i]);
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
		.quick = rcu_load(&t->quick.array),
		.ctx = ctx,
		.own = ctx->src + 1,
		.claimant = ctx->src != other && ctx->src != uplink,
		.ways = (uint32_t)ways,
		.both = (uint32_t)(ways >> 32),
	};

	l.usual = l.claimant ? l.own : 0;
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
