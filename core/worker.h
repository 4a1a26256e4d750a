/* SPDX-License-Identifier: BSD-2-Clause */
/* worker.h - a thread (or the caller of engine_poll) that moves packets. */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H
/*
 * Theory of operation
 *
 * A worker owns ingress rings. Each is polled or armed:
 *
 *          nothing for a while (1), rx_arm() found nothing
 *   polled ----------------------------------------------> armed
 *          <----------------------------------------------
 *            edge on in_fd (epoll), or the set changed
 *
 * (1) The spin budget of a ring: spin_ns, which doubles when a kick comes soon
 * after it was armed and halves when one comes late, between SPIN_MIN_NS and
 * spin_max_ns; SPIN_MAX_NS for a ring that brings SPIN_DENSE entries at once.
 * spin_max_ns is SPIN_FEW_NS where there are fewer than SPIN_MANY_CPUS
 * processors, else SPIN_MAX_NS.
 *
 * A turn runs every polled ring once, one batch each, so a port that floods
 * cannot starve a port that whispers; armed rings cost nothing. A worker whose
 * poll list is empty goes off line for RCU and sleeps in epoll; one that is not
 * asks epoll, without sleeping, whether an armed ring was kicked: after each
 * turn that brought nothing, and every EPOLL_INTERVAL_NS when busy.
 *
 * In poll mode (glend --poll, and engine_poll() of an embedded switch) no ring
 * is armed. One that brings nothing for its budget becomes cold: it lies behind
 * the polled ones in the poll list, where a turn that brought packets looks at
 * COLD_LOOKS cold rings and any other at all of them.
 *
 * The control thread says which rings a worker has by publishing a struct
 * worker_set; the worker notices at its next turn and rebuilds its poll list.
 * Epoll events carry a ring's position in the set, never a pointer, so an event
 * that outlives its ring wakes at worst another one in vain.
 *
 * All scratch memory of a batch is here; nothing is allocated per packet.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/batch.h"
#include "core/doorbell.h"
#include "core/port.h"
#include "core/switch.h"

enum {
	SPIN_MIN_NS = 200,
	SPIN_MAX_NS = 50000,
	SPIN_FEW_NS = 300, /* the most where a spinner takes a client's core */
	SPIN_MANY_CPUS = 4,
	/* Entries at once that are worth to be spun for longest. DPDK sends 32,
	 * and the mean, rounded down, stays a little below. */
	SPIN_DENSE = 24,
	EPOLL_INTERVAL_NS = 20000,
	WORKER_EVENTS = 64,
	COLD_LOOKS = 8, /* cold rings per busy turn */
};

/* Epoll data of the worker's own wake_fd; others are positions in the set. */
#define WORKER_WAKE UINT32_MAX

/* The rings of a worker; entries may be NULL. Immutable, but for polled. */
struct worker_set {
	uint64_t generation; /* never used twice for one worker */
	uint32_t n;
	struct ingress **polled; /* the worker's: room for n */
	struct ingress *ring[];
};

/* Runs and groups that are gathered before they are sent. */
enum { RUNS_MAX = 2048 };

/* Packets of one batch that go to the same egress ring: a list of runs. */
struct group {
	struct egress *egress;
	uint32_t n;	/* packets */
	uint16_t first; /* run, if n */
	uint16_t last;
	bool edited;  /* some run has an edit */
	bool several; /* some packets go to other groups as well */
};

/* Neighbouring packets of a batch that go to the same group. */
struct run {
	uint16_t first;
	uint16_t n;
	uint16_t next;		      /* of the group, unless it is the last */
	const struct glen_edit *edit; /* NULL: none */
};

/* What the control thread saw last; core/balance.h. */
struct worker_seen {
	uint64_t busy_ns, packets;
};

