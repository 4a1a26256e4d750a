/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/ports.h - what the learning bridge is told about single ports. */
#ifndef MODULE_LEARN_PORTS_H
#define MODULE_LEARN_PORTS_H
/*
 * Theory of operation
 *
 * A port's settings (core/settings.h) become a struct learn_port, immutable,
 * behind learn.port[index]; learn.flags[index] says which of the features below
 * the port uses, and a worker that finds 0 there never looks at the rest. What
 * outlives a change of settings, meters and their shares, is the port's struct
 * port_run; it is made with the first settings and freed when the port goes.
 *
 *   setting              flag          what happens to the port's packets
 *   guard                PORT_GUARD    guard.h; in_guard_*
 *   police_*             PORT_POLICE   meter.h; in_policed
 *   mac_*, macs          PORT_MACS     in_mac_limit, in_mac_static
 *   storm_*              PORT_STORM    in_storm
 *
 * in this order. Packets that the guard refuses use up no tokens, and those
 * that are policed are not learnt from.
 *
 * Static addresses (macs) live in the table, those that fdb.add made as well.
 * With mac_sticky, workers enter what they learn as static. ports_settings()
 * reads them back, so they are saved, whatever their origin.
 *
 * Control thread, but for what full.c reads.
 */
#include "module/learn/guard.h"
#include "module/learn/learn.h"

enum {
	PORT_GUARD = 1,
	PORT_POLICE = 2,
	PORT_MACS = 4,
	PORT_STORM = 8,
};

enum port_meter {
	METER_PACKETS,
	METER_BYTES,
	METER_BROADCAST,
	METER_MULTICAST,
	METER_UNKNOWN,
	METER_N,
};

/* What one worker keeps of a port. */
struct port_share {
	_Alignas(64) struct meter_share meter[METER_N];
};

struct port_run {
	struct meter meter[METER_N];
	struct port_share share[]; /* by worker index */
};

/* Immutable but for *run. */
struct learn_port {
	uint32_t flags;
	struct table_rule rule;
	struct guard *guard;  /* own; NULL: none */
	struct port_run *run; /* the slot's */
};

int ports_init(struct learn *l);
void ports_fini(struct learn *l);

/* Of struct glen_module. */
int ports_set(const struct glen_module_env *env, void *state,
	      const struct glen_module_port *port, json_t *settings,
	      struct glen_error *error);
json_t *ports_settings(void *state, const struct glen_module_port *port);
bool ports_changed(void *state);
uint32_t ports_hdr_want(void *state);

/* The port goes; its addresses are still in the table. */
void ports_del(struct learn *l, unsigned index);

/* Addresses and VLANs as texts and keys: fdb.c. */
bool learn_parse_mac(const char *text, uint64_t *mac);
void learn_format_mac(uint64_t key, char text[18]);

#endif
