// SPDX-License-Identifier: BSD-2-Clause
// test_learn.c - the learning bridge: verdicts, table, limits, options.
#include "unit.h"

#include <errno.h>

#include "learn_bridge.h"

static void learns_and_forwards(void **state)
{
	struct learn *l = made(json_object());

	assert_int_equal(one(l, 1, 20, 10), UNKNOWN);
	assert_int_equal(one(l, 2, 10, 20), to(1));
	assert_int_equal(one(l, 1, 20, 10), to(2));
	assert_int_equal(one(l, 3, 20, 30), to(2));
	assert_int_equal(count(l, "used"), 3);
	assert_int_equal(count(l, "moves"), 0);
	ops->destroy(l);
}

static void destination_at_source_port_is_named(void **state)
{
	struct learn *l = made(json_object());

	one(l, 1, 99, 10);
	one(l, 1, 99, 11);
	assert_int_equal(one(l, 1, 11, 10), to(1));
	assert_int_equal(one(l, 1, 12, 12), to(1));
	ops->destroy(l);
}

/* Each packet of a batch is judged by its own addresses: VALE kept the last
 * source of a batch and learnt nothing of another one with the same hash. */
static void every_packet_of_a_batch_counts(void **state)
{
	for (unsigned n = 1; n <= BATCH_MAX; n++) {
		struct learn *l = made(json_object());

		for (unsigned i = 0; i < n; i++)
			put_packet(i, 1000 + i, i);
		run(l, 1, n);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(batch->verdict[i], UNKNOWN);
		for (unsigned i = 0; i < n; i++)
			put_packet(i, (i * 7) % n, 1000 + i / 3);
		run(l, 2, n);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(batch->verdict[i], to(1));
		/* Runs: known, group, unknown, known ... */
		for (unsigned i = 0; i < n; i++) {
			put_packet(i, i / 5 % 3 == 2 ? 5000 : 0, 2000);
			if (i / 5 % 3 == 1)
				memset(batch->hdr[i], 0xff, 6);
		}
		run(l, 3, n);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(batch->verdict[i],
					 i / 5 % 3 ? UNKNOWN : to(1));
		assert_int_equal(count(l, "used"), n + (n + 2) / 3 + 1);
		ops->destroy(l);
	}
}

static void moves(void **state)
{
	struct learn *l = made(json_object());

	one(l, 1, 99, 10);
	one(l, 2, 99, 10);
	assert_int_equal(one(l, 3, 10, 30), to(2));
	one(l, 1, 99, 10);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(count(l, "moves"), 2);
	assert_int_equal(count(l, "used"), 2);
	ops->destroy(l);
}

static void ages(void **state)
{
	struct learn *l = made(
		json_pack("{s:i, s:i}", "ageing_s", 10, "entries", 64));

	one(l, 1, 99, 10);
	now_s += 9;
	assert_int_equal(one(l, 2, 10, 20), to(1));
	now_s += 1;
	assert_int_equal(one(l, 2, 10, 20), UNKNOWN);
	/* The packet from it makes it young again, and further ones keep it. */
	for (unsigned i = 0; i < 5; i++) {
		one(l, 1, 99, 10);
		now_s += 9;
		assert_int_equal(one(l, 2, 10, 20), to(1));
	}
	assert_int_equal(count(l, "used"), 2);
	now_s += 9;
	ops->tick(l, now_s);
	assert_int_equal(count(l, "used"), 1);
	now_s += 1;
	ops->tick(l, now_s);
	assert_int_equal(count(l, "used"), 0);
	ops->destroy(l);
}

/* One comparison tells most ages: it must be right where ageing reaches back to
 * before the clock began, where 30 bits of seconds wrap, and for static
 * addresses, whose age does not count. */
static void ages_at_any_time(void **state)
{
	enum { WRAP = 1 << AGE_BITS };
	static const uint32_t times[] = {
		0,	    20,	       299,	 300,  5000,
		WRAP - 317, WRAP - 16, WRAP - 1, WRAP, WRAP + 299,
	};
	uint32_t before = now_s;

	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		for (uint32_t age = 0; age < 320 && age <= times[i];
		     age += age > 20 && age < 280 ? 40 : 1) {
			struct learn *l = made(json_pack("{s:i, s:i}",
							 "ageing_s", 300,
							 "entries", 16));

			assert_int_equal(fdb_add(l, "02:00:00:00:ff:01", "p3",
						 NULL),
					 0);
			now_s = times[i] - age;
			one(l, 1, 99, 10);
			now_s = times[i];
			assert_int_equal(one(l, 2, 10, 20),
					 age < 300 ? to(1) : UNKNOWN);
			assert_int_equal(one(l, 2, 0xff01, 20), to(3));
			assert_int_equal(one(l, 2, 30, 20), UNKNOWN);
			/* What is static stays where it is. */
			one(l, 4, 20, 0xff01);
			one(l, 3, 20, 0xff01);
			assert_int_equal(one(l, 2, 0xff01, 20), to(3));
			ops->destroy(l);
		}
	}
	now_s = before;
}

