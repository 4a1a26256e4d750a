/* SPDX-License-Identifier: BSD-2-Clause */
/* queue.h - bytes that wait for whoever is sending at the moment. */
#ifndef PORT_STREAM_QUEUE_H
#define PORT_STREAM_QUEUE_H
/*
 * Theory of operation
 *
 * One worker at a time sends through a socket; another one that comes
 * meanwhile does not wait, but leaves its frames here, and whoever is sending
 * takes them along. Frames lie in chunks, whole frames one behind the other as
 * they will stand in the stream, and chunks in a circle:
 *
 *   | being sent | ready | being copied | ready |      |
 *     head                                       head + used
 *
 * Any worker: stream_queue_reserve() makes a chunk at the end, the worker
 * copies, with nothing held, stream_queue_ready() says that it has. Whoever may
 * send (holds tx.lock of stream.h): stream_queue_oldest() lists the chunks at
 * the front that are ready, stream_queue_sent() gives back what has left. So
 * chunks leave in the order in which they were reserved, and one that is still
 * being copied keeps back those behind it.
 *
 * stream_queue_forget(): the connection is over. Chunks reserved before will
 * not be sent; those still being copied go when they are ready.
 *
 * The lock is held for a few instructions, never over a copy or system call.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	STREAM_QUEUE = 1 << 20, /* bytes, with what manages them */
	STREAM_CHUNK = 64 << 10 /* frames of a chunk; one may be longer */
};

/* All of it under the lock. */
struct stream_queue {
	pthread_mutex_t lock;
	uint8_t *bytes;	 /* const: a circle of STREAM_QUEUE bytes */
	uint32_t head;	 /* the oldest chunk; a multiple of 64 */
	uint32_t used;	 /* bytes from there on; a multiple of 64 */
	uint32_t gone;	 /* bytes of the oldest chunk that have been sent */
	uint32_t epoch;	 /* of chunks that are to be sent */
	uint64_t queued; /* frames ever reserved */
	uint64_t lost;	 /* frames forgotten */
};

/* Control thread. 0 or -ENOMEM. */
int stream_queue_init(struct stream_queue *q);
void stream_queue_fini(struct stream_queue *q);

/* Any thread: room for n frames of len > 0 bytes together. NULL: full. */
uint8_t *stream_queue_reserve(struct stream_queue *q, uint32_t len, unsigned n);
/* What stream_queue_reserve() returned has been filled. */
void stream_queue_ready(struct stream_queue *q, uint8_t *chunk);
/* Any thread: something can be sent. */
bool stream_queue_has_ready(struct stream_queue *q);

/*
 * With tx.lock: up to max pieces to send. Returns how many, 0 if the queue is
 * empty, -EBUSY if the oldest is not ready. They stay until they are sent.
 */
int stream_queue_oldest(struct stream_queue *q, struct iovec *iov, int max);
/* With tx.lock: the first n bytes of those have left. */
void stream_queue_sent(struct stream_queue *q, size_t n);
/* With tx.lock: nothing that is in the queue now will be sent. */
void stream_queue_forget(struct stream_queue *q);

#endif
