// SPDX-License-Identifier: BSD-2-Clause
// memory.c - windows and buffers, and what programs map of their regions.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/preload.h"

/*
 * A region is the address space of netmap's one mapping: windows of ports in
 * front, holes between them, buffers behind all windows. The library maps each
 * window and the buffers once for itself. What the program maps are copies of
 * those mappings (mremap() of no bytes of a shared mapping makes one), so that
 * no descriptor needs to be kept: the program may close all that it has.
 *
 * A port that joins a region later must appear in mappings that are there
 * already, for programs map a region once. So all of them are remembered.
 */

enum {
	HUGE = 2 << 20,
};

/* A mapping of the program's. */
struct map {
	struct map *next;
	char *addr;
	size_t len;
	uint64_t off; /* in the region */
	int prot;
};

struct region {
	struct region *next;
	uint64_t ino; /* of the buffers' memfd */
	char *bufs;
	size_t bufs_size;
	uint64_t bufs_off;	/* in the region */
	uint16_t mem_id;	/* which it has, or had */
	struct window *windows; /* the newest first */
	struct map *maps;
};

static unsigned n_maps; /* of all regions */
static struct region *regions;

static void *map_fd(int fd, size_t size, uint64_t *ino, int *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) || (uint64_t)st.st_size < size || !size) {
		*err = -EPROTO;
		return NULL;
	}
	*ino = st.st_ino;
	p = (void *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0L);
	if (p == MAP_FAILED) {
		*err = -errno;
		return NULL;
	}
	return p;
}

static void unmap(void *p, size_t size)
{
	syscall(SYS_munmap, p, size);
}

/*
 * Shows what lies at src, and at start in the region, in one of the program's
 * mappings, as far as that reaches.
 */
static int show(const struct map *m, char *src, uint64_t start, size_t size)
{
	uint64_t from = start > m->off ? start : m->off;
	uint64_t end = start + size < m->off + m->len ? start + size :
							m->off + m->len;
	char *at = m->addr + (from - m->off);
	void *p;

	if (from >= end)
		return 0;
	p = (void *)syscall(SYS_mremap, src + (from - start), 0L, end - from,
			    MREMAP_MAYMOVE | MREMAP_FIXED, at);
	if (p == MAP_FAILED)
		return -errno;
	if (m->prot != (PROT_READ | PROT_WRITE) &&
	    mprotect(at, end - from, m->prot))
		return -errno;
	return 0;
}

/* The pages of CSB lines are for the library alone: a hole for programs. */
static int show_window(const struct map *m, const struct window *w)
{
	return show(m, w->base + NMW_NIFP_OFF, w->place + NMW_NIFP_OFF,
		    w->size - NMW_NIFP_OFF);
}

static struct region *region_get(const struct window_spec *spec, int *err)
{
	size_t size = spec->bufs_size;
	struct region *r;
	uint64_t ino;
	char *bufs = map_fd(spec->bufs_fd, size, &ino, err);

	if (!bufs)
		return NULL;
	for (r = regions; r; r = r->next) {
		if (r->ino == ino) {
			unmap(bufs, size);
			return r;
		}
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		unmap(bufs, size);
		*err = -ENOMEM;
		return NULL;
	}
	/* A kernel without huge pages for memfds refuses; no harm done. */
	madvise(bufs, size & ~(HUGE - 1UL), MADV_HUGEPAGE);
	r->ino = ino;
	r->bufs = bufs;
	r->bufs_size = size;
	r->bufs_off = spec->windows;
	r->mem_id = spec->mem_id;
	r->next = regions;
	regions = r;
	return r;
}

/* Gives a region back that nothing refers to any more. */
static void region_check(struct region *r)
{
	struct region **p = &regions;

	if (r->windows || r->maps)
		return;
	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	unmap(r->bufs, r->bufs_size);
	free(r);
}

static struct window *window_new(struct region *r,
				 const struct window_spec *spec, int *err)
{
	size_t size = spec->window_size;
	struct window *w;
	uint64_t ino;
	char *base = map_fd(spec->window_fd, size, &ino, err);

	if (!base)
		return NULL;
	for (w = r->windows; w; w = w->next) {
		if (w->ino == ino) {
			unmap(base, size);
			w->refs++;
			return w;
		}
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		unmap(base, size);
		*err = -ENOMEM;
		return NULL;
	}
	/* What glend says must be what glend said. */
	if (!spec->pipe)
		mprotect(base + NMW_KTOA_OFF, NMW_PAGE, PROT_READ);
	w->ino = ino;
	w->base = base;
	w->size = size;
	w->place = spec->place;
	w->region = r;
	w->refs = 1;
	w->next = r->windows;
	r->windows = w;
	return w;
}

struct window *window_get(const struct window_spec *spec, char **bufs, int *err)
{
	struct region *r;
	struct window *w;

