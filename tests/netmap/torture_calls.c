// SPDX-License-Identifier: BSD-2-Clause
// torture_calls.c - calls that are not for devices, made on one.
#include "nmt.h"

#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* A frame goes from a to b, which sleeps for it. */
static void works(const struct nm *a, const struct nm *b)
{
	static uint32_t number;

	number++;
	put_frame(txr(a, 0), 255, 1, 60, number);
	txsync(a);
	EQ(poll1(b->fd, POLLIN, WAIT_MS), POLLIN);
	EQ(frame_number(peek(rxr(b, 0), NULL)), number);
	drop(rxr(b, 0), 1);
	rxsync(b);
}

/* Bytes that lie in the descriptor would wake nobody if they were taken. */
static void takes_no_bytes(int fd)
{
	char bytes[4] = "abc";
	struct iovec v = { bytes, sizeof(bytes) };

	FAILS(EINVAL, read(fd, bytes, sizeof(bytes)));
	FAILS(EINVAL, read(fd, bytes, 0));
	FAILS(EINVAL, pread(fd, bytes, sizeof(bytes), 0));
	FAILS(EINVAL, readv(fd, &v, 1));
	FAILS(EINVAL, preadv(fd, &v, 1, 0));
	FAILS(EINVAL, preadv2(fd, &v, 1, -1, 0));
	FAILS(EINVAL, write(fd, bytes, sizeof(bytes)));
	FAILS(EINVAL, pwrite(fd, bytes, sizeof(bytes), 0));
	FAILS(EINVAL, writev(fd, &v, 1));
	FAILS(EINVAL, pwritev(fd, &v, 1, 0));
	FAILS(EINVAL, pwritev2(fd, &v, 1, -1, 0));
	FAILS(ESPIPE, lseek(fd, 0, SEEK_CUR));
	FAILS(ESPIPE, lseek(fd, 0, SEEK_END));
}

POINT(device_takes_no_bytes)
{
	struct nm a, b;
	int fd = dev();

	takes_no_bytes(fd);
	WORKS(close(fd));
	pair(&a, &b);
	works(&a, &b);
	takes_no_bytes(b.fd);
	works(&a, &b);
}

POINT(device_moves_no_bytes)
{
	struct nm a = up("vale%:a");
	int zero = WORKS(open("/dev/zero", O_RDWR)), fds[2];

	WORKS(pipe(fds));
	EQ(write(fds[1], "abc", 3), 3);
	FAILS(EINVAL, sendfile(fds[1], a.fd, NULL, 3));
	FAILS(EINVAL, sendfile(a.fd, zero, NULL, 3));
	FAILS(EINVAL, splice(fds[0], NULL, a.fd, NULL, 3, 0));
	FAILS(EINVAL, splice(a.fd, NULL, fds[1], NULL, 3, 0));
	FAILS(EINVAL, copy_file_range(zero, NULL, a.fd, NULL, 3, 0));
}

POINT(device_is_no_socket)
{
	char bytes[4] = "abc";
	struct iovec v = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };
	struct mmsghdr msgs = { .msg_hdr = msg };
	struct sockaddr name;
	socklen_t len = sizeof(name);
	int fd, value = 1;
	struct nm a, b;

	pair(&a, &b);
	fd = b.fd;
	FAILS(ENOTSOCK, send(fd, bytes, 3, 0));
	FAILS(ENOTSOCK, sendto(fd, bytes, 3, 0, NULL, 0));
	FAILS(ENOTSOCK, sendmsg(fd, &msg, 0));
	FAILS(ENOTSOCK, sendmmsg(fd, &msgs, 1, 0));
	FAILS(ENOTSOCK, recv(fd, bytes, 3, 0));
	FAILS(ENOTSOCK, recvfrom(fd, bytes, 3, 0, NULL, NULL));
	FAILS(ENOTSOCK, recvmsg(fd, &msg, 0));
	FAILS(ENOTSOCK, recvmmsg(fd, &msgs, 1, 0, NULL));
	FAILS(ENOTSOCK, getsockname(fd, &name, &len));
	FAILS(ENOTSOCK, getpeername(fd, &name, &len));
	FAILS(ENOTSOCK, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, 4));
	len = sizeof(value);
	FAILS(ENOTSOCK, getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
	FAILS(ENOTSOCK, shutdown(fd, SHUT_RDWR));
	works(&a, &b);
}

