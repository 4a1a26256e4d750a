// SPDX-License-Identifier: BSD-2-Clause
// api_register.c - REGISTER: names, rings, modes, exclusive opens, memory.
#include "nmt.h"

POINT(register_gives_numbers)
{
	struct nm p = { 0 };

	p.reg.nr_mode = NR_REG_ALL_NIC;
	p.reg.nr_flags = NR_NO_TX_POLL;
	WORKS(bind_port(&p, "vale%:a", NULL));
	EQ(p.reg.nr_tx_rings, 1);
	EQ(p.reg.nr_rx_rings, 1);
	EQ(p.reg.nr_tx_slots, 1024);
	EQ(p.reg.nr_rx_slots, 1024);
	CHECK(p.reg.nr_mem_id != 0);
	CHECK(p.reg.nr_offset < p.reg.nr_memsize);
	EQ(p.reg.nr_extra_bufs, 0);
	/* These come back as they went. */
	EQ(p.reg.nr_mode, NR_REG_ALL_NIC);
	EQ(p.reg.nr_ringid, 0);
	EQ(p.reg.nr_flags, NR_NO_TX_POLL);
}

POINT(register_fresh_rings)
{
	struct nm p = up("vale%:a");

	for (int dir = 0; dir < 2; dir++) {
		struct netmap_ring *r = dir ? rxr(&p, 0) : txr(&p, 0);

		EQ((uintptr_t)r % 128, 0);
		EQ(r->dir, dir);
		EQ(r->ringid, 0);
		EQ(r->num_slots, 1024);
		EQ(r->nr_buf_size, BUF_SIZE);
		EQ(r->head, 0);
		EQ(r->cur, 0);
		EQ(r->tail, dir ? 0 : 1023);
		EQ(r->flags, 0);
		EQ(r->offset_mask, 0);
		for (uint32_t i = 0; i < r->num_slots; i++) {
			CHECK(r->slot[i].buf_idx > 1);
			EQ(r->slot[i].len, BUF_SIZE);
			EQ(r->slot[i].flags, 0);
		}
	}
}

POINT(register_every_slot_has_its_own_buffer)
{
	static uint8_t seen[1 << 20];
	struct nm p = up_rings("vale%:a", 2, 2);

	for (unsigned i = 0; i < 4; i++) {
		struct netmap_ring *r = i < 2 ? txr(&p, i) : rxr(&p, i - 2);

		EQ(r->ringid, i % 2);
		for (uint32_t s = 0; s < r->num_slots; s++) {
			uint32_t b = r->slot[s].buf_idx;

			CHECK(b < sizeof(seen) && !seen[b]);
			seen[b] = 1;
			/* It must be there. */
			memset(NETMAP_BUF(r, b), 0xa5, BUF_SIZE);
		}
	}
}

POINT(register_netmap_if)
{
	struct nm p = up_rings("vale%:a", 2, 3);

	CHECK(!strncmp(p.nifp->ni_name, N("vale%:a"), 15));
	EQ(p.nifp->ni_tx_rings, 2);
	EQ(p.nifp->ni_rx_rings, 3);
	EQ(p.nifp->ni_host_tx_rings, 1);
	EQ(p.nifp->ni_host_rx_rings, 1);
	EQ(p.nifp->ni_bufs_head, 0);
	EQ(p.nifp->ni_version, NETMAP_API);
	for (int i = 0; i < 7; i++) {
		bool host = i == 2 || i == 6;

		CHECK(host == (p.nifp->ring_ofs[i] == 0));
	}
}

/* A port without host rings counts one, which is none's: ring_ofs[] has a
 * place for it. How many are asked for is nothing to it. */
POINT(register_host_rings_are_fakes)
{
	static const char *const all[] = { "vale%:a", "p%{1", "p%" };
	struct nmreq_vale_newif made = { 0 };

	WORKS(ctrl(dev(), NETMAP_REQ_VALE_NEWIF, "p%", &made));
	for (int i = 0; i < 3; i++) {
		struct nmreq_port_info_get info = { .nr_host_tx_rings = 4 };
		struct nm p = { .reg = { .nr_host_tx_rings = 3,
					 .nr_host_rx_rings = 2 } };

		WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, all[i], &info));
		EQ(info.nr_host_tx_rings, 1);
		EQ(info.nr_host_rx_rings, 1);
		WORKS(bind_mode(&p, all[i], NR_REG_ALL_NIC, 0));
		EQ(p.reg.nr_host_tx_rings, 1);
		EQ(p.reg.nr_host_rx_rings, 1);
		map_port(&p);
		EQ(p.nifp->ni_host_tx_rings, 1);
		EQ(p.nifp->ni_host_rx_rings, 1);
		EQ(p.nifp->ring_ofs[1], 0);
		FAILS(EINVAL,
		      bind_mode(&(struct nm){ 0 }, all[i], NR_REG_SW, 0));
		FAILS(EINVAL,
		      bind_mode(&(struct nm){ 0 }, all[i], NR_REG_ONE_SW, 0));
		down(&p);
	}
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_DELIF, "p%", NULL));
}

