// SPDX-License-Identifier: BSD-2-Clause
// pipe.c - make a pipe's window and its ends, and wake who sleeps at one.
#include "lib/nf/pipe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void pipe_init(struct pipe_window *w, uint32_t n_slots, const uint32_t *ids)
{
	for (uint32_t i = 0; i < n_slots; i++)
		slot_store(&w->slot[i], slot_word(ids[i], 0, 0));
}

void pipe_out_init(struct pipe_out *o, struct pipe_window *w, uint32_t n_slots,
		   int kick_fd)
{
	memset(o, 0, sizeof(*o));
	o->w = w;
	o->mask = n_slots - 1;
	o->kick_fd = kick_fd;
}

void pipe_in_init(struct pipe_in *i, struct pipe_window *w, uint32_t n_slots,
		  int kick_fd)
{
	memset(i, 0, sizeof(*i));
	i->w = w;
	i->mask = n_slots - 1;
	i->kick_fd = kick_fd;
}

void pipe_kick(int fd)
{
	uint64_t one = 1;

	/* EAGAIN means that a kick is pending. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void pipe_ids(const struct pipe_window *w, uint32_t n_slots, uint32_t *ids)
{
	for (uint32_t i = 0; i < n_slots; i++)
		ids[i] = slot_buf(slot_load(&w->slot[i]));
}
