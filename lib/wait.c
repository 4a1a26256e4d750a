// SPDX-License-Identifier: BSD-2-Clause
// wait.c - sleep until rings move: spin, arm, look again, epoll.
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "lib/port.h"
#include "lib/shm.h"

enum {
	SPIN_START_NS = 1000, /* first guess of what pays */
	SPIN_RETRY = 32,      /* waits without a spin before another try */
	SPIN_LOOKS = 8,	      /* looks between two readings of the clock */
};

/* What one wait is about: all rings of a port, or one pair. */
struct scope {
	unsigned first, end; /* rings */
	unsigned events;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int watch(int epfd, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (!epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) || errno == EEXIST)
		return 0;
	return -errno;
}

int waiter_open(struct glen_port *port, struct waiter *w)
{
	struct link *link = &port->link;
	int err;

	if (w->epfd >= 0)
		return 0;
	/* Under the lock: link.c walks over all waiters when it reconnects. */
	pthread_mutex_lock(&link->lock);
	w->spin_ns = port->spin_max_ns < SPIN_START_NS ? port->spin_max_ns :
							 SPIN_START_NS;
	w->wake_fd = -1;
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	err = w->epfd < 0 ? -errno : 0;
	if (!err)
		err = watch(w->epfd, port->call_fd, EPOLLIN | EPOLLET);
	if (!err)
		err = watch(w->epfd, link->timer, EPOLLIN | EPOLLET);
	if (!err && !port->local && link->rpc.fd >= 0)
		err = watch(w->epfd, link->rpc.fd, EPOLLIN | EPOLLRDHUP);
	if (err)
		waiter_close(w);
	pthread_mutex_unlock(&link->lock);
	return err;
}

void waiter_close(struct waiter *w)
{
	if (w->epfd >= 0)
		close(w->epfd);
	w->epfd = -1;
}

int waiter_wake_by(struct glen_port *port, struct waiter *w, int fd)
{
	int err = waiter_open(port, w);

	if (!err)
		err = watch(w->epfd, fd, EPOLLIN);
	if (!err)
		w->wake_fd = fd;
	return err;
}

int waiters_watch(struct glen_port *port)
{
	int fd = port->link.rpc.fd, err = 0;
	const uint32_t events = EPOLLIN | EPOLLRDHUP;

	if (port->waiter.epfd >= 0)
		err = watch(port->waiter.epfd, fd, events);
	for (unsigned i = 0; !err && i < port->n_rings; i++) {
		if (port->tx[i].waiter.epfd >= 0)
			err = watch(port->tx[i].waiter.epfd, fd, events);
		if (!err && port->rx[i].waiter.epfd >= 0)
			err = watch(port->rx[i].waiter.epfd, fd, events);
	}
	return err;
}

/* Syncs the rings of s. Returns the events that hold, or -ENOTCONN. */
static int look(struct glen_port *port, const struct scope *s)
{
	int events = 0, err = 0;

	if (port_epoch(port) == EPOCH_DEAD)
		return -ENOTCONN;
	for (unsigned i = s->first; i < s->end; i++) {
		const struct netmap_ring *tx = port->tx[i].ring;
		const struct netmap_ring *rx = port->rx[i].ring;

		if (s->events & GLEN_TX)
			err = ring_sync(port, &port->tx[i]);
		if (!err && s->events & GLEN_RX)
			err = ring_sync(port, &port->rx[i]);
		if (err)
			return err;
		if (s->events & GLEN_TX && tx->cur != tx->tail)
			events |= GLEN_TX;
		if (s->events & GLEN_RX && rx->cur != rx->tail)
			events |= GLEN_RX;
	}
	return events;
}

static void arm(struct glen_port *port, const struct scope *s)
{
	for (unsigned i = s->first; i < s->end; i++) {
		if (s->events & GLEN_TX)
			ring_arm(&port->tx[i]);
		if (s->events & GLEN_RX)
			ring_arm(&port->rx[i]);
	}
	/* Pairs with the fence of port/shm between publishing and looking
	 * whether to kick. */
	shm_full_fence();
}

static void disarm(struct glen_port *port, const struct scope *s)
{
	for (unsigned i = s->first; i < s->end; i++) {
		if (s->events & GLEN_TX)
			ring_disarm(&port->tx[i]);
		if (s->events & GLEN_RX)
			ring_disarm(&port->rx[i]);
	}
}

