// SPDX-License-Identifier: BSD-2-Clause
// attach.c - persistent ports and interfaces of the host come to switches.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"
#include "port/netns.h"

static struct nm_attached **find(struct nm *nm, const char *full)
{
	struct nm_attached **at = &nm->attached;

	while (*at && strcmp((*at)->full, full))
		at = &(*at)->next;
	return at;
}

/* An interface that somebody took away behind our back is attached no more. */
static struct port *port_of(struct nm *nm, const char *full)
{
	struct nm_attached **at = find(nm, full), *a = *at;
	struct glen_error none;
	struct port *port = a ? control_port(nm->control, full, &none) : NULL;

	if (a && !port) {
		*at = a->next;
		free(a);
	}
	return port;
}

bool nm_is_attached(struct nm *nm, const char *ifname)
{
	for (const struct nm_attached *a = nm->attached; a; a = a->next)
		if (!strcmp(strchr(a->full, ':') + 1, ifname))
			return true;
	return false;
}

static int answer(struct nm_call *call, const struct port *port,
		  const struct nm_mem *mem)
{
	call->result = json_pack("{si si}", "port_index", (int)port->index,
				 "mem_id", mem ? (int)mem->id : NM_MEM_GLOBAL);
	return 0;
}

static int attach_port(struct nm_port *p, struct nm_call *call,
		       const char *full, struct glen_error *error)
{
	int err;

	if (p->n_opens || p->attached[0])
		return error_set(error, -EBUSY,
				 "port %s is open or attached already",
				 p->name);
	strcpy(p->attached, full);
	strcpy(p->full, full);
	err = nm_port_start(p, error);
	if (err) {
		p->attached[0] = p->full[0] = '\0';
		return err;
	}
	return answer(call, p->core[0], p->mem);
}

/* By AF_XDP, or if that cannot be had by packet sockets. */
static int open_interface(struct nm *nm, const struct nm_req *req, bool host,
			  struct port **port, struct glen_error *error)
{
	static const char *const drivers[] = { "xdp", "packet" };
	char netns[NETNS_PATH_SIZE];
	int err = netns_find(req->netns, req->pid, netns, error);

	if (err)
		return err;
	for (unsigned i = 0; i < 2; i++) {
		struct port_args args = {
			.params = host ? json_pack("{sb}", "host", 1) :
					 json_object(),
		};

		if (netns[0])
			json_object_set_new(args.params, "netns",
					    json_string(netns));
		err = control_port_open(nm->control, req->name, drivers[i],
					&args, false, port, error);
		json_decref(args.params);
		if (!err || err == -EBUSY || err == -EEXIST)
			break;
	}
	return err == -EEXIST ? -EBUSY : err;
}

static int attach_interface(struct nm *nm, struct nm_call *call,
			    const struct nm_req *req, bool host,
			    struct glen_error *error)
{
	struct nm_attached *a = calloc(1, sizeof(*a));
	struct port *port;
	int err;

	if (!a)
		return error_set(error, -ENOMEM, "out of memory");
	err = open_interface(nm, req, host, &port, error);
	if (err) {
		free(a);
		return err;
	}
	strcpy(a->full, req->name);
	a->next = nm->attached;
	nm->attached = a;
	return answer(call, port, NULL);
}

int nm_vale_attach(struct nm *nm, struct nm_call *call,
		   struct glen_error *error)
{
	static const char *const keys[] = { "name",  "mode",   "ringid",
					    "flags", "mem_id", "interface",
					    "netns", NULL };
	struct nm_mem *mem = NULL;
	struct glen_error none;
	struct nm_port *p;
	struct nm_req req;
	struct control_name parts;
	int err = nm_req_read(call, keys, &req, error);

	if (!err &&
	    ((req.mode != NR_REG_ALL_NIC && req.mode != NR_REG_NIC_SW) ||
	     req.ringid))
		err = error_set(error, -EINVAL,
				"nr_mode must be ALL_NIC or NIC_SW, and "
				"nr_ringid 0");
	if (!err && !nm_is_vale(req.name))
		err = error_set(error, -EINVAL,
				"'%s' is not of the form valeX:interface",
				req.name);
	err = err ?: control_split(req.name, &parts, error);
	if (!err && req.mem_id)
		err = nm_mem_find(nm, req.uid, req.mem_id, &mem, error);
	if (err)
		return err;
	nm_mem_put(nm, mem);
	if (nm_port_find(nm, req.name) ||
	    control_port(nm->control, req.name, &none))
		return error_set(error, -EBUSY, "port %s exists already",
				 req.name);
	err = nm_switch_room(nm, parts.sw, error);
	if (err)
		return err;
	p = nm_port_find(nm, parts.port);
	if (p && p->persistent)
		return p->uid == req.uid ?
			       attach_port(p, call, req.name, error) :
			       error_set(error, -EACCES,
					 "port %s belongs to uid %u", p->name,
					 (unsigned)p->uid);
	if (!req.interface)
		return error_set(error, -EINVAL,
				 "there is no interface and no persistent port "
				 "'%s'",
				 parts.port);
	if (nm_is_attached(nm, parts.port) || p ||
	    nm_nic_is_open(nm, parts.port))
		return error_set(error, -EBUSY,
				 "interface %s is attached or open already",
				 parts.port);
	return attach_interface(nm, call, &req, req.mode == NR_REG_NIC_SW,
				error);
}

