// SPDX-License-Identifier: BSD-2-Clause
// config_check.c - refuses a configuration before anything is touched.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/balance.h"
#include "core/region.h"
#include "core/settings.h"
#include "ctl/config.h"
#include "lib/error.h"
#include "lib/layout.h"

enum { MTU_MIN = 68, MTU_MAX = PACKET_LEN_MAX - PACKET_LEN_MIN };

/* A configuration under check. */
struct check {
	struct control *ctl; /* NULL: without an engine */
	struct config_where *where;
	struct glen_error *error;
};

static int refuse(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(struct check *c, const char *format, ...)
{
	char text[sizeof(c->error->text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(c->error, -EINVAL, "%s", text);
}

static void at(struct check *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void at(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->where->path, sizeof(c->where->path), format, args);
	va_end(args);
}

/*
 * True if key is the name of an option in the driver's description, where each
 * is written as "name=". A description in another form knows all.
 */
static bool option_known(const char *options, const char *key)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	size_t len = strlen(key);
	bool any = false;

	while (options && *options) {
		size_t n = strspn(options, name);

		if (n && options[n] == '=') {
			any = true;
			if (n == len && !strncmp(options, key, len))
				return true;
		}
		options += n ? n : 1;
	}
	return !any;
}

static int check_mac(struct check *c, json_t *value)
{
	const char *text = json_string_value(value);
	unsigned b[6];
	char rest;

	if (!text || strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2],
		   &b[3], &b[4], &b[5], &rest) != 6)
		return refuse(c, "mac must be six bytes in hexadecimal such "
				 "as 02:00:00:00:00:01");
	if (b[0] & 1)
		return refuse(c,
			      "mac %s is a group address; the first byte "
			      "of a port's must be even",
			      text);
	return 0;
}

static int check_workers(struct check *c, json_t *value)
{
	struct port_pins pins;
	struct glen_error why;
	unsigned n = c->ctl ? engine_n_workers(c->ctl->engine) : 0;

	if (pins_parse(&pins, value, n, &why))
		return refuse(c, "%s", why.text);
	return 0;
}

/* An option that all drivers have; 1: it is none of them. */
static int check_common(struct check *c, const char *key, json_t *value)
{
	json_int_t mtu = json_integer_value(value);

	if (!strcmp(key, "mac"))
		return check_mac(c, value);
	if (!strcmp(key, "isolated")) {
		if (json_is_boolean(value))
			return 0;
		return refuse(c, "isolated must be true or false");
	}
	if (!strcmp(key, "mtu")) {
		if (json_is_integer(value) &&
		    (!mtu || (mtu >= MTU_MIN && mtu <= MTU_MAX)))
			return 0;
		return refuse(c, "mtu must be 0 (no limit) or from %d to %d",
			      MTU_MIN, MTU_MAX);
	}
	if (!strcmp(key, "workers"))
		return check_workers(c, value);
	return 1;
}

