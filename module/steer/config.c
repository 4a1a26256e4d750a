// SPDX-License-Identifier: BSD-2-Clause
// steer/config.c - options and ports, and when workers get another table.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/steer/steer.h"

const struct glen_module_drop steer_drops[] = {
	[STEER_DEFAULT] = { "in_steer_default",
			    "no rule fits, and the default is to drop" },
	[STEER_RULE] = { "in_steer_rule", "a rule says so" },
	[STEER_NO_CHAIN] = { "in_steer_no_chain",
			     "there is no such chain, or the mark has none" },
	[STEER_NO_INSTANCE] = { "in_steer_no_instance",
				"the service has no instance" },
	[STEER_NO_EXIT] = { "in_steer_no_exit",
			    "the chain has no exit, or its port is not there" },
	[STEER_NO_MARK] = { "in_steer_no_mark",
			    "from an instance whose port has no marks" },
	[STEER_BAD_INDEX] = { "in_steer_bad_index",
			      "its place is behind the end of the chain" },
	[STEER_BAD_PORT] = { "in_steer_bad_port",
			     "an instance names a port that is none, or an "
			     "instance's" },
	[STEER_HOPS] = { "in_steer_hops", "it took too many hops" },
	[STEER_DROPS] = { NULL, NULL },
};

void steer_config_free(struct steer_config *config)
{
	json_decref(config->rules);
	json_decref(config->chains);
	json_decref(config->services);
	json_decref(config->other);
}

static struct steer_table *current(struct steer *s)
{
	return atomic_load_explicit(&s->table, memory_order_relaxed);
}

/* Shows workers a table of what there is. -ENOMEM: they keep the old one. */
static int publish(struct steer *s, struct steer_rules *rules)
{
	struct steer_table *old = current(s);
	struct steer_table *t = steer_table_make(s, rules);

	if (!t)
		return -ENOMEM;
	rcu_publish(&s->table, t);
	if (old)
		glen_module_defer(s->env, steer_table_free, old);
	return 0;
}

int steer_apply(struct steer *s, struct steer_config *config,
		struct steer_rules *rules, struct glen_error *error)
{
	struct steer_config old = s->config;
	int err = steer_ways_check(config, error);

	if (err)
		return err;
	s->config = *config;
	err = publish(s, rules ? rules : s->rules);
	if (err) {
		s->config = old;
		return error_set(error, err, "no memory for the table");
	}
	if (rules) {
		steer_rules_put(s->rules);
		s->rules = rules;
	}
	/* What is in both is what nobody changed. */
	json_incref(config->rules);
	json_incref(config->chains);
	json_incref(config->services);
	json_incref(config->other);
	steer_config_free(&old);
	return 0;
}

/* A copy of the member, which must be of this kind, or an empty one. */
static json_t *member(json_t *params, const char *key, json_t *empty, int *err,
		      struct glen_error *error)
{
	json_t *value = json_object_get(params, key);

	if (value && json_typeof(value) != json_typeof(empty)) {
		*err = error_set(error, -EINVAL, "%s must be %s", key,
				 json_is_array(empty) ? "a list" :
							"an object, by name");
		return empty;
	}
	if (!value)
		return empty;
	json_decref(empty);
	return json_deep_copy(value);
}

static int read_options(json_t *params, struct steer_config *c,
			struct glen_error *error)
{
	static const char *const known[] = { "rules", "chains", "services",
					     "default", NULL };
	struct steer_target target;
	json_t *other = json_object_get(params, "default");
	int err = params_check(params, known, error);

	c->rules = member(params, "rules", json_array(), &err, error);
	c->chains = member(params, "chains", json_object(), &err, error);
	c->services = member(params, "services", json_object(), &err, error);
	c->other = json_deep_copy(other);
	if (!err && other)
		err = json_is_object(other) ?
			      steer_target_read(other, &target, error) :
			      error_set(error, -EINVAL,
					"default must be an object as "
					"{\"chain\": \"web\"} or {\"drop\": "
					"true}");
	return err;
}

static int steer_set(void *state, json_t *params, struct glen_error *error)
{
	struct steer *s = state;
	struct steer_config config = { 0 };
	struct steer_rules *rules = NULL;
	int err = read_options(params, &config, error);

	err = err ?: steer_rules_read(config.rules, s->ports, &rules, error);
	err = err ?: steer_apply(s, &config, rules, error);
	if (err)
		steer_rules_put(rules);
	steer_config_free(&config);
	return err;
}

static void steer_destroy(void *state)
{
	struct steer *s = state;

	if (!s)
		return;
	steer_table_free(current(s));
	steer_rules_put(s->rules);
	steer_config_free(&s->config);
	free(s);
}

static int steer_create(const struct glen_module_env *env, json_t *params,
			void **state, struct glen_error *error)
{
	struct steer *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return error_set(error, -ENOMEM, "no memory for the module");
	s->env = env;
	err = steer_set(s, params, error);
	if (err)
		steer_destroy(s);
	else
		*state = s;
	return err;
}

static json_t *steer_show(void *state)
{
	struct steer *s = state;
	const struct classifier *c = s->rules->classifier;

	return json_pack("{sO sO sO sO* s{sI sI}}", "rules", s->config.rules,
			 "chains", s->config.chains, "services",
			 s->config.services, "default", s->config.other,
			 "counts", "rules", (json_int_t)c->n_rules, "tables",
			 (json_int_t)c->n_tables);
}

/* A port came or went: what names it leads elsewhere. That cannot fail, and
 * nothing may lead to a port that went: waits for memory. */
static void ports_changed(struct steer *s)
{
	struct steer_rules *rules = NULL;

	if (s->rules->by_port) {
		while (steer_rules_read(s->config.rules, s->ports, &rules,
					NULL))
			glen_module_sync(s->env);
		steer_rules_put(s->rules);
		s->rules = rules;
	}
	while (publish(s, s->rules))
		glen_module_sync(s->env);
}

static void steer_port_add(void *state, const struct glen_module_port *port)
{
	struct steer *s = state;

	s->ports[port->index] = port->name;
	ports_changed(s);
}

static void steer_port_del(void *state, const struct glen_module_port *port)
{
	struct steer *s = state;

	s->ports[port->index] = NULL;
	ports_changed(s);
}

const struct module_builtin module_steer = {
    .ops =
        {
            GLEN_MODULE_HEAD,
            .name = "steer",
            .version = "1.0",
            .summary = "packets into chains of network functions, by rules",
            .options =
                "rules=[{FIELD: VALUE, .., chain|service|port: NAME}, ..]  "
                "the first that fits counts\n"
                "services={NAME: {instances: {PORT: WEIGHT}, balance: "
                "flow|round-robin}}\n"
                "chains={NAME: {services: [NAME, ..], exit: PORT}}\n"
                "default={chain|service|port: NAME}  what no rule fits (drop)",
            .hdr_want = HDR_MAX,
            .drops = steer_drops,
            .create = steer_create,
            .destroy = steer_destroy,
            .set = steer_set,
            .show = steer_show,
            .port_add = steer_port_add,
            .port_del = steer_port_del,
            .command = steer_command,
        },
    .lookup = ISA_TABLE(steer_lookup),
};
