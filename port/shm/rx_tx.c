// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - packets out of a client's TX rings and into its RX rings.
#include "core/copy.h"
#include "core/rcu.h"
#include "core/vnet_hdr.h"
#include "lib/shm.h"
#include "port/shm/hot.h"
#include "port/shm/marks.h"

enum {
	PREFETCH = 8, /* packets that an egress buffer is prefetched ahead */
	/* Slots, whose lines come from the client's core and are written. */
	SLOTS_AHEAD = 16,
	SLOTS_PER_LINE = 4,
	/* Kicks of a ring that may wait uneaten: a socket holds some 270, of
	 * at most 16 rings. */
	VAIN_MAX = 8,
};

/*
 * Slot at of a ring, the i-th of n that are going to be written: fetches the
 * one further on for that, so that its line is not first fetched for reading.
 * Those behind the n-th are in the client's cache, and in use.
 */
static inline void own_ahead(struct netmap_slot *slots, uint32_t at,
			     uint32_t mask, uint32_t i, uint32_t n)
{
	if (!(at & (SLOTS_PER_LINE - 1)) && i + SLOTS_AHEAD < n)
		__builtin_prefetch(&slots[(at + SLOTS_AHEAD) & mask], 1);
}

/*
 * Takes the vnet header off packet i, which begins with it, and keeps it.
 * Returns false if the packet is shorter.
 */
static bool take_vnet_hdr(struct batch *b, unsigned i, uint32_t hdr_len)
{
	struct seg *s = &b->seg[b->seg0[i]];
	uint8_t *hdr = b->vnet[i];
	uint32_t n;

	if (b->len[i] < hdr_len)
		return false;
	b->len[i] -= hdr_len;
	memset(hdr, 0, VNET_HDR_LEN_BUFFERS);
	for (; hdr_len; hdr_len -= n, hdr += n, s++) {
		n = s->len < hdr_len ? s->len : hdr_len;
		copy_some(hdr, s->ptr, n);
		s->ptr += n;
		s->len -= n;
	}
	b->offloads |= vnet_hdr_read(b->vnet[i], &b->off[i]);
	return true;
}

/* Where the packet of slot at begins in its buffer. */
static inline uint64_t offset_of(const struct netmap_slot *slot, uint64_t mask)
{
	return shm_load64(&slot->ptr) & mask;
}

/* A chain of slots as far as it has been published. */
struct chain {
	uint32_t slots; /* looked at */
	uint32_t segs;	/* of them not empty */
	uint32_t len;
	uint16_t flags; /* of the first */
	uint32_t first; /* where that is */
	bool complete;
};

/*
 * Reads the chain that begins first slots after cur and ends before slot n
 * into b->seg[b->n_segs...]. Returns false if a slot lies.
 */
static bool read_chain(struct ingress *in, struct shm_in *r, struct batch *b,
		       uint32_t first, uint32_t n, struct chain *c)
{
	struct seg *seg = &b->seg[b->n_segs];

	*c = (struct chain){ 0 };
	while (!c->complete && first + c->slots < n &&
	       c->slots < PACKET_SEGS_MAX) {
		uint32_t at = (r->cur + first + c->slots) & r->mask;
		uint64_t w = slot_load(&r->slots[at]);
		uint32_t len = slot_len(w), buf = slot_buf(w);
		uint64_t off = offset_of(&r->slots[at], r->offset_mask);

		if (bad_buf(buf, r->n_bufs)) {
			port_break(in->port,
				   "a TX slot names a buffer that does not "
				   "exist");
			return false;
		}
		if (len > r->buf_size || off > r->buf_size - len) {
			port_break(in->port,
				   "a TX slot is longer than its buffer");
			return false;
		}
		if (len)
			seg[c->segs++] = (struct seg){
				r->bufs + (size_t)buf * r->buf_size + off, len,
				0
			};
		c->len += len;
		if (!c->slots++) {
			c->flags = slot_flags(w);
			c->first = at;
		}
		c->complete = !(slot_flags(w) & NS_MOREFRAG);
	}
	return true;
}

