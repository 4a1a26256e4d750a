/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3/quick.h - claims over IPv4 once more, a word each. */
#ifndef MODULE_TUPLE3_QUICK_H
#define MODULE_TUPLE3_QUICK_H
/*
 * Theory of operation
 *
 * What table.h holds for IPv4, but for owners, is here again in a form that
 * most packets are done with: a slot is one word.
 *
 *   bits  0..31   the address, as it is loaded
 *        32..47   the port, likewise; 0: the address itself
 *        48       the lowest bit of the protocol: 0 TCP, 1 UDP
 *        49..63   value: switch port + 1; of an address 1; 0: not (any more)
 *
 * Four slots are a bucket, filled from the front, which is compared at once. A
 * key lives in its own bucket, or in the first with room behind it if that was
 * full when it came. A reader that finds neither the key nor a full bucket
 * knows that the key is not there.
 *
 *   control   takes a slot for a key, or changes its value, by one store
 *   workers   read; they write nothing
 *
 * A key stays in its slot as long as the array lives, so no bucket that was
 * full has room again. When 3/8 of the slots have been used control makes an
 * array with room for what is left, publishes it and frees the old one when
 * nobody reads it any more, as in table.h.
 *
 * The hash is keyed by random numbers of the instance, so nobody who makes
 * claims or sends packets can choose keys that meet in a bucket.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "module/tuple3/table.h"

#if defined(__SANITIZE_THREAD__)
#define T3_ATOMIC_LOADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define T3_ATOMIC_LOADS 1
#endif
#endif
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum {
	T3_QUICK_SLOTS = 4, /* of a bucket */
	T3_QUICK_BITS = 49, /* of a key */
};

#define T3_QUICK_KEY ((1ULL << T3_QUICK_BITS) - 1)
#define T3_QUICK_ADDRESS 0xffffffffULL

struct t3_bucket {
	_Alignas(32) _Atomic uint64_t slot[T3_QUICK_SLOTS];
};

/* One array. Immutable but for the slots and n_used. */
struct t3_quick_array {
	uint64_t seed[2];
	uint64_t mask;	 /* of offsets of buckets */
	uint64_t n_used; /* control only: slots with a key */
	_Alignas(64) struct t3_bucket bucket[];
};

struct t3_quick {
	_Atomic(struct t3_quick_array *) array; /* RCU; control replaces it */
	uint64_t n;				/* control only: values */
};

/* Control. 0 or -errno, -ENOMEM or what getrandom() says. */
int t3_quick_init(struct t3_quick *q);
/* Control. No worker reads it any more. All zero is fine. */
void t3_quick_fini(struct t3_quick *q);
/*
 * Control: stores value (1 to 32767) under the key, which is not 0. An array
 * that became too small is given to retire(), with arg, to be freed when no
 * worker reads it any more. -ENOMEM: nothing changed; not if it is there.
 */
int t3_quick_put(struct t3_quick *q, uint64_t key, uint64_t value,
		 void (*retire)(void *arg, void *array), void *arg);
/* Control: takes a key away, if it is there. */
void t3_quick_remove(struct t3_quick *q, uint64_t key);

/* Any thread: a key from the bytes of a packet. */
static inline uint64_t t3_quick_key(uint32_t addr, uint16_t port,
				    unsigned protocol)
{
	return addr | (uint64_t)port << 32 | (uint64_t)(protocol & 1) << 48;
}

/*
 * Any thread: where the key's own bucket is: its offset in bytes. The key is in
 * both factors: with a seed alone in one, neighbouring keys would fill some
 * buckets twice as often as chance does, with one seed in ten.
 */
static inline uint32_t t3_quick_at(uint64_t key, const uint64_t seed[2],
				   uint64_t mask)
{
	uint64_t turned = key >> 32 | key << 32;

	return (uint32_t)(t3_fold(key ^ seed[0], turned ^ seed[1]) & mask);
}

static inline const struct t3_bucket *t3_quick_bucket(
	const struct t3_quick_array *a, uint64_t at)
{
	return (const void *)((const uint8_t *)a->bucket + at);
}

/* A bit for the slot of the bucket that has the key; 0: none. */
static inline unsigned t3_quick_match(const struct t3_bucket *b, uint64_t key)
{
#if defined(__AVX2__) && !defined(T3_ATOMIC_LOADS)
	__m256i slots = _mm256_load_si256((const __m256i *)(const void *)b);
	__m256i differ = _mm256_xor_si256(slots, _mm256_set1_epi64x(key));
	__m256i same = _mm256_cmpeq_epi64(_mm256_slli_epi64(differ,
							    64 - T3_QUICK_BITS),
					  _mm256_setzero_si256());

	return _mm256_movemask_pd(_mm256_castsi256_pd(same));
#else
	unsigned match = 0;

	for (unsigned i = 0; i < T3_QUICK_SLOTS; i++) {
		uint64_t word = atomic_load_explicit(&b->slot[i],
						     memory_order_relaxed);

		match |= (unsigned)!((word ^ key) & T3_QUICK_KEY) << i;
	}
	return match;
#endif
}

/* Any thread: the key's value, from its own bucket on; 0: not there. */
static inline uint64_t t3_quick_find(const struct t3_quick_array *a,
				     uint64_t key, uint64_t at)
{
	for (;;) {
		const struct t3_bucket *b = t3_quick_bucket(a, at);
		unsigned match = t3_quick_match(b, key);

		if (match)
			return atomic_load_explicit(
				       &b->slot[__builtin_ctz(match)],
				       memory_order_relaxed) >>
			       T3_QUICK_BITS;
		if (__builtin_expect(
			    !atomic_load_explicit(&b->slot[T3_QUICK_SLOTS - 1],
						  memory_order_relaxed),
			    1))
			return 0;
		at = (at + sizeof(*b)) & a->mask;
	}
}

#endif
