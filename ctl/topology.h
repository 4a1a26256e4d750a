/* SPDX-License-Identifier: BSD-2-Clause */
/* topology.h - YAML topology files: to and from configuration objects. */
#ifndef CTL_TOPOLOGY_H
#define CTL_TOPOLOGY_H
/*
 * Theory of operation
 *
 * A topology file is the configuration object of config.h written as YAML. This
 * file knows YAML and line numbers, but not what the members mean:
 *
 *   file --topology_load()--> JSON object + line of every member
 *        --config_apply()---> error with a config_where
 *        --topology_locate()-> "net.yaml:7: there is no module 'lern'"
 *
 * The YAML subset: one document; mappings, sequences, scalars. Plain scalars
 * become null, true, false, integers (also 0x..), numbers or else strings;
 * quoted ones are strings. yes, no, on and off are strings. Anchors, aliases
 * and tags are refused, so nothing expands. A key twice in a mapping is an
 * error. Limits: TOPOLOGY_SIZE_MAX bytes, TOPOLOGY_DEPTH_MAX levels.
 *
 * No state is shared; one thread at a time per struct topology.
 */
#include <jansson.h>
#include <stddef.h>

#include "ctl/config.h"

enum {
	TOPOLOGY_SIZE_MAX = 4 << 20,
	TOPOLOGY_DEPTH_MAX = 16,
};

struct topology {
	json_t *config; /* owned */
	json_t *lines;	/* owned: {"switches/vale0": 3, ...} */
	char *file;	/* owned: the name in messages */
};

/*
 * Parses YAML text; name stands for the file in messages. Errors (-EINVAL,
 * -EFBIG, -ENOMEM) read "name:line: what is wrong". An empty document is {}.
 * *t is the caller's, to be given back with topology_destroy().
 */
int topology_parse(const char *name, const char *text, size_t len,
		   struct topology **t, struct glen_error *error);

/* Reads and parses a file; "-" is standard input. Errors of open() and read()
 * name the file. */
int topology_load(const char *path, struct topology **t,
		  struct glen_error *error);

/* NULL is fine. */
void topology_destroy(struct topology *t);

/* Puts "file:line: " in front of an error that concerns this member, or the
 * nearest one around it that has a line. */
void topology_locate(const struct topology *t, const struct config_where *where,
		     struct glen_error *error);

/* A configuration as YAML text, to be freed; NULL: no memory. */
char *topology_format(json_t *config);

#endif
