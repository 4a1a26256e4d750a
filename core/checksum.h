/* SPDX-License-Identifier: BSD-2-Clause */
/* checksum.h - the Internet checksum (RFC 1071), incrementally. */
#ifndef CORE_CHECKSUM_H
#define CORE_CHECKSUM_H
/*
 * A sum is the ones' complement sum of 16-bit words as they lie in memory, in
 * 64 bits so that carries need no care: add numbers with htons() or htonl(),
 * add bytes with a checksum_fn, fold once at the end, store the result as it
 * is. Bytes may come in pieces of odd length: checksum_piece() keeps track.
 *
 * The loop over the bytes is compiled per instruction set (core/isa.h):
 * checksum_best() picks one. Any thread. The memory may change meanwhile; then
 * the sum is of some mixture and nothing else happens.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/isa.h"

/* The sum of len bytes (below 2^32 words); a last odd byte is padded. */
typedef uint64_t checksum_fn(const uint8_t *data, size_t len);

ISA_DECLARE(checksum_fn, checksum_bytes);

/* The variant for this machine. */
checksum_fn *checksum_best(void);

/* A sum over pieces; start with sum 0 (or a pseudo header's) and odd false. */
struct checksum {
	uint64_t sum;
	bool odd; /* an odd number of bytes was added so far */
};

/* To 16 bits, which are not inverted. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Adds the bytes that follow those added before. */
static inline void checksum_piece(struct checksum *c, checksum_fn *fn,
				  const uint8_t *data, size_t len)
{
	uint64_t sum = fn(data, len);

	if (c->odd) {
		uint16_t word = checksum_fold(sum);

		sum = (uint16_t)(word << 8 | word >> 8);
	}
	/* At most 2^48 each, so 2^16 pieces cannot overflow. */
	c->sum += (sum & 0xffffffff) + (sum >> 32);
	c->odd ^= len & 1;
}

#endif
