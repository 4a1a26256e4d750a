// SPDX-License-Identifier: BSD-2-Clause
// test_module.c - what modules may say and do, and what becomes of the rest.
#include "rig.h"

#include <errno.h>

#include "core/offload.h"
#include "packet.h"

/* What the next lookup() does to each packet; set by the tests. */
static void (*act)(struct glen_batch *b, unsigned i);
static struct port *ports[3];

static void acting_lookup(void *state, const struct glen_lookup *ctx,
			  struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		b->verdict[i] = glen_to_port(1);
		act(b, i);
	}
}

static const struct glen_module_drop own_drops[] = {
	{ "in_test_first", "the first of the tests" },
	{ "in_test_second", "the second of the tests" },
	{ NULL },
};

static const struct glen_module acting = {
	GLEN_MODULE_HEAD,
	.name = "acting",
	.version = "1",
	.summary = "does what the test says",
	.hdr_want = GLEN_HDR_MIN,
	.drops = own_drops,
	.create = rig_module_create,
	.destroy = rig_module_destroy,
	.lookup = acting_lookup,
};

static struct glen_module greedy; /* the same, with the largest hdr_want */

static void open_switch(const struct glen_module *module)
{
	rig_swap_module(module);
	for (unsigned i = 0; i < 3; i++)
		ports[i] = rig_port(&"a\0b\0c"[2 * i], "{\"slots\": 512}");
}

/* Wrong in one member each; the error must name what says. */
static void refused(struct glen_module *m, int code, const char *says)
{
	struct glen_error error = { 0 };

	assert_int_equal(module_add(m, NULL, &error), code);
	assert_non_null(strstr(error.text, says));
	*m = acting;
	m->name = "other";
}

static void wrong_modules_are_refused(void **state)
{
	static const struct glen_module_drop bad[] = { { "vlan", "" }, { 0 } };
	static const struct glen_module_drop taken[] = { { "in_runt", "" },
							 { 0 } };
	static struct glen_module_drop many[GLEN_DROPS_MAX + 2];
	struct glen_module m = acting;

	for (unsigned i = 0; i <= GLEN_DROPS_MAX; i++)
		many[i].name = "in_test_many";
	m.abi_major++;
	refused(&m, -EINVAL, "built for ABI 2.2, and this is 1.2");
	m.abi_minor++;
	refused(&m, -EINVAL, "install a newer glen");
	m.size--;
	refused(&m, -EINVAL, "bytes");
	m.name = NULL;
	refused(&m, -EINVAL, "name");
	m.name = "../learn";
	refused(&m, -EINVAL, "\"../learn\"");
	m.name = "learn";
	refused(&m, -EEXIST, "learn");
	m.create = NULL;
	refused(&m, -EINVAL, "has no create");
	m.destroy = NULL;
	refused(&m, -EINVAL, "has no destroy");
	m.lookup = NULL;
	refused(&m, -EINVAL, "has no lookup");
	m.version = NULL;
	refused(&m, -EINVAL, "has no version");
	m.hdr_want = GLEN_HDR_MAX + 1;
	refused(&m, -EINVAL, "129 bytes");
	m.hdr_want = 0;
	refused(&m, -EINVAL, "0 bytes");
	m.drops = bad;
	refused(&m, -EINVAL, "\"vlan\"");
	m.drops = taken;
	refused(&m, -EINVAL, "\"in_runt\"");
	m.drops = many;
	refused(&m, -EINVAL, "more than 32");
	assert_null(module_find("other"));
}

static void drop_by_number(struct glen_batch *b, unsigned i)
{
	b->verdict[i] = glen_drop(i);
}

static void reasons_have_their_names(void **state)
{
	int first = drop_intern("in_test_first", NULL);
	int second = drop_intern("in_test_second", NULL);
	struct counters in;
	json_t *stats, *drops;

	open_switch(&acting);
	act = drop_by_number;
	for (unsigned i = 0; i < 5; i++)
		rig_send(ports[0], 0, (struct sent){ .seq = i });
	rig_run();
	in = rig_in(ports[0]);
	assert_int_equal(in.drops[first], 1);
	assert_int_equal(in.drops[second], 1);
	assert_int_equal(in.drops[DROP_IN_MODULE], 3);
	stats = port_stats(ports[0], false);
	drops = json_object_get(json_object_get(stats, "in"), "drops");
	assert_int_equal(json_integer_value(
				 json_object_get(drops, "in_test_second")),
			 1);
	json_decref(stats);
	rig_check();
}

/* Sends one packet and returns what arrives at port b. */
static int through(const uint8_t *packet, uint32_t len, uint8_t *out)
{
	assert_int_equal(dummy_inject_flat(ports[0], 0, packet, len), 0);
	rig_run();
	return dummy_collect(ports[1], 0, out, 4096, NULL);
}

static unsigned amount;
static bool refused_edit;

static void push(struct glen_batch *b, unsigned i)
{
	uint8_t *hdr = glen_batch_push(b, i, amount);

	refused_edit = !hdr;
	for (unsigned k = 0; hdr && k < amount; k++)
		hdr[k] = 0xa0 + k;
}

