// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_bad.c - virtqueues that break the rules, in every way there is.
#include "vhost_rig.h"

/*
 * Each test makes three good chains available, a fourth one of two buffers
 * which is then spoiled, and two more good ones. What came before the bad one
 * is delivered, nothing else is touched, the queue has failed with a reason;
 * and when the guest mends it and the queue is set up anew, all go on.
 */
enum { BEFORE = 3, CHAINS = 6, SIZE = 64, LEN = 100, POKES = 1000 };

struct bad {
	const char *name;
	bool on_split, on_packed;
	bool indirect;	 /* the bad chain has an indirect table */
	bool at_once;	 /* nothing is delivered */
	bool only_out;	 /* a receive queue's */
	const char *why; /* in the reason */
	void (*spoil)(void);
};

static struct vq v;
static enum vq_side side;
static uint64_t *bad_desc; /* the bad chain's first two words */
static uint64_t *table;	   /* of its indirect table */
static uint16_t bad_slot;
static struct {
	uint16_t *at;
	uint16_t was;
} pokes[POKES];
static unsigned n_pokes;

static void poke16(uint16_t *at, uint16_t value)
{
	assert_true(n_pokes < POKES);
	pokes[n_pokes].at = at;
	pokes[n_pokes++].was = *at;
	*at = value;
}

static void poke64(uint64_t *at, uint64_t value)
{
	for (unsigned i = 0; i < 4; i++)
		poke16((uint16_t *)at + i, value >> (16 * i));
}

static void mend(void)
{
	for (; n_pokes; n_pokes--)
		*pokes[n_pokes - 1].at = pokes[n_pokes - 1].was;
}

/* Parts of a descriptor's second word. */
static void poke_len(uint64_t *desc, uint32_t len)
{
	poke64(desc + 1, (desc[1] & ~0xffffffffULL) | len);
}

static uint16_t *flags_of(uint64_t *desc)
{
	return (uint16_t *)(desc + 1) + (v.g.packed ? 3 : 2);
}

static void poke_flags(uint64_t *desc, uint16_t set, uint16_t clear)
{
	poke16(flags_of(desc), (*flags_of(desc) & ~clear) | set);
}

/* Split: the next descriptor's index; packed: the id. */
static uint16_t *tail_of(uint64_t *desc)
{
	return (uint16_t *)(desc + 1) + (v.g.packed ? 2 : 3);
}

/* The bad chain's last descriptor in the ring. */
static uint64_t *last_desc(void)
{
	if (!v.g.packed)
		return v.g.desc + 2 * *tail_of(bad_desc);
	return v.g.desc + 2 * ((bad_slot + 1) % v.g.size);
}

static void head_is_size(void)
{
	poke16(&v.g.avail[2 + (v.g.avail_idx - 3) % v.g.size], v.g.size);
}

static void head_is_huge(void)
{
	poke16(&v.g.avail[2 + (v.g.avail_idx - 3) % v.g.size], 0xffff);
}

static void next_is_size(void)
{
	poke16(tail_of(bad_desc), v.g.size);
}

static void next_is_huge(void)
{
	poke16(tail_of(bad_desc), 0xffff);
}

static void next_is_itself(void)
{
	poke16(tail_of(bad_desc), (bad_desc - v.g.desc) / 2);
}

static void goes_in_a_circle(void)
{
	poke_flags(last_desc(), F_NEXT, 0);
	poke16(tail_of(last_desc()), (bad_desc - v.g.desc) / 2);
}

static void index_jumps(void)
{
	poke16(&v.g.avail[1], v.g.used_idx + v.g.size + 1);
}

static void index_goes_back(void)
{
	poke16(&v.g.avail[1], v.g.used_idx - 1);
}

/* Used descriptors have no next one: they would be the end. */
static void all_have_next(void)
{
	uint16_t write = side == VQ_OUT ? F_WRITE : 0;

	for (unsigned i = 0; i < v.g.size; i++) {
		poke_len(v.g.desc + 2 * i, 0);
		poke_flags(v.g.desc + 2 * i, F_NEXT | write,
			   F_INDIRECT | (F_WRITE & ~write));
	}
}

static void addr_is_nowhere(void)
{
	poke64(bad_desc, 0x1000);
}

static void addr_of_last_is_nowhere(void)
{
	poke64(last_desc(), 1ULL << 63);
}

static void addr_is_in_a_gap(void)
{
	poke64(bad_desc, v.g.area[0].gpa + v.g.area[0].size);
}

