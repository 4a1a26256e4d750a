// SPDX-License-Identifier: BSD-2-Clause
// test_router_hostile.c - frames that the router must refuse, by name.
#include "unit.h"

#include "router_expect.h"

/* Feeds a frame to lan that is dropped without a word. */
static void refused(const struct router_frame *f, enum router_reason reason)
{
	uint64_t before = router_dropped(reason);

	feed(0, f);
	expect_none();
	if (router_dropped(reason) != before + 1)
		fail_msg("not dropped as %s", router_reasons[reason]);
}

static struct router_frame good4(void)
{
	return from_lan("10.0.0.5", "198.51.100.7", 64, 100);
}

static struct router_frame good6(void)
{
	return from_lan("2001:db8:1::5", "2001:db8:99::7", 64, 100);
}

/* A good frame with some bytes changed; IPv4's checksum is mended. */
static struct router_frame changed(struct router_frame f, unsigned at,
				   const char *text)
{
	struct router_frame bytes = frame(text);

	memcpy(f.b + at, bytes.b, bytes.len);
	if (f.b[12] == 8 && !f.b[13] && at != 14 + 10) {
		memset(f.b + 14 + 10, 0, 2);
		put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	}
	return f;
}

static void refuse_changed(struct router_frame f, unsigned at, const char *text,
			   enum router_reason reason)
{
	f = changed(f, at, text);
	refused(&f, reason);
}

static void ethernet(void **state)
{
	struct router_frame f = good4();

	router_open_quiet(router_file);
	refuse_changed(good4(), 0, "02000000ffff", ROUTER_R_OTHER_STATION);
	refuse_changed(good4(), 0, WAN, ROUTER_R_OTHER_STATION);
	refuse_changed(good4(), 6, "01", ROUTER_R_BAD_ETHERNET);
	refuse_changed(good4(), 12, "8100", ROUTER_R_NOT_IP);
	refuse_changed(good4(), 0, "ffffffffffff", ROUTER_R_LINK_BROADCAST);
	refuse_changed(good6(), 0, "333300000001", ROUTER_R_LINK_BROADCAST);
	f.len = 13;
	refused(&f, ROUTER_R_SHORT);
	f.len = 0;
	refused(&f, ROUTER_R_SHORT);
	finish();
}

static void from_a_port_that_is_no_interface(void **state)
{
	struct router_frame f = good4();

	router_open_quiet(router_file);
	rr.state->by_port[rr.state->iface[0].port] = 0;
	refused(&f, ROUTER_R_UNKNOWN_PORT);
	finish();
}

static void ipv4(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	refuse_changed(good4(), 14, "65", ROUTER_R_BAD_IP);
	refuse_changed(good4(), 14, "44", ROUTER_R_BAD_IP);
	refuse_changed(good4(), 14 + 2, "0013", ROUTER_R_BAD_IP);
	refuse_changed(good4(), 14 + 2, "0079", ROUTER_R_BAD_IP);
	refuse_changed(good4(), 14 + 2, "ffff", ROUTER_R_BAD_IP);
	refuse_changed(good4(), 14 + 10, "dead", ROUTER_R_BAD_CHECKSUM);
	refuse_changed(good4(), 14 + 12, "00000000", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 12, "7f000001", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 12, "e0000001", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 12, "ffffffff", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 16, "00000000", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 16, "7f000001", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 16, "f0000001", ROUTER_R_MARTIAN);
	refuse_changed(good4(), 14 + 16, "ffffffff", ROUTER_R_BROADCAST);
	refuse_changed(good4(), 14 + 16, "e0000005", ROUTER_R_MULTICAST);
	refuse_changed(good4(), 14 + 16, "0a0000ff", ROUTER_R_BROADCAST);
	refuse_changed(good4(), 14 + 16, "0a000000", ROUTER_R_BROADCAST);
	refuse_changed(good4(), 14 + 16, "c00002ff", ROUTER_R_BROADCAST);
	f = good4();
	f.len = 14 + 19;
	refused(&f, ROUTER_R_BAD_IP);
	/* Options that are not all there. */
	f = changed(from_lan("10.0.0.5", "198.51.100.7", 64, 10), 14, "4f");
	refused(&f, ROUTER_R_BAD_IP);
	finish();
}

