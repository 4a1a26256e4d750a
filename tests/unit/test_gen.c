// SPDX-License-Identifier: BSD-2-Clause
// test_gen.c - glen-gen's books, checksums, histogram, frames and options.
#include "unit.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crc32c.h"
#include "hist.h"
#include "hot.h"
#include "opts.h"
#include "pace.h"
#include "parse.h"
#include "payload.h"
#include "rx.h"
#include "seq.h"

static void test_crc32c(void **state)
{
	uint8_t zeros[32] = { 0 }, ones[32], up[32];

	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++)
		up[i] = (uint8_t)i;
	/* RFC 3720, B.4; and the customary check value. */
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_portable(0, up, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, zeros, 0), 0);
}

static void test_crc32c_variants_agree(void **state)
{
	const uint8_t *data = fill_table();

	for (unsigned from = 0; from < 9; from++) {
		for (unsigned len = 0; len < 300; len++) {
			uint32_t crc = crc32c(7, data + from, len);
			unsigned cut = len / 3;

			assert_int_equal(crc,
					 crc32c_portable(7, data + from, len));
			assert_int_equal(crc,
					 crc32c(crc32c(7, data + from, cut),
						data + from + cut, len - cut));
		}
	}
}

static void test_hist_small_values_exact(void **state)
{
	struct hist h;

	hist_init(&h);
	assert_int_equal(hist_quantile(&h, 0.5), 0);
	for (uint64_t v = 1; v <= 200; v++)
		hist_add(&h, v);
	assert_int_equal(h.n, 200);
	assert_int_equal(h.min, 1);
	assert_int_equal(hist_quantile(&h, 0), 1);
	assert_int_equal(hist_quantile(&h, 0.5), 100);
	assert_int_equal(hist_quantile(&h, 0.99), 198);
	assert_int_equal(hist_quantile(&h, 1), 200);
	assert_true(hist_mean(&h) == 100.5);
}

static void test_hist_error_bound(void **state)
{
	struct hist h;

	/* Every value alone: within 1/128 above it, never below. */
	for (uint64_t v = 1; v < UINT64_C(1) << 39; v += v / 37 + 1) {
		uint64_t q;

		hist_init(&h);
		hist_add(&h, v);
		hist_add(&h, UINT64_C(1) << 50);
		q = hist_quantile(&h, 0.5);
		assert_true(q >= v);
		assert_true(q - v <= v / 128);
	}
	assert_int_equal(hist_quantile(&h, 1), UINT64_C(1) << 50);
}

static void test_hist_merge(void **state)
{
	struct hist a, b;

	hist_init(&a);
	hist_init(&b);
	hist_add(&a, 10);
	hist_add(&b, 5);
	hist_add(&b, 1000000);
	hist_merge(&a, &b);
	assert_int_equal(a.n, 3);
	assert_int_equal(a.min, 5);
	assert_int_equal(a.max, 1000000);
	assert_int_equal(hist_quantile(&a, 0.5), 10);
	hist_init(&b);
	hist_merge(&a, &b); /* nothing in it: min stays */
	assert_int_equal(a.min, 5);
}

/* Feeds numbers of run 1, flow 0, ending with -1. */
static struct seq_counts feed(struct seq_table *t, const int *numbers)
{
	struct seq_counts sum;

	for (; *numbers >= 0; numbers++)
		assert_true(seq_packet(t, 0, 1, (uint64_t)*numbers));
	seq_sum(t, &sum);
	return sum;
}

static void expect_counts(const struct seq_counts *c, uint64_t lost,
			  uint64_t reordered, uint64_t duplicated,
			  uint64_t stale)
{
	assert_int_equal(c->lost, lost);
	assert_int_equal(c->reordered, reordered);
	assert_int_equal(c->duplicated, duplicated);
	assert_int_equal(c->stale, stale);
	assert_int_equal(c->received, c->distinct + c->duplicated + c->stale);
}

