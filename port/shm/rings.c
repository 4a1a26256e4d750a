// SPDX-License-Identifier: BSD-2-Clause
// rings.c - set up what workers need of a client's rings; wake and be woken.
#include <net/netmap.h>

#include "core/worker.h"
#include "lib/shm.h"
#include "port/shm/shm.h"

void shm_call(struct shm_peer *peer, struct nm_csb_atok *atok,
	      uint32_t called[2])
{
	peer->call(peer, atok, called);
}

void shm_woken(struct shm_peer *peer)
{
	peer->woken(peer);
}

void shm_in_init(struct shm_in *r, const struct shm_common *c,
		 const struct shm_ring *ring)
{
	r->peer = c->peer;
	r->member = c->member;
	r->slots = ring->ring->slot;
	r->atok = ring->atok;
	r->ktoa = ring->ktoa;
	r->bufs = c->bufs;
	r->saved = ring->saved;
	r->mask = ring->slots - 1;
	r->n_bufs = c->n_bufs;
	r->buf_size = c->buf_size;
	r->vnet_hdr_len = c->vnet_hdr_len;
	r->swap = c->swap;
	r->offsets = c->offsets;
	r->offset_mask = c->offset_mask;
	r->asks = c->asks;
	r->marks = c->marks;
	r->hdr_as_sent = c->hdr_as_sent;
	r->odd = slot_word(0, 0, NS_MOREFRAG);
	if (c->asks)
		r->odd |= slot_word(0, 0, NS_NO_LEARN | NS_PORT_MASK);
	r->cur = r->seen = r->saved->tx_cur & r->mask;
	/* Not a value that the client answered for an earlier glend. */
	r->arm_value = (uint32_t)worker_clock();
	shm_store32(&r->ktoa->kern_need_kick, 0);
	shm_store32(&r->ktoa->hwcur, r->cur);
	shm_store_release32(&r->ktoa->hwtail, (r->cur - 1) & r->mask);
}

void shm_out_init(struct shm_out *r, const struct shm_common *c,
		  const struct shm_ring *ring)
{
	uint32_t tail, head;

	r->peer = c->peer;
	r->slots = ring->ring->slot;
	r->atok = ring->atok;
	r->ktoa = ring->ktoa;
	r->bufs = c->bufs;
	r->saved = ring->saved;
	r->mask = ring->slots - 1;
	r->n_bufs = c->n_bufs;
	r->buf_size = c->buf_size;
	r->slot_max = c->buf_size < UINT16_MAX ? c->buf_size : UINT16_MAX;
	/* Whole blocks of 64 bytes fit behind any offset. */
	if (c->placed)
		r->slot_max = (r->slot_max - c->offset_max - c->offset_gap) &
			      ~63U;
	r->region = c->region;
	r->member = c->member->id;
	/* A packet that comes with its buffer knows of no gap. */
	r->swap = c->swap && !c->offset_gap;
	r->offsets = c->offsets;
	r->placed = c->placed;
	r->marks = c->marks;
	r->hdr_filled = c->hdr_filled;
	r->hdr_as_sent = c->hdr_as_sent;
	r->offset_max = c->offset_max;
	r->offset_mask = c->offset_mask;
	r->vnet_hdr_len = c->vnet_hdr_len;
	tail = r->saved->rx_published & r->mask;
	head = shm_load32(&r->atok->head) & r->mask;
	/* What was published and not yet given back stays the client's. */
	r->consumed = head;
	r->q.published = r->q.reserved = head + ((tail - head) & r->mask);
	shm_store32(&r->ktoa->kern_need_kick, 0);
	shm_store32(&r->ktoa->hwcur, head);
	shm_store_release32(&r->ktoa->hwtail, tail);
}
