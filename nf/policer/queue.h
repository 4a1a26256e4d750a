/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h - packets that wait, the one that may go first on top. */
#ifndef NF_POLICER_QUEUE_H
#define NF_POLICER_QUEUE_H
/* A heap of a fixed size; one thread. Of equal times the first that came. */
#include "include/glen/nf.h"

struct pl_waiting {
	uint64_t at, number;
	struct glen_nf_packet packet;
};

struct pl_queue {
	unsigned n, size;
	uint64_t number;
	struct pl_waiting *heap;
};

/* -ENOMEM. */
int pl_queue_init(struct pl_queue *q, unsigned size);
void pl_queue_fini(struct pl_queue *q);
/* There is room. */
void pl_queue_put(struct pl_queue *q, const struct glen_nf_packet *p,
		  uint64_t at);
/* Removes the top; there is one. */
void pl_queue_pop(struct pl_queue *q);

#endif
