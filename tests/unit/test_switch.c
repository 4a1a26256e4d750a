// SPDX-License-Identifier: BSD-2-Clause
// test_switch.c - engines and switches: names, limits, modules, workers.
#include "rig.h"

#include <errno.h>
#include <sched.h>

static void names_are_checked(void **state)
{
	static const char *const good[] = { "a", "0", "Z.y_x-9",
					    "a234567890123456789012345678901" };
	static const char *const bad[] = {
		"",    ".a",
		"-a",  "_a",
		"a b", "a:b",
		"a/b", "\xc3\xa4",
		"a\n", "a2345678901234567890123456789012"
	};
	struct glen_error error;

	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(name_check("switch", good[i], &error));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error.text[0] = 0;
		assert_false(name_check("switch", bad[i], &error));
		assert_non_null(strstr(error.text, "switch name"));
	}
	assert_false(name_check("port", NULL, NULL));
}

static void refused(const char *name, const char *module, const char *params,
		    int want, const char *text)
{
	json_t *o = json_loads(params, 0, NULL);
	struct glen_error error = { 0 };
	struct vswitch *other = NULL;

	assert_int_equal(switch_create(engine, name, module, o, &other, &error),
			 want);
	if (!strstr(error.text, text))
		fail_msg("\"%s\" does not say \"%s\"", error.text, text);
	assert_null(other);
	json_decref(o);
}

static void errors_name_what_was_wrong(void **state)
{
	refused("sw", NULL, "{}", -EEXIST, "sw exists");
	refused("a b", NULL, "{}", -EINVAL, "\"a b\"");
	refused("b", "laern", "{}", -EINVAL, "\"laern\"; known: learn");
	refused("b", "learn", "{\"entires\": 3}", -EINVAL, "entires");
	assert_null(switch_find(engine, "b"));
	assert_ptr_equal(switch_find(engine, "sw"), sw);
}

static void switches_are_limited(void **state)
{
	struct glen_error error;
	struct vswitch *more = NULL;
	char name[16];

	for (unsigned i = 1; i < SWITCHES_MAX; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(switch_create(engine, name, "static", NULL,
					       &more, &error),
				 0);
	}
	refused("more", "static", "{}", -ENOSPC, "1024");
	switch_destroy(more);
	assert_int_equal(switch_create(engine, "more", "static", NULL, &more,
				       &error),
			 0);
}

static void engines_are_checked(void **state)
{
	const struct engine_config bad[] = { { .n_workers = WORKERS_MAX + 1 },
					     { .n_workers = 2,
					       .n_active = 3 } };
	struct engine *e = NULL;
	struct glen_error error;

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(engine_create(&e, &bad[i], &error), -EINVAL);
		assert_non_null(strstr(error.text, "too many"));
		assert_null(e);
	}
	engine_destroy(NULL);
}

/* Every lookup is of one module or the other; no packet is lost. */
static void modules_change_under_traffic(void **state)
{
	json_t *map = json_pack("{s:{s:s}}", "map", "a", "b");
	struct port *a = rig_port("a", "{\"slots\": 1024}");
	struct port *b = rig_port("b", "{\"slots\": 1024}");
	struct glen_error error;

	for (unsigned i = 0; i < 500; i++) {
		rig_send(a, 0, (struct sent){ .verdict = TO(1), .seq = i });
		if (i % 3 == 0)
			assert_int_equal(switch_set_module(
						 sw, i % 2 ? "learn" : "static",
						 i % 2 ? NULL : map, &error),
					 0);
		if (i % 3 == 1)
			assert_int_equal(switch_set_module(sw, "nonsense", NULL,
							   &error),
					 -EINVAL);
		if (i % 5 == 0)
			rig_run();
	}
	rig_run();
	for (unsigned i = 0; i < 500; i++)
		rig_expect(b, 0, i);
	json_decref(map);
	rig_check();
}

/* Embedded: all rings on worker 0, until threads are started. */
static void rings_are_spread(void **state)
{
	const struct engine_config config = { .n_workers = 4,
					      .n_active = 1,
					      .poll = true };
	struct glen_error error;
	unsigned rings[4] = { 0 };
	struct port *a, *b;
	json_t *shown;

	rig_close();
	rig_open(&config);
	a = rig_port("a", "{\"in_rings\": 8}");
	b = rig_port("b", "{}");
	for (unsigned r = 0; r < 8; r++)
		assert_int_equal(a->in[r].worker->index, 0);
	for (unsigned r = 0; r < 8; r++)
		rig_send(a, r, (struct sent){ .verdict = TO(1), .seq = r });
	rig_run();
	for (unsigned r = 0; r < 8; r++)
		rig_expect(b, 0, r);
	assert_int_equal(engine_spread(engine, 0, &error), -EINVAL);
	assert_int_equal(engine_spread(engine, 5, &error), -EINVAL);
	assert_int_equal(engine_spread(engine, 3, &error), 0);
	for (unsigned r = 0; r < 8; r++) {
		assert_int_equal(a->in[r].worker->index, a->in[r].worker_idx);
		rings[a->in[r].worker_idx]++;
	}
	for (unsigned w = 0; w < 4; w++)
		assert_in_range(rings[w], w < 3 ? 2 : 0, w < 3 ? 3 : 0);
	assert_int_equal(engine_start(engine, &error), 0);
	assert_int_equal(engine_spread(engine, 2, &error), -EBUSY);
	for (unsigned r = 0; r < 8; r++)
		rig_send(a, r, (struct sent){ .verdict = TO(1), .seq = r });
	while (dummy_pending_out(b, 0) < 8)
		sched_yield();
	shown = engine_show_workers(engine);
	assert_int_equal(json_array_size(shown), 4);
	json_decref(shown);
	engine_stop(engine);
	rig_check();
}

static void destroying_closes_all(void **state)
{
	for (unsigned i = 0; i < 5; i++) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", i);
		rig_port(name, "{\"in_rings\": 2}");
	}
	rig_send(sw->ports[0], 0, (struct sent){ .verdict = VERDICT_FLOOD });
	switch_destroy(sw);
	assert_null(engine_switches(engine));
	assert_int_equal(engine_poll(engine), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(names_are_checked),
		RIG_TEST(errors_name_what_was_wrong),
		RIG_TEST(switches_are_limited),
		RIG_TEST(engines_are_checked),
		RIG_TEST(modules_change_under_traffic),
		RIG_TEST(rings_are_spread),
		RIG_TEST(destroying_closes_all),
	};

	return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
