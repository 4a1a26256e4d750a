// SPDX-License-Identifier: BSD-2-Clause
// tx.c - packets into a guest's receive queues.
#include "core/copy.h"
#include "core/offload.h"
#include "core/vnet_hdr.h"
#include "core/worker.h"
#include "port/vhost_user/packed.h"
#include "port/vhost_user/split.h"

enum {
	/* A buffer this long takes whole 64-byte blocks of any header. */
	HDR_ROOM = HDR_SIZE,
	/* A packet may take this many descriptors, and one more for so many
	 * bytes of it: drivers offer 1.5 KiB or a page and more at once. Those
	 * that do not merge buffers make chains for 64 KiB, whatever the packet
	 * (FreeBSD's have 34 descriptors, Linux' up to 47). */
	STEPS_MIN = 64,
	STEP_BYTES = 128,
	/* Of packets longer than this the next one is fetched while one is
	 * copied; for shorter ones that costs more than it saves. */
	FETCH_MIN = 512,
	FETCH_MAX = 4096, /* of one piece */
};

/* What was reserved; on the worker's stack, so never initialized whole. */
struct out {
	struct vhost_queue *q;
	const struct vhost_ring *r;
	struct tx_ctx *ctx;
	uint32_t start, lease;
	uint32_t entries;    /* of the lease: chains, or packed descriptors */
	struct packed_at at; /* packed: where it starts */
	bool oldest;	     /* packed: may be shown as it is written */
};

/* Of packets that take one descriptor each. */
struct out_simple {
	uint8_t *ptr[BATCH_MAX];
	uint16_t id[BATCH_MAX];
};

struct out_packet {
	uint16_t i; /* in the batch */
	uint16_t chain0, n_chains, buf0;
};

/* Of packets in general. */
struct out_any {
	unsigned n_packets, n_chains, n_bufs;
	struct out_packet packet[BATCH_MAX];
	struct vhost_chain chain[OUT_CHAINS];
	struct vhost_buf buf[OUT_BUFS];
};

/* With the lock: promises what was read, which was n entries. */
static inline void out_take(struct out *o, uint32_t n)
{
	struct vhost_queue *q = o->q;

	o->start = q->q.reserved;
	o->oldest = q->q.reserved == q->q.published;
	o->entries = n;
	o->lease = lease_take(&q->q, n);
}

/* The lease is not the oldest: notes what its chain at a slot comes to. */
static __attribute__((noinline)) void note_later(struct out *o, uint16_t slot,
						 struct vhost_taken taken,
						 uint32_t len)
{
	o->q->later[slot] = (struct vhost_later){ len, taken };
}

/*
 * With the lock: gives back n descriptors from a place on, of leases that were
 * not the oldest when they were written.
 */
static __attribute__((noinline)) void give_later(struct vhost_queue *q,
						 const struct vhost_ring *r,
						 struct packed_at at,
						 uint32_t n)
{
	struct packed_at first = at, end = at;
	const struct vhost_later *l = &q->later[at.slot];
	uint64_t word = packed_used_word(l->taken.id, l->len, at.wrap);

	packed_move(r, &end, n);
	packed_begin(q, first, end);
	for (;;) {
		n -= l->taken.descs;
		packed_move(r, &at, l->taken.descs);
		if (!n)
			break;
		l = &q->later[at.slot];
		packed_give(r, at.slot,
			    packed_used_word(l->taken.id, l->len, at.wrap));
	}
	packed_show(r, first.slot, word);
}

/* With the lock, the packed ring's oldest lease being done. */
static inline bool out_show_packed(struct out *o)
{
	struct vhost_queue *q = o->q;
	uint32_t old = o->start, n = q->q.published - old;
	struct packed_at at = o->at;
	uint32_t shown = o->oldest ? o->entries : 0;

	if (__builtin_expect(n != shown, 0)) {
		packed_move(o->r, &at, shown);
		give_later(q, o->r, at, n - shown);
	}
	return packed_published(q, o->r, n);
}

static __attribute__((noinline)) void call_rx(struct out *o)
{
	if (o->r->call_fd < 0)
		return;
	count_add(&o->ctx->counters->kicks, 1);
	if (!doorbell_ring(&o->ctx->worker->doorbell, o->r->call_fd))
		vhost_queue_owe(o->q, VHOST_OWED_CALL);
}

