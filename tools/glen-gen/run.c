// SPDX-License-Identifier: BSD-2-Clause
// run.c - what the loops of all modes share: signals, progress, waiting.
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	TICK_US = 20000,
	WAIT_MS = 100,
	END_ROUNDS = 3,
	CHAIN_NAP_NS = 20000,
};

volatile sig_atomic_t run_stop, run_tick;

static void on_stop(int sig)
{
	run_stop = 1;
}

static void on_tick(int sig)
{
	run_tick = 1;
}

int run_init(struct run *run, const struct gen_opts *opts)
{
	struct sigaction stop = { .sa_handler = on_stop };
	struct sigaction tick = { .sa_handler = on_tick };
	struct itimerval every = { { 0, TICK_US }, { 0, TICK_US } };
	bool live = isatty(STDERR_FILENO) && !opts->quiet;

	memset(run, 0, sizeof(*run));
	run->opts = opts;
	run->start = run->shown_at = clock_ns();
	run->show_every = opts->every ? opts->every : live ? 1000000000 : 0;
	run->next_show = run->start + run->show_every;
	if (sigaction(SIGINT, &stop, NULL) < 0 ||
	    sigaction(SIGTERM, &stop, NULL) < 0 ||
	    sigaction(SIGALRM, &tick, NULL) < 0 ||
	    setitimer(ITIMER_REAL, &every, NULL) < 0)
		return -errno;
	prctl(PR_SET_TIMERSLACK, 1000);
	return 0;
}

/* One line or object about what happened since the last one. */
static void show(struct run *run, const struct progress *p, uint64_t now)
{
	double s = (double)(now - run->shown_at) / 1e9;
	double pps = (double)(p->packets - run->shown.packets) / s;
	double gbps = (double)(p->bytes - run->shown.bytes) * 8e-9 / s;
	double at = (double)(now - run->start) / 1e9;

	if (run->opts->every && run->opts->json) {
		printf("{\"at\": %.6f, \"seconds\": %.6f, "
		       "\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64
		       ", \"pps\": %.1f, \"gbps\": %.6f, \"lost\": %" PRIu64
		       "}\n",
		       at, s, p->packets, p->bytes, pps, gbps, p->lost);
		fflush(stdout);
	} else if (run->opts->every) {
		printf("%8.2f s  %10.4f Mpps  %9.4f Gb/s  %" PRIu64
		       " packets  %" PRIu64 " lost\n",
		       at, pps / 1e6, gbps, p->packets, p->lost);
		fflush(stdout);
	} else {
		fprintf(stderr,
			"\r%6.0f s  %8.3f Mpps  %8.3f Gb/s  %" PRIu64
			" packets  %" PRIu64 " lost\033[K",
			at, pps / 1e6, gbps, p->packets, p->lost);
	}
	run->shown_at = now;
	run->shown = *p;
	run->next_show += run->show_every;
	if (run->next_show < now)
		run->next_show = now + run->show_every;
}

bool run_housekeep(struct run *run, const struct progress *p)
{
	const struct gen_opts *o = run->opts;
	uint64_t now = clock_ns();

	run_tick = 0;
	if (run->show_every && now >= run->next_show)
		show(run, p, now);
	if (p->packets != run->seen) {
		run->seen = p->packets;
		run->changed_at = now;
	}
	if (o->time && now - run->start >= o->time)
		return true;
	return o->idle && run->changed_at && now - run->changed_at >= o->idle;
}

void run_fini(struct run *run)
{
	struct itimerval off = { 0 };

	setitimer(ITIMER_REAL, &off, NULL);
	if (run->show_every && !run->opts->every)
		fprintf(stderr, "\r\033[K");
}

int run_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	fprintf(stderr,
		"glen-gen: cannot run on processor %d: %s (see /proc/cpuinfo "
		"for those there are)\n",
		cpu, strerror(errno));
	return -errno;
}

int run_wait_tx(const struct gen_opts *opts, struct sender *s)
{
	uint64_t ns = pace_wait_ns(&s->pace);
	struct timespec nap = { 0, (long)(ns < 500000000 ? ns : 500000000) };
	int r;

	if (opts->busy) {
		sched_yield();
		return 0;
	}
	/* Room, but not for a whole chain: glen_wait() would return at once. */
	if (!ns && nm_ring_space(glen_port_tx_ring(s->port, s->ring)))
		nap.tv_nsec = (long)(ns = CHAIN_NAP_NS);
	if (ns) {
		nanosleep(&nap, NULL);
		return 0;
	}
	r = glen_wait(s->port, GLEN_TX, WAIT_MS);
	return r < 0 && r != -EINTR ? r : 0;
}

/* Waits until glend has taken all, but not longer than a second. */
static void wait_drained(struct sender *s)
{
	uint64_t until = clock_ns() + 1000000000;
	struct timespec nap = { 0, 100000 };

	while (sender_pending(s) && clock_ns() < until)
		nanosleep(&nap, NULL);
}

int run_end_stream(const struct gen_opts *opts, struct sender *s)
{
	struct timespec nap = { 0, 10000000 };
	int r = 0;

	wait_drained(s);
	if (!opts->check)
		return 0;
	for (int round = 0; round < END_ROUNDS && !r; round++) {
		uint64_t until = clock_ns() + 1000000000;
		uint32_t next = 0;

		/* A pause, so that a slow receiver gets one of the rounds. */
		nanosleep(&nap, NULL);
		while (next < opts->flows && clock_ns() < until && !r) {
			r = sender_end_markers(s, &next);
			wait_drained(s);
		}
	}
	return r;
}

struct glen_port *run_open(const struct gen_opts *opts)
{
	struct glen_port_config config = opts->config;
	struct glen_error error = { 0 };
	struct glen_port *port;
	int r;

	memcpy(config.mac, opts->spec.src, sizeof(config.mac));
	r = glen_port_open(&port, opts->port, &config, &error);
	if (!r)
		return port;
	fprintf(stderr, "glen-gen: cannot open %s: %s\n", opts->port,
		error.text[0] ? error.text : strerror(-r));
	return NULL;
}

int run_trouble(const char *what, const struct glen_port *port, int error)
{
	const char *why = port ? glen_port_error(port) : "";

	fprintf(stderr, "glen-gen: %s: %s\n", what,
		*why ? why : strerror(-error));
	return EXIT_TROUBLE;
}

int run_announce(const struct gen_opts *opts, struct glen_port *port)
{
	uint32_t next = 0;
	int r = 0;

	if (!opts->announce)
		return 0;
	while (r >= 0 && next < opts->flows && !run_stop) {
		r = announce(port, opts, &next);
		if (r >= 0 && next < opts->flows)
			r = glen_wait_ring(port, 0, GLEN_TX, WAIT_MS);
		if (r == -EINTR)
			r = 0;
	}
	return r < 0 ? r : 0;
}
