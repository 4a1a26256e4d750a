// SPDX-License-Identifier: BSD-2-Clause
// test_embed.c - a switch without a daemon: its ports, commands, refusals.
#include "unit.h"

#include <errno.h>
#include <glen/switch.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct glen_switch *sw;

static int setup(void **state)
{
	return glen_switch_create(&sw, "s", NULL, NULL, NULL);
}

static int teardown(void **state)
{
	glen_switch_destroy(sw);
	return 0;
}

static void expect(int err, const struct glen_error *error, int want,
		   const char *word)
{
	assert_int_equal(err, want);
	if (!strstr(error->text, word))
		fail_msg("\"%s\" does not say \"%s\"", error->text, word);
}

static void refuses_with_words(void **state)
{
	struct glen_switch *other;
	struct glen_error e = { 0 };

	expect(glen_switch_create(&other, "a b", "learn", NULL, &e), &e,
	       -EINVAL, "a b");
	expect(glen_switch_create(&other, "t", "lern", NULL, &e), &e, -EINVAL,
	       "lern");
	expect(glen_switch_create(&other, "t", "learn", "{", &e), &e, -EINVAL,
	       "JSON");
	expect(glen_switch_create(&other, "t", "learn", "{\"entris\":1}", &e),
	       &e, -EINVAL, "entris");
	expect(glen_switch_port_add(sw, "a", "dumy", NULL, &e), &e, -EINVAL,
	       "dumy");
	expect(glen_switch_port_add(sw, "t:a", "dummy", NULL, &e), &e, -EINVAL,
	       "t:a");
	expect(glen_switch_port_del(sw, "a", &e), &e, -ENOENT, "s:a");
}

static void ports_of_other_drivers_come_and_go(void **state)
{
	struct glen_error e = { 0 };

	for (int i = 0; i < 3; i++) {
		assert_int_equal(glen_switch_port_add(sw, "a", "dummy", NULL,
						      &e),
				 0);
		expect(glen_switch_port_add(sw, "a", "dummy", NULL, &e), &e,
		       -EEXIST, "s:a");
		assert_int_equal(glen_switch_port_del(sw, "a", &e), 0);
	}
}

static void an_open_port_stays_its_users(void **state)
{
	struct glen_error e = { 0 };
	struct glen_port *port;

	assert_int_equal(glen_switch_port_open(sw, &port, "a", NULL, &e), 0);
	expect(glen_switch_port_del(sw, "a", &e), &e, -EBUSY,
	       "glen_port_close");
	glen_port_close(port);
	assert_int_equal(glen_switch_port_open(sw, &port, "a", NULL, &e), 0);
	glen_port_close(port);
}

/* Ages are counted by the clock that glend's timer tells; here, by commands. */
static void the_table_is_shown_without_a_timer(void **state)
{
	uint8_t frame[60] = { [0] = 0xff, [6] = 0x02, [11] = 0x07 };
	const struct glen_packet packet = { frame, sizeof(frame) };
	struct glen_error e = { 0 };
	struct glen_port *a, *b;
	char *text = NULL;

	assert_int_equal(glen_switch_port_open(sw, &a, "a", NULL, &e), 0);
	assert_int_equal(glen_switch_port_open(sw, &b, "b", NULL, &e), 0);
	assert_int_equal(glen_send(a, 0, &packet, 1), 1);
	while (glen_switch_poll(sw))
		;
	/* More often than glend's timer would close descriptors after. */
	for (int i = 0; i < 8; i++) {
		free(text);
		assert_int_equal(glen_switch_command(sw, "fdb.show",
						     "{\"switch\": \"s\"}",
						     &text, &e),
				 0);
	}
	assert_non_null(strstr(text, "02:00:00:00:00:07"));
	free(text);
	assert_int_equal(glen_wait(b, GLEN_RX, 1000), GLEN_RX);
	glen_port_close(b);
	glen_port_close(a);
}

static void starts_once(void **state)
{
	struct glen_error e = { 0 };

	expect(glen_switch_start(sw, 0, &e), &e, -EINVAL, "0 threads");
	expect(glen_switch_start(sw, 1000, &e), &e, -EINVAL, "1000 threads");
	assert_int_equal(glen_switch_start(sw, 1, &e), 0);
	expect(glen_switch_start(sw, 1, &e), &e, -EBUSY, "runs already");
}

/* An unknown one was refused without a word. */
static void commands_answer_or_say_why(void **state)
{
	struct glen_error e = { .code = -EBUSY };
	char *result;

	expect(glen_switch_command(sw, "nonsense", NULL, &result, &e), &e,
	       -ENOSYS, "nonsense");
	expect(glen_switch_command(sw, "switch.del", NULL, &result, &e), &e,
	       -ENOSYS, "switch.h");
	assert_int_equal(glen_switch_command(sw, "switch.show",
					     "{\"switch\":\"s\"}", &result, &e),
			 0);
	assert_non_null(strstr(result, "learn"));
	free(result);
}

/* More claims than go into one message, and one of the last is taken. */
static void claims_are_all_or_none(void **state)
{
	enum { N = 9000 };
	struct glen_claim *claims = calloc(N, sizeof(*claims)), one;
	struct glen_port *a, *b;
	struct glen_switch *t;
	struct glen_error e = { 0 };

	assert_int_equal(glen_switch_create(&t, "t", "tuple3", NULL, &e), 0);
	assert_int_equal(glen_switch_port_open(t, &a, "a", NULL, &e), 0);
	assert_int_equal(glen_switch_port_open(t, &b, "b", NULL, &e), 0);
	for (unsigned i = 0; i < N; i++)
		claims[i] = (struct glen_claim){ .family = AF_INET,
						 .ip = { 10, 0, 0, 1 },
						 .protocol = IPPROTO_TCP,
						 .port = 1 + i };
	one = claims[N - 2];
	assert_int_equal(glen_claim(b, &one, 1, &e), 0);
	expect(glen_claim(a, claims, N, &e), &e, -EADDRINUSE,
	       "claimed by port b");
	assert_int_equal(glen_port_claims(a), 0);
	expect(glen_unclaim(a, &one, 1, &e), &e, -ENOENT, "no claim");
	assert_int_equal(glen_unclaim(b, &one, 1, &e), 0);
	assert_int_equal(glen_port_claims(b), 0);
	assert_int_equal(glen_claim(a, claims, N, &e), 0);
	assert_int_equal(glen_port_claims(a), N);
	one.port = 0;
	assert_int_equal(glen_claim(b, &one, 1, &e), 0);
	assert_in_range(one.port, 61000, 65535);
	one.family = AF_UNIX;
	expect(glen_claim(b, &one, 1, &e), &e, -EINVAL, "AF_INET6");
	assert_int_equal(glen_unclaim(a, claims, N, &e), 0);
	assert_int_equal(glen_claim(b, claims, N, &e), 0);
	glen_port_close(b);
	assert_int_equal(glen_claim(a, claims, N, &e), 0);
	glen_port_close(a);
	glen_switch_destroy(t);
	assert_int_equal(glen_switch_port_open(sw, &a, "a", NULL, &e), 0);
	expect(glen_claim(a, claims, 1, &e), &e, -EOPNOTSUPP,
	       "knows no claims");
	glen_port_close(a);
	free(claims);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refuses_with_words, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			ports_of_other_drivers_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(an_open_port_stays_its_users,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_table_is_shown_without_a_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(starts_once, setup, teardown),
		cmocka_unit_test_setup_teardown(commands_answer_or_say_why,
						setup, teardown),
		cmocka_unit_test_setup_teardown(claims_are_all_or_none, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
