// SPDX-License-Identifier: BSD-2-Clause
// term.c - conditions of rules: read, and added to the classifier's.
#include <errno.h>
#include <string.h>

#include "nf/firewall/ast.h"

static const struct fw_name protocols[] = {
	{ "icmp", 1 },	 { "tcp", 6 }, { "udp", 17 },	{ "gre", 47 },
	{ "esp", 50 },	 { "ah", 51 }, { "icmp6", 58 }, { "ospf", 89 },
	{ "sctp", 132 }, { NULL, 0 },
};

static const struct fw_name icmp_types[] = {
	{ "echo-reply", 0 },
	{ "unreachable", 3 },
	{ "redirect", 5 },
	{ "echo-request", 8 },
	{ "time-exceeded", 11 },
	{ "parameter-problem", 12 },
	{ NULL, 0 },
};

static const struct fw_name icmp6_types[] = {
	{ "unreachable", 1 },
	{ "packet-too-big", 2 },
	{ "time-exceeded", 3 },
	{ "parameter-problem", 4 },
	{ "echo-request", 128 },
	{ "echo-reply", 129 },
	{ "router-solicitation", 133 },
	{ "router-advertisement", 134 },
	{ "neighbour-solicitation", 135 },
	{ "neighbour-advertisement", 136 },
	{ NULL, 0 },
};

static const struct fw_name types[] = {
	{ "ip", 0x0800 },
	{ "arp", 0x0806 },
	{ "ip6", 0x86dd },
	{ NULL, 0 },
};

static const struct fw_name fragments[] = {
	{ "no", CLASSIFIER_FRAGMENT_NO },
	{ "any", CLASSIFIER_FRAGMENT_ANY },
	{ "first", CLASSIFIER_FRAGMENT_FIRST },
	{ "later", CLASSIFIER_FRAGMENT_LATER },
	{ NULL, 0 },
};

/* A list of one number. */
static int one(struct fw_ast *a, struct fw_term *term, unsigned low,
	       unsigned high)
{
	struct fw_list *list = fw_list_new(a);

	if (!list || !fw_grow((void **)&list->value, 0, &list->size,
			      sizeof(*list->value)))
		return -ENOMEM;
	memset(list->value, 0, sizeof(*list->value));
	list->value[0].low = low;
	list->value[0].high = high;
	list->n = 1;
	term->list = list;
	return 0;
}

static int parse_one(struct fw_ast *a, struct fw_term *term,
		     enum fw_field field, const struct fw_name *names,
		     unsigned max, const char *what)
{
	unsigned number = 0;
	int err = fw_parse_named(a, names, max, what, &number);

	term->field = field;
	return err ?: one(a, term, number, number);
}

/* "saddr", "daddr"; "dscp" of both families. */
static int parse_ip(struct fw_ast *a, struct fw_term *term, unsigned family)
{
	enum fw_type type = family == 4 ? FW_IP4 : FW_IP6;

	term->family = family;
	if (fw_lex_is(&a->lex, "saddr"))
		term->field = FW_SADDR;
	else if (fw_lex_is(&a->lex, "daddr"))
		term->field = FW_DADDR;
	else if (fw_lex_is(&a->lex, "dscp"))
		term->field = FW_DSCP;
	else
		return fw_lex_expected(&a->lex, "saddr, daddr or dscp");
	fw_lex_next(&a->lex);
	if (term->field != FW_DSCP)
		return fw_parse_values(a, type, 0, &term->list);
	return parse_one(a, term, FW_DSCP, fragments + 4, 63, "a number");
}

static int parse_flags(struct fw_ast *a, struct fw_term *term)
{
	static const char *const names[] = { "fin", "syn", "rst", "psh",
					     "ack", "urg", "ece", "cwr" };
	unsigned flags = 0, mask = 0, i;
	struct fw_lex *l = &a->lex;
	bool more = true;

	for (; more; more = l->kind == FW_COMMA) {
		const char *word = l->word;

		if (l->kind == FW_COMMA) {
			fw_lex_next(l);
			word = l->word;
		}
		word += *word == '!';
		for (i = 0; i < 8 && strcmp(word, names[i]); i++)
			;
		if (l->kind != FW_WORD || i == 8 || mask & 1U << i)
			return fw_lex_expected(l, "another flag: fin, syn, "
						  "rst, psh, ack, urg, ece or "
						  "cwr, or !fin ...");
		mask |= 1U << i;
		flags |= l->word[0] == '!' ? 0 : 1U << i;
		fw_lex_next(l);
	}
	term->field = FW_FLAGS;
	return one(a, term, flags, mask);
}

