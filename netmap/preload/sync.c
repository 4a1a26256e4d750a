// SPDX-License-Identifier: BSD-2-Clause
// sync.c - TX and RX sync of the rings that glend moves.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/lock.h"

enum {
	SPIN_MAX_NS = 30000,   /* most that NIOCTXSYNC looks before it sleeps */
	WAKE_MAX_NS = 100000,  /* the same if glend must wake up first */
	SPIN_STEP_NS = 200,    /* least that this shrinks by */
	SPIN_RETRY = 32,       /* waits without a spin before another try */
	SPIN_LOOKS = 16,       /* looks between two readings of the clock */
	NAP_NS = 20 * 1000000, /* of a sleep until it looks again */
	PATIENCE_NS = 1000000000, /* with glend that takes nothing */
};

void device_kick(int fd)
{
	char byte = 0;
	int saved = errno;

	/* EAGAIN: kicks are pending. */
	while (syscall(SYS_sendto, fd, &byte, 1L, MSG_DONTWAIT | MSG_NOSIGNAL,
		       NULL, 0L) < 0 &&
	       errno == EINTR)
		;
	errno = saved;
}

/* Is there a buffer of this number, and one that may be used? */
static inline bool buf_ok(const struct device *d, uint32_t buf)
{
	return buf - 2 < d->n_bufs - 2;
}

/* TX: what is sent is in its buffer. RX: glend may put packets there. */
static bool slot_offset_ok(const struct device *d, const struct nring *r,
			   const struct netmap_slot *slot)
{
	uint64_t ptr = shm_load64(&slot->ptr);

	return r->tx ? offset_ok(d, ptr, slot_load(slot)) :
		       (ptr & d->offset_mask) <= d->offset_max;
}

void ring_reinit(struct device *d, struct nring *r)
{
	uint32_t hwcur = r->sync->head & r->mask;
	uint32_t tail = shm_load_acquire32(&r->ktoa->hwtail) & r->mask;

	/* Only what is the user's: the rest may be changing. */
	for (uint32_t i = hwcur; i != tail; i = (i + 1) & r->mask) {
		struct netmap_slot *slot = &r->ring->slot[i];
		uint64_t w = slot_load(slot);

		if (!buf_ok(d, slot_buf(w)))
			slot_store(slot, slot_word(0, 0, slot_flags(w)));
		else if (slot_len(w) > d->buf_size)
			slot_store(slot,
				   slot_word(slot_buf(w), 0, slot_flags(w)));
		if (d->offset_mask && !slot_offset_ok(d, r, slot))
			shm_store64(&slot->ptr,
				    shm_load64(&slot->ptr) & ~d->offset_mask);
	}
	shm_store32(&r->ring->head, hwcur);
	shm_store32(&r->ring->cur, hwcur);
	shm_store32(&r->ring->tail, tail);
	say("a ring's indexes or slots made no sense; it was put back to %u",
	    hwcur);
}

/* Copies the packet of a slot from where the program has it. */
static void gather(struct device *d, struct netmap_slot *slot, uint64_t w)
{
	char *to = d->bufs + (size_t)slot_buf(w) * d->buf_size;

	/* As in netmap, a bad address makes an empty packet. */
	if (copy_in(to, shm_load64(&slot->ptr), slot_len(w)))
		slot_store(slot, slot_word(slot_buf(w), 0, slot_flags(w)));
}

/* Packets whose data is elsewhere. */
static __attribute__((noinline)) void take_indirect(struct device *d,
						    struct nring *r,
						    uint32_t from, uint32_t to)
{
	for (; from != to; from = (from + 1) & r->mask) {
		struct netmap_slot *slot = &r->ring->slot[from];
		uint64_t w = slot_load(slot);

		if (slot_flags(w) & NS_INDIRECT)
			gather(d, slot, w);
	}
}

static bool offsets_ok(const struct device *d, const struct nring *r,
		       uint32_t from, uint32_t to)
{
	for (; from != to; from = (from + 1) & r->mask)
		if (!slot_offset_ok(d, r, &r->ring->slot[from]))
			return false;
	return true;
}

