/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_rig.h - the vhost driver's hot half on one virtqueue of a guest. */
#ifndef TESTS_UNIT_VHOST_RIG_H
#define TESTS_UNIT_VHOST_RIG_H
/*
 * The hot files are included, so that tests reach their static functions; what
 * they call of the cold half is replaced by the functions below, which count.
 *
 *   struct vq v;
 *   vq_open(&v, VQ_IN, &(struct vq_kind){ .packed = true, .size = 256 });
 *   ... guest_add(&v.g, ...); guest_show(&v.g);
 *   vq_rx(&v); vq_rx_done(&v);
 *   vq_close(&v);
 */
#define GLEN_ISA test
#define vhost_queue_fail vq_fail
#define vhost_queue_owe vq_owe
#define vhost_search vq_search
#define doorbell_ring vq_doorbell_ring
#include "vhost_guest.h"

#include "core/lease.h"

/* Called by who has let go of a lease queue's lock. */
static _Thread_local void (*vq_unlocked)(struct lease_queue *q);

static inline void vq_unlock(struct lease_queue *q)
{
	lease_unlock(q);
	if (vq_unlocked)
		vq_unlocked(q);
}

#define lease_unlock vq_unlock
#include "port/vhost_user/rx_tx.c"
#include "port/vhost_user/tx.c"

#include "core/engine.h"

enum vq_side { VQ_IN, VQ_OUT };

enum {
	VQ_LOG_BYTES = 256, /* 2048 pages */
	VQ_RING_GPA = 0x600000,
	VQ_EVENT_GPA = 0x700ff0,
};

struct vq_kind {
	bool packed;
	uint32_t size;
	uint16_t start;
	bool wrap_low; /* packed: the wrap counters begin as 0 */
};

/* One virtqueue, both sides of it. */
struct vq {
	struct guest g;
	struct vhost_queue q;
	struct vhost_ring r;
	_Alignas(8) struct vhost_saved_queue saved;
	struct vhost_log log;
	struct port port;
	struct ingress in;
	struct egress out;
	struct counters counters;
	struct tx_ctx ctx;
	struct batch b;
	struct vhost_later *later; /* egress: of q */
};

static struct worker vq_worker;
static struct engine vq_engine = { .workers = { &vq_worker } };
static struct vswitch vq_switch = { .engine = &vq_engine };
static _Atomic unsigned vq_rings;  /* of the doorbell */
static void (*vq_searching)(void); /* called when an address is looked up */
static void (*vq_bell)(void);	   /* what it does; NULL: only count */

void vq_fail(struct vhost_queue *q, const char *reason)
{
	const char *none = NULL;

	atomic_compare_exchange_strong(&q->failed, &none, reason);
}

void vq_owe(struct vhost_queue *q, uint8_t what)
{
	atomic_fetch_or(&q->owed, what);
}

uint8_t *vq_search(const struct vhost_mem *mem, uint32_t *hint, uint64_t gpa,
		   uint64_t len)
{
	if (vq_searching)
		vq_searching();
	for (uint32_t i = 0; i < mem->n; i++) {
		const struct vhost_region *r = &mem->region[i];

		if (gpa < r->gpa || gpa >= r->gpa + r->size ||
		    len > r->gpa + r->size - gpa)
			continue;
		*hint = i;
		return r->base + (gpa - r->gpa);
	}
	return NULL;
}

bool vq_doorbell_ring(struct doorbell *d, int fd)
{
	assert_ptr_equal(d, &vq_worker.doorbell);
	assert_int_equal(fd, 77);
	vq_rings++;
	if (vq_bell)
		vq_bell();
	return true;
}

static inline const char *vq_reason(struct vq *v)
{
	return atomic_load(&v->q.failed);
}

static inline void vq_open(struct vq *v, enum vq_side side,
			   const struct vq_kind *kind)
{
	struct vhost_saved_queue at = {
		.avail = kind->start,
		.used = kind->start,
		.avail_wrap = !kind->wrap_low,
		.used_wrap = !kind->wrap_low,
		.valid = 1,
	};

	memset(v, 0, sizeof(*v));
	guest_init(&v->g, kind->packed, kind->size, kind->start,
		   !kind->wrap_low);
	v->r = (struct vhost_ring){
		.packed = kind->packed,
		.indirect = true,
		.mergeable = true,
		.hdr_len = VHOST_HDR_LEN,
		.size = kind->size,
		.mask = kind->size - 1,
		.desc = (struct split_desc *)v->g.desc,
		.avail = (struct split_avail *)v->g.avail,
		.used = (struct split_used *)v->g.used,
		.pdesc = (struct packed_desc *)v->g.desc,
		.driver_event = (struct packed_event *)v->g.driver,
		.device_event = (struct packed_event *)v->g.device,
		.call_fd = 77,
		.mem = v->g.mem,
		.log_gpa = VQ_RING_GPA,
		.log_event_gpa = VQ_EVENT_GPA,
	};
	v->saved = at;
	v->q.saved = &v->saved;
	vhost_queue_reset(&v->q, side == VQ_OUT, &at);
	if (side == VQ_OUT) {
		v->later = calloc(kind->size, sizeof(*v->later));
		assert_non_null(v->later);
		v->q.later = v->later;
	}
	atomic_store(&v->q.ring, &v->r);
	v->port.sw = &vq_switch;
	v->in.port = &v->port;
	v->in.drv = v->out.drv = &v->q;
	v->in.counters = v->ctx.counters = &v->counters;
	v->ctx.worker = &vq_worker;
	vq_rings = 0;
}

