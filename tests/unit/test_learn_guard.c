// SPDX-License-Identifier: BSD-2-Clause
// test_learn_guard.c - a guarded port sends only from what it owns.
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "module/learn/guard.h"

static struct guard *guard;
static uint8_t pkt[256];
static unsigned len;

#define MINE "02:00:00:00:00:01"
static const uint8_t mine[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t other[6] = { 2, 0, 0, 0, 0, 9 };

static struct guard *make(const char *json)
{
	json_t *list = json_loads(json, JSON_DECODE_ANY, NULL);
	struct glen_error error;
	struct guard *g = NULL;

	assert_non_null(list);
	if (guard_create(list, &g, &error))
		fail_msg("%s", error.text);
	json_decref(list);
	return g;
}

static int setup(void **state)
{
	guard = make("[\"" MINE " 10.0.0.1 10.1.0.0/16 2001:db8::1 "
		     "2001:db8:1::/48\", \"02:00:00:00:00:02 10.0.0.2\", "
		     "\"02:00:00:00:00:03\"]");
	return 0;
}

static int teardown(void **state)
{
	free(guard);
	return 0;
}

static enum guard_result judge(void)
{
	return guard_check(guard, pkt, len < 128 ? len : 128, len);
}

static void put(const void *data, unsigned n)
{
	memcpy(pkt + len, data, n);
	len += n;
}

static void put16(unsigned v)
{
	uint8_t b[2] = { v >> 8, v };

	put(b, 2);
}

static void put_ip(const char *text)
{
	uint8_t b[16];
	bool v6 = strchr(text, ':');

	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, b), 1);
	put(b, v6 ? 16 : 4);
}

static void eth(const uint8_t src[6], unsigned tags, unsigned type)
{
	memset(pkt, 0, sizeof(pkt));
	memset(pkt, 0xff, 6);
	len = 6;
	put(src, 6);
	for (; tags; tags--) {
		put16(tags & 1 ? 0x8100 : 0x88a8);
		put16(tags);
	}
	put16(type);
}

static enum guard_result arp(const uint8_t eth_src[6], unsigned tags,
			     unsigned op, const uint8_t sha[6], const char *spa)
{
	eth(eth_src, tags, 0x806);
	put("\0\1\10\0\6\4", 6);
	put16(op);
	put(sha, 6);
	put_ip(spa);
	len += 10;
	return judge();
}

static enum guard_result ip4(const uint8_t src[6], unsigned tags,
			     const char *from, unsigned sport, unsigned dport)
{
	eth(src, tags, 0x800);
	put("\x45\0\0\x1c\0\0\0\0\x40\x11\0\0", 12);
	put_ip(from);
	put_ip("255.255.255.255");
	put16(sport);
	put16(dport);
	len += 4;
	return judge();
}

/* An IPv6 header whose payload length is filled in by done6(). */
static unsigned ip6_at;

static void ip6(const uint8_t src[6], unsigned tags, const char *from,
		unsigned next)
{
	eth(src, tags, 0x86dd);
	ip6_at = len;
	put("\x60\0\0\0\0\0", 6);
	pkt[len++] = next;
	pkt[len++] = 255;
	put_ip(from);
	put_ip("ff02::1");
}

static enum guard_result done6(void)
{
	unsigned n = len - ip6_at - 40;

	pkt[ip6_at + 4] = n >> 8;
	pkt[ip6_at + 5] = n;
	return judge();
}

static void nd(unsigned type, const char *target)
{
	pkt[len++] = type;
	len += 7;
	if (target)
		put_ip(target);
	else
		len += type == 134 ? 8 : 0;
}

static void nd_option(unsigned type, const uint8_t mac[6])
{
	pkt[len++] = type;
	pkt[len++] = 1;
	put(mac, 6);
}