/* What a look at some slots found. */
struct found {
	int64_t sign; /* negative: one names no buffer, or is too long */
	uint64_t any; /* all of their words or'd: flags */
};

/* Looks at slots that lie behind each other. Sums in place of comparisons: one
 * branch for all of them. */
static inline void look_run(const struct netmap_slot *slot, uint32_t n,
			    int64_t last, int64_t size, struct found *f)
{
#pragma GCC unroll 4
	for (uint32_t i = 0; i < n; i++) {
		uint64_t w = slot_load(&slot[i]);

		f->sign |= (last - (int64_t)(slot_buf(w) - 2)) |
			   (size - slot_len(w));
		f->any |= w;
	}
}

/* Looks at slots [from, to), of which packets have at most size bytes. */
static inline struct found look_at(const struct device *d,
				   const struct nring *r, uint32_t from,
				   uint32_t to, uint32_t size)
{
	const int64_t last = (int64_t)d->n_bufs - 3;
	struct found f = { 0 };

	if (to < from) {
		look_run(r->ring->slot, to, last, size, &f);
		to = r->mask + 1;
	}
	look_run(&r->ring->slot[from], to - from, last, size, &f);
	return f;
}

bool slots_take(struct device *d, struct nring *r, uint32_t from, uint32_t to)
{
	struct found f = look_at(d, r, from, to, d->buf_size);

	if (unlikely(f.sign < 0) ||
	    (unlikely(d->offset_mask) && !offsets_ok(d, r, from, to)))
		return false;
	/* Where there are offsets, ptr is no address. */
	if (unlikely(slot_flags(f.any) & NS_INDIRECT) && !d->offset_mask)
		take_indirect(d, r, from, to);
	return true;
}

/* Released slots must name buffers that glend can fill, where it can. */
static bool bufs_ok(const struct device *d, const struct nring *r,
		    uint32_t from, uint32_t to)
{
	/* Their lengths do not matter. */
	return look_at(d, r, from, to, UINT32_MAX).sign >= 0 &&
	       (likely(!d->offset_mask) || offsets_ok(d, r, from, to));
}

/* The last packet goes as far as it is there. */
static void end_chain(struct nring *r, uint32_t head)
{
	struct netmap_slot *last = &r->ring->slot[(head - 1) & r->mask];
	uint64_t w = slot_load(last);

	if (unlikely(slot_flags(w) & NS_MOREFRAG))
		slot_store(last, slot_word(slot_buf(w), slot_len(w),
					   slot_flags(w) & ~NS_MOREFRAG));
}

/* Hands slots over up to head, and wakes glend if it sleeps: SYNC_KICKED. */
static inline unsigned publish(int fd, struct nring *r, uint32_t head,
			       uint32_t cur)
{
	uint32_t need;

	if (cur != r->sync->cur) {
		shm_store32(&r->atok->cur, cur);
		shm_store32(&r->sync->cur, cur);
	}
	if (head == r->sync->head)
		return 0;
	/* Pairs with the acquire in port/shm's rx() and tx(). */
	shm_store_release32(&r->atok->head, head);
	shm_store32(&r->sync->head, head);
	/* Pairs with the fence of port/shm between arming and looking. */
	shm_full_fence();
	need = shm_load32(&r->ktoa->kern_need_kick);
	if (likely(!need || need == r->sync->kicked))
		return 0;
	/* In this order: who is killed in between kicks twice. */
	device_kick(fd);
	r->sync->kicked = need;
	return SYNC_KICKED;
}

void ring_stamp(struct netmap_ring *ring)
{
	struct timespec now;

	clock_gettime(ring->flags & NR_TIMESTAMP ? CLOCK_REALTIME :
						   CLOCK_REALTIME_COARSE,
		      &now);
	/* Threads of the program may read it. */
	shm_store64((uint64_t *)&ring->ts.tv_sec, (uint64_t)now.tv_sec);
	shm_store64((uint64_t *)&ring->ts.tv_usec,
		    (uint64_t)now.tv_nsec / 1000);
}

