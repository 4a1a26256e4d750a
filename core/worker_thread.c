// SPDX-License-Identifier: BSD-2-Clause
// worker_thread.c - a worker's life: creation, its rings, sleep and wake-up.
#include "core/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"
#include "lib/error.h"
#include "lib/shm.h"

#ifdef RCU_TSAN
char rcu_tsan_token;
#endif

extern ISA_DECLARE(const struct core_hot, core_hot);
const struct core_hot *const core_hots[ISA_N] = ISA_TABLE_PTR(core_hot);

uint64_t worker_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static struct worker_set *set_create(uint32_t n, uint64_t generation)
{
	size_t ring = sizeof(struct ingress *);
	struct worker_set *set = calloc(1, sizeof(*set) + 2 * n * ring);

	if (!set)
		return NULL;
	set->generation = generation;
	set->n = n;
	set->polled = &set->ring[n];
	return set;
}

/*
 * Two clients and a worker on two processors: who spins there keeps the one it
 * waits for from running.
 */
static uint32_t spin_limit(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) ||
	    CPU_COUNT(&cpus) >= SPIN_MANY_CPUS)
		return SPIN_MAX_NS;
	return SPIN_FEW_NS;
}

struct worker *worker_create(struct engine *engine, uint16_t index, int cpu,
			     bool poll_mode, struct glen_error *error)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~63UL);
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = WORKER_WAKE };

	if (!w)
		goto err;
	memset(w, 0, sizeof(*w));
	w->engine = engine;
	w->index = index;
	w->cpu = cpu;
	w->isa = isa_now();
	w->poll_mode = poll_mode;
	w->spin_max_ns = spin_limit();
	w->now_ns = worker_clock();
	batch_init(&w->batch);
	batch_init(&w->scratch);
	batch_init(&w->edited);
	w->group_of = calloc(EGRESS_MAX, sizeof(*w->group_of));
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_store(&w->set, set_create(0, 1));
	if (!w->group_of || w->epfd < 0 || w->wake_fd < 0 ||
	    !atomic_load(&w->set) ||
	    epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->wake_fd, &ev))
		goto err;
	return w;
err:
	error_set(error, -ENOMEM, "cannot make worker %u: %s", index,
		  strerror(errno));
	worker_destroy(w);
	return NULL;
}

void worker_destroy(struct worker *w)
{
	if (!w)
		return;
	worker_stop(w);
	if (w->epfd > 0)
		close(w->epfd);
	if (w->wake_fd > 0)
		close(w->wake_fd);
	doorbell_fini(&w->doorbell);
	free(atomic_load(&w->set));
	free(w->group_of);
	free(w);
}

void worker_adopt(struct worker *w)
{
	struct worker_set *set = rcu_load(&w->set);

	if (set->generation == w->generation)
		return;
	w->generation = set->generation;
	w->polled = set->polled;
	w->n_polled = w->n_rings = w->n_cold = 0;
	for (uint32_t i = 0; i < set->n; i++) {
		w->n_rings += set->ring[i] != NULL;
		if (set->ring[i] && !set->ring[i]->armed)
			w->polled[w->n_polled++] = set->ring[i];
	}
}

/* The ring was kicked, or may have been: poll it again. */
static void ring_wake(struct worker *w, struct ingress *in)
{
	uint32_t spin = in->spin_ns;

	if (!in->armed)
		return;
	if (w->now_ns - in->armed_at_ns < 2 * w->spin_max_ns)
		spin *= 2;
	else
		spin /= 2;
	spin = spin < SPIN_MIN_NS ? SPIN_MIN_NS : spin;
	in->spin_ns = spin < w->spin_max_ns ? spin : w->spin_max_ns;
	if (in->hot->rx_disarm)
		in->hot->rx_disarm(in);
	in->armed = false;
	in->idle_since_ns = 0;
	w->polled[w->n_polled++] = in;
}

static void handle_event(struct worker *w, uint32_t where)
{
	struct worker_set *set = rcu_load(&w->set);
	struct port *port;
	uint64_t n;

	if (where == WORKER_WAKE) {
		while (read(w->wake_fd, &n, sizeof(n)) > 0)
			;
		return;
	}
	if (where >= set->n || !set->ring[where])
		return;
	port = set->ring[where]->port;
	if (port->starts_rings) {
		ring_wake(w, set->ring[where]);
		return;
	}
	/* Rings of one port may share a descriptor. Others may be coming, or
	 * going to another worker: the set says. */
	for (unsigned i = 0; i < port->n_in; i++) {
		struct ingress *in = &port->in[i];

		where = atomic_load_explicit(&in->where, memory_order_relaxed);
		if (where < set->n && set->ring[where] == in)
			ring_wake(w, in);
	}
}

