// SPDX-License-Identifier: BSD-2-Clause
// embed.c - sides that are embedded switches, and memcpy to compare with.
#include <string.h>
#include <sys/mman.h>

#include <jansson.h>

#include <glen/switch.h>

#include "bench/flows.h"
#include "bench/party.h"
#include "bench/traffic.h"

enum {
	PORTS_MAX = 1024,
	STATION_MAC = 0x10000, /* first station of many on port b */
	SOURCE_MAC = 0x1000000,
	GROUP = 2,   /* opts.spread: to a group address */
	VISITS = 32, /* packets for a port before it is emptied */
	TABLE_MAX = 1 << 20,
};

struct embed {
	struct glen_switch *sw;
	unsigned n_ports;
	struct receiver r[PORTS_MAX]; /* r[0] is the sender's port */
	bool spread;
	unsigned batch, n_sent; /* since the receivers were emptied */
	struct sender s;
};

static unsigned step_send(void *state)
{
	struct embed *e = state;
	unsigned n = sender_step(&e->s);

	e->n_sent += n;
	return n;
}

static unsigned step_switch(void *state)
{
	return glen_switch_poll(((struct embed *)state)->sw);
}

static unsigned step_receive(void *state)
{
	return receiver_step(&((struct embed *)state)->r[1]);
}

/* Every port gets a copy of each packet. */
static unsigned step_receive_all(void *state)
{
	struct embed *e = state;
	unsigned n = 0;

	for (unsigned i = 1; i < e->n_ports; i++)
		n += receiver_step(&e->r[i]);
	return n;
}

/* Packets go to one port after the other: waits until all have some. */
static unsigned step_receive_spread(void *state)
{
	struct embed *e = state;

	if (e->n_sent < VISITS * (e->n_ports - 1))
		return 0;
	e->n_sent = 0;
	return step_receive_all(e);
}

/* Runs the switch until it has nothing to do, and empties all ports. */
static void settle(struct embed *e)
{
	while (glen_switch_poll(e->sw) | step_receive_all(e) |
	       receiver_step(&e->r[0]))
		;
}

static void announce(struct embed *e, unsigned port, uint32_t src)
{
	while (!send_one(e->r[port].port, src, FRAME_A, e->s.vnet))
		settle(e);
}

static void ports_open(struct embed *e, const struct party_opts *o)
{
	struct glen_port_config config = { .slots = o->slots,
					   .buf_size = o->buf,
					   .vnet_hdr_len = o->vnet };
	struct glen_error error = { 0 };
	struct glen_port *port;
	char name[16];

	for (unsigned i = 0; i < e->n_ports; i++) {
		/* Ports that get nothing, or little at a time, may be small. */
		if (i > 1 && o->spread != GROUP)
			config.slots = 2 * VISITS;
		snprintf(name, sizeof(name), "p%u", i);
		if (glen_switch_port_open(e->sw, &port, name, &config, &error))
			party_die("cannot open port %u: %s", i, error.text);
		receiver_init(&e->r[i], port, 0);
	}
}

/* Teaches the switch where everybody is, and the sender whom to address. */
static void stations_make(struct embed *e, const struct party_opts *o)
{
	struct sender *s = &e->s;
	unsigned half = o->addrs / 2;

	announce(e, 1, FRAME_B);
	if (o->spread == GROUP) {
		memset(s->frame, 0xff, 6);
	} else if (o->spread) {
		s->first_dst = STATION_MAC;
		s->n_dst = e->n_ports - 1;
		for (unsigned i = 0; i < s->n_dst; i++)
			announce(e, i + 1, STATION_MAC + i);
	} else if (o->addrs > 1) {
		s->first_dst = STATION_MAC;
		s->first_src = SOURCE_MAC;
		s->n_dst = half;
		s->n_src = o->addrs - half;
		for (unsigned i = 0; i < half; i++)
			announce(e, 1, STATION_MAC + i);
	}
	settle(e);
}

/* All ports are access ports of one VLAN. */
static void vlan_make(struct embed *e)
{
	struct glen_error error = { 0 };
	char params[96], *result;

	for (unsigned i = 0; i < e->n_ports; i++) {
		snprintf(params, sizeof(params),
			 "{\"port\": \"bench:p%u\", \"learn\": {\"mode\": "
			 "\"access\", \"vlan\": 5}}",
			 i);
		if (glen_switch_command(e->sw, "port.set", params, &result,
					&error))
			party_die("cannot set port %u: %s", i, error.text);
		free(result);
	}
}

/* The sender's packets are of these flows, and the near ends are claimed. */
static void flows_make(struct embed *e, const struct party_opts *o)
{
	struct flows f = { (int)o->ip, o->flows, o->out };
	struct glen_error error = { 0 };

	if (o->flows > FLOWS_MAX || o->frame < (o->ip == 4 ? 60 : 64))
		party_die("no %u flows of %u bytes", o->flows, o->frame);
	if (!flows_send(&e->s, &f))
		party_die("no memory");
	if (!strcmp(o->module, "tuple3") &&
	    flows_claim(e->r[o->out ? 0 : 1].port, &f, &error))
		party_die("cannot claim: %s", error.text);
}

