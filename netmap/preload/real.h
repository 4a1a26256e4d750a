/* SPDX-License-Identifier: BSD-2-Clause */
/* real.h - how to call the C library's own functions. */
#ifndef NETMAP_PRELOAD_REAL_H
#define NETMAP_PRELOAD_REAL_H
/*
 * REAL(poll)(fds, n, timeout) is the function that the program would have got
 * without us: the next one in the order of libraries, so that several preloaded
 * libraries and sanitizers work together. Those that may block are called this
 * way, since they are places where a thread can be cancelled.
 *
 * Programs without netmap must not notice us. So each function that they call
 * often has two halves: the exported one, which jumps to QUICK(poll) if that is
 * not NULL, and one that looks whether a descriptor is ours:
 *
 *	HALVES(int, poll, poll, (struct pollfd *fds, nfds_t n, int timeout),
 *	       (fds, n, timeout))
 *	{
 *		...
 *	}
 *
 * QUICK is NULL before the first call, which finds the function, and from the
 * first object in the tables on, for good.
 */
#include "netmap/preload/preload.h"

enum real_number {
#define DEFINE(name) REAL_##name,
#include "netmap/preload/real_list.h"
	REAL_FUNCTIONS
};

extern void *real_pointers[REAL_FUNCTIONS], *real_quick[REAL_FUNCTIONS];

void *real_find(enum real_number i);

static inline void *real_get(enum real_number i)
{
	void *p = __atomic_load_n(&real_pointers[i], __ATOMIC_ACQUIRE);

	return likely(p) ? p : real_find(i);
}

#define REAL(name) ((__typeof__(&name))real_get(REAL_##name))
#define QUICK(name)                                                   \
	((__typeof__(&name))__atomic_load_n(&real_quick[REAL_##name], \
					    __ATOMIC_RELAXED))

/* The exported half; exported: what it is called here. */
#define QUICK_HALF(type, name, exported, params, args)                         \
	EXPORT type exported params                                            \
	{                                                                      \
		__typeof__(&name) quick = QUICK(name);                         \
                                                                               \
		return likely(quick != NULL) ? quick args : name##_looks args; \
	}

/* Both; the body of the half that looks follows. */
#define HALVES(type, name, exported, params, args)                 \
	static __attribute__((noinline)) type name##_looks params; \
	QUICK_HALF(type, name, exported, params, args)             \
	static type name##_looks params

#endif
