// SPDX-License-Identifier: BSD-2-Clause
// compile.c - sets and jumps become entries, entries become classifiers.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "nf/firewall/ast.h"

/* Entries of the pass that is being filled. */
struct fill {
	struct fw_ast *ast;
	struct fw_rules *out;
	struct classifier_rule *entry;
	unsigned n, size;
	uint32_t *rule;
	unsigned size_rule;
	bool ends; /* the last entry decides nothing */
	bool cut;  /* so what comes now is of the next pass */
	/* The jumps that lead to a rule, and the rule. */
	const struct fw_rule *path[FW_DEPTH_MAX + 1];
	unsigned depth; /* of the rule in path[] */
};

static int error_in(struct fill *f, const struct fw_rule *r, int code,
		    const char *say, unsigned limit)
{
	return fw_lex_error_at(&f->ast->lex, r->line, r->column, code, say,
			       limit);
}

/* The entries so far are a pass. */
static int end_pass(struct fill *f)
{
	struct fw_pass *p = &f->out->pass[f->out->n_passes];
	int err;

	err = classifier_build(&p->classifier, f->entry, f->n,
			       f->ast->lex.error);
	if (err)
		return err;
	p->rule = f->rule;
	f->rule = NULL;
	f->n = f->size_rule = 0;
	f->ends = f->cut = false;
	f->out->n_passes++;
	return 0;
}

static int add(struct fill *f, const struct classifier_rule *c, bool decides)
{
	const struct fw_rule *r = f->path[f->depth];
	int err = 0;

	if (f->out->n_entries == FW_ENTRIES_MAX)
		return error_in(f, r, -ENOSPC,
				"more than %u combinations of conditions, here "
				"at the latest; use shorter sets",
				FW_ENTRIES_MAX);
	if (f->cut && f->out->n_passes == FW_PASSES_MAX - 1)
		return error_in(f, r, -ENOSPC,
				"more than %u rules that only count or log are "
				"asked before this one (each for every jump "
				"that leads to it)",
				FW_PASSES_MAX - 1);
	if (f->cut)
		err = end_pass(f);
	if (err)
		return err;
	if (!fw_grow((void **)&f->entry, f->n, &f->size, sizeof(*c)) ||
	    !fw_grow((void **)&f->rule, f->n, &f->size_rule, sizeof(uint32_t)))
		return error_in(f, r, -ENOMEM, "no memory for %u entries",
				f->n);
	f->entry[f->n] = *c;
	f->rule[f->n++] = r->number;
	f->ends = !decides;
	f->out->n_entries++;
	return 0;
}

static int step(struct fill *f)
{
	if (f->ast->steps++ < FW_STEPS_MAX)
		return 0;
	return error_in(f, f->path[f->depth], -ENOSPC,
			"jumps and sets make more than %u combinations, here "
			"at the latest; use shorter sets or fewer jumps",
			FW_STEPS_MAX);
}

/*
 * Each combination of the values of all conditions of the path, from one of a
 * rule on. No packet fits two of them, as values of a list do not overlap.
 */
static int expand(struct fill *f, unsigned level, unsigned term,
		  const struct classifier_rule *so_far, bool decides)
{
	const struct fw_rule *r = f->path[level];
	struct classifier_rule c;
	int err = step(f);

	if (!err && term == r->n_terms)
		return level == f->depth ?
			       add(f, so_far, decides) :
			       expand(f, level + 1, 0, so_far, decides);
	for (unsigned i = 0; !err && i < r->term[term].list->n; i++) {
		c = *so_far;
		if (!fw_term_apply(&r->term[term], i, &c))
			err = expand(f, level, term + 1, &c, decides);
	}
	return err;
}

/* The entries of the rule that the path leads to. */
static int emit(struct fill *f, bool decides)
{
	struct classifier_rule any;

	classifier_rule_init(&any);
	f->cut = f->ends;
	return expand(f, 0, 0, &any, decides);
}

static int compile_chain(struct fill *f, const struct fw_chain *chain);

static int follow(struct fill *f, const struct fw_rule *r)
{
	int err;

	if (f->depth == FW_DEPTH_MAX)
		return fw_lex_error_at(&f->ast->lex, r->target_line,
				       r->target_column, -EINVAL,
				       "jumps lead more than %d chains deep, "
				       "or round and round",
				       FW_DEPTH_MAX);
	f->depth++;
	err = compile_chain(f, r->jump);
	f->depth--;
	return err;
}

