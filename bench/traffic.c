// SPDX-License-Identifier: BSD-2-Clause
// traffic.c - senders and receivers over the rings of a glen port.
#include "bench/traffic.h"

static void len_set(struct sender *s, unsigned len, unsigned fill)
{
	unsigned size = s->ring->nr_buf_size;

	size = size < 65535 ? size : 65535;
	s->len = len;
	s->chain = (len + size - 1) / size;
	s->fill = fill < len ? fill : len;
}

void sender_init(struct sender *s, struct glen_port *port, unsigned i,
		 unsigned len, unsigned batch, unsigned fill)
{
	s->port = port;
	s->i = i;
	s->ring = glen_port_tx_ring(port, i);
	s->batch = batch;
	s->vnet = 0;
	len_set(s, len, fill);
	s->first_src = FRAME_A;
	s->first_dst = FRAME_B;
	s->n_src = s->n_dst = 1;
	s->next_src = s->next_dst = 0;
	s->frames = NULL;
	s->next_frame = 0;
	frame_make(s->frame, FRAME_A, FRAME_B);
}

void sender_address(struct sender *s, uint32_t src, uint32_t dst)
{
	frame_mac(s->frame + s->vnet, dst);
	frame_mac(s->frame + s->vnet + 6, src);
}

/* TCP over IPv4, to be cut into segments of 1,448 bytes. */
void sender_tso(struct sender *s, unsigned vnet)
{
	static const unsigned char hdr[10] = { 1 /* needs checksum */,
					       1 /* TCP, IPv4 */,
					       54,
					       0,
					       1448 & 255,
					       1448 >> 8,
					       34,
					       0,
					       16,
					       0 };
	unsigned ip_len = s->len - 14;
	char *frame = s->frame + vnet;

	memset(s->frame, 0, 128);
	memcpy(s->frame, hdr, sizeof(hdr));
	frame_head(frame, FRAME_A, FRAME_B);
	frame[12] = 8;
	frame[13] = 0;
	frame[14] = 0x45;
	frame[16] = (char)(ip_len >> 8);
	frame[17] = (char)ip_len;
	frame[22] = 64;
	frame[23] = 6; /* TCP */
	frame[46] = 0x50;
	s->vnet = vnet;
	len_set(s, s->len + vnet, 128);
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

/* A packet from s->frames. */
static inline void frame_write(struct sender *s, char *buf)
{
	frame_copy(buf, s->frames + 64 * next(&s->next_frame, s->n_frames), 64);
}

static unsigned send_chains(struct sender *s, uint32_t n)
{
	struct netmap_ring *ring = s->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t size = ring->nr_buf_size;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t left = s->len;

		frame_copy(NETMAP_BUF(ring, ring->slot[head].buf_idx), s->frame,
			   s->fill < size ? s->fill : size);
		for (uint32_t k = 0; k < s->chain; k++) {
			struct netmap_slot *slot = &ring->slot[head];

			slot->len = (uint16_t)(left < size ? left : size);
			left -= slot->len;
			slot->flags = left ? NS_MOREFRAG : 0;
			head = (head + 1) & mask;
		}
	}
	ring->head = ring->cur = head;
	glen_txsync(s->port, s->i);
	return n;
}

unsigned sender_step(struct sender *s)
{
	struct netmap_ring *ring = s->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t room = (ring->tail - head) & mask;
	bool many = s->n_dst > 1 || s->n_src > 1;

	if (room < s->batch * s->chain) {
		glen_txsync(s->port, s->i);
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

		if (s->frames)
			frame_write(s, buf);
		else
			frame_copy(buf, s->frame, s->fill);
		if (many)
			head_write(s, buf);
		slot->len = (uint16_t)s->len;
		slot->flags = 0;
	}
	ring->head = ring->cur = (head + room) & mask;
	glen_txsync(s->port, s->i);
	return room;
}

void receiver_init(struct receiver *r, struct glen_port *port, unsigned i)
{
	r->port = port;
	r->i = i;
	r->ring = glen_port_rx_ring(port, i);
}

unsigned receiver_step(struct receiver *r)
{
	struct netmap_ring *ring = r->ring;
	uint32_t mask = ring->num_slots - 1, head = ring->head, n;
	uint64_t sink = 0;
	unsigned n_packets = 0;

	glen_rxsync(r->port, r->i);
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
	glen_rxsync(r->port, r->i);
	return n_packets;
}

bool send_one(struct glen_port *port, uint32_t src, uint32_t dst, unsigned vnet)
{
	char frame[72] = { 0 };
	struct glen_packet p = { frame, 60 + vnet };

	frame_head(frame + vnet, src, dst);
	return glen_send(port, 0, &p, 1) == 1;
}
