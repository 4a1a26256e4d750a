/* SPDX-License-Identifier: BSD-2-Clause */
/* dummy.h - a port whose packets come from and go to function calls. */
#ifndef PORT_DUMMY_DUMMY_H
#define PORT_DUMMY_DUMMY_H
/*
 * Theory of operation
 *
 * Driver "dummy" stands at the edge of a switch in unit tests and needs no
 * privileges. A test thread injects packets into an ingress ring and collects
 * what the switch delivered from an egress ring:
 *
 *   dummy_inject() --> ingress ring --rx()--> switch --tx()--> egress ring
 *   (test thread)                   (worker)                   dummy_collect()
 *
 * Every injected segment lies in a heap block of exactly its length, freed in
 * rx_done(): AddressSanitizer sees any read past a segment or after release.
 * With overread=true blocks are 64 bytes longer and the batch says so.
 *
 * Egress slots are buffers of buf_size bytes, touched only when used. A full
 * ring drops as out_no_room, like any other driver.
 *
 * Options (JSON params; all optional):
 *   in_rings, out_rings  0..16, default 1
 *   slots                per ring, a power of two, 1..65536, default 256
 *   buf_size             longest packet that egress takes, default 131072
 *   caps                 OFFLOAD_CAP_* bits, default 0
 *   overread             default false
 *   sink                 egress packets are counted and forgotten
 *   link                 initial link state, default true
 *   manual               no in_fd: the ring is always polled
 *
 * Threads: one thread at a time per ring may inject, and one may collect; any
 * number of workers may deliver. The tx side holds its lock over the copy,
 * which other drivers must not do: here determinism counts, not speed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "core/port.h"

extern const struct port_ops dummy_port_ops;

/*
 * Puts one packet made of n segments (at most 255; empty ones are fine) into
 * ingress ring; the bytes are copied. off NULL: nothing left to do. Nothing is
 * checked: runts, giants and lying offloads are what tests are for. Returns 0,
 * -ENOSPC if the ring is full, -ENOMEM, -EINVAL.
 */
int dummy_inject(struct port *port, unsigned ring, const struct iovec *iov,
		 unsigned n, const struct offload *off);

/* The same for one contiguous packet without offloads. */
int dummy_inject_flat(struct port *port, unsigned ring, const void *data,
		      size_t len);

/*
 * Takes the oldest packet out of egress ring: up to size bytes go to buf, its
 * offload description to *off (NULL is fine). Returns the packet's length,
 * which may exceed size, or -EAGAIN if there is none.
 */
int dummy_collect(struct port *port, unsigned ring, void *buf, size_t size,
		  struct offload *off);

/* Packets that wait in egress ring / that rx() has not released yet. */
unsigned dummy_pending_out(struct port *port, unsigned ring);
unsigned dummy_pending_in(struct port *port, unsigned ring);

/* While busy, egress ring has no room for anything. */
void dummy_set_busy(struct port *port, unsigned ring, bool busy);

/* While down, link() is false and egress drops as out_link_down. */
void dummy_set_link(struct port *port, bool up);

/* Offloads the port takes; only while no worker runs. */
void dummy_set_caps(struct port *port, unsigned caps);

#endif
