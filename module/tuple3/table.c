// SPDX-License-Identifier: BSD-2-Clause
// tuple3/table.c - how control writes the table.
#include "module/tuple3/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/rcu.h"

enum {
	SLOTS_MIN = 64,
	SPARE = 4, /* slots per key of a new array, at least */
};

static struct t3_array *current_array(const struct t3_table *t)
{
	return atomic_load_explicit(&t->array, memory_order_relaxed);
}

/* An empty array with room for n keys and more. */
static struct t3_array *make_array(uint64_t n, const uint64_t seed[3])
{
	uint64_t n_slots = SLOTS_MIN;
	struct t3_array *a;
	size_t size;

	while (n_slots < n * SPARE)
		n_slots *= 2;
	size = sizeof(*a) + n_slots * sizeof(a->slot[0]);
	a = aligned_alloc(64, (size + 63) & ~63UL);
	if (!a)
		return NULL;
	memset(a, 0, size);
	a->data = calloc(n_slots, sizeof(*a->data));
	if (!a->data) {
		free(a);
		return NULL;
	}
	memcpy(a->seed, seed, sizeof(a->seed));
	a->mask = n_slots - 1;
	return a;
}

/* What workers may still read is left: that is the array itself. */
static void drop_data(struct t3_array *a)
{
	free(a->data);
	a->data = NULL;
}

/* The slot with this key; if there is none, a free one. */
static uint64_t place(const struct t3_array *a, const struct t3_key *key)
{
	for (uint64_t at = t3_hash(a, key);; at++) {
		const struct t3_slot *s = &a->slot[at & a->mask];
		uint64_t meta = atomic_load_explicit(&s->meta,
						     memory_order_relaxed);

		if (!meta)
			return at & a->mask;
		if (meta == key->meta &&
		    atomic_load_explicit(&s->a0, memory_order_relaxed) ==
			    key->a0 &&
		    atomic_load_explicit(&s->a1, memory_order_relaxed) ==
			    key->a1)
			return at & a->mask;
	}
}

static void take_slot(struct t3_slot *s, const struct t3_key *key,
		      uint64_t value)
{
	atomic_store_explicit(&s->a0, key->a0, memory_order_relaxed);
	atomic_store_explicit(&s->a1, key->a1, memory_order_relaxed);
	atomic_store_explicit(&s->value, value, memory_order_relaxed);
	/* (A) pairs with the acquire in t3_find() */
	atomic_store_explicit(&s->meta, key->meta, memory_order_release);
}

static uint64_t value_at(const struct t3_array *a, uint64_t i)
{
	return atomic_load_explicit(&a->slot[i].value, memory_order_relaxed);
}

static void copy_slots(struct t3_array *to, const struct t3_array *from)
{
	for (uint64_t i = 0; i <= from->mask; i++) {
		const struct t3_slot *s = &from->slot[i];
		struct t3_key key = {
			.a0 = atomic_load_explicit(&s->a0,
						   memory_order_relaxed),
			.a1 = atomic_load_explicit(&s->a1,
						   memory_order_relaxed),
			.meta = atomic_load_explicit(&s->meta,
						     memory_order_relaxed),
		};
		uint64_t at;

		if (!key.meta || !value_at(from, i))
			continue;
		at = place(to, &key);
		take_slot(&to->slot[at], &key, value_at(from, i));
		to->data[at] = from->data[i];
		to->n_used++;
	}
}

int t3_table_init(struct t3_table *t)
{
	uint64_t seed[3];
	struct t3_array *a;

	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed))
		return -errno;
	seed[2] |= 1;
	a = make_array(0, seed);
	t->n = 0;
	if (!a)
		return -ENOMEM;
	rcu_publish(&t->array, a);
	return 0;
}

void t3_table_fini(struct t3_table *t)
{
	struct t3_array *a = current_array(t);

	if (a)
		drop_data(a);
	free(a);
	atomic_store_explicit(&t->array, NULL, memory_order_relaxed);
}

/* An array in which one more key finds a place. */
static struct t3_array *roomy(struct t3_table *t,
			      void (*retire)(void *arg, void *array), void *arg)
{
	struct t3_array *old = current_array(t), *a;

	if (old->n_used < (old->mask + 1) / 2)
		return old;
	a = make_array(t->n + 1, old->seed);
	if (!a)
		return NULL;
	copy_slots(a, old);
	rcu_publish(&t->array, a);
	drop_data(old);
	retire(arg, old);
	return a;
}

int t3_table_put(struct t3_table *t, const struct t3_key *key, uint64_t value,
		 void *data, void (*retire)(void *arg, void *array), void *arg)
{
	struct t3_array *a = current_array(t);
	uint64_t at = place(a, key);

	if (!atomic_load_explicit(&a->slot[at].meta, memory_order_relaxed)) {
		a = roomy(t, retire, arg);
		if (!a)
			return -ENOMEM;
		at = place(a, key);
		a->data[at] = data;
		a->n_used++;
		t->n++;
		take_slot(&a->slot[at], key, value);
		return 0;
	}
	t->n += !value_at(a, at);
	a->data[at] = data;
	atomic_store_explicit(&a->slot[at].value, value, memory_order_relaxed);
	return 0;
}

void t3_table_remove(struct t3_table *t, const struct t3_key *key)
{
	struct t3_array *a = current_array(t);
	uint64_t at = place(a, key);

	t->n -= value_at(a, at) != 0;
	a->data[at] = NULL;
	atomic_store_explicit(&a->slot[at].value, 0, memory_order_relaxed);
}

void *t3_table_get(const struct t3_table *t, const struct t3_key *key)
{
	struct t3_array *a = current_array(t);

	return a->data[place(a, key)];
}

void t3_table_each(const struct t3_table *t,
		   void (*visit)(void *arg, void *data), void *arg)
{
	struct t3_array *a = current_array(t);

	for (uint64_t i = 0; i <= a->mask; i++)
		if (a->data[i])
			visit(arg, a->data[i]);
}
