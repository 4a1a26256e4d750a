// SPDX-License-Identifier: BSD-2-Clause
// resume.c - where a packed virtqueue goes on after glend has died.
#include "lib/shm.h"
#include "port/vhost_user/session.h"

/*
 * The front end cannot know how far a packed virtqueue is; the record in the
 * state file (vhost_user.h, "Order") does. If it was written in the middle of
 * giving back a batch, the first descriptor of that batch is either as the
 * guest made it, and then the guest has seen nothing of the batch, or else it
 * has all of it and may be using the place anew.
 *
 * What was not shown is finished. Those descriptors of the batch that were
 * written already cannot be taken again, for the guest's words in them are
 * gone. So:
 *
 *   - a batch that came from the guest had been delivered; it is given back;
 *   - one for the guest is given back empty (length 0, which drivers count as
 *     a packet that is too short): the lengths that were to be told are not
 *     known any more, and half of a packet in several buffers must not arrive.
 *     If none of it had been written, it is taken again instead.
 *
 * A chain that has been written does not say any more how many descriptors it
 * had. Those behind its first look like chains of their own, which end where it
 * ended, and are marked as used as well: the guest does not look at them, since
 * it knows the chain's length.
 */

static uint16_t flags_of(uint64_t rest)
{
	return rest >> 48;
}

static bool has_bit(uint64_t rest, unsigned bit)
{
	return flags_of(rest) >> bit & 1;
}

static uint64_t load(const struct vhost_ring *r, uint16_t slot)
{
	/* pairs with the guest's release of a descriptor's flags */
	return shm_load_acquire64(&r->pdesc[slot].rest);
}

/* As the guest made it available in the lap of that wrap counter. */
static bool is_ours(uint64_t rest, bool wrap)
{
	return has_bit(rest, VRING_PACKED_DESC_F_AVAIL) == wrap &&
	       has_bit(rest, VRING_PACKED_DESC_F_USED) != wrap;
}

/* Given back in that lap. */
static bool is_given(uint64_t rest, bool wrap)
{
	return has_bit(rest, VRING_PACKED_DESC_F_AVAIL) == wrap &&
	       has_bit(rest, VRING_PACKED_DESC_F_USED) == wrap;
}

/*
 * A ring that is new is zero where nothing was offered yet, and elsewhere the
 * USED bit is not set. Later on it looks like that only if all of it has been
 * offered in a lap of the wrap counter 1. Then we are at its beginning as well,
 * or, if there begins only the rest of a chain, behind that; of this one case
 * we cannot tell that the ring is not new.
 */
bool vhost_packed_is_worn(const struct vhost_ring *r)
{
	for (unsigned i = 0; i < r->size; i++) {
		uint64_t rest = load(r, i);

		if (has_bit(rest, VRING_PACKED_DESC_F_USED) ||
		    (!has_bit(rest, VRING_PACKED_DESC_F_AVAIL) &&
		     (rest || shm_load64(&r->pdesc[i].addr))))
			return true;
	}
	return false;
}

bool vhost_packed_is_next(const struct vhost_ring *r,
			  const struct vhost_saved_queue *at)
{
	return at->used < r->size &&
	       !is_given(load(r, at->used), at->used_wrap);
}

struct place {
	uint16_t slot;
	bool wrap;
};

static void step(const struct vhost_ring *r, struct place *p)
{
	if (++p->slot < r->size)
		return;
	p->slot = 0;
	p->wrap = !p->wrap;
}

static void log_desc(const struct vhost_ring *r, uint16_t slot)
{
	uint64_t page = (r->log_gpa + 16 * (uint64_t)slot) >> 12;

	if (r->log && r->log_gpa != UINT64_MAX && page / 8 < r->log->size)
		__atomic_fetch_or(&r->log->bits[page / 8], 1 << page % 8,
				  __ATOMIC_RELEASE);
}

/* The second word of a descriptor that is given back empty. */
static uint64_t empty(uint64_t rest, bool wrap)
{
	uint64_t both = 1 << VRING_PACKED_DESC_F_AVAIL |
			1 << VRING_PACKED_DESC_F_USED;
	uint64_t id = rest & 0xffff00000000;

	return id | (wrap ? both << 48 : 0);
}

/*
 * Gives back the chain at *p, of at most left descriptors, but for showing it:
 * *word is what does that, and *p is behind it. Returns how many it has.
 */
static uint32_t finish_chain(const struct vhost_ring *r, struct place *p,
			     uint32_t left, uint64_t *word)
{
	bool wrap = p->wrap;
	uint64_t rest = load(r, p->slot);
	uint32_t n = 1;

	step(r, p);
	if (is_ours(rest, wrap)) {
		for (; flags_of(rest) & VRING_DESC_F_NEXT && n < left; n++) {
			rest = load(r, p->slot);
			step(r, p);
		}
	}
	*word = empty(rest, wrap);
	return n;
}

/* n descriptors from first on, none of which the guest has been shown. */
static void finish(const struct vhost_ring *r, struct place first, uint32_t n)
{
	struct place p = first, head;
	uint64_t word, show;

	n -= finish_chain(r, &p, n, &show);
	while (n) {
		head = p;
		n -= finish_chain(r, &p, n, &word);
		shm_store64(&r->pdesc[head.slot].rest, word);
		log_desc(r, head.slot);
	}
	/* pairs with the guest's acquire of a used descriptor's flags */
	shm_store_release64(&r->pdesc[first.slot].rest, show);
	log_desc(r, first.slot);
}

/*
 * How many of n descriptors from a place on have been given back; more than n:
 * the guest has changed some, which an honest one would not.
 */
static uint32_t count_given(const struct vhost_ring *r, struct place p,
			    uint32_t n)
{
	uint32_t given = 0;

	for (uint32_t i = 0; i < n; i++, step(r, &p)) {
		uint64_t rest = load(r, p.slot);

		if (is_given(rest, p.wrap))
			given++;
		else if (!is_ours(rest, p.wrap))
			return n + 1;
	}
	return given;
}

bool vhost_packed_resume(const struct vhost_ring *r,
			 const struct vhost_saved_queue *saved, bool egress,
			 struct vhost_saved_queue *at)
{
	struct place first = { saved->used, saved->used_wrap };
	bool lap = saved->avail_wrap != saved->used_wrap, shown;
	uint32_t n = saved->avail + (lap ? r->size : 0) - saved->used, given;

	if (saved->used >= r->size || saved->avail >= r->size || n > r->size)
		return false;
	*at = *saved;
	if (!vhost_packed_is_worn(r)) {
		/* Where new rings begin, or the guest has made it anew. */
		at->avail = at->used = 0;
		at->avail_wrap = at->used_wrap = 1;
		return (!saved->used && saved->used_wrap) ||
		       (!saved->avail && saved->avail_wrap);
	}
	at->used = saved->avail;
	at->used_wrap = saved->avail_wrap;
	shown = !is_ours(load(r, first.slot), first.wrap);
	if (n && !shown) {
		given = count_given(r, first, n);
		if (given > n)
			return false;
		if (egress && !given) {
			at->avail = at->used = saved->used;
			at->avail_wrap = at->used_wrap = saved->used_wrap;
		} else {
			finish(r, first, n);
		}
	}
	return vhost_packed_is_next(r, at);
}
