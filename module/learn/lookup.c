// SPDX-License-Identifier: BSD-2-Clause
// learn/lookup.c - verdicts of the learning bridge (hot).
#include "module/learn/learn.h"

#include "lib/bytes.h"
#include "core/port.h"

/*
 * Works in rounds of GROUP packets, in passes that each keep what they need in
 * registers. First the addresses are taken out of the headers. Neighbours
 * mostly share their source, and often the destination: if all of a group do,
 * it is one look-up. Then where the near buckets are, and what a value there
 * must have besides port and age, both addresses of two packets at a time if
 * there is AVX2. If there are more addresses than caches hold all buckets are
 * prefetched before the first is read, so a large table costs bandwidth, not
 * latency. Values come out of their buckets four at a time, with AVX2. What is
 * not just as mostly everything is goes on a list and is looked at more closely
 * in a second pass.
 */
enum { GROUP = 64 };
enum { DST, SRC }; /* as in the header */

_Static_assert(GLEN_BATCH_MAX % GROUP == 0, "groups fill a batch");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "keys hold the MAC as it is loaded");

/* The buckets of fewer addresses stay in the caches next to a core, where a
 * load of them takes less time than another pass. */
enum { PREFETCH_FROM = 4096 };

#if defined(__AVX2__) && !defined(TABLE_ATOMIC_LOADS)
#define VECTORS 1
#endif

/* The addresses of a group. Arrays have room for an even number. */
struct keys {
	unsigned n[2]; /* 1: all packets have the first key */
	_Alignas(32) uint64_t key[GROUP][2];
	/* The bucket to look into, a pointer as vectors make it. */
	_Alignas(32) uint64_t bucket[GROUP][2];
	/* What the value should be: of a source all of it, of a destination
	 * the lowest with its tag that is alive. */
	_Alignas(32) uint64_t want[GROUP][2];
	/* Where it is something else: the value (0: there is none) less what
	 * it should be. */
	_Alignas(32) uint64_t more[GROUP];
};

/* What is the same for the whole batch. */
struct look {
	struct table *table;
	uint64_t near_mask; /* the window */
	uint64_t fresh;	    /* value bits of a source that needs no write */
	/* The lowest value less its tag that is alive, and how many follow;
	 * see alive_window(). */
	uint64_t alive, n_alive;
	uint64_t age_limit;
	uint32_t now_s;
	uint32_t ageing_s;
	uint32_t flood; /* verdict */
	bool prefetch;
};

enum { TPID_VLAN = 0x0081, TPID_SERVICE = 0xa888 }; /* as loaded */

static bool has_tag(const uint8_t *h)
{
	uint16_t type = load16(h + 12);

	return type == TPID_VLAN || type == TPID_SERVICE;
}

/* Some packets have tags, whose VLAN ids belong to both keys. */
static __attribute__((noinline)) void add_vlans(const struct table *t,
						const uint8_t *h, size_t stride,
						unsigned n, struct keys *k)
{
	uint64_t differ[2] = { 0, 0 };

	if (!t->vlan)
		return;
	for (unsigned i = 0; i < n; i++, h += stride) {
		uint64_t vid = __builtin_bswap16(load16(h + 14)) & 0xfff;

		if (has_tag(h)) {
			k->key[i][DST] |= vid << KEY_VLAN_SHIFT;
			k->key[i][SRC] |= vid << KEY_VLAN_SHIFT;
		}
		differ[DST] |= k->key[i][DST] ^ k->key[0][DST];
		differ[SRC] |= k->key[i][SRC] ^ k->key[0][SRC];
	}
	k->n[DST] = differ[DST] ? n : 1;
	k->n[SRC] = differ[SRC] ? n : 1;
}

#if defined(__AVX2__)

static inline __m256i both(const uint8_t *a, const uint8_t *b)
{
	__m256i low = _mm256_castsi128_si256(
		_mm_loadu_si128((const __m128i *)(const void *)a));

	return _mm256_inserti128_si256(
		low, _mm_loadu_si128((const __m128i *)(const void *)b), 1);
}

