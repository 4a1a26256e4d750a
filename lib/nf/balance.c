// SPDX-License-Identifier: BSD-2-Clause
// balance.c - choose an instance: buckets, round robin, queues, sticky flows.
#include "lib/nf/balance.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The highest of weight draws that depend on candidate and bucket only. */
static uint64_t score(const struct balance_candidate *c, unsigned bucket)
{
	uint64_t best = 0;

	for (unsigned k = 0; k < c->weight; k++) {
		uint64_t x = mix((uint64_t)c->id << 32 | k << 16 | bucket);

		x = mix(x + 0x9e3779b97f4a7c15ULL);
		if (x > best)
			best = x;
	}
	return best;
}

void balance_map(const struct balance_candidate *c, unsigned n,
		 uint16_t map[BALANCE_BUCKETS])
{
	for (unsigned bucket = 0; bucket < BALANCE_BUCKETS; bucket++) {
		uint64_t best = 0;

		map[bucket] = c[0].id;
		for (unsigned i = 0; i < n && n > 1; i++) {
			uint64_t x = score(&c[i], bucket);

			if (x <= best)
				continue;
			best = x;
			map[bucket] = c[i].id;
		}
	}
}

/* Each in turn gets its weight as credit; who has most pays all of it. */
unsigned balance_sequence(const struct balance_candidate *c, unsigned n,
			  uint16_t *sequence)
{
	int credit[GLEN_NF_INSTANCES_MAX * GLEN_NF_THREADS_MAX] = { 0 };
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += c[i].weight;
	for (unsigned at = 0; at < sum; at++) {
		unsigned best = 0;

		for (unsigned i = 0; i < n; i++) {
			credit[i] += c[i].weight;
			if (credit[i] > credit[best])
				best = i;
		}
		credit[best] -= (int)sum;
		sequence[at] = (uint16_t)best;
	}
	return sum;
}

void balance_begin(const struct nf_balance *b)
{
	if (b->kind < GLEN_NF_BALANCE_LEAST_QUEUE)
		return;
	for (unsigned i = 0; i < b->n; i++)
		pipe_out_refresh(b->out[i]);
}

/* The candidate with the shortest queue for its weight; the first of those
 * that are full only if all are. */
static unsigned shortest(const struct nf_balance *b)
{
	uint64_t best_queue = 0;
	unsigned best = 0;

	for (unsigned i = 0; i < b->n; i++) {
		uint64_t queue = b->out[i]->head - b->out[i]->tail;

		if (queue > b->out[i]->mask)
			queue = UINT32_MAX;
		/* queue / weight < best_queue / best's weight, multiplied. */
		if (i && queue * b->weight[best] >= best_queue * b->weight[i])
			continue;
		best = i;
		best_queue = queue;
	}
	return best;
}

static struct pipe_out *sticky(const struct nf_balance *b, uint16_t hash,
			       uint32_t step)
{
	struct balance_flow *f = &b->memory->flow[hash];
	unsigned at;

	if (f->seen && step + 1 - f->seen <= BALANCE_STICKY_STEPS &&
	    f->id < b->n_ids && b->at[f->id] != BALANCE_NOBODY) {
		at = b->at[f->id];
		if (at == BALANCE_HELD)
			return NULL;
	} else {
		at = shortest(b);
		f->id = b->id[at];
	}
	f->seen = step + 1;
	return b->out[at];
}

struct pipe_out *balance_choose(const struct nf_balance *b, uint16_t hash,
				uint32_t step)
{
	unsigned at;

	switch (b->kind) {
	case GLEN_NF_BALANCE_FLOW:
		at = b->map[hash & (BALANCE_BUCKETS - 1)];
		return at == BALANCE_HELD ? NULL : b->out[at];
	case GLEN_NF_BALANCE_ROUND_ROBIN:
		/* The sequence may have become shorter. */
		if (b->memory->turn >= b->sequence_len)
			b->memory->turn = 0;
		return b->out[b->sequence[b->memory->turn]];
	case GLEN_NF_BALANCE_LEAST_QUEUE:
		return b->out[shortest(b)];
	case GLEN_NF_BALANCE_LEAST_QUEUE_FLOW:
		return sticky(b, hash, step);
	}
	return b->out[0];
}
