// SPDX-License-Identifier: BSD-2-Clause
// data_vale.c - learning, slot flags, packets of several slots, INDIRECT.
#include "nmt.h"

/* Takes what has come away from a port. */
static uint32_t clear(const struct nm *p)
{
	uint32_t n;

	rxsync(p);
	n = nm_ring_space(rxr(p, 0));
	drop(rxr(p, 0), n);
	rxsync(p);
	return n;
}

/* Three ports; 1, 2 and 3 are known. */
static void three(struct nm p[3])
{
	p[0] = up("vale%:a");
	p[1] = up("vale%:b");
	p[2] = up("vale%:c");
	for (uint8_t i = 0; i < 3; i++)
		say_hello(&p[i], i + 1);
	for (int i = 0; i < 3; i++)
		clear(&p[i]);
}

/* Sends one frame and says who got it, as bits. */
static unsigned who_gets(struct nm p[3], int sender, uint8_t to, uint8_t from,
			 uint16_t flags)
{
	char data[60];
	unsigned who = 0;

	put(txr(&p[sender], 0), data, frame(data, to, from, 60, 1), flags);
	txsync(&p[sender]);
	for (int i = 0; i < 3; i++)
		who |= clear(&p[i]) ? 1U << i : 0;
	return who;
}

POINT(learning)
{
	struct nm p[3];

	three(p);
	EQ(who_gets(p, 0, 2, 1, 0), 2);
	EQ(who_gets(p, 0, 3, 1, 0), 4);
	EQ(who_gets(p, 0, 255, 1, 0), 6);
	EQ(who_gets(p, 1, 99, 2, 0), 5);
	EQ(who_gets(p, 0, 1, 1, 0), 0);
	/* Somebody moves. */
	EQ(who_gets(p, 2, 255, 2, 0), 3);
	EQ(who_gets(p, 0, 2, 1, 0), 4);
}

POINT(no_learn)
{
	struct nm p[3];

	three(p);
	EQ(who_gets(p, 0, 2, 50, NS_NO_LEARN), 2);
	EQ(who_gets(p, 1, 50, 2, 0), 5);
	EQ(who_gets(p, 0, 2, 50, 0), 2);
	EQ(who_gets(p, 1, 50, 2, 0), 1);
	/* Nor does it move anybody. */
	EQ(who_gets(p, 2, 2, 50, NS_NO_LEARN), 2);
	EQ(who_gets(p, 1, 50, 2, 0), 1);
}

POINT(destination_override)
{
	struct nm p[3];
	static const char *const names[3] = { "vale%:a", "vale%:b", "vale%:c" };
	struct nmreq_vale_list list;
	unsigned idx[3];

	three(p);
	for (int i = 0; i < 3; i++) {
		memset(&list, 0, sizeof(list));
		WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, names[i], &list));
		idx[i] = list.nr_port_idx;
	}
	for (int i = 0; i < 3; i++) {
		int sender = (i + 1) % 3;
		uint8_t other = (uint8_t)((i + 2) % 3 + 1);

		if (!idx[i])
			continue; /* 0 means: none given */
		EQ(who_gets(p, sender, other, (uint8_t)(sender + 1),
			    (uint16_t)(idx[i] << NS_PORT_SHIFT)),
		   1U << i);
	}
}

/* Packets to ports that are not there, and to the sender's own. The sender
 * stays, for somebody looks at the counters. */
POINT(role_destination_override_to_nobody)
{
	struct nmreq_vale_list list = { 0 };
	struct nm p[3];
	char byte;

	three(p);
	for (unsigned i = 200; i < 210; i++)
		EQ(who_gets(p, 0, 2, 1, (uint16_t)(i << NS_PORT_SHIFT)), 0);
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:b", &list));
	CHECK(list.nr_port_idx);
	for (unsigned i = 0; i < 5; i++)
		EQ(who_gets(p, 1, 1, 2,
			    (uint16_t)(list.nr_port_idx << NS_PORT_SHIFT)),
		   0);
	WORKS(write(1, "sent\n", 5));
	(void)!read(0, &byte, 1);
}

/* The same when the switch was told to ignore it. */
POINT(role_destination_override_forbidden)
{
	struct nm p[3];
	char byte;

	three(p);
	WORKS(write(1, "up\n", 3));
	EQ(read(0, &byte, 1), 1);
	for (int i = 1; i < 5; i++)
		EQ(who_gets(p, 0, 2, 1, (uint16_t)(i << NS_PORT_SHIFT)), 2);
}

