// SPDX-License-Identifier: BSD-2-Clause
// hist.c - a log-linear histogram of latencies.
#include "hist.h"

#include <math.h>
#include <string.h>

enum { SUB = 1 << HIST_SUB_BITS };

/* Values below 2 * SUB are their own bucket; see the drawing in hist.h. */
static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value >= UINT64_C(1) << HIST_MAX_BITS)
		return HIST_BUCKETS - 1;
	if (value < 2 * SUB)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
	return shift * SUB + (unsigned)(value >> shift);
}

/* The highest value that bucket i counts. */
static uint64_t bucket_top(unsigned i)
{
	unsigned shift;

	if (i < 2 * SUB)
		return i;
	shift = i / SUB - 1;
	return ((uint64_t)(i - shift * SUB + 1) << shift) - 1;
}

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

void hist_add(struct hist *h, uint64_t value)
{
	h->bucket[bucket_of(value)]++;
	if (!h->n || value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->n++;
	h->sum += value;
}

void hist_merge(struct hist *h, const struct hist *from)
{
	if (!from->n)
		return;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		h->bucket[i] += from->bucket[i];
	if (!h->n || from->min < h->min)
		h->min = from->min;
	if (from->max > h->max)
		h->max = from->max;
	h->n += from->n;
	h->sum += from->sum;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
	uint64_t seen = 0, want = (uint64_t)ceil(q * (double)h->n);

	if (want < 1)
		want = 1;
	if (want >= h->n)
		return h->max;
	for (unsigned i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->bucket[i];
		if (seen >= want)
			return bucket_top(i) < h->max ? bucket_top(i) : h->max;
	}
	return h->max;
}

double hist_mean(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n : 0;
}
