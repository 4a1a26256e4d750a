// SPDX-License-Identifier: BSD-2-Clause
// io.c - what a device cannot do: read, write, seek, and be a socket.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "netmap/preload/real.h"

/*
 * /dev/netmap has no read() and no write(): Linux answers EINVAL, ESPIPE to
 * what would move a position, and ENOTSOCK to what is for sockets. What is
 * behind a descriptor here is a socket, whose bytes are between the library and
 * glend, so calls that would move bytes or change it end here.
 *
 * The C library's own streams do not come by: what a FILE reads from an H is
 * taken from those bytes.
 */

/* Fortified programs call these. */
EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
EXPORT ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t size);
EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at,
			     size_t size);
EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size,
			      int flags, struct sockaddr *from, socklen_t *len);

static __attribute__((noinline)) bool is_ours(int fd)
{
	struct device *d = fd_device(fd);

	return d && fd_is_device(fd, d);
}

/* A function that a device refuses with an error; a semicolon follows. */
#define REFUSES(type, name, error, params, args) \
	HALVES(type, name, name, params, args)   \
	{                                        \
		if (!is_ours(fd))                \
			return REAL(name) args;  \
		errno = error;                   \
		return -1;                       \
	}                                        \
	EXPORT type name params

REFUSES(ssize_t, read, EINVAL, (int fd, void *buf, size_t n), (fd, buf, n));
REFUSES(ssize_t, __read_chk, EINVAL, (int fd, void *buf, size_t n, size_t size),
	(fd, buf, n, size));
REFUSES(ssize_t, pread, EINVAL, (int fd, void *buf, size_t n, off_t at),
	(fd, buf, n, at));
REFUSES(ssize_t, pread64, EINVAL, (int fd, void *buf, size_t n, off64_t at),
	(fd, buf, n, at));
REFUSES(ssize_t, __pread_chk, EINVAL,
	(int fd, void *buf, size_t n, off_t at, size_t size),
	(fd, buf, n, at, size));
REFUSES(ssize_t, __pread64_chk, EINVAL,
	(int fd, void *buf, size_t n, off64_t at, size_t size),
	(fd, buf, n, at, size));
REFUSES(ssize_t, readv, EINVAL, (int fd, const struct iovec *v, int n),
	(fd, v, n));
REFUSES(ssize_t, preadv, EINVAL,
	(int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at));
REFUSES(ssize_t, preadv64, EINVAL,
	(int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at));
REFUSES(ssize_t, preadv2, EINVAL,
	(int fd, const struct iovec *v, int n, off_t at, int flags),
	(fd, v, n, at, flags));
REFUSES(ssize_t, preadv64v2, EINVAL,
	(int fd, const struct iovec *v, int n, off64_t at, int flags),
	(fd, v, n, at, flags));
REFUSES(ssize_t, write, EINVAL, (int fd, const void *buf, size_t n),
	(fd, buf, n));
REFUSES(ssize_t, pwrite, EINVAL, (int fd, const void *buf, size_t n, off_t at),
	(fd, buf, n, at));
REFUSES(ssize_t, pwrite64, EINVAL,
	(int fd, const void *buf, size_t n, off64_t at), (fd, buf, n, at));
REFUSES(ssize_t, writev, EINVAL, (int fd, const struct iovec *v, int n),
	(fd, v, n));
REFUSES(ssize_t, pwritev, EINVAL,
	(int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at));
REFUSES(ssize_t, pwritev64, EINVAL,
	(int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at));
REFUSES(ssize_t, pwritev2, EINVAL,
	(int fd, const struct iovec *v, int n, off_t at, int flags),
	(fd, v, n, at, flags));
REFUSES(ssize_t, pwritev64v2, EINVAL,
	(int fd, const struct iovec *v, int n, off64_t at, int flags),
	(fd, v, n, at, flags));
REFUSES(off_t, lseek, ESPIPE, (int fd, off_t at, int whence), (fd, at, whence));
REFUSES(off64_t, lseek64, ESPIPE, (int fd, off64_t at, int whence),
	(fd, at, whence));

/* What is for sockets only. */
REFUSES(ssize_t, send, ENOTSOCK, (int fd, const void *buf, size_t n, int flags),
	(fd, buf, n, flags));
REFUSES(ssize_t, sendto, ENOTSOCK,
	(int fd, const void *buf, size_t n, int flags,
	 const struct sockaddr *to, socklen_t len),
	(fd, buf, n, flags, to, len));
REFUSES(ssize_t, sendmsg, ENOTSOCK,
	(int fd, const struct msghdr *msg, int flags), (fd, msg, flags));
REFUSES(int, sendmmsg, ENOTSOCK,
	(int fd, struct mmsghdr *msgs, unsigned n, int flags),
	(fd, msgs, n, flags));
REFUSES(ssize_t, recv, ENOTSOCK, (int fd, void *buf, size_t n, int flags),
	(fd, buf, n, flags));
REFUSES(ssize_t, __recv_chk, ENOTSOCK,
	(int fd, void *buf, size_t n, size_t size, int flags),
	(fd, buf, n, size, flags));
REFUSES(ssize_t, recvfrom, ENOTSOCK,
	(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
	 socklen_t *len),
	(fd, buf, n, flags, from, len));
REFUSES(ssize_t, __recvfrom_chk, ENOTSOCK,
	(int fd, void *buf, size_t n, size_t size, int flags,
	 struct sockaddr *from, socklen_t *len),
	(fd, buf, n, size, flags, from, len));
REFUSES(int, shutdown, ENOTSOCK, (int fd, int how), (fd, how));
REFUSES(int, getsockname, ENOTSOCK,
	(int fd, struct sockaddr *name, socklen_t *len), (fd, name, len));
REFUSES(int, getpeername, ENOTSOCK,
	(int fd, struct sockaddr *name, socklen_t *len), (fd, name, len));
REFUSES(int, getsockopt, ENOTSOCK,
	(int fd, int level, int name, void *value, socklen_t *len),
	(fd, level, name, value, len));
REFUSES(int, setsockopt, ENOTSOCK,
	(int fd, int level, int name, const void *value, socklen_t len),
	(fd, level, name, value, len));

/* Between two descriptors: either may be ours. */
#define BETWEEN(name, params, args)                 \
	HALVES(ssize_t, name, name, params, args)   \
	{                                           \
		if (!is_ours(from) && !is_ours(to)) \
			return REAL(name) args;     \
		errno = EINVAL;                     \
		return -1;                          \
	}                                           \
	EXPORT ssize_t name params

BETWEEN(sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n));
BETWEEN(sendfile64, (int to, int from, off64_t *at, size_t n),
	(to, from, at, n));
BETWEEN(splice,
	(int from, off64_t *from_at, int to, off64_t *to_at, size_t n,
	 unsigned flags),
	(from, from_at, to, to_at, n, flags));
BETWEEN(copy_file_range,
	(int from, off64_t *from_at, int to, off64_t *to_at, size_t n,
	 unsigned flags),
	(from, from_at, to, to_at, n, flags));
