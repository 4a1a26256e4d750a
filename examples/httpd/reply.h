/* SPDX-License-Identifier: BSD-2-Clause */
/* reply.h - reads the head of an HTTP/1.x answer. */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reply {
	int status;
	bool close;
	uint64_t len; /* of the body */
};

/*
 * Returns how long the head at the start of text is, 0 if its end is not there
 * yet, or -1: not HTTP, or a body whose length it does not say in advance.
 */
int reply_parse(struct reply *r, const char *text, size_t len);

#endif
