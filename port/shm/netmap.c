// SPDX-License-Identifier: BSD-2-Clause
// netmap.c - rings of programs that open /dev/netmap, as ports of switches.
#include "port/shm/netmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discard.h"
#include "core/offload.h"
#include "core/vnet_hdr.h"
#include "lib/error.h"
#include "lib/shm.h"
#include "port/shm/netmap_port.h"
#include "port/shm/shm.h"

enum {
	UNEATEN = 32, /* bytes that wait until there are more */
	BIN_QUEUE = 2 * DISCARD_SCM_MAX,
};

int netmap_bell_init(struct netmap_bell *bell)
{
	memset(bell, 0, sizeof(*bell));
	bell->full_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->full_fd < 0)
		return -errno;
	bell->bin = discard_create(BIN_QUEUE);
	if (!bell->bin) {
		close(bell->full_fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&bell->lock, NULL);
	return 0;
}

void netmap_bell_fini(struct netmap_bell *bell)
{
	if (!bell->bin)
		return;
	discard_destroy(bell->bin);
	bell->bin = NULL;
	close(bell->full_fd);
	pthread_mutex_destroy(&bell->lock);
}

void netmap_bell_call(struct netmap_bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	for (unsigned i = 0; i < bell->n; i++)
		(void)!send(bell->fd[i], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	pthread_mutex_unlock(&bell->lock);
}

void netmap_bell_call_end(struct netmap_bell *bell, unsigned end)
{
	pthread_mutex_lock(&bell->lock);
	for (unsigned i = 0; i < bell->n; i++)
		if (bell->end[i] == end)
			(void)!send(bell->fd[i], "", 1,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
	pthread_mutex_unlock(&bell->lock);
}

unsigned netmap_asked(struct nm_csb_atok *atok, uint32_t called[2])
{
	unsigned how = 0;

	/* Pairs with the release of appl_need_kick in ring_arm(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t need = nmw_asked(atok, i, shm_load32(&called[i]));

		if (!need)
			continue;
		shm_store32(&called[i], need);
		how |= 1u << i;
	}
	return how;
}

static void call(struct shm_peer *peer, struct nm_csb_atok *atok,
		 uint32_t called[2])
{
	struct netmap_port *p = (struct netmap_port *)peer;
	struct netmap_window *w = p->rings.window;
	unsigned how = netmap_asked(atok, called);

	if (how & 1u << NMW_BY_FUTEX)
		nmw_wake(nmw_calls(&w->layout, w->base, 0));
	if (how & 1u << NMW_BY_BYTE)
		netmap_bell_call(p->rings.bell);
}

/* With the lock: reads what a client sent, if it is more than some bytes. */
static void eat(struct netmap_bell *bell, int fd, int more_than)
{
	union {
		char buf[DISCARD_CONTROL];
		struct cmsghdr align;
	} control;
	char bytes[512];
	int n = 0;

	if (ioctl(fd, FIONREAD, &n) || n <= more_than)
		return;
	while (n > 0 && discard_has_room(bell->bin, DISCARD_SCM_MAX)) {
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control),
		};
		ssize_t got = recvmsg(fd, &msg,
				      MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (got <= 0)
			return;
		discard_message(bell->bin, &msg);
		n -= got;
	}
}

static void eat_all(struct netmap_bell *bell, int more_than)
{
	pthread_mutex_lock(&bell->lock);
	for (unsigned i = 0; i < bell->n; i++)
		eat(bell, bell->fd[i], more_than);
	pthread_mutex_unlock(&bell->lock);
}

static void woken(struct shm_peer *peer)
{
	eat_all(((struct netmap_port *)peer)->rings.bell, UNEATEN);
}

int netmap_bell_add(struct netmap_bell *bell, struct port *const *ports,
		    unsigned n, int fd, unsigned end)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		struct netmap_port *p = ports[i] ? ports[i]->drv : NULL;

		if (p && epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &ev))
			err = -errno;
	}
	pthread_mutex_lock(&bell->lock);
	if (!err && bell->n == NMW_OPENS)
		err = -ENOSPC;
	if (!err) {
		bell->end[bell->n] = end;
		bell->fd[bell->n++] = fd;
	}
	pthread_mutex_unlock(&bell->lock);
	if (err)
		netmap_bell_del(bell, ports, n, fd);
	return err;
}

void netmap_bell_del(struct netmap_bell *bell, struct port *const *ports,
		     unsigned n, int fd)
{
	pthread_mutex_lock(&bell->lock);
	for (unsigned i = 0; i < bell->n; i++)
		if (bell->fd[i] == fd) {
			bell->end[i] = bell->end[--bell->n];
			bell->fd[i--] = bell->fd[bell->n];
		}
	pthread_mutex_unlock(&bell->lock);
	for (unsigned i = 0; i < n; i++) {
		struct netmap_port *p = ports[i] ? ports[i]->drv : NULL;

		if (p)
			epoll_ctl(p->epfd, EPOLL_CTL_DEL, fd, NULL);
	}
}

void netmap_port_hdr_len(struct port *port, uint32_t len)
{
	struct netmap_port *p = port->drv;

	for (unsigned i = 0; i < port->n_in; i++)
		shm_store32(&p->in[i].vnet_hdr_len, len);
	for (unsigned i = 0; i < port->n_out; i++)
		shm_store32(&p->out[i].vnet_hdr_len, len);
	atomic_store(&port->caps, len ? OFFLOAD_CAP_ALL : 0);
}