POINT(register_twice)
{
	struct nm p = up("vale%:a");

	FAILS(EBUSY, bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	FAILS(EBUSY, bind_mode(&p, "vale%:b", NR_REG_ALL_NIC, 0));
	txsync(&p);
}

POINT(register_failed_can_be_repeated)
{
	struct nm p = { .fd = dev() };

	FAILS(ENXIO, bind_mode(&p, "none%", NR_REG_ALL_NIC, 0));
	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
}

POINT(register_unknown_memory)
{
	struct nm p = { .reg.nr_mem_id = 54321 };

	FAILS(EINVAL, bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
	/* The memory is looked up before the name. */
	FAILS(EINVAL, bind_mode(&p, "none%", NR_REG_ALL_NIC, 0));
}

POINT(register_unknown_name)
{
	FAILS(ENXIO, bind_mode(&(struct nm){ 0 }, "none%", NR_REG_ALL_NIC, 0));
	FAILS_SOMEHOW(bind_mode(&(struct nm){ 0 }, "", NR_REG_ALL_NIC, 0));
}

POINT(register_modes_of_the_past)
{
	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_PIPE_MASTER, 0));
	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_PIPE_SLAVE, 0));
	FAILS(EINVAL, bind_mode(&(struct nm){ 0 }, "vale%:a", 9, 0));
	FAILS(EINVAL, bind_mode(&(struct nm){ 0 }, "vale%:a", 0xffff, 0));
}

POINT(register_rings_and_slots)
{
	struct nm p = { .reg = { .nr_tx_rings = 4,
				 .nr_rx_rings = 2,
				 .nr_tx_slots = 128,
				 .nr_rx_slots = 2048,
				 .nr_mode = NR_REG_ALL_NIC } };

	WORKS(bind_port(&p, "vale%:a", NULL));
	map_port(&p);
	EQ(p.reg.nr_tx_rings, 4);
	EQ(p.reg.nr_rx_rings, 2);
	EQ(p.reg.nr_tx_slots, 128);
	EQ(p.reg.nr_rx_slots, 2048);
	EQ(txr(&p, 3)->num_slots, 128);
	EQ(txr(&p, 3)->ringid, 3);
	EQ(rxr(&p, 1)->num_slots, 2048);
}

POINT(register_limits_of_rings_and_slots)
{
	struct nm p = { .reg = { .nr_tx_rings = 100,
				 .nr_rx_rings = 17,
				 .nr_tx_slots = 5000,
				 .nr_rx_slots = 1000000,
				 .nr_mode = NR_REG_ALL_NIC } };

	WORKS(bind_port(&p, "vale%:a", NULL));
	EQ(p.reg.nr_tx_rings, 16);
	EQ(p.reg.nr_rx_rings, 16);
	EQ(p.reg.nr_tx_slots, 4096);
	EQ(p.reg.nr_rx_slots, 4096);
}

POINT(register_existing_port_keeps_its_numbers)
{
	struct nm a = up_rings("vale%:a", 2, 2), b = { 0 };

	b.reg.nr_tx_rings = 4;
	WORKS(bind_mode(&b, "vale%:a", NR_REG_ALL_NIC, 0));
	EQ(b.reg.nr_tx_rings, 2);
	EQ(b.reg.nr_mem_id, a.reg.nr_mem_id);
	EQ(b.reg.nr_memsize, a.reg.nr_memsize);
}

POINT(register_one_ring)
{
	struct nm all = up_rings("vale%:a", 3, 3);
	struct nm p = { .reg.nr_ringid = 1 };

	WORKS(bind_mode(&p, "vale%:a", NR_REG_ONE_NIC, 0));
	map_port(&p);
	EQ(p.reg.nr_mode, NR_REG_ONE_NIC);
	EQ(p.reg.nr_ringid, 1);
	for (int i = 0; i < 3; i++) {
		EQ(p.nifp->ring_ofs[i] != 0, i == 1);
		EQ(p.nifp->ring_ofs[4 + i] != 0, i == 1);
		CHECK(all.nifp->ring_ofs[i] && all.nifp->ring_ofs[4 + i]);
	}
	EQ(txr(&p, 1)->ringid, 1);
	/* It is the same ring. */
	EQ(txr(&p, 1)->slot[7].buf_idx, txr(&all, 1)->slot[7].buf_idx);
}

