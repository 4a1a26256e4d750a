// SPDX-License-Identifier: BSD-2-Clause
// test_netmap_port.c - windows, bells and ports of driver netmap.
#include "rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/shm.h"
#include "port/shm/netmap.h"

enum { SLOTS = 64 };

/* A port with one open. */
struct end {
	struct netmap_window *window;
	struct netmap_bell bell;
	struct port *port;
	int h, p;
	unsigned n_closed;
};

static void closed(void *arg, struct port *port)
{
	((struct end *)arg)->n_closed++;
}

static void show(void *arg, json_t *object)
{
	json_object_set_new(object, "kind", json_string("test"));
}

static struct end *end_open(const char *name, const char *region,
			    uint32_t offset, bool swap, bool monitor)
{
	static const uint16_t n[NMW_KINDS] = { [NMW_TX] = 2, [NMW_RX] = 2 };
	struct end *e = calloc(1, sizeof(*e));
	struct glen_error error = { 0 };
	struct nm_window layout;
	struct netmap_window_config config = {
		.engine = engine,
		.layout = &layout,
		.region = { .name = region, .buf_size = 2048, .n_bufs = 4096 },
		.name = name,
	};
	struct netmap_rings rings = {
		.bell = &e->bell,
		.n_tx = monitor ? 0 : 2,
		.rx_line = 2,
		.n_rx = 2,
		.tx_slots = SLOTS,
		.rx_slots = SLOTS,
		.swap = swap,
		.closed = closed,
		.show = show,
		.arg = e,
	};
	struct port_args args = { .params = json_object(), .made = &rings };
	int fds[2];

	assert_int_equal(nmw_init(&layout, n, SLOTS, SLOTS, 2048, false,
				  &error),
			 0);
	if (netmap_window_create(&config, &e->window, &error))
		fail_msg("%s", error.text);
	if (offset)
		netmap_window_offsets(e->window, offset, offset, 0, 0xffff);
	rings.window = e->window;
	rings.saved = e->window->saved[0];
	assert_int_equal(netmap_bell_init(&e->bell), 0);
	if (port_create(sw, name, "netmap", &args, &e->port, &error))
		fail_msg("%s", error.text);
	json_decref(args.params);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
				    fds),
			 0);
	e->h = fds[0];
	e->p = fds[1];
	assert_int_equal(netmap_bell_add(&e->bell, &e->port, 1, e->p, 0), 0);
	return e;
}

static void end_close(struct end *e)
{
	netmap_bell_del(&e->bell, &e->port, 1, e->p);
	port_destroy(e->port);
	assert_int_equal(e->n_closed, 1);
	netmap_window_destroy(e->window);
	netmap_bell_fini(&e->bell);
	close(e->h);
	close(e->p);
	free(e);
}

static struct netmap_ring *ring_of(const struct end *e, unsigned line)
{
	return nmw_ring(&e->window->layout, e->window->base, line);
}

static uint8_t *packet_at(const struct end *e, const struct netmap_slot *slot)
{
	return e->window->member.region->bufs + (size_t)slot->buf_idx * 2048 +
	       (slot->ptr & e->window->offset_mask);
}

/* A packet to a port's egress ring 0, in the next slot of TX ring 0. */
static void put(struct end *e, const struct port *to, uint32_t seq)
{
	struct netmap_ring *ring = ring_of(e, 0);
	struct netmap_slot *slot = &ring->slot[ring->head];
	struct sent s = { TO_RING(to->index, 0), .seq = seq, .len = 100 };

	rig_build(packet_at(e, slot), &s);
	slot->len = 100;
	slot->flags = 0;
	ring->head = (ring->head + 1) % SLOTS;
	shm_store_release32(&nmw_atok(e->window->base, 0)->head, ring->head);
}

/* The next packet of an RX ring must be this one. */
static struct netmap_slot *expect(struct end *e, uint32_t seq, uint16_t flags)
{
	struct netmap_ring *ring = ring_of(e, 2);
	struct netmap_slot *slot = &ring->slot[ring->head];

	assert_int_not_equal(nmw_ktoa(e->window->base, 2)->hwtail, ring->head);
	assert_int_equal(slot->len, 100);
	assert_int_equal(slot->flags & flags, flags);
	assert_int_equal(rig_parse(packet_at(e, slot), 100).seq, seq);
	ring->head = (ring->head + 1) % SLOTS;
	shm_store_release32(&nmw_atok(e->window->base, 2)->head, ring->head);
	return slot;
}

