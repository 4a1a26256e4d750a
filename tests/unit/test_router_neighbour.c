// SPDX-License-Identifier: BSD-2-Clause
// test_router_neighbour.c - neighbours of the router: asked, known, forgotten.
#include "unit.h"

#include "router_expect.h"

#define NOBODY "000000000000"
#define ALL "ffffffffffff"
#define OTHER "02000000cccc"

static struct router_frame question(void)
{
	return arp(ALL, WAN, 1, "192.0.2.1", NOBODY, "192.0.2.254");
}

static struct router_frame answer_of(const char *mac)
{
	return arp(WAN, mac, 2, "192.0.2.254", WAN, "192.0.2.1");
}

/* Number n of frames through the gate, as it enters or leaves. */
static struct router_frame numbered(unsigned n, const char *stations)
{
	struct router_frame f = from_lan("10.0.0.5", "198.51.100.7", 64, 100);
	struct router_frame head;

	f.b[14 + 28] = (uint8_t)n;
	if (!stations)
		return f;
	head = frame(stations);
	memcpy(f.b, head.b, 12);
	f.b[14 + 8]--;
	memset(f.b + 14 + 10, 0, 2);
	put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	return f;
}

static void send_numbered(unsigned n)
{
	struct router_frame f = numbered(n, NULL);

	feed(0, &f);
}

static void expect_numbered(unsigned n, const char *stations)
{
	struct router_frame f = numbered(n, stations);

	expect(1, &f);
}

/* What the host in lan is told about a frame that waited in vain. */
static struct router_frame unreachable(unsigned n)
{
	struct router_frame about = numbered(n, WAN WAN);
	struct router_frame f = frame(LAN_HOST LAN "0800 45c0 009c 0000 4000"
						   "4001 0000");

	add_ip(&f, "10.0.0.1");
	add_ip(&f, "10.0.0.5");
	put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	add(&f, "0301 0000 0000 0000");
	add_bytes(&f, about.b + 14, 120);
	f.b[14 + 3] = (uint8_t)(f.len - 14);
	f.b[14 + 10] = f.b[14 + 11] = 0;
	put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	sum_icmp4(&f, 14 + 20);
	return f;
}

static void gives_up_after_three_questions(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	send_numbered(1);
	f = question();
	expect(1, &f);
	send_numbered(2);
	for (unsigned i = 0; i < 2; i++) {
		router_pass(3);
		expect_none();
		router_pass(1);
		expect(1, &f);
	}
	router_pass(3);
	assert_int_equal(router_waiting(), 2);
	router_pass(1);
	assert_int_equal(router_waiting(), 0);
	f = unreachable(1);
	expect(0, &f);
	f = unreachable(2);
	expect(0, &f);
	assert_int_equal(router_dropped(ROUTER_R_HOST_UNREACHABLE), 2);
	assert_int_equal(rr.state->neigh.n_busy, 0);
	/* And the timer rests. */
	router_pass(2);
	assert_false(rr.state->neigh.ticking);
	/* The next packet asks again. */
	send_numbered(3);
	f = question();
	expect(1, &f);
	finish();
}

static void ipv6_gives_up_as_well(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	f = from_lan("2001:db8:1::5", "2001:db8:2::9", 64, 100);
	feed(0, &f);
	router_pass(11);
	assert_int_equal(rr.n_out, 3);
	rr.n_out = 0;
	router_pass(1);
	assert_int_equal(rr.n_out, 1);
	assert_int_equal(rr.out[0].port, 0);
	/* Destination unreachable: address. */
	assert_int_equal(rr.out[0].b[14 + 40], 1);
	assert_int_equal(rr.out[0].b[14 + 41], 3);
	assert_int_equal(router_dropped(ROUTER_R_HOST_UNREACHABLE), 1);
	rr.n_out = 0;
	finish();
}

static void keeps_the_newest(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	for (unsigned i = 0; i < 6; i++)
		send_numbered(i);
	f = question();
	expect(1, &f);
	expect_none();
	assert_int_equal(router_dropped(ROUTER_R_QUEUE_FULL), 2);
	f = answer_of(WAN_GATE);
	feed(1, &f);
	for (unsigned i = 2; i < 6; i++)
		expect_numbered(i, WAN_GATE WAN);
	finish();
}

/* Sends one packet to each of n stations in wan that nobody is. */
static void scan(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char dst[32];
		struct router_frame f;

		snprintf(dst, sizeof(dst), "192.0.2.%u", 2 + i);
		f = from_lan("10.0.0.5", dst, 64, 20);
		feed(0, &f);
		rr.n_out = 0;
	}
}

static void a_scan_leaves_buffers_for_answers(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	scan(250);
	assert_int_equal(rr.router->n_free, 32);
	assert_int_equal(router_waiting(), 256 - 32);
	assert_int_equal(router_dropped(ROUTER_R_NO_BUFFER), 250 - 224);
	f = nd("3333ff000001", LAN_HOST, 135, "00000000", "2001:db8:1::5",
	       "ff02::1:ff00:1", "2001:db8:1::1");
	feed(0, &f);
	assert_int_equal(rr.n_out, 1);
	assert_true(router_adds_up());
	router_pass(13);
	assert_int_equal(router_waiting(), 0);
	assert_int_equal(rr.router->n_free, 256);
	rr.n_out = 0;
	finish();
}

static const char small_file[] = "interface lan mac 02:00:00:00:00:01\n"
				 "interface wan mac 02:00:00:00:00:02\n"
				 "address lan 10.0.0.1/24\n"
				 "address wan 192.0.2.1/24\n"
				 "neighbours 16\n";