static void addr_is_in_front(void)
{
	poke64(bad_desc, v.g.area[0].gpa - 1);
}

static void end_is_behind(void)
{
	uint32_t len = bad_desc[1];

	poke64(bad_desc, v.g.area[2].gpa + v.g.area[2].size - len + 1);
}

static void end_is_in_the_next_region(void)
{
	poke64(bad_desc, v.g.area[1].gpa + v.g.area[1].size - 1);
}

static void addr_wraps(void)
{
	poke64(bad_desc, UINT64_MAX - 10);
}

static void addr_wraps_to_good(void)
{
	poke64(bad_desc, UINT64_MAX - 10);
	poke_len(bad_desc, 0x10000 + 20);
}

static void len_is_huge(void)
{
	poke_len(bad_desc, UINT32_MAX);
}

static void other_direction(void)
{
	poke_flags(bad_desc, *flags_of(bad_desc) & F_WRITE ? 0 : F_WRITE,
		   F_WRITE);
}

static void last_in_other_direction(void)
{
	poke_flags(last_desc(), *flags_of(last_desc()) & F_WRITE ? 0 : F_WRITE,
		   F_WRITE);
}

static void indirect_with_next(void)
{
	poke_flags(bad_desc, F_INDIRECT | F_NEXT, 0);
	poke_len(bad_desc, 32);
}

static void indirect_is_last(void)
{
	poke_flags(last_desc(), F_INDIRECT, F_WRITE);
	poke_len(last_desc(), 32);
}

static void table_in_table(void)
{
	poke_flags(table, F_INDIRECT, F_WRITE);
}

static void table_in_table_later(void)
{
	poke_flags(table + 2, F_INDIRECT, F_WRITE);
}

static void table_is_empty(void)
{
	poke_len(bad_desc, 0);
}

static void table_is_odd(void)
{
	poke_len(bad_desc, 33);
}

static void table_is_too_long(void)
{
	poke_len(bad_desc, 16 * (v.g.size + 1));
}

static void table_is_huge(void)
{
	poke_len(bad_desc, 0xfffffff0);
}

static void table_is_nowhere(void)
{
	poke64(bad_desc, 0x500000);
}

static void table_ends_behind(void)
{
	poke64(bad_desc, v.g.area[2].gpa + v.g.area[2].size - 16);
}

static void table_is_in_two_regions(void)
{
	poke64(bad_desc, v.g.area[1].gpa + v.g.area[1].size - 16);
}

static void table_is_not_aligned(void)
{
	poke64(bad_desc, bad_desc[0] + 4);
}

static void not_negotiated(void)
{
	v.r.indirect = false;
}

static void next_leaves_table(void)
{
	poke16(tail_of(table), 2);
}

static void circle_in_table(void)
{
	poke_flags(table + 2, F_NEXT, 0);
	poke16(tail_of(table + 2), 0);
}

static void buffer_of_table_is_nowhere(void)
{
	poke64(table + 2, 0x500000);
}

static void other_direction_in_table(void)
{
	poke_flags(table + 2, *flags_of(table + 2) & F_WRITE ? 0 : F_WRITE,
		   F_WRITE);
}

static void id_is_size(void)
{
	poke16(tail_of(last_desc()), v.g.size);
}

static void id_is_huge(void)
{
	poke16(tail_of(last_desc()), 0xffff);
}

static void id_with_table_is_huge(void)
{
	poke16(tail_of(bad_desc), 0xffff);
}

static void shorter_than_a_header(void)
{
	poke_flags(bad_desc, 0, F_NEXT);
	poke_len(bad_desc, 11);
}

static void no_room_at_all(void)
{
	poke_flags(bad_desc, 0, F_NEXT);
	poke_len(bad_desc, 0);
	poke64(bad_desc, 0x500000); /* nobody looks there */
}

#define BAD(f, kinds, ...)                                                 \
	{                                                                  \
		.name = #f, .on_split = (kinds)&1, .on_packed = (kinds)&2, \
		.spoil = f, __VA_ARGS__                                    \
	}

