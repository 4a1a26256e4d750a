/* SPDX-License-Identifier: BSD-2-Clause */
/* xdp.h - a port that takes packets from a network interface by AF_XDP. */
#ifndef PORT_XDP_XDP_H
#define PORT_XDP_XDP_H
/*
 * Theory of operation
 *
 * A small program of ours (XDP) sees each packet that an interface receives,
 * before the host's stack does: it hands the packet to the AF_XDP socket of
 * the queue it came on, or, if the port has a filter that does not match, lets
 * it pass to the stack. What the switch sends leaves through the same socket.
 *
 *   interface -> program --> fill ring -> frame -> rx ring --> batch   ingress
 *                       \-> host's stack       (frames back: fill ring)
 *   interface <- frame <- tx ring <-- copy                             egress
 *            \-> completion ring: frames that may be used again
 *
 *   socket.c   sockets: memory, the four rings, statistics
 *   prog.c     the program: assembled, loaded, linked to the interface
 *   filter.c   libpcap's filter expressions, translated for the program
 *   link.c     what the kernel says about the interface (route netlink)
 *   attach.c   attached or waiting: the state machine
 *   open.c     the port: options, what users see
 *   rx_tx.c    HOT: packets from and to the rings
 *
 * Memory. Each queue has a socket with frames of its own: xdp_sock.mem, half
 * of it for packets that come in, the other half for those that go out. Only
 * this process and the kernel see it, so what is read there is not hostile.
 * Frames are 2 or 4 KiB, whatever holds the interface's MTU behind the 256
 * bytes of headroom that XDP wants; longer packets take several frames, if the
 * kernel (6.6) and the driver can.
 *
 * A port in a region (region=NAME) has its frames there: they are buffers of
 * the region, which each socket takes as a member of its own and marks as the
 * driver's (core/region.h). Then mem is the region's memory, frames are any of
 * its buffers, and what came in can leave with its frame, to receivers that
 * take packets behind XDP's headroom (offsets=true), as can what goes out.
 *
 * Ingress. Segments of a batch point into the frames, which rx_done() puts
 * back into the fill ring. The kernel wakes the socket's waiters for each
 * batch of packets, so arming needs nothing but another look.
 *
 * Egress. Any worker: frames and room are reserved under the lease's lock,
 * filled with nothing held, published in order (core/lease.h). In copy mode
 * the kernel sends within the wake-up call, some 30 packets at a time and not
 * if the interface is busy: what it left is asked for again by the control
 * thread's timer.
 *
 * Checksums. A descriptor says nothing of checksums. What a process of this
 * host sends into a veth, or into any interface that is not a card, mostly
 * carries only the sum over its pseudo header, since the interface promised to
 * do the rest. rx() computes that sum, and where the checksum field holds just
 * that, marks the packet NEEDS_CSUM. A complete checksum that happens to look
 * so is computed anew, and stays what it is. Egress: tx() completes them in
 * the frame.
 *
 * VLAN tags. Cards that take tags out of frames are told not to; of a veth,
 * whose other end may leave the tag outside of the frame, the program asks for
 * the tag (kernel 6.8) and puts it in.
 *
 * The host's side (host=true, port/tap/host.c). What it injects on the
 * interface enters the stack behind the driver, past a native program, and in
 * a way that a generic one lets pass. What glend sends by AF_XDP passes no
 * program of tc, so the one that catches what the host sends does not see it.
 *
 * Life. The program is held by a bpf_link, promiscuous mode by a socket: both
 * go when glend does, however it ends. A port whose interface is missing or
 * down waits for it, and attaches when it comes.
 *
 * What workers need of a queue is a struct xdp_sock behind queue->sock, RCU;
 * NULL: not attached. Its ingress half belongs to the ring's worker, in its
 * egress half the lease's lock guards what is not const.
 *
 * Threads: as in core/port.h.
 */
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/lease.h"
#include "core/loop.h"
#include "core/port.h"
#include "core/region.h"
#include "port/netdev.h"

extern ISA_DECLARE(const struct port_hot, xdp_hot);
extern const struct port_ops xdp_port_ops;

/* Not in the headers of Debian 12. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

enum {
	XDP_QUEUES_MAX = PORT_RINGS_MAX,
	XDP_RING_DEFAULT = 2048, /* frames each way */
	XDP_RING_MIN = 256,
	XDP_RING_MAX = 16384,
	XDP_FRAME_SMALL = 2048,
	XDP_FRAME_LARGE = 4096, /* no more than a page */
	XDP_HEADROOM = 256,	/* of received frames */
	XDP_SPARE = 4096,	/* mapped behind the frames, for overreads */
	/* Ethernet header and two tags, beyond the MTU. */
	XDP_FRAME_EXTRA = 14 + 8,
	XDP_TX_FRAMES_MAX = 18, /* of one packet: skb fragments and head */
	XDP_WHY_SIZE = 300,
};

