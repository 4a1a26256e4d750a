// SPDX-License-Identifier: BSD-2-Clause
// broker.c - names, threads and buffers of a group.
#include "lib/nf/broker.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int broker_init(struct broker *b, const struct broker_ops *ops, void *arg,
		const struct nf_region *region, unsigned pipe_slots)
{
	memset(b, 0, sizeof(*b));
	b->ops = ops;
	b->arg = arg;
	b->region = *region;
	b->pipe_slots = pipe_slots;
	b->last = &b->threads;
	b->pool = malloc(region->n * sizeof(*b->pool));
	b->chains = chains_create(0);
	if (!b->pool || !b->chains) {
		free(b->pool);
		free(b->chains);
		return -ENOMEM;
	}
	/* From the top: low numbers go first. */
	for (uint32_t i = 0; i < region->n; i++)
		b->pool[i] = region->n - 1 - i;
	b->n_pool = region->n;
	return 0;
}

static void thread_free(struct broker *b, struct broker_thread *t)
{
	unsigned n = 2 * GLEN_NF_SERVICES_MAX;

	for (unsigned i = 0; t->memory && i < n; i++)
		free(t->memory[i]);
	free(t->memory);
	broker_bufs_put(b, t->spare, t->n_spare);
	free(t->spare);
	t->spare = NULL;
	route_destroy(t->old);
	route_destroy(t->route);
	t->old = t->route = NULL;
	b->by_id[t->id] = NULL;
	b->ops->gone(b->arg, t);
}

void broker_fini(struct broker *b)
{
	struct broker_thread *t = b->threads, *next;

	for (; t; t = t->next)
		while (t->pipes)
			broker_pipe_free(b, t->pipes);
	for (t = b->threads; t; t = next) {
		next = t->next;
		thread_free(b, t);
	}
	for (unsigned i = 0; i < b->n_services; i++)
		free(b->service[i]);
	for (unsigned i = 0; i < b->n_chains; i++)
		free(b->chain[i]);
	chains_put(b->chains);
	free(b->pool);
}

/* 1 to 31 letters, digits, '-', '_'. */
static bool good_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' &&
		    name[i] != '_')
			return false;
	return n >= 1 && n <= GLEN_PART_MAX;
}

int broker_service(struct broker *b, const char *name, bool make)
{
	struct broker_service *s;

	for (unsigned i = 0; i < b->n_services; i++)
		if (!strcmp(b->service[i]->name, name))
			return (int)i;
	if (!good_name(name))
		return -EINVAL;
	if (!make)
		return -ENOENT;
	if (b->n_services == GLEN_NF_SERVICES_MAX)
		return -ENOSPC;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	strcpy(s->name, name);
	s->number = b->n_services;
	for (unsigned i = 0; i < BALANCE_BUCKETS; i++)
		s->map[i] = s->map_next[i] = BALANCE_NOBODY;
	b->service[b->n_services++] = s;
	return (int)s->number;
}

int broker_chain(struct broker *b, const char *name, bool make)
{
	struct broker_chain *c;

	for (unsigned i = 0; i < b->n_chains; i++)
		if (!strcmp(b->chain[i]->name, name))
			return (int)i;
	if (!good_name(name))
		return -EINVAL;
	if (!make)
		return -ENOENT;
	if (b->n_chains == GLEN_NF_CHAINS_MAX)
		return -ENOSPC;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	strcpy(c->name, name);
	c->chain.exit = NF_NO_PORT;
	b->chain[b->n_chains] = c;
	return (int)b->n_chains++;
}

int broker_port(struct broker *b, const char *name, bool make)
{
	for (unsigned i = 0; i < b->n_ports; i++)
		if (!strcmp(b->port[i], name))
			return (int)i;
	if (!good_name(name))
		return -EINVAL;
	if (!make)
		return -ENOENT;
	if (b->n_ports == GLEN_NF_PORTS_MAX)
		return -ENOSPC;
	strcpy(b->port[b->n_ports], name);
	return (int)b->n_ports++;
}

