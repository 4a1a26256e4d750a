// SPDX-License-Identifier: BSD-2-Clause
// data_pipe.c - pipes: capacity, order, swapped buffers, ends that die.
#include "nmt.h"

#include <sys/epoll.h>

static uint64_t scaled(uint64_t n)
{
	const char *scale = getenv("GLEN_SCALE");
	double factor = scale ? atof(scale) : 1;
	uint64_t least = n < 1000 ? n : 1000;

	n = (uint64_t)((double)n * factor);
	return n > least ? n : least;
}

static void ends(struct nm *m, struct nm *s, uint32_t slots)
{
	*m = up_slots("p%{1", slots, slots);
	*s = up("p%}1");
}

/* Puts as much as goes in, with syncs; how many frames that were. */
static uint32_t fill(struct nm *m, uint32_t first)
{
	uint32_t n = 0;

	for (;;) {
		txsync(m);
		if (!nm_ring_space(txr(m, 0)))
			return n;
		put_frame(txr(m, 0), 1, 2, 60, first + n++);
	}
}

/* Takes up to n frames, which must be numbered from first on. */
static uint32_t take(struct nm *s, uint32_t first, uint32_t n)
{
	uint32_t i;

	rxsync(s);
	for (i = 0; i < n && nm_ring_space(rxr(s, 0)); i++) {
		EQ(frame_number(peek(rxr(s, 0), NULL)), first + i);
		drop(rxr(s, 0), 1);
	}
	rxsync(s);
	return i;
}

POINT(pipe_both_ways)
{
	struct nm m, s;

	ends(&m, &s, 0);
	for (uint32_t i = 0; i < 3000; i++) {
		put_frame(txr(&m, 0), 1, 2, 60 + i % 1000, i);
		txsync(&m);
		EQ(take(&s, i, 9), 1);
		put_frame(txr(&s, 0), 1, 2, 60, i);
		txsync(&s);
		EQ(take(&m, i, 9), 1);
	}
}

POINT(pipe_capacity)
{
	struct nm m, s;

	ends(&m, &s, 64);
	EQ(fill(&m, 0), 63);
	EQ(take(&s, 0, 1000), 63);
	EQ(nm_ring_space(txr(&m, 0)), 0);
	txsync(&m);
	EQ(nm_ring_space(txr(&m, 0)), 63);
	EQ(take(&s, 63, 1000), 0);
	EQ(fill(&m, 500), 63);
}

/* A sender is given no more room than there is at the other end: what it could
 * queue is there after one sync, and stays there. */
POINT(pipe_sender_that_goes_loses_nothing)
{
	struct nm m, s;
	uint32_t n = 0;

	ends(&m, &s, 64);
	for (int i = 0; i < 5; i++) {
		while (nm_ring_space(txr(&m, 0)))
			put_frame(txr(&m, 0), 1, 2, 60, n++);
		txsync(&m);
		EQ(txr(&m, 0)->tail, txr(&m, 0)->head);
	}
	down(&m);
	EQ(n, 63);
	EQ(take(&s, 0, 1000), n);
}

POINT(pipe_back_pressure)
{
	struct nm m, s;
	uint32_t sent, got = 0;

	ends(&m, &s, 64);
	sent = fill(&m, 0);
	for (uint32_t i = 1; i < 500; i++) {
		uint32_t n = i % 40 + 1;

		EQ(take(&s, got, n), n);
		got += n;
		EQ(fill(&m, sent), n);
		sent += n;
	}
}

POINT(pipe_moves_buffers)
{
	struct nm m, s;
	uint32_t there, here;

	ends(&m, &s, 0);
	for (uint32_t i = 0; i < 2000; i++) {
		there = txr(&m, 0)->slot[txr(&m, 0)->head].buf_idx;
		here = rxr(&s, 0)->slot[rxr(&s, 0)->head].buf_idx;
		put_frame(txr(&m, 0), 1, 2, 60, i);
		txsync(&m);
		rxsync(&s);
		EQ(rxr(&s, 0)->slot[rxr(&s, 0)->head].buf_idx, there);
		EQ(txr(&m, 0)->slot[i % 1024].buf_idx, here);
		EQ(take(&s, i, 9), 1);
	}
}

POINT(pipe_carries_flags_and_ptr)
{
	struct nm m, s;
	struct netmap_slot *slot;

	ends(&m, &s, 0);
	txr(&m, 0)->slot[0].ptr = 0x123456789abcdef0;
	put(txr(&m, 0), "x", 1, NS_MOREFRAG);
	put(txr(&m, 0), "yz", 2, 0);
	txsync(&m);
	rxsync(&s);
	EQ(nm_ring_space(rxr(&s, 0)), 2);
	CHECK(*peek(rxr(&s, 0), &slot) == 'x');
	CHECK(slot->flags & NS_MOREFRAG);
	EQ(slot->len, 1);
	EQ(slot->ptr, 0x123456789abcdef0);
	drop(rxr(&s, 0), 1);
	CHECK(*peek(rxr(&s, 0), &slot) == 'y');
	EQ(slot->flags & NS_MOREFRAG, 0);
	EQ(slot->len, 2);
}

