// SPDX-License-Identifier: BSD-2-Clause
// test_learn_meter.c - token buckets pass what they promise, by a fake clock.
#include "unit.h"

#include <stdlib.h>

#include "module/learn/meter.h"

enum { WORKERS_MAX = 8 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed >> 11;
}

/* Units that pass in t_ns if every worker offers packets of size units all the
 * time, at a clock that jumps by steps. */
static uint64_t flood(struct meter *m, unsigned n_workers, uint32_t size,
		      uint64_t t_ns, uint64_t step)
{
	struct meter_share share[WORKERS_MAX] = { 0 };
	uint64_t passed = 0, start = 1000000000000;

	for (uint64_t t = 0; t <= t_ns; t += step) {
		unsigned w = next_random() % n_workers;

		for (unsigned k = 0; k < n_workers; k++, w++)
			while (meter_take(m, &share[w % n_workers],
					  meter_time(start + t), size))
				passed += size;
	}
	return passed;
}

static void check(uint64_t rate, unsigned unit, uint64_t burst, uint32_t grab,
		  unsigned n_workers, uint32_t size)
{
	static struct meter m;
	uint64_t t_ns = 3000000000, step = 1 + next_random() % 5000000;
	uint64_t hoard, passed, fair;

	meter_set(&m, rate, unit, burst, grab, n_workers);
	passed = flood(&m, n_workers, size, t_ns, step);
	hoard = n_workers * (1ULL << m.shift) + size + burst % (1 << m.shift);
	fair = (double)rate / unit * (t_ns / 1e9);
	/* Exact to 1 in 10^4; a step's worth is still to come at the end. */
	if (passed > fair + burst + hoard + fair / 10000 ||
	    passed + hoard + fair / 10000 + fair * step / t_ns < fair)
		fail_msg("rate %lu/%u burst %lu grab %u workers %u size %u "
			 "step %lu: %lu passed, %lu fair",
			 rate, unit, burst, 1U << m.shift, n_workers, size,
			 step, passed, fair);
}

static void passes_what_it_promises(void **state)
{
	print_message("seed %lx\n", seed);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t rate = 1ULL << (3 + next_random() % 20);
		unsigned workers = 1 + next_random() % WORKERS_MAX;

		rate += next_random() % rate;
		/* Bursts that last longer than a step */
		check(rate, 1, rate / 50 + 1 + next_random() % 1000, 64,
		      workers, 1);
		check(rate * 1000, 8, 131072 + rate * 1000 / 80, 16384, workers,
		      60 + next_random() % 9000);
	}
}

static void full_at_first_and_after_a_pause(void **state)
{
	static struct meter m;
	struct meter_share share = { 0 };
	uint64_t now = meter_time(5000000000);
	unsigned n = 0;

	meter_set(&m, 100, 1, 15, 64, 1);
	while (meter_take(&m, &share, now, 1))
		n++;
	assert_int_equal(n, 15);
	n = 0;
	now = meter_time(1000000000000);
	while (meter_take(&m, &share, now, 1))
		n++;
	assert_int_equal(n, 15);
	/* In whole grabs: of 8, for one worker */
	meter_set(&m, 100, 1, 71, 64, 1);
	share = (struct meter_share){ 0 };
	for (n = 0; meter_take(&m, &share, now, 1);)
		n++;
	assert_int_equal(n, 64);
}

static void one_too_large_does_not_hold_up_others(void **state)
{
	static struct meter m;
	struct meter_share share = { 0 };
	uint64_t now = meter_time(5000000000);

	meter_set(&m, 8000000, 8, 10000, 16384, 1);
	assert_false(meter_take(&m, &share, now, 10001));
	assert_true(meter_take(&m, &share, now, 5000));
	assert_true(meter_take(&m, &share, now, 3000));
	assert_false(meter_take(&m, &share, now, 5000));
	assert_true(meter_take(&m, &share, now, 100));
}

static void no_rate_is_no_limit(void **state)
{
	static struct meter m;
	struct meter_share share = { 0 };

	assert_false(meter_limits(&m));
	for (unsigned i = 0; i < 1000; i++)
		assert_true(meter_take(&m, &share, 0, 131072));
	meter_set(&m, 1, 8, 1, 16384, 64);
	assert_true(meter_limits(&m));
	assert_true(meter_take(&m, &share, 0, 1));
	for (unsigned i = 0; i < 7; i++)
		assert_false(meter_take(&m, &share,
					meter_time(i * 1000000000ULL), 1));
	assert_true(meter_take(&m, &share, meter_time(8000000000), 1));
}

/* Extremes do not overflow into letting everything pass. */
static void extremes(void **state)
{
	static struct meter m;
	struct meter_share share = { 0 };
	uint64_t now = meter_time(100000000000000000);
	uint64_t n = 0;

	meter_set(&m, 1, 8, 1000000000000, 16384, 1);
	while (n < 100000000 && meter_take(&m, &share, now, 131072))
		n += 131072;
	assert_in_range(n, 1, 100000000);
	meter_set(&m, 1000000000000, 1, 100000000000, 64, 64);
	share = (struct meter_share){ 0 };
	assert_true(meter_take(&m, &share, now, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_what_it_promises),
		cmocka_unit_test(full_at_first_and_after_a_pause),
		cmocka_unit_test(one_too_large_does_not_hold_up_others),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests_name("learn_meter", tests, NULL, NULL);
}
