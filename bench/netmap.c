// SPDX-License-Identifier: BSD-2-Clause
// netmap.c - sides that are programs for netmap, or the same with libglen.
/*
 * The kinds nm-* use ports as programs for netmap do: nmport_open(), ioctl()
 * and poll(). They run under glen-run. With lib=1 the very same loops use the
 * calls of libglen in place of those, so that a comparison shows what
 * /dev/netmap costs and nothing else.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glen/glen.h>
#include <libnetmap.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bench/frame.h"
#include "bench/party.h"
#include "lib/shm.h"

enum {
	WAIT_MS = 20, /* of a poll, between looks whose turn it is */
	SYNCS = 16,   /* per step of nm-sync and getppid */
	CALLS = 8,    /* rounds per step of calls */
};

/* The first rings of a port, by either interface. */
struct port {
	struct glen_port *lib; /* NULL: fd is netmap's */
	int fd;
	struct netmap_ring *tx, *rx;
};

struct program {
	struct port out, in; /* where it sends, where it receives */
	unsigned batch;	     /* packets per TXSYNC */
	unsigned take;	     /* packets per RXSYNC, at most */
	unsigned burst;	     /* packets per step of nm-loop */
	unsigned quota;	     /* packets before a sender gives way; 0: never */
	unsigned n_sent;     /* since it gave way */
	unsigned len, fill;
	bool poll;
	uint64_t sink; /* so that no compiler leaves the reading out */
	_Alignas(64) char frame[FRAME_MAX];
};

static void open_lib(struct port *p, const struct party_opts *o,
		     const char *name)
{
	struct glen_port_config config = { .slots = o->slots,
					   .buf_size = o->buf,
					   .connect_timeout_ms = 10000 };
	struct glen_error error = { 0 };

	if (o->region) {
		config.region = "bench";
		config.region_token = "00112233445566778899aabbccddeeff";
		config.swap = o->region > 1;
	}
	if (glen_port_open(&p->lib, name, &config, &error))
		party_die("cannot open port %s: %s", name, error.text);
	p->tx = glen_port_tx_ring(p->lib, 0);
	p->rx = glen_port_rx_ring(p->lib, 0);
}

static void open_netmap(struct port *p, const struct party_opts *o,
			const char *name)
{
	struct nmport_d *d = nmport_prepare(name);

	if (!d)
		party_die("'%s' is no name of a netmap port", name);
	d->reg.nr_tx_slots = d->reg.nr_rx_slots = o->slots;
	if (nmport_open_desc(d))
		party_die("cannot open port %s: %s", name, strerror(errno));
	p->fd = d->fd;
	p->tx = NETMAP_TXRING(d->nifp, d->first_tx_ring);
	p->rx = NETMAP_RXRING(d->nifp, d->first_rx_ring);
}

static void port_open(struct port *p, const struct party_opts *o,
		      const char *name)
{
	p->fd = -1;
	if (o->lib)
		open_lib(p, o, name);
	else
		open_netmap(p, o, name);
}

static inline void txsync(struct port *p)
{
	if (p->lib)
		glen_txsync(p->lib, 0);
	else
		ioctl(p->fd, NIOCTXSYNC, NULL);
}

static inline void rxsync(struct port *p)
{
	if (p->lib)
		glen_rxsync(p->lib, 0);
	else
		ioctl(p->fd, NIOCRXSYNC, NULL);
}

/* POLLIN or POLLOUT; false: there are neither packets nor room. */
static inline bool port_wait(struct port *p, short events)
{
	struct pollfd pfd = { .fd = p->fd, .events = events };

	if (p->lib)
		return glen_wait(p->lib, events == POLLIN ? GLEN_RX : GLEN_TX,
				 WAIT_MS) > 0;
	return poll(&pfd, 1, WAIT_MS) > 0;
}

static inline uint32_t space(const struct netmap_ring *ring)
{
	return (ring->tail - ring->head) & (ring->num_slots - 1);
}

/* Fills up to n slots; returns how many. */
static unsigned put(struct program *p, uint32_t n)
{
	struct netmap_ring *ring = p->out.tx;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t room = space(ring);

	n = n < room ? n : room;
	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot = &ring->slot[(head + i) & mask];

		/* A constant is copied without a call, as in the yardstick. */
		if (p->fill <= 64)
			frame_copy(NETMAP_BUF(ring, slot->buf_idx), p->frame,
				   64);
		else
			frame_copy(NETMAP_BUF(ring, slot->buf_idx), p->frame,
				   p->fill);
		slot->len = (uint16_t)p->len;
		slot->flags = 0;
	}
	ring->head = ring->cur = (head + n) & mask;
	return n;
}