/* What flags of a slot ask of the switch. */
static inline uint32_t asked(uint16_t flags)
{
	uint32_t port = flags >> NS_PORT_SHIFT, ask = 0;

	if (port)
		ask = GLEN_ASK_PORT | port;
	if (flags & NS_NO_LEARN)
		ask |= GLEN_ASK_NO_LEARN;
	return ask;
}

/* Appends the chain, which is a complete packet, to the batch. */
static void add_chain(struct ingress *in, const struct shm_in *r,
		      struct batch *b, const struct chain *c, uint32_t hdr_len)
{
	b->seg0[b->n] = b->n_segs;
	b->n_seg[b->n] = c->segs;
	b->len[b->n] = c->len;
	if (hdr_len && !take_vnet_hdr(b, b->n, hdr_len)) {
		in_drop_seg(in, DROP_IN_BAD_OFFLOAD, &b->seg[b->n_segs],
			    c->segs, c->len);
		return;
	}
	b->ask[b->n] = r->asks ? asked(c->flags) : 0;
	b->asks |= b->ask[b->n] != 0;
	if (r->marks)
		b->mark[b->n] = mark_of(&r->slots[c->first]);
	b->multi_seg |= c->segs > 1 || b->n_segs != b->n;
	b->n_segs += c->segs;
	b->n++;
}

/*
 * Describes up to n slots that may be chains, empty, or bad, or ask something
 * of the switch, as far as packets
 * are complete. Returns how many slots were used. n is at most BATCH_SEGS, so
 * seg[] has room for all of them.
 */
static __attribute__((noinline)) unsigned rx_slow(struct ingress *in,
						  struct shm_in *r,
						  struct batch *b, uint32_t n,
						  uint32_t hdr_len)
{
	uint32_t used = 0;
	struct chain c;

	b->n = b->n_segs = 0;
	b->identity = false;
	b->vnet_len = r->hdr_as_sent ? hdr_len : 0;
	while (used < n && b->n < BATCH_MAX) {
		if (!read_chain(in, r, b, used, n, &c))
			return 0;
		if (r->discard) {
			r->discard = !c.complete;
			used += c.slots;
		} else if (c.complete) {
			used += c.slots;
			if (c.segs)
				add_chain(in, r, b, &c, hdr_len);
		} else if (c.slots == PACKET_SEGS_MAX ||
			   (!used && n == r->mask)) {
			/* It can never become a packet. */
			in_drop(in, DROP_IN_SEGMENTS);
			r->discard = true;
			used += c.slots;
		} else {
			break;
		}
	}
	return used;
}

/* Returns the number of slots described, 0 if some need rx_slow(). */
static inline unsigned rx_fast(const struct shm_in *r, struct batch *b,
			       uint32_t n, bool swap, bool offsets)
{
	struct netmap_slot *slots = r->slots;
	const uint8_t *bufs = r->bufs;
	uint32_t at = r->cur, mask = r->mask;
	uint32_t n_bufs = r->n_bufs, buf_size = r->buf_size;
	uint64_t odd_flags = r->odd, odd = 0;

	for (uint32_t i = 0; i < n; i++, at++) {
		uint64_t w = slot_load(&slots[at & mask]);
		uint32_t buf = slot_buf(w), len = slot_len(w);
		const uint8_t *p = bufs + (size_t)buf * buf_size;

		if (swap) /* give_back() writes it */
			own_ahead(slots, at, mask, i, n);
		if (offsets) {
			uint64_t off = offset_of(&slots[at & mask],
						 r->offset_mask);

			odd |= off > buf_size - len;
			p += off;
		}
		odd |= bad_buf(buf, n_bufs) | (len > buf_size) | !len |
		       (w & odd_flags);
		__builtin_prefetch(p);
		b->seg[i].ptr = p;
		b->seg[i].len = len;
		b->len[i] = len;
		if (swap)
			b->buf[i] = buf;
	}
	if (odd)
		return 0;
	batch_one_seg_each(b, n);
	if (swap)
		b->from = r->member;
	return n;
}