static void never_ages_with_zero(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 0));

	one(l, 1, 99, 10);
	for (unsigned i = 0; i < 40; i++) {
		now_s += 1 << 27;
		ops->tick(l, now_s);
		assert_int_equal(one(l, 2, 10, 10 + i + 1), to(1));
	}
	ops->destroy(l);
}

/* Workers read the clock at different times. */
static void clocks_may_differ(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 1));

	one(l, 1, 99, 10);
	now_s -= 3;
	assert_int_equal(one(l, 2, 10, 20), to(1));
	one(l, 1, 99, 10); /* must not set the age back */
	now_s += 3;
	assert_int_equal(one(l, 2, 10, 20), to(1));
	ops->destroy(l);
}

static void refreshes_once_a_second(void **state)
{
	struct learn *l = made(json_object());
	struct table *t = atomic_load(&l->table);
	uint8_t *copy = malloc(t->map_size);

	one(l, 1, 99, 10);
	memcpy(copy, t->buckets, t->map_size);
	one(l, 1, 99, 10);
	assert_memory_equal(copy, t->buckets, t->map_size);
	now_s++;
	one(l, 1, 99, 10);
	assert_memory_not_equal(copy, t->buckets, t->map_size);
	free(copy);
	ops->destroy(l);
}

static void learns_no_group_or_zero_source(void **state)
{
	struct learn *l = made(json_object());

	put_packet(0, 99, 10);
	batch->hdr[0][6] |= 1;
	run(l, 1, 1);
	put_packet(0, 99, 10);
	memset(batch->hdr[0] + 6, 0, 6);
	put_tag(0, TPID_C, 5);
	run(l, 1, 1);
	put_packet(0, 99, 10);
	memset(batch->hdr[0] + 6, 0, 6);
	run(l, 1, 1);
	assert_int_equal(count(l, "used"), 0);
	/* Groups and the zero address are flooded. */
	put_packet(0, 0, 20);
	memset(batch->hdr[0], 0, 6);
	put_packet(1, 10, 20);
	batch->hdr[1][0] |= 1;
	put_packet(2, 10, 20);
	memset(batch->hdr[2], 0xff, 6);
	run(l, 2, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(batch->verdict[i], UNKNOWN);
	ops->destroy(l);
}

static void vlans_are_apart(void **state)
{
	struct learn *l = made(json_object());

	tagged(l, 1, 99, 10, TPID_C, 5);
	tagged(l, 2, 99, 10, TPID_C, 6);
	one(l, 3, 99, 10);
	assert_int_equal(tagged(l, 4, 10, 40, TPID_C, 5), to(1));
	assert_int_equal(tagged(l, 4, 10, 40, TPID_S, 6), to(2));
	assert_int_equal(tagged(l, 4, 10, 40, TPID_C, 0xe005), to(1));
	assert_int_equal(tagged(l, 4, 10, 40, TPID_C, 7), UNKNOWN);
	/* Priority only is no VLAN; other types are no tags. */
	assert_int_equal(tagged(l, 4, 10, 40, TPID_C, 0xe000), to(3));
	assert_int_equal(tagged(l, 4, 10, 40, 0x9100, 5), to(3));
	assert_int_equal(one(l, 4, 10, 40), to(3));
	assert_int_equal(count(l, "moves"), 0);
	ops->destroy(l);
}

static void vlans_can_be_ignored(void **state)
{
	struct learn *l = made(json_pack("{s:b}", "vlan", 0));

	tagged(l, 1, 99, 10, TPID_C, 5);
	assert_int_equal(tagged(l, 4, 10, 40, TPID_C, 7), to(1));
	assert_int_equal(one(l, 4, 10, 40), to(1));
	ops->destroy(l);
}

static void isolated_ports_do_not_meet(void **state)
{
	struct learn *l = made(json_object());

	isolated[1] = isolated[2] = 1;
	assert_int_equal(one(l, 1, 99, 10), UNKNOWN_ISOLATED);
	assert_int_equal(one(l, 2, 10, 20), ISOLATED);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(one(l, 3, 99, 30), UNKNOWN);
	assert_int_equal(one(l, 1, 30, 10), to(3));
	assert_int_equal(one(l, 1, 10, 10), to(1)); /* in_same_port */
	isolated[1] = isolated[2] = 0;
	assert_int_equal(one(l, 2, 10, 20), to(1));
	ops->destroy(l);
}

/* n packets to unknown addresses; how many are flooded? */
static unsigned floods(struct learn *l, unsigned n)
{
	unsigned flooded = 0;

	for (unsigned i = 0; i < n; i++)
		put_packet(i, 1000000 + i, 10);
	run(l, 1, n);
	for (unsigned i = 0; i < n; i++) {
		if (batch->verdict[i] == UNKNOWN)
			flooded++;
		else
			assert_int_equal(batch->verdict[i], LIMITED);
	}
	return flooded;
}

static void limits_floods(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "flood_pps", 100));
	unsigned sum = 0;

	one(l, 2, 99, 20); /* takes one */
	assert_int_equal(floods(l, 200), 9);
	assert_int_equal(floods(l, 200), 0);
	/* What is known passes all the same. */
	assert_int_equal(one(l, 1, 20, 10), to(2));
	for (unsigned i = 0; i < 100; i++) {
		now_s++;
		sum += floods(l, 200);
	}
	assert_int_equal(sum, 100 * 10); /* a burst per call: a second off */
	ops->destroy(l);
}

