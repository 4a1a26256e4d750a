// SPDX-License-Identifier: BSD-2-Clause
// external.c - regions that a program wants in memory of its own: EXTMEM.
/*
 * glend cannot map a program's private pages. So the region is made as any
 * other, of glend's memory, but small enough to fit where the program wants it:
 * windows follow each other without holes, and buffers follow the windows. The
 * preload library puts that in the place of the program's pages.
 *
 * Netmap's pools of netmap_ifs and rings become room for windows, which are a
 * bit larger than what they hold; there are fewer buffers then. Who asks again
 * for the same memory names the region by its number, which its library knows.
 *
 * Buffers begin with what the program had in them. The library copies that, and
 * does so before there is a port that could receive anything: netmap.extmem
 * makes the region, which the open keeps until netmap.register names it.
 */
#include <errno.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"
#include "lib/layout.h"

/* What 0 means: the least that netmap gives a private region. */
static const struct nm_pools defaults = {
	.if_objs = 2,
	.if_objsize = 1024,
	.ring_objs = 4,
	.ring_objsize = 20480,
	.buf_objs = 4098,
	.buf_objsize = NM_BUF_SIZE,
};

enum { IFS_SHARE = 8 }; /* of the memory: netmap_ifs get no more than this */

int nm_external_read(json_t *o, struct nm_pools *p, struct glen_error *error)
{
	static const char *const keys[] = {
		"memsize",     "if_objs",      "if_objsize",
		"ring_objs",   "ring_objsize", "buf_objs",
		"buf_objsize", "mem_id",       NULL
	};
	const struct {
		const char *key;
		uint32_t *value;
	} numbers[] = {
		{ "if_objs", &p->if_objs },
		{ "if_objsize", &p->if_objsize },
		{ "ring_objs", &p->ring_objs },
		{ "ring_objsize", &p->ring_objsize },
		{ "buf_objs", &p->buf_objs },
		{ "buf_objsize", &p->buf_objsize },
	};
	int err = params_check(o, keys, error);
	long v = 0;

	err = err ?: params_int(o, "memsize", 0, 0, INT64_MAX, &v, error);
	p->memsize = v;
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers) && !err;
	     i++) {
		err = params_int(o, numbers[i].key, 0, 0, UINT32_MAX, &v,
				 error);
		*numbers[i].value = v;
	}
	v = 0;
	err = err ?: params_int(o, "mem_id", 0, 0, UINT16_MAX, &v, error);
	p->mem_id = v;
	return err;
}

static uint64_t align_down(uint64_t value)
{
	return value & ~(uint64_t)(LAYOUT_PAGE - 1);
}

/* Bytes of all pools, or UINT64_MAX. */
static uint64_t sum(const struct nm_pools *p)
{
	uint64_t all = (uint64_t)p->if_objs * p->if_objsize;

	if (__builtin_add_overflow(all,
				   (uint64_t)p->ring_objs * p->ring_objsize,
				   &all) ||
	    __builtin_add_overflow(all, (uint64_t)p->buf_objs * p->buf_objsize,
				   &all))
		return UINT64_MAX;
	return all;
}

int nm_external_plan(const struct nm_pools *wish, struct nm_pools *plan,
		     struct glen_error *error)
{
	struct nm_pools *p = plan;
	uint64_t ifs, rings, memory = align_down(wish->memsize), n;

	*p = *wish;
	p->if_objs = p->if_objs ?: defaults.if_objs;
	p->if_objsize = p->if_objsize ?: defaults.if_objsize;
	p->ring_objs = p->ring_objs ?: defaults.ring_objs;
	p->ring_objsize = p->ring_objsize ?: defaults.ring_objsize;
	p->buf_objs = p->buf_objs ?: defaults.buf_objs;
	p->buf_objsize = p->buf_objsize ?: defaults.buf_objsize;
	if (sum(p) > wish->memsize)
		return error_set(error, -EINVAL,
				 "option EXTMEM: the pools need %llu bytes, "
				 "and nr_memsize is %llu",
				 (unsigned long long)sum(p),
				 (unsigned long long)wish->memsize);
	if (p->buf_objsize > GLEN_BUF_MAX)
		return error_set(
			error, -EINVAL,
			"option EXTMEM: buffers of %u bytes; they have "
			"at most %u",
			p->buf_objsize, GLEN_BUF_MAX);
	p->buf_objsize = (p->buf_objsize + 63) & ~63U;
	n = memory / IFS_SHARE / NMW_RINGS_OFF;
	n = n < p->if_objs ? n : p->if_objs;
	n = n < REGION_MEMBERS_MAX ? n : REGION_MEMBERS_MAX;
	ifs = (n ? n : 1) * NMW_RINGS_OFF;
	rings = (uint64_t)p->ring_objs * p->ring_objsize;
	p->windows = align_down(ifs + rings + LAYOUT_PAGE - 1);
	if (p->windows > REGION_WINDOWS)
		p->windows = REGION_WINDOWS;
	n = p->windows + LAYOUT_PAGE < memory ?
		    (memory - p->windows - LAYOUT_PAGE) / p->buf_objsize :
		    0;
	n = n < p->buf_objs ? n : p->buf_objs;
	if (n > REGION_SIZE_MAX / p->buf_objsize)
		n = REGION_SIZE_MAX / p->buf_objsize;
	if (n <= REGION_RESERVED)
		return error_set(error, -EINVAL,
				 "option EXTMEM: %llu bytes are too few; "
				 "windows of ports alone take %llu",
				 (unsigned long long)wish->memsize,
				 (unsigned long long)p->windows);
	p->buf_objs = (uint32_t)n;
	p->memsize = p->windows + layout_bufs_size(p->buf_objs, p->buf_objsize);
	return 0;
}

