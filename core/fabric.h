/* SPDX-License-Identifier: BSD-2-Clause */
/* fabric.h - port sets, edits and mirrors that a module asked for. */
#ifndef CORE_FABRIC_H
#define CORE_FABRIC_H
/*
 * Theory of operation
 *
 * A module instance has one struct fabric. The control thread changes it when
 * the module asks (glen_module_set_*() and so on) and workers read it while
 * they deliver. What they read is immutable and behind one pointer each:
 *
 *   fabric.sets  -> table of pointers -> struct port_set { members, edits }
 *   fabric.ports -> table of pointers -> struct port_extra { edit, mirrors }
 *
 * A change makes a new object, publishes it and frees the old one when the
 * workers have let go (module_settle()). Tables are made when they are first
 * needed, so a switch whose module needs none of this pays two loads per batch.
 *
 * A port that goes leaves all sets, and mirrors that lead to it end; so its
 * index can be used again. Members are in no particular order.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/module.h"

struct module_instance;

struct set_member {
	uint16_t port;
	bool edits; /* edit says what */
	struct glen_edit edit;
};

/* Immutable once it is published. */
struct port_set {
	uint32_t n;
	struct set_member member[];
};

struct set_table {
	uint32_t n; /* entries */
	_Atomic(struct port_set *) set[];
};

/* What is done for one port. Immutable. */
struct port_extra {
	bool edits;
	struct glen_edit edit;
	uint32_t mirror[2]; /* by enum glen_mirror: verdict, or NONE */
};

struct extra_table {
	_Atomic(struct port_extra *) port[GLEN_PORTS_MAX];
};

struct fabric {
	_Atomic(struct set_table *) sets;    /* NULL: none yet */
	_Atomic(struct extra_table *) ports; /* NULL: none yet */
};

/* Worker: the module's set of this number; NULL: there is none. */
static inline const struct port_set *fabric_set(struct fabric *f, uint32_t id)
{
	struct set_table *t = atomic_load_explicit(&f->sets,
						   memory_order_acquire);

	if (!t || id >= t->n)
		return NULL;
	return atomic_load_explicit(&t->set[id], memory_order_acquire);
}

/* Worker: what is done for a port besides delivery; NULL: nothing. */
static inline const struct port_extra *fabric_port(struct extra_table *t,
						   unsigned port)
{
	return atomic_load_explicit(&t->port[port], memory_order_acquire);
}

/* Control. For the functions of glen/module.h, with the same errors. */
int fabric_set_create(struct module_instance *mi, uint32_t *id);
int fabric_set_add(struct module_instance *mi, uint32_t id, unsigned port,
		   const struct glen_edit *edit);
int fabric_set_remove(struct module_instance *mi, uint32_t id, unsigned port);
int fabric_set_destroy(struct module_instance *mi, uint32_t id);
int fabric_port_edit(struct module_instance *mi, unsigned port,
		     const struct glen_edit *edit);
int fabric_port_mirror(struct module_instance *mi, unsigned port,
		       unsigned direction, uint32_t to);

/* Control: the port went; nothing may lead to its index. */
void fabric_port_del(struct module_instance *mi, unsigned port);
/* Control: no worker uses the instance any more. */
void fabric_fini(struct fabric *f);

#endif
