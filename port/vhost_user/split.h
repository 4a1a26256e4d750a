/* SPDX-License-Identifier: BSD-2-Clause */
/* split.h - split virtqueues (virtio 1.2, 2.7); HOT. */
#ifndef PORT_VHOST_USER_SPLIT_H
#define PORT_VHOST_USER_SPLIT_H
/*
 * Indexes are free-running 16-bit numbers, as the guest's: avail counts chains
 * taken, used chains given back, and entry i lies at i & mask. The guest's
 * avail index is good if it is at most a ring's size ahead of ours.
 */
#include "port/vhost_user/ring.h"

static inline uint16_t *split_used_event(const struct vhost_ring *r)
{
	return &r->avail->ring[r->size];
}

static inline uint16_t *split_avail_event(const struct vhost_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

/*
 * How many chains there are, of which want would do: the guest's line is only
 * read if fewer are known of. -1: failed.
 */
static inline int split_available(struct vhost_queue *q,
				  const struct vhost_ring *r, unsigned want)
{
	uint16_t n = q->seen - q->avail;

	if (n >= want)
		return n;
	/* pairs with the guest's release of the index */
	q->seen = shm_load_acquire16(&r->avail->idx);
	n = q->seen - q->avail;
	if (__builtin_expect(n > r->size, 0)) {
		q->seen = q->avail;
		vhost_queue_fail(q, "the available index is further ahead than "
				    "the ring is long");
		return -1;
	}
	return n;
}

/* Number i of the chains ahead: its head's index in the table. */
static inline uint16_t split_head(const struct vhost_queue *q,
				  const struct vhost_ring *r, unsigned i)
{
	return shm_load16(&r->avail->ring[(q->avail + i) & r->mask]);
}

/* A table of descriptors: the ring's or an indirect one. */
static inline bool split_walk_table(struct walk *w, const uint64_t *table,
				    uint32_t n, uint32_t at)
{
	for (;;) {
		uint64_t addr, rest;
		uint16_t flags;

		if (at >= n) {
			vhost_queue_fail(w->q, "a chain of descriptors leaves "
					       "its table");
			return false;
		}
		if (w->steps++ == CHAIN_STEPS_MAX) {
			vhost_queue_fail(w->q, CHAIN_TOO_LONG);
			return false;
		}
		addr = shm_load64(&table[2 * at]);
		rest = shm_load64(&table[2 * at + 1]);
		flags = rest >> 32;
		if (flags & VRING_DESC_F_INDIRECT) {
			vhost_queue_fail(w->q, "an indirect descriptor is not "
					       "alone");
			return false;
		}
		if (!walk_buf(w, addr, desc_len(rest), flags))
			return false;
		if (!(flags & VRING_DESC_F_NEXT))
			return true;
		at = rest >> 48;
	}
}

/*
 * Reads number ahead of the chains that are available into buf[0..room). Does
 * not take it.
 */
static enum chain_status split_read(struct vhost_queue *q,
				    const struct vhost_ring *r, unsigned ahead,
				    uint16_t want, struct vhost_buf *buf,
				    unsigned room, struct vhost_chain *c)
{
	struct walk w = { q, r, buf, room, 0, want, 0, 0 };
	uint16_t head = split_head(q, r, ahead);
	const uint64_t *table = (const uint64_t *)r->desc;
	uint32_t n = r->size, at = head;

	c->taken = (struct vhost_taken){ head, 1 };
	if (head < n) {
		uint64_t addr = shm_load64(&r->desc[head].addr);
		uint64_t rest = shm_load64(&r->desc[head].rest);
		uint16_t flags = rest >> 32;

		if (flags & VRING_DESC_F_INDIRECT) {
			if (flags & VRING_DESC_F_NEXT) {
				vhost_queue_fail(q, "an indirect descriptor "
						    "is not alone");
				return CHAIN_BAD;
			}
			table = walk_table(&w, addr, desc_len(rest), &n);
			if (!table)
				return CHAIN_BAD;
			at = 0;
		} else {
			/* This one was loaded: the walk goes on behind it. */
			w.steps = 1;
			if (!walk_buf(&w, addr, desc_len(rest), flags))
				return CHAIN_BAD;
			if (!(flags & VRING_DESC_F_NEXT))
				return walk_end(&w, c);
			at = rest >> 48;
		}
	}
	if (!split_walk_table(&w, table, n, at))
		return CHAIN_BAD;
	return walk_end(&w, c);
}

/* The n used entries from at on will be written soon. */
static inline void split_used_ahead(const struct vhost_ring *r, uint32_t at,
				    unsigned n)
{
	for (unsigned i = 0; i < n; i += 64 / sizeof(r->used->ring[0]))
		__builtin_prefetch(&r->used->ring[(at + i) & r->mask], 1);
}

/* A used entry as one word; the entries are aligned to 4 bytes only. */
typedef uint64_t __attribute__((may_alias, aligned(4))) split_used_word;

/* Writes the used entry number at, which the index shows later. */
static inline void split_give(const struct vhost_ring *r, uint32_t at,
			      uint32_t id, uint32_t len)
{
	uint64_t word = id | (uint64_t)len << 32;

	*(split_used_word *)&r->used->ring[at & r->mask] = word;
}

/* The entries [old, now) of the used ring and its index are written. */
static __attribute__((noinline)) void split_log(const struct vhost_ring *r,
						uint16_t old, uint16_t now)
{
	for (uint16_t i = old; i != now; i++)
		log_ring(r->log, r->log_gpa, 4 + 8 * (i & r->mask), 8);
	log_ring(r->log, r->log_gpa, 0, 4);
}

/*
 * Shows the guest that everything up to now has been given back. True if it is
 * to be called.
 */
static inline bool split_publish(struct vhost_queue *q,
				 const struct vhost_ring *r, uint16_t now)
{
	uint16_t old = q->used;

	q->used = now;
	/* pairs with the guest's acquire of the used index */
	shm_store_release16(&r->used->idx, now);
	if (__builtin_expect(r->log != NULL, 0))
		split_log(r, old, now);
	save_indexes(q);
	/* pairs with the guest's fence behind its change of used_event or
	 * flags */
	shm_full_fence();
	if (r->event_idx)
		return passed_event(shm_load16(split_used_event(r)), now, old);
	return !(shm_load16(&r->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

/* Flags or avail_event of the used ring are written. */
static __attribute__((noinline)) void split_log_arm(const struct vhost_ring *r)
{
	log_ring(r->log, r->log_gpa, 0, 4);
	log_ring(r->log, r->log_gpa, 4 + 8 * (uint64_t)r->size, 2);
}

static inline void split_disarm(const struct vhost_ring *r)
{
	if (r->event_idx)
		return;
	shm_store16(&r->used->flags, VRING_USED_F_NO_NOTIFY);
	if (__builtin_expect(r->log != NULL, 0))
		split_log_arm(r);
}

/*
 * Asks for a kick. True if there is something to take already; then no kicks
 * are asked for (with event indexes one may come).
 */
static inline bool split_arm(struct vhost_queue *q, const struct vhost_ring *r)
{
	if (r->event_idx)
		shm_store16(split_avail_event(r), q->avail);
	else
		shm_store16(&r->used->flags, 0);
	if (__builtin_expect(r->log != NULL, 0))
		split_log_arm(r);
	/* pairs with the guest's fence behind its change of the index */
	shm_full_fence();
	if (shm_load16(&r->avail->idx) == q->avail)
		return false;
	split_disarm(r);
	return true;
}

#endif
