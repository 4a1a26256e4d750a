/* SPDX-License-Identifier: BSD-2-Clause */
/* tuple3/parse.h - what an IP packet says about itself, checked. */
#ifndef MODULE_TUPLE3_PARSE_H
#define MODULE_TUPLE3_PARSE_H
/*
 * t3_parse() reads an Ethernet packet's private header, of which have bytes are
 * visible; len is the length of the packet. Nothing is read behind have, and a
 * packet is refused that is shorter than its headers say, whose IPv4 header
 * checksum is wrong, or that has less than a TCP or UDP header where there must
 * be one. Bytes behind the IP packet are padding. Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/bytes.h"
#include "module/tuple3/table.h"

enum {
	ETH_LEN = 14,
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IPV6 = 0x86dd,
	IPV4_LEN = 20,
	IPV6_LEN = 40,
	TCP_LEN = 20,
	UDP_LEN = 8,
	META_V4 = 4 << 24,
	META_V6 = 6 << 24,
};

static inline struct t3_key t3_key4(const uint8_t *addr)
{
	return (struct t3_key){ 0, load32(addr), META_V4 };
}

static inline struct t3_key t3_key6(const uint8_t *addr)
{
	return (struct t3_key){ load64(addr), load64(addr + 8), META_V6 };
}

/* The one's complement sum of an IPv4 header; 0xffff if it is right. */
static inline unsigned t3_sum(const uint8_t *ip, unsigned len)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < len; i += 4)
		sum += load32(ip + i);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (unsigned)((sum & 0xffff) + (sum >> 16));
}

/* An IP packet. */
struct t3_packet {
	const uint8_t *ip;
	unsigned have;		/* bytes that can be read from ip on */
	uint32_t len;		/* of the IP packet */
	struct t3_key src, dst; /* addresses; with ports if it has them */
	unsigned protocol;	/* what follows the IP headers */
	unsigned l4;		/* where, from ip on */
	bool options;		/* IPv6 extension headers but for fragments */
	bool fragment;		/* it is one */
	bool later;		/* and not the first: no ports */
	uint32_t id;		/* of the fragments of a packet */
};

/* Reads an IP packet of TYPE_IPV4 or TYPE_IPV6. -1, or an enum t3_drop. */
int t3_parse(const uint8_t *hdr, unsigned have, uint32_t len,
	     struct t3_packet *p);

/*
 * The packet that an ICMP error of p is about, from its addresses and ports:
 * false if it is no error, or the ports of TCP or UDP are not visible.
 */
bool t3_parse_error(const struct t3_packet *p, struct t3_key *src,
		    struct t3_key *dst);

#endif
