/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_fe.h - the guest's side of vhost-user, for tests and benchmarks. */
#ifndef TESTS_LIB_VHOST_FE_H
#define TESTS_LIB_VHOST_FE_H
/*
 * Theory of operation
 *
 * What a virtual machine monitor and the network driver in its guest do, in one
 * small library: it owns the memory, speaks the vhost-user protocol over a Unix
 * socket, and drives the virtqueues. It is written from the specifications
 * (virtio 1.2, vhost-user) and shares no code with a backend, so that a mistake
 * made on one side does not hide one on the other.
 *
 *   fe_init(&fe, &config);                     nothing is connected yet
 *   fe_memory(&fe, FE_MEMORY_QEMU, 32 << 20);  guest memory (any number)
 *   fe_connect(&fe, path);                     or fe_listen() and fe_accept()
 *   fe_handshake(&fe);                         features, as the kind does it
 *   fe_start(&fe);                             memory, rings; rx is filled
 *   fe_send(fe_tx(&fe, 0), NULL, frame, len);  fe_receive(fe_rx(&fe, 0), &p)
 *   fe_stop(&fe);                              rings stopped, socket still open
 *   fe_fini(&fe);
 *
 * fe_attach() does all of it up to fe_start().
 *
 * Three levels; each may be mixed with the ones above it:
 *
 *   packets   fe_send, fe_receive: headers, buffers, mergeable, notifications
 *   buffers   fe_post, fe_publish, fe_used, fe_kick: descriptor chains
 *   raw       fe_raw, fe_message; fe_at() and the rings' addresses: whatever
 *             else there is to write or send, right or wrong
 *
 * The memory of a guest consists of regions: each is a piece of a file (a memfd
 * of ours), and has a guest-physical address (gpa) and a user address (uva),
 * which is where it says that it is mapped; both may be anything. Rings and
 * buffers are cut from the regions with fe_alloc() and never given back.
 *
 * Errors: 0 or -errno, and fe->error says what happened. A backend that breaks
 * the protocol (a wrong reply, a used id nobody posted) is -EPROTO. A peer that
 * does not answer within fe->timeout_ms is -ETIMEDOUT, one that hung up
 * -ECONNRESET.
 *
 * Threads: setting up and messages are for one thread; each queue may be used
 * by a thread of its own once fe_start() returned.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fe_request {
	FE_GET_FEATURES = 1,
	FE_SET_FEATURES = 2,
	FE_SET_OWNER = 3,
	FE_RESET_OWNER = 4,
	FE_SET_MEM_TABLE = 5,
	FE_SET_LOG_BASE = 6,
	FE_SET_LOG_FD = 7,
	FE_SET_VRING_NUM = 8,
	FE_SET_VRING_ADDR = 9,
	FE_SET_VRING_BASE = 10,
	FE_GET_VRING_BASE = 11,
	FE_SET_VRING_KICK = 12,
	FE_SET_VRING_CALL = 13,
	FE_SET_VRING_ERR = 14,
	FE_GET_PROTOCOL_FEATURES = 15,
	FE_SET_PROTOCOL_FEATURES = 16,
	FE_GET_QUEUE_NUM = 17,
	FE_SET_VRING_ENABLE = 18,
	FE_SEND_RARP = 19,
	FE_NET_SET_MTU = 20,
	FE_SET_BACKEND_REQ_FD = 21,
	FE_IOTLB_MSG = 22,
	FE_GET_CONFIG = 24,
	FE_SET_CONFIG = 25,
	FE_GET_INFLIGHT_FD = 31,
	FE_SET_INFLIGHT_FD = 32,
	FE_RESET_DEVICE = 34,
	FE_GET_MAX_MEM_SLOTS = 36,
	FE_ADD_MEM_REG = 37,
	FE_REM_MEM_REG = 38,
	FE_SET_STATUS = 39,
	FE_GET_STATUS = 40,
};

/* Flags of a message's header. */
enum { FE_VERSION = 1, FE_REPLY = 1 << 2, FE_NEED_REPLY = 1 << 3 };
/* KICK, CALL, ERR: no descriptor comes along. */
enum { FE_NOFD = 1 << 8 };

