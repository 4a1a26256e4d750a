/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3_rig.h - what the tests of module tuple3 share. */
#ifndef TESTS_UNIT_TUPLE3_RIG_H
#define TESTS_UNIT_TUPLE3_RIG_H
/*
 * One batch and functions that make an instance, claim, and send packets. Ports
 * are numbers, their names "p0" to "p7"; p0 is the default port, p1 the uplink.
 * Hosts are numbers: n is 10.0.0.n or 2001:db8::n.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/drop.h"
#include "fake_env.h"
#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

enum {
	HOST = 0,
	UPLINK = 1,
	N_PORTS = FAKE_PORTS,
	SETS = 4096,
	REMOTE = 200, /* a host elsewhere */
};

/* A packet to be made. */
struct spec {
	int family;	   /* 4 or 6 */
	unsigned src, dst; /* hosts */
	unsigned protocol, sport, dport;
};

static const struct glen_module *const ops = &module_tuple3.ops;
static struct batch *batch;
static uint8_t isolated[N_PORTS];
static uint32_t now_s = 1000;
static unsigned turn;

/* By set: 1 if it is there, and a bit for each member, from bit 1 on. */
static uint32_t sets[SETS];

static inline int rig_set_create(const struct glen_module_env *env,
				 uint32_t *set)
{
	for (*set = GLEN_SET_FIRST; *set < SETS; ++*set)
		if (!sets[*set]) {
			sets[*set] = 1;
			return 0;
		}
	return -ENOSPC;
}

static inline int rig_set_add(const struct glen_module_env *env, uint32_t set,
			      unsigned port, const struct glen_edit *edit)
{
	if (!sets[set] || port >= N_PORTS)
		abort();
	sets[set] |= 2U << port;
	return 0;
}

static inline int rig_set_remove(const struct glen_module_env *env,
				 uint32_t set, unsigned port)
{
	if (!sets[set])
		abort();
	sets[set] &= ~(2U << port);
	return 0;
}

static inline int rig_set_destroy(const struct glen_module_env *env,
				  uint32_t set)
{
	if (!sets[set])
		abort();
	sets[set] = 0;
	return 0;
}

static inline const struct glen_module_env *rig_env(void)
{
	const struct glen_module_env *env = fake_env(2);
	struct glen_module_host *host = (struct glen_module_host *)env->host;

	host->set_create = rig_set_create;
	host->set_add = rig_set_add;
	host->set_remove = rig_set_remove;
	host->set_destroy = rig_set_destroy;
	return env;
}

static inline unsigned n_sets(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SETS; i++)
		n += sets[i] != 0;
	return n;
}

static inline uint32_t to(uint32_t port)
{
	return glen_to_port(port);
}

static inline void *made_with(const char *options)
{
	json_t *params = json_loads(options, 0, NULL);
	struct glen_error error = { 0 };
	void *t;

	if (ops->create(rig_env(), params, &t, &error))
		abort();
	json_decref(params);
	for (unsigned i = 0; i < N_PORTS; i++) {
		struct glen_module_port port;

		fake_port_get(rig_env(), i, &port);
		ops->port_add(t, &port);
	}
	return t;
}

static inline void *made(void)
{
	return made_with("{\"default\": \"p0\", \"uplink\": \"p1\"}");
}

static inline void put_addr(uint8_t *at, int family, unsigned host)
{
	static const uint8_t prefix[16] = { 0x20, 1, 0xd, 0xb8 };

	if (family == 6) {
		memcpy(at, prefix, 16);
		at[15] = host;
		return;
	}
	at[0] = 10;
	at[1] = at[2] = 0;
	at[3] = host;
}

static inline void put16(uint8_t *at, unsigned v)
{
	at[0] = v >> 8;
	at[1] = v & 0xff;
}

static inline void set_sum(uint8_t *ip)
{
	uint16_t sum;

	put16(ip + 10, 0);
	sum = ~t3_sum(ip, (ip[0] & 15) * 4);
	memcpy(ip + 10, &sum, 2);
}

/* Writes an IP header for l4_len bytes; returns where they begin. */
static inline uint8_t *put_ip(uint8_t *ip, const struct spec *s,
			      unsigned l4_len)
{
	if (s->family == 6) {
		ip[0] = 0x60;
		put16(ip + 4, l4_len);
		ip[6] = s->protocol;
		ip[7] = 64;
		put_addr(ip + 8, 6, s->src);
		put_addr(ip + 24, 6, s->dst);
		return ip + 40;
	}
	ip[0] = 0x45;
	put16(ip + 2, 20 + l4_len);
	ip[8] = 64;
	ip[9] = s->protocol;
	put_addr(ip + 12, 4, s->src);
	put_addr(ip + 16, 4, s->dst);
	set_sum(ip);
	return ip + 20;
}