POINT(pipe_publishes_whole_packets)
{
	struct nm m, s;

	ends(&m, &s, 0);
	put_frame(txr(&m, 0), 1, 2, 60, 1);
	put(txr(&m, 0), "a", 1, NS_MOREFRAG);
	put(txr(&m, 0), "b", 1, NS_MOREFRAG);
	txsync(&m);
	rxsync(&s);
	EQ(nm_ring_space(rxr(&s, 0)), 1);
	put(txr(&m, 0), "c", 1, 0);
	txsync(&m);
	rxsync(&s);
	EQ(nm_ring_space(rxr(&s, 0)), 4);
}

/* Also when the room at the other end is less than the packet. */
POINT(pipe_waits_for_room_for_a_whole_packet)
{
	struct nm m, s;

	ends(&m, &s, 16);
	for (uint32_t i = 0; i < 13; i++)
		put_frame(txr(&m, 0), 1, 2, 60, i);
	txsync(&m);
	EQ(nm_ring_space(txr(&m, 0)), 2);
	for (int i = 0; i < 2; i++)
		put(txr(&m, 0), "a", 1, NS_MOREFRAG);
	txsync(&m);
	EQ(nm_ring_space(txr(&m, 0)), 0);
	rxsync(&s);
	EQ(nm_ring_space(rxr(&s, 0)), 13);
	EQ(take(&s, 0, 2), 2);
	txsync(&m);
	EQ(nm_ring_space(txr(&m, 0)), 2);
	for (int i = 0; i < 2; i++)
		put(txr(&m, 0), "a", 1, i < 1 ? NS_MOREFRAG : 0);
	txsync(&m);
	rxsync(&s);
	EQ(nm_ring_space(rxr(&s, 0)), 15);
}

POINT(pipe_end_that_comes_later)
{
	struct nm m = up("p%{1"), s;

	for (uint32_t i = 0; i < 5; i++)
		put_frame(txr(&m, 0), 1, 2, 60, i);
	txsync(&m);
	s = up("p%}1");
	EQ(take(&s, 0, 9), 5);
	put_frame(txr(&s, 0), 1, 2, 60, 7);
	txsync(&s);
	EQ(take(&m, 7, 9), 1);
}

POINT(pipe_end_that_goes)
{
	struct nm m, s;

	ends(&m, &s, 64);
	put_frame(txr(&m, 0), 1, 2, 60, 0);
	txsync(&m);
	down(&s);
	for (uint32_t i = 0; i < 200; i++) {
		txsync(&m);
		rxsync(&m);
		if (nm_ring_space(txr(&m, 0)))
			put_frame(txr(&m, 0), 1, 2, 60, i);
	}
	EQ(poll1(m.fd, POLLIN, 0) & POLLIN, 0);
	/* Another one takes its place. */
	s = up("p%}1");
	rxsync(&s);
	drop(rxr(&s, 0), nm_ring_space(rxr(&s, 0)));
	rxsync(&s);
	put_frame(txr(&s, 0), 1, 2, 60, 5);
	txsync(&s);
	EQ(take(&m, 5, 9), 1);
}

POINT(pipe_with_a_bad_slot)
{
	struct nm m, s;
	struct netmap_slot *slot, good;

	ends(&m, &s, 64);
	slot = &txr(&m, 0)->slot[0];
	good = *slot;
	put_frame(txr(&m, 0), 1, 2, 60, 0);
	slot->buf_idx = 0xfffffff0;
	txsync(&m);
	rxsync(&s);
	for (uint32_t i = 0; i < nm_ring_space(rxr(&s, 0)); i++)
		CHECK(rxr(&s, 0)->slot[i].buf_idx < 0xfffffff0);
	txr(&m, 0)->slot[0] = good;
	for (int i = 0; i < 200; i++) {
		if (nm_ring_space(txr(&m, 0)))
			put_frame(txr(&m, 0), 1, 2, 60, 77);
		txsync(&m);
		rxsync(&s);
		drop(rxr(&s, 0), nm_ring_space(rxr(&s, 0)));
	}
}

/* Polls for what is wanted and says it must come. */
static void must_poll(const struct nm *p, short events)
{
	EQ(poll1(p->fd, events, WAIT_MS) & (events | POLLERR), events);
}

static void send_many(struct nm *p, uint32_t count, uint32_t batch)
{
	struct netmap_ring *tx = txr(p, 0);

	for (uint32_t i = 0; i < count;) {
		must_poll(p, POLLOUT);
		for (uint32_t n = i * 7 % batch + 1;
		     n && i < count && nm_ring_space(tx); n--, i++)
			put_frame(tx, 1, 2, 60, i);
	}
	txsync(p);
}

