// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_race.c - a guest that rewrites everything while it is being read.
#include <pthread.h>
#include <sched.h>

#include "vhost_rig.h"

/*
 * A thread scribbles on the whole of a guest's memory and of its virtqueue:
 * mostly what a guest could mean, sometimes anything. The driver takes and
 * delivers meanwhile. Nothing outside of the guest's memory may be touched
 * (what lies around it is not mapped), and what rx() describes must lie in it.
 * A queue that has failed is set up anew somewhere.
 */
enum {
	TABLES = 16,
	TABLE_BYTES = 256,
#ifdef RCU_TSAN
	WORKERS = 1, /* two may be told to write to one place */
#else
	WORKERS = 2,
#endif
	BATCHES = 20,
};

/* What a guest does is not for ThreadSanitizer to see. */
#define GUESTS __attribute__((noinline, no_sanitize("thread")))

static struct vq v;
static _Atomic bool scribbling;
static _Atomic bool phase; /* packed: the wrap counter it mostly says */
static struct random {
	uint64_t x;
} mine;				/* the main thread's */
static uint64_t tables[TABLES]; /* of indirect descriptors */

static uint32_t next(struct random *r)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return r->x >> 32;
}

static uint64_t some_addr(struct random *r, uint32_t len)
{
	const struct guest_area *a = &v.g.area[next(r) % GUEST_REGIONS];
	uint32_t how = next(r) % 1000;

	if (how < 2)
		return (uint64_t)next(r) << 32 | next(r);
	if (how < 4) /* over the end */
		return a->gpa + a->size - next(r) % 100;
	return a->gpa + next(r) % (a->size - len);
}

/* The second word of a descriptor. */
static uint64_t some_rest(struct random *r, uint32_t len)
{
	uint16_t flags = v.later ? F_WRITE : 0;
	uint16_t id = next(r) % v.g.size;
	uint32_t how = next(r) % 1000;

	if (how < 3)
		flags = next(r);
	else if (how < 200)
		flags |= F_NEXT;
	if (how == 999)
		id = next(r);
	if (!v.g.packed)
		return split_rest(len, flags, id);
	if (how == 500)
		phase = !phase;
	flags |= (next(r) % 32 > 0) == phase ? F_AVAIL : F_USED;
	return packed_rest(len, id, flags);
}

GUESTS static void poke16(uint16_t *p, uint16_t value)
{
	*(volatile uint16_t *)p = value;
}

GUESTS static void poke64(uint64_t *p, uint64_t value)
{
	*(volatile uint64_t *)p = value;
}

GUESTS static unsigned peek16(const uint16_t *p)
{
	return *(const volatile uint16_t *)p;
}

/* One descriptor of the ring or of a table. */
static void scribble_desc(struct random *r, uint64_t *desc)
{
	uint32_t len = next(r) % (next(r) % 8 ? 1600 : 60);
	bool table = next(r) % 16 == 0;
	uint64_t rest = some_rest(r, len);

	if (next(r) % 500 == 0)
		rest = (rest >> 32) << 32 | next(r);
	if (!table) {
		poke64(desc, some_addr(r, 1600));
		poke64(desc + 1, rest);
		return;
	}
	rest &= ~((uint64_t)F_NEXT << (v.g.packed ? 48 : 32));
	rest |= (uint64_t)F_INDIRECT << (v.g.packed ? 48 : 32);
	rest = (rest >> 32) << 32 | 16 * (1 + next(r) % (TABLE_BYTES / 16));
	poke64(desc, tables[next(r) % TABLES]);
	poke64(desc + 1, rest);
}

