// SPDX-License-Identifier: BSD-2-Clause
// nic.c - interfaces of the host as netmap ports, with the host's own rings.
/*
 * Theory of operation
 *
 * While somebody has an interface open, it is on a switch of its own, of module
 * static, that joins it with the rings of its netmap port:
 *
 *   the wire  <--> port wire   <--> port rings       <--> NIC rings
 *   the host  <--> port wire^  <--> port host-rings  <--> host rings
 *
 * wire is of driver xdp, or of driver packet where AF_XDP is not to be had, and
 * has its host's side as wire^: what the host sends on the interface comes to
 * the host rings, and what the program sends there goes to the host. Ring i is
 * queue i, where wire has as many rings as the port: driver xdp has one per
 * queue. As in
 * netmap the wire stays the host's as long as only host rings are bound: then
 * wire and wire^ are joined in one direction, and the rest is as above.
 *
 * The switch is called netmap.nic.NAME, is neither saved nor configured, and
 * goes when the last open does. What was changed of the interface is undone by
 * the drivers, or by the guards if glend is killed (docs/nics.md).
 *
 * Names are the caller's: an interface is looked for in its network namespace,
 * which it tells by inode.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/engine.h"
#include "ctl/log.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"
#include "port/netdev.h"

struct nm_nic {
	char ifname[IFNAMSIZ];
	char netns[NETNS_PATH_SIZE]; /* as the option; "": glend's */
	uint64_t netns_ino;
	char sw[PORT_NAME_SIZE]; /* while it is started */
	struct port *wire;	 /* NULL: not started, or gone */
	bool to_host;		 /* what comes in is the host's */
	bool gone;		 /* nobody finds it any more */
};

static json_t *wire_params(const struct nm_nic *nic)
{
	json_t *params = json_pack("{ss}", "ifname", nic->ifname);

	if (params && nic->netns[0])
		json_object_set_new(params, "netns", json_string(nic->netns));
	return params;
}

/* The interface that a request means: in its caller's namespace. */
static int open_netdev(const struct nm_req *req, struct nm_nic *nic,
		       struct netdev *dev, struct glen_error *error)
{
	json_t *params;
	int err = netdev_name_check(req->name, error);

	memset(dev, 0, sizeof(*dev));
	dev->sock = -1;
	err = err ?: netns_find(req->netns, req->pid, nic->netns, error);
	if (!err) {
		strcpy(nic->ifname, req->name);
		params = wire_params(nic);
		err = netdev_open(dev, nic->ifname, params, error);
		json_decref(params);
	}
	if (!err)
		nic->netns_ino = netdev_netns_ino(dev);
	/* Netmap's word for "no such port". */
	return err == -ENODEV || err == -ENOENT ? -ENXIO : err;
}

static struct nm_port *find(struct nm *nm, const struct nm_nic *like)
{
	for (struct nm_port *p = nm->ports; p; p = p->next)
		if (p->nic && !p->nic->gone &&
		    p->nic->netns_ino == like->netns_ino &&
		    !strcmp(p->nic->ifname, like->ifname))
			return p;
	return NULL;
}

int nm_nic_look(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error)
{
	struct nm_nic nic = { 0 };
	struct netdev dev;
	int err = open_netdev(req, &nic, &dev, error);

	netdev_close(&dev);
	*port = err ? NULL : find(nm, &nic);
	return err;
}

bool nm_nic_is_open(struct nm *nm, const char *ifname)
{
	for (const struct nm_port *p = nm->ports; p; p = p->next)
		if (p->nic && p->n_opens && !strcmp(p->nic->ifname, ifname))
			return true;
	return false;
}

static int make(struct nm *nm, const struct nm_req *req,
		const struct nm_nic *like, const struct netdev *dev,
		struct nm_mem *mem, struct nm_port **port,
		struct glen_error *error)
{
	struct nm_nic *nic = malloc(sizeof(*nic));
	unsigned rx, tx;
	struct nm_port *p = nic ? nm_port_make(nm, NM_NIC, req->name, mem) :
				  NULL;

