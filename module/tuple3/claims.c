// SPDX-License-Identifier: BSD-2-Clause
// tuple3/claims.c - makes and ends claims, and keeps what follows from them.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/error.h"
#include "module/tuple3/tuple3.h"

enum {
	NO_SET = GLEN_SETS_MAX + 1,
	META_FAMILY = 0xff000000,
	/* Port 0 of a claim: first where Linux takes none for itself. */
	FREE_FIRST = 61000,
	FREE_LOW = 49152,
	FREE_END = 65536,
};

static void retire(void *arg, void *array)
{
	struct tuple3 *t = arg;

	glen_module_defer(t->env, free, array);
}

/* IPv4 claims and addresses: those that quick.h has as well. */
static bool is_quick(const struct t3_key *key)
{
	return key->meta >> 24 == 4 && (key->meta >> 16 & 0xff) != T3_OWNER;
}

static uint64_t quick_key(const struct t3_key *key)
{
	return t3_quick_key(key->a1, key->meta & 0xffff,
			    key->meta >> 16 & 0xff);
}

/* -ENOMEM: nothing changed; not if the key is there already. */
static int put(struct tuple3 *t, struct t3_entry *e, uint64_t value)
{
	/* Of an address it is enough that it is there. */
	uint64_t port = value >> 32 ? 1 : value;
	int err = t3_table_put(&t->table, &e->key, value, e, retire, t);

	if (err || !is_quick(&e->key))
		return err;
	err = t3_quick_put(&t->quick, quick_key(&e->key), port, retire, t);
	if (err)
		t3_table_remove(&t->table, &e->key);
	return err;
}

static struct t3_entry *get(const struct tuple3 *t, const struct t3_key *key)
{
	return t3_table_get(&t->table, key);
}

static void drop_entry(struct tuple3 *t, struct t3_entry *e)
{
	if (is_quick(&e->key))
		t3_quick_remove(&t->quick, quick_key(&e->key));
	t3_table_remove(&t->table, &e->key);
	free(e);
}

static struct t3_key address_key(const struct t3_key *key)
{
	return (struct t3_key){ key->a0, key->a1, key->meta & META_FAMILY };
}

static struct t3_key owner_key(const struct t3_key *key, unsigned port)
{
	return (struct t3_key){ key->a0, key->a1,
				(key->meta & META_FAMILY) | T3_OWNER << 16 |
					port };
}

/* A new entry in the table, with a count of 1. */
static struct t3_entry *make(struct tuple3 *t, struct t3_key key, unsigned port,
			     uint64_t value)
{
	struct t3_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->key = key;
	e->port = port;
	e->count = 1;
	e->set = NO_SET;
	if (!put(t, e, value))
		return e;
	free(e);
	return NULL;
}

/* Addresses */

static uint64_t address_value(uint32_t verdict)
{
	return 1ULL << 32 | verdict;
}

/* The second port makes a set of an address's port. */
static int make_set(struct tuple3 *t, struct t3_entry *address)
{
	uint32_t set;
	int err = glen_module_set_create(t->env, &set);

	if (err)
		return err;
	err = glen_module_set_add(t->env, set, address->port, NULL);
	if (err) {
		glen_module_set_destroy(t->env, set);
		return err;
	}
	address->set = set;
	put(t, address, address_value(glen_to_set(set)));
	return 0;
}

static int address_join(struct tuple3 *t, const struct t3_key *key,
			unsigned port)
{
	struct t3_key where = address_key(key);
	struct t3_entry *e = get(t, &where);
	int err = 0;

	if (!e)
		return make(t, where, port, address_value(glen_to_port(port))) ?
			       0 :
			       -ENOMEM;
	if (e->set == NO_SET)
		err = make_set(t, e);
	if (!err)
		err = glen_module_set_add(t->env, e->set, port, NULL);
	e->count += !err;
	return err;
}

/* A set that is left with one port stays until that goes as well. */
static void address_leave(struct tuple3 *t, const struct t3_key *key,
			  unsigned port)
{
	struct t3_key where = address_key(key);
	struct t3_entry *e = get(t, &where);
	uint32_t set = e->set;

	if (set != NO_SET)
		glen_module_set_remove(t->env, set, port);
	if (--e->count)
		return;
	drop_entry(t, e);
	if (set != NO_SET)
		glen_module_set_destroy(t->env, set);
}

static int owner_join(struct tuple3 *t, const struct t3_key *key, unsigned port)
{
	struct t3_key who = owner_key(key, port);
	struct t3_entry *e = get(t, &who);
	int err;

	if (e) {
		e->count++;
		return 0;
	}
	e = make(t, who, port, 1);
	if (!e)
		return -ENOMEM;
	err = address_join(t, key, port);
	if (err)
		drop_entry(t, e);
	return err;
}

static void owner_leave(struct tuple3 *t, const struct t3_key *key,
			unsigned port)
{
	struct t3_key who = owner_key(key, port);
	struct t3_entry *e = get(t, &who);

	if (--e->count)
		return;
	drop_entry(t, e);
	address_leave(t, key, port);
}

/* Claims */

static void link_claim(struct t3_port *p, struct t3_entry *e)
{
	e->next = p->claims;
	e->prev = &p->claims;
	if (e->next)
		e->next->prev = &e->next;
	p->claims = e;
	p->n_claims++;
}

static void unlink_claim(struct t3_port *p, struct t3_entry *e)
{
	*e->prev = e->next;
	if (e->next)
		e->next->prev = e->prev;
	p->n_claims--;
}

