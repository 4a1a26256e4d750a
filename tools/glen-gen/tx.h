/* SPDX-License-Identifier: BSD-2-Clause */
/* tx.h - the sending half of glen-gen. */
#ifndef GEN_TX_H
#define GEN_TX_H
/*
 * A sender fills the TX rings of one port. It is driven by its owner, who calls
 * sender_step() over and over and decides what to do when nothing went out.
 * One thread at a time. The port is borrowed.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

#include "hot.h"
#include "opts.h"
#include "pace.h"

struct sender {
	struct glen_port *port;
	const struct gen_opts *opts;
	const struct hot_ops *hot;
	struct hot_tx tx;
	struct pace pace;
	uint8_t *packet; /* template for fill_same, NULL if unused */
	uint32_t packet_len;
	uint32_t n_rings, ring;	       /* ring: whose turn it is */
	uint32_t flow[GLEN_RINGS_MAX]; /* next flow of each ring */
	uint64_t packets;
	uint64_t ring_full; /* turns in which no slot was free */
	uint64_t first_ns, last_ns;
	uint64_t yield_at; /* packets after which a busy sender yields */
	bool needs_clock;  /* sender_step() looks at now */
};

/* -ENOMEM. sender_fini() may be called for a zeroed struct too. */
int sender_init(struct sender *s, const struct gen_opts *opts,
		struct glen_port *port, uint64_t now);
void sender_fini(struct sender *s);

/*
 * Sends up to a batch into the next ring. now matters only if needs_clock.
 * Returns how many packets, 0 if the ring is full or it is too early, or
 * -ENOTCONN.
 */
int sender_step(struct sender *s, uint64_t now);

/* True when --count packets were sent. */
static inline bool sender_done(const struct sender *s)
{
	return s->opts->count && s->packets >= s->opts->count;
}

/*
 * Puts end markers of as many flows into the rings as there is room for,
 * from flow *next on, and advances *next. 0, or -ENOTCONN.
 */
int sender_end_markers(struct sender *s, uint32_t *next);

/* True while packets wait in a TX ring; syncs. */
bool sender_pending(struct sender *s);

/* Throws away what arrived at the port, so that it does not pile up. */
void sender_discard_rx(struct sender *s);

/*
 * Broadcasts a small frame from each own address from number *next to
 * opts->flows, so that learning switches know where they are. As many as there
 * is room for in ring 0; *next advances. 0, or -ENOTCONN.
 */
int announce(struct glen_port *port, const struct gen_opts *opts,
	     uint32_t *next);

/*
 * Builds a packet with a struct payload in one buffer of at least
 * PACKET_BUF_SIZE bytes; len is the frame's length. Returns its length with
 * the vnet header.
 */
uint32_t packet_build(const struct frame_spec *spec, uint8_t *packet,
		      uint32_t len, uint32_t flow, struct payload *p);

/* Copies a packet into ring's next slots. False if there is no room. */
bool ring_put(struct netmap_ring *ring, const uint8_t *packet, uint32_t len);

uint64_t clock_ns(void);

#endif
