// SPDX-License-Identifier: BSD-2-Clause
// test_learn_fdb.c - the fdb methods, and what static entries do.
#include "unit.h"

#include <errno.h>

#include "learn_bridge.h"

static void static_entries_stay(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 5));

	one(l, 3, 99, 10); /* learnt before: becomes static */
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0a", "sw:p1", NULL), 0);
	one(l, 2, 99, 10);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	now_s += 1000;
	ops->tick(l, now_s);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(fdb_flush(l, json_object()), 1);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(count(l, "moves"), 0);
	/* Again, to another port. */
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0A", "p2", NULL), 0);
	assert_int_equal(one(l, 3, 10, 30), to(2));
	assert_int_equal(command(l, "fdb.del",
				 json_pack("{s:s, s:s}", "switch", "sw", "mac",
					   "02:00:00:00:00:0a"),
				 NULL, NULL),
			 0);
	assert_int_equal(one(l, 3, 10, 30), UNKNOWN);
	ops->destroy(l);
}

static void flushes(void **state)
{
	struct learn *l = made(json_object());

	for (uint32_t i = 0; i < 100; i++)
		one(l, i % 4, 99, 100 + i);
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0a", "p1", NULL), 0);
	assert_int_equal(fdb_flush(l, json_pack("{s:s}", "port", "p1")), 25);
	assert_int_equal(fdb_flush(l, json_pack("{s:s, s:b}", "port", "sw:p1",
						"static", 1)),
			 1);
	assert_int_equal(fdb_flush(l, json_pack("{s:s}", "switch", "sw")), 75);
	assert_int_equal(count(l, "used"), 0);
	ops->destroy(l);
}

static void fdb_shows(void **state)
{
	struct learn *l = made(json_object());
	json_t *result, *expected, *entries;

	tagged(l, 2, 99, 10, TPID_C, 7);
	now_s += 3;
	ops->tick(l, now_s);
	assert_int_equal(command(l, "fdb.show",
				 json_pack("{s:s}", "switch", "sw"), &result,
				 NULL),
			 0);
	expected = json_pack("{s:[{s:s, s:i, s:s, s:i, s:b}], s:i, s:i}",
			     "entries", "mac", "02:00:00:00:00:0a", "vlan", 7,
			     "port", "sw:p2", "age_s", 3, "static", 0, "count",
			     1, "capacity", 65536);
	assert_true(json_equal(result, expected));
	json_decref(expected);
	json_decref(result);
	for (uint32_t i = 0; i < 100; i++)
		one(l, 1, 99, 100 + i);
	assert_int_equal(command(l, "fdb.show",
				 json_pack("{s:s, s:i}", "switch", "sw",
					   "limit", 10),
				 &result, NULL),
			 0);
	entries = json_object_get(result, "entries");
	assert_int_equal(json_array_size(entries), 10);
	assert_int_equal(json_integer_value(json_object_get(result, "count")),
			 101);
	json_decref(result);
	ops->destroy(l);
}

static void fdb_errors_name_the_culprit(void **state)
{
	static const struct {
		const char *method, *params, *says;
		int err;
	} cases[] = {
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00:0\", \"port\": \"p1\"}",
		  "'02:00:00:00:00:0' is not of the form", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00-01\", \"port\": \"p1\"}",
		  "is not of the form", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"01:00:5e:00:00:01\", \"port\": \"p1\"}",
		  "a group address", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"00:00:00:00:00:00\", \"port\": \"p1\"}",
		  "the zero address", -EINVAL },
		{ "fdb.add", "{\"port\": \"p1\"}", "mac is missing", -EINVAL },
		{ "fdb.add", "{\"mac\": \"02:00:00:00:00:01\"}",
		  "port is missing", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00:01\", \"port\": \"sw:q\"}",
		  "no port 'sw:q'", -ENOENT },
		{ "fdb.add",
		  "{\"switch\": \"sw\", \"mac\": \"02:00:00:00:00:01\","
		  " \"port\": \"s:p1\"}",
		  "not on switch 'sw'", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00:01\", \"port\": \"p1\","
		  " \"vlan\": 4095}",
		  "vlan must be from 0 to 4094", -EINVAL },
		{ "fdb.add", "{\"mca\": 1}", "'mca'", -EINVAL },
		{ "fdb.del", "{\"mac\": \"02:00:00:00:00:01\", \"vlan\": 3}",
		  "02:00:00:00:00:01 in VLAN 3 is not", -ENOENT },
		{ "fdb.flush", "{\"port\": \"p9\"}", "no port 'p9'", -ENOENT },
		{ "fdb.show", "{\"limits\": 1}", "'limits'", -EINVAL },
		{ "fdb.eat", "{}", "'fdb.eat'", -ENOSYS },
	};
	struct learn *l = made(json_object());

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct glen_error error = { 0 };
		int err = command(l, cases[i].method,
				  json_loads(cases[i].params, 0, NULL), NULL,
				  &error);

		if (err != cases[i].err || !strstr(error.text, cases[i].says))
			fail_msg("%s %s: %d %s", cases[i].method,
				 cases[i].params, err, error.text);
	}
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(static_entries_stay),
		cmocka_unit_test(flushes),
		cmocka_unit_test(fdb_shows),
		cmocka_unit_test(fdb_errors_name_the_culprit),
	};
	int failed = 0;

	batch = aligned_alloc(64, sizeof(*batch));
	failed = cmocka_run_group_tests_name("learn_fdb", tests, NULL, NULL);
	free(batch);
	return failed;
}
