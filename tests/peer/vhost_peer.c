// SPDX-License-Identifier: BSD-2-Clause
// vhost_peer.c - well-behaved guests for the peer tests, without a machine.
/*
 *   vhost_peer [OPTIONS] check PATH PATH
 *
 * Two front ends of vhost-user, one per socket, exchange numbered packets of
 * all lengths, never more than a window ahead: the left one sends, the right
 * one checks each byte and sends it back, the left one checks it again. It
 * prints "ready" when both are attached and the first packet made its way,
 * runs until its standard input ends, or for --count packets, and prints one
 * JSON object like peer.c's.
 *
 * With --restarts N the guests' drivers stop and start N times in between, with
 * --reconnects N they hang up and come back. With --resume they look for
 * another glend when theirs hangs up, and their rings go on where they were;
 * buffers that come back empty then are counted (short), not complained about.
 *
 * Everything is done by one thread, which sleeps until it is called when there
 * is nothing to do.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vhost_fe.h"

enum {
	LEN_MIN = 60,
	LEN_MAX = 6000,
	HEADER = 14 + 8, /* addresses, type, number */
	STALL_MS = 200,	 /* then a packet goes out beyond the window */
	DRAIN_MS = 3000, /* without a packet: what is missing is lost */
	READY_MS = 20000,
	RESUME_MS = 20000, /* until there is a glend again */
	RETRY_MS = 5,
};

/* One end of the exchange. */
struct end {
	struct fe fe;
	uint64_t next; /* number expected next */
	uint64_t lost, doubled, corrupt, shorts, resumes;
	uint64_t gap_ms; /* the longest time without a packet */
	int64_t last_ms;
	unsigned sends; /* pair that the next packet goes to */
};

static struct {
	struct fe_config fe;
	unsigned window, len_max;
	uint64_t count;
	unsigned restarts, reconnects;
	bool server, wait, resume;
} opt = { .window = 100, .len_max = 1514, .wait = true };

static struct end left, right;
static char **path; /* of both */
static bool ended;

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

static uint32_t len_of(uint64_t number)
{
	uint64_t r = mix(number + 1);

	if (r % 64 == 0)
		return LEN_MIN + (uint32_t)(r >> 32) % (opt.len_max - 59);
	if (r % 4 == 0)
		return LEN_MIN + (uint32_t)(r >> 32) % (1514 - 59);
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

_Noreturn static void die(struct end *e, const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", e == &left ? "left" : "right", what,
		e->fe.error);
	exit(1);
}

/* False: there is no room. */
static bool send_one(struct end *e, uint64_t number, uint8_t to, uint8_t from)
{
	struct fe_queue *q = fe_tx(&e->fe, e->sends);
	uint8_t p[LEN_MAX];
	uint32_t len = make(p, number, to, from);
	int err = fe_reclaim(q);

	if (err >= 0)
		err = fe_queue_packet(q, NULL, p, len);
	if (err == -ENOSPC)
		return false;
	if (err)
		die(e, "cannot send");
	return true;
}

/* Takes a received packet into account; true if it is one of ours and new. */
static bool account(struct end *e, const struct fe_packet *p, uint8_t to,
		    uint8_t from, uint64_t *number)
{
	uint8_t want[LEN_MAX];
	int64_t now;
	uint32_t len;

	if (p->len < HEADER) {
		if (opt.resume && !p->len)
			e->shorts++;
		else
			e->corrupt++;
		return false;
	}
	memcpy(number, p->data + 14, sizeof(*number));
	len = make(want, *number, to, from);
	if (len != p->len || memcmp(want, p->data, len)) {
		e->corrupt++;
		return false;
	}
	if (*number < e->next) {
		e->doubled++;
		return false;
	}
	e->lost += *number - e->next;
	e->next = *number + 1;
	now = now_ms();
	if (now - e->last_ms > (int64_t)e->gap_ms)
		e->gap_ms = (uint64_t)(now - e->last_ms);
	e->last_ms = now;
	return true;
}

/* Receives on one pair, sends back what is to be. Returns packets taken. */
static unsigned receive(struct end *e, unsigned pair, uint8_t to, uint8_t from,
			bool echo)
{
	static struct fe_packet p;
	struct fe_queue *q = fe_rx(&e->fe, pair);
	unsigned n = 0;
	uint64_t number;
	int got = 0;

	while (n < 64 && (got = fe_receive(q, &p)) > 0) {
		n++;
		if (account(e, &p, to, from, &number) && echo)
			while (!send_one(e, number, from, to))
				fe_flush(fe_tx(&e->fe, e->sends));
	}
	if (got < 0)
		die(e, "cannot receive");
	if (n && fe_fill(q) < 0)
		die(e, "cannot post buffers");
	return n;
}

static unsigned receive_all(struct end *e, uint8_t to, uint8_t from, bool echo)
{
	unsigned n = 0;

	for (unsigned pair = 0; pair < opt.fe.pairs; pair++)
		n += receive(e, pair, to, from, echo);
	fe_flush(fe_tx(&e->fe, e->sends));
	return n;
}

