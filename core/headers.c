// SPDX-License-Identifier: BSD-2-Clause
// headers.c - finds the headers of a packet in a private copy of its start.
#include "core/headers.h"

#include <errno.h>
#include <string.h>

enum {
	ETH_LEN = 14,
	VLAN_LEN = 4,
	VLAN_TAGS_MAX = 2,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	IPV4_LEN = 20,
	IPV4_END = 0,
	IPV4_NOP = 1,
	IPV4_LOOSE_ROUTE = 131,
	IPV4_STRICT_ROUTE = 137,
	IPV6_LEN = 40,
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_DESTINATION = 60,
	TCP_LEN = 20,
	UDP_LEN = 8,
};

/*
 * The last address of a source route that has addresses still to visit is the
 * final destination (RFC 1122, 3.2.1.8). Options that are none of that, or
 * broken, change nothing.
 */
static void parse_ipv4_options(const uint8_t *hdr, struct headers *h)
{
	unsigned off = h->l3 + IPV4_LEN, len;

	for (; off < h->l4 && hdr[off] != IPV4_END; off += len) {
		len = 1;
		if (hdr[off] == IPV4_NOP)
			continue;
		if (h->l4 - off < 2)
			return;
		len = hdr[off + 1];
		if (len < 2 || len > h->l4 - off)
			return;
		if (hdr[off] != IPV4_LOOSE_ROUTE &&
		    hdr[off] != IPV4_STRICT_ROUTE)
			continue;
		/* Kind, length, pointer to the next one, addresses. */
		if (len >= 3 + 4 && hdr[off + 2] < len)
			h->dst = off + len - 4;
		return;
	}
}

static int parse_ipv4(const uint8_t *hdr, unsigned avail, struct headers *h)
{
	const uint8_t *ip = hdr + h->l3;
	unsigned len;

	if (avail < h->l3 + (unsigned)IPV4_LEN)
		return -EMSGSIZE;
	len = (ip[0] & 15u) * 4;
	if (ip[0] >> 4 != 4 || len < IPV4_LEN)
		return -EINVAL;
	h->version = 4;
	h->protocol = ip[9];
	h->l4 = h->frag_at = h->l3 + len;
	h->dst = h->l3 + 16;
	/* More fragments, or an offset. */
	h->fragment = (headers_get16(ip + 6) & 0x3fff) != 0;
	if (len == IPV4_LEN)
		return 0;
	if (avail < h->l4)
		return -EMSGSIZE;
	parse_ipv4_options(hdr, h);
	return 0;
}

/*
 * A routing header with addresses still to visit names the final destination
 * (RFC 8200, 8.1): the last address of type 0, the only one of type 2, the
 * first in the list of type 4. len is that of the whole header.
 */
static int parse_routing(const uint8_t *routing, unsigned off, unsigned len,
			 struct headers *h)
{
	if (routing[3] == 0)
		return 0;
	if (len < 8 + 16)
		return -EINVAL;
	switch (routing[2]) {
	case 0:
		h->dst = off + len - 16;
		return 0;
	case 2:
	case 4:
		h->dst = off + 8;
		return 0;
	default:
		return -EINVAL;
	}
}

static int parse_ipv6(const uint8_t *hdr, unsigned avail, struct headers *h)
{
	unsigned off = h->l3 + IPV6_LEN, len, next;
	int err;

	if (avail < off)
		return -EMSGSIZE;
	if (hdr[h->l3] >> 4 != 6)
		return -EINVAL;
	h->version = 6;
	h->dst = h->l3 + 24;
	h->frag_at = off;
	h->frag_next = h->l3 + 6;
	next = hdr[h->l3 + 6];
	/* Each turn moves off by 8 or more, and off stays below avail. */
	while (next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING ||
	       next == NEXT_DESTINATION) {
		if (off > avail || avail - off < 8)
			return -EMSGSIZE;
		len = (hdr[off + 1] + 1u) * 8;
		if (next == NEXT_ROUTING) {
			err = parse_routing(hdr + off, off, len, h);
			if (err)
				return err;
		}
		if (next != NEXT_DESTINATION) {
			h->frag_at = off + len;
			h->frag_next = off;
		}
		next = hdr[off];
		off += len;
	}
	h->l4 = off;
	h->protocol = next;
	h->fragment = next == NEXT_FRAGMENT;
	return 0;
}

int headers_l3(const uint8_t *hdr, unsigned avail, struct headers *h)
{
	unsigned type;

	memset(h, 0, sizeof(*h));
	if (avail < ETH_LEN)
		return -EMSGSIZE;
	h->l3 = ETH_LEN;
	type = headers_get16(hdr + 12);
	for (int tags = 0; tags < VLAN_TAGS_MAX; tags++) {
		if (type != TYPE_VLAN && type != TYPE_QINQ)
			break;
		if (avail < h->l3 + (unsigned)VLAN_LEN)
			return -EMSGSIZE;
		type = headers_get16(hdr + h->l3 + 2);
		h->l3 += VLAN_LEN;
	}
	if (type == TYPE_IPV4)
		return parse_ipv4(hdr, avail, h);
	if (type == TYPE_IPV6)
		return parse_ipv6(hdr, avail, h);
	h->l4 = h->frag_at = h->l3;
	return 0;
}

int headers_l4(const uint8_t *hdr, unsigned avail, struct headers *h)
{
	unsigned len = UDP_LEN;
	int err = headers_l3(hdr, avail, h);

	if (err)
		return err;
	if (h->version == 0 || h->fragment)
		return -EINVAL;
	if (h->protocol == HEADERS_TCP) {
		if (avail < h->l4 + (unsigned)TCP_LEN)
			return -EMSGSIZE;
		len = (hdr[h->l4 + 12] >> 4) * 4u;
		if (len < TCP_LEN)
			return -EINVAL;
	} else if (h->protocol != HEADERS_UDP) {
		return -EINVAL;
	}
	if (avail < h->l4 + len)
		return -EMSGSIZE;
	h->end = h->l4 + len;
	return 0;
}
