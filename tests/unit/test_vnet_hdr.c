// SPDX-License-Identifier: BSD-2-Clause
// test_vnet_hdr.c - the bytes of a virtio_net_hdr.
#include "unit.h"

#include "core/vnet_hdr.h"

static void vnet_header(void **state)
{
	static const uint8_t wire[12] = { 1,  0x81, 54, 0, 0xa8, 5,
					  34, 0,    16, 0, 1,	 0 };
	uint8_t copy[12] = { 0 };
	struct offload off;

	assert_false(vnet_hdr_read(copy, &off));
	copy[0] = 4; /* a flag we do not know, fields without a meaning */
	copy[6] = 9;
	assert_false(vnet_hdr_read(copy, &off));
	assert_int_equal(off.csum_start, 0);
	assert_true(vnet_hdr_read(wire, &off));
	assert_int_equal(off.gso_type, 0x81);
	assert_int_equal(off.hdr_len, 54);
	assert_int_equal(off.gso_size, 1448);
	assert_int_equal(off.csum_start, 34);
	assert_int_equal(off.csum_offset, 16);
	vnet_hdr_write(copy, 12, &off);
	assert_memory_equal(copy, wire, 12);
	memset(copy, 0xee, 12);
	vnet_hdr_write(copy, 10, &off);
	assert_memory_equal(copy, wire, 10);
	assert_int_equal(copy[10], 0xee);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vnet_header),
	};

	return cmocka_run_group_tests_name("vnet_hdr", tests, NULL, NULL);
}
