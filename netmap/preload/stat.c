// SPDX-License-Identifier: BSD-2-Clause
// stat.c - programs that look whether there is a /dev/netmap, or what it is.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "netmap/preload/real.h"

/* What programs linked with a C library before 2.33 call. */
EXPORT int __fxstat(int version, int fd, struct stat *st);
EXPORT int __fxstat64(int version, int fd, struct stat64 *st);
EXPORT int __xstat(int version, const char *path, struct stat *st);
EXPORT int __xstat64(int version, const char *path, struct stat64 *st);
EXPORT int __lxstat(int version, const char *path, struct stat *st);
EXPORT int __lxstat64(int version, const char *path, struct stat64 *st);

enum {
	MISC_MAJOR = 10, /* netmap's device has any free minor of it */
	MINOR = 59,
	MODE = S_IFCHR | 0666,
};

static int fill(struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = MODE;
	st->st_nlink = 1;
	st->st_ino = 1;
	st->st_rdev = makedev(MISC_MAJOR, MINOR);
	st->st_blksize = 4096;
	return 0;
}

static int fill64(struct stat64 *st)
{
	memset(st, 0, sizeof(*st));
	st->st_mode = MODE;
	st->st_nlink = 1;
	st->st_ino = 1;
	st->st_rdev = makedev(MISC_MAJOR, MINOR);
	st->st_blksize = 4096;
	return 0;
}

EXPORT int stat(const char *path, struct stat *st)
{
	return is_netmap(path) ? fill(st) : REAL(stat)(path, st);
}

EXPORT int stat64(const char *path, struct stat64 *st)
{
	return is_netmap(path) ? fill64(st) : REAL(stat64)(path, st);
}

EXPORT int lstat(const char *path, struct stat *st)
{
	return is_netmap(path) ? fill(st) : REAL(lstat)(path, st);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return is_netmap(path) ? fill64(st) : REAL(lstat64)(path, st);
}

/* A descriptor of the device, which is a socket behind the program's back. */
static inline bool is_open_device(int fd)
{
	struct device *d = likely(!had_objects()) ? NULL : fd_device(fd);

	return unlikely(d != NULL) && fd_is_device(fd, d);
}

/* The device by its name, or by a descriptor and no name. */
static inline bool is_meant(int dir, const char *path, int flags)
{
	return is_netmap(path) || (unlikely(flags & AT_EMPTY_PATH) &&
				   (!path || !*path) && is_open_device(dir));
}

HALVES(int, fstat, fstat, (int fd, struct stat *st), (fd, st))
{
	return is_open_device(fd) ? fill(st) : REAL(fstat)(fd, st);
}

HALVES(int, fstat64, fstat64, (int fd, struct stat64 *st), (fd, st))
{
	return is_open_device(fd) ? fill64(st) : REAL(fstat64)(fd, st);
}

HALVES(int, __fxstat, __fxstat, (int version, int fd, struct stat *st),
       (version, fd, st))
{
	return is_open_device(fd) ? fill(st) : REAL(__fxstat)(version, fd, st);
}

HALVES(int, __fxstat64, __fxstat64, (int version, int fd, struct stat64 *st),
       (version, fd, st))
{
	return is_open_device(fd) ? fill64(st) :
				    REAL(__fxstat64)(version, fd, st);
}

EXPORT int fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return is_meant(dir, path, flags) ? fill(st) :
					    REAL(fstatat)(dir, path, st, flags);
}

EXPORT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	return is_meant(dir, path, flags) ?
		       fill64(st) :
		       REAL(fstatat64)(dir, path, st, flags);
}

EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return is_netmap(path) ? fill(st) : REAL(__xstat)(version, path, st);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *st)
{
	return is_netmap(path) ? fill64(st) :
				 REAL(__xstat64)(version, path, st);
}

EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	return is_netmap(path) ? fill(st) : REAL(__lxstat)(version, path, st);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *st)
{
	return is_netmap(path) ? fill64(st) :
				 REAL(__lxstat64)(version, path, st);
}

EXPORT int statx(int dir, const char *path, int flags, unsigned mask,
		 struct statx *st)
{
	if (!is_meant(dir, path, flags))
		return REAL(statx)(dir, path, flags, mask, st);
	memset(st, 0, sizeof(*st));
	st->stx_mask = STATX_BASIC_STATS;
	st->stx_mode = MODE;
	st->stx_nlink = 1;
	st->stx_ino = 1;
	st->stx_blksize = 4096;
	st->stx_rdev_major = MISC_MAJOR;
	st->stx_rdev_minor = MINOR;
	return 0;
}

/* A device is nothing to execute, not even for root. */
static int accessible(int mode)
{
	if (!(mode & X_OK))
		return 0;
	errno = EACCES;
	return -1;
}

EXPORT int access(const char *path, int mode)
{
	return is_netmap(path) ? accessible(mode) : REAL(access)(path, mode);
}

EXPORT int eaccess(const char *path, int mode)
{
	return is_netmap(path) ? accessible(mode) : REAL(eaccess)(path, mode);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return is_netmap(path) ? accessible(mode) :
				 REAL(euidaccess)(path, mode);
}

EXPORT int faccessat(int dir, const char *path, int mode, int flags)
{
	return is_netmap(path) ? accessible(mode) :
				 REAL(faccessat)(dir, path, mode, flags);
}
