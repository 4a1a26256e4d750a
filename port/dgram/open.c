// SPDX-License-Identifier: BSD-2-Clause
// open.c - options of dgram ports, finding their peer, what users see.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/rcu.h"
#include "core/switch.h"
#include "lib/error.h"
#include "port/dgram/dgram.h"

enum { CONTROLS = DGRAM_BURST * sizeof(union dgram_control) };

#define QLEN_PATH "/proc/sys/net/unix/max_dgram_qlen"

/* Options as given. */
struct options {
	struct socket_addr addr, peer; /* group: the same */
	bool group;
	const char *interface;
	mode_t access;
};

void dgram_tell(struct dgram *d, unsigned bit)
{
	if (!(atomic_fetch_or(&d->seen, bit) & bit))
		eventfd_write(d->wake.fd, 1);
}

/* Says what went wrong, once: who keeps trying fails alike. */
static void say(struct dgram *d, const char *text)
{
	if (!strcmp(d->last_error, text))
		return;
	snprintf(d->last_error, sizeof(d->last_error), "%s", text);
	port_log(d->port, "%s", text);
}

/* The peer */

/* Datagrams from now on come from name, as rx() compares it. */
static void name_publish(struct dgram *d, const struct socket_addr *name)
{
	const struct dgram_name *old = atomic_load(&d->name);
	struct dgram_name *new = &d->names[old == &d->names[0]];

	if (old && old->addr.len == name->len &&
	    !memcmp(&old->addr.room, &name->room, name->len))
		return;
	new->addr = *name;
	rcu_publish(&d->name, new);
	rcu_wait(); /* before the other one is written again */
}

static void lost(struct dgram *d, const char *text)
{
	bool was = atomic_exchange(&d->connected, false);

	backlog_clear(d);
	say(d, text);
	if (was)
		d->retry_ms = DGRAM_RETRY_MS;
	loop_timer_set(&d->timer, d->retry_ms);
	d->retry_ms *= 2;
	if (d->retry_ms > DGRAM_RETRY_MAX_MS)
		d->retry_ms = DGRAM_RETRY_MAX_MS;
}

static void peer_missing(struct dgram *d, int err)
{
	char text[DGRAM_TEXT];

	if (d->is_unix && (err == ENOENT || err == ECONNREFUSED))
		snprintf(text, sizeof(text), "nobody lives at the peer's %s",
			 d->peer_text);
	else if (d->is_unix && err == EACCES)
		snprintf(text, sizeof(text),
			 "no permission to send to %s as uid %u", d->peer_text,
			 (unsigned)geteuid());
	else if (d->is_unix && err == EPERM)
		snprintf(text, sizeof(text),
			 "%s talks to another socket than %s only",
			 d->peer_text, d->text);
	else if (d->is_unix && err == EPROTOTYPE)
		snprintf(text, sizeof(text),
			 "%s is a stream socket: use a stream port",
			 d->peer_text);
	else
		snprintf(text, sizeof(text), "cannot send to %s: %s",
			 d->peer_text, strerror(err));
	lost(d, text);
}

/* What came between bind() and connect() may be anybody's. */
static void purge(struct dgram *d)
{
	char byte;

	while (recv(d->sock.fd, &byte, 1, MSG_DONTWAIT) >= 0)
		atomic_fetch_add(&d->strangers, 1);
}

/*
 * connect() while workers use the socket: all it changes is where datagrams go
 * and whose are taken, and the kernel does that at one moment. ThreadSanitizer
 * takes the function for one that makes the descriptor, and the workers' calls
 * for a race with that; it does not look into syscall().
 */
static int aim(struct dgram *d)
{
	return syscall(SYS_connect, d->sock.fd, &d->peer.any, d->peer.len);
}

/*
 * Connects to who is at the peer's address now. If that is who we are connected
 * to already, nothing changes.
 */
