// SPDX-License-Identifier: BSD-2-Clause
// test_flow_hash.c - one number per flow, spread evenly.
#include "packet.h"

#include "core/flow_hash.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_have_numbers),
	};

	return cmocka_run_group_tests_name("flow_hash", tests, NULL, NULL);
}
