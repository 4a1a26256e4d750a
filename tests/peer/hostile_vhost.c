// SPDX-License-Identifier: BSD-2-Clause
// hostile_vhost.c - a guest that breaks every rule of vhost-user and virtio.
/*
 *   hostile_vhost --list               the names of all cases
 *   hostile_vhost SOCKET CASE SCALE [packed|split [SEED [hold]]]
 *
 * Plays one case against the vhost-user port that listens on SOCKET; behind
 * its switch there must be somebody who sends back what we send. Prints one
 * JSON object with how often each outcome was seen. hostile_vhost.h says what
 * a case is. The case "good" is no lie at all. With hold it says "held" when a
 * queue has been stopped for the first time, and waits for its standard input
 * to end, so that one can look at the port.
 */
#include "hostile_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	WINDOW = 64,
	TIMEOUT_MS = 20000, /* for whatever must happen */
	ATTACH_MS = 20000,
	LOST_MS = 50, /* then packets are sent instead of those missing */
};

static const char *const outcome_names[OUTCOMES] = { "stopped", "hangup",
						     "refused", "good" };
static uint64_t seed;
static _Thread_local uint64_t random_state;

_Noreturn void fail(struct attack *a, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s%s, %s (seed %llu): ", a->name,
		a->config.features & FE_BIT(FE_F_PACKED) ? " packed" : "",
		a->variant, (unsigned long long)seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " [%s]\n", a->fe.error);
	exit(1);
}

void must(struct attack *a, int err, const char *what)
{
	if (err < 0)
		fail(a, "%s: %s", what, strerror(-err));
}

unsigned scaled(const struct attack *a, unsigned n, unsigned least)
{
	unsigned s = (unsigned)(n * a->scale);

	return s > least ? s : least;
}

void rnd_thread(uint64_t from)
{
	random_state = from * 0x9e3779b97f4a7c15 | 1;
}

uint64_t rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

