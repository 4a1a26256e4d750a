// SPDX-License-Identifier: BSD-2-Clause
// spare.c - packets that stay with an NF, and packets that it makes.
#include <errno.h>
#include <string.h>

#include "lib/nf/route.h"
#include "lib/nf/run.h"

enum { AHEAD = 16 }; /* buffers */

/* A free entry; the caller has seen that there is one. */
static uint32_t take(struct glen_nf_thread *t)
{
	return t->free_at[--t->n_free];
}

int glen_nf_keep(struct glen_nf_thread *t, struct glen_nf_packet *p,
		 struct glen_nf_packet *mine)
{
	size_t i = (size_t)(p - t->batch);
	uint32_t entry, empty;

	if (i >= t->n_batch || p->verdict == GLEN_NF_KEPT)
		return -EINVAL;
	if (!t->n_free)
		return -ENOBUFS;
	entry = take(t);
	empty = t->spare[entry];
	*mine = *p;
	mine->verdict = GLEN_NF_NEXT;
	mine->slot = entry;
	t->spare[entry] = p->slot;
	slot_store(pipe_in_slot(&t->from->in, t->from->in.tail + (uint32_t)i),
		   slot_word(empty, 0, 0));
	p->slot = empty;
	p->verdict = GLEN_NF_KEPT;
	nf_add(&t->stats.kept, 1);
	return 0;
}

/* The buffer comes from who used it last: it will be written. */
static void prefetch(const struct glen_nf_thread *t, uint32_t entry,
		     unsigned headroom)
{
	uint32_t buf = t->spare[entry];

	if (buf < t->region.n)
		pipe_prefetch_write(nf_buffer(&t->region, buf) + headroom);
}

/* A view of a spare buffer; -ENOBUFS. */
static int make(struct glen_nf_thread *t, unsigned headroom, unsigned len,
		struct glen_nf_packet *mine)
{
	unsigned room = t->region.size - headroom - len;
	uint32_t entry, buf;

	if (!t->n_free)
		return -ENOBUFS;
	buf = t->spare[t->free_at[t->n_free - 1]];
	if (buf >= t->region.n)
		return -ENOBUFS; /* somebody spoiled a pipe of ours */
	if (t->n_free > AHEAD)
		prefetch(t, t->free_at[t->n_free - 1 - AHEAD], headroom);
	entry = take(t);
	memset(mine, 0, sizeof(*mine));
	mine->data = nf_buffer(&t->region, buf) + headroom;
	mine->len = len;
	mine->headroom = (uint16_t)headroom;
	mine->tailroom = (uint16_t)room;
	mine->slot = entry;
	nf_add(&t->stats.made, 1);
	return 0;
}

int glen_nf_clone(struct glen_nf_thread *t, const struct glen_nf_packet *p,
		  struct glen_nf_packet *mine)
{
	struct glen_nf_packet copy;
	int err;

	if (p->headroom + p->len > t->region.size)
		return -EMSGSIZE;
	err = make(t, p->headroom, p->len, &copy);
	if (err)
		return err;
	memcpy(copy.data, p->data, p->len);
	copy.hash = p->hash;
	copy.chain = p->chain;
	copy.index = p->index;
	copy.hops = p->hops;
	copy.in = p->in;
	*mine = copy;
	return 0;
}

int glen_nf_alloc(struct glen_nf_thread *t, unsigned len,
		  struct glen_nf_packet *mine)
{
	int err;

	if (len > t->region.size || len + GLEN_NF_HEADROOM > t->region.size)
		return -EMSGSIZE;
	err = make(t, GLEN_NF_HEADROOM, len, mine);
	if (err)
		return err;
	mine->chain = GLEN_NF_NO_CHAIN;
	mine->hash = 1;
	return 0;
}

unsigned glen_nf_send(struct glen_nf_thread *t, struct glen_nf_packet *mine,
		      unsigned n)
{
	unsigned done;

	/* Before the first turn there is no table. */
	if (!t->route)
		return 0;
	done = nf_dispatch_own(t, mine, n);
	t->n_sent += done;
	nf_publish(t);
	return done;
}

void glen_nf_free(struct glen_nf_thread *t, struct glen_nf_packet *mine)
{
	t->free_at[t->n_free++] = mine->slot;
	nf_add(&t->stats.freed, 1);
}

unsigned glen_nf_spare(const struct glen_nf_thread *t)
{
	return t->n_free;
}
