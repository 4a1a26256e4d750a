// SPDX-License-Identifier: BSD-2-Clause
// learn/vlan_sets.c - keeps a port set for each group of VLANs alike.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/rcu.h"
#include "module/learn/ports.h"

enum {
	FIND_SIZE = 2 * VLAN_ROWS, /* a power of two */
	NO_CLASS = 0xffff,
	SEVERAL = 0xfffe,
};

_Static_assert((int)VLAN_ROWS < (int)SEVERAL, "numbers of classes");

/* Rows with the same members. */
struct class
{
	uint64_t sig;
	uint16_t set;
	uint16_t row; /* one of its rows */
	uint16_t to;  /* old ones: where its rows are now, or SEVERAL */
	bool taken;   /* old ones: the set goes on in a new class */
};

struct classes {
	unsigned n;
	struct class class[VLAN_ROWS];
	uint16_t of[VLAN_ROWS]; /* by row */
};

/* Control only. */
struct vlan_sets {
	bool incomplete; /* some row has no set, but should */
	uint64_t sig[VLAN_ROWS];
	struct classes *now, *next;
	struct vlan_map
		map[2]; /* in turn: the one that workers read, or NULL */
	unsigned turn;
	uint16_t find[FIND_SIZE]; /* by signature: class, or NO_CLASS */
};

static const struct vlan_port plain;

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static enum vlan_way way_of(const struct port_slot *slot, unsigned row)
{
	unsigned variant = row / VLAN_IDS;

	if (!slot->here || slot->span)
		return VLAN_NOT;
	if (variant & VLAN_NOT_ISOLATED && slot->isolated)
		return VLAN_NOT;
	return vlan_way(slot->now ? &slot->now->vlan : &plain, row % VLAN_IDS,
			variant & VLAN_STACKED);
}

/* The port's part of all signatures: adds it, or takes it away. */
static void sign(struct learn *l, unsigned port)
{
	const struct port_slot *slot = &l->slots[port];
	uint64_t hash[] = {
		[VLAN_NOT] = 0,
		[VLAN_TAGGED] = mix(2 * port),
		[VLAN_UNTAGGED] = mix(2 * port + 1),
	};

	if (!slot->here)
		return;
	for (unsigned row = 0; row < VLAN_ROWS; row++)
		l->sets->sig[row] ^= hash[way_of(slot, row)];
}

/* The class with this signature, a new one if make says so. */
static unsigned class_find(struct vlan_sets *s, struct classes *c, uint64_t sig,
			   bool make)
{
	unsigned at = mix(sig) % FIND_SIZE;

	while (s->find[at] != NO_CLASS && c->class[s->find[at]].sig != sig)
		at = (at + 1) % FIND_SIZE;
	if (s->find[at] == NO_CLASS && make) {
		s->find[at] = c->n;
		c->class[c->n++] = (struct class){ .sig = sig,
						   .set = VLAN_NO_SET };
	}
	return s->find[at];
}

/* Groups rows by their signatures, and finds sets that are right already. */
static void group(struct vlan_sets *s)
{
	struct classes *old = s->now, *c = s->next;

	memset(s->find, 0xff, sizeof(s->find));
	c->n = 0;
	for (unsigned row = 0; row < VLAN_ROWS; row++) {
		c->of[row] = class_find(s, c, s->sig[row], true);
		c->class[c->of[row]].row = row;
	}
	for (unsigned i = 0; i < old->n; i++) {
		struct class *o = &old->class[i];
		unsigned k = class_find(s, c, o->sig, false);

		o->to = NO_CLASS;
		o->taken = false;
		if (k == NO_CLASS || o->set == VLAN_NO_SET)
			continue;
		c->class[k].set = o->set;
		o->taken = true;
	}
	for (unsigned row = 0; row < VLAN_ROWS && old->n; row++) {
		struct class *o = &old->class[old->of[row]];

		if (o->to != NO_CLASS && o->to != c->of[row])
			o->to = SEVERAL;
		else
			o->to = c->of[row];
	}
}

/* Members take the tag off or leave it. */
static int set_member(struct learn *l, uint32_t set, unsigned port,
		      unsigned row)
{
	static const struct glen_edit untag = { .size = sizeof(untag),
						.pop = 1 };
	enum vlan_way way = way_of(&l->slots[port], row);

	if (way == VLAN_NOT)
		return 0;
	return glen_module_set_add(l->env, set, port,
				   way == VLAN_UNTAGGED ? &untag : NULL);
}

/* The rows of old class o are as a whole those of a new one, or a part, and
 * differ from it by what changed at the port: its set is changed. */
