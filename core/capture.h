/* SPDX-License-Identifier: BSD-2-Clause */
/* capture.h - copies of packets for a reader that may be slow or hostile. */
#ifndef CORE_CAPTURE_H
#define CORE_CAPTURE_H
/*
 * Theory of operation
 *
 * A capture session copies what passes one port, or all ports of a switch,
 * into memory shared with one reader (glenctl capture). The switch never waits
 * for the reader: what finds no room is missed, and counted.
 *
 *   worker 0 --> ring 0 --+
 *   worker 1 --> ring 1 --+--> reader: merges by time, filters, writes pcapng
 *   control  --> ring n --+
 *
 * One memfd, sealed, holds it all (struct capture_layout says where):
 *
 *   page 0            struct capture_head: written by glend
 *   page 2            struct capture_tail: written by the reader
 *   page 4            struct capture_port: one line per port, by the port
 *                     number in records; line 0 is "switch:?", for ports beyond
 *                     the table's end. Lines are given out in order; a name is
 *                     written before the first record with its number and never
 *                     again, and a line with an empty name is not in use yet
 *   then              n_rings rings of ring_bytes, a power of two
 *
 * A ring is a byte ring of records, each a multiple of 8 bytes, never wrapping:
 * a record of kind CAPTURE_PAD fills the rest before the end. head and tail
 * count bytes since the start and never wrap; the record at byte x lies at
 * x & (ring_bytes - 1). glend keeps its own head; what it reads of the reader's
 * memory is tail (more than ring_bytes behind head, or ahead of it: the ring
 * counts as full) and the wake-up word.
 *
 * Wake-ups: a reader that is about to sleep adds 1 to wake_seq, looks at all
 * heads once more, and polls the wake descriptor for at most 100 ms. A worker
 * that published records and sees a wake_seq it has not answered sends one
 * byte; at most once per batch, and not before a quarter of the ring or 20 ms
 * has passed since its last one. The descriptor is a socket, not an eventfd:
 * both sides of an eventfd share its O_NONBLOCK flag and its counter, so the
 * reader could make the worker's write block.
 *
 * Threads. capture_in(), capture_out() and capture_refused() are for workers,
 * or for the control thread while it drains a port. A ring is meant for one
 * thread; a second one that finds it busy counts its packets as missed.
 * Everything else is for the control thread. The set of sessions that apply to
 * a port (struct capture) is immutable, behind port->capture, under RCU.
 *
 * A session belongs to its switch: ports that are added later are captured
 * too, a port that goes is unlinked and taken up again when it comes back, and
 * when the switch goes the session stays empty, with ended set, until its
 * owner destroys it.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/batch.h"
#include "core/drop.h"
#include "core/port.h"

struct capture_session;

enum {
	CAPTURE_PAGE = 4096,
	CAPTURE_PORTS = 16384,
	CAPTURE_NAME_SIZE = 64,
	CAPTURE_RINGS_MAX = 65,
	CAPTURE_SNAPLEN_DEFAULT = 262144,
	CAPTURE_RING_MIN = 512 << 10,
	CAPTURE_RING_DEFAULT = 4 << 20,
	CAPTURE_RING_MAX = 64 << 20,
	CAPTURE_BYTES_MAX = 256 << 20, /* of all rings of a session */
	CAPTURE_SESSIONS_MAX = 16,     /* that apply to one switch */
	CAPTURE_DELIVERED = 0xff,      /* reason of a packet not dropped */
};

enum capture_kind {
	CAPTURE_IN,  /* from the port into the switch */
	CAPTURE_OUT, /* from the switch to the port */
	CAPTURE_PAD, /* nothing; skip to the ring's start */
};

/* Followed by cap_len bytes and zeros up to a multiple of 8. */
struct capture_record {
	uint32_t size;	   /* with this header and the zeros */
	uint16_t port;	   /* line in the table of ports */
	uint8_t kind;	   /* enum capture_kind */
	uint8_t reason;	   /* enum drop, or CAPTURE_DELIVERED */
	uint64_t time_ns;  /* CLOCK_REALTIME */
	uint32_t wire_len; /* of the packet; 0: not known */
	uint32_t cap_len;  /* bytes here */
};

