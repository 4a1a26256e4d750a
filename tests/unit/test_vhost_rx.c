// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_rx.c - packets out of virtqueues: every layout, drops, offloads.
#include "vhost_rig.h"

enum { PIECES = 80, KEPT = 1024, LEN_MAX = 4000 };

/* A chain and what is to become of it. */
struct shape {
	unsigned n;
	uint32_t piece[PIECES];
	bool indirect;
	uint8_t hdr[VHOST_HDR_LEN];
	uint32_t len;	/* of the packet */
	enum drop drop; /* DROP_N: none */
	struct offload off;
};

typedef void shape_fn(const struct vq *v, struct shape *s);

static struct vq v;
static struct shape kept[KEPT]; /* of chains that are under way */
static uint64_t drops[DROP_N];	/* expected */

static void send(uint32_t seq, shape_fn *fn)
{
	struct shape *s = &kept[seq % KEPT];
	uint8_t flat[VHOST_HDR_LEN + LEN_MAX];

	memset(s, 0, sizeof(*s));
	s->drop = DROP_N;
	fn(&v, s);
	memcpy(flat, s->hdr, sizeof(s->hdr));
	vq_fill(flat + v.r.hdr_len, s->len, seq);
	vq_send(&v, flat, s->piece, s->n, s->indirect);
}

static unsigned segs_of(const struct shape *s)
{
	uint32_t at = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++) {
		at += s->piece[i];
		n += s->piece[i] && at > v.r.hdr_len;
	}
	return n;
}

/* Packet i of the batch is number seq. */
static void check(unsigned i, uint32_t seq)
{
	const struct shape *s = &kept[seq % KEPT];
	static const struct offload none;
	uint8_t got[LEN_MAX], want[LEN_MAX];

	assert_int_equal(v.b.len[i], s->len);
	assert_int_equal(v.b.n_seg[i], segs_of(s));
	vq_packet(&v, i, got);
	vq_fill(want, s->len, seq);
	assert_memory_equal(got, want, s->len);
	assert_memory_equal(v.b.offloads ? &v.b.off[i] : &none, &s->off,
			    sizeof(none));
}

/* One rx() and its rx_done(). Returns how many chains that were. */
static unsigned turn(uint32_t seq)
{
	unsigned used = vq_rx(&v), i = 0;
	uint32_t id, len;

	assert_true(used <= BATCH_MAX);
	for (unsigned k = 0; k < used; k++) {
		const struct shape *s = &kept[(seq + k) % KEPT];

		if (s->drop == DROP_N)
			check(i++, seq + k);
		else
			drops[s->drop]++;
	}
	assert_int_equal(i, v.b.n);
	/* Nothing is given back while the packets are being copied. */
	assert_false(guest_used(&v.g, &id, &len));
	vq_rx_done(&v);
	guest_take_empty(&v.g, used);
	assert_int_equal(v.saved.used, v.g.used_idx);
	assert_int_equal(v.saved.avail, v.g.used_idx);
	if (v.g.packed)
		assert_int_equal(v.saved.used_wrap, v.g.used_wrap);
	return used;
}

/* Sends total chains, at most burst at a time, and takes them. */
static void pump(uint32_t total, unsigned burst, shape_fn *fn)
{
	uint32_t sent = 0, got = 0;

	memset(drops, 0, sizeof(drops));
	memset(&v.counters, 0, sizeof(v.counters));
	while (got < total) {
		unsigned n = 1 + rnd(burst);

		for (; n && sent < total && guest_fits(&v.g, PIECES); n--)
			send(sent++, fn);
		guest_show(&v.g);
		do {
			unsigned used = turn(got);

			assert_true(used > 0);
			got += used;
		} while (v.g.n_chains > burst);
		assert_null(vq_reason(&v));
		if (!v.g.n_chains)
			guest_rewind(&v.g);
	}
	assert_int_equal(vq_rx(&v), 0);
	assert_memory_equal(v.counters.drops, drops, sizeof(drops));
}

