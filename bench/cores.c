// SPDX-License-Identifier: BSD-2-Clause
// cores.c - sides in which several workers run one switch.
/*
 * Theory of operation
 *
 * One switch with a worker per processor. Each processor has one thread, a
 * lane, that does what its programs would do and runs its worker in between:
 * sends a batch at each of its senders, runs the worker once, empties its
 * receivers. So sender, switch and receiver share a processor, nobody sleeps,
 * and nothing but the packets themselves goes from one processor to another.
 *
 *   pairs    sender i sends to receiver i. Ring r of pair i belongs to lane
 *            (i * rings + r) % cores at both ends.
 *   fan-in   all send to the one receiver, which belongs to the last lane;
 *            sender i to lane i
 *
 * With spread 2 they send to everybody, and every port is emptied by the lane
 * that it belongs to.
 */
#include <string.h>

#include "bench/party.h"
#include "bench/traffic.h"
#include "core/engine.h"
#include "lib/port.h"
#include "port/shm/shm.h"

enum {
	PAIRS_MAX = 64,
	GROUP = 2,  /* opts.spread: to a group address */
	FLOWS = 64, /* of a ring, if there are several per port */
	SENDER_MAC = 0x1000000,
	RECEIVER_MAC = 0x2000000,
};

struct lane {
	struct engine *engine;
	unsigned worker, n_senders, n_receivers;
	struct sender *sender[PAIRS_MAX * 2];
	struct receiver receiver[PAIRS_MAX * 4];
};

struct cores {
	struct engine *engine;
	struct vswitch *sw;
	unsigned n_ports;
	struct glen_port *port[2 * PAIRS_MAX];
	struct lane lane[ROLES_MAX];
};

static unsigned step_send(void *state)
{
	struct lane *l = state;
	unsigned n = 0;

	for (unsigned i = 0; i < l->n_senders; i++)
		n += sender_step(l->sender[i]);
	return n;
}

static unsigned step_switch(void *state)
{
	struct lane *l = state;

	return engine_poll_worker(l->engine, l->worker);
}

static unsigned step_receive(void *state)
{
	struct lane *l = state;
	unsigned n = 0;

	for (unsigned i = 0; i < l->n_receivers; i++)
		n += receiver_step(&l->receiver[i]);
	return n;
}

static void on_close(void *arg)
{
}

/* The next port, whose ring r is run by worker (lane0 + r) % cores. */
static struct glen_port *port_new(struct cores *c, const struct party_opts *o,
				  unsigned lane0)
{
	struct port_args args = { 0 };
	struct glen_error error = { 0 };
	struct shm_port *shm;
	struct glen_port *user;
	struct port *port;
	int fds[PORT_FDS_MAX];
	unsigned n_fds = 0;
	char name[16];
	const char *workers = o->cores == 1 ? "0" : lane0 ? "1,0" : "0,1";
	json_t *info = json_object();

	snprintf(name, sizeof(name), "p%u", c->n_ports);
	args.params = json_pack("{s:i, s:i, s:i, s:s}", "rings", (int)o->rings,
				"slots", (int)o->slots, "buf_size", (int)o->buf,
				"workers", workers);
	if (port_create(c->sw, name, "shm", &args, &port, &error))
		party_die("cannot open port %s: %s", name, error.text);
	json_decref(args.params);
	port->ops->attach_info(port, info, fds, &n_fds);
	json_decref(info);
	shm = port->drv;
	if (port_map_local(&user, name, &shm->layout, shm->base, fds[0], fds[1],
			   fds[2], fds[3], on_close, NULL))
		party_die("cannot map port %s", name);
	c->port[c->n_ports++] = user;
	return user;
}

static void lane_receives(struct lane *l, struct glen_port *port, unsigned ring)
{
	receiver_init(&l->receiver[l->n_receivers++], port, ring);
}

