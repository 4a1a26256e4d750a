// SPDX-License-Identifier: BSD-2-Clause
// print.c - results that are no table of their own: members and values.
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"
#include "tools/glenctl/table.h"

/* A JSON value in one short line for a table cell; freed by the caller. */
static char *flat(const json_t *value)
{
	if (json_is_string(value))
		return strdup(json_string_value(value));
	return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
}

/* "key=value key=value", as it could be typed. */
static void print_pairs(FILE *file, const json_t *object)
{
	const char *key, *blank = "";
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		char *text = flat(value);

		fprintf(file, "%s%s=%s", blank, key, text ? text : "?");
		free(text);
		blank = " ";
	}
}

char *pairs(const json_t *object)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	print_pairs(file, object);
	fclose(file);
	return text;
}

/* "64 KiB" if it is a length in memory, else the number. */
static char *number(const char *key, json_int_t value)
{
	static const char *const units[] = { "KiB", "MiB", "GiB" };
	/* Virtqueues have sizes, too: of 32768 entries at most. */
	bool bytes = (!strcmp(key, "size") && value >= 65536) ||
		     !strcmp(key, "page");
	unsigned u = 0;
	char *text;
	int n;

	if (!bytes || value < 1024 || value % 1024) {
		n = asprintf(&text, "%lld", (long long)value);
	} else {
		for (value /= 1024; u < 2 && value % 1024 == 0; u++)
			value /= 1024;
		n = asprintf(&text, "%lld %s", (long long)value, units[u]);
	}
	return n < 0 ? NULL : text;
}

/* One value for a person; freed by the caller. */
static char *cell(const char *key, const json_t *value)
{
	if (json_is_object(value))
		return pairs(value);
	if (json_is_boolean(value))
		return strdup(json_is_true(value) ? "yes" : "no");
	if (json_is_integer(value))
		return number(key, json_integer_value(value));
	return value ? flat(value) : strdup("");
}

enum { KEY_WIDTH = 15, LINE_WIDTH = 80 };

/* Words behind a key, in lines. */
static void print_list(FILE *file, const char *key, const json_t *list)
{
	int column = fprintf(file, "%-*s", KEY_WIDTH - 1, key);
	json_t *value;
	size_t i;

	json_array_foreach((json_t *)list, i, value) {
		char *text = flat(value);
		int len = text ? strlen(text) : 0;

		if (i && column + 1 + len > LINE_WIDTH)
			column = fprintf(file, "\n%*s", KEY_WIDTH - 1, "") - 1;
		column += fprintf(file, " %s", text ? text : "?");
		free(text);
	}
	fputs(i ? "\n" : " -\n", file);
}

/* Objects that are alike as a table below a title. */
static void print_rows(FILE *file, const char *title, const json_t *list)
{
	const char *titles[TABLE_COLUMNS_MAX + 1] = { NULL };
	json_t *columns = json_object(), *row, *value;
	unsigned n = 0;
	const char *key;
	struct table t;
	size_t i;

	/* Not every row needs to have every column. */
	json_array_foreach((json_t *)list, i, row)
		json_object_update_missing(columns, row);
	json_object_foreach(columns, key, value) {
		if (n < TABLE_COLUMNS_MAX)
			titles[n++] = key;
	}
	table_init(&t, titles);
	json_array_foreach((json_t *)list, i, row) {
		for (unsigned c = 0; c < n; c++) {
			char *text = cell(titles[c],
					  json_object_get(row, titles[c]));

			table_add(&t, "%s", text ? text : "?");
			free(text);
		}
	}
	fprintf(file, "\n%s:\n", title);
	table_print(&t, file, 0, 0);
	table_fini(&t);
	json_decref(columns);
}

static bool is_table(const json_t *value)
{
	return json_is_object(json_array_get(value, 0));
}

/* What is to be seen even if nothing else is read: it comes last. */
static bool is_alarm(const char *key)
{
	return !strcmp(key, "problem") || !strcmp(key, "broken") ||
	       !strcmp(key, "last_error");
}

/* An object with more than plain values in it, or with an alarm. */
static bool is_group(const json_t *value)
{
	const char *key;
	json_t *member;

	json_object_foreach((json_t *)value, key, member)
		if (json_is_object(member) || json_is_array(member) ||
		    is_alarm(key))
			return true;
	return false;
}

enum pass { PASS_VALUES, PASS_TABLES, PASS_ALARMS, PASS_END };

static void print_pass(FILE *file, const json_t *object, enum pass pass)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		if (is_group(value)) {
			print_pass(file, value, pass);
		} else if (is_table(value)) {
			if (pass == PASS_TABLES)
				print_rows(file, key, value);
		} else if (is_alarm(key)) {
			if (pass == PASS_ALARMS)
				fprintf(file, "\n%s: %s\n", key,
					json_string_value(value));
		} else if (pass == PASS_VALUES && json_is_array(value)) {
			print_list(file, key, value);
		} else if (pass == PASS_VALUES) {
			char *text = cell(key, value);

			fprintf(file, "%-*s%s\n", KEY_WIDTH, key,
				text ? text : "?");
			free(text);
		}
	}
}

void print_members(FILE *file, const json_t *object)
{
	for (enum pass pass = PASS_VALUES; pass < PASS_END; pass++)
		print_pass(file, object, pass);
}

int show(struct ctl *ctl, const char *method, json_t *params)
{
	json_t *result;
	int ret = call(ctl, method, params, CALL_TIMEOUT_MS, &result);

	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	print_members(stdout, result);
	json_decref(result);
	return EXIT_OK;
}

json_t *name_param(const char *key, const char *name)
{
	return json_pack("{s:s}", key, name);
}
