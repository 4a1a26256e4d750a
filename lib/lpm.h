/* SPDX-License-Identifier: BSD-2-Clause */
/* lpm.h - routes: the longest prefix that an address lies in (hot). */
#ifndef LIB_LPM_H
#define LIB_LPM_H
/*
 * Theory of operation
 *
 * A table of prefixes of IPv4 or of IPv6 addresses, each with a value that is
 * not 0 (a next hop, say). The value of the longest prefix that an address lies
 * in is found in a trie of bytes: the first two choose one of 65,536 entries,
 * each byte behind them one of a node's 256.
 *
 *     root[first two bytes] -> node[third byte] -> node[fourth byte] ...
 *
 * An entry is nothing, a value, or another node, which holds the value of what
 * covers it as a whole (def), so that a shorter prefix is not copied down into
 * all longer ones. Equal neighbours in a node share an entry: a bit says for
 * each byte whether one begins there, and counting bits finds it. So a node
 * with few prefixes has one or two lines, and 100,000 routes of IPv4 take eight
 * megabytes.
 *
 * Threads. One thread (control) inserts and removes; any number look up at the
 * same time, without locks. Nodes are immutable but for their def and for the
 * entries that lead to other nodes, which are one word each; a change makes a
 * new node and then shows it by one store. Each look-up finds what was right
 * before a change that is under way, or what is right afterwards; for different
 * addresses that need not be the same. The old node goes to the caller's
 * retire(), which must not free() it before all look-ups have ended that began
 * earlier. The table itself lives until lpm_destroy(), when nobody looks up.
 *
 * Costs. A look-up of IPv4 reads at most an entry of the root and two nodes, of
 * IPv6 one node for each byte of the longest prefixes there behind the second.
 * A change costs a node, microseconds; up to 65,536 entries of the root if the
 * prefix is shorter than 16 bits. No limit but memory.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"

enum {
	LPM_ROOT_BITS = 16,
	LPM_ROOT = 1 << LPM_ROOT_BITS,
	LPM_GROUP = 32, /* addresses that are looked up together */
};

/* A prefix that ends in a node; control only. */
struct lpm_route {
	uint32_t place; /* 1 << bits of it here | those bits */
	uint32_t value;
};

/* The entries of one byte. Immutable but for def and entries with nodes. */
struct lpm_node {
	_Alignas(64) uint64_t starts[4]; /* bit: an entry begins here */
	uint8_t before[4];		 /* entries that begin before a word's
					  * first bit */
	_Atomic uint32_t def;		 /* control writes; 0: nothing */
	uint32_t n_entries, n_routes;
	struct lpm_route *routes; /* sorted; behind the entries */
	/* Control writes. 0: nothing; odd: value << 1 | 1; else a node. */
	_Atomic uint64_t entry[];
};

struct lpm {
	unsigned bytes;		/* of an address */
	uint64_t n;		/* routes; control only */
	_Atomic uint64_t *root; /* as struct lpm_node's entry */
	uint8_t *root_len;	/* control only: of the prefix there */
	uint32_t *root_routes;	/* control only: by 1 << len | bits */
};

/* Control. family 4 or 6; *table is the caller's. -EINVAL, -ENOMEM. */
int lpm_create(struct lpm **table, unsigned family);
/* Control: nobody looks up any more. NULL is fine. */
void lpm_destroy(struct lpm *table);

/*
 * Control: the first len bits of address lead to value, which is not 0, from
 * now on, instead of what they led to before. What nobody needs any more is
 * given to retire(), with arg, to be freed with free() later. -EINVAL (len, or
 * value 0), -ENOMEM: nothing has changed.
 */
int lpm_insert(struct lpm *table, const uint8_t *address, unsigned len,
	       uint32_t value, void (*retire)(void *arg, void *memory),
	       void *arg);
/* Control: takes a prefix away. -ENOENT, -EINVAL, -ENOMEM. */
int lpm_remove(struct lpm *table, const uint8_t *address, unsigned len,
	       void (*retire)(void *arg, void *memory), void *arg);
/* Control: the value of exactly this prefix; 0: there is none. */
uint32_t lpm_get(const struct lpm *table, const uint8_t *address, unsigned len);

/* The entry is a node. */
static inline bool lpm_is_node(uint64_t entry)
{
	return entry && !(entry & 1);
}

static inline struct lpm_node *lpm_node(uint64_t entry)
{
	return (struct lpm_node *)(uintptr_t)entry;
}

/* Which of a node's entries is a byte's. */
static inline unsigned lpm_index(const struct lpm_node *node, unsigned byte)
{
	uint64_t up_to = UINT64_MAX >> (63 - byte % 64);

	return node->before[byte / 64] - 1u +
	       __builtin_popcountll(node->starts[byte / 64] & up_to);
}

static inline uint64_t lpm_root_entry(const struct lpm *t, const uint8_t *a)
{
	/* pairs with the release in show() */
	return atomic_load_explicit(&t->root[a[0] << 8 | a[1]],
				    memory_order_acquire);
}

/* Those of a group that have come to a node. */
struct lpm_walk {
	unsigned n;
	uint8_t who[LPM_GROUP];
	const _Atomic uint64_t *at[LPM_GROUP];
	uint64_t entry[LPM_GROUP];
};

/* What an entry says; true: it is a node, which is prefetched. */
static inline bool lpm_take(uint64_t entry, uint32_t *value)
{
	if (lpm_is_node(entry)) {
		__builtin_prefetch(lpm_node(entry));
		return true;
	}
	*value = entry ? (uint32_t)(entry >> 1) : *value;
	return false;
}

/* One byte further down; byte: its number. */
static inline void lpm_step(struct lpm_walk *w, unsigned byte,
			    const uint8_t *const *address, uint32_t *value)
{
	unsigned left = 0;

	for (unsigned k = 0; k < w->n; k++) {
		const struct lpm_node *node = lpm_node(w->entry[k]);
		uint32_t def = atomic_load_explicit(&node->def,
						    memory_order_relaxed);
		unsigned i = w->who[k];

		value[i] = def ? def : value[i];
		w->at[k] = &node->entry[lpm_index(node, address[i][byte])];
		__builtin_prefetch((const void *)w->at[k]);
	}
	for (unsigned k = 0; k < w->n; k++) {
		/* pairs with the release in show() */
		uint64_t entry = atomic_load_explicit(w->at[k],
						      memory_order_acquire);
		unsigned i = w->who[k];

		w->who[left] = (uint8_t)i;
		w->entry[left] = entry;
		left += lpm_take(entry, &value[i]);
	}
	w->n = left;
}

/*
 * Stores the values of n addresses, which are bytes in network order; 0: no
 * prefix fits. Any thread.
 */
static inline void lpm_find(const struct lpm *t, const uint8_t *const *address,
			    unsigned n, uint32_t *value)
{
	struct lpm_walk w;

	for (unsigned at = 0; at < n; at += LPM_GROUP) {
		const uint8_t *const *a = address + at;
		unsigned left = n - at < LPM_GROUP ? n - at : LPM_GROUP;

		w.n = 0;
		for (unsigned i = 0; i < left; i++)
			__builtin_prefetch(
				(const void *)&t->root[a[i][0] << 8 | a[i][1]]);
		for (unsigned i = 0; i < left; i++) {
			uint64_t entry = lpm_root_entry(t, a[i]);

			value[at + i] = 0;
			w.who[w.n] = (uint8_t)i;
			w.entry[w.n] = entry;
			w.n += lpm_take(entry, &value[at + i]);
		}
		for (unsigned byte = 2; w.n; byte++)
			lpm_step(&w, byte, a, value + at);
	}
}

#endif
