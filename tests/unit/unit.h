/* SPDX-License-Identifier: BSD-2-Clause */
/* unit.h - what every unit test includes first. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H
/*
 * A unit test is a program test_foo.c that tests the file foo.c through its
 * header: no root, no network, no sleeping, well under a second. Add 'foo' to
 * the list in meson.build and it is part of "make check SUITE=unit".
 *
 *   #include "unit.h"
 *   #include "core/foo.h"
 *
 *   static void refuses_zero(void **state) { assert_int_equal(...); }
 *
 *   int main(void)
 *   {
 *           const struct CMUnitTest tests[] = {
 *                   cmocka_unit_test(refuses_zero),
 *           };
 *           return cmocka_run_group_tests_name("foo", tests, NULL, NULL);
 *   }
 *
 * Files that a test reads lie in tests/unit/data, whose path is TEST_DATA.
 * A test that uses random numbers says print_message("# seed ..."); what a
 * program prints is TAP, where other text starts with #. One
 * that cannot run here calls SKIP("why").
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Leaves the test; scripts/check prints the reason. */
#define SKIP(reason)                                          \
	do {                                                  \
		printf("# skip: %s: %s\n", __func__, reason); \
		fflush(stdout);                               \
		skip();                                       \
	} while (0)

#endif
