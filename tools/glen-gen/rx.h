/* SPDX-License-Identifier: BSD-2-Clause */
/* rx.h - the receiving half of glen-gen. */
#ifndef GEN_RX_H
#define GEN_RX_H
/*
 * A receiver empties the RX rings of one port and, in checked streams, keeps
 * the books on every packet. It is driven by its owner, who calls
 * receiver_step() over and over and decides what to do when nothing came.
 * One thread at a time. The port is borrowed.
 *
 * Every packet that arrives is in exactly one of: data (counted by seq), END,
 * other (announcements, pings), foreign, truncated, corrupted.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

#include "hist.h"
#include "hot.h"
#include "opts.h"
#include "seq.h"

struct receiver {
	struct glen_port *port;
	const struct gen_opts *opts;
	const struct hot_ops *hot;
	struct hot_rx rx; /* unchecked: all packets; checked: data */
	struct seq_table seq;
	struct hist *latency; /* one way, checked streams; NULL otherwise */
	uint8_t *scratch;     /* chains are put together here */
	uint32_t n_rings, ring;
	uint32_t limit; /* slots per step */
	uint64_t now;	/* of this step, checked streams */
	uint64_t ends, other, foreign, truncated, corrupted;
	uint64_t first_ns, last_ns; /* kept by the owner */
};

/* -ENOMEM. receiver_fini() may be called for a zeroed struct too. */
int receiver_init(struct receiver *r, const struct gen_opts *opts,
		  struct glen_port *port);
void receiver_fini(struct receiver *r);

/*
 * Takes up to limit slots (a batch, if not changed) from the next ring.
 * Returns how many, or -ENOTCONN.
 */
int receiver_step(struct receiver *r);

/* Data packets, or without --check all packets, and their bytes. */
static inline uint64_t receiver_packets(const struct receiver *r)
{
	return r->rx.packets;
}
static inline uint64_t receiver_bytes(const struct receiver *r)
{
	return r->rx.bytes - r->rx.packets * r->opts->spec.vnet_len;
}

/* True when --count or --until-end is fulfilled. */
bool receiver_done(const struct receiver *r);

/* Adds up the books. True if all is as it should be: packets came, and none
 * was lost, reordered, duplicated, stale, truncated or corrupted. */
bool receiver_sum(const struct receiver *r, struct seq_counts *sum);

/*
 * Points *packet at the packet that begins at slot at of ring, putting it
 * together in scratch (PACKET_BUF_SIZE bytes) if it is a chain. Returns its
 * number of slots, 0 if its end is not there yet; *len is 0 if its
 * lengths cannot be true.
 */
uint32_t packet_at(struct netmap_ring *ring, uint32_t at, uint32_t space,
		   uint8_t *scratch, const uint8_t **packet, uint32_t *len);

#endif
