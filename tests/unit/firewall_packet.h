/* SPDX-License-Identifier: BSD-2-Clause */
/* firewall_packet.h - packets for tests of the firewall, field by field. */
#ifndef TESTS_UNIT_FIREWALL_PACKET_H
#define TESTS_UNIT_FIREWALL_PACKET_H
/*
 * A packet is of two ends, 0 and 1, and sent from one of them. IPv4 addresses
 * are 10.0.0.1 and 10.0.0.2, IPv6 ones fd00::1 and fd00::2, unless changed.
 */
#include <string.h>

#include "include/glen/nf.h"

enum { FP_MAX = 200, FP_FIN = 1, FP_SYN = 2, FP_RST = 4, FP_ACK = 16 };

struct fp {
	bool v6;
	unsigned from;	  /* end that sends: 0, 1 */
	unsigned port[2]; /* of the ends */
	unsigned protocol;
	unsigned flags; /* of TCP */
	uint32_t seq, ack;
	unsigned type; /* of ICMP */
	unsigned id;
	unsigned len;	      /* made */
	uint8_t data[FP_MAX]; /* made */
};

static inline void fp_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void fp_put32(uint8_t *p, uint32_t v)
{
	fp_put16(p, v >> 16);
	fp_put16(p + 2, v & 0xffff);
}

static inline void fp_put_l4(struct fp *f, uint8_t *p)
{
	if (f->protocol == 1 || f->protocol == 58) {
		p[0] = (uint8_t)f->type;
		fp_put16(p + 4, f->id);
		return;
	}
	fp_put16(p, f->port[f->from]);
	fp_put16(p + 2, f->port[!f->from]);
	if (f->protocol == 17)
		fp_put16(p + 4, 8);
	if (f->protocol != 6)
		return;
	fp_put32(p + 4, f->seq);
	fp_put32(p + 8, f->ack);
	p[12] = 5 << 4;
	p[13] = (uint8_t)f->flags;
}

/* Its bytes, of the fields. */
static inline struct fp *fp_make(struct fp *f)
{
	unsigned l4 = f->protocol == 6 ? 20 : 8;
	uint8_t *ip = f->data + 14;

	memset(f->data, 0, sizeof(f->data));
	memcpy(f->data, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
	if (f->from)
		memcpy(f->data, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	fp_put16(f->data + 12, f->v6 ? 0x86dd : 0x0800);
	f->len = 14 + (f->v6 ? 40 : 20) + l4;
	if (f->v6) {
		ip[0] = 0x60;
		fp_put16(ip + 4, l4);
		ip[6] = (uint8_t)f->protocol;
		ip[8] = ip[24] = 0xfd;
		ip[23] = (uint8_t)(1 + f->from);
		ip[39] = (uint8_t)(2 - f->from);
	} else {
		ip[0] = 0x45;
		fp_put16(ip + 2, 20 + l4);
		ip[8] = 64;
		ip[9] = (uint8_t)f->protocol;
		memcpy(ip + 12, "\12\0\0\1\12\0\0\2", 8);
		ip[15] = (uint8_t)(1 + f->from);
		ip[19] = (uint8_t)(2 - f->from);
	}
	fp_put_l4(f, ip + (f->v6 ? 40 : 20));
	return f;
}

/* An ICMP error from end "from" (or somebody there) that quotes a packet. */
static inline struct fp *fp_make_error(struct fp *f, const struct fp *quoted,
				       unsigned type)
{
	unsigned n = quoted->len - 14, at = 14 + (quoted->v6 ? 48 : 28);

	f->v6 = quoted->v6;
	f->protocol = f->v6 ? 58 : 1;
	f->type = type;
	f->id = 0;
	fp_make(f);
	n = n > (f->v6 ? 60u : 28u) ? (f->v6 ? 60u : 28u) : n;
	memcpy(f->data + at, quoted->data + 14, n);
	f->len = at + n;
	if (f->v6)
		fp_put16(f->data + 18, 8 + n);
	else
		fp_put16(f->data + 16, 28 + n);
	return f;
}

#endif
