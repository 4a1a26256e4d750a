// SPDX-License-Identifier: BSD-2-Clause
// log.c - messages, for the file that GLEN_NETMAP_LOG names.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/preload.h"

/*
 * The file is opened for each message: a descriptor that stays would be in the
 * way of programs that close all or count on their numbers.
 */
void say(const char *format, ...)
{
	const char *path = getenv("GLEN_NETMAP_LOG");
	int saved = errno, len, fd;
	char text[512];
	va_list args;

	if (!path || !*path)
		return;
	len = snprintf(text, sizeof(text), "%d: ", (int)getpid());
	va_start(args, format);
	len += vsnprintf(text + len, sizeof(text) - (size_t)len - 1, format,
			 args);
	va_end(args);
	if (len > (int)sizeof(text) - 2)
		len = sizeof(text) - 2;
	text[len++] = '\n';
	fd = (int)syscall(SYS_openat, AT_FDCWD, path,
			  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd >= 0) {
		(void)!write(fd, text, (size_t)len);
		syscall(SYS_close, fd);
	}
	errno = saved;
}
