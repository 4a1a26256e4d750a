// SPDX-License-Identifier: BSD-2-Clause
// micro_learn.c - what a look-up of the learning bridge costs, alone.
/*
 * micro_learn [ADDRESSES...]: for each number of addresses (default 1, 10000
 * and 1048576) prints ns per packet of batches of 256: destinations drawn at
 * random, the source the same, or drawn at random as well. Median of REPEATS
 * slices of SLICE_NS, with the extremes. Building the headers is not timed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "module/learn/learn.h"

static module_lookup lookup; /* asked once: it reads the environment */

enum {
	REPEATS = 15,
	SLICE_NS = 60000000,
	N_BATCHES = 256, /* different ones, so that nothing is known by heart */
};

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Address i of one maker: the last bytes count up. */
static void put_mac(uint8_t *mac, uint32_t i)
{
	mac[0] = 2;
	mac[1] = 0;
	for (unsigned k = 0; k < 4; k++)
		mac[2 + k] = i >> (24 - 8 * k);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* All addresses are at port 1, the sources too. */
static void teach(const struct glen_module *ops, void *state, uint32_t n,
		  struct batch *b, const struct glen_lookup *ctx)
{
	for (uint32_t i = 0; i < n; i += b->n) {
		b->n = n - i < BATCH_MAX ? n - i : BATCH_MAX;
		for (unsigned k = 0; k < b->n; k++) {
			memset(b->hdr[k], 0, HDR_MIN);
			put_mac(b->hdr[k], 0xffffffff);
			put_mac(b->hdr[k] + 6, i + k);
		}
		lookup(state, ctx, batch_view(b));
	}
}

static void fill(struct batch *batches, uint32_t n, int random_source)
{
	for (unsigned i = 0; i < N_BATCHES; i++) {
		struct batch *b = &batches[i];

		b->n = BATCH_MAX;
		for (unsigned k = 0; k < BATCH_MAX; k++) {
			memset(b->hdr[k], 0, HDR_MIN);
			put_mac(b->hdr[k], random_u64() % n);
			put_mac(b->hdr[k] + 6,
				random_source ? random_u64() % n : 0);
		}
	}
}

/* One slice; headers are fetched before the clock starts, as gather() does. */
static double slice(const struct glen_module *ops, void *state,
		    const struct glen_lookup *ctx, struct batch *batches)
{
	uint64_t spent = 0, packets = 0;
	static unsigned at;

	while (spent < SLICE_NS) {
		struct batch *b = &batches[at++ % N_BATCHES];
		volatile uint8_t touch;
		uint64_t start;

		for (unsigned k = 0; k < BATCH_MAX; k++)
			touch = b->hdr[k][0];
		(void)touch;
		start = clock_ns();
		lookup(state, ctx, batch_view(b));
		spent += clock_ns() - start;
		packets += b->n;
	}
	return (double)spent / packets;
}

static void measure(const struct glen_module *ops, uint32_t n,
		    struct batch *batches)
{
	struct glen_lookup ctx = { .src = 1, .now_s = 100, .n_ports = 0 };
	json_t *params = json_pack("{s:I}", "entries",
				   (json_int_t)(n < 65536 ? 65536 : n));
	struct glen_error error;
	const struct glen_module_env env = { .host = &module_host,
					     .switch_name = "",
					     .n_workers = 1 };
	double ns[REPEATS];
	void *state;

	if (ops->create(&env, params, &state, &error)) {
		fprintf(stderr, "micro_learn: %s\n", error.text);
		exit(1);
	}
	teach(ops, state, n, batches, &ctx);
	for (int random_source = 0; random_source < 2; random_source++) {
		fill(batches, n, random_source);
		slice(ops, state, &ctx, batches);
		for (unsigned i = 0; i < REPEATS; i++)
			ns[i] = slice(ops, state, &ctx, batches);
		qsort(ns, REPEATS, sizeof(ns[0]), compare);
		printf("%8u addresses, %s source: %5.2f ns/packet "
		       "(%.2f..%.2f)\n",
		       n, random_source ? "random" : "one   ", ns[REPEATS / 2],
		       ns[0], ns[REPEATS - 1]);
	}
	ops->destroy(state);
	json_decref(params);
}

int main(int argc, char **argv)
{
	static const uint32_t usual[] = { 1, 10000, 1048576 };
	const struct glen_module *ops = &module_learn.ops;
	struct batch *batches = aligned_alloc(64, N_BATCHES * sizeof(*batches));

	if (!batches) {
		fprintf(stderr, "micro_learn: no memory\n");
		return 1;
	}
	for (unsigned i = 0; i < N_BATCHES; i++)
		batch_init(&batches[i]);
	lookup = module_learn.lookup[isa_now()];
	printf("instruction set %s\n", isa_name(isa_now()));
	for (int i = 1; i < argc; i++)
		measure(ops, strtoul(argv[i], NULL, 0), batches);
	for (unsigned i = 0; argc < 2 && i < 3; i++)
		measure(ops, usual[i], batches);
	free(batches);
	return 0;
}
