// SPDX-License-Identifier: BSD-2-Clause
// params.c - reads options from JSON objects; errors name key and range.
#include "core/port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

enum { KNOWN_SIZE = 200 };

static const char *json_kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "something else";
}

static int check_object(const json_t *params, struct glen_error *error)
{
	if (!params || json_is_object(params))
		return 0;
	return error_set(error, -EINVAL, "options must be an object, not %s",
			 json_kind(params));
}

/* Lists the known keys in words; ends in "..." if they do not fit. */
static void list_known(char *text, size_t size, const char *const *known)
{
	size_t len = 0;

	text[0] = '\0';
	for (; *known; known++) {
		int n = snprintf(text + len, size - len, "%s%s",
				 len ? ", " : "", *known);

		if (n < 0 || (size_t)n >= size - len) {
			memcpy(text + size - 4, "...", 4);
			return;
		}
		len += n;
	}
}

int params_check(json_t *params, const char *const *known,
		 struct glen_error *error)
{
	char text[KNOWN_SIZE];
	const char *key;
	json_t *value;
	int err = check_object(params, error);

	if (err)
		return err;
	json_object_foreach(params, key, value) {
		const char *const *k = known;

		while (*k && strcmp(*k, key))
			k++;
		if (*k)
			continue;
		list_known(text, sizeof(text), known);
		if (!text[0])
			return error_set(error, -EINVAL,
					 "unknown option '%.40s'; there are no "
					 "options here",
					 key);
		return error_set(error, -EINVAL,
				 "unknown option '%.40s'; known are: %s", key,
				 text);
	}
	return 0;
}

int params_int(json_t *params, const char *key, long def, long min, long max,
	       long *value, struct glen_error *error)
{
	json_t *member;
	json_int_t n;
	int err = check_object(params, error);

	if (err)
		return err;
	*value = def;
	member = json_object_get(params, key);
	if (!member)
		return 0;
	if (!json_is_integer(member))
		return error_set(
			error, -EINVAL,
			"%s must be an integer from %ld to %ld, not %s", key,
			min, max, json_kind(member));
	n = json_integer_value(member);
	if (n < min || n > max)
		return error_set(error, -EINVAL,
				 "%s must be from %ld to %ld, not %lld", key,
				 min, max, (long long)n);
	*value = n;
	return 0;
}

/* "64G" in bytes; 0: it is no such text. */
static uint64_t bytes_of(const char *text)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	unsigned shift = 0;
	uint64_t n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (errno || *end || n > UINT64_MAX >> shift)
		return 0;
	return n << shift;
}

int params_bytes(json_t *params, const char *key, uint64_t def, uint64_t min,
		 uint64_t max, uint64_t *value, struct glen_error *error)
{
	json_t *member;
	json_int_t n;
	int err = check_object(params, error);

	if (err)
		return err;
	*value = def;
	member = json_object_get(params, key);
	if (!member)
		return 0;
	n = json_integer_value(member);
	*value = json_is_string(member) ? bytes_of(json_string_value(member)) :
		 n > 0			? (uint64_t)n :
					  0;
	if (*value < min || *value > max)
		return error_set(error, -EINVAL,
				 "%s must be a number of bytes from %llu to "
				 "%llu, or one of KiB, MiB, GiB or TiB as 64G",
				 key, (unsigned long long)min,
				 (unsigned long long)max);
	return 0;
}

int params_bool(json_t *params, const char *key, bool def, bool *value,
		struct glen_error *error)
{
	json_t *member;
	int err = check_object(params, error);

	if (err)
		return err;
	*value = def;
	member = json_object_get(params, key);
	if (!member)
		return 0;
	if (!json_is_boolean(member))
		return error_set(error, -EINVAL,
				 "%s must be true or false, not %s", key,
				 json_kind(member));
	*value = json_is_true(member);
	return 0;
}

int params_str(json_t *params, const char *key, const char **value,
	       struct glen_error *error)
{
	json_t *member;
	int err = check_object(params, error);

	if (err)
		return err;
	*value = NULL;
	member = json_object_get(params, key);
	if (!member)
		return 0;
	if (!json_is_string(member))
		return error_set(error, -EINVAL, "%s must be a string, not %s",
				 key, json_kind(member));
	*value = json_string_value(member);
	return 0;
}
