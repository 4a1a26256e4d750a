/* SPDX-License-Identifier: BSD-2-Clause */
/* port.h - ports and the contract between the core and port drivers. */
#ifndef CORE_PORT_H
#define CORE_PORT_H
/*
 * Theory of operation
 *
 * A port is one attachment to a switch. It has up to 16 ingress rings (packets
 * into the switch) and up to 16 egress rings (out of it), and a driver, which
 * is a struct port_ops: the only way the core knows a port.
 *
 * Threads. Control callbacks (open .. tick) run on the control thread, one at
 * a time. Hot callbacks (rx .. tx) run on workers: an ingress ring belongs to
 * exactly one worker, so its rx side needs no lock; any worker may call tx on
 * any egress ring at the same time, so tx brings its own exclusion, never held
 * over a copy or a system call that may sleep.
 *
 * A ring is polled or armed. The worker polls rx(); when that brought nothing
 * for the spin budget it calls rx_arm(), which asks the other side for a kick
 * on in_fd and looks once more. An edge on in_fd makes the ring polled again,
 * rx_disarm() being called first. Drivers never read in_fd for the core.
 *
 * Life: open -> (rings in use) -> the core takes the rings out of all workers
 * -> drain (rx until empty, on the control thread) -> close. close() may free
 * everything; no hot callback runs any more.
 *
 * A driver whose rings come and go while the port is open (a guest's queues)
 * sets port->starts_rings in open(): then no ring is run until it says so with
 * port_in_start(), and as many egress rings are used as port_out_use() says.
 * Descriptors of its own it watches on the control thread with port_loop().
 *
 * A peer that breaks a protocol: call port_break() with a reason and return.
 * rings of a broken port are not run any more and the control thread closes it.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/batch.h"
#include "core/drop.h"
#include "core/isa.h"
#include "include/glen/glen.h"

struct loop;
struct region_member;
struct vswitch;
struct worker;
struct port;
struct capture;

enum {
	PORT_RINGS_MAX = 16,
	PORT_FDS_MAX = 8,
};

/*
 * Counters of one ring. Each instance has one writer: an ingress ring has two,
 * its worker's and the control thread's; an egress ring one per worker and one
 * more that is the control thread's. Readers add up.
 */
struct counters {
	uint64_t packets;    /* in: taken from the port; out: delivered to it */
	uint64_t bytes;	     /* of those, without vnet headers */
	uint64_t replicated; /* in: extra copies made by floods; out: copies
			      * that a monitor is to have */
	uint64_t segments;   /* out: frames made by software segmentation */
	uint64_t exchanged;  /* out: packets that came with their buffers */
	uint64_t kicks;	     /* wake-ups sent to the other side */
	uint64_t drops[DROP_MAX];
} __attribute__((aligned(64)));

/* Counters are read by others while their writer adds: no torn words. */
static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t count_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* What the control thread saw of a ring last; core/balance.h. */
struct ring_seen {
	uint64_t packets, bytes;
};

/* Packets into the switch. Written by its worker only, but for the consts. */
struct ingress {
	struct port *port;	    /* const */
	const struct port_hot *hot; /* const: the driver's callbacks */
	void *drv;		    /* const: the driver's state of this ring */
	struct counters *counters;  /* const: [0] the worker's, [1] control's */
	uint16_t ring;		    /* const: ring number */
	int in_fd;		    /* const while in use: edges wake the ring;
				 * -1: poll only. Control thread only */
	struct worker *worker;	    /* control thread; NULL: not started */
	uint16_t worker_idx;	    /* const while with a worker: its index */
	bool armed;		    /* not in the worker's poll list */
	uint64_t idle_since_ns;	    /* when rx first brought nothing; 0: busy */
	uint64_t armed_at_ns;	    /* for the adaptive spin budget */
	uint32_t spin_ns;	    /* how long to poll before arming */
	uint32_t burst;		    /* mean of entries taken at once, lately */
	_Atomic uint32_t where;	    /* in its worker's set, if it is there */
	/* The control thread's, for core/balance.c. */
	struct ring_seen seen;
	float load;    /* share of a processor in the last second */
	uint32_t rest; /* seconds that it is not moved again */
} __attribute__((aligned(64)));

