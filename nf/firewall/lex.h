/* SPDX-License-Identifier: BSD-2-Clause */
/* lex.h - words of a rule file, each with its place. */
#ifndef NF_FIREWALL_LEX_H
#define NF_FIREWALL_LEX_H
/*
 * A word is a run of letters, digits and _ . : / @ - !; a text stands in double
 * quotes, on one line, without escapes; { } , ; and the end of a line are words
 * of their own. "#" begins a comment up to the end of its line. Any other byte
 * is FW_BAD, which no rule of the grammar expects.
 *
 * The reader looks one word ahead: l->kind, l->word and their place. Words are
 * cut at FW_WORD_MAX; longer ones are FW_BAD. Only the text that was given is
 * read, which need not end with 0.
 */
#include <stdbool.h>
#include <stddef.h>

#include "include/glen/glen.h"

enum { FW_WORD_MAX = 127 };

enum fw_token {
	FW_WORD,
	FW_STRING,
	FW_OPEN,
	FW_CLOSE,
	FW_COMMA,
	FW_NEWLINE, /* or ; */
	FW_END,
	FW_UNCLOSED, /* a text that does not end on its line */
	FW_BAD,
};

struct fw_lex {
	const char *file, *at, *end, *line_start;
	unsigned line; /* of at */
	enum fw_token kind;
	char word[FW_WORD_MAX + 1];	 /* "" if it is none */
	unsigned word_line, word_column; /* from 1, in bytes */
	struct glen_error *error;
};

void fw_lex_init(struct fw_lex *l, const char *file, const char *text,
		 size_t len, struct glen_error *error);
/* To the next word. */
void fw_lex_next(struct fw_lex *l);
/* The word is this one. */
bool fw_lex_is(const struct fw_lex *l, const char *word);
/* "found X, expected ..." at the word. Returns -EINVAL. */
int fw_lex_expected(struct fw_lex *l, const char *what);
/* A sentence at the word; or at a place that is already behind. code. */
int fw_lex_error(struct fw_lex *l, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int fw_lex_error_at(struct fw_lex *l, unsigned line, unsigned column, int code,
		    const char *format, ...)
	__attribute__((format(printf, 5, 6)));

#endif
