// SPDX-License-Identifier: BSD-2-Clause
// attach.c - the port and its interface: attached, or waiting for it.
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/rcu.h"
#include "core/worker.h"
#include "lib/error.h"
#include "port/xdp/xdp.h"

enum {
	START_MS = 1,	 /* open() returned: the rings can be run */
	BIND_TRIES = 25, /* of open(): a queue that was just given up */
	RETRY_MAX_S = 8,
	REGION_WAIT_S = 60, /* as long as clients may resume */
	LARGEST = XDP_FRAME_LARGE - XDP_HEADROOM,
};

/* What attach_here() works on, in the interface's namespace. */
struct job {
	struct xdp *x;
	bool first; /* of open() */
	struct xdp_plan plan;
	struct glen_error *error;
};

/* Ready to be sent to, and to receive. */
static bool is_up(const struct xdp_link *link)
{
	return (link->flags & IFF_UP) && (link->flags & IFF_RUNNING);
}

static int find(struct job *job)
{
	struct xdp *x = job->x;
	const char *name = x->options.ifname;
	int err = xdp_link_get(x->look_fd, 0, name, &job->plan.link);

	if (err == -ENODEV)
		return error_set(job->error, err,
				 "there is no interface %s%s%s; ip link shows "
				 "those there are",
				 name, x->netns.text[0] ? " in namespace " : "",
				 x->netns.text);
	if (err)
		return error_set(job->error, err,
				 "cannot look at interface %s: %s", name,
				 strerror(-err));
	if (!(job->plan.link.flags & IFF_UP))
		return error_set(job->error, -ENETDOWN,
				 "interface %s is down: ip link set %s up",
				 name, name);
	return 0;
}

static int plan_queues(struct job *job)
{
	struct xdp_plan *p = &job->plan;
	const struct xdp_config *o = p->options;
	unsigned have = p->link.n_rx;
	unsigned want = o->queues ? o->queues : have;

	if (want > XDP_QUEUES_MAX)
		return error_set(job->error, -EINVAL,
				 "%s has %u receive queues, a port has at most "
				 "%d: ethtool -L %s combined %d, or queues=N "
				 "to take the first N",
				 p->link.ifname, have, XDP_QUEUES_MAX,
				 p->link.ifname, XDP_QUEUES_MAX);
	if (want > have)
		return error_set(job->error, -EINVAL,
				 "queues: %s has %u receive queues, not %u",
				 p->link.ifname, have, want);
	if (job->x->n_queues && want != job->x->n_queues)
		return error_set(job->error, -EINVAL,
				 "%s has %u receive queues now, and the port "
				 "was made for %u: ethtool -L, or delete the "
				 "port and add it again",
				 p->link.ifname, have, job->x->n_queues);
	p->n_queues = want;
	return 0;
}

/* Frames that hold what the interface may receive. */
static void plan_frames(struct xdp_plan *p)
{
	unsigned need = p->link.mtu + XDP_FRAME_EXTRA;

	p->multi = need > LARGEST;
	p->frame_size = need > XDP_FRAME_SMALL - XDP_HEADROOM ?
				XDP_FRAME_LARGE :
				XDP_FRAME_SMALL;
}

/*
 * The region, which another port may have made, or this one makes. After a
 * restart of glend its memory is with the programs that shared it: the port
 * waits for one of them, since a region with other memory would lock them out.
 */
static int region_ready(struct job *job)
{
	struct xdp *x = job->x;
	const struct xdp_config *o = &x->options;
	const struct region_wish wish = { .name = o->region,
					  .token = o->region_token,
					  .n_bufs = o->region_bufs };
	int err = 0;

	if (!o->region)
		return 0;
	if (!x->member.region && x->region_since_s &&
	    !region_find(x->port->sw->engine, o->region) &&
	    (int64_t)(worker_clock() / 1000000000) - x->region_since_s <
		    REGION_WAIT_S)
		return error_set(job->error, -EAGAIN,
				 "region %s was shared with others before "
				 "glend was restarted, and none of them is "
				 "back yet",
				 o->region);
	x->member.port = x->port;
	if (!x->member.region)
		err = region_join(x->port->sw->engine, &wish, &x->member,
				  job->error);
	job->plan.region = x->member.region;
	job->plan.port = x->port;
	return err;
}