static void flood_limit_holds_over_time(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "flood_pps", 20000));
	struct glen_lookup ctx = { .src = 1, .now_ns = 1000000000000 };
	unsigned flooded = 0;

	/* Three seconds, 100 000 packets in each, from two workers. */
	for (unsigned i = 0; i < 3000; i++) {
		for (unsigned k = 0; k < 100; k++)
			put_packet(k, 5000 + k, 10);
		ctx.now_ns += 1000000;
		ctx.worker = i & 1;
		batch->n = 100;
		lookup(l, &ctx);
		for (unsigned k = 0; k < 100; k++)
			flooded += batch->verdict[k] == UNKNOWN;
	}
	assert_in_range(flooded, 60000 - 200, 60000 + 2000);
	ops->destroy(l);
}

static void flood_limit_can_change(void **state)
{
	struct learn *l = made(json_object());
	json_t *limit = json_pack("{s:i}", "flood_pps", 10);
	json_t *none = json_object();

	assert_int_equal(floods(l, 256), 256);
	assert_int_equal(ops->set(l, limit, NULL), 0);
	assert_int_equal(floods(l, 256), 1);
	assert_int_equal(ops->set(l, none, NULL), 0);
	assert_int_equal(floods(l, 256), 256);
	json_decref(limit);
	json_decref(none);
	ops->destroy(l);
}

static void port_takes_its_addresses_along(void **state)
{
	struct learn *l = made(json_object());
	struct glen_module_port *port = calloc(1, sizeof(*port));

	for (uint32_t i = 0; i < 1000; i++)
		one(l, 1 + i % 2, 99, 100 + i);
	assert_int_equal(fdb_add(l, "02:00:00:00:ff:01", "p1", NULL), 0);
	assert_int_equal(fdb_add(l, "02:00:00:00:ff:02", "p2", NULL), 0);
	port->index = 1;
	ops->port_del(l, port);
	assert_int_equal(count(l, "used"), 501);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(one(l, 3, 100 + i, 3),
				 i % 2 ? to(2) : UNKNOWN);
	assert_int_equal(one(l, 3, 0xff01, 3), UNKNOWN);
	assert_int_equal(one(l, 3, 0xff02, 3), to(2));
	free(port);
	ops->destroy(l);
}

static void full_table_keeps_the_old(void **state)
{
	struct learn *l = made(
		json_pack("{s:i, s:i}", "entries", 64, "ageing_s", 100));

	for (uint32_t i = 0; i < 1000; i++)
		one(l, 1, 5, i + 10);
	assert_int_equal(count(l, "used"), 64);
	assert_int_equal(count(l, "not_learnt"), 1000 - 64);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(one(l, 1, i + 10, 10), to(1));
	/* Aged ones give way, without a tick. */
	now_s += 100;
	for (uint32_t i = 0; i < 1000; i++)
		one(l, 2, 5, i + 5000);
	assert_in_range(count(l, "used"), 60, 64);
	for (uint32_t i = 0, known = 0; i < 1000; i++) {
		known += one(l, 3, i + 5000, 5000) == to(2);
		if (i == 999)
			assert_in_range(known, 55, 64);
	}
	ops->destroy(l);
}

