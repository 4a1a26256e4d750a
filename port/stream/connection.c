// SPDX-License-Identifier: BSD-2-Clause
// connection.c - listens or connects, and ends connections.
#include "port/stream/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/switch.h"
#include "lib/error.h"

enum {
	BACKLOG = 4,
	FIRST_TRY_MS = 1,	/* once the port is part of its switch */
	ACCEPT_PAUSE_MS = 1000, /* no descriptor left, or too many come */
	TURNED_AWAY_MAX = 16,	/* second connections before a pause */
	KEEPALIVE_IDLE_S = 10,	/* a silent TCP peer is asked */
	KEEPALIVE_EVERY_S = 5,
	KEEPALIVE_TRIES = 3,
	USER_TIMEOUT_MS = 25000, /* data that nobody acknowledges */
	STEADY_MS = 1000,	 /* a connection that lasts is a good one */
};

const char stream_circle[] =
	"both ends are ports of one switch, so what it floods goes round in "
	"circles, unless its module keeps the two apart; an end belongs to "
	"another switch";

/* Nobody may send more of what cannot be closed. */
static const char bin_full[] = "no connection is made: file descriptors that "
			       "peers sent cannot be closed";

void stream_end(struct stream *s, enum stream_end why, uint32_t number)
{
	uint64_t none = STREAM_END_NONE;

	if (atomic_compare_exchange_strong(&s->end, &none,
					   (uint64_t)why << 32 | number))
		eventfd_write(s->wake.fd, 1);
}

/* Says what went wrong, once: a client that keeps trying fails alike. */
static void say(struct stream *s, const char *text)
{
	if (!strcmp(s->last_error, text))
		return;
	snprintf(s->last_error, sizeof(s->last_error), "%s", text);
	port_log(s->port, "%s", text);
}

static void describe_end(struct stream *s, char text[STREAM_TEXT])
{
	uint64_t end = atomic_load(&s->end);
	unsigned number = (uint32_t)end;

	switch ((enum stream_end)(end >> 32)) {
	case STREAM_END_LENGTH:
		snprintf(text, STREAM_TEXT,
			 "disconnected %.80s: it announced a frame of %u "
			 "bytes, which must have 1 to %d",
			 s->peer, number, STREAM_FRAME_MAX);
		break;
	case STREAM_END_CUT:
		snprintf(text, STREAM_TEXT,
			 "%.80s closed the connection in the middle of a frame",
			 s->peer);
		break;
	case STREAM_END_FILES:
		snprintf(text, STREAM_TEXT,
			 "disconnected %.80s: it sent file descriptors, which "
			 "a stream of frames has no use for",
			 s->peer);
		break;
	case STREAM_END_ERROR:
		snprintf(text, STREAM_TEXT, "lost connection to %.80s: %s",
			 s->peer, strerror(number));
		break;
	default:
		snprintf(text, STREAM_TEXT, "%.80s closed the connection",
			 s->peer);
	}
}

static bool is_unix(const struct stream *s)
{
	return s->addr.any.sa_family == AF_UNIX;
}

/* What somebody else sends through a Unix socket is closed with it. */
static void socket_close(struct stream *s, int fd)
{
	if (is_unix(s))
		discard_connection(s->rx.bin, fd);
	else
		close(fd);
}

/* The socket goes; the ring is with no worker. */
static void conn_close(struct stream *s)
{
	atomic_store(&s->connected, false);
	pthread_mutex_lock(&s->tx.lock);
	s->tx.fd = -1;
	s->tx.rest_off = s->tx.rest_len = 0;
	s->tx.waits = false;
	stream_queue_forget(&s->queue);
	stream_tx_unlock(s);
	if (s->conn.fd >= 0) {
		loop_del(s->loop, &s->conn);
		socket_close(s, s->conn.fd);
	}
	s->conn.fd = s->rx.fd = -1;
	s->rx.over = true;
	discard_collect(s->rx.bin);
}

/* Any pause is over. */
static void listen_again(struct stream *s)
{
	loop_timer_set(&s->timer, 0);
	s->turned_away = 0;
	loop_set(s->loop, &s->listener, EPOLLIN);
}

