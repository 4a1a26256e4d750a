// SPDX-License-Identifier: BSD-2-Clause
// claim.c - claims of module tuple3: make them, end them, make them again.
/*
 * The port remembers its claims as the objects that glend is asked with, by a
 * text that says the same, so that a new glend can be asked for them. What
 * glend answered that it made or ended is what is remembered; what is unknown
 * because the connection broke is gone with the connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/error.h"
#include "lib/port.h"

enum {
	CLAIM_MS = 10000, /* patience with glend's answer */
	CHUNK = 4096,	  /* claims of a message, which must not be too long */
	KEY_SIZE = INET6_ADDRSTRLEN + 16,
};

/* The text that a claim is remembered by. */
static const char *key_of(json_t *object, char key[KEY_SIZE])
{
	const char *ip = json_string_value(json_object_get(object, "ip"));
	const char *protocol = json_string_value(
		json_object_get(object, "protocol"));

	snprintf(key, KEY_SIZE, "%s %s %d", ip ? ip : "",
		 protocol ? protocol : "",
		 (int)json_integer_value(json_object_get(object, "port")));
	return key;
}

static json_t *claim_object(const struct glen_claim *c,
			    struct glen_error *error)
{
	char ip[INET6_ADDRSTRLEN];
	json_t *object;

	if ((c->family != AF_INET && c->family != AF_INET6) ||
	    (c->protocol != IPPROTO_TCP && c->protocol != IPPROTO_UDP)) {
		error_set(error, -EINVAL,
			  "a claim has family AF_INET or AF_INET6, not %d, "
			  "and protocol IPPROTO_TCP or IPPROTO_UDP, not %d",
			  c->family, c->protocol);
		return NULL;
	}
	inet_ntop(c->family, c->ip, ip, sizeof(ip));
	object = json_pack("{s:s, s:s, s:i}", "ip", ip, "protocol",
			   c->protocol == IPPROTO_TCP ? "tcp" : "udp", "port",
			   (int)c->port);
	if (!object)
		error_set(error, -ENOMEM, "out of memory");
	return object;
}

