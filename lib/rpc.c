// SPDX-License-Identifier: BSD-2-Clause
// rpc.c - a small JSON-RPC client for glend's control socket.
#include "lib/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	RETRY_MS = 10,	   /* between two attempts to connect */
	CHUNK = 16 * 1024, /* bytes received at a time */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* The point in time timeout_ms from now; -1: never. */
static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

static int remaining(int64_t deadline)
{
	int64_t left;

	if (deadline < 0)
		return -1;
	left = deadline - now_ms();
	return left < 0 ? 0 : (int)left;
}

/* Waits for events on the socket. -ETIMEDOUT when the deadline passed. */
static int await(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	for (;;) {
		int left = remaining(deadline);

		n = poll(&p, 1, left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 || left == 0)
			return -ETIMEDOUT;
	}
}

static void drop_fds(struct rpc *r)
{
	while (r->n_fds)
		close(r->fds[--r->n_fds]);
}

static int connect_once(const struct sockaddr_un *addr)
{
	int fd, err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int connect_error(struct glen_error *error, int err, const char *path)
{
	switch (err) {
	case -ENOENT:
	case -ECONNREFUSED:
		return error_set(error, err,
				 "no glend listens at %s; start one, or name "
				 "its socket with --socket or $GLEN_SOCKET",
				 path);
	case -EACCES:
	case -EPERM:
		return error_set(error, err,
				 "no permission to connect to %s; ask for "
				 "membership in the socket's group",
				 path);
	default:
		return error_set(error, err, "cannot connect to %s: %s", path,
				 strerror(-err));
	}
}

int rpc_open(struct rpc *r, const char *path, int timeout_ms,
	     struct glen_error *error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int64_t deadline = deadline_of(timeout_ms);
	int fd;

	memset(r, 0, sizeof(*r));
	r->fd = -1;
	if (!path)
		path = glen_default_socket();
	if (strlen(path) >= sizeof(addr.sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "socket path %s is longer than %zu bytes",
				 path, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	for (;;) {
		struct timespec nap = { 0, RETRY_MS * 1000000 };

		fd = connect_once(&addr);
		if (fd >= 0)
			break;
		/* -EAGAIN: the listener's backlog is full. */
		if ((fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN) ||
		    remaining(deadline) == 0)
			return connect_error(error, fd, path);
		nanosleep(&nap, NULL);
	}
	r->fd = fd;
	return 0;
}

void rpc_close(struct rpc *r)
{
	drop_fds(r);
	free(r->buf);
	r->buf = NULL;
	r->len = r->size = r->scanned = 0;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

unsigned rpc_take_fds(struct rpc *r, int *fds, unsigned n)
{
	unsigned taken = r->n_fds < n ? r->n_fds : n;

	memcpy(fds, r->fds, taken * sizeof(*fds));
	for (unsigned i = taken; i < r->n_fds; i++)
		close(r->fds[i]);
	r->n_fds = 0;
	return taken;
}

static void attach_fds(struct msghdr *msg, const int *fds, unsigned n_fds,
		       char *control, size_t size)
{
	struct cmsghdr *c;

	memset(control, 0, size);
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
}

static int send_line(struct rpc *r, const char *line, size_t len,
		     const int *fds, unsigned n_fds, int64_t deadline)
{
	union {
		char bytes[CMSG_SPACE(RPC_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;

	while (len) {
		struct iovec iov = { (void *)line, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;
		int err;

		if (n_fds)
			attach_fds(&msg, fds, n_fds, control.bytes,
				   sizeof(control.bytes));
		n = sendmsg(r->fd, &msg, MSG_NOSIGNAL);
		if (n > 0) {
			line += n;
			len -= (size_t)n;
			n_fds = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return errno == EPIPE ? -ECONNRESET : -errno;
		err = await(r->fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

int rpc_send(struct rpc *r, const char *method, json_t *params, const int *fds,
	     unsigned n_fds, int timeout_ms, struct glen_error *error)
{
	json_t *request;
	char *text = NULL;
	size_t len;
	int err;

	if (!params)
		params = json_object();
	request = json_pack("{s:s, s:s, s:o, s:I}", "jsonrpc", "2.0", "method",
			    method, "params", params, "id",
			    (json_int_t)++r->id);
	if (request)
		text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return error_set(error, -ENOMEM, "out of memory");
	if (r->fd < 0 || n_fds > RPC_FDS_MAX) {
		err = r->fd < 0 ? -ECONNRESET : -EINVAL;
	} else {
		len = strlen(text);
		text[len] = '\n'; /* in place of the NUL */
		err = send_line(r, text, len + 1, fds, n_fds,
				deadline_of(timeout_ms));
	}
	free(text);
	if (err)
		error_set(error, err, "cannot send %s to glend: %s", method,
			  strerror(-err));
	return err;
}

static void keep_fds(struct rpc *r, struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (r->n_fds < RPC_FDS_MAX)
				r->fds[r->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static int grow(struct rpc *r)
{
	size_t size = r->size ? 2 * r->size : 2 * CHUNK;
	char *buf;

	if (r->size - r->len >= CHUNK)
		return 0;
	if (r->len >= RPC_LINE_MAX)
		return -EMSGSIZE;
	buf = realloc(r->buf, size);
	if (!buf)
		return -ENOMEM;
	r->buf = buf;
	r->size = size;
	return 0;
}

/* Receives some bytes. -EAGAIN: none there now. */
static int fill(struct rpc *r)
{
	union {
		char bytes[CMSG_SPACE(RPC_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int err;

	err = grow(r);
	if (err)
		return err;
	iov.iov_base = r->buf + r->len;
	iov.iov_len = r->size - r->len;
	n = recvmsg(r->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	keep_fds(r, &msg);
	if (n == 0)
		return -ECONNRESET;
	r->len += (size_t)n;
	return 0;
}

/* Parses the first complete line, if there is one. 1: *message is filled. */
static int next_line(struct rpc *r, json_t **message)
{
	char *end = NULL;
	size_t len;

	if (r->len > r->scanned)
		end = memchr(r->buf + r->scanned, '\n', r->len - r->scanned);
	if (!end) {
		r->scanned = r->len;
		return 0;
	}
	len = (size_t)(end - r->buf);
	*message = json_loadb(r->buf, len, JSON_REJECT_DUPLICATES, NULL);
	r->len -= len + 1;
	memmove(r->buf, end + 1, r->len);
	r->scanned = 0;
	if (!json_is_object(*message)) {
		json_decref(*message);
		return -EPROTO;
	}
	return 1;
}

static int recv_until(struct rpc *r, json_t **message, int64_t deadline,
		      struct glen_error *error)
{
	int err;

	*message = NULL;
	if (r->fd < 0)
		return error_set(error, -ECONNRESET, "not connected to glend");
	for (;;) {
		err = next_line(r, message);
		if (err > 0)
			return 0;
		if (!err)
			err = fill(r);
		if (err == -EAGAIN)
			err = await(r->fd, POLLIN, deadline);
		if (err == -ECONNRESET)
			return error_set(error, err,
					 "glend closed the connection");
		if (err == -EPROTO)
			return error_set(error, err,
					 "glend sent something that is not a "
					 "JSON object");
		if (err == -ETIMEDOUT)
			return error_set(error, err,
					 "glend did not answer in time");
		if (err)
			return error_set(error, err,
					 "cannot read from glend: %s",
					 strerror(-err));
	}
}

int rpc_recv(struct rpc *r, json_t **message, int timeout_ms,
	     struct glen_error *error)
{
	return recv_until(r, message, deadline_of(timeout_ms), error);
}

/* JSON-RPC's own numbers as errnos; glend's are errnos already. */
static int error_code(json_int_t code)
{
	if (code < 0 && code > -4096)
		return (int)code;
	if (code == -32601)
		return -ENOSYS;
	if (code == -32602)
		return -EINVAL;
	return -EPROTO;
}

bool rpc_answer(const struct rpc *r, json_t *message, json_t **result, int *err,
		struct glen_error *error)
{
	json_t *id = json_object_get(message, "id");
	json_t *failure = json_object_get(message, "error");
	json_t *value = json_object_get(message, "result");
	const char *text;

	/* An error without id says that glend could not read our request. */
	if (json_is_integer(id) ? json_integer_value(id) != r->id :
				  !(json_is_null(id) && failure))
		return false;
	*err = 0;
	if (json_is_object(failure)) {
		text = json_string_value(json_object_get(failure, "message"));
		*err = error_code(
			json_integer_value(json_object_get(failure, "code")));
		error_set(error, *err, "%s", text ? text : strerror(-*err));
	} else if (!value) {
		*err = error_set(error, -EPROTO,
				 "glend's answer has neither result nor error");
	} else if (result) {
		*result = json_incref(value);
	}
	return true;
}

const char *rpc_notification(json_t *message, json_t **params)
{
	if (json_object_get(message, "id"))
		return NULL;
	if (params)
		*params = json_object_get(message, "params");
	return json_string_value(json_object_get(message, "method"));
}

int rpc_call(struct rpc *r, const char *method, json_t *params, const int *fds,
	     unsigned n_fds, json_t **result, int timeout_ms,
	     struct glen_error *error)
{
	int64_t deadline = deadline_of(timeout_ms);
	int err;

	drop_fds(r);
	err = rpc_send(r, method, params, fds, n_fds, timeout_ms, error);
	while (!err) {
		json_t *message, *what = NULL;
		const char *note;

		err = recv_until(r, &message, deadline, error);
		if (err)
			break;
		note = rpc_notification(message, &what);
		if (note && r->on_notify)
			r->on_notify(r->notify_arg, note, what);
		if (!note && rpc_answer(r, message, result, &err, error)) {
			json_decref(message);
			break;
		}
		json_decref(message);
	}
	return err;
}
