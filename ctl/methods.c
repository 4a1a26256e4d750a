// SPDX-License-Identifier: BSD-2-Clause
// methods.c - the control methods that make sense with and without a daemon.
#include "ctl/methods.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/balance.h"
#include "core/region.h"
#include "ctl/config.h"
#include "ctl/missing.h"
#include "lib/error.h"

#define KEYS(...) ((const char *const[]){ __VA_ARGS__, NULL })

struct method {
	const char *name;
	/* Members it knows; NULL: it checks them itself. */
	const char *const *keys;
	int (*run)(struct control *ctl, json_t *params, json_t **result,
		   struct glen_error *error);
};

int method_need(json_t *params, const char *key, const char **value,
		struct glen_error *error)
{
	int err = params_str(params, key, value, error);

	if (!err && !*value)
		err = error_set(error, -EINVAL, "parameter '%s' is missing",
				key);
	return err;
}

json_t *method_rest(json_t *params, const char *const *without)
{
	json_t *rest = params ? json_copy(params) : json_object();

	for (; rest && *without; without++)
		json_object_del(rest, *without);
	return rest;
}

/* Turns a missing object into an error. */
static int done(json_t *object, json_t **result, struct glen_error *error)
{
	*result = object;
	return object ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/*
 * Appends and takes object, also where there is no list; returns NULL (and
 * frees list) on failure.
 */
static json_t *append(json_t *list, json_t *object)
{
	if (!json_array_append_new(list, object))
		return list;
	json_decref(list);
	return NULL;
}

/* options must be an object if given. */
static int get_options(json_t *params, json_t **options,
		       struct glen_error *error)
{
	*options = json_object_get(params, "options");
	if (*options && !json_is_object(*options))
		return error_set(error, -EINVAL, "options must be an object");
	return 0;
}

/* The switch that params names. */
static int get_switch(struct control *ctl, json_t *params, struct vswitch **sw,
		      struct glen_error *error)
{
	const char *name;
	int err = method_need(params, "switch", &name, error);

	if (err)
		return err;
	*sw = control_switch(ctl, name, error);
	return *sw ? 0 : -ENOENT;
}

static int switch_add(struct control *ctl, json_t *params, json_t **result,
		      struct glen_error *error)
{
	const char *name, *module;
	struct vswitch *sw;
	json_t *options;
	int err = method_need(params, "switch", &name, error);

	if (!err)
		err = params_str(params, "module", &module, error);
	if (!err)
		err = get_options(params, &options, error);
	if (err)
		return err;
	sw = switch_find(ctl->engine, name);
	if (sw && sw->configured)
		return error_set(error, -EEXIST, "switch %s exists already",
				 name);
	/* A switch that came with a port may become a configured one. */
	if (sw && (module || options))
		err = switch_set_module(sw, module ? module : "learn", options,
					error);
	else if (!sw)
		err = switch_create(ctl->engine, name,
				    module ? module : "learn", options, &sw,
				    error);
	if (err)
		return err;
	sw->configured = true;
	control_changed(ctl);
	return done(control_show_switch(ctl, sw), result, error);
}

static int switch_del(struct control *ctl, json_t *params, json_t **result,
		      struct glen_error *error)
{
	struct vswitch *sw;
	int err = get_switch(ctl, params, &sw, error);

	if (err)
		return err;
	control_switch_del(ctl, sw);
	return done(json_object(), result, error);
}

static int switch_list(struct control *ctl, json_t *params, json_t **result,
		       struct glen_error *error)
{
	struct vswitch *sw = engine_switches(ctl->engine);
	json_t *list = json_array();

	for (; sw && list; sw = sw->next)
		list = append(list, control_show_switch(ctl, sw));
	return done(list, result, error);
}

static int method_switch_show(struct control *ctl, json_t *params,
			      json_t **result, struct glen_error *error)
{
	struct vswitch *sw;
	int err = get_switch(ctl, params, &sw, error);

	if (err)
		return err;
	return done(control_show_switch(ctl, sw), result, error);
}

/* The names of the switches that have this module. */
static json_t *users_of(struct control *ctl, const struct module *m)
{
	struct vswitch *sw = engine_switches(ctl->engine);
	json_t *list = json_array();

	for (; sw; sw = sw->next)
		if (sw->module->module == m)
			json_array_append_new(list, json_string(sw->name));
	return list;
}

static json_t *show_module(struct control *ctl, const struct module *m)
{
	const struct glen_module *ops = &m->ops;
	char abi[16];

	snprintf(abi, sizeof(abi), "%u.%u", ops->abi_major, ops->abi_minor);
	return json_pack("{ss ss ss ss ss ss* so}", "module", ops->name,
			 "version", ops->version, "abi", abi, "summary",
			 ops->summary, "options",
			 ops->options ? ops->options : "", "path", m->path,
			 "switches", users_of(ctl, m));
}

static int module_list(struct control *ctl, json_t *params, json_t **result,
		       struct glen_error *error)
{
	const struct module *m = module_next(NULL);
	json_t *list = json_array();

	for (; m && list; m = module_next(m))
		list = append(list, show_module(ctl, m));
	return done(list, result, error);
}

/*
 * The options a switch gets: with the module it has, those that are not named
 * stay what they are. Whoever sets one must not lose a flood limit over it.
 */
static json_t *merge_options(const struct vswitch *sw, const char *module,
			     json_t *options)
{
	json_t *merged = NULL;

	if (!strcmp(module, sw->module->ops->name))
		merged = json_copy(sw->module_params);
	if (!merged)
		merged = json_object();
	if (merged && options && json_object_update(merged, options)) {
		json_decref(merged);
		return NULL;
	}
	return merged;
}

static int method_module_set(struct control *ctl, json_t *params,
			     json_t **result, struct glen_error *error)
{
	struct vswitch *sw;
	const char *module;
	json_t *options, *merged;
	bool replace;
	int err = get_switch(ctl, params, &sw, error);

	if (!err)
		err = method_need(params, "module", &module, error);
	if (!err)
		err = params_bool(params, "replace", false, &replace, error);
	if (!err)
		err = get_options(params, &options, error);
	if (err)
		return err;
	merged = merge_options(sw, module, options);
	if (!merged)
		return error_set(error, -ENOMEM, "out of memory");
	err = replace ? switch_replace_module(sw, module, merged, error) :
			switch_set_module(sw, module, merged, error);
	json_decref(merged);
	if (err)
		return err;
	control_changed(ctl);
	return done(control_show_switch(ctl, sw), result, error);
}

static int method_module_show(struct control *ctl, json_t *params,
			      json_t **result, struct glen_error *error)
{
	struct vswitch *sw;
	int err = get_switch(ctl, params, &sw, error);

	if (err)
		return err;
	return done(json_pack("{ss ss so}", "switch", sw->name, "module",
			      sw->module->ops->name, "options",
			      module_show(sw->module)),
		    result, error);
}

static int driver_list(struct control *ctl, json_t *params, json_t **result,
		       struct glen_error *error)
{
	const struct port_ops *const *d = port_drivers();
	json_t *list = json_array();

	for (; *d && list; d++)
		list = append(list,
			      json_pack("{ss ss ss}", "driver", (*d)->name,
					"summary", (*d)->summary, "options",
					(*d)->options));
	return done(list, result, error);
}

/* The port object by name, whether open, reserved or missing. */
static int show_port(struct control *ctl, const char *full, json_t **result,
		     struct glen_error *error)
{
	struct port *port = control_port(ctl, full, error);
	json_t *reserved = control_reserved(ctl, full);
	json_t *missing = missing_find(ctl, full);

	if (missing)
		return done(missing_show(full, missing), result, error);
	if (port)
		return done(control_show_port(ctl, port), result, error);
	if (reserved)
		return done(control_show_reserved(full, reserved), result,
			    error);
	return error->code;
}

static int port_add(struct control *ctl, json_t *params, json_t **result,
		    struct glen_error *error)
{
	const char *full, *driver;
	json_t *options;
	int err = method_need(params, "port", &full, error);

	if (!err)
		err = method_need(params, "driver", &driver, error);
	if (err)
		return err;
	options = method_rest(params, KEYS("port", "driver"));
	if (!options)
		return error_set(error, -ENOMEM, "out of memory");
	err = control_port_add(ctl, full, driver, options, error);
	json_decref(options);
	return err ? err : show_port(ctl, full, result, error);
}

static int method_port_set(struct control *ctl, json_t *params, json_t **result,
			   struct glen_error *error)
{
	const char *full;
	json_t *options;
	int err = method_need(params, "port", &full, error);

	if (err)
		return err;
	options = method_rest(params, KEYS("port"));
	if (!options)
		return error_set(error, -ENOMEM, "out of memory");
	err = control_port_set(ctl, full, options, error);
	json_decref(options);
	return err ? err : show_port(ctl, full, result, error);
}

static int port_del(struct control *ctl, json_t *params, json_t **result,
		    struct glen_error *error)
{
	const char *full;
	int err = method_need(params, "port", &full, error);

	if (!err)
		err = control_port_del(ctl, full, error);
	return err ? err : done(json_object(), result, error);
}

static int method_port_show(struct control *ctl, json_t *params,
			    json_t **result, struct glen_error *error)
{
	const char *full;
	int err = method_need(params, "port", &full, error);

	return err ? err : show_port(ctl, full, result, error);
}

/* Appends the ports of one switch. */
static json_t *list_ports(struct control *ctl, json_t *list, struct vswitch *sw)
{
	unsigned left = sw->n_ports;

	for (unsigned i = 0; left && i < SWITCH_PORTS_MAX && list; i++) {
		if (!sw->ports[i])
			continue;
		left--;
		list = append(list, control_show_port(ctl, sw->ports[i]));
	}
	return list;
}

/* Appends the reservations without a client, of one switch or all (NULL). */
static json_t *list_reserved(struct control *ctl, json_t *list, const char *sw)
{
	struct control_name name;
	const char *full;
	json_t *params;

	json_object_foreach(ctl->reserved, full, params) {
		struct vswitch *s;

		if (control_split(full, &name, NULL))
			continue;
		if (sw && strcmp(sw, name.sw))
			continue;
		s = switch_find(ctl->engine, name.sw);
		if (s && port_find(s, name.port))
			continue;
		list = append(list, control_show_reserved(full, params));
		if (!list)
			break;
	}
	return list;
}

/* Appends the ports that could not be opened. */
static json_t *list_missing(struct control *ctl, json_t *list, const char *sw)
{
	struct control_name name;
	const char *full;
	json_t *entry;

	json_object_foreach(ctl->missing, full, entry) {
		if (control_split(full, &name, NULL) ||
		    (sw && strcmp(sw, name.sw)))
			continue;
		list = append(list, missing_show(full, entry));
		if (!list)
			break;
	}
	return list;
}

static int port_list(struct control *ctl, json_t *params, json_t **result,
		     struct glen_error *error)
{
	json_t *list = json_array();
	struct vswitch *sw = NULL;
	const char *name;
	int err = params_str(params, "switch", &name, error);

	if (!err && name && !(sw = control_switch(ctl, name, error)))
		err = -ENOENT;
	if (err) {
		json_decref(list);
		return err;
	}
	if (sw)
		list = list_ports(ctl, list, sw);
	for (sw = name ? NULL : engine_switches(ctl->engine); sw && list;
	     sw = sw->next)
		list = list_ports(ctl, list, sw);
	if (list)
		list = list_reserved(ctl, list, name);
	if (list)
		list = list_missing(ctl, list, name);
	return done(list, result, error);
}

/* Adds what a port (or the ports that are gone) counted. */
struct sums {
	uint64_t in_packets, replicated, out_packets, drops;
};

static void sums_add(struct sums *sums, const struct counters *in,
		     const struct counters *out)
{
	sums->in_packets += in->packets;
	sums->replicated += in->replicated + out->replicated;
	sums->out_packets += out->packets;
	for (unsigned i = 0; i < DROP_MAX; i++)
		sums->drops += in->drops[i] + out->drops[i];
}

/* The totals of a switch, ports that are gone included. */
static json_t *switch_sums(struct vswitch *sw)
{
	struct sums sums = { 0 };
	unsigned left = sw->n_ports;
	struct counters in, out;

	sums_add(&sums, &sw->gone, &sw->gone_out);
	for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
		if (!sw->ports[i])
			continue;
		left--;
		memset(&in, 0, sizeof(in));
		memset(&out, 0, sizeof(out));
		port_counters(sw->ports[i], -1, &in, &out);
		sums_add(&sums, &in, &out);
	}
	return json_pack("{ss sI sI sI sI}", "switch", sw->name, "in_packets",
			 (json_int_t)sums.in_packets, "replicated",
			 (json_int_t)sums.replicated, "out_packets",
			 (json_int_t)sums.out_packets, "drops",
			 (json_int_t)sums.drops);
}

