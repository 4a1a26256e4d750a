// SPDX-License-Identifier: BSD-2-Clause
// static/config.c - options of the static module, and names to indexes.
#include "module/static/static.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

static int copy_name(char to[PORT_NAME_SIZE], const char *what,
		     const char *name, struct glen_error *error)
{
	size_t len = strlen(name);

	if (!len || len >= PORT_NAME_SIZE || strchr(name, ':'))
		return error_set(error, -EINVAL,
				 "%s: '%.60s' is not the name of a port of "
				 "this switch (1 to %d characters, without "
				 "the switch's name)",
				 what, name, PORT_NAME_SIZE - 1);
	memcpy(to, name, len + 1);
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	const struct static_rule *x = a, *y = b;

	return strcmp(x->from, y->from);
}

static int read_map(json_t *map, struct static_options *o,
		    struct glen_error *error)
{
	const char *from;
	json_t *to;

	if (!json_is_object(map))
		return error_set(error, -EINVAL,
				 "map must be an object of port names, such "
				 "as {\"a\": \"b\", \"b\": \"a\"}");
	if (json_object_size(map) > STATIC_PORTS)
		return error_set(error, -ENOSPC,
				 "map has %zu entries; at most %d are allowed",
				 json_object_size(map), STATIC_PORTS);
	o->rules = calloc(json_object_size(map) + 1, sizeof(*o->rules));
	if (!o->rules)
		return error_set(error, -ENOMEM, "no memory for the map");
	json_object_foreach(map, from, to) {
		struct static_rule *rule = &o->rules[o->n_rules++];
		int err = copy_name(rule->from, "map", from, error);

		if (err)
			return err;
		if (!json_is_string(to))
			return error_set(error, -EINVAL,
					 "map: the destination of '%s' must be "
					 "the name of a port",
					 from);
		err = copy_name(rule->to, "map", json_string_value(to), error);
		if (err)
			return err;
	}
	qsort(o->rules, o->n_rules, sizeof(*o->rules), compare_rules);
	return 0;
}

/* On error nothing is kept in *o. */
static int read_options(json_t *params, struct static_options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "map", "default", "rings", NULL };
	const char *other, *rings = NULL;
	json_t *map;
	int err = params_check(params, known, error);

	*o = (struct static_options){ 0 };
	if (!err)
		err = params_str(params, "default", &other, error);
	if (!err)
		err = params_str(params, "rings", &rings, error);
	o->keep_rings = !err && rings && !strcmp(rings, "keep");
	if (!err && rings && !o->keep_rings && strcmp(rings, "flow"))
		err = error_set(error, -EINVAL,
				"rings must be 'keep' or 'flow', not '%.60s'",
				rings);
	if (err)
		return err;
	o->drop_other = other && !strcmp(other, "drop");
	if (other && !o->drop_other)
		err = copy_name(o->other.to, "default", other, error);
	map = json_object_get(params, "map");
	if (!err && map)
		err = read_map(map, o, error);
	if (err)
		free(o->rules);
	return err;
}

static const struct static_rule *find_rule(const struct static_options *o,
					   const char *from)
{
	struct static_rule wanted = { 0 };

	if (o->n_rules) {
		const struct static_rule *rule;

		memcpy(wanted.from, from, strnlen(from, PORT_NAME_SIZE - 1));
		rule = bsearch(&wanted, o->rules, o->n_rules, sizeof(*o->rules),
			       compare_rules);
		if (rule)
			return rule;
	}
	return o->other.to[0] ? &o->other : NULL;
}

/* All rules that lead to the port with this name now lead to index. */
static void point_rules(struct static_options *o, const char *name, int index)
{
	for (unsigned i = 0; i < o->n_rules; i++)
		if (!strcmp(o->rules[i].to, name))
			o->rules[i].to_index = index;
	if (!strcmp(o->other.to, name))
		o->other.to_index = index;
}

