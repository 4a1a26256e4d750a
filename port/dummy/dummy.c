// SPDX-License-Identifier: BSD-2-Clause
// dummy.c - a port driver for tests: see dummy.h.
#include "port/dummy/dummy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/offload.h"
#include "lib/error.h"

enum { OVERREAD = 64, SEGS_MAX = 255 };

/* An injected packet. */
struct in_packet {
	uint32_t len;
	uint8_t n_seg;
	bool has_off;
	struct offload off;
	struct seg *seg; /* heap; each ptr is a heap block of its own */
};

/* An ingress ring: one producer (the test), one consumer (its worker). */
struct in_ring {
	struct in_packet *packets;
	uint32_t mask;
	bool overread;
	int kick_fd;	       /* -1: always polled */
	_Atomic uint32_t head; /* written by the test thread */
	_Atomic uint32_t tail; /* written by the worker */
	_Atomic bool armed;    /* the worker wants a kick */
};

/* A delivered packet. */
struct out_packet {
	uint32_t len;
	struct offload off;
};

/* An egress ring: any number of workers deliver, under the lock. */
struct out_ring {
	pthread_mutex_t lock;
	struct out_packet *packets;
	uint8_t *bufs; /* (mask + 1) * buf_size bytes, lazily touched */
	size_t bufs_size;
	uint32_t mask;
	uint32_t buf_size;
	uint32_t head; /* under the lock */
	uint32_t tail; /* under the lock */
	bool sink;     /* const */
	bool busy;     /* under the lock */
	struct dummy *dummy;
};

struct dummy {
	struct in_ring in[PORT_RINGS_MAX];
	struct out_ring out[PORT_RINGS_MAX];
	unsigned n_in, n_out; /* rings that are initialized */
	_Atomic bool link;
};

/* Options as given. */
struct options {
	long in_rings, out_rings, slots, buf_size, caps;
	bool overread, sink, link, manual, starts;
};

static void packet_free(struct in_packet *p)
{
	for (unsigned i = 0; i < p->n_seg; i++)
		free((void *)p->seg[i].ptr);
	free(p->seg);
	p->seg = NULL;
	p->n_seg = 0;
}

static bool packet_fits(const struct in_packet *p, struct ingress *in,
			const struct batch *b, bool *full)
{
	*full = b->n_segs + p->n_seg > BATCH_SEGS;
	if (*full)
		return false;
	if (p->n_seg > PACKET_SEGS_MAX) {
		in_drop(in, DROP_IN_SEGMENTS);
		return false;
	}
	return true;
}

static void batch_append(struct batch *b, const struct in_packet *p)
{
	unsigned i = b->n++;

	b->len[i] = p->len;
	b->identity = false;
	b->seg0[i] = b->n_segs;
	b->n_seg[i] = p->n_seg;
	memcpy(&b->seg[b->n_segs], p->seg, p->n_seg * sizeof(*p->seg));
	b->n_segs += p->n_seg;
	b->off[i] = p->off;
	b->multi_seg |= p->n_seg != 1;
	b->offloads |= p->has_off;
}

static unsigned dummy_rx(struct ingress *in, struct batch *b)
{
	struct in_ring *r = in->drv;
	uint32_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint32_t pos = tail;
	bool full = false;

	b->overread = r->overread;
	while (pos != head && pos - tail < BATCH_MAX) {
		const struct in_packet *p = &r->packets[pos & r->mask];

		if (packet_fits(p, in, b, &full))
			batch_append(b, p);
		else if (full)
			break;
		pos++;
	}
	b->slots = pos - tail;
	return pos - tail;
}

static void dummy_rx_done(struct ingress *in, struct batch *b)
{
	struct in_ring *r = in->drv;
	uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	for (uint32_t i = 0; i < b->slots; i++)
		packet_free(&r->packets[(tail + i) & r->mask]);
	atomic_store_explicit(&r->tail, tail + b->slots, memory_order_release);
}

static bool dummy_rx_arm(struct ingress *in)
{
	struct in_ring *r = in->drv;

	if (r->kick_fd < 0)
		return true;
	/* Sequentially consistent: pairs with dummy_inject(). */
	atomic_store(&r->armed, true);
	if (atomic_load(&r->head) == atomic_load(&r->tail))
		return false;
	atomic_store(&r->armed, false);
	return true;
}

