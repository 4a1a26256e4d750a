// SPDX-License-Identifier: BSD-2-Clause
// learn/lookup.c - verdicts of the learning bridge (hot).
#include "module/learn/learn.h"

#include "core/bytes.h"
#include "core/port.h"

#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

/*
 * Works in rounds of GROUP packets, in passes that each keep what they need in
 * registers. First the addresses are taken out of the headers. Neighbours
 * mostly share their source, and often the destination: if all of a group do,
 * it is one look-up. All buckets are prefetched before the first is read, so a
 * table that is larger than the caches costs bandwidth, not latency. What is
 * not found in its first bucket goes on a list and is finished in a second
 * pass.
 */
enum { GROUP = 64 };
enum { DST, SRC }; /* as in the header */

_Static_assert(GLEN_BATCH_MAX % GROUP == 0, "groups fill a batch");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "keys hold the MAC as it is loaded");

/* The addresses of a group. */
struct keys {
	unsigned n[2]; /* 1: all packets have the first key */
	_Alignas(16) uint64_t key[GROUP][2];
	uint64_t hash[2][GROUP];
};

/* What is the same for the whole batch. */
struct look {
	struct table *table;
	uint64_t fresh; /* value bits of a source that needs no write */
	uint64_t age_limit;
	uint32_t now_s;
	uint32_t ageing_s;
	uint32_t flood; /* verdict */
};

enum { TPID_VLAN = 0x0081, TPID_SERVICE = 0xa888 }; /* as loaded */

/* The packet has a tag, whose VLAN id belongs to both keys. */
static __attribute__((noinline)) void add_vlan(const struct table *t,
					       const uint8_t *h,
					       uint64_t key[2])
{
	uint64_t vid = __builtin_bswap16(load16(h + 14)) & 0xfff;

	if (!t->vlan)
		return;
	key[DST] |= vid << KEY_VLAN_SHIFT;
	key[SRC] |= vid << KEY_VLAN_SHIFT;
}

static inline void take_keys(const uint8_t *h, uint64_t key[2])
{
#if defined(__SSSE3__)
	const __m128i order = _mm_setr_epi8(0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8,
					    9, 10, 11, -1, -1);
	__m128i head = _mm_loadu_si128((const __m128i *)(const void *)h);

	_mm_store_si128((__m128i *)(void *)key, _mm_shuffle_epi8(head, order));
#else
	key[DST] = load64(h) & KEY_MAC_MASK;
	key[SRC] = load64(h + 6) & KEY_MAC_MASK;
#endif
}

/* The keys of n packets, and whether there are several. */
static inline void extract(const struct table *t, const uint8_t *h,
			   size_t stride, unsigned n, struct keys *k)
{
	uint64_t differ[2] = { 0, 0 };

	for (size_t i = 0; i < n; i++, h += stride) {
		uint16_t type = load16(h + 12);

		take_keys(h, k->key[i]);
		if (__builtin_expect(type == TPID_VLAN || type == TPID_SERVICE,
				     0))
			add_vlan(t, h, k->key[i]);
	}
	for (size_t i = 1; i < n; i++) {
		differ[DST] |= k->key[i][DST] ^ k->key[0][DST];
		differ[SRC] |= k->key[i][SRC] ^ k->key[0][SRC];
	}
	k->n[DST] = differ[DST] ? n : 1;
	k->n[SRC] = differ[SRC] ? n : 1;
}

static inline void find_buckets(const struct table *t, struct keys *k,
				unsigned which)
{
	uint64_t hash, *hashes = k->hash[which];
	size_t n = k->n[which];

	for (size_t i = 0; i < n; i++) {
		hash = table_hash(t, k->key[i][which]);
		hashes[i] = hash;
		__builtin_prefetch(table_first(t, hash));
	}
}

static inline bool may_learn(uint64_t key)
{
	return !(key & KEY_GROUP) && (key & KEY_MAC_MASK);
}

static __attribute__((noinline)) void learn(struct learn *learn,
					    const struct glen_lookup *ctx,
					    const struct look *look,
					    uint64_t key)
{
	struct learn_worker *w = &learn->workers[ctx->worker];

	switch (table_learn(look->table, key, ctx->src, look->now_s,
			    look->ageing_s, NULL)) {
	case LEARNT_MOVED:
		count_add(&w->moves, 1);
		break;
	case LEARNT_NO_ROOM:
		count_add(&w->not_learnt, 1);
		break;
	case LEARNT_NEW:
	case LEARNT_NOTHING:
	case LEARNT_LIMIT:
	case LEARNT_ELSEWHERE:
		break;
	}
}