/* In some header of n. */
static __attribute__((noinline)) bool has_tags(const uint8_t *h, size_t stride,
					       unsigned n)
{
	bool tags = false;

	for (unsigned i = 0; i < n; i++, h += stride)
		tags |= has_tag(h);
	return tags;
}

/*
 * The keys of n packets, and whether there are several; true: there are tags.
 * What differs from the first header tells all of that, but for tags where the
 * types are not the same.
 */
static inline bool extract(const uint8_t *h, size_t stride, unsigned n,
			   struct keys *k)
{
	const __m256i order = _mm256_broadcastsi128_si256(
		_mm_setr_epi8(0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, 10, 11, -1,
			      -1));
	const __m256i first = both(h, h);
	const uint8_t *at = h;
	__m256i differ = _mm256_setzero_si256();
	uint64_t lanes[4];

	for (size_t i = 0; i < n; i += 2, at += 2 * stride) {
		__m256i heads = both(at, i + 1 < n ? at + stride : at);

		_mm256_store_si256((__m256i *)(void *)k->key[i],
				   _mm256_shuffle_epi8(heads, order));
		differ = _mm256_or_si256(differ,
					 _mm256_xor_si256(heads, first));
	}
	_mm256_storeu_si256((__m256i *)(void *)lanes, differ);
	lanes[0] |= lanes[2];
	lanes[1] |= lanes[3];
	k->n[DST] = lanes[0] & KEY_MAC_MASK ? n : 1;
	k->n[SRC] = lanes[0] >> 48 || lanes[1] & 0xffffffff ? n : 1;
	if (lanes[1] & 0xffff00000000)
		return has_tags(h, stride, n);
	return has_tag(h);
}

/* The same as table_hash(), of four keys. */
static inline __m256i hashes(const struct table *t, __m256i keys)
{
	__m256i hash = _mm256_add_epi32(keys,
					_mm256_set1_epi64x((long long)t->seed));

	hash = _mm256_mul_epu32(hash, _mm256_srli_epi64(hash, 32));
	hash = _mm256_xor_si256(hash, _mm256_srli_epi64(hash, 32));
	hash = _mm256_mul_epu32(hash, _mm256_set1_epi64x(TABLE_MIX));
	return _mm256_xor_si256(hash, _mm256_srli_epi64(hash, 32));
}

static inline void find_buckets(const struct look *look, struct keys *k,
				size_t n)
{
	const struct table *t = look->table;
	const __m256i offs = _mm256_set1_epi64x((long long)look->near_mask);
	const __m256i base = _mm256_set1_epi64x((long long)t->buckets);
	const __m256i rest = _mm256_setr_epi64x((long long)look->alive,
						(long long)look->fresh,
						(long long)look->alive,
						(long long)look->fresh);

	for (size_t i = 0; i < n; i += 2) {
		__m256i hash = hashes(
			t, _mm256_load_si256(
				   (const __m256i *)(const void *)k->key[i]));

		_mm256_store_si256(
			(__m256i *)(void *)k->bucket[i],
			_mm256_add_epi64(_mm256_and_si256(hash, offs), base));
		/* The tag: the highest 16 of 64 bits. */
		hash = _mm256_blend_epi16(rest, hash, 0x88);
		_mm256_store_si256((__m256i *)(void *)k->want[i], hash);
	}
}

#else

static inline bool extract(const uint8_t *h, size_t stride, unsigned n,
			   struct keys *k)
{
	uint64_t differ[2] = { 0, 0 };
	bool tags = false;

	for (size_t i = 0; i < n; i++, h += stride) {
		k->key[i][DST] = load64(h) & KEY_MAC_MASK;
		k->key[i][SRC] = load64(h + 6) & KEY_MAC_MASK;
		tags |= has_tag(h);
	}
	for (size_t i = 1; i < n; i++) {
		differ[DST] |= k->key[i][DST] ^ k->key[0][DST];
		differ[SRC] |= k->key[i][SRC] ^ k->key[0][SRC];
	}
	k->n[DST] = differ[DST] ? n : 1;
	k->n[SRC] = differ[SRC] ? n : 1;
	return tags;
}

