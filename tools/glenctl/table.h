/* SPDX-License-Identifier: BSD-2-Clause */
/* table.h - aligned tables and units for a person. */
#ifndef TOOLS_GLENCTL_TABLE_H
#define TOOLS_GLENCTL_TABLE_H
/*
 * A table is filled cell by cell, row by row, and printed when its widths are
 * known. Columns whose title begins with '>' are aligned to the right. Blanks
 * at line ends are left out, so that output can be compared.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
	unsigned n_columns;
	bool right[TABLE_COLUMNS_MAX];
	char **cells; /* by row, the titles first */
	size_t n_cells, size;
};

/* titles ends with NULL. */
void table_init(struct table *t, const char *const *titles);
void table_fini(struct table *t);
/* The next cell; begins a new row when the last one is full. */
void table_add(struct table *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* width: cut lines there; 0: never. max_rows: 0: all. */
void table_print(const struct table *t, FILE *file, unsigned width,
		 unsigned max_rows);

enum { UNIT_SIZE = 32 };

/* 1234567 -> "1.23 M"; below 10000 all digits. Returns buf. */
char *human(char buf[UNIT_SIZE], double value);
/* 90061 -> "1d 1h 1m". */
char *human_seconds(char buf[UNIT_SIZE], uint64_t seconds);

#endif
