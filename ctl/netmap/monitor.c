// SPDX-License-Identifier: BSD-2-Clause
// monitor.c - opens that see what passes the rings of another port.
/*
 * Theory of operation
 *
 * A monitor is a port of its own, which nobody else finds: a window with as
 * many rings as its parent has, host rings too, and ports without ingress on
 * the idle switch. Workers copy what passes the parent's rings to its RX rings,
 * or exchange buffers (port/shm/watch.c); what finds no room there is dropped
 * and counted, so a slow monitor costs nobody anything.
 *
 * What no worker sees by itself needs a pump (port/shm/pump.h): the packets of
 * a pipe, and at once what is released of an RX ring, which zero-copy monitors
 * want. It comes with the first monitor of a parent that needs it and goes with
 * the last.
 *
 * A monitor does not count as an open of the parent. When that is closed it
 * stays, and sees nothing any more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

static int check_zcopy(const struct nm_req *req, const struct nm_port *parent,
		       const struct nm_mem *mem, struct glen_error *error)
{
	if (mem && mem != parent->mem)
		return error_set(error, -EINVAL,
				 "a zero-copy monitor is in the region of its "
				 "port: nr_mem_id must be %u, or 0",
				 parent->mem->id);
	if (req->offsets || parent->offset_mask)
		return error_set(error, -EOPNOTSUPP,
				 "zero-copy monitors know of no offsets");
	return 0;
}

static int check(const struct nm_req *req, const struct nm_port *parent,
		 const struct nm_mem *mem, struct glen_error *error)
{
	int end = nm_pipe_end(req->name);

	if (!parent && !nm_is_vale(req->name) && !req->interface && end < 0)
		return error_set(error, -ENXIO, "there is no port '%s'",
				 req->name);
	if (!parent || !parent->n_opens ||
	    (end >= 0 && !nm_opens_of_end(parent, end)))
		return error_set(error, -EINVAL,
				 "port %s, which is to be watched, is not open",
				 req->name);
	if (parent->uid != req->uid)
		return error_set(error, -EACCES, "port %s belongs to uid %u",
				 parent->name, (unsigned)parent->uid);
	return req->flags & NR_ZCOPY_MON ?
		       check_zcopy(req, parent, mem, error) :
		       0;
}

/* As many rings as the end of the parent has that is watched. */
static void shape(struct nm_port *p, const struct nm_port *parent)
{
	for (unsigned k = 0; k < NMW_KINDS; k++)
		p->n[k] = parent->n[p->watched_end ? k ^ NMW_RX : k];
	p->tx_slots = p->watched_end ? parent->rx_slots : parent->tx_slots;
	p->rx_slots = p->watched_end ? parent->tx_slots : parent->rx_slots;
}

int nm_monitor_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
		   struct nm_port **port, struct glen_error *error)
{
	struct nm_port *parent = nm_port_find(nm, req->name), *p;
	int err = 0;