/* "sport", "dport", of TCP "flags". */
static int parse_ports(struct fw_ast *a, struct fw_term *term, unsigned proto)
{
	term->proto = proto;
	if (proto == 6 && fw_lex_is(&a->lex, "flags")) {
		fw_lex_next(&a->lex);
		return parse_flags(a, term);
	}
	if (fw_lex_is(&a->lex, "sport"))
		term->field = FW_SPORT;
	else if (fw_lex_is(&a->lex, "dport"))
		term->field = FW_DPORT;
	else
		return fw_lex_expected(&a->lex,
				       proto == 6 ? "sport, dport or flags" :
						    "sport or dport");
	fw_lex_next(&a->lex);
	return fw_parse_values(a, FW_NUMBER, UINT16_MAX, &term->list);
}

/* "type" TYPE ["code" NUMBER]. */
static int parse_icmp(struct fw_ast *a, struct fw_term *term, unsigned family)
{
	int err;

	if (!fw_lex_is(&a->lex, "type"))
		return fw_lex_expected(&a->lex, "type");
	fw_lex_next(&a->lex);
	term->family = family;
	err = parse_one(a, term, FW_ICMP,
			family == 4 ? icmp_types : icmp6_types, 255,
			"the name of a type, or a number");
	if (err || !fw_lex_is(&a->lex, "code"))
		return err;
	fw_lex_next(&a->lex);
	err = fw_parse_number(a, 255, &term->extra);
	term->extra++;
	return err;
}

static int parse_ct(struct fw_ast *a, struct fw_term *term)
{
	static const char *const names[] = { "new", "established", "related",
					     "invalid", "untracked" };
	struct fw_lex *l = &a->lex;
	unsigned bits = 0, i;
	bool more = true;

	if (a->read->stateless)
		return fw_lex_error(l, -EINVAL,
				    "ct needs connections, and the firewall is "
				    "stateless; leave out one of them");
	if (!fw_lex_is(l, "state"))
		return fw_lex_expected(l, "state");
	fw_lex_next(l);
	for (; more; more = l->kind == FW_COMMA) {
		if (l->kind == FW_COMMA)
			fw_lex_next(l);
		for (i = 0; i < FW_STATES && !fw_lex_is(l, names[i]); i++)
			;
		if (i == FW_STATES)
			return fw_lex_expected(l, "new, established, related, "
						  "invalid or untracked");
		bits |= 1U << i;
		fw_lex_next(l);
	}
	a->stateful = true;
	term->field = FW_CT;
	return one(a, term, bits, bits);
}

/* "vlan" NUMBER or none. */
static int parse_vlan(struct fw_ast *a, struct fw_term *term)
{
	term->extra = fw_lex_is(&a->lex, "none");
	if (!term->extra)
		return parse_one(a, term, FW_VLAN, fragments + 4, 4095,
				 "none, or a number");
	term->field = FW_VLAN;
	fw_lex_next(&a->lex);
	return one(a, term, 0, 0);
}

static int parse_iif(struct fw_ast *a, struct fw_term *term)
{
	struct fw_lex *l = &a->lex;
	int port;

	if ((l->kind != FW_WORD && l->kind != FW_STRING) || !l->word[0])
		return fw_lex_expected(l, "the name of a port");
	port = a->read->port(a->read->arg, l->word);
	if (port == -ENOENT)
		return fw_lex_error(l, port,
				    "port '%.60s' was not named when the "
				    "firewall started; start it with port="
				    "%.60s",
				    l->word, l->word);
	if (port < 0)
		return fw_lex_error(l, port,
				    "'%.60s' can be no port's name, or there "
				    "are too many of them",
				    l->word);
	fw_lex_next(l);
	term->field = FW_IIF;
	return one(a, term, (unsigned)port, (unsigned)port);
}

static int parse_rest(struct fw_ast *a, const char *word, struct fw_term *term)
{
	if (!strcmp(word, "protocol"))
		return parse_one(a, term, FW_PROTOCOL, protocols, 255,
				 "the name of a protocol, or a number");
	if (!strcmp(word, "fragment"))
		return parse_one(a, term, FW_FRAGMENT, fragments, 0,
				 "no, any, first or later");
	if (!strcmp(word, "ether"))
		return parse_one(a, term, FW_TYPE, types, UINT16_MAX,
				 "ip, ip6, arp or a number");
	if (!strcmp(word, "vlan"))
		return parse_vlan(a, term);
	if (!strcmp(word, "iif"))
		return parse_iif(a, term);
	if (!strcmp(word, "ct"))
		return parse_ct(a, term);
	term->field = FW_MALFORMED;
	return one(a, term, 1, 1);
}

