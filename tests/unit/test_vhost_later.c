// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_later.c - what a vhost-user port cannot do now, it does later.
#include "vhost_ports.h"

/* Packets to a port whose guest is not there. */
static unsigned long link_down(struct port *port)
{
	unsigned long n = 0;

	pthread_mutex_lock(&lock);
	for (unsigned w = 0; w <= engine->n_workers; w++)
		n += __atomic_load_n(
			&port->out[0].counters[w].drops[DROP_OUT_LINK_DOWN],
			__ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return n;
}

/* Everything goes, a packet is sent meanwhile, and everything comes back. */
static void take_away(unsigned first, unsigned n, uint8_t number)
{
	int64_t end = now_ms() + WAIT_MS;
	unsigned long down = link_down(a);

	for (unsigned i = 0; i < n; i++)
		good(&fa, fe_slot_message(&fa, FE_REM_MEM_REG, first + i));
	wait_shown(a, "queues", "\"running\":false");
	send_one(&fa, number);
	send_one(&fb, 0);
	while (link_down(a) == down && now_ms() < end)
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	assert_int_equal(link_down(a), down + 1);
	for (unsigned i = n; i-- > 0;)
		good(&fa, fe_slot_message(&fa, FE_ADD_MEM_REG, first + i));
	expect(&fb, number);
	assert_null(strstr(shown(a, "queues"), "\"stopped\""));
}

/* Memory slots with virtqueues in them are removed, and added again. */
static void region_again(uint64_t features)
{
	unsigned rings = 0, all;

	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, features, 1, path_b);
	all = fa.n_regions;
	for (unsigned i = 0; i < all; i++) {
		uint64_t at = fe_rx(&fa, 0)->desc_gpa - fa.region[i].gpa;

		if (at < fa.region[i].size)
			rings = i;
	}
	for (unsigned i = 0; i < 20; i++) {
		exchange(7);
		take_away(rings, 1, 2 * i);
		exchange(7);
		take_away(0, all, 2 * i + 1);
	}
	exchange(7);
	assert_string_equal(shown(a, "last_error"), "");
}

static void test_region_split(void **state)
{
	region_again(0);
}

static void test_region_packed(void **state)
{
	region_again(FE_BIT(FE_F_PACKED) | FE_BIT(FE_F_EVENT_IDX));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_region_split),
		TEST(test_region_packed),
	};

	return cmocka_run_group_tests_name("vhost_later", tests, NULL, NULL);
}
