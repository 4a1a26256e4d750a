/* SPDX-License-Identifier: BSD-2-Clause */
/* glen/nf.h - write a network function: a callback over batches of packets. */
#ifndef GLEN_NF_H
#define GLEN_NF_H
/*
 * Theory of operation
 *
 * A network function (NF) is a program that is shown packets and says what
 * becomes of each. It plays a *service*, a role with a name ("firewall");
 * several *instances* may play the same one and share its packets. A *chain* is
 * an ordered list of services. All that exchange packets by reference form a
 * *trust group*: one region of packet buffers that every member can read and
 * write (NetVM, section III-E; docs/regions.md).
 *
 *     port -> steering -> [pipe] firewall.0 [pipe] -> monitor.0 -> port
 *                  \----> [pipe] firewall.1 [pipe] --/
 *
 * Between two threads of two instances packets go through a *pipe*: a ring with
 * one producer and one consumer, in memory that only those two have. Both ends
 * exchange buffers: a slot that carried a packet carries an empty buffer back.
 * So the number of buffers that a thread has never changes, nobody allocates,
 * and what a member that died had is known: it is what its slots name.
 *
 * A thread's turn: it looks at its input pipes one after the other and takes
 * up to a batch of packets from one, without removing them; the callback reads
 * and writes them where they lie and leaves a verdict for each; then the slots
 * are exchanged with those of the pipes that the verdicts lead to, and the
 * input is released. An output that is full stops that input (back-pressure),
 * packets stay where they are and the callback is not called for them again;
 * so the excess is dropped where packets enter the chain, before any work was
 * spent on them. Where chains form a loop, the pipe that closes it drops
 * instead (reason "loop_full"), or nobody in it could ever go on.
 *
 * A group lives inside one process: glen_nf_group_create() makes it, and
 * glen_nf_group_poll() runs all its NFs in one thread, or glen_nf_group_start()
 * gives each thread of them a thread of its own.
 *
 * Threads. An NF has one or more threads, each with its own pipes, its own
 * struct glen_nf_thread and its own counters; they share nothing but what the
 * NF's author shares. A flow stays with one thread as long as the set of
 * instances does not change. Functions that take a struct glen_nf_thread are
 * for that thread, from within its callbacks, and never sleep. Functions that
 * take a struct glen_nf or a group are control functions: one thread at a time,
 * not from process().
 *
 * Packets. A packet lies in one buffer, contiguously, of at most the group's
 * buf_size bytes less headroom; longer ones are not let in (a counted drop at
 * the entry, "too_long"). Whoever writes more than p->len plus tailroom, or
 * before data minus headroom, spoils the group's packets and nothing else.
 *
 * Limits are the enum below; beyond them functions fail with -ENOSPC or
 * -EINVAL and say so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glen/glen.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum {
	GLEN_NF_BATCH_MAX = 256,    /* packets of one call of process() */
	GLEN_NF_THREADS_MAX = 16,   /* of an instance */
	GLEN_NF_SERVICES_MAX = 256, /* of a group */
	GLEN_NF_CHAINS_MAX = 4096,  /* of a group */
	GLEN_NF_CHAIN_LEN_MAX = 64, /* services of a chain */
	GLEN_NF_PORTS_MAX = 256,    /* of a group */
	GLEN_NF_WEIGHT_MAX = 100,   /* of an instance */
	GLEN_NF_INSTANCES_MAX = 64, /* of a service */
	GLEN_NF_HOPS_MAX = 64,	    /* that one packet may take: what goes
				     * round in a loop is dropped then */
	GLEN_NF_REASONS_MAX = 32,   /* of drops, named by one NF */
	GLEN_NF_COUNTERS_MAX = 32,  /* named by one NF */
	GLEN_NF_HEADROOM = 128,	    /* bytes in front of a packet as it enters,
				     * if its port's driver leaves them */
};

struct glen_nf;	       /* an instance */
struct glen_nf_thread; /* one of its threads */
struct glen_nf_group;  /* a trust group inside this process */

/* Packets and verdicts. */

/*
 * A packet, as process() sees it. data and len may be changed within the room
 * that there is, by glen_nf_push(), _pop() and _resize(), which keep headroom
 * and tailroom right. 32 bytes: two per line.
 */
struct glen_nf_packet {
	uint8_t *data;	   /* first byte of the Ethernet frame */
	uint32_t len;	   /* bytes */
	uint32_t verdict;  /* what becomes of it; GLEN_NF_NEXT when process() is
			    * called */
	uint16_t headroom; /* bytes before data that may be used */
	uint16_t hash;	   /* of its flow as it entered the group, the same in
			    * both directions; not 0 */
	uint16_t chain;	   /* the chain it is in; GLEN_NF_NO_CHAIN */
	uint8_t index;	   /* of this service in the chain (RFC 7665's service
			    * index, counted up) */
	uint8_t hops;	   /* that it took already */
	uint16_t tailroom; /* bytes behind data + len that may be used */
	uint16_t in;	   /* port it entered by, see glen_nf_port_name() */
	uint32_t slot;	   /* of the runtime: not to be changed */
};

