// SPDX-License-Identifier: BSD-2-Clause
// register.c - bind an open to a port, and tell what it is bound to.
#include <errno.h>
#include <sys/epoll.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

static json_t *bound(const struct nm_open *o)
{
	const struct nm_port *p = o->port;
	const struct nm_window *l = &p->window->layout;
	const struct region *r = p->window->member.region;
	unsigned end = o->end;
	json_t *object = json_pack(
		"{sb ss ss si si si si si si si si si si si si}", "bound", 1,
		"kind", nm_kind_name(p->kind), "name", o->name, "end", (int)end,
		"open", (int)o->index, "n_tx", (int)nmw_n(l, end, NMW_TX),
		"n_rx", (int)nmw_n(l, end, NMW_RX), "n_host_tx",
		(int)nmw_n(l, end, NMW_HOST_TX), "n_host_rx",
		(int)nmw_n(l, end, NMW_HOST_RX), "tx_slots",
		(int)nmw_slots(l, end, NMW_TX), "rx_slots",
		(int)nmw_slots(l, end, NMW_RX), "buf_size", (int)r->buf_size,
		"n_bufs", (int)r->n_bufs, "mem_id", (int)p->mem->id, "member",
		(int)p->window->member.id);
	json_t *more = json_pack(
		"{sI sI sI sI sI sI sI sI sI sI si si si si si "
		"ss}",
		"memsize", (json_int_t)nm_mem_size(p->mem), "windows",
		(json_int_t)p->window->member.region->windows, "place",
		(json_int_t)netmap_window_place(p->window), "offset",
		(json_int_t)(netmap_window_place(p->window) +
			     nmw_nifp_off(o->index)),
		"mode", (json_int_t)o->mode, "ringid", (json_int_t)o->ringid,
		"flags", (json_int_t)o->flags, "extra_bufs",
		(json_int_t)o->extra_bufs, "vnet_hdr_len",
		(json_int_t)p->hdr_len, "offset_mask",
		(json_int_t)p->window->offset_mask, "offset_max",
		(int)p->window->offset_max, "tx_first", (int)o->bind.tx_first,
		"tx_last", (int)o->bind.tx_last, "rx_first",
		(int)o->bind.rx_first, "rx_last", (int)o->bind.rx_last,
		"region", r->name);

	if (!object || !more || json_object_update(object, more)) {
		json_decref(object);
		object = NULL;
	}
	json_decref(more);
	return object;
}

static int answer(const struct nm_open *o, struct nm_call *call)
{
	if (!o->port) {
		call->result = json_pack("{sb}", "bound", 0);
		return 0;
	}
	call->result = bound(o);
	call->out[0] = o->port->window->fd;
	call->out[1] = o->port->window->member.region->bufs_fd;
	call->n_out = 2;
	return 0;
}

int nm_attach(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { NULL };
	struct nm_open *o;
	int err = params_check(call->params, keys, error);

	err = err ?: nm_open_of(nm, call, &o, error);
	return err ? err : answer(o, call);
}

static int check(const struct nm_port *p, const struct nm_req *req,
		 struct glen_error *error)
{
	if (p->hdr_len && !(req->flags & NR_ACCEPT_VNET_HDR))
		return error_set(error, -EIO,
				 "packets of port %s have virtio-net headers, "
				 "and NR_ACCEPT_VNET_HDR is not set",
				 p->name);
	return 0;
}

int nm_register(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = {
		"name",		 "mode",	  "ringid",
		"flags",	 "mem_id",	  "tx_rings",
		"rx_rings",	 "tx_slots",	  "rx_slots",
		"host_tx_rings", "host_rx_rings", "extra_bufs",
		"interface",	 "netns",	  "offsets",
		"extmem",	 "swap",	  NULL
	};
	struct nm_port *p = NULL;
	struct nm_mem *mem = NULL;
	struct nm_open *o;
	struct nm_req req;
	int err = nm_req_read(call, keys, &req, error);

	err = err ?: nm_open_of(nm, call, &o, error);
	if (!err && o->port)
		err = error_set(error, -EBUSY,
				"this descriptor is bound to port %s already",
				o->port->name);
	if (!err && req.extmem) {
		err = nm_external_get(nm, req.uid, &req.pools, &mem, error);
		req.mem_id = err ? 0 : mem->id;
	}
	err = err ?: nm_port_get(nm, &req, &p, error);
	if (!err && mem && p->mem != mem)
		err = error_set(error, -EBUSY,
				"option EXTMEM: port %s is there, and has "
				"another region",
				p->name);
	nm_mem_put(nm, mem);
	if (!p)
		return err;
	err = err ?: check(p, &req, error);
	err = err ?: nm_port_bind(p, o, &req, error);
	nm_port_put(p);
	if (!err)
		nm_external_drop(o);
	return err ? err : answer(o, call);
}

/*
 * What glend granted was of no use to the program, and its REGISTER fails: the
 * descriptor is as if there had been none.
 */
int nm_unregister(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { NULL };
	struct nm_open *o;
	int err = params_check(call->params, keys, error);

	err = err ?: nm_open_of(nm, call, &o, error);
	if (!err)
		err = loop_set(&nm->loop, &o->source, EPOLLIN | EPOLLRDHUP);
	if (err)
		return err;
	nm_open_reset(o);
	call->result = json_object();
	return 0;
}
