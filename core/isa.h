/* SPDX-License-Identifier: BSD-2-Clause */
/* isa.h - hot files are compiled once per instruction set, chosen at start. */
#ifndef CORE_ISA_H
#define CORE_ISA_H
/*
 * Files marked hot in meson.build are compiled several times with -DGLEN_ISA=v2
 * (x86-64-v2), v3 (AVX2), v4 (AVX-512) on x86-64, and once with
 * -DGLEN_ISA=gen elsewhere. What they export carries the suffix through
 * HOT(name); everything else in them is static. The tables below collect the
 * variants, and isa_now() says which one this machine runs. The environment
 * variable GLEN_ISA=v2|v3|v4 forces a lower one (tests, benchmarks).
 */
enum isa {
#if defined(__x86_64__)
	ISA_V2,
	ISA_V3,
	ISA_V4,
#else
	ISA_GEN,
#endif
	ISA_N,
};

/* These are initializers, not blocks. */
/* clang-format off */
#if defined(__x86_64__)
/* Initializer of an array indexed by enum isa, from the suffixed names. */
#define ISA_TABLE(name) { name##_v2, name##_v3, name##_v4 }
#define ISA_TABLE_PTR(name) { &name##_v2, &name##_v3, &name##_v4 }
/* The same object for every instruction set. */
#define ISA_SAME(x) { x, x, x }
/* Declares all variants: ISA_DECLARE(extern const struct port_hot, shm_hot); */
#define ISA_DECLARE(type, name) type name##_v2, name##_v3, name##_v4
#else
#define ISA_TABLE(name) { name##_gen }
#define ISA_TABLE_PTR(name) { &name##_gen }
#define ISA_SAME(x) { x }
#define ISA_DECLARE(type, name) type name##_gen
#endif
/* clang-format on */

#define ISA_PASTE2(a, b) a##_##b
#define ISA_PASTE(a, b) ISA_PASTE2(a, b)
/* In a hot file: the name with this compilation's suffix. */
#define HOT(name) ISA_PASTE(name, GLEN_ISA)

/* The best instruction set of this machine (or as GLEN_ISA says). */
enum isa isa_now(void);
const char *isa_name(enum isa isa);

#endif
