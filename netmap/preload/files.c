// SPDX-License-Identifier: BSD-2-Clause
// files.c - descriptors of /dev/netmap come, are copied and go.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/real.h"

/* Fortified programs call these; no header declares them here. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __openat_2(int dir, const char *path, int flags);
EXPORT int __openat64_2(int dir, const char *path, int flags);

static bool is_netmap(const char *path)
{
	return path && !strcmp(path, "/dev/netmap");
}

static int open_device(int flags)
{
	int fd, err = device_open(flags, &fd);

	if (!err)
		return fd;
	errno = -err;
	return -1;
}

/* A number that the kernel gave to something else: forget what it was. */
static int fresh(int fd)
{
	struct lock_state state;
	int saved = errno;

	if (unlikely(fd_obj(fd) != NULL) && !in_vfork_child()) {
		tables_lock(&state);
		fd_enter(fd, NULL);
		tables_unlock(&state);
		errno = saved;
	}
	return fd;
}

static inline mode_t mode_of(int flags, va_list args)
{
	/* O_TMPFILE has O_DIRECTORY's bit, too. */
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		return va_arg(args, mode_t);
	return 0;
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (is_netmap(path))
		return open_device(flags);
	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return fresh(REAL(open)(path, flags, mode));
}

EXPORT int open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (is_netmap(path))
		return open_device(flags);
	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return fresh(REAL(open64)(path, flags, mode));
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (is_netmap(path))
		return open_device(flags);
	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return fresh(REAL(openat)(dir, path, flags, mode));
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (is_netmap(path))
		return open_device(flags);
	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return fresh(REAL(openat64)(dir, path, flags, mode));
}

EXPORT int __open_2(const char *path, int flags)
{
	return is_netmap(path) ? open_device(flags) :
				 fresh(REAL(__open_2)(path, flags));
}

EXPORT int __open64_2(const char *path, int flags)
{
	return is_netmap(path) ? open_device(flags) :
				 fresh(REAL(__open64_2)(path, flags));
}

EXPORT int __openat_2(int dir, const char *path, int flags)
{
	return is_netmap(path) ? open_device(flags) :
				 fresh(REAL(__openat_2)(dir, path, flags));
}

EXPORT int __openat64_2(int dir, const char *path, int flags)
{
	return is_netmap(path) ? open_device(flags) :
				 fresh(REAL(__openat64_2)(dir, path, flags));
}

EXPORT int close(int fd)
{
	struct obj *o = fd_obj(fd);
	struct lock_state state;

	/* First out of the table: the number may be used again at once. */
	if (unlikely(o != NULL) && !in_vfork_child()) {
		tables_lock(&state);
		epoll_closed(fd);
		fd_enter(fd, NULL);
		tables_unlock(&state);
	}
	return REAL(close)(fd);
}

/* All numbers from first to last stand for nothing any more. */
static void forget_range(unsigned first, unsigned last)
{
	struct lock_state state;
	unsigned end = fd_highest() + 1;

	if (end > FD_MAX)
		end = FD_MAX;
	if (last < end)
		end = last + 1;
	if (first >= end || in_vfork_child())
		return;
	tables_lock(&state);
	for (unsigned fd = first; fd < end; fd++) {
		if (fd_table[fd])
			epoll_closed((int)fd);
		fd_enter((int)fd, NULL);
	}
	tables_unlock(&state);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	int err = REAL(close_range)(first, last, flags);
	int saved = errno;

	if (!err && !(flags & CLOSE_RANGE_CLOEXEC))
		forget_range(first, last);
	errno = saved;
	return err;
}

EXPORT void closefrom(int first)
{
	REAL(closefrom)(first);
	forget_range(first < 0 ? 0 : (unsigned)first, UINT32_MAX);
}

/* A copy of one number at another, which may have stood for something. */
static int copied(int from, int to)
{
	struct lock_state state;
	int saved = errno;

	if (to < 0 || from == to || likely(!fd_obj(from) && !fd_obj(to)) ||
	    in_vfork_child())
		return to;
	tables_lock(&state);
	if (fd_table[to])
		epoll_closed(to);
	fd_enter(to, fd_obj(from));
	tables_unlock(&state);
	errno = saved;
	return to;
}

EXPORT int dup(int fd)
{
	return copied(fd, REAL(dup)(fd));
}

EXPORT int dup2(int fd, int to)
{
	return copied(fd, REAL(dup2)(fd, to));
}

EXPORT int dup3(int fd, int to, int flags)
{
	return copied(fd, REAL(dup3)(fd, to, flags));
}

static inline int after_fcntl(int fd, int command, int result)
{
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(fd, result);
	return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return after_fcntl(fd, command, REAL(fcntl)(fd, command, arg));
}

EXPORT int fcntl64(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	return after_fcntl(fd, command, REAL(fcntl64)(fd, command, arg));
}

/* Descriptors that came with a message may be netmap's. */
static void look_at_message(struct msghdr *msg)
{
	if (in_control_call)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		    c->cmsg_len < CMSG_LEN(0))
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			fresh(fd);
			device_adopt(fd);
		}
	}
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = REAL(recvmsg)(fd, msg, flags);

	if (n >= 0 && unlikely(msg->msg_controllen > 0))
		look_at_message(msg);
	return n;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
		    struct timespec *timeout)
{
	int got = REAL(recvmmsg)(fd, msgs, n, flags, timeout);

	for (int i = 0; i < got; i++)
		if (unlikely(msgs[i].msg_hdr.msg_controllen > 0))
			look_at_message(&msgs[i].msg_hdr);
	return got;
}
