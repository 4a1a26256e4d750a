// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost_rings.c - lies in virtqueues: facts/vm-attach.md 5.3 B.
#include "hostile_vhost.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum {
	END = 2 * HALF,		 /* of memory */
	TABLE = SPARE + MIB / 2, /* of an indirect descriptor */
};

/* A variant: what is written, and what must come of it. */
struct variant {
	const char *name;
	unsigned outcomes;
	unsigned n;
	uint16_t head;
	struct lie d[3];
};

/* Descriptors that the guest's driver lets the device read. */
static void lie_tx(struct attack *a, const struct variant *v)
{
	life_attached(a, v->name);
	lie(a, fe_tx(&a->fe, 0), v->d, v->n, v->head);
	if (v->outcomes == GOOD) {
		lie_returned(a, fe_tx(&a->fe, 0), v->n);
		good(a);
	} else {
		expect(a, v->outcomes);
	}
}

/* The same for it to write: it shows when packets come. */
static void lie_rx(struct attack *a, const struct variant *v)
{
	struct lie d[3];

	for (unsigned i = 0; i < 3; i++) {
		d[i] = v->d[i];
		d[i].flags ^= FE_WRITE;
	}
	life_empty(a, v->name);
	lie(a, fe_rx(&a->fe, 0), d, v->n, v->head);
	provoke(a, 4);
	if (v->outcomes == GOOD)
		survived(a);
	else
		expect(a, v->outcomes);
}

static void lie_both(struct attack *a, const struct variant *v)
{
	for (; v->name; v++) {
		lie_tx(a, v);
		lie_rx(a, v);
	}
}

static bool packed(const struct attack *a)
{
	return a->config.features & FE_BIT(FE_F_PACKED);
}

static void b11_head(struct attack *a)
{
	/* The id of a packed ring is what a head is in a split one. */
	static const struct variant v[] = { { "head is size",
					      STOPPED,
					      1,
					      256,
					      { { SPARE, 100, 0, 0, 256 } } },
					    { "head 65535",
					      STOPPED,
					      1,
					      65535,
					      { { SPARE, 100, 0, 0, 65535 } } },
					    { 0 } };

	lie_both(a, v);
}

static void b12_next(struct attack *a)
{
	static const struct variant v[] = {
		{ "next is size",
		  STOPPED,
		  1,
		  0,
		  { { SPARE, 100, FE_NEXT, 256, 0 } } },
		{ "next 65535",
		  STOPPED,
		  1,
		  0,
		  { { SPARE, 100, FE_NEXT, 65535, 0 } } },
		{ 0 }
	};

	if (!packed(a))
		lie_both(a, v);
}

static void b13_cycle(struct attack *a)
{
	static const struct variant v[] = {
		{ "next is itself",
		  STOPPED,
		  1,
		  0,
		  { { SPARE, 100, FE_NEXT, 0, 0 } } },
		{ "two that name each other",
		  STOPPED,
		  2,
		  0,
		  { { SPARE, 100, FE_NEXT, 1, 0 },
		    { SPARE, 100, FE_NEXT, 0, 0 } } },
		{ "empty ones that name each other",
		  STOPPED,
		  2,
		  0,
		  { { SPARE, 0, FE_NEXT, 1, 0 },
		    { SPARE, 0, FE_NEXT, 0, 0 } } },
		{ 0 }
	};
	struct lie all[256];

	if (!packed(a)) {
		lie_both(a, v);
		return;
	}
	for (unsigned i = 0; i < 256; i++)
		all[i] = (struct lie){ SPARE, i % 2, FE_NEXT, 0, 0 };
	life_attached(a, "a chain without end");
	lie(a, fe_tx(&a->fe, 0), all, 256, 0);
	expect(a, STOPPED);
}

