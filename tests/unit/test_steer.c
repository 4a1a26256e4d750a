// SPDX-License-Identifier: BSD-2-Clause
// test_steer.c - module steer: who gets a packet, and with which mark.
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "lib/flow_hash.h"
#include "fake_env.h"
#include "module/steer/steer.h"

static const struct glen_module *const ops = &module_steer.ops;
static struct batch *batch;
static uint8_t isolated[FAKE_PORTS];

static json_t *read_json(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, JSON_DECODE_ANY, &error);

	if (!value)
		fail_msg("%s: %s", text, error.text);
	return value;
}

/* Ports p0 and p1 are outside, p2 to p5 instances of fw and mon. */
#define SERVICES                                                       \
	"'services': {'fw': {'instances': {'p2': 1, 'p3': 1}},"        \
	"  'mon': {'balance': 'round-robin', 'instances': {'p4': 3, "  \
	"  'p5': 1}}, 'none': {}},"                                    \
	"'chains': {'web': {'services': ['fw', 'mon'], 'exit': 'p1'}," \
	"  'dead': {'services': ['none']}}"
#define RULES                                                            \
	"'rules': [{'dst': '10.0.0.0/8', 'protocol': 'tcp', "            \
	"    'dport': '80-81', 'chain': 'web'},"                         \
	"  {'dst': '10.0.0.0/8', 'dport': 82, 'service': 'mon'},"        \
	"  {'dport': 83, 'port': 'p1'}, {'dport': 84, 'drop': true},"    \
	"  {'dport': 85, 'chain': 'dead'}, {'dport': 86, 'port': 'no'}," \
	"  {'in_port': 'p1', 'dport': 87, 'port': 'p0'}]"

static void *made_with(const char *text)
{
	struct glen_error error = { 0 };
	char *json = strdup(text);
	json_t *options;
	void *s = NULL;

	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	options = read_json(json);
	if (ops->create(fake_env(2), options, &s, &error))
		fail_msg("%s", error.text);
	json_decref(options);
	free(json);
	for (unsigned i = 0; i < FAKE_PORTS; i++) {
		struct glen_module_port port;

		fake_port_get(NULL, i, &port);
		ops->port_add(s, &port);
	}
	return s;
}

static void *made(void)
{
	return made_with("{" RULES "," SERVICES "}");
}

/* TCP from a host and port to 10.0.0.1. */
static void put_packet(unsigned i, unsigned host, unsigned dport)
{
	static const uint8_t head[36] = { 2, 0, 0, 0,  0,  1,	 2, 0, 0,
					  0, 0, 2, 8,  0,  0x45, 0, 0, 40,
					  0, 0, 0, 0,  64, 6,	 0, 0, 192,
					  0, 2, 0, 10, 0,  0,	 1, 4, 0 };
	uint8_t *hdr = batch->hdr[i];

	memset(hdr, 0, HDR_SIZE);
	memcpy(hdr, head, sizeof(head));
	hdr[28] = host >> 8;
	hdr[29] = host;
	hdr[36] = dport >> 8;
	hdr[37] = dport;
	batch->hdr_len[i] = batch->len[i] = 60;
}

static void look_up(void *s, unsigned src, unsigned n)
{
	const struct glen_lookup ctx = { .src = src,
					 .src_isolated = isolated[src],
					 .port_isolated = isolated,
					 .n_ports = FAKE_PORTS };

	batch->n = n;
	module_steer.lookup[isa_now()](s, &ctx, batch_view(batch));
	batch->marks = batch->view.marks;
}

static uint32_t sent(void *s, unsigned src, unsigned host, unsigned dport)
{
	batch->marks = false;
	put_packet(0, host, dport);
	look_up(s, src, 1);
	return batch->verdict[0];
}

static uint32_t marked(void *s, unsigned src, uint64_t mark)
{
	batch->marks = true;
	batch->mark[0] = mark;
	put_packet(0, 1, 80);
	look_up(s, src, 1);
	return batch->verdict[0];
}

static uint64_t mark_of(unsigned hash, unsigned chain, unsigned index,
			unsigned hops)
{
	return (uint64_t)hash | (uint64_t)chain << 16 | (uint64_t)index << 32 |
	       (uint64_t)hops << 40;
}

static unsigned command(void *s, const char *method, const char *text)
{
	struct glen_error error = { 0 };
	json_t *params, *result = NULL;
	char *json = strdup(text);
	int err;

	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	params = read_json(json);
	err = ops->command(s, method, params, &result, &error);
	assert_true(err ? error.text[0] != '\0' : result != NULL);
	json_decref(result);
	json_decref(params);
	free(json);
	return -err;
}