static inline unsigned rx_any(const struct shm_in *r, struct batch *b,
			      uint32_t n)
{
	if (__builtin_expect(r->offsets, 0))
		return rx_fast(r, b, n, r->swap, true);
	if (__builtin_expect(r->swap, 0))
		return rx_fast(r, b, n, true, false);
	return rx_fast(r, b, n, false, false);
}

static unsigned shm_rx(struct ingress *in, struct batch *b)
{
	struct shm_in *r = in->drv;
	/* pairs with the client's release of its head in glen_txsync() */
	uint32_t head = shm_load_acquire32(&r->atok->head);
	uint32_t n = (head - r->cur) & r->mask, used = 0;
	uint32_t hdr_len = shm_load32(&r->vnet_hdr_len);

	r->seen = head;
	if (__builtin_expect(head > r->mask, 0)) {
		port_break(in->port, "the head of a TX ring is not a slot");
		return 0;
	}
	if (!n)
		return 0;
	if (__builtin_expect(!hdr_len && !r->discard, 1))
		used = rx_any(r, b, n < BATCH_MAX ? n : BATCH_MAX);
	if (__builtin_expect(r->marks, 0))
		take_marks(r, b, used);
	if (!used)
		used = rx_slow(in, r, b, n < BATCH_SEGS ? n : BATCH_SEGS,
			       hdr_len);
	b->overread = true;
	b->slots = used;
	return used;
}

/* Wakes the client if it waits for room; returns after the call. */
static __attribute__((noinline)) void call_tx(struct ingress *in,
					      struct shm_in *r, uint32_t value)
{
	r->kicked = value;
	count_add(&in->counters->kicks, 1);
	shm_call(r->peer, r->atok, r->called);
}

/* Shows the client which buffers it has instead of those that were taken. */
static __attribute__((noinline)) void give_back(struct shm_in *r,
						const struct batch *b)
{
	for (uint32_t k = 0; k < b->slots; k++) {
		struct netmap_slot *slot = &r->slots[(r->cur + k) & r->mask];
		uint64_t w = slot_load(slot);

		if (slot_buf(w) != b->buf[k])
			slot_store(slot,
				   slot_word(b->buf[k], slot_len(w),
					     slot_flags(w) | NS_BUF_CHANGED));
	}
}

static void shm_rx_done(struct ingress *in, struct batch *b)
{
	struct shm_in *r = in->drv;
	/* pairs with rcu_publish() in netmap_watch() */
	struct shm_watch *watch = rcu_load(&r->watch);
	uint32_t value, left;

	if (__builtin_expect(watch != NULL, 0))
		HOT(shm_watch_sent)(in, watch, b);
	if (__builtin_expect(b->took, 0))
		give_back(r, b);

	r->cur = (r->cur + b->slots) & r->mask;
	shm_store32(&r->saved->tx_cur, r->cur);
	shm_store32(&r->ktoa->hwcur, r->cur);
	/* pairs with the client's acquire of hwtail in glen_txsync() */
	shm_store_release32(&r->ktoa->hwtail, (r->cur - 1) & r->mask);
	/* pairs with the fence in glen_arm() */
	shm_full_fence();
	value = shm_load32(&r->atok->appl_need_kick);
	if (__builtin_expect(!value || value == r->kicked, 1))
		return;
	/* Wake for a worthwhile number of slots, or when all that is complete
	 * has been taken. */
	left = (r->seen - r->cur) & r->mask;
	if (left <= r->mask / 2 || b->slots < BATCH_MAX)
		call_tx(in, r, value);
}

