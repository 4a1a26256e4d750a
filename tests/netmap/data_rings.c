// SPDX-License-Identifier: BSD-2-Clause
// data_rings.c - head, cur and tail; what a switch does with what is queued.
#include "nmt.h"

#include <time.h>

/* Slots that have come, after a sync. */
static uint32_t came(const struct nm *p)
{
	rxsync(p);
	return nm_ring_space(rxr(p, 0));
}

POINT(txsync_is_synchronous)
{
	struct nm a, b;

	pair(&a, &b);
	for (uint32_t i = 0; i < 300; i++) {
		put_frame(txr(&a, 0), 2, 1, 60, i);
		txsync(&a);
		EQ(came(&b), 1);
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
}

POINT(txsync_frees_all_slots)
{
	struct nm a, b;
	struct netmap_ring *tx;

	pair(&a, &b);
	tx = txr(&a, 0);
	for (uint32_t i = 0; i < 100; i++)
		put_frame(tx, 2, 1, 60, i);
	EQ(nm_ring_space(tx), 1023 - 100);
	txsync(&a);
	EQ(nm_ring_space(tx), 1023);
	/* pair() has sent one, too. */
	EQ(tx->head, 101);
	EQ(tx->cur, 101);
	EQ(tx->tail, 100);
}

POINT(txsync_without_news_changes_nothing)
{
	struct nm a, b;

	pair(&a, &b);
	for (int i = 0; i < 3; i++) {
		txsync(&a);
		rxsync(&a);
	}
	EQ(txr(&a, 0)->tail, 0);
	EQ(came(&b), 0);
}

POINT(head_is_seen_at_sync_only)
{
	struct nm a, b;

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	EQ(came(&b), 0);
	EQ(txr(&a, 0)->tail, 0);
	txsync(&a);
	EQ(came(&b), 1);
}

POINT(tail_is_seen_at_sync_only)
{
	struct nm a, b;

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	txsync(&a);
	EQ(nm_ring_space(rxr(&b, 0)), 0);
	EQ(came(&b), 1);
}

POINT(ring_holds_all_but_one)
{
	struct nm a, b;

	pair(&a, &b);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 1023; i++)
			put_frame(txr(&a, 0), 2, 1, 60, i);
		EQ(nm_ring_space(txr(&a, 0)), 0);
		txsync(&a);
		EQ(came(&b), 1023);
		for (uint32_t i = 0; i < 1023; i++) {
			EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
			drop(rxr(&b, 0), 1);
		}
		rxsync(&b); /* gives the slots back */
	}
}

POINT(ring_that_is_full_drops)
{
	struct nm a, b;

	pair(&a, &b);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 700; i++)
			put_frame(txr(&a, 0), 2, 1, 60,
				  (uint32_t)round * 700 + i);
		txsync(&a);
		EQ(nm_ring_space(txr(&a, 0)), 1023);
	}
	EQ(came(&b), 1023);
	for (uint32_t i = 0; i < 1023; i++) {
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
	EQ(came(&b), 0);
}

POINT(rings_wrap)
{
	struct nm a = up_slots("vale%:a", 64, 64);
	struct nm b = up_slots("vale%:b", 64, 64);
	uint32_t sent = 0, got = 0;

	say_hello(&b, 2);
	rxsync(&a);
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 1 + round % 63; i++, sent++)
			put_frame(txr(&a, 0), 2, 1, 60 + sent % 1000, sent);
		txsync(&a);
		EQ(came(&b), sent - got);
		for (; got < sent; got++) {
			struct netmap_slot *slot;
			char want[BUF_SIZE];
			const char *data = peek(rxr(&b, 0), &slot);
			size_t len = frame(want, 2, 1, 60 + got % 1000, got);

			EQ(slot->len, len);
			CHECK(!memcmp(data, want, len));
			drop(rxr(&b, 0), 1);
		}
		rxsync(&b);
	}
}

POINT(rx_slots_are_kept_until_released)
{
	struct nm a, b;
	struct netmap_ring *rx;

	pair(&a, &b);
	rx = rxr(&b, 0);
	for (uint32_t i = 0; i < 10; i++)
		put_frame(txr(&a, 0), 2, 1, 60, i);
	txsync(&a);
	EQ(came(&b), 10);
	/* cur alone releases nothing. */
	rx->cur = rx->tail;
	EQ(came(&b), 10);
	for (uint32_t i = 0; i < 1020; i++)
		put_frame(txr(&a, 0), 2, 1, 60, 100 + i);
	txsync(&a);
	EQ(came(&b), 1023);
	EQ(frame_number(peek(rx, NULL)), 0);
}

