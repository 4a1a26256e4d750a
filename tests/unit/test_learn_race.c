// SPDX-License-Identifier: BSD-2-Clause
// test_learn_race.c - workers learn while control changes table and settings.
/*
 * Every address belongs to one port for good, so a verdict is either a flood,
 * or that port, or a drop for a reason that settings give; anything else means
 * that a value was taken for another address's. The table is small: entries are
 * replaced and moved between their buckets all the time. Of the ports with
 * settings one is in VLANs and changes its mode, one is another one's mirror
 * now and then, so the switch becomes aware of VLANs and forgets about them.
 * Afterwards the table's counts must add up to what is in it. Where the window
 * changes there are known addresses, which must not be flooded for a moment,
 * and new ones, which both workers learn.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "core/drop.h"
#include "fake_env.h"
#include "module/learn/learn.h"
#include "race.h"

enum {
	PORTS = 4,
	ADDRESSES = 4096,
	FEW = 512,   /* addresses, while settings change */
	ROUNDS = 96, /* of control */
	SETTINGS_ROUNDS = 400,
	WINDOW_ROUNDS = 300,
	KNOWN = 1024,
	RESTLESS_ROUNDS = 2000,
};

static const struct glen_module *const ops = &module_learn.ops;

static void put_mac(uint8_t *mac, uint32_t n)
{
	mac[0] = 2;
	mac[1] = 0;
	for (unsigned i = 0; i < 4; i++)
		mac[2 + i] = n >> (24 - 8 * i);
}

/* A batch of any of so many addresses passes; dst[] is where it goes. */
static void learn_batch(struct race_worker *w, struct batch *b, uint32_t *dst,
			uint32_t addresses)
{
	struct glen_lookup ctx = {
		.src = race_draw(&w->seed, PORTS),
		.worker = w->index,
		.now_s = atomic_load(&race_now_s),
	};

	ctx.now_ns = ctx.now_s * 1000000000ULL;
	b->n = 1 + race_draw(&w->seed, BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t src = race_draw(&w->seed, addresses);

		dst[i] = race_draw(&w->seed, addresses);
		memset(b->hdr[i], 0, HDR_MIN);
		put_mac(b->hdr[i], dst[i]);
		put_mac(b->hdr[i] + 6, src / PORTS * PORTS + ctx.src);
		b->hdr_len[i] = b->len[i] = 60;
	}
	module_learn.lookup[isa_now()](w->instance, &ctx, batch_view(b));
}

static uint32_t home_of(uint32_t dst)
{
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT | dst % PORTS;
}

/* An instance whose table has so many entries. */
static struct learn *made(unsigned entries, unsigned ageing_s)
{
	json_t *options = json_pack("{s:i, s:i}", "entries", (int)entries,
				    "ageing_s", (int)ageing_s);
	void *l;

	assert_int_equal(ops->create(fake_env(RACE_WORKERS), options, &l, NULL),
			 0);
	json_decref(options);
	return l;
}

static void one_batch(struct race_worker *w, struct batch *b)
{
	uint32_t dst[BATCH_MAX];

	learn_batch(w, b, dst, ADDRESSES);
	for (unsigned i = 0; i < b->n; i++) {
		if (b->verdict[i] == (VERDICT_FLOOD | FLOOD_ALL))
			w->elsewhere++;
		else if (b->verdict[i] == home_of(dst[i]))
			w->there++;
		else
			w->wrong++;
	}
}

static void command(struct learn *l, const char *method, json_t *params)
{
	json_t *result = NULL;

	ops->command(l, method, params, &result, NULL);
	json_decref(params);
	json_decref(result);
}

/* What control does in round i; addresses keep their ports. */
static void control(struct learn *l, unsigned i, struct glen_module_port *port,
		    uint64_t *seed)
{
	uint32_t n = race_draw(seed, ADDRESSES);
	char name[3] = { 'p', '0' + n % PORTS, 0 }, mac[18];
	json_t *options;

	snprintf(mac, sizeof(mac), "02:00:00:00:%02x:%02x", n >> 8, n & 255);
	atomic_fetch_add(&race_now_s, 1);
	ops->tick(l, atomic_load(&race_now_s));
	command(l, "fdb.add",
		json_pack("{s:s, s:s}", "mac", mac, "port", name));
	port->index = n % PORTS;
	if (i % 4 == 1)
		ops->port_del(l, port);
	if (i % 4 == 2)
		command(l, "fdb.show", json_object());
	if (i % 8 == 3)
		command(l, "fdb.flush", json_pack("{s:b}", "static", 1));
	if (i % 8 == 5)
		command(l, "fdb.del", json_pack("{s:s}", "mac", mac));
	if (i % 16 == 15) {
		options = json_pack("{s:i, s:i}", "entries",
				    i % 32 == 15 ? 1024 : 2048, "ageing_s", 2);
		assert_int_equal(ops->set(l, options, NULL), 0);
		json_decref(options);
	}
}

