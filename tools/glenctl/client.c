// SPDX-License-Identifier: BSD-2-Clause
// client.c - calls to glend, and what glenctl says when they fail.
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/glenctl/glenctl.h"

static bool json_errors; /* complain() has no struct ctl */

void print_errors_as_json(bool on)
{
	json_errors = on;
}

/* "glenctl COMMAND: ..." on stderr, and as JSON to a program that reads it. */
static void say(enum exit_code code, const char *command, const char *format,
		va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		return;
	fflush(stdout);
	fprintf(stderr, "glenctl%s%s: %s\n", *command ? " " : "", command,
		text);
	if (json_errors) {
		json_t *error = json_pack("{s:{s:i, s:s}}", "error", "exit",
					  (int)code, "message", text);

		/* A word of the command line need not be UTF-8. */
		if (!error)
			error = json_pack("{s:{s:i, s:s}}", "error", "exit",
					  (int)code, "message",
					  "see standard error");
		json_dumpf(error, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
		json_decref(error);
	}
	free(text);
}

int complain(enum exit_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(code, "", format, args);
	va_end(args);
	return code;
}

int bad_usage(const struct ctl *ctl, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(EXIT_USAGE, ctl->path, format, args);
	va_end(args);
	if (ctl->command && ctl->command->run)
		fprintf(stderr, "Usage: glenctl %s%s%s\n", ctl->path,
			*ctl->command->args ? " " : "", ctl->command->args);
	fprintf(stderr, "Try: glenctl%s%s --help\n", *ctl->path ? " " : "",
		ctl->path);
	return EXIT_USAGE;
}

bool stdout_left(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

static const char *socket_path(const struct ctl *ctl)
{
	return ctl->socket ? ctl->socket : glen_default_socket();
}

static int cannot_connect(const struct ctl *ctl, int err,
			  const struct glen_error *error)
{
	const char *path = socket_path(ctl);

	if (err == -ENOENT || err == -ECONNREFUSED)
		return complain(EXIT_UNREACHABLE,
				"%s at %s: is glend running? Start it with "
				"\"glend\" or \"systemctl start glend\", or "
				"name its socket with --socket or GLEN_SOCKET",
				err == -ENOENT ? "there is no socket" :
						 "nobody listens",
				path);
	if (err == -EACCES || err == -EPERM)
		return complain(EXIT_UNREACHABLE,
				"no permission to use %s: run glenctl as the "
				"user of glend, or join the group of the "
				"socket (ls -l shows it)",
				path);
	return complain(EXIT_UNREACHABLE, "cannot reach glend at %s: %s", path,
			error->text[0] ? error->text : strerror(-err));
}

static int connect_once(struct ctl *ctl)
{
	struct glen_error error = { 0 };
	int ret;

	if (ctl->connected)
		return EXIT_OK;
	ret = rpc_open(&ctl->rpc, ctl->socket, 0, &error);
	if (ret)
		return cannot_connect(ctl, ret, &error);
	ctl->connected = true;
	return EXIT_OK;
}

int call(struct ctl *ctl, const char *method, json_t *params, int timeout_ms,
	 json_t **result)
{
	struct glen_error error = { 0 };
	int ret;

	ret = connect_once(ctl);
	if (ret) {
		json_decref(params);
		return ret;
	}
	ret = rpc_call(&ctl->rpc, method, params, NULL, 0, result, timeout_ms,
		       &error);
	if (!ret)
		return EXIT_OK;
	if (ret == -ECONNRESET || ret == -EPROTO || ret == -EPIPE)
		return complain(EXIT_UNREACHABLE, "glend at %s: %s",
				socket_path(ctl),
				error.text[0] ? error.text :
						"the connection broke");
	return complain(ret == -ETIMEDOUT ? EXIT_TIMEOUT : EXIT_REFUSED, "%s",
			error.text[0] ? error.text : strerror(-ret));
}

int call_quiet(struct ctl *ctl, const char *method, json_t *params)
{
	json_t *result = NULL;
	int ret = call(ctl, method, params, CALL_TIMEOUT_MS, &result);

	if (!ret && ctl->json)
		return print_json(result);
	json_decref(result);
	return ret;
}

int print_json(json_t *value)
{
	json_dumpf(value, stdout,
		   JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
	putchar('\n');
	fflush(stdout);
	json_decref(value);
	return EXIT_OK;
}

static const char *sort_key; /* for compare(); qsort() passes no context */

static int compare(const void *a, const void *b)
{
	return strverscmp(get_str(*(json_t *const *)a, sort_key),
			  get_str(*(json_t *const *)b, sort_key));
}

void sort_by(json_t *array, const char *key)
{
	size_t n = json_array_size(array), i;
	json_t **values = calloc(n ? n : 1, sizeof(*values)), *value;

	if (!values)
		return;
	json_array_foreach(array, i, value)
		values[i] = json_incref(value);
	sort_key = key;
	qsort(values, n, sizeof(*values), compare);
	for (i = 0; i < n; i++)
		json_array_set_new(array, i, values[i]);
	free(values);
}

const char *get_str(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t get_u64(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_real(value) ? (uint64_t)json_real_value(value) :
				     (uint64_t)json_integer_value(value);
}

bool get_bool(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
