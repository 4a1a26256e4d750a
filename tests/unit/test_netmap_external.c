// SPDX-License-Identifier: BSD-2-Clause
// test_netmap_external.c - regions that fit into a program's own memory.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "ctl/netmap/internal.h"
#include "lib/layout.h"

static int plan(struct nm_pools wish, struct nm_pools *p)
{
	struct glen_error error;

	return nm_external_plan(&wish, p, &error);
}

static void defaults(void **state)
{
	struct nm_pools p;

	assert_int_equal(plan((struct nm_pools){ .memsize = 64 << 20 }, &p), 0);
	assert_int_equal(p.if_objs, 2);
	assert_int_equal(p.ring_objs, 4);
	assert_int_equal(p.buf_objs, 4098);
	assert_int_equal(p.buf_objsize, 2048);
	/* Two ports of two rings with 1024 slots. */
	assert_true(p.windows >= 2 * (NMW_RINGS_OFF + 2 * 16640));
}

/* Memory for netmap's pools to the byte: there are fewer buffers. */
static void tight(void **state)
{
	struct nm_pools p,
		wish = { .memsize = 2 * 1024 + 4 * 20480 + 4098 * 2048 };

	assert_int_equal(plan(wish, &p), 0);
	assert_in_range(p.buf_objs, 3900, 4097);
	wish.memsize--;
	assert_int_equal(plan(wish, &p), -EINVAL);
}

static void too_much(void **state)
{
	struct nm_pools p, wish = { .memsize = UINT64_MAX };

	wish.if_objs = wish.if_objsize = UINT32_MAX;
	wish.ring_objs = wish.ring_objsize = UINT32_MAX;
	wish.buf_objs = wish.buf_objsize = UINT32_MAX;
	assert_int_equal(plan(wish, &p), -EINVAL);
	wish = (struct nm_pools){ .memsize = 1 << 30, .buf_objsize = 65537 };
	assert_int_equal(plan(wish, &p), -EINVAL);
	wish = (struct nm_pools){ .memsize = 0 };
	assert_int_equal(plan(wish, &p), -EINVAL);
	/* Pools without room for anything else. */
	wish = (struct nm_pools){ .memsize = 65536,
				  .if_objs = 1,
				  .if_objsize = 1,
				  .ring_objs = 1,
				  .ring_objsize = 1,
				  .buf_objs = 4,
				  .buf_objsize = 64 };
	assert_int_equal(plan(wish, &p), -EINVAL);
}

/* Whatever is planned fits, and is what a region can be. */
static void any(void **state)
{
	unsigned good = 0, seed = (unsigned)time(NULL);

	print_message("# seed %u\n", seed);
	for (unsigned i = 0; i < 200000; i++) {
		struct nm_pools p, wish = {
			.memsize = 1ULL << (rand_r(&seed) % 34),
			.if_objs = 1U << rand_r(&seed) % 15,
			.if_objsize = 1U << rand_r(&seed) % 14,
			.ring_objs = 1U << rand_r(&seed) % 14,
			.ring_objsize = 1U << rand_r(&seed) % 20,
			.buf_objs = 1U << rand_r(&seed) % 22,
			.buf_objsize = 1U + rand_r(&seed) % 70000,
		};

		wish.memsize += rand_r(&seed) % 10000;
		if (plan(wish, &p))
			continue;
		good++;
		assert_true(p.memsize <= wish.memsize);
		assert_int_equal(p.memsize % LAYOUT_PAGE, 0);
		assert_int_equal(p.windows % LAYOUT_PAGE, 0);
		assert_true(p.windows <= REGION_WINDOWS);
		assert_true(p.windows >= NMW_RINGS_OFF);
		assert_int_equal(p.memsize - p.windows,
				 layout_bufs_size(p.buf_objs, p.buf_objsize));
		assert_true(p.buf_objs > REGION_RESERVED);
		assert_true(p.buf_objs <= wish.buf_objs);
		assert_int_equal(p.buf_objsize % 64, 0);
		assert_true(p.buf_objsize >= wish.buf_objsize);
	}
	assert_true(good > 1000);
}

/* Windows of members neither overlap nor leave the room for them. */
static void places(void **state)
{
	enum { MEMBERS = 60, PAGE = LAYOUT_PAGE };
	static struct region r;
	static struct region_member m[MEMBERS];
	struct glen_error error;
	unsigned full = 0, seed = (unsigned)time(NULL);

	print_message("# seed %u\n", seed);
	r = (struct region){ .windows = 400 * PAGE, .compact = true };
	for (unsigned step = 0; step < 20000; step++) {
		struct region_member *a = &m[rand_r(&seed) % MEMBERS];

		if (a->region) {
			r.member[a->id] = NULL;
			r.n_members--;
			a->region = NULL;
			continue;
		}
		a->window_size = (unsigned)(1 + rand_r(&seed) % 30) * PAGE;
		if (region_enter(&r, a, &error)) {
			full++;
			continue;
		}
		assert_true(a->place + a->window_size <= r.windows);
		assert_int_equal(region_bufs_off(a), r.windows - a->place);
		for (unsigned i = 0; i < MEMBERS; i++)
			assert_true(&m[i] == a || !m[i].region ||
				    m[i].place + m[i].window_size <= a->place ||
				    a->place + a->window_size <= m[i].place);
	}
	assert_true(full > 100);
}

/* One that is left over fits exactly. */
static void no_holes(void **state)
{
	struct region r = { .windows = 10 * LAYOUT_PAGE, .compact = true };
	struct region_member m[4] = { 0 };
	struct glen_error error;

	for (unsigned i = 0; i < 3; i++) {
		m[i].window_size = (i + 2) * LAYOUT_PAGE;
		assert_int_equal(region_enter(&r, &m[i], &error), 0);
	}
	m[3].window_size = 2 * LAYOUT_PAGE;
	assert_int_equal(region_enter(&r, &m[3], &error), -ENOSPC);
	r.member[m[1].id] = NULL;
	m[3].window_size = 3 * LAYOUT_PAGE;
	assert_int_equal(region_enter(&r, &m[3], &error), 0);
	assert_int_equal(m[3].place, 2 * LAYOUT_PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults), cmocka_unit_test(tight),
		cmocka_unit_test(too_much), cmocka_unit_test(any),
		cmocka_unit_test(places),   cmocka_unit_test(no_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