static void dummy_rx_disarm(struct ingress *in)
{
	struct in_ring *r = in->drv;

	atomic_store(&r->armed, false);
}

/* Copies header and segments of packet i behind each other. */
static void packet_copy(uint8_t *to, const struct batch *b, unsigned i)
{
	const struct seg *seg = &b->seg[b->seg0[i]];

	memcpy(to, b->hdr[i], b->hdr_len[i]);
	to += b->hdr_len[i];
	for (unsigned s = 0; s < b->n_seg[i]; s++) {
		if (seg[s].len)
			memcpy(to, seg[s].ptr, seg[s].len);
		to += seg[s].len;
	}
}

/* Under the lock. Returns false with the reason if the packet has no place. */
static bool out_put(struct out_ring *r, const struct batch *b, unsigned i,
		    enum drop *reason)
{
	uint32_t pos = r->head & r->mask;

	*reason = DROP_OUT_NO_ROOM;
	if (r->busy || (!r->sink && r->head - r->tail > r->mask))
		return false;
	*reason = DROP_OUT_OVERSIZE;
	if (b->len[i] > r->buf_size)
		return false;
	if (r->sink)
		return true;
	r->packets[pos].len = b->len[i];
	memset(&r->packets[pos].off, 0, sizeof(struct offload));
	if (b->offloads)
		r->packets[pos].off = b->off[i];
	packet_copy(r->bufs + (size_t)pos * r->buf_size, b, i);
	r->head++;
	return true;
}

static void dummy_tx(struct egress *out, struct tx_ctx *ctx,
		     const struct batch *b, const uint16_t *list, unsigned n)
{
	struct out_ring *r = out->drv;
	bool up = atomic_load_explicit(&r->dummy->link, memory_order_relaxed);
	uint64_t packets = 0, bytes = 0;
	enum drop reason;

	pthread_mutex_lock(&r->lock);
	for (unsigned k = 0; k < n; k++) {
		unsigned i = list[k];

		if (!up) {
			tx_drop(ctx, i, DROP_OUT_LINK_DOWN);
		} else if (out_put(r, b, i, &reason)) {
			packets++;
			bytes += b->len[i];
		} else {
			tx_drop(ctx, i, reason);
		}
	}
	pthread_mutex_unlock(&r->lock);
	count_add(&ctx->counters->packets, packets);
	count_add(&ctx->counters->bytes, bytes);
}

static const struct port_hot dummy_hot = {
	.rx = dummy_rx,
	.rx_done = dummy_rx_done,
	.rx_arm = dummy_rx_arm,
	.rx_disarm = dummy_rx_disarm,
	.tx = dummy_tx,
};

int dummy_inject(struct port *port, unsigned ring, const struct iovec *iov,
		 unsigned n, const struct offload *off)
{
	struct dummy *d = port->drv;
	struct in_ring *r = ring < d->n_in ? &d->in[ring] : NULL;
	struct in_packet p = { 0 };
	uint32_t head;

	if (!r || n > SEGS_MAX)
		return -EINVAL;
	head = atomic_load_explicit(&r->head, memory_order_relaxed);
	if (head - atomic_load_explicit(&r->tail, memory_order_acquire) >
	    r->mask)
		return -ENOSPC;
	p.seg = calloc(n ? n : 1, sizeof(*p.seg));
	if (!p.seg)
		return -ENOMEM;
	for (; p.n_seg < n; p.n_seg++) {
		const struct iovec *v = &iov[p.n_seg];
		uint8_t *block = malloc(v->iov_len +
					(r->overread ? OVERREAD : 0));

		if (!block)
			goto err_free;
		if (v->iov_len)
			memcpy(block, v->iov_base, v->iov_len);
		if (r->overread)
			memset(block + v->iov_len, 0xee, OVERREAD);
		p.seg[p.n_seg].ptr = block;
		p.seg[p.n_seg].len = v->iov_len;
		p.len += v->iov_len;
	}
	p.has_off = off != NULL;
	if (off)
		p.off = *off;
	r->packets[head & r->mask] = p;
	/* Sequentially consistent: pairs with dummy_rx_arm(). */
	atomic_store(&r->head, head + 1);
	if (r->kick_fd >= 0 && atomic_exchange(&r->armed, false))
		eventfd_write(r->kick_fd, 1);
	return 0;

err_free:
	packet_free(&p);
	return -ENOMEM;
}

