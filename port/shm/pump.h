/* SPDX-License-Identifier: BSD-2-Clause */
/* pump.h - a ring of glend's own that moves what programs move otherwise. */
#ifndef PORT_SHM_PUMP_H
#define PORT_SHM_PUMP_H
/*
 * Theory of operation
 *
 * Two things of netmap ports need a worker only while somebody watches them:
 *
 *   - A pipe's packets go from one program to the other without glend
 *     (netmap/preload/pipe.c). While a monitor watches one of its rings, glend
 *     moves them: it exchanges the slots as the sender does, and shows packets
 *     to the monitors before the receiver sees them.
 *   - What a program releases of an RX ring is seen when that ring gets its
 *     next packets. A zero-copy monitor wants it at once.
 *
 * The pump is a port of its own on the idle switch, with one ingress ring that
 * never brings a packet, and no egress. It is made for the first monitor that
 * needs it and closed when the last one is gone.
 *
 * Who moves a pair of a pipe's rings is said by nmw_sync.watched of the TX
 * line, which glend writes: not 0, and glend does. A sender looks with the
 * ring's lock (nmw_sync.owner) taken, so after
 *
 *   glend    watched = 1 (C); once it sees owner 0 (D), the pair is its own
 *   sender   takes the lock (pairs with D); reads watched (pairs with C)
 *
 * no sender moves anything. glend reads hwcur and hwtail then, keeps its own
 * copies, and shows them as it moves. To give the pair back it shows them and
 * stores watched = 0; a sender that handed over meanwhile looks at it again
 * (pump_return()).
 *
 * Both programs tell of a new head by a kick, if the line's kern_need_kick asks
 * for it. nmw_sync.looked follows nmw_sync.turn once glend has moved what there
 * was then, as far as there was room; NIOCTXSYNC waits for it.
 */
#include "port/shm/shm.h"

struct nmw_sync;

/* The TX ring of an end of a pipe, and the RX ring of the other. */
struct pump_pair {
	/* Shared. */
	struct netmap_slot *tx, *rx;
	struct nm_csb_atok *tx_atok, *rx_atok;
	struct nm_csb_ktoa *tx_ktoa, *rx_ktoa;
	struct nmw_sync *sync; /* of the TX line */
	uint32_t mask;
	struct shm_peer *sender, *receiver;
	/* Indexes; ours alone while taken. */
	uint32_t at;   /* next TX slot to move */
	uint32_t to;   /* next RX slot to fill */
	uint32_t back; /* RX slots that zero-copy monitors have not seen yet */
	uint32_t seen_tx, seen_rx; /* heads when we looked last */
	uint32_t turn;		   /* the same of nmw_sync.turn */
	uint32_t looked;	   /* what nmw_sync.looked says */
	uint32_t kicked_tx, kicked_rx;
	uint32_t called_tx[2], called_rx[2]; /* the callee's */
	bool taken;
	_Atomic(struct shm_watch *) tx_watch, rx_watch; /* RCU */
};

/* An RX ring whose releases are looked for. */
struct pump_out {
	struct egress *egress;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	uint32_t seen; /* head when we looked last */
};

struct netmap_port;

/* The programs at an end of a pipe. A call that nobody asked for would fill
 * their sockets. */
struct pump_end {
	struct shm_peer peer; /* first */
	const struct netmap_port *port;
	unsigned end;
};

struct pump {
	struct shm_peer *peer; /* eats what wakes us */
	struct pump_end end[2];
	uint8_t *bufs;
	uint32_t n_bufs, buf_size;
	uint64_t offset_mask;
	uint32_t arm_value;
	uint32_t vain;		/* times that it was not armed after all */
	unsigned n_pairs, n_tx; /* pairs: n_tx of end 0, then those of end 1 */
	unsigned next;		/* pair that is looked at next */
	struct pump_pair *pair;
	_Atomic unsigned n_outs; /* 0 also when their port is gone */
	struct pump_out out[PORT_RINGS_MAX];
};

#endif
