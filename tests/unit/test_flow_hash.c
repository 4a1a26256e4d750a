// SPDX-License-Identifier: BSD-2-Clause
// test_flow_hash.c - one number per flow, spread evenly.
#include "packet.h"

#include "lib/flow_hash.h"

static void flows_have_numbers(void **state)
{
	uint8_t payload[128] = { 0 }, want[512] = { 0 };
	struct spec s = { .version = 4, .protocol = TCP, .payload = 100 };
	struct piece pc = { payload, 100, 0, 0, true };
	unsigned ring[16] = { 0 };

	for (s.version = 4; s.version <= 6; s.version += 2) {
		for (s.tags = 0; s.tags <= 2; s.tags++) {
			uint32_t a, b, other;

			build(want, &s, &pc);
			a = flow_hash(want, 128);
			pc.sent = 1000;
			build(want, &s, &pc);
			b = flow_hash(want, 128);
			want[l4_of(&s)]++;
			other = flow_hash(want, 128);
			assert_int_equal(a, b);
			assert_int_not_equal(a, other);
		}
	}
	s = (struct spec){ .version = 4, .protocol = UDP, .payload = 10 };
	for (unsigned i = 0; i < 1600; i++) {
		build(want, &s, &pc);
		put16(want + 34, 1024 + i);
		ring[flow_hash(want, 64) % 16]++;
	}
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(ring[i], 50, 150);
	/* Fragments of a datagram stay together; the ports do not count. */
	put16(want + 20, 0x2000);
	ring[0] = flow_hash(want, 64);
	want[34]++;
	assert_int_equal(ring[0], flow_hash(want, 64));
}

/* Exchanges n bytes at a and b. */
static void exchange(uint8_t *a, uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

static void both_directions_are_one_flow(void **state)
{
	uint8_t payload[128] = { 0 }, want[512] = { 0 };
	struct spec s = { .protocol = TCP, .payload = 100 };
	struct piece pc = { payload, 100, 0, 0, true };
	uint32_t there, half;

	for (s.version = 4; s.version <= 6; s.version += 2) {
		for (s.tags = 0; s.tags <= 2; s.tags++) {
			unsigned l4 = l4_of(&s), n = s.version == 4 ? 4 : 16;

			build(want, &s, &pc);
			there = flow_hash(want, 128);
			exchange(want + l4 - 2 * n, want + l4 - n, n);
			half = flow_hash(want, 128);
			exchange(want + l4, want + l4 + 2, 2);
			assert_int_equal(flow_hash(want, 128), there);
			/* A port belongs to its address. */
			assert_int_not_equal(half, there);
		}
	}
}

static void frames_that_are_no_ip(void **state)
{
	uint8_t frame[64] = {
		1, 2, 3, 4, 5, 6, 2, 8, 9, 10, 11, 12, 0x88, 0xcc
	};
	uint32_t there = flow_hash(frame, 64);

	exchange(frame, frame + 6, 6);
	assert_int_equal(flow_hash(frame, 64), there);
	for (unsigned i = 0; i < 12; i++) {
		frame[i] ^= 0x10;
		assert_int_not_equal(flow_hash(frame, 64), there);
		frame[i] ^= 0x10;
	}
	frame[14] ^= 1;
	assert_int_equal(flow_hash(frame, 64), there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_have_numbers),
		cmocka_unit_test(both_directions_are_one_flow),
		cmocka_unit_test(frames_that_are_no_ip),
	};

	return cmocka_run_group_tests_name("flow_hash", tests, NULL, NULL);
}
