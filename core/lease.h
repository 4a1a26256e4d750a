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
 * ever waits for another worker's copy.
 *
 *   published                                      reserved
 *   |  lease 7 (oldest)  |  lease 2  |  lease 9    |
 *
 * A lease that is done and not the oldest is added to the one before it, which
 * publishes both once it is done. So only leases that are being copied are in
 * the list, one per worker at most, however long the oldest takes (its thread
 * may not be running) and however many come and go behind it.
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

enum { LEASES_MAX = 128 }; /* a multiple of 64 above WORKERS_MAX + 1 */

struct lease {
	uint32_t end;	    /* value of reserved behind it */
	uint8_t prev, next; /* older and younger lease, plus 1; 0: none */
};

/* All zero is an empty queue. What is not the lock is guarded by it. */
struct lease_queue {
	_Atomic uint32_t lock;
	uint32_t reserved;  /* entries promised */
	uint32_t published; /* entries shown to the receiver */
	uint8_t last;	    /* the youngest lease, plus 1; 0: none */
	uint64_t used[LEASES_MAX / 64]; /* bit i: lease[i] is in the list */
	struct lease lease[LEASES_MAX];
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
	unsigned word = q->used[0] == UINT64_MAX;
	unsigned id = 64 * word + __builtin_ctzll(~q->used[word]);

	q->reserved += n;
	q->lease[id] = (struct lease){ q->reserved, q->last, 0 };
	if (q->last)
		q->lease[q->last - 1].next = id + 1;
	q->last = id + 1;
	q->used[word] |= 1ULL << (id % 64);
	return id;
}

/*
 * With the lock: lease id is copied. Returns true if q->published moved; then
 * the caller shows that to the receiver before it unlocks.
 */
static inline bool lease_done(struct lease_queue *q, uint32_t id)
{
	const struct lease done = q->lease[id];

	q->used[id / 64] &= ~(1ULL << (id % 64));
	if (done.next)
		q->lease[done.next - 1].prev = done.prev;
	else
		q->last = done.prev;
	if (done.prev) {
		q->lease[done.prev - 1].next = done.next;
		q->lease[done.prev - 1].end = done.end;
		return false;
	}
	q->published = done.end;
	return true;
}

#endif
