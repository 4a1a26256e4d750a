// SPDX-License-Identifier: BSD-2-Clause
// test_static.c - packets go where the map says, as ports come and go.
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "fake_env.h"
#include "module/static/static.h"

enum {
	NO_PORT = VERDICT_DROP | DROP_IN_NO_PORT,
	REFUSED = VERDICT_DROP | DROP_IN_MODULE,
	N_PORTS = 4,
};

static const struct glen_module *const ops = &module_static.ops;
static struct batch *batch;
static struct glen_module_port *ports[N_PORTS]; /* names a, b, c, d */
static uint8_t isolated[N_PORTS];

static uint32_t to(uint32_t port)
{
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT | port;
}

/* An instance with these options, or -errno. */
static int make(const char *options, void **state, struct glen_error *error)
{
	json_t *params = json_loads(options, 0, NULL);
	int err;

	assert_non_null(params);
	err = ops->create(fake_env(1), params, state, error);
	json_decref(params);
	return err;
}

static void *made(const char *options)
{
	void *state;

	assert_int_equal(make(options, &state, NULL), 0);
	for (unsigned i = 0; i < N_PORTS; i++)
		ops->port_add(state, ports[i]);
	return state;
}

static uint16_t source_ring;

/* The verdict of a batch from port src; it must be the same for all, for
 * every instruction set that runs here. */
static uint32_t ask(void *state, uint16_t src)
{
	struct glen_lookup ctx = {
		.src = src,
		.src_isolated = src < N_PORTS && isolated[src],
		.port_isolated = isolated,
		.n_ports = N_PORTS,
		.src_ring = source_ring,
	};
	uint32_t v = 0;

	for (unsigned isa = 0; isa <= isa_now(); isa++) {
		batch->n = 77;
		memset(batch->verdict, 0xaa, sizeof(batch->verdict));
		module_static.lookup[isa](state, &ctx, batch_view(batch));
		v = batch->verdict[0];
		for (unsigned i = 0; i < batch->n; i++)
			assert_int_equal(batch->verdict[i], v);
		assert_int_equal(batch->verdict[77], 0xaaaaaaaa);
	}
	return v;
}

static void maps_port_to_port(void **state)
{
	void *s = made("{\"map\": {\"a\": \"b\", \"b\": \"a\", \"c\": \"a\"}}");

	assert_int_equal(ask(s, 0), to(1));
	assert_int_equal(ask(s, 1), to(0));
	assert_int_equal(ask(s, 2), to(0));
	assert_int_equal(ask(s, 3), NO_PORT);
	assert_int_equal(ask(s, 4000), NO_PORT);
	assert_int_equal(ask(s, 65535), NO_PORT);
	ops->destroy(s);
}

/* Ports with several rings, of which one has other numbers. */
static void keeps_rings(void **state)
{
	struct glen_module_port rings[3] = {
		{ .index = 0, .in_rings = 4, .out_rings = 4, .name = "a" },
		{ .index = 1, .in_rings = 4, .out_rings = 4, .name = "b" },
		{ .index = 2, .in_rings = 4, .out_rings = 3, .name = "c" },
	};
	void *s;

	assert_int_equal(make("{\"map\": {\"a\": \"b\", \"b\": \"c\", \"c\": "
			      "\"a\"}, \"rings\": \"keep\"}",
			      &s, NULL),
			 0);
	for (unsigned i = 0; i < 3; i++)
		ops->port_add(s, &rings[i]);
	for (source_ring = 0; source_ring < 4; source_ring++) {
		assert_int_equal(ask(s, 0), glen_to_ring(1, source_ring));
		assert_int_equal(ask(s, 1), to(2));
		assert_int_equal(ask(s, 2), glen_to_ring(0, source_ring));
		assert_int_equal(ask(s, 3), NO_PORT);
	}
	source_ring = 0;
	ops->destroy(s);
}

static void default_takes_the_others(void **state)
{
	void *s = made("{\"map\": {\"a\": \"b\"}, \"default\": \"c\"}");

	assert_int_equal(ask(s, 0), to(1));
	assert_int_equal(ask(s, 1), to(2));
	assert_int_equal(ask(s, 3), to(2));
	ops->destroy(s);
	s = made("{\"map\": {\"a\": \"b\"}, \"default\": \"drop\"}");
	assert_int_equal(ask(s, 0), to(1));
	assert_int_equal(ask(s, 1), REFUSED);
	ops->destroy(s);
}

static void follows_ports(void **state)
{
	void *s = made("{\"map\": {\"a\": \"b\"}, \"default\": \"b\"}");
	struct glen_module_port *again = calloc(1, sizeof(*again));

	ops->port_del(s, ports[1]);
	assert_int_equal(ask(s, 0), NO_PORT);
	assert_int_equal(ask(s, 2), NO_PORT);
	again->name = "b";
	again->index = 200;
	ops->port_add(s, again);
	assert_int_equal(ask(s, 0), to(200));
	assert_int_equal(ask(s, 2), to(200));
	assert_int_equal(ask(s, 200), to(200));
	/* Index 0 now belongs to another name. */
	ops->port_del(s, ports[0]);
	assert_int_equal(ask(s, 0), NO_PORT);
	ops->destroy(s);
	free(again);
}