static const struct bad bads[] = {
	BAD(head_is_size, 1, .why = "leaves its table"),
	BAD(head_is_huge, 1, .why = "leaves its table"),
	BAD(next_is_size, 1, .why = "leaves its table"),
	BAD(next_is_huge, 1, .why = "leaves its table"),
	BAD(next_is_itself, 1, .why = "no end"),
	BAD(goes_in_a_circle, 1, .why = "no end"),
	BAD(index_jumps, 1, .at_once = true, .why = "available index"),
	BAD(index_goes_back, 1, .at_once = true, .why = "available index"),
	BAD(all_have_next, 2, .at_once = true, .why = "no end"),
	BAD(addr_is_nowhere, 3, .why = "outside"),
	BAD(addr_of_last_is_nowhere, 3, .why = "outside"),
	BAD(addr_is_in_a_gap, 3, .why = "outside"),
	BAD(addr_is_in_front, 3, .why = "outside"),
	BAD(end_is_behind, 3, .why = "outside"),
	BAD(end_is_in_the_next_region, 3, .why = "outside"),
	BAD(addr_wraps, 3, .why = "outside"),
	BAD(addr_wraps_to_good, 3, .why = "outside"),
	BAD(len_is_huge, 3, .why = "outside"),
	BAD(other_direction, 3, .why = "wrong side"),
	BAD(last_in_other_direction, 3, .why = "wrong side"),
	BAD(indirect_with_next, 3, .why = "not alone"),
	BAD(indirect_is_last, 3, .why = "not alone"),
	BAD(table_in_table, 3, .indirect = true, .why = "not alone"),
	BAD(table_in_table_later, 3, .indirect = true, .why = "not alone"),
	BAD(table_is_empty, 3, .indirect = true, .why = "bad size"),
	BAD(table_is_odd, 3, .indirect = true, .why = "bad size"),
	BAD(table_is_too_long, 3, .indirect = true, .why = "bad size"),
	BAD(table_is_huge, 3, .indirect = true, .why = "bad size"),
	BAD(table_is_nowhere, 3, .indirect = true, .why = "outside"),
	BAD(table_ends_behind, 3, .indirect = true, .why = "outside"),
	BAD(table_is_in_two_regions, 3, .indirect = true, .why = "outside"),
	BAD(table_is_not_aligned, 3, .indirect = true, .why = "aligned"),
	BAD(not_negotiated, 3, .indirect = true, .why = "negotiated"),
	BAD(next_leaves_table, 1, .indirect = true, .why = "leaves its table"),
	BAD(circle_in_table, 1, .indirect = true, .why = "no end"),
	BAD(buffer_of_table_is_nowhere, 3, .indirect = true, .why = "outside"),
	BAD(other_direction_in_table, 1, .indirect = true, .why = "wrong side"),
	/* DPDK does that where it sends. */
	BAD(other_direction_in_table, 2, .indirect = true, .only_out = true,
	    .why = "wrong side"),
	BAD(id_is_size, 2, .why = "id"),
	BAD(id_is_huge, 2, .why = "id"),
	BAD(id_with_table_is_huge, 2, .indirect = true, .why = "id"),
	BAD(shorter_than_a_header, 3, .only_out = true, .why = "header"),
	BAD(no_room_at_all, 3, .only_out = true, .why = "header"),
};

static struct batch b;
static uint8_t packet[CHAINS][VHOST_HDR_LEN + LEN];

/* Chain number i: the bad one has two buffers, and others sometimes. */
static void add_chain(unsigned i, unsigned n_bufs, bool indirect)
{
	struct guest_buf buf[2];
	uint16_t slot = v.g.avail_idx;
	uint64_t gpa;
	uint16_t id;

	for (unsigned k = 0; k < n_bufs; k++) {
		uint32_t cut = n_bufs == 1 ? 0 : 30;
		uint32_t len = k   ? VHOST_HDR_LEN + LEN - cut :
			       cut ? cut :
				     VHOST_HDR_LEN + LEN;

		gpa = guest_alloc(&v.g, len, 1);
		buf[k] = (struct guest_buf){ gpa, len, side == VQ_OUT };
		if (side == VQ_IN)
			memcpy(guest_ptr(&v.g, gpa), packet[i] + (k ? cut : 0),
			       len);
	}
	id = guest_add(&v.g, buf, n_bufs, indirect);
	if (i != BEFORE)
		return;
	bad_slot = slot;
	bad_desc = v.g.desc + 2 * (v.g.packed ? slot : id);
	table = indirect ? (uint64_t *)guest_ptr(&v.g, bad_desc[0]) : NULL;
}

static void add_chains(const struct bad *bad, bool slow)
{
	for (unsigned i = 0; i < CHAINS; i++) {
		memset(packet[i], 0, VHOST_HDR_LEN);
		vq_fill(packet[i] + VHOST_HDR_LEN, LEN, i);
		if (i == BEFORE)
			add_chain(i, 2, bad->indirect);
		else
			add_chain(i, slow ? 2 : 1,
				  slow && i & 1 &&
					  bad->spoil != not_negotiated);
	}
	guest_show(&v.g);
}

