/* SPDX-License-Identifier: BSD-2-Clause */
/* balance.h - which of a service's instances a packet goes to. */
#ifndef LIB_NF_BALANCE_H
#define LIB_NF_BALANCE_H
/*
 * Theory of operation
 *
 * The candidates of a service are the threads of its instances; a sender has an
 * output to each. Every sender chooses by itself, from tables that the broker
 * made, and all that senders must agree on is in those tables.
 *
 * Flow: the flow's hash falls into one of 4,096 buckets, and each bucket
 * belongs to one candidate, by weighted rendezvous hashing: of all candidates
 * the one with the highest score for this bucket has it, and the score depends
 * on nothing but the candidate's own number and the bucket. So another
 * candidate takes over the buckets in which its score is highest, about its
 * share, and no other bucket moves; if it goes, those buckets go back where
 * they were. Weight w is the highest of w scores, which is exact for whole
 * numbers.
 *
 * Round robin: the broker lays all candidates out in a sequence, each as often
 * as its weight and as evenly as possible; a sender walks round it.
 *
 * Least queue: the candidate with the shortest queue for its weight. A sender
 * sees the queue of its own pipe. It reads the consumer's index once per batch
 * and then counts what it puts there itself.
 *
 * Least queue, by flow: the same for flows that have not been seen for 30
 * seconds; others stay. Flows are told apart by their 16-bit hash: those with
 * the same one count as one flow. A sender has a table of 65,536 entries for
 * each such service.
 *
 * A bucket, or a candidate of sticky flows, can be "held" while it moves
 * (broker.h): then there is no answer, and the packet has to wait.
 */
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/nf.h"
#include "lib/nf/pipe.h"

enum {
	BALANCE_BUCKETS = 4096,
	BALANCE_HELD = 0xffff,	 /* in map[]: no answer at the moment */
	BALANCE_NOBODY = 0xfffe, /* of tables by id */
	BALANCE_FLOWS = 65536,
	/* Time goes by in steps of 2^30 ns here. */
	BALANCE_STEP_SHIFT = 30,
	BALANCE_STICKY_STEPS = 28, /* about 30 s */
};

/* What a sender remembers of a service, through changes of its routes. */
struct balance_memory {
	uint32_t turn; /* round robin */
	struct balance_flow {
		uint32_t seen; /* step, plus 1; 0: never */
		uint16_t id;   /* of the candidate */
	} flow[];	       /* BALANCE_FLOWS if it is sticky, else none */
};

/* Part of a route table: immutable but for what memory and outputs are. */
struct nf_balance {
	enum glen_nf_balance kind;
	unsigned n; /* candidates */
	unsigned sequence_len;
	struct balance_memory *memory;
	struct pipe_out **out; /* of each candidate */
	uint16_t *id;	       /* of each candidate */
	uint16_t *weight;
	uint16_t *at;	    /* candidate by id, BALANCE_HELD, _NOBODY */
	unsigned n_ids;	    /* length of at[] */
	uint16_t *map;	    /* flow: candidate of each bucket */
	uint16_t *sequence; /* round robin */
};

/* A candidate as the broker counts them. */
struct balance_candidate {
	uint16_t id;
	uint16_t weight; /* 1 to GLEN_NF_WEIGHT_MAX */
};

/* Fills map[] with an id per bucket; n of at least 1. */
void balance_map(const struct balance_candidate *c, unsigned n,
		 uint16_t map[BALANCE_BUCKETS]);

/* Fills sequence[] with indexes of candidates; returns its length, the sum of
 * the weights. */
unsigned balance_sequence(const struct balance_candidate *c, unsigned n,
			  uint16_t *sequence);

/* Before a batch: queues are looked at anew. */
void balance_begin(const struct nf_balance *b);

/* The output for a packet; NULL: it has to wait. The same until
 * balance_taken(). */
struct pipe_out *balance_choose(const struct nf_balance *b, uint16_t hash,
				uint32_t step);

/* A packet was put into what balance_choose() said. */
static inline void balance_taken(const struct nf_balance *b)
{
	if (b->kind == GLEN_NF_BALANCE_ROUND_ROBIN)
		b->memory->turn++;
}

#endif