static void test_seq_cases(void **state)
{
	static const struct {
		int numbers[12];
		uint64_t lost, reordered, duplicated, stale;
	} cases[] = {
		{ { 0, 1, 2, 3, -1 }, 0, 0, 0, 0 },
		{ { 0, 1, 3, 4, -1 }, 1, 0, 0, 0 },
		{ { 2, 3, -1 }, 2, 0, 0, 0 },
		{ { 0, 2, 1, 3, -1 }, 0, 1, 0, 0 },
		{ { 0, 1, 1, 2, 0, -1 }, 0, 0, 2, 0 },
		{ { 0, 3, 2, 2, 1, -1 }, 0, 2, 1, 0 },
		{ { 0, 5000, 1, -1 }, 4999, 0, 0, 1 },
		{ { 0, 1024, 1, 0, -1 }, 1022, 1, 0, 1 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct seq_table t;
		struct seq_counts c;

		assert_int_equal(seq_init(&t, 4), 0);
		c = feed(&t, cases[i].numbers);
		expect_counts(&c, cases[i].lost, cases[i].reordered,
			      cases[i].duplicated, cases[i].stale);
		seq_fini(&t);
	}
}

static void test_seq_end_marker(void **state)
{
	struct seq_table t;
	struct seq_counts c;

	assert_int_equal(seq_init(&t, 4), 0);
	assert_false(seq_all_ended(&t));
	feed(&t, (int[]){ 0, 1, -1 });
	assert_true(seq_packet(&t, 3, 9, 0));
	assert_true(seq_end(&t, 0, 1, 5)); /* three at the end are missing */
	assert_false(seq_all_ended(&t));
	assert_true(seq_end(&t, 3, 9, 1));
	assert_true(seq_end(&t, 3, 9, 1)); /* markers are repeated */
	assert_true(seq_all_ended(&t));
	seq_sum(&t, &c);
	expect_counts(&c, 3, 0, 0, 0);
	assert_int_equal(c.sent, 6);
	assert_int_equal(c.flows, 2);
	assert_true(seq_end(&t, 1, 9, 7)); /* a flow lost as a whole */
	seq_sum(&t, &c);
	expect_counts(&c, 10, 0, 0, 0);
	assert_false(seq_packet(&t, 4, 1, 0)); /* no such flow */
	assert_false(seq_end(&t, 4, 1, 0));
	seq_fini(&t);
}

static void test_seq_runs(void **state)
{
	struct seq_table t;
	struct seq_counts c;

	assert_int_equal(seq_init(&t, 1), 0);
	feed(&t, (int[]){ 0, 2, -1 }); /* run 1 lost one */
	assert_true(seq_end(&t, 0, 1, 3));
	assert_true(seq_packet(&t, 0, 2, 0));
	assert_true(seq_packet(&t, 0, 2, 1));
	assert_false(seq_all_ended(&t));
	assert_true(seq_packet(&t, 0, 1, 1)); /* a straggler */
	assert_true(seq_end(&t, 0, 1, 3));    /* so is this */
	seq_sum(&t, &c);
	assert_int_equal(c.sent, 5);
	expect_counts(&c, 1, 0, 0, 1);
	assert_true(seq_end(&t, 0, 2, 2));
	assert_true(seq_all_ended(&t));
	seq_fini(&t);
}

/* A random stream against a straightforward model. */
static void test_seq_model(void **state)
{
	enum { N = 20000 };
	static uint8_t times[N];
	struct seq_table t;
	struct seq_counts c;
	unsigned seed = (unsigned)time(NULL), top = 0;
	uint64_t lost = 0, dup = 0, late = 0;

	print_message("# seed %u\n", seed);
	memset(times, 0, sizeof(times));
	assert_int_equal(seq_init(&t, 1), 0);
	for (unsigned i = 0; i < N; i++) {
		unsigned back = rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 900;
		unsigned s = i > back ? i - back : 0;

		if (rand_r(&seed) % 50 == 0)
			continue;
		dup += times[s] > 0;
		late += !times[s] && s < top;
		times[s]++;
		top = s + 1 > top ? s + 1 : top;
		assert_true(seq_packet(&t, 0, 1, s));
	}
	for (unsigned i = 0; i < top; i++)
		lost += !times[i];
	seq_sum(&t, &c);
	expect_counts(&c, lost, late, dup, 0);
	assert_int_equal(t.missing, lost);
	seq_fini(&t);
}

static void expect_rate(const char *text, double value, bool bits)
{
	struct rate rate;
	struct glen_error error;

	assert_int_equal(parse_rate(text, &rate, &error), 0);
	assert_true(rate.value > value * 0.999999 &&
		    rate.value < value * 1.000001);
	assert_int_equal(rate.bits, bits);
}

static void test_parse_rate(void **state)
{
	static const char *const bad[] = { "",	  "0",	  "-1",	   "M",
					   "1X",  "1 M",  "nan",   "0x10",
					   "inf", "10Gb", "1e400", "1MM" };
	struct rate rate;
	struct glen_error error;

	expect_rate("1000", 1000, false);
	expect_rate("1M", 1e6, false);
	expect_rate("2.5Mpps", 2.5e6, false);
	expect_rate("250kpps", 250e3, false);
	expect_rate("10Gbit", 10e9, true);
	expect_rate("1.5Gbit/s", 1.5e9, true);
	expect_rate("100mbps", 100e6, true);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error.text[0] = 0;
		assert_int_equal(parse_rate(bad[i], &rate, &error), -EINVAL);
		assert_true(error.text[0]);
	}
}

