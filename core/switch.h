/* SPDX-License-Identifier: BSD-2-Clause */
/* switch.h - engine, switches and ports as the control thread sees them. */
#ifndef CORE_SWITCH_H
#define CORE_SWITCH_H
/*
 * Theory of operation
 *
 * An engine owns workers and switches; glend has one engine, an embedded
 * switch has one of its own. All functions here are for the control thread.
 *
 * What workers need of a switch is an immutable struct switch_snap behind one
 * pointer. Every change of ports, flags or module builds a new snapshot,
 * publishes it, waits until no worker uses the old one, and frees that.
 *
 *   vswitch --snap--> { dest[port index], egress[], flood sets, module }
 *
 * Limits: 4096 ports in a switch; a full table is -ENOSPC for the caller.
 */
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/module.h"
#include "core/port.h"

struct socket_addr; /* core/socket.h */

enum {
	SWITCH_PORTS_MAX = 4096,
	SWITCHES_MAX = 1024,
	WORKERS_MAX = 64,
	EGRESS_MAX = SWITCH_PORTS_MAX * PORT_RINGS_MAX,
};

/* Where verdicts lead; immutable. */
struct dest {
	struct port *port; /* NULL: index not in use */
	uint32_t egress0;  /* of ring 0 in egress[] */
	uint32_t n_out;
};

struct switch_snap {
	uint32_t n_dest; /* one more than the highest index */
	uint32_t n_egress;
	struct dest *dest;
	struct egress **egress;
	uint8_t *isolated; /* by port index */
	struct port_set *flood[FLOOD_SETS];
	struct fabric *fabric; /* the module instance's */
	module_lookup lookup;
	void *module_state;
	unsigned hdr_want;
	const uint8_t *drop; /* enum drop of the module's own reasons */
	unsigned n_drops;
};

struct engine;
struct loop;

struct vswitch {
	char name[PORT_NAME_SIZE];
	struct engine *engine;
	_Atomic(struct switch_snap *) snap;   /* RCU */
	struct port *ports[SWITCH_PORTS_MAX]; /* by index; control thread */
	unsigned n_ports;
	bool configured; /* stays when its last port goes */
	struct module_instance *module;
	json_t *module_params;		  /* as given, for save */
	struct capture_session *captures; /* control thread; core/capture.c */
	struct counters gone;		  /* sums of ports that are no more */
	struct counters gone_out;
	struct vswitch *next;
};

struct engine_config {
	unsigned n_workers; /* 1..WORKERS_MAX; 0 = 1 */
	unsigned n_active;  /* that get rings; 0 = all; see engine_spread() */
	const int *cpus;    /* one per worker; NULL: not pinned */
	bool poll;	    /* never arm, never sleep */
	struct loop *loop;  /* the control thread's, for drivers; borrowed */
	/* Called on any thread when a port broke; must only wake the control
	 * thread, which then calls engine_broken(). NULL: nobody is told. */
	void (*wake)(void *arg);
	void *wake_arg;
	/* Control thread: what port_log() was called with. NULL: unheard */
	void (*log)(void *arg, struct port *port, const char *text);
	void *log_arg;
};

int engine_create(struct engine **engine, const struct engine_config *config,
		  struct glen_error *error);
/* Stops workers, closes all ports and switches. NULL is fine. */
void engine_destroy(struct engine *engine);
/*
 * Spreads the rings over the first n workers, which must not be started, and
 * lets those sleep when they are idle. For an embedded switch, which is polled
 * by its program until it is started.
 */
int engine_spread(struct engine *engine, unsigned n, struct glen_error *error);
/* Starts one thread per active worker. Without it the caller runs worker 0. */
int engine_start(struct engine *engine, struct glen_error *error);
void engine_stop(struct engine *engine);
/* Runs worker 0 for one turn in the calling thread (embedded). */
unsigned engine_poll(struct engine *engine);
/* The same for worker i of those there are; one thread at a time each. */
unsigned engine_poll_worker(struct engine *engine, unsigned i);
unsigned engine_n_workers(const struct engine *engine);
struct vswitch *engine_switches(struct engine *engine);
/* Once a second: ageing, link states, ... */
void engine_tick(struct engine *engine);
/* The next port that broke and is still open, or NULL. */
struct port *engine_broken(struct engine *engine);
/* Per worker: {"worker", "cpu", "polled", "armed", "turns", "batches",
 * "packets", "sleeps", "wakeups", "busy_ns"}; busy_ns is the time spent in
 * turns over the rings that brought packets. */
json_t *engine_show_workers(struct engine *engine);

/* True if the name is 1..31 of [A-Za-z0-9_.-] and starts with a letter or
 * digit; else false with error filled ("switch name ..."). */
bool name_check(const char *what, const char *name, struct glen_error *error);

struct vswitch *switch_find(struct engine *engine, const char *name);
/* -EEXIST, -EINVAL (name, unknown module, bad options), -ENOSPC, -ENOMEM. */
int switch_create(struct engine *engine, const char *name, const char *module,
		  json_t *module_params, struct vswitch **sw,
		  struct glen_error *error);
/* Closes all its ports first. */
void switch_destroy(struct vswitch *sw);
/* Replaces the module, or sets the options of the same one (those not named
 * take their defaults); on error all stays as it was. */
int switch_set_module(struct vswitch *sw, const char *module, json_t *params,
		      struct glen_error *error);
/* The same, but always by a new instance, also of the same module; it gets the
 * old one's state if both say that they understand each other. */
int switch_replace_module(struct vswitch *sw, const char *module,
			  json_t *params, struct glen_error *error);
/* {"name", "module", "options", "ports", "configured", counters}. */
json_t *switch_show(struct vswitch *sw);

struct port *port_find(struct vswitch *sw, const char *name);
/* The port of this engine whose Unix socket is at the path of a; NULL: none, it
 * is somebody else's. It may be of another engine or process if the file was
 * replaced behind its owner's back. */
struct port *port_at_socket(struct engine *engine, const struct socket_addr *a);
/*
 * Opens a port. Common params mtu, mac, isolated are taken out and set before
 * the driver's open(). -EEXIST/-EBUSY, -EINVAL, -ENOSPC, or the driver's.
 */
int port_create(struct vswitch *sw, const char *name, const char *driver,
		struct port_args *args, struct port **port,
		struct glen_error *error);
/* Drains what the client handed over, closes, frees. */
void port_destroy(struct port *port);
/* Changes mtu, mac, isolated and driver options. All or nothing. */
int port_set(struct port *port, json_t *params, struct glen_error *error);
/* {"port": "sw:name", "driver", "rings", "mtu", "mac", "isolated", "link",
 *  "offloads", "broken", driver-specific ...}. */
json_t *port_show(struct port *port);

/* Sums over workers and rings. ring -1: all. */
void port_counters(const struct port *port, int ring, struct counters *in,
		   struct counters *out);
/* {"port", "in": {"packets","bytes","drops":{name: n}}, "out": {...},
 *  "rings": [...] if per_ring}; only drops that are not zero. */
json_t *port_stats(const struct port *port, bool per_ring);

#endif
