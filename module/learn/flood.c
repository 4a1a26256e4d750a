// SPDX-License-Identifier: BSD-2-Clause
// learn/flood.c - holds unknown and group packets to flood_pps.
#include "module/learn/learn.h"

void learn_limit_floods(struct learn *learn, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	struct meter_share *share = &learn->workers[ctx->worker].flood;
	uint64_t now = meter_time(ctx->now_ns);

	for (unsigned i = 0; i < b->n; i++)
		if ((b->verdict[i] & GLEN_VERDICT_KIND) == GLEN_VERDICT_SET &&
		    !meter_take(&learn->flood, share, now, 1))
			b->verdict[i] = glen_drop(GLEN_DROP_FLOOD_LIMIT);
}
