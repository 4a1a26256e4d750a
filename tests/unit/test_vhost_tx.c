// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_tx.c - packets into virtqueues: every layout, limits, no room.
#include "vhost_rig.h"

enum { POOL = 4 << 20 };

static struct vq v;
static struct batch b;
static uint8_t pool[POOL]; /* packets of b */
static uint32_t pool_used, next_seq;
static uint32_t seqs[BATCH_MAX]; /* of b's packets */
static uint8_t flat[VHOST_HDR_LEN + PACKET_LEN_MAX];

static void begin(void)
{
	vq_batch(&b);
	pool_used = 0;
}

static void add(uint32_t len, unsigned n_seg)
{
	uint8_t *p = pool + pool_used;

	assert_true(len <= POOL - pool_used);
	pool_used += len;
	seqs[b.n] = next_seq;
	vq_fill(p, len, next_seq++);
	vq_batch_add(&b, p, len, n_seg);
}

/* Receive buffers: one chain. */
static void post(const uint32_t *len, unsigned n, bool indirect)
{
	struct guest_buf buf[256];

	for (unsigned i = 0; i < n; i++)
		buf[i] = (struct guest_buf){ guest_alloc(&v.g, len[i], 1),
					     len[i], true };
	guest_add(&v.g, buf, n, indirect);
}

static void post_one(uint32_t len)
{
	post(&len, 1, false);
	guest_show(&v.g);
}

/* The written part of a chain goes to flat[at]; returns how much it is. */
static uint32_t read_chain_at(const struct guest_chain *c, uint32_t at,
			      uint32_t len)
{
	uint32_t left = len;

	for (unsigned i = 0; i < c->n; i++) {
		uint32_t n = c->buf[i].len < left ? c->buf[i].len : left;

		assert_true(at + n <= sizeof(flat));
		memcpy(flat + at, guest_ptr(&v.g, c->buf[i].gpa), n);
		guest_expect(&v.g, c->buf[i].gpa, c->buf[i].len);
		at += n;
		left -= n;
	}
	assert_int_equal(left, 0);
	return len;
}

static uint32_t chain_room(const struct guest_chain *c)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < c->n; i++)
		sum += c->buf[i].len;
	return sum;
}

/* The next packet that the guest gets is packet i of the batch. */
static void receive(unsigned i)
{
	static uint8_t want[PACKET_LEN_MAX];
	uint8_t hdr[VHOST_HDR_LEN] = { 0 };
	struct guest_chain c = { 0 };
	uint32_t len = 0, total;
	unsigned n = 1;

	assert_true(guest_take(&v.g, &c, &len));
	assert_true(len >= v.r.hdr_len);
	total = read_chain_at(&c, 0, len);
	if (v.r.hdr_len == 12)
		n = flat[10] | flat[11] << 8;
	assert_true(n > 0);
	hdr[10] = n;
	hdr[11] = n >> 8;
	if (!v.r.mergeable)
		assert_int_equal(n, 1);
	for (unsigned k = 1; k < n; k++) {
		/* Only the last one may have room left. */
		assert_int_equal(len, chain_room(&c));
		free(c.buf);
		assert_true(guest_take(&v.g, &c, &len));
		total += read_chain_at(&c, total, len);
	}
	free(c.buf);
	assert_int_equal(total, v.r.hdr_len + b.len[i]);
	if (b.offloads) {
		hdr[0] = b.off[i].flags;
		hdr[1] = b.off[i].gso_type;
		memcpy(hdr + 2, &b.off[i].hdr_len, 8);
	}
	assert_memory_equal(flat, hdr, v.r.hdr_len);
	vq_fill(want, b.len[i], seqs[i]);
	assert_memory_equal(flat + v.r.hdr_len, want, b.len[i]);
}

/* Nothing more came, and nothing else was written to. */
static void no_more(void)
{
	uint32_t id, len;

	assert_false(guest_used(&v.g, &id, &len));
	guest_unchanged(&v.g);
	assert_int_equal(v.saved.used, v.g.used_idx);
	assert_int_equal(v.saved.avail, v.g.used_idx);
	if (v.g.packed)
		assert_int_equal(v.saved.used_wrap, v.g.used_wrap);
	assert_int_equal(v.q.q.reserved, v.q.q.published);
}

