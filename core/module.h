/* SPDX-License-Identifier: BSD-2-Clause */
/* module.h - the contract between the core and forwarding modules. */
#ifndef CORE_MODULE_H
#define CORE_MODULE_H
/*
 * Theory of operation
 *
 * A switch moves packets; a module says where to (mSwitch's split). Each switch
 * has one module instance. Its lookup() is called once per batch on a worker
 * and fills b->verdict[] from the private headers; several workers call it at
 * the same time with different batches. Everything else runs on the control
 * thread, one call at a time, concurrently with lookups: shared tables must be
 * safe for that (atomic words, or RCU through core/rcu.h).
 *
 * Replacing a module on a live switch: the new instance is created, told the
 * present ports, swapped in by one pointer store, and the old one is destroyed
 * after every worker passed a quiet point. No packet is lost by that.
 */
#include <jansson.h>
#include <stdint.h>

#include "core/batch.h"
#include "core/isa.h"
#include "include/glen/glen.h"

struct port;
struct module_names;

/* What lookup() may know besides the batch. */
struct lookup_ctx {
	uint16_t src;	   /* index of the source port */
	bool src_isolated; /* the source port is isolated */
	uint16_t worker;   /* index of the calling worker */
	uint32_t now_s;	   /* monotonic seconds, coarse */
	uint64_t now_ns;   /* monotonic, refreshed at least every turn */
	const uint8_t *port_isolated; /* by port index: 1 if isolated */
	uint32_t n_ports;	      /* length of port_isolated */
};

typedef void (*module_lookup)(void *state, const struct lookup_ctx *ctx,
			      struct batch *b);

struct module_ops {
	const char *name;    /* "learn" */
	const char *summary; /* one line */
	const char *options; /* in words, one option per line */
	unsigned hdr_want;   /* bytes of header needed, HDR_MIN..HDR_MAX */

	/*
	 * Makes an instance for up to n_workers workers. params: options as a
	 * JSON object or NULL, borrowed; unknown keys are errors. Control.
	 */
	int (*create)(json_t *params, unsigned n_workers, void **state,
		      struct glen_error *error);
	/* Frees it; no lookup runs any more. Control. */
	void (*destroy)(void *state);
	/* Changes options at run time; those not named take their defaults, on
	 * error nothing changes. NULL: none can be changed. Control. */
	int (*set)(void *state, json_t *params, struct glen_error *error);
	/* The options now in force, a new object (show, save). Control. */
	json_t *(*show)(void *state);
	/*
	 * A port came, or (before its index is used again) went. For port_del
	 * no worker delivers to it any more. NULL: of no interest. Control.
	 */
	void (*port_add)(void *state, const struct port *port);
	void (*port_del)(void *state, const struct port *port);
	/*
	 * All settings of this module for a port (core/settings.h), NULL: none,
	 * borrowed. Called after port_add() and before the port is in the
	 * snapshot, and when they change; on error the old ones stay. state and
	 * port NULL: they are only checked. NULL: there are none. Control.
	 */
	int (*port_set)(void *state, const struct port *port, json_t *settings,
			struct glen_error *error);
	/* A new object with the port's settings as they are now, which may be
	 * more than it was told. NULL: they never change so. Control. */
	json_t *(*port_settings)(void *state, const struct port *port);
	/* True if settings have changed by themselves since it was asked last.
	 * NULL: never. Control. */
	bool (*changed)(void *state);
	/* About once a second. NULL: nothing to do. Control. */
	void (*tick)(void *state, uint32_t now_s);
	/*
	 * The module's own RPC methods, e.g. "fdb.show". find_port() turns a
	 * port name of this switch into an index (-1: none) and port_name() the
	 * other way (NULL: none). Returns -ENOSYS for methods it has not.
	 * *result is a new object. Control.
	 */
	int (*command)(void *state, const char *method, json_t *params,
		       const struct module_names *names, json_t **result,
		       struct glen_error *error);
	/*
	 * Hot, by enum isa: a verdict for each packet of b. Every packet has
	 * at least PACKET_LEN_MIN bytes, all in hdr[]. It may name a port that
	 * does not exist: the core drops it as in_no_port; the source port:
	 * dropped as in_same_port.
	 */
	module_lookup lookup[ISA_N];
};

/* Port names of the switch a command runs on. */
struct module_names {
	void *arg;
	int (*find_port)(void *arg, const char *name);
	const char *(*port_name)(void *arg, int index);
};

/* All modules that are built in; NULL-terminated. */
const struct module_ops *const *modules(void);
const struct module_ops *module_find(const char *name);

#endif
