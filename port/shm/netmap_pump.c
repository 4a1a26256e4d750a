// SPDX-License-Identifier: BSD-2-Clause
// netmap_pump.c - make and end the pumps of pipes and of RX rings; see pump.h.
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"
#include "core/worker.h"
#include "lib/error.h"
#include "lib/shm.h"
#include "port/shm/netmap_port.h"
#include "port/shm/pump.h"

enum {
	RETURNS = 8,	    /* times that a pair is given back */
	OWNER_NS = 1000000, /* that a sender may be inside of a sync */
};

static void init_pair(struct pump_pair *p, const struct netmap_window *w,
		      unsigned end, unsigned i)
{
	const struct nm_window *l = &w->layout;
	unsigned tx = nmw_line(l, end, NMW_TX, i);
	unsigned rx = nmw_line(l, !end, NMW_RX, i);

	p->tx = nmw_ring(l, w->base, tx)->slot;
	p->rx = nmw_ring(l, w->base, rx)->slot;
	p->tx_atok = nmw_atok(w->base, tx);
	p->rx_atok = nmw_atok(w->base, rx);
	p->tx_ktoa = nmw_ktoa(w->base, tx);
	p->rx_ktoa = nmw_ktoa(w->base, rx);
	p->sync = nmw_sync(w->base, tx);
	p->mask = nmw_slots(l, end, NMW_TX) - 1;
	p->looked = shm_load32(&p->sync->turn);
	shm_store32(&p->sync->looked, p->looked);
	/* (C) */
	__atomic_store_n(&p->sync->watched, 1, __ATOMIC_SEQ_CST);
}

static void call_end(struct shm_peer *peer, struct nm_csb_atok *atok,
		     uint32_t called[2])
{
	const struct pump_end *e = (struct pump_end *)peer;
	const struct netmap_window *w = e->port->rings.window;
	unsigned how = netmap_asked(atok, called);

	if (how & 1u << NMW_BY_FUTEX)
		nmw_wake(nmw_calls(&w->layout, w->base, e->end));
	if (how & 1u << NMW_BY_BYTE)
		netmap_bell_call_end(e->port->rings.bell, e->end);
}

static int init_pairs(struct pump *pump, const struct netmap_window *w)
{
	const struct nm_window *l = &w->layout;
	unsigned end;

	pump->n_tx = nmw_n(l, 0, NMW_TX);
	pump->n_pairs = pump->n_tx + nmw_n(l, 1, NMW_TX);
	pump->pair = calloc(pump->n_pairs, sizeof(*pump->pair));
	if (!pump->pair)
		return -ENOMEM;
	for (unsigned i = 0; i < pump->n_pairs; i++) {
		end = i >= pump->n_tx;
		pump->pair[i].sender = &pump->end[end].peer;
		pump->pair[i].receiver = &pump->end[!end].peer;
		init_pair(&pump->pair[i], w, end, end ? i - pump->n_tx : i);
	}
	return 0;
}

static void init_outs(struct pump *pump, struct port *port)
{
	const struct netmap_port *p = port->drv;
	const struct netmap_window *w = p->rings.window;

	for (unsigned i = 0; i < port->n_out; i++) {
		struct pump_out *o = &pump->out[i];

		o->egress = &port->out[i];
		o->atok = nmw_atok(w->base, p->rings.rx_line + i);
		o->ktoa = nmw_ktoa(w->base, p->rings.rx_line + i);
		o->seen = shm_load32(&o->atok->head);
	}
	atomic_store(&pump->n_outs, port->n_out);
}

static int make_pump(struct netmap_port *p, const struct netmap_window *w,
		     struct port *outs)
{
	const struct region *region = w->member.region;
	struct pump *pump = calloc(1, sizeof(*pump));

	if (!pump)
		return -ENOMEM;
	p->pump = pump;
	pump->peer = &p->peer;
	for (unsigned end = 0; end < 2; end++) {
		pump->end[end].peer.call = call_end;
		pump->end[end].port = p;
		pump->end[end].end = end;
	}
	pump->bufs = region->bufs;
	pump->n_bufs = region->n_bufs;
	pump->buf_size = region->buf_size;
	pump->offset_mask = w->offset_mask;
	/* Not a value that a client answered for an earlier one. */
	pump->arm_value = (uint32_t)worker_clock();
	if (!outs)
		return init_pairs(pump, w);
	init_outs(pump, outs);
	p->pumped = outs->drv;
	p->pumped->pumped_by = p;
	return 0;
}

/* The opens that there are kick it, as those that come. */
static int watch_bell(const struct netmap_port *p)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct netmap_bell *bell = p->rings.bell;
	int err = 0;

	pthread_mutex_lock(&bell->lock);
	for (unsigned i = 0; i < bell->n && !err; i++)
		if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, bell->fd[i], &ev))
			err = -errno;
	pthread_mutex_unlock(&bell->lock);
	return err;
}

