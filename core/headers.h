/* SPDX-License-Identifier: BSD-2-Clause */
/* headers.h - where the headers of a packet lie. */
#ifndef CORE_HEADERS_H
#define CORE_HEADERS_H
/*
 * Walks Ethernet, up to two VLAN tags (0x8100, 0x88a8), IPv4 with options or
 * IPv6 with hop-by-hop, routing and destination headers, and TCP or UDP. The
 * bytes are the caller's private copy; nothing beyond hdr[0..avail) is read.
 * Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

enum {
	HEADERS_ICMP = 1,
	HEADERS_TCP = 6,
	HEADERS_UDP = 17,
};

/* Offsets from the start of the packet. */
struct headers {
	uint16_t l3;	    /* behind the Ethernet header and VLAN tags */
	uint16_t l4;	    /* behind the IP header, options, extensions */
	uint16_t end;	    /* behind the TCP or UDP header; headers_l4() */
	uint16_t frag_at;   /* IPv6: where a fragment header belongs */
	uint16_t frag_next; /* IPv6: the next-header byte that names it */
	uint16_t dst;	    /* the final destination, for pseudo headers */
	uint8_t version;    /* 4, 6; 0: not IP, then l3 is all there is */
	uint8_t protocol;   /* what lies at l4 */
	bool fragment;	    /* an IP fragment: no header at l4, perhaps */
};

/*
 * Fills h but for end. Returns 0, -EINVAL if the headers contradict themselves,
 * -EMSGSIZE if more than avail bytes are needed to tell.
 */
int headers_l3(const uint8_t *hdr, unsigned avail, struct headers *h);

/*
 * The same and h->end, which is at most avail. -EINVAL if the packet is not an
 * unfragmented TCP or UDP packet.
 */
int headers_l4(const uint8_t *hdr, unsigned avail, struct headers *h);

static inline unsigned headers_get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline void headers_put16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline uint32_t headers_get32(const uint8_t *p)
{
	return (uint32_t)headers_get16(p) << 16 | headers_get16(p + 2);
}

static inline void headers_put32(uint8_t *p, uint32_t value)
{
	headers_put16(p, value >> 16);
	headers_put16(p + 2, value & 0xffff);
}

#endif