/*
 * Looks again and again for w->spin_ns, and learns from the outcome: a spin
 * that found something may be longer next time, one in vain becomes shorter,
 * and when there is none left, one wait in SPIN_RETRY tries anew.
 */
static int spin(struct glen_port *port, const struct scope *s, struct waiter *w)
{
	uint64_t start;
	int got = 0;

	if (!port->spin_max_ns)
		return 0;
	if (!w->spin_ns) {
		if (++w->skipped < SPIN_RETRY)
			return 0;
		w->skipped = 0;
		w->spin_ns = port->spin_max_ns / 2;
	}
	start = now_ns();
	do {
		for (unsigned i = 0; i < SPIN_LOOKS && !got; i++) {
			shm_pause();
			got = look(port, s);
		}
	} while (!got && now_ns() - start < w->spin_ns);
	if (got > 0)
		w->spin_ns += w->spin_ns / 4 + 100;
	else
		w->spin_ns -= w->spin_ns / 4 + 100;
	if (w->spin_ns > port->spin_max_ns)
		/* Also where it became negative. */
		w->spin_ns = got > 0 ? port->spin_max_ns : 0;
	return got;
}

/* Milliseconds until end, rounded up; -1 if there is no end. */
static int left_ms(uint64_t end)
{
	uint64_t now;

	if (end == UINT64_MAX)
		return -1;
	now = now_ns();
	return now >= end ? 0 : (int)((end - now + 999999) / 1000000);
}

/*
 * Sleeps on w for up to timeout_ms and looks after the connection if that is
 * what woke us. 1: something woke us, 0: time is up, -EINTR: a signal, or the
 * descriptor of waiter_wake_by().
 */
static int sleep_on(struct glen_port *port, struct waiter *w, int timeout_ms)
{
	struct epoll_event e[4];
	bool link = false, woken = false;
	int n;

	n = epoll_wait(w->epfd, e, 4, timeout_ms);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		woken |= e[i].data.fd == w->wake_fd;
		link |= e[i].data.fd != w->wake_fd &&
			e[i].data.fd != port->call_fd;
	}
	if (link)
		link_service(port);
	return woken ? -EINTR : n > 0;
}

static int wait_on(struct glen_port *port, const struct scope *s,
		   struct waiter *w, int timeout_ms)
{
	uint64_t end = timeout_ms < 0 ? UINT64_MAX : 0;
	int got, err;

	got = look(port, s);
	if (got || !timeout_ms)
		return got;
	err = waiter_open(port, w);
	if (err)
		return err;
	if (!end)
		end = now_ns() + (uint64_t)timeout_ms * 1000000;
	got = spin(port, s, w);
	while (!got) {
		arm(port, s);
		got = look(port, s);
		if (got)
			disarm(port, s);
		if (got)
			break;
		err = sleep_on(port, w, left_ms(end));
		disarm(port, s);
		got = look(port, s);
		if (!got && err <= 0)
			return err;
	}
	return got;
}

int glen_wait(struct glen_port *port, unsigned events, int timeout_ms)
{
	const struct scope all = { 0, port->n_rings, GLEN_RX | GLEN_TX };
	const struct scope s = { 0, port->n_rings, events };
	int err = look(port, &all);

	return err < 0 ? err : wait_on(port, &s, &port->waiter, timeout_ms);
}

int glen_wait_ring(struct glen_port *port, unsigned i, unsigned events,
		   int timeout_ms)
{
	const struct scope s = { i, i + 1, events };

	if (i >= port->n_rings)
		return -EINVAL;
	return wait_on(port, &s,
		       events & GLEN_RX ? &port->rx[i].waiter :
					  &port->tx[i].waiter,
		       timeout_ms);
}

int glen_port_fd(struct glen_port *port)
{
	int err = waiter_open(port, &port->waiter);

	return err ? err : port->waiter.epfd;
}

int glen_arm(struct glen_port *port, unsigned events)
{
	const struct scope all = { 0, port->n_rings, GLEN_RX | GLEN_TX };
	const struct scope s = { 0, port->n_rings, events };
	int got;

	got = waiter_open(port, &port->waiter);
	/* Takes the edges that led here; later ones count again. */
	if (!got)
		got = sleep_on(port, &port->waiter, 0);
	if (got >= 0)
		got = look(port, &all);
	if (got < 0)
		return got;
	arm(port, &s);
	got = look(port, &s);
	if (got)
		disarm(port, &s);
	return got;
}