/* A ring that is shared with the kernel. */
struct xdp_ring {
	uint32_t *producer;
	uint32_t *consumer;
	uint32_t *flags;
	void *entries; /* struct xdp_desc, or uint64_t addresses */
	uint32_t mask;
	void *map;
	size_t map_size;
};

/* An AF_XDP socket bound to a queue. What is not said otherwise is const. */
struct xdp_sock {
	int fd;
	uint8_t *mem;	 /* 2 * ring_size frames: first those of ingress; or the
		       * region's buffers */
	size_t mem_size; /* 0: the region's */
	struct region_member member;
	bool swap;	    /* tx() may take buffers */
	uint32_t ring_size; /* frames each way, and entries of each ring */
	uint32_t frame_size;
	uint8_t frame_shift;
	bool zero_copy;
	bool multi; /* packets may take several frames */
	bool fill_csum;
	bool busy_poll;
	_Atomic uint32_t max_len; /* longest packet that may be sent, without
				   * tags; control */
	struct xdp_ring rx, fill, tx, done;
	_Atomic bool tx_left;	  /* the kernel left packets in the tx ring */
	struct loop_timer *timer; /* wakes the kernel again; set by workers */

	/* Ingress: the ring's worker. */
	_Alignas(64) uint32_t rx_next; /* entry to take */
	uint32_t fill_next;
	uint32_t n_held;
	uint64_t held[BATCH_MAX];      /* frames between rx and rx_done */
	struct xdp_statistics counted; /* control: in the drop counters */

	/* Egress: guarded by the lock of lease. */
	_Alignas(64) struct lease_queue lease;
	uint32_t done_next;
	uint32_t n_free;
	uint32_t free[]; /* ring_size of them: frames, a stack */
};

/* A queue of the interface: an ingress and an egress ring. */
struct xdp_queue {
	_Alignas(64) _Atomic(struct xdp_sock *) sock; /* control; RCU */
	struct port *port;			      /* const */
	_Atomic bool *link;			      /* const: of the port */
};

enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_GENERIC };
enum xdp_zc { XDP_ZC_AUTO, XDP_ZC_ON, XDP_ZC_OFF };
enum xdp_csum { XDP_CSUM_AUTO, XDP_CSUM_FILL, XDP_CSUM_KEEP };

/* What the user asked for; const. */
struct xdp_config {
	char ifname[IFNAMSIZ];
	unsigned queues; /* 0: as many as the interface has */
	enum xdp_mode mode;
	enum xdp_zc zero_copy;
	enum xdp_csum csum;
	unsigned busy_poll; /* packets per turn; 0: off */
	unsigned ring_size;
	bool promisc;
	bool host;    /* the host's side is a port, too */
	char *filter; /* NULL: everything */
	char *region; /* NULL: memory of its own */
	char *region_token;
	uint32_t region_bufs;
	bool swap; /* what members send is not copied */
};

/* What the kernel says of an interface. */
struct xdp_link {
	unsigned ifindex;
	char ifname[IFNAMSIZ];
	unsigned flags; /* IFF_* */
	unsigned mtu;
	uint8_t mac[6];
	char kind[16];	     /* "veth", ...; "": a card, or unknown */
	uint32_t xdp_prog;   /* id of the program attached; 0: none */
	char driver[32];     /* as in ethtool -i */
	bool card;	     /* it is a device on a bus */
	unsigned n_rx, n_tx; /* queues in use */
};

/* The program and its link to an interface. */
struct xdp_prog {
	int link_fd, prog_fd, map_fd; /* -1: none */
	bool generic;
	bool tags;  /* asks for VLAN tags that are outside of the frame */
	bool multi; /* takes packets of several frames */
};

/* What to attach and how; for prog.c and socket.c. */
struct xdp_plan {
	const struct xdp_config *options;
	struct xdp_link link;
	unsigned n_queues;
	uint32_t frame_size;
	bool multi;
	bool fill_csum;
	struct region *region; /* that frames come from, or NULL */
	const struct port *port;
};

/* What args->saved holds. */
struct xdp_saved {
	uint8_t n_queues; /* 0: nothing is saved */
	uint8_t others;	  /* its region had other members */
};

