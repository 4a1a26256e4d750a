/* SPDX-License-Identifier: BSD-2-Clause */
/* classifier_parse.h - packets to keys of a classifier (hot). */
#ifndef LIB_CLASSIFIER_PARSE_H
#define LIB_CLASSIFIER_PARSE_H
/*
 * In a header, as classifier_find.h is. What most packets are, TCP or UDP over
 * IPv4 or IPv6 without tags, options and fragments, is done here; all else is
 * classifier_parse_full()'s. Both read nothing behind hdr[0..have), which is
 * the caller's private copy of a packet's first bytes.
 *
 * A packet is what its headers say as far as they can be: an IP header whose
 * version or lengths cannot be leaves only the Ethernet type; ports, TCP flags
 * or ICMP types that are not in the packet, or behind have, are not known. All
 * of those are odd (CLASSIFIER_L_ODD), so that a rule can tell them apart.
 */
#include <string.h>

#include "lib/classifier.h"

/* Any thread: any packet; have is 14 at least, and len not less than have. */
void classifier_parse_full(const uint8_t *hdr, unsigned have, uint32_t len,
			   unsigned in_port, struct classifier_key *key);

static inline uint64_t classifier_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static inline uint32_t classifier_load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

static inline uint32_t classifier_load16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

#define CLASSIFIER_BIT(name) (1ULL << CLASSIFIER_L_##name)

/* Ports, and of TCP the flags; the packet has them. */
static inline uint64_t classifier_l4(const uint8_t *l4, unsigned protocol)
{
	uint64_t word = (uint64_t)protocol << CLASSIFIER_L_PROTO |
			classifier_load16(l4) << CLASSIFIER_L_SPORT |
			classifier_load16(l4 + 2) << CLASSIFIER_L_DPORT |
			CLASSIFIER_BIT(PORTS) | CLASSIFIER_BIT(IP);
	uint64_t flags = classifier_load16(l4 + 12) & 0x1ff;

	if (protocol == 6)
		word |= flags << CLASSIFIER_L_FLAGS | CLASSIFIER_BIT(TCP);
	return word;
}

static inline void classifier_macs(const uint8_t *hdr, unsigned in_port,
				   unsigned type, struct classifier_key *key)
{
	key->w[CLASSIFIER_META] = (uint64_t)(in_port & 0xffff)
					  << CLASSIFIER_M_PORT |
				  (uint64_t)type << CLASSIFIER_M_TYPE;
	key->w[CLASSIFIER_DMAC] = classifier_load64(hdr) >> 16;
	key->w[CLASSIFIER_SMAC] = classifier_load64(hdr + 6) >> 16;
}

/* IPv4 and the L4 header at hdr + 34, whole. False: not that simple. */
static inline bool classifier_parse_ipv4(const uint8_t *hdr, uint32_t len,
					 struct classifier_key *key)
{
	const uint8_t *ip = hdr + 14;
	uint32_t total = classifier_load16(ip + 2), protocol = ip[9];
	uint64_t l4 = classifier_l4(ip + 20, protocol);

	if (ip[0] != 0x45 || total + 14 > len ||
	    (classifier_load16(ip + 6) & 0x3fff) ||
	    !((protocol == 6 && total >= 40) ||
	      (protocol == 17 && total >= 28)))
		return false;
	key->w[CLASSIFIER_L4] = l4 | CLASSIFIER_BIT(IPV4) |
				(uint64_t)(ip[1] >> 2) << CLASSIFIER_L_DSCP;
	key->w[CLASSIFIER_IP] = classifier_load64(ip + 12);
	key->w[CLASSIFIER_IP_LOW] = 0;
	key->w[CLASSIFIER_DST] = 0;
	key->w[CLASSIFIER_DST_LOW] = 0;
	return true;
}

/* The same for IPv6; 74 bytes can be read. */
static inline bool classifier_parse_ipv6(const uint8_t *hdr, uint32_t len,
					 struct classifier_key *key)
{
	const uint8_t *ip = hdr + 14;
	uint32_t payload = classifier_load16(ip + 4), protocol = ip[6];
	uint32_t dscp = classifier_load16(ip) >> 6 & 0x3f;

	if (ip[0] >> 4 != 6 || payload + 54 > len ||
	    !((protocol == 6 && payload >= 20) ||
	      (protocol == 17 && payload >= 8)))
		return false;
	key->w[CLASSIFIER_L4] = classifier_l4(ip + 40, protocol) |
				CLASSIFIER_BIT(IPV6) |
				(uint64_t)dscp << CLASSIFIER_L_DSCP;
	key->w[CLASSIFIER_IP] = classifier_load64(ip + 8);
	key->w[CLASSIFIER_IP_LOW] = classifier_load64(ip + 16);
	key->w[CLASSIFIER_DST] = classifier_load64(ip + 24);
	key->w[CLASSIFIER_DST_LOW] = classifier_load64(ip + 32);
	return true;
}

/*
 * The key of a packet of len bytes, the first have of which are at hdr; have is
 * 14 at least. Any thread.
 */
static inline void classifier_parse(const uint8_t *hdr, unsigned have,
				    uint32_t len, unsigned in_port,
				    struct classifier_key *key)
{
	unsigned type = classifier_load16(hdr + 12);

	if (type == 0x0800 && have >= 48 &&
	    classifier_parse_ipv4(hdr, len, key))
		classifier_macs(hdr, in_port, type, key);
	else if (type == 0x86dd && have >= 74 &&
		 classifier_parse_ipv6(hdr, len, key))
		classifier_macs(hdr, in_port, type, key);
	else
		classifier_parse_full(hdr, have, len, in_port, key);
}

#endif
