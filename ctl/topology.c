// SPDX-License-Identifier: BSD-2-Clause
// topology.c - reads YAML topology files into JSON, with line numbers.
#include "ctl/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/error.h"

enum { KEY_SHOWN = 60, NUMBER_MAX = 40 };

/* A mapping or sequence that is being read. */
struct level {
	json_t *object;	 /* borrowed from its parent, or the document's root */
	char *key;	 /* of the member whose value comes next; NULL: a key */
	size_t path_len; /* of the parser's path up to this level */
};

struct parser {
	yaml_parser_t yaml;
	struct topology *t;
	struct glen_error *error;
	struct level levels[TOPOLOGY_DEPTH_MAX];
	unsigned depth; /* levels in use */
	bool seen;	/* the document's root was read */
	bool documents; /* a document was read to its end */
	char path[CONFIG_WHERE_SIZE];
};

static int refuse(struct parser *p, size_t line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* line counts from 0, as libyaml does. */
static int refuse(struct parser *p, size_t line, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(p->error, -EINVAL, "%.90s:%zu: %s", p->t->file,
			 line + 1, text);
}

static int no_memory(struct parser *p)
{
	return error_set(p->error, -ENOMEM, "out of memory");
}

/* Scalars */

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

/* An integer; 1: it is none; -ERANGE: too large. */
static int read_integer(const char *text, json_t **value)
{
	const char *digits = text + (*text == '-' || *text == '+');
	bool hex = !strncmp(digits, "0x", 2);
	const char *set = hex ? "0123456789abcdefABCDEF" : "0123456789";
	long long n;

	digits += hex ? 2 : 0;
	if (!*digits || digits[strspn(digits, set)])
		return 1;
	errno = 0;
	n = strtoll(text, NULL, hex ? 16 : 10);
	if (errno)
		return -ERANGE;
	*value = json_integer(n);
	return 0;
}

/* A number with a fraction or an exponent; false: it is none. */
static bool read_real(const char *text, json_t **value)
{
	char *end;
	double d;

	if (strlen(text) > NUMBER_MAX ||
	    text[strspn(text, "0123456789.eE+-")] ||
	    !strpbrk(text, "0123456789"))
		return false;
	d = strtod(text, &end);
	if (*end)
		return false;
	*value = json_real(d);
	return *value != NULL;
}

/* The value of a scalar that was written without quotes. */
static int read_plain(struct parser *p, const char *text, size_t line,
		      json_t **value)
{
	static const char *const nulls[] = { "",     "~",    "null",
					     "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", NULL };
	static const char *const falses[] = { "false", "False", "FALSE", NULL };
	int err;

	if (one_of(text, nulls)) {
		*value = json_null();
	} else if (one_of(text, trues)) {
		*value = json_true();
	} else if (one_of(text, falses)) {
		*value = json_false();
	} else {
		err = read_integer(text, value);
		if (err == -ERANGE)
			return refuse(p, line, "number %.40s is too large",
				      text);
		if (err && !read_real(text, value))
			*value = json_string(text);
	}
	return *value ? 0 : no_memory(p);
}

/* The characters of a scalar as a C string; libyaml ends them with a NUL. */
static const char *scalar_text(struct parser *p, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;

	if (strlen(text) == event->data.scalar.length)
		return text;
	refuse(p, event->start_mark.line, "a text must not contain \\0");
	return NULL;
}

static int read_scalar(struct parser *p, const yaml_event_t *event,
		       json_t **value)
{
	const char *text = scalar_text(p, event);

	*value = NULL;
	if (!text)
		return -EINVAL;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return read_plain(p, text, event->start_mark.line, value);
	*value = json_string(text);
	return *value ? 0 : no_memory(p);
}

/* Structure */

/* Remembers the line of the member at path. */
static int note_line(struct parser *p, size_t line)
{
	if (json_object_set_new(p->t->lines, p->path, json_integer(line + 1)))
		return no_memory(p);
	return 0;
}

/* Puts a value where the document is right now; takes it. */
static int put_value(struct parser *p, json_t *value, size_t line)
{
	struct level *l = p->depth ? &p->levels[p->depth - 1] : NULL;
	int err;

	if (!l) {
		if (p->seen) {
			json_decref(value);
			return refuse(p, line, "more than one value");
		}
		p->seen = true;
		json_decref(p->t->config);
		p->t->config = value;
		return note_line(p, line);
	}
	if (json_is_array(l->object)) {
		err = json_array_append_new(l->object, value);
	} else {
		err = json_object_set_new(l->object, l->key, value);
		free(l->key);
		l->key = NULL;
	}
	return err ? no_memory(p) : 0;
}

/* A scalar where a mapping expects a key. */
static int put_key(struct parser *p, struct level *l, const yaml_event_t *event)
{
	const char *key = scalar_text(p, event);
	size_t line = event->start_mark.line;

	if (!key)
		return -EINVAL;
	if (json_object_get(l->object, key))
		return refuse(p, line, "'%.40s' is there twice", key);
	l->key = strdup(key);
	if (!l->key)
		return no_memory(p);
	snprintf(p->path + l->path_len, sizeof(p->path) - l->path_len, "%s%.*s",
		 l->path_len ? "/" : "", KEY_SHOWN, key);
	return note_line(p, line);
}

static int begin(struct parser *p, json_t *object, const yaml_event_t *event)
{
	size_t line = event->start_mark.line;
	struct level *l = p->depth ? &p->levels[p->depth - 1] : NULL;
	int err;

	if (!object)
		return no_memory(p);
	if (p->depth == TOPOLOGY_DEPTH_MAX) {
		json_decref(object);
		return refuse(p, line, "more than %d levels",
			      TOPOLOGY_DEPTH_MAX);
	}
	if (l && json_is_object(l->object) && !l->key) {
		json_decref(object);
		return refuse(p, line, "a key must be a plain word");
	}
	err = put_value(p, object, line);
	if (err)
		return err;
	l = &p->levels[p->depth++];
	l->object = object;
	l->key = NULL;
	l->path_len = strlen(p->path);
	return 0;
}

static void end(struct parser *p)
{
	struct level *l = &p->levels[--p->depth];

	/* Back to the path of the mapping around this one. */
	l->object = NULL;
	p->path[p->depth ? p->levels[p->depth - 1].path_len : 0] = '\0';
}

static int put_scalar(struct parser *p, const yaml_event_t *event)
{
	struct level *l = p->depth ? &p->levels[p->depth - 1] : NULL;
	json_t *value;
	int err;

	if (l && json_is_object(l->object) && !l->key)
		return put_key(p, l, event);
	err = read_scalar(p, event, &value);
	if (err)
		return err;
	return put_value(p, value, event->start_mark.line);
}

/* What this subset leaves out. */
static int check_node(struct parser *p, const yaml_event_t *event,
		      const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return refuse(p, event->start_mark.line,
			      "anchors (&%.30s) are not supported", anchor);
	if (tag)
		return refuse(p, event->start_mark.line,
			      "tags (%.30s) are not supported", tag);
	return 0;
}

/* One event; 1: the end of the text. */
static int on_event(struct parser *p, const yaml_event_t *event)
{
	size_t line = event->start_mark.line;
	int err = 0;

	switch (event->type) {
	case YAML_STREAM_END_EVENT:
		return 1;
	case YAML_DOCUMENT_START_EVENT:
		if (p->documents)
			err = refuse(p, line, "a second document (---)");
		break;
	case YAML_DOCUMENT_END_EVENT:
		p->documents = true;
		break;
	case YAML_ALIAS_EVENT:
		err = refuse(p, line, "aliases (*%.30s) are not supported",
			     event->data.alias.anchor);
		break;
	case YAML_SCALAR_EVENT:
		err = check_node(p, event, event->data.scalar.anchor,
				 event->data.scalar.tag);
		if (!err)
			err = put_scalar(p, event);
		break;
	case YAML_MAPPING_START_EVENT:
		err = check_node(p, event, event->data.mapping_start.anchor,
				 event->data.mapping_start.tag);
		if (!err)
			err = begin(p, json_object(), event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		err = check_node(p, event, event->data.sequence_start.anchor,
				 event->data.sequence_start.tag);
		if (!err)
			err = begin(p, json_array(), event);
		break;
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		end(p);
		break;
	case YAML_STREAM_START_EVENT:
	case YAML_NO_EVENT:
		break;
	}
	return err;
}

/* libyaml's own complaint. */
static int yaml_error(struct parser *p)
{
	const yaml_parser_t *y = &p->yaml;
	size_t line = y->problem_mark.line;

	if (y->error == YAML_MEMORY_ERROR)
		return no_memory(p);
	/* Reader errors have an offset only; the mark is how far it came. */
	if (y->error == YAML_READER_ERROR)
		line = y->mark.line;
	return refuse(p, line, "%s%s%s", y->problem ? y->problem : "not YAML",
		      y->context ? ", " : "", y->context ? y->context : "");
}

static int parse(struct parser *p)
{
	yaml_event_t event;
	int err;

	do {
		if (!yaml_parser_parse(&p->yaml, &event))
			return yaml_error(p);
		err = on_event(p, &event);
		yaml_event_delete(&event);
	} while (!err);
	return err < 0 ? err : 0;
}

int topology_parse(const char *name, const char *text, size_t len,
		   struct topology **result, struct glen_error *error)
{
	struct parser p = { .error = error };
	int err = -ENOMEM;

	if (len > TOPOLOGY_SIZE_MAX)
		return error_set(error, -EFBIG, "%.90s: larger than %d MiB",
				 name, TOPOLOGY_SIZE_MAX >> 20);
	p.t = calloc(1, sizeof(*p.t));
	if (!p.t)
		return no_memory(&p);
	p.t->config = json_object();
	p.t->lines = json_object();
	p.t->file = strdup(name);
	if (!p.t->config || !p.t->lines || !p.t->file ||
	    !yaml_parser_initialize(&p.yaml)) {
		no_memory(&p);
		goto err_topology;
	}
	yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
	err = parse(&p);
	while (p.depth)
		free(p.levels[--p.depth].key);
	yaml_parser_delete(&p.yaml);
	if (err)
		goto err_topology;
	/* A file of comments only. */
	if (json_is_null(p.t->config)) {
		json_decref(p.t->config);
		p.t->config = json_object();
	}
	*result = p.t;
	return 0;

err_topology:
	topology_destroy(p.t);
	return err;
}

/* Reads a descriptor to its end, at most one byte more than is allowed. */
static int read_all(int fd, char **text, size_t *len)
{
	size_t size = 65536;
	ssize_t n = 1;

	*len = 0;
	*text = malloc(size);
	while (*text && n && *len <= TOPOLOGY_SIZE_MAX) {
		if (*len == size) {
			char *more = realloc(*text, size *= 2);

			if (!more)
				break;
			*text = more;
		}
		n = read(fd, *text + *len, size - *len);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n < 0)
			return -errno;
		*len += n;
	}
	return !n || *len > TOPOLOGY_SIZE_MAX ? 0 : -ENOMEM;
}

int topology_load(const char *path, struct topology **t,
		  struct glen_error *error)
{
	bool standard = !strcmp(path, "-");
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len;
	int err;

	if (fd < 0)
		return error_set(error, -errno, "cannot open %.150s: %s", path,
				 strerror(errno));
	err = read_all(fd, &text, &len);
	if (!standard)
		close(fd);
	if (err)
		error_set(error, err, "cannot read %.150s: %s", path,
			  strerror(-err));
	else
		err = topology_parse(standard ? "standard input" : path, text,
				     len, t, error);
	free(text);
	return err;
}

void topology_destroy(struct topology *t)
{
	if (!t)
		return;
	json_decref(t->config);
	json_decref(t->lines);
	free(t->file);
	free(t);
}

void topology_locate(const struct topology *t, const struct config_where *where,
		     struct glen_error *error)
{
	char path[CONFIG_WHERE_SIZE];
	struct glen_error was = *error;
	json_t *line;
	char *slash;

	memcpy(path, where->path, sizeof(path));
	for (;;) {
		line = json_object_get(t->lines, path);
		if (line || !path[0])
			break;
		slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
	}
	error_set(error, was.code, "%.90s:%d: %s", t->file,
		  line ? (int)json_integer_value(line) : 1, was.text);
}
