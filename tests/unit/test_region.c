// SPDX-License-Identifier: BSD-2-Clause
// test_region.c - ports that share a region: tokens, buffers, exchange.
#include "unit.h"

#include <errno.h>
#include <glen/switch.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 64, BUFS = 2048 };

static struct glen_switch *sw;

static int setup(void **state)
{
	return glen_switch_create(&sw, "s", "learn", NULL, NULL);
}

static int teardown(void **state)
{
	glen_switch_destroy(sw);
	return 0;
}

static struct glen_port *try_join(const char *name, const char *token,
				  bool swap, int *err, struct glen_error *error)
{
	struct glen_port_config config = {
		.region = "group",
		.region_token = token,
		.region_bufs = token ? 0 : BUFS,
		.slots = SLOTS,
		.swap = swap,
	};
	struct glen_port *port = NULL;

	*err = glen_switch_port_open(sw, &port, name, &config, error);
	return port;
}

static struct glen_port *open_offsets(const char *name, const char *token,
				      bool offsets)
{
	struct glen_port_config config = {
		.region = "group",
		.region_token = token,
		.slots = SLOTS,
		.swap = true,
		.offsets = offsets,
	};
	struct glen_port *port = NULL;

	assert_int_equal(glen_switch_port_open(sw, &port, name, &config, NULL),
			 0);
	return port;
}

static struct glen_port *join(const char *name, const char *token, bool swap)
{
	struct glen_error error = { 0 };
	int err;
	struct glen_port *port = try_join(name, token, swap, &err, &error);

	if (err)
		fail_msg("%s", error.text);
	return port;
}

/* The group's first two ports. */
struct pair {
	struct glen_port *a, *b;
	char token[33];
};

static void open_pair(struct pair *p, bool swap_a, bool swap_b)
{
	p->a = join("a", NULL, swap_a);
	assert_non_null(glen_port_region_token(p->a));
	strcpy(p->token, glen_port_region_token(p->a));
	p->b = join("b", p->token, swap_b);
}

static void close_pair(struct pair *p)
{
	glen_port_close(p->a);
	glen_port_close(p->b);
}

static struct netmap_slot *next(struct netmap_ring *ring)
{
	return &ring->slot[ring->head];
}

/* A frame to 02:..:to from 02:..:from whose payload is word, in the ring's
 * next slot; returns the slot. */
static struct netmap_slot *put(struct glen_port *port, uint8_t to, uint8_t from,
			       uint32_t word, unsigned len)
{
	struct netmap_ring *ring = glen_port_tx_ring(port, 0);
	struct netmap_slot *slot = next(ring);
	uint8_t *p = (uint8_t *)NETMAP_BUF(ring, slot->buf_idx);

	memset(p, 0x5a, len);
	memcpy(p, "\x02\0\0\0\0\0\x02\0\0\0\0\0\x88\xb5", 14);
	p[5] = to;
	p[11] = from;
	memcpy(p + 14, &word, sizeof(word));
	memcpy(p + len - sizeof(word), &word, sizeof(word));
	slot->len = len;
	slot->flags = 0;
	ring->head = ring->cur = nm_ring_next(ring, ring->head);
	return slot;
}

/* Sends what was put; everything is forwarded. */
static void turn(struct glen_port *port)
{
	glen_txsync(port, 0);
	while (glen_switch_poll(sw))
		;
	glen_txsync(port, 0);
}

/* The next packet's slot; the ring moves on. */
static struct netmap_slot *get(struct glen_port *port)
{
	struct netmap_ring *ring = glen_port_rx_ring(port, 0);
	struct netmap_slot *slot = next(ring);

	glen_rxsync(port, 0);
	if (nm_ring_empty(ring))
		return NULL;
	ring->head = ring->cur = nm_ring_next(ring, ring->head);
	glen_rxsync(port, 0);
	return slot;
}

static void check(struct glen_port *port, const struct netmap_slot *slot,
		  uint32_t word, unsigned len)
{
	struct netmap_ring *ring = glen_port_rx_ring(port, 0);
	uint8_t *p;

	assert_non_null(slot);
	assert_int_equal(slot->len, len);
	p = (uint8_t *)NETMAP_BUF(ring, slot->buf_idx);
	assert_memory_equal(p + 14, &word, sizeof(word));
	assert_memory_equal(p + len - sizeof(word), &word, sizeof(word));
}

/* learn knows where 1 (a), 2 (b) are. */
static void introduce(struct pair *p)
{
	put(p->a, 9, 1, 0, 60);
	turn(p->a);
	put(p->b, 9, 2, 0, 60);
	turn(p->b);
	while (get(p->a))
		;
	while (get(p->b))
		;
}

static void packets_move_with_their_buffers(void **state)
{
	static const unsigned lens[] = { 60, 64, 65, 128, 1514, 2048 };
	struct pair p;

	open_pair(&p, true, true);
	introduce(&p);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned len = lens[i % 6];
		struct netmap_slot *from = put(p.a, 2, 1, i, len), *to;
		uint32_t buf = from->buf_idx;
		uint32_t theirs = next(glen_port_rx_ring(p.b, 0))->buf_idx;

		turn(p.a);
		to = get(p.b);
		check(p.b, to, i, len);
		assert_int_equal(to->buf_idx, buf);
		assert_true(to->flags & NS_BUF_CHANGED);
		assert_int_equal(from->buf_idx, theirs);
		assert_true(from->flags & NS_BUF_CHANGED);
	}
	close_pair(&p);
}

