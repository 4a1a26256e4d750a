// SPDX-License-Identifier: BSD-2-Clause
// test_classifier.c - the classifier finds what looking at every rule finds.
#include "unit.h"

#include <sys/random.h>

#include "classifier_model.h"

enum { BATCH = 256 };

static void seeded(struct model_source *s)
{
	*s = (struct model_source){ 0 };
	assert_int_equal(getrandom(&s->random, sizeof(s->random), 0),
			 sizeof(s->random));
	s->random |= 1;
	print_message("# seed %#llx\n", (unsigned long long)s->random);
}

/* n rules that can be, drawn; the caller frees both. */
static struct model_rule *draw_rules(struct model_source *s, unsigned n,
				     struct classifier_rule **rules)
{
	struct model_rule *model = calloc(n + 1, sizeof(*model));

	*rules = calloc(n + 1, sizeof(**rules));
	for (unsigned i = 0; i < n;) {
		model_draw_rule(s, &model[i]);
		i += !model_make(&model[i], &(*rules)[i]);
	}
	return model;
}

static unsigned compare_batch(struct model_source *s,
			      const struct classifier *c,
			      const struct model_rule *model, unsigned n)
{
	static struct classifier_key keys[BATCH];
	static uint8_t packet[MODEL_PACKET];
	uint32_t want[BATCH], got[BATCH];
	unsigned hits = 0, batch = 1 + model_below(s, BATCH);

	for (unsigned i = 0; i < batch; i++) {
		unsigned len = model_draw_packet(s, packet);
		unsigned have = len < 128 ? len : 128;
		struct model_packet m;
		int in_port = model_below(s, 3);

		if (model_below(s, 8) == 0 && have > 64)
			have = 64;
		model_read(packet, have, len, &m);
		classifier_parse(packet, have, len, in_port, &keys[i]);
		want[i] = model_find(model, n, &m, in_port);
	}
	classifier_find(c, keys, batch, got);
	for (unsigned i = 0; i < batch; i++) {
		assert_int_equal(got[i], want[i]);
		hits += got[i] != CLASSIFIER_NONE;
	}
	return hits;
}

static void compare_rules(unsigned n, unsigned batches, unsigned sets)
{
	struct model_source s;
	unsigned hits = 0;

	seeded(&s);
	for (; sets; sets--) {
		struct classifier_rule *rules;
		struct model_rule *model = draw_rules(&s, n, &rules);
		struct classifier *c;

		assert_int_equal(classifier_build(&c, rules, n, NULL), 0);
		for (unsigned i = 0; i < batches; i++)
			hits += compare_batch(&s, c, model, n);
		classifier_free(c);
		free(rules);
		free(model);
	}
	/* Or nothing was compared. */
	assert_true(!n || hits > 0);
}

static void few_rules_are_found(void **state)
{
	compare_rules(0, 1, 2);
	compare_rules(1, 4, 40);
	compare_rules(10, 4, 100);
}

static void many_rules_are_found(void **state)
{
	compare_rules(300, 20, 4);
	compare_rules(5000, 4, 1);
}

static struct classifier_rule tcp_to(unsigned low, unsigned high)
{
	struct classifier_rule r;

	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_protocol(&r, 6), 0);
	assert_int_equal(classifier_rule_ports(&r, CLASSIFIER_TO, low, high),
			 0);
	return r;
}

static struct classifier_key key_to(unsigned port)
{
	struct classifier_key key = { 0 };

	key.w[CLASSIFIER_L4] = 6ULL << CLASSIFIER_L_PROTO |
			       (uint64_t)port << CLASSIFIER_L_DPORT |
			       CLASSIFIER_BIT(PORTS) | CLASSIFIER_BIT(IP);
	return key;
}

static uint32_t find_port(const struct classifier *c, unsigned port)
{
	struct classifier_key key = key_to(port);
	uint32_t rule;

	classifier_find(c, &key, 1, &rule);
	return rule;
}

