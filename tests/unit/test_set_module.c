// SPDX-License-Identifier: BSD-2-Clause
// test_set_module.c - a live switch changes its module, or its options only.
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "core/switch.h"

static struct engine *engine;
static struct vswitch *sw;

static int set(const char *module, json_t *options)
{
	struct glen_error error;
	int err = switch_set_module(sw, module, options, &error);

	json_decref(options);
	return err;
}

static int setup(void **state)
{
	struct engine_config config = { .n_workers = 1 };

	return engine_create(&engine, &config, NULL) ||
	       switch_create(engine, "sw", "learn", NULL, &sw, NULL);
}

static int teardown(void **state)
{
	engine_destroy(engine);
	return 0;
}

static void same_module_keeps_its_state(void **state)
{
	void *before = sw->module->state;
	json_t *shown;

	assert_int_equal(set("learn", json_pack("{s:i}", "ageing_s", 7)), 0);
	assert_ptr_equal(sw->module->state, before);
	assert_int_equal(json_integer_value(json_object_get(sw->module_params,
							    "ageing_s")),
			 7);
	shown = module_show(sw->module);
	assert_int_equal(json_integer_value(json_object_get(shown, "ageing_s")),
			 7);
	json_decref(shown);
	/* A bad option changes nothing, here or in what is saved. */
	assert_int_equal(set("learn", json_pack("{s:i}", "ageing_s", -7)),
			 -EINVAL);
	assert_int_equal(json_integer_value(json_object_get(sw->module_params,
							    "ageing_s")),
			 7);
}

static void another_module_takes_over(void **state)
{
	json_t *map = json_pack("{s:{s:s}}", "map", "a", "b");

	assert_int_equal(set("static", map), 0);
	assert_string_equal(sw->module->ops->name, "static");
	assert_int_equal(set("learn", json_object()), 0);
	assert_string_equal(sw->module->ops->name, "learn");
	assert_int_equal(set("laern", json_object()), -EINVAL);
	assert_string_equal(sw->module->ops->name, "learn");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_module_keeps_its_state),
		cmocka_unit_test(another_module_takes_over),
	};

	return cmocka_run_group_tests_name("set_module", tests, setup,
					   teardown);
}
