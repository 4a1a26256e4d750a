// SPDX-License-Identifier: BSD-2-Clause
// fuzz_yaml.c - topology files of any bytes: read, checked, written again.
#include "fuzz.h"

#include <string.h>

#include "ctl/topology.h"

/* What was written must read as what it was. */
static void write_and_read(json_t *config)
{
	struct glen_error error;
	struct topology *t;
	char *text = topology_format(config);

	FUZZ_CHECK(text);
	/* Longer than what it was read from, perhaps too long. */
	if (strlen(text) <= TOPOLOGY_SIZE_MAX) {
		FUZZ_CHECK(!topology_parse("again", text, strlen(text), &t,
					   &error));
		FUZZ_CHECK(json_equal(t->config, config));
		topology_destroy(t);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_where where;
	struct glen_error error = { 0 };
	struct topology *t;

	if (topology_parse("fuzz", (const char *)data, size, &t, &error)) {
		FUZZ_CHECK(error.text[0] && error.code < 0);
		return 0;
	}
	if (config_check(NULL, t->config, &where, &error)) {
		topology_locate(t, &where, &error);
		FUZZ_CHECK(!strncmp(error.text, "fuzz:", 5));
	}
	write_and_read(t->config);
	topology_destroy(t);
	return 0;
}
