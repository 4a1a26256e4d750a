// SPDX-License-Identifier: BSD-2-Clause
// router/icmp.c - ICMP errors to senders, and echo (RFC 792, 1812, 4443).
#include <arpa/inet.h>
#include <string.h>

#include "core/headers.h"
#include "nf/router/router.h"

enum {
	P_ICMP = 1,
	P_ICMP6 = 58,
	ICMP_HEADER = 8,
	FRAGMENT6 = 8,	  /* bytes of a fragment header */
	ERROR4_MAX = 576, /* bytes of an error, with its IP header */
	ERROR6_MAX = 1280,
	IP4_HEADER = 20,
	DONT_FRAGMENT = 0x4000,
	PRECEDENCE = 0xc0, /* internetwork control: RFC 1812, 4.3.2.5 */
	TYPE4 = 0x0800,
	TYPE6 = 0x86dd,
	ECHO4 = 8,
	ECHO6 = 128,
	ECHO6_REPLY = 129,
	REDIRECT6 = 137,
};

/* Types and codes: ICMP, ICMPv6. */
static const uint8_t types[][4] = {
	[ROUTER_E_TTL] = { 11, 0, 3, 0 },
	[ROUTER_E_NET] = { 3, 0, 1, 0 },
	[ROUTER_E_HOST] = { 3, 1, 1, 3 },
	[ROUTER_E_PROHIBITED] = { 3, 13, 1, 1 },
	[ROUTER_E_PORT] = { 3, 3, 1, 4 },
	[ROUTER_E_TOO_BIG] = { 3, 4, 2, 0 },
};

void router_sum_ipv4(const struct router *r, uint8_t *ip)
{
	uint16_t sum;

	memset(ip + 10, 0, 2);
	sum = (uint16_t)~checksum_fold(r->sum(ip, (ip[0] & 15) * 4u));
	memcpy(ip + 10, &sum, 2);
}

void router_sum_icmp6(const struct router *r, uint8_t *ip, unsigned len)
{
	uint8_t *icmp = ip + ROUTER_IP6;
	uint16_t sum;

	memset(icmp + 2, 0, 2);
	sum = (uint16_t)~checksum_fold(r->sum(ip + 8, 32) + r->sum(icmp, len) +
				       htons(P_ICMP6) + htonl(len));
	memcpy(icmp + 2, &sum, 2);
}

/* The same of ICMP, which covers itself only. */
static void sum_icmp(const struct router *r, uint8_t *icmp, unsigned len)
{
	uint16_t sum;

	memset(icmp + 2, 0, 2);
	sum = (uint16_t)~checksum_fold(r->sum(icmp, len));
	memcpy(icmp + 2, &sum, 2);
}

void router_ipv6_header(uint8_t *ip, unsigned len, unsigned hop_limit,
			const struct router_ip *from,
			const struct router_ip *to)
{
	memset(ip, 0, 4);
	ip[0] = 0x60;
	headers_put16(ip + 4, len);
	ip[6] = P_ICMP6;
	ip[7] = (uint8_t)hop_limit;
	memcpy(ip + 8, from->a, 16);
	memcpy(ip + 24, to->a, 16);
}

/* Errors */

/* A bucket of a second's worth of errors, which fills as time goes by. */
static bool within_rate(struct glen_nf_thread *t, struct router *r)
{
	uint64_t now = glen_nf_now_ns(t);

	r->icmp_credit_ns += now - r->icmp_at_ns;
	r->icmp_at_ns = now;
	if (r->icmp_credit_ns > ROUTER_NS_PER_S)
		r->icmp_credit_ns = ROUTER_NS_PER_S;
	if (!r->icmp_cost_ns || r->icmp_credit_ns < r->icmp_cost_ns) {
		glen_nf_count(t, ROUTER_C_ERRORS_LIMITED, 1);
		return false;
	}
	r->icmp_credit_ns -= r->icmp_cost_ns;
	return true;
}

