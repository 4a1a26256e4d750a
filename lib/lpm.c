// SPDX-License-Identifier: BSD-2-Clause
// lpm.c - inserts and removes prefixes while others look addresses up.
#include "lib/lpm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATH_MAX_NODES = 14, /* bytes of an IPv6 address behind the root's */
	ROOT_BYTES = 2,
};

/* A change under way. */
struct change {
	struct lpm *t;
	const uint8_t *address;
	void (*retire)(void *arg, void *memory);
	void *arg;
	unsigned n; /* nodes on the way down, the first in the root */
	struct lpm_node *path[PATH_MAX_NODES];
};

/* A node spread out: what a new one is made of. */
struct spread {
	uint32_t value[256];
	struct lpm_node *child[256];
	uint32_t n_routes;
	struct lpm_route routes[512];
};

static uint64_t node_entry(const struct lpm_node *node)
{
	return (uint64_t)(uintptr_t)node;
}

static uint64_t value_entry(uint32_t value)
{
	return value ? (uint64_t)value << 1 | 1 : 0;
}

static uint64_t load(const _Atomic uint64_t *entry)
{
	return atomic_load_explicit(entry, memory_order_relaxed);
}

/* pairs with the acquires in lpm_root_entry() and lpm_step() */
static void show(_Atomic uint64_t *entry, uint64_t value)
{
	atomic_store_explicit(entry, value, memory_order_release);
}

static void set_def(struct lpm_node *node, uint32_t value)
{
	atomic_store_explicit(&node->def, value, memory_order_relaxed);
}

/* The first n bits behind the byte's beginning, below 1 << n. */
static uint32_t place_of(const uint8_t *byte, unsigned n)
{
	return 1U << n | (uint32_t)*byte >> (8 - n);
}

/* Where in the root prefixes of len bits are. */
static uint32_t root_place(const uint8_t *address, unsigned len)
{
	uint32_t bits = (uint32_t)address[0] << 8 | address[1];

	return 1U << len | bits >> (LPM_ROOT_BITS - len);
}

static uint32_t root_slot(const uint8_t *address)
{
	return (uint32_t)address[0] << 8 | address[1];
}

/* Nodes */

static void fill_values(struct spread *s)
{
	memset(s->value, 0, sizeof(s->value));
	/* Shorter ones come first. */
	for (unsigned i = 0; i < s->n_routes; i++) {
		uint32_t place = s->routes[i].place;
		unsigned len = 31 - __builtin_clz(place);
		unsigned first = (place << (8 - len)) & 0xff;

		for (unsigned k = 0; k < 1U << (8 - len); k++)
			s->value[first + k] = s->routes[i].value;
	}
}

static void spread_out(const struct lpm_node *node, struct spread *s)
{
	s->n_routes = 0;
	memset(s->child, 0, sizeof(s->child));
	if (!node)
		return;
	for (unsigned byte = 0; byte < 256; byte++) {
		uint64_t entry = load(&node->entry[lpm_index(node, byte)]);

		if (lpm_is_node(entry))
			s->child[byte] = lpm_node(entry);
	}
	s->n_routes = node->n_routes;
	if (s->n_routes)
		memcpy(s->routes, node->routes,
		       s->n_routes * sizeof(s->routes[0]));
}

static uint64_t spread_entry(const struct spread *s, unsigned byte)
{
	return s->child[byte] ? node_entry(s->child[byte]) :
				value_entry(s->value[byte]);
}

/* NULL: no memory. What it leads to is as before until adopt_children(). */
static struct lpm_node *put_together(struct spread *s, uint32_t def)
{
	size_t size = sizeof(struct lpm_node);
	unsigned n = 1, at = 0;
	struct lpm_node *node;

	fill_values(s);
	for (unsigned byte = 1; byte < 256; byte++)
		n += spread_entry(s, byte) != spread_entry(s, byte - 1);
	size += n * sizeof(node->entry[0]);
	size += s->n_routes * sizeof(s->routes[0]);
	node = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (!node)
		return NULL;
	memset(node, 0, sizeof(*node));
	node->n_entries = n;
	node->n_routes = s->n_routes;
	node->routes = (struct lpm_route *)(void *)&node->entry[n];
	memcpy(node->routes, s->routes, s->n_routes * sizeof(s->routes[0]));
	set_def(node, def);
	for (unsigned byte = 0; byte < 256; byte++) {
		uint64_t entry = spread_entry(s, byte);

		if (byte % 64 == 0)
			node->before[byte / 64] = (uint8_t)at;
		if (byte && entry == spread_entry(s, byte - 1))
			continue;
		node->starts[byte / 64] |= 1ULL << byte % 64;
		atomic_init(&node->entry[at++], entry);
	}
	return node;
}