POINT(register_one_ring_that_is_not_there)
{
	struct nm all = up_rings("vale%:a", 2, 2);
	struct nm p = { .reg.nr_ringid = 2 };

	FAILS(EINVAL, bind_mode(&p, "vale%:a", NR_REG_ONE_NIC, 0));
	txsync(&all);
}

POINT(register_one_ring_of_one_direction)
{
	struct nm p = {
		.reg = { .nr_tx_rings = 1, .nr_rx_rings = 3, .nr_ringid = 2 }
	};

	WORKS(bind_mode(&p, "vale%:a", NR_REG_ONE_NIC, 0));
	map_port(&p);
	CHECK(p.nifp->ring_ofs[0] != 0);
	for (int i = 0; i < 3; i++)
		EQ(p.nifp->ring_ofs[2 + i] != 0, i == 2);
}

POINT(register_rings_of_one_direction_only)
{
	struct nm t = { 0 }, r = { 0 };

	WORKS(bind_mode(&t, "vale%:a", NR_REG_ALL_NIC, NR_TX_RINGS_ONLY));
	map_port(&t);
	CHECK(t.nifp->ring_ofs[0] && !t.nifp->ring_ofs[2]);
	WORKS(bind_mode(&r, "vale%:a", NR_REG_ALL_NIC, NR_RX_RINGS_ONLY));
	map_port(&r);
	CHECK(!r.nifp->ring_ofs[0] && r.nifp->ring_ofs[2]);
}

POINT(register_exclusive_keeps_others_out)
{
	struct nm a = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);

	FAILS(EBUSY,
	      bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC, 0));
	FAILS(EBUSY, bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC,
			       NR_EXCLUSIVE));
	down(&a);
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC, 0));
}

POINT(register_exclusive_needs_to_be_alone)
{
	struct nm a = up("vale%:a");

	FAILS(EBUSY, bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC,
			       NR_EXCLUSIVE));
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC, 0));
	txsync(&a);
}

POINT(register_exclusive_is_per_ring)
{
	struct nm p[3] = { { .reg = { .nr_tx_rings = 2, .nr_rx_rings = 2 } },
			   { .reg.nr_ringid = 1 },
			   { .reg.nr_ringid = 1 } };

	WORKS(bind_mode(&p[0], "vale%:a", NR_REG_ONE_NIC, NR_EXCLUSIVE));
	WORKS(bind_mode(&p[1], "vale%:a", NR_REG_ONE_NIC, NR_EXCLUSIVE));
	FAILS(EBUSY, bind_mode(&p[2], "vale%:a", NR_REG_ONE_NIC, 0));
	/* TX and RX rings count apart. */
	WORKS(close(p[1].fd));
	p[1] = (struct nm){ .reg.nr_ringid = 1 };
	WORKS(bind_mode(&p[1], "vale%:a", NR_REG_ONE_NIC,
			NR_EXCLUSIVE | NR_TX_RINGS_ONLY));
	WORKS(bind_mode(&p[2], "vale%:a", NR_REG_ONE_NIC,
			NR_EXCLUSIVE | NR_RX_RINGS_ONLY));
}

POINT(register_vnet_header_needs_consent)
{
	struct nmreq_port_hdr hdr = { .nr_hdr_len = 12 };
	struct nm a = up_mode("vale%:a", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);

	WORKS(ctrl(a.fd, NETMAP_REQ_PORT_HDR_SET, "vale%:a", &hdr));
	FAILS(EIO, bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC, 0));
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:a", NR_REG_ALL_NIC,
			NR_ACCEPT_VNET_HDR));
}

POINT(register_extra_buffers)
{
	static uint8_t seen[1 << 20];
	struct nm p = { .reg = { .nr_extra_bufs = 100,
				 .nr_mode = NR_REG_ALL_NIC } };
	struct netmap_ring *tx;
	uint32_t at, n = 0;

	WORKS(bind_port(&p, "vale%:a", NULL));
	map_port(&p);
	EQ(p.reg.nr_extra_bufs, 100);
	tx = txr(&p, 0);
	for (uint32_t i = 0; i < tx->num_slots; i++) {
		seen[tx->slot[i].buf_idx] = 1;
		seen[rxr(&p, 0)->slot[i].buf_idx] = 1;
	}
	for (at = p.nifp->ni_bufs_head; at; n++) {
		CHECK(at > 1 && at < sizeof(seen) && !seen[at]);
		seen[at] = 1;
		memcpy(&at, NETMAP_BUF(tx, at), sizeof(at));
	}
	EQ(n, 100);
}

