// SPDX-License-Identifier: BSD-2-Clause
// test_topology.c - YAML becomes JSON and back; errors name file and line.
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/topology.h"

/* Parses text as "net.yaml" and compares with JSON text. */
static void reads_as(const char *yaml, const char *json)
{
	json_t *want = json_loads(json, JSON_DECODE_ANY, NULL);
	struct glen_error error = { 0 };
	struct topology *t;

	assert_non_null(want);
	if (topology_parse("net.yaml", yaml, strlen(yaml), &t, &error))
		fail_msg("%s", error.text);
	if (!json_equal(t->config, want)) {
		char *got = json_dumps(t->config, JSON_ENCODE_ANY);

		print_message("%s is not %s\n", got, json);
		fail();
	}
	topology_destroy(t);
	json_decref(want);
}

static void refuses(const char *yaml, const char *text)
{
	struct glen_error error = { 0 };
	struct topology *t;

	assert_int_equal(topology_parse("net.yaml", yaml, strlen(yaml), &t,
					&error),
			 -EINVAL);
	assert_string_equal(error.text, text);
}

static void reads_scalars(void **state)
{
	reads_as("a: 1\nb: -7\nc: 0x10\nd: true\ne: ~\nf: 1.5\n",
		 "{\"a\":1,\"b\":-7,\"c\":16,\"d\":true,\"e\":null,\"f\":1.5}");
	reads_as("mac: 02:00:00:00:00:01", "{\"mac\":\"02:00:00:00:00:01\"}");
	reads_as("a: yes\nb: off\nc: '1'\nd: \"true\"\ne: 1.2.3\nf: -x",
		 "{\"a\":\"yes\",\"b\":\"off\",\"c\":\"1\",\"d\":\"true\","
		 "\"e\":\"1.2.3\",\"f\":\"-x\"}");
	reads_as("a: 0x\nb: e\nc: 12ab\nd: +\n",
		 "{\"a\":\"0x\",\"b\":\"e\",\"c\":\"12ab\",\"d\":\"+\"}");
}

static void reads_structure(void **state)
{
	reads_as("", "{}");
	reads_as("# only a comment\n", "{}");
	reads_as("switches:\n"
		 "  s:\n"
		 "    ports:\n"
		 "      a: {driver: tap, mtu: 1500}\n"
		 "    module: static\n"
		 "  u: {}\n",
		 "{\"switches\":{\"s\":{\"ports\":{\"a\":{\"driver\":\"tap\","
		 "\"mtu\":1500}},\"module\":\"static\"},\"u\":{}}}");
	reads_as("a: [1, {b: [2]}, x]\nc: 3\n",
		 "{\"a\":[1,{\"b\":[2]},\"x\"],\"c\":3}");
}

static void refuses_with_line(void **state)
{
	refuses("a: 1\nb: 2\na: 3\n", "net.yaml:3: 'a' is there twice");
	refuses("a: &x 1\n", "net.yaml:1: anchors (&x) are not supported");
	refuses("a: 1\nb: *x\n", "net.yaml:2: aliases (*x) are not supported");
	refuses("a: !!int 1\n",
		"net.yaml:1: tags (tag:yaml.org,2002:int) are not supported");
	refuses("a: 1\n---\nb: 2\n", "net.yaml:2: a second document (---)");
	refuses("? [x]\n: 1\n", "net.yaml:1: a key must be a plain word");
	refuses("a: 99999999999999999999\n",
		"net.yaml:1: number 99999999999999999999 is too large");
	refuses("a: \"x\\0y\"\n", "net.yaml:1: a text must not contain \\0");
	refuses("a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n",
		"net.yaml:1: more than 16 levels");
}

static void refuses_what_is_not_yaml(void **state)
{
	struct glen_error error = { 0 };
	struct topology *t;
	const char *yaml = "switches:\n  a: {b: c\n  d: e\n";

	assert_int_equal(topology_parse("f", yaml, strlen(yaml), &t, &error),
			 -EINVAL);
	assert_memory_equal(error.text, "f:", 2);
	assert_int_equal(topology_parse("f", "a: \xff\xfe", 5, &t, &error),
			 -EINVAL);
	assert_memory_equal(error.text, "f:1: ", 5);
}

