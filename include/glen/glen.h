/* SPDX-License-Identifier: BSD-2-Clause */
/* glen/glen.h - attach to a port of a glen switch and exchange packets. */
#ifndef GLEN_GLEN_H
#define GLEN_GLEN_H
/*
 * Theory of operation
 *
 * A program opens a port "switch:port" of a running glend and gets rings and
 * packet buffers in shared memory, in netmap's layout (net/netmap.h). What it
 * puts into a TX ring the switch takes; what the switch has for the port
 * appears in an RX ring.
 *
 *   program                             glend
 *   -------                             -----
 *   fill slots, advance head
 *   glen_txsync()    -- CSB head -->    gather, look up, copy
 *                    <-- CSB tail --    publish at the receivers
 *   glen_rxsync()    sees new slots
 *
 * There are two ways to use a port, and one ring must stick to one of them:
 *   - netmap's way: glen_port_tx_ring()/glen_port_rx_ring() and the macros of
 *     net/netmap_ring.h, with glen_txsync()/glen_rxsync() in place of the
 *     ioctls;
 *   - the simple way: glen_send() and glen_recv()/glen_release(), which copy
 *     to and point into the rings.
 *
 * Waiting: glen_wait(), or poll() on glen_port_fd() followed by a sync of the
 * rings of interest.
 *
 * Life and death: the port lives as long as it is open. When glend dies the
 * mapping stays; the port reconnects by itself from within glen_wait() and the
 * sync calls as soon as a glend listens again, and packets that lie in the
 * rings are still there. Until then syncs move nothing and glen_wait() waits.
 * If glend closes the port (glenctl port del, or because the client broke the
 * ring protocol) every call returns -ENOTCONN and glen_port_error() says why.
 *
 * Threads: different rings of a port, and the two directions of a ring, may be
 * used by different threads at the same time; one ring and direction must not.
 * glen_wait() and glen_arm() sync all rings and so are for programs with one
 * thread per port; others use glen_wait_ring(). glen_port_open(), _close() and
 * glen_port_fd() are for one thread at a time.
 *
 * Errors: functions return 0 or a count, or -errno. Where a struct glen_error
 * is taken (NULL is fine) it receives a sentence for a person.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <net/netmap_ring.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define GLEN_VERSION_MAJOR 0
#define GLEN_VERSION_MINOR 1

/* Limits of a port; requests outside are refused with -EINVAL. */
enum {
	GLEN_RINGS_MAX = 16, /* ring pairs */
	GLEN_SLOTS_MIN = 16, /* per ring; rounded up to a power of two */
	GLEN_SLOTS_MAX = 4096,
	GLEN_BUF_MIN = 64, /* bytes; a multiple of 64 */
	GLEN_BUF_MAX = 65536,
	GLEN_EXTRA_BUFS_MAX = 1 << 20,
	GLEN_NAME_MAX = 63,	   /* "switch:port", without the NUL */
	GLEN_PART_MAX = 31,	   /* switch name, port name */
	GLEN_CLAIMS_MAX = 1 << 20, /* of one call of glen_claim() */
};

/* What went wrong, in words. */
struct glen_error {
	int code;	/* negative errno, 0 if nothing went wrong */
	char text[300]; /* a sentence without newline */
};

/*
 * How to open a port. Zero every member you do not care about; a port opened
 * with NULL has one ring pair of 1024 slots and 2048-byte buffers.
 */