struct seen {
	uint8_t times[ADDRESSES];
	unsigned n;
};

static bool see(void *arg, const struct table_entry *e)
{
	struct seen *seen = arg;
	uint32_t n = (e->key >> 32 & 0xff) << 8 | (e->key >> 40 & 0xff);

	assert_in_range(n, 0, ADDRESSES - 1);
	assert_int_equal(e->port, n % PORTS);
	assert_int_equal(seen->times[n]++, 0);
	seen->n++;
	return true;
}

static void workers_and_control_agree(void **state)
{
	struct glen_module_port *port = calloc(1, sizeof(*port));
	struct learn *l = made(2048, 2);
	struct seen seen = { 0 };
	uint64_t seed = 4711;

	race_start(l, one_batch);
	for (unsigned i = 0; i < ROUNDS; i++) {
		control(l, i, port, &seed);
		race_wait(2);
	}
	race_end();
	table_each(atomic_load(&l->table), 0, 0, see, &seen);
	assert_int_equal(atomic_load(&atomic_load(&l->table)->used), seen.n);
	ops->destroy(l);
	free(port);
}

static bool is_expected(uint32_t reason)
{
	return reason == LEARN_POLICED || reason == LEARN_STORM ||
	       reason == LEARN_MAC_LIMIT || reason == LEARN_MAC_STATIC ||
	       reason == LEARN_GUARD_MAC || reason == LEARN_VLAN_UNTAGGED ||
	       reason == LEARN_VLAN_DEST || reason == LEARN_MIRROR_PORT;
}

static void settings_batch(struct race_worker *w, struct batch *b)
{
	uint32_t dst[BATCH_MAX];

	learn_batch(w, b, dst, FEW);
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t v = b->verdict[i];

		if ((v & GLEN_VERDICT_KIND) == VERDICT_FLOOD ||
		    v == home_of(dst[i]))
			w->there++;
		else if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_DROP &&
			 is_expected(v & 0xffff))
			w->elsewhere++;
		else
			w->wrong++;
	}
}

static const char *const settings[] = {
	"{\"police_pps\": 1000, \"mac_limit\": 20}",
	"{\"police_bps\": \"1M\"}",
	"{\"mac_sticky\": true, \"mac_limit\": 100}",
	"{\"mac_limit\": 30}",
	"{\"storm_unknown_pps\": 100, \"storm_broadcast_pps\": 1}",
	"{\"guard\": [\"02:00:00:00:00:00\", \"02:00:00:00:00:01\"]}",
	"{\"police_pps\": 500, \"guard\": \"02:00:00:00:00:02\"}",
	"{\"mode\": \"access\", \"vlan\": 5}",
	"{\"mode\": \"trunk\", \"allowed\": \"1-9\", \"native\": 5}",
	"{\"mode\": \"trunk\"}",
	"{\"mode\": \"qinq\", \"vlan\": 6}",
	"{\"mirror_to\": \"p1\"}",
};

enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

static void settings_control(struct learn *l, struct glen_module_port *port,
			     uint64_t *seed)
{
	unsigned what = race_draw(seed, SETTINGS + 6);
	json_t *s = NULL;

	glen_module_port_get(fake_env(RACE_WORKERS), race_draw(seed, PORTS),
			     port);
	port->isolated = false;
	atomic_fetch_add(&race_now_s, what == 0);
	ops->tick(l, atomic_load(&race_now_s));
	if (ops->changed(l))
		json_decref(ops->port_settings(l, port));
	if (what == SETTINGS + 1) {
		ops->port_del(l, port);
		return;
	}
	/* Not to itself. */
	if (what < SETTINGS && (what != SETTINGS - 1 || port->index != 1))
		s = json_loads(settings[what], 0, NULL);
	assert_int_equal(ops->port_set(fake_env(RACE_WORKERS), l, port, s,
				       NULL),
			 0);
	json_decref(s);
}

static bool count_entry(void *arg, const struct table_entry *e)
{
	((unsigned *)arg)[e->port]++;
	return true;
}

static void settings_change_under_traffic(void **state)
{
	unsigned n[PORTS] = { 0 }, all = 0;
	struct glen_module_port *port = calloc(1, sizeof(*port));
	uint64_t seed = 0x123456789abcdef;
	struct learn *l = made(256, 3);

	race_start(l, settings_batch);
	for (unsigned i = 0; i < SETTINGS_ROUNDS; i++) {
		settings_control(l, port, &seed);
		race_wait(4);
	}
	race_end();
	table_each(atomic_load(&l->table), 0, 0, count_entry, n);
	for (unsigned i = 0; i < PORTS; i++) {
		assert_int_equal(table_n_of(atomic_load(&l->table), i), n[i]);
		all += n[i];
	}
	assert_int_equal(atomic_load(&atomic_load(&l->table)->used), all);
	ops->destroy(l);
	free(port);
}

