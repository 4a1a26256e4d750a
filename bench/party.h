/* SPDX-License-Identifier: BSD-2-Clause */
/* party.h - what a side of a benchmark consists of. */
#ifndef BENCH_PARTY_H
#define BENCH_PARTY_H
/*
 * Theory of operation
 *
 * A party is a process that plays one or more sides (share.h), or one
 * process's part of a side that has several. A side has roles: each is a loop
 * on one processor that calls a few steps in turn while it is the side's turn.
 * Sides of one role share one thread, so that they can be compared on the same
 * core with the same stack; roles of other sides have a thread each.
 *
 * The kinds of sides are in a table in party.c; each has an open function that
 * sets up its state and fills in the roles. Nothing is torn down: the process
 * ends with the benchmark.
 */
#include "bench/share.h"

enum {
	ROLES_MAX = 3,
	STEPS_MAX = 3,
};

/* One batch of work; returns how many packets it moved. */
typedef unsigned (*party_step)(void *state);

struct role {
	int cpu;      /* to pin to; -1: anywhere */
	bool yield;   /* shares its processor: give way when idle */
	bool blocks;  /* its steps sleep by themselves when idle */
	bool counts;  /* what the last step returns has been received */
	unsigned who; /* if it counts: a number of its own, from 0 on */
	void *state;  /* of the steps; NULL: the side's */
	party_step steps[STEPS_MAX];
};

/* What may be chosen on the command line; every kind takes what it needs. */
struct party_opts {
	const char *layout; /* one, two, three, rtt; pairs, fan-in */
	const char *port;   /* "switch:port" */
	const char *module; /* of an embedded switch */
	unsigned frame, batch, slots, buf, cpu;
	unsigned ports;	 /* attached, the sender's included */
	unsigned addrs;	 /* in the address table; half source, half dest. */
	unsigned spread; /* 1: to all ports in turn; 2: to all at once */
	unsigned vlan;	 /* 1: all are access ports of one VLAN (learn) */
	unsigned rules;	 /* of module steer or of a firewall; 0: none */
	unsigned flows;	 /* TCP and UDP over IP, so many; 0: no IP */
	unsigned ip;	 /* 4 or 6 */
	unsigned out;	 /* flows: 1: from a claimant; 0: to it */
	unsigned fill;	 /* bytes of each frame that the sender writes */
	unsigned quota;	 /* packets before a client gives way; 0: slots */
	unsigned cores;	 /* with a worker each */
	unsigned senders;
	unsigned rings; /* per port */
	unsigned vnet;	/* bytes of virtio_net_hdr: packets are TCP, for TSO */
	/* Programs for netmap (netmap.c). */
	const char *peer; /* where nm-loop receives */
	unsigned lib;	  /* 1: by libglen, 0: by /dev/netmap */
	unsigned poll;	  /* 1: they poll, 0: they sync */
	unsigned take;	  /* packets per RXSYNC at most; 0: batch */
	unsigned burst;	  /* of nm-loop, between two RXSYNCs; 0: batch */
	unsigned yield;	  /* 1: share the processor when idle */
	unsigned mute;	  /* 1: the receiver's port sends nothing */
	unsigned region;  /* lib: 1: ports are in one region, 2: and swap */
	/* Network functions (nf.c). */
	unsigned nfs;	/* between source and sink */
	unsigned touch; /* 1: they read each packet's first bytes; a
			 * firewall keeps connections */
};

struct party_side {
	struct party_opts opts;
	unsigned id;
	struct share *share;
	struct side *side; /* counters of it */
	void *state;
	struct role roles[ROLES_MAX];
	unsigned n_roles;
};

/* Prints a sentence and ends the process. */
__attribute__((format(printf, 1, 2), noreturn)) void party_die(
	const char *format, ...);

/* The kinds of sides; each exits on failure. */
void embed_open(struct party_side *p);	     /* embed.c */
void memcpy_open(struct party_side *p);	     /* embed.c */
void cores_open(struct party_side *p);	     /* cores.c */
void netmap_send_open(struct party_side *p); /* netmap.c */
void netmap_recv_open(struct party_side *p);
void netmap_loop_open(struct party_side *p);
void netmap_txsync_open(struct party_side *p);
void netmap_rxsync_open(struct party_side *p);
void getppid_open(struct party_side *p);
void calls_open(struct party_side *p);
void nf_chain_open(struct party_side *p); /* nf.c */
void nf_pair_open(struct party_side *p);
void nf_firewall_open(struct party_side *p); /* nf_firewall.c */
void client_send_open(struct party_side *p);
void client_recv_open(struct party_side *p);
void client_ping_open(struct party_side *p);
void client_pong_open(struct party_side *p);
void client_idle_open(struct party_side *p);

#endif