static void adopt_children(const struct spread *s)
{
	for (unsigned byte = 0; byte < 256; byte++)
		if (s->child[byte])
			set_def(s->child[byte], s->value[byte]);
}

/* The word that leads to path[level]. */
static _Atomic uint64_t *link_to(const struct change *c, unsigned level)
{
	const struct lpm_node *parent;

	if (!level)
		return &c->t->root[root_slot(c->address)];
	parent = c->path[level - 1];
	return (_Atomic uint64_t *)&parent
		->entry[lpm_index(parent, c->address[ROOT_BYTES + level - 1])];
}

/* Puts a node made of s in the place of path[level]. */
static int replace(struct change *c, unsigned level, struct spread *s)
{
	struct lpm_node *old = c->path[level], *node;
	uint32_t def = atomic_load_explicit(&old->def, memory_order_relaxed);

	node = put_together(s, def);
	if (!node)
		return -ENOMEM;
	show(link_to(c, level), node_entry(node));
	c->path[level] = node;
	adopt_children(s);
	c->retire(c->arg, old);
	return 0;
}

/* An empty node in the place where path[level] will be: nothing changes for
 * those who look up. */
static int grow(struct change *c, unsigned level)
{
	_Atomic uint64_t *link = link_to(c, level);
	uint32_t def = (uint32_t)(load(link) >> 1);
	struct spread s;
	struct lpm_node *node;
	int err = 0;

	s.n_routes = 0;
	memset(s.child, 0, sizeof(s.child));
	node = put_together(&s, def);
	if (!node)
		return -ENOMEM;
	if (!level) {
		show(link, node_entry(node));
	} else {
		/* Its entry may be shared with neighbours. */
		spread_out(c->path[level - 1], &s);
		s.child[c->address[ROOT_BYTES + level - 1]] = node;
		err = replace(c, level - 1, &s);
	}
	if (err)
		free(node);
	else
		c->path[level] = node;
	return err;
}

/* Goes down to the node in which prefixes of len bits end, and makes it if
 * make. -ENOENT: it is not there. */
static int go_down(struct change *c, unsigned len, bool make)
{
	unsigned levels = (len - 1) / 8 - ROOT_BYTES + 1;

	for (c->n = 0; c->n < levels; c->n++) {
		uint64_t entry = load(link_to(c, c->n));
		int err;

		if (lpm_is_node(entry)) {
			c->path[c->n] = lpm_node(entry);
			continue;
		}
		if (!make)
			return -ENOENT;
		err = grow(c, c->n);
		if (err)
			return err;
	}
	return 0;
}

/* Takes nodes away that hold nothing; without memory they stay. */
static void prune(struct change *c)
{
	while (c->n) {
		struct lpm_node *node = c->path[--c->n];
		struct spread s;

		if (node->n_routes || node->n_entries > 1 ||
		    load(&node->entry[0]))
			return;
		if (!c->n) {
			show(link_to(c, 0), value_entry(node->def));
		} else {
			spread_out(c->path[c->n - 1], &s);
			s.child[c->address[ROOT_BYTES + c->n - 1]] = NULL;
			if (replace(c, c->n - 1, &s))
				return;
		}
		c->retire(c->arg, node);
	}
}

