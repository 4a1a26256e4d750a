// SPDX-License-Identifier: BSD-2-Clause
// classifier.c - puts rules into tables in which few of them meet.
#include "lib/classifier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/classifier_find.h"
#include "lib/error.h"

enum {
	MEET_MAX = 3,	 /* rules in one place, if another table has room */
	BUCKET_FILL = 3, /* rules of a bucket at most, on average */
	WORDS = CLASSIFIER_WORDS,
	NO_TABLE = -1,
};

/* Rules whose masks are the same, common bits of their ports included. */
struct group {
	const uint64_t *mask;
	uint32_t first, n; /* in order[] */
	unsigned bits;	   /* set in mask */
};

/* How many rules lie in each place, by hash. */
struct places {
	uint64_t *hash;	 /* 0: free */
	uint32_t *count; /* of the same */
	uint64_t mask;	 /* slots - 1 */
	uint32_t n;
};

/* A table as it fills. */
struct plan {
	uint64_t mask[WORDS];
	struct places places;
	uint32_t n;
	uint32_t first;
	uint32_t at;	 /* where it comes in the classifier */
	uint64_t *check; /* bits that any of its rules looks at */
};

struct build {
	unsigned n;
	uint64_t seed;
	struct classifier_rule *rules; /* with the common bits of ports */
	uint32_t *order;	       /* rules, group by group */
	uint32_t *table_of;	       /* plan, by rule */
	struct group *groups;
	unsigned n_groups;
	struct plan *plans;
	unsigned n_plans, plans_size;
	uint32_t longest;
};

/* What all numbers from low to high have in common. */
static uint16_t common_bits(uint16_t low, uint16_t high)
{
	unsigned differ = low ^ high;

	return differ ?
		       (uint16_t)(0xffffffffU << (32 - __builtin_clz(differ))) :
		       0xffff;
}

static void take_common(struct classifier_rule *r)
{
	for (unsigned end = 0; end < 2; end++) {
		unsigned shift = end ? CLASSIFIER_L_DPORT : CLASSIFIER_L_SPORT;
		uint64_t mask = common_bits(r->low[end], r->high[end]);

		r->mask[CLASSIFIER_L4] |= mask << shift;
		r->value[CLASSIFIER_L4] |= (r->low[end] & mask) << shift;
	}
}

static uint64_t hash_masked(uint64_t seed, const uint64_t *w,
			    const uint64_t *mask)
{
	uint64_t hash = seed;

	for (unsigned i = 0; i < WORDS; i++)
		if (mask[i])
			hash = classifier_mix(hash, w[i] & mask[i]);
	return classifier_mix(hash, seed >> 7);
}

/* Groups */

static int compare_rules(const void *a, const void *b, void *rules)
{
	const struct classifier_rule *r = rules;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = memcmp(r[x].mask, r[y].mask, sizeof(r[x].mask));

	order = order ?: memcmp(r[x].value, r[y].value, sizeof(r[x].value));
	order = order ?: memcmp(r[x].low, r[y].low, sizeof(r[x].low));
	order = order ?: memcmp(r[x].high, r[y].high, sizeof(r[x].high));
	return order ? order : (x > y) - (x < y);
}

static bool same_rule(const struct classifier_rule *x,
		      const struct classifier_rule *y)
{
	return !memcmp(x->mask, y->mask, sizeof(x->mask)) &&
	       !memcmp(x->value, y->value, sizeof(x->value)) &&
	       !memcmp(x->low, y->low, sizeof(x->low)) &&
	       !memcmp(x->high, y->high, sizeof(x->high));
}

/* A rule that stands further up already is never found: it is left out. */
static unsigned leave_out(struct build *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++)
		if (!n || !same_rule(&b->rules[b->order[i]],
				     &b->rules[b->order[n - 1]]))
			b->order[n++] = b->order[i];
		else
			b->table_of[b->order[i]] = NO_TABLE;
	return n;
}

/* The ones that look at fewer bits first: others fit into their tables. */
static int compare_groups(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->bits != y->bits)
		return x->bits < y->bits ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

static int make_groups(struct build *b)
{
	struct group *g = NULL;
	unsigned n;

	for (unsigned i = 0; i < b->n; i++)
		b->order[i] = i;
	qsort_r(b->order, b->n, sizeof(b->order[0]), compare_rules, b->rules);
	n = leave_out(b);
	b->groups = malloc((b->n + 1) * sizeof(b->groups[0]));
	if (!b->groups)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		const uint64_t *mask = b->rules[b->order[i]].mask;

		if (!g || memcmp(g->mask, mask, WORDS * sizeof(mask[0]))) {
			g = &b->groups[b->n_groups++];
			*g = (struct group){ .mask = mask, .first = i };
			for (unsigned w = 0; w < WORDS; w++)
				g->bits += __builtin_popcountll(mask[w]);
		}
		g->n++;
	}
	qsort(b->groups, b->n_groups, sizeof(b->groups[0]), compare_groups);
	return 0;
}

