// SPDX-License-Identifier: BSD-2-Clause
// rx_tx.c - hands out replayed packets when they are due, and takes packets.
#include "port/pcap/pcap_port.h"

#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

enum { SECOND_NS = 1000000000 };

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * (uint64_t)SECOND_NS + ts.tv_nsec;
}

static void rx_packet(struct ingress *in, struct batch *b,
		      const struct pcap_reader *rd,
		      const struct pcap_desc *desc)
{
	unsigned i = b->n;

	if (desc->drop != DROP_N) {
		in_drop(in, desc->drop);
		return;
	}
	b->len[i] = desc->len;
	b->seg0[i] = i;
	b->n_seg[i] = 1;
	b->seg[i].ptr = rd->ring.data + desc->off;
	b->seg[i].len = desc->len;
	b->n = b->n_segs = i + 1;
}

static unsigned pcap_rx(struct ingress *in, struct batch *b)
{
	struct pcap_reader *rd = in->drv;
	uint32_t tail = atomic_load_explicit(&rd->ring.tail,
					     memory_order_relaxed);
	const struct pcap_desc *desc = pcap_ring_peek(&rd->ring, tail);
	uint32_t n = 0;
	uint64_t now;

	b->overread = true;
	if (!desc)
		return 0;
	now = clock_ns(CLOCK_MONOTONIC);
	if (!rd->start_ns)
		rd->start_ns = now;
	while (desc && desc->time_ns <= now - rd->start_ns && n < BATCH_MAX) {
		rx_packet(in, b, rd, desc);
		desc = pcap_ring_peek(&rd->ring, tail + ++n);
	}
	b->slots = n;
	return n;
}

static void pcap_rx_done(struct ingress *in, struct batch *b)
{
	struct pcap_reader *rd = in->drv;
	uint32_t tail = atomic_load_explicit(&rd->ring.tail,
					     memory_order_relaxed);

	if (!b->slots)
		return;
	pcap_ring_release(&rd->ring, tail + b->slots);
	if (pcap_ring_wants_kick(&rd->ring))
		pcap_ring_kick(&rd->ring);
}

/* Sets the timer to the next packet, or waits for the reader to fire it. */
static bool pcap_rx_arm(struct ingress *in)
{
	struct pcap_reader *rd = in->drv;
	uint32_t tail = atomic_load_explicit(&rd->ring.tail,
					     memory_order_relaxed);
	const struct pcap_desc *desc;
	struct itimerspec when = { 0 };
	uint64_t at;

	atomic_store_explicit(&rd->armed, true, memory_order_relaxed);
	/* Pairs with the fence in wake_worker(): we see its packet, or it
	 * sees that we wait. */
	shm_full_fence();
	desc = pcap_ring_peek(&rd->ring, tail);
	if (!desc)
		return false;
	atomic_store_explicit(&rd->armed, false, memory_order_relaxed);
	at = rd->start_ns + desc->time_ns;
	if (!rd->start_ns || at <= clock_ns(CLOCK_MONOTONIC))
		return true;
	when.it_value.tv_sec = at / SECOND_NS;
	when.it_value.tv_nsec = at % SECOND_NS;
	timerfd_settime(rd->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	return false;
}

static void pcap_rx_disarm(struct ingress *in)
{
	struct pcap_reader *rd = in->drv;

	atomic_store_explicit(&rd->armed, false, memory_order_relaxed);
}

/* Copies the first len bytes of packet i. */
static void copy_packet(uint8_t *to, const struct batch *b, unsigned i,
			uint32_t len)
{
	const struct seg *seg = &b->seg[b->seg0[i]];
	uint32_t part = b->hdr_len[i] < len ? b->hdr_len[i] : len;

	memcpy(to, b->hdr[i], part);
	for (unsigned s = 0; s < b->n_seg[i] && part < len; s++) {
		uint32_t size = seg[s].len < len - part ? seg[s].len :
							  len - part;

		memcpy(to + part, seg[s].ptr, size);
		part += size;
	}
}

/* What tx() reserved for a packet. */
struct place {
	struct pcap_desc *desc;
	uint32_t number;
};

static void pcap_tx(struct egress *out, struct tx_ctx *ctx,
		    const struct batch *b, const uint16_t *list, unsigned n)
{
	struct pcap_writer *wr = out->drv;
	struct place places[BATCH_MAX];
	uint64_t now = clock_ns(CLOCK_REALTIME);
	uint64_t packets = 0, bytes = 0;

	pthread_spin_lock(&wr->ring.lock);
	for (unsigned k = 0; k < n; k++) {
		uint32_t len = b->len[list[k]];

		places[k].desc = pcap_ring_reserve(&wr->ring,
						   len < wr->snaplen ?
							   len :
							   wr->snaplen,
						   &places[k].number);
	}
	pthread_spin_unlock(&wr->ring.lock);
	for (unsigned k = 0; k < n; k++) {
		struct pcap_desc *desc = places[k].desc;
		unsigned i = list[k];

		if (!desc) {
			tx_drop(ctx, i, DROP_OUT_NO_ROOM);
			continue;
		}
		copy_packet(wr->ring.data + desc->off, b, i, desc->len);
		desc->wire_len = b->len[i];
		desc->time_ns = now;
		pcap_ring_ready(desc, places[k].number);
		packets++;
		bytes += b->len[i];
	}
	count_add(&ctx->counters->packets, packets);
	count_add(&ctx->counters->bytes, bytes);
	if (pcap_ring_wants_kick(&wr->ring)) {
		pcap_ring_kick(&wr->ring);
		count_add(&ctx->counters->kicks, 1);
	}
}

const struct port_hot pcap_hot = {
	.rx = pcap_rx,
	.rx_done = pcap_rx_done,
	.rx_arm = pcap_rx_arm,
	.rx_disarm = pcap_rx_disarm,
	.tx = pcap_tx,
};
