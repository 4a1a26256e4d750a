// SPDX-License-Identifier: BSD-2-Clause
// test_drop.c - every drop reason has a name and a text of its own.
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/drop.h"

static void names_are_unique(void **state)
{
	for (int i = 0; i < DROP_N; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(drop_name(i), drop_name(k));
}

static void names_say_the_side(void **state)
{
	for (int i = 0; i < DROP_N; i++) {
		const char *name = drop_name(i);

		assert_true(!strncmp(name, "in_", 3) ||
			    !strncmp(name, "out_", 4));
		assert_true(strlen(drop_text(i)) > 8);
	}
	assert_string_equal(drop_name(DROP_OUT_NO_ROOM), "out_no_room");
}

/* Those of modules: the same name is the same reason, and there is an end. */
static void modules_bring_their_own(void **state)
{
	static const char *const bad[] = {
		"",	"in_",	   "out_x", "in_A",
		"in_-", "in_runt", "vlan",  "in_0123456789012345678901234567x"
	};
	unsigned n = drop_count();
	int first = drop_intern("in_test", "a test of names"), id = first;
	char name[16];

	assert_int_equal(first, n);
	assert_int_equal(drop_intern("in_test", "another text"), first);
	assert_string_equal(drop_name(first), "in_test");
	assert_string_equal(drop_text(first), "a test of names");
	assert_int_equal(drop_count(), n + 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(drop_intern(bad[i], "bad"), -EINVAL);
	for (unsigned i = 0; id >= 0; i++) {
		snprintf(name, sizeof(name), "in_%u", i);
		id = drop_intern(name, NULL);
	}
	assert_int_equal(id, -ENOSPC);
	assert_int_equal(drop_count(), DROP_MAX);
	assert_int_equal(drop_intern("in_test", NULL), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(names_say_the_side),
		cmocka_unit_test(modules_bring_their_own),
	};

	return cmocka_run_group_tests_name("drop", tests, NULL, NULL);
}