/* Its buffers are the frames, if they can be. */
static int region_frames(struct job *job)
{
	struct xdp_plan *p = &job->plan;
	uint32_t size;

	if (!p->region)
		return 0;
	size = p->region->buf_size;
	if (size != XDP_FRAME_SMALL && size != XDP_FRAME_LARGE)
		return error_set(job->error, -EINVAL,
				 "buffers of region %s have %u bytes: an xdp "
				 "port needs %d or %d",
				 p->region->name, size, XDP_FRAME_SMALL,
				 XDP_FRAME_LARGE);
	p->frame_size = size;
	p->multi = p->link.mtu + XDP_FRAME_EXTRA > size - XDP_HEADROOM;
	return 0;
}

/* Offloads that would harm what is captured. */
static int settings(struct job *job, bool native)
{
	static const enum netdev_setting off[] = { NETDEV_RXVLAN, NETDEV_LRO,
						   NETDEV_GRO };
	struct xdp *x = job->x;
	unsigned n = native ? 2 : 3; /* generic mode comes behind GRO */
	int err = 0;

	for (unsigned i = 0; !err && i < n; i++) {
		if (off[i] == NETDEV_RXVLAN &&
		    !strcmp(job->plan.link.kind, "veth"))
			continue; /* means nothing there */
		err = netdev_setting_change(&x->dev, off[i], false, job->error);
	}
	return err;
}

static int sockets_open(struct job *job, bool native)
{
	struct xdp *x = job->x;
	struct xdp_sock *s;
	int err = 0;

	for (unsigned i = 0; !err && i < job->plan.n_queues; i++) {
		err = xdp_sock_open(&job->plan, i, native,
				    job->first ? BIND_TRIES : 1, &s,
				    job->error);
		if (err)
			break;
		s->timer = &x->timer;
		x->zero_copy = s->zero_copy;
		rcu_publish(&x->queues[i].sock, s);
		err = xdp_prog_set_socket(&x->prog, i, s->fd);
		if (err)
			error_set(job->error, err,
				  "cannot enter the socket of queue %u: %s", i,
				  strerror(-err));
	}
	return err;
}

/* No worker has the sockets any more when they are closed. */
static void sockets_close(struct xdp *x)
{
	struct xdp_sock *old[XDP_QUEUES_MAX];

	for (unsigned i = 0; i < XDP_QUEUES_MAX; i++) {
		old[i] = atomic_load(&x->queues[i].sock);
		rcu_publish(&x->queues[i].sock, NULL);
	}
	rcu_wait();
	for (unsigned i = 0; i < XDP_QUEUES_MAX; i++)
		xdp_sock_close(old[i]);
}

static int attach_mode(struct job *job, bool native)
{
	struct xdp *x = job->x;
	int err;

	job->plan.fill_csum = x->options.csum == XDP_CSUM_FILL ||
			      (x->options.csum == XDP_CSUM_AUTO &&
			       (!native || !job->plan.link.card));
	err = settings(job, native);
	err = err ?: xdp_prog_load(&job->plan, native, &x->prog, job->error);
	err = err ?: xdp_prog_link(&job->plan, native, &x->prog, job->error);
	err = err ?: sockets_open(job, native);
	if (!err)
		return 0;
	xdp_prog_close(&x->prog);
	sockets_close(x);
	return err;
}

