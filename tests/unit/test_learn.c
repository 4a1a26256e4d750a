// SPDX-License-Identifier: BSD-2-Clause
// test_learn.c - the learning bridge: verdicts, table, limits, fdb methods.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "core/port.h"
#include "module/learn/learn.h"

enum {
	N_PORTS = 8,
	UNKNOWN = VERDICT_FLOOD | FLOOD_ALL,
	UNKNOWN_ISOLATED = VERDICT_FLOOD | FLOOD_NOT_ISOLATED,
	ISOLATED = VERDICT_DROP | DROP_IN_ISOLATED,
	LIMITED = VERDICT_DROP | DROP_IN_FLOOD_LIMIT,
	TPID_C = 0x8100,
	TPID_S = 0x88a8,
};

static const struct module_ops *const ops = &module_learn;
static struct batch *batch;
static uint8_t isolated[N_PORTS];
static uint32_t now_s;
static unsigned turn;

static uint32_t to(uint32_t port)
{
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT | port;
}

/* An instance with these options (json_pack() gives them; stolen). */
static struct learn *made(json_t *params)
{
	struct glen_error error = { 0 };
	void *learn;

	if (ops->create(params, 2, &learn, &error))
		fail_msg("%s", error.text);
	json_decref(params);
	now_s = 1000;
	ops->tick(learn, now_s);
	return learn;
}

/* Writes a MAC that ends in n, first byte 2. */
static void put_mac(uint8_t *mac, uint32_t n)
{
	mac[0] = 2;
	mac[1] = 0;
	for (unsigned i = 0; i < 4; i++)
		mac[2 + i] = n >> (24 - 8 * i);
}

static void put_packet(unsigned i, uint32_t dst, uint32_t src)
{
	memset(batch->hdr[i], 0, HDR_MAX);
	put_mac(batch->hdr[i], dst);
	put_mac(batch->hdr[i] + 6, src);
	batch->hdr[i][12] = 8;
	batch->len[i] = 60;
	batch->hdr_len[i] = 60;
}

static void put_tag(unsigned i, unsigned tpid, unsigned tci)
{
	batch->hdr[i][12] = tpid >> 8;
	batch->hdr[i][13] = tpid & 0xff;
	batch->hdr[i][14] = tci >> 8;
	batch->hdr[i][15] = tci & 0xff;
}

/* All instruction sets of this machine in turn, on one table. */
static void lookup(struct learn *learn, const struct lookup_ctx *ctx)
{
	ops->lookup[turn++ % (isa_now() + 1)](learn, ctx, batch);
}

static void run(struct learn *learn, uint16_t port, unsigned n)
{
	struct lookup_ctx ctx = {
		.src = port,
		.src_isolated = isolated[port],
		.now_s = now_s,
		.now_ns = now_s * 1000000000ULL,
		.port_isolated = isolated,
		.n_ports = N_PORTS,
	};

	batch->n = n;
	lookup(learn, &ctx);
}

/* One packet to dst from src at port. */
static uint32_t one(struct learn *learn, uint16_t port, uint32_t dst,
		    uint32_t src)
{
	put_packet(0, dst, src);
	run(learn, port, 1);
	return batch->verdict[0];
}

static uint32_t tagged(struct learn *learn, uint16_t port, uint32_t dst,
		       uint32_t src, unsigned tpid, unsigned tci)
{
	put_packet(0, dst, src);
	put_tag(0, tpid, tci);
	run(learn, port, 1);
	return batch->verdict[0];
}

static long count(struct learn *learn, const char *name)
{
	json_t *shown = ops->show(learn);
	json_t *n = json_object_get(json_object_get(shown, "counts"), name);
	long value = json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(shown);
	return value;
}

/* Port i is called "pi". */
static int find_port(void *arg, const char *name)
{
	if (name[0] != 'p' || name[1] < '0' || name[1] >= '0' + N_PORTS ||
	    name[2])
		return -1;
	return name[1] - '0';
}

static const char *port_name(void *arg, int index)
{
	static const char *const all[N_PORTS] = { "p0", "p1", "p2", "p3",
						  "p4", "p5", "p6", "p7" };

	return index < N_PORTS ? all[index] : NULL;
}

static const struct module_names names = { NULL, find_port, port_name };

/* A method with params (stolen); *result may be NULL. */
static int command(struct learn *learn, const char *method, json_t *params,
		   json_t **result, struct glen_error *error)
{
	json_t *answer = NULL;
	int err;

	assert_non_null(params);
	err = ops->command(learn, method, params, &names, &answer, error);
	assert_true(err ? !answer : answer != NULL);
	json_decref(params);
	if (result)
		*result = answer;
	else
		json_decref(answer);
	return err;
}

static int fdb_add(struct learn *learn, const char *mac, const char *port,
		   struct glen_error *error)
{
	return command(learn, "fdb.add",
		       json_pack("{s:s, s:s, s:s}", "switch", "sw", "mac", mac,
				 "port", port), NULL, error);
}

