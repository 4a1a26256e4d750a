// SPDX-License-Identifier: BSD-2-Clause
// error.c - fill struct glen_error.
#include "lib/error.h"

#include <stdarg.h>
#include <stdio.h>

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
