// SPDX-License-Identifier: BSD-2-Clause
// load.c - an HTTP client with a TCP/IP stack of its own, to load a server.
/*
 * Each connection has one request under way, from the TCP port that it claimed,
 * and sends the next one when the answer is complete. A connection that fails
 * counts as one error of one kind, with the request that was under way, and is
 * made again by the next tick.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>

#include "options.h"
#include "pattern.h"
#include "reply.h"
#include "stack.h"

enum {
	HEAD_MAX = 4096,
	TICK_MS = 100,
	BYE_MS = 1000, /* for the ends of connections */
	N_BUCKETS = 64 * 16,
};

const char *program = "glen-http-load";

enum error_kind {
	ERROR_CONNECT, /* refused, or no answer */
	ERROR_RESET,
	ERROR_CLOSED, /* before the answer was complete */
	ERROR_REPLY,  /* not HTTP */
	ERROR_STATUS, /* not 200 */
	ERROR_BODY,   /* other bytes than expected */
	ERROR_TIMEOUT,
	N_ERRORS,
};

static const char *const error_names[N_ERRORS] = {
	"connect", "reset", "closed", "reply", "status", "body", "timeout",
};

enum conn_state {
	UNCONNECTED,
	CONNECTING,
	IDLE,
	HEAD,
	BODY,
};

struct conn {
	struct tcp_pcb *pcb;
	enum conn_state state;
	uint16_t port; /* own */
	uint64_t sent_ns, progress_ns;
	struct reply reply;
	uint64_t body_done;
	size_t head_len;
	char head[HEAD_MAX];
};

static struct {
	struct stack_config stack;
	ip_addr_t server;
	uint16_t port;
	const char *path;
	unsigned n_conns;
	uint64_t n_requests; /* 0: as many as fit into duration_ms */
	uint64_t duration_ms, timeout_ms;
	bool check, json;

	struct conn *conns;
	char request[1600];
	size_t request_len;
	volatile sig_atomic_t ended, asked;
	uint64_t started, done, failed, bytes, errors[N_ERRORS];
	uint64_t first_ns, last_ns, end_ns;
	uint32_t buckets[N_BUCKETS];
} load = {
	.port = 80,
	.path = "/bytes/64",
	.n_conns = 16,
	.timeout_ms = 10000,
};

/* Round trips: 16 buckets for each power of two of nanoseconds. */

static unsigned bucket_of(uint64_t ns)
{
	unsigned bits;

	if (ns < 16)
		return (unsigned)ns;
	bits = 63 - (unsigned)__builtin_clzll(ns);
	return (bits - 3) * 16 + (unsigned)(ns >> (bits - 4) & 15);
}

static double bucket_us(unsigned i)
{
	if (i < 16)
		return i / 1e3;
	return (double)(16 + i % 16) * (double)(1ull << (i / 16 - 1)) / 1e3;
}

static double percentile_us(double part)
{
	uint64_t want = (uint64_t)((double)load.done * part), seen = 0;

	for (unsigned i = 0; i < N_BUCKETS; i++) {
		seen += load.buckets[i];
		if (seen > want)
			return bucket_us(i);
	}
	return 0;
}

/* Requests */

static bool more_to_do(void)
{
	if (load.ended)
		return false;
	if (load.n_requests && load.started >= load.n_requests)
		return false;
	return !load.end_ns || stack_now_ns() < load.end_ns;
}

static void detach(struct conn *c)
{
	tcp_arg(c->pcb, NULL);
	tcp_recv(c->pcb, NULL);
	tcp_err(c->pcb, NULL);
	c->pcb = NULL;
	c->state = UNCONNECTED;
}

static err_t conn_close(struct conn *c)
{
	struct tcp_pcb *pcb = c->pcb;

	detach(c);
	if (tcp_close(pcb) == ERR_OK)
		return ERR_OK;
	tcp_abort(pcb);
	return ERR_ABRT;
}

/* Counts, and does away with the connection if it still is there. */
static err_t conn_fail(struct conn *c, enum error_kind kind)
{
	struct tcp_pcb *pcb = c->pcb;

	load.errors[kind]++;
	if (c->state == CONNECTING)
		load.started++; /* the request that it was to carry */
	load.failed++;
	c->state = UNCONNECTED;
	if (!pcb)
		return ERR_OK;
	detach(c);
	tcp_abort(pcb);
	return ERR_ABRT;
}

static err_t next_request(struct conn *c)
{
	uint64_t now = stack_now_ns();

	c->state = IDLE;
	if (!more_to_do())
		return ERR_OK;
	if (tcp_write(c->pcb, load.request, (u16_t)load.request_len,
		      TCP_WRITE_FLAG_COPY) != ERR_OK)
		return ERR_OK; /* by the next tick */
	if (!load.first_ns)
		load.first_ns = now;
	load.started++;
	c->sent_ns = c->progress_ns = now;
	c->head_len = 0;
	c->state = HEAD;
	return ERR_OK;
}

