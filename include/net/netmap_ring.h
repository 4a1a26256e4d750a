/* SPDX-License-Identifier: BSD-2-Clause */
/* net/netmap_ring.h - netmap's macros for walking rings, and no others. */
#ifndef NET_NETMAP_RING_H
#define NET_NETMAP_RING_H
/*
 * All of these follow offsets inside the mapping; none checks anything. They
 * may be used by the one thread that owns the ring. They are apart from
 * net/netmap_user.h because that file also defines macros with names as short
 * as D, which glen/glen.h must not bring into a program.
 */
#include <stddef.h>

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

/* Offset of a slot's packet in its buffer; 0 without the option OFFSETS. */
#define NETMAP_ROFFSET(ring, slot) ((slot)->ptr & (ring)->offset_mask)

/* Sets that offset and leaves the other bits of ptr alone. */
#define NETMAP_WOFFSET(ring, slot, offset)                                \
	do {                                                              \
		(slot)->ptr = ((slot)->ptr & ~(ring)->offset_mask) |      \
			      ((uint64_t)(offset) & (ring)->offset_mask); \
	} while (0)

/* Where a slot's packet begins. */
#define NETMAP_BUF_OFFSET(ring, slot) \
	(NETMAP_BUF(ring, (slot)->buf_idx) + NETMAP_ROFFSET(ring, slot))

/* The index after i. */
static inline uint32_t nm_ring_next(const struct netmap_ring *r, uint32_t i)
{
	return i + 1 == r->num_slots ? 0 : i + 1;
}

/* Slots that belong to the program: in [head, tail). */
static inline uint32_t nm_ring_space(const struct netmap_ring *r)
{
	uint32_t head = r->head, tail = r->tail;

	return tail >= head ? tail - head : tail + r->num_slots - head;
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
