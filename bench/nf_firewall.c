// SPDX-License-Identifier: BSD-2-Clause
// nf_firewall.c - sides that are source, firewall and sink in one thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glen/nf.h>

#include "bench/frame.h"
#include "bench/party.h"
#include "nf/firewall/firewall.h"

enum { FLOWS = 1024, FRAME = 64 };

/*
 * Frames of FLOWS flows in turn, UDP over IPv4, of which each fits a rule of
 * its own as far as there are so many; with touch=1 every second flow is the
 * answer to the one before, and the first rule accepts what is established.
 */
struct fw_side {
	struct glen_nf_group *group;
	char frame[FLOWS][FRAME];
	unsigned frame_len, batch;
	int chain;
	uint32_t flow; /* to be made next */
	struct glen_nf_packet made[GLEN_NF_BATCH_MAX];
	unsigned n_made, first; /* made; the first that is not sent */
	uint64_t got __attribute__((aligned(64)));
};

static struct fw_side *sides[SIDES_MAX];

static int side_start(struct glen_nf *nf, const struct glen_nf_args *args,
		      struct glen_error *error)
{
	struct fw_side *s = sides[atoi(glen_nf_arg(args, "side", 0))];

	glen_nf_set_state(nf, s);
	s->chain = glen_nf_chain(nf, "bench");
	return 0;
}

static bool source_turn(struct glen_nf_thread *t)
{
	struct fw_side *s = glen_nf_state(glen_nf_of(t));
	struct glen_nf_packet *p = s->made;
	unsigned sent;

	while (s->n_made < s->batch &&
	       !glen_nf_alloc(t, s->frame_len, &p[s->n_made])) {
		uint32_t flow = s->flow++ % FLOWS;

		frame_copy((char *)p[s->n_made].data, s->frame[flow], FRAME);
		p[s->n_made].hash = (uint16_t)(flow * 40503U) ?: 1;
		p[s->n_made++].verdict = glen_nf_to_chain((unsigned)s->chain);
	}
	sent = glen_nf_send(t, p + s->first, s->n_made - s->first);
	s->first += sent;
	if (s->first == s->n_made)
		s->first = s->n_made = 0;
	return sent > 0;
}

static void nothing(struct glen_nf_thread *t, struct glen_nf_packet *p,
		    unsigned n)
{
}

static void sink_process(struct glen_nf_thread *t, struct glen_nf_packet *p,
			 unsigned n)
{
	struct fw_side *s = glen_nf_state(glen_nf_of(t));

	for (unsigned i = 0; i < n; i++)
		p[i].verdict = glen_nf_drop(0);
	__atomic_store_n(&s->got, s->got + n, __ATOMIC_RELAXED);
}

static const struct glen_nf_option options[] = {
	{ "side", "NUMBER", "whose" },
	{ NULL },
};

static const struct glen_nf_program source = {
	.size = sizeof(source),
	.name = "source",
	.options = options,
	.start = side_start,
	.process = nothing,
	.turn = source_turn,
};

static const struct glen_nf_program idle = {
	.size = sizeof(idle),
	.name = "firewall",
	.options = options,
	.process = nothing,
};

