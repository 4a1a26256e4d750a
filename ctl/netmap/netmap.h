/* SPDX-License-Identifier: BSD-2-Clause */
/* netmap.h - glend's part of /dev/netmap: opens, ports and regions by name. */
#ifndef CTL_NETMAP_NETMAP_H
#define CTL_NETMAP_NETMAP_H
/*
 * Theory of operation
 *
 * A program under glen-run opens /dev/netmap; its preload library asks glend
 * for a descriptor that stands for that, H, and translates the ioctls that it
 * makes on it into methods "netmap.*" (docs/control.md). What the names mean,
 * who may bind what, and which errno says so is decided here and nowhere else:
 * processes that share a port must see one truth.
 *
 *   open --port--> port --mem--> region by number (nr_mem_id)
 *                   |  \--window--> rings, in that region (port/shm/netmap.h)
 *                   \--core--> port of a switch, while there are opens
 *
 * An open lives as long as the last copy of its H, in whatever process; a port
 * as long as it has opens, or other ports need it (pipes of a parent), or for
 * ever if it is persistent. Methods come on any connection: H says which open
 * is meant, and who has it may use it. Nothing of this outlives glend.
 *
 * Everything here is for the control thread.
 */
#include <jansson.h>
#include <sys/types.h>

#include "include/glen/glen.h"

struct control;
struct discard;
struct loop;
struct nm;
struct port;

/* A method on its way to its answer. */
struct nm_call {
	const char *method; /* "netmap." is in front */
	json_t *params;	    /* borrowed; NULL: none */
	uid_t uid;	    /* who asks */
	pid_t pid;
	int *fds; /* that came along; taken from the end */
	unsigned n_fds;
	json_t *result; /* new; taken by the caller */
	int out[2];	/* descriptors for the answer, borrowed */
	unsigned n_out;
	bool close_out; /* the caller closes them */
};

/* bin: for descriptors that clients sent. NULL: out of memory. */
struct nm *nm_create(struct control *control, struct loop *loop,
		     struct discard *bin);
/* Closes all opens and ports; the engine is still there. NULL is fine. */
void nm_destroy(struct nm *nm);

/* A port of a switch is about to be closed, by whomever. */
void nm_port_closing(struct nm *nm, const struct port *port);

/* -ENOSYS with error->code 0: there is no such method. Else error is the errno
 * that the program's ioctl gives, with a sentence for the log. */
int nm_request(struct nm *nm, struct nm_call *call, struct glen_error *error);

#endif
