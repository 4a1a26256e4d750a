// SPDX-License-Identifier: BSD-2-Clause
// micro_tuple3.c - what a look-up of module tuple3 costs, alone.
/*
 * micro_tuple3 [CLAIMS...]: for each number of claims (default 1, 1000 and
 * 100000) prints ns per packet of batches of 256 UDP packets over IPv4: from
 * the uplink to claims drawn at random, and from a claimant to one remote host.
 * Median of REPEATS slices of SLICE_NS, with the extremes. Building the headers
 * is not timed.
 *
 * micro_tuple3 count CLAIMS BATCHES: so many batches of the first kind and
 * nothing else, for valgrind's callgrind: the difference of two runs, over that
 * of their packets, is instructions per packet.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

enum {
	REPEATS = 15,
	SLICE_NS = 60000000,
	N_BATCHES = 256, /* different ones, so that nothing is known by heart */
	UPLINK = 1,
	CLAIMANT = 2,
	PER_ADDRESS = 50000,
};

static module_lookup lookup; /* asked once: it reads the environment */
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

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Claim i: address and port, both in network order. */
static void tuple(uint32_t i, uint8_t ip[4], uint16_t *port)
{
	const uint8_t own[4] = { 10, 0, 0, 1 + i / PER_ADDRESS };

	memcpy(ip, own, 4);
	*port = htons(1 + i % PER_ADDRESS);
}

static void defer(const struct glen_module_env *env, void (*fn)(void *arg),
		  void *arg)
{
	fn(arg); /* nobody looks up meanwhile */
}

static int no_set(const struct glen_module_env *env, uint32_t *set)
{
	return -ENOSPC;
}

static struct tuple3 *made(const struct glen_module_env *env, uint32_t n)
{
	static const char *const names[] = { "host", "net", "a" };
	json_t *params = json_pack("{s:s, s:s, s:i}", "default", "host",
				   "uplink", "net", "claims", T3_CLAIMS_MAX);
	const struct glen_module *ops = &module_tuple3.ops;
	struct glen_error error;
	void *state;

	if (ops->create(env, params, &state, &error))
		goto err;
	json_decref(params);
	for (unsigned i = 0; i < 3; i++)
		ops->port_add(state, &(struct glen_module_port){
					     .index = i, .name = names[i] });
	for (uint32_t i = 0; i < n; i++) {
		struct t3_claim c;
		uint8_t ip[4];

		tuple(i, ip, &c.port);
		c.key = t3_key4(ip);
		c.key.meta |= T3_UDP << 16 | c.port;
		if (t3_claim(state, CLAIMANT, &c, 1, &error))
			goto err;
	}
	return state;
err:
	fprintf(stderr, "micro_tuple3: %s\n", error.text);
	exit(1);
}

static void put_packet(uint8_t *hdr, uint32_t i, bool out)
{
	static const uint8_t head[24] = { 2, 0,	 0, 0, 0, 1, 2,	   0,
					  0, 0,	 0, 2, 8, 0, 0x45, 0,
					  0, 46, 0, 0, 0, 0, 64,   T3_UDP };
	static const uint8_t remote[4] = { 192, 0, 2, 1 };
	uint16_t port, sum, udp_len = htons(26);
	uint8_t ip[4];

	tuple(i, ip, &port);
	memset(hdr, 0, HDR_MIN);
	memcpy(hdr, head, sizeof(head));
	memcpy(hdr + 26, out ? ip : remote, 4);
	memcpy(hdr + 30, out ? remote : ip, 4);
	memcpy(hdr + (out ? 34 : 36), &port, 2);
	hdr[out ? 37 : 35] = 7;
	memcpy(hdr + 38, &udp_len, 2);
	sum = ~t3_sum(hdr + 14, IPV4_LEN);
	memcpy(hdr + 24, &sum, 2);
}

static void fill(struct batch *batches, uint32_t n, bool out)
{
	for (unsigned i = 0; i < N_BATCHES; i++) {
		struct batch *b = &batches[i];

		b->n = BATCH_MAX;
		for (unsigned k = 0; k < BATCH_MAX; k++) {
			put_packet(b->hdr[k], random_u64() % n, out);
			b->len[k] = b->hdr_len[k] = 60;
		}
	}
}

/* One batch must go where it should, else nothing here means anything. */
static void check(const struct batch *b, uint32_t want)
{
	for (unsigned k = 0; k < b->n; k++) {
		if (b->verdict[k] == glen_to_port(want))
			continue;
		fprintf(stderr, "micro_tuple3: verdict %#x\n", b->verdict[k]);
		exit(1);
	}
}

/* One slice; headers are fetched before the clock starts, as gather() does. */
static double slice(void *state, const struct glen_lookup *ctx,
		    struct batch *batches)
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

static void measure(const struct glen_module_env *env, uint32_t n,
		    struct batch *batches)
{
	struct tuple3 *t = made(env, n);
	double ns[REPEATS];

	for (int out = 0; out < 2; out++) {
		struct glen_lookup ctx = { .src = out ? CLAIMANT : UPLINK };

		fill(batches, n, out);
		slice(t, &ctx, batches);
		check(&batches[0], out ? UPLINK : CLAIMANT);
		for (unsigned i = 0; i < REPEATS; i++)
			ns[i] = slice(t, &ctx, batches);
		qsort(ns, REPEATS, sizeof(ns[0]), compare);
		printf("%8u claims, %s: %5.2f ns/packet (%.2f..%.2f)\n", n,
		       out ? "from claimants" : "to claimants  ",
		       ns[REPEATS / 2], ns[0], ns[REPEATS - 1]);
	}
	module_tuple3.ops.destroy(t);
}

static void count(const struct glen_module_env *env, uint32_t n,
		  unsigned n_batches, struct batch *batches)
{
	struct glen_lookup ctx = { .src = UPLINK };
	struct tuple3 *t = made(env, n);

	fill(batches, n, false);
	for (unsigned i = 0; i < n_batches; i++)
		lookup(t, &ctx, batch_view(&batches[i % N_BATCHES]));
	check(&batches[0], CLAIMANT);
	module_tuple3.ops.destroy(t);
}

int main(int argc, char **argv)
{
	static const uint32_t usual[] = { 1, 1000, 100000 };
	struct glen_module_host host = module_host;
	const struct glen_module_env env = { .host = &host,
					     .switch_name = "",
					     .n_workers = 1 };
	struct batch *batches = aligned_alloc(64, N_BATCHES * sizeof(*batches));

	if (!batches) {
		fprintf(stderr, "micro_tuple3: no memory\n");
		return 1;
	}
	host.defer = defer;
	host.set_create = no_set;
	for (unsigned i = 0; i < N_BATCHES; i++) {
		memset(&batches[i], 0, sizeof(batches[i]));
		batch_init(&batches[i]);
	}
	lookup = module_tuple3.lookup[isa_now()];
	if (argc == 4 && !strcmp(argv[1], "count")) {
		count(&env, strtoul(argv[2], NULL, 0),
		      strtoul(argv[3], NULL, 0), batches);
		goto out;
	}
	printf("instruction set %s\n", isa_name(isa_now()));
	for (int i = 1; i < argc; i++)
		measure(&env, strtoul(argv[i], NULL, 0), batches);
	for (unsigned i = 0; argc < 2 && i < 3; i++)
		measure(&env, usual[i], batches);
out:
	free(batches);
	return 0;
}
