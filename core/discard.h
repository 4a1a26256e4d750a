/* SPDX-License-Identifier: BSD-2-Clause */
/* discard.h - close descriptors that others sent, without waiting for them. */
#ifndef CORE_DISCARD_H
#define CORE_DISCARD_H
/*
 * Theory of operation
 *
 * close() may wait for somebody: of a file of a FUSE file system until its
 * server has answered (FUSE_FLUSH), of a socket with SO_LINGER until its peer
 * has taken everything, of a Unix socket for what is closed with the messages
 * that wait in it. Who sends us a descriptor decides what it is, so a control
 * thread that closed it itself could be stopped for good.
 *
 * A bin belongs to one port. What is put into it is closed at once if it is an
 * eventfd or a file in memory, of which nothing has to be waited for, else by a
 * thread that lives as long as there is something to close. If that thread is
 * kept waiting, the bin fills up; whoever fills it is to be given no more to
 * send: discard_is_full() is true while there is no room for another message.
 *
 * The memory outlives discard_destroy() if the thread is still at it.
 */
#include <stdbool.h>

enum {
	DISCARD_MAX = 1024, /* descriptors that wait in a bin */
	DISCARD_ROOM = 512, /* fewer free: it is full */
};

struct discard;

/* NULL: out of memory. */
struct discard *discard_create(void);
/* Control thread: the owner has gone. NULL is fine. */
void discard_destroy(struct discard *d);
/* Control thread: takes fd, -1 is fine. Without a bin, or where there is no
 * room or no memory for a thread, it is closed on the spot. */
void discard_fd(struct discard *d, int fd);
/* NULL: false. */
bool discard_is_full(struct discard *d);

#endif
