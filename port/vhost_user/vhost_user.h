/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_user.h - the vhost-user driver: a guest's virtqueues as a port. */
#ifndef PORT_VHOST_USER_VHOST_USER_H
#define PORT_VHOST_USER_VHOST_USER_H
/*
 * Theory of operation
 *
 * A virtual machine monitor (the front end: QEMU, cloud-hypervisor, DPDK's
 * virtio-user) connects over a Unix socket, sends descriptors of the guest's
 * memory and says where in it the virtqueues lie; from then on packets move
 * without it. glend is the back end, in either socket role: it listens, or it
 * connects and keeps trying.
 *
 *   session.c, message.c    the socket: one state machine per connection
 *   memory.c                the guest's memory: mapped, translated, SIGBUS
 *   queue.c                 starting, changing and stopping virtqueues
 *   resume.c                where a packed one goes on after glend has died
 *   rx_tx.c split.h packed.h    HOT: packets from and to virtqueues
 *   open.c, show.c          the port: options, sockets, what users see
 *
 * Words. Queue pair i has two virtqueues: number 2i receives (the guest's; our
 * egress ring i), number 2i+1 transmits (our ingress ring i). A "kick" is the
 * guest's signal to us, a "call" ours to the guest; both are eventfds.
 *
 * What workers need of a virtqueue is an immutable struct vhost_ring behind
 * queue->ring, RCU; NULL: the queue does not run. Every change (addresses,
 * memory, call descriptor, dirty log) makes a new one, publishes it, waits for
 * the workers and frees the old one, so a change loses no packet. The indexes
 * lie in struct vhost_queue and outlive such changes; while no ring is
 * published (and after rcu_wait()) they belong to the control thread.
 *
 * Everything in guest memory is hostile input: each descriptor is loaded once
 * and the copy is checked and used; addresses are translated by a range check
 * against the region that was hit last. A virtqueue that breaks the rules is
 * stopped (queue->failed, with a reason) until the front end sets it up anew,
 * which a reset of the guest's driver does; that costs no other queue anything.
 * Memory that turns out not to be there (SIGBUS) and messages that break the
 * protocol end the connection. The port stays in all cases.
 *
 * One copy: segments of a batch point into the sending guest's memory, and
 * tx() copies from there into the receiving guest's. A region is mapped with
 * VHOST_SPARE readable bytes behind it, so overreads are harmless.
 *
 * Order. Descriptor chains are given back in the order in which they became
 * available, always; so whatever was taken and not given back when glend died
 * is simply taken again: a split virtqueue goes on at its used index, a packed
 * one at what the state file (struct vhost_saved) says.
 *
 * Of a packed one nothing in the ring says how far we are, and a batch is given
 * back by many stores. The state file is ahead of them:
 *
 *   1. it says {used: where the batch begins, avail: where it ends};
 *   2. the used descriptors are written, all but the first;
 *   3. then the first, which shows the guest all of them at once;
 *   4. the state file says {used and avail: where the batch ended}.
 *
 * So between 1 and 4 the first descriptor tells whether the guest has the
 * batch, and until then nobody but us touches any of it: resume.c finishes it.
 * For that, nothing that has not been shown is marked used outside of a batch.
 *
 * Threads: as in core/port.h. Members say who writes them.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/lease.h"
#include "core/port.h"

enum {
	VHOST_PAIRS_MAX = PORT_RINGS_MAX,
	VHOST_QUEUES_MAX = 2 * VHOST_PAIRS_MAX,
	VHOST_RING_MAX = 32768, /* descriptors of a virtqueue */
	VHOST_REGIONS_MAX = 256,
	VHOST_SPARE = 4096, /* readable bytes behind each region */
	VHOST_HDR_LEN = 12, /* virtio_net_hdr with num_buffers; 10 without */
};

/* Not in the headers of Debian 12. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif

/* A piece of guest memory, mapped. */
struct vhost_region {
	uint64_t gpa;  /* guest-physical address of its first byte */
	uint64_t size; /* never 0; gpa + size - 1 does not wrap */
	uint64_t uva;  /* the front end's address of it (ring addresses) */
	uint8_t *base; /* ours */
};

