// SPDX-License-Identifier: BSD-2-Clause
// api_offsets.c - option OFFSETS: packets that begin anywhere in their buffers.
#include "nmt.h"

static struct nmreq_opt_offsets offsets(uint64_t max, uint64_t initial)
{
	struct nmreq_opt_offsets option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS },
		.nro_max_offset = max,
		.nro_initial_offset = initial,
	};

	return option;
}

POINT(offsets_initial)
{
	struct nmreq_opt_offsets option = offsets(256, 64);
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };

	WORKS(bind_port(&p, "vale%:a", &option));
	EQ(option.nro_opt.nro_status, 0);
	map_port(&p);
	for (int dir = 0; dir < 2; dir++) {
		struct netmap_ring *r = dir ? rxr(&p, 0) : txr(&p, 0);

		CHECK((r->offset_mask & 256) == 256);
		for (uint32_t i = 0; i < r->num_slots; i++)
			EQ(r->slot[i].ptr & r->offset_mask, 64);
	}
}

POINT(offsets_bits)
{
	struct nmreq_opt_offsets option = offsets(256, 0);
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };

	option.nro_offset_bits = 16;
	WORKS(bind_port(&p, "vale%:a", &option));
	map_port(&p);
	EQ(txr(&p, 0)->offset_mask, 0xffff);
}

POINT(offsets_too_large)
{
	struct nmreq_opt_offsets option = offsets(BUF_SIZE + 1, 0);
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };

	FAILS_SOMEHOW(bind_port(&p, "vale%:a", &option));
	CHECK(option.nro_opt.nro_status != 0);
	option = offsets(128, 129);
	FAILS_SOMEHOW(bind_port(&p, "vale%:a", &option));
	/* Bits that cannot hold the largest offset. */
	option = offsets(256, 0);
	option.nro_offset_bits = 8;
	FAILS_SOMEHOW(bind_port(&p, "vale%:a", &option));
}

POINT(offsets_must_agree)
{
	struct nmreq_opt_offsets option = offsets(256, 0), more;
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC }, q = p;

	WORKS(bind_port(&p, "vale%:a", &option));
	more = offsets(512, 0);
	FAILS(EBUSY, bind_port(&q, "vale%:a", &more));
}

POINT(offsets_carry_packets)
{
	struct nmreq_opt_offsets option = offsets(256, 100);
	struct nm a = { .reg.nr_mode = NR_REG_ALL_NIC }, b = up("vale%:b");
	struct netmap_ring *tx, *rx = rxr(&b, 0);
	struct netmap_slot *slot;
	char *buf;

	WORKS(bind_port(&a, "vale%:a", &option));
	map_port(&a);
	tx = txr(&a, 0);
	slot = &tx->slot[tx->head];
	buf = NETMAP_BUF(tx, slot->buf_idx);
	slot->ptr = (slot->ptr & ~tx->offset_mask) | 17;
	slot->len = (uint16_t)frame(buf + 17, 255, 1, 200, 77);
	slot->flags = 0;
	tx->head = tx->cur = 1;
	txsync(&a);
	rxsync(&b);
	EQ(nm_ring_space(rx), 1);
	EQ(frame_number(peek(rx, &slot)), 77);
	EQ(slot->len, 200);
	put_frame(txr(&b, 0), 255, 2, 300, 78);
	txsync(&b);
	rxsync(&a);
	EQ(nm_ring_space(rxr(&a, 0)), 1);
	buf = peek(rxr(&a, 0), &slot);
	EQ(slot->ptr & rxr(&a, 0)->offset_mask, 100);
	EQ(frame_number(buf + 100), 78);
}

static struct nm up_offsets(const char *name, struct nmreq_opt_offsets option)
{
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };

	WORKS(bind_port(&p, name, &option));
	EQ(option.nro_opt.nro_status, 0);
	map_port(&p);
	return p;
}

/* Data of a slot, behind its offset. */
static char *at_offset(const struct netmap_ring *ring, uint32_t i)
{
	const struct netmap_slot *slot = &ring->slot[i];

	return NETMAP_BUF(ring, slot->buf_idx) +
	       (slot->ptr & ring->offset_mask);
}

