/* SPDX-License-Identifier: BSD-2-Clause */
/* packed.h - packed virtqueues (virtio 1.2, 2.8); HOT. */
#ifndef PORT_VHOST_USER_PACKED_H
#define PORT_VHOST_USER_PACKED_H
/*
 * One table of descriptors for both directions. A descriptor is available if
 * its AVAIL bit is our wrap counter and its USED bit is not; it is given back
 * with both bits as our other wrap counter. avail and used are indexes of the
 * table, and a chain of n descriptors moves both by n; what is given back is
 * one descriptor, at the place of the chain's first.
 *
 * A used descriptor becomes visible with its flags, so each batch writes its
 * first one last. Of an egress ring several workers may have leases: the oldest
 * is written outright; of another one later[slot of its first descriptor] says
 * of each chain what is to be written, which whoever publishes it does. A guest
 * would not mind used descriptors behind those that it has come to. But had
 * glend died by then, nobody could tell them from what the guest has been shown
 * (resume.c).
 */
#include "port/vhost_user/ring.h"

enum {
	PACKED_AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
	PACKED_USED = 1 << VRING_PACKED_DESC_F_USED,
	PACKED_WRAP = 1 << VRING_PACKED_EVENT_F_WRAP_CTR,
};

/* A place in the table. */
struct packed_at {
	uint16_t slot;
	bool wrap;
};

static inline struct packed_at packed_avail(const struct vhost_queue *q)
{
	return (struct packed_at){ q->avail, q->avail_wrap };
}

static inline struct packed_at packed_used(const struct vhost_queue *q)
{
	return (struct packed_at){ q->used, q->used_wrap };
}

/* n is at most the ring's size. */
static inline void packed_move(const struct vhost_ring *r, struct packed_at *at,
			       uint32_t n)
{
	uint32_t slot = at->slot + n;

	if (slot >= r->size) {
		slot -= r->size;
		at->wrap = !at->wrap;
	}
	at->slot = slot;
}

/* n descriptors are taken. */
static inline void packed_take(struct vhost_queue *q,
			       const struct vhost_ring *r, uint32_t n)
{
	struct packed_at at = packed_avail(q);

	packed_move(r, &at, n);
	q->avail = at.slot;
	q->avail_wrap = at.wrap;
}

static inline bool packed_is_avail(uint64_t rest, bool wrap)
{
	uint16_t flags = rest >> 48;

	return !!(flags & PACKED_AVAIL) == wrap &&
	       !!(flags & PACKED_USED) != wrap;
}

static inline uint16_t packed_id(uint64_t rest)
{
	return rest >> 32;
}

/* The second word of a used descriptor. */
static inline uint64_t packed_used_word(uint16_t id, uint32_t len, bool wrap)
{
	uint64_t flags = wrap ? PACKED_AVAIL | PACKED_USED : 0;

	return len | (uint64_t)id << 32 | flags << 48;
}

/*
 * The buffers of an indirect table, which is one chain. DPDK's virtio-user says
 * that the header of a packet it sends is writable, so what is only read may
 * be: that hurts nobody.
 */
static bool packed_walk_table(struct walk *w, uint64_t addr, uint32_t len)
{
	uint32_t n;
	const uint64_t *table = walk_table(w, addr, len, &n);

	if (table && n > CHAIN_STEPS_MAX) {
		vhost_queue_fail(w->q, CHAIN_TOO_LONG);
		return false;
	}
	w->steps += n;
	for (uint32_t i = 0; table && i < n; i++) {
		uint64_t at = shm_load64(&table[2 * i]);
		uint64_t rest = shm_load64(&table[2 * i + 1]);
		uint16_t flags = rest >> 48;

		if (flags & VRING_DESC_F_INDIRECT) {
			vhost_queue_fail(w->q, "an indirect descriptor is not "
					       "alone");
			return false;
		}
		if (!w->want)
			flags &= ~VRING_DESC_F_WRITE;
		if (!walk_buf(w, at, desc_len(rest), flags))
			return false;
	}
	return table != NULL;
}

/*
 * Reads the chain at a place of the ring into buf[0..room). Does not take it.
 */
static enum chain_status packed_read(struct vhost_queue *q,
				     const struct vhost_ring *r,
				     struct packed_at at, uint16_t want,
				     struct vhost_buf *buf, unsigned room,
				     struct vhost_chain *c)
{
	struct walk w = { q, r, buf, room, 0, want, 0, 0 };
	/* pairs with the guest's release of the chain's first flags */
	uint64_t rest = shm_load_acquire64(&r->pdesc[at.slot].rest);
	unsigned descs = 0;
	bool good;

