// SPDX-License-Identifier: BSD-2-Clause
// watch.c - monitors of rings: copies of packets, or their buffers.
/*
 * Copies are made as packets pass. Zero-copy monitors get a packet when its
 * user is done with it: what glend took out of a TX ring, and what a program
 * releases of an RX ring. Its buffer goes to the monitor, and one of the
 * monitor's takes its place; of several monitors the last has it so, and the
 * others get copies at the same time.
 *
 * Nobody waits for a monitor: of what does not find room the oldest is dropped.
 */
#include "core/copy.h"
#include "lib/shm.h"
#include "port/shm/hot.h"

/* What a monitor gets of n packets: those from skip on. */
struct part {
	unsigned skip;
	uint32_t start, lease;
};

static void drop_all(struct egress *e, struct tx_ctx *ctx, uint64_t n)
{
	count_add(&ctx->counters
			   ->drops[port_is_broken(e->port) ? DROP_OUT_GONE :
							     DROP_OUT_NO_ROOM],
		  n);
}

static void ctx_init(struct tx_ctx *ctx, struct egress *e, unsigned worker)
{
	ctx->counters = &e->counters[worker];
	ctx->track = false;
}

/* Takes room for as many of the last packets as fit. */
static void reserve(struct egress *e, struct tx_ctx *ctx, const struct batch *b,
		    const uint16_t *list, unsigned n, struct part *part)
{
	struct shm_out *r = e->drv;
	uint32_t need = 0;
	int room = -1;

	*part = (struct part){ .skip = n };
	lease_lock(&r->q);
	if (!port_is_broken(e->port))
		room = HOT(shm_room)(e, ctx);
	while (part->skip) {
		uint32_t slots = slots_for(r, 0, b->len[list[part->skip - 1]]);

		if ((int)(need + slots) > room)
			break;
		need += slots;
		part->skip--;
	}
	part->start = r->q.reserved;
	if (need)
		part->lease = lease_take(&r->q, need);
	lease_unlock(&r->q);
}

static const char lie[] = "an RX slot names a buffer that does not exist";

static void copy_to(struct egress *e, unsigned worker, const struct batch *b,
		    const uint16_t *list, unsigned n, uint16_t flags)
{
	struct tx_ctx ctx;
	uint64_t bytes = 0;
	uint16_t kept[BATCH_MAX];
	struct part part;

	ctx_init(&ctx, e, worker);
	/* On its switch they come from nowhere. */
	count_add(&ctx.counters->replicated, n);
	if (slots_for(e->drv, 0, b->most) > NETMAP_MAX_FRAGS) {
		n = HOT(shm_drop_long)(e->drv, &ctx, b, kept, list, n, 0);
		list = kept;
	}
	reserve(e, &ctx, b, list, n, &part);
	if (part.skip)
		drop_all(e, &ctx, part.skip);
	list += part.skip;
	n -= part.skip;
	if (!n)
		return;
	if (!HOT(shm_write)(e, b, list, n, part.start, flags, &bytes)) {
		HOT(shm_give_up)(e, part.lease);
		port_break(e->port, lie);
		drop_all(e, &ctx, n);
		return;
	}
	count_add(&ctx.counters->packets, n);
	count_add(&ctx.counters->bytes, bytes);
	HOT(shm_publish)(e, &ctx, part.lease);
}

void HOT(shm_watch_copy)(const struct shm_watch *watch, unsigned first,
			 unsigned last, unsigned worker, const struct batch *b,
			 const uint16_t *list, unsigned n, uint16_t flags)
{
	for (unsigned i = first; n && i < last; i++)
		copy_to(watch->egress[i], worker, b, list, n, flags);
}

static inline uint64_t slot_at(const struct shm_done *d, uint32_t k)
{
	return slot_load(&d->slots[(d->at + k) & d->mask]);
}

/* The last slot of a packet, or of what there is of the last packet. */
static inline bool ends(const struct shm_done *d, uint32_t k, uint64_t w)
{
	return !(slot_flags(w) & NS_MOREFRAG) || k + 1 == d->n;
}

/* Takes room for the last packets; they begin at slot part->skip. Returns how
 * many packets are in front of them, *n in all. */
static uint32_t reserve_slots(struct egress *e, struct tx_ctx *ctx,
			      const struct shm_done *d, struct part *part,
			      uint32_t *n)
{
	struct shm_out *r = e->drv;
	uint32_t dropped = 0;
	int room = 0;

	*n = 0;
	*part = (struct part){ 0 };
	lease_lock(&r->q);
	if (!port_is_broken(e->port))
		room = HOT(shm_room)(e, ctx);
	if (room < 0)
		room = 0;
	for (uint32_t k = 0; k < d->n; k++) {
		if (!ends(d, k, slot_at(d, k)))
			continue;
		++*n;
		if (d->n - part->skip <= (uint32_t)room)
			continue;
		part->skip = k + 1;
		dropped++;
	}
	part->start = r->q.reserved;
	if (part->skip < d->n)
		part->lease = lease_take(&r->q, d->n - part->skip);
	lease_unlock(&r->q);
	return dropped;
}

