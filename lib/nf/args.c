// SPDX-License-Identifier: BSD-2-Clause
// args.c - options of an instance, given as name=value.
#include <errno.h>
#include <string.h>

#include "lib/error.h"
#include "lib/nf/group.h"

/* The value of text if it is option name: behind '=', or "" of a flag. */
static const char *value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(text, name, n))
		return NULL;
	if (!text[n])
		return text + n;
	return text[n] == '=' ? text + n + 1 : NULL;
}

const char *glen_nf_arg(const struct glen_nf_args *args, const char *name,
			unsigned n)
{
	for (unsigned i = 0; args->given && args->given[i]; i++) {
		const char *value = value_of(args->given[i], name);

		if (value && !n--)
			return value;
	}
	return NULL;
}

static int check(const struct glen_nf_program *p, const char *text,
		 struct glen_error *error)
{
	const struct glen_nf_option *o = p->options;

	for (; o && o->name; o++) {
		if (!value_of(text, o->name))
			continue;
		if (o->value && !strchr(text, '='))
			return error_set(error, -EINVAL,
					 "%s: option %s needs a value: %s=%s",
					 p->name, o->name, o->name, o->value);
		if (!o->value && strchr(text, '='))
			return error_set(error, -EINVAL,
					 "%s: option %s takes no value",
					 p->name, o->name);
		return 0;
	}
	return error_set(error, -EINVAL, "%s has no option '%.*s'", p->name,
			 (int)strcspn(text, "="), text);
}

int args_check(const struct glen_nf_program *p, const char *const *given,
	       struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; !err && given && given[i]; i++)
		err = check(p, given[i], error);
	return err;
}
