// SPDX-License-Identifier: BSD-2-Clause
// seq.c - per flow accounting of lost, reordered and duplicated packets.
#include "seq.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int seq_init(struct seq_table *t, uint32_t n_flows)
{
	void *p;

	memset(t, 0, sizeof(*t));
	/* mmap: untouched flows cost nothing. */
	p = mmap(NULL, (size_t)n_flows * sizeof(*t->flow),
		 PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	t->flow = p;
	t->n_flows = n_flows;
	return 0;
}

void seq_fini(struct seq_table *t)
{
	if (t->flow)
		munmap(t->flow, (size_t)t->n_flows * sizeof(*t->flow));
	t->flow = NULL;
	t->n_flows = 0;
}

/* What a flow's present run was sent, as far as is known. */
static uint64_t flow_sent(const struct seq_flow *f)
{
	return f->ended && f->sent > f->next ? f->sent : f->next;
}

/* Adds the books of the flow's present run to c. */
static void flow_close(const struct seq_flow *f, struct seq_counts *c)
{
	c->sent += flow_sent(f);
	c->distinct += f->distinct;
	c->lost += flow_sent(f) - f->distinct;
}

static __attribute__((noinline)) void flow_start(struct seq_table *t,
						 struct seq_flow *f,
						 uint32_t run)
{
	uint32_t last = f->seen ? f->run : 0;

	if (f->seen) {
		flow_close(f, &t->done);
		t->ended -= f->ended;
	} else {
		t->flows++;
	}
	memset(f, 0, sizeof(*f));
	f->run = run;
	f->last_run = last;
	f->seen = true;
}

/* Forgets what was seen of the numbers [from, to): they become expected. */
static void window_advance(struct seq_flow *f, uint64_t from, uint64_t to)
{
	if (to - from >= SEQ_WINDOW) {
		memset(f->window, 0, sizeof(f->window));
		return;
	}
	for (; from != to; from++) {
		unsigned bit = from & (SEQ_WINDOW - 1);

		f->window[bit / 64] &= ~(UINT64_C(1) << bit % 64);
	}
}

/* A number below next. */
static __attribute__((noinline)) void flow_late(struct seq_table *t,
						struct seq_flow *f,
						uint64_t seq)
{
	uint64_t late = f->next - seq, mask = UINT64_C(1) << seq % 64;
	uint64_t *word = &f->window[(seq & (SEQ_WINDOW - 1)) / 64];

	if (late > SEQ_WINDOW) {
		t->done.stale++;
		return;
	}
	if (*word & mask) {
		t->done.duplicated++;
		return;
	}
	*word |= mask;
	f->distinct++;
	t->done.reordered++;
	t->missing--;
	if (late > t->done.max_late)
		t->done.max_late = late;
}

bool seq_packet(struct seq_table *t, uint32_t flow, uint32_t run, uint64_t seq)
{
	struct seq_flow *f;
	unsigned bit = seq & (SEQ_WINDOW - 1);

	if (flow >= t->n_flows)
		return false;
	f = &t->flow[flow];
	t->done.received++;
	if (!f->seen || f->run != run) {
		if (f->seen && f->last_run == run && run) {
			t->done.stale++;
			return true;
		}
		flow_start(t, f, run);
	}
	if (seq < f->next) {
		flow_late(t, f, seq);
		return true;
	}
	if (seq != f->next) {
		window_advance(f, f->next, seq);
		t->missing += seq - f->next;
	}
	f->window[bit / 64] |= UINT64_C(1) << bit % 64;
	f->next = seq + 1;
	f->distinct++;
	return true;
}

bool seq_end(struct seq_table *t, uint32_t flow, uint32_t run, uint64_t sent)
{
	struct seq_flow *f;

	if (flow >= t->n_flows)
		return false;
	f = &t->flow[flow];
	if (f->seen && f->last_run == run && f->run != run && run)
		return true;
	if (!f->seen || f->run != run)
		flow_start(t, f, run);
	t->ended += !f->ended;
	f->ended = true;
	f->sent = sent;
	return true;
}

bool seq_all_ended(const struct seq_table *t)
{
	return t->flows && t->flows == t->ended;
}

void seq_sum(const struct seq_table *t, struct seq_counts *sum)
{
	uint32_t left = t->flows;

	*sum = t->done;
	for (uint32_t i = 0; left && i < t->n_flows; i++) {
		if (!t->flow[i].seen)
			continue;
		flow_close(&t->flow[i], sum);
		left--;
	}
	sum->flows = t->flows;
	sum->ended = t->ended;
}
