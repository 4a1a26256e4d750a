/* SPDX-License-Identifier: BSD-2-Clause */
/* broker.h - which pipes exist and who may use them: a group's control. */
#ifndef LIB_NF_BROKER_H
#define LIB_NF_BROKER_H
/*
 * Theory of operation
 *
 * The broker knows a group's services, chains, ports and threads, and derives
 * everything else: which pipes there must be, every thread's route table, which
 * pipes close a loop, and which buffers are whose. It never touches a packet
 * and never waits: broker_update() starts a change, broker_step() takes it
 * further as threads acknowledge and pipes drain, until nothing is pending.
 *
 * A pipe must exist from each thread that may send to a service to every thread
 * of its instances: from who plays the service before it in a chain, or gave it
 * by verdict (broker_wants). Ports are threads of the group, too: what they
 * receive enters a chain, and what goes out by them is put into their pipes.
 *
 * A change of routes
 *
 *   1. every thread gets a new table with the next epoch
 *   2. every thread acknowledges the epoch: it uses nothing else any more
 *   3. what only old tables named can be taken further
 *
 * The end of a pipe
 *
 *   OPEN --(no table of the producer names it)--> CUT
 *   CUT --(the producer acknowledged, or is no more)--> DRAIN
 *   DRAIN --(it is empty, or the consumer is no more)--> GONE, and the consumer
 *           gets a table without it
 *   GONE --(the consumer acknowledged, or is no more)--> freed: what its slots
 *           name goes to the free pool
 *
 * A pipe that is wanted again before it is freed becomes OPEN again.
 *
 * A thread that leaves is no candidate any more, its inputs end like that, and
 * when all have been freed it has seen all that was for it (with drain); then
 * it is stopped and its outputs end. Without drain it is stopped as soon as
 * nobody puts anything into its inputs; what lies in them is counted
 * ("removed").
 *
 * Flows keep their order when they move. A service that balances by flow has a
 * map of its buckets to candidates. When the candidates change, the buckets
 * whose candidate is another one than before are HELD in the new tables:
 * senders let packets of theirs wait in their inputs. Then
 *
 *   a. all senders have acknowledged: nothing more of those buckets goes to
 *      where it went. The heads of all inputs of the old candidates are noted.
 *   b. those inputs have been released that far: what there was of those flows
 *      has been put into the outputs of the old candidates. The heads of all
 *      outputs of the old candidates are noted.
 *   c. those outputs have been released that far: it has been put further by
 *   who
 *      comes behind. New tables without HELD.
 *
 * Whoever comes behind both the old and the new candidate of a flow is the same
 * thread (it is chosen by the same hash), and puts packets further in the order
 * in which it takes them; so from there on the order is kept because pipes keep
 * it. Packets that an NF keeps to itself are its own affair.
 *
 * Loops. Services are nodes, pipes are edges; depth first from the entries, an
 * edge to a node on the path closes a loop. Its pipes drop when they are full
 * ("loop_full"); what remains has no loop and ends at sinks, so somebody can
 * always go on.
 *
 * Buffers. Each is named by one place: a slot of a pipe, an entry of a thread's
 * spare array, or the free pool. broker_audit() looks at all of them.
 *
 * Whoever shares a broker holds its lock around every call. Where pipes' memory
 * comes from, how a table reaches a thread and how a thread is stopped are
 * callbacks (struct broker_ops): embedded, memory of the process, a pointer and
 * a join; of glend's groups, memfds, messages and a socket.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/nf/balance.h"
#include "lib/nf/route.h"
#include "lib/nf/run.h"

enum {
	BROKER_THREADS_MAX = 4096, /* of a group, at any time */
};

/* What a member asked for by glen_nf_service(), _chain() and _port(). */
struct broker_wants {
	bool service[GLEN_NF_SERVICES_MAX];
	bool chain[GLEN_NF_CHAINS_MAX];
	bool port[GLEN_NF_PORTS_MAX];
};

enum pipe_state { PIPE_OPEN, PIPE_CUT, PIPE_DRAIN, PIPE_GONE };

struct broker_pipe {
	struct broker_pipe *next; /* of the producer */
	struct broker_thread *from, *to;
	enum pipe_state state;
	bool wanted, loop;
	uint32_t mark; /* see "keep their order" */
	struct pipe_window *window;
	void *memory; /* of the owner's callbacks */
	struct nf_input input;
	struct pipe_out out;
};

enum thread_state { THREAD_LIVE, THREAD_LEAVING, THREAD_STOPPED };

