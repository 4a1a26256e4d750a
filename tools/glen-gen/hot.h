/* SPDX-License-Identifier: BSD-2-Clause */
/* hot.h - the loops that fill and drain rings, compiled per instruction set. */
#ifndef GEN_HOT_H
#define GEN_HOT_H
/*
 * Theory of operation
 *
 * hot.c is compiled several times with -DGLEN_ISA=... (core/isa.h). Its
 * functions work on netmap rings directly, move head and cur and leave the
 * sync to the caller. A frame is copied from a template in blocks of 64 bytes;
 * since buffers are a multiple of 64 bytes long, the last block may write
 * behind the packet but never behind its buffer.
 *
 *   fill_same     one template for all packets, one slot each: what the
 *                 yardstick bare-rings.c does
 *   fill_any      flows, sizes and chains of slots, still nothing but copies
 *   fill_checked  the same with struct payload and its checksum in each
 *   drain         counts and reads 8 bytes of each slot's buffer
 *
 * A packet has the vnet header in front, if any; len in here includes it.
 */
#include <stdbool.h>
#include <stdint.h>

#include <net/netmap_ring.h>

#include "payload.h"

enum {
	PACKET_BUF_SIZE = 131072, /* room for the longest packet */
};

/* A sender's state as the hot loops need it; written by its thread only. */
struct hot_tx {
	/* What packets are made of. */
	const struct frame_spec *spec;
	uint8_t (*head)[FRAME_HEAD_SIZE]; /* first block, per flow */
	const uint8_t *filling;		  /* fill_table() */
	uint8_t *scratch;		  /* PACKET_BUF_SIZE, for chains */
	uint64_t *seq;			  /* next number, per flow */
	const uint32_t *size;		  /* frame lengths, in a circle */
	uint32_t n_sizes, size_pos;
	uint32_t n_flows, first_flow; /* first_flow: number of flow 0 */
	uint32_t flow_step;	      /* = rings; ring r has r, r + step.. */
	uint32_t seg_max;	      /* bytes per slot, a multiple of 64 */
	uint32_t head_len;	      /* frame_head_len() */
	uint32_t run;
	uint64_t now;	/* time stamp of this batch */
	uint64_t bytes; /* frames' bytes so far */
};

struct hot_rx {
	uint64_t packets;
	uint64_t bytes; /* with vnet headers */
	uint64_t sink;	/* so that reading is not optimised away */
};

struct hot_ops {
	/* Fills up to n slots with the first len bytes of packet. */
	uint32_t (*fill_same)(struct netmap_ring *ring, const uint8_t *packet,
			      uint32_t len, uint32_t n);
	/* Fill up to n packets; *flow is the ring's next flow. */
	uint32_t (*fill_any)(struct netmap_ring *ring, struct hot_tx *tx,
			     uint32_t *flow, uint32_t n);
	uint32_t (*fill_checked)(struct netmap_ring *ring, struct hot_tx *tx,
				 uint32_t *flow, uint32_t n);
	/* Empties up to n slots; returns how many. */
	uint32_t (*drain)(struct netmap_ring *ring, struct hot_rx *rx,
			  uint32_t n);
};

/* The variant for this machine. */
const struct hot_ops *hot_ops_now(void);

#endif
