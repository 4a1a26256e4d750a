/* SPDX-License-Identifier: BSD-2-Clause */
/* run.h - one thread of a network function: its ends of pipes and its turn. */
#ifndef LIB_NF_RUN_H
#define LIB_NF_RUN_H
/*
 * Theory of operation
 *
 * A thread has inputs (consumer's ends), outputs (producer's ends), a route
 * table (route.h) that says which verdict leads to which outputs, spare buffers
 * and counters. Whoever runs it calls nf_turn() again and again: a thread of
 * its own, or glen_nf_group_poll() for all threads of a group.
 *
 *   run.c       looks at the inputs, shows packets to process()
 *   dispatch.c  does what the verdicts say
 *   spare.c     packets that stay, and packets of its own
 *   timer.c     calls when time has passed
 *   message.c   messages for it
 *
 * A batch of one input: its slots are read once and checked, views made,
 * process() called, and the batch dispatched in order. What could not be
 * dispatched, because an output is full, keeps its verdict in the input's
 * held[] and is tried again next turn, before the input is looked at again:
 * strictly in order, so one full output stops the inputs whose first packet is
 * for it, and no others.
 *
 * Who writes what: all of this is the thread's own, but for next, which the
 * broker publishes and the thread takes, acked, which the thread publishes,
 * counters, which others read, and the queue of messages.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/nf.h"
#include "lib/nf/pipe.h"

struct nf_route;
struct nf_timers;

/* Verdicts of the runtime's own NFs (edge.c). */
enum {
	NF_SENT = 0x7d << 24, /* out of the group; its buffer stays */
	NF_STAY = 0x7e << 24, /* show it and what is behind it once more */
};

/* Why the runtime drops: names in stats.c. */
enum nf_drop {
	NF_DROP_NO_CHAIN,
	NF_DROP_NO_INSTANCE,
	NF_DROP_NO_EXIT,
	NF_DROP_HOP_LIMIT,
	NF_DROP_LOOP_FULL,
	NF_DROP_BAD_SLOT,
	NF_DROP_BAD_VERDICT,
	NF_DROP_TOO_LONG,
	NF_DROP_REMOVED,
	NF_DROP_N,
};
const char *nf_drop_name(enum nf_drop reason);

/* The packet buffers of a group. */
struct nf_region {
	uint8_t *bufs;	 /* buffer 0 */
	uint32_t stride; /* bytes from one to the next */
	uint32_t size;	 /* bytes of one that may be used, at most 65535 */
	uint32_t n;
};

static inline uint8_t *nf_buffer(const struct nf_region *r, uint32_t idx)
{
	return r->bufs + (size_t)idx * r->stride;
}

/* Written by the thread, read by anybody. */
struct nf_stats {
	uint64_t in;	  /* packets taken from inputs */
	uint64_t out;	  /* packets put into outputs, or out of the group */
	uint64_t kept;	  /* of in, those that NF keeps or kept */
	uint64_t made;	  /* clones and new ones */
	uint64_t freed;	  /* of kept and made */
	uint64_t busy_ns; /* turns that did something */
	uint64_t drops[NF_DROP_N];
	uint64_t reasons[GLEN_NF_REASONS_MAX];
	uint64_t counters[GLEN_NF_COUNTERS_MAX];
};

/* Adds to a counter of which the calling thread is the only writer. */
static inline void nf_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

struct nf_input {
	struct pipe_in in;
	unsigned n_held, held_at;
	struct glen_nf_packet *held; /* GLEN_NF_BATCH_MAX */
};

/* Where views of a batch are made: one per running thread, so that the lines
 * stay in its cache. */
struct nf_scratch {
	struct glen_nf_packet view[GLEN_NF_BATCH_MAX];
	uint64_t now_ns;
} __attribute__((aligned(64)));

struct nf_message {
	struct nf_message *next;
	char from[2 * GLEN_PART_MAX];
	size_t len;
	uint8_t data[];
};

struct glen_nf_thread {
	void (*process)(struct glen_nf_thread *t,
			struct glen_nf_packet *packets, unsigned n);
	const struct nf_route *route;
	struct nf_region region; /* const */
	uint64_t now_ns;

	/* The batch that process() sees now. */
	struct nf_input *from;
	struct glen_nf_packet *batch;
	unsigned n_batch;

	/*
	 * spare[] names a buffer in each of its n_spare entries. Those on the
	 * stack free_at[] are free, the others hold packets of the NF's own.
	 */
	uint32_t *spare; /* shared with the broker */
	uint32_t *free_at;
	unsigned n_spare, n_free;
	unsigned n_sent; /* of its own, in this turn */

	bool blocked; /* an output was full or a bucket held in this turn */
	struct nf_timers *timers;
	void *state; /* the NF's */
	struct glen_nf *nf;
	unsigned index; /* among the instance's */
	uint16_t id;	/* in the group */
	int wake_fd;	/* eventfd that it sleeps on; -1 until then */
	/* For threads that wait for something else as well (edge.c): armed like
	 * inputs; a descriptor to poll, or -1. True: do not sleep. */
	bool (*arm)(struct glen_nf_thread *t);
	int extra_fd;
	void *broker; /* struct broker_thread */

	_Atomic(struct nf_route *) next;       /* by the broker; NULL: none */
	_Atomic uint32_t acked;		       /* epoch of the route in use */
	_Atomic(struct nf_message *) messages; /* newest first */
	_Atomic unsigned n_messages;
	struct nf_stats stats __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct glen_nf {
	const struct glen_nf_program *program;
	struct glen_nf_group *group;
	void *state;
	char name[2 * GLEN_PART_MAX]; /* "service.N" */
	unsigned n_threads;
	struct nf_runner **runners; /* group.h; NULL: has gone */
	struct glen_nf *next;	    /* in the group */
	bool started;		    /* start() was called */
	bool live;		    /* the broker knows it */
	/* What it asked numbers for (broker.h). */
	struct broker_wants *wants;
};

/* CLOCK_MONOTONIC. */
uint64_t nf_clock(void);

/*
 * One turn; returns how many packets moved. *again: call it again soon. s is of
 * who calls; s->now_ns is the time, and later at the end if anything was done.
 */
unsigned nf_turn(struct glen_nf_thread *t, struct nf_scratch *s, bool *again);

/* Takes a route table that was published, if any. Between turns. */
void nf_adopt(struct glen_nf_thread *t);

/*
 * dispatch.c: does what verdicts of v[0..n) say, in order; returns how many
 * were done, the rest waits for an output. Of the input t->from, whose slots
 * from its tail on are theirs; they are not released. Outputs are not
 * published.
 */
unsigned nf_dispatch(struct glen_nf_thread *t, struct glen_nf_packet *v,
		     unsigned n);
/* The same for packets of its own; their spare entries become free. */
unsigned nf_dispatch_own(struct glen_nf_thread *t, struct glen_nf_packet *v,
			 unsigned n);
void nf_publish(struct glen_nf_thread *t);

/* timer.c: calls what is due. message.c: delivers what has come. */
bool nf_timers_run(struct glen_nf_thread *t);
/* When the next timer is due; UINT64_MAX: never. */
uint64_t nf_timers_next(const struct glen_nf_thread *t);
void nf_timers_free(struct glen_nf_thread *t);
void nf_messages_run(struct glen_nf_thread *t);
void nf_messages_free(struct glen_nf_thread *t);
void nf_message_push(struct glen_nf_thread *t, struct nf_message *m);

/* thread.c: until *quit, sleeping when idle. */
void nf_thread_loop(struct glen_nf_thread *t, atomic_bool *quit);

#endif
