/* SPDX-License-Identifier: BSD-2-Clause */
/* netmap.h - ports of programs that open /dev/netmap: windows, bells, rings. */
#ifndef PORT_SHM_NETMAP_H
#define PORT_SHM_NETMAP_H
/*
 * Theory of operation
 *
 * What a program that opens /dev/netmap gets differs from a port of libglen
 * (shm.h) in everything but its rings: it is opened several times, its rings
 * and those of the host stack have one window (lib/nm_window.h), a pipe has a
 * window and no port of a switch at all. So there are three objects, made by
 * ctl/netmap and used by this driver:
 *
 *   window  rings and CSB lines: a memfd, and a member of a region
 *   bell    the descriptors of the opens, by which clients kick and are called
 *   port    some of a window's rings on a switch, and a bell
 *
 * Each open is a connected pair of sockets; H is the client's end (and may be
 * in many processes), P is ours. A byte that the client sends is a kick, one
 * that we send a call, unless the client sleeps on a futex (lib/nm_window.h). A
 * port's in_fd is an epoll descriptor that has all P's; a byte is an edge for
 * the worker that watches it, read or not. Epoll drops an edge if it finds
 * nothing to read when it hands it out, and what came may have been eaten by
 * then (two ports, rings of a NIC and of the host, may wait for the same bell);
 * so one thing is there always, an eventfd that nobody reads.
 *
 * A client can send descriptors with its bytes: they go to the bell's bin.
 *
 * Threads: control, but for what rings and is rung, where the bell's mutex
 * guards the list of descriptors.
 */
#include <pthread.h>

#include "core/port.h"
#include "core/region.h"
#include "lib/nm_window.h"
#include "port/shm/shm.h"

struct discard;
struct engine;

struct netmap_window {
	struct nm_window layout;
	int fd;
	uint8_t *base;
	struct region_member member;
	uint32_t offset_max;   /* of a packet in its buffer; 0: none */
	uint32_t offset_first; /* that slots begin with */
	uint32_t offset_gap;   /* bytes at the end that stay as they are */
	uint64_t offset_mask;  /* bits of slot.ptr that say so */
	/* Where rings go on when a port is made of them once more; of NIC rings
	 * and of host rings. Written by the port's workers. */
	struct shm_saved_ring saved[2][PORT_RINGS_MAX];
};

/* What a window is made of. */
struct netmap_window_config {
	struct engine *engine;
	const struct nm_window *layout;
	struct region_wish region; /* makes it if it does not exist; the token
				    * is not asked for */
	const char *name;	   /* for show; outlives the window */
};

/* -ENOMEM, -ENOSPC (no buffers, or no place), -EMFILE, -EINVAL. */
int netmap_window_create(const struct netmap_window_config *config,
			 struct netmap_window **window,
			 struct glen_error *error);
/* Of a fresh one: packets begin where slots say, at most max bytes behind the
 * start of their buffers; at first. gap: bytes at buffers' ends that are never
 * written. mask: the bits of slot.ptr that say so. */
void netmap_window_offsets(struct netmap_window *w, uint32_t max,
			   uint32_t first, uint32_t gap, uint64_t mask);
/* No port has rings of it any more. NULL is fine. */
void netmap_window_destroy(struct netmap_window *w);

/* Bytes from the start of the region's addresses to the window's. */
static inline uint64_t netmap_window_place(const struct netmap_window *w)
{
	return w->member.place;
}

struct netmap_bell {
	pthread_mutex_t lock;
	unsigned n;		/* with the lock */
	int fd[NMW_OPENS];	/* P's, borrowed; with the lock */
	uint8_t end[NMW_OPENS]; /* of a pipe, that each has open */
	int full_fd;		/* eventfd, readable always */
	struct discard *bin;
};

int netmap_bell_init(struct netmap_bell *bell);
void netmap_bell_fini(struct netmap_bell *bell);
/* Any thread: wakes all clients, or those of an end of a pipe. */
void netmap_bell_call(struct netmap_bell *bell);
void netmap_bell_call_end(struct netmap_bell *bell, unsigned end);

/* struct port_args.made of a port of driver netmap. */
struct netmap_rings {
	struct netmap_window *window;
	struct netmap_bell *bell;
	/* The first line of each, and how many there are. */
	unsigned tx_line, n_tx, rx_line, n_rx;
	uint32_t tx_slots, rx_slots;
	uint32_t vnet_hdr_len;
	bool swap;
	bool asks; /* TX slots say what the switch shall do: NS_NO_LEARN, and
		    * the destination in NS_PORT_MASK */
	struct shm_saved_ring *saved; /* the window's, of these rings */
	/* The port is closed, for whatever reason: window and bell are not used
	 * by it any more. */
	void (*closed)(void *arg, struct port *port);
	/* Adds members to the port's object. */
	void (*show)(void *arg, json_t *object);
	void *arg;
};

extern const struct port_ops netmap_port_ops;

/*
 * What a pump is made of (port/shm/pump.h), as struct port_args.made of a port
 * of driver netmap-pump: rings.window is a pipe's, or outs is the port whose RX
 * rings are looked at. No ring of rings itself is used. It watches what is in
 * the bell already.
 */
struct netmap_pump_config {
	struct netmap_rings rings;
	struct port *outs; /* NULL: a pipe */
};

extern const struct port_ops netmap_pump_ops;

/* Nobody watches what it is there for. */
bool netmap_pump_is_idle(const struct port *pump);

/* An open comes or goes: to the bell, and to its n ports. -errno. */
int netmap_bell_add(struct netmap_bell *bell, struct port *const *ports,
		    unsigned n, int fd, unsigned end);
void netmap_bell_del(struct netmap_bell *bell, struct port *const *ports,
		     unsigned n, int fd);

/*
 * A monitor's port sees what passes some rings of another one, or of an end of
 * a pipe (parent: its pump), as far as it has room: ring i of either kind comes
 * to ring i of the monitor, modulo their number. Until either is closed. zcopy:
 * with its buffers, for which both must be in one region. -ENOMEM.
 */
int netmap_watch(struct port *monitor, struct port *parent, unsigned end,
		 const struct nmw_bind *rings, bool zcopy);

/* 0, 10 or 12; for packets from now on. */
void netmap_port_hdr_len(struct port *port, uint32_t len);

#endif
