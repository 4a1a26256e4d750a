/* SPDX-License-Identifier: BSD-2-Clause */
/* frame.h - the frame that benchmarks send, and the copy that writes it. */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stdint.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

enum {
	FRAME_MAX = 65536,
	FRAME_BATCH_MAX = 1024,
	/* Who sends and who receives, where there are only two. */
	FRAME_A = 1,
	FRAME_B = 2,
};

/* The address of station id; 32 bits of id fit. */
static inline void frame_mac(char *p, uint32_t id)
{
	p[0] = 2;
	p[1] = 0;
	p[2] = (char)(id >> 24);
	p[3] = (char)(id >> 16);
	p[4] = (char)(id >> 8);
	p[5] = (char)id;
}

/* An Ethernet header from station src to dst, of a local type. */
static inline void frame_head(char *frame, uint32_t src, uint32_t dst)
{
	frame_mac(frame, dst);
	frame_mac(frame + 6, src);
	frame[12] = (char)0x88;
	frame[13] = (char)0xb5;
}

/* FRAME_MAX bytes that begin so. */
static inline void frame_make(char *frame, uint32_t src, uint32_t dst)
{
	memset(frame, 0, FRAME_MAX);
	frame_head(frame, src, dst);
}

/* Copies whole 64-byte pieces; both sides have room for them. */
static inline void frame_copy(char *dst, const char *src, unsigned len)
{
#ifdef __AVX512F__
	for (unsigned o = 0; o < len; o += 64)
		_mm512_storeu_si512(dst + o, _mm512_loadu_si512(src + o));
#else
	memcpy(dst, src, (len + 63) & ~63U);
#endif
}

#endif
