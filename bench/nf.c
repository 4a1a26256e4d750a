// SPDX-License-Identifier: BSD-2-Clause
// nf.c - sides that are network functions: chains in one thread, pipes in two.
#include <string.h>

#include <glen/nf.h>

#include "bench/frame.h"
#include "bench/party.h"
#include "lib/nf/group.h"

/*
 * A source that writes each frame's first 64 bytes, as the yardstick handover
 * does, p->opts.nfs NFs that do nothing or read the first eight bytes, and a
 * sink that reads them and drops the packet.
 */
struct nf_side {
	struct glen_nf_group *group;
	char frame[FRAME_MAX];
	unsigned frame_len, batch;
	int chain;
	uint32_t flow; /* of the packet made last */
	struct glen_nf_packet made[GLEN_NF_BATCH_MAX];
	unsigned n_made, first; /* made; the first that is not sent */
	uint64_t sink __attribute__((aligned(64)));
	uint64_t got;
};

static struct nf_side *sides[SIDES_MAX];

static int side_start(struct glen_nf *nf, const struct glen_nf_args *args,
		      struct glen_error *error)
{
	struct nf_side *s = sides[atoi(glen_nf_arg(args, "side", 0))];

	glen_nf_set_state(nf, s);
	s->chain = glen_nf_chain(nf, "bench");
	return 0;
}

static int thread_start(struct glen_nf_thread *t, struct glen_error *error)
{
	glen_nf_thread_set_state(t, glen_nf_state(glen_nf_of(t)));
	return 0;
}

/* What an output does not take is sent once more next time. */
static bool source_turn(struct glen_nf_thread *t)
{
	struct nf_side *s = glen_nf_thread_state(t);
	struct glen_nf_packet *p = s->made;
	unsigned sent;

	while (s->n_made < s->batch &&
	       !glen_nf_alloc(t, s->frame_len, &p[s->n_made])) {
		frame_copy((char *)p[s->n_made].data, s->frame, 64);
		p[s->n_made].hash = (uint16_t)(++s->flow * 40503U) ?: 1;
		p[s->n_made++].verdict = glen_nf_to_chain((unsigned)s->chain);
	}
	sent = glen_nf_send(t, p + s->first, s->n_made - s->first);
	s->first += sent;
	if (s->first == s->n_made)
		s->first = s->n_made = 0;
	return sent > 0;
}

static uint64_t first_bytes(const struct glen_nf_packet *p)
{
	uint64_t v;

	memcpy(&v, p->data, sizeof(v));
	return v;
}

static void nothing(struct glen_nf_thread *t, struct glen_nf_packet *p,
		    unsigned n)
{
}

static void read_all(struct glen_nf_thread *t, struct glen_nf_packet *p,
		     unsigned n)
{
	struct nf_side *s = glen_nf_thread_state(t);
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += p[i].len + first_bytes(&p[i]);
	s->sink += sum;
}

static void sink_process(struct glen_nf_thread *t, struct glen_nf_packet *p,
			 unsigned n)
{
	struct nf_side *s = glen_nf_thread_state(t);

	read_all(t, p, n);
	for (unsigned i = 0; i < n; i++)
		p[i].verdict = glen_nf_drop(0);
	__atomic_store_n(&s->got, s->got + n, __ATOMIC_RELAXED);
}

static const struct glen_nf_option options[] = {
	{ "side", "NUMBER", "whose" },
	{ NULL },
};

#define PROGRAM(id, callback, more)                     \
	static const struct glen_nf_program id = {      \
		.size = sizeof(struct glen_nf_program), \
		.name = #id,                            \
		.options = options,                     \
		.start = side_start,                    \
		.thread_start = thread_start,           \
		.process = callback,                    \
		.turn = more,                           \
	}
PROGRAM(source, nothing, source_turn);
PROGRAM(idle, nothing, NULL);
PROGRAM(touch, read_all, NULL);
PROGRAM(sink, sink_process, NULL);

