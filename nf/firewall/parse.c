// SPDX-License-Identifier: BSD-2-Clause
// parse.c - a rule file's sets, chains, rules and what rules do.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nf/firewall/ast.h"

bool fw_grow(void **array, unsigned n, unsigned *size, size_t bytes)
{
	unsigned more = *size ? *size * 2 : 8;
	void *p;

	if (n < *size)
		return true;
	p = realloc(*array, more * bytes);
	if (!p)
		return false;
	*array = p;
	*size = more;
	return true;
}

static int no_memory(struct fw_ast *a)
{
	return fw_lex_error(&a->lex, -ENOMEM, "no memory");
}

static void skip_ends(struct fw_lex *l)
{
	while (l->kind == FW_NEWLINE)
		fw_lex_next(l);
}

int fw_parse_name(struct fw_ast *a, char *name, const char *what)
{
	struct fw_lex *l = &a->lex;
	size_t len = strlen(l->word);

	if (l->kind != FW_WORD || len > FW_NAME_MAX || strpbrk(l->word, ":/@!"))
		return fw_lex_expected(l, what);
	memcpy(name, l->word, len + 1);
	fw_lex_next(l);
	return 0;
}

struct fw_list *fw_list_new(struct fw_ast *a)
{
	struct fw_list *list = NULL;

	if (fw_grow((void **)&a->list, a->n_lists, &a->size_lists,
		    sizeof(a->list[0])))
		list = calloc(1, sizeof(*list));
	if (!list) {
		no_memory(a);
		return NULL;
	}
	a->list[a->n_lists++] = list;
	return list;
}

/* set NAME { ... } */
static int parse_set(struct fw_ast *a)
{
	char name[FW_NAME_MAX + 1];
	struct fw_lex at = a->lex;
	struct fw_list *list;
	int err = fw_parse_name(a, name,
				"a set's name: letters, digits, _ - .");

	if (err)
		return err;
	for (unsigned i = 0; i < a->n_sets; i++)
		if (!strcmp(a->set[i]->name, name))
			return fw_lex_error(&at, -EINVAL,
					    "there is a set '%s' above; choose "
					    "another name",
					    name);
	if (a->n_sets == FW_SETS_MAX)
		return fw_lex_error(&at, -ENOSPC, "more than %d sets",
				    FW_SETS_MAX);
	if (!fw_grow((void **)&a->set, a->n_sets, &a->size_sets,
		     sizeof(a->set[0])))
		return no_memory(a);
	list = fw_list_new(a);
	if (!list)
		return -ENOMEM;
	list->type = FW_ANYTHING;
	err = fw_parse_list(a, list);
	memcpy(list->name, name, sizeof(name));
	if (!err)
		a->set[a->n_sets++] = list;
	return err;
}

static int parse_text(struct fw_ast *a, char *text)
{
	struct fw_lex *l = &a->lex;

	if (l->kind != FW_STRING || strlen(l->word) > FW_COMMENT_MAX)
		return fw_lex_expected(l, "a text in double quotes of at most "
					  "63 characters");
	strcpy(text, l->word);
	fw_lex_next(l);
	return 0;
}

/* A verdict's word, if it is one. */
static enum fw_verdict verdict_of(const struct fw_lex *l)
{
	if (fw_lex_is(l, "accept"))
		return FW_ACCEPT;
	if (fw_lex_is(l, "drop"))
		return FW_DROP;
	if (fw_lex_is(l, "reject"))
		return FW_REJECT;
	return fw_lex_is(l, "jump") ? FW_JUMP : FW_CONTINUE;
}

static int parse_verdict(struct fw_ast *a, struct fw_rule *r)
{
	r->verdict = verdict_of(&a->lex);
	fw_lex_next(&a->lex);
	if (r->verdict != FW_JUMP)
		return 0;
	r->target_line = a->lex.word_line;
	r->target_column = a->lex.word_column;
	return fw_parse_name(a, r->target, "the name of a chain");
}

