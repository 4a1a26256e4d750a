// SPDX-License-Identifier: BSD-2-Clause
// nic.c - interfaces of the host: their rings, and those of the host's stack.
/*
 * Theory of operation
 *
 * While a program has interface eth0 open, a switch "netmap.eth0" of its own
 * leads packets between four ports, of module static:
 *
 *   eth0  (xdp or packet) <--> nic   NIC rings of the program's window
 *   eth0^ (the host)      <--> host  host rings of the same
 *
 * So what arrives at the interface, and what the host sends on it, comes to the
 * program and nowhere else, as with netmap. The switch goes with the last open.
 * Nothing is there before the first one: what a port is like is asked of the
 * interface then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

enum { HOST_RINGS = 1 };

int nm_interface_open(struct nm *nm, const char *full, bool host,
		      struct port **port, struct glen_error *error)
{
	static const char *const drivers[] = { "xdp", "packet" };
	int err = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct port_args args = {
			.params = host ? json_pack("{sb}", "host", 1) :
					 json_object(),
		};

		err = control_port_open(nm->control, full, drivers[i], &args,
					false, port, error);
		json_decref(args.params);
		if (!err || err == -EBUSY || err == -EEXIST)
			break;
	}
	return err == -EEXIST ? -EBUSY : err;
}

const char *nm_nic_ring(unsigned i)
{
	return i ? "host" : "nic";
}

int nm_nic_get(struct nm *nm, const struct nm_req *req, struct nm_mem *mem,
	       struct nm_port **port, struct glen_error *error)
{
	struct nm_port *p;
	int err = 0;

	if (!name_check("port", req->name, error) ||
	    strlen(req->name) > NM_VALE_PART)
		err = -EINVAL;
	if (!err && nm_is_attached(nm, req->name))
		err = error_set(error, -EBUSY,
				"interface %s is attached to a switch",
				req->name);
	if (!err && !mem)
		err = nm_mem_find(nm, req->uid, NM_MEM_GLOBAL, &mem, error);
	if (err) {
		nm_mem_put(nm, mem);
		return err;
	}
	p = nm_port_make(nm, NM_NIC, req->name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	nm_port_shape(p, req);
	p->n[NMW_HOST_TX] = req->n[NMW_HOST_TX] ?: HOST_RINGS;
	p->n[NMW_HOST_RX] = req->n[NMW_HOST_RX] ?: HOST_RINGS;
	for (unsigned k = NMW_HOST_TX; k < NMW_KINDS; k += 2)
		if (p->n[k] > NMW_RINGS_MAX)
			p->n[k] = NMW_RINGS_MAX;
	*port = p;
	return 0;
}

static void switch_name(const struct nm_port *p, char name[PORT_NAME_SIZE])
{
	snprintf(name, PORT_NAME_SIZE, "netmap.%.15s", p->name);
}

/* The switch, which leads each port to its other one. */
static int make_switch(struct nm_port *p, const char *sw_name,
		       struct glen_error *error)
{
	struct vswitch *sw;
	char host[PORT_NAME_SIZE];
	json_t *options;
	int err;

	snprintf(host, sizeof(host), "%.15s^", p->name);
	options = json_pack("{s{ss ss ss ss}}", "map", p->name, nm_nic_ring(0),
			    nm_nic_ring(0), p->name, host, nm_nic_ring(1),
			    nm_nic_ring(1), host);
	if (!options)
		return error_set(error, -ENOMEM, "out of memory");
	err = switch_create(p->nm->control->engine, sw_name, "static", options,
			    &sw, error);
	json_decref(options);
	if (!err)
		return 0;
	return err == -EEXIST ? -EBUSY : err;
}

int nm_nic_open(struct nm_port *p, struct glen_error *error)
{
	char sw[PORT_NAME_SIZE], full[GLEN_NAME_MAX + 1];
	struct port *port;
	int err;

	switch_name(p, sw);
	snprintf(full, sizeof(full), "%s:%.15s", sw, p->name);
	err = make_switch(p, sw, error);
	if (err)
		return err;
	err = nm_interface_open(p->nm, full, true, &port, error);
	/* Another one of that name, or nothing that glend may have. */
	if (err)
		return err == -EBUSY ? err : -ENXIO;
	p->n[NMW_TX] = port->n_out < NMW_RINGS_MAX ? port->n_out :
						     NMW_RINGS_MAX;
	p->n[NMW_RX] = port->n_in < NMW_RINGS_MAX ? port->n_in : NMW_RINGS_MAX;
	snprintf(p->full, sizeof(p->full), "%s", sw);
	return 0;
}

void nm_nic_close(struct nm_port *p)
{
	char full[GLEN_NAME_MAX + 1];
	struct glen_error none;
	struct port *port;

	if (!p->full[0])
		return;
	snprintf(full, sizeof(full), "%.31s:%.15s", p->full, p->name);
	port = control_port(p->nm->control, full, &none);
	if (port)
		control_port_close(p->nm->control, port, NULL);
	p->full[0] = '\0';
}