/* Ports and totals of one switch. */
static void stats_of_switch(struct vswitch *sw, bool rings, json_t **ports,
			    json_t **switches)
{
	unsigned left = sw->n_ports;

	*switches = append(*switches, switch_sums(sw));
	for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
		if (!sw->ports[i])
			continue;
		left--;
		*ports = append(*ports, port_stats(sw->ports[i], rings));
	}
}

static int stats(struct control *ctl, json_t *params, json_t **result,
		 struct glen_error *error)
{
	const char *full = NULL, *name = NULL;
	json_t *ports, *switches;
	struct vswitch *sw = NULL;
	struct port *port = NULL;
	struct timespec now;
	bool rings = false;
	int err = params_str(params, "port", &full, error);

	if (!err)
		err = params_str(params, "switch", &name, error);
	if (!err)
		err = params_bool(params, "rings", false, &rings, error);
	if (!err && full && !(port = control_port(ctl, full, error)))
		err = error->code;
	if (!err && name && !(sw = control_switch(ctl, name, error)))
		err = -ENOENT;
	if (err)
		return err;
	ports = json_array();
	switches = json_array();
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (port)
		ports = append(ports, port_stats(port, rings));
	if (sw)
		stats_of_switch(sw, rings, &ports, &switches);
	for (sw = full || name ? NULL : engine_switches(ctl->engine); sw;
	     sw = sw->next)
		stats_of_switch(sw, rings, &ports, &switches);
	return done(json_pack("{sI so so}", "now_ns",
			      (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec,
			      "ports", ports, "switches", switches),
		    result, error);
}

static int worker_show(struct control *ctl, json_t *params, json_t **result,
		       struct glen_error *error)
{
	return done(balance_show(ctl->engine), result, error);
}

static int method_region_list(struct control *ctl, json_t *params,
			      json_t **result, struct glen_error *error)
{
	return done(region_list(ctl->engine), result, error);
}

static int config_get(struct control *ctl, json_t *params, json_t **result,
		      struct glen_error *error)
{
	return done(control_config(ctl), result, error);
}

/* A method of the module of the switch that params names. */
static int method_of_module(struct control *ctl, const char *method,
			    json_t *params, json_t **result,
			    struct glen_error *error)
{
	struct vswitch *sw;
	json_t *rest;
	int err;

