/* SPDX-License-Identifier: BSD-2-Clause */
/* config.h - the configuration as one JSON object: read, check, apply. */
#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H
/*
 * Theory of operation
 *
 * The configuration is what outlives clients and restarts:
 *
 *   {"switches": {"vale0": {"module": "learn", "options": {...},
 *                           "ports": {"a": {"driver": "tap", ...}}}}}
 *
 * It has the same members as a topology file (topology.h, docs/topology.md),
 * is what config.get returns, and what the state file keeps. Ports that clients
 * opened without a reservation are no part of it.
 *
 * config_apply() makes the running state equal to a configuration:
 *
 *   config --check--> (refused: nothing was touched)
 *          --compare with control_config()--> steps
 *          --steps, one by one--> a step fails: the ones before are undone
 *
 * Steps run in this order: what goes, what changes, what comes; so that an
 * interface name can move from one port to another. What is equal is not
 * touched. Drivers can only say at the step itself whether the kernel agrees
 * (privileges, a name that is taken); everything else is checked before.
 *
 * Control thread. error must not be NULL.
 */
#include <jansson.h>
#include <stdbool.h>

#include "ctl/control.h"

enum { CONFIG_WHERE_SIZE = 256 };

/*
 * Where in a configuration something is wrong: the keys from the top, joined
 * by slashes ("switches/vale0/ports/a/mtu"); "" is the whole.
 */
struct config_where {
	char path[CONFIG_WHERE_SIZE];
};

/* The running configuration, a new object; NULL: no memory. */
json_t *control_config(struct control *ctl);

/*
 * Checks names, members, types, modules with their options, drivers and the
 * names of their options. Without engine (ctl NULL: a tool that only checks a
 * file) the same. -EINVAL with *where and error filled.
 */
int config_check(struct control *ctl, json_t *config,
		 struct config_where *where, struct glen_error *error);

/* Checks the options of a reservation (driver shm): -EINVAL. */
int config_check_reserved(json_t *params, struct glen_error *error);

/*
 * Checks, and unless dry_run makes the running state equal to config. changes
 * (an array) gets a sentence for each thing that was (or would be) changed. On
 * an error the running state is what it was before, or error says what could
 * not be put back.
 */
int config_apply(struct control *ctl, json_t *config, bool dry_run,
		 json_t *changes, struct config_where *where,
		 struct glen_error *error);

/*
 * Compares two sets of port options, ignoring members that say what is the
 * default anyway. Returns a new object with what port.set must change; NULL: no
 * memory. *replace: some difference cannot be expressed that way.
 */
json_t *config_port_diff(json_t *from, json_t *to, bool *replace);

#endif
