// SPDX-License-Identifier: BSD-2-Clause
// test_preload_sync.c - rings with indexes, slots and owners of all kinds.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/shm.h"
#include "netmap/preload/lock.h"

enum {
	SLOTS = 16,
	N_BUFS = 4 * SLOTS,
	BUF_SIZE = 256,
	NONE = -1, /* no descriptor: nobody is to be woken */
};

/* A port with a TX and an RX ring, or a pipe with both ends. */
struct rig {
	struct device d, peer;
	char *base;
	char bufs[N_BUFS * BUF_SIZE];
};

static void set_ring(struct rig *g, struct device *d, struct nring *r,
		     unsigned end, enum nmw_kind kind)
{
	unsigned line = nmw_line(&d->layout, end, kind, 0);

	r->ring = nmw_ring(&d->layout, g->base, line);
	r->atok = nmw_atok(g->base, line);
	r->ktoa = nmw_ktoa(g->base, line);
	r->sync = nmw_sync(g->base, line);
	r->mask = SLOTS - 1;
	r->tx = kind == NMW_TX;
	if (!d->layout.pipe)
		return;
	line = nmw_line(&d->layout, !end, kind ^ NMW_RX, 0);
	r->peer_ring = nmw_ring(&d->layout, g->base, line);
	r->peer_atok = nmw_atok(g->base, line);
	r->peer_ktoa = nmw_ktoa(g->base, line);
}

static void set_device(struct rig *g, struct device *d, unsigned end,
		       enum kind kind)
{
	const uint16_t n[NMW_KINDS] = { [NMW_TX] = 1, [NMW_RX] = 1 };

	assert_int_equal(nmw_init(&d->layout, n, SLOTS, SLOTS, BUF_SIZE,
				  kind == KIND_PIPE, NULL),
			 0);
	d->kind = kind;
	d->bufs = g->bufs;
	d->buf_size = BUF_SIZE;
	d->n_bufs = N_BUFS + 2;
	d->tx_last = d->rx_last = 1;
	if (!g->base)
		g->base = calloc(1, d->layout.size);
	set_ring(g, d, &d->tx[0], end, NMW_TX);
	set_ring(g, d, &d->rx[0], end, NMW_RX);
}

static struct rig *rig_new(enum kind kind)
{
	struct rig *g = aligned_alloc(64, (sizeof(*g) + 63) / 64 * 64);
	uint32_t ids[4 * SLOTS];

	memset(g, 0, sizeof(*g));
	for (unsigned i = 0; i < 4 * SLOTS; i++)
		ids[i] = 2 + i;
	set_device(g, &g->d, 0, kind);
	if (kind == KIND_PIPE)
		set_device(g, &g->peer, 1, kind);
	nmw_write(&g->d.layout, g->base, 1 << 20, ids);
	return g;
}

static void rig_free(struct rig *g)
{
	free(g->base);
	free(g);
}

static void test_indexes(void **state)
{
	const uint32_t m = 15;

	/* Old head 14, tail 4: six slots, over the end of the ring. */
	assert_true(indexes_ok(14, 14, 14, 4, m));
	assert_true(indexes_ok(14, 2, 4, 4, m));
	assert_true(indexes_ok(14, 4, 4, 4, m));
	assert_false(indexes_ok(14, 5, 5, 4, m));   /* beyond the tail */
	assert_false(indexes_ok(14, 13, 14, 4, m)); /* back */
	assert_false(indexes_ok(14, 2, 1, 4, m));   /* cur behind head */
	assert_false(indexes_ok(14, 2, 5, 4, m));   /* cur beyond the tail */
	assert_false(indexes_ok(14, 16 + 2, 4, 4, m));
	assert_false(indexes_ok(14, 2, 16 + 4, 4, m));
}

static void test_publishes(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];

	r->ring->head = 3;
	r->ring->cur = 5;
	r->ring->tail = 9; /* nobody's to write: put right */
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_int_equal(r->atok->head, 3);
	assert_int_equal(r->atok->cur, 5);
	assert_int_equal(r->ring->tail, SLOTS - 1);
	r->ktoa->hwtail = 2;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_int_equal(r->ring->tail, 2);
	rig_free(g);
}

