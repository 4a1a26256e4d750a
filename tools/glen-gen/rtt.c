// SPDX-License-Identifier: BSD-2-Clause
// rtt.c - the modes ping and pong: round trips between two ports.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "run.h"

enum {
	WAIT_MS = 100,
};

struct pinger {
	const struct gen_opts *opts;
	struct glen_port *port;
	uint8_t *packet, *scratch;
	uint32_t run;
	uint64_t seq;
	struct pings *pings;
};

/* Handles one packet of a pinger's ring. True if it is the answer to seq. */
static bool ping_answer(struct pinger *g, const uint8_t *packet, uint32_t len)
{
	unsigned vnet = g->opts->spec.vnet_len, at;
	struct payload p;

	if (len < vnet ||
	    payload_get(packet + vnet, len - vnet, &p, &at) != PAYLOAD_OK ||
	    p.kind != PAYLOAD_PONG || p.run != g->run)
		return false;
	if (p.seq == g->seq)
		return true;
	g->pings->late++;
	return false;
}

/* Looks through all rings; true if the answer was among it. */
static int ping_look(struct pinger *g)
{
	bool found = false;

	for (uint32_t i = 0; i < glen_port_rings(g->port); i++) {
		struct netmap_ring *ring = glen_port_rx_ring(g->port, i);
		uint32_t at = ring->head, space = nm_ring_space(ring);
		int r;

		while (space) {
			const uint8_t *packet;
			uint32_t len, n;

			n = packet_at(ring, at, space, g->scratch, &packet,
				      &len);
			if (!n)
				break;
			found |= ping_answer(g, packet, len);
			at = (at + n) % ring->num_slots;
			space -= n;
		}
		ring->head = ring->cur = at;
		r = glen_rxsync(g->port, i);
		if (r < 0)
			return r;
	}
	return found;
}

/* Waits for the answer to g->seq. 1: came, 0: time-out or stop. */
static int ping_wait(struct pinger *g, uint64_t sent_at)
{
	const struct gen_opts *o = g->opts;

	for (;;) {
		uint64_t waited;
		int r = ping_look(g);

		if (r)
			return r;
		if (run_stop)
			return 0;
		if (o->busy) {
			sched_yield();
		} else {
			r = glen_wait(g->port, GLEN_RX, WAIT_MS);
			if (r < 0 && r != -EINTR)
				return r;
			if (r > 0)
				continue;
		}
		waited = clock_ns() - sent_at;
		if (waited >= o->timeout)
			return ping_look(g);
	}
}