static int compile_chain(struct fill *f, const struct fw_chain *chain)
{
	int err = 0;

	for (unsigned i = 0; !err && i < chain->n; i++) {
		const struct fw_rule *r = &chain->rule[i];
		bool jumps = r->verdict == FW_JUMP;

		f->path[f->depth] = r;
		err = step(f);
		if (!err && (r->verdict == FW_CONTINUE ||
			     (jumps && (r->count || r->log))))
			err = emit(f, false);
		if (!err && r->verdict != FW_CONTINUE)
			err = jumps ? follow(f, r) : emit(f, true);
	}
	return err;
}

/* Numbers the rules in the order of the file, and the policy behind them. */
static int list_actions(struct fw_ast *a, struct fw_rules *out)
{
	struct fw_action *to;

	for (unsigned i = 0; i < a->n_chains; i++)
		out->n_rules += a->chain[i]->n;
	out->action = calloc(out->n_rules + 1, sizeof(*out->action));
	if (!out->action)
		return -ENOMEM;
	to = out->action;
	for (unsigned i = 0; i < a->n_chains; i++)
		for (unsigned k = 0; k < a->chain[i]->n; k++, to++) {
			struct fw_rule *r = &a->chain[i]->rule[k];

			r->number = (unsigned)(to - out->action);
			/* Who only counts and then jumps goes on. */
			to->verdict = r->verdict == FW_JUMP ? FW_CONTINUE :
							      r->verdict;
			to->log = r->log;
			to->line = r->line;
			memcpy(to->comment, r->comment, sizeof(to->comment));
			memcpy(to->prefix, r->prefix, sizeof(to->prefix));
		}
	to->verdict = a->policy;
	strcpy(to->comment, "policy");
	return 0;
}

static int make_counts(struct fw_rules *out, unsigned n_threads)
{
	size_t size = (out->n_rules + 1) * sizeof(struct fw_count);

	out->counts = calloc(n_threads, sizeof(*out->counts));
	if (!out->counts)
		return -ENOMEM;
	out->n_threads = n_threads;
	/* Whole lines: no thread writes to another's. */
	size = (size + 63) & ~(size_t)63;
	for (unsigned i = 0; i < n_threads; i++) {
		out->counts[i] = aligned_alloc(64, size);
		if (!out->counts[i])
			return -ENOMEM;
		memset(out->counts[i], 0, size);
	}
	return 0;
}

static int compile(struct fw_ast *a, struct fw_rules *out)
{
	struct fill f = { .ast = a, .out = out };
	int err = 0;

	for (unsigned i = 0; i < a->n_chains; i++)
		if (!strcmp(a->chain[i]->name, "main")) {
			err = compile_chain(&f, a->chain[i]);
			err = err ?: end_pass(&f);
		}
	free(f.entry);
	free(f.rule);
	return err;
}

int fw_rules_read(struct fw_rules **rules, const struct fw_read *read,
		  struct glen_error *error)
{
	struct glen_error own;
	struct fw_rules *out = calloc(1, sizeof(*out));
	struct fw_ast a;
	int err;

	*rules = NULL;
	if (!out)
		return error_set(error, -ENOMEM, "no memory for rules");
	err = fw_parse(&a, read, error ? error : &own);
	if (!err &&
	    (list_actions(&a, out) || make_counts(out, read->n_threads)))
		err = error_set(error, -ENOMEM,
				"%.120s: no memory for %u rules", read->file,
				out->n_rules);
	err = err ?: compile(&a, out);
	out->refs = 1;
	out->stateful = a.stateful;
	out->policy = a.policy;
	fw_ast_free(&a);
	if (err)
		fw_rules_free(out);
	else
		*rules = out;
	return err;
}

void fw_rules_free(struct fw_rules *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->n_passes; i++) {
		classifier_free(r->pass[i].classifier);
		free(r->pass[i].rule);
	}
	for (unsigned i = 0; i < r->n_threads; i++)
		free(r->counts[i]);
	free(r->counts);
	free(r->action);
	free(r);
}