static err_t answered(struct conn *c)
{
	load.last_ns = stack_now_ns();
	load.buckets[bucket_of(load.last_ns - c->sent_ns)]++;
	load.done++;
	if (c->reply.close)
		return conn_close(c);
	return next_request(c);
}

/* Takes the head of an answer; returns how many bytes, -1: it is none. */
static int take_head(struct conn *c, const char *data, size_t len)
{
	size_t before = c->head_len, n = HEAD_MAX - before;
	int head;

	if (n > len)
		n = len;
	memcpy(c->head + before, data, n);
	c->head_len += n;
	head = reply_parse(&c->reply, c->head, c->head_len);
	if (head < 0 || (!head && c->head_len == HEAD_MAX))
		return -1;
	if (!head)
		return (int)n;
	c->state = BODY;
	c->body_done = 0;
	return head - (int)before;
}

/* Takes bytes of the body; -1: they are wrong. */
static int take_body(struct conn *c, const char *data, size_t len)
{
	uint64_t left = c->reply.len - c->body_done;

	if (len > left)
		len = (size_t)left;
	if (load.check && memcmp(data, pattern_at(c->body_done), len))
		return -1;
	c->body_done += len;
	load.bytes += len;
	return (int)len;
}

/* One piece of what was received. */
static err_t take(struct conn *c, const char *data, size_t len)
{
	while (len || (c->state == BODY && c->body_done == c->reply.len)) {
		int n;

		if (c->state == HEAD) {
			n = take_head(c, data, len);
			if (n < 0)
				return conn_fail(c, ERROR_REPLY);
			if (c->state == BODY && c->reply.status != 200)
				return conn_fail(c, ERROR_STATUS);
		} else if (c->state == BODY) {
			n = take_body(c, data, len);
			if (n < 0)
				return conn_fail(c, ERROR_BODY);
		} else {
			return conn_fail(c, ERROR_REPLY);
		}
		data += n;
		len -= (size_t)n;
		if (c->state == BODY && c->body_done == c->reply.len) {
			err_t err = answered(c);

			if (err != ERR_OK || !c->pcb)
				return err;
		}
	}
	return ERR_OK;
}

/* Callbacks */

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p,
			 err_t err)
{
	struct conn *c = arg;

	if (!p) {
		if (c->state == IDLE)
			return conn_close(c);
		return conn_fail(c, ERROR_CLOSED);
	}
	tcp_recved(pcb, p->tot_len);
	c->progress_ns = stack_now_ns();
	err = ERR_OK;
	for (struct pbuf *q = p; q && err == ERR_OK && c->pcb == pcb;
	     q = q->next)
		err = take(c, q->payload, q->len);
	pbuf_free(p);
	return err;
}

static void on_error(void *arg, err_t err)
{
	struct conn *c = arg;

	c->pcb = NULL;
	if (c->state == IDLE)
		c->state = UNCONNECTED;
	else
		conn_fail(c,
			  c->state == CONNECTING ? ERROR_CONNECT : ERROR_RESET);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	return next_request(arg);
}

static void conn_open(struct conn *c)
{
	struct tcp_pcb *pcb = tcp_new();

	if (!pcb)
		return;
	if (tcp_bind(pcb, IP_ADDR_ANY, c->port) != ERR_OK) {
		tcp_abort(pcb);
		return; /* not quite closed yet */
	}
	tcp_nagle_disable(pcb);
	tcp_arg(pcb, c);
	tcp_recv(pcb, on_received);
	tcp_err(pcb, on_error);
	c->pcb = pcb;
	c->state = CONNECTING;
	c->progress_ns = stack_now_ns();
	if (tcp_connect(pcb, &load.server, load.port, on_connected) == ERR_OK)
		return;
	detach(c);
	tcp_abort(pcb);
}

/* Connections that are not, or that wait for too long. */
static void tick(void *arg)
{
	uint64_t now = stack_now_ns();

	for (unsigned i = 0; i < load.n_conns; i++) {
		struct conn *c = &load.conns[i];

		if (c->state == UNCONNECTED) {
			if (more_to_do())
				conn_open(c);
		} else if (c->state == IDLE) {
			next_request(c);
			tcp_output(c->pcb);
		} else if (now - c->progress_ns > load.timeout_ms * 1000000) {
			conn_fail(c, c->state == CONNECTING ? ERROR_CONNECT :
							      ERROR_TIMEOUT);
		}
	}
	sys_timeout(TICK_MS, tick, NULL);
}

