// SPDX-License-Identifier: BSD-2-Clause
// test_doorbell.c - signals to a peer's eventfd never wait.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/engine.h"

enum { RINGS = 100000 };

static struct engine *engine;

static int setup(void **state)
{
	const struct engine_config config = { .n_workers = 2 };
	struct glen_error error;

	if (engine_create(&engine, &config, &error) ||
	    engine_doorbells(engine, &error))
		fail_msg("%s", error.text);
	return 0;
}

static int teardown(void **state)
{
	engine_destroy(engine);
	return 0;
}

static uint64_t counter(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		assert_int_equal(errno, EAGAIN);
	return n;
}

/* Each ring counts, on every worker's doorbell and the control thread's. */
static void test_counts(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	for (unsigned i = 0; i <= engine->n_workers; i++) {
		struct doorbell *d = &engine->workers[i]->doorbell;

		for (unsigned n = 0; n < RINGS; n++)
			assert_true(doorbell_ring(d, fd));
		assert_int_equal(counter(fd), RINGS);
	}
	close(fd);
}

/* The peer cleared O_NONBLOCK and filled the counter: a write() would wait. */
static void test_full(void **state)
{
	struct doorbell *d = &engine->workers[0]->doorbell;
	int fd = eventfd(0, EFD_CLOEXEC), other;
	uint64_t most = UINT64_MAX - 1;

	other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	for (unsigned n = 0; n < 1000; n++)
		doorbell_ring(d, fd);
	/* And others are still heard. */
	assert_true(doorbell_ring(d, other));
	assert_int_equal(counter(other), 1);
	assert_true(counter(fd) >= most);
	close(fd);
	close(other);
}

/* Every ring is an edge, also if nobody reads. */
static void test_edges(void **state)
{
	struct doorbell *d = &engine->workers[1]->doorbell;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), 0);
	assert_int_equal(epoll_wait(epfd, &ev, 1, 0), 0);
	for (unsigned n = 0; n < 3; n++) {
		assert_true(doorbell_ring(d, fd));
		assert_int_equal(epoll_wait(epfd, &ev, 1, 0), 1);
		assert_int_equal(epoll_wait(epfd, &ev, 1, 0), 0);
	}
	close(fd);
	close(epfd);
}

/* What is no eventfd is refused and harms nothing. */
static void test_others(void **state)
{
	struct doorbell *d = &engine->workers[0]->doorbell;
	int pipes[2], fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_false(doorbell_ring(d, pipes[1]));
	close(pipes[0]);
	assert_false(doorbell_ring(d, pipes[1]));
	close(pipes[1]);
	assert_false(doorbell_ring(d, pipes[1]));
	assert_false(doorbell_ring(d, -1));
	assert_true(doorbell_ring(d, fd));
	assert_int_equal(counter(fd), 1);
	close(fd);
}

/* Asking again is fine; one that was never made says so. */
static void test_made_once(void **state)
{
	struct doorbell none = { 0 };
	struct glen_error error;
	aio_context_t before = engine->workers[0]->doorbell.context;

	assert_int_equal(engine_doorbells(engine, &error), 0);
	assert_true(engine->workers[0]->doorbell.context == before);
	assert_false(doorbell_ring(&none, 1));
	doorbell_fini(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_made_once, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