/* A guest's memory; immutable, in ascending order of gpa, no overlaps. */
struct vhost_mem {
	uint32_t n; /* never 0 */
	struct vhost_region region[];
};

/* The dirty log of a live migration: bit n stands for 4 KiB page n. */
struct vhost_log {
	uint8_t *bits;
	uint64_t size; /* bytes; what lies beyond is not logged */
};

/*
 * Virtqueues as in <linux/virtio_ring.h>, but descriptors are two words, each
 * of which is loaded once. Little endian, as are all machines that glen is for.
 */

/* Split (virtio 1.2, 2.7). All of it is shared. */
struct split_desc {
	uint64_t addr;
	uint64_t rest; /* len:32 | flags:16 | next:16 */
};

struct split_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[]; /* behind it: used_event */
};

struct split_used_elem {
	uint32_t id;
	uint32_t len;
};

struct split_used {
	uint16_t flags;
	uint16_t idx;
	struct split_used_elem ring[]; /* behind it: avail_event, 16 bits */
};

/* Packed (virtio 1.2, 2.8). */
struct packed_desc {
	uint64_t addr;
	uint64_t rest; /* len:32 | id:16 | flags:16 */
};

struct packed_event {
	uint16_t off_wrap;
	uint16_t flags;
};

/* How a virtqueue is set up; immutable while published. */
struct vhost_ring {
	bool packed;
	bool event_idx; /* VIRTIO_RING_F_EVENT_IDX */
	bool indirect;
	bool mergeable;
	bool no_kick;	 /* no kick descriptor: never armed */
	uint8_t hdr_len; /* 10 or 12 */
	uint16_t size;	 /* descriptors; a power of 2 if split */
	uint16_t mask;	 /* split: size - 1 */
	/* Split, or packed, all within one region each. */
	struct split_desc *desc;
	struct split_avail *avail;
	struct split_used *used;
	struct packed_desc *pdesc;
	struct packed_event *driver_event; /* the guest writes */
	struct packed_event *device_event; /* we write */
	/* OFFLOAD_CAP_*: what the guest may send, and what it takes. */
	unsigned sends, takes;
	int call_fd; /* an eventfd, the front end's; -1: none */
	const struct vhost_mem *mem;
	const struct vhost_log *log; /* NULL: nothing is logged */
	/* If log: guest-physical address of what we write of the ring itself
	 * (split: used ring; packed: descriptors); UINT64_MAX: not logged. */
	uint64_t log_gpa;
	uint64_t log_event_gpa; /* packed: of device_event; as log_gpa */
};

/* What the state file keeps of a virtqueue; written in place by its worker, as
 * one 64-bit word. See "Order". */
struct vhost_saved_queue {
	uint16_t avail; /* packed: where the batch ends that is given back; as
			 * used when none is */
	uint16_t used;	/* next to give back */
	uint8_t avail_wrap, used_wrap; /* packed: the wrap counters */
	uint8_t valid;
	uint8_t unused;
};

struct vhost_saved {
	/* Of the fd of the guest's first memory region: the same guest? */
	uint64_t dev, ino;
	uint8_t packed;
	uint8_t unused[7];
	struct vhost_saved_queue queue[VHOST_QUEUES_MAX];
};

/* A descriptor chain taken and not yet given back. */
struct vhost_taken {
	uint16_t id;	/* split: head; packed: buffer id */
	uint16_t descs; /* packed: ring entries of it */
};

/* A chain of a packed egress ring that somebody else will give back. */
struct vhost_later {
	uint32_t len; /* written to it */
	struct vhost_taken taken;
};

/* Signals that could not be given, for want of the kernel's memory. */
enum { VHOST_OWED_CALL = 1, VHOST_OWED_KICK = 2, VHOST_OWED_ERR = 4 };

struct vhost_port;

/*
 * One virtqueue. An ingress ring's belongs to its worker; of an egress ring
 * the lease's lock guards the indexes.
 */
