// SPDX-License-Identifier: BSD-2-Clause
// wait.c - poll() and ppoll() where some descriptors are netmap's.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "lib/shm.h"
#include "netmap/preload/real.h"

/*
 * A wait is a look, which syncs rings, and if nothing is ready: arm the rings,
 * look again, sleep, look. Who waits for one device alone sleeps on its futex
 * for a while, and then as all others do. What else is in the set is polled by
 * the kernel; the devices take part in its sleep through the thread's epoll
 * descriptor.
 */

enum {
	FEW_FDS = 32,	      /* sets up to this size live on the stack */
	BLIND_NS = 1000000,   /* between looks, if there is no sleeper */
	SPIN_START_NS = 1000, /* the first guess of what pays */
	SPIN_RETRY = 32,      /* waits without a spin before another try */
	SPIN_LOOKS = 8,	      /* looks between two readings of the clock */
	SPIN_FEW_NS = 4000,   /* with few CPUs somebody else needs this one */
	SPIN_MAX_NS = 20000,
	MANY_CPUS = 4,
	ALONE_NS = 10000000, /* of a sleep that sees one device's calls only */
	ALONE_ROW = 64,	     /* such sleeps between looks at the descriptor */
};

/* What a thread learned of spinning. */
struct spin {
	bool known;
	uint32_t ns, max_ns, skipped;
};

static __thread struct spin spin __attribute__((tls_model("initial-exec")));

/* A set: the program's, and a copy for the kernel. */
struct set {
	struct pollfd *fds;
	nfds_t n;
	struct pollfd *copy; /* n, and one for the sleeper */
	nfds_t others;	     /* that the kernel polls */
	int h[WAIT_FDS];
	unsigned n_h;
	bool all_h; /* they fitted */
};

uint64_t mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t end_of(const struct timespec *timeout)
{
	if (!timeout)
		return UINT64_MAX;
	if (!timeout->tv_sec && !timeout->tv_nsec)
		return 0;
	if (timeout->tv_sec > 1000000000)
		return UINT64_MAX;
	return mono_ns() + (uint64_t)timeout->tv_sec * 1000000000 +
	       (uint64_t)timeout->tv_nsec;
}

uint64_t end_of_ms(int timeout_ms)
{
	if (timeout_ms < 0)
		return UINT64_MAX;
	return timeout_ms ? mono_ns() + (uint64_t)timeout_ms * 1000000 : 0;
}

const struct timespec *left_of(uint64_t end, struct timespec *left)
{
	uint64_t now, ns;

	if (end == UINT64_MAX)
		return NULL;
	now = end ? mono_ns() : 0;
	ns = end > now ? end - now : 0;
	left->tv_sec = (time_t)(ns / 1000000000);
	left->tv_nsec = (long)(ns % 1000000000);
	return left;
}

bool any_of_ours(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (fd_obj(fds[i].fd))
			return true;
	return false;
}

/* A TX ring with slots that were queued and not yet handed over. */
static bool tx_queued(const struct device *d, const struct nring *r)
{
	uint32_t done = d->kind == KIND_PIPE ? shm_load32(&r->ktoa->hwcur) :
					       shm_load32(&r->sync->head);

	return shm_load32(&r->ring->head) != done;
}

short device_events(struct device *d, int fd, short events)
{
	short want_tx = events & (POLLOUT | POLLWRNORM);
	short want_rx = events & (POLLIN | POLLRDNORM);
	unsigned sync;
	short got = 0;

	if (unlikely(is_dead(d) || !device_bound(d, fd) || in_csb_mode(d)))
		return POLLERR;
	if (want_tx || !(d->flags & NR_NO_TX_POLL)) {
		for (unsigned i = d->tx_first; i < d->tx_last; i++) {
			if (!want_tx && !tx_queued(d, &d->tx[i]))
				continue;
			sync = ring_sync(d, fd, &d->tx[i]);
			if (unlikely(sync & (SYNC_REINIT | SYNC_EIO)))
				got |= POLLERR;
			if (ring_ready(&d->tx[i], sync)) {
				got |= want_tx;
				want_tx = 0;
			}
		}
	}
	if (want_rx || d->flags & NR_DO_RX_POLL) {
		for (unsigned i = d->rx_first; i < d->rx_last; i++) {
			sync = ring_sync(d, fd, &d->rx[i]);
			if (unlikely(sync & (SYNC_REINIT | SYNC_EIO)))
				got |= POLLERR;
			if (ring_ready(&d->rx[i], sync))
				got |= want_rx;
		}
	}
	return got;
}