/* One ping. Returns 0 or -errno. */
static int ping_once(struct pinger *g)
{
	const struct gen_opts *o = g->opts;
	struct payload p = { .run = g->run,
			     .kind = PAYLOAD_PING,
			     .seq = ++g->seq };
	uint64_t from = p.time = clock_ns();
	uint32_t len = packet_build(&o->spec, g->packet, o->sizes.max, 0, &p);
	int r;

	if (!ring_put(glen_port_tx_ring(g->port, 0), g->packet, len)) {
		/* Only after time-outs; glend will empty it. */
		r = glen_wait_ring(g->port, 0, GLEN_TX, WAIT_MS);
		g->seq--;
		return r < 0 && r != -EINTR ? r : 0;
	}
	r = glen_txsync(g->port, 0);
	if (r < 0)
		return r;
	g->pings->sent++;
	r = ping_wait(g, from);
	if (r < 0)
		return r;
	if (r) {
		hist_add(&g->pings->rtt, clock_ns() - from);
		g->pings->answered++;
	} else if (run_stop) {
		g->pings->sent--; /* nobody knows about this one */
	} else {
		g->pings->lost++;
	}
	return 0;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000),
			      (long)(ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int ping_loop(struct run *run, struct pinger *g)
{
	const struct gen_opts *o = run->opts;
	uint64_t next = clock_ns();
	int r;

	while (!run_stop && (!o->count || g->pings->sent < o->count)) {
		if (run_tick) {
			struct progress p = { g->pings->answered, 0,
					      g->pings->lost };

			if (run_housekeep(run, &p))
				break;
		}
		if (o->interval && clock_ns() < next) {
			if (o->busy)
				sched_yield();
			else
				sleep_until(next);
			continue;
		}
		next += o->interval;
		r = ping_once(g);
		if (r < 0)
			return r;
	}
	return 0;
}

int run_ping(const struct gen_opts *opts)
{
	struct report report = { .opts = opts };
	struct pinger g = { .opts = opts, .port = run_open(opts) };
	struct run run;
	int r, code = 0;

	if (!g.port)
		return EXIT_TROUBLE;
	g.run = (uint32_t)(clock_ns() >> 10) | 1;
	g.packet = aligned_alloc(64, PACKET_BUF_SIZE);
	g.scratch = aligned_alloc(64, PACKET_BUF_SIZE);
	g.pings = calloc(1, sizeof(*g.pings));
	r = g.packet && g.scratch && g.pings ? 0 : -ENOMEM;
	if (!r)
		r = run_pin(opts->cpu);
	if (!r)
		r = run_init(&run, opts);
	if (r)
		goto err_free;
	r = ping_loop(&run, &g);
	run_fini(&run);
	report.pings = g.pings;
	report_port(&report, g.port);
	report_print(&report);
	if (opts->expect_lossless && !report_clean(&report))
		code = EXIT_LOSS;
err_free:
	if (r < 0)
		code = run_trouble("pinging ended", g.port, r);
	free(g.packet);
	free(g.scratch);
	free(g.pings);
	glen_port_close(g.port);
	return code;
}

struct ponger {
	const struct gen_opts *opts;
	struct glen_port *port;
	uint8_t *packet, *scratch;
	uint64_t answered, dropped;
};

static void swap(uint8_t *a, uint8_t *b, unsigned n)
{
	uint8_t t;

	for (unsigned i = 0; i < n; i++) {
		t = a[i];
		a[i] = b[i];
		b[i] = t;
	}
}

/* Sends a ping back where it came from, through TX ring i. */
static void pong_answer(struct ponger *g, uint32_t i, const uint8_t *packet,
			uint32_t len)
{
	unsigned vnet = g->opts->spec.vnet_len, at;
	uint8_t *frame = g->packet + vnet;
	struct payload p;
	bool udp;

	if (len < vnet ||
	    payload_get(packet + vnet, len - vnet, &p, &at) != PAYLOAD_OK ||
	    p.kind != PAYLOAD_PING)
		return;
	memcpy(g->packet, packet, len);
	memset(g->packet, 0, vnet); /* no offloads for the way back */
	swap(frame, frame + 6, 6);
	udp = at > 18; /* Ethernet and a tag are 18 bytes */
	if (udp)
		swap(frame + at - 16, frame + at - 12, 4);
	p.kind = PAYLOAD_PONG;
	payload_put(frame, len - vnet, at, udp, &p);
	if (ring_put(glen_port_tx_ring(g->port, i), g->packet, len))
		g->answered++;
	else
		g->dropped++;
}

/* Answers what is in ring i. The number of slots, or -ENOTCONN. */
static int pong_ring(struct ponger *g, uint32_t i)
{
	struct netmap_ring *ring = glen_port_rx_ring(g->port, i);
	uint32_t at = ring->head, space = nm_ring_space(ring), done = 0;
	int r;

	while (done < space) {
		const uint8_t *packet;
		uint32_t len, n;

		n = packet_at(ring, at, space - done, g->scratch, &packet,
			      &len);
		if (!n)
			break;
		pong_answer(g, i, packet, len);
		at = (at + n) % ring->num_slots;
		done += n;
	}
	ring->head = ring->cur = at;
	r = done ? glen_txsync(g->port, i) : 0;
	if (r >= 0)
		r = glen_rxsync(g->port, i);
	return r < 0 ? r : (int)done;
}

static int pong_loop(struct run *run, struct ponger *g)
{
	const struct gen_opts *o = run->opts;
	int r;

	while (!run_stop && (!o->count || g->answered < o->count)) {
		int n = 0;

		if (run_tick) {
			struct progress p = { g->answered, 0, g->dropped };

			if (run_housekeep(run, &p))
				break;
		}
		for (uint32_t i = 0; i < glen_port_rings(g->port); i++) {
			r = pong_ring(g, i);
			if (r < 0)
				return r;
			n |= r;
		}
		if (n)
			continue;
		if (o->busy) {
			sched_yield();
			continue;
		}
		r = glen_wait(g->port, GLEN_RX, WAIT_MS);
		if (r < 0 && r != -EINTR)
			return r;
	}
	return 0;
}

int run_pong(const struct gen_opts *opts)
{
	struct report report = { .opts = opts };
	struct ponger g = { .opts = opts, .port = run_open(opts) };
	struct run run;
	int r, code = 0;

	if (!g.port)
		return EXIT_TROUBLE;
	g.packet = aligned_alloc(64, PACKET_BUF_SIZE);
	g.scratch = aligned_alloc(64, PACKET_BUF_SIZE);
	r = g.packet && g.scratch ? 0 : -ENOMEM;
	if (!r)
		r = run_pin(opts->cpu);
	if (!r)
		r = run_init(&run, opts);
	if (!r)
		r = run_announce(opts, g.port);
	if (r)
		goto err_free;
	r = pong_loop(&run, &g);
	run_fini(&run);
	report.pongs = g.answered;
	report.pongs_dropped = g.dropped;
	report_port(&report, g.port);
	report_print(&report);
err_free:
	if (r < 0)
		code = run_trouble("answering ended", g.port, r);
	free(g.packet);
	free(g.scratch);
	glen_port_close(g.port);
	return code;
}