static int detach_port(struct nm_port *p, struct nm_call *call,
		       struct glen_error *error)
{
	int err;

	if (p->core[0])
		answer(call, p->core[0], p->mem);
	p->attached[0] = '\0';
	if (!p->n_opens) {
		p->full[0] = '\0';
		nm_port_stop(p);
		return 0;
	}
	/* Programs keep it: what they send goes nowhere from now on. */
	err = nm_port_move(p, "", error);
	if (err)
		nm_port_hang_up(p);
	return err;
}

int nm_vale_detach(struct nm *nm, struct nm_call *call,
		   struct glen_error *error)
{
	static const char *const keys[] = { "name", NULL };
	struct nm_attached **at, *a;
	struct nm_port *p;
	struct port *port;
	struct nm_req req;
	int err = nm_req_read(call, keys, &req, error);

	if (err)
		return err;
	if (!nm_is_vale(req.name))
		return error_set(error, -EINVAL,
				 "'%s' is not of the form valeX:interface",
				 req.name);
	p = nm_port_find(nm, req.name);
	if (p && !strcmp(p->attached, req.name))
		return p->uid == req.uid ?
			       detach_port(p, call, error) :
			       error_set(error, -EACCES,
					 "port %s belongs to uid %u", p->name,
					 (unsigned)p->uid);
	port = port_of(nm, req.name);
	if (!port)
		return error_set(error, p ? -EINVAL : -ENXIO,
				 "%s was not attached by VALE_ATTACH",
				 req.name);
	at = find(nm, req.name);
	a = *at;
	if (a->polling)
		return error_set(error, -EBUSY, "port %s is being polled",
				 req.name);
	answer(call, port, NULL);
	control_port_close(nm->control, port, NULL);
	*at = a->next;
	free(a);
	return 0;
}

/*
 * Workers poll as long as there are packets, and sleep in between; there is
 * nothing to be switched on or off. What netmap says about it is kept.
 */
int nm_vale_polling(struct nm *nm, struct nm_call *call,
		    struct glen_error *error)
{
	static const char *const keys[] = {
		"name",		"enable",	    "mode",
		"first_cpu_id", "num_polling_cpus", NULL
	};
	struct nm_req req;
	struct port *port;
	long first, n;
	bool enable;
	int err = nm_req_read(call, keys, &req, error);

	err = err ?: params_bool(call->params, "enable", true, &enable, error);
	err = err   ?:
		      params_int(call->params, "first_cpu_id", 0, 0, UINT32_MAX,
				 &first, error);
	err = err   ?:
		      params_int(call->params, "num_polling_cpus", 0, 0,
				 UINT32_MAX, &n, error);
	if (err)
		return err;
	port = port_of(nm, req.name);
	if (!port && (nm_port_find(nm, req.name) ||
		      control_port(nm->control, req.name, error)))
		return error_set(error, -EOPNOTSUPP,
				 "%s is not an interface that was attached by "
				 "VALE_ATTACH",
				 req.name);
	if (!port)
		return error_set(error, nm_is_vale(req.name) ? -ENXIO : -EINVAL,
				 "there is no port %s", req.name);
	if (enable && (req.mode != NETMAP_POLLING_MODE_SINGLE_CPU &&
		       req.mode != NETMAP_POLLING_MODE_MULTI_CPU))
		return error_set(error, -EINVAL, "polling mode %u: 1 or 2",
				 req.mode);
	struct nm_attached *a = *find(nm, req.name);

	if (enable == a->polling)
		return error_set(error, -EFAULT, "port %s is %sbeing polled",
				 req.name, enable ? "" : "not ");
	/* With MULTI_CPU processor i polls ring i. */
	if (enable && (req.mode == NETMAP_POLLING_MODE_MULTI_CPU ?
			       !n || first + n > port->n_in :
			       n != 1))
		return error_set(error, -EINVAL,
				 "port %s has %u rings: num_polling_cpus must "
				 "be 1, or in mode MULTI_CPU as many as there "
				 "are rings from first_cpu_id on",
				 req.name, port->n_in);
	a->polling = enable;
	call->result = json_object();
	return 0;
}

void nm_vale_forget(struct nm *nm)
{
	while (nm->attached) {
		struct nm_attached *a = nm->attached;
		struct port *port = port_of(nm, a->full);

		if (!port)
			continue;
		control_port_close(nm->control, port, NULL);
		nm->attached = a->next;
		free(a);
	}
	while (nm->ports) {
		nm_port_stop(nm->ports);
		nm->ports->refs = 1;
		nm_port_put(nm->ports);
	}
}