static void static_entry_displaces_a_learnt_one(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "entries", 16));
	struct glen_error error = { 0 };
	unsigned added = 0;
	char mac[32];

	for (uint32_t i = 0; i < 1000; i++)
		one(l, 1, 5, i + 10);
	assert_int_equal(count(l, "used"), 16);
	for (unsigned i = 0; i < 17; i++) {
		snprintf(mac, sizeof(mac), "02:00:00:00:ff:%02x", i);
		if (!fdb_add(l, mac, "p2", &error))
			added++;
	}
	assert_in_range(added, 4, 16);
	assert_int_equal(count(l, "used"), 16);
	assert_int_equal(error.code, -ENOSPC);
	assert_non_null(strstr(error.text, "16 of 16"));
	ops->destroy(l);
}

/* All of 1 M addresses are learnt and found. */

/* As many as may be. With one key in 200 an address finds no slot, table.h. */
static void holds_a_million(void **state)
{
	enum { N = 1 << 20 };
	struct learn *l = made(json_pack("{s:i}", "entries", N));
	unsigned lost, wrong = 0;

	for (uint32_t i = 0; i < N; i += BATCH_MAX) {
		for (unsigned k = 0; k < BATCH_MAX; k++)
			put_packet(k, 0xffffffff, i + k);
		run(l, 1 + i / BATCH_MAX % 4, BATCH_MAX);
	}
	lost = count(l, "not_learnt");
	assert_in_range(lost, 0, 4);
	assert_int_equal(count(l, "used"), N - lost);
	for (uint32_t i = 0; i < N; i += BATCH_MAX) {
		for (unsigned k = 0; k < BATCH_MAX; k++)
			put_packet(k, i + k, 0);
		run(l, 1, BATCH_MAX);
		for (unsigned k = 0; k < BATCH_MAX; k++)
			wrong += batch->verdict[k] != to(1 + i / BATCH_MAX % 4);
	}
	assert_int_equal(wrong, lost);
	ops->destroy(l);
}

/* Keys with the same two buckets: as many as these hold are told apart, the
 * next one is not learnt. */
static void tells_colliding_addresses_apart(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "entries", 16));
	struct table *t = atomic_load(&l->table);
	uint32_t same[64], n = 0;
	struct bucket *both[2] = { NULL, NULL };

	for (uint32_t i = 0; n < 20; i++) {
		uint64_t key = 0;
		struct bucket *first, *second;

		put_mac((uint8_t *)&key, i);
		first = table_first(t, table_hash(t, key));
		second = table_second(t, key);
		if (!i) {
			both[0] = first;
			both[1] = second;
		}
		if (first == both[0] && second == both[1])
			same[n++] = i;
	}
	for (unsigned i = 0; i < n; i++)
		one(l, i % N_PORTS, 0xffffffff, same[i]);
	assert_in_range(count(l, "used"), BUCKET_SLOTS, 2 * BUCKET_SLOTS);
	assert_int_equal(count(l, "used") + count(l, "not_learnt"), n);
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		assert_int_equal(one(l, 7, same[i], same[7]), to(i % N_PORTS));
	ops->destroy(l);
}

/* Between a reader's look at the key and at the value the slot may change
 * hands: the value of another address must not be taken for this one's. */
static void a_successors_value_is_refused(void **state)
{
	struct learn *l = made(json_object());
	struct table *t = atomic_load(&l->table);
	uint64_t key = 0, hash, tag = 1ULL << VAL_TAG_SHIFT;
	struct bucket *b;

	one(l, 1, 99, 10);
	put_mac((uint8_t *)&key, 10);
	hash = table_hash(t, key);
	b = table_near(t, hash);
	assert_int_equal(b->key[0], key);
	for (; tag; tag <<= 1) {
		b->val[0] ^= tag;
		assert_int_equal(bucket_find(b, key, hash), 0);
		assert_int_equal(one(l, 2, 10, 20), UNKNOWN);
		assert_int_equal(table_learn(t, key, 2, now_s, 0, NULL),
				 LEARNT_NOTHING);
		b->val[0] ^= tag;
	}
	assert_int_equal(one(l, 2, 10, 20), to(1));
	ops->destroy(l);
}

