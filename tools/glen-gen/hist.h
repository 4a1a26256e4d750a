/* SPDX-License-Identifier: BSD-2-Clause */
/* hist.h - a log-linear histogram of latencies. */
#ifndef GEN_HIST_H
#define GEN_HIST_H
/*
 * Theory of operation
 *
 * Counts 64-bit values (nanoseconds) in buckets whose width grows with the
 * value, like HdrHistogram: values below 256 have a bucket each; above, every
 * power of two is cut into 128 buckets of equal width, so a bucket is never
 * wider than 1/128 of its lowest value.
 *
 *   value     0 .. 255   256 .. 511   512 .. 1023  ...  2^39 .. 2^40 - 1
 *   width         1           2            4                 2^32
 *
 * Values of 2^40 (18 minutes) and more go into the last bucket; minimum,
 * maximum and sum stay exact. A quantile is reported as the highest value of
 * its bucket, but never above the maximum: it is not understated, and at most
 * 0.8 % too high.
 *
 * Memory is fixed (34 KiB) and part of the struct; zero it or call hist_init().
 * One thread per histogram; hist_merge() adds them up.
 */
#include <stdint.h>

enum {
	HIST_SUB_BITS = 7, /* 128 buckets per power of two */
	HIST_MAX_BITS = 40,
	HIST_BUCKETS = (HIST_MAX_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS,
};

struct hist {
	uint64_t n;   /* values counted */
	uint64_t sum; /* of all values */
	uint64_t min; /* valid if n */
	uint64_t max; /* valid if n */
	uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_add(struct hist *h, uint64_t value);
/* Adds everything in from to h. */
void hist_merge(struct hist *h, const struct hist *from);
/* The value that a share of q in [0, 1] of all values do not exceed; 0 if
 * nothing was counted. */
uint64_t hist_quantile(const struct hist *h, double q);
/* 0 if nothing was counted. */
double hist_mean(const struct hist *h);

#endif
