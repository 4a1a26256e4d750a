// SPDX-License-Identifier: BSD-2-Clause
// socket.c - AF_XDP sockets: memory, rings, statistics, wake-ups.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/xdp/xdp.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

enum {
	BIND_PAUSE_MS = 20,
	BUSY_POLL_US = 20,
	TX_BATCH_MIN = 16, /* what the kernel sends per call, at least */
	TX_AGAIN_MS = 1,
	MAX_BUDGET_TX = 9, /* XDP_MAX_TX_SKB_BUDGET, Linux 6.17 */
};

static size_t frames_size(const struct xdp_sock *s)
{
	return (size_t)2 * s->ring_size * s->frame_size;
}

/* Bytes of the memory that the kernel is told of. */
static size_t umem_size(const struct xdp_sock *s)
{
	const struct region *r = s->member.region;

	return r ? (size_t)r->n_bufs * r->buf_size : frames_size(s);
}

static int memory_open(const struct xdp_plan *plan, struct xdp_sock *s,
		       struct glen_error *error)
{
	void *mem;

	if (plan->region) {
		s->member.port = plan->port;
		s->member.held = true;
		s->mem = plan->region->bufs;
		return region_enter(plan->region, &s->member, error);
	}
	s->mem_size = frames_size(s) + XDP_SPARE;
	mem = mmap(NULL, s->mem_size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (mem == MAP_FAILED)
		return error_set(error, -ENOMEM,
				 "no memory for %u frames of %u bytes",
				 2 * s->ring_size, s->frame_size);
	/* A child would get a copy, since the kernel has it pinned. */
	madvise(mem, s->mem_size, MADV_DONTFORK);
	s->mem = mem;
	return 0;
}

static int umem_failed(const struct xdp_sock *s, int err,
		       struct glen_error *error)
{
	if (err == ENOBUFS || err == EPERM)
		return error_set(error, -err,
				 "%zu KiB cannot be locked in memory: raise "
				 "RLIMIT_MEMLOCK (ulimit -l, systemd's "
				 "LimitMEMLOCK=infinity), or give the port a "
				 "smaller ring",
				 umem_size(s) >> 10);
	return error_set(error, -err, "cannot register memory for AF_XDP: %s",
			 strerror(err));
}

static int set(int fd, int option, const void *value, socklen_t len)
{
	return setsockopt(fd, SOL_XDP, option, value, len) ? -errno : 0;
}

static int umem_register(struct xdp_sock *s, struct glen_error *error)
{
	struct xdp_umem_reg reg;
	int err;

	memset(&reg, 0, sizeof(reg)); /* newer kernels read the padding */
	reg.addr = (uintptr_t)s->mem;
	reg.len = umem_size(s);
	reg.chunk_size = s->frame_size;
	err = set(s->fd, XDP_UMEM_REG, &reg, sizeof(reg));
	return err ? umem_failed(s, -err, error) : 0;
}

static int ring_map(int fd, const struct xdp_ring_offset *off, uint32_t size,
		    size_t entry, uint64_t where, struct xdp_ring *r)
{
	uint8_t *map;

	r->map_size = off->desc + size * entry;
	map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, (off_t)where);
	if (map == MAP_FAILED)
		return -errno;
	r->map = map;
	r->producer = (uint32_t *)(map + off->producer);
	r->consumer = (uint32_t *)(map + off->consumer);
	r->flags = (uint32_t *)(map + off->flags);
	r->entries = map + off->desc;
	r->mask = size - 1;
	return 0;
}

static void ring_unmap(struct xdp_ring *r)
{
	if (r->map)
		munmap(r->map, r->map_size);
	r->map = NULL;
}

