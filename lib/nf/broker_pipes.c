// SPDX-License-Identifier: BSD-2-Clause
// broker_pipes.c - which pipes a group needs, and which of them close a loop.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nf/broker.h"

int broker_pipe_open(struct broker *b, struct broker_thread *from,
		     struct broker_thread *to)
{
	struct broker_pipe *p = calloc(1, sizeof(*p));
	uint32_t *ids = malloc(b->pipe_slots * sizeof(*ids));
	int err = -ENOMEM;

	if (!p || !ids)
		goto err_free;
	p->input.held = calloc(GLEN_NF_BATCH_MAX, sizeof(*p->input.held));
	p->window = b->ops->pipe_memory(b->arg, pipe_size(b->pipe_slots),
					&p->memory);
	if (!p->input.held || !p->window)
		goto err_memory;
	err = broker_bufs_get(b, ids, b->pipe_slots);
	if (err)
		goto err_memory;
	pipe_init(p->window, b->pipe_slots, ids);
	pipe_out_init(&p->out, p->window, b->pipe_slots, to->t->wake_fd);
	pipe_in_init(&p->input.in, p->window, b->pipe_slots, from->t->wake_fd);
	p->from = from;
	p->to = to;
	p->next = from->pipes;
	from->pipes = p;
	p->wanted = true;
	free(ids);
	return 0;
err_memory:
	if (p->window)
		b->ops->pipe_free(b->arg, p->window, pipe_size(b->pipe_slots),
				  p->memory);
	free(p->input.held);
err_free:
	free(ids);
	free(p);
	return err;
}

void broker_pipe_free(struct broker *b, struct broker_pipe *p)
{
	struct broker_pipe **at = &p->from->pipes;

	for (uint32_t i = 0; i < b->pipe_slots; i++) {
		uint32_t id = slot_buf(slot_load(&p->window->slot[i]));

		broker_bufs_put(b, &id, 1);
	}
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	b->ops->pipe_free(b->arg, p->window, pipe_size(b->pipe_slots),
			  p->memory);
	free(p->input.held);
	free(p);
}

bool broker_has_inputs(const struct broker *b, const struct broker_thread *t)
{
	for (const struct broker_thread *f = b->threads; f; f = f->next)
		for (const struct broker_pipe *p = f->pipes; p; p = p->next)
			if (p->to == t)
				return true;
	return false;
}

/* Whether somebody sends to the service by verdict. */
static bool is_wanted(const struct broker *b, unsigned service)
{
	for (const struct broker_thread *t = b->threads; t; t = t->next)
		if (t->wants && t->wants->service[service])
			return true;
	return false;
}

/* What comes behind place i of a chain becomes a target. */
static void want_next(struct broker *b, const struct nf_chain *c, unsigned i)
{
	if (i + 1 < c->n)
		b->want.service[c->service[i + 1]] = true;
	else if (c->exit != NF_NO_PORT)
		b->want.port[c->exit] = true;
}

/* What NEXT means to instances of a service. */
static void want_chains(struct broker *b, unsigned service)
{
	/* A packet that came by verdict may be anywhere in any chain. */
	bool anywhere = is_wanted(b, service);

	for (unsigned n = 0; n < b->n_chains; n++) {
		const struct nf_chain *c = &b->chain[n]->chain;

		for (unsigned i = 0; i < c->n; i++)
			if (anywhere || c->service[i] == service)
				want_next(b, c, i);
	}
}

/* Fills b->want with all that t may send to. */
static void targets_find(struct broker *b, const struct broker_thread *t)
{
	memset(b->want.service, 0, b->n_services);
	memset(b->want.port, 0, b->n_ports);
	if (t->service)
		want_chains(b, t->service->number);
	if (!t->wants)
		return;
	for (unsigned i = 0; i < b->n_services; i++)
		b->want.service[i] |= t->wants->service[i];
	for (unsigned i = 0; i < b->n_ports; i++)
		b->want.port[i] |= t->wants->port[i];
	for (unsigned i = 0; i < b->n_chains; i++)
		if (t->wants->chain[i] && b->chain[i]->chain.n)
			b->want.service[b->chain[i]->chain.service[0]] = true;
}