/* The lease is written. */
static inline void out_publish(struct out *o)
{
	struct vhost_queue *q = o->q;
	bool call = false;

	lease_lock(&q->q);
	if (lease_done(&q->q, o->lease))
		call = o->r->packed ? out_show_packed(o) :
				      split_publish(q, o->r, q->q.published);
	lease_unlock(&q->q);
	if (__builtin_expect(call, 0))
		call_rx(o);
}

/*
 * With the lock: takes up to n chains that are one descriptor of at least need
 * bytes. 0: there is none, or what there is is not so simple.
 */
static inline unsigned split_take_simple(struct out *o, struct out_simple *s,
					 unsigned n, uint32_t need)
{
	const struct vhost_ring *r = o->r;
	struct vhost_queue *q = o->q;
	int have = split_available(q, r, n);
	unsigned i;

	split_used_ahead(r, q->q.reserved, n);
	for (i = 0; (int)i < have && i < n; i++) {
		uint16_t head = split_head(q, r, i);
		uint64_t addr, rest;

		if (head >= r->size)
			break;
		addr = shm_load64(&r->desc[head].addr);
		rest = shm_load64(&r->desc[head].rest);
		if ((uint16_t)(rest >> 32) != VRING_DESC_F_WRITE ||
		    desc_len(rest) < need)
			break;
		s->ptr[i] = vhost_at(r->mem, &q->region, addr, desc_len(rest));
		if (!s->ptr[i])
			break;
		__builtin_prefetch(s->ptr[i], 1);
		__builtin_prefetch(s->ptr[i] + r->hdr_len, 1);
		s->id[i] = head;
	}
	q->avail += i;
	return i;
}

/*
 * With the lock: how many descriptors may be under way yet. More than there
 * are only a guest could want that makes available what it has not got back.
 */
static inline uint32_t packed_room(const struct vhost_queue *q,
				   const struct vhost_ring *r)
{
	return r->size - (q->q.reserved - q->q.published);
}

static inline unsigned packed_take_simple(struct out *o, struct out_simple *s,
					  unsigned n, uint32_t need)
{
	const struct vhost_ring *r = o->r;
	struct vhost_queue *q = o->q;
	struct packed_at at = packed_avail(q);
	unsigned i;

	o->at = at;
	n = n < packed_room(q, r) ? n : packed_room(q, r);
	for (i = 0; i < n; i++) {
		/* pairs with the guest's release of the flags */
		uint64_t rest = shm_load_acquire64(&r->pdesc[at.slot].rest);

		if (!packed_is_avail(rest, at.wrap) ||
		    (rest >> 48 & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE |
				   VRING_DESC_F_INDIRECT)) !=
			    VRING_DESC_F_WRITE ||
		    desc_len(rest) < need || packed_id(rest) >= r->size)
			break;
		s->ptr[i] = vhost_at(r->mem, &q->region,
				     shm_load64(&r->pdesc[at.slot].addr),
				     desc_len(rest));
		if (!s->ptr[i])
			break;
		__builtin_prefetch(s->ptr[i], 1);
		__builtin_prefetch(s->ptr[i] + r->hdr_len, 1);
		s->id[i] = packed_id(rest);
		packed_move(r, &at, 1);
	}
	q->avail = at.slot;
	q->avail_wrap = at.wrap;
	return i;
}

/* Packet i, of one segment at most, to a buffer that is long enough. */
static inline void write_simple(uint8_t *d, uint32_t hdr_len,
				const struct batch *b, unsigned i)
{
	const uint8_t *hdr = b->hdr[i];
	uint32_t h = b->hdr_len[i];

	/* No offloads; num_buffers, where there is one, is 1. */
	*(word64 *)d = 0;
	if (hdr_len == VHOST_HDR_LEN)
		*(word32 *)(d + 8) = 1 << 16;
	else
		*(word16 *)(d + 8) = 0;
	d += hdr_len;
	copy64(d, hdr);
	if (h > 64) {
		copy64(d + 64, hdr + 64);
		if (h > 128)
			copy64(d + 128, hdr + 128);
	}
	/* Short ones too: of a segment only its headers are private. */
	if (b->len[i] > h) {
		const struct seg *s = &b->seg[b->seg0[i]];

		copy_bytes(d + h, s->ptr, s->len);
	}
}

/* Packet i will be written to d next: what lies behind its header. */
static inline void fetch_packet(const uint8_t *d, const struct batch *b,
				unsigned i)
{
	const struct seg *s = &b->seg[b->seg0[i]];

	d += b->hdr_len[i];
	for (uint32_t off = 0; off < s->len; off += 64) {
		__builtin_prefetch(s->ptr + off);
		__builtin_prefetch(d + off, 1);
	}
}

