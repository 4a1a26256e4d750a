// SPDX-License-Identifier: BSD-2-Clause
// tap_party.c - play tap_blast as one side of a benchmark.
/*
 * tap_party SHARE SIDE SIZE
 *
 * Nothing in tap_blast knows of turns. While it is not this side's turn, a
 * signal holds its writer in a handler; the reader then blocks by itself. The
 * window is measured here.
 */
int tap_blast_main(int argc, char **argv);
#define main tap_blast_main
#include "tap_blast.c"
#undef main

#include <signal.h>
#include <sys/prctl.h>

#include "bench/share.h"

enum {
	SKIP_MS = 10,
};

static struct share *share;
static uint32_t me;

static void hold(int sig)
{
	int saved = errno;
	uint32_t turn;

	(void)sig;
	while ((turn = atomic_load(&share->turn)) != me + 1)
		share_wait(share, turn);
	errno = saved;
}

/* One slice: the writer runs from the turn's begin to its end. */
static void slice_run(pthread_t writer_id)
{
	struct side *side = &share->side[me];
	uint64_t n, t;

	share_sleep_ms(SKIP_MS);
	n = blast.read;
	t = share_now();
	while (share_runs(share, me))
		share_wait(share, me + 1);
	atomic_store(&side->own_packets, blast.read - n);
	atomic_store(&side->own_ns, share_now() - t);
	pthread_kill(writer_id, SIGUSR1);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = hold,
				    .sa_flags = SA_RESTART };
	uint8_t frame[FRAME_MAX];
	pthread_t id;

	if (argc != 4) {
		fprintf(stderr, "usage: tap_party SHARE SIDE SIZE\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	share = share_open(argv[1]);
	me = (uint32_t)atoi(argv[2]);
	blast.size = (unsigned)atoi(argv[3]);
	topology_make();
	frame_make(frame, 2, 1); /* the bridge learns where the reader is */
	if (write(blast.out, frame, 60) < 0)
		die("writing to the TAP");
	sigaction(SIGUSR1, &action, NULL);
	if (pthread_create(&id, NULL, reader, NULL) ||
	    pthread_create(&id, NULL, writer, NULL))
		die("cannot start a thread");
	pthread_kill(id, SIGUSR1);
	atomic_fetch_add(&share->n_ready, 1);
	while (share_enter(share, 1U << me) >= 0) {
		slice_run(id);
		share_leave(share);
	}
	_exit(0);
}
