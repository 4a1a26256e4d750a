// SPDX-License-Identifier: BSD-2-Clause
// steer/rules.c - rules as texts become a classifier and targets.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/steer/steer.h"

/* A rule as it is read. */
struct reading {
	json_t *object;
	struct classifier_rule *rule;
	struct glen_error *error;
	size_t number; /* in the list */
	const char *const *ports;
	bool by_port;
};

int steer_name_check(const char *what, const char *name,
		     struct glen_error *error)
{
	if (!name[0] || strlen(name) >= PORT_NAME_SIZE || strchr(name, ':'))
		return error_set(error, -EINVAL,
				 "%s: '%.60s' is no name (1 to %d characters, "
				 "without a colon)",
				 what, name, PORT_NAME_SIZE - 1);
	return 0;
}

int steer_target_read(json_t *object, struct steer_target *target,
		      struct glen_error *error)
{
	static const char *const names[] = { "drop", "port", "service",
					     "chain" };
	unsigned n = 0;
	int err = 0;

	for (unsigned kind = 0; kind < 4; kind++) {
		json_t *value = json_object_get(object, names[kind]);

		if (!value)
			continue;
		n++;
		memset(target, 0, sizeof(*target));
		target->kind = kind;
		if (kind == STEER_TO_DROP) {
			n += !json_is_true(value);
			continue;
		}
		if (!json_is_string(value))
			return error_set(error, -EINVAL,
					 "%s must be the name of one",
					 names[kind]);
		err = err   ?:
			      steer_name_check(names[kind],
					       json_string_value(value), error);
		if (!err)
			strcpy(target->name, json_string_value(value));
	}
	if (err || n == 1)
		return err;
	return error_set(error, -EINVAL,
			 "exactly one of chain, service, port, and drop: true "
			 "is needed");
}

/* Fields */

static int bad(struct reading *r, const char *key, const char *say)
{
	return error_set(r->error, -EINVAL, "rule %zu: %s: %s", r->number, key,
			 say);
}

/* The text of a member; NULL: absent or no text, which *err says. */
static const char *text_of(struct reading *r, const char *key, int *err)
{
	json_t *value = json_object_get(r->object, key);

	if (value && !json_is_string(value))
		*err = bad(r, key, "must be a text");
	return json_string_value(value);
}

/* An integer, or one of the texts in names, which begin at value 0; -1: it is
 * absent. */
static long number_of(struct reading *r, const char *key, long max,
		      const char *const *names, int *err)
{
	json_t *value = json_object_get(r->object, key);
	const char *text = json_string_value(value);
	char say[64];

	if (!value)
		return -1;
	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= max)
		return json_integer_value(value);
	for (long i = 0; text && names && names[i]; i++)
		if (names[i][0] && !strcmp(names[i], text))
			return i;
	snprintf(say, sizeof(say), "must be from 0 to %ld%s", max,
		 names ? ", or a name of one" : "");
	*err = bad(r, key, max < 0 ? "must be no, any, first or later" : say);
	return -1;
}

static int read_mac(struct reading *r, const char *key, unsigned end)
{
	uint8_t mac[2][6] = { { 0 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	int err = 0, used = 0;
	const char *text = text_of(r, key, &err);

	if (err || !text)
		return err;
	for (unsigned k = 0; k < 2; k++) {
		uint8_t *m = mac[k];

		if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", m,
			   m + 1, m + 2, m + 3, m + 4, m + 5, &used) != 6)
			return bad(r, key,
				   "must be as 02:00:00:00:00:01, or "
				   "with a mask behind a slash");
		text += used;
		if (!*text)
			break;
		if (k || *text++ != '/')
			return bad(r, key, "has more behind the address");
	}
	return classifier_rule_mac(r->rule, end, mac[0], mac[1]);
}

static int read_ip(struct reading *r, const char *key, unsigned end)
{
	static const char say[] = "must be an address, or a prefix as "
				  "10.0.0.0/8 or 2001:db8::/32";
	char address[INET6_ADDRSTRLEN + 5], *slash, *rest;
	unsigned long len, most = 32;
	uint8_t ip[16];
	int err = 0, family = 4;
	const char *text = text_of(r, key, &err);

	if (err || !text)
		return err;
	snprintf(address, sizeof(address), "%s", text);
	slash = strchr(address, '/');
	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, address, ip) != 1) {
		family = 6;
		most = 128;
		if (inet_pton(AF_INET6, address, ip) != 1)
			return bad(r, key, say);
	}
	len = slash ? strtoul(slash, &rest, 10) : most;
	if (slash && (*slash < '0' || *slash > '9' || *rest || len > most))
		return bad(r, key, say);
	if (classifier_rule_ip(r->rule, end, family, ip, len))
		return bad(r, key, "is of another family than other fields");
	return 0;
}

