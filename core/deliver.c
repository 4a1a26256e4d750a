// SPDX-License-Identifier: BSD-2-Clause
// deliver.c - group a batch by egress ring and hand each group to its driver.
#include "core/batch.h"
#include "core/capture.h"
#include "core/flow_hash.h"
#include "core/offload.h"
#include "core/rcu.h"
#include "core/worker.h"

enum { GROUP_NONE = UINT16_MAX, EPOCH_MAX = UINT16_MAX };

static const uint16_t identity[BATCH_MAX] = {
#define X1(n) n
#define X4(n) X1(n), X1(n + 1), X1(n + 2), X1(n + 3)
#define X16(n) X4(n), X4(n + 4), X4(n + 8), X4(n + 12)
#define X64(n) X16(n), X16(n + 16), X16(n + 32), X16(n + 48)
	X64(0),
	X64(64),
	X64(128),
	X64(192),
};

/* Packet i is not forwarded at all. Its verdict says so to captures. */
static void drop_in(struct ingress *in, struct batch *b, unsigned i,
		    unsigned reason)
{
	count_add(&in->counters->drops[reason], 1);
	b->verdict[i] = VERDICT_DROP | reason;
}

/* Length of the longest frame that packet i becomes on a wire. */
static uint32_t frame_len(const struct batch *b, unsigned i)
{
	const struct offload *off = &b->off[i];
	const uint8_t *type = b->hdr[i] + 12 + batch_tags_len(b, i);
	uint32_t len;

	if (!b->offloads || off->gso_type == OFFLOAD_GSO_NONE)
		return b->len[i];
	len = off->hdr_len + off->gso_size;
	/* UFO: gso_size counts the UDP header too, which only the first
	 * fragment has; IPv6 adds a fragment header of that size. */
	if (off->gso_type == OFFLOAD_GSO_UDP && type[0] == 8 && type[1] == 0)
		len -= 8;
	return len;
}

/* Takes packets out of list that are too long for the port. */
static __attribute__((noinline)) unsigned drop_oversize(
	struct tx_ctx *ctx, const struct batch *b, uint16_t *out,
	const uint16_t *list, unsigned n, uint32_t max_len)
{
	unsigned left = 0;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		uint32_t len = frame_len(b, i);

		if (len > max_len && len > max_len + batch_tags_len(b, i))
			tx_drop(ctx, i, DROP_OUT_OVERSIZE);
		else
			out[left++] = i;
	}
	return left;
}

/*
 * Packet i needs work that the port does not take: segment it into scratch
 * and deliver the segments. For the counters it stays one packet, delivered
 * if all segments were.
 */
static void send_segmented(struct worker *w, struct egress *e,
			   struct tx_ctx *ctx, const struct batch *b,
			   unsigned i)
{
	struct offload_cursor cursor = { 0 };
	struct counters sum = { 0 };
	struct tx_ctx part = { .worker = w, .counters = &sum };
	struct batch *out = &w->scratch;
	enum drop reason = DROP_N;

	while (!cursor.done) {
		out->n = out->n_segs = out->slots = 0;
		out->hdr_want = b->hdr_want;
		out->overread = out->multi_seg = out->offloads = false;
		if (offload_segment(b, i, &cursor, out) <= 0) {
			reason = DROP_OUT_BAD_OFFLOAD;
			break;
		}
		out->most = 0;
		for (unsigned k = 0; k < out->n; k++)
			if (out->len[k] > out->most)
				out->most = out->len[k];
		e->hot->tx(e, &part, out, identity, out->n);
	}
	for (unsigned r = 0; r < DROP_N; r++)
		if (sum.drops[r] && reason == DROP_N)
			reason = r;
	count_add(&ctx->counters->bytes, sum.bytes);
	count_add(&ctx->counters->segments, sum.packets);
	count_add(&ctx->counters->kicks, sum.kicks);
	if (reason == DROP_N)
		count_add(&ctx->counters->packets, 1);
	else
		tx_drop(ctx, i, reason);
}

/* Like tx(), for a batch in which some packets carry offload descriptions. */
static __attribute__((noinline)) void send_offloads(
	struct worker *w, struct egress *e, struct tx_ctx *ctx,
	const struct batch *b, const uint16_t *list, unsigned n)
{
	unsigned caps = atomic_load_explicit(&e->port->caps,
					     memory_order_relaxed);
	unsigned start = 0;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];

		if (!(offload_needs(&b->off[i]) & ~caps))
			continue;
		if (start < k)
			e->hot->tx(e, ctx, b, list + start, k - start);
		send_segmented(w, e, ctx, b, i);
		start = k + 1;
	}
	if (start < n)
		e->hot->tx(e, ctx, b, list + start, n - start);
}