static bool is_target(const struct broker *b, const struct broker_thread *t)
{
	if (t->state != THREAD_LIVE)
		return false;
	return t->service ? b->want.service[t->service->number] :
			    b->want.port[t->port];
}

/* The pipe from one to the other is wanted, and made if there is none. */
static int want_pipe(struct broker *b, struct broker_thread *from,
		     struct broker_thread *to)
{
	for (struct broker_pipe *p = from->pipes; p; p = p->next) {
		if (p->to != to)
			continue;
		p->wanted = true;
		p->state = PIPE_OPEN;
		return 0;
	}
	return broker_pipe_open(b, from, to);
}

static int pipes_find(struct broker *b)
{
	int err = 0;

	for (struct broker_thread *t = b->threads; t; t = t->next) {
		struct broker_pipe *p;

		if (t->state == THREAD_STOPPED)
			continue;
		for (p = t->pipes; p; p = p->next)
			p->wanted = false;
		targets_find(b, t);
		for (struct broker_thread *to = b->threads; to; to = to->next)
			if (is_target(b, to) && !err)
				err = want_pipe(b, t, to);
		for (p = t->pipes; p; p = p->next)
			if (!p->wanted && p->state == PIPE_OPEN)
				p->state = PIPE_CUT;
	}
	return err;
}

enum { EDGE_NONE, EDGE_PIPE, EDGE_LOOP };

static void walk(struct broker *b, unsigned at)
{
	b->service[at]->walk = WALK_PATH;
	for (unsigned to = 0; to < b->n_services; to++) {
		if (!b->edge[at][to])
			continue;
		if (b->service[to]->walk == WALK_PATH)
			b->edge[at][to] = EDGE_LOOP;
		else if (b->service[to]->walk == WALK_NEW)
			walk(b, to);
	}
	b->service[at]->walk = WALK_DONE;
}

static bool has_edge_to(const struct broker *b, unsigned to)
{
	for (unsigned from = 0; from < b->n_services; from++)
		if (from != to && b->edge[from][to])
			return true;
	return false;
}

/* Services where packets enter, or that nobody sends to, are walked first. */
static void walk_all(struct broker *b)
{
	for (unsigned i = 0; i < b->n_services; i++)
		b->service[i]->walk = WALK_NEW;
	for (struct broker_thread *t = b->threads; t; t = t->next)
		for (struct broker_pipe *p = t->pipes; p; p = p->next)
			if (!t->service && p->to->service &&
			    p->to->service->walk == WALK_NEW)
				walk(b, p->to->service->number);
	for (unsigned i = 0; i < b->n_services; i++)
		if (b->service[i]->walk == WALK_NEW && !has_edge_to(b, i))
			walk(b, i);
	for (unsigned i = 0; i < b->n_services; i++)
		if (b->service[i]->walk == WALK_NEW)
			walk(b, i);
}

static void loops_find(struct broker *b)
{
	struct broker_pipe *p;

	memset(b->edge, 0, sizeof(b->edge));
	for (struct broker_thread *t = b->threads; t; t = t->next)
		for (p = t->pipes; p; p = p->next)
			if (t->service && p->to->service)
				b->edge[t->service->number]
				       [p->to->service->number] = EDGE_PIPE;
	walk_all(b);
	for (struct broker_thread *t = b->threads; t; t = t->next)
		for (p = t->pipes; p; p = p->next)
			p->loop = t->service && p->to->service &&
				  b->edge[t->service->number]
					 [p->to->service->number] == EDGE_LOOP;
}

int broker_update(struct broker *b)
{
	int err = pipes_find(b);

	loops_find(b);
	return broker_publish(b) ?: err;
}
