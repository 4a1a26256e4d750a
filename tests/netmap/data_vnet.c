// SPDX-License-Identifier: BSD-2-Clause
// data_vnet.c - virtio-net headers of 0, 10 and 12 bytes between ports.
#include "nmt.h"

#include <arpa/inet.h>

struct vnet {
	uint8_t flags; /* 1: the checksum is to be filled in */
	uint8_t gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
	uint16_t num_buffers; /* in a header of 12 bytes */
};

enum { NEEDS_CSUM = 1, TCPV4 = 1, UFO = 3, TCPV6 = 4, BIG = 32768 };

static char data[BIG], got[BIG];

/* A port with a header of so many bytes. */
static struct nm up_hdr(const char *name, uint32_t len, uint8_t id)
{
	struct nm p = up_mode(name, NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);
	struct nmreq_port_hdr hdr = { .nr_hdr_len = len };
	char hello[72] = { 0 };

	WORKS(ctrl(p.fd, NETMAP_REQ_PORT_HDR_SET, name, &hdr));
	frame(hello + len, id, id, 60, 0);
	put(txr(&p, 0), hello, 60 + len, 0);
	txsync(&p);
	return p;
}

static void clear(struct nm *p)
{
	rxsync(p);
	drop(rxr(p, 0), nm_ring_space(rxr(p, 0)));
	rxsync(p);
}

static void hdr_pair(struct nm *a, uint32_t la, struct nm *b, uint32_t lb)
{
	*a = up_hdr("vale%:a", la, 1);
	*b = up_hdr("vale%:b", lb, 2);
	clear(a);
	clear(b);
}

/* Sends a packet in as many slots as it needs. */
static void send_big(struct nm *p, const char *at, size_t len)
{
	for (; len > BUF_SIZE; at += BUF_SIZE, len -= BUF_SIZE)
		put(txr(p, 0), at, BUF_SIZE, NS_MOREFRAG);
	put(txr(p, 0), at, len, 0);
	txsync(p);
}

/* The next packet in got[]; its length, 0 if there is none. */
static size_t next_packet(struct nm *p)
{
	struct netmap_ring *rx = rxr(p, 0);
	struct netmap_slot *slot;
	size_t len = 0;

	rxsync(p);
	if (!nm_ring_space(rx))
		return 0;
	do {
		const char *at = peek(rx, &slot);

		CHECK(len + slot->len <= sizeof(got));
		memcpy(got + len, at, slot->len);
		len += slot->len;
		drop(rx, 1);
	} while (slot->flags & NS_MOREFRAG);
	return len;
}

static void plain(uint32_t la, uint32_t lb)
{
	static const unsigned char zero[12];
	struct nm a, b;

	hdr_pair(&a, la, &b, lb);
	for (uint32_t i = 0; i < 40; i++) {
		size_t len = 60 + i * 37;

		memset(data, 0, 12);
		if (la == lb && la)
			data[la - 1] = 0x5a; /* payload to those two */
		frame(data + la, 2, 1, len, i);
		send_big(&a, data, la + len);
		EQ(next_packet(&b), lb + len);
		if (la == lb)
			CHECK(!memcmp(data, got, la + len));
		else
			CHECK(!memcmp(zero, got, lb));
		CHECK(!memcmp(data + la, got + lb, len));
		EQ(next_packet(&b), 0);
	}
}

POINT(vnet_0_to_10)
{
	plain(0, 10);
}

POINT(vnet_0_to_12)
{
	plain(0, 12);
}

POINT(vnet_10_to_0)
{
	plain(10, 0);
}

POINT(vnet_12_to_0)
{
	plain(12, 0);
}

POINT(vnet_10_to_12)
{
	plain(10, 12);
}

POINT(vnet_12_to_10)
{
	plain(12, 10);
}

POINT(vnet_10_to_10)
{
	plain(10, 10);
}

POINT(vnet_12_to_12)
{
	plain(12, 12);
}

POINT(vnet_and_none_again)
{
	struct nmreq_port_hdr hdr = { .nr_hdr_len = 0 };
	struct nm a, b;

	hdr_pair(&a, 12, &b, 0);
	WORKS(ctrl(a.fd, NETMAP_REQ_PORT_HDR_SET, "vale%:a", &hdr));
	send_big(&a, data, frame(data, 2, 1, 60, 5));
	EQ(next_packet(&b), 60);
	EQ(frame_number(got), 5);
}

