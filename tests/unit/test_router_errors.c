// SPDX-License-Identifier: BSD-2-Clause
// test_router_errors.c - ICMP errors of the router, and when it sends none.
#include "unit.h"

#include "router_expect.h"

/* The error about a frame from lan as it must arrive there. */
static struct router_frame error4(const struct router_frame *about,
				  unsigned type, unsigned code, unsigned mtu)
{
	struct router_frame f = frame(LAN_HOST LAN "0800 45c0");
	unsigned n = (unsigned)about->b[16] << 8 | about->b[17];

	n = n < 548 ? n : 548;
	add16(&f, 20 + 8 + n);
	add(&f, "0000 4000 4001 0000");
	add_ip(&f, "10.0.0.1");
	add_ip(&f, "10.0.0.5");
	put_sum(&f, 14 + 10, plain_sum(0, f.b + 14, 20));
	add16(&f, type << 8 | code);
	add(&f, "0000 0000");
	add16(&f, mtu);
	add_bytes(&f, about->b + 14, n);
	sum_icmp4(&f, 14 + 20);
	return f;
}

static struct router_frame error6(const struct router_frame *about,
				  unsigned type, unsigned code, unsigned mtu)
{
	struct router_frame f = frame(LAN_HOST LAN "86dd");
	unsigned n = 40 + ((unsigned)about->b[18] << 8 | about->b[19]);

	n = n < 1232 ? n : 1232;
	add_ipv6(&f, "2001:db8:1::1", "2001:db8:1::5", 58, 64, 8 + n);
	add16(&f, type << 8 | code);
	add(&f, "0000 0000");
	add16(&f, mtu);
	add_bytes(&f, about->b + 14, n);
	sum_icmp6(&f);
	return f;
}

static struct router_frame from_host(const char *dst, unsigned ttl, unsigned n)
{
	return from_lan(strchr(dst, ':') ? "2001:db8:1::5" : "10.0.0.5", dst,
			ttl, n);
}

static const struct {
	const char *dst;
	unsigned ttl, n; /* bytes behind the IP header */
	unsigned type, code, mtu;
	unsigned reason;
} told[] = {
	{ "198.51.100.7", 1, 100, 11, 0, 0, ROUTER_R_TTL },
	{ "198.51.100.7", 0, 100, 11, 0, 0, ROUTER_R_TTL },
	{ "198.51.100.7", 1, 528, 11, 0, 0, ROUTER_R_TTL },
	{ "198.51.100.7", 1, 529, 11, 0, 0, ROUTER_R_TTL },
	{ "198.51.100.7", 1, 0, 11, 0, 0, ROUTER_R_TTL },
	{ "172.16.0.1", 64, 100, 3, 0, 0, ROUTER_R_NO_ROUTE },
	{ "198.19.0.1", 64, 100, 3, 1, 0, ROUTER_R_UNREACHABLE },
	{ "203.0.113.5", 64, 101, 3, 13, 0, ROUTER_R_PROHIBITED },
	{ "10.0.0.1", 64, 100, 3, 3, 0, ROUTER_R_LOCAL },
	{ "192.0.2.1", 64, 100, 3, 3, 0, ROUTER_R_LOCAL },
	{ "198.51.100.7", 64, 1381, 3, 4, 1400, ROUTER_R_TOO_BIG },
	{ "2001:db8:99::7", 1, 100, 3, 0, 0, ROUTER_R_TTL },
	{ "2001:db8:99::7", 1, 1192, 3, 0, 0, ROUTER_R_TTL },
	{ "2001:db8:99::7", 1, 1193, 3, 0, 0, ROUTER_R_TTL },
	{ "2001:db8:77::7", 64, 100, 1, 0, 0, ROUTER_R_NO_ROUTE },
	{ "2001:db8:19::7", 64, 100, 1, 3, 0, ROUTER_R_UNREACHABLE },
	{ "2001:db8:20::7", 64, 101, 1, 1, 0, ROUTER_R_PROHIBITED },
	{ "2001:db8:1::1", 64, 100, 1, 4, 0, ROUTER_R_LOCAL },
	{ "2001:db8:99::7", 64, 1361, 2, 0, 1400, ROUTER_R_TOO_BIG },
};

static void tells_senders(void **state)
{
	router_open_quiet(router_file);
	meet_lan_host();
	meet_wan_gate();
	for (unsigned i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		uint64_t before = router_dropped(told[i].reason);
		struct router_frame in = from_host(told[i].dst, told[i].ttl,
						   told[i].n);
		struct router_frame f;

		f = (in.b[12] == 8 ? error4 : error6)(&in, told[i].type,
						      told[i].code,
						      told[i].mtu);
		feed(0, &in);
		expect(0, &f);
		assert_int_equal(router_dropped(told[i].reason), before + 1);
	}
	assert_int_equal(router_counted(ROUTER_C_ERRORS_SENT),
			 sizeof(told) / sizeof(told[0]));
	finish();
}

static void largest_pass(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_wan_gate();
	f = from_host("198.51.100.7", 2, 1380);
	feed(0, &f);
	f = from_host("2001:db8:99::7", 2, 1360);
	feed(0, &f);
	assert_int_equal(rr.n_out, 2);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_SENT), 0);
	rr.n_out = 0;
	finish();
}

/* Feeds a frame that is dropped without a word. */
static void silent(const struct router_frame *f, enum router_reason reason)
{
	uint64_t before = router_dropped(reason);

	feed(0, f);
	expect_none();
	assert_int_equal(router_dropped(reason), before + 1);
}

