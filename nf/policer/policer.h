/* SPDX-License-Identifier: BSD-2-Clause */
/* policer.h - a network function that holds packets to a rate. */
#ifndef NF_POLICER_POLICER_H
#define NF_POLICER_POLICER_H
/*
 * Theory of operation
 *
 * A token bucket fills at a rate and holds a burst; a packet takes as many
 * tokens as it has bytes. What finds too few is dropped (police), or kept until
 * they are there (shape). There is one bucket per thread, or one per flow, of
 * glen/nf_flow.h, both directions apart; packets that are of no flow share the
 * thread's then.
 *
 * A bucket is one number, the time at which it would be full again: a packet
 * moves it on by its own time at the rate, and there are tokens enough if it is
 * not more than the burst's time ahead. Times are nanoseconds times 256.
 *
 * Packets that wait are in a heap by the time at which they may go, and by
 * their number; those of one bucket go in the order they came, and while one
 * of them waits all behind it do. A thread with waiting packets does not sleep.
 * When no more may wait (queue=, or the thread's spare buffers), or a packet
 * would wait longer than delay=, it is dropped. Packets that still wait when
 * the instance ends are lost; they count as freed.
 *
 * A packet that passed but found its output full waits in the input, and with
 * several threads one that was kept may come before it then.
 *
 * The rate is each thread's: an instance with two threads passes twice as much.
 */
#include "include/glen/nf.h"

extern const struct glen_nf_program policer_nf;

/* Its reasons to drop. */
enum {
	PL_R_RATE,	 /* above the rate */
	PL_R_QUEUE_FULL, /* it would wait, but too many do */
	PL_R_TOO_LATE,	 /* it would wait too long */
	PL_R_TABLE_FULL, /* no place for its flow */
};

/* Its counters. */
enum {
	PL_C_PASSED,  /* at once */
	PL_C_DELAYED, /* kept, and sent later */
};

#endif
