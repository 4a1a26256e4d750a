// SPDX-License-Identifier: BSD-2-Clause
// test_vhost_log.c - the dirty log: all pages that were written, and no others.
#include <pthread.h>

#include "vhost_rig.h"

enum { PAGES = 8 * VQ_LOG_BYTES, PACKET = 9000 };

static struct vq v;
static struct batch b;
static uint8_t pool[BATCH_MAX][PACKET];
static uint8_t want[VQ_LOG_BYTES];
static bool tables; /* the guest makes indirect tables */

/* Bytes [gpa, gpa + len) are written. */
static void wrote(uint64_t gpa, uint64_t len)
{
	for (uint64_t at = gpa; at < gpa + len; at++)
		if (at / 4096 < PAGES)
			want[at / 4096 / 8] |= 1 << at / 4096 % 8;
}

/* What giving back descs ring entries writes, from an index on. */
static void wrote_ring(uint16_t from, unsigned descs)
{
	for (unsigned i = 0; i < descs; i++) {
		uint32_t slot = (uint16_t)(from + i) % v.g.size;

		if (v.g.packed)
			slot = (from + i) % v.g.size;
		wrote(VQ_RING_GPA + (v.g.packed ? 16 * slot : 4 + 8 * slot),
		      v.g.packed ? 16 : 8);
	}
	if (!v.g.packed && descs)
		wrote(VQ_RING_GPA, 4);
}

/* Takes all chains; says what was written to each and to the ring. */
static void take_all(void)
{
	uint16_t from = v.g.used_idx;
	unsigned descs = 0;
	struct guest_chain c;
	uint32_t len;

	while (guest_take(&v.g, &c, &len)) {
		for (unsigned i = 0; i < c.n && len; i++) {
			uint32_t n = c.buf[i].len < len ? c.buf[i].len : len;

			wrote(c.buf[i].gpa, n);
			len -= n;
		}
		descs += v.g.packed ? c.descs : 1;
		free(c.buf);
	}
	wrote_ring(from, descs);
}

static void check_log(void)
{
	assert_memory_equal(v.log.bits, want, v.log.size);
	memset(v.log.bits, 0, v.log.size);
	memset(want, 0, sizeof(want));
}

static void post_some(unsigned chains, bool out)
{
	for (unsigned i = 0; i < chains; i++) {
		struct guest_buf buf[3];
		unsigned n = 1 + rnd(3);

		for (unsigned k = 0; k < n; k++) {
			uint32_t len = 300 + rnd(rnd(4) ? 1500 : 6000);

			buf[k] = (struct guest_buf){ guest_alloc(&v.g, len, 1),
						     len, out };
			if (!out)
				memset(guest_ptr(&v.g, buf[k].gpa), 0, 12);
		}
		if (guest_fits(&v.g, n))
			guest_add(&v.g, buf, n, n > 1 && tables && rnd(2));
	}
	guest_show(&v.g);
}

static void into_guest(void **state)
{
	static const uint16_t bytes[] = { VQ_LOG_BYTES, 130, 97, 1 };

	for (unsigned how = 0; how < 4; how++) {
		FOR_KINDS(kind, .size = 1024)
		{
			kind.size = kind.packed ? 1000 : 1024;
			kind.start = 950;
			vq_open(&v, VQ_OUT, &kind);
			vq_log(&v, bytes[how]);
			memset(want, 0, sizeof(want));
			for (unsigned k = 0; k < 40; k++) {
				unsigned n = 1 + rnd(10);

				post_some(4 * n, true);
				vq_batch(&b);
				for (unsigned i = 0; i < n; i++)
					vq_batch_add(&b, pool[i],
						     60 + rnd(PACKET - 60),
						     1 + rnd(3));
				vq_tx(&v, &b);
				take_all();
				check_log();
				/* Small ones use up what is left. */
				while (v.g.n_chains) {
					vq_batch(&b);
					vq_batch_add(&b, pool[0], 60, 1);
					vq_tx(&v, &b);
					take_all();
				}
				check_log();
				guest_rewind(&v.g);
			}
			vq_close(&v);
		}
	}
}

static void out_of_guest(void **state)
{
	FOR_KINDS(kind, .size = 1024)
	{
		kind.size = kind.packed ? 1000 : 1024;
		kind.start = 950;
		vq_open(&v, VQ_IN, &kind);
		vq_log(&v, VQ_LOG_BYTES);
		memset(want, 0, sizeof(want));
		for (unsigned k = 0; k < 40; k++) {
			post_some(1 + rnd(60), false);
			while (vq_rx(&v)) {
				check_log();
				vq_rx_done(&v);
				take_all();
				check_log();
			}
			guest_rewind(&v.g);
		}
		vq_close(&v);
	}
}

/* Asking for kicks writes to the used ring, or to the device's event. */
static void arming(void **state)
{
	for (unsigned event = 0; event < 2; event++) {
		FOR_KINDS(kind, .size = 1024)
		{
			vq_open(&v, VQ_IN, &kind);
			vq_log(&v, VQ_LOG_BYTES);
			memset(want, 0, sizeof(want));
			v.r.event_idx = event;
			vhost_hot_test.rx_arm(&v.in);
			if (kind.packed) {
				wrote(VQ_EVENT_GPA, 4);
			} else {
				wrote(VQ_RING_GPA, 4);
				wrote(VQ_RING_GPA + 4 + 8 * 1024, 2);
			}
			check_log();
			vhost_hot_test.rx_disarm(&v.in);
			if (kind.packed)
				wrote(VQ_EVENT_GPA, 4);
			else if (!event) {
				wrote(VQ_RING_GPA, 4);
				wrote(VQ_RING_GPA + 4 + 8 * 1024, 2);
			}
			check_log();
			vq_close(&v);
		}
	}
}