static void test_parse_number_and_time(void **state)
{
	struct glen_error e;
	uint64_t v;

	assert_int_equal(parse_number("10k", 1, 1000000, &v, &e), 0);
	assert_int_equal(v, 10000);
	assert_int_equal(parse_number("4Ki", 1, 5000, &v, &e), 0);
	assert_int_equal(v, 4096);
	assert_int_equal(parse_number("0.5M", 1, 1000000, &v, &e), 0);
	assert_int_equal(v, 500000);
	assert_int_equal(parse_number("1.5", 1, 10, &v, &e), -EINVAL);
	assert_int_equal(parse_number("11", 1, 10, &v, &e), -EINVAL);
	assert_int_equal(parse_number("-1", 0, 10, &v, &e), -EINVAL);
	assert_int_equal(parse_number("", 0, 10, &v, &e), -EINVAL);
	assert_int_equal(parse_time("2", &v, &e), 0);
	assert_int_equal(v, 2000000000);
	assert_int_equal(parse_time("20ms", &v, &e), 0);
	assert_int_equal(v, 20000000);
	assert_int_equal(parse_time("100us", &v, &e), 0);
	assert_int_equal(v, 100000);
	assert_int_equal(parse_time("5x", &v, &e), -EINVAL);
}

static void test_parse_addresses(void **state)
{
	struct glen_error e;
	uint8_t mac[6], next[6];
	uint32_t ip;

	assert_int_equal(parse_mac("02:67:6C:00:ff:ff", mac, &e), 0);
	assert_memory_equal(mac, "\x02\x67\x6c\x00\xff\xff", 6);
	mac_add(next, mac, 2);
	assert_memory_equal(next, "\x02\x67\x6c\x01\x00\x01", 6);
	assert_int_equal(parse_mac("02:67:6c:00:00", mac, &e), -EINVAL);
	assert_int_equal(parse_mac("02:67:6c:00:00:00:", mac, &e), -EINVAL);
	assert_int_equal(parse_mac("02:67:6c:00:00:0g", mac, &e), -EINVAL);
	assert_int_equal(parse_mac("", mac, &e), -EINVAL);
	assert_int_equal(parse_ip("10.0.0.1", &ip, &e), 0);
	assert_int_equal(ip, 0x0a000001);
	assert_int_equal(parse_ip("10.0.0", &ip, &e), -EINVAL);
}

