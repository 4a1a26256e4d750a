/* SPDX-License-Identifier: BSD-2-Clause */
/* glen/switch.h - a switch inside one process, without a daemon. */
#ifndef GLEN_SWITCH_H
#define GLEN_SWITCH_H
/*
 * Theory of operation
 *
 * The same core that glend runs, embedded: the caller creates a switch, opens
 * ports on it and gets the same struct glen_port as from glen_port_open();
 * rings, glen_send(), glen_recv() and so on work alike. Nothing needs root.
 *
 * Packets move when somebody runs the switch: either the caller, with
 * glen_switch_poll(), or threads started with glen_switch_start().
 *
 * Threads: glen_switch_poll() may be called by one thread at a time. The
 * control functions (create, destroy, open, command) are for one thread at a
 * time, which may be another one than the polling thread. Ports follow the
 * rules of glen.h. Close all ports before glen_switch_destroy().
 */
#include <glen/glen.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct glen_switch;

/*
 * Makes modules outside the tree known to all switches of this process: that in
 * the shared object path, which is called NAME.so, or, if path is a directory,
 * all NAME.so in it. They stay loaded until the process ends. See glen/module.h
 * for how to write one. Files and directories that users other than root and
 * this process's can write, or reach from a directory that those can write, are
 * refused (-EPERM). -ENOENT; -ENOEXEC (no module, or it needs what is not
 * there); -EINVAL (built for another version, or something in it is missing);
 * -EEXIST (there is one of that name). Of a directory all modules are tried,
 * and the first error is returned. Any thread.
 */
int glen_switch_module_load(const char *path, struct glen_error *error);

/*
 * Creates a switch with a forwarding module ("learn", "static" or one that was
 * loaded) and options as a JSON object in text form ("{\"entries\": 4096}") or NULL. The caller owns
 * *sw. -EINVAL names what was wrong in *error; -ENOMEM.
 */
int glen_switch_create(struct glen_switch **sw, const char *name,
		       const char *module, const char *options,
		       struct glen_error *error);

/* Stops threads, closes remaining driver ports, frees. NULL is fine. */
void glen_switch_destroy(struct glen_switch *sw);

/*
 * Opens a shared-memory port in this process. config as for glen_port_open()
 * (socket and connect_timeout_ms are ignored); NULL for defaults.
 */
int glen_switch_port_open(struct glen_switch *sw, struct glen_port **port,
			  const char *name,
			  const struct glen_port_config *config,
			  struct glen_error *error);

/*
 * Adds a port of another driver ("tap", "pcap", ...) with its options as a
 * JSON object in text form, as in glenctl port add. Removed by _port_del(),
 * which refuses (-EBUSY) a port that this process has open. -EINVAL and what
 * the kernel says are named in *error; -EEXIST, -ENOENT (no such port).
 */
int glen_switch_port_add(struct glen_switch *sw, const char *name,
			 const char *driver, const char *options,
			 struct glen_error *error);
int glen_switch_port_del(struct glen_switch *sw, const char *name,
			 struct glen_error *error);

/*
 * Runs the ingress rings that were busy lately once, one batch of up to 256
 * packets each, and a few of the others; if those had nothing, all others.
 * Returns the number of slots taken from rings; 0 means that no ring had
 * anything. Makes no system call for shared-memory ports except to wake a
 * sleeping reader. Not after glen_switch_start(), whose threads do it.
 */
unsigned glen_switch_poll(struct glen_switch *sw);

/*
 * Ports with a control connection of their own ("vhost-user", "stream", ...)
 * need somebody who listens to it: when the descriptor of glen_switch_fd(),
 * which belongs to the switch, is readable (poll, epoll), call
 * glen_switch_events(), a control function, which handles what there is and
 * waits for it at most timeout_ms (0: not at all, -1: no limit). It returns 0
 * or -errno. A switch with none of those ports does not need it.
 */
int glen_switch_fd(struct glen_switch *sw);
int glen_switch_events(struct glen_switch *sw, int timeout_ms);

/*
 * Starts n_threads (1 to 8) that run the switch and sleep when idle, until
 * glen_switch_destroy(). -EINVAL, -EBUSY if it runs already, -EAGAIN.
 */
int glen_switch_start(struct glen_switch *sw, unsigned n_threads,
		      struct glen_error *error);

/*
 * Runs a control command ("fdb.show", "port.show", "stats", ...) with
 * parameters as JSON text or NULL. On success *result is a JSON text that the
 * caller frees with free(). The commands are those of docs/control.md that
 * need no daemon: not version, status, port.open, port.resume, port.wait,
 * capture.start, and not switch.del, port.del, config.apply, for which there
 * are functions here (-ENOSYS). Errors as there.
 */
int glen_switch_command(struct glen_switch *sw, const char *method,
			const char *params, char **result,
			struct glen_error *error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