static bool busy(void)
{
	for (unsigned i = 0; i < load.n_conns; i++)
		if (load.conns[i].state > IDLE ||
		    load.conns[i].state == CONNECTING)
			return true;
	return false;
}

/* The run */

static void say_goodbye(void)
{
	uint64_t end = stack_now_ns() + (uint64_t)BYE_MS * 1000000;

	for (unsigned i = 0; i < load.n_conns; i++)
		if (load.conns[i].pcb)
			conn_close(&load.conns[i]);
	while (tcp_active_pcbs && stack_now_ns() < end)
		if (stack_turn(10) == -ENOTCONN)
			break;
}

/* For SIGUSR1. */
static void report_progress(void)
{
	struct timespec cpu;

	load.asked = 0;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	printf("{\"requests\": %llu, \"failed\": %llu, \"bytes\": %llu, "
	       "\"time_ns\": %llu, \"cpu_ns\": %llu}\n",
	       (unsigned long long)load.done, (unsigned long long)load.failed,
	       (unsigned long long)load.bytes,
	       (unsigned long long)stack_now_ns(),
	       (unsigned long long)cpu.tv_sec * 1000000000 +
		       (unsigned long long)cpu.tv_nsec);
	fflush(stdout);
}

static int run(void)
{
	int err = stack_find(ip_2_ip4(&load.server), (int)load.timeout_ms);

	if (err)
		return err;
	if (load.duration_ms)
		load.end_ns = stack_now_ns() + load.duration_ms * 1000000;
	tick(NULL);
	while ((more_to_do() || busy()) && (!err || err == -EINTR)) {
		err = stack_turn(1000);
		if (load.asked)
			report_progress();
	}
	if (!err || err == -EINTR)
		say_goodbye();
	return err == -EINTR ? 0 : err;
}

static int open_all(struct glen_error *error)
{
	uint16_t *ports = calloc(load.n_conns, sizeof(*ports));
	int err;

	load.conns = calloc(load.n_conns, sizeof(*load.conns));
	if (!ports || !load.conns) {
		free(ports);
		return fail(error, -ENOMEM, "out of memory");
	}
	err = stack_open(&load.stack, error);
	if (!err)
		err = stack_claim(ports, load.n_conns, error);
	for (unsigned i = 0; i < load.n_conns; i++)
		load.conns[i].port = ports[i];
	free(ports);
	return err;
}

static void report_errors(const char *before, const char *format)
{
	for (unsigned i = 0; i < N_ERRORS; i++) {
		if (!load.errors[i] && !load.json)
			continue;
		fputs(i ? ", " : before, stdout);
		printf(format, error_names[i],
		       (unsigned long long)load.errors[i]);
	}
}

static void report(void)
{
	double seconds = (double)(load.last_ns - load.first_ns) / 1e9;
	double rate = seconds > 0 ? (double)load.done / seconds : 0;
	double gbit = seconds > 0 ? (double)load.bytes * 8e-9 / seconds : 0;
	double p50 = percentile_us(0.5), p99 = percentile_us(0.99);
	const struct stack_counters *s = stack_counters();

	if (load.json) {
		printf("{\"requests\": %llu, \"failed\": %llu, \"bytes\": %llu, "
		       "\"seconds\": %.6f, \"requests_per_s\": %.1f, "
		       "\"gbit_per_s\": %.4f, \"p50_us\": %.1f, "
		       "\"p99_us\": %.1f, \"frames_dropped\": %llu",
		       (unsigned long long)load.done,
		       (unsigned long long)load.failed,
		       (unsigned long long)load.bytes, seconds, rate, gbit, p50,
		       p99, (unsigned long long)s->rx_dropped);
		report_errors(", \"errors\": {", "\"%s\": %llu");
		printf("}}\n");
		return;
	}
	printf("%llu requests in %.3f s: %.0f requests/s, %.3f Gbit/s of "
	       "content; round trip %.1f us, 1 %% above %.1f us; %llu errors",
	       (unsigned long long)load.done, seconds, rate, gbit, p50, p99,
	       (unsigned long long)load.failed);
	report_errors(": ", "%s %llu");
	printf("\n");
}

/* Options */