static void test_bad_indexes(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];

	r->ring->head = r->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	r->ring->head = 2;
	r->ring->slot[4].buf_idx = N_BUFS + 2;
	r->ring->slot[5].len = BUF_SIZE + 1;
	r->ring->slot[2].buf_idx = 0xffffffff; /* not the user's */
	assert_int_equal(ring_sync(&g->d, NONE, r), SYNC_REINIT);
	assert_int_equal(r->ring->head, 3);
	assert_int_equal(r->ring->cur, 3);
	assert_int_equal(r->ring->tail, SLOTS - 1);
	assert_int_equal(r->atok->head, 3);
	assert_int_equal(r->ring->slot[4].buf_idx, 0);
	assert_int_equal(r->ring->slot[5].len, 0);
	assert_int_equal(r->ring->slot[2].buf_idx, 0xffffffff);
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	rig_free(g);
}

static void test_bad_slots(void **state)
{
	static const struct {
		uint32_t buf;
		uint16_t len;
	} bad[] = { { 0, 60 },
		    { 1, 60 },
		    { N_BUFS + 2, 60 },
		    { 0xffffffff, 60 },
		    { 5, BUF_SIZE + 1 } };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rig *g = rig_new(KIND_VALE);
		struct nring *r = &g->d.tx[0];

		r->ring->slot[1].buf_idx = bad[i].buf;
		r->ring->slot[1].len = bad[i].len;
		r->ring->head = r->ring->cur = 2;
		assert_int_equal(ring_sync(&g->d, NONE, r), SYNC_REINIT);
		assert_int_equal(r->atok->head, 0);
		assert_int_equal(r->ring->head, 0);
		rig_free(g);
	}
}

static void test_offsets(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];

	g->d.offset_mask = 0xff;
	r->ring->slot[0].len = 200;
	r->ring->slot[0].ptr = 0xabc00 | (BUF_SIZE - 200);
	r->ring->head = r->ring->cur = 1;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	r->ring->slot[1].len = 200;
	r->ring->slot[1].ptr = BUF_SIZE - 199;
	r->ring->head = r->ring->cur = 2;
	assert_int_equal(ring_sync(&g->d, NONE, r), SYNC_REINIT);
	rig_free(g);
}

static void test_chains(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];

	for (unsigned i = 0; i < 3; i++) {
		r->ring->slot[i].len = 60;
		r->ring->slot[i].flags = NS_MOREFRAG;
	}
	r->ring->head = r->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	/* The last one ends what is there. */
	assert_int_equal(r->ring->slot[1].flags, NS_MOREFRAG);
	assert_int_equal(r->ring->slot[2].flags, 0);
	assert_int_equal(r->ring->slot[2].len, 60);
	rig_free(g);
}

static void test_indirect(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];
	char data[60];

	memset(data, 'x', sizeof(data));
	for (unsigned i = 0; i < 2; i++) {
		r->ring->slot[i].len = sizeof(data);
		r->ring->slot[i].flags = NS_INDIRECT;
	}
	r->ring->slot[0].ptr = (uintptr_t)data;
	r->ring->slot[1].ptr = 8; /* nothing is there */
	/* Buffers begin at 2, and bufs[] at 0. */
	for (unsigned i = 0; i < 2; i++)
		r->ring->slot[i].buf_idx = 4 + i;
	r->ring->head = r->ring->cur = 2;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_memory_equal(g->bufs + 4 * BUF_SIZE, data, sizeof(data));
	assert_int_equal(r->ring->slot[0].len, sizeof(data));
	assert_int_equal(r->ring->slot[1].len, 0);
	rig_free(g);
}

static void test_released_buffers(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.rx[0];

	r->ktoa->hwtail = 4;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_int_equal(r->ring->tail, 4);
	assert_true(r->ring->ts.tv_sec > 0);
	r->ring->head = r->ring->cur = 2;
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_int_equal(r->atok->head, 2);
	r->ring->slot[2].buf_idx = 1;
	r->ring->head = r->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, r), SYNC_REINIT);
	assert_int_equal(r->atok->head, 2);
	rig_free(g);
}

