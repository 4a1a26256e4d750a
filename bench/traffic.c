// SPDX-License-Identifier: BSD-2-Clause
// traffic.c - senders and receivers over the rings of a glen port.
#include "bench/traffic.h"

void sender_init(struct sender *s, struct glen_port *port, unsigned len,
		 unsigned batch, unsigned fill)
{
	unsigned size;

	s->port = port;
	s->ring = glen_port_tx_ring(port, 0);
	size = s->ring->nr_buf_size < 65535 ? s->ring->nr_buf_size : 65535;
	s->len = len;
	s->batch = batch;
	s->chain = (len + size - 1) / size;
	s->fill = fill < len ? fill : len;
	s->first_src = FRAME_A;
	s->first_dst = FRAME_B;
	s->n_src = s->n_dst = 1;
	s->next_src = s->next_dst = 0;
	frame_make(s->frame, FRAME_A, FRAME_B);
}

static inline uint32_t next(uint32_t *i, uint32_t n)
{
	uint32_t now = *i;

	*i = now + 1 == n ? 0 : now + 1;
	return now;
}

static inline void head_write(struct sender *s, char *buf)
{
	if (s->n_dst > 1)
		frame_mac(buf, s->first_dst + next(&s->next_dst, s->n_dst));
	if (s->n_src > 1)
		frame_mac(buf + 6, s->first_src + next(&s->next_src, s->n_src));
}

static unsigned send_chains(struct sender *s, uint32_t n)
{
	struct netmap_ring *ring = s->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t size = ring->nr_buf_size;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t left = s->len;

		frame_copy(NETMAP_BUF(ring, ring->slot[head].buf_idx), s->frame,
			   64);
		for (uint32_t k = 0; k < s->chain; k++) {
			struct netmap_slot *slot = &ring->slot[head];

			slot->len = (uint16_t)(left < size ? left : size);
			left -= slot->len;
			slot->flags = left ? NS_MOREFRAG : 0;
			head = (head + 1) & mask;
		}
	}
	ring->head = ring->cur = head;
	glen_txsync(s->port, 0);
	return n;
}

unsigned sender_step(struct sender *s)
{
	struct netmap_ring *ring = s->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t room = (ring->tail - head) & mask;
	bool many = s->n_dst > 1 || s->n_src > 1;

	if (room < s->batch * s->chain) {
		glen_txsync(s->port, 0);
		room = (ring->tail - head) & mask;
	}
	if (s->chain > 1)
		room /= s->chain;
	if (room > s->batch)
		room = s->batch;
	if (!room)
		return 0;
	if (s->chain > 1)
		return send_chains(s, room);
	for (uint32_t i = 0; i < room; i++) {
		struct netmap_slot *slot = &ring->slot[(head + i) & mask];
		char *buf = NETMAP_BUF(ring, slot->buf_idx);

		frame_copy(buf, s->frame, s->fill);
		if (many)
			head_write(s, buf);
		slot->len = (uint16_t)s->len;
		slot->flags = 0;
	}
	ring->head = ring->cur = (head + room) & mask;
	glen_txsync(s->port, 0);
	return room;
}

void receiver_init(struct receiver *r, struct glen_port *port)
{
	r->port = port;
	r->ring = glen_port_rx_ring(port, 0);
}

unsigned receiver_step(struct receiver *r)
{
	struct netmap_ring *ring = r->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head, n;
	uint64_t sink = 0;
	unsigned n_packets = 0;

	glen_rxsync(r->port, 0);
	n = (ring->tail - head) & mask;
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot = &ring->slot[(head + i) & mask];
		uint64_t first;

		memcpy(&first, NETMAP_BUF(ring, slot->buf_idx), sizeof(first));
		sink += slot->len + first;
		n_packets += !(slot->flags & NS_MOREFRAG);
	}
	r->sink += sink;
	ring->head = ring->cur = (head + n) & mask;
	glen_rxsync(r->port, 0);
	return n_packets;
}

bool send_one(struct glen_port *port, uint32_t src, uint32_t dst)
{
	char frame[60] = { 0 };
	struct glen_packet p = { frame, sizeof(frame) };

	frame_head(frame, src, dst);
	return glen_send(port, 0, &p, 1) == 1;
}
