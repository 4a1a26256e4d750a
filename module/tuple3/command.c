// SPDX-License-Identifier: BSD-2-Clause
// tuple3/command.c - the methods tuple3.claim, .release and .show.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

/* Addresses that no packet of one stack can be from. */
static bool refused_ipv4(const uint8_t *ip)
{
	return ip[0] == 0 || ip[0] == 127 || ip[0] >= 224;
}

static bool refused_ipv6(const uint8_t *ip)
{
	static const uint8_t zero[15], mapped[12] = { [10] = 0xff, 0xff };

	return ip[0] == 0xff || !memcmp(ip, mapped, sizeof(mapped)) ||
	       (!memcmp(ip, zero, sizeof(zero)) && ip[15] <= 1);
}

static int read_ip(const char *text, struct t3_key *key,
		   struct glen_error *error)
{
	uint8_t ip[16];
	bool refused;

	if (inet_pton(AF_INET, text, ip) == 1) {
		*key = t3_key4(ip);
		refused = refused_ipv4(ip);
	} else if (inet_pton(AF_INET6, text, ip) == 1) {
		*key = t3_key6(ip);
		refused = refused_ipv6(ip);
	} else {
		return error_set(error, -EINVAL,
				 "ip: '%.60s' is no address such as 10.0.0.1 "
				 "or 2001:db8::1",
				 text);
	}
	if (refused)
		return error_set(error, -EINVAL,
				 "ip: %.60s cannot be claimed: only addresses "
				 "of one host",
				 text);
	return 0;
}

static int read_claim(json_t *object, struct t3_claim *c,
		      struct glen_error *error)
{
	static const char *const known[] = { "ip", "protocol", "port", NULL };
	const char *ip, *protocol;
	long port;
	int err = params_check(object, known, error);

	err = err ?: params_str(object, "ip", &ip, error);
	err = err ?: params_str(object, "protocol", &protocol, error);
	err = err ?: params_int(object, "port", 0, 0, 65535, &port, error);
	if (err)
		return err;
	if (!ip || !protocol ||
	    (strcmp(protocol, "tcp") && strcmp(protocol, "udp")))
		return error_set(error, -EINVAL,
				 "a claim has an ip, and protocol tcp or udp");
	err = read_ip(ip, &c->key, error);
	c->port = port;
	c->key.meta |= (strcmp(protocol, "tcp") ? T3_UDP : T3_TCP) << 16 |
		       htons(port);
	return err;
}

/* The list claims of params; *n of them, to be freed. */
static int read_claims(json_t *params, struct t3_claim **claims, unsigned *n,
		       struct glen_error *error)
{
	json_t *list = json_object_get(params, "claims"), *object;
	size_t i;
	int err = 0;

	*n = json_array_size(list);
	if (!*n)
		return error_set(error, -EINVAL,
				 "claims must be a list of {ip, protocol, "
				 "port}");
	*claims = calloc(*n, sizeof(**claims));
	if (!*claims)
		return error_set(error, -ENOMEM, "no memory for the claims");
	json_array_foreach(list, i, object) {
		if (!json_is_object(object))
			err = error_set(error, -EINVAL,
					"claims: entry %zu is no object", i);
		else
			err = read_claim(object, &(*claims)[i], error);
		if (err)
			break;
	}
	if (err)
		free(*claims);
	return err;
}

static json_t *claim_object(const struct t3_key *key)
{
	char ip[INET6_ADDRSTRLEN];

	t3_ip_text(key, ip, sizeof(ip));
	return json_pack("{ss ss si}", "ip", ip, "protocol",
			 (key->meta >> 16 & 0xff) == T3_TCP ? "tcp" : "udp",
			 "port", (int)ntohs(key->meta & 0xffff));
}

static json_t *claim_list(const struct t3_claim *claims, unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		if (json_array_append_new(list, claim_object(&claims[i].key)))
			goto err;
	return list;
err:
	json_decref(list);
	return NULL;
}

/* The index of the port called name; -1: there is none. */
static int port_called(const struct tuple3 *t, const char *name)
{
	struct glen_module_port port;

	if (glen_module_port_find(t->env, name, &port) ||
	    port.index >= T3_PORTS || !t->ports[port.index].name)
		return -1;
	return port.index;
}

