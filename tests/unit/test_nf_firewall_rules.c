// SPDX-License-Identifier: BSD-2-Clause
// test_nf_firewall_rules.c - rule files: what they say of keys, what is wrong.
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "lib/classifier_find.h"
#include "nf/firewall/rules.h"

static int port_number(void *arg, const char *name)
{
	return strcmp(name, "lan") == 0 ? 3 : 4;
}

static int read_text(const char *text, bool stateless, struct fw_rules **rules,
		     struct glen_error *error)
{
	struct fw_read read = { .file = "f",
				.text = text,
				.len = strlen(text),
				.n_threads = 2,
				.stateless = stateless,
				.port = port_number };

	return fw_rules_read(rules, &read, error);
}

static struct fw_rules *good(const char *text)
{
	struct glen_error error = { 0 };
	struct fw_rules *rules;

	if (read_text(text, false, &rules, &error))
		fail_msg("%s", error.text);
	return rules;
}

static struct classifier_key key(const char *src, unsigned protocol,
				 unsigned dport, enum fw_state state)
{
	struct classifier_key k = { 0 };
	unsigned a, b, c, d;

	assert_int_equal(sscanf(src, "%u.%u.%u.%u", &a, &b, &c, &d), 4);
	k.w[CLASSIFIER_META] = 1ULL << (CLASSIFIER_M_OWN + state) |
			       0x0800ULL << CLASSIFIER_M_TYPE | 3;
	k.w[CLASSIFIER_IP] = (uint64_t)(a << 24 | b << 16 | c << 8 | d) << 32;
	k.w[CLASSIFIER_L4] = (uint64_t)protocol << CLASSIFIER_L_PROTO |
			     (uint64_t)dport << CLASSIFIER_L_DPORT |
			     1ULL << CLASSIFIER_L_PORTS |
			     1ULL << CLASSIFIER_L_IPV4 |
			     1ULL << CLASSIFIER_L_IP;
	return k;
}

/* The line of the rule that decides; 0: the policy. counted: how many rules
 * that only count or log were met. */
static unsigned decide(const struct fw_rules *r, struct classifier_key k,
		       unsigned *counted)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_passes; i++) {
		uint32_t entry;

		classifier_find(r->pass[i].classifier, &k, 1, &entry);
		if (entry == CLASSIFIER_NONE)
			continue;
		if (r->action[r->pass[i].rule[entry]].verdict != FW_CONTINUE) {
			*counted = n;
			return r->action[r->pass[i].rule[entry]].line;
		}
		n++;
	}
	*counted = n;
	return 0;
}

