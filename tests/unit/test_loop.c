// SPDX-License-Identifier: BSD-2-Clause
// test_loop.c - the control thread's events and timers.
#include "unit.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/loop.h"

static struct loop loop;
static struct loop_timer timer;
static unsigned fired;

static int setup(void **state)
{
	fired = 0;
	timer = (struct loop_timer){ .source.fd = -1 };
	return loop_init(&loop);
}

static int teardown(void **state)
{
	loop_timer_fini(&loop, &timer);
	loop_fini(&loop);
	return 0;
}

static void count(void *arg)
{
	(*(unsigned *)arg)++;
}

static void test_timer_once(void **state)
{
	assert_int_equal(loop_timer_init(&loop, &timer, count, &fired), 0);
	assert_int_equal(loop_turn(&loop, 0), 0);
	assert_int_equal(fired, 0);
	loop_timer_set(&timer, 1);
	while (!fired)
		assert_int_equal(loop_turn(&loop, 1000), 0);
	assert_int_equal(loop_turn(&loop, 5), 0);
	assert_int_equal(fired, 1);
}

/* One that was stopped, or set anew, after it went off is not called. */
static void test_timer_stopped(void **state)
{
	struct epoll_event ev;

	assert_int_equal(loop_timer_init(&loop, &timer, count, &fired), 0);
	loop_timer_set(&timer, 1);
	assert_int_equal(epoll_wait(loop.fd, &ev, 1, 10000), 1);
	loop_timer_set(&timer, 0);
	assert_int_equal(loop_turn(&loop, 5), 0);
	assert_int_equal(fired, 0);
	loop_timer_set(&timer, 3600000);
	assert_int_equal(loop_turn(&loop, 5), 0);
	assert_int_equal(fired, 0);
}

static void test_timer_fini(void **state)
{
	struct loop_timer none = { .source.fd = -1 };

	loop_timer_fini(&loop, &none);
	assert_int_equal(loop_timer_init(&loop, &timer, count, &fired), 0);
	loop_timer_set(&timer, 1);
	loop_timer_fini(&loop, &timer);
	assert_int_equal(timer.source.fd, -1);
	assert_int_equal(loop_turn(&loop, 5), 0);
	assert_int_equal(fired, 0);
}

/* Two sources, each of which deletes the other one. */
static struct loop_source pair[2];

static void delete_other(void *arg, uint32_t events)
{
	struct loop_source *other = arg;

	fired++;
	loop_del(&loop, other);
}

static void test_deleted_is_not_called(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		pair[i].fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		pair[i].ready = delete_other;
		pair[i].arg = &pair[1 - i];
		assert_int_equal(loop_add(&loop, &pair[i], EPOLLIN), 0);
	}
	assert_int_equal(loop_turn(&loop, 0), 0);
	assert_int_equal(fired, 1);
	for (unsigned i = 0; i < 2; i++)
		close(pair[i].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_timer_once, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_timer_stopped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_timer_fini, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_deleted_is_not_called,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