struct glen_port_config {
	const char *socket;	/* NULL: $GLEN_SOCKET or glend's default */
	unsigned rings;		/* ring pairs, 1..16; 0 = 1 */
	unsigned slots;		/* per ring, 16..4096; 0 = 1024 */
	unsigned buf_size;	/* bytes per buffer; 0 = 2048 */
	unsigned extra_bufs;	/* buffers beyond one per slot (ni_bufs_head) */
	unsigned vnet_hdr_len;	/* 0, 10, 12: a virtio_net_hdr before packets */
	unsigned mtu;		/* payload limit in bytes; 0 = no limit */
	bool isolated;		/* no packets to or from isolated ports */
	uint8_t mac[6];		/* announced in port show; all zero: none */
	int connect_timeout_ms; /* wait for glend to listen; 0 = do not wait */
	/*
	 * A region that the port shares with others of one trust group: all of
	 * them can read and write all of its buffers. The first port makes it;
	 * others need its token. NULL: the port has a region of its own.
	 */
	const char *region;
	const char *region_token; /* see glen_port_region_token(); whoever
				   * makes the region may choose it, NULL: at
				   * random */
	unsigned region_bufs;	  /* buffers of all; 0 = 65536, or the region's.
				   * Memory is taken as it is used */
	bool swap;    /* in the region, packets between ports that say so change
		    * owner with their buffers and are not copied: after a sync
		    * a TX slot may name another buffer (NS_BUF_CHANGED) */
	bool offsets; /* packets may begin anywhere in their buffers: at byte
		       * slot->ptr & ring->offset_mask. What a NIC received in
		       * the region does, and is copied to ports without this */
	bool marks;   /* the upper 48 bits of slot->ptr go with the packet, to
		       * the switch's module and to other ports with this: what
		       * network functions know of it (glen/module.h) */
};

/* Counters of a port, added up over its rings. "in": into the switch. */
struct glen_port_stats {
	uint64_t in_packets, in_bytes, in_drops;
	uint64_t out_packets, out_bytes, out_drops;
};

/*
 * A claim, at a switch with module tuple3: TCP or UDP to this address and port
 * comes to this port of the switch, and only this one sends from there.
 */
struct glen_claim {
	int family;	  /* AF_INET, AF_INET6 */
	uint8_t ip[16];	  /* as on the wire; of AF_INET the first four */
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t port;	  /* host byte order; 0: one that is free */
};

struct glen_port;

/*
 * Opens port "switch:port" of glend and maps its rings. The switch is made if
 * it does not exist. On success *port is the caller's, to be given back with
 * glen_port_close(). Errors: -EINVAL (bad name or value), -EBUSY (the port is
 * in use), -ECONNREFUSED/-ENOENT (no glend listens), -EACCES, -ENOSPC (a table
 * is full), -ENOMEM, -EMFILE, -ETIMEDOUT (glend does not answer), -EPROTO (it
 * answers something else).
 */
int glen_port_open(struct glen_port **port, const char *name,
		   const struct glen_port_config *config,
		   struct glen_error *error);

/*
 * Detaches and unmaps. Packets handed over before are still forwarded by
 * glend. NULL is fine. No other thread may use the port any more.
 */
void glen_port_close(struct glen_port *port);

/* The port's netmap_if, borrowed until close. */
struct netmap_if *glen_port_nifp(const struct glen_port *port);

/* Ring i in [0, glen_port_rings()), borrowed until close. NULL if i is off. */
struct netmap_ring *glen_port_tx_ring(const struct glen_port *port, unsigned i);
struct netmap_ring *glen_port_rx_ring(const struct glen_port *port, unsigned i);
unsigned glen_port_rings(const struct glen_port *port);

/*
 * The token that lets other ports into this port's shared region, 32 hex
 * digits, borrowed until close; NULL if the port has a region of its own. A
 * secret: whoever has it can read and change all packets in the region.
 */
const char *glen_port_region_token(const struct glen_port *port);

/* "switch:port", borrowed until close. */
const char *glen_port_name(const struct glen_port *port);

/*
 * Publishes what the application did to TX ring i (head, cur), wakes glend if
 * it asked for it, and refreshes tail. Cheap when nothing changed. Returns 0,
 * -ENOTCONN when glend closed the port for good, or -EINVAL if i is off.
 */
int glen_txsync(struct glen_port *port, unsigned i);

/* The same for RX ring i: releases slots before head, shows new ones. */
int glen_rxsync(struct glen_port *port, unsigned i);

/* What glen_wait() waits for and reports. */
enum {
	GLEN_RX = 1, /* some RX ring holds packets (cur != tail) */
	GLEN_TX = 2, /* some TX ring has room (cur != tail) */
};