static void set_ipv4_sum(struct router_frame *f)
{
	memset(f->b + 14 + 10, 0, 2);
	put_sum(f, 14 + 10, plain_sum(0, f->b + 14, 20));
}

static void silent_about_ipv4(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	f = from_host("198.18.0.1", 64, 100);
	silent(&f, ROUTER_R_BLACKHOLE);
	/* Errors; of the other ICMP, only what asks or answers. */
	for (unsigned type = 0; type < 256; type++) {
		f = from_host("172.16.0.1", 64, 100);
		f.b[14 + 9] = 1;
		f.b[14 + 20] = (uint8_t)type;
		set_ipv4_sum(&f);
		if (type == 0 || type == 8 || type == 13 || type == 14) {
			feed(0, &f);
			assert_int_equal(rr.n_out, 1);
			rr.n_out = 0;
		} else {
			silent(&f, ROUTER_R_NO_ROUTE);
		}
	}
	/* ICMP without a type, a fragment that is not the first. */
	f = from_host("172.16.0.1", 64, 0);
	f.b[14 + 9] = 1;
	set_ipv4_sum(&f);
	silent(&f, ROUTER_R_NO_ROUTE);
	f = from_host("172.16.0.1", 64, 100);
	f.b[14 + 7] = 1;
	set_ipv4_sum(&f);
	silent(&f, ROUTER_R_NO_ROUTE);
	/* From ourselves, from a whole subnet, from nowhere we know. */
	f = from_lan("10.0.0.1", "172.16.0.1", 64, 100);
	silent(&f, ROUTER_R_NO_ROUTE);
	f = from_lan("192.0.2.255", "172.16.0.1", 64, 100);
	silent(&f, ROUTER_R_NO_ROUTE);
	f = from_lan("172.16.0.9", "172.16.0.1", 64, 100);
	silent(&f, ROUTER_R_NO_ROUTE);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_SENT), 4);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_LIMITED), 0);
	finish();
}

static void silent_about_ipv6(void **state)
{
	struct router_frame f;

	router_open_quiet(router_file);
	meet_lan_host();
	f = from_host("2001:db8:18::1", 64, 100);
	silent(&f, ROUTER_R_BLACKHOLE);
	for (unsigned type = 0; type < 256; type += type < 120 ? 40 : 1) {
		f = from_host("2001:db8:77::1", 64, 100);
		f.b[14 + 6] = 58;
		f.b[14 + 40] = (uint8_t)type;
		if (type >= 128 && type != 137)
			continue;
		silent(&f, ROUTER_R_NO_ROUTE);
		/* Behind a fragment header. */
		f.b[14 + 6] = 44;
		memset(f.b + 14 + 40, 0, 8);
		f.b[14 + 40] = 58;
		f.b[14 + 48] = (uint8_t)type;
		silent(&f, ROUTER_R_NO_ROUTE);
	}
	f = from_lan("fe80::5", "2001:db8:99::1", 64, 100);
	silent(&f, ROUTER_R_LINK_LOCAL);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_SENT), 0);
	/* A first fragment of what is no error. */
	f = from_host("2001:db8:77::1", 64, 100);
	f.b[14 + 6] = 44;
	memset(f.b + 14 + 40, 0, 8);
	f.b[14 + 40] = 58;
	f.b[14 + 48] = 128;
	feed(0, &f);
	assert_int_equal(rr.n_out, 1);
	rr.n_out = 0;
	finish();
}

static const char file_head[] = "interface lan mac 02:00:00:00:00:01\n"
				"interface wan mac 02:00:00:00:00:02\n"
				"address lan 10.0.0.1/24\n"
				"address lan 2001:db8:1::1/64\n";

/* Feeds n packets that expire. */
static void expire(unsigned n)
{
	struct router_frame f = from_host("10.0.0.77", 1, 20);

	while (n--)
		feed(0, &f);
}

static void errors_have_a_rate(void **state)
{
	char file[512];

	snprintf(file, sizeof(file), "%sicmp-rate 10\n", file_head);
	router_open_quiet(file);
	meet_lan_host();
	expire(15);
	assert_int_equal(rr.n_out, 10);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_LIMITED), 5);
	router_pass(2);
	expire(15);
	assert_int_equal(rr.n_out, 15);
	router_pass(40);
	expire(15);
	assert_int_equal(rr.n_out, 25);
	assert_int_equal(router_dropped(ROUTER_R_TTL), 45);
	rr.n_out = 0;
	finish();
	snprintf(file, sizeof(file), "%sicmp-rate 0\n", file_head);
	router_open_quiet(file);
	meet_lan_host();
	expire(15);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_LIMITED), 15);
	finish();
}

/* No address of the family anywhere. */
static void needs_an_address(void **state)
{
	struct router_frame f;

	router_open_quiet("interface lan mac 02:00:00:00:00:01\n"
			  "interface wan mac 02:00:00:00:00:02\n"
			  "route 10.0.0.0/24 dev lan\n");
	f = from_host("10.0.0.77", 1, 20);
	silent(&f, ROUTER_R_TTL);
	assert_int_equal(router_counted(ROUTER_C_ERRORS_NO_SOURCE), 1);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_senders),
		cmocka_unit_test(largest_pass),
		cmocka_unit_test(silent_about_ipv4),
		cmocka_unit_test(silent_about_ipv6),
		cmocka_unit_test(errors_have_a_rate),
		cmocka_unit_test(needs_an_address),
	};

	return cmocka_run_group_tests_name("router_errors", tests, NULL, NULL);
}