static bool shm_rx_arm(struct ingress *in)
{
	struct shm_in *r = in->drv;

	if (!++r->arm_value)
		r->arm_value = 1;
	shm_store32(&r->ktoa->kern_need_kick, r->arm_value);
	/* pairs with the fence in glen_txsync() */
	shm_full_fence();
	if (shm_load32(&r->atok->head) == r->seen)
		return false;
	shm_store32(&r->ktoa->kern_need_kick, 0);
	/* The client may kick for that all the same, which nobody eats. */
	if (r->peer->woken && !(++r->vain % VAIN_MAX))
		shm_woken(r->peer);
	return true;
}

static void shm_rx_disarm(struct ingress *in)
{
	struct shm_in *r = in->drv;

	shm_store32(&r->ktoa->kern_need_kick, 0);
	if (r->peer->woken)
		shm_woken(r->peer);
}

/*
 * The client gave n slots back. Where there are zero-copy monitors, they get
 * the packets, and those that are not whole yet stay the client's.
 */
static __attribute__((noinline)) uint32_t released(struct egress *e,
						   struct shm_out *r,
						   const struct tx_ctx *ctx,
						   uint32_t n)
{
	const struct shm_done done = {
		r->slots, r->mask,   r->consumed, n,
		0,	  r->n_bufs, r->buf_size, r->bufs
	};
	/* pairs with rcu_publish() in netmap_watch() */
	struct shm_watch *watch = rcu_load(&r->watch);

	return HOT(shm_watch_done)(watch, ctx->counters - e->counters, &done);
}

/*
 * With the lock: how many slots are free. -1 if the client lies about what it
 * gave back.
 */
static int room(struct egress *e, struct shm_out *r, const struct tx_ctx *ctx)
{
	/* pairs with the client's release of its head in glen_rxsync() */
	uint32_t head = shm_load_acquire32(&r->atok->head);
	uint32_t back = (head - r->consumed) & r->mask;

	if (__builtin_expect(head > r->mask ||
				     back > r->q.published - r->consumed,
			     0)) {
		port_break(e->port, "the head of an RX ring is not between "
				    "its old value and the tail");
		return -1;
	}
	if (__builtin_expect(back && atomic_load_explicit(&r->watch,
							  memory_order_relaxed),
			     0))
		back = released(e, r, ctx, back);
	r->consumed += back;
	return r->mask - (r->q.reserved - r->consumed);
}

/* Reserves room for as many of the packets as fit. Returns their number. */
static unsigned reserve(struct egress *e, struct shm_out *r,
			const struct tx_ctx *ctx, const struct batch *b,
			const uint16_t *list, unsigned n, uint32_t hdr_len,
			bool simple, uint32_t *start, uint32_t *lease)
{
	uint32_t need = simple ? n : 0;
	unsigned fit = simple ? n : 0;
	int free_slots;

	lease_lock(&r->q);
	free_slots = room(e, r, ctx);
	if (free_slots < 0) {
		lease_unlock(&r->q);
		return 0;
	}
	if (simple && need > (uint32_t)free_slots)
		need = fit = free_slots;
	for (; !simple && fit < n; fit++) {
		uint32_t slots = slots_for(r, hdr_len, b->len[list[fit]]);

		if (need + slots > (uint32_t)free_slots)
			break;
		need += slots;
	}
	*start = r->q.reserved;
	if (need)
		*lease = lease_take(&r->q, need);
	lease_unlock(&r->q);
	return fit;
}

static __attribute__((noinline)) void call_rx(struct shm_out *r,
					      struct tx_ctx *ctx)
{
	count_add(&ctx->counters->kicks, 1);
	shm_call(r->peer, r->atok, r->called);
}

static void publish(struct shm_out *r, struct tx_ctx *ctx, uint32_t lease)
{
	uint32_t value = 0;
	bool moved, wake = false;

	lease_lock(&r->q);
	moved = lease_done(&r->q, lease);
	if (moved) {
		uint32_t tail = r->q.published & r->mask;

		shm_store32(&r->saved->rx_published, tail);
		shm_store32(&r->ktoa->hwcur, r->consumed & r->mask);
		/* pairs with the client's acquire in glen_rxsync() */
		shm_store_release32(&r->ktoa->hwtail, tail);
		/* pairs with the fence in glen_arm() */
		shm_full_fence();
		value = shm_load32(&r->atok->appl_need_kick);
		wake = value && value != r->kicked;
		if (wake)
			r->kicked = value;
	}
	lease_unlock(&r->q);
	if (__builtin_expect(wake, 0))
		call_rx(r, ctx);
}