/* Reads up to n packets; returns how many. */
static unsigned take(struct program *p, uint32_t n)
{
	struct netmap_ring *ring = p->in.rx;
	uint32_t mask = ring->num_slots - 1, head = ring->head;
	uint32_t have = space(ring);
	uint64_t sink = 0, first;

	n = n < have ? n : have;
	/* As the consumer of the yardstick does. */
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(
			NETMAP_BUF(ring,
				   ring->slot[(head + i) & mask].buf_idx));
	for (uint32_t i = 0; i < n; i++) {
		struct netmap_slot *slot = &ring->slot[(head + i) & mask];

		memcpy(&first, NETMAP_BUF(ring, slot->buf_idx), sizeof(first));
		sink += slot->len + first;
	}
	p->sink += sink;
	ring->head = ring->cur = (head + n) & mask;
	return n;
}

static unsigned step_send(void *state)
{
	struct program *p = state;
	unsigned n = 0;

	/* As in client.c: it shares its processor with the receiver. */
	if (p->quota && p->n_sent >= p->quota) {
		p->n_sent = 0;
		return 0;
	}
	if (p->poll) {
		if (port_wait(&p->out, POLLOUT))
			n = put(p, p->batch);
	} else {
		if (space(p->out.tx) < p->batch)
			txsync(&p->out);
		n = put(p, p->batch);
		if (n)
			txsync(&p->out);
	}
	p->n_sent += n;
	return n;
}

static unsigned step_receive(void *state)
{
	struct program *p = state;
	unsigned n;

	if (p->poll)
		return port_wait(&p->in, POLLIN) ? take(p, p->take) : 0;
	rxsync(&p->in);
	n = take(p, p->take);
	if (n)
		rxsync(&p->in);
	return n;
}

/* NIOCTXSYNC returns when all was forwarded; glen_txsync() must be repeated.
 * Nobody waits for pipes. */
static inline void forward(struct program *p)
{
	txsync(&p->out);
	while (p->out.lib && space(p->out.tx) != p->out.tx->num_slots - 1) {
		shm_pause();
		txsync(&p->out);
	}
}

/* Sends a burst in batches, and receives it, in one thread. */
static unsigned step_loop(void *state)
{
	struct program *p = state;
	unsigned sent = 0, got = 0, n;

	while (sent < p->burst) {
		n = p->burst - sent;
		n = put(p, n < p->batch ? n : p->batch);
		forward(p);
		if (!n)
			break;
		sent += n;
	}
	do {
		rxsync(&p->in);
		n = take(p, p->take);
		got += n;
	} while (n && got < sent);
	return got;
}

/* Syncs that find nothing to do. */
static unsigned step_txsync(void *state)
{
	struct program *p = state;

	for (unsigned i = 0; i < SYNCS; i++)
		txsync(&p->out);
	return SYNCS;
}

static unsigned step_rxsync(void *state)
{
	struct program *p = state;

	for (unsigned i = 0; i < SYNCS; i++)
		rxsync(&p->in);
	return SYNCS;
}

static unsigned step_getppid(void *state)
{
	(void)state;
	for (unsigned i = 0; i < SYNCS; i++)
		syscall(SYS_getppid);
	return SYNCS;
}

static struct program *program_new(struct party_side *side, party_step step,
				   bool counts)
{
	const struct party_opts *o = &side->opts;
	struct program *p = aligned_alloc(64, (sizeof(*p) + 63) & ~63UL);

	if (!p)
		party_die("no memory");
	memset(p, 0, sizeof(*p));
	frame_make(p->frame, FRAME_A, FRAME_B);
	p->batch = o->batch;
	p->take = o->take ? o->take : o->batch;
	p->burst = o->burst ? o->burst : o->batch;
	p->quota = o->quota;
	p->len = o->frame;
	p->fill = o->fill < o->frame ? o->fill : o->frame;
	p->poll = o->poll;
	side->state = p;
	side->n_roles = 1;
	side->roles[0] = (struct role){ .cpu = (int)o->cpu,
					.yield = o->yield,
					.counts = counts,
					.steps = { step } };
	/* Ports learn how many processors there are when they are opened. */
	share_pin((int)o->cpu);
	return p;
}

/* The switch learns where the receiver is. */
static void announce(struct program *p)
{
	struct netmap_ring *ring = p->in.tx;
	char frame[64] = { 0 };

	frame_head(frame, FRAME_B, FRAME_A);
	memcpy(NETMAP_BUF(ring, ring->slot[ring->head].buf_idx), frame, 60);
	ring->slot[ring->head].len = 60;
	ring->head = ring->cur = (ring->head + 1) & (ring->num_slots - 1);
	txsync(&p->in);
}

void netmap_send_open(struct party_side *side)
{
	struct program *p = program_new(side, step_send, false);

	port_open(&p->out, &side->opts, side->opts.port);
}

void netmap_recv_open(struct party_side *side)
{
	struct program *p = program_new(side, step_receive, true);

	port_open(&p->in, &side->opts, side->opts.port);
	if (!side->opts.mute)
		announce(p);
}

