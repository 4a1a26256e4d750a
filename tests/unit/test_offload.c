// SPDX-License-Identifier: BSD-2-Clause
// test_offload.c - segmentation and checksums against a slow reference.
/*
 * The reference (packet.h) builds every expected packet from a description. The
 * big packet is then scattered over segments of random length in memory that is
 * exactly as long, and the result is compared byte for byte.
 *
 * With TEST_PCAP=FILE all packets are written there, so that tshark or scapy
 * can judge them too:
 *   TEST_PCAP=/tmp/o.pcap build/tests/unit/test_offload
 *   tshark -r /tmp/o.pcap -o ip.check_checksum:TRUE \
 *     -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
 *     -Y 'ip.checksum.status == 0 || tcp.checksum.status == 0 ||
 *     udp.checksum.status == 0'
 * must print nothing.
 */
#include "unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/headers.h"
#include "core/offload.h"
#include "packet.h"

enum {
	N_BYTES = PACKET_LEN_MAX,
};

static struct batch *in, *out;
static uint8_t *payload, *whole, *want, *got;
static uint8_t *blocks[PACKET_SEGS_MAX]; /* exactly as long as segments */
static unsigned n_blocks;
static FILE *pcap;

static void reset(struct batch *b)
{
	b->n = b->n_segs = 0;
}

static void free_blocks(void)
{
	while (n_blocks > 0)
		free(blocks[--n_blocks]);
}

/* Scatters len bytes at p over a header of hdr_len bytes and segments. */
static void scatter(const uint8_t *p, uint32_t len, unsigned hdr_len,
		    unsigned n_seg)
{
	free_blocks();
	if (hdr_len > len)
		hdr_len = len;
	memset(in->hdr[0], 0, HDR_MAX);
	memcpy(in->hdr[0], p, hdr_len);
	in->n = 1;
	in->len[0] = len;
	in->hdr_len[0] = hdr_len;
	in->seg0[0] = 7;
	in->n_seg[0] = n_seg;
	in->overread = false;
	p += hdr_len;
	len -= hdr_len;
	for (unsigned i = 0; i < n_seg; i++) {
		uint32_t n = i == n_seg - 1 ? len : rnd(2 * len / n_seg + 2);

		n = n < len ? n : len;
		blocks[n_blocks] = malloc(n ? n : 1);
		memcpy(blocks[n_blocks], p, n);
		in->seg[7 + i] = (struct seg){ blocks[n_blocks++], n, 0 };
		p += n;
		len -= n;
	}
	assert_int_equal(len, 0);
}

static void write_pcap(const uint8_t *p, uint32_t len)
{
	uint32_t record[4] = { 0, 0, len, len };

	if (!pcap)
		return;
	fwrite(record, sizeof(record), 1, pcap);
	fwrite(p, len, 1, pcap);
}

/* Makes packet k of out one piece and checks what batch.h promises. */
static uint32_t flatten(unsigned k, uint8_t *p)
{
	uint32_t len = out->hdr_len[k];
	struct offload zero = { 0 };

	assert_in_range(out->hdr_len[k], 1, HDR_MAX);
	memcpy(p, out->hdr[k], len);
	for (unsigned i = len; i % 64; i++)
		assert_int_equal(out->hdr[k][i], 0);
	assert_in_range(out->n_seg[k], 0, PACKET_SEGS_MAX);
	assert_true(out->n_seg[k] == 1 || out->multi_seg);
	assert_in_range(out->seg0[k] + out->n_seg[k], 0, out->n_segs);
	for (unsigned i = 0; i < out->n_seg[k]; i++) {
		const struct seg *seg = &out->seg[out->seg0[k] + i];

		memcpy(p + len, seg->ptr, seg->len);
		len += seg->len;
	}
	assert_int_equal(len, out->len[k]);
	assert_memory_equal(&out->off[k], &zero, sizeof(zero));
	write_pcap(p, len);
	return len;
}