static void ipv6(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	refuse_changed(good6(), 14, "40", ROUTER_R_BAD_IP);
	refuse_changed(good6(), 14 + 4, "0065", ROUTER_R_BAD_IP);
	refuse_changed(good6(), 14 + 4, "ffff", ROUTER_R_BAD_IP);
	f = good6();
	f.len = 14 + 39;
	refused(&f, ROUTER_R_BAD_IP);
	f = from_lan("ff02::1", "2001:db8:99::7", 64, 100);
	refused(&f, ROUTER_R_MARTIAN);
	f = from_lan("::", "2001:db8:99::7", 64, 100);
	refused(&f, ROUTER_R_MARTIAN);
	f = from_lan("::1", "ff02::1", 64, 100);
	refused(&f, ROUTER_R_MARTIAN);
	f = from_lan("2001:db8:1::5", "::", 64, 100);
	refused(&f, ROUTER_R_MARTIAN);
	f = from_lan("2001:db8:1::5", "::1", 64, 100);
	refused(&f, ROUTER_R_MARTIAN);
	f = from_lan("2001:db8:1::5", "ff0e::1", 64, 100);
	refused(&f, ROUTER_R_MULTICAST);
	f = from_lan("2001:db8:1::5", "fe80::77", 64, 100);
	refused(&f, ROUTER_R_LINK_LOCAL);
	finish();
}

static void for_the_router(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	f = from_lan("10.0.0.5", "10.0.0.1", 64, 100);
	refuse_changed(f, 14 + 9, "06", ROUTER_R_LOCAL);
	refuse_changed(f, 14 + 6, "2000", ROUTER_R_FRAGMENT);
	refuse_changed(f, 14 + 6, "0001", ROUTER_R_FRAGMENT);
	f.b[14 + 9] = 1;
	refuse_changed(f, 14 + 8, "09", ROUTER_R_BAD_CHECKSUM);
	f.b[14 + 20] = 5;
	sum_icmp4(&f, 14 + 20);
	refuse_changed(f, 14 + 8, "09", ROUTER_R_IGNORED);
	f = from_lan("10.0.0.5", "10.0.0.1", 64, 7);
	refuse_changed(f, 14 + 9, "01", ROUTER_R_BAD_ICMP);
	f = from_lan("2001:db8:1::5", "2001:db8:1::1", 64, 100);
	refuse_changed(f, 14 + 6, "06", ROUTER_R_LOCAL);
	refuse_changed(f, 14 + 6, "3a", ROUTER_R_BAD_CHECKSUM);
	f.b[14 + 40] = 133; /* who routes here? */
	sum_icmp6(&f);
	refuse_changed(f, 14 + 6, "3a", ROUTER_R_IGNORED);
	f = from_lan("2001:db8:1::5", "2001:db8:1::1", 64, 7);
	refuse_changed(f, 14 + 6, "3a", ROUTER_R_BAD_ICMP);
	finish();
}

static void bad_arp(void **state)
{
	const struct router_frame good = arp("ffffffffffff", LAN_HOST, 1,
					     "10.0.0.5", "000000000000",
					     "10.0.0.1");
	struct router_frame f = good;

	router_open_quiet(router_file);
	f.len = 14 + 27;
	refused(&f, ROUTER_R_BAD_ARP);
	refuse_changed(good, 14, "0006", ROUTER_R_BAD_ARP);
	refuse_changed(good, 16, "86dd", ROUTER_R_BAD_ARP);
	refuse_changed(good, 18, "08", ROUTER_R_BAD_ARP);
	refuse_changed(good, 19, "10", ROUTER_R_BAD_ARP);
	refuse_changed(good, 20, "0003", ROUTER_R_BAD_ARP);
	refuse_changed(good, 20, "0000", ROUTER_R_BAD_ARP);
	/* For somebody else than who sent it, or for a group. */
	refuse_changed(good, 22, "02000000cccc", ROUTER_R_BAD_ARP);
	refuse_changed(good, 22, "ffffffffffff", ROUTER_R_BAD_ARP);
	assert_int_equal(rr.state->neigh.n_used, 0);
	finish();
}