static void change_set(struct learn *l, struct class *o, struct class *c,
		       unsigned port)
{
	int err;

	if (way_of(&l->slots[port], c->row) == VLAN_NOT)
		err = glen_module_set_remove(l->env, o->set, port);
	else
		err = set_member(l, o->set, port, c->row);
	if (err && err != -ENOENT)
		return;
	c->set = o->set;
	o->taken = true;
}

static void make_set(struct learn *l, struct class *c)
{
	uint32_t set;
	int err = glen_module_set_create(l->env, &set);

	if (err)
		return;
	for (unsigned p = 0; p < LEARN_PORTS && !err; p++)
		if (l->slots[p].here)
			err = set_member(l, set, p, c->row);
	if (err)
		glen_module_set_destroy(l->env, set);
	else
		c->set = set;
}

/* Workers find the new sets; then the old ones go. */
static void map_publish(struct learn *l)
{
	struct vlan_sets *s = l->sets;
	struct classes *old = s->now;
	struct vlan_map *map = &s->map[s->turn ^= 1];

	s->incomplete = false;
	for (unsigned i = 0; i < s->next->n; i++)
		s->incomplete |= s->next->class[i].set == VLAN_NO_SET;
	for (unsigned row = 0; row < VLAN_ROWS; row++)
		map->set[row] = s->next->class[s->next->of[row]].set;
	rcu_publish(&l->vlans, map);
	rcu_wait();
	for (unsigned i = 0; i < old->n; i++)
		if (!old->class[i].taken && old->class[i].set != VLAN_NO_SET)
			glen_module_set_destroy(l->env, old->class[i].set);
	s->now = s->next;
	s->next = old;
}

/* Brings sets and map to what the signatures say. Only port has changed since
 * the last time; LEARN_PORTS: more than that. */
static void update(struct learn *l, unsigned port)
{
	struct vlan_sets *s = l->sets;
	struct classes *old = s->now, *c = s->next;

	group(s);
	for (unsigned i = 0; i < old->n && port < LEARN_PORTS; i++) {
		struct class *o = &old->class[i];

		if (!o->taken && o->set != VLAN_NO_SET && o->to != SEVERAL &&
		    c->class[o->to].set == VLAN_NO_SET)
			change_set(l, o, &c->class[o->to], port);
	}
	for (unsigned i = 0; i < c->n; i++)
		if (c->class[i].set == VLAN_NO_SET)
			make_set(l, &c->class[i]);
	map_publish(l);
}

static void start(struct learn *l)
{
	struct vlan_sets *s = l->sets;

	memset(s->sig, 0, sizeof(s->sig));
	s->now->n = 0;
	for (unsigned p = 0; p < LEARN_PORTS; p++)
		sign(l, p);
	update(l, LEARN_PORTS);
	l->aware = true;
	ports_flags(l);
}

static void stop(struct learn *l)
{
	struct classes *c = l->sets->now;

	l->aware = false;
	ports_flags(l);
	rcu_publish(&l->vlans, NULL);
	rcu_wait();
	for (unsigned i = 0; i < c->n; i++)
		if (c->class[i].set != VLAN_NO_SET)
			glen_module_set_destroy(l->env, c->class[i].set);
	c->n = 0;
	l->sets->incomplete = false;
}

void vlan_before(struct learn *l, unsigned port)
{
	if (l->aware)
		sign(l, port);
}

void vlan_after(struct learn *l, unsigned port)
{
	bool want = false;

	for (unsigned p = 0; p < LEARN_PORTS && !want; p++) {
		const struct port_slot *slot = &l->slots[p];

		want = slot->here &&
		       (slot->span || (slot->now && slot->now->vlan.mode));
	}
	if (l->aware)
		sign(l, port);
	if (l->aware && want)
		update(l, port);
	else if (want)
		start(l);
	else if (l->aware)
		stop(l);
}

void vlan_tick(struct learn *l)
{
	if (l->aware && l->sets->incomplete)
		update(l, LEARN_PORTS);
}

int vlan_prepare(struct learn *l)
{
	struct vlan_sets *s;

	if (l->sets)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->now = calloc(1, sizeof(*s->now));
	s->next = calloc(1, sizeof(*s->next));
	l->sets = s;
	if (s->now && s->next)
		return 0;
	vlan_fini(l);
	return -ENOMEM;
}

/* The port sets go with the instance. */
void vlan_fini(struct learn *l)
{
	if (!l->sets)
		return;
	free(l->sets->now);
	free(l->sets->next);
	free(l->sets);
	l->sets = NULL;
}
