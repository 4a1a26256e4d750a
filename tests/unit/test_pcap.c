// SPDX-License-Identifier: BSD-2-Clause
// test_pcap.c - replay from and capture to files.
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "port/pcap/pcap_port.h"

enum {
	FRAME = 60,
	WAIT_MS = 10000, /* for a thread; reached only when a test fails */
	BIG_FRAME = 128 << 10,
	PRODUCERS = 2,
	BURSTS = 20,
};

static char dir[] = "/tmp/glen-test-pcap-XXXXXX";
static char in_path[64], out_path[64];
static struct port port;
static struct counters in_count, out_count;
static struct batch batch;

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(in_path, sizeof(in_path), "%s/in.pcap", dir);
	snprintf(out_path, sizeof(out_path), "%s/out.pcap", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(in_path);
	unlink(out_path);
	return rmdir(dir);
}

/* Packet number i as the tests write it. */
static void frame_fill(uint8_t *frame, unsigned i, unsigned len)
{
	for (unsigned k = 0; k < len; k++)
		frame[k] = i * 7 + k;
}

/* A capture of n frames, gap_ms apart; of len bytes, caplen captured. */
static void write_capture(unsigned n, unsigned gap_ms, unsigned len,
			  unsigned caplen, int link_type)
{
	pcap_t *p = pcap_open_dead(link_type, 65535);
	pcap_dumper_t *d = pcap_dump_open(p, in_path);
	uint8_t frame[2048];

	assert_non_null(d);
	for (unsigned i = 0; i < n; i++) {
		struct pcap_pkthdr hdr = { .caplen = caplen, .len = len };
		uint64_t us = i * gap_ms * 1000ULL;

		hdr.ts.tv_sec = 1000000 + us / 1000000;
		hdr.ts.tv_usec = us % 1000000;
		frame_fill(frame, i, len);
		pcap_dump((u_char *)d, &hdr, frame);
	}
	pcap_dump_close(d);
	pcap_close(p);
}

static int open_port(json_t *params, struct glen_error *error)
{
	struct port_args args = { .params = params };
	int err;

	memset(&port, 0, sizeof(port));
	memset(&in_count, 0, sizeof(in_count));
	memset(&out_count, 0, sizeof(out_count));
	err = pcap_port_ops.open(&port, &args, error);
	json_decref(params);
	port.in[0].port = port.out[0].port = &port;
	port.in[0].counters = &in_count;
	port.out[0].counters = &out_count;
	return err;
}

static void open_good(json_t *params)
{
	struct glen_error error = { 0 };

	if (open_port(params, &error))
		fail_msg("%s", error.text);
}

static void close_port(void)
{
	pcap_port_ops.close(&port);
}

static unsigned receive(void)
{
	memset(&batch, 0, offsetof(struct batch, len));
	return pcap_hot.rx(&port.in[0], &batch);
}

/* Waits as a worker does: arm, then for an edge of the timer. */
static void wait_for_edge(void)
{
	struct pollfd p = { .fd = port.in[0].in_fd, .events = POLLIN };

	if (pcap_hot.rx_arm(&port.in[0]))
		return;
	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("no wake-up");
	pcap_hot.rx_disarm(&port.in[0]);
}

static json_t *shown(void)
{
	json_t *object = json_object();

	pcap_port_ops.show(&port, object);
	return object;
}

static bool is_done(void)
{
	json_t *object = shown();
	bool done = json_is_true(json_object_get(object, "done"));

	json_decref(object);
	return done;
}

/* Receives until the port is done; checks contents; returns the number. */
static unsigned receive_all(unsigned n_file)
{
	unsigned n = 0;
	uint8_t want[FRAME];

	while (!is_done()) {
		if (!receive()) {
			wait_for_edge();
			continue;
		}
		assert_true(batch.overread);
		for (unsigned i = 0; i < batch.n; i++, n++) {
			frame_fill(want, n % n_file, FRAME);
			assert_int_equal(batch.len[i], FRAME);
			assert_memory_equal(batch.seg[batch.seg0[i]].ptr, want,
					    FRAME);
		}
		pcap_hot.rx_done(&port.in[0], &batch);
	}
	return n;
}

