// SPDX-License-Identifier: BSD-2-Clause
// mem.c - regions of netmap ports, which programs know by number.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"
#include "lib/layout.h"

static struct nm_mem *find(struct nm *nm, uid_t uid, uint16_t id)
{
	for (struct nm_mem *m = nm->mems; m; m = m->next)
		if (m->id == id && (id != NM_MEM_GLOBAL || m->uid == uid))
			return m;
	return NULL;
}

static int make(struct nm *nm, uid_t uid, uint16_t id, struct nm_mem **mem,
		struct glen_error *error)
{
	struct nm_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return error_set(error, -ENOMEM, "out of memory");
	m->id = id;
	m->uid = uid;
	m->refs = 1;
	m->buf_size = NM_BUF_SIZE;
	m->n_bufs = NM_BUFS;
	/* A slash: no other client can ask for it. */
	if (id == NM_MEM_GLOBAL)
		snprintf(m->region, sizeof(m->region), "netmap/1/%u",
			 (unsigned)uid);
	else
		snprintf(m->region, sizeof(m->region), "netmap/%u", id);
	m->next = nm->mems;
	nm->mems = m;
	*mem = m;
	return 0;
}

int nm_mem_find(struct nm *nm, uid_t uid, uint16_t id, struct nm_mem **mem,
		struct glen_error *error)
{
	struct nm_mem *m = find(nm, uid, id);

	if (!m && id == NM_MEM_GLOBAL)
		return make(nm, uid, id, mem, error);
	if (!m)
		return error_set(error, -EINVAL,
				 "there is no region with nr_mem_id %u", id);
	if (m->uid != uid)
		return error_set(error, -EACCES,
				 "the region with nr_mem_id %u belongs to uid "
				 "%u",
				 id, (unsigned)m->uid);
	m->refs++;
	*mem = m;
	return 0;
}

int nm_mem_make(struct nm *nm, uid_t uid, struct nm_mem **mem,
		struct glen_error *error)
{
	/* 0 and 1 are never private. */
	for (unsigned i = 0; i < UINT16_MAX; i++) {
		if (++nm->last_mem <= NM_MEM_GLOBAL)
			nm->last_mem = NM_MEM_GLOBAL + 1;
		if (!find(nm, uid, nm->last_mem))
			return make(nm, uid, nm->last_mem, mem, error);
	}
	return error_set(error, -ENOMEM, "all region numbers are in use");
}

void nm_mem_put(struct nm *nm, struct nm_mem *mem)
{
	struct nm_mem **at = &nm->mems;

	if (!mem || --mem->refs)
		return;
	while (*at != mem)
		at = &(*at)->next;
	*at = mem->next;
	free(mem);
}

uint64_t nm_mem_windows(const struct nm_mem *mem)
{
	return mem->pools.windows ? mem->pools.windows : REGION_WINDOWS;
}

uint64_t nm_mem_size(const struct nm_mem *mem)
{
	return nm_mem_windows(mem) +
	       layout_bufs_size(mem->n_bufs, mem->buf_size);
}
