// SPDX-License-Identifier: BSD-2-Clause
// test_learn_ports.c - ports with settings: policing, storms, addresses, guard.
#include "unit.h"

#include <errno.h>

#include "learn_bridge.h"
#include "module/learn/ports.h"

enum {
	POLICED = GLEN_VERDICT_DROP | LEARN_POLICED,
	STORM = GLEN_VERDICT_DROP | LEARN_STORM,
	MAC_LIMIT = GLEN_VERDICT_DROP | LEARN_MAC_LIMIT,
	MAC_STATIC = GLEN_VERDICT_DROP | LEARN_MAC_STATIC,
};

static struct glen_module_port ports[N_PORTS];

static int set_error(struct learn *l, unsigned port, const char *settings,
		     struct glen_error *error)
{
	json_t *s = settings ? json_loads(settings, 0, NULL) : NULL;
	int err;

	assert_true(!settings || s);
	err = ops->port_set(fake_env(2), l, &ports[port], s, error);
	json_decref(s);
	return err;
}

static void set(struct learn *l, unsigned port, const char *settings)
{
	struct glen_error error;

	if (set_error(l, port, settings, &error))
		fail_msg("%s", error.text);
}

static void shows(struct learn *l, unsigned port, const char *settings)
{
	json_t *want = json_loads(settings, 0, NULL);
	json_t *now = ops->port_settings(l, &ports[port]);
	char *text = json_dumps(now, 0);

	if (!json_equal(now, want))
		fail_msg("%s is not %s", text, settings);
	free(text);
	json_decref(now);
	json_decref(want);
}

/* n packets of len bytes from station 10 to dst; how many are not why? */
static unsigned pass(struct learn *l, unsigned port, unsigned n, uint32_t dst,
		     uint32_t len, uint32_t why)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++) {
		put_packet(i, dst, 10);
		if (dst == 0xffffffff)
			memset(batch->hdr[i], 0xff, 6);
		else if (dst == 0xfffffffe)
			batch->hdr[i][0] |= 1;
		batch->len[i] = len;
	}
	run(l, port, n);
	for (unsigned i = 0; i < n; i++)
		passed += batch->verdict[i] != why;
	return passed;
}

static void polices_packets(void **state)
{
	struct learn *l = made(json_object());
	unsigned sum = 0;

	one(l, 2, 99, 20);
	set(l, 1, "{\"police_pps\": 100, \"police_burst_packets\": 20}");
	assert_int_equal(pass(l, 1, 256, 20, 60, POLICED), 20);
	assert_int_equal(pass(l, 1, 256, 20, 60, POLICED), 0);
	/* Other ports are not touched. */
	assert_int_equal(pass(l, 3, 256, 20, 60, POLICED), 256);
	for (unsigned i = 0; i < 100; i++) {
		now_s++;
		sum += pass(l, 1, 256, 20, 60, POLICED);
	}
	assert_int_equal(sum, 100 * 20); /* a burst per call, a second apart */
	/* An unrelated change does not fill the bucket. */
	assert_int_equal(pass(l, 1, 256, 20, 60, POLICED), 0);
	set(l, 1,
	    "{\"police_pps\": 100, \"police_burst_packets\": 20, "
	    "\"mac_limit\": 7}");
	assert_int_equal(pass(l, 1, 256, 20, 60, POLICED), 0);
	set(l, 1, NULL);
	assert_int_equal(pass(l, 1, 256, 20, 60, POLICED), 256);
	ops->destroy(l);
}

static void polices_bytes(void **state)
{
	struct learn *l = made(json_object());

	one(l, 2, 99, 20);
	set(l, 1, "{\"police_bps\": \"8M\", \"police_burst_bytes\": 65536}");
	assert_int_equal(pass(l, 1, 256, 20, 1024, POLICED), 64);
	now_s++;
	assert_int_equal(pass(l, 1, 256, 20, 32768, POLICED), 2);
	now_s++;
	assert_int_equal(pass(l, 1, 256, 20, 65537, POLICED), 0);
	/* That took no tokens. */
	assert_int_equal(pass(l, 1, 256, 20, 1024, POLICED), 64);
	ops->destroy(l);
}

