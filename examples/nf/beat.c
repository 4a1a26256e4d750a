// SPDX-License-Identifier: BSD-2-Clause
// beat.c - a network function that makes packets: so many, into a chain.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "examples/nf/nfs.h"

enum { LEN = 60 };

struct beat {
	unsigned left;
	int chain;
};

static const struct glen_nf_option options[] = {
	{ "packets", "NUMBER", "how many to make" },
	{ "chain", "NAME", "where to" },
	{ NULL },
};

static int start(struct glen_nf *nf, const struct glen_nf_args *args,
		 struct glen_error *error)
{
	const char *packets = glen_nf_arg(args, "packets", 0);
	const char *chain = glen_nf_arg(args, "chain", 0);
	struct beat *b;

	if (!packets || !chain)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->left = (unsigned)atoi(packets);
	b->chain = glen_nf_chain(nf, chain);
	glen_nf_set_state(nf, b);
	return b->chain < 0 ? b->chain : 0;
}

static void stop(struct glen_nf *nf)
{
	free(glen_nf_state(nf));
}

/* One packet per turn; what does not fit now is made again next turn. */
static bool turn(struct glen_nf_thread *t)
{
	static const uint8_t head[14] = { 0xff, 0xff, 0xff, 0xff, 0xff,
					  0xff, 2,    0,    0,	  0,
					  0,	1,    0x88, 0xb5 };
	struct beat *b = glen_nf_state(glen_nf_of(t));
	struct glen_nf_packet p;

	if (!b->left || glen_nf_alloc(t, LEN, &p))
		return false;
	memset(p.data, 0, LEN);
	memcpy(p.data, head, sizeof(head));
	p.verdict = glen_nf_to_chain((unsigned)b->chain);
	if (glen_nf_send(t, &p, 1))
		b->left--;
	else
		glen_nf_free(t, &p);
	return b->left > 0;
}

/* Nothing is sent to it; if something is, it goes on as it came. */
static uint32_t packet(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	return glen_nf_next();
}

const struct glen_nf_program beat_nf = {
	.size = sizeof(beat_nf),
	.name = "beat",
	.summary = "Makes packets.",
	.options = options,
	.start = start,
	.stop = stop,
	.packet = packet,
	.turn = turn,
};