static void packets_cross_with_and_without_offsets(void **state)
{
	for (unsigned k = 0; k < 4; k++) {
		struct end *a = end_open("a", "netmap/1", k & 1 ? 100 : 0,
					 false, false);
		struct end *b = end_open("b", "netmap/2", k & 2 ? 17 : 0, false,
					 false);

		for (uint32_t i = 0; i < 3 * SLOTS; i++) {
			struct netmap_slot *slot;

			put(a, b->port, i);
			rig_run();
			slot = expect(b, i, 0);
			assert_int_equal(slot->ptr, k & 2 ? 17 : 0);
			assert_int_equal(nmw_ktoa(a->window->base, 0)->hwcur,
					 ring_of(a, 0)->head);
		}
		rig_check();
		end_close(a);
		end_close(b);
	}
	assert_null(engine->regions);
}

static void buffers_move_if_both_ask(void **state)
{
	for (unsigned k = 0; k < 4; k++) {
		struct end *a = end_open("a", "netmap/1", 0, k & 1, false);
		struct end *b = end_open("b", "netmap/1", 0, k & 2, false);

		for (uint32_t i = 0; i < 200; i++) {
			uint32_t at = ring_of(a, 0)->head;
			uint32_t buf = ring_of(a, 0)->slot[at].buf_idx;

			put(a, b->port, i);
			rig_run();
			assert_int_equal(expect(b, i, 0)->buf_idx == buf,
					 k == 3);
			assert_int_equal(ring_of(a, 0)->slot[at].buf_idx != buf,
					 k == 3);
		}
		end_close(a);
		end_close(b);
	}
}

static void monitors_see_what_passes(void **state)
{
	static const struct nmw_bind tx = { 0, 2, 0, 0 }, rx = { 0, 0, 0, 2 };
	struct end *a = end_open("a", "netmap/1", 0, false, false);
	struct end *b = end_open("b", "netmap/2", 0, false, false);
	struct end *m = end_open("m", "netmap/3", 0, false, true);
	struct end *n = end_open("n", "netmap/4", 0, false, true);

	assert_int_equal(netmap_watch(m->port, a->port, 0, &tx, false), 0);
	assert_int_equal(netmap_watch(n->port, b->port, 0, &rx, false), 0);
	for (uint32_t i = 0; i < 200; i++) {
		put(a, b->port, i);
		rig_run();
		expect(b, i, 0);
		expect(m, i, NS_TXMON);
		assert_int_equal(expect(n, i, 0)->flags & NS_TXMON, 0);
	}
	/* One that is full drops, and its parent does not. */
	for (uint32_t i = 0; i < 2 * SLOTS; i++) {
		put(a, b->port, i);
		rig_run();
		expect(b, i, 0);
	}
	assert_int_equal(rig_out(m->port).drops[DROP_OUT_NO_ROOM], SLOTS + 1);
	/* In any order: a monitor first, or its parent. */
	end_close(n);
	put(a, b->port, 1);
	rig_run();
	expect(b, 1, 0);
	end_close(a);
	end_close(m);
	end_close(b);
}

static unsigned n_free(void)
{
	json_t *list = region_list(engine);
	unsigned n = json_integer_value(
		json_object_get(json_array_get(list, 0), "free"));

	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	return n;
}

/* No two slots of the rings name one buffer. */
static void all_differ(struct end *const *e, unsigned n)
{
	static bool seen[4096];

	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < n; i++)
		for (unsigned line = 0; line < 4; line++)
			for (unsigned s = 0; s < SLOTS; s++) {
				uint32_t b =
					ring_of(e[i], line)->slot[s].buf_idx;

				assert_in_range(b, 2, 4095);
				assert_false(seen[b]);
				seen[b] = true;
			}
}

/* Whoever goes first, and with whose buffers: each slot's buffer is free. */
static void zero_copy_monitors_exchange_buffers(void **state)
{
	static const struct nmw_bind both = { 0, 2, 0, 2 };

	for (unsigned k = 0; k < 2; k++) {
		struct end *a = end_open("a", "netmap/1", 0, false, false);
		struct end *b = end_open("b", "netmap/1", 0, false, false);
		struct end *m = end_open("m", "netmap/1", 0, false, true);
		struct end *all[] = { a, b, m };
		unsigned rest = n_free();

		assert_int_equal(netmap_watch(m->port, b->port, 0, &both, true),
				 0);
		for (uint32_t i = 0; i < 500; i++) {
			put(a, b->port, i);
			rig_run();
			expect(b, i, 0);
			/* The worker sees it with the next packet. */
			if (i)
				expect(m, i - 1, 0);
		}
		all_differ(all, 3);
		assert_int_equal(rig_out(m->port).packets, 499);
		assert_int_equal(rig_out(m->port).drops[DROP_OUT_NO_ROOM], 0);
		end_close(k & 1 ? m : b);
		assert_int_equal(n_free(), rest + 4 * SLOTS);
		end_close(k & 1 ? b : m);
		assert_int_equal(n_free(), rest + 8 * SLOTS);
		all_differ(&a, 1);
		end_close(a);
	}
}

