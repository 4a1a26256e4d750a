// SPDX-License-Identifier: BSD-2-Clause
// test_tap.c - what of the TAP driver needs no privileges.
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/switch.h"
#include "port/tap/tap.h"

static void addresses_are_parsed(void **state)
{
	static const char *const bad[] = {
		"",
		"10.0.0.1/",
		"10.0.0.1/33",
		"10.0.0/8",
		"10.0.0.1/ 8",
		"10.0.0.1/+8",
		"fd00::1/129",
		"fd00::g/64",
		"10.0.0.1/8x",
		"/8",
		"10.0.0.1/-1",
		"host/24",
	};
	struct glen_error error;
	struct tap_addr addr;

	assert_int_equal(addr_parse("10.1.2.3/24", &addr, &error), 0);
	assert_int_equal(addr.family, AF_INET);
	assert_int_equal(addr.prefix_len, 24);
	assert_memory_equal(addr.bytes, "\x0a\x01\x02\x03\0\0\0\0", 8);
	assert_int_equal(addr_parse("10.1.2.3", &addr, &error), 0);
	assert_int_equal(addr.prefix_len, 32);
	assert_int_equal(addr_parse("fd00::1/64", &addr, &error), 0);
	assert_int_equal(addr.family, AF_INET6);
	assert_int_equal(addr.prefix_len, 64);
	assert_int_equal(addr.bytes[15], 1);
	assert_int_equal(addr_parse("0.0.0.0/0", &addr, &error), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memset(&error, 0, sizeof(error));
		assert_int_equal(addr_parse(bad[i], &addr, &error), -EINVAL);
		assert_non_null(strstr(error.text, bad[i]));
	}
}

static void namespaces_are_named(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		"/etc/passwd",
		"../x",
		"/proc/../etc/x",
		"/run/netns/../x",
		"/tmp/netns/blue",
		"a/b",
		/* A user may have mounted what never answers. */
		"/proc/1/root/tmp/x",
		"/proc/1/cwd/ns/net",
		"/proc/self/stat",
		"/proc/../ns/net",
		"/var/run/user/1000/x",
		"/run/netns/a/b",
		"/run/netns/",
	};
	struct glen_error error;
	char path[NETNS_PATH_SIZE], lengthy[NETNS_PATH_SIZE + 1];

	assert_int_equal(netns_path("blue", path, &error), 0);
	assert_string_equal(path, "/run/netns/blue");
	assert_int_equal(netns_path("/proc/1/ns/net", path, &error), 0);
	assert_string_equal(path, "/proc/1/ns/net");
	assert_int_equal(netns_path("/var/run/docker/netns/0f3c", path, &error),
			 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(netns_path(bad[i], path, &error), -EINVAL);
	memset(lengthy, 'a', sizeof(lengthy));
	lengthy[NETNS_PATH_SIZE] = '\0';
	assert_int_equal(netns_path(lengthy, path, &error), -EINVAL);
}

static int never(void *arg)
{
	*(bool *)arg = true;
	return 0;
}

static void no_namespace_no_call(void **state)
{
	struct glen_error error = { 0 };
	bool called = false;

	assert_int_equal(netns_call("/run/netns/glen-no-such", never, &called,
				    &error),
			 -ENOENT);
	assert_non_null(strstr(error.text, "glen-no-such"));
	assert_int_not_equal(netns_call("/proc/self/stat", never, &called,
					&error),
			     0);
	assert_false(called);
}

static void expect_error(const char *name, const char *params, const char *part)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct glen_error error = { 0 };
	struct port *port = calloc(1, sizeof(*port));

	snprintf(port->name, sizeof(port->name), "%s", name);
	assert_int_equal(tap_port_ops.open(port, &args, &error), -EINVAL);
	if (!strstr(error.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, error.text);
	json_decref(args.params);
	free(port);
}

static void bad_options_are_refused(void **state)
{
	expect_error("a", "{\"queues\": 17}", "queues");
	expect_error("a", "{\"queues\": 0}", "queues");
	expect_error("a", "{\"ifname\": \"a b\"}", "a b");
	expect_error("a", "{\"ifname\": \"\"}", "must be made of");
	expect_error("a", "{\"ifname\": \"t%d\"}", "t%d");
	expect_error("a", "{\"ifname\": \"..\"}", "..");
	expect_error("a-name-too-long-x", "{}", "give a shorter ifname");
	expect_error("a", "{\"adress\": \"10.0.0.1/8\"}", "adress");
	expect_error("a", "{\"address\": 10}", "address");
	expect_error("a", "{\"address\": [\"10.0.0.1/8\", 3]}", "address");
	expect_error("a", "{\"address\": [\"10.0.0.1/99\"]}", "10.0.0.1/99");
	expect_error("a", "{\"address\": \"10.0.0.1/8,,10.0.0.2/8\"}", "\"\"");
	expect_error("a",
		     "{\"address\": \"1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5,"
		     "1.1.1.6,1.1.1.7,1.1.1.8,1.1.1.9,1.1.1.10,1.1.1.11,"
		     "1.1.1.12,1.1.1.13,1.1.1.14,1.1.1.15,1.1.1.16,1.1.1.17\"}",
		     "at most 16");
	expect_error("a", "{\"netns\": \"/etc/passwd\"}", "/etc/passwd");
}

