// SPDX-License-Identifier: BSD-2-Clause
// test_router_config.c - the router's file: what it may say, what is refused.
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>

#include "router_rig.h"

static struct router router;
static struct glen_error error;

static int read_text(const char *text)
{
	memset(&error, 0, sizeof(error));
	assert_int_equal(router_init(&router), 0);
	return router_config_read(&router, "f", text, strlen(text), &error);
}

#define IFACES                                  \
	"interface lan mac 02:00:00:00:00:01\n" \
	"interface wan mac 02:00:00:00:00:02\n" \
	"address lan 10.0.0.1/24\n"

/* The kind of the hop of an address, -1: none; its interface and router. */
static int kind(const char *text, unsigned iface, const char *via)
{
	struct router_ip ip = { .family = strchr(text, ':') ? 6 : 4 }, to;
	const struct router_hop *hop;

	inet_pton(ip.family == 4 ? AF_INET : AF_INET6, text, ip.a);
	hop = router_lookup(&router, &ip, 0);
	if (!hop)
		return -1;
	if (hop->kind <= ROUTER_LOCAL)
		assert_int_equal(hop->iface, iface);
	if (via) {
		to = (struct router_ip){ .family = strchr(via, ':') ? 6 : 4 };
		inet_pton(to.family == 4 ? AF_INET : AF_INET6, via, to.a);
		assert_true(router_ip_equal(&hop->via, &to));
	}
	return hop->kind;
}

static void reads_all_statements(void **state)
{
	assert_int_equal(
		read_text("# a router\n"
			  "\n"
			  "\t interface lan mac 02:00:00:00:00:01 # to us\r\n"
			  "interface wan mac 02:00:00:00:00:02 mtu 9000\n"
			  "address lan 10.0.0.1/24\n"
			  "address lan 10.0.0.2/24\n"
			  "address lan 10.0.0.3/16\n"
			  "address lan 2001:db8:1::1/64\n"
			  "address wan 192.0.2.1/31\n"
			  "address wan 192.0.2.9/32\n"
			  "route 10.1.0.0/16 via 10.0.0.7\n"
			  "route 10.2.0.0/16 via 10.0.0.7 dev wan\n"
			  "route 10.3.0.0/16 dev wan\n"
			  "route 10.4.0.0/16 blackhole\n"
			  "route 10.5.0.0/16 unreachable\n"
			  "route 10.6.0.0/16 prohibit\n"
			  "route default via 192.0.2.0\n"
			  "route default via fe80::1 dev wan\n"
			  "route 2001:db8:2::/48 via 2001:db8:1::2\n"
			  "icmp-rate 5\nneighbours 16\nqueue 64"),
		0);
	assert_int_equal(router.n_ifaces, 2);
	assert_int_equal(router.iface[0].mtu, 1500);
	assert_int_equal(router.iface[1].mtu, 9000);
	assert_int_equal(router.icmp_rate, 5);
	assert_int_equal(router.neighbours, 16);
	assert_int_equal(router.queue, 64);
	assert_int_equal(kind("10.0.0.1", 0, NULL), ROUTER_LOCAL);
	assert_int_equal(kind("10.0.0.2", 0, NULL), ROUTER_LOCAL);
	assert_int_equal(kind("10.0.0.4", 0, NULL), ROUTER_ON_LINK);
	assert_int_equal(kind("10.0.9.9", 0, NULL), ROUTER_ON_LINK);
	assert_int_equal(kind("10.0.0.255", 0, NULL), ROUTER_BROADCAST);
	assert_int_equal(kind("10.0.255.255", 0, NULL), ROUTER_BROADCAST);
	assert_int_equal(kind("192.0.2.0", 1, NULL), ROUTER_ON_LINK);
	assert_int_equal(kind("192.0.2.1", 1, NULL), ROUTER_LOCAL);
	assert_int_equal(kind("192.0.2.9", 1, NULL), ROUTER_LOCAL);
	assert_int_equal(kind("10.1.2.3", 0, "10.0.0.7"), ROUTER_VIA);
	assert_int_equal(kind("10.2.2.3", 1, "10.0.0.7"), ROUTER_VIA);
	assert_int_equal(kind("10.3.2.3", 1, NULL), ROUTER_ON_LINK);
	assert_int_equal(kind("10.4.2.3", 0, NULL), ROUTER_BLACKHOLE);
	assert_int_equal(kind("10.5.2.3", 0, NULL), ROUTER_UNREACHABLE);
	assert_int_equal(kind("10.6.2.3", 0, NULL), ROUTER_PROHIBIT);
	assert_int_equal(kind("8.8.8.8", 1, "192.0.2.0"), ROUTER_VIA);
	assert_int_equal(kind("2600::", 1, "fe80::1"), ROUTER_VIA);
	assert_int_equal(kind("2001:db8:2::5", 0, "2001:db8:1::2"), ROUTER_VIA);
	assert_int_equal(kind("2001:db8:1::5", 0, NULL), ROUTER_ON_LINK);
	assert_int_equal(kind("2001:db8:1::1", 0, NULL), ROUTER_LOCAL);
	router_fini(&router);
}