/* What is refused for its bytes costs no packet token. */
static void both_limits_together(void **state)
{
	struct learn *l = made(json_object());

	set(l, 1,
	    "{\"police_pps\": 10, \"police_burst_packets\": 10, "
	    "\"police_bps\": 8000, \"police_burst_bytes\": 1000}");
	assert_int_equal(pass(l, 1, 100, 20, 1001, POLICED), 0);
	assert_int_equal(pass(l, 1, 100, 20, 60, POLICED), 10);
	ops->destroy(l);
}

static void controls_storms(void **state)
{
	struct learn *l = made(json_object());

	one(l, 2, 99, 20);
	set(l, 1,
	    "{\"storm_broadcast_pps\": 40, \"storm_multicast_pps\": 50, "
	    "\"storm_unknown_pps\": 80}");
	assert_int_equal(pass(l, 1, 256, 0xffffffff, 60, STORM), 4);
	assert_int_equal(pass(l, 1, 256, 0xfffffffe, 60, STORM), 5);
	assert_int_equal(pass(l, 1, 256, 7777, 60, STORM), 8);
	assert_int_equal(pass(l, 1, 256, 20, 60, STORM), 256);
	now_s++;
	assert_int_equal(pass(l, 1, 256, 0xffffffff, 60, STORM), 4);
	ops->destroy(l);
}

static void limits_addresses(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 10));

	set(l, 1, "{\"mac_limit\": 3, \"macs\": [\"02:00:00:00:00:0a\"]}");
	assert_int_equal(one(l, 1, 99, 10), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 11), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 12), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 13), MAC_LIMIT);
	assert_int_equal(one(l, 2, 13, 20), UNKNOWN);
	/* A station that moves there is one too many, too. */
	assert_int_equal(one(l, 1, 99, 20), MAC_LIMIT);
	assert_int_equal(one(l, 3, 20, 30), to(2));
	assert_int_equal(one(l, 1, 99, 10), UNKNOWN);
	/* Those that left make room. */
	one(l, 4, 99, 11);
	assert_int_equal(one(l, 1, 99, 13), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 14), MAC_LIMIT);
	now_s += 11;
	for (unsigned i = 0; i < 8; i++) /* the whole table */
		ops->tick(l, now_s);
	assert_int_equal(one(l, 1, 99, 14), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 15), UNKNOWN);
	assert_int_equal(one(l, 1, 99, 16), MAC_LIMIT);
	/* No address, no place. */
	put_packet(0, 99, 10);
	batch->hdr[0][6] |= 1;
	run(l, 1, 1);
	assert_int_equal(batch->verdict[0], MAC_LIMIT);
	ops->destroy(l);
}

static void static_addresses_are_settings(void **state)
{
	struct learn *l = made(json_object());
	struct glen_error error;
	json_t *params;

	set(l, 1,
	    "{\"macs\": [\"02:00:00:00:00:0A\", "
	    "\"02:00:00:00:00:0b@7\"]}");
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(tagged(l, 3, 11, 30, TPID_C, 7), to(1));
	assert_int_equal(one(l, 3, 11, 30), UNKNOWN);
	assert_false(ops->changed(l));
	assert_int_equal(fdb_add(l, "02:00:00:00:00:01", "p1", NULL), 0);
	assert_int_equal(fdb_add(l, "02:00:00:00:00:02", "p2", NULL), 0);
	assert_true(ops->changed(l));
	assert_false(ops->changed(l));
	shows(l, 1,
	      "{\"macs\": [\"02:00:00:00:00:0A\", "
	      "\"02:00:00:00:00:0b@7\", \"02:00:00:00:00:01\"]}");
	shows(l, 2, "{\"macs\": [\"02:00:00:00:00:02\"]}");
	shows(l, 3, "{}");
	/* Away with one, the other one stays what it is. */
	set(l, 1, "{\"macs\": [\"02:00:00:00:00:0A\"]}");
	assert_int_equal(tagged(l, 3, 11, 30, TPID_C, 7), UNKNOWN);
	assert_int_equal(one(l, 3, 1, 30), UNKNOWN);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(one(l, 3, 2, 30), to(2));
	set(l, 2, NULL);
	assert_int_equal(one(l, 3, 2, 30), UNKNOWN);
	fdb_flush(l, json_pack("{s:b}", "static", 1));
	assert_true(ops->changed(l));
	shows(l, 1, "{}");
	/* All or nothing */
	params = json_object();
	assert_int_equal(ops->set(l, params, NULL), 0);
	json_decref(params);
	ops->destroy(l);
	l = made(json_pack("{s:b}", "vlan", 0));
	assert_int_equal(set_error(l, 1,
				   "{\"macs\": [\"02:00:00:00:00:01\", "
				   "\"02:00:00:00:00:02@3\"]}",
				   &error),
			 -EINVAL);
	assert_int_equal(count(l, "used"), 0);
	ops->destroy(l);
}