static void one_piece(const struct vq *q, struct shape *s)
{
	s->len = 1 + rnd(100);
	s->n = 1;
	s->piece[0] = q->r.hdr_len + s->len;
}

/* Single descriptors through rings of a size, over all wraps. */
static void simple(struct vq_kind kind)
{
	uint32_t total = kind.size < 1000 ? 3 * kind.size + 600 :
					    2 * kind.size + 600;
	uint32_t sent = 0, got = 0;

	vq_open(&v, VQ_IN, &kind);
	while (got < total) {
		for (unsigned n = 1 + rnd(400); n && guest_fits(&v.g, 1); n--)
			send(sent++, one_piece);
		guest_show(&v.g);
		while (got < sent) {
			unsigned want = sent - got;

			assert_int_equal(turn(got),
					 want < BATCH_MAX ? want : BATCH_MAX);
			got += want < BATCH_MAX ? want : BATCH_MAX;
			assert_true(v.b.identity && !v.b.multi_seg);
		}
		assert_int_equal(vq_rx(&v), 0);
		guest_rewind(&v.g);
	}
	assert_null(vq_reason(&v));
	vq_close(&v);
}

static void all_sizes(void **state)
{
	static const uint16_t packed[] = { 1,	2,   3,	   7,	  255,	256,
					   257, 300, 1000, 32767, 32768 };

	for (uint32_t size = 1; size <= VHOST_RING_MAX; size *= 2)
		simple((struct vq_kind){ .size = size, .start = 65500 });
	for (unsigned i = 0; i < sizeof(packed) / 2; i++) {
		simple((struct vq_kind){ .packed = true, .size = packed[i] });
		simple((struct vq_kind){ .packed = true,
					 .size = packed[i],
					 .start = packed[i] - 1,
					 .wrap_low = true });
	}
}

/* Cuts len bytes into n pieces that are not empty, behind what there is. */
static void cut(struct shape *s, uint32_t len, unsigned n)
{
	for (; n; n--) {
		uint32_t max = len - (n - 1);
		uint32_t piece = n == 1 ? len : 1 + rnd(max < 60 ? max : 60);

		s->piece[s->n++] = piece;
		len -= piece;
	}
}

/* Anything that is a packet, or has too many segments. */
static void any_shape(const struct vq *q, struct shape *s)
{
	uint32_t hdr_len = q->r.hdr_len;
	unsigned n = 1 + (rnd(4) ? rnd(5) : rnd(65));

	s->len = n + rnd(1500);
	switch (rnd(5)) {
	case 0:
		one_piece(q, s);
		break;
	case 1: /* a header of its own */
		cut(s, hdr_len, 1);
		cut(s, s->len, n);
		break;
	case 2: /* one that is spread */
		cut(s, hdr_len, 2 + rnd(hdr_len - 2));
		cut(s, s->len, n < 20 ? n : 20);
		break;
	case 3: /* its end and the packet's begin in one piece */
		cut(s, hdr_len - 3, 1 + rnd(3));
		cut(s, s->len + 3, 1);
		break;
	default: /* the packet follows at once */
		cut(s, s->len, n);
		s->piece[0] += hdr_len;
		break;
	}
	if (!rnd(4) && s->n < PIECES) /* an empty one at the end */
		s->piece[s->n++] = 0;
	s->indirect = rnd(2);
	s->drop = segs_of(s) > PACKET_SEGS_MAX ? DROP_IN_SEGMENTS : DROP_N;
}

static void all_shapes(void **state)
{
	static const uint16_t sizes[][2] = { { 128, 128 },
					     { 256, 300 },
					     { 1024, 999 } };

	for (unsigned i = 0; i < 3; i++) {
		FOR_KINDS(kind, .start = 90)
		{
			kind.size = sizes[i][kind.packed];
			vq_open(&v, VQ_IN, &kind);
			v.r.hdr_len = i == 1 ? 10 : 12;
			pump(3000, 60, any_shape);
			vq_close(&v);
		}
	}
}