struct worker {
	struct engine *engine; /* const */
	uint16_t index;	       /* const */
	int cpu;	       /* const: pinned to it; -1: not pinned */
	enum isa isa;	       /* const */
	bool poll_mode;	       /* never arm; const while it runs */
	uint32_t spin_max_ns;  /* const: of this machine */
	bool started;	       /* control: the thread runs */
	pthread_t thread;
	int epfd;    /* const */
	int wake_fd; /* const: eventfd; control wakes the worker */
	_Atomic(struct worker_set *) set; /* written by control; RCU */
	_Atomic bool stop;		  /* written by control */
	struct doorbell doorbell;	  /* const once a driver needs it */

	/* balance.c's, control thread: what the last second brought. */
	struct worker_seen seen;
	float busy; /* share of a processor */
	float rate; /* packets per second */
	float ns_per_packet, ticks_per_ns;

	/* The worker's own. */
	uint64_t generation;	 /* of the set adopted last */
	struct ingress **polled; /* of that set */
	uint32_t n_polled;
	uint32_t n_cold; /* poll mode: behind those, seldom looked at */
	uint32_t next_cold;
	uint32_t n_rings; /* of that set, polled or armed */
	uint64_t now_ns;
	uint64_t epoll_at_ns; /* when a busy worker asks epoll again */
	uint64_t turns, batches, packets, sleeps, wakeups; /* read by control */
	uint64_t busy_ns; /* in turns that brought packets; read by control */
	uint64_t busy_since_ns; /* start of such a turn; 0: it brought none */
	uint64_t polled_shown;	/* n_polled at the last turn; read by control */

	/* Scratch of deliver(). */
	uint32_t epoch;	    /* of group_of */
	uint32_t *group_of; /* by egress id: epoch << 16 | group */
	struct group groups[RUNS_MAX];
	uint32_t n_groups;
	struct run runs[RUNS_MAX]; /* of packets with one destination */
	uint32_t n_runs;
	uint16_t order[BATCH_MAX]; /* packets of one group */
	struct batch batch;
	struct batch scratch; /* segments of one packet */
	struct batch edited;  /* packets of one group, with edits done */
};

/* The hot functions, compiled per instruction set. */
struct core_hot {
	/* Runs every polled ring once. Returns ring entries consumed. */
	unsigned (*turn)(struct worker *w);
	/* Runs one ring once; returns ring entries consumed. */
	unsigned (*run_ring)(struct worker *w, struct ingress *in);
};

extern const struct core_hot *const core_hots[ISA_N];

/* worker_thread.c, control and the thread itself. */
struct worker *worker_create(struct engine *engine, uint16_t index, int cpu,
			     bool poll_mode, struct glen_error *error);
void worker_destroy(struct worker *w);
int worker_start(struct worker *w, struct glen_error *error);
void worker_stop(struct worker *w);
/* Control: wakes it from its sleep. */
void worker_wake(struct worker *w);
/*
 * Control: hands a ring to the worker, whose in->worker is w already.
 * worker_del() takes one ring, or all rings of a port at once if in is NULL,
 * back and returns when the worker does not touch them any more.
 */
int worker_add(struct worker *w, struct ingress *in, struct glen_error *error);
void worker_del(struct worker *w, const struct port *port,
		const struct ingress *in);
/* Worker: makes w->set the one it works with, if it is another one. */
void worker_adopt(struct worker *w);
/* Worker: collects kicks; may sleep up to timeout_ms (-1: no limit). */
void worker_events(struct worker *w, int timeout_ms);
/* Monotonic nanoseconds. */
uint64_t worker_clock(void);

/* Between the hot files; each compiled per instruction set. */
#ifdef GLEN_ISA
void HOT(gather)(struct ingress *in, struct batch *b, uint32_t max_len);
/* Before lookup(): copies to where the source port is mirrored, if it is. */
void HOT(mirror_in)(struct worker *w, const struct switch_snap *snap,
		    struct ingress *in, struct batch *b);
void HOT(deliver)(struct worker *w, const struct switch_snap *snap,
		  struct ingress *in, struct batch *b);
unsigned HOT(run_ring)(struct worker *w, struct ingress *in);
unsigned HOT(worker_turn)(struct worker *w);
#endif

#endif
