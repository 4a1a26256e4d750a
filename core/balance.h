/* SPDX-License-Identifier: BSD-2-Clause */
/* balance.h - which worker runs which ring, and when that changes. */
#ifndef CORE_BALANCE_H
#define CORE_BALANCE_H
/*
 * Theory of operation
 *
 * A ring begins with the next worker in turn, or where the port's option
 * workers says. Once a second, from engine_tick(), the control thread looks at
 * what each worker did since: its busy time (turns that brought packets),
 * shared out among its rings by what they brought, a packet counting as much as
 * PACKET_BYTES bytes. Then, as long as the busiest worker is busy for BUSY_MIN
 * of the time and GAP_MIN more than the least busy one, the ring goes from
 * there to here that leaves the two closest to each other, if that makes the
 * busier one of them less busy by GAIN_MIN. A ring that was moved stays for
 * REST_TICKS; pinned rings always do. So one ring that keeps a worker busy all
 * by itself is not sent round and round: it is freed from its neighbours.
 *
 * Moving a ring. worker_del() returns when its worker has sent what it took
 * from the ring and will not look at it again; only then the other one gets it.
 * So the packets of a ring, and those of a flow, keep their order.
 *
 * Everything here is the control thread's.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/port.h"

struct engine;

/*
 * The option workers: "auto", or a list as "0", "0,2", "1-3": ring i is run by
 * entry i of it, modulo its length. n_workers: how many there are; 0: any
 * number will do (what was said to a glend that had more of them). Returns 0,
 * or -EINVAL with error filled and pins as before.
 */
int pins_parse(struct port_pins *pins, json_t *value, unsigned n_workers,
	       struct glen_error *error);

/* Gives the ring, which is with no worker, the one that is to run it. */
void balance_assign(struct engine *e, struct ingress *in);
/* Takes the rings of a port whose pins have changed to where they belong. */
void balance_pinned(struct port *port);
/* About once a second. */
void balance_tick(struct engine *e);

/*
 * Per worker, in order: {"worker", "cpu", "busy", "packets_per_s",
 * "ns_per_packet", "cycles_per_packet", "rings": [{"port", "ring", "load",
 * "pinned"}]}. busy and load are shares of one processor in the last second
 * that balance_tick() saw; null without one. cycles_per_packet is in ticks of
 * the time stamp counter, and null where there is none. A new reference.
 */
json_t *balance_show(struct engine *e);

#endif