/* Breaks indexes; what must be true after a sync that noticed. */
static void reinitialised(struct nm *a, struct nm *b, struct netmap_ring *r,
			  uint32_t head, uint32_t tail, bool rx)
{
	if (rx)
		rxsync(a);
	else
		txsync(a);
	EQ(r->head, head);
	EQ(r->cur, head);
	EQ(r->tail, tail);
	/* It goes on as if nothing had been. */
	if (!rx) {
		put_frame(r, 2, 1, 60, 42);
		txsync(a);
		EQ(came(b), 1);
		EQ(frame_number(peek(rxr(b, 0), NULL)), 42);
	}
}

POINT(reinit_tx_head_is_no_slot)
{
	struct nm a, b;

	pair(&a, &b);
	txr(&a, 0)->head = txr(&a, 0)->cur = 5000;
	reinitialised(&a, &b, txr(&a, 0), 1, 0, false);
}

POINT(reinit_tx_cur_before_head)
{
	struct nm a, b;

	pair(&a, &b);
	txr(&a, 0)->head = 5;
	txr(&a, 0)->cur = 3;
	reinitialised(&a, &b, txr(&a, 0), 1, 0, false);
}

POINT(reinit_tx_cur_is_no_slot)
{
	struct nm a, b;

	pair(&a, &b);
	txr(&a, 0)->cur = 0x80000000;
	reinitialised(&a, &b, txr(&a, 0), 1, 0, false);
}

POINT(reinit_rx_head_beyond_tail)
{
	struct nm a, b;

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 5);
	txsync(&a);
	EQ(came(&b), 1);
	rxr(&b, 0)->head = rxr(&b, 0)->cur = 10;
	reinitialised(&b, &a, rxr(&b, 0), rxr(&b, 0)->tail - 1,
		      rxr(&b, 0)->tail, true);
	EQ(nm_ring_space(rxr(&b, 0)), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 5);
}

POINT(reinit_rx_cur_is_no_slot)
{
	struct nm a, b;
	uint32_t at;

	pair(&a, &b);
	at = rxr(&b, 0)->head;
	rxr(&b, 0)->cur = 123456;
	reinitialised(&b, &a, rxr(&b, 0), at, at, true);
}

POINT(reinit_is_pollerr)
{
	struct nm a, b;

	pair(&a, &b);
	txr(&a, 0)->head = txr(&a, 0)->cur = 5000;
	CHECK(poll1(a.fd, POLLOUT, WAIT_MS) & POLLERR);
	/* Once: it is good again. */
	EQ(poll1(a.fd, POLLOUT, WAIT_MS), POLLOUT);
	rxr(&a, 0)->head = rxr(&a, 0)->cur = 5000;
	CHECK(poll1(a.fd, POLLIN, WAIT_MS) & POLLERR);
	EQ(poll1(a.fd, POLLIN, 0), 0);
}

POINT(tail_that_was_overwritten_is_restored)
{
	struct nm a, b;

	pair(&a, &b);
	txr(&a, 0)->tail = 500;
	txsync(&a);
	EQ(txr(&a, 0)->tail, 0);
	txr(&a, 0)->tail = 0xffffffff;
	txsync(&a);
	EQ(txr(&a, 0)->tail, 0);
	rxr(&b, 0)->tail = 77;
	EQ(came(&b), 0);
}

/* num_slots, buf_ofs and the like are the kernel's: it does not believe them.
 */
POINT(header_that_was_overwritten_does_no_harm)
{
	struct nm a, b;
	struct netmap_ring *tx, saved;

	pair(&a, &b);
	tx = txr(&a, 0);
	saved = *tx;
	tx->num_slots = 0xffffffff;
	tx->nr_buf_size = 1;
	tx->buf_ofs = -1;
	tx->ringid = tx->dir = 99;
	tx->offset_mask = ~0ULL;
	txsync(&a);
	poll1(a.fd, POLLIN | POLLOUT, 0);
	tx->num_slots = saved.num_slots;
	tx->nr_buf_size = saved.nr_buf_size;
	tx->buf_ofs = saved.buf_ofs;
	tx->ringid = saved.ringid;
	tx->dir = saved.dir;
	tx->offset_mask = saved.offset_mask;
	put_frame(tx, 2, 1, 60, 6);
	txsync(&a);
	EQ(came(&b), 1);
}

/* A slot that lies: the ioctl returns 0, nobody else is harmed. */
static void spoilt(uint32_t buf_idx, uint16_t len, uint64_t flags)
{
	struct nm a, b;
	struct netmap_ring *tx;
	struct netmap_slot *slot, good;

	pair(&a, &b);
	tx = txr(&a, 0);
	slot = &tx->slot[tx->head];
	good = *slot;
	slot->buf_idx = buf_idx;
	slot->len = len;
	slot->flags = (uint16_t)flags;
	tx->head = tx->cur = nm_ring_next(tx, tx->head);
	txsync(&a);
	*slot = good;
	for (uint32_t i = came(&b); i; i--)
		drop(rxr(&b, 0), 1);
	put_frame(tx, 2, 1, 60, 42);
	txsync(&a);
	EQ(came(&b), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 42);
}

