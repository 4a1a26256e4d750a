// SPDX-License-Identifier: BSD-2-Clause
// vhost_fe_ring.c - virtqueues from the guest's side, split and packed.
/*
 * As virtio 1.2 (2.7 and 2.8) has it: the guest writes descriptors and makes
 * them available; the device gives them back as used. The id of a chain is its
 * head (split) or any free number (packed). Words that the backend reads or
 * writes are accessed once, with the order that the specification asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/shm.h"
#include "vhost_fe_priv.h"

enum {
	P_AVAIL = 1 << 7, /* flags of packed descriptors */
	P_USED = 1 << 15,
	E_ENABLE = 0, /* packed event suppression */
	E_DISABLE = 1,
	E_DESC = 2,
	NO_INTERRUPT = 1, /* flags of split rings */
	NO_NOTIFY = 1,
	NONE = 0xffff, /* end of the list of free buffers */
};

static uint16_t load_acquire16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store_release16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* Split ring members, at any size. */

static uint16_t *avail_word(struct fe_queue *q, unsigned i)
{
	return (uint16_t *)(void *)q->avail + i; /* flags, idx, ring, event */
}

static uint16_t *used_word(struct fe_queue *q, unsigned i)
{
	return (uint16_t *)(void *)q->used + i; /* flags, idx */
}

static uint32_t *used_elem(struct fe_queue *q, unsigned i)
{
	return (uint32_t *)(void *)(q->used + 4 + 8 * (size_t)i);
}

static uint16_t *avail_event(struct fe_queue *q)
{
	return (uint16_t *)(void *)(q->used + 4 + 8 * (size_t)q->size);
}

static struct fe_split_desc *split_desc(struct fe_queue *q, unsigned i)
{
	return (struct fe_split_desc *)(void *)q->desc + i;
}

static struct fe_packed_desc *packed_desc(struct fe_queue *q, unsigned i)
{
	return (struct fe_packed_desc *)(void *)q->desc + i;
}

uint16_t fe_used_idx(struct fe_queue *q)
{
	return load_acquire16(used_word(q, 1));
}

/* Life */

void fe_queue_reset(struct fe_queue *q)
{
	struct fe *fe = q->fe;
	size_t buf_area = (size_t)q->n_bufs * fe->config.buf_size;

	memset(q->desc, 0, 16 * (size_t)q->size);
	memset(q->avail, 0, 6 + 2 * (size_t)q->size);
	memset(q->used, 0, 6 + 8 * (size_t)q->size);
	memset(q->bufs, 0, buf_area);
	q->base = q->packed ? 0x80008000 : 0;
	q->avail_idx = q->used_idx = q->kicked_idx = 0;
	q->avail_wrap = q->used_wrap = true;
	q->since_kick = 0;
	q->pending = -1;
	q->n_free = q->size;
	q->free_id = 0;
	for (unsigned i = 0; i < q->size; i++)
		q->slot[i] = (struct fe_slot){ .next = (uint16_t)(i + 1) };
	q->n_free_bufs = q->n_bufs;
	q->free_buf = 0;
	for (unsigned i = 0; i < q->n_bufs; i++)
		q->buf_next[i] = i + 1 < q->n_bufs ? (uint16_t)(i + 1) : NONE;
}

static int make_eventfd(struct fe *fe, int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? fe_fail(fe, -errno, "eventfd: %m") : 0;
}

int fe_queue_init(struct fe *fe, unsigned index)
{
	struct fe_queue *q = &fe->queue[index];
	size_t bufs_size, n = fe->config.queue_size;

	q->size = (unsigned)n;
	q->n_bufs = q->size < NONE ? q->size : NONE;
	bufs_size = (size_t)q->n_bufs * fe->config.buf_size;
	if (make_eventfd(fe, &q->kick_fd) || make_eventfd(fe, &q->call_fd) ||
	    make_eventfd(fe, &q->err_fd))
		return -errno;
	q->desc_gpa = fe_alloc(fe, 16 * n, 4096);
	q->avail_gpa = fe_alloc(fe, 6 + 2 * n, 64);
	q->used_gpa = fe_alloc(fe, 6 + 8 * n, 4096);
	q->bufs_gpa = fe_alloc(fe, bufs_size, 4096);
	if (!q->desc_gpa || !q->avail_gpa || !q->used_gpa || !q->bufs_gpa)
		return fe_fail(fe, -ENOMEM, "no guest memory for queue %u",
			       index);
	q->desc = fe_at(fe, q->desc_gpa, 16 * n);
	q->avail = fe_at(fe, q->avail_gpa, 6 + 2 * n);
	q->used = fe_at(fe, q->used_gpa, 6 + 8 * n);
	q->bufs = fe_at(fe, q->bufs_gpa, bufs_size);
	q->slot = calloc(n, sizeof(*q->slot));
	q->buf_next = calloc(n, sizeof(*q->buf_next));
	if (!q->slot || !q->buf_next)
		return fe_fail(fe, -ENOMEM, "no memory");
	fe_queue_reset(q);
	return 0;
}

