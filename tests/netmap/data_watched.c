// SPDX-License-Identifier: BSD-2-Clause
// data_watched.c - monitors of pipes, and zero-copy monitors of all ports.
#include "nmt.h"

static struct nm monitor(const char *name, uint64_t flags)
{
	return up_mode(name, NR_REG_ALL_NIC, flags);
}

static void ends(struct nm *m, struct nm *s, uint32_t slots)
{
	*m = up_slots("p%{1", slots, slots);
	*s = up("p%}1");
}

static uint32_t came(const struct nm *p)
{
	rxsync(p);
	return nm_ring_space(rxr(p, 0));
}

/* n frames wait there, or come now; all are taken. */
static void take(const struct nm *p, uint32_t first, uint32_t n)
{
	await_slots(p, rxr(p, 0), n);
	for (uint32_t i = 0; i < n; i++) {
		EQ(frame_number(peek(rxr(p, 0), NULL)), first + i);
		drop(rxr(p, 0), 1);
	}
	rxsync(p);
}

static void send_some(const struct nm *a, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put_frame(txr(a, 0), 2, 1, 60, first + i);
	txsync(a);
}

POINT(watched_pipe_tx)
{
	struct nm p, s, m;
	struct netmap_slot *slot;

	ends(&p, &s, 0);
	m = monitor("p%{1", NR_MONITOR_TX);
	send_some(&p, 0, 10);
	EQ(came(&s), 10);
	await_slots(&m, rxr(&m, 0), 10);
	peek(rxr(&m, 0), &slot);
	CHECK(slot->flags & NS_TXMON);
	take(&m, 0, 10);
	take(&s, 0, 10);
	/* What comes back is not its business. */
	send_some(&s, 10, 5);
	EQ(came(&p), 5);
	EQ(came(&m), 0);
}

POINT(watched_pipe_both_ends)
{
	struct nm p, s, a, b;
	struct netmap_slot *slot;

	ends(&p, &s, 0);
	a = monitor("p%{1", NR_MONITOR_TX | NR_MONITOR_RX);
	b = monitor("p%}1", NR_MONITOR_TX | NR_MONITOR_RX);
	send_some(&p, 0, 3);
	send_some(&s, 3, 4);
	take(&s, 0, 3);
	take(&p, 3, 4);
	for (uint32_t i = 0; i < 7; i++) {
		await_slots(&a, rxr(&a, 0), 1);
		peek(rxr(&a, 0), &slot);
		EQ(!!(slot->flags & NS_TXMON), i < 3);
		take(&a, i, 1);
		await_slots(&b, rxr(&b, 0), 1);
		peek(rxr(&b, 0), &slot);
		EQ(!!(slot->flags & NS_TXMON), i >= 3);
		take(&b, i, 1);
	}
}

POINT(watched_pipe_chained)
{
	struct nm p, s, m[3];

	ends(&p, &s, 0);
	for (int i = 0; i < 3; i++)
		m[i] = monitor("p%}1",
			       NR_MONITOR_RX | (i == 1 ? NR_ZCOPY_MON : 0));
	send_some(&p, 0, 10);
	take(&s, 0, 10);
	for (int i = 0; i < 3; i++)
		take(&m[i], 0, 10);
	down(&m[0]);
	send_some(&p, 10, 10);
	take(&s, 10, 10);
	take(&m[1], 10, 10);
	take(&m[2], 10, 10);
}

/* It is not glend's choice how much a pipe holds. */
POINT(watched_pipe_back_pressure)
{
	struct nm p, s, m;
	uint32_t sent = 0, got = 0;

	ends(&p, &s, 64);
	m = monitor("p%}1", NR_MONITOR_RX);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t n = i % 40 + 1;

		while (txsync(&p), nm_ring_space(txr(&p, 0)))
			put_frame(txr(&p, 0), 2, 1, 60, sent++);
		/* Both rings are full. */
		EQ(sent - got, 2 * 63);
		EQ(came(&s), 63);
		take(&s, got, n);
		got += n;
	}
	CHECK(came(&m) > 0);
}

POINT(watched_pipe_waits_for_whole_packets)
{
	struct nm p, s, m;

	ends(&p, &s, 0);
	m = monitor("p%}1", NR_MONITOR_RX);
	put(txr(&p, 0), "a", 1, NS_MOREFRAG);
	put(txr(&p, 0), "b", 1, NS_MOREFRAG);
	txsync(&p);
	EQ(came(&s), 0);
	put(txr(&p, 0), "c", 1, 0);
	txsync(&p);
	EQ(came(&s), 3);
	await_slots(&m, rxr(&m, 0), 1);
	EQ(rxr(&m, 0)->slot[0].len, 3);
	CHECK(!memcmp(peek(rxr(&m, 0), NULL), "abc", 3));
}