static unsigned wanted; /* segments */
static bool own_header, wanted_indirect;

static void wanted_shape(const struct vq *q, struct shape *s)
{
	s->len = 1000;
	if (own_header)
		cut(s, q->r.hdr_len, 1);
	cut(s, s->len, wanted);
	if (!own_header)
		s->piece[0] += q->r.hdr_len;
	s->indirect = wanted_indirect;
	s->drop = wanted > PACKET_SEGS_MAX ? DROP_IN_SEGMENTS : DROP_N;
}

/* Each number of segments by itself, and batches of more than BATCH_SEGS. */
static void all_segments(void **state)
{
	FOR_KINDS(kind, .size = 1024, .start = 1000)
	{
		vq_open(&v, VQ_IN, &kind);
		for (wanted = 1; wanted <= 65; wanted++) {
			for (unsigned how = 0; how < 4; how++) {
				own_header = how & 1;
				wanted_indirect = how & 2;
				pump(15, 15, wanted_shape);
			}
		}
		vq_close(&v);
	}
}

/* What the guest has given is not written to. */
static void writes_nothing(void **state)
{
	FOR_KINDS(kind, .size = 512)
	{
		vq_open(&v, VQ_IN, &kind);
		for (unsigned i = 0; i < 40 && guest_fits(&v.g, PIECES); i++)
			send(i, any_shape);
		guest_show(&v.g);
		guest_remember(&v.g);
		for (unsigned got = 0; v.g.n_chains;)
			got += turn(got);
		guest_unchanged(&v.g);
		vq_close(&v);
	}
}

static void runt_shape(const struct vq *q, struct shape *s)
{
	uint32_t len = rnd(q->r.hdr_len + 1);

	s->n = 1;
	s->piece[0] = len;
	if (len > 2 && rnd(2)) {
		s->n = 2;
		s->piece[0] = 2;
		s->piece[1] = len - 2;
	}
	s->indirect = rnd(2);
	s->drop = DROP_IN_RUNT;
	if (!rnd(3)) {
		memset(s, 0, sizeof(*s));
		s->drop = DROP_N;
		one_piece(q, s);
	}
}

static void runts(void **state)
{
	FOR_KINDS(kind, .size = 256, .start = 77)
	{
		vq_open(&v, VQ_IN, &kind);
		pump(2000, 100, runt_shape);
		vq_close(&v);
	}
}

/* Packets of the greatest length, and one byte more. */
static void too_long(void **state)
{
	FOR_KINDS(kind, .size = 16)
	{
		uint64_t gpa;

		vq_open(&v, VQ_IN, &kind);
		gpa = guest_alloc(&v.g, PACKET_LEN_MAX / 2 + 20, 1);
		memset(guest_ptr(&v.g, gpa), 0, 12);
		for (unsigned more = 0; more < 2; more++) {
			struct guest_buf two[] = {
				{ gpa, PACKET_LEN_MAX / 2 + 12, false },
				{ gpa, PACKET_LEN_MAX / 2 + more, false },
			};

			guest_add(&v.g, two, 2, false);
		}
		guest_show(&v.g);
		assert_int_equal(vq_rx(&v), 2);
		assert_int_equal(v.b.n, 1);
		assert_int_equal(v.b.len[0], PACKET_LEN_MAX);
		assert_int_equal(v.counters.drops[DROP_IN_TOO_LONG], 1);
		assert_int_equal(v.counters.packets, 1);
		vq_rx_done(&v);
		guest_take_empty(&v.g, 2);
		vq_close(&v);
	}
}

/*
 * DPDK's virtio-user marks the header as writable in packed indirect tables:
 * such a packet once stopped the virtqueue.
 */
