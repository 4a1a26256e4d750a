/* SPDX-License-Identifier: BSD-2-Clause */
/* ast.h - a rule file as it was read, before it is compiled. */
#ifndef NF_FIREWALL_AST_H
#define NF_FIREWALL_AST_H
/*
 * parse.c makes it of words, with term.c for conditions and value.c for what
 * they compare with; compile.c makes rules of it. Lists grow while the file is
 * read and are freed as a whole. Control thread only.
 */
#include "nf/firewall/lex.h"
#include "nf/firewall/rules.h"

/* What a value is; a list has values of one type. */
enum fw_type { FW_IP4, FW_IP6, FW_NUMBER, FW_ANYTHING };

struct fw_value {
	enum fw_type type;
	unsigned line, column;
	unsigned low, high; /* a number; a prefix: its length is low */
	uint8_t ip[16];
};

struct fw_list {
	struct fw_value *value;
	unsigned n, size;
	enum fw_type type;	    /* FW_ANYTHING: it has none yet */
	char name[FW_NAME_MAX + 1]; /* "": written where it is used */
};

enum fw_field {
	FW_SADDR,
	FW_DADDR,
	FW_SPORT,
	FW_DPORT,
	FW_PROTOCOL,
	FW_DSCP,
	FW_ICMP,  /* extra: code + 1, 0: any */
	FW_FLAGS, /* low: flags, high: those that count */
	FW_FRAGMENT,
	FW_MALFORMED,
	FW_TYPE,
	FW_VLAN, /* extra: without a tag */
	FW_IIF,
	FW_CT, /* low: bits of states */
};

struct fw_term {
	enum fw_field field;
	unsigned proto; /* of ports; 0: TCP, UDP and SCTP */
	unsigned family, extra;
	struct fw_list *list;
};

struct fw_rule {
	struct fw_term term[FW_TERMS_MAX];
	unsigned n_terms, line, column;
	bool count, log;
	enum fw_verdict verdict;
	char target[FW_NAME_MAX + 1]; /* of a jump */
	unsigned target_line, target_column;
	struct fw_chain *jump;
	char comment[FW_COMMENT_MAX + 1], prefix[FW_COMMENT_MAX + 1];
	unsigned number; /* given by compile.c */
};

struct fw_chain {
	char name[FW_NAME_MAX + 1];
	struct fw_rule *rule;
	unsigned n, size;
};

/* A file, and its reader. */
struct fw_ast {
	struct fw_lex lex;
	const struct fw_read *read;
	struct fw_chain **chain; /* "main" may be any of them */
	unsigned n_chains, size_chains;
	struct fw_list **list; /* all, also those written where they are used */
	unsigned n_lists, size_lists;
	struct fw_list **set; /* those with names, also in list */
	unsigned n_sets, size_sets;
	enum fw_verdict policy;
	bool has_policy, stateful;
	unsigned steps; /* of combining conditions, FW_STEPS_MAX at most */
};

/* parse.c: the whole file. fw_ast_free() is needed whatever it returns. */
int fw_parse(struct fw_ast *a, const struct fw_read *read,
	     struct glen_error *error);
void fw_ast_free(struct fw_ast *a);
/* One more element at *array of n, of so many bytes. False: no memory. */
bool fw_grow(void **array, unsigned n, unsigned *size, size_t bytes);
/* A name (letters, digits, _ - .) at the word, taken. */
int fw_parse_name(struct fw_ast *a, char *name, const char *what);
/* A new list of the file. NULL: the error says why. */
struct fw_list *fw_list_new(struct fw_ast *a);

/* value.c: { a, b } of a set's definition, at "{". */
int fw_parse_list(struct fw_ast *a, struct fw_list *list);
/* A value, a list or @set of this type; *list is the file's. */
int fw_parse_values(struct fw_ast *a, enum fw_type type, unsigned max,
		    struct fw_list **list);
/* A number of at most max, or a name out of a list that ends with NULL. */
int fw_parse_number(struct fw_ast *a, unsigned max, unsigned *number);
struct fw_name {
	const char *name;
	unsigned number;
};
int fw_parse_named(struct fw_ast *a, const struct fw_name *names, unsigned max,
		   const char *what, unsigned *number);

/* term.c: a condition, if one begins here. 1: none does. */
int fw_parse_term(struct fw_ast *a, struct fw_rule *rule);
/* Its i-th value joins a rule. -EINVAL: nothing could fit. */
int fw_term_apply(const struct fw_term *term, unsigned i,
		  struct classifier_rule *rule);

#endif
