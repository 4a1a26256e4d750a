/* SPDX-License-Identifier: BSD-2-Clause */
/* doorbell.h - signal an eventfd of a peer's without ever waiting for it. */
#ifndef CORE_DOORBELL_H
#define CORE_DOORBELL_H
/*
 * Theory of operation
 *
 * A guest's "call" is an eventfd that came from the other side, which holds the
 * same open file: it can clear O_NONBLOCK at any time and fill the counter, and
 * a write() to it then waits for ever, and with it all ports of the worker.
 * (It cannot be opened anew, as we do with pipes: it has no inode of its own.)
 * The kernel itself signals eventfds without waiting; one way to have it do so
 * is a request of the kernel's asynchronous I/O with IOCB_FLAG_RESFD: an empty
 * write to /dev/null, which is complete at once, signals the eventfd in the
 * name of its completion. A counter that is full stays full.
 *
 *   doorbell_ring(d, fd):  io_submit(write nothing to /dev/null, signal fd)
 *
 * Measured here: 0.74 us, a write() 0.26 us; it happens once per batch at most,
 * and only if the receiver sleeps.
 *
 * Each worker has a doorbell of its own, and the control thread one; each is
 * for one thread at a time.
 */
#include <linux/aio_abi.h>
#include <stdbool.h>

#include "include/glen/glen.h"

struct engine;

struct doorbell {
	aio_context_t context; /* 0: there is none yet */
	int null_fd;	       /* /dev/null, for writing; borrowed */
};

/*
 * Control thread, from a driver's open(): makes the doorbells of an engine's
 * workers, if there are none yet; they go with the engine. -EAGAIN, -ENOSYS or
 * -ENFILE with the cure in error.
 */
int engine_doorbells(struct engine *engine, struct glen_error *error);

/* For engine.c: frees it. All zero is fine. */
void doorbell_fini(struct doorbell *d);

/*
 * Signals the eventfd fd. A system call that never waits. False if fd is not
 * an eventfd or the kernel had no memory.
 */
bool doorbell_ring(struct doorbell *d, int fd);

#endif
