// SPDX-License-Identifier: BSD-2-Clause
// test_router.c - the router passes packets on, answers ARP, ND and echo.
#include "unit.h"

#include "router_expect.h"

#define LAN_LL "fe80::ff:fe00:1"
#define WAN_LL "fe80::ff:fe00:2"
#define NOBODY "000000000000"
#define ALL "ffffffffffff"

/* An advertisement to everybody. */
static struct router_frame nd_announcement(const char *mac, const char *ip)
{
	return nd("333300000001", mac, 136, "a0000000", ip, "ff02::1", ip);
}

static void announces_itself(void **state)
{
	struct router_frame f;

	router_open(router_file);
	for (unsigned i = 0; i < 3; i++) {
		f = nd_announcement(LAN, LAN_LL);
		expect(0, &f);
		f = arp(ALL, LAN, 1, "10.0.0.1", NOBODY, "10.0.0.1");
		expect(0, &f);
		f = nd_announcement(LAN, "2001:db8:1::1");
		expect(0, &f);
		f = nd_announcement(WAN, WAN_LL);
		expect(1, &f);
		f = arp(ALL, WAN, 1, "192.0.2.1", NOBODY, "192.0.2.1");
		expect(1, &f);
		f = nd_announcement(WAN, "2001:db8:2::1");
		expect(1, &f);
		expect_none();
		router_pass(5);
	}
	assert_int_equal(router_counted(ROUTER_C_ANNOUNCED), 18);
	finish();
}

/* The frame as it must leave: new stations, one hop less. */
static struct router_frame passed_on(const struct router_frame *in,
				     const char *stations)
{
	struct router_frame f = *in, head = frame(stations);

	memcpy(f.b, head.b, 12);
	if (f.b[12] == 0x86) {
		f.b[14 + 7]--;
		return f;
	}
	f.b[14 + 8]--;
	memset(f.b + 14 + 10, 0, 2);
	put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	return f;
}

static void forwards_ipv4(void **state)
{
	struct router_frame f, in;

	router_open_quiet(router_file);
	/* By a route: the gate is asked for, then gets what waited. */
	in = from_lan("10.0.0.5", "198.51.100.7", 64, 100);
	feed(0, &in);
	f = arp(ALL, WAN, 1, "192.0.2.1", NOBODY, "192.0.2.254");
	expect(1, &f);
	expect_none();
	f = arp(WAN, WAN_GATE, 2, "192.0.2.254", WAN, "192.0.2.1");
	feed(1, &f);
	f = passed_on(&in, WAN_GATE WAN);
	expect(1, &f);
	expect_none();
	/* At once now; and all values of TTL and checksum work. */
	for (unsigned ttl = 2; ttl < 256; ttl++) {
		in = from_lan("10.0.0.5", "198.51.100.7", ttl, 100 + ttl);
		feed(0, &in);
		f = passed_on(&in, WAN_GATE WAN);
		expect(1, &f);
	}
	/* The checksum that becomes 0xffff if nobody sees to it. */
	for (unsigned id = 0; in.b[24] != 0xfe || in.b[25] != 0xff; id++) {
		in.b[18] = (uint8_t)(id >> 8);
		in.b[19] = (uint8_t)id;
		memset(in.b + 24, 0, 2);
		put_sum(&in, 24, plain_sum(0, in.b + 14, 20));
	}
	feed(0, &in);
	f = passed_on(&in, WAN_GATE WAN);
	expect(1, &f);
	/* To a station of the subnet itself. */
	in = from_lan("10.0.0.5", "192.0.2.254", 2, 8);
	pad(&in);
	feed(0, &in);
	f = passed_on(&in, WAN_GATE WAN);
	expect(1, &f);
	assert_int_equal(router_counted(ROUTER_C_ARP_ASKED), 1);
	finish();
}

