// SPDX-License-Identifier: BSD-2-Clause
// test_learn_race.c - workers learn while control turns the table over.
/*
 * Every address belongs to one port for good, so a verdict is either a flood
 * or that port; anything else means that a value was taken for another
 * address's. The table is small: entries are replaced and moved between their
 * buckets all the time. Build with ThreadSanitizer for the other half of the
 * test.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "fake_env.h"
#include "module/learn/learn.h"

enum {
	WORKERS = 2,
	PORTS = 4,
	ADDRESSES = 4096,
	ROUNDS = 96, /* of control */
};

struct worker_arg {
	struct learn *learn;
	unsigned index;
	unsigned long known, flooded, wrong;
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
	mac[0] = 2;
	mac[1] = 0;
	for (unsigned i = 0; i < 4; i++)
		mac[2 + i] = n >> (24 - 8 * i);
}

static void one_batch(struct worker_arg *arg, struct batch *b)
{
	struct glen_lookup ctx = {
		.src = next_random(&arg->seed) % PORTS,
		.worker = arg->index,
		.now_s = atomic_load(&now_s),
	};
	uint32_t dst[BATCH_MAX];

	b->n = 1 + next_random(&arg->seed) % BATCH_MAX;
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t src = next_random(&arg->seed) % ADDRESSES;

		dst[i] = next_random(&arg->seed) % ADDRESSES;
		memset(b->hdr[i], 0, HDR_MIN);
		put_mac(b->hdr[i], dst[i]);
		put_mac(b->hdr[i] + 6, src / PORTS * PORTS + ctx.src);
	}
	module_learn.lookup[isa_now()](arg->learn, &ctx, batch_view(b));
	for (unsigned i = 0; i < b->n; i++) {
		if (b->verdict[i] == (VERDICT_FLOOD | FLOOD_ALL))
			arg->flooded++;
		else if (b->verdict[i] ==
			 (VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT |
			  dst[i] % PORTS))
			arg->known++;
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
	uint32_t n = next_random(seed) % ADDRESSES;
	char name[3] = { 'p', '0' + n % PORTS, 0 }, mac[18];
	json_t *options;

	snprintf(mac, sizeof(mac), "02:00:00:00:%02x:%02x", n >> 8, n & 255);
	atomic_fetch_add(&now_s, 1);
	ops->tick(l, atomic_load(&now_s));
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
	json_t *options = json_pack("{s:i, s:i}", "entries", 2048, "ageing_s",
				    2);
	struct glen_module_port *port = calloc(1, sizeof(*port));
	struct worker_arg args[WORKERS] = { 0 };
	pthread_t threads[WORKERS];
	struct seen seen = { 0 };
	uint64_t seed = 4711;
	void *l;

	assert_int_equal(ops->create(fake_env(WORKERS), options, &l, NULL), 0);
	json_decref(options);
	for (unsigned i = 0; i < WORKERS; i++) {
		args[i] = (struct worker_arg){ .learn = l,
					       .index = i,
					       .seed = 88172645463325252 + i };
		assert_int_equal(pthread_create(&threads[i], NULL, worker,
						&args[i]),
				 0);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = atomic_load(&n_batches);

		control(l, i, port, &seed);
		while (atomic_load(&n_batches) < before + 2)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(args[i].wrong, 0);
		assert_true(args[i].known > 0);
		assert_true(args[i].flooded > 0);
	}
	table_each(atomic_load(&((struct learn *)l)->table), 0, 0, see, &seen);
	assert_int_equal(
		atomic_load(&atomic_load(&((struct learn *)l)->table)->used),
		seen.n);
	ops->destroy(l);
	free(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_and_control_agree),
	};

	return cmocka_run_group_tests_name("learn_race", tests, NULL, NULL);
}