static void drops_are(enum drop why, uint64_t n)
{
	assert_int_equal(v.counters.drops[why], n);
}

/* Posts one buffer for each packet of the batch, which must all arrive. */
static void exchange(uint32_t buf_len)
{
	memset(&v.counters, 0, sizeof(v.counters));
	for (unsigned i = 0; i < b.n; i++)
		post_one(buf_len);
	guest_remember(&v.g);
	vq_tx(&v, &b);
	for (unsigned i = 0; i < b.n; i++)
		receive(i);
	no_more();
	assert_int_equal(v.counters.packets, b.n);
	guest_rewind(&v.g);
}

/* Each length near those where copying changes, simple and general. */
static void all_lengths(void **state)
{
	FOR_KINDS(kind, .size = 256, .start = 3)
	{
		for (unsigned how = 0; how < 8; how++) {
			vq_open(&v, VQ_OUT, &kind);
			v.r.mergeable = !(how & 1);
			v.r.hdr_len = how & 1 && how & 2 ? 10 : 12;
			for (uint32_t len = 14; len < 280; len += 14) {
				begin();
				for (uint32_t k = 0; k < 14; k++)
					add(len + k, how & 4 ? 2 : 1);
				exchange(len + 14 + (len & 1 ? 12 : 160));
			}
			vq_close(&v);
		}
	}
}

static void one_size(struct vq_kind kind)
{
	unsigned rounds = kind.size > 4096 ? 2 * kind.size / 256 + 3 : 20;

	vq_open(&v, VQ_OUT, &kind);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned n = kind.size < 200 ? 1 + rnd(kind.size) :
					       150 + rnd(50);

		begin();
		for (unsigned k = 0; k < n; k++)
			add(60 + rnd(60), 1);
		for (unsigned k = 0; k < n; k++)
			post_one(400);
		vq_tx(&v, &b);
		for (unsigned k = 0; k < n; k++)
			receive(k);
		guest_rewind(&v.g);
	}
	guest_remember(&v.g);
	no_more();
	vq_close(&v);
}

static void all_sizes(void **state)
{
	static const uint16_t packed[] = { 1, 2, 3, 7, 255, 257, 300, 32767 };

	for (uint32_t size = 1; size <= VHOST_RING_MAX; size *= 2)
		one_size((struct vq_kind){ .size = size, .start = 65530 });
	for (unsigned i = 0; i < sizeof(packed) / 2; i++)
		one_size((struct vq_kind){ .packed = true,
					   .size = packed[i],
					   .start = packed[i] / 2,
					   .wrap_low = true });
}

/* Headers of up to 128 bytes, as modules may ask for. */
static void long_headers(void **state)
{
	FOR_KINDS(kind, .size = 64)
	{
		vq_open(&v, VQ_OUT, &kind);
		for (unsigned room = 0; room < 2; room++) {
			begin();
			for (unsigned i = 0; i < 40; i++) {
				uint32_t h = 60 + 2 * i;

				h = h < HDR_MAX ? h : HDR_MAX;
				add(60 + 2 * i, 1);
				memset(b.hdr[i], 0, HDR_MAX);
				vq_fill(b.hdr[i], h, seqs[i]);
				b.hdr_len[i] = h;
				b.seg[i].ptr = pool + pool_used - b.len[i] + h;
				b.seg[i].len = b.len[i] - h;
			}
			exchange(room ? 200 : 150);
		}
		vq_close(&v);
	}
}

/* Headers shorter than the packet, as those of segments: the tail of one may
 * be a few bytes. */
static void short_headers(void **state)
{
	FOR_KINDS(kind, .size = 64)
	{
		vq_open(&v, VQ_OUT, &kind);
		for (uint32_t h = 14; h < 64; h++) {
			begin();
			for (unsigned i = 0; i < 60; i++) {
				add(h + i, 1);
				memset(b.hdr[i] + h, 0, HDR_MAX - h);
				b.hdr_len[i] = h;
				b.seg[i].ptr = pool + pool_used - i;
				b.seg[i].len = i;
			}
			exchange(h & 1 ? 200 : 134);
		}
		vq_close(&v);
	}
}