/* Delivers packets list[0..n) to one egress ring, in order. */
static void send_list(struct worker *w, struct egress *e, const struct batch *b,
		      const uint16_t *list, unsigned n)
{
	struct port *port = e->port;
	struct tx_ctx ctx;
	uint16_t kept[BATCH_MAX];
	const uint16_t *all = list;
	unsigned n_all = n;
	uint32_t max_len = atomic_load_explicit(&port->max_len,
						memory_order_relaxed);

	ctx.worker = w;
	ctx.counters = &e->counters[w->index];
	ctx.capture = rcu_load(&port->capture);
	if (__builtin_expect(ctx.capture != NULL, 0))
		memset(ctx.dropped, 0, sizeof(ctx.dropped));
	if (__builtin_expect(port_is_broken(port), 0)) {
		for (unsigned k = 0; k < n; k++)
			tx_drop(&ctx, list[k], DROP_OUT_GONE);
		n = 0;
	} else if (b->most > max_len) {
		n = drop_oversize(&ctx, b, kept, list, n, max_len);
		list = kept;
	}
	if (n && b->offloads)
		send_offloads(w, e, &ctx, b, list, n);
	else if (n)
		e->hot->tx(e, &ctx, b, list, n);
	if (__builtin_expect(ctx.capture != NULL, 0))
		capture_out(ctx.capture, w->index, port, b, all, n_all, &ctx);
}

/* The group of packets for egress ring id, made if there is none yet. */
static inline unsigned group_get(struct worker *w,
				 const struct switch_snap *snap, uint32_t id)
{
	uint32_t seen = w->group_of[id];
	unsigned g;

	if (seen >> 16 == w->epoch)
		return seen & 0xffff;
	g = w->n_groups++;
	w->group_of[id] = w->epoch << 16 | g;
	w->groups[g].egress = snap->egress[id];
	w->groups[g].id = id;
	w->groups[g].n = 0;
	__builtin_prefetch(w->groups[g].egress);
	return g;
}

/* Where packet i goes that has a verdict VERDICT_PORT; GROUP_NONE: nowhere. */
static inline unsigned group_port(struct worker *w,
				  const struct switch_snap *snap,
				  struct ingress *in, struct batch *b,
				  unsigned i, bool *by_flow)
{
	uint32_t v = b->verdict[i], port = v & 0xffff;
	uint32_t ring = v >> VERDICT_RING_SHIFT & 0xff;
	const struct dest *d;

	if (port >= snap->n_dest || !snap->dest[port].port) {
		drop_in(in, b, i, DROP_IN_NO_PORT);
		return GROUP_NONE;
	}
	if (port == in->port->index) {
		drop_in(in, b, i, DROP_IN_SAME_PORT);
		return GROUP_NONE;
	}
	d = &snap->dest[port];
	if (d->n_out == 1) {
		ring = 0;
	} else if (!d->n_out) {
		drop_in(in, b, i, DROP_IN_NO_PORT);
		return GROUP_NONE;
	} else {
		/* A ring that the port has not is as good as RING_ANY. */
		if (ring >= d->n_out) {
			ring = flow_hash(b->hdr[i], b->hdr_len[i]);
			ring = (uint64_t)ring * d->n_out >> 32;
			*by_flow = true;
		}
	}
	return group_get(w, snap, d->egress0 + ring);
}

/* The source port is alone in the set. */
static bool nobody_in(const struct switch_snap *snap, unsigned set,
		      uint16_t source)
{
	return snap->n_flood[set] == 0 ||
	       (snap->n_flood[set] == 1 && snap->flood[set][0] == source);
}

/* What the module calls reason: one of its own, or one of the core's. */
static unsigned reason_of(const struct switch_snap *snap, uint32_t reason)
{
	if (reason < snap->n_drops)
		return snap->drop[reason];
	if (reason >= DROP_CORE && reason < DROP_CORE + DROP_OUT_NO_ROOM)
		return reason - DROP_CORE;
	return DROP_IN_MODULE;
}

/* Drops, and marks for flood(), what does not go to a single port. */
static __attribute__((noinline)) void special(struct worker *w,
					      const struct switch_snap *snap,
					      struct ingress *in,
					      struct batch *b, unsigned i)
{
	uint32_t v = b->verdict[i], low = v & 0xffff, rest = v - low;

	if (rest == VERDICT_FLOOD && low < FLOOD_SETS &&
	    nobody_in(snap, low, in->port->index))
		drop_in(in, b, i, DROP_IN_NO_PORT);
	else if (rest == VERDICT_FLOOD && low < FLOOD_SETS)
		w->flood_sets |= 1U << low;
	else if (rest == GLEN_VERDICT_DROP)
		drop_in(in, b, i, reason_of(snap, low));
	else
		drop_in(in, b, i, DROP_IN_MODULE);
}

/* Notes that packets [first, first + n) go to group g. */
static inline void add_run(struct worker *w, unsigned g, unsigned first,
			   unsigned n)
{
	if (g == GROUP_NONE)
		return;
	w->runs[w->n_runs++] = (struct run){ g, first, n };
	w->groups[g].n += n;
}

/*
 * Finds the runs of packets with one destination and the group of each;
 * neighbours mostly go the same way.
 */
