// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_quick.c - the short table of claims over IPv4.
#include "unit.h"

#include <stdlib.h>

#include "module/tuple3/quick.h"

enum { MANY = 100000, VALUES = 32767 };

static unsigned n_retired;

static void retire(void *arg, void *array)
{
	n_retired++;
	free(array);
}

/* Ports of a few addresses next to each other, as people choose them. */
static uint64_t key_of(unsigned i)
{
	uint32_t addr = __builtin_bswap32(0x0a000001 + i / 40000);
	uint16_t port = __builtin_bswap16(1 + i / 2 % 20000);

	return t3_quick_key(addr, port, i & 1);
}

static uint64_t value_of(unsigned i)
{
	return 1 + i % VALUES;
}

static const struct t3_quick_array *array_of(const struct t3_quick *q)
{
	return atomic_load(&q->array);
}

static uint64_t find_key(const struct t3_quick *q, uint64_t key)
{
	const struct t3_quick_array *a = array_of(q);

	return t3_quick_find(a, key, t3_quick_at(key, a->seed, a->mask));
}

static uint64_t find(const struct t3_quick *q, unsigned i)
{
	return find_key(q, key_of(i));
}

static void put(struct t3_quick *q, unsigned i)
{
	assert_int_equal(t3_quick_put(q, key_of(i), value_of(i), retire, NULL),
			 0);
}

static uint64_t slots(const struct t3_quick *q)
{
	return array_of(q)->mask / sizeof(struct t3_bucket) * T3_QUICK_SLOTS +
	       T3_QUICK_SLOTS;
}

static void holds_many_keys(void **state)
{
	struct t3_quick q;

	assert_int_equal(t3_quick_init(&q), 0);
	n_retired = 0;
	for (unsigned i = 0; i < MANY; i++)
		put(&q, i);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(find(&q, i), value_of(i));
	for (unsigned i = MANY; i < 2 * MANY; i++)
		assert_int_equal(find(&q, i), 0);
	assert_int_equal(q.n, MANY);
	assert_in_range(slots(&q), 8 * MANY / 3, 8 * MANY);
	assert_in_range(n_retired, 1, 20);
	for (unsigned i = 0; i < MANY; i += 2)
		t3_quick_remove(&q, key_of(i));
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(find(&q, i), i & 1 ? value_of(i) : 0);
	assert_int_equal(q.n, MANY / 2);
	t3_quick_fini(&q);
}

/* Keys that went make room for others, also for themselves. */
static void does_not_grow_with_time(void **state)
{
	struct t3_quick q;

	assert_int_equal(t3_quick_init(&q), 0);
	for (unsigned i = 0; i < MANY; i++) {
		put(&q, i);
		put(&q, MANY);
		if (i >= 10)
			t3_quick_remove(&q, key_of(i - 10));
		t3_quick_remove(&q, key_of(MANY));
		t3_quick_remove(&q, key_of(MANY));
		t3_quick_remove(&q, key_of(MANY + 1));
		assert_int_equal(q.n, i < 10 ? i + 1 : 10);
		assert_in_range(slots(&q), 1, 128);
	}
	for (unsigned i = 0; i <= MANY; i++)
		assert_int_equal(find(&q, i),
				 i < MANY && i >= MANY - 10 ? value_of(i) : 0);
	t3_quick_fini(&q);
}

/* More keys than the last bucket has room for go on in the first. */
static void goes_on_behind_full_buckets(void **state)
{
	uint64_t key[T3_QUICK_SLOTS + 2], other = 0;
	const struct t3_quick_array *a;
	struct t3_quick q;
	unsigned n = 0;

	assert_int_equal(t3_quick_init(&q), 0);
	a = array_of(&q);
	for (unsigned i = 0; n < T3_QUICK_SLOTS + 2 || !other; i++) {
		if (t3_quick_at(key_of(i), a->seed, a->mask) != a->mask)
			continue;
		if (n < T3_QUICK_SLOTS + 2)
			key[n++] = key_of(i);
		else
			other = key_of(i);
	}
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(find_key(&q, key[i]), 0);
		t3_quick_put(&q, key[i], i + 1, retire, NULL);
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(find_key(&q, key[i]), i + 1);
	assert_int_equal(find_key(&q, other), 0);
	t3_quick_remove(&q, key[0]);
	assert_int_equal(find_key(&q, key[0]), 0);
	assert_int_equal(find_key(&q, key[n - 1]), n);
	t3_quick_put(&q, key[n - 1], 9, retire, NULL);
	assert_int_equal(find_key(&q, key[n - 1]), 9);
	assert_int_equal(q.n, n - 1);
	assert_ptr_equal(a, array_of(&q));
	t3_quick_fini(&q);
}

/* With a perfect hash 7 % of buckets are full when 3/8 of slots are used. */
static void few_buckets_are_full(void **state)
{
	const struct t3_quick_array *a;
	struct t3_quick q;
	uint64_t n, full = 0;

	assert_int_equal(t3_quick_init(&q), 0);
	for (unsigned i = 0; i < MANY; i++)
		put(&q, i);
	a = array_of(&q);
	n = slots(&q) / T3_QUICK_SLOTS;
	for (uint64_t i = 0; i < n; i++)
		full += atomic_load(&a->bucket[i].slot[T3_QUICK_SLOTS - 1]) !=
			0;
	assert_true(full < n / 10);
	t3_quick_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_many_keys),
		cmocka_unit_test(does_not_grow_with_time),
		cmocka_unit_test(goes_on_behind_full_buckets),
		cmocka_unit_test(few_buckets_are_full),
	};

	return cmocka_run_group_tests_name("tuple3_quick", tests, NULL, NULL);
}
