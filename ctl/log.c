// SPDX-License-Identifier: BSD-2-Clause
// log.c - what glend says on its standard error.
#include "ctl/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };

static const char *const level_names[LOG_LEVELS] = { "error", "warning", "info",
						     "debug" };
static const char level_journal[LOG_LEVELS] = { '3', '4', '6', '7' };
static enum log_level max_level = LOG_LEVEL_INFO; /* set before threads */

bool log_set_level(const char *name)
{
	for (int i = 0; i < LOG_LEVELS; i++) {
		if (strcmp(name, level_names[i]))
			continue;
		max_level = i;
		return true;
	}
	return false;
}

static int write_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	if (getenv("JOURNAL_STREAM"))
		return snprintf(line, size, "<%c>", level_journal[level]);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
	return len + snprintf(line + len, size - len, ".%03ld glend: %s%s",
			      now.tv_nsec / 1000000,
			      level == LOG_LEVEL_INFO ? "" : level_names[level],
			      level == LOG_LEVEL_INFO ? "" : ": ");
}

static void log_args(enum log_level level, const char *format, va_list args)
{
	char line[LINE_SIZE];
	size_t len, head;

	if (level > max_level)
		return;
	head = write_head(line, sizeof(line), level);
	vsnprintf(line + head, sizeof(line) - head - 1, format, args);
	len = head + strlen(line + head);
	for (size_t i = head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';
	/* Nowhere to complain if this fails. */
	(void)!write(STDERR_FILENO, line, len);
}

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(level, format, args);
	va_end(args);
}

unsigned log_left_out(struct log_limit *limit)
{
	struct timespec now;
	unsigned n = limit->n;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (n <= LOG_BURST || now.tv_sec - limit->since_s < LOG_WINDOW_S)
		return 0;
	limit->n = 0;
	return n - LOG_BURST;
}

void log_limited(struct log_limit *limit, enum log_level level,
		 const char *format, ...)
{
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!limit->n || now.tv_sec - limit->since_s >= LOG_WINDOW_S) {
		if (limit->n > LOG_BURST)
			log_line(level,
				 "%u messages like the one before were "
				 "left out",
				 limit->n - LOG_BURST);
		limit->since_s = now.tv_sec;
		limit->n = 0;
	}
	if (limit->n++ >= LOG_BURST)
		return;
	va_start(args, format);
	log_args(level, format, args);
	va_end(args);
}
