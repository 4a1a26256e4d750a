// SPDX-License-Identifier: BSD-2-Clause
// control.c - switches and ports of one engine, as users name them.
#include "ctl/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/settings.h"
#include "ctl/config.h"
#include "ctl/missing.h"
#include "lib/error.h"

int control_split(const char *full, struct control_name *name,
		  struct glen_error *error)
{
	const char *colon = strchr(full, ':');
	size_t len = colon ? (size_t)(colon - full) : 0;

	if (!colon)
		return error_set(error, -EINVAL,
				 "port name '%.70s' lacks a colon: write "
				 "switch:port, such as vale0:a",
				 full);
	if (len >= sizeof(name->sw))
		return error_set(error, -EINVAL,
				 "switch name '%.*s...' is longer than %d "
				 "characters",
				 31, full, GLEN_PART_MAX);
	if (strlen(colon + 1) >= sizeof(name->port))
		return error_set(error, -EINVAL,
				 "port name '%.31s...' is longer than %d "
				 "characters",
				 colon + 1, GLEN_PART_MAX);
	memcpy(name->sw, full, len);
	name->sw[len] = '\0';
	strcpy(name->port, colon + 1);
	if (!name_check("switch", name->sw, error) ||
	    !name_check("port", name->port, error))
		return -EINVAL;
	return 0;
}

char *control_full_name(const struct port *port, char *out)
{
	snprintf(out, GLEN_NAME_MAX + 1, "%.31s:%.31s", port->sw->name,
		 port->name);
	return out;
}

struct vswitch *control_switch(struct control *ctl, const char *name,
			       struct glen_error *error)
{
	struct vswitch *sw = switch_find(ctl->engine, name);

	if (!sw)
		error_set(error, -ENOENT, "there is no switch '%.40s'", name);
	return sw;
}

struct port *control_port(struct control *ctl, const char *full,
			  struct glen_error *error)
{
	struct control_name name;
	struct port *port = NULL;
	struct vswitch *sw;

	if (control_split(full, &name, error))
		return NULL;
	sw = switch_find(ctl->engine, name.sw);
	if (sw)
		port = port_find(sw, name.port);
	if (!port)
		error_set(error, -ENOENT, "there is no port '%s'", full);
	return port;
}

json_t *control_reserved(const struct control *ctl, const char *full)
{
	return json_object_get(ctl->reserved, full);
}

/* True if the reservation full is one of switch sw. */
static bool reserved_in(const char *full, const char *sw)
{
	size_t len = strlen(sw);

	return !strncmp(full, sw, len) && full[len] == ':';
}

unsigned control_n_reserved(const struct control *ctl, const char *name)
{
	struct vswitch *sw = switch_find(ctl->engine, name);
	unsigned n = 0, left = sw ? sw->n_ports : 0;
	const char *full;
	json_t *params;

	json_object_foreach(ctl->reserved, full, params) {
		n += reserved_in(full, name);
	}
	/* Those with a client are ports as well. */
	for (unsigned i = 0; n && left; i++) {
		const struct port *port = sw->ports[i];

		if (!port)
			continue;
		left--;
		n -= port->configured && port->ops->attach_info;
	}
	return n + missing_count(ctl, name);
}

/* True if the switch has ports that are not open now. */
static bool has_reserved(const struct control *ctl, const char *sw)
{
	const char *full;
	json_t *params;

	json_object_foreach(ctl->reserved, full, params) {
		if (reserved_in(full, sw))
			return true;
	}
	return missing_count(ctl, sw);
}

void control_changed(struct control *ctl)
{
	if (ctl->hooks && ctl->hooks->changed)
		ctl->hooks->changed(ctl->arg);
}

void control_switch_release(struct control *ctl, const char *name)
{
	struct vswitch *sw = switch_find(ctl->engine, name);

	if (sw && !sw->configured && !sw->n_ports && !has_reserved(ctl, name))
		switch_destroy(sw);
}

/* Finds the switch or makes it. */
static int get_switch(struct control *ctl, const char *name,
		      struct vswitch **sw, struct glen_error *error)
{
	*sw = switch_find(ctl->engine, name);
	if (*sw)
		return 0;
	return switch_create(ctl->engine, name, "learn", NULL, sw, error);
}

/*
 * What a port's own record keeps of its options, a new object. Settings of
 * modules are in the configuration if the port is.
 */
static json_t *record_params(json_t *params, bool configured)
{
	json_t *record = params ? json_copy(params) : json_object();

	if (record && configured)
		settings_strip(record);
	return record;
}

static int open_one(struct control *ctl, const char *full, const char *driver,
		    struct port_args *args, bool configured, struct port **port,
		    struct glen_error *error)
{
	const struct control_hooks *hooks = ctl->hooks;
	struct control_name name;
	struct vswitch *sw;
	int err = control_split(full, &name, error);

