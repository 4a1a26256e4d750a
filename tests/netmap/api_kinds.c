// SPDX-License-Identifier: BSD-2-Clause
// api_kinds.c - REGISTER of pipes, monitors and null ports.
#include "nmt.h"

static int bind_all(const char *name, uint64_t flags)
{
	return bind_mode(&(struct nm){ 0 }, name, NR_REG_ALL_NIC, flags);
}

POINT(pipe_ends_mirror_each_other)
{
	struct nm m = { .reg = { .nr_tx_rings = 2,
				 .nr_rx_rings = 3,
				 .nr_tx_slots = 256,
				 .nr_rx_slots = 512,
				 .nr_mode = NR_REG_ALL_NIC } };
	struct nm s;

	WORKS(bind_port(&m, "p%{1", NULL));
	map_port(&m);
	s = up("p%}1");
	EQ(m.reg.nr_tx_rings, 2);
	EQ(m.reg.nr_rx_rings, 3);
	EQ(s.reg.nr_tx_rings, 3);
	EQ(s.reg.nr_rx_rings, 2);
	EQ(s.reg.nr_tx_slots, 512);
	EQ(s.reg.nr_rx_slots, 256);
	EQ(s.reg.nr_mem_id, m.reg.nr_mem_id);
	EQ(s.reg.nr_memsize, m.reg.nr_memsize);
	EQ(txr(&m, 1)->num_slots, 256);
	EQ(rxr(&s, 1)->num_slots, 256);
	EQ(txr(&s, 2)->num_slots, 512);
	EQ(m.nifp->ni_host_tx_rings, 1);
	EQ(m.nifp->ring_ofs[2], 0);
}

POINT(pipe_fresh_rings)
{
	struct nm m = up("p%{1"), s = up("p%}1");
	const struct nm *ends[2] = { &m, &s };

	for (int i = 0; i < 4; i++) {
		struct netmap_ring *r = i & 1 ? rxr(ends[i / 2], 0) :
						txr(ends[i / 2], 0);

		EQ(r->head, 0);
		EQ(r->cur, 0);
		EQ(r->tail, i & 1 ? 0 : r->num_slots - 1);
		EQ(r->dir, i & 1);
		for (uint32_t n = 0; n < r->num_slots; n++) {
			CHECK(r->slot[n].buf_idx > 1);
			EQ(r->slot[n].len, BUF_SIZE);
		}
	}
}

POINT(pipe_shares_its_parents_memory)
{
	struct nm a = up("vale%:a"), m = up("vale%:a{1"), s = up("vale%:a}1");
	struct nm n = up("vale%:a{2");

	EQ(m.reg.nr_mem_id, a.reg.nr_mem_id);
	EQ(s.reg.nr_mem_id, a.reg.nr_mem_id);
	EQ(n.reg.nr_mem_id, a.reg.nr_mem_id);
}

POINT(pipe_makes_its_parent)
{
	struct nmreq_port_info_get info = { 0 };
	struct nm m = up("p%{1"), s;

	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "p%", &info));
	EQ(info.nr_mem_id, m.reg.nr_mem_id);
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_VALE_DELIF, "p%", NULL));
	s = up("p%}1");
	down(&m);
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "p%", &info));
	down(&s);
	info.nr_mem_id = 0;
	FAILS(ENXIO, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "p%", &info));
}

POINT(pipe_names_are_words)
{
	struct nm m = up("p%{left-1"), s = up("p%}left-1");

	EQ(m.reg.nr_mem_id, s.reg.nr_mem_id);
	put_frame(txr(&m, 0), 1, 2, 60, 4);
	txsync(&m);
	rxsync(&s);
	EQ(frame_number(peek(rxr(&s, 0), NULL)), 4);
}

POINT(pipe_has_no_host_rings)
{
	FAILS(EINVAL, bind_mode(&(struct nm){ 0 }, "p%{1", NR_REG_NIC_SW, 0));
}