static void test_owner(void **state)
{
	struct rig *g = rig_new(KIND_VALE);
	struct nring *r = &g->d.tx[0];
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	/* What is asked is asked of numbers of our own namespace only. */
	thread_id();
	r->sync->owner_ns = pid_namespace;
	r->sync->owner = (uint32_t)pid;
	r->ring->head = r->ring->cur = 1;
	assert_int_equal(ring_sync(&g->d, NONE, r), SYNC_BUSY);
	assert_int_equal(r->atok->head, 0);
	/* Readiness does not need the lock. */
	assert_true(ring_ready(r, SYNC_BUSY));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(ring_sync(&g->d, NONE, r), 0);
	assert_int_equal(r->atok->head, 1);
	assert_int_equal(r->sync->owner, 0);
	rig_free(g);
}

static void test_monitors_do_not_send(void **state)
{
	struct rig *g = rig_new(KIND_MONITOR);

	assert_int_equal(ring_sync(&g->d, NONE, &g->d.tx[0]), SYNC_EIO);
	assert_int_equal(ring_sync(&g->d, NONE, &g->d.rx[0]), 0);
	rig_free(g);
}

/* Fills the pipe from one end until nothing goes any more. */
static void test_pipe(void **state)
{
	struct rig *g = rig_new(KIND_PIPE);
	struct nring *tx = &g->d.tx[0], *rx = &g->peer.rx[0];
	uint32_t sent = tx->ring->slot[0].buf_idx;
	uint32_t empty = rx->ring->slot[0].buf_idx;

	tx->ring->slot[0].len = 77;
	tx->ring->head = tx->ring->cur = SLOTS - 1;
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	/* The other end has them all: there is no room. */
	assert_int_equal(tx->ring->tail, SLOTS - 1);
	assert_false(ring_ready(tx, 0));
	assert_int_equal(ring_sync(&g->peer, NONE, rx), 0);
	assert_int_equal(rx->ring->tail, SLOTS - 1);
	assert_int_equal(rx->ring->slot[0].len, 77);
	assert_int_equal(rx->ring->slot[0].buf_idx, sent);
	assert_int_equal(tx->ring->slot[0].buf_idx, empty);
	assert_true(rx->ring->slot[0].flags & NS_BUF_CHANGED);
	/* What it looked at without giving it back is no room. */
	rx->ring->cur = 4;
	assert_int_equal(ring_sync(&g->peer, NONE, rx), 0);
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	assert_int_equal(tx->ring->tail, SLOTS - 1);
	/* Four are given back: four go over. */
	rx->ring->head = 4;
	assert_int_equal(ring_sync(&g->peer, NONE, rx), 0);
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	assert_int_equal(tx->ring->tail, 3);
	assert_true(ring_ready(tx, 0));
	tx->ring->head = tx->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	assert_int_equal(tx->ring->tail, 3);
	assert_int_equal(ring_sync(&g->peer, NONE, rx), 0);
	assert_int_equal(rx->ring->tail, 3);
	rig_free(g);
}

/* Both rings begin anew within one sync, each at another packet. */
static void test_pipe_wraps(void **state)
{
	enum { AT = 11, TO = 5, N = SLOTS - 1 };
	struct rig *g = rig_new(KIND_PIPE);
	struct nring *tx = &g->d.tx[0], *rx = &g->peer.rx[0];
	uint32_t sent[N], empty[N];

	tx->sync->head = tx->atok->head = tx->ktoa->hwcur = AT;
	tx->ktoa->hwtail = AT - 1;
	rx->sync->head = rx->atok->head = rx->ktoa->hwtail = TO;
	rx->ring->head = rx->ring->cur = TO;
	for (unsigned i = 0; i < N; i++) {
		struct netmap_slot *slot = &tx->ring->slot[(AT + i) % SLOTS];

		slot->len = 100 + i;
		slot->ptr = i % 3;
		sent[i] = slot->buf_idx;
		empty[i] = rx->ring->slot[(TO + i) % SLOTS].buf_idx;
	}
	tx->ring->head = tx->ring->cur = (AT + N) % SLOTS;
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	ring_sync(&g->peer, NONE, rx);
	assert_int_equal(rx->ring->tail, (TO + N) % SLOTS);
	for (unsigned i = 0; i < N; i++) {
		const struct netmap_slot *slot =
			&rx->ring->slot[(TO + i) % SLOTS];

		assert_int_equal(slot->len, 100 + i);
		assert_int_equal(slot->ptr, i % 3);
		assert_int_equal(slot->buf_idx, sent[i]);
		assert_int_equal(tx->ring->slot[(AT + i) % SLOTS].buf_idx,
				 empty[i]);
	}
	rig_free(g);
}

