// SPDX-License-Identifier: BSD-2-Clause
// static/lookup.c - one verdict for the whole batch (hot).
#include "module/static/static.h"

void HOT(static_lookup)(void *state, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	struct static_module *s = state;
	uint32_t *verdict = b->verdict;
	uint32_t v = glen_drop(GLEN_DROP_NO_PORT);
	uint32_t port;

	if (ctx->src < STATIC_PORTS)
		v = atomic_load_explicit(&s->verdict[ctx->src],
					 memory_order_relaxed);
	port = v & 0xffff;
	if (ctx->src_isolated && (v & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT &&
	    port != ctx->src && port < ctx->n_ports && ctx->port_isolated[port])
		v = glen_drop(GLEN_DROP_ISOLATED);
	if (v == glen_to_ring(port, 0))
		v = glen_to_ring(port, ctx->src_ring);
	for (unsigned i = 0, n = b->n; i < n; i++)
		verdict[i] = v;
}
