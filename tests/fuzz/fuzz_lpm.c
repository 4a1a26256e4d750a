// SPDX-License-Identifier: BSD-2-Clause
// fuzz_lpm.c - any prefixes, inserted, removed and looked up.
/*
 * Input: a byte, 0 to 127 for IPv4; then operations of a byte and an address:
 *
 *   bits 0..1  0: remove, 1: look up, else insert
 *   bits 2..   length of the prefix, twice that for IPv6, modulo what there is
 */
#include "fuzz.h"

#include "../unit/lpm_model.h"

static void find(const struct lpm_model *m, const uint8_t *address)
{
	const uint8_t *at[2] = { address, address };
	uint32_t got[2];

	lpm_find(m->table, at, 2, got);
	FUZZ_CHECK(got[0] == lpm_model_find(m, address) && got[0] == got[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned family = size && data[0] > 127 ? 6 : 4, bytes, n = 0;
	struct lpm_model *m = lpm_model_new(family);

	bytes = m->bits / 8;
	for (data++, size--; size + 1 > 1 + bytes && size < SIZE_MAX;
	     data += 1 + bytes, size -= 1 + bytes) {
		unsigned what = data[0] & 3;
		unsigned len = (data[0] >> 2) * (family == 4 ? 1u : 2u);

		len %= m->bits + 1;
		if (what != 1)
			FUZZ_CHECK(lpm_model_change(m, data + 1, len,
						    what ? ++n : 0));
		FUZZ_CHECK(what < 2 || lpm_get(m->table, data + 1, len) == n ||
			   m->n == LPM_MODEL_MAX);
		find(m, data + 1);
		for (unsigned i = 0; i < m->n && i < 8; i++)
			find(m, m->route[i].address);
	}
	lpm_model_free(m);
	return 0;
}
