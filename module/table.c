// SPDX-License-Identifier: BSD-2-Clause
// table.c - the modules that are built in.
#include "core/module.h"

#include <string.h>

#include "module/learn/learn.h"
#include "module/static/static.h"

const struct module_ops *const *modules(void)
{
	static const struct module_ops *const table[] = {
		&module_learn,
		&module_static,
		NULL,
	};

	return table;
}

const struct module_ops *module_find(const char *name)
{
	const struct module_ops *const *m = modules();

	while (*m && strcmp((*m)->name, name))
		m++;
	return *m;
}