	if (err)
		return err;
	if (!port_driver_find(driver))
		return error_set(error, -EINVAL,
				 "there is no driver '%.40s'; driver.list "
				 "(glenctl driver list) names them",
				 driver);
	err = get_switch(ctl, name.sw, &sw, error);
	if (err)
		return err;
	if (port_find(sw, name.port))
		return error_set(error, -EEXIST, "port %s exists already",
				 full);
	args->saved = NULL;
	args->resume = false;
	if (hooks && hooks->saved_open) {
		json_t *record = record_params(args->params, configured);

		err = hooks->saved_open(ctl->arg, full, driver, record,
					&args->saved, &args->resume, error);
		json_decref(record);
		if (err)
			goto err_switch;
	}
	err = port_create(sw, name.port, driver, args, port, error);
	if (err)
		goto err_saved;
	(*port)->configured = configured;
	(*port)->saved = args->saved;
	return 0;

err_saved:
	if (args->saved)
		hooks->saved_close(ctl->arg, args->saved,
				   missing_find(ctl, full));
err_switch:
	control_switch_release(ctl, name.sw);
	return err;
}

static void close_one(struct control *ctl, struct port *port)
{
	char full[GLEN_NAME_MAX + 1];
	void *saved = port->saved;
	bool again = missing_find(ctl, control_full_name(port, full));

	port_destroy(port);
	if (saved)
		ctl->hooks->saved_close(ctl->arg, saved, again);
}

/* The options of the host's side of a port. */
static json_t *pair_params(const struct port *port)
{
	static const char *const shared[] = { "netns", "queues", "ifname" };
	json_t *params = json_pack("{ss}", "ifname", port->name);

	for (unsigned i = 0; i < sizeof(shared) / sizeof(*shared); i++) {
		json_t *value = json_object_get(port->params, shared[i]);

		if (params && value)
			json_object_set(params, shared[i], value);
	}
	return params;
}

/* Opens the second port that host=true asks for. */
static int open_pair(struct control *ctl, struct port *port,
		     struct glen_error *error)
{
	struct port_args args = { 0 };
	char full[GLEN_NAME_MAX + 2];
	int err;

	if (!port->ops->host_side ||
	    !json_is_true(json_object_get(port->params, "host")))
		return 0;
	if (strlen(port->name) > GLEN_PART_MAX - 1)
		return error_set(error, -EINVAL,
				 "port name '%s' is too long to have a host "
				 "side: one character less",
				 port->name);
	snprintf(full, sizeof(full), "%.31s:%.30s^", port->sw->name,
		 port->name);
	args.params = pair_params(port);
	if (!args.params)
		return error_set(error, -ENOMEM, "out of memory");
	err = missing_refuse(ctl, full, error);
	if (!err)
		err = open_one(ctl, full, port->ops->host_side, &args, false,
			       &port->pair, error);
	json_decref(args.params);
	if (!err)
		port->pair->pair = port;
	return err;
}

/* What arrives begins to come in when what is sent can already leave. */
static int start(struct port *port, struct glen_error *error)
{
	int err = port->pair ? port_start(port->pair, error) : 0;

	return err ? err : port_start(port, error);
}

/* Opens a port, which may be a missing one. */
static int open_any(struct control *ctl, const char *full, const char *driver,
		    struct port_args *args, bool configured, struct port **port,
		    struct glen_error *error)
{
	size_t len = strlen(full);
	char sw[PORT_NAME_SIZE];
	int err;

	if (len && full[len - 1] == '^' && strcmp(driver, "host"))
		return error_set(error, -EINVAL,
				 "port name '%s' ends with ^, which is for "
				 "ports of driver host",
				 full);
	err = open_one(ctl, full, driver, args, configured, port, error);
	if (err)
		return err;
	err = open_pair(ctl, *port, error);
	if (!err)
		err = start(*port, error);
	if (!err)
		return 0;
	strcpy(sw, (*port)->sw->name);
	if ((*port)->pair)
		close_one(ctl, (*port)->pair);
	close_one(ctl, *port);
	*port = NULL;
	control_switch_release(ctl, sw);
	return err;
}

int control_port_open(struct control *ctl, const char *full, const char *driver,
		      struct port_args *args, bool configured,
		      struct port **port, struct glen_error *error)
{
	int err = missing_refuse(ctl, full, error);

	return err ? err :
		     open_any(ctl, full, driver, args, configured, port, error);
}

