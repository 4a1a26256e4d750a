/* SPDX-License-Identifier: BSD-2-Clause */
/* flow_hash.h - a number per flow, to spread packets over egress rings. */
#ifndef LIB_FLOW_HASH_H
#define LIB_FLOW_HASH_H
/*
 * Packets of one flow get the same number, so a flow keeps its order when the
 * number chooses the ring. A flow is: addresses, protocol and ports of IPv4
 * and IPv6 behind up to two VLAN tags; without the ports if the packet is a
 * fragment, has IPv6 extension headers, another protocol than TCP, UDP, SCTP,
 * or ports that lie beyond the private header. Whatever is not IP is a flow
 * per pair of MAC addresses. It is symmetric: both directions of a connection
 * get the same number, so that whoever keeps state of connections per ring sees
 * all of each.
 *
 * It is cheap, not strong: who sends can aim at one ring, and then shares that
 * ring with its own packets. Any thread; reads only hdr[0..hdr_len).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/bytes.h"

/* Mixes value into hash; the constant is 2^64 / golden ratio, made odd. */
static inline uint64_t flow_hash_mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* TCP, UDP, SCTP: the ports are the first four bytes. */
static inline bool flow_hash_has_ports(unsigned protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 132;
}

/* Mixes both ends of a flow into hash, whichever of them is the source. */
static inline uint64_t flow_hash_ends(uint64_t hash, uint64_t a, uint64_t b)
{
	hash = flow_hash_mix(hash, a < b ? a : b);
	return flow_hash_mix(hash, a < b ? b : a);
}

static inline uint32_t flow_hash_ipv4(const uint8_t *ip, unsigned len)
{
	uint64_t src = (uint64_t)load32(ip + 12) << 16;
	uint64_t dst = (uint64_t)load32(ip + 16) << 16;
	unsigned ip_len = (ip[0] & 15u) * 4;

	/* The more-fragments bit and the offset. */
	if ((load_be16(ip + 6) & 0x3fff) == 0 && flow_hash_has_ports(ip[9]) &&
	    ip_len >= 20 && len >= ip_len + 4) {
		src |= load_be16(ip + ip_len);
		dst |= load_be16(ip + ip_len + 2);
	}
	return (uint32_t)flow_hash_mix(flow_hash_ends(ip[9], src, dst), 0);
}

/* One end's address, as a number of its own. */
static inline uint64_t flow_hash_address6(const uint8_t *ip)
{
	return flow_hash_mix(flow_hash_mix(0, load64(ip)), load64(ip + 8));
}

static inline uint32_t flow_hash_ipv6(const uint8_t *ip, unsigned len)
{
	uint64_t src = flow_hash_address6(ip + 8);
	uint64_t dst = flow_hash_address6(ip + 24);
	uint64_t hash = 0;

	if (flow_hash_has_ports(ip[6]) && len >= 44) {
		src = flow_hash_mix(src, load_be16(ip + 40));
		dst = flow_hash_mix(dst, load_be16(ip + 42));
		hash = ip[6];
	}
	return (uint32_t)flow_hash_mix(flow_hash_ends(hash, src, dst), 0);
}

/* The number for a packet; hdr_len must be at least 14 (PACKET_LEN_MIN). */
static inline uint32_t flow_hash(const uint8_t *hdr, unsigned hdr_len)
{
	unsigned l3 = 14, type = load_be16(hdr + 12);
	uint64_t hash;

	for (int tags = 0; tags < 2; tags++) {
		if ((type != 0x8100 && type != 0x88a8) || hdr_len < l3 + 4)
			break;
		type = load_be16(hdr + l3 + 2);
		l3 += 4;
	}
	if (type == 0x0800 && hdr_len >= l3 + 20)
		return flow_hash_ipv4(hdr + l3, hdr_len - l3);
	if (type == 0x86dd && hdr_len >= l3 + 40)
		return flow_hash_ipv6(hdr + l3, hdr_len - l3);
	/* Six bytes each: the destination's and the source's MAC address. */
	hash = flow_hash_ends(0, load64(hdr) << 16,
			      load64(hdr + 4) >> 16 << 16);
	return (uint32_t)flow_hash_mix(hash, 0);
}

#endif
