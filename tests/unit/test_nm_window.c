// SPDX-License-Identifier: BSD-2-Clause
// test_nm_window.c - windows of netmap ports: limits, places, what is in them.
#include "unit.h"

#include <errno.h>
#include <net/netmap_user.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nm_window.h"

/* Memory for a window, all zero. */
static char *fresh(const struct nm_window *w)
{
	char *base = aligned_alloc(NMW_PAGE, w->size);

	assert_non_null(base);
	memset(base, 0, w->size);
	return base;
}

static uint32_t *numbers(uint32_t n)
{
	uint32_t *ids = calloc(n, sizeof(*ids));

	assert_non_null(ids);
	for (uint32_t i = 0; i < n; i++)
		ids[i] = 100 + i;
	return ids;
}

static void refuses(const uint16_t *n, uint32_t tx, uint32_t rx, uint32_t buf,
		    bool pipe, const char *named)
{
	struct glen_error error = { 0 };
	struct nm_window w;

	assert_int_equal(nmw_init(&w, n, tx, rx, buf, pipe, &error), -EINVAL);
	assert_non_null(strstr(error.text, named));
}

static void refuses_what_is_outside(void **state)
{
	const uint16_t one[NMW_KINDS] = { 1, 0, 1, 0 };
	const uint16_t many[NMW_KINDS] = { 1, 17, 1, 0 };
	const uint16_t lines[NMW_KINDS] = { 16, 16, 16, 16 };
	const uint16_t wide[NMW_KINDS] = { 16, 0, 16, 0 };

	refuses(one, 15, 1024, 2048, false, "15 TX slots");
	refuses(one, 1024, 4097, 2048, false, "4097 RX slots");
	refuses(one, 1024, 0, 2048, false, "0 RX slots");
	refuses(one, 1024, 1024, 100, false, "100 bytes");
	refuses(many, 1024, 1024, 2048, false, "17 host TX");
	refuses(lines, 64, 64, 2048, true, "128 rings");
	refuses(wide, 4096, 4096, 2048, true, "ask for fewer");
}

static void nothing_overlaps(void **state)
{
	const uint16_t n[NMW_KINDS] = { 3, 1, 2, 4 };
	struct nm_window w;
	uint32_t end = NMW_RINGS_OFF;

	assert_int_equal(nmw_init(&w, n, 100, 1000, 2048, true, NULL), 0);
	assert_int_equal(w.tx_slots, 128);
	assert_int_equal(w.rx_slots, 1024);
	assert_int_equal(w.lines, 20);
	for (unsigned e = 0; e < 2; e++) {
		for (unsigned k = 0; k < NMW_KINDS; k++) {
			for (unsigned i = 0; i < nmw_n(&w, e, k); i++) {
				unsigned line = nmw_line(&w, e, k, i);

				assert_true(w.ring_off[line] >= end);
				assert_int_equal(w.ring_off[line] % 128, 0);
				end = w.ring_off[line] + 256 +
				      16 * nmw_slots(&w, e, k);
			}
		}
	}
	assert_true(end <= w.size);
	assert_int_equal(w.n_bufs, 2 * (4 * 128 + 6 * 1024));
}

/* What one end sends the other receives. */
static void ends_of_a_pipe_mirror_each_other(void **state)
{
	const uint16_t n[NMW_KINDS] = { 3, 0, 2, 0 };
	struct nm_window w;

	assert_int_equal(nmw_init(&w, n, 64, 128, 2048, true, NULL), 0);
	assert_int_equal(nmw_n(&w, 1, NMW_TX), 2);
	assert_int_equal(nmw_n(&w, 1, NMW_RX), 3);
	assert_int_equal(nmw_slots(&w, 1, NMW_TX), 128);
	assert_int_equal(nmw_slots(&w, 1, NMW_RX), 64);
	assert_int_equal(nmw_line(&w, 1, NMW_TX, 0), 5);
	assert_int_equal(nmw_line(&w, 1, NMW_RX, 2), 9);
}

/* The macros of programs find rings and buffers. */
static void programs_find_their_way(void **state)
{
	const uint16_t n[NMW_KINDS] = { 2, 1, 3, 0 };
	const struct nmw_bind all = { 0, 3, 0, 3 }, some = { 1, 2, 0, 0 };
	struct netmap_if *nifp;
	struct netmap_ring *ring;
	struct nm_window w;
	uint32_t *ids;
	char *base;

	assert_int_equal(nmw_init(&w, n, 64, 128, 2048, false, NULL), 0);
	base = fresh(&w);
	ids = numbers(w.n_bufs);
	nmw_write(&w, base, 1 << 20, ids);
	nmw_write_open(&w, base, 0, 0, "vale0:a-name-that-is-long", &all,
		       NI_PRIV_MEM, 7);
	nmw_write_open(&w, base, 63, 0, "x", &some, 0, 0);

	nifp = NETMAP_IF(base, nmw_nifp_off(0));
	assert_string_equal(nifp->ni_name, "vale0:a-name-th");
	assert_int_equal(nifp->ni_version, NETMAP_API);
	assert_int_equal(nifp->ni_bufs_head, 7);
	assert_int_equal(nifp->ni_host_rx_rings, 1);
	for (unsigned i = 0; i < 3; i++) {
		ring = NETMAP_TXRING(nifp, i);
		assert_int_equal(ring->num_slots, 64);
		assert_int_equal(ring->dir, 0);
		assert_int_equal(ring->ringid, i);
		assert_int_equal(ring->tail, 63);
		assert_int_equal(ring->slot[5].buf_idx, 100 + i * 64 + 5);
		assert_int_equal(ring->slot[5].len, 2048);
		assert_ptr_equal(NETMAP_BUF(ring, 3),
				 base + (1 << 20) + 3 * 2048);
	}
	ring = NETMAP_RXRING(nifp, 2);
	assert_int_equal(ring->num_slots, 128);
	assert_int_equal(ring->dir, 1);
	assert_int_equal(ring->ringid, 2);
	assert_int_equal(ring->tail, 0);
	assert_int_equal(ring->slot[127].buf_idx, 100 + w.n_bufs - 1);
	/* The fake host RX ring is nowhere. */
	assert_int_equal(nifp->ring_ofs[2 + 1 + 3], 0);

	nifp = NETMAP_IF(base, nmw_nifp_off(63));
	assert_int_equal(nifp->ring_ofs[0], 0);
	assert_int_equal(NETMAP_TXRING(nifp, 1)->ringid, 1);
	assert_int_equal(nifp->ring_ofs[2], 0);
	assert_int_equal(nifp->ring_ofs[3], 0);
	free(base);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_outside),
		cmocka_unit_test(nothing_overlaps),
		cmocka_unit_test(ends_of_a_pipe_mirror_each_other),
		cmocka_unit_test(programs_find_their_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
