// SPDX-License-Identifier: BSD-2-Clause
// learn/meter.c - holds packets or bytes to a rate.
#include "module/learn/meter.h"

/* Bursts of more than that (13 days) are cut; now and it fit into a word. */
static const uint64_t burst_max = 1ULL << 56;

void meter_set(struct meter *m, uint64_t rate, unsigned unit, uint64_t burst,
	       uint32_t grab_max, unsigned n_workers)
{
	unsigned __int128 second = (unsigned __int128)1000000000 * unit
				   << METER_TIME_SHIFT;
	unsigned __int128 deep;
	uint64_t cost = 0;
	uint32_t shift = 0;

	/* All workers together may hoard an eighth of a burst. */
	while ((2U << shift) <= grab_max &&
	       (2ULL << shift) <= burst / 8 / n_workers)
		shift++;
	if (rate)
		cost = (uint64_t)((second << shift) / rate);
	if (rate && !cost)
		cost = 1;
	deep = (unsigned __int128)(burst >> shift) * cost;
	if (deep > burst_max)
		deep = burst_max;
	atomic_store_explicit(&m->burst, (uint64_t)deep, memory_order_relaxed);
	atomic_store_explicit(&m->shift, shift, memory_order_relaxed);
	atomic_store_explicit(&m->full_at, 0, memory_order_relaxed);
	atomic_store_explicit(&m->cost, cost, memory_order_relaxed);
}

/* Takes k grabs out of the bucket, or tells when there will be one. */
static bool take_grabs(struct meter *m, uint64_t now, uint64_t cost, uint64_t k,
		       uint64_t *retry_at)
{
	uint64_t burst = atomic_load_explicit(&m->burst, memory_order_relaxed);
	uint64_t full_at = atomic_load_explicit(&m->full_at,
						memory_order_relaxed);
	uint64_t from;

	do {
		from = full_at > now ? full_at : now;
		if (k * cost > burst || from - now > burst - k * cost) {
			*retry_at = from + cost > burst ? from + cost - burst :
							  0;
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(&m->full_at, &full_at,
							from + k * cost,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

bool meter_take(struct meter *m, struct meter_share *share, uint64_t now,
		uint32_t n)
{
	uint64_t cost = atomic_load_explicit(&m->cost, memory_order_relaxed);
	uint32_t shift = atomic_load_explicit(&m->shift, memory_order_relaxed);
	uint64_t k;

	if (share->tokens >= n) {
		share->tokens -= n;
		return true;
	}
	if (!cost)
		return true;
	if (now < share->retry_at)
		return false;
	k = (n - share->tokens + (1ULL << shift) - 1) >> shift;
	if (!take_grabs(m, now, cost, k, &share->retry_at))
		return false;
	share->tokens += (k << shift) - n;
	return true;
}
