// SPDX-License-Identifier: BSD-2-Clause
// probe.c - a module that uses what the interface has, and breaks its rules.
/*
 * Packets of a port go to the port after it (the last one's to the first).
 * Those whose fifth byte is 1 or 2 are dropped under its own reasons. What it
 * counts, and its option "mark", a new instance takes over (adopt).
 *
 * tests/module/modules.py compiles it with -DNAME="..." and, for a module that
 * is to be refused, with one of the macros below.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <glen/module.h>

#ifndef NAME
#define NAME "probe"
#endif
#ifndef MAJOR
#define MAJOR GLEN_MODULE_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR GLEN_MODULE_ABI_MINOR
#endif
#ifndef SIZE
#define SIZE sizeof(struct glen_module)
#endif
#ifndef HDR_WANT
#define HDR_WANT GLEN_HDR_MIN
#endif
#ifndef CREATE
#define CREATE create
#endif
#ifndef DESTROY
#define DESTROY destroy
#endif
#ifndef LOOKUP
#define LOOKUP lookup
#endif
#ifndef VERSION
#define VERSION "2.3"
#endif
#ifndef SUMMARY
#define SUMMARY "sends packets round in a ring"
#endif
#ifndef REASON
#define REASON "in_probe_one"
#endif

struct probe {
	const struct glen_module_env *env;
	long mark;
	_Atomic uint64_t packets;
	uint64_t adopted; /* how often state was handed over to it */
	long setting[GLEN_PORTS_MAX];
	_Atomic uint16_t next[GLEN_PORTS_MAX]; /* port + 1; 0: no port */
	bool there[GLEN_PORTS_MAX];
};

static void link_ports(struct probe *p)
{
	unsigned first = 0, last = 0;

	for (unsigned i = GLEN_PORTS_MAX; i-- > 0;) {
		atomic_store(&p->next[i], (uint16_t)(p->there[i] ? first : 0));
		if (!p->there[i])
			continue;
		last = last ? last : i + 1;
		first = i + 1;
	}
	if (last)
		atomic_store(&p->next[last - 1], (uint16_t)first);
}

static int read_options(struct probe *p, const struct glen_module_env *env,
			json_t *options, struct glen_error *error)
{
	static const char *const known[] = { "mark", NULL };
	int err = glen_module_param_check(env, options, known, error);

	return err ? err :
		     glen_module_param_int(env, options, "mark", 1, 0, 99,
					   &p->mark, error);
}

static int create(const struct glen_module_env *env, json_t *options,
		  void **state, struct glen_error *error)
{
	struct probe *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return glen_module_error(env, error, -ENOMEM, "no memory");
	p->env = env;
	err = read_options(p, env, options, error);
	if (err)
		free(p);
	else
		*state = p;
	return err;
}

static void destroy(void *state)
{
	free(state);
}

static json_t *show(void *state)
{
	struct probe *p = state;

	return json_pack("{sI sI sI}", "mark", (json_int_t)p->mark, "packets",
			 (json_int_t)atomic_load(&p->packets), "adopted",
			 (json_int_t)p->adopted);
}

static void port_add(void *state, const struct glen_module_port *port)
{
	struct probe *p = state;

	p->there[port->index] = true;
	link_ports(p);
}

static void port_del(void *state, const struct glen_module_port *port)
{
	struct probe *p = state;

	p->there[port->index] = false;
	p->setting[port->index] = 0;
	link_ports(p);
}

static int port_set(const struct glen_module_env *env, void *state,
		    const struct glen_module_port *port, json_t *settings,
		    struct glen_error *error)
{
	static const char *const known[] = { "weight", NULL };
	struct probe *p = state;
	long weight;
	int err = glen_module_param_check(env, settings, known, error);

	if (!err)
		err = glen_module_param_int(env, settings, "weight", 0, 0, 9,
					    &weight, error);
	if (!err && port)
		p->setting[port->index] = weight;
	return err;
}

static int weight_of(struct probe *p, json_t *params, json_t **result,
		     struct glen_error *error)
{
	struct glen_module_port port;
	const char *name = NULL;
	int err = glen_module_param_str(p->env, params, "name", &name, error);

	if (err)
		return err;
	if (!name || glen_module_port_find(p->env, name, &port))
		return glen_module_error(p->env, error, -ENOENT,
					 "probe.weight: there is no port %s",
					 name ? name : "without a name");
	*result = json_pack("{sI}", "weight",
			    (json_int_t)p->setting[port.index]);
	return 0;
}

static int command(void *state, const char *method, json_t *params,
		   json_t **result, struct glen_error *error)
{
	if (!strcmp(method, "probe.weight"))
		return weight_of(state, params, result, error);
	return -ENOSYS;
}

static void adopt(void *state, void *old, unsigned when)
{
	struct probe *p = state, *from = old;

	if (when == GLEN_ADOPT_BEFORE)
		return;
	/* It has stopped: nothing is counted there any more. */
	atomic_fetch_add(&p->packets, atomic_load(&from->packets));
	p->adopted = from->adopted + 1;
}

static void lookup(void *state, const struct glen_lookup *ctx,
		   struct glen_batch *b)
{
	struct probe *p = state;
	unsigned next = atomic_load(&p->next[ctx->src]);

	for (unsigned i = 0; i < b->n; i++) {
		unsigned what = glen_batch_hdr(b, i)[4];

		b->verdict[i] = what == 1 || what == 2 ? glen_drop(what - 1) :
				next ? glen_to_port(next - 1) :
				       glen_drop(GLEN_DROP_NO_PORT);
	}
	atomic_fetch_add(&p->packets, b->n);
}

static const struct glen_module_drop drops[] = {
	{ REASON, "its fifth byte is 1" },
	{ "in_probe_two", "its fifth byte is 2" },
	{ NULL, NULL },
};

static const struct glen_module probe = {
	.abi_major = MAJOR,
	.abi_minor = MINOR,
	.size = SIZE,
	.name = NAME,
	.version = VERSION,
	.summary = SUMMARY,
	.options = "mark=N  a number that means nothing (1)",
	.hdr_want = HDR_WANT,
	.state_version = 1,
	.drops = drops,
	.create = CREATE,
	.destroy = DESTROY,
	.show = show,
	.port_add = port_add,
	.port_del = port_del,
	.port_set = port_set,
	.command = command,
	.adopt = adopt,
	.lookup = LOOKUP,
};

#ifdef UNDEFINED
extern int there_is_no_such_function(void);
int probe_calls_nothing(void)
{
	return there_is_no_such_function();
}
#endif
#ifdef NO_MODULE
const struct glen_module *const glen_module_info;
#elif !defined(NO_SYMBOL)
GLEN_MODULE_EXPORT(probe);
#endif