	if (spec->window_size < NMW_RINGS_OFF ||
	    spec->window_size > NMW_WINDOW_MAX || spec->place > spec->windows ||
	    spec->place % NMW_PAGE || spec->windows % NMW_PAGE ||
	    spec->window_size > spec->windows - spec->place) {
		*err = -EPROTO;
		return NULL;
	}
	r = region_get(spec, err);
	if (!r)
		return NULL;
	w = window_new(r, spec, err);
	if (!w) {
		region_check(r);
		return NULL;
	}
	*bufs = r->bufs;
	for (struct map *m = r->maps; m; m = m->next) {
		*err = show_window(m, w);
		if (*err) {
			window_put(w);
			return NULL;
		}
	}
	return w;
}

void window_put(struct window *w)
{
	struct region *r = w->region;
	struct window **p = &r->windows;

	if (--w->refs)
		return;
	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	unmap(w->base, w->size);
	free(w);
	region_check(r);
}

/*
 * Reserves addresses for a mapping; what nothing is shown in later reads as
 * zeros. Buffers begin where a huge page may.
 */
static char *reserve(void *addr, size_t len, int prot, int flags, uint64_t off)
{
	const int keep = MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT;
	size_t room = addr || flags & keep ? len : len + HUGE, before;
	char *p;

	p = (char *)syscall(SYS_mmap, addr, room, prot & PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				    (flags & keep),
			    -1, 0L);
	if (p == MAP_FAILED || room == len)
		return p;
	before = (off - (uintptr_t)p) & (HUGE - 1);
	if (before)
		unmap(p, before);
	if (before < HUGE)
		unmap(p + before + len, HUGE - before);
	return p + before;
}

static int show_all(const struct region *r, const struct map *m)
{
	const struct window *list[NMW_WINDOWS / NMW_WINDOW_MAX];
	unsigned n = 0;
	int err = 0;

	/* The newest last: it may have the place of one that is gone. */
	for (const struct window *w = r->windows; w; w = w->next)
		if (n < sizeof(list) / sizeof(list[0]))
			list[n++] = w;
	while (n && !err)
		err = show_window(m, list[--n]);
	if (!err)
		err = show(m, r->bufs, r->bufs_off, r->bufs_size);
	return err;
}

static void *fail(int err)
{
	errno = -err;
	return MAP_FAILED;
}

/* With the lock: shows the region in addresses that are reserved for it. */
static int enter_map(struct region *r, struct map *m)
{
	int err;

	/* A fixed address may be one that was another mapping's. */
	region_unmapped_locked(m->addr, m->len);
	err = show_all(r, m);
	if (err)
		return err;
	m->next = r->maps;
	r->maps = m;
	__atomic_fetch_add(&n_maps, 1, __ATOMIC_RELAXED);
	return 0;
}

void *region_mmap(struct device *d, void *addr, size_t len, int prot, int flags,
		  off_t off)
{
	struct lock_state state;
	struct map *m;
	int err;

	len = (len + NMW_PAGE - 1) & ~(NMW_PAGE - 1UL);
	if (!d->window || !len || off < 0 || off % NMW_PAGE ||
	    (uint64_t)off > d->memsize || len > d->memsize - (uint64_t)off)
		return fail(-EINVAL);
	m = calloc(1, sizeof(*m));
	if (!m)
		return fail(-ENOMEM);
	tables_lock(&state);
	m->addr = reserve(addr, len, prot, flags, (uint64_t)off);
	if (m->addr == MAP_FAILED) {
		err = -errno;
		tables_unlock(&state);
		free(m);
		return fail(err);
	}
	m->len = len;
	m->off = (uint64_t)off;
	m->prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	addr = m->addr;
	err = enter_map(d->window->region, m);
	if (err)
		unmap(m->addr, len);
	tables_unlock(&state);
	if (!err)
		return addr;
	free(m);
	return fail(err);
}

bool region_at(const void *addr, size_t len, uint16_t *mem_id)
{
	const char *from = addr;

	*mem_id = 0;
	for (const struct region *r = regions; r; r = r->next) {
		for (const struct map *m = r->maps; m; m = m->next) {
			if (from >= m->addr + m->len || m->addr >= from + len ||
			    !region_has_device(r))
				continue;
			if (m->addr != from || m->off)
				return true;
			*mem_id = r->mem_id;
		}
	}
	return false;
}

/* Ordinary memory, in the place of what is there, which begins with keep. */
static int renew(char *addr, size_t len, const char *keep, size_t n)
{
	if ((void *)syscall(SYS_mmap, addr, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				    MAP_FIXED,
			    -1, 0L) == MAP_FAILED)
		return -errno;
	memcpy(addr, keep, n);
	return 0;
}

