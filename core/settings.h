/* SPDX-License-Identifier: BSD-2-Clause */
/* settings.h - what a switch's module is told about single ports. */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H
/*
 * Theory of operation
 *
 * Among the options of a port, a member that is named like a module is an
 * object of that module's settings for the port:
 *
 *   {"mtu": 1500, "learn": {"access": 10, "police_bps": 100000000}}
 *
 * Drivers never see it. The switch's module gets it (glen_module.port_set)
 * before the port is in the switch's snapshot, so no packet passes without it;
 * other modules' settings wait in port->params until the switch has their
 * module. A module may change settings by itself (an address that it was told
 * to keep): settings_refresh() brings that into port->params.
 *
 * A change names only what changes; null takes a setting back, and null for
 * the whole object all of them.
 *
 * Control thread.
 */
#include <jansson.h>
#include <stdbool.h>

#include "include/glen/glen.h"

struct module_instance;
struct port;
struct vswitch;

/* True if an option of this name holds a module's settings. */
bool settings_named(const char *key);
/* Takes the settings of all modules out of the options. */
void settings_strip(json_t *params);
/* Gives to the settings that from has, and no others. -ENOMEM. */
int settings_copy(json_t *to, json_t *from);
/*
 * The options in change go into params: those of the same name are replaced,
 * settings member by member, and null removes settings. -ENOMEM.
 */
int settings_merge(json_t *params, json_t *change);
/*
 * Adds to change what leads from the settings from (NULL: none) of the module
 * called key to the settings to; nothing if they are equal. -ENOMEM.
 */
int settings_diff(json_t *change, const char *key, json_t *from, json_t *to);
/* Checks the settings in params, each by its module. -EINVAL. */
int settings_check(json_t *params, struct glen_error *error);
/* Tells the instance what params has for it. What it says. */
int settings_apply(struct module_instance *mi, const struct port *port,
		   json_t *params, struct glen_error *error);
/* Asks the module for settings that it changed; true if some port->params are
 * different now. */
bool settings_refresh(struct vswitch *sw);

#endif
