// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_race.c - workers look up while claims come and go.
/*
 * Each tuple is only ever claimed by one port, so a packet to it goes there or
 * to the default port; one from it is let through or dropped as spoofed.
 * Anything else means that a worker took a value for another key's. Build with
 * ThreadSanitizer for the other half of the test.
 */
#include "unit.h"

#include <pthread.h>

#include "tuple3_rig.h"

enum {
	WORKERS = 2,
	CLAIMANTS = 4, /* p2 to p5 */
	TUPLES = 2048,
	ROUNDS = 200, /* of control */
	AT_ONCE = 64, /* claims of a round */
};

struct worker_arg {
	void *t;
	unsigned index;
	unsigned long claimed, unclaimed, wrong;
	uint64_t seed;
};

static atomic_bool stop;
static _Atomic uint64_t n_batches;

/* What defer() was given; freed when the workers have passed a quiet point. */
struct later {
	struct later *next;
	void (*fn)(void *arg);
	void *arg;
};

static struct later *deferred;

static void race_defer(const struct glen_module_env *env, void (*fn)(void *arg),
		       void *arg)
{
	struct later *l = malloc(sizeof(*l));

	*l = (struct later){ deferred, fn, arg };
	deferred = l;
}

static void settle(void)
{
	rcu_wait();
	while (deferred) {
		struct later *l = deferred;

		deferred = l->next;
		l->fn(l->arg);
		free(l);
	}
}

static uint32_t draw(uint64_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % n;
}

static unsigned owner_of(unsigned i)
{
	return 2 + i % CLAIMANTS;
}

static void put_tuple_packet(struct batch *b, unsigned n, unsigned i)
{
	struct spec s = { i & 8 ? 4 : 6, REMOTE, 1 + (i & 3), T3_TCP, 5, i };
	unsigned ip_len = s.family == 6 ? 40 : 20;
	uint8_t *hdr = b->hdr[n];

	memset(hdr, 0, HDR_MAX);
	put16(hdr + 12, s.family == 6 ? TYPE_IPV6 : TYPE_IPV4);
	b->len[n] = b->hdr_len[n] = 14 + ip_len + 20;
	put_ports(put_ip(hdr + 14, &s, 20), &s, 20);
}

static void one_batch(struct worker_arg *arg, struct batch *b)
{
	struct glen_lookup ctx = { .src = UPLINK, .worker = arg->index };
	unsigned tuple[BATCH_MAX];

	b->n = 1 + draw(&arg->seed, BATCH_MAX);
	for (unsigned n = 0; n < b->n; n++) {
		tuple[n] = draw(&arg->seed, TUPLES);
		put_tuple_packet(b, n, tuple[n]);
	}
	module_tuple3.lookup[isa_now()](arg->t, &ctx, batch_view(b));
	for (unsigned n = 0; n < b->n; n++) {
		if (b->verdict[n] == to(HOST))
			arg->unclaimed++;
		else if (b->verdict[n] == to(owner_of(tuple[n])))
			arg->claimed++;
		else
			arg->wrong++;
	}
}

/* First fragments from everywhere, so that control meets them. */
static void fragment_batch(struct worker_arg *arg, struct batch *b)
{
	struct glen_lookup ctx = { .src = UPLINK, .worker = arg->index };

	b->n = 16;
	for (unsigned n = 0; n < b->n; n++) {
		put_tuple_packet(b, n, draw(&arg->seed, TUPLES) | 8);
		put16(b->hdr[n] + 18, draw(&arg->seed, 64));
		b->hdr[n][20] = 0x20;
		b->hdr[n][21] = n & 1;
		set_sum(b->hdr[n] + 14);
	}
	module_tuple3.lookup[isa_now()](arg->t, &ctx, batch_view(b));
}

static void *worker(void *p)
{
	struct worker_arg *arg = p;
	struct batch *b = aligned_alloc(64, sizeof(*b));

	memset(b, 0, sizeof(*b));
	batch_init(b);
	urcu_qsbr_register_thread();
	while (!atomic_load(&stop)) {
		one_batch(arg, b);
		fragment_batch(arg, b);
		atomic_fetch_add(&n_batches, 1);
		rcu_quiet();
	}
	urcu_qsbr_unregister_thread();
	free(b);
	return NULL;
}

static bool has[TUPLES];

static void control(void *t, unsigned round, uint64_t *seed)
{
	for (unsigned k = 0; k < AT_ONCE; k++) {
		unsigned i = 1 + draw(seed, TUPLES - 1);
		int err;

		err = (has[i] ? release : claim)(t, owner_of(i), i & 8 ? 4 : 6,
						 1 + (i & 3), T3_TCP, i);
		assert_int_equal(err, 0);
		has[i] = !has[i];
	}
	if (round % 16 == 15) {
		unsigned port = 2 + draw(seed, CLAIMANTS);

		port_goes(t, port);
		port_comes(t, port);
		for (unsigned i = 0; i < TUPLES; i++)
			has[i] &= owner_of(i) != port;
	}
	settle();
}

static void workers_and_control_agree(void **state)
{
	struct glen_module_host *host = (void *)rig_env()->host;
	struct worker_arg args[WORKERS] = { 0 };
	pthread_t threads[WORKERS];
	uint64_t seed = 4711;
	void *t = made();

	for (unsigned i = 0; i < WORKERS; i++) {
		args[i] = (struct worker_arg){ .t = t,
					       .index = i,
					       .seed = 88172645463325252 + i };
		assert_int_equal(pthread_create(&threads[i], NULL, worker,
						&args[i]),
				 0);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = atomic_load(&n_batches);

		host->defer = race_defer;
		control(t, i, &seed);
		while (atomic_load(&n_batches) < before + 2)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(args[i].wrong, 0);
		assert_true(args[i].claimed > 0);
		assert_true(args[i].unclaimed > 0);
	}
	ops->destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_and_control_agree),
	};

	return cmocka_run_group_tests_name("tuple3_race", tests, NULL, NULL);
}
