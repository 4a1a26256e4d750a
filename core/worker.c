// SPDX-License-Identifier: BSD-2-Clause
// worker.c - the loop over ingress rings: gather, look up, deliver, release.
#include "core/rcu.h"
#include "core/worker.h"

/* The packets of b go through the switch. */
static void forward(struct worker *w, struct ingress *in, struct batch *b)
{
	struct port *port = in->port;
	const struct switch_snap *snap = rcu_load(&port->sw->snap);
	struct extra_table *mirrors;
	struct glen_lookup ctx = {
		.src = port->index,
		.src_isolated = snap->isolated[port->index],
		.worker = w->index,
		.now_s = w->now_ns / 1000000000,
		.now_ns = w->now_ns,
		.port_isolated = snap->isolated,
		.n_ports = snap->n_dest,
		.src_ring = in->ring,
	};

	b->hdr_want = snap->hdr_want;
	HOT(gather)
	(in, b, atomic_load_explicit(&port->max_len, memory_order_relaxed));
	if (!b->n)
		return;
	count_add(&w->batches, 1);
	count_add(&w->packets, b->n);
	mirrors = atomic_load_explicit(&snap->fabric->ports,
				       memory_order_acquire);
	if (__builtin_expect(mirrors != NULL, 0))
		HOT(mirror_in)(w, snap, in, b);
	snap->lookup(snap->module_state, &ctx, batch_view(b));
	b->marks = b->view.marks;
	if (__builtin_expect(b->view.edited, 0))
		batch_settle(b);
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
	b->took = b->asks = b->marks = false;
	b->from = NULL;
	b->slots = 0;
	b->vnet_len = 0;
	used = in->hot->rx(in, b);
	if (!used)
		return 0;
	if (b->n)
		forward(w, in, b);
	in->hot->rx_done(in, b);
	return used;
}

/*
 * The ring brought nothing. Returns true if it is to leave the polled ones: it
 * is armed now, or cold in poll mode. How long a ring is polled in vain before
 * that adapts: one that is kicked soon after it was armed should have been
 * polled a little longer, and dense traffic makes pauses that are shorter than
 * a sleep.
 */
static __attribute__((noinline)) bool idle(struct worker *w, struct ingress *in)
{
	if (!in->idle_since_ns) {
		in->idle_since_ns = w->now_ns;
		return false;
	}
	if (w->now_ns - in->idle_since_ns <
	    (in->burst < SPIN_DENSE ? in->spin_ns : SPIN_MAX_NS))
		return false;
	if (w->poll_mode)
		return true;
	if (in->hot->rx_arm && in->hot->rx_arm(in)) {
		in->idle_since_ns = 0;
		return false;
	}
	in->armed = true;
	in->armed_at_ns = w->now_ns;
	in->burst /= 2; /* dense traffic has to show itself again */
	return true;
}

/*
 * Poll mode has no armed rings: one that brings nothing for a while becomes
 * cold. Cold rings lie behind the polled ones in w->polled; a turn in which
 * those had packets looks at a few of the cold ones, any other at all of them.
 */
static __attribute__((noinline)) unsigned cold_rings(struct worker *w,
						     uint32_t n)
{
	unsigned all = 0;

	for (; n && w->n_cold; n--) {
		uint32_t at;
		struct ingress *in;
		unsigned used;

		if (++w->next_cold >= w->n_cold)
			w->next_cold = 0;
		at = w->n_polled + w->next_cold;
		in = w->polled[at];
		used = HOT(run_ring)(w, in);
		all += used;
		if (!used)
			continue;
		in->idle_since_ns = 0;
		w->polled[at] = w->polled[w->n_polled];
		w->polled[w->n_polled++] = in;
		w->n_cold--;
	}
	return all;
}

/* Ring i of the polled ones leaves them: it is armed now, or cold. */
static inline void leave(struct worker *w, uint32_t i)
{
	struct ingress *in = w->polled[i];

	w->polled[i] = w->polled[--w->n_polled];
	if (!w->poll_mode)
		return;
	w->polled[w->n_polled] = in;
	w->n_cold++;
}

unsigned HOT(worker_turn)(struct worker *w)
{
	unsigned used = 0;

	if (__builtin_expect(rcu_load(&w->set)->generation != w->generation, 0))
		worker_adopt(w);
	w->now_ns = worker_clock();
	count_add(&w->turns, 1);
	if (w->busy_since_ns)
		count_add(&w->busy_ns, w->now_ns - w->busy_since_ns);
	for (uint32_t i = 0; i < w->n_polled;) {
		struct ingress *in = w->polled[i];
		unsigned n = HOT(run_ring)(w, in);

		if (n) {
			in->idle_since_ns = 0;
			in->burst = (in->burst + n) / 2;
			used += n;
		} else if (idle(w, in)) {
			leave(w, i);
			continue;
		}
		i++;
	}
	if (__builtin_expect(w->n_cold != 0, 0))
		used += cold_rings(w, used ? COLD_LOOKS : w->n_cold);
	w->busy_since_ns = used ? w->now_ns : 0;
	if (w->polled_shown != w->n_polled)
		__atomic_store_n(&w->polled_shown, w->n_polled,
				 __ATOMIC_RELAXED);
	return used;
}

const struct core_hot HOT(core_hot) = {
	.turn = HOT(worker_turn),
	.run_ring = HOT(run_ring),
};
