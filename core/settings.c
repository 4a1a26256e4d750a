// SPDX-License-Identifier: BSD-2-Clause
// settings.c - merges, checks and hands on the settings of modules for ports.
#include "core/settings.h"

#include <errno.h>

#include "core/module.h"
#include "core/switch.h"
#include "lib/error.h"

bool settings_named(const char *key)
{
	return module_find(key) != NULL;
}

void settings_strip(json_t *params)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(params, next, key, value) {
		if (settings_named(key))
			json_object_del(params, key);
	}
}

int settings_copy(json_t *to, json_t *from)
{
	const char *key;
	json_t *value;
	int err = 0;

	settings_strip(to);
	json_object_foreach(from, key, value) {
		if (settings_named(key))
			err |= json_object_set(to, key, value);
	}
	return err ? -ENOMEM : 0;
}

/* The settings of one module: null members are no settings. */
static int merge_one(json_t *params, const char *key, json_t *change)
{
	json_t *merged = json_deep_copy(json_object_get(params, key));
	const char *name;
	json_t *value;
	int err = 0;

	if (!json_is_object(merged)) {
		json_decref(merged);
		merged = json_object();
	}
	json_object_foreach(change, name, value) {
		if (json_is_null(value))
			json_object_del(merged, name);
		else
			err |= json_object_set(merged, name, value);
	}
	if (!err && merged && !json_object_size(merged)) {
		json_object_del(params, key);
		json_decref(merged);
		return 0;
	}
	return json_object_set_new(params, key, merged) || err ? -ENOMEM : 0;
}

int settings_merge(json_t *params, json_t *change)
{
	const char *key;
	json_t *value;
	int err = 0;

	json_object_foreach(change, key, value) {
		if (!settings_named(key))
			err |= json_object_set(params, key, value);
		else if (json_is_object(value))
			err |= merge_one(params, key, value);
		else if (json_is_null(value))
			json_object_del(params, key);
		else /* for settings_check() to refuse */
			err |= json_object_set(params, key, value);
	}
	return err ? -ENOMEM : 0;
}

int settings_diff(json_t *change, const char *key, json_t *from, json_t *to)
{
	json_t *diff = json_object(), *value;
	const char *name;
	int err = 0;

	if (!json_is_object(to)) { /* null, or for settings_check() to refuse */
		json_decref(diff);
		return json_object_set(change, key, to) ? -ENOMEM : 0;
	}
	json_object_foreach(to, name, value) {
		json_t *old = json_object_get(from, name);

		if (!json_equal(old, value) && (old || !json_is_null(value)))
			err |= json_object_set(diff, name, value);
	}
	json_object_foreach(from, name, value) {
		if (!json_object_get(to, name))
			err |= json_object_set_new(diff, name, json_null());
	}
	if (!err && !json_object_size(diff)) {
		json_decref(diff);
		return 0;
	}
	return json_object_set_new(change, key, diff) || err ? -ENOMEM : 0;
}

int settings_check(json_t *params, struct glen_error *error)
{
	const char *key;
	json_t *value;
	int err = 0;

	json_object_foreach(params, key, value) {
		const struct module *module = module_find(key);

		if (!module || json_is_null(value))
			continue;
		if (!json_is_object(value))
			return error_set(error, -EINVAL,
					 "%s must be an object of the module's "
					 "settings for this port",
					 key);
		if (!module->ops.port_set)
			return error_set(error, -EINVAL,
					 "module %s has no settings for ports",
					 key);
		err = module_port_check(module, value, error);
		if (err)
			break;
	}
	return err;
}

int settings_apply(struct module_instance *mi, const struct port *port,
		   json_t *params, struct glen_error *error)
{
	return module_port_set(mi, port, json_object_get(params, mi->ops->name),
			       error);
}

/* True if the module has other settings for the port than its options say. */
static bool refresh_port(struct port *port)
{
	struct module_instance *mi = port->sw->module;
	json_t *now = module_port_settings(mi, port);
	json_t *old = json_object_get(port->params, mi->ops->name);

	if (json_object_size(now) == 0 && !old) {
		json_decref(now);
		return false;
	}
	if (!now || json_equal(now, old)) {
		json_decref(now);
		return false;
	}
	if (json_object_size(now)) {
		json_object_set_new(port->params, mi->ops->name, now);
	} else {
		json_object_del(port->params, mi->ops->name);
		json_decref(now);
	}
	return true;
}

bool settings_refresh(struct vswitch *sw)
{
	const struct glen_module *module = sw->module->ops;
	unsigned left = sw->n_ports;
	bool any = false;

	if (!module->changed || !module->port_settings ||
	    !module->changed(sw->module->state))
		return false;
	for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
		if (!sw->ports[i])
			continue;
		left--;
		any |= refresh_port(sw->ports[i]);
	}
	return any;
}
