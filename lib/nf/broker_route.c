// SPDX-License-Identifier: BSD-2-Clause
// broker_route.c - make every thread's route table and publish it.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nf/broker.h"

enum { MANY = GLEN_NF_INSTANCES_MAX * GLEN_NF_THREADS_MAX };

/* Candidates of one target, from one sender's point of view. */
struct candidates {
	struct balance_candidate of[MANY];
	struct pipe_out *outs[MANY];
	unsigned n;
	uint16_t held[MANY];
	unsigned n_held;
	uint16_t map[BALANCE_BUCKETS];
};

static void collect(struct candidates *c, const struct broker_thread *t,
		    const struct broker_service *s, int port)
{
	c->n = c->n_held = 0;
	for (struct broker_pipe *p = t->pipes; p && c->n < MANY; p = p->next) {
		if (p->to->service != s || (!s && p->to->port != port))
			continue;
		if (p->state == PIPE_OPEN && p->to->state == THREAD_LIVE) {
			c->of[c->n].id = p->to->id;
			c->of[c->n].weight = p->to->weight;
			c->outs[c->n++] = &p->out;
		} else if (s && s->hold) {
			c->held[c->n_held++] = p->to->id;
		}
	}
}

/* What a sender remembers of a service; made when it is first needed. */
static struct balance_memory *memory_of(struct broker_thread *t,
					const struct broker_service *s)
{
	bool sticky = s->balance == GLEN_NF_BALANCE_LEAST_QUEUE_FLOW;
	struct balance_memory **m = &t->memory[2 * s->number + sticky];

	if (!*m)
		*m = calloc(1, sizeof(**m) + (sticky ? BALANCE_FLOWS : 0) *
						     sizeof((*m)->flow[0]));
	return *m;
}

static int target_service(struct nf_target *target, struct broker_thread *t,
			  const struct broker_service *s, struct candidates *c)
{
	struct route_some some = { .kind = s->balance,
				   .candidates = c->of,
				   .outs = c->outs,
				   .map = c->map,
				   .held = c->held };

	collect(c, t, s, -1);
	if (!c->n)
		return 0;
	if (c->n == 1 && !s->hold) {
		target->kind = NF_TO_ONE;
		target->one = c->outs[0];
		return 0;
	}
	for (unsigned i = 0; i < BALANCE_BUCKETS; i++)
		c->map[i] = s->hold && s->map[i] != s->map_next[i] ?
				    BALANCE_HELD :
				    s->map[i];
	some.n = c->n;
	some.n_held = c->n_held;
	some.memory = memory_of(t, s);
	return some.memory ? route_some(target, &some) : -ENOMEM;
}

static void target_port(struct nf_target *target, struct broker_thread *t,
			int port, struct candidates *c)
{
	collect(c, t, NULL, port);
	if (!c->n)
		return;
	target->kind = NF_TO_ONE;
	target->one = c->outs[0];
}

static unsigned count_in(const struct broker *b, const struct broker_thread *t)
{
	unsigned n = 0;

	for (const struct broker_thread *f = b->threads; f; f = f->next)
		for (const struct broker_pipe *p = f->pipes; p; p = p->next)
			n += p->to == t && p->state != PIPE_GONE;
	return n;
}

static unsigned count_out(const struct broker_thread *t)
{
	unsigned n = 0;

	for (const struct broker_pipe *p = t->pipes; p; p = p->next)
		n += p->state == PIPE_OPEN;
	return n;
}

/* The ends of a thread's pipes. */
static void fill_ends(struct nf_route *r, const struct broker *b,
		      const struct broker_thread *t)
{
	unsigned n = 0;

	for (struct broker_thread *f = b->threads; f; f = f->next)
		for (struct broker_pipe *p = f->pipes; p; p = p->next)
			if (p->to == t && p->state != PIPE_GONE)
				r->in[n++] = &p->input;
	n = 0;
	for (struct broker_pipe *p = t->pipes; p; p = p->next) {
		if (p->state != PIPE_OPEN)
			continue;
		r->loop[n] = p->loop;
		r->out[n++] = &p->out;
	}
}

static struct nf_route *table_make(struct broker *b, struct broker_thread *t,
				   struct candidates *c)
{
	struct nf_route *r = route_create(count_in(b, t), count_out(t),
					  b->n_services, b->n_ports, b->chains);

	if (!r)
		return NULL;
	fill_ends(r, b, t);
	r->epoch = b->epoch;
	for (unsigned i = 0; i < b->n_services; i++) {
		if (target_service(&r->service[i], t, b->service[i], c)) {
			route_destroy(r);
			return NULL;
		}
	}
	for (unsigned i = 0; i < b->n_ports; i++)
		target_port(&r->port[i], t, (int)i, c);
	return r;
}

/* Hands a table to its thread. */
static void publish(struct broker *b, struct broker_thread *t,
		    struct nf_route *r)
{
	/* Release: the thread sees what the table consists of. */
	struct nf_route *unseen =
		atomic_exchange_explicit(&t->t->next, r, memory_order_acq_rel);

	if (unseen) {
		route_destroy(unseen);
	} else {
		/* The last one is in use, so the one before is not. */
		route_destroy(t->old);
		t->old = t->route;
	}
	t->route = r;
	b->ops->published(b->arg, t);
}

static int chains_renew(struct broker *b)
{
	struct nf_chains *c = chains_create(b->n_chains);

	if (!c)
		return -ENOMEM;
	for (unsigned i = 0; i < b->n_chains; i++)
		c->chain[i] = b->chain[i]->chain;
	chains_put(b->chains);
	b->chains = c;
	return 0;
}

int broker_publish(struct broker *b)
{
	struct candidates *c = malloc(sizeof(*c));
	int err = c ? chains_renew(b) : -ENOMEM;

	if (err)
		goto out;
	b->epoch++;
	for (struct broker_thread *t = b->threads; t; t = t->next) {
		struct nf_route *r;

		if (t->state == THREAD_STOPPED)
			continue;
		r = table_make(b, t, c);
		if (!r) {
			err = -ENOMEM;
			break;
		}
		publish(b, t, r);
	}
out:
	b->stale = err;
	free(c);
	return err;
}

void broker_rebalance(struct broker *b, struct broker_service *s)
{
	struct balance_candidate c[MANY];
	bool moved = false;
	unsigned n = 0;

	for (struct broker_thread *t = b->threads; t && n < MANY; t = t->next)
		if (t->service == s && t->state == THREAD_LIVE)
			c[n++] = (struct balance_candidate){ t->id, t->weight };
	for (unsigned i = 0; !n && i < BALANCE_BUCKETS; i++)
		s->map_next[i] = BALANCE_NOBODY;
	if (n)
		balance_map(c, n, s->map_next);
	for (unsigned i = 0; i < BALANCE_BUCKETS; i++) {
		/* Nothing to wait for where nobody had it, or nobody gets it.
		 * */
		if (s->map[i] == BALANCE_NOBODY ||
		    s->map_next[i] == BALANCE_NOBODY)
			s->map[i] = s->map_next[i];
		moved |= s->map[i] != s->map_next[i];
	}
	if (s->balance == GLEN_NF_BALANCE_FLOW ||
	    s->balance == GLEN_NF_BALANCE_LEAST_QUEUE_FLOW) {
		s->hold = moved ? HOLD_TABLES : HOLD_NONE;
	} else {
		memcpy(s->map, s->map_next, sizeof(s->map));
		s->hold = HOLD_NONE;
	}
}