void fe_queue_fini(struct fe_queue *q)
{
	int *const fds[] = { &q->kick_fd, &q->call_fd, &q->err_fd };

	for (unsigned i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	free(q->slot);
	free(q->buf_next);
	q->slot = NULL;
	q->buf_next = NULL;
}

/* Making chains available */

static void post_split(struct fe_queue *q, const struct fe_buf *bufs,
		       unsigned n, uint16_t indirect)
{
	uint16_t head = q->free_id, id = head;

	for (unsigned i = 0; i < n; i++) {
		struct fe_split_desc *d = split_desc(q, id);
		uint16_t flags = indirect | (bufs[i].write ? FE_WRITE : 0) |
				 (i + 1 < n ? FE_NEXT : 0);

		d->addr = bufs[i].gpa;
		d->len = bufs[i].len;
		d->flags = flags;
		d->next = i + 1 < n ? q->slot[id].next : 0;
		id = q->slot[id].next;
	}
	q->free_id = id;
	shm_store16(avail_word(q, 2 + (q->avail_idx & (q->size - 1))), head);
	q->avail_idx++;
}

static void step(const struct fe_queue *q, uint16_t *idx, bool *wrap)
{
	if (++*idx < q->size)
		return;
	*idx = 0;
	*wrap = !*wrap;
}

static void post_packed(struct fe_queue *q, const struct fe_buf *bufs,
			unsigned n, uint16_t indirect)
{
	uint16_t id = q->free_id, head = q->avail_idx, head_flags = 0;

	q->free_id = q->slot[id].next;
	for (unsigned i = 0; i < n; i++) {
		struct fe_packed_desc *d = packed_desc(q, q->avail_idx);
		uint16_t flags = indirect | (bufs[i].write ? FE_WRITE : 0) |
				 (i + 1 < n ? FE_NEXT : 0) |
				 (q->avail_wrap ? P_AVAIL : P_USED);

		d->addr = bufs[i].gpa;
		d->len = bufs[i].len;
		d->id = id;
		if (i)
			store_release16(&d->flags, flags);
		else
			head_flags = flags;
		step(q, &q->avail_idx, &q->avail_wrap);
	}
	/* The backend stops at the first one that fe_publish() shows last. */
	if (q->pending < 0) {
		q->pending = head;
		q->pending_flags = head_flags;
	} else {
		store_release16(&packed_desc(q, head)->flags, head_flags);
	}
	q->since_kick += n;
}

/* Writes the chain into the indirect table of the id that is next. */
static int make_table(struct fe_queue *q, const struct fe_buf *bufs, unsigned n,
		      struct fe_buf *table)
{
	size_t size = FE_CHAIN_MAX * sizeof(struct fe_split_desc);
	struct fe_split_desc *d;

	if (!q->indirect_gpa)
		q->indirect_gpa = fe_alloc(q->fe, q->size * size, 64);
	if (!q->indirect_gpa)
		return fe_fail(q->fe, -ENOMEM, "no memory for tables");
	table->gpa = q->indirect_gpa + q->free_id * size;
	table->len = (uint32_t)(n * sizeof(*d));
	table->write = false;
	d = fe_at(q->fe, table->gpa, size);
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = bufs[i].write ? FE_WRITE : 0;
		bool more = i + 1 < n;

		d[i].addr = bufs[i].gpa;
		d[i].len = bufs[i].len;
		/* Tables of packed rings are in order, without links, and have
		 * the flags at the end of a descriptor. */
		d[i].flags = q->packed ? 0 : flags | (more ? FE_NEXT : 0);
		d[i].next = q->packed ? flags : more ? (uint16_t)(i + 1) : 0;
	}
	return 0;
}

