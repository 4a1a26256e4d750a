// SPDX-License-Identifier: BSD-2-Clause
// run.c - a thread's turn: take packets from inputs, show them, dispatch them.
#include "lib/nf/run.h"

#include <string.h>
#include <time.h>

#include "lib/nf/route.h"

uint64_t nf_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void nf_adopt(struct glen_nf_thread *t)
{
	struct nf_route *r;

	if (!atomic_load_explicit(&t->next, memory_order_relaxed))
		return;
	/* Acquire: what the table consists of was written before. Release:
	 * who finds NULL there may free the table before the last. */
	r = atomic_exchange_explicit(&t->next, NULL, memory_order_acq_rel);
	for (unsigned i = 0; i < r->n_out; i++)
		r->out[i]->loop = r->loop[i];
	t->route = r;
	/* Release: nothing of the old table is used any more. Pairs with the
	 * acquire in broker_step(). */
	atomic_store_explicit(&t->acked, r->epoch, memory_order_release);
}

/* Makes views of up to n packets; fewer: the next slot is bad. */
static unsigned views_make(const struct glen_nf_thread *t,
			   const struct pipe_in *in, struct glen_nf_packet *v,
			   unsigned n)
{
	const struct nf_region r = t->region;
	unsigned i;

	for (i = 0; i < n; i++) {
		const struct netmap_slot *s = pipe_in_slot(in, in->tail + i);
		const void *ahead = pipe_in_slot(in, in->tail + i + PIPE_AHEAD);
		uint64_t word = slot_load(s), meta = shm_load64(&s->ptr);
		uint32_t buf = slot_buf(word), len = slot_len(word), room;

		__builtin_prefetch(ahead);
		memcpy(&v[i].headroom, &meta, sizeof(meta));
		if (__builtin_expect(buf >= r.n || v[i].headroom + len > r.size,
				     0))
			break;
		room = r.size - v[i].headroom - len;
		v[i].data = nf_buffer(&r, buf) + v[i].headroom;
		__builtin_prefetch(v[i].data);
		v[i].len = len;
		v[i].verdict = GLEN_NF_NEXT;
		v[i].tailroom = (uint16_t)room;
		v[i].in = slot_flags(word);
		v[i].slot = buf;
	}
	return i;
}

/* The first packet of an input names no buffer, or lies beyond it. */
static __attribute__((noinline)) void bad_slot(struct glen_nf_thread *t,
					       struct nf_input *i)
{
	nf_add(&t->stats.in, 1);
	nf_add(&t->stats.drops[NF_DROP_BAD_SLOT], 1);
	pipe_in_release(&i->in, 1);
}

/* What is decided and waits for an output: tries once more. */
static __attribute__((noinline)) unsigned retry(struct glen_nf_thread *t,
						struct nf_input *i)
{
	unsigned done = nf_dispatch(t, i->held + i->held_at, i->n_held);

	i->held_at += done;
	i->n_held -= done;
	nf_publish(t);
	pipe_in_release(&i->in, done);
	return done;
}

/* Remembers what could not be dispatched. */
static __attribute__((noinline)) void hold(struct nf_input *i,
					   const struct glen_nf_packet *v,
					   unsigned n)
{
	if ((v->verdict & GLEN_NF_KIND) == NF_STAY)
		return;
	memcpy(i->held, v, n * sizeof(*v));
	i->held_at = 0;
	i->n_held = n;
}

/* Packets that stay to be shown once more were not taken. */
static inline unsigned taken(const struct glen_nf_packet *v, unsigned n,
			     unsigned done)
{
	return done < n && (v[done].verdict & GLEN_NF_KIND) == NF_STAY ? done :
									 n;
}

static unsigned input_turn(struct glen_nf_thread *t, struct nf_input *i,
			   struct glen_nf_packet *v)
{
	unsigned n, done;

	if (__builtin_expect(i->n_held, 0)) {
		t->from = i;
		done = retry(t, i);
		if (i->n_held)
			return done;
	}
	n = pipe_in_ready(&i->in, GLEN_NF_BATCH_MAX);
	if (!n)
		return 0;
	if (n > GLEN_NF_BATCH_MAX)
		n = GLEN_NF_BATCH_MAX;
	n = views_make(t, &i->in, v, n);
	if (__builtin_expect(!n, 0)) {
		bad_slot(t, i);
		return 1;
	}
	t->from = i;
	t->batch = v;
	t->n_batch = n;
	t->process(t, v, n);
	t->n_batch = 0;
	done = nf_dispatch(t, v, n);
	nf_add(&t->stats.in, taken(v, n, done));
	if (__builtin_expect(done < n, 0))
		hold(i, v + done, n - done);
	nf_publish(t);
	pipe_in_release(&i->in, done);
	return done;
}

/* What is not there in most turns of most NFs. */
static inline bool extras(struct glen_nf_thread *t)
{
	bool again = false;

	if (t->timers)
		again |= nf_timers_run(t);
	if (atomic_load_explicit(&t->messages, memory_order_relaxed))
		nf_messages_run(t);
	if (t->nf->program->turn)
		again |= t->nf->program->turn(t);
	return again;
}

unsigned nf_turn(struct glen_nf_thread *t, struct nf_scratch *s, bool *again)
{
	const struct nf_route *r;
	unsigned n = 0;
	bool more;

	nf_adopt(t);
	r = t->route;
	t->now_ns = s->now_ns;
	t->blocked = false;
	t->n_sent = 0;
	for (unsigned i = 0; i < r->n_in; i++)
		n += input_turn(t, r->in[i], s->view);
	more = extras(t);
	n += t->n_sent;
	nf_publish(t);
	if (n) {
		s->now_ns = nf_clock();
		nf_add(&t->stats.busy_ns, s->now_ns - t->now_ns);
	}
	if (n || more)
		*again = true;
	return n;
}
