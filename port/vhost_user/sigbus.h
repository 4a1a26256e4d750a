/* SPDX-License-Identifier: BSD-2-Clause */
/* sigbus.h - live on when memory that a peer shares with us goes away. */
#ifndef PORT_VHOST_USER_SIGBUS_H
#define PORT_VHOST_USER_SIGBUS_H
/*
 * Theory of operation
 *
 * Whoever holds a memory file can cut it shorter; touching what was cut off
 * raises SIGBUS in the thread that does, a worker most likely, in the middle of
 * a batch. Seals would forbid that, but not every front end seals. So mappings
 * of foreign memory are registered here, and a handler of the whole process
 *
 *   finds the mapping, puts zeros (private, anonymous) in place of all of it,
 *   says so (*hit, a write to the eventfd), and returns: the access goes on.
 *
 * The owner then takes its peer's connection down. A fault at any other address
 * is what it was before: the handler or default that was there first gets it.
 *
 * The registry is a list whose nodes are used again and never freed, so the
 * handler walks it without a lock. Adding and removing: control thread, and no
 * worker may touch a mapping when it is removed.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct sigbus_watch;

/* Installs the handler if it is not the one of this process. 0 or -errno. */
int sigbus_init(void);
/*
 * From now on faults within [start, start + size), whole pages of the mapping's
 * kind, set *hit and signal the eventfd fd. NULL: no memory.
 */
struct sigbus_watch *sigbus_add(void *start, size_t size, _Atomic bool *hit,
				int fd);
/* NULL is fine. */
void sigbus_del(struct sigbus_watch *watch);

#endif