static void rules_decide_in_order(void **state)
{
	struct fw_rules *r = good(
		"# a comment\n"
		"set nets { 10.0.0.0/8, 192.168.0.0/16,\n"
		"           172.16.0.1, }\n"
		"set web { 80, 8000-8080 }\n"
		"chain main {\n"
		"  policy reject\n"
		"  ct state established,related accept\n"      /* 7 */
		"  ct state invalid drop comment \"broken\"\n" /* 8 */
		"  count\n"				       /* 9 */
		"  ip saddr @nets count jump inside\n"	       /* 10 */
		"  udp dport 53 iif lan accept; tcp dport 99 drop\n"
		"}\n"
		"chain inside {\n"
		"  tcp dport @web log \"web \" accept\n" /* 14 */
		"  tcp dport { 22 } reject\n"		 /* 15 */
		"}\n");
	unsigned n;

	assert_int_equal(r->policy, FW_REJECT);
	assert_true(r->stateful);
	assert_int_equal(decide(r, key("1.2.3.4", 6, 80, FW_ESTABLISHED), &n),
			 7);
	assert_int_equal(n, 0);
	assert_int_equal(decide(r, key("1.2.3.4", 6, 80, FW_INVALID), &n), 8);
	assert_int_equal(decide(r, key("1.2.3.4", 6, 80, FW_NEW), &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(decide(r, key("10.2.3.4", 6, 80, FW_NEW), &n), 14);
	assert_int_equal(n, 2);
	assert_int_equal(decide(r, key("172.16.0.1", 6, 8001, FW_NEW), &n), 14);
	assert_int_equal(decide(r, key("172.16.0.2", 6, 8001, FW_NEW), &n), 0);
	assert_int_equal(decide(r, key("192.168.3.4", 6, 22, FW_NEW), &n), 15);
	/* Behind a chain where nothing fitted it goes on. */
	assert_int_equal(decide(r, key("10.0.0.1", 17, 53, FW_NEW), &n), 11);
	assert_int_equal(decide(r, key("10.0.0.1", 6, 99, FW_NEW), &n), 11);
	assert_int_equal(n, 2);
	assert_int_equal(r->action[r->n_rules].verdict, FW_REJECT);
	fw_rules_free(r);
}

static const struct {
	const char *text, *error;
} wrong[] = {
	{ "", "f:1:1: found the end of the file, expected a chain named main" },
	{ "foo", "f:1:1: found 'foo', expected set or chain" },
	{ "chain main { accept",
	  "f:1:20: found the end of the file, expected" },
	{ "chain main {\n\tip sadr 1.2.3.4 accept\n}",
	  "f:2:5: found 'sadr', expected saddr, daddr or dscp" },
	{ "chain main { ip saddr 1.2.3 drop }",
	  "f:1:23: found '1.2.3', expected an IPv4 address" },
	{ "chain main { ip saddr 1::2 drop }",
	  "f:1:23: found '1::2', expected an IPv4 address" },
	{ "chain main { ip saddr 10.0.0.1/8 drop }",
	  "f:1:23: 10.0.0.1/8 has bits behind the prefix's 8" },
	{ "chain main { tcp dport 65536 drop }",
	  "f:1:24: found '65536', expected a number or a range" },
	{ "chain main { tcp dport 9-8 drop }", "f:1:24: found '9-8'" },
	{ "chain main { tcp dport @web drop }", "f:1:24: no set 'web' above" },
	{ "set s { 1.2.3.4, 80 }", "f:1:18: found '80', expected an IPv4" },
	{ "set s { 80, 79-81 }\n", "f:1:9: this overlaps the one in line 1, "
				   "column 13" },
	{ "set s { 10.0.0.0/8, 10.1.0.0/16 }", "f:1:21: this overlaps" },
	{ "set s { 1 2 }", "f:1:11: found '2', expected ',' or '}'" },
	{ "set s { }", "f:1:9: found '}', expected an address" },
	{ "set s { 1 }\nset s { 2 }", "f:2:5: there is a set 's' above" },
	{ "set s { 1 }\nchain main { ip saddr @s drop }",
	  "f:2:23: set 's' has numbers, expected IPv4 addresses" },
	{ "chain main { jump nowhere }", "f:1:19: no chain 'nowhere'" },
	{ "chain main { jump a }\nchain a { jump main }",
	  "f:1:19: jumps lead more than 16 chains deep" },
	{ "chain main { }\nchain main { }", "f:2:7: there is a chain 'main'" },
	{ "chain a { policy drop }", "f:1:11: only chain main has a policy" },
	{ "chain main { policy drop; policy drop }",
	  "f:1:27: main has a policy already" },
	{ "chain main { policy jump }",
	  "f:1:21: found 'jump', expected accept" },
	{ "chain main { tcp dport 80 }",
	  "f:1:27: found '}', expected another condition, or count" },
	{ "chain main { drop drop }",
	  "f:1:19: found 'drop', expected the end" },
	{ "chain main { drop comment foo }", "f:1:27: found 'foo', expected a "
					     "text in double quotes" },
	{ "chain main { drop comment \"foo\n }",
	  "f:1:27: found a text without its closing quote" },
	{ "chain main { tcp dport 80 udp dport 80 accept }",
	  "f:1:14: no packet can fit this rule" },
	{ "chain main { ct state old accept }",
	  "f:1:23: found 'old', expected new, established" },
	{ "chain main { tcp flags syn,fyn drop }",
	  "f:1:28: found 'fyn', expected another flag" },
	{ "chain main { icmp type 256 drop }",
	  "f:1:24: found '256', expected the name of a type" },
	{ "chain main { protocol tpc drop }",
	  "f:1:23: found 'tpc', expected the name of a protocol" },
	{ "chain main { vlan 4096 drop }", "f:1:19: found '4096', expected" },
	{ "chain main { fragment 1 drop }", "f:1:23: found '1', expected no" },
	{ "chain main { \x01 }", "f:1:14: found the byte 0x01, expected" },
};

static void errors_say_where_and_what(void **state)
{
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct glen_error error = { 0 };
		struct fw_rules *r;

		assert_int_not_equal(read_text(wrong[i].text, false, &r,
					       &error),
				     0);
		assert_null(r);
		if (strncmp(error.text, wrong[i].error,
			    strlen(wrong[i].error)) != 0)
			fail_msg("%s\ngave: %s\nnot:  %s", wrong[i].text,
				 error.text, wrong[i].error);
	}
}

static void stateless_files_have_no_states(void **state)
{
	struct glen_error error = { 0 };
	struct fw_rules *r;

	assert_int_equal(read_text("chain main { ct state new drop }", true, &r,
				   &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "f:1:17: ct needs connections"));
}

/* A chain that jumps to the next one many times, and so on. */
static void jumps_are_bounded(void **state)
{
	static char text[65536];
	struct glen_error error = { 0 };
	struct fw_rules *r;
	size_t at = 0;

	for (unsigned i = 0; i < 12; i++) {
		at += (size_t)sprintf(text + at, "chain %s%.0u {\n",
				      i ? "c" : "main", i);
		for (unsigned k = 0; k < 16 && i < 11; k++)
			at += (size_t)sprintf(text + at, "jump c%u\n", i + 1);
		at += (size_t)sprintf(text + at, "}\n");
	}
	assert_int_equal(read_text(text, false, &r, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "combinations"));
	at = (size_t)sprintf(text, "chain main {\n");
	for (unsigned i = 0; i < 33; i++)
		at += (size_t)sprintf(text + at, "tcp dport %u count\n", i);
	sprintf(text + at, "}\n");
	assert_int_equal(read_text(text, false, &r, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "f:34:1: more than 31 rules"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_decide_in_order),
		cmocka_unit_test(errors_say_where_and_what),
		cmocka_unit_test(stateless_files_have_no_states),
		cmocka_unit_test(jumps_are_bounded),
	};

	return cmocka_run_group_tests_name("nf_firewall_rules", tests, NULL,
					   NULL);
}