static void mac_and_ipv4(void **state)
{
	static const uint8_t second[6] = { 2, 0, 0, 0, 0, 2 };
	static const uint8_t third[6] = { 2, 0, 0, 0, 0, 3 };

	for (unsigned tags = 0; tags < 3; tags++) {
		assert_int_equal(ip4(mine, tags, "10.0.0.1", 1, 2), GUARD_PASS);
		assert_int_equal(ip4(mine, tags, "10.1.2.3", 1, 2), GUARD_PASS);
		assert_int_equal(ip4(mine, tags, "10.2.2.3", 1, 2), GUARD_IP);
		assert_int_equal(ip4(mine, tags, "10.0.0.2", 1, 2), GUARD_IP);
		assert_int_equal(ip4(second, tags, "10.0.0.2", 1, 2),
				 GUARD_PASS);
		assert_int_equal(ip4(third, tags, "9.9.9.9", 1, 2), GUARD_PASS);
		assert_int_equal(ip4(other, tags, "10.0.0.1", 1, 2), GUARD_MAC);
		assert_int_equal(ip4(mine, tags, "0.0.0.0", 68, 67),
				 GUARD_PASS);
		assert_int_equal(ip4(mine, tags, "0.0.0.0", 67, 68), GUARD_IP);
	}
	assert_int_equal(ip4(mine, 3, "10.0.0.1", 1, 2), GUARD_OTHER);
	eth(mine, 0, 0x8864);
	len += 40;
	assert_int_equal(judge(), GUARD_OTHER);
	eth(third, 0, 0x8864);
	assert_int_equal(judge(), GUARD_PASS);
	/* Cut short, or not what it says. */
	ip4(mine, 0, "10.0.0.1", 1, 2);
	len = 33;
	assert_int_equal(judge(), GUARD_OTHER);
	ip4(mine, 0, "10.0.0.1", 1, 2);
	pkt[14] = 0x65;
	assert_int_equal(judge(), GUARD_OTHER);
	/* DHCP's ports in a fragment are something else. */
	ip4(mine, 0, "0.0.0.0", 68, 67);
	pkt[21] = 5;
	assert_int_equal(judge(), GUARD_IP);
}

static void arp_speaks_for_itself(void **state)
{
	for (unsigned tags = 0; tags < 3; tags++) {
		assert_int_equal(arp(mine, tags, 1, mine, "10.0.0.1"),
				 GUARD_PASS);
		assert_int_equal(arp(mine, tags, 2, mine, "10.1.9.9"),
				 GUARD_PASS);
		assert_int_equal(arp(mine, tags, 2, mine, "10.0.0.9"),
				 GUARD_ND);
		assert_int_equal(arp(mine, tags, 2, other, "10.0.0.1"),
				 GUARD_ND);
		assert_int_equal(arp(mine, tags, 1, mine, "0.0.0.0"),
				 GUARD_PASS);
		assert_int_equal(arp(mine, tags, 2, mine, "0.0.0.0"), GUARD_ND);
		assert_int_equal(arp(other, tags, 2, mine, "10.0.0.1"),
				 GUARD_MAC);
	}
	arp(mine, 0, 1, mine, "10.0.0.1");
	pkt[15] = 6; /* other hardware */
	assert_int_equal(judge(), GUARD_ND);
	arp(mine, 0, 1, mine, "10.0.0.1");
	len = 41;
	assert_int_equal(judge(), GUARD_OTHER);
}

static void ipv6_sources(void **state)
{
	static const struct {
		const char *from;
		enum guard_result want;
	} cases[] = {
		{ "2001:db8::1", GUARD_PASS },
		{ "2001:db8::2", GUARD_IP },
		{ "2001:db8:1:2::3", GUARD_PASS },
		{ "fe80::ff:fe00:1", GUARD_PASS }, /* of its MAC */
		{ "fe80::ff:fe00:2", GUARD_IP },
		{ "::", GUARD_IP },
		{ "::ffff:10.0.0.1", GUARD_IP }, /* no IPv4 in disguise */
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned tags = 0; tags < 3; tags++) {
			ip6(mine, tags, cases[i].from, 17);
			len += 20;
			assert_int_equal(done6(), cases[i].want);
		}
	}
	ip6((const uint8_t[]){ 2, 0, 0, 0, 0, 2 }, 0, "2001:db8::1", 17);
	assert_int_equal(done6(), GUARD_IP); /* that MAC owns IPv4 only */
	/* Not even what is sent without an address; the fuzzer found that. */
	ip6((const uint8_t[]){ 2, 0, 0, 0, 0, 2 }, 0, "::", 58);
	nd(133, NULL);
	assert_int_equal(done6(), GUARD_IP);
}

