// SPDX-License-Identifier: BSD-2-Clause
// kloop.c - SYNC_KLOOP_START and _STOP: a thread that syncs rings by their CSB.
#undef _FILE_OFFSET_BITS
#include "netmap/preload/kloop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/lock.h"

enum {
	SLEEP_US_MAX = 1000000,
	NAP_NS = 20 * 1000000, /* most of a sleep: then it looks for STOP */
	IDLE_TURNS = 32,       /* turns in vain before it sleeps */
	CHECK_EVERY = 256,     /* turns between looks at signals and the port */
};

/* A ring and its lines. */
struct line {
	struct nring *r;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	uint32_t head, cur;	/* that were synced last */
	uint32_t hwcur, hwtail; /* that the program was shown */
	int io, irq;		/* copies of eventfds; -1: none */
};

struct kloop {
	struct kloop *next; /* of this process */
	struct device *d;
	struct nmw_open *open;
	int fd, epfd; /* a copy of H; what the loop sleeps on */
	bool events;  /* all rings have an ioeventfd */
	bool left;    /* in the child of a fork, which has no loop */
	uint32_t sleep_us;
	uint64_t signals; /* blocked before */
	unsigned turns, n;
	struct line line[];
};

static struct kloop *loops; /* under the lock */

/* Signals whose cause is what the thread does must not wait. */
static const uint64_t urgent = 1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) |
			       1ULL << (SIGFPE - 1) | 1ULL << (SIGILL - 1) |
			       1ULL << (SIGTRAP - 1) | 1ULL << (SIGSYS - 1) |
			       1ULL << (SIGABRT - 1);

bool kloop_is_running(struct nmw_open *open)
{
	return lock_is_held(&open->kloop_running, &open->kloop_ns);
}

static void unclaim(struct nmw_open *open, struct robust_list *before)
{
	/* Whoever asks for a stop from here on means the next loop. */
	shm_store32(&open->kloop_stop, 0);
	__atomic_add_fetch(&open->kloop_ended, 1, __ATOMIC_RELAXED);
	lock_drop(&open->kloop_running, before);
	syscall(SYS_futex, &open->kloop_ended, FUTEX_WAKE, INT32_MAX, NULL,
		NULL, 0);
}

int kloop_stop(struct device *d, int fd)
{
	const struct timespec nap = { 0, NAP_NS };
	struct nmw_open *open;
	uint32_t ended;

	if (!device_bound(d, fd) || is_dead(d))
		return -ENXIO;
	open = nmw_open(d->window->base, d->open);
	ended = shm_load32(&open->kloop_ended);
	__atomic_store_n(&open->kloop_stop, 1, __ATOMIC_SEQ_CST);
	/* A signal handler of the loop's own thread cannot wait for it. */
	while (kloop_is_running(open) &&
	       !lock_is_mine(&open->kloop_running, &open->kloop_ns) &&
	       shm_load32(&open->kloop_ended) == ended)
		syscall(SYS_futex, &open->kloop_ended, FUTEX_WAIT, ended, &nap,
			NULL, 0);
	return 0;
}

/* Slots that nobody took yet, or that the other end of a pipe has still. */
static bool outstanding(const struct kloop *k, const struct line *l)
{
	return l->r->tx && (l->hwcur != l->head ||
			    (k->d->kind == KIND_PIPE &&
			     ((l->hwcur - 1 - l->hwtail) & l->r->mask) != 0));
}

/* Shows the program how far the ring is. True if that is news. */
static bool show(struct line *l)
{
	const uint64_t one = 1;
	/* Pairs with the release of hwtail in port/shm and in pipe.c. */
	uint32_t hwtail = shm_load_acquire32(&l->r->ktoa->hwtail) & l->r->mask;
	uint32_t hwcur = csb_hwcur(l->r);
	bool more = hwtail != l->hwtail;

	if (!more && hwcur == l->hwcur)
		return false;
	shm_store32(&l->ktoa->hwcur, hwcur);
	/* (B) */
	shm_store_release32(&l->ktoa->hwtail, hwtail);
	l->hwcur = hwcur;
	l->hwtail = hwtail;
	if (!more || l->irq < 0)
		return true;
	/* Pairs with the program's, between appl_need_kick and looking. */
	shm_full_fence();
	if (shm_load32(&l->atok->appl_need_kick))
		syscall(SYS_write, l->irq, &one, sizeof(one));
	return true;
}

/* Syncs a ring if there is a reason to. True if something moved. */
static bool turn(struct kloop *k, struct line *l)
{
	struct nring *r = l->r;
	/* Pairs with (A). */
	uint32_t head = shm_load_acquire32(&l->atok->head);
	uint32_t cur = shm_load32(&l->atok->cur);
	uint32_t tail = shm_load32(&r->ktoa->hwtail) & r->mask;
	bool asked = head != l->head || cur != l->cur;

	if (asked || tail != l->hwtail ||
	    (k->d->kind == KIND_PIPE && outstanding(k, l))) {
		shm_store32(&r->ring->head, head);
		shm_store32(&r->ring->cur, cur);
		if (unlikely(ring_sync(k->d, k->fd, r) & SYNC_BUSY))
			return true;
		/* If they made no sense, then not until they change. */
		l->head = head;
		l->cur = cur;
	}
	return show(l) | asked;
}

