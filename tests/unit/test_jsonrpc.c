// SPDX-License-Identifier: BSD-2-Clause
// test_jsonrpc.c - requests are checked before a method sees them.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/jsonrpc.h"

static void refuses(const char *line, int code, const char *text)
{
	struct jsonrpc_request r;
	struct glen_error error = { 0 };

	assert_int_equal(jsonrpc_parse(line, strlen(line), &r, &error), code);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
	jsonrpc_fini(&r);
}

static void reads_a_request(void **state)
{
	const char *line = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"stats\","
			   "\"params\":{\"port\":\"s:a\"}}";
	struct jsonrpc_request r;
	struct glen_error error;

	assert_int_equal(jsonrpc_parse(line, strlen(line), &r, &error), 0);
	assert_string_equal(r.method, "stats");
	assert_int_equal(json_integer_value(r.id), 7);
	assert_string_equal(json_string_value(
				    json_object_get(r.params, "port")),
			    "s:a");
	jsonrpc_fini(&r);
	assert_null(r.root);
}

static void takes_no_params_and_string_ids(void **state)
{
	const char *line =
		" {\"id\":\"x\",\"method\":\"m\",\"jsonrpc\":\"2.0\"}\r";
	struct jsonrpc_request r;
	struct glen_error error;

	assert_int_equal(jsonrpc_parse(line, strlen(line), &r, &error), 0);
	assert_null(r.params);
	assert_string_equal(json_string_value(r.id), "x");
	jsonrpc_fini(&r);
}

static void refuses_what_is_no_json(void **state)
{
	refuses("", JSONRPC_NOT_JSON, "not JSON");
	refuses("GET / HTTP/1.1", JSONRPC_NOT_JSON, "not JSON");
	refuses("{\"a\":1", JSONRPC_NOT_JSON, "not JSON");
	refuses("{} {}", JSONRPC_NOT_JSON, "not JSON");
	refuses("{\"a\":1,\"a\":2}", JSONRPC_NOT_JSON, "duplicate");
	refuses("{\"id\":1,\"method\":\"a\\u0000b\"}", JSONRPC_NOT_JSON,
		"not JSON");
	refuses("{\"a\":\"\xff\"}", JSONRPC_NOT_JSON, "not JSON");
}

static void refuses_what_is_no_request(void **state)
{
	refuses("[]", JSONRPC_NOT_REQUEST, "batches");
	refuses("{}", JSONRPC_NOT_REQUEST, "2.0");
	refuses("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}",
		JSONRPC_NOT_REQUEST, "2.0");
	refuses("{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", JSONRPC_NOT_REQUEST,
		"id");
	refuses("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}",
		JSONRPC_NOT_REQUEST, "id");
	refuses("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":2}",
		JSONRPC_NOT_REQUEST, "method");
	refuses("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"x\":0}",
		JSONRPC_NOT_REQUEST, "'x'");
	refuses("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}",
		JSONRPC_BAD_PARAMS, "params");
}

/* The answer to a bad request carries the id if there is one. */
static void keeps_the_id_of_a_bad_request(void **state)
{
	const char *line = "{\"id\":3}";
	struct jsonrpc_request r;
	struct glen_error error;

	assert_int_equal(jsonrpc_parse(line, strlen(line), &r, &error),
			 JSONRPC_NOT_REQUEST);
	assert_int_equal(json_integer_value(r.id), 3);
	jsonrpc_fini(&r);
}

static void refuses_deep_nesting(void **state)
{
	char line[3 * JSONRPC_DEPTH_MAX];
	struct jsonrpc_request r;
	struct glen_error error;

	memset(line, '[', sizeof(line));
	assert_int_equal(jsonrpc_parse(line, sizeof(line), &r, &error),
			 JSONRPC_NOT_JSON);
	assert_non_null(strstr(error.text, "levels"));
	jsonrpc_fini(&r);
	/* Brackets in strings do not count, nor do escaped quotes end one. */
	line[0] = '"';
	line[1] = '\\';
	line[2] = '"';
	line[sizeof(line) - 1] = '"';
	assert_int_equal(jsonrpc_parse(line, sizeof(line), &r, &error),
			 JSONRPC_NOT_JSON);
	assert_null(strstr(error.text, "levels"));
	jsonrpc_fini(&r);
}

static void is_line(json_t *message, const char *want)
{
	size_t len;
	char *line = jsonrpc_line(message, &len);

	assert_string_equal(line, want);
	assert_int_equal(len, strlen(want));
	free(line);
}

static void writes_messages(void **state)
{
	json_t *id = json_integer(5);

	is_line(jsonrpc_result(id, json_pack("{si}", "a", 1)),
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{\"a\":1}}\n");
	is_line(jsonrpc_error(id, -EBUSY, "taken", NULL),
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-16,"
		"\"message\":\"taken\",\"data\":{\"errno\":\"EBUSY\"}}}\n");
	is_line(jsonrpc_error(NULL, JSONRPC_NOT_JSON, "bad", ""),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
		"\"message\":\"bad\"}}\n");
	is_line(jsonrpc_error(id, -EINVAL, "bad", "switches/a"),
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-22,"
		"\"message\":\"bad\",\"data\":{\"errno\":\"EINVAL\","
		"\"path\":\"switches/a\"}}}\n");
	is_line(jsonrpc_notification("port.closed", json_object()),
		"{\"jsonrpc\":\"2.0\",\"method\":\"port.closed\","
		"\"params\":{}}\n");
	json_decref(id);
}

static void writes_texts_that_were_cut_in_a_character(void **state)
{
	is_line(jsonrpc_error(NULL, -EINVAL, "no port \xc3", NULL),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-22,"
		"\"message\":\"no port ?\",\"data\":{\"errno\":\"EINVAL\"}}}\n");
}

static void has_no_line_without_message(void **state)
{
	size_t len;

	assert_null(jsonrpc_line(NULL, &len));
	assert_null(jsonrpc_result(NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_request),
		cmocka_unit_test(takes_no_params_and_string_ids),
		cmocka_unit_test(refuses_what_is_no_json),
		cmocka_unit_test(refuses_what_is_no_request),
		cmocka_unit_test(keeps_the_id_of_a_bad_request),
		cmocka_unit_test(refuses_deep_nesting),
		cmocka_unit_test(writes_messages),
		cmocka_unit_test(writes_texts_that_were_cut_in_a_character),
		cmocka_unit_test(has_no_line_without_message),
	};

	return cmocka_run_group_tests_name("jsonrpc", tests, NULL, NULL);
}
