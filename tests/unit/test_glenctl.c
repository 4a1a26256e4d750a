/* SPDX-License-Identifier: BSD-2-Clause */
/* test_glenctl.c - words to JSON, tables, rates, packets in one line. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/glenctl/attach.h"
#include "tools/glenctl/counters.h"
#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/packet.h"
#include "tools/glenctl/table.h"

/* Complaints go to stderr, which the TAP reader does not want to see. */
static int quiet_begin(void)
{
	int saved = dup(STDERR_FILENO);

	assert_non_null(freopen("/dev/null", "w", stderr));
	return saved;
}

static void quiet_end(int saved)
{
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static json_t *options(int argc, char **argv)
{
	static const char *const strings[] = { "mac", NULL };
	struct ctl ctl = { 0 };
	json_t *object = json_object();
	int saved = quiet_begin();
	int ret = add_options(&ctl, object, argc, argv, strings);

	quiet_end(saved);
	if (!ret)
		return object;
	assert_int_equal(ret, EXIT_USAGE);
	json_decref(object);
	return NULL;
}

static void words_become_values(void **state)
{
	char *words[] = { "queues=2",	  "speed=0.5", "isolated=true",
			  "list=[1, 2]",  "name=blue", "mac=12",
			  "quoted=\"7\"", "empty=",    "mixed=1:2",
			  "eq=a=b",	  "none=null" };
	json_t *o = options(sizeof(words) / sizeof(*words), words);

	assert_non_null(o);
	assert_int_equal(json_integer_value(json_object_get(o, "queues")), 2);
	assert_true(json_real_value(json_object_get(o, "speed")) == 0.5);
	assert_true(json_is_true(json_object_get(o, "isolated")));
	assert_int_equal(json_array_size(json_object_get(o, "list")), 2);
	assert_string_equal(get_str(o, "name"), "blue");
	assert_string_equal(get_str(o, "mac"), "12");
	assert_string_equal(get_str(o, "quoted"), "7");
	assert_true(json_is_string(json_object_get(o, "empty")));
	assert_string_equal(get_str(o, "mixed"), "1:2");
	assert_string_equal(get_str(o, "eq"), "a=b");
	assert_true(json_is_null(json_object_get(o, "none")));
	json_decref(o);
}

static void bad_words_are_refused(void **state)
{
	char *bad[] = { "queues",   "=2",    "list=[1,",
			"o={\"a\"", "q=\"x", "latin=\xff" };
	char *twice[] = { "a=1", "a=2" };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(options(1, &bad[i]));
	assert_null(options(2, twice));
}

static void numbers_have_limits(void **state)
{
	struct ctl ctl = { 0 };
	int saved = quiet_begin();
	double seconds;
	long value;

	assert_int_equal(parse_long(&ctl, "n", "10", 1, 10, &value), 0);
	assert_int_equal(value, 10);
	assert_int_equal(parse_long(&ctl, "n", "11", 1, 10, &value),
			 EXIT_USAGE);
	assert_int_equal(parse_long(&ctl, "n", "1x", 1, 10, &value),
			 EXIT_USAGE);
	assert_int_equal(parse_long(&ctl, "n", "", 0, 10, &value), EXIT_USAGE);
	assert_int_equal(parse_seconds(&ctl, "t", "0.25", 0, 1, &seconds), 0);
	assert_true(seconds == 0.25);
	assert_int_equal(parse_seconds(&ctl, "t", "nan", 0, 1, &seconds),
			 EXIT_USAGE);
	assert_int_equal(parse_seconds(&ctl, "t", "inf", 0, 1, &seconds),
			 EXIT_USAGE);
	quiet_end(saved);
}

static char *print(const struct table *t, unsigned width, unsigned max_rows)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	table_print(t, file, width, max_rows);
	fclose(file);
	return text;
}

static void tables_are_aligned(void **state)
{
	static const char *const titles[] = { "NAME", ">N", "END", NULL };
	struct table t;
	char *text;

	table_init(&t, titles);
	table_add(&t, "a");
	table_add(&t, "%d", 5);
	table_add(&t, "x");
	table_add(&t, "longer");
	table_add(&t, "%d", 12345);
	table_add(&t, "%s", "");
	text = print(&t, 0, 0);
	assert_string_equal(text, "NAME        N  END\n"
				  "a           5  x\n"
				  "longer  12345\n");
	free(text);
	text = print(&t, 10, 1);
	assert_string_equal(text, "NAME  N  E\n"
				  "a     5  x\n");
	free(text);
	table_fini(&t);
}