void netmap_port_free(struct port *port)
{
	struct netmap_port *p = port->drv;
	struct netmap_rings rings = p->rings;

	if (p->epfd >= 0)
		close(p->epfd);
	free(p);
	port->drv = NULL;
	if (rings.closed)
		rings.closed(rings.arg, port);
}

static void netmap_close(struct port *port)
{
	netmap_unpump(port->drv);
	netmap_unwatch(port->drv);
	netmap_port_free(port);
}

static void init_rings(struct port *port, struct netmap_port *p)
{
	struct netmap_rings *r = &p->rings;
	struct netmap_window *w = r->window;
	const struct region *region = w->member.region;
	const struct shm_common c = {
		.peer = &p->peer,
		.member = &w->member,
		/* Drivers, which would hold buffers, are never members. */
		.region = r->swap ? w->member.region : NULL,
		.bufs = region->bufs,
		.n_bufs = region->n_bufs,
		.buf_size = region->buf_size,
		.vnet_hdr_len = r->vnet_hdr_len,
		.swap = r->swap,
		.asks = r->asks,
		.offsets = w->offset_mask,
		.placed = w->offset_mask,
		/* Netmap knows of no merged buffers, and what it does not
		 * know passes. */
		.hdr_filled = VNET_HDR_LEN,
		.hdr_as_sent = true,
		.offset_max = w->offset_max,
		.offset_gap = w->offset_gap,
		.offset_mask = w->offset_mask,
	};
	struct shm_ring ring;

	for (unsigned i = 0; i < r->n_tx; i++) {
		ring.ring = nmw_ring(&w->layout, w->base, r->tx_line + i);
		ring.atok = nmw_atok(w->base, r->tx_line + i);
		ring.ktoa = nmw_ktoa(w->base, r->tx_line + i);
		ring.saved = &r->saved[i];
		ring.slots = r->tx_slots;
		shm_in_init(&p->in[i], &c, &ring);
		port->in[i].drv = &p->in[i];
		port->in[i].in_fd = p->epfd;
	}
	for (unsigned i = 0; i < r->n_rx; i++) {
		ring.ring = nmw_ring(&w->layout, w->base, r->rx_line + i);
		ring.atok = nmw_atok(w->base, r->rx_line + i);
		ring.ktoa = nmw_ktoa(w->base, r->rx_line + i);
		ring.saved = &r->saved[i];
		ring.slots = r->rx_slots;
		shm_out_init(&p->out[i], &c, &ring);
		port->out[i].drv = &p->out[i];
	}
}

int netmap_port_make(struct port *port, const struct netmap_rings *rings,
		     struct netmap_port **out, struct glen_error *error)
{
	size_t size = (sizeof(struct netmap_port) + 63) & ~63UL;
	struct epoll_event ev = { .events = EPOLLIN };
	struct netmap_port *p = aligned_alloc(64, size);
	int err;

	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	memset(p, 0, size);
	p->peer.call = call;
	p->peer.woken = woken;
	p->rings = *rings;
	p->port = port;
	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0 ||
	    epoll_ctl(p->epfd, EPOLL_CTL_ADD, rings->bell->full_fd, &ev)) {
		err = error_set(error, -errno, "cannot make an epoll: %s",
				error_reason(errno));
		if (p->epfd >= 0)
			close(p->epfd);
		free(p);
		return err;
	}
	port->drv = *out = p;
	return 0;
}

static int netmap_open(struct port *port, struct port_args *args,
		       struct glen_error *error)
{
	static const char *const known[] = { NULL };
	const struct netmap_rings *rings = args->made;
	struct netmap_port *p;
	int err = params_check(args->params, known, error);

	if (!err && !rings)
		err = error_set(error, -EINVAL,
				"a port of driver netmap comes with a program "
				"that opens /dev/netmap (glen-run)");
	err = err ?: netmap_port_make(port, rings, &p, error);
	if (err)
		return err;
	port->n_in = rings->n_tx;
	port->n_out = rings->n_rx;
	port->caps = rings->vnet_hdr_len ? OFFLOAD_CAP_ALL : 0;
	init_rings(port, p);
	return 0;
}

static void netmap_show(struct port *port, json_t *o)
{
	const struct netmap_port *p = port->drv;
	const struct netmap_window *w = p->rings.window;

	json_object_set_new(o, "tx_slots", json_integer(w->layout.tx_slots));
	json_object_set_new(o, "rx_slots", json_integer(w->layout.rx_slots));
	json_object_set_new(o, "buf_size", json_integer(w->layout.buf_size));
	json_object_set_new(o, "region", json_string(w->member.region->name));
	p->rings.show(p->rings.arg, o);
}

/* A port that is never asleep eats nothing else. */
static void netmap_tick(struct port *port)
{
	struct netmap_port *p = port->drv;

	/* All: a client's own descriptor may be among what it sent. */
	eat_all(p->rings.bell, 0);
	discard_collect(p->rings.bell->bin);
}

extern ISA_DECLARE(const struct port_hot, shm_hot);

const struct port_ops netmap_port_ops = {
	.name = "netmap",
	.summary = "a program that opens /dev/netmap, under glen-run",
	.options = "",
	.open = netmap_open,
	.close = netmap_close,
	.show = netmap_show,
	.tick = netmap_tick,
	.hot = ISA_TABLE_PTR(shm_hot),
};
