// SPDX-License-Identifier: BSD-2-Clause
// inflight.c - memory that front ends keep for a back end that dies.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/error.h"
#include "lib/shm.h"
#include "port/vhost_user/session.h"

/*
 * In it a back end notes which descriptor chains it has taken and not given
 * back. We give back in the order in which we take, so the used index tells all
 * there is to tell: the region that we make says that nothing is in flight,
 * and stays like that.
 *
 * What another back end has left in flight in a split virtqueue was taken out
 * of order, so that it cannot be taken again from the ring: it is given back
 * empty (length 0). That loses packets and none of the guest's buffers. Its
 * record is kept up to date meanwhile, as the specification of vhost-user has
 * it, so that dying in the middle gives nothing back twice.
 *
 * The region is the front end's memory: each word is loaded once, and of each
 * virtqueue's part no more is read than the virtqueue has descriptors.
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

void vhost_inflight_forget(struct vhost_port *vp)
{
	vhost_unmap(&vp->inflight.map);
	memset(&vp->inflight, 0, sizeof(vp->inflight));
}

int vhost_inflight_set(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_faults faults = { &vp->memory_gone, vp->faults.fd };
	const struct vhost_wire_inflight *w = &m->inflight;
	bool packed = vhost_has(vp, VIRTIO_F_RING_PACKED);
	struct vhost_map map;
	uint64_t need;
	int err = check(vp, w);

	if (err)
		return err;
	need = w->queues * part_size(packed, w->queue_size);
	if (w->offset % ALIGN)
		return error_set(&vp->error, -EINVAL,
				 "memory for descriptors in flight begins at "
				 "%llu, which is not a multiple of %d",
				 (unsigned long long)w->offset, ALIGN);
	if (m->n_fds != 1 || w->size < need)
		return error_set(&vp->error, -EINVAL,
				 "memory for descriptors in flight came with "
				 "%u descriptors and %llu bytes, %llu of which "
				 "are needed",
				 m->n_fds, (unsigned long long)w->size,
				 (unsigned long long)need);
	err = vhost_map(&map, "memory for descriptors in flight", m->fds[0],
			w->offset, need, &faults, &vp->error);
	if (err)
		return err;
	vhost_inflight_forget(vp);
	vp->inflight = (struct vhost_inflight){
		.map = map,
		.packed = packed,
		.queues = w->queues,
		.size = w->queue_size,
	};
	return 0;
}

/* A chain in flight. */
struct chain {
	uint64_t counter;
	uint16_t head;
};

static int by_counter(const void *x, const void *y)
{
	const struct chain *a = x, *b = y;

	return a->counter < b->counter ? -1 : a->counter > b->counter;
}

/* The used entry at an index, or what stands before all, is written. */
static void log_used(const struct vhost_ring *r, uint64_t off, unsigned bytes)
{
	for (unsigned i = 0; r->log && i < bytes; i += bytes - 1) {
		uint64_t page = (r->log_gpa + off + i) >> 12;

		if (r->log_gpa != UINT64_MAX && page / 8 < r->log->size)
			__atomic_fetch_or(&r->log->bits[page / 8],
					  1 << page % 8, __ATOMIC_RELEASE);
	}
}

/*
 * The last batch that the other back end gave back may still be said to be in
 * flight. False: the part is not of this ring.
 */
static bool end_batch(struct part_split *part, uint16_t used, unsigned size)
{
	uint16_t n = used - shm_load16(&part->used_idx);
	uint16_t head = shm_load16(&part->last_batch_head);

	if (n > size)
		return false;
	for (; n && head < size; n--) {
		__atomic_store_n(&part->entry[head].inflight, 0,
				 __ATOMIC_RELAXED);
		head = shm_load16(&part->entry[head].next);
	}
	/* The entries first: pairs with who maps this when we are dead. */
	shm_store_release16(&part->used_idx, used);
	return true;
}

