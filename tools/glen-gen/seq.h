/* SPDX-License-Identifier: BSD-2-Clause */
/* seq.h - per flow accounting of lost, reordered and duplicated packets. */
#ifndef GEN_SEQ_H
#define GEN_SEQ_H
/*
 * Theory of operation
 *
 * Every checked packet carries the number of its flow, a sequence number that
 * starts at 0, and the sender's run number. The receiver keeps one struct
 * seq_flow per flow:
 *
 *        next - SEQ_WINDOW         next
 *   ----------|----------------------|--------->  sequence numbers
 *    too old  |  bitmap: seen or not |  not seen
 *
 * A packet is
 *   in order    its number is >= next; what was skipped counts as missing;
 *   reordered   it is in the window and was not seen: it is late, and no
 *               longer missing;
 *   duplicated  it is in the window and was seen already;
 *   stale       it is older than the window: late or twice, nobody knows.
 *
 * lost = highest expected number + 1 - distinct packets. The highest expected
 * number is the highest seen, or what the sender's end marker says: that is
 * how packets missing at the very end are found. Loss counts from number 0,
 * so the receiver must be there before the sender.
 *
 * A packet of another run (a sender that was started again) closes the books
 * of the run before and opens new ones; the flow's totals add up over runs.
 * Packets of an older run that arrive late are counted as stale.
 *
 * One thread per table. Memory is allocated once, for n_flows flows, and
 * touched only for flows that are seen.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
	SEQ_WINDOW = 1024, /* a power of two, a multiple of 64 */
};

/* What a table, or one flow, has counted. */
struct seq_counts {
	uint64_t received; /* packets that seq_packet() saw */
	uint64_t distinct; /* without duplicates and stale ones */
	uint64_t lost;
	uint64_t reordered;
	uint64_t duplicated;
	uint64_t stale;
	uint64_t max_late; /* how far behind next the latest packet was */
	uint64_t sent;	   /* by end markers, or the least that was sent */
	unsigned flows;	   /* seen */
	unsigned ended;	   /* of them, those with an end marker */
};

struct seq_flow {
	uint64_t next;	   /* highest number seen + 1 */
	uint64_t distinct; /* of this run */
	uint64_t sent;	   /* by the end marker, if ended */
	uint32_t run;
	uint32_t last_run; /* the run before, 0: none */
	bool seen;
	bool ended;
	uint64_t window[SEQ_WINDOW / 64];
};

struct seq_table {
	struct seq_flow *flow;
	uint32_t n_flows;
	struct seq_counts done; /* closed runs; and the running event counts */
	uint64_t missing;	/* skipped so far and not come late */
	uint32_t flows, ended;	/* flows seen; of them, those that ended */
};

/* -ENOMEM. seq_fini() gives the memory back and may be called twice. */
int seq_init(struct seq_table *t, uint32_t n_flows);
void seq_fini(struct seq_table *t);

/* A packet arrived. False if flow is not below n_flows: nothing is counted. */
bool seq_packet(struct seq_table *t, uint32_t flow, uint32_t run, uint64_t seq);

/* The sender says that run sent this many packets of the flow. */
bool seq_end(struct seq_table *t, uint32_t flow, uint32_t run, uint64_t sent);

/* True if flows were seen and all of them ended. */
bool seq_all_ended(const struct seq_table *t);

/* Adds everything up. Walks all flows; not for hot code. */
void seq_sum(const struct seq_table *t, struct seq_counts *sum);

#endif