/* Of the known ones none is flooded. */
static void window_batch(struct race_worker *w, struct batch *b)
{
	uint32_t dst[BATCH_MAX];

	learn_batch(w, b, dst, ADDRESSES);
	for (unsigned i = 0; i < b->n; i++) {
		if (b->verdict[i] == home_of(dst[i]))
			w->there++;
		else if (b->verdict[i] == (VERDICT_FLOOD | FLOOD_ALL) &&
			 dst[i] >= KNOWN)
			w->elsewhere++;
		else
			w->wrong++;
	}
}

static void teach(struct table *t, uint32_t n)
{
	uint64_t key = 0;

	put_mac((uint8_t *)&key, n);
	assert_int_equal(table_learn(t, key, n % PORTS, 1000, 0, NULL),
			 LEARNT_NEW);
}

/* A window, and some addresses that are new again. */
static void window_control(struct table *t, uint64_t *seed)
{
	uint64_t key = 0;

	if (table_set_window(t, 1ULL << race_draw(seed, 14)))
		rcu_wait();
	atomic_fetch_add(&race_now_s, race_draw(seed, 2));
	for (unsigned i = 0; i < 64; i++) {
		put_mac((uint8_t *)&key,
			KNOWN + race_draw(seed, ADDRESSES - KNOWN));
		table_del(t, key);
	}
	table_settle(t, race_draw(seed, 8192));
}

static void the_window_changes_under_traffic(void **state)
{
	struct learn *l = made(16384, 0);
	struct table *t = atomic_load(&l->table);
	struct seen seen = { 0 };
	uint64_t seed = 815;

	for (uint32_t n = 0; n < KNOWN; n++)
		teach(t, n);
	race_start(l, window_batch);
	for (unsigned i = 0; i < WINDOW_ROUNDS; i++) {
		window_control(t, &seed);
		race_wait(2);
	}
	race_end();
	table_each(t, 0, 0, see, &seen);
	assert_int_equal(atomic_load(&t->used), seen.n);
	for (unsigned i = 0; i < PORTS; i++)
		seen.n -= table_n_of(t, i);
	assert_int_equal(seen.n, 0);
	ops->destroy(l);
}

/* One address, seen at two ports in turn by each of two workers. */
struct restless {
	struct table *t;
	uint64_t key;
	_Atomic uint64_t turns;
	_Atomic bool end;
};

static void *here_and_there(void *arg)
{
	struct restless *r = arg;

	while (!atomic_load_explicit(&r->end, memory_order_relaxed)) {
		table_learn(r->t, r->key, 1 + atomic_load(&r->turns) % 2, 1000,
			    0, NULL);
		atomic_fetch_add(&r->turns, 1);
	}
	return NULL;
}

/* Its entry moves meanwhile, as windows do: ports' counts are exact. */
static void counts_are_those_of_the_copy_that_stays(void **state)
{
	struct learn *l = made(16384, 0);
	struct table *t = atomic_load(&l->table);
	struct restless r[2] = { { .t = t }, { .t = t } };
	pthread_t worker[2];

	for (unsigned k = 0; k < 2; k++) {
		put_mac((uint8_t *)&r[k].key, 1);
		assert_int_equal(pthread_create(&worker[k], NULL,
						here_and_there, &r[k]),
				 0);
	}
	for (unsigned i = 0; i < RESTLESS_ROUNDS; i++) {
		uint64_t turn[2];

		assert_true(table_set_window(t, i % 2 ? 8192 : 16));
		for (unsigned k = 0; k < 2; k++)
			turn[k] = atomic_load(&r[k].turns);
		for (unsigned k = 0; k < 2; k++)
			while (atomic_load(&r[k].turns) < turn[k] + 2)
				sched_yield(); /* its quiet point */
		while (t->settling)
			table_settle(t, 8192);
	}
	for (unsigned k = 0; k < 2; k++) {
		atomic_store(&r[k].end, true);
		pthread_join(worker[k], NULL);
	}
	assert_int_equal(table_n_of(t, 1) + table_n_of(t, 2), 1);
	assert_in_range(table_n_of(t, 1), 0, 1);
	assert_int_equal(atomic_load(&t->used), 1);
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_and_control_agree),
		cmocka_unit_test(settings_change_under_traffic),
		cmocka_unit_test(the_window_changes_under_traffic),
		cmocka_unit_test(counts_are_those_of_the_copy_that_stays),
	};

	return cmocka_run_group_tests_name("learn_race", tests, NULL, NULL);
}