static void describe(const struct spec *s)
{
	in->offloads = true;
	in->off[0] = (struct offload){
		.flags = s->completed ? 0 : OFFLOAD_NEEDS_CSUM,
		.gso_type = s->gso_type,
		.gso_size = s->gso_size,
	};
	if (s->completed)
		return;
	in->off[0].csum_start = l4_of(s);
	in->off[0].csum_offset = s->protocol == TCP ? 16 : 6;
}

/* The big packet as a sender leaves it: no transport checksum. */
static uint32_t build_whole(const struct spec *s)
{
	struct piece pc = { payload, s->payload, 0, 0, true };
	uint32_t len;

	len = build(whole, s, &pc);
	if (!s->completed)
		put16(whole + l4_of(s) + (s->protocol == TCP ? 16 : 6), 0xabcd);
	return len;
}

/* The reference for fragment k of a datagram; returns its length. */
static uint32_t build_fragment(const struct spec *s, unsigned k, bool *last,
			       uint32_t id)
{
	static uint8_t datagram[N_BYTES];
	struct piece pc = { payload, s->payload, 0, 0, true };
	uint32_t len = build(datagram, s, &pc), size = s->gso_size & ~7u;
	unsigned l3 = l3_of(s), at = l4_of(s), next = l3 + 6;
	uint32_t from = k * size, n, total;

	if (s->version == 6) {
		at -= s->destination ? 8 : 0;
		if (s->routing)
			next = at - 24;
		else if (s->hop_by_hop)
			next = at - 8;
	}
	total = len - at;
	*last = total <= s->gso_size || from + size >= total;
	if (total <= s->gso_size) {
		memcpy(want, datagram, len);
		return len;
	}
	n = *last ? total - from : size;
	memcpy(want, datagram, at);
	if (s->version == 4) {
		put16(want + l3 + 2, at - l3 + n);
		put16(want + l3 + 6, from / 8 | (*last ? 0 : 0x2000));
		build_ipv4_options(want + l3 + 20, s->ip_options, k > 0);
		put16(want + l3 + 10, 0);
		put16(want + l3 + 10,
		      ~slow_sum(0, want + l3, at - l3) & 0xffff);
		memcpy(want + at, datagram + at + from, n);
		return at + n;
	}
	put16(want + l3 + 4, at - l3 - 40 + 8 + n);
	want[at] = want[next];
	want[at + 1] = 0;
	want[next] = 44;
	put16(want + at + 2, from | !*last);
	put32(want + at + 4, id);
	memcpy(want + at + 8, datagram + at + from, n);
	return at + 8 + n;
}

static uint32_t build_wanted(const struct spec *s, unsigned k, bool *last)
{
	uint32_t from = k * s->gso_size, left = s->payload - from, id;
	struct piece pc = { payload + from, left, from, k, true };

	if (s->gso_type == OFFLOAD_GSO_UDP) {
		/* The number is free to choose, but the same in all. */
		static uint32_t first_id;
		unsigned at = l4_of(s) - 8 * s->destination + 4;

		memcpy(&id, got + at, 4);
		id = __builtin_bswap32(id);
		if (k == 0)
			first_id = id;
		return build_fragment(s, k, last, first_id);
	}
	if (left > s->gso_size) {
		pc.n = s->gso_size;
		pc.last = false;
	}
	*last = pc.last;
	return build(want, s, &pc);
}

/* Segments the packet in "in" and compares with the reference. */
static unsigned run_and_compare(const struct spec *s)
{
	struct offload_cursor cursor = { 0 };
	unsigned calls = 0, k = 0;
	bool last = false;

	while (!cursor.done) {
		int n;

		reset(out);
		n = offload_segment(in, 0, &cursor, out);
		assert_in_range(n, 1, BATCH_MAX);
		assert_int_equal(n, out->n);
		calls++;
		for (int i = 0; i < n; i++) {
			uint32_t len = flatten(i, got);

			assert_false(last);
			assert_int_equal(build_wanted(s, k++, &last), len);
			assert_memory_equal(want, got, len);
		}
	}
	assert_true(last);
	reset(out);
	assert_int_equal(offload_segment(in, 0, &cursor, out), 0);
	return calls;
}