/* Also if one before is refused. */
POINT(flags_stay_with_their_packets)
{
	struct nmreq_vale_list list = { 0 };
	struct nm p[3];
	char f[60];
	uint16_t to;

	three(p);
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:c", &list));
	to = (uint16_t)(list.nr_port_idx << NS_PORT_SHIFT);
	for (uint8_t i = 0; i < 10; i++) {
		put(txr(&p[0], 0), f, 13, i % 2 ? to : 0);
		put(txr(&p[0], 0), f, frame(f, 2, 1, 60, 1), to);
		put(txr(&p[0], 0), f, frame(f, 2, 60, 60, 1), NS_NO_LEARN);
		put(txr(&p[0], 0), f, frame(f, 2, 1, 60, 1), 0);
	}
	txsync(&p[0]);
	EQ(clear(&p[1]), 20);
	EQ(clear(&p[2]), 10);
	EQ(who_gets(p, 1, 60, 2, 0), 5);
}

POINT(flags_of_a_programs_own_are_harmless)
{
	struct nm p[3];

	three(p);
	EQ(who_gets(p, 0, 2, 1, NS_BUF_CHANGED | NS_REPORT), 2);
	EQ(who_gets(p, 0, 2, 1, NS_FORWARD | NS_TXMON), 2);
}

/* Puts a packet in pieces into the ring; the lengths end with 0. */
static void put_pieces(struct netmap_ring *tx, const char *data,
		       const uint16_t *lens)
{
	for (; *lens; data += *lens++)
		put(tx, data, *lens, lens[1] ? NS_MOREFRAG : 0);
}

/* The next packet of a ring, put together; its length. */
static size_t take_packet(struct netmap_ring *rx, char *to, size_t room,
			  unsigned *slots)
{
	size_t len = 0;
	struct netmap_slot *slot;
	unsigned frags = 0;
	char *data;

	*slots = 0;
	do {
		data = peek(rx, &slot);
		CHECK(len + slot->len <= room);
		memcpy(to + len, data, slot->len);
		len += slot->len;
		if (!*slots)
			frags = slot->flags >> 8;
		EQ(slot->flags >> 8, frags);
		++*slots;
		drop(rx, 1);
	} while (slot->flags & NS_MOREFRAG);
	EQ(frags, *slots);
	return len;
}

enum { BIG = 64 * BUF_SIZE };
static char data[BIG], copy[BIG];

/* A packet in these pieces arrives whole. */
static void pieces(struct nm *a, struct nm *b, const uint16_t *lens,
		   uint32_t number)
{
	size_t len = 0;
	unsigned slots;

	for (const uint16_t *l = lens; *l; l++)
		len += *l;
	frame(data, 2, 1, len, number);
	put_pieces(txr(a, 0), data, lens);
	txsync(a);
	rxsync(b);
	EQ(take_packet(rxr(b, 0), copy, sizeof(copy), &slots), len);
	CHECK(!memcmp(data, copy, len));
	EQ(nm_ring_space(rxr(b, 0)), 0);
}

POINT(packets_of_two_slots)
{
	static const uint16_t first[] = { 14, 60, 64, 1000, 2047, 2048 };
	static const uint16_t second[] = { 1, 46, 63, 1500, 2047, 2048 };
	struct nm a, b;
	uint32_t n = 0;

	pair(&a, &b);
	for (int i = 0; i < 6; i++) {
		for (int j = 0; j < 6; j++) {
			uint16_t lens[3] = { first[i], second[j], 0 };

			pieces(&a, &b, lens, n++);
		}
	}
}

POINT(packets_of_many_slots)
{
	static const unsigned counts[] = { 3, 4, 7, 8, 9, 16, 31, 63, 64 };
	struct nm a, b;
	uint16_t lens[65];

	pair(&a, &b);
	for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		unsigned n = counts[i];

		for (int way = 0; way < 3; way++) {
			for (unsigned k = 0; k < n; k++)
				lens[k] = way == 0 ? BUF_SIZE :
					  way == 1 ? (uint16_t)(k % 7 + 14) :
						     (uint16_t)(n * 31 - k);
			lens[n] = 0;
			pieces(&a, &b, lens, i * 3 + (unsigned)way);
		}
	}
}

