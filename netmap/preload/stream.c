// SPDX-License-Identifier: BSD-2-Clause
// stream.c - programs that open /dev/netmap as a FILE.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "netmap/preload/real.h"

/* The flags of open() that a mode of fopen() means; -1: none. */
static int flags_of(const char *mode)
{
	int flags;

	switch (*mode) {
	case 'r':
		flags = 0;
		break;
	case 'w':
		flags = O_CREAT | O_TRUNC;
		break;
	case 'a':
		flags = O_CREAT | O_APPEND;
		break;
	default:
		errno = EINVAL;
		return -1;
	}
	while (*++mode && *mode != ',') {
		if (*mode == 'e')
			flags |= O_CLOEXEC;
		else if (*mode == 'x')
			flags |= O_EXCL;
	}
	return flags | O_RDWR;
}

/* The C library closes a stream's number by itself. */
static inline void forget_stream(FILE *f)
{
	if (unlikely(had_objects()))
		fd_forget(fileno(f));
}

static FILE *open_stream(const char *mode)
{
	int flags = flags_of(mode), fd;
	FILE *f;

	if (flags < 0)
		return NULL;
	fd = open("/dev/netmap", flags);
	if (fd < 0)
		return NULL;
	f = fdopen(fd, mode);
	if (!f)
		close(fd);
	return f;
}

/* The stream keeps its number, as far as it has one. */
static FILE *reopen_stream(const char *mode, FILE *f)
{
	int flags = flags_of(mode), fd, to, err;

	/* freopen() closes what was there also if it fails. */
	fd = flags < 0 ? -1 : open("/dev/netmap", flags);
	err = errno;
	forget_stream(f);
	f = REAL(freopen)(fd < 0 ? "" : "/dev/null", mode, f);
	if (fd < 0) {
		errno = err;
		return NULL;
	}
	to = f ? dup3(fd, fileno(f), flags & O_CLOEXEC) : -1;
	err = errno;
	close(fd);
	errno = err;
	return to < 0 ? NULL : f;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	return is_netmap(path) ? open_stream(mode) : REAL(fopen)(path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return is_netmap(path) ? open_stream(mode) : REAL(fopen64)(path, mode);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *f)
{
	if (is_netmap(path))
		return reopen_stream(mode, f);
	forget_stream(f);
	return REAL(freopen)(path, mode, f);
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *f)
{
	if (is_netmap(path))
		return reopen_stream(mode, f);
	forget_stream(f);
	return REAL(freopen64)(path, mode, f);
}

EXPORT int fclose(FILE *f)
{
	forget_stream(f);
	return REAL(fclose)(f);
}
