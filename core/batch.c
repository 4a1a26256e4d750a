// SPDX-License-Identifier: BSD-2-Clause
// batch.c - what modules see of a batch, and what they leave of it.
#include "core/batch.h"

#include <stddef.h>

#include "core/drop.h"
#include "core/gather.h"
#include "core/offload.h"

_Static_assert(sizeof(struct offload) == sizeof(struct glen_offload) &&
		       offsetof(struct offload, csum_offset) ==
			       offsetof(struct glen_offload, csum_offset),
	       "modules see the one as the other");
_Static_assert(HDR_SIZE <= UINT8_MAX && HDR_SIZE % 64 == 0,
	       "hdr_len is a byte, and headers are aligned");

void batch_init(struct batch *b)
{
	b->offloads = b->asks = b->marks = false;
	b->vnet_len = 0;
	b->view = (struct glen_batch){
		.hdr_stride = HDR_SIZE,
		.hdr_size = HDR_SIZE,
		.hdr = b->hdr[0],
		.hdr_len = b->hdr_len,
		.len = b->len,
		.verdict = b->verdict,
		.off = (struct glen_offload *)(void *)b->off,
		.copy = b->copy,
		.copies_max = BATCH_COPIES,
		.ask = b->ask,
		.mark = b->mark,
	};
}

/* True if the lengths of packet i are those of its pieces. */
static bool lengths_agree(const struct batch *b, unsigned i)
{
	uint64_t sum = b->hdr_len[i];

	for (unsigned s = 0; s < b->n_seg[i]; s++)
		sum += b->seg[b->seg0[i] + s].len;
	return b->hdr_len[i] <= HDR_SIZE && sum == b->len[i];
}

/* Why packet i cannot go on, DROP_N if it can. */
static enum drop settle_one(struct batch *b, unsigned i)
{
	uint32_t have = b->hdr_len[i];

	if (!lengths_agree(b, i))
		return DROP_IN_MODULE;
	if (b->len[i] < PACKET_LEN_MIN)
		return DROP_IN_RUNT;
	if (b->len[i] > PACKET_LEN_MAX)
		return DROP_IN_TOO_LONG;
	if (have < HDR_MIN && have < b->len[i]) {
		b->identity = false;
		b->hdr_len[i] = gather_more(b, i, have, HDR_MIN);
	}
	if (b->offloads && !offload_valid(b, i))
		return DROP_IN_BAD_OFFLOAD;
	return DROP_N;
}

/* Copies of packets that cannot go on, bit i of bad, are not made. */
static void forget_copies(struct batch *b, const uint64_t *bad)
{
	uint32_t left = 0;

	for (uint32_t k = 0; k < b->view.n_copies; k++) {
		uint32_t i = b->copy[k].packet;

		if (i < BATCH_MAX && !(bad[i / 64] >> (i % 64) & 1))
			b->copy[left++] = b->copy[k];
	}
	b->view.n_copies = left;
}

void batch_settle(struct batch *b)
{
	uint64_t bad[BATCH_MAX / 64] = { 0 };
	bool any = false;

	b->most = 0;
	for (unsigned i = 0; i < b->n; i++) {
		enum drop why = settle_one(b, i);

		if (why == DROP_N) {
			b->most = b->len[i] > b->most ? b->len[i] : b->most;
			continue;
		}
		bad[i / 64] |= 1ULL << (i % 64);
		any = true;
		if ((b->verdict[i] & VERDICT_TYPE) != GLEN_VERDICT_DROP)
			b->verdict[i] = VERDICT_DROP | why;
		if (why != DROP_IN_MODULE)
			continue;
		/* Captures will read it: as if it had no bytes. */
		b->hdr_len[i] = 0;
		b->n_seg[i] = 0;
		b->identity = false;
		b->len[i] = 0;
	}
	if (any)
		forget_copies(b, bad);
}
