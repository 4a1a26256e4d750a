// SPDX-License-Identifier: BSD-2-Clause
// learn/window.c - how much of the table the near buckets are.
#include "module/learn/slots.h"

/* Half of its slots; control is content with half of that. */
enum { CROWDED = BUCKET_SLOTS / 2 };

/* In buckets, for so many entries. */
static uint64_t window_for(const struct table *t, uint64_t n_entries)
{
	uint64_t n = WINDOW_MIN;

	while (n <= t->mask && n < n_entries)
		n *= WINDOW_STEP;
	return n <= t->mask ? n : t->mask + 1;
}

static uint64_t to_mask(uint64_t n_buckets)
{
	return (n_buckets - 1) * sizeof(struct bucket);
}

static uint64_t to_buckets(uint64_t mask)
{
	return mask / sizeof(struct bucket) + 1;
}

static uint64_t window_left(const struct table *t)
{
	return atomic_load_explicit(&t->left_mask, memory_order_relaxed);
}

/* release: pairs with table_window() */
static void change(struct table *t, uint64_t from, uint64_t to)
{
	atomic_compare_exchange_strong_explicit(&t->near_mask, &from, to,
						memory_order_release,
						memory_order_relaxed);
}

void table_init_window(struct table *t, uint64_t n_entries)
{
	t->near_mask = t->left_mask = to_mask(window_for(t, n_entries));
}

/* Between the two loads and the change there is no quiet point of this worker,
 * so control has not been through another window meanwhile. */
void table_widen(struct table *t)
{
	uint64_t near = table_window(t);
	uint32_t used = atomic_load_explicit(&t->used, memory_order_relaxed);

	if (near != t->off_mask && used > CROWDED * to_buckets(near) &&
	    near == window_left(t))
		change(t, near, t->off_mask);
}

bool table_set_window(struct table *t, uint64_t n_buckets)
{
	uint64_t near = table_window(t);

	if (near == window_left(t) && near != to_mask(n_buckets))
		change(t, near, to_mask(n_buckets));
	if (t->settling || table_window(t) == window_left(t))
		return false;
	t->settling = true;
	t->settle_at = 0;
	t->strays = false;
	return true;
}

bool table_fit(struct table *t)
{
	uint32_t used = atomic_load_explicit(&t->used, memory_order_relaxed);
	uint64_t now = to_buckets(table_window(t));
	uint64_t want = window_for(t, used);

	/* Not to and fro for a few entries. */
	if (want < now) {
		want = window_for(t, used + used / 4);
		if (want > now)
			want = now;
	}
	return table_set_window(t, want);
}

/* Moves an entry to its near bucket, or from where it must not stay. */
static void settle(struct table *t, struct slot s, uint64_t key)
{
	struct home home = home_of(t, key);
	struct lock_set set;
	struct slot to;

	lock_home_wait(&set, t, &home);
	if (atomic_load_explicit(&s.bucket->key[s.i], memory_order_relaxed) ==
		    key &&
	    slot_val(s)) {
		if (bucket_slot(home.bucket[0], 0, &to))
			relocate(t, s, to, key);
		else if (may_come(&home, s.bucket))
			; /* it stays */
		else if (find_free(&home, &to) ||
			 table_make_room(t, &set, &home, &to))
			relocate(t, s, to, key);
		else
			t->strays = true;
	}
	unlock_all(&set);
}

static void settle_bucket(struct table *t, struct bucket *b)
{
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		uint64_t key = atomic_load_explicit(&b->key[i],
						    memory_order_acquire);

		if (key && table_near(t, table_hash(t, key)) != b)
			settle(t, (struct slot){ b, i }, key);
	}
}

void table_settle(struct table *t, uint64_t n)
{
	uint64_t n_left = to_buckets(window_left(t));

	if (!t->settling)
		return;
	for (; n && t->settle_at < n_left; n--)
		settle_bucket(t, &t->buckets[t->settle_at++]);
	if (t->settle_at < n_left)
		return;
	t->settle_at = 0;
	t->settling = t->strays;
	t->strays = false;
	/* release: pairs with table_find_far() */
	if (!t->settling)
		atomic_store_explicit(&t->left_mask, table_window(t),
				      memory_order_release);
}
