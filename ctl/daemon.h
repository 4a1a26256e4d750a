/* SPDX-License-Identifier: BSD-2-Clause */
/* daemon.h - glend as a whole: what its control thread knows. */
#ifndef CTL_DAEMON_H
#define CTL_DAEMON_H
/*
 * Theory of operation
 *
 *   signals, timer, broken ports --> daemon.c --> engine
 *   requests -----------> session.c --> control.h, config.h, methods.h --^
 *   state file <-- daemon.c (hooks of control.h)
 *
 * Start: options, limits, socket, state file, capabilities dropped, modules
 * loaded, system calls locked, engine with its threads, then the
 * configuration: after a crash the one in the state file; after a clean end (or
 * without a state) that of --config, and if there is none the one in the state
 * file.
 *
 * The connection that opened a port and the port know each other through
 * conn->port and port->owner; whoever goes first clears both.
 *
 * End: SIGTERM closes what is the kernel's and leaves the records of clients'
 * ports, so that they resume with the next glend; what lies in their rings is
 * still there then. SIGINT (Ctrl-C) tells the clients that it is over, closes
 * everything, and removes the state file. Without a state file both do the
 * latter.
 *
 * Everything here belongs to the control thread, but for daemon_wake(), which
 * any worker may call.
 */
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/control.h"
#include "ctl/log.h"
#include "core/loop.h"
#include "ctl/server.h"
#include "ctl/state.h"

enum {
	DAEMON_PROTOCOL = 1,
	DAEMON_PENDING_S = 60, /* how long clients may take to resume */
	DAEMON_BROKEN_MAX = 32,
	DAEMON_WAITS_MAX = 1024,
	DAEMON_WAIT_POLL_MS = 20,
};

struct nm;

struct options {
	const char *config; /* NULL: none */
	const char *socket; /* never NULL */
	const char *group;  /* NULL: the process's */
	unsigned mode;
	const char *state; /* NULL: the socket's path with ".state" */
	bool use_state;
	const char *module_dir; /* NULL: GLEN_MODULE_DIR, if it is there */
	unsigned workers;	/* 0: one, or one per --cpus */
	int cpus[WORKERS_MAX];
	unsigned n_cpus;
	bool poll;
	bool netns;
	bool seccomp;
};

/* A port.wait that is not answered yet. */
struct wait {
	struct wait *next;
	struct conn *conn;
	json_t *id; /* owned */
	char port[GLEN_NAME_MAX + 1];
	int64_t deadline_ms; /* -1: none */
};

/* A port that broke. */
struct broken {
	char port[GLEN_NAME_MAX + 1];
	const char *reason; /* a literal */
	int64_t at_s;	    /* seconds since 1970 */
};

struct daemon {
	const struct options *options;
	struct loop loop;
	struct server server;
	struct engine *engine;
	struct control control;
	struct nm *netmap;
	struct state *state; /* NULL: none */
	char *state_path;    /* NULL: none */
	/* Switches that could not be restored, for the state file: name:
	 * {"object", "implicit", "problem"}. */
	json_t *kept;
	struct loop_source signals, timer, wake;
	bool stopping; /* records of ports stay in the state file */
	bool resuming; /* a port.resume is being tried */
	bool hold;     /* the configuration is saved later */
	bool quit;     /* leave the loop */
	int quit_signal;
	int64_t started_s;	 /* monotonic */
	int64_t pending_until_s; /* monotonic; 0: nothing is pending */
	struct wait *waits;
	unsigned n_waits;
	unsigned next_session;
	struct broken broken[DAEMON_BROKEN_MAX];
	unsigned n_broken; /* ever; the last ones are in broken[] */
	struct log_limit broken_limit;
};

/* Sets up everything; on success the engine runs and clients are served as
 * soon as daemon_run() is called. */
int daemon_init(struct daemon *d, const struct options *options,
		struct glen_error *error);
/* Serves until a signal ends it. Returns 0 or -errno. */
int daemon_run(struct daemon *d);
/* Ends. Also after a failed daemon_init(), which leaves d half made. */
void daemon_fini(struct daemon *d);

/* Stores the configuration in the state file. */
void daemon_save(struct daemon *d, bool clean);
/* Makes the running state equal to the file of --config. */
int daemon_load_config(struct daemon *d, struct glen_error *error);

int64_t daemon_now_ms(void);

/* session.c: requests of clients. */
extern const struct server_ops session_ops;
/* Answers the waits that are over. */
void session_waits(struct daemon *d);
/* The port is about to be closed: tells its client why (NULL: it knows). */
void session_port_closing(struct port *port, const char *reason);

#endif
