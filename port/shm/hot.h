/* SPDX-License-Identifier: BSD-2-Clause */
/* hot.h - what the hot files of the shared-memory driver know of each other. */
#ifndef PORT_SHM_HOT_H
#define PORT_SHM_HOT_H
#include "port/shm/shm.h"

static inline bool bad_buf(uint32_t buf, uint32_t n_bufs)
{
	return buf - LAYOUT_BUFS_RESERVED >= n_bufs - LAYOUT_BUFS_RESERVED;
}

/* hdr_len: as it was when this tx() began. */
static inline uint32_t slots_for(const struct shm_out *r, uint32_t hdr_len,
				 uint32_t len)
{
	len += hdr_len;
	return len <= r->slot_max ? 1 : (len - 1) / r->slot_max + 1;
}

/* ---- rx_tx.c */

/* With the ring's lock: how many of its slots are free. -1: the client lies
 * about what it gave back, and its port breaks. */
int HOT(shm_room)(struct egress *e, const struct tx_ctx *ctx);
/* Packets of b to slots from start on, for which there is a lease. False: the
 * client's slots lie. */
bool HOT(shm_write)(struct egress *e, const struct batch *b,
		    const uint16_t *list, unsigned n, uint32_t start,
		    uint16_t flags, uint64_t *bytes);
/* Ends a lease: the client sees its slots, or the port breaks. */
void HOT(shm_publish)(struct egress *e, struct tx_ctx *ctx, uint32_t lease);
void HOT(shm_give_up)(struct egress *e, uint32_t lease);
/* Drops packets that need more slots than a packet may have; the others go to
 * out. Returns their number. */
unsigned HOT(shm_drop_long)(struct shm_out *r, struct tx_ctx *ctx,
			    const struct batch *b, uint16_t *out,
			    const uint16_t *list, unsigned n, uint32_t hdr_len);

/* ---- watch.c: monitors. worker: whose counters are used. */

/* Copies packets to the monitors from first to before last. */
void HOT(shm_watch_copy)(const struct shm_watch *watch, unsigned first,
			 unsigned last, unsigned worker, const struct batch *b,
			 const uint16_t *list, unsigned n, uint16_t flags);
/* A batch was taken out of a TX ring, whose slots are not yet given back. */
void HOT(shm_watch_sent)(struct ingress *in, const struct shm_watch *watch,
			 const struct batch *b);

/* Slots whose packets somebody is done with. */
struct shm_done {
	struct netmap_slot *slots;
	uint32_t mask, at, n;
	uint16_t flags; /* that monitors see besides */
	uint32_t n_bufs, buf_size;
	uint8_t *bufs;
};

/*
 * Zero-copy monitors get the whole ones of these packets, with their buffers.
 * Returns how many slots that are; those behind have to wait. With the lock of
 * the ring.
 */
uint32_t HOT(shm_watch_done)(const struct shm_watch *watch, unsigned worker,
			     const struct shm_done *done);

#endif
