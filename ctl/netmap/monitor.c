// SPDX-License-Identifier: BSD-2-Clause
// monitor.c - opens that see what passes the rings of another port.
/*
 * Theory of operation
 *
 * A monitor is a port of its own, which nobody else finds: a window with as
 * many rings as its parent has, and a port without ingress on the idle switch.
 * Workers copy what passes the parent's rings to its RX rings; what finds no
 * room there is dropped and counted, so a slow monitor costs nobody anything.
 * A zero-copy monitor is in its parent's region, and gets copies as well.
 *
 * It does not count as an open of the parent. When that is closed it stays, and
 * sees nothing any more.
 */
#include <errno.h>
#include <string.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

static int check(const struct nm_req *req, const struct nm_port *parent,
		 struct glen_error *error)
{
	if (!parent && !nm_is_vale(req->name) && !req->interface)
		return error_set(error, -ENXIO, "there is no port '%s'",
				 req->name);
	if (!parent || !parent->n_opens)
		return error_set(error, -EINVAL,
				 "port %s, which is to be watched, is not open",
				 req->name);
	if (parent->uid != req->uid)
		return error_set(error, -EACCES, "port %s belongs to uid %u",
				 parent->name, (unsigned)parent->uid);
	if (!parent->core[0])
		return error_set(error, -EOPNOTSUPP,
				 "a pipe cannot be watched: its packets do not "
				 "pass glend");
	return 0;
}

int nm_monitor_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
		   struct nm_port **port, struct glen_error *error)
{
	struct nm_port *parent = nm_port_find(nm, req->name), *p;
	int err = 0;

	if (!parent && req->interface && !nm_is_vale(req->name) &&
	    nm_pipe_end(req->name) < 0)
		err = nm_nic_look(nm, req, &parent, error);
	err = err ?: check(req, parent, error);
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
	p->n[NMW_TX] = parent->n[NMW_TX];
	p->n[NMW_RX] = parent->n[NMW_RX];
	p->tx_slots = parent->tx_slots;
	p->rx_slots = parent->rx_slots;
	p->watches = req->flags & (NR_MONITOR_TX | NR_MONITOR_RX);
	p->parent = parent;
	parent->refs++;
	*port = p;
	return 0;
}

int nm_monitor_begin(struct nm_port *p, const struct nmw_bind *bind,
		     struct glen_error *error)
{
	struct nmw_bind rings = *bind;

	if (!p->parent->core[0])
		return error_set(error, -EINVAL, "port %s is not open",
				 p->parent->name);
	if (!(p->watches & NR_MONITOR_TX))
		rings.tx_first = rings.tx_last = 0;
	if (!(p->watches & NR_MONITOR_RX))
		rings.rx_first = rings.rx_last = 0;
	if (netmap_watch(p->core[0], p->parent->core[0], &rings))
		return error_set(error, -ENOMEM, "out of memory");
	return 0;
}
