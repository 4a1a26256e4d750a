// SPDX-License-Identifier: BSD-2-Clause
// tuple3/frag.c - a small table of first fragments.
#include "module/tuple3/frag.h"

#include <sched.h>
#include <string.h>

#include "include/glen/module.h"
#include "module/tuple3/table.h"

_Static_assert(sizeof(struct t3_frag_key) == 40, "no bytes without a meaning");

static unsigned bucket_of(const struct t3_frags *f,
			  const struct t3_frag_key *key)
{
	uint64_t words[5], hash = f->seed;

	memcpy(words, key, sizeof(words));
	for (unsigned i = 0; i < 5; i++)
		hash = t3_fold(hash ^ words[i], 0x9e3779b97f4a7c15ULL);
	return hash % FRAG_BUCKETS;
}

/* acquire: pairs with unlock() */
static bool try_lock(struct t3_frags *f, unsigned at)
{
	for (unsigned i = 0; i < FRAG_TRIES; i++)
		if (!atomic_exchange_explicit(&f->bucket[at].locked, true,
					      memory_order_acquire))
			return true;
	return false;
}

/* release: pairs with try_lock() */
static void unlock(struct t3_frags *f, unsigned at)
{
	atomic_store_explicit(&f->bucket[at].locked, false,
			      memory_order_release);
}

static bool alive(const struct t3_frag *e, uint32_t now_s)
{
	return e->until_s && (int32_t)(e->until_s - now_s) > 0;
}

/* The way with this key, or else the one to be replaced. */
static struct t3_frag *choose(struct t3_frag *way,
			      const struct t3_frag_key *key, uint32_t now_s)
{
	struct t3_frag *oldest = way;

	for (unsigned i = 0; i < FRAG_WAYS; i++) {
		if (way[i].until_s && !memcmp(&way[i].key, key, sizeof(*key)))
			return &way[i];
		if (!alive(&way[i], now_s))
			oldest = &way[i];
		else if (alive(oldest, now_s) &&
			 (int32_t)(way[i].until_s - oldest->until_s) < 0)
			oldest = &way[i];
	}
	return oldest;
}

void t3_frag_keep(struct t3_frags *f, const struct t3_frag_key *key,
		  uint32_t verdict, uint32_t now_s)
{
	unsigned at = bucket_of(f, key);
	struct t3_frag *e;

	if (!try_lock(f, at))
		return;
	e = choose(f->bucket[at].way, key, now_s);
	e->key = *key;
	e->verdict = verdict;
	e->until_s = now_s + FRAG_SECONDS ?: 1;
	unlock(f, at);
}

bool t3_frag_find(struct t3_frags *f, const struct t3_frag_key *key,
		  uint32_t now_s, uint32_t *verdict)
{
	unsigned at = bucket_of(f, key);
	const struct t3_frag *e;
	bool found;

	if (!try_lock(f, at))
		return false;
	e = choose(f->bucket[at].way, key, now_s);
	found = alive(e, now_s) && !memcmp(&e->key, key, sizeof(*key));
	*verdict = e->verdict;
	unlock(f, at);
	return found;
}

void t3_frag_forget(struct t3_frags *f, unsigned port)
{
	for (unsigned at = 0; at < FRAG_BUCKETS; at++) {
		struct t3_frag *way = f->bucket[at].way;

		while (!try_lock(f, at))
			sched_yield();
		for (unsigned i = 0; i < FRAG_WAYS; i++) {
			uint32_t v = way[i].verdict;

			if (way[i].key.port == port ||
			    ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT &&
			     (v & 0xffff) == port))
				way[i].until_s = 0;
		}
		unlock(f, at);
	}
}
