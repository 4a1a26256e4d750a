// SPDX-License-Identifier: BSD-2-Clause
// test_abi.c - netmap's macros follow offsets (tests/netmap/abi.c: layouts).
#include "unit.h"

#include <net/netmap.h>
#include <net/netmap_user.h>

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
