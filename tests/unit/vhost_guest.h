/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_guest.h - a guest with one virtqueue, for tests of the vhost driver. */
#ifndef TESTS_UNIT_VHOST_GUEST_H
#define TESTS_UNIT_VHOST_GUEST_H
/*
 * The guest's side of a virtqueue, split or packed (virtio 1.2, 2.7 and 2.8),
 * written from the standard and sharing no code with port/vhost_user.
 *
 * Its memory are three regions, the second and third of which are neighbours
 * for the guest and not for us. Each region, and each part of the ring, is a
 * mapping that ends where only what the driver promises (VHOST_SPARE bytes, for
 * reading) and then nothing is mapped, so a touch outside is a SIGSEGV.
 *
 * guest_add() makes chains available in order; guest_take() asserts that they
 * come back in that order, each with its own id, and gives their buffers.
 * Descriptors and ids are used in random order, so none is right by chance.
 *
 * guest_remember() keeps a copy of all regions, guest_expect() says that some
 * bytes may since have changed, and guest_unchanged() asserts that no others
 * have.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "packet.h"
#include "port/vhost_user/vhost_user.h"

enum {
	GUEST_REGIONS = 3,
	GUEST_PAGE = 4096,
	F_NEXT = 1,
	F_WRITE = 2,
	F_INDIRECT = 4,
	F_AVAIL = 1 << 7,
	F_USED = 1 << 15,
	NO_ID = 0xffff,
};

struct guest_buf {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

/* A chain that has been made available. */
struct guest_chain {
	uint16_t id, descs;
	unsigned n;
	struct guest_buf *buf;
};

struct guest_area {
	uint64_t gpa, size, used; /* used: by guest_alloc() */
	uint8_t *base, *copy;
};

struct guest {
	bool packed, event_idx;
	uint32_t size;
	uint64_t *desc; /* two words each */
	/* Split. */
	uint16_t *avail, *used; /* flags, idx, ... */
	uint16_t *link;		/* our copy of each descriptor's next */
	uint16_t avail_idx, used_idx, shown_idx;
	/* Packed. */
	uint16_t *driver, *device; /* off_wrap, flags */
	bool avail_wrap, used_wrap;
	uint32_t room; /* ring entries that are ours */
	/* Descriptors (split) or ids (packed) that are ours. */
	uint16_t *free;
	uint32_t n_free;
	/* Chains that are the device's, oldest first. */
	struct guest_chain *chain;
	uint32_t first, n_chains;
	struct guest_area area[GUEST_REGIONS];
	struct vhost_mem *mem;
};

/* len bytes, in front of spare ones and then nothing. */
static inline uint8_t *guest_map(size_t len, size_t spare)
{
	size_t room = (len + GUEST_PAGE - 1) & -(size_t)GUEST_PAGE;
	uint8_t *p = mmap(NULL, room + spare + 2 * GUEST_PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	p += GUEST_PAGE;
	assert_int_equal(mprotect(p, room, PROT_READ | PROT_WRITE), 0);
	if (spare)
		assert_int_equal(mprotect(p + room, spare, PROT_READ), 0);
	return p + room - len;
}

static inline void guest_unmap(void *start, size_t len, size_t spare)
{
	size_t room = (len + GUEST_PAGE - 1) & -(size_t)GUEST_PAGE;

	if (start)
		munmap((uint8_t *)start + len - room - GUEST_PAGE,
		       room + spare + 2 * GUEST_PAGE);
}

static inline size_t guest_avail_len(const struct guest *g)
{
	return 4 + 2 * (size_t)g->size + 2;
}

/* Aligned to 4, as the used ring must be. */
static inline size_t guest_used_len(const struct guest *g)
{
	return 4 + 8 * (size_t)g->size + 4;
}

static inline void guest_areas(struct guest *g)
{
	static const uint64_t gpa[] = { 0x10000, 0x200000, 0x300000 };
	static const uint64_t size[] = { 0x40000, 0x100000, 0x100000 };

	g->mem = malloc(sizeof(*g->mem) +
			GUEST_REGIONS * sizeof(g->mem->region[0]));
	assert_non_null(g->mem);
	g->mem->n = GUEST_REGIONS;
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_area *a = &g->area[i];

		a->gpa = gpa[i];
		a->size = size[i];
		a->base = guest_map(a->size, VHOST_SPARE);
		a->copy = malloc(a->size);
		assert_non_null(a->copy);
		/* No byte of it is zero. */
		for (uint64_t k = 0; k < a->size / 8; k++)
			((uint64_t *)(void *)a->base)[k] =
				k * 0x9e3779b97f4a7c15 | 0x0101010101010101;
		g->mem->region[i] = (struct vhost_region){
			.gpa = a->gpa,
			.size = a->size,
			.uva = a->gpa,
			.base = a->base,
		};
	}
}

