/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/table.h - a hash table of addresses that many workers share. */
#ifndef MODULE_LEARN_TABLE_H
#define MODULE_LEARN_TABLE_H
/*
 * Theory of operation
 *
 * A table maps (VLAN id, MAC) to a port. It is made of buckets, each one cache
 * line: four keys and four values. There is room for twice as many entries as
 * the user may have. An address lives in one of three buckets, in this order of
 * preference, depending on what was full when it came:
 *
 *   near    in the window, which are the table's first buckets
 *   first   by the same hash anywhere in the table; near, if that is all window
 *   second  by another hash, anywhere
 *
 * The window is as large as the number of entries asks for, so a few addresses
 * have few cache lines and pages, however many the user may have. Most live in
 * their near bucket. A burst of new ones finds room in the other buckets, so it
 * loses nothing but time; the section on windows says how they change.
 *
 *   key  0 vvv mmmmmmmmmmmm   VLAN id, MAC in the order of the wire from the
 *                             lowest byte; 0: the slot is free
 *   val  tttt v age s port    tag, valid, seconds, static, port index;
 *                             0: not (yet, any more) to be used
 *
 * Readers take no lock and write nothing: they find the key, then load the
 * value. Who takes a slot writes val = 0, then key, then val, the last two
 * with release, so a reader that sees a key sees no value older than that. One
 * that saw the key before and the value after is told by the tag, 16 bits of
 * the address's hash: the value is not its own, and it goes on as if it had
 * found nothing.
 *
 * What changes an entry's value only (a refresh of the age, a move to another
 * port) is a compare-and-swap of the value; the tag keeps it from hitting a
 * successor in the slot. What gives or takes a slot holds the locks of all
 * buckets of the address (locks are striped over the buckets), so an address
 * is never twice in the table. Workers only try the locks and leave the
 * learning to a later packet if one is taken; control waits.
 *
 * If all its buckets are full an entry of theirs is moved to another bucket. It
 * is copied first and removed then, and a reader that looks into the buckets
 * in the wrong order at that moment floods one packet. Walks, which must not
 * miss an entry, forbid such moves for their time; table_walk_begin() says how.
 *
 * Windows. There are WINDOW_MIN buckets at first. Who takes a slot and finds
 * half of the window's slots used makes all of the table the window: it writes
 * near_mask. From then on nothing new comes to the window being left
 * (left_mask), but what is in there stays, and who does not find an address in
 * its near bucket looks there as well. Control chooses a window between the two
 * once a second, with a quarter of its slots used at most, also a smaller one
 * after a while. It waits until all workers have passed a quiet point, so that
 * nobody is left who would write to the old window, moves what is there
 * elsewhere, and then makes left_mask near_mask. Before that there is no other
 * window. A worker that finds an address far from its near bucket, where there
 * is room again, moves it as well. No packet is flooded for these moves;
 * table_find_far() says how.
 *
 * While one worker knows of the new window and another one does not, both may
 * have the same new address: who has locked its buckets looks whether near_mask
 * is still what it was. If the other one has put the address in a new near
 * bucket, it held one of the same locks before.
 *
 * The hashes are keyed by random numbers of the instance, so nobody outside can
 * choose addresses that fall into one bucket. The first bucket comes from a
 * hash of 32-bit products, which vectors take several of at once (lookup.c);
 * runs of addresses crowd some buckets with some keys. The second bucket's hash
 * is better and has keys of its own, so that what is crowded out finds room.
 *
 * Times are seconds, 30 bits of them. Workers' clocks may differ by a little:
 * an age up to AGE_SLACK seconds in the future counts as new.
 *
 * Memory: 32 bytes per entry of the capacity. From 65,536 entries on (2 MB) it
 * is taken as huge pages, where the system grants them, and all at once.
 *
 * Limits: capacity entries. If there are that many, or no slot is to be had
 * (that happened to one address in one of 200 tables of a million, just full),
 * an aged entry of its buckets is replaced; if there is none, the address
 * is not learnt. Fresh entries are never pushed out by learning, so that a
 * storm of made-up addresses cannot turn the switch into a hub for others.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define TABLE_ATOMIC_LOADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TABLE_ATOMIC_LOADS 1
#endif
#endif
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum {
	BUCKET_SLOTS = 4,
	TABLE_LOCKS = 1024, /* a power of two */
	TABLE_PORTS = 4096, /* port indexes are below */
	TABLE_CAPACITY_MIN = 16,
	TABLE_CAPACITY_MAX = 1 << 20,
	WINDOW_MIN = 1024, /* buckets, if the table has so many */
	WINDOW_STEP = 4,   /* a window is so many times the next smaller */
	AGE_BITS = 30,
	AGE_SLACK = 16,
	AGE_MAX = 1 << 28, /* longest ageing time */
};

