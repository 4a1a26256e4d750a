// SPDX-License-Identifier: BSD-2-Clause
// fabric.c - changes port sets, edits and mirrors while workers read them.
#include "core/fabric.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/module.h"
#include "core/rcu.h"

enum { TABLE_FIRST = 16 };

/* Only control writes these pointers, so it may read them so. */
#define OWN(ptr) atomic_load_explicit(ptr, memory_order_relaxed)

static void let_go(struct module_instance *mi, void *old)
{
	if (old)
		module_host.defer(&mi->env, free, old);
}

static bool port_exists(const struct module_instance *mi, unsigned port)
{
	return mi->sw && port < SWITCH_PORTS_MAX && mi->sw->ports[port];
}

static struct port_set *set_of(struct module_instance *mi, uint32_t id)
{
	struct set_table *t = OWN(&mi->fabric.sets);

	return t && id < t->n ? OWN(&t->set[id]) : NULL;
}

/* A copy of *edit in our size; false: it cannot be done. */
static bool edit_take(const struct glen_edit *from, struct glen_edit *edit)
{
	memset(edit, 0, sizeof(*edit));
	if (from->size < sizeof(*edit))
		return false;
	*edit = *from;
	return edit->pop <= 2 && edit->push <= 2 &&
	       !(edit->flags & ~(GLEN_EDIT_IF_VID | GLEN_EDIT_KEEP_PRIORITY));
}

/* A table with room for twice as many sets. */
static int table_grow(struct module_instance *mi, struct set_table **out)
{
	struct set_table *old = OWN(&mi->fabric.sets), *t;
	uint32_t n = old ? old->n * 2 : TABLE_FIRST;

	if (old && old->n > GLEN_SETS_MAX)
		return -ENOSPC;
	t = calloc(1, sizeof(*t) + n * sizeof(t->set[0]));
	if (!t)
		return -ENOMEM;
	t->n = n;
	for (uint32_t i = 0; old && i < old->n; i++)
		atomic_init(&t->set[i], OWN(&old->set[i]));
	rcu_publish(&mi->fabric.sets, t);
	let_go(mi, old);
	*out = t;
	return 0;
}

int fabric_set_create(struct module_instance *mi, uint32_t *id)
{
	struct set_table *t = OWN(&mi->fabric.sets);
	struct port_set *set = calloc(1, sizeof(*set));
	uint32_t i = GLEN_SET_FIRST > mi->set_hint ? GLEN_SET_FIRST :
						     mi->set_hint;
	int err = set ? 0 : -ENOMEM;

	while (!err && t && i < t->n && OWN(&t->set[i]))
		i++;
	if (!err && (!t || i >= t->n))
		err = table_grow(mi, &t);
	if (err) {
		free(set);
		return err;
	}
	rcu_publish(&t->set[i], set);
	mi->set_hint = i + 1;
	*id = i;
	return 0;
}

int fabric_set_add(struct module_instance *mi, uint32_t id, unsigned port,
		   const struct glen_edit *edit)
{
	struct port_set *old = set_of(mi, id), *set;
	struct set_member m = { .port = port, .edits = edit };
	uint32_t at = 0;

	if (!old || !port_exists(mi, port))
		return -ENOENT;
	if (edit && !edit_take(edit, &m.edit))
		return -EINVAL;
	while (at < old->n && old->member[at].port != port)
		at++;
	set = malloc(sizeof(*set) + (old->n + 1) * sizeof(m));
	if (!set)
		return -ENOMEM;
	memcpy(set->member, old->member, old->n * sizeof(m));
	set->member[at] = m;
	set->n = at < old->n ? old->n : old->n + 1;
	rcu_publish(&OWN(&mi->fabric.sets)->set[id], set);
	let_go(mi, old);
	return 0;
}

int fabric_set_remove(struct module_instance *mi, uint32_t id, unsigned port)
{
	struct port_set *old = set_of(mi, id), *set;
	uint32_t at = 0;

	while (old && at < old->n && old->member[at].port != port)
		at++;
	if (!old || at == old->n)
		return -ENOENT;
	set = malloc(sizeof(*set) + old->n * sizeof(old->member[0]));
	if (!set)
		return -ENOMEM;
	memcpy(set->member, old->member, old->n * sizeof(old->member[0]));
	set->n = old->n - 1;
	memmove(&set->member[at], &set->member[at + 1],
		(set->n - at) * sizeof(old->member[0]));
	rcu_publish(&OWN(&mi->fabric.sets)->set[id], set);
	let_go(mi, old);
	return 0;
}

int fabric_set_destroy(struct module_instance *mi, uint32_t id)
{
	struct port_set *old = set_of(mi, id);

	if (!old)
		return -ENOENT;
	rcu_publish(&OWN(&mi->fabric.sets)->set[id], NULL);
	let_go(mi, old);
	if (id < mi->set_hint)
		mi->set_hint = id;
	return 0;
}

