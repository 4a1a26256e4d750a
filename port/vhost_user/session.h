/* SPDX-License-Identifier: BSD-2-Clause */
/* session.h - a vhost-user port, and its connection to a front end. */
#ifndef PORT_VHOST_USER_SESSION_H
#define PORT_VHOST_USER_SESSION_H
/*
 * Theory of operation
 *
 *          socket.c: accepted, or connected
 *   idle ------------------------------------> session
 *        <------------------------------------
 *          closed, broke the protocol, took too long, memory gone
 *
 * At most one connection at a time; while there is one, others are closed as
 * they come, so many a second: a second QEMU that keeps trying costs nothing.
 * The end of the first one is also the end of that pause. The front end's
 * messages fill in struct vhost_setup per virtqueue; queue.c compares that with
 * what runs and starts, changes or stops virtqueues.
 * The end of a session stops them all, and closes and unmaps everything that
 * came from the front end. What remains is counters, last_error, and in the
 * state file how far the virtqueues were.
 *
 * A request that cannot be met is answered with an error if the front end asked
 * for an answer (REPLY_ACK), and ends the connection if it did not: it would
 * rely on something that has not been done.
 *
 * Control thread only, but for what vhost_user.h says of struct vhost_queue.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/doorbell.h"
#include "core/loop.h"
#include "core/socket.h"
#include "port/vhost_user/memory.h"
#include "port/vhost_user/message.h"
#include "port/vhost_user/vhost_user.h"

enum {
	VHOST_STALL_MS = 5000, /* for the rest of a message, or a reply */
	VHOST_TURN_MAX = 16,   /* messages handled in one turn of the loop */
	VHOST_RETRY_MS = 20,   /* glend connects: first pause between tries */
	VHOST_RETRY_MAX_MS = 100,
	VHOST_RETRY_SLOW_MS = 1000, /* while who is there hangs up at once */
	VHOST_SILENT_MS = 5000,	    /* for the first message */
	VHOST_OWING_MS = 10, /* between tries to give a signal that is owed */
};

/* Protocol features, by bit. */
enum {
	VHOST_PROTOCOL_MQ = 0,
	VHOST_PROTOCOL_LOG_SHMFD = 1,
	VHOST_PROTOCOL_RARP = 2,
	VHOST_PROTOCOL_REPLY_ACK = 3,
	VHOST_PROTOCOL_MTU = 4,
	VHOST_PROTOCOL_BACKEND_REQ = 5,
	VHOST_PROTOCOL_CONFIG = 9,
	VHOST_PROTOCOL_INFLIGHT_SHMFD = 12,
	VHOST_PROTOCOL_RESET_DEVICE = 13,
	VHOST_PROTOCOL_MEM_SLOTS = 15,
	VHOST_PROTOCOL_STATUS = 16,
};

enum {
	VHOST_F_LOG_ALL_BIT = 26,
	VHOST_F_PROTOCOL_BIT = 30,
};

/* What the front end said about a virtqueue. Descriptors are owned. */
struct vhost_setup {
	uint32_t size; /* 0: not said */
	uint32_t base; /* as in SET_VRING_BASE */
	struct vhost_wire_addr addr;
	bool has_addr;
	bool kicked;  /* SET_VRING_KICK came: to be started */
	bool enabled; /* SET_VRING_ENABLE */
	bool placed;  /* the indexes in struct vhost_queue are good */
	bool running; /* a ring is published */
	bool astray;  /* it fails for want of what may still come: memory */
	int kick_fd, call_fd, err_fd;
	uint64_t started;   /* how often */
	uint64_t late;	    /* how often a signal had to be given again */
	uint64_t fails;	    /* how often it was stopped for a reason */
	const char *reason; /* of the last time; NULL: never */
};

/* The front end's memory for descriptors in flight (inflight.c). */
struct vhost_inflight {
	struct vhost_map map;
	bool packed;	 /* its layout */
	unsigned queues; /* that have a part in it; 0: there is none */
	unsigned size;	 /* descriptors that each part is for */
};

struct vhost_port {
	struct vhost_queue queue[VHOST_QUEUES_MAX];
	struct vhost_setup setup[VHOST_QUEUES_MAX];
	struct port *port;	   /* const */
	struct loop *loop;	   /* const */
	struct doorbell *doorbell; /* const: the control thread's */
	struct discard *bin;	   /* const: closes what front ends sent */

	/* Options. */
	struct socket_addr addr;
	mode_t access; /* of the socket's file */
	bool client;   /* glend connects */
	unsigned n_pairs;
	bool packed, offloads, config;
	uint64_t max_memory; /* bytes that a guest may share */

	/* The socket (socket.c). */
	struct loop_source listener; /* fd -1: none */
	bool deaf;		     /* it is not watched for a moment */
	unsigned turned_away;	     /* since it was watched again, or a tick */
	struct socket_file file;
	struct glen_error lost; /* why nobody can connect; code 0: they can */
	struct loop_timer retry;
	unsigned retry_ms;
	struct glen_error unreached; /* why nobody was; code 0: nothing yet */
	uint64_t connections, refused;

	/* The connection; link.fd -1: there is none. */
	struct loop_source source;
	struct vhost_link link;
	uint32_t watched; /* EPOLL bits of source */
	struct ucred peer;
	int64_t since_ms; /* when it began */
	bool heard;	  /* a whole message came */
	bool useful;	  /* a virtqueue was started */
	uint64_t features, protocol;
	uint8_t status;
	bool has_status; /* SET_STATUS came */
	unsigned mtu;	 /* NET_SET_MTU; 0: none */
	struct vhost_memory memory;
	struct vhost_map log_map;
	struct vhost_log logs[2]; /* the one that is used, and the next */
	struct vhost_log *log;	  /* NULL: none */
	struct vhost_inflight inflight;
	int inflight_fd;	 /* on its way to the front end; -1: none */
	int request_fd;		 /* Unix socket for our requests; -1: none */
	struct glen_error error; /* of the message being handled */
	const char *problem;	 /* as logged last */

