/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic.h - senders and receivers over the rings of a glen port. */
#ifndef BENCH_TRAFFIC_H
#define BENCH_TRAFFIC_H
/*
 * The netmap way of using a port, with as little around it as in the bare
 * loops: a sender writes the frame and its slot, a receiver reads the length
 * and the first eight bytes. Packets longer than a buffer take a chain.
 */
#include <glen/glen.h>

#include "bench/frame.h"

struct sender {
	struct glen_port *port;
	struct netmap_ring *ring;
	unsigned len, batch;
	unsigned fill;	/* bytes written per packet, from the front */
	unsigned chain; /* slots per packet */
	/* Addresses change from packet to packet if there are several. */
	uint32_t first_src, n_src, next_src;
	uint32_t first_dst, n_dst, next_dst;
	char frame[FRAME_MAX];
};

struct receiver {
	struct glen_port *port;
	struct netmap_ring *ring;
	uint64_t sink; /* so that no compiler leaves the reading out */
};

void sender_init(struct sender *s, struct glen_port *port, unsigned len,
		 unsigned batch, unsigned fill);

/* Sends up to a batch; returns the number of packets. */
unsigned sender_step(struct sender *s);

void receiver_init(struct receiver *r, struct glen_port *port);

/* Takes all there is; returns the number of packets. */
unsigned receiver_step(struct receiver *r);

/* Sends a single frame from station src to dst; false: no room. */
bool send_one(struct glen_port *port, uint32_t src, uint32_t dst);

#endif
