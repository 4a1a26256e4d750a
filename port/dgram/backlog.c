// SPDX-License-Identifier: BSD-2-Clause
// backlog.c - frames that wait until the peer's queue has room.
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "port/dgram/dgram.h"

enum {
	ALIGN = 64,
	FLUSH = 16, /* frames per system call: the peer's queue is short */
};

/*
 * Before each frame, which lies in one piece. What has no room before the
 * circle's end begins at its start; a skip stands between. The head is never
 * one.
 */
struct entry {
	uint32_t len;  /* of the frame; 0: a skip */
	uint32_t size; /* of the entry, a multiple of ALIGN */
};

static struct entry *entry_at(const struct dgram_backlog *q, uint32_t off)
{
	return (struct entry *)(q->bytes + off % DGRAM_BACKLOG);
}

/* Room for a frame of len bytes, or NULL. */
static uint8_t *reserve(struct dgram_backlog *q, uint32_t len)
{
	uint32_t size = (sizeof(struct entry) + len + ALIGN - 1) & -ALIGN;
	uint32_t at, skip;
	struct entry *entry;

	if (!q->used)
		q->head = 0;
	at = (q->head + q->used) % DGRAM_BACKLOG;
	skip = DGRAM_BACKLOG - at < size ? DGRAM_BACKLOG - at : 0;
	if (q->used + skip + size > DGRAM_BACKLOG)
		return NULL;
	if (skip)
		*entry_at(q, at) = (struct entry){ 0, skip };
	entry = entry_at(q, at + skip);
	*entry = (struct entry){ len, size };
	q->used += skip + size;
	return (uint8_t *)(entry + 1);
}

static void copy_packet(uint8_t *to, const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];

	memcpy(to, b->hdr[i], b->hdr_len[i]);
	to += b->hdr_len[i];
	for (unsigned s = 0; s < b->n_seg[i]; s++) {
		memcpy(to, seg[s].ptr, seg[s].len);
		to += seg[s].len;
	}
}

static uint32_t packet_bytes(const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	uint32_t len = b->hdr_len[i];

	for (unsigned s = 0; s < b->n_seg[i]; s++)
		len += seg[s].len;
	return len;
}

static void wait_for_room(struct dgram *d)
{
	loop_set(d->loop, &d->sock, EPOLLOUT | EPOLLONESHOT);
}

void backlog_add(struct dgram *d, struct tx_ctx *ctx, const struct batch *b,
		 const uint16_t *list, unsigned n)
{
	struct dgram_backlog *q = &d->backlog;
	uint64_t packets = 0, bytes = 0;

	pthread_mutex_lock(&q->lock);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		uint32_t len = packet_bytes(b, i);
		enum drop why = DROP_OUT_NO_ROOM;
		uint8_t *room = NULL;

		if (len > d->frame_max)
			why = DROP_OUT_OVERSIZE;
		else if (!atomic_load(&d->connected))
			why = DROP_OUT_LINK_DOWN;
		else
			room = reserve(q, len);
		if (!room) {
			tx_drop(ctx, i, why);
			continue;
		}
		copy_packet(room, b, i);
		packets++;
		bytes += b->len[i];
	}
	atomic_store(&q->n, atomic_load(&q->n) + packets);
	if (packets)
		wait_for_room(d);
	pthread_mutex_unlock(&q->lock);
	atomic_fetch_add(&d->delayed, packets);
	count_add(&ctx->counters->packets, packets);
	count_add(&ctx->counters->bytes, bytes);
}

static void skip_entry(struct dgram_backlog *q)
{
	uint32_t size = entry_at(q, q->head)->size;

	q->head = (q->head + size) % DGRAM_BACKLOG;
	q->used -= size;
}

/* The oldest frame is dealt with. */
static void release(struct dgram_backlog *q)
{
	skip_entry(q);
	if (q->used && !entry_at(q, q->head)->len)
		skip_entry(q);
	atomic_store(&q->n, atomic_load(&q->n) - 1);
}

/* Points msg at up to FLUSH of the oldest frames. Returns how many. */
static unsigned oldest(struct dgram_backlog *q, struct mmsghdr *msg,
		       struct iovec *iov)
{
	uint32_t at = q->head, end = q->head + q->used;
	unsigned n = 0;

	while (at != end && n < FLUSH) {
		struct entry *entry = entry_at(q, at);

		at += entry->size;
		if (!entry->len)
			continue;
		iov[n] = (struct iovec){ entry + 1, entry->len };
		memset(&msg[n], 0, sizeof(msg[n]));
		msg[n].msg_hdr.msg_iov = &iov[n];
		msg[n++].msg_hdr.msg_iovlen = 1;
	}
	return n;
}

/* With the lock: sends until nothing is left or the peer has no room. */
static void flush(struct dgram *d)
{
	struct dgram_backlog *q = &d->backlog;
	struct mmsghdr msg[FLUSH];
	struct iovec iov[FLUSH];

	while (atomic_load(&q->n)) {
		unsigned n = oldest(q, msg, iov);
		int sent = sendmmsg(d->sock.fd, msg, n,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 &&
		    (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) {
			wait_for_room(d);
			return;
		}
		if (sent < 0 && d->is_unix && errno == ECONNREFUSED)
			dgram_tell(d, DGRAM_GONE);
		/* One that cannot be sent is lost on its way. */
		q->lost += sent < 0;
		for (int k = 0; k < (sent < 0 ? 1 : sent); k++)
			release(q);
	}
}

bool backlog_empty(struct dgram *d)
{
	bool empty;

	pthread_mutex_lock(&d->backlog.lock);
	flush(d);
	empty = !atomic_load(&d->backlog.n);
	pthread_mutex_unlock(&d->backlog.lock);
	return empty;
}

void backlog_clear(struct dgram *d)
{
	pthread_mutex_lock(&d->backlog.lock);
	d->backlog.head = d->backlog.used = 0;
	d->backlog.lost += atomic_exchange(&d->backlog.n, 0);
	pthread_mutex_unlock(&d->backlog.lock);
}

uint64_t backlog_lost(struct dgram *d)
{
	uint64_t lost;

	pthread_mutex_lock(&d->backlog.lock);
	lost = d->backlog.lost;
	pthread_mutex_unlock(&d->backlog.lock);
	return lost;
}