static void units_are_human(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0" },	      { 0.25, "0.25" },
		{ 7, "7" },	      { 9999, "9999" },
		{ 10000, "10.0 k" },  { 99999, "100 k" },
		{ 123456, "123 k" },  { 999499, "999 k" },
		{ 999600, "1.00 M" }, { 1234567, "1.23 M" },
		{ 14.2e9, "14.2 G" },
	};
	char buf[UNIT_SIZE];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(human(buf, cases[i].value), cases[i].text);
	assert_string_equal(human_seconds(buf, 59), "59s");
	assert_string_equal(human_seconds(buf, 61), "1m 1s");
	assert_string_equal(human_seconds(buf, 3660), "1h 1m");
	assert_string_equal(human_seconds(buf, 90000), "1d 1h");
}

/* The value at a path such as "ports/0/in/packets". */
static double at(const json_t *value, const char *path)
{
	char *copy = strdup(path), *save, *key;

	for (key = strtok_r(copy, "/", &save); key;
	     key = strtok_r(NULL, "/", &save))
		value = json_is_array(value) ?
				json_array_get(value, atoi(key)) :
				json_object_get(value, key);
	free(copy);
	assert_true(json_is_number(value));
	return json_number_value(value);
}

static void rates_match_names(void **state)
{
	json_t *before = json_loads(
		"{\"ports\": [{\"port\": \"s:a\", \"in\": {\"packets\": 100,"
		"   \"drops\": {\"in_runt\": 4}}},"
		" {\"port\": \"s:gone\", \"in\": {\"packets\": 5}}]}",
		0, NULL);
	json_t *now = json_loads(
		"{\"ports\": ["
		" {\"port\": \"s:new\", \"in\": {\"packets\": 50}},"
		" {\"port\": \"s:a\", \"in\": {\"packets\": 300,"
		"   \"drops\": {\"in_runt\": 4, \"in_module\": 8}},"
		"  \"rings\": [{\"ring\": 3, \"in\": {\"packets\": 10}}]}]}",
		0, NULL);
	json_t *rate = counters_rate(before, now, 2);

	assert_true(at(rate, "ports/0/in/packets") == 25);
	assert_true(at(rate, "ports/1/in/packets") == 100);
	assert_true(at(rate, "ports/1/in/drops/in_runt") == 0);
	assert_true(at(rate, "ports/1/in/drops/in_module") == 4);
	assert_true(at(rate, "ports/1/rings/0/ring") == 3);
	assert_true(at(rate, "ports/1/rings/0/in/packets") == 5);
	json_decref(rate);
	/* A port made anew counts from zero, not below. */
	rate = counters_rate(now, before, 1);
	assert_true(at(rate, "ports/0/in/packets") == 100);
	json_decref(rate);
	json_decref(before);
	json_decref(now);
}

static void sums_name_the_top_reason(void **state)
{
	json_t *port = json_loads(
		"{\"port\": \"s:a\", \"in\": {\"packets\": 9, \"bytes\": 99,"
		" \"drops\": {\"in_runt\": 2, \"in_module\": 3}},"
		" \"out\": {\"packets\": 7, \"drops\": {\"out_no_room\": 4}}}",
		0, NULL);
	struct port_sum sum;

	counters_sum(port, &sum);
	assert_string_equal(sum.name, "s:a");
	assert_true(sum.in_drops == 5 && sum.out_drops == 4);
	assert_string_equal(sum.top_reason, "out_no_room");
	assert_true(strlen(counters_reason_text("out_no_room")) > 0);
	assert_string_equal(counters_reason_text("no such"), "");
	json_decref(port);
}

static char *describe(const uint8_t *data, uint32_t len)
{
	/* Exactly len bytes, so that a sanitizer sees a read beyond. */
	uint8_t *copy = malloc(len ? len : 1);
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	memcpy(copy, data, len);
	packet_print(file, copy, len, len);
	fclose(file);
	free(copy);
	return text;
}

