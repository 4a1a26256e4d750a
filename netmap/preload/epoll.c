// SPDX-License-Identifier: BSD-2-Clause
// epoll.c - epoll descriptors that have devices among their members.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/real.h"

/*
 * A device is never a member of the program's epoll descriptor in the kernel,
 * but of a list here. A wait looks at the list, asks the kernel for the others,
 * and sleeps on the program's descriptor and the thread's own at once. So an
 * epoll descriptor that leaves the process takes no devices with it.
 *
 * One that has devices may be a member of another, which the kernel knows as
 * well, for the sake of its other members. Then the outer one has it in its
 * list, too: when the first device comes, the kernel is asked who has it
 * (epoll_outer.c).
 *
 * The list is changed with the lock and read without: an entry is never given
 * back, and is skipped while it has no device.
 */

enum {
	CHUNK = 16, /* members */
};

struct member {
	struct obj *obj; /* NULL: free; a reference */
	int fd;		 /* by which it was added */
	int h;		 /* a number that stands for it */
	uint32_t events;
	epoll_data_t data;
	bool off;	   /* EPOLLONESHOT has fired */
	uint32_t reported; /* EPOLLET: what was so at the last report */
};

struct chunk {
	struct chunk *next;
	struct member members[CHUNK];
};

struct epoll {
	struct obj obj;
	struct epoll *next; /* all; or free ones */
	struct chunk chunk;
	unsigned turn; /* who is asked first */
};

static struct epoll *epolls, *free_epolls;

/* Entries of e, in turn. */
#define FOR_MEMBERS(e, c, m)                                  \
	for (struct chunk *c = &(e)->chunk; c;                \
	     c = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE)) \
		for (struct member *m = c->members; m < c->members + CHUNK; m++)

static inline struct obj *obj_of(struct member *m)
{
	/* Pairs with the release in enter(). */
	struct obj *o = __atomic_load_n(&m->obj, __ATOMIC_ACQUIRE);

	if (o)
		race_acquire(&m->obj);
	return o;
}

static inline struct device *device_of(struct member *m)
{
	struct obj *o = obj_of(m);

	return o && o->type == OBJ_DEVICE ? (struct device *)o : NULL;
}

static inline struct epoll *inner_of(struct member *m)
{
	struct obj *o = obj_of(m);

	return o && o->type == OBJ_EPOLL ? (struct epoll *)o : NULL;
}

/* With the lock. */
static void leave(struct member *m)
{
	struct obj *o = m->obj;

	__atomic_store_n(&m->obj, NULL, __ATOMIC_RELEASE);
	if (o)
		obj_put(o);
}

void epoll_free(struct obj *o)
{
	struct epoll *e = (struct epoll *)o;

	FOR_MEMBERS(e, c, m)
	leave(m);
	for (struct epoll **p = &epolls; *p; p = &(*p)->next) {
		if (*p == e) {
			*p = e->next;
			break;
		}
	}
	e->next = free_epolls;
	free_epolls = e;
}

/* Another number that stands for it; -1: none. */
static int other_number(const struct obj *o, int not )
{
	for (unsigned fd = 0; fd <= fd_highest(); fd++)
		if ((int)fd != not &&fd_table[fd] == o)
			return (int)fd;
	return -1;
}

void epoll_closed(int fd)
{
	struct obj *o = fd_table[fd];

	if (!o)
		return;
	for (struct epoll *e = epolls; e; e = e->next) {
		FOR_MEMBERS(e, c, m)
		{
			if (m->obj != o || m->h != fd)
				continue;
			/* As in the kernel, copies keep it a member. */
			m->h = other_number(o, fd);
			if (m->h < 0)
				leave(m);
		}
	}
}

/* With the lock: what stands for an epoll descriptor, made if need be. */
static struct epoll *epoll_get(int epfd)
{
	struct obj *o = fd_obj(epfd);
	struct epoll *e;

