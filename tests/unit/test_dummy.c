// SPDX-License-Identifier: BSD-2-Clause
// test_dummy.c - the driver that other tests rely on.
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/offload.h"
#include "port/dummy/dummy.h"

static struct port port;
static struct counters in_count, out_count;
static struct batch batch;

static void open_port(const char *params)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct glen_error error = { 0 };

	memset(&port, 0, sizeof(port));
	memset(&in_count, 0, sizeof(in_count));
	memset(&out_count, 0, sizeof(out_count));
	if (dummy_port_ops.open(&port, &args, &error))
		fail_msg("%s", error.text);
	json_decref(args.params);
	port.in[0].port = port.out[0].port = &port;
	port.in[0].counters = &in_count;
	port.out[0].counters = &out_count;
}

static const struct port_hot *hot(void)
{
	return dummy_port_ops.hot[0];
}

static unsigned receive(void)
{
	memset(&batch, 0, offsetof(struct batch, len));
	return hot()->rx(&port.in[0], &batch);
}

/* Hands packet i of the batch, without a private header, to egress 0. */
static void transmit(unsigned i)
{
	struct tx_ctx ctx = { .counters = &out_count };
	uint16_t list[1] = { i };

	memset(batch.hdr_len, 0, sizeof(batch.hdr_len));
	hot()->tx(&port.out[0], &ctx, &batch, list, 1);
}

static void segments_and_offload_cross(void **state)
{
	struct iovec iov[3] = { { "0123456789abcdef", 16 },
				{ "", 0 },
				{ "xyz", 3 } };
	struct offload off = { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 14 };
	struct offload got;
	char buf[64];

	open_port("{}");
	assert_int_equal(dummy_inject(&port, 0, iov, 3, &off), 0);
	assert_int_equal(receive(), 1);
	assert_int_equal(batch.n, 1);
	assert_int_equal(batch.len[0], 19);
	assert_int_equal(batch.n_seg[0], 3);
	assert_true(batch.multi_seg && batch.offloads && !batch.overread);
	transmit(0);
	hot()->rx_done(&port.in[0], &batch);
	assert_int_equal(dummy_collect(&port, 0, buf, sizeof(buf), &got), 19);
	assert_memory_equal(buf, "0123456789abcdefxyz", 19);
	assert_memory_equal(&got, &off, sizeof(off));
	assert_int_equal(dummy_collect(&port, 0, buf, sizeof(buf), NULL),
			 -EAGAIN);
	assert_int_equal(out_count.packets, 1);
	assert_int_equal(out_count.bytes, 19);
	dummy_port_ops.close(&port);
}

static void full_rings_refuse(void **state)
{
	open_port("{\"slots\": 2}");
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(dummy_inject_flat(&port, 0, "0123456789abcd",
						   14),
				 0);
	assert_int_equal(dummy_inject_flat(&port, 0, "0123456789abcd", 14),
			 -ENOSPC);
	assert_int_equal(receive(), 2);
	for (unsigned i = 0; i < 3; i++)
		transmit(0);
	assert_int_equal(out_count.packets, 2);
	assert_int_equal(out_count.drops[DROP_OUT_NO_ROOM], 1);
	hot()->rx_done(&port.in[0], &batch);
	assert_int_equal(dummy_pending_in(&port, 0), 0);
	assert_int_equal(dummy_pending_out(&port, 0), 2);
	dummy_port_ops.close(&port);
}

static void busy_and_down_drop(void **state)
{
	open_port("{\"overread\": true, \"buf_size\": 64}");
	dummy_inject_flat(&port, 0, "0123456789abcd", 14);
	dummy_inject_flat(&port, 0, batch.hdr, 65);
	assert_int_equal(receive(), 2);
	assert_true(batch.overread);
	dummy_set_busy(&port, 0, true);
	transmit(0);
	assert_int_equal(out_count.drops[DROP_OUT_NO_ROOM], 1);
	dummy_set_busy(&port, 0, false);
	dummy_set_link(&port, false);
	assert_false(dummy_port_ops.link(&port));
	transmit(0);
	assert_int_equal(out_count.drops[DROP_OUT_LINK_DOWN], 1);
	dummy_set_link(&port, true);
	transmit(1);
	assert_int_equal(out_count.drops[DROP_OUT_OVERSIZE], 1);
	assert_int_equal(out_count.packets, 0);
	hot()->rx_done(&port.in[0], &batch);
	dummy_port_ops.close(&port);
}

static void too_many_segments_are_dropped(void **state)
{
	struct iovec iov[PACKET_SEGS_MAX + 1];

	open_port("{}");
	for (unsigned i = 0; i <= PACKET_SEGS_MAX; i++)
		iov[i] = (struct iovec){ "ab", 2 };
	assert_int_equal(dummy_inject(&port, 0, iov, PACKET_SEGS_MAX + 1, NULL),
			 0);
	assert_int_equal(dummy_inject(&port, 0, iov, PACKET_SEGS_MAX, NULL), 0);
	assert_int_equal(receive(), 2);
	assert_int_equal(batch.n, 1);
	assert_int_equal(batch.n_seg[0], PACKET_SEGS_MAX);
	assert_int_equal(in_count.packets, 1);
	assert_int_equal(in_count.drops[DROP_IN_SEGMENTS], 1);
	hot()->rx_done(&port.in[0], &batch);
	dummy_port_ops.close(&port);
}

static void inject_kicks_an_armed_ring(void **state)
{
	struct pollfd p = { .events = POLLIN };

	open_port("{}");
	p.fd = port.in[0].in_fd;
	assert_false(hot()->rx_arm(&port.in[0]));
	assert_int_equal(poll(&p, 1, 0), 0);
	dummy_inject_flat(&port, 0, "0123456789abcd", 14);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(hot()->rx_arm(&port.in[0]));
	dummy_port_ops.close(&port);
}

static void bad_options_are_refused(void **state)
{
	static const char *const bad[] = {
		"{\"slots\": 3}", "{\"in_rings\": 17}", "{\"caps\": 64}",
		"{\"sink\": 1}",  "{\"slot\": 4}",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct port_args args = { .params = json_loads(bad[i], 0,
							       NULL) };
		struct glen_error error = { 0 };

		assert_int_equal(dummy_port_ops.open(&port, &args, &error),
				 -EINVAL);
		assert_int_not_equal(error.text[0], 0);
		json_decref(args.params);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_and_offload_cross),
		cmocka_unit_test(full_rings_refuse),
		cmocka_unit_test(busy_and_down_drop),
		cmocka_unit_test(too_many_segments_are_dropped),
		cmocka_unit_test(inject_kicks_an_armed_ring),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests_name("dummy", tests, NULL, NULL);
}
