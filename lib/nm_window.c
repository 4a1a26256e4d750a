// SPDX-License-Identifier: BSD-2-Clause
// nm_window.c - compute and write the window of a netmap port.
#include "lib/nm_window.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	PACKET_STEP = 2048, /* what packets begin at multiples of */
	PACKET_HEAD = 256,  /* where their first lines end */
};

_Static_assert(sizeof(struct nmw_sync) == 64, "a line per ring");
_Static_assert(NMW_LINES * sizeof(struct nm_csb_atok) <= NMW_PAGE,
	       "the CSB lines of all rings fit into a page");
_Static_assert(sizeof(struct netmap_if) + (NMW_LINES + 2) * sizeof(ssize_t) <=
		       NMW_OPEN_OFF,
	       "a netmap_if ends before the clients' part begins");
_Static_assert(NMW_OPEN_OFF + sizeof(struct nmw_open) <= NMW_NIFP_SIZE,
	       "both fit into the place of an open");

static const char *const kind_names[NMW_KINDS] = { "TX", "host TX", "RX",
						   "host RX" };

static uint32_t align_up(uint32_t value, uint32_t align)
{
	return (value + align - 1) / align * align;
}

static int check_slots(uint32_t slots, const char *what, uint32_t *rounded,
		       struct glen_error *error)
{
	if (slots < NMW_SLOTS_MIN || slots > NMW_SLOTS_MAX)
		return error_set(error, -EINVAL,
				 "%u %s slots: a ring has %u to %u slots",
				 slots, what, NMW_SLOTS_MIN, NMW_SLOTS_MAX);
	*rounded = 1u << (32 - __builtin_clz(slots - 1));
	return 0;
}

/*
 * Packets begin at multiples of 2 KiB. A processor takes a load for one that
 * depends on a store before it if they agree in the low 12 bits, so a ring's
 * header there would wait for every packet that a program writes.
 */
static uint32_t off_packets(uint32_t at)
{
	return at % PACKET_STEP < PACKET_HEAD ?
		       at - at % PACKET_STEP + PACKET_HEAD :
		       at;
}

/* Gives each ring its place. At most NMW_LINES rings of 64 KiB. */
static void place(struct nm_window *w)
{
	uint32_t at = NMW_RINGS_OFF;

	for (unsigned end = 0; end < 1u + w->pipe; end++) {
		for (unsigned k = 0; k < NMW_KINDS; k++) {
			uint32_t slots = nmw_slots(w, end, k);
			uint32_t size = sizeof(struct netmap_ring) +
					slots * sizeof(struct netmap_slot);

			for (unsigned i = 0; i < nmw_n(w, end, k); i++) {
				at = off_packets(at);
				w->ring_off[w->lines++] = at;
				at += align_up(size, NM_CACHE_ALIGN);
				w->n_bufs += slots;
			}
		}
	}
	w->size = align_up(at, NMW_PAGE);
}

int nmw_init(struct nm_window *w, const uint16_t n[NMW_KINDS],
	     uint32_t tx_slots, uint32_t rx_slots, uint32_t buf_size, bool pipe,
	     struct glen_error *error)
{
	unsigned lines = 0;
	int err;

	memset(w, 0, sizeof(*w));
	for (unsigned k = 0; k < NMW_KINDS; k++) {
		if (n[k] > NMW_RINGS_MAX)
			return error_set(error, -EINVAL,
					 "%u %s rings: a port has at most %u",
					 n[k], kind_names[k], NMW_RINGS_MAX);
		w->n[k] = n[k];
		lines += n[k] * (1 + pipe);
	}
	if (lines > NMW_LINES)
		return error_set(error, -EINVAL,
				 "%u rings: a port has at most %u of all kinds",
				 lines, NMW_LINES);
	err = check_slots(tx_slots, "TX", &w->tx_slots, error) ?:
		      check_slots(rx_slots, "RX", &w->rx_slots, error);
	if (err)
		return err;
	if (buf_size < GLEN_BUF_MIN || buf_size > GLEN_BUF_MAX || buf_size % 64)
		return error_set(error, -EINVAL,
				 "buffers of %u bytes: a buffer has %u to %u "
				 "bytes, a multiple of 64",
				 buf_size, GLEN_BUF_MIN, GLEN_BUF_MAX);
	w->buf_size = buf_size;
	w->pipe = pipe;
	place(w);
	if (w->size > NMW_WINDOW_MAX)
		return error_set(
			error, -EINVAL,
			"%u rings of %u and %u slots need %u bytes; "
			"a port's window has at most %u: ask for fewer "
			"slots or rings",
			w->lines, w->tx_slots, w->rx_slots, w->size,
			NMW_WINDOW_MAX);
	return 0;
}

