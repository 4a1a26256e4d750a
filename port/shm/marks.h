/* SPDX-License-Identifier: BSD-2-Clause */
/* shm/marks.h - marks of packets, in the slots of ports with that option. */
#ifndef PORT_SHM_MARKS_H
#define PORT_SHM_MARKS_H
/*
 * A mark (GLEN_MARK_*, glen/module.h) is in the upper 48 bits of ptr of a
 * packet's first slot; the lower 16 say where the packet begins, if the port
 * has offsets. On the way in a mark is a number like any other that a client
 * may write: whether it means anything is up to the module. Workers; part of
 * rx_tx.c.
 */
#include "core/batch.h"
#include "lib/shm.h"
#include "port/shm/shm.h"

enum { SHM_MARK = 16 }; /* its lowest bit in ptr */

static inline uint64_t mark_of(const struct netmap_slot *slot)
{
	return shm_load64(&slot->ptr) >> SHM_MARK;
}

/* Of n packets that have one slot each, the first at r->cur. */
static __attribute__((noinline)) void take_marks(const struct shm_in *r,
						 struct batch *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		b->mark[i] = mark_of(&r->slots[(r->cur + i) & r->mask]);
	b->marks = true;
}

/* The packets' first slots, from start on, get their marks; 0 if they came
 * without. */
static __attribute__((noinline)) void put_marks(const struct shm_out *r,
						const struct batch *b,
						const uint16_t *list,
						unsigned n, uint32_t hdr_len,
						uint32_t start)
{
	for (unsigned k = 0; k < n; k++) {
		uint64_t *ptr = &r->slots[start & r->mask].ptr;
		uint64_t offset = shm_load64(ptr) & r->offset_mask;
		uint64_t mark = b->marks ? b->mark[list[k]] : 0;
		uint32_t len = b->len[list[k]] + hdr_len;

		shm_store64(ptr, mark << SHM_MARK | offset);
		start += len <= r->slot_max ? 1 : (len - 1) / r->slot_max + 1;
	}
}

#endif
