// SPDX-License-Identifier: BSD-2-Clause
// vale.c - persistent ports, and the list of switches' ports.
#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"

enum { NO_PORT = 255 };

/* Gives new switches a number; those that went lose theirs. */
static void number_bridges(struct nm *nm)
{
	struct vswitch *sw = engine_switches(nm->control->engine);
	unsigned free_one = 0;

	for (unsigned i = 0; i < SWITCHES_MAX; i++)
		if (nm->bridges[i][0] &&
		    !switch_find(nm->control->engine, nm->bridges[i]))
			nm->bridges[i][0] = '\0';
	for (; sw; sw = sw->next) {
		unsigned i = 0;

		if (strncmp(sw->name, NM_BDG_NAME, strlen(NM_BDG_NAME)))
			continue;
		while (i < SWITCHES_MAX && strcmp(nm->bridges[i], sw->name))
			i++;
		if (i < SWITCHES_MAX)
			continue;
		while (nm->bridges[free_one][0])
			free_one++;
		strcpy(nm->bridges[free_one], sw->name);
	}
}

/* What netmap programs call a port of a switch. */
static json_t *name_of(struct nm *nm, const struct port *port)
{
	for (const struct nm_port *p = nm->ports; p; p = p->next)
		if (p->core[0] == port)
			return json_string(p->attached[0] ? p->attached :
							    p->name);
	return json_sprintf("%s:%s", port->sw->name, port->name);
}

static int list_next(struct nm *nm, struct nm_call *call, unsigned bridge,
		     unsigned index, struct glen_error *error)
{
	for (; bridge < SWITCHES_MAX; bridge++, index = 0) {
		struct vswitch *sw = nm->bridges[bridge][0] ?
					     switch_find(nm->control->engine,
							 nm->bridges[bridge]) :
					     NULL;

		for (; sw && index < SWITCH_PORTS_MAX; index++) {
			if (!sw->ports[index])
				continue;
			call->result = json_pack("{so si si}", "name",
						 name_of(nm, sw->ports[index]),
						 "bridge_idx", (int)bridge,
						 "port_idx", (int)index);
			return 0;
		}
	}
	return error_set(error, -ENOENT, "there are no more ports");
}

static int list_one(struct nm *nm, struct nm_call *call, const char *name,
		    struct glen_error *error)
{
	int len = strcspn(name, ":"), index = NO_PORT;
	char sw_name[PORT_NAME_SIZE] = "";
	unsigned bridge = 0;
	struct vswitch *sw;
	const struct nm_port *p = nm_port_find(nm, name);

	if (strncmp(name, NM_BDG_NAME, strlen(NM_BDG_NAME)))
		return error_set(error, -EINVAL,
				 "'%s' does not begin with vale", name);
	if (len < PORT_NAME_SIZE)
		memcpy(sw_name, name, len);
	sw = switch_find(nm->control->engine, sw_name);
	while (sw && strcmp(nm->bridges[bridge], sw_name))
		bridge++;
	if (!sw)
		return error_set(error, -ENOENT, "there is no switch '%s'",
				 sw_name);
	if (p && p->core[0]) {
		index = p->core[0]->index;
	} else if (name[len]) {
		const struct port *port = port_find(sw, name + len + 1);

		index = port ? port->index : NO_PORT;
	}
	call->result = json_pack("{ss si si}", "name", name, "bridge_idx",
				 (int)bridge, "port_idx", index);
	return 0;
}

int nm_vale_list(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { "name", "bridge_idx", "port_idx",
					    NULL };
	struct nm_req req;
	long bridge, index;
	int err = nm_req_read(call, keys, &req, error);

	err = err   ?:
		      params_int(call->params, "bridge_idx", 0, 0, UINT16_MAX,
				 &bridge, error);
	err = err   ?:
		      params_int(call->params, "port_idx", 0, 0, UINT32_MAX,
				 &index, error);
	if (err)
		return err;
	number_bridges(nm);
	return req.name[0] ? list_one(nm, call, req.name, error) :
			     list_next(nm, call, bridge, index, error);
}

int nm_vale_newif(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { "name",	 "tx_slots", "rx_slots",
					    "tx_rings",	 "rx_rings", "mem_id",
					    "interface", NULL };
	struct nm_mem *mem = NULL;
	struct nm_port *p;
	struct nm_req req;
	int err = nm_req_read(call, keys, &req, error);

	if (err)
		return err;
	if (!name_check("port", req.name, error) ||
	    strlen(req.name) > NM_VALE_PART)
		return error_set(error, -EINVAL,
				 "'%s' is no name for a port: 1 to %d letters "
				 "and digits, _ . -",
				 req.name, NM_VALE_PART);
	if (!strncmp(req.name, NM_BDG_NAME, strlen(NM_BDG_NAME)))
		return error_set(error, -EINVAL,
				 "'%s': vale is for names of switches",
				 req.name);
	if (nm_port_find(nm, req.name) || req.interface)
		return error_set(error, -EEXIST, "%s exists already", req.name);
	err = req.mem_id ? nm_mem_find(nm, req.uid, req.mem_id, &mem, error) :
			   nm_mem_make(nm, req.uid, &mem, error);
	if (err)
		return err;
	p = nm_port_make(nm, NM_VALE, req.name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	p->persistent = true;
	nm_port_shape(p, &req);
	call->result = json_pack("{ss sI sI si si si}", "name", p->name,
				 "tx_slots", (json_int_t)p->tx_slots,
				 "rx_slots", (json_int_t)p->rx_slots,
				 "tx_rings", (int)p->n[NMW_TX], "rx_rings",
				 (int)p->n[NMW_RX], "mem_id", (int)p->mem->id);
	return 0;
}

int nm_vale_delif(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	static const char *const keys[] = { "name", "interface", NULL };
	struct nm_port *p;
	struct nm_req req;
	int err = nm_req_read(call, keys, &req, error);

	if (!err && req.interface && !nm_port_find(nm, req.name))
		err = error_set(error, -EINVAL,
				"%s is a network interface, not a persistent "
				"port",
				req.name);
	err = err ?: nm_port_look(nm, &req, &p, error);
	if (err)
		return err;
	if (!p->persistent || strcmp(p->name, req.name))
		err = error_set(error, -EINVAL,
				"%s is not a persistent port of NEWIF",
				req.name);
	else if (p->attached[0] || p->n_opens || p->n_pipes)
		err = error_set(error, -EBUSY,
				"port %s is open, attached or has pipes",
				p->name);
	if (!err) {
		p->persistent = false;
		nm_port_put(p);
	}
	nm_port_put(p);
	call->result = json_object();
	return err;
}
