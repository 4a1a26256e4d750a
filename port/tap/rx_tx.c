// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - packets from and to a TAP's queues: one system call each.
#include "port/tap/tap.h"

#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/offload.h"
#include "core/touch.h"

/* read() failed: nothing there, or the interface went away. */
static __attribute__((noinline)) void rx_failed(struct tap_queue *q, int err)
{
	if (err == EBADFD || err == EBADF || err == ENODEV)
		port_break(q->port, "its interface was deleted");
}

static __attribute__((noinline)) void rx_refuse(struct ingress *in,
						const uint8_t *data, size_t len)
{
	const struct seg seg = { data,
				 len < TAP_VNET_LEN ? 0 : len - TAP_VNET_LEN };

	in_drop_seg(in, len < TAP_READ_SIZE ? DROP_IN_RUNT : DROP_IN_TRUNCATED,
		    &seg, 1, seg.len);
}

/* A packet of len bytes, vnet header included, lies at data - TAP_VNET_LEN. */
static void rx_packet(struct ingress *in, struct batch *b, const uint8_t *data,
		      size_t len)
{
	unsigned i = b->n;

	if (__builtin_expect(len < TAP_VNET_LEN + PACKET_LEN_MIN ||
				     len >= TAP_READ_SIZE,
			     0)) {
		rx_refuse(in, data, len);
		return;
	}
	b->offloads |= vnet_hdr_read(data - TAP_VNET_LEN, &b->off[i]);
	b->len[i] = len - TAP_VNET_LEN;
	b->seg0[i] = i;
	b->n_seg[i] = 1;
	b->seg[i].ptr = data;
	b->seg[i].len = len - TAP_VNET_LEN;
	b->n = b->n_segs = i + 1;
}

static unsigned tap_rx(struct ingress *in, struct batch *b)
{
	struct tap_queue *q = in->drv;
	uint8_t *data = q->arena + TAP_HEADROOM;
	const uint8_t *last = q->arena + TAP_ARENA_SIZE - TAP_READ_SIZE;
	unsigned taken = 0;
	ssize_t len;

	b->overread = true;
	while (taken < TAP_RX_MAX && data <= last) {
		len = read(q->fd, data - TAP_VNET_LEN, TAP_READ_SIZE);
		if (len <= 0) {
			if (len == 0 || errno != EAGAIN)
				rx_failed(q, len ? errno : 0);
			break;
		}
		taken++;
		rx_packet(in, b, data, len);
		data += (len + 63) & ~(ssize_t)63;
	}
	return taken;
}

/* The arena is simply used again. */
static void tap_rx_done(struct ingress *in, struct batch *b)
{
}

/*
 * The descriptor itself makes the edges. One that came after our last read but
 * was taken for a spurious one, because the ring was polled then, would be
 * lost: so look.
 */
static bool tap_rx_arm(struct ingress *in)
{
	struct tap_queue *q = in->drv;
	struct pollfd p = { .fd = q->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* Header and segments of packet i as a vector behind the vnet header. */
static unsigned tx_vector(struct iovec *iov, const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	unsigned n = 0;

	iov[n].iov_base = (void *)b->hdr[i];
	iov[n++].iov_len = b->hdr_len[i];
	for (unsigned s = 0; s < b->n_seg[i]; s++) {
		if (!seg[s].len)
			continue;
		iov[n].iov_base = (void *)seg[s].ptr;
		iov[n++].iov_len = seg[s].len;
	}
	return n;
}

/* The drop reason for a writev() that failed. */
static __attribute__((noinline)) enum drop tx_failed(struct tap_queue *q,
						     int err, bool offloads)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return DROP_OUT_NO_ROOM;
	case EIO:
		return DROP_OUT_LINK_DOWN;
	case EBADFD:
	case EBADF:
	case ENODEV:
		port_break(q->port, "its interface was deleted");
		return DROP_OUT_GONE;
	case EINVAL:
		if (offloads)
			return DROP_OUT_BAD_OFFLOAD;
		/* fall through */
	default:
		return DROP_OUT_IO_ERROR;
	}
}

/* A sender's memory has gone: it is found out, and the packet sent if it can
 * be. As writev(). */
static __attribute__((noinline)) ssize_t tx_again(struct tap_queue *q,
						  const struct iovec *iov,
						  unsigned n)
{
	touch_iov(iov, n);
	return writev(q->fd, iov, n);
}

static void tap_tx(struct egress *out, struct tx_ctx *ctx,
		   const struct batch *b, const uint16_t *list, unsigned n)
{
	static const struct offload nothing;
	struct tap_queue *q = out->drv;
	struct iovec iov[2 + PACKET_SEGS_MAX];
	uint8_t vnet[TAP_VNET_LEN];
	uint64_t packets = 0, bytes = 0;
	enum drop down = DROP_N;

	iov[0].iov_base = vnet;
	iov[0].iov_len = TAP_VNET_LEN;
	vnet_hdr_write(vnet, TAP_VNET_LEN, &nothing);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];
		unsigned n_iov;

		if (b->len[i] > TAP_FRAME_MAX) {
			tx_drop(ctx, i, DROP_OUT_OVERSIZE);
			continue;
		}
		if (down != DROP_N) {
			tx_drop(ctx, i, down);
			continue;
		}
		if (b->offloads)
			vnet_hdr_write(vnet, TAP_VNET_LEN, &b->off[i]);
		n_iov = 1 + tx_vector(iov + 1, b, i);
		if (__builtin_expect(writev(q->fd, iov, n_iov) < 0, 0) &&
		    (errno != EFAULT || tx_again(q, iov, n_iov) < 0)) {
			enum drop why = tx_failed(q, errno, b->offloads);

			/* The rest of this batch would fare no better. */
			if (why == DROP_OUT_LINK_DOWN || why == DROP_OUT_GONE)
				down = why;
			tx_drop(ctx, i, why);
			continue;
		}
		packets++;
		bytes += b->len[i];
	}
	count_add(&ctx->counters->packets, packets);
	count_add(&ctx->counters->bytes, bytes);
}

const struct port_hot tap_hot = {
	.rx = tap_rx,
	.rx_done = tap_rx_done,
	.rx_arm = tap_rx_arm,
	.tx = tap_tx,
};
