// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - frames from and to a stream socket, a batch per system call.
#include "port/stream/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/copy.h"
#include "core/touch.h"

enum {
	BURST_IOV = 1024,      /* the kernel's limit, IOV_MAX */
	BURST_COPY = 256,      /* shorter packets are copied whole */
	BURST_BYTES = 64 << 10 /* for what is copied */
};

/* Frames that leave with one sendmsg(). */
struct burst {
	unsigned n; /* frames */
	unsigned n_iov;
	uint32_t used;		    /* of bytes[] */
	uint16_t packet[BATCH_MAX]; /* which packet of the batch */
	size_t end[BATCH_MAX];	    /* where in the burst it ends */
	struct iovec iov[BURST_IOV];
	uint8_t bytes[BURST_BYTES];
};

static uint32_t get_length(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void put_length(uint8_t *p, uint32_t len)
{
	p[0] = len >> 24;
	p[1] = len >> 16;
	p[2] = len >> 8;
	p[3] = len;
}

static __attribute__((noinline)) void rx_over(struct stream_rx *rx,
					      enum stream_end why,
					      uint32_t number)
{
	rx->over = true;
	stream_end(rx->stream, why, number);
}

static __attribute__((noinline)) void rx_runt(struct ingress *in,
					      const uint8_t *data, uint32_t len)
{
	const struct seg seg = { data, len };

	in_drop_seg(in, DROP_IN_RUNT, &seg, 1, len);
}

/* Hands out the whole frames in the arena. Returns how many it consumed. */
static unsigned rx_frames(struct ingress *in, struct batch *b)
{
	struct stream_rx *rx = in->drv;
	unsigned taken = 0, n = 0;
	uint32_t len;

	while (rx->tail - rx->head >= STREAM_HEAD && n < BATCH_MAX) {
		const uint8_t *p = rx->arena + rx->head;

		len = get_length(p);
		if (__builtin_expect(len - 1 >= STREAM_FRAME_MAX, 0)) {
			rx_over(rx, STREAM_END_LENGTH, len);
			break;
		}
		if (rx->tail - rx->head - STREAM_HEAD < len)
			break;
		rx->head += STREAM_HEAD + len;
		taken++;
		if (__builtin_expect(len < PACKET_LEN_MIN, 0)) {
			rx_runt(in, p + STREAM_HEAD, len);
			continue;
		}
		b->seg[n].ptr = p + STREAM_HEAD;
		b->seg[n].len = len;
		b->len[n++] = len;
	}
	batch_one_seg_each(b, n);
	return taken;
}

/* The peer has gone; what it began to send is lost. */
static __attribute__((noinline)) void rx_closed(struct ingress *in,
						struct stream_rx *rx)
{
	uint32_t rest = rx->tail - rx->head;

	if (rest > STREAM_HEAD) {
		const struct seg seg = { rx->arena + rx->head + STREAM_HEAD,
					 rest - STREAM_HEAD };

		in_drop_seg(in, DROP_IN_TRUNCATED, &seg, 1, seg.len);
	}
	rx_over(rx, rest ? STREAM_END_CUT : STREAM_END_CLOSED, rest);
}

/*
 * recv(), but it takes the descriptors that came along, which the kernel would
 * close.
 */
static ssize_t rx_with_files(struct stream_rx *rx, void *to, size_t len)
{
	union {
		struct cmsghdr align;
		char room[DISCARD_CONTROL];
	} control;
	struct iovec iov = { to, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(rx->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (__builtin_expect(n < 0 || (!msg.msg_controllen &&
				       !(msg.msg_flags & MSG_CTRUNC)),
			     1))
		return n;
	rx->files = discard_message(rx->bin, &msg);
	return n;
}

/* Reads behind what is left of a frame. False: nothing came. */
static bool rx_fill(struct ingress *in)
{
	struct stream_rx *rx = in->drv;
	uint8_t *to;
	ssize_t n;

	memmove(rx->arena, rx->arena + rx->head, rx->tail - rx->head);
	rx->tail -= rx->head;
	rx->head = 0;
	to = rx->arena + rx->tail;
	n = rx->plain ?
		    recv(rx->fd, to, STREAM_ARENA - rx->tail, MSG_DONTWAIT) :
		    rx_with_files(rx, to, STREAM_ARENA - rx->tail);
	if (n > 0)
		rx->tail += n;
	else if (n == 0)
		rx_closed(in, rx);
	else if (errno == ECONNRESET)
		rx_closed(in, rx);
	else if (errno != EAGAIN && errno != EINTR && errno != ENOMEM &&
		 errno != ENOBUFS)
		rx_over(rx, STREAM_END_ERROR, errno);
	return n > 0;
}

static unsigned stream_rx(struct ingress *in, struct batch *b)
{
	struct stream_rx *rx = in->drv;
	unsigned taken;

	b->overread = true;
	if (rx->over)
		return 0;
	taken = rx_frames(in, b);
	if (taken || rx->over)
		return taken;
	if (__builtin_expect(rx->files, 0)) {
		rx_over(rx, STREAM_END_FILES, 0);
		return 0;
	}
	if (!rx_fill(in))
		return 0;
	taken = rx_frames(in, b);
	return taken ? taken : 1; /* there was something, not yet a frame */
}

/* Frames stay where they are until the next rx(). */
static void stream_rx_done(struct ingress *in, struct batch *b)
{
}

/*
 * The socket itself makes the edges. One that came after our last recv() but
 * was taken for a spurious one, because the ring was polled then, would be
 * lost: so look.
 */
static bool stream_rx_arm(struct ingress *in)
{
	struct stream_rx *rx = in->drv;
	struct pollfd p = { .fd = rx->fd, .events = POLLIN };

	return !rx->over && poll(&p, 1, 0) > 0 && p.revents;
}

/* len bytes of burst->bytes go out, too. */
static void burst_bytes(struct burst *u, uint32_t len)
{
	struct iovec *last = u->n_iov ? &u->iov[u->n_iov - 1] : NULL;
	uint8_t *bytes = u->bytes + u->used;

	u->used += len;
	if (last && (uint8_t *)last->iov_base + last->iov_len == bytes)
		last->iov_len += len;
	else
		u->iov[u->n_iov++] = (struct iovec){ bytes, len };
}

/* Bytes of packet i as they lie there: what is announced is what is sent. */
static uint32_t packet_bytes(const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	uint32_t len = b->hdr_len[i];

	for (unsigned s = 0; s < b->n_seg[i]; s++)
		len += seg[s].len;
	return len;
}

/* Appends packet i of len bytes. False: no room for it in this burst. */
static bool burst_add(struct burst *u, const struct batch *b, unsigned i,
		      uint32_t len)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	uint8_t *p = u->bytes + u->used;
	uint32_t at = STREAM_HEAD + b->hdr_len[i];
	bool copy = len <= BURST_COPY;

	if (u->n_iov + 1 + b->n_seg[i] > BURST_IOV ||
	    BURST_BYTES - u->used < STREAM_HEAD + HDR_SIZE + BURST_COPY)
		return false;
	put_length(p, len);
	memcpy(p + STREAM_HEAD, b->hdr[i], b->hdr_len[i]);
	for (unsigned s = 0; copy && s < b->n_seg[i]; s++) {
		copy_bytes(p + at, seg[s].ptr, seg[s].len);
		at += seg[s].len;
	}
	burst_bytes(u, at);
	for (unsigned s = 0; !copy && s < b->n_seg[i]; s++)
		if (seg[s].len)
			u->iov[u->n_iov++] = (struct iovec){ (void *)seg[s].ptr,
							     seg[s].len };
	u->packet[u->n] = i;
	u->end[u->n] = (u->n ? u->end[u->n - 1] : 0) + STREAM_HEAD + len;
	u->n++;
	return true;
}

/* Copies burst[from..to). */
static void burst_copy(uint8_t *p, const struct burst *u, size_t from,
		       size_t to)
{
	size_t at = 0;

	for (unsigned k = 0; k < u->n_iov && at < to; k++) {
		const uint8_t *base = u->iov[k].iov_base;
		size_t len = u->iov[k].iov_len;
		size_t skip = from > at ? from - at : 0;
		size_t part = to - at < len ? to - at : len;

		if (skip < part) {
			memcpy(p, base + skip, part - skip);
			p += part - skip;
		}
		at += len;
	}
}

/* Keeps burst[from..to), which lies within one frame, to be sent later. */
static __attribute__((noinline)) void rest_keep(struct stream_tx *tx,
						const struct burst *u,
						size_t from, size_t to)
{
	burst_copy(tx->rest, u, from, to);
	tx->rest_off = 0;
	tx->rest_len = to - from;
}

/*
 * With the lock, and nothing waiting. Returns the number of frames that left,
 * or will: the frame at the cut counts. If not all: *why is the drop reason of
 * the others.
 */
static unsigned burst_send(struct stream *s, struct burst *u, enum drop *why)
{
	struct msghdr msg = { .msg_iov = u->iov, .msg_iovlen = u->n_iov };
	size_t done;
	ssize_t ret;
	unsigned n = 0;
	int err;

	ret = sendmsg(s->tx.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (__builtin_expect(ret < 0 && errno == EFAULT, 0)) {
		touch_iov(u->iov, u->n_iov);
		ret = sendmsg(s->tx.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	if (ret < 0) {
		*why = stream_send_failed(s, errno);
		return 0;
	}
	done = ret;
	if (done == u->end[u->n - 1])
		return u->n;
	while (u->end[n] <= done)
		n++;
	*why = DROP_OUT_NO_ROOM;
	if (done > (n ? u->end[n - 1] : 0)) {
		rest_keep(&s->tx, u, done, u->end[n++]);
		err = stream_rest_send(s);
		if (err) {
			*why = stream_send_failed(s, -err);
			return n;
		}
	}
	/* Nothing says that the socket is full: perhaps memory has gone, which
	 * ends a call, too, once something was copied. */
	touch_iov(u->iov, u->n_iov);
	return n;
}

/*
 * Somebody else is sending, and takes these along; should he have ended just
 * now, we do it. Returns the number of frames for which there was room.
 */
static __attribute__((noinline)) unsigned burst_queue(struct stream *s,
						      const struct burst *u)
{
	size_t from = 0;
	unsigned n = 0;

	while (n < u->n) {
		unsigned end = n + 1;
		uint8_t *chunk;
		uint32_t len;

		while (end < u->n && u->end[end] - from <= STREAM_CHUNK)
			end++;
		len = u->end[end - 1] - from;
		chunk = stream_queue_reserve(&s->queue, len, end - n);
		if (!chunk)
			break;
		burst_copy(chunk, u, from, from + len);
		stream_queue_ready(&s->queue, chunk);
		from += len;
		n = end;
	}
	if (!pthread_mutex_trylock(&s->tx.lock))
		stream_tx_unlock(s);
	return n;
}

/* Sends or queues a burst. Returns as burst_send(). */
static unsigned burst_pass(struct stream *s, struct burst *u, enum drop *why)
{
	unsigned n = 0;
	int err = -EBUSY;

	*why = DROP_OUT_NO_ROOM;
	if (!pthread_mutex_trylock(&s->tx.lock)) {
		/* With what this worker queued before, if it did. */
		err = stream_send_waiting(s);
		if (!err)
			n = burst_send(s, u, why);
		else if (err != -EBUSY)
			*why = stream_send_failed(s, -err);
		stream_tx_unlock(s);
	}
	return err == -EBUSY ? burst_queue(s, u) : n;
}

/* Passes a burst on, counts and empties it. DROP_N: all of it went. */
static enum drop burst_flush(struct stream *s, struct tx_ctx *ctx,
			     const struct batch *b, struct burst *u)
{
	enum drop why;
	uint64_t bytes = 0;
	unsigned n;

	if (!u->n)
		return DROP_N;
	n = burst_pass(s, u, &why);
	for (unsigned k = 0; k < n; k++)
		bytes += b->len[u->packet[k]];
	count_add(&ctx->counters->packets, n);
	count_add(&ctx->counters->bytes, bytes);
	for (unsigned k = n; k < u->n; k++)
		tx_drop(ctx, u->packet[k], why);
	why = n == u->n ? DROP_N : why;
	u->n = u->n_iov = u->used = 0;
	return why;
}

static void stream_tx(struct egress *out, struct tx_ctx *ctx,
		      const struct batch *b, const uint16_t *list, unsigned n)
{
	struct stream *s = out->drv;
	enum drop why = DROP_N;
	struct burst u;

	u.n = u.n_iov = u.used = 0;
	if (!atomic_load_explicit(&s->connected, memory_order_relaxed))
		why = DROP_OUT_LINK_DOWN;
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		uint32_t len = packet_bytes(b, i);

		if (__builtin_expect(len > STREAM_FRAME_MAX, 0)) {
			tx_drop(ctx, i, DROP_OUT_OVERSIZE);
			continue;
		}
		if (why == DROP_N && !burst_add(&u, b, i, len)) {
			why = burst_flush(s, ctx, b, &u);
			if (why == DROP_N)
				burst_add(&u, b, i, len);
		}
		if (why != DROP_N)
			tx_drop(ctx, i, why);
	}
	burst_flush(s, ctx, b, &u);
}

const struct port_hot stream_hot = {
	.rx = stream_rx,
	.rx_done = stream_rx_done,
	.rx_arm = stream_rx_arm,
	.tx = stream_tx,
};
