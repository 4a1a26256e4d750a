// SPDX-License-Identifier: BSD-2-Clause
// parse.c - reads the values of glen-gen's options.
#include "parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/error.h"
#include "payload.h"

/* A suffix and what it stands for. */
struct unit {
	const char *name;
	double factor;
};

/*
 * Reads a number that is not negative, followed by one of units (ending with a
 * NULL name). Suffixes are compared without regard to case.
 */
static int scan(const char *text, const struct unit *units, double *value)
{
	char *end;
	double v;

	if (!(*text >= '0' && *text <= '9') && *text != '.')
		return -EINVAL; /* no signs, spaces, inf, nan */
	if (text[0] == '0' && (text[1] | 32) == 'x')
		return -EINVAL;
	v = strtod(text, &end);
	if (end == text || !isfinite(v))
		return -EINVAL;
	for (; units->name; units++) {
		if (strcasecmp(end, units->name))
			continue;
		*value = v * units->factor;
		return 0;
	}
	return -EINVAL;
}

int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value,
		 struct glen_error *error)
{
	static const struct unit units[] = {
		{ "", 1 },	  { "k", 1e3 },	  { "m", 1e6 },
		{ "g", 1e9 },	  { "ki", 1024 }, { "mi", 1048576 },
		{ "gi", 0x1p30 }, { NULL, 0 },
	};
	double v;

	if (scan(text, units, &v) || v != floor(v))
		return error_set(error, -EINVAL,
				 "'%s' is not a whole number (like 1000, 10k, "
				 "1M or 4Ki)",
				 text);
	if (v < (double)min || v > (double)max)
		return error_set(error, -EINVAL,
				 "%s is out of range: %llu to %llu are allowed",
				 text, (unsigned long long)min,
				 (unsigned long long)max);
	*value = v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
	return 0;
}

int parse_time(const char *text, uint64_t *ns, struct glen_error *error)
{
	static const struct unit units[] = {
		{ "", 1e9 },  { "ns", 1 },   { "us", 1e3 }, { "ms", 1e6 },
		{ "s", 1e9 }, { "m", 60e9 }, { NULL, 0 },
	};
	double v;

	if (scan(text, units, &v) || v > 1e18)
		return error_set(error, -EINVAL,
				 "'%s' is not a time (like 10, 0.5s, 20ms, "
				 "100us or 5m)",
				 text);
	*ns = (uint64_t)v;
	return 0;
}

int parse_rate(const char *text, struct rate *rate, struct glen_error *error)
{
	static const struct unit pps[] = {
		{ "", 1 },	 { "k", 1e3 },	  { "m", 1e6 },
		{ "g", 1e9 },	 { "pps", 1 },	  { "kpps", 1e3 },
		{ "mpps", 1e6 }, { "gpps", 1e9 }, { NULL, 0 },
	};
	static const struct unit bits[] = {
		{ "bit", 1 },	   { "kbit", 1e3 },   { "mbit", 1e6 },
		{ "gbit", 1e9 },   { "bit/s", 1 },    { "kbit/s", 1e3 },
		{ "mbit/s", 1e6 }, { "gbit/s", 1e9 }, { "bps", 1 },
		{ "kbps", 1e3 },   { "mbps", 1e6 },   { "gbps", 1e9 },
		{ NULL, 0 },
	};

	rate->bits = false;
	if (scan(text, pps, &rate->value)) {
		rate->bits = true;
		if (scan(text, bits, &rate->value))
			goto err_text;
	}
	if (rate->value > 0)
		return 0;
err_text:
	return error_set(error, -EINVAL,
			 "'%s' is not a rate (packets a second like 1M or "
			 "250kpps, or bits a second like 10Gbit)",
			 text);
}

int parse_mac(const char *text, uint8_t *mac, struct glen_error *error)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = text;

	for (int i = 0; i < 6; i++) {
		const char *hi = *p ? strchr(digits, *p | 32) : NULL;
		const char *lo = hi && p[1] ? strchr(digits, p[1] | 32) : NULL;

		if (!lo || p[2] != (i < 5 ? ':' : '\0'))
			return error_set(error, -EINVAL,
					 "'%s' is not a MAC address (like "
					 "02:67:6c:00:00:01)",
					 text);
		mac[i] = (uint8_t)((hi - digits) << 4 | (lo - digits));
		p += 3;
	}
	return 0;
}

int parse_ip(const char *text, uint32_t *ip, struct glen_error *error)
{
	struct in_addr addr;

	if (inet_pton(AF_INET, text, &addr) != 1)
		return error_set(error, -EINVAL,
				 "'%s' is not an IPv4 address (like 10.0.0.1)",
				 text);
	*ip = ntohl(addr.s_addr);
	return 0;
}

static void sizes_imix(struct sizes *s)
{
	/* Spread so that big ones do not come in bursts. */
	static const uint16_t order[12] = { 60, 590, 60, 60, 590, 1514,
					    60, 590, 60, 60, 590, 60 };

	s->n = 12;
	for (unsigned i = 0; i < 12; i++)
		s->size[i] = order[i];
}

static void sizes_range(struct sizes *s, uint64_t min, uint64_t max)
{
	uint64_t x = 88172645463325252;

	s->n = min == max ? 1 : SIZES_N;
	for (unsigned i = 0; i < s->n; i++) {
		/* Every part of the range comes up in turn, shuffled. */
		uint64_t step = (max - min + 1) * i / s->n;

		s->size[i] = (uint32_t)(min + step);
	}
	for (unsigned i = s->n - 1; i > 0; i--) {
		unsigned j;
		uint32_t t = s->size[i];

		x ^= x << 13; /* xorshift */
		x ^= x >> 7;
		x ^= x << 17;
		j = (unsigned)(x % (i + 1));
		s->size[i] = s->size[j];
		s->size[j] = t;
	}
}

int parse_sizes(const char *text, struct sizes *sizes, struct glen_error *error)
{
	char low[32];
	const char *dash = strchr(text, '-');
	uint64_t min, max;
	int r;

	if (!strcasecmp(text, "imix")) {
		sizes_imix(sizes);
	} else {
		snprintf(low, sizeof(low), "%.*s",
			 dash ? (int)(dash - text) : 31, text);
		r = parse_number(low, FRAME_LEN_MIN, FRAME_LEN_MAX, &min,
				 error);
		if (r)
			return r;
		max = min;
		if (dash)
			r = parse_number(dash + 1, min, FRAME_LEN_MAX, &max,
					 error);
		if (r)
			return r;
		sizes_range(sizes, min, max);
	}
	sizes->min = UINT32_MAX;
	sizes->max = 0;
	sizes->mean = 0;
	for (unsigned i = 0; i < sizes->n; i++) {
		if (sizes->size[i] < sizes->min)
			sizes->min = sizes->size[i];
		if (sizes->size[i] > sizes->max)
			sizes->max = sizes->size[i];
		sizes->mean += (double)sizes->size[i] / sizes->n;
	}
	return 0;
}