/* Protocol features, by bit. */
enum {
	FE_P_MQ = 0,
	FE_P_LOG_SHMFD = 1,
	FE_P_RARP = 2,
	FE_P_REPLY_ACK = 3,
	FE_P_MTU = 4,
	FE_P_BACKEND_REQ = 5,
	FE_P_CONFIG = 9,
	FE_P_INFLIGHT = 12,
	FE_P_RESET_DEVICE = 13,
	FE_P_MEM_SLOTS = 15,
	FE_P_STATUS = 16,
};

/* Virtio features, by bit. */
enum {
	FE_F_CSUM = 0,
	FE_F_GUEST_CSUM = 1,
	FE_F_GUEST_TSO4 = 7,
	FE_F_GUEST_TSO6 = 8,
	FE_F_GUEST_ECN = 9,
	FE_F_GUEST_UFO = 10,
	FE_F_HOST_TSO4 = 11,
	FE_F_HOST_TSO6 = 12,
	FE_F_HOST_ECN = 13,
	FE_F_HOST_UFO = 14,
	FE_F_MRG_RXBUF = 15,
	FE_F_GUEST_ANNOUNCE = 21,
	FE_F_MQ = 22,
	FE_F_LOG_ALL = 26,
	FE_F_ANY_LAYOUT = 27,
	FE_F_INDIRECT = 28,
	FE_F_EVENT_IDX = 29,
	FE_F_PROTOCOL = 30,
	FE_F_VERSION_1 = 32,
	FE_F_PACKED = 34,
	FE_F_GUEST_USO4 = 54,
	FE_F_GUEST_USO6 = 55,
	FE_F_HOST_USO = 56,
};

#define FE_BIT(bit) (1ULL << (bit))
/* What a plain guest wants; more may be or-ed to it. */
#define FE_FEATURES_PLAIN                                 \
	(FE_BIT(FE_F_PROTOCOL) | FE_BIT(FE_F_VERSION_1) | \
	 FE_BIT(FE_F_MRG_RXBUF) | FE_BIT(FE_F_ANY_LAYOUT))
#define FE_FEATURES_OFFLOADS                                 \
	(FE_BIT(FE_F_CSUM) | FE_BIT(FE_F_GUEST_CSUM) |       \
	 FE_BIT(FE_F_GUEST_TSO4) | FE_BIT(FE_F_GUEST_TSO6) | \
	 FE_BIT(FE_F_HOST_TSO4) | FE_BIT(FE_F_HOST_TSO6))

/* Descriptor flags, of both ring formats. */
enum { FE_NEXT = 1, FE_WRITE = 2, FE_INDIRECT = 4 };

enum {
	FE_PAIRS_MAX = 16,
	FE_QUEUES_MAX = 2 * FE_PAIRS_MAX,
	FE_REGIONS_MAX = 600,
	FE_TABLE_MAX = 8, /* regions of SET_MEM_TABLE */
	FE_FDS_MAX = 253, /* what the kernel passes at once (SCM_MAX_FD) */
	FE_CHAIN_MAX = 64,
	FE_HDR_MAX = 12,
	FE_DATA_MAX = 65536 + 64, /* longest packet that fe_receive() takes */
	FE_PAYLOAD_MAX = 4096,
};

/* Whose sequence of messages is followed. */
enum fe_kind {
	FE_QEMU7,  /* QEMU 7.2; memory slots if offered */
	FE_QEMU10, /* QEMU 10: the same, more acknowledged, RESET_DEVICE */
	FE_DPDK,   /* virtio-user: SET_OWNER first, SET_MEM_TABLE, no ERR */
	FE_CLOUD,  /* cloud-hypervisor: in-flight descriptors, slots */
};