static void sticky_addresses_stay(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 10));

	set(l, 1, "{\"mac_sticky\": true, \"mac_limit\": 2}");
	one(l, 1, 99, 10);
	assert_true(ops->changed(l));
	tagged(l, 1, 99, 11, TPID_C, 5);
	assert_int_equal(one(l, 1, 99, 12), MAC_LIMIT);
	now_s += 1000;
	ops->tick(l, now_s);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_true(ops->changed(l));
	assert_false(ops->changed(l));
	shows(l, 1,
	      "{\"mac_sticky\": true, \"mac_limit\": 2, \"macs\": "
	      "[\"02:00:00:00:00:0a\", \"02:00:00:00:00:0b@5\"]}");
	/* Seen elsewhere: not believed; refused where addresses matter. */
	assert_int_equal(one(l, 2, 99, 10), UNKNOWN);
	set(l, 2, "{\"mac_limit\": 9}");
	assert_int_equal(one(l, 2, 99, 10), MAC_STATIC);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	ops->destroy(l);
}

static void what_was_learnt_becomes_sticky(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 10));

	one(l, 1, 99, 10);
	set(l, 1, "{\"mac_sticky\": true}");
	one(l, 1, 99, 10);
	assert_true(ops->changed(l));
	shows(l, 1,
	      "{\"mac_sticky\": true, \"macs\": [\"02:00:00:00:00:0a\"]}");
	one(l, 1, 99, 10);
	assert_false(ops->changed(l));
	now_s += 1000;
	assert_int_equal(one(l, 3, 10, 30), to(1));
	ops->destroy(l);
}

/* The last one to be given it has it; the other one does not say so, too. */
static void a_static_address_is_at_one_port(void **state)
{
	struct learn *l = made(json_object());

	set(l, 1, "{\"macs\": [\"02:00:00:00:00:0a\"]}");
	set(l, 2, "{\"macs\": [\"02:00:00:00:00:0a\"]}");
	assert_int_equal(one(l, 3, 10, 30), to(2));
	assert_true(ops->changed(l));
	shows(l, 1, "{}");
	shows(l, 2, "{\"macs\": [\"02:00:00:00:00:0a\"]}");
	ops->destroy(l);
}

static void guards(void **state)
{
	struct learn *l = made(json_object());

	assert_int_equal(ops->hdr_want_now(l), HDR_MIN);
	set(l, 1,
	    "{\"guard\": [\"02:00:00:00:00:0a\"], \"police_pps\": 10, "
	    "\"police_burst_packets\": 1}");
	for (unsigned i = 0; i < 20; i++)
		put_packet(i, 99, 11);
	put_packet(20, 99, 10);
	run(l, 1, 21);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(batch->verdict[i], glen_drop(LEARN_GUARD_MAC));
	/* They took no tokens, and nothing was learnt. */
	assert_int_equal(batch->verdict[20], UNKNOWN);
	assert_int_equal(count(l, "used"), 1);
	assert_int_equal(ops->hdr_want_now(l), HDR_MIN);
	set(l, 1, "{\"guard\": \"02:00:00:00:00:0a 2001:db8::1\"}");
	assert_int_equal(ops->hdr_want_now(l), HDR_MAX);
	put_packet(0, 99, 10);
	batch->hdr[0][14] = 0x45;
	run(l, 1, 1);
	assert_int_equal(batch->verdict[0], glen_drop(LEARN_GUARD_IP));
	set(l, 1, NULL);
	assert_int_equal(ops->hdr_want_now(l), HDR_MIN);
	ops->destroy(l);
}

