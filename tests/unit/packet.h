/* SPDX-License-Identifier: BSD-2-Clause */
/* packet.h - a slow, plain reference that builds packets for unit tests. */
#ifndef TESTS_UNIT_PACKET_H
#define TESTS_UNIT_PACKET_H
/*
 * Builds TCP and UDP packets from a description (struct spec), field by field,
 * with a checksum that adds one 16-bit word after the other. It shares no code
 * with core/, which is what makes it a reference.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "unit.h"

enum {
	TCP = 6,
	UDP = 17,
	ETH = 14,
};

struct spec {
	int version, protocol, tags;
	unsigned ip_options;		       /* IPv4: bytes */
	bool hop_by_hop, routing, destination; /* IPv6 */
	bool source_route;		       /* IPv4: 12 bytes of options */
	unsigned tcp_options;
	uint8_t gso_type;
	uint16_t gso_size;
	uint32_t payload;
	uint8_t tcp_flags;
	bool completed; /* no NEEDS_CSUM */
	bool zero_udp;	/* the checksum field is 0 */
};

/* One packet of the reference. */
struct piece {
	const uint8_t *data;
	uint32_t n, sent;
	unsigned k;
	bool last;
};

static uint64_t random_state;

/* From TEST_SEED or the clock; printed. */
static inline void rnd_seed(void)
{
	const char *seed = getenv("TEST_SEED");

	random_state = seed ? strtoull(seed, NULL, 0) :
			      (uint64_t)time(NULL) << 20 | 1;
	print_message("# TEST_SEED=%llu\n", (unsigned long long)random_state);
}

static inline uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

static inline void put16(uint8_t *p, unsigned value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static inline void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value & 0xffff);
}

/* One word after the other, in big endian, as RFC 1071 puts it. */
static inline uint32_t slow_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

static inline unsigned slow_l4(const uint8_t *ip, int version, int protocol,
			       const uint8_t *dst, const uint8_t *l4,
			       size_t len)
{
	uint8_t rest[2] = { 0, protocol }, length[4];
	uint32_t sum;

	put32(length, len);
	sum = slow_sum(0, ip + (version == 4 ? 12 : 8), version == 4 ? 4 : 16);
	sum = slow_sum(sum, dst, version == 4 ? 4 : 16);
	sum = slow_sum(sum, rest, 2);
	sum = slow_sum(sum, length, 4);
	return ~slow_sum(sum, l4, len) & 0xffff;
}

static inline unsigned l3_of(const struct spec *s)
{
	return ETH + 4 * s->tags;
}

static inline unsigned extensions_of(const struct spec *s)
{
	return 8 * s->hop_by_hop + 24 * s->routing + 8 * s->destination;
}

static inline unsigned l4_of(const struct spec *s)
{
	return l3_of(s) +
	       (s->version == 4 ? 20 + s->ip_options : 40 + extensions_of(s));
}

static inline unsigned end_of(const struct spec *s)
{
	return l4_of(s) + (s->protocol == TCP ? 20 + s->tcp_options : 8);
}

static inline void build_ethernet(uint8_t *p, const struct spec *s)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };

	memcpy(p, macs, 12);
	p += 12;
	for (int i = 0; i < s->tags; i++, p += 4) {
		put16(p, i == 0 && s->tags == 2 ? 0x88a8 : 0x8100);
		put16(p + 2, 100 + i);
	}
	put16(p, s->version == 4 ? 0x0800 : 0x86dd);
}

/* Options: a router alert (copied), a timestamp-like one (not), no-ops. */
static inline void build_ipv4_options(uint8_t *p, unsigned n, bool only_copied)
{
	static const uint8_t options[12] = { 148, 4, 0, 0, 68, 8,
					     5,	  0, 0, 0, 0,  0 };

	memset(p, 1, n);
	for (unsigned i = 0; i < (n < 12 ? 4 : 12) && n > 0; i++)
		p[i] = only_copied && i >= 4 ? 1 : options[i];
}

