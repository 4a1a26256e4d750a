// SPDX-License-Identifier: BSD-2-Clause
// memory.c - maps a guest's memory, and finds addresses in it.
#include "port/vhost_user/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/vhost_user/sigbus.h"

enum { PAGE = 4096 };

/* What is behind a descriptor, as text; "" if /proc does not say. */
static void fd_target(int fd, char *text, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
}

bool vhost_is_eventfd(int fd)
{
	char text[32];

	fd_target(fd, text, sizeof(text));
	return !strcmp(text, "anon_inode:[eventfd]");
}

/* Fills kind, seals, page, dev, ino, file_size of map. */
static int file_check(struct vhost_map *map, const char *what, int fd,
		      struct glen_error *error)
{
	char target[32];
	struct statfs fs;
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	/* The kernel answers this itself, and only for files in memory; to ask
	 * the file system of any other file might take for ever. */
	map->seals = fcntl(fd, F_GET_SEALS);
	if (map->seals < 0 || fstat(fd, &st) || fstatfs(fd, &fs) ||
	    !S_ISREG(st.st_mode) ||
	    (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC))
		return error_set(error, -EINVAL,
				 "%s is not in a memfd or in a file of tmpfs "
				 "or hugetlbfs",
				 what);
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR)
		return error_set(error, -EINVAL,
				 "%s came with a descriptor that is not open "
				 "for reading and writing",
				 what);
	fd_target(fd, target, sizeof(target));
	map->kind = !strncmp(target, "/memfd:", 7) ? "memfd" :
		    fs.f_type == HUGETLBFS_MAGIC   ? "hugetlbfs" :
						     "tmpfs";
	map->page = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : PAGE;
	map->dev = st.st_dev;
	map->ino = st.st_ino;
	map->file_size = st.st_size;
	return 0;
}

/*
 * Maps len bytes of the file, whole pages of its kind, with readable bytes
 * behind. The place is reserved first, so nothing else can come to lie there.
 */
static void *map_file(int fd, uint64_t page, uint64_t offset, uint64_t len)
{
	int anon = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint64_t room = len + page + VHOST_SPARE;
	uint8_t *place = mmap(NULL, room, PROT_READ, anon, -1, 0);
	uint8_t *start;
	uint64_t before, behind;

	if (place == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)place & (page - 1);
	start = place + before;
	behind = room - before - len - VHOST_SPARE;
	if (before)
		munmap(place, before);
	if (behind)
		munmap(start + len + VHOST_SPARE, behind);
	if (mmap(start, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
		 offset) == MAP_FAILED) {
		int err = errno;

		munmap(start, len + VHOST_SPARE);
		errno = err;
		return NULL;
	}
	madvise(start, len, MADV_DONTDUMP);
	madvise(start, len, MADV_HUGEPAGE);
	return start;
}

int vhost_map(struct vhost_map *map, const char *what, int fd, uint64_t offset,
	      uint64_t size, const struct vhost_faults *faults,
	      struct glen_error *error)
{
	uint64_t head;
	int err;

	memset(map, 0, sizeof(*map));
	err = file_check(map, what, fd, error);
	if (err)
		return err;
	if (!size || size > VHOST_BYTES_MAX)
		return error_set(error, -EINVAL, "%s has a size of %llu bytes",
				 what, (unsigned long long)size);
	if (offset > map->file_size || size > map->file_size - offset)
		return error_set(error, -EINVAL,
				 "%s reaches behind the end of its file", what);
	head = offset & (map->page - 1);
	map->offset = offset;
	map->size = size;
	map->len = (head + size + map->page - 1) & ~(map->page - 1);
	map->start = map_file(fd, map->page, offset - head, map->len);
	if (!map->start)
		return error_set(error, -errno, "%s cannot be mapped: %s", what,
				 strerror(errno));
	map->base = (uint8_t *)map->start + head;
	map->watch = sigbus_add(map->start, map->len, faults->hit, faults->fd);
	if (!map->watch) {
		vhost_unmap(map);
		return error_set(error, -ENOMEM, "out of memory");
	}
	return 0;
}

void vhost_unmap(struct vhost_map *map)
{
	if (!map->start)
		return;
	sigbus_del(map->watch);
	munmap(map->start, map->len + VHOST_SPARE);
	memset(map, 0, sizeof(*map));
}

void vhost_memory_copy(struct vhost_memory *to, struct vhost_memory *from)
{
	to->n = from->n;
	to->n_owed = from->n_owed;
	to->mem = NULL;
	memcpy(to->piece, from->piece, from->n * sizeof(from->piece[0]));
	memcpy(to->owed, from->owed, from->n_owed * sizeof(from->owed[0]));
	for (unsigned i = 0; i < to->n; i++)
		to->piece[i].map->users++;
}

static void map_put(struct vhost_map *map)
{
	if (--map->users)
		return;
	vhost_unmap(map);
	free(map);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b ? b - a < a_size : a - b < b_size;
}

/* What can be said of a region without its file. */
static int region_check(const struct vhost_memory *m,
			const struct vhost_wire_region *r,
			struct glen_error *error)
{
	uint64_t sum = r->size;

	if (m->n == VHOST_REGIONS_MAX)
		return error_set(error, -ENOSPC,
				 "there are more than %d memory regions",
				 VHOST_REGIONS_MAX);
	if (!r->size || r->gpa + (r->size - 1) < r->gpa ||
	    r->uva + (r->size - 1) < r->uva ||
	    r->offset + (r->size - 1) < r->offset)
		return error_set(error, -EINVAL,
				 "a memory region has no size, or wraps around "
				 "the end of the address space");
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *o = &m->piece[i].region;

