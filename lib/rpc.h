/* SPDX-License-Identifier: BSD-2-Clause */
/* rpc.h - a small JSON-RPC client for glend's control socket. */
#ifndef LIB_RPC_H
#define LIB_RPC_H
/*
 * Theory of operation
 *
 * One connection, one call at a time: rpc_call() writes a line, with
 * descriptors attached to its first byte, and reads lines until the one with
 * its id comes. Notifications that arrive meanwhile are handed to on_notify;
 * between calls rpc_recv() picks them up. The socket is non-blocking
 * underneath; every wait has a deadline and survives signals.
 *
 * rpc_send() and rpc_recv() are the halves of a call for those who must not
 * block: libglen resumes a port with them from inside sync calls.
 *
 * Descriptors: at most RPC_FDS_MAX are pending at a time, more are closed on
 * arrival. Those that nobody takes are closed by the next call or rpc_close().
 *
 * A line from glend is accepted up to RPC_LINE_MAX bytes. A connection that
 * broke (hang-up, garbage) stays broken: every call returns -ECONNRESET or
 * -EPROTO.
 *
 * Threads: one at a time per struct rpc.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/glen/glen.h"

enum {
	RPC_FDS_MAX = 8,
	RPC_LINE_MAX = 64 << 20,
};

struct rpc {
	int fd;		      /* the socket, -1: closed */
	char *buf;	      /* bytes received, not yet parsed */
	size_t len, size;     /* used and allocated bytes of buf */
	size_t scanned;	      /* bytes of buf known to hold no newline */
	int fds[RPC_FDS_MAX]; /* received, not yet taken */
	unsigned n_fds;
	uint32_t id; /* of the last call */
	/* Called for a notification that arrives during a call; may be NULL.
	 * Strings in params are borrowed. */
	void (*on_notify)(void *arg, const char *method, json_t *params);
	void *notify_arg;
};

/*
 * Connects to the socket at path (NULL: glen_default_socket()). Tries again
 * for timeout_ms while nobody listens there (0: only once). -ENOENT or
 * -ECONNREFUSED when nobody does, -EACCES, -ENAMETOOLONG. r must not be open.
 */
int rpc_open(struct rpc *r, const char *path, int timeout_ms,
	     struct glen_error *error);

/* Closes the connection and pending descriptors. Fine if closed already, or if
 * rpc_open() failed. */
void rpc_close(struct rpc *r);

/*
 * Calls method with params (reference taken, also on error; NULL: none) and
 * n_fds descriptors (borrowed). On success *result, if result is not NULL, is
 * a new reference. Waits up to timeout_ms for the answer (-1: no limit).
 * Returns 0; glend's own error (a negative errno, with its sentence in
 * *error); -ENOSYS (glend does not know the method); -ETIMEDOUT; -ECONNRESET.
 * After -ETIMEDOUT a late answer is ignored by the next call.
 */
int rpc_call(struct rpc *r, const char *method, json_t *params, const int *fds,
	     unsigned n_fds, json_t **result, int timeout_ms,
	     struct glen_error *error);

/*
 * Takes the descriptors that came with the last answer: up to n, the others
 * are closed. Returns their number; they are the caller's then.
 */
unsigned rpc_take_fds(struct rpc *r, int *fds, unsigned n);

/*
 * Sends a request without waiting for its answer, whose id will be r->id.
 * params is taken. timeout_ms limits the wait for room in the socket.
 */
int rpc_send(struct rpc *r, const char *method, json_t *params, const int *fds,
	     unsigned n_fds, int timeout_ms, struct glen_error *error);

/*
 * The next message of any kind, a new reference in *message. timeout_ms 0 does
 * not block. -ETIMEDOUT: there is none; -ECONNRESET: glend hung up.
 */
int rpc_recv(struct rpc *r, json_t **message, int timeout_ms,
	     struct glen_error *error);

/*
 * True if message answers the last rpc_send(): *err and *error are filled from
 * it, and *result (if not NULL and there was no error) with a new reference.
 */
bool rpc_answer(const struct rpc *r, json_t *message, json_t **result, int *err,
		struct glen_error *error);

/* The method of a notification, NULL if message is none; borrowed. */
const char *rpc_notification(json_t *message, json_t **params);

#endif
