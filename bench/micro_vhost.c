// SPDX-License-Identifier: BSD-2-Clause
// micro_vhost.c - what the parts of a packet's way between two guests cost.
/*
 * micro_vhost [FRAME=64] [TURN=32] [SLICES=15]
 *
 * Two ports with split virtqueues of 1,024 descriptors in one program and one
 * thread, on processor 0: the "guests" hand over TURN frames, the switch, a
 * learning one, takes a turn, the guests take back what is theirs. Only the
 * turn counts. No cache line comes from another core: what crossing to a guest
 * costs is the difference to the benchmarks with real ones.
 *
 * Turns are alternately those of the driver as it is ("whole"), and those of
 * its own functions, called by part_tx() in the order of tx_simple(), with the
 * time-stamp counter read in between:
 *
 *   rx_desc   available index and descriptors of the transmit ring
 *   switch    private headers, look-up, grouping
 *   tx_desc   available index and descriptors of the receive ring, reservation
 *   copy      the packet and its header into the receiver's buffer
 *   used      used entries of both rings
 *   notify    used indexes of both, fences, does the guest want to be called
 *
 * Prints a JSON object per slice of TURNS turns of each kind, with the medians
 * in cycles of the counter per packet. Reading the counter takes what the parts
 * are longer than the whole, and is subtracted.
 */
#define GLEN_ISA parts
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "port/vhost_user/rx_tx.c"
#include "port/vhost_user/tx.c"

#include "bench/share.h"

enum {
	SIZE = 1024, /* descriptors of a ring */
	STRIDE = 2176,
	MEMORY = 2 * SIZE * STRIDE + (1 << 16),
	OFFERED = SIZE / 2, /* receive buffers that are ready */
	TURNS = 8192,	    /* of a slice */
};

enum part { RX_DESC, SWITCH, TX_DESC, COPY, USED, NOTIFY, N_PARTS };

static const char *const part_name[N_PARTS] = { "rx_desc", "switch", "tx_desc",
						"copy",	   "used",   "notify" };

/* A guest's virtqueue, the driver's side of it included. */
struct guest_queue {
	struct split_desc *desc;
	struct split_avail *avail;
	struct split_used *used;
	uint16_t next; /* avail index, the guest's */
	struct vhost_queue q;
	struct vhost_ring ring;
	struct vhost_saved_queue saved;
};

static struct {
	struct engine *engine;
	struct port *from, *to;
	struct guest_queue tx, rx;
	struct vhost_mem *mem;
	unsigned frame;
	uint64_t part[N_PARTS], last; /* last: when the counter was read */
	uint32_t sample[N_PARTS + 1][TURNS]; /* behind the parts: the whole */
} bench;

static inline uint64_t cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

/* What happened since the last call was this part. */
static inline void part_done(enum part part)
{
	uint64_t now = cycles();

	bench.part[part] += now - bench.last;
	bench.last = now;
}

static unsigned part_rx(struct ingress *in, struct batch *b)
{
	unsigned n;

	part_done(SWITCH);
	n = vhost_rx(in, b);
	part_done(RX_DESC);
	return n;
}

/* As vhost_rx_done() for split virtqueues. */
static void part_rx_done(struct ingress *in, struct batch *b)
{
	struct vhost_queue *q = in->drv;
	const struct vhost_ring *r = q->held;

	part_done(SWITCH);
	for (unsigned i = 0; i < b->slots; i++)
		split_give(r, q->avail + i, q->taken[i].id, 0);
	q->avail += b->slots;
	part_done(USED);
	if (split_publish(q, r, q->avail))
		call_tx(in, r);
	part_done(NOTIFY);
}

