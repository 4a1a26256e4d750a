/* SPDX-License-Identifier: BSD-2-Clause */
/* limit.h - bare loops: what moving packets costs with nothing around it. */
#ifndef BENCH_LIMIT_H
#define BENCH_LIMIT_H
/*
 * Theory of operation
 *
 * Two ports of one TX and one RX ring each, sixteen bytes per slot, and packet
 * buffers at a fixed stride. A producer and a consumer of a ring each own an
 * index on a cache line of its own. Three steps move packets, at most a batch
 * per call:
 *
 *   limit_send()     writes the frame into buffers of port a, fills slots
 *   limit_switch()   reads slots, prefetches; looks up source and destination
 *                    MAC in a small hash table; copies each packet once, in
 *                    64-byte pieces, into port b's buffers; publishes
 *   limit_receive()  reads length and first eight bytes of each packet
 *
 * There are no checks, counters or sleeps: a limit, not a design. bench/run
 * pairs it with the yardsticks of shared/bench where those exist; it must
 * reach 0.95 of them, else it is no limit.
 *
 * Each step may run in a thread of its own.
 */
#include <stdint.h>

struct limit;

struct limit_geometry {
	unsigned frame_len; /* 60 to stride */
	unsigned batch;	    /* 1 to 1024 */
	unsigned slots;	    /* per ring; a power of two */
	unsigned stride;    /* bytes from one buffer to the next */
};

/* NULL if the geometry is out of range or there is no memory. */
struct limit *limit_create(const struct limit_geometry *g);

/* Each returns how many packets it moved. */
unsigned limit_send(struct limit *l);
unsigned limit_switch(struct limit *l);
unsigned limit_receive(struct limit *l);

/* What the receiver read, so that no compiler leaves the reading out. */
uint64_t limit_sink(const struct limit *l);

/*
 * Round trips through a middleman that do nothing but block: four eventfds and
 * three threads; client, middleman, server, middleman, client.
 */
struct limit_rtt;
struct limit_rtt *limit_rtt_create(void);
/* One round trip, from the client's thread. */
void limit_rtt_round(struct limit_rtt *r);

#endif
