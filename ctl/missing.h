/* SPDX-License-Identifier: BSD-2-Clause */
/* missing.h - configured ports that could not be opened yet. */
#ifndef CTL_MISSING_H
#define CTL_MISSING_H
/*
 * Theory of operation
 *
 * When glend starts with the configuration of its state file, what a port needs
 * may not be there: the directory of its socket, an address, an interface. Such
 * a port stays in the configuration and is tried again, once a second:
 *
 *   state file --missing_add()--> ctl->missing --missing_try()--> a port
 *                                    |    ^             |
 *                        port.del <--+    +--it failed--+
 *
 * It begins in missing even if nothing is wrong, so that a port whose opening
 * fails is never nowhere. An entry keeps its switch, is shown as a port with
 * its problem, and holds what the driver left in the state file; nobody else
 * gets its name. port.add of the name and port.set try at once, with other
 * options.
 *
 * A port of a topology file, or of port.add, that cannot be opened is refused
 * with an error instead: somebody is there who reads it.
 *
 * Entries: {"switch:port": {"driver", "params": {...}, "problem"}}.
 *
 * Control thread. error must not be NULL.
 */
#include "ctl/control.h"

/* Keeps a port with these options (borrowed); makes the switch if need be. */
int missing_add(struct control *ctl, const char *full, const char *driver,
		json_t *params, struct glen_error *error);
/* Forgets it, and what its driver left in the state file. The switch stays
 * until control_switch_release(). */
void missing_del(struct control *ctl, const char *full);
/* Forgets those of a switch. */
void missing_del_all(struct control *ctl, const char *sw);

/* The entry, borrowed; NULL: there is none. */
json_t *missing_find(const struct control *ctl, const char *full);
/* Those of a switch. */
unsigned missing_count(const struct control *ctl, const char *sw);

/*
 * Opens the port, and forgets the entry. If it still cannot be opened: the
 * error, and *is_new tells whether it is another one than the last time.
 */
int missing_try(struct control *ctl, const char *full, bool *is_new,
		struct glen_error *error);
/* The same with changed options, which are kept only if it can be opened. */
int missing_set(struct control *ctl, const char *full, json_t *params,
		struct glen_error *error);

/* 0, or -EBUSY: the name belongs to a port that is missing. */
int missing_refuse(const struct control *ctl, const char *full,
		   struct glen_error *error);

/* The port as an object; NULL: no memory. */
json_t *missing_show(const char *full, json_t *entry);
/* Adds those of a configuration to its switches. */
int missing_config(const struct control *ctl, json_t *switches);

#endif