/* Lists the sources that are not known just as they are now. */
static inline unsigned check_sources(const struct look *look,
				     const struct keys *k, uint8_t *list)
{
	const struct table *t = look->table;
	struct bucket *buckets = t->buckets;
	uint64_t mask = t->mask, fresh = look->fresh;
	size_t n = 0, n_keys = k->n[SRC];

	for (size_t i = 0; i < n_keys; i++) {
		uint64_t key = k->key[i][SRC], hash = k->hash[SRC][i];
		uint64_t want = fresh | (hash & VAL_TAG);
		const struct bucket *b = &buckets[hash & mask];
		unsigned match = bucket_match(b, key);

		if (__builtin_expect(match && (bucket_val(b, match) &
					       ~VAL_STATIC) == want,
				     1))
			continue;
		if (!may_learn(key))
			continue;
		__builtin_prefetch(table_second(t, hash));
		list[n++] = i;
	}
	return n;
}

/* Verdicts from the first buckets; lists the keys that have none yet. */
static inline unsigned first_buckets(const struct look *look,
				     const struct keys *k, uint32_t *verdict,
				     uint8_t *list)
{
	const struct table *t = look->table;
	struct bucket *buckets = t->buckets;
	uint64_t mask = t->mask, age_limit = look->age_limit;
	uint32_t now_s = look->now_s;
	size_t n = 0, n_keys = k->n[DST];

	for (size_t i = 0; i < n_keys; i++) {
		uint64_t hash = k->hash[DST][i];
		uint64_t val = bucket_find(&buckets[hash & mask],
					   k->key[i][DST], hash);

		verdict[i] = glen_to_port(val & VAL_PORT);
		if (__builtin_expect(val && table_alive(val, now_s, age_limit),
				     1))
			continue;
		__builtin_prefetch(table_second(t, hash));
		list[n++] = i;
		verdict[i] = look->flood;
	}
	return n;
}

static void second_buckets(const struct look *look, const struct keys *k,
			   uint32_t *verdict, const uint8_t *list, unsigned n)
{
	for (unsigned j = 0; j < n; j++) {
		unsigned i = list[j];
		uint64_t key = k->key[i][DST], hash = k->hash[DST][i];
		uint64_t val;

		if (key & KEY_GROUP)
			continue;
		val = bucket_find(table_second(look->table, hash), key, hash);
		if (val && table_alive(val, look->now_s, look->age_limit))
			verdict[i] = glen_to_port(val & VAL_PORT);
	}
}

/* The source port is isolated: so must no destination be. */
static __attribute__((noinline)) void isolate(const struct glen_lookup *ctx,
					      struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t v = b->verdict[i], port = v & VAL_PORT;

		if ((v & GLEN_VERDICT_KIND) != GLEN_VERDICT_PORT ||
		    port == ctx->src)
			continue;
		if (port < ctx->n_ports && ctx->port_isolated[port])
			b->verdict[i] = glen_drop(GLEN_DROP_ISOLATED);
	}
}

static unsigned group(struct learn *state, const struct glen_lookup *ctx,
		      const struct look *look, struct glen_batch *b,
		      unsigned at)
{
	const struct table *t = look->table;
	uint32_t *verdict = b->verdict + at;
	struct keys k;
	uint8_t list[GROUP];
	unsigned n = b->n - at < GROUP ? b->n - at : GROUP;
	unsigned n_list;

	extract(t, glen_batch_hdr(b, at), b->hdr_stride, n, &k);
	find_buckets(t, &k, SRC);
	find_buckets(t, &k, DST);
	n_list = check_sources(look, &k, list);
	for (unsigned i = 0; i < n_list; i++)
		learn(state, ctx, look, k.key[list[i]][SRC]);
	n_list = first_buckets(look, &k, verdict, list);
	second_buckets(look, &k, verdict, list, n_list);
	for (unsigned i = k.n[DST]; i < n; i++)
		verdict[i] = verdict[0];
	return n_list;
}

void HOT(learn_lookup)(void *state, const struct glen_lookup *ctx,
		       struct glen_batch *b)
{
	struct learn *l = state;
	uint32_t ageing_s = atomic_load_explicit(&l->ageing_s,
						 memory_order_relaxed);
	struct look look = {
		.table = rcu_load(&l->table),
		.fresh = VAL_VALID | ctx->src |
			 (ctx->now_s & VAL_AGE_MASK) << VAL_AGE_SHIFT,
		.age_limit = table_age_limit(ageing_s),
		.now_s = ctx->now_s,
		.ageing_s = ageing_s,
		.flood = glen_to_set(ctx->src_isolated ? GLEN_SET_NOT_ISOLATED :
							 GLEN_SET_ALL),
	};
	unsigned n_missed = 0;

	if (__builtin_expect(atomic_load_explicit(&l->flags[ctx->src],
						  memory_order_relaxed) != 0,
			     0)) {
		learn_full(l, ctx, b);
		return;
	}
	for (unsigned at = 0; at < b->n; at += GROUP)
		n_missed += group(l, ctx, &look, b, at);
	if (n_missed && meter_limits(&l->flood))
		learn_limit_floods(l, ctx, b);
	if (ctx->src_isolated)
		isolate(ctx, b);
}
