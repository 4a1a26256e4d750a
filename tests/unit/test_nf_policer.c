// SPDX-License-Identifier: BSD-2-Clause
// test_nf_policer.c - rates, bursts, waiting packets, one by one in time.
#include "unit.h"

#include <sys/random.h>

#include "firewall_packet.h"
#include "nf/policer/bucket.h"
#include "nf/policer/policer.h"
#include "nf/policer/queue.h"
#include "nf_rig.h"

enum { QUEUE = 64, MS = 1000000 };

static struct fp queue[QUEUE];
static unsigned n_queue, n_got;
static int chain;
static unsigned got[1024]; /* source ports */
static struct glen_nf *policer;

static int feed_start(struct glen_nf *nf, const struct glen_nf_args *args,
		      struct glen_error *error)
{
	chain = glen_nf_chain(nf, "c");
	return chain < 0 ? chain : 0;
}

static bool feed_turn(struct glen_nf_thread *t)
{
	struct glen_nf_packet p[QUEUE];
	unsigned n = n_queue;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(glen_nf_alloc(t, queue[i].len, &p[i]), 0);
		memcpy(p[i].data, queue[i].data, queue[i].len);
		p[i].verdict = glen_nf_to_chain((unsigned)chain);
	}
	assert_int_equal(glen_nf_send(t, p, n), n);
	n_queue = 0;
	return n > 0;
}

static const struct glen_nf_program feed = {
	.size = sizeof(feed),
	.name = "feed",
	.start = feed_start,
	.packet = source_packet,
	.turn = feed_turn,
};

static uint32_t catch_packet(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	got[n_got++ % 1024] = (unsigned)p->data[34] << 8 | p->data[35];
	return glen_nf_drop(0);
}

static const struct glen_nf_program catcher = {
	.size = sizeof(catcher),
	.name = "catcher",
	.reasons = sink_reasons,
	.packet = catch_packet,
};

/* 1000 bytes per second, bursts of 10 packets of 42 bytes. */
static void begin(const char *a, const char *b)
{
	static const struct glen_nf_group_config config = { .bufs = 16384,
							    .pipe_slots = 128 };
	static const char *const services[] = { "policer", "catcher" };
	const char *args[] = { "rate=8k", "burst=420", a, a ? b : NULL, NULL };
	struct glen_nf_instance c = { .args = args };

	n_queue = n_got = 0;
	rig_create(&config);
	rig_add(&feed, NULL);
	policer = rig_add_as(&policer_nf, &c);
	rig_add(&catcher, NULL);
	rig_chain("c", services, 2);
	rig_settle();
}

static void end(void)
{
	rig_check();
	rig_destroy();
}

static const struct nf_stats *stats(void)
{
	return &policer->runners[0]->t->stats;
}

/* n packets of a flow come. */
static void put(unsigned server, unsigned n)
{
	struct fp f = { .protocol = 17, .port = { 7, server } };

	fp_make(&f);
	for (unsigned i = 0; i < n; i++)
		queue[n_queue++] = f;
}

/* The packets' numbers, from first on, in a field that no flow looks at. */
static void put_numbered(unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct fp f = { .protocol = 99 };

		fp_make(&f);
		fp_put16(f.data + 34, first + i);
		queue[n_queue++] = f;
	}
}

/* All threads have their turns at this time. Returns how many came out. */
static unsigned at_ms(unsigned ms)
{
	unsigned before = n_got;
	bool again;

	for (unsigned i = 0; i < 4; i++)
		for (struct nf_runner *r = rig.group->runners; r; r = r->next) {
			rig.group->scratch.now_ns = (uint64_t)(1000 + ms) * MS;
			nf_turn(r->t, &rig.group->scratch, &again);
		}
	return n_got - before;
}

static void above_the_rate_is_dropped(void **state)
{
	begin(NULL, NULL);
	put(1, 15);
	assert_int_equal(at_ms(0), 10);
	assert_int_equal(stats()->reasons[PL_R_RATE], 5);
	put(1, 1);
	assert_int_equal(at_ms(41), 0);
	put(1, 2);
	assert_int_equal(at_ms(42), 1);
	put(2, 20); /* another flow, the same bucket */
	assert_int_equal(at_ms(5000), 10);
	assert_int_equal(stats()->counters[PL_C_PASSED], 21);
	end();
}