static void rules_choose(void **state)
{
	void *s = made();
	uint32_t v = sent(s, 0, 1, 80);

	assert_true(v == glen_to_port(2) || v == glen_to_port(3));
	assert_true(batch->marks);
	assert_int_equal(batch->mark[0] >> 16, 0);
	assert_int_not_equal(batch->mark[0] & 0xffff, 0);
	assert_int_equal(sent(s, 0, 1, 82), glen_to_port(4));
	assert_int_equal(batch->mark[0] >> 16, 0xffff);
	assert_int_equal(sent(s, 0, 1, 83), glen_to_port(1));
	assert_int_equal(batch->mark[0], 0);
	assert_int_equal(sent(s, 0, 1, 84), glen_drop(STEER_RULE));
	assert_int_equal(sent(s, 0, 1, 85), glen_drop(STEER_NO_INSTANCE));
	assert_int_equal(sent(s, 0, 1, 86), glen_drop(GLEN_DROP_NO_PORT));
	assert_int_equal(sent(s, 0, 1, 87), glen_drop(STEER_DEFAULT));
	assert_int_equal(sent(s, 1, 1, 87), glen_to_port(0));
	assert_int_equal(sent(s, 0, 1, 88), glen_drop(STEER_DEFAULT));
	ops->destroy(s);
}

static void instances_say_where_it_goes_on(void **state)
{
	void *s = made();

	assert_int_equal(marked(s, 2, mark_of(7, 0, 1, 3)), glen_to_port(4));
	assert_int_equal(batch->mark[0], mark_of(7, 0, 1, 4));
	assert_int_equal(marked(s, 2, mark_of(7, 0, 2, 3)), glen_to_port(1));
	assert_int_equal(marked(s, 2, mark_of(7, 0, 3, 3)),
			 glen_drop(STEER_BAD_INDEX));
	assert_int_equal(marked(s, 2, mark_of(7, 0, 1, STEER_HOPS_MAX)),
			 glen_drop(STEER_HOPS));
	assert_int_equal(marked(s, 2, mark_of(7, 1, 0, 0)),
			 glen_drop(STEER_NO_INSTANCE));
	assert_int_equal(marked(s, 2, mark_of(7, 1, 1, 0)),
			 glen_drop(STEER_NO_EXIT));
	assert_int_equal(marked(s, 2, mark_of(7, 2, 0, 0)),
			 glen_drop(STEER_NO_CHAIN));
	assert_int_equal(marked(s, 2, mark_of(7, 0xffff, 0, 0)),
			 glen_drop(STEER_NO_CHAIN));
	assert_int_equal(marked(s, 2, mark_of(1, STEER_OUT, 0, 0)),
			 glen_to_port(1));
	assert_int_equal(marked(s, 2, mark_of(3, STEER_OUT, 0, 0)),
			 glen_drop(STEER_BAD_PORT));
	assert_int_equal(marked(s, 2, mark_of(0xfff, STEER_OUT, 0, 0)),
			 glen_drop(STEER_BAD_PORT));
	assert_int_equal(marked(s, 2, mark_of(0xffff, STEER_OUT, 0, 0)),
			 glen_drop(STEER_BAD_PORT));
	assert_int_equal(sent(s, 2, 1, 80), glen_drop(STEER_NO_MARK));
	ops->destroy(s);
}

static void marks_from_outside_count_for_nothing(void **state)
{
	void *s = made();

	assert_int_equal(marked(s, 0, mark_of(1, STEER_OUT, 0, 0)) & 0xfffe, 2);
	assert_int_equal(batch->mark[0] >> 16, 0);
	ops->destroy(s);
}

/* To which port each of many flows goes, all through service fw. */
static void places(void *s, uint16_t to[4096])
{
	for (unsigned host = 0; host < 4096; host++) {
		uint32_t v = sent(s, 0, host, 80);

		assert_int_equal(v & GLEN_VERDICT_KIND, GLEN_VERDICT_PORT);
		to[host] = v & 0xffff;
	}
}

