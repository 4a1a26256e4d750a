// SPDX-License-Identifier: BSD-2-Clause
// socket.c - listens for a front end, or connects to one.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/discard.h"
#include "core/switch.h"
#include "lib/error.h"
#include "port/vhost_user/session.h"

enum {
	BACKLOG = 8,
	ACCEPTS = 16,
	TURNED_AWAY_MAX = 16, /* second connections, in one tick */
	STEADY_MS = 1000,
};

/* True if the front end that is connected has hung up already. */
static bool has_hung_up(const struct vhost_port *vp)
{
	struct pollfd p = { .fd = vp->link.fd };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/* Nobody is accepted until the next tick, or the end of the connection. */
static void go_deaf(struct vhost_port *vp)
{
	loop_set(vp->loop, &vp->listener, 0);
	vp->deaf = true;
}

static void listen_again(struct vhost_port *vp)
{
	vp->turned_away = 0;
	if (vp->deaf)
		loop_set(vp->loop, &vp->listener, EPOLLIN);
	vp->deaf = false;
}

/* While there is a first one. */
static void turn_away(struct vhost_port *vp, int fd)
{
	vp->refused++;
	/* Who keeps trying is counted, and spoken of once a second. */
	if (!vp->turned_away++)
		port_log(vp->port,
			 "a second connection was closed: process %d has the "
			 "first one",
			 (int)vp->peer.pid);
	discard_connection(vp->bin, fd);
	if (vp->turned_away >= TURNED_AWAY_MAX)
		go_deaf(vp);
}

static void on_listener(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;

	for (int i = 0; i < ACCEPTS && !vp->deaf; i++) {
		int fd;

		/* Nobody may send more of what cannot be closed. */
		if (discard_is_full(vp->bin)) {
			go_deaf(vp);
			return;
		}
		fd = accept4(vp->listener.fd, NULL, NULL,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED &&
		    errno != EINTR) {
			/* Or it would be readable for ever. */
			port_log(vp->port, "cannot accept a connection: %s",
				 error_reason(errno));
			go_deaf(vp);
		}
		if (fd < 0)
			return;
		/* The one before may have gone and not been looked at yet. */
		if (vhost_connected(vp) && has_hung_up(vp))
			vhost_session_end(vp, NULL);
		if (vhost_connected(vp)) {
			turn_away(vp, fd);
			continue;
		}
		vhost_session_begin(vp, fd);
	}
}

/* Takes fd, which is bound. */
static int listen_with(struct vhost_port *vp, int fd, struct glen_error *error)
{
	int err = 0;

	vp->listener.fd = fd;
	vp->listener.ready = on_listener;
	vp->listener.arg = vp;
	if (listen(vp->listener.fd, BACKLOG))
		err = -errno;
	err = err ?: loop_add(vp->loop, &vp->listener, EPOLLIN);
	if (err)
		return error_set(error, err, "cannot listen on %s: %s",
				 vp->addr.un.sun_path, strerror(-err));
	return 0;
}

static int listen_at(struct vhost_port *vp, struct glen_error *error)
{
	int fd = socket_bind(&vp->addr, SOCK_STREAM, vp->access, &vp->file,
			     error);

	return fd < 0 ? fd : listen_with(vp, fd, error);
}

/* Nobody finds the listener any more: another one, as soon as there can be. */
static void listen_anew(struct vhost_port *vp)
{
	struct glen_error error = { 0 };
	int fd = socket_replace(&vp->addr, SOCK_STREAM, vp->access, &vp->file,
				&error);

	if (fd >= 0) {
		loop_del(vp->loop, &vp->listener);
		discard_fd(vp->bin, vp->listener.fd);
		vp->deaf = false;
		if (!listen_with(vp, fd, &error))
			port_log(vp->port,
				 "the socket was removed, and is made anew");
	}
	/* It is tried once a second, and said once. */
	if (error.code && error.code != vp->lost.code)
		port_log(vp->port, "%s", error.text);
	vp->lost = error;
}

static void unreached(struct vhost_port *vp, const struct glen_error *error)
{
	/* It is tried ten times a second, and said once. */
	if (vp->unreached.code != error->code)
		port_log(vp->port, "%s", error->text);
	vp->unreached = *error;
}

/* Two back ends would wait for each other for ever: -ELOOP. */
static int not_ourselves(const struct vhost_port *vp, struct glen_error *error)
{
	struct port *other = port_at_socket(vp->port->sw->engine, &vp->addr);

	if (!other)
		return 0;
	return error_set(error, -ELOOP,
			 "%s is the socket of this glend's own port %s:%s: a "
			 "vhost-user port needs a virtual machine at the other "
			 "end; two switches are joined by stream ports",
			 vp->addr.un.sun_path, other->sw->name, other->name);
}

/* 0, or why not, with errno as it was. */
static int try_connect(struct vhost_port *vp, int fd, struct glen_error *error)
{
	int err = not_ourselves(vp, error);

	if (err)
		return err;
	if (fd >= 0 && !connect(fd, &vp->addr.any, vp->addr.len))
		return 0;
	return socket_connect_error(&vp->addr, errno, error);
}

/* Tries to connect; if that fails, again in a moment. */
static void on_retry(void *arg)
{
	struct vhost_port *vp = arg;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct glen_error error;

	if (!discard_is_full(vp->bin)) {
		if (!try_connect(vp, fd, &error)) {
			vp->unreached.code = 0;
			vhost_session_begin(vp, fd);
			return;
		}
		unreached(vp, &error);
	}
	if (fd >= 0)
		close(fd);
	loop_timer_set(&vp->retry, vp->retry_ms);
	vp->retry_ms = vp->retry_ms * 3 / 2;
	if (vp->retry_ms > VHOST_RETRY_MAX_MS)
		vp->retry_ms = VHOST_RETRY_MAX_MS;
}

int vhost_socket_open(struct vhost_port *vp, struct glen_error *error)
{
	int err;

	if (!vp->client)
		return listen_at(vp, error);
	vp->retry_ms = VHOST_RETRY_MS;
	err = loop_timer_init(vp->loop, &vp->retry, on_retry, vp);
	if (err)
		return error_set(error, err, "cannot make a timer: %s",
				 error_reason(-err));
	/* The core is not done with the port yet: on the next turn. */
	loop_timer_set(&vp->retry, 1);
	return 0;
}

void vhost_socket_again(struct vhost_port *vp)
{
	if (vp->listener.fd >= 0)
		listen_again(vp);
	if (!vp->client || vp->retry.source.fd < 0)
		return;
	/* One that hangs up at once is not asked again at once, and less and
	 * less often. */
	if (vp->useful || vhost_now_ms() - vp->since_ms > STEADY_MS)
		vp->retry_ms = VHOST_RETRY_MS;
	loop_timer_set(&vp->retry, vp->retry_ms);
	vp->retry_ms = vp->retry_ms * 2;
	if (vp->retry_ms > VHOST_RETRY_SLOW_MS)
		vp->retry_ms = VHOST_RETRY_SLOW_MS;
}

void vhost_socket_tick(struct vhost_port *vp)
{
	if (vp->listener.fd < 0)
		return;
	if (socket_lost(&vp->addr, &vp->file))
		listen_anew(vp);
	else
		vp->lost.code = 0;
	listen_again(vp);
}

void vhost_socket_close(struct vhost_port *vp)
{
	loop_timer_fini(vp->loop, &vp->retry);
	if (vp->listener.fd < 0)
		return;
	socket_unlink(&vp->addr, &vp->file);
	loop_del(vp->loop, &vp->listener);
	discard_fd(vp->bin, vp->listener.fd);
	vp->listener.fd = -1;
}