/* Every range that there is between two borders, each number looked up. */
static void ranges_need_no_more_rules_than_they_are(void **state)
{
	static const unsigned edges[] = { 0, 1, 80, 1024, 32768, 65535 };
	struct classifier_rule rules[36];
	unsigned n = 0, records = 0;
	struct classifier *c;

	for (unsigned i = 0; i < 6; i++)
		for (unsigned k = 6; k-- > i;)
			rules[n++] = tcp_to(edges[5 - k], edges[5 - i]);
	assert_int_equal(classifier_build(&c, rules, n, NULL), 0);
	for (unsigned i = 0; i < c->n_tables; i++)
		records += c->table[i].n;
	assert_int_equal(records, n);
	for (unsigned port = 0; port < 65536; port++) {
		struct classifier_key key = key_to(port);
		uint32_t want = CLASSIFIER_NONE;

		for (unsigned i = n; i-- > 0;)
			if (classifier_rule_fits(&rules[i], &key))
				want = i;
		assert_int_equal(find_port(c, port), want);
	}
	classifier_free(c);
}

static void of_equal_rules_the_first_counts(void **state)
{
	struct classifier_rule rules[4] = { tcp_to(80, 80), tcp_to(25, 25),
					    tcp_to(25, 25), tcp_to(80, 80) };
	struct classifier *c;

	assert_int_equal(classifier_build(&c, rules, 4, NULL), 0);
	assert_int_equal(find_port(c, 80), 0);
	assert_int_equal(find_port(c, 25), 1);
	assert_int_equal(find_port(c, 26), CLASSIFIER_NONE);
	classifier_free(c);
}

/* Thousands in one place, more than a list of candidates has room for. */
static void rules_that_meet_are_all_looked_at(void **state)
{
	enum { N = 3000 };
	struct classifier_rule *rules = calloc(N, sizeof(*rules));
	struct classifier *c;

	for (unsigned i = 0; i < N; i++)
		rules[i] = tcp_to(32767 - i, 32768 + i);
	assert_int_equal(classifier_build(&c, rules, N, NULL), 0);
	/* But for those that a table with fewer bits took. */
	assert_in_range(c->longest, N - 10, N);
	for (unsigned i = 0; i < N; i += 97) {
		assert_int_equal(find_port(c, 32767 - i), i);
		assert_int_equal(find_port(c, 32768 + i), i);
	}
	assert_int_equal(find_port(c, 32768 + N), CLASSIFIER_NONE);
	classifier_free(c);
	free(rules);
}

static void what_cannot_be_is_refused(void **state)
{
	static const uint8_t ip[16] = { 10 };
	struct classifier_rule r;
	struct glen_error error;
	struct classifier *c;

	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_ip(&r, 0, 4, ip, 33), -EINVAL);
	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_ip(&r, 0, 4, ip, 8), 0);
	assert_int_equal(classifier_rule_ip(&r, 1, 6, ip, 8), -EINVAL);
	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_ports(&r, 0, 2, 1), -EINVAL);
	assert_int_equal(classifier_rule_ports(&r, 0, 10, 20), 0);
	assert_int_equal(classifier_rule_ports(&r, 0, 21, 30), -EINVAL);
	assert_int_equal(classifier_rule_icmp(&r, 4, 8, 0), -EINVAL);
	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_vlan(&r, -1), 0);
	assert_int_equal(classifier_rule_pcp(&r, 1), -EINVAL);
	assert_int_equal(classifier_rule_vlan(&r, 4096), -EINVAL);
	classifier_rule_init(&r);
	assert_int_equal(classifier_rule_protocol(&r, 256), -EINVAL);
	assert_int_equal(classifier_rule_tcp_flags(&r, 2, 1), -EINVAL);
	assert_int_equal(classifier_build(&c, &r, CLASSIFIER_RULES_MAX + 1,
					  &error),
			 -ENOSPC);
	assert_non_null(strstr(error.text, "1048576"));
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_rules_are_found),
		cmocka_unit_test(many_rules_are_found),
		cmocka_unit_test(ranges_need_no_more_rules_than_they_are),
		cmocka_unit_test(of_equal_rules_the_first_counts),
		cmocka_unit_test(rules_that_meet_are_all_looked_at),
		cmocka_unit_test(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests_name("classifier", tests, NULL, NULL);
}