	if (strncmp(method, "fdb.", 4) && !json_object_get(params, "switch"))
		return -ENOSYS;
	err = get_switch(ctl, params, &sw, error);
	if (err)
		return err;
	rest = method_rest(params, KEYS("switch"));
	if (!rest)
		return error_set(error, -ENOMEM, "out of memory");
	err = module_command(sw->module, method, rest, result, error);
	json_decref(rest);
	if (!err)
		control_refresh(ctl);
	if (err == -ENOSYS && !strncmp(method, "fdb.", 4))
		err = error_set(error, -EOPNOTSUPP,
				"module %s of switch %s has no table of "
				"addresses",
				sw->module->ops->name, sw->name);
	if (err == -ENOSYS && !strncmp(method, "vlan.", 5))
		err = error_set(error, -EOPNOTSUPP,
				"module %s of switch %s knows no VLANs",
				sw->module->ops->name, sw->name);
	if (err == -ENOSYS && !strncmp(method, "tuple3.", 7))
		err = error_set(error, -EOPNOTSUPP,
				"module %s of switch %s knows no claims",
				sw->module->ops->name, sw->name);
	return err;
}

static const char *const no_keys[] = { NULL };
static const char *const switch_key[] = { "switch", NULL };
static const char *const port_key[] = { "port", NULL };
static const char *const switch_module_keys[] = { "switch", "module", "options",
						  NULL };
static const char *const module_set_keys[] = { "switch", "module", "options",
					       "replace", NULL };
static const char *const stats_keys[] = { "port", "switch", "rings", NULL };

static const struct method methods[] = {
	{ "config.get", no_keys, config_get },
	{ "driver.list", no_keys, driver_list },
	{ "module.list", no_keys, module_list },
	{ "module.set", module_set_keys, method_module_set },
	{ "module.show", switch_key, method_module_show },
	{ "port.add", NULL, port_add },
	{ "port.del", port_key, port_del },
	{ "port.list", switch_key, port_list },
	{ "port.set", NULL, method_port_set },
	{ "port.show", port_key, method_port_show },
	{ "region.list", no_keys, method_region_list },
	{ "stats", stats_keys, stats },
	{ "switch.add", switch_module_keys, switch_add },
	{ "switch.del", switch_key, switch_del },
	{ "switch.list", no_keys, switch_list },
	{ "switch.show", switch_key, method_switch_show },
	{ "worker.show", no_keys, worker_show },
};

int method_call(struct control *ctl, const char *method, json_t *params,
		json_t **result, struct glen_error *error)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		const struct method *m = &methods[i];
		int err = 0;

		if (strcmp(m->name, method))
			continue;
		if (m->keys)
			err = params_check(params, m->keys, error);
		return err ? err : m->run(ctl, params, result, error);
	}
	return method_of_module(ctl, method, params, result, error);
}