static long fdb_flush(struct learn *learn, json_t *params)
{
	json_t *result;
	long n;

	assert_int_equal(command(learn, "fdb.flush", params, &result, NULL),
			 0);
	n = json_integer_value(json_object_get(result, "flushed"));
	json_decref(result);
	return n;
}

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
	struct learn *l = made(json_pack("{s:i, s:i}", "ageing_s", 10,
					 "entries", 64));

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
	struct lookup_ctx ctx = { .src = 1, .now_ns = 1000000000000 };
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
	struct port *port = calloc(1, sizeof(*port));

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

static void static_entries_stay(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "ageing_s", 5));

	one(l, 3, 99, 10); /* learnt before: becomes static */
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0a", "sw:p1", NULL), 0);
	one(l, 2, 99, 10);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	now_s += 1000;
	ops->tick(l, now_s);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(fdb_flush(l, json_object()), 1);
	assert_int_equal(one(l, 3, 10, 30), to(1));
	assert_int_equal(count(l, "moves"), 0);
	/* Again, to another port. */
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0A", "p2", NULL), 0);
	assert_int_equal(one(l, 3, 10, 30), to(2));
	assert_int_equal(command(l, "fdb.del",
				 json_pack("{s:s, s:s}", "switch", "sw", "mac",
					   "02:00:00:00:00:0a"), NULL, NULL),
			 0);
	assert_int_equal(one(l, 3, 10, 30), UNKNOWN);
	ops->destroy(l);
}

static void flushes(void **state)
{
	struct learn *l = made(json_object());

	for (uint32_t i = 0; i < 100; i++)
		one(l, i % 4, 99, 100 + i);
	assert_int_equal(fdb_add(l, "02:00:00:00:00:0a", "p1", NULL), 0);
	assert_int_equal(fdb_flush(l, json_pack("{s:s}", "port", "p1")), 25);
	assert_int_equal(fdb_flush(l, json_pack("{s:s, s:b}", "port", "sw:p1",
						"static", 1)), 1);
	assert_int_equal(fdb_flush(l, json_pack("{s:s}", "switch", "sw")), 75);
	assert_int_equal(count(l, "used"), 0);
	ops->destroy(l);
}