static void listen_later(struct stream *s)
{
	loop_set(s->loop, &s->listener, 0);
	loop_timer_set(&s->timer, ACCEPT_PAUSE_MS);
}

static void retry_later(struct stream *s)
{
	loop_timer_set(&s->timer, s->retry_ms);
	s->retry_ms *= 2;
	if (s->retry_ms > STREAM_RETRY_MAX_MS)
		s->retry_ms = STREAM_RETRY_MAX_MS;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static uint64_t packets_came(const struct stream *s)
{
	return count_read(&s->port->in[0].counters[0].packets);
}

/* Without a connection: waits for one, or for the time to try again. */
static void await_peer(struct stream *s)
{
	if (s->server) {
		listen_again(s);
		return;
	}
	/* Who hangs up at once is asked less and less often. */
	if (packets_came(s) != s->begun_packets ||
	    now_ms() - s->begun_ms > STEADY_MS)
		s->retry_ms = STREAM_RETRY_MS;
	retry_later(s);
}

static void on_wake(void *arg, uint32_t events)
{
	struct stream *s = arg;
	char text[STREAM_TEXT];
	eventfd_t n;

	eventfd_read(s->wake.fd, &n);
	if (!atomic_load(&s->connected) || !atomic_load(&s->end))
		return;
	port_in_stop(&s->port->in[0]);
	describe_end(s, text);
	conn_close(s);
	s->last_error[0] = '\0';
	say(s, text);
	await_peer(s);
}

/* Who is at the other end, for people. */
static void peer_describe(struct stream *s)
{
	struct socket_addr a = { .len = sizeof(a.room) };
	struct port *other = NULL;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!is_unix(s)) {
		if (getpeername(s->conn.fd, &a.any, &a.len))
			a.any.sa_family = AF_UNSPEC;
		socket_addr_text(&a, s->peer);
	} else if (!getsockopt(s->conn.fd, SOL_SOCKET, SO_PEERCRED, &cred,
			       &len)) {
		if (cred.pid == getpid() && !s->server)
			other = port_at_socket(s->port->sw->engine, &s->addr);
		snprintf(s->peer, sizeof(s->peer), "process %ld of uid %u",
			 (long)cred.pid, (unsigned)cred.uid);
	}
	if (other)
		snprintf(s->peer, sizeof(s->peer), "port %s:%s of this glend",
			 other->sw->name, other->name);
	s->circle = other && other->sw == s->port->sw;
	if (!s->peer[0])
		snprintf(s->peer, sizeof(s->peer), "the peer");
}

static void option(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof(value));
}

/*
 * A Unix socket's queue is the sender's buffer, and the default holds a few
 * dozen large frames. TCP sizes its buffers itself, and better. There nobody
 * says when the other host is gone: ask it.
 */
