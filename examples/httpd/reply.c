// SPDX-License-Identifier: BSD-2-Clause
// reply.c - reads the head of an HTTP/1.x answer.
#include <string.h>
#include <strings.h>

#include "reply.h"

/* A line [*at, end) without its CR LF; false at the empty one. */
static bool next_line(const char **at, const char *end, const char **line,
		      size_t *len)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));

	if (!nl)
		return false;
	*line = *at;
	*len = (size_t)(nl - *at);
	if (*len && nl[-1] == '\r')
		--*len;
	*at = nl + 1;
	return *len > 0;
}

/* The value of a line "name: value"; NULL if it has another name. */
static const char *value_of(const char *line, size_t len, const char *name,
			    size_t *value_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n))
		return NULL;
	for (n++; n < len && (line[n] == ' ' || line[n] == '\t'); n++)
		;
	*value_len = len - n;
	return line + n;
}

static bool read_number(const char *text, size_t len, uint64_t *n)
{
	*n = 0;
	if (!len || len > 18)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*n = *n * 10 + (uint64_t)(text[i] - '0');
	}
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool read_status(struct reply *r, const char *line, size_t len)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) || line[8] != ' ' ||
	    !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]))
		return false;
	r->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] -
		    '0';
	r->close = line[7] == '0';
	return true;
}

int reply_parse(struct reply *r, const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4), *at = text;
	const char *line, *value;
	size_t line_len, n;
	bool known = false;

	if (!end)
		return 0;
	end += 4;
	memset(r, 0, sizeof(*r));
	if (!next_line(&at, end, &line, &line_len) ||
	    !read_status(r, line, line_len))
		return -1;
	while (next_line(&at, end, &line, &line_len)) {
		value = value_of(line, line_len, "content-length", &n);
		if (value && !read_number(value, n, &r->len))
			return -1;
		known |= !!value;
		value = value_of(line, line_len, "connection", &n);
		if (value && n == 5 && !strncasecmp(value, "close", 5))
			r->close = true;
	}
	return known ? (int)(end - text) : -1;
}