	if (o)
		return o->type == OBJ_EPOLL ? (struct epoll *)o : NULL;
	e = free_epolls;
	if (e)
		free_epolls = e->next;
	else
		e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->obj.type = OBJ_EPOLL;
	e->obj.refs = 0;
	e->next = epolls;
	epolls = e;
	fd_enter(epfd, &e->obj);
	epoll_outer_find(epfd);
	return e;
}

static struct member *find(struct epoll *e, int fd, const struct obj *o)
{
	FOR_MEMBERS(e, c, m)
	if (m->obj == o && m->fd == fd)
		return m;
	return NULL;
}

static struct member *find_free(struct epoll *e)
{
	struct chunk *last = &e->chunk, *more;

	FOR_MEMBERS(e, c, m)
	{
		if (!m->obj)
			return m;
		last = c;
	}
	more = calloc(1, sizeof(*more));
	if (!more)
		return NULL;
	/* Pairs with the acquire in FOR_MEMBERS. */
	__atomic_store_n(&last->next, more, __ATOMIC_RELEASE);
	return more->members;
}

static void set(struct member *m, const struct epoll_event *event)
{
	m->events = event->events;
	m->data = event->data;
	m->off = false;
	m->reported = UINT32_MAX;
}

/* With the lock. 0 or -errno. */
static int enter(struct epoll *e, int fd, struct obj *o,
		 const struct epoll_event *event)
{
	struct member *m = find_free(e);

	if (!m)
		return -ENOMEM;
	set(m, event);
	m->fd = m->h = fd;
	obj_get(o);
	race_release(&m->obj);
	/* Pairs with the acquire in obj_of(). */
	__atomic_store_n(&m->obj, o, __ATOMIC_RELEASE);
	return 0;
}

static int change(struct epoll *e, int op, int fd, struct obj *o,
		  const struct epoll_event *event)
{
	struct member *m = find(e, fd, o);

	if (op == EPOLL_CTL_ADD)
		return m ? -EEXIST : enter(e, fd, o, event);
	if (!m)
		return -ENOENT;
	if (op == EPOLL_CTL_MOD)
		set(m, event);
	else
		leave(m);
	return 0;
}

void epoll_outer_has(int outer, int epfd, const struct epoll_event *event)
{
	struct obj *o = fd_table[epfd];
	struct epoll *e = epoll_get(outer);

	if (e && o && !find(e, epfd, o))
		enter(e, epfd, o, event);
}

/* What the kernel said yes to goes into our list, too. */
static int change_inner(int epfd, int op, int fd, struct obj *o,
			const struct epoll_event *event)
{
	struct lock_state state;
	struct epoll *e;

	tables_lock(&state);
	e = epoll_get(epfd);
	if (!e || change(e, op, fd, o, event) == -ENOMEM)
		say("no memory for an epoll descriptor in another");
	tables_unlock(&state);
	return 0;
}

HALVES(int, epoll_ctl, epoll_ctl,
       (int epfd, int op, int fd, struct epoll_event *event),
       (epfd, op, fd, event))
{
	struct epoll_event none = { 0 };
	struct obj *o = fd_obj(fd);
	struct lock_state state;
	struct epoll *e;
	int err;

	if (o && o->type == OBJ_EPOLL) {
		err = REAL(epoll_ctl)(epfd, op, fd, event);
		return err ?: change_inner(epfd, op, fd, o, event);
	}
	if (likely(!o) || !fd_is_device(fd, (struct device *)o))
		return REAL(epoll_ctl)(epfd, op, fd, event);
	/* Is it an epoll descriptor at all? The kernel must say ENOENT. */
	if (!REAL(epoll_ctl)(epfd, EPOLL_CTL_DEL, fd, &none))
		errno = ENOENT;
	if (errno != ENOENT)
		return -1;
	if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD && op != EPOLL_CTL_DEL) {
		errno = EINVAL;
		return -1;
	}
	if (!event && op != EPOLL_CTL_DEL) {
		errno = EFAULT;
		return -1;
	}
	tables_lock(&state);
	e = epoll_get(epfd);
	err = e ? change(e, op, fd, o, event) : -ENOMEM;
	tables_unlock(&state);
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

