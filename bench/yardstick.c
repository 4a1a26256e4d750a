// SPDX-License-Identifier: BSD-2-Clause
// yardstick.c - play a yardstick of shared/bench as one side of a benchmark.
/*
 * yardstick SHARE SIDE [LAYOUT FRAME_LEN]
 *
 * bench/run compiles this with YARDSTICK set to the path of bare-rings.c or
 * bare-rtt.c, and YARDSTICK_RINGS or YARDSTICK_RTT. The yardstick is used as
 * it is: its threads are started for each slice and end with it, or, with
 * bare-rtt, sleep between slices. The window is measured here.
 */
#define main yardstick_main
#include YARDSTICK
#undef main

#include "bench/share.h"

#include <signal.h>
#include <sys/prctl.h>

enum {
	SKIP_MS = 10,
};

static struct share *share;
static uint32_t me;

#ifdef YARDSTICK_RINGS

static const struct layout *layout;

/* What the yardstick's main() does before it starts threads. */
static void yardstick_open(char **argv)
{
	for (unsigned i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
		if (!strcmp(argv[3], layouts[i].name))
			layout = &layouts[i];
	if (!layout)
		exit(2);
	frame_len = (unsigned)atoi(argv[4]);
	memcpy(frame, "\2\0\0\0\0\2\2\0\0\0\0\1\x88\xb5", 14);
	a = port_new();
	b = port_new();
	table[hash(load_mac(frame))].mac = load_mac(frame);
	table[hash(load_mac(frame))].port = 2;
}

static void slice_run(struct side *side)
{
	pthread_t id[4];
	unsigned n = 0;
	uint64_t got, t;

	atomic_store(&stop, false);
	for (const struct role *r = layout->role; n < 4 && r->steps[0]; r++)
		if (pthread_create(&id[n++], NULL, run, (void *)r))
			exit(1);
	share_sleep_ms(SKIP_MS);
	got = atomic_load(&received);
	t = share_now();
	while (share_runs(share, me))
		share_wait(share, me + 1);
	got = atomic_load(&received) - got;
	t = share_now() - t;
	atomic_store(&stop, true);
	while (n)
		pthread_join(id[--n], NULL);
	atomic_store(&side->own_packets, got);
	atomic_store(&side->own_ns, t);
}

#else

static void yardstick_open(char **argv)
{
	pthread_t t;

	for (int i = 0; i < 4; i++)
		hop[i] = eventfd(0, EFD_CLOEXEC);
	for (intptr_t i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, relay, (void *)i))
			exit(1);
}

static void slice_run(struct side *side)
{
	while (share_runs(share, me)) {
		uint64_t start = share_now();

		post(hop[0]);
		await(hop[3]);
		share_sample(side, share_now() - start);
		share_count(side, 0, 1);
	}
}

#endif

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	share = share_open(argv[1]);
	me = (uint32_t)atoi(argv[2]);
	yardstick_open(argv);
	atomic_fetch_add(&share->n_ready, 1);
	while (share_enter(share, 1U << me) >= 0) {
		slice_run(&share->side[me]);
		share_leave(share);
	}
	_exit(0);
}
