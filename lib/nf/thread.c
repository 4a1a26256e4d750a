// SPDX-License-Identifier: BSD-2-Clause
// thread.c - a thread that runs an NF: turns, spinning, sleeping.
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/nf/route.h"
#include "lib/nf/run.h"

enum {
	SPIN_MAX_NS = 50000,
	SPIN_MIN_NS = 500,
	NAP_MS = 1000, /* longest sleep, in case that a clock jumps */
};

/* Asks to be woken, and looks once more; true: there is something to do. */
static bool arm(struct glen_nf_thread *t)
{
	const struct nf_route *r = t->route;
	bool busy = false;

	for (unsigned i = 0; i < r->n_in; i++)
		pipe_in_arm(&r->in[i]->in);
	for (unsigned i = 0; t->blocked && i < r->n_out; i++)
		pipe_out_arm(r->out[i]);
	/* Pairs with the fence in pipe_answer(). */
	shm_full_fence();
	for (unsigned i = 0; i < r->n_in; i++)
		if (!r->in[i]->n_held && pipe_in_refresh(&r->in[i]->in))
			busy = true;
	for (unsigned i = 0; t->blocked && i < r->n_out; i++) {
		struct pipe_out *o = r->out[i];

		/* Only who was full can have become ready. */
		if (o->head - o->tail > o->mask && pipe_out_refresh(o))
			busy = true;
	}
	if (t->arm && t->arm(t))
		busy = true;
	return busy || atomic_load(&t->next) || atomic_load(&t->messages);
}

static void disarm(struct glen_nf_thread *t)
{
	const struct nf_route *r = t->route;

	for (unsigned i = 0; i < r->n_in; i++)
		pipe_in_disarm(&r->in[i]->in);
	for (unsigned i = 0; i < r->n_out; i++)
		pipe_out_disarm(r->out[i]);
}

static int timeout_ms(const struct glen_nf_thread *t)
{
	uint64_t next = nf_timers_next(t), now = nf_clock();

	if (next <= now)
		return 0;
	next = (next - now + 999999) / 1000000;
	return next < NAP_MS ? (int)next : NAP_MS;
}

static void nap(struct glen_nf_thread *t, const atomic_bool *quit)
{
	struct pollfd p[2] = { { .fd = t->wake_fd, .events = POLLIN },
			       { .fd = t->extra_fd, .events = POLLIN } };
	uint64_t n;

	if (!arm(t) && !atomic_load(quit) &&
	    poll(p, t->extra_fd < 0 ? 1 : 2, timeout_ms(t)) > 0 && p[0].revents)
		if (read(t->wake_fd, &n, sizeof(n)) < 0)
			n = 0; /* somebody else's signal; look again */
	disarm(t);
}

void nf_thread_loop(struct glen_nf_thread *t, atomic_bool *quit)
{
	static _Thread_local struct nf_scratch s;
	uint64_t idle_ns = 0, spin_ns = SPIN_MAX_NS / 4;
	bool spins = sysconf(_SC_NPROCESSORS_ONLN) > 1;

	while (!atomic_load_explicit(quit, memory_order_relaxed)) {
		bool again = false;

		s.now_ns = nf_clock();
		nf_turn(t, &s, &again);
		if (again) {
			/* Spinning paid: longer next time. */
			if (idle_ns && spin_ns < SPIN_MAX_NS)
				spin_ns += spin_ns / 4;
			idle_ns = 0;
			continue;
		}
		if (!idle_ns)
			idle_ns = s.now_ns;
		if (spins && s.now_ns - idle_ns < spin_ns) {
			shm_pause();
			continue;
		}
		if (spin_ns > SPIN_MIN_NS)
			spin_ns -= spin_ns / 4;
		nap(t, quit);
		idle_ns = 0;
	}
}
