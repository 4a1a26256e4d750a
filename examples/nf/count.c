// SPDX-License-Identifier: BSD-2-Clause
// count.c - a network function that counts packets and bytes and passes all on.
#include "examples/nf/nfs.h"

enum { PACKETS, BYTES };

static const char *const counters[] = { "packets", "bytes", NULL };

static void process(struct glen_nf_thread *t, struct glen_nf_packet *p,
		    unsigned n)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < n; i++)
		bytes += p[i].len;
	glen_nf_count(t, PACKETS, n);
	glen_nf_count(t, BYTES, bytes);
}

const struct glen_nf_program count_nf = {
	.size = sizeof(count_nf),
	.name = "count",
	.summary = "Counts packets and bytes.",
	.counters = counters,
	.process = process,
};
