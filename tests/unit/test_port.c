// SPDX-License-Identifier: BSD-2-Clause
// test_port.c - ports open, change and close; errors say what was wrong.
#include "rig.h"

#include <errno.h>

static void refused(const char *name, const char *driver, const char *params,
		    int want, const char *text)
{
	struct glen_error error;
	struct port *port = NULL;
	unsigned before = sw->n_ports;

	assert_int_equal(rig_try(name, driver, params, &port, &error), want);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
	assert_int_equal(sw->n_ports, before);
	assert_null(port);
}

static void errors_name_what_was_wrong(void **state)
{
	rig_port("a", "{}");
	refused("a", "dummy", "{}", -EEXIST, "sw:a");
	refused("b", "dumy", "{}", -EINVAL, "\"dumy\"");
	refused("", "dummy", "{}", -EINVAL, "port name");
	refused("-b", "dummy", "{}", -EINVAL, "\"-b\"");
	refused("a:b", "dummy", "{}", -EINVAL, "\"a:b\"");
	refused("a23456789012345678901234567890123", "dummy", "{}", -EINVAL,
		"1 to 31");
	refused("b", "dummy", "{\"slot\": 1}", -EINVAL, "slot");
	refused("b", "dummy", "{\"slots\": 3}", -EINVAL, "power of two");
	refused("b", "dummy", "{\"mtu\": 67}", -EINVAL, "68");
	refused("b", "dummy", "{\"mtu\": 131059}", -EINVAL, "mtu");
	refused("b", "dummy", "{\"isolated\": 1}", -EINVAL, "isolated");
	refused("b", "dummy", "{\"mac\": \"02:00:00:00:00\"}", -EINVAL,
		"02:00:00:00:00:01");
	refused("b", "dummy", "{\"mac\": \"02:00:00:00:00:0g\"}", -EINVAL,
		"mac");
	refused("b", "dummy", "{\"mac\": \"01:00:00:00:00:01\"}", -EINVAL,
		"group");
	assert_non_null(port_find(sw, "a"));
	assert_null(port_find(sw, "b"));
}

static int set(struct port *port, const char *params)
{
	json_t *o = json_loads(params, 0, NULL);
	struct glen_error error;
	int err = port_set(port, o, &error);

	json_decref(o);
	return err;
}

static void set_is_all_or_nothing(void **state)
{
	struct port *a = rig_port("a", "{\"mtu\": 1500}");
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };

	assert_int_equal(set(a, "{\"mtu\": 9000, \"mac\": \"02:00:00:00:00:07\""
				", \"isolated\": true, \"slots\": 512}"),
			 -EINVAL);
	assert_int_equal(set(a, "{\"mac\": \"02:00:00:00:00:07\", \"mtu\": 1}"),
			 -EINVAL);
	assert_int_equal(a->mtu, 1500);
	assert_int_equal(atomic_load(&a->max_len), 1514);
	assert_false(a->isolated);
	assert_int_equal(a->mac[0] | a->mac[5], 0);
	assert_int_equal(set(a, "{\"mtu\": 9000, \"isolated\": true, "
				"\"mac\": \"02:00:00:00:00:09\"}"),
			 0);
	assert_int_equal(a->mtu, 9000);
	assert_int_equal(atomic_load(&a->max_len), 9014);
	assert_true(a->isolated);
	assert_memory_equal(a->mac, mac, 6);
	assert_int_equal(atomic_load(&sw->snap)->isolated[a->index], 1);
	assert_int_equal(json_integer_value(json_object_get(a->params, "mtu")),
			 9000);
	assert_int_equal(set(a, "{}"), 0);
	assert_int_equal(a->mtu, 9000);
}

