// SPDX-License-Identifier: BSD-2-Clause
// lex.c - cuts a rule file into words and says where they are.
#include "nf/firewall/lex.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/error.h"

void fw_lex_init(struct fw_lex *l, const char *file, const char *text,
		 size_t len, struct glen_error *error)
{
	memset(l, 0, sizeof(*l));
	l->file = file;
	l->at = l->line_start = text;
	l->end = text + len;
	l->line = 1;
	l->error = error;
	fw_lex_next(l);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_.:/@-!", c));
}

/* To the next byte that is neither space nor in a comment. */
static void skip(struct fw_lex *l)
{
	while (l->at < l->end &&
	       (*l->at == ' ' || *l->at == '\t' || *l->at == '\r'))
		l->at++;
	if (l->at < l->end && *l->at == '#')
		while (l->at < l->end && *l->at != '\n')
			l->at++;
}

/* n bytes from l->at on are the word. */
static void take(struct fw_lex *l, enum fw_token kind, size_t n)
{
	size_t kept = n > FW_WORD_MAX ? FW_WORD_MAX : n;

	l->kind = n > FW_WORD_MAX ? FW_BAD : kind;
	memcpy(l->word, l->at, kept);
	l->word[kept] = '\0';
	l->at += n;
}

static void take_word(struct fw_lex *l)
{
	const char *p = l->at;

	while (p < l->end && is_word(*p))
		p++;
	take(l, FW_WORD, (size_t)(p - l->at));
}

/* Without its quotes; without an end on its line it is bad. */
static void take_string(struct fw_lex *l)
{
	const char *p = ++l->at;

	while (p < l->end && *p != '"' && isprint((unsigned char)*p))
		p++;
	if (p == l->end || *p != '"') {
		take(l, FW_UNCLOSED, (size_t)(p - l->at));
		return;
	}
	take(l, FW_STRING, (size_t)(p - l->at));
	l->at++;
}

static void take_sign(struct fw_lex *l)
{
	static const char signs[] = "{},;\n";
	static const enum fw_token kinds[] = { FW_OPEN, FW_CLOSE, FW_COMMA,
					       FW_NEWLINE, FW_NEWLINE };
	const char *sign = *l->at ? strchr(signs, *l->at) : NULL;
	bool line_ends = *l->at == '\n';

	take(l, sign ? kinds[sign - signs] : FW_BAD, 1);
	if (line_ends) {
		l->line++;
		l->line_start = l->at;
	}
}

void fw_lex_next(struct fw_lex *l)
{
	skip(l);
	l->word_line = l->line;
	l->word_column = (unsigned)(l->at - l->line_start) + 1;
	if (l->at == l->end)
		take(l, FW_END, 0);
	else if (is_word(*l->at))
		take_word(l);
	else if (*l->at == '"')
		take_string(l);
	else
		take_sign(l);
}

bool fw_lex_is(const struct fw_lex *l, const char *word)
{
	return l->kind == FW_WORD && !strcmp(l->word, word);
}

/* The word as a message shows it. */
static void name_word(const struct fw_lex *l, char *out, size_t size)
{
	unsigned char c = (unsigned char)l->word[0];

	if (l->kind == FW_END)
		snprintf(out, size, "the end of the file");
	else if (l->kind == FW_NEWLINE && c == '\n')
		snprintf(out, size, "the end of the line");
	else if (l->kind == FW_STRING)
		snprintf(out, size, "the text \"%.40s\"", l->word);
	else if (l->kind == FW_BAD && strlen(l->word) == FW_WORD_MAX)
		snprintf(out, size, "a word of more than %d characters",
			 FW_WORD_MAX);
	else if (l->kind == FW_UNCLOSED)
		snprintf(out, size, "a text without its closing quote");
	else if (!isprint(c))
		snprintf(out, size, "the byte 0x%02x", c);
	else
		snprintf(out, size, "'%.60s'", l->word);
}

int fw_lex_expected(struct fw_lex *l, const char *what)
{
	char found[100];

	name_word(l, found, sizeof(found));
	return fw_lex_error(l, -EINVAL, "found %s, expected %s", found, what);
}

static int error_va(struct fw_lex *l, unsigned line, unsigned column, int code,
		    const char *format, va_list ap)
{
	char text[240];

	vsnprintf(text, sizeof(text), format, ap);
	return error_set(l->error, code, "%.120s:%u:%u: %s", l->file, line,
			 column, text);
}

int fw_lex_error(struct fw_lex *l, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	error_va(l, l->word_line, l->word_column, code, format, ap);
	va_end(ap);
	return code;
}

int fw_lex_error_at(struct fw_lex *l, unsigned line, unsigned column, int code,
		    const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	error_va(l, line, column, code, format, ap);
	va_end(ap);
	return code;
}