/* Extra buffers that were swapped into rings go back all the same. */
POINT(register_extra_buffers_come_back)
{
	for (int round = 0; round < 200; round++) {
		struct nm p = { .reg = { .nr_extra_bufs = 1000,
					 .nr_mode = NR_REG_ALL_NIC } };
		struct netmap_ring *tx;
		uint32_t b, first;

		WORKS(bind_port(&p, "vale%:a", NULL));
		EQ(p.reg.nr_extra_bufs, 1000);
		map_port(&p);
		tx = txr(&p, 0);
		b = p.nifp->ni_bufs_head;
		first = tx->slot[5].buf_idx;
		memcpy(NETMAP_BUF(tx, first), NETMAP_BUF(tx, b), sizeof(b));
		p.nifp->ni_bufs_head = first;
		tx->slot[5].buf_idx = b;
		tx->slot[5].flags = NS_BUF_CHANGED;
		down(&p);
	}
}

/* More than there can be: what was got is said. */
POINT(register_extra_buffers_that_are_too_many)
{
	struct nm p = { .reg = { .nr_extra_bufs = 100000000,
				 .nr_mode = NR_REG_ALL_NIC } };
	uint32_t at, n = 0;

	if (getenv("TSAN_OPTIONS"))
		skip("with ThreadSanitizer glend may need longer for all "
		     "buffers of a region than a call waits");
	WORKS(bind_port(&p, "vale%:a", NULL));
	CHECK(p.reg.nr_extra_bufs < 100000000);
	map_port(&p);
	for (at = p.nifp->ni_bufs_head; at && n <= p.reg.nr_extra_bufs; n++)
		memcpy(&at, NETMAP_BUF(txr(&p, 0), at), sizeof(at));
	EQ(n, p.reg.nr_extra_bufs);
}

POINT(names_of_switches)
{
	WORKS(bind_mode(&(struct nm){ 0 }, "vale_%_X9:a", NR_REG_ALL_NIC, 0));
	WORKS(bind_mode(&(struct nm){ 0 }, "vale:p%", NR_REG_ALL_NIC, 0));
	FAILS_SOMEHOW(
		bind_mode(&(struct nm){ 0 }, "vale-%:a", NR_REG_ALL_NIC, 0));
	FAILS_SOMEHOW(
		bind_mode(&(struct nm){ 0 }, "vale.%:a", NR_REG_ALL_NIC, 0));
	FAILS_SOMEHOW(bind_mode(&(struct nm){ 0 }, "vale%", NR_REG_ALL_NIC, 0));
}

POINT(names_of_ports)
{
	/* 15 characters, of any kind. */
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:123456789012345",
			NR_REG_ALL_NIC, 0));
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:a b/c.d-e+f", NR_REG_ALL_NIC,
			0));
	FAILS_SOMEHOW(bind_mode(&(struct nm){ 0 }, "vale%:1234567890123456",
				NR_REG_ALL_NIC, 0));
}

POINT(names_of_interfaces_make_no_ports)
{
	struct nmreq_port_info_get info = { 0 };

	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:lo", NR_REG_ALL_NIC, 0));
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "vale%:lo", &info));
}

POINT(names_of_switches_are_apart)
{
	struct nm a = up("vale%x:p"), b = up("vale%y:p");
	struct nm c = up("vale%y:q");

	put_frame(txr(&a, 0), 255, 1, 60, 1);
	txsync(&a);
	rxsync(&b);
	rxsync(&c);
	EQ(nm_ring_space(rxr(&b, 0)) + nm_ring_space(rxr(&c, 0)), 0);
	put_frame(txr(&b, 0), 255, 1, 60, 2);
	txsync(&b);
	rxsync(&c);
	EQ(nm_ring_space(rxr(&c, 0)), 1);
}

POINT(port_lives_until_its_last_open)
{
	struct nm a = up("vale%:a"), b = up("vale%:a"), c;
	uint32_t buf = txr(&a, 0)->slot[3].buf_idx;

	EQ(a.reg.nr_mem_id, b.reg.nr_mem_id);
	down(&a);
	txsync(&b);
	EQ(txr(&b, 0)->slot[3].buf_idx, buf);
	c = up("vale%:a");
	EQ(c.reg.nr_mem_id, b.reg.nr_mem_id);
}

POINT(port_goes_with_its_last_open)
{
	struct nmreq_vale_list list = { 0 };
	struct nm a = up("vale%:a"), keep = up("vale%:b");

	down(&a);
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a", &list));
	EQ(list.nr_port_idx, 255);
	down(&keep);
	FAILS(ENOENT, ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:b", &list));
}