/* As tx_simple() for split virtqueues. */
static void part_tx(struct egress *e, struct tx_ctx *ctx, const struct batch *b,
		    const uint16_t *list, unsigned n)
{
	struct vhost_queue *q = e->drv;
	struct out o = { .q = q, .r = ring_of(q), .ctx = ctx };
	struct out_simple s;
	uint64_t bytes = 0;
	uint32_t need = b->most > HDR_ROOM ? b->most : HDR_ROOM;

	part_done(SWITCH);
	lease_lock(&q->q);
	check_hint(q, o.r);
	n = split_take_simple(&o, &s, n, need + o.r->hdr_len);
	if (n)
		out_take(&o, n);
	lease_unlock(&q->q);
	part_done(TX_DESC);
	for (unsigned k = 0; k < n; k++) {
		write_simple(s.ptr[k], o.r->hdr_len, b, list[k]);
		bytes += b->len[list[k]];
	}
	part_done(COPY);
	for (unsigned k = 0; k < n; k++)
		split_give(o.r, o.start + k, s.id[k],
			   o.r->hdr_len + b->len[list[k]]);
	part_done(USED);
	count_add(&ctx->counters->packets, n);
	count_add(&ctx->counters->bytes, bytes);
	if (n)
		out_publish(&o);
	part_done(NOTIFY);
}

static const struct port_hot part_hot = {
	.rx = part_rx,
	.rx_done = part_rx_done,
	.tx = part_tx,
};

static void die(const char *what)
{
	fprintf(stderr, "micro_vhost: %s\n", what);
	exit(1);
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("no memory");
	return p;
}

/* Its descriptors are those of buffers first, first + 1, ... of the guest. */
static void queue_open(struct guest_queue *g, bool egress, unsigned first)
{
	const struct vhost_saved_queue at = { .avail_wrap = 1,
					      .used_wrap = 1,
					      .valid = 1 };

	g->desc = map(SIZE * sizeof(*g->desc));
	g->avail = map(sizeof(*g->avail) + SIZE * 2 + 2);
	g->used = map(sizeof(*g->used) + SIZE * 8 + 2);
	/* A guest that polls wants no calls. */
	g->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	for (unsigned i = 0; i < SIZE; i++) {
		uint32_t len = egress ? 2048 + VHOST_HDR_LEN :
					bench.frame + VHOST_HDR_LEN;
		uint64_t flags = egress ? VRING_DESC_F_WRITE : 0;

		g->desc[i].addr = (uint64_t)(first + i) * STRIDE;
		g->desc[i].rest = len | flags << 32;
		g->avail->ring[i] = i;
	}
	g->ring = (struct vhost_ring){
		.mergeable = true,
		.indirect = true,
		.hdr_len = VHOST_HDR_LEN,
		.size = SIZE,
		.mask = SIZE - 1,
		.desc = g->desc,
		.avail = g->avail,
		.used = g->used,
		.call_fd = -1,
		.mem = bench.mem,
		.log_gpa = UINT64_MAX,
	};
	g->q.saved = &g->saved;
	vhost_queue_reset(&g->q, egress, &at);
	atomic_store(&g->q.ring, &g->ring);
}

static void frames_make(void)
{
	static const uint8_t head[] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0
	};

	bench.mem = calloc(1, sizeof(*bench.mem) + sizeof(struct vhost_region));
	if (!bench.mem)
		die("no memory");
	bench.mem->n = 1;
	bench.mem->region[0] = (struct vhost_region){ .size = MEMORY,
						      .base = map(MEMORY) };
	for (unsigned i = 0; i < SIZE; i++)
		memcpy(bench.mem->region[0].base + (size_t)i * STRIDE +
			       VHOST_HDR_LEN,
		       head, sizeof(head));
}

/* Ports of a learning switch, whose rings are then guests'. */
static void switch_open(void)
{
	const struct engine_config config = { .n_workers = 1, .poll = true };
	struct port_args args = { .params = json_object() };
	struct glen_error error = { 0 };
	struct vswitch *sw;

	if (engine_create(&bench.engine, &config, &error) ||
	    switch_create(bench.engine, "sw", "learn", NULL, &sw, &error) ||
	    port_create(sw, "a", "dummy", &args, &bench.from, &error) ||
	    port_create(sw, "b", "dummy", &args, &bench.to, &error))
		die(error.text);
	json_decref(args.params);
	bench.from->in[0].drv = &bench.tx.q;
	bench.to->out[0].drv = &bench.rx.q;
}