static const uint8_t
	ping[] = {
		2,    0, 0,  0,	 0, 2, 2, 0, 0,	 0, 0, 1, 0x81, 0,
		0,    7, 8,  0, /* vlan 7 */
		0x45, 0, 0,  28, 0, 0, 0, 0, 64, 1, 0, 0, 10,	0,
		0,    1, 10, 0,	 0, 2, 8, 0, 0,	 0, 0, 5, 0,	9,
	};

static void packets_are_described(void **state)
{
	static const uint8_t tcp[] = {
		2,  0,	  0,	0, 0, 2,  2, 0,	 0, 0, 0, 1,  8, 0, 0x45,
		0,  0,	  43,	0, 0, 0,  0, 64, 6, 0, 0, 10, 0, 0, 1,
		10, 0,	  0,	2, 0, 80, 4, 0,	 0, 0, 0, 1,  0, 0, 0,
		2,  0x50, 0x12, 1, 0, 0,  0, 0,	 0, 1, 2, 3,
	};
	char *text = describe(ping, sizeof(ping));

	assert_string_equal(text,
			    "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 46 B "
			    "10.0.0.1 > 10.0.0.2: ICMP echo request, id 5, "
			    "seq 9");
	free(text);
	text = describe(tcp, sizeof(tcp));
	assert_string_equal(text, "02:00:00:00:00:01 > 02:00:00:00:00:02 57 B "
				  "10.0.0.1.80 > 10.0.0.2.1024: TCP [S.] seq 1 "
				  "ack 2 win 256 data 3");
	free(text);
	text = describe(ping, 9);
	assert_string_equal(text, "9 bytes, no Ethernet header");
	free(text);
}

static void any_bytes_are_described(void **state)
{
	static const uint16_t types[] = { 0x800, 0x86dd, 0x806, 0x8100 };
	unsigned seed = 4711;
	uint8_t bytes[128];

	print_message("# seed %u\n", seed);
	for (unsigned turn = 0; turn < 50000; turn++) {
		uint32_t len = rand_r(&seed) % sizeof(bytes);
		uint16_t type = types[turn % 4];

		for (unsigned i = 0; i < len; i++)
			bytes[i] = rand_r(&seed);
		bytes[12] = type >> 8;
		bytes[13] = type;
		if (turn & 4)
			bytes[14] = turn % 4 ? 0x60 : 0x45;
		free(describe(bytes, len));
	}
	for (unsigned len = 0; len <= sizeof(ping); len++)
		free(describe(ping, len));
}

/* Words of attach_qemu() in one line; freed by the caller. */
static char *qemu(const char *port, const struct attach_options *o)
{
	json_t *object = json_loads(port, 0, NULL), *words;
	const char *why = "";
	char *text = NULL;
	size_t size;
	FILE *file;

	assert_non_null(object);
	words = attach_qemu(object, o, &why);
	json_decref(object);
	if (!words)
		return strdup(why);
	file = open_memstream(&text, &size);
	attach_print_words(file, words, "\n");
	fclose(file);
	json_decref(words);
	return text;
}

static json_t *libvirt(const char *port, const struct attach_options *o)
{
	json_t *object = json_loads(port, 0, NULL), *elements;
	const char *why = "";

	assert_non_null(object);
	elements = attach_libvirt(object, o, &why);
	json_decref(object);
	return elements;
}

/* A port with two queues and an address. */
#define PORT(driver, more)                                               \
	"{\"port\": \"s0:vm1\", \"driver\": \"" driver "\", \"mtu\": 0," \
	"\"mac\": \"52:54:00:00:00:07\"" more "}"
#define VHOST(more) \
	PORT("vhost-user", ", \"in_rings\": 2, \"path\": \"/run/vm1\"" more)

static void qemu_connects_where_glend_listens(void **state)
{
	struct attach_options o = { .memory = "2G", .queues = 1 };
	char *text = qemu(VHOST(", \"mode\": \"server\""), &o);

	assert_string_equal(
		text,
		"-object memory-backend-memfd,id=glen-mem,size=2G,share=on\n"
		"-machine memory-backend=glen-mem\n"
		"-chardev socket,id=glen-s0-vm1,path=/run/vm1,reconnect=1\n"
		"-netdev vhost-user,id=glen-s0-vm1,chardev=glen-s0-vm1,"
		"queues=1\n"
		"-device virtio-net-pci,netdev=glen-s0-vm1,"
		"mac=52:54:00:00:00:07,rx_queue_size=1024,tx_queue_size=1024");
	free(text);
}