/* A packet of more slots than a packet may have passes, and is not seen. */
POINT(watched_pipe_with_a_long_packet)
{
	struct nm p, s, m;

	ends(&p, &s, 0);
	m = monitor("p%}1", NR_MONITOR_RX);
	for (int i = 0; i < 300; i++)
		put(txr(&p, 0), "a", 1, i < 299 ? NS_MOREFRAG : 0);
	put_frame(txr(&p, 0), 2, 1, 60, 7);
	txsync(&p);
	EQ(came(&s), 301);
	take(&m, 7, 1);
	EQ(came(&m), 0);
}

POINT(watched_pipe_with_a_bad_slot)
{
	struct nm p, s, m;
	struct netmap_slot good;

	ends(&p, &s, 64);
	m = monitor("p%}1", NR_MONITOR_RX);
	good = txr(&p, 0)->slot[0];
	put_frame(txr(&p, 0), 2, 1, 60, 0);
	txr(&p, 0)->slot[0].buf_idx = 0xfffffff0;
	txsync(&p);
	EQ(came(&s), 0);
	txr(&p, 0)->slot[0] = good;
	send_some(&p, 1, 5);
	take(&s, 1, 5);
	take(&m, 1, 5);
}

/* Sleeps when it can; all frames, in order. */
static void receive(const struct nm *p, uint32_t count)
{
	for (uint32_t i = 0; i < count;) {
		await_slots(p, rxr(p, 0), 1);
		for (; nm_ring_space(rxr(p, 0)); i++) {
			EQ(frame_number(peek(rxr(p, 0), NULL)), i);
			drop(rxr(p, 0), 1);
		}
	}
}

static void transmit(const struct nm *p, uint32_t count)
{
	struct netmap_ring *tx = txr(p, 0);

	for (uint32_t i = 0; i < count;) {
		EQ(poll1(p->fd, POLLOUT, WAIT_MS), POLLOUT);
		for (; i < count && nm_ring_space(tx); i++)
			put_frame(tx, 2, 1, 60, i);
	}
	txsync(p);
	while (nm_ring_next(tx, tx->tail) != tx->head) {
		tx->cur = tx->tail;
		EQ(poll1(p->fd, POLLOUT, WAIT_MS), POLLOUT);
		tx->cur = tx->head;
	}
}

enum { MANY = 200000 };

/* Takes what a monitor has; how much that was. */
static uint32_t look_at_some(const struct nm *m)
{
	uint32_t last = 0, seen = 0;

	for (uint32_t n = came(m); n--; drop(rxr(m, 0), 1), seen++) {
		uint32_t f = frame_number(peek(rxr(m, 0), NULL));

		CHECK(f >= last && f < MANY);
		last = f;
	}
	return seen;
}

/* The pair of rings goes to glend and back many times while packets pass. */
POINT(watched_pipe_that_is_watched_now_and_then)
{
	struct nm p, s, m;
	uint32_t seen = 0;
	siginfo_t info = { 0 };
	pid_t tx, rx;

	ends(&p, &s, 128);
	m = monitor("p%}1", NR_MONITOR_RX);
	rx = fork();
	if (!rx) {
		receive(&s, MANY);
		child_exit();
	}
	tx = fork();
	if (!tx) {
		transmit(&p, MANY);
		child_exit();
	}
	/* Until the receiver has them all. */
	await_slots(&m, rxr(&m, 0), 1);
	for (uint32_t round = 0; !info.si_pid; round++) {
		seen += look_at_some(&m);
		down(&m);
		m = monitor("p%}1",
			    NR_MONITOR_RX | (round % 2 ? NR_ZCOPY_MON : 0));
		WORKS(waitid(P_PID, (id_t)rx, &info,
			     WEXITED | WNOHANG | WNOWAIT));
	}
	reap(tx);
	reap(rx);
	CHECK(seen > 0);
}