struct fe_config {
	enum fe_kind kind;
	uint64_t features;     /* wanted; 0: FE_FEATURES_PLAIN */
	uint64_t not_protocol; /* protocol features not to take */
	unsigned pairs;	       /* of queues; 0: one */
	unsigned queue_size;   /* 0: 256 */
	unsigned buf_size;     /* of each buffer; 0: 2048 */
	unsigned rx_chain;     /* buffers in a receive chain; 0: one */
	bool indirect;	       /* packets are sent through indirect tables */
	bool split_header;     /* a buffer of its own for the header */
	bool no_fill;	       /* fe_start() posts no receive buffers */
	int timeout_ms;	       /* for replies; 0: 5000 */
};

struct fe_region {
	uint64_t gpa, uva, size, off; /* as told to the backend; off in fd */
	uint8_t *host;		      /* where it really is; NULL: nowhere */
	size_t mapped;		      /* bytes at host */
	uint64_t used;		      /* bytes given out by fe_alloc() */
	int fd;			      /* borrowed from fe->files */
};

/* As in both kinds of memory messages. */
struct fe_region_wire {
	uint64_t gpa, size, uva, off;
};

struct fe_vring_state {
	uint32_t index, num;
};

struct fe_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct fe_inflight {
	uint64_t size, off;
	uint16_t queues, queue_size;
	uint32_t padding;
};

struct fe_split_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct fe_packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

/* One piece of a chain. */
struct fe_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* for the backend to write */
};

/* What is known of an id that is with the backend, or free. */
struct fe_slot {
	uint16_t next;	 /* free: the next free one */
	uint16_t n_desc; /* descriptors taken in the ring; 0: free */
	uint16_t n_bufs; /* of the queue's buffers, chained by buf_next */
	uint16_t buf;	 /* the first of them */
	uint64_t cookie; /* of fe_post() */
};

struct fe;

struct fe_queue {
	struct fe *fe;
	unsigned index; /* even: the guest receives; odd: it sends */
	unsigned size;
	bool packed, event_idx, running;
	uint64_t desc_gpa, avail_gpa, used_gpa; /* packed: avail is the
						 * driver's, used the device's
						 * event area */
	uint8_t *desc, *avail, *used;		/* the same, here */
	int kick_fd, call_fd, err_fd;		/* eventfds of ours */
	uint32_t base;				/* of SET_VRING_BASE */

	/* Ring positions. Split: free-running. Packed: below size, with wrap */
	uint16_t avail_idx, used_idx;
	bool avail_wrap, used_wrap;
	uint16_t kicked_idx;	/* avail_idx at the last kick */
	uint32_t since_kick;	/* packed: descriptors since then */
	int32_t pending;	/* packed: first head not shown yet; -1 */
	uint16_t pending_flags; /* packed: its flags */
	unsigned n_free;	/* descriptors */
	uint16_t free_id;	/* the first free id */
	struct fe_slot *slot;	/* by id; size of them */
	uint64_t indirect_gpa;	/* size tables of FE_CHAIN_MAX; 0: none yet */

	/* Packet buffers, n_bufs of fe->config.buf_size each. */
	uint64_t bufs_gpa;
	uint8_t *bufs;
	unsigned n_bufs, n_free_bufs;
	uint16_t free_buf;
	uint16_t *buf_next;

	uint64_t packets, bytes; /* sent, or received */
	uint64_t kicks, calls;	 /* written; read */
};

struct fe {
	struct fe_config config;
	int sock, listener; /* -1: none */
	int backend_sock;   /* our end of SET_BACKEND_REQ_FD; -1: none */
	char path[108];	    /* of the listener, to be unlinked */
	int timeout_ms;
	uint64_t offered, features;	     /* virtio features */
	uint64_t protocol_offered, protocol; /* protocol features */
	uint64_t queue_num, mem_slots;	     /* as answered; 0: not asked */
	unsigned hdr_len;		     /* 10 or 12 */
	struct fe_region region[FE_REGIONS_MAX];
	unsigned n_regions;
	int *files; /* memfds, ours */
	unsigned n_files;
	struct fe_queue queue[FE_QUEUES_MAX];
	bool started;
	/* Dirty log; NULL: none. */
	uint8_t *log;
	size_t log_size;
	int log_fd;
	struct fe_inflight inflight; /* as answered */
	int inflight_fd;	     /* -1: none */
	char error[256];
};

