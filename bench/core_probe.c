// SPDX-License-Identifier: BSD-2-Clause
// core_probe.c - tell the core distance and both clocks whenever asked.
/*
 * core_probe < questions > answers
 *
 * For benchmarks whose turns are not given by conduct. For every line read
 * from standard input it prints {"distance": NS, "tsc": CYCLES, "ns": NS}: how
 * far apart processors 0 and 1 are, and the time-stamp counter beside
 * CLOCK_MONOTONIC, from two of which follows the counter's frequency.
 */
#include "bench/probe.h"
#include "bench/share.h"

static uint64_t tsc_read(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

int main(void)
{
	char line[64];

	if (probe_start()) {
		fprintf(stderr, "core_probe: cannot start a thread\n");
		return 1;
	}
	share_pin(sysconf(_SC_NPROCESSORS_ONLN) < 2 ? -1 : 0);
	while (fgets(line, sizeof(line), stdin)) {
		double distance = probe_run();
		uint64_t ns = share_now();

		printf("{\"distance\": %.2f, \"tsc\": %llu, \"ns\": %llu}\n",
		       distance, (unsigned long long)tsc_read(),
		       (unsigned long long)ns);
		fflush(stdout);
	}
	return 0;
}
