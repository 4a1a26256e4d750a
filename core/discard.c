// SPDX-License-Identifier: BSD-2-Clause
// discard.c - a thread that closes what may have to be waited for.
#include "core/discard.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct discard {
	pthread_mutex_t lock; /* guards the rest; not held over close() */
	unsigned refs;	      /* the owner's, and the thread's */
	unsigned n;
	bool running; /* there is a thread */
	int fd[DISCARD_MAX];
};

struct discard *discard_create(void)
{
	struct discard *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	pthread_mutex_init(&d->lock, NULL);
	d->refs = 1;
	return d;
}

/* With the lock, which is released. */
static void put(struct discard *d)
{
	bool last = --d->refs == 0;

	pthread_mutex_unlock(&d->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void discard_destroy(struct discard *d)
{
	if (!d)
		return;
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

	pthread_mutex_lock(&d->lock);
	while (d->n) {
		int fd = d->fd[--d->n];

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

void discard_fd(struct discard *d, int fd)
{
	bool taken = false;

	if (fd < 0)
		return;
	if (d && !closes_at_once(fd)) {
		pthread_mutex_lock(&d->lock);
		if (d->n < DISCARD_MAX) {
			d->fd[d->n++] = fd;
			d->running = d->running || start(d);
			taken = d->running;
			d->n -= !taken;
		}
		pthread_mutex_unlock(&d->lock);
	}
	if (!taken)
		close(fd);
}

bool discard_is_full(struct discard *d)
{
	bool full;

	if (!d)
		return false;
	pthread_mutex_lock(&d->lock);
	full = DISCARD_MAX - d->n < DISCARD_ROOM;
	pthread_mutex_unlock(&d->lock);
	return full;
}