void control_port_close(struct control *ctl, struct port *port,
			const char *reason)
{
	struct port *pair = port->pair;
	char sw[PORT_NAME_SIZE];

	strcpy(sw, port->sw->name);
	if (ctl->hooks && ctl->hooks->closing) {
		ctl->hooks->closing(ctl->arg, port, reason);
		if (pair)
			ctl->hooks->closing(ctl->arg, pair, reason);
	}
	/* What either has taken in still finds the other one. */
	if (pair) {
		port_rest(pair);
		port_rest(port);
		close_one(ctl, pair);
	}
	close_one(ctl, port);
	control_switch_release(ctl, sw);
}

static int set_open(struct control *ctl, struct port *port, json_t *params,
		    struct glen_error *error);

/* The port of a client becomes a reserved one: its settings hold at once. */
static int adopt_open(struct control *ctl, struct port *port, json_t *params,
		      struct glen_error *error)
{
	json_t *change = json_object(), *value;
	const char *key;
	int err = change ? 0 : error_set(error, -ENOMEM, "out of memory");

	json_object_foreach(port->params, key, value) {
		if (!err && settings_named(key))
			err = settings_diff(change, key, value,
					    json_object_get(params, key) ?:
						    json_null());
	}
	json_object_foreach(params, key, value) {
		if (!err && settings_named(key))
			err = settings_diff(change, key,
					    json_object_get(port->params, key),
					    value);
	}
	if (!err && json_object_size(change))
		err = set_open(ctl, port, change, error);
	json_decref(change);
	return err;
}

/* Keeps a name for the client that will open it. */
static int reserve(struct control *ctl, const char *full, json_t *params,
		   struct glen_error *error)
{
	struct control_name name;
	struct vswitch *sw;
	struct port *port;
	json_t *copy;
	int err;

	if (!ctl->reserved)
		return error_set(error, -EOPNOTSUPP,
				 "an embedded switch opens shm ports with "
				 "glen_switch_port_open()");
	err = control_split(full, &name, error);
	if (!err)
		err = config_check_reserved(params, error);
	if (!err)
		err = get_switch(ctl, name.sw, &sw, error);
	if (err)
		return err;
	port = port_find(sw, name.port);
	if (port && port->ops != port_driver_find("shm"))
		return error_set(error, -EEXIST,
				 "port %s exists already, with driver %s", full,
				 port->ops->name);
	if (port)
		err = adopt_open(ctl, port, params, error);
	if (err)
		return err;
	copy = json_object();
	if (settings_merge(copy, params) ||
	    json_object_set_new(ctl->reserved, full, copy)) {
		control_switch_release(ctl, name.sw);
		return error_set(error, -ENOMEM, "out of memory");
	}
	if (port)
		port->configured = true;
	return 0;
}

int control_port_add(struct control *ctl, const char *full, const char *driver,
		     json_t *params, struct glen_error *error)
{
	struct port_args args = { .params = params };
	struct port *port;
	int err;

	if (control_reserved(ctl, full))
		return error_set(error, -EEXIST, "port %s is reserved already",
				 full);
	if (!strcmp(driver, "shm"))
		err = reserve(ctl, full, params, error);
	else
		err = open_any(ctl, full, driver, &args, true, &port, error);
	if (err)
		return err;
	json_object_del(ctl->missing, full);
	control_changed(ctl);
	return 0;
}

int control_port_del(struct control *ctl, const char *full,
		     struct glen_error *error)
{
	bool reserved = control_reserved(ctl, full);
	bool missing = missing_find(ctl, full);
	struct port *port = control_port(ctl, full, error);
	struct control_name name;
	bool configured = reserved || missing || (port && port->configured) ||
			  (port && port->pair && port->pair->configured);

	if (!port && !reserved && !missing)
		return error->code;
	if (missing)
		missing_del(ctl, full);
	if (reserved)
		json_object_del(ctl->reserved, full);
	if (port)
		control_port_close(ctl, port, "it was deleted (port.del)");
	else if (!control_split(full, &name, error))
		control_switch_release(ctl, name.sw);
	if (configured)
		control_changed(ctl);
	return 0;
}

/* A reservation's options with the changes in, for the next client. */
static int merge_reserved(struct control *ctl, const char *full, json_t *params,
			  json_t **merged, struct glen_error *error)
{
	*merged = json_deep_copy(control_reserved(ctl, full));
	if (!*merged || settings_merge(*merged, params))
		return error_set(error, -ENOMEM, "out of memory");
	return config_check_reserved(*merged, error);
}

/* The port's own record of its options, for a client that resumes. */
static int save_params(struct control *ctl, struct port *port, json_t *params,
		       struct glen_error *error)
{
	json_t *record;
	int err;

	if (!port->saved || !ctl->hooks->saved_params)
		return 0;
	record = record_params(params, port->configured);
	if (!record)
		return error_set(error, -ENOMEM, "out of memory");
	err = ctl->hooks->saved_params(ctl->arg, port->saved, record, error);
	json_decref(record);
	return err;
}