/* An indirect table of n entries, in the format of the ring. */
static void table(struct attack *a, const struct lie *d, unsigned n)
{
	struct fe_split_desc *split = fe_at(&a->fe, TABLE, 16 * n);
	struct fe_packed_desc *p = (void *)split;

	for (unsigned i = 0; i < n; i++)
		if (packed(a))
			p[i] = (struct fe_packed_desc){ d[i].addr, d[i].len,
							d[i].id, d[i].flags };
		else
			split[i] = (struct fe_split_desc){ d[i].addr, d[i].len,
							   d[i].flags,
							   d[i].next };
}

static void lie_table(struct attack *a, const char *variant, unsigned outcomes,
		      const struct lie *d, unsigned n)
{
	const struct lie ring = { TABLE, 16 * n, FE_INDIRECT, 0, 0 };

	life_attached(a, variant);
	table(a, d, n);
	lie(a, fe_tx(&a->fe, 0), &ring, 1, 0);
	if (outcomes == GOOD) {
		lie_returned(a, fe_tx(&a->fe, 0), 1);
		good(a);
	} else {
		expect(a, outcomes);
	}
}

static void b14_indirect(struct attack *a)
{
	static const struct variant v[] = {
		{ "table of 17 bytes",
		  STOPPED,
		  1,
		  0,
		  { { TABLE, 17, FE_INDIRECT, 0, 0 } } },
		{ "table of 15 bytes",
		  STOPPED,
		  1,
		  0,
		  { { TABLE, 15, FE_INDIRECT, 0, 0 } } },
		{ "table of nothing",
		  STOPPED,
		  1,
		  0,
		  { { TABLE, 0, FE_INDIRECT, 0, 0 } } },
		{ "table longer than the ring",
		  STOPPED,
		  1,
		  0,
		  { { TABLE, 257 * 16, FE_INDIRECT, 0, 0 } } },
		{ "table of 4 GiB",
		  STOPPED,
		  1,
		  0,
		  { { TABLE, 0xfffffff0, FE_INDIRECT, 0, 0 } } },
		{ "table across two regions",
		  STOPPED,
		  1,
		  0,
		  { { HALF - 16, 32, FE_INDIRECT, 0, 0 } } },
		{ "table past the end",
		  STOPPED,
		  1,
		  0,
		  { { END - 16, 32, FE_INDIRECT, 0, 0 } } },
		{ "table that wraps",
		  STOPPED,
		  1,
		  0,
		  { { UINT64_MAX - 15, 32, FE_INDIRECT, 0, 0 } } },
		{ "table and next",
		  STOPPED,
		  2,
		  0,
		  { { TABLE, 16, FE_INDIRECT | FE_NEXT, 1, 0 },
		    { SPARE, 100, 0, 0, 0 } } },
		{ 0 }
	};
	static const struct lie nested = { TABLE, 16, FE_INDIRECT, 0, 0 };
	static const struct lie loop[] = { { SPARE, 9, FE_NEXT, 1, 0 },
					   { SPARE, 9, FE_NEXT, 0, 0 } };
	static const struct lie out = { SPARE, 9, FE_NEXT, 1, 0 };
	static const struct lie fine[] = { { SPARE, 100, FE_NEXT, 1, 0 },
					   { SPARE, 100, 0, 0, 0 } };

	for (const struct variant *p = v; p->name; p++)
		lie_tx(a, p);
	lie_table(a, "table in a table", STOPPED, &nested, 1);
	if (!packed(a)) {
		lie_table(a, "loop in a table", STOPPED, loop, 2);
		lie_table(a, "next beyond the table", STOPPED, &out, 1);
	}
	lie_table(a, "nothing wrong", GOOD, fine, 2);
	a->config.features &= ~FE_BIT(FE_F_INDIRECT);
	lie_table(a, "table, not negotiated", STOPPED, fine, 2);
}

