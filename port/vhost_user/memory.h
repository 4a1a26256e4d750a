/* SPDX-License-Identifier: BSD-2-Clause */
/* memory.h - mappings of a guest's memory and of other files of a peer's. */
#ifndef PORT_VHOST_USER_MEMORY_H
#define PORT_VHOST_USER_MEMORY_H
/*
 * Theory of operation
 *
 * A front end sends descriptors of files and says which piece of which file is
 * at which guest-physical address. Only files that live in memory are taken
 * (memfd, tmpfs, hugetlbfs): any other file system, FUSE above all, could let a
 * load wait for ever. A mapping has VHOST_SPARE readable bytes behind it and is
 * watched for SIGBUS; its descriptor is not kept.
 *
 *   [ mapping of the file ............................ ][ spare ]
 *       ^ base, size bytes (offset may lie within a page)
 *
 * struct vhost_memory is the control thread's view; what workers see is the
 * immutable struct vhost_mem made from it. A change makes a new struct
 * vhost_memory that shares the mappings that stay, has the virtqueues use it,
 * and then drops what is not in it any more:
 *
 *   vhost_memory_copy(&next, &old); _add(&next, ...); _publishable(&next);
 *   ... virtqueues change over, rcu_wait() ...
 *   vhost_memory_fini(&old);       maps that next shares stay
 *
 * QEMU up to 8 tells of each change once per queue pair: all of them add the
 * same region, all of them remove it, one after the other. So a region that is
 * added again as it is there is only counted; the first removal removes it, and
 * as many more as it was added are owed: they find nothing and are no error.
 *
 * Limits: VHOST_REGIONS_MAX regions, VHOST_BYTES_MAX bytes in all.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "port/vhost_user/message.h"
#include "port/vhost_user/vhost_user.h"

#define VHOST_BYTES_MAX (1ULL << 44)

struct sigbus_watch;

/* A piece of a file, mapped. */
struct vhost_map {
	uint8_t *base; /* the first byte asked for */
	uint64_t size; /* bytes asked for */
	void *start;   /* of the mapping */
	uint64_t len;  /* of it, without the spare */
	struct sigbus_watch *watch;
	uint64_t dev, ino, offset, file_size;
	uint64_t page;	  /* bytes; more than 4096 if huge */
	const char *kind; /* "memfd", "tmpfs" or "hugetlbfs" */
	int seals;
	unsigned users; /* of regions: struct vhost_memory that have it */
};

/* Who is told of a fault. */
struct vhost_faults {
	_Atomic bool *hit;
	int fd; /* an eventfd, borrowed */
};

/*
 * Maps size bytes at offset of the file. -EINVAL, -ENOMEM with a sentence that
 * begins with what (as "the dirty log").
 */
int vhost_map(struct vhost_map *map, const char *what, int fd, uint64_t offset,
	      uint64_t size, const struct vhost_faults *faults,
	      struct glen_error *error);
/* All zero is fine. */
void vhost_unmap(struct vhost_map *map);

/* A region and its mapping. */
struct vhost_piece {
	struct vhost_region region;
	struct vhost_map *map;
	unsigned added; /* how often */
};

/* A region that is gone and will be removed so many times more. */
struct vhost_owed {
	uint64_t gpa, size, uva;
	unsigned times;
};

struct vhost_memory {
	unsigned n, n_owed;
	struct vhost_piece piece[VHOST_REGIONS_MAX]; /* ascending gpa */
	struct vhost_owed owed[VHOST_REGIONS_MAX];
	struct vhost_mem *mem; /* made by vhost_memory_seal() */
};

/* The same regions, in an empty struct; mem is not copied. */
void vhost_memory_copy(struct vhost_memory *to, struct vhost_memory *from);
/* Adds a region; -EINVAL, -ENOSPC, -ENOMEM with a sentence. */
int vhost_memory_add(struct vhost_memory *m, const struct vhost_wire_region *r,
		     int fd, const struct vhost_faults *faults,
		     struct glen_error *error);
/* True if the region is there already, of the same file; then it is counted. */
bool vhost_memory_again(struct vhost_memory *m,
			const struct vhost_wire_region *r, int fd);
/* Removes the region with this gpa, size and uva; -ENOENT with a sentence. */
int vhost_memory_remove(struct vhost_memory *m,
			const struct vhost_wire_region *r,
			struct glen_error *error);
/* Makes m->mem, NULL if there are no regions. -ENOMEM. */
int vhost_memory_seal(struct vhost_memory *m);
/* Frees m->mem and the mappings that nobody else has. */
void vhost_memory_fini(struct vhost_memory *m);

/*
 * Where the len bytes at the front end's address uva are mapped; NULL: not all
 * in one region, or not a multiple of align. *gpa, if not NULL, is where the
 * guest sees them.
 */
void *vhost_memory_uva(const struct vhost_memory *m, uint64_t uva, uint64_t len,
		       uint64_t align, uint64_t *gpa);
/* The last guest-physical address; there is at least one region. */
uint64_t vhost_memory_last(const struct vhost_memory *m);

/* True if fd is an eventfd; never asks a file system. */
bool vhost_is_eventfd(int fd);

#endif
