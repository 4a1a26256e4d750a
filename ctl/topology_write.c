// SPDX-License-Identifier: BSD-2-Clause
// topology_write.c - writes a configuration as YAML.
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "ctl/topology.h"

/* A text that grows; libyaml hands it pieces. */
struct text {
	char *data;
	size_t len, size;
};

static int text_append(void *arg, unsigned char *piece, size_t size)
{
	struct text *text = arg;

	if (size >= text->size - text->len) {
		size_t more = 2 * (text->size + size);
		char *data = realloc(text->data, more);

		if (!data)
			return 0;
		text->data = data;
		text->size = more;
	}
	memcpy(text->data + text->len, piece, size);
	text->len += size;
	text->data[text->len] = '\0';
	return 1;
}

/* True if the string, written without quotes, would be read as a string. */
static bool reads_as_string(const char *string)
{
	struct glen_error error;
	struct topology *t;
	bool same;

	if (topology_parse("", string, strlen(string), &t, &error))
		return false;
	same = json_is_string(t->config) &&
	       !strcmp(json_string_value(t->config), string);
	topology_destroy(t);
	return same;
}

static int emit_text(yaml_emitter_t *e, const char *text, bool quoted)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(
		       &event, NULL, NULL, (yaml_char_t *)text, strlen(text),
		       !quoted, 1,
		       quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE :
				YAML_PLAIN_SCALAR_STYLE) &&
	       yaml_emitter_emit(e, &event);
}

static int emit_string(yaml_emitter_t *e, const char *text)
{
	return emit_text(e, text, !reads_as_string(text));
}

static int emit(yaml_emitter_t *e, json_t *value);

static int emit_object(yaml_emitter_t *e, json_t *object)
{
	yaml_event_t event;
	const char *key;
	json_t *value;
	int ok;

	ok = yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
						 YAML_BLOCK_MAPPING_STYLE) &&
	     yaml_emitter_emit(e, &event);
	json_object_foreach(object, key, value) {
		ok = ok && emit_string(e, key) && emit(e, value);
	}
	return ok && yaml_mapping_end_event_initialize(&event) &&
	       yaml_emitter_emit(e, &event);
}

static int emit_array(yaml_emitter_t *e, json_t *array)
{
	yaml_event_t event;
	json_t *value;
	size_t i;
	int ok;

	ok = yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						  YAML_FLOW_SEQUENCE_STYLE) &&
	     yaml_emitter_emit(e, &event);
	json_array_foreach(array, i, value) {
		ok = ok && emit(e, value);
	}
	return ok && yaml_sequence_end_event_initialize(&event) &&
	       yaml_emitter_emit(e, &event);
}

static int emit(yaml_emitter_t *e, json_t *value)
{
	char *text;
	int ok;

	if (json_is_object(value))
		return emit_object(e, value);
	if (json_is_array(value))
		return emit_array(e, value);
	if (json_is_string(value))
		return emit_string(e, json_string_value(value));
	/* Numbers, booleans and null look alike in JSON and YAML. */
	text = json_dumps(value, JSON_ENCODE_ANY);
	ok = text && emit_text(e, text, false);
	free(text);
	return ok;
}

char *topology_format(json_t *config)
{
	struct text text = { .size = 4096 };
	yaml_emitter_t e;
	yaml_event_t event;
	int ok;

	text.data = calloc(1, text.size);
	if (!text.data || !yaml_emitter_initialize(&e)) {
		free(text.data);
		return NULL;
	}
	yaml_emitter_set_output(&e, text_append, &text);
	yaml_emitter_set_unicode(&e, 1);
	yaml_emitter_set_width(&e, -1);
	ok = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
	     yaml_emitter_emit(&e, &event) &&
	     yaml_document_start_event_initialize(&event, NULL, NULL, NULL,
						  1) &&
	     yaml_emitter_emit(&e, &event) && emit(&e, config) &&
	     yaml_document_end_event_initialize(&event, 1) &&
	     yaml_emitter_emit(&e, &event) &&
	     yaml_stream_end_event_initialize(&event) &&
	     yaml_emitter_emit(&e, &event);
	yaml_emitter_delete(&e);
	if (ok)
		return text.data;
	free(text.data);
	return NULL;
}