static const struct {
	const char *text, *say;
} refused[] = {
	{ "", "f: has no interface" },
	{ "# nothing", "f: has no interface" },
	{ "\n  interfaces lan",
	  "f:2:3: 'interfaces' is not interface, address, route, icmp-rate, "
	  "neighbours or queue" },
	{ "interface",
	  "f:1:10: the name of an interface (1 to 31 letters, digits, '.', "
	  "'_', '-') is missing here" },
	{ "interface a\001b mac 02:00:00:00:00:01",
	  "f:1:11: 'a?b' is not the name of an interface (1 to 31 letters, "
	  "digits, '.', '_', '-')" },
	{ "interface lan", "f:1:14: mac is missing here" },
	{ "interface lan mca", "f:1:15: 'mca' is not mac" },
	{ "interface lan mac 02:00:00:00:00:0g",
	  "f:1:19: '02:00:00:00:00:0g' is not an Ethernet address as "
	  "02:00:00:00:00:01" },
	{ "interface lan mac 02:00:00:00:00:011",
	  "f:1:19: '02:00:00:00:00:011' is not an Ethernet address as "
	  "02:00:00:00:00:01" },
	{ "interface lan mac 01:00:00:00:00:01",
	  "f:1:19: '01:00:00:00:00:01' is not the address of one station" },
	{ "interface lan mac 02:00:00:00:00:01 mtu 1279",
	  "f:1:41: '1279' is not a number from 1280 to 65000" },
	{ "interface lan mac 02:00:00:00:00:01 mtu # none",
	  "f:1:41: a number from 1280 to 65000 is missing here" },
	{ "interface lan mac 02:00:00:00:00:01 mtu 1500 x",
	  "f:1:46: 'x' is more than this line may have" },
	{ IFACES "interface lan mac 02:00:00:00:00:03",
	  "f:4:11: there is an interface lan already" },
	{ IFACES "address dmz 10.1.0.1/24",
	  "f:4:9: there is no interface dmz above" },
	{ IFACES "address wan 10.1.0.1",
	  "f:4:13: '10.1.0.1' is not a prefix as 10.0.0.0/8 or "
	  "2001:db8::/32" },
	{ IFACES "address wan 10.1.0.1/33",
	  "f:4:13: '10.1.0.1/33' is not a prefix as 10.0.0.0/8 or "
	  "2001:db8::/32" },
	{ IFACES "address wan 10.1.0.0/24",
	  "f:4:13: '10.1.0.0/24' cannot be a station's address" },
	{ IFACES "address wan 10.1.0.255/24",
	  "f:4:13: '10.1.0.255/24' cannot be a station's address" },
	{ IFACES "address wan 224.0.0.1/24",
	  "f:4:13: '224.0.0.1/24' cannot be a station's address" },
	{ IFACES "address wan ::1/64",
	  "f:4:13: '::1/64' cannot be a station's address" },
	{ IFACES "address wan ff02::5/64",
	  "f:4:13: 'ff02::5/64' cannot be a station's address" },
	{ IFACES "address wan fe80::5/64",
	  "f:4:13: link-local addresses are made of mac; leave this out" },
	{ IFACES "address wan 10.0.0.2/24",
	  "f:4:13: this address or its subnet is there already" },
	{ IFACES "route 10.1.0.0/16",
	  "f:4:18: via, dev, blackhole, unreachable or prohibit is missing "
	  "here" },
	{ IFACES "route 10.1.0.1/16 dev lan",
	  "f:4:7: '10.1.0.1/16' has bits set behind its first 16; clear "
	  "them" },
	{ IFACES "route 10.0.0.0/24 dev wan",
	  "f:4:7: this prefix has a route already" },
	{ IFACES "route 10.1.0.0/16 via 10.1.0.1",
	  "f:4:23: no interface above has 10.1.0.1 in a subnet; add its "
	  "address, or dev NAME" },
	{ IFACES "route default via fe80::1",
	  "f:4:19: no interface above has fe80::1 in a subnet; add its "
	  "address, or dev NAME" },
	{ IFACES "route 10.1.0.0/16 via 10.0.0.1",
	  "f:4:23: '10.0.0.1' cannot be another router" },
	{ IFACES "route 10.1.0.0/16 via fe80::1 dev wan",
	  "f:4:23: 'fe80::1' is not of the prefix's family" },
	{ IFACES "route 10.1.0.0/16 via 10.0.0.2 lan",
	  "f:4:32: 'lan' is not dev" },
	{ IFACES "route 10.1.0.0/16 via 10.0.0.300",
	  "f:4:23: '10.0.0.300' is not an address as 10.0.0.1 or "
	  "2001:db8::1" },
	{ IFACES "route default dev lan",
	  "f:4:15: default needs via; write 0.0.0.0/0 or ::/0 for anything "
	  "else" },
	{ IFACES "queue 0", "f:4:7: '0' is not a number from 1 to 64" },
	{ IFACES "queue 9999999999",
	  "f:4:7: '9999999999' is not a number from 1 to 64" },
	{ IFACES "queue -1", "f:4:7: '-1' is not a number from 1 to 64" },
};