/* Places */

static uint64_t place_of(const struct places *p, uint64_t hash)
{
	uint64_t at = hash & p->mask;

	while (p->hash[at] && p->hash[at] != hash)
		at = (at + 1) & p->mask;
	return at;
}

static int places_grow(struct places *p)
{
	uint64_t size = p->hash ? 2 * (p->mask + 1) : 64;
	struct places old = *p;

	p->hash = calloc(size, sizeof(p->hash[0]));
	p->count = calloc(size, sizeof(p->count[0]));
	if (!p->hash || !p->count) {
		free(p->hash);
		free(p->count);
		*p = old;
		return -ENOMEM;
	}
	p->mask = size - 1;
	for (uint64_t i = 0; old.hash && i <= old.mask; i++)
		if (old.hash[i]) {
			uint64_t at = place_of(p, old.hash[i]);

			p->hash[at] = old.hash[i];
			p->count[at] = old.count[i];
		}
	free(old.hash);
	free(old.count);
	return 0;
}

/*
 * One rule more in the place of hash, unless most are there. 1: it has its
 * place, 0: it has not, or -ENOMEM.
 */
static int places_take(struct places *p, uint64_t hash, uint32_t most,
		       uint32_t *longest)
{
	uint64_t at;

	if ((!p->hash || p->n > p->mask / 2) && places_grow(p))
		return -ENOMEM;
	hash = hash ? hash : 1;
	at = place_of(p, hash);
	if (p->count[at] >= most)
		return 0;
	p->n += !p->hash[at];
	p->hash[at] = hash;
	if (++p->count[at] > *longest)
		*longest = p->count[at];
	return 1;
}

/* Tables */

/* The upper bits of a field: of len that count in mask, round as many down to a
 * multiple of step that most is not exceeded by. */
static uint64_t cut_prefix(uint64_t mask, unsigned width, unsigned step,
			   unsigned most)
{
	uint64_t all = width == 64 ? UINT64_MAX : (1ULL << width) - 1;
	unsigned len = __builtin_popcountll(mask & all);

	len -= len % step;
	len = len < most ? len : most;
	return len ? all & (all << (width - len)) : 0;
}

/*
 * Fewer bits, so that other rules find a place here, too: of addresses and
 * ports, and of what most rules say nothing about.
 */
static void relax(uint64_t *to, const uint64_t *mask)
{
	const uint64_t port = 0xffff;
	const uint64_t l4 = mask[CLASSIFIER_L4];
	uint64_t keep = 0xffULL << CLASSIFIER_L_PROTO |
			3ULL << CLASSIFIER_L_IPV4 | 1ULL << CLASSIFIER_L_IP;

	memcpy(to, mask, WORDS * sizeof(to[0]));
	if ((l4 >> CLASSIFIER_L_SPORT & port) == port)
		keep |= port << CLASSIFIER_L_SPORT;
	if ((l4 >> CLASSIFIER_L_DPORT & port) == port)
		keep |= port << CLASSIFIER_L_DPORT;
	to[CLASSIFIER_L4] = l4 & keep;
	if (l4 >> CLASSIFIER_L_IPV4 & 1) {
		uint64_t ip = mask[CLASSIFIER_IP];

		to[CLASSIFIER_IP] = cut_prefix(ip >> 32, 32, 8, 24) << 32 |
				    cut_prefix(ip, 32, 8, 24);
	} else if (l4 >> CLASSIFIER_L_IPV6 & 1) {
		to[CLASSIFIER_IP] = cut_prefix(mask[CLASSIFIER_IP], 64, 16, 64);
		to[CLASSIFIER_DST] = cut_prefix(mask[CLASSIFIER_DST], 64, 16,
						64);
		to[CLASSIFIER_IP_LOW] = to[CLASSIFIER_DST_LOW] = 0;
	}
}

/* All bits of a table's mask are looked at by these rules. */
static bool has_bits(const uint64_t *mask, const uint64_t *table)
{
	uint64_t missing = 0;

	for (unsigned i = 0; i < WORDS; i++)
		missing |= table[i] & ~mask[i];
	return !missing;
}

