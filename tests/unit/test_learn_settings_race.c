// SPDX-License-Identifier: BSD-2-Clause
// test_learn_settings_race.c - settings of ports change under traffic.
/*
 * As in test_learn_race.c every address belongs to one port, so a packet is
 * flooded, goes to that port or is dropped for a reason that settings give.
 * One port is in VLANs and changes its mode, one is another one's mirror now
 * and then, so the switch becomes aware of VLANs and forgets about them.
 * Afterwards the table's counts by port must add up to what is in it. Build
 * with ThreadSanitizer for the other half of the test.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "fake_env.h"
#include "module/learn/learn.h"

enum { WORKERS = 2, PORTS = 4, ADDRESSES = 512, ROUNDS = 400 };

struct worker_arg {
	struct learn *learn;
	unsigned index;
	unsigned long passed, dropped, wrong;
	uint64_t seed;
};

static const struct glen_module *const ops = &module_learn.ops;
static atomic_bool stop;
static _Atomic uint32_t now_s = 1000;
static _Atomic uint64_t n_batches;

static uint32_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 11;
}

static void put_mac(uint8_t *mac, uint32_t n)
{
	static const uint8_t head[4] = { 2, 0, 0, 0 };

	memcpy(mac, head, sizeof(head));
	mac[4] = n >> 8;
	mac[5] = n;
}

static bool is_expected(uint32_t reason)
{
	return reason == LEARN_POLICED || reason == LEARN_STORM ||
	       reason == LEARN_MAC_LIMIT || reason == LEARN_MAC_STATIC ||
	       reason == LEARN_GUARD_MAC || reason == LEARN_VLAN_UNTAGGED ||
	       reason == LEARN_VLAN_DEST || reason == LEARN_MIRROR_PORT;
}

static void one_batch(struct worker_arg *arg, struct batch *b)
{
	struct glen_lookup ctx = {
		.src = next_random(&arg->seed) % PORTS,
		.worker = arg->index,
		.now_s = atomic_load(&now_s),
	};
	uint32_t dst[BATCH_MAX];

	ctx.now_ns = ctx.now_s * 1000000000ULL;
	batch_init(b);
	b->n = 1 + next_random(&arg->seed) % BATCH_MAX;
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t src = next_random(&arg->seed) % ADDRESSES;

		dst[i] = next_random(&arg->seed) % ADDRESSES;
		memset(b->hdr[i], 0, HDR_MIN);
		put_mac(b->hdr[i], dst[i]);
		put_mac(b->hdr[i] + 6, src / PORTS * PORTS + ctx.src);
		b->hdr_len[i] = b->len[i] = 60;
	}
	module_learn.lookup[isa_now()](arg->learn, &ctx, batch_view(b));
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t v = b->verdict[i], low = v & 0xffff;

		if ((v & GLEN_VERDICT_KIND) == VERDICT_FLOOD ||
		    v == (VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT |
			  dst[i] % PORTS))
			arg->passed++;
		else if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_DROP &&
			 is_expected(low))
			arg->dropped++;
		else
			arg->wrong++;
	}
}

static void *worker(void *p)
{
	struct worker_arg *arg = p;
	struct batch *b = aligned_alloc(64, sizeof(*b));

	batch_init(b);
	urcu_qsbr_register_thread();
	while (!atomic_load(&stop)) {
		one_batch(arg, b);
		atomic_fetch_add(&n_batches, 1);
		rcu_quiet();
	}
	urcu_qsbr_unregister_thread();
	free(b);
	return NULL;
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

static void control(struct learn *l, struct glen_module_port *port,
		    uint64_t *seed)
{
	unsigned what = next_random(seed) % (SETTINGS + 6);
	json_t *s = NULL;

	glen_module_port_get(fake_env(WORKERS), next_random(seed) % PORTS,
			     port);
	port->isolated = false;
	atomic_fetch_add(&now_s, what == 0);
	ops->tick(l, atomic_load(&now_s));
	if (ops->changed(l))
		json_decref(ops->port_settings(l, port));
	if (what == SETTINGS + 1) {
		ops->port_del(l, port);
		return;
	}
	/* Not to itself. */
	if (what < SETTINGS && (what != SETTINGS - 1 || port->index != 1))
		s = json_loads(settings[what], 0, NULL);
	assert_int_equal(ops->port_set(fake_env(WORKERS), l, port, s, NULL), 0);
	json_decref(s);
}

static bool count_entry(void *arg, const struct table_entry *e)
{
	((unsigned *)arg)[e->port]++;
	return true;
}

static void settings_change_under_traffic(void **state)
{
	struct worker_arg args[WORKERS];
	pthread_t threads[WORKERS];
	unsigned long passed = 0, dropped = 0;
	unsigned n[PORTS] = { 0 }, all = 0;
	struct glen_module_port *port = calloc(1, sizeof(*port));
	uint64_t seed = 0x123456789abcdef;
	json_t *params = json_pack("{s:i, s:i}", "entries", 256, "ageing_s", 3);
	void *instance = NULL;
	struct learn *l;

	assert_int_equal(ops->create(fake_env(WORKERS), params, &instance,
				     NULL),
			 0);
	json_decref(params);
	l = instance;
	for (unsigned i = 0; i < WORKERS; i++) {
		args[i] = (struct worker_arg){ l, i, .seed = i + 77 };
		pthread_create(&threads[i], NULL, worker, &args[i]);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = atomic_load(&n_batches);

		control(l, port, &seed);
		while (atomic_load(&n_batches) < before + 4)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(args[i].wrong, 0);
		passed += args[i].passed;
		dropped += args[i].dropped;
	}
	print_message("%lu passed, %lu dropped\n", passed, dropped);
	assert_true(passed && dropped);
	table_each(atomic_load(&l->table), 0, 0, count_entry, n);
	for (unsigned i = 0; i < PORTS; i++) {
		assert_int_equal(table_n_of(atomic_load(&l->table), i), n[i]);
		all += n[i];
	}
	assert_int_equal(atomic_load(&atomic_load(&l->table)->used), all);
	ops->destroy(l);
	free(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_change_under_traffic),
	};

	return cmocka_run_group_tests_name("learn_settings_race", tests, NULL,
					   NULL);
}
