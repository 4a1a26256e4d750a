/* SPDX-License-Identifier: BSD-2-Clause */
/* learn/guard.h - which addresses a port may send from. */
#ifndef MODULE_LEARN_GUARD_H
#define MODULE_LEARN_GUARD_H
/*
 * Theory of operation
 *
 * A guard is a list of what a port owns, each "MAC [IP[/LENGTH]...]". A packet
 * must come from one of the MACs (GUARD_MAC). If the list names IP addresses
 * for that MAC, then it must be IPv4, IPv6 or ARP behind at most two VLAN tags
 * (GUARD_OTHER), come from one of them (GUARD_IP), and what it says about
 * neighbours must be about them (GUARD_ND). Of IPv4 and IPv6, what has no
 * address in the list may not be used at all.
 *
 *   IPv4   source address. 0.0.0.0 only from UDP port 68 to 67 (DHCP)
 *   ARP    sender's MAC is owned, sender's IP is owned; 0.0.0.0 in a request
 *   IPv6   source address. :: only for what RFC 4861, 4862 and MLD send so:
 *          solicitations and multicast reports
 *   ND     the target of an advertisement, and of a solicitation from ::, is
 *          owned; link-layer address options name an owned MAC; redirects are
 *          not for guarded ports; never in fragments (RFC 6980)
 *
 * For a MAC with IPv6 addresses the link-local one that is made of it (EUI-64)
 * is owned, too. A MAC without IP addresses guards just the Ethernet source.
 *
 * All decisions are made on the private header. What lies behind it may still
 * change, so a packet whose headers are longer than that, as far as they are
 * needed, is refused (GUARD_OTHER): IPv6 extension headers up to the first that
 * is none, and all options of a neighbour discovery message. guard_hdr() says
 * how many bytes the guard wants to see; 128 are enough for two tags and 24
 * bytes of extension headers before a solicitation with one option.
 *
 * Immutable once made; any thread. A look is linear in the list: there are at
 * most GUARD_MACS MACs and GUARD_IPS addresses.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"

enum {
	GUARD_MACS = 64,
	GUARD_IPS = 256,
};

enum guard_result {
	GUARD_PASS,
	GUARD_MAC,
	GUARD_IP,
	GUARD_ND,
	GUARD_OTHER,
};

/* An IPv4 address is kept as ::ffff:a.b.c.d, with 96 more bits of length. */
struct guard_ip {
	uint8_t addr[16];
	uint8_t mask[16];
};

struct guard_mac {
	uint8_t mac[6];
	bool ipv4, ipv6;       /* it has addresses of this kind */
	uint16_t first, n_ips; /* its addresses in ip[] */
};

struct guard {
	unsigned n_macs, n_ips;
	bool ipv6; /* some address is one */
	struct guard_mac mac[GUARD_MACS];
	struct guard_ip ip[GUARD_IPS];
};

/* Reads the list (borrowed): an array of texts, or one text. -EINVAL. The guard
 * is freed with free(). */
int guard_create(json_t *list, struct guard **guard, struct glen_error *error);

/* Bytes of header that guard_check() wants to see. */
unsigned guard_hdr(const struct guard *g);

/* Judges a packet of len bytes by its first hdr_len (14 or more). */
enum guard_result guard_check(const struct guard *g, const uint8_t *hdr,
			      unsigned hdr_len, uint32_t len);

#endif
