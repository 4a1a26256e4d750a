/* SPDX-License-Identifier: BSD-2-Clause */
/* gather.h - bytes move from a packet's segments to its private header. */
#ifndef CORE_GATHER_H
#define CORE_GATHER_H
#include "core/batch.h"
#include "core/copy.h"

/*
 * Worker. The private header of packet i holds have bytes and gets more from
 * the segments, which shrink, until it has want or there are none; want is at
 * most HDR_SIZE. Each byte is read once. Returns how many it holds then; the
 * caller stores that. seg0[i] and n_seg[i] may change; n_seg[i] stays above 0.
 */
static inline uint32_t gather_more(struct batch *b, unsigned i, uint32_t have,
				   uint32_t want)
{
	while (have < want) {
		struct seg *s = &b->seg[b->seg0[i]];
		uint32_t n = s->len < want - have ? s->len : want - have;

		copy_bytes(b->hdr[i] + have, s->ptr, n);
		have += n;
		s->ptr += n;
		s->len -= n;
		if (s->len || b->n_seg[i] == 1)
			break;
		b->seg0[i]++;
		b->n_seg[i]--;
	}
	return have;
}

#endif
