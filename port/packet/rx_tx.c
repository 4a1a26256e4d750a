// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - packets from a packet socket's ring, and out with sendmmsg().
#include "port/packet/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#include "core/touch.h"

enum { TAG_LEN = 4, PREFETCH = 6 };

static uint32_t status_load(const struct tpacket2_hdr *h)
{
	/* pairs with the kernel's smp_wmb() before it sets the status */
	return __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
}

static uint32_t next_slot(const struct packet_queue *q, uint32_t i)
{
	return i + 1 == q->n_slots ? 0 : i + 1;
}

/*
 * Puts the tag that the kernel took out of a frame back; the four bytes before
 * it are free. Returns where the frame begins now.
 */
static uint8_t *tag_put(uint8_t *frame, const struct tpacket2_hdr *h,
			struct offload *off)
{
	uint16_t tpid = h->tp_status & TP_STATUS_VLAN_TPID_VALID ?
				h->tp_vlan_tpid :
				ETH_P_8021Q;
	uint8_t *start = frame - TAG_LEN;

	memmove(start, frame, 2 * ETH_ALEN);
	start[12] = tpid >> 8;
	start[13] = (uint8_t)tpid;
	start[14] = h->tp_vlan_tci >> 8;
	start[15] = (uint8_t)h->tp_vlan_tci;
	if (off->flags & OFFLOAD_NEEDS_CSUM)
		off->csum_start += TAG_LEN;
	if (off->gso_type != OFFLOAD_GSO_NONE)
		off->hdr_len += TAG_LEN;
	return start;
}

static __attribute__((noinline)) void rx_refuse(struct ingress *in,
						enum drop reason,
						const uint8_t *data,
						uint32_t len)
{
	const struct seg seg = { data, len };

	in_drop_seg(in, reason, &seg, 1, len);
}

/* A frame of len bytes with its vnet header before it; h: of its slot. */
static void rx_frame(struct ingress *in, struct batch *b, uint8_t *frame,
		     uint32_t len, const struct tpacket2_hdr *h)
{
	unsigned i = b->n;

	if (__builtin_expect(len < PACKET_LEN_MIN || len > PACKET_FRAME_MAX,
			     0)) {
		rx_refuse(in,
			  len < PACKET_LEN_MIN ? DROP_IN_RUNT :
						 DROP_IN_TOO_LONG,
			  frame, len);
		return;
	}
	b->offloads |= vnet_hdr_read(frame - VNET_HDR_LEN, &b->off[i]);
	if (h->tp_status & TP_STATUS_VLAN_VALID) {
		frame = tag_put(frame, h, &b->off[i]);
		len += TAG_LEN;
	}
	b->len[i] = len;
	b->seg0[i] = i;
	b->n_seg[i] = 1;
	b->seg[i].ptr = frame;
	b->seg[i].len = len;
	b->n = b->n_segs = i + 1;
}

/*
 * The slot has a part of its packet only. Reads the whole one to data, or
 * refuses it. Returns the bytes used, at least 0.
 */
static __attribute__((noinline)) size_t rx_long(struct ingress *in,
						struct batch *b, uint8_t *data,
						struct tpacket2_hdr *h)
{
	struct packet_queue *q = in->drv;
	ssize_t len = -1;

	if (h->tp_status & TP_STATUS_COPY)
		len = recv(q->fd, data - VNET_HDR_LEN, PACKET_READ_SIZE,
			   MSG_DONTWAIT);
	if (len < VNET_HDR_LEN || len == PACKET_READ_SIZE) {
		rx_refuse(in, DROP_IN_TRUNCATED, (uint8_t *)h + h->tp_mac,
			  h->tp_snaplen);
		return 0;
	}
	rx_frame(in, b, data, len - VNET_HDR_LEN, h);
	return (len + PACKET_HEADROOM + 63) & ~(size_t)63;
}

static unsigned packet_rx(struct ingress *in, struct batch *b)
{
	struct packet_queue *q = in->drv;
	uint8_t *data = q->arena + PACKET_HEADROOM;
	const uint8_t *last = q->arena + PACKET_ARENA_SIZE - PACKET_READ_SIZE;
	uint32_t i = q->head;
	unsigned taken = 0;

	b->overread = true;
	b->identity = false;
	while (taken < BATCH_MAX && data <= last) {
		struct tpacket2_hdr *h = (void *)packet_slot(q, i);
		uint32_t ahead = i + PREFETCH;

		if (!(status_load(h) & TP_STATUS_USER))
			break;
		if (ahead >= q->n_slots)
			ahead -= q->n_slots;
		__builtin_prefetch(packet_slot(q, ahead));
		if (__builtin_expect(h->tp_snaplen < h->tp_len, 0))
			data += rx_long(in, b, data, h);
		else
			rx_frame(in, b, (uint8_t *)h + h->tp_mac, h->tp_snaplen,
				 h);
		i = next_slot(q, i);
		taken++;
	}
	q->head = i;
	return taken;
}

