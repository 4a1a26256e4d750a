// SPDX-License-Identifier: BSD-2-Clause
// probe.c - how far apart processors 0 and 1 are at the moment.
#include "bench/probe.h"

#include <pthread.h>

#include "bench/share.h"

enum {
	BURSTS = 12,
	PINGS = 200, /* to and fro, per burst */
};

static struct {
	_Alignas(64) _Atomic uint32_t ball;  /* odd: processor 1 is to return */
	_Alignas(64) _Atomic uint32_t serve; /* a burst more is to be played */
	bool alone;			     /* there is no processor 1 */
} probe;

static void futex(_Atomic uint32_t *word, int op, uint32_t value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

static void burst_return(void)
{
	for (unsigned i = 0; i < PINGS; i++) {
		uint32_t ball;

		do {
			ball = atomic_load_explicit(&probe.ball,
						    memory_order_acquire);
		} while (!(ball & 1));
		atomic_store_explicit(&probe.ball, ball + 1,
				      memory_order_release);
	}
}

static void *partner(void *arg)
{
	uint32_t played = 0;

	share_pin(1);
	for (;;) {
		while (atomic_load(&probe.serve) == played)
			futex(&probe.serve, FUTEX_WAIT, played);
		for (unsigned i = 0; i < BURSTS; i++)
			burst_return();
		played++;
	}
	return arg;
}

int probe_start(void)
{
	pthread_t thread;

	probe.alone = sysconf(_SC_NPROCESSORS_ONLN) < 2;
	return probe.alone ? 0 : -pthread_create(&thread, NULL, partner, NULL);
}

double probe_run(void)
{
	double best = 0;

	if (probe.alone)
		return 0;
	atomic_fetch_add(&probe.serve, 1);
	futex(&probe.serve, FUTEX_WAKE, 1);
	for (unsigned b = 0; b < BURSTS; b++) {
		uint64_t start = share_now();
		double ns;

		for (unsigned i = 0; i < PINGS; i++) {
			uint32_t ball = atomic_load_explicit(
				&probe.ball, memory_order_relaxed);

			atomic_store_explicit(&probe.ball, ball + 1,
					      memory_order_release);
			while (atomic_load_explicit(&probe.ball,
						    memory_order_acquire) !=
			       ball + 2)
				;
		}
		ns = (double)(share_now() - start) / (2 * PINGS);
		if (b == 0)
			continue; /* the partner was still waking up */
		if (best == 0 || ns < best)
			best = ns;
	}
	return best;
}
