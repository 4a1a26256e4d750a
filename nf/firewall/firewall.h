/* SPDX-License-Identifier: BSD-2-Clause */
/* firewall.h - a network function that lets packets pass by rules. */
#ifndef NF_FIREWALL_FIREWALL_H
#define NF_FIREWALL_FIREWALL_H
/*
 * Theory of operation
 *
 * An instance has rules (rules.h) of one file, which all its threads share, and
 * each thread its own table of connections (track.h), as all packets of a flow
 * come to one thread. A batch goes through passes: keys of all packets are
 * made, connections looked up, rules found, and verdicts and counters follow.
 * Packets of connections that are not known yet come one by one behind the
 * others, because the first may make the connection that the second is of.
 *
 * Reload: the message "reload" on the instance's first thread reads the file
 * again and stores the new rules; every thread takes them at its next batch,
 * under a lock that is free but then. A file with an error changes nothing.
 * Connections are the threads', so they stay. The first thread's packets wait
 * while it reads.
 */
#include "include/glen/nf.h"

extern const struct glen_nf_program firewall_nf;

/* Its reasons to drop. */
enum {
	FW_R_RULE,	 /* a rule says drop, or reject without an answer */
	FW_R_POLICY,	 /* no rule decided, and the policy says so */
	FW_R_SHORT,	 /* no Ethernet header */
	FW_R_TABLE_FULL, /* accepted, but no place for the connection */
	FW_R_NO_ANSWER,	 /* to be rejected, but no answer can be */
};

/* Its counters. */
enum {
	FW_C_ACCEPTED,
	FW_C_REJECTED, /* answered */
	FW_C_LOGGED,
	FW_C_LOG_LOST, /* above the rate, or nobody took it */
	FW_C_NEW,      /* connections made */
	FW_C_INVALID,
	FW_C_RELOADS,
	FW_C_BAD_RELOADS,
};

/*
 * Messages that an instance takes, and answers with a message to who sent it:
 *   "reload"           reads the file again
 *   "counters [FIRST]" a line "NUMBER line LINE packets N bytes N COMMENT" for
 *                      each rule, the policy last; "more NUMBER" if there are
 *                      more than one message holds
 */

#endif