/* [count] [log ["prefix"]] [verdict] [comment "text"] and the end. */
static int parse_actions(struct fw_ast *a, struct fw_rule *r)
{
	struct fw_lex *l = &a->lex;
	int err = 0;

	r->count = fw_lex_is(l, "count");
	if (r->count)
		fw_lex_next(l);
	r->log = fw_lex_is(l, "log");
	if (r->log) {
		fw_lex_next(l);
		if (l->kind == FW_STRING)
			err = parse_text(a, r->prefix);
	}
	if (!err && verdict_of(l) != FW_CONTINUE)
		err = parse_verdict(a, r);
	if (err)
		return err;
	if (r->verdict == FW_CONTINUE && !r->count && !r->log)
		return fw_lex_expected(
			l,
			r->n_terms ?
				"another condition, or count, log, accept, "
				"drop, reject or jump" :
				"a rule: conditions, then count, log, accept, "
				"drop, reject or jump");
	if (fw_lex_is(l, "comment")) {
		fw_lex_next(l);
		err = parse_text(a, r->comment);
	}
	if (!err && l->kind != FW_NEWLINE && l->kind != FW_CLOSE)
		return fw_lex_expected(l, "the end of the rule");
	return err;
}

/* Some combination of its values can be. */
static bool is_possible(struct fw_ast *a, const struct fw_rule *r,
			unsigned term, const struct classifier_rule *so_far)
{
	struct classifier_rule c;

	/* Too many steps: compile.c says so. */
	if (term == r->n_terms || a->steps++ > FW_STEPS_MAX)
		return true;
	for (unsigned i = 0; i < r->term[term].list->n; i++) {
		c = *so_far;
		if (!fw_term_apply(&r->term[term], i, &c) &&
		    is_possible(a, r, term + 1, &c))
			return true;
	}
	return false;
}

static int parse_rule(struct fw_ast *a, struct fw_rule *r)
{
	struct classifier_rule any;
	int err;

	memset(r, 0, sizeof(*r));
	r->line = a->lex.word_line;
	r->column = a->lex.word_column;
	do
		err = fw_parse_term(a, r);
	while (!err);
	if (err == 1)
		err = parse_actions(a, r);
	if (err)
		return err;
	classifier_rule_init(&any);
	if (!is_possible(a, r, 0, &any))
		return fw_lex_error_at(&a->lex, r->line, r->column, -EINVAL,
				       "no packet can fit this rule: its "
				       "conditions exclude each other");
	return 0;
}

/* policy accept or drop; of main only. */
static int parse_policy(struct fw_ast *a, const struct fw_chain *c)
{
	struct fw_lex *l = &a->lex;

	if (strcmp(c->name, "main") != 0)
		return fw_lex_error(l, -EINVAL,
				    "only chain main has a policy; the others "
				    "go back to where the jump was");
	if (a->has_policy)
		return fw_lex_error(l, -EINVAL, "main has a policy already");
	fw_lex_next(l);
	a->policy = verdict_of(l);
	a->has_policy = true;
	if (a->policy == FW_CONTINUE || a->policy == FW_JUMP)
		return fw_lex_expected(l, "accept, drop or reject");
	fw_lex_next(l);
	if (l->kind != FW_NEWLINE && l->kind != FW_CLOSE)
		return fw_lex_expected(l, "the end of the line");
	return 0;
}

static int parse_body(struct fw_ast *a, struct fw_chain *c)
{
	struct fw_lex *l = &a->lex;
	int err = 0;

	for (skip_ends(l); !err && l->kind != FW_CLOSE; skip_ends(l)) {
		if (fw_lex_is(l, "policy")) {
			err = parse_policy(a, c);
			continue;
		}
		if (l->kind == FW_END)
			return fw_lex_expected(l, "a rule, or '}'");
		if (!fw_grow((void **)&c->rule, c->n, &c->size,
			     sizeof(c->rule[0])))
			return no_memory(a);
		err = parse_rule(a, &c->rule[c->n]);
		c->n += !err;
	}
	return err;
}

