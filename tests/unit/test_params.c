// SPDX-License-Identifier: BSD-2-Clause
// test_params.c - options are read, and errors name key, range and known keys.
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "core/port.h"

static const char *const known[] = { "rate", "name", "on", NULL };

/* Unpacks text, which the caller gives back. */
static json_t *parse(const char *text)
{
	json_t *params = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(params);
	return params;
}

static void check_accepts_known_and_none(void **state)
{
	json_t *params = parse("{\"on\": true, \"rate\": 1}");
	json_t *empty = parse("{}");

	assert_int_equal(params_check(params, known, NULL), 0);
	assert_int_equal(params_check(empty, known, NULL), 0);
	assert_int_equal(params_check(NULL, known, NULL), 0);
	json_decref(params);
	json_decref(empty);
}

static void check_names_unknown_key(void **state)
{
	static const char *const nothing[] = { NULL };
	json_t *params = parse("{\"rate\": 1, \"nmae\": \"x\"}");
	struct glen_error error;

	assert_int_equal(params_check(params, known, &error), -EINVAL);
	assert_int_equal(error.code, -EINVAL);
	assert_non_null(strstr(error.text, "'nmae'"));
	assert_non_null(strstr(error.text, "rate, name, on"));
	assert_int_equal(params_check(params, nothing, &error), -EINVAL);
	assert_non_null(strstr(error.text, "no options"));
	json_decref(params);
}

static void check_cuts_long_lists(void **state)
{
	static const char *const many[] = {
		"a-rather-long-name-of-an-option-0123456789-0123456789-0",
		"a-rather-long-name-of-an-option-0123456789-0123456789-1",
		"a-rather-long-name-of-an-option-0123456789-0123456789-2",
		"a-rather-long-name-of-an-option-0123456789-0123456789-3",
		"a-rather-long-name-of-an-option-0123456789-0123456789-4",
		NULL,
	};
	json_t *params = parse("{\"x\": 1}");
	struct glen_error error;

	assert_int_equal(params_check(params, many, &error), -EINVAL);
	assert_non_null(strstr(error.text, "..."));
	json_decref(params);
}

static void check_refuses_what_is_no_object(void **state)
{
	json_t *params = parse("[1, 2]");
	struct glen_error error;
	const char *text;
	bool on;
	long n;

	assert_int_equal(params_check(params, known, &error), -EINVAL);
	assert_non_null(strstr(error.text, "an array"));
	assert_int_equal(params_int(params, "a", 1, 0, 2, &n, NULL), -EINVAL);
	assert_int_equal(params_bool(params, "a", true, &on, NULL), -EINVAL);
	assert_int_equal(params_str(params, "a", &text, NULL), -EINVAL);
	json_decref(params);
}

static void int_has_default_and_range(void **state)
{
	json_t *params = parse("{\"low\": 4, \"high\": 9, \"below\": 3,"
			       " \"above\": 10}");
	struct glen_error error;
	long n;

	assert_int_equal(params_int(params, "none", 7, 4, 9, &n, NULL), 0);
	assert_int_equal(n, 7);
	assert_int_equal(params_int(NULL, "none", 8, 4, 9, &n, NULL), 0);
	assert_int_equal(n, 8);
	assert_int_equal(params_int(params, "low", 7, 4, 9, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_int_equal(params_int(params, "high", 7, 4, 9, &n, NULL), 0);
	assert_int_equal(n, 9);
	assert_int_equal(params_int(params, "below", 7, 4, 9, &n, &error),
			 -EINVAL);
	assert_string_equal(error.text, "below must be from 4 to 9, not 3");
	assert_int_equal(params_int(params, "above", 7, 4, 9, &n, &error),
			 -EINVAL);
	json_decref(params);
}

static void bytes_have_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{ "{\"n\": 4096}", 4096 },
		{ "{\"n\": \"4096\"}", 4096 },
		{ "{\"n\": \"8K\"}", 8192 },
		{ "{\"n\": \"64G\"}", 64ULL << 30 },
		{ "{\"n\": \"1T\"}", 1ULL << 40 },
		{ "{}", 5000 },
		{ "{\"n\": \"2T\"}", 0 },
		{ "{\"n\": 4095}", 0 },
		{ "{\"n\": -1}", 0 },
		{ "{\"n\": true}", 0 },
		{ "{\"n\": \"\"}", 0 },
		{ "{\"n\": \"G\"}", 0 },
		{ "{\"n\": \"-1G\"}", 0 },
		{ "{\"n\": \"1.5G\"}", 0 },
		{ "{\"n\": \"1GB\"}", 0 },
		{ "{\"n\": \"17179869185T\"}", 0 }, /* wraps */
		{ "{\"n\": \"99999999999999999999\"}", 0 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_t *params = json_loads(cases[i].text, 0, NULL);
		struct glen_error error;
		uint64_t n;
		int err = params_bytes(params, "n", 5000, 4096, 1ULL << 40, &n,
				       &error);

		assert_int_equal(err, cases[i].bytes ? 0 : -EINVAL);
		if (!err)
			assert_int_equal(n, cases[i].bytes);
		else
			assert_non_null(strstr(error.text, "as 64G"));
		json_decref(params);
	}
}

static void wrong_types_are_named(void **state)
{
	json_t *params = parse("{\"int\": 1, \"real\": 1.5, \"str\": \"x\","
			       " \"null\": null}");
	struct glen_error error;
	const char *text;
	bool on;
	long n;

	assert_int_equal(params_int(params, "str", 1, 0, 2, &n, &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "str must be an integer from 0 to 2, not a string");
	assert_int_equal(params_int(params, "real", 1, 0, 2, &n, &error),
			 -EINVAL);
	assert_int_equal(params_int(params, "null", 1, 0, 2, &n, &error),
			 -EINVAL);
	assert_int_equal(params_bool(params, "int", true, &on, &error),
			 -EINVAL);
	assert_string_equal(error.text,
			    "int must be true or false, not an integer");
	assert_int_equal(params_str(params, "int", &text, &error), -EINVAL);
	assert_string_equal(error.text, "int must be a string, not an integer");
	json_decref(params);
}

static void bool_and_string_are_read(void **state)
{
	json_t *params = parse("{\"yes\": true, \"no\": false, \"s\": \"x\"}");
	const char *text;
	bool on;

	assert_int_equal(params_bool(params, "yes", false, &on, NULL), 0);
	assert_true(on);
	assert_int_equal(params_bool(params, "no", true, &on, NULL), 0);
	assert_false(on);
	assert_int_equal(params_bool(params, "none", true, &on, NULL), 0);
	assert_true(on);
	assert_int_equal(params_str(params, "s", &text, NULL), 0);
	assert_string_equal(text, "x");
	assert_int_equal(params_str(params, "none", &text, NULL), 0);
	assert_null(text);
	json_decref(params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_accepts_known_and_none),
		cmocka_unit_test(bytes_have_suffixes),
		cmocka_unit_test(check_names_unknown_key),
		cmocka_unit_test(check_cuts_long_lists),
		cmocka_unit_test(check_refuses_what_is_no_object),
		cmocka_unit_test(int_has_default_and_range),
		cmocka_unit_test(wrong_types_are_named),
		cmocka_unit_test(bool_and_string_are_read),
	};

	return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
