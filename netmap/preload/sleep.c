// SPDX-License-Identifier: BSD-2-Clause
// sleep.c - where threads sleep until glend calls.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/lock.h"
#include "netmap/preload/real.h"

/*
 * Who waits for one device alone first sleeps on a futex in its window, which
 * takes a system call on either side. All others, and who slept in vain for a
 * while, need a descriptor:
 *
 * Glend calls by writing a byte to an open, whose H becomes readable for all
 * processes and threads that have it. If one of them read the byte, the others
 * would sleep on; if nobody did, nobody would sleep again. So each thread has
 * an epoll descriptor of its own with the H's as edge-triggered members, for
 * which every byte is an edge in every epoll descriptor, read or not.
 *
 * Bytes that nobody reads fill the socket in the end, and then there are no
 * more edges. So now and then all of them but one are read; epoll drops an edge
 * when it finds nothing to read, so one must stay, and only one thread may
 * read.
 *
 * The descriptor can be made again at any time: the program may close what it
 * does not know. It is put where programs have none, and never passed on.
 */

enum {
	EVENTS = 16,	  /* taken at a time */
	COUNT_EVERY = 32, /* wakes: about an eighth of what a socket holds */
};

struct own {
	int epfd;  /* plus one; 0: none yet */
	bool busy; /* a sleep is on: a handler needs another one */
	struct own *next;
};

static __thread struct own own __attribute__((tls_model("initial-exec")));
static struct own *owns; /* of all threads; under the lock */
static pthread_key_t key;
static bool key_made;

int aux_dup(int fd)
{
	struct rlimit limit;
	long min = AUX_FD_MIN;
	int up;

	if (!getrlimit(RLIMIT_NOFILE, &limit) &&
	    limit.rlim_cur < AUX_FD_MIN + 64)
		min = (long)limit.rlim_cur * 3 / 4;
	up = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, min);
	return up < 0 ? -errno : up;
}

int aux_epoll(void)
{
	int fd = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC), up;

	if (fd < 0)
		return -errno;
	up = aux_dup(fd);
	if (up < 0)
		return fd;
	syscall(SYS_close, fd);
	return up;
}

static void forget(void *arg)
{
	struct own *o = arg;
	struct lock_state state;

	tables_lock(&state);
	for (struct own **p = &owns; *p; p = &(*p)->next) {
		if (*p == o) {
			*p = o->next;
			break;
		}
	}
	tables_unlock(&state);
	if (o->epfd)
		syscall(SYS_close, o->epfd - 1);
	o->epfd = 0;
}

static void make_key(void)
{
	key_made = !pthread_key_create(&key, forget);
}

/* The thread sleeps for the first time: its end must be noticed. */
static void remember(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct lock_state state;

	pthread_once(&once, make_key);
	if (!key_made || pthread_getspecific(key))
		return;
	pthread_setspecific(key, &own);
	tables_lock(&state);
	own.next = owns;
	owns = &own;
	tables_unlock(&state);
}

/*
 * Epoll descriptors are shared with the parent, whose edges the child would
 * take. With the lock.
 */
void sleeper_forked(void)
{
	for (struct own *o = owns; o; o = o->next) {
		if (o->epfd)
			syscall(SYS_close, o->epfd - 1);
		o->epfd = 0;
	}
	/* Other threads are not there any more. */
	owns = NULL;
	if (key_made && pthread_getspecific(key)) {
		own.next = NULL;
		owns = &own;
	}
}

/* 1: it was a member already; 0: it is now, or cannot be one. */
static int add(int epfd, int h)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				 .data.fd = h };

	if (!syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, h, &e) ||
	    errno == EPERM)
		return 0;
	return errno == EEXIST ? 1 : -errno;
}

/* How many were members already, or -errno. */
static int add_all(int epfd, const int *h, unsigned n)
{
	int old = 0;

	for (unsigned i = 0; i < n; i++) {
		int got = add(epfd, h[i]);

		if (got < 0)
			return got;
		old += got;
	}
	return old;
}

