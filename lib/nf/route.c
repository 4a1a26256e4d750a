// SPDX-License-Identifier: BSD-2-Clause
// route.c - make and free route tables.
#include "lib/nf/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct nf_chains *chains_create(unsigned n)
{
	struct nf_chains *c = calloc(1,
				     sizeof(*c) + n * sizeof(struct nf_chain));

	if (!c)
		return NULL;
	c->refs = 1;
	c->n = n;
	return c;
}

void chains_put(struct nf_chains *c)
{
	if (c && !--c->refs)
		free(c);
}

struct nf_route *route_create(unsigned n_in, unsigned n_out,
			      unsigned n_services, unsigned n_ports,
			      struct nf_chains *chains)
{
	size_t in = n_in * sizeof(void *), out = n_out * sizeof(void *);
	size_t targets = (n_services + n_ports) * sizeof(struct nf_target);
	struct nf_route *r = calloc(1, sizeof(*r) + in + out + targets + n_out);
	char *at = (char *)(r + 1);

	if (!r)
		return NULL;
	r->n_in = n_in;
	r->n_out = n_out;
	r->n_services = n_services;
	r->n_ports = n_ports;
	r->in = (void *)at;
	r->out = (void *)(at += in);
	r->service = (void *)(at += out);
	r->port = r->service + n_services;
	r->loop = (bool *)(at + targets);
	for (unsigned i = 0; i < n_services; i++)
		r->service[i].drop = NF_DROP_NO_INSTANCE;
	for (unsigned i = 0; i < n_ports; i++)
		r->port[i].drop = NF_DROP_NO_EXIT;
	r->chains = chains;
	chains->refs++;
	return r;
}

void route_destroy(struct nf_route *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n_services; i++)
		free(r->service[i].balance);
	for (unsigned i = 0; i < r->n_ports; i++)
		free(r->port[i].balance);
	chains_put(r->chains);
	free(r);
}

/* Index of the candidate with this id. */
static uint16_t by_id(const struct nf_balance *b, uint16_t id)
{
	return id < b->n_ids ? b->at[id] : BALANCE_NOBODY;
}

static void fill_map(struct nf_balance *b, const uint16_t *map)
{
	for (unsigned i = 0; i < BALANCE_BUCKETS; i++) {
		b->map[i] = map[i] == BALANCE_HELD ? BALANCE_HELD :
						     by_id(b, map[i]);
		/* Only who is a candidate of all is in the broker's map. */
		if (b->map[i] == BALANCE_NOBODY)
			b->map[i] = BALANCE_HELD;
	}
}

static struct nf_balance *balance_create(const struct route_some *s,
					 unsigned n_ids, unsigned sum)
{
	unsigned map = s->kind == GLEN_NF_BALANCE_FLOW ? BALANCE_BUCKETS : 0;
	size_t shorts = 2 * s->n + n_ids + map + sum;
	struct nf_balance *b = calloc(1, sizeof(*b) + s->n * sizeof(void *) +
						 shorts * sizeof(uint16_t));

	if (!b)
		return NULL;
	b->kind = s->kind;
	b->n = s->n;
	b->n_ids = n_ids;
	b->memory = s->memory;
	b->out = (void *)(b + 1);
	b->id = (void *)(b->out + s->n);
	b->weight = b->id + s->n;
	b->at = b->weight + s->n;
	b->map = b->at + n_ids;
	b->sequence = b->map + map;
	return b;
}

int route_some(struct nf_target *target, const struct route_some *s)
{
	unsigned n_ids = 0, sum = 0;
	struct nf_balance *b;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->candidates[i].id >= n_ids)
			n_ids = s->candidates[i].id + 1U;
		sum += s->candidates[i].weight;
	}
	for (unsigned i = 0; i < s->n_held; i++)
		if (s->held[i] >= n_ids)
			n_ids = s->held[i] + 1U;
	b = balance_create(s, n_ids, sum);
	if (!b)
		return -ENOMEM;
	for (unsigned i = 0; i < n_ids; i++)
		b->at[i] = BALANCE_NOBODY;
	for (unsigned i = 0; i < s->n; i++) {
		b->out[i] = s->outs[i];
		b->id[i] = s->candidates[i].id;
		b->weight[i] = s->candidates[i].weight;
		b->at[b->id[i]] = (uint16_t)i;
	}
	for (unsigned i = 0; i < s->n_held; i++)
		b->at[s->held[i]] = BALANCE_HELD;
	if (s->kind == GLEN_NF_BALANCE_FLOW)
		fill_map(b, s->map);
	b->sequence_len = balance_sequence(s->candidates, s->n, b->sequence);
	target->kind = NF_TO_SOME;
	target->balance = b;
	return 0;
}