/* With settings that never say no, a port behaves like any other. */
static void the_long_way_leads_to_the_same(void **state)
{
	struct learn *a = made(json_pack("{s:i}", "entries", 64));
	struct learn *b = made(json_pack("{s:i}", "entries", 64));
	uint32_t verdicts[BATCH_MAX];
	uint32_t random = 1;

	for (unsigned i = 0; i < N_PORTS; i++)
		set(b, i, "{\"police_pps\": \"100M\"}");
	isolated[1] = isolated[2] = 1;
	for (unsigned round = 0; round < 400; round++) {
		unsigned port = round % N_PORTS, n = 1 + round % 7;

		for (unsigned i = 0; i < n; i++) {
			random = random * 1103515245 + 12345;
			put_packet(i, random >> 16 & 31, random >> 22 & 31);
			if (random >> 28 == 1)
				memset(batch->hdr[i], 0xff, 6);
			if (random >> 28 > 12)
				put_tag(i, TPID_C, random >> 12 & 1);
		}
		if (round % 50 == 49)
			now_s += 200;
		/* One packet at a time: within a batch both orders are right */
		for (unsigned i = 0; i < n; i++) {
			memmove(batch->hdr[0], batch->hdr[i], HDR_MAX);
			batch->len[0] = 60;
			run(a, port, 1);
			verdicts[i] = batch->verdict[0];
			run(b, port, 1);
			assert_int_equal(batch->verdict[0], verdicts[i]);
		}
	}
	assert_int_equal(count(a, "moves"), count(b, "moves"));
	assert_int_equal(count(a, "used"), count(b, "used"));
	isolated[1] = isolated[2] = 0;
	ops->destroy(a);
	ops->destroy(b);
}

static void port_takes_its_settings_along(void **state)
{
	struct learn *l = made(json_object());

	set(l, 1,
	    "{\"police_pps\": 1, \"macs\": [\"02:00:00:00:00:0a\"], "
	    "\"guard\": \"02:00:00:00:00:0b fe80::1\"}");
	ops->port_del(l, &ports[1]);
	assert_int_equal(pass(l, 1, 256, 99, 60, POLICED), 256);
	assert_int_equal(one(l, 3, 10, 30), to(1)); /* learnt, not static */
	assert_int_equal(fdb_flush(l, json_object()), 2);
	shows(l, 1, "{}");
	assert_int_equal(ops->hdr_want_now(l), HDR_MIN);
	ops->destroy(l);
}