GUESTS static void scribble(struct random *r)
{
	uint32_t how = next(r) % 16;
	uint64_t *table;
	uint32_t at;

	if (how < 8) {
		scribble_desc(r, v.g.desc + 2 * (next(r) % v.g.size));
	} else if (how < 10) {
		at = next(r) % (TABLE_BYTES / 16);
		table = (uint64_t *)guest_ptr(&v.g, tables[next(r) % TABLES]);
		scribble_desc(r, table + 2 * at);
	} else if (how < 12) { /* packets and their headers */
		const struct guest_area *a = &v.g.area[next(r) % 3];

		*(volatile uint8_t *)(a->base + next(r) % a->size) = next(r);
	} else if (v.g.packed) {
		poke16(&v.g.driver[next(r) % 2],
		       next(r) % 3 ? next(r) % 3 : next(r));
	} else if (how < 14) {
		at = next(r) % v.g.size;
		poke16(&v.g.avail[2 + at],
		       next(r) % 2000 ? next(r) % v.g.size : next(r));
	} else if (how == 14) {
		uint16_t idx = peek16(&v.g.used[1]);

		idx += next(r) % 500 ? next(r) % v.g.size : next(r);
		poke16(&v.g.avail[1], idx);
	} else {
		poke16(&v.g.avail[0], next(r));
		poke16(&v.g.avail[2 + v.g.size], next(r));
	}
}

static void *scribbler(void *arg)
{
	struct random r = { *(uint64_t *)arg };

	while (scribbling)
		for (unsigned i = 0; i < 100; i++)
			scribble(&r);
	return NULL;
}

static pthread_t thread;
static uint64_t thread_seed;

static void begin(enum vq_side side, const struct vq_kind *kind)
{
	vq_open(&v, side, kind);
	for (unsigned i = 0; i < TABLES; i++)
		tables[i] = guest_alloc(&v.g, TABLE_BYTES, 16);
	/* Packets without offloads, mostly. */
	for (unsigned i = 0; i < GUEST_REGIONS; i++)
		for (uint64_t k = 0; k < v.g.area[i].size; k += 1 + rnd(100))
			v.g.area[i].base[k] = 0;
	mine.x = (uint64_t)rnd(UINT32_MAX) << 20 | 1;
	thread_seed = (uint64_t)rnd(UINT32_MAX) << 20 | 1;
	scribbling = true;
	assert_int_equal(pthread_create(&thread, NULL, scribbler, &thread_seed),
			 0);
}

static void end(void)
{
	scribbling = false;
	pthread_join(thread, NULL);
	vq_close(&v);
}

/* Nobody uses the queue: if it failed, it goes on somewhere. */
static bool set_up_anew(enum vq_side side)
{
	struct vhost_saved_queue at = vhost_queue_at(&v.q);

	if (!vq_reason(&v))
		return false;
	assert_true(at.used < v.g.size || !v.g.packed);
	if (v.g.packed)
		at.used = rnd(v.g.size);
	else
		poke16(&v.g.used[1], at.used = rnd(65536));
	at.avail = at.used;
	at.avail_wrap = at.used_wrap = rnd(2);
	vhost_queue_reset(&v.q, side == VQ_OUT, &at);
	if (side == VQ_OUT)
		v.q.later = v.later;
	return true;
}

GUESTS static unsigned touch(const uint8_t *p)
{
	return *(const volatile uint8_t *)p;
}

static bool in_guest(const uint8_t *p, uint32_t len)
{
	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		const struct guest_area *a = &v.g.area[i];

		if (p >= a->base && p < a->base + a->size)
			return len <= a->base + a->size - p;
	}
	return false;
}

static void check_batch(const struct batch *b)
{
	assert_true(b->n <= BATCH_MAX && b->n_segs <= BATCH_SEGS);
	for (unsigned i = 0; i < b->n; i++) {
		uint32_t len = 0;

		assert_true(b->n_seg[i] > 0 && b->n_seg[i] <= PACKET_SEGS_MAX);
		assert_true(b->len[i] > 0 && b->len[i] <= PACKET_LEN_MAX);
		for (unsigned k = 0; k < b->n_seg[i]; k++) {
			const struct seg *s = &b->seg[b->seg0[i] + k];

			assert_true(b->seg0[i] + k < BATCH_SEGS);
			assert_true(s->len > 0 && in_guest(s->ptr, s->len));
			len += s->len;
			/* As overreads do. */
			touch(s->ptr);
			touch(s->ptr + 63);
			touch(s->ptr + s->len - 1);
		}
		assert_int_equal(len, b->len[i]);
	}
}

static unsigned rounds(unsigned n)
{
	const char *scale = getenv("GLEN_SCALE");

	return n * (scale ? atof(scale) : 1) + 10;
}

