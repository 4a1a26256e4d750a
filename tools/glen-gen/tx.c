// SPDX-License-Identifier: BSD-2-Clause
// tx.c - the sending half of glen-gen.
#include "tx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	CONTROL_LEN = 60, /* end markers and announcements, at least */
};

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double rate_pps(const struct gen_opts *opts)
{
	if (!opts->rate.bits)
		return opts->rate.value;
	return opts->rate.value / 8 / opts->sizes.mean;
}

static int heads_init(struct sender *s)
{
	const struct gen_opts *o = s->opts;

	s->tx.head = aligned_alloc(64, (size_t)o->flows * FRAME_HEAD_SIZE);
	s->tx.seq = calloc(o->flows, sizeof(*s->tx.seq));
	s->tx.scratch = aligned_alloc(64, PACKET_BUF_SIZE);
	if (!s->tx.head || !s->tx.seq || !s->tx.scratch)
		return -ENOMEM;
	for (uint32_t i = 0; i < o->flows; i++)
		frame_head(&o->spec, o->first_flow + i, o->sizes.size[0],
			   s->tx.head[i]);
	return 0;
}

/* One flow of one size that fits a slot needs nothing but a template. */
static int template_init(struct sender *s)
{
	const struct gen_opts *o = s->opts;
	uint32_t len = o->sizes.max + o->spec.vnet_len;

	if (o->check || o->flows > 1 || o->sizes.n > 1 || len > s->tx.seg_max)
		return 0;
	s->packet = aligned_alloc(64, PACKET_BUF_SIZE);
	if (!s->packet)
		return -ENOMEM;
	memcpy(s->packet, fill_table(), PACKET_BUF_SIZE);
	memcpy(s->packet, s->tx.head[0], FRAME_HEAD_SIZE);
	s->packet_len = len;
	return 0;
}

int sender_init(struct sender *s, const struct gen_opts *opts,
		struct glen_port *port, uint64_t now)
{
	struct netmap_ring *ring = glen_port_tx_ring(port, 0);
	int r;

	*s = (struct sender){ .port = port, .opts = opts };
	s->hot = hot_ops_now();
	s->n_rings = glen_port_rings(port);
	s->needs_clock = opts->check || opts->rate.value > 0;
	s->tx.spec = &opts->spec;
	s->tx.filling = fill_table();
	s->tx.size = opts->sizes.size;
	s->tx.n_sizes = opts->sizes.n;
	s->tx.n_flows = opts->flows;
	s->tx.first_flow = opts->first_flow;
	s->tx.flow_step = s->n_rings;
	s->tx.seg_max = opts_seg_max(ring->nr_buf_size);
	s->tx.head_len = frame_head_len(&opts->spec);
	s->tx.run = (uint32_t)(now >> 10) ^ (uint32_t)getpid() << 16;
	s->tx.run |= !s->tx.run; /* 0 means none */
	for (uint32_t i = 0; i < s->n_rings; i++)
		s->flow[i] = i;
	pace_init(&s->pace, rate_pps(opts), opts->burst, now);
	r = heads_init(s);
	if (!r)
		r = template_init(s);
	if (r)
		sender_fini(s);
	return r;
}

void sender_fini(struct sender *s)
{
	free(s->tx.head);
	free(s->tx.seq);
	free(s->tx.scratch);
	free(s->packet);
	s->tx.head = NULL;
	s->tx.seq = NULL;
	s->tx.scratch = s->packet = NULL;
}

static uint32_t step_budget(struct sender *s, uint64_t now)
{
	uint32_t n = s->opts->batch;
	uint64_t left = s->opts->count - s->packets;

	if (s->opts->count && left < n)
		n = (uint32_t)left;
	return pace_get(&s->pace, n, now);
}

int sender_step(struct sender *s, uint64_t now)
{
	uint32_t i = s->ring, n = step_budget(s, now);
	struct netmap_ring *ring = glen_port_tx_ring(s->port, i);
	int r;

	if (!n)
		return 0;
	if (s->packet) {
		n = s->hot->fill_same(ring, s->packet, s->packet_len, n);
		s->tx.bytes += (uint64_t)n * s->opts->sizes.max;
	} else if (s->opts->check) {
		s->tx.now = now;
		n = s->hot->fill_checked(ring, &s->tx, &s->flow[i], n);
	} else {
		n = s->hot->fill_any(ring, &s->tx, &s->flow[i], n);
	}
	r = glen_txsync(s->port, i);
	if (r < 0)
		return r;
	if (++s->ring == s->n_rings)
		s->ring = 0;
	s->packets += n;
	s->ring_full += !n;
	pace_spend(&s->pace, n);
	return (int)n;
}