static int take_rule(struct build *b, unsigned plan, uint32_t rule,
		     uint32_t most)
{
	struct plan *p = &b->plans[plan];
	const struct classifier_rule *r = &b->rules[rule];
	int taken = places_take(&p->places,
				hash_masked(b->seed, r->value, p->mask), most,
				&b->longest);

	if (taken <= 0)
		return taken;
	for (unsigned i = 0; i < WORDS; i++)
		p->check[i] |= r->mask[i];
	p->n++;
	p->first = rule < p->first ? rule : p->first;
	b->table_of[rule] = plan;
	return 1;
}

static int make_plan(struct build *b, const uint64_t *mask)
{
	struct plan *p;

	if (b->n_plans == b->plans_size) {
		unsigned size = b->plans_size ? 2 * b->plans_size : 16;

		p = realloc(b->plans, size * sizeof(*p));
		if (!p)
			return -ENOMEM;
		b->plans = p;
		b->plans_size = size;
	}
	p = &b->plans[b->n_plans];
	*p = (struct plan){ .first = UINT32_MAX };
	p->check = calloc(WORDS, sizeof(p->check[0]));
	if (!p->check)
		return -ENOMEM;
	memcpy(p->mask, mask, sizeof(p->mask));
	return (int)b->n_plans++;
}

static int find_plan(const struct build *b, const uint64_t *mask)
{
	for (unsigned i = 0; i < b->n_plans; i++)
		if (!memcmp(b->plans[i].mask, mask, sizeof(b->plans[i].mask)))
			return (int)i;
	return NO_TABLE;
}

/* A rule for which no table that is there has room. */
static int place_in_new(struct build *b, const struct group *g, uint32_t rule)
{
	uint64_t cut[WORDS];
	int plan;

	relax(cut, g->mask);
	plan = find_plan(b, cut) == NO_TABLE ? make_plan(b, cut) : NO_TABLE;
	if (plan == NO_TABLE) {
		/* Its own bits; then it has no other place. */
		plan = find_plan(b, g->mask);
		plan = plan == NO_TABLE ? make_plan(b, g->mask) : plan;
	}
	if (plan < 0)
		return plan;
	return take_rule(b, (unsigned)plan, rule, UINT32_MAX);
}

static int place_group(struct build *b, const struct group *g)
{
	uint32_t *fits = malloc((b->n_plans + 4) * sizeof(*fits));
	unsigned n_fits = 0;
	int taken = 0;

	if (!fits)
		return -ENOMEM;
	for (unsigned i = 0; i < b->n_plans; i++)
		if (has_bits(g->mask, b->plans[i].mask))
			fits[n_fits++] = i;
	for (unsigned k = 0; k < g->n && taken >= 0; k++) {
		uint32_t rule = b->order[g->first + k];
		unsigned before = b->n_plans;

		taken = 0;
		for (unsigned i = 0; i < n_fits && !taken; i++)
			taken = take_rule(b, fits[i], rule, MEET_MAX);
		if (!taken)
			taken = place_in_new(b, g, rule);
		/* At most two: cut down, and with all bits. */
		for (; before < b->n_plans; before++)
			fits[n_fits++] = before;
	}
	free(fits);
	return taken < 0 ? taken : 0;
}