/* Errors about errors, and about fragments behind the first, are not sent; of
 * IPv6 only those fragments that may be of an error. */
static bool may_tell4(const uint8_t *ip)
{
	unsigned header = (ip[0] & 15) * 4u;

	if (headers_get16(ip + 6) & 0x1fff)
		return false;
	if (ip[9] != P_ICMP)
		return true;
	if (headers_get16(ip + 2) <= header)
		return false;
	switch (ip[header]) {
	case 0:
	case ECHO4:
	case 13: /* timestamp and its answer */
	case 14:
		return true;
	}
	return false;
}

static bool may_tell6(const struct glen_nf_packet *p)
{
	unsigned protocol, at;
	struct headers h;

	if (headers_l3(p->data, p->len, &h))
		return false;
	protocol = h.protocol;
	at = h.l4;
	if (h.fragment) {
		if (at > p->len || p->len - at < FRAGMENT6)
			return false;
		protocol = p->data[at];
		if (protocol == P_ICMP6 && headers_get16(p->data + at + 2) >> 3)
			return false;
		at += FRAGMENT6;
	}
	if (protocol != P_ICMP6)
		return true;
	return at < p->len && p->data[at] >= ECHO6 && p->data[at] != REDIRECT6;
}

/* Puts the start of a packet behind the error's header; the error's length. */
static unsigned quote(uint8_t *icmp, const uint8_t *ip, unsigned len,
		      unsigned most)
{
	len = len < most ? len : most;
	memcpy(icmp + ICMP_HEADER, ip, len);
	return ICMP_HEADER + len;
}

static void error4(struct glen_nf_thread *t, struct router *r,
		   const struct glen_nf_packet *about, enum router_error what,
		   unsigned mtu, const struct router_ip *from,
		   const struct router_ip *to)
{
	const uint8_t *old = about->data + ROUTER_ETH;
	unsigned room = ERROR4_MAX - IP4_HEADER - ICMP_HEADER;
	unsigned in = router_in(r, about), len = headers_get16(old + 2);
	struct glen_nf_packet p;
	uint8_t *ip;

	len = IP4_HEADER + ICMP_HEADER + (len < room ? len : room);
	if (!router_make(t, &r->iface[in], NULL, TYPE4, ROUTER_ETH + len, &p))
		return;
	ip = p.data + ROUTER_ETH;
	ip[0] = 0x45;
	ip[1] = PRECEDENCE;
	headers_put16(ip + 2, len);
	headers_put16(ip + 6, DONT_FRAGMENT);
	ip[8] = ROUTER_TTL;
	ip[9] = P_ICMP;
	memcpy(ip + 12, from->a, 4);
	memcpy(ip + 16, to->a, 4);
	router_sum_ipv4(r, ip);
	ip += IP4_HEADER;
	ip[0] = types[what][0];
	ip[1] = types[what][1];
	headers_put16(ip + 6, mtu);
	sum_icmp(r, ip, quote(ip, old, headers_get16(old + 2), room));
	router_send_to(t, r, &p, to, in);
	glen_nf_count(t, ROUTER_C_ERRORS_SENT, 1);
}

static void error6(struct glen_nf_thread *t, struct router *r,
		   const struct glen_nf_packet *about, enum router_error what,
		   unsigned mtu, const struct router_ip *from,
		   const struct router_ip *to)
{
	const uint8_t *old = about->data + ROUTER_ETH;
	unsigned room = ERROR6_MAX - ROUTER_IP6 - ICMP_HEADER;
	unsigned in = router_in(r, about), len;
	struct glen_nf_packet p;
	uint8_t *ip, *icmp;

	len = ROUTER_IP6 + headers_get16(old + 4);
	len = ICMP_HEADER + (len < room ? len : room);
	if (!router_make(t, &r->iface[in], NULL, TYPE6,
			 ROUTER_ETH + ROUTER_IP6 + len, &p))
		return;
	ip = p.data + ROUTER_ETH;
	icmp = ip + ROUTER_IP6;
	router_ipv6_header(ip, len, ROUTER_TTL, from, to);
	icmp[0] = types[what][2];
	icmp[1] = types[what][3];
	headers_put32(icmp + 4, mtu);
	quote(icmp, old, len - ICMP_HEADER, room);
	router_sum_icmp6(r, ip, len);
	router_send_to(t, r, &p, to, in);
	glen_nf_count(t, ROUTER_C_ERRORS_SENT, 1);
}