/* The list that a message carries; NULL and *error. */
static json_t *claim_list(const struct glen_claim *claims, unsigned n,
			  struct glen_error *error)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++) {
		json_t *object = claim_object(&claims[i], error);

		if (!object || json_array_append_new(list, object)) {
			if (object)
				error_set(error, -ENOMEM, "out of memory");
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* Asks glend, or the switch of this process. list is taken. */
static int ask(struct glen_port *port, const char *method, json_t *list,
	       json_t **result, struct glen_error *error)
{
	json_t *params = json_pack("{s:s, s:o}", "port", port->name, "claims",
				   list);
	int err;

	*result = NULL;
	if (!port->local)
		return link_call(port, method, params, result, CLAIM_MS, error);
	if (port->command)
		err = port->command(port->arg, method, params, result, error);
	else
		err = error_set(error, -EOPNOTSUPP, "there are no claims here");
	json_decref(params);
	return err;
}

/* Remembers what glend says that it made, and the numbers it chose. */
static int made(struct glen_port *port, json_t *list, struct glen_claim *claims,
		unsigned n)
{
	char key[KEY_SIZE];

	if (json_array_size(list) != n)
		return -EPROTO;
	if (!port->claims)
		port->claims = json_object();
	for (unsigned i = 0; i < n; i++) {
		json_t *object = json_array_get(list, i);
		json_int_t number = json_integer_value(
			json_object_get(object, "port"));

		if (number < 1 || number > 65535)
			return -EPROTO;
		claims[i].port = (uint16_t)number;
		if (json_object_set(port->claims, key_of(object, key), object))
			return -ENOMEM;
	}
	return 0;
}

static int claim_chunk(struct glen_port *port, struct glen_claim *claims,
		       unsigned n, struct glen_error *error)
{
	json_t *list = claim_list(claims, n, error), *result;
	int err;

	if (!list)
		return error->code;
	err = ask(port, "tuple3.claim", list, &result, error);
	if (err)
		return err;
	err = made(port, json_object_get(result, "claims"), claims, n);
	json_decref(result);
	return err ? error_set(error, err, "cannot note down the claims: %s",
			       strerror(-err)) :
		     0;
}

static int unclaim_chunk(struct glen_port *port,
			 const struct glen_claim *claims, unsigned n,
			 struct glen_error *error)
{
	json_t *list = claim_list(claims, n, error), *result, *object;
	char key[KEY_SIZE];
	size_t i;
	int err;

	if (!list)
		return error->code;
	json_incref(list);
	err = ask(port, "tuple3.release", list, &result, error);
	if (!err)
		json_array_foreach(list, i, object)
			json_object_del(port->claims, key_of(object, key));
	json_decref(list);
	json_decref(result);
	return err;
}

/* Why a port that is closed for good refuses; or too many claims. */
static int check(struct glen_port *port, unsigned n, struct glen_error *error)
{
	if (port_epoch(port) == EPOCH_DEAD)
		return error_set(error, -ENOTCONN, "%s", port->error);
	if (n > GLEN_CLAIMS_MAX)
		return error_set(error, -EINVAL, "at most %d claims at a time",
				 GLEN_CLAIMS_MAX);
	return 0;
}

static unsigned chunk(unsigned n)
{
	return n < CHUNK ? n : CHUNK;
}

/* What was made before the error ends; then numbers that were chosen mean
 * nothing any more. */
static void undo(struct glen_port *port, struct glen_claim *claims, unsigned n)
{
	struct glen_error ignored;

	for (unsigned i = 0; i < n; i += chunk(n - i))
		unclaim_chunk(port, claims + i, chunk(n - i), &ignored);
}

int glen_claim(struct glen_port *port, struct glen_claim *claims, unsigned n,
	       struct glen_error *error)
{
	struct glen_error mine = { 0 };
	unsigned done = 0;
	int err;

	if (!error)
		error = &mine;
	err = check(port, n, error);
	if (err)
		return err;
	pthread_mutex_lock(&port->link.lock);
	for (; done < n && !err; done += err ? 0 : chunk(n - done))
		err = claim_chunk(port, claims + done, chunk(n - done), error);
	if (err)
		undo(port, claims, done);
	pthread_mutex_unlock(&port->link.lock);
	return err;
}

int glen_unclaim(struct glen_port *port, const struct glen_claim *claims,
		 unsigned n, struct glen_error *error)
{
	struct glen_error mine = { 0 };
	int err;

	if (!error)
		error = &mine;
	err = check(port, n, error);
	if (err)
		return err;
	pthread_mutex_lock(&port->link.lock);
	for (unsigned i = 0; i < n && !err; i += chunk(n - i))
		err = unclaim_chunk(port, claims + i, chunk(n - i), error);
	pthread_mutex_unlock(&port->link.lock);
	return err;
}

unsigned glen_port_claims(struct glen_port *port)
{
	unsigned n;

	pthread_mutex_lock(&port->link.lock);
	n = (unsigned)json_object_size(port->claims);
	pthread_mutex_unlock(&port->link.lock);
	return n;
}

/* Asks for a list (taken). Claims that are refused are forgotten. */
static int again(struct glen_port *port, json_t *list)
{
	struct rpc *rpc = &port->link.rpc;
	char key[KEY_SIZE];
	json_t *object;
	size_t i;
	int err = rpc_call(rpc, "tuple3.claim",
			   json_pack("{s:s, s:O}", "port", port->name, "claims",
				     list),
			   NULL, 0, NULL, CLAIM_MS, NULL);
	bool broken = err == -ECONNRESET || err == -EPROTO || err == -ETIMEDOUT;

	if (!err || broken)
		goto out;
	err = 0;
	if (json_array_size(list) == 1) {
		object = json_array_get(list, 0);
		json_object_del(port->claims, key_of(object, key));
		goto out;
	}
	/* Somebody has one of them: the others one by one. */
	json_array_foreach(list, i, object) {
		err = again(port, json_pack("[O]", object));
		if (err)
			break;
	}
out:
	json_decref(list);
	return err;
}

int claims_again(struct glen_port *port)
{
	json_t *all = json_copy(port->claims), *list = NULL, *object;
	size_t left = json_object_size(all);
	const char *key;
	int err = 0;

	json_object_foreach(all, key, object) {
		if (!list)
			list = json_array();
		json_array_append(list, object);
		if (--left && json_array_size(list) < CHUNK)
			continue;
		err = again(port, list);
		list = NULL;
		if (err)
			break;
	}
	json_decref(all);
	return err;
}
