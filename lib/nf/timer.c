// SPDX-License-Identifier: BSD-2-Clause
// timer.c - timers of a thread: a heap by the time at which they are due.
#include <errno.h>
#include <stdlib.h>

#include "lib/nf/run.h"

enum { TIMERS_FIRST = 16 };

struct timer {
	uint64_t due_ns;
	int64_t number;
	void (*fn)(struct glen_nf_thread *t, void *arg);
	void *arg;
};

/* heap[i] is not later than heap[2 i + 1] and heap[2 i + 2]. */
struct nf_timers {
	struct timer *heap;
	unsigned n, size;
	int64_t last; /* number */
};

static void swap(struct timer *a, struct timer *b)
{
	struct timer t = *a;

	*a = *b;
	*b = t;
}

/* Earlier ones first; of two at the same time the one made first. */
static bool before(const struct timer *a, const struct timer *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns :
					a->number < b->number;
}

static void up(struct nf_timers *h, unsigned i)
{
	for (; i && before(&h->heap[i], &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&h->heap[i], &h->heap[(i - 1) / 2]);
}

static void down(struct nf_timers *h, unsigned i)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= h->n)
			return;
		if (child + 1 < h->n &&
		    before(&h->heap[child + 1], &h->heap[child]))
			child++;
		if (!before(&h->heap[child], &h->heap[i]))
			return;
		swap(&h->heap[i], &h->heap[child]);
		i = child;
	}
}

static int grow(struct nf_timers *h)
{
	unsigned size = h->size ? 2 * h->size : TIMERS_FIRST;
	struct timer *heap = reallocarray(h->heap, size, sizeof(*heap));

	if (!heap)
		return -ENOMEM;
	h->heap = heap;
	h->size = size;
	return 0;
}

int64_t glen_nf_timer(struct glen_nf_thread *t, uint64_t delay_ns,
		      void (*fn)(struct glen_nf_thread *t, void *arg),
		      void *arg)
{
	struct nf_timers *h = t->timers;

	if (!h) {
		h = t->timers = calloc(1, sizeof(*h));
		if (!h)
			return -ENOMEM;
	}
	if (h->n == h->size && grow(h))
		return -ENOMEM;
	/* In thread_start() there was no turn yet. */
	if (!t->now_ns)
		t->now_ns = nf_clock();
	h->heap[h->n] = (struct timer){ t->now_ns + delay_ns, ++h->last, fn,
					arg };
	up(h, h->n++);
	return h->last;
}

static void take(struct nf_timers *h, unsigned i)
{
	h->heap[i] = h->heap[--h->n];
	if (i < h->n) {
		up(h, i);
		down(h, i);
	}
}

bool glen_nf_timer_cancel(struct glen_nf_thread *t, int64_t timer)
{
	struct nf_timers *h = t->timers;

	for (unsigned i = 0; h && i < h->n; i++) {
		if (h->heap[i].number != timer)
			continue;
		take(h, i);
		return true;
	}
	return false;
}

bool nf_timers_run(struct glen_nf_thread *t)
{
	struct nf_timers *h = t->timers;
	int64_t last = h->last;
	bool called = false;

	/* Those that are made meanwhile wait for the next turn. */
	while (h->n && h->heap[0].due_ns <= t->now_ns &&
	       h->heap[0].number <= last) {
		struct timer first = h->heap[0];

		take(h, 0);
		first.fn(t, first.arg);
		called = true;
	}
	return called;
}

uint64_t nf_timers_next(const struct glen_nf_thread *t)
{
	return t->timers && t->timers->n ? t->timers->heap[0].due_ns :
					   UINT64_MAX;
}

void nf_timers_free(struct glen_nf_thread *t)
{
	if (t->timers)
		free(t->timers->heap);
	free(t->timers);
	t->timers = NULL;
}