static uint32_t sum(const void *at, size_t len, uint32_t start)
{
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i++)
		start += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return start;
}

static uint16_t fold(uint32_t s)
{
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)(s + (s >> 16));
}

static uint16_t get16(const char *at)
{
	return (uint16_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

static uint32_t get32(const char *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(char *at, uint32_t value)
{
	at[0] = (char)(value >> 8);
	at[1] = (char)value;
}

/* Where things are in a packet that make_l4() made. */
struct l4 {
	size_t eth, ip, l4, payload; /* lengths of headers, then bytes */
	uint8_t proto;
	bool v6;
};

enum { TCP = 6, UDP = 17, SEQ = 1000000, IP_ID = 0x1234 };

static uint32_t pseudo(const char *ip, const struct l4 *p, size_t l4_len)
{
	uint32_t s = p->proto + (uint32_t)l4_len;

	return p->v6 ? sum(ip + 8, 32, s) : sum(ip + 12, 8, s);
}

/* A whole frame, its L4 checksum left to be filled in; its length. */
static size_t make_l4(char *at, const struct l4 *p)
{
	size_t l4_len = p->l4 + p->payload, len = p->eth + p->ip + l4_len;
	char *ip = at + p->eth, *l4 = ip + p->ip;

	frame(at, 2, 1, len, 1);
	memset(at + 12, 0, p->eth - 12 + p->ip + p->l4);
	if (p->eth == 18)
		put16(at + 12, 0x8100);
	put16(at + p->eth - 2, p->v6 ? 0x86dd : 0x0800);
	if (p->v6) {
		ip[0] = 0x60;
		put16(ip + 4, (uint32_t)l4_len);
		ip[6] = (char)p->proto;
		ip[7] = 64;
		ip[8] = ip[24] = (char)0xfd;
		ip[23] = 1;
		ip[39] = 2;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, (uint32_t)(p->ip + l4_len));
		put16(ip + 4, IP_ID);
		ip[8] = 64;
		ip[9] = (char)p->proto;
		ip[12] = ip[16] = 10;
		ip[15] = 1;
		ip[19] = 2;
		put16(ip + 10, (uint16_t)~fold(sum(ip, 20, 0)));
	}
	put16(l4, 1111);
	put16(l4 + 2, 2222);
	if (p->proto == TCP) {
		put16(l4 + 4, SEQ >> 16);
		put16(l4 + 6, SEQ & 0xffff);
		l4[12] = 0x50;
		l4[13] = 0x19; /* ACK PSH FIN */
		put16(l4 + 16, fold(pseudo(ip, p, l4_len)));
	} else {
		put16(l4 + 4, (uint32_t)l4_len);
		put16(l4 + 6, fold(pseudo(ip, p, l4_len)));
	}
	for (size_t i = 0; i < p->payload; i++)
		l4[p->l4 + i] = (char)(i * 7 + (i >> 8));
	return len;
}

static struct vnet vnet_of(const struct l4 *p, uint8_t gso, uint16_t size)
{
	struct vnet v = {
		.flags = NEEDS_CSUM,
		.gso_type = gso,
		.gso_size = size,
		.csum_start = (uint16_t)(p->eth + p->ip),
		.csum_offset = p->proto == TCP ? 16 : 6,
	};

	if (gso)
		v.hdr_len = (uint16_t)(p->eth + p->ip + p->l4);
	return v;
}

/* The checksums of got[] are right, and its IP length. */
static void check_sums(const struct l4 *p, size_t len)
{
	const char *ip = got + p->eth, *l4 = ip + p->ip;
	size_t l4_len = len - p->eth - p->ip;

	if (!p->v6) {
		EQ(fold(sum(ip, 20, 0)), 0xffff);
		EQ(get16(ip + 2), p->ip + l4_len);
	} else {
		EQ(get16(ip + 4), l4_len);
	}
	EQ(fold(sum(l4, l4_len, pseudo(ip, p, l4_len))), 0xffff);
}

static void checksum(uint32_t la, const struct l4 *p)
{
	struct vnet v = vnet_of(p, 0, 0);
	struct nm a, b;
	size_t len;

	hdr_pair(&a, la, &b, 0);
	memcpy(data, &v, la);
	len = make_l4(data + la, p);
	send_big(&a, data, la + len);
	EQ(next_packet(&b), len);
	check_sums(p, len);
	CHECK(!memcmp(got + len - p->payload, data + la + len - p->payload,
		      p->payload));
}

static const struct l4 tcp4 = { 14, 20, 20, 1000, TCP, false };
static const struct l4 tcp6 = { 14, 40, 20, 1001, TCP, true };
static const struct l4 udp4 = { 14, 20, 8, 999, UDP, false };
static const struct l4 udp6 = { 14, 40, 8, 1400, UDP, true };
static const struct l4 vlan4 = { 18, 20, 20, 77, TCP, false };

POINT(checksum_tcp4)
{
	checksum(10, &tcp4);
}

POINT(checksum_tcp6)
{
	checksum(12, &tcp6);
}

POINT(checksum_udp4)
{
	checksum(12, &udp4);
}

POINT(checksum_udp6)
{
	checksum(10, &udp6);
}

POINT(checksum_behind_a_tag)
{
	checksum(10, &vlan4);
}

/* Between ports with headers nothing is computed: the header says it. */
POINT(checksum_is_left_to_who_has_a_header)
{
	struct vnet v = vnet_of(&udp4, 0, 0);
	struct nm a, b;
	size_t len;

	hdr_pair(&a, 10, &b, 12);
	memcpy(data, &v, 10);
	len = make_l4(data + 10, &udp4);
	send_big(&a, data, 10 + len);
	EQ(next_packet(&b), 12 + len);
	CHECK(!memcmp(data, got, 10));
	EQ(get16(got + 10), 0);
	CHECK(!memcmp(data + 10, got + 12, len));
}

/* A large packet becomes segments of gso_size. */
static void segments(uint32_t la, struct l4 p, uint8_t gso, uint16_t size)
{
	size_t header = p.eth + p.ip + p.l4, done = 0, len;
	struct vnet v = vnet_of(&p, gso, size);
	struct nm a, b;
	uint32_t n = 0;

	hdr_pair(&a, la, &b, 0);
	memcpy(data, &v, la);
	len = make_l4(data + la, &p);
	send_big(&a, data, la + len);
	for (; (len = next_packet(&b)); n++, done += len - header) {
		const char *l4 = got + p.eth + p.ip;
		bool last = done + len - header == p.payload;

		CHECK(len - header == size || last);
		CHECK(len - header <= size);
		check_sums(&p, len);
		CHECK(!memcmp(got + header, data + la + header + done,
			      len - header));
		EQ(get32(l4 + 4), SEQ + done);
		EQ(l4[13] & 0x09, last ? 0x09 : 0);
		if (!p.v6)
			EQ(get16(got + p.eth + 4), IP_ID + n);
	}
	EQ(done, p.payload);
	EQ(n, (p.payload + size - 1) / size);
}

POINT(gso_tcp4)
{
	struct l4 p = tcp4;

	p.payload = 10000;
	segments(12, p, TCPV4, 1000);
}

POINT(gso_tcp4_with_a_rest)
{
	struct l4 p = tcp4;

	p.payload = 15001;
	segments(10, p, TCPV4, 1448);
}

POINT(gso_tcp6)
{
	struct l4 p = tcp6;

	p.payload = 9000;
	segments(12, p, TCPV6, 700);
}

POINT(gso_behind_a_tag)
{
	struct l4 p = vlan4;

	p.payload = 5000;
	segments(12, p, TCPV4, 1400);
}

/* UFO: fragments of one datagram, whose checksum is right when they are put
 * together. (Upstream makes datagrams of them, each with a header.) */
POINT(gso_udp4_becomes_fragments)
{
	static char whole[BIG];
	struct l4 p = udp4;
	size_t done = 0, len, more = 1;
	struct vnet v;
	struct nm a, b;

	p.payload = 9000;
	v = vnet_of(&p, UFO, 1480);
	hdr_pair(&a, 12, &b, 0);
	memcpy(data, &v, 12);
	len = 12 + make_l4(data + 12, &p);
	send_big(&a, data, len);
	for (; (len = next_packet(&b)); done += len - 34) {
		EQ(fold(sum(got + 14, 20, 0)), 0xffff);
		EQ(get16(got + 16), len - 14);
		EQ((get16(got + 20) & 0x1fff) * 8, done);
		EQ(get16(got + 18), IP_ID);
		CHECK(more && len <= 1514);
		more = get16(got + 20) & 0x2000;
		memcpy(whole + done, got + 34, len - 34);
	}
	EQ(more, 0);
	EQ(done, p.l4 + p.payload);
	CHECK(!memcmp(whole + 8, data + 12 + 42, p.payload));
	EQ(fold(sum(whole, done, pseudo(data + 12 + 14, &p, done))), 0xffff);
}

POINT(gso_stays_whole_for_who_has_a_header)
{
	struct l4 p = tcp4;
	struct vnet v;
	struct nm a, b;
	size_t len;

	p.payload = 10000;
	v = vnet_of(&p, TCPV4, 1000);
	hdr_pair(&a, 12, &b, 10);
	memcpy(data, &v, 12);
	len = make_l4(data + 12, &p);
	send_big(&a, data, 12 + len);
	EQ(next_packet(&b), 10 + len);
	CHECK(!memcmp(data, got, 10));
	CHECK(!memcmp(data + 12, got + 10, len));
}

/* Every bit of it, also those without a meaning, and a length that is only a
 * hint; ports with other headers get what it means. */
POINT(vnet_header_passes_as_it_is)
{
	static const uint32_t lens[3] = { 10, 12, 12 };
	static const char *const names[3] = { "vale%:b", "vale%:c", "vale%:d" };
	struct l4 l4 = tcp4;
	struct nm a = up_hdr("vale%:a", 12, 1), p[3];
	struct vnet v;
	size_t len;

	for (int i = 0; i < 3; i++)
		p[i] = up_hdr(names[i], lens[i], (uint8_t)(i + 2));
	for (int i = 0; i < 3; i++)
		clear(&p[i]);
	l4.payload = 10000;
	for (uint32_t n = 0; n < 20; n++) {
		bool gso = n % 2;

		v = vnet_of(&l4, gso ? TCPV4 : 0, gso ? 1000 : 0);
		v.flags = (uint8_t)(gso ? 0xf1 : 0xf0 | n % 2);
		v.num_buffers = (uint16_t)(n * 5);
		v.hdr_len = (uint16_t)(n * 3);
		memcpy(data, &v, 12);
		len = make_l4(data + 12, &l4);
		memset(data + 12, 0xff, 6);
		send_big(&a, data, 12 + len);
		for (int i = 1; i < 3; i++) {
			EQ(next_packet(&p[i]), 12 + len);
			CHECK(!memcmp(got, data, 12 + len));
		}
		EQ(next_packet(&p[0]), 10 + len);
		EQ(got[0], gso);
		EQ(got[1], gso ? TCPV4 : 0);
		CHECK(!memcmp(got + 10, data + 12, len));
	}
}

/* Also if a packet before it is refused. */
POINT(vnet_header_stays_with_its_packet)
{
	struct vnet v = { .gso_type = 77, .gso_size = 100 };
	struct nm a, b;

	hdr_pair(&a, 12, &b, 12);
	frame(data + 12, 2, 1, 60, 1);
	for (uint32_t n = 0; n < 40; n++) {
		v.gso_type = n % 3 ? 0 : 77;
		v.num_buffers = (uint16_t)(n + 1);
		memcpy(data, &v, 12);
		put(txr(&a, 0), data, 72, 0);
	}
	txsync(&a);
	for (uint32_t n = 0; n < 40; n++) {
		if (n % 3 == 0)
			continue;
		EQ(next_packet(&b), 72);
		memcpy(&v, got, 12);
		EQ(v.num_buffers, n + 1);
	}
	EQ(next_packet(&b), 0);
}

/* A header may lie in any slots, and be alone in them. */
POINT(vnet_header_in_pieces)
{
	static const uint16_t first[][6] = {
		{ 12 }, { 5, 7 }, { 1, 1, 1, 1, 20 }, { 11, 1, 30 }, { 4, 30 }
	};
	struct vnet v = vnet_of(&udp4, 0, 0);
	struct nm a, b, c;
	size_t len, at;

	hdr_pair(&a, 12, &b, 12);
	c = up_hdr("vale%:c", 0, 3);
	clear(&c);
	clear(&b);
	memcpy(data, &v, 12);
	len = 12 + make_l4(data + 12, &udp4);
	memset(data + 12, 0xff, 6);
	for (size_t i = 0; i < sizeof(first) / sizeof(*first); i++) {
		at = 0;
		for (int k = 0; first[i][k]; at += first[i][k++])
			put(txr(&a, 0), data + at, first[i][k], NS_MOREFRAG);
		put(txr(&a, 0), data + at, len - at, 0);
		txsync(&a);
		EQ(next_packet(&b), len);
		CHECK(!memcmp(got, data, len));
		EQ(next_packet(&c), len - 12);
		check_sums(&udp4, len - 12);
	}
}

/* Where the header is not looked at for the receiver's sake it is for that of
 * all others: one that lies goes nowhere. */
POINT(vnet_header_that_lies_to_its_like)
{
	struct vnet lie = { .gso_type = 77, .gso_size = 100, .hdr_len = 54 };
	struct nm a, b;
	size_t len = make_l4(data + 12, &udp4);

	hdr_pair(&a, 12, &b, 12);
	memcpy(data, &lie, 12);
	send_big(&a, data, 12 + len);
	EQ(next_packet(&b), 0);
	lie = (struct vnet){ .flags = NEEDS_CSUM, .csum_start = 60000 };
	memcpy(data, &lie, 12);
	send_big(&a, data, 12 + len);
	EQ(next_packet(&b), 0);
	put(txr(&a, 0), data, 11, 0);
	txsync(&a);
	EQ(next_packet(&b), 0);
}

/* Between ports of which one is in a VLAN and the other has it with a tag: the
 * header follows the packet. Both ports wait for that to be set. */
POINT(role_vnet_header_behind_a_tag)
{
	struct vnet v, w;
	struct l4 p = tcp4;
	struct nm a, b;
	size_t len;
	char byte;

	p.payload = 5000;
	hdr_pair(&a, 12, &b, 12);
	WORKS(write(1, "up\n", 3));
	EQ(read(0, &byte, 1), 1);
	v = vnet_of(&p, TCPV4, 1000);
	v.num_buffers = 1;
	memcpy(data, &v, 12);
	len = make_l4(data + 12, &p);
	memset(data + 12, 0xff, 6);
	send_big(&a, data, 12 + len);
	EQ(next_packet(&b), 12 + len + 4);
	EQ(get16(got + 12 + 12), 0x8100);
	EQ(get16(got + 12 + 14), 5);
	memcpy(&w, got, 12);
	EQ(w.flags, NEEDS_CSUM);
	EQ(w.gso_size, 1000);
	EQ(w.csum_start, v.csum_start + 4);
	EQ(w.hdr_len, v.hdr_len + 4);
	EQ(w.csum_offset, 16);
	EQ(w.num_buffers, 0);
}

/* What the header says must be true of the packet; else it is dropped. */
POINT(vnet_header_that_lies)
{
	static const struct vnet lies[] = {
		{ .flags = NEEDS_CSUM, .csum_start = 60000, .csum_offset = 6 },
		{ .flags = NEEDS_CSUM, .csum_start = 34, .csum_offset = 60000 },
		{ .gso_type = TCPV4, .gso_size = 0, .hdr_len = 54 },
		{ .gso_type = TCPV4, .gso_size = 100, .hdr_len = 60000 },
		{ .gso_type = TCPV6, .gso_size = 100, .hdr_len = 54 },
		{ .gso_type = 77, .gso_size = 100, .hdr_len = 54 },
	};
	struct nm a, b;

	hdr_pair(&a, 12, &b, 0);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		size_t len = make_l4(data + 12, &udp4);

		memcpy(data, &lies[i], 12);
		send_big(&a, data, 12 + len);
		while (next_packet(&b))
			;
	}
	/* Shorter than the header itself. */
	send_big(&a, data, 5);
	send_big(&a, data, 12);
	memset(data, 0, 12);
	frame(data + 12, 2, 1, 60, 42);
	send_big(&a, data, 72);
	EQ(next_packet(&b), 60);
	EQ(frame_number(got), 42);
}

POINT(vnet_broadcast_to_all_kinds)
{
	struct nm a = up_hdr("vale%:a", 12, 1), p[3];
	static const uint32_t lens[3] = { 0, 10, 12 };
	static const char *const names[3] = { "vale%:b", "vale%:c", "vale%:d" };

	for (int i = 0; i < 3; i++)
		p[i] = up_hdr(names[i], lens[i], (uint8_t)(i + 2));
	for (int i = 0; i < 3; i++)
		clear(&p[i]);
	memset(data, 0, 12);
	frame(data + 12, 255, 1, 500, 3);
	send_big(&a, data, 512);
	for (int i = 0; i < 3; i++) {
		EQ(next_packet(&p[i]), 500 + lens[i]);
		CHECK(!memcmp(got + lens[i], data + 12, 500));
	}
}