struct broker_thread {
	struct broker_thread *next;
	uint16_t id;
	enum thread_state state;
	bool drain;
	bool stopping; /* was told to end, and takes no tables any more */
	uint16_t weight;
	char name[2 * GLEN_PART_MAX + 16];
	struct broker_service *service; /* NULL: a port */
	int port;			/* that it is; -1 */
	const struct broker_wants *wants;
	struct broker_pipe *pipes;	/* that it produces into */
	struct nf_route *route;		/* published last */
	struct nf_route *old;		/* before that, not yet freed */
	struct balance_memory **memory; /* by number of service and port */
	uint32_t *spare;
	unsigned n_spare;
	struct glen_nf_thread *t;
};

enum hold_phase { HOLD_NONE, HOLD_TABLES, HOLD_INPUTS, HOLD_OUTPUTS };

struct broker_service {
	char name[GLEN_PART_MAX + 1];
	unsigned number;
	enum glen_nf_balance balance;
	enum hold_phase hold;
	uint16_t map[BALANCE_BUCKETS];	    /* in use */
	uint16_t map_next[BALANCE_BUCKETS]; /* while it is held */
	/* Of the search for loops. */
	enum { WALK_NEW, WALK_PATH, WALK_DONE } walk;
};

struct broker_chain {
	char name[GLEN_PART_MAX + 1];
	struct nf_chain chain;
};

struct broker_ops {
	/* A zeroed, 64-byte aligned window; NULL: no memory. */
	struct pipe_window *(*pipe_memory)(void *arg, size_t size,
					   void **memory);
	void (*pipe_free)(void *arg, struct pipe_window *w, size_t size,
			  void *memory);
	/* A table is in t->t->next: the thread shall look, if it sleeps. */
	void (*published)(void *arg, struct broker_thread *t);
	/* Tells it to end; true: it has ended. Called again until then. */
	bool (*stop)(void *arg, struct broker_thread *t);
	/* It has no pipes any more and will be freed. */
	void (*gone)(void *arg, struct broker_thread *t);
};

struct broker {
	const struct broker_ops *ops;
	void *arg;
	struct nf_region region; /* its bufs may be NULL */
	unsigned pipe_slots;
	uint32_t epoch;
	bool stale;	/* there was no memory for all tables of the epoch */
	uint32_t *pool; /* free buffers */
	uint32_t n_pool;
	uint64_t removed; /* packets that lay in pipes of who was removed */
	struct broker_thread *threads, **last;
	struct broker_thread *by_id[BROKER_THREADS_MAX];
	unsigned n_services, n_chains, n_ports;
	struct broker_service *service[GLEN_NF_SERVICES_MAX];
	struct broker_chain *chain[GLEN_NF_CHAINS_MAX];
	char port[GLEN_NF_PORTS_MAX][GLEN_PART_MAX + 1];
	struct nf_chains *chains;
	/* Scratch of broker_update(). */
	struct broker_wants want; /* targets of one thread */
	uint8_t edge[GLEN_NF_SERVICES_MAX][GLEN_NF_SERVICES_MAX];
};

/* -ENOMEM. */
int broker_init(struct broker *b, const struct broker_ops *ops, void *arg,
		const struct nf_region *region, unsigned pipe_slots);
/* All threads have been stopped. */
void broker_fini(struct broker *b);

/* Number of a name, new if make; -ENOENT, -ENOSPC, -EINVAL (a bad name). */
int broker_service(struct broker *b, const char *name, bool make);
int broker_chain(struct broker *b, const char *name, bool make);
int broker_port(struct broker *b, const char *name, bool make);

/* Takes n buffers from the pool, or gives them back. -ENOSPC. */
int broker_bufs_get(struct broker *b, uint32_t *ids, unsigned n);
void broker_bufs_put(struct broker *b, const uint32_t *ids, unsigned n);

/*
 * Puts a thread into the group: t is filled but for id and what the broker
 * keeps; n_spare buffers are taken for t->spare. -ENOSPC.
 */
int broker_thread_add(struct broker *b, struct broker_thread *t);

/*
 * Something was changed: makes pipes and tables anew and publishes. -ENOSPC:
 * not enough buffers, -ENOMEM; then some pipes that should be there are not,
 * and what they would carry is dropped as if there were no instance.
 */
int broker_update(struct broker *b);
/* Takes pending changes further; true: something is pending still. */
bool broker_step(struct broker *b);

/* broker_route.c: gives every thread a new table. -ENOMEM. */
int broker_publish(struct broker *b);
/* broker_pipes.c: makes a pipe's memory, or frees it and its buffers. */
int broker_pipe_open(struct broker *b, struct broker_thread *from,
		     struct broker_thread *to);
void broker_pipe_free(struct broker *b, struct broker_pipe *p);
/* True if any pipe leads to t. */
bool broker_has_inputs(const struct broker *b, const struct broker_thread *t);

/* A service's candidates have changed, or its balance. */
void broker_rebalance(struct broker *b, struct broker_service *s);

/* What is held by whom: total - pool, exactly once each? Returns how many
 * buffers are named not once. At rest. -ENOMEM. */
int broker_audit(const struct broker *b);

#endif