POINT(offsets_of_later_opens)
{
	struct nmreq_opt_offsets option = offsets(256, 0), small;
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC }, q = p, r = p, s = p;
	struct nm plain = up("vale%:b");

	option.nro_offset_bits = 16;
	WORKS(bind_port(&p, "vale%:a", &option));
	small = offsets(128, 0);
	small.nro_offset_bits = 16;
	WORKS(bind_port(&q, "vale%:a", &small));
	small.nro_offset_bits = 10;
	FAILS(EBUSY, bind_port(&r, "vale%:a", &small));
	EQ(small.nro_opt.nro_status, EBUSY);
	small = offsets(128, 0);
	small.nro_min_gap = 64;
	FAILS(EBUSY, bind_port(&s, "vale%:a", &small));
	/* One that is open without. */
	small = offsets(0, 0);
	FAILS(EBUSY, bind_port(&s, "vale%:b", &small));
	down(&plain);
	small = offsets(128, 0);
	WORKS(bind_port(&s, "vale%:b", &small));
}

/* An open that does not speak of offsets shares those that there are. */
POINT(offsets_without_the_option)
{
	struct nm p = up_offsets("vale%:a", offsets(256, 100)),
		  q = up("vale%:a");
	struct nm b = up("vale%:b");
	struct netmap_ring *tx = txr(&q, 0), *rx = rxr(&q, 0);

	EQ(tx->offset_mask, txr(&p, 0)->offset_mask);
	EQ(tx->slot[0].ptr & tx->offset_mask, 100);
	frame(at_offset(tx, 0), 255, 1, 60, 7);
	tx->slot[0].len = 60;
	tx->head = tx->cur = 1;
	txsync(&q);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 7);
	put_frame(txr(&b, 0), 255, 2, 60, 8);
	txsync(&b);
	rxsync(&q);
	EQ(nm_ring_space(rx), 1);
	EQ(frame_number(at_offset(rx, 0)), 8);
	/* And keeps them, when the first one goes. */
	down(&p);
	EQ(rx->slot[1].ptr & rx->offset_mask, 100);
	put_frame(txr(&b, 0), 255, 2, 60, 9);
	txsync(&b);
	rxsync(&q);
	EQ(frame_number(at_offset(rx, 1)), 9);
}

/* Upstream forgets offsets where headers differ. */
POINT(offsets_with_vnet_headers)
{
	static const uint32_t lens[4] = { 0, 12, 10, 12 };
	static const char *const names[4] = { "vale%:a", "vale%:b", "vale%:c",
					      "vale%:d" };
	struct nm p[4];

	for (uint8_t i = 0; i < 4; i++) {
		struct nmreq_opt_offsets option = offsets(256, 40 + i);
		struct nmreq_port_hdr hdr = { .nr_hdr_len = lens[i] };

		p[i] = (struct nm){ .reg = { .nr_mode = NR_REG_ALL_NIC,
					     .nr_flags = NR_ACCEPT_VNET_HDR } };
		WORKS(bind_port(&p[i], names[i], &option));
		map_port(&p[i]);
		WORKS(ctrl(p[i].fd, NETMAP_REQ_PORT_HDR_SET, names[i], &hdr));
	}
	for (uint8_t i = 0; i < 4; i++) {
		struct netmap_ring *tx = txr(&p[i], 0);
		char *at = at_offset(tx, 0);

		memset(at, 0, 12);
		frame(at + lens[i], 255, i, 1000, i);
		tx->slot[0].len = (uint16_t)(1000 + lens[i]);
		tx->head = tx->cur = 1;
		txsync(&p[i]);
		for (uint8_t k = 0; k < 4; k++) {
			struct netmap_ring *rx = rxr(&p[k], 0);
			char want[1000];

			rxsync(&p[k]);
			if (k == i)
				continue;
			EQ(nm_ring_space(rx), 1);
			EQ(rx->slot[rx->head].len, 1000 + lens[k]);
			frame(want, 255, i, 1000, i);
			EQ(rx->slot[rx->head].ptr & rx->offset_mask, 40 + k);
			CHECK(!memcmp(at_offset(rx, rx->head) + lens[k], want,
				      1000));
			drop(rx, 1);
		}
	}
}

