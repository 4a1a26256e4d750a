// SPDX-License-Identifier: BSD-2-Clause
// steer/ways.c - chains, services and ports become a table for workers.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/steer/steer.h"

/* Checks */

static int check_instances(const char *name, json_t *instances,
			   struct glen_error *error)
{
	const char *port;
	json_t *weight;

	if (!json_is_object(instances))
		return error_set(error, -EINVAL,
				 "service %s: instances must be an object of "
				 "ports and weights, such as {\"fw0\": 1}",
				 name);
	if (json_object_size(instances) > STEER_INSTANCES_MAX)
		return error_set(error, -ENOSPC,
				 "service %s has %zu instances; at most %d are "
				 "possible",
				 name, json_object_size(instances),
				 STEER_INSTANCES_MAX);
	json_object_foreach(instances, port, weight) {
		int err = steer_name_check("instances", port, error);

		if (err)
			return err;
		if (!json_is_integer(weight) ||
		    json_integer_value(weight) < 1 ||
		    json_integer_value(weight) > STEER_WEIGHT_MAX)
			return error_set(error, -EINVAL,
					 "service %s: the weight of %s must be "
					 "from 1 to %d",
					 name, port, STEER_WEIGHT_MAX);
	}
	return 0;
}

static int check_service(const char *name, json_t *service,
			 struct glen_error *error)
{
	static const char *const known[] = { "balance", "instances", NULL };
	const char *balance;
	json_t *instances;
	int err = steer_name_check("services", name, error);

	if (!err && !json_is_object(service))
		err = error_set(error, -EINVAL,
				"service %s: an object with instances is "
				"needed",
				name);
	err = err ?: params_check(service, known, error);
	err = err ?: params_str(service, "balance", &balance, error);
	if (err)
		return err;
	if (balance && strcmp(balance, "flow") &&
	    strcmp(balance, "round-robin"))
		return error_set(error, -EINVAL,
				 "service %s: balance is flow or round-robin, "
				 "not '%.30s'",
				 name, balance);
	instances = json_object_get(service, "instances");
	return instances ? check_instances(name, instances, error) : 0;
}

static int check_chain(const struct steer_config *config, const char *name,
		       json_t *chain, struct glen_error *error)
{
	static const char *const known[] = { "services", "exit", "number",
					     NULL };
	json_t *list = json_object_get(chain, "services"), *service;
	const char *port;
	long number;
	size_t i;
	int err = steer_name_check("chains", name, error);

	if (!err && (!json_is_object(chain) || !json_array_size(list)))
		err = error_set(error, -EINVAL,
				"chain %s: a list of services is needed", name);
	err = err ?: params_check(chain, known, error);
	err = err ?: params_str(chain, "exit", &port, error);
	err = err   ?:
		      params_int(chain, "number", 0, 0, STEER_CHAINS_MAX - 1,
				 &number, error);
	if (!err && port)
		err = steer_name_check("exit", port, error);
	if (!err && json_array_size(list) > STEER_CHAIN_LEN_MAX)
		err = error_set(error, -ENOSPC,
				"chain %s has %zu services; at most %d are "
				"possible",
				name, json_array_size(list),
				STEER_CHAIN_LEN_MAX);
	if (err)
		return err;
	json_array_foreach(list, i, service) {
		const char *text = json_string_value(service);

		if (!text || !json_object_get(config->services, text))
			return error_set(error, -EINVAL,
					 "chain %s: there is no service '%.31s'"
					 "; define it first",
					 name, text ? text : "");
	}
	return 0;
}

/* Chains keep the number that they have; others get the least that is free. */
static int number_chains(struct steer_config *config, struct glen_error *error)
{
	uint8_t *taken = calloc(STEER_CHAINS_MAX, 1);
	unsigned next = 0;
	const char *name;
	json_t *chain, *number;
	int err = 0;

	if (!taken)
		return error_set(error, -ENOMEM, "no memory for the chains");
	json_object_foreach(config->chains, name, chain) {
		number = json_object_get(chain, "number");
		if (!number)
			continue;
		if (taken[json_integer_value(number)]++)
			err = error_set(error, -EINVAL,
					"chain %s has the number of another "
					"one",
					name);
	}
	json_object_foreach(config->chains, name, chain) {
		if (json_object_get(chain, "number"))
			continue;
		while (taken[next])
			next++;
		taken[next] = 1;
		json_object_set_new(chain, "number", json_integer(next));
	}
	free(taken);
	return err;
}

