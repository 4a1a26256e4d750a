// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - packets out of a guest's transmit queues.
#include "core/copy.h"
#include "core/engine.h"
#include "core/offload.h"
#include "core/rcu.h"
#include "core/vnet_hdr.h"
#include "port/vhost_user/packed.h"
#include "port/vhost_user/split.h"

enum { RARP_LEN = 60 };

/* Whether the guest may send this; what it may not is cleared or refused. */
static bool take_offload(const struct vhost_ring *r, struct batch *b,
			 unsigned i, const uint8_t *hdr)
{
	struct offload *off = &b->off[i];

	/* Nothing was negotiated: the header means nothing. */
	if (!r->sends) {
		memset(off, 0, sizeof(*off));
		return true;
	}
	if (!vnet_hdr_read(hdr, off))
		return true;
	/* Only a device may say that it checked a checksum. */
	off->flags &= OFFLOAD_NEEDS_CSUM;
	b->offloads |= off->flags || off->gso_type;
	return !(offload_needs(off) & ~r->sends);
}

/*
 * Offload headers of the n packets of a batch of one segment each, which begin
 * with them.
 */
static inline bool take_headers(const struct vhost_ring *r, struct batch *b,
				unsigned n)
{
	uint32_t hdr_len = r->hdr_len;
	bool good = true, any = false;

	if (r->sends) {
		for (unsigned i = 0; i < n; i++)
			any |= *(const word16 *)b->seg[i].ptr != 0;
	}
	if (__builtin_expect(any, 0)) {
		for (unsigned i = 0; i < n; i++) {
			uint8_t hdr[VNET_HDR_LEN];

			copy_some(hdr, b->seg[i].ptr, sizeof(hdr));
			good &= take_offload(r, b, i, hdr);
		}
	}
	for (unsigned i = 0; i < n; i++)
		b->seg[i].ptr += hdr_len;
	return good;
}

/*
 * Describes up to n chains that are one descriptor each. Returns how many; 0
 * if there is anything to be told apart.
 */
static inline unsigned split_rx_fast(struct vhost_queue *q,
				     const struct vhost_ring *r,
				     struct batch *b, unsigned n)
{
	const struct vhost_mem *mem = r->mem;
	uint32_t hdr_len = r->hdr_len, size = r->size;
	unsigned i;

	split_used_ahead(r, q->avail, n);
	for (i = 0; i < n; i++) {
		uint16_t head = split_head(q, r, i);
		uint64_t addr, rest;
		uint32_t len;
		uint8_t *p;

		if (head >= size)
			break;
		addr = shm_load64(&r->desc[head].addr);
		rest = shm_load64(&r->desc[head].rest);
		len = desc_len(rest);
		if ((uint16_t)(rest >> 32) || len <= hdr_len)
			break;
		p = vhost_at(mem, &q->region, addr, len);
		if (!p)
			break;
		/* DPDK has the header in a line of its own. */
		__builtin_prefetch(p);
		__builtin_prefetch(p + hdr_len);
		q->taken[i] = (struct vhost_taken){ head, 1 };
		b->seg[i].ptr = p;
		b->seg[i].len = b->len[i] = len - hdr_len;
	}
	return i;
}

static inline unsigned packed_rx_fast(struct vhost_queue *q,
				      const struct vhost_ring *r,
				      struct batch *b)
{
	const struct vhost_mem *mem = r->mem;
	uint32_t hdr_len = r->hdr_len, size = r->size;
	struct packed_at at = packed_avail(q);
	/* More only a guest could offer that offers again what it has not got
	 * back: the walk must not lap itself. */
	unsigned i, most = size < BATCH_MAX ? size : BATCH_MAX;

	for (i = 0; i < most; i++) {
		/* pairs with the guest's release of the flags */
		uint64_t rest = shm_load_acquire64(&r->pdesc[at.slot].rest);
		uint64_t addr;
		uint32_t len = desc_len(rest);
		uint8_t *p;

		if (!packed_is_avail(rest, at.wrap) ||
		    (rest >> 48 & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE |
				   VRING_DESC_F_INDIRECT)) ||
		    len <= hdr_len || packed_id(rest) >= size)
			break;
		addr = shm_load64(&r->pdesc[at.slot].addr);
		p = vhost_at(mem, &q->region, addr, len);
		if (!p)
			break;
		__builtin_prefetch(p);
		__builtin_prefetch(p + hdr_len);
		q->taken[i] = (struct vhost_taken){ packed_id(rest), 1 };
		b->seg[i].ptr = p;
		b->seg[i].len = b->len[i] = len - hdr_len;
		packed_move(r, &at, 1);
	}
	return i;
}

