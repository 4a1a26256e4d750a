// SPDX-License-Identifier: BSD-2-Clause
// test_nf_group.c - groups that are polled: verdicts, chains, pressure, loops.
#include "unit.h"

#include "nf_rig.h"

/* An NF whose verdict for each packet the test chooses. */
static uint32_t (*choose)(struct glen_nf_thread *t, struct glen_nf_packet *p);
static int number; /* of whatever the verdict needs */

static uint32_t choice_packet(struct glen_nf_thread *t,
			      struct glen_nf_packet *p)
{
	return choose(t, p);
}

static int choice_start(struct glen_nf *nf, const struct glen_nf_args *args,
			struct glen_error *error)
{
	const char *name = glen_nf_arg(args, "service", 0);

	number = 0;
	if (name)
		number = glen_nf_service(nf, name);
	name = glen_nf_arg(args, "chain", 0);
	if (name)
		number = glen_nf_chain(nf, name);
	name = glen_nf_arg(args, "port", 0);
	if (name)
		number = glen_nf_port(nf, name);
	return number < 0 ? number : 0;
}

static const char *const reasons[] = { "odd", "even", NULL };
static const struct glen_nf_option options[] = {
	{ "service", "NAME", "" },
	{ "chain", "NAME", "" },
	{ "port", "NAME", "" },
	{ NULL },
};
static const struct glen_nf_program choice = {
	.size = sizeof(choice),
	.name = "choice",
	.options = options,
	.reasons = reasons,
	.start = choice_start,
	.packet = choice_packet,
};

/* source -> choice -> sink, with an option for choice; its thread. */
static struct glen_nf_thread *make(uint32_t (*verdict)(struct glen_nf_thread *,
						       struct glen_nf_packet *),
				   const char *option)
{
	static const char *const services[] = { "choice", "sink" };
	const char *const args[] = { option, NULL };
	struct glen_nf_instance c = { .args = args };
	struct glen_nf *nf;

	choose = verdict;
	rig_create(NULL);
	rig_add(&source, NULL);
	nf = rig_add_as(&choice, &c);
	rig_add(&sink, NULL);
	rig_chain("c", services, 2);
	return nf->runners[0]->t;
}

static uint32_t next(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	return glen_nf_next();
}

static void verdict_next(void **state)
{
	make(next, NULL);
	rig.limit = 10000;
	rig_settle();
	assert_int_equal(rig.got, 10000);
	rig_check();
	rig_destroy();
}

static uint32_t odd_even(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	struct rig_packet r;

	memcpy(&r, p->data, sizeof(r));
	return r.number % 4 ? glen_nf_next() : glen_nf_drop(r.flow % 2);
}

static void verdict_drop(void **state)
{
	struct glen_nf_thread *t = make(odd_even, NULL);

	rig.limit = 64 * 400;
	rig_settle();
	assert_int_equal(rig.got, 64 * 300);
	assert_int_equal(t->stats.reasons[0], 3200);
	assert_int_equal(t->stats.reasons[1], 3200);
	rig_check();
	rig_destroy();
}

static uint32_t wild(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	static const uint32_t verdicts[] = { 77u << 24,
					     1u << 31,
					     GLEN_NF_DROP | 5000,
					     GLEN_NF_SERVICE | 5000,
					     GLEN_NF_CHAIN | 5000,
					     GLEN_NF_OUT | 5000 };
	struct rig_packet r;

	memcpy(&r, p->data, sizeof(r));
	return verdicts[r.flow % 6];
}

static void verdict_nonsense(void **state)
{
	struct glen_nf_thread *t = make(wild, NULL);

	rig.flows = 6;
	rig.limit = 600;
	rig_settle();
	assert_int_equal(rig.got, 100); /* without bit 31: NEXT */
	assert_int_equal(t->stats.drops[NF_DROP_BAD_VERDICT], 200);
	assert_int_equal(t->stats.drops[NF_DROP_NO_INSTANCE], 100);
	assert_int_equal(t->stats.drops[NF_DROP_NO_CHAIN], 100);
	assert_int_equal(t->stats.drops[NF_DROP_NO_EXIT], 100);
	rig_check();
	rig_destroy();
}