/* The other end sleeps on its futex. */
static void test_pipe_calls(void **state)
{
	struct rig *g = rig_new(KIND_PIPE);
	struct nring *tx = &g->d.tx[0], *rx = &g->peer.rx[0];
	struct window window = { .base = g->base };
	uint32_t seen;

	g->d.window = g->peer.window = &window;
	g->peer.end = 1;
	seen = device_calls(&g->peer);
	ring_arm(rx, NMW_BY_FUTEX);
	tx->ring->head = tx->ring->cur = 1;
	ring_sync(&g->d, NONE, tx);
	assert_int_equal(device_calls(&g->peer), seen + 1);
	assert_int_equal(device_nap(&g->peer, seen, 1000000000), 1);
	assert_int_equal(device_nap(&g->peer, seen + 1, 1), 0);
	/* Once for each time that it fell asleep. */
	tx->ring->head = tx->ring->cur = 2;
	ring_sync(&g->d, NONE, tx);
	assert_int_equal(device_calls(&g->peer), seen + 1);
	ring_arm(rx, NMW_BY_FUTEX);
	tx->ring->head = tx->ring->cur = 3;
	ring_sync(&g->d, NONE, tx);
	assert_int_equal(device_calls(&g->peer), seen + 2);
	assert_int_equal(device_calls(&g->d), 0);
	rig_free(g);
}

static void test_pipe_whole_packets(void **state)
{
	struct rig *g = rig_new(KIND_PIPE);
	struct nring *tx = &g->d.tx[0], *rx = &g->peer.rx[0];

	tx->ring->slot[1].flags = tx->ring->slot[2].flags = NS_MOREFRAG;
	tx->ring->head = tx->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	ring_sync(&g->peer, NONE, rx);
	assert_int_equal(rx->ring->tail, 1);
	tx->ring->head = tx->ring->cur = 4;
	assert_int_equal(ring_sync(&g->d, NONE, tx), 0);
	ring_sync(&g->peer, NONE, rx);
	assert_int_equal(rx->ring->tail, 4);
	assert_true(rx->ring->slot[2].flags & NS_MOREFRAG);
	rig_free(g);
}

/* What the other end names is looked at before it becomes ours. */
static void test_pipe_liar(void **state)
{
	struct rig *g = rig_new(KIND_PIPE);
	struct nring *tx = &g->d.tx[0], *rx = &g->peer.rx[0];
	uint32_t mine = tx->ring->slot[1].buf_idx;

	rx->ring->slot[1].buf_idx = 0xfffffff0;
	tx->ring->head = tx->ring->cur = 3;
	assert_int_equal(ring_sync(&g->d, NONE, tx), SYNC_REINIT);
	assert_int_equal(tx->ring->slot[1].buf_idx, mine);
	assert_int_equal(rx->ktoa->hwtail, 1);
	/* Indexes beyond the ring are cut to it. */
	rx->atok->head = 0xffffffff;
	rx->ktoa->hwtail = 0xfffffff0;
	rx->ring->slot[1].buf_idx = 40;
	ring_sync(&g->d, NONE, tx);
	assert_true(tx->ring->tail < SLOTS);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_indexes),
		cmocka_unit_test(test_publishes),
		cmocka_unit_test(test_bad_indexes),
		cmocka_unit_test(test_bad_slots),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_released_buffers),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_monitors_do_not_send),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_pipe_wraps),
		cmocka_unit_test(test_pipe_calls),
		cmocka_unit_test(test_pipe_whole_packets),
		cmocka_unit_test(test_pipe_liar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