static void full_table_keeps_the_old(void **state)
{
	struct learn *l = made(json_pack("{s:i, s:i}", "entries", 64,
					 "ageing_s", 100));

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
static void holds_a_million(void **state)
{
	enum { N = 1 << 20 };
	struct learn *l = made(json_pack("{s:i}", "entries", N));

	for (uint32_t i = 0; i < N; i += BATCH_MAX) {
		for (unsigned k = 0; k < BATCH_MAX; k++)
			put_packet(k, 0xffffffff, i + k);
		run(l, 1 + i / BATCH_MAX % 4, BATCH_MAX);
	}
	assert_int_equal(count(l, "used"), N);
	assert_int_equal(count(l, "not_learnt"), 0);
	for (uint32_t i = 0; i < N; i += BATCH_MAX) {
		for (unsigned k = 0; k < BATCH_MAX; k++)
			put_packet(k, i + k, 0);
		run(l, 1, BATCH_MAX);
		for (unsigned k = 0; k < BATCH_MAX; k++)
			if (batch->verdict[k] != to(1 + i / BATCH_MAX % 4))
				fail_msg("address %u", i + k);
	}
	ops->destroy(l);
}

/* Keys with the same hash, and so the same buckets and tag: as many as two
 * buckets hold are told apart, the next one is not learnt. */
static void tells_colliding_addresses_apart(void **state)
{
	struct learn *l = made(json_pack("{s:i}", "entries", 16));
	struct table *t = atomic_load(&l->table);
	uint32_t same[64], n = 0;
	uint64_t first = 0;

	for (uint32_t i = 0; n < 20; i++) {
		uint64_t key = 0, h;

		put_mac((uint8_t *)&key, i);
		h = table_hash(t, key);
		if (!i)
			first = h;
		if ((table_first(t, h) == table_first(t, first) &&
		     table_second(t, h) == table_second(t, first)))
			same[n++] = i;
	}
	for (unsigned i = 0; i < n; i++)
		one(l, i % N_PORTS, 0xffffffff, same[i]);
	assert_in_range(count(l, "used"), BUCKET_SLOTS, 2 * BUCKET_SLOTS);
	assert_int_equal(count(l, "used") + count(l, "not_learnt"), n);
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		assert_int_equal(one(l, 7, same[i], same[7]),
				 to(i % N_PORTS));
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
	struct learn *l = made(json_pack("{s:i, s:i, s:b, s:i}", "entries",
					 1000, "ageing_s", 9, "vlan", 0,
					 "flood_pps", 5));
	json_t *shown = ops->show(l);
	json_t *expected =
		json_pack("{s:i, s:i, s:b, s:i, s:{s:i, s:i, s:i}}", "entries",
			  1024, "ageing_s", 9, "vlan", 0, "flood_pps", 5,
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
				     "vlan, flood_pps" },
		{ "{\"entries\": 1048577}", "entries must be from 1 to" },
		{ "{\"ageing_s\": -1}", "ageing_s must be from 0" },
		{ "{\"vlan\": 1}", "vlan must be true or false" },
		{ "{\"flood_pps\": \"x\"}", "flood_pps must be an integer" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *params = json_loads(cases[i].options, 0, NULL);
		struct glen_error error;
		void *l;

		assert_int_equal(ops->create(params, 1, &l, &error), -EINVAL);
		if (!strstr(error.text, cases[i].says))
			fail_msg("%s: %s", cases[i].options, error.text);
		json_decref(params);
	}
	ops->destroy(NULL);
}

static void fdb_shows(void **state)
{
	struct learn *l = made(json_object());
	json_t *result, *expected, *entries;

	tagged(l, 2, 99, 10, TPID_C, 7);
	now_s += 3;
	ops->tick(l, now_s);
	assert_int_equal(command(l, "fdb.show",
				 json_pack("{s:s}", "switch", "sw"), &result,
				 NULL), 0);
	expected = json_pack("{s:[{s:s, s:i, s:s, s:i, s:b}], s:i, s:i}",
			     "entries", "mac", "02:00:00:00:00:0a", "vlan", 7,
			     "port", "sw:p2", "age_s", 3, "static", 0, "count",
			     1, "capacity", 65536);
	assert_true(json_equal(result, expected));
	json_decref(expected);
	json_decref(result);
	for (uint32_t i = 0; i < 100; i++)
		one(l, 1, 99, 100 + i);
	assert_int_equal(command(l, "fdb.show",
				 json_pack("{s:s, s:i}", "switch", "sw",
					   "limit", 10), &result, NULL), 0);
	entries = json_object_get(result, "entries");
	assert_int_equal(json_array_size(entries), 10);
	assert_int_equal(json_integer_value(json_object_get(result, "count")),
			 101);
	json_decref(result);
	ops->destroy(l);
}

static void fdb_errors_name_the_culprit(void **state)
{
	static const struct {
		const char *method, *params, *says;
		int err;
	} cases[] = {
		{ "fdb.add", "{\"mac\": \"02:00:00:00:00:0\", \"port\": \"p1\"}",
		  "'02:00:00:00:00:0' is not of the form", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00-01\", \"port\": \"p1\"}",
		  "is not of the form", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"01:00:5e:00:00:01\", \"port\": \"p1\"}",
		  "a group address", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"00:00:00:00:00:00\", \"port\": \"p1\"}",
		  "the zero address", -EINVAL },
		{ "fdb.add", "{\"port\": \"p1\"}", "mac is missing", -EINVAL },
		{ "fdb.add", "{\"mac\": \"02:00:00:00:00:01\"}",
		  "port is missing", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00:01\", \"port\": \"sw:q\"}",
		  "no port 'sw:q'", -ENOENT },
		{ "fdb.add",
		  "{\"switch\": \"sw\", \"mac\": \"02:00:00:00:00:01\","
		  " \"port\": \"s:p1\"}", "not on switch 'sw'", -EINVAL },
		{ "fdb.add",
		  "{\"mac\": \"02:00:00:00:00:01\", \"port\": \"p1\","
		  " \"vlan\": 4095}", "vlan must be from 0 to 4094", -EINVAL },
		{ "fdb.add", "{\"mca\": 1}", "'mca'", -EINVAL },
		{ "fdb.del", "{\"mac\": \"02:00:00:00:00:01\", \"vlan\": 3}",
		  "02:00:00:00:00:01 in VLAN 3 is not", -ENOENT },
		{ "fdb.flush", "{\"port\": \"p9\"}", "no port 'p9'", -ENOENT },
		{ "fdb.show", "{\"limits\": 1}", "'limits'", -EINVAL },
		{ "fdb.eat", "{}", "'fdb.eat'", -ENOSYS },
	};
	struct learn *l = made(json_object());

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct glen_error error = { 0 };
		int err = command(l, cases[i].method,
				  json_loads(cases[i].params, 0, NULL), NULL,
				  &error);

		if (err != cases[i].err || !strstr(error.text, cases[i].says))
			fail_msg("%s %s: %d %s", cases[i].method,
				 cases[i].params, err, error.text);
	}
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(learns_and_forwards),
		cmocka_unit_test(destination_at_source_port_is_named),
		cmocka_unit_test(every_packet_of_a_batch_counts),
		cmocka_unit_test(moves),
		cmocka_unit_test(ages),
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
		cmocka_unit_test(static_entries_stay),
		cmocka_unit_test(flushes),
		cmocka_unit_test(full_table_keeps_the_old),
		cmocka_unit_test(static_entry_displaces_a_learnt_one),
		cmocka_unit_test(holds_a_million),
		cmocka_unit_test(tells_colliding_addresses_apart),
		cmocka_unit_test(set_keeps_the_addresses),
		cmocka_unit_test(show_names_options_in_force),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(fdb_shows),
		cmocka_unit_test(fdb_errors_name_the_culprit),
	};
	int failed = 0;

	batch = aligned_alloc(64, sizeof(*batch));
	failed = cmocka_run_group_tests_name("learn", tests, NULL, NULL);
	free(batch);
	return failed;
}