/* Life */

/* config is copied; NULL: all zero. */
void fe_init(struct fe *fe, const struct fe_config *config);
/* Closes and unmaps everything. May be called twice. */
void fe_fini(struct fe *fe);
/* Everything from fe_init() to fe_start(), with 32 MiB of QEMU's layout. */
int fe_attach(struct fe *fe, const struct fe_config *config, const char *path);

/* Memory (vhost_fe.c) */

enum fe_layout {
	FE_MEMORY_FLAT, /* one region at gpa 0 */
	FE_MEMORY_QEMU, /* below 640 KiB, from 1 MiB, and a quarter at 4 GiB */
};

/* size: a multiple of 4 MiB. */
int fe_memory(struct fe *fe, enum fe_layout layout, size_t size);
/* A memfd of ours, closed by fe_fini(); seals: F_SEAL_..., 0: cannot be sealed.
 * Returns the descriptor or -errno. */
int fe_memfd(struct fe *fe, size_t size, int seals);
/* A region that is mapped here; uva 0: where it is mapped. Index or -errno. */
int fe_region(struct fe *fe, int fd, uint64_t off, uint64_t size, uint64_t gpa,
	      uint64_t uva);
/* Unmaps the region and moves those behind it down. */
void fe_region_remove(struct fe *fe, unsigned index);
/* Guest memory, never given back; prefers the last regions. 0: no room. */
uint64_t fe_alloc(struct fe *fe, size_t size, size_t align);
/* Where len bytes at gpa are here; NULL if they are in no region. */
void *fe_at(struct fe *fe, uint64_t gpa, uint64_t len);
/* The user address of a gpa, as rings are told; 0 if in no region. */
uint64_t fe_uva(struct fe *fe, uint64_t gpa);

/* Socket and messages (vhost_fe.c) */

int fe_connect(struct fe *fe, const char *path);
int fe_listen(struct fe *fe, const char *path);
/* Waits for a backend. A connection there was is closed. */
int fe_accept(struct fe *fe);
/* Hangs up; memory and rings stay as they are. */
void fe_disconnect(struct fe *fe);
/* Any bytes and descriptors; waits while the socket is full. */
int fe_raw(struct fe *fe, const void *bytes, size_t len, const int *fds,
	   unsigned n_fds);
/* A message with the right size; flags beside the version. No reply is read. */
int fe_message(struct fe *fe, uint32_t request, uint32_t flags,
	       const void *payload, uint32_t size, const int *fds,
	       unsigned n_fds);
/* Reads the reply to request into payload (size: room, then length). fd may be
 * NULL; else it gets a descriptor that came along, or -1. */
int fe_reply(struct fe *fe, uint32_t request, void *payload, uint32_t *size,
	     int *fd);
/* A message with need_reply where REPLY_ACK was taken: -EREMOTEIO if the
 * backend refused. Without REPLY_ACK nothing is waited for. */
int fe_set(struct fe *fe, uint32_t request, const void *payload, uint32_t size,
	   const int *fds, unsigned n_fds);
int fe_set_u64(struct fe *fe, uint32_t request, uint64_t value);
int fe_get_u64(struct fe *fe, uint32_t request, uint64_t *value);
/* Returns when the backend has dealt with everything sent before. */
int fe_sync(struct fe *fe);
/* Waits for the backend to hang up: 0, or -ETIMEDOUT. Replies are thrown away.
 */
int fe_wait_hangup(struct fe *fe);

/* Sequences (vhost_fe_start.c) */