static void check(const struct spec *s)
{
	static const unsigned hdr_lens[] = { 14, 34, 54, 64, 64, 77, 100, 128 };
	static const unsigned seg_counts[] = { 1, 1, 2, 3, 17, 64 };
	uint32_t len = build_whole(s);
	unsigned hdr_len = hdr_lens[rnd(8)], n_seg = seg_counts[rnd(6)];

	/* The fragment header may push private payload into a segment. */
	if (s->gso_type == OFFLOAD_GSO_UDP && hdr_len == HDR_MAX &&
	    n_seg == PACKET_SEGS_MAX)
		n_seg--;
	scatter(whole, len, hdr_len, n_seg);
	describe(s);
	assert_true(offload_valid(in, 0));
	run_and_compare(s);
}

static void each_size(struct spec *s)
{
	static const uint32_t sizes[] = { 0,	1,    7,    100,  1447,
					  1448, 1449, 2896, 9001, 65000 };
	static const uint16_t gso_sizes[] = { 1448, 1400, 536, 100, 63 };

	for (unsigned i = 0; i < 10; i++) {
		s->payload = sizes[i];
		s->gso_size = gso_sizes[rnd(5)];
		check(s);
		s->gso_size = 1448;
		check(s);
	}
}

static void each_header(struct spec *s)
{
	for (s->tags = 0; s->tags <= 2; s->tags++) {
		each_size(s);
		if (s->version == 4) {
			s->ip_options = 4 + 4 * rnd(10);
			each_size(s);
			s->ip_options = 0;
			continue;
		}
		s->destination = true;
		each_size(s);
		s->hop_by_hop = true;
		each_size(s);
		s->hop_by_hop = s->destination = false;
	}
	s->tags = 0;
}

static void tcp(void **state)
{
	static const uint8_t flags[] = { 0x10, 0x18, 0x99, 0xd9, 0x11 };

	for (int version = 4; version <= 6; version += 2) {
		for (unsigned i = 0; i < 5; i++) {
			struct spec s = { .version = version,
					  .protocol = TCP,
					  .tcp_flags = flags[i],
					  .tcp_options = i % 2 ? 12 : 0 };

			s.gso_type = version == 4 ? OFFLOAD_GSO_TCPV4 :
						    OFFLOAD_GSO_TCPV6;
			if (flags[i] & 0x80)
				s.gso_type |= OFFLOAD_GSO_ECN;
			each_header(&s);
		}
	}
}

static void udp(void **state)
{
	for (int version = 4; version <= 6; version += 2) {
		struct spec s = { .version = version,
				  .protocol = UDP,
				  .gso_type = OFFLOAD_GSO_UDP_L4 };

		each_header(&s);
		s.completed = true;
		each_header(&s);
		s.zero_udp = version == 4;
		each_header(&s);
	}
}

static void ufo(void **state)
{
	for (int version = 4; version <= 6; version += 2) {
		struct spec s = { .version = version,
				  .protocol = UDP,
				  .gso_type = OFFLOAD_GSO_UDP };

		each_header(&s);
		s.completed = true;
		each_header(&s);
	}
}

static void routing_header_names_final_destination(void **state)
{
	struct spec s = { .version = 6,
			  .protocol = TCP,
			  .routing = true,
			  .gso_type = OFFLOAD_GSO_TCPV6 };

	each_size(&s);
	s.hop_by_hop = true;
	each_size(&s);
	s.protocol = UDP;
	s.gso_type = OFFLOAD_GSO_UDP;
	each_size(&s);
}