/* Packets out of the switch. */
struct egress {
	struct port *port;	    /* const */
	const struct port_hot *hot; /* const: the driver's callbacks */
	void *drv;		    /* const: the driver's state of this ring */
	struct counters *counters;  /* const: by worker index; the last one is
				     * the control thread's */
	uint16_t ring;		    /* const */
};

/* What a driver's open() gets. */
struct port_args {
	json_t *params; /* borrowed: the options of port.add / port.open */
	int fds[PORT_FDS_MAX]; /* descriptors that came along; open() takes
				* (sets to -1) what it keeps */
	unsigned n_fds;
	void *saved;	  /* PORT_SAVED_SIZE bytes that outlive the process,
			    * zero at first; NULL: nothing is saved */
	bool resume;	  /* the port existed before glend was restarted */
	const void *made; /* what a driver that users cannot name is given */
};

enum { PORT_SAVED_SIZE = 2048 };

/* What a driver's tx() works with; on the worker's stack. */
struct tx_ctx {
	struct worker *worker;
	struct counters *counters; /* of this worker and egress ring */
	struct capture *capture;   /* NULL: nobody captures on this port */
	/*
	 * Packets come from this member of a region, in buffers that
	 * batch.buf names: tx() may take them and leave others there, in
	 * taker->buf, which is the same batch (core/region.h). NULL: copy.
	 */
	const struct region_member *from;
	struct batch *taker;
	bool track; /* somebody wants to know which packets were dropped */
	uint64_t dropped[BATCH_MAX / 64]; /* bit i: packet i was dropped; kept
					   * only if track */
	uint8_t reason[BATCH_MAX];	  /* why, of those; else not set: do not
				    * initialize the whole struct */
};

/* The hot half of a driver; workers only. */
struct port_hot {
	/*
	 * Worker: describes up to BATCH_MAX packets in the empty batch b: n,
	 * n_segs, seg, seg0, n_seg, len, multi_seg, overread, offloads and off,
	 * slots. Packets that are dropped here are counted with in_drop().
	 * Returns what it consumed (also of dropped or empty slots): 0 means
	 * the ring is empty. Pointers stay valid until rx_done().
	 */
	unsigned (*rx)(struct ingress *in, struct batch *b);
	/* Worker: everything rx() returned has been dealt with. */
	void (*rx_done)(struct ingress *in, struct batch *b);
	/* Worker: ask for a kick, look again. True: there is work, stay polled
	 * (and not armed). NULL: always false. */
	bool (*rx_arm)(struct ingress *in);
	/* Worker: no kicks are needed any more. NULL: nothing to do. */
	void (*rx_disarm)(struct ingress *in);
	/*
	 * Worker: delivers the packets list[0..n) of b in order. Packets that
	 * cannot be delivered are counted with tx_drop(); the others are added
	 * to ctx->counters (packets, bytes). Wakes the receiver if it asked.
	 */
	void (*tx)(struct egress *out, struct tx_ctx *ctx,
		   const struct batch *b, const uint16_t *list, unsigned n);
};

/* The control half. */
struct port_ops {
	const char *name;    /* "shm", "tap", ... */
	const char *summary; /* one line for glenctl port add --help */
	const char *options; /* "key=value ..." in words, one per line */
	/* With the option host=true a second port, NAME^, of this driver comes
	 * and goes with the port; it gets the options ifname, netns and queues.
	 * NULL: there is no such option. */
	const char *host_side;

