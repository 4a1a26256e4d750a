// SPDX-License-Identifier: BSD-2-Clause
// packet.c - a packet in one line, in the manner of tcpdump.
#include "tools/glenctl/packet.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

/* What is left to read; never beyond end. */
struct view {
	const uint8_t *at;
	uint32_t len;
};

/* True, and moves on, if n bytes are there. */
static bool take(struct view *v, uint32_t n, const uint8_t **part)
{
	if (n > v->len)
		return false;
	*part = v->at;
	v->at += n;
	v->len -= n;
	return true;
}

static unsigned get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void print_mac(FILE *file, const uint8_t *mac)
{
	fprintf(file, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
}

static const char *address(int family, const uint8_t *bytes, char *buf)
{
	return inet_ntop(family, bytes, buf, INET6_ADDRSTRLEN);
}

static void print_tcp(FILE *file, struct view v, uint32_t ip_len)
{
	static const char letters[] = "FSRP.UEW";
	const uint8_t *h;
	uint32_t head;

	if (!take(&v, 20, &h)) {
		fputs(" TCP, cut off", file);
		return;
	}
	head = (h[12] >> 4) * 4;
	fputs(" TCP [", file);
	for (unsigned i = 0; i < 8; i++)
		if (h[13] >> i & 1)
			fputc(letters[i], file);
	fprintf(file, "] seq %u ack %u win %u data %u", get32(h + 4),
		get32(h + 8), get16(h + 14), ip_len > head ? ip_len - head : 0);
}

static void print_icmp(FILE *file, struct view v, bool v6)
{
	static const char *const names4[] = { [0] = "echo reply",
					      [3] = "unreachable",
					      [5] = "redirect",
					      [8] = "echo request",
					      [11] = "time exceeded" };
	const char *name = NULL;
	const uint8_t *h;

	if (!take(&v, 8, &h)) {
		fputs(v6 ? " ICMP6, cut off" : " ICMP, cut off", file);
		return;
	}
	if (!v6 && h[0] < sizeof(names4) / sizeof(*names4))
		name = names4[h[0]];
	else if (v6 && (h[0] == 128 || h[0] == 129))
		name = h[0] == 128 ? "echo request" : "echo reply";
	else if (v6 && h[0] >= 133 && h[0] <= 136)
		name = h[0] == 133 ? "router solicitation" :
		       h[0] == 134 ? "router advertisement" :
		       h[0] == 135 ? "neighbor solicitation" :
				     "neighbor advertisement";
	if (!name)
		fprintf(file, " ICMP%s type %u code %u", v6 ? "6" : "", h[0],
			h[1]);
	else if (strncmp(name, "echo", 4))
		fprintf(file, " ICMP%s %s", v6 ? "6" : "", name);
	else
		fprintf(file, " ICMP%s %s, id %u, seq %u", v6 ? "6" : "", name,
			get16(h + 4), get16(h + 6));
}

/* Addresses, ports if the protocol has any, and the protocol. */
static void print_transport(FILE *file, struct view v, unsigned protocol,
			    const char *src, const char *dst, uint32_t ip_len,
			    bool fragment)
{
	bool ports = !fragment && v.len >= 4 &&
		     (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);

	if (ports)
		fprintf(file, "%s.%u > %s.%u:", src, get16(v.at), dst,
			get16(v.at + 2));
	else
		fprintf(file, "%s > %s:", src, dst);
	if (fragment)
		fprintf(file, " fragment of protocol %u", protocol);
	else if (protocol == IPPROTO_TCP)
		print_tcp(file, v, ip_len);
	else if (protocol == IPPROTO_UDP)
		fprintf(file, " UDP data %u", ip_len > 8 ? ip_len - 8 : 0);
	else if (protocol == IPPROTO_ICMP)
		print_icmp(file, v, false);
	else if (protocol == IPPROTO_ICMPV6)
		print_icmp(file, v, true);
	else
		fprintf(file, " protocol %u", protocol);
}

static void print_ipv4(FILE *file, struct view v)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	const uint8_t *h, *options;
	uint32_t head, total;

	if (!take(&v, 20, &h) || (h[0] >> 4) != 4 || (h[0] & 15) < 5 ||
	    !take(&v, (h[0] & 15) * 4 - 20, &options)) {
		fputs("IPv4, cut off or malformed", file);
		return;
	}
	head = (h[0] & 15) * 4;
	total = get16(h + 2);
	print_transport(file, v, h[9], address(AF_INET, h + 12, src),
			address(AF_INET, h + 16, dst),
			total > head ? total - head : 0, get16(h + 6) & 0x1fff);
}

static void print_ipv6(FILE *file, struct view v)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	const uint8_t *h;

	if (!take(&v, 40, &h) || (h[0] >> 4) != 6) {
		fputs("IPv6, cut off or malformed", file);
		return;
	}
	print_transport(file, v, h[6], address(AF_INET6, h + 8, src),
			address(AF_INET6, h + 24, dst), get16(h + 4), false);
}

static void print_arp(FILE *file, struct view v)
{
	char sender[INET6_ADDRSTRLEN], target[INET6_ADDRSTRLEN];
	const uint8_t *h;

	if (!take(&v, 28, &h) || get16(h) != 1 || get16(h + 2) != 0x800) {
		fputs("ARP, cut off or not for IPv4", file);
		return;
	}
	address(AF_INET, h + 14, sender);
	address(AF_INET, h + 24, target);
	if (get16(h + 6) == 1) {
		fprintf(file, "ARP who has %s, tell %s", target, sender);
	} else {
		fprintf(file, "ARP %s is at ", sender);
		print_mac(file, h + 8);
	}
}

void packet_print(FILE *file, const uint8_t *data, uint32_t len,
		  uint32_t wire_len)
{
	struct view v = { data, len };
	const uint8_t *h, *tag;
	unsigned type;

	if (!take(&v, 14, &h)) {
		fprintf(file, "%u bytes, no Ethernet header", wire_len);
		return;
	}
	print_mac(file, h + 6);
	fputs(" > ", file);
	print_mac(file, h);
	type = get16(h + 12);
	while ((type == 0x8100 || type == 0x88a8) && take(&v, 4, &tag)) {
		fprintf(file, " vlan %u", get16(tag) & 4095);
		type = get16(tag + 2);
	}
	fprintf(file, " %u B ", wire_len);
	if (type == 0x800)
		print_ipv4(file, v);
	else if (type == 0x86dd)
		print_ipv6(file, v);
	else if (type == 0x806)
		print_arp(file, v);
	else if (type < 0x600)
		fputs("802.3", file);
	else
		fprintf(file, "ethertype 0x%04x", type);
}
