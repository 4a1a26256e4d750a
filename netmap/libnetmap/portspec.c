// SPDX-License-Identifier: BSD-2-Clause
// portspec.c - reads the names of ports, their modes, flags and options.
#include "internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* All of [s, e) may stand in a name, and there is something. */
static bool is_identifier(const char *s, const char *e)
{
	const char *at = s;

	while (at < e && (isalnum((unsigned char)*at) || *at == '_'))
		at++;
	return at == e;
}

/* A port's name at [s, e): "NAME", "NAME{ID" or "NAME}ID". */
static int check_name(const char *s, const char *e, bool is_vale,
		      struct nmctx *ctx)
{
	const char *pipe = s + strcspn(s, "{}");

	if (pipe >= e)
		pipe = NULL;
	if (s == e || s == pipe)
		return fail(ctx, EINVAL, "no port is named before '%s'", s);
	if (is_vale && !is_identifier(s, pipe ? pipe : e))
		return fail(ctx, EINVAL,
			    "'%.*s': a port of a switch has only letters, "
			    "digits and _ in its name",
			    (int)(e - s), s);
	if (pipe && (pipe + 1 == e || !is_identifier(pipe + 1, e)))
		return fail(ctx, EINVAL,
			    "'%.*s': after %c comes the pipe's name, of "
			    "letters, digits and _",
			    (int)(e - s), s, *pipe);
	return 0;
}

int nmreq_header_decode(const char **ppspec, struct nmreq_header *hdr,
			struct nmctx *ctx)
{
	const char *spec = *ppspec, *name = spec, *port, *end;
	bool is_vale = !strncmp(spec, NM_BDG_NAME, strlen(NM_BDG_NAME));

	if (is_vale) {
		port = strchr(spec, ':');
		if (!port)
			return fail(ctx, EINVAL,
				    "'%s': a port of a switch is written "
				    "valeX:NAME; there is no ':'",
				    spec);
		if (!is_identifier(spec + strlen(NM_BDG_NAME), port))
			return fail(ctx, EINVAL,
				    "'%.*s': a switch has only letters, digits "
				    "and _ in its name",
				    (int)(port - spec), spec);
		port++;
	} else if (!strncmp(spec, "netmap:", 7)) {
		name = port = spec + 7;
	} else {
		return fail(ctx, EINVAL,
			    "'%s' is no port: write netmap:NAME or valeX:NAME",
			    spec);
	}
	end = port + strcspn(port, "-*^/@");
	if (check_name(port, end, is_vale, ctx))
		return -1;
	if ((size_t)(end - name) >= sizeof(hdr->nr_name))
		return fail(ctx, EINVAL,
			    "'%.*s' is too long: a name has at most %zu "
			    "characters",
			    (int)(end - name), name, sizeof(hdr->nr_name) - 1);
	memset(hdr->nr_name, 0, sizeof(hdr->nr_name));
	memcpy(hdr->nr_name, name, (size_t)(end - name));
	*ppspec = end;
	return 0;
}

/* The number at *s, which moves past its digits; -1: it is above max. */
static long number_at(const char **s, long max)
{
	long n = 0;

	for (; isdigit((unsigned char)**s); ++*s) {
		if (n <= max)
			n = n * 10 + (**s - '0');
	}
	return n > max ? -1 : n;
}

/* -NN, ^, ^NN, * or nothing. */
static int decode_mode(const char **s, struct nmreq_register *reg,
		       struct nmctx *ctx)
{
	const char *at = *s;
	long number;