/* Of a loose source route with two hops to go; returns the destination. */
static inline const uint8_t *build_source_route(uint8_t *p)
{
	memcpy(p, "\x01\x83\x0b\x04\x0a\x05\x06\x07\x0a\x08\x09\x0a", 12);
	return p + 8;
}

/* Returns where the final destination is. */
static inline const uint8_t *build_extensions(uint8_t *p, const struct spec *s,
					      uint8_t *next, const uint8_t *dst)
{
	static const uint8_t padding[6] = { 1, 4, 0, 0, 0, 0 };

	if (s->hop_by_hop) {
		*next = 0;
		next = p;
		p[1] = 0;
		memcpy(p + 2, padding, 6);
		p += 8;
	}
	if (s->routing) {
		*next = 43;
		next = p;
		memset(p, 0, 8);
		p[1] = 2;
		p[2] = 2; /* type 2, one address */
		p[3] = 1;
		for (int i = 0; i < 16; i++)
			p[8 + i] = 0x30 + i;
		dst = p + 8;
		p += 24;
	}
	if (s->destination) {
		*next = 60;
		next = p;
		p[1] = 0;
		memcpy(p + 2, padding, 6);
		p += 8;
	}
	*next = s->protocol;
	return dst;
}

static inline void build_transport(uint8_t *l4, const struct spec *s,
				   const struct piece *pc)
{
	memset(l4, 0, 20);
	put16(l4, 4660);
	put16(l4 + 2, 80);
	if (s->protocol == UDP) {
		put16(l4 + 4, 8 + pc->n);
		return;
	}
	put32(l4 + 4, 0xfffffe00u + pc->sent);
	put32(l4 + 8, 0x11223344);
	l4[12] = (20 + s->tcp_options) / 4 << 4;
	l4[13] = s->tcp_flags;
	if (pc->sent > 0)
		l4[13] &= ~0x80;
	if (!pc->last)
		l4[13] &= ~0x09;
	put16(l4 + 14, 0x2000);
	memset(l4 + 20, 1, s->tcp_options);
}

/* A complete packet, returns its length. */
static inline uint32_t build(uint8_t *p, const struct spec *s,
			     const struct piece *pc)
{
	unsigned l3 = l3_of(s), l4 = l4_of(s), end = end_of(s), csum;
	uint8_t *ip = p + l3;
	const uint8_t *dst = ip + (s->version == 4 ? 16 : 24);

	build_ethernet(p, s);
	memset(ip, 0, 40);
	if (s->version == 4) {
		ip[0] = 0x40 | (20 + s->ip_options) / 4;
		put16(ip + 2, end - l3 + pc->n);
		put16(ip + 4, 0xfffe + pc->k);
		put16(ip + 6, 0x4000);
		ip[8] = 64;
		ip[9] = s->protocol;
		memcpy(ip + 12, "\x0a\x01\x02\x03\x0a\x01\x02\x04", 8);
		build_ipv4_options(ip + 20, s->ip_options, false);
		if (s->source_route)
			dst = build_source_route(ip + 20);
		put16(ip + 10, ~slow_sum(0, ip, l4 - l3) & 0xffff);
	} else {
		put32(ip, 0x60012345);
		put16(ip + 4, end - l3 - 40 + pc->n);
		ip[7] = 64;
		for (int i = 0; i < 32; i++)
			ip[8 + i] = 0xfd ^ i * 7;
		dst = build_extensions(ip + 40, s, ip + 6, dst);
	}
	build_transport(p + l4, s, pc);
	memcpy(p + end, pc->data, pc->n);
	csum = slow_l4(ip, s->version, s->protocol, dst, p + l4,
		       end - l4 + pc->n);
	if (s->protocol == UDP && s->zero_udp)
		csum = 0;
	else if (s->protocol == UDP && csum == 0)
		csum = 0xffff;
	put16(p + l4 + (s->protocol == TCP ? 16 : 6), csum);
	return end + pc->n;
}

#endif
