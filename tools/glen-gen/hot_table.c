// SPDX-License-Identifier: BSD-2-Clause
// hot_table.c - which compiled variant of hot.c this machine runs.
#include "hot.h"

#include "core/isa.h"

ISA_DECLARE(extern const struct hot_ops, gen_hot);

const struct hot_ops *hot_ops_now(void)
{
	static const struct hot_ops *const table[ISA_N] = ISA_TABLE_PTR(
		gen_hot);

	return table[isa_now()];
}
