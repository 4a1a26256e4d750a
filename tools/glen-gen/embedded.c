// SPDX-License-Identifier: BSD-2-Clause
// embedded.c - the mode embedded: sender, switch and receiver in one process.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glen/switch.h>

#include "report.h"
#include "run.h"

enum {
	FORGIVE_TICKS = 50, /* of 20 ms */
};

/*
 * With one thread, everything happens in turn: a batch is sent, the switch runs
 * once, the receiver empties its rings. With two, the receiver has a thread of
 * its own, on another processor if there is one.
 */
struct embedded {
	const struct gen_opts *opts;
	struct glen_switch *sw;
	struct glen_port *tx_port, *rx_port;
	struct sender s;
	struct receiver r;
	int rx_cpu; /* of the receiver's thread */
	/* Two threads: packets that may be on their way, and were forgiven. */
	uint64_t window, forgiven;
	uint64_t stuck_at;  /* packets received when the last tick came */
	unsigned stuck_for; /* ticks since that changed */
	/* Written by the receiver, for the display. */
	_Atomic uint64_t packets, bytes;
	_Atomic int rx_error;
	/* Written by the sender: take what is left, then end. */
	_Atomic bool drain;
};

static int open_port(struct embedded *e, struct glen_port **port,
		     const char *name)
{
	struct glen_error error = { 0 };
	int r = glen_switch_port_open(e->sw, port, name, &e->opts->config,
				      &error);

	if (r)
		fprintf(stderr, "glen-gen: cannot open port %s: %s\n", name,
			error.text);
	return r;
}

static int open_all(struct embedded *e)
{
	struct glen_error error = { 0 };
	char options[64] = "{}";
	bool learns = !strcmp(e->opts->module, "learn");
	int r;

	if (learns && e->opts->flows > 16384)
		snprintf(options, sizeof(options), "{\"entries\": %u}",
			 4 * e->opts->flows < FLOWS_MAX ? 4 * e->opts->flows :
							  FLOWS_MAX);
	if (!learns)
		snprintf(options, sizeof(options), "%s",
			 "{\"map\": {\"tx\": \"rx\"}}");
	r = glen_switch_create(&e->sw, "gen", e->opts->module, options, &error);
	if (r) {
		fprintf(stderr, "glen-gen: cannot make a switch: %s\n",
			error.text);
		return r;
	}
	r = open_port(e, &e->rx_port, "rx");
	if (!r)
		r = open_port(e, &e->tx_port, "tx");
	return r;
}

