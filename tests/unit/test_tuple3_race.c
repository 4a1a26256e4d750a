// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_race.c - workers look up while claims come and go.
/*
 * Each tuple is only ever claimed by one port, so a packet to it goes there or
 * to the default port; one from it is let through or dropped as spoofed.
 * Anything else means that a worker took a value for another key's. See race.h.
 */
#include "unit.h"

#include "race.h"
#include "tuple3_rig.h"

enum {
	CLAIMANTS = 4, /* p2 to p5 */
	TUPLES = 2048,
	ROUNDS = 200, /* of control */
	AT_ONCE = 64, /* claims of a round */
};

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

static void one_batch(struct race_worker *w, struct batch *b)
{
	struct glen_lookup ctx = { .src = UPLINK, .worker = w->index };
	unsigned tuple[BATCH_MAX];

	b->n = 1 + race_draw(&w->seed, BATCH_MAX);
	for (unsigned n = 0; n < b->n; n++) {
		tuple[n] = race_draw(&w->seed, TUPLES);
		put_tuple_packet(b, n, tuple[n]);
	}
	module_tuple3.lookup[isa_now()](w->instance, &ctx, batch_view(b));
	for (unsigned n = 0; n < b->n; n++) {
		if (b->verdict[n] == to(HOST))
			w->elsewhere++;
		else if (b->verdict[n] == to(owner_of(tuple[n])))
			w->there++;
		else
			w->wrong++;
	}
}

/* First fragments from everywhere, so that control meets them. */
static void fragment_batch(struct race_worker *w, struct batch *b)
{
	struct glen_lookup ctx = { .src = UPLINK, .worker = w->index };

	b->n = 16;
	for (unsigned n = 0; n < b->n; n++) {
		put_tuple_packet(b, n, race_draw(&w->seed, TUPLES) | 8);
		put16(b->hdr[n] + 18, race_draw(&w->seed, 64));
		b->hdr[n][20] = 0x20;
		b->hdr[n][21] = n & 1;
		set_sum(b->hdr[n] + 14);
	}
	module_tuple3.lookup[isa_now()](w->instance, &ctx, batch_view(b));
}

static void batches(struct race_worker *w, struct batch *b)
{
	one_batch(w, b);
	fragment_batch(w, b);
}

static bool has[TUPLES];

static void control(void *t, unsigned round, uint64_t *seed)
{
	for (unsigned k = 0; k < AT_ONCE; k++) {
		unsigned i = 1 + race_draw(seed, TUPLES - 1);
		int err;

		err = (has[i] ? release : claim)(t, owner_of(i), i & 8 ? 4 : 6,
						 1 + (i & 3), T3_TCP, i);
		assert_int_equal(err, 0);
		has[i] = !has[i];
	}
	if (round % 16 == 15) {
		unsigned port = 2 + race_draw(seed, CLAIMANTS);

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
	uint64_t seed = 4711;
	void *t = made();

	race_start(t, batches);
	for (unsigned i = 0; i < ROUNDS; i++) {
		host->defer = race_defer;
		control(t, i, &seed);
		race_wait(2);
	}
	race_end();
	ops->destroy(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_and_control_agree),
	};

	return cmocka_run_group_tests_name("tuple3_race", tests, NULL, NULL);
}
