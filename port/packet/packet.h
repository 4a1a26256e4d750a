/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h - a port that is an interface of the host, through AF_PACKET. */
#ifndef PORT_PACKET_PACKET_H
#define PORT_PACKET_PACKET_H
/*
 * Theory of operation
 *
 * For interfaces where XDP is not to be had. What arrives at the interface goes
 * into the switch and what the switch sends leaves through it:
 *
 *   wire --> interface --> packet socket's ring --> batch      ingress
 *                   \--> tc: our program --x host's stack
 *   wire <-- interface <-- qdisc <-- sendmmsg() <-- batch      egress
 *
 * Packets carry a virtio_net_hdr both ways: a frame longer than the MTU is TCP
 * or UDP data still to be cut (from GRO, or from a guest), and checksums may
 * still be missing; the kernel does that work on the way out, or the NIC.
 *
 * Ingress: TPACKET_V2. The kernel copies each packet into a slot of a ring that
 * is mapped here, and a batch points into the slots until rx_done() gives them
 * back: no system call and no copy of ours. Of a packet that is longer than a
 * slot, the kernel also queues the whole to the socket (TP_STATUS_COPY), in the
 * order of the slots: that one is read into an arena. V3 would hold a packet
 * back until a block is full or a timer fires. A VLAN tag that the kernel or
 * the NIC took out of the frame is put back.
 *
 * Egress: sendmmsg() of up to PACKET_TX_MAX packets straight from the senders'
 * memory. A ring for this direction was measured and costs more: the kernel
 * still makes a socket buffer per packet, and we would copy first.
 *
 * queues=N: N sockets in a fanout group, the kernel spreads flows over them.
 *
 * The host's stack also sees what a packet socket sees. Unless exclusive=false,
 * a program on the way in (port/netdev.h) drops it for the stack once the port
 * is in its switch (start()), but what carries netdev_mark(), which is what the
 * host side of the interface injects (port/tap/host.c); the sockets' filter
 * leaves that, and what the host sends itself, out.
 *
 * Nothing of all this outlives its descriptors, on kernels with tcx: socket,
 * ring, promiscuous mode, program. LRO, whose packets cannot be cut again, is
 * turned off through netdev_setting_change().
 *
 * What the kernel dropped because a ring was full is read about once a second
 * and counted as in_kernel_full.
 *
 * Threads: as in core/port.h. Several workers send on one socket; the kernel
 * takes care of that.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/port.h"
#include "core/vnet_hdr.h"
#include "port/netdev.h"

extern const struct port_ops packet_port_ops;
extern const struct port_hot packet_hot;

enum {
	PACKET_QUEUES_MAX = PORT_RINGS_MAX,
	/* Longest frame: an IP packet, the Ethernet header and two tags. */
	PACKET_FRAME_MAX = 65535 + 14 + 8,
	PACKET_SLOT_MIN = 2048,
	PACKET_SLOT_MAX = 16384,
	/* What the kernel puts before a frame in its slot, at most. */
	PACKET_SLOT_HEAD = 128,
	PACKET_RING_SIZE = 4 << 20, /* at most, per queue */
	PACKET_SLOTS = 1024,	    /* at most */
	/* A whole long packet, its vnet header and room for a tag before. */
	PACKET_READ_SIZE = VNET_HDR_LEN + PACKET_FRAME_MAX + 1,
	PACKET_HEADROOM = 64,
	PACKET_ARENA_SIZE = 512 << 10,
	PACKET_TX_MAX = 64,
	PACKET_SOCKET_BYTES = 8 << 20, /* socket buffer, each direction */
};

/* One socket: an ingress and an egress ring. */
struct packet_queue {
	/* const while open */
	int fd;
	uint32_t slot_size;
	uint32_t slots_per_block, block_size;
	uint32_t n_slots;
	uint8_t *ring;
	uint8_t *arena; /* PACKET_ARENA_SIZE bytes */
	struct port *port;
	/* the ingress ring's worker */
	_Alignas(64) uint32_t head; /* next slot to look at */
	uint32_t done;		    /* first slot not given back */
};

struct packet {
	struct packet_queue queues[PACKET_QUEUES_MAX];
	unsigned n_queues;
	struct netdev dev;
	struct netdev_prog drop; /* keeps packets from the host's stack */
	bool exclusive, host, promisc, qdisc;
	_Atomic bool link;
};

/* Slot i of a queue. */
static inline uint8_t *packet_slot(const struct packet_queue *q, uint32_t i)
{
	return q->ring + (size_t)(i / q->slots_per_block) * q->block_size +
	       (size_t)(i % q->slots_per_block) * q->slot_size;
}

/*
 * In the interface's namespace: opens the sockets with their rings, which stay
 * empty before packet_sockets_start(). On error nothing is left.
 */
int packet_sockets_open(struct packet *p, struct glen_error *error);
/* What arrives at the interface is received from now on. */
int packet_sockets_start(struct packet *p, struct glen_error *error);
void packet_sockets_close(struct packet *p);

/* Packets the kernel dropped on a queue since the last call. */
unsigned packet_socket_drops(struct packet_queue *q);

#endif
