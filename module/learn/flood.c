// SPDX-License-Identifier: BSD-2-Clause
// learn/flood.c - holds unknown and group packets to flood_pps.
#include "module/learn/learn.h"

/*
 * Takes up to a grab of tokens out of the common bucket; if it is empty, tells
 * when there will be some.
 */
static uint32_t grab_tokens(struct learn *learn, uint64_t now,
			    uint64_t *retry_at)
{
	uint64_t cost = atomic_load_explicit(&learn->flood_cost,
					     memory_order_relaxed);
	uint64_t burst = atomic_load_explicit(&learn->flood_burst,
					      memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&learn->flood_grab,
					  memory_order_relaxed);
	uint64_t full_at = atomic_load_explicit(&learn->flood_full_at,
						memory_order_relaxed);
	uint64_t next;

	do {
		/* A bucket that has been full for long holds no more. */
		next = (full_at > now ? full_at : now) + n * cost;
		if (next > now + burst) {
			*retry_at = next - burst;
			return 0;
		}
	} while (!atomic_compare_exchange_weak_explicit(&learn->flood_full_at,
							&full_at, next,
							memory_order_relaxed,
							memory_order_relaxed));
	return n;
}

void learn_limit_floods(struct learn *learn, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	struct learn_worker *w = &learn->workers[ctx->worker];
	uint64_t now = ctx->now_ns << FLOOD_TIME_SHIFT;

	for (unsigned i = 0; i < b->n; i++) {
		if ((b->verdict[i] & GLEN_VERDICT_KIND) != GLEN_VERDICT_SET)
			continue;
		if (!w->tokens && now >= w->retry_at)
			w->tokens = grab_tokens(learn, now, &w->retry_at);
		if (w->tokens)
			w->tokens--;
		else
			b->verdict[i] = glen_drop(GLEN_DROP_FLOOD_LIMIT);
	}
}
