// SPDX-License-Identifier: BSD-2-Clause
// value.c - addresses, prefixes, numbers, ranges, and sets of them.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf/firewall/ast.h"

static const char *const type_names[] = { "IPv4 addresses", "IPv6 addresses",
					  "numbers", "anything" };

/* A decimal number of at most max at *p, which moves on. */
static bool scan_number(const char **p, unsigned max, unsigned *number)
{
	uint64_t n = 0;
	const char *s = *p;

	while (*s >= '0' && *s <= '9' && n <= max)
		n = n * 10 + (unsigned)(*s++ - '0');
	if (s == *p || n > max)
		return false;
	*p = s;
	*number = (unsigned)n;
	return true;
}

static bool scan_range(const char *word, unsigned max, struct fw_value *v)
{
	if (!scan_number(&word, max, &v->low))
		return false;
	v->high = v->low;
	v->type = FW_NUMBER;
	if (*word == '-' && (word++, !scan_number(&word, max, &v->high)))
		return false;
	return !*word && v->low <= v->high;
}

/* Bits behind the prefix. */
static bool has_more_bits(const struct fw_value *v)
{
	for (unsigned bit = v->low; bit < (v->type == FW_IP4 ? 32 : 128); bit++)
		if (v->ip[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

static bool scan_address(const char *word, struct fw_value *v)
{
	char text[FW_WORD_MAX + 1];
	const char *len;
	char *slash;

	memcpy(text, word, sizeof(text));
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, text, v->ip) == 1)
		v->type = FW_IP4;
	else if (inet_pton(AF_INET6, text, v->ip) == 1)
		v->type = FW_IP6;
	else
		return false;
	v->high = v->low = v->type == FW_IP4 ? 32 : 128;
	len = slash;
	return !slash || (scan_number(&len, v->high, &v->low) && !*len);
}

/* The word as a value of a type, taken. */
static int parse_value(struct fw_ast *a, enum fw_type type, unsigned max,
		       struct fw_value *v)
{
	static const char *const wanted[] = {
		"an IPv4 address or a prefix such as 10.0.0.0/8",
		"an IPv6 address or a prefix such as 2001:db8::/32",
		"a number or a range such as 1024-2047",
		"an address, a prefix, a port or a range of ports",
	};
	struct fw_lex *l = &a->lex;
	bool found = false;

	memset(v, 0, sizeof(*v));
	v->line = l->word_line;
	v->column = l->word_column;
	if (l->kind == FW_WORD)
		found = (type != FW_IP4 && type != FW_IP6 &&
			 scan_range(l->word, max, v)) ||
			(type != FW_NUMBER && scan_address(l->word, v));
	if (!found || (type != FW_ANYTHING && v->type != type))
		return fw_lex_expected(l, wanted[type]);
	if (v->type != FW_NUMBER && has_more_bits(v))
		return fw_lex_error(l, -EINVAL,
				    "%s has bits behind the prefix's %u; make "
				    "them 0, or leave out the length",
				    l->word, v->low);
	fw_lex_next(l);
	return 0;
}

static int compare(const void *x, const void *y)
{
	const struct fw_value *a = x, *b = y;
	int order = memcmp(a->ip, b->ip, sizeof(a->ip));

	if (order)
		return order;
	return (a->low > b->low) - (a->low < b->low);
}

/* b, which is sorted behind a, has something in common with it. */
static bool meet(const struct fw_value *a, const struct fw_value *b)
{
	if (a->type == FW_NUMBER)
		return b->low <= a->high;
	for (unsigned bit = 0; bit < a->low; bit++)
		if ((a->ip[bit / 8] ^ b->ip[bit / 8]) & 0x80 >> bit % 8)
			return false;
	return true;
}

/* Values that overlap would be two entries for one packet. */
static int check_overlap(struct fw_ast *a, struct fw_list *list)
{
	qsort(list->value, list->n, sizeof(list->value[0]), compare);
	for (unsigned i = 1; i < list->n; i++) {
		struct fw_value *v = &list->value[i - 1], *w = v + 1;

		if (meet(v, w))
			return fw_lex_error_at(&a->lex, w->line, w->column,
					       -EINVAL,
					       "this overlaps the one in line "
					       "%u, column %u; remove one",
					       v->line, v->column);
	}
	return 0;
}

static int add_value(struct fw_ast *a, struct fw_list *list, unsigned max)
{
	struct fw_value *v;
	int err;

	if (!fw_grow((void **)&list->value, list->n, &list->size, sizeof(*v)))
		return fw_lex_error(&a->lex, -ENOMEM, "no memory");
	v = &list->value[list->n];
	err = parse_value(a, list->type, max, v);
	if (err)
		return err;
	list->type = v->type;
	list->n++;
	return 0;
}

static void skip_lines(struct fw_lex *l)
{
	while (l->kind == FW_NEWLINE && l->word[0] == '\n')
		fw_lex_next(l);
}

static int parse_list(struct fw_ast *a, struct fw_list *list, unsigned max)
{
	struct fw_lex *l = &a->lex;
	int err;

	if (l->kind != FW_OPEN)
		return fw_lex_expected(l, "'{'");
	fw_lex_next(l);
	for (skip_lines(l); l->kind != FW_CLOSE || !list->n; skip_lines(l)) {
		err = add_value(a, list, max);
		if (err)
			return err;
		skip_lines(l);
		if (l->kind == FW_COMMA)
			fw_lex_next(l);
		else if (l->kind != FW_CLOSE)
			return fw_lex_expected(l, "',' or '}'");
	}
	fw_lex_next(l);
	return check_overlap(a, list);
}

int fw_parse_list(struct fw_ast *a, struct fw_list *list)
{
	return parse_list(a, list, UINT16_MAX);
}

/* "@name", of this type and with numbers up to max. */
static int parse_set(struct fw_ast *a, enum fw_type type, unsigned max,
		     struct fw_list **list)
{
	struct fw_lex *l = &a->lex;
	struct fw_list *set = NULL;

	for (unsigned i = 0; i < a->n_sets; i++)
		if (!strcmp(a->set[i]->name, l->word + 1))
			set = a->set[i];
	if (!set)
		return fw_lex_error(l, -EINVAL,
				    "no set '%.31s' above; write: set %.31s { "
				    "... }",
				    l->word + 1, l->word + 1);
	if (set->type != type)
		return fw_lex_error(l, -EINVAL, "set '%s' has %s, expected %s",
				    set->name, type_names[set->type],
				    type_names[type]);
	if (type == FW_NUMBER && set->value[set->n - 1].high > max)
		return fw_lex_error(l, -EINVAL,
				    "set '%s' has %u, expected at most %u",
				    set->name, set->value[set->n - 1].high,
				    max);
	*list = set;
	fw_lex_next(l);
	return 0;
}

int fw_parse_values(struct fw_ast *a, enum fw_type type, unsigned max,
		    struct fw_list **list)
{
	if (a->lex.kind == FW_WORD && a->lex.word[0] == '@')
		return parse_set(a, type, max, list);
	*list = fw_list_new(a);
	if (!*list)
		return -ENOMEM;
	(*list)->type = type;
	return a->lex.kind == FW_OPEN ? parse_list(a, *list, max) :
					add_value(a, *list, max);
}

int fw_parse_number(struct fw_ast *a, unsigned max, unsigned *number)
{
	static const struct fw_name none[] = { { NULL, 0 } };

	return fw_parse_named(a, none, max, "a number", number);
}

int fw_parse_named(struct fw_ast *a, const struct fw_name *names, unsigned max,
		   const char *what, unsigned *number)
{
	const char *p = a->lex.word;
	bool found = max && a->lex.kind == FW_WORD &&
		     scan_number(&p, max, number) && !*p;
	char wanted[100];

	for (; !found && names->name; names++) {
		found = fw_lex_is(&a->lex, names->name);
		*number = names->number;
	}
	if (!found && !max)
		return fw_lex_expected(&a->lex, what);
	snprintf(wanted, sizeof(wanted), "%s of at most %u", what, max);
	if (!found)
		return fw_lex_expected(&a->lex, wanted);
	fw_lex_next(&a->lex);
	return 0;
}