static void pushes_in_front(void **state)
{
	uint8_t in[2000], out[4096];

	rnd_seed();
	greedy = acting;
	greedy.name = "greedy";
	greedy.hdr_want = GLEN_HDR_MAX;
	open_switch(&acting);
	act = push;
	for (unsigned k = 0; k < 600; k++) {
		uint32_t len = 14 + rnd(k % 3 ? 150 : 1900);

		if (k == 300)
			rig_swap_module(&greedy);
		for (uint32_t i = 0; i < len; i++)
			in[i] = rnd(256);
		amount = rnd(GLEN_PUSH_MAX + 1);
		assert_int_equal(through(in, len, out), len + amount);
		assert_false(refused_edit);
		for (unsigned i = 0; i < amount; i++)
			assert_int_equal(out[i], 0xa0 + i);
		assert_memory_equal(out + amount, in, len);
	}
	amount = GLEN_PUSH_MAX + 1;
	assert_int_equal(through(in, 60, out), 60);
	assert_true(refused_edit);
	rig_check();
}

/* As often as there is room: never beyond it. */
static void push_again(struct glen_batch *b, unsigned i)
{
	amount = 0;
	while (glen_batch_push(b, i, 7))
		amount += 7;
}

static void pushes_end(void **state)
{
	uint8_t in[1500] = { 2 }, out[4096];

	open_switch(&acting);
	act = push_again;
	assert_int_equal(through(in, sizeof(in), out), 1500 + 126);
	assert_int_equal(amount, 126);
	assert_memory_equal(out + 126, in, sizeof(in));
	rig_check();
}

static void pop(struct glen_batch *b, unsigned i)
{
	refused_edit = !glen_batch_pop(b, i, amount);
}

static void pops_from_the_front(void **state)
{
	uint8_t in[2000], out[4096];

	rnd_seed();
	open_switch(&acting);
	act = pop;
	for (unsigned k = 0; k < 400; k++) {
		uint32_t len = 14 + rnd(k % 3 ? 150 : 1900);
		uint32_t hdr = len < 64 ? len : 64;

		for (uint32_t i = 0; i < len; i++)
			in[i] = rnd(256);
		amount = rnd(60);
		if (amount + 14 > hdr) {
			assert_int_equal(through(in, len, out), len);
			assert_true(refused_edit);
			assert_memory_equal(out, in, len);
		} else {
			assert_int_equal(through(in, len, out), len - amount);
			assert_false(refused_edit);
			assert_memory_equal(out, in + amount, len - amount);
		}
	}
	rig_check();
}

static int popped;

static void retag(struct glen_batch *b, unsigned i)
{
	popped = glen_batch_pop_tag(b, i);
	glen_batch_push_tag(b, i, 0x88a8, 0x6123);
}

static void tags_come_and_go(void **state)
{
	uint8_t in[200], out[4096];

	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = i;
	open_switch(&acting);
	act = retag;
	assert_int_equal(through(in, 200, out), 204);
	assert_int_equal(popped, -1);
	assert_memory_equal(out, in, 12);
	assert_memory_equal(out + 12, "\x88\xa8\x61\x23", 4);
	assert_memory_equal(out + 16, in + 12, 188);
	memcpy(in + 12, "\x81\x00\x2f\xff", 4);
	assert_int_equal(through(in, 200, out), 200);
	assert_int_equal(popped, 0x2fff);
	assert_memory_equal(out, in, 12);
	assert_memory_equal(out + 12, "\x88\xa8\x61\x23", 4);
	assert_memory_equal(out + 16, in + 16, 184);
	/* Cut within the tag: not one. */
	assert_int_equal(through(in, 16, out), 20);
	assert_int_equal(popped, -1);
	rig_check();
}

/* A module that leaves nonsense: each packet is dropped under a name. */
static unsigned lie;

static void lies(struct glen_batch *b, unsigned i)
{
	b->edited = true;
	switch (lie) {
	case 0:
		b->len[i] += 5;
		break;
	case 1:
		b->hdr_len[i] = 255;
		break;
	case 2:
		b->hdr_len[i] = 0;
		break;
	case 3:
		b->len[i] = 0;
		break;
	case 4:
		b->len[i] -= b->hdr_len[i] - 13;
		b->hdr_len[i] = 13;
		break;
	}
}

static void nonsense_is_dropped(void **state)
{
	uint8_t in[60] = { 2 }, out[4096];

	open_switch(&acting);
	act = lies;
	for (lie = 0; lie < 5; lie++)
		assert_true(through(in, sizeof(in), out) < 0);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_MODULE], 4);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_RUNT], 1);
	lie = 5;
	assert_int_equal(through(in, sizeof(in), out), sizeof(in));
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(wrong_modules_are_refused),
		RIG_TEST(reasons_have_their_names),
		RIG_TEST(pushes_in_front),
		RIG_TEST(pushes_end),
		RIG_TEST(pops_from_the_front),
		RIG_TEST(tags_come_and_go),
		RIG_TEST(nonsense_is_dropped),
	};

	return cmocka_run_group_tests_name("module", tests, NULL, NULL);
}