/* Sees packets for any address as long as its descriptor is open. */
static int promisc(struct job *job)
{
	struct xdp *x = job->x;
	struct packet_mreq req = { .mr_ifindex = (int)job->plan.link.ifindex,
				   .mr_type = PACKET_MR_PROMISC };

	if (!x->options.promisc)
		return 0;
	x->promisc_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->promisc_fd >= 0 &&
	    !setsockopt(x->promisc_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req,
			sizeof(req)))
		return 0;
	return error_set(job->error, -errno,
			 "cannot make %s promiscuous: %s; promisc=false goes "
			 "without",
			 job->plan.link.ifname, strerror(errno));
}

/* Native, else generic mode. */
static int attach_modes(struct job *job)
{
	struct xdp *x = job->x;
	enum xdp_mode mode = x->options.mode;
	struct glen_error own;
	struct glen_error *error = job->error ? job->error : &own;
	int err;

	x->note[0] = '\0';
	if (mode == XDP_MODE_GENERIC)
		return attach_mode(job, false);
	job->error = error;
	/* The host's side was made for the mode that there was. */
	if (x->options.host && !job->first)
		return attach_mode(job, !x->prog.generic);
	err = attach_mode(job, true);
	/* Where somebody else is, or rights are missing, generic mode would
	 * fare no better. */
	if (!err || mode == XDP_MODE_NATIVE || err == -EBUSY || err == -EPERM ||
	    err == -EEXIST || err == -ENOMEM ||
	    x->options.zero_copy == XDP_ZC_ON)
		return err;
	snprintf(x->note, sizeof(x->note), "%s", error->text);
	return attach_mode(job, false);
}

static int attach_here(void *arg)
{
	struct job *job = arg;
	struct xdp *x = job->x;
	int err;

	job->plan.options = &x->options;
	err = find(job);
	err = err ?: plan_queues(job);
	if (err)
		return err;
	plan_frames(&job->plan);
	err = region_ready(job);
	err = err ?: region_frames(job);
	if (err)
		return err;
	err = netdev_open(&x->dev, x->options.ifname, x->port->params,
			  job->error);
	err = err ?: attach_modes(job);
	err = err ?: promisc(job);
	return err;
}

static void promisc_close(struct xdp *x)
{
	if (x->promisc_fd >= 0)
		close(x->promisc_fd);
	x->promisc_fd = -1;
}

/* Packets of the kernel's statistics that no counter has yet. */
static void count_kernel_drops(struct xdp *x, unsigned i, struct xdp_sock *s)
{
	struct ingress *in = &x->port->in[i];
	struct xdp_statistics now, *was = &s->counted;
	uint64_t dropped, empty, full;

	if (!in->counters || xdp_sock_statistics(s, &now))
		return;
	dropped = now.rx_dropped - was->rx_dropped;
	empty = now.rx_fill_ring_empty_descs - was->rx_fill_ring_empty_descs;
	full = now.rx_ring_full - was->rx_ring_full;
	/* Without a frame, or too long for one. In zero-copy mode a driver that
	 * finds the fill ring empty has not dropped anything yet. */
	empty = empty < dropped ? empty : dropped;
	if (full + empty)
		in_drop_unseen(in, DROP_IN_KERNEL_FULL, full + empty);
	if (dropped - empty)
		in_drop_unseen(in, DROP_IN_TOO_LONG, dropped - empty);
	*was = now;
}

static void count_all(struct xdp *x)
{
	for (unsigned i = 0; i < x->n_queues; i++) {
		struct xdp_sock *s = atomic_load(&x->queues[i].sock);

		if (s)
			count_kernel_drops(x, i, s);
	}
}

static void detach(struct xdp *x)
{
	for (unsigned i = 0; i < x->n_queues; i++)
		port_in_stop(&x->port->in[i]);
	xdp_prog_close(&x->prog); /* packets go to the host again */
	count_all(x);
	sockets_close(x);
	promisc_close(x);
	netdev_close(&x->dev);
	x->attached = false;
	atomic_store(&x->up, false);
}