static void bytes_are_eaten_and_calls_sent(void **state)
{
	struct end *a = end_open("a", "netmap/1", 0, false, false);
	char byte;

	for (unsigned i = 0; i < 1000; i++) {
		/* Never full for long: tick makes room. */
		if (send(a->h, "", 1, MSG_DONTWAIT) < 0) {
			assert_int_equal(errno, EAGAIN);
			engine_tick(engine);
			assert_int_equal(send(a->h, "", 1, MSG_DONTWAIT), 1);
		}
	}
	netmap_bell_call(&a->bell);
	assert_int_equal(recv(a->h, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(recv(a->h, &byte, 1, MSG_DONTWAIT), -1);
	end_close(a);
}

/* A packet for b: how often is its futex called, and its descriptor? */
static void check_calls(struct end *a, struct end *b, uint32_t futex,
			ssize_t bytes)
{
	uint32_t *calls = nmw_calls(&b->window->layout, b->window->base, 0);
	uint32_t before = *calls;
	char got[8];

	put(a, b->port, 1);
	rig_run();
	assert_int_equal(*calls - before, futex);
	assert_int_equal(recv(b->h, got, sizeof(got), MSG_DONTWAIT),
			 bytes ? bytes : -1);
}

static void who_sleeps_is_called_as_he_asked(void **state)
{
	struct end *a = end_open("a", "netmap/1", 0, false, false);
	struct end *b = end_open("b", "netmap/2", 0, false, false);
	struct nm_csb_atok *atok = nmw_atok(b->window->base, 2);

	check_calls(a, b, 0, 0);
	*nmw_need(atok, NMW_BY_FUTEX) = atok->appl_need_kick = 1;
	check_calls(a, b, 1, 0);
	check_calls(a, b, 0, 0);
	*nmw_need(atok, NMW_BY_BYTE) = atok->appl_need_kick = 2;
	check_calls(a, b, 0, 1);
	check_calls(a, b, 0, 0);
	/* Two sleep on the same ring: the last one's value is what counts. */
	*nmw_need(atok, NMW_BY_BYTE) = 3;
	*nmw_need(atok, NMW_BY_FUTEX) = atok->appl_need_kick = 4;
	check_calls(a, b, 1, 1);
	end_close(a);
	end_close(b);
}

static void a_slot_that_lies_breaks_its_port_only(void **state)
{
	struct end *a = end_open("a", "netmap/1", 100, false, false);
	struct end *b = end_open("b", "netmap/2", 100, false, false);

	/* Behind the largest offset. */
	ring_of(b, 2)->slot[0].ptr = 101;
	put(a, b->port, 1);
	rig_run();
	assert_true(port_is_broken(b->port));
	assert_false(port_is_broken(a->port));
	put(a, b->port, 2);
	ring_of(a, 0)->slot[1].buf_idx = 4096;
	rig_run();
	assert_true(port_is_broken(a->port));
	end_close(a);
	end_close(b);
}

static void users_cannot_add_one(void **state)
{
	struct glen_error error;
	struct port *port;

	assert_int_equal(rig_try("a", "netmap", "{}", &port, &error), -EINVAL);
	assert_non_null(strstr(error.text, "glen-run"));
	for (unsigned i = 0; port_drivers()[i]; i++)
		assert_string_not_equal(port_drivers()[i]->name, "netmap");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(packets_cross_with_and_without_offsets),
		RIG_TEST(buffers_move_if_both_ask),
		RIG_TEST(monitors_see_what_passes),
		RIG_TEST(zero_copy_monitors_exchange_buffers),
		RIG_TEST(bytes_are_eaten_and_calls_sent),
		RIG_TEST(who_sleeps_is_called_as_he_asked),
		RIG_TEST(a_slot_that_lies_breaks_its_port_only),
		RIG_TEST(users_cannot_add_one),
	};

	return cmocka_run_group_tests_name("netmap_port", tests, NULL, NULL);
}
