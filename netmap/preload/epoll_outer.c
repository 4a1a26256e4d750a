// SPDX-License-Identifier: BSD-2-Clause
// epoll_outer.c - which epoll descriptors have another one as their member.
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netmap/preload/preload.h"

/*
 * The kernel lists the members of an epoll descriptor in fdinfo: the number by
 * which each was added, its events and data. That is read when an epoll
 * descriptor gets its first device, so that nothing need be kept of those that
 * have none.
 */

enum {
	INFO_MAX = 1 << 20, /* bytes: some ten thousand members */
};

/* A file of /proc, with a zero at its end; NULL: not to be had. */
static char *read_all(const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC,
			      0);
	size_t len = 0;
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = malloc(INFO_MAX);
	while (text && len < INFO_MAX - 1 &&
	       (n = syscall(SYS_read, fd, text + len, INFO_MAX - 1 - len)) > 0)
		len += (size_t)n;
	syscall(SYS_close, fd);
	if (text)
		text[len] = 0;
	return text;
}

static bool is_epoll(int fd)
{
	static const char name[] = "anon_inode:[eventpoll]";
	char path[40], link[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	return n == sizeof(name) - 1 && !memcmp(link, name, sizeof(name) - 1);
}

/* Does the epoll descriptor outer have this one? */
static void look(int outer, int epfd)
{
	char path[40], *text, *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", outer);
	text = read_all(path);
	for (line = text; line; line = strchr(line, '\n')) {
		unsigned long long data;
		unsigned events;
		int fd;

		line += *line == '\n';
		if (sscanf(line, "tfd: %d events: %x data: %llx", &fd, &events,
			   &data) == 3 &&
		    fd == epfd) {
			epoll_outer_has(outer, epfd,
					&(struct epoll_event){
						.events = events,
						.data.u64 = data });
			break;
		}
	}
	free(text);
}

void epoll_outer_find(int epfd)
{
	int saved = errno;
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		say("cannot read /proc/self/fd: an epoll descriptor that has "
		    "%d as a member does not hear of netmap's",
		    epfd);
	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name != '.' && fd != epfd && is_epoll(fd))
			look(fd, epfd);
	}
	if (dir)
		closedir(dir);
	errno = saved;
}