static uint32_t to_service(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	return glen_nf_to_service((unsigned)number);
}

/* A detour: what comes behind is what would have come anyway. */
static void verdict_service(void **state)
{
	struct glen_nf_thread *t = make(to_service, "service=detour");
	struct glen_nf *detour;

	rig.limit = 500;
	rig_settle();
	assert_int_equal(t->stats.drops[NF_DROP_NO_INSTANCE], 500);
	detour = rig_add(&pass, "detour");
	rig.limit = 1500;
	rig_settle();
	assert_int_equal(rig.got, 1000);
	assert_int_equal(detour->runners[0]->t->stats.out, 1000);
	rig_check();
	rig_destroy();
}

static uint32_t to_chain(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	return p->chain == number ? glen_nf_next() :
				    glen_nf_to_chain((unsigned)number);
}

static void verdict_chain(void **state)
{
	static const char *const services[] = { "other", "choice", "sink" };
	struct glen_nf_thread *t = make(to_chain, "chain=d");

	rig.limit = 500;
	rig_settle();
	assert_int_equal(t->stats.drops[NF_DROP_NO_CHAIN], 500);
	rig_add(&pass, "other");
	rig_chain("d", services, 3);
	rig.limit = 1500;
	rig_settle();
	assert_int_equal(rig.got, 1000);
	assert_int_equal(t->stats.in, 2500);
	rig_check();
	rig_destroy();
}

static struct glen_nf_packet mine[300];
static unsigned n_mine;

static uint32_t keep(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	if (!glen_nf_keep(t, p, &mine[n_mine])) {
		assert_int_equal(p->verdict, GLEN_NF_KEPT);
		assert_int_equal(glen_nf_keep(t, p, &mine[n_mine + 1]),
				 -EINVAL);
		n_mine++;
		return GLEN_NF_DROP; /* does not count: it is kept */
	}
	return glen_nf_next();
}

static void verdict_keep(void **state)
{
	struct glen_nf_thread *t = make(keep, NULL);

	n_mine = 0;
	rig.flows = RIG_FLOWS;
	rig.limit = RIG_FLOWS; /* so the order of flows does not matter */
	rig_settle();
	assert_int_equal(n_mine, 256); /* spare buffers of a thread */
	assert_int_equal(glen_nf_spare(t), 0);
	assert_int_equal(t->stats.kept, 256);
	assert_int_equal(rig.got, RIG_FLOWS - 256);
	rig_check();
	glen_nf_free(t, &mine[0]);
	assert_int_equal(glen_nf_spare(t), 1);
	assert_int_equal(glen_nf_send(t, mine + 1, 100), 100);
	assert_int_equal(glen_nf_send(t, mine + 101, 100), 28); /* full */
	rig_settle();
	assert_int_equal(glen_nf_send(t, mine + 129, 127), 127);
	rig_settle();
	assert_int_equal(rig.got, RIG_FLOWS - 1);
	assert_int_equal(glen_nf_spare(t), 256);
	rig_check();
	rig_destroy();
}

static uint32_t copy_first(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	struct glen_nf_packet copy;

	/* The copy goes first, the packet becomes something else. */
	if (glen_nf_clone(t, p, &copy))
		return glen_nf_drop(0);
	memset(p->data, 0xaa, p->len);
	if (!glen_nf_send(t, &copy, 1)) {
		glen_nf_free(t, &copy);
		return glen_nf_drop(0);
	}
	return glen_nf_drop(1);
}

static void verdict_clone(void **state)
{
	struct glen_nf_thread *t = make(copy_first, NULL);

	rig.limit = 100;
	rig_settle();
	assert_int_equal(rig.got, 100);
	assert_int_equal(t->stats.made, 100);
	assert_int_equal(t->stats.reasons[1], 100);
	rig_check();
	rig_destroy();
}

/* What was changed in place, and in length at both ends, arrives so. */
static uint32_t reshape(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	unsigned headroom = p->headroom, tailroom = p->tailroom;

	assert_false(glen_nf_push(p, headroom + 1));
	assert_true(glen_nf_push(p, 14));
	memset(p->data, 0x55, 14);
	assert_true(glen_nf_resize(p, p->len + 10));
	assert_int_equal(p->headroom, headroom - 14);
	assert_int_equal(p->tailroom, tailroom - 10);
	assert_false(glen_nf_resize(p, p->len + p->tailroom + 1));
	assert_false(glen_nf_pop(p, p->len + 1));
	return glen_nf_next();
}

