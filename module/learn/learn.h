/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/learn.h - an instance of the learning bridge. */
#ifndef MODULE_LEARN_LEARN_H
#define MODULE_LEARN_LEARN_H
/*
 * Theory of operation
 *
 * For each packet the bridge learns the source address and looks up the
 * destination (lookup.c, on workers; table.h has the table):
 *
 *   destination                              verdict
 *   known at the source port                 that port (core: in_same_port)
 *   known, both ports isolated               drop in_isolated
 *   known                                    that port
 *   unknown or a group                       flood, or drop in_flood_limit
 *
 * Nothing is learnt from group or zero source addresses. With option vlan the
 * VLAN id of the outer tag (0x8100 or 0x88a8) belongs to the address; a packet
 * without tag, or with VLAN id 0 (priority only), is in VLAN 0.
 *
 * Options are atomic words that workers read once per batch. Those that shape
 * the table (entries, vlan) are behind its pointer: control builds a new table,
 * publishes it and frees the old one after every worker's quiet point. What is
 * learnt between the copy and that is learnt again.
 *
 * Flood limit: a token bucket for the whole switch. It is one word, the time at
 * which it will be full again (flood_full_at); who takes tokens moves it on by
 * their cost, and may not move it further than burst beyond now. Workers take a
 * few tokens at a time (flood_grab) and, when there are none, do not look again
 * before the time at which there will be some. So workers share the word's line
 * once per grab, not per packet; together they hoard at most a burst. The burst
 * is a tenth of a second's packets, at least one.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/rcu.h"
#include "module/learn/table.h"

enum {
	FLOOD_TIME_SHIFT = 6, /* flood times are in 1/64 ns */
	FLOOD_GRAB_MAX = 64,
	FLOOD_PPS_MAX = 100000000,
};

/* What one worker keeps. */
struct learn_worker {
	_Alignas(64) uint64_t moves; /* written by the worker, count_add() */
	uint64_t not_learnt;	     /* the same */
	uint32_t tokens;	     /* worker only: floods it may make */
	uint64_t retry_at;	     /* worker only: no tokens before */
};

/* What the user chose. */
struct learn_options {
	long entries;
	long ageing_s;
	long flood_pps;
	bool vlan;
};

struct learn {
	_Atomic(struct table *) table; /* RCU; control replaces it */
	_Atomic uint32_t ageing_s;     /* control writes; 0: never */
	_Atomic uint64_t flood_cost;   /* control: of a flood; 0: no limit */
	_Atomic uint64_t flood_burst;  /* control: depth of the bucket */
	_Atomic uint32_t flood_grab;   /* control: tokens taken at a time */
	struct learn_options options;  /* control only */
	uint32_t now_s;		       /* control only: the last tick's */
	uint64_t sweep_at;	       /* control only: next bucket to sweep */
	const struct glen_module_env *env;
	unsigned n_workers;	      /* const */
	struct learn_worker *workers; /* const: by worker index */
	_Alignas(64) _Atomic uint64_t flood_full_at; /* all workers */
};

extern const struct module_builtin module_learn;

ISA_DECLARE(extern __typeof__(*(module_lookup)NULL), learn_lookup);

/* Control: the fdb.* methods, see docs/control.md. */
int learn_command(void *state, const char *method, json_t *params,
		  json_t **result, struct glen_error *error);

/*
 * Worker: b->verdict[] has floods and there is a limit; those beyond it become
 * drops.
 */
void learn_limit_floods(struct learn *learn, const struct glen_lookup *ctx,
			struct glen_batch *b);

#endif