/* Asks for calls and sleeps until there is one, or standard input ended. */
static void idle(int timeout_ms)
{
	struct pollfd p[1 + 2 * FE_PAIRS_MAX] = { { ended ? -1 : STDIN_FILENO,
						    POLLIN, 0 } };
	struct end *const ends[] = { &left, &right };
	bool there = !opt.wait;
	unsigned n = 1;
	char c;

	for (unsigned i = 0; i < 2 * opt.fe.pairs; i++) {
		struct fe_queue *q = fe_rx(&ends[i & 1]->fe, i / 2);

		there |= opt.wait && fe_arm(q, true);
		p[n++] = (struct pollfd){ q->call_fd, POLLIN, 0 };
	}
	poll(p, n, there ? 0 : timeout_ms);
	for (unsigned i = 0; i < 2 * opt.fe.pairs; i++)
		fe_called(fe_rx(&ends[i & 1]->fe, i / 2));
	if (p[0].revents && read(STDIN_FILENO, &c, 1) <= 0)
		ended = true;
}

/* glend is gone if the socket says so; another one will come. */
static void resume(struct end *e, const char *at)
{
	struct pollfd p = { e->fe.sock, POLLIN | POLLRDHUP, 0 };
	int64_t end = now_ms() + RESUME_MS;
	int err;

	if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLHUP | POLLRDHUP)))
		return;
	do {
		fe_disconnect(&e->fe);
		poll(NULL, 0, RETRY_MS);
		err = fe_connect(&e->fe, at);
		if (!err)
			err = fe_handshake(&e->fe);
		if (!err)
			err = fe_start(&e->fe);
	} while (err && now_ms() < end);
	if (err)
		die(e, "cannot come back");
	e->resumes++;
}

/* One turn of both ends; false: nothing came. */
static bool turn(void)
{
	unsigned n;

	if (opt.resume) {
		resume(&left, path[0]);
		resume(&right, path[1]);
	}
	n = receive_all(&right, 2, 1, true);

	return (n + receive_all(&left, 1, 2, false)) > 0;
}

/* Waits until everything that was sent is back. */
static void drain(uint64_t number)
{
	left.last_ms = now_ms();
	while (left.next < number && now_ms() - left.last_ms < DRAIN_MS)
		if (!turn())
			idle(50);
	/* The backend may still give back what it sent. */
	fe_reclaim(fe_tx(&right.fe, right.sends));
	fe_reclaim(fe_tx(&left.fe, left.sends));
}

static void come(struct end *e, const char *at)
{
	int err = 0;

	if (opt.server && e->fe.listener < 0)
		err = fe_listen(&e->fe, at);
	if (!err)
		err = opt.server ? fe_accept(&e->fe) : fe_connect(&e->fe, at);
	if (!err)
		err = fe_handshake(&e->fe);
	if (!err)
		err = fe_start(&e->fe);
	if (err)
		die(e, "cannot attach");
	e->last_ms = now_ms();
}

static void attach(struct end *e, const char *at)
{
	fe_init(&e->fe, &opt.fe);
	if (fe_memory(&e->fe, FE_MEMORY_QEMU, 64 << 20))
		die(e, "cannot make memory");
	come(e, at);
}

static void restart(struct end *e, const char *at, bool reconnect)
{
	if (reconnect) {
		fe_disconnect(&e->fe);
		come(e, at);
		return;
	}
	if (fe_stop(&e->fe))
		die(e, "cannot stop");
	if (fe_start(&e->fe))
		die(e, "cannot start again");
}

static void send_window(uint64_t *number, uint64_t end, int64_t *nudge)
{
	int64_t last = left.last_ms > *nudge ? left.last_ms : *nudge;

	/* Nothing that is lost may stop the exchange for good. */
	if (now_ms() - last > STALL_MS && *number < end) {
		*nudge = now_ms();
		*number += send_one(&left, *number, 2, 1);
	}
	while (*number - left.next < opt.window && *number < end &&
	       send_one(&left, *number, 2, 1))
		++*number;
	fe_flush(fe_tx(&left.fe, left.sends));
}

/* Until number packets were sent in all; returns how many really were. */
static uint64_t run(uint64_t number, uint64_t end)
{
	int64_t nudge = 0, start = now_ms();
	static bool ready;

	while (!ended && number < end) {
		send_window(&number, end, &nudge);
		if (!turn())
			idle(50);
		if (!ready && left.next) {
			ready = true;
			printf("ready\n");
			fflush(stdout);
		}
		if (!ready && now_ms() - start > READY_MS)
			die(&left, "no packet came through");
	}
	drain(number);
	return number;
}

static uint64_t run_all(void)
{
	unsigned n = opt.restarts + opt.reconnects;
	uint64_t end = opt.count ? opt.count : UINT64_MAX, sent = 0;

	for (unsigned i = 0; i < n; i++) {
		bool reconnect = i >= opt.restarts;

		sent = run(sent, end / (n + 1) * (i + 1));
		restart(&left, path[0], reconnect);
		restart(&right, path[1], reconnect);
	}
	return run(sent, end);
}