static inline void find_buckets(const struct look *look, struct keys *k,
				size_t n)
{
	const struct table *t = look->table;

	for (size_t i = 0; i < n; i++) {
		uint64_t dst = table_hash(t, k->key[i][DST]);
		uint64_t src = table_hash(t, k->key[i][SRC]);

		k->bucket[i][DST] = (uintptr_t)table_at(t,
							dst & look->near_mask);
		k->bucket[i][SRC] = (uintptr_t)table_at(t,
							src & look->near_mask);
		k->want[i][DST] = (dst & VAL_TAG) | look->alive;
		k->want[i][SRC] = (src & VAL_TAG) | look->fresh;
	}
}

#endif

static inline struct bucket *bucket_of(const struct keys *k, size_t i,
				       unsigned which)
{
	return (struct bucket *)k->bucket[i][which];
}

static __attribute__((noinline)) void prefetch(const struct keys *k)
{
	for (unsigned i = 0; i < k->n[SRC]; i++)
		__builtin_prefetch(bucket_of(k, i, SRC));
	for (unsigned i = 0; i < k->n[DST]; i++)
		__builtin_prefetch(bucket_of(k, i, DST));
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
	case LEARNT_FIXED:
	case LEARNT_NOTHING:
	case LEARNT_LIMIT:
	case LEARNT_ELSEWHERE:
		break;
	}
}

/* The value that a packet's near bucket has, 0 if none. */
static inline uint64_t value_of(const struct keys *k, size_t i, unsigned which)
{
	const struct bucket *b = bucket_of(k, i, which);
	unsigned match = bucket_match(b, k->key[i][which]);

	return __builtin_expect(match != 0, 1) ? bucket_val(b, match) : 0;
}

#if defined(VECTORS)

/*
 * One of four lanes has the value, the others are 0. The keys are loaded first,
 * as in bucket_match(). No lane is ever torn: processors with AVX load aligned
 * 16 bytes at once.
 */
static inline __m256i value_lanes(const struct keys *k, size_t i,
				  unsigned which)
{
	const struct bucket *b = bucket_of(k, i, which);
	__m256i keys = _mm256_load_si256((const __m256i *)(const void *)b->key);
	__m256i key = _mm256_set1_epi64x((long long)k->key[i][which]);

	atomic_signal_fence(memory_order_acquire);
	return _mm256_and_si256(_mm256_cmpeq_epi64(keys, key),
				_mm256_load_si256(
					(const __m256i *)(const void *)b->val));
}

static inline __m256i or_lanes(__m256i a, __m256i b)
{
	return _mm256_or_si256(_mm256_unpacklo_epi64(a, b),
			       _mm256_unpackhi_epi64(a, b));
}

/* The values of packets i, i + 2, i + 1 and i + 3, in this order. */
static inline __m256i four_values(const struct keys *k, size_t i,
				  unsigned which)
{
	__m256i even = or_lanes(value_lanes(k, i, which),
				value_lanes(k, i + 2, which));
	__m256i odd = or_lanes(value_lanes(k, i + 1, which),
			       value_lanes(k, i + 3, which));

	return _mm256_or_si256(_mm256_permute2x128_si256(even, odd, 0x20),
			       _mm256_permute2x128_si256(even, odd, 0x31));
}

/* What they should be, in the same order. */
static inline __m256i four_wants(const struct keys *k, size_t i, unsigned which)
{
	__m256i a = _mm256_load_si256(
		(const __m256i *)(const void *)k->want[i]);
	__m256i b = _mm256_load_si256(
		(const __m256i *)(const void *)k->want[i + 2]);

	return which == DST ? _mm256_unpacklo_epi64(a, b) :
			      _mm256_unpackhi_epi64(a, b);
}

/* Lists those of four packets that are not good; returns how many are now. */
static __attribute__((noinline)) unsigned list_four(struct keys *k, size_t i,
						    __m256i more, __m256i good,
						    uint8_t *list, unsigned n)
{
	int bits = _mm256_movemask_pd(
		_mm256_castsi256_pd(_mm256_permute4x64_epi64(good, 0xd8)));

	_mm256_store_si256((__m256i *)(void *)&k->more[i],
			   _mm256_permute4x64_epi64(more, 0xd8));
	for (unsigned j = 0; j < 4; j++)
		if (!(bits >> j & 1))
			list[n++] = i + j;
	return n;
}

