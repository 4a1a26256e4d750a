// SPDX-License-Identifier: BSD-2-Clause
// limit.c - bare loops: what moving packets costs with nothing around it.
#include "bench/limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/frame.h"

enum {
	MACS = 4096, /* places in the address table */
	AHEAD = 8,   /* packets whose destination is prefetched */
	PORT_A = 1,
	PORT_B = 2,
};

struct bare_slot {
	uint32_t buf;
	uint16_t len, flags;
	uint64_t unused;
};

struct bare_ring {
	_Alignas(64) _Atomic uint32_t head; /* written by the producer */
	_Alignas(64) _Atomic uint32_t tail; /* written by the consumer */
	_Alignas(64) struct bare_slot slot[];
};

struct limit {
	struct limit_geometry g;
	struct bare_ring *tx, *rx; /* port a's and port b's */
	char *tx_bufs, *rx_bufs;
	/* The switch's. */
	struct {
		uint64_t mac, port;
	} table[MACS];
	const char *packet[FRAME_BATCH_MAX];
	uint64_t verdict[FRAME_BATCH_MAX];
	char frame[FRAME_MAX];
	_Alignas(64) uint64_t sink; /* the receiver's */
};

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static inline uint64_t mac_at(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v & 0xffffffffffffULL;
}

static inline unsigned mac_hash(uint64_t mac)
{
#ifdef __SSE4_2__
	return (unsigned)__builtin_ia32_crc32di(0, mac) & (MACS - 1);
#else
	return (unsigned)(mac * 0x9e3779b97f4a7c15ULL >> 52) & (MACS - 1);
#endif
}

/* A ring whose slots name buffers first, first + 1, ... */
static struct bare_ring *ring_create(unsigned slots, unsigned first)
{
	struct bare_ring *r = map(sizeof(*r) + slots * sizeof(r->slot[0]));

	for (unsigned i = 0; r && i < slots; i++)
		r->slot[i].buf = first + i;
	return r;
}

struct limit *limit_create(const struct limit_geometry *g)
{
	struct limit *l = aligned_alloc(64, sizeof(*l));
	size_t size = (size_t)2 * g->slots * g->stride + 64;
	unsigned h;

	if (!l || g->frame_len < 60 || g->frame_len > g->stride ||
	    g->frame_len > FRAME_MAX || !g->batch ||
	    g->batch > FRAME_BATCH_MAX || !g->slots ||
	    (g->slots & (g->slots - 1)))
		return NULL;
	memset(l, 0, sizeof(*l));
	l->g = *g;
	frame_make(l->frame, FRAME_A, FRAME_B);
	/* Every port has buffers for both its rings, as in a region. */
	l->tx = ring_create(g->slots, 0);
	l->rx = ring_create(g->slots, g->slots);
	l->tx_bufs = map(size);
	l->rx_bufs = map(size);
	if (!l->tx || !l->rx || !l->tx_bufs || !l->rx_bufs)
		return NULL;
	h = mac_hash(mac_at(l->frame));
	l->table[h].mac = mac_at(l->frame);
	l->table[h].port = PORT_B;
	return l;
}

/*
 * The steps are written once, and compiled for the usual ring with its numbers
 * as constants, as in the yardsticks, and for any other.
 */
#define STEP static inline __attribute__((always_inline)) unsigned

STEP send_any(struct limit *l, unsigned slots, unsigned stride)
{
	struct bare_ring *t = l->tx;
	unsigned mask = slots - 1, len = l->g.frame_len;
	uint32_t head = atomic_load_explicit(&t->head, memory_order_relaxed);
	uint32_t n = slots -
		     (head -
		      atomic_load_explicit(&t->tail, memory_order_acquire));

	if (n > l->g.batch)
		n = l->g.batch;
	for (uint32_t i = 0; i < n; i++) {
		struct bare_slot *s = &t->slot[(head + i) & mask];

		s->len = (uint16_t)len;
		frame_copy(l->tx_bufs + (size_t)s->buf * stride, l->frame, len);
	}
	if (n)
		atomic_store_explicit(&t->head, head + n, memory_order_release);
	return n;
}

