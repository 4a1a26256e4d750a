/* SPDX-License-Identifier: BSD-2-Clause */
/* reader.h - the reading side of a capture's rings (core/capture.h). */
#ifndef TOOLS_GLENCTL_READER_H
#define TOOLS_GLENCTL_READER_H
/*
 * Theory of operation
 *
 *   reader_look()     notes how far each ring is filled
 *   reader_next()     the oldest record below those marks, until there is none
 *   reader_release()  gives the room back to the workers
 *   reader_wait()     sleeps until there is more
 *
 * Records of one ring come in order. Between rings they are merged by time,
 * but a worker may publish an older packet just after reader_look(): then it
 * comes in the next round, a little out of order.
 *
 * Data of records stays in the ring until reader_release().
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/capture.h"

struct reader {
	uint8_t *mem;
	uint64_t size;
	unsigned n_rings;
	uint64_t ring_bytes;
	uint64_t head[CAPTURE_RINGS_MAX]; /* at the last look */
	uint64_t tail[CAPTURE_RINGS_MAX]; /* read so far */
	uint32_t wake_seq;
	int wake_fd; /* owned */
	bool broken; /* what lies in a ring makes no sense */
};

/* Maps the memory; closes mem_fd and owns wake_fd then, also on error. The
 * numbers are those of capture.start. Returns 0 or -errno. */
int reader_open(struct reader *r, int mem_fd, int wake_fd, uint64_t n_rings,
		uint64_t ring_bytes);
void reader_close(struct reader *r);

/* True if there is something to read. */
bool reader_look(struct reader *r);
/* The next record, its data behind it; NULL: no more (or r->broken). */
const struct capture_record *reader_next(struct reader *r);
void reader_release(struct reader *r);

/*
 * Sleeps until a worker wakes us, other_fd (-1: none) is readable, a signal
 * came, or timeout_ms passed. Returns true if other_fd is readable.
 */
bool reader_wait(struct reader *r, int other_fd, int timeout_ms);

/* True if the switch is gone: nothing will come any more. */
bool reader_ended(const struct reader *r);
/* "switch:port" of a line, NULL if it is not in use (yet). */
const char *reader_port(const struct reader *r, unsigned line);
/* Packets that found no room: of a port, of all. */
uint64_t reader_port_missed(const struct reader *r, unsigned line);
uint64_t reader_missed(const struct reader *r);

#endif