static const char help[] =
	"glen-http-load - load an HTTP server from a port of a glen switch\n"
	"\n"
	"usage: glen-http-load --attach SWITCH:PORT --address IPV4[/BITS]\n"
	"                      --connect IPV4[:PORT] [OPTION...]\n"
	"\n"
	"It has a TCP/IP stack of its own (lwIP). At a switch with module "
	"tuple3 it\n"
	"claims a TCP port for each connection.\n"
	"\n"
	"Load:\n"
	"  -c, --connect IPV4[:PORT]  the server (port 80)\n"
	"      --path PATH            what to ask for (/bytes/64)\n"
	"  -k, --connections N        at a time, each with one request under "
	"way (16)\n"
	"  -n, --requests N           end after N (10000 if there is no "
	"duration)\n"
	"  -d, --duration SECONDS     end after that time\n"
	"      --timeout SECONDS      without progress a request has failed "
	"(10)\n"
	"      --check                compare each byte with what glen-httpd "
	"generates\n"
	"                             for /bytes/N\n"
	"  -j, --json                 report as JSON\n"
	"\n" STACK_HELP "\n"
	"Other:\n"
	"  -h, --help, -V, --version\n"
	"\n"
	"SIGTERM or SIGINT: no more requests, then the report. SIGUSR1: a "
	"line of JSON\n"
	"about what was done so far. Status 0: all was answered as it should "
	"be, 1: it\n"
	"was not, 2: bad options.\n";

enum {
	OPT_PATH = 256,
	OPT_TIMEOUT,
	OPT_CHECK,
};

static const struct option long_options[] = {
	STACK_OPTIONS,
	{ "connect", required_argument, NULL, 'c' },
	{ "path", required_argument, NULL, OPT_PATH },
	{ "connections", required_argument, NULL, 'k' },
	{ "requests", required_argument, NULL, 'n' },
	{ "duration", required_argument, NULL, 'd' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "json", no_argument, NULL, 'j' },
	{ 0 },
};

static void connect_option(const char *text)
{
	const char *colon = strchr(text, ':');
	char ip[64];

	snprintf(ip, sizeof(ip), "%.*s",
		 colon ? (int)(colon - text) : (int)strlen(text), text);
	ip_option("connect", ip, ip_2_ip4(&load.server));
	IP_SET_TYPE(&load.server, IPADDR_TYPE_V4);
	if (colon)
		load.port = (uint16_t)number_option("connect (behind the ':')",
						    colon + 1, 1, 65535);
}

static uint64_t seconds_option(const char *name, const char *text)
{
	double s;
	char *end;

	s = strtod(text, &end);
	if (end == text || *end || !(s >= 0.001 && s <= 1e6))
		usage_error("--%s wants seconds, such as 0.5, not '%s'", name,
			    text);
	return (uint64_t)(s * 1e3);
}

static void option_take(int c)
{
	switch (c) {
	case 'c':
		connect_option(optarg);
		break;
	case OPT_PATH:
		if (*optarg != '/' || strlen(optarg) > 1024 ||
		    strpbrk(optarg, " \r\n"))
			usage_error("--path wants /PATH, not '%s'", optarg);
		load.path = optarg;
		break;
	case 'k':
		load.n_conns = (unsigned)number_option("connections", optarg, 1,
						       16384);
		break;
	case 'n':
		load.n_requests = number_option("requests", optarg, 1,
						UINT64_MAX);
		break;
	case 'd':
		load.duration_ms = seconds_option("duration", optarg);
		break;
	case OPT_TIMEOUT:
		load.timeout_ms = seconds_option("timeout", optarg);
		break;
	case OPT_CHECK:
		load.check = true;
		break;
	case 'j':
		load.json = true;
		break;
	case 'h':
		fputs(help, stdout);
		exit(0);
	case 'V':
		puts("glen-http-load " GLEN_EXAMPLE_VERSION);
		exit(0);
	default:
		if (!stack_option(&load.stack, c, optarg)) {
			fprintf(stderr, "see %s --help\n", program);
			exit(2);
		}
	}
}

static void options_read(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "a:A:c:k:n:d:jhV", long_options,
				NULL)) != -1)
		option_take(c);
	if (optind < argc)
		usage_error("'%s' is no option", argv[optind]);
	stack_options_check(&load.stack);
	if (!ip_2_ip4(&load.server)->addr)
		usage_error("give the server's address with --connect");
	if (!load.n_requests && !load.duration_ms)
		load.n_requests = 10000;
	if (load.n_requests && load.n_requests < load.n_conns)
		load.n_conns = (unsigned)load.n_requests;
	load.request_len = (size_t)
		snprintf(load.request, sizeof(load.request),
			 "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", load.path,
			 ip4addr_ntoa(ip_2_ip4(&load.server)));
}

static void on_signal(int number)
{
	if (number == SIGUSR1)
		load.asked = 1;
	else
		load.ended = 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct glen_error error = { 0 };
	int err;

	options_read(argc, argv);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	pattern_init();
	if (open_all(&error)) {
		fprintf(stderr, "%s: %s\n", program, error.text);
		return 1;
	}
	stack_up();
	err = run();
	if (err)
		fprintf(stderr, "%s: %s\n", program,
			*stack_error() ? stack_error() : strerror(-err));
	report();
	stack_close();
	return err || load.failed ||
	       (load.n_requests && load.done < load.n_requests && !load.ended &&
		!load.duration_ms);
}
