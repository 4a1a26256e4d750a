// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_later.c - what a vhost-user port cannot do now, it does later.
#include "vhost_ports.h"

#include <linux/aio_abi.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

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

/* Asynchronous I/O of a doorbell that is all under way. */
struct clog {
	aio_context_t context;
	int fd; /* readable: all of it completes */
	unsigned n;
};

/* Takes what is left of requests on one processor. */
static void clog_here(struct clog *c)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_POLL,
				.aio_fildes = c->fd,
				.aio_buf = POLLIN };
	struct iocb *list[] = { &request };

	while (syscall(SYS_io_submit, c->context, 1, list) == 1)
		c->n++;
	assert_int_equal(errno, EAGAIN);
}

/* The kernel keeps some requests for each processor. */
static void clog_up(struct clog *c, const struct worker *w)
{
	cpu_set_t all, one;

	c->context = w->doorbell.context;
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->n = 0;
	assert_true(c->fd >= 0);
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
		clog_here(c);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* All of it is done; nobody uses the doorbell meanwhile. */
static void clog_clear(struct clog *c)
{
	static const uint64_t one = 1;
	struct io_event done;

	assert_int_equal(write(c->fd, &one, sizeof(one)), sizeof(one));
	for (; c->n; c->n--)
		assert_int_equal(syscall(SYS_io_getevents, c->context, 1, 1,
					 &done, NULL),
				 1);
	close(c->fd);
}

static bool is_called(const struct fe_queue *q, int wait_ms)
{
	struct pollfd p = { q->call_fd, POLLIN, 0 };
	uint64_t n;

	if (!poll(&p, 1, wait_ms))
		return false;
	assert_int_equal(read(q->call_fd, &n, sizeof(n)), sizeof(n));
	return true;
}

/* How often signals of a port's virtqueue were given again. */
static unsigned long late(struct port *port, unsigned i)
{
	struct vhost_port *vp = port->drv;
	unsigned long n;

	pthread_mutex_lock(&lock);
	n = vp->setup[i].late;
	pthread_mutex_unlock(&lock);
	return n;
}

static void wait_late(struct port *port, unsigned i, unsigned long more)
{
	int64_t end = now_ms() + WAIT_MS;

	while (late(port, i) < more) {
		if (now_ms() > end)
			fail_msg("nobody rings again: %lu of %lu",
				 late(port, i), more);
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
	}
}

/*
 * The guest sleeps, and the kernel has nothing left to wake it with: it is
 * woken later. First the worker cannot, then the control thread cannot either.
 */
static void call_later(uint64_t features)
{
	struct worker *worker = engine->workers[0];
	struct worker *main_worker = engine->workers[engine->n_workers];
	struct clog by_worker, by_control;

	attach(&fa, FE_QEMU7, features, 1, path_a);
	attach(&fb, FE_QEMU7, features, 1, path_b);
	exchange(3);
	while (is_called(fe_rx(&fb, 0), 20) || is_called(fe_tx(&fa, 0), 20))
		;
	clog_up(&by_worker, worker);
	send_one(&fa, 1);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	assert_true(is_called(fe_tx(&fa, 0), WAIT_MS));
	expect(&fb, 1);
	assert_int_equal(late(b, 0), 1);
	assert_int_equal(late(a, 1), 1);

	pthread_mutex_lock(&lock);
	clog_up(&by_control, main_worker);
	pthread_mutex_unlock(&lock);
	send_one(&fa, 2);
	expect(&fb, 2);
	wait_late(b, 0, 4);
	wait_late(a, 1, 4);
	assert_false(is_called(fe_rx(&fb, 0), 0));
	assert_false(is_called(fe_tx(&fa, 0), 0));
	pthread_mutex_lock(&lock);
	clog_clear(&by_control);
	pthread_mutex_unlock(&lock);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	assert_true(is_called(fe_tx(&fa, 0), WAIT_MS));
	/* As before: nothing is rung twice. */
	clog_clear(&by_worker);
	send_one(&fa, 3);
	assert_true(is_called(fe_rx(&fb, 0), WAIT_MS));
	expect(&fb, 3);
	exchange(3);
}

static void test_call_split(void **state)
{
	call_later(0);
}

static void test_call_packed(void **state)
{
	call_later(FE_BIT(FE_F_PACKED));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_region_split),
		TEST(test_region_packed),
		TEST(test_call_split),
		TEST(test_call_packed),
	};

	return cmocka_run_group_tests_name("vhost_later", tests, NULL, NULL);
}
