// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost_headers.c - lies in packets: facts/vm-attach.md 5.3 C.
#include "hostile_vhost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	NEEDS_CSUM = 1,
	TCP4 = 1,
	UDP = 3,
	TCP6 = 4,
	UDP_L4 = 5,
	ETH = 14,
	IP4_TCP = ETH + 20 + 20, /* all headers of a TCP packet */
	LONGEST = 65535,
};

/* As in virtio 1.2, 5.1.6; all little endian. */
struct vnet {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, buffers;
};

static uint8_t frame[LONGEST + ETH];

/* A TCP packet over IPv4 (or, proto 17, something like UDP), of len bytes. */
static void make_ip(uint32_t len, uint8_t proto)
{
	uint8_t *ip = frame + ETH;

	memset(frame, 0, len);
	frame[0] = frame[6] = 2;
	frame[5] = 1;
	frame[12] = 8;
	if (len < IP4_TCP)
		return;
	ip[0] = 0x45;
	ip[2] = (uint8_t)((len - ETH) >> 8);
	ip[3] = (uint8_t)(len - ETH);
	ip[8] = 64;
	ip[9] = proto;
	ip[12] = ip[16] = 10;
	ip[20 + 12] = 0x50;
	for (uint32_t i = IP4_TCP; i < len; i++)
		frame[i] = (uint8_t)i;
}

/* Sends the frame with a header; waits for room. */
static void send_lie(struct attack *a, const struct vnet *v, uint32_t len)
{
	int err;

	while ((err = fe_send(fe_tx(&a->fe, 0), v, frame, len)) == -ENOSPC)
		consume(a);
	must(a, err, "cannot send");
	consume(a);
}

static void attach(struct attack *a, const char *variant, bool offloads)
{
	a->config.features &= ~(FE_FEATURES_OFFLOADS | FE_BIT(FE_F_HOST_UFO) |
				FE_BIT(FE_F_HOST_USO));
	if (offloads)
		a->config.features |= FE_FEATURES_OFFLOADS |
				      FE_BIT(FE_F_HOST_UFO) |
				      FE_BIT(FE_F_HOST_USO);
	life_attached(a, variant);
}

static void play(struct attack *a, const char *variant, const struct vnet *v,
		 unsigned n, uint8_t proto)
{
	for (int offloads = 0; offloads < 2; offloads++) {
		attach(a, variant, offloads);
		for (unsigned i = 0; i < n; i++) {
			static const uint32_t lens[] = { 14, 60, 200, 1514 };

			for (unsigned k = 0; k < 4; k++) {
				make_ip(lens[k], proto);
				send_lie(a, &v[i], lens[k]);
			}
		}
		good(a);
	}
}

static void c26_checksum(struct attack *a)
{
	static const struct vnet v[] = {
		{ NEEDS_CSUM, 0, 0, 0, 0xffff, 0xffff, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 1514, 0, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 1513, 0, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 1500, 13, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 59, 0, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 0, 59, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 34, 0xffff, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 0xfffe, 2, 0 },
		{ NEEDS_CSUM, 0, 0, 0, 0, 0, 0 },
		{ 0xff, 0, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff },
	};

	play(a, "checksum past the end", v, sizeof(v) / sizeof(v[0]), 6);
}

static void c27_gso(struct attack *a)
{
	static const struct vnet v[] = {
		{ NEEDS_CSUM, 2, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, 0x7f, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, 0xff, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, 0x80, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, TCP4, 54, 0, 34, 16, 0 },
		{ NEEDS_CSUM, TCP4, 54, 0xffff, 34, 16, 0 },
		{ NEEDS_CSUM, TCP4, 54, 1, 34, 16, 0 },
		{ NEEDS_CSUM, TCP4, 0xffff, 100, 34, 16, 0 },
		{ NEEDS_CSUM, TCP4, 0, 100, 34, 16, 0 },
		{ NEEDS_CSUM, TCP6, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, UDP, 42, 100, 34, 6, 0 },
		{ NEEDS_CSUM, UDP_L4, 42, 100, 34, 6, 0 },
		{ NEEDS_CSUM, TCP4, 54, 100, 0xffff, 16, 0 },
		{ 0, TCP4, 54, 100, 34, 16, 0 },
		{ 0, UDP, 54, 100, 0, 0, 0 },
	};

	play(a, "segments that cannot be", v, sizeof(v) / sizeof(v[0]), 6);
}

