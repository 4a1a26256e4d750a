/* SPDX-License-Identifier: BSD-2-Clause */
/* internal.h - what the files of libnetmap share. */
#ifndef NETMAP_LIBNETMAP_INTERNAL_H
#define NETMAP_LIBNETMAP_INTERNAL_H
/*
 * libnetmap.h describes the library; it is made of
 *
 *   context.c   nmctx_*: errors, memory, the lock
 *   request.c   nmreq_*: headers, lists of options, questions to the device
 *   portspec.c  nmreq_*_decode(): the grammar of specifications
 *   options.c   the options of specifications that nmport_parse() knows
 *   port.c      nmport_*
 *
 * Programs written for netmap link it. It knows nothing of glen: /dev/netmap is
 * whatever open() says it is.
 */
#include <libnetmap.h>

/* Something that nmport_undo_parse() must undo: part of the maker's struct. */
struct nmport_cleanup_d {
	struct nmport_cleanup_d *next;
	void (*undo)(struct nmport_cleanup_d *cleanup, struct nmport_d *d);
};

/* Reports an error and sets errno; returns -1. */
int fail(struct nmctx *ctx, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Opens the device; -1 with an error reported. */
int device_open(struct nmctx *ctx);

/* Parsers of all options that nmport_parse() knows. */
extern struct nmreq_opt_parser *const port_options;

#endif
