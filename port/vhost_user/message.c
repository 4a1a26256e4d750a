// SPDX-License-Identifier: BSD-2-Clause
// message.c - reads whole messages from a socket and sends replies.
#include "port/vhost_user/message.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/discard.h"

_Static_assert(sizeof(struct vhost_wire_config) <= VHOST_PAYLOAD_MAX &&
		       sizeof(struct vhost_wire_table) <= VHOST_PAYLOAD_MAX,
	       "every payload fits");

int64_t vhost_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void vhost_link_init(struct vhost_link *l, int fd, struct discard *bin)
{
	memset(l, 0, sizeof(*l));
	l->fd = fd;
	l->bin = bin;
	l->out_fd = -1;
}

static void fds_close(struct vhost_link *l)
{
	for (unsigned i = 0; i < l->in.n_fds; i++)
		discard_fd(l->bin, l->in.fds[i]);
	l->in.n_fds = 0;
}

void vhost_link_fini(struct vhost_link *l)
{
	fds_close(l);
	discard_connection(l->bin, l->fd);
	l->fd = -1;
	l->out_len = 0;
	l->since_ms = 0;
}

int64_t vhost_link_since(const struct vhost_link *l)
{
	return l->since_ms ? vhost_now_ms() - l->since_ms : 0;
}

static int fail(const char **why, int err, const char *text)
{
	*why = text;
	return err;
}

/* Takes the descriptors that came with some bytes. */
static int fds_take(struct vhost_link *l, struct msghdr *msg, const char **why)
{
	bool many = msg->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (l->in.n_fds < VHOST_FDS_MAX) {
				l->in.fds[l->in.n_fds++] = fd;
			} else {
				discard_fd(l->bin, fd);
				many = true;
			}
		}
	}
	if (many)
		return fail(why, -EPROTO,
			    "a message came with more descriptors than any "
			    "may have, or than this process may open");
	return 0;
}

/* The other side has hung up. */
static int closed(const struct vhost_link *l, const char **why)
{
	if (l->in_len)
		return fail(why, -ECONNRESET,
			    "the connection ended within a message");
	return fail(why, -ENOTCONN, "the front end closed the connection");
}

