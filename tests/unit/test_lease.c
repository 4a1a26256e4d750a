// SPDX-License-Identifier: BSD-2-Clause
// test_lease.c - leases are published in order and never before they are done.
#include "packet.h"

#include "core/lease.h"
#include "core/switch.h"

enum { HOLDERS = WORKERS_MAX + 1 };

_Static_assert(LEASES_MAX > (int)HOLDERS, "each worker may hold a lease");

static struct lease_queue q;

static int reset(void **state)
{
	memset(&q, 0, sizeof(q));
	return 0;
}

static void in_order(void **state)
{
	for (uint32_t i = 1; i < 1000; i++) {
		uint32_t id = lease_take(&q, 3);

		assert_int_equal(q.reserved, 3 * i);
		assert_int_equal(q.published, 3 * (i - 1));
		assert_true(lease_done(&q, id));
		assert_int_equal(q.published, 3 * i);
	}
	assert_int_equal(q.last, 0);
}

static void the_oldest_publishes_all(void **state)
{
	uint32_t a = lease_take(&q, 1), b = lease_take(&q, 2);
	uint32_t c = lease_take(&q, 4), d = lease_take(&q, 8);

	assert_false(lease_done(&q, c));
	assert_false(lease_done(&q, b));
	assert_int_equal(q.published, 0);
	assert_true(lease_done(&q, a));
	assert_int_equal(q.published, 7);
	assert_true(lease_done(&q, d));
	assert_int_equal(q.published, 15);
}

/*
 * Fixes premature publishing: while the thread of the oldest lease did not
 * run, others took more leases than there were entries for.
 */
static void the_oldest_may_take_long(void **state)
{
	uint32_t oldest = lease_take(&q, 1),
		 held[2] = { lease_take(&q, 1), lease_take(&q, 1) };

	/* Two others, by turns, so that the youngest is never done. */
	for (uint32_t i = 0; i < 10000; i++) {
		assert_false(lease_done(&q, held[i & 1]));
		held[i & 1] = lease_take(&q, 1);
		assert_int_equal(q.published, 0);
	}
	assert_true(lease_done(&q, oldest));
	assert_int_equal(q.published, 10001);
	assert_true(lease_done(&q, held[0]));
	assert_true(lease_done(&q, held[1]));
	assert_int_equal(q.published, q.reserved);
	assert_int_equal(q.last, 0);
}

/* As many holders as there can be, in any order, over the counters' wrap. */
static void any_order(void **state)
{
	struct {
		uint32_t id, start;
		bool held;
	} h[HOLDERS] = { 0 };

	rnd_seed();
	q.reserved = q.published = UINT32_MAX - 50000;
	for (unsigned round = 0; round < 200000; round++) {
		unsigned i = rnd(HOLDERS);
		uint32_t oldest = q.reserved, before = q.published;
		bool moved = false;

		if (h[i].held) {
			moved = lease_done(&q, h[i].id);
			h[i].held = false;
		} else {
			h[i].start = q.reserved;
			h[i].id = lease_take(&q, 1 + rnd(256));
			h[i].held = true;
		}
		for (unsigned k = 0; k < HOLDERS; k++)
			if (h[k].held &&
			    q.reserved - h[k].start > q.reserved - oldest)
				oldest = h[k].start;
		if (!h[i].held)
			assert_int_equal(moved, q.published != before);
		else
			assert_int_equal(q.published, before);
		/* Everything in front of the oldest, and nothing more. */
		if (q.published != before || moved)
			assert_int_equal(q.published, oldest);
		assert_true(q.reserved - q.published >= q.reserved - oldest);
	}
	for (unsigned i = 0; i < HOLDERS; i++)
		if (h[i].held)
			lease_done(&q, h[i].id);
	assert_int_equal(q.published, q.reserved);
	assert_int_equal(q.used[0] | q.used[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_order, reset),
		cmocka_unit_test_setup(the_oldest_publishes_all, reset),
		cmocka_unit_test_setup(the_oldest_may_take_long, reset),
		cmocka_unit_test_setup(any_order, reset),
	};

	return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