/* The driver as it is, or taken to pieces. */
static void use(const struct port_hot *hot)
{
	bench.from->in[0].hot = hot;
	bench.to->out[0].hot = hot;
}

static void offer(struct guest_queue *g, unsigned n)
{
	g->next += n;
	__atomic_store_n(&g->avail->idx, g->next, __ATOMIC_RELEASE);
}

/* n packets; returns what the turn took. */
static uint64_t turn(unsigned n)
{
	uint16_t used = bench.rx.used->idx;
	uint64_t start;

	offer(&bench.rx, (uint16_t)(used + OFFERED) - bench.rx.next);
	offer(&bench.tx, n);
	start = bench.last = cycles();
	engine_poll(bench.engine);
	part_done(SWITCH);
	start = bench.last - start;
	if (bench.tx.used->idx != bench.tx.next ||
	    (uint16_t)(bench.rx.used->idx - used) != n)
		die("the switch did not pass on what it was given");
	return start;
}

/* The switch learns where b is: without, it would flood. */
static void learn(void)
{
	uint8_t frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
	struct batch *b = &bench.engine->workers[0]->batch;
	struct glen_lookup ctx = { .src = bench.to->index,
				   .now_ns = share_now(),
				   .now_s = share_now() / 1000000000 };
	struct vswitch *sw = bench.to->sw;

	memset(b->hdr[0], 0, HDR_SIZE);
	memcpy(b->hdr[0], frame, sizeof(frame));
	b->n = 1;
	b->len[0] = sizeof(frame);
	module_lookup_of(sw->module)(sw->module->state, &ctx, batch_view(b));
}

static int by_value(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static double median(uint32_t *sample)
{
	qsort(sample, TURNS, sizeof(*sample), by_value);
	return sample[TURNS / 2];
}

static void slice(unsigned n, bool show)
{
	/* How often each part's time includes reading the counter. */
	static const unsigned reads[N_PARTS] = { 1, 4, 1, 1, 2, 2 };
	double raw[N_PARTS + 1], sum = 0, read = 0;

	for (unsigned t = 0; t < TURNS; t++) {
		use(&vhost_hot_parts);
		bench.sample[N_PARTS][t] = turn(n);
		memset(bench.part, 0, sizeof(bench.part));
		use(&part_hot);
		turn(n);
		for (unsigned p = 0; p < N_PARTS; p++)
			bench.sample[p][t] = bench.part[p];
	}
	if (!show)
		return;
	for (unsigned p = 0; p <= N_PARTS; p++)
		raw[p] = median(bench.sample[p]);
	for (unsigned p = 0; p < N_PARTS; p++) {
		sum += raw[p];
		read += reads[p];
	}
	read = (sum - raw[N_PARTS]) / read;
	for (unsigned p = 0; p < N_PARTS; p++)
		printf("%s\"%s\": %.2f", p ? ", " : "{", part_name[p],
		       (raw[p] - reads[p] * read) / n);
	printf(", \"read\": %.2f, \"whole\": %.2f}\n", read / n,
	       raw[N_PARTS] / n);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned v[3] = { 64, 32, 15 };

	for (int i = 1; i < argc && i < 4; i++)
		v[i - 1] = (unsigned)strtoul(argv[i], NULL, 0);
	if (v[0] < 60 || v[0] > 2048 || !v[1] || v[1] > BATCH_MAX) {
		fprintf(stderr, "usage: micro_vhost [FRAME] [TURN] "
				"[SLICES]\n");
		return 2;
	}
	share_pin(0);
	bench.frame = v[0];
	frames_make();
	queue_open(&bench.tx, false, 0);
	queue_open(&bench.rx, true, SIZE);
	switch_open();
	learn();
	slice(v[1], false); /* warms up */
	for (unsigned i = 0; i < v[2]; i++)
		slice(v[1], true);
	return 0;
}