enum {
	GLEN_NF_NO_CHAIN = 0xffff,

	/* Kinds of verdicts, in the upper byte; made by the functions below. */
	GLEN_NF_NEXT = 0 << 24, /* to the chain's next service, or its exit */
	GLEN_NF_DROP = 1 << 24,
	GLEN_NF_SERVICE = 2 << 24,
	GLEN_NF_CHAIN = 3 << 24,
	GLEN_NF_OUT = 4 << 24,
	GLEN_NF_KEPT = 5 << 24, /* glen_nf_keep() did it */
	GLEN_NF_KIND = 0x7f << 24,
};

/* On in its chain: to the next service; behind the last one to the chain's
 * exit. In no chain: dropped as "no_chain". */
static inline uint32_t glen_nf_next(void)
{
	return GLEN_NF_NEXT;
}

/* Nowhere; reason is the index of a name in the NF's reasons. */
static inline uint32_t glen_nf_drop(unsigned reason)
{
	return GLEN_NF_DROP | (reason & 0xffff);
}

/*
 * To an instance of a service, whose number glen_nf_service() gave. It stays in
 * its chain: NEXT there goes on behind the place where it was. Without
 * instances: dropped as "no_instance".
 */
static inline uint32_t glen_nf_to_service(unsigned service)
{
	return GLEN_NF_SERVICE | (service & 0xffff);
}

/* To the first service of another chain, whose number glen_nf_chain() gave. */
static inline uint32_t glen_nf_to_chain(unsigned chain)
{
	return GLEN_NF_CHAIN | (chain & 0xffff);
}

/* Out of the group by a port, whose number glen_nf_port() gave. */
static inline uint32_t glen_nf_out(unsigned port)
{
	return GLEN_NF_OUT | (port & 0xffff);
}

/* n bytes more in front of the packet, not cleared. False: no room. */
static inline bool glen_nf_push(struct glen_nf_packet *p, unsigned n)
{
	if (n > p->headroom)
		return false;
	p->data -= n;
	p->len += n;
	p->headroom = (uint16_t)(p->headroom - n);
	return true;
}

/* n bytes off its front. False: it is shorter. */
static inline bool glen_nf_pop(struct glen_nf_packet *p, unsigned n)
{
	if (n > p->len)
		return false;
	p->data += n;
	p->len -= n;
	p->headroom = (uint16_t)(p->headroom + n);
	return true;
}

/* Gives the packet len bytes, at its end. False: no room. */
static inline bool glen_nf_resize(struct glen_nf_packet *p, unsigned len)
{
	if (len > p->len + p->tailroom)
		return false;
	p->tailroom = (uint16_t)(p->tailroom + p->len - len);
	p->len = len;
	return true;
}

/* What an NF is. */

/* One option of an NF: "NAME=VALUE", or "NAME" if it is a flag. */
struct glen_nf_option {
	const char *name;
	const char *value; /* what --help calls its value; NULL: a flag */
	const char *help;
};

/* The values of an instance's options, borrowed during start(). */
struct glen_nf_args;
/* NULL: not given; a flag that was given is "". Of one given several times the
 * n-th, counted from 0. */
const char *glen_nf_arg(const struct glen_nf_args *args, const char *name,
			unsigned n);

/*
 * An NF program: what is the same in all instances. Static data of the NF.
 * Every callback but process() (or packet()) may be NULL.
 */
struct glen_nf_program {
	uint32_t size;	  /* sizeof(struct glen_nf_program) */
	const char *name; /* "firewall": the service, unless told otherwise */
	const char *summary;		      /* one sentence, for --help */
	const struct glen_nf_option *options; /* ends with a NULL name */
	const char *const *reasons;	      /* why it drops; ends with NULL */
	const char *const *counters; /* what it counts; ends with NULL */

	/*
	 * An instance begins: reads its options, makes its state and stores it
	 * with glen_nf_set_state(). Before any thread runs. -errno and a
	 * sentence: the instance does not start.
	 */
	int (*start)(struct glen_nf *nf, const struct glen_nf_args *args,
		     struct glen_error *error);
	/* The instance ends; no thread runs any more. Frees its state. */
	void (*stop)(struct glen_nf *nf);
	/* The same for each thread, in that thread. */
	int (*thread_start)(struct glen_nf_thread *t, struct glen_error *error);
	void (*thread_stop)(struct glen_nf_thread *t);

