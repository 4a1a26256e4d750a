// SPDX-License-Identifier: BSD-2-Clause
// fuzz_offload.c - any description of any packet, checked and segmented.
/*
 * Input: 16 bytes of set-up, then the packet.
 *
 *   0      private header's length
 *   1      number of segments
 *   2..3   bytes that follow the packet (zeros), little endian
 *   4..13  a virtio_net_hdr
 *   14     bit 0: out is nearly full at first
 *   15     seed of the segments' lengths
 *
 * Each segment is a block of exactly its length, so that ASan sees every read
 * beyond it.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include "lib/flow_hash.h"
#include "core/offload.h"
#include "core/vnet_hdr.h"

enum { SETUP = 16 };

static struct batch in, out;
static uint8_t *blocks[PACKET_SEGS_MAX];
static uint8_t packet[PACKET_LEN_MAX];
static volatile uint64_t sink;

static uint32_t fill_packet(const uint8_t *data, size_t size)
{
	uint32_t len = size < 65536 ? (uint32_t)size : 65536;

	memcpy(packet, data, len);
	return len;
}

static void scatter(const uint8_t *setup, uint32_t len)
{
	unsigned n_seg = 1 + setup[1] % PACKET_SEGS_MAX, seed = setup[15];
	uint32_t hdr_len = setup[0] % (HDR_MAX + 1);
	const uint8_t *p = packet;

	if (hdr_len < PACKET_LEN_MIN)
		hdr_len = PACKET_LEN_MIN;
	hdr_len = hdr_len < len ? hdr_len : len;
	in.n = 1;
	in.n_segs = n_seg;
	in.offloads = vnet_hdr_read(setup + 4, &in.off[0]);
	in.overread = false;
	in.len[0] = len;
	in.hdr_len[0] = (uint8_t)hdr_len;
	in.seg0[0] = 0;
	in.n_seg[0] = (uint8_t)n_seg;
	memset(in.hdr[0], 0, HDR_MAX);
	memcpy(in.hdr[0], p, hdr_len);
	p += hdr_len;
	len -= hdr_len;
	for (unsigned i = 0; i < n_seg; i++) {
		uint32_t n = i + 1 == n_seg ? len : seed * (i + 1) % 251;

		n = n < len ? n : len;
		blocks[i] = malloc(n ? n : 1);
		FUZZ_CHECK(blocks[i]);
		memcpy(blocks[i], p, n);
		in.seg[i] = (struct seg){ .ptr = blocks[i], .len = n };
		p += n;
		len -= n;
	}
}

/* What batch.h promises of each packet; reads every byte. */
static void check_packet(unsigned k)
{
	uint32_t len = out.hdr_len[k];
	uint64_t sum = 0;

	FUZZ_CHECK(len > 0 && len <= HDR_MAX);
	FUZZ_CHECK(out.n_seg[k] <= PACKET_SEGS_MAX);
	FUZZ_CHECK(out.n_seg[k] == 1 || out.multi_seg);
	FUZZ_CHECK(out.seg0[k] + out.n_seg[k] <= out.n_segs);
	for (unsigned i = len; i % 64; i++)
		FUZZ_CHECK(out.hdr[k][i] == 0);
	for (unsigned i = 0; i < out.n_seg[k]; i++) {
		const struct seg *seg = &out.seg[out.seg0[k] + i];

		FUZZ_CHECK(seg->len > 0);
		for (uint32_t j = 0; j < seg->len; j++)
			sum += seg->ptr[j];
		len += seg->len;
	}
	FUZZ_CHECK(len == out.len[k]);
	FUZZ_CHECK(len <= in.len[0] + 8);
	FUZZ_CHECK(!out.offloads && !out.overread);
	sink = sum + flow_hash(out.hdr[k], out.hdr_len[k]);
}

static void segment_all(bool nearly_full, bool valid)
{
	struct offload_cursor cursor = { 0 };
	unsigned total = 0, calls = 0;
	int n = 0;

	out.n = nearly_full ? 255 : 0;
	out.n_segs = nearly_full ? BATCH_SEGS - 2 : 0;
	while (!cursor.done) {
		unsigned from = out.n, from_segs = out.n_segs;

		FUZZ_CHECK(calls++ < OFFLOAD_SEGMENTS_MAX + 2);
		n = offload_segment(&in, 0, &cursor, &out);
		if (n < 0) {
			FUZZ_CHECK(n == -EINVAL);
			FUZZ_CHECK(out.n == from && out.n_segs == from_segs);
			break;
		}
		FUZZ_CHECK(n == out.n - (int)from && out.n <= BATCH_MAX);
		FUZZ_CHECK(out.n_segs <= BATCH_SEGS);
		FUZZ_CHECK(n > 0 || nearly_full);
		for (unsigned k = from; k < out.n; k++)
			check_packet(k);
		total += (unsigned)n;
		FUZZ_CHECK(total <= OFFLOAD_SEGMENTS_MAX);
		nearly_full = false;
		out.n = out.n_segs = 0;
	}
	/* What may pass and is not to be cut can be completed, given room. */
	if (valid && (!in.offloads || in.off[0].gso_type == OFFLOAD_GSO_NONE))
		FUZZ_CHECK(cursor.done || in.n_seg[0] > PACKET_SEGS_MAX - 3);
	/* Nothing is cut that must not pass. */
	if (in.offloads && in.off[0].gso_type != OFFLOAD_GSO_NONE &&
	    in.off[0].hdr_len <= in.len[0])
		FUZZ_CHECK(valid || n == -EINVAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t len;
	bool valid;

	if (size < SETUP + PACKET_LEN_MIN)
		return 0;
	len = fill_packet(data + SETUP, size - SETUP);
	memset(packet + len, 0, vnet_hdr_get16(data + 2));
	len += vnet_hdr_get16(data + 2);
	scatter(data, len);
	sink = flow_hash(in.hdr[0], in.hdr_len[0]);
	valid = offload_valid(&in, 0);
	sink = offload_needs(&in.off[0]);
	segment_all(data[14] & 1, valid);
	for (unsigned i = 0; i < in.n_segs; i++)
		free(blocks[i]);
	return 0;
}
