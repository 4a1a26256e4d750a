// SPDX-License-Identifier: BSD-2-Clause
// test_checksum.c - every variant against one word after the other.
#include "packet.h"

#include "core/checksum.h"

static checksum_fn *const variants[ISA_N] = ISA_TABLE(checksum_bytes);

static void odd_pieces(checksum_fn *fn, const uint8_t *payload)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t len = rnd(3000), from = rnd(64), at = 0, n;
		struct checksum sum = { 0 };
		uint16_t folded;
		uint8_t bytes[2];

		for (; at < len; at += n) {
			n = 1 + rnd(len - at);
			checksum_piece(&sum, fn, payload + from + at, n);
		}
		folded = checksum_fold(sum.sum);
		memcpy(bytes, &folded, 2);
		assert_int_equal((bytes[0] << 8 | bytes[1]) % 0xffff,
				 slow_sum(0, payload + from, len) % 0xffff);
	}
}

static void checksum_of_odd_pieces(void **state)
{
	static uint8_t payload[4096];

	rnd_seed();
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = rnd(256);
	for (int isa = 0; isa <= (int)isa_now(); isa++)
		odd_pieces(variants[isa], payload);
}

static void best_is_this_machines(void **state)
{
	assert_ptr_equal(checksum_best(), variants[isa_now()]);
	assert_ptr_equal(checksum_best(), variants[isa_now()]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_of_odd_pieces),
		cmocka_unit_test(best_is_this_machines),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