void worker_events(struct worker *w, int timeout_ms)
{
	struct epoll_event ev[WORKER_EVENTS];
	int n;

	if (timeout_ms) {
		count_add(&w->sleeps, 1);
		rcu_offline();
	}
	n = epoll_wait(w->epfd, ev, WORKER_EVENTS, timeout_ms);
	if (timeout_ms)
		rcu_online();
	w->now_ns = worker_clock();
	w->epoll_at_ns = w->now_ns + EPOLL_INTERVAL_NS;
	worker_adopt(w);
	if (n > 0)
		count_add(&w->wakeups, 1);
	for (int i = 0; i < n; i++)
		handle_event(w, ev[i].data.u32);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	const struct core_hot *hot = core_hots[w->isa];

	urcu_qsbr_register_thread();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		unsigned used = hot->turn(w);

		rcu_quiet();
		if (!w->n_polled && !w->n_cold)
			worker_events(w, -1);
		else if (w->n_polled + w->n_cold < w->n_rings &&
			 (!used || w->now_ns >= w->epoll_at_ns))
			worker_events(w, 0);
		if (!used)
			shm_pause();
	}
	RCU_TSAN_RELEASE();
	urcu_qsbr_unregister_thread();
	return NULL;
}

static int pin(struct worker *w, struct glen_error *error)
{
	cpu_set_t cpus;
	int err;

	if (w->cpu < 0)
		return 0;
	CPU_ZERO(&cpus);
	if (w->cpu < CPU_SETSIZE)
		CPU_SET(w->cpu, &cpus);
	err = pthread_setaffinity_np(w->thread, sizeof(cpus), &cpus);
	if (err)
		return error_set(error, -err,
				 "cannot pin worker %u to cpu %d: %s", w->index,
				 w->cpu, strerror(err));
	return 0;
}

int worker_start(struct worker *w, struct glen_error *error)
{
	char name[16];
	int err;

	atomic_store(&w->stop, false);
	err = pthread_create(&w->thread, NULL, worker_main, w);
	if (err)
		return error_set(error, -err, "cannot start worker %u: %s",
				 w->index, strerror(err));
	w->started = true;
	snprintf(name, sizeof(name), "glen-w%u", w->index & 0xff);
	pthread_setname_np(w->thread, name);
	err = pin(w, error);
	if (err)
		worker_stop(w);
	return err;
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	atomic_store(&w->stop, true);
	worker_wake(w);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;

	while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Publishes a copy of the set with room for n rings; frees the old one. */
static void set_replace(struct worker *w, struct worker_set *set)
{
	struct worker_set *old = atomic_load(&w->set);

	rcu_publish(&w->set, set);
	worker_wake(w);
	rcu_wait();
	free(old);
}

static struct worker_set *set_copy(const struct worker_set *old, uint32_t n)
{
	struct worker_set *set = set_create(n, old->generation + 1);

	if (set)
		memcpy(set->ring, old->ring,
		       (old->n < n ? old->n : n) * sizeof(*set->ring));
	return set;
}

int worker_add(struct worker *w, struct ingress *in, struct glen_error *error)
{
	struct worker_set *old = atomic_load(&w->set), *set;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	uint32_t where = 0;

	while (where < old->n && old->ring[where])
		where++;
	set = set_copy(old, where < old->n ? old->n : old->n + 1);
	if (!set)
		return error_set(error, -ENOMEM, "out of memory");
	ev.data.u32 = where;
	if (in->in_fd >= 0 &&
	    epoll_ctl(w->epfd, EPOLL_CTL_ADD, in->in_fd, &ev) &&
	    errno != EEXIST) {
		free(set);
		return error_set(error, -errno, "cannot watch ring %u: %s",
				 in->ring, strerror(errno));
	}
	set->ring[where] = in;
	atomic_store_explicit(&in->where, where, memory_order_relaxed);
	set_replace(w, set);
	return 0;
}

/* Of two rings that share a descriptor, the one that stays is woken by it. */
static void unwatch(struct worker *w, const struct ingress *in)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	const struct port *port = in->port;

	if (in->in_fd < 0)
		return;
	for (unsigned i = 0; i < port->n_in; i++) {
		const struct ingress *other = &port->in[i];

		if (other == in || other->worker != w ||
		    other->in_fd != in->in_fd)
			continue;
		ev.data.u32 = atomic_load(&other->where);
		epoll_ctl(w->epfd, EPOLL_CTL_MOD, in->in_fd, &ev);
		return;
	}
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, in->in_fd, NULL);
}

void worker_del(struct worker *w, const struct port *port,
		const struct ingress *in)
{
	struct worker_set *old = atomic_load(&w->set);
	struct worker_set *set = set_copy(old, old->n);

	if (in)
		unwatch(w, in);
	for (unsigned i = 0; i < port->n_in && !in; i++)
		if (port->in[i].worker == w && port->in[i].in_fd >= 0)
			epoll_ctl(w->epfd, EPOLL_CTL_DEL, port->in[i].in_fd,
				  NULL);
	/* Without memory for a new set: wait until there is some. */
	while (!set) {
		usleep(1000);
		set = set_copy(old, old->n);
	}
	for (uint32_t i = 0; i < set->n; i++)
		if (set->ring[i] && set->ring[i]->port == port &&
		    (!in || set->ring[i] == in))
			set->ring[i] = NULL;
	set_replace(w, set);
}
