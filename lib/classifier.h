/* SPDX-License-Identifier: BSD-2-Clause */
/* classifier.h - which of many rules is the first that fits a packet. */
#ifndef LIB_CLASSIFIER_H
#define LIB_CLASSIFIER_H
/*
 * Theory of operation
 *
 * A list of rules, each with conditions on the headers of a packet; the first
 * rule of the list whose conditions all hold is the answer. What a packet says
 * is brought into a key of eight words (classifier_parse.h), and a rule is such
 * a key, a mask that says which bits of it count, and two ranges of ports.
 *
 * Rules are kept in tables. A table has a mask of its own, and holds rules
 * that look at all of its bits: a hash over these bits leads to a bucket of
 * candidates, which are then compared in full.
 *
 *     key & mask of table -> hash -> bucket: 6 x (tag, record, rule)
 *                                            -> record: values, masks, ranges
 *
 * With one table for each mask that rules have there would be hundreds, and a
 * packet has to ask each of them. So a table's mask has fewer bits than the
 * rules in it would allow, as few as leave at most a handful of candidates in
 * any place (the idea is TupleMerge's, Daly and others 2019); a rule that finds
 * no place in a table that is there makes a new one, with its own bits cut
 * down. The bits of a port that all numbers of a range have in common count as
 * bits of the mask; the rest of a range is compared, so that no rule becomes
 * several.
 *
 * The tables are ordered by the first rule that each holds: who has found a
 * rule is done at the first table whose rules all come later.
 *
 * A classifier never changes once it is built. Who wants other rules builds a
 * new one (100,000 rules: some tenths of a second at most), publishes its
 * pointer and frees the old one when nobody looks into it any more.
 * classifier_find.h has the look-up; it writes nothing but its results, any
 * thread may call it.
 *
 * Limits. CLASSIFIER_RULES_MAX rules. A look-up asks as many tables as there
 * are, at worst: some ten with rules like those of firewalls, more if rules
 * look at many different sets of fields. Rules that are the same but for ranges
 * of ports without a common bit are compared one by one: hundreds of those are
 * slow, and what differs in nothing but ports should be written as ranges that
 * do not overlap. The hash is keyed at random, so nobody who sends packets can
 * choose keys that meet; candidates of one place are bounded by the rules.
 */
#include <stdbool.h>
#include <stdint.h>

#include "include/glen/glen.h"

enum {
	CLASSIFIER_WORDS = 8,
	CLASSIFIER_RULES_MAX = 1 << 20,
	CLASSIFIER_BUCKET = 6, /* rules of a cache line */
};

/* No rule. */
#define CLASSIFIER_NONE UINT32_MAX

/* The words of a key, and the numbers of bits in them. */
enum {
	CLASSIFIER_META, /* the ones below that begin with M */
	CLASSIFIER_L4,	 /* those that begin with L */
	CLASSIFIER_IP,	 /* IPv4: source << 32 | destination; IPv6: source */
	CLASSIFIER_IP_LOW,
	CLASSIFIER_DST, /* IPv6: destination */
	CLASSIFIER_DST_LOW,
	CLASSIFIER_DMAC, /* the lower 48 bits, the first byte on top */
	CLASSIFIER_SMAC,

	CLASSIFIER_M_PORT = 0,	/* 16: index of the ingress port */
	CLASSIFIER_M_TYPE = 16, /* 16: Ethernet type, behind VLAN tags */
	CLASSIFIER_M_VID = 32,	/* 12: of the outer VLAN tag */
	CLASSIFIER_M_PCP = 44,	/* 3: its priority */
	CLASSIFIER_M_TAG = 47,	/* there is one */
	/* 16: of whoever has rules and keys; no packet and no function sets
	 * them. */
	CLASSIFIER_M_OWN = 48,

	CLASSIFIER_L_SPORT = 0,	 /* 16: source port, or ICMP type */
	CLASSIFIER_L_DPORT = 16, /* 16: destination port, or ICMP code */
	CLASSIFIER_L_PROTO = 32, /* 8: behind IPv6 extension headers */
	CLASSIFIER_L_DSCP = 40,	 /* 6 */
	CLASSIFIER_L_PORTS = 46, /* the ports are known */
	CLASSIFIER_L_ICMP = 47,	 /* ICMP's type and code are */
	CLASSIFIER_L_FRAG = 48,	 /* a fragment */
	CLASSIFIER_L_LATER = 49, /* and not the first */
	CLASSIFIER_L_IPV4 = 50,	 /* with a header that can be */
	CLASSIFIER_L_IPV6 = 51,
	/* Headers contradict each other, or go on behind what could be seen;
	 * what they say up to there is in the key. */
	CLASSIFIER_L_ODD = 52,
	CLASSIFIER_L_FLAGS = 53, /* 9: TCP's, FIN the lowest */
	CLASSIFIER_L_TCP = 62,	 /* they are known */
	CLASSIFIER_L_IP = 63,	 /* IPv4 or IPv6 */
};