static void set_changes_the_map(void **state)
{
	void *s = made("{\"map\": {\"a\": \"b\"}}");
	json_t *good = json_pack("{s:{s:s}}", "map", "c", "d");
	json_t *bad = json_pack("{s:i}", "map", 7);
	struct glen_error error;

	assert_int_equal(ops->set(s, bad, &error), -EINVAL);
	assert_int_equal(ask(s, 0), to(1));
	assert_int_equal(ops->set(s, good, &error), 0);
	assert_int_equal(ask(s, 0), NO_PORT);
	assert_int_equal(ask(s, 2), to(3));
	json_decref(good);
	json_decref(bad);
	ops->destroy(s);
}

static void isolated_ports_do_not_meet(void **state)
{
	void *s = made("{\"map\": {\"a\": \"b\", \"b\": \"c\", \"c\": \"c\"}}");

	isolated[0] = isolated[1] = isolated[2] = 1;
	assert_int_equal(ask(s, 0), VERDICT_DROP | DROP_IN_ISOLATED);
	assert_int_equal(ask(s, 2), to(2)); /* the core: in_same_port */
	isolated[0] = isolated[2] = 0;
	assert_int_equal(ask(s, 0), to(1));
	assert_int_equal(ask(s, 1), to(2));
	isolated[1] = 0;
	ops->destroy(s);
}

static void show_gives_options_back(void **state)
{
	void *s = made("{\"map\": {\"b\": \"a\", \"a\": \"b\"},"
		       " \"default\": \"drop\"}");
	json_t *shown = ops->show(s);
	json_t *expected = json_pack("{s:{s:s, s:s}, s:s}", "map", "a", "b",
				     "b", "a", "default", "drop");

	assert_true(json_equal(shown, expected));
	json_decref(shown);
	json_decref(expected);
	ops->destroy(s);
}

static void errors_name_the_culprit(void **state)
{
	static const struct {
		const char *options, *says;
	} cases[] = {
		{ "{\"mpa\": {}}", "'mpa'" },
		{ "{\"map\": [1]}", "map must be an object" },
		{ "{\"map\": {\"a\": 3}}", "destination of 'a'" },
		{ "{\"map\": {\"s:a\": \"b\"}}", "'s:a'" },
		{ "{\"map\": {\"a\": \"\"}}", "''" },
		{ "{\"map\": {}, \"default\": 3}", "default" },
		{ "{\"default\": \"0123456789012345678901234567890x\"}",
		  "default: '0123456789012345678901234567890x'" },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct glen_error error;
		void *s;

		assert_int_equal(make(cases[i].options, &s, &error), -EINVAL);
		if (!strstr(error.text, cases[i].says))
			fail_msg("%s: %s", cases[i].options, error.text);
	}
}

static void runs_without_options(void **state)
{
	void *s;

	assert_int_equal(ops->create(fake_env(1), NULL, &s, NULL), 0);
	ops->port_add(s, ports[0]);
	assert_int_equal(ask(s, 0), NO_PORT);
	ops->destroy(s);
	ops->destroy(NULL);
}

static void modules_are_found(void **state)
{
	assert_non_null(module_find("learn"));
	assert_null(module_find("lear"));
	assert_null(module_find(""));
	for (const struct module *m = module_next(NULL); m;
	     m = module_next(m)) {
		assert_ptr_equal(module_find(m->ops.name), m);
		assert_in_range(m->ops.hdr_want, HDR_MIN, HDR_MAX);
		for (unsigned isa = 0; isa < ISA_N; isa++)
			assert_non_null(m->lookup[isa]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps_port_to_port),
		cmocka_unit_test(keeps_rings),
		cmocka_unit_test(default_takes_the_others),
		cmocka_unit_test(follows_ports),
		cmocka_unit_test(set_changes_the_map),
		cmocka_unit_test(isolated_ports_do_not_meet),
		cmocka_unit_test(show_gives_options_back),
		cmocka_unit_test(errors_name_the_culprit),
		cmocka_unit_test(runs_without_options),
		cmocka_unit_test(modules_are_found),
	};
	int failed;

	batch = aligned_alloc(64, sizeof(*batch));
	batch_init(batch);
	for (unsigned i = 0; i < N_PORTS; i++) {
		ports[i] = calloc(1, sizeof(*ports[i]));
		ports[i]->name = &"a\0b\0c\0d"[2 * i];
		ports[i]->index = i;
	}
	failed = cmocka_run_group_tests_name("static", tests, NULL, NULL);
	for (unsigned i = 0; i < N_PORTS; i++)
		free(ports[i]);
	free(batch);
	return failed;
}
