// SPDX-License-Identifier: BSD-2-Clause
// flows.c - UDP and TCP packets of many flows, and claims on them.
#include "bench/flows.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

enum {
	FRAME_SIZE = 64,
	ETH = 14,
	TCP_BYTES = 20, /* of a segment without data */
	UDP_BYTES = 10, /* so that IPv6 fills 64 bytes */
};

static const uint8_t near4[16] = { 10, 0, 0, 1 };
static const uint8_t near6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

static bool is_tcp(const struct flows *f, uint32_t i)
{
	return f->family == 4 && i & 1;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put_sum(uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~sum);
}

/* The IP header of flow i; returns its length. */
static unsigned put_ip(uint8_t *ip, const struct flows *f, uint32_t i)
{
	uint8_t far[16] = { 198, 18, (uint8_t)(i >> 8), (uint8_t)i };
	unsigned size = f->family == 4 ? 4 : 16;
	unsigned src = f->family == 4 ? 12 : 8;
	const uint8_t *near = f->family == 4 ? near4 : near6;

	if (f->family == 4) {
		ip[0] = 0x45;
		put16(ip + 2, 20 + (is_tcp(f, i) ? TCP_BYTES : UDP_BYTES));
		ip[8] = 64;
		ip[9] = is_tcp(f, i) ? IPPROTO_TCP : IPPROTO_UDP;
	} else {
		memcpy(far, near6, sizeof(far));
		put16(far + 2, 0xdb9);
		put16(far + 14, i);
		ip[0] = 0x60;
		put16(ip + 4, UDP_BYTES);
		ip[6] = IPPROTO_UDP;
		ip[7] = 64;
	}
	memcpy(ip + src, f->out ? near : far, size);
	memcpy(ip + src + size, f->out ? far : near, size);
	if (f->family == 4)
		put_sum(ip);
	return src + 2 * size;
}

static void put_frame(uint8_t *frame, const struct flows *f, uint32_t i)
{
	uint8_t *l4 = frame + ETH;

	frame_head((char *)frame, FRAME_A, FRAME_B);
	put16(frame + 12, f->family == 4 ? 0x800 : 0x86dd);
	l4 += put_ip(l4, f, i);
	put16(l4 + (f->out ? 0 : 2), 1 + i);
	put16(l4 + (f->out ? 2 : 0), 1024 + i);
	if (is_tcp(f, i))
		l4[12] = TCP_BYTES / 4 << 4;
	else
		put16(l4 + 4, UDP_BYTES);
}

bool flows_send(struct sender *s, const struct flows *f)
{
	uint32_t random = 1;
	char *frames = aligned_alloc(FRAME_SIZE, FLOWS_FRAMES * FRAME_SIZE);

	if (!frames)
		return false;
	memset(frames, 0, FLOWS_FRAMES * FRAME_SIZE);
	for (uint32_t k = 0; k < FLOWS_FRAMES; k++) {
		random = random * 1664525 + 1013904223;
		put_frame((uint8_t *)frames + k * FRAME_SIZE, f,
			  (random >> 8) % f->n);
	}
	s->frames = frames;
	s->n_frames = FLOWS_FRAMES;
	return true;
}

int flows_claim(struct glen_port *port, const struct flows *f,
		struct glen_error *error)
{
	struct glen_claim *claims = calloc(f->n, sizeof(*claims));
	int err = -ENOMEM;

	for (uint32_t i = 0; claims && i < f->n; i++) {
		struct glen_claim *c = &claims[i];

		c->family = f->family == 4 ? AF_INET : AF_INET6;
		memcpy(c->ip, f->family == 4 ? near4 : near6, sizeof(c->ip));
		c->protocol = is_tcp(f, i) ? IPPROTO_TCP : IPPROTO_UDP;
		c->port = (uint16_t)(1 + i);
	}
	if (claims)
		err = glen_claim(port, claims, f->n, error);
	free(claims);
	return err;
}
