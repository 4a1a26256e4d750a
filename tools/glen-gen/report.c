// SPDX-License-Identifier: BSD-2-Clause
// report.c - prints what glen-gen has counted, as a table or as JSON.
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

static const char *mode_name(const struct gen_opts *o)
{
	switch (o->mode) {
	case MODE_SEND:
		return "send";
	case MODE_RECV:
		return "recv";
	case MODE_PING:
		return "ping";
	case MODE_PONG:
		return "pong";
	default:
		return "embedded";
	}
}

/* A stream's figures. */
struct flow_rate {
	uint64_t packets, bytes;
	double seconds, pps, gbps, ns;
};

static struct flow_rate rate_of(uint64_t packets, uint64_t bytes, uint64_t from,
				uint64_t to)
{
	struct flow_rate r = { .packets = packets, .bytes = bytes };

	r.seconds = (double)(to - from) / 1e9;
	if (r.seconds <= 0 || !packets)
		return r;
	r.pps = (double)packets / r.seconds;
	r.gbps = (double)bytes * 8e-9 / r.seconds;
	r.ns = r.seconds * 1e9 / (double)packets;
	return r;
}

static struct flow_rate rate_sent(const struct sender *s)
{
	return rate_of(s->packets, s->tx.bytes, s->first_ns, s->last_ns);
}

static struct flow_rate rate_received(const struct receiver *r)
{
	return rate_of(receiver_packets(r), receiver_bytes(r), r->first_ns,
		       r->last_ns);
}

void report_port(struct report *r, struct glen_port *port)
{
	r->has_stats = glen_port_stats(port, &r->stats) == 0;
	r->reconnects = glen_port_reconnects(port);
}

bool report_clean(const struct report *r)
{
	struct seq_counts sum;

	if (r->pings)
		return r->pings->answered && !r->pings->lost;
	if (!receiver_sum(r->receiver, &sum))
		return false;
	/* Sender and receiver in one process: nothing is unknown. */
	return !r->sender ||
	       r->sender->packets == receiver_packets(r->receiver);
}

static json_t *json_rate(const struct flow_rate *r)
{
	return json_pack("{sI sI sf sf sf sf}", "packets",
			 (json_int_t)r->packets, "bytes", (json_int_t)r->bytes,
			 "seconds", r->seconds, "pps", r->pps, "gbps", r->gbps,
			 "ns_per_packet", r->ns);
}

static json_t *json_hist(const struct hist *h)
{
	return json_pack("{sI sI sf sI sI sI sI sI}", "n", (json_int_t)h->n,
			 "min", (json_int_t)h->min, "mean", hist_mean(h), "p50",
			 (json_int_t)hist_quantile(h, 0.5), "p90",
			 (json_int_t)hist_quantile(h, 0.9), "p99",
			 (json_int_t)hist_quantile(h, 0.99), "p999",
			 (json_int_t)hist_quantile(h, 0.999), "max",
			 (json_int_t)h->max);
}

static json_t *json_check(const struct receiver *r)
{
	struct seq_counts c;
	bool clean = receiver_sum(r, &c);

	return json_pack("{sb sI sI sI sI sI sI sI sI sI sI sI sI}", "ok",
			 clean, "sent", (json_int_t)c.sent, "received",
			 (json_int_t)c.received, "lost", (json_int_t)c.lost,
			 "reordered", (json_int_t)c.reordered, "duplicated",
			 (json_int_t)c.duplicated, "stale", (json_int_t)c.stale,
			 "truncated", (json_int_t)r->truncated, "corrupted",
			 (json_int_t)r->corrupted, "foreign",
			 (json_int_t)r->foreign, "max_late",
			 (json_int_t)c.max_late, "flows", (json_int_t)c.flows,
			 "ended", (json_int_t)c.ended);
}

static void json_add_sender(json_t *root, const struct sender *s)
{
	struct flow_rate rate = rate_sent(s);
	json_t *o = json_rate(&rate);

	json_object_set_new(o, "ring_full",
			    json_integer((json_int_t)s->ring_full));
	json_object_set_new(o, "unsent",
			    json_integer((json_int_t)s->pace.unsent));
	json_object_set_new(root, "sent", o);
}

static void json_add_receiver(json_t *root, const struct receiver *r)
{
	struct flow_rate rate = rate_received(r);

	json_object_set_new(root, "received", json_rate(&rate));
	if (!r->opts->check)
		return;
	json_object_set_new(root, "check", json_check(r));
	json_object_set_new(root, "latency_ns", json_hist(r->latency));
}