uint32_t packet_build(const struct frame_spec *spec, uint8_t *packet,
		      uint32_t len, uint32_t flow, struct payload *p)
{
	unsigned at = frame_head_len(spec) - spec->vnet_len;

	memcpy(packet, fill_table(), len + spec->vnet_len);
	if (len + spec->vnet_len < FRAME_HEAD_SIZE)
		memset(packet, 0, FRAME_HEAD_SIZE);
	frame_head(spec, flow, len, packet);
	payload_put(packet + spec->vnet_len, len, at, spec->udp, p);
	return len + spec->vnet_len;
}

bool ring_put(struct netmap_ring *ring, const uint8_t *packet, uint32_t len)
{
	uint32_t seg = opts_seg_max(ring->nr_buf_size), at = ring->head;

	if (nm_ring_space(ring) < (len + seg - 1) / seg)
		return false;
	for (uint32_t o = 0; o < len;) {
		struct netmap_slot *s = &ring->slot[at];
		uint32_t piece = len - o < seg ? len - o : seg;

		memcpy(NETMAP_BUF(ring, s->buf_idx), packet + o, piece);
		o += piece;
		s->len = (uint16_t)piece;
		s->flags = o < len ? NS_MOREFRAG : 0;
		at = nm_ring_next(ring, at);
	}
	ring->head = ring->cur = at;
	return true;
}

static uint32_t control_len(const struct frame_spec *spec)
{
	unsigned min = frame_checked_min(spec);

	return min > CONTROL_LEN ? min : CONTROL_LEN;
}

int sender_end_markers(struct sender *s, uint32_t *next)
{
	const struct frame_spec *spec = &s->opts->spec;
	uint32_t n_sent = 0;
	int r;

	while (*next < s->tx.n_flows && n_sent < s->opts->batch) {
		uint32_t ring = *next % s->n_rings, len;
		uint32_t flow = s->tx.first_flow + *next;
		struct payload p = {
			.flow = flow,
			.run = s->tx.run,
			.kind = PAYLOAD_END,
			.seq = s->tx.seq[*next],
			.time = clock_ns(),
		};

		len = packet_build(spec, s->tx.scratch, control_len(spec), flow,
				   &p);
		if (!ring_put(glen_port_tx_ring(s->port, ring), s->tx.scratch,
			      len))
			break;
		(*next)++;
		n_sent++;
	}
	for (uint32_t i = 0; i < s->n_rings; i++) {
		r = glen_txsync(s->port, i);
		if (r < 0)
			return r;
	}
	return 0;
}

bool sender_pending(struct sender *s)
{
	bool pending = false;

	for (uint32_t i = 0; i < s->n_rings; i++) {
		if (glen_txsync(s->port, i) < 0)
			return false;
		pending |= nm_tx_pending(glen_port_tx_ring(s->port, i));
	}
	return pending;
}

void sender_discard_rx(struct sender *s)
{
	for (uint32_t i = 0; i < s->n_rings; i++) {
		struct netmap_ring *ring = glen_port_rx_ring(s->port, i);

		if (!ring || glen_rxsync(s->port, i) < 0)
			continue;
		ring->head = ring->cur = ring->tail;
		glen_rxsync(s->port, i);
	}
}

int announce(struct glen_port *port, const struct gen_opts *opts,
	     uint32_t *next)
{
	struct frame_spec spec = opts->spec;
	struct netmap_ring *ring = glen_port_tx_ring(port, 0);
	uint8_t packet[512];
	uint32_t len;
	int r = glen_txsync(port, 0);

	spec.udp = false;
	for (; r >= 0 && *next < opts->flows; (*next)++) {
		struct payload p = { .kind = PAYLOAD_ANNOUNCE };

		mac_add(spec.src, opts->spec.src, *next);
		memset(spec.dst, 0xff, sizeof(spec.dst));
		len = control_len(&spec);
		/* frame_head() adds the flow to both addresses: use flow 0. */
		len = packet_build(&spec, packet, len, 0, &p);
		if (!ring_put(ring, packet, len))
			break;
	}
	return r < 0 ? r : glen_txsync(port, 0);
}
