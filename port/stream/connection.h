/* SPDX-License-Identifier: BSD-2-Clause */
/* connection.h - how a stream port gets and loses its connection. */
#ifndef PORT_STREAM_CONNECTION_H
#define PORT_STREAM_CONNECTION_H
#include "port/stream/stream.h"

/*
 * Control thread, from open(): listens, or sets the timer for the first try to
 * connect. access: mode of the socket file. 0 or -errno with error filled and
 * nothing left open.
 */
int connection_init(struct stream *s, mode_t access, struct glen_error *error);

/* Control thread, once a second. */
void connection_tick(struct stream *s);

/* Control thread, from close(): the ring is with no worker any more. */
void connection_fini(struct stream *s);

#endif
