/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_glend.h - the daemon's end of a control connection, for tests. */
#ifndef TESTS_UNIT_FAKE_GLEND_H
#define TESTS_UNIT_FAKE_GLEND_H
/*
 * A listening socket in a directory of its own, and functions to read a request
 * and to write an answer. Tests run them in a thread of their own: what that
 * thread finds wrong it returns as a string, because cmocka's assertions only
 * work in the main thread.
 */
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { GLEND_PATIENCE_MS = 10000 };

struct glend {
	char dir[64], path[100];
	int listener, conn; /* -1: closed */
	json_t *request;    /* the last one read */
	int fds[8];	    /* that came with it */
	unsigned n_fds;
};

static inline void glend_listen(struct glend *d)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, d->path);
	unlink(d->path);
	d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(d->listener, (void *)&addr, sizeof(addr)) ||
	    listen(d->listener, 8))
		abort();
}

static inline void glend_init(struct glend *d)
{
	memset(d, 0, sizeof(*d));
	strcpy(d->dir, "/tmp/glen-test-XXXXXX");
	if (!mkdtemp(d->dir))
		abort();
	snprintf(d->path, sizeof(d->path), "%s/sock", d->dir);
	d->conn = -1;
	glend_listen(d);
}

static inline void glend_hang_up(struct glend *d)
{
	if (d->conn >= 0)
		close(d->conn);
	d->conn = -1;
}

static inline void glend_drop_request(struct glend *d)
{
	while (d->n_fds)
		close(d->fds[--d->n_fds]);
	json_decref(d->request);
	d->request = NULL;
}

/* As if killed: the path stays. */
static inline void glend_kill(struct glend *d)
{
	glend_hang_up(d);
	close(d->listener);
	d->listener = -1;
}

static inline void glend_fini(struct glend *d)
{
	glend_drop_request(d);
	if (d->listener >= 0)
		glend_kill(d);
	glend_hang_up(d);
	unlink(d->path);
	rmdir(d->dir);
}

static inline const char *glend_accept(struct glend *d)
{
	struct pollfd p = { .fd = d->listener, .events = POLLIN };

	if (poll(&p, 1, GLEND_PATIENCE_MS) != 1)
		return "nobody connected";
	d->conn = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
	return d->conn < 0 ? "accept failed" : NULL;
}

static inline void glend_keep_fds(struct glend *d, struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	if (!c || c->cmsg_type != SCM_RIGHTS)
		return;
	d->n_fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(d->fds, CMSG_DATA(c), d->n_fds * sizeof(int));
}

/* Reads one line; NULL, or what is wrong. */
static inline const char *glend_read(struct glend *d)
{
	char line[8192], control[CMSG_SPACE(sizeof(d->fds))];
	size_t len = 0;

	glend_drop_request(d);
	while (!len || line[len - 1] != '\n') {
		struct pollfd p = { .fd = d->conn, .events = POLLIN };
		struct iovec iov = { line + len, 1 };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };

		if (len == sizeof(line) || poll(&p, 1, GLEND_PATIENCE_MS) != 1)
			return "no request came";
		if (recvmsg(d->conn, &msg, MSG_CMSG_CLOEXEC) != 1)
			return "the client hung up";
		glend_keep_fds(d, &msg);
		len++;
	}
	d->request = json_loadb(line, len, 0, NULL);
	return d->request ? NULL : "the request is not JSON";
}

static inline const char *glend_method(const struct glend *d)
{
	const char *m = json_string_value(
		json_object_get(d->request, "method"));
	return m ? m : "";
}

static inline json_t *glend_params(const struct glend *d)
{
	return json_object_get(d->request, "params");
}

/* Writes text with descriptors on its first byte. */
static inline void glend_write(struct glend *d, const char *text, size_t len,
			       const int *fds, unsigned n_fds)
{
	char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)text, n_fds ? 1 : len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	while (len) {
		ssize_t n = sendmsg(d->conn, &msg, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
		iov = (struct iovec){ (void *)text, len };
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
}

/* Writes object (taken) as a line. */
static inline void glend_say(struct glend *d, json_t *object, const int *fds,
			     unsigned n_fds)
{
	char *text = json_dumps(object, JSON_COMPACT);
	size_t len = strlen(text);

	text[len] = '\n';
	glend_write(d, text, len + 1, fds, n_fds);
	free(text);
	json_decref(object);
}

/* Answers the last request with result (taken). */
static inline void glend_answer(struct glend *d, json_t *result, const int *fds,
				unsigned n_fds)
{
	glend_say(d,
		  json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id",
			    json_object_get(d->request, "id"), "result",
			    result),
		  fds, n_fds);
}

static inline void glend_refuse(struct glend *d, int code, const char *message)
{
	glend_say(d,
		  json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id",
			    json_object_get(d->request, "id"), "error", "code",
			    code, "message", message),
		  NULL, 0);
}

#endif
