// SPDX-License-Identifier: BSD-2-Clause
// request.c - reads an HTTP/1.x request.
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "request.h"

/* A piece of text. */
struct span {
	const char *at;
	size_t len;
};

static bool is_token(struct span s)
{
	static const char other[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z'))
			continue;
		if (!c || !strchr(other, c))
			return false;
	}
	return s.len > 0;
}

static bool is(struct span s, const char *word)
{
	return s.len == strlen(word) && !strncasecmp(s.at, word, s.len);
}

/* Takes what is before the first c off *s; false if there is no c. */
static bool split(struct span *s, char c, struct span *before)
{
	const char *at = memchr(s->at, c, s->len);

	if (!at)
		return false;
	before->at = s->at;
	before->len = (size_t)(at - s->at);
	s->len -= before->len + 1;
	s->at = at + 1;
	return true;
}

static struct span trim(struct span s)
{
	while (s.len && (*s.at == ' ' || *s.at == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* A line without its end; false if the end is not there. */
static bool next_line(struct span *rest, struct span *line)
{
	if (!split(rest, '\n', line))
		return false;
	if (line->len && line->at[line->len - 1] == '\r')
		line->len--;
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Replaces %XX. Returns the new length, or -1. */
static int decode(struct span from, char *to)
{
	int n = 0;

	for (size_t i = 0; i < from.len; i++) {
		char c = from.at[i];

		if (c == '%') {
			int high, low;

			if (from.len - i < 3)
				return -1;
			high = hex(from.at[i + 1]);
			low = hex(from.at[i + 2]);
			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7f)
			return -1;
		to[n++] = c;
	}
	to[n] = 0;
	return n;
}

/* Takes "//", "." and ".." out of a path, in place; -1: above the root. */
static int resolve_dots(char *path)
{
	char *out = path, *in = path;

	while (*in) {
		char *end;
		size_t len;

		while (*in == '/')
			in++;
		end = strchr(in, '/');
		len = end ? (size_t)(end - in) : strlen(in);
		if (len == 2 && in[0] == '.' && in[1] == '.') {
			if (out == path)
				return -1;
			while (*--out != '/')
				;
			if (!end)
				*out++ = '/';
		} else if (len == 1 && in[0] == '.') {
			if (!end)
				*out++ = '/';
		} else {
			*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len;
	}
	if (out == path)
		*out++ = '/';
	*out = 0;
	return 0;
}

/* What is asked for: "/path?query", or the same behind "http://host". */
static int read_target(struct request *r, struct span t)
{
	struct span path;

	if (t.len > 7 && !strncasecmp(t.at, "http://", 7)) {
		const char *slash = memchr(t.at + 7, '/', t.len - 7);

		if (!slash)
			return -400;
		t.len -= (size_t)(slash - t.at);
		t.at = slash;
	}
	if (!t.len || *t.at != '/' || memchr(t.at, '#', t.len))
		return -400;
	path = t;
	split(&t, '?', &path);
	if (path.len >= REQUEST_PATH_MAX)
		return -414;
	if (decode(path, r->path) < 0 || resolve_dots(r->path))
		return -400;
	return 0;
}

static int read_first_line(struct request *r, struct span line)
{
	struct span method, target;
	int err;

	if (!split(&line, ' ', &method) || !split(&line, ' ', &target) ||
	    !is_token(method))
		return -400;
	if (line.len != 8 || memcmp(line.at, "HTTP/", 5) || line.at[5] < '0' ||
	    line.at[5] > '9' || line.at[6] != '.' || line.at[7] < '0' ||
	    line.at[7] > '9')
		return -400;
	if (line.at[5] != '1')
		return -505;
	r->keep_alive = line.at[7] != '0';
	err = read_target(r, target);
	if (err)
		return err;
	r->head = method.len == 4 && !memcmp(method.at, "HEAD", 4);
	if (!r->head && (method.len != 3 || memcmp(method.at, "GET", 3)))
		return -405;
	return 0;
}

static void read_connection(struct request *r, struct span value, bool *close)
{
	struct span word;

	do {
		word = value;
		if (!split(&value, ',', &word))
			value.len = 0;
		word = trim(word);
		if (is(word, "close"))
			*close = true;
		else if (is(word, "keep-alive"))
			r->keep_alive = true;
	} while (value.len);
}

struct fields {
	unsigned hosts;
	bool close, body;
};

static int read_field(struct request *r, struct fields *f, struct span line)
{
	struct span name, value = line;

	if (!split(&value, ':', &name) || !is_token(name))
		return -400;
	value = trim(value);
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.at[i] < 0x20 &&
		     value.at[i] != '\t') ||
		    value.at[i] == 0x7f)
			return -400;
	if (is(name, "host"))
		f->hosts++;
	else if (is(name, "connection"))
		read_connection(r, value, &f->close);
	else if (is(name, "transfer-encoding"))
		f->body = true;
	else if (is(name, "content-length") && !is(value, "0"))
		f->body = true;
	return 0;
}

/* How long the request is, 0 if its end is not there; first: its start. */
static size_t find_end(const char *text, size_t len, size_t *first)
{
	size_t start = 0;

	while (start < len && (text[start] == '\r' || text[start] == '\n'))
		start++;
	*first = start;
	for (size_t i = start; i < len; i++) {
		if (text[i] != '\n')
			continue;
		if (i + 1 < len && text[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && text[i + 1] == '\r' && text[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

int request_parse(struct request *r, const char *text, size_t len)
{
	size_t first, end = find_end(text, len, &first);
	struct fields f = { 0 };
	struct span rest, line = { 0 };
	bool is_11;
	int err;

	if (!end)
		return len >= REQUEST_MAX ? -431 : 0;
	if (end > REQUEST_MAX)
		return -431;
	rest.at = text + first;
	rest.len = end - first;
	next_line(&rest, &line);
	err = read_first_line(r, line);
	if (err)
		return err;
	is_11 = r->keep_alive;
	while (next_line(&rest, &line) && line.len) {
		err = read_field(r, &f, line);
		if (err)
			return err;
	}
	if (f.hosts > 1 || (is_11 && !f.hosts) || f.body)
		return -400;
	if (f.close)
		r->keep_alive = false;
	return (int)end;
}
