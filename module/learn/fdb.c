// SPDX-License-Identifier: BSD-2-Clause
// learn/fdb.c - the fdb.* methods: show, add, del and flush addresses.
#include "module/learn/learn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/port.h"
#include "lib/error.h"
#include "module/learn/ports.h"

/* What a method's parameters say. */
struct fdb_args {
	const char *sw;	  /* borrowed from the parameters */
	const char *port; /* the same; NULL: none */
	uint64_t key;
	long limit;
	bool fixed;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "aa:bb:cc:dd:ee:ff" as the low bytes of a key. */
bool learn_parse_mac(const char *text, uint64_t *mac)
{
	*mac = 0;
	if (strlen(text) != 17)
		return false;
	for (unsigned i = 0; i < 6; i++) {
		int high = hex_digit(text[3 * i]);
		int low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return false;
		*mac |= (uint64_t)(high << 4 | low) << 8 * i;
	}
	return true;
}

void learn_format_mac(uint64_t key, char text[18])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x",
		 (unsigned)(key & 0xff), (unsigned)(key >> 8 & 0xff),
		 (unsigned)(key >> 16 & 0xff), (unsigned)(key >> 24 & 0xff),
		 (unsigned)(key >> 32 & 0xff), (unsigned)(key >> 40 & 0xff));
}

/* mac and vlan, for fdb.add and fdb.del. */
static int read_key(const struct table *t, json_t *params, uint64_t *key,
		    struct glen_error *error)
{
	const char *text;
	uint64_t mac;
	long vlan;
	int err = params_str(params, "mac", &text, error);

	if (!err)
		err = params_int(params, "vlan", 0, 0, VLAN_LAST, &vlan, error);
	if (err)
		return err;
	if (!text)
		return error_set(error, -EINVAL, "mac is missing");
	if (!learn_parse_mac(text, &mac))
		return error_set(error, -EINVAL,
				 "mac '%.40s' is not of the form "
				 "aa:bb:cc:dd:ee:ff",
				 text);
	if (mac & KEY_GROUP || !mac)
		return error_set(error, -EINVAL,
				 "mac %s is %s address; only the address of "
				 "one station can be in the table",
				 text, mac ? "a group" : "the zero");
	if (vlan && !t->vlan)
		return error_set(error, -EINVAL,
				 "vlan %ld: the switch ignores VLANs (module "
				 "option vlan is false)",
				 vlan);
	*key = mac | (uint64_t)vlan << KEY_VLAN_SHIFT;
	return 0;
}

/* The index of "port" or "switch:port" of this switch, or -errno. */
static int find_port(const struct learn *l, const struct fdb_args *args,
		     struct glen_error *error)
{
	const char *colon = strchr(args->port, ':');
	const char *name = colon ? colon + 1 : args->port;
	size_t len = colon ? (size_t)(colon - args->port) : 0;
	struct glen_module_port port;

	if (colon && args->sw &&
	    (strlen(args->sw) != len || memcmp(args->sw, args->port, len)))
		return error_set(error, -EINVAL,
				 "port '%.64s' is not on switch '%.32s'",
				 args->port, args->sw);
	if (glen_module_port_find(l->env, name, &port))
		return error_set(error, -ENOENT, "there is no port '%.64s'",
				 args->port);
	return port.index;
}

static int read_args(json_t *params, const char *const *known,
		     struct fdb_args *args, struct glen_error *error)
{
	int err = params_check(params, known, error);

	*args = (struct fdb_args){ 0 };
	if (!err)
		err = params_str(params, "switch", &args->sw, error);
	if (!err)
		err = params_str(params, "port", &args->port, error);
	return err;
}

static int done(json_t *object, json_t **result, struct glen_error *error)
{
	if (!object)
		return error_set(error, -ENOMEM, "no memory for the answer");
	*result = object;
	return 0;
}

static int fdb_add(struct learn *l, json_t *params, json_t **result,
		   struct glen_error *error)
{
	static const char *const known[] = { "switch", "mac", "port", "vlan",
					     NULL };
	struct table *t = atomic_load(&l->table);
	struct fdb_args args;
	int port, err = read_args(params, known, &args, error);

	if (!err)
		err = read_key(t, params, &args.key, error);
	if (err)
		return err;
	if (!args.port)
		return error_set(error, -EINVAL, "port is missing");
	port = find_port(l, &args, error);
	if (port < 0)
		return port;
	if (ports_way(l, port, args.key >> KEY_VLAN_SHIFT) == VLAN_NOT)
		return error_set(error, -EINVAL,
				 "port '%.64s' is not in VLAN %u (glenctl vlan "
				 "show tells in which ones it is)",
				 args.port,
				 (unsigned)(args.key >> KEY_VLAN_SHIFT));
	if (table_add_static(t, args.key, port))
		return error_set(error, -ENOSPC,
				 "the table is full (%u of %u addresses): "
				 "remove static entries or raise the module "
				 "option entries",
				 atomic_load_explicit(&t->used,
						      memory_order_relaxed),
				 t->capacity);
	l->ports_changed = true;
	return done(json_object(), result, error);
}

