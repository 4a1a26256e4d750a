// SPDX-License-Identifier: BSD-2-Clause
// files.c - descriptors of /dev/netmap come, are copied and go.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
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

static int open_device(int flags)
{
	int fd, err = 0;

	/* The device is there, and no folder. */
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		err = -EEXIST;
	else if (flags & O_DIRECTORY)
		err = -ENOTDIR;
	err = err ?: device_open(flags, &fd);
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

/*
 * The C library has these with "..." for an argument that not all calls have.
 * Here it has a name, which is the same to callers: where arguments are passed
 * in registers, and x86-64 and arm64 do, it is in the next one. So it need not
 * be looked for, and a call of ours is a jump.
 */
EXPORT int open_named(const char *path, int flags, mode_t mode) __asm__("open");
EXPORT int open64_named(const char *path, int flags,
			mode_t mode) __asm__("open64");
EXPORT int openat_named(int dir, const char *path, int flags,
			mode_t mode) __asm__("openat");
EXPORT int openat64_named(int dir, const char *path, int flags,
			  mode_t mode) __asm__("openat64");
EXPORT int fcntl_named(int fd, int command, void *arg) __asm__("fcntl");
EXPORT int fcntl64_named(int fd, int command, void *arg) __asm__("fcntl64");

/* open() and its kind. */
#define OPENS(name, exported, params, args)                        \
	static __attribute__((noinline)) int name##_looks params   \
	{                                                          \
		if (is_netmap(path))                               \
			return open_device(flags);                 \
		return fresh(REAL(name) args);                     \
	}                                                          \
	EXPORT int exported params                                 \
	{                                                          \
		__typeof__(&name) quick = QUICK(name);             \
                                                                   \
		return likely(quick != NULL) && !is_netmap(path) ? \
			       quick args :                        \
			       name##_looks args;                  \
	}

OPENS(open, open_named, (const char *path, int flags, mode_t mode),
      (path, flags, mode))
OPENS(open64, open64_named, (const char *path, int flags, mode_t mode),
      (path, flags, mode))
OPENS(openat, openat_named, (int dir, const char *path, int flags, mode_t mode),
      (dir, path, flags, mode))
OPENS(openat64, openat64_named,
      (int dir, const char *path, int flags, mode_t mode),
      (dir, path, flags, mode))
OPENS(__open_2, __open_2, (const char *path, int flags), (path, flags))
OPENS(__open64_2, __open64_2, (const char *path, int flags), (path, flags))
OPENS(__openat_2, __openat_2, (int dir, const char *path, int flags),
      (dir, path, flags))
OPENS(__openat64_2, __openat64_2, (int dir, const char *path, int flags),
      (dir, path, flags))

EXPORT int creat(const char *path, mode_t mode)
{
	return is_netmap(path) ? open_device(O_CREAT) :
				 fresh(REAL(creat)(path, mode));
}

EXPORT int creat64(const char *path, mode_t mode)
{
	return is_netmap(path) ? open_device(O_CREAT) :
				 fresh(REAL(creat64)(path, mode));
}

void fd_forget(int fd)
{
	struct lock_state state;

	if (!fd_obj(fd) || in_vfork_child())
		return;
	tables_lock(&state);
	epoll_closed(fd);
	fd_enter(fd, NULL);
	tables_unlock(&state);
}

HALVES(int, close, close, (int fd), (fd))
{
	/* First out of the table: the number may be used again at once. */
	fd_forget(fd);
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

HALVES(int, dup, dup, (int fd), (fd))
{
	return copied(fd, REAL(dup)(fd));
}

HALVES(int, dup2, dup2, (int fd, int to), (fd, to))
{
	return copied(fd, REAL(dup2)(fd, to));
}

HALVES(int, dup3, dup3, (int fd, int to, int flags), (fd, to, flags))
{
	return copied(fd, REAL(dup3)(fd, to, flags));
}

static int after_fcntl(int fd, int command, int result)
{
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return copied(fd, result);
	return result;
}

HALVES(int, fcntl, fcntl_named, (int fd, int command, void *arg),
       (fd, command, arg))
{
	return after_fcntl(fd, command, REAL(fcntl)(fd, command, arg));
}

HALVES(int, fcntl64, fcntl64_named, (int fd, int command, void *arg),
       (fd, command, arg))
{
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

static __attribute__((noinline)) ssize_t recvmsg_looks(int fd,
						       struct msghdr *msg,
						       int flags)
{
	struct device *d = fd_device(fd);
	ssize_t n;

	if (d && fd_is_device(fd, d)) {
		errno = ENOTSOCK;
		return -1;
	}
	n = REAL(recvmsg)(fd, msg, flags);
	if (n >= 0 && msg->msg_controllen > 0)
		look_at_message(msg);
	return n;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	__typeof__(&recvmsg) quick = QUICK(recvmsg);

	/* Without room for descriptors none come. */
	if (likely(quick != NULL) && (!msg || !msg->msg_controllen))
		return quick(fd, msg, flags);
	return recvmsg_looks(fd, msg, flags);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags,
		    struct timespec *timeout)
{
	struct device *d = fd_device(fd);
	int got;

	if (unlikely(d && fd_is_device(fd, d))) {
		errno = ENOTSOCK;
		return -1;
	}
	got = REAL(recvmmsg)(fd, msgs, n, flags, timeout);
	for (int i = 0; i < got; i++)
		if (unlikely(msgs[i].msg_hdr.msg_controllen > 0))
			look_at_message(&msgs[i].msg_hdr);
	return got;
}
