// SPDX-License-Identifier: BSD-2-Clause
// test_settings.c - settings of modules for ports: merge, diff, hand on.
#include "rig.h"

#include <errno.h>

#include "core/settings.h"
#include "lib/error.h"

static json_t *json(const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	return value;
}

static void is(json_t *got, const char *want)
{
	json_t *w = json(want);
	char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS);

	if (!json_equal(got, w))
		fail_msg("%s is not %s", text, want);
	free(text);
	json_decref(w);
	json_decref(got);
}

static json_t *merged(const char *params, const char *change)
{
	json_t *p = json(params), *c = json(change);

	assert_int_equal(settings_merge(p, c), 0);
	json_decref(c);
	return p;
}

static void merges_member_by_member(void **state)
{
	is(merged("{}", "{\"mtu\": 9}"), "{\"mtu\": 9}");
	is(merged("{\"learn\": {\"a\": 1, \"b\": 2}}",
		  "{\"learn\": {\"b\": 3, \"c\": 4}, \"mtu\": 9}"),
	   "{\"learn\": {\"a\": 1, \"b\": 3, \"c\": 4}, \"mtu\": 9}");
	is(merged("{\"learn\": {\"a\": 1, \"b\": 2}}",
		  "{\"learn\": {\"a\": null}}"),
	   "{\"learn\": {\"b\": 2}}");
	is(merged("{\"learn\": {\"a\": 1}}", "{\"learn\": {\"a\": null}}"),
	   "{}");
	is(merged("{\"learn\": {\"a\": 1}}", "{\"learn\": null}"), "{}");
	is(merged("{}", "{\"learn\": {\"a\": null}}"), "{}");
	/* What is no module is an option like any other. */
	is(merged("{\"lern\": {\"a\": 1}}", "{\"lern\": {\"b\": 1}}"),
	   "{\"lern\": {\"b\": 1}}");
}

static json_t *diff(const char *from, const char *to)
{
	json_t *change = json_object(), *f = json(from), *t = json(to);

	assert_int_equal(settings_diff(change, "learn", f, t), 0);
	json_decref(f);
	json_decref(t);
	return change;
}

static void diff_leads_from_one_to_the_other(void **state)
{
	is(diff("{\"a\": 1}", "{\"a\": 1}"), "{}");
	is(diff("{}", "{\"a\": null}"), "{}");
	is(diff("{\"a\": 1, \"b\": 2, \"c\": 3}",
		"{\"b\": 2, \"c\": 4, \"d\": 5}"),
	   "{\"learn\": {\"a\": null, \"c\": 4, \"d\": 5}}");
	is(diff("{\"a\": 1}", "null"), "{\"learn\": null}");
}

static void strips_and_copies(void **state)
{
	json_t *to = json("{\"mtu\": 1, \"learn\": {\"a\": 1}}");
	json_t *from = json("{\"mtu\": 2, \"static\": {\"b\": 1}}");

	assert_int_equal(settings_copy(to, from), 0);
	is(to, "{\"mtu\": 1, \"static\": {\"b\": 1}}");
	settings_strip(from);
	is(from, "{\"mtu\": 2}");
}

static void only_objects_for_modules_that_have_settings(void **state)
{
	struct glen_error error;
	json_t *params = json("{\"static\": {}}");

	assert_int_equal(settings_check(params, &error), -EINVAL);
	assert_non_null(strstr(error.text, "module static has no settings"));
	json_decref(params);
	params = json("{\"learn\": 7}");
	assert_int_equal(settings_check(params, &error), -EINVAL);
	assert_non_null(strstr(error.text, "learn must be an object"));
	json_decref(params);
	params = json("{\"lern\": 7, \"mtu\": 1}");
	assert_int_equal(settings_check(params, &error), 0);
	json_decref(params);
}

/* A module with settings. */

static char told[200]; /* what it was told, in order */
static int refuse;
static bool changes;

static void port_add(void *state, const struct glen_module_port *port)
{
	strcat(told, "add ");
}

static void port_del(void *state, const struct glen_module_port *port)
{
	strcat(told, "del ");
}

static int port_set_it(const struct glen_module_env *env, void *state,
		       const struct glen_module_port *port, json_t *settings,
		       struct glen_error *error)
{
	struct switch_snap *snap = atomic_load(&sw->snap);
	json_t *a = json_object_get(settings, "a");

	/* No packet may pass before the module knows. */
	if (strstr(told, "add ") && !strstr(told, "set"))
		assert_true(port->index >= snap->n_dest ||
			    !snap->dest[port->index].port);
	if (refuse)
		return error_set(error, -refuse, "no");
	sprintf(told + strlen(told), "set%d ",
		a ? (int)json_integer_value(a) : 0);
	return 0;
}

static json_t *port_settings(void *state, const struct glen_module_port *port)
{
	return json_pack("{s:i}", "a", 77);
}

static bool changed(void *state)
{
	return changes;
}

static const struct glen_module module = {
	GLEN_MODULE_HEAD,
	.name = "told",
	.version = "1",
	.summary = "notes what it is told",
	.hdr_want = GLEN_HDR_MIN,
	.create = rig_module_create,
	.destroy = rig_module_destroy,
	.port_add = port_add,
	.port_del = port_del,
	.port_set = port_set_it,
	.port_settings = port_settings,
	.changed = changed,
	.lookup = rig_lookup,
};

static int module_setup(void **state)
{
	rig_open(NULL);
	rig_swap_module(&module);
	told[0] = '\0';
	refuse = 0;
	changes = false;
	return 0;
}

static void module_is_told_before_packets_pass(void **state)
{
	struct port *port;
	struct glen_error error;

	/* A module that has none. */
	assert_int_equal(rig_try("a", "dummy", "{\"static\": {\"a\": 1}}",
				 &port, &error),
			 -EINVAL);
	assert_string_equal(told, "");
	rig_port("a", "{}");
	assert_string_equal(told, "add set0 ");
}

static void refusal_leaves_nothing(void **state)
{
	struct glen_error error;
	struct port *port;

	refuse = ENOMEM;
	assert_int_equal(rig_try("a", "dummy", "{}", &port, &error), -ENOMEM);
	assert_string_equal(told, "add del ");
	assert_int_equal(sw->n_ports, 0);
	assert_null(port_find(sw, "a"));
}

static void refresh_takes_what_changed(void **state)
{
	struct port *port = rig_port("a", "{\"mtu\": 1500}");

	assert_false(settings_refresh(sw));
	changes = true;
	assert_true(settings_refresh(sw));
	is(json_deep_copy(port->params),
	   "{\"mtu\": 1500, \"told\": {\"a\": 77}}");
	assert_false(settings_refresh(sw));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merges_member_by_member),
		cmocka_unit_test(diff_leads_from_one_to_the_other),
		cmocka_unit_test(strips_and_copies),
		cmocka_unit_test(only_objects_for_modules_that_have_settings),
		cmocka_unit_test_setup_teardown(
			module_is_told_before_packets_pass, module_setup,
			rig_teardown),
		cmocka_unit_test_setup_teardown(refusal_leaves_nothing,
						module_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(refresh_takes_what_changed,
						module_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