static void end_claim(struct tuple3 *t, struct t3_entry *e)
{
	struct t3_key key = e->key;
	unsigned port = e->port;

	unlink_claim(&t->ports[port], e);
	drop_entry(t, e);
	owner_leave(t, &key, port);
	t->n_claims--;
}

/* A number for a claim of port 0; 0: all are taken. */
static uint16_t free_port(const struct tuple3 *t, const char *name,
			  struct t3_key key, unsigned from, unsigned end)
{
	uint32_t start = 0, n = end - from;

	if (getrandom(&start, sizeof(start), 0) != sizeof(start))
		start = 0; /* no more than easier to guess */
	for (unsigned i = 0; i < n; i++) {
		unsigned port = from + (start % n + i) % n;

		key.meta = (key.meta & ~0xffffULL) | htons(port);
		if (!get(t, &key) && t3_allowed(t->options.allow, name, &key))
			return port;
	}
	return 0;
}

static int choose_port(const struct tuple3 *t, const char *name,
		       struct t3_claim *c, struct glen_error *error)
{
	char text[T3_TEXT_SIZE];

	c->port = free_port(t, name, c->key, FREE_FIRST, FREE_END);
	if (!c->port)
		c->port = free_port(t, name, c->key, FREE_LOW, FREE_FIRST);
	if (!c->port && t->options.allow)
		return error_set(error, -EACCES,
				 "%s: no port from %d up is free that option "
				 "allow of module tuple3 lets %s claim",
				 t3_text(&c->key, text), FREE_LOW, name);
	if (!c->port)
		return error_set(error, -EADDRINUSE,
				 "%s: all ports from %d up are claimed; "
				 "release some, or choose one below",
				 t3_text(&c->key, text), FREE_LOW);
	c->key.meta |= htons(c->port);
	return 0;
}

static int one(struct tuple3 *t, unsigned port, struct t3_claim *c,
	       struct glen_error *error)
{
	char text[T3_TEXT_SIZE];
	struct t3_entry *e;
	const char *name = t->ports[port].name;
	int err = c->port ? 0 : choose_port(t, name, c, error);

	if (err)
		return err;
	if (!t3_allowed(t->options.allow, name, &c->key))
		return error_set(error, -EACCES,
				 "port %s may not claim %s: option allow of "
				 "module tuple3 says who may",
				 name, t3_text(&c->key, text));
	e = get(t, &c->key);
	if (e)
		return error_set(error, -EADDRINUSE,
				 "%s is claimed by port %s%s already",
				 t3_text(&c->key, text), t->ports[e->port].name,
				 e->port == port ? " itself" : "");
	if (t->n_claims >= t->options.claims)
		return error_set(error, -ENOSPC,
				 "there are %u claims already, as many as "
				 "option claims of the module allows",
				 t->n_claims);
	e = make(t, c->key, port, port + 1);
	if (!e)
		return error_set(error, -ENOMEM, "no memory for a claim");
	err = owner_join(t, &c->key, port);
	if (err) {
		drop_entry(t, e);
		return error_set(error, err, "cannot note down a claim: %s",
				 strerror(-err));
	}
	link_claim(&t->ports[port], e);
	t->n_claims++;
	return 0;
}

int t3_claim(struct tuple3 *t, unsigned port, struct t3_claim *claims,
	     unsigned n, struct glen_error *error)
{
	for (unsigned i = 0; i < n; i++) {
		int err = one(t, port, &claims[i], error);

		if (!err)
			continue;
		while (i--)
			end_claim(t, get(t, &claims[i].key));
		return err;
	}
	return 0;
}

int t3_release(struct tuple3 *t, unsigned port, const struct t3_claim *claims,
	       unsigned n, struct glen_error *error)
{
	char text[T3_TEXT_SIZE];

	for (unsigned i = 0; i < n; i++) {
		const struct t3_entry *e = get(t, &claims[i].key);

		if (!e || e->port != port || !claims[i].port)
			return error_set(error, -ENOENT,
					 "port %s has no claim on %s",
					 t->ports[port].name,
					 t3_text(&claims[i].key, text));
	}
	for (unsigned i = 0; i < n; i++) {
		struct t3_entry *e = get(t, &claims[i].key);

		/* NULL: it was named twice. */
		if (e)
			end_claim(t, e);
	}
	return 0;
}

void t3_disallow(struct tuple3 *t)
{
	for (unsigned i = 0; i < T3_PORTS; i++) {
		struct t3_entry *e = t->ports[i].claims, *next;

		for (; e; e = next) {
			next = e->next;
			if (!t3_allowed(t->options.allow, t->ports[i].name,
					&e->key))
				end_claim(t, e);
		}
	}
}

void t3_release_all(struct tuple3 *t, unsigned port)
{
	while (t->ports[port].claims)
		end_claim(t, t->ports[port].claims);
}

int t3_ip_text(const struct t3_key *key, char *text, size_t size)
{
	uint64_t words[2] = { key->a0, key->a1 };
	int family = key->meta >> 24 == 4 ? AF_INET : AF_INET6;

	inet_ntop(family, family == AF_INET ? &words[1] : &words[0], text,
		  size);
	return family;
}

const char *t3_text(const struct t3_key *key, char text[T3_TEXT_SIZE])
{
	char ip[INET6_ADDRSTRLEN];

	t3_ip_text(key, ip, sizeof(ip));
	snprintf(text, T3_TEXT_SIZE, "%s %s %u", ip,
		 (key->meta >> 16 & 0xff) == T3_TCP ? "tcp" : "udp",
		 ntohs(key->meta & 0xffff));
	return text;
}