static bool turn_all(struct kloop *k)
{
	bool moved = false;

	for (unsigned i = 0; i < k->n; i++)
		moved |= turn(k, &k->line[i]);
	return moved;
}

static void want_kicks(struct kloop *k, uint32_t value)
{
	for (unsigned i = 0; i < k->n; i++)
		shm_store32(&k->line[i].ktoa->kern_need_kick, value);
}

/* Asks glend, or the other end of a pipe, for what the loop waits for. */
static void arm(struct kloop *k)
{
	for (unsigned i = 0; i < k->n; i++)
		if (outstanding(k, &k->line[i]) ||
		    (k->events && !k->line[i].r->tx))
			ring_arm(k->line[i].r, NMW_BY_BYTE);
	/* Pairs with the fence of whoever moves the rings, and with that of
	 * the program between storing head and reading kern_need_kick. */
	shm_full_fence();
}

static int add(const struct kloop *k, int fd)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				 .data.fd = fd };

	return syscall(SYS_epoll_ctl, k->epfd, EPOLL_CTL_ADD, fd, &e) ? -errno :
									0;
}

/*
 * Sleeps for at most ns, and lets signals in. -EINTR: a handler ran; -ENXIO:
 * the port is gone; -EBADF: the program closed what is not its own.
 */
static int nap(struct kloop *k, uint64_t ns)
{
	const struct sleeper s = { .epfd = k->epfd };
	struct timespec t = { 0, (long)(ns < NAP_NS ? ns : NAP_NS) };
	struct pollfd p = { .fd = k->epfd, .events = POLLIN };
	int err = add(k, k->fd);

	/* It is a member already, if both are what they were. */
	if (err != -EEXIST)
		return -EBADF;
	err = syscall(SYS_ppoll, &p, 1L, &t, &k->signals, 8L) < 0 ? -errno : 0;
	if (k->left)
		return -EINTR;
	if (!err && p.revents)
		sleeper_drain(&s);
	return is_dead(k->d) ? -ENXIO : err;
}

/* Nothing moved for a while: waits for somebody. */
static int wait_events(struct kloop *k)
{
	int err = 0;

	want_kicks(k, 1);
	arm(k);
	if (!turn_all(k))
		err = nap(k, NAP_NS);
	want_kicks(k, 0);
	return err;
}

/* The same, by the clock. */
static int wait_time(struct kloop *k)
{
	uint64_t end, now;
	int err = 0;

	if (!k->sleep_us) {
		shm_pause();
		return 0;
	}
	arm(k);
	if (turn_all(k))
		return 0;
	now = mono_ns();
	end = now + k->sleep_us * 1000ULL;
	for (; now < end && !err; now = mono_ns()) {
		err = nap(k, end - now);
		if (shm_load32(&k->open->kloop_stop) || turn_all(k))
			break;
	}
	return err;
}

static int run(struct kloop *k)
{
	unsigned idle = 0;
	int err = 0;

	want_kicks(k, 0);
	while (!err && !shm_load32(&k->open->kloop_stop)) {
		idle = turn_all(k) ? 0 : idle + 1;
		if (!(++k->turns % CHECK_EVERY))
			err = nap(k, 0);
		else if (idle && !k->events)
			err = wait_time(k);
		else if (idle > IDLE_TURNS)
			err = wait_events(k);
		else if (idle)
			shm_pause();
	}
	if (!k->left)
		want_kicks(k, 1);
	return err;
}

/* The loop's own copy of an eventfd. -EBADF, -EINVAL: it is none. */
static int copy_eventfd(int fd, int *copied)
{
	char path[40], name[32];
	ssize_t n;

	*copied = aux_dup(fd);
	if (*copied < 0)
		return *copied;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *copied);
	n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	return n > 0 && strcmp(name, "anon_inode:[eventfd]") ? -EINVAL : 0;
}

static int take_eventfds(struct kloop *k,
			 const struct nmreq_opt_sync_kloop_eventfds *e)
{
	int err = 0;

	k->events = true;
	for (unsigned i = 0; i < k->n; i++)
		k->events &= e->eventfds[i].ioeventfd >= 0;
	for (unsigned i = 0; i < k->n && !err; i++) {
		struct line *l = &k->line[i];

		if (e->eventfds[i].irqfd >= 0)
			err = copy_eventfd(e->eventfds[i].irqfd, &l->irq);
		if (!err && k->events)
			err = copy_eventfd(e->eventfds[i].ioeventfd, &l->io);
		/* Two rings may share one. */
		if (!err && k->events)
			err = add(k, l->io);
	}
	return err;
}

static int fail(struct nmreq_option *o, int err)
{
	o->nro_status = (uint32_t)-err;
	return err;
}