/* The parts of a value. */
#define VAL_PORT 0xffffULL
#define VAL_STATIC (1ULL << 16)
#define VAL_AGE_SHIFT 17
#define VAL_AGE_MASK ((1ULL << AGE_BITS) - 1)
#define VAL_AGE (VAL_AGE_MASK << VAL_AGE_SHIFT)
#define VAL_VALID (1ULL << 47)
#define VAL_TAG_SHIFT 48
#define VAL_TAG (0xffffULL << VAL_TAG_SHIFT)

#define KEY_MAC_MASK 0xffffffffffffULL
#define KEY_GROUP 1ULL /* the group bit: lowest bit of the first byte */
#define KEY_VLAN_SHIFT 48

struct bucket {
	_Alignas(64) _Atomic uint64_t key[BUCKET_SLOTS];
	_Atomic uint64_t val[BUCKET_SLOTS];
};

struct table {
	struct bucket *buckets; /* const: own mapping */
	uint64_t mask;		/* const: number of buckets - 1 */
	uint64_t off_mask;	/* const: the same in bytes, from the start */
	/* As off_mask: the window, and the one being left, if it is another. */
	_Atomic uint64_t
		near_mask; /* control writes, workers if it is left_mask */
	_Atomic uint64_t left_mask; /* control writes */
	uint64_t seed;		    /* const: random, for the first bucket */
	uint64_t seed2[2];	    /* const: random, for the second; [1] odd */
	size_t map_size;	    /* const: bytes at buckets */
	uint32_t capacity;	    /* const: entries allowed */
	bool vlan;		    /* const: keys carry the VLAN id */
	/* Written when a slot is given or taken, by whoever does it. */
	_Alignas(64) _Atomic uint32_t used;
	/* Entries of each port: changed by whoever changes a value, by what was
	 * there before and after; so they are exact. */
	_Atomic uint32_t n_of[TABLE_PORTS];
	/* Control only, of table_settle(). */
	uint64_t settle_at; /* next bucket of the window being left */
	bool settling;	    /* all workers know of the new window */
	bool strays;	    /* some could not be moved, on its way */
	/* Control: a walk goes on, entries stay in their buckets. */
	_Alignas(64) _Atomic uint32_t walking;
	_Atomic uint32_t locks[TABLE_LOCKS]; /* 1: taken */
};

/* What table_learn() did. */
enum learnt {
	LEARNT_NOTHING, /* known, or somebody was quicker */
	LEARNT_NEW,
	LEARNT_MOVED,
	LEARNT_FIXED, /* was known here, and is static from now on */
	LEARNT_NO_ROOM,
	LEARNT_LIMIT,	  /* the port has as many as it may; not learnt */
	LEARNT_ELSEWHERE, /* static at another port; not learnt */
};

/* How a port learns. */
struct table_rule {
	uint32_t limit; /* most addresses of the port; 0: any number */
	bool fixed;	/* what is learnt is static at once */
};

/* A copy of an entry, for people. */
struct table_entry {
	uint64_t key;
	uint32_t age_s;
	uint16_t port;
	bool fixed; /* static */
};

/* -EINVAL (capacity), -ENOMEM, or what getrandom() says. capacity is rounded
 * up to a power of two. */
