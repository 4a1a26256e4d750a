/* SPDX-License-Identifier: BSD-2-Clause */
/* layout.h - where everything lies in a port's region. */
#ifndef LIB_LAYOUT_H
#define LIB_LAYOUT_H
/*
 * Theory of operation
 *
 * A region is an address layout made of windows, not one file:
 *
 *   0                 bufs_off                        size
 *   | window | hole.. | buffers of the whole group    |
 *
 * A window is a memfd that one port's client and glend map. In it:
 *
 *   page 0            CSB atok: one line per ring, TX first; client writes
 *   page 1            CSB ktoa: the same;                    glend writes
 *   page 2 ..         netmap_if, then TX rings, then RX rings; slots are
 *                     written by whoever holds them
 *
 * Buffers are another memfd, of n_bufs times buf_size bytes and one spare page
 * so that a 64-byte load from the last buffer stays inside. Buffers 0 and 1
 * are reserved as in netmap. TX ring r's slot i starts with buffer
 * 2 + r * slots + i; RX rings follow, then the extra buffers.
 *
 * Where several ports share a region (core/region.h), each window has a place
 * of its own in front of the buffers, and slots may name any of those.
 *
 * Both sides compute the layout with layout_init() from the same few numbers;
 * neither reads it from shared memory.
 */
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"

enum {
	LAYOUT_OFFSET_MASK = 0xffff, /* of a ring with offsets */
	LAYOUT_PAGE = 4096,
	LAYOUT_ATOK_OFF = 0,
	LAYOUT_KTOA_OFF = LAYOUT_PAGE,
	LAYOUT_NIFP_OFF = 2 * LAYOUT_PAGE,
	LAYOUT_BUFS_RESERVED = 2,
	LAYOUT_ALIGN = 2 << 20, /* of the buffers: a huge page may back them */
};

struct layout {
	/* Chosen. */
	uint32_t rings; /* pairs */
	uint32_t slots; /* per ring, a power of two */
	uint32_t buf_size;
	uint32_t extra_bufs;
	bool offsets; /* set after layout_init(): slot->ptr counts */
	/* Computed. */
	uint32_t n_bufs;      /* with the reserved ones */
	uint32_t first_extra; /* index of the first extra buffer; 0: the
			       * region is shared, they may be any */
	uint64_t ring_size;   /* bytes from one ring to the next */
	uint64_t rings_off;   /* of TX ring 0, from the window's start */
	uint64_t window_size;
	uint64_t bufs_off;  /* of buffer 0, from the window's start */
	uint64_t bufs_size; /* bytes of the buffers' memfd */
	uint64_t size;	    /* from the window's start to the buffers' end */
};

/*
 * Fills l from the chosen numbers (0 = default; slots are rounded up to a
 * power of two). -EINVAL with a sentence naming the value and its limits.
 */
int layout_init(struct layout *l, uint32_t rings, uint32_t slots,
		uint32_t buf_size, uint32_t extra_bufs,
		struct glen_error *error);

/* Bytes of the memfd for so many buffers. */
uint64_t layout_bufs_size(uint32_t n_bufs, uint32_t buf_size);

/*
 * The port shares a region of n_bufs buffers, the first one bufs_off behind the
 * port's window. -EINVAL if that makes no sense.
 */
int layout_share(struct layout *l, uint32_t n_bufs, uint64_t bufs_off,
		 struct glen_error *error);

/* Buffers that the port begins with: of its rings, and the extra ones. */
static inline uint32_t layout_own_bufs(const struct layout *l)
{
	return 2 * l->rings * l->slots + l->extra_bufs;
}

/* Byte offset of a ring from the window's start. */
static inline uint64_t layout_tx_ring(const struct layout *l, unsigned i)
{
	return l->rings_off + i * l->ring_size;
}

static inline uint64_t layout_rx_ring(const struct layout *l, unsigned i)
{
	return l->rings_off + (l->rings + i) * l->ring_size;
}

/*
 * Writes netmap_if, ring headers, slots and CSB lines of a fresh window at
 * base (its start). Only the maker of a window calls it. ids: the buffers of TX
 * rings, RX rings and the extra ones, layout_own_bufs() of them; NULL: those of
 * a region of one port. The list of extra buffers lies in the buffers
 * themselves: the client chains them, so that it pays for their memory; in a
 * shared region the maker does.
 */
void layout_write(const struct layout *l, void *base, const char *ifname,
		  const uint32_t *ids);

/*
 * Reserves the range of addresses from window to buffers and maps both into
 * it. The caller checked their sizes and seals, keeps both
 * descriptors, and unmaps l->size bytes at *base. -errno with a sentence.
 */
int layout_map(const struct layout *l, int window_fd, int bufs_fd, char **base,
	       struct glen_error *error);

#endif