static void a_full_table_is_an_error(void **state)
{
	struct port *last = NULL;
	char name[16];

	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		last = rig_port(name, "{\"slots\": 1, \"manual\": true, "
				      "\"buf_size\": 64}");
		assert_int_equal(last->index, i);
	}
	refused("more", "dummy", "{}", -ENOSPC, "4096");
	rig_send(sw->ports[0], 0,
		 (struct sent){ .verdict = TO(SWITCH_PORTS_MAX - 1),
				.seq = 8 });
	rig_send(sw->ports[1], 0, (struct sent){ .verdict = VERDICT_FLOOD });
	rig_run();
	rig_expect(last, 0, 8);
	assert_int_equal(rig_in(sw->ports[1]).replicated, SWITCH_PORTS_MAX - 2);
	rig_check();
	/* A place in the middle is used again. */
	port_destroy(sw->ports[77]);
	assert_int_equal(rig_port("again", "{}")->index, 77);
	rig_check();
}

/* What was handed over before is forwarded, from all rings. */
static void drains_on_close(void **state)
{
	struct port *a = rig_port("a", "{\"in_rings\": 3, \"slots\": 1024}");
	struct port *b = rig_port("b", "{\"slots\": 4096}");

	for (unsigned i = 0; i < 3000; i++)
		rig_send(a, i / 1000,
			 (struct sent){ .verdict = TO(1), .seq = i });
	port_destroy(a);
	for (unsigned i = 0; i < 3000; i++)
		rig_expect(b, 0, i);
	assert_int_equal(sw->gone.packets, 3000);
	rig_check();
}

static void counters_outlive_ports(void **state)
{
	rig_port("a", "{}");
	for (unsigned i = 1; i <= 20; i++) {
		struct port *b = rig_port("b", "{\"slots\": 1}");

		for (unsigned k = 0; k < 3; k++)
			rig_send(sw->ports[0], 0,
				 (struct sent){ .verdict = TO(1) });
		rig_run();
		port_destroy(b);
		assert_int_equal(sw->gone_out.packets, i);
		assert_int_equal(sw->gone_out.drops[DROP_OUT_NO_ROOM], 2 * i);
		rig_check();
	}
}

static void statistics_are_complete(void **state)
{
	struct port *a = rig_port("a", "{}");
	struct port *b = rig_port("b", "{\"out_rings\": 2, \"slots\": 1}");
	json_t *o, *side, *rings, *drops;

	for (unsigned i = 0; i < 3; i++)
		rig_send(a, 0, (struct sent){ .verdict = TO_RING(1, 1) });
	rig_send(a, 0, (struct sent){ .verdict = TO(0), .len = 100 });
	rig_run();
	o = port_stats(a, false);
	assert_string_equal(json_string_value(json_object_get(o, "port")),
			    "sw:a");
	assert_null(json_object_get(o, "rings"));
	side = json_object_get(o, "in");
	assert_int_equal(json_integer_value(json_object_get(side, "packets")),
			 4);
	assert_int_equal(json_integer_value(json_object_get(side, "bytes")),
			 280);
	drops = json_object_get(side, "drops");
	assert_int_equal(json_object_size(drops), 1);
	assert_int_equal(json_integer_value(
				 json_object_get(drops, "in_same_port")),
			 1);
	json_decref(o);
	o = port_stats(b, true);
	rings = json_object_get(o, "rings");
	assert_int_equal(json_array_size(rings), 2);
	side = json_object_get(json_array_get(rings, 1), "out");
	assert_int_equal(json_integer_value(json_object_get(side, "packets")),
			 1);
	drops = json_object_get(side, "drops");
	assert_int_equal(json_integer_value(
				 json_object_get(drops, "out_no_room")),
			 2);
	side = json_object_get(json_array_get(rings, 0), "out");
	assert_int_equal(json_integer_value(json_object_get(side, "packets")),
			 0);
	json_decref(o);
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(errors_name_what_was_wrong),
		RIG_TEST(set_is_all_or_nothing),
		RIG_TEST(a_full_table_is_an_error),
		RIG_TEST(drains_on_close),
		RIG_TEST(counters_outlive_ports),
		RIG_TEST(statistics_are_complete),
	};

	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