static void make_runs(struct worker *w, const struct switch_snap *snap,
		      struct ingress *in, struct batch *b)
{
	unsigned n = b->n, next;

	w->n_runs = 0;
	for (unsigned i = 0; i < n; i = next) {
		uint32_t v = b->verdict[i];
		bool by_flow = false;
		unsigned g;

		next = i + 1;
		if (v & VERDICT_TYPE) {
			special(w, snap, in, b, i);
			continue;
		}
		g = group_port(w, snap, in, b, i, &by_flow);
		if (g != GROUP_NONE && !by_flow)
			while (next < n && b->verdict[next] == v)
				next++;
		add_run(w, g, i, next - i);
	}
}

/* Fills order[] with the packets of each group. */
static void make_order(struct worker *w)
{
	unsigned first = 0;

	for (unsigned g = 0; g < w->n_groups; g++) {
		w->groups[g].first = first;
		first += w->groups[g].n;
		w->groups[g].n = 0;
	}
	for (unsigned k = 0; k < w->n_runs; k++) {
		const struct run *run = &w->runs[k];
		struct group *to = &w->groups[run->group];
		uint16_t *at = w->order + to->first + to->n;

		for (unsigned i = 0; i < run->n; i++)
			at[i] = run->first + i;
		to->n += run->n;
	}
}

/* Merges two ascending lists of packets, so that arrival order is kept. */
static unsigned merge(uint16_t *out, const uint16_t *a, unsigned n_a,
		      const uint16_t *b, unsigned n_b)
{
	unsigned i = 0, j = 0, n = 0;

	while (i < n_a && j < n_b)
		out[n++] = a[i] < b[j] ? a[i++] : b[j++];
	while (i < n_a)
		out[n++] = a[i++];
	while (j < n_b)
		out[n++] = b[j++];
	return n;
}

/* Sends w->flood[0..n) and what a group holds for ring r of port d. */
static void flood_ring(struct worker *w, const struct switch_snap *snap,
		       const struct batch *b, const struct dest *d, unsigned r,
		       unsigned n)
{
	uint32_t id = d->egress0 + r, seen = w->group_of[id];
	const uint16_t *list = w->flood;
	uint16_t mine[BATCH_MAX];

	if (d->n_out > 1) {
		unsigned k = 0;

		for (unsigned j = 0; j < n; j++) {
			unsigned i = w->flood[j];
			uint64_t h = flow_hash(b->hdr[i], b->hdr_len[i]);

			if ((h * d->n_out >> 32) == r)
				mine[k++] = i;
		}
		list = mine;
		n = k;
	}
	if (seen >> 16 == w->epoch && w->groups[seen & 0xffff].n) {
		struct group *g = &w->groups[seen & 0xffff];

		n = merge(w->merged, list, n, w->order + g->first, g->n);
		list = w->merged;
		g->n = 0;
	}
	if (n)
		send_list(w, snap->egress[id], b, list, n);
}

/* Copies the packets with a verdict of one flood set to all its ports. */
static void flood(struct worker *w, const struct switch_snap *snap,
		  struct ingress *in, const struct batch *b, unsigned set)
{
	unsigned n = 0, targets = 0;

	for (unsigned i = 0; i < b->n; i++)
		if (b->verdict[i] == (VERDICT_FLOOD | set))
			w->flood[n++] = i;
	for (uint32_t k = 0; k < snap->n_flood[set]; k++) {
		uint16_t port = snap->flood[set][k];
		const struct dest *d = &snap->dest[port];

		if (port == in->port->index)
			continue;
		targets++;
		for (unsigned r = 0; r < d->n_out; r++)
			flood_ring(w, snap, b, d, r, n);
	}
	count_add(&in->counters->replicated, (uint64_t)(targets - 1) * n);
}

void HOT(deliver)(struct worker *w, const struct switch_snap *snap,
		  struct ingress *in, struct batch *b)
{
	struct capture *capture = rcu_load(&in->port->capture);

	w->n_groups = 0;
	w->flood_sets = 0;
	if (w->epoch++ == EPOCH_MAX) {
		memset(w->group_of, 0, EGRESS_MAX * sizeof(*w->group_of));
		w->epoch = 1;
	}
	make_runs(w, snap, in, b);
	/* Every verdict is final now, and nothing has left yet. */
	if (__builtin_expect(capture != NULL, 0))
		capture_in(capture, w->index, in->port, b);
	if (w->n_groups == 1 && w->groups[0].n == b->n) {
		send_list(w, w->groups[0].egress, b, identity, b->n);
		return;
	}
	make_order(w);
	for (unsigned set = 0; w->flood_sets >> set; set++)
		if (w->flood_sets >> set & 1)
			flood(w, snap, in, b, set);
	for (unsigned g = 0; g < w->n_groups; g++)
		if (w->groups[g].n)
			send_list(w, w->groups[g].egress, b,
				  w->order + w->groups[g].first,
				  w->groups[g].n);
}