/* The indexes begin at start; packed: with the wrap counters wrap. */
static inline void guest_init(struct guest *g, bool packed, uint32_t size,
			      uint16_t start, bool wrap)
{
	memset(g, 0, sizeof(*g));
	g->packed = packed;
	g->size = g->n_free = g->room = size;
	guest_areas(g);
	g->desc = (uint64_t *)guest_map(16 * (size_t)size, 0);
	g->free = malloc(size * sizeof(*g->free));
	g->link = malloc(size * sizeof(*g->link));
	g->chain = calloc(size, sizeof(*g->chain));
	assert_true(g->free && g->link && g->chain);
	for (uint32_t i = 0; i < size; i++) {
		uint32_t k = rnd(i + 1);

		g->free[i] = g->free[k];
		g->free[k] = i;
	}
	g->avail_idx = g->used_idx = g->shown_idx = start;
	g->avail_wrap = g->used_wrap = wrap;
	if (packed) {
		g->driver = (uint16_t *)guest_map(4, 0);
		g->device = (uint16_t *)guest_map(4, 0);
		/* As if each had been used in the laps before. */
		for (uint32_t i = 0; i < size; i++)
			g->desc[2 * i + 1] =
				(i < start) == wrap ?
					(uint64_t)(F_AVAIL | F_USED) << 48 :
					0;
		return;
	}
	g->avail = (uint16_t *)guest_map(guest_avail_len(g), 0);
	g->used = (uint16_t *)guest_map(guest_used_len(g), 0);
	g->avail[1] = g->used[1] = start;
}

static inline void guest_fini(struct guest *g)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		guest_unmap(g->area[i].base, g->area[i].size, VHOST_SPARE);
		free(g->area[i].copy);
	}
	guest_unmap(g->desc, 16 * (size_t)g->size, 0);
	guest_unmap(g->avail, guest_avail_len(g), 0);
	guest_unmap(g->used, guest_used_len(g), 0);
	guest_unmap(g->driver, 4, 0);
	guest_unmap(g->device, 4, 0);
	for (; g->n_chains; g->n_chains--, g->first++)
		free(g->chain[g->first % g->size].buf);
	free(g->mem);
	free(g->free);
	free(g->link);
	free(g->chain);
}

static inline uint8_t *guest_ptr(const struct guest *g, uint64_t gpa)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		if (gpa - g->area[i].gpa < g->area[i].size)
			return g->area[i].base + (gpa - g->area[i].gpa);
	fail_msg("no guest memory at %#llx", (unsigned long long)gpa);
	return NULL;
}

/* Guest memory of a random region that nothing else uses. */
static inline uint64_t guest_alloc(struct guest *g, uint32_t len,
				   uint32_t align)
{
	unsigned first = rnd(GUEST_REGIONS);

	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_area *a = &g->area[(first + i) % GUEST_REGIONS];
		uint64_t at = a->used + rnd(40);

		at = (at + align - 1) & -(uint64_t)align;
		if (at > a->size || len > a->size - at)
			continue;
		a->used = at + len;
		return a->gpa + at;
	}
	fail_msg("the guest's memory is used up");
	return 0;
}

/* All memory that was allocated is free again. */
static inline void guest_rewind(struct guest *g)
{
	assert_int_equal(g->n_chains, 0);
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		g->area[i].used = 0;
}