static uint32_t verdict_of(const struct static_module *s, unsigned i)
{
	const struct static_rule *rule = s->rule_of[i];

	if (rule && rule->to_index != STATIC_NO_PORT)
		return s->options.keep_rings &&
				       s->in_rings[i] ==
					       s->out_rings[rule->to_index] ?
			       glen_to_ring(rule->to_index, 0) :
			       glen_to_port(rule->to_index);
	if (s->ports[i] && !rule && s->options.drop_other)
		return glen_drop(GLEN_DROP_MODULE);
	return glen_drop(GLEN_DROP_NO_PORT);
}

static void publish(struct static_module *s)
{
	for (unsigned i = 0; i < STATIC_PORTS; i++)
		atomic_store_explicit(&s->verdict[i], verdict_of(s, i),
				      memory_order_relaxed);
}

static int port_by_name(const struct static_module *s, const char *name)
{
	for (int i = 0; name[0] && i < STATIC_PORTS; i++)
		if (s->ports[i] && !strcmp(s->ports[i], name))
			return i;
	return STATIC_NO_PORT;
}

/* Takes new options over: all names are looked up. */
static void take_options(struct static_module *s, struct static_options *o)
{
	free(s->options.rules);
	s->options = *o;
	o = &s->options;
	for (unsigned i = 0; i < o->n_rules; i++)
		o->rules[i].to_index = port_by_name(s, o->rules[i].to);
	o->other.to_index = port_by_name(s, o->other.to);
	for (unsigned i = 0; i < STATIC_PORTS; i++)
		s->rule_of[i] = s->ports[i] ? find_rule(o, s->ports[i]) : NULL;
	publish(s);
}

static int static_create(const struct glen_module_env *env, json_t *params,
			 void **state, struct glen_error *error)
{
	struct static_options options;
	struct static_module *s;
	int err = read_options(params, &options, error);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s) {
		free(options.rules);
		return error_set(error, -ENOMEM, "no memory for the module");
	}
	s->env = env;
	take_options(s, &options);
	*state = s;
	return 0;
}

static void static_destroy(void *state)
{
	struct static_module *s = state;

	if (!s)
		return;
	free(s->options.rules);
	free(s);
}

static int static_set(void *state, json_t *params, struct glen_error *error)
{
	struct static_options options;
	int err = read_options(params, &options, error);

	if (!err)
		take_options(state, &options);
	return err;
}

static json_t *static_show(void *state)
{
	struct static_module *s = state;
	const struct static_options *o = &s->options;
	json_t *object = json_object(), *map = json_object();

	for (unsigned i = 0; i < o->n_rules; i++)
		json_object_set_new(map, o->rules[i].from,
				    json_string(o->rules[i].to));
	json_object_set_new(object, "map", map);
	if (o->drop_other || o->other.to[0])
		json_object_set_new(object, "default",
				    json_string(o->drop_other ? "drop" :
								o->other.to));
	if (o->keep_rings)
		json_object_set_new(object, "rings", json_string("keep"));
	return object;
}

static void static_port_add(void *state, const struct glen_module_port *port)
{
	struct static_module *s = state;

	s->ports[port->index] = port->name;
	s->in_rings[port->index] = port->in_rings;
	s->out_rings[port->index] = port->out_rings;
	s->rule_of[port->index] = find_rule(&s->options, port->name);
	point_rules(&s->options, port->name, port->index);
	publish(s);
}

static void static_port_del(void *state, const struct glen_module_port *port)
{
	struct static_module *s = state;

	s->ports[port->index] = NULL;
	s->rule_of[port->index] = NULL;
	point_rules(&s->options, port->name, STATIC_NO_PORT);
	publish(s);
}

const struct module_builtin module_static = {
	.ops = {
	GLEN_MODULE_HEAD,
	.name = "static",
	.version = "1.0",
	.summary = "each port's packets go to one other port, by name",
	.options = "map={\"a\": \"b\", ...}  packets of port a go to port b\n"
		   "default=PORT|drop     where those of other ports go (drop)\n"
		   "rings=flow|keep       to a ring by their flow, or to the "
		   "one with\n"
		   "                      the number of theirs, if there are "
		   "as many (flow)",
	.hdr_want = HDR_MIN,
	.create = static_create,
	.destroy = static_destroy,
	.set = static_set,
	.show = static_show,
	.port_add = static_port_add,
	.port_del = static_port_del,
	},
	.lookup = ISA_TABLE(static_lookup),
};