static void print_end(const char *name, const struct end *e)
{
	printf("\"%s\": {\"received\": %llu, \"lost\": %llu, \"doubled\": %llu,"
	       " \"corrupt\": %llu, \"gap_ms\": %llu, \"kicks\": %llu, "
	       "\"calls\": %llu, \"short\": %llu, \"resumes\": %llu, "
	       "\"error\": \"\"}",
	       name, (unsigned long long)(e->next - e->lost),
	       (unsigned long long)e->lost, (unsigned long long)e->doubled,
	       (unsigned long long)e->corrupt, (unsigned long long)e->gap_ms,
	       (unsigned long long)e->fe.queue[1].kicks,
	       (unsigned long long)e->fe.queue[0].calls,
	       (unsigned long long)e->shorts, (unsigned long long)e->resumes);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: vhost_peer [--kind qemu7|qemu10|dpdk|cloud] [--packed] "
		"[--event-idx] [--indirect] [--split-header] [--no-mergeable] "
		"[--offloads] [--server] [--poll] [--pairs N] [--size N] "
		"[--buf-size N] [--rx-chain N] [--len-max N] [--window N] "
		"[--restarts N] [--reconnects N] [--resume] [--count N] check PATH PATH\n");
	exit(2);
}

static enum fe_kind kind_of(const char *name)
{
	static const char *const names[] = { "qemu7", "qemu10", "dpdk",
					     "cloud" };

	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(name, names[i]))
			return (enum fe_kind)i;
	usage();
	return FE_QEMU7;
}

static bool parse_flag(const char *arg)
{
	uint64_t *f = &opt.fe.features;

	if (!strcmp(arg, "--packed"))
		*f |= FE_BIT(FE_F_PACKED);
	else if (!strcmp(arg, "--event-idx"))
		*f |= FE_BIT(FE_F_EVENT_IDX);
	else if (!strcmp(arg, "--offloads"))
		*f |= FE_FEATURES_OFFLOADS;
	else if (!strcmp(arg, "--no-mergeable"))
		*f &= ~FE_BIT(FE_F_MRG_RXBUF);
	else if (!strcmp(arg, "--split-header"))
		opt.fe.split_header = true;
	else if (!strcmp(arg, "--server"))
		opt.server = true;
	else if (!strcmp(arg, "--poll"))
		opt.wait = false;
	else if (!strcmp(arg, "--resume"))
		opt.resume = true;
	else if (!strcmp(arg, "--indirect"))
		opt.fe.indirect = true;
	else
		return false;
	return true;
}

static char **parse(char **arg)
{
	opt.fe.features = FE_FEATURES_PLAIN | FE_BIT(FE_F_INDIRECT);
	opt.fe.pairs = 1;
	for (; arg[0] && !strncmp(arg[0], "--", 2); arg++) {
		const char *name = arg[0];
		unsigned value;

		if (parse_flag(name))
			continue;
		if (!*++arg)
			usage();
		value = (unsigned)atoi(*arg);
		if (!strcmp(name, "--kind"))
			opt.fe.kind = kind_of(*arg);
		else if (!strcmp(name, "--pairs"))
			opt.fe.pairs = value;
		else if (!strcmp(name, "--size"))
			opt.fe.queue_size = value;
		else if (!strcmp(name, "--buf-size"))
			opt.fe.buf_size = value;
		else if (!strcmp(name, "--rx-chain"))
			opt.fe.rx_chain = value;
		else if (!strcmp(name, "--len-max"))
			opt.len_max = value;
		else if (!strcmp(name, "--window"))
			opt.window = value;
		else if (!strcmp(name, "--restarts"))
			opt.restarts = value;
		else if (!strcmp(name, "--reconnects"))
			opt.reconnects = value;
		else if (!strcmp(name, "--count"))
			opt.count = strtoull(*arg, NULL, 0);
		else
			usage();
	}
	return arg;
}

int main(int argc, char **argv)
{
	uint64_t sent;
	bool good;

	argv = parse(argv + 1);
	if (!argv[0] || strcmp(argv[0], "check") || !argv[1] || !argv[2] ||
	    opt.len_max > LEN_MAX || opt.len_max < LEN_MIN || !opt.fe.pairs ||
	    opt.fe.pairs > FE_PAIRS_MAX)
		usage();
	path = argv + 1;
	attach(&left, path[0]);
	attach(&right, path[1]);
	sent = run_all();
	/* What never came at all shows only now. */
	left.lost += sent - left.next;
	left.next = sent;
	right.lost += sent - right.next;
	right.next = sent;
	good = !left.lost && !right.lost && !left.corrupt && !right.corrupt;
	printf("{\"sent\": %llu, ", (unsigned long long)sent);
	print_end("left", &left);
	printf(", ");
	print_end("right", &right);
	printf("}\n");
	fe_fini(&left.fe);
	fe_fini(&right.fe);
	return good ? 0 : 1;
}
