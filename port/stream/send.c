// SPDX-License-Identifier: BSD-2-Clause
// send.c - what waits to be sent, and who sends it.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "port/stream/stream.h"

enum {
	CHUNKS = 16, /* per system call */
	ROUNDS = 4   /* for others, before the control thread has to */
};

/* The socket was full, and what is lacking is not the peer. */
static bool is_passing(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS || err == ENOMEM;
}

/* The control thread goes on when the socket has room. */
static int leave(struct stream *s)
{
	s->tx.waits = true;
	loop_set(s->loop, &s->conn, EPOLLOUT | EPOLLONESHOT);
	return -EAGAIN;
}

enum drop stream_send_failed(struct stream *s, int err)
{
	if (is_passing(err)) {
		atomic_fetch_add_explicit(&s->full, 1, memory_order_relaxed);
		return DROP_OUT_NO_ROOM;
	}
	/* A sender's memory has gone, again; nothing of it was sent. */
	if (err == EFAULT)
		return DROP_OUT_IO_ERROR;
	if (s->tx.fd < 0)
		return DROP_OUT_LINK_DOWN;
	s->tx.fd = -1;
	if (err != EPIPE && err != ECONNRESET)
		stream_end(s, STREAM_END_ERROR, err);
	return DROP_OUT_LINK_DOWN;
}

int stream_rest_send(struct stream *s)
{
	struct stream_tx *tx = &s->tx;
	ssize_t n = send(tx->fd, tx->rest + tx->rest_off,
			 tx->rest_len - tx->rest_off,
			 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && !is_passing(errno))
		return -errno;
	tx->rest_off += n > 0 ? n : 0;
	if (tx->rest_off == tx->rest_len) {
		tx->rest_off = tx->rest_len = 0;
		return 0;
	}
	return leave(s);
}

int stream_send_waiting(struct stream *s)
{
	struct iovec iov[CHUNKS];
	int err;

	s->tx.waits = false;
	if (s->tx.fd < 0) {
		stream_queue_forget(&s->queue);
		return -ENOTCONN;
	}
	if (s->tx.rest_len) {
		err = stream_rest_send(s);
		if (err)
			return err;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		int n = stream_queue_oldest(&s->queue, iov, CHUNKS);
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
		ssize_t sent;

		if (n <= 0)
			return n;
		sent = sendmsg(s->tx.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return is_passing(errno) ? leave(s) : -errno;
		stream_queue_sent(&s->queue, sent);
	}
	return -EBUSY;
}

void stream_tx_unlock(struct stream *s)
{
	for (unsigned round = 0;; round++) {
		bool waits = s->tx.waits;
		int err;

		pthread_mutex_unlock(&s->tx.lock);
		/*
		 * Whoever made a chunk ready and then found us holding the
		 * lock did so before this look at it: queue.lock orders the
		 * two. Whoever does so later finds the lock free.
		 */
		if (waits || !stream_queue_has_ready(&s->queue) ||
		    pthread_mutex_trylock(&s->tx.lock))
			return;
		if (round == ROUNDS && s->tx.fd >= 0) {
			leave(s);
			continue;
		}
		err = stream_send_waiting(s);
		if (err && err != -EAGAIN && err != -EBUSY)
			stream_send_failed(s, -err);
	}
}