/* With the ring's lock. */
static inline unsigned sync_locked(struct device *d, int fd, struct nring *r)
{
	uint32_t head = shm_load32(&r->ring->head);
	uint32_t cur = shm_load32(&r->ring->cur);
	uint32_t old = r->sync->head & r->mask;
	uint32_t tail = shm_load_acquire32(&r->ktoa->hwtail) & r->mask;
	unsigned result;

	if (unlikely(!indexes_ok(old, head, cur, tail, r->mask))) {
		ring_reinit(d, r);
		return SYNC_REINIT;
	}
	if (head != old) {
		bool ok = r->tx ? slots_take(d, r, old, head) :
				  bufs_ok(d, r, old, head);

		if (unlikely(!ok)) {
			ring_reinit(d, r);
			return SYNC_REINIT;
		}
		if (r->tx)
			end_chain(r, head);
		else if (unlikely(d->kind == KIND_NIC &&
				  shm_load32(&r->ring->flags) & NR_FORWARD))
			slots_forward(d, fd, r, old, head);
	}
	result = publish(fd, r, head, cur);
	/* Pairs with the release of hwtail in port/shm. */
	tail = shm_load_acquire32(&r->ktoa->hwtail) & r->mask;
	shm_store32(&r->ring->tail, tail);
	if (!r->tx)
		ring_stamp(r->ring);
	return result;
}

unsigned ring_sync(struct device *d, int fd, struct nring *r)
{
	unsigned result;

	if (d->kind == KIND_PIPE)
		return pipe_sync(d, fd, r);
	if (unlikely(d->kind == KIND_NULL))
		return 0;
	if (unlikely(d->kind == KIND_MONITOR && r->tx))
		return SYNC_EIO;
	if (unlikely(!ring_lock(r)))
		return SYNC_BUSY;
	result = sync_locked(d, fd, r);
	ring_unlock(r);
	return result;
}

bool ring_ready(const struct nring *r, unsigned sync)
{
	uint32_t cur = shm_load32(&r->ring->cur);

	/* Who is inside will show the tail to the program. */
	if (unlikely(sync & SYNC_BUSY))
		return cur != (shm_load_acquire32(&r->ktoa->hwtail) & r->mask);
	return cur != shm_load32(&r->ring->tail);
}

void ring_arm(struct nring *r, enum nmw_how how)
{
	uint32_t value = __atomic_add_fetch(&r->sync->arm, 1, __ATOMIC_RELAXED);

	/* Never back to 0: somebody else may be asleep, too. */
	if (!value)
		value = __atomic_add_fetch(&r->sync->arm, 1, __ATOMIC_RELAXED);
	shm_store32(nmw_need(r->atok, how), value);
	/* Pairs with the acquire of who wakes, before nmw_asked(). */
	shm_store_release32(&r->atok->appl_need_kick, value);
}

/*
 * How many slots glend has still to take before it is at target. What a VALE
 * port's glend took is free at once: hwtail, which is stored last, follows.
 */
static uint32_t left(const struct nring *r, uint32_t target)
{
	/* Pairs with the release in port/shm. */
	return (target - 1 - shm_load_acquire32(&r->ktoa->hwtail)) & r->mask;
}

/*
 * Glend has taken what was handed over when it is at target, or beyond, if
 * other threads handed over more. *before: what was left when last seen.
 */
static bool taken(const struct nring *r, uint32_t target, uint32_t *before)
{
	uint32_t now = left(r, target);
	bool done = !now || now > *before;

	*before = now;
	return done;
}

/* Looks until glend took it all, or none of it for ns. */
static bool spin_taken(const struct nring *r, uint32_t target, uint32_t *before,
		       uint32_t ns)
{
	uint64_t start = 0, now;
	uint32_t was;

	for (;;) {
		was = *before;
		for (unsigned i = 0; i < SPIN_LOOKS; i++) {
			if (taken(r, target, before))
				return true;
			shm_pause();
		}
		now = mono_ns();
		if (!start || was != *before)
			start = now;
		if (now - start >= ns)
			return false;
	}
}

