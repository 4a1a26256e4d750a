// SPDX-License-Identifier: BSD-2-Clause
// worker.c - the loop over ingress rings: gather, look up, deliver, release.
#include "core/rcu.h"
#include "core/worker.h"

/* The packets of b go through the switch. */
static void forward(struct worker *w, struct ingress *in, struct batch *b)
{
	struct port *port = in->port;
	const struct switch_snap *snap = rcu_load(&port->sw->snap);
	struct lookup_ctx ctx = {
		.src = port->index,
		.src_isolated = snap->isolated[port->index],
		.worker = w->index,
		.now_s = w->now_ns / 1000000000,
		.now_ns = w->now_ns,
		.port_isolated = snap->isolated,
		.n_ports = snap->n_dest,
	};

	b->hdr_want = snap->module->hdr_want;
	HOT(gather)
	(in, b, atomic_load_explicit(&port->max_len, memory_order_relaxed));
	if (!b->n)
		return;
	count_add(&w->batches, 1);
	count_add(&w->packets, b->n);
	snap->module->lookup[w->isa](snap->module_state, &ctx, b);
	HOT(deliver)(w, snap, in, b);
}

unsigned HOT(run_ring)(struct worker *w, struct ingress *in)
{
	struct batch *b = &w->batch;
	unsigned used;

	if (__builtin_expect(port_is_broken(in->port), 0))
		return 0;
	b->n = b->n_segs = 0;
	b->overread = b->multi_seg = b->offloads = false;
	b->slots = 0;
	used = in->hot->rx(in, b);
	if (!used)
		return 0;
	if (b->n)
		forward(w, in, b);
	in->hot->rx_done(in, b);
	return used;
}

/*
 * The ring brought nothing. Returns true if it is armed now and leaves the
 * poll list. How long a ring is polled in vain before that adapts: a ring that
 * is kicked soon after it was armed should have been polled a little longer.
 */
static __attribute__((noinline)) bool idle(struct worker *w, struct ingress *in)
{
	if (!in->idle_since_ns) {
		in->idle_since_ns = w->now_ns;
		return false;
	}
	if (w->poll_mode || w->now_ns - in->idle_since_ns < in->spin_ns)
		return false;
	if (in->hot->rx_arm && in->hot->rx_arm(in)) {
		in->idle_since_ns = 0;
		return false;
	}
	in->armed = true;
	in->armed_at_ns = w->now_ns;
	return true;
}

unsigned HOT(worker_turn)(struct worker *w)
{
	unsigned used = 0;

	if (__builtin_expect(rcu_load(&w->set)->generation != w->generation, 0))
		worker_adopt(w);
	w->now_ns = worker_clock();
	count_add(&w->turns, 1);
	for (uint32_t i = 0; i < w->n_polled;) {
		struct ingress *in = w->polled[i];
		unsigned n = HOT(run_ring)(w, in);

		if (n) {
			in->idle_since_ns = 0;
			used += n;
		} else if (idle(w, in)) {
			w->polled[i] = w->polled[--w->n_polled];
			continue;
		}
		i++;
	}
	return used;
}

const struct core_hot HOT(core_hot) = {
	.turn = HOT(worker_turn),
	.run_ring = HOT(run_ring),
};