int broker_bufs_get(struct broker *b, uint32_t *ids, unsigned n)
{
	if (n > b->n_pool)
		return -ENOSPC;
	for (unsigned i = 0; i < n; i++)
		ids[i] = b->pool[--b->n_pool];
	return 0;
}

void broker_bufs_put(struct broker *b, const uint32_t *ids, unsigned n)
{
	/* What members spoiled must not become buffers beyond the region. */
	for (unsigned i = 0; i < n; i++)
		if (ids[i] < b->region.n && b->n_pool < b->region.n)
			b->pool[b->n_pool++] = ids[i];
}

int broker_thread_add(struct broker *b, struct broker_thread *t)
{
	unsigned id = 0;
	int err;

	while (id < BROKER_THREADS_MAX && b->by_id[id])
		id++;
	if (id == BROKER_THREADS_MAX)
		return -ENOSPC;
	t->memory = calloc(2 * GLEN_NF_SERVICES_MAX, sizeof(*t->memory));
	t->spare = calloc(t->n_spare + 1, sizeof(*t->spare));
	err = t->memory && t->spare ? broker_bufs_get(b, t->spare, t->n_spare) :
				      -ENOMEM;
	if (err) {
		free(t->memory);
		free(t->spare);
		t->memory = NULL;
		t->spare = NULL;
		return err;
	}
	t->id = (uint16_t)id;
	b->by_id[id] = t;
	t->next = NULL;
	*b->last = t;
	b->last = &t->next;
	return 0;
}

/* Takes those out that have stopped and have no pipes any more. */
static bool reap(struct broker *b)
{
	struct broker_thread **at = &b->threads, *t;
	bool waiting = false;

	while ((t = *at)) {
		if (t->state != THREAD_STOPPED || t->pipes ||
		    broker_has_inputs(b, t)) {
			waiting |= t->state != THREAD_LIVE;
			at = &t->next;
			continue;
		}
		*at = t->next;
		thread_free(b, t);
	}
	b->last = at;
	return waiting;
}

/* One step of one pipe's end; true: tables have to change. */
static bool pipe_step(struct broker *b, struct broker_pipe *p)
{
	switch (p->state) {
	case PIPE_OPEN:
		if (p->from->state == THREAD_STOPPED)
			p->state = PIPE_CUT;
		return false;
	case PIPE_CUT:
		p->state = PIPE_DRAIN;
		return false;
	case PIPE_DRAIN:
		if (p->to->state != THREAD_STOPPED && pipe_queued(p->window))
			return false;
		p->state = PIPE_GONE;
		return true;
	case PIPE_GONE:
		b->removed += pipe_queued(p->window);
		broker_pipe_free(b, p);
		return false;
	}
	return false;
}

static bool pipes_step(struct broker *b, bool *changed)
{
	bool pending = false;

	for (struct broker_thread *t = b->threads; t; t = t->next) {
		struct broker_pipe *p = t->pipes, *next;

		for (; p; p = next) {
			next = p->next;
			*changed |= pipe_step(b, p);
		}
		for (p = t->pipes; p; p = p->next)
			pending |= p->state != PIPE_OPEN;
	}
	return pending;
}

/* Whether p is an input (or, if outputs, an output) of service s. */
static bool concerns(const struct broker_pipe *p,
		     const struct broker_service *s, bool outputs)
{
	return (outputs ? p->from : p->to)->service == s;
}

static void note_marks(struct broker *b, const struct broker_service *s,
		       bool outputs)
{
	for (struct broker_thread *t = b->threads; t; t = t->next)
		for (struct broker_pipe *p = t->pipes; p; p = p->next)
			if (concerns(p, s, outputs))
				p->mark = shm_load_acquire32(
					&p->window->producer.index);
}

static bool passed_marks(const struct broker *b, const struct broker_service *s,
			 bool outputs)
{
	for (struct broker_thread *t = b->threads; t; t = t->next) {
		for (struct broker_pipe *p = t->pipes; p; p = p->next) {
			uint32_t tail;

			if (!concerns(p, s, outputs) ||
			    p->to->state == THREAD_STOPPED)
				continue;
			tail = shm_load_acquire32(&p->window->consumer.index);
			if ((int32_t)(tail - p->mark) < 0)
				return false;
		}
	}
	return true;
}