static bool same(const struct nm_mem *mem, const struct nm_pools *p)
{
	return mem->pools.windows == p->windows && mem->n_bufs == p->buf_objs &&
	       mem->buf_size == p->buf_objsize;
}

int nm_external_get(struct nm *nm, uid_t uid, const struct nm_pools *wish,
		    struct nm_mem **mem, struct glen_error *error)
{
	struct nm_pools plan;
	int err = nm_external_plan(wish, &plan, error);
	struct nm_mem *m;

	if (err)
		return err;
	if (wish->mem_id > NM_MEM_GLOBAL &&
	    !nm_mem_find(nm, uid, wish->mem_id, &m, error)) {
		if (same(m, &plan)) {
			*mem = m;
			return 0;
		}
		nm_mem_put(nm, m);
		return error_set(error, -EBUSY,
				 "option EXTMEM: region %u has this memory, "
				 "and other pools",
				 wish->mem_id);
	}
	err = nm_mem_make(nm, uid, mem, error);
	if (err)
		return err;
	(*mem)->buf_size = plan.buf_objsize;
	(*mem)->n_bufs = plan.buf_objs;
	(*mem)->pools = plan;
	return 0;
}

/* Enters the region, or makes it, as a member without a window. */
static int keep(struct nm *nm, struct nm_open *o, struct glen_error *error)
{
	const struct nm_mem *mem = o->mem;
	struct engine *e = nm->control->engine;
	const struct region_wish wish = {
		.name = mem->region,
		.buf_size = mem->buf_size,
		.n_bufs = mem->n_bufs,
		.windows = mem->pools.windows,
	};
	struct region *r = region_find(e, mem->region);

	o->keep = (struct region_member){ .name = "extmem" };
	return r ? region_enter(r, &o->keep, error) :
		   region_join(e, &wish, &o->keep, error);
}

int nm_external_make(struct nm *nm, struct nm_call *call,
		     struct glen_error *error)
{
	static const char *const keys[] = { "extmem", NULL };
	struct nm_open *o;
	struct nm_req req;
	bool fresh;
	int err = nm_req_read(call, keys, &req, error);

	err = err ?: nm_open_of(nm, call, &o, error);
	if (!err && !req.extmem)
		err = error_set(error, -EINVAL, "extmem must say what for");
	if (!err && o->port)
		err = error_set(error, -EBUSY,
				"this descriptor is bound to port %s already",
				o->port->name);
	if (err)
		return err;
	nm_external_drop(o);
	err = nm_external_get(nm, req.uid, &req.pools, &o->mem, error);
	if (err)
		return err;
	fresh = !region_find(nm->control->engine, o->mem->region);
	err = keep(nm, o, error);
	if (err) {
		nm_external_drop(o);
		/* Netmap's word for "no room in the region". */
		return err == -ENOSPC ? -ENOMEM : err;
	}
	call->result = json_pack("{si sI sI sb}", "mem_id", (int)o->mem->id,
				 "memsize", (json_int_t)nm_mem_size(o->mem),
				 "windows", (json_int_t)nm_mem_windows(o->mem),
				 "fresh", fresh);
	call->out[0] = o->keep.region->bufs_fd;
	call->n_out = 1;
	return 0;
}

void nm_external_drop(struct nm_open *o)
{
	region_leave(&o->keep);
	nm_mem_put(o->nm, o->mem);
	o->mem = NULL;
}
