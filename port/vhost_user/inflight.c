// SPDX-License-Identifier: BSD-2-Clause
// inflight.c - memory that front ends keep for a back end that dies.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/vhost_user/session.h"

/*
 * In it a back end notes which descriptor chains it has taken and not given
 * back. We give back in the order in which we take, so the used index tells all
 * there is to tell: the region that we make says that nothing is in flight,
 * and stays like that. One that another back end has left is good if it says
 * the same; chains that it took out of order cannot be told from those that
 * it has finished by an index.
 */

enum {
	VERSION = 1,
	ALIGN = 64, /* of each virtqueue's part */
};

struct entry_split {
	uint8_t inflight;
	uint8_t unused[5];
	uint16_t next;
	uint64_t counter;
};

struct part_split {
	uint64_t features;
	uint16_t version;
	uint16_t size;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct entry_split entry[];
};

struct entry_packed {
	uint8_t inflight;
	uint8_t unused;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct part_packed {
	uint64_t features;
	uint16_t version;
	uint16_t size;
	uint16_t free_head, old_free_head;
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t unused[7];
	struct entry_packed entry[];
};

_Static_assert(sizeof(struct part_split) == 16 &&
		       sizeof(struct entry_split) == 16 &&
		       sizeof(struct part_packed) == 32 &&
		       sizeof(struct entry_packed) == 32,
	       "as in the specification");

/* Bytes for a virtqueue of that size. */
static uint64_t part_size(bool packed, unsigned size)
{
	uint64_t n = packed ? sizeof(struct part_packed) +
				      size * sizeof(struct entry_packed) :
			      sizeof(struct part_split) +
				      size * sizeof(struct entry_split);

	return (n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
}

static int check(struct vhost_port *vp, const struct vhost_wire_inflight *w)
{
	if (!w->queues || w->queues > 2 * vp->n_pairs || !w->queue_size ||
	    w->queue_size > VHOST_RING_MAX)
		return error_set(&vp->error, -EINVAL,
				 "memory for descriptors in flight was asked "
				 "for %u virtqueues of %u descriptors",
				 w->queues, w->queue_size);
	return 0;
}

int vhost_inflight_get(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_wire_inflight *w = &m->inflight;
	bool packed = vhost_has(vp, VIRTIO_F_RING_PACKED);
	int file, err = check(vp, w);

	if (err)
		return err;
	file = memfd_create("glen-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	w->offset = 0;
	w->size = w->queues * part_size(packed, w->queue_size);
	for (unsigned i = 0; file >= 0 && !err && i < w->queues; i++) {
		/* The head is the same in both kinds so far. */
		struct part_split head = { .version = VERSION,
					   .size = w->queue_size };

		if (pwrite(file, &head, sizeof(head),
			   i * part_size(packed, w->queue_size)) !=
		    sizeof(head))
			err = -ENOMEM;
	}
	if (file < 0 || err || ftruncate(file, w->size) ||
	    fcntl(file, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		err = err ?: -errno;
		if (file >= 0)
			close(file);
		return error_set(&vp->error, err,
				 "cannot make memory for descriptors in "
				 "flight: %s",
				 strerror(-err));
	}
	/* The reply may have to wait: until the next one. */
	if (vp->inflight_fd >= 0)
		close(vp->inflight_fd);
	vp->inflight_fd = file;
	return 0;
}

/* How many chains the region says to be in flight. */
static unsigned count(const struct vhost_map *map, bool packed, unsigned queues,
		      unsigned size)
{
	size_t head = packed ? sizeof(struct part_packed) :
			       sizeof(struct part_split);
	size_t entry = packed ? sizeof(struct entry_packed) :
				sizeof(struct entry_split);
	unsigned n = 0;

	for (unsigned i = 0; i < queues; i++) {
		const uint8_t *at = map->base + i * part_size(packed, size);

		at += head;
		for (unsigned k = 0; k < size; k++, at += entry)
			n += __atomic_load_n(at, __ATOMIC_RELAXED) != 0;
	}
	return n;
}

int vhost_inflight_set(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_faults faults = { &vp->memory_gone, vp->faults.fd };
	const struct vhost_wire_inflight *w = &m->inflight;
	bool packed = vhost_has(vp, VIRTIO_F_RING_PACKED);
	struct vhost_map map;
	uint64_t need;
	unsigned n;
	int err = check(vp, w);

	if (err)
		return err;
	need = w->queues * part_size(packed, w->queue_size);
	if (m->n_fds != 1 || w->size < need)
		return error_set(&vp->error, -EINVAL,
				 "memory for descriptors in flight came with "
				 "%u descriptors and %llu bytes, %llu of which "
				 "are needed",
				 m->n_fds, (unsigned long long)w->size,
				 (unsigned long long)need);
	err = vhost_map(&map, "memory for descriptors in flight", m->fds[0],
			w->offset, w->size, &faults, &vp->error);
	if (err)
		return err;
	n = count(&map, packed, w->queues, w->queue_size);
	vhost_unmap(&map);
	if (n)
		return error_set(&vp->error, -EINVAL,
				 "another back end has left %u descriptor "
				 "chains in flight; they are lost: restart the "
				 "guest's driver",
				 n);
	return 0;
}
