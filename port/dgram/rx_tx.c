// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - frames from and to a datagram socket, many per system call.
#include "port/dgram/dgram.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/rcu.h"
#include "core/touch.h"

enum { BURST_IOV = 1024 }; /* room for DGRAM_BURST packets of few segments */

/* Datagrams that leave with one sendmmsg(). */
struct burst {
	unsigned n, n_iov;
	uint16_t at[DGRAM_BURST]; /* where in the list the packet stands */
	struct mmsghdr msg[DGRAM_BURST];
	struct iovec iov[BURST_IOV];
};

/* Not from the peer: forgotten. Perhaps it is, and we do not know it yet. In a
 * group: our own. */
static __attribute__((noinline)) void rx_stranger(struct dgram *d)
{
	if (d->group) {
		atomic_fetch_add_explicit(&d->own, 1, memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&d->strangers, 1, memory_order_relaxed);
	if (!atomic_load_explicit(&d->connected, memory_order_relaxed))
		dgram_tell(d, DGRAM_HERE);
}

/* ICMP said of an earlier packet that it did not arrive. */
static __attribute__((noinline)) void unreachable(struct dgram *d, int err)
{
	atomic_fetch_add_explicit(&d->unreachable, 1, memory_order_relaxed);
	atomic_store_explicit(&d->complaint, err, memory_order_relaxed);
}

/* Nothing was received. */
static __attribute__((noinline)) void rx_failed(struct dgram *d, int err)
{
	if (!d->is_unix && err != EAGAIN && err != EINTR && err != ENOMEM &&
	    err != ENOBUFS)
		unreachable(d, err);
}

static __attribute__((noinline)) void rx_refuse(struct ingress *in,
						const uint8_t *data,
						uint32_t len, bool cut)
{
	const struct seg seg = { data, len < DGRAM_SLOT ? len : DGRAM_SLOT };

	in_drop_seg(in, cut ? DROP_IN_TRUNCATED : DROP_IN_RUNT, &seg, 1, len);
}

/* Datagram k has come. */
static void rx_packet(struct ingress *in, struct batch *b, unsigned k)
{
	struct dgram_rx *rx = in->drv;
	const uint8_t *data = rx->iov[k][0].iov_base;
	uint32_t len = rx->msg[k].msg_len;
	unsigned i = b->n;
	struct seg *seg = &b->seg[b->n_segs];

	if (__builtin_expect(len < PACKET_LEN_MIN ||
				     (rx->msg[k].msg_hdr.msg_flags & MSG_TRUNC),
			     0)) {
		rx_refuse(in, data, len,
			  rx->msg[k].msg_hdr.msg_flags & MSG_TRUNC);
		return;
	}
	b->len[i] = len;
	b->seg0[i] = b->n_segs;
	b->n_seg[i] = 1;
	seg[0] = (struct seg){ data, len };
	if (len > DGRAM_SLOT) {
		seg[0].len = DGRAM_SLOT;
		seg[1] = (struct seg){ rx->iov[k][1].iov_base,
				       len - DGRAM_SLOT };
		b->n_seg[i] = 2;
		b->multi_seg = true;
		b->identity = false;
	}
	b->n_segs += b->n_seg[i];
	b->n++;
}

/* Descriptors came with datagram k, or there was no room for them. */
static __attribute__((noinline)) void rx_files(struct ingress *in, unsigned k,
					       bool stranger)
{
	struct dgram_rx *rx = in->drv;
	struct msghdr *hdr = &rx->msg[k].msg_hdr;
	uint32_t len = rx->msg[k].msg_len;
	const struct seg seg = { rx->iov[k][0].iov_base,
				 len < DGRAM_SLOT ? len : DGRAM_SLOT };

	discard_message(rx->bin, hdr);
	dgram_tell(rx->dgram, DGRAM_FILES_CAME);
	if (stranger)
		rx_stranger(rx->dgram);
	else
		in_drop_seg(in, DROP_IN_DESCRIPTORS, &seg, 1, len);
}

/* False: who sends descriptors does so faster than they can be closed. */
static bool rx_may_receive(struct dgram_rx *rx)
{
	if (!rx->bin || discard_has_room(rx->bin, DGRAM_FILES))
		return true;
	port_break(rx->dgram->port, "file descriptors were sent to its socket, "
				    "more than can be closed");
	return false;
}

static unsigned dgram_rx(struct ingress *in, struct batch *b)
{
	struct dgram_rx *rx = in->drv;
	struct dgram *d = rx->dgram;
	const struct dgram_name *name = rcu_load(&d->name);
	size_t room = rx->bin ? sizeof(*rx->control) : 0;
	int n;

	b->overread = true;
	if (!rx_may_receive(rx))
		return 0;
	n = recvmmsg(rx->fd, rx->msg, DGRAM_BURST,
		     MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	/* Errors are those of packets that we sent; they are cleared now. */
	if (n < 0)
		rx_failed(d, errno);
	for (int k = 0; k < n; k++) {
		struct msghdr *hdr = &rx->msg[k].msg_hdr;
		bool named = hdr->msg_namelen == name->addr.len &&
			     !memcmp(hdr->msg_name, &name->addr.room,
				     name->addr.len);
		bool stranger = named == d->group;

		if (__builtin_expect(hdr->msg_controllen ||
					     (hdr->msg_flags & MSG_CTRUNC),
				     0))
			rx_files(in, k, stranger);
		else if (stranger)
			rx_stranger(d);
		else
			rx_packet(in, b, k);
		hdr->msg_controllen = room;
		hdr->msg_namelen = sizeof(rx->from[k]);
	}
	if (b->n && __builtin_expect(atomic_load_explicit(&d->complaint,
							  memory_order_relaxed),
				     0))
		atomic_store_explicit(&d->complaint, 0, memory_order_relaxed);
	return n > 0 ? n : 0;
}

/* The slots are simply used again. */
static void dgram_rx_done(struct ingress *in, struct batch *b)
{
}

/* As in port/tap: an edge may have been taken for a spurious one. */
static bool dgram_rx_arm(struct ingress *in)
{
	struct dgram_rx *rx = in->drv;
	struct pollfd p = { .fd = rx->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* Appends packet i, which is list[at]. False: no room in this burst. */
static bool burst_add(struct burst *u, const struct batch *b, unsigned i,
		      unsigned at)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	struct iovec *iov = &u->iov[u->n_iov];
	unsigned n = 0;

	if (u->n == DGRAM_BURST || u->n_iov + 1 + b->n_seg[i] > BURST_IOV)
		return false;
	iov[n++] = (struct iovec){ (void *)b->hdr[i], b->hdr_len[i] };
	for (unsigned s = 0; s < b->n_seg[i]; s++)
		if (seg[s].len)
			iov[n++] = (struct iovec){ (void *)seg[s].ptr,
						   seg[s].len };
	memset(&u->msg[u->n], 0, sizeof(u->msg[u->n]));
	u->msg[u->n].msg_hdr.msg_iov = iov;
	u->msg[u->n].msg_hdr.msg_iovlen = n;
	u->at[u->n++] = at;
	u->n_iov += n;
	return true;
}

/*
 * What becomes of a packet that the socket did not take: a drop reason, or
 * DROP_N if it has to wait for room.
 */
static __attribute__((noinline)) enum drop tx_failed(struct dgram *d, int err)
{
	if (err == ECONNREFUSED && !d->is_unix)
		unreachable(d, err);
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
	case EINTR:
		atomic_fetch_add_explicit(&d->full, 1, memory_order_relaxed);
		return DROP_N;
	case EMSGSIZE:
		return DROP_OUT_OVERSIZE;
	case ECONNREFUSED:
	case ENOTCONN:
	case EDESTADDRREQ:
	case ENOENT:
	case EPIPE:
		if (d->is_unix)
			dgram_tell(d, DGRAM_GONE);
		return DROP_OUT_LINK_DOWN;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return DROP_OUT_LINK_DOWN;
	case EFAULT: /* the memory of who sent it is gone: not our peer's */
		return DROP_OUT_IO_ERROR;
	default:
		atomic_store_explicit(&d->error, err, memory_order_relaxed);
		return DROP_OUT_IO_ERROR;
	}
}

static void count_sent(struct tx_ctx *ctx, const struct batch *b,
		       const uint16_t *list, const struct burst *u,
		       unsigned from, unsigned to)
{
	uint64_t bytes = 0;

	for (unsigned k = from; k < to; k++)
		bytes += b->len[list[u->at[k]]];
	count_add(&ctx->counters->packets, to - from);
	count_add(&ctx->counters->bytes, bytes);
}

/*
 * Sends a burst and empties it. Returns how many of the list are dealt with:
 * end, unless the peer has no room.
 */
static unsigned burst_flush(struct dgram *d, struct tx_ctx *ctx,
			    const struct batch *b, const uint16_t *list,
			    struct burst *u, unsigned end)
{
	unsigned done = 0, touched = u->n;
	bool again = !d->is_unix;

	while (done < u->n) {
		int n = sendmmsg(d->sock.fd, u->msg + done, u->n - done,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		enum drop why;

		if (n > 0) {
			count_sent(ctx, b, list, u, done, done + n);
			done += n;
			again = !d->is_unix;
			continue;
		}
		/* UDP: said of an earlier packet; this one was not sent. */
		if (errno == ECONNREFUSED && again) {
			unreachable(d, errno);
			again = false;
			continue;
		}
		if (errno == EFAULT && touched != done) {
			const struct msghdr *hdr = &u->msg[done].msg_hdr;

			touch_iov(hdr->msg_iov, hdr->msg_iovlen);
			touched = done;
			continue;
		}
		why = tx_failed(d, errno);
		if (why == DROP_N) {
			end = u->at[done];
			break;
		}
		tx_drop(ctx, list[u->at[done++]], why);
	}
	u->n = u->n_iov = 0;
	return end;
}

static void dgram_tx(struct egress *out, struct tx_ctx *ctx,
		     const struct batch *b, const uint16_t *list, unsigned n)
{
	struct dgram *d = out->drv;
	struct burst u;
	unsigned at = 0, sent = n;

	if (!atomic_load_explicit(&d->connected, memory_order_relaxed)) {
		for (unsigned k = 0; k < n; k++)
			tx_drop(ctx, list[k], DROP_OUT_LINK_DOWN);
		return;
	}
	if (atomic_load_explicit(&d->backlog.n, memory_order_relaxed) &&
	    !backlog_empty(d)) {
		backlog_add(d, ctx, b, list, n);
		return;
	}
	u.n = u.n_iov = 0;
	while (at < n && sent == n) {
		if (burst_add(&u, b, list[at], at))
			at++;
		else
			sent = burst_flush(d, ctx, b, list, &u, n);
	}
	if (sent == n)
		sent = burst_flush(d, ctx, b, list, &u, n);
	if (sent < n)
		backlog_add(d, ctx, b, list + sent, n - sent);
}

const struct port_hot dgram_hot = {
	.rx = dgram_rx,
	.rx_done = dgram_rx_done,
	.rx_arm = dgram_rx_arm,
	.tx = dgram_tx,
};
