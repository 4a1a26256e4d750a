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
 * A port with settings of its own (ports.h) has its bit in flags[]; its packets
 * take another way (full.c), and those of other ports pay one load a batch.
 *
 * What senders ask for (GLEN_ASK_*) is done, as far as settings of ports allow
 * it, on that other way as well; whether they may name ports is an option.
 *
 * Flood limit: a meter (meter.h) for the whole switch. The burst is a tenth of
 * a second's packets, at least one.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/rcu.h"
#include "module/learn/meter.h"
#include "module/learn/table.h"

enum {
	LEARN_PORTS = TABLE_PORTS, /* port indexes are below */
	FLOOD_PPS_MAX = 100000000,
};

struct learn_port;
struct port_slot;
struct vlan_map;
struct vlan_sets;

/* Its own drop reasons, in the order of learn_drops; see there. */
enum learn_drop {
	LEARN_POLICED,
	LEARN_STORM,
	LEARN_MAC_LIMIT,
	LEARN_MAC_STATIC,
	LEARN_GUARD_MAC,
	LEARN_GUARD_IP,
	LEARN_GUARD_ND,
	LEARN_GUARD_OTHER,
	LEARN_VLAN_BAD,
	LEARN_VLAN_TAGGED,
	LEARN_VLAN_UNTAGGED,
	LEARN_VLAN_DENIED,
	LEARN_VLAN_DEST,
	LEARN_VLAN_STACKED,
	LEARN_MIRROR_PORT,
	LEARN_DROPS,
};

/* What one worker keeps. */
struct learn_worker {
	_Alignas(64) uint64_t moves; /* written by the worker, count_add() */
	uint64_t not_learnt;	     /* the same */
	struct meter_share flood;    /* worker only */
};

/* What the user chose. */
struct learn_options {
	long entries;
	long ageing_s;
	long flood_pps;
	bool vlan;
	bool named_ports;
};

struct learn {
	_Atomic(struct table *) table; /* RCU; control replaces it */
	_Atomic uint32_t ageing_s;     /* control writes; 0: never */
	_Atomic bool named_ports;      /* the same; GLEN_ASK_PORT counts */
	struct learn_options options;  /* control only */
	uint32_t now_s;		       /* control only: the last tick's */
	uint64_t sweep_at;	       /* control only: next bucket to sweep */
	const struct glen_module_env *env; /* const */
	unsigned n_workers;		   /* const */
	struct learn_worker *workers;	   /* const: by worker index */
	struct port_slot *slots;	   /* control only: by port index */
	bool ports_changed; /* control only: static addresses were */
	unsigned n_long;    /* control only: ports whose guard wants HDR_MAX */
	struct vlan_sets *sets; /* control only; NULL: never needed */
	bool aware;		/* control only: see vlan.h */
	bool mirrors;		/* control only: some port has mirror_to */
	struct meter flood;	/* of all workers */
	_Atomic(struct vlan_map *) vlans; /* RCU; NULL: not aware */
	/* A worker kept an address for good that control does not know of. */
	_Alignas(64) _Atomic bool fixed_new;
	/* By port index; control writes, workers read. */
	_Alignas(64) _Atomic uint32_t flags[LEARN_PORTS]; /* PORT_*; 0: none */
	_Atomic(struct learn_port *) port[LEARN_PORTS];	  /* RCU; NULL: none */
};

extern const struct module_builtin module_learn;
extern const struct glen_module_drop learn_drops[];

ISA_DECLARE(extern __typeof__(*(module_lookup)NULL), learn_lookup);

/* Control: the fdb.* methods, see docs/control.md. */
int learn_command(void *state, const char *method, json_t *params,
		  json_t **result, struct glen_error *error);

/* Worker: lookup() for a port with flags, or packets that ask for something. */
void learn_full(struct learn *learn, const struct glen_lookup *ctx,
		struct glen_batch *b);

/*
 * Worker: b->verdict[] has floods and there is a limit; those beyond it become
 * drops.
 */
void learn_limit_floods(struct learn *learn, const struct glen_lookup *ctx,
			struct glen_batch *b);

#endif
