// SPDX-License-Identifier: BSD-2-Clause
// peer.c - well-behaved clients for the peer and fault tests.
/*
 * Every role opens ports with libglen, prints "ready" when it has them, runs
 * until its standard input ends (or it is killed), and prints one JSON object.
 *
 *   check PORT PORT  two threads exchange packets through the switch: the
 *                    first sends numbered packets of all lengths, never more
 *                    than a window ahead; the second checks each byte and
 *                    sends it back; the first checks it again. Whatever is
 *                    lost, doubled, out of order or changed is counted.
 *                    --len-max: the longest, 1514 to 9000
 *   flood PORT       sends 60-byte packets to --to, --pps a second (0: as many
 *                    as it can)
 *   hold PORT        has the port and never looks at it
 *   drain PORT       receives and counts
 *   bounce PORT      receives, sends back what there is room for, and counts
 *
 * Addresses: the first port of check is 02:00:00:00:00:01, the second ..:02,
 * others 02:00:00:00:00:0f, or as --from and --to (last byte) say.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <glen/glen.h>

enum {
	LEN_MIN = 60,
	LEN_MAX = 9000,
	HEADER = 14 + 8, /* addresses, type, number */
	BURST = 64,
	STALL_MS = 50,	 /* then a packet goes out beyond the window */
	DRAIN_MS = 3000, /* without a packet: what is missing is lost */
};

enum idle { IDLE_WAIT, IDLE_BUSY, IDLE_POLL };

static struct {
	const char *socket, *region, *region_token;
	bool offsets;
	unsigned window, slots, rings, pps;
	uint32_t len_max; /* default: takes three slots */
	enum idle idle;
	int wait_ms; /* longest sleep; -1: until woken */
	uint8_t from, to;
} opt = {
	.window = 100, .len_max = 6000, .wait_ms = 20, .from = 15, .to = 255
};

static _Atomic bool stop;

/* One end of a checked exchange. */
struct end {
	struct glen_port *port;
	const char *error; /* why it ended early, NULL: it did not */
	uint64_t next;	   /* number expected next */
	uint64_t lost, doubled, corrupt;
	uint64_t gap_ms; /* the longest time without a packet */
	int64_t last_ms;
};

static struct end left, right;
static _Atomic uint64_t n_sent;
static _Atomic bool right_done;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15;
	return x ^ x >> 29;
}

/* Mostly short packets, some of one slot, a few of several. */
static uint32_t len_of(uint64_t number)
{
	uint64_t r = mix(number + 1);

	if (r % 64 == 0)
		return LEN_MIN +
		       (uint32_t)(r >> 32) % (opt.len_max - LEN_MIN + 1);
	if (r % 4 == 0)
		return LEN_MIN + (uint32_t)(r >> 32) % (1514 - LEN_MIN);
	return LEN_MIN;
}

static uint32_t make(uint8_t *p, uint64_t number, uint8_t to, uint8_t from)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 0,    2,
					  0, 0, 0, 0, 0, 0x88, 0xb5 };
	uint32_t len = len_of(number);
	uint8_t seed = (uint8_t)mix(number);

	memcpy(p, head, sizeof(head));
	p[5] = to;
	p[11] = from;
	memcpy(p + 14, &number, sizeof(number));
	for (uint32_t i = HEADER; i < len; i++)
		p[i] = (uint8_t)(seed + i);
	return len;
}

/* Takes a received packet into account; true if it is the one expected. */
static bool account(struct end *e, const struct glen_packet *p, uint8_t to,
		    uint8_t from)
{
	static _Thread_local uint8_t want[LEN_MAX];
	uint64_t number;
	uint32_t len;
	int64_t now;

	if (p->len < HEADER) {
		e->corrupt++;
		return false;
	}
	memcpy(&number, (uint8_t *)p->data + 14, sizeof(number));
	len = make(want, number, to, from);
	/* Flooded; and where one of ours got another address, one is lost. */
	if (memcmp(want, p->data, 6))
		return false;
	if (len != p->len || memcmp(want, p->data, len)) {
		e->corrupt++;
		return false;
	}
	if (number < e->next) {
		e->doubled++;
		return false;
	}
	e->lost += number - e->next;
	e->next = number + 1;
	now = now_ms();
	if (now - e->last_ms > (int64_t)e->gap_ms)
		e->gap_ms = (uint64_t)(now - e->last_ms);
	e->last_ms = now;
	return true;
}

/* Until something may have come, in the way that is to be tested. */
static int idle(struct glen_port *port, unsigned events)
{
	struct pollfd p = { .events = POLLIN };
	int n;

	if (opt.idle == IDLE_WAIT)
		return glen_wait(port, events, opt.wait_ms);
	if (opt.idle == IDLE_BUSY) {
		sched_yield();
		return glen_txsync(port, 0);
	}
	p.fd = glen_port_fd(port);
	n = glen_arm(port, events);
	return n ? n : poll(&p, 1, opt.wait_ms);
}