int fe_post(struct fe_queue *q, const struct fe_buf *bufs, unsigned n,
	    bool indirect, uint64_t cookie)
{
	uint16_t id = q->free_id;
	struct fe_buf table;

	if (n > q->n_free || !q->n_free || !n || (indirect && n > FE_CHAIN_MAX))
		return -ENOSPC;
	if (indirect) {
		int err = make_table(q, bufs, n, &table);

		if (err)
			return err;
		bufs = &table;
		n = 1;
	}
	q->n_free -= n;
	q->slot[id].n_desc = (uint16_t)n;
	q->slot[id].n_bufs = 0;
	q->slot[id].cookie = cookie;
	if (q->packed)
		post_packed(q, bufs, n, indirect ? FE_INDIRECT : 0);
	else
		post_split(q, bufs, n, indirect ? FE_INDIRECT : 0);
	return id;
}

void fe_publish(struct fe_queue *q)
{
	if (!q->packed) {
		store_release16(avail_word(q, 1), q->avail_idx);
	} else if (q->pending >= 0) {
		store_release16(&packed_desc(q, (unsigned)q->pending)->flags,
				q->pending_flags);
		q->pending = -1;
	}
}

/* Kicks and calls */

/* True if event was passed on the way from old to new. */
static bool passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static bool wants_kick_packed(struct fe_queue *q)
{
	const uint32_t *area = (const uint32_t *)(const void *)q->used;
	uint32_t both = shm_load32(area);
	uint16_t off_wrap = (uint16_t)both, flags = both >> 16 & 3;
	uint16_t off = off_wrap & 0x7fff;
	bool wrap = off_wrap >> 15;

	if (flags != E_DESC)
		return flags == E_ENABLE;
	/* Positions in the lap that avail_idx is in. */
	if (wrap != q->avail_wrap)
		off -= (uint16_t)q->size;
	return passed(off, q->avail_idx,
		      (uint16_t)(q->avail_idx - q->since_kick));
}

static bool wants_kick(struct fe_queue *q)
{
	/* Pairs with the backend's between asking and looking again. */
	shm_full_fence();
	if (q->packed)
		return q->since_kick && wants_kick_packed(q);
	if (q->event_idx)
		return passed(shm_load16(avail_event(q)), q->avail_idx,
			      q->kicked_idx);
	return !(shm_load16(used_word(q, 0)) & NO_NOTIFY);
}

void fe_kick_always(struct fe_queue *q)
{
	uint64_t one = 1;

	q->kicked_idx = q->avail_idx;
	q->since_kick = 0;
	if (write(q->kick_fd, &one, sizeof(one)) == sizeof(one))
		q->kicks++;
}

void fe_kick(struct fe_queue *q)
{
	if (wants_kick(q)) {
		fe_kick_always(q);
		return;
	}
	q->kicked_idx = q->avail_idx;
	q->since_kick = 0;
}

static bool has_used(struct fe_queue *q)
{
	uint16_t flags;

	if (!q->packed)
		return load_acquire16(used_word(q, 1)) != q->used_idx;
	flags = load_acquire16(&packed_desc(q, q->used_idx)->flags);
	return !!(flags & P_AVAIL) == q->used_wrap &&
	       !!(flags & P_USED) == q->used_wrap;
}

bool fe_arm(struct fe_queue *q, bool on)
{
	if (q->packed) {
		uint32_t *area = (uint32_t *)(void *)q->avail;
		uint32_t at = q->used_idx | (uint32_t)q->used_wrap << 15;
		uint32_t flags = !on	      ? E_DISABLE :
				 q->event_idx ? E_DESC :
						E_ENABLE;

		shm_store32(area, at | flags << 16);
	} else if (q->event_idx) {
		/* Half a lap ahead nothing calls for long enough. */
		shm_store16(avail_word(q, 2 + q->size),
			    (uint16_t)(q->used_idx + (on ? 0 : 0x8000)));
	} else {
		shm_store16(avail_word(q, 0), on ? 0 : NO_INTERRUPT);
	}
	/* Pairs with the backend's between used index and looking at this. */
	shm_full_fence();
	return has_used(q);
}

bool fe_called(struct fe_queue *q)
{
	uint64_t count;

	if (read(q->call_fd, &count, sizeof(count)) != sizeof(count))
		return false;
	q->calls += count;
	return true;
}

int fe_wait(struct fe_queue *q, int timeout_ms)
{
	struct pollfd p = { .fd = q->call_fd, .events = POLLIN };

	while (!fe_arm(q, true)) {
		int n = poll(&p, 1, timeout_ms);

		if (n < 0 && errno != EINTR)
			return fe_fail(q->fe, -errno, "poll: %m");
		if (!n)
			return -ETIMEDOUT;
		fe_called(q);
	}
	fe_arm(q, false);
	return 0;
}

