/* SPDX-License-Identifier: BSD-2-Clause */
/* port.h - struct glen_port: the client's end of a shared-memory port. */
#ifndef LIB_PORT_H
#define LIB_PORT_H
/*
 * Theory of operation
 *
 * A glen_port is a mapped region (lib/layout.h), an eventfd to kick the
 * switch, a pipe by which it calls us, and a link to it. The link is either a
 * control connection to glend (lib/link.c keeps it alive) or, for an embedded
 * switch, a pair of callbacks.
 *
 *   ring.c   moves indexes and packets: struct ring, one per direction
 *   wait.c   sleeps: struct waiter
 *   link.c   struct link: notices that glend died, resumes, learns why a port
 *            was closed
 *   claim.c  claims of module tuple3, and what they were when glend died
 *   port.c   makes and maps it all
 *
 * Threads. A struct ring and its waiter belong to the one thread that uses that
 * ring and direction. What all threads share is the link, behind its mutex,
 * which is taken only on slow paths, and the epoch, an atomic word:
 *
 *   epoch 0      the port is closed for good; port->error says why
 *   else         changes with every new glend; a ring that sees another epoch
 *                than its own forgets which kicks it sent to the old glend
 *
 * Sleeping. Every waiter has its own epoll descriptor with three members: the
 * call pipe (glend writes a byte to wake us) and the link's timer, both
 * edge-triggered and never read, so that each edge reaches each waiter and no
 * thread can eat another's wake-up; and the control socket, level-triggered.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"
#include "lib/layout.h"
#include "lib/rpc.h"

enum {
	EPOCH_DEAD = 0, /* struct glen_port.epoch of a closed port */
};

/* Where a thread sleeps. */
struct waiter {
	int epfd;	  /* -1: not made yet */
	int wake_fd;	  /* see waiter_wake_by(); valid if epfd is; -1: none */
	uint32_t spin_ns; /* how long to look before sleeping */
	uint32_t skipped; /* waits without a spin since the last one */
};

/* Memory for a packet that was gathered from several slots. */
struct scratch {
	struct scratch *next;
	uint8_t data[];
};

/* One direction of a ring, as its user's thread sees it. */
struct ring {
	struct netmap_ring *ring; /* shared; head, cur, tail written by us */
	struct nm_csb_atok *atok; /* shared, written by us */
	const struct nm_csb_ktoa *ktoa; /* shared, written by the switch */
	char *bufs;			/* buffer 0 */
	uint32_t mask;			/* slots - 1 */
	uint32_t buf_size;
	uint32_t n_bufs;
	uint32_t slot_max;	 /* bytes that a slot can announce */
	bool offsets;		 /* slot->ptr counts */
	uint32_t head, cur;	 /* as last published */
	uint32_t epoch;		 /* of the link, when last looked */
	uint32_t kicked;	 /* last need-kick value we obeyed */
	uint32_t arm;		 /* last value we armed with */
	struct scratch *scratch; /* all of them; RX only */
	struct scratch *used;	 /* the last one in use, NULL: none */
	struct waiter waiter;
} __attribute__((aligned(64)));

enum link_state {
	LINK_LOCAL, /* embedded: no connection */
	LINK_UP,
	LINK_LOST,     /* waiting to connect again */
	LINK_RESUMING, /* connected, waiting for the answer to port.resume */
	LINK_DEAD,
};

/* The connection to glend. Under the lock, but for next_check_ms. */
struct link {
	pthread_mutex_t lock;
	enum link_state state;
	struct rpc rpc;
	char *path; /* of glend's socket */
	char token[64];
	int timer; /* timerfd: next attempt, end of patience, or
				* something that everybody must look at */
	/* LOST: when to connect; RESUMING: when to give up. */
	int64_t retry_ms;
	unsigned backoff_ms;
	unsigned busy; /* consecutive refusals that may pass */
	unsigned reconnects;
	/* When a sync call that moved nothing looks at the socket again. */
	_Atomic int64_t next_check_ms;
};

typedef int (*port_stats_fn)(void *arg, struct glen_port_stats *stats);
typedef int (*port_command_fn)(void *arg, const char *method, json_t *params,
			       json_t **result, struct glen_error *error);

struct glen_port {
	/* Read by every sync call, hardly ever written. */
	_Atomic uint32_t epoch;
	bool local;	      /* embedded; const */
	unsigned n_rings;     /* const */
	int kick_fd, call_fd; /* const */
	struct ring tx[GLEN_RINGS_MAX], rx[GLEN_RINGS_MAX];

