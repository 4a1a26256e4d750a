// SPDX-License-Identifier: BSD-2-Clause
// pump.c - moves a pipe's packets while it is watched; see pump.h.
#include "core/rcu.h"
#include "lib/nm_window.h"
#include "lib/shm.h"
#include "port/shm/hot.h"
#include "port/shm/pump.h"

enum {
	TRIES = 256,  /* to get pairs before a sleep; the next tick tries on */
	VAIN_MAX = 8, /* see rx_tx.c */
	TOO_LONG = 1 << 24, /* bytes: more than any packet may have */
};

/* Pairs with ring_lock() and pipe_tx() of the preload library: (D). */
static bool take(struct pump_pair *p)
{
	if (__atomic_load_n(&p->sync->owner, __ATOMIC_SEQ_CST))
		return false;
	p->at = shm_load32(&p->tx_ktoa->hwcur) & p->mask;
	p->to = shm_load32(&p->rx_ktoa->hwtail) & p->mask;
	p->back = shm_load32(&p->rx_atok->head) & p->mask;
	p->taken = true;
	/* A sender that had no more room than the other end has a ring now;
	 * what it queued is what publish() follows. */
	shm_store_release32(&p->tx_ktoa->hwtail, (p->at - 1) & p->mask);
	/* Kicks that were on their way to the other end are ours now. */
	shm_call(p->sender, p->tx_atok, p->called_tx);
	shm_call(p->receiver, p->rx_atok, p->called_rx);
	return true;
}

/* Slot k of what is queued lies in its buffer. */
static inline bool slot_ok(const struct pump *pump,
			   const struct netmap_slot *slot, uint64_t w)
{
	uint64_t off = shm_load64(&slot->ptr) & pump->offset_mask;

	return !bad_buf(slot_buf(w), pump->n_bufs) &&
	       slot_len(w) <= pump->buf_size &&
	       off <= pump->buf_size - slot_len(w);
}

/* Adds a slot to the packet in the making, b->n. */
static void add_slot(const struct pump *pump, struct batch *b,
		     const struct netmap_slot *slot, uint64_t w)
{
	uint64_t off = shm_load64(&slot->ptr) & pump->offset_mask;
	unsigned i = b->n;

	if (b->n_seg[i] == NETMAP_MAX_FRAGS) {
		b->len[i] = TOO_LONG;
		return;
	}
	b->seg[b->seg0[i] + b->n_seg[i]++] = (struct seg){
		pump->bufs + (size_t)slot_buf(w) * pump->buf_size + off,
		slot_len(w), 0
	};
	b->len[i] += slot_len(w);
}

static void begin_packet(struct batch *b)
{
	b->seg0[b->n] = b->n_segs;
	b->n_seg[b->n] = 0;
	b->hdr_len[b->n] = 0;
	b->len[b->n] = 0;
}

static void end_packet(struct batch *b)
{
	uint32_t len = b->len[b->n];

	/* No monitor has room for it, and nobody reads its segments. */
	if (len != TOO_LONG)
		b->n_segs += b->n_seg[b->n];
	b->most = len > b->most ? len : b->most;
	b->n++;
}

/*
 * Describes whole packets among the n slots from p->at. Returns how many slots
 * they have; -1: a slot lies.
 */
static int describe(const struct pump *pump, const struct pump_pair *p,
		    struct batch *b, uint32_t n)
{
	uint32_t whole = 0;

	b->most = 0;
	b->n = b->n_segs = 0;
	b->identity = false;
	for (uint32_t k = 0; k < n; k++) {
		const struct netmap_slot *slot = &p->tx[(p->at + k) & p->mask];
		uint64_t w = slot_load(slot);

		if (!slot_ok(pump, slot, w))
			return -1;
		if (k == whole)
			begin_packet(b);
		add_slot(pump, b, slot, w);
		if (slot_flags(w) & NS_MOREFRAG)
			continue;
		end_packet(b);
		whole = k + 1;
		if (b->n == BATCH_MAX ||
		    b->n_segs > BATCH_SEGS - PACKET_SEGS_MAX)
			break;
	}
	return (int)whole;
}

