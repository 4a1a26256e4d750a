/* SPDX-License-Identifier: BSD-2-Clause */
/* error.h - fill struct glen_error. */
#ifndef LIB_ERROR_H
#define LIB_ERROR_H
#include "include/glen/glen.h"

/*
 * Stores code (a negative errno) and a sentence; error may be NULL. Returns
 * code, so that "return error_set(error, -EINVAL, ...)" reads well.
 */
int error_set(struct glen_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * As strerror(), of a positive errno; with what to do about it where glend or a
 * program has no descriptors left. Valid as long as strerror()'s.
 */
const char *error_reason(int err);

#endif
