// SPDX-License-Identifier: BSD-2-Clause
// loop.c - the control thread's event loop.
#include "core/loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int loop_init(struct loop *loop)
{
	loop->n_pending = 0;
	loop->fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->fd < 0 ? -errno : 0;
}

void loop_fini(struct loop *loop)
{
	if (loop->fd >= 0)
		close(loop->fd);
	loop->fd = -1;
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(loop->fd, EPOLL_CTL_ADD, source->fd, &event))
		return -errno;
	return 0;
}

int loop_set(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	if (epoll_ctl(loop->fd, EPOLL_CTL_MOD, source->fd, &event))
		return -errno;
	return 0;
}

void loop_del(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->fd, EPOLL_CTL_DEL, source->fd, NULL);
	for (int i = 0; i < loop->n_pending; i++)
		if (loop->pending[i] == source)
			loop->pending[i] = NULL;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_EVENTS];
	int n = epoll_wait(loop->fd, events, LOOP_EVENTS, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		loop->pending[i] = events[i].data.ptr;
	loop->n_pending = n;
	for (int i = 0; i < n; i++) {
		struct loop_source *source = loop->pending[i];

		loop->pending[i] = NULL;
		if (source)
			source->ready(source->arg, events[i].events);
	}
	loop->n_pending = 0;
	return 0;
}

static void timer_ready(void *arg, uint32_t events)
{
	struct loop_timer *timer = arg;
	uint64_t n;

	/* One that was set anew meanwhile has nothing to read. */
	if (read(timer->source.fd, &n, sizeof(n)) == sizeof(n))
		timer->ready(timer->arg);
}

int loop_timer_init(struct loop *loop, struct loop_timer *timer,
		    void (*ready)(void *arg), void *arg)
{
	int err;

	timer->source.fd = timerfd_create(CLOCK_MONOTONIC,
					  TFD_CLOEXEC | TFD_NONBLOCK);
	timer->source.ready = timer_ready;
	timer->source.arg = timer;
	timer->ready = ready;
	timer->arg = arg;
	if (timer->source.fd < 0)
		return -errno;
	err = loop_add(loop, &timer->source, EPOLLIN);
	if (err) {
		close(timer->source.fd);
		timer->source.fd = -1;
	}
	return err;
}

void loop_timer_set(struct loop_timer *timer, unsigned in_ms)
{
	struct itimerspec when = {
		.it_value = { in_ms / 1000, in_ms % 1000 * 1000000L },
	};

	timerfd_settime(timer->source.fd, 0, &when, NULL);
}

void loop_timer_fini(struct loop *loop, struct loop_timer *timer)
{
	if (timer->source.fd < 0)
		return;
	loop_del(loop, &timer->source);
	close(timer->source.fd);
	timer->source.fd = -1;
}
