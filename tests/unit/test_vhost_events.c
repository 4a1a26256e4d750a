// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_events.c - kicks and calls, saved indexes, the dirty log.
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "vhost_rig.h"

enum { LEN = 100 };

static struct vq v;
static struct batch b;
static uint8_t data[LEN];
static uint64_t buffer; /* of all chains */

static void open_queue(enum vq_side side, const struct vq_kind *kind)
{
	vq_open(&v, side, kind);
	buffer = guest_alloc(&v.g, 4096, 1);
	memset(guest_ptr(&v.g, buffer), 0, 4096);
}

static void add_one(unsigned descs)
{
	bool out = v.later != NULL;
	struct guest_buf buf[3] = { { buffer, 1000, out },
				    { buffer, 1000, out },
				    { buffer, 1000, out } };

	guest_add(&v.g, buf, descs, false);
}

/* n chains of so many descriptors each go through the queue, in one batch. */
static void pass(unsigned n, unsigned descs)
{
	struct guest_chain c;
	uint32_t len;

	for (unsigned i = 0; i < n; i++)
		add_one(descs);
	guest_show(&v.g);
	if (v.later) {
		vq_batch(&b);
		for (unsigned i = 0; i < n; i++)
			vq_batch_add(&b, data, LEN, descs > 1 ? 2 : 1);
		vq_tx(&v, &b);
	} else {
		assert_int_equal(vq_rx(&v), n);
		vq_rx_done(&v);
	}
	while (guest_take(&v.g, &c, &len)) {
		free(c.buf);
		n--;
	}
	assert_int_equal(n, 0);
}

/* The flag that says no calls are wanted; a call descriptor that is not. */
static void call_flags(void **state)
{
	for (unsigned side = 0; side < 2; side++) {
		FOR_KINDS(kind, .size = 16)
		{
			uint16_t *flags;

			open_queue(side, &kind);
			flags = kind.packed ? &v.g.driver[1] : &v.g.avail[0];
			pass(3, 1);
			assert_int_equal(vq_rings, 1);
			assert_int_equal(v.counters.kicks, 1);
			*flags = 1; /* no interrupts, in both kinds */
			pass(2, 1);
			pass(1, 2);
			assert_int_equal(vq_rings, 1);
			*flags = 0;
			pass(2, 2);
			assert_int_equal(vq_rings, 2);
			v.r.call_fd = -1;
			pass(1, 1);
			assert_int_equal(vq_rings, 2);
			assert_int_equal(v.counters.kicks, 2);
			vq_close(&v);
		}
	}
}

/*
 * Event indexes: a call comes if the event is one of the places given back,
 * each of which is looked at here.
 */
static void call_split(unsigned side, uint16_t start)
{
	struct vq_kind kind = { .size = 16, .start = start };

	open_queue(side, &kind);
	v.r.event_idx = true;
	for (unsigned k = 0; k < 300; k++) {
		unsigned n = 1 + rnd(16);
		uint16_t event = v.g.used_idx + rnd(40) - 20;
		bool want = false;

		if (!rnd(10))
			event = rnd(65536);
		v.g.avail[2 + 16] = event;
		v.g.avail[0] = rnd(2); /* means nothing */
		for (unsigned i = 0; i < n; i++)
			want |= event == (uint16_t)(v.g.used_idx + i);
		vq_rings = 0;
		pass(n, 1);
		assert_int_equal(vq_rings, want);
	}
	vq_close(&v);
}

static void call_packed(unsigned side, uint16_t size, bool wrap_low)
{
	struct vq_kind kind = { .packed = true,
				.size = size,
				.start = size - 1,
				.wrap_low = wrap_low };

	open_queue(side, &kind);
	v.r.event_idx = true;
	for (unsigned k = 0; k < 400; k++) {
		unsigned descs = 1 + rnd(2);
		unsigned n = 1 + rnd(size / descs);
		uint16_t slot = v.g.used_idx, event = rnd(size);
		bool wrap = v.g.used_wrap, event_wrap = rnd(2), want = false;

		v.g.driver[0] = event | event_wrap << 15;
		v.g.driver[1] = 2;
		for (unsigned i = 0; i < n * descs; i++) {
			want |= event == slot && event_wrap == wrap;
			if (++slot == size) {
				slot = 0;
				wrap = !wrap;
			}
		}
		vq_rings = 0;
		pass(n, descs);
		assert_int_equal(vq_rings, want);
		v.g.driver[0] = rnd(65536); /* must do no harm */
		v.g.driver[1] = rnd(65536);
		pass(1, 1);
	}
	vq_close(&v);
}

static void call_events(void **state)
{
	for (unsigned side = 0; side < 2; side++) {
		call_split(side, 0);
		call_split(side, 65400);
		call_split(side, 32700);
		call_packed(side, 16, false);
		call_packed(side, 7, true);
		call_packed(side, 3, false);
	}
}

/* Whether the guest has to kick after it added what lies in front of now. */
static bool wants_kick(void)
{
	if (!v.g.packed && !v.r.event_idx)
		return !(v.g.used[0] & 1);
	if (!v.g.packed)
		return v.g.used[2 + 4 * v.g.size] ==
		       (uint16_t)(v.g.avail_idx - 1);
	if (v.g.device[1] == 2) {
		uint16_t at = (v.g.avail_idx + v.g.size - 1) % v.g.size;
		bool wrap = v.g.avail_idx ? v.g.avail_wrap : !v.g.avail_wrap;

		return v.g.device[0] == (at | wrap << 15);
	}
	return v.g.device[1] == 0;
}