static void peer_find(struct dgram *d)
{
	struct socket_addr name = { .len = sizeof(name.room) };
	struct socket_file file = { 0 };
	bool same;

	if (d->is_unix)
		file = socket_file_at(&d->peer);
	if (aim(d)) {
		peer_missing(d, errno);
		return;
	}
	same = atomic_load(&d->connected) &&
	       socket_file_same(&file, &d->peer_file);
	if (same)
		return;
	d->peer_file = file;
	if (!d->is_unix)
		purge(d);
	if (!(d->group ? getsockname : getpeername)(d->sock.fd, &name.any,
						    &name.len))
		name_publish(d, &name);
	backlog_clear(d);
	d->connections++;
	d->retry_ms = DGRAM_RETRY_MS;
	d->last_error[0] = '\0';
	loop_timer_set(&d->timer, 0);
	atomic_store(&d->connected, true);
	port_log(d->port, "sends to %s", d->peer_text);
}

static void on_timer(void *arg)
{
	struct dgram *d = arg;

	atomic_fetch_and(&d->seen, ~DGRAM_HERE);
	if (!atomic_load(&d->connected))
		peer_find(d);
}

static void on_wake(void *arg, uint32_t events)
{
	struct dgram *d = arg;
	eventfd_t n;
	unsigned seen;

	eventfd_read(d->wake.fd, &n);
	seen = atomic_fetch_and(&d->seen, ~(DGRAM_GONE | DGRAM_FILES_CAME));
	discard_collect(d->rx.bin);
	if (!d->is_unix)
		return;
	/* Perhaps another one is there already. */
	if ((seen & DGRAM_GONE) && atomic_exchange(&d->connected, false))
		peer_find(d);
	/* Soon, and no more words of it until then: strangers may flood us. */
	if ((seen & DGRAM_HERE) && !atomic_load(&d->connected))
		loop_timer_set(&d->timer, DGRAM_HERE_MS);
}

/* The peer's queue has room again. */
static void on_sock(void *arg, uint32_t events)
{
	backlog_empty(arg);
}

/* Workers use the socket, so another one takes another port. */
static const char lost_text[] =
	"the port's socket was removed, or somebody has put another one in its "
	"place, so nobody reaches the port: a QEMU there must have the port's "
	"path as remote.path; then port del, and port add";

/* Is ours still where the peer looks for it? */
static void look_for_file(struct dgram *d)
{
	bool lost = socket_lost(&d->addr, &d->file);

	if (lost && !d->lost)
		port_log(d->port, "%s", lost_text);
	d->lost = lost;
}

/* Once a second: is somebody else at the peer's path, or nobody? */
static void dgram_tick(struct port *port)
{
	struct dgram *d = port->drv;

	discard_collect(d->rx.bin);
	look_for_file(d);
	/* A path that was removed says nothing about the socket. */
	if (d->is_unix && atomic_load(&d->connected) &&
	    socket_file_at(&d->peer).ino)
		peer_find(d);
}

/* Options */

static int options_addresses(json_t *params, struct options *o,
			     struct glen_error *error)
{
	const char *path = NULL, *addr = NULL, *peer = NULL;
	int err = params_str(params, "path", &path, error);

	if (!err)
		err = params_str(params, "addr", &addr, error);
	if (!err)
		err = params_str(params, "peer", &peer, error);
	if (err)
		return err;
	if (addr && !path && !peer) {
		err = socket_addr_inet(&o->addr, "addr", addr, error);
		o->peer = o->addr;
		o->group = o->addr.any.sa_family == AF_INET &&
			   group_address(&o->addr);
		if (err || o->group)
			return err;
	}
	if (!path == !addr || !peer)
		return error_set(error, -EINVAL,
				 "a dgram port needs path=SOCKET and "
				 "peer=SOCKET, or addr=ADDRESS:PORT and "
				 "peer=ADDRESS:PORT, or the IPv4 multicast "
				 "group addr=GROUP:PORT");
	if (path)
		return socket_addr_unix(&o->addr, "path", path, error) ?:
			       socket_addr_unix(&o->peer, "peer", peer, error);
	err = socket_addr_inet(&o->addr, "addr", addr, error) ?:
		      socket_addr_inet(&o->peer, "peer", peer, error);
	if (!err && o->addr.any.sa_family != o->peer.any.sa_family)
		err = error_set(error, -EINVAL,
				"addr and peer must both be IPv4 or both IPv6; "
				"[::]:PORT is any IPv6 address of this host");
	return err;
}

