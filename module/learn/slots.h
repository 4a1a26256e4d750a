/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/slots.h - where an address may live, and how slots change hands. */
#ifndef MODULE_LEARN_SLOTS_H
#define MODULE_LEARN_SLOTS_H
/*
 * What the files of the table share; table.h has the theory. A home is the
 * buckets of one address. Who gives or takes a slot, or moves an entry, holds
 * the locks of its buckets in a lock_set. Workers and control, as it says
 * there.
 */
#include <sched.h>

#include "module/learn/table.h"

enum { HOME_MAX = 4 };

/* The locks of an address's buckets and one more, each taken once. */
struct lock_set {
	_Atomic uint32_t *held[HOME_MAX + 1];
	unsigned n;
};

/* Where an address may live, and its tag. */
struct home {
	struct bucket *bucket[HOME_MAX]; /* the best first */
	unsigned n;			 /* it may be in so many of them */
	unsigned n_new;			 /* and come to so many */
	uint64_t window;		 /* near_mask as it was found */
	uint64_t tag;			 /* where values have it */
};

/* A slot of the table. */
struct slot {
	struct bucket *bucket;
	unsigned i;
};

static inline struct home home_of(const struct table *t, uint64_t key)
{
	uint64_t hash = table_hash(t, key);
	struct home home = { .window = table_window(t), .tag = hash & VAL_TAG };
	uint64_t left = atomic_load_explicit(&t->left_mask,
					     memory_order_acquire);

	home.bucket[home.n++] = table_at(t, hash & home.window);
	if (home.window != t->off_mask)
		home.bucket[home.n++] = table_first(t, hash);
	home.bucket[home.n++] = table_second(t, key);
	home.n_new = home.n;
	if (left != home.window)
		home.bucket[home.n++] = table_at(t, hash & left);
	return home;
}

static inline _Atomic uint32_t *lock_of(struct table *t, const struct bucket *b)
{
	return &t->locks[(b - t->buckets) & (TABLE_LOCKS - 1)];
}

/* acquire: pairs with unlock() */
static inline bool try_lock(_Atomic uint32_t *lock)
{
	return !atomic_load_explicit(lock, memory_order_relaxed) &&
	       !atomic_exchange_explicit(lock, 1, memory_order_acquire);
}

