// SPDX-License-Identifier: BSD-2-Clause
// table.c - the modules that are built in.
#include "core/module.h"

#include "module/learn/learn.h"
#include "module/static/static.h"
#include "module/steer/steer.h"
#include "module/tuple3/tuple3.h"

const struct module_builtin *const *module_builtins(void)
{
	static const struct module_builtin *const table[] = {
		&module_learn,	&module_static, &module_steer,
		&module_tuple3, NULL,
	};

	return table;
}
