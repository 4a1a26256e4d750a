/* SPDX-License-Identifier: BSD-2-Clause */
/* guard.h - undoes what glend changed on interfaces when glend is killed. */
#ifndef PORT_GUARD_H
#define PORT_GUARD_H
/*
 * Theory of operation
 *
 *   glend --ADD, DEL--> guard 1     each holds the list of struct undo
 *      \------ADD, DEL--> guard 2     and undoes it when glend's end closes
 *
 * The guards are two small processes, started while glend is still one thread
 * that has opened next to nothing. Each has a socket to glend, a table of fixed
 * size, and one capability, CAP_NET_ADMIN. A change is told to both, and
 * confirmed, before it is made (guard_add()), and taken off their lists after
 * it was put back (guard_del()). A guard that reads the end of its socket puts
 * back, last change first, what is on its list, and ends.
 *
 * They ignore the signals of a terminal or a service manager and are not in
 * glend's session. When one dies, glend notices and lets the other one make a
 * copy of itself, with the list. When both were killed at once, glend, which
 * has the list as well, starts two from itself. Such a guard begins with all
 * that glend has in memory, and harden() must give that up. If they cannot be
 * started the log says why, ports go on without, and the next change of an
 * interface's settings tries again.
 *
 * A glend that is started again must not take what the last one left changed
 * for how things were. So guards hold the descriptor hold_fd, whose flock()
 * (the one on the control socket's lock file) is free only when they are done,
 * and the new glend waits for that.
 *
 * In an embedded switch, and in a glend without CAP_NET_ADMIN, there are no
 * guards; guard_add() succeeds then.
 *
 * Control thread only.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "core/loop.h"
#include "include/glen/glen.h"
#include "port/undo.h"

enum { GUARD_ITEMS_MAX = 512, GUARD_PIDS = 2 };

struct guard_config {
	struct loop *loop; /* notices when a guard dies */
	int hold_fd;	   /* kept open by the guards; -1: none */
	/* Run in each guard: gives up what it does not need, memory too. 0 or
	 * -errno */
	int (*harden)(void);
	void (*log)(const char *text); /* one died, or could not be replaced */
};

/* Starts the guards; single-threaded. Returns 0 or -errno with error filled. */
int guard_start(const struct guard_config *config, struct glen_error *error);
/* Ends them; what is on their lists is not undone. Fine without a start. */
void guard_stop(void);

/*
 * Should glend die, undo is run with a copy of sock, which nobody else may use
 * as long as it is on the list. Returns a number for guard_del(), 0 if there
 * are no guards in this process, or -errno with error filled.
 */
int guard_add(int sock, const struct undo *undo, struct glen_error *error);
/* It was put back. 0 is fine. */
void guard_del(int id);

/* The processes; returns how many there are. */
unsigned guard_pids(pid_t pids[GUARD_PIDS]);

#endif