/* Ends and monitors die in the middle of it; the pipe goes on. */
POINT(watched_pipe_whose_users_are_killed)
{
	struct nm p = up_slots("p%{1", 64, 64), s;
	uint32_t next = 0;

	for (int round = 0; round < 12; round++) {
		pid_t end = fork(), mon;
		int fds[2];
		char byte;

		if (!end) {
			s = up("p%}1");
			for (;;) {
				await_slots(&s, rxr(&s, 0), 1);
				drop(rxr(&s, 0), nm_ring_space(rxr(&s, 0)));
			}
		}
		/* The end must be there to be watched. */
		do
			poll1(p.fd, POLLOUT, 1);
		while (!nm_ring_space(txr(&p, 0)) && round % 2);
		WORKS(pipe(fds));
		mon = fork();
		if (!mon) {
			struct nm m = { .reg.nr_flags = 0 };

			while (bind_mode(&m, "p%}1", NR_REG_ALL_NIC,
					 NR_MONITOR_RX |
						 (round % 2 ? NR_ZCOPY_MON :
							      0)) < 0)
				usleep(1000);
			map_port(&m);
			EQ(write(fds[1], "x", 1), 1);
			for (;;) {
				await_slots(&m, rxr(&m, 0), 1);
				drop(rxr(&m, 0), nm_ring_space(rxr(&m, 0)));
			}
		}
		EQ(read(fds[0], &byte, 1), 1);
		for (int i = 0; i < 30; i++) {
			EQ(poll1(p.fd, POLLOUT, WAIT_MS), POLLOUT);
			while (nm_ring_space(txr(&p, 0)))
				put_frame(txr(&p, 0), 2, 1, 60, next++);
		}
		kill(round % 3 ? mon : end, SIGKILL);
		waitpid(round % 3 ? mon : end, NULL, 0);
		kill(round % 3 ? end : mon, SIGKILL);
		waitpid(round % 3 ? end : mon, NULL, 0);
		close(fds[0]);
		close(fds[1]);
	}
	s = up("p%}1");
	rxsync(&s);
	CHECK(nm_ring_space(rxr(&s, 0)) <= 63);
}

/* Which buffer the port's next released slot has, and what comes for it. */
POINT(zcopy_moves_buffers)
{
	struct nm a, b, m;
	uint32_t buf[200], other[200];

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	send_some(&a, 0, 200);
	EQ(came(&b), 200);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t k = rxr(&b, 0)->head;

		buf[i] = rxr(&b, 0)->slot[k].buf_idx;
		other[i] = rxr(&m, 0)->slot[i].buf_idx;
		/* What a program writes before it releases a slot is seen. */
		frame(peek(rxr(&b, 0), NULL), 2, 1, 60, 1000 + i);
		drop(rxr(&b, 0), 1);
	}
	rxsync(&b);
	await_slots(&m, rxr(&m, 0), 200);
	for (uint32_t i = 0; i < 200; i++) {
		EQ(rxr(&m, 0)->slot[i].buf_idx, buf[i]);
		CHECK(rxr(&m, 0)->slot[i].flags & NS_BUF_CHANGED);
		EQ(frame_number(peek(rxr(&m, 0), NULL)), 1000 + i);
		drop(rxr(&m, 0), 1);
	}
	/* In their place are the monitor's. */
	for (uint32_t i = 0; i < 200; i++)
		EQ(rxr(&b, 0)->slot[i].buf_idx, other[i]);
	for (uint32_t i = 0; i < 2000; i += 100) {
		send_some(&a, i, 100);
		take(&b, i, 100);
		take(&m, i, 100);
	}
}

POINT(zcopy_moves_buffers_of_the_sender)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:a", NR_MONITOR_TX | NR_ZCOPY_MON);
	for (uint32_t i = 0; i < 3000; i++) {
		struct netmap_slot *slot = &txr(&a, 0)->slot[txr(&a, 0)->head];
		uint32_t buf = slot->buf_idx;

		send_some(&a, i, 1);
		await_slots(&m, rxr(&m, 0), 1);
		EQ(rxr(&m, 0)->slot[rxr(&m, 0)->head].buf_idx, buf);
		CHECK(rxr(&m, 0)->slot[rxr(&m, 0)->head].flags & NS_TXMON);
		CHECK(slot->buf_idx != buf);
		CHECK(slot->flags & NS_BUF_CHANGED);
		take(&m, i, 1);
		take(&b, i, 1);
	}
}

POINT(zcopy_moves_buffers_of_a_pipe)
{
	struct nm p, s, m;
	uint32_t buf;

	ends(&p, &s, 0);
	m = monitor("p%}1", NR_MONITOR_RX | NR_ZCOPY_MON);
	EQ(m.reg.nr_mem_id, s.reg.nr_mem_id);
	for (uint32_t i = 0; i < 3000; i++) {
		send_some(&p, i, 1);
		EQ(came(&s), 1);
		EQ(came(&m), 0);
		buf = rxr(&s, 0)->slot[rxr(&s, 0)->head].buf_idx;
		take(&s, i, 1);
		await_slots(&m, rxr(&m, 0), 1);
		EQ(rxr(&m, 0)->slot[rxr(&m, 0)->head].buf_idx, buf);
		take(&m, i, 1);
	}
}