	char name[GLEN_NAME_MAX + 1]; /* const */
	struct layout layout;	      /* const */
	char *base;		      /* of the window; const */
	bool mapped_by_us;	      /* const: base is ours to unmap */
	char region_token[33];	      /* const; "": not shared */
	int window_fd, bufs_fd;	      /* kept for port.resume; -1 if local */
	struct waiter waiter; /* of glen_wait(), glen_arm(), glen_port_fd() */
	uint32_t spin_max_ns; /* const: of this machine */
	struct link link;
	char error[300];	     /* written once, before epoch is 0 */
	void (*on_close)(void *arg); /* local: see port_map_local() */
	port_stats_fn stats;	     /* local */
	port_command_fn command;     /* local */
	json_t *claims; /* by their text; under the link's lock; NULL: none */
	void *arg;
};

/*
 * Makes a port of an embedded switch. base is the switch's own mapping of the
 * region, borrowed until on_close(arg): two mappings of the same pages take
 * twice the room in the TLB. NULL: map the descriptors. They are borrowed:
 * window_fd and bufs_fd for the duration of the call, kick_fd (an eventfd)
 * and call_fd (the reading end of a pipe, or an eventfd) until on_close(arg).
 * on_close is the last thing glen_port_close() calls, after unmapping. The
 * window must have been written (layout_write()).
 */
int port_map_local(struct glen_port **port, const char *name,
		   const struct layout *l, char *base, int window_fd,
		   int bufs_fd, int kick_fd, int call_fd,
		   void (*on_close)(void *arg), void *arg);

/* port.open's parameters for a region, from config to params. */
void port_region_params(json_t *params, const struct glen_port_config *config);
/* Copies region_token from port.open's result, if it has one. */
void port_region_result(struct glen_port *port, json_t *result);

/* What glen_port_stats() calls for a local port, with on_close's arg. */
void port_local_stats(struct glen_port *port, port_stats_fn stats);

/* What glen_claim() calls for a local port, with on_close's arg: a method of
 * the switch's module, about this port. params is borrowed. */
void port_local_command(struct glen_port *port, port_command_fn command);

/*
 * Closes the port for good: all calls return -ENOTCONN from now on and whoever
 * sleeps wakes up. Any thread but one that holds the link's lock. The first
 * reason wins. For an embedded switch that drops a port.
 */
void port_die(struct glen_port *port, const char *reason);

static inline uint32_t port_epoch(struct glen_port *port)
{
	/* Acquire: the error text is there when the epoch is EPOCH_DEAD. */
	return atomic_load_explicit(&port->epoch, memory_order_acquire);
}

/* ring.c: publishes and refreshes; 0 or -ENOTCONN. */
int ring_sync(struct glen_port *port, struct ring *r);
/* ring.c: asks for a kick when the ring moves; full fence by the caller. */
void ring_arm(struct ring *r);
void ring_disarm(struct ring *r);
/* ring.c: frees what glen_recv() allocated. */
void ring_fini(struct ring *r);

/* link.c: 0 or -errno; link_fini() is due in either case. */
int link_init(struct glen_port *port);
void link_fini(struct glen_port *port);
/*
 * A sync call moved nothing: looks after the connection, but at most every few
 * milliseconds and never waiting; but a port with claims that a new glend took
 * back waits until it has them again.
 */
void link_idle(struct glen_port *port);
/*
 * Calls a method, with the lock held, and notices when the connection or the
 * port ends meanwhile. params is taken. Returns what rpc_call() does; -EAGAIN:
 * there is no connection at the moment; -ENOTCONN: no more.
 */
int link_call(struct glen_port *port, const char *method, json_t *params,
	      json_t **result, int timeout_ms, struct glen_error *error);
/* claim.c: a new glend knows the port again: makes its claims once more, with
 * the lock held. 0, or the connection failed. */
int claims_again(struct glen_port *port);
/* Looks after the connection now. */
void link_service(struct glen_port *port);
/*
 * wait.c: makes w's epoll descriptor if it has none yet; any later connection
 * is added by link.c. 0 or -errno.
 */
int waiter_open(struct glen_port *port, struct waiter *w);
void waiter_close(struct waiter *w);
/*
 * wait.c: while fd is readable, whoever sleeps on w, or is about to, returns
 * -EINTR. Somebody else reads it and owns it; it must outlive the port. Before
 * the first wait on w. 0 or -errno.
 */
int waiter_wake_by(struct glen_port *port, struct waiter *w, int fd);
/* wait.c: puts the link's socket into all waiters; the lock is held. */
int waiters_watch(struct glen_port *port);

#endif