/* Chains as long as a packet, a byte longer and a byte too short. */
static void exact_limits(void **state)
{
	static const uint32_t lens[] = { 60, 64, 65, 127, 128, 129, 500, 1514 };

	FOR_KINDS(kind, .size = 64)
	{
		for (unsigned how = 0; how < 4; how++) {
			uint32_t hdr = how & 1 ? 10 : 12;

			vq_open(&v, VQ_OUT, &kind);
			v.r.mergeable = false;
			v.r.hdr_len = hdr;
			for (unsigned i = 0; i < 8; i++) {
				uint32_t two[] = { hdr, lens[i] };

				begin();
				add(lens[i] + 1, 1);
				add(lens[i], 1);
				memset(&v.counters, 0, sizeof(v.counters));
				if (how & 2)
					post(two, 2, i & 1);
				else
					post_one(hdr + lens[i]);
				guest_show(&v.g);
				guest_remember(&v.g);
				vq_tx(&v, &b);
				/* The first had no room, the second has. */
				receive(1);
				no_more();
				drops_are(DROP_OUT_SEGMENTS, 1);
				assert_int_equal(v.counters.packets, 1);
			}
			vq_close(&v);
		}
	}
}

/* A mergeable packet takes a chain more for its last byte. */
static void exact_merge(void **state)
{
	FOR_KINDS(kind, .size = 64)
	{
		vq_open(&v, VQ_OUT, &kind);
		for (uint32_t len = 986; len <= 990; len++) {
			begin();
			add(len, 1);
			memset(&v.counters, 0, sizeof(v.counters));
			post_one(500);
			post_one(500);
			guest_remember(&v.g);
			vq_tx(&v, &b);
			if (len <= 988) {
				receive(0);
				no_more();
				continue;
			}
			/* Nothing is torn: no byte of it was written. */
			no_more();
			drops_are(DROP_OUT_NO_ROOM, 1);
			post_one(12);
			guest_remember(&v.g);
			vq_tx(&v, &b);
			receive(0);
			no_more();
			assert_int_equal(v.g.n_chains, 0);
		}
		vq_close(&v);
	}
}

/* As much as fits arrives whole, the rest has no room. */
static void big_packets(void **state)
{
	FOR_KINDS(kind, .size = 256, .start = 200)
	{
		unsigned fit = 256 / 43;

		vq_open(&v, VQ_OUT, &kind);
		for (unsigned round = 0; round < 5; round++) {
			begin();
			memset(&v.counters, 0, sizeof(v.counters));
			for (unsigned i = 0; i < 9; i++)
				add(65226, 1 + rnd(17));
			while (v.g.n_chains < 256)
				post_one(1526);
			guest_remember(&v.g);
			vq_tx(&v, &b);
			for (unsigned i = 0; i < fit; i++)
				receive(i);
			no_more();
			assert_int_equal(v.counters.packets, fit);
			assert_int_equal(v.counters.bytes, fit * 65226);
			drops_are(DROP_OUT_NO_ROOM, 9 - fit);
			vq_tx(&v, &b);
			no_more();
			/* What is left is used by the next round. */
			for (unsigned i = 0; i < GUEST_REGIONS; i++)
				v.g.area[i].used = v.g.area[i].used / 2;
			vq_close(&v);
			kind.start = rnd(256);
			vq_open(&v, VQ_OUT, &kind);
		}
		vq_close(&v);
	}
}

/* The longest packet, and one that takes more buffers than we remember. */
static void longest(void **state)
{
	FOR_KINDS(kind, .size = 2048)
	{
		vq_open(&v, VQ_OUT, &kind);
		begin();
		add(PACKET_LEN_MAX, PACKET_SEGS_MAX);
		for (unsigned i = 0; i < 33; i++)
			post_one(4096);
		guest_remember(&v.g);
		vq_tx(&v, &b);
		receive(0);
		no_more();
		for (unsigned i = 0; i < 1000; i++)
			post_one(135);
		guest_remember(&v.g);
		vq_tx(&v, &b);
		drops_are(DROP_OUT_SEGMENTS, 1);
		no_more();
		assert_null(vq_reason(&v));
		vq_close(&v);
	}
}

/*
 * Drivers that merge nothing make chains for 64 KiB, whatever comes: FreeBSD's
 * have 34 descriptors, Linux' up to 47.
 */
