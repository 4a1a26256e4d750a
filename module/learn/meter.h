/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/meter.h - a token bucket that several workers take from. */
#ifndef MODULE_LEARN_METER_H
#define MODULE_LEARN_METER_H
/*
 * Theory of operation
 *
 * A meter lets units (packets or bytes) pass at a rate, and up to a burst of
 * them at once. It is one shared word, the time at which the bucket will be
 * full again (full_at): who takes tokens moves it on by what they cost, and may
 * not move it further than a burst beyond now. A bucket that has been full for
 * long holds no more than full.
 *
 * Workers share the word's line once per grab of tokens, not per packet: they
 * take whole grabs and keep what is left over in their own share. When there is
 * no grab to be had, they do not look again before the time at which there will
 * be one.
 *
 *   passed in any time t  <=  rate * t + burst + n_workers * grab
 *   passed in any time t  >=  rate * t         - n_workers * grab
 *                             (if as much was offered, in packets of at most
 *                             the burst; one packet more or less)
 *
 * A grab is a power of two, at most 64 packets or 16 KiB, and the grabs of all
 * workers together are at most an eighth of a burst, or a unit each. A burst is
 * rounded down to whole grabs, so by less than an eighth. The rate itself is
 * exact to 1 in 10^4 or better: costs are in 1/64 ns per grab.
 *
 * A packet of more units than the burst never passes.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	METER_TIME_SHIFT = 6, /* times are in 1/64 ns */
	METER_GRAB_PACKETS = 64,
	METER_GRAB_BYTES = 16384,
};

struct meter {
	/* Control writes, workers read. */
	_Alignas(64) _Atomic uint64_t cost;    /* of a grab; 0: no limit */
	_Atomic uint64_t burst;		       /* the bucket's depth, in time */
	_Atomic uint32_t shift;		       /* a grab is 1 << shift units */
	_Alignas(64) _Atomic uint64_t full_at; /* all workers */
};

/* One worker's. */
struct meter_share {
	uint64_t tokens;   /* taken, not used */
	uint64_t retry_at; /* no grab before */
};

/* The clock of meters. */
static inline uint64_t meter_time(uint64_t now_ns)
{
	return now_ns << METER_TIME_SHIFT;
}

static inline bool meter_limits(const struct meter *m)
{
	return atomic_load_explicit(&m->cost, memory_order_relaxed);
}

/*
 * Control: rate units per second, in units of 1 or (a rate in bits, tokens in
 * bytes) 8; 0: no limit. burst is in tokens. The bucket is full afterwards.
 */
void meter_set(struct meter *m, uint64_t rate, unsigned unit, uint64_t burst,
	       uint32_t grab_max, unsigned n_workers);
/* Worker: takes n tokens; false: there are not so many. */
bool meter_take(struct meter *m, struct meter_share *share, uint64_t now,
		uint32_t n);

#endif
