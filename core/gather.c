// SPDX-License-Identifier: BSD-2-Clause
// gather.c - copy the headers of a batch to private memory, refuse bad lengths.
#include "core/batch.h"
#include "core/copy.h"
#include "core/gather.h"
#include "core/offload.h"
#include "core/worker.h"

/* One packet of several segments, or a module that wants an odd number. */
static __attribute__((noinline)) void gather_slow(struct batch *b, unsigned i)
{
	uint32_t want = b->len[i] < b->hdr_want ? b->len[i] : b->hdr_want;

	memset(b->hdr[i], 0, HDR_MAX);
	b->hdr_len[i] = gather_more(b, i, 0, want);
}

static void gather_fast(struct batch *b)
{
	bool overread = b->overread;

	for (unsigned i = 0; i < b->n; i++) {
		struct seg *s = &b->seg[i];
		uint32_t len = s->len, n = len < 64 ? len : 64;

		copy_header(b->hdr[i], s->ptr, len, overread);
		b->hdr_len[i] = n;
		s->ptr += n;
		s->len = len - n;
	}
}

/* After gather_fast(), if any packet has them: the second 64 bytes. */
static void gather_second(struct batch *b)
{
	bool overread = b->overread;

	for (unsigned i = 0; i < b->n; i++) {
		struct seg *s = &b->seg[i];
		uint32_t n = s->len < 64 ? s->len : 64;

		if (!n)
			continue;
		copy_header(b->hdr[i] + 64, s->ptr, s->len, overread);
		b->hdr_len[i] = 64 + n;
		s->ptr += n;
		s->len -= n;
	}
}

/* Why packet i cannot go on, DROP_N if it can. */
static enum drop refuse(struct batch *b, unsigned i, uint32_t max_len)
{
	if (b->len[i] < PACKET_LEN_MIN)
		return DROP_IN_RUNT;
	if (b->len[i] > PACKET_LEN_MAX)
		return DROP_IN_TOO_LONG;
	if (b->offloads && !offload_valid(b, i))
		return DROP_IN_BAD_OFFLOAD;
	/* Of a packet that is still to be cut, its segments count. */
	if (b->len[i] > max_len &&
	    batch_frame_len(b, i) > max_len + batch_tags_len(b, i))
		return DROP_IN_OVERSIZE;
	return DROP_N;
}

/* Closes the gaps that refused packets leave. */
static __attribute__((noinline)) void gather_refuse(struct ingress *in,
						    struct batch *b,
						    uint32_t max_len)
{
	unsigned n = 0;

	b->identity = false;
	for (unsigned i = 0; i < b->n; i++) {
		enum drop why = refuse(b, i, max_len);

		if (why != DROP_N) {
			const struct seg hdr = { b->hdr[i], b->hdr_len[i] };

			in_drop_seg(in, why, &hdr, 1, b->len[i]);
			count_add(&in->counters->bytes, b->len[i]);
			continue;
		}
		if (n != i) {
			b->len[n] = b->len[i];
			b->seg0[n] = b->seg0[i];
			b->n_seg[n] = b->n_seg[i];
			b->hdr_len[n] = b->hdr_len[i];
			memcpy(b->hdr[n], b->hdr[i], HDR_MAX);
			if (b->offloads)
				b->off[n] = b->off[i];
			if (b->asks)
				b->ask[n] = b->ask[i];
			if (b->marks)
				b->mark[n] = b->mark[i];
			if (b->vnet_len)
				memcpy(b->vnet[n], b->vnet[i], BATCH_VNET_MAX);
		}
		n++;
	}
	b->n = n;
}

/*
 * Leaves in b only packets with a length between PACKET_LEN_MIN and what the
 * source port may send, and whose offload descriptions do not lie.
 */
void HOT(gather)(struct ingress *in, struct batch *b, uint32_t max_len)
{
	uint32_t least = UINT32_MAX, most = 0;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < b->n; i++) {
		uint32_t len = b->len[i];

		least = len < least ? len : least;
		most = len > most ? len : most;
	}
	if (b->multi_seg || (b->hdr_want > 64 && b->hdr_want < HDR_MAX)) {
		b->identity = false;
		for (unsigned i = 0; i < b->n; i++)
			gather_slow(b, i);
	} else {
		gather_fast(b);
		if (b->hdr_want > 64 && most > 64)
			gather_second(b);
	}
	if (least < PACKET_LEN_MIN || most > max_len || most > PACKET_LEN_MAX ||
	    b->offloads)
		gather_refuse(in, b, max_len);
	for (unsigned i = 0; i < b->n; i++)
		bytes += b->len[i];
	count_add(&in->counters->packets, b->n);
	count_add(&in->counters->bytes, bytes);
	/* Longer ones were refused. Who adds to it relies on a small number. */
	b->most = most < PACKET_LEN_MAX ? most : PACKET_LEN_MAX;
}