int table_create(uint32_t capacity, bool vlan, struct table **table);
void table_destroy(struct table *t);

/*
 * Worker: address key was seen at port. ageing_s is 0 for never, rule NULL for
 * any number that age. The caller has checked that key is no group address and
 * not zero.
 */
enum learnt table_learn(struct table *t, uint64_t key, uint16_t port,
			uint32_t now_s, uint32_t ageing_s,
			const struct table_rule *rule);
/* Any thread: entries of the port now. */
static inline uint32_t table_n_of(const struct table *t, uint16_t port)
{
	return atomic_load_explicit(&t->n_of[port % TABLE_PORTS],
				    memory_order_relaxed);
}

/*
 * Worker: key was found far from its near bucket, which has room; moves it
 * there, unless somebody else is about.
 */
void table_come_near(struct table *t, uint64_t key);
/* Control: a static entry; replaces what was known. -ENOSPC. */
int table_add_static(struct table *t, uint64_t key, uint16_t port);
/* Control: -ENOENT if there is none. */
int table_del(struct table *t, uint64_t key);
/* Control: the same, only if it is static and at this port. */
int table_del_static(struct table *t, uint64_t key, uint16_t port);
/* Control: removes entries of port (-1: of all), static ones only if asked.
 * Returns how many. */
uint32_t table_flush(struct table *t, int port, bool fixed);
/*
 * Control: removes aged entries of n buckets from *at on, and moves *at on,
 * around the table.
 */
void table_sweep(struct table *t, uint64_t *at, uint64_t n, uint32_t now_s,
		 uint32_t ageing_s);
/*
 * Control: chooses the window by the number of entries. True if there is one
 * being left since now: before anything else the caller waits until all workers
 * have passed a quiet point.
 */
bool table_fit(struct table *t);
/* The same, but a window of so many buckets, a power of two. Only if there is
 * none being left. */
bool table_set_window(struct table *t, uint64_t n_buckets);
/* Control: moves entries from the next n buckets of the window being left. */
void table_settle(struct table *t, uint64_t n);
/* Control: entries of from that fit are copied to the empty table to, static
 * ones first; those for which keep() is false are left out. NULL: all. */
void table_copy(struct table *to, struct table *from,
		bool (*keep)(const struct table_entry *entry));
/*
 * Control: calls visit() for each entry that has not aged, until it returns
 * false. Returns how many entries there were in all.
 */
uint32_t table_each(struct table *t, uint32_t now_s, uint32_t ageing_s,
		    bool (*visit)(void *arg, const struct table_entry *entry),
		    void *arg);

/* Spreads what 32 bits differ in over all of them: odd, bits without order. */
#define TABLE_MIX 0x9e3779b1U

/* Which buckets are near and first, and the tag. lookup.c has it in vectors. */
static inline uint64_t table_hash(const struct table *t, uint64_t key)
{
	uint32_t low = (uint32_t)key + (uint32_t)t->seed;
	uint32_t high = (uint32_t)(key >> 32) + (uint32_t)(t->seed >> 32);
	uint64_t hash = (uint64_t)low * high;

	hash = (uint64_t)(uint32_t)(hash ^ hash >> 32) * TABLE_MIX;
	return hash ^ hash >> 32;
}

/* The bucket that any bits lead to. */
static inline struct bucket *table_at(const struct table *t, uint64_t hash)
{
	return (struct bucket *)(void *)((char *)t->buckets +
					 (hash & t->off_mask));
}

static inline struct bucket *table_first(const struct table *t, uint64_t hash)
{
	return table_at(t, hash);
}

/* acquire: pairs with table_set_window(), left_mask is not older */
static inline uint64_t table_window(const struct table *t)
{
	return atomic_load_explicit(&t->near_mask, memory_order_acquire);
}

static inline struct bucket *table_near(const struct table *t, uint64_t hash)
{
	return table_at(t, hash & table_window(t));
}