/* The lease is the oldest, and its descriptors will be written. */
static inline void packed_out_begin(struct out *o)
{
	struct packed_at end = o->at;

	packed_move(o->r, &end, o->entries);
	packed_begin(o->q, o->at, end);
}

/* Gives back the chains of n packets of one descriptor each. */
static inline void packed_give_simple(struct out *o, const struct out_simple *s,
				      const struct batch *b,
				      const uint16_t *list, unsigned n)
{
	const struct vhost_ring *r = o->r;
	struct packed_at at = o->at;

	if (__builtin_expect(!o->oldest, 0)) {
		for (unsigned k = 0; k < n; k++) {
			note_later(o, at.slot,
				   (struct vhost_taken){ s->id[k], 1 },
				   r->hdr_len + b->len[list[k]]);
			packed_move(r, &at, 1);
		}
		return;
	}
	packed_out_begin(o);
	for (unsigned k = 1; k < n; k++) {
		packed_move(r, &at, 1);
		packed_give(r, at.slot,
			    packed_used_word(s->id[k],
					     r->hdr_len + b->len[list[k]],
					     at.wrap));
	}
	packed_show(r, o->at.slot,
		    packed_used_word(s->id[0], r->hdr_len + b->len[list[0]],
				     o->at.wrap));
}

/* Delivers up to n packets that need no more than one descriptor each. */
static unsigned tx_simple(struct out *o, const struct batch *b,
			  const uint16_t *list, unsigned n, uint32_t need)
{
	const struct vhost_ring *r = o->r;
	struct out_simple s;
	uint64_t bytes = 0;

	lease_lock(&o->q->q);
	check_hint(o->q, r);
	n = r->packed ? packed_take_simple(o, &s, n, need) :
			split_take_simple(o, &s, n, need);
	if (n)
		out_take(o, n);
	lease_unlock(&o->q->q);
	if (!n)
		return 0;
	for (unsigned k = 0; k < n; k++) {
		if (b->most > FETCH_MIN && k + 1 < n)
			fetch_packet(s.ptr[k + 1] + r->hdr_len, b, list[k + 1]);
		write_simple(s.ptr[k], r->hdr_len, b, list[k]);
		bytes += b->len[list[k]];
	}
	if (!r->packed) {
		for (unsigned k = 0; k < n; k++)
			split_give(r, o->start + k, s.id[k],
				   r->hdr_len + b->len[list[k]]);
	} else {
		packed_give_simple(o, &s, b, list, n);
	}
	count_add(&o->ctx->counters->packets, n);
	count_add(&o->ctx->counters->bytes, bytes);
	out_publish(o);
	return n;
}

/* Where the reading of chains has come to. */
struct reader {
	unsigned ahead;	     /* split: chains read */
	struct packed_at at; /* packed */
	uint32_t entries;
};

/* With the lock: reads the next chain into a. */
static enum chain_status read_chain(struct out *o, struct out_any *a,
				    struct reader *rd)
{
	struct vhost_chain *c = &a->chain[a->n_chains];
	struct vhost_buf *buf = &a->buf[a->n_bufs];
	unsigned room = OUT_BUFS - a->n_bufs;
	enum chain_status status;

	if (a->n_chains == OUT_CHAINS)
		return CHAIN_TOO_MANY;
	if (o->r->packed) {
		status = packed_read(o->q, o->r, rd->at, VRING_DESC_F_WRITE,
				     buf, room, c);
	} else {
		int have = split_available(o->q, o->r, rd->ahead + 1);

		if (have < 0)
			return CHAIN_BAD;
		if ((unsigned)have <= rd->ahead)
			return CHAIN_NONE;
		status = split_read(o->q, o->r, rd->ahead, VRING_DESC_F_WRITE,
				    buf, room, c);
	}
	if (status != CHAIN_GOOD)
		return status;
	if (o->r->packed &&
	    rd->entries + c->taken.descs > packed_room(o->q, o->r))
		return CHAIN_NONE;
	if (c->len < o->r->hdr_len) {
		vhost_queue_fail(o->q, "a receive buffer is shorter than the "
				       "header of a packet");
		return CHAIN_BAD;
	}
	if (o->r->packed)
		packed_move(o->r, &rd->at, c->taken.descs);
	rd->ahead++;
	rd->entries += o->r->packed ? c->taken.descs : 1;
	a->n_chains++;
	a->n_bufs += c->n_bufs;
	return CHAIN_GOOD;
}

