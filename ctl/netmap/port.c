// SPDX-License-Identifier: BSD-2-Clause
// port.c - what names mean, and the life of netmap ports.
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

const char *nm_kind_name(enum nm_kind kind)
{
	static const char *const names[] = { "vale", "pipe", "nic", "monitor",
					     "null" };

	return names[kind];
}

bool nm_is_vale(const char *name)
{
	return !strncmp(name, NM_BDG_NAME, strlen(NM_BDG_NAME)) &&
	       strchr(name, ':');
}

/* The same but for which end of a pipe is meant. */
static bool same_name(const struct nm_port *p, const char *name)
{
	size_t at = strcspn(name, "}"), len = strlen(name);
	const char *last = strrchr(name, '}');

	if (p->kind != NM_PIPE || !last)
		return !strcmp(p->name, name);
	at = last - name;
	return strlen(p->name) == len && !strncmp(p->name, name, at) &&
	       p->name[at] == '{' && !strcmp(p->name + at + 1, last + 1);
}

struct nm_port *nm_port_find(struct nm *nm, const char *name)
{
	for (struct nm_port *p = nm->ports; p; p = p->next)
		if (!p->hidden && (same_name(p, name) ||
				   (*name && !strcmp(p->attached, name))))
			return p;
	return NULL;
}

struct nm_port *nm_port_make(struct nm *nm, enum nm_kind kind, const char *name,
			     struct nm_mem *mem)
{
	struct nm_port *p = calloc(1, sizeof(*p));

	if (!p) {
		nm_mem_put(nm, mem);
		return NULL;
	}
	p->nm = nm;
	p->kind = kind;
	p->refs = 1;
	p->uid = mem->uid;
	p->mem = mem;
	strcpy(p->name, name);
	p->next = nm->ports;
	nm->ports = p;
	return p;
}

void nm_port_put(struct nm_port *p)
{
	struct nm_port **at = &p->nm->ports, *parent = p->parent;
	enum nm_kind kind = p->kind;

	if (--p->refs)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	nm_nic_free(p);
	nm_mem_put(p->nm, p->mem);
	free(p);
	if (!parent)
		return;
	parent->n_pipes -= kind == NM_PIPE;
	nm_port_put(parent);
}

uint32_t nm_bound(uint32_t value, uint32_t def, uint32_t min, uint32_t max)
{
	if (!value)
		return def;
	return value < min ? min : value > max ? max : value;
}

void nm_port_shape(struct nm_port *p, const struct nm_req *req)
{
	const struct nm_port *like = p->parent;

	p->n[NMW_TX] = nm_bound(req->n[NMW_TX], 1, 1, NMW_RINGS_MAX);
	p->n[NMW_RX] = nm_bound(req->n[NMW_RX], 1, 1, NMW_RINGS_MAX);
	p->tx_slots = nm_bound(req->tx_slots, like ? like->tx_slots : NM_SLOTS,
			       NMW_SLOTS_MIN, NMW_SLOTS_MAX);
	p->rx_slots = nm_bound(req->rx_slots, like ? like->rx_slots : NM_SLOTS,
			       NMW_SLOTS_MIN, NMW_SLOTS_MAX);
}

/* The name that a port has in glen, which knows fewer letters than netmap. */
static int glen_name(struct nm *nm, const char *name, char *full,
		     struct glen_error *error)
{
	const char *part = strchr(name, ':') + 1;
	int sw = part - 1 - name;
	struct control_name parts;

