// SPDX-License-Identifier: BSD-2-Clause
// data_monitor.c - what monitors see, and when; what they cost their parent.
#include "nmt.h"

static struct nm monitor(const char *name, uint64_t flags)
{
	return up_mode(name, NR_REG_ALL_NIC, flags);
}

static uint32_t came(const struct nm *p)
{
	rxsync(p);
	return nm_ring_space(rxr(p, 0));
}

static void take(const struct nm *p, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		EQ(frame_number(peek(rxr(p, 0), NULL)), first + i);
		drop(rxr(p, 0), 1);
	}
}

/* a's frames to b, 1 to 2. */
static void send_some(const struct nm *a, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		put_frame(txr(a, 0), 2, 1, 60, first + i);
	txsync(a);
}

POINT(monitor_rx)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	send_some(&a, 0, 10);
	/* It sees them when the port does, which has them, too. */
	EQ(came(&b), 10);
	await_slots(&m, rxr(&m, 0), 10);
	take(&m, 0, 10);
	EQ(nm_ring_space(rxr(&b, 0)), 10);
	take(&b, 0, 10);
	/* What the port sends is not its business. */
	put_frame(txr(&b, 0), 1, 2, 60, 1);
	txsync(&b);
	EQ(came(&m), 0);
}

POINT(monitor_tx)
{
	struct nm a, b, m;
	struct netmap_slot *slot;

	pair(&a, &b);
	m = monitor("vale%:a", NR_MONITOR_TX);
	send_some(&a, 0, 10);
	await_slots(&m, rxr(&m, 0), 10);
	peek(rxr(&m, 0), &slot);
	CHECK(slot->flags & NS_TXMON);
	take(&m, 0, 10);
	EQ(came(&b), 10);
	take(&b, 0, 10);
	put_frame(txr(&b, 0), 1, 2, 60, 1);
	txsync(&b);
	EQ(came(&a), 1);
	EQ(came(&m), 0);
}

POINT(monitor_both)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:a", NR_MONITOR_TX | NR_MONITOR_RX);
	send_some(&a, 0, 3);
	put_frame(txr(&b, 0), 1, 2, 60, 3);
	txsync(&b);
	EQ(came(&a), 1);
	await_slots(&m, rxr(&m, 0), 4);
	take(&m, 0, 4);
}

POINT(monitor_that_sleeps_is_woken)
{
	struct nm a, b, m;
	pid_t pid;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	pid = fork();
	if (!pid) {
		for (uint32_t i = 0; i < 20; i++) {
			usleep(i % 3 * 2000);
			send_some(&a, i, 1);
			rxsync(&b);
		}
		child_exit();
	}
	for (uint32_t i = 0; i < 20; i++) {
		await_slots(&m, rxr(&m, 0), 1);
		take(&m, i, 1);
	}
	reap(pid);
}

POINT(monitor_that_is_slow_costs_its_parent_nothing)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	for (uint32_t i = 0; i < 40; i++) {
		send_some(&a, i * 100, 100);
		EQ(came(&b), 100);
		take(&b, i * 100, 100);
	}
	CHECK(came(&m) > 0);
	CHECK(nm_ring_space(rxr(&m, 0)) <= 1023);
}

POINT(monitor_goes_before_its_parent)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX | NR_MONITOR_TX);
	send_some(&a, 0, 5);
	down(&m);
	EQ(came(&b), 5);
	take(&b, 0, 5);
	send_some(&a, 5, 5);
	EQ(came(&b), 5);
	take(&b, 5, 5);
}

POINT(monitor_stays_behind_its_parent)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	send_some(&a, 0, 5);
	EQ(came(&b), 5);
	down(&b);
	/* Whatever is to be had, and no hang. */
	rxsync(&m);
	poll1(m.fd, POLLIN, 0);
}

POINT(monitors_see_all_the_same)
{
	struct nm a, b, m[3];

	pair(&a, &b);
	for (int i = 0; i < 3; i++)
		m[i] = monitor("vale%:b", NR_MONITOR_RX);
	send_some(&a, 0, 10);
	EQ(came(&b), 10);
	for (int i = 0; i < 3; i++) {
		await_slots(&m[i], rxr(&m[i], 0), 10);
		take(&m[i], 0, 10);
	}
	down(&m[1]);
	take(&b, 0, 10);
	send_some(&a, 10, 10);
	EQ(came(&b), 10);
	await_slots(&m[2], rxr(&m[2], 0), 10);
	take(&m[2], 10, 10);
}

POINT(monitor_zcopy_rx)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX | NR_ZCOPY_MON);
	send_some(&a, 0, 10);
	EQ(came(&b), 10);
	EQ(came(&m), 0);
	/* It gets what the port is done with. */
	take(&b, 0, 10);
	rxsync(&b);
	await_slots(&m, rxr(&m, 0), 10);
	take(&m, 0, 10);
	for (uint32_t i = 1; i < 50; i++) {
		send_some(&a, i * 10, 10);
		EQ(came(&b), 10);
		take(&b, i * 10, 10);
		rxsync(&b);
		await_slots(&m, rxr(&m, 0), 10);
		take(&m, i * 10, 10);
		rxsync(&m);
	}
}

POINT(monitor_zcopy_tx)
{
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:a", NR_MONITOR_TX | NR_ZCOPY_MON);
	send_some(&a, 0, 10);
	EQ(came(&b), 10);
	await_slots(&m, rxr(&m, 0), 10);
	take(&m, 0, 10);
	take(&b, 0, 10);
}

POINT(monitor_of_a_pipe)
{
	struct nm s, p, m;

	p = up("p%{1");
	s = up("p%}1");
	m = monitor("p%}1", NR_MONITOR_RX);
	send_some(&p, 0, 10);
	EQ(came(&s), 10);
	await_slots(&m, rxr(&m, 0), 10);
	take(&m, 0, 10);
	take(&s, 0, 10);
	down(&m);
	send_some(&p, 10, 10);
	EQ(came(&s), 10);
	take(&s, 10, 10);
}

POINT(monitor_of_packets_of_several_slots)
{
	static char data[5000], got[5000];
	struct nm a, b, m;

	pair(&a, &b);
	m = monitor("vale%:b", NR_MONITOR_RX);
	for (uint32_t i = 0; i < 10; i++) {
		struct netmap_slot *slot;
		size_t len = 0;

		frame(data, 2, 1, sizeof(data), i);
		put(txr(&a, 0), data, 2000, NS_MOREFRAG);
		put(txr(&a, 0), data + 2000, 2000, NS_MOREFRAG);
		put(txr(&a, 0), data + 4000, 1000, 0);
		txsync(&a);
		drop(rxr(&b, 0), came(&b));
		await_slots(&m, rxr(&m, 0), 3);
		do {
			const char *at = peek(rxr(&m, 0), &slot);

			CHECK(len + slot->len <= sizeof(got));
			memcpy(got + len, at, slot->len);
			len += slot->len;
			drop(rxr(&m, 0), 1);
		} while (slot->flags & NS_MOREFRAG);
		EQ(len, sizeof(data));
		CHECK(!memcmp(data, got, len));
		EQ(nm_ring_space(rxr(&m, 0)), 0);
	}
}