static int parse_known(struct fw_ast *a, const char *word, struct fw_term *term)
{
	if (!strcmp(word, "ip") || !strcmp(word, "ip6"))
		return parse_ip(a, term, word[2] ? 6 : 4);
	if (!strcmp(word, "tcp"))
		return parse_ports(a, term, 6);
	if (!strcmp(word, "udp"))
		return parse_ports(a, term, 17);
	if (!strcmp(word, "sctp"))
		return parse_ports(a, term, 132);
	if (!strcmp(word, "port"))
		return parse_ports(a, term, 0);
	if (!strcmp(word, "icmp") || !strcmp(word, "icmp6"))
		return parse_icmp(a, term, word[4] ? 6 : 4);
	return parse_rest(a, word, term);
}

int fw_parse_term(struct fw_ast *a, struct fw_rule *rule)
{
	static const char *const words[] = {
		"ip",	"ip6",	 "tcp",	      "udp",	  "sctp", "port",
		"icmp", "icmp6", "protocol",  "fragment", "vlan", "ether",
		"iif",	"ct",	 "malformed", NULL,
	};
	struct fw_term *term = &rule->term[rule->n_terms];
	unsigned i = 0;

	while (words[i] && !fw_lex_is(&a->lex, words[i]))
		i++;
	if (!words[i])
		return 1;
	if (rule->n_terms == FW_TERMS_MAX)
		return fw_lex_error(&a->lex, -EINVAL,
				    "a rule has at most %d conditions; use "
				    "jump for more",
				    FW_TERMS_MAX);
	memset(term, 0, sizeof(*term));
	rule->n_terms++;
	fw_lex_next(&a->lex);
	return parse_known(a, words[i], term);
}

static int apply_ports(const struct fw_term *t, const struct fw_value *v,
		       struct classifier_rule *r)
{
	unsigned end = t->field == FW_SPORT ? CLASSIFIER_FROM : CLASSIFIER_TO;
	int err = t->proto ? classifier_rule_protocol(r, t->proto) : 0;

	return err ?: classifier_rule_ports(r, end, v->low, v->high);
}

/* The bits of other states must be 0. */
static int apply_ct(unsigned bits, struct classifier_rule *r)
{
	uint64_t others = ((1U << FW_STATES) - 1) & ~bits;

	r->mask[CLASSIFIER_META] |= others << CLASSIFIER_M_OWN;
	others = r->mask[CLASSIFIER_META] >> CLASSIFIER_M_OWN;
	return (others & ((1U << FW_STATES) - 1)) == (1U << FW_STATES) - 1 ?
		       -EINVAL :
		       0;
}

static int apply_family(unsigned family, unsigned dscp,
			struct classifier_rule *r)
{
	static const uint8_t any[16];

	return classifier_rule_ip(r, CLASSIFIER_FROM, family, any, 0) ?:
		       classifier_rule_dscp(r, dscp);
}

int fw_term_apply(const struct fw_term *t, unsigned i,
		  struct classifier_rule *r)
{
	const struct fw_value *v = &t->list->value[i];

	switch (t->field) {
	case FW_SADDR:
		return classifier_rule_ip(r, CLASSIFIER_FROM, t->family, v->ip,
					  v->low);
	case FW_DADDR:
		return classifier_rule_ip(r, CLASSIFIER_TO, t->family, v->ip,
					  v->low);
	case FW_SPORT:
	case FW_DPORT:
		return apply_ports(t, v, r);
	case FW_PROTOCOL:
		return classifier_rule_protocol(r, v->low);
	case FW_DSCP:
		return apply_family(t->family, v->low, r);
	case FW_ICMP:
		return classifier_rule_icmp(r, t->family, v->low,
					    (int)t->extra - 1);
	case FW_FLAGS:
		return classifier_rule_tcp_flags(r, v->low, v->high);
	case FW_FRAGMENT:
		return classifier_rule_fragment(r, (enum classifier_fragment)
							   v->low);
	case FW_MALFORMED:
		return classifier_rule_odd(r, true);
	case FW_TYPE:
		return classifier_rule_type(r, v->low);
	case FW_VLAN:
		return classifier_rule_vlan(r, t->extra ? -1 : (int)v->low);
	case FW_IIF:
		return classifier_rule_in_port(r, v->low);
	case FW_CT:
		return apply_ct(v->low, r);
	}
	return -EINVAL;
}