static void qemu_listens_where_glend_connects(void **state)
{
	struct attach_options o = { .memory = "none", .packed = true };
	char *text = qemu("{\"port\": \"s0:v\", \"driver\": \"vhost-user\","
			  " \"mtu\": 9000, \"mac\": \"52:54:00:00:00:07\","
			  " \"path\": \"/a,b\", \"mode\": \"client\","
			  " \"in_rings\": 4}",
			  &o);

	assert_string_equal(
		text,
		"-chardev socket,id=glen-s0-v,path=/a,,b,server=on,wait=off\n"
		"-netdev vhost-user,id=glen-s0-v,chardev=glen-s0-v,queues=4\n"
		"-device virtio-net-pci,netdev=glen-s0-v,"
		"mac=52:54:00:00:00:07,host_mtu=9000,mq=on,vectors=10,"
		"packed=on,rx_queue_size=1024,tx_queue_size=1024");
	free(text);
}

static void unknown_sizes_are_seen(void **state)
{
	struct attach_options o = { 0 };
	char *text = qemu(VHOST(""), &o);

	assert_non_null(strstr(text, "size=" ATTACH_SIZE ","));
	free(text);
}

/* A port takes up to 16 pairs unless it is told otherwise. */
static void queues_fit_guest_and_port(void **state)
{
	static const char any[] = "{\"port\": \"s0:v\", \"in_rings\": 16,"
				  " \"driver\": \"vhost-user\","
				  " \"path\": \"/a\"}";
	struct attach_options o = { 0 };
	char *text = qemu(any, &o);

	assert_non_null(strstr(text, ",queues=1\n"));
	assert_null(strstr(text, "mq=on"));
	free(text);
	o.queues = 16;
	text = qemu(any, &o);
	assert_non_null(strstr(text, ",queues=16\n"));
	assert_non_null(strstr(text, ",mq=on,vectors=34,"));
	free(text);
	o.queues = 3;
	text = qemu(VHOST(""), &o);
	assert_non_null(strstr(text, "fewer queues"));
	free(text);
	o = (struct attach_options){ .packed = true };
	text = qemu(VHOST(", \"packed\": false"), &o);
	assert_non_null(strstr(text, "no packed"));
	free(text);
}

static void libvirt_gets_the_same(void **state)
{
	struct attach_options o = { 0 };
	json_t *e = libvirt(VHOST(", \"mode\": \"server\""), &o);

	assert_string_equal(get_str(e, "memoryBacking"),
			    "<memoryBacking>\n"
			    "  <source type='memfd'/>\n"
			    "  <access mode='shared'/>\n"
			    "</memoryBacking>\n");
	assert_string_equal(
		get_str(e, "interface"),
		"<interface type='vhostuser'>\n"
		"  <mac address='52:54:00:00:00:07'/>\n"
		"  <source type='unix' path='/run/vm1' mode='client'>\n"
		"    <reconnect enabled='yes' timeout='1'/>\n"
		"  </source>\n"
		"  <model type='virtio'/>\n"
		"  <driver queues='2' rx_queue_size='1024' "
		"tx_queue_size='1024'/>\n"
		"</interface>\n");
	json_decref(e);
	o.memory = "none";
	o.packed = true;
	e = libvirt("{\"port\": \"s0:v\", \"driver\": \"vhost-user\","
		    " \"mtu\": 1500, \"path\": \"/a'<&\\n>\","
		    " \"mode\": \"client\", \"in_rings\": 1}",
		    &o);
	assert_null(json_object_get(e, "memoryBacking"));
	assert_non_null(strstr(get_str(e, "interface"),
			       "path='/a&apos;&lt;&amp;&#10;&gt;' "
			       "mode='server'/>\n"));
	assert_non_null(strstr(get_str(e, "interface"),
			       "packed='on'/>\n"
			       "  <mtu size='1500'/>"));
	json_decref(e);
}

/* The -netdev word of QEMU's, and its -device word if that is wanted. */
static void assert_netdev(const char *port, const char *model,
			  const char *netdev, const char *device)
{
	struct attach_options o = { .model = model };
	char *text = qemu(port, &o);

	assert_string_equal(strtok(text, "\n"), netdev);
	if (device)
		assert_string_equal(strtok(NULL, "\n"), device);
	free(text);
}