/* As compare_sources(), of the first packets, as many as four go into. */
static inline unsigned four_sources(struct keys *k, uint8_t *list, unsigned *n)
{
	size_t i = 0;

	for (; i + 4 <= k->n[SRC]; i += 4) {
		__m256i more = _mm256_sub_epi64(four_values(k, i, SRC),
						four_wants(k, i, SRC));
		__m256i good = _mm256_cmpeq_epi64(more, _mm256_setzero_si256());

		if (__builtin_expect(_mm256_movemask_epi8(good) != -1, 0))
			*n = list_four(k, i, more, good, list, *n);
	}
	return i;
}

/* As compare_destinations(), the same. */
static inline unsigned four_destinations(const struct look *look,
					 struct keys *k, uint32_t *verdict,
					 uint8_t *list, unsigned *n)
{
	/* There is no comparison without sign. */
	const __m256i sign = _mm256_set1_epi64x((long long)(1ULL << 63));
	const __m256i n_alive = _mm256_xor_si256(
		_mm256_set1_epi64x((long long)look->n_alive), sign);
	const __m256i order = _mm256_setr_epi32(0, 4, 2, 6, 0, 4, 2, 6);
	const __m128i port = _mm_set1_epi32(VAL_PORT);
	const __m128i to_port = _mm_set1_epi32((int)glen_to_port(0));
	size_t i = 0;

	for (; i + 4 <= k->n[DST]; i += 4) {
		__m256i val = four_values(k, i, DST);
		__m256i more = _mm256_sub_epi64(val, four_wants(k, i, DST));
		__m256i good = _mm256_cmpgt_epi64(n_alive,
						  _mm256_xor_si256(more, sign));
		__m128i low = _mm256_castsi256_si128(
			_mm256_permutevar8x32_epi32(val, order));

		_mm_storeu_si128((__m128i *)(void *)&verdict[i],
				 _mm_or_si128(_mm_and_si128(low, port),
					      to_port));
		if (__builtin_expect(_mm256_movemask_epi8(good) != -1, 0))
			*n = list_four(k, i, more, good, list, *n);
	}
	return i;
}

#else

static inline unsigned four_sources(struct keys *k, uint8_t *list, unsigned *n)
{
	return 0;
}

static inline unsigned four_destinations(const struct look *look,
					 struct keys *k, uint32_t *verdict,
					 uint8_t *list, unsigned *n)
{
	return 0;
}

#endif

/*
 * Lists the sources that are not known just as they are now. Little to be kept
 * in registers: what is listed is the next pass's.
 */
static __attribute__((noinline)) unsigned compare_sources(struct keys *k,
							  uint8_t *list)
{
	unsigned n = 0, n_keys = k->n[SRC];

	for (size_t i = four_sources(k, list, &n); i < n_keys; i++) {
		k->more[i] = value_of(k, i, SRC) - k->want[i][SRC];
		if (__builtin_expect(k->more[i] != 0, 0))
			list[n++] = i;
	}
	return n;
}

static void learn_sources(struct learn *state, const struct glen_lookup *ctx,
			  const struct look *look, const struct keys *k,
			  const uint8_t *list, unsigned n)
{
	for (unsigned j = 0; j < n; j++) {
		unsigned i = list[j];
		uint64_t key = k->key[i][SRC], want = k->want[i][SRC];
		uint64_t val = k->more[i] + want;

		/* Static at this port: its age does not matter. */
		if (((val ^ want) & ~VAL_AGE) == VAL_STATIC)
			continue;
		if (may_learn(key))
			learn(state, ctx, look, key);
	}
}

/*
 * Verdicts from the near buckets; lists the destinations that are not alive
 * there. Nearly all are, which is one comparison with look's window; a wrong
 * tag makes it fail as well.
 */