int steer_ways_check(struct steer_config *config, struct glen_error *error)
{
	const char *name;
	json_t *object;
	int err = 0;

	if (json_object_size(config->services) > STEER_SERVICES_MAX ||
	    json_object_size(config->chains) > STEER_CHAINS_MAX)
		return error_set(error, -ENOSPC,
				 "%zu services and %zu chains; at most %d and "
				 "%d are possible",
				 json_object_size(config->services),
				 json_object_size(config->chains),
				 STEER_SERVICES_MAX, STEER_CHAINS_MAX);
	json_object_foreach(config->services, name, object) {
		err = err ?: check_service(name, object, error);
	}
	json_object_foreach(config->chains, name, object) {
		err = err ?: check_chain(config, name, object, error);
	}
	return err ?: number_chains(config, error);
}

/* The table */

static unsigned port_index(const struct steer *s, const char *name)
{
	for (unsigned i = 0; name && i < STEER_PORTS; i++)
		if (s->ports[i] && !strcmp(s->ports[i], name))
			return i;
	return STEER_NO_PORT;
}

static int service_index(const struct steer *s, const char *wanted)
{
	const char *name;
	json_t *object;
	int i = 0;

	json_object_foreach(s->config.services, name, object) {
		if (!strcmp(name, wanted))
			return i;
		i++;
	}
	return -1;
}

struct instance {
	unsigned port, weight;
	uint64_t seed;	 /* from its name */
	unsigned credit; /* round robin */
};

static uint64_t mix(uint64_t hash)
{
	hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ULL;
	hash = (hash ^ hash >> 27) * 0x94d049bb133111ebULL;
	return hash ^ hash >> 31;
}

/*
 * Weighted rendezvous: each instance draws as many numbers for a bucket as it
 * has weight, from its name alone, and the highest has it. So one that comes or
 * goes moves its own buckets only.
 */
static unsigned by_rendezvous(const struct instance *in, unsigned n,
			      unsigned bucket)
{
	unsigned best = STEER_NO_PORT;
	uint64_t most = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned w = 0; w < in[i].weight; w++) {
			uint64_t draw = mix(
				in[i].seed +
				mix(bucket + 1ULL + STEER_BUCKETS * w));

			if (draw >= most) {
				most = draw;
				best = in[i].port;
			}
		}
	return best;
}

/* The one that waits longest for its share, one packet each in turn. */
static unsigned by_turns(struct instance *in, unsigned n)
{
	unsigned best = 0, sum = 0;

	if (!n)
		return STEER_NO_PORT;
	for (unsigned i = 0; i < n; i++) {
		in[i].credit += in[i].weight;
		sum += in[i].weight;
		if ((int)in[i].credit > (int)in[best].credit)
			best = i;
	}
	in[best].credit -= sum;
	return in[best].port;
}

static int make_service(const struct steer *s, struct steer_table *t,
			struct steer_service *to, json_t *service)
{
	struct instance in[STEER_INSTANCES_MAX];
	const char *balance = json_string_value(
		json_object_get(service, "balance"));
	unsigned n = 0, workers = s->env->n_workers + 1;
	const char *name;
	json_t *weight;

	to->round_robin = balance && !strcmp(balance, "round-robin");
	to->turn = aligned_alloc(64, workers * sizeof(to->turn[0]));
	if (!to->turn)
		return -ENOMEM;
	memset(to->turn, 0, workers * sizeof(to->turn[0]));
	json_object_foreach(json_object_get(service, "instances"), name,
			    weight) {
		unsigned port = port_index(s, name);

		if (port == STEER_NO_PORT)
			continue;
		t->role[port] |= STEER_INSTANCE;
		in[n] = (struct instance){ port, json_integer_value(weight) };
		for (const char *p = name; *p; p++)
			in[n].seed = mix(in[n].seed * 257 + (uint8_t)*p);
		n++;
	}
	for (unsigned i = 0; i < STEER_BUCKETS; i++)
		to->port[i] = to->round_robin ? by_turns(in, n) :
						by_rendezvous(in, n, i);
	return 0;
}

