/* SPDX-License-Identifier: BSD-2-Clause */
/* shm.h - the shared-memory driver: a client's rings in netmap's layout. */
#ifndef PORT_SHM_SHM_H
#define PORT_SHM_SHM_H
/*
 * Theory of operation
 *
 * The port's region (lib/layout.h) is two sealed memfds, the window with the
 * rings and CSB lines and the buffers; the client holds both, an eventfd to
 * kick the worker, and the reading end of a pipe by which glend calls the
 * client. (The two sides of an eventfd share O_NONBLOCK and the counter, so a
 * client could make glend's write to one block for ever; the ends of a pipe
 * share nothing.) Everything in the region is hostile input:
 *
 *   - ring size, mask and base addresses are private copies;
 *   - the client's head is loaded once and must be an index of the ring; what
 *     it says is used only as a distance from our own private index;
 *   - a slot is loaded as one word; its buffer index and length are checked;
 *   - a breach closes the port (port_break) and costs nobody else anything.
 *
 * In a region of one port every buffer but the two reserved ones belongs to
 * the client, in some slot or in its list of extra buffers, and glend holds one
 * only between gather and release or between reserve and publish. So "names a
 * buffer that its port holds" is a range check; a client that names a buffer
 * twice mixes up its own packets and nobody else's.
 *
 * In a region that several ports share (core/region.h) a buffer is the group's:
 * the range is checked, and that no driver has it.
 *
 * Ingress (the client's TX ring): cur is ours; [cur, head) is new. One worker
 * only. A chain of NS_MOREFRAG slots is one packet; a chain whose end has not
 * been published yet waits, unless it is too long already.
 *
 * Egress (the client's RX ring): free-running private counters
 *
 *   consumed <= published <= reserved <= consumed + slots - 1
 *
 * Any worker reserves slots under a short lock, copies with nothing held, and
 * marks its lease done; whoever completes the oldest lease publishes all that
 * are done and kicks the client if it asked (core/lease.h).
 */
#include <net/netmap.h>

#include "core/lease.h"
#include "core/port.h"
#include "core/region.h"
#include "lib/layout.h"

enum { SHM_TOKEN_SIZE = 16 };

/* What the state file keeps of a ring; written in place by its worker. */
struct shm_saved_ring {
	uint32_t tx_cur;       /* next TX slot to take */
	uint32_t rx_published; /* next RX slot to fill */
};

/* What the state file keeps of a port. */
struct shm_saved {
	uint32_t valid;
	uint32_t rings, slots, buf_size, extra_bufs, vnet_hdr_len;
	uint8_t token[SHM_TOKEN_SIZE];
	uint64_t dev[4], ino[4]; /* window, buffers */
	struct shm_saved_ring ring[GLEN_RINGS_MAX];
	struct region_saved region;
	uint32_t swap, offsets, marks;
};

/* Who is at the other side of a port's rings. */
struct shm_peer {
	/* Any worker: wakes the client, who armed the ring of atok; a system
	 * call. called: two words of that ring for the callee. */
	void (*call)(struct shm_peer *peer, struct nm_csb_atok *atok,
		     uint32_t called[2]);
	/* The worker of a ring: eats what woke it. NULL: nothing is eaten. */
	void (*woken)(struct shm_peer *peer);
};

/* Who sees what passes a ring: monitors' egress rings. Immutable. */
struct shm_watch {
	unsigned n_copy; /* the first ones get copies as packets pass, */
	unsigned n;	 /* the others buffers that were released */
	const struct region_member *from; /* whose the ring is */
	struct egress *egress[];
};

/* Ingress: what a worker needs of a client's TX ring. */
struct shm_in {
	_Alignas(64) struct shm_peer *peer;
	const struct region_member *member;
	struct netmap_slot *slots; /* shared */
	struct nm_csb_atok *atok;  /* shared; the client writes */
	struct nm_csb_ktoa *ktoa;  /* shared; we write */
	uint8_t *bufs;		   /* shared; buffer 0 */
	struct shm_saved_ring *saved;
	uint32_t mask; /* slots - 1 */
	uint32_t n_bufs, buf_size;
	uint32_t vnet_hdr_len; /* netmap: control may change it */
	uint32_t cur;	       /* next slot to take, an index */
	uint32_t seen;	       /* head when we looked last */
	uint32_t arm_value;    /* last kern_need_kick that was not 0 */
	uint32_t kicked;       /* last appl_need_kick we answered */
	uint32_t vain;	       /* times that it was not armed after all */
	uint32_t called[2];    /* the peer's: what it did for whom */
	bool discard;	       /* in the middle of a chain too long */
	bool swap;	       /* packets may leave with their buffers */
	bool offsets;	       /* slot->ptr says where they begin */
	bool asks;	       /* slots' flags have GLEN_ASK_*'s, too */
	bool marks;	       /* slot->ptr has GLEN_MARK_*'s, too */
	bool hdr_as_sent;      /* vnet headers go as they came to egress rings
				* of that kind, if their lengths are the same */
	uint64_t odd;	       /* flags, where they are in a slot's word, that
				* rx_slow() is for */
	uint64_t offset_mask;  /* in these bits; 0 without offsets */
	_Atomic(struct shm_watch *) watch; /* RCU; NULL: nobody */
};

