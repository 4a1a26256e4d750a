/* SPDX-License-Identifier: BSD-2-Clause */
/* ring.h - what the two kinds of virtqueue have in common; HOT. */
#ifndef PORT_VHOST_USER_RING_H
#define PORT_VHOST_USER_RING_H
/*
 * Descriptor chains are read into struct vhost_buf, one per descriptor that is
 * not empty; from then on split and packed virtqueues are the same.
 */
#include "core/batch.h"
#include "core/rcu.h"
#include "lib/shm.h"
#include "port/vhost_user/vhost_user.h"

enum {
	OUT_CHAINS = 384, /* of one reservation */
	OUT_BUFS = 512,
	LOG_PAGE_SHIFT = 12,
	/* Descriptors of a chain. Packets have at most PACKET_SEGS_MAX pieces;
	 * without a bound a guest could keep a worker busy with long chains. */
	CHAIN_STEPS_MAX = 256,
	RX_STEPS_MAX = 4096, /* of one batch */
};

#define CHAIN_TOO_LONG "a chain has more than 256 descriptors or no end"

/* One descriptor, checked and translated. */
struct vhost_buf {
	uint8_t *ptr;
	uint64_t gpa;
	uint32_t len;
};

/* One chain of descriptors. */
struct vhost_chain {
	struct vhost_taken taken;
	uint16_t n_bufs;
	uint16_t steps;	  /* descriptors looked at */
	uint32_t len;	  /* of all buffers; at most UINT32_MAX */
	uint32_t written; /* egress: bytes for the used entry */
};

enum chain_status {
	CHAIN_GOOD,
	CHAIN_NONE,	/* there is no more */
	CHAIN_TOO_MANY, /* more buffers than there was room for */
	CHAIN_BAD,	/* the virtqueue has been failed */
};

/* What a walk along a chain has come to. */
struct walk {
	struct vhost_queue *q;
	const struct vhost_ring *r;
	struct vhost_buf *buf; /* where to write them */
	unsigned room, n;
	uint16_t want; /* VRING_DESC_F_WRITE or 0 */
	uint64_t len;
	unsigned steps; /* descriptors looked at */
};

static inline uint32_t desc_len(uint64_t rest)
{
	return (uint32_t)rest;
}

/* Adds one descriptor that leads to a buffer. False: failed. */
static inline bool walk_buf(struct walk *w, uint64_t addr, uint32_t len,
			    uint16_t flags)
{
	uint8_t *ptr;

	if ((flags & VRING_DESC_F_WRITE) != w->want) {
		vhost_queue_fail(w->q, "a buffer is writable for the wrong "
				       "side");
		return false;
	}
	w->len += len;
	if (!len)
		return true;
	ptr = vhost_at(w->r->mem, &w->q->region, addr, len);
	if (!ptr) {
		vhost_queue_fail(w->q, "a buffer lies outside of the guest's "
				       "memory");
		return false;
	}
	if (w->n < w->room)
		w->buf[w->n] = (struct vhost_buf){ ptr, addr, len };
	w->n++;
	return true;
}

/*
 * Where an indirect table of a good size lies; NULL: failed. *n is the number
 * of its entries.
 */
static inline const uint64_t *walk_table(struct walk *w, uint64_t addr,
					 uint32_t len, uint32_t *n)
{
	uint8_t *table;

	*n = len / 16;
	if (!w->r->indirect || !len || len % 16 || *n > w->r->size) {
		vhost_queue_fail(w->q, "an indirect table has a bad size, or "
				       "was not negotiated");
		return NULL;
	}
	table = vhost_at(w->r->mem, &w->q->region, addr, len);
	if (!table || (uintptr_t)table % 8) {
		vhost_queue_fail(w->q, "an indirect table lies outside of the "
				       "guest's memory, or is not aligned");
		return NULL;
	}
	return (const uint64_t *)table;
}

/* The walk's result. */
static inline enum chain_status walk_end(const struct walk *w,
					 struct vhost_chain *c)
{
	c->len = w->len < UINT32_MAX ? w->len : UINT32_MAX;
	c->steps = w->steps;
	c->written = 0;
	if (w->n > w->room)
		return CHAIN_TOO_MANY;
	c->n_bufs = w->n;
	return CHAIN_GOOD;
}

/* The ring if it runs, else NULL. */
static inline struct vhost_ring *ring_of(struct vhost_queue *q)
{
	struct vhost_ring *r = rcu_load(&q->ring);

	if (__builtin_expect(!r || atomic_load_explicit(&q->failed,
							memory_order_relaxed),
			     0))
		return NULL;
	return r;
}

/* The hint may be of a memory map that is no more. */
static inline void check_hint(struct vhost_queue *q, const struct vhost_ring *r)
{
	if (__builtin_expect(q->region >= r->mem->n, 0))
		q->region = 0;
}

/* Marks the pages of [gpa, gpa + len) as written, which they have been. */
static inline void log_write(const struct vhost_log *log, uint64_t gpa,
			     uint64_t len)
{
	uint64_t page = gpa >> LOG_PAGE_SHIFT, last;

	if (!len || gpa + len - 1 < gpa)
		return;
	last = (gpa + len - 1) >> LOG_PAGE_SHIFT;
	/* pairs with the front end's clearing of a mark before it copies: who
	 * sees a mark sees what was written */
	for (; page <= last && page / 8 < log->size; page++)
		__atomic_fetch_or(&log->bits[page / 8], 1 << (page % 8),
				  __ATOMIC_RELEASE);
}

/* The same at an offset of something that is logged only if at is known. */
static inline void log_ring(const struct vhost_log *log, uint64_t at,
			    uint64_t off, uint64_t len)
{
	if (at != UINT64_MAX)
		log_write(log, at + off, len);
}

typedef uint64_t __attribute__((may_alias)) saved_word;

/* Keeps a record for the next glend. */
static inline void save_at(struct vhost_queue *q,
			   const struct vhost_saved_queue *at)
{
	uint64_t word;

	_Static_assert(sizeof(*at) == sizeof(word), "saved as one word");
	memcpy(&word, at, sizeof(word));
	/* A thread that is killed has done what is in front of some
	 * instruction and nothing behind it: only the compiler could have the
	 * stores around this in another order. */
	atomic_signal_fence(memory_order_seq_cst);
	__atomic_store_n((saved_word *)q->saved, word, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_seq_cst);
}

/* Keeps for the next glend how far the guest was told. */
static inline void save_indexes(struct vhost_queue *q)
{
	struct vhost_saved_queue at = vhost_queue_at(q);

	save_at(q, &at);
}

/* Virtio 1.2, 2.7.7.2: did the step from old to now pass the event? */
static inline bool passed_event(uint16_t event, uint16_t now, uint16_t old)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

void HOT(vhost_tx)(struct egress *e, struct tx_ctx *ctx, const struct batch *b,
		   const uint16_t *list, unsigned n);

#endif