static int read_options(struct kloop *k, struct request *q)
{
	struct nmreq_opt_sync_kloop_eventfds *e = q->eventfds;
	uint32_t mode = q->kloop_mode ? q->kloop_mode->mode : 0;
	const uint32_t known = NM_OPT_SYNC_KLOOP_DIRECT_TX |
			       NM_OPT_SYNC_KLOOP_DIRECT_RX;
	int err = 0;

	if (mode & ~known)
		return fail(&q->kloop_mode->nro_opt, -EINVAL);
	if (e) {
		if (e->nro_opt.nro_size !=
		    sizeof(*e) + k->n * sizeof(e->eventfds[0]))
			return fail(&e->nro_opt, -EINVAL);
		err = take_eventfds(k, e);
	}
	/* Where kicks come from memory only, there is no context to sync in.
	 * Where they are eventfds, the loop is that context. */
	if (!err && mode && !k->events)
		return fail(e ? &e->nro_opt : &q->kloop_mode->nro_opt, -EINVAL);
	return err ? fail(&e->nro_opt, err) : 0;
}

/* With the lock: gives all descriptors back. */
static void close_all(struct kloop *k)
{
	for (unsigned i = 0; i < k->n; i++) {
		if (k->line[i].io >= 0)
			syscall(SYS_close, k->line[i].io);
		if (k->line[i].irq >= 0)
			syscall(SYS_close, k->line[i].irq);
		k->line[i].io = k->line[i].irq = -1;
	}
	if (k->epfd >= 0)
		syscall(SYS_close, k->epfd);
	if (k->fd >= 0) {
		/* It may be somebody else's by now. */
		if (fd_obj(k->fd) == &k->d->obj) {
			fd_enter(k->fd, NULL);
			syscall(SYS_close, k->fd);
		}
	}
	k->fd = k->epfd = -1;
}

static void destroy(struct kloop *k)
{
	struct lock_state state;

	tables_lock(&state);
	for (struct kloop **p = &loops; *p; p = &(*p)->next) {
		if (*p == k) {
			*p = k->next;
			break;
		}
	}
	close_all(k);
	tables_unlock(&state);
	free(k);
}

void kloop_forked(void)
{
	for (struct kloop *k = loops; k; k = k->next) {
		close_all(k);
		k->left = true;
	}
	loops = NULL;
}

static struct kloop *create(struct device *d, int fd, uint32_t sleep_us)
{
	unsigned n = csb_lines(d);
	struct kloop *k = calloc(1, sizeof(*k) + n * sizeof(k->line[0]));
	struct lock_state state;

	if (!k)
		return NULL;
	k->d = d;
	k->open = nmw_open(d->window->base, d->open);
	k->sleep_us = sleep_us;
	k->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct line *l = &k->line[i];

		l->r = csb_ring(d, i);
		l->atok = d->csb->atok + i;
		l->ktoa = d->csb->ktoa + i;
		l->head = shm_load32(&l->r->sync->head) & l->r->mask;
		l->cur = shm_load32(&l->r->sync->cur) & l->r->mask;
		l->hwcur = shm_load32(&l->ktoa->hwcur);
		l->hwtail = shm_load32(&l->ktoa->hwtail);
		l->io = l->irq = -1;
	}
	tables_lock(&state);
	k->fd = aux_dup(fd);
	k->epfd = aux_epoll();
	if (k->fd >= 0)
		fd_enter(k->fd, &d->obj);
	k->next = loops;
	loops = k;
	tables_unlock(&state);
	if (k->fd < 0 || k->epfd < 0 || add(k, k->fd)) {
		destroy(k);
		return NULL;
	}
	return k;
}

static int start(struct device *d, int fd, struct request *q)
{
	struct kloop *k = create(d, fd, q->body.kloop.sleep_us);
	uint64_t block = ~urgent;
	bool left;
	int err;

	if (!k)
		return -ENOMEM;
	err = read_options(k, q);
	if (!err) {
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &block, &k->signals,
			sizeof(block));
		err = run(k);
		block = k->signals;
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &block, NULL,
			sizeof(block));
	}
	left = k->left;
	destroy(k);
	/* A handler forked: the loop goes on in the parent. */
	return left ? -ECANCELED : err;
}

int kloop_start(struct device *d, int fd, struct request *q)
{
	struct robust_list *before;
	struct nmw_open *open;
	int err;

	if (q->body.kloop.sleep_us > SLEEP_US_MAX)
		return -EINVAL;
	if (!device_bound(d, fd) || is_dead(d))
		return -ENXIO;
	open = nmw_open(d->window->base, d->open);
	if (!d->csb) {
		say("SYNC_KLOOP_START needs CSB_ENABLE in this process");
		return -EINVAL;
	}
	if (!lock_try(&open->kloop_running, &open->kloop_ns, &before))
		return -EBUSY;
	err = start(d, fd, q);
	if (err == -ECANCELED) {
		lock_leave(before);
		return -EINTR;
	}
	unclaim(open, before);
	return err;
}