/* Egress: the client's RX ring. */
struct shm_out {
	_Alignas(64) struct shm_peer *peer;
	struct netmap_slot *slots;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	uint8_t *bufs;
	struct shm_saved_ring *saved;
	uint32_t mask;
	uint32_t n_bufs, buf_size;
	uint32_t vnet_hdr_len; /* netmap: control may change it */
	uint32_t hdr_filled;   /* bytes of a header; the others are 0 */
	bool hdr_as_sent;      /* as of the ingress */
	uint32_t slot_max;     /* bytes: a length has 16 bits */
	bool swap;	       /* takes packets' buffers */
	bool offsets;	       /* slot->ptr says where they begin */
	bool placed;	       /* the client says where they shall */
	bool marks;	       /* as of the ingress */
	uint32_t offset_max;   /* how far behind a buffer's start */
	uint64_t offset_mask;  /* as of the ingress */
	uint16_t member;       /* number in region */
	struct region *region; /* NULL: its own */
	_Alignas(64) struct lease_queue q; /* its lock guards the rest */
	uint32_t consumed;
	uint32_t kicked;
	uint32_t called[2];		   /* the peer's, without the lock */
	_Atomic(struct shm_watch *) watch; /* of the ingress; RCU */
};

/* What a port's rings have in common, for their setting up. */
struct shm_common {
	struct shm_peer *peer;
	const struct region_member *member;
	struct region *region; /* NULL: nobody else's buffers come into rings */
	uint8_t *bufs;
	uint32_t n_bufs, buf_size, vnet_hdr_len;
	bool swap, offsets, asks, hdr_as_sent, marks;
	bool placed; /* of offsets: packets are put where slots say */
	uint32_t hdr_filled;
	uint32_t offset_max, offset_gap;
	uint64_t offset_mask;
};

/* One ring, for the same. */
struct shm_ring {
	struct netmap_ring *ring;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	struct shm_saved_ring *saved; /* where it goes on */
	uint32_t slots;
};

struct shm_port {
	struct shm_peer peer;
	struct port *port;
	struct layout layout;
	uint32_t vnet_hdr_len;
	char *base;	 /* mapping of map_size */
	size_t map_size; /* of the layout, or the window only */
	uint8_t *window; /* = base */
	uint8_t *bufs;	 /* in it, or the shared region's */
	struct region_member member;
	bool swap, marks;
	int window_fd, bufs_fd;	 /* until the client has them; else -1 */
	int kick_fd;		 /* eventfd: the client writes, epoll sees */
	int call_fd;		 /* pipe, our end */
	int called_fd;		 /* pipe, the client's end; as window_fd */
	uint64_t lost_calls;	 /* could not be delivered; any worker */
	unsigned fd_ticks;	 /* ticks since they were asked for */
	struct shm_saved *saved; /* in the state file, or own_saved */
	struct shm_saved own_saved;
	struct shm_in in[GLEN_RINGS_MAX];
	struct shm_out out[GLEN_RINGS_MAX];
};

extern const struct port_ops shm_port_ops;

/* Control: sets up what workers need of a ring, which nobody runs yet. */
void shm_in_init(struct shm_in *r, const struct shm_common *c,
		 const struct shm_ring *ring);
void shm_out_init(struct shm_out *r, const struct shm_common *c,
		  const struct shm_ring *ring);

/* Wakes the client; a system call. */
void shm_call(struct shm_peer *peer, struct nm_csb_atok *atok,
	      uint32_t called[2]);
/* What woke the port's rings is eaten; the same. */
void shm_woken(struct shm_peer *peer);

#endif