static int options_read(json_t *params, struct options *o,
			struct glen_error *error)
{
	static const char *const known[] = { "path",	  "addr",   "peer",
					     "interface", "access", NULL };
	const char *access = NULL;
	int err = params_check(params, known, error);

	if (!err)
		err = options_addresses(params, o, error);
	if (!err && !o->group &&
	    (group_address(&o->addr) || group_address(&o->peer)))
		err = error_set(error, -EINVAL,
				"a group is joined with addr=GROUP:PORT alone, "
				"IPv4: it is where to send as well");
	if (!err && !o->group && o->addr.len == o->peer.len &&
	    !memcmp(&o->addr.room, &o->peer.room, o->addr.len))
		err = error_set(error, -EINVAL,
				"peer is where the port itself receives: name "
				"the other side's socket");
	if (!err && socket_addr_is_any(&o->peer))
		err = error_set(error, -EINVAL,
				"peer needs the address to send to: * is any "
				"of this host, to receive at");
	if (!err)
		err = params_str(params, "interface", &o->interface, error);
	if (!err && o->interface &&
	    (!o->group || !*o->interface ||
	     strlen(o->interface) >= IF_NAMESIZE))
		err = error_set(error, -EINVAL,
				"interface is the name of the one on which to "
				"join the multicast group addr");
	if (!err)
		err = params_str(params, "access", &access, error);
	if (!err && access && o->addr.any.sa_family != AF_UNIX)
		err = error_set(error, -EINVAL,
				"access is the mode of the socket file at "
				"path");
	return err ? err : socket_mode(access, 0660, &o->access, error);
}

/* Life */

static void dgram_free(struct dgram *d)
{
	if (d->rx.arena)
		munmap(d->rx.arena, DGRAM_ARENA);
	if (d->backlog.bytes)
		munmap(d->backlog.bytes, DGRAM_BACKLOG);
	if (d->rx.control)
		munmap(d->rx.control, CONTROLS);
	discard_destroy(d->rx.bin);
	pthread_mutex_destroy(&d->backlog.lock);
	free(d);
}

static void *map_zero(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Slots first, then what long frames need beyond them. */
static void rx_init(struct dgram_rx *rx)
{
	uint8_t *large = rx->arena + DGRAM_BURST * DGRAM_STRIDE;

	for (unsigned k = 0; k < DGRAM_BURST; k++) {
		struct msghdr *hdr = &rx->msg[k].msg_hdr;

		rx->iov[k][0].iov_base = rx->arena + k * DGRAM_STRIDE;
		rx->iov[k][0].iov_len = DGRAM_SLOT;
		rx->iov[k][1].iov_base = large + k * (size_t)DGRAM_LARGE;
		rx->iov[k][1].iov_len = DGRAM_LARGE;
		hdr->msg_iov = rx->iov[k];
		hdr->msg_iovlen = 2;
		hdr->msg_name = &rx->from[k];
		hdr->msg_namelen = sizeof(rx->from[k]);
		if (!rx->control)
			continue;
		hdr->msg_control = &rx->control[k];
		hdr->msg_controllen = sizeof(rx->control[k]);
	}
}

static struct dgram *dgram_alloc(struct port *port, const struct options *o)
{
	struct dgram *d = aligned_alloc(64, (sizeof(*d) + 63) & ~63UL);
	pthread_mutexattr_t attr;

	if (!d)
		return NULL;
	memset(d, 0, sizeof(*d));
	d->port = port;
	d->loop = port_loop(port);
	d->addr = o->addr;
	d->peer = o->peer;
	d->is_unix = o->addr.any.sa_family == AF_UNIX;
	d->group = o->group;
	if (o->interface)
		snprintf(d->interface, sizeof(d->interface), "%s",
			 o->interface);
	d->frame_max = d->is_unix ? DGRAM_FRAME_MAX : DGRAM_UDP_MAX;
	socket_addr_text(&d->addr, d->text);
	socket_addr_text(&d->peer, d->peer_text);
	d->retry_ms = DGRAM_RETRY_MS;
	d->sock = (struct loop_source){ -1, on_sock, d };
	d->wake = (struct loop_source){ -1, on_wake, d };
	d->timer.source.fd = -1;
	d->rx.dgram = d;
	d->rx.fd = -1;
	/* Who waits for another's system call spins first, then sleeps. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&d->backlog.lock, &attr);
	pthread_mutexattr_destroy(&attr);
	d->rx.arena = map_zero(DGRAM_ARENA);
	d->backlog.bytes = map_zero(DGRAM_BACKLOG);
	if (d->is_unix) {
		d->rx.control = map_zero(CONTROLS);
		d->rx.bin = discard_create(DGRAM_FILES + DGRAM_FILES_WAIT);
	}
	if (d->rx.arena && d->backlog.bytes &&
	    (!d->is_unix || (d->rx.control && d->rx.bin))) {
		rx_init(&d->rx);
		name_publish(d, &d->peer);
		return d;
	}
	dgram_free(d);
	return NULL;
}

static void sources_close(struct dgram *d)
{
	struct loop_source *sources[] = { &d->sock, &d->wake };

	loop_timer_fini(d->loop, &d->timer);
	socket_unlink(&d->addr, &d->file);
	if (d->group && d->rx.fd >= 0)
		close(d->rx.fd);
	for (unsigned i = 0; i < 2; i++) {
		if (sources[i]->fd < 0)
			continue;
		loop_del(d->loop, sources[i]);
		if (i == 0 && d->is_unix) {
			/* What waits in it is closed with it. */
			shutdown(d->sock.fd, SHUT_RDWR);
			discard_fd(d->rx.bin, d->sock.fd);
		} else {
			close(sources[i]->fd);
		}
	}
}

