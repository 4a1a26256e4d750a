// SPDX-License-Identifier: BSD-2-Clause
// forward.c - NR_FORWARD: packets that go on between a NIC and the host.
#undef _FILE_OFFSET_BITS
#include "lib/shm.h"
#include "netmap/preload/lock.h"

/*
 * A program that has the NIC's rings and the host's may leave packets alone:
 * with NR_FORWARD in an RX ring's flags, what it releases there with NS_FORWARD
 * in the slot goes to the other side, as if it had put it into a TX ring there.
 * It is an exchange of buffers between the two slots. What finds no room, or
 * no TX ring, is dropped, as a packet is that the program releases without a
 * word.
 *
 * To the NIC it goes by a TX ring that the open binds: netmap wants that, too.
 * To the host it goes in any case, so a host TX ring will do that nobody binds;
 * one that another open binds is that program's, which writes it when it likes.
 */

enum { LOCK_TRIES = 10000 };

/* Has any open bound TX ring i? Glend says so in its netmap_if. */
static bool somebody_binds(const struct device *d, unsigned i)
{
	for (unsigned open = 0; open < NMW_OPENS; open++) {
		const struct netmap_if *nifp =
			(const void *)(d->window->base + nmw_nifp_off(open));

		if (__atomic_load_n(&nifp->ring_ofs[i], __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

/* The host TX ring for what RX ring i brought. */
static struct nring *to_host(struct device *d, unsigned i)
{
	const unsigned n = nmw_n(&d->layout, d->end, NMW_HOST_TX);

	for (unsigned k = 0; k < n; k++) {
		unsigned to = d->n_tx + (i + k) % n;

		if ((to >= d->tx_first && to < d->tx_last) ||
		    !somebody_binds(d, to))
			return &d->tx[to];
	}
	return NULL;
}

/* The TX ring on the other side of RX ring i; NULL: there is none. */
static struct nring *other_side(struct device *d, unsigned i)
{
	unsigned to;

	if (i < d->n_rx)
		return to_host(d, i);
	to = d->n_tx ? (i - d->n_rx) % d->n_tx : DIR_RINGS;
	return to >= d->tx_first && to < d->tx_last ? &d->tx[to] : NULL;
}

/* Other threads may forward to the same ring, and are soon done with it. */
static bool lock_soon(struct nring *r)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (ring_lock(r))
			return true;
		shm_pause();
	}
	return false;
}

/* Exchanges the buffers of two slots; the packet goes to the TX one. */
static bool exchange(const struct device *d, struct netmap_slot *rx,
		     struct netmap_slot *tx)
{
	uint64_t packet = slot_load(rx), empty = slot_load(tx);

	if (slot_buf(empty) - 2 >= d->n_bufs - 2 ||
	    slot_len(packet) > d->buf_size)
		return false;
	slot_store(tx, slot_word(slot_buf(packet), slot_len(packet),
				 (slot_flags(packet) & NS_MOREFRAG) |
					 NS_BUF_CHANGED));
	if (unlikely(d->offset_mask))
		shm_store64(&tx->ptr, shm_load64(&rx->ptr));
	slot_store(rx, slot_word(slot_buf(empty), slot_len(packet),
				 NS_BUF_CHANGED));
	return true;
}

void slots_forward(struct device *d, int fd, struct nring *rx, uint32_t from,
		   uint32_t to)
{
	struct nring *tx = other_side(d, (unsigned)(rx - d->rx));
	uint32_t head, tail;

	if (!tx)
		return;
	/* What glend took meanwhile is room, too. */
	ring_sync(d, fd, tx);
	if (!lock_soon(tx))
		return;
	head = shm_load32(&tx->ring->head);
	tail = shm_load_acquire32(&tx->ktoa->hwtail) & tx->mask;
	for (; from != to && head <= tx->mask && head != tail;
	     from = (from + 1) & rx->mask) {
		struct netmap_slot *slot = &rx->ring->slot[from];

		if (!(slot_flags(slot_load(slot)) & NS_FORWARD) ||
		    !exchange(d, slot, &tx->ring->slot[head]))
			continue;
		head = (head + 1) & tx->mask;
	}
	shm_store32(&tx->ring->head, head);
	shm_store32(&tx->ring->cur, head);
	ring_unlock(tx);
	ring_sync(d, fd, tx);
}