static void b15_buffer(struct attack *a)
{
	static const struct variant v[] = {
		{ "buffer across two regions",
		  STOPPED,
		  1,
		  0,
		  { { HALF - 50, 100, 0, 0, 0 } } },
		{ "buffer past the end",
		  STOPPED,
		  1,
		  0,
		  { { END - 50, 100, 0, 0, 0 } } },
		{ "buffer behind the end",
		  STOPPED,
		  1,
		  0,
		  { { END, 100, 0, 0, 0 } } },
		{ "buffer that wraps",
		  STOPPED,
		  1,
		  0,
		  { { UINT64_MAX - 50, 100, 0, 0, 0 } } },
		{ "buffer at the last byte",
		  STOPPED,
		  1,
		  0,
		  { { UINT64_MAX, 1, 0, 0, 0 } } },
		{ "buffer of 4 GiB",
		  STOPPED,
		  1,
		  0,
		  { { SPARE, UINT32_MAX, 0, 0, 0 } } },
		{ "the second of two",
		  STOPPED,
		  2,
		  0,
		  { { SPARE, 100, FE_NEXT, 1, 0 }, { END, 100, 0, 0, 0 } } },
		{ 0 }
	};

	lie_both(a, v);
}

/* Where there is so much memory, a buffer of 4 GiB is no lie; a packet is. */
static void b15_huge(struct attack *a)
{
	const uint64_t size = 5ULL << 30, gpa = 8ULL << 30;
	int fd;

	for (uint32_t cut = 0; cut < 16; cut += 3) {
		struct lie d = { gpa, UINT32_MAX - cut, 0, 0, 0 };

		life(a, "buffer of 4 GiB of memory that is there");
		fd = fe_memfd(&a->fe, size, 0);
		must(a, fd, "memfd");
		must(a, fe_region(&a->fe, fd, 0, size, gpa, 0), "region");
		/* Rings are not to be cut from it. */
		a->fe.region[2].used = size;
		while (fe_connect(&a->fe, a->path) || fe_sync(&a->fe))
			usleep(1000);
		must(a, fe_handshake(&a->fe), "handshake");
		must(a, fe_start(&a->fe), "start");
		exchange(a, 8);
		lie(a, fe_tx(&a->fe, 0), &d, 1, 0);
		lie_returned(a, fe_tx(&a->fe, 0), 1);
		good(a);
	}
}

static void b16_empty(struct attack *a)
{
	static const struct variant v[] = {
		{ "empty buffer", GOOD, 1, 0, { { SPARE, 0, 0, 0, 0 } } },
		{ "empty buffer nowhere", GOOD, 1, 0, { { 0, 0, 0, 0, 0 } } },
		{ "empty buffer far out",
		  GOOD,
		  1,
		  0,
		  { { UINT64_MAX, 0, 0, 0, 0 } } },
		{ "three empty buffers",
		  GOOD,
		  3,
		  0,
		  { { SPARE, 0, FE_NEXT, 1, 0 },
		    { END, 0, FE_NEXT, 2, 0 },
		    { SPARE, 0, 0, 0, 0 } } },
		{ 0 }
	};

	lie_both(a, v);
}

static void b17_header(struct attack *a)
{
	static const struct variant v[] = {
		{ "5 bytes", GOOD, 1, 0, { { SPARE, 5, 0, 0, 0 } } },
		{ "just a header", GOOD, 1, 0, { { SPARE, 12, 0, 0, 0 } } },
		{ "header and a byte", GOOD, 1, 0, { { SPARE, 13, 0, 0, 0 } } },
		{ "5 bytes and 2",
		  GOOD,
		  2,
		  0,
		  { { SPARE, 5, FE_NEXT, 1, 0 }, { SPARE, 2, 0, 0, 0 } } },
		{ "header in three parts",
		  GOOD,
		  3,
		  0,
		  { { SPARE, 1, FE_NEXT, 1, 0 },
		    { SPARE, 10, FE_NEXT, 2, 0 },
		    { SPARE, 100, 0, 0, 0 } } },
		{ 0 }
	};
	struct lie bytes[200];

	lie_both(a, v);
	for (unsigned i = 0; i < 200; i++)
		bytes[i] = (struct lie){ SPARE + i, 1, i < 199 ? FE_NEXT : 0,
					 (uint16_t)(i + 1), 0 };
	life_attached(a, "200 pieces of a byte each");
	lie(a, fe_tx(&a->fe, 0), bytes, 200, 0);
	lie_returned(a, fe_tx(&a->fe, 0), 200);
	good(a);
}