static void frames_take_any_interface(void **state)
{
	assert_netdev(PORT("stream", ", \"in_rings\": 1, \"path\": \"/a,\","
				     "\"mode\": \"server\""),
		      "e1000",
		      "-netdev stream,id=glen-s0-vm1,server=off,addr.type=unix,"
		      "addr.path=/a,,",
		      "-device e1000,netdev=glen-s0-vm1,mac=52:54:00:00:00:07");
	assert_netdev(PORT("stream", ", \"addr\": \"192.0.2.1:5000\","
				     "\"mode\": \"client\""),
		      NULL,
		      "-netdev stream,id=glen-s0-vm1,server=on,addr.type=inet,"
		      "addr.host=192.0.2.1,addr.port=5000",
		      "-device virtio-net-pci,netdev=glen-s0-vm1,"
		      "mac=52:54:00:00:00:07");
	assert_netdev(PORT("dgram", ", \"path\": \"/g\", \"peer\": \"/q\""),
		      NULL,
		      "-netdev dgram,id=glen-s0-vm1,local.type=unix,"
		      "local.path=/q,remote.type=unix,remote.path=/g",
		      NULL);
	assert_netdev(PORT("dgram", ", \"addr\": \"*:1\","
				    "\"peer\": \"[2001:db8::1]:2\""),
		      NULL,
		      "-netdev dgram,id=glen-s0-vm1,local.type=inet,"
		      "local.host=2001:db8::1,local.port=2,remote.type=inet,"
		      "remote.host=127.0.0.1,remote.port=1",
		      NULL);
	assert_netdev(PORT("dgram", ", \"addr\": \"230.0.0.1:5558\","
				    "\"group\": true"),
		      NULL,
		      "-netdev dgram,id=glen-s0-vm1,remote.type=inet,"
		      "remote.host=230.0.0.1,remote.port=5558",
		      NULL);
}

static void libvirt_knows_frames(void **state)
{
	struct attach_options o = { .model = "e1000" };
	json_t *e = libvirt(PORT("dgram", ", \"addr\": \"192.0.2.1:1\","
					  "\"peer\": \"192.0.2.2:2\""),
			    &o);

	assert_string_equal(get_str(e, "interface"),
			    "<interface type='udp'>\n"
			    "  <mac address='52:54:00:00:00:07'/>\n"
			    "  <source address='192.0.2.1' port='1'>\n"
			    "    <local address='192.0.2.2' port='2'/>\n"
			    "  </source>\n"
			    "  <model type='e1000'/>\n"
			    "</interface>\n");
	json_decref(e);
	e = libvirt(PORT("stream", ", \"addr\": \"*:5000\""), &o);
	assert_non_null(
		strstr(get_str(e, "interface"), "<interface type='client'>"));
	assert_non_null(strstr(get_str(e, "interface"),
			       "<source address='127.0.0.1' port='5000'/>"));
	json_decref(e);
	e = libvirt(PORT("stream", ", \"path\": \"/a&b\""), &o);
	assert_int_equal(json_object_size(e), 1);
	assert_non_null(strstr(get_str(e, "qemu:commandline"),
			       "<qemu:arg value='stream,id=glen-s0-vm1,"
			       "server=off,addr.type=unix,addr.path=/a&amp;b'"
			       "/>\n"));
	json_decref(e);
}

/* The MAC address among QEMU's words; freed by the caller. */
static char *mac_of(const char *port, const char *host)
{
	struct attach_options o = { .host = host };
	char *text = qemu(port, &o), *mac;

	assert_non_null(strstr(text, ",mac="));
	mac = strndup(strstr(text, ",mac=") + 5, 17);
	free(text);
	return mac;
}

static void ports_without_a_mac_get_one_each(void **state)
{
	static const char vm1[] = "{\"port\": \"s0:vm1\", \"mac\": \"\","
				  " \"driver\": \"vhost-user\","
				  " \"path\": \"/a\"}";
	static const char vm2[] = "{\"port\": \"s0:vm2\", \"mac\": \"\","
				  " \"driver\": \"vhost-user\","
				  " \"path\": \"/a\"}";
	char *one = mac_of(vm1, "x"), *again = mac_of(vm1, "x");
	char *two = mac_of(vm2, "x"), *elsewhere = mac_of(vm1, "y");

	assert_string_equal(one, again);
	assert_string_not_equal(one, two);
	assert_string_not_equal(one, elsewhere);
	/* Locally administered, and no group. */
	assert_int_equal(strtol(one, NULL, 16) & 3, 2);
	assert_int_equal(strlen(one), 17);
	free(one);
	free(again);
	free(two);
	free(elsewhere);
}