static uint32_t undo(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	if (p->len != RIG_LEN + 24 || p->data[0] != 0x55 || p->data[13] != 0x55)
		rig.wrong++;
	glen_nf_pop(p, 14);
	glen_nf_resize(p, RIG_LEN);
	return glen_nf_next();
}

static const struct glen_nf_program undoer = {
	.size = sizeof(undoer),
	.name = "undo",
	.packet = undo,
};

static void head_and_tail_room(void **state)
{
	static const char *const services[] = { "choice", "undo", "sink" };

	make(reshape, NULL);
	rig_add(&undoer, NULL);
	rig_chain("c", services, 3);
	rig.limit = 1000;
	rig_settle();
	assert_int_equal(rig.got, 1000);
	rig_check();
	rig_destroy();
}

/* A view that reaches beyond its buffer is not passed on to anybody. */
static uint32_t spoil(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	struct rig_packet r;

	memcpy(&r, p->data, sizeof(r));
	if (r.number % 2)
		p->len = 60000;
	return glen_nf_next();
}

static void bad_views(void **state)
{
	static const char *const services[] = { "choice", "pass", "sink" };
	struct glen_nf *nf;

	make(spoil, NULL);
	nf = rig_add(&pass, NULL);
	rig_chain("c", services, 3);
	rig.limit = 64 * 10;
	rig_settle();
	assert_int_equal(rig.got, 320);
	assert_int_equal(nf->runners[0]->t->stats.drops[NF_DROP_BAD_SLOT], 320);
	rig_check();
	rig_destroy();
}

static void chains_of_one_to_ten(void **state)
{
	for (unsigned n = 1; n <= 10; n++) {
		const char *services[11];
		char name[10][8];

		rig_create(NULL);
		rig_add(&source, NULL);
		for (unsigned i = 0; i < n; i++) {
			snprintf(name[i], sizeof(name[i]), "nf%u", i);
			services[i] = name[i];
			rig_add(&pass, name[i]);
		}
		services[n] = "sink";
		rig_add(&sink, NULL);
		rig_chain("c", services, n + 1);
		rig.limit = 5000;
		rig_settle();
		assert_int_equal(rig.got, 5000);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(rig.seen[i], rig.next[i]);
		rig_check();
		rig_destroy();
	}
}

/* What does not get on stays at the source, and no NF sees a packet twice. */
static void back_pressure(void **state)
{
	static const char *const services[] = { "pass", "choice", "sink" };
	struct glen_nf_thread *t = make(next, NULL);
	struct glen_nf *nf = rig_add(&pass, NULL);
	struct nf_runner *r;
	uint64_t full;

	rig_chain("c", services, 3);
	/* The sink does not run: a stuck NF. */
	for (r = rig.group->runners; strcmp(r->bt.name, "sink.0"); r = r->next)
		;
	r->bt.state = THREAD_STOPPED;
	rig.limit = 10000;
	rig_settle();
	/* Three pipes of 128 are full, and no spare packet is out. */
	full = 3 * 128;
	assert_int_equal(rig.made, full);
	/* Each saw one batch more than it could pass on, a turn's of 64. */
	assert_int_equal(nf->runners[0]->t->stats.out, 2 * 128);
	assert_int_equal(nf->runners[0]->t->stats.in, 2 * 128 + 64);
	assert_int_equal(t->stats.out, 128);
	assert_int_equal(t->stats.in, 128 + 64);
	assert_int_equal(rig_decided(t), 64);
	rig_check();
	r->bt.state = THREAD_LIVE;
	rig_settle();
	assert_int_equal(rig.got, 10000);
	assert_int_equal(t->stats.in, 10000);
	assert_int_equal(nf->runners[0]->t->stats.in, 10000);
	rig_check();
	rig_destroy();
}

/* choice sends everything back to where it came from, and has no end. */
static uint32_t again(struct glen_nf_thread *t, struct glen_nf_packet *p)
{
	return glen_nf_to_service((unsigned)number);
}