/* Takes what there is: packets [first, first + n). */
static void receive_in(unsigned first, unsigned n)
{
	unsigned got = 0, used;
	uint8_t flat[LEN];

	while ((used = vq_rx(&v))) {
		assert_int_equal(v.b.n, used);
		for (unsigned i = 0; i < used; i++, got++) {
			assert_int_equal(vq_packet(&v, i, flat), LEN);
			assert_memory_equal(flat,
					    packet[first + got] + VHOST_HDR_LEN,
					    LEN);
		}
		vq_rx_done(&v);
	}
	assert_int_equal(got, n);
	guest_take_empty(&v.g, n);
	assert_int_equal(v.counters.packets, 0); /* no drops */
}

static void send_out(unsigned first, unsigned n)
{
	struct guest_chain c = { 0 };
	uint32_t len = 0;

	memset(&v.counters, 0, sizeof(v.counters));
	vq_batch(&b);
	for (unsigned i = first; i < CHAINS; i++)
		vq_batch_add(&b, packet[i] + VHOST_HDR_LEN, LEN, 1);
	vq_tx(&v, &b);
	for (unsigned i = 0; i < n; i++) {
		uint8_t flat[VHOST_HDR_LEN + LEN];
		uint32_t at = 0;

		assert_true(guest_take(&v.g, &c, &len));
		assert_int_equal(len, VHOST_HDR_LEN + LEN);
		for (unsigned k = 0; k < c.n; k++) {
			memcpy(flat + at, guest_ptr(&v.g, c.buf[k].gpa),
			       c.buf[k].len);
			at += c.buf[k].len;
			guest_expect(&v.g, c.buf[k].gpa, c.buf[k].len);
		}
		assert_memory_equal(flat + VHOST_HDR_LEN,
				    packet[first + i] + VHOST_HDR_LEN, LEN);
		free(c.buf);
	}
	assert_false(guest_take(&v.g, &c, &len));
	assert_int_equal(v.counters.packets, n);
	assert_int_equal(v.counters.drops[DROP_OUT_LINK_DOWN],
			 CHAINS - first - n);
}

static void run(unsigned first, unsigned n)
{
	guest_remember(&v.g);
	if (side == VQ_IN)
		receive_in(first, n);
	else
		send_out(first, n);
	guest_unchanged(&v.g);
}

static void one_bad(const struct bad *bad, bool packed, bool slow)
{
	struct vq_kind kind = { .packed = packed, .size = SIZE, .start = 10 };
	unsigned before = bad->at_once ? 0 : BEFORE;
	struct vhost_saved_queue at;

	vq_open(&v, side, &kind);
	add_chains(bad, slow);
	bad->spoil();
	run(0, before);
	if (!vq_reason(&v) || !strstr(vq_reason(&v), bad->why))
		fail_msg("%s: '%s' is not '%s'", bad->name, vq_reason(&v),
			 bad->why);
	assert_int_equal(vq_rx(&v), 0);
	at = vhost_queue_at(&v.q);
	assert_memory_equal(&at, &v.saved, sizeof(at));
	/* The guest mends it, and the queue is set up anew. */
	mend();
	v.r.indirect = true;
	vhost_queue_reset(&v.q, side == VQ_OUT, &at);
	if (side == VQ_OUT)
		v.q.later = v.later;
	run(before, CHAINS - before);
	assert_null(vq_reason(&v));
	vq_close(&v);
}

static void every_bad(void **state)
{
	for (unsigned i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *bad = &bads[i];

		print_message("# %s\n", bad->name);
		for (unsigned how = 0; how < 8; how++) {
			side = how & 1 ? VQ_OUT : VQ_IN;
			if ((bad->only_out && side == VQ_IN) ||
			    !(how & 2 ? bad->on_packed : bad->on_split))
				continue;
			one_bad(bad, how & 2, how & 4);
		}
	}
}

/* 256 descriptors are a chain, 257 are none. */
static void long_chains(void **state)
{
	FOR_KINDS(kind, .size = 512, .start = 300)
	{
		for (unsigned n = 256; n <= 257; n++) {
			for (unsigned indirect = 0; indirect < 2; indirect++) {
				struct guest_buf buf[257] = { { 0 } };

				vq_open(&v, VQ_IN, &kind);
				buf[n - 1].gpa = guest_alloc(&v.g, 100, 1);
				buf[n - 1].len = 100;
				memset(guest_ptr(&v.g, buf[n - 1].gpa), 0, 100);
				guest_add(&v.g, buf, n, indirect);
				guest_show(&v.g);
				assert_int_equal(vq_rx(&v), n == 256);
				assert_int_equal(v.b.n, n == 256);
				assert_int_equal(!vq_reason(&v), n == 256);
				vq_close(&v);
			}
		}
	}
}

