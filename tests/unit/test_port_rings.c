// SPDX-License-Identifier: BSD-2-Clause
// test_port_rings.c - rings that a driver starts and stops while a port lives.
#include "rig.h"

#include <time.h>
#include <unistd.h>

enum { RINGS = 4, ROUNDS = 200 };

static struct port *from, *to;
static int fds[RINGS];

static void open_ports(void)
{
	char params[100];

	snprintf(params, sizeof(params),
		 "{\"in_rings\": %d, \"out_rings\": 1, \"starts\": true}",
		 RINGS);
	from = rig_port("from", params);
	to = rig_port("to", "{\"out_rings\": 4}");
	port_out_use(to, 1);
	for (unsigned i = 0; i < RINGS; i++)
		fds[i] = from->in[i].in_fd;
}

static void start(unsigned ring)
{
	struct glen_error error;

	if (port_in_start(&from->in[ring], fds[ring], &error))
		fail_msg("%s", error.text);
}

/* A ring brings nothing before it is started, nor after it was stopped. */
static void test_start_stop(void **state)
{
	open_ports();
	rig_send(from, 2, (struct sent){ TO(1), .seq = 1 });
	rig_run();
	rig_none(to);
	start(2);
	assert_ptr_equal(from->in[2].worker, engine->workers[0]);
	rig_run();
	rig_expect(to, 0, 1);
	port_in_stop(&from->in[2]);
	port_in_stop(&from->in[2]);
	assert_null(from->in[2].worker);
	assert_int_equal(from->in[2].in_fd, -1);
	rig_send(from, 2, (struct sent){ TO(1), .seq = 2 });
	rig_run();
	rig_none(to);
	start(2);
	rig_run();
	rig_expect(to, 0, 2);
	rig_check();
}

/* Packets are spread over as many egress rings as are in use. */
static void test_out_use(void **state)
{
	unsigned most[] = { 4, 1, 2, 4 };

	open_ports();
	start(0);
	for (unsigned t = 0; t < sizeof(most) / sizeof(*most); t++) {
		unsigned rings = 0;

		port_out_use(to, most[t]);
		for (unsigned f = 0; f < 100; f++)
			rig_send(from, 0, (struct sent){ TO(1), .flow = f });
		rig_run();
		for (unsigned r = 0; r < to->n_out; r++) {
			struct sent s;

			rings += dummy_pending_out(to, r) > 0;
			assert_true(r < most[t] || !dummy_pending_out(to, r));
			while (rig_recv(to, r, &s))
				;
		}
		assert_int_equal(rings, most[t]);
	}
	rig_check();
}

/* Started rings are spread over the workers, whatever was started before. */
static void test_spread(void **state)
{
	const struct engine_config config = { .n_workers = 2 };
	unsigned on[2] = { 0 };

	rig_close();
	rig_open(&config);
	open_ports();
	for (unsigned i = 0; i < RINGS; i++) {
		start(i);
		on[from->in[i].worker_idx]++;
	}
	assert_int_equal(on[0], 2);
	assert_int_equal(on[1], 2);
}

/*
 * Rings that are started and stopped under traffic, with workers that sleep:
 * each packet arrives once, in the order of its ring.
 */
static void test_under_traffic(void **state)
{
	const struct engine_config config = { .n_workers = 2 };
	struct glen_error error;
	uint32_t seq = 0, want = 0;
	struct sent s;

	rig_close();
	rig_open(&config);
	open_ports();
	assert_int_equal(engine_start(engine, &error), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < 20; i++)
			rig_send(from, 0, (struct sent){ TO(1), .seq = seq++ });
		start(0);
		for (unsigned i = 0; i < 20; i++)
			rig_send(from, 0, (struct sent){ TO(1), .seq = seq++ });
		/* Also a ring that is armed, and wakes up. */
		while (want < seq) {
			if (rig_recv(to, 0, &s))
				assert_int_equal(s.seq, want++);
			if (want == seq - 10)
				nanosleep(&(struct timespec){ 0, 1000 }, NULL);
		}
		port_in_stop(&from->in[0]);
	}
	engine_stop(engine);
	rig_check();
	assert_int_equal(rig_out(to).packets, ROUNDS * 40);
}

/* The control thread counts what the kernel dropped, beside the worker. */
static void test_unseen(void **state)
{
	open_ports();
	start(1);
	rig_send(from, 1, (struct sent){ TO(1), .seq = 1 });
	in_drop_unseen(&from->in[1], DROP_IN_KERNEL_FULL, 3);
	rig_run();
	rig_expect(to, 0, 1);
	assert_int_equal(rig_in(from).packets, 4);
	assert_int_equal(rig_in(from).drops[DROP_IN_KERNEL_FULL], 3);
	rig_check();
}

/* A port with rings running is destroyed as any other. */
static void test_destroy(void **state)
{
	open_ports();
	for (unsigned i = 0; i < RINGS; i += 2)
		start(i);
	rig_send(from, 0, (struct sent){ TO(1), .seq = 7 });
	port_destroy(from);
	rig_expect(to, 0, 7);
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_start_stop), RIG_TEST(test_out_use),
		RIG_TEST(test_spread),	   RIG_TEST(test_under_traffic),
		RIG_TEST(test_unseen),	   RIG_TEST(test_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
