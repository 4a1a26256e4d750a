// SPDX-License-Identifier: BSD-2-Clause
// steer/command.c - the methods steer.rule, steer.chain and steer.service.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/steer/steer.h"

/* Chains or services as they would be with params, a new object. */
static int change_named(json_t *now, json_t *params, const char *const *known,
			json_t **out, struct glen_error *error)
{
	const char *name, *op;
	json_t *entry;
	int err = params_check(params, known, error);

	err = err ?: params_str(params, "op", &op, error);
	err = err ?: params_str(params, "name", &name, error);
	if (err)
		return err;
	if (!op || !name || (strcmp(op, "set") && strcmp(op, "del")))
		return error_set(error, -EINVAL,
				 "op is set, del or list; set and del need a "
				 "name");
	if (!strcmp(op, "del") && !json_object_get(now, name))
		return error_set(error, -ENOENT, "there is no '%.31s'", name);
	*out = json_deep_copy(now);
	if (!strcmp(op, "del"))
		return json_object_del(*out, name);
	entry = json_deep_copy(params);
	json_object_del(entry, "op");
	json_object_del(entry, "name");
	/* A chain that is changed keeps its number. */
	if (!json_object_get(entry, "number") &&
	    json_object_get(json_object_get(now, name), "number"))
		json_object_set(entry, "number",
				json_object_get(json_object_get(now, name),
						"number"));
	return json_object_set_new(*out, name, entry) ? -ENOMEM : 0;
}

static bool is_list(json_t *params)
{
	const char *op = json_string_value(json_object_get(params, "op"));

	return op && !strcmp(op, "list");
}

static int chain(struct steer *s, json_t *params, json_t **result,
		 struct glen_error *error)
{
	static const char *const known[] = { "op",   "name",   "services",
					     "exit", "number", NULL };
	struct steer_config config = s->config;
	int err = 0;

	if (!is_list(params)) {
		config.chains = NULL;
		err = change_named(s->config.chains, params, known,
				   &config.chains, error);
		err = err ?: steer_apply(s, &config, NULL, error);
		json_decref(config.chains);
	}
	*result = err ? NULL : json_pack("{sO}", "chains", s->config.chains);
	return err;
}

static int service(struct steer *s, json_t *params, json_t **result,
		   struct glen_error *error)
{
	static const char *const known[] = { "op", "name", "balance",
					     "instances", NULL };
	struct steer_config config = s->config;
	int err = 0;

	if (!is_list(params)) {
		config.services = NULL;
		err = change_named(s->config.services, params, known,
				   &config.services, error);
		err = err ?: steer_apply(s, &config, NULL, error);
		json_decref(config.services);
	}
	*result = err ? NULL :
			json_pack("{sO}", "services", s->config.services);
	return err;
}

/* The list of rules as it would be, a new one. */
static int change_rules(json_t *now, json_t *params, const char *op,
			json_t **out, struct glen_error *error)
{
	json_t *given = json_object_get(params, "rules");
	size_t n = json_array_size(now), i;
	long at, count;
	json_t *rule;
	int err = params_int(params, "at", n, 0, n, &at, error);

	err = err   ?:
		      params_int(params, "count", 1, 1, CLASSIFIER_RULES_MAX,
				 &count, error);
	if (err)
		return err;
	if (!strcmp(op, "replace")) {
		*out = json_deep_copy(given);
		return json_is_array(given) ?
			       0 :
			       error_set(error, -EINVAL,
					 "replace needs rules, a list");
	}
	*out = json_copy(now);
	if (!strcmp(op, "add")) {
		if (!json_array_size(given))
			return error_set(error, -EINVAL,
					 "add needs rules, a list");
		json_array_foreach(given, i, rule) {
			if (json_array_insert_new(*out, at + i,
						  json_deep_copy(rule)))
				return error_set(error, -ENOMEM, "no memory");
		}
		return 0;
	}
	if (strcmp(op, "del"))
		return error_set(error, -EINVAL,
				 "op is add, del, replace or list");
	if (!json_object_get(params, "at") || at + count > (long)n)
		return error_set(error, -ENOENT,
				 "del needs at, and there are %zu rules", n);
	while (count--)
		json_array_remove(*out, at);
	return 0;
}

static int rule(struct steer *s, json_t *params, json_t **result,
		struct glen_error *error)
{
	static const char *const known[] = { "op", "at", "count", "rules",
					     NULL };
	struct steer_config config = s->config;
	struct steer_rules *rules = NULL;
	const char *op;
	int err = params_check(params, known, error);

	err = err ?: params_str(params, "op", &op, error);
	if (err)
		return err;
	if (is_list(params)) {
		*result = json_pack("{sO}", "rules", s->config.rules);
		return 0;
	}
	config.rules = NULL;
	err = change_rules(s->config.rules, params, op ? op : "", &config.rules,
			   error);
	err = err ?: steer_rules_read(config.rules, s->ports, &rules, error);
	err = err ?: steer_apply(s, &config, rules, error);
	if (err)
		steer_rules_put(rules);
	json_decref(config.rules);
	if (!err)
		*result = json_pack("{sI}", "count",
				    (json_int_t)json_array_size(
					    s->config.rules));
	return err;
}

int steer_command(void *state, const char *method, json_t *params,
		  json_t **result, struct glen_error *error)
{
	*result = NULL;
	if (!strcmp(method, "steer.rule"))
		return rule(state, params, result, error);
	if (!strcmp(method, "steer.chain"))
		return chain(state, params, result, error);
	if (!strcmp(method, "steer.service"))
		return service(state, params, result, error);
	return -ENOSYS;
}
