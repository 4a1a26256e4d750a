// SPDX-License-Identifier: BSD-2-Clause
// payload.c - builds glen-gen's frames and recognises them again.
#include "payload.h"

#include <pthread.h>
#include <string.h>

#include "crc32c.h"

enum {
	ETH_LEN = 14,
	VLAN_LEN = 4,
	IP_LEN = 20,
	UDP_LEN = 8,
	TYPE_GEN = 0x88b5,
	TYPE_IP = 0x0800,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	PORT_DISCARD = 9,
	SRC_PORTS = 32768, /* source ports 32768..65535 */
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

void mac_add(uint8_t *mac, const uint8_t *base, uint32_t n)
{
	uint64_t v = 0;

	for (int i = 0; i < 6; i++)
		v = v << 8 | base[i];
	v += n;
	for (int i = 5; i >= 0; i--, v >>= 8)
		mac[i] = (uint8_t)v;
}

static unsigned eth_len(const struct frame_spec *spec)
{
	return ETH_LEN + (spec->vlan >= 0 ? VLAN_LEN : 0);
}

unsigned frame_head_len(const struct frame_spec *spec)
{
	return spec->vnet_len + eth_len(spec) +
	       (spec->udp ? IP_LEN + UDP_LEN : 0);
}

unsigned frame_checked_min(const struct frame_spec *spec)
{
	return frame_head_len(spec) - spec->vnet_len +
	       (unsigned)sizeof(struct payload);
}

/* The Internet checksum of an IPv4 header whose checksum field is zero. */
static unsigned ip_checksum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < IP_LEN; i += 2)
		sum += get16(ip + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

void frame_set_len(const struct frame_spec *spec, uint8_t *head, uint32_t len)
{
	uint8_t *ip = head + spec->vnet_len + eth_len(spec);
	uint32_t ip_len = len - eth_len(spec);

	if (!spec->udp || len < eth_len(spec) + IP_LEN + UDP_LEN)
		return;
	/* Frames beyond 64 KiB say 0, as Linux does for BIG TCP. */
	put16(ip + 2, ip_len > 65535 ? 0 : ip_len);
	put16(ip + 10, 0);
	put16(ip + 10, ip_checksum(ip));
	ip_len -= IP_LEN;
	put16(ip + IP_LEN + 4, ip_len > 65535 ? 0 : ip_len);
}

void frame_head(const struct frame_spec *spec, uint32_t flow, uint32_t len,
		uint8_t *head)
{
	uint8_t *p = head + spec->vnet_len;

	memset(head, 0, FRAME_HEAD_SIZE);
	mac_add(p, spec->dst, spec->udp ? 0 : flow);
	mac_add(p + 6, spec->src, spec->udp ? 0 : flow);
	p += 12;
	if (spec->vlan >= 0) {
		put16(p, TYPE_VLAN);
		put16(p + 2, (unsigned)spec->vlan);
		p += VLAN_LEN;
	}
	put16(p, spec->udp ? TYPE_IP : TYPE_GEN);
	p += 2;
	if (!spec->udp)
		return;
	p[0] = 0x45;
	p[6] = 0x40; /* do not fragment */
	p[8] = 64;
	p[9] = 17;
	put32(p + 12, spec->src_ip + flow / SRC_PORTS);
	put32(p + 16, spec->dst_ip);
	p += IP_LEN;
	put16(p, SRC_PORTS + flow % SRC_PORTS);
	put16(p + 2, PORT_DISCARD);
	/* The UDP checksum stays 0: none. The payload has a better one. */
	frame_set_len(spec, head, len);
}

static uint8_t fill[FILL_SIZE] __attribute__((aligned(64)));
static pthread_once_t fill_once = PTHREAD_ONCE_INIT;

static void fill_init(void)
{
	uint64_t x = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < FILL_PERIOD; i++) {
		x ^= x << 13; /* xorshift */
		x ^= x >> 7;
		x ^= x << 17;
		fill[i] = (uint8_t)(x >> 32);
	}
	for (size_t i = FILL_PERIOD; i < FILL_SIZE; i++)
		fill[i] = fill[i - FILL_PERIOD];
}

const uint8_t *fill_table(void)
{
	pthread_once(&fill_once, fill_init);
	return fill;
}

static uint32_t payload_crc(const uint8_t *frame, uint32_t len, unsigned at,
			    bool udp)
{
	/* What the checksum covers begins behind magic and crc. */
	unsigned from = at + (unsigned)offsetof(struct payload, len);
	uint32_t crc = udp ? 0 : crc32c(0, frame, 12);

	return crc32c(crc, frame + from, len - from);
}

void payload_put(uint8_t *frame, uint32_t len, unsigned at, bool udp,
		 struct payload *p)
{
	p->magic = PAYLOAD_MAGIC;
	p->len = len;
	memcpy(frame + at, p, sizeof(*p));
	p->crc = payload_crc(frame, len, at, udp);
	memcpy(frame + at + offsetof(struct payload, crc), &p->crc,
	       sizeof(p->crc));
}

/*
 * Finds where struct payload ought to be in a frame of glen-gen. Returns 0 if
 * the headers are not glen-gen's.
 */
static unsigned payload_find(const uint8_t *frame, uint32_t len, bool *udp)
{
	unsigned at = 12, type;

	if (len < ETH_LEN)
		return 0;
	type = get16(frame + at);
	for (int tags = 0; tags < 2; tags++) {
		if (type != TYPE_VLAN && type != TYPE_QINQ)
			break;
		at += VLAN_LEN;
		if (len < at + 2)
			return 0;
		type = get16(frame + at);
	}
	at += 2;
	*udp = false;
	if (type == TYPE_GEN)
		return at;
	*udp = true;
	if (type != TYPE_IP || len < at + IP_LEN + UDP_LEN ||
	    frame[at] != 0x45 || frame[at + 9] != 17)
		return 0;
	at += IP_LEN;
	return get16(frame + at + 2) == PORT_DISCARD ? at + UDP_LEN : 0;
}

enum payload_verdict payload_get(const uint8_t *frame, uint32_t len,
				 struct payload *p, unsigned *at)
{
	bool udp;

	*at = payload_find(frame, len, &udp);
	if (!*at)
		return PAYLOAD_FOREIGN;
	if (len < *at + sizeof(*p))
		return PAYLOAD_TRUNCATED;
	memcpy(p, frame + *at, sizeof(*p));
	if (p->magic != PAYLOAD_MAGIC)
		return PAYLOAD_CORRUPTED;
	if (p->len != len)
		return PAYLOAD_TRUNCATED;
	if (payload_crc(frame, len, *at, udp) != p->crc)
		return PAYLOAD_CORRUPTED;
	return PAYLOAD_OK;
}