/* One step of moving flows; true: tables have to change. */
static bool hold_step(struct broker *b, struct broker_service *s)
{
	switch (s->hold) {
	case HOLD_NONE:
		return false;
	case HOLD_TABLES:
		note_marks(b, s, false);
		s->hold = HOLD_INPUTS;
		return false;
	case HOLD_INPUTS:
		if (!passed_marks(b, s, false))
			return false;
		note_marks(b, s, true);
		s->hold = HOLD_OUTPUTS;
		return false;
	case HOLD_OUTPUTS:
		if (!passed_marks(b, s, true))
			return false;
		memcpy(s->map, s->map_next, sizeof(s->map));
		s->hold = HOLD_NONE;
		return true;
	}
	return false;
}

/* Whether nobody puts anything into t's inputs any more. */
static bool cut_off(const struct broker *b, const struct broker_thread *t)
{
	for (struct broker_thread *f = b->threads; f; f = f->next)
		for (struct broker_pipe *p = f->pipes; p; p = p->next)
			if (p->to == t && p->state < PIPE_DRAIN)
				return false;
	return true;
}

static void leave_step(struct broker *b, struct broker_thread *t)
{
	if (t->state != THREAD_LEAVING)
		return;
	if (t->drain ? broker_has_inputs(b, t) ||
			       (t->service && t->service->hold) :
		       !cut_off(b, t))
		return;
	t->stopping = true;
	if (b->ops->stop(b->arg, t))
		t->state = THREAD_STOPPED;
}

/* Whether all threads use the newest tables. */
static bool all_acked(struct broker *b)
{
	for (struct broker_thread *t = b->threads; t; t = t->next) {
		if (t->stopping && t->state == THREAD_LEAVING &&
		    b->ops->stop(b->arg, t))
			t->state = THREAD_STOPPED;
		/* Pairs with the release in nf_adopt(). */
		if (t->state != THREAD_STOPPED &&
		    atomic_load_explicit(&t->t->acked, memory_order_acquire) !=
			    b->epoch)
			return false;
	}
	return true;
}

bool broker_step(struct broker *b)
{
	bool changed = false, pending;

	if (b->stale) {
		broker_publish(b);
		return true;
	}
	if (!all_acked(b))
		return true;
	for (struct broker_thread *t = b->threads; t; t = t->next) {
		route_destroy(t->old);
		t->old = NULL;
	}
	pending = pipes_step(b, &changed);
	for (unsigned i = 0; i < b->n_services; i++) {
		changed |= hold_step(b, b->service[i]);
		pending |= b->service[i]->hold != HOLD_NONE;
	}
	for (struct broker_thread *t = b->threads; t; t = t->next)
		leave_step(b, t);
	pending |= reap(b);
	if (changed)
		broker_publish(b);
	return pending || changed;
}

int broker_audit(const struct broker *b)
{
	uint8_t *seen = calloc(b->region.n + 1, 1);
	uint32_t *ids = malloc(b->pipe_slots * sizeof(*ids));
	int wrong = -ENOMEM;

	if (!seen || !ids)
		goto out;
	wrong = 0;
	for (uint32_t i = 0; i < b->n_pool; i++)
		seen[b->pool[i]]++;
	for (struct broker_thread *t = b->threads; t; t = t->next) {
		for (unsigned i = 0; i < t->n_spare; i++)
			if (t->spare[i] < b->region.n)
				seen[t->spare[i]]++;
		for (struct broker_pipe *p = t->pipes; p; p = p->next) {
			pipe_ids(p->window, b->pipe_slots, ids);
			for (unsigned i = 0; i < b->pipe_slots; i++)
				if (ids[i] < b->region.n)
					seen[ids[i]]++;
		}
	}
	for (uint32_t i = 0; i < b->region.n; i++)
		wrong += seen[i] != 1;
out:
	free(seen);
	free(ids);
	return wrong;
}