/* Tiny buffers for a packet of many: the guest would keep others waiting. */
static void tiny_buffers(void **state)
{
	static uint8_t data[60000];

	FOR_KINDS(kind, .size = 4096)
	{
		struct guest_buf one = { .len = 12, .write = true };

		vq_open(&v, VQ_OUT, &kind);
		for (unsigned i = 0; i < 4096; i++) {
			one.gpa = guest_alloc(&v.g, 12, 1);
			guest_add(&v.g, &one, 1, false);
		}
		guest_show(&v.g);
		vq_batch(&b);
		vq_batch_add(&b, data, 200, 1);
		vq_tx(&v, &b);
		assert_int_equal(v.counters.packets, 1);
		vq_batch(&b);
		vq_batch_add(&b, data, 6000, 1);
		vq_tx(&v, &b);
		assert_int_equal(v.counters.drops[DROP_OUT_LINK_DOWN], 1);
		assert_non_null(strstr(vq_reason(&v), "too small"));
		vq_close(&v);
	}
}

/* Many descriptors without a byte: a batch is cut short. */
static void bounded_batches(void **state)
{
	FOR_KINDS(kind, .size = 256)
	{
		for (unsigned indirect = 0; indirect < 2; indirect++) {
			struct guest_buf buf[200] = { { 0 } };
			unsigned n = indirect ? 200 : 1, used, all = 0;

			vq_open(&v, VQ_IN, &kind);
			while (guest_fits(&v.g, n) ||
			       (indirect && guest_fits(&v.g, 1)))
				guest_add(&v.g, buf, n, indirect);
			guest_show(&v.g);
			while ((used = vq_rx(&v))) {
				assert_int_equal(v.b.n, 0);
				if (indirect)
					assert_true(used <= 4096 / 200 + 1);
				vq_rx_done(&v);
				all += used;
			}
			assert_int_equal(all, 256);
			assert_int_equal(v.counters.drops[DROP_IN_RUNT], 256);
			vq_close(&v);
		}
	}
}

/* The guest that makes a descriptor available again as soon as it is read. */
static unsigned n_read;

static void again(void)
{
	uint64_t *desc = v.g.desc + 2 * ((16 + n_read++) % v.g.size);

	*flags_of(desc) ^= F_AVAIL | F_USED;
}

/*
 * Fixes laps of the walker over itself: a packed ring whose guest makes all of
 * it available again, for the other wrap counter, while it is being read.
 */
static void laps(void **state)
{
	struct vq_kind kind = { .packed = true, .size = 32, .start = 16 };
	static uint8_t bytes[60];

	for (unsigned how = 0; how < 4; how++) {
		bool slow = how & 2;
		uint16_t write = how & 1 ? F_WRITE : 0;

		side = how & 1 ? VQ_OUT : VQ_IN;
		vq_open(&v, side, &kind);
		/* By turns in two regions, so that each is looked up. */
		for (unsigned i = 0; i < kind.size; i++)
			guest_set_desc(v.g.desc, i,
				       v.g.area[1 + i % 2].gpa + 2048 * i,
				       packed_rest(slow && !write ? 12 : 400, i,
						   (i < 16 ? F_USED : F_AVAIL) |
							   write));
		n_read = 0;
		vq_searching = again;
		if (side == VQ_IN) {
			assert_int_equal(vq_rx(&v), 32);
			assert_int_equal(v.b.n, slow ? 0 : 32);
			vq_rx_done(&v);
		} else {
			vq_batch(&b);
			for (unsigned i = 0; i < 40; i++)
				vq_batch_add(&b, bytes, 60, slow ? 2 : 1);
			vq_tx(&v, &b);
			assert_int_equal(v.counters.packets, 32);
			assert_int_equal(v.counters.drops[DROP_OUT_NO_ROOM], 8);
		}
		vq_searching = NULL;
		assert_true(n_read >= 32);
		assert_int_equal(v.q.used, 16);
		vq_close(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bad),
		cmocka_unit_test(long_chains),
		cmocka_unit_test(tiny_buffers),
		cmocka_unit_test(bounded_batches),
		cmocka_unit_test(laps),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_bad", tests, NULL, NULL);
}
