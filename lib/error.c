// SPDX-License-Identifier: BSD-2-Clause
// error.c - fill struct glen_error.
#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct glen_error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return code;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}

const char *error_reason(int err)
{
	if (err == EMFILE)
		return "too many open files: raise the limit (LimitNOFILE= in "
		       "the systemd unit, or ulimit -n before the start)";
	if (err == ENFILE)
		return "too many open files on this host: raise "
		       "fs.file-max (sysctl)";
	return strerror(err);
}
