// SPDX-License-Identifier: BSD-2-Clause
// test_nf_firewall_model.c - random rule files against asking rule by rule.
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/classifier_find.h"
#include "nf/firewall/rules.h"

enum { CHAINS = 4, RULES = 12, LIST = 4, FILES = 300, PACKETS = 200 };

/* Conditions with n = 0 or 0 hold for all. */
struct rule {
	unsigned n_src, n_port, protocol, states;
	uint32_t src[LIST];
	unsigned src_len[LIST], low[LIST], high[LIST];
	enum fw_verdict verdict;
	bool count;
	unsigned target, number;
};

struct file {
	struct rule rule[CHAINS][RULES];
	unsigned n[CHAINS], n_rules;
	enum fw_verdict policy;
	char text[65536];
	size_t len;
};

struct packet {
	uint32_t src;
	unsigned port, protocol;
	enum fw_state state;
};

static uint64_t random_state;

static unsigned below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

__attribute__((format(printf, 2, 3))) static void say(struct file *f,
						      const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	f->len += (size_t)vsnprintf(f->text + f->len, sizeof(f->text) - f->len,
				    format, ap);
	va_end(ap);
	assert_in_range(f->len, 0, sizeof(f->text) - 1);
}

/* Networks that do not overlap: the second byte is i's. */
static void draw_sources(struct file *f, struct rule *r)
{
	static const unsigned lens[] = { 16, 24, 32 };

	r->n_src = below(LIST + 1);
	if (!r->n_src)
		return;
	say(f, "ip saddr {");
	for (unsigned i = 0; i < r->n_src; i++) {
		unsigned len = lens[below(3)];
		uint32_t ip = 10U << 24 | i << 16 | below(2) << 8 | below(2);

		ip &= ~0U << (32 - len);
		r->src[i] = ip;
		r->src_len[i] = len;
		say(f, "%s10.%u.%u.%u/%u", i ? ", " : "", ip >> 16 & 255,
		    ip >> 8 & 255, ip & 255, len);
	}
	say(f, "} ");
}

static void draw_ports(struct file *f, struct rule *r)
{
	if (below(2))
		r->protocol = below(2) ? 6 : 17;
	r->n_port = r->protocol ? below(LIST) : 0;
	if (r->protocol && !r->n_port)
		say(f, "protocol %u ", r->protocol);
	if (!r->n_port)
		return;
	say(f, "%s dport {", r->protocol == 6 ? "tcp" : "udp");
	for (unsigned i = 0; i < r->n_port; i++) {
		r->low[i] = i * 10 + below(5);
		r->high[i] = r->low[i] + below(5);
		say(f, "%s%u-%u", i ? "," : "", r->low[i], r->high[i]);
	}
	say(f, "} ");
}

static void draw_states(struct file *f, struct rule *r)
{
	static const char *const names[] = { "new", "established", "related",
					     "invalid", "untracked" };

	r->states = below(3) ? 0 : 1 + below(30);
	if (!r->states)
		return;
	say(f, "ct state");
	for (unsigned i = 0, n = 0; i < FW_STATES; i++)
		if (r->states >> i & 1)
			say(f, "%s%s", n++ ? "," : " ", names[i]);
	say(f, " ");
}

/* Jumps lead to later chains only. */
static void draw_rule(struct file *f, unsigned chain, struct rule *r)
{
	static const char *const verdicts[] = { "", "accept", "drop", "reject",
						"jump" };

	r->number = f->n_rules++;
	draw_states(f, r);
	draw_sources(f, r);
	draw_ports(f, r);
	r->verdict = 1 + below(chain + 1 < CHAINS ? 4 : 3);
	/* Few that only count: each is a pass for every jump to it. */
	r->count = below(12) == 0;
	if (r->count && below(2))
		r->verdict = FW_CONTINUE;
	say(f, "%s%s", r->count ? "count " : "", verdicts[r->verdict]);
	if (r->verdict == FW_JUMP) {
		r->target = chain + 1 + below(CHAINS - chain - 1);
		say(f, " c%u", r->target);
	}
	say(f, "\n");
}

static void draw_file(struct file *f)
{
	static const char *const policies[] = { "accept", "drop", "reject" };

	memset(f, 0, sizeof(*f));
	f->policy = FW_ACCEPT + below(3);
	for (unsigned i = 0; i < CHAINS; i++) {
		if (i)
			say(f, "chain c%u {\n", i);
		else
			say(f, "chain main { policy %s\n",
			    policies[f->policy - FW_ACCEPT]);
		f->n[i] = below(RULES + 1);
		for (unsigned k = 0; k < f->n[i]; k++)
			draw_rule(f, i, &f->rule[i][k]);
		say(f, "}\n");
	}
}

