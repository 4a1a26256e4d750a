// SPDX-License-Identifier: BSD-2-Clause
// edge.c - a port of a switch as entry and exit of a group.
/*
 * An edge is an instance of a program of the runtime's own, with one thread.
 * Its turn() receives from all rings of the port, copies each packet into a
 * spare buffer and sends it into the chain; what the chain does not take waits,
 * and nothing more is received meanwhile: so the port's rings fill, and the
 * switch drops what exceeds them, before any work was spent on it. Its
 * process() is shown what leaves the group and sends it; what the port does not
 * take stays in its pipes (NF_STAY).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "lib/flow_hash.h"
#include "lib/nf/group.h"

enum {
	RECEIVE = 64, /* packets per ring and turn */
	SPARE = 512,
};

struct edge {
	struct glen_port *port;
	int chain;		/* -1: only an exit */
	uint16_t number;	/* of the port */
	bool attached;		/* the port is ours */
	const char *chain_name; /* while it is attached; NULL: none */
	struct glen_nf_packet waiting[RECEIVE];
	unsigned n_waiting, first; /* made; the first that is not sent */
};

static struct edge *edge_of(struct glen_nf_thread *t)
{
	return glen_nf_state(glen_nf_of(t));
}

/* False: the chain takes no more at the moment. */
static bool flush(struct glen_nf_thread *t, struct edge *e)
{
	e->first += glen_nf_send(t, e->waiting + e->first,
				 e->n_waiting - e->first);
	if (e->first < e->n_waiting)
		return false;
	e->first = e->n_waiting = 0;
	return true;
}

static uint16_t hash_of(const struct glen_packet *p)
{
	uint32_t hash = p->len < 14 ? 1 : flow_hash(p->data, p->len);

	return (uint16_t)(hash ^ hash >> 16) ?: 1;
}

/* Copies a packet in, or counts why not. */
static void enter(struct glen_nf_thread *t, struct edge *e,
		  const struct glen_packet *packet)
{
	struct glen_nf_packet *p = &e->waiting[e->n_waiting];

	if (e->chain < 0) {
		nf_add(&t->stats.made, 1);
		nf_add(&t->stats.drops[NF_DROP_NO_CHAIN], 1);
		return;
	}
	if (glen_nf_alloc(t, packet->len, p)) {
		nf_add(&t->stats.made, 1);
		nf_add(&t->stats.drops[NF_DROP_TOO_LONG], 1);
		return;
	}
	memcpy(p->data, packet->data, packet->len);
	p->hash = hash_of(packet);
	p->in = e->number;
	p->verdict = glen_nf_to_chain((unsigned)e->chain);
	e->n_waiting++;
}

/* True: there may be more. */
static bool receive(struct glen_nf_thread *t, struct edge *e, unsigned ring)
{
	struct glen_packet packets[RECEIVE];
	int n;

	/* A packet that cannot have a buffer now can have one later. */
	if (glen_nf_spare(t) < RECEIVE || !flush(t, e))
		return false;
	n = glen_recv(e->port, ring, packets, RECEIVE);
	for (int i = 0; i < n; i++)
		enter(t, e, &packets[i]);
	if (n > 0)
		glen_release(e->port, ring);
	flush(t, e);
	return n > 0;
}

static bool edge_turn(struct glen_nf_thread *t)
{
	struct edge *e = edge_of(t);
	bool again = false;

	for (unsigned i = 0; i < glen_port_rings(e->port); i++)
		again |= receive(t, e, i);
	return again;
}

static void edge_process(struct glen_nf_thread *t, struct glen_nf_packet *p,
			 unsigned n)
{
	struct edge *e = edge_of(t);
	struct glen_packet packets[GLEN_NF_BATCH_MAX];
	int sent;

	for (unsigned i = 0; i < n; i++)
		packets[i] = (struct glen_packet){ p[i].data, p[i].len };
	sent = glen_send(e->port, 0, packets, n);
	for (int i = 0; i < sent; i++)
		p[i].verdict = NF_SENT;
	for (unsigned i = sent > 0 ? (unsigned)sent : 0; i < n; i++)
		p[i].verdict = NF_STAY;
	/* What can never go, or a port that is closed, must not block. */
	for (unsigned i = 0; sent < 0 && i < (sent == -EMSGSIZE ? 1 : n); i++)
		p[i].verdict = glen_nf_out(NF_NO_PORT);
}

/* What the port can wake us for; nothing while a chain is full. */
static bool edge_arm(struct glen_nf_thread *t)
{
	struct edge *e = edge_of(t);
	unsigned events = e->n_waiting ? 0 : GLEN_RX;

	for (unsigned i = 0; i < t->route->n_in; i++)
		if (pipe_in_ready(&t->route->in[i]->in, 1))
			events |= GLEN_TX;
	t->extra_fd = events ? glen_port_fd(e->port) : -1;
	return events && glen_arm(e->port, events) > 0;
}

static int edge_start(struct glen_nf *nf, const struct glen_nf_args *args,
		      struct glen_error *error)
{
	struct edge *e = glen_nf_state(nf);

	e->chain = e->chain_name ? glen_nf_chain(nf, e->chain_name) : -1;
	return e->chain_name && e->chain < 0 ? e->chain : 0;
}

static int edge_thread_start(struct glen_nf_thread *t, struct glen_error *error)
{
	t->arm = edge_arm;
	return 0;
}

static void edge_stop(struct glen_nf *nf)
{
	struct edge *e = glen_nf_state(nf);

	if (!e->attached)
		return;
	glen_port_close(e->port);
	free(e);
}

static const struct glen_nf_program edge_program = {
	.size = sizeof(edge_program),
	.name = "port",
	.start = edge_start,
	.thread_start = edge_thread_start,
	.process = edge_process,
	.turn = edge_turn,
	.stop = edge_stop,
};

/* The number of a port's name without its switch, which no port has yet. */
static int number_make(struct glen_nf_group *g, const char *name,
		       struct glen_error *error)
{
	const struct broker_thread *t;
	int number;

	pthread_mutex_lock(&g->lock);
	number = broker_port(&g->broker, name, true);
	for (t = g->broker.threads; number >= 0 && t; t = t->next)
		if (t->port == number && t->state == THREAD_LIVE)
			number = -EEXIST;
	pthread_mutex_unlock(&g->lock);
	if (number == -EEXIST)
		return error_set(error, number,
				 "the group has a port %s already", name);
	return number < 0 ? error_set(error, number, "port '%s': %s", name,
				      error_reason(-number)) :
			    number;
}

int glen_nf_group_attach(struct glen_nf_group *g, struct glen_port *port,
			 const char *chain, struct glen_error *error)
{
	const char *colon = strchr(glen_port_name(port), ':');
	char service[GLEN_NAME_MAX + 8];
	struct glen_nf_instance c = { .service = service, .spare = SPARE };
	struct edge *e;
	int number, err;

	number = number_make(g, colon ? colon + 1 : glen_port_name(port),
			     error);
	if (number < 0)
		return number;
	e = calloc(1, sizeof(*e));
	if (!e)
		return error_set(error, -ENOMEM, "out of memory");
	snprintf(service, sizeof(service), "port:%s", g->broker.port[number]);
	e->port = port;
	e->number = (uint16_t)number;
	e->chain_name = chain;
	err = instance_add(g, NULL, &edge_program, &c, e, number, error);
	if (err) {
		free(e);
		return err;
	}
	e->attached = true;
	e->chain_name = NULL;
	return 0;
}
