// SPDX-License-Identifier: BSD-2-Clause
// isa.c - which compiled variant of the hot files this machine runs.
#include "core/isa.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static const char *const names[ISA_N] = { "v2", "v3", "v4" };

/* What clang 14 cannot ask __builtin_cpu_supports() for. */
static bool has_rest_of_v3(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C) ||
	    !(c & bit_MOVBE))
		return false;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

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
	    has_rest_of_v3())
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