POINT(slot_with_no_such_buffer)
{
	spoilt(0x7fffffff, 60, 0);
}

POINT(slot_with_buffer_0)
{
	spoilt(0, 60, 0);
}

POINT(slot_longer_than_its_buffer)
{
	spoilt(5, BUF_SIZE + 1, 0);
	spoilt(5, 0xffff, 0);
}

POINT(slot_of_length_0)
{
	struct nm a, b;

	pair(&a, &b);
	put(txr(&a, 0), "", 0, 0);
	put_frame(txr(&a, 0), 2, 1, 60, 42);
	txsync(&a);
	rxsync(&b);
	while (nm_ring_space(rxr(&b, 0))) {
		struct netmap_slot *slot;
		char *data = peek(rxr(&b, 0), &slot);

		if (slot->len) {
			EQ(frame_number(data), 42);
			return;
		}
		drop(rxr(&b, 0), 1);
	}
	FAIL("the frame behind the empty slot did not come");
}

POINT(slot_shorter_than_a_header)
{
	struct nm a, b;

	pair(&a, &b);
	put(txr(&a, 0), "1234567890123", 13, 0);
	put_frame(txr(&a, 0), 2, 1, 60, 42);
	txsync(&a);
	EQ(came(&b), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 42);
}

POINT(timestamps)
{
	struct nm a, b;
	time_t before = time(NULL);

	pair(&a, &b);
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	txsync(&a);
	memset(&rxr(&b, 0)->ts, 0, sizeof(rxr(&b, 0)->ts));
	EQ(came(&b), 1);
	CHECK(rxr(&b, 0)->ts.tv_sec >= before);
	CHECK(rxr(&b, 0)->ts.tv_sec <= time(NULL));
	memset(&rxr(&b, 0)->ts, 0, sizeof(rxr(&b, 0)->ts));
	EQ(poll1(b.fd, POLLIN, WAIT_MS), POLLIN);
	CHECK(rxr(&b, 0)->ts.tv_sec >= before);
}

/* Ends in a way, with 500 frames published by a poll() that did not wait. */
static void last_words(int way)
{
	struct nm b = up("vale%:b"), a;
	pid_t pid = fork();
	int status;

	if (!pid) {
		a = up("vale%:a");
		for (uint32_t i = 0; i < 500; i++)
			put_frame(txr(&a, 0), 255, 1, 60, i);
		if (way < 2)
			poll1(a.fd, POLLOUT, 0);
		else
			txsync(&a);
		if (way == 0)
			kill(getpid(), SIGKILL);
		down(&a);
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	await_slots(&b, rxr(&b, 0), 500);
	for (uint32_t i = 0; i < 500; i++) {
		EQ(frame_number(peek(rxr(&b, 0), NULL)), i);
		drop(rxr(&b, 0), 1);
	}
}

POINT(queued_before_death_is_delivered)
{
	last_words(0);
}

POINT(queued_before_close_is_delivered)
{
	last_words(1);
}

POINT(sent_before_close_is_delivered)
{
	last_words(2);
}

POINT(several_rings_of_a_port)
{
	struct nm a = up_rings("vale%:a", 4, 4), b = up("vale%:b");
	uint32_t seen = 0;

	for (unsigned i = 0; i < 4; i++)
		put_frame(txr(&a, i), 255, 1, 60, i);
	txsync(&a);
	for (unsigned i = 0; i < 4; i++)
		EQ(nm_ring_space(txr(&a, i)), 1023);
	EQ(came(&b), 4);
	for (unsigned i = 0; i < 4; i++) {
		seen |= 1U << frame_number(peek(rxr(&b, 0), NULL));
		drop(rxr(&b, 0), 1);
	}
	EQ(seen, 15);
}

POINT(one_ring_of_a_port_syncs_alone)
{
	struct nm all = up_rings("vale%:a", 2, 2), b = up("vale%:b");
	struct nm one = { .reg.nr_ringid = 1 };

	WORKS(bind_mode(&one, "vale%:a", NR_REG_ONE_NIC, 0));
	map_port(&one);
	put_frame(txr(&all, 0), 255, 1, 60, 1);
	put_frame(txr(&one, 1), 255, 1, 60, 2);
	txsync(&one);
	EQ(came(&b), 1);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 2);
	txsync(&all);
	EQ(came(&b), 2);
}

POINT(two_opens_of_a_port_share_its_rings)
{
	struct nm a, b, again;

	pair(&a, &b);
	again = up("vale%:a");
	put_frame(txr(&a, 0), 2, 1, 60, 1);
	txsync(&again);
	EQ(came(&b), 1);
	put_frame(txr(&b, 0), 1, 2, 60, 2);
	txsync(&b);
	rxsync(&a);
	EQ(nm_ring_space(rxr(&again, 0)), 1);
}