/*
 * Gives a lease up without showing anything to the client, whose port breaks;
 * there must never be more than LEASES_MAX of them.
 */
static __attribute__((noinline)) void abandon(struct shm_out *r, uint32_t lease)
{
	lease_lock(&r->q);
	lease_done(&r->q, lease);
	lease_unlock(&r->q);
}

/* Copies packet i, of one segment, to a buffer that is long enough. */
static inline void write_packet(uint8_t *d, const struct batch *b, unsigned i,
				uint32_t len)
{
	const uint8_t *hdr = b->hdr[i];
	uint32_t h = b->hdr_len[i];

	/* Buffers are multiples of 64 bytes: whole blocks fit. */
	copy64(d, hdr);
	if (len <= 64 && len == h)
		return;
	if (h > 64) {
		copy64(d + 64, hdr + 64);
		if (h > 128)
			copy64(d + 128, hdr + 128);
	}
	if (len > h) {
		const struct seg *s = &b->seg[b->seg0[i]];

		copy_bytes(d + h, s->ptr, s->len);
	}
}

/* Writes packets of at most one slot each. False: the client's slot lies. */
static inline bool write_simple(const struct shm_out *r, const struct batch *b,
				const uint16_t *list, unsigned n,
				uint32_t start, uint64_t *bytes)
{
	struct netmap_slot *slots = r->slots;
	uint8_t *bufs = r->bufs;
	uint32_t mask = r->mask, n_bufs = r->n_bufs, buf_size = r->buf_size;
	uint64_t sum = 0;

	for (unsigned k = 0; k < n; k++, start++) {
		struct netmap_slot *slot = &slots[start & mask];
		uint32_t buf = slot_buf(slot_load(slot));
		uint32_t ahead = slot_buf(
			slot_load(&slots[(start + PREFETCH) & mask]));
		unsigned i = list[k];
		uint32_t len = b->len[i];

		__builtin_prefetch(bufs + (size_t)ahead * buf_size, 1);
		if (__builtin_expect(bad_buf(buf, n_bufs), 0))
			return false;
		sum += len;
		write_packet(bufs + (size_t)buf * buf_size, b, i, len);
		slot_store(slot, slot_word(buf, len, 1 << NS_PORT_SHIFT));
	}
	*bytes = sum;
	return true;
}

/* What write_simple() does, where a region is shared or slots have offsets. */
static __attribute__((noinline)) bool write_shared(const struct shm_out *r,
						   const struct tx_ctx *ctx,
						   const struct batch *b,
						   const uint16_t *list,
						   unsigned n, uint32_t start,
						   uint64_t *bytes)
{
	bool swap = r->swap && ctx->from && ctx->from->region == r->region;
	uint32_t most = r->offset_max;
	uint64_t sum = 0;

	for (unsigned k = 0; k < n; k++, start++) {
		struct netmap_slot *slot = &r->slots[start & r->mask];
		uint32_t buf = slot_buf(slot_load(slot));
		uint16_t flags = 1 << NS_PORT_SHIFT;
		unsigned i = list[k];
		uint32_t len = b->len[i];
		uint64_t at = UINT64_MAX, offset = 0, ptr = 0;

		own_ahead(r->slots, start, r->mask, k, n);

		if (bad_buf(buf, r->n_bufs) ||
		    (r->region && region_held(r->region, buf)))
			return false;
		if (r->placed) {
			ptr = shm_load64(&slot->ptr);
			offset = ptr & r->offset_mask;
			if (offset > r->offset_max)
				return false;
		}
		if (swap)
			at = region_take_packet(ctx, b, i, r->member, &buf,
						most);
		if (at != UINT64_MAX) {
			offset = at - (uint64_t)buf * r->buf_size;
			flags |= NS_BUF_CHANGED;
		} else {
			write_packet(r->bufs + (size_t)buf * r->buf_size +
					     offset,
				     b, i, len);
		}
		if (r->offsets)
			shm_store64(&slot->ptr,
				    (ptr & ~r->offset_mask) | offset);
		sum += len;
		slot_store(slot, slot_word(buf, len, flags));
	}
	*bytes = sum;
	return true;
}

