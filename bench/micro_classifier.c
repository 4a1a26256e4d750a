// SPDX-License-Identifier: BSD-2-Clause
// micro_classifier.c - what a look-up in lib/classifier.h costs, alone.
/*
 * micro_classifier [RULES...]: for each number of rules (default 10, 1000,
 * 10000, 100000) and each kind of rule set prints the time to build it, tables,
 * candidates that meet in one place at most, and ns per packet of batches of
 * 256 keys: of packets that a rule drawn at random fits, and of random packets.
 * Median of REPEATS slices of SLICE_NS, with the extremes. Then the same for
 * making the keys.
 *
 * Rule sets are drawn at random with proportions like those that ClassBench
 * (Taylor and Turner, 2005) reports: "acl" access lists (long prefixes at both
 * ends, exact destination ports), "fw" firewalls (short and no prefixes, ranges),
 * "ipc" in between, "acl6" as acl over IPv6.
 *
 * micro_classifier count KIND RULES BATCHES: so many batches and nothing else,
 * for valgrind's callgrind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro.h"
#include "lib/classifier_find.h"
#include "lib/classifier_parse.h"

enum {
	REPEATS = 15,
	SLICE_NS = 20000000,
	BATCH = 256,
	N_KEYS = 256 * BATCH, /* so that nothing is known by heart */
};

/* A share in percent, and what it stands for. */
struct share {
	unsigned percent, low, high;
};

struct kind {
	const char *name;
	unsigned family;
	struct share len[2][4];	 /* of prefixes, in bits */
	struct share port[2][5]; /* of ranges; 0, 0: one number */
	struct share protocol[4];
};

