// SPDX-License-Identifier: BSD-2-Clause
// test_ring.c - the client's side of rings, against a fake switch.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "fake_switch.h"

static struct glen_packet packet(const void *data, uint32_t len)
{
	return (struct glen_packet){ (void *)data, len };
}

static void starts_empty(void **state)
{
	struct glen_packet p;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 2, 16, 2048, 0);
	port = fake_port(&f);
	assert_int_equal(glen_port_rings(port), 2);
	assert_string_equal(glen_port_name(port), "fake:p");
	assert_string_equal(glen_port_error(port), "");
	assert_int_equal(glen_port_reconnects(port), 0);
	assert_non_null(glen_port_tx_ring(port, 1));
	assert_null(glen_port_tx_ring(port, 2));
	assert_null(glen_port_rx_ring(port, 2));
	assert_int_equal(glen_recv(port, 1, &p, 1), 0);
	assert_int_equal(glen_txsync(port, 0), 0);
	assert_int_equal(glen_txsync(port, 2), -EINVAL);
	assert_int_equal(glen_rxsync(port, 2), -EINVAL);
	assert_int_equal(glen_send(port, 2, &p, 1), -EINVAL);
	assert_int_equal(glen_recv(port, 2, &p, 1), -EINVAL);
	assert_int_equal(nm_ring_space(glen_port_tx_ring(port, 0)), 15);
	glen_port_close(port);
	assert_int_equal(f.closed, 1);
	glen_port_close(NULL);
	fake_fini(&f);
}

static void sends_over_the_wrap_until_full(void **state)
{
	struct glen_packet p[32];
	uint32_t data[32], seen = 0;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	for (uint32_t sent = 0; sent < 1000;) {
		int n;

		for (uint32_t i = 0; i < 32; i++) {
			data[i] = sent + i;
			p[i] = packet(&data[i], sizeof(data[i]));
		}
		n = glen_send(port, 0, p, 32);
		assert_int_equal(n, 15 - (sent - seen));
		sent += (uint32_t)n;
		assert_int_equal(glen_send(port, 0, p, 1), 0);
		assert_int_equal(fake_pending(&f, 0), 15);
		for (uint32_t i = 0; i < 11; i++) {
			struct netmap_slot *s = fake_slot(&f, 0, f.cur[0] + i);
			uint32_t value;

			memcpy(&value, fake_buf(&f, s), sizeof(value));
			assert_int_equal(s->len, 4);
			assert_int_equal(s->flags, 0);
			assert_int_equal(value, seen++);
		}
		fake_take(&f, 0, 11);
	}
	glen_port_close(port);
	fake_fini(&f);
}

/* Every length is copied exactly: nothing less, nothing more. */
static void copies_every_length(void **state)
{
	enum { MAX = 600 };
	uint8_t data[MAX], want[1024];
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 1024, 0);
	port = fake_port(&f);
	for (uint32_t len = 1; len <= MAX; len++) {
		/* An exact heap block, so that ASan sees a read beyond. */
		uint8_t *src = malloc(len);
		struct netmap_slot *s = fake_slot(&f, 0, f.cur[0]);
		struct glen_packet p = packet(src, len);

		for (uint32_t i = 0; i < len; i++)
			src[i] = data[i] = (uint8_t)(i * 7 + len);
		memset(want, 0xee, sizeof(want));
		memset(fake_buf(&f, s), 0xee, sizeof(want));
		memcpy(want, data, len);
		assert_int_equal(glen_send(port, 0, &p, 1), 1);
		assert_int_equal(s->len, len);
		assert_memory_equal(fake_buf(&f, s), want, sizeof(want));
		fake_take(&f, 0, 1);
		free(src);
	}
	glen_port_close(port);
	fake_fini(&f);
}

static void splits_long_packets(void **state)
{
	static uint8_t data[64 * 64 + 1];
	struct glen_packet p = packet(data, 3 * 64 + 10);
	struct fake f;
	struct glen_port *port;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	fake_init(&f, 1, 128, 64, 0);
	port = fake_port(&f);
	f.cur[0] = 0;
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_pending(&f, 0), 4);
	for (uint32_t i = 0; i < 4; i++) {
		struct netmap_slot *s = fake_slot(&f, 0, i);

		assert_int_equal(s->len, i < 3 ? 64 : 10);
		assert_int_equal(s->flags, i < 3 ? NS_MOREFRAG : 0);
		assert_memory_equal(fake_buf(&f, s), data + i * 64, s->len);
	}
	/* 64 slots are the most; 65 can never pass. */
	p.len = 64 * 64;
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_pending(&f, 0), 68);
	p.len++;
	assert_int_equal(glen_send(port, 0, &p, 1), -EMSGSIZE);
	/* There is no room for another 64 now, but there may be later. */
	p.len--;
	assert_int_equal(glen_send(port, 0, &p, 1), 0);
	assert_int_equal(fake_pending(&f, 0), 68);
	fake_take(&f, 0, 68);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	glen_port_close(port);
	fake_fini(&f);
}

