// SPDX-License-Identifier: BSD-2-Clause
// context.c - nmctx: where errors and memory go, and who holds the lock.
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int nmctx_threadsafe;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void print_error(struct nmctx *ctx, const char *message)
{
	fprintf(stderr, "netmap: %s\n", message);
}

static void *get_memory(struct nmctx *ctx, size_t size)
{
	return malloc(size);
}

static void put_memory(struct nmctx *ctx, void *mem)
{
	free(mem);
}

static void use_mutex(struct nmctx *ctx, int lock)
{
	if (lock)
		pthread_mutex_lock(&mutex);
	else
		pthread_mutex_unlock(&mutex);
}

static struct nmctx own = {
	.verbose = 1,
	.error = print_error,
	.malloc = get_memory,
	.free = put_memory,
	.lock = use_mutex,
};

static struct nmctx *current = &own;

struct nmctx *nmctx_get(void)
{
	return current;
}

struct nmctx *nmctx_set_default(struct nmctx *ctx)
{
	struct nmctx *before = current;

	current = ctx;
	return before;
}

void nmctx_set_threadsafe(void)
{
	own.lock = use_mutex;
}

static void report(struct nmctx *ctx, const char *format, va_list args)
{
	char text[512];

	if (!ctx->verbose || !ctx->error)
		return;
	vsnprintf(text, sizeof(text), format, args);
	ctx->error(ctx, text);
}

void nmctx_ferror(struct nmctx *ctx, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(ctx, format, args);
	va_end(args);
}

int fail(struct nmctx *ctx, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report(ctx, format, args);
	va_end(args);
	errno = error;
	return -1;
}

void *nmctx_malloc(struct nmctx *ctx, size_t size)
{
	return ctx->malloc(ctx, size);
}

void nmctx_free(struct nmctx *ctx, void *mem)
{
	ctx->free(ctx, mem);
}

void nmctx_lock(struct nmctx *ctx)
{
	if (ctx->lock)
		ctx->lock(ctx, 1);
}

void nmctx_unlock(struct nmctx *ctx)
{
	if (ctx->lock)
		ctx->lock(ctx, 0);
}
