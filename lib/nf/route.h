/* SPDX-License-Identifier: BSD-2-Clause */
/* route.h - where a thread's packets go: immutable, published by the broker. */
#ifndef LIB_NF_ROUTE_H
#define LIB_NF_ROUTE_H
/*
 * Theory of operation
 *
 * A thread has one route table at a time: its inputs, its outputs, and for each
 * number of a service and of a port which outputs lead there. What chains
 * consist of is the same for all threads and shared by their tables.
 *
 * The broker makes a table from plain numbers (broker.h: who are the candidates
 * of a service, with what weights; which buckets are held) and the ends of the
 * thread's pipes, publishes it by nf_thread.next, and frees the one before when
 * the thread has acknowledged the new one. Nobody changes a published table;
 * what changes while it is in use (a pipe's indexes, what round robin and
 * sticky flows remember) it only points to, and that lives longer than the
 * table.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/nf/balance.h"
#include "lib/nf/run.h"

enum { NF_NO_PORT = 0xffff }; /* a chain without exit */

enum nf_target_kind {
	NF_TO_NOBODY, /* dropped, for the reason drop */
	NF_TO_ONE,
	NF_TO_SOME,
};

struct nf_target {
	uint8_t kind; /* enum nf_target_kind */
	uint8_t drop; /* enum nf_drop */
	struct pipe_out *one;
	struct nf_balance *balance;
};

struct nf_chain {
	uint16_t n;    /* 0: there is no such chain (now) */
	uint16_t exit; /* number of a port, NF_NO_PORT */
	uint16_t service[GLEN_NF_CHAIN_LEN_MAX];
};

/* All chains by number; shared by tables. */
struct nf_chains {
	unsigned refs, n;
	struct nf_chain chain[];
};

struct nf_route {
	uint32_t epoch;
	unsigned n_in, n_out, n_services, n_ports;
	struct nf_input **in;
	struct pipe_out **out;
	bool *loop; /* of each output, for pipe_out.loop */
	struct nf_target *service, *port; /* by number */
	struct nf_chains *chains;
};

/* Room for so many; all targets lead to nobody. Takes a reference to chains.
 * NULL: no memory. */
struct nf_route *route_create(unsigned n_in, unsigned n_out,
			      unsigned n_services, unsigned n_ports,
			      struct nf_chains *chains);
void route_destroy(struct nf_route *r);

/* Makes target lead to n candidates; map: ids or BALANCE_HELD per bucket, of
 * flow balance. held: ids that sticky flows wait for. -ENOMEM. */
struct route_some {
	enum glen_nf_balance kind;
	const struct balance_candidate *candidates;
	struct pipe_out *const *outs;
	unsigned n;
	const uint16_t *map;
	const uint16_t *held;
	unsigned n_held;
	struct balance_memory *memory;
};
int route_some(struct nf_target *target, const struct route_some *s);

struct nf_chains *chains_create(unsigned n);
void chains_put(struct nf_chains *c);

#endif