int region_place(struct device *d, void *addr)
{
	struct region *r = d->window->region;
	size_t head = r->bufs_off;
	struct map *m;
	char *keep;
	int err;

	for (m = r->maps; m; m = m->next)
		if (m->addr == addr && m->len == d->memsize && !m->off)
			return 0;
	m = calloc(1, sizeof(*m));
	keep = malloc(head);
	if (!m || !keep) {
		free(m);
		free(keep);
		return -ENOMEM;
	}
	memcpy(keep, addr, head);
	m->addr = addr;
	m->len = d->memsize;
	m->prot = PROT_READ | PROT_WRITE;
	/* Holes are memory as well: the program may use them one day. */
	err = renew(addr, m->len, keep, head);
	if (!err) {
		err = enter_map(r, m);
		/* Then the program has what it had: buffers have it, too. */
		if (err && !renew(addr, m->len, keep, head))
			memcpy((char *)addr + head, r->bufs, r->bufs_size);
	}
	if (err)
		free(m);
	free(keep);
	return err;
}

/* Takes [addr, end) out of a map; true if nothing of it is left. */
static bool cut(struct map *m, char *addr, char *end)
{
	char *m_end = m->addr + m->len;

	if (addr >= m_end || end <= m->addr)
		return false;
	if (addr > m->addr && end < m_end) {
		/* In the middle: what is behind becomes a map of its own. */
		struct map *rest = malloc(sizeof(*rest));

		if (rest) {
			*rest = *m;
			rest->off += (uint64_t)(end - m->addr);
			rest->len = (size_t)(m_end - end);
			rest->addr = end;
			m->next = rest;
			__atomic_fetch_add(&n_maps, 1, __ATOMIC_RELAXED);
		}
		m->len = (size_t)(addr - m->addr);
	} else if (addr > m->addr) {
		m->len = (size_t)(addr - m->addr);
	} else if (end < m_end) {
		m->off += (uint64_t)(end - m->addr);
		m->len = (size_t)(m_end - end);
		m->addr = end;
	} else {
		return true;
	}
	return false;
}

void region_unmapped_locked(void *addr, size_t len)
{
	char *end = (char *)addr + ((len + NMW_PAGE - 1) & ~(NMW_PAGE - 1UL));

	for (struct region *r = regions, *next; r; r = next) {
		struct map **p = &r->maps, *m;

		next = r->next;
		while ((m = *p)) {
			if (!cut(m, addr, end)) {
				p = &m->next;
				continue;
			}
			*p = m->next;
			free(m);
			__atomic_fetch_sub(&n_maps, 1, __ATOMIC_RELAXED);
		}
		region_check(r);
	}
}

static void region_unmapped(void *addr, size_t len)
{
	struct lock_state state;
	int saved = errno;

	/* An allocator's own, from our free(). */
	if (tables_held())
		return;
	tables_lock(&state);
	region_unmapped_locked(addr, len);
	tables_unlock(&state);
	errno = saved;
}

/* mmap() of anything else: it may be put where a region was. */
static void *other(void *p, size_t len, int flags)
{
	if (p != MAP_FAILED && flags & MAP_FIXED &&
	    unlikely(__atomic_load_n(&n_maps, __ATOMIC_RELAXED)))
		region_unmapped(p, len);
	return p;
}

/* The device that a mapping is asked of, if it is one. */
static struct device *device_for_mmap(int fd, int flags)
{
	struct device *d;

	if (fd < 0 || flags & MAP_ANONYMOUS)
		return NULL;
	d = fd_device(fd);
	/* Stale: the C library closed it where we do not see it. */
	return d && fd_is_device(fd, d) ? d : NULL;
}

static void *map_device(struct device *d, int fd, void *addr, size_t len,
			int prot, int flags, off_t off)
{
	if (!device_bound(d, fd))
		return fail(-EINVAL);
	return region_mmap(d, addr, len, prot, flags, off);
}

static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd,
		     off_t off)
{
	struct device *d = device_for_mmap(fd, flags);
	void *p;

	if (unlikely(d != NULL))
		return map_device(d, fd, addr, len, prot, flags, off);
	/* By number: allocators map before there is anything to look up. */
	p = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, off);
	/* Sockets cannot be mapped; ours that we do not know yet can. */
	if (unlikely(p == MAP_FAILED && errno == ENODEV) && fd >= 0 &&
	    (d = device_adopt(fd)))
		return map_device(d, fd, addr, len, prot, flags, off);
	return other(p, len, flags);
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t off)
{
	return do_mmap(addr, len, prot, flags, fd, off);
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off64_t off)
{
	return do_mmap(addr, len, prot, flags, fd, off);
}

EXPORT int munmap(void *addr, size_t len)
{
	int err = (int)syscall(SYS_munmap, addr, len);

	if (!err && unlikely(__atomic_load_n(&n_maps, __ATOMIC_RELAXED)))
		region_unmapped(addr, len);
	return err;
}