static int read_ports(struct reading *r, const char *key, unsigned end)
{
	json_t *value = json_object_get(r->object, key);
	const char *text = json_string_value(value);
	unsigned low = 1, high = 0;
	char more;
	int n = 0;

	if (!value)
		return 0;
	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
	    json_integer_value(value) <= UINT16_MAX)
		low = high = json_integer_value(value);
	else if (text && strspn(text, "0123456789-") == strlen(text))
		n = sscanf(text, "%5u-%5u%c", &low, &high, &more);
	if (n == 1 && !strchr(text, '-'))
		high = low;
	if (n > 2 || (n == 1 && strchr(text, '-')) ||
	    classifier_rule_ports(r->rule, end, low, high))
		return bad(r, key, "must be a port or a range as 1024-65535");
	return 0;
}

static int read_flags(struct reading *r)
{
	static const char names[][4] = { "fin", "syn", "rst", "psh",
					 "ack", "urg", "ece", "cwr" };
	unsigned flags = 0, mask = 0, i;
	int err = 0;
	const char *text = text_of(r, "tcp_flags", &err);

	while (!err && text && *text) {
		bool without = *text == '!';

		text += without;
		for (i = 0; i < 8 && strncmp(text, names[i], 3); i++)
			;
		if (i == 8 || (text[3] && text[3] != ','))
			return bad(r, "tcp_flags", "must be as syn,!ack");
		mask |= 1U << i;
		flags |= without ? 0 : 1U << i;
		text += text[3] ? 4 : 3;
	}
	if (!err && mask && classifier_rule_tcp_flags(r->rule, flags, mask))
		return bad(r, "tcp_flags", "need protocol tcp");
	return err;
}

static int read_icmp(struct reading *r)
{
	int err = 0;
	long type = number_of(r, "icmp_type", 255, NULL, &err);
	long code = number_of(r, "icmp_code", 255, NULL, &err);
	bool v6 = r->rule->value[CLASSIFIER_L4] >> CLASSIFIER_L_IPV6 & 1 ||
		  (r->rule->value[CLASSIFIER_L4] >> CLASSIFIER_L_PROTO &
		   0xff) == 58;

	if (err || (type < 0 && code < 0))
		return err;
	if (type < 0)
		return bad(r, "icmp_code", "needs an icmp_type");
	if (classifier_rule_icmp(r->rule, v6 ? 6 : 4, type, (int)code))
		return bad(r, "icmp_type",
			   "and other fields exclude each "
			   "other");
	return 0;
}

/* Ethernet and VLAN. */
static int read_link(struct reading *r)
{
	static const char *const tag[] = { "none", NULL };
	json_t *vlan = json_object_get(r->object, "vlan");
	int err = 0;
	long type = number_of(r, "type", 65535, NULL, &err);
	long pcp = number_of(r, "pcp", 7, NULL, &err);
	long vid = number_of(r, "vlan", 4095, tag, &err);

	err = err ?: read_mac(r, "src_mac", CLASSIFIER_FROM);
	err = err ?: read_mac(r, "dst_mac", CLASSIFIER_TO);
	if (!err && type >= 0)
		err = classifier_rule_type(r->rule, type);
	if (!err && vlan)
		err = classifier_rule_vlan(r->rule, json_is_string(vlan) ?
							    -1 :
							    (int)vid);
	if (!err && pcp >= 0 && classifier_rule_pcp(r->rule, pcp))
		return bad(r, "pcp", "packets without a tag have none");
	return err;
}

static int read_network(struct reading *r)
{
	static const char *const protocols[] = {
		[1] = "icmp",	 [6] = "tcp",	 [17] = "udp",
		[58] = "icmpv6", [132] = "sctp", [133] = NULL,
	};
	static const char *const fragments[] = { "no", "any", "first", "later",
						 NULL };
	const char *names[134];
	int err = 0;
	long protocol, dscp, fragment;

	for (unsigned i = 0; i < 133; i++)
		names[i] = protocols[i] ? protocols[i] : "";
	names[133] = NULL;
	protocol = number_of(r, "protocol", 255, names, &err);
	dscp = number_of(r, "dscp", 63, NULL, &err);
	fragment = number_of(r, "fragment", -1, fragments, &err);
	err = err ?: read_ip(r, "src", CLASSIFIER_FROM);
	err = err ?: read_ip(r, "dst", CLASSIFIER_TO);
	if (!err && protocol >= 0)
		err = classifier_rule_protocol(r->rule, protocol);
	if (!err && dscp >= 0)
		err = classifier_rule_dscp(r->rule, dscp);
	if (!err && fragment >= 0)
		err = classifier_rule_fragment(
			r->rule, (enum classifier_fragment)fragment);
	err = err ?: read_ports(r, "sport", CLASSIFIER_FROM);
	err = err ?: read_ports(r, "dport", CLASSIFIER_TO);
	err = err ?: read_flags(r);
	return err ?: read_icmp(r);
}

