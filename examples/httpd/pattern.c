// SPDX-License-Identifier: BSD-2-Clause
// pattern.c - what the generated pages /bytes/N hold.
#include "pattern.h"

char pattern[PATTERN_PERIOD + PATTERN_AHEAD];

void pattern_init(void)
{
	for (unsigned i = 0; i < sizeof(pattern); i++) {
		unsigned k = i % PATTERN_PERIOD;

		pattern[i] = (char)(k * 31 + k / 251);
	}
}