static void says_where_and_what(void **state)
{
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(read_text(refused[i].text), -EINVAL);
		assert_string_equal(error.text, refused[i].say);
		router_fini(&router);
	}
}

static void has_limits(void **state)
{
	char text[8192], *at = text;

	for (unsigned i = 0; i < ROUTER_IFACES + 1; i++)
		at += sprintf(at, "interface i%u mac 02:00:00:00:01:%02x\n", i,
			      i);
	assert_int_equal(read_text(text), -EINVAL);
	assert_string_equal(error.text, "f:65:1: at most 64 interfaces can be");
	router_fini(&router);
	at = text + sprintf(text, "interface lan mac 02:00:00:00:00:01\n");
	for (unsigned i = 0; i < ROUTER_ADDRESSES; i++)
		at += sprintf(at, "address lan 10.0.0.%u/24\n", i + 1);
	assert_int_equal(read_text(text), -EINVAL);
	assert_string_equal(error.text,
			    "f:17:13: an interface has at most 15 addresses");
	router_fini(&router);
	/* A word that is longer than any may be. */
	memset(text, 'a', 200);
	text[200] = '\0';
	assert_int_equal(read_text(text), -EINVAL);
	assert_non_null(strstr(error.text, "f:1:1: 'aaaa"));
	assert_non_null(strstr(error.text, "aa?' is not interface, "));
	router_fini(&router);
}

static void many_routes_share_hops(void **state)
{
	size_t size = 20000 * 64;
	char *text = malloc(size), *at = text;

	at += sprintf(at, IFACES);
	for (unsigned i = 0; i < 20000; i++)
		at += sprintf(at, "route 20.%u.%u.0/24 via 10.0.0.%u\n",
			      i / 256, i % 256, 2 + i % 7);
	assert_int_equal(read_text(text), 0);
	assert_true(router.n_hops < 20);
	assert_int_equal(kind("20.78.31.9", 0, "10.0.0.2"), ROUTER_VIA);
	router_fini(&router);
	free(text);
}

static void the_router_says_what_is_wrong(void **state)
{
	static const struct glen_nf_group_config config = { .bufs = 8192,
							    .pipe_slots = 256 };
	static const char *const none[] = { "config=/nowhere/at/all", NULL };
	struct glen_nf_instance c = { .args = none };

	memset(&rr, 0, sizeof(rr));
	assert_int_equal(glen_nf_group_create(&rr.group, &config, &error), 0);
	assert_int_equal(router_add("interface lan", 13, &error), -EINVAL);
	assert_non_null(strstr(error.text, ":1:14: mac is missing here"));
	rr.threads = 2;
	assert_int_equal(router_add(IFACES, strlen(IFACES), &error), -EINVAL);
	assert_string_equal(error.text, "router.0: a router has one thread; "
					"start it with one");
	assert_int_equal(glen_nf_add(rr.group, NULL, &router_nf, &c, &error),
			 -ENOENT);
	assert_string_equal(error.text, "router.0: /nowhere/at/all: No such "
					"file or directory");
	c.args = NULL;
	assert_int_equal(glen_nf_add(rr.group, NULL, &router_nf, &c, &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "router.0: option config=FILE is needed");
	router_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all_statements),
		cmocka_unit_test(says_where_and_what),
		cmocka_unit_test(has_limits),
		cmocka_unit_test(many_routes_share_hops),
		cmocka_unit_test(the_router_says_what_is_wrong),
	};

	return cmocka_run_group_tests_name("router_config", tests, NULL, NULL);
}
