/* SPDX-License-Identifier: BSD-2-Clause */
/* config.h - reading a router's file word by word, with places for errors. */
#ifndef NF_ROUTER_CONFIG_H
#define NF_ROUTER_CONFIG_H
/*
 * A file consists of lines, a line of words between blanks; '#' begins a
 * comment, which the line's end ends. A column is a byte's number in its line,
 * counted from 1. Statements (config.c) read their line word by word; words.c
 * knows what words may look like.
 */
#include "nf/router/router.h"

struct router_reading {
	struct router *r;
	const char *file;
	const char *line; /* begins here */
	const char *at;	  /* the next byte */
	const char *end;  /* of the file */
	unsigned number;  /* of the line */
	struct glen_error *error;
	/* The word at hand, "" at the line's end. Bytes that no statement may
	 * have are '?', and so is the end of a word that is too long. */
	char word[64];
	unsigned column; /* where it begins */
};

/* Takes the next word. False: the line has no more. */
bool router_next(struct router_reading *c);
/* Says something about the word at hand; -EINVAL. */
int router_say(struct router_reading *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Says that the word at hand is not what it must be, or missing. */
int router_refuse(struct router_reading *c, const char *what);
/* The word at hand is this one. */
bool router_word_is(const struct router_reading *c, const char *word);

/* What the next word is; -EINVAL, with a sentence. */
int router_read_number(struct router_reading *c, unsigned min, unsigned max,
		       unsigned *out);
int router_read_mac(struct router_reading *c, uint8_t *mac);
int router_read_ip(struct router_reading *c, struct router_ip *ip);
/* A name that a port of the group can have. */
int router_read_name(struct router_reading *c, char *name);

/* What the word at hand is. */
int router_prefix(struct router_reading *c, struct router_ip *ip,
		  unsigned *len);

#endif