static void replays_all_at_full_speed(void **state)
{
	write_capture(20000, 1, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s, s:s}", "read", in_path, "speed", "max"));
	assert_int_equal(port.n_in, 1);
	assert_int_equal(port.n_out, 0);
	assert_int_equal(receive_all(20000), 20000);
	close_port();
}

/* Two packets 130 years apart, at a millionth of the speed, for ever. */
static void wild_times_are_harmless(void **state)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *d = pcap_dump_open(p, in_path);
	struct pcap_pkthdr hdr = { .caplen = FRAME, .len = FRAME };
	struct pcap_ring *ring;
	uint8_t frame[FRAME];

	frame_fill(frame, 0, FRAME);
	pcap_dump((u_char *)d, &hdr, frame);
	hdr.ts.tv_sec = 0xffffffff;
	hdr.ts.tv_usec = 0xffffffff;
	pcap_dump((u_char *)d, &hdr, frame);
	pcap_dump_close(d);
	pcap_close(p);
	open_good(json_pack("{s:s, s:s, s:s}", "read", in_path, "speed",
			    "0.000001x", "loop", "forever"));
	ring = &((struct pcap_port *)port.drv)->reader->ring;
	while (!pcap_ring_peek(ring, 100))
		sched_yield();
	assert_int_equal(receive(), 1);
	pcap_hot.rx_done(&port.in[0], &batch);
	assert_int_equal(receive(), 0);
	assert_false(pcap_hot.rx_arm(&port.in[0]));
	close_port();
}

static void loops(void **state)
{
	json_t *object;

	write_capture(7, 0, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s, s:s, s:i}", "read", in_path, "speed", "max",
			    "loop", 300));
	assert_int_equal(receive_all(7), 7 * 300);
	object = shown();
	assert_int_equal(json_integer_value(
				 json_object_get(object, "loops_done")),
			 300);
	json_decref(object);
	close_port();
}

static void closes_while_looping_for_ever(void **state)
{
	write_capture(7, 0, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s, s:s, s:s}", "read", in_path, "speed", "max",
			    "loop", "forever"));
	for (unsigned i = 0; i < 10; i++) {
		while (!receive())
			wait_for_edge();
		pcap_hot.rx_done(&port.in[0], &batch);
	}
	assert_false(is_done());
	close_port();
}

/* The timer's remaining time once the ring sleeps for its second packet. */
static double second_packet_in(json_t *speed)
{
	struct itimerspec when;
	unsigned n = 0;

	write_capture(2, 3600 * 1000, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s, s:o}", "read", in_path, "speed", speed));
	while (!n) {
		n = receive();
		if (!n)
			wait_for_edge();
	}
	assert_int_equal(n, 1);
	pcap_hot.rx_done(&port.in[0], &batch);
	/* The reader may still be busy with the second packet. */
	while (!pcap_ring_peek(&((struct pcap_port *)port.drv)->reader->ring,
			       1))
		sched_yield();
	assert_int_equal(receive(), 0);
	assert_false(pcap_hot.rx_arm(&port.in[0]));
	timerfd_gettime(port.in[0].in_fd, &when);
	close_port();
	return when.it_value.tv_sec + when.it_value.tv_nsec / 1e9;
}

static void keeps_recorded_time(void **state)
{
	double in = second_packet_in(json_string("recorded"));

	assert_true(in > 3500 && in <= 3600);
	in = second_packet_in(json_string("2x"));
	assert_true(in > 1700 && in <= 1800);
	in = second_packet_in(json_real(0.5));
	assert_true(in > 7100 && in <= 7200);
	in = second_packet_in(json_string("0.001pps"));
	assert_true(in > 900 && in <= 1000);
}