static void b18_write(struct attack *a)
{
	static const struct variant v[] = {
		{ "for the wrong side",
		  STOPPED,
		  1,
		  0,
		  { { SPARE, 100, FE_WRITE, 0, 0 } } },
		{ "the second for the wrong side",
		  STOPPED,
		  2,
		  0,
		  { { SPARE, 100, FE_NEXT, 1, 0 },
		    { SPARE, 100, FE_WRITE, 0, 0 } } },
		{ 0 }
	};

	lie_both(a, v);
}

static void b19_jump(struct attack *a)
{
	static const uint16_t by[] = { 257, 0x7fff, 0x8000, 0xffff };

	for (unsigned i = 0; !packed(a) && i < 4; i++) {
		struct fe_queue *q;
		uint16_t *avail;

		life_attached(a, "avail index jumps");
		q = fe_tx(&a->fe, 0);
		avail = (void *)q->avail;
		__atomic_store_n(&avail[1], q->avail_idx + by[i],
				 __ATOMIC_RELEASE);
		fe_kick_always(q);
		expect(a, STOPPED);
	}
}

/* Where the parts of queue 1 lie, relative to where they should. */
struct placed {
	const char *name;
	int64_t desc, avail, used; /* offsets; NOWHERE and the like */
};

#define NOWHERE INT64_MIN
#define AT_END (INT64_MIN + 1)
#define AT_MAX (INT64_MIN + 2)

static uint64_t place(struct attack *a, uint64_t gpa, int64_t off,
		      uint64_t back)
{
	if (off == NOWHERE)
		return 0x1000;
	if (off == AT_MAX)
		return UINT64_MAX - back + 1;
	if (off == AT_END)
		return fe_uva(&a->fe, END - back);
	return fe_uva(&a->fe, gpa) + (uint64_t)off;
}

static void set_up(struct attack *a, const struct placed *p)
{
	struct fe_queue *q = fe_tx(&a->fe, 0);
	struct fe_vring_state num = { 1, q->size }, base = { 1, q->base };
	struct fe_vring_addr addr = {
		.index = 1,
		.desc = place(a, q->desc_gpa, p->desc, 256),
		.avail = place(a, q->avail_gpa, p->avail, 2),
		.used = place(a, q->used_gpa, p->used, 2),
		.log = UINT64_MAX,
	};
	uint64_t index = 1;

	must(a,
	     fe_message(&a->fe, FE_SET_VRING_NUM, 0, &num, sizeof(num), NULL,
			0),
	     "num");
	fe_message(&a->fe, FE_SET_VRING_BASE, 0, &base, sizeof(base), NULL, 0);
	refused(a, fe_set(&a->fe, FE_SET_VRING_ADDR, &addr, sizeof(addr), NULL,
			  0));
	refused(a, fe_set(&a->fe, FE_SET_VRING_KICK, &index, sizeof(index),
			  &q->kick_fd, 1));
	fe_enable(&a->fe, 1, true);
	fe_kick_always(q);
}

static void b20_placed(struct attack *a)
{
	static const struct placed v[] = {
		{ "descriptors at an odd address", 1, 0, 0 },
		{ "descriptors half a one on", 8, 0, 0 },
		{ "avail at an odd address", 0, 1, 0 },
		{ "used at an odd address", 0, 0, 2 },
		{ "descriptors past the end", AT_END, 0, 0 },
		{ "avail past the end", 0, AT_END, 0 },
		{ "used past the end", 0, 0, AT_END },
		{ "descriptors that wrap", AT_MAX, 0, 0 },
		{ "avail that wraps", 0, AT_MAX, 0 },
		{ "used that wraps", 0, 0, AT_MAX },
		{ "descriptors nowhere", NOWHERE, 0, 0 },
		{ "avail nowhere", 0, NOWHERE, 0 },
		{ "used nowhere", 0, 0, NOWHERE },
	};

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		life_handshaken(a, v[i].name);
		must(a, fe_negotiate(&a->fe), "negotiate");
		must(a, fe_share_memory(&a->fe), "memory");
		set_up(a, &v[i]);
		survived(a);
	}
}