	/*
	 * n packets, 1 to GLEN_NF_BATCH_MAX; sets packets[i].verdict where it
	 * is not to be GLEN_NF_NEXT. The views are valid during the call.
	 */
	void (*process)(struct glen_nf_thread *t,
			struct glen_nf_packet *packets, unsigned n);
	/* Instead of process(): one packet; returns its verdict. */
	uint32_t (*packet)(struct glen_nf_thread *t, struct glen_nf_packet *p);
	/*
	 * Every turn of a thread, with or without packets: for NFs that make
	 * packets. True: call it again soon, do not sleep.
	 */
	bool (*turn)(struct glen_nf_thread *t);
	/* A message for this instance, on its first thread. */
	void (*message)(struct glen_nf_thread *t, const char *from,
			const void *data, size_t len);
};

/* The instance's and the thread's state, the NF's own. NULL at first. */
void glen_nf_set_state(struct glen_nf *nf, void *state);
void *glen_nf_state(const struct glen_nf *nf);
void glen_nf_thread_set_state(struct glen_nf_thread *t, void *state);
void *glen_nf_thread_state(const struct glen_nf_thread *t);
struct glen_nf *glen_nf_of(const struct glen_nf_thread *t);
/* Of this thread among its instance's, and how many those are. */
unsigned glen_nf_thread_index(const struct glen_nf_thread *t);
unsigned glen_nf_threads(const struct glen_nf *nf);
/* "service.N", borrowed. */
const char *glen_nf_name(const struct glen_nf *nf);

/*
 * Numbers for verdicts. Asking makes the group's broker lay pipes there, and
 * keeps the number valid as long as the instance lives, whether the service,
 * chain or port exists at the moment or not. From start() or between turns.
 * -EINVAL (no name can be that), -ENOSPC.
 */
int glen_nf_service(struct glen_nf *nf, const char *name);
int glen_nf_chain(struct glen_nf *nf, const char *name);
int glen_nf_port(struct glen_nf *nf, const char *name);
/* The name of a port's number, "" if there is none; borrowed. */
const char *glen_nf_port_name(const struct glen_nf *nf, unsigned port);

/* Packets that stay, and packets of one's own. */

/*
 * Takes packet p out of process()'s batch: *mine is a view of it that stays
 * valid until it is sent or freed, and p's verdict is GLEN_NF_KEPT. Costs one
 * of the thread's spare buffers. -ENOBUFS: it has none left; p is as it was.
 */
int glen_nf_keep(struct glen_nf_thread *t, struct glen_nf_packet *p,
		 struct glen_nf_packet *mine);

/* A copy of p, with its chain and index, in a spare buffer. -ENOBUFS. */
int glen_nf_clone(struct glen_nf_thread *t, const struct glen_nf_packet *p,
		  struct glen_nf_packet *mine);

/* A packet of len bytes, not cleared, in no chain, in a spare buffer.
 * -ENOBUFS; -EMSGSIZE: no buffer is that large. */
int glen_nf_alloc(struct glen_nf_thread *t, unsigned len,
		  struct glen_nf_packet *mine);

/*
 * Sends packets that were kept, cloned or made where their verdicts say, in
 * order. Returns how many were taken, from the front: fewer than n if an output
 * is full, then the rest is still the caller's. Drops among them count as
 * taken.
 */
unsigned glen_nf_send(struct glen_nf_thread *t, struct glen_nf_packet *mine,
		      unsigned n);

/* Gives the buffer back; counted as "freed". */
void glen_nf_free(struct glen_nf_thread *t, struct glen_nf_packet *mine);

/* Spare buffers that the thread has left. */
unsigned glen_nf_spare(const struct glen_nf_thread *t);

/* Time, counters, messages. */

/* Monotonic nanoseconds, read once per turn. */
uint64_t glen_nf_now_ns(const struct glen_nf_thread *t);

/* Adds to one of the NF's own counters (an index of program->counters). */
void glen_nf_count(struct glen_nf_thread *t, unsigned counter, uint64_t n);

/*
 * Calls fn(t, arg) once in delay_ns or later, in this thread, between turns.
 * Returns a number for glen_nf_timer_cancel(), or -ENOMEM. A timer ends by
 * itself when it was called.
 */
int64_t glen_nf_timer(struct glen_nf_thread *t, uint64_t delay_ns,
		      void (*fn)(struct glen_nf_thread *t, void *arg),
		      void *arg);
/* False: it was called already. */
bool glen_nf_timer_cancel(struct glen_nf_thread *t, int64_t timer);