/* What a packet says; 0 where it says nothing. */
struct classifier_key {
	_Alignas(64) uint64_t w[CLASSIFIER_WORDS];
};

/* Made by classifier_rule_init(), which fits all, and the functions below. */
struct classifier_rule {
	uint64_t value[CLASSIFIER_WORDS]; /* within mask */
	uint64_t mask[CLASSIFIER_WORDS];
	uint16_t low[2], high[2]; /* ports: CLASSIFIER_FROM, _TO */
};

/* The two ends of a packet. */
enum { CLASSIFIER_FROM, CLASSIFIER_TO };

/* What a rule wants of fragments. */
enum classifier_fragment {
	CLASSIFIER_FRAGMENT_NO,
	CLASSIFIER_FRAGMENT_ANY,
	CLASSIFIER_FRAGMENT_FIRST,
	CLASSIFIER_FRAGMENT_LATER,
};

/*
 * A rule without conditions, and a condition more. Any thread, on a rule of
 * its own. They return 0, or -EINVAL where no packet could fit any more (an
 * IPv4 and an IPv6 address, ports and an ICMP type, two different values for
 * one field) or the value cannot be; then the rule is spoilt.
 */
void classifier_rule_init(struct classifier_rule *rule);
int classifier_rule_in_port(struct classifier_rule *rule, unsigned port);
int classifier_rule_mac(struct classifier_rule *rule, unsigned end,
			const uint8_t mac[6], const uint8_t mask[6]);
int classifier_rule_type(struct classifier_rule *rule, unsigned type);
/* -1: without a tag; else the VLAN id, 0 to 4095. */
int classifier_rule_vlan(struct classifier_rule *rule, int vid);
int classifier_rule_pcp(struct classifier_rule *rule, unsigned priority);
/* family 4 or 6; len bits of the address count; 0: any of that family. */
int classifier_rule_ip(struct classifier_rule *rule, unsigned end,
		       unsigned family, const uint8_t *address, unsigned len);
int classifier_rule_dscp(struct classifier_rule *rule, unsigned dscp);
/* Of IPv4 or IPv6. */
int classifier_rule_protocol(struct classifier_rule *rule, unsigned protocol);
/* Only packets whose ports are known: TCP, UDP, SCTP, not later fragments. */
int classifier_rule_ports(struct classifier_rule *rule, unsigned end,
			  unsigned low, unsigned high);
/* Of the flags in mask exactly those in flags; sets the protocol, too. */
int classifier_rule_tcp_flags(struct classifier_rule *rule, unsigned flags,
			      unsigned mask);
/* family as above, which chooses ICMP or ICMPv6; code -1: any. */
int classifier_rule_icmp(struct classifier_rule *rule, unsigned family,
			 unsigned type, int code);
int classifier_rule_fragment(struct classifier_rule *rule,
			     enum classifier_fragment kind);
/* Only packets whose headers are odd, or only others. */
int classifier_rule_odd(struct classifier_rule *rule, bool odd);

/*
 * A line. Tags are 16 bits of the hash, four to a word, 0: no rule; a slot is
 * record << 32 | rule. Filled from the front; a full one goes on in the next.
 */
struct classifier_bucket {
	_Alignas(64) uint64_t tags[2];
	uint64_t slot[CLASSIFIER_BUCKET];
};

/* Rules with bits in common. Immutable. */
struct classifier_table {
	uint32_t first; /* rule: none in here comes before */
	uint32_t n;	/* rules */
	uint64_t mask[CLASSIFIER_WORDS];
	uint8_t n_hash, n_check;
	uint8_t hash[CLASSIFIER_WORDS];	 /* words whose mask is not 0 */
	uint8_t check[CLASSIFIER_WORDS]; /* words that a record compares */
	uint32_t stride;		 /* words of a record */
	uint64_t bucket_mask;		 /* buckets - 1 */
	struct classifier_bucket *buckets;
	/* Each: low and high - low of both ports, 16 bits each, the source's
	 * lowest; then value and mask of each word of check[]. */
	uint64_t *records;
};

/* Immutable. */
struct classifier {
	uint64_t seed;
	unsigned n_rules, n_tables;
	unsigned longest; /* candidates with the same hash, at most */
	struct classifier_table table[];
};

/*
 * Control: builds a classifier of n rules (0 is fine), of which earlier ones
 * count first; they are not needed any more afterwards. *c is the caller's.
 * -ENOMEM, -ENOSPC (too many), or what getrandom() says.
 */
int classifier_build(struct classifier **c, const struct classifier_rule *rules,
		     unsigned n, struct glen_error *error);
/* Control: nobody looks into it any more. NULL is fine. */
void classifier_free(struct classifier *c);

/* One rule alone, without a classifier. Any thread. */
bool classifier_rule_fits(const struct classifier_rule *rule,
			  const struct classifier_key *key);

#endif