	if (!p) {
		if (!nic)
			nm_mem_put(nm, mem);
		free(nic);
		return error_set(error, -ENOMEM, "out of memory");
	}
	*nic = *like;
	p->nic = nic;
	/* Names of interfaces are of a namespace: find() finds it. */
	p->hidden = true;
	nm_port_shape(p, req);
	netdev_queues(dev, &rx, &tx);
	p->n[NMW_TX] = nm_bound(tx, 1, 1, NMW_RINGS_MAX);
	p->n[NMW_RX] = nm_bound(rx, 1, 1, NMW_RINGS_MAX);
	p->n[NMW_HOST_TX] = nm_bound(req->n[NMW_HOST_TX], 1, 1, NMW_RINGS_MAX);
	p->n[NMW_HOST_RX] = nm_bound(req->n[NMW_HOST_RX], 1, 1, NMW_RINGS_MAX);
	*port = p;
	return 0;
}

int nm_nic_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
	       struct nm_port **port, struct glen_error *error)
{
	struct nm_nic nic = { 0 };
	struct netdev dev;
	struct nm_port *p = NULL;
	int err = open_netdev(req, &nic, &dev, error);

	if (!err)
		p = find(nm, &nic);
	if (p && p->uid != req->uid)
		err = error_set(error, -EACCES,
				"interface %s was opened by uid %u", p->name,
				(unsigned)p->uid);
	if (p && !err) {
		p->refs++;
		*port = p;
	}
	if (!err && !p && !mem)
		err = nm_mem_find(nm, req->uid, NM_MEM_GLOBAL, &mem, error);
	if (err || p)
		nm_mem_put(nm, mem);
	else
		err = make(nm, req, &nic, &dev, mem, port, error);
	netdev_close(&dev);
	return err;
}

/* Start and stop */

/* A port of a switch that uses this interface by itself. */
static struct port *user(struct nm_port *p)
{
	static const char *const drivers[] = { "xdp", "packet", "host" };
	struct engine *e = p->nm->control->engine;

	for (struct vswitch *sw = engine_switches(e); sw; sw = sw->next)
		for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
			struct port *port = sw->ports[i];
			const char *ifname = NULL, *netns = NULL;
			struct glen_error none;
			bool uses = false;

			for (unsigned d = 0; port && d < 3; d++)
				uses |= !strcmp(port->ops->name, drivers[d]);
			if (!uses ||
			    params_str(port->params, "ifname", &ifname,
				       &none) ||
			    params_str(port->params, "netns", &netns, &none))
				continue;
			if (!strcmp(ifname ? ifname : port->name,
				    p->nic->ifname) &&
			    !strcmp(netns ? netns : "", p->nic->netns))
				return port;
		}
	return NULL;
}

/* Where packets go. */
static json_t *map(const struct nm_nic *nic)
{
	return json_pack("{s{ss ss ss ss} ss}", "map", "wire",
			 nic->to_host ? "wire^" : "rings", "wire^",
			 "host-rings", "rings", "wire", "host-rings", "wire^",
			 "rings", "keep");
}

static int make_switch(struct nm_port *p, struct glen_error *error)
{
	struct engine *e = p->nm->control->engine;
	struct nm_nic *nic = p->nic;
	struct vswitch *sw;
	json_t *params = map(nic);
	int err;

	/* There may be one for the same name in another namespace. */
	snprintf(nic->sw, sizeof(nic->sw), NM_NIC_SWITCH "%.15s", nic->ifname);
	for (unsigned i = 2; switch_find(e, nic->sw) && i < 1000; i++)
		snprintf(nic->sw, sizeof(nic->sw), NM_NIC_SWITCH "%.15s.%u",
			 nic->ifname, i);
	err = switch_create(e, nic->sw, "static", params, &sw, error);
	json_decref(params);
	return err;
}

