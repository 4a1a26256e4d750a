// SPDX-License-Identifier: BSD-2-Clause
// netmap_window.c - make and end the windows of netmap ports and pipes.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/shm.h"
#include "port/shm/netmap.h"

_Static_assert((int)NMW_WINDOW_MAX == REGION_WINDOW &&
		       (int)NMW_WINDOWS == REGION_WINDOWS,
	       "both know where a region's windows and buffers are");

enum { OFFSET_ROOM = 64 };
enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static struct netmap_window *window_of(struct region_member *m)
{
	return (void *)((char *)m - offsetof(struct netmap_window, member));
}

/* Calls f for each slot of all rings. */
static void each_slot(struct netmap_window *w,
		      void (*f)(struct netmap_window *w,
				struct netmap_slot *slot))
{
	const struct nm_window *l = &w->layout;
	unsigned line = 0;

	for (unsigned end = 0; w->base && end < 1u + l->pipe; end++)
		for (unsigned k = 0; k < NMW_KINDS; k++)
			for (unsigned i = 0; i < nmw_n(l, end, k); i++) {
				struct netmap_ring *ring = nmw_ring(l, w->base,
								    line++);
				uint32_t slots = nmw_slots(l, end, k);

				for (uint32_t s = 0; s < slots; s++)
					f(w, &ring->slot[s]);
			}
}

static void see(struct netmap_window *w, struct netmap_slot *slot)
{
	region_seen(&w->member, slot_buf(slot_load(slot)));
}

/* region_member's: names all buffers in the window's rings. */
static void scan(struct region_member *m)
{
	each_slot(window_of(m), see);
}

static void begin_at(struct netmap_window *w, struct netmap_slot *slot)
{
	slot->ptr = w->offset_first;
}

void netmap_window_offsets(struct netmap_window *w, uint32_t max,
			   uint32_t first, uint32_t gap, uint64_t mask)
{
	/* A block of a packet fits behind the last one. */
	uint32_t most = w->layout.buf_size - OFFSET_ROOM - gap;

	w->offset_max = max < most ? max : most;
	w->offset_gap = gap;
	w->offset_first = first;
	w->offset_mask = mask;
	for (unsigned line = 0; line < w->layout.lines; line++)
		nmw_ring(&w->layout, w->base, line)->offset_mask = mask;
	each_slot(w, begin_at);
}

static int map(struct netmap_window *w, struct glen_error *error)
{
	void *base;

	w->fd = memfd_create("glen-netmap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->fd < 0 || ftruncate(w->fd, w->layout.size) ||
	    fcntl(w->fd, F_ADD_SEALS, SEALS))
		return error_set(error, -errno,
				 "cannot make a memfd of %u bytes: %s",
				 w->layout.size, error_reason(errno));
	base = mmap(NULL, w->layout.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    w->fd, 0);
	if (base == MAP_FAILED)
		return error_set(error, -errno, "cannot map the window: %s",
				 error_reason(errno));
	w->base = base;
	return 0;
}

/* Takes the buffers of all slots and writes the rings. */
static int furnish(struct netmap_window *w, struct glen_error *error)
{
	uint32_t n = w->layout.n_bufs;
	uint32_t *ids = malloc((n ? n : 1) * sizeof(*ids));
	int err;

	if (!ids)
		return error_set(error, -ENOMEM, "out of memory");
	err = region_take(&w->member, n, ids, error);
	if (!err)
		nmw_write(&w->layout, w->base, region_bufs_off(&w->member),
			  ids);
	free(ids);
	return err;
}

static int join(struct netmap_window *w,
		const struct netmap_window_config *config,
		struct glen_error *error)
{
	struct region *r = region_find(config->engine, config->region.name);

	return r ? region_enter(r, &w->member, error) :
		   region_join(config->engine, &config->region, &w->member,
			       error);
}

int netmap_window_create(const struct netmap_window_config *config,
			 struct netmap_window **out, struct glen_error *error)
{
	struct netmap_window *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return error_set(error, -ENOMEM, "out of memory");
	w->fd = -1;
	w->layout = *config->layout;
	w->member.name = config->name;
	w->member.scan = scan;
	w->member.window_size = w->layout.size;
	err = join(w, config, error);
	if (!err && w->member.region->buf_size != w->layout.buf_size)
		err = error_set(error, -EINVAL,
				"the region has buffers of %u bytes, not %u",
				w->member.region->buf_size, w->layout.buf_size);
	if (!err)
		err = map(w, error);
	if (!err)
		err = furnish(w, error);
	if (err) {
		netmap_window_destroy(w);
		return err;
	}
	*out = w;
	return 0;
}

void netmap_window_destroy(struct netmap_window *w)
{
	if (!w)
		return;
	region_leave(&w->member);
	if (w->base)
		munmap(w->base, w->layout.size);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
