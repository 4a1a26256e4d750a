// SPDX-License-Identifier: BSD-2-Clause
// test_layout.c - regions: limits, sizes, and that nothing overlaps.
#include "unit.h"

#include <errno.h>
#include <net/netmap_ring.h>
#include <stdlib.h>
#include <string.h>

#include "lib/layout.h"

static void has_defaults(void **state)
{
	struct layout l;

	assert_int_equal(layout_init(&l, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(l.rings, 1);
	assert_int_equal(l.slots, 1024);
	assert_int_equal(l.buf_size, 2048);
	assert_int_equal(l.n_bufs, 2 + 2 * 1024);
}

static void rounds_slots_up(void **state)
{
	struct layout l;

	assert_int_equal(layout_init(&l, 1, 17, 0, 0, NULL), 0);
	assert_int_equal(l.slots, 32);
	assert_int_equal(layout_init(&l, 1, 2049, 0, 0, NULL), 0);
	assert_int_equal(l.slots, 4096);
	assert_int_equal(layout_init(&l, 1, 4096, 0, 0, NULL), 0);
	assert_int_equal(l.slots, 4096);
	assert_int_equal(layout_init(&l, 1, 16, 0, 0, NULL), 0);
	assert_int_equal(l.slots, 16);
}

static void refuses(uint32_t rings, uint32_t slots, uint32_t buf_size,
		    uint32_t extra_bufs, const char *named)
{
	struct glen_error error = { 0 };
	struct layout l;

	assert_int_equal(layout_init(&l, rings, slots, buf_size, extra_bufs,
				     &error),
			 -EINVAL);
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.text, named));
}

static void refuses_what_is_outside(void **state)
{
	refuses(17, 0, 0, 0, "17 rings");
	refuses(UINT32_MAX, 0, 0, 0, "4294967295 rings");
	refuses(0, 15, 0, 0, "15 slots");
	refuses(0, 4097, 0, 0, "4097 slots");
	refuses(0, UINT32_MAX, 0, 0, "4294967295 slots");
	refuses(0, 0, 63, 0, "63 bytes");
	refuses(0, 0, 100, 0, "100 bytes");
	refuses(0, 0, 65600, 0, "65600 bytes");
	refuses(0, 0, 0, GLEN_EXTRA_BUFS_MAX + 1, "1048577 extra");
}

static void biggest_does_not_wrap(void **state)
{
	struct layout l;

	assert_int_equal(layout_init(&l, GLEN_RINGS_MAX, GLEN_SLOTS_MAX,
				     GLEN_BUF_MAX, GLEN_EXTRA_BUFS_MAX, NULL),
			 0);
	assert_int_equal(l.n_bufs, 2 + 2 * 16 * 4096 + (1 << 20));
	assert_true(l.bufs_size > (uint64_t)l.n_bufs * l.buf_size);
	assert_int_equal(l.size, l.bufs_off + l.bufs_size);
}

/* What must hold for every layout. */
static void check(const struct layout *l)
{
	uint64_t nifp_end = LAYOUT_NIFP_OFF + sizeof(struct netmap_if) +
			    2 * l->rings * sizeof(ssize_t);
	uint64_t ring_bytes = sizeof(struct netmap_ring) +
			      l->slots * sizeof(struct netmap_slot);

	assert_true(nifp_end <= layout_tx_ring(l, 0));
	assert_true(l->ring_size >= ring_bytes);
	assert_int_equal(l->rings_off % NM_CACHE_ALIGN, 0);
	assert_int_equal(l->ring_size % NM_CACHE_ALIGN, 0);
	assert_int_equal(layout_rx_ring(l, 0), layout_tx_ring(l, l->rings));
	assert_true(layout_rx_ring(l, l->rings - 1) + ring_bytes <=
		    l->window_size);
	assert_int_equal(l->window_size % LAYOUT_PAGE, 0);
	assert_true(l->window_size <= l->bufs_off);
	assert_int_equal(l->bufs_off % LAYOUT_ALIGN, 0);
	assert_true(l->bufs_size >= (uint64_t)l->n_bufs * l->buf_size + 64);
	assert_int_equal(l->bufs_size % LAYOUT_PAGE, 0);
	assert_int_equal(l->first_extra + l->extra_bufs, l->n_bufs);
}