/* Copies for a monitor begin where it wants them. */
POINT(offsets_of_a_monitor)
{
	struct nmreq_opt_offsets option = offsets(128, 72);
	struct nm a = up("vale%:a"), b = up("vale%:b");
	struct nm m = { .reg = { .nr_mode = NR_REG_ALL_NIC,
				 .nr_flags = NR_MONITOR_RX } };

	WORKS(bind_port(&m, "vale%:b", &option));
	EQ(option.nro_opt.nro_status, 0);
	map_port(&m);
	put_frame(txr(&a, 0), 255, 1, 500, 6);
	txsync(&a);
	await_slots(&m, rxr(&m, 0), 1);
	EQ(rxr(&m, 0)->slot[0].ptr & rxr(&m, 0)->offset_mask, 72);
	EQ(frame_number(at_offset(rxr(&m, 0), 0)), 6);
	rxsync(&b);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 6);
}

POINT(offsets_hostile)
{
	static const uint64_t much[] = { UINT64_MAX, 1ULL << 32, 1ULL << 63,
					 65537, BUF_SIZE + 1 };
	struct nmreq_opt_offsets option;
	struct nm p = { .reg.nr_mode = NR_REG_ALL_NIC };

	for (int i = 0; i < 5; i++) {
		option = offsets(much[i], 0);
		FAILS(EINVAL, bind_port(&p, "vale%:a", &option));
		option = offsets(128, much[i]);
		FAILS(EINVAL, bind_port(&p, "vale%:a", &option));
		option = offsets(128, 0);
		option.nro_min_gap = much[i];
		FAILS(EINVAL, bind_port(&p, "vale%:a", &option));
		EQ(option.nro_opt.nro_status, EINVAL);
	}
	option = offsets(128, 0);
	option.nro_offset_bits = 65;
	FAILS(EINVAL, bind_port(&p, "vale%:a", &option));
	/* The largest that there is. */
	option = offsets(BUF_SIZE, 0);
	WORKS(bind_port(&p, "vale%:a", &option));
}

/* What does not fit behind an offset goes on in the next slot, behind its. */
POINT(offsets_of_many_slots)
{
	struct nm a = up("vale%:a"),
		  b = up_offsets("vale%:b", offsets(1024, 100));
	struct netmap_ring *rx = rxr(&b, 0);
	char sent[1514], got[1514];
	size_t len = 0;

	frame(sent, 255, 1, sizeof(sent), 5);
	rx->slot[1].ptr = (rx->slot[1].ptr & ~rx->offset_mask) | 7;
	put(txr(&a, 0), sent, sizeof(sent), 0);
	txsync(&a);
	rxsync(&b);
	CHECK(nm_ring_space(rx) > 1);
	for (uint32_t i = 0; i < nm_ring_space(rx); i++) {
		EQ(rx->slot[i].ptr & rx->offset_mask, i == 1 ? 7 : 100);
		CHECK(rx->slot[i].len <= 1024);
		memcpy(got + len, at_offset(rx, i), rx->slot[i].len);
		len += rx->slot[i].len;
	}
	EQ(len, sizeof(sent));
	CHECK(!memcmp(got, sent, len));
}

/* The end of each buffer stays as the program left it. */
POINT(offsets_gap)
{
	struct nmreq_opt_offsets option = offsets(512, 512);
	struct nm a = up("vale%:a"), b;
	struct netmap_ring *rx;
	char sent[1514];

	option.nro_min_gap = 300;
	b = up_offsets("vale%:b", option);
	rx = rxr(&b, 0);
	for (uint32_t i = 0; i < rx->num_slots; i++)
		memset(NETMAP_BUF(rx, rx->slot[i].buf_idx) + BUF_SIZE - 300,
		       0x5a, 300);
	for (int i = 0; i < 100; i++)
		put(txr(&a, 0), sent, frame(sent, 255, 1, 1514, 5), 0);
	txsync(&a);
	rxsync(&b);
	CHECK(nm_ring_space(rx) >= 200);
	for (uint32_t i = 0; i < rx->num_slots; i++)
		for (int k = 0; k < 300; k++)
			EQ(NETMAP_BUF(rx,
				      rx->slot[i].buf_idx)[BUF_SIZE - 300 + k],
			   0x5a);
}

