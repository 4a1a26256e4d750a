// SPDX-License-Identifier: BSD-2-Clause
// deliver.c - group a batch by egress ring and hand each group to its driver.
#include "core/batch.h"
#include "core/capture.h"
#include "lib/flow_hash.h"
#include "core/offload.h"
#include "core/rcu.h"
#include "core/worker.h"

enum { EPOCH_MAX = UINT16_MAX };

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

/* Takes packets out of list that are too long for the port. */
static __attribute__((noinline)) unsigned drop_oversize(
	struct tx_ctx *ctx, const struct batch *b, uint16_t *out,
	const uint16_t *list, unsigned n, uint32_t max_len)
{
	unsigned left = 0;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		uint32_t len = batch_frame_len(b, i);

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
		out->marks = b->marks;
		for (unsigned k = 0; k < out->n; k++) {
			if (out->len[k] > out->most)
				out->most = out->len[k];
			if (b->marks)
				out->mark[k] = b->mark[i];
		}
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

/*
 * One batch on its way out. Where packets go is noted as runs, and runs are
 * chained to groups, one per egress ring, in order of arrival; then each group
 * is handed to its driver at once. If there are more runs than room, which
 * takes floods to very many ports, what there is goes out first.
 */
struct delivery {
	struct worker *w;
	const struct switch_snap *snap;
	struct ingress *in;
	struct batch *b;
	struct extra_table *extras; /* edits and mirrors of ports, or NULL */
	struct capture *capture;    /* not told yet of this batch, or NULL */
	unsigned judged; /* verdicts below are final, drops are counted */
	/* Whose buffers packets of b may leave with; NULL: copies only. */
	const struct region_member *from;
	bool several; /* not those of the group that is being sent */
};

/* Sends what tx() did not drop of list to where the port is mirrored. */
static void mirror_out(struct delivery *d, const struct batch *b,
		       const uint16_t *list, unsigned n, uint32_t to,
		       const struct tx_ctx *ctx);

/* Delivers packets list[0..n) to one egress ring, in order. */
static void send_list(struct delivery *d, struct egress *e,
		      const struct batch *b, const uint16_t *list, unsigned n,
		      uint32_t mirror)
{
	struct worker *w = d->w;
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
	/* A capture reads packets when their receiver has them already. */
	ctx.from = d->several || ctx.capture ? NULL : d->from;
	ctx.taker = d->b;
	ctx.track = ctx.capture || mirror != GLEN_MIRROR_NONE;
	if (__builtin_expect(ctx.track, 0))
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
	if (__builtin_expect(mirror != GLEN_MIRROR_NONE, 0))
		mirror_out(d, b, all, n_all, mirror, &ctx);
}

/* The ring of a port that packet i goes to if nobody says. */
static inline unsigned ring_by_flow(const struct batch *b, unsigned i,
				    unsigned n_out)
{
	uint64_t hash = flow_hash(b->hdr[i], b->hdr_len[i]);

	return hash * n_out >> 32;
}

/* A packet from source can go to this port. */
static inline bool reachable(const struct switch_snap *snap, uint32_t port,
			     uint16_t source)
{
	return port < snap->n_dest && snap->dest[port].port &&
	       snap->dest[port].n_out && port != source;
}

/*
 * Sends copies to one port, as they are: for mirrors. Returns false if there is
 * no such port, or it is the source.
 */
static bool copy_to_port(struct delivery *d, uint32_t port,
			 const struct batch *b, const uint16_t *list,
			 unsigned n)
{
	const struct switch_snap *snap = d->snap;
	const struct dest *to;
	uint16_t mine[BATCH_MAX];

	if (!reachable(snap, port, d->in->port->index))
		return false;
	to = &snap->dest[port];
	for (unsigned r = 0; r < to->n_out; r++) {
		const uint16_t *all = list;
		unsigned k = n;

		if (to->n_out > 1) {
			k = 0;
			for (unsigned j = 0; j < n; j++)
				if (ring_by_flow(b, list[j], to->n_out) == r)
					mine[k++] = list[j];
			all = mine;
		}
		if (k)
			send_list(d, snap->egress[to->egress0 + r], b, all, k,
				  GLEN_MIRROR_NONE);
	}
	return true;
}

/* The set of this number; NULL: there is none. */
static const struct port_set *find_set(const struct switch_snap *snap,
				       uint32_t id)
{
	return id < FLOOD_SETS ? snap->flood[id] : fabric_set(snap->fabric, id);
}

/* Sends copies to where a verdict says. */
static __attribute__((noinline)) void copy_to(struct delivery *d, uint32_t to,
					      const struct batch *b,
					      const uint16_t *list, unsigned n)
{
	const struct port_set *set;
	uint64_t copies = 0;

	if ((to & VERDICT_TYPE) == VERDICT_PORT) {
		copies = copy_to_port(d, to & 0xffff, b, list, n);
	} else {
		set = find_set(d->snap, to & 0xffff);
		for (uint32_t k = 0; set && k < set->n; k++)
			copies += copy_to_port(d, set->member[k].port, b, list,
					       n);
	}
	count_add(&d->in->counters->replicated, copies * n);
}

static __attribute__((noinline)) void mirror_out(struct delivery *d,
						 const struct batch *b,
						 const uint16_t *list,
						 unsigned n, uint32_t to,
						 const struct tx_ctx *ctx)
{
	uint16_t went[BATCH_MAX];
	unsigned k = 0;

	for (unsigned j = 0; j < n; j++)
		if (!(ctx->dropped[list[j] / 64] >> (list[j] % 64) & 1))
			went[k++] = list[j];
	if (k)
		copy_to(d, to, b, went, k);
}

void HOT(mirror_in)(struct worker *w, const struct switch_snap *snap,
		    struct ingress *in, struct batch *b)
{
	struct delivery d = { .w = w, .snap = snap, .in = in, .b = b };
	const struct port_extra *x;

	x = fabric_port(atomic_load_explicit(&snap->fabric->ports,
					     memory_order_acquire),
			in->port->index);
	if (x && x->mirror[GLEN_MIRROR_IN] != GLEN_MIRROR_NONE)
		copy_to(&d, x->mirror[GLEN_MIRROR_IN], b, identity, b->n);
}

/* The outer tag's id is what the edit asks for, or it does not ask. */
static bool edit_applies(const struct glen_edit *edit, const uint8_t *hdr,
			 unsigned hdr_len)
{
	uint16_t type = hdr[12] << 8 | hdr[13];

	if (!(edit->flags & GLEN_EDIT_IF_VID))
		return true;
	return (type == 0x8100 || type == 0x88a8) && hdr_len >= 18 &&
	       (hdr[14] << 8 | hdr[15]) % 4096 == edit->vid;
}

/* Changes the tags of packet k. False: there is no room. */
static bool edit_one(struct batch *b, unsigned k, const struct glen_edit *edit)
{
	const uint8_t *hdr = b->hdr[k];
	int outer = -1, tci;

	if (!edit || !edit_applies(edit, hdr, b->hdr_len[k]))
		return true;
	if (b->hdr_len[k] >= 16 && (!memcmp(hdr + 12, "\x81\x00", 2) ||
				    !memcmp(hdr + 12, "\x88\xa8", 2)))
		outer = hdr[14] << 8 | hdr[15];
	for (unsigned t = 0; t < edit->pop; t++)
		if (glen_batch_pop_tag(&b->view, k) < 0)
			break;
	for (unsigned t = edit->push; t-- > 0;) {
		tci = edit->tci[t];
		if (t == 0 && outer >= 0 &&
		    edit->flags & GLEN_EDIT_KEEP_PRIORITY)
			tci = (tci & 0xfff) | (outer & 0xf000);
		if (!glen_batch_push_tag(&b->view, k, edit->tpid[t], tci))
			return false;
	}
	return true;
}

/* Packet i of b becomes packet to->n of to. False: to is full. */
static bool edit_take(struct batch *to, const struct batch *b, unsigned i)
{
	unsigned k = to->n, n_seg = b->n_seg[i];
	unsigned len = (b->hdr_len[i] + 63u) & ~63u;

	if (k == BATCH_MAX || to->n_segs + n_seg > BATCH_SEGS)
		return false;
	memcpy(to->hdr[k], b->hdr[i], len < HDR_MIN ? HDR_MIN : len);
	to->hdr_len[k] = b->hdr_len[i];
	to->len[k] = b->len[i];
	if (b->offloads)
		to->off[k] = b->off[i];
	if (b->marks)
		to->mark[k] = b->mark[i];
	to->seg0[k] = to->n_segs;
	to->n_seg[k] = n_seg;
	for (unsigned s = 0; s < n_seg; s++)
		to->seg[to->n_segs++] = b->seg[b->seg0[i] + s];
	to->verdict[k] = VERDICT_PORT;
	to->n++;
	return true;
}

/* Sends the packets of w->edited, whose edits are done. */
static void edit_send(struct delivery *d, struct egress *e, uint32_t mirror)
{
	struct batch *b = &d->w->edited;
	struct counters *c = &e->counters[d->w->index];
	uint16_t list[BATCH_MAX];
	unsigned n = 0;

	b->view.n_copies = 0;
	batch_settle(b);
	for (unsigned k = 0; k < b->n; k++)
		if (b->verdict[k] == VERDICT_PORT)
			list[n++] = k;
	count_add(&c->drops[DROP_OUT_BAD_OFFLOAD], b->n - n);
	if (n)
		send_list(d, e, b, list, n, mirror);
}

static void edit_begin(struct batch *to, const struct batch *b)
{
	to->n = to->n_segs = to->slots = 0;
	to->overread = false;
	to->identity = false;
	to->multi_seg = b->multi_seg;
	to->offloads = to->view.offloads = b->offloads;
	to->marks = b->marks;
}

/* Sends a group whose packets, or whose port, have edits. */
static __attribute__((noinline)) void send_edited(struct delivery *d,
						  const struct group *g,
						  const struct port_extra *x,
						  uint32_t mirror)
{
	struct worker *w = d->w;
	struct batch *to = &w->edited;
	uint32_t left = g->n;

	edit_begin(to, d->b);
	for (unsigned r = g->first; left; r = w->runs[r].next) {
		const struct run *run = &w->runs[r];

		for (unsigned i = run->first; i < run->first + run->n; i++) {
			unsigned k;

			if (!edit_take(to, d->b, i)) {
				edit_send(d, g->egress, mirror);
				edit_begin(to, d->b);
				edit_take(to, d->b, i);
			}
			k = to->n - 1;
			if (!edit_one(to, k, run->edit) ||
			    !edit_one(to, k, x && x->edits ? &x->edit : NULL))
				to->verdict[k] = VERDICT_DROP;
		}
		left -= run->n;
	}
	edit_send(d, g->egress, mirror);
}

/* Sends a group of several runs, BATCH_MAX packets at a time. */
static void send_runs(struct delivery *d, const struct group *g,
		      uint32_t mirror)
{
	struct worker *w = d->w;
	unsigned n = 0, left = g->n;

	for (unsigned r = g->first; left; r = w->runs[r].next) {
		const struct run *run = &w->runs[r];

		left -= run->n;
		for (unsigned i = 0; i < run->n; i++) {
			w->order[n++] = run->first + i;
			if (__builtin_expect(n == BATCH_MAX, 0)) {
				send_list(d, g->egress, d->b, w->order, n,
					  mirror);
				n = 0;
			}
		}
	}
	if (n)
		send_list(d, g->egress, d->b, w->order, n, mirror);
}

/* Where packets that leave at a port are copied, if their copies are not there
 * already because they were made when they came. */
static __attribute__((noinline)) uint32_t mirror_of(const struct delivery *d,
						    uint32_t out)
{
	const struct port_extra *x = fabric_port(d->extras, d->in->port->index);

	return x && x->mirror[GLEN_MIRROR_IN] == out ? GLEN_MIRROR_NONE : out;
}

static void send_group(struct delivery *d, const struct group *g)
{
	uint32_t mirror = GLEN_MIRROR_NONE;
	const struct port_extra *x = NULL;

	if (__builtin_expect(d->extras != NULL, 0))
		x = fabric_port(d->extras, g->egress->port->index);
	if (x && x->mirror[GLEN_MIRROR_OUT] != GLEN_MIRROR_NONE)
		mirror = mirror_of(d, x->mirror[GLEN_MIRROR_OUT]);
	d->several = g->several || mirror != GLEN_MIRROR_NONE || g->edited ||
		     (x && x->edits);
	if (__builtin_expect(g->edited || (x && x->edits), 0))
		send_edited(d, g, x, mirror);
	else if (g->first == g->last)
		send_list(d, g->egress, d->b,
			  identity + d->w->runs[g->first].first, g->n, mirror);
	else
		send_runs(d, g, mirror);
}

static void groups_reset(struct worker *w)
{
	w->n_runs = w->n_groups = 0;
	if (w->epoch++ == EPOCH_MAX) {
		memset(w->group_of, 0, EGRESS_MAX * sizeof(*w->group_of));
		w->epoch = 1;
	}
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
	w->groups[g].n = 0;
	w->groups[g].edited = w->groups[g].several = false;
	__builtin_prefetch(w->groups[g].egress);
	return g;
}

/* Packets [first, first + n) go to egress ring id. There is room for a run. */
static inline void add_run(struct worker *w, const struct switch_snap *snap,
			   uint32_t id, unsigned first, unsigned n,
			   const struct glen_edit *edit, bool several)
{
	struct group *g = &w->groups[group_get(w, snap, id)];
	unsigned r = w->n_runs++;

	w->runs[r].first = first;
	w->runs[r].n = n;
	w->runs[r].edit = edit;
	if (g->n)
		w->runs[g->last].next = r;
	else
		g->first = r;
	g->last = r;
	g->n += n;
	g->edited |= edit != NULL;
	g->several |= several;
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

/* Why packets for port (VERDICT_PORT) go nowhere; DROP_MAX: they go there. */
static inline unsigned judge_port(const struct switch_snap *snap, uint32_t port,
				  uint16_t source)
{
	if (__builtin_expect(reachable(snap, port, source), 1))
		return DROP_MAX;
	if (port == source && port < snap->n_dest && snap->dest[port].port)
		return DROP_IN_SAME_PORT;
	return DROP_IN_NO_PORT;
}

/*
 * The same for any verdict. *to_set is what was judged, NULL if that is no set:
 * the control thread may replace it meanwhile, so nobody looks for it twice.
 */
static unsigned judge(const struct switch_snap *snap, uint32_t v,
		      uint16_t source, const struct port_set **to_set)
{
	uint32_t low = v & 0xffff;
	const struct port_set *set;

	*to_set = NULL;
	if ((v & VERDICT_TYPE) == VERDICT_PORT)
		return judge_port(snap, low, source);
	if (v - low == GLEN_VERDICT_DROP)
		return reason_of(snap, low);
	if (v - low != GLEN_VERDICT_SET)
		return DROP_IN_MODULE;
	*to_set = set = find_set(snap, low);
	if (!set)
		return DROP_IN_MODULE;
	for (uint32_t k = 0; k < set->n; k++)
		if (reachable(snap, set->member[k].port, source))
			return DROP_MAX;
	return DROP_IN_NO_PORT;
}

/* Before anything leaves: captures see packets with their final verdicts, of
 * which those before at are final already. */
static __attribute__((noinline)) void tell_capture(struct delivery *d,
						   unsigned at)
{
	struct batch *b = d->b;
	const struct port_set *set;
	unsigned reason;

	for (unsigned i = at; i < b->n; i++) {
		reason = judge(d->snap, b->verdict[i], d->in->port->index,
			       &set);
		if (reason != DROP_MAX)
			drop_in(d->in, b, i, reason);
	}
	d->judged = b->n;
	capture_in(d->capture, d->w->index, d->in->port, b);
	d->capture = NULL;
}

/* Hands all groups to their drivers. at: the first packet not yet in any. */
static void flush(struct delivery *d, unsigned at)
{
	struct worker *w = d->w;

	if (__builtin_expect(d->capture != NULL, 0))
		tell_capture(d, at);
	for (unsigned g = 0; g < w->n_groups; g++)
		send_group(d, &w->groups[g]);
}

/* Makes room for a run; at as in flush(). */
static inline void run_room(struct delivery *d, unsigned at)
{
	if (__builtin_expect(d->w->n_runs < RUNS_MAX, 1))
		return;
	flush(d, at);
	groups_reset(d->w);
}

/* Packets [first, first + n) to a port of several rings, by their flows. */
static void add_by_flow(struct delivery *d, const struct dest *to,
			unsigned first, unsigned n, unsigned at,
			const struct glen_edit *edit)
{
	for (unsigned i = first; i < first + n; i++) {
		unsigned ring = ring_by_flow(d->b, i, to->n_out);

		run_room(d, at);
		add_run(d->w, d->snap, to->egress0 + ring, i, 1, edit, true);
	}
}

/* Packets [first, first + n) to all ports of a set; returns to how many. */
static unsigned add_set(struct delivery *d, const struct port_set *set,
			unsigned first, unsigned n, unsigned at)
{
	const struct switch_snap *snap = d->snap;
	unsigned targets = 0;

	for (uint32_t k = 0; k < set->n; k++) {
		const struct set_member *m = &set->member[k];
		const struct glen_edit *edit = m->edits ? &m->edit : NULL;
		const struct dest *to;

		if (!reachable(snap, m->port, d->in->port->index))
			continue;
		to = &snap->dest[m->port];
		targets++;
		if (to->n_out > 1) {
			add_by_flow(d, to, first, n, at, edit);
			continue;
		}
		run_room(d, at);
		add_run(d->w, snap, to->egress0, first, n, edit, true);
	}
	return targets;
}

/* Packets [i, next) with one verdict that is not a port. */
static __attribute__((noinline)) void special(struct delivery *d, unsigned i,
					      unsigned next)
{
	uint32_t v = d->b->verdict[i];
	const struct port_set *set;
	unsigned reason, targets;

	if (i < d->judged && (v & VERDICT_TYPE) == GLEN_VERDICT_DROP)
		return;
	reason = judge(d->snap, v, d->in->port->index, &set);
	if (reason == DROP_MAX) {
		targets = add_set(d, set, i, next - i, next);
		count_add(&d->in->counters->replicated,
			  (uint64_t)(targets - 1) * (next - i));
		return;
	}
	for (; i < next; i++)
		drop_in(d->in, d->b, i, reason);
}

/*
 * Finds the runs of packets with one destination and the group of each;
 * neighbours mostly go the same way.
 */
static inline void make_runs(struct delivery *d)
{
	const struct switch_snap *snap = d->snap;
	struct worker *w = d->w;
	struct batch *b = d->b;
	unsigned n = b->n, next, reason;
	uint16_t source = d->in->port->index;

	for (unsigned i = 0; i < n; i = next) {
		uint32_t v = b->verdict[i], port = v & 0xffff;
		uint32_t ring = v >> VERDICT_RING_SHIFT & 0xff;
		const struct dest *to;

		next = i + 1;
		if (v & VERDICT_TYPE) {
			while (next < n && b->verdict[next] == v)
				next++;
			special(d, i, next);
			continue;
		}
		reason = judge_port(snap, port, source);
		if (__builtin_expect(reason != DROP_MAX, 0)) {
			drop_in(d->in, b, i, reason);
			continue;
		}
		to = &snap->dest[port];
		if (to->n_out == 1)
			ring = 0;
		/* A ring that the port has not is as good as RING_ANY. */
		if (ring >= to->n_out)
			ring = ring_by_flow(b, i, to->n_out);
		else
			while (next < n && b->verdict[next] == v)
				next++;
		run_room(d, i);
		add_run(w, snap, to->egress0 + ring, i, next - i, NULL, false);
	}
}

/* The copies that the module asked for besides the verdicts. */
static __attribute__((noinline)) void add_copies(struct delivery *d)
{
	const struct batch *b = d->b;
	uint64_t copies = 0;

	for (uint32_t k = 0; k < b->view.n_copies; k++) {
		uint32_t i = b->copy[k].packet, to = b->copy[k].to;
		uint32_t ring = to >> VERDICT_RING_SHIFT & 0xff;
		const struct dest *dest;
		const struct port_set *set;

		if (i >= b->n || (to & VERDICT_TYPE) == GLEN_VERDICT_DROP)
			continue;
		if ((to & VERDICT_TYPE) == GLEN_VERDICT_SET) {
			set = find_set(d->snap, to & 0xffff);
			copies += set ? add_set(d, set, i, 1, b->n) : 0;
			continue;
		}
		if (judge(d->snap, to, d->in->port->index, &set) != DROP_MAX)
			continue;
		dest = &d->snap->dest[to & 0xffff];
		if (dest->n_out == 1)
			ring = 0;
		else if (ring >= dest->n_out)
			ring = ring_by_flow(b, i, dest->n_out);
		run_room(d, b->n);
		add_run(d->w, d->snap, dest->egress0 + ring, i, 1, NULL, true);
		copies++;
	}
	count_add(&d->in->counters->replicated, copies);
}

void HOT(deliver)(struct worker *w, const struct switch_snap *snap,
		  struct ingress *in, struct batch *b)
{
	struct delivery d = {
		.w = w,
		.snap = snap,
		.in = in,
		.b = b,
		.extras = atomic_load_explicit(&snap->fabric->ports,
					       memory_order_acquire),
		.capture = rcu_load(&in->port->capture),
	};

	if (__builtin_expect(b->from != NULL, 0) && !b->view.edited &&
	    !b->view.n_copies && !b->multi_seg && !b->offloads)
		d.from = b->from;
	groups_reset(w);
	make_runs(&d);
	if (__builtin_expect(b->view.n_copies != 0, 0))
		add_copies(&d);
	flush(&d, b->n);
}
