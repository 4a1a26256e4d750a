// SPDX-License-Identifier: BSD-2-Clause
// rx.c - the receiving half of glen-gen.
#include "rx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tx.h"

enum {
	PREFETCH = 4, /* slots ahead */
};

int receiver_init(struct receiver *r, const struct gen_opts *opts,
		  struct glen_port *port)
{
	int err = 0;

	memset(r, 0, sizeof(*r));
	r->port = port;
	r->opts = opts;
	r->hot = hot_ops_now();
	r->n_rings = glen_port_rings(port);
	r->limit = opts->batch;
	if (!opts->check)
		return 0;
	r->latency = calloc(1, sizeof(*r->latency));
	r->scratch = aligned_alloc(64, PACKET_BUF_SIZE);
	if (!r->latency || !r->scratch)
		err = -ENOMEM;
	if (!err)
		err = seq_init(&r->seq, FLOWS_MAX);
	if (err)
		receiver_fini(r);
	return err;
}

void receiver_fini(struct receiver *r)
{
	seq_fini(&r->seq);
	free(r->latency);
	free(r->scratch);
	r->latency = NULL;
	r->scratch = NULL;
}

static void check_frame(struct receiver *r, const uint8_t *frame, uint32_t len)
{
	struct payload p;
	unsigned at;

	switch (payload_get(frame, len, &p, &at)) {
	case PAYLOAD_FOREIGN:
		r->foreign++;
		return;
	case PAYLOAD_TRUNCATED:
		r->truncated++;
		return;
	case PAYLOAD_CORRUPTED:
		r->corrupted++;
		return;
	case PAYLOAD_OK:
		break;
	}
	if (p.kind == PAYLOAD_END) {
		r->ends++;
		seq_end(&r->seq, p.flow, p.run, p.seq);
		return;
	}
	if (p.kind != PAYLOAD_DATA) {
		r->other++;
		return;
	}
	if (!seq_packet(&r->seq, p.flow, p.run, p.seq)) {
		r->corrupted++;
		return;
	}
	r->rx.packets++;
	r->rx.bytes += len + r->opts->spec.vnet_len;
	hist_add(r->latency, r->now > p.time ? r->now - p.time : 0);
}

uint32_t packet_at(struct netmap_ring *ring, uint32_t at, uint32_t space,
		   uint8_t *scratch, const uint8_t **packet, uint32_t *len)
{
	struct netmap_slot *s = &ring->slot[at];
	uint32_t n = 0, total = 0, max = ring->nr_buf_size;

	if (!(s->flags & NS_MOREFRAG)) {
		*packet = (const uint8_t *)NETMAP_BUF(ring, s->buf_idx);
		*len = s->len <= max ? s->len : 0;
		return 1;
	}
	for (; n < space; at = nm_ring_next(ring, at)) {
		bool more;

		s = &ring->slot[at];
		more = s->flags & NS_MOREFRAG;
		n++;
		if (s->len <= max && total + s->len <= PACKET_BUF_SIZE)
			memcpy(scratch + total, NETMAP_BUF(ring, s->buf_idx),
			       s->len);
		else
			total = PACKET_BUF_SIZE; /* no packet of ours */
		total += s->len;
		if (more && n < ring->num_slots - 1)
			continue;
		*packet = scratch;
		*len = more || total > PACKET_BUF_SIZE ? 0 : total;
		return n;
	}
	return 0;
}

/* Checks up to n slots' worth of packets. */
static uint32_t drain_checked(struct receiver *r, struct netmap_ring *ring,
			      uint32_t n)
{
	uint32_t at = ring->head, space = nm_ring_space(ring), done = 0;
	unsigned vnet = r->opts->spec.vnet_len;

	if (!space)
		return 0;
	r->now = clock_ns();
	while (done < n && done < space) {
		const uint8_t *packet;
		uint32_t len, ahead = at + PREFETCH, slots;

		if (ahead >= ring->num_slots)
			ahead -= ring->num_slots;
		/* The slots behind may just be being written. */
		if (done + PREFETCH < space)
			__builtin_prefetch(
				NETMAP_BUF(ring, ring->slot[ahead].buf_idx));
		slots = packet_at(ring, at, space - done, r->scratch, &packet,
				  &len);
		if (!slots)
			break;
		if (len < vnet)
			r->truncated++;
		else
			check_frame(r, packet + vnet, len - vnet);
		done += slots;
		at += slots;
		if (at >= ring->num_slots)
			at -= ring->num_slots;
	}
	ring->head = ring->cur = at;
	return done;
}

int receiver_step(struct receiver *r)
{
	uint32_t i = r->ring, n;
	struct netmap_ring *ring = glen_port_rx_ring(r->port, i);
	int err;

	if (r->opts->check)
		n = drain_checked(r, ring, r->limit);
	else
		n = r->hot->drain(ring, &r->rx, r->limit);
	err = glen_rxsync(r->port, i);
	if (err < 0)
		return err;
	if (++r->ring == r->n_rings)
		r->ring = 0;
	return (int)n;
}

bool receiver_done(const struct receiver *r)
{
	if (r->opts->until_end && seq_all_ended(&r->seq))
		return true;
	return r->opts->count && receiver_packets(r) >= r->opts->count;
}

bool receiver_sum(const struct receiver *r, struct seq_counts *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (!r->opts->check)
		return receiver_packets(r) > 0;
	seq_sum(&r->seq, sum);
	return sum->received && !sum->lost && !sum->reordered &&
	       !sum->duplicated && !sum->stale && !r->truncated &&
	       !r->corrupted;
}
