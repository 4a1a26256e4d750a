/* SPDX-License-Identifier: BSD-2-Clause */
/* report.h - what glen-gen prints at the end. */
#ifndef GEN_REPORT_H
#define GEN_REPORT_H
/*
 * A report points at what a mode has counted; parts that are NULL are left
 * out. It comes as a table or, with --json, as one object on one line; the
 * members are described in glen-gen(1).
 */
#include <stdbool.h>

#include <glen/glen.h>

#include "hist.h"
#include "opts.h"
#include "rx.h"
#include "tx.h"

/* A ping's books. */
struct pings {
	uint64_t sent, answered, lost;
	uint64_t late; /* answers after the time-out; they count as lost */
	struct hist rtt;
};

struct report {
	const struct gen_opts *opts;
	const struct sender *sender;
	const struct receiver *receiver;
	const struct pings *pings;
	uint64_t pongs;		/* answered; for MODE_PONG */
	uint64_t pongs_dropped; /* no room in the TX ring */
	bool has_stats;
	unsigned reconnects;
	struct glen_port_stats stats;
};

/* Asks for the counters of a port, if that is still possible. */
void report_port(struct report *r, struct glen_port *port);

void report_print(const struct report *r);

/* True if nothing was lost or damaged, and something came. */
bool report_clean(const struct report *r);

#endif
