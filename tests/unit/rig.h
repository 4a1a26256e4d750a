/* SPDX-License-Identifier: BSD-2-Clause */
/* rig.h - a switch whose packets say themselves where they go, for tests. */
#ifndef TESTS_UNIT_RIG_H
#define TESTS_UNIT_RIG_H
/*
 * The switch under test has dummy ports and a module that reads each packet's
 * verdict from its destination address:
 *
 *   0      destination: 02, the verdict (4 bytes, big endian), 00
 *   6      source: 02, five zeros
 *   12     0x0800 (behind as many 802.1Q tags as asked for)
 *   14     IPv4; the flow is the source address, the protocol is 253
 *   34     sequence number, 4 bytes; then bytes made from both numbers
 *
 * rig_check() asserts what core/drop.h promises: whatever came in or was
 * replicated went out or has a name.
 */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "port/dummy/dummy.h"

enum {
	RIG_MIN = 38, /* the shortest packet with flow and number */
	RIG_MAX = PACKET_LEN_MAX + 64,
};

#define TO_RING(port, ring) \
	(VERDICT_PORT | (uint32_t)(ring) << VERDICT_RING_SHIFT | (port))
#define TO(port) TO_RING(port, RING_ANY)

/* A packet as a test sees it. */
struct sent {
	uint32_t verdict, flow, seq, len;
	unsigned tags;
};

static struct engine *engine;
static struct vswitch *sw;

static void rig_lookup(void *state, const struct glen_lookup *ctx,
		       struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		const uint8_t *h = glen_batch_hdr(b, i);

		b->verdict[i] = (uint32_t)h[1] << 24 | h[2] << 16 | h[3] << 8 |
				h[4];
	}
}

static int rig_module_create(const struct glen_module_env *env, json_t *params,
			     void **state, struct glen_error *error)
{
	*state = NULL;
	return 0;
}

static void rig_module_destroy(void *state)
{
}

static struct glen_module rig_module = {
	GLEN_MODULE_HEAD,
	.name = "rig",
	.version = "1",
	.summary = "verdicts from packets",
	.hdr_want = HDR_MIN,
	.create = rig_module_create,
	.destroy = rig_module_destroy,
	.lookup = rig_lookup,
};

/* The switch gets a module of the test's, which is made known if it is not. */
static inline void rig_swap_module(const struct glen_module *module)
{
	struct glen_error error;

	if ((!module_find(module->name) && module_add(module, NULL, &error)) ||
	    switch_set_module(sw, module->name, NULL, &error))
		fail_msg("%s", error.text);
}

/* How much of each packet the rig's module gets, from the next swap on. */
static inline void rig_hdr_want(unsigned want)
{
	const struct module *known = module_find(rig_module.name);

	rig_module.hdr_want = want;
	if (known)
		((struct module *)(uintptr_t)known)->ops.hdr_want = want;
}

/* config NULL: one worker that always polls, run by engine_poll(). */
static inline void rig_open(const struct engine_config *config)
{
	const struct engine_config one = { .n_workers = 1, .poll = true };
	struct glen_error error = { 0 };

	if (engine_create(&engine, config ? config : &one, &error) ||
	    switch_create(engine, "sw", "learn", NULL, &sw, &error))
		fail_msg("%s", error.text);
	rig_hdr_want(HDR_MIN);
	rig_swap_module(&rig_module);
}

static inline void rig_close(void)
{
	engine_destroy(engine);
	engine = NULL;
}

/* Each test has a rig of its own: cmocka_unit_test_setup_teardown(). */
static inline int rig_setup(void **state)
{
	rig_open(NULL);
	return 0;
}

static inline int rig_teardown(void **state)
{
	if (engine)
		rig_close();
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

/* Opens port name with driver's options as JSON text. */
static inline int rig_try(const char *name, const char *driver,
			  const char *params, struct port **port,
			  struct glen_error *error)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	int err;

	assert_non_null(args.params);
	memset(error, 0, sizeof(*error));
	err = port_create(sw, name, driver, &args, port, error);
	json_decref(args.params);
	return err;
}

