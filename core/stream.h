/* SPDX-License-Identifier: BSD-2-Clause */
/* stream.h - reads a packet of a batch from front to back. */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H
/*
 * A stream is a position in packet i of a batch: in its private header (piece
 * 0) or in one of its segments (pieces 1 .. n_seg). Taking bytes moves it on.
 * Whatever len[i] says, nothing beyond the pieces is touched: a packet that is
 * shorter than it claims ends in -EINVAL. Any thread that owns the batch.
 */
#include <errno.h>

#include "core/batch.h"
#include "core/checksum.h"
#include "core/copy.h"

struct stream {
	const struct batch *b;
	const uint8_t *ptr; /* the rest of the present piece */
	uint32_t len;	    /* of that rest */
	uint16_t i;	    /* the packet */
	uint16_t piece;
};

static inline void stream_init(struct stream *s, const struct batch *b,
			       unsigned i)
{
	s->b = b;
	s->ptr = b->hdr[i];
	s->len = b->hdr_len[i];
	s->i = (uint16_t)i;
	s->piece = 0;
}

/* Makes the present piece one with bytes in it; false at the end. */
static inline bool stream_more(struct stream *s)
{
	while (s->len == 0) {
		const struct seg *seg;

		if (s->piece >= s->b->n_seg[s->i])
			return false;
		seg = &s->b->seg[s->b->seg0[s->i] + s->piece++];
		s->ptr = seg->ptr;
		s->len = seg->len;
	}
	return true;
}

/* How many of the next n bytes lie together; 0 at the end. */
static inline uint32_t stream_chunk(struct stream *s, uint32_t n)
{
	if (!stream_more(s))
		return 0;
	return s->len < n ? s->len : n;
}

static inline void stream_advance(struct stream *s, uint32_t n)
{
	s->ptr += n;
	s->len -= n;
}

static inline int stream_skip(struct stream *s, uint32_t n)
{
	for (uint32_t chunk; n > 0; n -= chunk) {
		chunk = stream_chunk(s, n);
		if (chunk == 0)
			return -EINVAL;
		stream_advance(s, chunk);
	}
	return 0;
}

/* Copies n bytes out; each byte is read once. */
static inline int stream_copy(struct stream *s, uint8_t *dst, uint32_t n)
{
	for (uint32_t chunk; n > 0; n -= chunk, dst += chunk) {
		chunk = stream_chunk(s, n);
		if (chunk == 0)
			return -EINVAL;
		copy_bytes(dst, s->ptr, chunk);
		stream_advance(s, chunk);
	}
	/* The compiler must not look at the sender's memory again. */
	__asm__ volatile("" ::: "memory");
	return 0;
}

static inline int stream_sum(struct stream *s, uint32_t n, checksum_fn *fn,
			     struct checksum *sum)
{
	for (uint32_t chunk; n > 0; n -= chunk) {
		chunk = stream_chunk(s, n);
		if (chunk == 0)
			return -EINVAL;
		checksum_piece(sum, fn, s->ptr, chunk);
		stream_advance(s, chunk);
	}
	return 0;
}

#endif