/* One socket to send and receive. */
static int pair_open(struct dgram *d, mode_t access, struct glen_error *error)
{
	int fd = socket_bind(&d->addr, SOCK_DGRAM, access, &d->file, error);

	if (fd < 0)
		return fd;
	d->sock.fd = d->rx.fd = fd;
	if (d->is_unix)
		socket_refuse_files(fd);
	return 0;
}

static int sources_open(struct dgram *d, mode_t access,
			struct glen_error *error)
{
	int err;

	if (!d->loop)
		return error_set(error, -EINVAL,
				 "a dgram port needs a switch with an event "
				 "loop");
	if (d->group)
		err = group_open(d, error);
	else
		err = pair_open(d, access, error);
	if (err)
		return err;
	socket_buffers(d->sock.fd, DGRAM_SNDBUF, 0);
	if (!d->is_unix)
		socket_buffers(d->rx.fd, 0, DGRAM_RCVBUF);
	d->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = d->wake.fd < 0 ? -errno : loop_add(d->loop, &d->wake, EPOLLIN);
	if (!err)
		err = loop_add(d->loop, &d->sock, EPOLLONESHOT);
	if (!err)
		err = loop_timer_init(d->loop, &d->timer, on_timer, d);
	if (err)
		error_set(error, err, "cannot set up events: %s",
			  error_reason(-err));
	if (err)
		sources_close(d);
	return err;
}

static int dgram_open(struct port *port, struct port_args *args,
		      struct glen_error *error)
{
	struct options o = { 0 };
	struct dgram *d;
	int err = options_read(args->params, &o, error);

	if (err)
		return err;
	d = dgram_alloc(port, &o);
	if (!d)
		return error_set(error, -ENOMEM, "no memory for the port");
	err = sources_open(d, o.access, error);
	if (err) {
		dgram_free(d);
		return err;
	}
	port->n_in = port->n_out = 1;
	port->in[0].drv = &d->rx;
	port->in[0].in_fd = d->rx.fd;
	port->out[0].drv = d;
	port->caps = 0;
	port->drv = d;
	peer_find(d);
	return 0;
}

static void dgram_close(struct port *port)
{
	struct dgram *d = port->drv;

	sources_close(d);
	dgram_free(d);
	port->drv = NULL;
}