static int attach(struct xdp *x, bool first, struct glen_error *error)
{
	struct job job = { .x = x, .first = first, .error = error };
	int err = netns_call(x->netns.path, attach_here, &job, error);

	if (err) {
		detach(x);
		return err;
	}
	x->link = job.plan.link;
	x->n_queues = job.plan.n_queues;
	x->frame_size = job.plan.frame_size;
	x->multi = job.plan.multi;
	x->fill_csum = job.plan.fill_csum;
	x->attached = true;
	x->retry_s = x->retry_in_s = 0;
	x->why[0] = '\0';
	atomic_store(&x->up, is_up(&x->link));
	/* Rings that the interface cannot send by are not used. */
	if (x->port->n_out)
		port_out_use(x->port, x->link.n_tx < x->n_queues ?
					      x->link.n_tx :
					      x->n_queues);
	return 0;
}

/* The rings of a port that is attached, and that the core knows. */
static void rings_start(struct xdp *x)
{
	struct glen_error error;

	for (unsigned i = 0; x->attached && i < x->n_queues; i++) {
		struct ingress *in = &x->port->in[i];
		struct xdp_sock *s = atomic_load(&x->queues[i].sock);

		if (in->worker || !in->counters || !s)
			continue;
		if (port_in_start(in, s->fd, &error))
			port_log(x->port, "%s", error.text);
	}
}

static void wait_for(struct xdp *x, const char *why)
{
	if (strcmp(why, x->why))
		port_log(x->port, "waits: %s", why);
	snprintf(x->why, sizeof(x->why), "%s", why);
}

static void try_attach(struct xdp *x)
{
	struct glen_error error;

	if (attach(x, false, &error)) {
		wait_for(x, error.text);
		/* The host would wait, too: it rather has its interface. */
		if (x->options.host) {
			port_break(x->port, "its interface cannot be attached "
					    "to again");
			return;
		}
		x->retry_s = x->retry_s ? 2 * x->retry_s : 1;
		if (x->retry_s > RETRY_MAX_S)
			x->retry_s = RETRY_MAX_S;
		x->retry_in_s = x->retry_s;
		return;
	}
	port_log(x->port, "attached to %s", x->link.ifname);
	rings_start(x);
}

static void lost(struct xdp *x, const char *why)
{
	char text[XDP_WHY_SIZE];

	snprintf(text, sizeof(text), why, x->link.ifname);
	detach(x);
	wait_for(x, text);
}

/* Another MTU may want other frames. */
static void mtu_look(struct xdp *x, const struct xdp_link *now)
{
	struct xdp_plan plan = { .link = *now };

	if (now->mtu == x->link.mtu)
		return;
	plan_frames(&plan);
	if (x->member.region) {
		plan.frame_size = x->frame_size;
		plan.multi = now->mtu + XDP_FRAME_EXTRA >
			     x->frame_size - XDP_HEADROOM;
	}
	if (plan.multi != x->multi || plan.frame_size != x->frame_size) {
		detach(x);
		try_attach(x);
		return;
	}
	for (unsigned i = 0; i < x->n_queues; i++)
		atomic_store(&atomic_load(&x->queues[i].sock)->max_len,
			     now->mtu + 14);
}

void xdp_look(struct xdp *x)
{
	struct xdp_link now;
	int err;

	if (netns_is_gone(&x->netns)) {
		port_break(x->port, "its network namespace was deleted");
		return;
	}
	if (!x->attached) {
		err = xdp_link_get(x->look_fd, 0, x->options.ifname, &now);
		if (!err && (now.flags & IFF_UP))
			try_attach(x);
		return;
	}
	err = xdp_link_get(x->look_fd, x->link.ifindex, NULL, &now);
	if (err == -ENODEV && x->options.host) {
		port_break(x->port, "its interface was deleted");
		return;
	}
	if (err == -ENODEV) {
		lost(x, "interface %s was deleted, or moved to another "
			"namespace");
		/* Another one may have its name already. */
		if (!xdp_link_get(x->look_fd, 0, x->options.ifname, &now))
			xdp_look(x);
		return;
	}
	if (err)
		return;
	atomic_store(&x->up, is_up(&now));
	mtu_look(x, &now);
	if (x->attached)
		x->link = now;
}