static inline uint8_t *put_ports(uint8_t *l4, const struct spec *s,
				 unsigned l4_len)
{
	put16(l4, s->sport);
	put16(l4 + 2, s->dport);
	if (s->protocol == T3_UDP)
		put16(l4 + 4, l4_len);
	else
		l4[12] = 0x50;
	return l4;
}

/* The packet that will be number i; its length can be changed after. */
static inline uint8_t *fresh(unsigned i, unsigned type, unsigned len)
{
	uint8_t *hdr = batch->hdr[i];

	memset(hdr, 0, HDR_SIZE);
	hdr[5] = 1;
	hdr[11] = 2;
	put16(hdr + 12, type);
	batch->len[i] = len;
	batch->hdr_len[i] = len < HDR_MAX ? len : HDR_MAX;
	return hdr;
}

static inline uint8_t *put_packet(unsigned i, const struct spec *s)
{
	unsigned l4_len = 20;
	unsigned ip_len = s->family == 6 ? 40 : 20;
	uint8_t *hdr = fresh(i, s->family == 6 ? TYPE_IPV6 : TYPE_IPV4,
			     14 + ip_len + l4_len);

	put_ports(put_ip(hdr + 14, s, l4_len), s, l4_len);
	return hdr;
}

/* All instruction sets of this machine in turn, on one table. */
static inline void run(void *t, unsigned port, unsigned n)
{
	struct glen_lookup ctx = {
		.src = port,
		.src_isolated = isolated[port],
		.now_s = now_s,
		.port_isolated = isolated,
		.n_ports = N_PORTS,
	};

	batch_init(batch);
	batch->n = n;
	module_tuple3.lookup[turn++ % (isa_now() + 1)](t, &ctx,
						       batch_view(batch));
}

/* The verdict on the packet that is in place 0. */
static inline uint32_t sent(void *t, unsigned port)
{
	run(t, port, 1);
	return batch->verdict[0];
}

static inline uint32_t one(void *t, unsigned port, const struct spec *s)
{
	put_packet(0, s);
	return sent(t, port);
}

/* The ports a verdict leads to, one bit each, but for the source. */
static inline unsigned ports_of(uint32_t verdict, unsigned src)
{
	uint32_t set = verdict & 0xffff;
	unsigned ports = 0;

	switch (verdict & GLEN_VERDICT_KIND) {
	case GLEN_VERDICT_PORT:
		ports = 1U << (verdict & 0xffff);
		break;
	case GLEN_VERDICT_SET:
		if (set >= GLEN_SET_FIRST && !sets[set])
			abort();
		ports = set < GLEN_SET_FIRST ? (1U << N_PORTS) - 1 :
					       sets[set] >> 1;
		for (unsigned i = 0;
		     set == GLEN_SET_NOT_ISOLATED && i < N_PORTS; i++)
			ports &= ~((unsigned)isolated[i] << i);
		break;
	}
	return ports & ~(1U << src);
}

/* Who gets packet 0, verdict and copies, after run(). */
static inline unsigned reached(unsigned src)
{
	const struct glen_batch *b = &batch->view;
	unsigned ports = ports_of(batch->verdict[0], src);

	for (unsigned i = 0; i < b->n_copies; i++)
		ports |= ports_of(b->copy[i].to, src);
	return ports;
}

static inline json_t *claim_json(int family, unsigned host, unsigned protocol,
				 unsigned port)
{
	char ip[32];

	snprintf(ip, sizeof(ip), family == 6 ? "2001:db8::%x" : "10.0.0.%u",
		 host);
	return json_pack("{s:s, s:s, s:i}", "ip", ip, "protocol",
			 protocol == T3_TCP ? "tcp" : "udp", "port", port);
}

/* tuple3.METHOD of one claim; *result may be NULL. */
static inline int change(void *t, const char *method, unsigned owner,
			 json_t *claim, json_t **result,
			 struct glen_error *error)
{
	char name[3] = { 'p', '0' + owner, 0 };
	json_t *params = json_pack("{s:s, s:[o]}", "port", name, "claims",
				   claim);
	json_t *answer = NULL;
	int err = ops->command(t, method, params, &answer, error);

	json_decref(params);
	if (result)
		*result = answer;
	else
		json_decref(answer);
	return err;
}

static inline int claim(void *t, unsigned owner, int family, unsigned host,
			unsigned protocol, unsigned port)
{
	return change(t, "tuple3.claim", owner,
		      claim_json(family, host, protocol, port), NULL, NULL);
}

static inline int release(void *t, unsigned owner, int family, unsigned host,
			  unsigned protocol, unsigned port)
{
	return change(t, "tuple3.release", owner,
		      claim_json(family, host, protocol, port), NULL, NULL);
}

static inline void port_goes(void *t, unsigned i)
{
	struct glen_module_port port;

	fake_port_get(rig_env(), i, &port);
	ops->port_del(t, &port);
}

static inline void port_comes(void *t, unsigned i)
{
	struct glen_module_port port;

	fake_port_get(rig_env(), i, &port);
	ops->port_add(t, &port);
}

#endif
