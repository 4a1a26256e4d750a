// SPDX-License-Identifier: BSD-2-Clause
// stats.c - what is going on in a group, as a JSON text.
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/nf/group.h"

static const char *const drop_names[NF_DROP_N] = {
	[NF_DROP_NO_CHAIN] = "no_chain",
	[NF_DROP_NO_INSTANCE] = "no_instance",
	[NF_DROP_NO_EXIT] = "no_exit",
	[NF_DROP_HOP_LIMIT] = "hop_limit",
	[NF_DROP_LOOP_FULL] = "loop_full",
	[NF_DROP_BAD_SLOT] = "bad_slot",
	[NF_DROP_BAD_VERDICT] = "bad_verdict",
	[NF_DROP_TOO_LONG] = "too_long",
	[NF_DROP_REMOVED] = "removed",
};

const char *nf_drop_name(enum nf_drop reason)
{
	return drop_names[reason];
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void add(json_t *o, const char *key, uint64_t n)
{
	json_t *old = json_object_get(o, key);

	json_object_set_new(o, key,
			    json_integer(json_integer_value(old) +
					 (json_int_t)n));
}

/* Adds counters that have names; those that are 0 are left out if !all. */
static void add_named(json_t *o, const char *const *names, unsigned max,
		      const uint64_t *counters, bool all)
{
	for (unsigned i = 0; i < max && names && names[i]; i++)
		if (all || load(&counters[i]))
			add(o, names[i], load(&counters[i]));
}

/* Drops for reasons beyond the names that the program gave. */
static void add_unnamed(json_t *drops, const struct glen_nf_program *p,
			const struct nf_stats *s)
{
	unsigned n = 0;
	char key[32];

	while (p->reasons && p->reasons[n] && n < GLEN_NF_REASONS_MAX)
		n++;
	for (; n < GLEN_NF_REASONS_MAX; n++) {
		snprintf(key, sizeof(key), "reason_%u", n);
		if (load(&s->reasons[n]))
			add(drops, key, load(&s->reasons[n]));
	}
}

/* Packets in the inputs of a thread. */
static uint64_t queued(const struct broker *b, const struct broker_thread *t)
{
	uint64_t n = 0;

	for (const struct broker_thread *f = b->threads; f; f = f->next)
		for (const struct broker_pipe *p = f->pipes; p; p = p->next)
			if (p->to == t)
				n += pipe_queued(p->window);
	return n;
}

static void add_thread(json_t *o, json_t *drops, json_t *counters,
		       const struct glen_nf *nf, const struct nf_runner *r)
{
	const struct nf_stats *s = &r->t->stats;

	add(o, "in", load(&s->in));
	add(o, "out", load(&s->out));
	add(o, "kept", load(&s->kept));
	add(o, "made", load(&s->made));
	add(o, "freed", load(&s->freed));
	add(o, "busy_ns", load(&s->busy_ns));
	add(o, "queued", queued(&nf->group->broker, &r->bt));
	add_named(drops, drop_names, NF_DROP_N, s->drops, false);
	add_named(drops, nf->program->reasons, GLEN_NF_REASONS_MAX, s->reasons,
		  false);
	add_unnamed(drops, nf->program, s);
	add_named(counters, nf->program->counters, GLEN_NF_COUNTERS_MAX,
		  s->counters, true);
}

static json_t *instance_show(const struct glen_nf *nf)
{
	json_t *o = json_object(), *drops = json_object();
	json_t *counters = json_object();
	json_int_t in, ns;

	for (unsigned i = 0; i < nf->n_threads; i++)
		if (nf->runners[i])
			add_thread(o, drops, counters, nf, nf->runners[i]);
	in = json_integer_value(json_object_get(o, "in"));
	ns = json_integer_value(json_object_get(o, "busy_ns"));
	json_object_set_new(o, "ns_per_packet",
			    in ? json_real((double)ns / (double)in) :
				 json_null());
	json_object_set_new(o, "threads", json_integer(nf->n_threads));
	json_object_set_new(o, "drops", drops);
	json_object_set_new(o, "counters", counters);
	return o;
}

static json_t *instances_show(const struct glen_nf_group *g)
{
	json_t *o = json_object();

	for (const struct glen_nf *nf = g->nfs; nf; nf = nf->next)
		if (nf->live)
			json_object_set_new(o, nf->name, instance_show(nf));
	return o;
}

static json_t *services_show(const struct broker *b)
{
	static const char *const names[] = { "flow", "round-robin",
					     "least-queue",
					     "least-queue-flow" };
	json_t *o = json_object();

	for (unsigned i = 0; i < b->n_services; i++) {
		const struct broker_service *s = b->service[i];

		json_object_set_new(o, s->name,
				    json_pack("{s:s, s:b}", "balance",
					      names[s->balance], "moving",
					      (int)(s->hold != HOLD_NONE)));
	}
	return o;
}

static json_t *chains_show(const struct broker *b)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < b->n_chains; i++) {
		const struct nf_chain *c = &b->chain[i]->chain;
		json_t *services = json_array();

		for (unsigned k = 0; k < c->n; k++)
			json_array_append_new(
				services,
				json_string(b->service[c->service[k]]->name));
		json_object_set_new(
			o, b->chain[i]->name,
			json_pack("{s:o, s:o}", "services", services, "exit",
				  c->exit == NF_NO_PORT ?
					  json_null() :
					  json_string(b->port[c->exit])));
	}
	return o;
}

static json_t *pipes_show(const struct broker *b)
{
	json_t *list = json_array();

	for (const struct broker_thread *t = b->threads; t; t = t->next)
		for (const struct broker_pipe *p = t->pipes; p; p = p->next)
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:I, s:b}", "from",
					  t->name, "to", p->to->name, "queued",
					  (json_int_t)pipe_queued(p->window),
					  "loop", (int)p->loop));
	return list;
}

/* Every buffer: pipes hold what their slots name, threads what is spare. */
static json_t *buffers_show(const struct broker *b)
{
	json_t *held = json_object();
	char key[160];

	for (const struct broker_thread *t = b->threads; t; t = t->next) {
		add(held, t->name, t->n_spare);
		for (const struct broker_pipe *p = t->pipes; p; p = p->next) {
			snprintf(key, sizeof(key), "%s > %s", t->name,
				 p->to->name);
			add(held, key, b->pipe_slots);
		}
	}
	return json_pack("{s:I, s:I, s:o}", "total", (json_int_t)b->region.n,
			 "free", (json_int_t)b->n_pool, "held", held);
}

int glen_nf_group_show(struct glen_nf_group *g, char **text)
{
	json_t *o;

	pthread_mutex_lock(&g->lock);
	o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "services",
		      services_show(&g->broker), "instances", instances_show(g),
		      "chains", chains_show(&g->broker), "pipes",
		      pipes_show(&g->broker), "buffers",
		      buffers_show(&g->broker), "removed",
		      (json_int_t)g->broker.removed);
	pthread_mutex_unlock(&g->lock);
	*text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
	json_decref(o);
	return *text ? 0 : -ENOMEM;
}
