/* SPDX-License-Identifier: BSD-2-Clause */
/* jsonrpc.h - JSON-RPC 2.0 messages, without any transport. */
#ifndef CTL_JSONRPC_H
#define CTL_JSONRPC_H
/*
 * Theory of operation
 *
 *   line --jsonrpc_parse()--> request --method--> jsonrpc_result()
 *          or an error message                    or jsonrpc_error()
 *
 * A line comes from anybody who may connect. What is refused before a method
 * sees it: what is not one JSON object, a member twice, strings with \u0000,
 * more than JSONRPC_DEPTH_MAX levels, a batch, a request without id (glend
 * knows no notifications from clients), unknown members of the envelope.
 *
 * No state; any thread.
 */
#include <jansson.h>
#include <stddef.h>

#include "include/glen/glen.h"

enum {
	JSONRPC_LINE_MAX = 1 << 20, /* bytes of a request, with the newline */
	JSONRPC_DEPTH_MAX = 32,
	JSONRPC_METHOD_MAX = 63,
	/* Codes of the specification; glend's own are -errno. */
	JSONRPC_NOT_JSON = -32700,
	JSONRPC_NOT_REQUEST = -32600,
	JSONRPC_NO_METHOD = -32601,
	JSONRPC_BAD_PARAMS = -32602,
};

struct jsonrpc_request {
	json_t *root;	    /* owned: the whole message */
	json_t *id;	    /* borrowed from root: a string or integer */
	const char *method; /* borrowed from root */
	json_t *params;	    /* borrowed from root: an object, or NULL */
};

/*
 * Parses a line (without its newline). Returns 0 and fills *r, to be given to
 * jsonrpc_fini(); or a JSONRPC_ code with error filled. Even then r->id is the
 * request's id if there was a good one, and jsonrpc_fini() is due.
 */
int jsonrpc_parse(const char *line, size_t len, struct jsonrpc_request *r,
		  struct glen_error *error);

void jsonrpc_fini(struct jsonrpc_request *r);

/* The answer; takes result, borrows id (NULL: null). NULL: no memory. */
json_t *jsonrpc_result(json_t *id, json_t *result);

/*
 * The answer to a request that was refused: a JSONRPC_ code or a negative
 * errno, whose name goes into data.errno. where, if not NULL or empty, names
 * the member of a configuration that is wrong (data.path).
 */
json_t *jsonrpc_error(json_t *id, int code, const char *text,
		      const char *where);

/* A message that nobody asked for; takes params. */
json_t *jsonrpc_notification(const char *method, json_t *params);

/* The message as a line with its newline, to be freed; takes message, which
 * may be NULL. NULL: no memory. */
char *jsonrpc_line(json_t *message, size_t *len);

#endif