POINT(pipe_limits)
{
	struct nm p = { .reg = { .nr_tx_slots = 100000,
				 .nr_rx_slots = 100000,
				 .nr_mode = NR_REG_ALL_NIC } };

	WORKS(bind_port(&p, "p%{1", NULL));
	EQ(p.reg.nr_tx_slots, 4096);
	EQ(p.reg.nr_rx_slots, 4096);
}

POINT(pipe_many_rings)
{
	struct nm m = { .reg = { .nr_tx_rings = 16,
				 .nr_rx_rings = 16,
				 .nr_tx_slots = 64,
				 .nr_rx_slots = 64,
				 .nr_mode = NR_REG_ALL_NIC } };
	struct nm s;

	WORKS(bind_port(&m, "p%{1", NULL));
	EQ(m.reg.nr_tx_rings, 16);
	map_port(&m);
	s = up("p%}1");
	put_frame(txr(&m, 15), 1, 2, 60, 4);
	txsync(&m);
	rxsync(&s);
	EQ(frame_number(peek(rxr(&s, 15), NULL)), 4);
}

POINT(pipe_256_rings)
{
	struct nm m = { .reg = { .nr_tx_rings = 256,
				 .nr_rx_rings = 256,
				 .nr_tx_slots = 16,
				 .nr_rx_slots = 16,
				 .nr_mode = NR_REG_ALL_NIC } };

	WORKS(bind_port(&m, "p%{1", NULL));
	EQ(m.reg.nr_tx_rings, 256);
	EQ(m.reg.nr_rx_rings, 256);
}

POINT(pipe_sixty_four_per_parent)
{
	struct nm a = up("vale%:a"), m[65] = { 0 }, s[65] = { 0 };
	char name[32];

	for (int i = 0; i < 65; i++) {
		m[i].reg.nr_tx_slots = m[i].reg.nr_rx_slots = 64;
		snprintf(name, sizeof(name), "vale%%:a{%d", i);
		if (i == 64) {
			FAILS_SOMEHOW(
				bind_mode(&m[i], name, NR_REG_ALL_NIC, 0));
			break;
		}
		WORKS(bind_mode(&m[i], name, NR_REG_ALL_NIC, 0));
		snprintf(name, sizeof(name), "vale%%:a}%d", i);
		WORKS(bind_mode(&s[i], name, NR_REG_ALL_NIC, 0));
		EQ(s[i].reg.nr_mem_id, a.reg.nr_mem_id);
	}
}

POINT(pipe_exclusive)
{
	struct nm m = up_mode("p%{1", NR_REG_ALL_NIC, NR_EXCLUSIVE), s;

	FAILS(EBUSY, bind_all("p%{1", 0));
	s = up_mode("p%}1", NR_REG_ALL_NIC, NR_EXCLUSIVE);
	FAILS(EBUSY, bind_all("p%}1", 0));
	txsync(&m);
	txsync(&s);
}

/* A port whose frames a monitor sees. */
POINT(monitor_needs_a_parent)
{
	FAILS(ENXIO, bind_all("none%", NR_MONITOR_RX));
	FAILS(EINVAL, bind_all("vale%:a", NR_MONITOR_RX));
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_NEWIF, "p%",
		   &(struct nmreq_vale_newif){ 0 }));
	FAILS(EINVAL, bind_all("p%", NR_MONITOR_RX));
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_DELIF, "p%", NULL));
}

POINT(monitor_has_its_parents_rings)
{
	struct nm a = up_rings("vale%:a", 2, 2);
	struct nm m = up_mode("vale%:a", NR_REG_ALL_NIC,
			      NR_MONITOR_RX | NR_MONITOR_TX);

	EQ(m.reg.nr_tx_rings, a.reg.nr_tx_rings);
	EQ(m.reg.nr_rx_rings, a.reg.nr_rx_rings);
	CHECK(m.reg.nr_mem_id != a.reg.nr_mem_id);
}

POINT(monitor_zcopy_is_in_its_parents_region)
{
	struct nm a = up("vale%:a");
	struct nm m = up_mode("vale%:a", NR_REG_ALL_NIC,
			      NR_MONITOR_RX | NR_ZCOPY_MON);

	EQ(m.reg.nr_mem_id, a.reg.nr_mem_id);
}