static bool send_one(struct end *e, struct glen_packet p)
{
	int n;

	while (!(n = glen_send(e->port, 0, &p, 1)))
		if (idle(e->port, GLEN_TX) == -ENOTCONN)
			break;
	if (n != 1)
		e->error = "cannot send";
	return n == 1;
}

/* Receives, checks and, if asked, sends back. False: the port is dead. */
static bool receive(struct end *e, uint8_t to, uint8_t from, bool echo)
{
	struct glen_packet p[BURST];
	uint8_t copy[LEN_MAX];
	int n = glen_recv(e->port, 0, p, BURST);

	for (int i = 0; i < n; i++) {
		if (!account(e, &p[i], to, from) || !echo)
			continue;
		memcpy(copy, p[i].data, p[i].len);
		copy[5] = from;
		copy[11] = to;
		if (!send_one(e, (struct glen_packet){ copy, p[i].len }))
			return false;
	}
	if (n > 0)
		glen_release(e->port, 0);
	else if (!n)
		n = idle(e->port, GLEN_RX);
	if (n == -ENOTCONN)
		e->error = "closed";
	return n != -ENOTCONN;
}

static void *run_right(void *arg)
{
	while (!atomic_load(&right_done))
		if (!receive(&right, 2, 1, true))
			break;
	return NULL;
}

static void run_left(void)
{
	uint64_t number = 0;
	int64_t nudge = 0; /* when the window was exceeded last */
	uint8_t p[LEN_MAX];

	while (!atomic_load(&stop)) {
		/* Nothing that is lost may stop the exchange for good. */
		if (number - left.next < opt.window ||
		    now_ms() - (left.last_ms > nudge ? left.last_ms : nudge) >
			    STALL_MS) {
			uint32_t len = make(p, number, 2, 1);

			nudge = now_ms();
			if (!send_one(&left, (struct glen_packet){ p, len }))
				return;
			atomic_store(&n_sent, ++number);
			if (number - left.next < opt.window)
				continue;
		}
		if (!receive(&left, 1, 2, false))
			return;
	}
	left.last_ms = now_ms();
	while (left.next < number && now_ms() - left.last_ms < DRAIN_MS)
		if (!receive(&left, 1, 2, false))
			return;
}

static void print_end(const char *name, const struct end *e)
{
	printf("\"%s\": {\"received\": %llu, \"lost\": %llu, \"doubled\": %llu,"
	       " \"corrupt\": %llu, \"gap_ms\": %llu, \"reconnects\": %u, "
	       "\"error\": \"%s%s%s\"}",
	       name, (unsigned long long)e->next - e->lost,
	       (unsigned long long)e->lost, (unsigned long long)e->doubled,
	       (unsigned long long)e->corrupt, (unsigned long long)e->gap_ms,
	       glen_port_reconnects(e->port), e->error ? e->error : "",
	       e->error ? ": " : "", glen_port_error(e->port));
}

static void on_signal(int sig)
{
}

static int check(struct glen_port *a, struct glen_port *b)
{
	struct sigaction act = { .sa_handler = on_signal };
	uint64_t sent;
	pthread_t thread;
	bool good;

	sigaction(SIGUSR1, &act, NULL);
	left.port = a;
	right.port = b;
	left.last_ms = right.last_ms = now_ms();
	if (pthread_create(&thread, NULL, run_right, NULL))
		return 1;
	run_left();
	atomic_store(&right_done, true);
	/* A signal ends its sleep, but may come just before that. */
	while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
		pthread_kill(thread, SIGUSR1);
		usleep(5000);
	}
	sent = atomic_load(&n_sent);
	/* What never came at all shows only now. */
	left.lost += sent - left.next;
	left.next = sent;
	right.lost += sent - right.next;
	right.next = sent;
	good = !left.error && !right.error && !left.lost && !right.lost &&
	       !left.corrupt && !right.corrupt;
	printf("{\"sent\": %llu, ", (unsigned long long)sent);
	print_end("left", &left);
	printf(", ");
	print_end("right", &right);
	printf("}\n");
	return good ? 0 : 1;
}

static void print_one(struct glen_port *port, uint64_t n)
{
	printf("{\"packets\": %llu, \"reconnects\": %u, \"error\": \"%s\"}\n",
	       (unsigned long long)n, glen_port_reconnects(port),
	       glen_port_error(port));
}

static int flood(struct glen_port *port)
{
	static uint8_t frame[LEN_MAX];
	struct glen_packet p[BURST];
	uint64_t total = 0;
	int n = 0;

	make(frame, 2, opt.to, opt.from); /* number 2 has 60 bytes */
	for (int i = 0; i < BURST; i++)
		p[i] = (struct glen_packet){ frame, LEN_MIN };
	while (!atomic_load(&stop) && n >= 0) {
		n = glen_send(port, 0, p, BURST);
		if (n > 0)
			total += (unsigned)n;
		if (opt.pps)
			usleep(BURST * 1000000u / opt.pps);
		if (!n && glen_wait(port, GLEN_TX, 20) == -ENOTCONN)
			break;
	}
	print_one(port, total);
	return 0;
}