static void wakes_when_a_packet_is_due(void **state)
{
	write_capture(5, 20, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s}", "read", in_path));
	assert_int_equal(receive_all(5), 5);
	close_port();
}

static void counts_what_cannot_be_replayed(void **state)
{
	write_capture(9, 0, 1000, 100, DLT_EN10MB);
	open_good(json_pack("{s:s}", "read", in_path));
	assert_int_equal(receive_all(1), 0);
	assert_int_equal(in_count.packets, 9);
	assert_int_equal(in_count.drops[DROP_IN_TRUNCATED], 9);
	close_port();
	write_capture(9, 0, 13, 13, DLT_EN10MB);
	open_good(json_pack("{s:s}", "read", in_path));
	assert_int_equal(receive_all(1), 0);
	assert_int_equal(in_count.drops[DROP_IN_RUNT], 9);
	close_port();
}

static void put32(FILE *f, uint32_t value)
{
	fwrite(&value, 4, 1, f);
}

static void reads_pcapng(void **state)
{
	FILE *f = fopen(in_path, "wb");
	uint8_t frame[FRAME];

	/* Section header, one Ethernet interface, one packet. */
	put32(f, 0x0a0d0d0a);
	put32(f, 28);
	put32(f, 0x1a2b3c4d);
	put32(f, 1);
	put32(f, ~0U);
	put32(f, ~0U);
	put32(f, 28);
	put32(f, 1);
	put32(f, 20);
	put32(f, DLT_EN10MB);
	put32(f, 65535);
	put32(f, 20);
	put32(f, 6);
	put32(f, 32 + FRAME);
	put32(f, 0);
	put32(f, 0);
	put32(f, 0);
	put32(f, FRAME);
	put32(f, FRAME);
	frame_fill(frame, 0, FRAME);
	fwrite(frame, FRAME, 1, f);
	put32(f, 32 + FRAME);
	fclose(f);
	open_good(json_pack("{s:s}", "read", in_path));
	assert_int_equal(receive_all(1), 1);
	close_port();
}

static void reports_a_file_that_is_cut_off(void **state)
{
	json_t *object;

	write_capture(3, 0, FRAME, FRAME, DLT_EN10MB);
	assert_int_equal(truncate(in_path, 24 + 2 * (16 + FRAME) + 20), 0);
	open_good(json_pack("{s:s, s:s}", "read", in_path, "loop", "forever"));
	assert_int_equal(receive_all(3), 2);
	object = shown();
	assert_non_null(json_object_get(object, "read_error"));
	json_decref(object);
	close_port();
}