static void advertisements_are_about_itself(void **state)
{
	for (unsigned tags = 0; tags < 3; tags++) {
		ip6(mine, tags, "2001:db8::1", 58);
		nd(136, "2001:db8::1");
		nd_option(2, mine);
		assert_int_equal(done6(), GUARD_PASS);
		ip6(mine, tags, "2001:db8::1", 58);
		nd(136, "2001:db8::9");
		nd_option(2, mine);
		assert_int_equal(done6(), GUARD_ND);
		ip6(mine, tags, "2001:db8::1", 58);
		nd(136, "2001:db8::1");
		nd_option(2, other);
		assert_int_equal(done6(), GUARD_ND);
		/* Asking about others is what solicitations are for. */
		ip6(mine, tags, "2001:db8::1", 58);
		nd(135, "2001:db8::9");
		nd_option(1, mine);
		assert_int_equal(done6(), GUARD_PASS);
		ip6(mine, tags, "2001:db8::1", 58);
		nd(135, "2001:db8::9");
		nd_option(1, other);
		assert_int_equal(done6(), GUARD_ND);
		/* Duplicate address detection */
		ip6(mine, tags, "::", 58);
		nd(135, "2001:db8::1");
		assert_int_equal(done6(), GUARD_PASS);
		ip6(mine, tags, "::", 58);
		nd(135, "2001:db8::9");
		assert_int_equal(done6(), GUARD_ND);
		ip6(mine, tags, "::", 58);
		nd(136, "2001:db8::1");
		assert_int_equal(done6(), GUARD_IP);
		ip6(mine, tags, "2001:db8::1", 58);
		nd(137, "2001:db8::1");
		assert_int_equal(done6(), GUARD_ND);
		ip6(mine, tags, "::", 58);
		nd(133, NULL);
		assert_int_equal(done6(), GUARD_PASS);
		ip6(mine, tags, "2001:db8::1", 58);
		nd(134, NULL);
		nd_option(1, other);
		assert_int_equal(done6(), GUARD_ND);
	}
}

static void ext(unsigned next, unsigned bytes)
{
	pkt[len] = next;
	pkt[len + 1] = bytes / 8 - 1;
	len += bytes;
}

static void extension_headers_hide_nothing(void **state)
{
	/* Behind hop-by-hop and destination options it is seen. */
	ip6(mine, 0, "2001:db8::1", 0);
	ext(60, 8);
	ext(58, 16);
	nd(136, "2001:db8::9");
	assert_int_equal(done6(), GUARD_ND);
	ip6(mine, 0, "2001:db8::1", 0);
	ext(58, 8);
	nd(136, "2001:db8::1");
	nd_option(2, mine);
	assert_int_equal(done6(), GUARD_PASS);
	/* Too far behind to be seen. */
	ip6(mine, 0, "2001:db8::1", 0);
	ext(58, 64);
	nd(136, "2001:db8::1");
	assert_int_equal(done6(), GUARD_OTHER);
	ip6(mine, 0, "2001:db8::1", 60);
	ext(58, 2048 % 256 + 96);
	assert_int_equal(done6(), GUARD_OTHER);
	/* Multicast listener reports begin with hop-by-hop options. */
	ip6(mine, 0, "::", 0);
	ext(58, 8);
	pkt[len] = 143;
	len += 20;
	assert_int_equal(done6(), GUARD_PASS);
	pkt[len - 20] = 128; /* echo */
	assert_int_equal(done6(), GUARD_IP);
	/* Neighbour discovery in fragments */
	ip6(mine, 0, "2001:db8::1", 44);
	ext(58, 8);
	pkt[len - 7] = 0;
	pkt[len - 5] = 1; /* more */
	nd(136, "2001:db8::1");
	assert_int_equal(done6(), GUARD_ND);
	pkt[ip6_at + 40 + 3] = 9; /* not the first */
	assert_int_equal(done6(), GUARD_PASS);
	/* Other protocols are not walked into. */
	ip6(mine, 0, "2001:db8::1", 43);
	ext(6, 24);
	len += 20;
	assert_int_equal(done6(), GUARD_PASS);
}

