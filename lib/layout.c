// SPDX-License-Identifier: BSD-2-Clause
// layout.c - compute and write the layout of a port's region.
#include "lib/layout.h"

#include <errno.h>
#include <net/netmap.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/error.h"

_Static_assert(2 * GLEN_RINGS_MAX * sizeof(struct nm_csb_atok) <= LAYOUT_PAGE,
	       "the CSB lines of all rings fit into a page");
_Static_assert(2 * GLEN_RINGS_MAX * sizeof(struct nm_csb_ktoa) <= LAYOUT_PAGE,
	       "the CSB lines of all rings fit into a page");

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) / align * align;
}

static int check(const struct layout *l, struct glen_error *error)
{
	if (l->rings > GLEN_RINGS_MAX)
		return error_set(error, -EINVAL,
				 "%u rings: a port has 1 to %u ring pairs",
				 l->rings, GLEN_RINGS_MAX);
	if (l->slots < GLEN_SLOTS_MIN || l->slots > GLEN_SLOTS_MAX)
		return error_set(error, -EINVAL,
				 "%u slots: a ring has %u to %u slots",
				 l->slots, GLEN_SLOTS_MIN, GLEN_SLOTS_MAX);
	if (l->buf_size < GLEN_BUF_MIN || l->buf_size > GLEN_BUF_MAX ||
	    l->buf_size % 64)
		return error_set(error, -EINVAL,
				 "buffers of %u bytes: a buffer has %u to %u "
				 "bytes, a multiple of 64",
				 l->buf_size, GLEN_BUF_MIN, GLEN_BUF_MAX);
	if (l->extra_bufs > GLEN_EXTRA_BUFS_MAX)
		return error_set(error, -EINVAL,
				 "%u extra buffers: a port has at most %u",
				 l->extra_bufs, GLEN_EXTRA_BUFS_MAX);
	return 0;
}

int layout_init(struct layout *l, uint32_t rings, uint32_t slots,
		uint32_t buf_size, uint32_t extra_bufs,
		struct glen_error *error)
{
	uint64_t end;
	int err;

	memset(l, 0, sizeof(*l));
	l->rings = rings ? rings : 1;
	l->slots = slots ? slots : 1024;
	l->buf_size = buf_size ? buf_size : 2048;
	l->extra_bufs = extra_bufs;
	err = check(l, error);
	if (err)
		return err;
	if (l->slots & (l->slots - 1))
		l->slots = 1u << (32 - __builtin_clz(l->slots));
	/* The limits checked above keep all of this below 2^37. */
	l->first_extra = LAYOUT_BUFS_RESERVED + 2 * l->rings * l->slots;
	l->n_bufs = l->first_extra + l->extra_bufs;
	l->ring_size = align_up(sizeof(struct netmap_ring) +
					(uint64_t)l->slots *
						sizeof(struct netmap_slot),
				NM_CACHE_ALIGN);
	end = LAYOUT_NIFP_OFF + sizeof(struct netmap_if) +
	      2 * l->rings * sizeof(ssize_t);
	l->rings_off = align_up(end, NM_CACHE_ALIGN);
	l->window_size = align_up(l->rings_off + 2 * l->rings * l->ring_size,
				  LAYOUT_PAGE);
	l->bufs_off = align_up(l->window_size, LAYOUT_ALIGN);
	l->bufs_size = layout_bufs_size(l->n_bufs, l->buf_size);
	l->size = l->bufs_off + l->bufs_size;
	return 0;
}

uint64_t layout_bufs_size(uint32_t n_bufs, uint32_t buf_size)
{
	return align_up((uint64_t)n_bufs * buf_size, LAYOUT_PAGE) + LAYOUT_PAGE;
}

int layout_share(struct layout *l, uint32_t n_bufs, uint64_t bufs_off,
		 struct glen_error *error)
{
	if (n_bufs <= LAYOUT_BUFS_RESERVED || bufs_off < l->window_size ||
	    bufs_off % LAYOUT_ALIGN || bufs_off > 1ULL << 32)
		return error_set(error, -EINVAL,
				 "a region of %u buffers, %llu bytes from the "
				 "port's window: that cannot be",
				 n_bufs, (unsigned long long)bufs_off);
	l->n_bufs = n_bufs;
	l->first_extra = 0;
	l->bufs_off = bufs_off;
	l->bufs_size = layout_bufs_size(n_bufs, l->buf_size);
	l->size = l->bufs_off + l->bufs_size;
	return 0;
}