void sleeper_begin(struct sleeper *s, const int *h, unsigned n)
{
	int saved = errno, old = 0;

	s->mine = !own.busy;
	s->epfd = -1;
	if (s->mine) {
		own.busy = true;
		remember();
		if (own.epfd)
			old = add_all(own.epfd - 1, h, n);
		if (own.epfd && old >= 0)
			s->epfd = own.epfd - 1;
		else
			/* Closed behind our back; the number may be
			 * somebody else's now. */
			own.epfd = 0;
	}
	s->known = old == (int)n;
	if (s->epfd < 0) {
		s->known = false;
		s->epfd = aux_epoll();
		if (s->epfd >= 0)
			add_all(s->epfd, h, n);
		else
			s->epfd = -1;
		if (s->mine)
			own.epfd = s->epfd + 1;
	}
	errno = saved;
}

void sleeper_end(struct sleeper *s)
{
	if (s->mine)
		own.busy = false;
	else if (s->epfd >= 0)
		syscall(SYS_close, s->epfd);
}

/* Makes room for calls, if it is time to. */
static void make_room(struct device *d, int h)
{
	struct robust_list *before;
	char bytes[512];
	uint32_t *lock;
	int n = 0;

	if (__atomic_add_fetch(&d->wakes, 1, __ATOMIC_RELAXED) < COUNT_EVERY ||
	    !is_bound(d))
		return;
	__atomic_store_n(&d->wakes, 0, __ATOMIC_RELAXED);
	lock = &nmw_open(d->window->base, d->open)->drain;
	if (!lock_try(lock, NULL, &before))
		return;
	if (!syscall(SYS_ioctl, h, FIONREAD, &n) && n > 1) {
		n = n - 1 < (int)sizeof(bytes) ? n - 1 : (int)sizeof(bytes);
		syscall(SYS_recvfrom, h, bytes, (long)n, MSG_DONTWAIT, NULL,
			NULL);
	}
	lock_drop(lock, before);
}

/* What n events say of devices. */
static void heed(const struct epoll_event *e, long n)
{
	for (long i = 0; i < n; i++) {
		struct device *d = fd_device(e[i].data.fd);

		if (!d)
			continue;
		if (e[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
			device_died(d);
		make_room(d, e[i].data.fd);
	}
}

void sleeper_drain(const struct sleeper *s)
{
	struct epoll_event e[EVENTS];
	int saved = errno;

	if (s->epfd >= 0)
		heed(e,
		     syscall(SYS_epoll_pwait, s->epfd, e, EVENTS, 0, NULL, 0L));
	errno = saved;
}

int sleeper_sleep(const struct sleeper *s, int timeout_ms, const sigset_t *mask)
{
	struct epoll_event e[EVENTS];
	int saved = errno;
	int n = REAL(epoll_pwait)(s->epfd, e, EVENTS, timeout_ms, mask);

	if (n < 0)
		return -1;
	heed(e, n);
	errno = saved;
	return 0;
}

static uint32_t *calls_of(const struct device *d)
{
	return nmw_calls(&d->layout, d->window->base, d->end);
}

uint32_t device_calls(const struct device *d)
{
	/* Pairs with the release in nmw_wake(). */
	return shm_load_acquire32(calls_of(d));
}

int device_nap(const struct device *d, uint32_t seen, uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000),
			      (long)(ns % 1000000000) };
	int saved = errno;
	int got = 1;

	/* poll() is a place to end a thread, a system call by number is none.
	 * With a timeout no signal's handler restarts it. */
	pthread_testcancel();
	if (syscall(SYS_futex, calls_of(d), FUTEX_WAIT, seen, &t, NULL, 0L))
		got = errno == EINTR ? -1 : errno == EAGAIN;
	if (got >= 0)
		errno = saved;
	return got;
}

void sleeper_nap(int h, uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000),
			      (long)(ns % 1000000000) };
	struct sleeper s;
	struct pollfd p;

	sleeper_begin(&s, &h, 1);
	p = (struct pollfd){ .fd = s.epfd, .events = POLLIN };
	syscall(SYS_ppoll, &p, 1L, &t, NULL, 8L);
	sleeper_drain(&s);
	sleeper_end(&s);
}
