// SPDX-License-Identifier: BSD-2-Clause
// learn/vlan_text.c - reads and writes the VLAN settings of a port.
#include "module/learn/vlan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/error.h"

static const char *const mode_names[] = {
	[VLAN_PLAIN] = "plain",
	[VLAN_ACCESS] = "access",
	[VLAN_TRUNK] = "trunk",
	[VLAN_QINQ] = "qinq",
};

const char *vlan_mode_name(unsigned mode)
{
	return mode_names[mode];
}

/* Decimal digits at *at, which moves behind them; 0: no VLAN. */
static unsigned read_id(const char **at)
{
	unsigned id = 0;

	while (**at >= '0' && **at <= '9' && id <= VLAN_LAST)
		id = id * 10 + (unsigned)(*(*at)++ - '0');
	return id <= VLAN_LAST ? id : 0;
}

static const char *skip_spaces(const char *at)
{
	return at + strspn(at, " ");
}

/* "10", "20-30", or several of them with commas in between. */
static bool read_ranges(const char *at, struct vlan_port *p)
{
	for (;;) {
		unsigned first, last;

		at = skip_spaces(at);
		first = last = read_id(&at);
		at = skip_spaces(at);
		if (first && *at == '-') {
			at = skip_spaces(at + 1);
			last = read_id(&at);
			at = skip_spaces(at);
		}
		if (!first || last < first)
			return false;
		for (unsigned id = first; id <= last; id++)
			p->allowed[id / 64] |= 1ULL << (id % 64);
		if (!*at)
			return true;
		if (*at++ != ',')
			return false;
	}
}

static int read_allowed_one(json_t *value, struct vlan_port *p,
			    struct glen_error *error)
{
	char number[32];
	const char *text = json_string_value(value);

	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(value));
		text = number;
	}
	if (!text || !read_ranges(text, p))
		return error_set(error, -EINVAL,
				 "allowed: '%.40s' is no list of VLANs from 1 "
				 "to %d, such as 10,20-30",
				 text ? text : "?", VLAN_LAST);
	return 0;
}

static int read_allowed(json_t *value, struct vlan_port *p,
			struct glen_error *error)
{
	json_t *one;
	size_t i;
	int err = 0;

	if (!value || json_is_null(value)) {
		read_ranges("1-4094", p);
		return 0;
	}
	if (!json_is_array(value))
		return read_allowed_one(value, p, error);
	json_array_foreach(value, i, one) {
		if (!err)
			err = read_allowed_one(one, p, error);
	}
	return err;
}

static int read_vid(json_t *s, const char *key, struct vlan_port *p,
		    struct glen_error *error)
{
	json_t *value = json_object_get(s, key);
	json_int_t id = json_integer_value(value);

	if (!json_is_integer(value) || id < 1 || id > VLAN_LAST)
		return error_set(error, -EINVAL,
				 "%s must be a VLAN, a number from 1 to %d",
				 key, VLAN_LAST);
	p->vid = (uint16_t)id;
	return 0;
}

static bool given(json_t *s, const char *key)
{
	json_t *value = json_object_get(s, key);

	return value && !json_is_null(value);
}

/* A setting that the mode has no use for is a mistake. */
static int check_others(json_t *s, enum vlan_mode mode,
			struct glen_error *error)
{
	bool trunk = mode == VLAN_TRUNK;

	if (given(s, "vlan") && (trunk || mode == VLAN_PLAIN))
		return error_set(error, -EINVAL, "%s",
				 trunk ? "vlan is for mode access or qinq; a "
					 "trunk has native and allowed" :
					 "vlan needs mode access or qinq");
	if (given(s, "native") && !trunk)
		return error_set(error, -EINVAL, "native needs mode trunk");
	if (given(s, "allowed") && !trunk)
		return error_set(error, -EINVAL, "allowed needs mode trunk");
	if (!trunk && mode != VLAN_PLAIN && !given(s, "vlan"))
		return error_set(error, -EINVAL,
				 "mode %s needs vlan, a number from 1 to %d",
				 mode_names[mode], VLAN_LAST);
	return 0;
}

int vlan_read(json_t *s, struct vlan_port *p, struct glen_error *error)
{
	json_t *mode = json_object_get(s, "mode");
	const char *name = json_string_value(mode);
	int err;

	memset(p, 0, sizeof(*p));
	if (mode && !json_is_null(mode)) {
		p->mode = VLAN_QINQ;
		while (p->mode && (!name || strcmp(name, mode_names[p->mode])))
			p->mode--;
		if (!p->mode)
			return error_set(error, -EINVAL,
					 "mode '%.40s' is none of access, "
					 "trunk, qinq",
					 name ? name : "?");
	}
	err = check_others(s, p->mode, error);
	if (!err && given(s, "vlan"))
		err = read_vid(s, "vlan", p, error);
	if (!err && given(s, "native"))
		err = read_vid(s, "native", p, error);
	if (!err && p->mode == VLAN_TRUNK)
		err = read_allowed(json_object_get(s, "allowed"), p, error);
	return err;
}

void vlan_allowed_text(const struct vlan_port *p, char text[VLAN_TEXT_SIZE])
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned id = 1; id <= VLAN_LAST; id++) {
		unsigned last = id;

		if (!vlan_allowed(p, id))
			continue;
		while (last < VLAN_LAST && vlan_allowed(p, last + 1))
			last++;
		at += (size_t)snprintf(text + at, VLAN_TEXT_SIZE - at, "%s%u",
				       at ? "," : "", id);
		if (last > id)
			at += (size_t)snprintf(text + at, VLAN_TEXT_SIZE - at,
					       "-%u", last);
		id = last;
	}
}