	/* Told by workers and the SIGBUS handler. */
	struct loop_source faults; /* an eventfd */
	_Atomic bool memory_gone;
	struct loop_timer owing; /* runs while signals are owed */

	/* What was. */
	struct glen_error last_error; /* code 0: none */
	struct vhost_saved *saved;
	struct vhost_saved own_saved;
};

static inline bool vhost_has(const struct vhost_port *vp, unsigned bit)
{
	return vp->features >> bit & 1;
}

static inline bool vhost_has_protocol(const struct vhost_port *vp, unsigned bit)
{
	return vp->protocol >> bit & 1;
}

static inline bool vhost_connected(const struct vhost_port *vp)
{
	return vp->link.fd >= 0;
}

/* session.c */

/* Why a connection ends after a SIGBUS: the kernel does not tell one cause
 * from the other. */
extern const char vhost_memory_is_gone[];
/* The features that are offered. */
uint64_t vhost_features(const struct vhost_port *vp);
uint64_t vhost_protocol(const struct vhost_port *vp);
/* There is a connection now; takes fd. */
void vhost_session_begin(struct vhost_port *vp, int fd);
/* Ends it; reason, which is kept as the port's last error, may be NULL. */
void vhost_session_end(struct vhost_port *vp, const char *reason);
/* Once a second: time-outs. */
void vhost_session_tick(struct vhost_port *vp);
/* Handles the message in vp->link.in; -errno with vp->error filled. Sets
 * *replies if link.in has become the reply, *fd to what goes with it. */
int vhost_handle(struct vhost_port *vp, bool *replies, int *fd);
/* The port has a new MTU or MAC: tells a front end that uses our configuration
 * space, if it gave us a socket for that (vhost-user: CONFIG_CHANGE_MSG). */
void vhost_config_changed(struct vhost_port *vp);

/* queue.c */

/* OFFLOAD_CAP_* that a guest with these features takes, and may send. */
unsigned vhost_takes(uint64_t features);
unsigned vhost_sends(uint64_t features);

/*
 * Makes what runs what the front end has asked for, of the virtqueues in mask;
 * rings that run are made anew. To be called before anything they use is freed;
 * no worker uses what was before when it returns.
 */
void vhost_queues_update(struct vhost_port *vp, uint32_t mask);
/* Stops virtqueues; their indexes stay. */
void vhost_queues_stop(struct vhost_port *vp, uint32_t mask);
/* Stops those that failed, and tells the front end. */
void vhost_queues_check(struct vhost_port *vp);
/* Signals an eventfd of virtqueue i, now or later; VHOST_OWED_*. */
void vhost_queue_signal(struct vhost_port *vp, unsigned i, uint8_t what);
/* Gives the signals that are owed, those that can be. */
void vhost_queues_owed(struct vhost_port *vp);
/* Where virtqueue i stands, as in GET_VRING_BASE. */
uint32_t vhost_queue_base(const struct vhost_port *vp, unsigned i);
/* All of them; what one knows of a front end is forgotten. */
void vhost_queues_forget(struct vhost_port *vp);

/*
 * resume.c. No ring is published; the guest may be running.
 */

/* Whether anything was ever given back in a packed ring. */
bool vhost_packed_is_worn(const struct vhost_ring *r);
/* Whether what is at a place (at->used) has not been given back yet. */
bool vhost_packed_is_next(const struct vhost_ring *r,
			  const struct vhost_saved_queue *at);
/*
 * Fills *at with where a packed virtqueue goes on of which a glend has left
 * this record, having finished what that one did not; the guest is to be
 * called. False: the ring is not the one that the record speaks of.
 */
bool vhost_packed_resume(const struct vhost_ring *r,
			 const struct vhost_saved_queue *saved, bool egress,
			 struct vhost_saved_queue *at);

/* inflight.c: GET_INFLIGHT_FD, whose reply takes inflight_fd along, and
 * SET_INFLIGHT_FD. */

int vhost_inflight_get(struct vhost_port *vp, struct vhost_message *m);
int vhost_inflight_set(struct vhost_port *vp, struct vhost_message *m);
/* Unmaps what came by SET_INFLIGHT_FD. */
void vhost_inflight_forget(struct vhost_port *vp);
/*
 * Virtqueue i is to start at *at: gives back what another back end has left in
 * flight, and moves *at behind it; the guest is to be called. NULL, or why the
 * virtqueue cannot start.
 */
const char *vhost_inflight_settle(struct vhost_port *vp, unsigned i,
				  const struct vhost_ring *r,
				  struct vhost_saved_queue *at);

/* socket.c */

int vhost_socket_open(struct vhost_port *vp, struct glen_error *error);
void vhost_socket_close(struct vhost_port *vp);
/* Once a second. */
void vhost_socket_tick(struct vhost_port *vp);
/* The connection has ended: look for the next one. */
void vhost_socket_again(struct vhost_port *vp);

/* show.c */

void vhost_show(struct port *port, json_t *o);
/* What is wrong with a guest that seems to work and does not; NULL: nothing. */
const char *vhost_problem(const struct vhost_port *vp);

#endif
