// SPDX-License-Identifier: BSD-2-Clause
// drop.c - names and texts of the drop reasons.
#include "core/drop.h"

const char *drop_name(enum drop reason)
{
	static const char *const names[DROP_N] = {
#define X(id, name, text) #name,
		DROP_REASONS(X)
#undef X
	};

	return names[reason];
}

const char *drop_text(enum drop reason)
{
	static const char *const texts[DROP_N] = {
#define X(id, name, text) text,
		DROP_REASONS(X)
#undef X
	};

	return texts[reason];
}
