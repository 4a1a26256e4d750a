// SPDX-License-Identifier: BSD-2-Clause
// test_nf_misc.c - timers, messages, options, counters of network functions.
#include "unit.h"

#include "nf_rig.h"

static char heard[8][64];
static unsigned n_heard;

static void hear(struct glen_nf_thread *t, const char *from, const void *data,
		 size_t len)
{
	snprintf(heard[n_heard++ % 8], sizeof(heard[0]), "%s: %.*s", from,
		 (int)len, (const char *)data);
}

static const char *const counters[] = { "seen", NULL };
static const struct glen_nf_option options[] = {
	{ "size", "BYTES", "" },
	{ "quick", NULL, "" },
	{ NULL },
};

static const struct glen_nf_args *given;

static int read_options(struct glen_nf *nf, const struct glen_nf_args *args,
			struct glen_error *error)
{
	assert_string_equal(glen_nf_arg(args, "size", 0), "5");
	assert_string_equal(glen_nf_arg(args, "size", 1), "6");
	assert_null(glen_nf_arg(args, "size", 2));
	assert_string_equal(glen_nf_arg(args, "quick", 0), "");
	assert_null(glen_nf_arg(args, "siz", 0));
	given = args;
	return 0;
}

static const struct glen_nf_program listener = {
	.size = sizeof(listener),
	.name = "listener",
	.options = options,
	.counters = counters,
	.packet = pass_packet,
	.message = hear,
};

static void options_are_read(void **state)
{
	const char *args[] = { "size=5", "quick", "size=6", NULL };
	struct glen_nf_program p = listener;
	struct glen_nf_instance c = { .args = args };
	struct glen_error error;

	p.start = read_options;
	rig_create(NULL);
	rig_add_as(&p, &c);
	assert_non_null(given);
	args[0] = "size";
	assert_int_equal(glen_nf_add(rig.group, NULL, &p, &c, &error), -EINVAL);
	assert_string_equal(error.text,
			    "listener: option size needs a value: size=BYTES");
	args[0] = "quick=1";
	assert_int_equal(glen_nf_add(rig.group, NULL, &p, &c, &error), -EINVAL);
	args[0] = "speed=1";
	assert_int_equal(glen_nf_add(rig.group, NULL, &p, &c, &error), -EINVAL);
	assert_string_equal(error.text, "listener has no option 'speed'");
	rig_destroy();
}

static void messages(void **state)
{
	static char large[65537];
	struct glen_nf_thread *t;

	rig_create(NULL);
	n_heard = 0;
	t = rig_add(&listener, "a")->runners[0]->t;
	rig_add(&listener, "b");
	rig_add(&listener, "b");
	assert_int_equal(glen_nf_message(t, "b.1", "one", 3), 0);
	assert_int_equal(glen_nf_message(t, "b.1", "two", 3), 0);
	assert_int_equal(n_heard, 0); /* in the receiver's turn */
	glen_nf_group_poll(rig.group);
	assert_int_equal(n_heard, 2);
	assert_string_equal(heard[0], "a.0: one");
	assert_string_equal(heard[1], "a.0: two");
	assert_int_equal(glen_nf_message(t, "b", "all", 3), 0);
	glen_nf_group_poll(rig.group);
	assert_int_equal(n_heard, 4);
	assert_int_equal(glen_nf_message(t, "b.2", "x", 1), -ENOENT);
	assert_int_equal(glen_nf_message(t, "manager", "x", 1), -ENOENT);
	assert_int_equal(glen_nf_message(t, "b", large, sizeof(large)),
			 -EMSGSIZE);
	assert_int_equal(glen_nf_message(t, "b.0", large, 65536), 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(glen_nf_message(t, "a", "x", 1), 0);
	assert_int_equal(glen_nf_message(t, "a", "x", 1), -EAGAIN);
	rig_destroy(); /* with messages that nobody has read */
}

static unsigned order[8], n_order;
static int64_t again_in_ns;

static void ring(struct glen_nf_thread *t, void *arg)
{
	order[n_order++ % 8] = (unsigned)(uintptr_t)arg;
	if (again_in_ns >= 0)
		glen_nf_timer(t, (uint64_t)again_in_ns, ring, (void *)9);
	again_in_ns = -1;
}

static void timers(void **state)
{
	struct glen_nf_thread *t;
	int64_t second;
	bool again = false;

	rig_create(NULL);
	t = rig_add(&listener, NULL)->runners[0]->t;
	rig.group->scratch.now_ns = 1000;
	n_order = 0;
	again_in_ns = 0;
	nf_turn(t, &rig.group->scratch, &again);
	glen_nf_timer(t, 300, ring, (void *)3);
	second = glen_nf_timer(t, 200, ring, (void *)2);
	glen_nf_timer(t, 100, ring, (void *)1);
	assert_true(glen_nf_timer_cancel(t, second));
	assert_false(glen_nf_timer_cancel(t, second));
	rig.group->scratch.now_ns = 1099;
	nf_turn(t, &rig.group->scratch, &again);
	assert_int_equal(n_order, 0);
	assert_int_equal(nf_timers_next(t), 1100);
	rig.group->scratch.now_ns = 1300;
	nf_turn(t, &rig.group->scratch, &again);
	/* 1 and 3; what 1 made at once waits for the next turn. */
	assert_int_equal(n_order, 2);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 3);
	nf_turn(t, &rig.group->scratch, &again);
	assert_int_equal(n_order, 3);
	assert_int_equal(order[2], 9);
	for (unsigned i = 0; i < 1000; i++)
		glen_nf_timer(t, (i * 7919) % 1000, ring, (void *)8);
	rig.group->scratch.now_ns = 2400;
	nf_turn(t, &rig.group->scratch, &again);
	assert_int_equal(n_order, 1003);
	rig_destroy();
}

static void is_shown(void **state)
{
	static const char *const services[] = { "listener", "sink" };
	struct glen_nf *nf;
	char *text;

	rig_create(NULL);
	rig_add(&source, NULL);
	nf = rig_add(&listener, NULL);
	rig_add(&sink, NULL);
	rig_chain("c", services, 2);
	rig.limit = 100;
	rig_settle();
	glen_nf_count(nf->runners[0]->t, 0, 77);
	glen_nf_count(nf->runners[0]->t, 32, 1); /* there is none */
	assert_string_equal(glen_nf_name(nf), "listener.0");
	assert_int_equal(glen_nf_group_show(rig.group, &text), 0);
	assert_non_null(strstr(text, "\"seen\": 77"));
	assert_non_null(strstr(text, "\"sunk\": 100"));
	assert_non_null(strstr(text, "\"listener.0 > sink.0\": 128"));
	assert_non_null(strstr(text, "\"total\": 65536"));
	free(text);
	rig_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_read),
		cmocka_unit_test(messages),
		cmocka_unit_test(timers),
		cmocka_unit_test(is_shown),
	};

	return cmocka_run_group_tests_name("nf_misc", tests, NULL, NULL);
}