	reg->nr_mode = NR_REG_ALL_NIC;
	reg->nr_ringid = 0;
	if (*at == '*') {
		reg->nr_mode = NR_REG_NIC_SW;
		at++;
	} else if (*at == '^' && !isdigit((unsigned char)at[1])) {
		reg->nr_mode = NR_REG_SW;
		at++;
	} else if (*at == '^' || *at == '-') {
		reg->nr_mode = *at == '^' ? NR_REG_ONE_SW : NR_REG_ONE_NIC;
		if (!isdigit((unsigned char)*++at))
			return fail(ctx, EINVAL,
				    "'%s': after - comes the number of a ring",
				    *s);
		number = number_at(&at, NETMAP_RING_MASK - 1);
		if (number < 0)
			return fail(ctx, EINVAL,
				    "'%s': a ring's number is at most %d", *s,
				    NETMAP_RING_MASK - 1);
		reg->nr_ringid = (uint16_t)number;
	}
	*s = at;
	return 0;
}

/* The letters after a slash. */
static int decode_flags(const char **s, uint64_t *flags, struct nmctx *ctx)
{
	static const struct {
		char letter;
		uint64_t flag;
	} known[] = {
		{ 'x', NR_EXCLUSIVE },	   { 'z', NR_ZCOPY_MON },
		{ 't', NR_MONITOR_TX },	   { 'r', NR_MONITOR_RX },
		{ 'R', NR_RX_RINGS_ONLY }, { 'T', NR_TX_RINGS_ONLY },
	};
	const char *at;

	for (at = *s; *at && *at != '@' && *at != '/'; at++) {
		unsigned i = 0;

		while (i < 6 && known[i].letter != *at)
			i++;
		if (i == 6)
			return fail(ctx, EINVAL,
				    "unknown flag '%c' in '/%s': there are x, "
				    "z, t, r, R and T",
				    *at, *s);
		*flags |= known[i].flag;
	}
	*s = at;
	return 0;
}

int nmreq_register_decode(const char **pmode, struct nmreq_register *reg,
			  struct nmctx *ctx)
{
	const char *at = *pmode;
	struct nmreq_register new = *reg;
	bool region = false;
	long number;

	new.nr_flags = 0;
	if (decode_mode(&at, &new, ctx))
		return -1;
	/* Up to an option, which begins with @ and no digit. */
	while (*at &&
	       !(*at == '@' && at[1] && !isdigit((unsigned char)at[1]))) {
		if (*at == '/') {
			at++;
			if (decode_flags(&at, &new.nr_flags, ctx))
				return -1;
			continue;
		}
		if (*at != '@')
			return fail(ctx, EINVAL,
				    "'%s': there must be /FLAGS or @ here", at);
		if (!at[1])
			return fail(ctx, EINVAL,
				    "after @ comes the number of a region or "
				    "an option");
		if (region)
			return fail(ctx, EINVAL,
				    "'%s': a region is already given", at);
		at++;
		number = number_at(&at, UINT16_MAX);
		if (number < 0)
			return fail(ctx, EINVAL,
				    "a region's number is at most %d",
				    UINT16_MAX);
		new.nr_mem_id = (uint16_t)number;
		region = true;
	}
	if ((new.nr_flags &NR_ZCOPY_MON) &&
	    !(new.nr_flags &(NR_MONITOR_TX | NR_MONITOR_RX)))
		return fail(ctx, EINVAL, "flag z goes with t or r or both");
	*reg = new;
	*pmode = at;
	return 0;
}

static const struct nmreq_opt_key *find_key(const struct nmreq_opt_parser *p,
					    const char *name)
{
	for (int i = 0; i < p->nr_keys; i++) {
		if (!strcmp(p->keys[i].key, name))
			return &p->keys[i];
	}
	return NULL;
}

/* "KEY=VALUE" or "KEY", which is cut in two. */
static int set_key(const struct nmreq_opt_parser *p, char *text,
		   struct nmreq_parse_ctx *parse)
{
	char *value = strchr(text, '=');
	const struct nmreq_opt_key *key;

