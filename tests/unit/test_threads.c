// SPDX-License-Identifier: BSD-2-Clause
// test_threads.c - several workers, many writers to one ring, constant change.
/*
 *   producer: 4 clients x 2 rings --> 3 workers --> one RX ring --> reader
 *   control: ports come, send and go; the module is swapped; captures
 *
 * The producer has at most WINDOW packets of each flow under way, so nothing
 * may be lost: the reader checks that each flow arrives complete, in order and
 * undamaged. Build with ThreadSanitizer for the other half of the test.
 */
#include "raw_client.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "core/capture.h"

enum {
	WORKERS = 3,
	SENDERS = 4,
	RINGS = 2,
	FLOWS = SENDERS * RINGS,
	WINDOW = 200,
	GUEST_PACKETS = 60,
	GUESTS_MAX = 4000,
	RUN_MS = 1200,
	PATIENCE_MS = 30000,
};

static struct client *sink, *senders[SENDERS];
static _Atomic uint32_t received[FLOWS];
static _Atomic uint32_t guest_received;
static uint32_t sent[FLOWS];
static atomic_bool stop_producer, stop_reader;
static unsigned wrong;

static uint64_t clock_ms(void)
{
	return worker_clock() / 1000000;
}

static struct glen_module other_module;

static void produce_one(unsigned flow)
{
	struct sent s = { .verdict = TO(0), .flow = flow, .seq = sent[flow] };

	if (sent[flow] - atomic_load(&received[flow]) >= WINDOW)
		return;
	if (s.seq % 16 == 3)
		s.verdict = VERDICT_FLOOD;
	s.len = 38 + s.seq * 97 % 1900;
	if (client_send(senders[flow / RINGS], flow % RINGS, s))
		sent[flow]++;
}

static void *produce(void *arg)
{
	while (!atomic_load(&stop_producer)) {
		for (unsigned burst = 0; burst < 32; burst++)
			for (unsigned f = 0; f < FLOWS; f++)
				produce_one(f);
		sched_yield();
	}
	return NULL;
}

static uint32_t guest_next[GUESTS_MAX];

static void read_one(const struct sent *s)
{
	if (s->flow < FLOWS) {
		if (s->seq != atomic_load(&received[s->flow]))
			wrong++;
		atomic_store(&received[s->flow], s->seq + 1);
	} else {
		if (s->seq != guest_next[s->flow - FLOWS]++)
			wrong++;
		atomic_fetch_add(&guest_received, 1);
	}
}

static void *read_all(void *arg)
{
	struct sent s;

	while (!atomic_load(&stop_reader)) {
		while (client_recv(sink, 0, &s))
			read_one(&s);
		sched_yield();
	}
	return NULL;
}

/* A port that comes, sends, and goes at once. */
static void guest(unsigned n)
{
	struct client *c;

	while (n * GUEST_PACKETS - atomic_load(&guest_received) >
	       20 * GUEST_PACKETS)
		sched_yield();
	c = client_open("guest", n % 2 ? "{\"rings\": 2, \"slots\": 128}" :
					 "{\"slots\": 64}");
	for (uint32_t i = 0; i < GUEST_PACKETS; i++)
		assert_true(client_send(c, 0,
					(struct sent){ .verdict = TO(0),
						       .flow = FLOWS + n,
						       .seq = i }));
	client_close(c);
}

static void swap_module(unsigned n)
{
	rig_swap_module(n % 2 ? &other_module : &rig_module);
}

static void capture_for_a_while(unsigned n, struct capture_session **session)
{
	struct capture_config config = {
		.port = n % 4 ? "sink" : NULL,
		.snaplen = 64,
		.ring_bytes = CAPTURE_RING_MIN,
		.n_workers = WORKERS,
	};
	struct glen_error error;

	if (*session)
		capture_destroy(*session);
	*session = NULL;
	if (n % 2 && capture_create(sw, &config, session, &error))
		fail_msg("%s", error.text);
}