/*
 * Appends a chain to the batch as a packet; buf are its buffers. A chain that
 * is no packet is counted and will be given back like the others.
 */
static void rx_chain(struct ingress *in, const struct vhost_ring *r,
		     struct batch *b, const struct vhost_chain *c,
		     enum chain_status status, const struct vhost_buf *buf)
{
	uint8_t hdr[VHOST_HDR_LEN] = { 0 };
	uint32_t left = r->hdr_len, got = 0;
	unsigned n = b->n_segs, i = b->n;

	if (status == CHAIN_TOO_MANY) {
		in_drop(in, DROP_IN_SEGMENTS);
		return;
	}
	if (c->len <= r->hdr_len) {
		in_drop(in, DROP_IN_RUNT);
		return;
	}
	if (c->len - r->hdr_len > PACKET_LEN_MAX) {
		in_drop(in, DROP_IN_TOO_LONG);
		return;
	}
	b->len[i] = c->len - r->hdr_len;
	b->seg0[i] = n;
	for (unsigned k = 0; k < c->n_bufs; k++) {
		uint32_t cut = buf[k].len < left ? buf[k].len : left;

		/* The header may be spread over several buffers. */
		copy_some(hdr + got, buf[k].ptr, cut);
		got += cut;
		left -= cut;
		if (cut < buf[k].len)
			b->seg[n++] = (struct seg){ buf[k].ptr + cut,
						    buf[k].len - cut, 0 };
	}
	if (!take_offload(r, b, i, hdr)) {
		in_drop_seg(in, DROP_IN_BAD_OFFLOAD, &b->seg[b->n_segs],
			    n - b->n_segs, b->len[i]);
		return;
	}
	b->n_seg[i] = n - b->n_segs;
	b->multi_seg |= b->n_seg[i] > 1 || b->n_segs != i;
	b->n_segs = n;
	b->n++;
}

/* Up to n chains of any kind. Returns how many were used. */
static __attribute__((noinline)) unsigned rx_slow(struct ingress *in,
						  struct vhost_queue *q,
						  const struct vhost_ring *r,
						  struct batch *b, unsigned n)
{
	/* A packet of the most segments and a header of its own. */
	struct vhost_buf buf[PACKET_SEGS_MAX + 1];
	struct packed_at at = packed_avail(q);
	uint32_t descs = 0;
	unsigned used = 0, steps = 0;

	b->identity = false;
	b->n = b->n_segs = 0;
	while (used < n && steps < RX_STEPS_MAX &&
	       b->n_segs + PACKET_SEGS_MAX + 1 <= BATCH_SEGS) {
		struct vhost_chain c;
		enum chain_status status =
			r->packed ? packed_read(q, r, at, 0, buf,
						PACKET_SEGS_MAX + 1, &c) :
				    split_read(q, r, used, 0, buf,
					       PACKET_SEGS_MAX + 1, &c);

		if (status == CHAIN_BAD || status == CHAIN_NONE)
			break;
		steps += c.steps;
		/* As in packed_rx_fast(): one lap at most. */
		if (r->packed && descs + c.taken.descs > r->size)
			break;
		descs += c.taken.descs;
		q->taken[used++] = c.taken;
		if (r->packed)
			packed_move(r, &at, c.taken.descs);
		/* Without its header it may be one too many still. */
		if (status == CHAIN_GOOD && c.n_bufs > PACKET_SEGS_MAX &&
		    buf[0].len > r->hdr_len)
			status = CHAIN_TOO_MANY;
		rx_chain(in, r, b, &c, status, buf);
	}
	if (r->packed)
		packed_take(q, r, descs);
	return used;
}

/* The guest has moved here: tell the switches on the way (RFC 903). */
static __attribute__((noinline)) unsigned rx_rarp(struct vhost_queue *q,
						  struct batch *b)
{
	static const uint8_t arp[] = { 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3 };
	uint8_t *f = q->rarp_frame;