/* Where the next byte of a packet of several slots goes. */
struct cursor {
	struct shm_out *r;
	uint32_t slot;	/* free-running */
	uint32_t left;	/* slots of the packet after this one */
	uint32_t frags; /* slots of the packet */
	uint32_t used;	/* bytes in this slot */
	uint16_t flags; /* of all its slots */
	uint32_t buf;
	uint32_t offset; /* of the packet in it */
};

static bool cursor_open(struct cursor *c)
{
	const struct netmap_slot *slot = &c->r->slots[c->slot & c->r->mask];
	uint64_t offset = 0;

	c->buf = slot_buf(slot_load(slot));
	c->used = 0;
	if (c->r->placed)
		offset = offset_of(slot, c->r->offset_mask);
	if (offset > c->r->offset_max)
		return false;
	c->offset = offset;
	return !bad_buf(c->buf, c->r->n_bufs) &&
	       !(c->r->region && region_held(c->r->region, c->buf));
}

static void cursor_close(struct cursor *c)
{
	uint16_t flags = c->frags << NS_PORT_SHIFT | c->flags;

	if (c->r->offsets && !c->r->placed)
		shm_store64(&c->r->slots[c->slot & c->r->mask].ptr, 0);
	if (c->left)
		flags |= NS_MOREFRAG;
	slot_store(&c->r->slots[c->slot & c->r->mask],
		   slot_word(c->buf, c->used, flags));
}

static bool cursor_put(struct cursor *c, const uint8_t *src, uint32_t len)
{
	while (len) {
		uint32_t n = c->r->slot_max - c->used;

		if (!n) {
			cursor_close(c);
			c->slot++;
			c->left--;
			if (!cursor_open(c))
				return false;
			continue;
		}
		n = n < len ? n : len;
		copy_bytes(c->r->bufs + (size_t)c->buf * c->r->buf_size +
				   c->offset + c->used,
			   src, n);
		c->used += n;
		src += n;
		len -= n;
	}
	return true;
}

/* Packets with vnet headers, several segments, or several slots. */
static __attribute__((noinline)) bool write_any(struct shm_out *r,
						const struct batch *b,
						const uint16_t *list,
						unsigned n, uint32_t hdr_len,
						uint32_t start, uint16_t flags,
						uint64_t *bytes)
{
	static const struct offload none;
	struct cursor c = { .r = r, .slot = start, .flags = flags };
	bool as_sent = r->hdr_as_sent && b->vnet_len == hdr_len &&
		       !b->view.edited;

	for (unsigned k = 0; k < n; k++, c.slot++) {
		unsigned i = list[k];
		uint8_t hdr[VNET_HDR_LEN_BUFFERS] = { 0 };
		bool good;

		c.frags = slots_for(r, hdr_len, b->len[i]);
		c.left = c.frags - 1;
		if (as_sent)
			memcpy(hdr, b->vnet[i], sizeof(hdr));
		else
			vnet_hdr_write(hdr, r->hdr_filled,
				       b->offloads ? &b->off[i] : &none);
		good = cursor_open(&c) && cursor_put(&c, hdr, hdr_len) &&
		       cursor_put(&c, b->hdr[i], b->hdr_len[i]);
		for (unsigned s = 0; good && s < b->n_seg[i]; s++)
			good = cursor_put(&c, b->seg[b->seg0[i] + s].ptr,
					  b->seg[b->seg0[i] + s].len);
		if (!good)
			return false;
		cursor_close(&c);
		*bytes += b->len[i];
	}
	return true;
}

