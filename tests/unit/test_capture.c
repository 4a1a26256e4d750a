/* SPDX-License-Identifier: BSD-2-Clause */
/* test_capture.c - both ends of a capture's rings, a reader that lies too. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/capture.h"
#include "core/switch.h"
#include "tools/glenctl/reader.h"

/* A switch with three ports, and a batch that packets are put into. */
struct world {
	struct vswitch *sw;
	struct port *ports[3];
	struct batch *batch;
	struct capture_session *session;
	struct reader reader;
	uint8_t payload[8192];
};

static struct port *port_make(struct vswitch *sw, unsigned index,
			      const char *name)
{
	struct port *port = aligned_alloc(64, (sizeof(*port) + 63) & ~63UL);

	assert_non_null(port);
	memset(port, 0, sizeof(*port));
	strcpy(port->name, name);
	port->sw = sw;
	port->index = index;
	port->in[0].port = port;
	port->in[0].counters = calloc(1, sizeof(struct counters));
	sw->ports[index] = port;
	return port;
}

static void port_free(struct port *port)
{
	capture_port_del(port);
	port->sw->ports[port->index] = NULL;
	free(port->in[0].counters);
	free(port);
}

static int setup(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	struct world *w = calloc(1, sizeof(*w));

	w->sw = calloc(1, sizeof(*w->sw));
	strcpy(w->sw->name, "sw");
	for (unsigned i = 0; i < 3; i++)
		w->ports[i] = port_make(w->sw, i, names[i]);
	w->batch = aligned_alloc(64, sizeof(*w->batch));
	memset(w->batch, 0, sizeof(*w->batch));
	for (unsigned i = 0; i < sizeof(w->payload); i++)
		w->payload[i] = i * 7 + i / 256;
	w->reader.wake_fd = -1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	reader_close(&w->reader);
	capture_destroy(w->session);
	for (unsigned i = 0; i < 3; i++)
		if (w->ports[i])
			port_free(w->ports[i]);
	free(w->batch);
	free(w->sw);
	free(w);
	return 0;
}

/* Starts to capture and opens the reader, as glenctl does. */
static void start(struct world *w, const char *port, uint32_t snaplen,
		  unsigned n_workers)
{
	struct capture_config config = { .port = port,
					 .snaplen = snaplen,
					 .ring_bytes = CAPTURE_RING_MIN,
					 .n_workers = n_workers };
	struct glen_error error = { 0 };
	json_t *shown;
	int fds[2];

	assert_int_equal(capture_create(w->sw, &config, &w->session, &error),
			 0);
	shown = capture_show(w->session);
	capture_fds(w->session, fds);
	assert_int_equal(
		reader_open(&w->reader, dup(fds[0]), dup(fds[1]),
			    json_integer_value(json_object_get(shown, "rings")),
			    json_integer_value(
				    json_object_get(shown, "ring_bytes"))),
		0);
	json_decref(shown);
}

/* Packet i of the batch: a header of up to 64 bytes and a segment. */
static void packet(struct world *w, unsigned i, uint32_t len, uint32_t verdict)
{
	struct batch *b = w->batch;

	b->hdr_len[i] = len < 64 ? len : 64;
	memcpy(b->hdr[i], w->payload, b->hdr_len[i]);
	b->len[i] = len;
	b->seg0[i] = i;
	b->n_seg[i] = 1;
	b->seg[i].ptr = w->payload + b->hdr_len[i];
	b->seg[i].len = len - b->hdr_len[i];
	b->verdict[i] = verdict;
	b->n = i + 1;
}

static void in(struct world *w, unsigned worker, struct port *port)
{
	struct capture *c = atomic_load(&port->capture);

	if (c)
		capture_in(c, worker, port, w->batch);
}

static const struct capture_record *next(struct world *w)
{
	return reader_look(&w->reader) ? reader_next(&w->reader) : NULL;
}