static void print_json(const struct report *r)
{
	const struct glen_port_stats *p = &r->stats;
	json_t *root = json_pack("{ss ss*}", "mode", mode_name(r->opts), "port",
				 r->opts->port);

	if (r->sender)
		json_add_sender(root, r->sender);
	if (r->receiver)
		json_add_receiver(root, r->receiver);
	if (r->pings) {
		json_object_set_new(
			root, "pings",
			json_pack("{sI sI sI sI}", "sent",
				  (json_int_t)r->pings->sent, "answered",
				  (json_int_t)r->pings->answered, "lost",
				  (json_int_t)r->pings->lost, "late",
				  (json_int_t)r->pings->late));
		json_object_set_new(root, "rtt_ns", json_hist(&r->pings->rtt));
	}
	if (r->opts->mode == MODE_PONG)
		json_object_set_new(root, "pongs",
				    json_pack("{sI sI}", "answered",
					      (json_int_t)r->pongs, "dropped",
					      (json_int_t)r->pongs_dropped));
	if (r->has_stats)
		json_object_set_new(
			root, "port_stats",
			json_pack("{sI sI sI sI sI sI}", "in_packets",
				  (json_int_t)p->in_packets, "in_bytes",
				  (json_int_t)p->in_bytes, "in_drops",
				  (json_int_t)p->in_drops, "out_packets",
				  (json_int_t)p->out_packets, "out_bytes",
				  (json_int_t)p->out_bytes, "out_drops",
				  (json_int_t)p->out_drops));
	json_object_set_new(root, "reconnects",
			    json_integer((json_int_t)r->reconnects));
	if (json_dumpf(root, stdout, JSON_COMPACT) == 0)
		putchar('\n');
	json_decref(root);
}

static void row(const char *label, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void row(const char *label, const char *format, ...)
{
	va_list args;

	printf("  %-11s ", label);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void row_rate(const char *label, const struct flow_rate *r)
{
	row(label, "%" PRIu64 " packets, %" PRIu64 " bytes in %.3f s",
	    r->packets, r->bytes, r->seconds);
	if (r->pps > 0)
		row("rate", "%.4f Mpps   %.4f Gb/s   %.1f ns/packet",
		    r->pps / 1e6, r->gbps, r->ns);
}

static void row_hist(const char *label, const struct hist *h)
{
	if (!h->n)
		return;
	row(label, "p50 %.2f   p90 %.2f   p99 %.2f   p99.9 %.2f   max %.2f us",
	    (double)hist_quantile(h, 0.5) / 1e3,
	    (double)hist_quantile(h, 0.9) / 1e3,
	    (double)hist_quantile(h, 0.99) / 1e3,
	    (double)hist_quantile(h, 0.999) / 1e3, (double)h->max / 1e3);
}

static void print_check(const struct receiver *r)
{
	struct seq_counts c;
	bool clean = receiver_sum(r, &c);

	row("lost", "%" PRIu64 " of %" PRIu64 " sent in %u flows%s", c.lost,
	    c.sent, c.flows, c.flows == c.ended ? "" : " (not all have ended)");
	row("order",
	    "%" PRIu64 " reordered   %" PRIu64 " duplicated   %" PRIu64
	    " stale",
	    c.reordered, c.duplicated, c.stale);
	row("content",
	    "%" PRIu64 " corrupted   %" PRIu64 " truncated   %" PRIu64
	    " foreign",
	    r->corrupted, r->truncated, r->foreign);
	row_hist("one way", r->latency);
	row("verdict", "%s",
	    clean ? "every packet came once, in order, intact" :
		    "NOT lossless");
}

static void print_text(const struct report *r)
{
	const struct glen_port_stats *p = &r->stats;
	struct flow_rate rate;

	printf("glen-gen %s%s%s\n", mode_name(r->opts),
	       r->opts->port ? " " : "", r->opts->port ? r->opts->port : "");
	if (r->sender) {
		rate = rate_sent(r->sender);
		row_rate("sent", &rate);
		row("held back",
		    "%" PRIu64 " times by a full ring, %.0f "
		    "packets unsent",
		    r->sender->ring_full, r->sender->pace.unsent);
	}
	if (r->receiver) {
		rate = rate_received(r->receiver);
		row_rate("received", &rate);
		if (r->opts->check)
			print_check(r->receiver);
		else if (r->sender)
			row("lost", "%" PRIu64,
			    r->sender->packets - receiver_packets(r->receiver));
	}
	if (r->pings) {
		row("pings",
		    "%" PRIu64 " sent   %" PRIu64 " answered   %" PRIu64
		    " lost",
		    r->pings->sent, r->pings->answered, r->pings->lost);
		row_hist("round trip", &r->pings->rtt);
	}
	if (r->opts->mode == MODE_PONG)
		row("answered",
		    "%" PRIu64 " pings, %" PRIu64 " not for want of room",
		    r->pongs, r->pongs_dropped);
	if (r->has_stats)
		row("port",
		    "in %" PRIu64 " packets, %" PRIu64 " dropped   out %" PRIu64
		    " packets, %" PRIu64 " dropped",
		    p->in_packets, p->in_drops, p->out_packets, p->out_drops);
	if (r->reconnects)
		row("glend", "came back %u times", r->reconnects);
}

void report_print(const struct report *r)
{
	if (r->opts->json)
		print_json(r);
	else
		print_text(r);
	fflush(stdout);
}
