// SPDX-License-Identifier: BSD-2-Clause
// test_stream_queue.c - chunks leave whole and in order, ready ones only.
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>

#include "port/stream/queue.h"

enum {
	PRODUCERS = 2,
	CHUNKS = 20000, /* of each */
	PIECES = 16,
	LONGEST = 3000,
};

static struct stream_queue q;

static int setup(void **state)
{
	return stream_queue_init(&q);
}

static int teardown(void **state)
{
	stream_queue_fini(&q);
	return 0;
}

static uint8_t *put(uint8_t byte, uint32_t len)
{
	uint8_t *chunk = stream_queue_reserve(&q, len, 1);

	assert_non_null(chunk);
	memset(chunk, byte, len);
	return chunk;
}

/* The next n bytes that may be sent are this one; they are sent. */
static void expect(uint8_t byte, size_t n)
{
	struct iovec iov[1];

	assert_true(stream_queue_has_ready(&q));
	assert_int_equal(stream_queue_oldest(&q, iov, 1), 1);
	assert_true(iov[0].iov_len >= n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(((uint8_t *)iov[0].iov_base)[i], byte);
	stream_queue_sent(&q, n);
}

static void expect_none(int why)
{
	struct iovec iov[1];

	assert_false(stream_queue_has_ready(&q));
	assert_int_equal(stream_queue_oldest(&q, iov, 1), why);
}

static void one_that_is_copied_keeps_back_those_behind(void **state)
{
	uint8_t *a = put('a', 100), *b = put('b', 50), *c = put('c', 60);
	struct iovec iov[PIECES];

	stream_queue_ready(&q, b);
	expect_none(-EBUSY);
	stream_queue_ready(&q, a);
	assert_int_equal(stream_queue_oldest(&q, iov, PIECES), 2);
	expect('a', 30); /* a socket may take a part */
	expect('a', 70);
	expect('b', 50);
	expect_none(-EBUSY);
	stream_queue_ready(&q, c);
	expect('c', 60);
	expect_none(0);
}

static void a_part_may_end_in_the_next_chunk(void **state)
{
	stream_queue_ready(&q, put('a', 100));
	stream_queue_ready(&q, put('b', 100));
	stream_queue_sent(&q, 130);
	expect('b', 70);
	expect_none(0);
}

static void it_is_bounded_and_turns(void **state)
{
	for (unsigned round = 0; round < 5; round++) {
		unsigned n = 0;
		uint8_t *chunk;

		while ((chunk = stream_queue_reserve(&q, 50000 + round, 1))) {
			memset(chunk, n++, 50000 + round);
			stream_queue_ready(&q, chunk);
		}
		assert_true(n >= 19 && n <= STREAM_QUEUE / 50000);
		assert_true(q.used <= STREAM_QUEUE);
		for (unsigned k = 0; k + 3 < n; k++)
			expect(k, 50000 + round);
		/* The circle is not empty when its end is passed. */
		stream_queue_ready(&q, put(n, 60000));
		for (unsigned k = n - 3; k < n; k++)
			expect(k, 50000 + round);
		expect(n, 60000);
		expect_none(0);
	}
}

static void what_is_forgotten_is_not_sent(void **state)
{
	uint8_t *b;

	stream_queue_ready(&q, put('a', 100));
	expect('a', 10);
	b = put('b', 100);
	stream_queue_forget(&q);
	assert_int_equal(q.lost, 1);
	/* Somebody still writes there. */
	expect_none(-EBUSY);
	stream_queue_ready(&q, put('c', 100));
	expect_none(-EBUSY);
	memset(b, 'B', 100);
	stream_queue_ready(&q, b);
	expect('c', 100);
	expect_none(0);
	assert_int_equal(q.lost, 2);
	assert_int_equal(q.queued, 3);
}

/* A chunk says its producer, its number and its length, and goes on so. */
static void *produce(void *arg)
{
	uint32_t id = (uintptr_t)arg;

	for (uint32_t i = 0; i < CHUNKS; i++) {
		uint32_t len = 12 + (i * 7919 + id) % LONGEST;
		uint32_t head[3] = { id, i, len };
		uint8_t *chunk;

		while (!(chunk = stream_queue_reserve(&q, len, 1)))
			sched_yield();
		memcpy(chunk, head, sizeof(head));
		memset(chunk + sizeof(head), i, len - sizeof(head));
		stream_queue_ready(&q, chunk);
	}
	return NULL;
}

static void two_threads_fill_a_third_empties(void **state)
{
	uint32_t next[PRODUCERS] = { 0 }, n = 0;
	pthread_t thread[PRODUCERS];

	for (uintptr_t id = 0; id < PRODUCERS; id++)
		assert_int_equal(pthread_create(&thread[id], NULL, produce,
						(void *)id),
				 0);
	while (n < PRODUCERS * CHUNKS) {
		struct iovec iov[PIECES];
		int pieces = stream_queue_oldest(&q, iov, PIECES);
		size_t len = 0;

		if (pieces <= 0)
			sched_yield();
		for (int k = 0; k < pieces; k++) {
			const uint8_t *p = iov[k].iov_base;
			uint32_t head[3];

			memcpy(head, p, sizeof(head));
			assert_true(head[0] < PRODUCERS);
			assert_int_equal(head[1], next[head[0]]++);
			assert_int_equal(head[2], iov[k].iov_len);
			for (size_t i = sizeof(head); i < head[2]; i++)
				if (p[i] != (uint8_t)head[1])
					fail_msg("byte %zu", i);
			len += head[2];
			n++;
		}
		if (len)
			stream_queue_sent(&q, len);
	}
	for (unsigned id = 0; id < PRODUCERS; id++)
		pthread_join(thread[id], NULL);
	expect_none(0);
	assert_int_equal(q.queued, PRODUCERS * CHUNKS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_is_copied_keeps_back_those_behind),
		TEST(a_part_may_end_in_the_next_chunk),
		TEST(it_is_bounded_and_turns),
		TEST(what_is_forgotten_is_not_sent),
		TEST(two_threads_fill_a_third_empties),
	};

	return cmocka_run_group_tests_name("stream_queue", tests, NULL, NULL);
}