static void source_route_names_final_destination(void **state)
{
	struct spec s = { .version = 4,
			  .protocol = TCP,
			  .ip_options = 12,
			  .source_route = true,
			  .gso_type = OFFLOAD_GSO_TCPV4 };
	struct headers h;
	uint32_t len;
	uint8_t *route = whole + 14 + 21;

	each_size(&s);
	s.protocol = UDP;
	s.gso_type = OFFLOAD_GSO_UDP_L4;
	each_size(&s);
	len = build_whole(&s);
	assert_int_equal(headers_l3(whole, len, &h), 0);
	assert_int_equal(h.dst, 14 + 20 + 8);
	assert_int_equal(headers_l3(whole, h.l4 - 1, &h), -EMSGSIZE);
	/* Used up; too short for an address; longer than the header. */
	route[2] = 12;
	assert_int_equal(headers_l3(whole, len, &h), 0);
	assert_int_equal(h.dst, 14 + 16);
	route[2] = 4;
	for (unsigned i = 0; i < 256; i++) {
		route[1] = (uint8_t)i;
		assert_int_equal(headers_l3(whole, len, &h), 0);
		assert_int_equal(h.dst,
				 i >= 7 && i <= 11 ? 14 + 21 + i - 4 : 14 + 16);
	}
}

static void udp_sum_zero_is_ffff(void **state)
{
	struct spec s = { .version = 4,
			  .protocol = UDP,
			  .gso_type = OFFLOAD_GSO_UDP_L4,
			  .gso_size = 100,
			  .payload = 300 };
	struct piece pc = { payload, 100, 0, 0, false };
	unsigned sum;

	/* Makes the first segment's checksum come out as zero. */
	put16(payload, 0);
	build(want, &s, &pc);
	sum = want[l4_of(&s) + 6] << 8 | want[l4_of(&s) + 7];
	put16(payload, sum);
	build(want, &s, &pc);
	assert_int_equal(want[l4_of(&s) + 6] << 8 | want[l4_of(&s) + 7],
			 0xffff);
	check(&s);
}

static void continues_where_out_was_full(void **state)
{
	struct spec s = { .version = 4,
			  .protocol = TCP,
			  .gso_type = OFFLOAD_GSO_TCPV4,
			  .gso_size = 32,
			  .payload = 65000 };
	uint32_t len = build_whole(&s);

	/* 2032 packets at 256 a call. */
	scatter(whole, len, 64, 1);
	describe(&s);
	assert_int_equal(run_and_compare(&s), 8);
	/* Segments run out first: 3 packets share 64 of them. */
	s.gso_size = 11;
	s.payload = 2000 * 11;
	len = build_whole(&s);
	scatter(whole, len, 54, 1);
	for (int i = 0; i < 64; i++)
		in->seg[7 + i] = (struct seg){ blocks[0] + i * 3,
					       i < 63 ? 3 : s.payload - 189,
					       0 };
	in->n_seg[0] = 64;
	describe(&s);
	assert_int_equal(run_and_compare(&s), 8);
	s.gso_size = 22000;
	s.payload = 44000;
	len = build_whole(&s);
	scatter(whole, len, 54, 64);
	describe(&s);
	run_and_compare(&s);
}

static void appends_to_a_batch_in_use(void **state)
{
	struct spec s = { .version = 4,
			  .protocol = TCP,
			  .gso_type = OFFLOAD_GSO_TCPV4,
			  .gso_size = 1000,
			  .payload = 64000 };
	struct offload_cursor cursor = { 0 };
	uint32_t len = build_whole(&s);

	scatter(whole, len, 64, 64);
	describe(&s);
	reset(out);
	out->n = 250;
	out->n_segs = 300;
	assert_int_equal(offload_segment(in, 0, &cursor, out), 6);
	out->n = 1;
	out->n_segs = BATCH_SEGS;
	assert_int_equal(offload_segment(in, 0, &cursor, out), 0);
	assert_int_equal(out->n_segs, BATCH_SEGS);
	assert_int_equal(cursor.sent, 6000);
	/* The same for a packet that stays whole. */
	in->offloads = false;
	out->n_segs = BATCH_SEGS - 10;
	memset(&cursor, 0, sizeof(cursor));
	assert_int_equal(offload_segment(in, 0, &cursor, out), 0);
	assert_int_equal(out->n_segs, BATCH_SEGS - 10);
	assert_false(cursor.done);
}