/* Taking chains back */

static int bad_used(struct fe_queue *q, unsigned id)
{
	return fe_fail(q->fe, -EPROTO,
		       "queue %u: id %u came back, which was not out", q->index,
		       id);
}

static void free_split(struct fe_queue *q, uint16_t head)
{
	uint16_t last = head;

	for (unsigned i = 1; i < q->slot[head].n_desc; i++)
		last = q->slot[last].next;
	q->slot[last].next = q->free_id;
	q->free_id = head;
}

int fe_used(struct fe_queue *q, unsigned *id, uint32_t *len)
{
	struct fe_slot *slot;

	if (!has_used(q))
		return 0;
	if (q->packed) {
		struct fe_packed_desc *d = packed_desc(q, q->used_idx);

		*id = shm_load16(&d->id);
		*len = shm_load32(&d->len);
	} else {
		uint32_t *elem = used_elem(q, q->used_idx & (q->size - 1));

		*id = shm_load32(elem);
		*len = shm_load32(elem + 1);
	}
	if (*id >= q->size || !q->slot[*id].n_desc)
		return bad_used(q, *id);
	slot = &q->slot[*id];
	if (q->packed) {
		for (unsigned i = 0; i < slot->n_desc; i++)
			step(q, &q->used_idx, &q->used_wrap);
		slot->next = q->free_id;
		q->free_id = (uint16_t)*id;
	} else {
		q->used_idx++;
		free_split(q, (uint16_t)*id);
	}
	q->n_free += slot->n_desc;
	slot->n_desc = 0;
	return 1;
}

/* Packets */

static uint8_t *buf_at(struct fe_queue *q, unsigned buf)
{
	return q->bufs + (size_t)buf * q->fe->config.buf_size;
}

static uint64_t buf_gpa(struct fe_queue *q, unsigned buf)
{
	return q->bufs_gpa + (uint64_t)buf * q->fe->config.buf_size;
}

static unsigned take_buf(struct fe_queue *q)
{
	unsigned buf = q->free_buf;

	q->free_buf = q->buf_next[buf];
	q->n_free_bufs--;
	return buf;
}

static void free_bufs(struct fe_queue *q, unsigned id)
{
	uint16_t last = q->slot[id].buf;
	unsigned n = q->slot[id].n_bufs;

	if (!n)
		return;
	for (unsigned i = 1; i < n; i++)
		last = q->buf_next[last];
	q->buf_next[last] = q->free_buf;
	q->free_buf = q->slot[id].buf;
	q->n_free_bufs += n;
	q->slot[id].n_bufs = 0;
}

/* Copies header and packet into the buffers taken; returns the pieces. */
static unsigned fill_bufs(struct fe_queue *q, const void *hdr,
			  const uint8_t *data, uint32_t len,
			  struct fe_buf *bufs)
{
	uint32_t hdr_len = q->fe->hdr_len;
	unsigned n = 0;

	while (!n || len) {
		unsigned buf = take_buf(q);
		uint8_t *p = buf_at(q, buf);
		uint32_t room = q->fe->config.buf_size, used = 0, piece;

		if (!n) {
			if (hdr)
				memcpy(p, hdr, hdr_len);
			else
				memset(p, 0, hdr_len);
			used = hdr_len;
			if (q->fe->config.split_header)
				room = hdr_len;
		}
		piece = len < room - used ? len : room - used;
		memcpy(p + used, data, piece);
		data += piece;
		len -= piece;
		bufs[n++] = (struct fe_buf){ buf_gpa(q, buf), used + piece,
					     false };
	}
	return n;
}

int fe_queue_packet(struct fe_queue *q, const void *hdr, const void *data,
		    uint32_t len)
{
	const struct fe_config *c = &q->fe->config;
	struct fe_buf bufs[FE_CHAIN_MAX];
	uint32_t total = len + q->fe->hdr_len;
	unsigned n = (total + c->buf_size - 1) / c->buf_size;
	uint16_t first = q->free_buf;
	int id;

	if (c->split_header)
		n = 1 + (len + c->buf_size - 1) / c->buf_size;
	if (n > FE_CHAIN_MAX)
		return fe_fail(q->fe, -EMSGSIZE, "%u bytes need %u buffers",
			       len, n);
	if (n > q->n_free_bufs || (c->indirect ? 1 : n) > q->n_free)
		return -ENOSPC;
	n = fill_bufs(q, hdr, data, len, bufs);
	id = fe_post(q, bufs, n, c->indirect, 0);
	if (id < 0)
		return id;
	q->slot[id].buf = first;
	q->slot[id].n_bufs = (uint16_t)n;
	q->packets++;
	q->bytes += len;
	return 0;
}

