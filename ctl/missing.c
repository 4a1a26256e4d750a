// SPDX-License-Identifier: BSD-2-Clause
// missing.c - configured ports that could not be opened yet.
#include "ctl/missing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/settings.h"
#include "lib/error.h"

/* True if the port full is one of switch sw. */
static bool is_in(const char *full, const char *sw)
{
	size_t len = strlen(sw);

	return !strncmp(full, sw, len) && full[len] == ':';
}

static const char *driver_of(json_t *entry)
{
	return json_string_value(json_object_get(entry, "driver"));
}

static const char *problem_of(json_t *entry)
{
	return json_string_value(json_object_get(entry, "problem"));
}

json_t *missing_find(const struct control *ctl, const char *full)
{
	return json_object_get(ctl->missing, full);
}

unsigned missing_count(const struct control *ctl, const char *sw)
{
	unsigned n = 0;
	const char *full;
	json_t *entry;

	json_object_foreach(ctl->missing, full, entry) {
		n += is_in(full, sw);
	}
	return n;
}

int missing_add(struct control *ctl, const char *full, const char *driver,
		json_t *params, struct glen_error *error)
{
	struct control_name name;
	struct vswitch *sw;
	json_t *entry;
	int err = control_split(full, &name, error);

	if (!err && !switch_find(ctl->engine, name.sw))
		err = switch_create(ctl->engine, name.sw, "learn", NULL, &sw,
				    error);
	if (err)
		return err;
	entry = json_pack("{ss sO}", "driver", driver, "params", params);
	if (!entry || json_object_set_new(ctl->missing, full, entry)) {
		control_switch_release(ctl, name.sw);
		return error_set(error, -ENOMEM, "out of memory");
	}
	return 0;
}

void missing_del(struct control *ctl, const char *full)
{
	const struct control_hooks *hooks = ctl->hooks;
	json_t *entry = json_incref(missing_find(ctl, full));
	struct glen_error ignored;
	void *saved = NULL;
	bool resume;

	json_object_del(ctl->missing, full);
	/* Taken and given back: free. */
	if (hooks && hooks->saved_open &&
	    !hooks->saved_open(ctl->arg, full, driver_of(entry), NULL, &saved,
			       &resume, &ignored) &&
	    saved)
		hooks->saved_close(ctl->arg, saved, false);
	json_decref(entry);
}

void missing_del_all(struct control *ctl, const char *sw)
{
	const char *full;
	json_t *entry;
	void *next;

	json_object_foreach_safe(ctl->missing, next, full, entry) {
		char name[GLEN_NAME_MAX + 1];

		if (!is_in(full, sw))
			continue;
		snprintf(name, sizeof(name), "%s", full);
		missing_del(ctl, name);
	}
}

int missing_try(struct control *ctl, const char *full, bool *is_new,
		struct glen_error *error)
{
	json_t *entry = json_incref(missing_find(ctl, full));
	char name[GLEN_NAME_MAX + 1];
	const char *last;
	int err;

	/* The entry's own name goes with it. */
	snprintf(name, sizeof(name), "%s", full);
	err = control_port_add(ctl, name, driver_of(entry),
			       json_object_get(entry, "params"), error);
	last = problem_of(entry);
	*is_new = err && (!last || strcmp(last, error->text));
	if (*is_new)
		json_object_set_new(entry, "problem",
				    json_string(error->text) ?:
							       json_string("?"));
	json_decref(entry);
	return err;
}

int missing_set(struct control *ctl, const char *full, json_t *params,
		struct glen_error *error)
{
	json_t *entry = missing_find(ctl, full);
	json_t *merged = json_deep_copy(json_object_get(entry, "params"));
	char driver[32];
	int err;

	snprintf(driver, sizeof(driver), "%s", driver_of(entry));
	if (!merged || settings_merge(merged, params))
		err = error_set(error, -ENOMEM, "out of memory");
	else
		err = control_port_add(ctl, full, driver, merged, error);
	json_decref(merged);
	return err;
}

int missing_refuse(const struct control *ctl, const char *full,
		   struct glen_error *error)
{
	json_t *entry = missing_find(ctl, full);
	const char *problem = problem_of(entry);

	if (!entry)
		return 0;
	return error_set(error, -EBUSY,
			 "port %s is configured, with driver %s, but could not "
			 "be opened: %.150s",
			 full, driver_of(entry), problem ? problem : "");
}

json_t *missing_show(const char *full, json_t *entry)
{
	const char *problem = problem_of(entry);
	json_t *object = json_pack("{ss ss sb sb sb}", "port", full, "driver",
				   driver_of(entry), "configured", true,
				   "attached", false, "link", false);
	json_t *defaults = json_pack("{si si si sb ss s[]}", "in_rings", 0,
				     "out_rings", 0, "mtu", 0, "isolated",
				     false, "mac", "00:00:00:00:00:00",
				     "offloads");
	char text[400];

	snprintf(text, sizeof(text),
		 "the port is not open: %s; it is tried again every second",
		 problem ? problem : "it was not tried yet");
	if (object && defaults &&
	    !json_object_update_missing(object,
					json_object_get(entry, "params")) &&
	    !json_object_update_missing(object, defaults) &&
	    !json_object_set_new(object, "problem", json_string(text))) {
		json_decref(defaults);
		return object;
	}
	json_decref(object);
	json_decref(defaults);
	return NULL;
}

int missing_config(const struct control *ctl, json_t *switches)
{
	struct control_name name;
	const char *full;
	json_t *entry;

	json_object_foreach(ctl->missing, full, entry) {
		json_t *port = json_pack("{sO}", "driver",
					 json_object_get(entry, "driver"));
		json_t *sw;

		if (!port ||
		    json_object_update(port,
				       json_object_get(entry, "params")) ||
		    control_split(full, &name, NULL)) {
			json_decref(port);
			return -ENOMEM;
		}
		sw = json_object_get(switches, name.sw);
		if (json_object_set_new(json_object_get(sw, "ports"), name.port,
					port))
			return -ENOMEM;
	}
	return 0;
}