static void balance_is_fair_and_consistent(void **state)
{
	static uint16_t before[4096], after[4096];
	unsigned n[FAKE_PORTS] = { 0 }, moved = 0;
	void *s = made();

	places(s, before);
	assert_int_equal(command(s, "steer.service",
				 "{'op': 'set', 'name': 'fw', 'instances': "
				 "{'p2': 1, 'p3': 1, 'p6': 2}}"),
			 0);
	places(s, after);
	for (unsigned i = 0; i < 4096; i++) {
		n[after[i]]++;
		moved += before[i] != after[i];
		/* Only the new one takes anything. */
		assert_true(before[i] == after[i] || after[i] == 6);
	}
	assert_in_range(n[2], 850, 1200);
	assert_in_range(n[3], 850, 1200);
	assert_in_range(n[6], 1850, 2250);
	assert_int_equal(moved, n[6]);
	ops->destroy(s);
}

static void round_robin_goes_by_weight(void **state)
{
	unsigned n[FAKE_PORTS] = { 0 };
	void *s = made();

	for (unsigned i = 0; i < 4000; i++)
		n[sent(s, 0, 1, 82) & 0xffff]++;
	assert_int_equal(n[4], 3000);
	assert_int_equal(n[5], 1000);
	ops->destroy(s);
}

static void ports_come_and_go(void **state)
{
	struct glen_module_port port;
	void *s = made();

	fake_port_get(NULL, 2, &port);
	ops->port_del(s, &port);
	for (unsigned host = 0; host < 100; host++)
		assert_int_equal(sent(s, 0, host, 80), glen_to_port(3));
	fake_port_get(NULL, 3, &port);
	ops->port_del(s, &port);
	assert_int_equal(sent(s, 0, 1, 80), glen_drop(STEER_NO_INSTANCE));
	fake_port_get(NULL, 1, &port);
	ops->port_del(s, &port);
	assert_int_equal(sent(s, 0, 1, 83), glen_drop(GLEN_DROP_NO_PORT));
	assert_int_equal(marked(s, 4, mark_of(7, 0, 2, 3)),
			 glen_drop(STEER_NO_EXIT));
	/* Another port has the index now, and rules name the old one. */
	port.name = "other";
	ops->port_add(s, &port);
	assert_int_equal(sent(s, 1, 1, 87), glen_drop(STEER_DEFAULT));
	ops->destroy(s);
}

static void commands_change_all_or_nothing(void **state)
{
	void *s = made();

	assert_int_equal(command(s, "steer.rule",
				 "{'op': 'add', 'at': 0, 'rules': [{'dport': "
				 "80, 'port': 'p1'}]}"),
			 0);
	assert_int_equal(sent(s, 0, 1, 80), glen_to_port(1));
	assert_int_equal(command(s, "steer.rule", "{'op': 'del', 'at': 0}"), 0);
	assert_int_not_equal(sent(s, 0, 1, 80), glen_to_port(1));
	assert_int_equal(command(s, "steer.rule",
				 "{'op': 'replace', 'rules': [{'port': 'p1'}, "
				 "{'sport': '5-4', 'port': 'p1'}]}"),
			 EINVAL);
	assert_int_not_equal(sent(s, 0, 1, 80), glen_to_port(1));
	assert_int_equal(command(s, "steer.rule",
				 "{'op': 'replace', 'rules': [{'port': "
				 "'p1'}]}"),
			 0);
	assert_int_equal(sent(s, 0, 1, 80), glen_to_port(1));
	assert_int_equal(command(s, "steer.rule", "{'op': 'del', 'at': 1}"),
			 ENOENT);
	assert_int_equal(command(s, "steer.rule", "{'op': 'list'}"), 0);
	assert_int_equal(command(s, "steer.service",
				 "{'op': 'del', 'name': 'fw'}"),
			 EINVAL);
	assert_int_equal(command(s, "steer.chain",
				 "{'op': 'del', 'name': 'web'}"),
			 0);
	assert_int_equal(marked(s, 2, mark_of(7, 0, 1, 3)),
			 glen_drop(STEER_NO_CHAIN));
	assert_int_equal(command(s, "steer.chain",
				 "{'op': 'set', 'name': 'new', 'services': "
				 "['mon'], 'exit': 'p0'}"),
			 0);
	assert_int_equal(marked(s, 2, mark_of(7, 0, 1, 3)), glen_to_port(0));
	assert_int_equal(command(s, "steer.chain",
				 "{'op': 'del', 'name': 'web'}"),
			 ENOENT);
	ops->destroy(s);
}