POINT(device_is_a_character_device)
{
	struct nm a = up("vale%:a");
	struct stat by_name, st;
	struct statx stx;

	WORKS(stat(DEV, &by_name));
	CHECK(S_ISCHR(by_name.st_mode));
	WORKS(fstat(a.fd, &st));
	EQ(st.st_mode, by_name.st_mode);
	EQ(st.st_rdev, by_name.st_rdev);
	EQ(st.st_ino, by_name.st_ino);
	WORKS(fstatat(a.fd, "", &st, AT_EMPTY_PATH));
	EQ(st.st_rdev, by_name.st_rdev);
	WORKS(statx(a.fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode));
	/* The number is not what it was. */
	WORKS(dup2(0, a.fd));
	WORKS(fstat(0, &by_name));
	WORKS(fstat(a.fd, &st));
	EQ(st.st_ino, by_name.st_ino);
}

POINT(device_and_general_ioctls)
{
	struct nm a, b;
	int on = 1, n;

	pair(&a, &b);
	EQ(ioctl(b.fd, FIONBIO, &on), 0);
	CHECK(fcntl(b.fd, F_GETFL) & O_NONBLOCK);
	FAILS(EOPNOTSUPP, ioctl(b.fd, FIONREAD, &n));
	EQ(ioctl(b.fd, FIOCLEX), 0);
	EQ(fcntl(b.fd, F_GETFD), FD_CLOEXEC);
	works(&a, &b);
}

POINT(device_by_creat)
{
	struct nm a = { .fd = WORKS(creat(DEV, 0600)) };

	WORKS(bind_mode(&a, "vale%:a", NR_REG_ALL_NIC, 0));
	FAILS(EEXIST, open(DEV, O_RDWR | O_CREAT | O_EXCL, 0600));
	FAILS(ENOTDIR, open(DEV, O_RDWR | O_DIRECTORY));
}

/* A port of what is behind a stream. */
static struct nm of_stream(FILE *f, const char *name)
{
	struct nm p = { .fd = WORKS(fileno(f)) };

	WORKS(bind_mode(&p, name, NR_REG_ALL_NIC, 0));
	map_port(&p);
	return p;
}

POINT(device_as_a_stream)
{
	struct nm a, b = up("vale%:b");
	FILE *f = fopen(DEV, "r+e");
	char byte;
	int fds[2];

	CHECK(f);
	EQ(fcntl(fileno(f), F_GETFD), FD_CLOEXEC);
	a = of_stream(f, "vale%:a");
	works(&a, &b);
	EQ(fclose(f), 0);
	/* Another gets its number. */
	WORKS(pipe(fds));
	EQ(fds[0], a.fd);
	EQ(poll1(fds[0], POLLIN, 0), 0);
	EQ(write(fds[1], "x", 1), 1);
	EQ(read(fds[0], &byte, 1), 1);
	/* Nothing is left of the port. */
	a = up_mode("vale%:a", NR_REG_ALL_NIC, NR_EXCLUSIVE);
	works(&a, &b);
	CHECK(!fopen(DEV, "?"));
	EQ(errno, EINVAL);
	CHECK(!fopen(DEV, "w+x"));
	EQ(errno, EEXIST);
}

POINT(device_in_the_place_of_a_stream)
{
	FILE *f = fopen("/dev/null", "r");
	struct nm a, b = up("vale%:b");
	int fd;

	CHECK(f);
	fd = fileno(f);
	CHECK(freopen(DEV, "r+", f) == f);
	EQ(fileno(f), fd);
	a = of_stream(f, "vale%:a");
	works(&a, &b);
	/* And something else in its place. */
	CHECK(freopen("/dev/zero", "r", f) == f);
	EQ(fileno(f), fd);
	EQ(fgetc(f), 0);
	EQ(poll1(fd, POLLIN, WAIT_MS), POLLIN);
	FAILS(ENOTTY, ioctl(fd, NIOCTXSYNC, NULL));
	EQ(fclose(f), 0);
}

POINT(device_closed_among_others)
{
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int fd = WORKS(fcntl(a.fd, F_DUPFD_CLOEXEC, 70));
	char byte;

	WORKS(close(a.fd));
	a.fd = fd;
	works(&a, &b);
	WORKS(close_range(69, 71, CLOSE_RANGE_CLOEXEC));
	works(&a, &b);
	WORKS(close_range(69, 71, 0));
	FAILS(EBADF, ioctl(fd, NIOCTXSYNC, NULL));
	FAILS(EBADF, read(fd, &byte, 1));
	EQ(poll1(fd, POLLIN, 0), POLLNVAL);
}