/* Sender number i, at a ring of port. */
static void lane_sends(struct lane *l, const struct party_opts *o,
		       struct glen_port *port, unsigned ring, unsigned i,
		       uint32_t to)
{
	struct sender *s = calloc(1, sizeof(*s));

	if (!s)
		party_die("no memory");
	sender_init(s, port, ring, o->frame, o->batch, o->fill);
	sender_address(s, SENDER_MAC + i * FLOWS, to);
	if (o->spread == GROUP)
		memset(s->frame, 0xff, 6);
	if (o->rings > 1) {
		s->first_src = SENDER_MAC + i * FLOWS;
		s->n_src = FLOWS;
	}
	l->sender[l->n_senders++] = s;
}

/* Runs everything until nobody has anything to do; packets are not counted. */
static void settle(struct cores *c, unsigned n)
{
	unsigned did;

	do {
		did = 0;
		for (unsigned i = 0; i < n; i++)
			did += step_switch(&c->lane[i]);
		for (unsigned i = 0; i < n; i++)
			did += step_receive(&c->lane[i]);
	} while (did);
}

static void pairs_make(struct cores *c, const struct party_opts *o)
{
	for (unsigned i = 0; i < o->ports / 2; i++) {
		unsigned lane0 = i * o->rings % o->cores;
		struct glen_port *a = port_new(c, o, lane0);
		struct glen_port *b = port_new(c, o, lane0);

		for (unsigned r = 0; r < o->rings; r++) {
			struct lane *l = &c->lane[(lane0 + r) % o->cores];

			lane_sends(l, o, a, r, i * o->rings + r,
				   RECEIVER_MAC + i);
			lane_receives(l, b, r);
			if (o->spread == GROUP)
				lane_receives(l, a, r);
		}
		send_one(b, RECEIVER_MAC + i, SENDER_MAC, 0);
		settle(c, o->cores);
	}
}

static void fan_in_make(struct cores *c, const struct party_opts *o)
{
	struct glen_port *to = port_new(c, o, o->cores - 1);

	lane_receives(&c->lane[o->cores - 1], to, 0);
	for (unsigned i = 0; i < o->senders; i++)
		lane_sends(&c->lane[i % o->cores], o,
			   port_new(c, o, i % o->cores), 0, i, RECEIVER_MAC);
	send_one(to, RECEIVER_MAC, SENDER_MAC, 0);
	settle(c, o->cores);
}

/* Without what a lane has not, so that it costs nothing. */
static void role_make(struct role *r, struct lane *l, unsigned who)
{
	unsigned n = 0;

	*r = (struct role){ .cpu = (int)who, .who = who, .state = l };
	if (l->n_senders) {
		r->steps[n++] = step_send;
		r->steps[n++] = step_switch;
	}
	if (l->n_receivers)
		r->steps[n++] = step_receive;
	r->counts = l->n_receivers;
}

void cores_open(struct party_side *p)
{
	const struct party_opts *o = &p->opts;
	struct engine_config config = { .n_workers = o->cores, .poll = true };
	struct glen_error error = { 0 };
	struct cores *c = calloc(1, sizeof(*c));
	bool fan_in = !strcmp(o->layout, "fan-in");

	if (!c || o->cores > RECEIVERS_MAX || o->ports > 2 * PAIRS_MAX ||
	    o->rings > 2 || o->senders > PAIRS_MAX)
		party_die("cannot make so many ports, rings or workers");
	if (engine_create(&c->engine, &config, &error) ||
	    switch_create(c->engine, "bench", o->module, NULL, &c->sw, &error))
		party_die("cannot make a switch: %s", error.text);
	for (unsigned i = 0; i < o->cores; i++) {
		c->lane[i].engine = c->engine;
		c->lane[i].worker = i;
	}
	(fan_in ? fan_in_make : pairs_make)(c, o);
	p->n_roles = o->cores;
	for (unsigned i = 0; i < o->cores; i++)
		role_make(&p->roles[i], &c->lane[i], i);
}