static void expect_error(int code, const char *part, json_t *params)
{
	struct glen_error error = { 0 };

	assert_int_equal(open_port(params, &error), code);
	if (!strstr(error.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
}

static void names_what_is_wrong(void **state)
{
	write_capture(1, 0, FRAME, FRAME, DLT_RAW);
	expect_error(-EINVAL, in_path, json_pack("{s:s}", "read", in_path));
	expect_error(-ENOENT, "/nonexistent/x",
		     json_pack("{s:s}", "read", "/nonexistent/x"));
	expect_error(-ENOENT, "/nonexistent/x",
		     json_pack("{s:s}", "write", "/nonexistent/x"));
	expect_error(-EINVAL, "not a capture file: ",
		     json_pack("{s:s}", "read", "/etc/passwd"));
	expect_error(-EINVAL, "is not a file",
		     json_pack("{s:s}", "read", "/dev/null"));
	expect_error(-EIO, "No space left",
		     json_pack("{s:s}", "write", "/dev/full"));
	expect_error(-EINVAL, "same file",
		     json_pack("{s:s, s:s}", "read", in_path, "write",
			       in_path));
	expect_error(-EINVAL, "read=FILE", json_object());
	expect_error(-EINVAL, "speed",
		     json_pack("{s:s, s:s}", "read", in_path, "speed", "fast"));
	expect_error(-EINVAL, "speed",
		     json_pack("{s:s, s:i}", "read", in_path, "speed", -1));
	expect_error(-EINVAL, "loop",
		     json_pack("{s:s, s:s}", "read", in_path, "loop", "ever"));
	expect_error(-EINVAL, "loop",
		     json_pack("{s:s, s:i}", "read", in_path, "loop", 0));
	expect_error(-EINVAL, "sped",
		     json_pack("{s:s, s:s}", "read", in_path, "sped", "max"));
}

static void a_typo_empties_no_file(void **state)
{
	write_capture(1, 0, FRAME, FRAME, DLT_EN10MB);
	expect_error(-ENOENT, "/nonexistent/x",
		     json_pack("{s:s, s:s}", "read", "/nonexistent/x", "write",
			       in_path));
	open_good(json_pack("{s:s}", "read", in_path));
	assert_int_equal(receive_all(1), 1);
	close_port();
}

/* A port that recorded into what another one replayed grew for ever. */
static void a_file_has_one_writer_or_readers(void **state)
{
	static struct port first;
	struct glen_error error;

	write_capture(1, 0, FRAME, FRAME, DLT_EN10MB);
	open_good(json_pack("{s:s}", "read", in_path));
	first = port;
	expect_error(-EBUSY, in_path, json_pack("{s:s}", "write", in_path));
	open_good(json_pack("{s:s}", "read", in_path));
	close_port();
	pcap_port_ops.close(&first);

	open_good(json_pack("{s:s}", "write", out_path));
	first = port;
	expect_error(-EBUSY, out_path, json_pack("{s:s}", "write", out_path));
	assert_int_equal(open_port(json_pack("{s:s}", "read", out_path),
				   &error),
			 -EBUSY);
	pcap_port_ops.close(&first);
	open_good(json_pack("{s:s}", "write", out_path));
	close_port();
}

/* A batch of n frames of len bytes: a private header and two segments. */
static void batch_make(struct batch *b, uint8_t *bytes, unsigned n,
		       unsigned len)
{
	memset(b, 0, sizeof(*b));
	for (unsigned i = 0; i < n; i++) {
		uint8_t *frame = bytes + (size_t)i * len;

		frame_fill(frame, i, len);
		memcpy(b->hdr[i], frame, 30);
		b->hdr_len[i] = 30;
		b->len[i] = len;
		b->seg0[i] = 0;
		b->n_seg[i] = 2;
	}
	b->n = n;
	b->multi_seg = true;
}

/* Sends frame i of b from bytes. Segments are shared, so one at a time. */
static void send_one(struct batch *b, const uint8_t *bytes, unsigned i,
		     unsigned len, struct counters *counters)
{
	struct tx_ctx ctx = { .counters = counters };
	const uint8_t *frame = bytes + (size_t)i * len;
	uint16_t list[1] = { i };

	b->seg[0] = (struct seg){ frame + 30, 5, 0 };
	b->seg[1] = (struct seg){ frame + 35, len - 35, 0 };
	pcap_hot.tx(&port.out[0], &ctx, b, list, 1);
}

/* Reads the file back; returns how many packets, all checked. */
static unsigned check_file(unsigned caplen, unsigned len)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline(out_path, why);
	static uint8_t want[BIG_FRAME];
	struct pcap_pkthdr *hdr;
	const uint8_t *bytes;
	unsigned n = 0;
	int got;

	if (!p)
		fail_msg("%s", why);
	while ((got = pcap_next_ex(p, &hdr, &bytes)) == 1) {
		unsigned i = 0;

		assert_int_equal(hdr->caplen, caplen);
		assert_int_equal(hdr->len, len);
		while ((uint8_t)(i * 7) != bytes[0])
			i++;
		frame_fill(want, i, len);
		assert_memory_equal(bytes, want, caplen);
		n++;
	}
	assert_int_equal(got, PCAP_ERROR_BREAK);
	pcap_close(p);
	return n;
}

static void writes_what_leaves_the_switch(void **state)
{
	static uint8_t bytes[200 * 100];

	open_good(json_pack("{s:s}", "write", out_path));
	assert_int_equal(port.n_in, 0);
	assert_int_equal(port.n_out, 1);
	batch_make(&batch, bytes, 200, 100);
	for (unsigned i = 0; i < 200; i++)
		send_one(&batch, bytes, i, 100, &out_count);
	close_port();
	assert_int_equal(out_count.packets, 200);
	assert_int_equal(out_count.bytes, 200 * 100);
	assert_int_equal(check_file(100, 100), 200);
}

static void cuts_at_snaplen(void **state)
{
	static uint8_t bytes[10 * 100];

	open_good(json_pack("{s:s, s:i}", "write", out_path, "snaplen", 33));
	batch_make(&batch, bytes, 10, 100);
	for (unsigned i = 0; i < 10; i++)
		send_one(&batch, bytes, i, 100, &out_count);
	close_port();
	assert_int_equal(check_file(33, 100), 10);
}

/* One call with more bytes than the ring has: some find no room. */
static void a_full_ring_drops(void **state)
{
	struct tx_ctx ctx = { .counters = &out_count };
	uint8_t *bytes = calloc(1, BIG_FRAME);
	uint16_t list[BATCH_MAX];

	open_good(json_pack("{s:s}", "write", out_path));
	memset(&batch, 0, sizeof(batch));
	frame_fill(bytes, 0, BIG_FRAME);
	batch.seg[0] = (struct seg){ bytes, BIG_FRAME, 0 };
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		list[i] = i;
		batch.len[i] = BIG_FRAME;
		batch.n_seg[i] = 1;
	}
	pcap_hot.tx(&port.out[0], &ctx, &batch, list, BATCH_MAX);
	close_port();
	free(bytes);
	assert_int_equal(out_count.packets, PCAP_DATA_SIZE / BIG_FRAME);
	assert_int_equal(out_count.packets + out_count.drops[DROP_OUT_NO_ROOM],
			 BATCH_MAX);
	assert_int_equal(check_file(BIG_FRAME, BIG_FRAME), out_count.packets);
}