int control_save_params(struct control *ctl, struct port *port,
			struct glen_error *error)
{
	return save_params(ctl, port, port->params, error);
}

/* Sets options of an open port, first in its record: a port that resumes
 * without its settings could send what it must not. */
static int set_open(struct control *ctl, struct port *port, json_t *params,
		    struct glen_error *error)
{
	struct glen_error ignored;
	json_t *merged = json_copy(port->params);
	int err = 0;

	if (!merged || settings_merge(merged, params))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = save_params(ctl, port, merged, error);
	json_decref(merged);
	if (err)
		return err;
	err = port_set(port, params, error);
	if (err)
		save_params(ctl, port, port->params, &ignored);
	return err;
}

int control_port_set(struct control *ctl, const char *full, json_t *params,
		     struct glen_error *error)
{
	bool reserved = control_reserved(ctl, full);
	struct port *port = control_port(ctl, full, error);
	json_t *merged = NULL;
	int err = 0;

	if (missing_find(ctl, full))
		return missing_set(ctl, full, params, error);
	if (!port && !reserved)
		return error->code;
	if (reserved)
		err = merge_reserved(ctl, full, params, &merged, error);
	if (!err && port)
		err = set_open(ctl, port, params, error);
	if (!err && reserved && json_object_set(ctl->reserved, full, merged))
		err = error_set(error, -ENOMEM, "out of memory");
	json_decref(merged);
	if (!err && (reserved || port->configured))
		control_changed(ctl);
	return err;
}

/* A port's settings changed by themselves. */
static void refresh_port(struct control *ctl, struct port *port)
{
	char full[GLEN_NAME_MAX + 1];
	struct glen_error error;
	json_t *reserved = control_reserved(ctl, control_full_name(port, full));

	if (reserved)
		settings_copy(reserved, port->params);
	if (save_params(ctl, port, port->params, &error))
		port_log(port, "not all of its settings are kept: %s",
			 error.text);
}

void control_refresh(struct control *ctl)
{
	struct vswitch *sw = engine_switches(ctl->engine);
	bool any = false;

	for (; sw; sw = sw->next) {
		unsigned left = sw->n_ports;

		if (!settings_refresh(sw))
			continue;
		any = true;
		for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
			if (!sw->ports[i])
				continue;
			left--;
			refresh_port(ctl, sw->ports[i]);
		}
	}
	if (any)
		control_changed(ctl);
}

void control_switch_del(struct control *ctl, struct vswitch *sw)
{
	char name[PORT_NAME_SIZE];
	const char *full;
	json_t *params;
	void *next;

	strcpy(name, sw->name);
	json_object_foreach_safe(ctl->reserved, next, full, params) {
		if (reserved_in(full, name))
			json_object_del(ctl->reserved, full);
	}
	missing_del_all(ctl, name);
	/* Keeps it while its ports go one by one. */
	sw->configured = true;
	for (unsigned i = 0; i < SWITCH_PORTS_MAX && sw->n_ports; i++) {
		if (sw->ports[i])
			control_port_close(ctl, sw->ports[i],
					   "its switch was deleted");
	}
	switch_destroy(sw);
	control_changed(ctl);
}

json_t *control_show_switch(struct control *ctl, struct vswitch *sw)
{
	json_t *object = switch_show(sw);
	unsigned n = sw->n_ports + control_n_reserved(ctl, sw->name);

	if (!object)
		return NULL;
	/* The contract's name of the member, whatever the core calls it. */
	if (json_object_set_new(object, "switch", json_string(sw->name)) ||
	    json_object_set_new(object, "ports", json_integer(n))) {
		json_decref(object);
		return NULL;
	}
	json_object_del(object, "name");
	return object;
}

json_t *control_show_port(struct control *ctl, struct port *port)
{
	json_t *object = port_show(port);
	bool client = port->ops->attach_info;

	if (!object)
		return NULL;
	if (json_object_set_new(object, "configured",
				json_boolean(port->configured)) ||
	    json_object_set_new(object, "attached",
				json_boolean(!client || port->owner))) {
		json_decref(object);
		return NULL;
	}
	return object;
}

json_t *control_show_reserved(const char *full, json_t *params)
{
	json_t *object = json_pack("{ss ss si si si sb sb s[] sb sb}", "port",
				   full, "driver", "shm", "in_rings", 0,
				   "out_rings", 0, "mtu", 0, "isolated", false,
				   "link", false, "offloads", "configured",
				   true, "attached", false);

	if (object && json_object_update(object, params)) {
		json_decref(object);
		return NULL;
	}
	if (object && !json_object_get(object, "mac"))
		json_object_set_new(object, "mac",
				    json_string("00:00:00:00:00:00"));
	return object;
}