	memset(f, 0, sizeof(q->rarp_frame));
	memset(f, 0xff, 6);
	memcpy(f + 6, q->rarp_mac, 6);
	memcpy(f + 12, arp, sizeof(arp));
	memcpy(f + 22, q->rarp_mac, 6);
	memcpy(f + 32, q->rarp_mac, 6);
	atomic_fetch_sub_explicit(&q->rarp, 1, memory_order_relaxed);
	batch_one_seg_each(b, 1);
	b->seg[0] = (struct seg){ f, RARP_LEN, 0 };
	b->len[0] = RARP_LEN;
	b->slots = 0;
	return 1;
}

static unsigned vhost_rx(struct ingress *in, struct batch *b)
{
	struct vhost_queue *q = in->drv;
	struct vhost_ring *r = ring_of(q);
	unsigned n, used;
	int have = BATCH_MAX;

	q->held = r;
	if (!r)
		return 0;
	b->overread = true;
	/* pairs with the control thread's release behind rarp_mac */
	if (__builtin_expect(atomic_load_explicit(&q->rarp,
						  memory_order_acquire),
			     0))
		return rx_rarp(q, b);
	check_hint(q, r);
	if (!r->packed) {
		have = split_available(q, r, BATCH_MAX);
		if (have <= 0)
			return 0;
	}
	n = have < BATCH_MAX ? have : BATCH_MAX;
	used = r->packed ? packed_rx_fast(q, r, b) : split_rx_fast(q, r, b, n);
	if (used && take_headers(r, b, used)) {
		batch_one_seg_each(b, used);
		if (r->packed)
			packed_take(q, r, used);
	} else {
		used = rx_slow(in, q, r, b, n);
	}
	b->slots = used;
	return used;
}

/* Gives back n chains of a packed ring: all that were taken. */
static inline uint32_t packed_give_all(struct vhost_queue *q,
				       const struct vhost_ring *r, unsigned n)
{
	struct packed_at at = packed_used(q);
	uint64_t first = packed_used_word(q->taken[0].id, 0, at.wrap);
	uint32_t descs = q->taken[0].descs;

	packed_begin(q, at, packed_avail(q));
	packed_move(r, &at, q->taken[0].descs);
	for (unsigned i = 1; i < n; i++) {
		packed_give(r, at.slot,
			    packed_used_word(q->taken[i].id, 0, at.wrap));
		packed_move(r, &at, q->taken[i].descs);
		descs += q->taken[i].descs;
	}
	packed_show(r, q->used, first);
	return descs;
}

/* The doorbell of the thread that runs the ring: when a port is drained, that
 * is the control thread. */
static __attribute__((noinline)) void call_tx(struct ingress *in,
					      const struct vhost_ring *r)
{
	struct engine *e = in->port->sw->engine;
	struct doorbell *d = &e->workers[in->worker_idx]->doorbell;

	if (r->call_fd < 0)
		return;
	count_add(&in->counters->kicks, 1);
	if (!doorbell_ring(d, r->call_fd))
		vhost_queue_owe(in->drv, VHOST_OWED_CALL);
}

static void vhost_rx_done(struct ingress *in, struct batch *b)
{
	struct vhost_queue *q = in->drv;
	const struct vhost_ring *r = q->held;
	unsigned n = b->slots;
	bool call;

	if (!n)
		return;
	if (r->packed) {
		call = packed_published(q, r, packed_give_all(q, r, n));
	} else {
		for (unsigned i = 0; i < n; i++)
			split_give(r, q->avail + i, q->taken[i].id, 0);
		q->avail += n;
		call = split_publish(q, r, q->avail);
	}
	if (__builtin_expect(call, 0))
		call_tx(in, r);
}

static bool vhost_rx_arm(struct ingress *in)
{
	struct vhost_queue *q = in->drv;
	struct vhost_ring *r = ring_of(q);

	if (!r)
		return false;
	if (r->no_kick || (r->packed ? packed_arm(q, r) : split_arm(q, r)))
		return true;
	/* The control thread rings behind this, and then we look. */
	return atomic_load_explicit(&q->rarp, memory_order_acquire);
}

static void vhost_rx_disarm(struct ingress *in)
{
	struct vhost_queue *q = in->drv;
	struct vhost_ring *r = ring_of(q);

	if (!r)
		return;
	count_add(&q->n_kicks, 1);
	if (r->packed)
		packed_disarm(r);
	else
		split_disarm(r);
}

const struct port_hot HOT(vhost_hot) = {
	.rx = vhost_rx,
	.rx_done = vhost_rx_done,
	.rx_arm = vhost_rx_arm,
	.rx_disarm = vhost_rx_disarm,
	.tx = HOT(vhost_tx),
};
