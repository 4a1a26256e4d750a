// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - packets from and to the rings of AF_XDP sockets.
#include "core/checksum.h"
#include "core/copy.h"
#include "core/rcu.h"
#include "port/xdp/partial.h"
#include "port/xdp/xdp.h"

/* The kernel writes these, or reads them. */
static inline uint32_t ring_load(const uint32_t *word)
{
	/* pairs with the kernel's release of the ring's other side */
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void ring_store(uint32_t *word, uint32_t value)
{
	/* pairs with the kernel's acquire */
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline bool ring_asks(const struct xdp_ring *r)
{
	return __atomic_load_n(r->flags, __ATOMIC_RELAXED) &
	       XDP_RING_NEED_WAKEUP;
}

/* Ingress */

/* Packets of one frame each: n of them, from descriptor s->rx_next on. */
static inline void rx_simple(struct xdp_sock *s, struct batch *b, unsigned n)
{
	const struct xdp_desc *ring = s->rx.entries;

	batch_one_seg_each(b, n);
	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *d = &ring[(s->rx_next + i) & s->rx.mask];

		s->held[i] = d->addr;
		b->seg[i].ptr = s->mem + d->addr;
		b->seg[i].len = d->len;
		b->len[i] = d->len;
	}
	s->n_held = n;
	if (__builtin_expect(s->member.region != NULL, 0)) {
		for (unsigned i = 0; i < n; i++)
			b->buf[i] = s->held[i] >> s->frame_shift;
		b->from = &s->member;
	}
}

/* The n frames at descriptor rx_next + at are one packet. */
static inline void rx_packet(struct ingress *in, struct xdp_sock *s,
			     struct batch *b, unsigned at, unsigned n)
{
	const struct xdp_desc *ring = s->rx.entries;
	struct seg *seg = &b->seg[b->n_segs];
	unsigned kept = n <= PACKET_SEGS_MAX ? n : PACKET_SEGS_MAX;
	uint32_t len = 0;

	for (unsigned k = 0; k < n; k++) {
		const struct xdp_desc *d =
			&ring[(s->rx_next + at + k) & s->rx.mask];

		s->held[at + k] = d->addr;
		len += d->len;
		if (k < kept) {
			seg[k].ptr = s->mem + d->addr;
			seg[k].len = d->len;
		}
	}
	if (__builtin_expect(n > PACKET_SEGS_MAX, 0)) {
		in_drop_seg(in, DROP_IN_SEGMENTS, seg, kept, len);
		return;
	}
	b->seg0[b->n] = b->n_segs;
	b->n_seg[b->n] = n;
	b->len[b->n] = len;
	b->multi_seg |= n > 1;
	b->n_segs += n;
	b->n++;
}

/* The same where packets may take several frames. Returns frames taken: none
 * of a packet whose last frame is not there yet. */
static __attribute__((noinline)) unsigned rx_multi(struct ingress *in,
						   struct xdp_sock *s,
						   struct batch *b, unsigned n)
{
	const struct xdp_desc *ring = s->rx.entries;
	unsigned first = 0;

	b->identity = false;
	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *d = &ring[(s->rx_next + i) & s->rx.mask];

		if (d->options & XDP_PKT_CONTD)
			continue;
		rx_packet(in, s, b, first, i + 1 - first);
		first = i + 1;
	}
	s->n_held = first;
	return first;
}

/* Marks packets whose checksum a sender on this host left to its interface. */
static void rx_checksums(struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct seg *s = &b->seg[b->seg0[i]];
		struct offload off;

		if (!partial_check(s->ptr, s->len, b->len[i], &off)) {
			if (b->offloads)
				b->off[i] = (struct offload){ 0 };
			continue;
		}
		if (!b->offloads) {
			memset(b->off, 0, i * sizeof(*b->off));
			b->offloads = true;
		}
		b->off[i] = off;
	}
}