static void write_ring(const struct layout *l, char *base, unsigned i, bool rx,
		       const uint32_t *ids)
{
	uint64_t off = rx ? layout_rx_ring(l, i) : layout_tx_ring(l, i);
	struct netmap_ring *ring = (void *)(base + off);
	uint32_t first = ((rx ? l->rings : 0) + i) * l->slots;

	memset(ring, 0, l->ring_size);
	ring->buf_ofs = (int64_t)(l->bufs_off - off);
	ring->num_slots = l->slots;
	ring->nr_buf_size = l->buf_size;
	ring->ringid = (uint16_t)i;
	ring->dir = rx;
	ring->offset_mask = l->offsets ? LAYOUT_OFFSET_MASK : 0;
	ring->tail = rx ? 0 : l->slots - 1;
	for (uint32_t s = 0; s < l->slots; s++)
		ring->slot[s].buf_idx = ids ? ids[first + s] :
					      LAYOUT_BUFS_RESERVED + first + s;
}

void layout_write(const struct layout *l, void *base, const char *ifname,
		  const uint32_t *ids)
{
	uint32_t extra = ids && l->extra_bufs ?
				 ids[layout_own_bufs(l) - l->extra_bufs] :
				 l->first_extra;

	struct nm_csb_atok *atok = (void *)((char *)base + LAYOUT_ATOK_OFF);
	struct nm_csb_ktoa *ktoa = (void *)((char *)base + LAYOUT_KTOA_OFF);
	struct netmap_if *nifp = (void *)((char *)base + LAYOUT_NIFP_OFF);

	memset(nifp, 0, sizeof(*nifp));
	snprintf(nifp->ni_name, sizeof(nifp->ni_name), "%s", ifname);
	nifp->ni_version = NETMAP_API;
	nifp->ni_flags = NI_PRIV_MEM;
	nifp->ni_tx_rings = l->rings;
	nifp->ni_rx_rings = l->rings;
	nifp->ni_bufs_head = l->extra_bufs ? extra : 0;
	for (unsigned i = 0; i < l->rings; i++) {
		nifp->ring_ofs[i] = (ssize_t)(layout_tx_ring(l, i) -
					      LAYOUT_NIFP_OFF);
		nifp->ring_ofs[l->rings + i] = (ssize_t)(layout_rx_ring(l, i) -
							 LAYOUT_NIFP_OFF);
		write_ring(l, base, i, false, ids);
		write_ring(l, base, i, true, ids);
	}
	memset(atok, 0, 2 * l->rings * sizeof(*atok));
	memset(ktoa, 0, 2 * l->rings * sizeof(*ktoa));
	for (unsigned i = 0; i < l->rings; i++)
		ktoa[i].hwtail = l->slots - 1;
}

/*
 * Reserves the whole range, so that the window and the buffers have the
 * distance that the rings' offsets say, and maps both into it. The buffers
 * start at a multiple of LAYOUT_ALIGN so that huge pages can back them.
 */
int layout_map(const struct layout *l, int window_fd, int bufs_fd, char **out,
	       struct glen_error *error)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
	size_t room = l->size + LAYOUT_ALIGN;
	char *all, *base;
	int err;

	all = mmap(NULL, room, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return error_set(error, -errno,
				 "cannot reserve %zu bytes of addresses: %s",
				 room, strerror(errno));
	base = (char *)(((uintptr_t)all + LAYOUT_ALIGN - 1) &
			~(uintptr_t)(LAYOUT_ALIGN - 1));
	if (mmap(base, l->window_size, prot, flags, window_fd, 0) ==
		    MAP_FAILED ||
	    mmap(base + l->bufs_off, l->bufs_size, prot, flags, bufs_fd, 0) ==
		    MAP_FAILED) {
		err = error_set(error, -errno, "cannot map the region: %s",
				strerror(errno));
		munmap(all, room);
		return err;
	}
	if (base > all)
		munmap(all, (size_t)(base - all));
	munmap(base + l->size, (size_t)(all + room - (base + l->size)));
	/* A kernel without huge pages for memfds refuses; no harm done. */
	madvise(base + l->bufs_off, l->bufs_size & ~(LAYOUT_ALIGN - 1ULL),
		MADV_HUGEPAGE);
	*out = base;
	return 0;
}