/* With the lock: reads the chains for packet i. On failure a is as before. */
static enum chain_status read_packet(struct out *o, struct out_any *a,
				     struct reader *rd, const struct batch *b,
				     unsigned i)
{
	struct reader before = *rd;
	struct out_packet *p = &a->packet[a->n_packets];
	uint64_t need = o->r->hdr_len + b->len[i], got = 0;
	/* Else a guest with tiny buffers makes others wait for its packets. */
	int steps = STEPS_MIN + need / STEP_BYTES;
	enum chain_status status;

	p->i = i;
	p->chain0 = a->n_chains;
	p->buf0 = a->n_bufs;
	do {
		status = read_chain(o, a, rd);
		if (status != CHAIN_GOOD)
			break;
		got += a->chain[a->n_chains - 1].len;
		steps -= a->chain[a->n_chains - 1].steps;
		if (steps < 0) {
			vhost_queue_fail(o->q, "its receive buffers are too "
					       "small for packets");
			status = CHAIN_BAD;
		}
	} while (status == CHAIN_GOOD && got < need && o->r->mergeable);
	if (status == CHAIN_GOOD && got >= need) {
		p->n_chains = a->n_chains - p->chain0;
		a->n_packets++;
		return CHAIN_GOOD;
	}
	*rd = before;
	a->n_chains = p->chain0;
	a->n_bufs = p->buf0;
	/* One chain, and too short; or the tables are full. */
	if (status == CHAIN_GOOD)
		return CHAIN_TOO_MANY;
	return status;
}

/*
 * With the lock: reserves chains for packets of the list until they, or the
 * tables, are used up. Returns how many packets have been dealt with; those
 * that cannot be had by this guest are dropped.
 */
static unsigned reserve_any(struct out *o, struct out_any *a,
			    const struct batch *b, const uint16_t *list,
			    unsigned n)
{
	struct reader rd = { 0, packed_avail(o->q), 0 };
	unsigned k;

	a->n_packets = a->n_chains = a->n_bufs = 0;
	o->at = rd.at;
	for (k = 0; k < n; k++) {
		unsigned i = list[k];
		enum chain_status status;

		if (b->offloads && offload_needs(&b->off[i]) & ~o->r->takes) {
			tx_drop(o->ctx, i, DROP_OUT_BAD_OFFLOAD);
			continue;
		}
		status = read_packet(o, a, &rd, b, i);
		if (status == CHAIN_TOO_MANY && !a->n_packets)
			tx_drop(o->ctx, i, DROP_OUT_SEGMENTS);
		else if (status != CHAIN_GOOD)
			break;
	}
	if (!a->n_packets)
		return k;
	if (o->r->packed) {
		o->q->avail = rd.at.slot;
		o->q->avail_wrap = rd.at.wrap;
	} else {
		o->q->avail += rd.ahead;
	}
	out_take(o, rd.entries);
	return k;
}

/* The first lines of a piece that will soon be read, or written. */
static inline void fetch_lines(const uint8_t *p, uint32_t len, bool write)
{
	len = len < FETCH_MAX ? len : FETCH_MAX;
	for (uint32_t off = 0; off < len; off += 64) {
		if (write)
			__builtin_prefetch(p + off, 1);
		else
			__builtin_prefetch(p + off);
	}
}

/* Where the next byte of a packet goes. */
struct out_cursor {
	const struct vhost_buf *buf;
	uint32_t used; /* of it */
};

static inline void cursor_put(struct out_cursor *c, const uint8_t *src,
			      uint32_t len)
{
	while (len) {
		uint32_t n = c->buf->len - c->used;

		if (!n) {
			c->buf++;
			c->used = 0;
			continue;
		}
		n = n < len ? n : len;
		copy_bytes(c->buf->ptr + c->used, src, n);
		c->used += n;
		src += n;
		len -= n;
	}
}

