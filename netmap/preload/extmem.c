// SPDX-License-Identifier: BSD-2-Clause
// extmem.c - option EXTMEM: a region in memory that the program has already.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/preload.h"

/*
 * Netmap takes the program's pages; glend cannot. So its own take their place,
 * at the same addresses and with the same contents, but for what rings are
 * written over. What else the pages were (a file, huge pages, memory of another
 * process) they are not any more.
 *
 * A mapping of huge pages cannot be replaced in part. What the region does not
 * need of it becomes ordinary memory with the same contents.
 */

enum {
	HUGE_PAGE = 2 << 20,
	CHUNK = 4 * NMW_PAGE,
};

/* Is all of it mapped, to be read and written? */
static bool is_memory(uintptr_t at, uintptr_t end)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], mode[5];
	bool newline = true;

	while (f && at < end && fgets(line, sizeof(line), f)) {
		bool begins = newline;

		newline = strchr(line, '\n');
		if (!begins ||
		    sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 ||
		    to <= at)
			continue;
		if (from > at || mode[0] != 'r' || mode[1] != 'w')
			break;
		at = to;
	}
	if (f)
		fclose(f);
	return at >= end;
}

/* Is there something behind each page? A file may be shorter. */
static bool is_backed(uintptr_t at, uintptr_t end)
{
	char byte;

	for (; at < end; at += NMW_PAGE)
		if (copy_in(&byte, at, 1))
			return false;
	return true;
}

static uintptr_t end_of_memory(const struct nmreq_opt_extmem *o)
{
	return (o->nro_usrptr + o->nro_info.nr_memsize) &
	       ~(uintptr_t)(NMW_PAGE - 1);
}

int extmem_check(const struct nmreq_opt_extmem *o, uint16_t *mem_id)
{
	uintptr_t at = o->nro_usrptr, end;
	struct lock_state state;
	bool other;

	if (!at || at % NMW_PAGE ||
	    __builtin_add_overflow(at, o->nro_info.nr_memsize, &end) ||
	    end_of_memory(o) <= at) {
		say("option EXTMEM: %#lx and %llu bytes are no whole pages",
		    (unsigned long)at,
		    (unsigned long long)o->nro_info.nr_memsize);
		return -EINVAL;
	}
	end = end_of_memory(o);
	if (!is_memory(at, end) || !is_backed(at, end)) {
		say("option EXTMEM: not all of %#lx..%#lx is memory that can "
		    "be written",
		    (unsigned long)at, (unsigned long)end);
		return -EFAULT;
	}
	tables_lock(&state);
	other = region_at((void *)at, end - at, mem_id);
	tables_unlock(&state);
	if (!other)
		return 0;
	say("option EXTMEM: some of %#lx..%#lx is another region",
	    (unsigned long)at, (unsigned long)end);
	return -EBUSY;
}

int extmem_keep(const struct nmreq_opt_extmem *o, int bufs_fd, uint64_t size,
		uint64_t windows)
{
	uintptr_t at = o->nro_usrptr, end;
	char chunk[CHUNK];

	if (windows > size || size > end_of_memory(o) - at)
		return -EPROTO;
	end = at + size;
	for (at += windows; at < end; at += sizeof(chunk)) {
		size_t n = end - at < sizeof(chunk) ? end - at : sizeof(chunk);
		off_t off = (off_t)(at - o->nro_usrptr - windows);

		if (copy_in(chunk, at, n))
			return -EFAULT;
		/* What is zero takes no memory, in a program or in glend. */
		if (!chunk[0] && !memcmp(chunk, chunk + 1, n - 1))
			continue;
		if (syscall(SYS_pwrite64, bufs_fd, chunk, n, off) != (long)n)
			return -ENOMEM;
	}
	return 0;
}

/* Makes ordinary memory of what is behind the region. */
static int free_tail(struct device *d, const struct nmreq_opt_extmem *o)
{
	size_t size = end_of_memory(o) - o->nro_usrptr;
	size_t tail = size - d->memsize;
	char *at = (char *)(uintptr_t)o->nro_usrptr;
	char *keep = malloc(tail);

	if (!keep)
		return -ENOMEM;
	memcpy(keep, at + d->memsize, tail);
	size = (size + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
	if ((void *)syscall(SYS_mmap, at, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			    0L) == MAP_FAILED) {
		free(keep);
		return -errno;
	}
	memcpy(at + d->memsize, keep, tail);
	free(keep);
	return 0;
}

int extmem_place(struct device *d, const struct nmreq_opt_extmem *o)
{
	void *at = (void *)(uintptr_t)o->nro_usrptr;
	struct lock_state state;
	int err;

	if (d->memsize > end_of_memory(o) - o->nro_usrptr)
		return -EPROTO;
	tables_lock(&state);
	err = region_place(d, at);
	if (err == -EINVAL) {
		err = free_tail(d, o);
		err = err ? err : region_place(d, at);
	}
	tables_unlock(&state);
	if (err)
		say("option EXTMEM: cannot put the region at %p: %s", at,
		    strerror(-err));
	return err;
}