static struct fw_chain *find_chain(const struct fw_ast *a, const char *name)
{
	for (unsigned i = 0; i < a->n_chains; i++)
		if (!strcmp(a->chain[i]->name, name))
			return a->chain[i];
	return NULL;
}

/* chain NAME { ... } */
static int parse_chain(struct fw_ast *a)
{
	char name[FW_NAME_MAX + 1];
	struct fw_lex at = a->lex;
	struct fw_chain *c;
	int err = fw_parse_name(a, name,
				"a chain's name: letters, digits, _ - .");

	if (err)
		return err;
	if (find_chain(a, name))
		return fw_lex_error(&at, -EINVAL,
				    "there is a chain '%s' above; choose "
				    "another name",
				    name);
	if (a->n_chains == FW_CHAINS_MAX)
		return fw_lex_error(&at, -ENOSPC, "more than %d chains",
				    FW_CHAINS_MAX);
	if (!fw_grow((void **)&a->chain, a->n_chains, &a->size_chains,
		     sizeof(a->chain[0])))
		return no_memory(a);
	c = calloc(1, sizeof(*c));
	if (!c)
		return no_memory(a);
	a->chain[a->n_chains++] = c;
	memcpy(c->name, name, sizeof(name));
	if (a->lex.kind != FW_OPEN)
		return fw_lex_expected(&a->lex, "'{'");
	fw_lex_next(&a->lex);
	err = parse_body(a, c);
	if (!err)
		fw_lex_next(&a->lex);
	return err;
}

static int resolve(struct fw_ast *a, struct fw_rule *r)
{
	if (r->verdict != FW_JUMP)
		return 0;
	r->jump = find_chain(a, r->target);
	if (r->jump)
		return 0;
	return fw_lex_error_at(&a->lex, r->target_line, r->target_column,
			       -EINVAL,
			       "no chain '%s' in this file; write: chain %s { "
			       "... }",
			       r->target, r->target);
}

static int resolve_all(struct fw_ast *a)
{
	int err = 0;

	if (!find_chain(a, "main"))
		return fw_lex_expected(&a->lex, "a chain named main, where "
						"packets begin");
	for (unsigned i = 0; i < a->n_chains; i++)
		for (unsigned k = 0; !err && k < a->chain[i]->n; k++)
			err = resolve(a, &a->chain[i]->rule[k]);
	return err;
}

int fw_parse(struct fw_ast *a, const struct fw_read *read,
	     struct glen_error *error)
{
	struct fw_lex *l = &a->lex;
	int err = 0;

	memset(a, 0, sizeof(*a));
	a->read = read;
	a->policy = FW_DROP;
	fw_lex_init(l, read->file, read->text, read->len, error);
	if (read->len > FW_TEXT_MAX)
		return fw_lex_error(l, -ENOSPC, "more than %d bytes",
				    FW_TEXT_MAX);
	for (skip_ends(l); !err && l->kind != FW_END; skip_ends(l)) {
		bool set = fw_lex_is(l, "set");

		if (!set && !fw_lex_is(l, "chain"))
			return fw_lex_expected(l, "set or chain");
		fw_lex_next(l);
		err = set ? parse_set(a) : parse_chain(a);
	}
	return err ?: resolve_all(a);
}

void fw_ast_free(struct fw_ast *a)
{
	for (unsigned i = 0; i < a->n_lists; i++) {
		free(a->list[i]->value);
		free(a->list[i]);
	}
	for (unsigned i = 0; i < a->n_chains; i++) {
		free(a->chain[i]->rule);
		free(a->chain[i]);
	}
	free(a->list);
	free(a->set);
	free(a->chain);
}
