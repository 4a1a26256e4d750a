// SPDX-License-Identifier: BSD-2-Clause
// socket.c - listens for a front end, or connects to one.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"
#include "port/vhost_user/session.h"

enum { BACKLOG = 8, ACCEPTS = 16, MODE = 0660, STEADY_MS = 1000 };

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Removes a socket file that nobody listens at. */
static int clear_path(const struct vhost_port *vp, struct glen_error *error)
{
	const char *path = vp->addr.sun_path;
	struct stat st;
	int fd, err = 0;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 :
					 error_set(error, -errno, "%s: %s",
						   path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(error, -EEXIST,
				 "%s exists and is not a socket: remove it, or "
				 "choose another path",
				 path);
	fd = new_socket();
	if (fd < 0)
		return error_set(error, -errno, "socket: %s", strerror(errno));
	if (!connect(fd, (const void *)&vp->addr, sizeof(vp->addr)) ||
	    errno == EAGAIN)
		err = error_set(error, -EADDRINUSE,
				"another process listens on %s: end it, choose "
				"another path, or have glend connect to it "
				"with mode=client",
				path);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		err = error_set(error, -errno, "%s: %s", path, strerror(errno));
	else if (unlink(path) && errno != ENOENT)
		err = error_set(error, -errno, "cannot replace %s: %s", path,
				strerror(errno));
	close(fd);
	return err;
}

/* True if the front end that is connected has hung up already. */
static bool has_hung_up(const struct vhost_port *vp)
{
	struct pollfd p = { .fd = vp->link.fd };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

static void on_listener(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;

	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(vp->listener.fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		/* The one before may have gone and not been looked at yet. */
		if (vhost_connected(vp) && has_hung_up(vp))
			vhost_session_end(vp, NULL);
		if (vhost_connected(vp)) {
			vp->refused++;
			close(fd);
			continue;
		}
		vhost_session_begin(vp, fd);
	}
}

static int listen_at(struct vhost_port *vp, struct glen_error *error)
{
	const char *path = vp->addr.sun_path;
	struct stat st;
	mode_t mask;
	int err = clear_path(vp, error);

	if (err)
		return err;
	vp->listener.fd = new_socket();
	if (vp->listener.fd < 0)
		return error_set(error, -errno, "socket: %s", strerror(errno));
	mask = umask(0777 & ~MODE);
	err = bind(vp->listener.fd, (void *)&vp->addr, sizeof(vp->addr)) ?
		      -errno :
		      0;
	umask(mask);
	if (err)
		return error_set(error, err, "cannot make the socket %s: %s",
				 path, strerror(-err));
	if (!lstat(path, &st)) {
		vp->sock_dev = st.st_dev;
		vp->sock_ino = st.st_ino;
	}
	err = listen(vp->listener.fd, BACKLOG) ? -errno : 0;
	vp->listener.ready = on_listener;
	vp->listener.arg = vp;
	err = err ?: loop_add(vp->loop, &vp->listener, EPOLLIN);
	if (err)
		return error_set(error, err, "cannot listen on %s: %s", path,
				 strerror(-err));
	return 0;
}

/* Tries to connect; if that fails, again in a moment. */
static void on_retry(void *arg)
{
	struct vhost_port *vp = arg;
	int fd = new_socket();

	if (fd >= 0 &&
	    !connect(fd, (const void *)&vp->addr, sizeof(vp->addr))) {
		vhost_session_begin(vp, fd);
		return;
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
				 strerror(-err));
	/* The core is not done with the port yet: on the next turn. */
	loop_timer_set(&vp->retry, 1);
	return 0;
}

void vhost_socket_again(struct vhost_port *vp)
{
	if (!vp->client || vp->retry.source.fd < 0)
		return;
	/* One that hangs up at once is not asked again at once. */
	if (vhost_now_ms() - vp->since_ms > STEADY_MS)
		vp->retry_ms = VHOST_RETRY_MS;
	loop_timer_set(&vp->retry, vp->retry_ms);
}

void vhost_socket_close(struct vhost_port *vp)
{
	struct stat st;

	loop_timer_fini(vp->loop, &vp->retry);
	if (vp->listener.fd < 0)
		return;
	if (vp->sock_ino && !lstat(vp->addr.sun_path, &st) &&
	    st.st_dev == vp->sock_dev && st.st_ino == vp->sock_ino)
		unlink(vp->addr.sun_path);
	loop_del(vp->loop, &vp->listener);
	close(vp->listener.fd);
	vp->listener.fd = -1;
}
