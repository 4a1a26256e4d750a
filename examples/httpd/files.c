// SPDX-License-Identifier: BSD-2-Clause
// files.c - finds what a path names below the root, and nothing else.
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"
#include "request.h"

static const struct {
	const char *suffix, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".htm", "text/html; charset=utf-8" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".md", "text/plain; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".xml", "application/xml" },
	{ ".pdf", "application/pdf" },
	{ ".wasm", "application/wasm" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".jpeg", "image/jpeg" },
	{ ".gif", "image/gif" },
	{ ".webp", "image/webp" },
	{ ".ico", "image/x-icon" },
	{ ".mp4", "video/mp4" },
	{ ".woff2", "font/woff2" },
};

static const char *type_of(const char *path)
{
	const char *suffix = strrchr(path, '.');

	for (size_t i = 0; suffix && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcasecmp(suffix, types[i].suffix))
			return types[i].type;
	return "application/octet-stream";
}

/* The kernel sees to it that the path stays below root. */
static int open_below(int root, const char *path)
{
	struct open_how how = {
		/* Not to wait for the writer of a FIFO. */
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static int status_of(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return 503;
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case EXDEV: /* out of root */
	case ENAMETOOLONG:
	case ENXIO:
		return 404;
	}
	return 500;
}

int file_open(int root, const char *path, struct file *file)
{
	char name[REQUEST_PATH_MAX + 16];
	size_t len = strlen(path);
	struct stat st = { 0 };

	snprintf(name, sizeof(name), "%s%s", path + 1,
		 path[len - 1] == '/' ? "index.html" : "");
	file->fd = open_below(root, name);
	if (file->fd < 0)
		return status_of(errno);
	if (fstat(file->fd, &st) || !S_ISREG(st.st_mode)) {
		close(file->fd);
		file->fd = -1;
		return S_ISDIR(st.st_mode) && path[len - 1] != '/' ? 301 : 404;
	}
	file->size = (uint64_t)st.st_size;
	file->type = type_of(name);
	return 200;
}
