/* SPDX-License-Identifier: BSD-2-Clause */
/* module.h - what the core keeps of modules and their instances. */
#ifndef CORE_MODULE_H
#define CORE_MODULE_H
/*
 * Theory of operation
 *
 * include/glen/module.h is the contract, for modules that are built in as for
 * others. What is built in may differ in one thing: its lookup() is compiled
 * once per instruction set (struct module_builtin).
 *
 *   struct module            known module: built in, added by a program, or
 *                            loaded (core/module_load.c). Never freed; any
 *                            thread may look them up.
 *   struct module_instance   one per switch, and one more while it is replaced.
 *                            Control thread. Its env is what the module sees.
 *
 * What a module deferred is kept in its instance and called, after every worker
 * passed a quiet point, by module_settle(), which whoever called a callback
 * calls next.
 */
#include <jansson.h>
#include <stdint.h>

#include "core/batch.h"
#include "core/drop.h"
#include "core/fabric.h"
#include "core/isa.h"
#include "include/glen/module.h"

struct port;
struct vswitch;

typedef void (*module_lookup)(void *state, const struct glen_lookup *ctx,
			      struct glen_batch *b);

/* A module that is built in: ops.lookup is NULL, these are used. */
struct module_builtin {
	struct glen_module ops;
	module_lookup lookup[ISA_N]; /* by enum isa */
};

/* A module that instances can be made of. Immutable but for next. */
struct module {
	struct glen_module ops; /* what an older one does not have is NULL */
	const module_lookup *lookup;  /* by enum isa; NULL: ops.lookup */
	char *path;		      /* of the shared object; NULL: none */
	uint8_t drop[GLEN_DROPS_MAX]; /* enum drop of its own reasons */
	unsigned n_drops;
	struct module *next;
};

struct module_deferred;

struct module_instance {
	struct glen_module_env env; /* first: what the module gets */
	const struct module *module;
	const struct glen_module *ops; /* &module->ops */
	void *state;
	struct vswitch *sw; /* NULL: options are only being checked */
	struct module_deferred *deferred;
	struct fabric fabric; /* read by workers */
	uint32_t set_hint;    /* no set below this number is free */
};

/* module/table.c: all modules that are built in; NULL-terminated. */
const struct module_builtin *const *module_builtins(void);

/* The module of this name; NULL: none. Any thread. */
const struct module *module_find(const char *name);
/* The module after m in the list of all, the first for NULL; NULL: no more. */
const struct module *module_next(const struct module *m);
/*
 * Makes a module known, checking everything in it that can be checked. path is
 * that of its shared object, which must be called NAME.so, or NULL; copied.
 * -EINVAL (ABI, size, a member, the file's name),
 * -EEXIST (the name), -ENOSPC (no counters left for its drop reasons), -ENOMEM.
 */
int module_add(const struct glen_module *m, const char *path,
	       struct glen_error *error);
/*
 * module_load.c: makes the module in the shared object path, NAME.so, known.
 * Its code stays in memory for the life of the process; that of one that is
 * refused does not. The file and all directories above it must be out of reach
 * of users other than root and this process's. -EPERM (somebody can write
 * there), -ENOEXEC (cannot be loaded, or is no module), what module_add() says,
 * or that of a system call; error names the file and the cure. Any thread.
 */
int module_load(const char *path, struct glen_error *error);
/* Told for each module that was refused. */
typedef void (*module_refused)(void *arg, const struct glen_error *error);
/*
 * The same for all NAME.so in a directory, in the order of their names. Returns
 * how many were loaded; or -errno if the directory cannot be read or others can
 * write there, and then none was. refused may be NULL.
 */
int module_load_dir(const char *path, module_refused refused, void *arg,
		    struct glen_error *error);
/* Why module_load_dir() refused NAME.so when it met it last; NULL: it did not.
 * Any thread; the text stays. */
const char *module_refusal(const char *name);

/*
 * Control. An instance of the module called name for sw (NULL: only to check
 * params); not yet in use. -EINVAL names what was wrong.
 */
int module_instance_create(struct vswitch *sw, unsigned n_workers,
			   const char *name, json_t *params,
			   struct module_instance **instance,
			   struct glen_error *error);
/* Control. No worker uses it any more. NULL is fine. */
void module_instance_destroy(struct module_instance *mi);
/* Control, after callbacks: calls what the module deferred. */
void module_settle(struct module_instance *mi);
/* The lookup() of an instance for this machine. */
module_lookup module_lookup_of(const struct module_instance *mi);

/* Control. These call the module, if it cares, and settle. */
void module_port_add(struct module_instance *mi, const struct port *port);
void module_port_change(struct module_instance *mi, const struct port *port);
void module_port_del(struct module_instance *mi, const struct port *port);
/* The module's settings for a port (core/settings.h) or NULL. 0 if it has none
 * for ports. */
int module_port_set(struct module_instance *mi, const struct port *port,
		    json_t *settings, struct glen_error *error);
/* Only checks them; there is no instance. */
int module_port_check(const struct module *m, json_t *settings,
		      struct glen_error *error);
/* A new object; NULL: as they were set. */
json_t *module_port_settings(struct module_instance *mi,
			     const struct port *port);
/* Bytes of header that the instance wants now, HDR_MIN to HDR_MAX. */
unsigned module_hdr_want(struct module_instance *mi);
void module_tick(struct module_instance *mi, uint32_t now_s);
int module_set(struct module_instance *mi, json_t *params,
	       struct glen_error *error);
int module_command(struct module_instance *mi, const char *method,
		   json_t *params, json_t **result, struct glen_error *error);
/* A new object; an empty one if the module shows nothing. */
json_t *module_show(struct module_instance *mi);

/* What env->host points to. */
extern const struct glen_module_host module_host;

#endif