static inline void guest_remember(struct guest *g)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		memcpy(g->area[i].copy, g->area[i].base, g->area[i].size);
}

static inline void guest_expect(struct guest *g, uint64_t gpa, uint32_t len)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_area *a = &g->area[i];
		uint64_t off = gpa - a->gpa;

		if (off < a->size)
			memcpy(a->copy + off, a->base + off, len);
	}
}

static inline void guest_unchanged(const struct guest *g)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		assert_int_equal(memcmp(g->area[i].copy, g->area[i].base,
					g->area[i].size),
				 0);
}

static inline void store16(uint16_t *p, uint16_t value, int order)
{
	__atomic_store_n(p, value, order);
}

static inline uint16_t load16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* Words of descriptor i of a table. */
static inline void guest_set_desc(uint64_t *table, uint32_t i, uint64_t addr,
				  uint64_t rest)
{
	__atomic_store_n(&table[2 * i], addr, __ATOMIC_RELAXED);
	__atomic_store_n(&table[2 * i + 1], rest, __ATOMIC_RELEASE);
}

static inline uint64_t split_rest(uint32_t len, uint16_t flags, uint16_t next)
{
	return len | (uint64_t)flags << 32 | (uint64_t)next << 48;
}

static inline uint64_t packed_rest(uint32_t len, uint16_t id, uint16_t flags)
{
	return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

/* A table of the buffers in guest memory. */
static inline uint64_t guest_table(struct guest *g, const struct guest_buf *buf,
				   unsigned n)
{
	uint64_t gpa = guest_alloc(g, 16 * n, 16);
	uint64_t *table = (uint64_t *)guest_ptr(g, gpa);

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = buf[i].write ? F_WRITE : 0;

		if (g->packed)
			guest_set_desc(table, i, buf[i].gpa,
				       packed_rest(buf[i].len, 0, flags));
		else
			guest_set_desc(table, i, buf[i].gpa,
				       split_rest(buf[i].len,
						  flags | (i + 1 < n ? F_NEXT :
								       0),
						  i + 1 < n ? i + 1 : 0));
	}
	return gpa;
}

static inline uint16_t guest_add_split(struct guest *g,
				       const struct guest_buf *buf, unsigned n,
				       bool indirect)
{
	uint16_t head = g->free[--g->n_free], at = head;

	if (indirect)
		guest_set_desc(g->desc, head, guest_table(g, buf, n),
			       split_rest(16 * n, F_INDIRECT, 0));
	for (unsigned i = 0; i < n && !indirect; i++) {
		bool more = i + 1 < n;
		uint16_t next = more ? g->free[--g->n_free] : 0;

		guest_set_desc(g->desc, at, buf[i].gpa,
			       split_rest(buf[i].len,
					  (buf[i].write ? F_WRITE : 0) |
						  (more ? F_NEXT : 0),
					  next));
		g->link[at] = next;
		at = next;
	}
	store16(&g->avail[2 + g->avail_idx++ % g->size], head,
		__ATOMIC_RELAXED);
	return head;
}

/* One ring entry; the first of a chain is to be written last. */
static inline void guest_entry(struct guest *g, uint32_t slot, bool wrap,
			       uint64_t addr, uint32_t len, uint16_t id,
			       uint16_t flags)
{
	flags |= wrap ? F_AVAIL : F_USED;
	guest_set_desc(g->desc, slot, addr, packed_rest(len, id, flags));
}

static inline uint16_t guest_add_packed(struct guest *g,
					const struct guest_buf *buf, unsigned n,
					bool indirect)
{
	uint32_t slot = g->avail_idx, first = slot;
	bool wrap = g->avail_wrap, first_wrap = wrap;
	uint16_t id = g->free[--g->n_free];

	for (unsigned i = 0; i < (indirect ? 1 : n); i++) {
		if (i)
			guest_entry(g, slot, wrap, buf[i].gpa, buf[i].len, id,
				    (buf[i].write ? F_WRITE : 0) |
					    (i + 1 < n ? F_NEXT : 0));
		if (++slot == g->size) {
			slot = 0;
			wrap = !wrap;
		}
	}
	g->avail_idx = slot;
	g->avail_wrap = wrap;
	g->room -= indirect ? 1 : n;
	if (indirect)
		guest_entry(g, first, first_wrap, guest_table(g, buf, n),
			    16 * n, id, F_INDIRECT);
	else
		guest_entry(g, first, first_wrap, buf[0].gpa, buf[0].len, id,
			    (buf[0].write ? F_WRITE : 0) |
				    (n > 1 ? F_NEXT : 0));
	return id;
}

