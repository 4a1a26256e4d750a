/* SPDX-License-Identifier: BSD-2-Clause */
/* race.h - workers that look up without end while control changes a module. */
#ifndef TESTS_UNIT_RACE_H
#define TESTS_UNIT_RACE_H
/*
 * Without a switch: each worker makes batches of its own, calls the module's
 * lookup and judges the verdicts; the test's thread is the control thread.
 *
 *   race_start(instance, one_batch);
 *   for (...) {
 *           change something;
 *           race_wait(2);           so many batches later
 *   }
 *   race_end();
 *
 * Build with ThreadSanitizer for the other half of such a test.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/rcu.h"

enum { RACE_WORKERS = 2 };

struct race_worker {
	void *instance;
	unsigned index;
	/* Verdicts: to the port in question, another that may be, neither. */
	unsigned long there, elsewhere, wrong;
	uint64_t seed;
	pthread_t thread;
	void (*batch)(struct race_worker *w, struct batch *b);
};

static struct race_worker race_workers[RACE_WORKERS];
static atomic_bool race_stop;
static _Atomic uint64_t race_batches;
static _Atomic uint32_t race_now_s; /* the time that lookups are told */

static inline uint32_t race_draw(uint64_t *seed, uint32_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % n;
}

static inline void *race_main(void *arg)
{
	struct race_worker *w = arg;
	struct batch *b = aligned_alloc(64, sizeof(*b));

	memset(b, 0, sizeof(*b));
	urcu_qsbr_register_thread();
	while (!atomic_load(&race_stop)) {
		batch_init(b);
		w->batch(w, b);
		atomic_fetch_add(&race_batches, 1);
		rcu_quiet();
	}
	urcu_qsbr_unregister_thread();
	free(b);
	return NULL;
}

static inline void race_start(void *instance,
			      void (*batch)(struct race_worker *w,
					    struct batch *b))
{
	atomic_store(&race_stop, false);
	atomic_store(&race_now_s, 1000);
	for (unsigned i = 0; i < RACE_WORKERS; i++) {
		struct race_worker *w = &race_workers[i];

		*w = (struct race_worker){ .instance = instance,
					   .index = i,
					   .seed = 88172645463325252 + i,
					   .batch = batch };
		assert_int_equal(pthread_create(&w->thread, NULL, race_main, w),
				 0);
	}
}

static inline void race_wait(unsigned n)
{
	uint64_t before = atomic_load(&race_batches);

	while (atomic_load(&race_batches) < before + n)
		sched_yield();
}

static inline void race_end(void)
{
	unsigned long there = 0, elsewhere = 0;

	atomic_store(&race_stop, true);
	for (unsigned i = 0; i < RACE_WORKERS; i++) {
		const struct race_worker *w = &race_workers[i];

		pthread_join(w->thread, NULL);
		assert_int_equal(w->wrong, 0);
		there += w->there;
		elsewhere += w->elsewhere;
	}
	print_message("# %lu there, %lu elsewhere\n", there, elsewhere);
	assert_true(there && elsewhere);
}

#endif
