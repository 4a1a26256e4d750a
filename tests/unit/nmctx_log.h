/* SPDX-License-Identifier: BSD-2-Clause */
/* nmctx_log.h - a context of libnetmap that keeps errors and counts memory. */
#ifndef TESTS_UNIT_NMCTX_LOG_H
#define TESTS_UNIT_NMCTX_LOG_H
#include <errno.h>
#include <libnetmap.h>
#include <stdlib.h>
#include <string.h>

static struct {
	char error[512]; /* the last one */
	unsigned errors;
	int blocks;	/* allocated and not freed */
	int fail_after; /* allocations until one fails; 0: none does */
	int locked;
	unsigned locks;
} ctx_log;

static void log_error(struct nmctx *ctx, const char *message)
{
	snprintf(ctx_log.error, sizeof(ctx_log.error), "%s", message);
	ctx_log.errors++;
}

static void *log_malloc(struct nmctx *ctx, size_t size)
{
	if (ctx_log.fail_after && !--ctx_log.fail_after)
		return NULL;
	ctx_log.blocks++;
	return malloc(size);
}

static void log_free(struct nmctx *ctx, void *mem)
{
	ctx_log.blocks--;
	free(mem);
}

static void log_lock(struct nmctx *ctx, int lock)
{
	assert_int_equal(ctx_log.locked, !lock);
	ctx_log.locked = lock;
	ctx_log.locks += lock;
}

static struct nmctx log_ctx = {
	.verbose = 1,
	.error = log_error,
	.malloc = log_malloc,
	.free = log_free,
	.lock = log_lock,
};

/* One error was reported, it has this text in it, and errno is this. */
#define assert_said(number, text)                                          \
	do {                                                               \
		assert_int_equal(errno, number);                           \
		assert_int_equal(ctx_log.errors, 1);                       \
		if (!strstr(ctx_log.error, text))                          \
			fail_msg("'%s' not in '%s'", text, ctx_log.error); \
		ctx_log.errors = 0;                                        \
	} while (0)

#endif
