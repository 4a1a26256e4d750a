// SPDX-License-Identifier: BSD-2-Clause
// isa.c - which compiled variant of the hot files this machine runs.
#include "core/isa.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
static const char *const names[ISA_N] = { "v2", "v3", "v4" };

static enum isa isa_best(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512cd") &&
	    __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		return ISA_V4;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
	    __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("f16c"))
		return ISA_V3;
	return ISA_V2;
}
#else
static const char *const names[ISA_N] = { "gen" };

static enum isa isa_best(void)
{
	return ISA_GEN;
}
#endif

enum isa isa_now(void)
{
	enum isa best = isa_best();
	const char *want = getenv("GLEN_ISA");

	for (int i = 0; want && i <= (int)best; i++)
		if (!strcmp(want, names[i]))
			return i;
	return best;
}

const char *isa_name(enum isa isa)
{
	return names[isa];
}