uint32_t below(uint32_t n)
{
	return (uint32_t)((rnd() >> 32) * n >> 32);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Lives */

void life(struct attack *a, const char *variant)
{
	a->variant = variant;
	a->was_refused = false;
	fe_init(&a->fe, &a->config);
	a->fe.timeout_ms = TIMEOUT_MS;
	a->fd = fe_memfd(&a->fe, 2 * HALF, 0);
	must(a, a->fd, "memfd");
	must(a, fe_region(&a->fe, a->fd, 0, HALF, 0, 0), "region");
	must(a, fe_region(&a->fe, a->fd, HALF, HALF, HALF, 0), "region");
}

void life_end(struct attack *a)
{
	fe_fini(&a->fe);
}

/* The life before may not have been noticed to be over: then we are the second
 * client, which glend turns away. */
static void try_until(struct attack *a, int (*attempt)(struct attack *a))
{
	int64_t end = now_ms() + ATTACH_MS;
	int err;

	while ((err = attempt(a))) {
		if (now_ms() > end)
			fail(a, "cannot attach: %s", strerror(-err));
		fe_disconnect(&a->fe);
		usleep(1000);
	}
}

static int attempt_connect(struct attack *a)
{
	int err = fe_connect(&a->fe, a->path);

	return err ? err : fe_sync(&a->fe);
}

static int attempt_handshake(struct attack *a)
{
	int err = attempt_connect(a);

	return err ? err : fe_handshake(&a->fe);
}

void life_connected(struct attack *a, const char *variant)
{
	life(a, variant);
	try_until(a, attempt_connect);
}

void life_handshaken(struct attack *a, const char *variant)
{
	life(a, variant);
	try_until(a, attempt_handshake);
}

void life_empty(struct attack *a, const char *variant)
{
	bool no_fill = a->config.no_fill;

	a->config.no_fill = true;
	life_handshaken(a, variant);
	a->config.no_fill = no_fill;
	must(a, fe_start(&a->fe), "start");
}

void life_attached(struct attack *a, const char *variant)
{
	life_handshaken(a, variant);
	must(a, fe_start(&a->fe), "start");
	exchange(a, WINDOW);
}

/* Packets */

static uint32_t build(uint8_t *p, uint64_t number)
{
	static const uint8_t head[14] = { 2, 0, 0, 0, 0, 1,    2,
					  0, 0, 0, 0, 2, 0x88, 0xb5 };
	uint32_t len = 60 + (uint32_t)(number * 7919 % (FRAME_MAX - 59));

	memcpy(p, head, sizeof(head));
	memcpy(p + 14, &number, sizeof(number));
	for (uint32_t i = 22; i < len; i++)
		p[i] = (uint8_t)(number * 31 + i);
	return len;
}

/* Sends packet a->sent; false: no room. */
static bool send_next(struct attack *a)
{
	uint8_t frame[FRAME_MAX];
	uint32_t len = build(frame, a->sent);
	int err = fe_send(fe_tx(&a->fe, 0), NULL, frame, len);

	if (err == -ENOSPC)
		return false;
	must(a, err, "cannot send");
	a->sent++;
	return true;
}

void provoke(struct attack *a, unsigned n)
{
	struct fe_queue *q = fe_tx(&a->fe, 0);
	uint8_t frame[FRAME_MAX];

	for (unsigned i = 0; i < n; i++) {
		uint32_t len = build(frame, a->sent++);

		if (fe_send(q, NULL, frame, len))
			fe_kick_always(q);
	}
}

void consume(struct attack *a)
{
	struct fe_queue *q = fe_rx(&a->fe, 0);

	for (unsigned i = 0; i < q->size; i++)
		if (fe_receive(q, &a->packet) <= 0)
			break;
	fe_fill(q);
}

/* What comes back must be what was sent since first. What was sent in earlier
 * lives may come as well. */
static unsigned take_back(struct attack *a, uint64_t first)
{
	struct fe_queue *q = fe_rx(&a->fe, 0);
	uint8_t want[FRAME_MAX];
	unsigned n = 0;
	int got;

	while ((got = fe_receive(q, &a->packet)) > 0) {
		uint64_t number;
		uint32_t len;

		memcpy(&number, a->packet.data + 14, sizeof(number));
		len = build(want, number);
		if (a->packet.len != len || memcmp(want, a->packet.data, len))
			continue;
		n += number >= first && number < a->sent;
	}
	must(a, got, "cannot receive");
	fe_fill(q);
	return n;
}

void exchange(struct attack *a, unsigned n)
{
	uint64_t first = a->sent;
	int64_t end = now_ms() + TIMEOUT_MS, last = now_ms();
	unsigned out = 0, back = 0;

	while (back < n) {
		struct pollfd p = { fe_rx(&a->fe, 0)->call_fd, POLLIN, 0 };
		unsigned got;

		while (out < WINDOW && out < n - back && send_next(a))
			out++;
		got = take_back(a, first);
		back += got;
		out -= got < out ? got : out;
		/* What was provoked before may have left no room for some. */
		if (got)
			last = now_ms();
		else if (now_ms() - last > LOST_MS)
			out = 0;
		if (!got && !fe_arm(fe_rx(&a->fe, 0), true))
			poll(&p, 1, 10);
		fe_called(fe_rx(&a->fe, 0));
		if (now_ms() > end)
			fail(a, "%u of %u packets came back", back, n);
	}
	a->back += back;
}

/* Verdicts */

void refused(struct attack *a, int err)
{
	if (err == -EREMOTEIO)
		a->was_refused = true;
}

static void note(struct attack *a, unsigned outcome)
{
	for (unsigned i = 0; i < OUTCOMES; i++)
		a->counts[i] += outcome == 1u << i;
	life_end(a);
}

_Noreturn static void hold(void)
{
	char c;

	printf("held\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	exit(0);
}

/* The first of the outcomes that happens. */
void expect(struct attack *a, unsigned outcomes)
{
	struct pollfd p[3] = { { a->fe.sock, POLLIN, 0 },
			       { fe_rx(&a->fe, 0)->err_fd, POLLIN, 0 },
			       { fe_tx(&a->fe, 0)->err_fd, POLLIN, 0 } };
	int64_t end = now_ms() + TIMEOUT_MS;

	if (a->was_refused && (outcomes & REFUSED)) {
		note(a, REFUSED);
		return;
	}
	for (;;) {
		char bytes[4096];
		int64_t left = end - now_ms();
		ssize_t n;

		if (poll(p, 3, left > 0 ? (int)left : 0) == 0)
			break;
		if (p[1].revents || p[2].revents) {
			if (!(outcomes & STOPPED))
				fail(a, "a queue was stopped");
			if (a->hold)
				hold();
			note(a, STOPPED);
			return;
		}
		/* Late replies may come first. */
		n = recv(a->fe.sock, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
			continue;
		if (!(outcomes & HANGUP))
			fail(a, "glend hung up");
		note(a, HANGUP);
		return;
	}
	fail(a, "glend took no offence");
}

void good(struct attack *a)
{
	exchange(a, WINDOW);
	note(a, GOOD);
}

void survived(struct attack *a)
{
	struct pollfd p[2] = { { fe_rx(&a->fe, 0)->err_fd, POLLIN, 0 },
			       { fe_tx(&a->fe, 0)->err_fd, POLLIN, 0 } };
	int err = fe_sync(&a->fe);

	if (err == -ETIMEDOUT)
		fail(a, "glend does not answer any more");
	if (err == -ECONNRESET)
		note(a, HANGUP);
	else if (poll(p, 2, 0) > 0)
		note(a, STOPPED);
	else
		note(a, a->was_refused ? REFUSED : GOOD);
}

/* Lies */

static void lie_split(struct attack *a, struct fe_queue *q, const struct lie *d,
		      unsigned n, uint16_t head)
{
	struct fe_split_desc *table = (void *)q->desc;
	uint16_t *avail = (void *)q->avail;

	for (unsigned i = 0; i < n; i++)
		table[i] = (struct fe_split_desc){ d[i].addr, d[i].len,
						   d[i].flags, d[i].next };
	avail[2 + (q->avail_idx & (q->size - 1))] = head;
	q->avail_idx++;
	__atomic_store_n(&avail[1], q->avail_idx, __ATOMIC_RELEASE);
}

static void lie_packed(struct attack *a, struct fe_queue *q,
		       const struct lie *d, unsigned n)
{
	struct fe_packed_desc *table = (void *)q->desc;

	for (unsigned i = n; i-- > 0;) {
		unsigned at = q->avail_idx + i;
		bool wrap = q->avail_wrap != (at >= q->size);
		uint16_t bits = wrap ? 1 << 7 : 1 << 15;
		struct fe_packed_desc *p = &table[at % q->size];

		p->addr = d[i].addr;
		p->len = d[i].len;
		p->id = d[i].id;
		__atomic_store_n(&p->flags, d[i].flags | bits,
				 __ATOMIC_RELEASE);
	}
}

void settle(struct attack *a, struct fe_queue *q)
{
	int64_t end = now_ms() + TIMEOUT_MS;

	while (q->n_free < q->size) {
		must(a, fe_reclaim(q), "reclaim");
		if (now_ms() > end)
			fail(a, "what was sent does not come back");
		usleep(100);
	}
}

void lie(struct attack *a, struct fe_queue *q, const struct lie *d, unsigned n,
	 uint16_t head)
{
	if (q->index & 1)
		settle(a, q);
	if (q->packed) {
		lie_packed(a, q, d, n);
		q->avail_wrap ^= q->avail_idx + n >= q->size;
		q->avail_idx = (uint16_t)((q->avail_idx + n) % q->size);
	} else {
		lie_split(a, q, d, n, head);
	}
	fe_kick_always(q);
}

void lie_returned(struct attack *a, struct fe_queue *q, unsigned n)
{
	struct fe_packed_desc *table = (void *)q->desc;
	uint16_t want = q->used_wrap ? 1 << 7 | 1 << 15 : 0;
	int64_t end = now_ms() + TIMEOUT_MS;

	for (;;) {
		bool there = q->packed ?
				     (__atomic_load_n(&table[q->used_idx].flags,
						      __ATOMIC_ACQUIRE) &
				      (1 << 7 | 1 << 15)) == want :
				     fe_used_idx(q) == q->avail_idx;

		if (there)
			break;
		if (now_ms() > end)
			fail(a, "a chain does not come back");
		usleep(100);
	}
	if (!q->packed) {
		q->used_idx = q->avail_idx;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		if (++q->used_idx == q->size) {
			q->used_idx = 0;
			q->used_wrap = !q->used_wrap;
		}
}

static void case_good(struct attack *a)
{
	life_attached(a, "well-behaved");
	exchange(a, scaled(a, 2000, 200));
	good(a);
}

static const struct hostile_case good_cases[] = { { "good", case_good, true },
						  { 0 } };
static const struct hostile_case *const groups[] = {
	good_cases,   memory_cases, ring_cases,
	header_cases, socket_cases, message_cases
};

enum { GROUPS = sizeof(groups) / sizeof(groups[0]) };

static const struct hostile_case *find_case(const char *name)
{
	for (unsigned g = 0; g < GROUPS; g++)
		for (const struct hostile_case *c = groups[g]; c->name; c++)
			if (!strcmp(c->name, name))
				return c;
	fprintf(stderr, "hostile_vhost: no case %s\n", name);
	exit(2);
}

static int list_cases(void)
{
	for (unsigned g = 0; g < GROUPS; g++)
		for (const struct hostile_case *c = groups[g]; c->name; c++)
			printf("%s %s\n", c->name,
			       c->rings ? "split,packed" : "split");
	return 0;
}

int main(int argc, char **argv)
{
	static struct attack a;
	const struct hostile_case *c;

	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list_cases();
	if (argc < 4) {
		fprintf(stderr, "usage: hostile_vhost --list | SOCKET CASE "
				"SCALE [packed|split [SEED [hold]]]\n");
		return 2;
	}
	c = find_case(argv[2]);
	a.path = argv[1];
	a.name = c->name;
	a.scale = atof(argv[3]);
	a.config.features = FE_FEATURES_PLAIN | FE_BIT(FE_F_INDIRECT) |
			    FE_BIT(FE_F_EVENT_IDX);
	if (argc > 4 && !strcmp(argv[4], "packed"))
		a.config.features |= FE_BIT(FE_F_PACKED);
	seed = argc > 5 ? strtoull(argv[5], NULL, 0) :
			  (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	a.hold = argc > 6 && !strcmp(argv[6], "hold");
	rnd_thread(seed);
	a.sent = rnd() >> 16; /* not those of another process */
	c->run(&a);
	printf("{\"case\": \"%s\", \"seed\": %llu, \"back\": %llu", c->name,
	       (unsigned long long)seed, (unsigned long long)a.back);
	for (unsigned i = 0; i < OUTCOMES; i++)
		printf(", \"%s\": %u", outcome_names[i], a.counts[i]);
	printf("}\n");
	return 0;
}