static void refuses_more_than_the_ring(void **state)
{
	static uint8_t data[16 * 64];
	struct glen_packet p[2] = { packet(data, 64), packet(data, 16 * 64) };
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	/* 16 slots of a ring of 16 never fit; what comes before is sent. */
	assert_int_equal(glen_send(port, 0, p, 2), 1);
	assert_int_equal(glen_send(port, 0, p + 1, 1), -EMSGSIZE);
	assert_int_equal(fake_pending(&f, 0), 1);
	glen_port_close(port);
	fake_fini(&f);
}

static void survives_a_bad_buffer_index(void **state)
{
	struct glen_packet p = packet("x", 1);
	struct netmap_ring *ring;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	ring = glen_port_tx_ring(port, 0);
	ring->slot[0].buf_idx = f.l.n_bufs;
	assert_int_equal(glen_send(port, 0, &p, 1), -EINVAL);
	assert_int_equal(fake_pending(&f, 0), 0);
	glen_port_close(port);
	fake_fini(&f);
}

static void receives_over_the_wrap(void **state)
{
	struct glen_packet p[8];
	uint32_t sent = 0, seen = 0;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	while (seen < 1000) {
		uint32_t room = fake_room(&f, 0);
		int n;

		for (uint32_t i = 0; i < room; i++, sent++)
			fake_fill(&f, 0, i, &sent, sizeof(sent), 0);
		fake_publish(&f, 0, room);
		n = glen_recv(port, 0, p, 3);
		assert_int_equal(n, 3);
		/* More may be taken before anything is given back. */
		n += glen_recv(port, 0, p + 3, 5);
		assert_int_equal(n, 8);
		assert_int_equal(fake_room(&f, 0), 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(p[i].len, 4);
			assert_memory_equal(p[i].data, &seen, 4);
			seen++;
		}
		glen_release(port, 0);
		assert_int_equal(fake_room(&f, 0), 8);
	}
	glen_port_close(port);
	fake_fini(&f);
}

static void points_into_the_ring(void **state)
{
	struct netmap_ring *ring;
	struct glen_packet p;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	ring = glen_port_rx_ring(port, 0);
	fake_fill(&f, 0, 0, "hello", 5, 0);
	fake_publish(&f, 0, 1);
	assert_int_equal(glen_recv(port, 0, &p, 1), 1);
	assert_ptr_equal(p.data, NETMAP_BUF(ring, ring->slot[0].buf_idx));
	glen_port_close(port);
	fake_fini(&f);
}

static void gathers_chains(void **state)
{
	uint8_t data[130];
	struct glen_packet p[4], q[4];
	struct fake f;
	struct glen_port *port;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	fake_fill(&f, 0, 0, "ab", 2, 0);
	fake_fill(&f, 0, 1, data, 64, NS_MOREFRAG);
	fake_fill(&f, 0, 2, data + 64, 64, NS_MOREFRAG);
	fake_fill(&f, 0, 3, data + 128, 2, 0);
	fake_fill(&f, 0, 4, data + 1, 60, NS_MOREFRAG);
	fake_fill(&f, 0, 5, data + 61, 60, 0);
	fake_publish(&f, 0, 6);
	/* A chain is the last packet of a call. */
	assert_int_equal(glen_recv(port, 0, p, 4), 2);
	assert_int_equal(p[1].len, 130);
	assert_memory_equal(p[1].data, data, 130);
	/* The second chain must leave the first one alone. */
	assert_int_equal(glen_recv(port, 0, q, 4), 1);
	assert_int_equal(q[0].len, 120);
	assert_memory_equal(q[0].data, data + 1, 120);
	assert_memory_equal(p[1].data, data, 130);
	glen_release(port, 0);
	assert_int_equal(fake_room(&f, 0), 15);
	/* Half a chain is no packet yet. */
	fake_fill(&f, 0, 0, "abc", 3, NS_MOREFRAG);
	fake_fill(&f, 0, 1, "def", 3, 0);
	fake_publish(&f, 0, 1);
	assert_int_equal(glen_recv(port, 0, p, 4), 0);
	fake_publish(&f, 0, 1);
	assert_int_equal(glen_recv(port, 0, p, 4), 1);
	assert_int_equal(p[0].len, 6);
	assert_memory_equal(p[0].data, "abcdef", 6);
	glen_port_close(port);
	fake_fini(&f);
}