static unsigned HOT(xdp_rx)(struct ingress *in, struct batch *b)
{
	struct xdp_queue *q = in->drv;
	struct xdp_sock *s = rcu_load(&q->sock);
	uint32_t n;

	if (__builtin_expect(!s, 0))
		return 0;
	n = ring_load(s->rx.producer) - s->rx_next;
	if (!n) {
		if (s->busy_poll)
			xdp_rx_wake(s);
		return 0;
	}
	n = n < BATCH_MAX ? n : BATCH_MAX;
	b->overread = true;
	if (__builtin_expect(s->multi, 0))
		n = rx_multi(in, s, b, n);
	else
		rx_simple(s, b, n);
	s->rx_next += n;
	ring_store(s->rx.consumer, s->rx_next);
	if (s->fill_csum)
		rx_checksums(b);
	return n;
}

/* The frames go back into the fill ring, which has room for all there are. */
static void HOT(xdp_rx_done)(struct ingress *in, struct batch *b)
{
	struct xdp_queue *q = in->drv;
	struct xdp_sock *s = rcu_load(&q->sock);
	uint64_t *ring;
	uint64_t frame;

	if (__builtin_expect(!s, 0))
		return;
	ring = s->fill.entries;
	frame = ~(uint64_t)(s->frame_size - 1);
	for (unsigned i = 0; b->took && i < s->n_held; i++)
		s->held[i] = (uint64_t)b->buf[i] << s->frame_shift;
	for (unsigned i = 0; i < s->n_held; i++)
		ring[(s->fill_next + i) & s->fill.mask] = s->held[i] & frame;
	s->fill_next += s->n_held;
	s->n_held = 0;
	ring_store(s->fill.producer, s->fill_next);
	if (__builtin_expect(ring_asks(&s->fill), 0)) {
		count_add(&in->counters->kicks, 1);
		xdp_rx_wake(s);
	}
}

static bool HOT(xdp_rx_arm)(struct ingress *in)
{
	struct xdp_queue *q = in->drv;
	struct xdp_sock *s = rcu_load(&q->sock);

	if (!s)
		return false;
	if (ring_asks(&s->fill))
		xdp_rx_wake(s);
	return ring_load(s->rx.producer) != s->rx_next;
}

/* Egress */

/* A run of packets for which frames are reserved. */
struct out {
	struct xdp_sock *s;
	struct tx_ctx *ctx;
	uint32_t lease;
	uint32_t start; /* entry of the tx ring */
	uint32_t n;	/* packets */
	uint32_t frames;
	uint32_t frame[BATCH_MAX];
};

static inline uint32_t frames_of(const struct xdp_sock *s, uint32_t len)
{
	return (len + s->frame_size - 1) >> s->frame_shift;
}

/* With the lock: frames that were sent are free. */
static inline void reap(struct xdp_sock *s)
{
	const uint64_t *ring = s->done.entries;
	uint32_t n = ring_load(s->done.producer) - s->done_next;

	for (uint32_t i = 0; i < n; i++)
		s->free[s->n_free++] =
			ring[(s->done_next + i) & s->done.mask] >>
			s->frame_shift;
	s->done_next += n;
	ring_store(s->done.consumer, s->done_next);
}

/*
 * Reserves frames for as many packets of the list as there are frames for. Of
 * tx ring and frames there are equally many, and each frame is in one place, so
 * who has a frame has room in the ring.
 */
static inline void reserve(struct out *o, const struct batch *b,
			   const uint16_t *list, unsigned n)
{
	struct xdp_sock *s = o->s;

	o->n = o->frames = 0;
	lease_lock(&s->lease);
	if (s->n_free < n * (s->multi ? XDP_TX_FRAMES_MAX : 1))
		reap(s);
	while (o->n < n) {
		uint32_t want = frames_of(s, b->len[list[o->n]]);

		if (want > s->n_free || o->frames + want > BATCH_MAX)
			break;
		for (uint32_t k = 0; k < want; k++)
			o->frame[o->frames++] = s->free[--s->n_free];
		o->n++;
	}
	if (o->n) {
		o->start = s->lease.reserved;
		o->lease = lease_take(&s->lease, o->frames);
	}
	lease_unlock(&s->lease);
}

