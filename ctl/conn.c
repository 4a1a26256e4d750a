// SPDX-License-Identifier: BSD-2-Clause
// conn.c - one connection of the control socket.
#include "ctl/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discard.h"

enum { IN_SIZE_MIN = 4096, IN_SIZE_KEEP = 65536, OUT_LINES = 16 };

static void on_conn(void *arg, uint32_t events);

void conn_create(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	if (!c)
		goto err_close;
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	c->server = s;
	c->fd = fd;
	c->pid = peer.pid;
	c->uid = peer.uid;
	c->out_end = &c->out;
	c->moved_s = server_now_s();
	c->source = (struct loop_source){ fd, on_conn, c };
	c->events = EPOLLIN;
	if (loop_add(s->loop, &c->source, c->events))
		goto err_free;
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->n_conns++;
	return;

err_free:
	free(c);
err_close:
	discard_connection(s->bin, fd);
}

void conn_kill(struct conn *c)
{
	if (c->fd < 0)
		return;
	loop_del(c->server->loop, &c->source);
	discard_connection(c->server->bin, c->fd);
	c->fd = -1;
	c->server->any_more = true; /* server_turn() destroys it */
}

static void out_free(struct conn *c, struct conn_out *o)
{
	c->out = o->next;
	if (!c->out)
		c->out_end = &c->out;
	c->out_bytes -= o->len - o->sent;
	c->server->bytes -= o->len;
	for (unsigned i = 0; i < o->n_fds; i++)
		close(o->fds[i]);
	free(o->line);
	free(o);
}

void conn_destroy(struct conn *c)
{
	struct server *s = c->server;

	c->server->ops->gone(s->arg, c);
	conn_kill(c);
	while (c->out)
		out_free(c, c->out);
	conn_drop_fds(c);
	s->bytes -= c->in_size;
	free(c->in);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	s->n_conns--;
	free(c);
}

void conn_drop_fds(struct conn *c)
{
	while (c->n_fds)
		discard_fd(c->server->bin, c->fds[--c->n_fds]);
}

/* What the loop is to wait for, or the end of the connection. */
void conn_update(struct conn *c)
{
	uint32_t events = 0;

	if (c->fd < 0)
		return;
	if (!c->out && !c->busy && !c->more && (c->hang_up || c->eof)) {
		conn_kill(c);
		return;
	}
	if (!c->hang_up && !c->eof && !c->more && !c->server->deaf &&
	    c->out_bytes <= SERVER_OUT_PAUSE && c->in_len < JSONRPC_LINE_MAX)
		events |= EPOLLIN;
	if (c->out)
		events |= EPOLLOUT;
	if (events != c->events &&
	    !loop_set(c->server->loop, &c->source, events))
		c->events = events;
}

/* Output */

/* One sendmsg(); descriptors go with the first byte. */
static ssize_t send_some(int fd, const char *data, size_t len, const int *fds,
			 unsigned n_fds)
{
	union {
		char buf[CMSG_SPACE(SERVER_OUT_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (n_fds) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends from the queue what the socket takes. */
static void flush(struct conn *c)
{
	for (int i = 0; i < OUT_LINES && c->out && c->fd >= 0; i++) {
		struct conn_out *o = c->out;
		ssize_t n = send_some(c->fd, o->line + o->sent,
				      o->len - o->sent, o->fds, o->n_fds);

		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				conn_kill(c);
			return;
		}
		while (o->n_fds)
			close(o->fds[--o->n_fds]);
		o->sent += n;
		c->out_bytes -= n;
		c->moved_s = server_now_s();
		if (o->sent == o->len)
			out_free(c, o);
	}
}

/* Puts the rest of a line at the end of the queue; takes line. */
static void enqueue(struct conn *c, char *line, size_t len, size_t sent,
		    const int *fds, unsigned n_fds)
{
	struct conn_out *o = calloc(1, sizeof(*o));

	if (!o || c->server->bytes + len > SERVER_BYTES_MAX) {
		log_limited(&c->server->limit, LOG_LEVEL_WARNING,
			    "closed the connection of process %d: no memory "
			    "for its answers",
			    (int)c->pid);
		goto err_kill;
	}
	for (unsigned i = 0; i < n_fds; i++) {
		o->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (o->fds[i] < 0) {
			log_limited(&c->server->limit, LOG_LEVEL_WARNING,
				    "closed the connection of process %d: no "
				    "descriptors left",
				    (int)c->pid);
			goto err_kill;
		}
		o->n_fds++;
	}
	if (!c->out)
		c->moved_s = server_now_s();
	o->line = line;
	o->len = len;
	o->sent = sent;
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_bytes += len - sent;
	c->server->bytes += len;
	conn_update(c);
	return;

err_kill:
	while (o && o->n_fds)
		close(o->fds[--o->n_fds]);
	free(o);
	free(line);
	conn_kill(c);
}

/* Takes message. */
static void send_message(struct conn *c, json_t *message, const int *fds,
			 unsigned n_fds)
{
	size_t len = 0;
	ssize_t sent = 0;
	char *line = jsonrpc_line(message, &len);

	if (!line || c->fd < 0) {
		free(line);
		if (!line)
			conn_kill(c);
		return;
	}
	if (!c->out) {
		sent = send_some(c->fd, line, len, fds, n_fds);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			free(line);
			conn_kill(c);
			return;
		}
		if (sent < 0)
			sent = 0;
		if (sent)
			n_fds = 0;
	}
	if ((size_t)sent < len)
		enqueue(c, line, len, sent, fds, n_fds);
	else
		free(line);
}

void conn_answer(struct conn *c, json_t *id, json_t *result, const int *fds,
		 unsigned n_fds)
{
	send_message(c, jsonrpc_result(id, result), fds, n_fds);
}

void conn_refuse(struct conn *c, json_t *id, int code, const char *text,
		 const char *where)
{
	send_message(c, jsonrpc_error(id, code, text, where), NULL, 0);
}

void conn_notify(struct conn *c, const char *method, json_t *params)
{
	send_message(c, jsonrpc_notification(method, params), NULL, 0);
}

void conn_hang_up(struct conn *c)
{
	c->hang_up = true;
	c->more = false;
	c->busy = false;
	conn_update(c);
}

void conn_resume(struct conn *c)
{
	c->busy = false;
	c->more = true; /* perhaps */
	c->server->any_more = true;
}

/* Input */

static void keep_fds(struct conn *c, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t n;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* Those of an earlier line that nobody took. */
		conn_drop_fds(c);
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (i < SERVER_FDS_MAX)
				c->fds[c->n_fds++] = fd;
			else
				discard_fd(c->server->bin, fd);
		}
	}
}

