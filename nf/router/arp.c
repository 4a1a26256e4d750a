// SPDX-License-Identifier: BSD-2-Clause
// router/arp.c - ARP (RFC 826, RFC 5227): asks, answers, announces.
#include <string.h>

#include "core/headers.h"
#include "nf/router/router.h"

enum {
	TYPE = 0x0806,
	REQUEST = 1,
	REPLY = 2,
	/* Offsets behind the Ethernet header. */
	OPERATION = 6,
	SENDER_MAC = 8,
	SENDER_IP = 14,
	TARGET_MAC = 18,
	TARGET_IP = 24,
	LEN = 28,
};

static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 }; /* Ethernet, IPv4 */
static const uint8_t everybody[6] = { 255, 255, 255, 255, 255, 255 };

/* A request from an address, or from none. */
static bool request(struct glen_nf_thread *t, const struct router_iface *i,
		    const uint8_t *to, const uint8_t *from_ip,
		    const uint8_t *target_ip)
{
	struct glen_nf_packet p;
	uint8_t *arp;

	if (!router_make(t, i, to, TYPE, ROUTER_ETH + LEN, &p))
		return false;
	arp = p.data + ROUTER_ETH;
	memcpy(arp, head, sizeof(head));
	headers_put16(arp + OPERATION, REQUEST);
	memcpy(arp + SENDER_MAC, i->mac, 6);
	if (from_ip)
		memcpy(arp + SENDER_IP, from_ip, 4);
	memcpy(arp + TARGET_IP, target_ip, 4);
	router_send(t, &p);
	return true;
}

/* The address of the interface in the neighbour's subnet, or the first. */
static const uint8_t *sender(const struct router_iface *i,
			     const struct router_ip *ip)
{
	const uint8_t *first = NULL;

	for (unsigned k = 0; k < i->n_own; k++) {
		const struct router_own *own = &i->own[k];

		if (own->ip.family != 4)
			continue;
		if (router_same_prefix(own->ip.a, ip->a, own->len))
			return own->ip.a;
		first = first ? first : own->ip.a;
	}
	return first;
}

void router_arp_ask(struct glen_nf_thread *t, struct router *r, unsigned iface,
		    const struct router_ip *ip, const uint8_t *mac)
{
	const struct router_iface *i = &r->iface[iface];

	if (request(t, i, mac ? mac : everybody, sender(i, ip), ip->a))
		glen_nf_count(t, ROUTER_C_ARP_ASKED, 1);
}

void router_arp_announce(struct glen_nf_thread *t, struct router *r,
			 unsigned iface, const struct router_ip *ip)
{
	if (request(t, &r->iface[iface], everybody, ip->a, ip->a))
		glen_nf_count(t, ROUTER_C_ANNOUNCED, 1);
}

/* Turns a request for our address into the answer. */
static uint32_t answer(struct glen_nf_thread *t, const struct router_iface *i,
		       struct glen_nf_packet *p)
{
	uint8_t *arp = p->data + ROUTER_ETH, target[4];

	memcpy(target, arp + TARGET_IP, 4);
	memcpy(arp + TARGET_MAC, arp + SENDER_MAC, 10);
	memcpy(arp + SENDER_MAC, i->mac, 6);
	memcpy(arp + SENDER_IP, target, 4);
	headers_put16(arp + OPERATION, REPLY);
	memcpy(p->data, arp + TARGET_MAC, 6);
	memcpy(p->data + 6, i->mac, 6);
	if (p->len > ROUTER_FRAME_MIN)
		glen_nf_resize(p, ROUTER_FRAME_MIN);
	glen_nf_count(t, ROUTER_C_ARP_ANSWERED, 1);
	return glen_nf_out(i->port);
}

uint32_t router_arp(struct glen_nf_thread *t, struct router *r,
		    struct glen_nf_packet *p, unsigned in)
{
	const struct router_iface *i = &r->iface[in];
	uint8_t *arp = p->data + ROUTER_ETH;
	static const uint8_t none[4];
	struct router_ip from, to;
	unsigned operation;
	bool for_us;

	if (p->len < ROUTER_ETH + LEN || memcmp(arp, head, sizeof(head)) ||
	    (arp[SENDER_MAC] & 1) || memcmp(arp + SENDER_MAC, p->data + 6, 6))
		return glen_nf_drop(ROUTER_R_BAD_ARP);
	operation = headers_get16(arp + OPERATION);
	if (operation != REQUEST && operation != REPLY)
		return glen_nf_drop(ROUTER_R_BAD_ARP);
	from = router_ip4(arp + SENDER_IP);
	to = router_ip4(arp + TARGET_IP);
	for_us = router_is_own(i, &to);
	if (router_is_own(i, &from))
		return glen_nf_drop(memcmp(arp + SENDER_MAC, i->mac, 6) ?
					    ROUTER_R_CONFLICT :
					    ROUTER_R_IGNORED);
	/* A probe (RFC 5227) comes from nobody yet. */
	if (!memcmp(from.a, none, 4))
		return for_us && operation == REQUEST ?
			       answer(t, i, p) :
			       glen_nf_drop(ROUTER_R_IGNORED);
	if (!router_is_on_link(i, &from))
		return glen_nf_drop(ROUTER_R_IGNORED);
	router_learn(t, r, in, &from, arp + SENDER_MAC,
		     for_us && operation == REQUEST, true);
	if (for_us && operation == REQUEST)
		return answer(t, i, p);
	return glen_nf_drop(ROUTER_R_CONSUMED);
}
