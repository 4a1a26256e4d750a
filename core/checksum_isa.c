// SPDX-License-Identifier: BSD-2-Clause
// checksum_isa.c - picks the checksum loop for this machine, once.
#include <stdatomic.h>

#include "core/checksum.h"

checksum_fn *checksum_best(void)
{
	static checksum_fn *const variants[ISA_N] = ISA_TABLE(checksum_bytes);
	static _Atomic(checksum_fn *) best;
	checksum_fn *fn = atomic_load_explicit(&best, memory_order_relaxed);

	/* Asking the processor is slow; threads that race find the same. */
	if (__builtin_expect(!fn, 0)) {
		fn = variants[isa_now()];
		atomic_store_explicit(&best, fn, memory_order_relaxed);
	}
	return fn;
}
