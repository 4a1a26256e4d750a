// SPDX-License-Identifier: BSD-2-Clause
// classifier_rule.c - conditions of rules, one by one.
#include <errno.h>
#include <string.h>

#include "lib/classifier.h"

enum {
	PROTO_ICMP = 1,
	PROTO_TCP = 6,
	PROTO_ICMPV6 = 58,
	TCP_FLAGS = 0x1ff,
};

/* The bits of mask in word w must be value. */
static int demand(struct classifier_rule *r, unsigned w, uint64_t value,
		  uint64_t mask)
{
	if ((r->value[w] ^ value) & r->mask[w] & mask)
		return -EINVAL;
	r->mask[w] |= mask;
	r->value[w] |= value & mask;
	return 0;
}

/* A field of width bits at bit at of word w must be value. */
static int demand_field(struct classifier_rule *r, unsigned w, unsigned at,
			unsigned width, uint64_t value)
{
	uint64_t all = (1ULL << width) - 1;

	if (value > all)
		return -EINVAL;
	return demand(r, w, value << at, all << at);
}

static int demand_flag(struct classifier_rule *r, unsigned at, bool set)
{
	return demand_field(r, CLASSIFIER_L4, at, 1, set);
}

void classifier_rule_init(struct classifier_rule *rule)
{
	memset(rule, 0, sizeof(*rule));
	rule->high[0] = rule->high[1] = UINT16_MAX;
}

int classifier_rule_in_port(struct classifier_rule *rule, unsigned port)
{
	return demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_PORT, 16, port);
}

static uint64_t mac_word(const uint8_t mac[6])
{
	uint64_t word = 0;

	for (unsigned i = 0; i < 6; i++)
		word = word << 8 | mac[i];
	return word;
}

int classifier_rule_mac(struct classifier_rule *rule, unsigned end,
			const uint8_t mac[6], const uint8_t mask[6])
{
	return demand(rule,
		      end == CLASSIFIER_FROM ? CLASSIFIER_SMAC :
					       CLASSIFIER_DMAC,
		      mac_word(mac) & mac_word(mask), mac_word(mask));
}

int classifier_rule_type(struct classifier_rule *rule, unsigned type)
{
	return demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_TYPE, 16, type);
}

int classifier_rule_vlan(struct classifier_rule *rule, int vid)
{
	int err = demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_TAG, 1,
			       vid >= 0);

	if (err || vid < 0)
		return err;
	return demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_VID, 12,
			    (unsigned)vid);
}

int classifier_rule_pcp(struct classifier_rule *rule, unsigned priority)
{
	int err = demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_TAG, 1, 1);

	return err   ?:
		       demand_field(rule, CLASSIFIER_META, CLASSIFIER_M_PCP, 3,
				    priority);
}

static int demand_family(struct classifier_rule *rule, unsigned family)
{
	int err = demand_flag(rule, CLASSIFIER_L_IPV4, family == 4);

	if (family != 4 && family != 6)
		return -EINVAL;
	return err ?: demand_flag(rule, CLASSIFIER_L_IPV6, family == 6);
}

static uint64_t load_word(const uint8_t *p, unsigned n)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < n; i++)
		word = word << 8 | p[i];
	return word;
}

/* len ones on top of a word of width bits. */
static uint64_t prefix(unsigned len, unsigned width)
{
	uint64_t all = width == 64 ? UINT64_MAX : (1ULL << width) - 1;

	if (!len)
		return 0;
	return len >= width ? all : all & (all << (width - len));
}

int classifier_rule_ip(struct classifier_rule *rule, unsigned end,
		       unsigned family, const uint8_t *address, unsigned len)
{
	unsigned w = end == CLASSIFIER_FROM ? CLASSIFIER_IP : CLASSIFIER_DST;
	unsigned shift = end == CLASSIFIER_FROM ? 32 : 0;
	int err = demand_family(rule, family);

	if (err || len > (family == 4 ? 32 : 128))
		return -EINVAL;
	if (family == 4)
		return demand(rule, CLASSIFIER_IP,
			      load_word(address, 4) << shift,
			      prefix(len, 32) << shift);
	err = demand(rule, w, load_word(address, 8), prefix(len, 64));
	return err   ?:
		       demand(rule, w + 1, load_word(address + 8, 8),
			      prefix(len > 64 ? len - 64 : 0, 64));
}

