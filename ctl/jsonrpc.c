// SPDX-License-Identifier: BSD-2-Clause
// jsonrpc.c - JSON-RPC 2.0 messages, without any transport.
#include "ctl/jsonrpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

/*
 * True if brackets outside of strings nest too deep. Comes before the parser,
 * which recurses.
 */
static bool too_deep(const char *line, size_t len)
{
	bool string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSONRPC_DEPTH_MAX)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return false;
}

/* The members of the envelope; nothing else may be there. */
static int check_envelope(struct jsonrpc_request *r, struct glen_error *error)
{
	static const char *const known[] = { "jsonrpc", "id", "method",
					     "params", NULL };
	json_t *version = json_object_get(r->root, "jsonrpc"), *value;
	const char *key;

	json_object_foreach(r->root, key, value) {
		const char *const *k = known;

		while (*k && strcmp(*k, key))
			k++;
		if (!*k)
			return error_set(error, JSONRPC_NOT_REQUEST,
					 "a request has no member '%.40s'",
					 key);
	}
	if (!json_is_string(version) ||
	    strcmp(json_string_value(version), "2.0"))
		return error_set(error, JSONRPC_NOT_REQUEST,
				 "a request needs \"jsonrpc\": \"2.0\"");
	if (!r->id)
		return error_set(error, JSONRPC_NOT_REQUEST,
				 "a request needs an id, a string or an "
				 "integer");
	if (!r->method || strlen(r->method) > JSONRPC_METHOD_MAX)
		return error_set(error, JSONRPC_NOT_REQUEST,
				 "a request needs a method, a string of at "
				 "most %d bytes",
				 JSONRPC_METHOD_MAX);
	if (r->params && !json_is_object(r->params))
		return error_set(error, JSONRPC_BAD_PARAMS,
				 "params must be an object");
	return 0;
}

int jsonrpc_parse(const char *line, size_t len, struct jsonrpc_request *r,
		  struct glen_error *error)
{
	json_error_t why;
	json_t *id;

	memset(r, 0, sizeof(*r));
	if (too_deep(line, len))
		return error_set(error, JSONRPC_NOT_JSON,
				 "more than %d levels of brackets",
				 JSONRPC_DEPTH_MAX);
	r->root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!r->root)
		return error_set(error, JSONRPC_NOT_JSON,
				 "not JSON: %.120s at byte %d", why.text,
				 why.position);
	if (json_is_array(r->root))
		return error_set(error, JSONRPC_NOT_REQUEST,
				 "batches are not supported: send one request "
				 "per line");
	if (!json_is_object(r->root))
		return error_set(error, JSONRPC_NOT_REQUEST,
				 "a request must be an object");
	id = json_object_get(r->root, "id");
	if (json_is_string(id) || json_is_integer(id))
		r->id = id;
	r->method = json_string_value(json_object_get(r->root, "method"));
	r->params = json_object_get(r->root, "params");
	return check_envelope(r, error);
}

void jsonrpc_fini(struct jsonrpc_request *r)
{
	json_decref(r->root);
	memset(r, 0, sizeof(*r));
}

json_t *jsonrpc_result(json_t *id, json_t *result)
{
	return json_pack("{ss sO? so}", "jsonrpc", "2.0", "id", id, "result",
			 result);
}

/* A text that was cut inside a character is not UTF-8 any more. */
static json_t *error_in_ascii(int code, const char *text)
{
	char ascii[sizeof(((struct glen_error *)0)->text)];
	size_t i;

	for (i = 0; i < sizeof(ascii) - 1 && text[i]; i++)
		ascii[i] = text[i] & 0x80 ? '?' : text[i];
	ascii[i] = '\0';
	return json_pack("{si ss}", "code", code, "message", ascii);
}

json_t *jsonrpc_error(json_t *id, int code, const char *text, const char *where)
{
	const char *name = code > -4096 ? strerrorname_np(-code) : NULL;
	json_t *error = json_pack("{si ss}", "code", code, "message", text);
	json_t *data = json_object();

	if (name)
		json_object_set_new(data, "errno", json_string(name));
	if (where && *where)
		json_object_set_new(data, "path", json_string(where));
	if (!error)
		error = error_in_ascii(code, text);
	if (json_object_size(data))
		json_object_set(error, "data", data);
	json_decref(data);
	return json_pack("{ss sO? so}", "jsonrpc", "2.0", "id", id, "error",
			 error);
}

json_t *jsonrpc_notification(const char *method, json_t *params)
{
	return json_pack("{ss ss so}", "jsonrpc", "2.0", "method", method,
			 "params", params);
}

char *jsonrpc_line(json_t *message, size_t *len)
{
	char *line = message ? json_dumps(message, JSON_COMPACT) : NULL;
	char *more;

	json_decref(message);
	if (!line)
		return NULL;
	*len = strlen(line);
	more = realloc(line, *len + 2);
	if (!more) {
		free(line);
		return NULL;
	}
	more[(*len)++] = '\n';
	more[*len] = '\0';
	return more;
}
