// SPDX-License-Identifier: BSD-2-Clause
// test_learn_asks.c - the learning bridge: what senders ask for (GLEN_ASK_*).
#include "unit.h"

#include "learn_bridge.h"
#include "module/learn/ports.h"

enum {
	NO_LEARN = GLEN_ASK_NO_LEARN,
	MAC_LIMIT = GLEN_VERDICT_DROP | LEARN_MAC_LIMIT,
	GUARD_MAC_DROP = GLEN_VERDICT_DROP | LEARN_GUARD_MAC,
	VLAN_DEST = GLEN_VERDICT_DROP | LEARN_VLAN_DEST,
	ONE = 4, /* the port that tests name */
};

static uint32_t named(uint32_t port)
{
	return GLEN_ASK_PORT | port;
}

/* The first n packets of the batch, from a port, ask for what ask[] says. */
static void run_asking(struct learn *l, uint16_t port, unsigned n,
		       const uint32_t *ask)
{
	struct glen_lookup ctx = from_port(port);

	batch_init(batch);
	batch->n = n;
	batch->asks = true;
	memcpy(batch->ask, ask, n * sizeof(*ask));
	module_learn.lookup[turn++ % (isa_now() + 1)](l, &ctx,
						      batch_view(batch));
}

static uint32_t asking(struct learn *l, uint16_t port, uint32_t dst,
		       uint32_t src, uint32_t ask)
{
	put_packet(0, dst, src);
	run_asking(l, port, 1, &ask);
	return batch->verdict[0];
}

static void set(struct learn *l, unsigned index, const char *settings)
{
	const struct glen_module_port port = { .index = index, .name = "p" };
	json_t *s = json_loads(settings, 0, NULL);
	struct glen_error error;

	assert_non_null(s);
	if (ops->port_set(fake_env(2), l, &port, s, &error))
		fail_msg("%s", error.text);
	json_decref(s);
}

static void add_ports(struct learn *l)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		ops->port_add(l, &(struct glen_module_port){ .index = i,
							     .name = "p" });
}

static void nothing_is_learnt_if_so_asked(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 10));

	assert_int_equal(asking(l, 1, 99, 10, NO_LEARN), UNKNOWN);
	assert_int_equal(count(l, "used"), 0);
	assert_int_equal(one(l, 2, 10, 20), UNKNOWN);
	/* Nor does anybody move, or stay young. */
	one(l, 1, 99, 10);
	assert_int_equal(asking(l, 3, 20, 10, NO_LEARN), to(2));
	assert_int_equal(one(l, 2, 10, 20), to(1));
	now_s += 9;
	asking(l, 1, 99, 10, NO_LEARN);
	assert_int_equal(one(l, 2, 10, 20), to(1));
	now_s += 1;
	assert_int_equal(one(l, 2, 10, 20), UNKNOWN);
	assert_int_equal(count(l, "moves"), 0);
	ops->destroy(l);
}

static void packets_of_a_batch_ask_for_themselves(void **state)
{
	struct learn *l = made(json_object());
	uint32_t ask[BATCH_MAX];

	one(l, 2, 99, 20);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		put_packet(i, 20, 1000 + i);
		ask[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? NO_LEARN : named(ONE);
	}
	run_asking(l, 1, BATCH_MAX, ask);
	for (unsigned i = 0; i < BATCH_MAX; i++)
		assert_int_equal(batch->verdict[i], to(i % 3 == 2 ? ONE : 2));
	for (unsigned i = 0; i < BATCH_MAX; i++)
		assert_int_equal(one(l, 2, 1000 + i, 20),
				 i % 3 == 1 ? UNKNOWN : to(1));
	ops->destroy(l);
}

static void a_limited_port_learns_in_any_case(void **state)
{
	struct learn *l = made(json_object());

	add_ports(l);
	set(l, 1, "{\"mac_limit\": 1}");
	asking(l, 1, 99, 10, NO_LEARN);
	assert_int_equal(one(l, 2, 10, 20), to(1));
	assert_int_equal(asking(l, 1, 20, 11, NO_LEARN), MAC_LIMIT);
	assert_int_equal(asking(l, 1, 20, 11, NO_LEARN | named(2)), MAC_LIMIT);
	ops->destroy(l);
}

static void a_port_can_be_named(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "flood_pps", 1));
	json_t *no = json_pack("{s:b}", "named_ports", 0);

	one(l, 2, 99, 20);
	assert_int_equal(asking(l, 1, 20, 10, named(ONE)), to(ONE));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(asking(l, 1, 77, 10, named(ONE)), to(ONE));
	/* Learnt it is. */
	assert_int_equal(one(l, 2, 10, 20), to(1));
	/* What there is not, and the source, the core refuses. */
	assert_int_equal(asking(l, 1, 20, 10, named(255)), to(255));
	assert_int_equal(asking(l, 1, 20, 10, named(1)), to(1));
	assert_int_equal(ops->set(l, no, NULL), 0);
	assert_int_equal(asking(l, 1, 20, 10, named(ONE)), to(2));
	assert_int_equal(asking(l, 1, 20, 30, named(ONE) | NO_LEARN), to(2));
	assert_int_equal(one(l, 3, 30, 31), UNKNOWN);
	json_decref(no);
	ops->destroy(l);
}

static void what_is_forbidden_stays_so(void **state)
{
	struct learn *l = made(json_object());

	add_ports(l);
	isolated[1] = isolated[ONE] = 1;
	assert_int_equal(asking(l, 1, 20, 10, named(ONE)), ISOLATED);
	assert_int_equal(asking(l, 1, 20, 10, named(2)), to(2));
	isolated[1] = isolated[ONE] = 0;
	set(l, 1, "{\"guard\": [\"02:00:00:00:00:0a\"]}");
	assert_int_equal(asking(l, 1, 20, 11, named(2) | NO_LEARN),
			 GUARD_MAC_DROP);
	assert_int_equal(asking(l, 1, 20, 10, named(2)), to(2));
	set(l, 1, "{\"mode\": \"access\", \"vlan\": 7}");
	set(l, 2, "{\"mode\": \"access\", \"vlan\": 7}");
	set(l, ONE, "{\"mode\": \"access\", \"vlan\": 8}");
	assert_int_equal(asking(l, 1, 20, 10, named(ONE)), VLAN_DEST);
	assert_int_equal(asking(l, 1, 20, 10, named(2)), to(2));
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_learnt_if_so_asked),
		cmocka_unit_test(packets_of_a_batch_ask_for_themselves),
		cmocka_unit_test(a_limited_port_learns_in_any_case),
		cmocka_unit_test(a_port_can_be_named),
		cmocka_unit_test(what_is_forbidden_stays_so),
	};
	int failed = 0;

	batch = aligned_alloc(64, sizeof(*batch));
	failed = cmocka_run_group_tests_name("learn_asks", tests, NULL, NULL);
	free(batch);
	return failed;
}