		sum += o->size;
		if (overlap(r->gpa, r->size, o->gpa, o->size) ||
		    overlap(r->uva, r->size, o->uva, o->size))
			return error_set(error, -EINVAL,
					 "memory regions overlap");
	}
	if (sum > VHOST_BYTES_MAX || r->size > VHOST_BYTES_MAX)
		return error_set(error, -ENOSPC,
				 "there are more than %llu bytes of memory",
				 VHOST_BYTES_MAX);
	return 0;
}

bool vhost_memory_again(struct vhost_memory *m,
			const struct vhost_wire_region *r, int fd)
{
	struct stat st;

	/* As in file_check(): no other file system is to be asked. */
	if (fcntl(fd, F_GET_SEALS) < 0 || fstat(fd, &st))
		return false;
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *o = &m->piece[i].region;
		const struct vhost_map *map = m->piece[i].map;

		if (o->gpa != r->gpa || o->size != r->size ||
		    o->uva != r->uva || map->offset != r->offset ||
		    map->dev != st.st_dev || map->ino != st.st_ino)
			continue;
		if (m->piece[i].added == VHOST_PAIRS_MAX)
			return false;
		m->piece[i].added++;
		return true;
	}
	return false;
}

int vhost_memory_add(struct vhost_memory *m, const struct vhost_wire_region *r,
		     int fd, const struct vhost_faults *faults,
		     struct glen_error *error)
{
	struct vhost_map *map;
	unsigned at = m->n;
	int err = region_check(m, r, error);

	if (err)
		return err;
	map = calloc(1, sizeof(*map));
	if (!map)
		return error_set(error, -ENOMEM, "out of memory");
	err = vhost_map(map, "a memory region", fd, r->offset, r->size, faults,
			error);
	if (err) {
		free(map);
		return err;
	}
	map->users = 1;
	for (; at && m->piece[at - 1].region.gpa > r->gpa; at--)
		m->piece[at] = m->piece[at - 1];
	m->piece[at] = (struct vhost_piece){
		{ r->gpa, r->size, r->uva, map->base },
		map,
		1,
	};
	m->n++;
	return 0;
}

/* True if it was a removal that had to come and changes nothing. */
static bool was_owed(struct vhost_memory *m, const struct vhost_wire_region *r)
{
	for (unsigned i = 0; i < m->n_owed; i++) {
		struct vhost_owed *o = &m->owed[i];

		if (o->gpa != r->gpa || o->size != r->size || o->uva != r->uva)
			continue;
		if (!--o->times)
			*o = m->owed[--m->n_owed];
		return true;
	}
	return false;
}

int vhost_memory_remove(struct vhost_memory *m,
			const struct vhost_wire_region *r,
			struct glen_error *error)
{
	if (was_owed(m, r))
		return 0;
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *o = &m->piece[i].region;
		unsigned more = m->piece[i].added - 1;

		if (o->gpa != r->gpa || o->size != r->size || o->uva != r->uva)
			continue;
		if (more && m->n_owed == VHOST_REGIONS_MAX)
			return error_set(error, -ENOSPC,
					 "memory regions were added more often "
					 "than removed");
		if (more)
			m->owed[m->n_owed++] = (struct vhost_owed){
				r->gpa,
				r->size,
				r->uva,
				more,
			};
		map_put(m->piece[i].map);
		m->n--;
		memmove(&m->piece[i], &m->piece[i + 1],
			(m->n - i) * sizeof(m->piece[0]));
		return 0;
	}
	return error_set(error, -ENOENT,
			 "a memory region is to be removed that is not there");
}

int vhost_memory_seal(struct vhost_memory *m)
{
	if (!m->n)
		return 0;
	m->mem = malloc(sizeof(*m->mem) + m->n * sizeof(m->mem->region[0]));
	if (!m->mem)
		return -ENOMEM;
	m->mem->n = m->n;
	for (unsigned i = 0; i < m->n; i++)
		m->mem->region[i] = m->piece[i].region;
	return 0;
}

void vhost_memory_fini(struct vhost_memory *m)
{
	for (unsigned i = 0; i < m->n; i++)
		map_put(m->piece[i].map);
	free(m->mem);
	m->n = m->n_owed = 0;
	m->mem = NULL;
}

void *vhost_memory_uva(const struct vhost_memory *m, uint64_t uva, uint64_t len,
		       uint64_t align, uint64_t *gpa)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_region *r = &m->piece[i].region;
		uint64_t off = uva - r->uva;

		if (off >= r->size || len > r->size - off)
			continue;
		if (((uintptr_t)r->base + off) & (align - 1))
			return NULL;
		if (gpa)
			*gpa = r->gpa + off;
		return r->base + off;
	}
	return NULL;
}

uint64_t vhost_memory_last(const struct vhost_memory *m)
{
	const struct vhost_region *last = &m->piece[m->n - 1].region;

	return last->gpa + (last->size - 1);
}

uint8_t *vhost_search(const struct vhost_mem *mem, uint32_t *hint, uint64_t gpa,
		      uint64_t len)
{
	uint32_t low = 0, high = mem->n;
	uint64_t off;

	/* The last region that begins at or below gpa is mem->region[low]. */
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (mem->region[mid].gpa <= gpa)
			low = mid;
		else
			high = mid;
	}
	off = gpa - mem->region[low].gpa;
	*hint = low;
	if (off >= mem->region[low].size || len > mem->region[low].size - off)
		return NULL;
	return mem->region[low].base + off;
}