/* Reads up to len bytes. Returns how many came, or -errno; -EAGAIN: none. */
static ssize_t receive(struct vhost_link *l, void *to, size_t len,
		       const char **why)
{
	union {
		struct cmsghdr align;
		/* All that may come: the kernel would close the rest in our
		 * name. */
		char room[DISCARD_CONTROL];
	} control;
	struct iovec iov = { to, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(l->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n < 0 && errno != ECONNRESET)
		return fail(why, -errno, "reading from the socket failed");
	if (n < 0)
		return closed(l, why);
	err = fds_take(l, &msg, why);
	if (err)
		return err;
	return n ? n : closed(l, why);
}

/* The header is complete. */
static int header_check(struct vhost_link *l, const char **why)
{
	memcpy(&l->in.request, l->header, 4);
	memcpy(&l->in.flags, l->header + 4, 4);
	memcpy(&l->in.size, l->header + 8, 4);
	if ((l->in.flags & VHOST_VERSION_MASK) != VHOST_VERSION)
		return fail(why, -EPROTO,
			    "a message is not of version 1 of the protocol");
	if (l->in.flags & VHOST_REPLY)
		return fail(why, -EPROTO,
			    "a reply came that nothing was asked for");
	if (l->in.size > sizeof(l->in.bytes))
		return fail(why, -EPROTO,
			    "a message is longer than any may be");
	return 0;
}

int vhost_link_read(struct vhost_link *l, const char **why)
{
	if (l->out_len)
		return 0;
	for (;;) {
		uint32_t have = l->in_len;
		uint32_t whole = VHOST_HEADER_SIZE;
		uint8_t *to;
		ssize_t n;

		if (have >= VHOST_HEADER_SIZE) {
			whole += l->in.size;
			to = l->in.bytes + (have - VHOST_HEADER_SIZE);
		} else {
			to = l->header + have;
		}
		if (have == whole) {
			l->since_ms = 0;
			return 1;
		}
		n = receive(l, to, whole - have, why);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return n;
		if (!have)
			l->since_ms = vhost_now_ms();
		l->in_len += n;
		if (l->in_len == VHOST_HEADER_SIZE && whole == l->in_len) {
			int err = header_check(l, why);

			if (err)
				return err;
		}
	}
}

void vhost_link_next(struct vhost_link *l)
{
	fds_close(l);
	l->in_len = 0;
}

int vhost_link_flush(struct vhost_link *l, const char **why)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;

	while (l->out_len) {
		struct iovec iov = { l->out + l->out_sent,
				     l->out_len - l->out_sent };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (l->out_fd >= 0) {
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
			memset(&control, 0, sizeof(control));
			control.align.cmsg_len = CMSG_LEN(sizeof(int));
			control.align.cmsg_level = SOL_SOCKET;
			control.align.cmsg_type = SCM_RIGHTS;
			memcpy(CMSG_DATA(&control.align), &l->out_fd,
			       sizeof(int));
		}
		n = sendmsg(l->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return fail(why, -ENOTCONN,
				    "the front end closed the connection");
		if (n < 0)
			return fail(why, -errno,
				    "writing to the socket failed");
		l->out_fd = -1;
		l->out_sent += n;
		if (l->out_sent == l->out_len)
			l->out_len = 0;
	}
	l->since_ms = 0;
	return 0;
}

int vhost_link_reply(struct vhost_link *l, int fd, const char **why)
{
	uint32_t flags = VHOST_VERSION | VHOST_REPLY;

	memcpy(l->out, &l->in.request, 4);
	memcpy(l->out + 4, &flags, 4);
	memcpy(l->out + 8, &l->in.size, 4);
	memcpy(l->out + VHOST_HEADER_SIZE, l->in.bytes, l->in.size);
	l->out_len = VHOST_HEADER_SIZE + l->in.size;
	l->out_sent = 0;
	l->out_fd = fd;
	l->since_ms = vhost_now_ms();
	return vhost_link_flush(l, why);
}

const char *vhost_request_name(uint32_t request)
{
	static const char *const names[VHOST_REQUESTS] = {
		[VHOST_GET_FEATURES] = "GET_FEATURES",
		[VHOST_SET_FEATURES] = "SET_FEATURES",
		[VHOST_SET_OWNER] = "SET_OWNER",
		[VHOST_RESET_OWNER] = "RESET_OWNER",
		[VHOST_SET_MEM_TABLE] = "SET_MEM_TABLE",
		[VHOST_SET_LOG_BASE] = "SET_LOG_BASE",
		[VHOST_SET_LOG_FD] = "SET_LOG_FD",
		[VHOST_SET_VRING_NUM] = "SET_VRING_NUM",
		[VHOST_SET_VRING_ADDR] = "SET_VRING_ADDR",
		[VHOST_SET_VRING_BASE] = "SET_VRING_BASE",
		[VHOST_GET_VRING_BASE] = "GET_VRING_BASE",
		[VHOST_SET_VRING_KICK] = "SET_VRING_KICK",
		[VHOST_SET_VRING_CALL] = "SET_VRING_CALL",
		[VHOST_SET_VRING_ERR] = "SET_VRING_ERR",
		[VHOST_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
		[VHOST_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
		[VHOST_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
		[VHOST_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
		[VHOST_SEND_RARP] = "SEND_RARP",
		[VHOST_NET_SET_MTU] = "NET_SET_MTU",
		[VHOST_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
		[VHOST_GET_CONFIG] = "GET_CONFIG",
		[VHOST_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
		[VHOST_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
		[VHOST_RESET_DEVICE] = "RESET_DEVICE",
		[VHOST_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
		[VHOST_ADD_MEM_REG] = "ADD_MEM_REG",
		[VHOST_REM_MEM_REG] = "REM_MEM_REG",
		[VHOST_SET_STATUS] = "SET_STATUS",
		[VHOST_GET_STATUS] = "GET_STATUS",
	};

	return request < VHOST_REQUESTS ? names[request] : NULL;
}