static void out_of_guest(void **state)
{
	uint64_t all = 0;

	for (unsigned how = 0; how < 3; how++) {
		FOR_KINDS(kind, .size = 64)
		{
			uint64_t packets = 0, fails = 0;

			kind.size = 8 << 2 * how;
			begin(VQ_IN, &kind);
			v.r.event_idx = how & 1;
			v.r.sends = how == 2 ? OFFLOAD_CAP_ALL : 0;
			if (how)
				vq_log(&v, VQ_LOG_BYTES);
			for (unsigned i = rounds(500); i; i--) {
				unsigned used;

				for (unsigned k = 0; k < kind.size; k++)
					scribble(&mine);
				used = vq_rx(&v);
				assert_true(used <= BATCH_MAX);
				check_batch(&v.b);
				packets += v.b.n;
				vq_rx_done(&v);
				if (!used)
					vhost_hot_test.rx_arm(&v.in);
				fails += set_up_anew(VQ_IN);
			}
			print_message("# %llu packets, %llu times anew\n",
				      (unsigned long long)packets,
				      (unsigned long long)fails);
			all += packets;
			end();
		}
	}
	assert_true(all > 0);
}

struct deliverer {
	pthread_t thread;
	uint64_t seed;
	struct tx_ctx ctx;
	struct counters counters;
	struct batch b;
	uint16_t list[BATCH_MAX];
};

static struct deliverer deliverers[WORKERS];
static uint8_t data[70000];
static _Atomic unsigned n_delivering;

static void *deliver(void *arg)
{
	struct deliverer *d = arg;
	struct random r = { d->seed };

	for (unsigned k = 0; k < BATCHES; k++) {
		unsigned n = 1 + next(&r) % 64, how = next(&r) % 3;

		vq_batch(&d->b);
		for (unsigned i = 0; i < n; i++) {
			uint32_t len = 60 + next(&r) % (how ? 1500 : 60);

			if (how == 2 && next(&r) % 8 == 0)
				len = 60 + next(&r) % 65000;
			d->list[i] = i;
			vq_batch_add(&d->b, data, len, how == 2 ? 2 : 1);
		}
		vhost_tx_test(&v.out, &d->ctx, &d->b, d->list, n);
	}
	atomic_fetch_sub(&n_delivering, 1);
	return NULL;
}

/* Both deliver for a while; returns how many packets. */
static uint64_t deliver_some(void)
{
	uint64_t packets = 0;

	n_delivering = WORKERS;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct deliverer *d = &deliverers[i];

		memset(&d->counters, 0, sizeof(d->counters));
		d->seed = (uint64_t)rnd(UINT32_MAX) << 20 | 1;
		d->ctx.counters = &d->counters;
		d->ctx.worker = &vq_worker;
		assert_int_equal(pthread_create(&d->thread, NULL, deliver, d),
				 0);
	}
	while (n_delivering)
		scribble(&mine);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(deliverers[i].thread, NULL);
		packets += deliverers[i].counters.packets;
	}
	assert_int_equal(v.q.q.reserved, v.q.q.published);
	assert_int_equal(v.q.q.last, 0);
	return packets;
}

static void into_guest(void **state)
{
	uint64_t all = 0;

	for (unsigned how = 0; how < 4; how++) {
		FOR_KINDS(kind, .size = 64)
		{
			uint64_t packets = 0, fails = 0;

			kind.size = kind.packed ? 5 << 2 * how : 4 << 2 * how;
			begin(VQ_OUT, &kind);
			v.r.event_idx = v.r.mergeable = how & 1;
			if (how == 3)
				vq_log(&v, VQ_LOG_BYTES);
			for (unsigned i = rounds(20); i; i--) {
				packets += deliver_some();
				fails += set_up_anew(VQ_OUT);
			}
			print_message("# %llu packets, %llu times anew\n",
				      (unsigned long long)packets,
				      (unsigned long long)fails);
			all += packets;
			end();
		}
	}
	assert_true(all > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(out_of_guest),
		cmocka_unit_test(into_guest),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_race", tests, NULL, NULL);
}
