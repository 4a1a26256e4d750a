/* SPDX-License-Identifier: BSD-2-Clause */
/* hostile_vhost.h - what the parts of the hostile vhost-user guest share. */
#ifndef TESTS_PEER_HOSTILE_VHOST_H
#define TESTS_PEER_HOSTILE_VHOST_H
/*
 * A case is a function that plays one of the inputs of facts/vm-attach.md 5.3,
 * mostly in several variants. Each variant is a life of its own: it attaches
 * (which must work, whatever came before), sends packets through the switch
 * and gets them back from a mirror behind it, does its worst, and then says
 * what must have come of that:
 *
 *   expect(a, STOPPED)            a queue was stopped, as its eventfd says
 *   expect(a, HANGUP)             glend hung up
 *   expect(a, REFUSED | HANGUP)   or answered "no" (refused() was called)
 *   good(a)                       nothing at all: packets go on as before
 *
 * What is not as it must be ends the program with 1 and a text that names the
 * case and the variant.
 */
#include <stdbool.h>
#include <stdint.h>

#include "vhost_fe.h"

enum { STOPPED = 1, HANGUP = 2, REFUSED = 4, GOOD = 8, OUTCOMES = 4 };

enum {
	FRAME_MAX = 1514,
	MIB = 1 << 20,
	HALF = 16 * MIB,  /* size of each of the two regions */
	SPARE = 24 * MIB, /* gpa of memory that nothing is in, 1 MiB */
};

struct attack {
	struct fe fe;
	struct fe_config config; /* of the next attach() */
	const char *path;	 /* of glend's socket */
	const char *name;	 /* of the case */
	const char *variant;	 /* for messages */
	double scale;
	int fd;			   /* the memory's */
	uint64_t sent;		   /* numbers of packets */
	uint64_t back;		   /* packets of ours that came back */
	unsigned counts[OUTCOMES]; /* by outcome: STOPPED, HANGUP, ... */
	bool was_refused;
	bool hold; /* stop at the first queue that is stopped */
	struct fe_packet packet;
};

struct hostile_case {
	const char *name; /* number in 5.3, dash, a word */
	void (*run)(struct attack *a);
	bool rings; /* to be played on split and on packed rings */
};

extern const struct hostile_case memory_cases[], ring_cases[], header_cases[],
	socket_cases[], message_cases[];

/* Ends the program with 1: the case failed. */
_Noreturn __attribute__((format(printf, 2, 3))) void fail(struct attack *a,
							  const char *format,
							  ...);
/* fail()s if err is not 0 or more. */
void must(struct attack *a, int err, const char *what);

/* A count that shrinks under sanitizers; at least least. */
unsigned scaled(const struct attack *a, unsigned n, unsigned least);

/* Random numbers; the seed is printed. */
uint64_t rnd(void);
uint32_t below(uint32_t n);
/* Each thread has a sequence of its own. */
void rnd_thread(uint64_t seed);

/* Begins a variant: memory (two regions that adjoin in guest-physical address,
 * not sealed) and nothing else. */
void life(struct attack *a, const char *variant);
/* The same, and connected; retried while glend has another client yet. */
void life_connected(struct attack *a, const char *variant);
/* ... and features negotiated. */
void life_handshaken(struct attack *a, const char *variant);
/* ... and everything else; some packets went through the switch. */
void life_attached(struct attack *a, const char *variant);
/* Everything but receive buffers, and no packets yet. */
void life_empty(struct attack *a, const char *variant);
/* Ends it by hanging up. */
void life_end(struct attack *a);

/* Sends packets, never many at once, until n came back. */
void exchange(struct attack *a, unsigned n);
/* Sends up to n packets, without caring for anything. */
void provoke(struct attack *a, unsigned n);
/* Takes what came, right or wrong, and posts the buffers again. */
void consume(struct attack *a);

/* Verdicts; each ends the life. */
void expect(struct attack *a, unsigned outcomes);
void good(struct attack *a);
/* Anything may have come of it, as long as glend answers somebody. */
void survived(struct attack *a);
/* Note what fe_set() said: -EREMOTEIO is a refusal, 0 is not. */
void refused(struct attack *a, int err);

/* One descriptor of a lie. next is for split rings, id for packed ones. */
struct lie {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next, id;
};

/* Writes the descriptors as they are, makes the first one available as head
 * and kicks. The queue must have nothing out. */
void lie(struct attack *a, struct fe_queue *q, const struct lie *d, unsigned n,
	 uint16_t head);
/* Waits until nothing that was sent is under way any more. */
void settle(struct attack *a, struct fe_queue *q);
/* Waits until a lie of n descriptors came back, and forgets it. */
void lie_returned(struct attack *a, struct fe_queue *q, unsigned n);

#endif