static void skips_empty_slots(void **state)
{
	struct glen_packet p[4];
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	fake_fill(&f, 0, 0, "", 0, 0);
	fake_fill(&f, 0, 1, "ab", 2, 0);
	fake_fill(&f, 0, 2, "", 0, 0);
	fake_fill(&f, 0, 3, "cd", 2, 0);
	fake_publish(&f, 0, 4);
	assert_int_equal(glen_recv(port, 0, p, 4), 2);
	assert_memory_equal(p[0].data, "ab", 2);
	assert_memory_equal(p[1].data, "cd", 2);
	glen_release(port, 0);
	assert_int_equal(fake_room(&f, 0), 15);
	/* A ring full of nothing must not stay full. */
	for (uint32_t i = 0; i < 15; i++)
		fake_fill(&f, 0, i, "", 0, 0);
	fake_publish(&f, 0, 15);
	for (int i = 0; i < 4; i++)
		assert_int_equal(glen_recv(port, 0, p, 4), 0);
	assert_int_equal(fake_room(&f, 0), 15);
	/* An empty chain is nothing either. */
	fake_fill(&f, 0, 0, "", 0, NS_MOREFRAG);
	fake_fill(&f, 0, 1, "", 0, 0);
	fake_publish(&f, 0, 2);
	assert_int_equal(glen_recv(port, 0, p, 4), 0);
	assert_int_equal(fake_room(&f, 0), 15);
	glen_port_close(port);
	fake_fini(&f);
}

static void netmap_style_works(void **state)
{
	struct netmap_ring *tx, *rx;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 3);
	port = fake_port(&f);
	tx = NETMAP_TXRING(glen_port_nifp(port), 0);
	rx = NETMAP_RXRING(glen_port_nifp(port), 0);
	assert_ptr_equal(tx, glen_port_tx_ring(port, 0));
	assert_ptr_equal(rx, glen_port_rx_ring(port, 0));
	memcpy(NETMAP_BUF(tx, tx->slot[tx->cur].buf_idx), "net", 3);
	tx->slot[tx->cur].len = 3;
	tx->head = tx->cur = nm_ring_next(tx, tx->cur);
	assert_int_equal(fake_pending(&f, 0), 0);
	assert_int_equal(glen_txsync(port, 0), 0);
	assert_int_equal(fake_pending(&f, 0), 1);
	assert_true(nm_tx_pending(tx));
	fake_take(&f, 0, 1);
	assert_int_equal(glen_txsync(port, 0), 0);
	assert_false(nm_tx_pending(tx));
	fake_fill(&f, 0, 0, "map", 3, 0);
	fake_publish(&f, 0, 1);
	assert_true(nm_ring_empty(rx));
	assert_int_equal(glen_rxsync(port, 0), 0);
	assert_int_equal(nm_ring_space(rx), 1);
	assert_memory_equal(NETMAP_BUF(rx, rx->slot[0].buf_idx), "map", 3);
	rx->head = rx->cur = nm_ring_next(rx, rx->cur);
	assert_int_equal(glen_rxsync(port, 0), 0);
	assert_int_equal(fake_room(&f, 0), 15);
	glen_port_close(port);
	fake_fini(&f);
}

static void extra_buffers_are_a_list(void **state)
{
	struct netmap_ring *tx;
	uint32_t n = 0, idx;
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 5);
	port = fake_port(&f);
	tx = glen_port_tx_ring(port, 0);
	idx = glen_port_nifp(port)->ni_bufs_head;
	while (idx) {
		assert_true(idx >= f.l.first_extra && idx < f.l.n_bufs);
		memcpy(&idx, NETMAP_BUF(tx, idx), sizeof(idx));
		n++;
	}
	assert_int_equal(n, 5);
	glen_port_close(port);
	fake_fini(&f);
}