void device_arm(struct device *d, short events, enum nmw_how how)
{
	if (!is_bound(d) || d->kind == KIND_NULL)
		return;
	for (unsigned i = d->tx_first; i < d->tx_last; i++)
		/* What found no room in a pipe goes when there is some. */
		if (events & (POLLOUT | POLLWRNORM) ||
		    (d->kind == KIND_PIPE && tx_queued(d, &d->tx[i])))
			ring_arm(&d->tx[i], how);
	if (events & (POLLIN | POLLRDNORM))
		for (unsigned i = d->rx_first; i < d->rx_last; i++)
			ring_arm(&d->rx[i], how);
}

/* Looks at ours. Returns how many have something to say. */
static int look(struct set *s)
{
	int ready = 0;

	for (nfds_t i = 0; i < s->n; i++) {
		struct pollfd *p = &s->fds[i];
		struct obj *o = fd_obj(p->fd);

		if (!o)
			continue;
		if (o->type == OBJ_DEVICE)
			p->revents = device_events((struct device *)o, p->fd,
						   p->events);
		else
			p->revents = epoll_ready((struct epoll *)o) ?
					     p->events & (POLLIN | POLLRDNORM) :
					     0;
		ready += p->revents != 0;
	}
	return ready;
}

/* Fills the kernel's copy and the list of H's. */
static void prepare(struct set *s)
{
	s->others = s->n_h = 0;
	s->all_h = true;
	for (nfds_t i = 0; i < s->n; i++) {
		struct obj *o = fd_obj(s->fds[i].fd);

		s->copy[i] = s->fds[i];
		s->copy[i].revents = 0;
		if (!o || o->type == OBJ_EPOLL)
			s->others += s->fds[i].fd >= 0;
		else
			s->copy[i].fd = -1;
		if (!o)
			continue;
		if (s->n_h == WAIT_FDS)
			s->all_h = false;
		else if (o->type == OBJ_DEVICE)
			s->h[s->n_h++] = s->fds[i].fd;
		else
			s->n_h += epoll_members((struct epoll *)o,
						s->h + s->n_h,
						WAIT_FDS - s->n_h);
	}
	s->all_h &= s->n_h < WAIT_FDS;
}

static void arm(struct set *s)
{
	for (nfds_t i = 0; i < s->n; i++) {
		struct obj *o = fd_obj(s->fds[i].fd);

		if (o && o->type == OBJ_DEVICE)
			device_arm((struct device *)o, s->fds[i].events,
				   NMW_BY_BYTE);
		else if (o)
			epoll_arm((struct epoll *)o);
	}
	/* Pairs with the fence of whoever moves the rings, between showing it
	 * and looking whether to wake us. */
	shm_full_fence();
}

/* What the kernel said joins what we say. Returns how many entries say
 * something. */
static int merge(struct set *s)
{
	int ready = 0;

	for (nfds_t i = 0; i < s->n; i++) {
		struct obj *o = fd_obj(s->fds[i].fd);

		if (!o)
			s->fds[i].revents = s->copy[i].revents;
		else if (o->type == OBJ_EPOLL)
			s->fds[i].revents |= s->copy[i].revents;
		ready += s->fds[i].revents != 0;
	}
	return ready;
}

/* Ours are ready, or nobody wants to wait: what do the others say? */
static int finish(struct set *s)
{
	const struct timespec zero = { 0, 0 };

	if (s->others && REAL(ppoll)(s->copy, s->n, &zero, NULL) < 0)
		return -1;
	return merge(s);
}

