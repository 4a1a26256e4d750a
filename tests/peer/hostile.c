// SPDX-License-Identifier: BSD-2-Clause
// hostile.c - a client that scribbles over everything a client may write.
/*
 * Attaches by the control protocol itself, without libglen's port code, and
 * lives many short lives. In each it picks rings, slots and buffer size and a
 * way to misbehave, and goes on until glend closes the port, a share of the
 * slots is spent, or the dice say so; then it vanishes in one of several ways.
 * Everything follows from the seed, but for what glend does at the same time.
 *
 *   chaos   random words over the whole window: slots, ring headers, both CSB
 *           pages, the netmap_if
 *   heads   good slots, random heads
 *   slots   good heads, slots of which one in a while is random
 *   race    good slots, published, and then flipped between good and bad while
 *           glend reads them, buffers too
 *   odd     nothing that is forbidden: empty slots, endless chains, the same
 *           buffer everywhere, random frames, random need-kick values
 *   fds     the descriptors: kick storms, the eventfd filled up and made
 *           blocking, the call pipe drained
 *
 * At the end it prints {"seed", "slots", "lives", "closed", "reasons"}. It ends
 * with 1 if glend hung up without saying why, or does not answer any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <net/netmap.h>

#include "lib/layout.h"
#include "lib/rpc.h"
#include "lib/shm.h"

enum way { CHAOS, HEADS, SLOTS, RACE, ODD, FDS, WAYS };
enum { ROUND = 256 }; /* slots between two looks at the socket */

static const char *const way_names[WAYS] = { "chaos", "heads", "slots",
					     "race",  "odd",   "fds" };

/* One life. */
struct life {
	struct rpc rpc;
	struct layout l;
	enum way way;
	int fds[4]; /* window, buffers, kick, call */
	char *window, *bufs;
	uint32_t head[GLEN_RINGS_MAX]; /* of TX rings */
	bool closed;
	bool mute; /* a kick could block us */
};

static uint64_t rng;
static uint64_t n_slots;
static json_t *reasons;

static uint64_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)((rnd() >> 32) * n >> 32);
}

/* Random words are mostly refused at once; near limits it gets interesting. */
static uint32_t nasty(uint32_t limit)
{
	static const uint32_t special[] = { 0,		1,	    2,
					    0x7fffffff, 0x80000000, 0xffffffff,
					    0xfffffffe, 0xffff,	    0x10000,
					    4095,	4096 };

	switch (below(4)) {
	case 0:
		return special[below(sizeof(special) / sizeof(special[0]))];
	case 1:
		return limit - 2 + below(5);
	case 2:
		return below(limit ? limit : 1);
	default:
		return (uint32_t)rnd();
	}
}

static struct nm_csb_atok *atok(struct life *f, unsigned line)
{
	return (struct nm_csb_atok *)(f->window + LAYOUT_ATOK_OFF) + line;
}

static struct netmap_ring *ring(struct life *f, unsigned line)
{
	return (void *)(f->window + f->l.rings_off + line * f->l.ring_size);
}

static uint32_t tail(struct life *f, unsigned line)
{
	struct nm_csb_ktoa *k = (void *)(f->window + LAYOUT_KTOA_OFF);

	return shm_load_acquire32(&k[line].hwtail) & (f->l.slots - 1);
}

static void kick(struct life *f)
{
	uint64_t one = 1;

	if (f->mute)
		return;
	if (write(f->fds[2], &one, sizeof(one)) < 0)
		return; /* full; glend was kicked already */
}

/* A slot that glend must accept, with a random frame in its buffer. */
static void good_slot(struct life *f, unsigned line, uint32_t i)
{
	struct netmap_slot *slot = &ring(f, line)->slot[i & (f->l.slots - 1)];
	uint32_t buf = 2 + (line * f->l.slots + i) % (f->l.n_bufs - 2);
	uint32_t len = f->l.buf_size < 60 ? f->l.buf_size : 60;
	char *p = f->bufs + (size_t)buf * f->l.buf_size;

	for (uint32_t o = 0; o + 8 <= len; o += 8) {
		uint64_t word = rnd();

		memcpy(p + o, &word, sizeof(word));
	}
	slot_store(slot, slot_word(buf, (uint16_t)len, 0));
	n_slots++;
}

static void bad_slot(struct life *f, unsigned line, uint32_t i)
{
	struct netmap_slot *slot = &ring(f, line)->slot[i & (f->l.slots - 1)];

	shm_store64(&slot->ptr, rnd());
	slot_store(slot,
		   slot_word(nasty(f->l.n_bufs), (uint16_t)nasty(f->l.buf_size),
			     (uint16_t)nasty(64)));
	n_slots++;
}

/* Advances a TX ring's head by n, kicking now and then without being asked. */
static void advance(struct life *f, unsigned line, uint32_t n)
{
	f->head[line] = (f->head[line] + n) & (f->l.slots - 1);
	shm_store32(&atok(f, line)->cur, f->head[line]);
	shm_store_release32(&atok(f, line)->head, f->head[line]);
	if (!below(8))
		kick(f);
	if (!below(4))
		shm_store32(&atok(f, line)->appl_need_kick, (uint32_t)rnd());
}

