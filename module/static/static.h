/* SPDX-License-Identifier: BSD-2-Clause */
/* static/static.h - port to port by name, without looking into packets. */
#ifndef MODULE_STATIC_STATIC_H
#define MODULE_STATIC_STATIC_H
/*
 * Theory of operation
 *
 * The user names where the packets of each port go. All packets of a batch
 * come from one port, so a look-up is one word: verdict[source index]. Control
 * computes these words from the names whenever a port comes or goes or the
 * options change; a word changes in one store, so a worker sees the old
 * destination or the new one.
 *
 *   source port                                  verdict
 *   in the map, destination is there             that port
 *   in the map, destination is not there         drop in_no_port
 *   not in the map, default is a port            the same for that port
 *   not in the map, default is "drop"            drop in_module
 *   not in the map, no default                   drop in_no_port
 *   any of these, both ports are isolated        drop in_isolated
 *
 * With rings=keep the packets of ring i go to ring i of a destination that has
 * as many rings; the word says so by naming ring 0. Else flows choose rings.
 *
 * Limits: as many rules as a switch may have ports.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/port.h"

enum {
	STATIC_PORTS = GLEN_PORTS_MAX,
	STATIC_NO_PORT = -1,
};

struct static_rule {
	char from[PORT_NAME_SIZE];
	char to[PORT_NAME_SIZE];
	int to_index; /* STATIC_NO_PORT while there is no such port */
};

/* What the user chose. */
struct static_options {
	struct static_rule *rules; /* own, sorted by from */
	unsigned n_rules;
	struct static_rule other; /* default; to is "" if it is no port */
	bool drop_other;	  /* default is "drop" */
	bool keep_rings;
};

struct static_module {
	/* By source index. Control writes, workers read. */
	_Atomic uint32_t verdict[STATIC_PORTS];
	/* Control only, from here on. */
	const struct glen_module_env *env;
	struct static_options options;
	const char *ports[STATIC_PORTS]; /* names by index; NULL: no port */
	uint16_t in_rings[STATIC_PORTS], out_rings[STATIC_PORTS];
	/* The rule of each port; NULL: none. Into options. */
	const struct static_rule *rule_of[STATIC_PORTS];
};

extern const struct module_builtin module_static;

ISA_DECLARE(extern __typeof__(*(module_lookup)NULL), static_lookup);

#endif
