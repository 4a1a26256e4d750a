// SPDX-License-Identifier: BSD-2-Clause
// print.c - results that are no table of their own: members and values.
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"

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

void print_members(const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		char *text = json_is_object(value) ? pairs(value) : flat(value);

		printf("%-14s %s\n", key, text ? text : "?");
		free(text);
	}
}

int show(struct ctl *ctl, const char *method, json_t *params)
{
	json_t *result;
	int ret = call(ctl, method, params, CALL_TIMEOUT_MS, &result);

	if (ret)
		return ret;
	if (ctl->json)
		return print_json(result);
	print_members(result);
	json_decref(result);
	return EXIT_OK;
}

json_t *name_param(const char *key, const char *name)
{
	return json_pack("{s:s}", key, name);
}