static bool fits(const struct rule *r, const struct packet *p)
{
	bool src = !r->n_src, port = !r->n_port;

	for (unsigned i = 0; i < r->n_src; i++)
		src |= (p->src ^ r->src[i]) >> (32 - r->src_len[i]) == 0;
	for (unsigned i = 0; i < r->n_port; i++)
		port |= p->port >= r->low[i] && p->port <= r->high[i];
	return src && port && (!r->protocol || r->protocol == p->protocol) &&
	       (!r->states || r->states >> p->state & 1);
}

/* The number of the rule that decides, -1: none here; counts as it goes. */
static int ask(const struct file *f, unsigned chain, const struct packet *p,
	       unsigned *counts)
{
	for (unsigned k = 0; k < f->n[chain]; k++) {
		const struct rule *r = &f->rule[chain][k];
		int in;

		if (!fits(r, p))
			continue;
		if (r->verdict == FW_CONTINUE ||
		    (r->verdict == FW_JUMP && r->count))
			counts[r->number]++;
		if (r->verdict == FW_CONTINUE)
			continue;
		if (r->verdict != FW_JUMP)
			return (int)r->number;
		in = ask(f, r->target, p, counts);
		if (in >= 0)
			return in;
	}
	return -1;
}

static struct classifier_key key_of(const struct packet *p)
{
	struct classifier_key k = { 0 };

	k.w[CLASSIFIER_META] = 1ULL << (CLASSIFIER_M_OWN + p->state);
	k.w[CLASSIFIER_IP] = (uint64_t)p->src << 32;
	k.w[CLASSIFIER_L4] = (uint64_t)p->protocol << CLASSIFIER_L_PROTO |
			     (uint64_t)p->port << CLASSIFIER_L_DPORT |
			     1ULL << CLASSIFIER_L_PORTS |
			     1ULL << CLASSIFIER_L_IPV4 |
			     1ULL << CLASSIFIER_L_IP;
	return k;
}

static int find(const struct fw_rules *r, const struct packet *p,
		unsigned *counts)
{
	struct classifier_key k = key_of(p);

	for (unsigned i = 0; i < r->n_passes; i++) {
		uint32_t entry, rule;

		classifier_find(r->pass[i].classifier, &k, 1, &entry);
		if (entry == CLASSIFIER_NONE)
			continue;
		rule = r->pass[i].rule[entry];
		if (r->action[rule].verdict != FW_CONTINUE)
			return (int)rule;
		counts[rule]++;
	}
	return -1;
}

static void compare(const struct file *f, const struct fw_rules *r)
{
	struct packet p = {
		.src = 10U << 24 | below(LIST + 1) << 16 | below(2) << 8 |
		       below(2),
		.port = below(LIST * 10),
		.protocol = below(2) ? 6 : 17,
		.state = below(FW_STATES),
	};
	unsigned want[CHAINS * RULES] = { 0 }, got[CHAINS * RULES] = { 0 };
	int rule = find(r, &p, got);

	assert_int_equal(rule, ask(f, 0, &p, want));
	assert_memory_equal(got, want, sizeof(got));
}

static int no_ports(void *arg, const char *name)
{
	return 0;
}

/* Few files have so many paths to rules that count that it is too much. */
static void files_mean_what_they_say(void **state)
{
	static struct file f;
	unsigned tried = 0;

	assert_int_equal(getrandom(&random_state, sizeof(random_state), 0),
			 sizeof(random_state));
	random_state |= 1;
	print_message("# seed %#llx\n", (unsigned long long)random_state);
	for (unsigned i = 0; i < FILES; i++) {
		struct glen_error error = { 0 };
		struct fw_read read = { .file = "f",
					.text = f.text,
					.n_threads = 1,
					.port = no_ports };
		struct fw_rules *r;
		int err;

		draw_file(&f);
		read.len = f.len;
		err = fw_rules_read(&r, &read, &error);
		if (err && !strstr(error.text, "count or log"))
			fail_msg("%s\n%s", error.text, f.text);
		if (err)
			continue;
		tried++;
		assert_int_equal(r->n_rules, f.n_rules);
		assert_int_equal(r->action[r->n_rules].verdict, f.policy);
		for (unsigned k = 0; k < PACKETS; k++)
			compare(&f, r);
		fw_rules_free(r);
	}
	assert_in_range(tried, FILES / 2, FILES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_mean_what_they_say),
	};

	return cmocka_run_group_tests_name("nf_firewall_model", tests, NULL,
					   NULL);
}
