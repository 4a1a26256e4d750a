// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_table.c - the table grows with its keys, and not with time.
#include "unit.h"

#include <stdlib.h>

#include "module/tuple3/table.h"

enum { MANY = 100000 };

static unsigned n_retired;

static void retire(void *arg, void *array)
{
	n_retired++;
	free(array);
}

static struct t3_key key_of(unsigned i)
{
	return (struct t3_key){ i % 7, i % 1000, 1 + i / 1000 };
}

static uint64_t find(const struct t3_table *t, unsigned i)
{
	const struct t3_array *a = atomic_load(&t->array);
	struct t3_key key = key_of(i);

	return t3_find(a, &key, t3_hash(a, &key));
}

static void put(struct t3_table *t, unsigned i)
{
	struct t3_key key = key_of(i);

	assert_int_equal(t3_table_put(t, &key, i + 1, t, retire, NULL), 0);
}

static void take_away(struct t3_table *t, unsigned i)
{
	struct t3_key key = key_of(i);

	t3_table_remove(t, &key);
}

static uint64_t slots(const struct t3_table *t)
{
	return atomic_load(&t->array)->mask + 1;
}

static void holds_many_keys(void **state)
{
	struct t3_table t;

	assert_int_equal(t3_table_init(&t), 0);
	n_retired = 0;
	for (unsigned i = 0; i < MANY; i++)
		put(&t, i);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(find(&t, i), i + 1);
	for (unsigned i = MANY; i < 2 * MANY; i++)
		assert_int_equal(find(&t, i), 0);
	assert_int_equal(t.n, MANY);
	assert_in_range(slots(&t), 2 * MANY, 8 * MANY);
	assert_in_range(n_retired, 1, 20);
	for (unsigned i = 0; i < MANY; i += 2)
		take_away(&t, i);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(find(&t, i), i & 1 ? i + 1 : 0);
	t3_table_fini(&t);
}

/* Keys that went make room for others, also for themselves. */
static void does_not_grow_with_time(void **state)
{
	struct t3_table t;

	assert_int_equal(t3_table_init(&t), 0);
	for (unsigned i = 0; i < MANY; i++) {
		put(&t, i);
		put(&t, MANY);
		if (i >= 10)
			take_away(&t, i - 10);
		take_away(&t, MANY);
		take_away(&t, MANY);
		assert_int_equal(t.n, i < 10 ? i + 1 : 10);
		assert_in_range(slots(&t), 1, 128);
	}
	for (unsigned i = 0; i <= MANY; i++)
		assert_int_equal(find(&t, i),
				 i < MANY && i >= MANY - 10 ? i + 1 : 0);
	t3_table_fini(&t);
}

/* What a chain of slots costs at worst, on average. */
static void chains_are_short(void **state)
{
	uint64_t chain = 0, squares = 0;
	const struct t3_array *a;
	struct t3_table t;

	assert_int_equal(t3_table_init(&t), 0);
	for (unsigned i = 0; i < MANY; i++)
		put(&t, i);
	a = atomic_load(&t.array);
	for (uint64_t i = 0; i <= a->mask; i++) {
		chain = atomic_load(&a->slot[i].meta) ? chain + 1 : 0;
		squares += chain;
	}
	/* Slots that a key which is not there has to pass, at most half full:
	 * 2.5 with a perfect hash. */
	assert_true(squares < 3 * (a->mask + 1));
	t3_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_many_keys),
		cmocka_unit_test(does_not_grow_with_time),
		cmocka_unit_test(chains_are_short),
	};

	return cmocka_run_group_tests_name("tuple3_table", tests, NULL, NULL);
}