/* All parts of a ring in one place, which are also buffers. */
static void b20_overlap(struct attack *a)
{
	static const struct placed none = { "", 0, 0, 0 };
	struct fe_queue *q;

	life_handshaken(a, "rings and buffers are the same memory");
	q = fe_tx(&a->fe, 0);
	q->avail_gpa = q->used_gpa = q->desc_gpa;
	must(a, fe_negotiate(&a->fe), "negotiate");
	must(a, fe_share_memory(&a->fe), "memory");
	set_up(a, &none);
	for (unsigned i = 0; i < scaled(a, 3000, 100); i++) {
		uint32_t *words = (void *)q->desc;
		struct fe_split_desc *d = (void *)q->desc;

		d[below(256)] = (struct fe_split_desc){
			q->desc_gpa + below(4000), below(200),
			(uint16_t)(below(4) ? 0 : rnd()), (uint16_t)below(256)
		};
		__atomic_store_n(&words[below(1024)], (uint32_t)rnd(),
				 __ATOMIC_RELAXED);
		fe_kick_always(q);
	}
	survived(a);
	/* And the receiver's: glend writes packets over its own ring. */
	for (unsigned i = 0; i < scaled(a, 20, 4); i++) {
		struct lie d = { 0, 4096, FE_WRITE, 0, 0 };

		life_empty(a, "packets are written over the ring");
		d.addr = fe_rx(&a->fe, 0)->desc_gpa;
		lie(a, fe_rx(&a->fe, 0), &d, 1, 0);
		d.addr = fe_rx(&a->fe, 0)->used_gpa & ~4095ULL;
		lie(a, fe_rx(&a->fe, 0), &d, 1, 0);
		provoke(a, 64);
		survived(a);
	}
}

static void b21_num(struct attack *a)
{
	static const uint32_t nums[] = { 0,	3,	 257,	    32769,
					 65536, 1 << 20, 0x10100,   UINT32_MAX,
					 2,	1,	 0x80000000 };

	for (unsigned i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
		struct fe_vring_state num = { 1, nums[i] };

		life_handshaken(a, "odd number of descriptors");
		must(a, fe_negotiate(&a->fe), "negotiate");
		must(a, fe_share_memory(&a->fe), "memory");
		refused(a, fe_set(&a->fe, FE_SET_VRING_NUM, &num, sizeof(num),
				  NULL, 0));
		fe_vring_addr(&a->fe, 1, 0);
		fe_queue_start(&a->fe, 0);
		survived(a);
		life_attached(a, "the number changes while it runs");
		refused(a, fe_set(&a->fe, FE_SET_VRING_NUM, &num, sizeof(num),
				  NULL, 0));
		provoke(a, 64);
		survived(a);
	}
}

/* Moves the descriptors of queue 1 so that the memory ends behind them. */
static void move_to_end(struct attack *a)
{
	struct fe_queue *q = fe_tx(&a->fe, 0);

	q->desc_gpa = END - 16ULL * q->size;
	q->desc = fe_at(&a->fe, q->desc_gpa, 16ULL * q->size);
}

