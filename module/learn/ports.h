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
 *   (others' mirror_to)  PORT_SPAN     mirror.c; in_mirror_port
 *   guard                PORT_GUARD    guard.h; in_guard_*
 *   police_*             PORT_POLICE   meter.h; in_policed
 *   mode, vlan, ...      PORT_VLAN     vlan.h; in_vlan_*
 *   mac_*, macs          PORT_MACS     in_mac_limit, in_mac_static
 *   storm_*              PORT_STORM    in_storm
 *
 * in this order; PORT_VLAN and PORT_SPAN come from the switch as a whole, also
 * to ports without settings. Packets that the guard refuses use up no tokens,
 * and those that are policed are not learnt from.
 *
 * Static addresses (macs) live in the table, those that fdb.add made as well.
 * With mac_sticky, workers enter what they learn as static. ports_settings()
 * reads them back, so they are saved, whatever their origin.
 *
 * Control thread, but for what full.c reads.
 */
#include "module/learn/guard.h"
#include "module/learn/learn.h"
#include "module/learn/vlan.h"

enum { NAME_TEXT_SIZE = 64 };

enum {
	PORT_GUARD = 1,
	PORT_POLICE = 2,
	PORT_MACS = 4,
	PORT_STORM = 8,
	PORT_VLAN = 16, /* the switch is aware, see vlan.h */
	PORT_SPAN = 32, /* only copies go there, nothing comes from there */
};

/* Bits of what is mirrored. */
enum {
	MIRROR_IN = 1 << GLEN_MIRROR_IN,
	MIRROR_OUT = 1 << GLEN_MIRROR_OUT,
};

/* Where copies of a port's packets go: mirror.c. */
struct mirror {
	uint8_t what; /* MIRROR_*; 0: nothing */
	bool normal;  /* a port that others name takes part as well */
	char to[NAME_TEXT_SIZE]; /* a port's name */
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
	struct vlan_port vlan;
	struct mirror mirror; /* control only */
};

/* What control knows of a port. */
struct port_slot {
	json_t *settings; /* as they were given; NULL: none */
	json_t *macs;	  /* static addresses when last asked; NULL: none */
	struct learn_port *now;
	struct port_run *run;
	const char *name; /* the switch's */
	bool here;
	bool isolated;
	bool span;	       /* only for copies of others */
	uint16_t mirror_at[2]; /* by direction, what the switch was told: 1 +
				* index of the mirror port, 0: none */
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

void ports_add(struct learn *l, const struct glen_module_port *port);
/* The port goes; its addresses are still in the table. */
void ports_del(struct learn *l, unsigned index);
/* Brings learn.flags[] to what the slots and learn.aware say. */
void ports_flags(struct learn *l);

/* How the port's packets of a VLAN leave; of any port that there is. */
enum vlan_way ports_way(const struct learn *l, unsigned index, unsigned vid);

/* mirror.c: the settings mirror, mirror_to and mirror_normal. -EINVAL. */
int mirror_read(json_t *settings, struct mirror *m, struct glen_error *error);
/* Ports came or went, or settings changed: mirrors lead where they should. */
void mirror_update(struct learn *l);

/* show.c: the method vlan.show. */
int learn_vlan_show(struct learn *l, json_t *params, json_t **result,
		    struct glen_error *error);

/* Addresses and VLANs as texts and keys: fdb.c. */
bool learn_parse_mac(const char *text, uint64_t *mac);
void learn_format_mac(uint64_t key, char text[18]);

#endif