static int make_chain(const struct steer *s, struct steer_table *t,
		      json_t *chain)
{
	unsigned number = json_integer_value(json_object_get(chain, "number"));
	const char *name = json_string_value(json_object_get(chain, "exit"));
	struct steer_chain *c = calloc(1, sizeof(*c));
	unsigned port = port_index(s, name);
	json_t *service;
	size_t i;

	if (!c)
		return -ENOMEM;
	t->chain[number] = c;
	c->exit = glen_drop(STEER_NO_EXIT);
	if (port != STEER_NO_PORT)
		c->exit = glen_to_port(port);
	c->n = json_array_size(json_object_get(chain, "services"));
	json_array_foreach(json_object_get(chain, "services"), i, service) {
		c->service[i] = service_index(s, json_string_value(service));
	}
	return 0;
}

static struct steer_way make_way(const struct steer *s,
				 const struct steer_table *t,
				 const struct steer_target *target)
{
	struct steer_way way = { -1, glen_drop(STEER_RULE), 0 };
	json_t *chain;

	way.mark = 0xffffULL << GLEN_MARK_CHAIN;
	if (target->kind == STEER_TO_PORT) {
		unsigned port = port_index(s, target->name);

		way.verdict = port == STEER_NO_PORT ?
				      glen_drop(GLEN_DROP_NO_PORT) :
				      glen_to_port(port);
	} else if (target->kind == STEER_TO_SERVICE) {
		way.service = service_index(s, target->name);
		way.verdict = glen_drop(STEER_NO_INSTANCE);
	} else if (target->kind == STEER_TO_CHAIN) {
		chain = json_object_get(s->config.chains, target->name);
		way.verdict = glen_drop(STEER_NO_CHAIN);
		if (chain) {
			uint64_t number = json_integer_value(
				json_object_get(chain, "number"));

			way.service = t->chain[number]->service[0];
			way.mark = number << GLEN_MARK_CHAIN;
		}
	}
	return way;
}

static int fill(const struct steer *s, struct steer_table *t)
{
	struct steer_target other;
	const char *name;
	json_t *object;
	unsigned i = 0;
	int err = 0;

	for (unsigned k = 0; k < STEER_PORTS; k++)
		t->role[k] = s->ports[k] ? STEER_THERE : 0;
	json_object_foreach(s->config.services, name, object) {
		err = err ?: make_service(s, t, &t->service[i++], object);
	}
	json_object_foreach(s->config.chains, name, object) {
		err = err ?: make_chain(s, t, object);
	}
	if (err)
		return err;
	for (unsigned k = 0; k < t->rules->n_targets; k++)
		t->way[k] = make_way(s, t, &t->rules->targets[k]);
	t->other = (struct steer_way){ -1, glen_drop(STEER_DEFAULT), 0 };
	if (s->config.other &&
	    !steer_target_read(s->config.other, &other, NULL) &&
	    other.kind != STEER_TO_DROP)
		t->other = make_way(s, t, &other);
	return 0;
}

struct steer_table *steer_table_make(const struct steer *s,
				     struct steer_rules *rules)
{
	struct steer_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->rules = rules;
	rules->refs++;
	t->n_services = json_object_size(s->config.services);
	t->service = calloc(t->n_services + 1, sizeof(t->service[0]));
	t->way = calloc(rules->n_targets + 1, sizeof(t->way[0]));
	if (t->service && t->way && !fill(s, t))
		return t;
	steer_table_free(t);
	return NULL;
}

void steer_table_free(void *table)
{
	struct steer_table *t = table;

	if (!t)
		return;
	for (unsigned i = 0; t->service && i < t->n_services; i++)
		free(t->service[i].turn);
	for (unsigned i = 0; i < STEER_CHAINS_MAX; i++)
		free(t->chain[i]);
	free(t->service);
	free(t->way);
	steer_rules_put(t->rules);
	free(t);
}
