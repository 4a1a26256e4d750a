// SPDX-License-Identifier: BSD-2-Clause
// pipe.c - sync of pipes: the sender exchanges buffers with the other end.
#undef _FILE_OFFSET_BITS
#include "lib/shm.h"
#include "netmap/preload/lock.h"

/*
 * Our TX ring is tied to an RX ring of the other end, which lies in the same
 * window. Of its slots, those in [its hwtail, its head - 1) are free, and
 * belong to the sender, so that packets go over without glend:
 *
 *   sender    exchanges (buffer, len, flags) of its queued slots with free
 *             ones, stores the RX ring's hwtail (A), fence, looks whether the
 *             receiver sleeps
 *   receiver  reads hwtail (pairs with A), uses the slots, stores its head
 *             (B), fence, looks whether the sender sleeps
 *   sender    reads that head (pairs with B): those slots are free again
 *
 * The sender writes three indexes: its own ring's hwcur (what went over) and
 * hwtail, and the RX ring's hwtail. Of its slots it gives the program as many
 * as are free at the other end: so a full pipe pushes back, and whole packets
 * have gone over when their sync returns. Slots that find no room for all that,
 * since the other end lied, stay between hwcur and head, and go with a later
 * sync. A wake-up is one of the other end's futex, or a byte on our H, which
 * glend sends on to the other end.
 *
 * The other end may be another process and may lie: its indexes are cut to the
 * ring's size, and what buffers its slots name is checked before any use.
 */

/*
 * While somebody watches a ring of the pair, glend is the one who exchanges
 * slots: then a sender only hands over, as on other ports. nmw_sync.watched of
 * its ring says so, and is read with the ring's lock (port/shm/pump.h).
 */

enum {
	LOOK_NS = 30000,	  /* that pipe_wait() looks before it sleeps */
	NAP_NS = 20 * 1000000,	  /* of a sleep until it looks again */
	PATIENCE_NS = 1000000000, /* with glend that does nothing */
	SLOTS_PER_LINE = 4,
	AHEAD = 16, /* slots that are fetched before they are written */
};

static inline bool buf_ok(const struct device *d, uint32_t buf)
{
	return buf - 2 < d->n_bufs - 2;
}

/* A system call or two. Who is killed in between wakes twice. */
static __attribute__((noinline)) void call_peer(const struct device *d, int fd,
						struct nring *r)
{
	uint32_t *called = r->sync->called, need;

	need = nmw_asked(r->peer_atok, NMW_BY_FUTEX, called[NMW_BY_FUTEX]);
	if (need) {
		nmw_wake(nmw_calls(&d->layout, d->window->base, !d->end));
		called[NMW_BY_FUTEX] = need;
	}
	need = nmw_asked(r->peer_atok, NMW_BY_BYTE, called[NMW_BY_BYTE]);
	if (need) {
		device_kick(fd);
		called[NMW_BY_BYTE] = need;
	}
}

/* Wakes the other end if it sleeps on the ring of atok. */
static inline void wake_peer(const struct device *d, int fd, struct nring *r)
{
	uint32_t need;

	/* Pairs with the fence between ring_arm() and looking again. */
	shm_full_fence();
	/* And with the release in ring_arm(). */
	need = shm_load_acquire32(&r->peer_atok->appl_need_kick);
	if (unlikely(need && need != r->sync->kicked)) {
		call_peer(d, fd, r);
		r->sync->kicked = need;
	}
}

/* Pairs with (C) of port/shm/pump.h. */
static inline bool is_watched(const struct nring *r)
{
	return unlikely(__atomic_load_n(&r->sync->watched, __ATOMIC_SEQ_CST));
}

/* Tells glend of a new head, if it moves this pair and sleeps. After a full
 * fence, which pairs with that of pump_rx_arm(). */
static inline void wake_glend(int fd, struct nring *r)
{
	uint32_t need = shm_load32(&r->ktoa->kern_need_kick);

	if (likely(!need || need == r->sync->asked))
		return;
	device_kick(fd);
	r->sync->asked = need;
}

