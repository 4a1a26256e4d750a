// SPDX-License-Identifier: BSD-2-Clause
// router/words.c - words of a router's file, and what they may be.
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"
#include "nf/router/config.h"

static const char digits[] = "0123456789";

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_word(const struct router_reading *c)
{
	return c->at < c->end && !is_blank(*c->at) && *c->at != '\n' &&
	       *c->at != '#';
}

bool router_next(struct router_reading *c)
{
	const size_t most = sizeof(c->word) - 1;
	size_t n = 0;

	while (c->at < c->end && is_blank(*c->at))
		c->at++;
	c->column = (unsigned)(c->at - c->line) + 1;
	for (; is_word(c); c->at++) {
		bool plain = *c->at > ' ' && *c->at <= '~';

		if (n < most)
			c->word[n++] = *c->at;
		if (!plain ||
		    c->at + 1 - c->line - (c->column - 1) > (ptrdiff_t)most)
			c->word[n - 1] = '?';
	}
	c->word[n] = '\0';
	return n > 0;
}

int router_say(struct router_reading *c, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(c->error, -EINVAL, "%s:%u:%u: %s", c->file, c->number,
			 c->column, text);
}

int router_refuse(struct router_reading *c, const char *what)
{
	if (!c->word[0])
		return router_say(c, "%s is missing here", what);
	return router_say(c, "'%s' is not %s", c->word, what);
}

bool router_word_is(const struct router_reading *c, const char *word)
{
	return !strcmp(c->word, word);
}

int router_read_number(struct router_reading *c, unsigned min, unsigned max,
		       unsigned *out)
{
	char what[64];
	unsigned long value;

	snprintf(what, sizeof(what), "a number from %u to %u", min, max);
	router_next(c);
	if (!c->word[0] || strspn(c->word, digits) != strlen(c->word) ||
	    strlen(c->word) > 9)
		return router_refuse(c, what);
	value = strtoul(c->word, NULL, 10);
	if (value < min || value > max)
		return router_refuse(c, what);
	*out = (unsigned)value;
	return 0;
}

int router_read_mac(struct router_reading *c, uint8_t *mac)
{
	static const uint8_t none[6];
	char pair[3] = "";
	bool ok;

	router_next(c);
	ok = strlen(c->word) == 17;
	for (unsigned i = 0; ok && i < 6; i++) {
		const char *at = c->word + 3 * i;

		ok = isxdigit((unsigned char)at[0]) &&
		     isxdigit((unsigned char)at[1]) &&
		     at[2] == (i < 5 ? ':' : '\0');
		memcpy(pair, at, 2);
		mac[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	if (!ok)
		return router_refuse(c, "an Ethernet address as "
					"02:00:00:00:00:01");
	if ((mac[0] & 1) || !memcmp(mac, none, 6))
		return router_refuse(c, "the address of one station");
	return 0;
}

static bool parse_ip(const char *text, struct router_ip *ip)
{
	memset(ip, 0, sizeof(*ip));
	ip->family = 4;
	if (inet_pton(AF_INET, text, ip->a) == 1)
		return true;
	ip->family = 6;
	return inet_pton(AF_INET6, text, ip->a) == 1;
}

int router_read_ip(struct router_reading *c, struct router_ip *ip)
{
	router_next(c);
	if (!parse_ip(c->word, ip))
		return router_refuse(c, "an address as 10.0.0.1 or "
					"2001:db8::1");
	return 0;
}

int router_prefix(struct router_reading *c, struct router_ip *ip, unsigned *len)
{
	static const char what[] = "a prefix as 10.0.0.0/8 or 2001:db8::/32";
	char text[sizeof(c->word)], *slash;

	memcpy(text, c->word, sizeof(text));
	slash = strchr(text, '/');
	if (!slash)
		return router_refuse(c, what);
	*slash++ = '\0';
	if (!parse_ip(text, ip) || !slash[0] || strlen(slash) > 3 ||
	    strspn(slash, digits) != strlen(slash))
		return router_refuse(c, what);
	*len = (unsigned)strtoul(slash, NULL, 10);
	if (*len > (ip->family == 4 ? 32 : 128))
		return router_refuse(c, what);
	return 0;
}

int router_read_name(struct router_reading *c, char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t n;

	router_next(c);
	n = strlen(c->word);
	if (!n || n >= ROUTER_NAME || strspn(c->word, letters) != n)
		return router_refuse(c, "the name of an interface (1 to 31 "
					"letters, digits, '.', '_', '-')");
	memcpy(name, c->word, n + 1);
	return 0;
}
