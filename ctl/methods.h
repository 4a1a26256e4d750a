/* SPDX-License-Identifier: BSD-2-Clause */
/* methods.h - the control methods that make sense with and without a daemon. */
#ifndef CTL_METHODS_H
#define CTL_METHODS_H
/*
 * Theory of operation
 *
 * docs/control.md is the reference. glend calls method_call() for every request
 * that is not about its own sockets and processes; glen_switch_command() does
 * the same for an embedded switch. The transport (JSON-RPC envelopes,
 * descriptors) is not seen here.
 *
 * What no table entry handles but names a switch goes to that switch's module
 * ("fdb.show"), which may know it.
 */
#include <jansson.h>

#include "ctl/control.h"

/*
 * Runs a method. params: an object or NULL, borrowed. On success *result is a
 * new object. -ENOSYS: there is no such method; -EINVAL, -ENOENT, ... with
 * error filled, which must not be NULL. Control thread.
 */
int method_call(struct control *ctl, const char *method, json_t *params,
		json_t **result, struct glen_error *error);

/*
 * String member of params that must be there. -EINVAL names it. Borrowed.
 */
int method_need(json_t *params, const char *key, const char **value,
		struct glen_error *error);

/* A shallow copy of params without the given members (NULL-terminated). */
json_t *method_rest(json_t *params, const char *const *without);

#endif