static void learn_limit(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 2 : CPU_COUNT(&set);

	spin.known = true;
	spin.max_ns = n < 2 ? 0 : n < MANY_CPUS ? SPIN_FEW_NS : SPIN_MAX_NS;
	spin.ns = spin.max_ns < SPIN_START_NS ? spin.max_ns : SPIN_START_NS;
}

/*
 * Looks again and again for a while, and learns from the outcome: a spin that
 * found something may be longer next time, one in vain becomes shorter, and
 * when there is none left, one wait in SPIN_RETRY tries anew.
 */
static int spin_look(struct set *s)
{
	uint64_t start;
	int got = 0;

	if (unlikely(!spin.known))
		learn_limit();
	if (!spin.max_ns || s->others)
		return 0;
	if (!spin.ns) {
		if (++spin.skipped < SPIN_RETRY)
			return 0;
		spin.skipped = 0;
		spin.ns = spin.max_ns / 2;
	}
	start = mono_ns();
	do {
		for (unsigned i = 0; i < SPIN_LOOKS && !got; i++) {
			shm_pause();
			got = look(s);
		}
	} while (!got && mono_ns() - start < spin.ns);
	if (got)
		spin.ns += spin.ns / 4 + 100;
	else
		spin.ns = spin.ns > spin.ns / 4 + 100 ?
				  spin.ns - spin.ns / 4 - 100 :
				  0;
	if (spin.ns > spin.max_ns)
		spin.ns = spin.max_ns;
	return got;
}

/* Whole milliseconds of a timeout; -1: none. */
static int whole_ms(const struct timespec *t)
{
	if (!t)
		return -1;
	if (t->tv_sec > INT_MAX / 1000 - 1)
		return INT_MAX;
	return (int)t->tv_sec * 1000 + (int)(t->tv_nsec / 1000000);
}

/* Sleeps once. What ppoll() said: -1 with errno, else 0 or more. */
static int sleep_once(struct set *s, struct sleeper *sleeper, uint64_t end,
		      const sigset_t *mask)
{
	bool blind = sleeper->epfd < 0 || !s->all_h;
	uint64_t until = end, soon;
	struct timespec left;
	int n, ms;

	if (blind) {
		soon = mono_ns() + BLIND_NS;
		until = soon < end ? soon : end;
	}
	ms = whole_ms(left_of(until, &left));
	/* Nobody else to wait for: one call sleeps and takes the edges. The
	 * rest of a millisecond, if it comes to that, is left to ppoll(). */
	if (!s->others && sleeper->epfd >= 0 && ms)
		return sleeper_sleep(sleeper, ms, mask);
	s->copy[s->n] = (struct pollfd){ .fd = sleeper->epfd,
					 .events = POLLIN };
	n = REAL(ppoll)(s->copy, s->n + 1, left_of(until, &left), mask);
	if (n > 0 && s->copy[s->n].revents) {
		sleeper_drain(sleeper);
		n--;
	}
	return n;
}

/* Before a sleep: are ours still ours? */
static bool all_true(const struct set *s)
{
	for (nfds_t i = 0; i < s->n; i++) {
		struct device *d = fd_device(s->fds[i].fd);

		if (d && !fd_is_device(s->fds[i].fd, d))
			return false;
	}
	return true;
}

/* The device whose calls are all that a wait is about; NULL: there is more. */
static struct device *only_one(const struct set *s, const sigset_t *mask)
{
	static __thread unsigned row __attribute__((tls_model("initial-exec")));
	struct device *d = s->n == 1 && !mask ? fd_device(s->fds[0].fd) : NULL;

	if (!d || !is_bound(d) || !d->window || d->kind == KIND_NULL)
		return NULL;
	return ++row % ALONE_ROW ? d : NULL;
}

/*
 * Waits for one device until end, but not for long. 1: it has something to say,
 * 0: nothing, -1 with EINTR.
 */