	if (!parent && req->interface && !nm_is_vale(req->name) &&
	    nm_pipe_end(req->name) < 0)
		err = nm_nic_look(nm, req, &parent, error);
	err = err ?: check(req, parent, mem, error);
	if (!err && !mem && req->flags & NR_ZCOPY_MON) {
		mem = parent->mem;
		mem->refs++;
	}
	if (!err && !mem)
		err = nm_mem_make(nm, req->uid, &mem, error);
	if (err) {
		nm_mem_put(nm, mem);
		return err;
	}
	p = nm_port_make(nm, NM_MONITOR, req->name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	p->hidden = true;
	p->watched_end = nm_pipe_end(req->name) == 1;
	shape(p, parent);
	p->watches = req->flags &
		     (NR_MONITOR_TX | NR_MONITOR_RX | NR_ZCOPY_MON);
	p->parent = parent;
	parent->refs++;
	*port = p;
	return 0;
}

/* Kicks of its opens are a worker's business, or the loop's. */
static void who_hears(struct nm_port *p)
{
	bool worker = p->core[0] || p->core[NM_PUMP];

	for (unsigned i = 0; i < NMW_OPENS; i++)
		if (p->open[i])
			loop_set(&p->nm->loop, &p->open[i]->source,
				 worker ? EPOLLRDHUP : EPOLLIN | EPOLLRDHUP);
}

/* A pump for the port's NIC rings (0), host rings (1), or a pipe (0). */
static int get_pump(struct nm_port *p, unsigned i, struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	int err;

	if (p->core[NM_PUMP + i])
		return 0;
	snprintf(full, sizeof(full), "%s:pump-%" PRIu64, NM_IDLE_SWITCH,
		 ++p->nm->n_odd);
	err = nm_port_pump(p, i, full, error);
	if (!err && p->kind == NM_PIPE)
		who_hears(p);
	return err;
}

void nm_monitor_end(struct nm_port *p)
{
	for (unsigned i = NM_PUMP; i < NM_CORES; i++) {
		if (!p->core[i] || !netmap_pump_is_idle(p->core[i]))
			continue;
		nm_port_unplug(p, i);
		if (p->kind == NM_PIPE)
			who_hears(p);
	}
}

/* The part of a range that lies in [from, to), counted from there. */
static void cut(uint16_t *first, uint16_t *last, unsigned from, unsigned to)
{
	unsigned a = *first < from ? from : *first;
	unsigned b = *last > to ? to : *last;

	*first = (uint16_t)(a < b ? a - from : 0);
	*last = (uint16_t)(a < b ? b - from : 0);
}

/* Watches the bound ones of the NIC rings (0) or host rings (1). */
static int watch(struct nm_port *p, unsigned i, const struct nmw_bind *bind,
		 struct glen_error *error)
{
	struct nm_port *parent = p->parent;
	bool zcopy = p->watches & NR_ZCOPY_MON, pipe = parent->kind == NM_PIPE;
	unsigned tx = i ? p->n[NMW_TX] : 0, rx = i ? p->n[NMW_RX] : 0;
	struct nmw_bind rings = *bind;
	struct port *of;
	int err = 0;

	cut(&rings.tx_first, &rings.tx_last, tx,
	    tx + p->n[i ? NMW_HOST_TX : NMW_TX]);
	cut(&rings.rx_first, &rings.rx_last, rx,
	    rx + p->n[i ? NMW_HOST_RX : NMW_RX]);
	if (!(p->watches & NR_MONITOR_TX))
		rings.tx_last = rings.tx_first;
	if (!(p->watches & NR_MONITOR_RX))
		rings.rx_last = rings.rx_first;
	if (rings.tx_first == rings.tx_last && rings.rx_first == rings.rx_last)
		return 0;
	if (!pipe && !parent->core[i])
		return error_set(error, -EINVAL, "port %s is not open",
				 parent->name);
	if (pipe || (zcopy && rings.rx_first < rings.rx_last))
		err = get_pump(parent, i, error);
	if (err)
		return err;
	of = pipe ? parent->core[NM_PUMP] : parent->core[i];
	if (netmap_watch(p->core[i], of, p->watched_end, &rings, zcopy))
		return error_set(error, -ENOMEM, "out of memory");
	return 0;
}

int nm_monitor_begin(struct nm_port *p, const struct nmw_bind *bind,
		     struct glen_error *error)
{
	int err = watch(p, 0, bind, error);

	if (!err && p->core[1])
		err = watch(p, 1, bind, error);
	if (err)
		nm_monitor_end(p->parent);
	return err;
}

void nm_monitor_again(struct nm_port *parent)
{
	struct glen_error error;

	for (struct nm_port *p = parent->nm->ports; p; p = p->next)
		for (unsigned i = 0; p->kind == NM_MONITOR && i < NMW_OPENS;
		     i++)
			/* Without memory: it sees nothing any more. */
			if (p->parent == parent && p->open[i])
				nm_monitor_begin(p, &p->open[i]->bind, &error);
}
