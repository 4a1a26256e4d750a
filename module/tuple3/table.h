/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3/table.h - a hash table that workers read and control writes. */
#ifndef MODULE_TUPLE3_TABLE_H
#define MODULE_TUPLE3_TABLE_H
/*
 * Theory of operation
 *
 * Keys of 24 bytes lead to a value that is not 0. A slot is half a cache line:
 * the three words of the key, and the value. Slots lie in one array, a key in
 * the first free one from its hash on, and a reader that meets a free slot
 * knows that the key is not there.
 *
 *   control   writes a new key: address, value, then (release) the last word,
 *             which is never 0; gives a key another value, or 0 when it goes
 *   workers   read the last word (acquire), then the rest; they write nothing
 *
 * A key stays in its slot as long as the array lives, also when its value is 0,
 * so a reader never sees one key's value under another. When half of the slots
 * have been used, control makes an array four times as large as what is left
 * needs, publishes it and frees the old one when nobody reads it any more:
 * workers do not wait, and adding and removing costs the same on average,
 * however many keys there are.
 *
 * What a key means is the caller's affair; meta keeps kinds apart:
 *
 *   meta   family (4 or 6) << 24 | protocol << 16 | port, as on the wire
 *   a0 a1  the address as it is loaded; of IPv4 a1 only
 *
 * The hash is keyed by random numbers of the instance, so nobody who makes
 * claims or sends packets can choose keys that follow each other.
 */
#include <stdatomic.h>
#include <stdint.h>

struct t3_key {
	uint64_t a0, a1;
	uint64_t meta; /* not 0 */
};

struct t3_slot {
	_Atomic uint64_t a0, a1, meta; /* control writes once; meta 0: free */
	_Atomic uint64_t value;	       /* control writes; 0: nothing there */
};

/* One array. Immutable but for the slots and n_used. */
struct t3_array {
	uint64_t seed[3];
	uint64_t mask;	 /* slots - 1 */
	uint64_t n_used; /* control only: slots with a key */
	void **data;	 /* control only: by slot, the caller's */
	_Alignas(64) struct t3_slot slot[];
};

struct t3_table {
	_Atomic(struct t3_array *) array; /* RCU; control replaces it */
	uint64_t n;			  /* control only: keys with a value */
};

/* Control. 0 or -errno, -ENOMEM or what getrandom() says. */
int t3_table_init(struct t3_table *t);
/* Control. No worker reads it any more. All zero is fine. */
void t3_table_fini(struct t3_table *t);
/*
 * Control: stores value (not 0) and data under the key. An array that became
 * too small is given to retire(), with arg, to be freed when no worker reads it
 * any more. -ENOMEM: nothing changed.
 */
int t3_table_put(struct t3_table *t, const struct t3_key *key, uint64_t value,
		 void *data, void (*retire)(void *arg, void *array), void *arg);
/* Control: takes a key away, if it is there. */
void t3_table_remove(struct t3_table *t, const struct t3_key *key);
/* Control: the data of a key; NULL: not there. */
void *t3_table_get(const struct t3_table *t, const struct t3_key *key);
/* Control: calls visit() for the data of each key. */
void t3_table_each(const struct t3_table *t,
		   void (*visit)(void *arg, void *data), void *arg);

/* Multiplies and folds the halves of the product into one. */
static inline uint64_t t3_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t t3_hash(const struct t3_array *t,
			       const struct t3_key *key)
{
	uint64_t hash = t3_fold(key->a0 ^ t->seed[0], key->a1 ^ t->seed[1]);

	hash = t3_fold(hash ^ key->meta, t->seed[2]);
	return t3_fold(hash, 0x9e3779b97f4a7c15ULL);
}

/* Any thread: what to prefetch before t3_find(). */
static inline const void *t3_place(const struct t3_array *t, uint64_t hash)
{
	return &t->slot[hash & t->mask];
}

/* Any thread: the key's value; 0: not there. */
static inline uint64_t t3_find(const struct t3_array *t,
			       const struct t3_key *key, uint64_t hash)
{
	for (uint64_t at = hash;; at++) {
		const struct t3_slot *s = &t->slot[at & t->mask];
		/* acquire: pairs with (A) in take_slot() */
		uint64_t meta = atomic_load_explicit(&s->meta,
						     memory_order_acquire);
		uint64_t differ;

		if (!meta)
			return 0;
		differ = meta ^ key->meta;
		differ |= atomic_load_explicit(&s->a0, memory_order_relaxed) ^
			  key->a0;
		differ |= atomic_load_explicit(&s->a1, memory_order_relaxed) ^
			  key->a1;
		if (!differ)
			return atomic_load_explicit(&s->value,
						    memory_order_relaxed);
	}
}

#endif
