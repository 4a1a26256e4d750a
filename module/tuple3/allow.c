// SPDX-License-Identifier: BSD-2-Clause
// tuple3/allow.c - who may claim what: option allow.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "module/tuple3/parse.h"
#include "module/tuple3/tuple3.h"

enum {
	RULES_MAX = 1024 /* a claim of any port tries them for each port */,
	WORDS = 3,
	WORD_SIZE = 64
};

struct t3_rule {
	char port[PORT_NAME_SIZE]; /* "*": those that no rule names */
	uint64_t a0, a1, mask0, mask1;
	uint8_t family;
	uint8_t protocol; /* 0: TCP and UDP */
	uint16_t low, high;
};

struct t3_allow {
	unsigned n;
	struct t3_rule rule[];
};

static int bad(const char *text, struct glen_error *error)
{
	return error_set(error, -EINVAL,
			 "allow: '%.80s' is no rule such as \"10.0.0.1\", "
			 "\"10.0.0.0/24 tcp\", or \"2001:db8::1 udp "
			 "61000-65535\"",
			 text);
}

/* len bits of the 16 bytes at mask. */
static void mask_bits(uint8_t *mask, unsigned len)
{
	memset(mask, 0, 16);
	memset(mask, 0xff, len / 8);
	if (len % 8)
		mask[len / 8] = (uint8_t)(0xff << (8 - len % 8));
}

static bool read_address(char *text, struct t3_rule *rule)
{
	char *slash = strchr(text, '/'), *end = NULL;
	uint8_t ip[16], mask[16];
	struct t3_key key, bits;
	unsigned long len, most;

	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, text, ip) == 1)
		rule->family = 4;
	else if (inet_pton(AF_INET6, text, ip) == 1)
		rule->family = 6;
	else
		return false;
	most = rule->family == 4 ? 32 : 128;
	len = slash ? strtoul(slash, &end, 10) : most;
	if (slash && (slash[0] < '0' || slash[0] > '9' || *end || len > most))
		return false;
	mask_bits(mask, len);
	key = rule->family == 4 ? t3_key4(ip) : t3_key6(ip);
	bits = rule->family == 4 ? t3_key4(mask) : t3_key6(mask);
	rule->mask0 = bits.a0;
	rule->mask1 = bits.a1;
	rule->a0 = key.a0 & bits.a0;
	rule->a1 = key.a1 & bits.a1;
	return true;
}

static bool read_ports(const char *text, struct t3_rule *rule)
{
	unsigned low, high;
	char more;
	int n = sscanf(text, "%5u-%5u%c", &low, &high, &more);

	if (text[0] < '0' || text[0] > '9' || n < 1 || n > 2)
		return false;
	if (n == 1) {
		high = low;
		if (strspn(text, "0123456789") != strlen(text))
			return false;
	}
	if (!low || low > high || high > 65535)
		return false;
	rule->low = low;
	rule->high = high;
	return true;
}

static int read_rule(const char *port, const char *text, struct t3_rule *rule,
		     struct glen_error *error)
{
	char word[WORDS][WORD_SIZE], more;
	int n = sscanf(text, "%63s %63s %63s %c", word[0], word[1], word[2],
		       &more);

	*rule = (struct t3_rule){ .low = 1, .high = 65535 };
	snprintf(rule->port, sizeof(rule->port), "%s", port);
	if (n < 1 || n > WORDS || !read_address(word[0], rule))
		return bad(text, error);
	if (n > 1 && strcmp(word[1], "tcp") && strcmp(word[1], "udp"))
		return bad(text, error);
	if (n > 1)
		rule->protocol = word[1][0] == 't' ? T3_TCP : T3_UDP;
	return n > 2 && !read_ports(word[2], rule) ? bad(text, error) : 0;
}

static int read_list(const char *port, json_t *list, struct t3_allow *allow,
		     struct glen_error *error)
{
	json_t *text;
	size_t i;

	if (strlen(port) >= PORT_NAME_SIZE || !json_is_array(list))
		return error_set(error, -EINVAL,
				 "allow: %.60s: a list of rules is needed, "
				 "such as [\"10.0.0.1 tcp 80\"]",
				 port);
	/* Without rules it may claim nothing: one that matches no port. */
	if (!json_array_size(list)) {
		snprintf(allow->rule[allow->n++].port, PORT_NAME_SIZE, "%s",
			 port);
		return 0;
	}
	json_array_foreach(list, i, text) {
		int err;

		if (!json_is_string(text))
			return error_set(error, -EINVAL,
					 "allow: %s: entry %zu is no text",
					 port, i);
		err = read_rule(port, json_string_value(text),
				&allow->rule[allow->n], error);
		if (err)
			return err;
		allow->n++;
	}
	return 0;
}

int t3_allow_read(json_t *object, struct t3_allow **out,
		  struct glen_error *error)
{
	struct t3_allow *allow;
	const char *port;
	json_t *list;
	size_t n = 0;
	int err = 0;

	*out = NULL;
	if (!object)
		return 0;
	if (!json_is_object(object))
		return error_set(error, -EINVAL,
				 "allow must be an object of port names and "
				 "lists of rules, such as {\"web\": "
				 "[\"10.0.0.1 tcp 80\"]}");
	json_object_foreach(object, port, list)
		n += json_array_size(list) ? json_array_size(list) : 1;
	if (n > RULES_MAX)
		return error_set(error, -ENOSPC,
				 "allow has %zu rules; at most %d are possible",
				 n, RULES_MAX);
	allow = calloc(1, sizeof(*allow) + n * sizeof(allow->rule[0]));
	if (!allow)
		return error_set(error, -ENOMEM, "no memory for the rules");
	json_object_foreach(object, port, list) {
		err = read_list(port, list, allow, error);
		if (err)
			break;
	}
	if (err)
		free(allow);
	else
		*out = allow;
	return err;
}

static bool matches(const struct t3_rule *rule, const struct t3_key *key)
{
	unsigned protocol = key->meta >> 16 & 0xff;
	unsigned port = ntohs(key->meta & 0xffff);

	return rule->family == key->meta >> 24 &&
	       (key->a0 & rule->mask0) == rule->a0 &&
	       (key->a1 & rule->mask1) == rule->a1 &&
	       (!rule->protocol || rule->protocol == protocol) &&
	       port >= rule->low && port <= rule->high;
}

bool t3_allowed(const struct t3_allow *allow, const char *port,
		const struct t3_key *key)
{
	bool named = false, others = false;

	if (!allow)
		return true;
	for (unsigned i = 0; i < allow->n; i++) {
		const struct t3_rule *rule = &allow->rule[i];
		bool mine = !strcmp(rule->port, port);

		named |= mine;
		if (mine && matches(rule, key))
			return true;
		others |= !strcmp(rule->port, "*") && matches(rule, key);
	}
	return !named && others;
}