/* How many of the n slots from at are whole packets. */
static uint32_t whole(const struct nring *r, uint32_t at, uint32_t n)
{
	uint32_t done = 0;

	for (uint32_t i = 1; i <= n; i++, at = (at + 1) & r->mask)
		if (!(slot_flags(slot_load(&r->ring->slot[at])) & NS_MOREFRAG))
			done = i;
	return done;
}

/* Exchanges n slots; returns how many went before one was bad. */
static uint32_t exchange(const struct device *d, struct nring *r, uint32_t at,
			 uint32_t to, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *ours = &r->ring->slot[(at + i) & r->mask];
		struct netmap_slot *theirs =
			&r->peer_ring->slot[(to + i) & r->mask];
		uint64_t w = slot_load(ours), x = slot_load(theirs);
		uint64_t ptr = shm_load64(&ours->ptr);

		/* They may have changed since they were checked. */
		if (unlikely(!buf_ok(d, slot_buf(w)) ||
			     !buf_ok(d, slot_buf(x)) || !offset_ok(d, ptr, w)))
			return i;
		__builtin_prefetch(&r->peer_ring->slot[(to + i + 8) & r->mask],
				   1);
		if (unlikely(ptr != shm_load64(&theirs->ptr)))
			shm_store64(&theirs->ptr, ptr);
		slot_store(theirs, slot_word(slot_buf(w), slot_len(w),
					     (slot_flags(w) & ~NS_INDIRECT) |
						     NS_BUF_CHANGED));
		slot_store(ours,
			   slot_word(slot_buf(x), slot_len(w), NS_BUF_CHANGED));
	}
	return n;
}

/* Is a slot anything but a packet by itself that lies in its buffer, or does
 * the other one name none? Sums in place of comparisons: one branch for all.
 * last: the last buffer that counts from buffer 2. */
static inline bool odd(uint64_t w, uint64_t x, int64_t last, int64_t size)
{
	const uint64_t flags = slot_word(0, 0, NS_MOREFRAG | NS_INDIRECT);
	int64_t sign = (last - (int64_t)(slot_buf(w) - 2)) |
		       (last - (int64_t)(slot_buf(x) - 2)) |
		       (size - slot_len(w));

	return (sign < 0) | ((w & flags) != 0);
}

/* Slots that lie behind each other in both rings. */
static inline uint32_t exchange_run(const struct device *d,
				    struct netmap_slot *ours,
				    struct netmap_slot *theirs, uint32_t n)
{
	const uint64_t changed = slot_word(0, 0, NS_BUF_CHANGED);
	const int64_t last = (int64_t)d->n_bufs - 3, size = d->buf_size;

	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *a = &ours[i], *b = &theirs[i];
		uint64_t w = slot_load(a), x = slot_load(b);
		uint64_t ptr = shm_load64(&a->ptr);

		if (unlikely(odd(w, x, last, size)))
			return i;
		/* Those further on are the other end's to use. */
		if (!(i & (SLOTS_PER_LINE - 1)) && i + AHEAD < n)
			__builtin_prefetch(b + AHEAD, 1);
		if (unlikely(ptr != shm_load64(&b->ptr)))
			shm_store64(&b->ptr, ptr);
		slot_store(b, w | changed);
		slot_store(a,
			   slot_word(slot_buf(x), slot_len(w), NS_BUF_CHANGED));
	}
	return n;
}

/*
 * The same in one pass, checks included, as long as slots are packets by
 * themselves that lie in their buffers: the usual case.
 */
static uint32_t exchange_plain(const struct device *d, struct nring *r,
			       uint32_t at, uint32_t to, uint32_t n)
{
	uint32_t done = 0, run, went;

	for (uint32_t i = 0; i < n && i < AHEAD; i += SLOTS_PER_LINE)
		__builtin_prefetch(&r->peer_ring->slot[(to + i) & r->mask], 1);
	while (done < n) {
		uint32_t a = (at + done) & r->mask, b = (to + done) & r->mask;

		run = r->mask + 1 - (a > b ? a : b);
		run = run < n - done ? run : n - done;
		went = exchange_run(d, &r->ring->slot[a],
				    &r->peer_ring->slot[b], run);
		done += went;
		if (went < run)
			break;
	}
	return done;
}

