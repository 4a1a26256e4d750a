// SPDX-License-Identifier: BSD-2-Clause
// steer/lookup.c - to an instance, a port, or nowhere (hot).
#include "lib/flow_hash.h"
#include "lib/classifier_find.h"
#include "lib/classifier_parse.h"
#include "module/steer/steer.h"

enum { GROUP = CLASSIFIER_GROUP };

/* A packet's flow in 16 bits, not 0. */
static inline uint32_t hash16(const uint8_t *hdr, unsigned len)
{
	uint32_t hash = flow_hash(hdr, len);

	hash = (hash ^ hash >> 16) & 0xffff;
	return hash ? hash : 1;
}

static inline uint32_t take_way(const struct steer_table *t,
				const struct steer_way *way, uint32_t hash,
				unsigned worker, uint64_t *mark)
{
	const struct steer_service *s;
	uint32_t bucket = hash >> STEER_BUCKET_SHIFT, port;

	*mark = 0;
	if (way->service < 0)
		return way->verdict;
	s = &t->service[way->service];
	if (s->round_robin)
		bucket = s->turn[worker].n++ % STEER_BUCKETS;
	port = s->port[bucket];
	if (port == STEER_NO_PORT)
		return glen_drop(STEER_NO_INSTANCE);
	*mark = way->mark | (uint64_t)hash << GLEN_MARK_HASH;
	return glen_to_port(port);
}

/* Packets at to at + n - 1 that come from outside. */
static inline void classify(const struct steer_table *t,
			    const struct glen_lookup *ctx, struct glen_batch *b,
			    unsigned at, unsigned n)
{
	struct classifier_key key[GROUP];
	uint32_t rule[GROUP];

	for (unsigned i = 0; i < n; i++)
		classifier_parse(glen_batch_hdr(b, at + i), b->hdr_len[at + i],
				 b->len[at + i], ctx->src, &key[i]);
	classifier_find(t->rules->classifier, key, n, rule);
	for (unsigned i = 0; i < n; i++) {
		const struct steer_way *way = &t->other;
		uint32_t hash = hash16(glen_batch_hdr(b, at + i),
				       b->hdr_len[at + i]);

		if (rule[i] != CLASSIFIER_NONE)
			way = &t->way[t->rules->target[rule[i]]];
		b->verdict[at + i] = take_way(t, way, hash, ctx->worker,
					      &b->mark[at + i]);
	}
}

/* One from an instance, whose mark says where it goes on. */
static inline uint32_t go_on(const struct steer_table *t, unsigned worker,
			     uint64_t *mark)
{
	uint32_t hash = *mark >> GLEN_MARK_HASH & 0xffff;
	uint32_t chain = *mark >> GLEN_MARK_CHAIN & 0xffff;
	uint32_t index = *mark >> GLEN_MARK_INDEX & 0xff;
	uint64_t hops = *mark >> GLEN_MARK_HOPS & 0xff;
	const struct steer_chain *c;
	struct steer_way way = { 0 };

	*mark = 0;
	if (chain == STEER_OUT)
		return hash < STEER_PORTS && t->role[hash] == STEER_THERE ?
			       glen_to_port(hash) :
			       glen_drop(STEER_BAD_PORT);
	if (chain >= STEER_CHAINS_MAX || !t->chain[chain])
		return glen_drop(STEER_NO_CHAIN);
	c = t->chain[chain];
	if (index > c->n)
		return glen_drop(STEER_BAD_INDEX);
	if (index == c->n)
		return c->exit;
	if (hops >= STEER_HOPS_MAX)
		return glen_drop(STEER_HOPS);
	way.service = c->service[index];
	way.mark = (uint64_t)chain << GLEN_MARK_CHAIN |
		   (uint64_t)index << GLEN_MARK_INDEX |
		   (hops + 1) << GLEN_MARK_HOPS;
	return take_way(t, &way, hash ? hash : 1, worker, mark);
}

static __attribute__((noinline)) void from_instance(
	const struct steer_table *t, const struct glen_lookup *ctx,
	struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		b->verdict[i] = b->marks ? go_on(t, ctx->worker, &b->mark[i]) :
					   glen_drop(STEER_NO_MARK);
}

/* The source port is isolated: so must no destination be. */
static __attribute__((noinline)) void isolate(const struct glen_lookup *ctx,
					      struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t v = b->verdict[i], port = v & 0xffff;

		if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT &&
		    port != ctx->src && port < ctx->n_ports &&
		    ctx->port_isolated[port])
			b->verdict[i] = glen_drop(GLEN_DROP_ISOLATED);
	}
}

void HOT(steer_lookup)(void *state, const struct glen_lookup *ctx,
		       struct glen_batch *b)
{
	struct steer *s = state;
	const struct steer_table *t = rcu_load(&s->table);

	if (t->role[ctx->src] & STEER_INSTANCE)
		from_instance(t, ctx, b);
	else
		for (unsigned at = 0; at < b->n; at += GROUP) {
			unsigned n = b->n - at;

			classify(t, ctx, b, at, n < GROUP ? n : GROUP);
			b->marks = true;
		}
	if (__builtin_expect(ctx->src_isolated, 0))
		isolate(ctx, b);
}
