// SPDX-License-Identifier: BSD-2-Clause
// kloop.c - CSB_ENABLE, and SYNC_KLOOP: syncs by indexes in memory.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/preload.h"

/*
 * A program may keep the indexes of its rings in two arrays of its own, a line
 * of 64 bytes per bound ring and direction, TX first. It writes one, we write
 * the other, and only inside SYNC_KLOOP_START: that is a loop in the program's
 * own thread, which carries indexes between the arrays and the rings, and syncs
 * those, until SYNC_KLOOP_STOP. So the arrays need not be shared with anybody.
 *
 * The loop sleeps if it has an eventfd for every ring by which the program wakes
 * it; else it takes naps. That an open is in this mode, runs a loop or shall
 * stop it is in the window, for any process that has the open may say so.
 */

enum {
	SLEEP_MAX_US = 1000000,
	LOOK_MS = 10, /* a sleeping loop looks for STOP so often */
	STOP_NAP_NS = 200000,
};

struct csb {
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
};

/* One turn's view of a ring. */
struct lane {
	struct nring *ring;
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
	int io, irq; /* eventfds; -1: none */
};

struct kloop {
	struct device *device;
	int fd;
	struct lane lanes[2 * DIR_RINGS];
	unsigned n;
	bool sleeps; /* all have an ioeventfd */
	uint32_t sleep_us;
};

static unsigned n_rings(const struct device *d)
{
	return d->tx_last - d->tx_first + d->rx_last - d->rx_first;
}

static struct nring *ring_of(struct device *d, unsigned i)
{
	unsigned n_tx = d->tx_last - d->tx_first;

	return i < n_tx ? &d->tx[d->tx_first + i] :
			  &d->rx[d->rx_first + i - n_tx];
}

/* Can all of it be read and written? */
static int check_memory(uint64_t address, size_t size)
{
	char line[sizeof(struct nm_csb_atok)];
	int err = 0;

	for (size_t at = 0; at < size && !err; at += sizeof(line)) {
		err = copy_in(line, address + at, sizeof(line));
		if (!err)
			err = copy_out(address + at, line, sizeof(line));
	}
	return err;
}

int csb_wish_ok(struct nmreq_opt_csb *csb, uint64_t flags)
{
	const size_t line = sizeof(struct nm_csb_atok);
	int err = 0;

	if (!(flags & NR_EXCLUSIVE) || csb->csb_atok % line ||
	    csb->csb_ktoa % line)
		err = -EINVAL;
	if (!err)
		err = check_memory(csb->csb_atok, line);
	if (!err)
		err = check_memory(csb->csb_ktoa, line);
	if (err)
		csb->nro_opt.nro_status = (uint32_t)-err;
	return err;
}

static int csb_check(const struct device *d, struct nmreq_opt_csb *csb)
{
	size_t size = n_rings(d) * sizeof(struct nm_csb_atok);
	int err;

	if (in_csb_mode(d))
		return -EBUSY;
	err = csb_wish_ok(csb, d->flags);
	if (err)
		return err;
	err = check_memory(csb->csb_atok, size);
	return err ? err : check_memory(csb->csb_ktoa, size);
}

int csb_enable(struct device *d, int fd, struct nmreq_opt_csb *csb)
{
	struct csb *c;
	int err;

	if (!device_bound(d, fd))
		return -ENXIO;
	err = csb_check(d, csb);
	if (err) {
		csb->nro_opt.nro_status = (uint32_t)-err;
		return err;
	}
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->atok = (void *)(uintptr_t)csb->csb_atok;
	c->ktoa = (void *)(uintptr_t)csb->csb_ktoa;
	for (unsigned i = 0; i < n_rings(d); i++) {
		struct nring *r = ring_of(d, i);
		uint32_t tail = shm_load_acquire32(&r->ktoa->hwtail);

		c->atok[i].head = r->sync->head;
		c->atok[i].cur = r->sync->cur;
		c->atok[i].appl_need_kick = 1;
		c->atok[i].sync_flags = 1;
		c->ktoa[i].hwcur = r->sync->head;
		c->ktoa[i].hwtail = tail & r->mask;
		c->ktoa[i].kern_need_kick = 1;
	}
	free(d->csb);
	d->csb = c;
	shm_store32(&nmw_open(d->window->base, d->open)->csb, 1);
	return 0;
}

/* How far a ring was processed, as the program is to see it. */
static uint32_t hwcur_of(const struct device *d, const struct nring *r)
{
	if (r->tx && d->kind != KIND_NULL)
		return shm_load_acquire32(&r->ktoa->hwcur) & r->mask;
	return r->sync->head & r->mask;
}

static void signal_program(int fd)
{
	uint64_t one = 1;

	if (fd >= 0)
		syscall(SYS_write, fd, &one, sizeof(one));
}

/* Carries indexes over, both ways. True if something moved. */
static bool turn(struct kloop *k, struct lane *l)
{
	struct nring *r = l->ring;
	/* The program stores cur, then head. */
	uint32_t head = shm_load_acquire32(&l->atok->head);
	uint32_t cur = shm_load_acquire32(&l->atok->cur);
	uint32_t tail, hwcur, tail_was = shm_load32(&l->ktoa->hwtail);
	bool moved = head != r->sync->head;

	shm_store32(&r->ring->head, head);
	shm_store32(&r->ring->cur, cur);
	ring_sync(k->device, k->fd, r);
	hwcur = hwcur_of(k->device, r);
	tail = shm_load32(&r->ring->tail);
	if (hwcur != shm_load32(&l->ktoa->hwcur)) {
		shm_store_release32(&l->ktoa->hwcur, hwcur);
		moved = true;
	}
	if (tail == tail_was)
		return moved;
	/* Pairs with the barriers of nm_sync_kloop_appl_read(). */
	shm_store_release32(&l->ktoa->hwtail, tail);
	/* Pairs with the program's between asking and looking again. */
	shm_full_fence();
	if (shm_load32(&l->atok->appl_need_kick))
		signal_program(l->irq);
	return true;
}

