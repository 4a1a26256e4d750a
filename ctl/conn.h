/* SPDX-License-Identifier: BSD-2-Clause */
/* conn.h - what server.c and conn.c know of each other. */
#ifndef CTL_CONN_H
#define CTL_CONN_H
#include "ctl/server.h"

/* Takes over an accepted socket. Closes it if there is no memory. */
void conn_create(struct server *s, int fd);
/* Tells ops->gone(), closes, frees. */
void conn_destroy(struct conn *c);
/* Closes the socket; server_turn() destroys the connection. */
void conn_kill(struct conn *c);
/* The server is deaf, or not any more. */
void conn_update(struct conn *c);
/* Handles complete lines, up to SERVER_LINES. */
void conn_work(struct conn *c);

#endif