static void long_chains(void **state)
{
	FOR_KINDS(kind, .size = 512, .start = 400)
	{
		uint32_t len[47] = { 12 };

		vq_open(&v, VQ_OUT, &kind);
		v.r.mergeable = false;
		for (unsigned i = 1; i < 47; i++)
			len[i] = 2048;
		begin();
		add(60, 1);
		add(65226, 5);
		add(1514, 1);
		for (unsigned i = 0; i < 3; i++)
			post(len, i == 1 ? 34 : 47, i == 2);
		guest_show(&v.g);
		guest_remember(&v.g);
		vq_tx(&v, &b);
		for (unsigned i = 0; i < 3; i++)
			receive(i);
		no_more();
		vq_close(&v);
	}
}

static const struct offload description = {
	.flags = OFFLOAD_NEEDS_CSUM,
	.gso_type = OFFLOAD_GSO_TCPV4,
	.hdr_len = 54,
	.gso_size = 1448,
	.csum_start = 34,
	.csum_offset = 16,
};

static void offloads(void **state)
{
	FOR_KINDS(kind, .size = 256)
	{
		for (unsigned how = 0; how < 4; how++) {
			vq_open(&v, VQ_OUT, &kind);
			v.r.mergeable = !(how & 1);
			v.r.hdr_len = how & 1 ? 10 : 12;
			v.r.takes = how & 2 ? OFFLOAD_CAP_CSUM |
						      OFFLOAD_CAP_TSO4 :
					      OFFLOAD_CAP_CSUM;
			begin();
			for (unsigned i = 0; i < 30; i++) {
				add(3000, 1);
				if (i % 3)
					b.off[i] = description;
				if (i % 3 == 2)
					b.off[i].gso_type = b.off[i].gso_size =
						0;
			}
			b.offloads = true;
			for (unsigned i = 0; i < 30; i++)
				post_one(3012);
			guest_remember(&v.g);
			vq_tx(&v, &b);
			for (unsigned i = 0; i < 30; i++)
				if (i % 3 != 1 || how & 2)
					receive(i);
			no_more();
			drops_are(DROP_OUT_BAD_OFFLOAD, how & 2 ? 0 : 10);
			assert_int_equal(v.counters.packets, how & 2 ? 30 : 20);
			vq_close(&v);
		}
	}
}

/* Without GUEST_CSUM a guest is told nothing of checksums (5.1.6.4.1). */
static void checked_checksums(void **state)
{
	FOR_KINDS(kind, .size = 16)
	{
		vq_open(&v, VQ_OUT, &kind);
		for (unsigned takes = 0; takes < 2; takes++) {
			begin();
			v.r.takes = takes ? OFFLOAD_CAP_CSUM : 0;
			add(100, 1);
			b.offloads = true;
			b.off[0].flags = OFFLOAD_DATA_VALID;
			post_one(1500);
			guest_remember(&v.g);
			vq_tx(&v, &b);
			if (!takes)
				b.off[0].flags = 0;
			receive(0);
			no_more();
		}
		vq_close(&v);
	}
}

static void not_running(void **state)
{
	FOR_KINDS(kind, .size = 16)
	{
		vq_open(&v, VQ_OUT, &kind);
		begin();
		add(100, 1);
		add(100, 1);
		post_one(1500);
		guest_remember(&v.g);
		atomic_store(&v.q.ring, NULL);
		vq_tx(&v, &b);
		drops_are(DROP_OUT_LINK_DOWN, 2);
		atomic_store(&v.q.ring, &v.r);
		vq_fail(&v.q, "for the test");
		vq_tx(&v, &b);
		drops_are(DROP_OUT_LINK_DOWN, 4);
		guest_unchanged(&v.g);
		vq_close(&v);
	}
}

/* The list may leave packets out. */
static void some_of_them(void **state)
{
	static const uint16_t list[] = { 1, 2, 5, 9 };

	FOR_KINDS(kind, .size = 16)
	{
		vq_open(&v, VQ_OUT, &kind);
		begin();
		for (unsigned i = 0; i < 10; i++)
			add(100 + i, 1);
		for (unsigned i = 0; i < 4; i++)
			post_one(1500);
		guest_remember(&v.g);
		vhost_tx_test(&v.out, &v.ctx, &b, list, 4);
		for (unsigned i = 0; i < 4; i++)
			receive(list[i]);
		no_more();
		vq_close(&v);
	}
}