static void set_keeps_the_addresses(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "entries", 1000));
	json_t *more = json_pack("{s:i, s:i}", "entries", 5000, "ageing_s", 7);
	json_t *less = json_pack("{s:i, s:b}", "entries", 64, "vlan", 0);
	json_t *bad = json_pack("{s:i}", "entries", 0);
	struct glen_error error;

	for (uint32_t i = 0; i < 1000; i++)
		one(l, 1, 5000, i);
	tagged(l, 2, 5000, 3, TPID_C, 9);
	assert_int_equal(fdb_add(l, "02:00:00:00:ff:01", "p3", NULL), 0);
	assert_int_equal(ops->set(l, more, NULL), 0);
	assert_int_equal(count(l, "used"), 1002);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(one(l, 2, i, 9999), to(1));
	assert_int_equal(tagged(l, 1, 3, 1, TPID_C, 9), to(2));
	assert_int_equal(ops->set(l, bad, &error), -EINVAL);
	assert_string_equal(error.text,
			    "entries must be from 1 to 1048576, not 0");
	now_s += 7;
	assert_int_equal(one(l, 2, 500, 9998), UNKNOWN);
	assert_int_equal(ops->set(l, less, NULL), 0);
	assert_in_range(count(l, "used"), 60, 64);
	assert_int_equal(one(l, 2, 0xff01, 9998), to(3));
	json_decref(more);
	json_decref(less);
	json_decref(bad);
	ops->destroy(l);
}

static void show_names_options_in_force(void **state)
{
	struct learn *l = made(json_pack("{s:i, s:i, s:b, s:i, s:b}", "entries",
					 1000, "ageing_s", 9, "vlan", 0,
					 "flood_pps", 5, "named_ports", 0));
	json_t *shown = ops->show(l);
	json_t *expected = json_pack(
		"{s:i, s:i, s:b, s:i, s:b, s:{s:i, s:i, s:i}}", "entries", 1024,
		"ageing_s", 9, "vlan", 0, "flood_pps", 5, "named_ports", 0,
		"counts", "used", 0, "moves", 0, "not_learnt", 0);

	assert_true(json_equal(shown, expected));
	json_decref(shown);
	json_decref(expected);
	ops->destroy(l);
}

static void options_are_checked(void **state)
{
	static const struct {
		const char *options, *says;
	} cases[] = {
		{ "{\"entrys\": 5}", "'entrys'; known are: entries, ageing_s, "
				     "vlan, flood_pps, named_ports" },
		{ "{\"entries\": 1048577}", "entries must be from 1 to" },
		{ "{\"ageing_s\": -1}", "ageing_s must be from 0" },
		{ "{\"vlan\": 1}", "vlan must be true or false" },
		{ "{\"flood_pps\": \"x\"}", "flood_pps must be an integer" },
		{ "{\"named_ports\": 0}", "named_ports must be true or false" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *params = json_loads(cases[i].options, 0, NULL);
		struct glen_error error;
		void *l;

		assert_int_equal(ops->create(fake_env(1), params, &l, &error),
				 -EINVAL);
		if (!strstr(error.text, cases[i].says))
			fail_msg("%s: %s", cases[i].options, error.text);
		json_decref(params);
	}
	ops->destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learns_and_forwards),
		cmocka_unit_test(destination_at_source_port_is_named),
		cmocka_unit_test(every_packet_of_a_batch_counts),
		cmocka_unit_test(moves),
		cmocka_unit_test(ages),
		cmocka_unit_test(ages_at_any_time),
		cmocka_unit_test(never_ages_with_zero),
		cmocka_unit_test(clocks_may_differ),
		cmocka_unit_test(refreshes_once_a_second),
		cmocka_unit_test(learns_no_group_or_zero_source),
		cmocka_unit_test(vlans_are_apart),
		cmocka_unit_test(vlans_can_be_ignored),
		cmocka_unit_test(isolated_ports_do_not_meet),
		cmocka_unit_test(limits_floods),
		cmocka_unit_test(flood_limit_holds_over_time),
		cmocka_unit_test(flood_limit_can_change),
		cmocka_unit_test(port_takes_its_addresses_along),
		cmocka_unit_test(full_table_keeps_the_old),
		cmocka_unit_test(static_entry_displaces_a_learnt_one),
		cmocka_unit_test(holds_a_million),
		cmocka_unit_test(tells_colliding_addresses_apart),
		cmocka_unit_test(a_successors_value_is_refused),
		cmocka_unit_test(set_keeps_the_addresses),
		cmocka_unit_test(show_names_options_in_force),
		cmocka_unit_test(options_are_checked),
	};
	int failed = 0;

	batch = aligned_alloc(64, sizeof(*batch));
	failed = cmocka_run_group_tests_name("learn", tests, NULL, NULL);
	free(batch);
	return failed;
}
