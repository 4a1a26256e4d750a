// SPDX-License-Identifier: BSD-2-Clause
// router/ipv4.c - IPv4: what is refused, what is passed on (RFC 1812).
#include <arpa/inet.h>
#include <string.h>

#include "core/headers.h"
#include "lib/bytes.h"
#include "nf/router/router.h"

enum {
	/* Offsets in the header. */
	LENGTH = 2,
	FRAGMENT = 6,
	TTL = 8,
	PROTOCOL = 9,
	CHECKSUM = 10,
	SOURCE = 12,
	DESTINATION = 16,
	HEADER = 20,

	MORE_OR_OFFSET = 0x3fff,
	P_ICMP = 1,
	P_UDP = 17,
};

/* The header's lengths fit each other and the packet. */
static bool is_sound(const struct glen_nf_packet *p)
{
	const uint8_t *ip = p->data + ROUTER_ETH;
	unsigned room = p->len - ROUTER_ETH, header, len;

	if (p->len < ROUTER_ETH + HEADER || ip[0] >> 4 != 4)
		return false;
	header = (ip[0] & 15) * 4u;
	len = headers_get16(ip + LENGTH);
	return header >= HEADER && len >= header && len <= room;
}

static bool is_martian_source(const uint8_t *a)
{
	return a[0] == 0 || a[0] == 127 || a[0] >= 224;
}

static bool is_martian_destination(const uint8_t *a)
{
	return a[0] == 0 || a[0] == 127 || a[0] >= 240;
}

/* What lies behind the packet in its frame, beyond padding, goes. */
static void trim(struct glen_nf_packet *p)
{
	unsigned len = ROUTER_ETH +
		       headers_get16(p->data + ROUTER_ETH + LENGTH);

	if (len < ROUTER_FRAME_MIN)
		len = ROUTER_FRAME_MIN;
	if (p->len > len)
		glen_nf_resize(p, len);
}

bool router_ipv4_check(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, uint32_t *verdict)
{
	static const uint8_t all[4] = { 255, 255, 255, 255 };
	const uint8_t *ip = p->data + ROUTER_ETH;
	unsigned reason;

	if (!is_sound(p))
		reason = ROUTER_R_BAD_IP;
	else if (checksum_fold(r->sum(ip, (ip[0] & 15) * 4u)) != 0xffff)
		reason = ROUTER_R_BAD_CHECKSUM;
	else if (is_martian_source(ip + SOURCE))
		reason = ROUTER_R_MARTIAN;
	else if (ip[DESTINATION] >> 4 == 14)
		reason = ROUTER_R_MULTICAST;
	else if (!memcmp(ip + DESTINATION, all, 4))
		reason = ROUTER_R_BROADCAST;
	else if (is_martian_destination(ip + DESTINATION))
		reason = ROUTER_R_MARTIAN;
	else if (p->data[0] & 1)
		reason = ROUTER_R_LINK_BROADCAST;
	else {
		trim(p);
		return true;
	}
	*verdict = glen_nf_drop(reason);
	return false;
}

static uint32_t local(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p)
{
	const uint8_t *ip = p->data + ROUTER_ETH;

	if (headers_get16(ip + FRAGMENT) & MORE_OR_OFFSET)
		return glen_nf_drop(ROUTER_R_FRAGMENT);
	if (ip[PROTOCOL] == P_ICMP)
		return router_echo4(t, r, p, router_in(r, p));
	if (ip[PROTOCOL] == P_UDP)
		router_error(t, r, p, ROUTER_E_PORT, 0);
	return glen_nf_drop(ROUTER_R_LOCAL);
}

/* One less, and the checksum's share of it (RFC 1624). */
static void decrement_ttl(uint8_t *ip)
{
	uint32_t sum = load16(ip + CHECKSUM) + htons(0x0100);
	uint16_t folded = (uint16_t)(sum + (sum >= 0xffff));

	memcpy(ip + CHECKSUM, &folded, 2);
	ip[TTL]--;
}

static uint32_t forward(struct glen_nf_thread *t, struct router *r,
			struct glen_nf_packet *p, const struct router_hop *hop)
{
	uint8_t *ip = p->data + ROUTER_ETH;
	unsigned mtu = r->iface[hop->iface].mtu;
	struct router_ip dst = router_ip4(ip + DESTINATION);

	if (ip[TTL] <= 1) {
		router_error(t, r, p, ROUTER_E_TTL, 0);
		return glen_nf_drop(ROUTER_R_TTL);
	}
	if (headers_get16(ip + LENGTH) > mtu) {
		router_error(t, r, p, ROUTER_E_TOO_BIG, mtu);
		return glen_nf_drop(ROUTER_R_TOO_BIG);
	}
	decrement_ttl(ip);
	return router_output(t, r, p, hop, &dst, false);
}

uint32_t router_ipv4_route(struct glen_nf_thread *t, struct router *r,
			   struct glen_nf_packet *p,
			   const struct router_hop *hop)
{
	if (!hop) {
		router_error(t, r, p, ROUTER_E_NET, 0);
		return glen_nf_drop(ROUTER_R_NO_ROUTE);
	}
	switch (hop->kind) {
	case ROUTER_LOCAL:
		return local(t, r, p);
	case ROUTER_BROADCAST:
		return glen_nf_drop(ROUTER_R_BROADCAST);
	case ROUTER_BLACKHOLE:
		return glen_nf_drop(ROUTER_R_BLACKHOLE);
	case ROUTER_UNREACHABLE:
		router_error(t, r, p, ROUTER_E_HOST, 0);
		return glen_nf_drop(ROUTER_R_UNREACHABLE);
	case ROUTER_PROHIBIT:
		router_error(t, r, p, ROUTER_E_PROHIBITED, 0);
		return glen_nf_drop(ROUTER_R_PROHIBITED);
	}
	return forward(t, r, p, hop);
}