static int rings_open(struct xdp_sock *s, struct glen_error *error)
{
	static const int options[] = { XDP_UMEM_FILL_RING,
				       XDP_UMEM_COMPLETION_RING, XDP_RX_RING,
				       XDP_TX_RING };
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	int n = (int)s->ring_size, err = 0;
	size_t desc = sizeof(struct xdp_desc);

	for (unsigned i = 0; !err && i < 4; i++)
		err = set(s->fd, options[i], &n, sizeof(n));
	if (!err && getsockopt(s->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		err = -errno;
	if (!err && len != sizeof(off))
		err = -EPROTO; /* Linux before 5.4 */
	err = err   ?:
		      ring_map(s->fd, &off.rx, n, desc, XDP_PGOFF_RX_RING,
			       &s->rx);
	err = err   ?:
		      ring_map(s->fd, &off.tx, n, desc, XDP_PGOFF_TX_RING,
			       &s->tx);
	err = err   ?:
		      ring_map(s->fd, &off.fr, n, sizeof(uint64_t),
			       XDP_UMEM_PGOFF_FILL_RING, &s->fill);
	err = err   ?:
		      ring_map(s->fd, &off.cr, n, sizeof(uint64_t),
			       XDP_UMEM_PGOFF_COMPLETION_RING, &s->done);
	if (err)
		return error_set(error, err, "cannot make AF_XDP rings: %s",
				 strerror(-err));
	return 0;
}

/* The first half of the frames is for the kernel to fill. */
static int frames_spread(struct xdp_sock *s, struct glen_error *error)
{
	uint32_t n = s->ring_size, *frame = malloc(2 * n * sizeof(*frame));
	uint64_t *fill = s->fill.entries;
	int err = 0;

	if (!frame)
		return error_set(error, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < 2 * n; i++)
		frame[i] = i;
	if (s->member.region)
		err = region_take(&s->member, 2 * n, frame, error);
	for (uint32_t i = 0; !err && i < n; i++) {
		fill[i] = (uint64_t)frame[i] << s->frame_shift;
		s->free[i] = frame[n + i];
	}
	free(frame);
	if (err)
		return err;
	s->fill_next = s->n_free = n;
	__atomic_store_n(s->fill.producer, s->fill_next, __ATOMIC_RELEASE);
	return 0;
}

static int bind_failed(const struct xdp_plan *plan, unsigned queue, int err,
		       struct glen_error *error)
{
	const char *name = plan->link.ifname;

	switch (err) {
	case EBUSY:
		return error_set(error, -err,
				 "another AF_XDP socket has queue %u of %s: "
				 "end the program that uses it",
				 queue, name);
	case ENETDOWN:
		return error_set(error, -err, "interface %s is down", name);
	case EOPNOTSUPP:
	case EPROTONOSUPPORT:
		if (plan->options->zero_copy == XDP_ZC_ON)
			return error_set(error, -err,
					 "driver %s of %s has no zero-copy "
					 "AF_XDP%s: use zero_copy=auto",
					 plan->link.driver, name,
					 plan->multi ?
						 " for an MTU this large" :
						 "");
		break;
	case EINVAL:
		if (plan->multi)
			return error_set(
				error, -err,
				"an MTU of %u needs packets of several "
				"frames, which this kernel (before "
				"6.6) does not have: set the MTU of %s "
				"to %d or less",
				plan->link.mtu, name,
				XDP_FRAME_LARGE - XDP_HEADROOM -
					XDP_FRAME_EXTRA);
		break;
	}
	return error_set(error, -err, "cannot bind to queue %u of %s: %s",
			 queue, name, strerror(err));
}

static int sock_bind(const struct xdp_plan *plan, unsigned queue, bool native,
		     unsigned tries, struct xdp_sock *s,
		     struct glen_error *error)
{
	struct sockaddr_xdp addr = { .sxdp_family = AF_XDP,
				     .sxdp_flags = XDP_USE_NEED_WAKEUP,
				     .sxdp_ifindex = plan->link.ifindex,
				     .sxdp_queue_id = queue };

	if (plan->multi)
		addr.sxdp_flags |= XDP_USE_SG;
	if (!native || plan->options->zero_copy == XDP_ZC_OFF)
		addr.sxdp_flags |= XDP_COPY;
	else if (plan->options->zero_copy == XDP_ZC_ON)
		addr.sxdp_flags |= XDP_ZEROCOPY;
	/* A socket that was just closed keeps its queue for a moment. */
	while (bind(s->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == EBUSY && tries > 1) {
			tries--;
			nanosleep(&(struct timespec){ 0, BIND_PAUSE_MS *
								 1000000L },
				  NULL);
			continue;
		}
		return bind_failed(plan, queue, errno, error);
	}
	return 0;
}

/* What may fail: it only costs speed. */
static int tune(const struct xdp_config *o, struct xdp_sock *s,
		struct glen_error *error)
{
	int room = (int)frames_size(s), on = 1, us = BUSY_POLL_US;
	int budget = (int)o->busy_poll, all = (int)s->ring_size;

	/* In copy mode packets under way are charged to the socket. */
	if (setsockopt(s->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	set(s->fd, MAX_BUDGET_TX, &all, sizeof(all));
	if (!budget)
		return 0;
	if (setsockopt(s->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on,
		       sizeof(on)) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us)) ||
	    setsockopt(s->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget,
		       sizeof(budget)))
		return error_set(error, -errno,
				 "busy_poll: the kernel refuses it: %s",
				 strerror(errno));
	s->busy_poll = true;
	return 0;
}

static struct xdp_sock *sock_alloc(const struct xdp_plan *plan)
{
	uint32_t ring = plan->options->ring_size;
	size_t size = sizeof(struct xdp_sock) + ring * sizeof(uint32_t);
	struct xdp_sock *s = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (!s)
		return NULL;
	memset(s, 0, size);
	s->fd = -1;
	s->ring_size = ring;
	s->frame_size = plan->frame_size;
	s->frame_shift = (uint8_t)__builtin_ctz(plan->frame_size);
	s->multi = plan->multi;
	s->fill_csum = plan->fill_csum;
	s->swap = plan->options->swap;
	s->max_len = plan->link.mtu + 14;
	return s;
}

static int sock_create(int *fd, struct glen_error *error)
{
	*fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (*fd >= 0)
		return 0;
	if (errno == EPERM)
		return error_set(error, -EPERM,
				 "an xdp port needs CAP_NET_RAW: run glend as "
				 "root, or as a service that has it");
	if (errno == EAFNOSUPPORT || errno == ENOSYS)
		return error_set(error, -EAFNOSUPPORT,
				 "this kernel has no AF_XDP "
				 "(CONFIG_XDP_SOCKETS): use the driver packet");
	return error_set(error, -errno, "cannot make an AF_XDP socket: %s",
			 strerror(errno));
}

int xdp_sock_open(const struct xdp_plan *plan, unsigned queue, bool native,
		  unsigned tries, struct xdp_sock **sock,
		  struct glen_error *error)
{
	struct xdp_sock *s = sock_alloc(plan);
	struct xdp_options opts = { 0 };
	socklen_t len = sizeof(opts);
	int err;

	if (!s)
		return error_set(error, -ENOMEM, "out of memory");
	err = memory_open(plan, s, error);
	err = err ?: sock_create(&s->fd, error);
	err = err ?: umem_register(s, error);
	err = err ?: rings_open(s, error);
	err = err ?: tune(plan->options, s, error);
	err = err ?: frames_spread(s, error);
	err = err ?: sock_bind(plan, queue, native, tries, s, error);
	if (err) {
		xdp_sock_close(s);
		return err;
	}
	if (!getsockopt(s->fd, SOL_XDP, XDP_OPTIONS, &opts, &len))
		s->zero_copy = opts.flags & XDP_OPTIONS_ZEROCOPY;
	*sock = s;
	return 0;
}

void xdp_sock_close(struct xdp_sock *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	ring_unmap(&s->rx);
	ring_unmap(&s->tx);
	ring_unmap(&s->fill);
	ring_unmap(&s->done);
	region_leave(&s->member);
	if (s->mem_size)
		munmap(s->mem, s->mem_size);
	free(s);
}

int xdp_sock_statistics(const struct xdp_sock *s, struct xdp_statistics *stats)
{
	socklen_t len = sizeof(*stats);

	memset(stats, 0, sizeof(*stats));
	return getsockopt(s->fd, SOL_XDP, XDP_STATISTICS, stats, &len) ?
		       -errno :
		       0;
}

static bool tx_is_empty(const struct xdp_sock *s)
{
	return __atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(s->tx.producer, __ATOMIC_ACQUIRE);
}

/* Somebody wakes the kernel again later, unless that was arranged already. */
static void wake_later(struct xdp_sock *s)
{
	if (!atomic_exchange(&s->tx_left, true))
		loop_timer_set(s->timer, TX_AGAIN_MS);
}

unsigned xdp_tx_wake(struct xdp_sock *s)
{
	unsigned tries = s->ring_size / TX_BATCH_MIN + 2, lost = 0;

	while (tries--) {
		uint32_t before = __atomic_load_n(s->tx.consumer,
						  __ATOMIC_ACQUIRE);

		if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return lost;
		if (errno == EBUSY) { /* it dropped one */
			lost++;
			continue;
		}
		/* EAGAIN: it sent some and would send more, or cannot now. */
		if (errno != EAGAIN ||
		    before == __atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE))
			break;
	}
	if (!tx_is_empty(s))
		wake_later(s);
	return lost;
}

void xdp_rx_wake(struct xdp_sock *s)
{
	recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}