static void c28_not_tcp(struct attack *a)
{
	static const struct vnet v[] = {
		{ NEEDS_CSUM, TCP4, 54, 100, 34, 16, 0 },
		{ NEEDS_CSUM, TCP6, 74, 100, 54, 16, 0 },
		{ NEEDS_CSUM, UDP_L4, 42, 100, 34, 6, 0 },
	};

	play(a, "segments of no TCP", v, 3, 17);
	play(a, "segments of an unknown protocol", v, 3, 200);
}

static void c29_buffers(struct attack *a)
{
	static const struct vnet v[] = { { 0, 0, 0, 0, 0, 0, 2 },
					 { 0, 0, 0, 0, 0, 0, 0xffff } };

	play(a, "a number of buffers in what is sent", v, 2, 6);
}

/* The mirror takes no offloads: glend cuts it up, or says why not. */
static void c30_large(struct attack *a)
{
	const struct vnet v = { NEEDS_CSUM, TCP4, IP4_TCP, 1460, 34, 16, 0 };
	const struct vnet tiny = { NEEDS_CSUM, TCP4, IP4_TCP, 1, 34, 16, 0 };
	const struct vnet plain = { 0 };

	attach(a, "64 KiB to one who takes no segments", true);
	for (unsigned i = 0; i < scaled(a, 50, 10); i++) {
		make_ip(LONGEST + ETH - 1, 6);
		send_lie(a,
			 i % 3 == 0 ? &v :
			 i % 3 == 1 ? &plain :
				      &tiny,
			 LONGEST + ETH - 1);
	}
	good(a);
}

static void c31_runts(struct attack *a)
{
	const struct vnet v = { 0 };
	const uint8_t tags[] = { 0x81, 0, 0x88, 0xa8, 0x91, 0, 0x81, 0 };

	attach(a, "frames shorter than a header", false);
	for (uint32_t len = 0; len < 20; len++) {
		make_ip(60, 6);
		send_lie(a, &v, len);
	}
	for (uint32_t len = 14; len < 120; len++) {
		make_ip(len, 6);
		for (uint32_t i = 12; i < len; i++)
			frame[i] = tags[i % sizeof(tags)];
		send_lie(a, &v, len);
	}
	good(a);
}

static void c_random(struct attack *a)
{
	static const uint8_t protos[] = { 6, 17, 1, 0 };

	a->config.split_header = true;
	attach(a, "random headers", true);
	for (unsigned i = 0; i < scaled(a, 4000, 400); i++) {
		uint32_t len = 14 + below(below(8) ? 1500 : 9000);
		struct vnet v = { (uint8_t)rnd(),	(uint8_t)below(8),
				  (uint16_t)below(200), (uint16_t)below(3000),
				  (uint16_t)below(100), (uint16_t)below(40),
				  (uint16_t)rnd() };

		make_ip(len, protos[below(4)]);
		for (unsigned k = below(4); k; k--)
			frame[12 + below(len - 12 < 60 ? len - 12 : 60)] =
				(uint8_t)rnd();
		send_lie(a, &v, len);
	}
	good(a);
}

const struct hostile_case header_cases[] = {
	{ "C26-checksum", c26_checksum, false },
	{ "C27-gso", c27_gso, true },
	{ "C28-not-tcp", c28_not_tcp, false },
	{ "C29-buffers", c29_buffers, false },
	{ "C30-large", c30_large, true },
	{ "C31-runts", c31_runts, true },
	{ "C-random", c_random, true },
	{ 0 },
};
