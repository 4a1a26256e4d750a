/* SPDX-License-Identifier: BSD-2-Clause */
/* micro.h - what micro benchmarks of look-ups share: chance and the clock. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H
#include <stdint.h>
#include <time.h>

/* The same numbers in every run: xorshift64* (Vigna, 2016). */
static inline uint64_t random_u64(void)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dULL;
}

/* One of 0 to n - 1. */
static inline unsigned below(unsigned n)
{
	return (random_u64() >> 32) * n >> 32;
}

static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

#endif