/* Exchanges n slots. False: one of the receiver's lies. */
static bool exchange(const struct pump *pump, struct pump_pair *p, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		struct netmap_slot *tx = &p->tx[(p->at + k) & p->mask];
		struct netmap_slot *rx = &p->rx[(p->to + k) & p->mask];
		uint64_t w = slot_load(tx), x = slot_load(rx);

		if (bad_buf(slot_buf(x), pump->n_bufs))
			return false;
		shm_store64(&rx->ptr, shm_load64(&tx->ptr));
		slot_store(rx, slot_word(slot_buf(w), slot_len(w),
					 (slot_flags(w) & ~NS_INDIRECT) |
						 NS_BUF_CHANGED));
		slot_store(tx,
			   slot_word(slot_buf(x), slot_len(w), NS_BUF_CHANGED));
	}
	return true;
}

static void show(struct ingress *in, struct shm_watch *watch,
		 const struct batch *b, uint16_t flags)
{
	uint16_t list[BATCH_MAX];

	if (!watch)
		return;
	for (unsigned i = 0; i < b->n; i++)
		list[i] = i;
	/* Of a TX ring all get copies: its buffers go to the other end. */
	HOT(shm_watch_copy)
	(watch, 0, flags ? watch->n : watch->n_copy, in->worker_idx, b, list,
	 b->n, flags);
}

static inline bool wants(const struct nm_csb_atok *atok, uint32_t *kicked)
{
	uint32_t value = shm_load32(&atok->appl_need_kick);

	if (!value || value == *kicked)
		return false;
	*kicked = value;
	return true;
}

/* Shows both programs where the pair is, and wakes them if they wait. */
static void publish(struct ingress *in, struct pump_pair *p)
{
	bool tx, rx;

	/* pairs with the acquires in pipe_rx() and pipe_tx() */
	shm_store_release32(&p->rx_ktoa->hwtail, p->to);
	shm_store32(&p->tx_ktoa->hwcur, p->at);
	shm_store_release32(&p->tx_ktoa->hwtail, (p->at - 1) & p->mask);
	shm_store_release32(&p->sync->looked, p->looked);
	/* pairs with the fence between ring_arm() and looking again */
	shm_full_fence();
	tx = wants(p->tx_atok, &p->kicked_tx);
	rx = wants(p->rx_atok, &p->kicked_rx);
	count_add(&in->counters->kicks, tx + rx);
	if (tx)
		shm_call(p->sender, p->tx_atok, p->called_tx);
	if (rx)
		shm_call(p->receiver, p->rx_atok, p->called_rx);
}

/* What the receiver released goes to its zero-copy monitors. */
static bool released(struct ingress *in, struct pump *pump, struct pump_pair *p,
		     uint32_t head)
{
	/* pairs with rcu_publish() in netmap_watch() */
	struct shm_watch *watch = rcu_load(&p->rx_watch);
	const struct shm_done done = {
		p->rx, p->mask,	     p->back,	     (head - p->back) & p->mask,
		0,     pump->n_bufs, pump->buf_size, pump->bufs
	};
	uint32_t n = done.n;

	if (n > ((p->to - p->back) & p->mask))
		return false;
	if (n && watch)
		n = HOT(shm_watch_done)(watch, in->worker_idx, &done);
	p->back = (p->back + n) & p->mask;
	return true;
}

/* Moves n slots, whose packets are in b. */
static bool move(struct ingress *in, struct pump *pump, struct pump_pair *p,
		 const struct batch *b, uint32_t n)
{
	/* As long as nobody else can write to them. */
	show(in, rcu_load(&p->tx_watch), b, NS_TXMON);
	show(in, rcu_load(&p->rx_watch), b, 0);
	if (!exchange(pump, p, n))
		return false;
	p->at = (p->at + n) & p->mask;
	p->to = (p->to + n) & p->mask;
	return true;
}

/* Returns how many slots have moved in one way or another. */
static unsigned run_pair(struct ingress *in, struct pump *pump,
			 struct pump_pair *p, struct batch *b)
{
	/* pair with the releases in wait_one(), pipe_tx() and pipe_rx() */
	uint32_t turn = shm_load_acquire32(&p->sync->turn);
	uint32_t head = shm_load_acquire32(&p->tx_atok->head);
	uint32_t peer = shm_load_acquire32(&p->rx_atok->head);
	uint32_t before = p->back, queued, room;
	int n;

