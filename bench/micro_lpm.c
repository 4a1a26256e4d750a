// SPDX-License-Identifier: BSD-2-Clause
// micro_lpm.c - what a look-up among many routes costs, alone.
/*
 * micro_lpm [ROUTES...]: for each number of routes (default 1000, 100000 and
 * 1000000) of IPv4 and of IPv6 prints the time of an insertion, the memory, and
 * ns per look-up in batches of 256: of addresses that a route drawn at random
 * leads to, and of any. Median of REPEATS slices of SLICE_NS, with the
 * extremes. Lengths are drawn as in tables of the Internet: IPv4 mostly /24,
 * the others /16 to /23; IPv6 mostly /48 and /32, the others between /29 and
 * /64.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/micro.h"
#include "lib/lpm.h"

enum {
	REPEATS = 15,
	SLICE_NS = 20000000,
	BATCH = 256,
	N_ADDRESSES = 256 * BATCH,
};

struct address {
	uint8_t bytes[16];
};

static void retire(void *arg, void *memory)
{
	free(memory); /* nobody looks up meanwhile */
}

static void draw(unsigned family, struct address *a)
{
	uint64_t r[2] = { random_u64(), random_u64() };

	memcpy(a->bytes, r, sizeof(r));
	if (family == 4) {
		a->bytes[0] = 1 + below(223);
		return;
	}
	a->bytes[0] = 0x20 + below(16);
	a->bytes[1] = below(16);
	a->bytes[2] &= 0x1f;
	a->bytes[6] = below(4);
}

static unsigned draw_len(unsigned family)
{
	unsigned at = below(100);

	if (family == 4)
		return at < 58 ? 24 : 16 + below(8);
	return at < 45 ? 48 : at < 70 ? 32 : 29 + below(36);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static uint64_t sum; /* or the compiler leaves the look-ups out */

static double slice(const struct lpm *t, const uint8_t *const *at)
{
	static unsigned from;
	uint64_t start = clock_ns(), now = start, n = 0;
	uint32_t value[BATCH];

	for (; now - start < SLICE_NS; now = clock_ns())
		for (unsigned i = 0; i < 8; i++, n += BATCH) {
			lpm_find(t, at + from, BATCH, value);
			sum += value[n / 7 % BATCH];
			from = (from + BATCH) % N_ADDRESSES;
		}
	return (double)(now - start) / n;
}

static void measure(unsigned family, unsigned n, struct address *routes,
		    struct address *addresses, const uint8_t **at)
{
	size_t before = mallinfo2().uordblks;
	double ns[REPEATS];
	uint64_t start;
	struct lpm *t;
	unsigned keep;

	if (lpm_create(&t, family))
		goto err;
	for (unsigned i = 0; i < n; i++)
		draw(family, &routes[i]);
	start = clock_ns();
	for (unsigned i = 0; i < n; i++)
		if (lpm_insert(t, routes[i].bytes, draw_len(family), 1 + i,
			       retire, NULL))
			goto err;
	printf("IPv%u %8u routes: %6.2f us each, %4zu MB;", family, n,
	       (clock_ns() - start) / 1e3 / n,
	       (mallinfo2().uordblks - before) >> 20);
	for (unsigned hit = 2; hit-- > 0;) {
		for (unsigned i = 0; i < N_ADDRESSES; i++) {
			draw(family, &addresses[i]);
			keep = family == 4 ? 3 : 8;
			if (hit)
				memcpy(&addresses[i], &routes[below(n)], keep);
			at[i] = addresses[i].bytes;
		}
		slice(t, at);
		for (unsigned i = 0; i < REPEATS; i++)
			ns[i] = slice(t, at);
		qsort(ns, REPEATS, sizeof(ns[0]), compare);
		printf("  %s %.1f ns (%.1f..%.1f)", hit ? "routed" : "any",
		       ns[REPEATS / 2], ns[0], ns[REPEATS - 1]);
	}
	printf("\n");
	lpm_destroy(t);
	return;
err:
	fprintf(stderr, "micro_lpm: no memory\n");
	exit(1);
}

int main(int argc, char **argv)
{
	static const unsigned usual[] = { 1000, 100000, 1000000 };
	unsigned n = argc > 1 ? argc - 1 : 3, most = 1000000;
	struct address *addresses, *routes;
	const uint8_t **at;

	for (int i = 1; i < argc; i++)
		most = strtoul(argv[i], NULL, 0) > most ?
			       strtoul(argv[i], NULL, 0) :
			       most;
	routes = malloc(most * sizeof(*routes));
	addresses = malloc(N_ADDRESSES * sizeof(*addresses));
	at = malloc(N_ADDRESSES * sizeof(*at));
	if (!routes || !addresses || !at) {
		fprintf(stderr, "micro_lpm: no memory\n");
		return 1;
	}
	for (unsigned family = 4; family <= 6; family += 2)
		for (unsigned i = 0; i < n; i++)
			measure(family,
				argc > 1 ? strtoul(argv[i + 1], NULL, 0) :
					   usual[i],
				routes, addresses, at);
	free(at);
	free(addresses);
	free(routes);
	return sum == 1;
}
