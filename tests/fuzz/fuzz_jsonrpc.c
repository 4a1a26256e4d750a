// SPDX-License-Identifier: BSD-2-Clause
// fuzz_jsonrpc.c - requests of any bytes, run on switches of their own.
#include "fuzz.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/config.h"
#include "ctl/jsonrpc.h"
#include "ctl/methods.h"

/* Drivers that touch files or the kernel stay out of this. */
static bool is_harmless(json_t *params)
{
	const char *driver = json_string_value(
		json_object_get(params, "driver"));

	return !driver || !strcmp(driver, "dummy");
}

static bool config_is_harmless(json_t *config)
{
	json_t *sw, *port;
	const char *key, *name;

	json_object_foreach(json_object_get(config, "switches"), key, sw) {
		json_object_foreach(json_object_get(sw, "ports"), name, port) {
			if (!is_harmless(port))
				return false;
		}
	}
	return true;
}

static void apply(struct control *ctl, json_t *params, struct glen_error *error)
{
	json_t *config = json_object_get(params, "config");
	json_t *changes = json_array(), *again = json_array();
	struct config_where where;

	/* What was applied needs no change any more. */
	if (config && config_is_harmless(config) &&
	    !config_apply(ctl, config, false, changes, &where, error)) {
		FUZZ_CHECK(
			!config_apply(ctl, config, true, again, &where, error));
		FUZZ_CHECK(!json_array_size(again));
	}
	json_decref(changes);
	json_decref(again);
}

static void run(struct control *ctl, const char *line, size_t len)
{
	struct jsonrpc_request r;
	struct glen_error error = { 0 };
	json_t *result = NULL;
	int err = jsonrpc_parse(line, len, &r, &error);

	if (!err && !strcmp(r.method, "config.apply")) {
		apply(ctl, r.params, &error);
	} else if (!err && is_harmless(r.params)) {
		err = method_call(ctl, r.method, r.params, &result, &error);
		FUZZ_CHECK(err || result);
		FUZZ_CHECK(!err || err == -ENOSYS || error.text[0]);
	}
	free(jsonrpc_line(err ? jsonrpc_error(r.id, err, error.text, NULL) :
				jsonrpc_result(r.id, result),
			  &len));
	jsonrpc_fini(&r);
}

/* Each line is a request; all run on the same engine. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *line = (const char *)data, *end = line + size;
	struct engine_config config = { .n_workers = 1 };
	struct control ctl = { .reserved = json_object() };
	struct glen_error error;

	FUZZ_CHECK(!engine_create(&ctl.engine, &config, &error));
	for (int i = 0; i < 16 && line < end; i++) {
		const char *next = memchr(line, '\n', end - line);

		if (!next)
			next = end;
		run(&ctl, line, next - line);
		line = next + 1;
	}
	engine_destroy(ctl.engine);
	json_decref(ctl.reserved);
	return 0;
}