unsigned nmw_line(const struct nm_window *w, unsigned end, enum nmw_kind kind,
		  unsigned i)
{
	unsigned line = 0;

	for (unsigned k = 0; end && k < NMW_KINDS; k++)
		line += nmw_n(w, 0, k);
	for (unsigned k = 0; k < kind; k++)
		line += nmw_n(w, end, k);
	return line + i;
}

static void write_ring(const struct nm_window *w, char *base, unsigned line,
		       unsigned ringid, bool rx, uint32_t slots,
		       uint64_t bufs_off, const uint32_t *ids)
{
	struct netmap_ring *ring = nmw_ring(w, base, line);

	ring->buf_ofs = (int64_t)(bufs_off - w->ring_off[line]);
	ring->num_slots = slots;
	ring->nr_buf_size = w->buf_size;
	ring->ringid = (uint16_t)ringid;
	ring->dir = rx;
	ring->head = ring->cur = 0;
	ring->tail = rx ? 0 : slots - 1;
	for (uint32_t s = 0; s < slots; s++) {
		ring->slot[s].buf_idx = ids[s];
		ring->slot[s].len = w->buf_size > UINT16_MAX ?
					    UINT16_MAX :
					    (uint16_t)w->buf_size;
	}
	nmw_atok(base, line)->appl_need_kick = 0;
	nmw_ktoa(base, line)->hwtail = ring->tail;
}

void nmw_write(const struct nm_window *w, void *base, uint64_t bufs_off,
	       const uint32_t *ids)
{
	unsigned line = 0;

	for (unsigned end = 0; end < 1u + w->pipe; end++) {
		for (unsigned k = 0; k < NMW_KINDS; k++) {
			bool host = k == NMW_HOST_TX || k == NMW_HOST_RX;
			unsigned before = host ? nmw_n(w, end, k - 1) : 0;
			uint32_t slots = nmw_slots(w, end, k);

			for (unsigned i = 0; i < nmw_n(w, end, k); i++) {
				write_ring(w, base, line++, before + i,
					   k >= NMW_RX, slots, bufs_off, ids);
				ids += slots;
			}
		}
	}
}

void nmw_wake(uint32_t *calls)
{
	int saved = errno;

	/* Pairs with the sleeper's reading it before it armed its rings. */
	__atomic_fetch_add(calls, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, calls, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

void nmw_write_open(const struct nm_window *w, void *base, unsigned open,
		    unsigned end, const char *name, const struct nmw_bind *bind,
		    uint32_t flags, uint32_t extra)
{
	uint32_t off = nmw_nifp_off(open);
	struct netmap_if *nifp = (void *)((char *)base + off);
	ssize_t *ofs;

	memset(nifp, 0, NMW_NIFP_SIZE);
	snprintf(nifp->ni_name, sizeof(nifp->ni_name), "%.15s", name);
	nifp->ni_version = NETMAP_API;
	nifp->ni_flags = flags;
	nifp->ni_tx_rings = nmw_n(w, end, NMW_TX);
	nifp->ni_rx_rings = nmw_n(w, end, NMW_RX);
	/* Programs count on one host ring of each kind, were it a fake. */
	nifp->ni_host_tx_rings = nmw_n(w, end, NMW_HOST_TX) ?: 1;
	nifp->ni_host_rx_rings = nmw_n(w, end, NMW_HOST_RX) ?: 1;
	nifp->ni_bufs_head = extra;
	ofs = nifp->ring_ofs;
	for (unsigned i = bind->tx_first; i < bind->tx_last; i++)
		ofs[i] = (ssize_t)w->ring_off[nmw_line(w, end, NMW_TX, i)] -
			 (ssize_t)off;
	ofs += nifp->ni_tx_rings + nifp->ni_host_tx_rings;
	for (unsigned i = bind->rx_first; i < bind->rx_last; i++)
		ofs[i] = (ssize_t)w->ring_off[nmw_line(w, end, NMW_RX, i)] -
			 (ssize_t)off;
}