__attribute__((noinline)) unsigned HOT(shm_drop_long)(
	struct shm_out *r, struct tx_ctx *ctx, const struct batch *b,
	uint16_t *out, const uint16_t *list, unsigned n, uint32_t hdr_len)
{
	unsigned left = 0;

	for (unsigned k = 0; k < n; k++)
		if (slots_for(r, hdr_len, b->len[list[k]]) > NETMAP_MAX_FRAGS)
			tx_drop(ctx, list[k], DROP_OUT_SEGMENTS);
		else
			out[left++] = list[k];
	return left;
}

static void shm_tx(struct egress *e, struct tx_ctx *ctx, const struct batch *b,
		   const uint16_t *list, unsigned n)
{
	struct shm_out *r = e->drv;
	uint32_t start = 0, lease = 0, hdr_len = shm_load32(&r->vnet_hdr_len);
	uint64_t bytes = 0;
	struct shm_watch *watch;
	uint16_t kept[BATCH_MAX];
	unsigned fit;
	bool simple, good;

	simple = b->most <= r->slot_max && !hdr_len && !b->multi_seg;
	if (slots_for(r, hdr_len, b->most) > NETMAP_MAX_FRAGS) {
		n = HOT(shm_drop_long)(r, ctx, b, kept, list, n, hdr_len);
		list = kept;
	}
	fit = reserve(e, r, ctx, b, list, n, hdr_len, simple, &start, &lease);
	for (unsigned k = fit; k < n; k++)
		tx_drop(ctx, list[k],
			port_is_broken(e->port) ? DROP_OUT_GONE :
						  DROP_OUT_NO_ROOM);
	if (!fit)
		return;
	if (__builtin_expect(simple && (r->region || r->offsets), 0))
		good = write_shared(r, ctx, b, list, fit, start, &bytes);
	else
		good = simple ? write_simple(r, b, list, fit, start, &bytes) :
				write_any(r, b, list, fit, hdr_len, start, 0,
					  &bytes);
	if (!good) {
		abandon(r, lease);
		port_break(e->port,
			   r->region ? "an RX slot names a buffer that does "
				       "not exist, or that a NIC has" :
				       "an RX slot names a buffer that does "
				       "not exist");
		for (unsigned k = 0; k < fit; k++)
			tx_drop(ctx, list[k], DROP_OUT_GONE);
		return;
	}
	if (__builtin_expect(r->marks, 0))
		put_marks(r, b, list, fit, hdr_len, start);
	count_add(&ctx->counters->packets, fit);
	count_add(&ctx->counters->bytes, bytes);
	publish(r, ctx, lease);
	/* pairs with rcu_publish() in netmap_watch() */
	watch = rcu_load(&r->watch);
	if (__builtin_expect(watch != NULL, 0))
		HOT(shm_watch_copy)
	(watch, 0, watch->n_copy, ctx->counters - e->counters, b, list, fit, 0);
}

int HOT(shm_room)(struct egress *e, const struct tx_ctx *ctx)
{
	return room(e, e->drv, ctx);
}

void HOT(shm_publish)(struct egress *e, struct tx_ctx *ctx, uint32_t lease)
{
	publish(e->drv, ctx, lease);
}

void HOT(shm_give_up)(struct egress *e, uint32_t lease)
{
	abandon(e->drv, lease);
}

bool HOT(shm_write)(struct egress *e, const struct batch *b,
		    const uint16_t *list, unsigned n, uint32_t start,
		    uint16_t flags, uint64_t *bytes)
{
	return write_any(e->drv, b, list, n, 0, start, flags, bytes);
}

const struct port_hot HOT(shm_hot) = {
	.rx = shm_rx,
	.rx_done = shm_rx_done,
	.rx_arm = shm_rx_arm,
	.rx_disarm = shm_rx_disarm,
	.tx = shm_tx,
};