static void settings_are_checked(void **state)
{
	static const struct {
		const char *settings, *says;
	} cases[] = {
		{ "{\"polise_pps\": 1}",
		  "'polise_pps'; known are: mode, vlan" },
		{ "{\"police_pps\": -1}", "police_pps must be a number" },
		{ "{\"police_pps\": \"x\"}", "police_pps must be a number" },
		{ "{\"police_bps\": \"5X\"}", "'5X' is not a number with k" },
		{ "{\"police_bps\": \"5Mb\"}", "'5Mb' is not a number" },
		{ "{\"police_bps\": \"1001G\"}", "must be at most 1000000" },
		{ "{\"police_burst_bytes\": 1, \"police_pps\": 1}",
		  "police_burst_bytes needs police_bps" },
		{ "{\"police_burst_packets\": 1}", "needs police_pps" },
		{ "{\"storm_unknown_pps\": true}", "storm_unknown_pps must" },
		{ "{\"mac_limit\": 1048577}", "mac_limit must be at most" },
		{ "{\"mac_sticky\": 1}", "mac_sticky must be true or false" },
		{ "{\"macs\": \"x\"}", "macs must be a list" },
		{ "{\"macs\": [\"01:00:00:00:00:01\"]}", "not the address" },
		{ "{\"macs\": [\"02:00:00:00:00:01@4095\"]}", "not the addr" },
		{ "{\"macs\": [\"02:00:00:00:00:01@\"]}", "not the address" },
		{ "{\"macs\": [\"02:00:00:00:00:01#1\"]}", "not the address" },
		{ "{\"guard\": 1}", "guard must be a list" },
		{ "{\"mode\": \"acces\"}", "'acces' is none of access, t" },
		{ "{\"mode\": \"plain\"}", "'plain' is none of access, t" },
		{ "{\"mode\": \"access\"}", "mode access needs vlan" },
		{ "{\"mode\": \"qinq\"}", "mode qinq needs vlan" },
		{ "{\"vlan\": 5}", "vlan needs mode access or qinq" },
		{ "{\"mode\": \"access\", \"vlan\": 4095}", "1 to 4094" },
		{ "{\"mode\": \"access\", \"vlan\": 0}", "1 to 4094" },
		{ "{\"mode\": \"access\", \"vlan\": \"5\"}", "a number" },
		{ "{\"mode\": \"trunk\", \"vlan\": 5}", "native and allowed" },
		{ "{\"native\": 5}", "native needs mode trunk" },
		{ "{\"mode\": \"qinq\", \"vlan\": 5, \"allowed\": 6}",
		  "allowed needs mode trunk" },
		{ "{\"mode\": \"trunk\", \"allowed\": \"1-\"}", "'1-' is no" },
		{ "{\"mode\": \"trunk\", \"allowed\": \"9-8\"}", "'9-8' is" },
		{ "{\"mode\": \"trunk\", \"allowed\": \"\"}", "'' is no list" },
		{ "{\"mode\": \"trunk\", \"allowed\": \"1,\"}", "'1,' is no" },
		{ "{\"mode\": \"trunk\", \"allowed\": 4095}", "'4095' is no" },
		{ "{\"mode\": \"trunk\", \"allowed\": [1, \"0\"]}", "'0' is" },
		{ "{\"mode\": \"trunk\", \"allowed\": {}}", "'?' is no list" },
		{ "{\"mirror\": \"in\"}", "mirror needs mirror_to" },
		{ "{\"mirror_to\": \"sw:b\"}", "'sw:b' is not the name of a" },
		{ "{\"mirror_to\": \"b\", \"mirror\": \"all\"}", "'all' is" },
	};
	struct glen_error error;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *s = json_loads(cases[i].settings, 0, NULL);

		assert_non_null(s);
		assert_int_equal(ops->port_set(fake_env(2), NULL, NULL, s,
					       &error),
				 -EINVAL);
		if (!strstr(error.text, cases[i].says))
			fail_msg("%s: %s", cases[i].settings, error.text);
		json_decref(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(polices_packets),
		cmocka_unit_test(polices_bytes),
		cmocka_unit_test(both_limits_together),
		cmocka_unit_test(controls_storms),
		cmocka_unit_test(limits_addresses),
		cmocka_unit_test(static_addresses_are_settings),
		cmocka_unit_test(sticky_addresses_stay),
		cmocka_unit_test(what_was_learnt_becomes_sticky),
		cmocka_unit_test(a_static_address_is_at_one_port),
		cmocka_unit_test(guards),
		cmocka_unit_test(the_long_way_leads_to_the_same),
		cmocka_unit_test(port_takes_its_settings_along),
		cmocka_unit_test(settings_are_checked),
	};
	int failed;

	batch = aligned_alloc(64, sizeof(*batch));
	for (unsigned i = 0; i < N_PORTS; i++)
		ports[i].index = i;
	failed = cmocka_run_group_tests_name("learn_ports", tests, NULL, NULL);
	free(batch);
	return failed;
}