/* The pieces of the first bytes are as small as can be. */
POINT(packets_in_tiny_pieces)
{
	static const uint16_t lens[][20] = {
		{ 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 46, 0 },
		{ 6, 6, 2, 46, 0 },
		{ 12, 100, 0 },
		{ 13, 1, 46, 0 },
		{ 17, 1, 64, 0 },
	};
	struct nm a, b;

	pair(&a, &b);
	for (uint32_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
		pieces(&a, &b, lens[i], i);
}

/* The first slot of a packet counts, and the whole packet goes there. */
POINT(destination_override_of_several_slots)
{
	struct nmreq_vale_list list = { 0 };
	struct nm p[3];
	uint16_t to;

	three(p);
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:c", &list));
	to = (uint16_t)(list.nr_port_idx << NS_PORT_SHIFT);
	CHECK(to);
	frame(data, 2, 1, 3000, 5);
	put(txr(&p[0], 0), data, 1000, NS_MOREFRAG | to);
	put(txr(&p[0], 0), data + 1000, 2000, 0);
	put(txr(&p[0], 0), data, 1000, NS_MOREFRAG);
	put(txr(&p[0], 0), data + 1000, 2000, to);
	txsync(&p[0]);
	/* Each is two slots at its receiver. */
	EQ(clear(&p[1]), 2);
	EQ(clear(&p[2]), 2);
}

POINT(packets_of_several_slots_among_others)
{
	static const uint16_t lens[] = { 100, 2048, 33, 0 };
	struct nm a, b, c;
	unsigned slots;

	pair(&a, &b);
	c = up("vale%:c");
	say_hello(&c, 3);
	clear(&a);
	clear(&b);
	clear(&c);
	for (uint32_t i = 0; i < 50; i++) {
		put_frame(txr(&a, 0), 2, 1, 60, i);
		frame(data, i % 2 ? 3 : 255, 1, 2181, i);
		put_pieces(txr(&a, 0), data, lens);
	}
	txsync(&a);
	rxsync(&b);
	rxsync(&c);
	for (uint32_t i = 0; i < 50; i++) {
		EQ(take_packet(rxr(&b, 0), copy, sizeof(copy), &slots), 60);
		EQ(frame_number(copy), i);
		EQ(take_packet(rxr(i % 2 ? &c : &b, 0), copy, sizeof(copy),
			       &slots),
		   2181);
		EQ(frame_number(copy), i);
		if (i % 2)
			continue;
		EQ(take_packet(rxr(&c, 0), copy, sizeof(copy), &slots), 2181);
		EQ(frame_number(copy), i);
	}
}

POINT(packets_wrap_round_the_ring)
{
	struct nm a = up_slots("vale%:a", 64, 64);
	struct nm b = up_slots("vale%:b", 64, 64);
	uint16_t lens[6] = { 500, 700, 2048, 64, 1, 0 };

	say_hello(&b, 2);
	clear(&a);
	for (uint32_t i = 0; i < 300; i++) {
		lens[0] = (uint16_t)(14 + i);
		pieces(&a, &b, lens, i);
		rxsync(&b);
	}
}

/* A chain longer than the limit costs nothing but itself. */
POINT(packet_of_too_many_slots)
{
	struct nm a, b;

	pair(&a, &b);
	for (unsigned n = 65; n <= 700; n *= 3) {
		for (unsigned i = 0; i < n; i++) {
			frame(data, 2, 1, 60, i);
			put(txr(&a, 0), data, 60, i + 1 < n ? NS_MOREFRAG : 0);
		}
		txsync(&a);
		clear(&b);
		put_frame(txr(&a, 0), 2, 1, 60, 42);
		txsync(&a);
		rxsync(&b);
		EQ(nm_ring_space(rxr(&b, 0)), 1);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), 42);
		clear(&b);
	}
}

/* A packet too big for what is free is dropped whole. */
POINT(packet_that_does_not_fit_is_dropped_whole)
{
	static const uint16_t lens[] = { 2048, 2048, 2048, 2048, 2048, 0 };
	struct nm a, b = up_slots("vale%:b", 64, 16);
	unsigned slots, n = 0;

	EQ(rxr(&b, 0)->num_slots, 16);
	a = up("vale%:a");
	say_hello(&b, 2);
	clear(&a);
	for (uint32_t i = 0; i < 10; i++) {
		frame(data, 2, 1, 5 * BUF_SIZE, i);
		put_pieces(txr(&a, 0), data, lens);
	}
	txsync(&a);
	rxsync(&b);
	for (; nm_ring_space(rxr(&b, 0)); n++) {
		EQ(take_packet(rxr(&b, 0), copy, sizeof(copy), &slots),
		   5 * BUF_SIZE);
		EQ(frame_number(copy), n);
	}
	EQ(n, 3);
}