static void test_parse_sizes(void **state)
{
	static struct sizes s;
	struct glen_error e;
	unsigned n[3] = { 0 };

	assert_int_equal(parse_sizes("60", &s, &e), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.size[0], 60);
	assert_int_equal(parse_sizes("imix", &s, &e), 0);
	for (unsigned i = 0; i < s.n; i++)
		n[s.size[i] == 60 ? 0 : s.size[i] == 590 ? 1 : 2]++;
	assert_int_equal(n[0] * 4, n[1] * 7); /* 7 : 4 : 1 */
	assert_int_equal(n[0], n[2] * 7);
	assert_int_equal(s.max, 1514);
	assert_int_equal(parse_sizes("60-1514", &s, &e), 0);
	assert_int_equal(s.min, 60);
	assert_int_equal(s.max, 1514);
	assert_true(s.mean > 780 && s.mean < 794);
	assert_int_equal(parse_sizes("100-60", &s, &e), -EINVAL);
	assert_int_equal(parse_sizes("13", &s, &e), -EINVAL);
	assert_int_equal(parse_sizes("60-", &s, &e), -EINVAL);
	assert_int_equal(parse_sizes("1M", &s, &e), -EINVAL);
	assert_int_equal(parse_sizes("jumbo", &s, &e), -EINVAL);
}

static void test_pace(void **state)
{
	struct pace p;
	uint64_t sent = 0;

	/* 1 Mpps for 10 ms, looked at every microsecond. */
	pace_init(&p, 1e6, 256, 0);
	for (uint64_t now = 0; now <= 10000000; now += 1000) {
		uint32_t n = pace_get(&p, 256, now);

		assert_true(n <= 40);
		assert_true(!n || n >= 20); /* in quanta */
		pace_spend(&p, n);
		sent += n;
	}
	assert_true(sent >= 9970 && sent <= 10000);
	assert_true(p.unsent < 1);
	/* A long gap gives one burst, and the rest counts as unsent. */
	assert_int_equal(pace_get(&p, 1000, 20000000), 256);
	assert_true(p.unsent > 9700 && p.unsent < 9760);
	/* The last packets of a count do not wait for a whole quantum. */
	pace_spend(&p, 256);
	assert_int_equal(pace_get(&p, 1, 20001500), 1);
	/* Slow rates go packet by packet. */
	pace_init(&p, 100, 256, 0);
	assert_int_equal(pace_get(&p, 256, 9000000), 0);
	assert_true(pace_wait_ns(&p) > 900000 && pace_wait_ns(&p) < 1100000);
	assert_int_equal(pace_get(&p, 256, 10100000), 1);
	/* No limit. */
	pace_init(&p, 0, 256, 0);
	assert_int_equal(pace_get(&p, 77, 0), 77);
}

/* Makes a frame of len in buf the way the sender does. */
static void make_frame(const struct frame_spec *spec, uint8_t *buf,
		       uint32_t len, uint32_t flow)
{
	struct payload p = { .flow = flow, .run = 3, .seq = 17, .time = 5 };

	assert_int_equal(spec->vnet_len, 0);
	memcpy(buf, fill_table(), len);
	frame_head(spec, flow, len, buf);
	payload_put(buf, len, frame_head_len(spec), spec->udp, &p);
}

static const struct frame_spec specs[] = {
	{ { 2, 1 }, { 2, 2 }, .vlan = -1 },
	{ { 2, 1 }, { 2, 2 }, .vlan = 100 },
	{ { 2, 1 }, { 2, 2 }, -1, true, 0, 0x0a000001, 0x0a000002 },
	{ { 2, 1 }, { 2, 2 }, 5, true, 0, 0x0a000001, 0x0a000002 },
};

