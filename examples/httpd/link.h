/* SPDX-License-Identifier: BSD-2-Clause */
/* link.h - rings of frames under a TCP/IP stack: a port or plain memory. */
#ifndef LINK_H
#define LINK_H
/*
 * Theory of operation
 *
 * A link is two rings of slots, each naming a buffer. In the TX ring the slots
 * [head, tail) are ours to fill; in the RX ring they hold frames. Whoever uses
 * the link fills or reads slots, advances head, and calls sync() now and then,
 * which tells the other side and sees how far that got (tail).
 *
 * Received frames are read where they lie. To keep one beyond the advance of
 * head, its slot is given another buffer of the same link in exchange: one of
 * spare[], to which the kept buffer goes when it is no longer needed.
 *
 * One thread uses a link. Two kinds:
 *   link_glen      a port of a switch
 *   link_memory    a file that two processes map; the lower bound of what a
 *                  link can cost, for comparison, and only for processes that
 *                  trust each other
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

struct link_ring {
	struct netmap_slot *slot;
	char *bufs;
	uint32_t buf_size; /* bytes per buffer */
	uint32_t mask;	   /* number of slots - 1 */
	uint32_t head, tail;
};

struct link {
	struct link_ring tx, rx;
	uint32_t *spare; /* room for n_bufs; the first n_spare are free */
	uint32_t n_spare, n_bufs;
	struct glen_port *port; /* NULL if there is none */

	/* Publishes head and refreshes tail of both rings. 0 or -errno. */
	int (*sync)(struct link *link);
	/* The same, then sleeps until there is a frame, or room to send if
	 * that is asked for, or a signal. 0 or -errno. */
	int (*wait)(struct link *link, bool room, int timeout_ms);
	void (*close)(struct link *link);
};

enum {
	LINK_SPARE = 1024, /* frames that may be kept at a time */
	LINK_BUF_SIZE = 2048,
};

/* Writes the sentence into *error, if there is one, and returns code. */
int fail(struct glen_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Attaches to port "switch:port". socket NULL: the usual one. */
int link_glen_open(struct link **link, const char *port, const char *socket,
		   unsigned slots, struct glen_error *error);

/*
 * Side 0 or 1 of a link in a file, which is made if it is not there. Both
 * sides must ask for the same number of slots. With a path in /dev/shm it is
 * memory.
 */
int link_memory_open(struct link **link, const char *path, unsigned side,
		     unsigned slots, struct glen_error *error);

static inline char *link_buf(const struct link_ring *r, uint32_t slot)
{
	return r->bufs + (size_t)r->slot[slot].buf_idx * r->buf_size;
}

#endif