/* Indexes that were good for the ring before lie behind the end of this. */
static void b21_format(struct attack *a)
{
	struct fe_vring_state num = { 1, 4 };

	a->config.queue_size = 4096;
	life_handshaken(a, "the format of the ring changes while it runs");
	move_to_end(a);
	must(a, fe_start(&a->fe), "start");
	exchange(a, 3000);
	fe_set_u64(&a->fe, FE_SET_FEATURES,
		   a->fe.features ^ FE_BIT(FE_F_PACKED));
	fe_kick_always(fe_tx(&a->fe, 0));
	provoke(a, 4);
	expect(a, HANGUP);
	life_handshaken(a, "the ring shrinks while it is disabled");
	move_to_end(a);
	must(a, fe_start(&a->fe), "start");
	exchange(a, 3000);
	fe_enable(&a->fe, 1, false);
	fe_message(&a->fe, FE_SET_VRING_NUM, 0, &num, sizeof(num), NULL, 0);
	fe_tx(&a->fe, 0)->desc_gpa = END - 64;
	fe_vring_addr(&a->fe, 1, 0);
	fe_enable(&a->fe, 1, true);
	fe_kick_always(fe_tx(&a->fe, 0));
	/* A split ring's indexes are good for any size. */
	if (packed(a))
		expect(a, STOPPED);
	else
		survived(a);
}

/* A thread that rewrites what glend reads while it reads it. */
struct race {
	struct attack *a;
	struct fe_queue *q;
	uint64_t seed;
	_Atomic bool stop;
};

/* It is meant to race; clang would instrument atomic accesses all the same. */
#if defined(__clang__)
#define NO_TSAN __attribute__((disable_sanitizer_instrumentation))
#else
#define NO_TSAN __attribute__((no_sanitize("thread")))
#endif

/* A descriptor for just a few cycles: addresses, lengths, flags, ids. */
static uint64_t spoilt(struct race *r, uint64_t word, bool address)
{
	if (address)
		return below(2) ? rnd() : END - below(4096);
	switch (below(4)) {
	case 0:
		return (word & ~0xffffffffULL) | (uint32_t)rnd();
	case 1:
		return word ^ 1ULL << (32 + below(32));
	case 2:
		return word ^ 0x8080ULL << (r->q->packed ? 48 : 32);
	default:
		return rnd();
	}
}

