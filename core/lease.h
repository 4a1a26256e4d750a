/* SPDX-License-Identifier: BSD-2-Clause */
/* lease.h - reserve ring room, copy with nothing held, publish in order. */
#ifndef CORE_LEASE_H
#define CORE_LEASE_H
/*
 * Theory of operation (mSwitch, SOSR 2015, section 4; VALE's leases)
 *
 * Several workers deliver into one egress ring. Each
 *
 *   1. takes the lock, sees how much room there is, and takes a lease of n
 *      entries (lease_take); releases the lock;
 *   2. copies, holding nothing;
 *   3. takes the lock and marks its lease done (lease_done): if it was the
 *      oldest, all done leases in front become published.
 *
 * So entries are published in the order in which they were reserved, and nobody
 * ever waits for another worker's copy. A worker has one lease per ring at a
 * time, so there are never more than LEASES_MAX of them.
 *
 * reserved and published count entries, free-running; the ring's size and how
 * to learn what the receiver gave back are the driver's.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LEASES_MAX = 128 }; /* a power of two above WORKERS_MAX + 1 */

struct lease_queue {
	_Atomic uint32_t lock;
	uint32_t reserved;  /* entries promised; guarded by lock */
	uint32_t published; /* entries shown to the receiver; likewise */
	uint32_t first;	    /* oldest lease; likewise */
	uint32_t next;	    /* next lease to give out; likewise */
	struct {
		uint32_t end; /* reserved after this lease */
		bool done;
	} lease[LEASES_MAX];
};

static inline void lease_lock(struct lease_queue *q)
{
	/* pairs with lease_unlock() */
	while (atomic_exchange_explicit(&q->lock, 1, memory_order_acquire))
		while (atomic_load_explicit(&q->lock, memory_order_relaxed)) {
#if defined(__x86_64__)
			_mm_pause();
#else
			__asm__ __volatile__("yield" ::: "memory");
#endif
		}
}

static inline void lease_unlock(struct lease_queue *q)
{
	atomic_store_explicit(&q->lock, 0, memory_order_release);
}

/* With the lock: promises n entries from q->reserved on. */
static inline uint32_t lease_take(struct lease_queue *q, uint32_t n)
{
	uint32_t id = q->next++;

	q->reserved += n;
	q->lease[id % LEASES_MAX].end = q->reserved;
	q->lease[id % LEASES_MAX].done = false;
	return id;
}

/*
 * With the lock: lease id is copied. Returns true if q->published moved; then
 * the caller shows that to the receiver before it unlocks.
 */
static inline bool lease_done(struct lease_queue *q, uint32_t id)
{
	bool moved = false;

	q->lease[id % LEASES_MAX].done = true;
	while (q->first != q->next && q->lease[q->first % LEASES_MAX].done) {
		q->published = q->lease[q->first % LEASES_MAX].end;
		q->first++;
		moved = true;
	}
	return moved;
}

#endif
