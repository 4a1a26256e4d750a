/* SPDX-License-Identifier: BSD-2-Clause */
/* bytes.h - numbers out of headers, at any alignment. */
#ifndef LIB_BYTES_H
#define LIB_BYTES_H
/*
 * For private memory only; what others may write is for lib/shm.h. Any thread.
 */
#include <stdint.h>
#include <string.h>

/* As they lie in memory: for comparing, hashing and sums. */
static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* In network byte order: for numbers. */
static inline unsigned load_be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

#endif