/* Whether a chain of n descriptors fits. */
static inline bool guest_fits(const struct guest *g, unsigned n)
{
	return g->packed ? g->n_free && n <= g->room : n <= g->n_free;
}

/*
 * A chain of n buffers for the device; returns its id. A split virtqueue's
 * device sees it with guest_show().
 */
static inline uint16_t guest_add(struct guest *g, const struct guest_buf *buf,
				 unsigned n, bool indirect)
{
	struct guest_chain *c = &g->chain[(g->first + g->n_chains) % g->size];

	assert_true(guest_fits(g, indirect ? 1 : n));
	c->n = n;
	c->descs = indirect ? 1 : n;
	c->buf = malloc(n * sizeof(*buf));
	assert_non_null(c->buf);
	memcpy(c->buf, buf, n * sizeof(*buf));
	g->n_chains++;
	c->id = g->packed ? guest_add_packed(g, buf, n, indirect) :
			    guest_add_split(g, buf, n, indirect);
	return c->id;
}

/* Makes what was added available. */
static inline void guest_show(struct guest *g)
{
	if (!g->packed)
		store16(&g->avail[1], g->avail_idx, __ATOMIC_RELEASE);
}

/* Id and length of the next used entry; false: there is none. */
static inline bool guest_used(const struct guest *g, uint32_t *id,
			      uint32_t *len)
{
	uint64_t rest;
	const uint32_t *elem;
	uint16_t flags;

	if (!g->packed) {
		if (load16(&g->used[1]) == g->used_idx)
			return false;
		elem = (const uint32_t *)(g->used + 2) +
		       2 * (g->used_idx % g->size);
		*id = elem[0];
		*len = elem[1];
		return true;
	}
	rest = __atomic_load_n(&g->desc[2 * g->used_idx + 1], __ATOMIC_ACQUIRE);
	flags = rest >> 48;
	if (!(flags & F_AVAIL) != !g->used_wrap ||
	    !(flags & F_USED) != !g->used_wrap)
		return false;
	*id = rest >> 32 & 0xffff;
	*len = rest;
	return true;
}

static inline void guest_free(struct guest *g, const struct guest_chain *c)
{
	uint16_t at = c->id;

	if (g->packed) {
		g->free[g->n_free++] = c->id;
		g->room += c->descs;
		if (g->used_idx + c->descs >= g->size)
			g->used_wrap = !g->used_wrap;
		g->used_idx = (g->used_idx + c->descs) % g->size;
		return;
	}
	g->used_idx++;
	for (unsigned i = 0; i < c->descs; i++, at = g->link[at])
		g->free[g->n_free++] = at;
}

/*
 * The next chain that was given back, with len bytes written to it; false:
 * there is none. The caller frees c->buf.
 */
static inline bool guest_take(struct guest *g, struct guest_chain *c,
			      uint32_t *len)
{
	uint32_t id;

	if (!guest_used(g, &id, len))
		return false;
	assert_true(g->n_chains > 0);
	*c = g->chain[g->first % g->size];
	assert_int_equal(id, c->id);
	g->first++;
	g->n_chains--;
	guest_free(g, c);
	return true;
}

/* Takes n chains back that had nothing written to them. */
static inline void guest_take_empty(struct guest *g, unsigned n)
{
	struct guest_chain c = { 0 };
	uint32_t len;

	for (unsigned i = 0; i < n; i++) {
		assert_true(guest_take(g, &c, &len));
		assert_int_equal(len, 0);
		free(c.buf);
	}
	assert_false(guest_take(g, &c, &len));
}

#endif
