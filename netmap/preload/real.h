/* SPDX-License-Identifier: BSD-2-Clause */
/* real.h - how to call the C library's own functions. */
#ifndef NETMAP_PRELOAD_REAL_H
#define NETMAP_PRELOAD_REAL_H
/*
 * REAL(poll)(fds, n, timeout) is the function that the program would have got
 * without us: the next one in the order of libraries, so that several preloaded
 * libraries and sanitizers work together. Those that may block are called this
 * way, since they are places where a thread can be cancelled.
 */
#include "netmap/preload/preload.h"

#define DEFINE(name) extern void *real_pointer_##name;

#include "netmap/preload/real_list.h"

void *real_find(void **pointer, const char *name);

static inline void *real_get(void **pointer, const char *name)
{
	void *p = __atomic_load_n(pointer, __ATOMIC_ACQUIRE);

	return likely(p) ? p : real_find(pointer, name);
}

#define REAL(name) ((__typeof__(&name))real_get(&real_pointer_##name, #name))

#endif