int dummy_inject_flat(struct port *port, unsigned ring, const void *data,
		      size_t len)
{
	struct iovec iov = { (void *)data, len };

	return dummy_inject(port, ring, &iov, 1, NULL);
}

int dummy_collect(struct port *port, unsigned ring, void *buf, size_t size,
		  struct offload *off)
{
	struct dummy *d = port->drv;
	struct out_ring *r = ring < d->n_out ? &d->out[ring] : NULL;
	struct out_packet *p;
	int len = -EAGAIN;
	uint32_t pos;

	if (!r)
		return -EINVAL;
	pthread_mutex_lock(&r->lock);
	if (r->head != r->tail) {
		pos = r->tail & r->mask;
		p = &r->packets[pos];
		memcpy(buf, r->bufs + (size_t)pos * r->buf_size,
		       p->len < size ? p->len : size);
		if (off)
			*off = p->off;
		len = p->len;
		r->tail++;
	}
	pthread_mutex_unlock(&r->lock);
	return len;
}

unsigned dummy_pending_out(struct port *port, unsigned ring)
{
	struct dummy *d = port->drv;
	struct out_ring *r = &d->out[ring];
	unsigned n;

	pthread_mutex_lock(&r->lock);
	n = r->head - r->tail;
	pthread_mutex_unlock(&r->lock);
	return n;
}

unsigned dummy_pending_in(struct port *port, unsigned ring)
{
	struct dummy *d = port->drv;
	struct in_ring *r = &d->in[ring];

	return atomic_load_explicit(&r->head, memory_order_relaxed) -
	       atomic_load_explicit(&r->tail, memory_order_acquire);
}

void dummy_set_busy(struct port *port, unsigned ring, bool busy)
{
	struct dummy *d = port->drv;
	struct out_ring *r = &d->out[ring];

	pthread_mutex_lock(&r->lock);
	r->busy = busy;
	pthread_mutex_unlock(&r->lock);
}

void dummy_set_link(struct port *port, bool up)
{
	struct dummy *d = port->drv;

	atomic_store_explicit(&d->link, up, memory_order_relaxed);
}

void dummy_set_caps(struct port *port, unsigned caps)
{
	port->caps = caps & OFFLOAD_CAP_ALL;
}

static int in_ring_init(struct in_ring *r, const struct options *o)
{
	r->mask = o->slots - 1;
	r->overread = o->overread;
	r->kick_fd = -1;
	r->packets = calloc(o->slots, sizeof(*r->packets));
	if (!r->packets)
		return -ENOMEM;
	if (o->manual)
		return 0;
	r->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->kick_fd < 0) {
		int err = -errno;

		free(r->packets);
		return err;
	}
	return 0;
}

static void in_ring_fini(struct in_ring *r)
{
	for (uint32_t i = 0; i <= r->mask; i++)
		packet_free(&r->packets[i]);
	free(r->packets);
	if (r->kick_fd >= 0)
		close(r->kick_fd);
}

static int out_ring_init(struct out_ring *r, const struct options *o)
{
	r->mask = o->slots - 1;
	r->buf_size = o->buf_size;
	r->sink = o->sink;
	r->packets = calloc(o->slots, sizeof(*r->packets));
	if (!r->packets)
		return -ENOMEM;
	r->bufs_size = (size_t)o->slots * o->buf_size;
	r->bufs = mmap(NULL, r->bufs_size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r->bufs == MAP_FAILED) {
		free(r->packets);
		return -ENOMEM;
	}
	pthread_mutex_init(&r->lock, NULL);
	return 0;
}

static void out_ring_fini(struct out_ring *r)
{
	pthread_mutex_destroy(&r->lock);
	munmap(r->bufs, r->bufs_size);
	free(r->packets);
}

