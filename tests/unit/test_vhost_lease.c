// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_lease.c - several workers deliver to one virtqueue.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "vhost_rig.h"

/*
 * Walkers are threads of which one runs at a time: a step lets it run until it
 * has reserved something, where it parks, or until it has delivered its batch.
 * So leases are held and completed in any order the test wants. What the guest
 * sees must be all that was reserved before the oldest lease that is held.
 */
enum { WALKERS = 3, POOL_BUFS = 400, BUF = 1600, PACKET = 4000, N = 60 };

struct walker {
	pthread_t thread;
	sem_t go, done;
	struct tx_ctx ctx;
	struct counters counters;
	struct batch b;
	uint8_t data[N][PACKET];
	uint32_t seq[N], sent; /* of its packets; how many are published */
	uint32_t reserved;     /* when it was let go */
	bool busy, parked, stop;
	unsigned held; /* its reservation */
};

struct reservation {
	struct walker *w;
	bool done;
	uint32_t first, n; /* packets of its batch, and when it is done */
	uint32_t seq[N], len[N];
};

static struct vq v;
static struct walker walkers[WALKERS];
static struct reservation res[1000];
static unsigned res_first, res_end;
static _Thread_local struct walker *me;
static uint64_t pool[POOL_BUFS];
static unsigned n_pool;
static uint32_t next_seq;

static void pool_put(const struct guest_chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		pool[n_pool++] = c->buf[i].gpa;
}

static void pool_fill(void)
{
	for (n_pool = 0; n_pool < POOL_BUFS; n_pool++)
		pool[n_pool] = guest_alloc(&v.g, BUF, 1);
}

/* Makes chains of at most n descriptors available, while they fit. */
static void post(unsigned chains, unsigned n)
{
	while (chains--) {
		struct guest_buf buf[3];
		unsigned descs = 1 + rnd(n);

		if (!guest_fits(&v.g, descs) || n_pool < descs)
			break;
		for (unsigned i = 0; i < descs; i++)
			buf[i] = (struct guest_buf){
				pool[--n_pool],
				descs == 1 ? BUF : 400 + rnd(900), true
			};
		guest_add(&v.g, buf, descs, descs > 1 && rnd(3) == 0);
	}
	guest_show(&v.g);
}

static void park(struct lease_queue *q)
{
	if (q->reserved == me->reserved)
		return;
	me->parked = true;
	sem_post(&me->done);
	sem_wait(&me->go);
	me->parked = false;
}

static void *walk(void *arg)
{
	uint16_t list[N];

	me = arg;
	vq_unlocked = park;
	for (unsigned i = 0; i < N; i++)
		list[i] = i;
	for (;;) {
		sem_wait(&me->go);
		if (me->stop)
			return NULL;
		vhost_tx_test(&v.out, &me->ctx, &me->b, list, me->b.n);
		me->busy = false;
		sem_post(&me->done);
	}
}

/* What the guest has not got back does not look used in any place. */
static void none_used(void)
{
	uint32_t slot = v.g.used_idx;

	for (unsigned i = v.g.room; v.g.packed && i < v.g.size; i++) {
		uint16_t flags = v.g.desc[2 * slot + 1] >> 48;

		assert_true(!(flags & F_AVAIL) != !(flags & F_USED));
		slot = (slot + 1) % v.g.size;
	}
}

/* Everything up to the oldest lease that is held is there, and no more. */
static void look(void)
{
	static uint8_t flat[PACKET + VHOST_HDR_LEN], want[PACKET];
	uint32_t id, len;

	for (; res_first < res_end && res[res_first].done; res_first++) {
		const struct reservation *r = &res[res_first];

		for (unsigned i = 0; i < r->n; i++) {
			len = vq_take(&v, flat, sizeof(flat), pool_put);
			assert_int_equal(len, VHOST_HDR_LEN + r->len[i]);
			vq_fill(want, r->len[i], r->seq[i]);
			assert_memory_equal(flat + VHOST_HDR_LEN, want,
					    r->len[i]);
		}
	}
	assert_false(guest_used(&v.g, &id, &len));
	none_used();
	assert_int_equal(v.saved.used, v.g.used_idx);
	if (v.g.packed)
		assert_int_equal(v.saved.used_wrap, v.g.used_wrap);
}

