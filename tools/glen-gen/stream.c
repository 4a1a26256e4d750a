// SPDX-License-Identifier: BSD-2-Clause
// stream.c - the modes send and recv: one direction through one port.
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "run.h"

enum {
	WAIT_MS = 100,
};

#define ANNOUNCE_EVERY_NS UINT64_C(60000000000)

/*
 * A switch does not hold a sender up when a receiver's ring is full; it drops.
 * A polling sender that shares its processor with the receiver must therefore
 * let it run now and then by itself: every half a ring.
 */
static void send_yield(struct sender *s)
{
	if (!s->opts->busy || s->packets < s->yield_at)
		return;
	sched_yield();
	s->yield_at = s->packets + glen_port_tx_ring(s->port, 0)->num_slots / 2;
}

static int send_loop(struct run *run, struct sender *s)
{
	const struct gen_opts *o = run->opts;
	uint32_t idle = 0; /* rings in turn that took nothing */
	int n = 0;

	while (!run_stop && !sender_done(s)) {
		if (run_tick) {
			struct progress p = { s->packets, s->tx.bytes, 0 };

			if (run_housekeep(run, &p))
				break;
			sender_discard_rx(s);
		}
		n = sender_step(s, s->needs_clock ? clock_ns() : 0);
		if (n < 0)
			return n;
		send_yield(s);
		idle = n ? 0 : idle + 1;
		if (idle < s->n_rings)
			continue;
		n = run_wait_tx(o, s);
		if (n < 0)
			return n;
		idle = 0;
	}
	return 0;
}

int run_send(const struct gen_opts *opts)
{
	struct report report = { .opts = opts };
	struct glen_port *port = run_open(opts);
	struct sender s = { 0 };
	struct run run;
	int r, code = 0;

	if (!port)
		return EXIT_TROUBLE;
	r = run_pin(opts->cpu);
	if (!r)
		r = run_init(&run, opts);
	if (!r)
		r = sender_init(&s, opts, port, clock_ns());
	if (r)
		goto err_close;
	s.first_ns = clock_ns();
	r = send_loop(&run, &s);
	s.last_ns = clock_ns();
	if (!r)
		r = run_end_stream(opts, &s);
	run_fini(&run);
	report.sender = &s;
	report_port(&report, port);
	report_print(&report);
err_close:
	if (r < 0)
		code = run_trouble("sending ended", port, r);
	sender_fini(&s);
	glen_port_close(port);
	return code;
}

/* Nothing is there: note the time, then wait. */
static int recv_wait(const struct gen_opts *o, struct receiver *r)
{
	int n;

	if (o->busy) {
		sched_yield();
		return 0;
	}
	n = glen_wait(r->port, GLEN_RX, WAIT_MS);
	return n < 0 && n != -EINTR ? n : 0;
}

/* Keeps first_ns and last_ns, at no cost while packets come in a stream. */
static void recv_stamp(struct receiver *r, int n, uint64_t *stamped)
{
	if (n && r->first_ns)
		return;
	if (*stamped == r->rx.packets)
		return;
	*stamped = r->rx.packets;
	r->last_ns = clock_ns();
	if (!r->first_ns)
		r->first_ns = r->last_ns;
}

static int recv_tick(struct run *run, struct receiver *r, uint64_t *stamped,
		     uint64_t *announced)
{
	struct progress p = { receiver_packets(r), receiver_bytes(r),
			      r->seq.missing };
	uint64_t now = clock_ns();

	recv_stamp(r, 0, stamped);
	if (run_housekeep(run, &p))
		return 1;
	if (now - *announced < ANNOUNCE_EVERY_NS)
		return 0;
	*announced = now;
	return run_announce(run->opts, r->port);
}

static int recv_loop(struct run *run, struct receiver *r)
{
	uint64_t stamped = 0, announced = clock_ns();
	uint32_t idle = 0;
	int n = 0;

	while (!run_stop && !receiver_done(r)) {
		if (run_tick) {
			n = recv_tick(run, r, &stamped, &announced);
			if (n)
				break;
		}
		n = receiver_step(r);
		if (n < 0)
			break;
		recv_stamp(r, n, &stamped);
		idle = n ? 0 : idle + 1;
		if (idle < r->n_rings)
			continue;
		idle = 0;
		n = recv_wait(run->opts, r);
		if (n < 0)
			break;
	}
	recv_stamp(r, 0, &stamped);
	return n < 0 ? n : 0;
}

int run_recv(const struct gen_opts *opts)
{
	struct report report = { .opts = opts };
	struct glen_port *port = run_open(opts);
	struct receiver r = { 0 };
	struct run run;
	int err, code = 0;

	if (!port)
		return EXIT_TROUBLE;
	err = run_pin(opts->cpu);
	if (!err)
		err = run_init(&run, opts);
	if (!err)
		err = receiver_init(&r, opts, port);
	if (!err)
		err = run_announce(opts, port);
	if (err)
		goto err_close;
	err = recv_loop(&run, &r);
	run_fini(&run);
	report.receiver = &r;
	report_port(&report, port);
	report_print(&report);
	if (opts->expect_lossless && !report_clean(&report))
		code = EXIT_LOSS;
err_close:
	if (err < 0)
		code = run_trouble("receiving ended", port, err);
	receiver_fini(&r);
	glen_port_close(port);
	return code;
}
