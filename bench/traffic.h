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
	unsigned i; /* of the ring */
	unsigned len, batch;
	unsigned fill;	/* bytes written per packet, from the front */
	unsigned vnet;	/* of them are a virtio_net_hdr */
	unsigned chain; /* slots per packet */
	/* Addresses change from packet to packet if there are several. */
	uint32_t first_src, n_src, next_src;
	uint32_t first_dst, n_dst, next_dst;
	/* Or the first 64 bytes come from these in turn; own, NULL: none. */
	const char *frames;
	uint32_t n_frames, next_frame;
	char frame[FRAME_MAX];
};

struct receiver {
	struct glen_port *port;
	struct netmap_ring *ring;
	unsigned i;
	uint64_t sink; /* so that no compiler leaves the reading out */
};

/* For ring i of the port. */
void sender_init(struct sender *s, struct glen_port *port, unsigned i,
		 unsigned len, unsigned batch, unsigned fill);

/* Sends up to a batch; returns the number of packets. */
unsigned sender_step(struct sender *s);

void receiver_init(struct receiver *r, struct glen_port *port, unsigned i);

/* Takes all there is; returns the number of packets. */
unsigned receiver_step(struct receiver *r);

/* From now on packets are TCP segments of many, behind a virtio_net_hdr of vnet
 * bytes that says so; their length grows by that. */
void sender_tso(struct sender *s, unsigned vnet);

/* From station src to dst, if there is one of each. */
void sender_address(struct sender *s, uint32_t src, uint32_t dst);

/* Sends a single frame from station src to dst, behind vnet bytes of zeros;
 * false: no room. */
bool send_one(struct glen_port *port, uint32_t src, uint32_t dst,
	      unsigned vnet);

#endif