static const struct glen_nf_program sink = {
	.size = sizeof(sink),
	.name = "sink",
	.options = options,
	.start = side_start,
	.process = sink_process,
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* What rule number i is about: three kinds in turn. */
static void write_rule(FILE *f, unsigned i)
{
	unsigned port = 1000 + i % 50000;

	switch (i % 3) {
	case 0:
		fprintf(f,
			"ip saddr 10.%u.%u.0/24 ip daddr 172.16.%u.0/24 "
			"udp dport %u accept\n",
			i >> 8 & 255, i & 255, i * 7 & 255, port);
		break;
	case 1:
		fprintf(f, "ip saddr 10.%u.%u.9 protocol udp accept\n",
			i >> 8 & 255, i & 255);
		break;
	default:
		fprintf(f, "ip daddr 172.16.%u.9 udp dport %u-%u accept\n",
			i * 7 & 255, port, port + 3);
	}
}

/* The packet that rule i is about; back: its answer. */
static void make_frame(uint8_t *p, unsigned i, bool back)
{
	uint8_t *ip = p + 14;
	const uint8_t ends[2][4] = {
		{ 10, (uint8_t)(i >> 8), (uint8_t)i, 9 },
		{ 172, 16, (uint8_t)(i * 7), 9 },
	};

	memset(p, 0, FRAME);
	p[5] = p[11] = 2;
	p[12] = 8;
	ip[0] = 0x45;
	put16(ip + 2, 46);
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, ends[back], 4);
	memcpy(ip + 16, ends[!back], 4);
	put16(ip + (back ? 22 : 20), 5000);
	put16(ip + (back ? 20 : 22), 1000 + i % 50000);
	put16(ip + 24, 26);
}

static void make_frames(struct fw_side *s, const struct party_opts *o)
{
	unsigned rules = o->rules ?: FLOWS;

	for (unsigned k = 0; k < FLOWS; k++) {
		/* All over the list. */
		unsigned n = o->touch ? k / 2 : k;

		make_frame((uint8_t *)s->frame[k],
			   (unsigned)((uint64_t)n * 7919 % rules),
			   o->touch && k & 1);
	}
}

static void add(struct fw_side *s, const struct glen_nf_program *program,
		const char *const *args, unsigned spare)
{
	struct glen_nf_instance c = { .args = args, .spare = spare };
	struct glen_error error;

	if (glen_nf_add(s->group, NULL, program, &c, &error))
		party_die("%s", error.text);
}

static void add_firewall(struct fw_side *s, const struct party_opts *o)
{
	char file[] = "/tmp/glen-bench-firewall-XXXXXX", rules[64];
	const char *args[] = { rules, o->touch ? NULL : "stateless", NULL };
	int fd = mkstemp(file);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		party_die("cannot write %s", file);
	fprintf(f, "chain main {\n%s",
		o->touch ? "ct state established accept\n" : "");
	for (unsigned i = 0; i < o->rules; i++)
		write_rule(f, i);
	fprintf(f, "}\n");
	if (fclose(f))
		party_die("cannot write %s", file);
	snprintf(rules, sizeof(rules), "rules=%s", file);
	add(s, &firewall_nf, args, 1);
	unlink(file);
}

static unsigned step_poll(void *state)
{
	struct fw_side *s = state;
	uint64_t before = s->got;

	glen_nf_group_poll(s->group);
	return (unsigned)(s->got - before);
}

void nf_firewall_open(struct party_side *p)
{
	static const char *const services[] = { "firewall", "sink" };
	struct glen_nf_group_config config = { .pipe_slots = p->opts.slots };
	struct fw_side *s = aligned_alloc(64, (sizeof(*s) + 63) & ~63UL);
	char side[16];
	const char *const args[] = { side, NULL };
	struct glen_error error;

	if (!s)
		party_die("no memory");
	memset(s, 0, sizeof(*s));
	s->frame_len = p->opts.frame;
	s->batch = p->opts.batch;
	make_frames(s, &p->opts);
	snprintf(side, sizeof(side), "side=%u", p->id);
	p->state = sides[p->id] = s;
	if (glen_nf_group_create(&s->group, &config, &error))
		party_die("%s", error.text);
	add(s, &source, args, s->batch);
	if (p->opts.rules)
		add_firewall(s, &p->opts);
	else
		add(s, &idle, NULL, 1);
	add(s, &sink, args, 1);
	if (glen_nf_group_chain(s->group, "bench", services, 2, NULL, &error))
		party_die("%s", error.text);
	p->n_roles = 1;
	p->roles[0] = (struct role){ .cpu = 0,
				     .counts = true,
				     .steps = { step_poll } };
}