static int options_read(json_t *params, struct options *o,
			struct glen_error *error)
{
	static const char *const known[] = {
		"in_rings", "out_rings", "slots", "buf_size",
		"caps",	    "overread",	 "sink",  "link",
		"manual",   "starts",	 NULL
	};
	int err = params_check(params, known, error);

	if (!err)
		err = params_int(params, "in_rings", 1, 0, PORT_RINGS_MAX,
				 &o->in_rings, error);
	if (!err)
		err = params_int(params, "out_rings", 1, 0, PORT_RINGS_MAX,
				 &o->out_rings, error);
	if (!err)
		err = params_int(params, "slots", 256, 1, 65536, &o->slots,
				 error);
	if (!err)
		err = params_int(params, "buf_size", PACKET_LEN_MAX, 64,
				 PACKET_LEN_MAX, &o->buf_size, error);
	if (!err)
		err = params_int(params, "caps", 0, 0, OFFLOAD_CAP_ALL,
				 &o->caps, error);
	if (!err)
		err = params_bool(params, "overread", false, &o->overread,
				  error);
	if (!err)
		err = params_bool(params, "sink", false, &o->sink, error);
	if (!err)
		err = params_bool(params, "link", true, &o->link, error);
	if (!err)
		err = params_bool(params, "manual", false, &o->manual, error);
	if (!err)
		err = params_bool(params, "starts", false, &o->starts, error);
	if (!err && (o->slots & (o->slots - 1)))
		err = error_set(error, -EINVAL,
				"slots must be a power of two, not %ld",
				o->slots);
	return err;
}

static void dummy_free(struct dummy *d)
{
	while (d->n_in)
		in_ring_fini(&d->in[--d->n_in]);
	while (d->n_out)
		out_ring_fini(&d->out[--d->n_out]);
	free(d);
}

static int dummy_open(struct port *port, struct port_args *args,
		      struct glen_error *error)
{
	struct options o = { 0 };
	struct dummy *d;
	int err = options_read(args->params, &o, error);

	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return error_set(error, -ENOMEM, "no memory for the port");
	atomic_init(&d->link, o.link);
	for (; d->n_in < o.in_rings; d->n_in++) {
		err = in_ring_init(&d->in[d->n_in], &o);
		if (err)
			goto err_free;
		port->in[d->n_in].drv = &d->in[d->n_in];
		port->in[d->n_in].in_fd = d->in[d->n_in].kick_fd;
	}
	for (; d->n_out < o.out_rings; d->n_out++) {
		err = out_ring_init(&d->out[d->n_out], &o);
		if (err)
			goto err_free;
		d->out[d->n_out].dummy = d;
		port->out[d->n_out].drv = &d->out[d->n_out];
	}
	port->n_in = d->n_in;
	port->n_out = d->n_out;
	port->caps = o.caps;
	port->starts_rings = o.starts;
	port->drv = d;
	return 0;

err_free:
	dummy_free(d);
	return error_set(error, err, "cannot make the rings: %s",
			 strerror(-err));
}

static void dummy_close(struct port *port)
{
	dummy_free(port->drv);
	port->drv = NULL;
}

static bool dummy_link(struct port *port)
{
	struct dummy *d = port->drv;

	return atomic_load_explicit(&d->link, memory_order_relaxed);
}

const struct port_ops dummy_port_ops = {
	.name = "dummy",
	.summary = "for tests: packets come from and go to function calls",
	.options =
		"in_rings=N    ingress rings, 0..16 (1)\n"
		"out_rings=N   egress rings, 0..16 (1)\n"
		"slots=N       per ring, a power of two (256)\n"
		"buf_size=N    longest packet taken (131072)\n"
		"caps=BITS     offloads taken, as bits (0)\n"
		"overread=BOOL 64 bytes may be read at any segment (false)\n"
		"sink=BOOL     egress packets are counted and forgotten "
		"(false)\n"
		"link=BOOL     link state (true)\n"
		"manual=BOOL   rings are always polled (false)\n"
		"starts=BOOL   rings run only once they are started (false)\n",
	.open = dummy_open,
	.close = dummy_close,
	.link = dummy_link,
	.hot = ISA_SAME(&dummy_hot),
};