/* Writes one packet to its chains and says how long each has become. */
static void write_any(struct out *o, struct out_any *a,
		      const struct out_packet *p, const struct batch *b)
{
	struct offload off = { 0 };
	struct out_cursor c = { &a->buf[p->buf0], 0 };
	const struct seg *seg = &b->seg[b->seg0[p->i]];
	uint32_t left = o->r->hdr_len + b->len[p->i];
	uint8_t hdr[VNET_HDR_LEN_BUFFERS];

	if (b->offloads)
		off = b->off[p->i];
	/* A guest that did not ask for it is told nothing of checksums. */
	if (!(o->r->takes & OFFLOAD_CAP_CSUM))
		off.flags = 0;
	vnet_hdr_write(hdr, sizeof(hdr), &off);
	vnet_hdr_put16(hdr + VNET_HDR_LEN, p->n_chains);
	cursor_put(&c, hdr, o->r->hdr_len);
	cursor_put(&c, b->hdr[p->i], b->hdr_len[p->i]);
	for (unsigned s = 0; s < b->n_seg[p->i]; s++) {
		fetch_lines(c.buf->ptr + c.used, c.buf->len - c.used, true);
		if (s + 1 < b->n_seg[p->i])
			fetch_lines(seg[s + 1].ptr, seg[s + 1].len, false);
		cursor_put(&c, seg[s].ptr, seg[s].len);
	}
	for (unsigned k = 0; k < p->n_chains; k++) {
		struct vhost_chain *chain = &a->chain[p->chain0 + k];

		chain->written = chain->len < left ? chain->len : left;
		left -= chain->written;
	}
	if (__builtin_expect(!o->r->log, 1))
		return;
	for (const struct vhost_buf *buf = &a->buf[p->buf0]; buf <= c.buf;
	     buf++)
		log_write(o->r->log, buf->gpa, buf < c.buf ? buf->len : c.used);
}

/* Gives back all chains, of a packed ring. */
static void packed_give_any(struct out *o, const struct out_any *a)
{
	struct packed_at at = o->at;

	if (o->oldest)
		packed_out_begin(o);
	for (unsigned k = 0; k < a->n_chains; k++) {
		const struct vhost_chain *c = &a->chain[k];

		if (!o->oldest)
			note_later(o, at.slot, c->taken, c->written);
		else if (k)
			packed_give(o->r, at.slot,
				    packed_used_word(c->taken.id, c->written,
						     at.wrap));
		packed_move(o->r, &at, c->taken.descs);
	}
	if (o->oldest)
		packed_show(o->r, o->at.slot,
			    packed_used_word(a->chain[0].taken.id,
					     a->chain[0].written, o->at.wrap));
}

/* Writes the used entries of all chains. */
static void give_any(struct out *o, const struct out_any *a)
{
	if (o->r->packed) {
		packed_give_any(o, a);
		return;
	}
	for (unsigned k = 0; k < a->n_chains; k++)
		split_give(o->r, o->start + k, a->chain[k].taken.id,
			   a->chain[k].written);
}

/* Delivers packets of any kind. Returns how many have been dealt with. */
static __attribute__((noinline)) unsigned tx_any(struct out *o,
						 const struct batch *b,
						 const uint16_t *list,
						 unsigned n)
{
	struct out_any a;
	uint64_t bytes = 0;

	lease_lock(&o->q->q);
	check_hint(o->q, o->r);
	n = reserve_any(o, &a, b, list, n);
	lease_unlock(&o->q->q);
	if (!a.n_packets)
		return n;
	for (unsigned k = 0; k < a.n_packets; k++) {
		write_any(o, &a, &a.packet[k], b);
		bytes += b->len[a.packet[k].i];
	}
	give_any(o, &a);
	count_add(&o->ctx->counters->packets, a.n_packets);
	count_add(&o->ctx->counters->bytes, bytes);
	out_publish(o);
	return n;
}

void HOT(vhost_tx)(struct egress *e, struct tx_ctx *ctx, const struct batch *b,
		   const uint16_t *list, unsigned n)
{
	struct vhost_queue *q = e->drv;
	struct out o = { .q = q, .r = ring_of(q), .ctx = ctx };
	bool simple = o.r && !b->multi_seg && !b->offloads && !o.r->log;
	uint32_t need = b->most > HDR_ROOM ? b->most : HDR_ROOM;
	enum drop why;

	while (o.r && n) {
		unsigned done = 0;

		if (simple)
			done = tx_simple(&o, b, list, n, need + o.r->hdr_len);
		if (!done)
			done = tx_any(&o, b, list, n);
		if (!done)
			break;
		list += done;
		n -= done;
	}
	if (__builtin_expect(!n, 1))
		return;
	why = ring_of(q) ? DROP_OUT_NO_ROOM : DROP_OUT_LINK_DOWN;
	for (unsigned k = 0; k < n; k++)
		tx_drop(ctx, list[k], why);
}