	if (!packed_is_avail(rest, at.wrap))
		return CHAIN_NONE;
	for (;;) {
		uint64_t addr = shm_load64(&r->pdesc[at.slot].addr);
		uint16_t flags = rest >> 48;

		w.steps++;
		descs++;
		if (flags & VRING_DESC_F_INDIRECT && descs == 1 &&
		    !(flags & VRING_DESC_F_NEXT)) {
			good = packed_walk_table(&w, addr, desc_len(rest));
		} else if (flags & VRING_DESC_F_INDIRECT) {
			vhost_queue_fail(q,
					 "an indirect descriptor is not alone");
			good = false;
		} else {
			good = walk_buf(&w, addr, desc_len(rest), flags);
		}
		if (!good)
			return CHAIN_BAD;
		if (!(flags & VRING_DESC_F_NEXT))
			break;
		if (descs >= r->size || descs >= CHAIN_STEPS_MAX) {
			vhost_queue_fail(q, CHAIN_TOO_LONG);
			return CHAIN_BAD;
		}
		packed_move(r, &at, 1);
		rest = shm_load64(&r->pdesc[at.slot].rest);
	}
	c->taken = (struct vhost_taken){ packed_id(rest), descs };
	if (c->taken.id >= r->size) {
		vhost_queue_fail(q, "a buffer's id is not below the size of "
				    "the ring");
		return CHAIN_BAD;
	}
	return walk_end(&w, c);
}

/*
 * The descriptors from one place up to another will be given back now: where
 * the next glend goes on if this one dies before it has said so itself.
 */
static inline void packed_begin(struct vhost_queue *q, struct packed_at from,
				struct packed_at to)
{
	save_at(q, &(struct vhost_saved_queue){
			   .avail = to.slot,
			   .used = from.slot,
			   .avail_wrap = to.wrap,
			   .used_wrap = from.wrap,
			   .valid = 1,
		   });
}

/* Writes a used descriptor at a place. */
static inline void packed_give(const struct vhost_ring *r, uint16_t slot,
			       uint64_t word)
{
	shm_store64(&r->pdesc[slot].rest, word);
}

/* The last one to be written, which shows them all. */
static inline void packed_show(const struct vhost_ring *r, uint16_t slot,
			       uint64_t word)
{
	/* pairs with the guest's acquire of a used descriptor's flags */
	shm_store_release64(&r->pdesc[slot].rest, word);
}

/* Everything from at on, n descriptors, was written: log it. */
static __attribute__((noinline)) void packed_log(const struct vhost_ring *r,
						 struct packed_at at,
						 uint32_t n)
{
	for (; n--; packed_move(r, &at, 1))
		log_ring(r->log, r->log_gpa, 16 * (uint64_t)at.slot, 16);
}

/*
 * What was given back has been shown: n descriptors from q->used on. True if
 * the guest is to be called.
 */
static inline bool packed_published(struct vhost_queue *q,
				    const struct vhost_ring *r, uint32_t n)
{
	struct packed_at at = packed_used(q);
	uint16_t flags, off_wrap, off;

	if (__builtin_expect(r->log != NULL, 0))
		packed_log(r, at, n);
	packed_move(r, &at, n);
	q->used = at.slot;
	q->used_wrap = at.wrap;
	save_indexes(q);
	/* pairs with the guest's fence behind its change of the event */
	shm_full_fence();
	flags = shm_load16(&r->driver_event->flags) & 3;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	off_wrap = shm_load16(&r->driver_event->off_wrap);
	off = off_wrap & (PACKED_WRAP - 1);
	if (!!(off_wrap & PACKED_WRAP) != at.wrap)
		off -= r->size;
	return passed_event(off, at.slot, at.slot - n);
}

static inline void packed_disarm(const struct vhost_ring *r)
{
	shm_store16(&r->device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	if (__builtin_expect(r->log != NULL, 0))
		log_ring(r->log, r->log_event_gpa, 0, 4);
}

/*
 * Asks for a kick. True if there is something to take already; then no kicks
 * are asked for.
 */
static inline bool packed_arm(struct vhost_queue *q, const struct vhost_ring *r)
{
	struct packed_at at = packed_avail(q);

	if (r->event_idx) {
		shm_store16(&r->device_event->off_wrap,
			    at.slot | (at.wrap ? PACKED_WRAP : 0));
		/* pairs with the guest's load of the flags */
		shm_store_release16(&r->device_event->flags,
				    VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		shm_store16(&r->device_event->flags,
			    VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	if (__builtin_expect(r->log != NULL, 0))
		log_ring(r->log, r->log_event_gpa, 0, 4);
	/* pairs with the guest's fence behind its change of a descriptor */
	shm_full_fence();
	if (!packed_is_avail(shm_load64(&r->pdesc[at.slot].rest), at.wrap))
		return false;
	packed_disarm(r);
	return true;
}

#endif