/* Every flipped bit and every other length is noticed. */
static void test_payload_damage(void **state)
{
	uint8_t buf[256];
	struct payload p;
	unsigned at;

	for (unsigned i = 0; i < 4; i++) {
		unsigned head = frame_head_len(&specs[i]), len = 120;

		make_frame(&specs[i], buf, len, 40000);
		assert_int_equal(payload_get(buf, len, &p, &at), PAYLOAD_OK);
		assert_int_equal(at, head);
		assert_int_equal(p.flow, 40000);
		assert_int_equal(p.seq, 17);
		assert_int_equal(p.run, 3);
		for (unsigned bit = head * 8; bit < len * 8; bit++) {
			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(payload_get(buf, len, &p, &at),
					     PAYLOAD_OK);
			buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (unsigned l = 0; l < 140; l++) {
			if (l != len)
				assert_int_not_equal(payload_get(buf, l, &p,
								 &at),
						     PAYLOAD_OK);
		}
		assert_int_equal(payload_get(buf, len - 1, &p, &at),
				 PAYLOAD_TRUNCATED);
		buf[len - 1] ^= 1;
		assert_int_equal(payload_get(buf, len, &p, &at),
				 PAYLOAD_CORRUPTED);
		buf[head - 1] ^= 0x55; /* type, or part of the UDP header */
	}
}

static void test_payload_addresses_covered(void **state)
{
	uint8_t buf[64];
	struct payload p;
	unsigned at;

	make_frame(&specs[0], buf, 60, 1);
	assert_memory_equal(buf, "\2\2\0\0\0\1\2\1\0\0\0\1\x88\xb5", 14);
	buf[3] ^= 1; /* somebody else's packet */
	assert_int_equal(payload_get(buf, 60, &p, &at), PAYLOAD_CORRUPTED);
	buf[3] ^= 1;
	buf[12] = 8;
	buf[13] = 6; /* ARP */
	assert_int_equal(payload_get(buf, 60, &p, &at), PAYLOAD_FOREIGN);
}

static void test_frame_udp_headers(void **state)
{
	uint8_t head[FRAME_HEAD_SIZE];
	uint32_t sum = 0;

	frame_head(&specs[2], 32769, 142, head);
	assert_int_equal(head[16] << 8 | head[17], 128);   /* IP length */
	assert_int_equal(head[38] << 8 | head[39], 108);   /* UDP length */
	assert_int_equal(head[34] << 8 | head[35], 32769); /* port 32768 + 1 */
	assert_int_equal(head[29], 2);			   /* 10.0.0.1 + 1 */
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(head[i] << 8 | head[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

/* A ring with its buffers in one piece of memory. */
struct test_ring {
	struct netmap_ring *ring;
	uint8_t *mem;
};

static struct test_ring ring_new(uint32_t slots, uint32_t buf_size)
{
	size_t head = sizeof(struct netmap_ring) +
		      slots * sizeof(struct netmap_slot);
	struct test_ring r;

	head = (head + 4095) & ~(size_t)4095;
	r.mem = aligned_alloc(4096, head + (size_t)slots * buf_size);
	assert_non_null(r.mem);
	memset(r.mem, 0, head + (size_t)slots * buf_size);
	r.ring = (struct netmap_ring *)r.mem;
	*(int64_t *)&r.ring->buf_ofs = (int64_t)head;
	r.ring->num_slots = slots;
	r.ring->nr_buf_size = buf_size;
	for (uint32_t i = 0; i < slots; i++)
		r.ring->slot[i].buf_idx = (i * 7 + 3) % slots;
	r.ring->tail = slots - 1;
	return r;
}

/* Reads all that was filled and counts what is right. */
static uint32_t ring_check(struct netmap_ring *ring, uint32_t from,
			   unsigned vnet, struct seq_table *t)
{
	static uint8_t scratch[PACKET_BUF_SIZE];
	uint32_t n = 0, space = (ring->head + ring->num_slots - from) %
				ring->num_slots;

	while (space) {
		const uint8_t *packet;
		uint32_t len, slots;
		struct payload p;
		unsigned at;

		slots = packet_at(ring, from, space, scratch, &packet, &len);
		assert_int_not_equal(slots, 0);
		assert_int_equal(payload_get(packet + vnet, len - vnet, &p,
					     &at),
				 PAYLOAD_OK);
		assert_true(seq_packet(t, p.flow, p.run, p.seq));
		from = (from + slots) % ring->num_slots;
		space -= slots;
		n++;
	}
	return n;
}

static void fill_and_check(const char *size, uint32_t buf_size, bool udp,
			   unsigned vnet)
{
	static uint8_t scratch[PACKET_BUF_SIZE] __attribute__((aligned(64)));
	static uint8_t heads[5][FRAME_HEAD_SIZE] __attribute__((aligned(64)));
	static struct sizes sizes;
	struct frame_spec spec = specs[udp ? 2 : 0];
	struct test_ring r = ring_new(128, buf_size);
	uint64_t seq[5] = { 0 };
	uint32_t flow = 0, total = 0, start = 100;
	struct seq_table t;
	struct seq_counts c;
	struct glen_error e;
	struct hot_tx tx = {
		.spec = &spec,
		.head = heads,
		.filling = fill_table(),
		.scratch = scratch,
		.seq = seq,
		.size = sizes.size,
		.n_flows = 5,
		.flow_step = 1,
		.run = 1,
		.seg_max = opts_seg_max(buf_size),
	};

	spec.vnet_len = vnet;
	assert_int_equal(parse_sizes(size, &sizes, &e), 0);
	tx.n_sizes = sizes.n;
	tx.head_len = frame_head_len(&spec);
	for (uint32_t i = 0; i < 5; i++)
		frame_head(&spec, i, sizes.size[0], heads[i]);
	assert_int_equal(seq_init(&t, 5), 0);
	r.ring->head = r.ring->cur = start; /* so that it wraps */
	r.ring->tail = start - 1;
	for (int turn = 0; turn < 20; turn++) {
		uint32_t n = hot_ops_now()->fill_checked(r.ring, &tx, &flow,
							 33);

		assert_int_equal(ring_check(r.ring, start, vnet, &t), n);
		total += n;
		start = r.ring->head;
		r.ring->tail = (start + 127) % 128;
	}
	seq_sum(&t, &c);
	expect_counts(&c, 0, 0, 0, 0);
	assert_true(total > 0);
	assert_int_equal(c.received, total);
	assert_int_equal(c.flows, 5);
	seq_fini(&t);
	free(r.mem);
}

static void test_fill_checked(void **state)
{
	fill_and_check("60", 2048, false, 0);
	fill_and_check("82-1514", 2048, true, 0);
	fill_and_check("60-1514", 64, false, 12);
	fill_and_check("imix", 256, false, 10);
	fill_and_check("9000", 2048, true, 12);
	fill_and_check("70000", 65536, false, 0);
}

static void test_fill_same_and_drain(void **state)
{
	static uint8_t packet[4096] __attribute__((aligned(64)));
	struct test_ring r = ring_new(64, 128);
	struct hot_rx rx = { 0 };
	const struct hot_ops *hot = hot_ops_now();
	uint32_t head = 0;

	memset(packet, 0x5a, sizeof(packet));
	for (int turn = 0; turn < 10; turn++) {
		assert_int_equal(hot->fill_same(r.ring, packet, 100, 40), 40);
		assert_int_equal(hot->fill_same(r.ring, packet, 100, 40), 23);
		assert_int_equal(hot->fill_same(r.ring, packet, 100, 40), 0);
		/* What was filled is received. */
		r.ring->tail = r.ring->head;
		r.ring->head = r.ring->cur = head;
		assert_int_equal(r.ring->slot[head].len, 100);
		assert_memory_equal(NETMAP_BUF(r.ring,
					       r.ring->slot[head].buf_idx),
				    packet, 100);
		assert_int_equal(hot->drain(r.ring, &rx, 50), 50);
		assert_int_equal(hot->drain(r.ring, &rx, 50), 13);
		head = r.ring->head;
		r.ring->tail = (head + 63) % 64;
	}
	assert_int_equal(rx.packets, 630);
	assert_int_equal(rx.bytes, 63000);
	free(r.mem);
}

/* packet_at() does not follow a chain that has no end. */
static void test_packet_at_hostile(void **state)
{
	static uint8_t scratch[PACKET_BUF_SIZE];
	struct test_ring r = ring_new(64, 4096);
	const uint8_t *packet;
	uint32_t len;

	for (unsigned i = 0; i < 64; i++) {
		r.ring->slot[i].flags = NS_MOREFRAG;
		r.ring->slot[i].len = 65535;
	}
	assert_int_equal(packet_at(r.ring, 5, 10, scratch, &packet, &len), 0);
	assert_int_equal(packet_at(r.ring, 5, 63, scratch, &packet, &len), 63);
	assert_int_equal(len, 0);
	r.ring->slot[6].flags = 0;
	r.ring->slot[5].len = r.ring->slot[6].len = 0;
	assert_int_equal(packet_at(r.ring, 5, 10, scratch, &packet, &len), 2);
	assert_int_equal(len, 0);
	free(r.mem);
}

/* Parses "glen-gen" and the words of text. */
static enum opts_result run_opts(const char *text, struct gen_opts *o)
{
	static char copy[256]; /* opts keep pointers into it */
	char *argv[32] = { "glen-gen" }, *save = NULL;
	int argc = 1;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w;
	     w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	optind = 0; /* glibc: begin anew */
	return opts_parse(argc, argv, o);
}

static void test_opts(void **state)
{
	static const char *const bad[] = {
		"",
		"sned v:a",
		"send",
		"send v:a b",
		"send v:a --size 40",
		"send v:a --udp --size 60",
		"send v:a --vlan 5000",
		"send v:a --rings 4 --flows 2",
		"send v:a --idle 3",
		"recv v:a --rate 1M",
		"recv v:a --no-check --until-end",
		"send v:a --size 9000 --buf-size 128",
		"embedded v:a",
		"send v:a --buf-size 100",
		"embedded --threads 3",
		"send v:a --vnet-hdr 11",
		"embedded --module tuple3",
	};
	static struct gen_opts o;

	assert_int_equal(run_opts("send v:a --size imix --rate 10Gbit --flows "
				  "9 --vlan 7 --count 1M --time 2 --busy",
				  &o),
			 OPTS_RUN);
	assert_string_equal(o.port, "v:a");
	assert_int_equal(o.count, 1000000);
	assert_int_equal(o.time, 2000000000);
	assert_int_equal(o.spec.vlan, 7);
	assert_true(o.busy && o.check && o.rate.bits);
	assert_int_equal(run_opts("recv v:b --rings 4 --slots 64", &o),
			 OPTS_RUN);
	assert_int_equal(o.flows, 4);
	assert_int_equal(run_opts("send v:a --size 40 --no-check", &o),
			 OPTS_RUN);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(run_opts(bad[i], &o), OPTS_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_crc32c_variants_agree),
		cmocka_unit_test(test_hist_small_values_exact),
		cmocka_unit_test(test_hist_error_bound),
		cmocka_unit_test(test_hist_merge),
		cmocka_unit_test(test_seq_cases),
		cmocka_unit_test(test_seq_end_marker),
		cmocka_unit_test(test_seq_runs),
		cmocka_unit_test(test_seq_model),
		cmocka_unit_test(test_parse_rate),
		cmocka_unit_test(test_parse_number_and_time),
		cmocka_unit_test(test_parse_addresses),
		cmocka_unit_test(test_parse_sizes),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_payload_damage),
		cmocka_unit_test(test_payload_addresses_covered),
		cmocka_unit_test(test_frame_udp_headers),
		cmocka_unit_test(test_fill_checked),
		cmocka_unit_test(test_fill_same_and_drain),
		cmocka_unit_test(test_packet_at_hostile),
		cmocka_unit_test(test_opts),
	};

	return cmocka_run_group_tests_name("gen", tests, NULL, NULL);
}
