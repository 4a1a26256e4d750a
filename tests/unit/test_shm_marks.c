// SPDX-License-Identifier: BSD-2-Clause
// test_shm_marks.c - marks go with their packets from slot to slot.
#include "liar.h"

#define MARKS "{\"slots\": 64, \"buf_size\": 64, \"marks\": true}"

static struct client *from, *to;

/* Sends a packet whose slots have this ptr; the last ones something else. */
static void send_marked(struct client *c, uint32_t to_index, uint32_t seq,
			uint32_t len, uint64_t ptr)
{
	uint32_t at = c->tx_head[0];

	for (uint32_t i = 0; i < (len + 63) / 64; i++)
		client_slots(c, false, 0)[(at + i) & (c->l.slots - 1)].ptr =
			i ? 0x7777777777770000 : ptr;
	assert_true(client_send(c, 0,
				(struct sent){ .verdict = TO(to_index),
					       .seq = seq,
					       .len = len }));
}

/* The ptr of the first slot of the next packet, whose number is this one. */
static uint64_t next_ptr(struct client *c, uint32_t seq)
{
	uint64_t ptr = client_slots(c, true, 0)[c->rx_head[0]].ptr;

	client_expect(c, 0, seq);
	return ptr;
}

static uint64_t mark_at(unsigned i)
{
	return (0x123456789000 + i * 0x010101010101) & 0xffffffffffff;
}

static void open_both(const char *from_params, const char *to_params)
{
	from = client_open("a", from_params);
	to = client_open("b", to_params);
}

static void close_both(void)
{
	rig_check();
	client_close(from);
	client_close(to);
}

static void marks_go_from_port_to_port(void **state)
{
	open_both(MARKS, MARKS);
	for (unsigned i = 0; i < 30; i++)
		send_marked(from, 1, i, 60, mark_at(i) << 16);
	rig_run();
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(next_ptr(to, i), mark_at(i) << 16);
	close_both();
}

/* The first slot of a chain has its mark; so do packets between others. */
static void marks_of_chains_and_of_what_is_left(void **state)
{
	open_both(MARKS, MARKS);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 9; i++) {
			uint32_t len = i % 3 == 0 ? 200 : i % 3 == 1 ? 60 : 5;

			send_marked(from, 1, i, len, mark_at(i) << 16);
		}
		rig_run();
		for (unsigned i = 0; i < 9; i++)
			if (i % 3 < 2)
				assert_int_equal(next_ptr(to, i),
						 mark_at(i) << 16);
		/* And without chains, where only lengths are refused. */
		for (unsigned i = 0; i < 9; i++)
			send_marked(from, 1, i, i % 3 == 2 ? 5 : 60,
				    mark_at(i) << 16);
		rig_run();
		for (unsigned i = 0; i < 9; i++)
			if (i % 3 < 2)
				assert_int_equal(next_ptr(to, i),
						 mark_at(i) << 16);
	}
	assert_int_equal(rig_in(from->port).drops[DROP_IN_RUNT], 30);
	close_both();
}

static void without_the_option_there_are_none(void **state)
{
	struct netmap_slot *slots;

	open_both(TINY, MARKS);
	slots = client_slots(to, true, 0);
	slots[0].ptr = slots[1].ptr = UINT64_MAX;
	send_marked(from, 1, 1, 60, mark_at(1) << 16);
	rig_run();
	assert_int_equal(next_ptr(to, 1), 0);
	assert_int_equal(slots[1].ptr, UINT64_MAX);
	close_both();
	open_both(MARKS, TINY);
	slots = client_slots(to, true, 0);
	slots[0].ptr = 0x5555;
	send_marked(from, 1, 1, 60, mark_at(1) << 16);
	rig_run();
	assert_int_equal(next_ptr(to, 1), 0x5555);
	close_both();
}

static void offsets_and_marks_share_the_word(void **state)
{
	open_both("{\"buf_size\": 2048, \"offsets\": true, \"marks\": true}",
		  "{\"buf_size\": 2048, \"offsets\": true, \"marks\": true}");
	client_slots(to, true, 0)[0].ptr = 0x1234123412340000;
	send_marked(from, 1, 1, 60, mark_at(1) << 16);
	rig_run();
	assert_int_equal(next_ptr(to, 1), mark_at(1) << 16);
	/* An offset that cannot be is found in spite of the mark. */
	send_marked(from, 1, 2, 60, mark_at(1) << 16 | 2048);
	rig_run();
	assert_non_null(atomic_load(&from->port->broken));
	close_both();
}

static bool saw_marks;
static uint64_t first_mark;

/* Sends all to port 1, with the number of the packet as its mark. */
static void marking_lookup(void *state, const struct glen_lookup *ctx,
			   struct glen_batch *b)
{
	saw_marks = b->marks;
	first_mark = b->marks ? b->mark[0] : 0;
	for (unsigned i = 0; i < b->n; i++) {
		b->verdict[i] = TO(1);
		b->mark[i] = 100 + i;
	}
	b->marks = true;
}

static void modules_read_and_write_marks(void **state)
{
	static struct glen_module marking;

	marking = rig_module;
	marking.name = "marking";
	marking.lookup = marking_lookup;
	open_both(TINY, MARKS);
	rig_swap_module(&marking);
	for (unsigned i = 0; i < 5; i++)
		send_marked(from, 1, i, 60, mark_at(i) << 16);
	rig_run();
	assert_false(saw_marks);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(next_ptr(to, i), (100ULL + i) << 16);
	client_close(from);
	from = client_open("a", MARKS);
	send_marked(from, 1, 0, 60, mark_at(9) << 16);
	rig_run();
	assert_true(saw_marks);
	assert_int_equal(first_mark, mark_at(9));
	assert_int_equal(next_ptr(to, 0), 100ULL << 16);
	close_both();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(marks_go_from_port_to_port),
		RIG_TEST(marks_of_chains_and_of_what_is_left),
		RIG_TEST(without_the_option_there_are_none),
		RIG_TEST(offsets_and_marks_share_the_word),
		RIG_TEST(modules_read_and_write_marks),
	};

	return cmocka_run_group_tests_name("shm_marks", tests, NULL, NULL);
}