/* Kicks are wanted after arming, and at no other time. */
static void arming(void **state)
{
	for (unsigned event = 0; event < 2; event++) {
		FOR_KINDS(kind, .size = 4, .start = 3)
		{
			struct ingress *in = &v.in;

			open_queue(VQ_IN, &kind);
			v.r.event_idx = event;
			for (unsigned i = 0; i < 30; i++) {
				vhost_hot_test.rx_disarm(in);
				assert_int_equal(v.q.n_kicks, i + 1);
				pass(1 + i % 3, 1);
				if (!event || kind.packed)
					assert_false(wants_kick());
				assert_false(vhost_hot_test.rx_arm(in));
				add_one(1);
				assert_true(wants_kick());
				guest_show(&v.g);
				/* There is one: no second kick. */
				assert_true(vhost_hot_test.rx_arm(in));
				if (!event || kind.packed)
					assert_false(wants_kick());
				assert_int_equal(vq_rx(&v), 1);
				vq_rx_done(&v);
				guest_take_empty(&v.g, 1);
			}
			v.r.no_kick = true;
			assert_true(vhost_hot_test.rx_arm(in));
			v.r.no_kick = false;
			vq_close(&v);
		}
	}
}

/* A guest that sends and sleeps, a worker that takes and sleeps. */
static sem_t kick, call;
static uint32_t race_packets;

static void ring_bell(void)
{
	sem_post(&call);
}

static void *race_worker(void *arg)
{
	uint32_t got = 0;

	while (got < race_packets) {
		unsigned n = vq_rx(&v);

		if (n) {
			vq_rx_done(&v);
			got += n;
		} else if (!vhost_hot_test.rx_arm(&v.in)) {
			sem_wait(&kick);
			vhost_hot_test.rx_disarm(&v.in);
		}
	}
	return NULL;
}

static uint16_t shared16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/* After one chain was added: as a driver decides it. */
static bool must_kick(uint16_t old, bool old_wrap)
{
	shm_full_fence();
	if (!v.g.packed && !v.r.event_idx)
		return !(shared16(&v.g.used[0]) & 1);
	if (!v.g.packed)
		return shared16(&v.g.used[2 + 4 * v.g.size]) == old;
	switch (shared16(&v.g.device[1])) {
	case 0:
		return true;
	case 2:
		return shared16(&v.g.device[0]) == (old | old_wrap << 15);
	}
	return false;
}

/* Asks to be called for the next chain; true if there is one already. */
static bool ask_for_call(void)
{
	uint32_t id, len;

	if (!v.r.event_idx) {
		store16(v.g.packed ? &v.g.driver[1] : &v.g.avail[0], 0,
			__ATOMIC_RELAXED);
	} else if (v.g.packed) {
		store16(&v.g.driver[0], v.g.used_idx | v.g.used_wrap << 15,
			__ATOMIC_RELAXED);
		store16(&v.g.driver[1], 2, __ATOMIC_RELEASE);
	} else {
		store16(&v.g.avail[2 + v.g.size], v.g.used_idx,
			__ATOMIC_RELAXED);
	}
	shm_full_fence();
	return guest_used(&v.g, &id, &len);
}

static void ask_for_none(void)
{
	if (v.g.packed)
		store16(&v.g.driver[1], 1, __ATOMIC_RELAXED);
	else if (!v.r.event_idx)
		store16(&v.g.avail[0], 1, __ATOMIC_RELAXED);
}

static void race_guest(void)
{
	uint32_t sent = 0, got = 0, len;
	struct guest_chain c;

	while (got < race_packets) {
		unsigned n = rnd(4);

		for (; n && sent < race_packets && guest_fits(&v.g, 1); n--) {
			uint16_t old = v.g.avail_idx;
			bool wrap = v.g.avail_wrap;

			add_one(1);
			guest_show(&v.g);
			if (must_kick(old, wrap))
				sem_post(&kick);
			sent++;
		}
		while (guest_take(&v.g, &c, &len)) {
			free(c.buf);
			got++;
		}
		if (got == sent || (rnd(2) && sent < race_packets))
			continue;
		if (!ask_for_call())
			sem_wait(&call);
		ask_for_none();
	}
}

/* Nobody sleeps for ever: a wake-up that is lost stops the test. */
static void no_lost_wakeups(void **state)
{
	const char *scale = getenv("GLEN_SCALE");

	race_packets = 20000 * (scale ? atof(scale) : 1) + 100;
	for (unsigned event = 0; event < 2; event++) {
		FOR_KINDS(kind, .size = 4, .start = 2)
		{
			pthread_t worker;

			open_queue(VQ_IN, &kind);
			v.r.event_idx = event;
			vq_bell = ring_bell;
			sem_init(&kick, 0, 0);
			sem_init(&call, 0, 0);
			assert_int_equal(pthread_create(&worker, NULL,
							race_worker, NULL),
					 0);
			race_guest();
			pthread_join(worker, NULL);
			vq_bell = NULL;
			sem_destroy(&kick);
			sem_destroy(&call);
			vq_close(&v);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_flags),
		cmocka_unit_test(call_events),
		cmocka_unit_test(arming),
		cmocka_unit_test(no_lost_wakeups),
	};

	rnd_seed();
	vq_fill(data, LEN, 1);
	return cmocka_run_group_tests_name("vhost_events", tests, NULL, NULL);
}
