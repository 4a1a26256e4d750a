// SPDX-License-Identifier: BSD-2-Clause
// test_drop.c - every drop reason has a name and a text of its own.
#include "unit.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(names_say_the_side),
	};

	return cmocka_run_group_tests_name("drop", tests, NULL, NULL);
}