static void the_table_is_bounded(void **state)
{
	router_open_quiet(small_file);
	scan(20);
	assert_int_equal(router_dropped(ROUTER_R_NEIGHBOUR_FULL), 4);
	assert_int_equal(router_waiting(), 16);
	/* Then the sender, who is told of it, does not answer either. */
	router_pass(13);
	assert_int_equal(rr.state->neigh.n_used, 1);
	router_pass(13);
	assert_int_equal(rr.state->neigh.n_used, 0);
	rr.n_out = 0;
	finish();
}

/* Who asks fills at most three quarters, and makes room after a while. */
static void strangers_do_not_fill_the_table(void **state)
{
	router_open_quiet(small_file);
	for (unsigned i = 0; i < 20; i++) {
		char src[32];
		struct router_frame f;

		snprintf(src, sizeof(src), "10.0.0.%u", 10 + i);
		f = arp(ALL, LAN_HOST, 1, src, NOBODY, "10.0.0.1");
		feed(0, &f);
	}
	assert_int_equal(rr.n_out, 20);
	assert_int_equal(rr.state->neigh.n_used, 12);
	scan(4);
	assert_int_equal(rr.state->neigh.n_used, 16);
	assert_int_equal(router_dropped(ROUTER_R_NEIGHBOUR_FULL), 0);
	router_pass(4 * 61);
	rr.n_out = 0;
	assert_int_equal(rr.state->neigh.n_used, 12);
	scan(5);
	assert_int_equal(rr.state->neigh.n_used, 5);
	assert_int_equal(router_dropped(ROUTER_R_NEIGHBOUR_FULL), 0);
	finish();
}

static void checks_those_it_uses(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_wan_gate();
	send_numbered(1);
	expect_numbered(1, WAN_GATE WAN);
	router_pass(4 * 31);
	send_numbered(2);
	f = arp(WAN_GATE, WAN, 1, "192.0.2.1", NOBODY, "192.0.2.254");
	expect(1, &f);
	expect_numbered(2, WAN_GATE WAN);
	f = answer_of(WAN_GATE);
	feed(1, &f);
	router_pass(20);
	expect_none();
	/* Once more, and nobody answers: used until it is given up. */
	router_pass(4 * 31);
	send_numbered(3);
	f = arp(WAN_GATE, WAN, 1, "192.0.2.1", NOBODY, "192.0.2.254");
	expect(1, &f);
	expect_numbered(3, WAN_GATE WAN);
	router_pass(4);
	expect(1, &f);
	router_pass(4);
	expect(1, &f);
	send_numbered(4);
	expect_numbered(4, WAN_GATE WAN);
	router_pass(4);
	send_numbered(5);
	f = question();
	expect(1, &f);
	finish();
}

static void follows_a_neighbour_that_moves(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_wan_gate();
	f = arp(ALL, OTHER, 1, "192.0.2.254", NOBODY, "192.0.2.254");
	feed(1, &f);
	send_numbered(1);
	expect_numbered(1, OTHER WAN);
	/* By IPv6 only who overrides is followed. */
	f = nd("333300000001", OTHER, 136, "00000000", "fe80::fe", "ff02::1",
	       "fe80::fe");
	feed(1, &f);
	f = from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 20);
	feed(0, &f);
	assert_memory_equal(rr.out[0].b, frame(WAN_GATE).b, 6);
	rr.n_out = 0;
	f = nd("333300000001", OTHER, 136, "20000000", "fe80::fe", "ff02::1",
	       "fe80::fe");
	feed(1, &f);
	f = from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 20);
	feed(0, &f);
	assert_memory_equal(rr.out[0].b, frame(OTHER).b, 6);
	rr.n_out = 0;
	finish();
}

static void learns_nothing_unasked(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	f = answer_of(WAN_GATE);
	feed(1, &f);
	f = arp(ALL, OTHER, 1, "192.0.2.254", NOBODY, "192.0.2.254");
	feed(1, &f);
	f = nd(WAN, WAN_GATE, 136, "60000000", "fe80::fe", "fe80::ff:fe00:2",
	       "fe80::fe");
	feed(1, &f);
	assert_int_equal(router_dropped(ROUTER_R_CONSUMED), 3);
	/* Of a subnet that is not there. */
	f = arp(ALL, WAN_GATE, 1, "10.0.0.77", NOBODY, "192.0.2.1");
	feed(1, &f);
	assert_int_equal(router_dropped(ROUTER_R_IGNORED), 1);
	assert_int_equal(router_counted(ROUTER_C_LEARNED), 0);
	finish();
}

static void sees_who_has_its_address(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	f = arp(ALL, OTHER, 1, "10.0.0.1", NOBODY, "10.0.0.1");
	feed(0, &f);
	f = nd("333300000001", OTHER, 136, "20000000", "2001:db8:1::1",
	       "ff02::1", "2001:db8:1::1");
	feed(0, &f);
	assert_int_equal(router_dropped(ROUTER_R_CONFLICT), 2);
	/* What we said ourselves and comes back is none. */
	f = arp(ALL, LAN, 1, "10.0.0.1", NOBODY, "10.0.0.1");
	feed(0, &f);
	assert_int_equal(router_dropped(ROUTER_R_CONFLICT), 2);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_up_after_three_questions),
		cmocka_unit_test(ipv6_gives_up_as_well),
		cmocka_unit_test(keeps_the_newest),
		cmocka_unit_test(a_scan_leaves_buffers_for_answers),
		cmocka_unit_test(the_table_is_bounded),
		cmocka_unit_test(strangers_do_not_fill_the_table),
		cmocka_unit_test(checks_those_it_uses),
		cmocka_unit_test(follows_a_neighbour_that_moves),
		cmocka_unit_test(learns_nothing_unasked),
		cmocka_unit_test(sees_who_has_its_address),
	};

	return cmocka_run_group_tests_name("router_neighbour", tests, NULL,
					   NULL);
}