/*
 * Syncs all rings, then sleeps until one of events holds, timeout_ms passed
 * (-1: no limit), or a signal came. First spins for a while if that pays.
 * Returns the events that hold (0 on time-out), -EINTR, or -ENOTCONN; the first
 * call makes an epoll descriptor, which may fail: -EMFILE, -ENOMEM.
 */
int glen_wait(struct glen_port *port, unsigned events, int timeout_ms);

/*
 * As glen_wait(), but for ring pair i only, and syncing only the directions
 * that events names; threads may wait for different rings. -EINVAL if i is off.
 */
int glen_wait_ring(struct glen_port *port, unsigned i, unsigned events,
		   int timeout_ms);

/*
 * A descriptor to poll for POLLIN, owned by the port, meaning "call
 * glen_arm() or a sync and look". Edges are only generated after glen_arm(). Do
 * not read from it. Returns it, or -EMFILE or -ENOMEM.
 */
int glen_port_fd(struct glen_port *port);

/*
 * For event loops: asks for a wake-up on events and looks once more. Returns
 * the events that hold already (then do not sleep), 0 if it is safe to sleep
 * on glen_port_fd(), -ENOTCONN, or what glen_port_fd() failed with.
 */
int glen_arm(struct glen_port *port, unsigned events);

/* A received or to-be-sent packet in contiguous memory. */
struct glen_packet {
	void *data;
	uint32_t len;
};

/*
 * Copies up to n packets into TX ring i and publishes them. A packet longer
 * than a buffer takes several slots (at most 64). Returns how many were
 * taken, from the front; fewer than n when the ring is full or the next one can
 * not be taken. For the first: -EMSGSIZE if it can never fit, -EINVAL if its
 * slot names a buffer that does not exist or i is off, -ENOTCONN.
 */
int glen_send(struct glen_port *port, unsigned i,
	      const struct glen_packet *packets, unsigned n);

/*
 * Points packets[] at up to n packets in RX ring i without copying. They stay
 * valid until glen_release(). A packet that spans slots is copied together
 * into memory of the port (so at most one such packet is returned per call,
 * as the last). Returns the number, 0 if there is none, -ENOTCONN, -ENOMEM (for
 * one that spans slots), or -EINVAL if i is off.
 */
int glen_recv(struct glen_port *port, unsigned i, struct glen_packet *packets,
	      unsigned n);

/* Gives back all packets that glen_recv() returned for ring i. */
void glen_release(struct glen_port *port, unsigned i);

/*
 * Asks glend for the port's counters. One control message, not for hot code.
 * Returns 0, -EAGAIN while the port reconnects, -ENOTCONN, -ETIMEDOUT, or
 * -EPROTO.
 */
int glen_port_stats(struct glen_port *port, struct glen_port_stats *stats);

/*
 * Makes n claims for the port, all or none; a port number of 0 is replaced by
 * the one chosen, from 49152 up. They end with glen_unclaim(), with the port,
 * or with the process. When glend dies they are made again as the port
 * reconnects; those that somebody else has by then are gone, see
 * glen_port_claims(). Control messages, not for hot code. With an embedded
 * switch, from its control thread only. Errors: -EADDRINUSE (error says who has
 * it), -ENOSPC, -EOPNOTSUPP (the switch has another module), -EINVAL, -ENOMEM,
 * -EAGAIN while the port reconnects, -ENOTCONN, -ETIMEDOUT (it may have been
 * made), -EPROTO.
 */
int glen_claim(struct glen_port *port, struct glen_claim *claims, unsigned n,
	       struct glen_error *error);

/* Ends n claims of the port, all or none up to 4096 of them. -ENOENT: it has
 * not got one of them; else as glen_claim(). */
int glen_unclaim(struct glen_port *port, const struct glen_claim *claims,
		 unsigned n, struct glen_error *error);

/* Claims that the port has now, as far as is known here. */
unsigned glen_port_claims(struct glen_port *port);

/* How often the port had to reconnect to a new glend. */
unsigned glen_port_reconnects(const struct glen_port *port);

/* Why calls return -ENOTCONN: a sentence, "" while all is well. */
const char *glen_port_error(const struct glen_port *port);

/* The socket that port_open uses when none is given (static buffer). */
const char *glen_default_socket(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