static inline struct port *rig_port(const char *name, const char *params)
{
	struct glen_error error;
	struct port *port = NULL;

	if (rig_try(name, "dummy", params, &port, &error))
		fail_msg("%s", error.text);
	return port;
}

static inline uint32_t rig_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static inline void rig_put32(uint8_t *p, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = value >> (24 - 8 * i);
}

static inline void rig_build(uint8_t *p, const struct sent *s)
{
	unsigned at = 12 + 4 * s->tags;
	uint8_t whole[RIG_MIN + 64] = { 2 };

	rig_put32(whole + 1, s->verdict);
	whole[6] = 2;
	for (unsigned i = 0; i < s->tags; i++)
		rig_put32(whole + 12 + 4 * i, 0x81000000 + 100 + i);
	rig_put32(whole + at, 0x08004500);
	whole[at + 10] = 64;
	whole[at + 11] = 253;
	rig_put32(whole + at + 14, s->flow);
	rig_put32(whole + at + 22, s->seq);
	at += 26;
	memcpy(p, whole, s->len < at ? s->len : at);
	for (uint32_t i = at; i < s->len; i++)
		p[i] = (s->flow * 31 + s->seq * 7 + i) & 0xff;
}

/* Takes apart what rig_build() made; asserts that every byte is right. */
static inline struct sent rig_parse(const uint8_t *p, uint32_t len)
{
	static _Thread_local uint8_t want[RIG_MAX];
	struct sent s = { .verdict = rig_get32(p + 1), .len = len };

	while (p[12 + 4 * s.tags] == 0x81)
		s.tags++;
	s.flow = rig_get32(p + 26 + 4 * s.tags);
	s.seq = rig_get32(p + 34 + 4 * s.tags);
	rig_build(want, &s);
	assert_memory_equal(p, want, len);
	return s;
}

static inline void rig_send(struct port *port, unsigned ring, struct sent s)
{
	static _Thread_local uint8_t buf[RIG_MAX];

	if (!s.len)
		s.len = 60;
	rig_build(buf, &s);
	assert_int_equal(dummy_inject_flat(port, ring, buf, s.len), 0);
}

/* The next packet of an egress ring; false if there is none. */
static inline bool rig_recv(struct port *port, unsigned ring, struct sent *s)
{
	static _Thread_local uint8_t buf[RIG_MAX];
	int len = dummy_collect(port, ring, buf, sizeof(buf), NULL);

	if (len < 0)
		return false;
	*s = rig_parse(buf, len);
	return true;
}

/* The next packet must be the one with this number. */
static inline void rig_expect(struct port *port, unsigned ring, uint32_t seq)
{
	struct sent s;

	assert_true(rig_recv(port, ring, &s));
	assert_int_equal(s.seq, seq);
}

static inline void rig_none(struct port *port)
{
	for (unsigned r = 0; r < port->n_out; r++)
		assert_int_equal(dummy_pending_out(port, r), 0);
}

static inline void rig_run(void)
{
	while (engine_poll(engine))
		;
}

static inline uint64_t rig_drops(const struct counters *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_MAX; i++)
		sum += c->drops[i];
	return sum;
}

static inline struct counters rig_in(const struct port *port)
{
	struct counters in, out;

	port_counters(port, -1, &in, &out);
	return in;
}

static inline struct counters rig_out(const struct port *port)
{
	struct counters in, out;

	port_counters(port, -1, &in, &out);
	return out;
}

/* Received + replicated = sent + drops, with the ports that are gone. */
static inline void rig_check(void)
{
	struct counters in = { 0 }, out = { 0 }, a, b;

	counters_add(&in, &sw->gone);
	counters_add(&out, &sw->gone_out);
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
		if (!sw->ports[i])
			continue;
		port_counters(sw->ports[i], -1, &a, &b);
		counters_add(&in, &a);
		counters_add(&out, &b);
	}
	for (unsigned i = 0; i < DROP_MAX; i++) {
		if (i < DROP_OUT_NO_ROOM || i >= DROP_N)
			assert_int_equal(out.drops[i], 0);
		else
			assert_int_equal(in.drops[i], 0);
	}
	assert_int_equal(in.packets + in.replicated,
			 out.packets + rig_drops(&in) + rig_drops(&out));
}

#endif