/* Where the route of a place is, or belongs. */
static unsigned find_route(const struct lpm_route *routes, unsigned n,
			   uint32_t place)
{
	unsigned low = 0;

	while (low < n) {
		unsigned middle = (low + n) / 2;

		if (routes[middle].place < place)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

/* value 0: takes it away. */
static int change_node(struct change *c, unsigned len, uint32_t value)
{
	unsigned level = c->n - 1, byte = ROOT_BYTES + level, at;
	uint32_t place = place_of(&c->address[byte], len - 8 * byte);
	struct spread s;
	bool there;
	int err;

	spread_out(c->path[level], &s);
	at = find_route(s.routes, s.n_routes, place);
	there = at < s.n_routes && s.routes[at].place == place;
	if (!value && !there)
		return -ENOENT;
	if (value && !there)
		memmove(&s.routes[at + 1], &s.routes[at],
			(s.n_routes++ - at) * sizeof(s.routes[0]));
	if (value)
		s.routes[at] = (struct lpm_route){ place, value };
	else
		memmove(&s.routes[at], &s.routes[at + 1],
			(--s.n_routes - at) * sizeof(s.routes[0]));
	err = replace(c, level, &s);
	if (!err)
		c->t->n += value ? !there : -1;
	return err;
}

/* The root */

static void change_slot(struct lpm *t, uint32_t slot, unsigned len,
			uint32_t value)
{
	uint64_t entry = load(&t->root[slot]);

	t->root_len[slot] = (uint8_t)len;
	if (lpm_is_node(entry))
		set_def(lpm_node(entry), value);
	else
		show(&t->root[slot], value_entry(value));
}

static void change_slots(struct lpm *t, const uint8_t *address, unsigned len,
			 uint32_t value)
{
	uint32_t n = 1U << (LPM_ROOT_BITS - len);
	uint32_t first = root_slot(address) & ~(n - 1);
	uint32_t place = root_place(address, len);
	unsigned left = len;

	t->root_routes[place] = value;
	/* What is shorter shows up where this one was. */
	while (!value && left && !t->root_routes[root_place(address, left)])
		left--;
	for (uint32_t slot = first; slot < first + n; slot++)
		if (value ? t->root_len[slot] <= len : t->root_len[slot] == len)
			change_slot(t, slot, left,
				    t->root_routes[root_place(address, left)]);
}

/* The interface */

int lpm_create(struct lpm **table, unsigned family)
{
	struct lpm *t;

	*table = NULL;
	if (family != 4 && family != 6)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->bytes = family == 4 ? 4 : 16;
	t->root = calloc(LPM_ROOT, sizeof(t->root[0]));
	t->root_len = calloc(LPM_ROOT, sizeof(t->root_len[0]));
	t->root_routes = calloc(2 * LPM_ROOT, sizeof(t->root_routes[0]));
	if (!t->root || !t->root_len || !t->root_routes) {
		lpm_destroy(t);
		return -ENOMEM;
	}
	*table = t;
	return 0;
}

static void free_nodes(uint64_t entry)
{
	struct lpm_node *node;

	if (!lpm_is_node(entry))
		return;
	node = lpm_node(entry);
	for (unsigned i = 0; i < node->n_entries; i++)
		free_nodes(load(&node->entry[i]));
	free(node);
}

void lpm_destroy(struct lpm *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->root && i < LPM_ROOT; i++)
		free_nodes(load(&t->root[i]));
	free((void *)t->root);
	free(t->root_len);
	free(t->root_routes);
	free(t);
}

uint32_t lpm_get(const struct lpm *t, const uint8_t *address, unsigned len)
{
	struct change c = { .t = (struct lpm *)t, .address = address };
	const struct lpm_node *node;
	uint32_t place;
	unsigned at;

	if (len > 8 * t->bytes)
		return 0;
	if (len <= LPM_ROOT_BITS)
		return t->root_routes[root_place(address, len)];
	if (go_down(&c, len, false))
		return 0;
	node = c.path[c.n - 1];
	place = place_of(&address[ROOT_BYTES + c.n - 1], (len - 1) % 8 + 1);
	at = find_route(node->routes, node->n_routes, place);
	return at < node->n_routes && node->routes[at].place == place ?
		       node->routes[at].value :
		       0;
}

int lpm_insert(struct lpm *t, const uint8_t *address, unsigned len,
	       uint32_t value, void (*retire)(void *arg, void *memory),
	       void *arg)
{
	struct change c = { t, address, retire, arg };
	int err;

	if (!value || len > 8 * t->bytes)
		return -EINVAL;
	if (len <= LPM_ROOT_BITS) {
		t->n += !t->root_routes[root_place(address, len)];
		change_slots(t, address, len, value);
		return 0;
	}
	err = go_down(&c, len, true);
	err = err ?: change_node(&c, len, value);
	if (err)
		prune(&c);
	return err;
}

int lpm_remove(struct lpm *t, const uint8_t *address, unsigned len,
	       void (*retire)(void *arg, void *memory), void *arg)
{
	struct change c = { t, address, retire, arg };
	int err;

	if (len > 8 * t->bytes)
		return -EINVAL;
	if (len <= LPM_ROOT_BITS) {
		if (!t->root_routes[root_place(address, len)])
			return -ENOENT;
		t->n--;
		change_slots(t, address, len, 0);
		return 0;
	}
	err = go_down(&c, len, false);
	err = err ?: change_node(&c, len, 0);
	if (!err)
		prune(&c);
	return err;
}