void netmap_loop_open(struct party_side *side)
{
	struct program *p = program_new(side, step_loop, true);

	port_open(&p->out, &side->opts, side->opts.port);
	port_open(&p->in, &side->opts, side->opts.peer);
	if (!side->opts.mute)
		announce(p);
}

void netmap_txsync_open(struct party_side *side)
{
	struct program *p = program_new(side, step_txsync, true);

	port_open(&p->out, &side->opts, side->opts.port);
}

void netmap_rxsync_open(struct party_side *side)
{
	struct program *p = program_new(side, step_rxsync, true);

	port_open(&p->in, &side->opts, side->opts.port);
}

void getppid_open(struct party_side *side)
{
	program_new(side, step_getppid, true);
}

/* The functions that a program calls: those that it would get, or the C
 * library's own, whatever is preloaded. */
struct functions {
	ssize_t (*read)(int fd, void *buf, size_t n);
	ssize_t (*write)(int fd, const void *buf, size_t n);
	int (*poll)(struct pollfd *fds, nfds_t n, int timeout);
	int (*ioctl)(int fd, unsigned long request, ...);
	int (*epoll_wait)(int fd, struct epoll_event *events, int max,
			  int timeout);
	int (*fcntl)(int fd, int command, ...);
	ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
	int (*dup)(int fd);
	int (*close)(int fd);
	int (*open)(const char *path, int flags, ...);
	int (*fstat)(int fd, struct stat *st);
};

/* A program that makes system calls and nothing else, those that the library
 * stands in front of among them. */
struct calls {
	struct functions f;
	int pipe[2], socket[2], epfd;
};

static void *function(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		party_die("no %s() in the C library", name);
	return found;
}

static void find_functions(struct functions *f, bool real)
{
	void *from = real ? dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD) :
			    RTLD_DEFAULT;

	if (real && !from)
		party_die("no libc.so.6 is loaded");
	f->read = function(from, "read");
	f->write = function(from, "write");
	f->poll = function(from, "poll");
	f->ioctl = function(from, "ioctl");
	f->epoll_wait = function(from, "epoll_wait");
	f->fcntl = function(from, "fcntl");
	f->recvmsg = function(from, "recvmsg");
	f->dup = function(from, "dup");
	f->close = function(from, "close");
	f->open = function(from, "open");
	f->fstat = function(from, "fstat");
	if (!real &&
	    (void *)f->read == function(dlopen("libc.so.6", RTLD_LAZY), "read"))
		party_die("nothing is preloaded: run it under glen-run");
}

static void calls_round(struct calls *c)
{
	struct pollfd pfd = { .fd = c->pipe[0], .events = POLLIN };
	const struct functions *f = &c->f;
	struct epoll_event event;
	struct iovec iov;
	char byte = 0;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct stat st;
	int n = 0, fd;

	iov = (struct iovec){ &byte, 1 };
	if (f->write(c->pipe[1], &byte, 1) != 1 || f->poll(&pfd, 1, -1) != 1 ||
	    f->ioctl(c->pipe[0], FIONREAD, &n) || n != 1 ||
	    f->epoll_wait(c->epfd, &event, 1, -1) != 1 ||
	    f->read(c->pipe[0], &byte, 1) != 1 ||
	    f->fcntl(c->epfd, F_GETFD) < 0 || f->fstat(c->pipe[0], &st) ||
	    f->write(c->socket[0], &byte, 1) != 1 ||
	    f->recvmsg(c->socket[1], &msg, 0) != 1)
		party_die("a system call failed: %s", strerror(errno));
	fd = f->dup(c->epfd);
	if (fd < 0 || f->close(fd))
		party_die("cannot dup: %s", strerror(errno));
	fd = f->open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || f->close(fd))
		party_die("cannot open /dev/null: %s", strerror(errno));
}

/* A byte to a pipe and back: the cheapest calls that move anything. */
static void bytes_round(struct calls *c)
{
	char byte = 0;

	if (c->f.write(c->pipe[1], &byte, 1) != 1 ||
	    c->f.read(c->pipe[0], &byte, 1) != 1)
		party_die("a pipe failed: %s", strerror(errno));
}

static unsigned step_bytes(void *state)
{
	for (unsigned i = 0; i < CALLS * CALLS; i++)
		bytes_round(state);
	return CALLS * CALLS;
}

static unsigned step_calls(void *state)
{
	for (unsigned i = 0; i < CALLS; i++)
		calls_round(state);
	return CALLS;
}

void calls_open(struct party_side *side)
{
	struct calls *c = malloc(sizeof(*c));
	struct epoll_event event = { .events = EPOLLIN };

	if (!c || pipe2(c->pipe, O_CLOEXEC) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->socket))
		party_die("cannot make descriptors: %s", strerror(errno));
	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(c->epfd, EPOLL_CTL_ADD, c->pipe[0], &event))
		party_die("cannot epoll: %s", strerror(errno));
	find_functions(&c->f, side->opts.lib);
	program_new(side, side->opts.poll ? step_bytes : step_calls, true);
	side->state = c;
}