static void forwards_ipv6(void **state)
{
	struct router_frame f, in;

	router_open_quiet(router_file);
	in = from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 100);
	feed(0, &in);
	f = nd("3333ff0000fe", WAN, 135, "00000000", WAN_LL, "ff02::1:ff00:fe",
	       "fe80::fe");
	expect(1, &f);
	expect_none();
	f = nd(WAN, WAN_GATE, 136, "60000000", "fe80::fe", WAN_LL, "fe80::fe");
	feed(1, &f);
	f = passed_on(&in, WAN_GATE WAN);
	expect(1, &f);
	feed(0, &in);
	expect(1, &f);
	in = from_lan("2001:db8:1::5", "2001:db8:2::9", 2, 8);
	feed(0, &in);
	f = nd("3333ff000009", WAN, 135, "00000000", WAN_LL, "ff02::1:ff00:9",
	       "2001:db8:2::9");
	expect(1, &f);
	f = nd(WAN, WAN_GATE, 136, "60000000", "2001:db8:2::9", WAN_LL,
	       "2001:db8:2::9");
	feed(1, &f);
	f = passed_on(&in, WAN_GATE WAN);
	expect(1, &f);
	finish();
}

static void cuts_what_is_behind_the_packet(void **state)
{
	struct router_frame f, in;

	router_open_quiet(router_file);
	meet_wan_gate();
	in = from_lan("10.0.0.5", "198.51.100.7", 9, 100);
	f = passed_on(&in, WAN_GATE WAN);
	add_pattern(&in, 7, 50);
	feed(0, &in);
	expect(1, &f);
	in = from_lan("2001:db8:1::5", "2001:db8:99::7", 9, 100);
	f = passed_on(&in, WAN_GATE WAN);
	add_pattern(&in, 7, 1);
	feed(0, &in);
	expect(1, &f);
	finish();
}

static void answers_arp(void **state)
{
	struct router_frame f, answer;

	router_open_quiet(router_file);
	f = arp(ALL, LAN_HOST, 1, "10.0.0.5", NOBODY, "10.0.0.1");
	answer = arp(LAN_HOST, LAN, 2, "10.0.0.1", LAN_HOST, "10.0.0.5");
	feed(0, &f);
	expect(0, &answer);
	/* What is behind it does not go back. */
	add_pattern(&f, 1, 40);
	feed(0, &f);
	expect(0, &answer);
	/* A probe of one that has no address yet. */
	f = arp(ALL, LAN_HOST, 1, "0.0.0.0", NOBODY, "10.0.0.1");
	feed(0, &f);
	f = arp(LAN_HOST, LAN, 2, "10.0.0.1", LAN_HOST, "0.0.0.0");
	expect(0, &f);
	/* Others' addresses, also those of our other interface. */
	f = arp(ALL, LAN_HOST, 1, "10.0.0.5", NOBODY, "10.0.0.6");
	feed(0, &f);
	f = arp(ALL, LAN_HOST, 1, "10.0.0.5", NOBODY, "192.0.2.1");
	feed(0, &f);
	assert_int_equal(router_dropped(ROUTER_R_CONSUMED), 2);
	assert_int_equal(router_counted(ROUTER_C_ARP_ANSWERED), 3);
	finish();
}

static void answers_nd(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	f = nd("3333ff000001", LAN_HOST, 135, "00000000", "2001:db8:1::5",
	       "ff02::1:ff00:1", "2001:db8:1::1");
	feed(0, &f);
	f = nd(LAN_HOST, LAN, 136, "e0000000", "2001:db8:1::1", "2001:db8:1::5",
	       "2001:db8:1::1");
	expect(0, &f);
	f = nd("3333ff000001", LAN_HOST, 135, "00000000", "fe80::5",
	       "ff02::1:ff00:1", LAN_LL);
	feed(0, &f);
	f = nd(LAN_HOST, LAN, 136, "e0000000", LAN_LL, "fe80::5", LAN_LL);
	expect(0, &f);
	/* One that looks whether an address is free. */
	f = nd("3333ff000001", LAN_HOST, 135, "00000000",
	       "::", "ff02::1:ff00:1", "2001:db8:1::1");
	f.len -= 8;
	f.b[14 + 5] = 24;
	sum_icmp6(&f);
	feed(0, &f);
	f = nd_announcement(LAN, "2001:db8:1::1");
	expect(0, &f);
	f = nd("3333ff000001", LAN_HOST, 135, "00000000", "2001:db8:1::5",
	       "ff02::1:ff00:1", "2001:db8:2::1");
	feed(0, &f);
	assert_int_equal(router_dropped(ROUTER_R_IGNORED), 1);
	assert_int_equal(router_counted(ROUTER_C_ND_ANSWERED), 3);
	finish();
}