static void on_watch(void *arg, uint32_t events)
{
	struct xdp *x = arg;

	xdp_link_drain(x->watch.fd);
	xdp_look(x);
}

/* Rings of a port that was just opened; what the kernel did not send. */
static void on_timer(void *arg)
{
	struct xdp *x = arg;
	unsigned slot = x->port->sw->engine->n_workers;

	rings_start(x);
	for (unsigned i = 0; i < x->n_queues; i++) {
		struct xdp_sock *s = atomic_load(&x->queues[i].sock);

		if (!s || !atomic_exchange(&s->tx_left, false) ||
		    !x->port->out[i].counters)
			continue;
		xdp_count_lost(&x->port->out[i].counters[slot], xdp_tx_wake(s));
	}
}

/* In the interface's namespace. */
static int sockets_here(void *arg)
{
	struct job *job = arg;
	struct xdp *x = job->x;

	x->look_fd = xdp_link_socket(0);
	x->watch.fd = xdp_link_socket(RTMGRP_LINK);
	if (x->look_fd >= 0 && x->watch.fd >= 0)
		return 0;
	return error_set(job->error, -EMFILE, "cannot open a netlink socket");
}

static int watch_open(struct xdp *x, struct glen_error *error)
{
	struct job job = { .x = x, .error = error };
	struct loop *loop = port_loop(x->port);
	int err = netns_call(x->netns.path, sockets_here, &job, error);

	if (err)
		return err;
	err = loop_timer_init(loop, &x->timer, on_timer, x);
	x->watch.ready = on_watch;
	x->watch.arg = x;
	if (!err)
		err = loop_add(loop, &x->watch, EPOLLIN);
	if (err)
		return error_set(error, err, "cannot watch interfaces: %s",
				 strerror(-err));
	loop_timer_set(&x->timer, START_MS);
	return 0;
}

int xdp_attach_open(struct xdp *x, bool may_wait, struct glen_error *error)
{
	struct glen_error own;
	int err;

	x->look_fd = x->watch.fd = x->timer.source.fd = x->promisc_fd = -1;
	x->dev.sock = -1;
	xdp_prog_init(&x->prog);
	err = watch_open(x, error);
	if (err)
		return err;
	error = error ? error : &own;
	err = attach(x, true, error);
	if (!err || !may_wait)
		return err;
	wait_for(x, error->text);
	return 0;
}

void xdp_attach_close(struct xdp *x)
{
	detach(x);
	loop_timer_fini(port_loop(x->port), &x->timer);
	if (x->watch.fd >= 0) {
		loop_del(port_loop(x->port), &x->watch);
		close(x->watch.fd);
	}
	if (x->look_fd >= 0)
		close(x->look_fd);
}

/* For the next glend: whether the region is shared with other ports. */
static void others_note(struct xdp *x)
{
	const struct region *r = x->member.region;
	bool others = false;

	for (unsigned id = 1; r && id <= REGION_MEMBERS_MAX; id++)
		others |= r->member[id] && r->member[id]->port != x->port;
	if (x->saved && r)
		x->saved->others = others;
}

void xdp_tick(struct port *port)
{
	struct xdp *x = port->drv;

	others_note(x);
	if (!x->attached && x->retry_in_s && --x->retry_in_s)
		return;
	xdp_look(x);
	if (!x->attached)
		return;
	rings_start(x);
	count_all(x);
	if (xdp_prog_attached(&x->prog, x->link.ifindex))
		return;
	lost(x, "the XDP program was taken off %s");
	try_attach(x);
}