static bool all_return(struct pump *pump)
{
	bool all = true;

	for (unsigned i = 0; i < pump->n_pairs; i++) {
		struct pump_pair *p = &pump->pair[i];

		shm_store32(&p->tx_ktoa->kern_need_kick, 0);
		shm_store32(&p->rx_ktoa->kern_need_kick, 0);
		/* pairs with is_watched() of the preload library, which looks
		 * after it stored a head and a fence */
		__atomic_store_n(&p->sync->watched, 0, __ATOMIC_SEQ_CST);
		shm_full_fence();
		all &= !p->taken || p->seen_tx == shm_load32(&p->tx_atok->head);
	}
	return all;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Takes pairs again in which something was handed over meanwhile. */
static void again(struct port *port, struct pump *pump, struct batch *b)
{
	struct ingress *in = &port->in[0];
	uint64_t end = now() + OWNER_NS;

	for (unsigned i = 0; i < pump->n_pairs; i++) {
		pump->pair[i].taken = false;
		__atomic_store_n(&pump->pair[i].sync->watched, 1,
				 __ATOMIC_SEQ_CST);
	}
	for (unsigned i = 0; i < pump->n_pairs; i++)
		while (__atomic_load_n(&pump->pair[i].sync->owner,
				       __ATOMIC_SEQ_CST) &&
		       now() < end)
			;
	while (in->hot->rx(in, b))
		b->n = b->n_segs = 0;
}

/*
 * Gives the pairs back to the senders. One that saw that glend moves its
 * packets may have handed over what glend did not see, and not come back: then
 * once more. No worker runs the ring.
 */
static void pump_return(struct port *port, struct pump *pump)
{
	size_t size = (sizeof(struct batch) + 63) & ~63UL;
	struct batch *b = NULL;

	for (unsigned i = 0; !all_return(pump) && i < RETURNS; i++) {
		if (!b)
			b = aligned_alloc(64, size);
		if (!b)
			break;
		batch_init(b);
		again(port, pump, b);
	}
	free(b);
}

static void pump_close(struct port *port)
{
	struct netmap_port *p = port->drv;
	struct pump *pump = p->pump;

	netmap_unwatch(p);
	if (p->pumped)
		netmap_unpump(p->pumped);
	if (pump->n_pairs) {
		const struct netmap_window *w = p->rings.window;

		pump_return(port, pump);
		/* Who waits for room looks for it. */
		for (unsigned end = 0; end < 2; end++)
			nmw_wake(nmw_calls(&w->layout, w->base, end));
	}
	netmap_bell_call(p->rings.bell);
	free(pump->pair);
	free(pump);
	netmap_port_free(port);
}

void netmap_unpump(struct netmap_port *p)
{
	struct netmap_port *by = p->pumped_by;

	if (!by)
		return;
	for (unsigned i = 0; i < p->port->n_out; i++)
		shm_store32(&by->pump->out[i].ktoa->kern_need_kick, 0);
	rcu_publish(&by->pump->n_outs, 0);
	rcu_wait();
	by->pumped = NULL;
	p->pumped_by = NULL;
}

static int pump_open(struct port *port, struct port_args *args,
		     struct glen_error *error)
{
	const struct netmap_pump_config *config = args->made;
	struct netmap_port *p;
	int err;

	if (!config)
		return error_set(error, -EINVAL,
				 "ports of driver netmap-pump are made for "
				 "monitors");
	err = netmap_port_make(port, &config->rings, &p, error);
	if (err)
		return err;
	port->n_in = 1;
	port->in[0].in_fd = p->epfd;
	err = make_pump(p, config->rings.window, config->outs) ?: watch_bell(p);
	if (!err) {
		port->in[0].drv = p->pump;
		return 0;
	}
	if (p->pumped)
		p->pumped->pumped_by = NULL;
	if (p->pump) {
		all_return(p->pump);
		free(p->pump->pair);
		free(p->pump);
	}
	p->rings.closed = NULL;
	netmap_port_free(port);
	return error_set(error, err, "cannot watch port %s: %s", port->name,
			 error_reason(-err));
}

static void pump_show(struct port *port, json_t *o)
{
	const struct netmap_port *p = port->drv;

	json_object_set_new(o, "moves",
			    json_string(p->pump->n_pairs ? "a pipe" :
							   "releases"));
}

/* Pairs whose senders were inside of a sync all the time are tried again. */
static void pump_tick(struct port *port)
{
	const struct netmap_port *p = port->drv;
	struct epoll_event ev = { .events = EPOLLIN };

	netmap_port_ops.tick(port);
	/* An edge. */
	epoll_ctl(p->epfd, EPOLL_CTL_MOD, p->rings.bell->full_fd, &ev);
}

bool netmap_pump_is_idle(const struct port *port)
{
	const struct netmap_port *p = port->drv, *of = p->pumped;

	if (p->pump->n_pairs)
		return !p->watchers;
	for (unsigned i = 0; of && i < of->port->n_out; i++) {
		const struct shm_watch *w = atomic_load(&of->out[i].watch);

		if (w && w->n > w->n_copy)
			return false;
	}
	return true;
}

extern ISA_DECLARE(const struct port_hot, pump_hot);

const struct port_ops netmap_pump_ops = {
	.name = "netmap-pump",
	.summary = "what moves packets for monitors of netmap ports",
	.options = "",
	.open = pump_open,
	.close = pump_close,
	.show = pump_show,
	.tick = pump_tick,
	.hot = ISA_TABLE_PTR(pump_hot),
};
