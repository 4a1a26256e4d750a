// SPDX-License-Identifier: BSD-2-Clause
// test_wait.c - sleeping and waking: no wake-up may get lost, none be wasted.
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "fake_switch.h"

enum {
	ROUNDS = 100000,
	HANG_MS = 10000, /* a lost wake-up, on any machine */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void times_out(void **state)
{
	int64_t start = now_ms();
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	assert_int_equal(glen_wait(port, GLEN_RX, 0), 0);
	assert_int_equal(glen_wait(port, GLEN_RX, 20), 0);
	assert_in_range(now_ms() - start, 19, HANG_MS);
	assert_int_equal(shm_load32(&f.atok[1].appl_need_kick), 0);
	glen_port_close(port);
	fake_fini(&f);
}

static void reports_what_holds(void **state)
{
	struct glen_packet p = { (void *)"x", 1 };
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 2, 16, 64, 0);
	port = fake_port(&f);
	assert_int_equal(glen_wait(port, GLEN_RX | GLEN_TX, -1), GLEN_TX);
	fake_fill(&f, 1, 0, "x", 1, 0);
	fake_publish(&f, 1, 1);
	assert_int_equal(glen_wait(port, GLEN_RX | GLEN_TX, -1),
			 GLEN_RX | GLEN_TX);
	assert_int_equal(glen_wait(port, GLEN_RX, -1), GLEN_RX);
	assert_int_equal(glen_wait_ring(port, 0, GLEN_RX, 0), 0);
	assert_int_equal(glen_wait_ring(port, 1, GLEN_RX, 0), GLEN_RX);
	assert_int_equal(glen_wait_ring(port, 2, GLEN_RX, 0), -EINVAL);
	/* A packet that was received but not released is not news. */
	assert_int_equal(glen_recv(port, 1, &p, 1), 1);
	assert_int_equal(glen_wait(port, GLEN_RX, 0), 0);
	for (int i = 0; i < 15; i++)
		assert_int_equal(glen_send(port, 1, &p, 1), 1);
	assert_int_equal(glen_wait_ring(port, 1, GLEN_TX, 0), 0);
	fake_take(&f, 1, 1);
	assert_int_equal(glen_wait_ring(port, 1, GLEN_TX, 0), GLEN_TX);
	glen_port_close(port);
	fake_fini(&f);
}

/* As long as the descriptor is readable, and only the waiter it was given. */
static void a_descriptor_interrupts(void **state)
{
	struct fake f;
	struct glen_port *port;
	uint64_t count = 1;
	int fd = eventfd(0, EFD_NONBLOCK);

	fake_init(&f, 2, 16, 64, 0);
	port = fake_port(&f);
	assert_int_equal(waiter_wake_by(port, &port->rx[1].waiter, fd), 0);
	assert_int_equal(glen_wait_ring(port, 1, GLEN_RX, 1), 0);
	assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
	for (int i = 0; i < 3; i++)
		assert_int_equal(glen_wait_ring(port, 1, GLEN_RX, HANG_MS),
				 -EINTR);
	assert_int_equal(glen_wait_ring(port, 0, GLEN_RX, 1), 0);
	/* What is there comes first. */
	fake_fill(&f, 1, 0, "x", 1, 0);
	fake_publish(&f, 1, 1);
	assert_int_equal(glen_wait_ring(port, 1, GLEN_RX, HANG_MS), GLEN_RX);
	port->rx[1].ring->head = port->rx[1].ring->cur = 1;
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(glen_wait_ring(port, 1, GLEN_RX, 1), 0);
	glen_port_close(port);
	close(fd);
	fake_fini(&f);
}

static void on_alarm(int sig)
{
}

static void signals_interrupt(void **state)
{
	struct itimerval soon = { { 0, 0 }, { 0, 20000 } };
	struct sigaction act = { .sa_handler = on_alarm };
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), -EINTR);
	glen_port_close(port);
	fake_fini(&f);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void port_fd_needs_arming(void **state)
{
	struct glen_packet p;
	struct fake f;
	struct glen_port *port;
	int fd;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	fd = glen_port_fd(port);
	assert_true(fd >= 0);
	assert_int_equal(glen_port_fd(port), fd);
	assert_int_equal(glen_arm(port, GLEN_RX), 0);
	assert_false(readable(fd));
	fake_fill(&f, 0, 0, "x", 1, 0);
	fake_publish(&f, 0, 1);
	assert_true(readable(fd));
	/* There is something: glen_arm() says so and clears the edge. */
	assert_int_equal(glen_arm(port, GLEN_RX), GLEN_RX);
	assert_false(readable(fd));
	assert_int_equal(glen_recv(port, 0, &p, 1), 1);
	glen_release(port, 0);
	/* Not armed: packets cause no edge. */
	fake_fill(&f, 0, 0, "x", 1, 0);
	fake_publish(&f, 0, 1);
	assert_false(readable(fd));
	assert_int_equal(glen_recv(port, 0, &p, 1), 1);
	glen_release(port, 0);
	assert_int_equal(glen_arm(port, GLEN_RX), 0);
	/* One call per arming, however much comes. */
	for (int i = 0; i < 3; i++) {
		fake_fill(&f, 0, 0, "x", 1, 0);
		fake_publish(&f, 0, 1);
	}
	assert_int_equal(f.n_calls, 2);
	glen_port_close(port);
	fake_fini(&f);
}

static void *die_later(void *arg)
{
	usleep(10000);
	port_die(arg, "gone");
	return NULL;
}