/* Gives back one chain, empty; used is the used index before. */
static void give_back(const struct vhost_ring *r, struct part_split *part,
		      uint16_t head, uint16_t used)
{
	struct split_used_elem *e = &r->used->ring[used & r->mask];

	shm_store32(&e->id, head);
	shm_store32(&e->len, 0);
	shm_store16(&part->last_batch_head, head);
	/* pairs with the guest's acquire of the used index */
	shm_store_release16(&r->used->idx, used + 1);
	__atomic_store_n(&part->entry[head].inflight, 0, __ATOMIC_RELEASE);
	shm_store_release16(&part->used_idx, used + 1);
	log_used(r, 4 + 8 * (uint64_t)(used & r->mask), 8);
	log_used(r, 0, 4);
}

/* The chains in flight, oldest first. Returns how many. */
static unsigned collect(const struct part_split *part, unsigned size,
			struct chain *list)
{
	unsigned n = 0;

	for (unsigned i = 0; i < size; i++) {
		const struct entry_split *e = &part->entry[i];

		if (__atomic_load_n(&e->inflight, __ATOMIC_RELAXED))
			list[n++] = (struct chain){
				shm_load64(&e->counter),
				i,
			};
	}
	qsort(list, n, sizeof(*list), by_counter);
	return n;
}

/* Whether a virtqueue's part says that anything is in flight. */
static bool has_any(const uint8_t *entries, size_t entry, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (__atomic_load_n(entries + i * entry, __ATOMIC_RELAXED))
			return true;
	return false;
}

static const char *settle_split(struct vhost_port *vp, unsigned i,
				const struct vhost_ring *r,
				struct part_split *part,
				struct vhost_saved_queue *at)
{
	static const char strange[] =
		"the record of what another back end has left in flight does "
		"not fit to the ring: reset the guest's network card, or "
		"reboot the guest";
	uint16_t used = at->used, open;
	struct chain *list;
	unsigned n;

	if (!end_batch(part, used, r->size))
		return strange;
	list = malloc(r->size * sizeof(*list));
	if (!list)
		return "out of memory";
	n = collect(part, r->size, list);
	open = shm_load_acquire16(&r->avail->idx) - used;
	if (n > open || open > r->size) {
		free(list);
		return strange;
	}
	for (unsigned k = 0; k < n; k++)
		give_back(r, part, list[k].head, used++);
	free(list);
	at->avail = at->used = used;
	if (n)
		port_log(vp->port,
			 "virtqueue %u: another back end has left %u "
			 "descriptor chains in flight; they are given back "
			 "empty",
			 i, n);
	return NULL;
}

const char *vhost_inflight_settle(struct vhost_port *vp, unsigned i,
				  const struct vhost_ring *r,
				  struct vhost_saved_queue *at)
{
	const struct vhost_inflight *in = &vp->inflight;
	struct part_split *part;
	uint8_t *base;
	uint16_t version;

	if (i >= in->queues || in->packed != r->packed)
		return NULL;
	if (r->size > in->size)
		return "it has more descriptors than the memory for "
		       "descriptors in flight was made for";
	base = in->map.base + i * part_size(in->packed, in->size);
	part = (struct part_split *)base;
	/* The head is the same in both kinds so far; 0: not used yet. */
	version = shm_load16(&part->version);
	if (!version)
		return NULL;
	if (version != VERSION)
		return "the memory for descriptors in flight is of a version "
		       "that glend does not know";
	if (r->packed) {
		/* A ring that is new has nothing in flight. */
		if (has_any(base + sizeof(struct part_packed),
			    sizeof(struct entry_packed), r->size) &&
		    vhost_packed_is_worn(r))
			return "another back end has left descriptor chains "
			       "of this packed virtqueue in flight: reset the "
			       "guest's network card, or reboot the guest";
		return NULL;
	}
	if (!has_any((uint8_t *)part->entry, sizeof(part->entry[0]), r->size))
		return NULL;
	return settle_split(vp, i, r, part, at);
}
