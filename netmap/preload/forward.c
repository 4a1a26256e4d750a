// SPDX-License-Identifier: BSD-2-Clause
// forward.c - NR_FORWARD: packets that go on between a NIC and the host.
#undef _FILE_OFFSET_BITS
#include "lib/shm.h"
#include "netmap/preload/preload.h"

/*
 * A program that has the NIC's rings and the host's may leave packets alone:
 * with NR_FORWARD in an RX ring's flags, what it releases there with NS_FORWARD
 * in the slot goes to the other side, as if it had put it into a TX ring there.
 * It is an exchange of buffers between the two slots. What finds no room, or
 * no TX ring that the open binds, is dropped, as a packet is that the program
 * releases without a word.
 */

/* The TX ring on the other side of RX ring i; NULL: not bound. */
static struct nring *other_side(struct device *d, unsigned i)
{
	const unsigned n_host = nmw_n(&d->layout, d->end, NMW_HOST_TX);
	unsigned to;

	if (i >= d->n_rx)
		to = d->n_tx ? (i - d->n_rx) % d->n_tx : DIR_RINGS;
	else
		to = n_host ? d->n_tx + i % n_host : DIR_RINGS;
	return to >= d->tx_first && to < d->tx_last ? &d->tx[to] : NULL;
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
	if (!ring_lock(tx))
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
