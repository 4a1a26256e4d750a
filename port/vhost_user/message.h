/* SPDX-License-Identifier: BSD-2-Clause */
/* message.h - vhost-user messages on a socket that must never be waited for. */
#ifndef PORT_VHOST_USER_MESSAGE_H
#define PORT_VHOST_USER_MESSAGE_H
/*
 * Theory of operation
 *
 * A message is a header of 12 bytes, a payload and descriptors, which may come
 * with any of its bytes. The peer is not trusted to send, or read, anything at
 * all: the socket does not block, a message that has come in part waits in the
 * link, and so does a reply that does not fit into the socket. While a reply
 * waits nothing is read. Who owns the link looks at vhost_link_since() now and
 * then and gives up on a peer that takes too long.
 *
 *   readable --> vhost_link_read() --> link->in is whole --> handled
 *   link->in as reply --> vhost_link_reply() --> [writable --> _flush()]
 *
 * Descriptors in link->in belong to the link; a handler that keeps one sets it
 * to -1. vhost_link_next() closes those that are left.
 *
 * Control thread only.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
	VHOST_HEADER_SIZE = 12,
	VHOST_FDS_MAX = 8,
	VHOST_TABLE_MAX = 8, /* regions in one SET_MEM_TABLE */
	VHOST_CONFIG_MAX = 256,
	/* A request of ours: read the configuration space again. */
	VHOST_BACKEND_CONFIG_CHANGE = 2,
	VHOST_PAYLOAD_MAX = 320,
};

/* Bits of a header's flags. */
enum {
	VHOST_VERSION = 1,
	VHOST_VERSION_MASK = 3,
	VHOST_REPLY = 1 << 2,
	VHOST_NEED_REPLY = 1 << 3,
};

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_LOG_FD = 7,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_SEND_RARP = 19,
	VHOST_NET_SET_MTU = 20,
	VHOST_SET_BACKEND_REQ_FD = 21,
	VHOST_GET_CONFIG = 24,
	VHOST_GET_INFLIGHT_FD = 31,
	VHOST_SET_INFLIGHT_FD = 32,
	VHOST_RESET_DEVICE = 34,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG = 37,
	VHOST_REM_MEM_REG = 38,
	VHOST_SET_STATUS = 39,
	VHOST_GET_STATUS = 40,
	VHOST_REQUESTS,
};

/* Payloads, as on the wire. */
struct vhost_wire_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_wire_addr {
	uint32_t index;
	uint32_t flags; /* bit 0: log writes to the used ring */
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_wire_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset; /* in the file */
};

struct vhost_wire_table {
	uint32_t n;
	uint32_t unused;
	struct vhost_wire_region region[VHOST_TABLE_MAX];
};

struct vhost_wire_slot {
	uint64_t unused;
	struct vhost_wire_region region;
};

struct vhost_wire_log {
	uint64_t size;
	uint64_t offset;
};

/* Some front ends send 20 bytes of it, some 24. */
struct vhost_wire_inflight {
	uint64_t size;
	uint64_t offset;
	uint16_t queues;
	uint16_t queue_size;
	uint32_t unused;
};

struct vhost_wire_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_CONFIG_MAX];
};

struct vhost_message {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
	unsigned n_fds;
	int fds[VHOST_FDS_MAX]; /* -1: taken */
	union {
		uint64_t u64;
		struct vhost_wire_state state;
		struct vhost_wire_addr addr;
		struct vhost_wire_table table;
		struct vhost_wire_slot slot;
		struct vhost_wire_log log;
		struct vhost_wire_inflight inflight;
		struct vhost_wire_config config;
		uint8_t bytes[VHOST_PAYLOAD_MAX];
	};
};

/* One connection. */
struct vhost_link {
	int fd; /* owned; -1: none */
	struct vhost_message in;
	uint32_t in_len; /* bytes of it that have come, with the header */
	uint8_t header[VHOST_HEADER_SIZE];
	uint8_t out[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	uint32_t out_len;    /* bytes of a reply that waits; 0: none does */
	uint32_t out_sent;   /* of those */
	int out_fd;	     /* goes with it; borrowed; -1: none */
	struct discard *bin; /* borrowed: what was sent is closed by it */
	int64_t since_ms;    /* when something began to wait; 0: nothing does */
};

/* bin NULL: descriptors are closed at once. */
void vhost_link_init(struct vhost_link *link, int fd, struct discard *bin);
/* Closes everything; the other side sees it at once. */
void vhost_link_fini(struct vhost_link *link);

/*
 * 1: link->in is a whole message. 0: there is none yet. -errno: the connection
 * is over, *why says why in a sentence (a literal); -ENOTCONN: the front end
 * has ended it properly.
 */
int vhost_link_read(struct vhost_link *link, const char **why);
/* The message was dealt with. */
void vhost_link_next(struct vhost_link *link);
/*
 * Sends link->in back, with its payload of link->in.size bytes and fd (-1:
 * none; borrowed until the reply is out). 0, or -errno as above; what cannot
 * be sent now waits.
 */
int vhost_link_reply(struct vhost_link *link, int fd, const char **why);
/* The socket is writable. As vhost_link_reply(). */
int vhost_link_flush(struct vhost_link *link, const char **why);

/* Milliseconds for which part of a message or a reply has been waiting. */
int64_t vhost_link_since(const struct vhost_link *link);
/* CLOCK_MONOTONIC. */
int64_t vhost_now_ms(void);

/* The name of a request, or NULL. */
const char *vhost_request_name(uint32_t request);

#endif