static NO_TSAN void *race(void *arg)
{
	struct race *r = arg;
	struct fe_queue *q = r->q;

	rnd_thread(r->seed);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		unsigned at = below(2 * q->size);
		uint64_t *word = (uint64_t *)(void *)q->desc + at;
		uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
		uint32_t *hdr = (void *)(q->bufs + 2048ULL * below(q->n_bufs));

		__atomic_store_n(word, spoilt(r, old, !(at & 1)),
				 __ATOMIC_RELAXED);
		__atomic_store_n(&hdr[below(3)], (uint32_t)rnd(),
				 __ATOMIC_RELAXED);
		for (unsigned i = 0; i < 50; i++)
			__asm__ __volatile__("" ::: "memory");
		/* Back, unless glend wrote it meanwhile. */
		if (below(16))
			__atomic_store_n(word, old, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* One life of it. Bytes behind the descriptors of a packed ring are nobody's.
 */
static void race_once(struct attack *a, struct fe_queue *q)
{
	struct race r = { .a = a, .q = q, .seed = rnd() };
	pthread_t thread;
	uint8_t *behind = q->avail + 64;
	uint64_t n_behind = q->used_gpa - q->avail_gpa - 64;

	if (pthread_create(&thread, NULL, race, &r))
		fail(a, "cannot make a thread");
	for (unsigned i = 0; i < 200; i++) {
		provoke(a, 32);
		consume(a);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	for (unsigned i = 0; q->packed && i < n_behind; i++)
		if (behind[i])
			fail(a, "glend wrote behind a ring");
}

static void b22_race(struct attack *a)
{
	static const unsigned sizes[] = { 256, 4, 16 };
	unsigned n = scaled(a, 60, 6);

	a->config.features |= FE_FEATURES_OFFLOADS;
	for (unsigned i = 0; i < n; i++) {
		a->config.queue_size = sizes[i % 3];
		a->config.no_fill = false;
		a->config.indirect = i % 4 == 3;
		life_handshaken(a, i % 2 ? "sent while it is rewritten" :
					   "received while it is rewritten");
		must(a, fe_start(&a->fe), "start");
		race_once(a, i % 2 ? fe_tx(&a->fe, 0) : fe_rx(&a->fe, 0));
		survived(a);
	}
}

static void b23_garbage(struct attack *a)
{
	unsigned n = scaled(a, 100, 10);

	for (unsigned i = 0; i < n; i++) {
		struct fe_queue *q;
		uint64_t *word;

		life_attached(a, "random words for descriptors");
		q = i % 2 ? fe_tx(&a->fe, 0) : fe_rx(&a->fe, 0);
		word = (void *)q->desc;
		for (unsigned k = 0; k < 2 * q->size; k++)
			__atomic_store_n(&word[k],
					 k % 2 || below(4) ? rnd() :
							     SPARE + below(MIB),
					 __ATOMIC_RELAXED);
		word = (void *)q->avail;
		for (unsigned k = 0; !q->packed && k < q->size / 4; k++)
			__atomic_store_n(&word[k], rnd(), __ATOMIC_RELAXED);
		fe_kick_always(q);
		provoke(a, 64);
		survived(a);
	}
}

static NO_TSAN void *events(void *arg)
{
	struct race *r = arg;
	struct fe_queue *q = r->q;
	uint16_t *word = (void *)q->avail;
	unsigned at = q->packed ? 0 : 2 + q->size;

	rnd_thread(r->seed);
	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		__atomic_store_n(&word[at], (uint16_t)rnd(), __ATOMIC_RELAXED);
		if (q->packed)
			__atomic_store_n(&word[1], (uint16_t)rnd(),
					 __ATOMIC_RELAXED);
		else
			__atomic_store_n(&word[0], (uint16_t)below(2),
					 __ATOMIC_RELAXED);
	}
	return NULL;
}

static void b24_events(struct attack *a)
{
	for (unsigned i = 0; i < 2; i++) {
		struct race r = { .a = a, .seed = rnd() };
		pthread_t thread;

		life_attached(a, "random words for the event index");
		r.q = i ? fe_tx(&a->fe, 0) : fe_rx(&a->fe, 0);
		if (pthread_create(&thread, NULL, events, &r))
			fail(a, "cannot make a thread");
		exchange(a, scaled(a, 2000, 200));
		atomic_store(&r.stop, true);
		pthread_join(thread, NULL);
		good(a);
	}
}

static void b25_removed(struct attack *a)
{
	/* The rings lie in the last region. */
	life_attached(a, "memory of running rings is removed");
	provoke(a, 32);
	refused(a, fe_slot_message(&a->fe, FE_REM_MEM_REG, 1));
	provoke(a, 32);
	survived(a);
	a->config.not_protocol = FE_BIT(FE_P_MEM_SLOTS);
	life_attached(a, "a table without the memory of running rings");
	provoke(a, 32);
	a->fe.n_regions = 1;
	refused(a, fe_table_message(&a->fe));
	a->fe.n_regions = 2;
	provoke(a, 32);
	survived(a);
}

const struct hostile_case ring_cases[] = {
	{ "B11-head", b11_head, true },
	{ "B12-next", b12_next, false },
	{ "B13-cycle", b13_cycle, true },
	{ "B14-indirect", b14_indirect, true },
	{ "B15-buffer", b15_buffer, true },
	{ "B15-huge", b15_huge, true },
	{ "B16-empty", b16_empty, true },
	{ "B17-header", b17_header, true },
	{ "B18-write", b18_write, true },
	{ "B19-jump", b19_jump, false },
	{ "B20-placed", b20_placed, true },
	{ "B20-overlap", b20_overlap, true },
	{ "B21-num", b21_num, true },
	{ "B21-format", b21_format, true },
	{ "B22-race", b22_race, true },
	{ "B23-garbage", b23_garbage, true },
	{ "B24-events", b24_events, true },
	{ "B25-removed", b25_removed, true },
	{ 0 },
};
