// SPDX-License-Identifier: BSD-2-Clause
// options.c - words of the command line to values.
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tools/glenctl/glenctl.h"

static bool is_string_key(const char *key, size_t len,
			  const char *const *strings)
{
	for (; strings && *strings; strings++)
		if (strlen(*strings) == len && !strncmp(*strings, key, len))
			return true;
	return false;
}

/* The value as JSON, or NULL with *why set. */
static json_t *parse_value(const char *text, bool string, const char **why)
{
	static json_error_t error;
	json_t *value;

	if (string)
		value = json_string(text);
	else {
		value = json_loads(text, JSON_DECODE_ANY, &error);
		if (!value && text[0] && strchr("[{\"", text[0])) {
			*why = error.text;
			return NULL;
		}
		if (!value)
			value = json_string(text);
	}
	*why = "it is not UTF-8 text";
	return value;
}

/*
 * Puts a value where its key says: "learn.access" is the member access of the
 * object learn. Takes value; not 0: it cannot be put there.
 */
static int put_value(json_t *object, char *key, json_t *value, bool *twice)
{
	char *dot = strchr(key, '.');
	json_t *inner;

	if (dot && dot > key && dot[1]) {
		*dot = '\0';
		inner = json_object_get(object, key);
		if (!inner) {
			inner = json_object();
			json_object_set_new(object, key, inner);
		}
		*dot = '.';
		object = inner;
		key = dot + 1;
	}
	*twice = json_object_get(object, key);
	return json_object_set_new(object, key, value);
}

int add_options(const struct ctl *ctl, json_t *object, int argc, char **argv,
		const char *const *strings)
{
	for (int i = 0; i < argc; i++) {
		const char *eq = strchr(argv[i], '=');
		size_t len = eq ? (size_t)(eq - argv[i]) : 0;
		const char *why;
		json_t *value;
		char key[64];
		bool twice = false;
		int failed;

		if (!len || len >= sizeof(key))
			return bad_usage(ctl, "\"%s\" is not key=value",
					 argv[i]);
		memcpy(key, argv[i], len);
		key[len] = '\0';
		value = parse_value(eq + 1, is_string_key(key, len, strings),
				    &why);
		failed = !value || put_value(object, key, value, &twice);
		if (twice)
			return bad_usage(ctl, "%s is given twice", key);
		if (failed)
			return bad_usage(ctl, "cannot read \"%s\": %s", argv[i],
					 why);
	}
	return 0;
}

bool is_port_name(const char *name)
{
	return strchr(name, ':') != NULL;
}

int parse_long(const struct ctl *ctl, const char *what, const char *text,
	       long min, long max, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 0);
	if (end == text || *end || errno || *value < min || *value > max)
		return bad_usage(ctl, "%s must be %ld to %ld, not \"%s\"", what,
				 min, max, text);
	return 0;
}

int parse_seconds(const struct ctl *ctl, const char *what, const char *text,
		  double min, double max, double *value)
{
	char *end;

	*value = strtod(text, &end);
	/* Negated, so that NaN is refused as well. */
	if (end == text || *end || !(*value >= min && *value <= max))
		return bad_usage(ctl, "%s must be %g to %g seconds, not \"%s\"",
				 what, min, max, text);
	return 0;
}

int check_args(const struct ctl *ctl, int argc, int min, int max)
{
	if (argc - 1 < min)
		return bad_usage(ctl, "something is missing");
	if (max >= 0 && argc - 1 > max)
		return bad_usage(ctl, "there is a word too many");
	return 0;
}

int bad_option(const struct ctl *ctl, char **argv)
{
	const char *word = argv[optind - 1];

	/* getopt() has not left a word of short options yet. */
	if (optopt && strncmp(word, "--", 2))
		return bad_usage(ctl, "unknown or incomplete option -%c",
				 optopt);
	return bad_usage(ctl, "unknown or incomplete option %s", word);
}

int no_options(const struct ctl *ctl, int argc, char **argv, int min, int max)
{
	static const struct option none[] = { { 0 } };

	opterr = 0;
	if (getopt_long(argc, argv, "+", none, NULL) != -1)
		return bad_option(ctl, argv);
	/* "--" ends options; what is behind it moves to the front. */
	if (optind > 1)
		return bad_usage(ctl, "\"--\" is not needed here");
	return check_args(ctl, argc, min, max);
}
