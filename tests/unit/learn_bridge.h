/* SPDX-License-Identifier: BSD-2-Clause */
/* learn_bridge.h - what the tests of the learning bridge share. */
#ifndef TESTS_UNIT_LEARN_BRIDGE_H
#define TESTS_UNIT_LEARN_BRIDGE_H
/*
 * One batch, a clock and functions that make a bridge, send packets through it
 * and call its methods. Ports are numbers, their names "p0" to "p7"; stations
 * are numbers too, put_mac() makes addresses of them.
 */
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "core/port.h"
#include "fake_env.h"
#include "module/learn/learn.h"

enum {
	N_PORTS = 8,
	UNKNOWN = VERDICT_FLOOD | FLOOD_ALL,
	UNKNOWN_ISOLATED = VERDICT_FLOOD | FLOOD_NOT_ISOLATED,
	ISOLATED = VERDICT_DROP | DROP_IN_ISOLATED,
	LIMITED = VERDICT_DROP | DROP_IN_FLOOD_LIMIT,
	TPID_C = 0x8100,
	TPID_S = 0x88a8,
};

static const struct glen_module *const ops = &module_learn.ops;
static struct batch *batch;
static uint8_t isolated[N_PORTS];
static uint32_t now_s;
static unsigned turn;

static inline uint32_t to(uint32_t port)
{
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT | port;
}

/* An instance with these options (json_pack() gives them; stolen). */
static inline struct learn *made(json_t *params)
{
	struct glen_error error = { 0 };
	void *learn;

	if (ops->create(fake_env(2), params, &learn, &error))
		fail_msg("%s", error.text);
	json_decref(params);
	now_s = 1000;
	ops->tick(learn, now_s);
	return learn;
}

/* Writes a MAC that ends in n, first byte 2. */
static inline void put_mac(uint8_t *mac, uint32_t n)
{
	mac[0] = 2;
	mac[1] = 0;
	for (unsigned i = 0; i < 4; i++)
		mac[2 + i] = n >> (24 - 8 * i);
}

static inline void put_packet(unsigned i, uint32_t dst, uint32_t src)
{
	memset(batch->hdr[i], 0, HDR_SIZE);
	put_mac(batch->hdr[i], dst);
	put_mac(batch->hdr[i] + 6, src);
	batch->hdr[i][12] = 8;
	batch->len[i] = 60;
	batch->hdr_len[i] = 60;
}

static inline void put_tag(unsigned i, unsigned tpid, unsigned tci)
{
	batch->hdr[i][12] = tpid >> 8;
	batch->hdr[i][13] = tpid & 0xff;
	batch->hdr[i][14] = tci >> 8;
	batch->hdr[i][15] = tci & 0xff;
}

/* All instruction sets of this machine in turn, on one table. */
static inline void lookup(struct learn *learn, const struct glen_lookup *ctx)
{
	batch_init(batch);
	module_learn.lookup[turn++ % (isa_now() + 1)](learn, ctx,
						      batch_view(batch));
}

/* What lookup() knows of packets from port. */
static inline struct glen_lookup from_port(uint16_t port)
{
	return (struct glen_lookup){
		.src = port,
		.src_isolated = isolated[port],
		.now_s = now_s,
		.now_ns = now_s * 1000000000ULL,
		.port_isolated = isolated,
		.n_ports = N_PORTS,
	};
}

static inline void run(struct learn *learn, uint16_t port, unsigned n)
{
	struct glen_lookup ctx = from_port(port);

	batch->n = n;
	lookup(learn, &ctx);
}

/* One packet to dst from src at port. */
static inline uint32_t one(struct learn *learn, uint16_t port, uint32_t dst,
			   uint32_t src)
{
	put_packet(0, dst, src);
	run(learn, port, 1);
	return batch->verdict[0];
}

static inline uint32_t tagged(struct learn *learn, uint16_t port, uint32_t dst,
			      uint32_t src, unsigned tpid, unsigned tci)
{
	put_packet(0, dst, src);
	put_tag(0, tpid, tci);
	run(learn, port, 1);
	return batch->verdict[0];
}

static inline long count(struct learn *learn, const char *name)
{
	json_t *shown = ops->show(learn);
	json_t *n = json_object_get(json_object_get(shown, "counts"), name);
	long value = json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(shown);
	return value;
}

/* A method with params (stolen); *result may be NULL. */
static inline int command(struct learn *learn, const char *method,
			  json_t *params, json_t **result,
			  struct glen_error *error)
{
	json_t *answer = NULL;
	int err;

	assert_non_null(params);
	err = ops->command(learn, method, params, &answer, error);
	assert_true(err ? !answer : answer != NULL);
	json_decref(params);
	if (result)
		*result = answer;
	else
		json_decref(answer);
	return err;
}

static inline int fdb_add(struct learn *learn, const char *mac,
			  const char *port, struct glen_error *error)
{
	return command(learn, "fdb.add",
		       json_pack("{s:s, s:s, s:s}", "switch", "sw", "mac", mac,
				 "port", port),
		       NULL, error);
}

static inline long fdb_flush(struct learn *learn, json_t *params)
{
	json_t *result;
	long n;

	assert_int_equal(command(learn, "fdb.flush", params, &result, NULL), 0);
	n = json_integer_value(json_object_get(result, "flushed"));
	json_decref(result);
	return n;
}

#endif
