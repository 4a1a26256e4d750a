/* SPDX-License-Identifier: BSD-2-Clause */
/* flows.h - UDP and TCP packets of many flows, and claims on them. */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H
/*
 * Flow i of n is between port 1 + i of one host here and a host and port
 * elsewhere of its own; every other one is TCP, the rest UDP. A sender gets
 * FLOWS_FRAMES frames of them, drawn at random, so that nobody can know by
 * heart what comes next.
 */
#include "bench/traffic.h"

enum {
	FLOWS_MAX = 32768,
	FLOWS_FRAMES = 4096, /* of 64 bytes each */
};

struct flows {
	int family; /* 4 or 6 */
	uint32_t n; /* at most FLOWS_MAX */
	bool out;   /* from here to elsewhere */
};

/*
 * The sender sends packets of these flows from now on, of 60 bytes (IPv4) or
 * 64 (IPv6) at least, and writes the first 64 of each. False: no memory.
 */
bool flows_send(struct sender *s, const struct flows *f);

/* Claims the near ends of all for the port. 0 or -errno. */
int flows_claim(struct glen_port *port, const struct flows *f,
		struct glen_error *error);

#endif