/*
 * Sends a message of up to 65,536 bytes to all instances of a service or to one
 * ("service.N"). It may be lost if the receiver ends. -ENOENT: nobody of that
 * name; -EMSGSIZE; -EAGAIN: 256 messages wait there already, or the group is
 * being changed at this moment.
 */
int glen_nf_message(struct glen_nf_thread *t, const char *to, const void *data,
		    size_t len);

/* Inside one process. */

/* Zero what you do not care about. */
struct glen_nf_group_config {
	unsigned bufs;	     /* of the region; 0 = 262,144. Memory is taken as
			      * they are used */
	unsigned buf_size;   /* bytes; 0 = 2048; 256 to 65,535 */
	unsigned pipe_slots; /* a power of two, 64 to 4096; 0 = 1024 */
	int numa_node;	     /* where its memory lies, counted from 1; 0:
			      * wherever the kernel puts it */
};

/* Makes a group; *group is the caller's. -EINVAL, -ENOMEM. */
int glen_nf_group_create(struct glen_nf_group **group,
			 const struct glen_nf_group_config *config,
			 struct glen_error *error);
/* Stops and frees all. NULL is fine. */
void glen_nf_group_destroy(struct glen_nf_group *group);

/* How an instance takes part. Zero what you do not care about. */
struct glen_nf_instance {
	const char *service;	 /* NULL: the program's name */
	const char *const *args; /* "name=value" or "flag"; ends with NULL */
	unsigned threads;	 /* 0 = 1 */
	unsigned spare;		 /* buffers per thread to keep, clone, make: 0 =
				  * 256 */
	unsigned weight;	 /* of its share among the instances; 0 = 1 */
};

/*
 * Starts an instance. It is in the group as soon as this returns and gets
 * packets from its service's next batch on. *nf is borrowed, until
 * glen_nf_remove() or the group's end.
 */
int glen_nf_add(struct glen_nf_group *group, struct glen_nf **nf,
		const struct glen_nf_program *program,
		const struct glen_nf_instance *instance,
		struct glen_error *error);

/*
 * Ends an instance. New packets go to the others at once; what lies in its
 * queues already it processes first (drain), or it is dropped and counted as
 * "removed". With glen_nf_group_poll() draining happens within this call.
 */
void glen_nf_remove(struct glen_nf *nf, bool drain);

/*
 * Makes or changes a chain: n services by name, which need not have instances
 * yet. exit: the port by which packets leave behind the last one, NULL: they
 * are dropped there as "no_exit". n = 0 removes it.
 */
int glen_nf_group_chain(struct glen_nf_group *group, const char *name,
			const char *const *services, unsigned n,
			const char *exit, struct glen_error *error);

/* How packets are spread over the instances of a service. */
enum glen_nf_balance {
	/* By the flow's hash, consistently: another instance takes over its
	 * share of the flows, the others stay where they are. */
	GLEN_NF_BALANCE_FLOW,
	GLEN_NF_BALANCE_ROUND_ROBIN, /* one packet each in turn, by weight */
	/* To the shortest queue, packet by packet: flows lose their order. */
	GLEN_NF_BALANCE_LEAST_QUEUE,
	/* New flows to the shortest queue; a flow that has been seen within the
	 * last 30 seconds stays where it is. */
	GLEN_NF_BALANCE_LEAST_QUEUE_FLOW,
};
int glen_nf_group_balance(struct glen_nf_group *group, const char *service,
			  enum glen_nf_balance balance,
			  struct glen_error *error);

/*
 * Connects a port of a switch with the group. What the port receives enters
 * chain (NULL: the port is only an exit); the port's name without the switch's
 * is the exit's. The port is the group's until it ends, and closed then.
 * Packets are copied once each way. -EEXIST: the group has a port of that name;
 * -EINVAL, -ENOSPC, -ENOMEM; the port is the caller's then.
 */
int glen_nf_group_attach(struct glen_nf_group *group, struct glen_port *port,
			 const char *chain, struct glen_error *error);

/* Runs one turn of every thread of every instance; how many packets moved, 0:
 * no NF had anything to do. Not after _start(). */
unsigned glen_nf_group_poll(struct glen_nf_group *group);

/* Starts a thread for every thread of every instance, also of those added
 * later; they sleep when idle. cpus: "0-1,4", NULL: wherever. */
int glen_nf_group_start(struct glen_nf_group *group, const char *cpus,
			struct glen_error *error);

/*
 * What is going on, as a JSON text that the caller frees with free(): services,
 * instances (packets in, out, kept, drops by reason, queue depth, ns per
 * packet), chains, and where every buffer is: {"buffers": {"total", "free",
 * "held": {name: n}}}. free and held add up to total, exactly when the group is
 * at rest.
 */
int glen_nf_group_show(struct glen_nf_group *group, char **text);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