/* A number that changes when something new is to be seen in the rings. */
static uint32_t state_of(const struct device *d)
{
	uint32_t sum = 0;

	if (!is_bound(d))
		return 0;
	for (unsigned i = d->tx_first; i < d->tx_last; i++)
		sum = sum * 31 + shm_load32(&d->tx[i].ring->tail);
	for (unsigned i = d->rx_first; i < d->rx_last; i++)
		sum = sum * 31 + shm_load32(&d->rx[i].ring->tail);
	return sum & INT32_MAX;
}

/* The same of all that an epoll descriptor has. */
static uint32_t state_of_all(struct epoll *e)
{
	uint32_t sum = 0;

	FOR_MEMBERS(e, c, m)
	{
		struct device *d = device_of(m);
		struct epoll *inner = d ? NULL : inner_of(m);

		sum *= 31;
		if (d)
			sum += state_of(d);
		else if (inner)
			sum += state_of_all(inner);
	}
	return sum & INT32_MAX;
}

static uint32_t member_state(struct member *m)
{
	struct device *d = device_of(m);
	struct epoll *inner = d ? NULL : inner_of(m);

	return d ? state_of(d) : inner ? state_of_all(inner) : 0;
}

static uint32_t member_events(struct member *m)
{
	struct device *d = device_of(m);
	struct epoll *inner = d ? NULL : inner_of(m);
	uint32_t got = 0;

	if (m->off)
		return 0;
	if (d)
		got = (uint32_t)(unsigned short)device_events(d, m->h,
							      (short)m->events);
	else if (inner && epoll_ready(inner))
		got = m->events & (EPOLLIN | EPOLLRDNORM);
	if (got && m->events & EPOLLET && member_state(m) == m->reported)
		return 0;
	return got;
}

bool epoll_ready(struct epoll *e)
{
	FOR_MEMBERS(e, c, m)
	if (member_events(m))
		return true;
	return false;
}

void epoll_arm(struct epoll *e)
{
	FOR_MEMBERS(e, c, m)
	{
		struct device *d = device_of(m);
		struct epoll *inner = d ? NULL : inner_of(m);

		if (m->off)
			continue;
		if (d)
			device_arm(d, (short)m->events, NMW_BY_BYTE);
		else if (inner)
			epoll_arm(inner);
	}
}

unsigned epoll_members(struct epoll *e, int *h, unsigned max)
{
	unsigned n = 0;

	FOR_MEMBERS(e, c, m)
	{
		struct epoll *inner = inner_of(m);

		if (inner)
			n += epoll_members(inner, h + n, max - n);
		else if (obj_of(m) && n < max)
			h[n++] = m->h;
	}
	return n;
}

/* The kernel has reported this member: it is an epoll descriptor, which has
 * others than devices. */
static bool is_reported(const struct member *m, const struct epoll_event *out,
			int n)
{
	for (int i = 0; i < n; i++)
		if (out[i].data.u64 == m->data.u64)
			return true;
	return false;
}

/* Reports members of a type that are ready, behind n others. Returns how many
 * there are then. */
static int collect(struct epoll *e, enum obj_type type, struct epoll_event *out,
		   int n, int max)
{
	const int others = n;

	FOR_MEMBERS(e, c, m)
	{
		struct obj *o = obj_of(m);
		uint32_t got;

		if (!o || o->type != type || n == max)
			continue;
		if (type == OBJ_EPOLL && is_reported(m, out, others))
			continue;
		got = member_events(m);
		if (!got)
			continue;
		if (m->events & EPOLLET)
			m->reported = member_state(m);
		if (m->events & EPOLLONESHOT)
			m->off = true;
		out[n++] = (struct epoll_event){ .events = got,
						 .data = m->data };
	}
	return n;
}

