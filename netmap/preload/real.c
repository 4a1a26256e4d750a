// SPDX-License-Identifier: BSD-2-Clause
// real.c - the C library's own functions, behind those that stand in front.
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <signal.h>

#include "lib/shm.h"
#include "netmap/preload/real.h"

void *real_pointers[REAL_FUNCTIONS], *real_quick[REAL_FUNCTIONS];

static const char *const names[REAL_FUNCTIONS] = {
#define DEFINE(name) #name,
#include "netmap/preload/real_list.h"
};

/*
 * Looked up at the first call. Two threads may both do so; they find the same.
 */
void *real_find(enum real_number i)
{
	void *p = dlsym(RTLD_NEXT, names[i]);

	/* What this C library lacks nobody calls. */
	if (!p)
		__builtin_trap();
	__atomic_store_n(&real_pointers[i], p, __ATOMIC_RELEASE);
	__atomic_store_n(&real_quick[i], p, __ATOMIC_RELAXED);
	/* Pairs with the fence in real_slow(): one of us sees the other. */
	shm_full_fence();
	if (had_objects())
		__atomic_store_n(&real_quick[i], NULL, __ATOMIC_RELAXED);
	return p;
}

void real_slow(void)
{
	/* Pairs with the fence in real_find(). */
	shm_full_fence();
	for (unsigned i = 0; i < REAL_FUNCTIONS; i++)
		__atomic_store_n(&real_quick[i], NULL, __ATOMIC_RELAXED);
}