/* What is to become of each packet, from what the guest has posted. */
static void model(bool *arrives, uint64_t drops[DROP_N])
{
	uint32_t at = v.g.first, end = at + v.g.n_chains;
	unsigned i;

	for (i = 0; i < b.n; i++) {
		uint32_t need = v.r.hdr_len + b.len[i], got = 0, c = at;

		arrives[i] = false;
		if (b.offloads && b.off[i].gso_type) {
			drops[DROP_OUT_BAD_OFFLOAD]++;
			continue;
		}
		if (c == end)
			break;
		do
			got += chain_room(&v.g.chain[c++ % v.g.size]);
		while (got < need && c != end && v.r.mergeable);
		if (got < need && v.r.mergeable)
			break;
		if (got < need) {
			drops[DROP_OUT_SEGMENTS]++;
			continue;
		}
		arrives[i] = true;
		at = c;
	}
	for (unsigned k = i; k < b.n; k++)
		arrives[k] = false;
	drops[DROP_OUT_NO_ROOM] += b.n - i;
}

/* Chains of some kind, or of all kinds. */
static void post_random(unsigned kind)
{
	uint32_t len[3];
	unsigned n = kind ? 1 : 1 + rnd(3);

	for (unsigned i = 0; i < n; i++)
		len[i] = kind == 1 ? 1526 : 200 + rnd(1500);
	if (n == 3)
		len[1] = 0;
	if (!guest_fits(&v.g, n))
		return;
	post(len, n, n > 1 && rnd(2));
}

static void random_batch(void)
{
	unsigned n = 1 + rnd(60), kind = rnd(4);

	begin();
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = kind == 0 ? 60 :
			       kind == 1 ? 60 + rnd(1455) :
			       rnd(4)	 ? 60 + rnd(3000) :
					   rnd(66000) + 60;

		add(len, kind > 1 && len > 200 ? 1 + rnd(4) : 1);
		if (kind == 3 && !rnd(4)) {
			b.off[i] = description;
			b.offloads = true;
		}
	}
}

static void random_rounds(unsigned rounds)
{
	bool arrives[BATCH_MAX];

	for (unsigned r = 0; r < rounds; r++) {
		uint64_t drops[DROP_N] = { 0 };
		unsigned n = rnd(v.g.size), kind = rnd(4);

		memset(&v.counters, 0, sizeof(v.counters));
		random_batch();
		for (unsigned i = 0; i < n; i++)
			post_random(kind > 1 ? rnd(2) : kind);
		guest_show(&v.g);
		model(arrives, drops);
		guest_remember(&v.g);
		vq_tx(&v, &b);
		assert_null(vq_reason(&v));
		for (unsigned i = 0; i < b.n; i++)
			if (arrives[i])
				receive(i);
		no_more();
		assert_memory_equal(v.counters.drops, drops, sizeof(drops));
		if (!v.g.n_chains) {
			guest_rewind(&v.g);
			continue;
		}
		/* The rest goes to small packets. */
		begin();
		for (n = 0; n < v.g.n_chains && n < BATCH_MAX; n++)
			add(60, 1);
		vq_tx(&v, &b);
		for (unsigned i = 0; i < n; i++)
			receive(i);
		guest_rewind(&v.g);
	}
}

static void any_mixture(void **state)
{
	static const uint16_t sizes[] = { 16, 64, 256 };

	for (unsigned i = 0; i < 12; i++) {
		FOR_KINDS(kind, .size = sizes[i / 4])
		{
			if (kind.packed)
				kind.size -= 3;
			vq_open(&v, VQ_OUT, &kind);
			v.r.mergeable = i & 1;
			v.r.hdr_len = i & 1 || i & 2 ? 12 : 10;
			v.r.takes = OFFLOAD_CAP_CSUM;
			random_rounds(20);
			vq_close(&v);
			kind.size = sizes[i / 4];
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_lengths),
		cmocka_unit_test(all_sizes),
		cmocka_unit_test(long_headers),
		cmocka_unit_test(short_headers),
		cmocka_unit_test(exact_limits),
		cmocka_unit_test(exact_merge),
		cmocka_unit_test(big_packets),
		cmocka_unit_test(longest),
		cmocka_unit_test(long_chains),
		cmocka_unit_test(offloads),
		cmocka_unit_test(checked_checksums),
		cmocka_unit_test(not_running),
		cmocka_unit_test(some_of_them),
		cmocka_unit_test(any_mixture),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_tx", tests, NULL, NULL);
}
