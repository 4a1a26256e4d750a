/* SPDX-License-Identifier: BSD-2-Clause */
/* probe.h - how far apart processors 0 and 1 are at the moment. */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H
/*
 * Two threads pass a cache line to and fro in bursts; the fastest burst tells
 * what moving a line costs at that moment (another program can only make a
 * burst slower). One caller at a time, pinned to processor 0.
 */

/* Starts the thread on processor 1; -errno. Once, before probe_run(). */
int probe_start(void);

/* Nanoseconds one way; 0 where there is only one processor. */
double probe_run(void);

#endif