/* The dirty log, of so many bytes. */
static inline void vq_log(struct vq *v, uint64_t bytes)
{
	v->log.bits = guest_map(bytes, 0);
	v->log.size = bytes;
	v->r.log = &v->log;
}

static inline void vq_close(struct vq *v)
{
	if (v->r.log)
		guest_unmap(v->log.bits, v->log.size, 0);
	free(v->later);
	guest_fini(&v->g);
}

/* Bytes that only this packet has. */
static inline void vq_fill(uint8_t *p, uint32_t len, uint32_t seq)
{
	uint32_t x = seq * 2654435761u + 12345;

	for (uint32_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		p[i] = x >> 16;
	}
}

/* A chain with the bytes at data, cut into n pieces; returns its id. */
static inline uint16_t vq_send(struct vq *v, const uint8_t *data,
			       const uint32_t *piece, unsigned n, bool indirect)
{
	struct guest_buf buf[300];

	for (unsigned i = 0; i < n; i++) {
		buf[i] = (struct guest_buf){
			guest_alloc(&v->g, piece[i] + 1, 1),
			piece[i],
			false,
		};
		memcpy(guest_ptr(&v->g, buf[i].gpa), data, piece[i]);
		data += piece[i];
	}
	return guest_add(&v->g, buf, n, indirect);
}

/* What the core does around rx(). */
static inline unsigned vq_rx(struct vq *v)
{
	struct batch *b = &v->b;

	b->n = b->n_segs = 0;
	b->overread = b->multi_seg = b->offloads = false;
	b->slots = 0;
	return vhost_hot_test.rx(&v->in, b);
}

static inline void vq_rx_done(struct vq *v)
{
	vhost_hot_test.rx_done(&v->in, &v->b);
}

/* Copies packet i of what rx() found; returns its length. */
static inline uint32_t vq_packet(const struct vq *v, unsigned i, uint8_t *dst)
{
	const struct batch *b = &v->b;
	uint32_t len = 0;

	for (unsigned s = 0; s < b->n_seg[i]; s++) {
		const struct seg *seg = &b->seg[b->seg0[i] + s];

		assert_true(b->seg0[i] + s < b->n_segs);
		assert_true(seg->len > 0);
		memcpy(dst + len, seg->ptr, seg->len);
		len += seg->len;
	}
	if (b->identity)
		assert_int_equal(b->seg0[i], i);
	if (!b->multi_seg) {
		assert_int_equal(b->seg0[i], i);
		assert_int_equal(b->n_seg[i], 1);
	}
	assert_int_equal(len, b->len[i]);
	return len;
}

static inline void vq_batch(struct batch *b)
{
	b->n = b->n_segs = 0;
	b->most = 0;
	b->multi_seg = b->offloads = b->identity = false;
}

/*
 * Adds a packet as gather() leaves it: up to 64 bytes of private header, the
 * rest in n_seg segments (at least 1, one may be empty). data outlives b.
 */
static inline void vq_batch_add(struct batch *b, const uint8_t *data,
				uint32_t len, unsigned n_seg)
{
	uint32_t h = len < 64 ? len : 64, left = len - h;
	unsigned i = b->n++;

	memset(b->hdr[i], 0, HDR_MAX);
	memcpy(b->hdr[i], data, h);
	data += h;
	b->hdr_len[i] = h;
	b->len[i] = len;
	b->seg0[i] = b->n_segs;
	b->n_seg[i] = n_seg;
	b->multi_seg |= n_seg != 1 || b->n_segs != i;
	memset(&b->off[i], 0, sizeof(b->off[i]));
	for (unsigned s = 0; s < n_seg; s++) {
		uint32_t n = s + 1 < n_seg ? left / (n_seg - s) : left;

		b->seg[b->n_segs++] = (struct seg){ data, n, 0 };
		data += n;
		left -= n;
	}
	if (len > b->most)
		b->most = len;
}

/* Delivers all packets of the batch, in order. */
static inline void vq_tx(struct vq *v, const struct batch *b)
{
	uint16_t list[BATCH_MAX];

	for (unsigned i = 0; i < b->n; i++)
		list[i] = i;
	vhost_tx_test(&v->out, &v->ctx, b, list, b->n);
}

/*
 * Takes the chains of one packet and copies it, with its header, to flat. Says
 * with done() that the guest has its chains back. Returns its length.
 */
static inline uint32_t vq_take(struct vq *v, uint8_t *flat, uint32_t size,
			       void (*done)(const struct guest_chain *c))
{
	uint32_t total = 0, len = 0;
	unsigned n = 1;

	for (unsigned k = 0; k < n; k++) {
		struct guest_chain c = { 0 };

		assert_true(guest_take(&v->g, &c, &len));
		for (unsigned i = 0; i < c.n && len; i++) {
			uint32_t part = c.buf[i].len < len ? c.buf[i].len : len;

			assert_true(total + part <= size);
			memcpy(flat + total, guest_ptr(&v->g, c.buf[i].gpa),
			       part);
			total += part;
			len -= part;
		}
		assert_int_equal(len, 0);
		if (!k && v->r.mergeable)
			n = flat[10] | flat[11] << 8;
		done(&c);
		free(c.buf);
	}
	return total;
}

/* Both kinds of virtqueue, for tests that treat them alike. */
#define FOR_KINDS(kind, ...)                                         \
	for (struct vq_kind kind = { .packed = false, __VA_ARGS__ }, \
			    *kind##_end = NULL;                      \
	     !kind##_end;                                            \
	     kind##_end = kind.packed ? &kind : NULL, kind.packed = true)

#endif