/* The packet of slot k, its buffer if may_swap. False: the monitor lies. */
static bool hand_slot(struct shm_out *m, struct netmap_slot *to,
		      const struct shm_done *d, uint32_t k,
		      const struct region_member *from, bool may_swap)
{
	struct netmap_slot *slot = &d->slots[(d->at + k) & d->mask];
	uint64_t w = slot_load(slot), x = slot_load(to);
	uint32_t buf = slot_buf(w), back = slot_buf(x), len = slot_len(w);
	uint16_t flags = (slot_flags(w) & (NS_MOREFRAG | NS_PORT_MASK)) |
			 d->flags;

	if (bad_buf(back, m->n_bufs))
		return false;
	if (ends(d, k, w))
		flags &= ~NS_MOREFRAG;
	/* What its user made of it is nothing. */
	if (bad_buf(buf, d->n_bufs) || len > d->buf_size) {
		slot_store(to, slot_word(back, 0, flags));
		return true;
	}
	if (may_swap && region_swap(from, buf, m->member, back)) {
		slot_store(to, slot_word(buf, len, flags | NS_BUF_CHANGED));
		slot_store(slot, slot_word(back, len,
					   slot_flags(w) | NS_BUF_CHANGED));
		return true;
	}
	copy_bytes(m->bufs + (size_t)back * m->buf_size,
		   d->bufs + (size_t)buf * d->buf_size, len);
	slot_store(to, slot_word(back, len, flags));
	return true;
}

static void hand_to(struct egress *e, unsigned worker, const struct shm_done *d,
		    const struct region_member *from, bool may_swap)
{
	struct shm_out *m = e->drv;
	uint32_t n, dropped;
	uint64_t bytes = 0;
	struct tx_ctx ctx;
	struct part part;

	ctx_init(&ctx, e, worker);
	dropped = reserve_slots(e, &ctx, d, &part, &n);
	count_add(&ctx.counters->replicated, n);
	if (dropped)
		drop_all(e, &ctx, dropped);
	if (part.skip == d->n)
		return;
	for (uint32_t k = part.skip; k < d->n; k++) {
		struct netmap_slot *to =
			&m->slots[(part.start + k - part.skip) & m->mask];

		if (!hand_slot(m, to, d, k, from, may_swap)) {
			HOT(shm_give_up)(e, part.lease);
			port_break(e->port, lie);
			drop_all(e, &ctx, n - dropped);
			return;
		}
		bytes += slot_len(slot_load(to));
	}
	count_add(&ctx.counters->packets, n - dropped);
	count_add(&ctx.counters->bytes, bytes);
	HOT(shm_publish)(e, &ctx, part.lease);
}

static void hand_all(const struct shm_watch *watch, unsigned worker,
		     const struct shm_done *d)
{
	for (unsigned i = watch->n_copy; i < watch->n; i++)
		hand_to(watch->egress[i], worker, d, watch->from,
			i + 1 == watch->n);
}

uint32_t HOT(shm_watch_done)(const struct shm_watch *watch, unsigned worker,
			     const struct shm_done *done)
{
	struct shm_done d = *done;

	if (watch->n == watch->n_copy)
		return d.n;
	while (d.n && slot_flags(slot_at(&d, d.n - 1)) & NS_MOREFRAG)
		d.n--;
	/* No packet has so many slots. */
	if (done->n - d.n >= NETMAP_MAX_FRAGS)
		d.n = done->n;
	if (d.n)
		hand_all(watch, worker, &d);
	return d.n;
}

void HOT(shm_watch_sent)(struct ingress *in, const struct shm_watch *watch,
			 const struct batch *b)
{
	struct shm_in *r = in->drv;
	const struct shm_done d = { r->slots, r->mask,	 r->cur,      b->slots,
				    NS_TXMON, r->n_bufs, r->buf_size, r->bufs };
	/* Some buffers are with their receivers already. */
	unsigned n = b->took ? watch->n : watch->n_copy;
	uint16_t list[BATCH_MAX];

	for (unsigned i = 0; i < b->n; i++)
		list[i] = i;
	HOT(shm_watch_copy)
	(watch, 0, n, in->worker_idx, b, list, b->n, NS_TXMON);
	if (n < watch->n && d.n)
		hand_all(watch, in->worker_idx, &d);
}