static void *produce(void *arg)
{
	struct counters *counters = arg;
	struct batch *b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);
	uint8_t *bytes = malloc(200 * 100);

	batch_make(b, bytes, 200, 100);
	for (unsigned k = 0; k < BURSTS; k++)
		for (unsigned i = 0; i < 200; i++)
			send_one(b, bytes, i, 100, counters);
	free(bytes);
	free(b);
	return NULL;
}

static void takes_from_several_workers(void **state)
{
	static struct counters counters[PRODUCERS];
	pthread_t threads[PRODUCERS];
	uint64_t sent = 0, dropped = 0;

	open_good(json_pack("{s:s}", "write", out_path));
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_create(&threads[i], NULL, produce, &counters[i]);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		pthread_join(threads[i], NULL);
		sent += counters[i].packets;
		dropped += counters[i].drops[DROP_OUT_NO_ROOM];
	}
	close_port();
	assert_int_equal(sent + dropped, PRODUCERS * BURSTS * 200);
	assert_int_equal(check_file(100, 100), sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replays_all_at_full_speed),
		cmocka_unit_test(wild_times_are_harmless),
		cmocka_unit_test(loops),
		cmocka_unit_test(closes_while_looping_for_ever),
		cmocka_unit_test(keeps_recorded_time),
		cmocka_unit_test(wakes_when_a_packet_is_due),
		cmocka_unit_test(counts_what_cannot_be_replayed),
		cmocka_unit_test(reads_pcapng),
		cmocka_unit_test(reports_a_file_that_is_cut_off),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(a_typo_empties_no_file),
		cmocka_unit_test(a_file_has_one_writer_or_readers),
		cmocka_unit_test(writes_what_leaves_the_switch),
		cmocka_unit_test(cuts_at_snaplen),
		cmocka_unit_test(a_full_ring_drops),
		cmocka_unit_test(takes_from_several_workers),
	};

	return cmocka_run_group_tests_name("pcap", tests, make_dir, remove_dir);
}
