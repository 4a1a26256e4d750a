/* SPDX-License-Identifier: BSD-2-Clause */
/* linger.h - descriptors that cannot be closed, and how to send them. */
#ifndef TESTS_UNIT_LINGER_H
#define TESTS_UNIT_LINGER_H
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discard.h"

enum { LINGER_BYTES = 1 << 16 };

static char linger_bytes[LINGER_BYTES];

static inline bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A socket whose close() waits until the other end, *end, has read all of it:
 * it lingers, and there is more to send than fits. */
static inline int lingering(int *end)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct linger linger = { 1, 3600 };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (void *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&sin, &len), 0);
	assert_int_equal(connect(fd, (void *)&sin, len), 0);
	*end = accept(listener, NULL, NULL);
	assert_true(*end >= 0);
	close(listener);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
				    sizeof(linger)),
			 0);
	while (send(fd, linger_bytes, LINGER_BYTES, MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* Reads to the end, which comes when the other side has been closed. */
static inline void read_all(int end)
{
	while (read(end, linger_bytes, LINGER_BYTES) > 0)
		;
	close(end);
}

/* Descriptors of this process. */
static inline int count_open(void)
{
	DIR *all = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(all);
	while (readdir(all))
		n++;
	closedir(all);
	return n;
}

/* sendmsg() with n times the descriptor. Returns 0 or -errno. */
static inline int try_send_file(int to, const void *data, size_t len, int fd,
				unsigned n)
{
	union {
		struct cmsghdr align;
		char room[DISCARD_CONTROL];
	} control = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(fd), &fd, sizeof(fd));
	return sendmsg(to, &msg, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -errno;
}

static inline void send_file(int to, const void *data, size_t len, int fd,
			     unsigned n)
{
	assert_int_equal(try_send_file(to, data, len, fd, n), 0);
}

/* Undoes socket_refuse_files(), as on kernels where it does nothing. Returns
 * false on one of those. */
static inline bool allow_files(int fd)
{
	enum { PASSRIGHTS = 83 };
	int on = 1;

	return !setsockopt(fd, SOL_SOCKET, PASSRIGHTS, &on, sizeof(on));
}

#endif