/* release: pairs with try_lock() */
static inline void unlock(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

/* Adds the bucket's lock to the set; false if somebody else has it. */
static inline bool lock_bucket(struct lock_set *set, struct table *t,
			       const struct bucket *b)
{
	_Atomic uint32_t *lock = lock_of(t, b);

	for (unsigned i = 0; i < set->n; i++)
		if (set->held[i] == lock)
			return true;
	if (!try_lock(lock))
		return false;
	set->held[set->n++] = lock;
	return true;
}

static inline void unlock_all(struct lock_set *set)
{
	while (set->n)
		unlock(set->held[--set->n]);
}

/* All buckets of a home, or none. */
static inline bool lock_home(struct lock_set *set, struct table *t,
			     const struct home *home)
{
	set->n = 0;
	for (unsigned i = 0; i < home->n; i++) {
		if (lock_bucket(set, t, home->bucket[i]))
			continue;
		unlock_all(set);
		return false;
	}
	return true;
}

/* Control only: workers hold locks for some hundred instructions. */
static inline void lock_home_wait(struct lock_set *set, struct table *t,
				  const struct home *home)
{
	while (!lock_home(set, t, home))
		sched_yield();
}

static inline uint64_t slot_val(struct slot s)
{
	return atomic_load_explicit(&s.bucket->val[s.i], memory_order_relaxed);
}

static inline _Atomic uint32_t *n_of(struct table *t, uint64_t val)
{
	return &t->n_of[(val & VAL_PORT) % TABLE_PORTS];
}

/* A value (0: none) came into the table. */
static inline void count_in(struct table *t, uint64_t val)
{
	if (val)
		atomic_fetch_add_explicit(n_of(t, val), 1,
					  memory_order_relaxed);
}

/* A value (0: none) is gone. */
static inline void count_out(struct table *t, uint64_t val)
{
	if (val)
		atomic_fetch_sub_explicit(n_of(t, val), 1,
					  memory_order_relaxed);
}

/* Lock held: frees the slot; true if it was in use. */
static inline bool slot_free(struct table *t, struct slot s)
{
	uint64_t val = atomic_exchange_explicit(&s.bucket->val[s.i], 0,
						memory_order_relaxed);

	count_out(t, val);
	atomic_store_explicit(&s.bucket->key[s.i], 0, memory_order_release);
	return val != 0;
}

/* Lock held: the slot now belongs to key. The caller has counted val. */
static inline void slot_take(struct table *t, struct slot s, uint64_t key,
			     uint64_t val)
{
	uint64_t old = atomic_exchange_explicit(&s.bucket->val[s.i], 0,
						memory_order_relaxed);

	count_out(t, old);
	/* release: pairs with bucket_match(), which then sees 0 or val */
	atomic_store_explicit(&s.bucket->key[s.i], key, memory_order_release);
	atomic_store_explicit(&s.bucket->val[s.i], val, memory_order_release);
}

static inline bool bucket_slot(struct bucket *b, uint64_t key, struct slot *s)
{
	unsigned match = bucket_match(b, key);

	if (!match)
		return false;
	*s = (struct slot){ b, __builtin_ctz(match) };
	return true;
}

/* The slot of key; only a hint unless the locks are held. */
static inline bool find_slot(const struct home *home, uint64_t key,
			     struct slot *s)
{
	for (unsigned i = 0; i < home->n; i++)
		if (bucket_slot(home->bucket[i], key, s))
			return true;
	return false;
}

/* Locks held: a slot without an entry, where one may come to. */
static inline bool find_free(const struct home *home, struct slot *s)
{
	for (unsigned i = 0; i < home->n_new; i++)
		if (bucket_slot(home->bucket[i], 0, s))
			return true;
	return false;
}

static inline bool may_come(const struct home *home, const struct bucket *b)
{
	for (unsigned i = 0; i < home->n_new; i++)
		if (home->bucket[i] == b)
			return true;
	return false;
}

/*
 * Locks of both buckets held: moves the entry in slot from to slot to. A worker
 * may refresh or move the address meanwhile, in either copy; what it wrote into
 * the new one may be lost, which the next packet sets right. Who finds nothing
 * in the old slot any more finds the new one: release, pairs with
 * bucket_find(). The copy is not counted, so that no port seems to have one
 * address more.
 */
static inline void relocate(struct table *t, struct slot from, struct slot to,
			    uint64_t key)
{
	uint64_t copied = slot_val(from), val = copied, old;

	slot_take(t, to, key, copied);
	while (!atomic_compare_exchange_strong_explicit(
		&from.bucket->val[from.i], &val, 0, memory_order_release,
		memory_order_relaxed)) {
		count_in(t, val);
		old = atomic_exchange_explicit(&to.bucket->val[to.i], val,
					       memory_order_acq_rel);
		count_out(t, old);
	}
	if (val != copied) {
		count_in(t, copied);
		count_out(t, val);
	}
	atomic_store_explicit(&from.bucket->key[from.i], 0,
			      memory_order_release);
}

/* Control, nobody else knows the table yet: the window for so many entries. */
void table_init_window(struct table *t, uint64_t n_entries);
/*
 * Locks of home's buckets held, all slots of those where an address may come
 * to taken: moves one entry to another bucket and returns the slot that became
 * free.
 */
bool table_make_room(struct table *t, struct lock_set *set,
		     const struct home *home, struct slot *room);
/* Whoever took a slot: all of the table is window, if too many are in it. */
void table_widen(struct table *t);

#endif