int config_check_reserved(json_t *params, struct glen_error *error)
{
	static const char *const known[] = {
		"mtu",		"mac",	   "isolated",	   "workers",
		"rings",	"slots",   "buf_size",	   "extra_bufs",
		"vnet_hdr_len", "region",  "region_token", "region_bufs",
		"swap",		"offsets", "marks",	   NULL
	};
	struct region_wish wish = { 0 };
	bool swap;
	struct config_where where;
	struct check c = { NULL, &where, error };
	long rings, slots, buf_size, extra, vnet;
	json_t *own = params ? json_copy(params) : json_object();
	struct layout layout;
	const char *key;
	json_t *value;
	int err = settings_check(params, error);

	if (!own)
		return error_set(error, -ENOMEM, "out of memory");
	settings_strip(own);
	err = err ?: params_check(own, known, error);
	json_decref(own);
	json_object_foreach(params, key, value) {
		if (!err && check_common(&c, key, value) < 0)
			err = -EINVAL;
	}
	err = err   ?:
		      params_int(params, "rings", 0, 0, GLEN_RINGS_MAX, &rings,
				 error);
	err = err   ?:
		      params_int(params, "slots", 0, 0, GLEN_SLOTS_MAX, &slots,
				 error);
	err = err   ?:
		      params_int(params, "buf_size", 0, 0, GLEN_BUF_MAX,
				 &buf_size, error);
	err = err   ?:
		      params_int(params, "extra_bufs", 0, 0,
				 GLEN_EXTRA_BUFS_MAX, &extra, error);
	err = err ?: params_int(params, "vnet_hdr_len", 0, 0, 12, &vnet, error);
	if (!err && vnet && vnet != 10 && vnet != 12)
		err = error_set(error, -EINVAL,
				"vnet_hdr_len must be 0, 10 or 12, not %ld",
				vnet);
	err = err ?: region_read(params, &wish, error);
	wish.buf_size = err ? 0 : buf_size;
	err = err ?: region_swap_read(params, &wish, false, vnet, &swap, error);
	err = err ?: params_bool(params, "offsets", false, &swap, error);
	err = err ?: params_bool(params, "marks", false, &swap, error);
	if (!err && wish.name)
		err = region_wish_check(&wish, error);
	return err   ?:
		       layout_init(&layout, rings, slots, buf_size, extra,
				   error);
}

static int check_shm(json_t *port, struct glen_error *error)
{
	json_t *params = json_copy(port);
	int err;

	if (!params)
		return error_set(error, -ENOMEM, "out of memory");
	json_object_del(params, "driver");
	err = config_check_reserved(params, error);
	json_decref(params);
	return err;
}

/* The settings of modules; *where names the module's member. */
static int check_settings(struct check *c, const char *sw, const char *name,
			  json_t *port)
{
	const char *key;
	json_t *value;
	int err;

	json_object_foreach(port, key, value) {
		json_t *one;

		if (!settings_named(key))
			continue;
		one = json_pack("{sO}", key, value);
		err = one ? settings_check(one, c->error) : -ENOMEM;
		json_decref(one);
		if (!err)
			continue;
		at(c, "switches/%s/ports/%s/%s", sw, name, key);
		return err;
	}
	return 0;
}

static int check_port(struct check *c, const char *sw, const char *name,
		      json_t *port)
{
	const struct port_ops *ops;
	const char *key, *driver;
	json_t *value;
	int err;

	at(c, "switches/%s/ports/%s", sw, name);
	if (!name_check("port", name, c->error))
		return -EINVAL;
	if (!json_is_object(port))
		return refuse(c,
			      "port %s:%s must have members, at least "
			      "driver",
			      sw, name);
	if (!json_object_get(port, "driver"))
		return refuse(c, "port %s:%s has no driver", sw, name);
	driver = json_string_value(json_object_get(port, "driver"));
	ops = driver ? port_driver_find(driver) : NULL;
	if (!ops) {
		at(c, "switches/%s/ports/%s/driver", sw, name);
		return refuse(c,
			      "there is no driver '%.40s'; glenctl driver "
			      "list names them",
			      driver ? driver : "?");
	}
	json_object_foreach(port, key, value) {
		at(c, "switches/%s/ports/%s/%.60s", sw, name, key);
		if (!strcmp(key, "driver"))
			continue;
		err = check_common(c, key, value);
		if (err < 0)
			return err;
		if (err && settings_named(key))
			continue;
		if (err && !option_known(ops->options, key))
			return refuse(c, "driver %s has no option '%.40s'",
				      driver, key);
	}
	at(c, "switches/%s/ports/%s", sw, name);
	err = check_settings(c, sw, name, port);
	if (err)
		return err;
	return strcmp(driver, "shm") ? 0 : check_shm(port, c->error);
}