static void nonsense_is_refused(void **state)
{
	static const char *const texts[] = {
		"{'rules': 5}",
		"{'rules': [{}]}",
		"{'rules': [{'port': 'a', 'chain': 'b'}]}",
		"{'rules': [{'drop': false}]}",
		"{'rules': [{'port': 'a:b'}]}",
		"{'rules': [{'port': 'a', 'src': '10.0.0.0/33'}]}",
		"{'rules': [{'port': 'a', 'src': '10.0.0.0', 'dst': '::'}]}",
		"{'rules': [{'port': 'a', 'dport': '1-2-3'}]}",
		"{'rules': [{'port': 'a', 'dport': 65536}]}",
		"{'rules': [{'port': 'a', 'src_mac': '02:00'}]}",
		"{'rules': [{'port': 'a', 'vlan': 4096}]}",
		"{'rules': [{'port': 'a', 'vlan': 'none', 'pcp': 1}]}",
		"{'rules': [{'port': 'a', 'protocol': 'tpc'}]}",
		"{'rules': [{'port': 'a', 'protocol': ''}]}",
		"{'rules': [{'port': 'a', 'tcp_flags': 'syn,'}]}x",
		"{'rules': [{'port': 'a', 'tcp_flags': 'sin'}]}",
		"{'rules': [{'port': 'a', 'fragment': 1}]}",
		"{'rules': [{'port': 'a', 'icmp_code': 1}]}",
		"{'rules': [{'port': 'a', 'odd': 1}]}",
		"{'rules': [{'port': 'a', 'speed': 1}]}",
		"{'chains': {'c': {'services': ['x']}}}",
		"{'chains': {'c': {'services': []}}}",
		"{'services': {'x': {'balance': 'fair'}}}",
		"{'services': {'x': {'instances': {'p': 0}}}}",
		("{'services': {'x': {}}, 'chains': {'c': {'services': ['x'], "
		 "'number': 1}, 'd': {'services': ['x'], 'number': 1}}}"),
		"{'default': 'drop'}",
		"{'rule': []}",
	};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct glen_error error = { 0 };
		char *json = strdup(texts[i]);
		json_t *options;
		void *s;
		size_t len = strlen(json);

		/* One that is right, or it would be no test of the others. */
		if (json[len - 1] == 'x')
			json[len - 1] = '\0';
		for (char *p = json; *p; p++)
			*p = *p == '\'' ? '"' : *p;
		options = read_json(json);
		if (texts[i][len - 1] == 'x') {
			assert_int_equal(ops->create(fake_env(1), options, &s,
						     &error),
					 0);
			ops->destroy(s);
		} else if (!ops->create(fake_env(1), options, &s, &error)) {
			fail_msg("%s was taken", texts[i]);
		} else {
			assert_true(error.text[0] != '\0');
		}
		json_decref(options);
		free(json);
	}
}

static void isolated_ports_do_not_reach_each_other(void **state)
{
	void *s = made();

	isolated[0] = isolated[1] = 1;
	assert_int_equal(sent(s, 0, 1, 83), glen_drop(GLEN_DROP_ISOLATED));
	isolated[1] = 0;
	assert_int_equal(sent(s, 0, 1, 83), glen_to_port(1));
	isolated[0] = 0;
	ops->destroy(s);
}

/* The mark's hash is the flow's, the same in both directions and in every
 * packet of a batch, which is looked up in several groups. */
static void whole_batches_are_steered(void **state)
{
	void *s = made();

	batch->marks = false;
	for (unsigned i = 0; i < 200; i++)
		put_packet(i, i, i % 2 ? 80 : 83);
	look_up(s, 0, 200);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t hash = flow_hash(batch->hdr[i], 60);

		hash = (hash ^ hash >> 16) & 0xffff;
		assert_int_equal(batch->mark[i], i % 2 ? hash ? hash : 1 : 0);
		if (i % 2)
			assert_in_range(batch->verdict[i] & 0xffff, 2, 3);
		else
			assert_int_equal(batch->verdict[i], glen_to_port(1));
	}
	ops->destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_choose),
		cmocka_unit_test(instances_say_where_it_goes_on),
		cmocka_unit_test(marks_from_outside_count_for_nothing),
		cmocka_unit_test(balance_is_fair_and_consistent),
		cmocka_unit_test(round_robin_goes_by_weight),
		cmocka_unit_test(ports_come_and_go),
		cmocka_unit_test(commands_change_all_or_nothing),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(isolated_ports_do_not_reach_each_other),
		cmocka_unit_test(whole_batches_are_steered),
	};
	int failed;

	batch = aligned_alloc(64, (sizeof(*batch) + 63) & ~63UL);
	memset(batch, 0, sizeof(*batch));
	batch_init(batch);
	failed = cmocka_run_group_tests_name("steer", tests, NULL, NULL);
	free(batch);
	return failed;
}