static const struct kind kinds[] = {
	{ "acl",
	  4,
	  { { { 10, 0, 0 }, { 40, 16, 24 }, { 20, 25, 31 }, { 30, 32, 32 } },
	    { { 4, 0, 8 }, { 36, 16, 24 }, { 30, 25, 31 }, { 30, 32, 32 } } },
	  { { { 98, 0, 65535 }, { 2, 0, 0 } },
	    { { 30, 0, 65535 },
	      { 55, 0, 0 },
	      { 10, 1024, 65535 },
	      { 5, 1, 2 } } },
	  { { 60, 6, 6 }, { 15, 17, 17 }, { 5, 1, 1 }, { 20, 0, 0 } } },
	{ "fw",
	  4,
	  { { { 40, 0, 0 }, { 20, 8, 16 }, { 20, 24, 24 }, { 20, 32, 32 } },
	    { { 25, 0, 0 }, { 15, 8, 24 }, { 10, 25, 31 }, { 50, 32, 32 } } },
	  { { { 60, 0, 65535 },
	      { 15, 1024, 65535 },
	      { 20, 0, 0 },
	      { 5, 1, 2 } },
	    { { 40, 0, 65535 },
	      { 15, 1024, 65535 },
	      { 30, 0, 0 },
	      { 15, 1, 2 } } },
	  { { 55, 6, 6 }, { 25, 17, 17 }, { 5, 1, 1 }, { 15, 0, 0 } } },
	{ "ipc",
	  4,
	  { { { 15, 0, 0 }, { 35, 8, 24 }, { 15, 25, 31 }, { 35, 32, 32 } },
	    { { 15, 0, 0 }, { 30, 8, 24 }, { 15, 25, 31 }, { 40, 32, 32 } } },
	  { { { 80, 0, 65535 }, { 5, 1024, 65535 }, { 15, 0, 0 } },
	    { { 55, 0, 65535 },
	      { 5, 1024, 65535 },
	      { 35, 0, 0 },
	      { 5, 1, 2 } } },
	  { { 55, 6, 6 }, { 25, 17, 17 }, { 5, 1, 1 }, { 15, 0, 0 } } },
	{ "acl6",
	  6,
	  { { { 10, 0, 0 }, { 30, 32, 48 }, { 30, 49, 64 }, { 30, 128, 128 } },
	    { { 4, 0, 0 }, { 36, 32, 48 }, { 30, 49, 64 }, { 30, 128, 128 } } },
	  { { { 98, 0, 65535 }, { 2, 0, 0 } },
	    { { 30, 0, 65535 },
	      { 55, 0, 0 },
	      { 10, 1024, 65535 },
	      { 5, 1, 2 } } },
	  { { 60, 6, 6 }, { 15, 17, 17 }, { 5, 58, 58 }, { 20, 0, 0 } } },
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct share *draw(const struct share *s)
{
	unsigned at = below(100);

	while (at >= s->percent) {
		at -= s->percent;
		s++;
	}
	return s;
}

/* Addresses of a few networks, in each a few subnets, as real ones have. */
static void draw_address(uint8_t ip[16], unsigned family)
{
	uint32_t net = below(64) * 2654435761U, sub = below(4096);

	for (unsigned i = 0; i < 16; i += 8) {
		uint64_t r = random_u64();

		memcpy(ip + i, &r, 8);
	}
	ip[0] = family == 4 ? 1 + (net >> 24) % 223 : 0x20 | (net >> 31);
	ip[1] = net >> 16;
	ip[2] = family == 4 ? sub >> 4 : net >> 8;
	if (family == 6) {
		ip[3] = net;
		ip[4] = sub >> 8;
		ip[5] = sub;
		ip[6] = 0;
		ip[7] = below(16);
	}
}

static int draw_ports(struct classifier_rule *r, unsigned end,
		      const struct share *from)
{
	static const uint16_t usual[] = { 80, 443, 53,	 25,   22,   110,
					  21, 123, 8080, 3306, 1433, 5060 };
	const struct share *s = draw(from);
	unsigned low = s->low, high = s->high;

	if (low == 0 && high == 65535)
		return 0;
	if (!high)
		low = high = below(2) ? usual[below(12)] : below(65536);
	else if (high == 2) {
		low = below(60000);
		high = low + 1 + below(below(2) ? 16 : 4000);
	}
	return classifier_rule_ports(r, end, low, high);
}

static void draw_rule(struct classifier_rule *r, const struct kind *kind)
{
	const struct share *protocol = draw(kind->protocol);
	int err = 0;

	classifier_rule_init(r);
	for (unsigned end = 0; end < 2; end++) {
		const struct share *s = draw(kind->len[end]);
		unsigned len = s->low + below(s->high - s->low + 1);
		uint8_t ip[16];

		draw_address(ip, kind->family);
		err |= classifier_rule_ip(r, end, kind->family, ip, len);
	}
	if (protocol->low)
		err |= classifier_rule_protocol(r, protocol->low);
	if (protocol->low == 6 || protocol->low == 17)
		for (unsigned end = 0; end < 2; end++)
			err |= draw_ports(r, end, kind->port[end]);
	if (err) {
		fprintf(stderr, "micro_classifier: a rule that cannot be\n");
		exit(1);
	}
}

/* A packet of n bytes that says what a key says: TCP or UDP, if the key has no
 * other protocol. */
static unsigned write_packet(uint8_t *p, const struct classifier_key *key)
{
	uint64_t l4 = key->w[CLASSIFIER_L4];
	bool v6 = l4 & CLASSIFIER_BIT(IPV6);
	uint8_t *ip = p + 14, *next = ip + (v6 ? 40 : 20);

	memset(p, 0, 128);
	p[12] = v6 ? 0x86 : 8;
	p[13] = v6 ? 0xdd : 0;
	ip[0] = v6 ? 0x60 : 0x45;
	ip[v6 ? 5 : 3] = v6 ? 20 : 40;
	ip[v6 ? 6 : 9] = (uint8_t)(l4 >> CLASSIFIER_L_PROTO);
	for (unsigned i = 0; i < (v6 ? 32 : 8); i++)
		ip[(v6 ? 8 : 12) + i] =
			(uint8_t)(key->w[CLASSIFIER_IP + i / 8] >>
				  (56 - i % 8 * 8));
	next[0] = (uint8_t)(l4 >> 8);
	next[1] = (uint8_t)l4;
	next[2] = (uint8_t)(l4 >> 24);
	next[3] = (uint8_t)(l4 >> 16);
	return v6 ? 74 : 60;
}

/* A packet that a rule fits, the rest of it random; rule NULL: all of it. */
static void draw_key(struct classifier_key *key, const struct kind *kind,
		     const struct classifier_rule *r)
{
	struct classifier_rule any;
	uint8_t packet[128];
	uint64_t l4, port;

	if (!r) {
		draw_rule(&any, kind);
		r = &any;
	}
	for (unsigned i = 0; i < CLASSIFIER_WORDS; i++)
		key->w[i] = r->value[i] | (random_u64() & ~r->mask[i]);
	l4 = key->w[CLASSIFIER_L4] & ~0xffffffffULL;
	for (unsigned end = 0; end < 2; end++) {
		port = r->low[end] + below(r->high[end] - r->low[end] + 1);
		l4 |= port << (end ? CLASSIFIER_L_DPORT : CLASSIFIER_L_SPORT);
	}
	if (!(r->mask[CLASSIFIER_L4] >> CLASSIFIER_L_PROTO & 0xff)) {
		l4 &= ~(0xffULL << CLASSIFIER_L_PROTO);
		l4 |= (below(3) ? 6ULL : 17ULL) << CLASSIFIER_L_PROTO;
	}
	l4 &= ~(CLASSIFIER_BIT(IPV4) | CLASSIFIER_BIT(IPV6));
	l4 |= kind->family == 4 ? CLASSIFIER_BIT(IPV4) : CLASSIFIER_BIT(IPV6);
	key->w[CLASSIFIER_L4] = l4;
	if (kind->family == 4)
		key->w[CLASSIFIER_IP_LOW] = key->w[CLASSIFIER_DST] =
			key->w[CLASSIFIER_DST_LOW] = 0;
	/* What TCP has and UDP has not must agree with the protocol. */
	classifier_parse(packet, write_packet(packet, key), 128, 0, key);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static uint32_t found[BATCH];

static double slice(const struct classifier *c,
		    const struct classifier_key *keys)
{
	static unsigned at;
	uint64_t start = clock_ns(), now = start, n = 0;

	while (now - start < SLICE_NS) {
		for (unsigned i = 0; i < 4; i++, at = (at + BATCH) % N_KEYS)
			classifier_find(c, keys + at, BATCH, found);
		n += 4 * BATCH;
		now = clock_ns();
	}
	return (double)(now - start) / n;
}

static void say(const char *what, double *ns)
{
	qsort(ns, REPEATS, sizeof(ns[0]), compare);
	printf("  %s %.1f ns (%.1f..%.1f)", what, ns[REPEATS / 2], ns[0],
	       ns[REPEATS - 1]);
}

static struct classifier *built(const struct kind *kind,
				struct classifier_rule *rules, unsigned n,
				double *ms)
{
	struct glen_error error;
	struct classifier *c;
	uint64_t start;

	for (unsigned i = 0; i < n; i++)
		draw_rule(&rules[i], kind);
	start = clock_ns();
	if (classifier_build(&c, rules, n, &error)) {
		fprintf(stderr, "micro_classifier: %s\n", error.text);
		exit(1);
	}
	*ms = (clock_ns() - start) / 1e6;
	return c;
}

static void measure(const struct kind *kind, struct classifier_rule *rules,
		    unsigned n, struct classifier_key *keys)
{
	double ns[REPEATS], ms;
	struct classifier *c = built(kind, rules, n, &ms);
	unsigned hits = 0;

	printf("%-5s%7u rules: %5.1f ms, %3u tables, %2u meet;", kind->name, n,
	       ms, c->n_tables, c->longest);
	for (int hit = 1; hit >= 0; hit--) {
		for (unsigned i = 0; i < N_KEYS; i++)
			draw_key(&keys[i], kind, hit ? &rules[below(n)] : NULL);
		slice(c, keys);
		for (unsigned i = 0; i < REPEATS; i++)
			ns[i] = slice(c, keys);
		for (unsigned i = 0; i < BATCH; i++)
			hits += hit && found[i] != CLASSIFIER_NONE;
		say(hit ? "fitting" : "random", ns);
	}
	printf("\n");
	if (hits != BATCH) {
		fprintf(stderr, "micro_classifier: %u of %u found\n", hits,
			BATCH);
		exit(1);
	}
	classifier_free(c);
}

static void measure_parse(const struct kind *kind,
			  const struct classifier_key *keys)
{
	static uint8_t packets[BATCH][128];
	static struct classifier_key out[BATCH];
	double ns[REPEATS];
	unsigned len = 0;

	for (unsigned i = 0; i < BATCH; i++)
		len = write_packet(packets[i], &keys[i]);
	for (unsigned k = 0; k < REPEATS; k++) {
		uint64_t start = clock_ns(), now = start, n = 0;

		for (; now - start < SLICE_NS; n += BATCH, now = clock_ns())
			for (unsigned i = 0; i < BATCH; i++)
				classifier_parse(packets[i], len, len, 0,
						 &out[i]);
		ns[k] = (double)(now - start) / n;
	}
	printf("%-5s", kind->name);
	say("parsing", ns);
	printf("\n");
}

int main(int argc, char **argv)
{
	static const unsigned usual[] = { 10, 1000, 10000, 100000 };
	struct classifier_rule *rules = malloc(CLASSIFIER_RULES_MAX *
					       sizeof(*rules));
	struct classifier_key *keys = aligned_alloc(64, N_KEYS * sizeof(*keys));
	unsigned n_counts = argc > 1 ? argc - 1 : 4;

	if (!rules || !keys) {
		fprintf(stderr, "micro_classifier: no memory\n");
		return 1;
	}
	if (argc == 5 && !strcmp(argv[1], "count")) {
		double ms;
		unsigned kind = 0, n = strtoul(argv[3], NULL, 0);
		struct classifier *c;

		while (kind < N_KINDS - 1 && strcmp(kinds[kind].name, argv[2]))
			kind++;
		c = built(&kinds[kind], rules, n, &ms);
		for (unsigned i = 0; i < BATCH; i++)
			draw_key(&keys[i], &kinds[kind], &rules[below(n)]);
		for (unsigned i = strtoul(argv[4], NULL, 0); i; i--)
			classifier_find(c, keys, BATCH, found);
		classifier_free(c);
		n_counts = 0;
	}
	for (unsigned k = 0; n_counts && k < N_KINDS; k++) {
		for (unsigned i = 0; i < n_counts; i++) {
			unsigned n = argc > 1 ? strtoul(argv[i + 1], NULL, 0) :
						usual[i];

			if (n && n <= CLASSIFIER_RULES_MAX)
				measure(&kinds[k], rules, n, keys);
		}
		measure_parse(&kinds[k], keys);
	}
	free(rules);
	free(keys);
	return 0;
}
