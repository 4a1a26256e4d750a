/* SPDX-License-Identifier: BSD-2-Clause */
/* pace.h - a token bucket that keeps a sender at a packet rate. */
#ifndef GEN_PACE_H
#define GEN_PACE_H
/*
 * Tokens (packets that may go) flow in with time and stay below cap. They are
 * taken in quanta of about 20 us worth of them, so that high rates go out in
 * batches and low rates packet by packet. What overflows was not sent although
 * the rate asked for it (the ring was full, or the sender did not run); it is
 * counted and not made up for, so there is never a burst beyond cap.
 *
 * One thread per bucket.
 */
#include <stdbool.h>
#include <stdint.h>

struct pace {
	double per_ns; /* tokens a nanosecond; 0: no limit */
	double tokens;
	double cap;
	double quantum; /* >= 1 */
	double unsent;	/* overflow */
	uint64_t last;
};

/* pps 0: no limit. burst >= 1: the most that is sent at once. */
static inline void pace_init(struct pace *p, double pps, uint32_t burst,
			     uint64_t now)
{
	double quantum = pps * 20e-6;

	*p = (struct pace){ .per_ns = pps / 1e9, .cap = burst, .last = now };
	if (quantum > burst)
		quantum = burst;
	p->quantum = quantum < 1 ? 1 : quantum;
	/* Room for a late turn, or every delay would cost packets. */
	if (p->cap < 2 * p->quantum)
		p->cap = 2 * p->quantum;
}

/* How many of want packets may go now; 0 if it is too early for a quantum. */
static inline uint32_t pace_get(struct pace *p, uint32_t want, uint64_t now)
{
	if (p->per_ns == 0)
		return want;
	p->tokens += (double)(now - p->last) * p->per_ns;
	p->last = now;
	if (p->tokens > p->cap) {
		p->unsent += p->tokens - p->cap;
		p->tokens = p->cap;
	}
	if (p->tokens < p->quantum && p->tokens < want)
		return 0;
	return p->tokens < want ? (uint32_t)p->tokens : want;
}

static inline void pace_spend(struct pace *p, uint32_t n)
{
	p->tokens -= n;
}

/* Time until the next quantum, in ns. */
static inline uint64_t pace_wait_ns(const struct pace *p)
{
	double missing = p->quantum - p->tokens;

	return missing > 0 && p->per_ns > 0 ? (uint64_t)(missing / p->per_ns) :
					      0;
}

#endif