/* A solicitation of ours with some bytes changed, and a good checksum. */
static void refuse_nd(struct router_frame f, unsigned at, const char *text,
		      enum router_reason reason)
{
	f = changed(f, at, text);
	sum_icmp6(&f);
	refused(&f, reason);
}

static void bad_nd(void **state)
{
	const struct router_frame good = nd(LAN, LAN_HOST, 135, "00000000",
					    "2001:db8:1::5", "2001:db8:1::1",
					    "2001:db8:1::1");
	const unsigned icmp = 14 + 40;
	struct router_frame f = good;

	router_open_quiet(router_file);
	refuse_changed(good, icmp + 2, "dead", ROUTER_R_BAD_CHECKSUM);
	refuse_nd(good, 14 + 7, "fe", ROUTER_R_BAD_ND);
	refuse_nd(good, icmp + 1, "01", ROUTER_R_BAD_ND);
	refuse_nd(good, icmp + 8, "ff02", ROUTER_R_BAD_ND);
	/* Options: without a length, longer than the message, of a group. */
	refuse_nd(good, icmp + 25, "00", ROUTER_R_BAD_ND);
	refuse_nd(good, icmp + 25, "02", ROUTER_R_BAD_ND);
	refuse_nd(good, icmp + 26, "01", ROUTER_R_BAD_ND);
	f.len -= 1;
	f.b[14 + 5] = 31;
	refuse_nd(f, icmp + 4, "00", ROUTER_R_BAD_ND);
	f.len = icmp + 23;
	f.b[14 + 5] = 23;
	refuse_nd(f, icmp + 4, "00", ROUTER_R_BAD_ND);
	/* From another subnet, or from nobody with an address of its own. */
	f = nd(LAN, LAN_HOST, 135, "00000000", "2001:db8:2::5", "2001:db8:1::1",
	       "2001:db8:1::1");
	refused(&f, ROUTER_R_IGNORED);
	f = nd("3333ff000001", LAN_HOST, 135, "00000000",
	       "::", "ff02::1:ff00:1", "2001:db8:1::1");
	refused(&f, ROUTER_R_BAD_ND);
	/* An answer to everybody cannot have been asked for. */
	f = nd("333300000001", LAN_HOST, 136, "60000000", "2001:db8:1::5",
	       "ff02::1", "2001:db8:1::5");
	refused(&f, ROUTER_R_BAD_ND);
	assert_int_equal(rr.state->neigh.n_used, 0);
	finish();
}

/* Every start of every kind of frame, and every byte of it inverted. */
static void shortened_and_inverted(void **state)
{
	const struct router_frame frames[] = {
		good4(),
		good6(),
		arp("ffffffffffff", LAN_HOST, 1, "10.0.0.5", "000000000000",
		    "10.0.0.1"),
		nd(LAN, LAN_HOST, 135, "00000000", "2001:db8:1::5",
		   "2001:db8:1::1", "2001:db8:1::1"),
		from_lan("10.0.0.5", "10.0.0.1", 64, 20),
		from_lan("2001:db8:1::5", "2001:db8:1::1", 64, 20),
	};

	router_open_quiet(router_file);
	for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++)
		for (unsigned n = 0; n < frames[i].len; n++) {
			struct router_frame f = frames[i];

			f.len = n;
			feed(0, &f);
			f = frames[i];
			f.b[n] ^= 0xff;
			feed(0, &f);
			rr.n_out = 0;
			assert_true(router_adds_up());
		}
	router_pass(30);
	rr.n_out = 0;
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet),
		cmocka_unit_test(from_a_port_that_is_no_interface),
		cmocka_unit_test(ipv4),
		cmocka_unit_test(ipv6),
		cmocka_unit_test(for_the_router),
		cmocka_unit_test(bad_arp),
		cmocka_unit_test(bad_nd),
		cmocka_unit_test(shortened_and_inverted),
	};

	return cmocka_run_group_tests_name("router_hostile", tests, NULL, NULL);
}