/*
 * The hot callbacks over a socket pair of datagrams, which keeps the borders
 * of packets as a TAP does.
 */
struct harness {
	struct tap_queue queue;
	struct port port;
	struct counters in, out;
	struct batch batch;
	int wire;
};

static struct harness *harness_make(void)
{
	struct harness *h = aligned_alloc(64, (sizeof(*h) + 63) & ~(size_t)63);
	int fds[2];

	memset(h, 0, sizeof(*h));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0,
				    fds),
			 0);
	h->queue.fd = fds[0];
	h->wire = fds[1];
	h->queue.port = &h->port;
	h->queue.arena = mmap(NULL, TAP_ARENA_SIZE + TAP_ARENA_SPARE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	h->port.in[0].drv = h->port.out[0].drv = &h->queue;
	h->port.in[0].counters = &h->in;
	h->port.in[0].port = &h->port;
	return h;
}

static void harness_free(struct harness *h)
{
	munmap(h->queue.arena, TAP_ARENA_SIZE + TAP_ARENA_SPARE);
	if (h->queue.fd >= 0)
		close(h->queue.fd);
	if (h->wire >= 0)
		close(h->wire);
	free(h);
}

static unsigned harness_rx(struct harness *h)
{
	memset(&h->batch, 0, offsetof(struct batch, len));
	return tap_hot.rx(&h->port.in[0], &h->batch);
}

static void small_packets_make_a_batch(void **state)
{
	struct harness *h = harness_make();
	uint8_t packet[TAP_VNET_LEN + 1000] = { 0 };
	unsigned n = 0;

	while (n < 10) {
		memset(packet + TAP_VNET_LEN, n, sizeof(packet) - TAP_VNET_LEN);
		assert_true(write(h->wire, packet, TAP_VNET_LEN + 60 + n) > 0);
		n++;
	}
	packet[0] = OFFLOAD_NEEDS_CSUM;
	packet[6] = 34;
	packet[8] = 16;
	memset(packet + TAP_VNET_LEN, n, 200);
	assert_true(write(h->wire, packet, TAP_VNET_LEN + 200) > 0);
	assert_int_equal(harness_rx(h), 11);
	assert_int_equal(h->batch.n, 11);
	assert_true(h->batch.offloads && h->batch.overread);
	for (unsigned i = 0; i < 11; i++) {
		const uint8_t *ptr = h->batch.seg[h->batch.seg0[i]].ptr;
		uint32_t len = i < 10 ? 60 + i : 200;

		assert_int_equal(h->batch.len[i], len);
		for (uint32_t k = 0; k < len; k++)
			assert_int_equal(ptr[k], i);
	}
	assert_int_equal(h->batch.off[9].flags, 0);
	assert_int_equal(h->batch.off[10].flags, OFFLOAD_NEEDS_CSUM);
	assert_int_equal(h->batch.off[10].csum_start, 34);
	assert_int_equal(h->batch.off[10].csum_offset, 16);
	assert_int_equal(harness_rx(h), 0);
	harness_free(h);
}

static void giants_end_a_batch_and_cut_ones_are_dropped(void **state)
{
	struct harness *h = harness_make();
	uint8_t *packet = calloc(1, 2 * TAP_READ_SIZE);
	int size = 16 << 20;
	unsigned got = 0;

	setsockopt(h->wire, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (write(h->wire, packet, TAP_READ_SIZE + 5) < 0)
		SKIP("socket buffers are too small here");
	assert_int_equal(harness_rx(h), 1);
	assert_int_equal(h->batch.n, 0);
	assert_int_equal(h->in.drops[DROP_IN_TRUNCATED], 1);
	assert_int_equal(h->in.packets, 1);
	for (unsigned i = 0; i < 9; i++)
		if (write(h->wire, packet, TAP_VNET_LEN + TAP_FRAME_MAX) < 0)
			SKIP("socket buffers are too small here");
	for (unsigned n; (n = harness_rx(h)); got += n) {
		assert_int_equal(h->batch.n, n);
		assert_true(n < 9);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(h->batch.len[i], TAP_FRAME_MAX);
			assert_true(h->batch.seg[i].ptr + TAP_FRAME_MAX + 64 <=
				    h->queue.arena + TAP_ARENA_SIZE +
					    TAP_ARENA_SPARE);
		}
	}
	assert_int_equal(got, 9);
	assert_int_equal(h->in.packets, 1);
	free(packet);
	harness_free(h);
}