/* Gives everything back that an RX ring holds. */
static void consume(struct life *f, unsigned line)
{
	shm_store_release32(&atok(f, line)->head, tail(f, line));
}

static uint32_t room(struct life *f, unsigned line)
{
	return (tail(f, line) - f->head[line]) & (f->l.slots - 1);
}

static void do_chaos(struct life *f)
{
	uint32_t words = (uint32_t)(f->l.window_size / 4);

	for (int i = 0; i < ROUND; i++) {
		/* Half of it into the CSB pages, which are small. */
		uint32_t at = below(2) ? below(words) :
					 below(2 * LAYOUT_PAGE / 4);

		shm_store32((uint32_t *)(void *)f->window + at,
			    nasty(below(2) ? f->l.slots : f->l.n_bufs));
		n_slots++;
	}
	kick(f);
}

static void do_heads(struct life *f)
{
	unsigned lines = 2 * f->l.rings;

	for (int i = 0; i < ROUND; i++) {
		unsigned line = below(lines);

		good_slot(f, line, below(f->l.slots));
		/* A random head of a TX ring is allowed if it is one. */
		if (line < f->l.rings)
			shm_store_release32(&atok(f, line)->head,
					    below(200) ? below(f->l.slots) :
							 nasty(f->l.slots));
		else if (!below(20))
			shm_store_release32(&atok(f, line)->head,
					    nasty(f->l.slots));
	}
	kick(f);
}

static void do_slots(struct life *f)
{
	unsigned line = below(f->l.rings);
	uint32_t n = room(f, line);
	uint32_t odds = 1u << below(12);

	for (uint32_t i = 0; i < n; i++)
		if (below(odds))
			good_slot(f, line, f->head[line] + i);
		else
			bad_slot(f, line, f->head[line] + i);
	advance(f, line, n);
	for (unsigned i = 0; i < f->l.rings; i++)
		consume(f, f->l.rings + i);
	/* Slots of the RX rings are ours to spoil, too. */
	if (!below(odds))
		bad_slot(f, f->l.rings + below(f->l.rings), below(f->l.slots));
	if (!n)
		kick(f);
}

static void do_race(struct life *f)
{
	unsigned line = below(f->l.rings);
	uint32_t n = room(f, line), first = f->head[line];
	struct netmap_ring *r = ring(f, line);

	for (uint32_t i = 0; i < n; i++)
		good_slot(f, line, first + i);
	advance(f, line, n);
	kick(f);
	/* Each bad word stays for a few cycles only. */
	for (uint32_t i = 0; i < 4 * n; i++) {
		struct netmap_slot *slot =
			&r->slot[(first + below(n)) & (f->l.slots - 1)];
		uint64_t good = slot_load(slot);
		char *p = f->bufs + (size_t)slot_buf(good) * f->l.buf_size;

		if (slot_buf(good) < f->l.n_bufs)
			shm_store32((uint32_t *)(void *)p, (uint32_t)rnd());
		slot_store(slot, below(64) ? slot_word(slot_buf(good),
						       (uint16_t)below(61), 0) :
					     rnd());
		slot_store(slot, good);
		n_slots++;
	}
	for (unsigned i = 0; i < f->l.rings; i++)
		consume(f, f->l.rings + i);
}

static void do_odd(struct life *f)
{
	unsigned line = below(f->l.rings);
	uint32_t n = room(f, line), kind = below(4);

	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot =
			&ring(f, line)
				 ->slot[(f->head[line] + i) & (f->l.slots - 1)];

		good_slot(f, line, f->head[line] + i);
		if (kind == 0)
			slot_store(slot, slot_word(2, 0, 0));
		else if (kind == 1)
			slot_store(slot, slot_word(2, 60, NS_MOREFRAG));
		else if (kind == 2)
			slot_store(slot, slot_word(2, (uint16_t)below(61),
						   (uint16_t)rnd()));
	}
	advance(f, line, below(n + 1));
	for (unsigned i = 0; i < f->l.rings; i++) {
		consume(f, f->l.rings + i);
		shm_store32(&atok(f, f->l.rings + i)->appl_need_kick,
			    (uint32_t)rnd());
	}
	if (!n)
		kick(f);
}

static void do_fds(struct life *f)
{
	uint64_t most = UINT64_MAX - 1 - below(2);
	char old[4096];

	fcntl(f->fds[2], F_SETFL, below(2) ? 0 : O_NONBLOCK);
	fcntl(f->fds[3], F_SETFL, below(2) ? 0 : O_NONBLOCK);
	fcntl(f->fds[2], F_SETFL, O_NONBLOCK);
	if (write(f->fds[2], &most, sizeof(most)) < 0)
		kick(f);
	fcntl(f->fds[3], F_SETFL, O_NONBLOCK);
	if (below(2) && read(f->fds[3], old, sizeof(old)) < 0)
		kick(f);
	if (below(2))
		fcntl(f->fds[3], F_SETFL, 0);
	f->mute = below(2);
	if (f->mute)
		fcntl(f->fds[2], F_SETFL, 0);
	do_odd(f);
	fcntl(f->fds[2], F_SETFL, O_NONBLOCK);
	f->mute = false;
}