/* Multiplies and folds the halves of the product into one. */
static inline uint64_t table_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline struct bucket *table_second(const struct table *t, uint64_t key)
{
	uint64_t hash = table_fold(key ^ t->seed2[0], t->seed2[1]);

	return table_at(t, table_fold(hash, 0x9e3779b97f4a7c15ULL));
}

/* acquire: pairs with slot_take(), the value is not older than the key */
static inline unsigned slot_matches(const struct bucket *b, unsigned i,
				    uint64_t key)
{
	return (unsigned)(atomic_load_explicit(&b->key[i],
					       memory_order_acquire) == key)
	       << i;
}

/*
 * One bit per slot that holds key. With AVX2 all four keys are compared at
 * once; the compiler cannot move the load of the value before that, because
 * its address comes out of it, and should a lane ever be torn, the value's tag
 * tells.
 */
static inline unsigned bucket_match(const struct bucket *b, uint64_t key)
{
#if defined(__AVX2__) && !defined(TABLE_ATOMIC_LOADS)
	__m256i keys = _mm256_load_si256((const __m256i *)(const void *)b->key);
	__m256i same = _mm256_cmpeq_epi64(keys, _mm256_set1_epi64x(key));

	return _mm256_movemask_pd(_mm256_castsi256_pd(same));
#else
	return slot_matches(b, 0, key) | slot_matches(b, 1, key) |
	       slot_matches(b, 2, key) | slot_matches(b, 3, key);
#endif
}

/* The value in the first of the slots that match tells, one at least. */
static inline uint64_t bucket_val(const struct bucket *b, unsigned match)
{
	return atomic_load_explicit(&b->val[__builtin_ctzll(match)],
				    memory_order_acquire);
}

/* val is in use and that of an address with this hash: a free slot (key 0) and
 * a successor's value both fail. */
static inline bool val_belongs(uint64_t val, uint64_t hash)
{
	return !((val ^ (hash | VAL_VALID)) & (VAL_TAG | VAL_VALID));
}

/* The value of key, 0 if it is not in this bucket. */
static inline uint64_t bucket_find(const struct bucket *b, uint64_t key,
				   uint64_t hash)
{
	unsigned match = bucket_match(b, key);
	uint64_t val;

	if (!match)
		return 0;
	val = bucket_val(b, match);
	return val_belongs(val, hash) ? val : 0;
}

/* What is to be looked at when key is not in its near bucket. */
static inline void table_prefetch_far(const struct table *t, uint64_t key,
				      uint64_t hash)
{
	if (table_window(t) != t->off_mask)
		__builtin_prefetch(table_first(t, hash));
	__builtin_prefetch(table_second(t, key));
}

/*
 * The value of key, which was not in its near bucket; 0: nor anywhere else. In
 * this order: an entry that control moves from one of these buckets comes into
 * one that is looked at later. acquire: pairs with table_settle(), nothing is
 * in the window being left any more.
 */
static inline uint64_t table_find_far(const struct table *t, uint64_t key,
				      uint64_t hash)
{
	uint64_t near = table_window(t), val = 0;
	uint64_t left = atomic_load_explicit(&t->left_mask,
					     memory_order_acquire);

	if (left != near)
		val = bucket_find(table_at(t, hash & left), key, hash);
	if (!val && near != t->off_mask)
		val = bucket_find(table_first(t, hash), key, hash);
	if (!val)
		val = bucket_find(table_second(t, key), key, hash);
	return val ? val : bucket_find(table_at(t, hash & near), key, hash);
}

/* What table_alive() compares ages with. */
static inline uint64_t table_age_limit(uint32_t ageing_s)
{
	return ageing_s ? ageing_s + AGE_SLACK : VAL_AGE_MASK + 1;
}

/* True if val, an entry's, has not aged at now_s. */
static inline bool table_alive(uint64_t val, uint32_t now_s, uint64_t limit)
{
	uint64_t age = (now_s + AGE_SLACK - (val >> VAL_AGE_SHIFT)) &
		       VAL_AGE_MASK;

	return __builtin_expect(age < limit, 1) || val & VAL_STATIC;
}

#endif