static void check(struct world *w, const struct capture_record *r,
		  const char *port, unsigned kind, unsigned reason,
		  uint32_t len, uint32_t cap_len)
{
	assert_non_null(r);
	assert_string_equal(reader_port(&w->reader, r->port), port);
	assert_int_equal(r->kind, kind);
	assert_int_equal(r->reason, reason);
	assert_int_equal(r->wire_len, len);
	assert_int_equal(r->cap_len, cap_len);
	assert_memory_equal(r + 1, w->payload, cap_len);
}

static void records_both_directions(void **state)
{
	struct world *w = *state;
	struct tx_ctx ctx = { .dropped = { 1ULL << 2 } };
	const uint16_t list[] = { 0, 2 };

	ctx.reason[2] = DROP_OUT_NO_ROOM;
	start(w, NULL, 0, 1);
	packet(w, 0, 60, VERDICT_PORT | 1);
	packet(w, 1, 14, VERDICT_DROP | DROP_IN_RUNT);
	packet(w, 2, 1514, VERDICT_FLOOD);
	in(w, 0, w->ports[0]);
	capture_out(atomic_load(&w->ports[1]->capture), 0, w->ports[1],
		    w->batch, list, 2, &ctx);
	capture_out(atomic_load(&w->ports[2]->capture), 0, w->ports[2],
		    w->batch, list + 1, 1, NULL);

	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
	check(w, next(w), "sw:a", CAPTURE_IN, DROP_IN_RUNT, 14, 14);
	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 1514, 1514);
	check(w, next(w), "sw:b", CAPTURE_OUT, CAPTURE_DELIVERED, 60, 60);
	check(w, next(w), "sw:b", CAPTURE_OUT, DROP_OUT_NO_ROOM, 1514, 1514);
	check(w, next(w), "sw:c", CAPTURE_OUT, CAPTURE_DELIVERED, 1514, 1514);
	assert_null(next(w));
}

static void cuts_at_snaplen(void **state)
{
	static const uint32_t lens[] = { 60, 63, 64, 65, 99, 100, 101, 5000 };
	struct world *w = *state;
	unsigned n = sizeof(lens) / sizeof(*lens);

	start(w, NULL, 100, 1);
	for (unsigned i = 0; i < n; i++)
		packet(w, i, lens[i], 0);
	in(w, 0, w->ports[0]);
	for (unsigned i = 0; i < n; i++)
		check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED,
		      lens[i], lens[i] < 100 ? lens[i] : 100);
}

static void joins_segments(void **state)
{
	struct world *w = *state;
	struct batch *b = w->batch;

	start(w, NULL, 0, 1);
	packet(w, 0, 64, 0);
	b->len[0] = 64 + 10 + 0 + 300;
	b->n_seg[0] = 3;
	b->seg[0] = (struct seg){ w->payload + 64, 10 };
	b->seg[1] = (struct seg){ NULL, 0 };
	b->seg[2] = (struct seg){ w->payload + 74, 300 };
	in(w, 0, w->ports[0]);
	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 374, 374);
}