void router_error(struct glen_nf_thread *t, struct router *r,
		  const struct glen_nf_packet *p, enum router_error what,
		  unsigned mtu)
{
	const uint8_t *ip = p->data + ROUTER_ETH;
	bool v6 = ip[0] >> 4 == 6;
	struct router_ip to = v6 ? router_ip6(ip + 8) : router_ip4(ip + 12);
	unsigned in = router_in(r, p);
	const struct router_hop *hop = router_lookup(r, &to, in);
	const struct router_ip *from;

	if ((p->data[0] & 1) || !hop || hop->kind > ROUTER_VIA)
		return;
	if (v6 ? !may_tell6(p) : !may_tell4(ip))
		return;
	from = router_source(r, in, &to);
	if (!from) {
		glen_nf_count(t, ROUTER_C_ERRORS_NO_SOURCE, 1);
		return;
	}
	if (!within_rate(t, r))
		return;
	if (v6)
		error6(t, r, p, what, mtu, from, &to);
	else
		error4(t, r, p, what, mtu, from, &to);
}

/* Echo */

/* Sends a packet that was turned round back to where it came from. */
static uint32_t send_back(struct glen_nf_thread *t, struct router *r,
			  struct glen_nf_packet *p, const struct router_ip *to,
			  unsigned len, unsigned in)
{
	const struct router_hop *hop = router_lookup(r, to, in);

	if (!hop || hop->kind > ROUTER_VIA)
		return glen_nf_drop(ROUTER_R_NO_ROUTE);
	if (len > r->iface[hop->iface].mtu)
		return glen_nf_drop(ROUTER_R_TOO_BIG);
	glen_nf_count(t, ROUTER_C_ECHO_ANSWERED, 1);
	return router_output(t, r, p, hop, to, false);
}

uint32_t router_echo4(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p, unsigned in)
{
	uint8_t *ip = p->data + ROUTER_ETH, *icmp = ip + (ip[0] & 15) * 4u;
	unsigned all = headers_get16(ip + 2), len = all - (ip[0] & 15) * 4u;
	struct router_ip to = router_ip4(ip + 12);

	if (len < ICMP_HEADER)
		return glen_nf_drop(ROUTER_R_BAD_ICMP);
	if (checksum_fold(r->sum(icmp, len)) != 0xffff)
		return glen_nf_drop(ROUTER_R_BAD_CHECKSUM);
	if (icmp[0] != ECHO4)
		return glen_nf_drop(ROUTER_R_IGNORED);
	memcpy(ip + 12, ip + 16, 4);
	memcpy(ip + 16, to.a, 4);
	ip[8] = ROUTER_TTL;
	router_sum_ipv4(r, ip);
	icmp[0] = 0;
	sum_icmp(r, icmp, len);
	return send_back(t, r, p, &to, all, in);
}

uint32_t router_echo6(struct glen_nf_thread *t, struct router *r,
		      struct glen_nf_packet *p, unsigned in)
{
	uint8_t *ip = p->data + ROUTER_ETH;
	unsigned len = headers_get16(ip + 4);
	struct router_ip to = router_ip6(ip + 8);

	memcpy(ip + 8, ip + 24, 16);
	memcpy(ip + 24, to.a, 16);
	ip[7] = ROUTER_TTL;
	ip[ROUTER_IP6] = ECHO6_REPLY;
	router_sum_icmp6(r, ip, len);
	return send_back(t, r, p, &to, ROUTER_IP6 + len, in);
}
