// SPDX-License-Identifier: BSD-2-Clause
// learn/table.c - everything about the address table but the fast look-up.
#include "module/learn/table.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "module/learn/slots.h"

enum { HUGE_PAGE = 2 << 20 };

/*
 * Zeroed memory for buckets, or NULL. Addresses lie anywhere in it, so with
 * small pages nearly each look-up misses the TLB. Huge ones are only a wish;
 * where they are granted this is the time to have them cleared, and not when a
 * worker learns its first address.
 */
static struct bucket *map_buckets(size_t size)
{
	size_t slack = size < HUGE_PAGE ? 0 : HUGE_PAGE, head;
	char *map = mmap(NULL, size + slack, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	if (!slack)
		return (struct bucket *)(void *)map;
	head = -(uintptr_t)map % HUGE_PAGE;
	if (head)
		munmap(map, head);
	if (slack - head)
		munmap(map + head + size, slack - head);
	map += head;
	if (!madvise(map, size, MADV_HUGEPAGE))
		for (size_t at = 0; at < size; at += HUGE_PAGE)
			*(volatile char *)(map + at) = 0;
	return (struct bucket *)(void *)map;
}

int table_create(uint32_t capacity, bool vlan, struct table **table)
{
	uint32_t rounded = TABLE_CAPACITY_MIN;
	uint64_t seeds[3];
	struct table *t;
	ssize_t got;
	int err;

	if (capacity > TABLE_CAPACITY_MAX)
		return -EINVAL;
	while (rounded < capacity)
		rounded *= 2;
	t = aligned_alloc(64, sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct table){ .capacity = rounded, .vlan = vlan };
	got = getrandom(seeds, sizeof(seeds), 0);
	if (got != sizeof(seeds)) {
		err = got < 0 ? -errno : -EIO;
		goto err_free;
	}
	t->seed = seeds[0];
	t->seed2[0] = seeds[1];
	t->seed2[1] = seeds[2] | 1;
	t->mask = rounded / (BUCKET_SLOTS / 2) - 1;
	t->map_size = (t->mask + 1) * sizeof(struct bucket);
	t->off_mask = t->map_size - sizeof(struct bucket);
	table_init_window(t, 0);
	t->buckets = map_buckets(t->map_size);
	if (!t->buckets) {
		err = -ENOMEM;
		goto err_free;
	}
	*table = t;
	return 0;

err_free:
	free(t);
	return err;
}

void table_destroy(struct table *t)
{
	if (!t)
		return;
	munmap(t->buckets, t->map_size);
	free(t);
}

/* Counts one more entry of a port, unless there are limit (0: any) already. */
static bool reserve_of(struct table *t, uint16_t port, uint32_t limit)
{
	_Atomic uint32_t *n = n_of(t, port);
	uint32_t was = atomic_load_explicit(n, memory_order_relaxed);

	do {
		if (limit && was >= limit)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(n, &was, was + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

/*
 * Finds the entry of a home's buckets that was not heard of for longest, of
 * those that have aged (any: of all) and are not static.
 */
static bool find_oldest(const struct home *home, uint32_t now_s,
			uint32_t ageing_s, bool any, struct slot *oldest)
{
	uint64_t limit = table_age_limit(ageing_s), best = 0;
	bool found = false;

	for (unsigned i = 0; i < home->n_new * BUCKET_SLOTS; i++) {
		struct slot s = { home->bucket[i / BUCKET_SLOTS],
				  i % BUCKET_SLOTS };
		uint64_t val = slot_val(s);
		uint64_t age = (now_s + AGE_SLACK - (val >> VAL_AGE_SHIFT)) &
			       VAL_AGE_MASK;

		if (!(val & VAL_VALID) || val & VAL_STATIC)
			continue;
		if (!any && table_alive(val, now_s, limit))
			continue;
		if (found && age <= best)
			continue;
		*oldest = s;
		best = age;
		found = true;
	}
	return found;
}

static uint64_t make_val(uint64_t tag, uint16_t port, uint32_t now_s)
{
	return tag | VAL_VALID | (now_s & VAL_AGE_MASK) << VAL_AGE_SHIFT | port;
}

/* Counts one more entry, unless there are as many as may be. */
static bool reserve_entry(struct table *t)
{
	uint32_t used = atomic_load_explicit(&t->used, memory_order_relaxed);

	do {
		if (used >= t->capacity)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&t->used, &used,
							used + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void release_entries(struct table *t, uint32_t n)
{
	atomic_fetch_sub_explicit(&t->used, n, memory_order_relaxed);
}

static bool is_full(const struct table *t)
{
	return atomic_load_explicit(&t->used, memory_order_relaxed) >=
	       t->capacity;
}

/* Lock of the entry's bucket held: moves it to another one, not of avoid. */
static bool move_away(struct table *t, struct lock_set *set, struct slot from,
		      const struct home *avoid)
{
	uint64_t key = atomic_load_explicit(&from.bucket->key[from.i],
					    memory_order_relaxed);
	struct home home = home_of(t, key);

	for (unsigned i = 0; i < home.n_new; i++) {
		struct bucket *other = home.bucket[i];
		unsigned held = set->n;
		struct slot to;

		if (may_come(avoid, other) || !bucket_match(other, 0) ||
		    !lock_bucket(set, t, other))
			continue;
		if (bucket_slot(other, 0, &to)) {
			relocate(t, from, to, key);
			return true;
		}
		if (set->n > held)
			unlock(set->held[--set->n]);
	}
	return false;
}

bool table_make_room(struct table *t, struct lock_set *set,
		     const struct home *home, struct slot *room)
{
	/* Seen set if the walk began before we took our locks. */
	if (atomic_load_explicit(&t->walking, memory_order_relaxed))
		return false;
	for (unsigned i = 0; i < home->n_new * BUCKET_SLOTS; i++) {
		*room = (struct slot){ home->bucket[i / BUCKET_SLOTS],
				       i % BUCKET_SLOTS };
		if (move_away(t, set, *room, home))
			return true;
	}
	return false;
}

/* Locks held, key is not in the table: a slot for it, already counted. */
static bool get_slot(struct table *t, struct lock_set *set,
		     const struct home *home, uint32_t now_s, uint32_t ageing_s,
		     bool any, struct slot *s)
{
	if (reserve_entry(t)) {
		if (find_free(home, s) || table_make_room(t, set, home, s))
			return true;
		release_entries(t, 1);
	}
	return find_oldest(home, now_s, ageing_s, any, s);
}

/* Of a port without a rule. */
static const struct table_rule no_rule;

/*
 * The locks of home's buckets, false if somebody has one. They are those of the
 * window as it is now: home may change. Seen anew if somebody who had one of
 * the locks before has seen it.
 */
static bool lock_now(struct lock_set *set, struct table *t, struct home *home,
		     uint64_t key)
{
	while (lock_home(set, t, home)) {
		if (home->window == table_window(t))
			return true;
		unlock_all(set);
		*home = home_of(t, key);
	}
	return false;
}

static enum learnt learn_new(struct table *t, uint64_t key, struct home *home,
			     uint64_t val, uint32_t now_s, uint32_t ageing_s,
			     const struct table_rule *rule)
{
	enum learnt done = LEARNT_NO_ROOM;
	struct lock_set set;
	struct slot s;

	/* A storm of addresses on a full table must not reach the locks. */
	if (is_full(t) && !find_oldest(home, now_s, ageing_s, false, &s))
		return LEARNT_NO_ROOM;
	if (!reserve_of(t, val & VAL_PORT, rule->limit))
		return LEARNT_LIMIT;
	if (!lock_now(&set, t, home, key)) {
		count_out(t, val);
		return LEARNT_NOTHING;
	}
	if (find_slot(home, key, &s)) {
		done = LEARNT_NOTHING;
	} else if (get_slot(t, &set, home, now_s, ageing_s, false, &s)) {
		slot_take(t, s, key, val);
		done = LEARNT_NEW;
	}
	unlock_all(&set);
	if (done != LEARNT_NEW)
		count_out(t, val);
	else
		table_widen(t);
	return done;
}

/*
 * The address in slot s lives far from its near bucket, which has room: moves
 * it there, unless somebody else is about.
 */
static void come_near(struct table *t, uint64_t key, struct home *home,
		      struct slot *s)
{
	struct lock_set set;
	struct slot to;

	if (!lock_now(&set, t, home, key))
		return;
	/* As in table_make_room(). */
	if (!atomic_load_explicit(&t->walking, memory_order_relaxed) &&
	    find_slot(home, key, s) && s->bucket != home->bucket[0] &&
	    bucket_slot(home->bucket[0], 0, &to)) {
		relocate(t, *s, to, key);
		*s = to;
	}
	unlock_all(&set);
}

/* Another value for the address in a slot, at another port if moved. */
static enum learnt learn_again(struct table *t, struct slot s, uint64_t val,
			       uint64_t next, bool moved,
			       const struct table_rule *rule)
{
	if (moved && !reserve_of(t, next & VAL_PORT, rule->limit))
		return LEARNT_LIMIT;
	if (atomic_compare_exchange_strong_explicit(&s.bucket->val[s.i], &val,
						    next, memory_order_release,
						    memory_order_relaxed)) {
		if (moved)
			count_out(t, val);
		if (!moved)
			return rule->fixed ? LEARNT_FIXED : LEARNT_NOTHING;
		return LEARNT_MOVED;
	}
	if (moved)
		count_out(t, next);
	return LEARNT_NOTHING;
}

enum learnt table_learn(struct table *t, uint64_t key, uint16_t port,
			uint32_t now_s, uint32_t ageing_s,
			const struct table_rule *rule)
{
	struct home home = home_of(t, key);
	uint64_t val, age, next = make_val(home.tag, port, now_s);
	struct slot s;
	bool moved;

	rule = rule ? rule : &no_rule;
	if (rule->fixed)
		next = make_val(home.tag, port, 0) | VAL_STATIC;
	if (!find_slot(&home, key, &s))
		return learn_new(t, key, &home, next, now_s, ageing_s, rule);
	if (s.bucket != home.bucket[0] && bucket_match(home.bucket[0], 0))
		come_near(t, key, &home, &s);
	val = atomic_load_explicit(&s.bucket->val[s.i], memory_order_acquire);
	if (!(val & VAL_VALID) || (val ^ home.tag) & VAL_TAG)
		return LEARNT_NOTHING; /* in change just now */
	moved = (val & VAL_PORT) != port;
	if (val & VAL_STATIC)
		return moved ? LEARNT_ELSEWHERE : LEARNT_NOTHING;
	age = (now_s - (val >> VAL_AGE_SHIFT)) & VAL_AGE_MASK;
	/* Clocks differ a little: do not set another worker's time back. */
	if (!moved && !rule->fixed && (age == 0 || age > VAL_AGE_MASK / 2))
		return LEARNT_NOTHING;
	return learn_again(t, s, val, next, moved, rule);
}

void table_come_near(struct table *t, uint64_t key)
{
	struct home home = home_of(t, key);
	struct slot s;

	come_near(t, key, &home, &s);
}

int table_add_static(struct table *t, uint64_t key, uint16_t port)
{
	struct home home = home_of(t, key);
	uint64_t val = make_val(home.tag, port, 0) | VAL_STATIC;
	struct lock_set set;
	struct slot s;
	int err = 0;

	lock_home_wait(&set, t, &home);
	count_in(t, val);
	if (find_slot(&home, key, &s)) {
		count_out(t, atomic_exchange_explicit(&s.bucket->val[s.i], val,
						      memory_order_acq_rel));
	} else if (get_slot(t, &set, &home, 0, 0, true, &s)) {
		slot_take(t, s, key, val);
	} else {
		count_out(t, val);
		err = -ENOSPC;
	}
	unlock_all(&set);
	table_widen(t);
	return err;
}

/* Static values are only changed by control: they stay what they are. */
static int delete (struct table *t, uint64_t key, bool fixed, uint16_t port)
{
	struct home home = home_of(t, key);
	uint64_t val;
	struct lock_set set;
	struct slot s;
	int err = -ENOENT;

	lock_home_wait(&set, t, &home);
	if (find_slot(&home, key, &s)) {
		val = slot_val(s);
		if (fixed && (!(val & VAL_STATIC) || (val & VAL_PORT) != port))
			err = -ENOENT;
		else if (slot_free(t, s))
			err = 0;
	}
	if (!err)
		release_entries(t, 1);
	unlock_all(&set);
	return err;
}

int table_del(struct table *t, uint64_t key)
{
	return delete (t, key, false, 0);
}

int table_del_static(struct table *t, uint64_t key, uint16_t port)
{
	return delete (t, key, true, port);
}

/*
 * From here to table_walk_end() no entry changes its bucket: whoever moves one
 * looks at walking with the locks held. Taking each lock once after setting it
 * waits for those that looked before, and shows it to those that come later.
 */
static void table_walk_begin(struct table *t)
{
	atomic_store_explicit(&t->walking, 1, memory_order_relaxed);
	for (unsigned i = 0; i < TABLE_LOCKS; i++) {
		while (!try_lock(&t->locks[i]))
			sched_yield();
		unlock(&t->locks[i]);
	}
}

static void table_walk_end(struct table *t)
{
	atomic_store_explicit(&t->walking, 0, memory_order_relaxed);
}

/* Removes what of the bucket doomed() says; returns how many. */
static uint32_t bucket_purge(struct table *t, struct bucket *b,
			     bool (*doomed)(const void *arg, uint64_t val),
			     const void *arg)
{
	_Atomic uint32_t *lock = lock_of(t, b);
	uint32_t n = 0;
	bool any = false;

	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		uint64_t val = slot_val((struct slot){ b, i });

		any |= val && doomed(arg, val);
	}
	if (!any)
		return 0;
	while (!try_lock(lock))
		sched_yield();
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		struct slot s = { b, i };
		uint64_t val = slot_val(s);

		/* A worker may have refreshed or moved it: look again. */
		while (val && doomed(arg, val)) {
			if (!atomic_compare_exchange_strong_explicit(
				    &b->val[i], &val, 0, memory_order_relaxed,
				    memory_order_relaxed))
				continue;
			count_out(t, val);
			slot_free(t, s);
			n++;
			break;
		}
	}
	release_entries(t, n);
	unlock(lock);
	return n;
}

struct flush_args {
	int port;
	bool fixed;
};

static bool flush_doomed(const void *arg, uint64_t val)
{
	const struct flush_args *args = arg;

	return (args->fixed || !(val & VAL_STATIC)) &&
	       (args->port < 0 || (int)(val & VAL_PORT) == args->port);
}

uint32_t table_flush(struct table *t, int port, bool fixed)
{
	struct flush_args args = { port, fixed };
	uint32_t n = 0;

	table_walk_begin(t);
	for (uint64_t i = 0; i <= t->mask; i++)
		n += bucket_purge(t, &t->buckets[i], flush_doomed, &args);
	table_walk_end(t);
	return n;
}

struct sweep_args {
	uint32_t now_s;
	uint64_t limit;
};

static bool sweep_doomed(const void *arg, uint64_t val)
{
	const struct sweep_args *args = arg;

	return !table_alive(val, args->now_s, args->limit);
}

void table_sweep(struct table *t, uint64_t *at, uint64_t n, uint32_t now_s,
		 uint32_t ageing_s)
{
	struct sweep_args args = { now_s, table_age_limit(ageing_s) };

	if (!ageing_s)
		return;
	if (n > t->mask + 1)
		n = t->mask + 1;
	for (uint64_t i = 0; i < n; i++)
		bucket_purge(t, &t->buckets[(*at + i) & t->mask], sweep_doomed,
			     &args);
	*at = (*at + n) & t->mask;
}

/* Makes a copy of slot i of a live bucket; false if there is no entry. */
static bool read_entry(const struct bucket *b, unsigned i, uint32_t now_s,
		       struct table_entry *entry, uint64_t *val)
{
	uint64_t age;

	entry->key = atomic_load_explicit(&b->key[i], memory_order_acquire);
	*val = atomic_load_explicit(&b->val[i], memory_order_acquire);
	if (!entry->key || !(*val & VAL_VALID) ||
	    atomic_load_explicit(&b->key[i], memory_order_relaxed) !=
		    entry->key)
		return false;
	age = (now_s - (*val >> VAL_AGE_SHIFT)) & VAL_AGE_MASK;
	entry->port = *val & VAL_PORT;
	entry->fixed = *val & VAL_STATIC;
	entry->age_s = entry->fixed || age > VAL_AGE_MASK / 2 ? 0 : age;
	return true;
}

static void copy_entries(struct table *to, const struct table *from,
			 bool (*keep)(const struct table_entry *entry),
			 bool fixed)
{
	for (uint64_t i = 0; i < (from->mask + 1) * BUCKET_SLOTS; i++) {
		struct table_entry entry;
		uint64_t val;

		if (!read_entry(&from->buckets[i / BUCKET_SLOTS],
				i % BUCKET_SLOTS, 0, &entry, &val))
			continue;
		if (entry.fixed != fixed || (keep && !keep(&entry)))
			continue;
		if (fixed)
			table_add_static(to, entry.key, entry.port);
		else
			table_learn(to, entry.key, entry.port,
				    val >> VAL_AGE_SHIFT & VAL_AGE_MASK, 0,
				    NULL);
	}
}

void table_copy(struct table *to, struct table *from,
		bool (*keep)(const struct table_entry *entry))
{
	uint32_t n = atomic_load_explicit(&from->used, memory_order_relaxed);

	if (!atomic_load_explicit(&to->used, memory_order_relaxed))
		table_init_window(to, n);
	table_walk_begin(from);
	copy_entries(to, from, keep, true);
	copy_entries(to, from, keep, false);
	table_walk_end(from);
}

uint32_t table_each(struct table *t, uint32_t now_s, uint32_t ageing_s,
		    bool (*visit)(void *arg, const struct table_entry *entry),
		    void *arg)
{
	uint64_t limit = table_age_limit(ageing_s);
	uint32_t n = 0;
	bool more = true;

	table_walk_begin(t);
	for (uint64_t i = 0; i <= t->mask; i++) {
		for (unsigned j = 0; j < BUCKET_SLOTS; j++) {
			struct table_entry entry;
			uint64_t val;

			if (!read_entry(&t->buckets[i], j, now_s, &entry, &val))
				continue;
			if (!table_alive(val, now_s, limit))
				continue;
			n++;
			more = more && visit(arg, &entry);
		}
	}
	table_walk_end(t);
	return n;
}
