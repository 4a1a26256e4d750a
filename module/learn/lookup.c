// SPDX-License-Identifier: BSD-2-Clause
// learn/lookup.c - verdicts of the learning bridge (hot).
#include "module/learn/learn.h"

#include "core/bytes.h"
#include "core/port.h"

/*
 * Works in rounds of GROUP packets. First the addresses are taken out of the
 * headers. Neighbours mostly share their source, and often the destination:
 * each run of equal ones becomes one look-up. All buckets are prefetched before
 * the first is read, so a table that is larger than the caches costs
 * bandwidth, not latency. What is not found in its first bucket goes on a list
 * and is finished in a second pass.
 */
enum { GROUP = 64 };

_Static_assert(GLEN_BATCH_MAX % GROUP == 0, "groups fill a batch");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "keys hold the MAC as it is loaded");

/* Runs of packets with the same address. */
struct runs {
	unsigned n;
	uint64_t key[GROUP];
	uint64_t hash[GROUP];
	uint16_t start[GROUP + 1]; /* first packet, relative to the group */
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

/* The VLAN id's bits of a key, for a packet with a tag. */
static __attribute__((noinline)) uint64_t vlan_bits(const struct table *t,
						    const uint8_t *h)
{
	uint64_t vid = __builtin_bswap16(load16(h + 14)) & 0xfff;

	return t->vlan ? vid << KEY_VLAN_SHIFT : 0;
}

/*
 * Addresses of n packets as runs, their hashes, and prefetches. Sources change
 * rarely or always, which a branch predicts; destinations change now and then:
 * those are stored each time, and kept if they begin a new run.
 */
static inline void extract(const struct table *t, const uint8_t *h,
			   size_t stride, unsigned n, struct runs *src,
			   struct runs *dst)
{
	uint64_t last_s = ~0ULL, last_d = ~0ULL; /* no keys */
	size_t n_s = 0, n_d = 0;

	for (size_t i = 0; i < n; i++, h += stride) {
		uint64_t s = load64(h + 6), d = load64(h) & KEY_MAC_MASK;
		uint64_t type = s >> 48, hash;

		s &= KEY_MAC_MASK;
		if (__builtin_expect(type == TPID_VLAN || type == TPID_SERVICE,
				     0)) {
			uint64_t vid = vlan_bits(t, h);

			s |= vid;
			d |= vid;
		}
		if (s != last_s) {
			hash = table_hash(t, s);
			__builtin_prefetch(table_first(t, hash));
			src->key[n_s] = s;
			src->hash[n_s++] = hash;
			last_s = s;
		}
		hash = table_hash(t, d);
		__builtin_prefetch(table_first(t, hash));
		n_d += d != last_d;
		dst->key[n_d - 1] = d;
		dst->hash[n_d - 1] = hash;
		dst->start[n_d] = i + 1;
		last_d = d;
	}
	dst->start[0] = 0;
	src->n = n_s;
	dst->n = n_d;
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

/* Lists the runs whose source is not known just as it is now. */
static inline unsigned check_sources(const struct look *look,
				     const struct runs *src, uint8_t *list)
{
	const struct table *t = look->table;
	struct bucket *buckets = t->buckets;
	uint64_t mask = t->mask, fresh = look->fresh;
	size_t n = 0, n_runs = src->n;

	for (size_t i = 0; i < n_runs; i++) {
		uint64_t key = src->key[i], hash = src->hash[i];
		uint64_t val = bucket_find(&buckets[hash & mask], key, hash);

		val &= VAL_PORT | VAL_AGE | VAL_VALID;
		if (__builtin_expect(val == fresh, 1))
			continue;
		if (!may_learn(key))
			continue;
		__builtin_prefetch(table_second(t, hash));
		list[n++] = i;
	}
	return n;
}

/* Verdicts from the first buckets; lists the runs that have none yet. */
static inline unsigned first_buckets(const struct look *look,
				     const struct runs *dst, uint32_t *verdict,
				     uint8_t *list)
{
	const struct table *t = look->table;
	struct bucket *buckets = t->buckets;
	uint64_t mask = t->mask, age_limit = look->age_limit;
	uint32_t now_s = look->now_s;
	size_t n = 0, n_runs = dst->n;

	for (size_t i = 0; i < n_runs; i++) {
		uint64_t hash = dst->hash[i];
		uint64_t val = bucket_find(&buckets[hash & mask], dst->key[i],
					   hash);
		uint32_t v = glen_to_port(val & VAL_PORT);
		size_t at = dst->start[i], end = dst->start[i + 1];

		if (__builtin_expect(!val || !table_alive(val, now_s,
							  age_limit),
				     0)) {
			__builtin_prefetch(table_second(t, hash));
			list[n++] = i;
			v = look->flood;
		}
		do {
			verdict[at] = v;
		} while (__builtin_expect(++at < end, 0));
	}
	return n;
}

static void second_buckets(const struct look *look, const struct runs *dst,
			   uint32_t *verdict, const uint8_t *list, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		uint64_t key = dst->key[i], hash = dst->hash[i];
		uint64_t val;

		if (key & KEY_GROUP)
			continue;
		val = bucket_find(table_second(look->table, hash), key, hash);
		if (!val || !table_alive(val, look->now_s, look->age_limit))
			continue;
		for (unsigned at = dst->start[i]; at < dst->start[i + 1]; at++)
			verdict[at] = glen_to_port(val & VAL_PORT);
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
	struct runs src, dst;
	uint8_t list[GROUP];
	unsigned n = b->n - at < GROUP ? b->n - at : GROUP;
	unsigned n_list;

	extract(look->table, glen_batch_hdr(b, at), b->hdr_stride, n, &src,
		&dst);
	n_list = check_sources(look, &src, list);
	for (unsigned i = 0; i < n_list; i++)
		learn(state, ctx, look, src.key[list[i]]);
	n_list = first_buckets(look, &dst, b->verdict + at, list);
	second_buckets(look, &dst, b->verdict + at, list, n_list);
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
