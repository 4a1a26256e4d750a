/* SPDX-License-Identifier: BSD-2-Clause */
/* stack.h - lwIP over a link, in one thread. */
#ifndef STACK_H
#define STACK_H
/*
 * Theory of operation
 *
 * Debian builds lwIP for threads, but nothing in it insists on them as long as
 * its own thread is never started: this calls lwip_init(), hands frames to the
 * netif, lets timers run, all from one thread, which is therefore also the one
 * that calls everything else of lwIP. There is one stack in a process.
 *
 *   stack_turn():  sync the rings, input() each received frame, timers,
 *                  sync again; sleep if there was nothing
 *
 * What lwIP sends goes at once into the TX ring (a copy), to be published with
 * the rest of the turn. When the ring is full lwIP keeps the segment and is
 * told to go on when there is room.
 *
 * Received frames are pbufs that point into the slots. Few outlive input():
 * segments that came out of order. Their slots get spare buffers.
 */
#include <stdbool.h>
#include <stdint.h>

#include <lwip/ip4_addr.h>

#include "link.h"

struct stack_config {
	const char *attach; /* "switch:port", or NULL */
	const char *memory; /* a file, or NULL */
	unsigned side;	    /* of memory: 0, 1 */
	const char *socket; /* of glend; NULL: the usual one */
	unsigned slots;	    /* 0: the usual number */
	ip4_addr_t address, netmask, gateway;
	uint8_t mac[6]; /* all zero: made from the address */
};

struct stack_counters {
	uint64_t rx_frames, tx_frames;
	uint64_t rx_dropped; /* no buffer to keep them in, or no frames */
	uint64_t tx_full;    /* times that the ring was full */
};

/* Opens the link; the network is down until stack_up(). */
int stack_open(const struct stack_config *config, struct glen_error *error);
void stack_close(void);

/*
 * Claims TCP ports of the own address, replacing 0 by a free one, and keeps
 * them: after a restart of glend it says on stderr what it did not get again,
 * and goes on asking. Without tuple3 under it this does nothing; then ports
 * that are 0 get numbers from 49152 up.
 */
int stack_claim(uint16_t *ports, unsigned n, struct glen_error *error);

/* Lets frames in and out. After stack_claim(), because it announces itself. */
void stack_up(void);

/*
 * Asks for the Ethernet address on the way to ip until there is an answer:
 * lwIP keeps no more than ten packets per address that wait for one. 0,
 * -EHOSTUNREACH after timeout_ms, or what stack_turn() returned.
 */
int stack_find(const ip4_addr_t *ip, int timeout_ms);

/*
 * Moves what there is to move. If that was nothing, sleeps until a frame or a
 * signal comes, a timer is due, or timeout_ms passed. 0, or -ENOTCONN when the
 * port is gone, see stack_error().
 */
int stack_turn(int timeout_ms);

const char *stack_error(void);
const struct stack_counters *stack_counters(void);

/* Forgets the oldest connections that wait in TIME_WAIT beyond max. */
void stack_limit_time_wait(unsigned max);

/* Milliseconds of a clock that does not jump, and the same in ns. */
uint64_t stack_now_ns(void);

#endif
