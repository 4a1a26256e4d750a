// SPDX-License-Identifier: BSD-2-Clause
// queue.c - a heap of waiting packets.
#include "nf/policer/queue.h"

#include <errno.h>
#include <stdlib.h>

int pl_queue_init(struct pl_queue *q, unsigned size)
{
	*q = (struct pl_queue){ .size = size };
	q->heap = calloc(size, sizeof(*q->heap));
	return q->heap ? 0 : -ENOMEM;
}

void pl_queue_fini(struct pl_queue *q)
{
	free(q->heap);
	q->heap = NULL;
	q->n = 0;
}

static bool before(const struct pl_waiting *a, const struct pl_waiting *b)
{
	return a->at < b->at || (a->at == b->at && a->number < b->number);
}

void pl_queue_put(struct pl_queue *q, const struct glen_nf_packet *p,
		  uint64_t at)
{
	struct pl_waiting w = { at, q->number++, *p };
	unsigned i = q->n++;

	while (i && before(&w, &q->heap[(i - 1) / 2])) {
		q->heap[i] = q->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	q->heap[i] = w;
}

void pl_queue_pop(struct pl_queue *q)
{
	struct pl_waiting *last = &q->heap[--q->n];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < q->n) {
		if (child + 1 < q->n &&
		    before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (!before(&q->heap[child], last))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = *last;
}