static void open_life(struct life *f, const char *socket, const char *port)
{
	struct glen_error error;
	json_t *params, *result;
	int64_t rings, slots, buf_size;

	memset(f, 0, sizeof(*f));
	f->way = (enum way)below(WAYS);
	if (rpc_open(&f->rpc, socket, 2000, &error)) {
		fprintf(stderr, "glend is gone: %s\n", error.text);
		exit(1);
	}
	rings = 1 + below(4);
	slots = 16 << below(7);
	buf_size = 64 << below(6);
	params = json_pack("{s:s, s:I, s:I, s:I, s:I}", "port", port, "rings",
			   (json_int_t)rings, "slots", (json_int_t)slots,
			   "buf_size", (json_int_t)buf_size, "vnet_hdr_len",
			   (json_int_t)(below(4) ? 0 : 12));
	if (rpc_call(&f->rpc, "port.open", params, NULL, 0, &result, 10000,
		     &error) ||
	    rpc_take_fds(&f->rpc, f->fds, 4) != 4) {
		fprintf(stderr, "cannot attach: %s\n", error.text);
		exit(1);
	}
	json_decref(result);
	layout_init(&f->l, (uint32_t)rings, (uint32_t)slots, (uint32_t)buf_size,
		    0, NULL);
	f->window = mmap(NULL, f->l.window_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED, f->fds[0], 0);
	f->bufs = mmap(NULL, f->l.bufs_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       f->fds[1], 0);
	if (f->window == MAP_FAILED || f->bufs == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
}

/* Takes note of glend's reason. Hanging up without one is glend's fault. */
static void look_at_socket(struct life *f, int timeout_ms)
{
	json_t *message, *params = NULL, *count;
	const char *reason;
	int err = rpc_recv(&f->rpc, &message, timeout_ms, NULL);

	if (err == -ETIMEDOUT)
		return;
	if (err) {
		fprintf(stderr, "glend hung up without a reason (%s)\n",
			way_names[f->way]);
		exit(1);
	}
	rpc_notification(message, &params);
	reason = json_string_value(json_object_get(params, "reason"));
	if (!reason)
		reason = "?";
	count = json_object_get(reasons, reason);
	json_object_set_new(reasons, reason,
			    json_integer(json_integer_value(count) + 1));
	f->closed = true;
	json_decref(message);
}

static void close_life(struct life *f)
{
	/* In all orders: memory first, descriptors first, socket first. */
	bool late = below(2);

	if (!late)
		rpc_close(&f->rpc);
	for (int i = 0; i < 4; i++)
		close(f->fds[i]);
	munmap(f->window, f->l.window_size);
	munmap(f->bufs, f->l.bufs_size);
	if (late)
		rpc_close(&f->rpc);
}

static void live(struct life *f, uint64_t quota)
{
	static void (*const act[WAYS])(struct life * f) = { do_chaos, do_heads,
							    do_slots, do_race,
							    do_odd,   do_fds };
	uint64_t end = n_slots + quota;

	while (!f->closed && n_slots < end) {
		uint64_t before = n_slots;

		act[f->way](f);
		if (n_slots == before)
			n_slots++; /* a full ring: glend is slower than we */
		if (!below(4))
			look_at_socket(f, 0);
	}
}

int main(int argc, char **argv)
{
	uint64_t lives = 0, closed = 0, total, seed;
	char *text;

	if (argc < 4) {
		fprintf(stderr, "usage: hostile SOCKET PORT SLOTS [SEED]\n");
		return 2;
	}
	total = strtoull(argv[3], NULL, 0);
	seed = argc > 4 ? strtoull(argv[4], NULL, 0) :
			  (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
	rng = seed * 0x9e3779b97f4a7c15 + 1;
	fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	reasons = json_object();
	while (n_slots < total) {
		struct life f;

		open_life(&f, argv[1], argv[2]);
		live(&f, total / 200 + 1);
		/* Wait for the verdict now and then, or just vanish. */
		if (!f.closed && below(2))
			look_at_socket(&f, 20);
		lives++;
		closed += f.closed;
		close_life(&f);
	}
	text = json_dumps(reasons, JSON_COMPACT | JSON_SORT_KEYS);
	printf("{\"seed\": %llu, \"slots\": %llu, \"lives\": %llu, "
	       "\"closed\": %llu, \"reasons\": %s}\n",
	       (unsigned long long)seed, (unsigned long long)n_slots,
	       (unsigned long long)lives, (unsigned long long)closed, text);
	free(text);
	json_decref(reasons);
	return 0;
}