static void writable_headers(void **state)
{
	const struct vq_kind kind = { .packed = true, .size = 16 };
	struct guest_buf buf[2];

	vq_open(&v, VQ_IN, &kind);
	for (unsigned i = 0; i < 2; i++)
		buf[i] = (struct guest_buf){ guest_alloc(&v.g, 60, 1), 60,
					     false };
	buf[0].len = v.r.hdr_len;
	buf[0].write = true;
	memset(guest_ptr(&v.g, buf[0].gpa), 0, 60);
	vq_fill(guest_ptr(&v.g, buf[1].gpa), 60, 7);
	guest_add(&v.g, buf, 2, true);
	guest_show(&v.g);
	assert_int_equal(vq_rx(&v), 1);
	assert_int_equal(v.b.n, 1);
	assert_int_equal(v.b.len[0], 60);
	vq_rx_done(&v);
	vq_close(&v);
}

/* The sum of the lengths has more than 32 bits, and its lower half is small. */
static void a_long_sum(void **state)
{
	static struct {
		struct vhost_mem mem;
		struct vhost_region region;
	} huge;
	const uint64_t size = 1ULL << 33;

	huge.mem.n = 1;
	huge.region = (struct vhost_region){ .gpa = 1ULL << 40, .size = size };
	/* It must not be touched. */
	huge.region.base = guest_map(GUEST_PAGE, 0) + GUEST_PAGE;
	FOR_KINDS(kind, .size = 256)
	{
		struct guest_buf buf[64];

		vq_open(&v, VQ_IN, &kind);
		v.r.mem = &huge.mem;
		for (unsigned i = 0; i < 64; i++)
			buf[i] = (struct guest_buf){ 1ULL << 40, 1U << 31,
						     false };
		guest_add(&v.g, buf, 64, false);
		buf[63].len = 100;
		guest_add(&v.g, buf + 61, 3, false);
		guest_show(&v.g);
		assert_int_equal(vq_rx(&v), 2);
		assert_int_equal(v.b.n, 0);
		assert_int_equal(v.counters.drops[DROP_IN_TOO_LONG], 2);
		vq_rx_done(&v);
		guest_take_empty(&v.g, 2);
		vq_close(&v);
	}
	guest_unmap(huge.region.base - GUEST_PAGE, GUEST_PAGE, 0);
}

static unsigned sends;
static bool split_header;

static void offload_shape(const struct vq *q, struct shape *s)
{
	static const uint8_t types[] = { 0,    0,    1,	   3, 4,   5,
					 0x81, 0x84, 0x80, 2, 0x7f };
	uint8_t type = types[rnd(sizeof(types))];
	uint8_t flags = rnd(3) ? 0 : rnd(256);
	unsigned needs = 0;

	one_piece(q, s);
	if (split_header && rnd(2)) {
		s->piece[1] = s->piece[0] - 5;
		s->piece[0] = 5;
		s->n = 2;
	}
	if (rnd(3) == 0) /* nothing to do, but fields that mean nothing */
		type = flags = 0;
	vnet_hdr_put16(s->hdr + 2, 54);
	vnet_hdr_put16(s->hdr + 4, 1448);
	vnet_hdr_put16(s->hdr + 6, 34);
	vnet_hdr_put16(s->hdr + 8, 16);
	vnet_hdr_put16(s->hdr + 10, 0xabcd);
	s->hdr[0] = flags;
	s->hdr[1] = type;
	if (!sends)
		return;
	s->off.flags = flags & 1;
	s->off.gso_type = type;
	if (type) {
		s->off.hdr_len = 54;
		s->off.gso_size = 1448;
	}
	if (flags & 1) {
		s->off.csum_start = 34;
		s->off.csum_offset = 16;
	}
	needs = flags & 1 ? OFFLOAD_CAP_CSUM : 0;
	if ((type & 0x7f) == 1)
		needs |= OFFLOAD_CAP_TSO4 | OFFLOAD_CAP_CSUM;
	else if ((type & 0x7f) == 4)
		needs |= OFFLOAD_CAP_TSO6 | OFFLOAD_CAP_CSUM;
	else if (type == 3)
		needs |= OFFLOAD_CAP_UFO | OFFLOAD_CAP_CSUM;
	else if (type == 5)
		needs |= OFFLOAD_CAP_USO | OFFLOAD_CAP_CSUM;
	else if (type)
		needs |= OFFLOAD_CAP_NONE_HAS;
	if (type > 0x80)
		needs |= OFFLOAD_CAP_ECN;
	if (needs & ~sends)
		s->drop = DROP_IN_BAD_OFFLOAD;
}