static void words_are_quoted_for_a_shell(void **state)
{
	json_t *words = json_pack("[s, s, s, s]", "-a", "x y", "-b", "it's");
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_true(attach_print_words(file, words, " "));
	fclose(file);
	assert_string_equal(text, "-a 'x y' -b 'it'\\''s'");
	free(text);
	json_decref(words);
}

static void other_ports_are_refused(void **state)
{
	struct attach_options o = { 0 };
	char *text = qemu("{\"port\": \"s0:t\", \"driver\": \"tap\"}", &o);

	assert_non_null(strstr(text, "not for virtual machines"));
	free(text);
	assert_null(libvirt("{\"port\": \"s0:t\", \"driver\": \"tap\"}", &o));
	text = qemu("{\"port\": \"s0:t\", \"driver\": \"vhost-user\"}", &o);
	assert_non_null(strstr(text, "socket"));
	free(text);
	o.model = "e1000";
	text = qemu(VHOST(""), &o);
	assert_non_null(strstr(text, "virtio-net"));
	free(text);
}

static void alarms_come_last(void **state)
{
	json_t *port = json_loads(
		"{\"port\": \"s0:a\", \"link\": false, \"mtu\": 1500,"
		" \"vhost\": {\"problem\": \"not shared\", \"peer\":"
		"  {\"pid\": 7, \"uid\": 0}, \"none\": [], \"features\":"
		"  [\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
		"   \"bbbbbbbbbbbbbbbbbbbbbbbb\", \"c\"], \"memory\":"
		"  [{\"gpa\": \"0x0\", \"size\": 67108864},"
		"   {\"gpa\": \"0x100000000\", \"size\": 98304,"
		"    \"page\": 4096}]}, \"attached\": true}",
		0, NULL);
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(port);
	print_members(file, port);
	fclose(file);
	assert_string_equal(
		text, "port           s0:a\n"
		      "link           no\n"
		      "mtu            1500\n"
		      "peer           pid=7 uid=0\n"
		      "none           -\n"
		      "features       aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
		      "bbbbbbbbbbbbbbbbbbbbbbbb\n"
		      "               c\n"
		      "attached       yes\n"
		      "\nmemory:\n"
		      "gpa          size    page\n"
		      "0x0          64 MiB\n"
		      "0x100000000  96 KiB  4 KiB\n"
		      "\nproblem: not shared\n");
	free(text);
	json_decref(port);
}

/* Also those of an object that has nothing else than plain values. */
static void alarms_are_not_among_pairs(void **state)
{
	json_t *port = json_pack("{s:{s:b, s:s}, s:{s:i, s:i}}", "vhost",
				 "connected", 0, "last_error", "too long",
				 "peer", "pid", 7, "uid", 0);
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	print_members(file, port);
	fclose(file);
	assert_string_equal(text, "connected      no\n"
				  "peer           pid=7 uid=0\n"
				  "\nlast_error: too long\n");
	free(text);
	json_decref(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_values),
		cmocka_unit_test(bad_words_are_refused),
		cmocka_unit_test(numbers_have_limits),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(units_are_human),
		cmocka_unit_test(rates_match_names),
		cmocka_unit_test(sums_name_the_top_reason),
		cmocka_unit_test(packets_are_described),
		cmocka_unit_test(any_bytes_are_described),
		cmocka_unit_test(qemu_connects_where_glend_listens),
		cmocka_unit_test(qemu_listens_where_glend_connects),
		cmocka_unit_test(unknown_sizes_are_seen),
		cmocka_unit_test(queues_fit_guest_and_port),
		cmocka_unit_test(libvirt_gets_the_same),
		cmocka_unit_test(frames_take_any_interface),
		cmocka_unit_test(libvirt_knows_frames),
		cmocka_unit_test(ports_without_a_mac_get_one_each),
		cmocka_unit_test(words_are_quoted_for_a_shell),
		cmocka_unit_test(other_ports_are_refused),
		cmocka_unit_test(alarms_come_last),
		cmocka_unit_test(alarms_are_not_among_pairs),
	};

	return cmocka_run_group_tests_name("glenctl", tests, NULL, NULL);
}