static unsigned control(void)
{
	uint64_t end = clock_ms() + RUN_MS;
	struct capture_session *session = NULL;
	unsigned n = 0;

	for (; n < GUESTS_MAX && clock_ms() < end; n++) {
		json_t *flags = json_pack("{s:b}", "isolated", n & 1);

		guest(n);
		swap_module(n);
		if (n % 3 == 0)
			capture_for_a_while(n / 3, &session);
		assert_int_equal(port_set(senders[1]->port, flags, NULL), 0);
		json_decref(flags);
		json_decref(port_stats(sink->port, true));
		json_decref(engine_show_workers(engine));
		engine_tick(engine);
	}
	capture_destroy(session);
	return n;
}

static bool all_here(unsigned guests)
{
	for (unsigned f = 0; f < FLOWS; f++)
		if (atomic_load(&received[f]) != sent[f])
			return false;
	return atomic_load(&guest_received) == guests * GUEST_PACKETS;
}

static void nothing_is_lost(void **state)
{
	const struct engine_config config = { .n_workers = WORKERS };
	pthread_t producer, reader;
	uint64_t deadline, total = 0;
	unsigned guests;

	rig_close();
	rig_open(&config);
	other_module = rig_module;
	other_module.name = "other";
	sink = client_open("sink", "{\"slots\": 4096}");
	for (unsigned i = 0; i < SENDERS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		senders[i] = client_open(name,
					 "{\"rings\": 2, \"slots\": 256}");
	}
	assert_int_equal(engine_start(engine, NULL), 0);
	pthread_create(&producer, NULL, produce, NULL);
	pthread_create(&reader, NULL, read_all, NULL);
	guests = control();
	atomic_store(&stop_producer, true);
	pthread_join(producer, NULL);
	deadline = clock_ms() + PATIENCE_MS;
	while (!all_here(guests) && clock_ms() < deadline)
		sched_yield();
	atomic_store(&stop_reader, true);
	pthread_join(reader, NULL);
	for (unsigned f = 0; f < FLOWS; f++) {
		assert_int_equal(atomic_load(&received[f]), sent[f]);
		total += sent[f];
	}
	assert_int_equal(atomic_load(&guest_received), guests * GUEST_PACKETS);
	assert_int_equal(wrong, 0);
	print_message("# %llu packets, %u guests\n", (unsigned long long)total,
		      guests);
	engine_stop(engine);
	rig_check();
	assert_int_equal(rig_out(sink->port).packets,
			 total + guests * GUEST_PACKETS);
	for (unsigned i = 0; i < SENDERS; i++)
		client_close(senders[i]);
	client_close(sink);
	rig_check();
}

/* Everything asleep: a packet wakes the one worker that it needs. */
static void sleeping_workers_wake(void **state)
{
	const struct engine_config config = { .n_workers = WORKERS };
	uint64_t deadline = clock_ms() + PATIENCE_MS;
	struct sent s;

	rig_close();
	rig_open(&config);
	sink = client_open("sink", "{}");
	senders[0] = client_open("s0", "{\"rings\": 3}");
	assert_int_equal(engine_start(engine, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		uint32_t *need =
			&client_ktoa(senders[0], false, i % 3)->kern_need_kick;

		while (!shm_load32(need) && clock_ms() < deadline)
			sched_yield();
		assert_true(client_send(senders[0], i % 3,
					(struct sent){ .verdict = TO(0),
						       .seq = i }));
		while (!client_recv(sink, 0, &s) && clock_ms() < deadline)
			sched_yield();
		assert_true(clock_ms() < deadline);
		assert_int_equal(s.seq, i);
	}
	/* Whoever looks again after arming needs none. */
	assert_in_range(senders[0]->n_kicks, 1, 300);
	client_close(senders[0]);
	client_close(sink);
	rig_check();
}

static void *poll_and_end(void *arg)
{
	for (unsigned i = 0; i < 10; i++)
		engine_poll(engine);
	return NULL;
}

/* RCU must not remember a thread that polled and ended. */
static void pollers_come_and_go(void **state)
{
	for (unsigned i = 0; i < 50; i++) {
		struct port *port;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, poll_and_end,
						NULL),
				 0);
		pthread_join(thread, NULL);
		port = rig_port("a", "{}");
		port_destroy(port);
	}
	rig_run();
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(nothing_is_lost),
		RIG_TEST(sleeping_workers_wake),
		RIG_TEST(pollers_come_and_go),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