static __attribute__((noinline)) unsigned compare_destinations(
	const struct look *look, struct keys *k, uint32_t *verdict,
	uint8_t *list)
{
	unsigned n = 0, n_keys = k->n[DST];
	size_t i = four_destinations(look, k, verdict, list, &n);

	for (; i < n_keys; i++) {
		uint64_t val = value_of(k, i, DST);

		verdict[i] = glen_to_port(val & VAL_PORT);
		k->more[i] = val - k->want[i][DST];
		if (__builtin_expect(k->more[i] >= look->n_alive, 0))
			list[n++] = i;
	}
	return n;
}

/* Leaves in the list whose entry is not in the near bucket, or has aged. */
static unsigned near_buckets(const struct look *look, struct keys *k,
			     uint8_t *list, unsigned n)
{
	const struct table *t = look->table;
	unsigned left = 0;

	for (unsigned j = 0; j < n; j++) {
		unsigned i = list[j];
		uint64_t val = k->more[i] + look->alive; /* less the tag */
		uint64_t key;

		if (val >> VAL_AGE_SHIFT >> AGE_BITS == 1 &&
		    table_alive(val, look->now_s, look->age_limit))
			continue;
		key = k->key[i][DST];
		if (!(key & KEY_GROUP))
			table_prefetch_far(t, key, table_hash(t, key));
		list[left++] = i;
	}
	return left;
}

static void far_buckets(const struct look *look, const struct keys *k,
			uint32_t *verdict, const uint8_t *list, unsigned n)
{
	struct table *t = look->table;

	for (unsigned j = 0; j < n; j++) {
		unsigned i = list[j];
		uint64_t key = k->key[i][DST], hash, val;

		verdict[i] = look->flood;
		if (key & KEY_GROUP)
			continue;
		hash = table_hash(t, key);
		val = table_find_far(t, key, hash);
		if (val && table_alive(val, look->now_s, look->age_limit))
			verdict[i] = glen_to_port(val & VAL_PORT);
		if (val && bucket_match(table_near(t, hash), 0))
			table_come_near(t, key);
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
	const uint8_t *hdr = glen_batch_hdr(b, at);
	uint32_t *verdict = b->verdict + at;
	struct keys k;
	uint8_t list[GROUP];
	unsigned n = b->n - at < GROUP ? b->n - at : GROUP;
	unsigned n_list;

	if (__builtin_expect(extract(hdr, b->hdr_stride, n, &k), 0))
		add_vlans(t, hdr, b->hdr_stride, n, &k);
	find_buckets(look, &k, k.n[DST] > k.n[SRC] ? k.n[DST] : k.n[SRC]);
	if (look->prefetch)
		prefetch(&k);
	n_list = compare_sources(&k, list);
	learn_sources(state, ctx, look, &k, list, n_list);
	n_list = compare_destinations(look, &k, verdict, list);
	n_list = near_buckets(look, &k, list, n_list);
	far_buckets(look, &k, verdict, list, n_list);
	for (unsigned i = k.n[DST]; i < n; i++)
		verdict[i] = verdict[0];
	return n_list;
}

/*
 * Below tag and VAL_VALID a value is age, static, port, so those of ages from
 * one to another are in a row. Where time wraps look->alive is the row's other
 * end only; the rest goes through table_alive(). The row ends where the next
 * tag begins, or before, so no value with another tag is in it.
 */
static inline void alive_window(struct look *look)
{
	uint64_t end = (look->now_s + AGE_SLACK) & VAL_AGE_MASK;
	uint64_t n = look->age_limit < end + 1 ? look->age_limit : end + 1;

	look->alive = VAL_VALID | (end + 1 - n) << VAL_AGE_SHIFT;
	look->n_alive = n << VAL_AGE_SHIFT;
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
						  memory_order_relaxed) != 0 ||
				     b->asks,
			     0)) {
		learn_full(l, ctx, b);
		return;
	}
	look.near_mask = table_window(look.table);
	look.prefetch = atomic_load_explicit(&look.table->used,
					     memory_order_relaxed) >=
			PREFETCH_FROM;
	alive_window(&look);
	for (unsigned at = 0; at < b->n; at += GROUP)
		n_missed += group(l, ctx, &look, b, at);
	if (n_missed && meter_limits(&l->flood))
		learn_limit_floods(l, ctx, b);
	if (ctx->src_isolated)
		isolate(ctx, b);
}
