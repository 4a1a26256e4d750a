/* SPDX-License-Identifier: BSD-2-Clause */
/* fake_env.h - what a module gets that a unit test calls without a switch. */
#ifndef TESTS_UNIT_FAKE_ENV_H
#define TESTS_UNIT_FAKE_ENV_H
/*
 * Ports are numbers, their names "p0" to "p7". Sets are numbers, too, and
 * mirrors nothing. All else is what a switch would do, but for defer(), which
 * must not be used while lookups run.
 */
#include <errno.h>
#include <stdio.h>

#include "core/module.h"

enum { FAKE_PORTS = 8 };

static inline int fake_port_get(const struct glen_module_env *env,
				unsigned index, struct glen_module_port *port)
{
	static const char *const all[FAKE_PORTS] = { "p0", "p1", "p2", "p3",
						     "p4", "p5", "p6", "p7" };

	if (index >= FAKE_PORTS)
		return -ENOENT;
	*port = (struct glen_module_port){ .index = index,
					   .name = all[index],
					   .in_rings = 1,
					   .out_rings = 1 };
	return 0;
}

static inline int fake_port_find(const struct glen_module_env *env,
				 const char *name,
				 struct glen_module_port *port)
{
	if (name[0] != 'p' || name[1] < '0' || name[1] >= '0' + FAKE_PORTS ||
	    name[2])
		return -ENOENT;
	return fake_port_get(env, name[1] - '0', port);
}

static inline void fake_defer(const struct glen_module_env *env,
			      void (*fn)(void *arg), void *arg)
{
	fn(arg);
}

static inline int fake_set_create(const struct glen_module_env *env,
				  uint32_t *set)
{
	static uint32_t n;

	*set = GLEN_SET_FIRST + n++ % 1000;
	return 0;
}

static inline int fake_set_add(const struct glen_module_env *env, uint32_t set,
			       unsigned port, const struct glen_edit *edit)
{
	return 0;
}

static inline int fake_set_remove(const struct glen_module_env *env,
				  uint32_t set, unsigned port)
{
	return 0;
}

static inline int fake_set_destroy(const struct glen_module_env *env,
				   uint32_t set)
{
	return 0;
}

static inline int fake_mirror(const struct glen_module_env *env, unsigned port,
			      unsigned direction, uint32_t to)
{
	return 0;
}

static inline const struct glen_module_env *fake_env(unsigned n_workers)
{
	static struct glen_module_host host;
	static struct glen_module_env env;

	host = module_host;
	host.port_get = fake_port_get;
	host.port_find = fake_port_find;
	host.defer = fake_defer;
	host.set_create = fake_set_create;
	host.set_add = fake_set_add;
	host.set_remove = fake_set_remove;
	host.set_destroy = fake_set_destroy;
	host.port_mirror = fake_mirror;
	env = (struct glen_module_env){ .host = &host,
					.switch_name = "sw",
					.n_workers = n_workers,
					.abi_major = GLEN_MODULE_ABI_MAJOR,
					.abi_minor = GLEN_MODULE_ABI_MINOR };
	return &env;
}

#endif
