// SPDX-License-Identifier: BSD-2-Clause
// discard.c - a thread that closes what may have to be waited for.
#include "core/discard.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SIZE_MIN = 32 };

struct discard {
	pthread_mutex_t lock; /* guards the rest; not held over close() */
	unsigned refs;	      /* the owner's, and the thread's */
	unsigned n, size;     /* of fd[], which grows */
	bool running;	      /* there is a thread */
	int *fd;
	/* The queue, outside the lock; free-running. */
	uint32_t n_queue;      /* const */
	_Atomic uint64_t head; /* written with the lock */
	_Atomic uint64_t tail; /* written by the worker */
	int queue[];
};

struct discard *discard_create(unsigned n_queue)
{
	struct discard *d = calloc(1, sizeof(*d) + n_queue * sizeof(int));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->refs = 1;
	d->n_queue = n_queue;
	return d;
}

/* With the lock: one to be closed, or -1. */
static int take(struct discard *d)
{
	uint64_t head = atomic_load(&d->head);
	int fd;

	if (d->n)
		return d->fd[--d->n];
	/* pairs with the store in enqueue() */
	if (head == atomic_load_explicit(&d->tail, memory_order_acquire))
		return -1;
	fd = d->queue[head % d->n_queue];
	/* pairs with the load in discard_has_room() */
	atomic_store_explicit(&d->head, head + 1, memory_order_release);
	return fd;
}

/* With the lock, which is released. */
static void put(struct discard *d)
{
	bool last = --d->refs == 0;
	int fd;

	pthread_mutex_unlock(&d->lock);
	if (!last)
		return;
	/* There is something if no thread could be made. */
	while ((fd = take(d)) >= 0)
		close(fd);
	pthread_mutex_destroy(&d->lock);
	free(d->fd);
	free(d);
}

void discard_destroy(struct discard *d)
{
	if (!d)
		return;
	discard_collect(d);
	pthread_mutex_lock(&d->lock);
	put(d);
}

/* Nobody else has a part in closing these. */
static bool closes_at_once(int fd)
{
	char path[32], text[32];
	ssize_t n;

	/* Only files of tmpfs and hugetlbfs have seals. */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return !strcmp(text, "anon_inode:[eventfd]");
}

static void *run(void *arg)
{
	struct discard *d = arg;
	int fd;

	pthread_mutex_lock(&d->lock);
	while ((fd = take(d)) >= 0) {
		pthread_mutex_unlock(&d->lock);
		close(fd);
		pthread_mutex_lock(&d->lock);
	}
	d->running = false;
	put(d);
	return NULL;
}

/* With the lock. Signals are for the control thread. */
static bool start(struct discard *d)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, NULL, run, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return false;
	pthread_detach(thread);
	d->refs++;
	return true;
}

/* With the lock. False: no memory. */
static bool append(struct discard *d, int fd)
{
	unsigned size = d->size ? 2 * d->size : SIZE_MIN;
	int *more;

	if (d->n == d->size) {
		more = realloc(d->fd, size * sizeof(*more));
		if (!more)
			return false;
		d->fd = more;
		d->size = size;
	}
	d->fd[d->n++] = fd;
	return true;
}

void discard_fd(struct discard *d, int fd)
{
	bool taken = false;

	if (fd < 0)
		return;
	if (d && !closes_at_once(fd)) {
		pthread_mutex_lock(&d->lock);
		if (append(d, fd)) {
			d->running = d->running || start(d);
			taken = d->running;
			d->n -= !taken;
		}
		pthread_mutex_unlock(&d->lock);
	}
	if (!taken)
		close(fd);
}

void discard_connection(struct discard *d, int fd)
{
	int left;

	if (fd < 0)
		return;
	/* Nothing can come any more; what has come is closed with it. */
	shutdown(fd, SHUT_RDWR);
	if (!ioctl(fd, FIONREAD, &left) && !left)
		close(fd);
	else
		discard_fd(d, fd);
}

bool discard_is_full(struct discard *d)
{
	bool full;

	if (!d)
		return false;
	pthread_mutex_lock(&d->lock);
	full = d->n > DISCARD_MAX;
	pthread_mutex_unlock(&d->lock);
	return full || (d->n_queue && !discard_has_room(d, DISCARD_SCM_MAX));
}

bool discard_has_room(const struct discard *d, unsigned n)
{
	uint64_t used = atomic_load_explicit(&d->tail, memory_order_relaxed) -
			atomic_load_explicit(&d->head, memory_order_acquire);

	return d->n_queue - used >= n;
}

static void enqueue(struct discard *d, int fd)
{
	uint64_t tail = atomic_load_explicit(&d->tail, memory_order_relaxed);

	d->queue[tail % d->n_queue] = fd;
	/* pairs with the load in take() */
	atomic_store_explicit(&d->tail, tail + 1, memory_order_release);
}

/* Hands over what came with the message; true if something did, or would have
 * if this process could open more files. */
static bool each_fd(struct discard *d, struct msghdr *msg,
		    void (*give)(struct discard *d, int fd))
{
	bool any = msg->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			give(d, fd);
		}
		any = any || n;
	}
	return any;
}

bool discard_message(struct discard *d, struct msghdr *msg)
{
	return each_fd(d, msg, enqueue);
}

bool discard_message_fds(struct discard *d, struct msghdr *msg)
{
	return each_fd(d, msg, discard_fd);
}

void discard_collect(struct discard *d)
{
	if (!d || discard_has_room(d, d->n_queue))
		return;
	pthread_mutex_lock(&d->lock);
	d->running = d->running || start(d);
	pthread_mutex_unlock(&d->lock);
}
