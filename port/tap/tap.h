/* SPDX-License-Identifier: BSD-2-Clause */
/* tap.h - a port whose other side is a network interface of the kernel. */
#ifndef PORT_TAP_TAP_H
#define PORT_TAP_TAP_H
/*
 * Theory of operation
 *
 * A TAP is an Ethernet interface whose wire is a descriptor: what the host's
 * stack sends out of the interface is read from it, and what is written to it
 * the stack receives. Each queue (1..16) is a descriptor of its own and gives
 * the port one ingress and one egress ring:
 *
 *   stack --interface--> read()  --> arena --> batch    ingress
 *   stack <--interface-- writev() <-- header + segments egress
 *
 * Packets carry a virtio_net_hdr, so a checksum that is still to be filled in
 * and TCP data of up to 64 KiB cross as they are; only towards ports that do
 * not take them does the core do that work.
 *
 * Ingress. The kernel hands out one packet per system call. Packets are read
 * one behind the other into the queue's arena, which is used from its start
 * again in the next batch: small packets make large batches, and large ones
 * (the batch ends when the arena has no room for another 64 KiB) do not thrash
 * the cache between the read and the write that follows it.
 *
 * Egress. One writev() per packet straight from the sender's memory. The
 * kernel runs its receive path within that call. A queue's descriptor may be
 * used by any number of threads, so there is no lock here. The queue on the
 * kernel's side has no limit worth mentioning: a slow receiver drops in its
 * socket, not in glen.
 *
 * Namespaces. The interface is made where /dev/net/tun is opened, see
 * port/netns.h.
 *
 * Life. The interface goes away with its descriptors, unless persist was
 * asked for. When somebody deletes it, or its namespace's name, the port
 * breaks and says so. A new glend makes it again, with the same MAC.
 *
 * Threads: as in core/port.h. The hot side reads fds and sizes that never
 * change while the port is open.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/port.h"
#include "core/vnet_hdr.h"
#include "port/netns.h"

extern const struct port_ops tap_port_ops;
extern const struct port_ops host_port_ops; /* host.c */
extern const struct port_hot tap_hot;

enum {
	TAP_VNET_LEN = VNET_HDR_LEN,
	TAP_QUEUES_MAX = PORT_RINGS_MAX,
	TAP_ADDRS_MAX = 16,
	/* Longest frame: an IP packet, the Ethernet header and two tags. */
	TAP_FRAME_MAX = 65535 + 14 + 8,
	/* Room for one read; a packet that fills it was cut off. */
	TAP_READ_SIZE = TAP_VNET_LEN + TAP_FRAME_MAX + 1,
	/* Packets start at multiples of 64 with the vnet header before them. */
	TAP_HEADROOM = 64,
	TAP_ARENA_SIZE = 512 << 10,
	TAP_RX_MAX = 64,	/* packets per turn: each is a system call */
	TAP_ARENA_SPARE = 4096, /* mapped behind it, for overreads */
};

/* One descriptor: an ingress and an egress ring. */
struct tap_queue {
	int fd;
	uint8_t *arena; /* TAP_ARENA_SIZE bytes, the ingress ring's */
	struct port *port;
	char pad[40]; /* queues of different workers share no line */
};

/* An address of the interface. */
struct tap_addr {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t prefix_len;
	uint8_t bytes[16];
};

/* What the interface is to look like. */
struct tap_look {
	unsigned mtu; /* 0: as the kernel made it */
	uint8_t mac[6];
	bool up;
	unsigned n_addrs;
	struct tap_addr addrs[TAP_ADDRS_MAX];
};

struct tap {
	struct tap_queue queues[TAP_QUEUES_MAX];
	unsigned n_queues;
	char ifname[IFNAMSIZ];
	struct netns netns;
	bool persist;
	bool offloads;
	unsigned offload_flags; /* TUN_F_* the kernel accepted */
	unsigned default_mtu;	/* as the kernel made it */
	struct tap_look look;	/* in force */
	_Atomic bool link;
};

/*
 * Parts of open() that host.c uses too. tap_queue_open(), in the interface's
 * namespace, makes t->ifname or its next queue, and returns the descriptor or
 * -errno. A pattern like tap%d becomes the name that the kernel chose.
 */
int tap_queue_open(struct tap *t, unsigned i, bool resume,
		   struct glen_error *error);
void tap_queues_close(struct tap *t);
/* Tells the kernel what may come unfinished; sets offload_flags. */
int tap_offloads_set(struct tap *t, struct glen_error *error);
/* Arenas of all queues, whose descriptors are set to -1; 0 or -ENOMEM. */
int tap_rings_init(struct port *port, struct tap *t);
void tap_rings_fini(struct tap *t);
void tap_port_fill(struct port *port, struct tap *t);
void tap_link_refresh(struct tap *t);

/* "10.0.0.1/24", "fd00::1/64" or the bare address. -EINVAL with a sentence. */
int addr_parse(const char *text, struct tap_addr *addr,
	       struct glen_error *error);

/*
 * Makes the interface, in the namespace of the calling thread, look like to;
 * from (NULL: a new interface) is how it looks now: only differences are
 * applied. A failure names what could not be set. default_mtu is what
 * to->mtu 0 means.
 */
int look_apply(const char *ifname, const struct tap_look *from,
	       const struct tap_look *to, unsigned default_mtu,
	       struct glen_error *error);

/* The interface's MTU in the calling thread's namespace, 0 if unknown. */
unsigned look_mtu(const char *ifname);

#endif
