/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_user.h - netmap's macros for walking rings, in glen's words. */
#ifndef _NET_NETMAP_USER_H_
#define _NET_NETMAP_USER_H_
/*
 * All of these follow offsets inside the mapping; none checks anything. They
 * may be used by the one thread that owns the ring.
 */
#include <net/netmap.h>

#define NETMAP_OFFSET_OF_(type, ptr, offset) \
	((type)(void *)((char *)(ptr) + (offset)))

/* The netmap_if at byte offset ofs of a mapping. */
#define NETMAP_IF(base, ofs) NETMAP_OFFSET_OF_(struct netmap_if *, base, ofs)

/* TX ring i; host TX rings follow the others. */
#define NETMAP_TXRING(nifp, i) \
	NETMAP_OFFSET_OF_(struct netmap_ring *, nifp, (nifp)->ring_ofs[i])

/* RX ring i; host RX rings follow the others. */
#define NETMAP_RXRING(nifp, i)                                         \
	NETMAP_OFFSET_OF_(struct netmap_ring *, nifp,                  \
			  (nifp)->ring_ofs[(i) + (nifp)->ni_tx_rings + \
					   (nifp)->ni_host_tx_rings])

/* The buffer of index i, as seen from a ring. */
#define NETMAP_BUF(ring, i) \
	((char *)(ring) + (ring)->buf_ofs + (size_t)(i) * (ring)->nr_buf_size)

/* The index of the buffer at address b. */
#define NETMAP_BUF_IDX(ring, b)                               \
	(((char *)(b) - ((char *)(ring) + (ring)->buf_ofs)) / \
	 (ring)->nr_buf_size)

static inline uint32_t nm_ring_next(const struct netmap_ring *r, uint32_t i)
{
	return i + 1 == r->num_slots ? 0 : i + 1;
}

/* Slots in [cur, tail). */
static inline uint32_t nm_ring_space(const struct netmap_ring *r)
{
	uint32_t cur = r->cur, tail = r->tail;

	return tail >= cur ? tail - cur : tail + r->num_slots - cur;
}

static inline int nm_ring_empty(const struct netmap_ring *r)
{
	return r->head == r->tail;
}

/* TX only: true while slots that were handed over are not sent yet. */
static inline int nm_tx_pending(const struct netmap_ring *r)
{
	return nm_ring_next(r, r->tail) != r->head;
}

#endif
