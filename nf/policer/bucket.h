/* SPDX-License-Identifier: BSD-2-Clause */
/* bucket.h - tokens for bytes, as the time when the bucket is full again. */
#ifndef NF_POLICER_BUCKET_H
#define NF_POLICER_BUCKET_H
/*
 * Times are in nanoseconds << PL_TIME. A rate is the time of a byte << PL_RATE.
 * One thread. After 2^56 ns, two years, times begin at 0 again, and buckets
 * are wrong for a moment.
 */
#include <stdint.h>

enum { PL_TIME = 8, PL_RATE = 20 };

/* More than any time that is waited. */
#define PL_LONG (1ULL << 62)

struct pl_rate {
	uint64_t byte_time; /* << PL_RATE; at least 1 */
	uint64_t burst;	    /* time */
};

static inline uint64_t pl_time_of(const struct pl_rate *r, uint64_t bytes)
{
	unsigned __int128 time = (unsigned __int128)bytes * r->byte_time;

	time >>= PL_RATE;
	return time > PL_LONG ? PL_LONG : (uint64_t)time;
}

/* bits: per second; burst in bytes. */
static inline void pl_rate_init(struct pl_rate *r, uint64_t bits,
				uint64_t burst)
{
	unsigned __int128 second = (unsigned __int128)1000000000 << PL_TIME;

	r->byte_time = (uint64_t)((second * 8 << PL_RATE) / bits);
	r->byte_time += !r->byte_time;
	r->burst = pl_time_of(r, burst);
}

/*
 * The time that a packet of len bytes has to wait from now on; 0: there are
 * tokens enough. *next: what *full becomes if it goes then.
 */
static inline uint64_t pl_wait(const struct pl_rate *r, uint64_t full,
			       uint64_t now, unsigned len, uint64_t *next)
{
	uint64_t ahead;

	full = full > now ? full : now;
	*next = full + pl_time_of(r, len);
	ahead = *next - now;
	return ahead > r->burst ? ahead - r->burst : 0;
}

#endif