static void who_did_not_ask_gets_copies(void **state)
{
	for (unsigned k = 0; k < 3; k++) {
		struct pair p;

		open_pair(&p, k & 1, k & 2);
		introduce(&p);
		for (unsigned i = 0; i < 100; i++) {
			struct netmap_slot *from = put(p.a, 2, 1, i, 1514), *to;
			uint32_t buf = from->buf_idx;

			turn(p.a);
			to = get(p.b);
			check(p.b, to, i, 1514);
			assert_int_equal(from->buf_idx, buf);
			assert_int_not_equal(to->buf_idx, buf);
		}
		close_pair(&p);
	}
}

static void floods_are_copied(void **state)
{
	struct pair p;
	struct glen_port *c;

	open_pair(&p, true, true);
	c = join("c", p.token, true);
	for (unsigned i = 0; i < 100; i++) {
		struct netmap_slot *from = put(p.a, 9, 1, i, 200), *b, *d;
		uint32_t buf = from->buf_idx;

		turn(p.a);
		b = get(p.b);
		d = get(c);
		check(p.b, b, i, 200);
		check(c, d, i, 200);
		assert_int_equal(from->buf_idx, buf);
		assert_int_not_equal(b->buf_idx, buf);
		assert_int_not_equal(d->buf_idx, buf);
	}
	glen_port_close(c);
	close_pair(&p);
}

static void other_regions_get_copies(void **state)
{
	struct glen_port_config config = { .slots = SLOTS };
	struct glen_error error = { 0 };
	struct pair p;
	struct glen_port *c;

	open_pair(&p, true, true);
	assert_int_equal(glen_switch_port_open(sw, &c, "c", &config, &error),
			 0);
	put(c, 9, 3, 0, 60);
	turn(c);
	for (unsigned i = 0; i < 100; i++) {
		struct netmap_slot *from = put(p.a, 3, 1, i, 300);
		uint32_t buf = from->buf_idx;

		turn(p.a);
		check(c, get(c), i, 300);
		assert_int_equal(from->buf_idx, buf);
	}
	glen_port_close(c);
	close_pair(&p);
}

/* Every buffer is in exactly one slot, however many moved. */
static void no_buffer_is_lost_or_doubled(void **state)
{
	static uint8_t seen[BUFS];
	struct glen_port *port[4];
	char token[33], name[2] = "a";
	uint32_t word = 0, got = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < 4; i++, name[0]++) {
		port[i] = join(name, i ? token : NULL, i != 3);
		strcpy(token, glen_port_region_token(port[0]));
	}
	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		struct glen_port *from = port[rand() % 4];
		unsigned n = rand() % 20;

		while (n--)
			put(from, rand() % 5, 1 + rand() % 4, word++,
			    60 + rand() % 1900);
		turn(from);
		for (unsigned i = 0; i < 4; i++)
			while (get(port[i]))
				got++;
	}
	assert_true(got > word / 2);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned s = 0; s < SLOTS; s++) {
			seen[glen_port_tx_ring(port[i], 0)->slot[s].buf_idx]++;
			seen[glen_port_rx_ring(port[i], 0)->slot[s].buf_idx]++;
		}
	for (unsigned i = 0; i < BUFS; i++)
		assert_int_equal(seen[i], i >= 2 && i < 2 + 8 * SLOTS);
	for (unsigned i = 0; i < 4; i++)
		glen_port_close(port[i]);
}

/* A program may name one buffer twice; that is its group's affair. */
static void a_buffer_named_twice_harms_nobody_else(void **state)
{
	struct pair p;

	open_pair(&p, true, true);
	introduce(&p);
	for (unsigned i = 0; i < 1000; i++) {
		struct netmap_ring *ring = glen_port_tx_ring(p.a, 0);
		uint32_t buf = put(p.a, 2, 1, i, 100)->buf_idx;
		struct netmap_slot *slot = next(ring);

		slot->buf_idx = buf;
		put(p.a, 2, 1, i, 100);
		turn(p.a);
		check(p.b, get(p.b), i, 100);
		check(p.b, get(p.b), i, 100);
	}
	close_pair(&p);
}

static void strangers_stay_out(void **state)
{
	struct glen_error error = { 0 };
	struct pair p;
	char wrong[33];
	int err;

	open_pair(&p, true, true);
	memset(wrong, 'a', 32);
	wrong[32] = 0;
	try_join("c", wrong, true, &err, &error);
	assert_int_equal(err, -EACCES);
	assert_non_null(strstr(error.text, "region group"));
	try_join("c", NULL, true, &err, &error);
	assert_int_equal(err, -EACCES);
	try_join("c", "xyz", true, &err, &error);
	assert_int_equal(err, -EINVAL);
	assert_non_null(strstr(error.text, "32 of the digits"));
	close_pair(&p);
	/* It went with its last port. */
	glen_port_close(join("c", wrong, true));
}