static void kicks_once_per_request(void **state)
{
	struct glen_packet p = packet("x", 1);
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	/* Not asked for: no kick. */
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_kicks(&f), 0);
	fake_arm(&f, 0);
	/* Nothing new: no kick. */
	assert_int_equal(glen_txsync(port, 0), 0);
	assert_int_equal(fake_kicks(&f), 0);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_kicks(&f), 1);
	fake_arm(&f, 0);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_kicks(&f), 1);
	shm_store32(&f.ktoa[0].kern_need_kick, 0);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_kicks(&f), 0);
	/* The same for slots given back, asked for on the RX line. */
	fake_fill(&f, 0, 0, "y", 1, 0);
	fake_publish(&f, 0, 1);
	fake_arm(&f, 1);
	assert_int_equal(glen_recv(port, 0, &p, 1), 1);
	assert_int_equal(fake_kicks(&f), 0);
	glen_release(port, 0);
	assert_int_equal(fake_kicks(&f), 1);
	glen_port_close(port);
	fake_fini(&f);
}

static void dead_port_says_why(void **state)
{
	struct glen_packet p = packet("x", 1);
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 16, 64, 0);
	port = fake_port(&f);
	port_die(port, "the first reason");
	port_die(port, "the second reason");
	assert_int_equal(glen_send(port, 0, &p, 1), -ENOTCONN);
	assert_int_equal(glen_recv(port, 0, &p, 1), -ENOTCONN);
	assert_int_equal(glen_txsync(port, 0), -ENOTCONN);
	assert_int_equal(glen_rxsync(port, 0), -ENOTCONN);
	assert_int_equal(glen_wait(port, GLEN_RX, -1), -ENOTCONN);
	assert_int_equal(glen_wait(port, 0, -1), -ENOTCONN);
	assert_int_equal(glen_wait_ring(port, 0, GLEN_TX, -1), -ENOTCONN);
	assert_int_equal(glen_arm(port, GLEN_RX), -ENOTCONN);
	assert_string_equal(glen_port_error(port), "the first reason");
	glen_port_close(port);
	fake_fini(&f);
}

static void lies_of_the_switch_close_the_port(void **state)
{
	struct glen_packet p[4];
	struct fake f;
	struct glen_port *port;

	fake_init(&f, 1, 128, 64, 0);
	port = fake_port(&f);
	shm_store_release32(&f.ktoa[0].hwtail, 128);
	assert_int_equal(glen_txsync(port, 0), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(port), "index"));
	glen_port_close(port);

	f.ktoa[0].hwtail = 127;
	port = fake_port(&f);
	fake_fill(&f, 0, 0, "ok", 2, 0);
	fake_fill(&f, 0, 1, "bad", 3, 0);
	fake_slot(&f, 1, 1)->buf_idx = f.l.n_bufs;
	fake_publish(&f, 0, 2);
	assert_int_equal(glen_recv(port, 0, p, 4), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(port), "slot"));
	glen_port_close(port);
	fake_fini(&f);

	fake_init(&f, 1, 128, 64, 0);
	port = fake_port(&f);
	for (uint32_t i = 0; i < 66; i++)
		fake_fill(&f, 0, i, "x", 1, NS_MOREFRAG);
	fake_publish(&f, 0, 66);
	assert_int_equal(glen_recv(port, 0, p, 4), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(port), "64"));
	glen_port_close(port);
	fake_fini(&f);
}

/* 65536-byte buffers: a slot's length has only 16 bits. */
static void biggest_buffers(void **state)
{
	static uint8_t data[70000];
	struct glen_packet p = packet(data, 65536);
	struct fake f;
	struct glen_port *port;

	memset(data, 'z', sizeof(data));
	fake_init(&f, 1, 16, 65536, 0);
	port = fake_port(&f);
	assert_int_equal(glen_send(port, 0, &p, 1), 1);
	assert_int_equal(fake_pending(&f, 0), 2);
	assert_int_equal(fake_slot(&f, 0, 0)->len, 65535);
	assert_int_equal(fake_slot(&f, 0, 1)->len, 1);
	glen_port_close(port);
	fake_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_empty),
		cmocka_unit_test(sends_over_the_wrap_until_full),
		cmocka_unit_test(copies_every_length),
		cmocka_unit_test(splits_long_packets),
		cmocka_unit_test(refuses_more_than_the_ring),
		cmocka_unit_test(survives_a_bad_buffer_index),
		cmocka_unit_test(receives_over_the_wrap),
		cmocka_unit_test(points_into_the_ring),
		cmocka_unit_test(gathers_chains),
		cmocka_unit_test(skips_empty_slots),
		cmocka_unit_test(netmap_style_works),
		cmocka_unit_test(extra_buffers_are_a_list),
		cmocka_unit_test(kicks_once_per_request),
		cmocka_unit_test(dead_port_says_why),
		cmocka_unit_test(lies_of_the_switch_close_the_port),
		cmocka_unit_test(biggest_buffers),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
