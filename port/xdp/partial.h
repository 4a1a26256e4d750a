/* SPDX-License-Identifier: BSD-2-Clause */
/* partial.h - does a packet's checksum only cover its pseudo header? */
#ifndef PORT_XDP_PARTIAL_H
#define PORT_XDP_PARTIAL_H
/*
 * Linux leaves a TCP or UDP checksum to the interface by storing the folded
 * sum over the pseudo header in the checksum field, not complemented; what is
 * missing is the sum over the datagram itself. Here that sum is computed and
 * compared. Of packets whose checksum is complete, one in 65,536 looks the
 * same; to compute its checksum again yields what was there.
 *
 * Read are the Ethernet header, two VLAN tags, IPv4, IPv6 with its usual
 * extension headers. Fragments, and what is not TCP or UDP, are never partial.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/batch.h"
#include "lib/bytes.h"

enum { PARTIAL_EXT_MAX = 4 };

/* Sum of n 16-bit words as they lie in memory. */
static inline uint64_t partial_sum(const uint8_t *p, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		uint16_t word;

		memcpy(&word, p + 2 * i, 2);
		sum += word;
	}
	return sum;
}

static inline uint16_t partial_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The rest, once the transport header is found. addrs: n_words of them. */
static inline bool partial_l4(const uint8_t *pkt, uint32_t len, uint32_t at,
			      uint32_t l4_len, uint8_t proto, uint64_t addrs,
			      struct offload *off)
{
	uint32_t field = proto == 6 ? 16 : 6;
	uint16_t seen, be_len, be_proto;
	uint8_t bytes[2] = { 0, proto };

	if ((proto != 6 && proto != 17) || field + 2 > l4_len ||
	    at + field + 2 > len)
		return false;
	memcpy(&be_proto, bytes, 2);
	bytes[0] = l4_len >> 8;
	bytes[1] = l4_len;
	memcpy(&be_len, bytes, 2);
	memcpy(&seen, pkt + at + field, 2);
	if (seen != partial_fold(addrs + be_len + be_proto))
		return false;
	*off = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
				 .csum_start = at,
				 .csum_offset = field };
	return true;
}

static inline bool partial_ipv4(const uint8_t *pkt, uint32_t len, uint32_t at,
				uint32_t whole, struct offload *off)
{
	const uint8_t *ip = pkt + at;
	uint32_t head, total;

	if (at + 20 > len)
		return false;
	head = (ip[0] & 15) * 4;
	total = load_be16(ip + 2);
	if (ip[0] >> 4 != 4 || head < 20 || total < head ||
	    at + total > whole || (load_be16(ip + 6) & 0x3fff))
		return false;
	return partial_l4(pkt, len, at + head, total - head, ip[9],
			  partial_sum(ip + 12, 4), off);
}

static inline bool partial_ipv6(const uint8_t *pkt, uint32_t len, uint32_t at,
				uint32_t whole, struct offload *off)
{
	const uint8_t *ip = pkt + at;
	uint32_t left, pos = at + 40;
	uint8_t next;

	if (pos > len || ip[0] >> 4 != 6)
		return false;
	left = load_be16(ip + 4);
	next = ip[6];
	if (pos + left > whole)
		return false;
	/* Hop-by-hop and destination options; a routing header would change
	 * which address counts. */
	for (unsigned i = 0; i < PARTIAL_EXT_MAX && (next == 0 || next == 60);
	     i++) {
		uint32_t ext;

		if (pos + 8 > len)
			return false;
		ext = (pkt[pos + 1] + 1) * 8;
		next = pkt[pos];
		if (ext > left)
			return false;
		pos += ext;
		left -= ext;
	}
	return partial_l4(pkt, len, pos, left, next, partial_sum(ip + 8, 16),
			  off);
}

/*
 * True, with off filled, if the packet's checksum is partial. len bytes of it
 * can be read at pkt; it has whole bytes.
 */
static inline bool partial_check(const uint8_t *pkt, uint32_t len,
				 uint32_t whole, struct offload *off)
{
	uint32_t at = 14, type;

	if (len < 14)
		return false;
	type = load_be16(pkt + 12);
	while ((type == 0x8100 || type == 0x88a8) && at < 22 && at + 4 <= len) {
		type = load_be16(pkt + at + 2);
		at += 4;
	}
	if (type == 0x0800)
		return partial_ipv4(pkt, len, at, whole, off);
	if (type == 0x86dd)
		return partial_ipv6(pkt, len, at, whole, off);
	return false;
}

#endif