/* Verdicts for the packets of a batch; sources are learnt. */
static inline void look_up(struct limit *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t src = mac_at(l->packet[i] + 6);
		uint64_t dst = mac_at(l->packet[i]);
		unsigned h = mac_hash(src);

		if (l->table[h].mac != src || l->table[h].port != PORT_A) {
			l->table[h].mac = src;
			l->table[h].port = PORT_A;
		}
		h = mac_hash(dst);
		l->verdict[i] = l->table[h].mac == dst ? l->table[h].port : 0;
	}
}

STEP switch_any(struct limit *l, unsigned slots, unsigned stride)
{
	struct bare_ring *t = l->tx, *r = l->rx;
	unsigned mask = slots - 1;
	uint32_t tail = atomic_load_explicit(&t->tail, memory_order_relaxed);
	uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&t->head, memory_order_acquire) -
		     tail;
	uint32_t room = slots -
			(head -
			 atomic_load_explicit(&r->tail, memory_order_acquire));

	if (n > l->g.batch)
		n = l->g.batch;
	if (n > room)
		n = room;
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t buf = t->slot[(tail + i) & mask].buf;

		l->packet[i] = l->tx_bufs + (size_t)buf * stride;
		__builtin_prefetch(l->packet[i]);
	}
	look_up(l, n);
	for (uint32_t i = 0; i < n; i++) {
		unsigned len = t->slot[(tail + i) & mask].len;
		struct bare_slot *d = &r->slot[(head + i) & mask];
		uint32_t ahead = r->slot[(head + i + AHEAD) & mask].buf;

		if (l->verdict[i] == PORT_A)
			continue;
		d->len = (uint16_t)len;
		__builtin_prefetch(l->rx_bufs + (size_t)ahead * stride, 1);
		frame_copy(l->rx_bufs + (size_t)d->buf * stride, l->packet[i],
			   len);
	}
	atomic_store_explicit(&r->head, head + n, memory_order_release);
	atomic_store_explicit(&t->tail, tail + n, memory_order_release);
	return n;
}

STEP receive_any(struct limit *l, unsigned slots, unsigned stride)
{
	struct bare_ring *r = l->rx;
	unsigned mask = slots - 1;
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&r->head, memory_order_acquire) -
		     tail;
	uint64_t sink = 0;

	if (n > l->g.batch)
		n = l->g.batch;
	for (uint32_t i = 0; i < n; i++) {
		struct bare_slot *s = &r->slot[(tail + i) & mask];

		sink += s->len + mac_at(l->rx_bufs + (size_t)s->buf * stride);
	}
	if (!n)
		return 0;
	l->sink += sink;
	atomic_store_explicit(&r->tail, tail + n, memory_order_release);
	return n;
}

#define USUAL_SLOTS 1024
#define USUAL_STRIDE 2048
#define RUN(step, l)                                                    \
	((l)->g.slots == USUAL_SLOTS && (l)->g.stride == USUAL_STRIDE ? \
		 step(l, USUAL_SLOTS, USUAL_STRIDE) :                   \
		 step(l, (l)->g.slots, (l)->g.stride))

unsigned limit_send(struct limit *l)
{
	return RUN(send_any, l);
}

unsigned limit_switch(struct limit *l)
{
	return RUN(switch_any, l);
}

unsigned limit_receive(struct limit *l)
{
	return RUN(receive_any, l);
}

uint64_t limit_sink(const struct limit *l)
{
	return l->sink;
}

struct limit_rtt {
	int hop[4]; /* to the middleman, the server, back, the client */
	pthread_t thread[3];
};

struct relay {
	int from, to;
};

static void post(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void await(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		abort();
}

static void *relay(void *arg)
{
	struct relay r = *(struct relay *)arg;

	free(arg);
	for (;;) {
		await(r.from);
		post(r.to);
	}
	return NULL;
}

struct limit_rtt *limit_rtt_create(void)
{
	struct limit_rtt *r = calloc(1, sizeof(*r));

	for (unsigned i = 0; r && i < 4; i++) {
		r->hop[i] = eventfd(0, EFD_CLOEXEC);
		if (r->hop[i] < 0)
			return NULL;
	}
	for (unsigned i = 0; r && i < 3; i++) {
		struct relay *x = malloc(sizeof(*x));

		if (!x)
			return NULL;
		*x = (struct relay){ r->hop[i], r->hop[i + 1] };
		if (pthread_create(&r->thread[i], NULL, relay, x))
			return NULL;
	}
	return r;
}

void limit_rtt_round(struct limit_rtt *r)
{
	post(r->hop[0]);
	await(r->hop[3]);
}
