// SPDX-License-Identifier: BSD-2-Clause
// test_error.c - errors carry their code and text, cut but never overrun.
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "lib/error.h"

static void stores_code_and_text(void **state)
{
	struct glen_error error;

	assert_int_equal(error_set(&error, -EINVAL, "port %d", 7), -EINVAL);
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.text, "port 7");
}

static void takes_null(void **state)
{
	assert_int_equal(error_set(NULL, -EBUSY, "%s", "unused"), -EBUSY);
}

static void cuts_long_text(void **state)
{
	struct {
		struct glen_error error;
		char canary[8];
	} box = { .canary = "canary" };
	char text[2 * sizeof(box.error.text)];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&box.error, -EIO, "%s", text);
	assert_int_equal(strlen(box.error.text), sizeof(box.error.text) - 1);
	assert_string_equal(box.canary, "canary");
}

/* Whoever reads it at night should not have to search. */
static void no_descriptors_left_has_a_cure(void **state)
{
	assert_non_null(strstr(error_reason(EMFILE), "LimitNOFILE="));
	assert_non_null(strstr(error_reason(EMFILE), "ulimit -n"));
	assert_non_null(strstr(error_reason(ENFILE), "fs.file-max"));
	assert_string_equal(error_reason(ENOENT), strerror(ENOENT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stores_code_and_text),
		cmocka_unit_test(takes_null),
		cmocka_unit_test(cuts_long_text),
		cmocka_unit_test(no_descriptors_left_has_a_cure),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