static void loop_is_bounded(void **state)
{
	struct glen_nf_thread *t = make(again, "service=choice");
	uint64_t hops, full;

	rig.limit = 20000;
	rig_settle();
	assert_int_equal(rig.made, 20000);
	hops = t->stats.drops[NF_DROP_HOP_LIMIT];
	full = t->stats.drops[NF_DROP_LOOP_FULL];
	assert_int_equal(hops + full, 20000);
	assert_true(hops > 0 && full > 0);
	rig_check();
	rig_destroy();
}

/* A chain that has a service twice: a loop that packets leave. */
static void loop_in_a_chain(void **state)
{
	static const char *const services[] = { "a", "b", "a", "b", "sink" };

	rig_create(NULL);
	rig_add(&source, NULL);
	rig_add(&pass, "a");
	rig_add(&pass, "b");
	rig_add(&sink, NULL);
	rig_chain("c", services, 5);
	rig.limit = 100;
	rig_settle();
	assert_int_equal(rig.got, 100);
	rig_check();
	rig_destroy();
}

static void chain_without_end(void **state)
{
	static const char *const services[] = { "pass" };
	struct glen_nf *nf;

	rig_create(NULL);
	rig_add(&source, NULL);
	nf = rig_add(&pass, NULL);
	rig_chain("c", services, 1);
	rig.limit = 100;
	rig_settle();
	assert_int_equal(nf->runners[0]->t->stats.drops[NF_DROP_NO_EXIT], 100);
	rig_chain("c", NULL, 0);
	rig.limit = 200;
	rig_settle();
	assert_int_equal(rig.group->runners->t->stats.drops[NF_DROP_NO_CHAIN],
			 100);
	rig_check();
	rig_destroy();
}

static void refuses_nonsense(void **state)
{
	static const char *const bad[] = { "a b" };
	struct glen_nf_group_config config = { .pipe_slots = 100 };
	struct glen_nf_instance c = { .threads = 17 };
	struct glen_nf_program p = pass;
	struct glen_nf_group *g;
	struct glen_error error;

	assert_int_equal(glen_nf_group_create(&g, &config, &error), -EINVAL);
	assert_non_null(strstr(error.text, "100 slots"));
	config = (struct glen_nf_group_config){ .buf_size = 100 };
	assert_int_equal(glen_nf_group_create(&g, &config, &error), -EINVAL);
	config = (struct glen_nf_group_config){ .numa_node = 1000 };
	assert_int_equal(glen_nf_group_create(&g, &config, &error), -EINVAL);
	config = (struct glen_nf_group_config){ .bufs = 100 };
	rig_create(&config);
	assert_int_equal(glen_nf_add(rig.group, NULL, &pass, &c, &error),
			 -EINVAL);
	c = (struct glen_nf_instance){ .args = bad };
	assert_int_equal(glen_nf_add(rig.group, NULL, &pass, &c, &error),
			 -EINVAL);
	assert_string_equal(error.text, "pass has no option 'a b'");
	/* 256 spare buffers are more than there are. */
	assert_int_equal(glen_nf_add(rig.group, NULL, &pass, NULL, &error),
			 -ENOSPC);
	p.size = 8;
	assert_int_equal(glen_nf_add(rig.group, NULL, &p, NULL, &error),
			 -EINVAL);
	assert_int_equal(glen_nf_group_chain(rig.group, "c", bad, 1, NULL,
					     &error),
			 -EINVAL);
	rig_check();
	rig_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdict_next),
		cmocka_unit_test(verdict_drop),
		cmocka_unit_test(verdict_nonsense),
		cmocka_unit_test(verdict_service),
		cmocka_unit_test(verdict_chain),
		cmocka_unit_test(verdict_keep),
		cmocka_unit_test(verdict_clone),
		cmocka_unit_test(head_and_tail_room),
		cmocka_unit_test(bad_views),
		cmocka_unit_test(chains_of_one_to_ten),
		cmocka_unit_test(back_pressure),
		cmocka_unit_test(loop_is_bounded),
		cmocka_unit_test(loop_in_a_chain),
		cmocka_unit_test(chain_without_end),
		cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests_name("nf_group", tests, NULL, NULL);
}