	if (value)
		*value++ = '\0';
	key = find_key(p, text);
	if (!key)
		return fail(parse->ctx, EINVAL, "option %s has no key '%s'",
			    p->prefix, text);
	if (parse->keys[key->id])
		return fail(parse->ctx, EINVAL,
			    "option %s: key %s is given twice", p->prefix,
			    text);
	if (!value && !(key->flags & NMREQ_OPTK_ALLOWEMPTY))
		return fail(parse->ctx, EINVAL,
			    "option %s: key %s needs a value: %s=...",
			    p->prefix, text, text);
	parse->keys[key->id] = value ? value : "";
	return 0;
}

/* OPTION=VALUE. */
static int set_default(const struct nmreq_opt_parser *p, const char *value,
		       struct nmreq_parse_ctx *parse)
{
	if (p->default_key < 0)
		return fail(parse->ctx, EINVAL,
			    "option %s is written %s:KEY=VALUE,...", p->prefix,
			    p->prefix);
	if (!*value)
		return fail(parse->ctx, EINVAL, "option %s needs a value",
			    p->prefix);
	parse->keys[p->default_key] = value;
	return 0;
}

/* OPTION:TEXT, which is cut up. */
static int set_keys(const struct nmreq_opt_parser *p, char *text,
		    struct nmreq_parse_ctx *parse)
{
	size_t len = p->nr_keys == 1 ? strlen(p->keys[0].key) : 0;
	char *next;

	/* The only key need not be named: its value may have any form. */
	if (p->nr_keys == 1 && p->default_key == p->keys[0].id &&
	    (strncmp(text, p->keys[0].key, len) || text[len] != '='))
		return set_default(p, text, parse);
	for (; text; text = next) {
		next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		if (set_key(p, text, parse))
			return -1;
	}
	return 0;
}

/* One option, without its @. The text is cut up. */
static int decode_option(char *text, const struct nmreq_opt_parser *p,
			 struct nmreq_parse_ctx *parse)
{
	size_t len = strcspn(text, ":=");
	char delim = text[len];
	int err = 0;

	text[len] = '\0';
	while (p && strcmp(p->prefix, text))
		p = p->next;
	if (!p)
		return fail(parse->ctx, EINVAL, "there is no option '%s'",
			    text);
	if (p->flags & NMREQ_OPTF_DISABLED)
		return fail(parse->ctx, EOPNOTSUPP,
			    "this program does not take option '%s'", text);
	if (delim == '=')
		err = set_default(p, text + len + 1, parse);
	else if (delim == ':')
		err = set_keys(p, text + len + 1, parse);
	else if (!(p->flags & NMREQ_OPTF_ALLOWEMPTY))
		err = fail(parse->ctx, EINVAL, "option %s needs a value", text);
	if (err)
		return err;
	for (int i = 0; i < p->nr_keys; i++) {
		if ((p->keys[i].flags & NMREQ_OPTK_MUSTSET) &&
		    !parse->keys[p->keys[i].id])
			return fail(parse->ctx, EINVAL,
				    "option %s needs key %s", p->prefix,
				    p->keys[i].key);
	}
	return p->parse(parse);
}

int nmreq_options_decode(const char *opt, struct nmreq_opt_parser *parsers,
			 void *token, struct nmctx *ctx)
{
	size_t size = strlen(opt) + 1;
	char *copy, *text, *next;
	int err = 0;

	if (!*opt)
		return 0;
	if (*opt != '@')
		return fail(ctx, EINVAL, "'%s': an option begins with @", opt);
	copy = nmctx_malloc(ctx, size);
	if (!copy)
		return fail(ctx, ENOMEM, "no memory for the options");
	memcpy(copy, opt, size);
	for (text = copy + 1; text && !err; text = next) {
		struct nmreq_parse_ctx parse = { .ctx = ctx, .token = token };

		next = strchr(text, '@');
		if (next)
			*next++ = '\0';
		err = decode_option(text, parsers, &parse);
	}
	if (err) {
		int error = errno;

		nmctx_free(ctx, copy);
		errno = error;
		return -1;
	}
	nmctx_free(ctx, copy);
	return 0;
}
