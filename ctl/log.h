/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - what glend says on its standard error. */
#ifndef CTL_LOG_H
#define CTL_LOG_H
/*
 * One line per message, one write() per line. Under systemd (JOURNAL_STREAM is
 * set) a line starts with its priority as "<3>", else with the time and the
 * level. Control characters, which may come from a client, become '?'.
 *
 * What a client can cause again and again goes through a struct log_limit: at
 * most LOG_BURST lines in LOG_WINDOW_S seconds, then one line that says how
 * many were left out. Any thread may log; a log_limit belongs to one.
 */
#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVELS,
};

enum { LOG_BURST = 10, LOG_WINDOW_S = 10 };

struct log_limit {
	int64_t since_s; /* start of the window */
	unsigned n;	 /* lines in it, with those left out */
};

/* Sets the level by its name; false: there is no such level. */
bool log_set_level(const char *name);

void log_line(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void log_limited(struct log_limit *limit, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 3, 4)));

/* How many lines were left out if the window is over, 0 if none was; who asks
 * says so instead of the next line. */
unsigned log_left_out(struct log_limit *limit);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