static int drain(struct glen_port *port, bool bounce)
{
	struct glen_packet p[BURST];
	uint64_t total = 0;
	int n = 0;

	while (!atomic_load(&stop) && n >= 0) {
		n = glen_recv(port, 0, p, BURST);
		if (n > 0) {
			total += (unsigned)n;
			if (bounce)
				glen_send(port, 0, p, (unsigned)n);
			glen_release(port, 0);
		} else if (!n && glen_wait(port, GLEN_RX, 20) == -ENOTCONN)
			break;
	}
	print_one(port, total);
	return 0;
}

static void *watch_stdin(void *arg)
{
	char c;

	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	atomic_store(&stop, true);
	return NULL;
}

static struct glen_port *open_port(const char *name)
{
	struct glen_port_config c = { .socket = opt.socket,
				      .slots = opt.slots,
				      .rings = opt.rings,
				      .connect_timeout_ms = 5000,
				      .region = opt.region,
				      .region_token = opt.region_token,
				      .swap = opt.region,
				      .offsets = opt.offsets };
	static char token[33]; /* of the region that the first port made */
	struct glen_error error;
	struct glen_port *port;

	if (opt.region && token[0])
		c.region_token = token;
	if (!glen_port_open(&port, name, &c, &error)) {
		if (opt.region)
			strcpy(token, glen_port_region_token(port));
		return port;
	}
	fprintf(stderr, "%s: %s\n", name, error.text);
	exit(2);
}

static void usage(void)
{
	fprintf(stderr, "usage: peer [--socket PATH] [--window N] [--slots N] "
			"[--len-max N] [--rings N] [--pps N] "
			"[--region NAME] [--region-token TEXT] [--offsets 0|1] "
			"[--idle wait|busy|poll] [--wait-ms N] [--from BYTE] "
			"[--to BYTE] check PORT PORT | "
			"flood|hold|drain|bounce PORT\n");
	exit(2);
}

static char **parse(char **arg)
{
	for (; arg[0] && !strncmp(arg[0], "--", 2); arg += 2) {
		unsigned value = arg[1] ? (unsigned)atoi(arg[1]) : 0;

		if (!arg[1])
			usage();
		else if (!strcmp(arg[0], "--socket"))
			opt.socket = arg[1];
		else if (!strcmp(arg[0], "--region"))
			opt.region = arg[1];
		else if (!strcmp(arg[0], "--region-token"))
			opt.region_token = arg[1];
		else if (!strcmp(arg[0], "--offsets"))
			opt.offsets = value;
		else if (!strcmp(arg[0], "--window"))
			opt.window = value;
		else if (!strcmp(arg[0], "--len-max"))
			opt.len_max = value;
		else if (!strcmp(arg[0], "--slots"))
			opt.slots = value;
		else if (!strcmp(arg[0], "--rings"))
			opt.rings = value;
		else if (!strcmp(arg[0], "--pps"))
			opt.pps = value;
		else if (!strcmp(arg[0], "--wait-ms"))
			opt.wait_ms = (int)value;
		else if (!strcmp(arg[0], "--idle"))
			opt.idle = arg[1][0] == 'w' ? IDLE_WAIT :
				   arg[1][0] == 'b' ? IDLE_BUSY :
						      IDLE_POLL;
		else if (!strcmp(arg[0], "--from"))
			opt.from = (uint8_t)value;
		else if (!strcmp(arg[0], "--to"))
			opt.to = (uint8_t)value;
		else
			usage();
	}
	if (opt.len_max < 1514 || opt.len_max > LEN_MAX)
		usage();
	return arg;
}

int main(int argc, char **argv)
{
	struct glen_port *a, *b = NULL;
	pthread_t thread;
	int status = 0;

	argv = parse(argv + 1);
	if (!argv[0] || !argv[1] || (!strcmp(argv[0], "check") && !argv[2]))
		usage();
	a = open_port(argv[1]);
	if (!strcmp(argv[0], "check"))
		b = open_port(argv[2]);
	if (pthread_create(&thread, NULL, watch_stdin, NULL))
		return 2;
	pthread_detach(thread); /* it may still read when we end */
	printf("ready\n");
	fflush(stdout);
	if (b)
		status = check(a, b);
	else if (!strcmp(argv[0], "flood"))
		status = flood(a);
	else if (!strcmp(argv[0], "drain") || !strcmp(argv[0], "bounce"))
		status = drain(a, argv[0][0] == 'b');
	else
		while (!atomic_load(&stop))
			usleep(10000);
	fflush(stdout);
	glen_port_close(b);
	glen_port_close(a);
	return status;
}
