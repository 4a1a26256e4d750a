/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/vlan.h - which VLANs a port is in, and who gets floods of each. */
#ifndef MODULE_LEARN_VLAN_H
#define MODULE_LEARN_VLAN_H
/*
 * Theory of operation
 *
 * A port is plain (all VLANs, packets as they are; those without a tag are in
 * VLAN 0, which only plain ports are in), access, trunk or qinq. What may come
 * in is judged from the port's struct vlan_port, and so is how a packet of a
 * VLAN leaves: vlan_way(). There is one space of VLAN ids; the outer tag, be it
 * 0x8100 or 0x88a8, tells the VLAN of a packet that has one.
 *
 *   in                                    out, packet of VLAN v
 *   plain   tag's VLAN, else 0            as it is, with its tag
 *   access  untagged: vid                 v == vid: without tag
 *   trunk   tag's VLAN if allowed,        v == vid (native): without tag,
 *           untagged: vid, if any         allowed: with tag
 *   qinq    anything: vid                 v == vid: without outer tag
 *
 * A packet that has another tag behind that of its VLAN (stacked) never leaves
 * an access port or in a trunk's native VLAN: without the outer tag, the inner
 * one would be taken for its VLAN.
 *
 * While all ports are plain and none is only for mirrors, none of this is in
 * use and nobody pays for it. Else the switch is aware: all ports have
 * PORT_VLAN, and learn.vlans leads to the number of the port set that a flood
 * goes to, for each VLAN, stacked or not, from isolated ports or not (a row).
 * Packets to a set carry their VLAN's tag; members that are untagged there take
 * it off by the edit of the set.
 *
 * Rows with the same members share a set. Members are compared by a signature,
 * the XOR of a 64-bit hash of each (port, way); so when a port changes, rows
 * are grouped anew without looking at other ports. A class of rows that
 * changes as a whole keeps its set, which gets the change; other new classes
 * get new sets, and sets that nobody uses any more go when workers have let go.
 *
 * Where there is no memory for a set, floods of its rows are dropped
 * (in_module) until vlan_tick() could make it; they never reach others.
 *
 * Control thread, but for vlan_way() and struct vlan_map, which workers read.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/module.h"

struct learn;

enum {
	VLAN_IDS = 4096,
	VLAN_LAST = 4094, /* highest VLAN that a user may name */
	VLAN_TEXT_SIZE = 16 * 1024,
};

enum vlan_mode { VLAN_PLAIN, VLAN_ACCESS, VLAN_TRUNK, VLAN_QINQ };

/* Of a port, immutable. */
struct vlan_port {
	uint8_t mode; /* enum vlan_mode */
	uint16_t vid; /* see above; trunk: 0 is no native VLAN */
	uint64_t allowed[VLAN_IDS / 64]; /* trunk: bit per VLAN */
};

/* How a packet leaves. */
enum vlan_way { VLAN_NOT, VLAN_TAGGED, VLAN_UNTAGGED };

/* Bits of a variant of a VLAN's flood. */
enum {
	VLAN_STACKED = 1,
	VLAN_NOT_ISOLATED = 2, /* from an isolated port */
	VLAN_VARIANTS = 4,
	VLAN_ROWS = VLAN_VARIANTS * VLAN_IDS,
	VLAN_NO_SET = 0xffff, /* a number that no set has */
};

/* Immutable: port sets for floods, by variant and VLAN. */
struct vlan_map {
	uint16_t set[VLAN_ROWS];
};

static inline bool vlan_allowed(const struct vlan_port *p, unsigned vid)
{
	return p->allowed[vid / 64] >> (vid % 64) & 1;
}

/* How a packet of VLAN vid (below VLAN_IDS) leaves port p, if at all. */
static inline enum vlan_way vlan_way(const struct vlan_port *p, unsigned vid,
				     bool stacked)
{
	if (p->mode == VLAN_PLAIN)
		return VLAN_TAGGED;
	if (vid && vid == p->vid)
		return stacked && p->mode != VLAN_QINQ ? VLAN_NOT :
							 VLAN_UNTAGGED;
	return p->mode == VLAN_TRUNK && vlan_allowed(p, vid) ? VLAN_TAGGED :
							       VLAN_NOT;
}

/* vlan_text.c: the settings mode, vlan, native and allowed. -EINVAL. */
int vlan_read(json_t *settings, struct vlan_port *p, struct glen_error *error);
/* "1-10,20" */
void vlan_allowed_text(const struct vlan_port *p, char text[VLAN_TEXT_SIZE]);
const char *vlan_mode_name(unsigned mode);

/* vlan_sets.c. */

/* Makes room for what follows: once, before a port's settings need it. */
int vlan_prepare(struct learn *l);
void vlan_fini(struct learn *l);
/* Before something that vlan_way() or isolation depends on changes at a port,
 * and afterwards. */
void vlan_before(struct learn *l, unsigned port);
void vlan_after(struct learn *l, unsigned port);
/* Tries again what failed. */
void vlan_tick(struct learn *l);

#endif