/* Places of the ring that are not to be logged, or that wrap. */
static void ring_addresses(void **state)
{
	FOR_KINDS(kind, .size = 64)
	{
		vq_open(&v, VQ_IN, &kind);
		vq_log(&v, VQ_LOG_BYTES);
		memset(want, 0, sizeof(want));
		v.r.log_gpa = v.r.log_event_gpa = UINT64_MAX;
		vhost_hot_test.rx_arm(&v.in);
		vhost_hot_test.rx_disarm(&v.in);
		post_some(5, false);
		assert_true(vq_rx(&v) > 0);
		vq_rx_done(&v);
		take_all();
		memset(want, 0, sizeof(want));
		check_log();
		for (unsigned i = 1; i < 20; i++) {
			v.r.log_gpa = v.r.log_event_gpa = UINT64_MAX - i;
			vhost_hot_test.rx_arm(&v.in);
			post_some(2, false);
			assert_true(vq_rx(&v) > 0);
			vq_rx_done(&v);
			take_all();
		}
		vq_close(&v);
	}
}

/*
 * A live migration: pages that the log names are copied while packets arrive.
 * In the end the copy is the same as the guest's memory, which it is not if a
 * mark comes before what it stands for.
 */
static _Atomic bool moving;
static uint8_t *used_copy;

static void *arrive(void *arg)
{
	unsigned *rounds = arg;

	for (unsigned k = 0; k < *rounds; k++) {
		post_some(20, true);
		vq_batch(&b);
		for (unsigned i = 0; i < 10; i++) {
			uint32_t len = 60 + rnd(3000);

			memset(pool[i], k * 16 + i, len);
			vq_batch_add(&b, pool[i], len, 1);
		}
		vq_tx(&v, &b);
		take_all();
		while (v.g.n_chains) {
			vq_batch(&b);
			vq_batch_add(&b, pool[0], 60, 1);
			vq_tx(&v, &b);
			take_all();
		}
		guest_rewind(&v.g);
	}
	atomic_store(&moving, false);
	return NULL;
}

/* What is read here may be being written: then it is marked again. */
__attribute__((no_sanitize("thread"))) static void copy_page(uint8_t *dst,
							     const uint8_t *src,
							     uint64_t len)
{
	const volatile uint8_t *from = src;

	for (uint64_t i = 0; i < len; i++)
		dst[i] = from[i];
}

static void copy_gpa(uint64_t gpa)
{
	uint64_t ring = guest_used_len(&v.g), off = gpa - VQ_RING_GPA;

	for (unsigned i = 0; i < GUEST_REGIONS; i++) {
		struct guest_area *a = &v.g.area[i];

		if (gpa - a->gpa < a->size)
			copy_page(a->copy + (gpa - a->gpa),
				  a->base + (gpa - a->gpa), 4096);
	}
	if (!v.g.packed && off < ring)
		copy_page(used_copy + off, (uint8_t *)v.g.used + off,
			  ring - off < 4096 ? ring - off : 4096);
}

static void copy_marked(void)
{
	for (unsigned i = 0; i < v.log.size; i++) {
		uint8_t bits = __atomic_exchange_n(&v.log.bits[i], 0,
						   __ATOMIC_SEQ_CST);

		for (unsigned k = 0; k < 8; k++)
			if (bits >> k & 1)
				copy_gpa((8 * i + k) * 4096ULL);
	}
}

static void migration(void **state)
{
	const char *scale = getenv("GLEN_SCALE");
	unsigned rounds = 300 * (scale ? atof(scale) : 1) + 10;

	tables = false; /* what the guest writes we do not log */
	FOR_KINDS(kind, .size = 1024)
	{
		pthread_t thread;

		vq_open(&v, VQ_OUT, &kind);
		vq_log(&v, VQ_LOG_BYTES);
		guest_remember(&v.g);
		used_copy = calloc(1, guest_used_len(&v.g));
		assert_non_null(used_copy);
		if (!kind.packed)
			memcpy(used_copy, v.g.used, guest_used_len(&v.g));
		moving = true;
		assert_int_equal(pthread_create(&thread, NULL, arrive, &rounds),
				 0);
		while (moving)
			copy_marked();
		pthread_join(thread, NULL);
		copy_marked();
		guest_unchanged(&v.g);
		if (!kind.packed)
			assert_memory_equal(used_copy, v.g.used,
					    guest_used_len(&v.g));
		free(used_copy);
		vq_close(&v);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(into_guest), cmocka_unit_test(out_of_guest),
		cmocka_unit_test(arming),     cmocka_unit_test(ring_addresses),
		cmocka_unit_test(migration),
	};

	rnd_seed();
	tables = true;
	for (unsigned i = 0; i < BATCH_MAX; i++)
		vq_fill(pool[i], PACKET, i);
	return cmocka_run_group_tests_name("vhost_log", tests, NULL, NULL);
}