struct vhost_queue {
	_Alignas(64) _Atomic(struct vhost_ring *) ring; /* control; RCU */
	_Atomic(const char *) failed; /* why it is stopped; NULL: it is not.
				       * Set by vhost_queue_fail() */
	struct vhost_port *vhost;     /* const */
	struct vhost_saved_queue *saved;
	uint16_t avail; /* next entry to take: split free-running; packed an
			 * index of the ring */
	uint16_t used;	/* next entry to give back, as the guest sees it */
	uint16_t seen;	/* split: avail->idx when we looked last */
	bool avail_wrap, used_wrap; /* packed; both begin true */
	uint16_t signalled;	    /* split: used when we called last */
	uint32_t region;	    /* of ring->mem, hit last; a hint */
	_Atomic uint32_t rarp; /* ingress: announce rarp_mac this many times */
	uint8_t rarp_mac[6];   /* control, while rarp is 0 */
	_Atomic uint8_t owed;  /* VHOST_OWED_*: control gives them later. Set by
			       * vhost_queue_owe() */
	uint64_t n_kicks;      /* ingress worker: kicks that woke us */
	const struct vhost_ring *held; /* ingress: between rx and rx_done */
	union {
		struct { /* ingress */
			struct vhost_taken taken[BATCH_MAX];
			uint8_t rarp_frame[64]; /* the worker's */
		};
		struct {		      /* egress */
			struct lease_queue q; /* its lock guards the rest */
			/* Packed: ring->size of them, see packed.h; control
			 * allocates it. */
			struct vhost_later *later;
		};
	};
};

/*
 * Control, while no ring is published: the virtqueue goes on at these indexes
 * (at->avail and at->used are the same: nothing is under way). Keeps saved.
 */
static inline void vhost_queue_reset(struct vhost_queue *q, bool egress,
				     const struct vhost_saved_queue *at)
{
	q->avail = q->seen = at->avail;
	q->used = q->signalled = at->used;
	q->avail_wrap = at->avail_wrap;
	q->used_wrap = at->used_wrap;
	q->region = 0;
	q->held = NULL;
	atomic_store(&q->failed, NULL);
	if (!egress)
		return;
	memset(&q->q, 0, sizeof(q->q));
	q->q.reserved = q->q.published = at->used;
}

/*
 * Control, while no ring is published (and rcu_wait() has returned): where the
 * virtqueue stands. What was taken and not given back, because it failed, will
 * be taken again.
 */
static inline struct vhost_saved_queue vhost_queue_at(
	const struct vhost_queue *q)
{
	return (struct vhost_saved_queue){
		.avail = q->used,
		.used = q->used,
		.avail_wrap = q->used_wrap,
		.used_wrap = q->used_wrap,
		.valid = 1,
	};
}

/*
 * Worker: the virtqueue broke the rules; reason, a string literal, completes
 * "stopped: ". It is not touched any more, and the control thread is told.
 */
void vhost_queue_fail(struct vhost_queue *q, const char *reason);

/*
 * Any thread: doorbell_ring() could not signal something of the virtqueue,
 * VHOST_OWED_*. The control thread tries until it can: a guest that sleeps
 * would never look again.
 */
void vhost_queue_owe(struct vhost_queue *q, uint8_t what);

/* For vhost_at(): looks through all regions. */
uint8_t *vhost_search(const struct vhost_mem *mem, uint32_t *hint, uint64_t gpa,
		      uint64_t len);

/*
 * Any thread: where the len bytes (at least 1) at guest-physical address gpa
 * are mapped, or NULL if they do not all lie in one region. *hint is the
 * region to try first and the one that was hit.
 */
static inline uint8_t *vhost_at(const struct vhost_mem *mem, uint32_t *hint,
				uint64_t gpa, uint64_t len)
{
	const struct vhost_region *r = &mem->region[*hint];
	uint64_t off = gpa - r->gpa;

	if (__builtin_expect(off < r->size && len <= r->size - off, 1))
		return r->base + off;
	return vhost_search(mem, hint, gpa, len);
}

extern ISA_DECLARE(const struct port_hot, vhost_hot);
extern const struct port_ops vhost_port_ops;

#endif
