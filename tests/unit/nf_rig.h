/* SPDX-License-Identifier: BSD-2-Clause */
/* nf_rig.h - a group with a source and a sink of checked packets. */
#ifndef TESTS_UNIT_NF_RIG_H
#define TESTS_UNIT_NF_RIG_H
/*
 * The source makes packets of rig.flows flows in turn, each with its flow's
 * next number, and sends them into chain "c" as long as rig.limit allows. A
 * sink checks length, contents and that numbers of a flow only grow, and drops
 * what it gets ("sunk"); with one thread per flow it sees all of a flow.
 * rig_check() adds everything up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/glen/nf.h"
#include "lib/nf/group.h"

enum { RIG_FLOWS = 512, RIG_LEN = 64 };

struct rig_packet {
	uint32_t flow, number;
	uint64_t check;
	uint32_t stamp[12]; /* who saw it: see pass_packet() */
};

static struct rig {
	struct glen_nf_group *group;
	int chain;	/* the source's verdict */
	unsigned flows; /* at most RIG_FLOWS */
	_Atomic uint64_t limit, made;
	uint32_t next[RIG_FLOWS]; /* number to be made */
	/* What arrived. */
	_Atomic uint64_t got, wrong, reordered;
	_Atomic uint32_t seen[RIG_FLOWS]; /* next number to be seen */
	_Atomic bool closed;		  /* the sink keeps nothing, stays */
} rig;

static inline uint64_t rig_sum(const struct rig_packet *p)
{
	return (uint64_t)p->flow * 0x9e3779b97f4a7c15ULL ^ p->number;
}

/* A hash that spreads flows over buckets. */
static inline uint16_t rig_hash(uint32_t flow)
{
	return (uint16_t)(flow * 40503u + 1) ?: 1;
}

static inline int source_start(struct glen_nf *nf,
			       const struct glen_nf_args *args,
			       struct glen_error *error)
{
	const char *chain = glen_nf_arg(args, "chain", 0);

	rig.chain = glen_nf_chain(nf, chain ? chain : "c");
	return rig.chain < 0 ? rig.chain : 0;
}

static inline bool source_turn(struct glen_nf_thread *t)
{
	struct glen_nf_packet p[64];
	unsigned n = 0, sent;

	while (n < 64 && rig.made + n < rig.limit &&
	       !glen_nf_alloc(t, RIG_LEN, &p[n])) {
		struct rig_packet r = { 0 };

		r.flow = (uint32_t)(rig.made + n) % rig.flows;
		r.number = rig.next[r.flow]++;
		r.check = rig_sum(&r);
		memcpy(p[n].data, &r, sizeof(r));
		p[n].hash = rig_hash(r.flow);
		p[n++].verdict = glen_nf_to_chain((unsigned)rig.chain);
	}
	sent = glen_nf_send(t, p, n);
	rig.made += sent;
	for (unsigned i = sent; i < n; i++) {
		struct rig_packet r;

		memcpy(&r, p[i].data, sizeof(r));
		rig.next[r.flow]--;
		glen_nf_free(t, &p[i]);
	}
	return sent > 0;
}

static inline uint32_t source_packet(struct glen_nf_thread *t,
				     struct glen_nf_packet *p)
{
	return glen_nf_drop(0);
}

static const struct glen_nf_option source_options[] = {
	{ "chain", "NAME", "where to" },
	{ NULL },
};

static const struct glen_nf_program source = {
	.size = sizeof(source),
	.name = "source",
	.options = source_options,
	.start = source_start,
	.packet = source_packet,
	.turn = source_turn,
};

static inline uint32_t sink_packet(struct glen_nf_thread *t,
				   struct glen_nf_packet *p)
{
	struct rig_packet r;

	memcpy(&r, p->data, sizeof(r));
	if (p->len != RIG_LEN || r.check != rig_sum(&r) ||
	    r.flow >= RIG_FLOWS || p->hash != rig_hash(r.flow)) {
		rig.wrong++;
	} else if (r.number < rig.seen[r.flow]) {
		rig.reordered++;
	} else {
		rig.seen[r.flow] = r.number + 1;
	}
	rig.got++;
	return glen_nf_drop(0);
}

static const char *const sink_reasons[] = { "sunk", NULL };

static const struct glen_nf_program sink = {
	.size = sizeof(sink),
	.name = "sink",
	.reasons = sink_reasons,
	.packet = sink_packet,
};

static inline uint32_t pass_packet(struct glen_nf_thread *t,
				   struct glen_nf_packet *p)
{
	return glen_nf_next();
}

static const struct glen_nf_program pass = {
	.size = sizeof(pass),
	.name = "pass",
	.packet = pass_packet,
};

static inline void rig_create(const struct glen_nf_group_config *config)
{
	static const struct glen_nf_group_config small = { .bufs = 65536,
							   .buf_size = 256,
							   .pipe_slots = 128 };
	struct glen_error error = { 0 };
	int err;

	memset(&rig, 0, sizeof(rig));
	rig.flows = 64;
	err = glen_nf_group_create(&rig.group, config ? config : &small,
				   &error);
	if (err)
		fail_msg("%s", error.text);
}

static inline struct glen_nf *rig_add_as(const struct glen_nf_program *program,
					 const struct glen_nf_instance *c)
{
	struct glen_error error = { 0 };
	struct glen_nf *nf = NULL;

	if (glen_nf_add(rig.group, &nf, program, c, &error))
		fail_msg("%s", error.text);
	return nf;
}

static inline struct glen_nf *rig_add(const struct glen_nf_program *program,
				      const char *service)
{
	struct glen_nf_instance c = { .service = service };

	return rig_add_as(program, &c);
}

static inline void rig_chain(const char *name, const char *const *services,
			     unsigned n)
{
	struct glen_error error = { 0 };

	if (glen_nf_group_chain(rig.group, name, services, n, NULL, &error))
		fail_msg("%s", error.text);
}

/* Polls until nothing moves. */
static inline void rig_settle(void)
{
	for (unsigned idle = 0; idle < 3;)
		idle = glen_nf_group_poll(rig.group) ? 0 : idle + 1;
}

static inline uint64_t rig_drops(const struct glen_nf_thread *t)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NF_DROP_N; i++)
		n += t->stats.drops[i];
	for (unsigned i = 0; i < GLEN_NF_REASONS_MAX; i++)
		n += t->stats.reasons[i];
	return n;
}

/* Packets that were shown, and wait for an output. */
static inline uint64_t rig_decided(const struct glen_nf_thread *t)
{
	uint64_t n = 0;

	for (unsigned i = 0; t->route && i < t->route->n_in; i++)
		n += t->route->in[i]->n_held;
	return n;
}

/* At rest: every packet and every buffer is somewhere, once. */
static inline void rig_check(void)
{
	const struct broker *b = &rig.group->broker;
	uint64_t held = b->n_pool;

	for (struct nf_runner *r = rig.group->runners; r; r = r->next) {
		const struct nf_stats *s = &r->t->stats;

		assert_int_equal(s->in + s->made,
				 s->out + rig_drops(r->t) + s->freed +
					 (r->t->n_spare - r->t->n_free) +
					 rig_decided(r->t));
		held += r->t->n_spare;
		for (struct broker_pipe *p = r->bt.pipes; p; p = p->next)
			held += b->pipe_slots;
	}
	assert_int_equal(held, b->region.n);
	assert_int_equal(broker_audit(b), 0);
}

static inline void rig_destroy(void)
{
	assert_int_equal(rig.wrong, 0);
	assert_int_equal(rig.reordered, 0);
	glen_nf_group_destroy(rig.group);
	rig.group = NULL;
}

#endif