/* Copies packet i, which fits, to a frame. */
static inline void write_one(uint8_t *d, const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	uint32_t h = b->hdr_len[i];

	copy64(d, b->hdr[i]);
	if (h > 64) {
		copy64(d + 64, b->hdr[i] + 64);
		if (h > 128)
			copy64(d + 128, b->hdr[i] + 128);
	}
	d += h;
	for (unsigned k = 0; k < b->n_seg[i]; k++) {
		copy_bytes(d, seg[k].ptr, seg[k].len);
		d += seg[k].len;
	}
}

/* Where the next byte of a packet of several frames goes. */
struct cursor {
	const struct xdp_sock *s;
	const uint32_t *frame;
	uint32_t used; /* of it */
};

static inline void put(struct cursor *c, const uint8_t *src, uint32_t len)
{
	while (len) {
		uint32_t n = c->s->frame_size - c->used;

		if (!n) {
			c->frame++;
			c->used = 0;
			continue;
		}
		n = n < len ? n : len;
		copy_bytes(c->s->mem +
				   ((uint64_t)*c->frame << c->s->frame_shift) +
				   c->used,
			   src, n);
		c->used += n;
		src += n;
		len -= n;
	}
}

static __attribute__((noinline)) void write_many(const struct xdp_sock *s,
						 const uint32_t *frame,
						 const struct batch *b,
						 unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	struct cursor c = { s, frame, 0 };

	put(&c, b->hdr[i], b->hdr_len[i]);
	for (unsigned k = 0; k < b->n_seg[i]; k++)
		put(&c, seg[k].ptr, seg[k].len);
}

static inline uint8_t *byte_at(const struct xdp_sock *s, const uint32_t *frame,
			       uint32_t pos)
{
	return s->mem +
	       ((uint64_t)frame[pos >> s->frame_shift] << s->frame_shift) +
	       (pos & (s->frame_size - 1));
}

/*
 * Fills in the checksum of a packet that is written: an interface gets frames
 * with nothing left to do. The sum starts with what the field holds.
 */
static __attribute__((noinline)) void finish_csum(const struct xdp_sock *s,
						  const uint32_t *frame,
						  const struct batch *b,
						  unsigned i)
{
	const struct offload *off = &b->off[i];
	uint32_t pos = off->csum_start, len = b->len[i];
	uint32_t field = pos + off->csum_offset;
	struct checksum sum = { 0 };
	uint8_t bytes[2];
	uint16_t csum;

	if (pos >= len || field + 2 > len)
		return; /* gather() refuses those */
	while (pos < len) {
		uint32_t n = s->frame_size - (pos & (s->frame_size - 1));

		n = n < len - pos ? n : len - pos;
		checksum_piece(&sum, HOT(checksum_bytes),
			       byte_at(s, frame, pos), n);
		pos += n;
	}
	csum = (uint16_t)~checksum_fold(sum.sum);
	csum = csum ? csum : 0xffff;
	memcpy(bytes, &csum, 2);
	*byte_at(s, frame, field) = bytes[0];
	*byte_at(s, frame, field + 1) = bytes[1];
}