static struct router_frame echo4(const char *stations, const char *src,
				 const char *dst, unsigned type, unsigned ttl,
				 unsigned n)
{
	struct router_frame f = frame(stations);

	add(&f, "0800");
	add_ipv4(&f, src, dst, 1, ttl, 8 + n);
	add16(&f, type << 8);
	add(&f, "0000 abcd 0001");
	add_pattern(&f, 3, n);
	sum_icmp4(&f, 14 + 20);
	return f;
}

static struct router_frame echo6(const char *stations, const char *src,
				 const char *dst, unsigned type, unsigned hops,
				 unsigned n)
{
	struct router_frame f = frame(stations);

	add(&f, "86dd");
	add_ipv6(&f, src, dst, 58, hops, 8 + n);
	add16(&f, type << 8);
	add(&f, "0000 abcd 0001");
	add_pattern(&f, 3, n);
	sum_icmp6(&f);
	return f;
}

static void answers_echo(void **state)
{
	static const unsigned sizes[] = { 56, 57, 1, 0, 1300 };
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	for (unsigned i = 0; i < 5; i++) {
		f = echo4(LAN LAN_HOST, "10.0.0.5", "10.0.0.1", 8, 9, sizes[i]);
		feed(0, &f);
		f = echo4(LAN_HOST LAN, "10.0.0.1", "10.0.0.5", 0, 64,
			  sizes[i]);
		expect(0, &f);
		f = echo6(LAN LAN_HOST, "2001:db8:1::5", "2001:db8:1::1", 128,
			  9, sizes[i]);
		feed(0, &f);
		f = echo6(LAN_HOST LAN, "2001:db8:1::1", "2001:db8:1::5", 129,
			  64, sizes[i]);
		expect(0, &f);
	}
	/* The address of another interface, with the last hop. */
	f = echo4(LAN LAN_HOST, "10.0.0.5", "192.0.2.1", 8, 1, 56);
	feed(0, &f);
	f = echo4(LAN_HOST LAN, "192.0.2.1", "10.0.0.5", 0, 64, 56);
	expect(0, &f);
	assert_int_equal(router_counted(ROUTER_C_ECHO_ANSWERED), 11);
	finish();
}

static void answers_echo_on_the_link(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	f = echo6(WAN WAN_GATE, "fe80::fe", WAN_LL, 128, 64, 8);
	feed(1, &f);
	f = nd("3333ff0000fe", WAN, 135, "00000000", WAN_LL, "ff02::1:ff00:fe",
	       "fe80::fe");
	expect(1, &f);
	f = nd(WAN, WAN_GATE, 136, "60000000", "fe80::fe", WAN_LL, "fe80::fe");
	feed(1, &f);
	f = echo6(WAN_GATE WAN, WAN_LL, "fe80::fe", 129, 64, 8);
	expect(1, &f);
	/* The other interface's is nobody's here. */
	f = echo6(WAN WAN_GATE, "fe80::fe", LAN_LL, 128, 64, 8);
	feed(1, &f);
	assert_int_equal(router_dropped(ROUTER_R_LINK_LOCAL), 1);
	finish();
}

static void many_at_once(void **state)
{
	struct router_frame f4, f6, g;

	router_open_quiet(router_file);
	meet_wan_gate();
	for (unsigned i = 0; i < 100; i++) {
		f4 = from_lan("10.0.0.5", "198.51.100.7", 64, 100 + i);
		f6 = from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 100 + i);
		assert_true(router_feed(0, f4.b, f4.len));
		assert_true(router_feed(0, f6.b, f6.len));
	}
	router_run();
	assert_int_equal(rr.n_out, 200);
	for (unsigned i = 0; i < 100; i++) {
		f4 = from_lan("10.0.0.5", "198.51.100.7", 64, 100 + i);
		f6 = from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 100 + i);
		g = passed_on(&f4, WAN_GATE WAN);
		expect(1, &g);
		g = passed_on(&f6, WAN_GATE WAN);
		expect(1, &g);
	}
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announces_itself),
		cmocka_unit_test(forwards_ipv4),
		cmocka_unit_test(forwards_ipv6),
		cmocka_unit_test(cuts_what_is_behind_the_packet),
		cmocka_unit_test(answers_arp),
		cmocka_unit_test(answers_nd),
		cmocka_unit_test(answers_echo),
		cmocka_unit_test(answers_echo_on_the_link),
		cmocka_unit_test(many_at_once),
	};

	return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