/* Empties every RX ring once. A count, or -errno. */
static int recv_turn(struct embedded *e)
{
	int n = 0;

	for (uint32_t i = 0; i < e->r.n_rings; i++) {
		int r = receiver_step(&e->r);

		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

static void *recv_thread(void *arg)
{
	struct embedded *e = arg;
	int n = 0;

	run_pin(e->rx_cpu);
	while (n >= 0) {
		bool last = atomic_load_explicit(&e->drain,
						 memory_order_acquire);

		n = recv_turn(e);
		if (!n && last) /* the first one may only have looked */
			n = recv_turn(e);
		if (n > 0) {
			atomic_store_explicit(&e->packets,
					      receiver_packets(&e->r),
					      memory_order_relaxed);
			atomic_store_explicit(&e->bytes, receiver_bytes(&e->r),
					      memory_order_relaxed);
		} else if (last) {
			break;
		} else if (e->rx_cpu < 0) {
			sched_yield();
		}
	}
	if (n < 0)
		atomic_store(&e->rx_error, n);
	return NULL;
}

/* The receiver's addresses, made known to the switch. */
static int announce_all(struct embedded *e)
{
	struct gen_opts own = *e->opts;
	uint32_t next = 0;
	int r = 0;

	memcpy(own.spec.src, e->opts->spec.dst, sizeof(own.spec.src));
	while (e->opts->announce && r >= 0 && next < own.flows) {
		r = announce(e->rx_port, &own, &next);
		glen_switch_poll(e->sw);
		sender_discard_rx(&e->s);
	}
	return r;
}

/*
 * The switch drops what the receiver's ring has no room for, and would do
 * little else here, being faster than a receiver on another core. So the
 * sender keeps no more on the way than a ring holds.
 */
static bool may_send(const struct embedded *e)
{
	uint64_t got = atomic_load_explicit(&e->packets, memory_order_relaxed);

	return e->opts->threads == 1 ||
	       e->s.packets - got - e->forgiven < e->window;
}

/*
 * Every tick. After a second without one arrival what is on its way is taken
 * for lost; a receiver that is merely not running comes back before.
 */
static void forgive(struct embedded *e)
{
	uint64_t got = atomic_load_explicit(&e->packets, memory_order_relaxed);

	if (got != e->stuck_at || may_send(e))
		e->stuck_for = 0;
	else if (++e->stuck_for > FORGIVE_TICKS)
		e->forgiven = e->s.packets - got;
	e->stuck_at = got;
}

/* One turn of sender and switch, and receiver if it has no thread. */
static int turn(struct embedded *e)
{
	int n = 0, m;

	if (!sender_done(&e->s) && may_send(e))
		n = sender_step(&e->s, e->s.needs_clock ? clock_ns() : 0);
	if (n < 0)
		return n;
	n += (int)glen_switch_poll(e->sw);
	if (e->opts->threads > 1)
		return n;
	m = recv_turn(e);
	return m < 0 ? m : n + m;
}

/* Lets everything that was sent arrive. */
static int settle(struct embedded *e)
{
	uint32_t next = 0;
	int n;

	do {
		if (e->opts->check && sender_end_markers(&e->s, &next) < 0)
			return -ENOTCONN;
		n = (int)glen_switch_poll(e->sw);
		if (e->opts->threads == 1) {
			int m = recv_turn(e);

			if (m < 0)
				return m;
			n += m;
		}
	} while (n || sender_pending(&e->s) ||
		 (e->opts->check && next < e->opts->flows));
	return 0;
}

static void fill_progress(struct embedded *e, struct progress *p)
{
	if (e->opts->threads == 1) {
		p->packets = receiver_packets(&e->r);
		p->bytes = receiver_bytes(&e->r);
	} else {
		p->packets = atomic_load_explicit(&e->packets,
						  memory_order_relaxed);
		p->bytes = atomic_load_explicit(&e->bytes,
						memory_order_relaxed);
	}
	/* What lies in the rings is not lost. */
	p->lost = 0;
}

static int embedded_loop(struct run *run, struct embedded *e)
{
	int n;

	while (!run_stop && !sender_done(&e->s)) {
		if (run_tick) {
			struct progress p;

			fill_progress(e, &p);
			if (run_housekeep(run, &p))
				break;
			forgive(e);
			n = atomic_load_explicit(&e->rx_error,
						 memory_order_relaxed);
			if (n)
				return n;
		}
		n = turn(e);
		if (n < 0)
			return n;
		if (!n && pace_wait_ns(&e->s.pace))
			run_wait_tx(e->opts, &e->s);
	}
	return 0;
}

/* A processor for the receiver's thread that is not the sender's. */
static int other_cpu(int mine)
{
	int n_cpus = CPU_SETSIZE;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return -1;
	for (int i = 0; i < n_cpus; i++)
		if (i != mine && CPU_ISSET((unsigned)i, &set))
			return i;
	return -1;
}

static int start_receiver(struct embedded *e, pthread_t *thread)
{
	int mine = e->opts->cpu >= 0 ? e->opts->cpu : sched_getcpu();
	sigset_t all, old;
	int r;

	if (e->opts->threads == 1)
		return 0;
	e->rx_cpu = other_cpu(mine);
	if (e->rx_cpu >= 0 && run_pin(mine))
		return -EINVAL;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(thread, NULL, recv_thread, e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

static int run_all(struct embedded *e, struct run *run)
{
	pthread_t thread;
	int r = announce_all(e);

	if (r >= 0)
		r = start_receiver(e, &thread);
	if (r < 0)
		return r;
	run->start = e->s.first_ns = e->r.first_ns = clock_ns();
	r = embedded_loop(run, e);
	e->s.last_ns = clock_ns();
	if (!r)
		r = settle(e);
	if (e->opts->threads > 1) {
		atomic_store_explicit(&e->drain, true, memory_order_release);
		pthread_join(thread, NULL);
		if (!r)
			r = atomic_load(&e->rx_error);
	}
	e->r.last_ns = clock_ns();
	return r;
}

/* A ring's packets less one batch, which is sent without looking. */
static void set_window(struct embedded *e)
{
	uint32_t seg = e->s.tx.seg_max, slots, chain, ring;

	slots = glen_port_rx_ring(e->rx_port, 0)->num_slots - 1;
	chain = (e->opts->sizes.max + e->opts->spec.vnet_len + seg - 1) / seg;
	ring = slots / chain;
	e->window = ring > e->opts->batch ? ring - e->opts->batch : 1;
}

int run_embedded(const struct gen_opts *opts)
{
	struct report report = { .opts = opts };
	struct embedded *e = calloc(1, sizeof(*e));
	struct run run;
	int r, code = 0;

	if (!e)
		return run_trouble("embedded", NULL, -ENOMEM);
	e->opts = opts;
	e->rx_cpu = -1;
	r = opts->threads == 1 ? run_pin(opts->cpu) : 0;
	if (!r)
		r = open_all(e);
	if (!r)
		r = run_init(&run, opts);
	if (!r)
		r = sender_init(&e->s, opts, e->tx_port, clock_ns());
	if (!r)
		r = receiver_init(&e->r, opts, e->rx_port);
	if (r)
		goto err_close;
	/* A batch of packets that are chains is more slots than a batch. */
	if (opts->sizes.max + opts->spec.vnet_len > e->s.tx.seg_max)
		e->r.limit = GLEN_SLOTS_MAX;
	set_window(e);
	r = run_all(e, &run);
	run_fini(&run);
	report.sender = &e->s;
	report.receiver = &e->r;
	report_print(&report);
	if (opts->expect_lossless && !report_clean(&report))
		code = EXIT_LOSS;
err_close:
	if (r < 0)
		code = run_trouble("embedded run ended", e->tx_port, r);
	sender_fini(&e->s);
	receiver_fini(&e->r);
	glen_port_close(e->tx_port);
	glen_port_close(e->rx_port);
	glen_switch_destroy(e->sw);
	free(e);
	return code;
}