static void packet_rx_done(struct ingress *in, struct batch *b)
{
	struct packet_queue *q = in->drv;

	for (; q->done != q->head; q->done = next_slot(q, q->done)) {
		struct tpacket2_hdr *h = (void *)packet_slot(q, q->done);

		/* pairs with the kernel's reading it before it fills the slot
		 */
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
	}
}

/* The kernel sets the status and wakes then: what came too early is seen. */
static bool packet_rx_arm(struct ingress *in)
{
	struct packet_queue *q = in->drv;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return status_load((void *)packet_slot(q, q->head)) & TP_STATUS_USER;
}

/* What sendmmsg() takes; on the worker's stack. */
struct tx_batch {
	struct mmsghdr msg[PACKET_TX_MAX];
	struct iovec iov[PACKET_TX_MAX + 2 * PACKET_TX_MAX + BATCH_SEGS];
	uint8_t vnet[PACKET_TX_MAX][VNET_HDR_LEN];
	uint16_t packet[PACKET_TX_MAX];
	unsigned n, n_iov;
};

static void tx_put(struct tx_batch *t, const struct batch *b, unsigned i)
{
	static const struct offload nothing;
	const struct seg *seg = &b->seg[b->seg0[i]];
	struct iovec *iov = &t->iov[t->n_iov];
	unsigned n = 0;

	vnet_hdr_write(t->vnet[t->n], VNET_HDR_LEN,
		       b->offloads ? &b->off[i] : &nothing);
	iov[n++] = (struct iovec){ t->vnet[t->n], VNET_HDR_LEN };
	iov[n++] = (struct iovec){ (void *)b->hdr[i], b->hdr_len[i] };
	for (unsigned s = 0; s < b->n_seg[i]; s++)
		if (seg[s].len)
			iov[n++] = (struct iovec){ (void *)seg[s].ptr,
						   seg[s].len };
	t->msg[t->n].msg_hdr = (struct msghdr){ .msg_iov = iov,
						.msg_iovlen = n };
	t->packet[t->n++] = i;
	t->n_iov += n;
}

/* The drop reason for a packet that the kernel did not take. */
static __attribute__((noinline)) enum drop tx_failed(struct packet_queue *q,
						     const struct batch *b,
						     unsigned i)
{
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return DROP_OUT_NO_ROOM;
	case ENETDOWN:
		return DROP_OUT_LINK_DOWN;
	case EMSGSIZE:
		return DROP_OUT_OVERSIZE;
	case ENXIO:
	case ENODEV:
		port_break(q->port, "its interface was deleted");
		return DROP_OUT_GONE;
	case EINVAL:
		if (b->offloads && (b->off[i].flags || b->off[i].gso_type))
			return DROP_OUT_BAD_OFFLOAD;
		/* fall through */
	default:
		return DROP_OUT_IO_ERROR;
	}
}

/*
 * That the interface went down once stays on the socket as an error and is told
 * at the next call, whether it is up again by then or not: ask twice.
 */
static int tx_send(struct packet_queue *q, struct mmsghdr *msg, unsigned n)
{
	int sent = sendmmsg(q->fd, msg, n, MSG_DONTWAIT);

	if (__builtin_expect(sent < 0 && errno == ENETDOWN, 0))
		sent = sendmmsg(q->fd, msg, n, MSG_DONTWAIT);
	return sent;
}

static void tx_flush(struct packet_queue *q, struct tx_ctx *ctx,
		     const struct batch *b, struct tx_batch *t)
{
	uint64_t packets = 0, bytes = 0;
	unsigned at = 0, touched = t->n;

	while (at < t->n) {
		const struct msghdr *hdr = &t->msg[at].msg_hdr;
		int sent = tx_send(q, t->msg + at, t->n - at);

		if (__builtin_expect(sent < 0 && errno == EFAULT, 0) &&
		    touched != at) {
			touch_iov(hdr->msg_iov, hdr->msg_iovlen);
			touched = at;
			continue;
		}
		if (sent <= 0) {
			tx_drop(ctx, t->packet[at],
				tx_failed(q, b, t->packet[at]));
			at++;
			continue;
		}
		packets += sent;
		for (; sent; sent--)
			bytes += b->len[t->packet[at++]];
	}
	count_add(&ctx->counters->packets, packets);
	count_add(&ctx->counters->bytes, bytes);
	t->n = t->n_iov = 0;
}

static void packet_tx(struct egress *out, struct tx_ctx *ctx,
		      const struct batch *b, const uint16_t *list, unsigned n)
{
	struct packet_queue *q = out->drv;
	struct tx_batch t;

	t.n = t.n_iov = 0;
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];

		if (b->len[i] > PACKET_FRAME_MAX) {
			tx_drop(ctx, i, DROP_OUT_OVERSIZE);
			continue;
		}
		tx_put(&t, b, i);
		if (t.n == PACKET_TX_MAX)
			tx_flush(q, ctx, b, &t);
	}
	if (t.n)
		tx_flush(q, ctx, b, &t);
}

const struct port_hot packet_hot = {
	.rx = packet_rx,
	.rx_done = packet_rx_done,
	.rx_arm = packet_rx_arm,
	.tx = packet_tx,
};
