/* SPDX-License-Identifier: BSD-2-Clause */
/* server.h - an HTTP/1.1 server over lwIP's raw API. */
#ifndef SERVER_H
#define SERVER_H
/*
 * Theory of operation
 *
 * Everything happens in callbacks of lwIP, from stack_turn(). A connection
 * collects a request, answers it, then looks at what else it received: at most
 * one answer is under way, and while it is, nothing more is taken from the
 * client than its receive window has (pipelined requests are answered in turn).
 *
 *   READING --request--> ANSWERING --answered--> READING
 *      |                     |
 *      +---- refusal, "close", end of input ----> ENDING (our FIN is sent, what
 *                            still comes is thrown away until theirs comes)
 *
 * A connection that neither sends nor takes anything for IDLE_S is closed.
 */
#include <stdbool.h>
#include <stdint.h>

#include "link.h"

struct server_config {
	uint16_t port;
	int root;	/* directory, or -1: no files */
	bool generated; /* serve /bytes/N */
	unsigned connections_max;
};

struct server_counters {
	uint64_t connections, requests, bytes; /* bytes: of bodies, sent */
	uint64_t refused; /* connections beyond the limit */
	uint64_t errors;  /* answers of 400 and above */
	uint64_t broken;  /* connections that ended with an answer under way */
	unsigned open;
};

int server_start(const struct server_config *config, struct glen_error *error);

/* No new connections; those that wait for a request are closed. */
void server_stop(void);

const struct server_counters *server_counters(void);

#endif