static void flows_have_their_own(void **state)
{
	begin("per-flow", "flows=4");
	put(1, 15);
	put(2, 15);
	put_numbered(0, 15); /* these are a flow, too */
	assert_int_equal(at_ms(0), 30);
	for (unsigned i = 3; i < 20; i++)
		put(i, 1);
	at_ms(1);
	/* One bucket has eight places, of which three are taken. */
	assert_int_equal(stats()->reasons[PL_R_TABLE_FULL], 17 - 5);
	end();
}

static void above_the_rate_waits(void **state)
{
	begin("shape", "queue=4");
	put_numbered(0, 15); /* of 42 bytes */
	assert_int_equal(at_ms(0), 10);
	assert_int_equal(stats()->reasons[PL_R_QUEUE_FULL], 1);
	assert_int_equal(at_ms(41), 0);
	assert_int_equal(at_ms(42), 1);
	assert_int_equal(at_ms(83), 0);
	assert_int_equal(at_ms(84), 1);
	/* Two wait, could go by now, and one comes that would pass. */
	put_numbered(14, 1);
	assert_int_equal(at_ms(2000), 3);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(got[i], i);
	assert_int_equal(stats()->counters[PL_C_DELAYED], 4);
	end();
}

static void nobody_waits_too_long(void **state)
{
	begin("shape", "delay=50");
	put(1, 15);
	assert_int_equal(at_ms(0), 10);
	assert_int_equal(stats()->reasons[PL_R_TOO_LATE], 4);
	assert_int_equal(at_ms(42), 1);
	end();
}

static void waiting_packets_end_with_it(void **state)
{
	begin("shape", NULL);
	put(1, 20);
	assert_int_equal(at_ms(0), 10);
	glen_nf_remove(policer, false);
	end();
}

static void options_are_checked(void **state)
{
	static const char *const bad[][2] = {
		{ "burst=1", "rate=BITS is needed" },
		{ "rate=0", "rate: '0' is no number from 1 to" },
		{ "rate=1T", "rate: '1T' is no number" },
		{ "rate=10000G", "rate: '10000G' is no number" },
		{ "rate=1kk", "rate: '1kk' is no number" },
		{ "rate=-1", "rate: '-1' is no number" },
	};

	begin(NULL, NULL);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *args[] = { bad[i][0], NULL };
		struct glen_nf_instance c = { .args = args };
		struct glen_error error = { 0 };

		assert_int_equal(glen_nf_add(rig.group, NULL, &policer_nf, &c,
					     &error),
				 -EINVAL);
		if (!strstr(error.text, bad[i][1]))
			fail_msg("%s", error.text);
	}
	end();
}

static void times_are_exact(void **state)
{
	struct pl_rate r;
	uint64_t next;

	pl_rate_init(&r, 1000000000000ULL, 1250);
	assert_in_range(pl_time_of(&r, 1250000), (10000 << PL_TIME) - 100,
			10000 << PL_TIME);
	assert_int_equal(pl_wait(&r, 0, 1000, 1250, &next), 0);
	pl_rate_init(&r, 1, 1 << 30);
	assert_true(r.burst == PL_LONG);
	assert_int_equal(pl_time_of(&r, 1), 8000000000ULL << PL_TIME);
	pl_rate_init(&r, 8000, 100);
	/* Longer than the burst: it waits even if nothing came before. */
	assert_int_equal(pl_wait(&r, 0, 0, 101, &next) >> PL_TIME, 1 * MS);
}

static void the_first_is_on_top(void **state)
{
	struct glen_nf_packet p = { 0 };
	struct pl_waiting last;
	struct pl_queue q;
	uint64_t seed;

	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	print_message("# seed %#llx\n", (unsigned long long)seed);
	assert_int_equal(pl_queue_init(&q, 1000), 0);
	for (unsigned i = 0; i < 1000; i++) {
		seed = seed * 6364136223846793005ULL + 1;
		pl_queue_put(&q, &p, seed >> 56);
	}
	for (last = q.heap[0]; q.n; pl_queue_pop(&q)) {
		const struct pl_waiting *top = &q.heap[0];

		assert_true(top->at > last.at ||
			    (top->at == last.at && top->number >= last.number));
		last = *top;
	}
	pl_queue_fini(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_the_rate_is_dropped),
		cmocka_unit_test(flows_have_their_own),
		cmocka_unit_test(above_the_rate_waits),
		cmocka_unit_test(nobody_waits_too_long),
		cmocka_unit_test(waiting_packets_end_with_it),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(times_are_exact),
		cmocka_unit_test(the_first_is_on_top),
	};

	return cmocka_run_group_tests_name("nf_policer", tests, NULL, NULL);
}
