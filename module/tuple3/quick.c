// SPDX-License-Identifier: BSD-2-Clause
// tuple3/quick.c - how control writes the short form of claims over IPv4.
#include "module/tuple3/quick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/rcu.h"

enum {
	BUCKETS_MIN = 16,
	SPARE = 4, /* slots per key of a new array, at least */
};

static struct t3_quick_array *current_array(const struct t3_quick *q)
{
	return atomic_load_explicit(&q->array, memory_order_relaxed);
}

/* An empty array with room for n keys and more. */
static struct t3_quick_array *make_array(uint64_t n, const uint64_t seed[2])
{
	uint64_t n_buckets = BUCKETS_MIN;
	struct t3_quick_array *a;
	size_t size;

	while (n_buckets * T3_QUICK_SLOTS < n * SPARE)
		n_buckets *= 2;
	size = sizeof(*a) + n_buckets * sizeof(a->bucket[0]);
	a = aligned_alloc(64, (size + 63) & ~63UL);
	if (!a)
		return NULL;
	memset(a, 0, size);
	memcpy(a->seed, seed, sizeof(a->seed));
	a->mask = (n_buckets - 1) * sizeof(a->bucket[0]);
	return a;
}

static uint64_t n_slots(const struct t3_quick_array *a)
{
	return (a->mask / sizeof(a->bucket[0]) + 1) * T3_QUICK_SLOTS;
}

static _Atomic uint64_t *slot_at(struct t3_quick_array *a, uint64_t i)
{
	return &a->bucket[i / T3_QUICK_SLOTS].slot[i % T3_QUICK_SLOTS];
}

static uint64_t load(const _Atomic uint64_t *slot)
{
	return atomic_load_explicit(slot, memory_order_relaxed);
}

/* The slot with this key; if there is none, a free one. */
static _Atomic uint64_t *place(struct t3_quick_array *a, uint64_t key)
{
	uint64_t n = n_slots(a), at = t3_quick_at(key, a->seed, a->mask);

	for (uint64_t i = at / sizeof(a->bucket[0]) * T3_QUICK_SLOTS;; i++) {
		_Atomic uint64_t *slot = slot_at(a, i % n);
		uint64_t word = load(slot);

		if (!word || (word & T3_QUICK_KEY) == key)
			return slot;
	}
}

static void store(_Atomic uint64_t *slot, uint64_t key, uint64_t value)
{
	/* One word: nothing else belongs to it. */
	atomic_store_explicit(slot, key | value << T3_QUICK_BITS,
			      memory_order_relaxed);
}

static void copy_slots(struct t3_quick_array *to, struct t3_quick_array *from)
{
	for (uint64_t i = 0, n = n_slots(from); i < n; i++) {
		uint64_t word = load(slot_at(from, i));
		uint64_t key = word & T3_QUICK_KEY;

		if (word == key)
			continue;
		store(place(to, key), key, word >> T3_QUICK_BITS);
		to->n_used++;
	}
}

int t3_quick_init(struct t3_quick *q)
{
	struct t3_quick_array *a;
	uint64_t seed[2];

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -errno;
	a = make_array(0, seed);
	q->n = 0;
	if (!a)
		return -ENOMEM;
	rcu_publish(&q->array, a);
	return 0;
}

void t3_quick_fini(struct t3_quick *q)
{
	free(current_array(q));
	atomic_store_explicit(&q->array, NULL, memory_order_relaxed);
}

/* An array in which one more key finds a place. */
static struct t3_quick_array *roomy(struct t3_quick *q,
				    void (*retire)(void *arg, void *array),
				    void *arg)
{
	struct t3_quick_array *old = current_array(q), *a;

	if (old->n_used < n_slots(old) * 3 / 8)
		return old;
	a = make_array(q->n + 1, old->seed);
	if (!a)
		return NULL;
	copy_slots(a, old);
	rcu_publish(&q->array, a);
	retire(arg, old);
	return a;
}

int t3_quick_put(struct t3_quick *q, uint64_t key, uint64_t value,
		 void (*retire)(void *arg, void *array), void *arg)
{
	struct t3_quick_array *a = current_array(q);
	_Atomic uint64_t *slot = place(a, key);
	uint64_t word = load(slot);

	if (!word) {
		a = roomy(q, retire, arg);
		if (!a)
			return -ENOMEM;
		slot = place(a, key);
		a->n_used++;
	}
	q->n += !(word >> T3_QUICK_BITS);
	store(slot, key, value);
	return 0;
}

void t3_quick_remove(struct t3_quick *q, uint64_t key)
{
	_Atomic uint64_t *slot = place(current_array(q), key);
	uint64_t word = load(slot);

	if (!word)
		return;
	q->n -= word >> T3_QUICK_BITS != 0;
	store(slot, key, 0);
}