/* What there is for a port, as a copy that may be changed; NULL: no memory. */
static struct port_extra *extra_copy(struct module_instance *mi, unsigned port)
{
	struct extra_table *t = OWN(&mi->fabric.ports);
	struct port_extra *x = malloc(sizeof(*x)), *old;

	if (!x)
		return NULL;
	*x = (struct port_extra){ .mirror = { GLEN_MIRROR_NONE,
					      GLEN_MIRROR_NONE } };
	old = t ? OWN(&t->port[port]) : NULL;
	if (old)
		*x = *old;
	if (t)
		return x;
	t = calloc(1, sizeof(*t));
	if (!t) {
		free(x);
		return NULL;
	}
	rcu_publish(&mi->fabric.ports, t);
	return x;
}

static void extra_replace(struct module_instance *mi, unsigned port,
			  struct port_extra *x)
{
	struct extra_table *t = OWN(&mi->fabric.ports);
	struct port_extra *old = OWN(&t->port[port]);

	if (x && !x->edits && x->mirror[0] == GLEN_MIRROR_NONE &&
	    x->mirror[1] == GLEN_MIRROR_NONE) {
		free(x);
		x = NULL;
	}
	rcu_publish(&t->port[port], x);
	let_go(mi, old);
}

int fabric_port_edit(struct module_instance *mi, unsigned port,
		     const struct glen_edit *edit)
{
	struct glen_edit mine = { 0 };
	struct port_extra *x;

	if (!port_exists(mi, port))
		return -ENOENT;
	if (edit && !edit_take(edit, &mine))
		return -EINVAL;
	x = extra_copy(mi, port);
	if (!x)
		return -ENOMEM;
	x->edits = edit;
	x->edit = mine;
	extra_replace(mi, port, x);
	return 0;
}

/* A mirror may lead to a port that is there, or to a set. */
static int mirror_check(struct module_instance *mi, unsigned port, uint32_t to)
{
	if (to == GLEN_MIRROR_NONE)
		return 0;
	if ((to & GLEN_VERDICT_KIND) == GLEN_VERDICT_SET)
		return (to & 0xffff) < GLEN_SET_FIRST ||
				       set_of(mi, to & 0xffff) ?
			       0 :
			       -ENOENT;
	if ((to & GLEN_VERDICT_KIND) != GLEN_VERDICT_PORT ||
	    (to & 0xffff) == port)
		return -EINVAL;
	return port_exists(mi, to & 0xffff) ? 0 : -ENOENT;
}

int fabric_port_mirror(struct module_instance *mi, unsigned port,
		       unsigned direction, uint32_t to)
{
	struct port_extra *x;
	int err;

	if (!port_exists(mi, port))
		return -ENOENT;
	if (direction > GLEN_MIRROR_OUT)
		return -EINVAL;
	err = mirror_check(mi, port, to);
	if (err)
		return err;
	x = extra_copy(mi, port);
	if (!x)
		return -ENOMEM;
	x->mirror[direction] = to;
	extra_replace(mi, port, x);
	return 0;
}

/* Ends mirrors that lead from or to the port. */
static void extras_leave(struct module_instance *mi, unsigned port)
{
	struct extra_table *t = OWN(&mi->fabric.ports);

	extra_replace(mi, port, NULL);
	for (unsigned i = 0; i < GLEN_PORTS_MAX; i++) {
		struct port_extra *x = OWN(&t->port[i]);

		for (unsigned d = 0; x && d < 2; d++) {
			uint32_t to = x->mirror[d];

			if ((to & GLEN_VERDICT_KIND) != GLEN_VERDICT_PORT ||
			    (to & 0xffff) != port)
				continue;
			while (!(x = extra_copy(mi, i)))
				usleep(1000);
			x->mirror[d] = GLEN_MIRROR_NONE;
			extra_replace(mi, i, x);
			x = OWN(&t->port[i]);
		}
	}
}

void fabric_port_del(struct module_instance *mi, unsigned port)
{
	struct set_table *t = OWN(&mi->fabric.sets);

	for (uint32_t i = GLEN_SET_FIRST; t && i < t->n; i++)
		while (fabric_set_remove(mi, i, port) == -ENOMEM)
			usleep(1000);
	if (OWN(&mi->fabric.ports))
		extras_leave(mi, port);
	module_settle(mi);
}

void fabric_fini(struct fabric *f)
{
	struct set_table *t = OWN(&f->sets);
	struct extra_table *x = OWN(&f->ports);

	for (uint32_t i = 0; t && i < t->n; i++)
		free(OWN(&t->set[i]));
	for (unsigned i = 0; x && i < GLEN_PORTS_MAX; i++)
		free(OWN(&x->port[i]));
	free(t);
	free(x);
}