/* Several see the same; the last one has the buffers. */
POINT(zcopy_chained)
{
	struct nm a, b, m[3];

	pair(&a, &b);
	for (int i = 0; i < 3; i++)
		m[i] = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	for (uint32_t i = 0; i < 2000; i += 100) {
		send_some(&a, i, 100);
		take(&b, i, 100);
		for (int k = 0; k < 3; k++)
			take(&m[k], i, 100);
	}
	down(&m[2]);
	send_some(&a, 0, 100);
	take(&b, 0, 100);
	take(&m[0], 0, 100);
	take(&m[1], 0, 100);
}

/* With copying ones beside it. */
POINT(zcopy_and_copies)
{
	struct nm a, b, z, c;

	pair(&a, &b);
	z = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	c = monitor("vale%:b", NR_MONITOR_RX);
	send_some(&a, 0, 10);
	take(&c, 0, 10);
	EQ(came(&z), 0);
	take(&b, 0, 10);
	take(&z, 0, 10);
}

/* A packet is seen once all of it is released. */
POINT(zcopy_hands_over_whole_packets)
{
	static char data[5000];
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	frame(data, 2, 1, sizeof(data), 1);
	put(txr(&a, 0), data, 2000, NS_MOREFRAG);
	put(txr(&a, 0), data + 2000, 2000, NS_MOREFRAG);
	put(txr(&a, 0), data + 4000, 1000, 0);
	txsync(&a);
	EQ(came(&b), 3);
	drop(rxr(&b, 0), 2);
	rxsync(&b);
	/* Something whose arrival says that glend has been there. */
	send_some(&a, 5, 1);
	EQ(came(&b), 2);
	EQ(came(&m), 0);
	drop(rxr(&b, 0), 2);
	rxsync(&b);
	await_slots(&m, rxr(&m, 0), 4);
	EQ(rxr(&m, 0)->slot[0].len, BUF_SIZE);
	CHECK(rxr(&m, 0)->slot[0].flags & NS_MOREFRAG);
	CHECK(rxr(&m, 0)->slot[1].flags & NS_MOREFRAG);
	EQ(rxr(&m, 0)->slot[2].flags & NS_MOREFRAG, 0);
	drop(rxr(&m, 0), 3);
	take(&m, 5, 1);
}

/* A monitor that reads nothing costs its port nothing. */
POINT(zcopy_that_is_slow)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	for (uint32_t i = 0; i < 4000; i += 100) {
		send_some(&a, i, 100);
		take(&b, i, 100);
	}
	/* What it had room for is there, and what came later is not. */
	await_slots(&m, rxr(&m, 0), 1000);
	take(&m, 0, 1000);
	EQ(came(&m) <= 23, 1);
}

/* Of a batch that finds room in part the newest stay. */
POINT(monitor_keeps_the_newest)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	for (uint32_t i = 0; i < 1000; i += 100) {
		send_some(&a, i, 100);
		take(&b, i, 100);
	}
	send_some(&a, 1000, 100);
	take(&b, 1000, 100);
	take(&m, 0, 1000);
	/* 23 slots were free. */
	take(&m, 1077, 23);
	EQ(came(&m), 0);
}

static int try(const char *name, uint64_t flags, uint16_t mem_id)
{
	struct nm m = { .fd = 0 };

	m.reg.nr_mode = NR_REG_ALL_NIC;
	m.reg.nr_flags = flags;
	m.reg.nr_mem_id = mem_id;
	return bind_port(&m, name, NULL);
}

POINT(zcopy_needs_the_region_of_its_port)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");

	FAILS(EINVAL,
	      try("vale%:a", NR_MONITOR_RX | NR_ZCOPY_MON, b.reg.nr_mem_id));
	WORKS(try("vale%:a", NR_MONITOR_RX | NR_ZCOPY_MON, a.reg.nr_mem_id));
	WORKS(try("vale%:a", NR_MONITOR_RX, b.reg.nr_mem_id));
}

POINT(watched_pipe_end_must_be_open)
{
	struct nm p = up("p%{1");

	FAILS(EINVAL, try("p%}1", NR_MONITOR_RX, 0));
	FAILS(EINVAL, try("p%{2", NR_MONITOR_RX, 0));
	WORKS(try("p%{1", NR_MONITOR_RX, 0));
	down(&p);
}
