/* SPDX-License-Identifier: BSD-2-Clause */
/* classifier_find.h - looks a batch of keys up in a classifier (hot). */
#ifndef LIB_CLASSIFIER_FIND_H
#define LIB_CLASSIFIER_FIND_H
/*
 * In a header so that hot files, which are compiled once per instruction set,
 * have it as their own. Packets are looked up in groups, one table after the
 * other and each table in three passes, so that the lines that one pass asks
 * for are there when the next one reads them:
 *
 *   1. those that have not found an earlier rule yet: hash, bucket prefetched
 *   2. candidates with the right tag are listed, their records prefetched
 *   3. candidates are compared in full
 */
#include "lib/classifier.h"

enum {
	CLASSIFIER_GROUP = 32,
	CLASSIFIER_LISTED = 4 * CLASSIFIER_GROUP, /* candidates at a time */
};

/* A group on its way through the tables. */
struct classifier_group {
	const struct classifier_key *key;
	uint32_t *rule;			  /* found so far */
	unsigned n;			  /* in active[] */
	uint8_t active[CLASSIFIER_GROUP]; /* who asks this table */
	uint64_t hash[CLASSIFIER_GROUP];  /* by place in active[] */
	unsigned n_listed;
	uint8_t who[CLASSIFIER_LISTED];
	uint64_t slot[CLASSIFIER_LISTED];
};

static inline uint64_t classifier_mix(uint64_t hash, uint64_t word)
{
	unsigned __int128 product = (unsigned __int128)(hash ^ word) *
				    0x9e3779b97f4a7c15ULL;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t classifier_hash(const struct classifier_table *t,
				       uint64_t seed, const uint64_t *w)
{
	uint64_t hash = seed;

	for (unsigned i = 0; i < t->n_hash; i++)
		hash = classifier_mix(hash,
				      w[t->hash[i]] & t->mask[t->hash[i]]);
	return classifier_mix(hash, seed >> 7);
}

/* 16 bits, the uppermost of which is 1. */
static inline uint64_t classifier_tag(uint64_t hash)
{
	return hash >> 48 | 0x8000;
}

static inline const uint64_t *classifier_record(
	const struct classifier_table *t, uint64_t slot)
{
	return t->records + (slot >> 32) * t->stride;
}

/* The record's conditions hold. */
static inline bool classifier_fits(const struct classifier_table *t,
				   const uint64_t *record, const uint64_t *w)
{
	uint16_t sport = (uint16_t)(w[CLASSIFIER_L4] >> CLASSIFIER_L_SPORT);
	uint16_t dport = (uint16_t)(w[CLASSIFIER_L4] >> CLASSIFIER_L_DPORT);
	uint64_t ranges = *record++, differ;

	differ = (uint16_t)(sport - (uint16_t)ranges) >
		 (uint16_t)(ranges >> 16);
	differ |= (uint16_t)(dport - (uint16_t)(ranges >> 32)) >
		  (uint16_t)(ranges >> 48);
	for (unsigned i = 0; i < t->n_check; i++, record += 2)
		differ |= (w[t->check[i]] ^ record[0]) & record[1];
	return !differ;
}

/* Those that may still find an earlier rule in this table. False: nobody. */
static inline bool classifier_activate(const struct classifier_table *t,
				       uint64_t seed,
				       struct classifier_group *g, unsigned n)
{
	unsigned active = 0;

	for (unsigned i = 0; i < n; i++) {
		g->active[active] = (uint8_t)i;
		active += g->rule[i] > t->first;
	}
	g->n = active;
	for (unsigned k = 0; k < active; k++) {
		uint64_t hash = classifier_hash(t, seed,
						g->key[g->active[k]].w);

		g->hash[k] = hash;
		__builtin_prefetch(&t->buckets[hash & t->bucket_mask]);
	}
	return active;
}

static inline void classifier_compare(const struct classifier_table *t,
				      struct classifier_group *g)
{
	for (unsigned k = 0; k < g->n_listed; k++) {
		uint32_t *rule = &g->rule[g->who[k]];
		uint32_t at = (uint32_t)g->slot[k];

		if (at < *rule &&
		    classifier_fits(t, classifier_record(t, g->slot[k]),
				    g->key[g->who[k]].w))
			*rule = at;
	}
	g->n_listed = 0;
}

/*
 * Lists the candidates of packet i among the tags of a word, whose slots these
 * are. A bit of equal says that a tag is; above one that is it may be wrong,
 * for tags that are there, which costs a comparison.
 */
static inline void classifier_list(const struct classifier_table *t,
				   struct classifier_group *g, unsigned i,
				   uint64_t tags, const uint64_t *slots,
				   uint64_t tag)
{
	const uint64_t ones = 0x0001000100010001ULL;
	uint64_t differ = tags ^ tag * ones;
	uint64_t equal = (differ - ones) & ~differ & ones << 15;

	for (; equal; equal &= equal - 1) {
		uint64_t slot = slots[__builtin_ctzll(equal) / 16];

		if ((uint32_t)slot > g->rule[i])
			continue;
		if (g->n_listed == CLASSIFIER_LISTED)
			classifier_compare(t, g);
		__builtin_prefetch(classifier_record(t, slot));
		g->who[g->n_listed] = (uint8_t)i;
		g->slot[g->n_listed++] = slot;
	}
}

static inline void classifier_ask(const struct classifier_table *t,
				  struct classifier_group *g)
{
	for (unsigned k = 0; k < g->n; k++) {
		uint64_t tag = classifier_tag(g->hash[k]), at = g->hash[k];
		const struct classifier_bucket *b;

		do {
			b = &t->buckets[at++ & t->bucket_mask];
			classifier_list(t, g, g->active[k], b->tags[0], b->slot,
					tag);
			if (!b->tags[1])
				break;
			classifier_list(t, g, g->active[k], b->tags[1],
					b->slot + 4, tag);
		} while (b->tags[1] >> 16);
	}
	classifier_compare(t, g);
}

/*
 * Stores for each of n keys the index of the first rule that fits, or
 * CLASSIFIER_NONE. Any thread, as long as the classifier is not freed.
 */
static inline void classifier_find(const struct classifier *c,
				   const struct classifier_key *key, unsigned n,
				   uint32_t *rule)
{
	struct classifier_group g;

	g.n_listed = 0;
	for (unsigned i = 0; i < n; i++)
		rule[i] = CLASSIFIER_NONE;
	for (unsigned at = 0; at < n; at += CLASSIFIER_GROUP) {
		unsigned left = n - at;

		g.key = key + at;
		g.rule = rule + at;
		left = left < CLASSIFIER_GROUP ? left : CLASSIFIER_GROUP;
		for (unsigned i = 0; i < c->n_tables; i++) {
			const struct classifier_table *t = &c->table[i];

			if (!classifier_activate(t, c->seed, &g, left))
				break;
			classifier_ask(t, &g);
		}
	}
}

#endif
