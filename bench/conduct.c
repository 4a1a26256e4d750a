// SPDX-License-Identifier: BSD-2-Clause
// conduct.c - give the sides of a benchmark their turns and read the counters.
/*
 * conduct SHARE PROCESSES SIDES ROUNDS [SLICE_MS=100] [SKIP_MS=10]
 *
 * Waits until PROCESSES parties have set up, then lets sides 0, 1, ... run one
 * after the other, ROUNDS times, SLICE_MS each of which the first SKIP_MS do
 * not count. Before and after every slice it probes how far apart processors 0
 * and 1 are. Prints a JSON object per slice, with nanoseconds throughout.
 */
#include <string.h>

#include "bench/probe.h"
#include "bench/share.h"

enum {
	READY_MS = 60000,
	STOP_MS = 10000,
};

static int by_value(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static void print_samples(struct side *side)
{
	uint32_t n = atomic_load_explicit(&side->n_samples,
					  memory_order_acquire);

	if (!n)
		return;
	qsort(side->sample_ns, n, sizeof(*side->sample_ns), by_value);
	printf(", \"samples\": %u, \"p50\": %u, \"p99\": %u", n,
	       side->sample_ns[n / 2], side->sample_ns[(uint64_t)n * 99 / 100]);
}

/* Takes the turn from everybody; nobody runs when it returns. */
static void stop(struct share *s)
{
	uint64_t start = share_now();

	share_give(s, TURN_NONE);
	while (atomic_load(&s->n_busy)) {
		share_sleep_ms(1);
		if (share_now() - start < STOP_MS * 1000000ULL)
			continue;
		fprintf(stderr, "conduct: a side does not end its turn\n");
		exit(1);
	}
}

static void slice(struct share *s, unsigned i, unsigned ms, unsigned skip_ms)
{
	struct side *side = &s->side[i];
	uint64_t t0, t1, n0, n1, own_ns;

	atomic_store(&side->own_ns, 0);
	atomic_store(&side->n_samples, 0);
	share_give(s, i + 1);
	share_sleep_ms(skip_ms);
	n0 = share_counted(side);
	t0 = share_now();
	share_sleep_ms(ms - skip_ms);
	n1 = share_counted(side);
	t1 = share_now();
	stop(s);
	own_ns = atomic_load(&side->own_ns);
	if (own_ns) {
		n0 = 0;
		n1 = atomic_load(&side->own_packets);
		t0 = 0;
		t1 = own_ns;
	}
	printf("{\"side\": %u, \"packets\": %llu, \"ns\": %llu", i,
	       (unsigned long long)(n1 - n0), (unsigned long long)(t1 - t0));
	print_samples(side);
}

static int wait_ready(struct share *s, unsigned n)
{
	for (unsigned ms = 0; ms < READY_MS; ms++) {
		if (atomic_load(&s->n_ready) >= n)
			return 0;
		share_sleep_ms(1);
	}
	fprintf(stderr, "conduct: %u of %u processes are ready after %u s\n",
		atomic_load(&s->n_ready), n, READY_MS / 1000);
	return -1;
}

int main(int argc, char **argv)
{
	unsigned v[6] = { [4] = 100, [5] = 10 };
	struct share *s;
	double before, after;

	for (int i = 2; i < argc && i < 7; i++)
		v[i - 1] = (unsigned)atoi(argv[i]);
	if (argc < 5 || !v[2] || v[2] > SIDES_MAX || v[5] >= v[4]) {
		fprintf(stderr, "usage: conduct SHARE PROCESSES SIDES ROUNDS "
				"[SLICE_MS] [SKIP_MS]\n");
		return 2;
	}
	s = share_open(argv[1]);
	if (probe_start())
		return 1;
	if (wait_ready(s, v[1]))
		return 1;
	share_pin(sysconf(_SC_NPROCESSORS_ONLN) < 2 ? -1 : 0);
	before = probe_run();
	for (unsigned round = 0; round < v[3]; round++) {
		for (unsigned i = 0; i < v[2]; i++) {
			slice(s, i, v[4], v[5]);
			after = probe_run();
			printf(", \"round\": %u, \"before\": %.2f, "
			       "\"after\": %.2f}\n",
			       round, before, after);
			fflush(stdout);
			before = after;
		}
	}
	share_give(s, TURN_QUIT);
	return 0;
}