	for (int i = 0; i < sw; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_')
			return error_set(error, -ENXIO,
					 "'%.*s' is no name of a switch: only "
					 "A-Z a-z 0-9 _ may follow vale",
					 sw, name);
	if (strlen(part) > NM_VALE_PART || sw > NM_VALE_PART)
		return error_set(error, -ENXIO,
				 "'%s': a switch's name has at most %d "
				 "characters, and so has its port's",
				 name, NM_VALE_PART);
	snprintf(full, GLEN_NAME_MAX + 1, "%s", name);
	if (control_split(full, &parts, error) || full[strlen(full) - 1] == '^')
		snprintf(full, GLEN_NAME_MAX + 1, "%.*s:netmap-%" PRIu64, sw,
			 name, ++nm->n_odd);
	return 0;
}

int nm_switch_room(struct nm *nm, const char *name, struct glen_error *error)
{
	const struct vswitch *sw = switch_find(nm->control->engine, name);

	if (!sw || sw->n_ports < NM_VALE_PORTS)
		return 0;
	return error_set(error, -ENOMEM,
			 "switch %s has %u ports; netmap programs can tell no "
			 "more apart",
			 name, sw->n_ports);
}

static int name_taken(struct nm *nm, const char *full, struct glen_error *error)
{
	struct glen_error none;
	struct port *port = control_port(nm->control, full, &none);
	struct control_name parts;

	if (port)
		return error_set(error, -EBUSY,
				 "port %s exists already, with driver %s", full,
				 port->ops->name);
	if (control_split(full, &parts, error))
		return -EINVAL;
	return nm_switch_room(nm, parts.sw, error);
}

/* What is behind the colon is the name of a port by itself, of NEWIF or of
 * pipes, which netmap has as an interface. */
static bool is_persistent(struct nm *nm, const char *name)
{
	const struct nm_port *p = nm_port_find(nm, strchr(name, ':') + 1);

	return p && (p->persistent || p->made_by_pipe);
}

/* An ephemeral port of a switch. Takes mem's reference, NULL: it gets one of
 * its own. */
static int make_vale(struct nm *nm, const struct nm_req *req,
		     struct nm_mem *mem, struct nm_port **port,
		     struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	struct nm_port *p;
	int err = glen_name(nm, req->name, full, error);

	err = err ?: name_taken(nm, full, error);
	if (!err && (req->interface || is_persistent(nm, req->name)))
		err = error_set(
			error, -EINVAL,
			"%s: there is an interface or port of that name, "
			"and it is not attached (VALE_ATTACH, vale-ctl "
			"-a)",
			req->name);
	if (!err && !mem)
		err = nm_mem_make(nm, req->uid, &mem, error);
	if (err) {
		nm_mem_put(nm, mem);
		return err;
	}
	p = nm_port_make(nm, NM_VALE, req->name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	strcpy(p->full, full);
	nm_port_shape(p, req);
	p->swap = req->swap;
	*port = p;
	return 0;
}

/* A port that is nothing but rings in a region. */
static int make_null(struct nm *nm, const struct nm_req *req,
		     struct nm_mem *mem, struct nm_port **port,
		     struct glen_error *error)
{
	struct nm_port *p;

	if (!mem)
		return error_set(error, -EINVAL,
				 "mode NULL: nr_mem_id must name the region");
	p = nm_port_make(nm, NM_NULL, req->name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	nm_port_shape(p, req);
	p->hidden = true;
	for (unsigned k = 0; k < NMW_KINDS; k++)
		p->n[k] = nm_bound(req->n[k], 0, 0, NMW_RINGS_MAX);
	*port = p;
	return 0;
}

static int unknown(const struct nm_req *req, struct glen_error *error)
{
	return error_set(error, -ENXIO,
			 "there is no port '%s': names are valeX:port, "
			 "port{pipe, port}pipe, or those of interfaces",
			 req->name);
}

static int may_use(const struct nm_port *p, const struct nm_req *req,
		   struct glen_error *error)
{
	if (p->uid == req->uid)
		return 0;
	return error_set(error, -EACCES, "port %s belongs to uid %u", p->name,
			 (unsigned)p->uid);
}

int nm_port_look(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		 struct glen_error *error)
{
	struct nm_port *p = nm_port_find(nm, req->name);
	int err = 0;

	if (!p && req->interface)
		err = nm_nic_look(nm, req, &p, error);
	err = err ?: p ? may_use(p, req, error) : unknown(req, error);
	if (err)
		return err;
	p->refs++;
	*port = p;
	return 0;
}

/* What is there already. -EBUSY: a switch has it. */
static int use(struct nm_port *p, const struct nm_req *req,
	       struct nm_port **port, struct glen_error *error)
{
	int err = may_use(p, req, error);

	if (!err && p->attached[0] && !strcmp(p->name, req->name))
		err = error_set(error, -EBUSY,
				"port %s is attached to a switch, and opens as "
				"%s",
				p->name, p->attached);
	if (err)
		return err;
	p->refs++;
	*port = p;
	return 0;
}

int nm_port_get(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error)
{
	struct nm_mem *mem = NULL;
	struct nm_port *p;
	int err = 0;

	if (req->mem_id)
		err = nm_mem_find(nm, req->uid, req->mem_id, &mem, error);
	if (err)
		return err;
	if (req->mode == NR_REG_NULL)
		return make_null(nm, req, mem, port, error);
	if (req->flags & (NR_MONITOR_TX | NR_MONITOR_RX))
		return nm_monitor_get(nm, req, mem, port, error);
	p = nm_port_find(nm, req->name);
	if (!p && nm_pipe_end(req->name) < 0 && nm_is_vale(req->name))
		return make_vale(nm, req, mem, port, error);
	if (!p && nm_pipe_end(req->name) < 0 && req->interface)
		return nm_nic_get(nm, req, mem, port, error);
	nm_mem_put(nm, mem);
	if (nm_pipe_end(req->name) >= 0)
		return nm_pipe_get(nm, req, port, error);
	return p ? use(p, req, port, error) : unknown(req, error);
}
