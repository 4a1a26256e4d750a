// SPDX-License-Identifier: BSD-2-Clause
// data_slots.c - slots and indexes as they are found after syncs.
#include "nmt.h"

#include <sys/time.h>

static uint32_t came(const struct nm *p)
{
	rxsync(p);
	return nm_ring_space(rxr(p, 0));
}

/* The ring's indexes after a sync that found them wrong. */
static void put_back(const struct nm *p, struct netmap_ring *r, uint32_t head,
		     uint32_t tail)
{
	if (r->dir)
		rxsync(p);
	else
		txsync(p);
	EQ(r->head, head);
	EQ(r->cur, head);
	EQ(r->tail, tail);
}

POINT(reinit_tx_beyond_tail)
{
	struct nm a, b;
	struct netmap_ring *tx;

	pair(&a, &b);
	tx = txr(&a, 0);
	EQ(tx->head, 1);
	EQ(tx->tail, 0);
	/* cur is the slot before head: behind all others. */
	tx->cur = 0;
	txsync(&a);
	EQ(tx->cur, 0);
	tx->cur = 1;
	/* The slot before that is not the user's, when some are queued. */
	tx->head = tx->cur = 5;
	tx->cur = 3;
	put_back(&a, tx, 1, 0);
	tx->head = 2;
	tx->cur = 1;
	put_back(&a, tx, 1, 0);
	EQ(came(&b), 0);
}

POINT(reinit_rx_head_goes_back)
{
	struct nm a, b;
	struct netmap_ring *rx;
	uint32_t at;

	pair(&a, &b);
	rx = rxr(&b, 0);
	at = rx->head;
	for (uint32_t i = 0; i < 5; i++)
		put_frame(txr(&a, 0), 2, 1, 60, i);
	txsync(&a);
	EQ(came(&b), 5);
	drop(rx, 3);
	EQ(came(&b), 2);
	rx->head = rx->cur = at;
	put_back(&b, rx, at + 3, at + 5);
	/* cur before head. */
	rx->head = at + 5;
	rx->cur = at + 4;
	put_back(&b, rx, at + 3, at + 5);
	EQ(frame_number(peek(rx, NULL)), 3);
}

/* What the program may still use is made good in the slots, too. */
POINT(reinit_mends_slots)
{
	struct nm a, b;
	struct netmap_ring *tx;
	uint32_t good;

	pair(&a, &b);
	tx = txr(&a, 0);
	good = tx->slot[4].buf_idx;
	tx->slot[2].buf_idx = 0x7fffffff;
	tx->slot[3].buf_idx = 1;
	tx->slot[4].len = BUF_SIZE + 1;
	tx->slot[5].len = 77;
	tx->head = tx->cur = 6;
	put_back(&a, tx, 1, 0);
	EQ(tx->slot[2].buf_idx, 0);
	EQ(tx->slot[3].buf_idx, 0);
	EQ(tx->slot[4].buf_idx, good);
	CHECK(tx->slot[4].len <= BUF_SIZE);
	EQ(tx->slot[5].len, 77);
	EQ(came(&b), 0);
}

POINT(undelivered_packets_vanish_with_their_port)
{
	struct nm a, b;

	pair(&a, &b);
	for (uint32_t i = 0; i < 10; i++)
		put_frame(txr(&a, 0), 2, 1, 60, i);
	txsync(&a);
	EQ(came(&b), 10);
	down(&b);
	/* Its name is free a moment later. */
	for (int i = 0; i < 1000; i++) {
		b = up("vale%:b");
		if (!came(&b))
			break;
		down(&b);
		usleep(10000);
	}
	EQ(came(&b), 0);
	EQ(rxr(&b, 0)->head, 0);
	say_hello(&b, 2);
	put_frame(txr(&a, 0), 2, 1, 60, 77);
	txsync(&a);
	EQ(came(&b), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 77);
}

/* A switch needs nobody to tell it of a changed buffer. What comes has its own
 * flags, whatever was left in the slot. */
POINT(flags_of_released_slots_are_gone)
{
	struct nm a = up_slots("vale%:a", 16, 16);
	struct nm b = up_slots("vale%:b", 16, 16);
	struct netmap_ring *tx = txr(&a, 0), *rx = rxr(&b, 0);

	say_hello(&b, 2);
	came(&a);
	for (uint32_t i = 0; i < 100; i++) {
		struct netmap_slot *slot, *s = &tx->slot[tx->head];
		struct netmap_slot *t = &tx->slot[(tx->head + 1) % 16];
		uint32_t buf = s->buf_idx;

		s->buf_idx = t->buf_idx;
		t->buf_idx = buf;
		put_frame(tx, 2, 1, 60, i);
		txsync(&a);
		EQ(came(&b), 1);
		EQ(frame_number(peek(rx, &slot)), i);
		EQ(slot->flags, 1 << NS_PORT_SHIFT);
		slot->flags = 0xffff;
		drop(rx, 1);
		rxsync(&b);
	}
}

/* The last packet goes as far as it is there. */
POINT(packet_without_an_end_is_sent_as_it_is)
{
	struct nm a, b;
	struct netmap_slot *slot;
	char data[BUF_SIZE];

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	frame(data, 2, 1, 1000, 2);
	put(txr(&a, 0), data, 500, NS_MOREFRAG);
	put(txr(&a, 0), data + 500, 400, NS_MOREFRAG);
	txsync(&a);
	EQ(came(&b), 2);
	drop(rxr(&b, 0), 1);
	CHECK(!memcmp(peek(rxr(&b, 0), &slot), data, 900));
	EQ(slot->len, 900);
	EQ(slot->flags & NS_MOREFRAG, 0);
	drop(rxr(&b, 0), 1);
	/* What comes after is no part of it. */
	put_frame(txr(&a, 0), 2, 1, 60, 3);
	txsync(&a);
	EQ(came(&b), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 3);
}

/* With NR_TIMESTAMP to the microsecond. */
POINT(timestamps_that_are_asked_for)
{
	struct nm a, b;
	struct netmap_ring *rx;
	struct timeval before, after;

	pair(&a, &b);
	rx = rxr(&b, 0);
	rx->flags |= NR_TIMESTAMP;
	for (int i = 0; i < 100; i++) {
		put_frame(txr(&a, 0), 2, 1, 60, 1);
		txsync(&a);
		gettimeofday(&before, NULL);
		if (i % 2)
			rxsync(&b);
		else
			EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
		gettimeofday(&after, NULL);
		CHECK(!timercmp(&rx->ts, &before, <));
		CHECK(!timercmp(&rx->ts, &after, >));
		drop(rx, nm_ring_space(rx));
	}
	EQ(rx->flags, NR_TIMESTAMP);
}
