/* SPDX-License-Identifier: BSD-2-Clause */
/* run.h - glen-gen's modes and what their loops share. */
#ifndef GEN_RUN_H
#define GEN_RUN_H
/*
 * Theory of operation
 *
 * Each mode is one loop around sender_step() and receiver_step(). Loops look
 * at no clock of their own: a timer signal sets run_tick every 20 ms, and the
 * loop then calls run_housekeep(), which shows progress and says when time is
 * up. The signal also ends sleeping calls early. SIGINT and SIGTERM set
 * run_stop; the mode then finishes in order and prints its report.
 *
 * Signals go to the main thread only.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

#include "opts.h"
#include "rx.h"
#include "tx.h"

extern volatile sig_atomic_t run_stop, run_tick;

/* What a loop has done so far, for the display. */
struct progress {
	uint64_t packets, bytes;
	uint64_t lost; /* known losses */
};

struct run {
	const struct gen_opts *opts;
	uint64_t start;	     /* when the loop began */
	uint64_t next_show;  /* when to show progress again */
	uint64_t show_every; /* 0: never */
	uint64_t shown_at;
	struct progress shown;
	uint64_t changed_at; /* when packets last grew; 0: never */
	uint64_t seen;	     /* packets at that time */
};

/* Installs signal handlers and the timer. */
int run_init(struct run *run, const struct gen_opts *opts);

/* Clears the tick, shows progress. True if --time or --idle is over. */
bool run_housekeep(struct run *run, const struct progress *p);

/* Ends the live display's line. */
void run_fini(struct run *run);

/* Binds the calling thread to a processor; -1: leaves it. */
int run_pin(int cpu);

/* Sleeps or yields until the sender may have something to do again. */
int run_wait_tx(const struct gen_opts *opts, struct sender *s);

/* Sends end markers, several times, and lets the TX rings run empty. */
int run_end_stream(const struct gen_opts *opts, struct sender *s);

/* The modes. They return an exit code. */
int run_send(const struct gen_opts *opts);
int run_recv(const struct gen_opts *opts);
int run_ping(const struct gen_opts *opts);
int run_pong(const struct gen_opts *opts);
int run_embedded(const struct gen_opts *opts);

/* Opens opts->port; prints what went wrong. */
struct glen_port *run_open(const struct gen_opts *opts);

/* Prints why a call on the port failed; returns EXIT_TROUBLE. */
int run_trouble(const char *what, const struct glen_port *port, int error);

/* Announces all own addresses, waiting for room as needed. */
int run_announce(const struct gen_opts *opts, struct glen_port *port);

#endif