static void runts_are_counted(void **state)
{
	struct harness *h = harness_make();
	uint8_t packet[TAP_VNET_LEN + 13] = { 0 };

	for (unsigned len = 1; len <= sizeof(packet); len++)
		assert_true(write(h->wire, packet, len) > 0);
	while (harness_rx(h))
		assert_int_equal(h->batch.n, 0);
	assert_int_equal(h->in.drops[DROP_IN_RUNT], sizeof(packet));
	assert_int_equal(h->in.packets, sizeof(packet));
	harness_free(h);
}

static void header_and_segments_leave_as_one(void **state)
{
	struct harness *h = harness_make();
	struct tx_ctx ctx = { .counters = &h->out };
	struct batch *b = &h->batch;
	uint16_t list[2] = { 1, 0 };
	uint8_t packet[200];

	b->n = 2;
	b->offloads = true;
	b->off[1] = (struct offload){
		OFFLOAD_NEEDS_CSUM, OFFLOAD_GSO_TCPV4, 54, 1448, 34, 16
	};
	memcpy(b->hdr[0], "headerheader0", 14);
	memcpy(b->hdr[1], "headerheader1", 14);
	b->hdr_len[0] = b->hdr_len[1] = 14;
	b->len[0] = 14;
	b->len[1] = 14 + 5;
	b->seg[0] = (struct seg){ (const uint8_t *)"ab", 2, 0 };
	b->seg[1] = (struct seg){ NULL, 0, 0 };
	b->seg[2] = (struct seg){ (const uint8_t *)"cde", 3, 0 };
	b->n_seg[1] = 3;
	tap_hot.tx(&h->port.out[0], &ctx, b, list, 2);
	assert_int_equal(read(h->wire, packet, sizeof(packet)),
			 TAP_VNET_LEN + 19);
	assert_memory_equal(packet, "\1\1\66\0\xa8\5\42\0\20\0", TAP_VNET_LEN);
	assert_memory_equal(packet + TAP_VNET_LEN, "headerheader1\0abcde", 19);
	assert_int_equal(read(h->wire, packet, sizeof(packet)),
			 TAP_VNET_LEN + 14);
	assert_memory_equal(packet, "\0\0\0\0\0\0\0\0\0\0", TAP_VNET_LEN);
	assert_memory_equal(packet + TAP_VNET_LEN, "headerheader0", 14);
	assert_int_equal(h->out.packets, 2);
	assert_int_equal(h->out.bytes, 33);
	harness_free(h);
}

static void failures_have_names(void **state)
{
	struct harness *h = harness_make();
	struct tx_ctx ctx = { .counters = &h->out };
	struct batch *b = &h->batch;
	struct engine_config config = { 0 };
	struct engine *engine;
	uint16_t list[1] = { 0 };

	assert_int_equal(engine_create(&engine, &config, NULL), 0);
	assert_int_equal(switch_create(engine, "s", "learn", NULL, &h->port.sw,
				       NULL),
			 0);
	b->n = 1;
	b->hdr_len[0] = 14;
	b->len[0] = TAP_FRAME_MAX + 1;
	tap_hot.tx(&h->port.out[0], &ctx, b, list, 1);
	assert_int_equal(h->out.drops[DROP_OUT_OVERSIZE], 1);
	b->len[0] = 14;
	while (!h->out.drops[DROP_OUT_NO_ROOM])
		tap_hot.tx(&h->port.out[0], &ctx, b, list, 1);
	close(h->wire);
	h->wire = -1;
	tap_hot.tx(&h->port.out[0], &ctx, b, list, 1);
	assert_int_equal(h->out.drops[DROP_OUT_IO_ERROR], 1);
	assert_false(port_is_broken(&h->port));
	close(h->queue.fd);
	tap_hot.tx(&h->port.out[0], &ctx, b, list, 1);
	assert_int_equal(h->out.drops[DROP_OUT_GONE], 1);
	assert_true(port_is_broken(&h->port));
	h->queue.fd = h->wire = -1;
	harness_free(h);
	engine_destroy(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_parsed),
		cmocka_unit_test(namespaces_are_named),
		cmocka_unit_test(no_namespace_no_call),
		cmocka_unit_test(bad_options_are_refused),
		cmocka_unit_test(small_packets_make_a_batch),
		cmocka_unit_test(giants_end_a_batch_and_cut_ones_are_dropped),
		cmocka_unit_test(runts_are_counted),
		cmocka_unit_test(header_and_segments_leave_as_one),
		cmocka_unit_test(failures_have_names),
	};

	return cmocka_run_group_tests_name("tap", tests, NULL, NULL);
}