static void refuses_large_and_missing(void **state)
{
	char *text = calloc(1, TOPOLOGY_SIZE_MAX + 1);
	struct glen_error error = { 0 };
	struct topology *t;

	assert_int_equal(topology_parse("f", text, TOPOLOGY_SIZE_MAX + 1, &t,
					&error),
			 -EFBIG);
	free(text);
	assert_int_equal(topology_load("/nonexistent/net.yaml", &t, &error),
			 -ENOENT);
	assert_non_null(strstr(error.text, "/nonexistent/net.yaml"));
	assert_int_equal(topology_load("/", &t, &error), -EISDIR);
}

static void locates_members(void **state)
{
	const char *yaml = "# head\n"
			   "switches:\n"
			   "  s:\n"
			   "    ports:\n"
			   "      a:\n"
			   "        driver: tap\n"
			   "        mut: 1500\n"
			   "      b: {driver: shm}\n";
	struct {
		const char *path;
		const char *text;
	} cases[] = {
		{ "", "net.yaml:2: why" },
		{ "switches/s", "net.yaml:3: why" },
		{ "switches/s/ports/a/mut", "net.yaml:7: why" },
		{ "switches/s/ports/b/driver", "net.yaml:8: why" },
		{ "switches/s/ports/b/absent", "net.yaml:8: why" },
		{ "nowhere", "net.yaml:2: why" },
	};
	struct config_where where;
	struct glen_error error;
	struct topology *t;

	assert_int_equal(topology_parse("net.yaml", yaml, strlen(yaml), &t,
					&error),
			 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(where.path, sizeof(where.path), "%s", cases[i].path);
		error.code = -EINVAL;
		strcpy(error.text, "why");
		topology_locate(t, &where, &error);
		assert_string_equal(error.text, cases[i].text);
		assert_int_equal(error.code, -EINVAL);
	}
	topology_destroy(t);
}

/* What is written reads as what it was. */
static void writes_what_it_reads(void **state)
{
	static const char *const cases[] = {
		"{}",
		"{\"switches\":{\"s\":{\"module\":\"learn\",\"ports\":{}}}}",
		"{\"a\":[1,2.5,null,true,\"x\"],\"b\":{\"c\":-1}}",
		"{\"a\":\"true\",\"b\":\"1\",\"c\":\"\",\"d\":\"~\"}",
		"{\"a\":\"x: y\",\"b\":\"# no\",\"c\":\"- z\",\"1\":\"%\"}",
		"{\"a\":\"*x\",\"b\":\"&x\",\"c\":\"!x\",\"d\":\"two\\nlines\"}",
		"{\"mac\":\"02:00:00:00:00:01\",\"null\":\"\\u00e9\\t\"}",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *object = json_loads(cases[i], 0, NULL);
		char *yaml = topology_format(object);

		assert_non_null(yaml);
		reads_as(yaml, cases[i]);
		free(yaml);
		json_decref(object);
	}
}

static void writes_for_people(void **state)
{
	json_t *object = json_pack("{s{s{ss s{s{ss si ss}}}}}", "switches", "s",
				   "module", "learn", "ports", "a", "driver",
				   "tap", "mtu", 1500, "mac",
				   "02:00:00:00:00:01");
	char *yaml = topology_format(object);

	assert_string_equal(yaml, "switches:\n"
				  "  s:\n"
				  "    module: learn\n"
				  "    ports:\n"
				  "      a:\n"
				  "        driver: tap\n"
				  "        mtu: 1500\n"
				  "        mac: 02:00:00:00:00:01\n");
	free(yaml);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_scalars),
		cmocka_unit_test(reads_structure),
		cmocka_unit_test(refuses_with_line),
		cmocka_unit_test(refuses_what_is_not_yaml),
		cmocka_unit_test(refuses_large_and_missing),
		cmocka_unit_test(locates_members),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(writes_for_people),
	};

	return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