/* A packet with only a checksum to fill in, at start + offset. */
static void check_csum(uint32_t len, unsigned start, unsigned offset,
		       unsigned hdr_len, unsigned n_seg)
{
	struct offload_cursor cursor = { 0 };
	unsigned csum;

	memcpy(want, whole, len);
	csum = ~slow_sum(0, want + start, len - start) & 0xffff;
	put16(want + start + offset, csum ? csum : 0xffff);
	scatter(whole, len, hdr_len, n_seg);
	in->offloads = true;
	in->off[0] = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
				       .csum_start = start,
				       .csum_offset = offset };
	assert_true(offload_valid(in, 0));
	reset(out);
	assert_int_equal(offload_segment(in, 0, &cursor, out), 1);
	assert_true(cursor.done);
	assert_int_equal(flatten(0, got), len);
	assert_memory_equal(want, got, len);
}

static void plain_checksum(void **state)
{
	static const unsigned hdr_lens[] = { 14, 40, 64, 128 };

	for (unsigned i = 0; i < 400; i++) {
		struct spec s = { .version = i % 2 ? 4 : 6,
				  .protocol = i % 4 < 2 ? TCP : UDP,
				  .tags = rnd(3),
				  .payload = rnd(i % 8 ? 100 : 9000) };
		struct piece pc = { payload, s.payload, 0, 0, true };
		unsigned field = s.protocol == TCP ? 16 : 6, l4 = l4_of(&s);
		uint32_t len = build(whole, &s, &pc);
		uint32_t sum = ~(whole[l4 + field] << 8 |
				 whole[l4 + field + 1]);

		/* Put back the pseudo header's part, as senders leave it. */
		put16(whole + l4 + field, 0);
		sum = (sum & 0xffff) +
		      (~slow_sum(0, whole + l4, len - l4) & 0xffff);
		put16(whole + l4 + field, sum % 0xffff);
		check_csum(len, l4, field, hdr_lens[rnd(4)], 1 + rnd(60));
	}
}

/* What UDP encapsulates may want its checksum far behind the header. */
static void encapsulated_checksum(void **state)
{
	struct spec s = { .version = 6, .protocol = UDP, .payload = 500 };
	struct piece pc = { payload, s.payload, 0, 0, true };
	uint32_t len = build(whole, &s, &pc);

	for (unsigned start = 70; start < 200; start++)
		for (unsigned offset = 6; offset <= 16; offset += 10)
			check_csum(len, start, offset, 64 + start % 2 * 36,
				   1 + start % 7);
}

static void nothing_to_do(void **state)
{
	struct spec s = { .version = 4, .protocol = UDP, .payload = 500 };
	struct piece pc = { payload, s.payload, 0, 0, true };
	struct offload_cursor cursor = { 0 };
	uint32_t len = build(whole, &s, &pc);

	scatter(whole, len, 64, 3);
	in->offloads = false;
	reset(out);
	assert_int_equal(offload_segment(in, 0, &cursor, out), 1);
	assert_int_equal(flatten(0, got), len);
	assert_memory_equal(whole, got, len);
}

/* A change to a good packet (one byte) and its description. */
struct lie {
	const char *what;
	unsigned offset; /* of the byte in the packet */
	uint8_t byte;
	struct offload off;
	bool valid; /* a receiver that takes it untouched can cope */
};

#define TSO4(...)                                                            \
	{                                                                    \
		.flags = 1, .gso_type = OFFLOAD_GSO_TCPV4, .gso_size = 1448, \
		.csum_start = 34, .csum_offset = 16, __VA_ARGS__             \
	}