static int need_port(const struct tuple3 *t, json_t *params, unsigned *port,
		     struct glen_error *error)
{
	const char *name;
	int index, err = params_str(params, "port", &name, error);

	if (err)
		return err;
	if (name && strchr(name, ':')) /* "switch:port" */
		name = strchr(name, ':') + 1;
	index = name ? port_called(t, name) : -1;
	if (index < 0)
		return error_set(error, -ENOENT, "there is no port '%.31s'",
				 name ? name : "");
	*port = index;
	return 0;
}

/* tuple3.claim, tuple3.release */
static int change(struct tuple3 *t, bool claim, json_t *params, json_t **result,
		  struct glen_error *error)
{
	static const char *const known[] = { "port", "claims", NULL };
	struct t3_claim *claims;
	unsigned port, n;
	int err = params_check(params, known, error);

	err = err ?: need_port(t, params, &port, error);
	err = err ?: read_claims(params, &claims, &n, error);
	if (err)
		return err;
	err = claim ? t3_claim(t, port, claims, n, error) :
		      t3_release(t, port, claims, n, error);
	if (!err) {
		json_t *list = claim_list(claims, n);

		*result = list ? json_pack("{so}", "claims", list) : NULL;
	}
	if (!err && !*result) {
		if (claim)
			t3_release(t, port, claims, n, error);
		err = error_set(error, -ENOMEM, "out of memory");
	}
	free(claims);
	return err;
}

/* What tuple3.show collects. */
struct shown {
	const struct tuple3 *t;
	json_t *list;
	struct t3_key ip; /* meta 0: all */
	long limit;
	json_int_t n;
	bool failed;
};

static void show_one(struct shown *s, const struct t3_entry *e)
{
	json_t *object;

	if (s->ip.meta && (e->key.a0 != s->ip.a0 || e->key.a1 != s->ip.a1 ||
			   (e->key.meta ^ s->ip.meta) >> 24))
		return;
	if (s->n++ >= s->limit)
		return;
	object = claim_object(&e->key);
	s->failed |= json_object_set_new(object, "owner",
					 json_string(
						 s->t->ports[e->port].name));
	s->failed |= json_array_append_new(s->list, object) != 0;
}

static void show_claims(struct shown *s, int only)
{
	for (int i = 0; i < T3_PORTS; i++) {
		const struct t3_entry *e = s->t->ports[i].claims;

		for (; e && (only < 0 || only == i); e = e->next)
			show_one(s, e);
	}
}

static int show(struct tuple3 *t, json_t *params, json_t **result,
		struct glen_error *error)
{
	static const char *const known[] = { "port", "ip", "limit", NULL };
	struct shown s = { .t = t };
	unsigned only = 0;
	const char *ip;
	bool one = json_object_get(params, "port");
	int err = params_check(params, known, error);

	err = err ?: params_str(params, "ip", &ip, error);
	err = err   ?:
		      params_int(params, "limit", INT32_MAX, 0, INT32_MAX,
				 &s.limit, error);
	if (!err && one)
		err = need_port(t, params, &only, error);
	if (!err && ip)
		err = read_ip(ip, &s.ip, error);
	if (err)
		return err;
	s.list = json_array();
	show_claims(&s, one ? (int)only : -1);
	if (!s.failed)
		*result = json_pack("{sO sI sI}", "claims", s.list, "count",
				    s.n, "capacity",
				    (json_int_t)t->options.claims);
	json_decref(s.list);
	return *result ? 0 : error_set(error, -ENOMEM, "out of memory");
}

int t3_command(void *state, const char *method, json_t *params, json_t **result,
	       struct glen_error *error)
{
	*result = NULL;
	if (!strcmp(method, "tuple3.claim"))
		return change(state, true, params, result, error);
	if (!strcmp(method, "tuple3.release"))
		return change(state, false, params, result, error);
	if (!strcmp(method, "tuple3.show"))
		return show(state, params, result, error);
	return -ENOSYS;
}
