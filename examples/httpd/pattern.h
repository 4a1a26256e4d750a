/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.h - what the generated pages /bytes/N hold. */
#ifndef PATTERN_H
#define PATTERN_H
/*
 * Byte i is (k * 31 + k / 251) mod 256 with k = i mod 65521, a prime, so that
 * bytes lost, twice or out of place are seen.
 */
#include <stdint.h>

enum {
	PATTERN_PERIOD = 65521,
	PATTERN_AHEAD = 65536, /* bytes that can be read from any phase */
};

extern char pattern[PATTERN_PERIOD + PATTERN_AHEAD];

/* Before any use. */
void pattern_init(void);

/* At least PATTERN_AHEAD bytes of the page from offset on. */
static inline const char *pattern_at(uint64_t offset)
{
	return pattern + offset % PATTERN_PERIOD;
}

#endif