/* Sleeps until glend took it all; gives up if it takes nothing for long. */
static void sleep_taken(struct device *d, int fd, struct nring *r,
			uint32_t target, uint32_t *before)
{
	uint64_t progress = mono_ns();
	uint32_t was = *before, seen;

	while (!is_dead(d) && mono_ns() - progress < PATIENCE_NS) {
		seen = device_calls(d);
		ring_arm(r, NMW_BY_FUTEX);
		/* Pairs with the fence of port/shm between showing what it took
		 * and looking whether to wake us. */
		shm_full_fence();
		if (taken(r, target, before))
			return;
		/* A glend that is gone calls nobody, but hangs up. */
		if (!device_nap(d, seen, NAP_NS))
			sleeper_nap(fd, 0);
		if (taken(r, target, before))
			return;
		if (*before != was)
			progress = mono_ns();
		was = *before;
	}
}

/*
 * Waits until glend took what was handed over. Spinning pays where glend has
 * another core, and runs: learns from the outcome whether. That it is awake
 * and that it was woken just now are two matters, or one sleep would lead to
 * the next.
 */
static __attribute__((noinline)) void wait_taken(struct device *d, int fd,
						 struct nring *r,
						 uint32_t target, bool woken)
{
	uint32_t before = r->mask, max = woken ? WAKE_MAX_NS : SPIN_MAX_NS;
	struct spin_guess *guess = &d->spin[woken];
	uint32_t ns = shm_load32(&guess->ns), was;

	/* Threads that guess at once may forget one another's guess. */
	if (!ns) {
		was = shm_load32(&guess->skipped) + 1;
		shm_store32(&guess->skipped, was < SPIN_RETRY ? was : 0);
		ns = was < SPIN_RETRY ? 0 : max;
	}
	/* A sleep costs many times what is saved by spinning less: only a row
	 * of failures is a reason to. */
	if (spin_taken(r, target, &before, ns)) {
		shm_store32(&guess->ns, max);
		return;
	}
	ns = ns / 8 + SPIN_STEP_NS;
	was = shm_load32(&guess->ns);
	shm_store32(&guess->ns, was > ns ? was - ns : 0);
	sleep_taken(d, fd, r, target, &before);
}

/* The program sees all the room that there is. */
static bool space_shown(const struct nring *r)
{
	return ((shm_load32(&r->ktoa->hwtail) ^ shm_load32(&r->ring->tail)) &
		r->mask) == 0;
}

int device_txsync(struct device *d, int fd)
{
	unsigned woken = 0;
	uint32_t target;

	if (unlikely(!device_bound(d, fd)))
		return -ENXIO;
	if (in_csb_mode(d))
		return -EBUSY;
	if (unlikely(d->kind == KIND_MONITOR))
		return -EIO;
	for (unsigned i = d->tx_first; i < d->tx_last; i++)
		woken |= ring_sync(d, fd, &d->tx[i]) & SYNC_KICKED;
	if (d->kind == KIND_PIPE)
		pipe_wait(d, fd);
	if (d->kind != KIND_VALE)
		return 0;
	for (unsigned i = d->tx_first; i < d->tx_last; i++) {
		struct nring *r = &d->tx[i];

		target = shm_load32(&r->sync->head);
		if (left(r, target))
			wait_taken(d, fd, r, target, woken);
		else if (space_shown(r))
			continue;
		if (ring_lock(r)) {
			/* Pairs with the release of hwtail in port/shm. */
			shm_store32(&r->ring->tail,
				    shm_load_acquire32(&r->ktoa->hwtail) &
					    r->mask);
			ring_unlock(r);
		}
	}
	return 0;
}

int device_rxsync(struct device *d, int fd)
{
	if (unlikely(!device_bound(d, fd)))
		return -ENXIO;
	if (in_csb_mode(d))
		return -EBUSY;
	for (unsigned i = d->rx_first; i < d->rx_last; i++)
		ring_sync(d, fd, &d->rx[i]);
	return 0;
}