/* IPv4 or IPv6, whichever: fields of L4 are 0 in others. */
int classifier_rule_dscp(struct classifier_rule *rule, unsigned dscp)
{
	int err = demand_flag(rule, CLASSIFIER_L_IP, true);

	return err   ?:
		       demand_field(rule, CLASSIFIER_L4, CLASSIFIER_L_DSCP, 6,
				    dscp);
}

int classifier_rule_protocol(struct classifier_rule *rule, unsigned protocol)
{
	int err = demand_flag(rule, CLASSIFIER_L_IP, true);

	return err   ?:
		       demand_field(rule, CLASSIFIER_L4, CLASSIFIER_L_PROTO, 8,
				    protocol);
}

int classifier_rule_ports(struct classifier_rule *rule, unsigned end,
			  unsigned low, unsigned high)
{
	if (low > high || high > UINT16_MAX || end > CLASSIFIER_TO)
		return -EINVAL;
	if (low > rule->high[end] || high < rule->low[end])
		return -EINVAL;
	rule->low[end] = low > rule->low[end] ? low : rule->low[end];
	rule->high[end] = high < rule->high[end] ? high : rule->high[end];
	return demand_flag(rule, CLASSIFIER_L_ICMP, false) ?:
		       demand_flag(rule, CLASSIFIER_L_PORTS, true);
}

int classifier_rule_tcp_flags(struct classifier_rule *rule, unsigned flags,
			      unsigned mask)
{
	if (flags & ~mask || mask & ~TCP_FLAGS)
		return -EINVAL;
	return classifier_rule_protocol(rule, PROTO_TCP)	 ?:
		       demand_flag(rule, CLASSIFIER_L_TCP, true) ?:
		       demand(rule, CLASSIFIER_L4,
			      (uint64_t)flags << CLASSIFIER_L_FLAGS,
			      (uint64_t)mask << CLASSIFIER_L_FLAGS);
}

int classifier_rule_icmp(struct classifier_rule *rule, unsigned family,
			 unsigned type, int code)
{
	int err = demand_family(rule, family);

	err = err   ?:
		      classifier_rule_protocol(rule, family == 4 ?
							     PROTO_ICMP :
							     PROTO_ICMPV6);
	err = err ?: demand_flag(rule, CLASSIFIER_L_PORTS, false);
	err = err ?: demand_flag(rule, CLASSIFIER_L_ICMP, true);
	if (err || type > 255 || code > 255)
		return -EINVAL;
	err = demand_field(rule, CLASSIFIER_L4, CLASSIFIER_L_SPORT, 16, type);
	if (err || code < 0)
		return err;
	return demand_field(rule, CLASSIFIER_L4, CLASSIFIER_L_DPORT, 16,
			    (unsigned)code);
}

int classifier_rule_fragment(struct classifier_rule *rule,
			     enum classifier_fragment kind)
{
	int err = demand_flag(rule, CLASSIFIER_L_FRAG,
			      kind != CLASSIFIER_FRAGMENT_NO);

	if (err || kind == CLASSIFIER_FRAGMENT_NO ||
	    kind == CLASSIFIER_FRAGMENT_ANY)
		return err;
	return demand_flag(rule, CLASSIFIER_L_LATER,
			   kind == CLASSIFIER_FRAGMENT_LATER);
}

int classifier_rule_odd(struct classifier_rule *rule, bool odd)
{
	return demand_flag(rule, CLASSIFIER_L_ODD, odd);
}

bool classifier_rule_fits(const struct classifier_rule *rule,
			  const struct classifier_key *key)
{
	uint64_t l4 = key->w[CLASSIFIER_L4];
	unsigned sport = l4 >> CLASSIFIER_L_SPORT & UINT16_MAX;
	unsigned dport = l4 >> CLASSIFIER_L_DPORT & UINT16_MAX;

	if (sport < rule->low[0] || sport > rule->high[0] ||
	    dport < rule->low[1] || dport > rule->high[1])
		return false;
	for (unsigned i = 0; i < CLASSIFIER_WORDS; i++)
		if ((key->w[i] ^ rule->value[i]) & rule->mask[i])
			return false;
	return true;
}