/* Fills the frames of a run and their descriptors. */
static inline uint64_t write_run(struct out *o, const struct batch *b,
				 const uint16_t *list)
{
	struct xdp_sock *s = o->s;
	struct xdp_desc *ring = s->tx.entries;
	const struct region_member *from = o->ctx->from;
	bool swap = from && s->swap && from->region == s->member.region;
	uint64_t bytes = 0;
	uint32_t f = 0;

	for (unsigned k = 0; k < o->n; k++) {
		uint32_t i = list[k], left = b->len[i];
		uint32_t want = frames_of(s, left);
		uint64_t at = (uint64_t)o->frame[f] << s->frame_shift;
		uint64_t taken = UINT64_MAX;

		bytes += left;
		if (__builtin_expect(swap && want == 1, 0))
			taken = region_take_packet(o->ctx, b, i, s->member.own,
						   &o->frame[f],
						   s->frame_size - 1);
		if (taken != UINT64_MAX)
			at = taken;
		else if (__builtin_expect(want == 1, 1))
			write_one(s->mem + at, b, i);
		else
			write_many(s, &o->frame[f], b, i);
		if (b->offloads && (b->off[i].flags & OFFLOAD_NEEDS_CSUM))
			finish_csum(s, &o->frame[f], b, i);
		for (uint32_t m = 0; m < want; m++, f++) {
			struct xdp_desc *d = &ring[(o->start + f) & s->tx.mask];
			uint32_t len = left < s->frame_size ? left :
							      s->frame_size;

			left -= len;
			d->addr = want == 1 ? at :
					      (uint64_t)o->frame[f]
						      << s->frame_shift;
			d->len = len;
			d->options = left ? XDP_PKT_CONTD : 0;
		}
	}
	return bytes;
}

/* The kernel is asked to send. */
static __attribute__((noinline)) void wake(struct xdp_sock *s,
					   struct counters *c)
{
	count_add(&c->kicks, 1);
	xdp_count_lost(c, xdp_tx_wake(s));
}

/* The run is written. */
static inline void publish(struct out *o, uint64_t bytes)
{
	struct xdp_sock *s = o->s;
	struct counters *c = o->ctx->counters;
	bool shown;

	lease_lock(&s->lease);
	shown = lease_done(&s->lease, o->lease);
	if (shown)
		ring_store(s->tx.producer, s->lease.published);
	lease_unlock(&s->lease);
	count_add(&c->packets, o->n);
	count_add(&c->bytes, bytes);
	if (shown && ring_asks(&s->tx))
		wake(s, c);
}

/* Drops what cannot be sent by this interface; the rest goes to keep[]. */
static __attribute__((noinline)) unsigned sort_out(uint32_t max_len,
						   struct tx_ctx *ctx,
						   const struct batch *b,
						   const uint16_t *list,
						   unsigned n, uint16_t *keep)
{
	unsigned kept = 0;

	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];

		if (b->len[i] > max_len + batch_tags_len(b, i))
			tx_drop(ctx, i, DROP_OUT_OVERSIZE);
		else
			keep[kept++] = i;
	}
	return kept;
}

static void HOT(xdp_tx)(struct egress *out, struct tx_ctx *ctx,
			const struct batch *b, const uint16_t *list, unsigned n)
{
	struct xdp_queue *q = out->drv;
	struct out o = { .s = rcu_load(&q->sock), .ctx = ctx };
	uint16_t keep[BATCH_MAX];
	uint32_t max_len;
	enum drop why = DROP_OUT_NO_ROOM;
	bool woken = false;

	if (!o.s || !atomic_load_explicit(q->link, memory_order_relaxed)) {
		why = DROP_OUT_LINK_DOWN;
		goto rest;
	}
	max_len = atomic_load_explicit(&o.s->max_len, memory_order_relaxed);
	if (__builtin_expect(b->most > max_len, 0)) {
		n = sort_out(max_len, ctx, b, list, n, keep);
		list = keep;
	}
	while (n) {
		reserve(&o, b, list, n);
		if (o.n) {
			publish(&o, write_run(&o, b, list));
			list += o.n;
			n -= o.n;
			continue;
		}
		/* No frame is free: perhaps the kernel only waits for us. */
		if (woken || !ring_asks(&o.s->tx))
			break;
		woken = true;
		wake(o.s, ctx->counters);
	}
rest:
	for (unsigned k = 0; k < n; k++)
		tx_drop(ctx, list[k], why);
}

const struct port_hot HOT(xdp_hot) = {
	.rx = HOT(xdp_rx),
	.rx_done = HOT(xdp_rx_done),
	.rx_arm = HOT(xdp_rx_arm),
	.tx = HOT(xdp_tx),
};
