// SPDX-License-Identifier: BSD-2-Clause
// router/nd.c - Neighbour Discovery (RFC 4861): asks, answers, announces.
#include <string.h>

#include "core/headers.h"
#include "nf/router/router.h"

enum {
	TYPE = 0x86dd,
	SOLICITATION = 135,
	ADVERTISEMENT = 136,
	HOP_LIMIT = 255, /* it comes from the link, not through a router */
	/* Offsets in the message. */
	FLAGS = 4,
	TARGET = 8,
	OPTIONS = 24,
	LEN = 32, /* with an Ethernet address in an option */

	F_ROUTER = 0x80,
	F_SOLICITED = 0x40,
	F_OVERRIDE = 0x20,
	O_SOURCE = 1, /* Ethernet address of the source, of the target */
	O_TARGET = 2,
};

static const struct router_ip all_nodes = {
	6, { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 }
};

static bool is_none(const struct router_ip *ip)
{
	static const uint8_t zeros[16];

	return !memcmp(ip->a, zeros, sizeof(zeros));
}

/* The Ethernet address of a group. */
static void group_mac(const struct router_ip *group, uint8_t *mac)
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->a + 12, 4);
}

/* The group in which an address's owner listens to questions for it. */
static struct router_ip solicited_node(const struct router_ip *ip)
{
	struct router_ip group = { 6, { 0xff, 2 } };

	group.a[11] = 1;
	group.a[12] = 0xff;
	memcpy(group.a + 13, ip->a + 13, 3);
	return group;
}

/* Makes and sends one of our messages. to_mac NULL: to is a group. */
static bool message(struct glen_nf_thread *t, struct router *r,
		    const struct router_iface *i, unsigned type, unsigned flags,
		    const struct router_ip *from, const struct router_ip *to,
		    const uint8_t *to_mac, const struct router_ip *target)
{
	struct glen_nf_packet p;
	uint8_t mac[6], *ip, *nd;

	group_mac(to, mac);
	if (!router_make(t, i, to_mac ? to_mac : mac, TYPE,
			 ROUTER_ETH + ROUTER_IP6 + LEN, &p))
		return false;
	ip = p.data + ROUTER_ETH;
	nd = ip + ROUTER_IP6;
	router_ipv6_header(ip, LEN, HOP_LIMIT, from, to);
	nd[0] = (uint8_t)type;
	nd[FLAGS] = (uint8_t)flags;
	memcpy(nd + TARGET, target->a, 16);
	nd[OPTIONS] = type == SOLICITATION ? O_SOURCE : O_TARGET;
	nd[OPTIONS + 1] = 1;
	memcpy(nd + OPTIONS + 2, i->mac, 6);
	router_sum_icmp6(r, ip, LEN);
	router_send(t, &p);
	return true;
}

void router_nd_ask(struct glen_nf_thread *t, struct router *r, unsigned iface,
		   const struct router_ip *ip, const uint8_t *mac)
{
	const struct router_iface *i = &r->iface[iface];
	struct router_ip to = mac ? *ip : solicited_node(ip);

	if (message(t, r, i, SOLICITATION, 0, &i->own[0].ip, &to, mac, ip))
		glen_nf_count(t, ROUTER_C_ND_ASKED, 1);
}

void router_nd_announce(struct glen_nf_thread *t, struct router *r,
			unsigned iface, const struct router_ip *ip)
{
	const struct router_iface *i = &r->iface[iface];

	if (message(t, r, i, ADVERTISEMENT, F_ROUTER | F_OVERRIDE, ip,
		    &all_nodes, NULL, ip))
		glen_nf_count(t, ROUTER_C_ANNOUNCED, 1);
}

/*
 * The Ethernet address in an option of a kind; NULL: there is none. False: the
 * options are not well-formed.
 */
static bool option(const uint8_t *nd, unsigned len, unsigned kind,
		   const uint8_t **mac)
{
	unsigned at = OPTIONS, size;

	*mac = NULL;
	while (at < len) {
		if (len - at < 8)
			return false;
		size = nd[at + 1] * 8u;
		if (!size || size > len - at)
			return false;
		if (nd[at] == kind && size == 8)
			*mac = nd + at + 2;
		at += size;
	}
	return !*mac || !((*mac)[0] & 1);
}

static uint32_t solicitation(struct glen_nf_thread *t, struct router *r,
			     struct glen_nf_packet *p, unsigned in,
			     const uint8_t *mac)
{
	const struct router_iface *i = &r->iface[in];
	const uint8_t *ip = p->data + ROUTER_ETH, *nd = ip + ROUTER_IP6;
	struct router_ip from = router_ip6(ip + 8), to = router_ip6(ip + 24);
	struct router_ip target = router_ip6(nd + TARGET);
	bool told;

	if (is_none(&from) && (mac || to.a[0] != 0xff))
		return glen_nf_drop(ROUTER_R_BAD_ND);
	if (!router_is_own(i, &target))
		return glen_nf_drop(ROUTER_R_IGNORED);
	/* Who wants our address for itself is told before all. */
	if (is_none(&from)) {
		told = message(t, r, i, ADVERTISEMENT, F_ROUTER | F_OVERRIDE,
			       &target, &all_nodes, NULL, &target);
	} else {
		if (router_is_own(i, &from) || !router_is_on_link(i, &from))
			return glen_nf_drop(ROUTER_R_IGNORED);
		if (mac)
			router_learn(t, r, in, &from, mac, true, true);
		told = message(t, r, i, ADVERTISEMENT,
			       F_ROUTER | F_SOLICITED | F_OVERRIDE, &target,
			       &from, mac ? mac : p->data + 6, &target);
	}
	if (told)
		glen_nf_count(t, ROUTER_C_ND_ANSWERED, 1);
	return glen_nf_drop(ROUTER_R_CONSUMED);
}

static uint32_t advertisement(struct glen_nf_thread *t, struct router *r,
			      struct glen_nf_packet *p, unsigned in,
			      const uint8_t *mac)
{
	const struct router_iface *i = &r->iface[in];
	const uint8_t *ip = p->data + ROUTER_ETH, *nd = ip + ROUTER_IP6;
	struct router_ip target = router_ip6(nd + TARGET);

	if (ip[24] == 0xff && (nd[FLAGS] & F_SOLICITED))
		return glen_nf_drop(ROUTER_R_BAD_ND);
	/* An answer to a question that was asked of it alone may leave its
	 * address out. */
	mac = mac ? mac : p->data + 6;
	if (router_is_own(i, &target))
		return glen_nf_drop(memcmp(mac, i->mac, 6) ? ROUTER_R_CONFLICT :
							     ROUTER_R_IGNORED);
	router_learn(t, r, in, &target, mac, false, nd[FLAGS] & F_OVERRIDE);
	return glen_nf_drop(ROUTER_R_CONSUMED);
}

uint32_t router_nd(struct glen_nf_thread *t, struct router *r,
		   struct glen_nf_packet *p, unsigned in)
{
	const uint8_t *ip = p->data + ROUTER_ETH, *nd = ip + ROUTER_IP6;
	bool asks = nd[0] == SOLICITATION;
	unsigned len = headers_get16(ip + 4);
	const uint8_t *mac;

	if (ip[7] != HOP_LIMIT || nd[1] || len < OPTIONS ||
	    nd[TARGET] == 0xff ||
	    !option(nd, len, asks ? O_SOURCE : O_TARGET, &mac))
		return glen_nf_drop(ROUTER_R_BAD_ND);
	return asks ? solicitation(t, r, p, in, mac) :
		      advertisement(t, r, p, in, mac);
}
