/* SPDX-License-Identifier: BSD-2-Clause */
/* kloop.h - rings that are synced by a loop, as arrays of the program say. */
#ifndef NETMAP_PRELOAD_KLOOP_H
#define NETMAP_PRELOAD_KLOOP_H
/*
 * Theory of operation
 *
 * In CSB mode a program does not make system calls for its rings. Its indexes,
 * and the answers to them, are in two arrays of its own, a line per bound ring,
 * TX rings first. SYNC_KLOOP_START keeps a thread of the program, which here is
 * the thread that calls ioctl(), in a loop that syncs the rings as the lines
 * say:
 *
 *   program   stores cur, head (A); if kern_need_kick then writes ioeventfd
 *   loop      reads head (pairs with A), cur; syncs the ring with glend or the
 *             other end of a pipe; stores hwcur, hwtail (B); if appl_need_kick
 *             then writes irqfd
 *   program   reads hwtail (pairs with B), hwcur
 *
 * The arrays are private to the process that enabled them, so only its threads
 * can run a loop. What all processes with the descriptor must know is in struct
 * nmw_open: that CSB mode is on, who runs a loop, and that it shall stop.
 *
 * The loop holds copies of all descriptors that it needs, as the kernel would.
 * It ends when it is stopped, when the port dies, and when a signal handler
 * ran; signals are blocked but where it sleeps and looks for them.
 */
#include "netmap/preload/preload.h"

/* Of a device, and of this process. */
struct csb {
	struct nm_csb_atok *atok;
	struct nm_csb_ktoa *ktoa;
};

/* ---- csb.c */
/* How many lines an open has, and the ring of one. */
unsigned csb_lines(const struct device *d);
struct nring *csb_ring(struct device *d, unsigned line);
/* The hwcur of a ring, as the program is to see it. */
uint32_t csb_hwcur(const struct nring *r);

/* ---- kloop.c */
/* A loop runs, in whatever process. */
bool kloop_is_running(struct nmw_open *open);

#endif
