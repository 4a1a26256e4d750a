// SPDX-License-Identifier: BSD-2-Clause
// test_nf_balance.c - which instance gets what: shares, weights, queues, flows.
#include "unit.h"

#include "nf_rig.h"

enum { MOST = 16 };

static void candidates(struct balance_candidate *c, unsigned n, unsigned weight)
{
	for (unsigned i = 0; i < n; i++)
		c[i] = (struct balance_candidate){ (uint16_t)(7 * i + 3),
						   (uint16_t)weight };
}

/* Another candidate takes its share and nothing else moves. */
static void moves_only_its_share(void **state)
{
	struct balance_candidate c[MOST];
	uint16_t before[BALANCE_BUCKETS], after[BALANCE_BUCKETS];

	candidates(c, MOST, 1);
	for (unsigned n = 1; n < MOST; n++) {
		unsigned moved = 0, fair = BALANCE_BUCKETS / (n + 1);

		balance_map(c, n, before);
		balance_map(c, n + 1, after);
		for (unsigned i = 0; i < BALANCE_BUCKETS; i++) {
			if (before[i] == after[i])
				continue;
			assert_int_equal(after[i], c[n].id);
			moved++;
		}
		print_message("# %u of %u buckets moved to candidate %u\n",
			      moved, fair, n + 1);
		assert_in_range(moved, fair * 4 / 5, fair * 6 / 5);
	}
}

/* The order in which they are named does not matter. */
static void same_for_all_senders(void **state)
{
	struct balance_candidate c[4], r[4];
	uint16_t a[BALANCE_BUCKETS], b[BALANCE_BUCKETS];

	candidates(c, 4, 2);
	for (unsigned i = 0; i < 4; i++)
		r[i] = c[3 - i];
	balance_map(c, 4, a);
	balance_map(r, 4, b);
	assert_memory_equal(a, b, sizeof(a));
}

static void shares_by_weight(void **state)
{
	struct balance_candidate c[3];
	unsigned n[3] = { 0 };
	uint16_t map[BALANCE_BUCKETS];

	candidates(c, 3, 1);
	c[1].weight = 2;
	c[2].weight = 5;
	balance_map(c, 3, map);
	for (unsigned i = 0; i < BALANCE_BUCKETS; i++)
		n[(map[i] - 3) / 7]++;
	assert_in_range(n[0], 512 * 8 / 10, 512 * 12 / 10);
	assert_in_range(n[1], 1024 * 8 / 10, 1024 * 12 / 10);
	assert_in_range(n[2], 2560 * 9 / 10, 2560 * 11 / 10);
}

static void sequence_is_even(void **state)
{
	struct balance_candidate c[2];
	const uint16_t want[] = { 1, 0, 1, 1 };
	uint16_t sequence[4];

	candidates(c, 2, 1);
	c[1].weight = 3;
	assert_int_equal(balance_sequence(c, 2, sequence), 4);
	assert_memory_equal(sequence, want, sizeof(want));
}

static struct glen_nf *work[4];

/* source -> n instances of "work" -> sink; weights 1, 2, ... if weighted. */
static void make(enum glen_nf_balance balance, unsigned n, bool weighted)
{
	static const char *const services[] = { "work", "sink" };

	rig_create(NULL);
	rig_add(&source, NULL);
	for (unsigned i = 0; i < n; i++) {
		struct glen_nf_instance c = { .service = "work" };

		c.weight = weighted ? i + 1 : 1;
		work[i] = rig_add_as(&pass, &c);
	}
	rig_add(&sink, NULL);
	rig_chain("c", services, 2);
	assert_int_equal(glen_nf_group_balance(rig.group, "work", balance,
					       NULL),
			 0);
}

static uint64_t got(unsigned i)
{
	return work[i]->runners[0]->t->stats.in;
}

static void round_robin(void **state)
{
	make(GLEN_NF_BALANCE_ROUND_ROBIN, 3, true);
	rig.flows = RIG_FLOWS;
	rig.limit = 6 * 1000;
	rig_settle();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(got(i), 1000 * (i + 1));
	rig.reordered = 0; /* that is what it does */
	rig_check();
	rig_destroy();
}