/* Opens ports until the region is full; returns their number. */
static unsigned fill(struct glen_port **port, const char *token)
{
	struct glen_error error = { 0 };
	unsigned n = 0;
	int err = 0;

	while (n < 32) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", n);
		port[n] = try_join(name, token, true, &err, &error);
		if (err)
			break;
		n++;
	}
	assert_int_equal(err, -ENOSPC);
	assert_non_null(strstr(error.text, "region_bufs"));
	return n;
}

/* Buffers of ports that go are there for those that come, though they moved
 * all over the group before. */
static void buffers_come_back(void **state)
{
	struct glen_port *port[32];
	struct pair p;
	unsigned n = 0;

	open_pair(&p, true, true);
	introduce(&p);
	for (unsigned round = 0; round < 20; round++) {
		unsigned now = fill(port, p.token);

		assert_true(!n || now == n);
		n = now;
		for (unsigned i = 0; i < 500; i++) {
			put(p.a, 2, 1, i, 99);
			put(port[i % n], 2, 3, i, 99);
			turn(p.a);
			turn(port[i % n]);
			check(p.b, get(p.b), i, 99);
			check(p.b, get(p.b), i, 99);
			put(p.b, 3, 2, i, 99);
			turn(p.b);
			check(port[i % n], get(port[i % n]), i, 99);
		}
		while (now)
			glen_port_close(port[--now]);
	}
	assert_int_equal(n, (BUFS - 2 - 4 * SLOTS) / (2 * SLOTS));
	close_pair(&p);
}

/* Shifts the packet in the slot that put() filled. */
static void shift(struct glen_port *port, struct netmap_slot *slot,
		  unsigned offset)
{
	char *p = NETMAP_BUF(glen_port_tx_ring(port, 0), slot->buf_idx);

	memmove(p + offset, p, slot->len);
	slot->ptr = offset;
}

/* A packet may begin anywhere in its buffer. Who cannot take it so gets a
 * copy at the beginning of another. */
static void packets_begin_at_offsets(void **state)
{
	static const unsigned offsets[] = { 0, 1, 64, 256, 548 };
	struct pair p;
	struct glen_port *c;
	struct glen_packet packet;

	p.a = open_offsets("a", NULL, true);
	strcpy(p.token, glen_port_region_token(p.a));
	p.b = open_offsets("b", p.token, true);
	c = open_offsets("c", p.token, false);
	introduce(&p);
	put(c, 9, 3, 0, 60);
	turn(c);
	while (get(p.a))
		;
	while (get(p.b))
		;
	while (get(c))
		;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned offset = offsets[i % 5], len = 60 + i;
		struct netmap_slot *from = put(p.a, 2, 1, i, len);
		uint32_t buf = from->buf_idx;

		len = len < 1500 ? len : 1500;
		shift(p.a, from, offset);
		turn(p.a);
		glen_rxsync(p.b, 0);
		assert_int_equal(glen_recv(p.b, 0, &packet, 1), 1);
		assert_int_equal(packet.len, len);
		assert_memory_equal((char *)packet.data + 14, &i, sizeof(i));
		assert_ptr_equal((char *)packet.data,
				 NETMAP_BUF(glen_port_rx_ring(p.b, 0), buf) +
					 offset);
		glen_release(p.b, 0);
		from = put(p.a, 3, 1, i, len);
		buf = from->buf_idx;
		shift(p.a, from, offset);
		turn(p.a);
		check(c, get(c), i, len);
		assert_true(offset ? from->buf_idx == buf :
				     from->buf_idx != buf);
	}
	/* One that would reach beyond its buffer. */
	put(p.a, 2, 1, 0, 100)->ptr = 2048 - 99;
	turn(p.a);
	assert_int_equal(glen_txsync(p.a, 0), -ENOTCONN);
	assert_non_null(strstr(glen_port_error(p.a), "longer than its buffer"));
	glen_port_close(c);
	close_pair(&p);
}

static void extra_buffers_are_chained(void **state)
{
	struct glen_port_config config = {
		.region = "group",
		.slots = SLOTS,
		.extra_bufs = 100,
	};
	struct glen_error error = { 0 };
	struct netmap_ring *ring;
	struct glen_port *port;
	uint32_t at, n = 0;

	assert_int_equal(glen_switch_port_open(sw, &port, "a", &config, &error),
			 0);
	ring = glen_port_tx_ring(port, 0);
	for (at = glen_port_nifp(port)->ni_bufs_head; at; n++)
		memcpy(&at, NETMAP_BUF(ring, at), sizeof(at));
	assert_int_equal(n, 100);
	glen_port_close(port);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(packets_move_with_their_buffers),
		T(who_did_not_ask_gets_copies),
		T(floods_are_copied),
		T(other_regions_get_copies),
		T(no_buffer_is_lost_or_doubled),
		T(a_buffer_named_twice_harms_nobody_else),
		T(strangers_stay_out),
		T(buffers_come_back),
		T(packets_begin_at_offsets),
		T(extra_buffers_are_chained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
