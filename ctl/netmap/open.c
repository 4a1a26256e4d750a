// SPDX-License-Identifier: BSD-2-Clause
// open.c - the descriptors that stand for open("/dev/netmap").
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/discard.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"

/* A connected pair; the client's end gets a name by which any process knows
 * what it is. */
static int make_pair(struct nm *nm, int fds[2], struct glen_error *error)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int len, err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds))
		return error_set(error, -errno, "socketpair: %s",
				 error_reason(errno));
	len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1,
		       "glen-netmap/%016" PRIx64 "/%" PRIu64, nm->nonce,
		       ++nm->n_made);
	if (!bind(fds[0], (void *)&addr,
		  offsetof(struct sockaddr_un, sun_path) + 1 + len))
		return 0;
	err = -errno;
	close(fds[0]);
	close(fds[1]);
	return error_set(error, err, "cannot name a socket: %s",
			 strerror(-err));
}

/* What comes with bytes that nobody waits for; false: P is at its end. */
static bool eat(struct nm_open *o)
{
	union {
		char buf[DISCARD_CONTROL];
		struct cmsghdr align;
	} control;
	char bytes[512];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (discard_is_full(o->nm->bin))
		return true;
	n = recvmsg(o->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n > 0)
		discard_message_fds(o->nm->bin, &msg);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void on_p(void *arg, uint32_t events)
{
	struct nm_open *o = arg;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ||
	    (events & EPOLLIN && !eat(o)))
		nm_open_close(o);
	else if (o->port && o->port->kind == NM_PIPE)
		nm_pipe_relay(o);
}

int nm_open_make(struct nm *nm, struct nm_call *call, struct glen_error *error)
{
	struct nm_open *o;
	struct stat st;
	int fds[2], err;

	if (nm->n_opens == NM_OPENS_MAX)
		return error_set(error, -EMFILE,
				 "/dev/netmap is open %d times already",
				 NM_OPENS_MAX);
	o = calloc(1, sizeof(*o));
	call->result = json_object();
	if (!o || !call->result) {
		free(o);
		return error_set(error, -ENOMEM, "out of memory");
	}
	err = make_pair(nm, fds, error);
	if (err)
		goto err_free;
	o->nm = nm;
	o->fd = fds[1];
	fstat(fds[0], &st);
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	o->source = (struct loop_source){ o->fd, on_p, o };
	err = loop_add(&nm->loop, &o->source, EPOLLIN | EPOLLRDHUP);
	if (err) {
		error_set(error, err, "epoll: %s", strerror(-err));
		goto err_close;
	}
	o->next = nm->opens;
	o->at = &nm->opens;
	if (o->next)
		o->next->at = &o->next;
	nm->opens = o;
	nm->n_opens++;
	call->out[0] = fds[0];
	call->n_out = 1;
	call->close_out = true;
	return 0;
err_close:
	close(fds[0]);
	close(fds[1]);
err_free:
	free(o);
	return err;
}

int nm_open_of(struct nm *nm, struct nm_call *call, struct nm_open **open,
	       struct glen_error *error)
{
	int domain = 0;
	socklen_t len = sizeof(domain);
	struct stat st;

	/* Only of a socket: to look at a file may take for ever. */
	if (call->n_fds == 1 &&
	    !getsockopt(call->fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	    domain == AF_UNIX && !fstat(call->fds[0], &st))
		for (struct nm_open *o = nm->opens; o; o = o->next)
			if (o->ino == st.st_ino && o->dev == st.st_dev) {
				/* At once: it would keep the open alive. What
				 * waits in it is from us. */
				close(call->fds[0]);
				call->n_fds = 0;
				*open = o;
				return 0;
			}
	return error_set(error, -EBADF,
			 "the descriptor of an open /dev/netmap must come with "
			 "%s, alone",
			 call->method);
}

void nm_open_reset(struct nm_open *o)
{
	if (o->port)
		nm_port_unbind(o);
	nm_external_drop(o);
}

void nm_open_close(struct nm_open *o)
{
	struct nm *nm = o->nm;

	loop_del(&nm->loop, &o->source);
	nm_open_reset(o);
	discard_connection(nm->bin, o->fd);
	*o->at = o->next;
	if (o->next)
		o->next->at = o->at;
	nm->n_opens--;
	nm->n_closed++;
	free(o);
}