static int fdb_del(struct learn *l, json_t *params, json_t **result,
		   struct glen_error *error)
{
	static const char *const known[] = { "switch", "mac", "vlan", NULL };
	struct table *t = atomic_load(&l->table);
	struct fdb_args args;
	char text[18];
	int err = read_args(params, known, &args, error);

	if (!err)
		err = read_key(t, params, &args.key, error);
	if (err)
		return err;
	if (table_del(t, args.key)) {
		learn_format_mac(args.key, text);
		return error_set(error, -ENOENT,
				 "mac %s in VLAN %u is not in the table", text,
				 (unsigned)(args.key >> KEY_VLAN_SHIFT));
	}
	l->ports_changed = true;
	return done(json_object(), result, error);
}

static int fdb_flush(struct learn *l, json_t *params, json_t **result,
		     struct glen_error *error)
{
	static const char *const known[] = { "switch", "port", "static", NULL };
	struct fdb_args args;
	int port = -1, err = read_args(params, known, &args, error);

	if (!err)
		err = params_bool(params, "static", false, &args.fixed, error);
	if (err)
		return err;
	if (args.port) {
		port = find_port(l, &args, error);
		if (port < 0)
			return port;
	}
	l->ports_changed |= args.fixed;
	return done(json_pack("{s:I}", "flushed",
			      (json_int_t)table_flush(atomic_load(&l->table),
						      port, args.fixed)),
		    result, error);
}

struct show_args {
	const char *sw;
	const struct glen_module_env *env;
	json_t *entries;
	long limit;
	long vlan; /* -1: all */
	int port;  /* the same */
	bool no_memory;
};

static bool show_entry(void *arg, const struct table_entry *e)
{
	struct show_args *args = arg;
	struct glen_module_port at;
	char mac[18], port[2 * PORT_NAME_SIZE + 16];
	json_t *object;

	if ((long)json_array_size(args->entries) >= args->limit)
		return false;
	if ((args->vlan >= 0 &&
	     (long)(e->key >> KEY_VLAN_SHIFT) != args->vlan) ||
	    (args->port >= 0 && e->port != args->port))
		return true;
	learn_format_mac(e->key, mac);
	if (glen_module_port_get(args->env, e->port,
				 &at)) /* went while we looked */
		return true;
	snprintf(port, sizeof(port), "%s%s%s", args->sw ? args->sw : "",
		 args->sw ? ":" : "", at.name);
	object = json_pack("{s:s, s:i, s:s, s:I, s:b}", "mac", mac, "vlan",
			   (int)(e->key >> KEY_VLAN_SHIFT), "port", port,
			   "age_s", (json_int_t)e->age_s, "static", e->fixed);
	args->no_memory = json_array_append_new(args->entries, object) != 0;
	return !args->no_memory;
}

static int fdb_show(struct learn *l, json_t *params, json_t **result,
		    struct glen_error *error)
{
	static const char *const known[] = { "switch", "port", "vlan", "limit",
					     NULL };
	struct table *t = atomic_load(&l->table);
	struct show_args show = { .env = l->env, .port = -1 };
	struct fdb_args args;
	uint32_t count;
	int err = read_args(params, known, &args, error);

	if (!err)
		err = params_int(params, "limit", TABLE_CAPACITY_MAX, 0,
				 TABLE_CAPACITY_MAX, &show.limit, error);
	if (!err)
		err = params_int(params, "vlan", -1, 0, VLAN_LAST, &show.vlan,
				 error);
	if (!err && args.port) {
		show.port = find_port(l, &args, error);
		err = show.port < 0 ? show.port : 0;
	}
	if (err)
		return err;
	show.sw = args.sw;
	show.entries = json_array();
	if (!show.entries)
		return done(NULL, result, error);
	count = table_each(t, l->now_s, l->options.ageing_s, show_entry, &show);
	if (show.no_memory) {
		json_decref(show.entries);
		return done(NULL, result, error);
	}
	return done(json_pack("{s:o, s:I, s:I}", "entries", show.entries,
			      "count", (json_int_t)count, "capacity",
			      (json_int_t)t->capacity),
		    result, error);
}

int learn_command(void *state, const char *method, json_t *params,
		  json_t **result, struct glen_error *error)
{
	if (!strcmp(method, "fdb.show"))
		return fdb_show(state, params, result, error);
	if (!strcmp(method, "fdb.add"))
		return fdb_add(state, params, result, error);
	if (!strcmp(method, "fdb.del"))
		return fdb_del(state, params, result, error);
	if (!strcmp(method, "vlan.show"))
		return learn_vlan_show(state, params, result, error);
	if (!strcmp(method, "fdb.flush"))
		return fdb_flush(state, params, result, error);
	return error_set(error, -ENOSYS,
			 "the learning bridge has no method "
			 "'%.40s'",
			 method);
}