static int wait_alone(struct set *s, uint64_t end, const sigset_t *mask)
{
	uint64_t now = mono_ns();
	uint64_t until = end < now + ALONE_NS ? end : now + ALONE_NS;
	struct device *d;
	uint32_t seen;
	int got = 1;

	/* Anew each time: somebody may have closed it meanwhile. */
	while (got > 0 && now < until && (d = only_one(s, mask))) {
		seen = device_calls(d);
		device_arm(d, s->fds[0].events, NMW_BY_FUTEX);
		/* As in arm(). */
		shm_full_fence();
		if (look(s))
			return 1;
		got = device_nap(d, seen, until - now);
		if (got >= 0 && look(s))
			return 1;
		now = mono_ns();
	}
	return got < 0 ? -1 : 0;
}

static int wait_set(struct set *s, uint64_t end, const sigset_t *mask)
{
	struct sleeper sleeper;
	int got, n = 0;

	if (!look(s) && end)
		got = spin_look(s) ?: wait_alone(s, end, mask);
	else
		got = 1;
	if (got)
		return got < 0 ? -1 : finish(s);
	sleeper_begin(&sleeper, s->h, s->n_h);
	while (!(sleeper.known && s->all_h) && !all_true(s)) {
		sleeper_end(&sleeper);
		prepare(s);
		sleeper_begin(&sleeper, s->h, s->n_h);
	}
	for (;;) {
		arm(s);
		if (look(s)) {
			got = finish(s);
			break;
		}
		n = sleep_once(s, &sleeper, end, mask);
		if (n < 0) {
			got = -1;
			break;
		}
		look(s);
		got = merge(s);
		if (got || (end != UINT64_MAX && mono_ns() >= end))
			break;
	}
	sleeper_end(&sleeper);
	return got;
}

int wait_poll(struct pollfd *fds, nfds_t n, uint64_t end, const sigset_t *mask)
{
	struct pollfd few[FEW_FDS + 1];
	struct set s = { .fds = fds, .n = n, .copy = few };
	int got;

	if (n > FEW_FDS)
		s.copy = malloc((n + 1) * sizeof(*s.copy));
	if (!s.copy) {
		errno = ENOMEM;
		return -1;
	}
	prepare(&s);
	got = wait_set(&s, end, mask);
	if (s.copy != few)
		free(s.copy);
	return got;
}

/* Fortified programs call these. */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t len);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n,
		       const struct timespec *timeout, const sigset_t *mask,
		       size_t len);

HALVES(int, poll, poll, (struct pollfd * fds, nfds_t n, int timeout),
       (fds, n, timeout))
{
	if (!any_of_ours(fds, n))
		return REAL(poll)(fds, n, timeout);
	return wait_poll(fds, n, end_of_ms(timeout), NULL);
}

HALVES(int, ppoll, ppoll,
       (struct pollfd * fds, nfds_t n, const struct timespec *timeout,
	const sigset_t *mask),
       (fds, n, timeout, mask))
{
	if (!any_of_ours(fds, n))
		return REAL(ppoll)(fds, n, timeout, mask);
	return wait_poll(fds, n, end_of(timeout), mask);
}

HALVES(int, __poll_chk, __poll_chk,
       (struct pollfd * fds, nfds_t n, int timeout, size_t len),
       (fds, n, timeout, len))
{
	if (len / sizeof(*fds) < n || !any_of_ours(fds, n))
		return REAL(__poll_chk)(fds, n, timeout, len);
	return wait_poll(fds, n, end_of_ms(timeout), NULL);
}

HALVES(int, __ppoll_chk, __ppoll_chk,
       (struct pollfd * fds, nfds_t n, const struct timespec *timeout,
	const sigset_t *mask, size_t len),
       (fds, n, timeout, mask, len))
{
	if (len / sizeof(*fds) < n || !any_of_ours(fds, n))
		return REAL(__ppoll_chk)(fds, n, timeout, mask, len);
	return wait_poll(fds, n, end_of(timeout), mask);
}
