// SPDX-License-Identifier: BSD-2-Clause
// queue.c - a circle of chunks, filled by many, emptied by one at a time.
#include "port/stream/queue.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

enum { ALIGN = 64 };

/*
 * Before each chunk, which lies in one piece. What has no room before the
 * circle's end begins at its start; a skip stands between.
 */
struct chunk {
	uint32_t len;	/* 0: a skip */
	uint32_t size;	/* with this, a multiple of ALIGN */
	uint32_t epoch; /* another than the queue's: forgotten */
	uint16_t n;	/* frames */
	bool ready;	/* filled */
};

static struct chunk *chunk_at(const struct stream_queue *q, uint32_t off)
{
	return (struct chunk *)(q->bytes + off % STREAM_QUEUE);
}

int stream_queue_init(struct stream_queue *q)
{
	void *p = mmap(NULL, STREAM_QUEUE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	pthread_mutexattr_t attr;

	if (p == MAP_FAILED)
		return -ENOMEM;
	*q = (struct stream_queue){ .bytes = p };
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&q->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return 0;
}

void stream_queue_fini(struct stream_queue *q)
{
	if (!q->bytes)
		return;
	munmap(q->bytes, STREAM_QUEUE);
	pthread_mutex_destroy(&q->lock);
	q->bytes = NULL;
}

uint8_t *stream_queue_reserve(struct stream_queue *q, uint32_t len, unsigned n)
{
	uint32_t size = (sizeof(struct chunk) + len + ALIGN - 1) & -ALIGN;
	uint32_t at, skip;
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&q->lock);
	if (!q->used)
		q->head = 0;
	at = (q->head + q->used) % STREAM_QUEUE;
	skip = STREAM_QUEUE - at < size ? STREAM_QUEUE - at : 0;
	if (q->used + skip + size <= STREAM_QUEUE) {
		if (skip)
			*chunk_at(q, at) = (struct chunk){ .size = skip,
							   .ready = true };
		chunk = chunk_at(q, at + skip);
		*chunk = (struct chunk){ len, size, q->epoch, n, false };
		q->used += skip + size;
		q->queued += n;
	}
	pthread_mutex_unlock(&q->lock);
	return chunk ? (uint8_t *)(chunk + 1) : NULL;
}

void stream_queue_ready(struct stream_queue *q, uint8_t *bytes)
{
	pthread_mutex_lock(&q->lock);
	((struct chunk *)bytes - 1)->ready = true;
	pthread_mutex_unlock(&q->lock);
}

static void pop(struct stream_queue *q)
{
	uint32_t size = chunk_at(q, q->head)->size;

	q->head = (q->head + size) % STREAM_QUEUE;
	q->used -= size;
	q->gone = 0;
}

/* Removes what is not to be sent from the front. Then, the chunk that is to be
 * sent next, or is being copied; NULL: the queue is empty. */
static struct chunk *front(struct stream_queue *q)
{
	while (q->used) {
		struct chunk *chunk = chunk_at(q, q->head);

		if (!chunk->ready || (chunk->len && chunk->epoch == q->epoch))
			return chunk;
		q->lost += chunk->n;
		pop(q);
	}
	return NULL;
}

bool stream_queue_has_ready(struct stream_queue *q)
{
	struct chunk *chunk;
	bool ready;

	pthread_mutex_lock(&q->lock);
	chunk = front(q);
	ready = chunk && chunk->ready;
	pthread_mutex_unlock(&q->lock);
	return ready;
}

int stream_queue_oldest(struct stream_queue *q, struct iovec *iov, int max)
{
	uint32_t at, end;
	struct chunk *chunk;
	int n = 0;

	pthread_mutex_lock(&q->lock);
	chunk = front(q);
	at = q->head;
	end = q->head + q->used;
	for (; at != end && n < max; at += chunk->size) {
		chunk = chunk_at(q, at);
		if (!chunk->ready || (chunk->len && chunk->epoch != q->epoch))
			break;
		if (chunk->len)
			iov[n++] = (struct iovec){ chunk + 1, chunk->len };
	}
	if (n) {
		iov[0].iov_base = (uint8_t *)iov[0].iov_base + q->gone;
		iov[0].iov_len -= q->gone;
	}
	pthread_mutex_unlock(&q->lock);
	return n || !chunk ? n : -EBUSY;
}

void stream_queue_sent(struct stream_queue *q, size_t n)
{
	pthread_mutex_lock(&q->lock);
	while (n) {
		struct chunk *chunk = front(q);
		size_t left = chunk->len - q->gone;

		if (n < left) {
			q->gone += n;
			break;
		}
		n -= left;
		pop(q);
	}
	pthread_mutex_unlock(&q->lock);
}

void stream_queue_forget(struct stream_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->epoch++;
	front(q);
	pthread_mutex_unlock(&q->lock);
}
