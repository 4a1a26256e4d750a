// SPDX-License-Identifier: BSD-2-Clause
// config.c - compares a configuration with the running one and applies it.
#include "ctl/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/settings.h"
#include "ctl/missing.h"
#include "lib/error.h"

enum { STEP_TEXT_SIZE = 200 };

/* In the order in which they run. */
enum step_kind {
	STEP_DEL_PORT,
	STEP_DEL_SWITCH,
	STEP_ADD_SWITCH,
	STEP_KEEP_SWITCH, /* it came with a port; now it is configured */
	STEP_SET_MODULE,
	STEP_SET_PORT,
	STEP_REPLACE_PORT,
	STEP_ADD_PORT,
	STEP_N,
};

/* One thing to change, and what undoes it. */
struct step {
	enum step_kind kind;
	char name[GLEN_NAME_MAX + 1]; /* switch, or switch:port */
	json_t *from; /* borrowed from the running configuration; or NULL */
	json_t *to;   /* borrowed from the wanted configuration; or NULL */
	json_t *set;  /* owned: what STEP_SET_PORT changes */
};

struct plan {
	struct step *steps;
	size_t n, size;
	struct control *ctl;
	struct glen_error *error;
};

/* Running configuration */

/* The options of a configured port with the driver's name in front. */
static json_t *port_config(const char *driver, json_t *params)
{
	json_t *object = json_pack("{ss}", "driver", driver);

	if (object && params && json_object_update(object, params)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* The ports that the switch has itself; reservations come later. */
static json_t *switch_ports(struct vswitch *sw)
{
	json_t *ports = json_object();

	for (unsigned i = 0, left = sw->n_ports; left; i++) {
		struct port *port = sw->ports[i];

		if (!port)
			continue;
		left--;
		if (!port->configured || port->ops->attach_info)
			continue;
		if (json_object_set_new(ports, port->name,
					port_config(port->ops->name,
						    port->params))) {
			json_decref(ports);
			return NULL;
		}
	}
	return ports;
}

static json_t *switch_config(struct vswitch *sw)
{
	json_t *object = json_pack("{ss so}", "module", sw->module->ops->name,
				   "ports", switch_ports(sw));

	if (object && json_object_size(sw->module_params) &&
	    json_object_set(object, "options", sw->module_params)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* One pass over all reservations: a pass per switch takes too long. */
static int add_reserved(struct control *ctl, json_t *switches)
{
	struct control_name name;
	const char *full;
	json_t *params;

	json_object_foreach(ctl->reserved, full, params) {
		json_t *object;

		if (control_split(full, &name, NULL))
			continue;
		object = json_object_get(switches, name.sw);
		if (object &&
		    json_object_set_new(json_object_get(object, "ports"),
					name.port, port_config("shm", params)))
			return -ENOMEM;
	}
	return 0;
}

json_t *control_config(struct control *ctl)
{
	struct vswitch *sw = engine_switches(ctl->engine);
	json_t *switches = json_object();

	for (; sw; sw = sw->next)
		if (json_object_set_new(switches, sw->name, switch_config(sw)))
			goto err_switches;
	if (add_reserved(ctl, switches) || missing_config(ctl, switches))
		goto err_switches;
	/* A switch that came with a client's port goes with it. */
	for (sw = engine_switches(ctl->engine); sw; sw = sw->next)
		if (!sw->configured &&
		    !json_object_size(
			    json_object_get(json_object_get(switches, sw->name),
					    "ports")))
			json_object_del(switches, sw->name);
	return json_pack("{so}", "switches", switches);

err_switches:
	json_decref(switches);
	return NULL;
}

/* Comparison */

static bool is_default(const char *key, json_t *value)
{
	const char *text = json_string_value(value);

	if (!value)
		return true;
	if (!strcmp(key, "mtu"))
		return json_is_integer(value) && !json_integer_value(value);
	if (!strcmp(key, "isolated"))
		return json_is_false(value);
	if (!strcmp(key, "workers"))
		return text && !strcmp(text, "auto");
	if (!strcmp(key, "mac"))
		return text && !strcmp(text, "00:00:00:00:00:00");
	return false;
}

/* What port.set is told to bring back the default; NULL: it cannot. */
static json_t *default_of(const char *key)
{
	if (settings_named(key))
		return json_null();
	if (!strcmp(key, "mtu"))
		return json_integer(0);
	if (!strcmp(key, "isolated"))
		return json_false();
	if (!strcmp(key, "workers"))
		return json_string("auto");
	if (!strcmp(key, "mac"))
		return json_string("00:00:00:00:00:00");
	return NULL;
}

json_t *config_port_diff(json_t *from, json_t *to, bool *replace)
{
	json_t *set = json_object(), *value;
	const char *key;
	int err = 0;

	*replace = false;
	json_object_foreach(to, key, value) {
		json_t *old = json_object_get(from, key);

		if (json_equal(old, value) ||
		    (is_default(key, old) && is_default(key, value)))
			continue;
		if (settings_named(key)) {
			err |= settings_diff(set, key, old, value);
			continue;
		}
		if (!strcmp(key, "driver"))
			*replace = true;
		err |= json_object_set(set, key, value);
	}
	json_object_foreach(from, key, value) {
		json_t *def;

		if (json_object_get(to, key) || is_default(key, value))
			continue;
		def = default_of(key);
		if (def)
			err |= json_object_set_new(set, key, def);
		else
			*replace = true;
	}
	if (!err)
		return set;
	json_decref(set);
	return NULL;
}

static int plan_add(struct plan *p, enum step_kind kind, const char *sw,
		    const char *port, json_t *from, json_t *to, json_t *set)
{
	struct step *s;

	if (p->n == p->size) {
		size_t size = p->size ? 2 * p->size : 64;

		s = reallocarray(p->steps, size, sizeof(*s));
		if (!s) {
			json_decref(set);
			return error_set(p->error, -ENOMEM, "out of memory");
		}
		p->steps = s;
		p->size = size;
	}
	s = &p->steps[p->n++];
	*s = (struct step){ .kind = kind, .from = from, .to = to, .set = set };
	snprintf(s->name, sizeof(s->name), "%.31s%s%.31s", sw, port ? ":" : "",
		 port ? port : "");
	return 0;
}

static void plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->steps[i].set);
	free(p->steps);
}

static const char *module_of(json_t *sw)
{
	json_t *name = json_object_get(sw, "module");

	return name ? json_string_value(name) : "learn";
}

/* Options of a module: none and {} are the same. */
static bool options_equal(json_t *a, json_t *b)
{
	a = json_object_get(a, "options");
	b = json_object_get(b, "options");
	if (!json_object_size(a) || !json_object_size(b))
		return json_object_size(a) == json_object_size(b);
	return json_equal(a, b);
}

static int plan_port(struct plan *p, const char *sw, const char *name,
		     json_t *from, json_t *to)
{
	enum step_kind kind = STEP_SET_PORT;
	bool replace;
	json_t *set;

	if (!from)
		return plan_add(p, STEP_ADD_PORT, sw, name, NULL, to, NULL);
	set = config_port_diff(from, to, &replace);
	if (!set)
		return error_set(p->error, -ENOMEM, "out of memory");
	if (!replace && !json_object_size(set)) {
		json_decref(set);
		return 0;
	}
	if (replace)
		kind = STEP_REPLACE_PORT;
	return plan_add(p, kind, sw, name, from, to, set);
}

/* Steps for a switch that is wanted. */
static int plan_switch(struct plan *p, const char *name, json_t *from,
		       json_t *to)
{
	struct vswitch *sw = switch_find(p->ctl->engine, name);
	json_t *had = json_object_get(from, "ports"), *value;
	json_t *want = json_object_get(to, "ports");
	json_t *running = NULL;
	const char *key;
	int err = 0;

	if (!sw)
		err = plan_add(p, STEP_ADD_SWITCH, name, NULL, NULL, to, NULL);
	else if (!sw->configured)
		err = plan_add(p, STEP_KEEP_SWITCH, name, NULL, NULL, to, NULL);
	if (sw && !err) {
		running = json_pack("{ss sO*}", "module", sw->module->ops->name,
				    "options", sw->module_params);
		if (strcmp(sw->module->ops->name, module_of(to)) ||
		    !options_equal(running, to))
			err = plan_add(p, STEP_SET_MODULE, name, NULL, NULL, to,
				       running);
		else
			json_decref(running);
	}
	json_object_foreach(want, key, value) {
		if (!err)
			err = plan_port(p, name, key, json_object_get(had, key),
					value);
	}
	json_object_foreach(had, key, value) {
		if (!err && !json_object_get(want, key))
			err = plan_add(p, STEP_DEL_PORT, name, key, value, NULL,
				       NULL);
	}
	return err;
}

/* Steps for a switch that is wanted no more. */
static int plan_gone(struct plan *p, const char *name, json_t *from)
{
	json_t *had = json_object_get(from, "ports"), *value;
	const char *key;
	int err = 0;

	json_object_foreach(had, key, value) {
		if (!err)
			err = plan_add(p, STEP_DEL_PORT, name, key, value, NULL,
				       NULL);
	}
	if (!err)
		err = plan_add(p, STEP_DEL_SWITCH, name, NULL, from, NULL,
			       NULL);
	return err;
}

static int by_kind(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	/* Equal kinds in the order of their names, for readers of changes. */
	return strcmp(x->name, y->name);
}

static int plan_make(struct plan *p, json_t *had, json_t *want)
{
	json_t *value;
	const char *key;
	int err = 0;

	had = json_object_get(had, "switches");
	want = json_object_get(want, "switches");
	json_object_foreach(want, key, value) {
		if (!err)
			err = plan_switch(p, key, json_object_get(had, key),
					  value);
	}
	json_object_foreach(had, key, value) {
		if (!err && !json_object_get(want, key))
			err = plan_gone(p, key, value);
	}
	if (!err && p->n)
		qsort(p->steps, p->n, sizeof(*p->steps), by_kind);
	return err;
}

/* A port of a client stands where a port of another driver is wanted. */
static int plan_conflict(struct plan *p, struct config_where *where)
{
	for (size_t i = 0; i < p->n; i++) {
		struct step *s = &p->steps[i];
		struct control_name name;
		struct glen_error ignored;
		struct port *port;

		if (s->kind != STEP_ADD_PORT)
			continue;
		port = control_port(p->ctl, s->name, &ignored);
		if (!port || (port->ops->attach_info &&
			      !strcmp(json_string_value(
					      json_object_get(s->to, "driver")),
				      "shm")))
			continue;
		if (!control_split(s->name, &name, NULL))
			snprintf(where->path, sizeof(where->path),
				 "switches/%s/ports/%s", name.sw, name.port);
		return error_set(p->error, -EBUSY,
				 "port %s is in use by a client; delete it "
				 "first (port.del)",
				 s->name);
	}
	return 0;
}

/* Steps */

/* "mtu, mac": the members that a step changes. */
static void list_keys(json_t *object, char *text, size_t size)
{
	size_t len = 0;
	const char *key;
	json_t *value;

	text[0] = '\0';
	json_object_foreach(object, key, value) {
		int n = snprintf(text + len, size - len, "%s%.30s",
				 len ? ", " : "", key);

		if (n < 0 || (size_t)n >= size - len)
			return;
		len += n;
	}
}

static void step_text(const struct step *s, char *text, size_t size)
{
	char keys[120];

	list_keys(s->set, keys, sizeof(keys));
	switch (s->kind) {
	case STEP_DEL_PORT:
		snprintf(text, size, "removed port %s", s->name);
		break;
	case STEP_DEL_SWITCH:
		snprintf(text, size, "removed switch %s", s->name);
		break;
	case STEP_ADD_SWITCH:
		snprintf(text, size, "added switch %s (module %s)", s->name,
			 module_of(s->to));
		break;
	case STEP_KEEP_SWITCH:
		snprintf(text, size, "made switch %s permanent", s->name);
		break;
	case STEP_SET_MODULE:
		snprintf(text, size, "set module %s of switch %s",
			 module_of(s->to), s->name);
		break;
	case STEP_SET_PORT:
		snprintf(text, size, "changed port %s (%s)", s->name, keys);
		break;
	case STEP_REPLACE_PORT:
		snprintf(text, size, "replaced port %s", s->name);
		break;
	case STEP_ADD_PORT:
	case STEP_N:
		snprintf(text, size, "added port %s", s->name);
		break;
	}
}

/* Adds a port from its member of a configuration. */
static int add_port(struct control *ctl, const char *full, json_t *object,
		    struct glen_error *error)
{
	const char *driver = json_string_value(
		json_object_get(object, "driver"));
	json_t *params = json_copy(object);
	int err;

	if (!params)
		return error_set(error, -ENOMEM, "out of memory");
	json_object_del(params, "driver");
	err = control_port_add(ctl, full, driver, params, error);
	json_decref(params);
	return err;
}

/* Adds a port that was there before; if that fails it is tried again. */
static int put_back(struct control *ctl, const char *full, json_t *object,
		    struct glen_error *error)
{
	struct glen_error later;
	bool is_new;
	json_t *params;
	int err = add_port(ctl, full, object, error);

	if (!err || !ctl->missing)
		return err;
	params = json_copy(object);
	json_object_del(params, "driver");
	if (params &&
	    !missing_add(ctl, full,
			 json_string_value(json_object_get(object, "driver")),
			 params, &later))
		missing_try(ctl, full, &is_new, &later);
	json_decref(params);
	return err;
}

/* Takes a port out of the configuration. A client that has a reserved port
 * open keeps it until it goes. */
static int del_port(struct control *ctl, const char *full,
		    struct glen_error *error)
{
	struct glen_error ignored;
	struct port *port = control_port(ctl, full, &ignored);
	struct control_name name;
	int err = control_split(full, &name, error);

	if (err)
		return err;
	if (!control_reserved(ctl, full))
		return control_port_del(ctl, full, error);
	json_object_del(ctl->reserved, full);
	if (!port) {
		control_switch_release(ctl, name.sw);
		return 0;
	}
	port->configured = false;
	return control_save_params(ctl, port, error);
}

static int replace_port(struct control *ctl, const char *full, json_t *from,
			json_t *to, struct glen_error *error)
{
	struct glen_error again;
	int err = del_port(ctl, full, error);

	if (err)
		return err;
	err = add_port(ctl, full, to, error);
	if (err && put_back(ctl, full, from, &again))
		error_set(error, err,
			  "%.120s (and port %s could not be put "
			  "back: %.80s)",
			  error->text, full, again.text);
	return err;
}

/* Can be changed while a client has the port open. */
static bool is_live(const char *key)
{
	return !strcmp(key, "mtu") || !strcmp(key, "mac") ||
	       !strcmp(key, "isolated") || !strcmp(key, "workers") ||
	       settings_named(key);
}

/* A reservation takes all new options; a client that is attached gets those
 * that can change while the port is open. */
static int set_reserved(struct control *ctl, const char *full, json_t *set,
			json_t *to, struct glen_error *error)
{
	struct glen_error ignored;
	struct port *port = control_port(ctl, full, &ignored);
	json_t *params = json_object();
	json_t *now = json_object(), *value;
	const char *key;
	int err = 0;

	if (!params || !now || settings_merge(params, to))
		err = error_set(error, -ENOMEM, "out of memory");
	json_object_del(params, "driver");
	json_object_foreach(set, key, value) {
		if (is_live(key) && json_object_set(now, key, value))
			err = error_set(error, -ENOMEM, "out of memory");
	}
	if (!err && port && json_object_size(now))
		err = control_port_set(ctl, full, now, error);
	if (!err && json_object_set(ctl->reserved, full, params))
		err = error_set(error, -ENOMEM, "out of memory");
	json_decref(now);
	json_decref(params);
	return err;
}

static int change_port(struct control *ctl, struct step *s,
		       struct glen_error *error)
{
	struct glen_error first;

	if (control_reserved(ctl, s->name))
		return set_reserved(ctl, s->name, s->set, s->to, error);
	if (!control_port_set(ctl, s->name, s->set, &first))
		return 0;
	/* What the driver cannot change in place may work from anew. */
	s->kind = STEP_REPLACE_PORT;
	return replace_port(ctl, s->name, s->from, s->to, error);
}

static int set_module(struct control *ctl, const char *name, json_t *object,
		      struct glen_error *error)
{
	struct vswitch *sw = control_switch(ctl, name, error);

	if (!sw)
		return -ENOENT;
	return switch_set_module(sw, module_of(object),
				 json_object_get(object, "options"), error);
}

static int set_configured(struct control *ctl, const char *name,
			  bool configured, struct glen_error *error)
{
	struct vswitch *sw = control_switch(ctl, name, error);

	if (!sw)
		return -ENOENT;
	sw->configured = configured;
	control_switch_release(ctl, name);
	return 0;
}

static int add_switch(struct control *ctl, const char *name, json_t *object,
		      struct glen_error *error)
{
	struct vswitch *sw;
	int err = switch_create(ctl->engine, name, module_of(object),
				json_object_get(object, "options"), &sw, error);

	if (!err)
		sw->configured = true;
	return err;
}

static int step_do(struct control *ctl, struct step *s,
		   struct glen_error *error)
{
	switch (s->kind) {
	case STEP_DEL_PORT:
		return del_port(ctl, s->name, error);
	case STEP_DEL_SWITCH:
		/* Gone with its last port if it was not configured. */
		if (switch_find(ctl->engine, s->name))
			return set_configured(ctl, s->name, false, error);
		return 0;
	case STEP_ADD_SWITCH:
		return add_switch(ctl, s->name, s->to, error);
	case STEP_KEEP_SWITCH:
		/* Removing its last port may have removed it. */
		if (!switch_find(ctl->engine, s->name))
			return add_switch(ctl, s->name, s->to, error);
		return set_configured(ctl, s->name, true, error);
	case STEP_SET_MODULE:
		return set_module(ctl, s->name, s->to, error);
	case STEP_SET_PORT:
		return change_port(ctl, s, error);
	case STEP_REPLACE_PORT:
		return replace_port(ctl, s->name, s->from, s->to, error);
	case STEP_ADD_PORT:
		return add_port(ctl, s->name, s->to, error);
	case STEP_N:
		break;
	}
	return 0;
}

/* The old options of a port that STEP_SET_PORT changed. */
static int unset_port(struct control *ctl, struct step *s,
		      struct glen_error *error)
{
	bool replace;
	json_t *set = config_port_diff(s->to, s->from, &replace);
	struct step back = {
		.kind = STEP_SET_PORT, .from = s->to, .to = s->from, .set = set
	};
	int err;

	if (!set)
		return error_set(error, -ENOMEM, "out of memory");
	memcpy(back.name, s->name, sizeof(back.name));
	err = replace ? replace_port(ctl, s->name, s->to, s->from, error) :
			change_port(ctl, &back, error);
	json_decref(set);
	return err;
}

static int step_undo(struct control *ctl, struct step *s,
		     struct glen_error *error)
{
	switch (s->kind) {
	case STEP_DEL_PORT:
		return put_back(ctl, s->name, s->from, error);
	case STEP_DEL_SWITCH:
		if (!switch_find(ctl->engine, s->name))
			return add_switch(ctl, s->name, s->from, error);
		return set_configured(ctl, s->name, true, error);
	case STEP_ADD_SWITCH:
	case STEP_KEEP_SWITCH:
		return set_configured(ctl, s->name, false, error);
	case STEP_SET_MODULE:
		return set_module(ctl, s->name, s->set, error);
	case STEP_SET_PORT:
		return unset_port(ctl, s, error);
	case STEP_REPLACE_PORT:
		return replace_port(ctl, s->name, s->to, s->from, error);
	case STEP_ADD_PORT:
		return del_port(ctl, s->name, error);
	case STEP_N:
		break;
	}
	return 0;
}

/* Where a step is in the configuration that was given. */
static void step_where(const struct step *s, struct config_where *where)
{
	struct control_name name;

	if (strchr(s->name, ':') && !control_split(s->name, &name, NULL))
		snprintf(where->path, sizeof(where->path),
			 "switches/%s/ports/%s", name.sw, name.port);
	else
		snprintf(where->path, sizeof(where->path), "switches/%s",
			 s->name);
}

static int plan_run(struct plan *p, struct config_where *where)
{
	struct glen_error undo;
	size_t i;
	int err = 0;

	for (i = 0; i < p->n && !err; i++)
		err = step_do(p->ctl, &p->steps[i], p->error);
	if (!err)
		return 0;
	i--;
	step_where(&p->steps[i], where);
	while (i--) {
		if (step_undo(p->ctl, &p->steps[i], &undo))
			error_set(p->error, err,
				  "%.140s (and %s could not be "
				  "put back: %.60s)",
				  p->error->text, p->steps[i].name, undo.text);
	}
	return err;
}

static void plan_tell(const struct plan *p, json_t *changes)
{
	char text[STEP_TEXT_SIZE];

	for (size_t i = 0; i < p->n; i++) {
		step_text(&p->steps[i], text, sizeof(text));
		json_array_append_new(changes, json_string(text));
	}
}

int config_apply(struct control *ctl, json_t *config, bool dry_run,
		 json_t *changes, struct config_where *where,
		 struct glen_error *error)
{
	struct plan p = { .ctl = ctl, .error = error };
	json_t *had;
	int err = config_check(ctl, config, where, error);

	if (err)
		return err;
	where->path[0] = '\0';
	had = control_config(ctl);
	if (!had)
		return error_set(error, -ENOMEM, "out of memory");
	err = plan_make(&p, had, config);
	if (!err)
		err = plan_conflict(&p, where);
	if (!err && !dry_run) {
		err = plan_run(&p, where);
		control_changed(ctl);
	}
	if (!err)
		plan_tell(&p, changes);
	plan_fini(&p);
	json_decref(had);
	return err;
}
