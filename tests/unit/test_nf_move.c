// SPDX-License-Identifier: BSD-2-Clause
// test_nf_move.c - instances come and go under load: no loss, no reordering.
#include "unit.h"

#include <sched.h>
#include <unistd.h>

#include "nf_rig.h"

enum { INSTANCES = 4, CHANGES = 30 };

static struct glen_nf *work[INSTANCES];
static uint32_t seed = 12345;

static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void make(enum glen_nf_balance balance)
{
	static const char *const services[] = { "work", "next", "sink" };

	memset(work, 0, sizeof(work));
	rig_create(NULL);
	rig.flows = RIG_FLOWS;
	rig_add(&source, NULL);
	work[0] = rig_add(&pass, "work");
	rig_add(&pass, "next");
	rig_add(&pass, "next");
	rig_add(&sink, NULL);
	rig_chain("c", services, 3);
	assert_int_equal(glen_nf_group_balance(rig.group, "work", balance,
					       NULL),
			 0);
}

/* Adds an instance where there is none, or removes it if it is not the last. */
static void change(void)
{
	unsigned i = draw(INSTANCES), n = 0;
	struct glen_nf_instance c = { .service = "work" };

	for (unsigned k = 0; k < INSTANCES; k++)
		n += work[k] != NULL;
	if (work[i] && n > 1) {
		glen_nf_remove(work[i], true);
		work[i] = NULL;
	} else if (!work[i]) {
		c.threads = 1 + draw(2);
		c.weight = 1 + draw(3);
		work[i] = rig_add_as(&pass, &c);
	}
}

static void all_arrived(void)
{
	assert_int_equal(rig.group->broker.removed, 0);
	assert_int_equal(rig.got, rig.made);
	for (unsigned i = 0; i < RIG_FLOWS; i++)
		assert_int_equal(rig.seen[i], rig.next[i]);
	rig_check();
}

static void polled(enum glen_nf_balance balance)
{
	make(balance);
	rig.limit = UINT64_MAX;
	for (unsigned i = 0; i < CHANGES; i++) {
		change();
		for (unsigned k = draw(60); k; k--)
			glen_nf_group_poll(rig.group);
	}
	rig.limit = 0;
	rig_settle();
	print_message("# %llu packets\n", (unsigned long long)rig.got);
	assert_true(rig.got > 10000);
	all_arrived();
	rig_destroy();
}

static void polled_by_flow(void **state)
{
	polled(GLEN_NF_BALANCE_FLOW);
}

static void polled_sticky(void **state)
{
	polled(GLEN_NF_BALANCE_LEAST_QUEUE_FLOW);
}

static void wait_for(uint64_t n)
{
	while (rig.got < n)
		sched_yield();
}

static void threads(enum glen_nf_balance balance)
{
	struct glen_error error = { 0 };

	make(balance);
	if (glen_nf_group_start(rig.group, NULL, &error))
		fail_msg("%s", error.text);
	rig.limit = UINT64_MAX;
	for (unsigned i = 0; i < CHANGES; i++) {
		change();
		wait_for(rig.got + 500);
	}
	rig.limit = 0;
	/* The source may be in the middle of a turn; it ends with it. */
	for (uint64_t made = ~0ULL; made != rig.made || rig.got != made;
	     usleep(1000))
		made = rig.made;
	while (atomic_load(&rig.group->pending))
		usleep(1000);
	group_halt(rig.group);
	print_message("# %llu packets\n", (unsigned long long)rig.got);
	all_arrived();
	rig_destroy();
}

static void threads_by_flow(void **state)
{
	threads(GLEN_NF_BALANCE_FLOW);
}

static void threads_sticky(void **state)
{
	threads(GLEN_NF_BALANCE_LEAST_QUEUE_FLOW);
}

/* Without drain what was queued is lost, and counted. */
static void removed_without_drain(void **state)
{
	uint64_t queued;

	make(GLEN_NF_BALANCE_FLOW);
	work[0]->runners[0]->bt.state = THREAD_STOPPED; /* a stuck one */
	rig.limit = 1000;
	rig_settle();
	work[0]->runners[0]->bt.state = THREAD_LIVE;
	queued = pipe_queued(rig.group->runners->bt.pipes->window);
	assert_int_equal(queued, 128);
	rig.limit = 0;
	glen_nf_remove(work[0], false);
	rig_settle();
	assert_int_equal(rig.group->broker.removed + rig.got, 128);
	rig_check();
	rig.limit = 1000;
	rig_settle();
	assert_int_equal(
		rig.group->runners->t->stats.drops[NF_DROP_NO_INSTANCE],
		1000 - 128);
	rig_check();
	rig_destroy();
}

/* What an NF keeps when it is removed goes with it; buffers do not. */
static uint32_t keep_all(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	struct glen_nf_packet mine;

	return glen_nf_keep(t, p, &mine) ? glen_nf_next() : GLEN_NF_KEPT;
}

static const struct glen_nf_program keeper = {
	.size = sizeof(keeper),
	.name = "work",
	.packet = keep_all,
};

static void removed_with_packets(void **state)
{
	struct glen_nf *nf;
	uint32_t n_pool;

	make(GLEN_NF_BALANCE_FLOW);
	n_pool = rig.group->broker.n_pool;
	nf = rig_add_as(&keeper, NULL);
	rig.limit = 2000;
	rig_settle();
	glen_nf_remove(nf, true);
	rig_settle();
	assert_int_equal(rig.group->broker.n_pool, n_pool);
	assert_true(rig.got < 2000);
	rig_check();
	rig_destroy();
}

static unsigned ended;

static void count_stop(struct glen_nf *nf)
{
	ended++;
}

static void count_thread_stop(struct glen_nf_thread *t)
{
	ended += 10;
}

static int no_start(struct glen_nf_thread *t, struct glen_error *error)
{
	error->code = -EBUSY;
	strcpy(error->text, "not today");
	return glen_nf_thread_index(t) == 2 ? -EBUSY : 0;
}

/* A thread that cannot start takes the whole instance back. */
static void failed_start(void **state)
{
	const struct glen_nf_program p = { .size = sizeof(p),
					   .name = "work",
					   .packet = pass_packet,
					   .thread_start = no_start,
					   .thread_stop = count_thread_stop,
					   .stop = count_stop };
	struct glen_nf_instance c = { .threads = 4 };
	struct glen_error error;

	for (unsigned started = 0; started < 2; started++) {
		make(GLEN_NF_BALANCE_FLOW);
		if (started)
			glen_nf_group_start(rig.group, NULL, NULL);
		ended = 0;
		assert_int_equal(glen_nf_add(rig.group, NULL, &p, &c, &error),
				 -EBUSY);
		assert_string_equal(error.text, "work.1: not today");
		assert_int_equal(ended, 21); /* two threads had begun */
		rig_destroy();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(polled_by_flow),
		cmocka_unit_test(polled_sticky),
		cmocka_unit_test(threads_by_flow),
		cmocka_unit_test(threads_sticky),
		cmocka_unit_test(removed_without_drain),
		cmocka_unit_test(removed_with_packets),
		cmocka_unit_test(failed_start),
	};

	return cmocka_run_group_tests_name("nf_move", tests, NULL, NULL);
}
