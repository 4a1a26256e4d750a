/* SPDX-License-Identifier: BSD-2-Clause */
/* flow_hash.h - a number per flow, to spread packets over egress rings. */
#ifndef CORE_FLOW_HASH_H
#define CORE_FLOW_HASH_H
/*
 * Packets of one flow get the same number, so a flow keeps its order when the
 * number chooses the ring. A flow is: addresses, protocol and ports of IPv4
 * and IPv6 behind up to two VLAN tags; without the ports if the packet is a
 * fragment, has IPv6 extension headers, another protocol than TCP, UDP, SCTP,
 * or ports that lie beyond the private header. Whatever is not IP is a flow
 * per pair of MAC addresses. The two directions of a connection differ.
 *
 * It is cheap, not strong: who sends can aim at one ring, and then shares that
 * ring with its own packets. Any thread; reads only hdr[0..hdr_len).
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

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

static inline uint32_t flow_hash_ipv4(const uint8_t *ip, unsigned len)
{
	uint64_t hash = flow_hash_mix(ip[9], load64(ip + 12));
	unsigned ip_len = (ip[0] & 15u) * 4;

	/* The more-fragments bit and the offset. */
	if ((load_be16(ip + 6) & 0x3fff) == 0 && flow_hash_has_ports(ip[9]) &&
	    ip_len >= 20 && len >= ip_len + 4)
		hash = flow_hash_mix(hash, load32(ip + ip_len));
	return (uint32_t)flow_hash_mix(hash, 0);
}

static inline uint32_t flow_hash_ipv6(const uint8_t *ip, unsigned len)
{
	uint64_t hash = flow_hash_mix(0, load64(ip + 8));

	hash = flow_hash_mix(hash, load64(ip + 16));
	hash = flow_hash_mix(hash, load64(ip + 24));
	hash = flow_hash_mix(hash, load64(ip + 32));
	if (flow_hash_has_ports(ip[6]) && len >= 44)
		hash = flow_hash_mix(hash,
				     (uint64_t)ip[6] << 32 | load32(ip + 40));
	return (uint32_t)flow_hash_mix(hash, 0);
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
	hash = flow_hash_mix(load64(hdr), load32(hdr + 8));
	return (uint32_t)flow_hash_mix(hash, 0);
}

#endif