static void broken_options_are_refused(void **state)
{
	ip6(mine, 0, "2001:db8::1", 58);
	nd(136, "2001:db8::1");
	nd_option(2, mine);
	pkt[len - 7] = 0; /* length 0 */
	assert_int_equal(done6(), GUARD_OTHER);
	pkt[len - 7] = 2; /* beyond the end */
	assert_int_equal(done6(), GUARD_OTHER);
	/* What is behind the payload is no option. */
	ip6(mine, 0, "2001:db8::1", 58);
	nd(136, "2001:db8::1");
	done6();
	nd_option(2, other);
	assert_int_equal(judge(), GUARD_PASS);
	/* Cut off within the fixed part */
	len = ip6_at + 40 + 20;
	assert_int_equal(judge(), GUARD_OTHER);
	/* The second option cannot be seen: nor can what it says. */
	ip6(mine, 2, "2001:db8::1", 58);
	nd(136, "2001:db8::1");
	for (unsigned i = 0; i < 6; i++)
		nd_option(14, other);
	nd_option(2, other);
	assert_int_equal(done6(), GUARD_OTHER);
}

static void lists_are_checked(void **state)
{
	static const struct {
		const char *list, *says;
	} cases[] = {
		{ "7", "must be a list" },
		{ "[]", "empty list" },
		{ "[7]", "item 1 of the list" },
		{ "[\"x\"]", "'x' does not begin with the MAC" },
		{ "[\"01:00:00:00:00:01\"]", "does not begin" },
		{ "[\"00:00:00:00:00:00\"]", "does not begin" },
		{ "[\"" MINE " 10.0.0\"]", "'10.0.0' is no IP" },
		{ "[\"" MINE " 10.0.0.0/33\"]", "'10.0.0.0/33' is no IP" },
		{ "[\"" MINE " 10.0.0.0/\"]", "is no IP" },
		{ "[\"" MINE " ::ffff:1.2.3.4\"]", "is no IP" },
		{ "[\"" MINE " fe80::/129\"]", "is no IP" },
		{ "[\"" MINE "\", \"" MINE " 10.0.0.1\"]", "is there twice" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *list = json_loads(cases[i].list, JSON_DECODE_ANY, NULL);
		struct glen_error error;
		struct guard *g;

		assert_non_null(list);
		assert_int_equal(guard_create(list, &g, &error), -EINVAL);
		if (!strstr(error.text, cases[i].says))
			fail_msg("%s: %s", cases[i].list, error.text);
		json_decref(list);
	}
}

static void says_how_much_it_must_see(void **state)
{
	struct guard *g = make("\"" MINE " 10.0.0.1\"");

	assert_int_equal(guard_hdr(g), 64);
	assert_int_equal(guard_hdr(guard), 128);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac_and_ipv4),
		cmocka_unit_test(arp_speaks_for_itself),
		cmocka_unit_test(ipv6_sources),
		cmocka_unit_test(advertisements_are_about_itself),
		cmocka_unit_test(extension_headers_hide_nothing),
		cmocka_unit_test(broken_options_are_refused),
		cmocka_unit_test(lists_are_checked),
		cmocka_unit_test(says_how_much_it_must_see),
	};

	return cmocka_run_group_tests_name("learn_guard", tests, setup,
					   teardown);
}