/* Puts a slot whose data lies elsewhere. */
static void put_indirect(struct netmap_ring *tx, const void *at, uint16_t len,
			 uint16_t flags)
{
	tx->slot[tx->head].ptr = (uintptr_t)at;
	put(tx, "", 0, NS_INDIRECT | flags);
	tx->slot[(tx->head + tx->num_slots - 1) % tx->num_slots].len = len;
}

POINT(indirect)
{
	struct nm a, b;
	unsigned slots;

	pair(&a, &b);
	for (uint32_t i = 0; i < 100; i++) {
		size_t len = frame(data, 2, 1, 60 + i * 14, i);

		put_indirect(txr(&a, 0), data, (uint16_t)len, 0);
		txsync(&a);
		rxsync(&b);
		EQ(take_packet(rxr(&b, 0), copy, sizeof(copy), &slots), len);
		CHECK(!memcmp(data, copy, len));
	}
}

POINT(indirect_among_slots_of_a_packet)
{
	struct nm a, b;
	unsigned slots;

	pair(&a, &b);
	frame(data, 2, 1, 3000, 1);
	put(txr(&a, 0), data, 500, NS_MOREFRAG);
	put_indirect(txr(&a, 0), data + 500, 1500, NS_MOREFRAG);
	put(txr(&a, 0), data + 2000, 1000, 0);
	txsync(&a);
	rxsync(&b);
	EQ(take_packet(rxr(&b, 0), copy, sizeof(copy), &slots), 3000);
	CHECK(!memcmp(data, copy, 3000));
}

POINT(indirect_of_a_bad_address)
{
	struct nm a, b;
	char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t n;

	pair(&a, &b);
	WORKS(munmap(hole + 4096, 4096));
	frame(hole + 4096 - 60, 2, 1, 60, 1);
	put_indirect(txr(&a, 0), (void *)8, 60, 0);
	put_indirect(txr(&a, 0), hole + 4096 - 30, 60, 0);
	put_indirect(txr(&a, 0), hole + 4096 - 60, 60, 0);
	txsync(&a);
	rxsync(&b);
	/* Zero-length packets may come for the others. */
	for (n = 0; nm_ring_space(rxr(&b, 0)); drop(rxr(&b, 0), 1)) {
		struct netmap_slot *slot;
		char *at = peek(rxr(&b, 0), &slot);

		if (!slot->len)
			continue;
		EQ(slot->len, 60);
		EQ(frame_number(at), 1);
		n++;
	}
	EQ(n, 1);
}

/* In another process than the one that mapped. */
POINT(indirect_of_a_child)
{
	struct nm a, b;
	static char mine[60];
	pid_t pid;

	pair(&a, &b);
	pid = fork();
	if (!pid) {
		frame(mine, 2, 1, 60, 88);
		put_indirect(txr(&a, 0), mine, 60, 0);
		txsync(&a);
		child_exit();
	}
	reap(pid);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 88);
}

/* Buffers that change places in one port's own rings. */
POINT(a_port_that_mirrors_by_swapping)
{
	struct nm a, b;

	pair(&a, &b);
	for (uint32_t i = 0; i < 3000; i++) {
		struct netmap_ring *rx = rxr(&b, 0), *tx = txr(&b, 0);
		struct netmap_slot *in, *out = &tx->slot[tx->head];
		uint32_t buf;
		char *f;

		put_frame(txr(&a, 0), 2, 1, 100, i);
		txsync(&a);
		rxsync(&b);
		f = peek(rx, &in);
		f[5] = 1;
		f[11] = 2;
		buf = in->buf_idx;
		in->buf_idx = out->buf_idx;
		out->buf_idx = buf;
		out->len = in->len;
		out->flags = in->flags = NS_BUF_CHANGED;
		tx->head = tx->cur = nm_ring_next(tx, tx->head);
		drop(rx, 1);
		txsync(&b);
		rxsync(&b);
		rxsync(&a);
		EQ(frame_number(peek(rxr(&a, 0), NULL)), i);
		drop(rxr(&a, 0), 1);
	}
}