void fe_flush(struct fe_queue *q)
{
	fe_publish(q);
	fe_kick(q);
}

int fe_reclaim(struct fe_queue *q)
{
	unsigned id;
	uint32_t len;
	int n = 0, got;

	while ((got = fe_used(q, &id, &len)) > 0) {
		free_bufs(q, id);
		n++;
	}
	return got < 0 ? got : n;
}

int fe_send(struct fe_queue *q, const void *hdr, const void *data, uint32_t len)
{
	int err = fe_reclaim(q);

	if (err >= 0)
		err = fe_queue_packet(q, hdr, data, len);
	if (!err)
		fe_flush(q);
	return err;
}

int fe_fill(struct fe_queue *q)
{
	const struct fe_config *c = &q->fe->config;
	struct fe_buf bufs[FE_CHAIN_MAX];
	unsigned chain = c->rx_chain < FE_CHAIN_MAX ? c->rx_chain :
						      FE_CHAIN_MAX;
	int posted = 0;

	while (q->n_free_bufs >= chain &&
	       q->n_free >= (c->indirect ? 1 : chain)) {
		uint16_t first = q->free_buf;
		int id;

		for (unsigned i = 0; i < chain; i++)
			bufs[i] = (struct fe_buf){ buf_gpa(q, take_buf(q)),
						   c->buf_size, true };
		id = fe_post(q, bufs, chain, c->indirect, 0);
		if (id < 0)
			return id;
		q->slot[id].buf = first;
		q->slot[id].n_bufs = (uint16_t)chain;
		posted++;
	}
	if (posted)
		fe_flush(q);
	return posted;
}

/* Appends what one chain holds; header bytes first. */
static int append(struct fe_queue *q, unsigned id, uint32_t len, bool head,
		  struct fe_packet *p)
{
	uint32_t hdr = head ? q->fe->hdr_len : 0;
	uint16_t buf = q->slot[id].buf;
	uint32_t room = q->slot[id].n_bufs * q->fe->config.buf_size;

	if (len > room || len < hdr || len - hdr > FE_DATA_MAX - p->len)
		return fe_fail(q->fe, -EPROTO,
			       "queue %u: %u bytes in a chain of %u", q->index,
			       len, room);
	for (bool first = head; len; buf = q->buf_next[buf], first = false) {
		uint32_t piece = len < q->fe->config.buf_size ?
					 len :
					 q->fe->config.buf_size;
		const uint8_t *from = buf_at(q, buf);
		uint32_t skip = first ? hdr : 0;

		if (first)
			memcpy(p->hdr, from, hdr);
		memcpy(p->data + p->len, from + skip, piece - skip);
		p->len += piece - skip;
		len -= piece;
	}
	return 0;
}

int fe_receive(struct fe_queue *q, struct fe_packet *p)
{
	bool mergeable = q->fe->features & FE_BIT(FE_F_MRG_RXBUF);
	unsigned id, n = 1;
	uint32_t len;
	int got = fe_used(q, &id, &len);

	if (got <= 0)
		return got;
	p->len = 0;
	p->n_buffers = 1;
	if (!len) {
		/* Given back without a packet. */
		free_bufs(q, id);
		return 1;
	}
	for (unsigned i = 0; i < n; i++) {
		/* All chains of a packet become used at once. */
		if (i && (got = fe_used(q, &id, &len)) <= 0)
			return got ? got :
				     fe_fail(q->fe, -EPROTO,
					     "queue %u: %u of %u chains came",
					     q->index, i, n);
		got = append(q, id, len, !i, p);
		free_bufs(q, id);
		if (got)
			return got;
		if (!i && mergeable)
			n = p->hdr[10] | (unsigned)p->hdr[11] << 8;
		if (!n || n > q->size)
			return fe_fail(q->fe, -EPROTO,
				       "queue %u: num_buffers is %u", q->index,
				       n);
	}
	p->n_buffers = n;
	q->packets++;
	q->bytes += p->len;
	return 1;
}