#define CSUM(start, offset)                                            \
	{                                                              \
		.flags = 1, .csum_start = start, .csum_offset = offset \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#if defined(__clang__)
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif
static const struct lie lies[] = {
	{ "size zero", 0, 2, TSO4(.gso_size = 0), false },
	{ "too many segments", 0, 2, TSO4(.gso_size = 1), true },
	{ "unknown type", 0, 2, TSO4(.gso_type = 2), false },
	{ "unknown type 6", 0, 2, TSO4(.gso_type = 6), false },
	{ "ECN alone", 0, 2, TSO4(.gso_type = 0x80), false },
	{ "IPv6 is not", 0, 2, TSO4(.gso_type = OFFLOAD_GSO_TCPV6), false },
	{ "UDP is not", 0, 2, TSO4(.gso_type = OFFLOAD_GSO_UDP_L4), false },
	{ "UFO is not", 0, 2, TSO4(.gso_type = OFFLOAD_GSO_UDP), false },
	{ "checksum from elsewhere", 0, 2, TSO4(.csum_start = 35), false },
	{ "checksum to elsewhere", 0, 2, TSO4(.csum_offset = 4), false },
	{ "ethertype", 12, 9, TSO4(), false },
	{ "three tags' worth", 12, 0x81, TSO4(), false },
	{ "version", 14, 0x65, TSO4(), false },
	{ "header too short", 14, 0x44, TSO4(), false },
	{ "header runs into payload", 14, 0x4f, TSO4(), false },
	{ "more fragments", 20, 0x20, TSO4(), false },
	{ "offset", 21, 1, TSO4(), false },
	{ "protocol", 23, 17, TSO4(), false },
	{ "TCP header too short", 46, 0x40, TSO4(), false },
	{ "beyond the end", 0, 2, CSUM(65000, 16), false },
	{ "wraps", 0, 2, CSUM(65535, 65535), false },
	{ "into the addresses", 0, 2, CSUM(26, 0), false },
	{ "into the ports", 0, 2, CSUM(34, 2), false },
	{ "into the MACs", 0, 2, CSUM(0, 0), false },
	{ "TCP payload", 0, 2, CSUM(60, 16), false },
	{ "a fragment", 20, 0x20, CSUM(34, 16), false },
	{ "not IP, MACs", 12, 9, CSUM(0, 12), false },
	{ "UDP, not its field", 23, 17, CSUM(34, 4), false },
	{ "UDP, its header", 23, 17, CSUM(36, 4), false },
	{ "UDP, ports from before", 23, 17, CSUM(33, 3), false },
};
#pragma GCC diagnostic pop

static void refuses_lies(void **state)
{
	struct spec s = { .version = 4, .protocol = TCP, .payload = 5000 };
	struct piece pc = { payload, s.payload, 0, 0, true };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const struct lie *lie = &lies[i];
		uint32_t len = build(whole, &s, &pc);
		struct offload_cursor cursor = { 0 };
		bool valid;

		whole[lie->offset] = lie->byte;
		/* Wherever the headers lie: private, or in segments. */
		for (unsigned hdr_len = 14; hdr_len <= 64; hdr_len += 25) {
			scatter(whole, len, hdr_len, 5);
			in->offloads = true;
			in->off[0] = lie->off;
			reset(out);
			valid = offload_valid(in, 0);
			if (valid != lie->valid ||
			    offload_segment(in, 0, &cursor, out) != -EINVAL)
				fail_msg("%s: not refused", lie->what);
			assert_int_equal(out->n, 0);
			assert_int_equal(out->n_segs, 0);
		}
	}
}

static void refuses_truncated(void **state)
{
	struct spec s = { .version = 6,
			  .protocol = TCP,
			  .hop_by_hop = true,
			  .gso_type = OFFLOAD_GSO_TCPV6,
			  .gso_size = 100,
			  .payload = 0 };
	struct offload_cursor cursor = { 0 };
	uint32_t len = build_whole(&s);

	for (uint32_t n = 14; n < len; n++) {
		scatter(whole, n, 64, 2);
		describe(&s);
		assert_false(offload_valid(in, 0));
		assert_int_equal(offload_segment(in, 0, &cursor, out), -EINVAL);
	}
	/* The core would never: less memory than the length says. */
	s.payload = 1000;
	len = build_whole(&s);
	scatter(whole, len - 10, 64, 2);
	in->len[0] = len;
	describe(&s);
	reset(out);
	assert_int_equal(offload_segment(in, 0, &cursor, out), -EINVAL);
	assert_int_equal(out->n, 0);
}