/* Offsets outside put the ring back, and cost nobody his port. */
POINT(offsets_that_lie)
{
	struct nm a = up_offsets("vale%:a", offsets(256, 0));
	struct nm b = up_offsets("vale%:b", offsets(256, 0));
	struct netmap_ring *tx = txr(&a, 0), *rx = rxr(&a, 0);

	put_frame(tx, 255, 1, 60, 1);
	tx->slot[0].ptr = BUF_SIZE - 59;
	txsync(&a);
	EQ(tx->head, 0);
	EQ(tx->slot[0].ptr, 0);
	tx->head = tx->cur = 1;
	txsync(&a);
	rxsync(&b);
	EQ(nm_ring_space(rxr(&b, 0)), 1);
	for (int i = 0; i < 3; i++)
		put_frame(txr(&b, 0), 255, 2, 60, 2);
	txsync(&b);
	rxsync(&a);
	EQ(nm_ring_space(rx), 3);
	rx->slot[0].ptr = 257;
	rx->slot[1].ptr = UINT64_MAX;
	drop(rx, 3);
	rxsync(&a);
	EQ(rx->head, 0);
	EQ(rx->slot[0].ptr | rx->slot[1].ptr, 0);
	drop(rx, 3);
	rxsync(&a);
	EQ(rx->head, 3);
	put_frame(txr(&b, 0), 255, 2, 60, 9);
	txsync(&b);
	rxsync(&a);
	EQ(frame_number(peek(rx, NULL)), 9);
}

/* A packet's offset goes over with its buffer. */
POINT(offsets_through_a_pipe)
{
	struct nm m = up_offsets("vale%:p{1", offsets(512, 32));
	struct nm s = up_offsets("vale%:p}1", offsets(512, 32));
	struct netmap_ring *tx = txr(&m, 0), *rx = rxr(&s, 0);

	for (uint32_t i = 0; i < 600; i++) {
		struct netmap_slot *slot = &tx->slot[tx->head];

		slot->ptr = (slot->ptr & ~tx->offset_mask) | (i % 513);
		slot->len = (uint16_t)frame(at_offset(tx, tx->head), 1, 2, 100,
					    i);
		slot->flags = 0;
		tx->head = tx->cur = nm_ring_next(tx, tx->head);
	}
	txsync(&m);
	rxsync(&s);
	EQ(nm_ring_space(rx), 600);
	for (uint32_t i = 0; i < 600; i++) {
		EQ(rx->slot[i].ptr & rx->offset_mask, i % 513);
		EQ(frame_number(at_offset(rx, i)), i);
	}
	tx->slot[tx->head].ptr = BUF_SIZE;
	tx->slot[tx->head].len = 1;
	tx->head = tx->cur = nm_ring_next(tx, tx->head);
	txsync(&m);
	EQ(tx->head, 600);
	rxsync(&s);
	EQ(nm_ring_space(rx), 600);
}

POINT(offsets_of_a_null_port)
{
	struct nmreq_opt_offsets option = offsets(64, 48);
	struct nm a = up("vale%:a"), n = { .reg.nr_mode = NR_REG_NULL };

	n.reg.nr_mem_id = a.reg.nr_mem_id;
	n.reg.nr_tx_rings = n.reg.nr_rx_rings = 1;
	WORKS(bind_port(&n, "", &option));
	EQ(option.nro_opt.nro_status, 0);
	map_port(&n);
	EQ(txr(&n, 0)->slot[3].ptr & txr(&n, 0)->offset_mask, 48);
}

/* Both at once: larger buffers leave more room for offsets. */
POINT(offsets_in_extmem)
{
	enum { SIZE = 24 << 20 };
	struct nmreq_opt_offsets option = offsets(3000, 2500);
	char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct nmreq_opt_extmem ext = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_EXTMEM,
			     .nro_next = (uintptr_t)&option },
		.nro_usrptr = (uintptr_t)memory,
		.nro_info = { .nr_memsize = SIZE, .nr_buf_pool_objsize = 4096 },
	};
	struct nm a = { .reg.nr_mode = NR_REG_ALL_NIC }, b = up("vale%:b");

	WORKS(bind_port(&a, "vale%:a", &ext));
	EQ(option.nro_opt.nro_status, 0);
	a.nifp = NETMAP_IF(memory, a.reg.nr_offset);
	put_frame(txr(&b, 0), 255, 2, 300, 78);
	txsync(&b);
	rxsync(&a);
	EQ(rxr(&a, 0)->slot[0].ptr & rxr(&a, 0)->offset_mask, 2500);
	EQ(frame_number(at_offset(rxr(&a, 0), 0)), 78);
}