int fe_handshake(struct fe *fe);
/* Negotiates, shares memory, sets up and enables the rings of all pairs, which
 * are new unless they were set up before: then they go on from their base. */
int fe_start(struct fe *fe);
/* Parts of fe_start(). */
int fe_negotiate(struct fe *fe);
int fe_share_memory(struct fe *fe);
int fe_table_message(struct fe *fe);
int fe_slot_message(struct fe *fe, uint32_t request, unsigned region);
int fe_queue_start(struct fe *fe, unsigned index);
int fe_vring_addr(struct fe *fe, unsigned index, uint32_t flags);
int fe_enable(struct fe *fe, unsigned index, bool on);
/* Stops the rings in the order of the kind; bases are kept for fe_start(). */
int fe_stop(struct fe *fe);
/* Begins (and ends) dirty logging as a migration does. */
int fe_log_start(struct fe *fe);
int fe_log_stop(struct fe *fe);
/* Whether the page of gpa is marked. */
bool fe_log_dirty(const struct fe *fe, uint64_t gpa);

/* Queues (vhost_fe_ring.c) */

static inline struct fe_queue *fe_rx(struct fe *fe, unsigned pair)
{
	return &fe->queue[2 * pair];
}

static inline struct fe_queue *fe_tx(struct fe *fe, unsigned pair)
{
	return &fe->queue[2 * pair + 1];
}

/* Cuts ring and buffers from memory, all empty. */
int fe_queue_init(struct fe *fe, unsigned index);
/* An empty ring again, as after a reset; what was posted is forgotten. */
void fe_queue_reset(struct fe_queue *q);
void fe_queue_fini(struct fe_queue *q);

/* The used index of a split ring, as it is in memory. */
uint16_t fe_used_idx(struct fe_queue *q);
/* Puts a chain into the ring: its id, or -ENOSPC. indirect: by a table. The
 * backend sees it after fe_publish(). */
int fe_post(struct fe_queue *q, const struct fe_buf *bufs, unsigned n,
	    bool indirect, uint64_t cookie);
void fe_publish(struct fe_queue *q);
/* Kicks if the backend wants to be kicked for what was published since. */
void fe_kick(struct fe_queue *q);
void fe_kick_always(struct fe_queue *q);
/* The next chain that came back: 1 with id and len, 0 if none, -EPROTO. */
int fe_used(struct fe_queue *q, unsigned *id, uint32_t *len);
/* Asks for a call (or not); true if something came back already. */
bool fe_arm(struct fe_queue *q, bool on);
/* Takes the calls that came (q->call_fd is readable): true if any. */
bool fe_called(struct fe_queue *q);
/* Waits for a chain to come back, asleep: 0, -ETIMEDOUT or -errno. */
int fe_wait(struct fe_queue *q, int timeout_ms);

/* A packet as it was received. */
struct fe_packet {
	uint8_t hdr[FE_HDR_MAX];
	uint32_t len;	    /* without the header */
	unsigned n_buffers; /* chains that it came in */
	uint8_t data[FE_DATA_MAX];
};

/* Sends a packet; hdr (fe->hdr_len bytes) may be NULL. -ENOSPC: the ring or the
 * buffers are full; fe_reclaim() may help. The backend sees it (and is kicked)
 * after fe_flush(). */
int fe_queue_packet(struct fe_queue *q, const void *hdr, const void *data,
		    uint32_t len);
void fe_flush(struct fe_queue *q);
/* Both, after taking back what was sent. */
int fe_send(struct fe_queue *q, const void *hdr, const void *data,
	    uint32_t len);
/* Takes back what was sent: how many packets, or -EPROTO. */
int fe_reclaim(struct fe_queue *q);
/* Posts all free buffers for receiving. Returns how many chains. */
int fe_fill(struct fe_queue *q);
/* 1: a packet, or an empty buffer (p->len 0); 0: none; -EPROTO. Its buffers are
 * free, not posted again. */
int fe_receive(struct fe_queue *q, struct fe_packet *p);

#endif
