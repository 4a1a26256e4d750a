// SPDX-License-Identifier: BSD-2-Clause
// test_fan_in.c - senders on workers of their own into one receiver.
/*
 *   sender 0 --> worker 0 --+
 *   sender 1 --> worker 1 --+--> one RX ring
 *   ...                     |
 *
 * A flood loses packets; then every sender's order must be kept and every
 * packet counted. A worker is stopped in the middle of a copy by making a page
 * of its sender's buffers inaccessible to the switch: it faults half way
 * through a packet, with its room in the RX ring reserved, and the handler
 * waits until the test lets it go on. No timing decides anything: PATIENCE_MS
 * is for those that would wait for ever.
 */
#include "raw_client.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>

enum {
	SENDERS_MAX = 8,
	PACKETS = 3000, /* of each sender of a flood */
	EACH = 120,	/* of each sender that is not stopped */
	HELD = 3,	/* of each that is */
	HELD_LEN = 6000,
	PAGE = 4096,
	PATIENCE_MS = 60000,
};

struct sender {
	struct client *client;
	pthread_t thread;
	unsigned flow;
};

static struct client *sink, *aside; /* ports 0 and 1 */
static struct sender senders[SENDERS_MAX];
static _Atomic unsigned n_done;
static unsigned n_senders;

static uint64_t deadline(void)
{
	return worker_clock() / 1000000 + PATIENCE_MS;
}

static void wait_a_little(uint64_t until)
{
	assert_true(worker_clock() / 1000000 < until);
	sched_yield();
}

/* n workers, a sender for each, and who receives. */
static void open_all(unsigned n, const char *sink_params,
		     const char *sender_params)
{
	const struct engine_config config = { .n_workers = n };
	char name[8], params[100];

	rig_close();
	rig_open(&config);
	n_senders = n;
	sink = client_open("sink", sink_params);
	aside = client_open("aside", "{\"slots\": 2048}");
	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		snprintf(params, sizeof(params), "{\"workers\": \"%u\", %s}", i,
			 sender_params);
		senders[i] = (struct sender){ client_open(name, params),
					      .flow = i };
	}
	assert_int_equal(engine_start(engine, NULL), 0);
}

static void close_all(void)
{
	engine_stop(engine);
	rig_check();
	for (unsigned i = 0; i < n_senders; i++)
		client_close(senders[i].client);
	client_close(aside);
	client_close(sink);
	rig_check();
}

/* The switch has taken everything that this one sent. */
static bool is_taken(const struct sender *s)
{
	return client_room(s->client, 0) == s->client->l.slots - 1;
}

static void *flood(void *arg)
{
	struct sender *s = arg;

	for (uint32_t i = 0; i < PACKETS;)
		if (client_send(s->client, 0,
				(struct sent){ .verdict = TO(0),
					       .flow = s->flow,
					       .seq = i,
					       .len = 60 + i * 31 % 3000 }))
			i++;
		else
			sched_yield();
	while (!is_taken(s))
		sched_yield();
	atomic_fetch_add(&n_done, 1);
	return NULL;
}

static void order_of_each_is_kept(void **state)
{
	unsigned n = (unsigned)(uintptr_t)*state;
	uint32_t next[SENDERS_MAX] = { 0 }, received = 0;
	uint64_t until = deadline();
	struct sent s = { 0 };
	bool last;

	open_all(n, "{\"slots\": 128}", "\"slots\": 64");
	atomic_store(&n_done, 0);
	for (unsigned i = 0; i < n; i++)
		pthread_create(&senders[i].thread, NULL, flood, &senders[i]);
	do {
		last = atomic_load(&n_done) == n;
		while (client_recv(sink, 0, &s)) {
			assert_in_range(s.flow, 0, n - 1);
			assert_true(s.seq >= next[s.flow]);
			next[s.flow] = s.seq + 1;
			received++;
		}
		wait_a_little(until);
	} while (!last);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(senders[i].thread, NULL);
		assert_int_equal(rig_in(senders[i].client->port).packets,
				 PACKETS);
	}
	assert_int_equal(rig_out(sink->port).packets, received);
	assert_int_equal(received + rig_out(sink->port).drops[DROP_OUT_NO_ROOM],
			 n * PACKETS);
	print_message("# %u of %u received\n", received, n * PACKETS);
	close_all();
}

/* A page that stops who touches it. */
struct trap {
	_Atomic(uint8_t *) page; /* NULL: none */
	sem_t stopped, go_on;
};

static struct trap traps[2];

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);

	for (unsigned i = 0; i < 2; i++) {
		struct trap *t = &traps[i];

		if (!t->page || (uintptr_t)t->page != at)
			continue;
		sem_post(&t->stopped);
		while (sem_wait(&t->go_on))
			;
		mprotect(t->page, PAGE, PROT_READ | PROT_WRITE);
		return;
	}
	signal(sig, SIG_DFL);
}

static uint8_t *bufs_of(struct client *c)
{
	return ((struct shm_port *)c->port->drv)->bufs;
}

/* Sends packets of which the second cannot be copied to its end; returns when
 * the worker is there. */
