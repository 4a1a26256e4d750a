// SPDX-License-Identifier: BSD-2-Clause
// router/ipv6.c - IPv6: what is refused, what is passed on (RFC 8200, 4443).
#include <arpa/inet.h>
#include <string.h>

#include "core/headers.h"
#include "nf/router/router.h"

enum {
	/* Offsets in the header. */
	LENGTH = 4,
	NEXT = 6,
	HOP_LIMIT = 7,
	SOURCE = 8,
	DESTINATION = 24,

	P_UDP = 17,
	P_ICMP = 58,
	ECHO_REQUEST = 128,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
};

static bool is_sound(const struct glen_nf_packet *p)
{
	const uint8_t *ip = p->data + ROUTER_ETH;

	return p->len >= ROUTER_ETH + ROUTER_IP6 && ip[0] >> 4 == 6 &&
	       headers_get16(ip + LENGTH) <= p->len - ROUTER_ETH - ROUTER_IP6;
}

/* "::" or "::1". */
static bool is_nobody(const uint8_t *a, unsigned last_max)
{
	static const uint8_t zeros[15];

	return !memcmp(a, zeros, 15) && a[15] <= last_max;
}

static void trim(struct glen_nf_packet *p)
{
	unsigned len = ROUTER_ETH + ROUTER_IP6 +
		       headers_get16(p->data + ROUTER_ETH + LENGTH);

	if (len < ROUTER_FRAME_MIN)
		len = ROUTER_FRAME_MIN;
	if (p->len > len)
		glen_nf_resize(p, len);
}

/* Verdict of ICMPv6 that is for the router. */
static uint32_t icmp(struct glen_nf_thread *t, struct router *r,
		     struct glen_nf_packet *p)
{
	uint8_t *ip = p->data + ROUTER_ETH, *icmp = ip + ROUTER_IP6;
	unsigned len = headers_get16(ip + LENGTH);
	uint64_t sum;

	if (len < 8)
		return glen_nf_drop(ROUTER_R_BAD_ICMP);
	sum = r->sum(ip + SOURCE, 32) + r->sum(icmp, len) + htons(P_ICMP) +
	      htonl(len);
	if (checksum_fold(sum) != 0xffff)
		return glen_nf_drop(ROUTER_R_BAD_CHECKSUM);
	if (icmp[0] == SOLICITATION || icmp[0] == ADVERTISEMENT)
		return router_nd(t, r, p, router_in(r, p));
	if (icmp[0] == ECHO_REQUEST && ip[DESTINATION] != 0xff)
		return router_echo6(t, r, p, router_in(r, p));
	return glen_nf_drop(ROUTER_R_IGNORED);
}

static uint32_t local(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p)
{
	const uint8_t *ip = p->data + ROUTER_ETH;

	if (ip[NEXT] == P_ICMP)
		return icmp(t, r, p);
	if (ip[NEXT] == P_UDP)
		router_error(t, r, p, ROUTER_E_PORT, 0);
	return glen_nf_drop(ROUTER_R_LOCAL);
}

/* To a group, or on the link only: never passed on. */
static uint32_t stays(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p)
{
	const uint8_t *ip = p->data + ROUTER_ETH;
	struct router_ip dst = router_ip6(ip + DESTINATION);

	if (dst.a[0] == 0xff)
		return ip[NEXT] == P_ICMP ? icmp(t, r, p) :
					    glen_nf_drop(ROUTER_R_MULTICAST);
	if (router_is_own(&r->iface[router_in(r, p)], &dst))
		return local(t, r, p);
	return glen_nf_drop(ROUTER_R_LINK_LOCAL);
}

bool router_ipv6_check(struct glen_nf_thread *t, struct router *r,
		       struct glen_nf_packet *p, uint32_t *verdict)
{
	const uint8_t *ip = p->data + ROUTER_ETH;
	bool group, link;

	*verdict = glen_nf_drop(ROUTER_R_BAD_IP);
	if (!is_sound(p))
		return false;
	group = ip[DESTINATION] == 0xff;
	link = ip[DESTINATION] == 0xfe && (ip[DESTINATION + 1] & 0xc0) == 0x80;
	trim(p);
	/* Who has no address yet may ask the link, and nothing else. */
	*verdict = glen_nf_drop(ROUTER_R_MARTIAN);
	if (ip[SOURCE] == 0xff || is_nobody(ip + DESTINATION, 1) ||
	    (is_nobody(ip + SOURCE, 1) &&
	     (!group || !is_nobody(ip + SOURCE, 0))))
		return false;
	if (group || link) {
		*verdict = stays(t, r, p);
		return false;
	}
	*verdict = glen_nf_drop(ROUTER_R_LINK_BROADCAST);
	return !(p->data[0] & 1);
}

static uint32_t forward(struct glen_nf_thread *t, struct router *r,
			struct glen_nf_packet *p, const struct router_hop *hop)
{
	uint8_t *ip = p->data + ROUTER_ETH;
	unsigned mtu = r->iface[hop->iface].mtu;
	struct router_ip dst = router_ip6(ip + DESTINATION);
	struct router_ip src = router_ip6(ip + SOURCE);

	if (router_is_link_local(&src))
		return glen_nf_drop(ROUTER_R_LINK_LOCAL);
	if (ip[HOP_LIMIT] <= 1) {
		router_error(t, r, p, ROUTER_E_TTL, 0);
		return glen_nf_drop(ROUTER_R_TTL);
	}
	if (ROUTER_IP6 + headers_get16(ip + LENGTH) > mtu) {
		router_error(t, r, p, ROUTER_E_TOO_BIG, mtu);
		return glen_nf_drop(ROUTER_R_TOO_BIG);
	}
	ip[HOP_LIMIT]--;
	return router_output(t, r, p, hop, &dst, false);
}

uint32_t router_ipv6_route(struct glen_nf_thread *t, struct router *r,
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