	/*
	 * Control thread. Checks args->params (unknown keys are errors), makes
	 * the port's resources and fills port->caps, n_in, n_out, in[].drv,
	 * in[].in_fd, out[].drv, drv. port->mtu, mac, isolated are set from the
	 * params by the core before. Returns 0 or -errno with error filled and
	 * nothing kept.
	 */
	int (*open)(struct port *port, struct port_args *args,
		    struct glen_error *error);
	/*
	 * Control thread: the port is in its switch and its rings run: from now
	 * on it may take traffic away from others. 0, or -errno with error
	 * filled, then it is closed. NULL: nothing to do.
	 */
	int (*start)(struct port *port, struct glen_error *error);
	/* Control thread: undoes start(), also one that failed. Its rings do
	 * not run any more; they are drained before and after, then it leaves
	 * the switch. NULL: nothing to do. */
	void (*stop)(struct port *port);
	/* Control thread: frees what open() made. */
	void (*close)(struct port *port);
	/*
	 * Control thread: changed mtu or mac (port->mtu, port->mac hold the new
	 * values), driver options in params. NULL: nothing to do. On error the
	 * core restores the old values.
	 */
	int (*set)(struct port *port, json_t *params, struct glen_error *error);
	/* Control thread: adds driver-specific members to the object. */
	void (*show)(struct port *port, json_t *object);
	/*
	 * Control thread: adds the members of port.open's result that a client
	 * needs and up to PORT_FDS_MAX descriptors (borrowed). NULL: no client
	 * can attach.
	 */
	void (*attach_info)(struct port *port, json_t *object, int *fds,
			    unsigned *n_fds);
	/* Control thread, about once a second. NULL: nothing to do. */
	void (*tick)(struct port *port);
	/* True if the link is up (packets can pass). NULL: always. */
	bool (*link)(struct port *port);

	/* The hot callbacks, by enum isa (ISA_TABLE_PTR or ISA_SAME). */
	const struct port_hot *hot[ISA_N];
};

enum { PORT_NAME_SIZE = 32 };

/* Ring i is run by worker[i % n]; n 0: by any. See core/balance.h. */
struct port_pins {
	uint8_t n;
	uint8_t worker[PORT_RINGS_MAX];
};

struct port {
	char name[PORT_NAME_SIZE];  /* const: the part behind the colon */
	struct vswitch *sw;	    /* const */
	const struct port_ops *ops; /* const */
	void *drv;		    /* const: the driver's state */
	uint16_t index;		    /* const: in the switch */
	uint16_t n_in, n_out;	    /* const after open */
	uint16_t n_out_used;	    /* rings that get packets; port_out_use() */
	bool starts_rings;	    /* const after open: see port_in_start() */
	_Atomic unsigned caps;	    /* OFFLOAD_CAP_*: what it takes; read by
				     * workers, written by control */
	unsigned mtu;		    /* payload limit, 0: none; control thread */
	unsigned peer_mtu;	    /* the peer's own; port_peer_mtu() */
	bool isolated;		    /* control thread */
	struct port_pins pins;	    /* control thread */
	bool configured;	    /* outlives its client; control thread */
	uint8_t mac[6];		    /* zero: none; control thread */
	_Atomic uint32_t
		max_len; /* from both: longest frame; read by workers */
	_Atomic(const char *) broken; /* reason, set once by port_break() */
	_Atomic(struct capture *) capture; /* sessions, RCU; NULL: none */
	struct ingress in[PORT_RINGS_MAX];
	struct egress out[PORT_RINGS_MAX];
	json_t *params;		   /* as given by the user, for save */
	struct port *pair;	   /* comes and goes with it; control thread */
	bool started;		   /* control thread */
	void *owner;		   /* ctl: the connection that opened it */
	void *saved;		   /* ctl: its record in the state file */
	int64_t log_since_s;	   /* ctl: what it may still say, see */
	unsigned log_n;		   /* struct log_limit */
	struct counters *counters; /* all of the rings', one allocation */
};

/* Any thread: the port's peer broke the protocol. reason is a string literal
 * that completes "port closed: ". The first reason wins. */
void port_break(struct port *port, const char *reason);

static inline bool port_is_broken(struct port *port)
{
	return atomic_load_explicit(&port->broken, memory_order_relaxed);
}

/* In core/capture.c: records a packet that rx() refused. */
void capture_refused(struct capture *c, const struct ingress *in,
		     enum drop reason, const struct seg *seg, unsigned n_seg,
		     uint32_t len);

