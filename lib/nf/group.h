/* SPDX-License-Identifier: BSD-2-Clause */
/* group.h - a trust group inside this process: struct glen_nf_group. */
#ifndef LIB_NF_GROUP_H
#define LIB_NF_GROUP_H
/*
 * Theory of operation
 *
 * A group is a broker (broker.h), a region of anonymous memory, and a runner
 * for each thread of each instance. In poll mode nobody but the caller runs
 * anything: glen_nf_group_poll() gives every runner a turn, and control
 * functions let the broker finish at once what needs no packet to move. After
 * glen_nf_group_start() every runner has a thread, and one more thread steps
 * the broker while something is pending.
 *
 * The lock is held around every use of the broker and of the lists here. It is
 * never held while an NF's code runs.
 */
#include <pthread.h>
#include <semaphore.h>

#include "lib/nf/broker.h"

struct nf_runner {
	struct broker_thread bt;
	struct glen_nf_thread *t;
	struct nf_runner *next;
	pthread_t thread;
	bool has_thread;
	int cpu;	   /* -1: anywhere */
	bool begun;	   /* thread_start() was called, in poll mode */
	sem_t ready, go;   /* thread_start() is done; begin */
	atomic_bool quit;  /* shall end */
	atomic_bool ended; /* has ended */
	int err;	   /* of thread_start() */
	struct glen_error error;
};

struct glen_nf_group {
	pthread_mutex_t lock;
	struct broker broker;
	size_t region_size;
	struct glen_nf *nfs;
	struct nf_runner *runners; /* oldest first */
	bool started;		   /* glen_nf_group_start() */
	bool polling;		   /* inside glen_nf_group_poll() */
	atomic_bool pending;
	unsigned n_windows; /* ever, for colours */
	/* After _start(). */
	pthread_t stepper;
	pthread_cond_t work;
	bool quit;
	int cpus[1024];
	unsigned n_cpus, next_cpu;
	struct nf_scratch scratch; /* of poll */
};

/* The lock is held: takes the broker further, now and later. */
void group_settle(struct glen_nf_group *g);

/* Ends all threads; for good. */
void group_halt(struct glen_nf_group *g);

/* args.c */
struct glen_nf_args {
	const char *const *given; /* ends with NULL */
};
/* -EINVAL: an option that the program has not, or without a value. */
int args_check(const struct glen_nf_program *p, const char *const *given,
	       struct glen_error *error);

/* instance.c: ends and frees an instance that the broker does not know any
 * more, or never did. */
void instance_free(struct glen_nf *nf);
/* As glen_nf_add(), with the NF's state; port: the number of the port that it
 * is, -1: none, it plays a service. */
int instance_add(struct glen_nf_group *g, struct glen_nf **out,
		 const struct glen_nf_program *program,
		 const struct glen_nf_instance *c, void *state, int port,
		 struct glen_error *error);
/* Calls thread_stop(), if thread_start() was called. */
void runner_end(struct nf_runner *r);
/* In poll mode: calls thread_start(). */
int runner_begin(struct nf_runner *r);
/* The broker's callback: frees a runner. */
void runner_gone(struct nf_runner *r);
/* Starts a thread for a runner; it waits for go. -EAGAIN, or what
 * thread_start() says, with a sentence. */
int runner_start(struct nf_runner *r, struct glen_error *error);
/* Its eventfd; -EMFILE. */
int runner_wake_open(struct nf_runner *r);

#endif