/* Members and the kernel's, without waiting; who is first changes. */
static int collect_all(struct epoll *e, int epfd, struct epoll_event *out,
		       int max)
{
	const bool ours_first = e->turn++ & 1;
	int n = ours_first ? collect(e, OBJ_DEVICE, out, 0, max) : 0, k = 0;

	if (n < max)
		k = REAL(epoll_wait)(epfd, out + n, max - n, 0);
	if (k < 0)
		return n ? n : -1;
	n += k;
	if (!ours_first)
		n = collect(e, OBJ_DEVICE, out, n, max);
	return collect(e, OBJ_EPOLL, out, n, max);
}

static int sleep_once(struct epoll *e, int epfd, struct sleeper *s, bool blind,
		      uint64_t end, const sigset_t *mask)
{
	struct pollfd p[2] = { { .fd = epfd, .events = POLLIN },
			       { .fd = s->epfd, .events = POLLIN } };
	struct timespec left;
	uint64_t soon;
	int n;

	epoll_arm(e);
	/* Pairs with the fence of whoever moves the rings. */
	shm_full_fence();
	if (epoll_ready(e))
		return 1;
	if (blind || s->epfd < 0) {
		soon = mono_ns() + 1000000;
		end = soon < end ? soon : end;
	}
	n = REAL(ppoll)(p, 2, left_of(end, &left), mask);
	if (n > 0 && p[1].revents)
		sleeper_drain(s);
	return n;
}

static int wait_epoll(struct epoll *e, int epfd, struct epoll_event *out,
		      int max, uint64_t end, const sigset_t *mask)
{
	int h[WAIT_FDS], n;
	struct sleeper s;
	unsigned n_h;

	if (max <= 0) {
		errno = EINVAL;
		return -1;
	}
	n = collect_all(e, epfd, out, max);
	if (n || !end)
		return n;
	obj_hold(&e->obj);
	n_h = epoll_members(e, h, WAIT_FDS);
	sleeper_begin(&s, h, n_h);
	for (;;) {
		n = sleep_once(e, epfd, &s, n_h == WAIT_FDS, end, mask);
		if (n < 0)
			break;
		n = collect_all(e, epfd, out, max);
		if (n || (end != UINT64_MAX && mono_ns() >= end))
			break;
	}
	sleeper_end(&s);
	obj_release(&e->obj);
	return n;
}

static struct epoll *ours(int epfd)
{
	struct obj *o = fd_obj(epfd);

	return unlikely(o != NULL) && o->type == OBJ_EPOLL ? (struct epoll *)o :
							     NULL;
}

HALVES(int, epoll_wait, epoll_wait,
       (int epfd, struct epoll_event *events, int max, int timeout),
       (epfd, events, max, timeout))
{
	struct epoll *e = ours(epfd);

	if (!e)
		return REAL(epoll_wait)(epfd, events, max, timeout);
	return wait_epoll(e, epfd, events, max, end_of_ms(timeout), NULL);
}

HALVES(int, epoll_pwait, epoll_pwait,
       (int epfd, struct epoll_event *events, int max, int timeout,
	const sigset_t *mask),
       (epfd, events, max, timeout, mask))
{
	struct epoll *e = ours(epfd);

	if (!e)
		return REAL(epoll_pwait)(epfd, events, max, timeout, mask);
	return wait_epoll(e, epfd, events, max, end_of_ms(timeout), mask);
}

HALVES(int, epoll_pwait2, epoll_pwait2,
       (int epfd, struct epoll_event *events, int max,
	const struct timespec *timeout, const sigset_t *mask),
       (epfd, events, max, timeout, mask))
{
	struct epoll *e = ours(epfd);

	if (!e)
		return REAL(epoll_pwait2)(epfd, events, max, timeout, mask);
	return wait_epoll(e, epfd, events, max, end_of(timeout), mask);
}