static int read_in_port(struct reading *r)
{
	unsigned index = 0;
	int err = 0;
	const char *name = text_of(r, "in_port", &err);

	if (err || !name)
		return err;
	r->by_port = true;
	while (index < STEER_PORTS &&
	       (!r->ports[index] || strcmp(r->ports[index], name)))
		index++;
	/* One that is not there has a number that none has. */
	return classifier_rule_in_port(r->rule, index < STEER_PORTS ?
							index :
							STEER_NO_PORT);
}

static int read_rule(struct reading *r, struct steer_target *target)
{
	static const char *const known[] = {
		"in_port", "src_mac",  "dst_mac",   "type",	 "vlan",
		"pcp",	   "src",      "dst",	    "dscp",	 "protocol",
		"sport",   "dport",    "tcp_flags", "icmp_type", "icmp_code",
		"odd",	   "fragment", "chain",	    "service",	 "port",
		"drop",	   NULL
	};
	struct glen_error error = { 0 };
	json_t *odd = json_object_get(r->object, "odd");
	int err;

	classifier_rule_init(r->rule);
	if (!json_is_object(r->object))
		return bad(r, "", "is no object");
	err = params_check(r->object, known, &error);
	err = err ?: steer_target_read(r->object, target, &error);
	if (err)
		return error_set(r->error, err, "rule %zu: %s", r->number,
				 error.text);
	err = read_in_port(r);
	err = err ?: read_link(r);
	if (!err && odd)
		err = json_is_boolean(odd) ?
			      classifier_rule_odd(r->rule, json_is_true(odd)) :
			      bad(r, "odd", "must be true or false");
	return err ?: read_network(r);
}

/* Targets */

/* How the number of a target is found again by its text. */
static int number_target(struct steer_rules *rules, json_t *known, size_t rule,
			 const struct steer_target *target)
{
	char text[PORT_NAME_SIZE + 2];
	json_t *number;

	snprintf(text, sizeof(text), "%u%s", target->kind, target->name);
	number = json_object_get(known, text);
	if (!number) {
		rules->targets[rules->n_targets] = *target;
		number = json_integer(rules->n_targets++);
		if (json_object_set_new(known, text, number))
			return -ENOMEM;
	}
	rules->target[rule] = json_integer_value(number);
	return 0;
}

static int read_all(json_t *list, struct reading *r,
		    struct classifier_rule *out, struct steer_rules *rules,
		    json_t *known)
{
	struct steer_target target;
	int err = 0;

	json_array_foreach(list, r->number, r->object) {
		r->rule = &out[r->number];
		if (r->error)
			r->error->text[0] = '\0';
		err = read_rule(r, &target);
		if (err && r->error && !r->error->text[0])
			bad(r, "its fields", "exclude each other");
		err = err ?: number_target(rules, known, r->number, &target);
		if (err)
			return err;
	}
	rules->by_port = r->by_port;
	return 0;
}

int steer_rules_read(json_t *list, const char *const *ports,
		     struct steer_rules **out, struct glen_error *error)
{
	size_t n = json_array_size(list);
	struct reading r = { .error = error, .ports = ports };
	struct steer_rules *rules = calloc(1, sizeof(*rules));
	struct classifier_rule *made = calloc(n + 1, sizeof(*made));
	json_t *known = json_object();
	int err = -ENOMEM;

	*out = NULL;
	if (!rules || !made || !known)
		goto out;
	rules->refs = 1;
	rules->target = calloc(n + 1, sizeof(rules->target[0]));
	rules->targets = calloc(n + 1, sizeof(rules->targets[0]));
	if (!rules->target || !rules->targets)
		goto out;
	err = list && !json_is_array(list) ?
		      error_set(error, -EINVAL, "rules must be a list") :
		      0;
	err = err ?: read_all(list, &r, made, rules, known);
	err = err ?: classifier_build(&rules->classifier, made, n, error);
out:
	if (err == -ENOMEM)
		error_set(error, err, "no memory for the rules");
	if (err)
		steer_rules_put(rules);
	else
		*out = rules;
	free(made);
	json_decref(known);
	return err;
}

void steer_rules_put(struct steer_rules *rules)
{
	if (!rules || (rules->refs && --rules->refs))
		return;
	classifier_free(rules->classifier);
	free(rules->target);
	free(rules->targets);
	free(rules);
}