static void one_port_only(void **state)
{
	struct world *w = *state;

	start(w, "b", 0, 1);
	assert_null(atomic_load(&w->ports[0]->capture));
	packet(w, 0, 60, 0);
	in(w, 0, w->ports[0]);
	assert_null(next(w));
	in(w, 0, w->ports[1]);
	check(w, next(w), "sw:b", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
}

static void ports_come_and_go(void **state)
{
	struct world *w = *state;

	start(w, NULL, 0, 1);
	packet(w, 0, 60, 0);
	port_free(w->ports[1]);
	w->ports[1] = port_make(w->sw, 1, "new");
	capture_port_add(w->ports[1]);
	in(w, 0, w->ports[1]);
	check(w, next(w), "sw:new", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
	/* The others are captured as before. */
	in(w, 0, w->ports[2]);
	check(w, next(w), "sw:c", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);

	assert_false(reader_ended(&w->reader));
	for (unsigned i = 0; i < 3; i++)
		port_free(w->ports[i]);
	memset(w->ports, 0, sizeof(w->ports));
	capture_switch_del(w->sw);
	assert_true(reader_ended(&w->reader));
	/* teardown destroys a session without switch */
}

static void sessions_are_independent(void **state)
{
	struct world *w = *state;
	struct capture_config config = { .ring_bytes = CAPTURE_RING_MIN,
					 .n_workers = 1 };
	struct capture_session *other[2];

	assert_int_equal(capture_create(w->sw, &config, &other[0], NULL), 0);
	start(w, NULL, 0, 1);
	assert_int_equal(capture_create(w->sw, &config, &other[1], NULL), 0);
	packet(w, 0, 60, 0);
	in(w, 0, w->ports[0]);
	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
	capture_destroy(other[0]);
	in(w, 0, w->ports[0]);
	capture_destroy(other[1]);
	in(w, 0, w->ports[1]);
	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
	check(w, next(w), "sw:b", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
	assert_null(next(w));
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void refuses_with_a_reason(void **state)
{
	struct world *w = *state;
	struct capture_config config = { .port = "zz", .n_workers = 1 };
	struct capture_session *sessions[CAPTURE_SESSIONS_MAX], *one;
	struct glen_error error = { 0 };
	unsigned fds = open_fds();

	assert_int_equal(capture_create(w->sw, &config, &one, &error), -ENOENT);
	assert_non_null(strstr(error.text, "sw:zz"));
	config.port = NULL;
	config.ring_bytes = CAPTURE_RING_MIN - 1;
	assert_int_equal(capture_create(w->sw, &config, &one, &error), -EINVAL);
	config.ring_bytes = CAPTURE_RING_MAX + 1ULL;
	assert_int_equal(capture_create(w->sw, &config, &one, &error), -EINVAL);
	assert_int_equal(open_fds(), fds);

	config.ring_bytes = CAPTURE_RING_MIN;
	for (unsigned i = 0; i < CAPTURE_SESSIONS_MAX; i++)
		assert_int_equal(capture_create(w->sw, &config, &sessions[i],
						NULL),
				 0);
	assert_int_equal(capture_create(w->sw, &config, &one, &error), -ENOSPC);
	for (unsigned i = 0; i < CAPTURE_SESSIONS_MAX; i++)
		capture_destroy(sessions[i]);
	assert_int_equal(open_fds(), fds);
	assert_null(atomic_load(&w->ports[0]->capture));
	assert_null(w->sw->captures);
}

static void sizes_are_limited(void **state)
{
	struct world *w = *state;
	struct capture_config config = { .ring_bytes = CAPTURE_RING_MIN + 1,
					 .n_workers = 1 };
	struct capture_session *s;
	json_t *shown;

	assert_int_equal(capture_create(w->sw, &config, &s, NULL), 0);
	shown = capture_show(s);
	assert_int_equal(json_integer_value(
				 json_object_get(shown, "ring_bytes")),
			 2 * CAPTURE_RING_MIN);
	assert_int_equal(json_integer_value(json_object_get(shown, "rings")),
			 2);
	assert_string_equal(json_string_value(json_object_get(
				    json_object_get(shown, "reasons"), "0")),
			    drop_name(0));
	json_decref(shown);
	capture_destroy(s);
}

static void refused_packets_are_shown(void **state)
{
	struct world *w = *state;
	struct ingress *ingress = &w->ports[0]->in[0];
	struct seg segs[2] = { { w->payload, 5 }, { w->payload + 5, 4 } };

	start(w, NULL, 0, 1);
	in_drop_seg(ingress, DROP_IN_RUNT, segs, 2, 9);
	in_drop(ingress, DROP_IN_SEGMENTS);
	check(w, next(w), "sw:a", CAPTURE_IN, DROP_IN_RUNT, 9, 9);
	check(w, next(w), "sw:a", CAPTURE_IN, DROP_IN_SEGMENTS, 0, 0);
	assert_int_equal(ingress->counters->packets, 2);
	assert_int_equal(ingress->counters->drops[DROP_IN_RUNT], 1);
}

/* The first 4 bytes of the payload count packets. */
static void number(struct world *w, unsigned i, uint32_t n)
{
	memcpy(w->batch->hdr[i], &n, sizeof(n));
}

static void full_ring_counts_missed(void **state)
{
	struct world *w = *state;
	const struct capture_record *r;
	uint32_t written = 0, read = 0, n;

	start(w, NULL, 0, 1);
	for (unsigned turn = 0; turn < 300; turn++) {
		for (unsigned i = 0; i < 8; i++) {
			packet(w, i, 4000, 0);
			number(w, i, written++);
		}
		in(w, 0, w->ports[0]);
	}
	assert_true(reader_missed(&w->reader) > 2000);
	assert_int_equal(reader_missed(&w->reader),
			 reader_port_missed(&w->reader, next(w)->port));
	/* What was kept is the beginning, without holes, from record 1 on. */
	while ((r = next(w)) != NULL) {
		memcpy(&n, r + 1, sizeof(n));
		assert_int_equal(n, ++read);
	}
	assert_int_equal(read + 1 + reader_missed(&w->reader), written);
	/* And there is room again. */
	reader_release(&w->reader);
	packet(w, 0, 60, 0);
	in(w, 0, w->ports[0]);
	check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, 60, 60);
}

static void wraps_with_any_length(void **state)
{
	struct world *w = *state;
	unsigned seed = 12345;
	uint64_t bytes = 0;

	print_message("# seed %u\n", seed);
	start(w, NULL, 0, 1);
	while (bytes < 5 * CAPTURE_RING_MIN) {
		uint32_t len = rand_r(&seed) % sizeof(w->payload);

		packet(w, 0, len, 0);
		in(w, 0, w->ports[0]);
		check(w, next(w), "sw:a", CAPTURE_IN, CAPTURE_DELIVERED, len,
		      len);
		reader_release(&w->reader);
		bytes += len;
	}
	assert_int_equal(reader_missed(&w->reader), 0);
}

/*
 * A reader may write what it likes: the worker stays within its ring, and what
 * it did not record it counts.
 */
static void reader_lies(void **state)
{
	struct world *w = *state;
	struct capture_tail *tail;
	uint8_t *other_ring;
	unsigned seed = 99, packets = 0;

	print_message("# seed %u\n", seed);
	start(w, NULL, 0, 2);
	tail = (struct capture_tail *)(w->reader.mem + CAPTURE_TAIL_OFF);
	other_ring = w->reader.mem + CAPTURE_RINGS_OFF;
	memset(other_ring, 0xaa, CAPTURE_RING_MIN);
	memset(other_ring + 2 * CAPTURE_RING_MIN, 0xaa, CAPTURE_RING_MIN);
	for (unsigned turn = 0; turn < 20000; turn++) {
		uint64_t lie = (uint64_t)rand_r(&seed) << 32 | rand_r(&seed);

		if (turn % 3 == 0)
			lie = w->reader.head[1] + lie % 64 - 32;
		else if (turn % 3 == 1)
			lie %= 4 * CAPTURE_RING_MIN;
		atomic_store(&tail->rings[1].tail, lie);
		atomic_store(&tail->wake_seq, rand_r(&seed));
		packet(w, 0, rand_r(&seed) % sizeof(w->payload), 0);
		in(w, 1, w->ports[0]);
		packets++;
		if (turn % 100 == 0)
			memset(w->reader.mem + CAPTURE_RINGS_OFF +
				       CAPTURE_RING_MIN,
			       rand_r(&seed), CAPTURE_RING_MIN);
		reader_look(&w->reader);
	}
	assert_true(reader_missed(&w->reader) > 0);
	assert_true(reader_missed(&w->reader) < packets);
	for (unsigned i = 0; i < CAPTURE_RING_MIN; i++) {
		assert_int_equal(other_ring[i], 0xaa);
		assert_int_equal(other_ring[i + 2 * CAPTURE_RING_MIN], 0xaa);
	}
}

static bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static void wakes_only_if_asked(void **state)
{
	struct world *w = *state;
	struct capture_tail *tail;

	start(w, NULL, 0, 1);
	tail = (struct capture_tail *)(w->reader.mem + CAPTURE_TAIL_OFF);
	packet(w, 0, 60, 0);
	in(w, 0, w->ports[0]);
	assert_false(readable(w->reader.wake_fd));
	/* Asked once: one wake-up, and none for the packets behind. */
	w->reader.wake_seq = 1;
	atomic_store(&tail->wake_seq, 1);
	in(w, 0, w->ports[0]);
	assert_true(readable(w->reader.wake_fd));
	reader_wait(&w->reader, -1, 0); /* asks again and empties */
	assert_false(readable(w->reader.wake_fd));
	in(w, 0, w->ports[0]);
	/* Too early since the last one; a quarter of the ring is enough. */
	assert_false(readable(w->reader.wake_fd));
	for (unsigned i = 0; i < CAPTURE_RING_MIN / 4 / 4000; i++) {
		packet(w, 0, 4000, 0);
		in(w, 0, w->ports[0]);
	}
	assert_false(readable(w->reader.wake_fd));
	in(w, 0, w->ports[0]);
	assert_true(readable(w->reader.wake_fd));
}

enum { THREAD_PACKETS = 200000 };

static void *writer_thread(void *arg)
{
	struct world *w = arg;

	for (unsigned n = 0; n < THREAD_PACKETS; n += 4) {
		for (unsigned i = 0; i < 4; i++) {
			packet(w, i, 60 + n % 1000, 0);
			number(w, i, n + i);
		}
		in(w, 0, w->ports[0]);
	}
	return NULL;
}

/* While one side writes the other reads: in order, whole, all accounted. */
static void threads_agree(void **state)
{
	struct world *w = *state;
	const struct capture_record *r;
	uint32_t n, last = 0, read = 0;
	pthread_t thread;
	bool over = false;

	start(w, NULL, 0, 1);
	assert_int_equal(pthread_create(&thread, NULL, writer_thread, w), 0);
	while (!over) {
		over = pthread_tryjoin_np(thread, NULL) == 0;
		if (!over)
			reader_wait(&w->reader, -1, 1);
		reader_look(&w->reader);
		while ((r = reader_next(&w->reader)) != NULL) {
			memcpy(&n, r + 1, sizeof(n));
			assert_true(read == 0 || n > last);
			assert_int_equal(r->wire_len, 60 + (n & ~3U) % 1000);
			assert_memory_equal((const uint8_t *)(r + 1) + 4,
					    w->payload + 4, r->cap_len - 4);
			last = n;
			read++;
		}
		reader_release(&w->reader);
	}
	assert_false(w->reader.broken);
	assert_true(read > 0);
	assert_int_equal(read + reader_missed(&w->reader), THREAD_PACKETS);
}

static void reader_refuses_nonsense(void **state)
{
	struct world *w = *state;
	struct capture_record *r;

	assert_int_equal(reader_open(&w->reader, -1, -1, 2, CAPTURE_RING_MIN),
			 -EPROTO);
	start(w, NULL, 0, 1);
	packet(w, 0, 60, 0);
	in(w, 0, w->ports[0]);
	r = (struct capture_record *)(w->reader.mem + CAPTURE_RINGS_OFF);
	r->size = 12;
	assert_null(next(w));
	assert_true(w->reader.broken);
	w->reader.broken = false;
	r->size = 88;
	r->cap_len = 65;
	assert_null(next(w));
	assert_true(w->reader.broken);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_both_directions),
		TEST(cuts_at_snaplen),
		TEST(joins_segments),
		TEST(one_port_only),
		TEST(ports_come_and_go),
		TEST(sessions_are_independent),
		TEST(refuses_with_a_reason),
		TEST(sizes_are_limited),
		TEST(refused_packets_are_shown),
		TEST(full_ring_counts_missed),
		TEST(wraps_with_any_length),
		TEST(reader_lies),
		TEST(wakes_only_if_asked),
		TEST(threads_agree),
		TEST(reader_refuses_nonsense),
	};

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