	p->turn = turn;
	p->seen_tx = head;
	p->seen_rx = peer;
	if (head > p->mask || peer > p->mask || !released(in, pump, p, peer)) {
		port_break(in->port, "the head of a pipe's ring is not between "
				     "its old value and the tail");
		return 0;
	}
	queued = (head - p->at) & p->mask;
	room = (p->back - p->to - 1) & p->mask;
	n = describe(pump, p, b, queued < room ? queued : room);
	if (n < 0 || (n && !move(in, pump, p, b, (uint32_t)n))) {
		port_break(in->port, "a slot of a pipe names a buffer that "
				     "does not exist");
		return 0;
	}
	if (p->at == head || !n) {
		if (p->looked == turn && !n)
			return (p->back - before) & p->mask;
		p->looked = turn;
	}
	publish(in, p);
	return (unsigned)n + ((p->back - before) & p->mask);
}

/* An RX ring of a port that glend moves anyway. */
static unsigned run_out(struct ingress *in, struct pump_out *o)
{
	struct egress *e = o->egress;
	struct shm_out *r = e->drv;
	/* Only its counters' place matters. */
	struct tx_ctx ctx;
	uint32_t head = shm_load32(&o->atok->head);

	if (head == o->seen || port_is_broken(e->port))
		return 0;
	o->seen = head;
	ctx.counters = &e->counters[in->worker_idx];
	lease_lock(&r->q);
	HOT(shm_room)(e, &ctx);
	lease_unlock(&r->q);
	return 1;
}

static unsigned pump_rx(struct ingress *in, struct batch *b)
{
	struct pump *pump = in->drv;
	/* pairs with rcu_publish() in netmap_unwatch() */
	unsigned n_outs = rcu_load(&pump->n_outs), used = 0;

	for (unsigned i = 0; i < pump->n_pairs && !used; i++) {
		struct pump_pair *p = &pump->pair[pump->next];

		if (++pump->next == pump->n_pairs)
			pump->next = 0;
		if (p->taken || take(p))
			used = run_pair(in, pump, p, b);
	}
	for (unsigned i = 0; i < n_outs; i++)
		used += run_out(in, &pump->out[i]);
	/* They have gone where they go. */
	b->n = b->n_segs = 0;
	return used;
}

static void pump_rx_done(struct ingress *in, struct batch *b)
{
}

static void ask(struct pump *pump, uint32_t value)
{
	unsigned n_outs = rcu_load(&pump->n_outs);

	for (unsigned i = 0; i < pump->n_pairs; i++) {
		shm_store32(&pump->pair[i].tx_ktoa->kern_need_kick, value);
		shm_store32(&pump->pair[i].rx_ktoa->kern_need_kick, value);
	}
	for (unsigned i = 0; i < n_outs; i++)
		shm_store32(&pump->out[i].ktoa->kern_need_kick, value);
}

static bool is_behind(const struct pump_pair *p)
{
	return p->turn != shm_load32(&p->sync->turn) ||
	       p->seen_tx != shm_load32(&p->tx_atok->head) ||
	       p->seen_rx != shm_load32(&p->rx_atok->head);
}

static bool has_work(struct pump *pump)
{
	unsigned n_outs = rcu_load(&pump->n_outs);

	for (unsigned i = 0; i < pump->n_pairs; i++) {
		const struct pump_pair *p = &pump->pair[i];

		if (p->taken ? is_behind(p) : pump->vain < TRIES)
			return true;
	}
	for (unsigned i = 0; i < n_outs; i++)
		if (pump->out[i].seen != shm_load32(&pump->out[i].atok->head))
			return true;
	return false;
}

static bool pump_rx_arm(struct ingress *in)
{
	struct pump *pump = in->drv;

	if (!++pump->arm_value)
		pump->arm_value = 1;
	ask(pump, pump->arm_value);
	/* pairs with the fences in publish() and pipe_rx() */
	shm_full_fence();
	if (!has_work(pump))
		return false;
	ask(pump, 0);
	/* A client may kick for that all the same, which nobody eats. */
	if (!(++pump->vain % VAIN_MAX))
		shm_woken(pump->peer);
	return true;
}

static void pump_rx_disarm(struct ingress *in)
{
	struct pump *pump = in->drv;

	pump->vain = 0;
	ask(pump, 0);
	shm_woken(pump->peer);
}

const struct port_hot HOT(pump_hot) = {
	.rx = pump_rx,
	.rx_done = pump_rx_done,
	.rx_arm = pump_rx_arm,
	.rx_disarm = pump_rx_disarm,
};