static void refuses_headers_too_long(void **state)
{
	struct spec s = { .version = 6,
			  .protocol = UDP,
			  .tags = 2,
			  .routing = true,
			  .hop_by_hop = true,
			  .destination = true,
			  .gso_type = OFFLOAD_GSO_UDP,
			  .gso_size = 512,
			  .payload = 2000 };
	struct offload_cursor cursor = { 0 };

	/* 110 bytes and a fragment header fit, 134 bytes do not. */
	check(&s);
	s.protocol = TCP;
	s.tcp_options = 12;
	s.gso_type = OFFLOAD_GSO_TCPV6;
	scatter(whole, build_whole(&s), 64, 2);
	describe(&s);
	reset(out);
	assert_false(offload_valid(in, 0));
	assert_int_equal(offload_segment(in, 0, &cursor, out), -EINVAL);
}

static void refuses_wrong_udp_length(void **state)
{
	struct spec s = { .version = 4,
			  .protocol = UDP,
			  .gso_type = OFFLOAD_GSO_UDP,
			  .gso_size = 512,
			  .payload = 2000 };
	struct offload_cursor cursor = { 0 };
	uint32_t len = build_whole(&s);

	put16(whole + 38, 2009);
	scatter(whole, len, 64, 2);
	describe(&s);
	reset(out);
	assert_int_equal(offload_segment(in, 0, &cursor, out), -EINVAL);
}

static void needs(void **state)
{
	static const struct {
		uint8_t flags, type;
		unsigned needs;
	} table[] = {
		{ 0, 0, 0 },
		{ OFFLOAD_DATA_VALID, 0, 0 },
		{ 1, 0, OFFLOAD_CAP_CSUM },
		{ 1, 1, OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 },
		{ 1, 0x81,
		  OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 | OFFLOAD_CAP_ECN },
		{ 1, 4, OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO6 },
		{ 0, 5, OFFLOAD_CAP_CSUM | OFFLOAD_CAP_USO },
		{ 1, 3, OFFLOAD_CAP_CSUM | OFFLOAD_CAP_UFO },
	};
	struct offload off = { 0 };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		off.flags = table[i].flags;
		off.gso_type = table[i].type;
		assert_int_equal(offload_needs(&off), table[i].needs);
	}
	off.gso_type = 77;
	assert_true(offload_needs(&off) & ~(unsigned)OFFLOAD_CAP_ALL);
}

static int start(void **state)
{
	static const uint32_t pcap_header[6] = { 0xa1b2c3d4, 0x00040002, 0,
						 0,	     N_BYTES,	 1 };
	const char *path = getenv("TEST_PCAP");

	rnd_seed();
	in = aligned_alloc(64, sizeof(*in));
	out = aligned_alloc(64, sizeof(*out));
	payload = malloc(N_BYTES);
	whole = malloc(N_BYTES);
	want = malloc(N_BYTES);
	got = malloc(N_BYTES);
	if (!in || !out || !payload || !whole || !want || !got)
		return -1;
	memset(in, 0, sizeof(*in));
	memset(out, 0xa5, sizeof(*out));
	for (unsigned i = 0; i < N_BYTES; i++)
		payload[i] = rnd(256);
	if (path) {
		pcap = fopen(path, "wb");
		if (!pcap)
			return -1;
		fwrite(pcap_header, sizeof(pcap_header), 1, pcap);
	}
	return 0;
}

static int stop(void **state)
{
	if (pcap)
		fclose(pcap);
	free_blocks();
	free(in);
	free(out);
	free(payload);
	free(whole);
	free(want);
	free(got);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp),
		cmocka_unit_test(udp),
		cmocka_unit_test(ufo),
		cmocka_unit_test(routing_header_names_final_destination),
		cmocka_unit_test(source_route_names_final_destination),
		cmocka_unit_test(udp_sum_zero_is_ffff),
		cmocka_unit_test(continues_where_out_was_full),
		cmocka_unit_test(appends_to_a_batch_in_use),
		cmocka_unit_test(plain_checksum),
		cmocka_unit_test(encapsulated_checksum),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(refuses_lies),
		cmocka_unit_test(refuses_truncated),
		cmocka_unit_test(refuses_headers_too_long),
		cmocka_unit_test(refuses_wrong_udp_length),
		cmocka_unit_test(needs),
	};

	return cmocka_run_group_tests_name("offload", tests, start, stop);
}
