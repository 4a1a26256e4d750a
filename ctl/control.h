/* SPDX-License-Identifier: BSD-2-Clause */
/* control.h - switches and ports of one engine, as users name them. */
#ifndef CTL_CONTROL_H
#define CTL_CONTROL_H
/*
 * Theory of operation
 *
 * A struct control joins an engine with what the engine does not know: names
 * of the form "switch:port", reservations, and who wants to hear of changes.
 * glend has one; an embedded switch has one with neither reservations nor
 * hooks. Everything here is for the control thread.
 *
 *   method or topology file --> control --> engine (switches, ports, module)
 *                                  |
 *                                  +------> hooks (state file, connections)
 *
 * Reservations. A port of driver "shm" lives as long as its client's
 * connection. If it was configured (port.add) its name and options outlive the
 * client: they stay in reserved, and the next client that opens the name gets
 * them. So a configured shm port is an entry in reserved, and while a client is
 * attached it is a port of the engine (port->configured) as well; any other
 * configured port is a port of the engine only.
 *
 * Switches come with their first port and go with their last one, unless they
 * were made by switch.add or a topology (sw->configured), or hold a reservation
 * or a port that is configured but could not be opened (missing.h).
 *
 * Where a function takes a struct glen_error it must not be NULL, unless
 * another function says so.
 */
#include <jansson.h>
#include <stdbool.h>

#include "core/switch.h"

struct control_hooks {
	/*
	 * A port is about to be opened. Stores where the driver keeps what
	 * outlives the process (NULL: nowhere) and whether it holds what the
	 * same port left there before a restart.
	 */
	int (*saved_open)(void *arg, const char *name, const char *driver,
			  json_t *params, void **saved, bool *resume,
			  struct glen_error *error);
	/* The port is closed, or was not opened after all; again: it will be
	 * tried once more, and wants to find what it finds now. */
	void (*saved_close)(void *arg, void *saved, bool again);
	/* A port's options change while it is open. -EFBIG: no room. */
	int (*saved_params)(void *arg, void *saved, json_t *params,
			    struct glen_error *error);
	/* A port is about to be closed for this reason: tell its client. */
	void (*closing)(void *arg, struct port *port, const char *reason);
	/* What control_config() returns has changed. */
	void (*changed)(void *arg);
};

struct control {
	struct engine *engine;
	json_t *reserved; /* {"switch:port": options}; NULL: no reservations */
	json_t *missing;  /* of missing.h; NULL: no such ports */
	const struct control_hooks *hooks; /* NULL: embedded */
	void *arg;			   /* of the hooks */
};

/* "switch:port" in its parts, both checked. */
struct control_name {
	char sw[PORT_NAME_SIZE];
	char port[PORT_NAME_SIZE];
};

/* -EINVAL says what is wrong with the name; error may be NULL. */
int control_split(const char *full, struct control_name *name,
		  struct glen_error *error);

/* Writes "switch:port"; out has GLEN_NAME_MAX + 1 bytes. Returns out. */
char *control_full_name(const struct port *port, char *out);

/* The switch; NULL with -ENOENT in error. */
struct vswitch *control_switch(struct control *ctl, const char *name,
			       struct glen_error *error);
/* The port, NULL if it does not exist (error: -EINVAL or -ENOENT). A
 * reservation without a client is not a port of the engine: -ENOENT. */
struct port *control_port(struct control *ctl, const char *full,
			  struct glen_error *error);

/* The options of a reservation, borrowed; NULL: none. */
json_t *control_reserved(const struct control *ctl, const char *full);

/*
 * Opens a port, and makes its switch if it is missing (module "learn").
 * args->params holds the driver's options only; args->saved and args->resume
 * are filled here. On error nothing is left behind.
 */
int control_port_open(struct control *ctl, const char *full, const char *driver,
		      struct port_args *args, bool configured,
		      struct port **port, struct glen_error *error);
/* Closes it; reason completes "port closed: " and is NULL if its client went
 * by itself. A reservation stays. */
void control_port_close(struct control *ctl, struct port *port,
			const char *reason);

/*
 * Adds a configured port: opens it, or reserves it if the driver is "shm".
 * params: the driver's options, borrowed.
 */
int control_port_add(struct control *ctl, const char *full, const char *driver,
		     json_t *params, struct glen_error *error);
/* Closes the port, if there is one, and forgets the reservation. */
int control_port_del(struct control *ctl, const char *full,
		     struct glen_error *error);
/* Changes options, of a reservation for the next client as well. */
int control_port_set(struct control *ctl, const char *full, json_t *params,
		     struct glen_error *error);

/* Closes all ports, drops the reservations and the switch itself. */
void control_switch_del(struct control *ctl, struct vswitch *sw);
/* Removes the switch if nothing keeps it. Its name, since closing its last
 * port may have removed it already. */
void control_switch_release(struct control *ctl, const char *name);

/* Ports of a switch that are not open: reservations without a client, and those
 * that are missing. */
unsigned control_n_reserved(const struct control *ctl, const char *sw);

/* Stores the port's options where it finds them when it resumes; after its
 * configured flag changed. -EFBIG. */
int control_save_params(struct control *ctl, struct port *port,
			struct glen_error *error);

/* Objects as docs/control.md describes them; NULL: no memory. */
json_t *control_show_switch(struct control *ctl, struct vswitch *sw);
json_t *control_show_port(struct control *ctl, struct port *port);
/* Of a reservation without a client. */
json_t *control_show_reserved(const char *full, json_t *params);

/* Takes over what modules changed of their settings for ports: after a tick and
 * after a module's method. */
void control_refresh(struct control *ctl);

/* Tells the hook that the configuration changed. */
void control_changed(struct control *ctl);

#endif