/* What is queued in our ring up to head, and free in the other end's. */
struct span {
	uint32_t at, to, n;
};

static struct span span_get(const struct nring *r, uint32_t head)
{
	uint32_t at = shm_load32(&r->ktoa->hwcur) & r->mask;
	uint32_t to = shm_load32(&r->peer_ktoa->hwtail) & r->mask;
	/* Pairs with (B). */
	uint32_t peer_head = shm_load_acquire32(&r->peer_atok->head) & r->mask;
	uint32_t queued = (head - at) & r->mask;
	uint32_t room = (peer_head - to - 1) & r->mask;

	return (struct span){ at, to, queued < room ? queued : room };
}

/* Shows that n slots of a span went over. */
static void span_done(const struct device *d, int fd, struct nring *r,
		      const struct span *s, uint32_t n)
{
	uint32_t at = (s->at + n) & r->mask;

	/* (A) */
	shm_store_release32(&r->peer_ktoa->hwtail, (s->to + n) & r->mask);
	shm_store_release32(&r->ktoa->hwcur, at);
	wake_peer(d, fd, r);
}

/* Gives the program what is free at the other end. Never less than before: it
 * may have used that. Returns the tail. */
static uint32_t show_room(struct nring *r)
{
	uint32_t at = shm_load32(&r->ktoa->hwcur) & r->mask;
	uint32_t to = shm_load32(&r->peer_ktoa->hwtail) & r->mask;
	uint32_t before = shm_load32(&r->ktoa->hwtail) & r->mask;
	/* Pairs with (B). */
	uint32_t peer_head = shm_load_acquire32(&r->peer_atok->head) & r->mask;
	uint32_t tail = (at + peer_head - to - 1) & r->mask;

	if (((tail - at) & r->mask) <= ((before - at) & r->mask))
		return before;
	shm_store_release32(&r->ktoa->hwtail, tail);
	return tail;
}

/* Moves what is queued, has been checked, and finds room. */
static unsigned move(struct device *d, int fd, struct nring *r, uint32_t head)
{
	struct span s = span_get(r, head);
	uint32_t n = whole(r, s.at, s.n), done;

	if (!n)
		return 0;
	done = exchange(d, r, s.at, s.to, n);
	span_done(d, fd, r, &s, done);
	return done == n ? 0 : SYNC_REINIT;
}

/* Moves plain packets. Returns where the first slot is that was not checked;
 * those before old were. */
static uint32_t move_plain(struct device *d, int fd, struct nring *r,
			   uint32_t old, uint32_t head)
{
	struct span s = span_get(r, head);
	uint32_t n = s.n ? exchange_plain(d, r, s.at, s.to, s.n) : 0;

	if (n)
		span_done(d, fd, r, &s, n);
	return n > ((old - s.at) & r->mask) ? (s.at + n) & r->mask : old;
}

static unsigned pipe_tx(struct device *d, int fd, struct nring *r)
{
	uint32_t head = shm_load32(&r->ring->head);
	uint32_t cur = shm_load32(&r->ring->cur);
	uint32_t old = r->sync->head & r->mask;
	uint32_t tail = shm_load32(&r->ktoa->hwtail) & r->mask;
	uint32_t from = old;
	bool watched = is_watched(r);
	unsigned result = 0;

	/* Glend looks as soon as it is told of the head. */
	if (unlikely(!indexes_ok(old, head, cur, tail, r->mask)) ||
	    (unlikely(watched) && !slots_take(d, r, old, head))) {
		ring_reinit(d, r);
		return SYNC_REINIT;
	}
	/* The other end reads atok to see whether we sleep: write it if need
	 * be. */
	if (head != old) {
		shm_store32(&r->sync->head, head);
		shm_store_release32(&r->atok->head, head);
	}
	if (cur != r->sync->cur) {
		shm_store32(&r->sync->cur, cur);
		shm_store32(&r->atok->cur, cur);
	}
	if (unlikely(watched))
		from = head;
	else if (likely(!d->offset_mask))
		from = move_plain(d, fd, r, old, head);
	if (unlikely(from != head) && !slots_take(d, r, from, head)) {
		shm_store32(&r->sync->head, from);
		shm_store_release32(&r->atok->head, from);
		ring_reinit(d, r);
		return SYNC_REINIT;
	}
	if (unlikely(watched)) {
		/* Pairs with the fence of pump_rx_arm(), and that of glend
		 * between giving the pair back and looking at the head. */
		shm_full_fence();
		if (head != old)
			wake_glend(fd, r);
	}
	if (unlikely(shm_load32(&r->ktoa->hwcur) != head) && !is_watched(r))
		result = move(d, fd, r, head);
	/* Glend says itself what it took. */
	shm_store32(&r->ring->tail,
		    unlikely(watched) ?
			    shm_load_acquire32(&r->ktoa->hwtail) & r->mask :
			    show_room(r));
	return result;
}

