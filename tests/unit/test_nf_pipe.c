// SPDX-License-Identifier: BSD-2-Clause
// test_nf_pipe.c - pipes: order, contents, buffers, full and empty, sleeping.
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/nf/pipe.h"

enum { SLOTS = 64, PACKETS = 200000 };

static struct pipe_window *window;
static struct pipe_out out;
static struct pipe_in in;
static uint64_t bufs[SLOTS + 2]; /* a packet is one word */
static uint32_t outside;	 /* what the producer was left with */

static void make(int to_consumer, int to_producer)
{
	uint32_t ids[SLOTS];

	for (uint32_t i = 0; i < SLOTS; i++)
		ids[i] = i;
	window = aligned_alloc(64, pipe_size(SLOTS));
	memset(window, 0, pipe_size(SLOTS));
	pipe_init(window, SLOTS, ids);
	pipe_out_init(&out, window, SLOTS, to_consumer);
	pipe_in_init(&in, window, SLOTS, to_producer);
}

/* Puts one packet, whose buffer *mine is exchanged. */
static void put(uint32_t *mine, uint64_t value)
{
	uint64_t empty;

	bufs[*mine] = value;
	empty = pipe_exchange(pipe_out_slot(&out, out.head++),
			      slot_word(*mine, 8, 7), value);
	*mine = slot_buf(empty);
}

static void fills_and_empties(void **state)
{
	uint32_t mine = SLOTS;

	make(-1, -1);
	assert_int_equal(pipe_in_ready(&in, 1), 0);
	for (uint64_t i = 0; i < SLOTS; i++) {
		assert_int_equal(pipe_out_room(&out, 1), SLOTS - i);
		put(&mine, i);
	}
	assert_int_equal(pipe_out_room(&out, 1), 0);
	assert_int_equal(pipe_in_ready(&in, 1), 0); /* not published */
	pipe_out_publish(&out);
	assert_int_equal(pipe_queued(window), SLOTS);
	assert_int_equal(pipe_in_ready(&in, 1), SLOTS);
	assert_int_equal(slot_len(slot_load(pipe_in_slot(&in, 0))), 8);
	assert_int_equal(slot_flags(slot_load(pipe_in_slot(&in, 0))), 7);
	pipe_in_release(&in, 3);
	assert_int_equal(pipe_out_room(&out, 1), 3);
	assert_int_equal(pipe_queued(window), SLOTS - 3);
	free(window);
}

static void indexes_wrap(void **state)
{
	make(-1, -1);
	out.head = out.published = out.tail = in.head = in.tail = 0xfffffff0;
	window->producer.index = window->consumer.index = out.head;
	for (uint32_t mine = SLOTS, i = 0; i < 100; i++) {
		assert_true(pipe_out_room(&out, 1) >= 1);
		put(&mine, i);
		pipe_out_publish(&out);
		assert_int_equal(pipe_in_ready(&in, 1), 1);
		assert_int_equal(shm_load64(&pipe_in_slot(&in, in.tail)->ptr),
				 i);
		pipe_in_release(&in, 1);
	}
	free(window);
}

/* An index that cannot be is no progress, and no reason to read beyond. */
static void wild_indexes(void **state)
{
	make(-1, -1);
	window->producer.index = SLOTS + 1;
	assert_int_equal(pipe_in_ready(&in, 1), 0);
	window->consumer.index = 5;
	assert_int_equal(pipe_out_refresh(&out), SLOTS);
	free(window);
}

static void wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	assert_true(poll(&p, 1, 30000) == 1);
	assert_true(read(fd, &n, sizeof(n)) == sizeof(n));
}

static void *produce(void *arg)
{
	uint32_t mine = SLOTS;
	const int *fd = arg;

	for (uint64_t i = 0; i < PACKETS; i++) {
		while (!pipe_out_room(&out, 1)) {
			pipe_out_publish(&out);
			if (!fd) {
				sched_yield();
				continue;
			}
			pipe_out_arm(&out);
			shm_full_fence();
			if (!pipe_out_refresh(&out))
				wait_for(*fd);
			pipe_out_disarm(&out);
		}
		put(&mine, i);
		if (i % 7 == 0)
			pipe_out_publish(&out);
	}
	pipe_out_publish(&out);
	outside = mine;
	return NULL;
}

/* Reads all; of every third the buffer is exchanged with one of its own. */
static void consume(const int *fd, uint32_t *mine)
{
	uint64_t next = 0, wrong = 0;

	while (next < PACKETS) {
		uint32_t n = pipe_in_ready(&in, 1);

		if (!n && fd) {
			pipe_in_arm(&in);
			shm_full_fence();
			if (!pipe_in_refresh(&in))
				wait_for(*fd);
			pipe_in_disarm(&in);
		} else if (!n) {
			sched_yield();
		}
		for (uint32_t i = 0; i < n; i++, next++) {
			struct netmap_slot *s = pipe_in_slot(&in, in.tail + i);
			uint32_t buf = slot_buf(slot_load(s));

			wrong += bufs[buf] != next;
			wrong += shm_load64(&s->ptr) != next;
			if (next % 3)
				continue;
			slot_store(s, slot_word(*mine, 0, 0));
			*mine = buf;
		}
		pipe_in_release(&in, n);
	}
	assert_int_equal(wrong, 0);
}

/* All buffers are named once: by slots, and by the two that are outside. */
static void check_buffers(uint32_t a, uint32_t b)
{
	uint8_t seen[SLOTS + 2] = { 0 };
	uint32_t ids[SLOTS];

	pipe_ids(window, SLOTS, ids);
	for (unsigned i = 0; i < SLOTS; i++)
		seen[ids[i]]++;
	seen[a]++;
	seen[b]++;
	for (unsigned i = 0; i < SLOTS + 2; i++)
		assert_int_equal(seen[i], 1);
}

static void two_threads(void **state)
{
	uint32_t mine = SLOTS + 1;
	pthread_t t;

	make(-1, -1);
	pthread_create(&t, NULL, produce, NULL);
	consume(NULL, &mine);
	pthread_join(t, NULL);
	check_buffers(outside, mine);
	free(window);
}

static void two_threads_that_sleep(void **state)
{
	int to_producer = eventfd(0, EFD_NONBLOCK);
	int to_consumer = eventfd(0, EFD_NONBLOCK);
	uint32_t mine = SLOTS + 1;
	pthread_t t;

	make(to_consumer, to_producer);
	pthread_create(&t, NULL, produce, &to_producer);
	consume(&to_consumer, &mine);
	pthread_join(t, NULL);
	check_buffers(outside, mine);
	close(to_producer);
	close(to_consumer);
	free(window);
}

/* A mover answers a wish once, not at every move. */
static void kicks_once(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint32_t mine = SLOTS;
	uint64_t n = 0;

	make(fd, -1);
	put(&mine, 1);
	pipe_out_publish(&out);
	assert_true(read(fd, &n, sizeof(n)) < 0); /* nobody asked */
	pipe_in_arm(&in);
	for (unsigned i = 0; i < 3; i++) {
		put(&mine, 1);
		pipe_out_publish(&out);
	}
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	pipe_in_arm(&in);
	put(&mine, 1);
	pipe_out_publish(&out);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	close(fd);
	free(window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_and_empties),
		cmocka_unit_test(indexes_wrap),
		cmocka_unit_test(wild_indexes),
		cmocka_unit_test(two_threads),
		cmocka_unit_test(two_threads_that_sleep),
		cmocka_unit_test(kicks_once),
	};

	return cmocka_run_group_tests_name("nf_pipe", tests, NULL, NULL);
}