/* Rule i of module steer, to port 1: every fourth looks at what flows differ
 * in, the others at networks and ranges of ports as well. */
static json_t *rule_make(unsigned i)
{
	uint32_t r = (i + 1) * 2654435761U;
	char dst[32], ports[16];
	const char *protocol = r >> 20 & 1 ? "tcp" : "udp";

	snprintf(dst, sizeof(dst), "10.%u.%u.%u/%u", i % 4 == 3 ? 0 : r >> 24,
		 r >> 16 & 255, r >> 8 & 255, 16 + r % 17);
	snprintf(ports, sizeof(ports), "%u-%u", 1 + i % 60000,
		 1 + i % 60000 + (i % 4 == 2 ? r >> 8 & 1023 : 0));
	if (i % 4 == 0)
		return json_pack("{ss ss ss}", "protocol", protocol, "dport",
				 ports, "port", "p1");
	return json_pack("{ss ss ss ss}", "protocol", protocol, "dst", dst,
			 "dport", ports, "port", "p1");
}

static void rules_make(struct embed *e, unsigned n)
{
	json_t *rules = json_array(), *params;
	struct glen_error error = { 0 };
	char *text, *result;

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(rules, rule_make(i));
	params = json_pack("{ss ss so}", "switch", "bench", "op", "replace",
			   "rules", rules);
	text = params ? json_dumps(params, 0) : NULL;
	if (!text ||
	    glen_switch_command(e->sw, "steer.rule", text, &result, &error))
		party_die("cannot make rules: %s", error.text);
	free(result);
	free(text);
	json_decref(params);
}

/* Options under which the module brings packets of port 0 to port 1. */
static void module_options(const struct party_opts *o, char *text, size_t size)
{
	unsigned entries = 65536;

	while (entries < o->addrs && entries < TABLE_MAX)
		entries *= 2;
	if (!strcmp(o->module, "static"))
		snprintf(text, size, "{\"map\": {\"p0\": \"p1\"}}");
	else if (!strcmp(o->module, "tuple3"))
		snprintf(text, size, "{\"uplink\": \"p%u\"}", o->out ? 1 : 0);
	else if (!strcmp(o->module, "steer"))
		snprintf(text, size, "{\"default\": {\"port\": \"p1\"}}");
	else
		snprintf(text, size, "{\"entries\": %u}", entries);
}

static void roles_make(struct party_side *p)
{
	party_step receive = step_receive;

	if (p->opts.spread)
		receive = p->opts.spread == GROUP ? step_receive_all :
						    step_receive_spread;
	if (!strcmp(p->opts.layout, "one")) {
		p->n_roles = 1;
		p->roles[0] = (struct role){ .counts = true,
					     .steps = { step_send, step_switch,
							receive } };
	} else if (!strcmp(p->opts.layout, "two")) {
		p->n_roles = 2;
		p->roles[0] = (struct role){ .steps = { step_send,
							step_switch } };
		p->roles[1] = (struct role){ .cpu = 1,
					     .counts = true,
					     .steps = { receive } };
	} else {
		party_die("no embedded layout '%s'", p->opts.layout);
	}
}

void embed_open(struct party_side *p)
{
	const struct party_opts *o = &p->opts;
	struct glen_error error = { 0 };
	char options[64];
	struct embed *e;

	e = aligned_alloc(64, (sizeof(*e) + 63) & ~(size_t)63);
	if (!e || o->ports < 2 || o->ports > PORTS_MAX)
		party_die("cannot make a switch of %u ports", o->ports);
	memset(e, 0, sizeof(*e));
	e->n_ports = o->ports;
	module_options(o, options, sizeof(options));
	if (glen_switch_create(&e->sw, "bench", o->module, options, &error))
		party_die("cannot make a switch: %s", error.text);
	ports_open(e, o);
	if (o->vlan)
		vlan_make(e);
	if (!strcmp(o->module, "steer") && o->rules)
		rules_make(e, o->rules);
	sender_init(&e->s, e->r[0].port, 0, o->frame, o->batch, o->fill);
	if (o->vnet)
		sender_tso(&e->s, o->vnet);
	stations_make(e, o);
	if (o->flows)
		flows_make(e, o);
	p->state = e;
	roles_make(p);
}

/* The bytes of packets, copied from one set of buffers to another. */
struct copier {
	char *from, *to;
	size_t size, len, at;
};

static unsigned step_memcpy(void *state)
{
	struct copier *c = state;

	if (c->at + c->len > c->size)
		c->at = 0;
	memcpy(c->to + c->at, c->from + c->at, c->len);
	c->at += c->len;
	return 1;
}

void memcpy_open(struct party_side *p)
{
	struct copier *c = calloc(1, sizeof(*c));
	size_t size = (size_t)p->opts.slots * p->opts.buf;
	char *mem = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (!c || mem == MAP_FAILED || p->opts.frame > size)
		party_die("no memory");
	memset(mem, 1, 2 * size);
	*c = (struct copier){ mem, mem + size, size, p->opts.frame, 0 };
	p->state = c;
	p->n_roles = 1;
	p->roles[0] = (struct role){ .counts = true, .steps = { step_memcpy } };
}