/* Written by the ring's thread in glend. */
struct capture_ring_head {
	_Atomic uint64_t head;	 /* bytes written; release */
	_Atomic uint64_t missed; /* packets that found no room */
	uint64_t unused[6];
};

/* At the start; glend writes. */
struct capture_head {
	_Atomic uint32_t ended; /* the switch is gone: nothing more comes */
	uint32_t unused[15];
	struct capture_ring_head rings[CAPTURE_RINGS_MAX];
};

/* At CAPTURE_PORTS_OFF, an array; glend writes. */
struct capture_port {
	char name[CAPTURE_NAME_SIZE]; /* "switch:port" */
	_Atomic uint64_t missed;      /* packets of it that found no room */
	uint64_t unused[7];
};

/* Written by the reader, one line per ring. */
struct capture_ring_tail {
	_Atomic uint64_t tail; /* bytes read; release */
	uint64_t unused[7];
};

/* At CAPTURE_TAIL_OFF; the reader writes. */
struct capture_tail {
	_Atomic uint32_t wake_seq; /* counts requests for a wake-up */
	uint32_t unused[15];
	struct capture_ring_tail rings[CAPTURE_RINGS_MAX];
};

enum {
	CAPTURE_TAIL_OFF = 2 * CAPTURE_PAGE,
	CAPTURE_PORTS_OFF = 4 * CAPTURE_PAGE,
	CAPTURE_RINGS_OFF = CAPTURE_PORTS_OFF + CAPTURE_PORTS * 128,
};

_Static_assert(sizeof(struct capture_port) == 128, "as in CAPTURE_RINGS_OFF");
_Static_assert(sizeof(struct capture_head) <= 2 * CAPTURE_PAGE, "page 2");
_Static_assert(sizeof(struct capture_tail) <= 2 * CAPTURE_PAGE, "page 4");

/* Bytes of the whole memfd. */
static inline uint64_t capture_size(unsigned n_rings, uint64_t ring_bytes)
{
	return CAPTURE_RINGS_OFF + n_rings * ring_bytes;
}

struct capture_config {
	const char *port;    /* name in the switch; NULL: all ports */
	uint32_t snaplen;    /* bytes per packet; 0: CAPTURE_SNAPLEN_DEFAULT */
	uint64_t ring_bytes; /* per ring, rounded up to a power of two and
			      * halved while all are above CAPTURE_BYTES_MAX;
			      * 0: CAPTURE_RING_DEFAULT */
	unsigned n_workers;  /* engine_n_workers() */
};

/*
 * Control: starts to capture. Not in use yet: -ENOENT for a port that the
 * switch has not; -EINVAL (sizes), -ENOSPC (too many sessions), -ENOMEM.
 */
int capture_create(struct vswitch *sw, const struct capture_config *config,
		   struct capture_session **session, struct glen_error *error);
/* Control: stops, waits until no worker writes (rcu_wait), frees. NULL is
 * fine. */
void capture_destroy(struct capture_session *session);
/*
 * Control: the result of capture.start but for "session": {"rings",
 * "ring_bytes", "snaplen", "reasons"}. A new object.
 */
json_t *capture_show(const struct capture_session *session);
/* Control: the two descriptors for the reader, borrowed: memory, wake. */
void capture_fds(const struct capture_session *session, int fds[2]);

/* Control, from port_create(): the port is in sw->ports, before or after its
 * rings run. Without memory the port is not captured. */
void capture_port_add(struct port *port);
/* Control, from port_destroy(): after the drain, when no worker can reach the
 * port any more and before it leaves sw->ports. */
void capture_port_del(struct port *port);
/* Control, from switch_destroy(): all ports are gone. */
void capture_switch_del(struct vswitch *sw);

/*
 * Worker, c not NULL: the batch b came from port. All verdicts are known;
 * those of type VERDICT_DROP carry the reason. Before rx_done(). worker: the
 * caller's index; the control thread passes n_workers.
 */
void capture_in(struct capture *c, unsigned worker, const struct port *port,
		const struct batch *b);
/*
 * Worker, c not NULL: tx() was called for list[0..n) of b with ctx, whose
 * dropped[] was zero before. Before rx_done(). ctx NULL: nothing was dropped.
 */
void capture_out(struct capture *c, unsigned worker, const struct port *port,
		 const struct batch *b, const uint16_t *list, unsigned n,
		 const struct tx_ctx *ctx);

#endif