static void flows_stay(void **state)
{
	make(GLEN_NF_BALANCE_FLOW, 4, false);
	rig.flows = RIG_FLOWS;
	rig.limit = RIG_FLOWS * 20;
	rig_settle();
	assert_int_equal(rig.got, RIG_FLOWS * 20);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(got(i) % 20, 0);
		assert_in_range(got(i), 50 * 20, 220 * 20);
	}
	rig_check();
	rig_destroy();
}

/* Instance 0 does not run: its queue gets no longer than the others'. */
static void least_queue(void **state)
{
	struct nf_runner *stuck;

	make(GLEN_NF_BALANCE_LEAST_QUEUE, 2, false);
	stuck = work[0]->runners[0];
	rig.limit = 100;
	stuck->bt.state = THREAD_STOPPED;
	rig_settle();
	stuck->bt.state = THREAD_LIVE;
	/* A batch of 64: half each; of 36, to the shorter queue until even. */
	assert_int_equal(
		pipe_queued(rig.group->runners->bt.pipes->window) +
			pipe_queued(rig.group->runners->bt.pipes->next->window),
		got(0) + 100 - got(1) - got(0));
	assert_int_equal(got(0), 0);
	assert_true(got(1) >= 50);
	rig_settle();
	assert_int_equal(rig.got, 100);
	rig.reordered = 0;
	rig_check();
	rig_destroy();
}

/* Flows that are known stay even if their instance is the slow one. */
static void least_queue_by_flow(void **state)
{
	uint64_t first[2];
	struct nf_runner *stuck;

	make(GLEN_NF_BALANCE_LEAST_QUEUE_FLOW, 2, false);
	rig.flows = 64;
	rig.limit = 64;
	rig_settle();
	first[0] = got(0);
	first[1] = got(1);
	assert_int_equal(first[0], 32);
	assert_int_equal(first[1], 32);
	stuck = work[0]->runners[0];
	stuck->bt.state = THREAD_STOPPED;
	rig.limit = 128;
	rig_settle();
	assert_int_equal(got(0), 32);
	assert_int_equal(got(1), 64);
	stuck->bt.state = THREAD_LIVE;
	rig_settle();
	assert_int_equal(got(0), 64);
	assert_int_equal(rig.got, 128);
	rig_check();
	rig_destroy();
}

/* After 30 seconds without a packet a flow is a new one. */
static void sticky_flows_end(void **state)
{
	struct balance_memory *m =
		calloc(1, sizeof(*m) + BALANCE_FLOWS * sizeof(m->flow[0]));
	struct pipe_out out[2] = { { .mask = 63 }, { .mask = 63 } };
	struct pipe_out *outs[] = { &out[0], &out[1] };
	struct balance_candidate c[2] = { { 4, 1 }, { 9, 1 } };
	struct nf_target t = { 0 };
	struct route_some s = { .kind = GLEN_NF_BALANCE_LEAST_QUEUE_FLOW,
				.candidates = c,
				.outs = outs,
				.n = 2,
				.memory = m };

	assert_int_equal(route_some(&t, &s), 0);
	out[0].head = 10;
	assert_ptr_equal(balance_choose(t.balance, 5, 100), &out[1]);
	out[1].head = 20;
	assert_ptr_equal(balance_choose(t.balance, 5, 127), &out[1]);
	assert_ptr_equal(balance_choose(t.balance, 6, 127), &out[0]);
	assert_ptr_equal(balance_choose(t.balance, 5, 127 + 29), &out[0]);
	free(t.balance);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_only_its_share),
		cmocka_unit_test(same_for_all_senders),
		cmocka_unit_test(shares_by_weight),
		cmocka_unit_test(sequence_is_even),
		cmocka_unit_test(round_robin),
		cmocka_unit_test(flows_stay),
		cmocka_unit_test(least_queue),
		cmocka_unit_test(least_queue_by_flow),
		cmocka_unit_test(sticky_flows_end),
	};

	return cmocka_run_group_tests_name("nf_balance", tests, NULL, NULL);
}
