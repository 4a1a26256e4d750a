/* SPDX-License-Identifier: BSD-2-Clause */
/* rules.h - a rule file of the firewall: read, checked, compiled. */
#ifndef NF_FIREWALL_RULES_H
#define NF_FIREWALL_RULES_H
/*
 * Theory of operation
 *
 * A rule file (its grammar is in man/glen-nf-firewall.1) has sets and chains
 * of rules. It becomes a list of *entries*, conditions of lib/classifier each
 * with the number of the rule it is of: a rule with sets has as many entries as
 * combinations of their members, and a rule that jumps has the entries of the
 * chain it jumps to, each with the jump's conditions added. So the first entry
 * that fits decides, and a jump costs nothing when packets come.
 *
 * A rule that only counts or logs decides nothing, and rules behind it must be
 * asked, too. The list is cut behind each of those into *passes*, a classifier
 * each: who found such a rule, or none, goes on in the next pass. Behind the
 * last one the policy decides.
 *
 * What the firewall knows of a packet's connection is one of five bits that
 * the classifier leaves to us; a rule wants the bits of all other states 0.
 *
 * Rules never change once they are read. They are counted references: each
 * thread has one, and the firewall itself. Counters are per thread and rule,
 * written by that thread only. Reading is a control function.
 *
 * Limits are the enum below; a file beyond them is an error with its line.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/classifier.h"

enum {
	FW_TEXT_MAX = 64 << 20,	  /* bytes of a file */
	FW_NAME_MAX = 31,	  /* characters of a name */
	FW_COMMENT_MAX = 63,	  /* of a comment or a log's prefix */
	FW_TERMS_MAX = 12,	  /* conditions of a rule */
	FW_SETS_MAX = 4096,	  /* with names */
	FW_CHAINS_MAX = 1024,	  /* of a file */
	FW_DEPTH_MAX = 16,	  /* jumps out of jumps */
	FW_ENTRIES_MAX = 1 << 19, /* of all rules together */
	FW_STEPS_MAX = 1 << 23,	  /* of combining conditions */
	FW_PASSES_MAX = 32,
};

/* Of a connection: bits of the key from CLASSIFIER_M_OWN on. */
enum fw_state {
	FW_NEW,
	FW_ESTABLISHED,
	FW_RELATED,
	FW_INVALID,
	FW_UNTRACKED,
	FW_STATES,
};

enum fw_verdict {
	FW_CONTINUE, /* it only counts or logs */
	FW_ACCEPT,
	FW_DROP,
	FW_REJECT,
	FW_JUMP, /* only while reading */
};

/* What is left of a rule. */
struct fw_action {
	enum fw_verdict verdict;
	bool log;
	unsigned line;
	char comment[FW_COMMENT_MAX + 1];
	char prefix[FW_COMMENT_MAX + 1]; /* of its log lines */
};

struct fw_count {
	uint64_t packets, bytes;
};

struct fw_pass {
	struct classifier *classifier;
	uint32_t *rule; /* of each entry */
};

struct fw_rules {
	unsigned refs; /* under the firewall's lock */
	bool stateful; /* a rule asks for states */
	enum fw_verdict policy;
	unsigned n_passes, n_rules, n_entries, n_threads;
	struct fw_pass pass[FW_PASSES_MAX];
	struct fw_action *action; /* of each rule, the policy behind the last */
	struct fw_count **counts; /* of each thread, of each rule + policy */
};

struct fw_read {
	const char *file; /* its name, for messages */
	const char *text;
	size_t len;
	unsigned n_threads; /* for counters */
	bool stateless;	    /* "ct" is an error */
	/* The number of an ingress port, or -errno. */
	int (*port)(void *arg, const char *name);
	void *arg;
};

/* *rules is the caller's, with one reference. -EINVAL, -ENOSPC, -ENOMEM and a
 * sentence that begins with FILE:LINE:COLUMN. */
int fw_rules_read(struct fw_rules **rules, const struct fw_read *read,
		  struct glen_error *error);
/* Frees them, whatever refs says. NULL is fine. */
void fw_rules_free(struct fw_rules *rules);

#endif
