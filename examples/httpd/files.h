/* SPDX-License-Identifier: BSD-2-Clause */
/* files.h - finds what a path names below the root, and nothing else. */
#ifndef FILES_H
#define FILES_H

#include <stdint.h>

struct file {
	int fd;
	uint64_t size;
	const char *type; /* for Content-Type */
};

/*
 * Opens the file that a path ("/a/b") names below the directory root, or the
 * index.html of a directory. Symbolic links are followed as long as they stay
 * below root. Returns the status of the answer: 200 and *file, whose fd is the
 * caller's; 301 if the path names a directory and lacks the last "/"; 403, 404,
 * 500, 503.
 */
int file_open(int root, const char *path, struct file *file);

#endif