static void add(struct party_side *p, const struct glen_nf_program *program,
		const char *service, unsigned spare)
{
	struct nf_side *s = p->state;
	struct glen_error error;
	char side[16];
	const char *const args[] = { side, NULL };
	struct glen_nf_instance c = { .service = service,
				      .args = args,
				      .spare = spare };

	snprintf(side, sizeof(side), "side=%u", p->id);
	if (glen_nf_add(s->group, NULL, program, &c, &error))
		party_die("%s", error.text);
}

/* Source, so many NFs and sink, not started. */
static struct nf_side *chain_make(struct party_side *p)
{
	struct glen_nf_group_config config = { .pipe_slots = p->opts.slots };
	struct nf_side *s = aligned_alloc(64, (sizeof(*s) + 63) & ~63UL);
	const char *services[GLEN_NF_CHAIN_LEN_MAX];
	char name[GLEN_NF_CHAIN_LEN_MAX][16];
	struct glen_error error;
	unsigned n = p->opts.nfs;

	if (!s || n >= GLEN_NF_CHAIN_LEN_MAX)
		party_die("cannot make a chain of %u", n);
	memset(s, 0, sizeof(*s));
	frame_make(s->frame, FRAME_A, FRAME_B);
	s->frame_len = p->opts.frame;
	s->batch = p->opts.batch;
	p->state = sides[p->id] = s;
	if (glen_nf_group_create(&s->group, &config, &error))
		party_die("%s", error.text);
	add(p, &source, NULL, s->batch);
	for (unsigned i = 0; i < n; i++) {
		snprintf(name[i], sizeof(name[i]), "nf%u", i);
		services[i] = name[i];
		for (unsigned k = 0; k < (p->opts.spread ?: 1); k++)
			add(p, p->opts.touch ? &touch : &idle, name[i], 1);
	}
	services[n] = "sink";
	add(p, &sink, NULL, 1);
	if (glen_nf_group_chain(s->group, "bench", services, n + 1, NULL,
				&error))
		party_die("%s", error.text);
	return s;
}

static unsigned step_poll(void *state)
{
	struct nf_side *s = state;
	uint64_t before = s->got;

	glen_nf_group_poll(s->group);
	return (unsigned)(s->got - before);
}

void nf_chain_open(struct party_side *p)
{
	chain_make(p);
	p->n_roles = 1;
	p->roles[0] = (struct role){ .cpu = 0,
				     .counts = true,
				     .steps = { step_poll } };
}

/*
 * Threads of a started group would not stop when it is another side's turn, so
 * the roles run source and sink themselves, as such threads do: with the fences
 * and looks that wake a sleeper, though nobody sleeps.
 */
struct end {
	struct glen_nf_thread *t;
	struct nf_side *side;
	struct nf_scratch scratch;
};

static unsigned step_source(void *state)
{
	struct end *e = state;
	bool again = false;

	return nf_turn(e->t, &e->scratch, &again);
}

static unsigned step_sink(void *state)
{
	struct end *e = state;
	uint64_t before = e->side->got;

	step_source(e);
	return (unsigned)(e->side->got - before);
}

static struct end *end_make(struct nf_side *s, struct nf_runner *r)
{
	struct end *e = aligned_alloc(64, sizeof(*e));

	if (!e || runner_wake_open(r))
		party_die("cannot make an end of a pipe");
	memset(e, 0, sizeof(*e));
	e->t = r->t;
	e->side = s;
	e->scratch.now_ns = nf_clock();
	return e;
}

void nf_pair_open(struct party_side *p)
{
	struct nf_side *s;
	struct nf_runner *r;
	struct end *from, *to;

	p->opts.nfs = 0;
	s = chain_make(p);
	r = s->group->runners;
	from = end_make(s, r);
	to = end_make(s, r->next);
	r->bt.pipes->out.kick_fd = to->t->wake_fd;
	r->bt.pipes->input.in.kick_fd = from->t->wake_fd;
	p->n_roles = 2;
	p->roles[0] = (struct role){ .cpu = 0,
				     .state = from,
				     .steps = { step_source } };
	p->roles[1] = (struct role){
		.cpu = 1, .counts = true, .state = to, .steps = { step_sink }
	};
}