static unsigned pipe_rx(struct device *d, int fd, struct nring *r)
{
	uint32_t head = shm_load32(&r->ring->head);
	uint32_t cur = shm_load32(&r->ring->cur);
	uint32_t old = r->sync->head & r->mask;
	/* Pairs with (A). */
	uint32_t tail = shm_load_acquire32(&r->ktoa->hwtail) & r->mask;

	if (unlikely(!indexes_ok(old, head, cur, tail, r->mask))) {
		ring_reinit(d, r);
		return SYNC_REINIT;
	}
	if (head != old) {
		shm_store32(&r->sync->head, head);
		/* (B) */
		shm_store_release32(&r->atok->head, head);
		wake_peer(d, fd, r);
		wake_glend(fd, r);
	}
	shm_store32(&r->sync->cur, cur);
	shm_store32(&r->ring->tail, tail);
	ring_stamp(r->ring);
	return 0;
}

unsigned pipe_sync(struct device *d, int fd, struct nring *r)
{
	unsigned result;

	if (unlikely(!ring_lock(r)))
		return SYNC_BUSY;
	result = r->tx ? pipe_tx(d, fd, r) : pipe_rx(d, fd, r);
	ring_unlock(r);
	return result;
}

static bool tx_is_queued(const struct nring *r)
{
	return shm_load_acquire32(&r->ktoa->hwcur) !=
	       shm_load32(&r->sync->head);
}

/* Glend has dealt with what was handed over, or leaves it to us. */
static bool dealt_with(const struct nring *r)
{
	return !is_watched(r) || shm_load_acquire32(&r->sync->looked) ==
					 shm_load32(&r->sync->turn);
}

static void wait_one(struct device *d, int fd, struct nring *r)
{
	uint64_t start = mono_ns();
	uint32_t seen;

	/* Pairs with the acquire in run_pair() of port/shm/pump.c. */
	__atomic_add_fetch(&r->sync->turn, 1, __ATOMIC_RELEASE);
	shm_full_fence();
	wake_glend(fd, r);
	while (!dealt_with(r) && mono_ns() - start < LOOK_NS)
		shm_pause();
	while (!is_dead(d) && !dealt_with(r) &&
	       mono_ns() - start < PATIENCE_NS) {
		seen = device_calls(d);
		ring_arm(r, NMW_BY_FUTEX);
		/* Pairs with the fence of port/shm/pump.c between showing what
		 * it did and looking whether to wake us. */
		shm_full_fence();
		if (dealt_with(r))
			return;
		/* A glend that is gone calls nobody, but hangs up. */
		if (!device_nap(d, seen, NAP_NS))
			sleeper_nap(fd, 0);
	}
}

void pipe_wait(struct device *d, int fd)
{
	for (unsigned i = d->tx_first; i < d->tx_last; i++) {
		if (likely(!is_watched(&d->tx[i]) || !tx_is_queued(&d->tx[i])))
			continue;
		wait_one(d, fd, &d->tx[i]);
		/* Shows the program what room there is; and who moves may have
		 * changed. */
		ring_sync(d, fd, &d->tx[i]);
	}
}