static void stop_in_copy(unsigned i)
{
	struct client *c = senders[i].client;
	struct trap *t = &traps[i];
	static uint8_t data[RIG_MAX];
	struct sent s = { .verdict = TO(0), .flow = i, .len = HELD_LEN };
	uint64_t w = slot_load(&client_slots(c, false, 0)[c->tx_head[0] + 1]);

	for (s.seq = 0; s.seq < HELD; s.seq++) {
		rig_build(data, &s);
		assert_true(client_put(c, 0, data, s.len, c->l.buf_size));
	}
	t->page = bufs_of(c) + (size_t)slot_buf(w) * c->l.buf_size + PAGE;
	assert_int_equal((uintptr_t)t->page % PAGE, 0);
	assert_int_equal(mprotect(t->page, PAGE, PROT_NONE), 0);
	client_publish(c, 0);
	while (sem_wait(&t->stopped))
		;
}

static void let_go(unsigned i)
{
	uint64_t until = deadline();

	sem_post(&traps[i].go_on);
	while (!is_taken(&senders[i]))
		wait_a_little(until);
}

/* All of these send to both ports, and the switch takes it. */
static void others_send(unsigned first)
{
	uint64_t until = deadline();

	for (uint32_t k = 0; k < EACH; k++)
		for (unsigned i = first; i < n_senders; i++)
			for (unsigned to = 0; to < 2; to++)
				while (!client_send(senders[i].client, 0,
						    (struct sent){
							    .verdict = TO(to),
							    .flow = i,
							    .seq = k }))
					wait_a_little(until);
	for (unsigned i = first; i < n_senders; i++)
		while (!is_taken(&senders[i]))
			wait_a_little(until);
}

/* What waits at c is all of the senders from first on, in order. */
static void expect_all(struct client *c, unsigned first)
{
	uint32_t next[SENDERS_MAX] = { 0 };
	struct sent s = { 0 };

	for (unsigned n = (n_senders - first) * EACH; n; n--) {
		assert_true(client_recv(c, 0, &s));
		assert_in_range(s.flow, first, n_senders - 1);
		assert_int_equal(s.seq, next[s.flow]++);
	}
	assert_int_equal(client_waiting(c, 0), 0);
}

static void expect_held(unsigned i)
{
	struct sent s = { 0 };

	for (uint32_t seq = 0; seq < HELD; seq++) {
		assert_true(client_recv(sink, 0, &s));
		assert_int_equal(s.flow, i);
		assert_int_equal(s.seq, seq);
	}
}

struct stop {
	unsigned workers, stopped;
	bool younger_first;
	const char *sink;
};

static void a_stopped_copy(const struct stop *how)
{
	struct sigaction act = { .sa_sigaction = on_fault,
				 .sa_flags = SA_SIGINFO },
			 old;

	open_all(how->workers, how->sink, "\"buf_size\": 8192, \"slots\": 64");
	sigaction(SIGSEGV, &act, &old);
	for (unsigned i = 0; i < how->stopped; i++) {
		sem_init(&traps[i].stopped, 0, 0);
		sem_init(&traps[i].go_on, 0, 0);
		stop_in_copy(i);
	}
	others_send(how->stopped);
	/* Elsewhere nobody waits for it; here what came later does. */
	expect_all(aside, how->stopped);
	assert_int_equal(client_waiting(sink, 0), 0);
	if (how->younger_first) {
		let_go(1);
		assert_int_equal(client_waiting(sink, 0), 0);
		let_go(0);
		expect_held(0);
	} else {
		let_go(0);
		expect_held(0);
		if (how->stopped > 1) {
			assert_int_equal(client_waiting(sink, 0), 0);
			let_go(1);
		}
	}
	if (how->stopped > 1)
		expect_held(1);
	expect_all(sink, how->stopped);
	for (unsigned i = 0; i < how->stopped; i++)
		traps[i].page = NULL;
	close_all();
	sigaction(SIGSEGV, &old, NULL);
}

/* Also when the test has failed: the engine ends with its workers. */
static int stopped_teardown(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		if (traps[i].page)
			sem_post(&traps[i].go_on);
	return rig_teardown(state);
}

static void others_pass_a_stopped_copy(void **state)
{
	static const char *const sinks[] = {
		"{\"slots\": 2048}", /* chains */
		"{\"slots\": 2048, \"buf_size\": 8192}",
	};

	for (unsigned n = 1; n <= SENDERS_MAX; n *= 2)
		for (unsigned k = 0; k < 2; k++) {
			struct stop how = { n, 1, false, sinks[k] };

			a_stopped_copy(&how);
			how.stopped = 2;
			if (n == 1)
				continue;
			a_stopped_copy(&how);
			how.younger_first = true;
			a_stopped_copy(&how);
		}
}

#define FLOOD(n)                                                        \
	{                                                               \
		"order_of_each_is_kept, " #n " of them",                \
			order_of_each_is_kept, rig_setup, rig_teardown, \
			(void *)(n)                                     \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FLOOD(1),
		FLOOD(2),
		FLOOD(3),
		FLOOD(4),
		FLOOD(5),
		FLOOD(6),
		FLOOD(7),
		FLOOD(8),
		cmocka_unit_test_setup_teardown(others_pass_a_stopped_copy,
						rig_setup, stopped_teardown),
	};

	return cmocka_run_group_tests_name("fan_in", tests, NULL, NULL);
}
