// SPDX-License-Identifier: BSD-2-Clause
// test_abi.c - every offset and number of netmap's shared memory, API 14.
#include "unit.h"

#include <net/netmap.h>
#include <net/netmap_user.h>

#define OFF(type, member, off)                                 \
	_Static_assert(offsetof(struct type, member) == (off), \
		       #type "." #member " is at " #off)
#define SIZE(type, member, size)                                     \
	_Static_assert(sizeof(((struct type *)0)->member) == (size), \
		       #type "." #member " has " #size " bytes")
#define FIELD(type, member, off, size) \
	OFF(type, member, off);        \
	SIZE(type, member, size)
#define TYPE(type, size, align)                          \
	_Static_assert(sizeof(struct type) == (size),    \
		       #type " has " #size " bytes");    \
	_Static_assert(_Alignof(struct type) == (align), \
		       #type " is aligned to " #align)

TYPE(netmap_slot, 16, 8);
FIELD(netmap_slot, buf_idx, 0, 4);
FIELD(netmap_slot, len, 4, 2);
FIELD(netmap_slot, flags, 6, 2);
FIELD(netmap_slot, ptr, 8, 8);

TYPE(netmap_ring, 256, 128);
FIELD(netmap_ring, buf_ofs, 0, 8);
FIELD(netmap_ring, num_slots, 8, 4);
FIELD(netmap_ring, nr_buf_size, 12, 4);
FIELD(netmap_ring, ringid, 16, 2);
FIELD(netmap_ring, dir, 18, 2);
FIELD(netmap_ring, head, 20, 4);
FIELD(netmap_ring, cur, 24, 4);
FIELD(netmap_ring, tail, 28, 4);
FIELD(netmap_ring, flags, 32, 4);
FIELD(netmap_ring, ts, 40, 16);
FIELD(netmap_ring, offset_mask, 56, 8);
FIELD(netmap_ring, buf_align, 64, 8);
FIELD(netmap_ring, sem, 128, 128);
OFF(netmap_ring, slot, 256);

TYPE(netmap_if, 56, 8);
FIELD(netmap_if, ni_name, 0, 16);
FIELD(netmap_if, ni_version, 16, 4);
FIELD(netmap_if, ni_flags, 20, 4);
FIELD(netmap_if, ni_tx_rings, 24, 4);
FIELD(netmap_if, ni_rx_rings, 28, 4);
FIELD(netmap_if, ni_bufs_head, 32, 4);
FIELD(netmap_if, ni_host_tx_rings, 36, 4);
FIELD(netmap_if, ni_host_rx_rings, 40, 4);
FIELD(netmap_if, ni_spare1, 44, 12);
OFF(netmap_if, ring_ofs, 56);
_Static_assert(sizeof(((struct netmap_if *)0)->ring_ofs[0]) == 8,
	       "ring offsets have 8 bytes");

TYPE(nm_csb_atok, 64, 4);
FIELD(nm_csb_atok, head, 0, 4);
FIELD(nm_csb_atok, cur, 4, 4);
FIELD(nm_csb_atok, appl_need_kick, 8, 4);
FIELD(nm_csb_atok, sync_flags, 12, 4);

TYPE(nm_csb_ktoa, 64, 4);
FIELD(nm_csb_ktoa, hwcur, 0, 4);
FIELD(nm_csb_ktoa, hwtail, 4, 4);
FIELD(nm_csb_ktoa, kern_need_kick, 8, 4);

_Static_assert(NETMAP_API == 14 && NETMAP_MIN_API == 14 && NETMAP_MAX_API == 15,
	       "API versions");
_Static_assert(NM_CACHE_ALIGN == 128 && NETMAP_MAX_FRAGS == 64, "limits");
_Static_assert(NS_BUF_CHANGED == 1 && NS_REPORT == 2 && NS_FORWARD == 4 &&
		       NS_NO_LEARN == 8 && NS_INDIRECT == 16 &&
		       NS_MOREFRAG == 32 && NS_TXMON == 64,
	       "slot flags");
_Static_assert(NS_PORT_SHIFT == 8 && NS_PORT_MASK == 0xff00, "slot flags");
_Static_assert(NR_TIMESTAMP == 2 && NR_FORWARD == 4, "ring flags");
_Static_assert(NI_PRIV_MEM == 1, "interface flags");

/* A netmap_if with two TX, one host TX, two RX and one host RX ring. */
static struct {
	union {
		struct netmap_if nif;
		char room[56 + 6 * sizeof(ssize_t)];
	};
	struct {
		_Alignas(128) char bytes[256 + 8 * 16];
	} ring[6];
	char bufs[16][64];
} region;

static void macros_follow_offsets(void **state)
{
	struct netmap_if *nifp = NETMAP_IF(&region, 0);

	nifp->ni_tx_rings = nifp->ni_rx_rings = 2;
	nifp->ni_host_tx_rings = nifp->ni_host_rx_rings = 1;
	for (int i = 0; i < 6; i++)
		nifp->ring_ofs[i] = (char *)&region.ring[i] - (char *)nifp;
	assert_ptr_equal(NETMAP_TXRING(nifp, 0), &region.ring[0]);
	assert_ptr_equal(NETMAP_TXRING(nifp, 1), &region.ring[1]);
	assert_ptr_equal(NETMAP_TXRING(nifp, 2), &region.ring[2]);
	assert_ptr_equal(NETMAP_RXRING(nifp, 0), &region.ring[3]);
	assert_ptr_equal(NETMAP_RXRING(nifp, 1), &region.ring[4]);
	assert_ptr_equal(NETMAP_RXRING(nifp, 2), &region.ring[5]);
}

static void macros_find_buffers(void **state)
{
	struct netmap_ring *ring = (void *)&region.ring[1];

	ring->buf_ofs = &region.bufs[0][0] - (char *)ring;
	ring->nr_buf_size = 64;
	assert_ptr_equal(NETMAP_BUF(ring, 0), region.bufs[0]);
	assert_ptr_equal(NETMAP_BUF(ring, 15), region.bufs[15]);
	assert_int_equal(NETMAP_BUF_IDX(ring, region.bufs[7]), 7);
}

static void macros_count_slots(void **state)
{
	struct netmap_ring *ring = (void *)&region.ring[2];

	ring->num_slots = 8;
	ring->head = ring->cur = 6;
	ring->tail = 2;
	assert_int_equal(nm_ring_space(ring), 4);
	assert_int_equal(nm_ring_next(ring, 6), 7);
	assert_int_equal(nm_ring_next(ring, 7), 0);
	assert_false(nm_ring_empty(ring));
	assert_true(nm_tx_pending(ring));
	ring->tail = 5; /* all slots but one are free */
	assert_false(nm_tx_pending(ring));
	assert_int_equal(nm_ring_space(ring), 7);
	ring->head = ring->cur = 5;
	assert_true(nm_ring_empty(ring));
	assert_int_equal(nm_ring_space(ring), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(macros_follow_offsets),
		cmocka_unit_test(macros_find_buffers),
		cmocka_unit_test(macros_count_slots),
	};

	return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