static void want_kicks(struct kloop *k, uint32_t on)
{
	for (unsigned i = 0; i < k->n; i++)
		shm_store32(&k->lanes[i].ktoa->kern_need_kick, on);
}

static bool turn_all(struct kloop *k)
{
	bool moved = false;

	for (unsigned i = 0; i < k->n; i++)
		moved |= turn(k, &k->lanes[i]);
	return moved;
}

/* Until the program or glend wakes us, or it is time to look for STOP. */
static void sleep_once(struct kloop *k)
{
	const struct timespec look = { 0, LOOK_MS * 1000000 };
	struct pollfd p[2 * DIR_RINGS + 1];
	struct sleeper s;
	uint64_t count;

	sleeper_begin(&s, &k->fd, 1);
	for (unsigned i = 0; i < k->n; i++) {
		p[i] = (struct pollfd){ .fd = k->lanes[i].io,
					.events = POLLIN };
		ring_arm(k->lanes[i].ring);
	}
	p[k->n] = (struct pollfd){ .fd = s.epfd, .events = POLLIN };
	want_kicks(k, 1);
	/* Pairs with the fences of glend and of the program between moving an
	 * index and looking whether to wake us. */
	shm_full_fence();
	if (!turn_all(k) &&
	    syscall(SYS_ppoll, p, (long)k->n + 1, &look, NULL, 8L) > 0) {
		for (unsigned i = 0; i < k->n; i++)
			if (p[i].revents & POLLIN)
				(void)!syscall(SYS_read, p[i].fd, &count,
					       sizeof(count));
		if (p[k->n].revents)
			sleeper_drain(&s);
	}
	want_kicks(k, 0);
	sleeper_end(&s);
}

static void nap(uint32_t us)
{
	const struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	if (us)
		nanosleep(&t, NULL);
	else
		sched_yield();
}

static void run(struct kloop *k, const uint32_t *stop)
{
	want_kicks(k, 0);
	while (!shm_load_acquire32(stop) && !k->device->dead) {
		if (turn_all(k))
			continue;
		if (k->sleeps)
			sleep_once(k);
		else
			nap(k->sleep_us);
	}
	want_kicks(k, 1);
}

/* Sets up the lanes, with eventfds as the options say. */
static int prepare(struct kloop *k, struct device *d, const struct request *q)
{
	const struct nmreq_opt_sync_kloop_eventfds *e = q->eventfds;

	k->n = n_rings(d);
	if (e && e->nro_opt.nro_size != k->n * sizeof(e->eventfds[0])) {
		q->eventfds->nro_opt.nro_status = EINVAL;
		return -EINVAL;
	}
	k->sleeps = e && k->n;
	for (unsigned i = 0; i < k->n; i++) {
		k->lanes[i] = (struct lane){
			.ring = ring_of(d, i),
			.atok = &d->csb->atok[i],
			.ktoa = &d->csb->ktoa[i],
			.io = e ? e->eventfds[i].ioeventfd : -1,
			.irq = e ? e->eventfds[i].irqfd : -1,
		};
		k->sleeps &= k->lanes[i].io >= 0;
	}
	/* Where the sync runs makes no difference here: the program's wake-up
	 * is answered in this thread in any case. */
	if (q->kloop_mode && q->kloop_mode->mode && !k->sleeps) {
		q->kloop_mode->nro_opt.nro_status = EINVAL;
		return -EINVAL;
	}
	return 0;
}

/* Only one loop per open; one whose thread died is none. */
static bool claim(uint32_t *running)
{
	uint32_t owner = 0;

	if (__atomic_compare_exchange_n(running, &owner, thread_id(), false,
					__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return true;
	if (!kill((pid_t)owner, 0) || errno != ESRCH)
		return false;
	return __atomic_compare_exchange_n(running, &owner, thread_id(), false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

int kloop_start(struct device *d, int fd, struct request *q)
{
	struct nmw_open *o;
	struct kloop k = { .device = d, .fd = fd };
	int err;

	if (!device_bound(d, fd))
		return -ENXIO;
	if (q->body.kloop.sleep_us > SLEEP_MAX_US || !in_csb_mode(d) || !d->csb)
		return -EINVAL;
	k.sleep_us = q->body.kloop.sleep_us;
	err = prepare(&k, d, q);
	if (err)
		return err;
	o = nmw_open(d->window->base, d->open);
	if (!claim(&o->kloop_running))
		return -EBUSY;
	obj_hold(&d->obj);
	run(&k, &o->kloop_stop);
	shm_store32(&o->kloop_stop, 0);
	/* Pairs with the acquire in claim() and kloop_stop(). */
	shm_store_release32(&o->kloop_running, 0);
	obj_release(&d->obj);
	return 0;
}

int kloop_stop(struct device *d, int fd)
{
	const struct timespec t = { 0, STOP_NAP_NS };
	struct nmw_open *o;
	uint32_t owner;

	if (!device_bound(d, fd))
		return -ENXIO;
	o = nmw_open(d->window->base, d->open);
	shm_store_release32(&o->kloop_stop, 1);
	while ((owner = shm_load_acquire32(&o->kloop_running)) &&
	       !(kill((pid_t)owner, 0) && errno == ESRCH))
		nanosleep(&t, NULL);
	return 0;
}