/* True if the switch runs with just this module and options. */
static bool module_runs(struct check *c, const char *sw, const char *module,
			json_t *options)
{
	struct vswitch *s = c->ctl ? switch_find(c->ctl->engine, sw) : NULL;

	if (!s || strcmp(s->module->ops->name, module))
		return false;
	if (!json_object_size(options))
		return !json_object_size(s->module_params);
	return json_equal(s->module_params, options);
}

/* Makes an instance and throws it away: only the module knows its options. */
static int check_module(struct check *c, const char *sw, json_t *object)
{
	json_t *options = json_object_get(object, "options");
	json_t *name = json_object_get(object, "module");
	struct module_instance *instance = NULL;
	const char *text = "learn";
	int err;

	if (name) {
		at(c, "switches/%s/module", sw);
		text = json_string_value(name);
		if (!text)
			return refuse(c, "module must be a name");
	}
	if (!module_find(text) && module_refusal(text))
		return refuse(c, "module '%.32s' was refused at start: %s",
			      text, module_refusal(text));
	if (!module_find(text))
		return refuse(c,
			      "there is no module '%.40s'; glenctl module "
			      "list names them",
			      text);
	if (options) {
		at(c, "switches/%s/options", sw);
		if (!json_is_object(options))
			return refuse(c,
				      "options of switch %s must be "
				      "key: value members",
				      sw);
	}
	if (module_runs(c, sw, text, options))
		return 0;
	err = module_instance_create(NULL,
				     c->ctl ? engine_n_workers(c->ctl->engine) :
					      1,
				     text, options, &instance, c->error);
	module_instance_destroy(instance);
	return err;
}

static int check_switch(struct check *c, const char *name, json_t *object)
{
	static const char *const known[] = { "module", "options", "ports",
					     NULL };
	const char *key;
	json_t *value;
	int err;

	at(c, "switches/%s", name);
	if (!name_check("switch", name, c->error))
		return -EINVAL;
	if (!json_is_object(object))
		return refuse(c, "switch %s must have members (or be {})",
			      name);
	json_object_foreach(object, key, value) {
		const char *const *k = known;

		while (*k && strcmp(*k, key))
			k++;
		at(c, "switches/%s/%.60s", name, key);
		if (!*k)
			return refuse(c,
				      "a switch has no member '%.40s'; "
				      "known are: module, options, ports",
				      key);
	}
	err = check_module(c, name, object);
	if (err)
		return err;
	value = json_object_get(object, "ports");
	at(c, "switches/%s/ports", name);
	if (value && !json_is_object(value))
		return refuse(c,
			      "ports of switch %s must be name: {driver: "
			      "...} members",
			      name);
	if (json_object_size(value) > SWITCH_PORTS_MAX)
		return refuse(c, "switch %s has more than %d ports", name,
			      SWITCH_PORTS_MAX);
	json_object_foreach(value, key, object) {
		err = check_port(c, name, key, object);
		if (err)
			return err;
	}
	return 0;
}

int config_check(struct control *ctl, json_t *config,
		 struct config_where *where, struct glen_error *error)
{
	struct check c = { ctl, where, error };
	const char *key;
	json_t *value, *switches;
	int err;

	at(&c, "%s", "");
	if (!json_is_object(config))
		return refuse(&c, "a configuration must be an object with the "
				  "member switches");
	json_object_foreach(config, key, value) {
		at(&c, "%.60s", key);
		if (strcmp(key, "switches"))
			return refuse(&c,
				      "unknown member '%.40s'; known is: "
				      "switches",
				      key);
	}
	switches = json_object_get(config, "switches");
	at(&c, "switches");
	if (switches && !json_is_object(switches))
		return refuse(&c, "switches must be name: {...} members");
	if (json_object_size(switches) > SWITCHES_MAX)
		return refuse(&c, "more than %d switches", SWITCHES_MAX);
	json_object_foreach(switches, key, value) {
		err = check_switch(&c, key, value);
		if (err)
			return err;
	}
	return 0;
}