static int compare_plans(const void *a, const void *b)
{
	const struct plan *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static int make_plans(struct build *b)
{
	for (unsigned i = 0; i < b->n_groups; i++) {
		int err = place_group(b, &b->groups[i]);

		if (err)
			return err;
	}
	/* table_of[] names them as they are now. */
	for (unsigned i = 0; i < b->n_plans; i++)
		b->plans[i].at = i;
	if (b->n_plans)
		qsort(b->plans, b->n_plans, sizeof(b->plans[0]), compare_plans);
	return 0;
}

/* The classifier */

static int make_table(struct classifier_table *t, const struct plan *p)
{
	uint64_t buckets = 1;

	while (buckets * BUCKET_FILL < p->n)
		buckets *= 2;
	t->first = p->first;
	memcpy(t->mask, p->mask, sizeof(t->mask));
	for (unsigned i = 0; i < WORDS; i++) {
		if (p->mask[i])
			t->hash[t->n_hash++] = (uint8_t)i;
		if (p->check[i])
			t->check[t->n_check++] = (uint8_t)i;
	}
	t->stride = 1 + 2 * t->n_check;
	t->bucket_mask = buckets - 1;
	t->buckets = aligned_alloc(64, buckets * sizeof(t->buckets[0]));
	t->records = malloc((size_t)p->n * t->stride * sizeof(t->records[0]));
	if (!t->buckets || !t->records)
		return -ENOMEM;
	memset(t->buckets, 0, buckets * sizeof(t->buckets[0]));
	return 0;
}

static void put_record(struct classifier_table *t,
		       const struct classifier_rule *r)
{
	uint64_t *record = t->records + (size_t)t->n * t->stride;

	*record++ = r->low[0] |
		    (uint64_t)(uint16_t)(r->high[0] - r->low[0]) << 16 |
		    (uint64_t)r->low[1] << 32 |
		    (uint64_t)(uint16_t)(r->high[1] - r->low[1]) << 48;
	for (unsigned i = 0; i < t->n_check; i++) {
		*record++ = r->value[t->check[i]];
		*record++ = r->mask[t->check[i]];
	}
}

static void put_rule(const struct build *b, struct classifier_table *t,
		     uint32_t rule)
{
	const struct classifier_rule *r = &b->rules[rule];
	uint64_t hash = classifier_hash(t, b->seed, r->value), at = hash;
	struct classifier_bucket *to;
	unsigned i = CLASSIFIER_BUCKET;

	do {
		to = &t->buckets[at++ & t->bucket_mask];
		for (i = 0; i < CLASSIFIER_BUCKET; i++)
			if (!(to->tags[i / 4] >> (i % 4 * 16) & 0xffff))
				break;
	} while (i == CLASSIFIER_BUCKET);
	to->tags[i / 4] |= classifier_tag(hash) << (i % 4 * 16);
	to->slot[i] = (uint64_t)t->n << 32 | rule;
	put_record(t, r);
	t->n++;
}

static int fill(const struct build *b, struct classifier **out)
{
	struct classifier *c = calloc(1,
				      sizeof(*c) +
					      b->n_plans * sizeof(c->table[0]));
	uint32_t *place = malloc((b->n_plans + 1) * sizeof(*place));
	int err = c && place ? 0 : -ENOMEM;

	if (err)
		goto err_free;
	c->seed = b->seed;
	c->n_rules = b->n;
	c->n_tables = b->n_plans;
	c->longest = b->longest;
	for (unsigned i = 0; i < b->n_plans && !err; i++) {
		place[b->plans[i].at] = i;
		err = make_table(&c->table[i], &b->plans[i]);
	}
	if (err)
		goto err_free;
	for (unsigned i = 0; i < b->n; i++)
		if (b->table_of[i] != (uint32_t)NO_TABLE)
			put_rule(b, &c->table[place[b->table_of[i]]], i);
	free(place);
	*out = c;
	return 0;

err_free:
	free(place);
	classifier_free(c);
	return err;
}

static void free_build(struct build *b)
{
	for (unsigned i = 0; i < b->n_plans; i++) {
		free(b->plans[i].places.hash);
		free(b->plans[i].places.count);
		free(b->plans[i].check);
	}
	free(b->plans);
	free(b->groups);
	free(b->table_of);
	free(b->order);
	free(b->rules);
}

static int make(struct build *b, const struct classifier_rule *rules,
		struct classifier **c)
{
	int err;

	if (getrandom(&b->seed, sizeof(b->seed), 0) != sizeof(b->seed))
		return -errno;
	b->rules = malloc((b->n + 1) * sizeof(b->rules[0]));
	b->order = malloc((b->n + 1) * sizeof(b->order[0]));
	b->table_of = malloc((b->n + 1) * sizeof(b->table_of[0]));
	if (!b->rules || !b->order || !b->table_of)
		return -ENOMEM;
	for (unsigned i = 0; i < b->n; i++) {
		b->rules[i] = rules[i];
		take_common(&b->rules[i]);
	}
	err = make_groups(b);
	err = err ?: make_plans(b);
	return err ?: fill(b, c);
}

int classifier_build(struct classifier **c, const struct classifier_rule *rules,
		     unsigned n, struct glen_error *error)
{
	struct build b = { .n = n };
	int err;

	*c = NULL;
	if (n > CLASSIFIER_RULES_MAX)
		return error_set(error, -ENOSPC,
				 "%u rules; a classifier has room for %d", n,
				 CLASSIFIER_RULES_MAX);
	err = make(&b, rules, c);
	free_build(&b);
	return err ? error_set(error, err, "cannot build a classifier: %s",
			       strerror(-err)) :
		     0;
}

void classifier_free(struct classifier *c)
{
	for (unsigned i = 0; c && i < c->n_tables; i++) {
		free(c->table[i].buckets);
		free(c->table[i].records);
	}
	free(c);
}
