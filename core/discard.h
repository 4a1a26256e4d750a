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
 * A worker that receives descriptors must not even let the kernel close them in
 * its name, as it does with what has no room in the control buffer. It takes
 * them out of the message and puts them into a queue of the bin's without
 * waiting for anybody, then has the control thread woken by means of its own,
 * which calls discard_collect():
 *
 *   worker: recvmsg(), discard_message() --> queue --> thread: close()
 *           eventfd ------> control thread: discard_collect() --^
 *
 * The memory outlives discard_destroy() if the thread is still at it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	DISCARD_MAX = 512, /* more wait in a bin: it is full */
	/* Descriptors with one message, in Linux, and the control buffer that
	 * takes all of them. */
	DISCARD_SCM_MAX = 253,
	DISCARD_CONTROL = CMSG_SPACE(DISCARD_SCM_MAX * sizeof(int)),
};

struct discard;

/* n_queue: how many descriptors of workers may wait, besides; 0 if no worker
 * receives any. NULL: out of memory. */
struct discard *discard_create(unsigned n_queue);
/* Control thread: the owner has gone. NULL is fine. */
void discard_destroy(struct discard *d);
/* Control thread: takes fd, -1 is fine. Also if the bin is full; without a bin,
 * or memory for it or a thread, fd is closed on the spot. */
void discard_fd(struct discard *d, int fd);
/*
 * Control thread: hangs up and closes the connection of a Unix stream socket.
 * What its peer sent and nobody read may hold descriptors, which are closed
 * with it. -1 is fine.
 */
void discard_connection(struct discard *d, int fd);
/* Control thread: true if there is no room for another message. NULL: false. */
bool discard_is_full(struct discard *d);

/* Worker: so many more have room in the queue. */
bool discard_has_room(const struct discard *d, unsigned n);
/*
 * One worker at a time, or the control thread while none does: puts what came
 * with the message into the queue, which must have room. Returns true if
 * something came, or would have if this process could open more files.
 */
bool discard_message(struct discard *d, struct msghdr *msg);
/* Control thread: the same by discard_fd(), of a bin with or without queue. */
bool discard_message_fds(struct discard *d, struct msghdr *msg);
/* Control thread: has what is in the queue closed. NULL is fine. */
void discard_collect(struct discard *d);

#endif