POINT(monitor_cannot_send)
{
	struct nm a = up("vale%:a");
	struct nm m = up_mode("vale%:a", NR_REG_ALL_NIC, NR_MONITOR_RX);

	FAILS(EIO, ioctl(m.fd, NIOCTXSYNC, NULL));
	rxsync(&m);
	txsync(&a);
}

POINT(monitors_are_many)
{
	struct nm a = up("vale%:a");
	struct nm m[4];

	for (int i = 0; i < 4; i++)
		m[i] = up_mode("vale%:a", NR_REG_ALL_NIC,
			       i & 1 ? NR_MONITOR_TX : NR_MONITOR_RX);
	txsync(&a);
	rxsync(&m[3]);
}

POINT(monitor_does_not_count_as_an_open)
{
	struct nm a = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);
	struct nm m = up_mode("vale%:a", NR_REG_ALL_NIC, NR_MONITOR_RX);

	rxsync(&m);
	txsync(&a);
}

static int null_port(struct nm *p, uint16_t mem_id, uint16_t tx, uint16_t rx)
{
	p->reg = (struct nmreq_register){ .nr_mem_id = mem_id,
					  .nr_tx_rings = tx,
					  .nr_rx_rings = rx,
					  .nr_tx_slots = 128,
					  .nr_rx_slots = 64,
					  .nr_mode = NR_REG_NULL };
	return bind_port(p, "", NULL);
}

POINT(null_port_in_a_region)
{
	struct nm a = up("vale%:a"), n = { 0 };
	struct netmap_ring *tx, *rx;

	WORKS(null_port(&n, a.reg.nr_mem_id, 2, 1));
	EQ(n.reg.nr_mem_id, a.reg.nr_mem_id);
	EQ(n.reg.nr_tx_rings, 2);
	EQ(n.reg.nr_rx_rings, 1);
	EQ(n.reg.nr_tx_slots, 128);
	map_port(&n);
	tx = txr(&n, 1);
	rx = rxr(&n, 0);
	EQ(tx->num_slots, 128);
	EQ(rx->num_slots, 64);
	CHECK(tx->slot[0].buf_idx > 1);
	for (int i = 0; i < 3; i++) {
		txsync(&n);
		rxsync(&n);
	}
	EQ(nm_ring_space(rx), 0);
}

POINT(null_port_without_rings)
{
	struct nm a = up("vale%:a"), n = { 0 };

	n.reg.nr_extra_bufs = 10;
	WORKS(null_port(&n, a.reg.nr_mem_id, 0, 0));
	EQ(n.reg.nr_tx_rings, 0);
	EQ(n.reg.nr_rx_rings, 0);
	txsync(&n);
	rxsync(&n);
}

POINT(null_port_sends_nothing)
{
	struct nm a = up("vale%:a"), n = { 0 };
	struct netmap_ring *tx;

	WORKS(null_port(&n, a.reg.nr_mem_id, 1, 1));
	map_port(&n);
	tx = txr(&n, 0);
	put_frame(tx, 255, 1, 60, 1);
	txsync(&n);
	rxsync(&a);
	EQ(nm_ring_space(rxr(&a, 0)), 0);
	/* Nobody takes them: they stay where they are. */
	EQ(tx->head, 1);
}

POINT(null_port_needs_memory)
{
	struct nm n = { 0 };

	FAILS(EINVAL, null_port(&n, 54321, 1, 1));
	FAILS_SOMEHOW(null_port(&n, 0, 1, 1));
}

POINT(null_port_keeps_its_region)
{
	struct nm a = up("vale%:a"), n = { 0 }, b;

	WORKS(null_port(&n, a.reg.nr_mem_id, 1, 1));
	down(&a);
	b = up_in("vale%:b", n.reg.nr_mem_id);
	EQ(b.reg.nr_memsize, n.reg.nr_memsize);
}