/* The reservation that the walker held has been completed. */
static void completed(struct walker *w)
{
	struct reservation *r = &res[w->held];

	r->done = true;
	r->n = w->counters.packets - w->sent;
	for (unsigned i = 0; i < r->n; i++) {
		r->seq[i] = w->seq[r->first + i];
		r->len[i] = w->b.len[r->first + i];
	}
	w->sent += r->n;
}

static void step(struct walker *w)
{
	bool held = w->parked;

	w->reserved = v.q.q.reserved;
	sem_post(&w->go);
	sem_wait(&w->done);
	if (held)
		completed(w);
	if (w->parked) {
		assert_true(res_end < sizeof(res) / sizeof(res[0]));
		w->held = res_end;
		res[res_end++] = (struct reservation){ .w = w,
						       .first = w->sent };
	}
	look();
	assert_null(vq_reason(&v));
}

/* A batch of n packets for it; simple: one segment each. */
static void give(struct walker *w, unsigned n, bool simple)
{
	memset(&w->counters, 0, sizeof(w->counters));
	w->sent = 0;
	vq_batch(&w->b);
	for (unsigned i = 0; i < n; i++) {
		uint32_t len = 60 + rnd(simple || rnd(3) ? 400 : PACKET - 60);

		w->seq[i] = next_seq;
		vq_fill(w->data[i], len, next_seq++);
		vq_batch_add(&w->b, w->data[i], len,
			     simple || len < 200 ? 1 : 1 + rnd(3));
	}
	w->busy = true;
}

static void start(const struct vq_kind *kind)
{
	vq_open(&v, VQ_OUT, kind);
	pool_fill();
	res_first = res_end = 0;
	for (unsigned i = 0; i < WALKERS; i++) {
		struct walker *w = &walkers[i];

		memset(w, 0, sizeof(*w));
		sem_init(&w->go, 0, 0);
		sem_init(&w->done, 0, 0);
		w->ctx.counters = &w->counters;
		w->ctx.worker = &vq_worker;
		assert_int_equal(pthread_create(&w->thread, NULL, walk, w), 0);
	}
}

static void stop(void)
{
	for (unsigned i = 0; i < WALKERS; i++) {
		struct walker *w = &walkers[i];

		while (w->busy)
			step(w);
		w->stop = true;
		sem_post(&w->go);
		pthread_join(w->thread, NULL);
		sem_destroy(&w->go);
		sem_destroy(&w->done);
	}
	assert_int_equal(res_first, res_end);
	assert_int_equal(v.q.q.reserved, v.q.q.published);
	assert_int_equal(v.q.q.last, 0);
	vq_close(&v);
}

/* Three leases of n packets, completed in each order. */
static void each_order(void **state)
{
	static const uint8_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 },
					     { 1, 0, 2 }, { 1, 2, 0 },
					     { 2, 0, 1 }, { 2, 1, 0 } };

	for (unsigned how = 0; how < 4; how++) {
		FOR_KINDS(kind, .size = 64, .start = 50)
		{
			kind.size = how & 1 && kind.packed ? 61 : 64;
			start(&kind);
			for (unsigned k = 0; k < 60; k++) {
				const uint8_t *order = orders[k % 6];

				post(64, how & 2 ? 3 : 1);
				for (unsigned i = 0; i < 3; i++) {
					give(&walkers[i], 1 + rnd(4),
					     !(how & 2));
					step(&walkers[i]);
				}
				for (unsigned i = 0; i < 3; i++)
					while (walkers[order[i]].busy)
						step(&walkers[order[i]]);
				assert_int_equal(res_first, res_end);
				res_first = res_end = 0;
			}
			stop();
		}
	}
}

/* Any steps, with a ring that is full at times, logged or not. */
static void any_order(void **state)
{
	for (unsigned how = 0; how < 6; how++) {
		FOR_KINDS(kind, .size = 32, .start = 20, .wrap_low = true)
		{
			kind.size = kind.packed ? 29 + how : 32;
			start(&kind);
			if (how & 1)
				vq_log(&v, VQ_LOG_BYTES);
			for (unsigned k = 0; k < 1500; k++) {
				struct walker *w = &walkers[rnd(WALKERS)];

				if (rnd(2))
					post(rnd(20), how < 3 ? 1 : 3);
				if (!w->busy)
					give(w, 1 + rnd(10), rnd(2));
				step(w);
				if (res_first == res_end)
					res_first = res_end = 0;
				else if (res_end > 900)
					while (res_first < res_end)
						step(res[res_first].w);
			}
			stop();
		}
	}
}

