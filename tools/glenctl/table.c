// SPDX-License-Identifier: BSD-2-Clause
// table.c - aligned tables and units for a person.
#include "tools/glenctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
	fputs("glenctl: out of memory\n", stderr);
	exit(1);
}

static void append(struct table *t, char *cell)
{
	if (t->n_cells == t->size) {
		t->size = t->size ? 2 * t->size : 256;
		t->cells = realloc(t->cells, t->size * sizeof(*t->cells));
		if (!t->cells)
			out_of_memory();
	}
	t->cells[t->n_cells++] = cell;
}

void table_init(struct table *t, const char *const *titles)
{
	memset(t, 0, sizeof(*t));
	for (; *titles && t->n_columns < TABLE_COLUMNS_MAX; titles++) {
		t->right[t->n_columns++] = **titles == '>';
		table_add(t, "%s", *titles + (**titles == '>'));
	}
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->n_cells; i++)
		free(t->cells[i]);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void table_add(struct table *t, const char *format, ...)
{
	va_list args;
	char *cell;

	va_start(args, format);
	if (vasprintf(&cell, format, args) < 0)
		out_of_memory();
	va_end(args);
	append(t, cell);
}

static void print_row(const struct table *t, FILE *file, size_t row,
		      const size_t *widths, size_t limit)
{
	size_t column = 0; /* where the line ends so far, without blanks */
	size_t start = 0;  /* where the next cell begins */

	for (unsigned c = 0; c < t->n_columns; c++) {
		size_t i = row * t->n_columns + c;
		const char *cell = i < t->n_cells ? t->cells[i] : "";
		size_t len = strlen(cell);
		size_t at = start + (t->right[c] ? widths[c] - len : 0);

		if (limit && at >= limit)
			break;
		if (limit && len > limit - at)
			len = limit - at;
		if (len) {
			fprintf(file, "%*s%.*s", (int)(at - column), "",
				(int)len, cell);
			column = at + len;
		}
		start += widths[c] + 2;
	}
	fputc('\n', file);
}

void table_print(const struct table *t, FILE *file, unsigned width,
		 unsigned max_rows)
{
	size_t rows = (t->n_cells + t->n_columns - 1) / t->n_columns;
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	if (max_rows && rows > max_rows + 1)
		rows = max_rows + 1;
	for (size_t i = 0; i < rows * t->n_columns && i < t->n_cells; i++) {
		size_t len = strlen(t->cells[i]);

		if (len > widths[i % t->n_columns])
			widths[i % t->n_columns] = len;
	}
	for (size_t r = 0; r < rows; r++)
		print_row(t, file, r, widths, width);
}

char *human(char buf[UNIT_SIZE], double value)
{
	static const char units[] = " kMGTPE";
	unsigned u = 0;

	if (value < 10000) {
		/* A rate may have a fraction, a count has none. */
		snprintf(buf, UNIT_SIZE,
			 value < 10 && value != (int)value ? "%.2f" : "%.0f",
			 value);
		return buf;
	}
	while (value >= 999.5 && u + 1 < sizeof(units) - 1) {
		value /= 1000;
		u++;
	}
	snprintf(buf, UNIT_SIZE,
		 value < 9.995 ? "%.2f %c" :
		 value < 99.95 ? "%.1f %c" :
				 "%.0f %c",
		 value, units[u]);
	return buf;
}

char *human_seconds(char buf[UNIT_SIZE], uint64_t seconds)
{
	unsigned long long s = seconds;

	if (s < 60)
		snprintf(buf, UNIT_SIZE, "%llus", s);
	else if (s < 3600)
		snprintf(buf, UNIT_SIZE, "%llum %llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, UNIT_SIZE, "%lluh %llum", s / 3600, s / 60 % 60);
	else
		snprintf(buf, UNIT_SIZE, "%llud %lluh", s / 86400,
			 s / 3600 % 24);
	return buf;
}