static void death_wakes_sleepers(void **state)
{
	struct fake f;
	struct glen_port *port;
	pthread_t thread;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	pthread_create(&thread, NULL, die_later, port);
	assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), -ENOTCONN);
	pthread_join(thread, NULL);
	glen_port_close(port);
	/* Who sleeps on the descriptor wakes up as well. */
	port = fake_port(&f);
	assert_int_equal(glen_arm(port, GLEN_RX), 0);
	assert_false(readable(glen_port_fd(port)));
	port_die(port, "gone");
	assert_true(readable(glen_port_fd(port)));
	glen_port_close(port);
	fake_fini(&f);
}

/* The fake's side of ping-pong: sleeps on the kick eventfd. */
static void *echo(void *arg)
{
	struct fake *f = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct pollfd p = { .fd = f->kick_fd, .events = POLLIN };

		while (!fake_pending(f, 0)) {
			fake_arm(f, 0);
			if (fake_pending(f, 0))
				break;
			if (poll(&p, 1, HANG_MS) != 1)
				return "the client did not kick";
			fake_kicks(f);
		}
		fake_take(f, 0, 1);
		fake_fill(f, 0, 0, &i, sizeof(i), 0);
		fake_publish(f, 0, 1);
	}
	return NULL;
}

/* Both ends sleep all the time; every packet must wake the other end. */
static void loses_no_wake_up(void **state)
{
	struct fake f;
	struct glen_port *port;
	pthread_t thread;
	void *complaint;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	pthread_create(&thread, NULL, echo, &f);
	for (int i = 0; i < ROUNDS; i++) {
		struct glen_packet p = { &i, sizeof(i) }, q;

		assert_int_equal(glen_send(port, 0, &p, 1), 1);
		assert_int_equal(glen_wait(port, GLEN_RX, HANG_MS), GLEN_RX);
		assert_int_equal(glen_recv(port, 0, &q, 1), 1);
		assert_memory_equal(q.data, &i, sizeof(i));
		glen_release(port, 0);
	}
	pthread_join(thread, &complaint);
	assert_null(complaint);
	glen_port_close(port);
	fake_fini(&f);
}

enum { PAIRS = 4, PER_RING = 5000 };

struct reader {
	struct glen_port *port;
	unsigned ring;
	unsigned seen;
	pthread_t thread;
};

static void *read_ring(void *arg)
{
	struct reader *r = arg;

	while (r->seen < PER_RING) {
		struct glen_packet p[4];
		int n = glen_wait_ring(r->port, r->ring, GLEN_RX, HANG_MS);

		if (n != GLEN_RX)
			return "a reader was not woken";
		while ((n = glen_recv(r->port, r->ring, p, 4)) > 0) {
			for (int i = 0; i < n; i++, r->seen++)
				if (memcmp(p[i].data, &r->seen,
					   sizeof(r->seen)))
					return "a packet is wrong";
			glen_release(r->port, r->ring);
		}
		if (n < 0)
			return "glen_recv failed";
	}
	return NULL;
}

static void *write_ring(void *arg)
{
	struct reader *r = arg;
	struct glen_packet p = { (void *)"x", 1 };

	while (r->seen < PER_RING) {
		if (glen_send(r->port, r->ring, &p, 1) == 1)
			r->seen++;
		else if (glen_wait_ring(r->port, r->ring, GLEN_TX, HANG_MS) !=
			 GLEN_TX)
			return "a writer was not woken";
	}
	return NULL;
}

/* Gives each ring what there is room for, now and then. */
static void feed(struct fake *f, unsigned *seed)
{
	unsigned given[PAIRS] = { 0 }, taken[PAIRS] = { 0 }, busy = 2 * PAIRS;
	int64_t end = now_ms() + 6 * HANG_MS;

	while (busy && now_ms() < end) {
		unsigned i = (unsigned)rand_r(seed) % PAIRS;
		unsigned n = (unsigned)rand_r(seed) % 3;

		if (given[i] < PER_RING && fake_room(f, i)) {
			fake_fill(f, i, 0, &given[i], sizeof(given[i]), 0);
			fake_publish(f, i, 1);
			busy -= ++given[i] == PER_RING;
		}
		if (taken[i] < PER_RING && fake_pending(f, i)) {
			fake_take(f, i, 1);
			busy -= ++taken[i] == PER_RING;
		}
		if (!n)
			sched_yield();
	}
	assert_int_equal(busy, 0);
}

/* Eight threads sleep on the two directions of four rings of one port. */
static void threads_do_not_steal_wake_ups(void **state)
{
	struct reader rx[PAIRS], tx[PAIRS];
	unsigned seed = (unsigned)time(NULL);
	struct fake f;
	struct glen_port *port;

	print_message("# seed %u\n", seed);
	fake_init(&f, PAIRS, 16, 64, 0);
	port = fake_port(&f);
	for (unsigned i = 0; i < PAIRS; i++) {
		rx[i] = tx[i] = (struct reader){ .port = port, .ring = i };
		pthread_create(&rx[i].thread, NULL, read_ring, &rx[i]);
		pthread_create(&tx[i].thread, NULL, write_ring, &tx[i]);
	}
	feed(&f, &seed);
	for (unsigned i = 0; i < PAIRS; i++) {
		void *complaint;

		pthread_join(rx[i].thread, &complaint);
		assert_null(complaint);
		pthread_join(tx[i].thread, &complaint);
		assert_null(complaint);
	}
	glen_port_close(port);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_out),
		cmocka_unit_test(reports_what_holds),
		cmocka_unit_test(signals_interrupt),
		cmocka_unit_test(a_descriptor_interrupts),
		cmocka_unit_test(port_fd_needs_arming),
		cmocka_unit_test(death_wakes_sleepers),
		cmocka_unit_test(loses_no_wake_up),
		cmocka_unit_test(threads_do_not_steal_wake_ups),
	};

	return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