/*
 * Threads that run freely. A packet says whose it is, which number, and how
 * long, so that the guest can check it: 4 + 4 + 4 bytes, then what vq_fill()
 * makes of the first two.
 */
struct runner {
	pthread_t thread;
	uint32_t id, packets;
	struct tx_ctx ctx;
	struct counters counters;
	struct batch b;
	uint8_t data[32][PACKET];
};

static struct runner runners[WALKERS];
static _Atomic unsigned n_running;

static void *run(void *arg)
{
	struct runner *r = arg;
	uint32_t x = r->id + 1, seq = 0;
	uint16_t list[32];

	for (unsigned i = 0; i < 32; i++)
		list[i] = i;
	while (r->counters.packets < r->packets) {
		unsigned n;

		x = x * 1103515245 + 12345;
		n = 1 + (x >> 20) % 32;
		vq_batch(&r->b);
		for (unsigned i = 0; i < n; i++) {
			uint32_t len = 60 + (x >> 16) % (i & 7 ? 60 : 3000);
			uint32_t head[3] = { r->id, seq, len };

			memcpy(r->data[i], head, sizeof(head));
			vq_fill(r->data[i] + 12, len - 12, seq++ * 4 + r->id);
			vq_batch_add(&r->b, r->data[i], len,
				     x >> 30 && len > 100 ? 2 : 1);
		}
		vhost_tx_test(&v.out, &r->ctx, &r->b, list, n);
		sched_yield();
	}
	atomic_fetch_sub(&n_running, 1);
	return NULL;
}

static void take_some(uint32_t *next, uint64_t *got)
{
	static uint8_t flat[PACKET + VHOST_HDR_LEN], want[PACKET];
	uint32_t head[3], id, len;

	while (guest_used(&v.g, &id, &len)) {
		len = vq_take(&v, flat, sizeof(flat), pool_put);
		memcpy(head, flat + VHOST_HDR_LEN, sizeof(head));
		assert_true(head[0] < WALKERS);
		assert_int_equal(head[2], len - VHOST_HDR_LEN);
		assert_true(head[1] >= next[head[0]]);
		next[head[0]] = head[1] + 1;
		vq_fill(want, head[2] - 12, head[1] * 4 + head[0]);
		assert_memory_equal(flat + VHOST_HDR_LEN + 12, want,
				    head[2] - 12);
		got[head[0]]++;
	}
}

static void threads(void **state)
{
	const char *scale = getenv("GLEN_SCALE");
	uint32_t packets = 5000 * (scale ? atof(scale) : 1) + 100;

	for (unsigned how = 0; how < 2; how++) {
		FOR_KINDS(kind, .size = 128, .start = 100)
		{
			uint32_t next[WALKERS] = { 0 };
			uint64_t got[WALKERS] = { 0 };

			kind.size = kind.packed ? 111 : 128;
			vq_open(&v, VQ_OUT, &kind);
			v.r.event_idx = how;
			pool_fill();
			n_running = WALKERS;
			for (uint32_t i = 0; i < WALKERS; i++) {
				struct runner *r = &runners[i];

				memset(r, 0, sizeof(*r));
				r->id = i;
				r->packets = packets;
				r->ctx.counters = &r->counters;
				r->ctx.worker = &vq_worker;
				assert_int_equal(pthread_create(&r->thread,
								NULL, run, r),
						 0);
			}
			while (n_running) {
				post(64, how ? 3 : 1);
				take_some(next, got);
				sched_yield();
			}
			for (unsigned i = 0; i < WALKERS; i++)
				pthread_join(runners[i].thread, NULL);
			take_some(next, got);
			assert_null(vq_reason(&v));
			for (unsigned i = 0; i < WALKERS; i++)
				assert_int_equal(got[i],
						 runners[i].counters.packets);
			vq_close(&v);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_order),
		cmocka_unit_test(any_order),
		cmocka_unit_test(threads),
	};

	rnd_seed();
	return cmocka_run_group_tests_name("vhost_lease", tests, NULL, NULL);
}
