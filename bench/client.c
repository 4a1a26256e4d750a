// SPDX-License-Identifier: BSD-2-Clause
// client.c - sides that are clients of a glend.
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "bench/party.h"
#include "bench/traffic.h"

static struct glen_port *port_open(const struct party_opts *o, const char *name)
{
	struct glen_port_config config = { .slots = o->slots,
					   .buf_size = o->buf,
					   .connect_timeout_ms = 10000 };
	struct glen_error error = { 0 };
	struct glen_port *port;

	if (glen_port_open(&port, name, &config, &error))
		party_die("cannot open port %s: %s", name, error.text);
	return port;
}

static void *zalloc(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (!p)
		party_die("no memory");
	return memset(p, 0, size);
}

/*
 * The sender shares its processor with the receiver. A switch takes all that
 * it is given, and drops what the receiver has no room for; so the sender
 * gives way of its own accord whenever it has sent a ringful, not only when
 * its own ring is full as in the bare loop, where the switch waits.
 */
struct client_sender {
	struct sender s;
	unsigned quota, n_sent; /* since it gave way */
};

static unsigned step_send(void *state)
{
	struct client_sender *c = state;
	unsigned n = 0;

	if (c->n_sent < c->quota)
		n = sender_step(&c->s);
	c->n_sent = n ? c->n_sent + n : 0;
	return n;
}

void client_send_open(struct party_side *p)
{
	struct client_sender *c = zalloc(sizeof(*c));

	sender_init(&c->s, port_open(&p->opts, p->opts.port), 0, p->opts.frame,
		    p->opts.batch, p->opts.fill);
	c->quota = p->opts.quota ? p->opts.quota : p->opts.slots;
	p->state = c;
	p->n_roles = 1;
	p->roles[0] = (struct role){ .cpu = (int)p->opts.cpu,
				     .yield = true,
				     .steps = { step_send } };
}

static unsigned step_receive(void *state)
{
	return receiver_step(state);
}

void client_recv_open(struct party_side *p)
{
	struct receiver *r = zalloc(sizeof(*r));

	receiver_init(r, port_open(&p->opts, p->opts.port), 0);
	/* The bridge learns where the receiver is. */
	if (!send_one(r->port, FRAME_B, FRAME_A, 0))
		party_die("a fresh ring is full");
	p->state = r;
	p->n_roles = 1;
	p->roles[0] = (struct role){ .cpu = (int)p->opts.cpu,
				     .yield = true,
				     .counts = true,
				     .steps = { step_receive } };
}

struct ping {
	struct glen_port *port;
	struct side *side;
};

/* Sleeps until a packet is there, takes it. False: the port is closed. */
static bool take(struct glen_port *port)
{
	struct glen_packet packet;
	int n;

	while (!(n = glen_recv(port, 0, &packet, 1))) {
		int r = glen_wait(port, GLEN_RX, -1);

		if (r < 0 && r != -EINTR)
			return false;
	}
	if (n < 0)
		return false;
	glen_release(port, 0);
	return true;
}

static unsigned step_ping(void *state)
{
	struct ping *ping = state;
	uint64_t start = share_now();

	if (!send_one(ping->port, FRAME_A, FRAME_B, 0) || !take(ping->port))
		party_die("the port is closed: %s",
			  glen_port_error(ping->port));
	share_sample(ping->side, share_now() - start);
	return 1;
}

void client_ping_open(struct party_side *p)
{
	struct ping *ping = zalloc(sizeof(*ping));

	ping->port = port_open(&p->opts, p->opts.port);
	ping->side = p->side;
	p->state = ping;
	p->n_roles = 1;
	p->roles[0] = (struct role){ .cpu = -1,
				     .blocks = true,
				     .counts = true,
				     .steps = { step_ping } };
}

static void *pong_main(void *arg)
{
	struct glen_port *port = arg;

	while (take(port))
		if (!send_one(port, FRAME_B, FRAME_A, 0))
			party_die("the ring to the switch is full");
	party_die("the port is closed: %s", glen_port_error(port));
}

/* Answers at any time: it has no turns. */
void client_pong_open(struct party_side *p)
{
	struct glen_port *port = port_open(&p->opts, p->opts.port);
	pthread_t id;

	if (!send_one(port, FRAME_B, FRAME_A, 0))
		party_die("a fresh ring is full");
	if (pthread_create(&id, NULL, pong_main, port))
		party_die("cannot start a thread");
}

/* Ports that stay silent. */
void client_idle_open(struct party_side *p)
{
	char name[GLEN_NAME_MAX + 1];

	for (unsigned i = 0; i < p->opts.ports; i++) {
		snprintf(name, sizeof(name), "%.40s%u", p->opts.port, i);
		port_open(&p->opts, name);
	}
}
