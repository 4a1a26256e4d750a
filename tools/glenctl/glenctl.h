/* SPDX-License-Identifier: BSD-2-Clause */
/* glenctl.h - what the files of glenctl share. */
#ifndef TOOLS_GLENCTL_GLENCTL_H
#define TOOLS_GLENCTL_GLENCTL_H
/*
 * Theory of operation
 *
 * glenctl is a thin client of docs/control.md: a command turns its words into
 * one call (or a few), and the result into a table. With --json the result is
 * printed as it came.
 *
 *   main.c      global options, the tree of commands, help
 *   client.c    the connection; errors to sentences and exit codes
 *   options.c   key=value words to JSON
 *   table.c     aligned tables, human units
 *   print.c     results that are no table of their own
 *   objects.c   status, switch, module, driver
 *   port.c      port
 *   fdb.c       fdb
 *   vlan.c      vlan
 *   stats.c     stats;  counters.c turns its answers into rows for top as well
 *   top.c       top
 *   config.c    apply, save, rpc, wait, completion
 *   capture.c   capture; reader.c reads the shared rings, pcapng.c and packet.c
 *               write what comes out
 *
 * A command returns an exit code. There is one thread and no event loop.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/rpc.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,     /* glend, or the system, said no */
	EXIT_USAGE = 2,	      /* the command line makes no sense */
	EXIT_UNREACHABLE = 3, /* no glend, or it hung up */
	EXIT_TIMEOUT = 4,
};

/* What the global options say, and the connection. */
struct ctl {
	const char *socket; /* NULL: the default */
	bool json;	    /* print results as JSON */
	bool connected;
	struct rpc rpc;
	const struct command *command; /* the one that runs */
	char path[64];		       /* its words, for messages: "port add" */
};

/* A command, or a group of commands. */
struct command {
	const char *name;
	const char *args;    /* for the usage line */
	const char *summary; /* one line */
	const char *help;    /* what it does, its options, examples */
	/* argv[0] is the command's name. NULL: a group. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const struct command *sub; /* of a group; ends with name NULL */
};

extern const struct command switch_commands[];
extern const struct command port_commands[];
extern const struct command module_commands[];
extern const struct command driver_commands[];
extern const struct command worker_commands[];
extern const struct command region_commands[];
extern const struct command fdb_commands[];
extern const struct command vlan_commands[];
extern const struct command steer_commands[];
extern const struct command tuple3_commands[];
extern const struct command completion_commands[];
extern const char status_help[], stats_help[], top_help[], apply_help[];
extern const char save_help[], wait_help[], rpc_help[], capture_help[];
/* The text of glenctl.bash-completion; the build makes a C file of it. */
extern const char completion_bash[];
int status_run(struct ctl *ctl, int argc, char **argv);
int stats_run(struct ctl *ctl, int argc, char **argv);
int top_run(struct ctl *ctl, int argc, char **argv);
int apply_run(struct ctl *ctl, int argc, char **argv);
int save_run(struct ctl *ctl, int argc, char **argv);
int wait_run(struct ctl *ctl, int argc, char **argv);
int rpc_run(struct ctl *ctl, int argc, char **argv);
int capture_run(struct ctl *ctl, int argc, char **argv);

/* client.c */

/* "glenctl: ..." on stderr; returns code. */
int complain(enum exit_code code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same for a wrong command line, with where to read on. */
int bad_usage(const struct ctl *ctl, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* With --json what these two say is printed as {"error": ...} as well. */
void print_errors_as_json(bool on);
/* True if standard output is a pipe whose reader, such as head, has gone. */
bool stdout_left(void);
/*
 * Calls glend, connecting first if need be. params is taken. timeout_ms as in
 * rpc_call(), CALL_TIMEOUT_MS for what answers at once. On success *result (if
 * result is not NULL) is a new object. Returns an exit code, having said what
 * was wrong.
 */
enum { CALL_TIMEOUT_MS = 30000 };
int call(struct ctl *ctl, const char *method, json_t *params, int timeout_ms,
	 json_t **result);
/* call() whose result is only of interest as JSON; prints it if so. */
int call_quiet(struct ctl *ctl, const char *method, json_t *params);
/* Prints value as JSON and frees it. Returns EXIT_OK. */
int print_json(json_t *value);
/* Sorts an array of objects by a member, "p2" before "p10". */
void sort_by(json_t *array, const char *key);
/* Members of results, with a default for those that are missing. */
const char *get_str(const json_t *object, const char *key);
uint64_t get_u64(const json_t *object, const char *key);
bool get_bool(const json_t *object, const char *key);

/* print.c */

/* An object as "key=value key=value"; freed by the caller. */
char *pairs(const json_t *object);
/*
 * All members of an object, one per line; objects within it as if their members
 * were its own, lists of objects as tables, and what is wrong at the end.
 */
void print_members(FILE *file, const json_t *object);
/* The object of one member. */
json_t *name_param(const char *key, const char *name);
/* Calls glend and prints the members of what comes back. */
int show(struct ctl *ctl, const char *method, json_t *params);

/* options.c */

/*
 * Adds key=value words to object: the value is taken as JSON if it is a
 * number, true, false, null, a list, an object or a quoted string; anything
 * else is a string as it stands. Keys in strings (NULL or ending with NULL)
 * are always strings. A key "a.b" stands for the member b of an object a.
 * Returns 0 or EXIT_USAGE, having said why.
 */
int add_options(const struct ctl *ctl, json_t *object, int argc, char **argv,
		const char *const *strings);
/* True if name is "switch:port", false if it is a switch. */
bool is_port_name(const char *name);
/* A number within [min, max] in *value, or EXIT_USAGE, having said why. */
int parse_long(const struct ctl *ctl, const char *what, const char *text,
	       long min, long max, long *value);
/* The same for a time in seconds, such as 0.5. */
int parse_seconds(const struct ctl *ctl, const char *what, const char *text,
		  double min, double max, double *value);
/* After getopt_long() said '?': names the option. Returns EXIT_USAGE. */
int bad_option(const struct ctl *ctl, char **argv);
/* Checks the number of words behind the command's name. */
int check_args(const struct ctl *ctl, int argc, int min, int max);
/* The same for a command without options of its own. */
int no_options(const struct ctl *ctl, int argc, char **argv, int min, int max);

#endif
