// SPDX-License-Identifier: BSD-2-Clause
// static/lookup.c - one verdict for the whole batch (hot).
#include "module/static/static.h"

#include "core/drop.h"

void HOT(static_lookup)(void *state, const struct lookup_ctx *ctx,
			struct batch *b)
{
	struct static_module *s = state;
	uint32_t v = VERDICT_DROP | DROP_IN_NO_PORT;
	uint32_t port;

	if (ctx->src < STATIC_PORTS)
		v = atomic_load_explicit(&s->verdict[ctx->src],
					 memory_order_relaxed);
	port = v & 0xffff;
	if (ctx->src_isolated && (v & VERDICT_TYPE) == VERDICT_PORT &&
	    port != ctx->src && port < ctx->n_ports && ctx->port_isolated[port])
		v = VERDICT_DROP | DROP_IN_ISOLATED;
	for (unsigned i = 0; i < b->n; i++)
		b->verdict[i] = v;
}