/* Room for more input; false: there is no memory for it. */
static bool grow(struct conn *c)
{
	size_t size = c->in_size ? 2 * c->in_size : IN_SIZE_MIN;
	char *in;

	if (c->in_len < c->in_size)
		return true;
	if (c->server->bytes + size - c->in_size > SERVER_BYTES_MAX)
		return false;
	in = realloc(c->in, size);
	if (!in)
		return false;
	c->server->bytes += size - c->in_size;
	c->in = in;
	c->in_size = size;
	return true;
}

static void receive(struct conn *c)
{
	union {
		/* All that may come: the kernel would close the rest. */
		char buf[DISCARD_CONTROL];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (server_is_deaf(c->server))
		return;
	if (!grow(c)) {
		log_limited(&c->server->limit, LOG_LEVEL_WARNING,
			    "closed the connection of process %d: no memory "
			    "for its request",
			    (int)c->pid);
		conn_kill(c);
		return;
	}
	iov.iov_base = c->in + c->in_len;
	iov.iov_len = c->in_size - c->in_len;
	n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			conn_kill(c);
		return;
	}
	keep_fds(c, &msg);
	c->moved_s = server_now_s();
	c->in_len += n;
	c->eof = !n;
	c->more = true; /* perhaps; conn_work() looks */
}

static void handle_line(struct conn *c, const char *line, size_t len)
{
	struct jsonrpc_request r;
	struct glen_error error;
	int code = jsonrpc_parse(line, len, &r, &error);

	if (code)
		conn_refuse(c, r.id, code, error.text, NULL);
	else
		c->server->ops->request(c->server->arg, c, &r);
	jsonrpc_fini(&r);
}

/* Forgets the first n bytes of the input. */
static void consume(struct conn *c, size_t n)
{
	c->in_len -= n;
	memmove(c->in, c->in + n, c->in_len);
	if (c->in_len || c->in_size <= IN_SIZE_KEEP)
		return;
	c->server->bytes -= c->in_size;
	free(c->in);
	c->in = NULL;
	c->in_size = 0;
}

void conn_work(struct conn *c)
{
	size_t start = 0;
	char *end = NULL;

	c->more = false;
	for (int i = 0; c->fd >= 0 && !c->hang_up; i++) {
		if (c->in_scanned < c->in_len)
			end = memchr(c->in + c->in_scanned, '\n',
				     c->in_len - c->in_scanned);
		c->in_scanned = end ? (size_t)(end - c->in) : c->in_len;
		if (!end)
			break;
		if (i == SERVER_LINES || c->busy ||
		    c->out_bytes > SERVER_OUT_PAUSE) {
			/* While busy or not read, others call here again. */
			c->more = i == SERVER_LINES;
			break;
		}
		handle_line(c, c->in + start, end - c->in - start);
		start = end - c->in + 1;
		c->in_scanned = start;
		end = NULL;
	}
	if (start) {
		c->in_scanned -= start;
		consume(c, start);
	}
	if (!c->in_len && !c->busy)
		conn_drop_fds(c);
	if (!end && c->in_len >= JSONRPC_LINE_MAX && !c->hang_up) {
		conn_refuse(c, NULL, JSONRPC_NOT_REQUEST,
			    "a request must not be longer than 1 MiB", NULL);
		consume(c, c->in_len);
		c->in_scanned = 0;
		conn_hang_up(c);
	}
	c->server->any_more |= c->more;
	conn_update(c);
}

static void on_conn(void *arg, uint32_t events)
{
	struct conn *c = arg;
	bool paused = c->out_bytes > SERVER_OUT_PAUSE;

	if ((events & EPOLLIN) && c->events & EPOLLIN)
		receive(c);
	else if (events & (EPOLLHUP | EPOLLERR) && !c->more)
		conn_kill(c);
	if (events & EPOLLOUT)
		flush(c);
	if (c->fd >= 0 && (c->more || paused))
		conn_work(c);
	else
		conn_update(c);
}