static int open_wire(struct nm_port *p, const char *driver,
		     struct glen_error *error)
{
	struct nm_nic *nic = p->nic;
	struct port_args args = { .params = wire_params(nic) };
	char full[GLEN_NAME_MAX + 1];
	int err;

	if (!args.params ||
	    json_object_set_new(args.params, "host", json_true()))
		err = error_set(error, -ENOMEM, "out of memory");
	else
		err = 0;
	snprintf(full, sizeof(full), "%.31s:wire", nic->sw);
	err = err   ?:
		      control_port_open(p->nm->control, full, driver, &args,
					false, &nic->wire, error);
	json_decref(args.params);
	if (err)
		nic->wire = NULL;
	return err;
}

static int take_interface(struct nm_port *p, struct glen_error *error)
{
	static struct log_limit limit;
	struct port *other = user(p);
	char full[GLEN_NAME_MAX + 1];
	struct glen_error first;
	int err;

	if (other)
		return error_set(error, -EBUSY,
				 "interface %s is port %s of a switch",
				 p->nic->ifname,
				 control_full_name(other, full));
	err = open_wire(p, "xdp", &first);
	if (!err)
		return 0;
	if (err != -EBUSY) {
		err = open_wire(p, "packet", error);
		if (!err)
			return 0;
	}
	*error = first;
	/* Programs say no more than the errno. */
	log_limited(&limit, LOG_LEVEL_WARNING,
		    "interface %s for a netmap program: %s", p->nic->ifname,
		    first.text);
	return first.code == -ENODEV ? -ENXIO : first.code;
}

int nm_nic_start(struct nm_port *p, struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	int err;

	p->nic->to_host = false;
	err = make_switch(p, error);
	snprintf(full, sizeof(full), "%.31s:rings", p->nic->sw);
	err = err ?: nm_port_plug(p, 0, full, error);
	snprintf(full, sizeof(full), "%.31s:host-rings", p->nic->sw);
	err = err ?: nm_port_plug(p, 1, full, error);
	return err ?: take_interface(p, error);
}

void nm_nic_stop(struct nm_port *p)
{
	struct nm_nic *nic = p->nic;
	struct port *wire = nic ? nic->wire : NULL;

	if (!wire)
		return;
	nic->wire = NULL;
	control_port_close(p->nm->control, wire, NULL);
}

void nm_nic_bound(struct nm_port *p)
{
	struct nm_nic *nic = p->nic;
	struct glen_error error;
	struct vswitch *sw;
	json_t *params;
	bool any = false;

	if (!nic || !nic->wire)
		return;
	for (unsigned i = 0; i < p->n[NMW_TX]; i++)
		any |= p->users[nmw_line(&p->window->layout, 0, NMW_TX, i)];
	for (unsigned i = 0; i < p->n[NMW_RX]; i++)
		any |= p->users[nmw_line(&p->window->layout, 0, NMW_RX, i)];
	if (nic->to_host == !any)
		return;
	nic->to_host = !any;
	sw = switch_find(p->nm->control->engine, nic->sw);
	params = map(nic);
	/* Without memory it stays as it was. */
	if (!sw || !params || switch_set_module(sw, "static", params, &error))
		nic->to_host = any;
	json_decref(params);
}

void nm_port_closing(struct nm *nm, const struct port *port)
{
	for (struct nm_port *p = nm->ports; p; p = p->next) {
		if (!p->nic || !p->nic->wire ||
		    (p->nic->wire != port && p->nic->wire->pair != port))
			continue;
		p->nic->wire = NULL;
		p->nic->gone = true;
		nm_port_hang_up(p);
	}
}

void nm_nic_forget(struct nm_port *p)
{
	if (p->nic)
		p->nic->gone = true;
}

void nm_nic_free(struct nm_port *p)
{
	free(p->nic);
	p->nic = NULL;
}