static void nothing_overlaps(void **state)
{
	const uint32_t slots[] = { 16, 64, 1024, 4096 };
	const uint32_t sizes[] = { 64, 192, 2048, 65536 };
	struct layout l;

	for (uint32_t rings = 1; rings <= GLEN_RINGS_MAX; rings++)
		for (int s = 0; s < 4; s++)
			for (int b = 0; b < 4; b++) {
				assert_int_equal(layout_init(&l, rings,
							     slots[s], sizes[b],
							     7 * rings, NULL),
						 0);
				check(&l);
			}
}

static void checks_ring(const struct layout *l, struct netmap_ring *ring,
			unsigned i, bool rx, bool *seen)
{
	assert_int_equal(ring->num_slots, l->slots);
	assert_int_equal(ring->nr_buf_size, l->buf_size);
	assert_int_equal(ring->ringid, i);
	assert_int_equal(ring->dir, rx);
	assert_int_equal(ring->head, 0);
	assert_int_equal(ring->cur, 0);
	assert_int_equal(ring->tail, rx ? 0 : l->slots - 1);
	for (uint32_t s = 0; s < l->slots; s++) {
		uint32_t idx = ring->slot[s].buf_idx;

		assert_true(idx >= 2 && idx < l->first_extra);
		assert_false(seen[idx]);
		seen[idx] = true;
		assert_int_equal(ring->slot[s].len, 0);
		assert_int_equal(ring->slot[s].flags, 0);
	}
}

static void writes_what_the_macros_read(void **state)
{
	struct nm_csb_ktoa *ktoa;
	struct netmap_if *nifp;
	struct layout l;
	bool *seen;
	char *base;

	assert_int_equal(layout_init(&l, 3, 64, 256, 5, NULL), 0);
	base = aligned_alloc(LAYOUT_PAGE, l.window_size);
	seen = calloc(l.n_bufs, sizeof(*seen));
	assert_non_null(base);
	assert_non_null(seen);
	memset(base, 0xa5, l.window_size);
	layout_write(&l, base, "a-name-that-is-too-long", NULL);
	nifp = NETMAP_IF(base, LAYOUT_NIFP_OFF);
	assert_string_equal(nifp->ni_name, "a-name-that-is-");
	assert_int_equal(nifp->ni_version, NETMAP_API);
	assert_int_equal(nifp->ni_bufs_head, l.first_extra);
	for (unsigned i = 0; i < 3; i++) {
		struct netmap_ring *tx = NETMAP_TXRING(nifp, i);
		struct netmap_ring *rx = NETMAP_RXRING(nifp, i);

		assert_ptr_equal(tx, base + layout_tx_ring(&l, i));
		assert_ptr_equal(rx, base + layout_rx_ring(&l, i));
		assert_ptr_equal(NETMAP_BUF(tx, 0), base + l.bufs_off);
		assert_ptr_equal(NETMAP_BUF(rx, 2),
				 base + l.bufs_off + 2 * l.buf_size);
		checks_ring(&l, tx, i, false, seen);
		checks_ring(&l, rx, i, true, seen);
	}
	ktoa = (void *)(base + LAYOUT_KTOA_OFF);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(ktoa[i].hwcur, 0);
		assert_int_equal(ktoa[i].hwtail, i < 3 ? 63 : 0);
		assert_int_equal(ktoa[i].kern_need_kick, 0);
	}
	free(seen);
	free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(rounds_slots_up),
		cmocka_unit_test(refuses_what_is_outside),
		cmocka_unit_test(biggest_does_not_wrap),
		cmocka_unit_test(nothing_overlaps),
		cmocka_unit_test(writes_what_the_macros_read),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
