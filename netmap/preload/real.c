// SPDX-License-Identifier: BSD-2-Clause
// real.c - the C library's own functions, behind those that stand in front.
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>

#include "netmap/preload/real.h"

#define DEFINE(name) void *real_pointer_##name;

#include "netmap/preload/real_list.h"

/*
 * Looked up at the first call. Two threads may both do so; they find the same.
 */
void *real_find(void **pointer, const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	/* What this C library lacks nobody calls. */
	if (!p)
		__builtin_trap();
	__atomic_store_n(pointer, p, __ATOMIC_RELEASE);
	return p;
}
