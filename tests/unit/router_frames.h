/* SPDX-License-Identifier: BSD-2-Clause */
/* router_frames.h - frames for tests of the router, made byte by byte. */
#ifndef TESTS_UNIT_ROUTER_FRAMES_H
#define TESTS_UNIT_ROUTER_FRAMES_H
/*
 * A frame is written as hexadecimal text, behind which come what functions here
 * append. Checksums are computed here once more, in the plainest way.
 */
#include <arpa/inet.h>
#include <ctype.h>

#include "router_rig.h"

/* Stations: their Ethernet addresses end in these. */
#define LAN_HOST "02000000aa05" /* 10.0.0.5, 2001:db8:1::5 */
#define WAN_GATE "02000000bbfe" /* 192.0.2.254, fe80::fe */
#define LAN "020000000001"
#define WAN "020000000002"

static inline unsigned hex_digit(char c)
{
	return isdigit((unsigned char)c) ? (unsigned)(c - '0') :
					   (unsigned)(c - 'a') + 10;
}

static inline void add(struct router_frame *f, const char *text)
{
	for (; *text; text++)
		if (*text != ' ') {
			f->b[f->len++] = (uint8_t)(hex_digit(text[0]) << 4 |
						   hex_digit(text[1]));
			text++;
		}
}

static inline struct router_frame frame(const char *text)
{
	struct router_frame f = { .len = 0 };

	add(&f, text);
	return f;
}

static inline void add16(struct router_frame *f, unsigned value)
{
	f->b[f->len++] = (uint8_t)(value >> 8);
	f->b[f->len++] = (uint8_t)value;
}

static inline void add_ip(struct router_frame *f, const char *text)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, f->b + f->len) != 1)
		abort();
	f->len += family == AF_INET ? 4 : 16;
}

static inline void add_bytes(struct router_frame *f, const void *data,
			     unsigned n)
{
	memcpy(f->b + f->len, data, n);
	f->len += n;
}

/* n bytes that count up from first. */
static inline void add_pattern(struct router_frame *f, unsigned first,
			       unsigned n)
{
	while (n--)
		f->b[f->len++] = (uint8_t)first++;
}

static inline void pad(struct router_frame *f)
{
	while (f->len < 60)
		f->b[f->len++] = 0;
}

static inline uint32_t plain_sum(uint32_t sum, const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline void put_sum(struct router_frame *f, unsigned at, uint32_t sum)
{
	f->b[at] = (uint8_t)(~sum >> 8);
	f->b[at + 1] = (uint8_t)~sum;
}

/* An IPv4 header for n bytes behind it. */
static inline void add_ipv4(struct router_frame *f, const char *src,
			    const char *dst, unsigned protocol, unsigned ttl,
			    unsigned n)
{
	unsigned at = f->len;

	add(f, "4500");
	add16(f, 20 + n);
	add(f, "12344000");
	add16(f, ttl << 8 | protocol);
	add(f, "0000");
	add_ip(f, src);
	add_ip(f, dst);
	put_sum(f, at + 10, plain_sum(0, f->b + at, 20));
}

static inline void add_ipv6(struct router_frame *f, const char *src,
			    const char *dst, unsigned next, unsigned hop_limit,
			    unsigned n)
{
	add(f, "60000000");
	add16(f, n);
	add16(f, next << 8 | hop_limit);
	add_ip(f, src);
	add_ip(f, dst);
}

/* Sets the checksum of ICMP that begins at `at` and ends with the frame. */
static inline void sum_icmp4(struct router_frame *f, unsigned at)
{
	memset(f->b + at + 2, 0, 2);
	put_sum(f, at + 2, plain_sum(0, f->b + at, f->len - at));
}

/* The same of ICMPv6, right behind the IPv6 header. */
static inline void sum_icmp6(struct router_frame *f)
{
	unsigned at = 14 + 40, len = f->len - at;
	uint32_t sum = plain_sum(58 + len, f->b + 14 + 8, 32);

	memset(f->b + at + 2, 0, 2);
	put_sum(f, at + 2, plain_sum(sum, f->b + at, len));
}

/* UDP-like: n bytes of protocol 17 from a station in lan. */
static inline struct router_frame from_lan(const char *src, const char *dst,
					   unsigned ttl, unsigned n)
{
	struct router_frame f = frame(LAN LAN_HOST);

	if (strchr(dst, ':')) {
		add(&f, "86dd");
		add_ipv6(&f, src, dst, 17, ttl, n);
	} else {
		add(&f, "0800");
		add_ipv4(&f, src, dst, 17, ttl, n);
	}
	add_pattern(&f, 1, n);
	return f;
}

static inline void feed(unsigned port, const struct router_frame *f)
{
	if (!router_feed(port, f->b, f->len))
		abort();
	router_run();
}

/* An ARP frame, padded. */
static inline struct router_frame arp(const char *eth_dst, const char *eth_src,
				      unsigned operation, const char *from_ip,
				      const char *to_mac, const char *to_ip)
{
	struct router_frame f = frame(eth_dst);

	add(&f, eth_src);
	add(&f, "0806 0001 0800 06 04");
	add16(&f, operation);
	add(&f, eth_src);
	add_ip(&f, from_ip);
	add(&f, to_mac);
	add_ip(&f, to_ip);
	pad(&f);
	return f;
}

/* A neighbour solicitation (135) or advertisement with a link address. */
static inline struct router_frame nd(const char *eth_dst, const char *eth_src,
				     unsigned type, const char *flags,
				     const char *src, const char *dst,
				     const char *target)
{
	struct router_frame f = frame(eth_dst);

	add(&f, eth_src);
	add(&f, "86dd");
	add_ipv6(&f, src, dst, 58, 255, 32);
	add16(&f, type << 8);
	add(&f, "0000");
	add(&f, flags);
	add_ip(&f, target);
	add(&f, type == 135 ? "0101" : "0201");
	add(&f, eth_src);
	sum_icmp6(&f);
	return f;
}

/* The stations say where they are. */
static inline void meet_lan_host(void)
{
	struct router_frame f = arp("ffffffffffff", LAN_HOST, 1, "10.0.0.5",
				    "000000000000", "10.0.0.1");

	feed(0, &f);
	f = nd(LAN, LAN_HOST, 135, "00000000", "2001:db8:1::5", "2001:db8:1::1",
	       "2001:db8:1::1");
	feed(0, &f);
	rr.n_out = 0;
}

static inline void meet_wan_gate(void)
{
	struct router_frame f = arp("ffffffffffff", WAN_GATE, 1, "192.0.2.254",
				    "000000000000", "192.0.2.1");

	feed(1, &f);
	f = nd(WAN, WAN_GATE, 135, "00000000", "fe80::fe", "2001:db8:2::1",
	       "2001:db8:2::1");
	feed(1, &f);
	rr.n_out = 0;
}

#endif
