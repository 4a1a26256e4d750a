// SPDX-License-Identifier: BSD-2-Clause
// checksum.c - the Internet checksum's loop, per instruction set.
#include "core/checksum.h"

#include <string.h>

#include "core/copy.h"

/* The width of this instruction set's vectors. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

enum { LANES = VECTOR_BYTES / 8 };

typedef uint64_t vector __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t vector_unaligned
	__attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* The last bytes, fewer than eight, as if zeros followed. */
static inline uint64_t tail(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t four = 0;
	uint16_t two = 0;
	uint8_t last[2] = { 0 };

	if (len & 4) {
		copy_some(&four, p, 4);
		sum += four;
		p += 4;
	}
	if (len & 2) {
		copy_some(&two, p, 2);
		sum += two;
		p += 2;
	}
	if (len & 1) {
		last[0] = *p;
		memcpy(&two, last, 2);
		sum += two;
	}
	return sum;
}

/*
 * The halves of each 64-bit word are added to accumulators of their own: there
 * is no carry to hand on (RFC 1071 lets us sum wide words and fold at the end).
 */
uint64_t HOT(checksum_bytes)(const uint8_t *data, size_t len)
{
	const vector low = (vector){ 0 } + 0xffffffff;
	vector a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	uint64_t sum = 0, word;

	for (; len >= 2 * VECTOR_BYTES; len -= 2 * VECTOR_BYTES) {
		vector x = *(const vector_unaligned *)data;
		vector y = *(const vector_unaligned *)(data + VECTOR_BYTES);

		a += x & low;
		b += x >> 32;
		c += y & low;
		d += y >> 32;
		data += 2 * VECTOR_BYTES;
	}
	a += b + c + d;
	for (int i = 0; i < LANES; i++)
		sum += a[i];
	for (; len >= 8; len -= 8, data += 8) {
		copy_some(&word, data, 8);
		sum += (word & 0xffffffff) + (word >> 32);
	}
	return sum + tail(data, len);
}