struct xdp {
	struct port *port;
	struct xdp_config options;
	struct netns netns;
	struct xdp_queue queues[XDP_QUEUES_MAX];
	unsigned n_queues; /* const after open */
	_Atomic bool up;   /* read by workers: packets can be sent */

	/* Control thread. */
	int look_fd; /* route netlink, in the namespace: requests, ioctls */
	struct loop_source watch; /* the same: what happens to interfaces */
	struct loop_timer timer;  /* see on_timer() in attach.c */
	struct netdev dev;	  /* while attached: settings to put back */
	int promisc_fd;
	bool attached;
	struct xdp_prog prog;
	struct xdp_link link; /* as of the last look; valid while attached */
	uint32_t frame_size;
	bool multi, zero_copy, fill_csum;
	unsigned retry_s, retry_in_s; /* while waiting: pauses between tries */
	struct region_member member;  /* keeps the region, if there is one */
	int64_t region_since_s;	 /* waits for who has the region's memory; 0: it
				 * does not */
	struct xdp_saved *saved; /* NULL: none */
	char why[XDP_WHY_SIZE];	 /* why it waits; "": it does not */
	char note[XDP_WHY_SIZE]; /* why the mode is not native */
};

/*
 * link.c, all on the control thread. fd is a route netlink socket of the
 * interface's namespace.
 */
int xdp_link_socket(unsigned groups);
/* By number, or by name if ifindex is 0. 0, -ENODEV, or what else failed. */
int xdp_link_get(int fd, unsigned ifindex, const char *ifname,
		 struct xdp_link *link);
/* Reads and forgets all notifications; true if there was one. */
bool xdp_link_drain(int fd);

/*
 * filter.c: translates a filter expression (pcap-filter(7)) into instructions
 * that follow a prologue and are followed by code for a match and for none.
 * Register use as in prog.h.
 */
struct bpf_code;
int xdp_filter_check(const char *expression, struct glen_error *error);
/* Of a checked expression: appends it; see struct bpf_code. */
int xdp_filter_add(const char *expression, struct bpf_code *code,
		   struct glen_error *error);

/*
 * prog.c: loads the program and its map of sockets. In the interface's
 * namespace. native: for native mode, else generic. -errno with error filled.
 */
int xdp_prog_load(const struct xdp_plan *plan, bool native,
		  struct xdp_prog *prog, struct glen_error *error);
/* Attaches the program. */
int xdp_prog_link(const struct xdp_plan *plan, bool native,
		  struct xdp_prog *prog, struct glen_error *error);
int xdp_prog_set_socket(const struct xdp_prog *prog, unsigned queue, int fd);
/* False if somebody took the program off the interface. */
bool xdp_prog_attached(const struct xdp_prog *prog, unsigned ifindex);
/* A program's name, XDP_PROG_NAME_SIZE bytes. */
enum { XDP_PROG_NAME_SIZE = 16 };
int xdp_prog_name(uint32_t id, char *name);
void xdp_prog_init(struct xdp_prog *prog);
void xdp_prog_close(struct xdp_prog *prog);

/*
 * socket.c: a socket bound to a queue of the interface. In its namespace.
 * tries: how often to try a queue that is taken, 20 ms apart.
 */
int xdp_sock_open(const struct xdp_plan *plan, unsigned queue, bool native,
		  unsigned tries, struct xdp_sock **sock,
		  struct glen_error *error);
void xdp_sock_close(struct xdp_sock *sock);
int xdp_sock_statistics(const struct xdp_sock *sock,
			struct xdp_statistics *stats);

/* Any thread: the kernel is to send what is in the tx ring. Returns how many
 * packets it dropped while it did. */
unsigned xdp_tx_wake(struct xdp_sock *sock);
/* Packets that count as delivered, whoever sent them, were dropped. */
static inline void xdp_count_lost(struct counters *c, uint64_t lost)
{
	/* Over all workers no more are lost than were delivered. */
	count_add(&c->packets, -lost);
	count_add(&c->drops[DROP_OUT_NO_ROOM], lost);
}

/* Worker: the kernel is to fill the rx ring. */
void xdp_rx_wake(struct xdp_sock *sock);

/*
 * attach.c. xdp_attach_open() is called by open(), with n_queues 0: attaches,
 * and sets n_queues. A port that may wait for its interface does, and says why.
 */
int xdp_attach_open(struct xdp *x, bool may_wait, struct glen_error *error);
void xdp_attach_close(struct xdp *x);
/* Something may have changed at the interface: attaches or detaches. */
void xdp_look(struct xdp *x);
void xdp_tick(struct port *port);

#endif