/*
 * Worker, from rx(): a packet was taken and dropped at once. seg[0..n_seg) is
 * as much of it as is known to be safe to read, len its length if known; for
 * captures only.
 */
static inline void in_drop_seg(struct ingress *in, enum drop reason,
			       const struct seg *seg, unsigned n_seg,
			       uint32_t len)
{
	struct capture *c = atomic_load_explicit(&in->port->capture,
						 memory_order_acquire);

	count_add(&in->counters->packets, 1);
	count_add(&in->counters->drops[reason], 1);
	if (__builtin_expect(c != NULL, 0))
		capture_refused(c, in, reason, seg, n_seg, len);
}

/* The same where no byte of the packet can be had. */
static inline void in_drop(struct ingress *in, enum drop reason)
{
	in_drop_seg(in, reason, NULL, 0, 0);
}

/*
 * Control thread, from tick(): n more packets for this ring were dropped before
 * rx() could see them, as the kernel's statistics say.
 */
static inline void in_drop_unseen(struct ingress *in, enum drop reason,
				  uint64_t n)
{
	count_add(&in->counters[1].packets, n);
	count_add(&in->counters[1].drops[reason], n);
}

/* Worker, from tx(): packet i of the batch is not delivered. */
static inline void tx_drop(struct tx_ctx *ctx, unsigned i, enum drop reason)
{
	count_add(&ctx->counters->drops[reason], 1);
	if (__builtin_expect(ctx->track, 0)) {
		ctx->dropped[i / 64] |= 1ULL << (i % 64);
		ctx->reason[i] = reason;
	}
}

/*
 * Control thread: something happened to the port that its user may want to
 * know, such as that a peer came or why it went. glend logs it, rate-limited.
 */
void port_log(struct port *port, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Control thread: calls the driver's start(), once port_create() is done. */
int port_start(struct port *port, struct glen_error *error);
/*
 * Control thread: calls the driver's stop(), takes the rings out of all workers
 * and forwards what lies in them. The port stays in its switch and can be sent
 * to; port_destroy() is all that may follow.
 */
void port_rest(struct port *port);

/* Control thread: the loop for a driver's own descriptors. */
struct loop *port_loop(struct port *port);

/*
 * Control thread, drivers with starts_rings: the ring is run from now on, by
 * one of the workers, and edges on in_fd (-1: none) wake it. It must not run.
 * -ENOMEM and what epoll says leave it as it was, with error filled.
 */
int port_in_start(struct ingress *in, int in_fd, struct glen_error *error);
/*
 * Control thread: no worker touches the ring any more when this returns, and
 * its in_fd is not watched. One that does not run is left alone.
 */
void port_in_stop(struct ingress *in);
/*
 * Control thread: packets are spread over the first n (at least 1) of the
 * egress rings from now on; open() begins with all.
 */
void port_out_use(struct port *port, unsigned n);
/*
 * Control thread: the peer said that its MTU is this one; 0: it does not say.
 * The less of it and port->mtu counts.
 */
void port_peer_mtu(struct port *port, unsigned mtu);

/*
 * For open() and set(): refuses members of params that are not in the list
 * known, which ends with NULL, by name. 0 or -EINVAL with error filled.
 */
int params_check(json_t *params, const char *const *known,
		 struct glen_error *error);
/* Integer member with default and range; -EINVAL names key and range. */
int params_int(json_t *params, const char *key, long def, long min, long max,
	       long *value, struct glen_error *error);
/* Bytes: an integer, or a string as "64G" (K, M, G, T: powers of 1024). */
int params_bytes(json_t *params, const char *key, uint64_t def, uint64_t min,
		 uint64_t max, uint64_t *value, struct glen_error *error);
int params_bool(json_t *params, const char *key, bool def, bool *value,
		struct glen_error *error);
/* String member, NULL if absent; borrowed from params. */
int params_str(json_t *params, const char *key, const char **value,
	       struct glen_error *error);

/* All drivers that are built in; NULL-terminated. */
const struct port_ops *const *port_drivers(void);
const struct port_ops *port_driver_find(const char *name);

#endif
