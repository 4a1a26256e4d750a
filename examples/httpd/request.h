/* SPDX-License-Identifier: BSD-2-Clause */
/* request.h - reads an HTTP/1.x request. */
#ifndef REQUEST_H
#define REQUEST_H
/*
 * Strict where leniency is dangerous (RFC 9112): one Host, no folded lines, no
 * space before a colon, no control characters. Requests with a body are
 * refused, so that where a request ends is never in doubt.
 */
#include <stdbool.h>
#include <stddef.h>

enum {
	REQUEST_MAX = 8192, /* bytes, with the empty line */
	REQUEST_PATH_MAX = 1024,
};

struct request {
	bool head; /* HEAD, not GET */
	bool keep_alive;
	/* Decoded, without query; starts with "/", has no "//", "." or "..". */
	char path[REQUEST_PATH_MAX];
};

/*
 * Reads the request at the start of text. Returns how many bytes it has, 0 if
 * its end is not there yet, or minus the status of the refusal (400, 405, 414,
 * 431, 505), after which nothing that follows can be understood.
 */
int request_parse(struct request *r, const char *text, size_t len);

#endif