static void receive_many(struct nm *p, uint32_t count)
{
	struct netmap_ring *rx = rxr(p, 0);

	for (uint32_t i = 0; i < count;) {
		must_poll(p, POLLIN);
		for (; nm_ring_space(rx); i++) {
			struct netmap_slot *slot;
			const char *at = peek(rx, &slot);

			EQ(frame_number(at), i);
			EQ(slot->len, 60);
			EQ((uint8_t)at[59], (uint8_t)(i + 59));
			drop(rx, 1);
		}
	}
}

/* All frames, in order, between two processes that sleep when they can. */
static void million(uint32_t slots, uint32_t batch, bool by_fork)
{
	uint32_t count = (uint32_t)scaled(500000);
	struct nm m, s;
	pid_t pid;

	if (by_fork) {
		ends(&m, &s, slots);
	} else {
		m = up_slots("p%{1", slots, slots);
	}
	pid = fork();
	if (!pid) {
		if (!by_fork)
			s = up("p%}1");
		receive_many(&s, count);
		send_many(&s, count / 4, batch);
		child_exit();
	}
	send_many(&m, count, batch);
	receive_many(&m, count / 4);
	reap(pid);
}

POINT(pipe_a_million)
{
	million(1024, 256, false);
}

POINT(pipe_a_million_in_a_small_ring)
{
	million(16, 40, false);
}

POINT(pipe_a_million_with_a_child)
{
	million(256, 1, true);
}

/* The receiver is killed again and again; what was lost is one ring's. */
POINT(pipe_receivers_that_are_killed)
{
	struct nm m = up_slots("p%{1", 64, 64);
	uint32_t next = 0;

	for (int round = 0; round < 20; round++) {
		int fds[2];
		char byte;
		pid_t pid;

		WORKS(pipe(fds));
		pid = fork();
		if (!pid) {
			struct nm s = up("p%}1");
			uint32_t last = 0;

			EQ(write(fds[1], "x", 1), 1);
			for (;;) {
				must_poll(&s, POLLIN);
				for (; nm_ring_space(rxr(&s, 0));
				     drop(rxr(&s, 0), 1)) {
					uint32_t n = frame_number(
						peek(rxr(&s, 0), NULL));

					CHECK(!last || n == last + 1);
					last = n;
				}
			}
		}
		EQ(read(fds[0], &byte, 1), 1);
		for (int i = 0; i < 50; i++) {
			must_poll(&m, POLLOUT);
			while (nm_ring_space(txr(&m, 0)))
				put_frame(txr(&m, 0), 1, 2, 60, next++);
		}
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(fds[0]);
		close(fds[1]);
	}
}

POINT(pipe_wakes_epoll)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = WORKS(epoll_create1(0)), fds[2];
	struct nm m, s;
	char byte;
	pid_t pid;

	ends(&m, &s, 0);
	WORKS(pipe(fds));
	WORKS(epoll_ctl(ep, EPOLL_CTL_ADD, s.fd, &e));
	pid = fork();
	if (!pid) {
		close(fds[1]);
		for (uint32_t i = 0; read(fds[0], &byte, 1) == 1; i++) {
			usleep(i % 4 * 2000);
			put_frame(txr(&m, 0), 1, 2, 60, i);
			txsync(&m);
		}
		child_exit();
	}
	for (uint32_t i = 0; i < 100; i++) {
		EQ(write(fds[1], "x", 1), 1);
		EQ(epoll_wait(ep, &e, 1, WAIT_MS), 1);
		EQ(take(&s, i, 9), 1);
	}
	close(fds[1]);
	reap(pid);
}

POINT(pipes_of_one_parent_swap_with_it)
{
	struct nm a = up("vale%:a"), m = up("vale%:a{1"), s = up("vale%:a}1");
	struct nm b = up("vale%:b");
	struct netmap_slot *from, *to = &txr(&m, 0)->slot[0];
	uint32_t buf;

	put_frame(txr(&b, 0), 255, 2, 60, 99);
	txsync(&b);
	rxsync(&a);
	peek(rxr(&a, 0), &from);
	buf = from->buf_idx;
	from->buf_idx = to->buf_idx;
	to->buf_idx = buf;
	to->len = from->len;
	to->flags = from->flags = NS_BUF_CHANGED;
	txr(&m, 0)->head = txr(&m, 0)->cur = 1;
	drop(rxr(&a, 0), 1);
	txsync(&m);
	rxsync(&a);
	rxsync(&s);
	EQ(frame_number(peek(rxr(&s, 0), NULL)), 99);
	EQ(rxr(&s, 0)->slot[0].buf_idx, buf);
}