static void offloads(void **state)
{
	static const unsigned caps[] = {
		0,
		OFFLOAD_CAP_CSUM,
		OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 | OFFLOAD_CAP_ECN,
		OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO6 | OFFLOAD_CAP_USO,
		OFFLOAD_CAP_ALL,
	};

	for (unsigned i = 0; i < 10; i++) {
		FOR_KINDS(kind, .size = 256)
		{
			vq_open(&v, VQ_IN, &kind);
			v.r.sends = sends = caps[i / 2];
			split_header = i & 1;
			pump(1500, 60, offload_shape);
			vq_close(&v);
		}
	}
}

/* What rx() finds while the queue does not run, and of an announcement. */
static void not_running(void **state)
{
	uint32_t id, len;

	FOR_KINDS(kind, .size = 16)
	{
		vq_open(&v, VQ_IN, &kind);
		send(0, one_piece);
		guest_show(&v.g);
		atomic_store(&v.q.ring, NULL);
		assert_int_equal(vq_rx(&v), 0);
		vq_rx_done(&v);
		assert_false(vhost_hot_test.rx_arm(&v.in));
		vhost_hot_test.rx_disarm(&v.in);
		atomic_store(&v.q.ring, &v.r);
		vq_fail(&v.q, "for the test");
		assert_int_equal(vq_rx(&v), 0);
		vq_rx_done(&v);
		assert_false(vhost_hot_test.rx_arm(&v.in));
		assert_false(guest_used(&v.g, &id, &len));
		vq_close(&v);
	}
}

static void announces(void **state)
{
	static const uint8_t mac[] = { 2, 3, 4, 5, 6, 7 };
	uint8_t want[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 3, 4, 5, 6,
		7,    0x80, 0x35, 0,	1,    8,    0, 6, 4, 0, 3
	};
	uint8_t got[60];

	memcpy(want + 22, mac, 6); /* sender */
	memcpy(want + 32, mac, 6); /* target */
	FOR_KINDS(kind, .size = 16)
	{
		vq_open(&v, VQ_IN, &kind);
		memcpy(v.q.rarp_mac, mac, 6);
		atomic_store(&v.q.rarp, 2);
		send(0, one_piece);
		guest_show(&v.g);
		for (unsigned i = 0; i < 2; i++) {
			assert_true(vhost_hot_test.rx_arm(&v.in));
			assert_int_equal(vq_rx(&v), 1);
			assert_int_equal(v.b.n, 1);
			assert_int_equal(vq_packet(&v, 0, got), 60);
			assert_memory_equal(got, want, 60);
			vq_rx_done(&v);
			guest_take_empty(&v.g, 0);
		}
		assert_int_equal(turn(0), 1);
		vq_close(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_sizes),
		cmocka_unit_test(all_shapes),
		cmocka_unit_test(all_segments),
		cmocka_unit_test(writes_nothing),
		cmocka_unit_test(runts),
		cmocka_unit_test(too_long),
		cmocka_unit_test(writable_headers),
		cmocka_unit_test(a_long_sum),
		cmocka_unit_test(offloads),
		cmocka_unit_test(not_running),
		cmocka_unit_test(announces),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_rx", tests, NULL, NULL);
}