static void conn_tune(struct stream *s)
{
	int fd = s->conn.fd;

	if (is_unix(s)) {
		socket_buffers(fd, STREAM_SNDBUF, 0);
		return;
	}
	option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
	option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

/* s->conn is connected and in the loop: packets may pass. */
static void conn_begin(struct stream *s)
{
	struct glen_error error;

	conn_tune(s);
	peer_describe(s);
	/* Nothing to do until tx asks for room. */
	loop_set(s->loop, &s->conn, EPOLLONESHOT);
	atomic_store(&s->end, STREAM_END_NONE);
	s->rx.fd = s->conn.fd;
	s->rx.plain = !socket_takes_files(s->conn.fd);
	s->rx.head = s->rx.tail = 0;
	s->rx.over = s->rx.files = false;
	s->begun_packets = packets_came(s);
	s->begun_ms = now_ms();
	if (port_in_start(&s->port->in[0], s->conn.fd, &error)) {
		say(s, error.text);
		conn_close(s);
		s->retry_ms = STREAM_RETRY_MAX_MS;
		await_peer(s);
		return;
	}
	pthread_mutex_lock(&s->tx.lock);
	stream_queue_forget(&s->queue); /* what was meant for another */
	s->tx.fd = s->conn.fd;
	stream_tx_unlock(s);
	atomic_store(&s->connected, true);
	s->connections++;
	s->last_error[0] = '\0';
	port_log(s->port, "connected to %s%s%s", s->peer, s->circle ? ": " : "",
		 s->circle ? stream_circle : "");
}

/* Server */

/* The peer has hung up; its worker may still be reading what it sent. */
static bool conn_is_ending(struct stream *s)
{
	struct pollfd p = { .fd = s->conn.fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents;
}

static void on_listener(void *arg, uint32_t events)
{
	struct stream *s = arg;
	char text[STREAM_TEXT];
	int fd;

	if (s->conn.fd >= 0 && conn_is_ending(s)) {
		/* Until await_peer(). */
		loop_set(s->loop, &s->listener, 0);
		return;
	}
	if (discard_is_full(s->rx.bin)) {
		say(s, bin_full);
		listen_later(s);
		return;
	}
	fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0 && s->conn.fd >= 0) {
		s->refused++;
		socket_close(s, fd);
		/* Who keeps trying may do so a few times a second. */
		if (++s->turned_away >= TURNED_AWAY_MAX)
			listen_later(s);
		return;
	}
	if (fd >= 0) {
		s->conn.fd = fd;
		if (!loop_add(s->loop, &s->conn, EPOLLONESHOT)) {
			conn_begin(s);
			return;
		}
		s->conn.fd = -1;
		socket_close(s, fd);
		errno = ENOMEM;
	}
	if (errno != EMFILE && errno != ENFILE && errno != ENOMEM &&
	    errno != ENOBUFS)
		return; /* it went away before we came */
	snprintf(text, sizeof(text), "cannot accept a connection: %s",
		 error_reason(errno));
	say(s, text);
	listen_later(s);
}

/* Client */

static void connect_refused(struct stream *s, const char *why)
{
	conn_close(s);
	say(s, why);
	retry_later(s);
}

static void connect_failed(struct stream *s, int err)
{
	struct glen_error error;

	socket_connect_error(&s->addr, err, &error);
	connect_refused(s, error.text);
}

/* Another kind of port of this glend does not speak frames. */
static bool is_other_port(struct stream *s, char text[STREAM_TEXT])
{
	struct port *port = port_at_socket(s->port->sw->engine, &s->addr);

	if (!port || port->ops == &stream_port_ops)
		return false;
	snprintf(text, STREAM_TEXT,
		 "%s is the socket of this glend's own port %s:%s, of driver "
		 "%s: the other end must be a stream",
		 s->text, port->sw->name, port->name, port->ops->name);
	return true;
}

/* TCP can meet itself when nobody listens at a port that it may choose. */
static bool is_ourselves(int fd)
{
	struct socket_addr here = { .len = sizeof(here.room) };
	struct socket_addr there = { .len = sizeof(there.room) };

	return !getsockname(fd, &here.any, &here.len) &&
	       !getpeername(fd, &there.any, &there.len) &&
	       here.any.sa_family != AF_UNIX && here.len == there.len &&
	       !memcmp(&here.room, &there.room, here.len);
}

static void connect_begin(struct stream *s)
{
	char text[STREAM_TEXT];
	int fd, err;

	if (discard_is_full(s->rx.bin)) {
		say(s, bin_full);
		loop_timer_set(&s->timer, STREAM_RETRY_MAX_MS);
		return;
	}
	if (is_other_port(s, text)) {
		connect_refused(s, text);
		return;
	}
	fd = socket(s->addr.any.sa_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		connect_failed(s, errno);
		return;
	}
	if (is_unix(s))
		socket_refuse_files(fd);
	s->conn.fd = fd;
	err = loop_add(s->loop, &s->conn, EPOLLONESHOT);
	if (err) {
		connect_failed(s, -err);
		return;
	}
	if (!connect(fd, &s->addr.any, s->addr.len)) {
		if (is_ourselves(fd))
			connect_failed(s, ECONNREFUSED);
		else
			conn_begin(s);
		return;
	}
	if (errno != EINPROGRESS) {
		connect_failed(s, errno);
		return;
	}
	loop_set(s->loop, &s->conn, EPOLLOUT | EPOLLONESHOT);
	loop_timer_set(&s->timer, STREAM_CONNECT_MS);
}

static void connect_done(struct stream *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	loop_timer_set(&s->timer, 0);
	if (getsockopt(s->conn.fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err && is_ourselves(s->conn.fd))
		err = ECONNREFUSED;
	if (err)
		connect_failed(s, err);
	else
		conn_begin(s);
}

static void on_timer(void *arg)
{
	struct stream *s = arg;

	if (s->server)
		listen_again(s);
	else if (s->conn.fd < 0)
		connect_begin(s);
	else if (!atomic_load(&s->connected))
		connect_failed(s, ETIMEDOUT);
}

/* Both */

/* The socket has room for what waits, or connect() came to an end. */
static void on_conn(void *arg, uint32_t events)
{
	struct stream *s = arg;
	int err;

	if (!atomic_load(&s->connected)) {
		connect_done(s);
		return;
	}
	pthread_mutex_lock(&s->tx.lock);
	err = stream_send_waiting(s);
	if (err && err != -EBUSY && err != -EAGAIN)
		stream_send_failed(s, -err);
	stream_tx_unlock(s);
}

/* Takes fd, which is bound. */
static int listen_with(struct stream *s, int fd, struct glen_error *error)
{
	int err;

	s->listener.fd = fd;
	if (is_unix(s))
		socket_refuse_files(fd); /* and those it accepts, too */
	err = listen(fd, BACKLOG) ? -errno : 0;
	if (!err)
		err = loop_add(s->loop, &s->listener, EPOLLIN);
	if (err)
		return error_set(error, err, "cannot listen at %s: %s", s->text,
				 strerror(-err));
	return 0;
}

static int listen_begin(struct stream *s, mode_t access,
			struct glen_error *error)
{
	int fd = socket_bind(&s->addr, SOCK_STREAM, access, &s->file, error);

	s->access = access;
	return fd < 0 ? fd : listen_with(s, fd, error);
}

void connection_tick(struct stream *s)
{
	struct glen_error error = { 0 };
	int fd;

	if (s->listener.fd < 0)
		return;
	if (socket_lost(&s->addr, &s->file)) {
		fd = socket_replace(&s->addr, SOCK_STREAM, s->access, &s->file,
				    &error);
		if (fd >= 0) {
			loop_del(s->loop, &s->listener);
			discard_fd(s->rx.bin, s->listener.fd);
			if (!listen_with(s, fd, &error))
				port_log(s->port, "the socket was removed, and "
						  "is made anew");
		}
	}
	/* It is tried once a second, and said once. */
	if (error.code && error.code != s->lost.code)
		port_log(s->port, "%s", error.text);
	s->lost = error;
}

int connection_init(struct stream *s, mode_t access, struct glen_error *error)
{
	int err;

	s->retry_ms = STREAM_RETRY_MS;
	s->listener = (struct loop_source){ -1, on_listener, s };
	s->conn = (struct loop_source){ -1, on_conn, s };
	s->wake = (struct loop_source){ -1, on_wake, s };
	if (!s->loop)
		return error_set(error, -EINVAL,
				 "a stream port needs a switch with an event "
				 "loop");
	s->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = s->wake.fd < 0 ? -errno : loop_add(s->loop, &s->wake, EPOLLIN);
	if (!err)
		err = loop_timer_init(s->loop, &s->timer, on_timer, s);
	if (err)
		error_set(error, err, "cannot set up events: %s",
			  error_reason(-err));
	else if (s->server)
		err = listen_begin(s, access, error);
	else
		loop_timer_set(&s->timer, FIRST_TRY_MS);
	if (err)
		connection_fini(s);
	return err;
}

static void source_close(struct stream *s, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	loop_del(s->loop, source);
	close(source->fd);
	source->fd = -1;
}

void connection_fini(struct stream *s)
{
	conn_close(s);
	if (s->listener.fd >= 0) {
		socket_unlink(&s->addr, &s->file);
		loop_del(s->loop, &s->listener);
		/* With those that wait to be accepted. */
		if (is_unix(s))
			discard_fd(s->rx.bin, s->listener.fd);
		else
			close(s->listener.fd);
		s->listener.fd = -1;
	}
	loop_timer_fini(s->loop, &s->timer);
	source_close(s, &s->wake);
}