/* Why the peer's queue is so short. */
static void show_queue(struct dgram *d, json_t *object)
{
	char text[DGRAM_TEXT], qlen[16] = "few";
	FILE *file;

	json_object_set_new(object, "queue_full",
			    json_integer(atomic_load(&d->full)));
	json_object_set_new(object, "delayed",
			    json_integer(atomic_load(&d->delayed)));
	json_object_set_new(object, "lost", json_integer(backlog_lost(d)));
	if (!d->is_unix || !atomic_load(&d->full))
		return;
	file = fopen(QLEN_PATH, "re");
	if (file) {
		if (fscanf(file, "%15s", qlen) != 1)
			snprintf(qlen, sizeof(qlen), "few");
		fclose(file);
	}
	snprintf(text, sizeof(text),
		 "the peer's queue was full: it holds %s datagrams; sockets "
		 "made after \"sysctl net.unix.max_dgram_qlen=512\" hold more",
		 qlen);
	json_object_set_new(object, "problem", json_string(text));
}

/* Packets to a UDP peer do not arrive. */
static void show_unreachable(struct dgram *d, json_t *object)
{
	int err = atomic_load(&d->complaint);
	char text[DGRAM_TEXT];

	json_object_set_new(object, "unreachable",
			    json_integer(atomic_load(&d->unreachable)));
	if (!err)
		return;
	snprintf(text, sizeof(text),
		 "what is sent to %s comes back as undeliverable (ICMP: %s): "
		 "nobody receives there, or a firewall does not let it through",
		 d->peer_text, strerror(err));
	json_object_set_new(object, "problem", json_string(text));
}

/* Both ends in one switch are a mistake, unless its module knows better. */
static bool is_circle(struct dgram *d)
{
	struct port *other;

	if (!d->is_unix || !atomic_load(&d->connected))
		return false;
	other = port_at_socket(d->port->sw->engine, &d->peer);
	return other && other->ops == &dgram_port_ops &&
	       other->sw == d->port->sw;
}

static void show_text(json_t *object, const char *key, const char *text)
{
	/* A socket's name may be any bytes. */
	json_t *value = json_string(text);

	json_object_set_new(object, key, value ?: json_string("?"));
}

static void dgram_show(struct port *port, json_t *object)
{
	struct dgram *d = port->drv;
	int err = atomic_load(&d->error);

	show_text(object, d->is_unix ? "path" : "addr", d->text);
	if (d->group) {
		json_object_set_new(object, "group", json_true());
		show_text(object, "interface", d->interface);
		json_object_set_new(object, "own",
				    json_integer(atomic_load(&d->own)));
	} else {
		show_text(object, "peer", d->peer_text);
	}
	json_object_set_new(object, "connected",
			    json_boolean(atomic_load(&d->connected)));
	json_object_set_new(object, "connections",
			    json_integer(d->connections));
	json_object_set_new(object, "strangers",
			    json_integer(atomic_load(&d->strangers)));
	show_queue(d, object);
	if (!d->is_unix && !d->group)
		show_unreachable(d, object);
	if (d->lost)
		show_text(object, "problem", lost_text);
	else if (is_circle(d))
		show_text(object, "problem",
			  "both ends are ports of one switch, so what it "
			  "floods goes round in circles, unless its module "
			  "keeps the two apart; an end belongs to another "
			  "switch");
	if (d->last_error[0])
		show_text(object, "last_error", d->last_error);
	if (err)
		json_object_set_new(object, "send_error",
				    json_string(strerror(err)));
}

static bool dgram_link(struct port *port)
{
	struct dgram *d = port->drv;

	return atomic_load_explicit(&d->connected, memory_order_relaxed);
}

const struct port_ops dgram_port_ops = {
	.name = "dgram",
	.summary = "a frame per datagram: QEMU's -netdev dgram",
	.options = "path=SOCKET   our Unix socket, with peer=SOCKET; or\n"
		   "addr=HOST:PORT  our UDP address: 192.0.2.1:5000, "
		   "[2001:db8::1]:5000 or *:5000\n"
		   "peer=...      the other side's, of the same kind; or\n"
		   "addr=GROUP:PORT  alone: an IPv4 multicast group, as "
		   "QEMU's 230.0.0.1:1234\n"
		   "interface=NAME  where to join the group (by its route)\n"
		   "access=MODE   rights of the socket file, in octal (0660)\n",
	.open = dgram_open,
	.close = dgram_close,
	.show = dgram_show,
	.tick = dgram_tick,
	.link = dgram_link,
	.hot = ISA_SAME(&dgram_hot),
};
