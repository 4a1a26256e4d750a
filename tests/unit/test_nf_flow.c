// SPDX-License-Identifier: BSD-2-Clause
// test_nf_flow.c - state per flow: keys, directions, time-out, full buckets.
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "include/glen/nf_flow.h"

static unsigned ended;

static void count_end(void *state, void *arg)
{
	assert_ptr_equal(arg, &ended);
	ended++;
}

static struct glen_nf_flow_table *make(unsigned max_flows, bool both)
{
	struct glen_nf_flow_config c = { .max_flows = max_flows,
					 .state_size = sizeof(uint64_t),
					 .idle_ns = 1000,
					 .both = both,
					 .ended = count_end,
					 .arg = &ended };
	struct glen_nf_flow_table *t;

	ended = 0;
	assert_int_equal(glen_nf_flow_create(&t, &c), 0);
	return t;
}

static struct glen_nf_flow_key key_of(uint32_t n)
{
	struct glen_nf_flow_key k = {
		.dst = { 9 }, .src_port = 5, .protocol = 6, .version = 4
	};

	memcpy(k.src, &n, sizeof(n));
	return k;
}

static void keys(void **state)
{
	uint8_t v4[] = { 2,    0, 0, 0, 0, 1, 2, 0, 0, 0,  0, 2,
			 0x81, 0, 0, 5, 8, 0, /* VLAN 5 */
			 0x45, 0, 0, 0, 0, 0, 0, 0, 9, 17, 0, 0,
			 1,    2, 3, 4, 5, 6, 7, 8, 0, 53, 1, 0 };
	struct glen_nf_packet p = { .data = v4, .len = sizeof(v4) };
	struct glen_nf_flow_key k;

	assert_true(glen_nf_flow_key(&p, &k));
	assert_int_equal(k.version, 4);
	assert_int_equal(k.protocol, 17);
	assert_memory_equal(k.src, "\1\2\3\4", 4);
	assert_memory_equal(k.dst, "\5\6\7\10", 4);
	assert_memory_equal(&k.src_port, "\0\65", 2);
	/* Cut anywhere it has no flow, and nothing beyond is read. */
	for (p.len = 0; p.len < sizeof(v4); p.len++)
		assert_false(glen_nf_flow_key(&p, &k));
	p.len = sizeof(v4);
	v4[18 + 7] = 1; /* a fragment */
	assert_false(glen_nf_flow_key(&p, &k));
}

static void state_stays(void **state)
{
	struct glen_nf_flow_table *t = make(4000, false);
	bool fresh;

	for (uint64_t i = 0; i < 500; i++) {
		struct glen_nf_flow_key k = key_of((uint32_t)i);
		uint64_t *s = glen_nf_flow_find(t, &k, 10, true, &fresh, NULL);

		assert_true(s && fresh && *s == 0);
		*s = i + 1;
	}
	for (uint64_t i = 0; i < 500; i++) {
		struct glen_nf_flow_key k = key_of((uint32_t)i);
		uint64_t *s = glen_nf_flow_find(t, &k, 20, true, &fresh, NULL);

		assert_true(s && !fresh && *s == i + 1);
	}
	struct glen_nf_flow_key k = key_of(7);
	assert_true(glen_nf_flow_remove(t, &k));
	assert_false(glen_nf_flow_remove(t, &k));
	assert_null(glen_nf_flow_find(t, &k, 20, false, NULL, NULL));
	glen_nf_flow_destroy(t);
	assert_int_equal(ended, 499);
}

static void directions(void **state)
{
	for (unsigned both = 0; both < 2; both++) {
		struct glen_nf_flow_table *t = make(10, both);
		struct glen_nf_flow_key k = key_of(1), back = k;
		bool reverse;
		void *s = glen_nf_flow_find(t, &k, 0, true, NULL, &reverse);

		assert_non_null(s);
		assert_false(reverse);
		memcpy(back.src, k.dst, 16);
		memcpy(back.dst, k.src, 16);
		back.src_port = k.dst_port;
		back.dst_port = k.src_port;
		assert_ptr_equal(glen_nf_flow_find(t, &back, 0, false, NULL,
						   &reverse),
				 both ? s : NULL);
		assert_int_equal(reverse, both);
		glen_nf_flow_destroy(t);
	}
}

static void idle_flows_end(void **state)
{
	struct glen_nf_flow_table *t = make(10, false);
	struct glen_nf_flow_key k = key_of(1);

	assert_non_null(glen_nf_flow_find(t, &k, 100, true, NULL, NULL));
	assert_non_null(glen_nf_flow_find(t, &k, 1100, false, NULL, NULL));
	assert_int_equal(ended, 0);
	assert_null(glen_nf_flow_find(t, &k, 2101, false, NULL, NULL));
	assert_int_equal(ended, 1);
	glen_nf_flow_destroy(t);
	assert_int_equal(ended, 1);
}

static void full_is_counted(void **state)
{
	struct glen_nf_flow_table *t = make(4, false); /* one bucket of 8 */
	struct glen_nf_flow_key k;

	for (uint32_t i = 0; i < 8; i++) {
		k = key_of(i);
		assert_non_null(glen_nf_flow_find(t, &k, 0, true, NULL, NULL));
	}
	k = key_of(8);
	assert_null(glen_nf_flow_find(t, &k, 0, true, NULL, NULL));
	assert_int_equal(glen_nf_flow_full(t), 1);
	assert_non_null(glen_nf_flow_find(t, &k, 1001, true, NULL, NULL));
	assert_int_equal(ended, 8);
	glen_nf_flow_destroy(t);
}

static void refuses_nonsense(void **state)
{
	struct glen_nf_flow_config c = { 0 };
	struct glen_nf_flow_table *t;

	assert_int_equal(glen_nf_flow_create(&t, &c), -EINVAL);
	c.max_flows = GLEN_NF_FLOWS_MAX + 1;
	assert_int_equal(glen_nf_flow_create(&t, &c), -EINVAL);
	c = (struct glen_nf_flow_config){ .max_flows = 1, .state_size = 5000 };
	assert_int_equal(glen_nf_flow_create(&t, &c), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(state_stays),
		cmocka_unit_test(directions),
		cmocka_unit_test(idle_flows_end),
		cmocka_unit_test(full_is_counted),
		cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests_name("nf_flow", tests, NULL, NULL);
}
