// SPDX-License-Identifier: BSD-2-Clause
// module.c - the list of known modules, and instances of them.
#include "core/module.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/port.h"
#include "core/rcu.h"
#include "lib/error.h"

_Static_assert((int)GLEN_BATCH_MAX == BATCH_MAX &&
		       (int)GLEN_HDR_MIN == HDR_MIN &&
		       (int)GLEN_HDR_MAX == HDR_MAX &&
		       (int)GLEN_PACKET_MIN == PACKET_LEN_MIN &&
		       (int)GLEN_PUSH_MAX <= HDR_SIZE - HDR_MAX,
	       "promised to modules");
_Static_assert((int)GLEN_PORTS_MAX == SWITCH_PORTS_MAX, "the same");
_Static_assert(
	(int)GLEN_DROP_RUNT == DROP_CORE + DROP_IN_RUNT &&
		(int)GLEN_DROP_TOO_LONG == DROP_CORE + DROP_IN_TOO_LONG &&
		(int)GLEN_DROP_OVERSIZE == DROP_CORE + DROP_IN_OVERSIZE &&
		(int)GLEN_DROP_NO_PORT == DROP_CORE + DROP_IN_NO_PORT &&
		(int)GLEN_DROP_SAME_PORT == DROP_CORE + DROP_IN_SAME_PORT &&
		(int)GLEN_DROP_ISOLATED == DROP_CORE + DROP_IN_ISOLATED &&
		(int)GLEN_DROP_FLOOD_LIMIT == DROP_CORE + DROP_IN_FLOOD_LIMIT &&
		(int)GLEN_DROP_MODULE == DROP_CORE + DROP_IN_MODULE,
	"these numbers are in modules that are built already");

struct module_deferred {
	struct module_deferred *next;
	void (*fn)(void *arg);
	void *arg;
};

static pthread_mutex_t known_lock = PTHREAD_MUTEX_INITIALIZER;
static struct module *known; /* in the order they came */
static bool builtins_known;

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

static bool name_good(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && len <= GLEN_MODULE_NAME_MAX &&
	       strspn(name, name_chars) == len && name[0] != '-';
}

/* Whether the module can be run at all; before anything else of it is read. */
static int check_abi(const struct glen_module *m, struct glen_error *error)
{
	if (m->abi_major != GLEN_MODULE_ABI_MAJOR)
		return error_set(error, -EINVAL,
				 "the module was built for ABI %u.%u, and "
				 "this is %u.%u; build it anew",
				 m->abi_major, m->abi_minor,
				 GLEN_MODULE_ABI_MAJOR, GLEN_MODULE_ABI_MINOR);
	if (m->abi_minor > GLEN_MODULE_ABI_MINOR)
		return error_set(error, -EINVAL,
				 "the module was built for ABI %u.%u, and "
				 "this is only %u.%u; install a newer glen",
				 m->abi_major, m->abi_minor,
				 GLEN_MODULE_ABI_MAJOR, GLEN_MODULE_ABI_MINOR);
	/* Nothing was appended yet. */
	if (m->size != sizeof(*m))
		return error_set(error, -EINVAL,
				 "the module says that its struct glen_module "
				 "has %u bytes; ABI %u.%u has %zu",
				 m->size, m->abi_major, m->abi_minor,
				 sizeof(*m));
	return 0;
}

/* Whether a port has an option of this name, which settings would hide. */
static bool is_port_option(const char *name)
{
	static const char *const common[] = { "driver", "isolated", "mac",
					      "mtu",	"port",	    "workers" };
	const struct port_ops *const *d;
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof(common) / sizeof(*common); i++)
		if (!strcmp(name, common[i]))
			return true;
	for (d = port_drivers(); *d; d++) {
		const char *all = (*d)->options, *at = all;

		for (; at && (at = strstr(at, name)); at++)
			if (at[len] == '=' &&
			    (at == all || !strchr(name_chars, at[-1])))
				return true;
	}
	return false;
}

/* Whether the file is called NAME.so; no file: always. */
static bool file_matches(const char *path, const char *name)
{
	const char *file = path ? strrchr(path, '/') : NULL;
	size_t len = strlen(name);

	file = file ? file + 1 : path;
	return !file ||
	       (!strncmp(file, name, len) && !strcmp(file + len, ".so"));
}

static int check_name(const struct glen_module *m, const char *path,
		      struct glen_error *error)
{
	if (!name_good(m->name))
		return error_set(error, -EINVAL,
				 "the module's name \"%.40s\" is not allowed: "
				 "use 1 to %d of a-z 0-9 _ -",
				 m->name ? m->name : "", GLEN_MODULE_NAME_MAX);
	if (is_port_option(m->name))
		return error_set(error, -EINVAL,
				 "a module cannot be called %s: ports have an "
				 "option of that name",
				 m->name);
	if (!file_matches(path, m->name))
		return error_set(error, -EINVAL,
				 "the module calls itself %s; its file must be "
				 "called %s.so",
				 m->name, m->name);
	return 0;
}

static int check_members(const struct glen_module *m, bool lookup,
			 struct glen_error *error)
{
	const char *missing = !m->create  ? "create" :
			      !m->destroy ? "destroy" :
			      !lookup	  ? "lookup" :
			      !m->version ? "version" :
			      !m->summary ? "summary" :
					    NULL;

	if (missing)
		return error_set(error, -EINVAL, "module %s has no %s", m->name,
				 missing);
	if (m->hdr_want < HDR_MIN || m->hdr_want > HDR_MAX)
		return error_set(error, -EINVAL,
				 "module %s wants %u bytes of header; possible "
				 "are %d to %d",
				 m->name, m->hdr_want, HDR_MIN, HDR_MAX);
	return 0;
}

/* Counters for the module's own drop reasons. */
static int take_drops(struct module *m, struct glen_error *error)
{
	const struct glen_module_drop *d = m->ops.drops;

	for (; d && d->name; d++) {
		int id;

		if (m->n_drops == GLEN_DROPS_MAX)
			return error_set(error, -EINVAL,
					 "module %s has more than %d drop "
					 "reasons",
					 m->ops.name, GLEN_DROPS_MAX);
		id = drop_intern(d->name, d->text);
		if (id == -EINVAL)
			return error_set(error, id,
					 "module %s: the drop reason \"%.40s\" "
					 "is not allowed: use in_ and a-z 0-9 "
					 "_, at most %d characters, and a name "
					 "that is not taken",
					 m->ops.name, d->name,
					 GLEN_DROP_NAME_MAX);
		if (id < 0)
			return error_set(error, id,
					 "module %s: no counter is left for "
					 "the drop reason %s",
					 m->ops.name, d->name);
		m->drop[m->n_drops++] = id;
	}
	return 0;
}

static const struct module *find_known(const char *name)
{
	const struct module *m = known;

	while (m && strcmp(m->ops.name, name))
		m = m->next;
	return m;
}

/* With the lock held. lookup: of a module that is built in, else NULL. */
static int add(const struct glen_module *ops, const module_lookup *lookup,
	       const char *path, struct glen_error *error)
{
	struct module *m, **at = &known;
	const struct module *other;
	int err = check_abi(ops, error);

	if (!err)
		err = check_name(ops, path, error);
	if (!err)
		err = check_members(ops, lookup || ops->lookup, error);
	if (err)
		return err;
	other = find_known(ops->name);
	if (other)
		return error_set(error, -EEXIST,
				 "there is a module %s already, %s%.120s",
				 ops->name, other->path ? "from " : "built in",
				 other->path ? other->path : "");
	m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(error, -ENOMEM, "out of memory");
	m->ops = *ops;
	m->lookup = lookup;
	err = take_drops(m, error);
	if (err)
		goto err_free;
	m->path = path ? strdup(path) : NULL;
	if (path && !m->path) {
		err = error_set(error, -ENOMEM, "out of memory");
		goto err_free;
	}
	while (*at)
		at = &(*at)->next;
	*at = m;
	return 0;
err_free:
	free(m);
	return err;
}

/* Takes the lock of the list, which has at least what is built in. */
static void lock_known(void)
{
	pthread_mutex_lock(&known_lock);
	if (builtins_known)
		return;
	builtins_known = true;
	for (const struct module_builtin *const *b = module_builtins(); *b; b++)
		add(&(*b)->ops, (*b)->lookup, NULL, NULL);
}

int module_add(const struct glen_module *ops, const char *path,
	       struct glen_error *error)
{
	int err;

	lock_known();
	err = add(ops, NULL, path, error);
	pthread_mutex_unlock(&known_lock);
	return err;
}

const struct module *module_find(const char *name)
{
	const struct module *m;

	lock_known();
	m = find_known(name);
	pthread_mutex_unlock(&known_lock);
	return m;
}

const struct module *module_next(const struct module *m)
{
	const struct module *next;

	lock_known();
	next = m ? m->next : known;
	pthread_mutex_unlock(&known_lock);
	return next;
}

/* What the switch does for modules. */

static struct module_instance *instance_of(const struct glen_module_env *env)
{
	return (struct module_instance *)(uintptr_t)env;
}

static void describe(const struct port *port, struct glen_module_port *p)
{
	*p = (struct glen_module_port){
		.index = port->index,
		.in_rings = port->n_in,
		.out_rings = port->n_out,
		.isolated = port->isolated,
		.mtu = port->mtu,
		.name = port->name,
		.driver = port->ops->name,
	};
	memcpy(p->mac, port->mac, sizeof(p->mac));
}

static int host_port_get(const struct glen_module_env *env, unsigned index,
			 struct glen_module_port *port)
{
	struct vswitch *sw = instance_of(env)->sw;

	if (!sw || index >= SWITCH_PORTS_MAX || !sw->ports[index])
		return -ENOENT;
	describe(sw->ports[index], port);
	return 0;
}

static int host_port_find(const struct glen_module_env *env, const char *name,
			  struct glen_module_port *port)
{
	struct vswitch *sw = instance_of(env)->sw;
	struct port *found = sw ? port_find(sw, name) : NULL;

	if (!found)
		return -ENOENT;
	describe(found, port);
	return 0;
}

static void host_sync(const struct glen_module_env *env)
{
	rcu_wait();
}

static void host_defer(const struct glen_module_env *env, void (*fn)(void *arg),
		       void *arg)
{
	struct module_instance *mi = instance_of(env);
	struct module_deferred *d = malloc(sizeof(*d));

	if (!d) {
		rcu_wait();
		fn(arg);
		return;
	}
	*d = (struct module_deferred){ mi->deferred, fn, arg };
	mi->deferred = d;
}

static int host_set_create(const struct glen_module_env *env, uint32_t *set)
{
	return fabric_set_create(instance_of(env), set);
}

static int host_set_add(const struct glen_module_env *env, uint32_t set,
			unsigned port, const struct glen_edit *edit)
{
	return fabric_set_add(instance_of(env), set, port, edit);
}

static int host_set_remove(const struct glen_module_env *env, uint32_t set,
			   unsigned port)
{
	return fabric_set_remove(instance_of(env), set, port);
}

static int host_set_destroy(const struct glen_module_env *env, uint32_t set)
{
	return fabric_set_destroy(instance_of(env), set);
}

static int host_port_edit(const struct glen_module_env *env, unsigned port,
			  const struct glen_edit *edit)
{
	return fabric_port_edit(instance_of(env), port, edit);
}

static int host_port_mirror(const struct glen_module_env *env, unsigned port,
			    unsigned direction, uint32_t to)
{
	return fabric_port_mirror(instance_of(env), port, direction, to);
}

const struct glen_module_host module_host = {
	.error = error_set,
	.param_check = params_check,
	.param_int = params_int,
	.param_bool = params_bool,
	.param_str = params_str,
	.port_get = host_port_get,
	.port_find = host_port_find,
	.defer = host_defer,
	.sync = host_sync,
	.set_create = host_set_create,
	.set_add = host_set_add,
	.set_remove = host_set_remove,
	.set_destroy = host_set_destroy,
	.port_edit = host_port_edit,
	.port_mirror = host_port_mirror,
};

/* Instances. */

static void call_deferred(struct module_instance *mi)
{
	while (mi->deferred) {
		struct module_deferred *d = mi->deferred;

		mi->deferred = d->next;
		d->fn(d->arg);
		free(d);
	}
}

void module_settle(struct module_instance *mi)
{
	if (!mi->deferred)
		return;
	rcu_wait();
	call_deferred(mi);
}

static int no_such_module(const char *name, struct glen_error *error)
{
	const char *why = module_refusal(name);
	char names[160] = "";

	if (why)
		return error_set(error, -EINVAL,
				 "module \"%.32s\" was refused at start: %s",
				 name, why);
	for (const struct module *m = module_next(NULL); m;
	     m = module_next(m)) {
		size_t left = sizeof(names) - strlen(names) - 1;

		strncat(names, " ", left);
		strncat(names, m->ops.name, left ? left - 1 : 0);
	}
	return error_set(error, -EINVAL,
			 "there is no module \"%.64s\"; known:%s", name, names);
}

static void env_init(struct module_instance *mi, struct vswitch *sw,
		     unsigned n_workers)
{
	mi->sw = sw;
	mi->env = (struct glen_module_env){
		.host = &module_host,
		.switch_name = sw ? sw->name : "",
		.n_workers = n_workers,
		.abi_major = GLEN_MODULE_ABI_MAJOR,
		.abi_minor = GLEN_MODULE_ABI_MINOR,
	};
}

int module_instance_create(struct vswitch *sw, unsigned n_workers,
			   const char *name, json_t *params,
			   struct module_instance **instance,
			   struct glen_error *error)
{
	const struct module *m = module_find(name);
	struct glen_error mine = { 0 };
	struct module_instance *mi;
	int err;

	if (!m)
		return no_such_module(name, error);
	mi = calloc(1, sizeof(*mi));
	if (!mi)
		return error_set(error, -ENOMEM, "out of memory");
	mi->module = m;
	mi->ops = &m->ops;
	env_init(mi, sw, n_workers);
	err = m->ops.create(&mi->env, params, &mi->state,
			    error ? error : &mine);
	if (err) {
		call_deferred(mi); /* nobody ever read it */
		fabric_fini(&mi->fabric);
		free(mi);
		return err;
	}
	call_deferred(mi);
	*instance = mi;
	return 0;
}

void module_instance_destroy(struct module_instance *mi)
{
	if (!mi)
		return;
	call_deferred(mi);
	mi->ops->destroy(mi->state);
	call_deferred(mi);
	fabric_fini(&mi->fabric);
	free(mi);
}

module_lookup module_lookup_of(const struct module_instance *mi)
{
	const module_lookup *builtin = mi->module->lookup;

	return builtin ? builtin[isa_now()] : mi->ops->lookup;
}

unsigned module_hdr_want(struct module_instance *mi)
{
	unsigned want = mi->ops->hdr_want;

	if (mi->ops->hdr_want_now)
		want = mi->ops->hdr_want_now(mi->state);
	if (want < HDR_MIN)
		return HDR_MIN;
	return want > HDR_MAX ? HDR_MAX : want;
}

static void tell_port(struct module_instance *mi, const struct port *port,
		      void (*tell)(void *, const struct glen_module_port *))
{
	struct glen_module_port p;

	if (!tell)
		return;
	describe(port, &p);
	tell(mi->state, &p);
	module_settle(mi);
}

void module_port_add(struct module_instance *mi, const struct port *port)
{
	tell_port(mi, port, mi->ops->port_add);
}

void module_port_change(struct module_instance *mi, const struct port *port)
{
	tell_port(mi, port, mi->ops->port_change);
}

void module_port_del(struct module_instance *mi, const struct port *port)
{
	tell_port(mi, port, mi->ops->port_del);
	fabric_port_del(mi, port->index);
}

int module_port_set(struct module_instance *mi, const struct port *port,
		    json_t *settings, struct glen_error *error)
{
	struct glen_error mine = { 0 };
	struct glen_module_port p;
	int err;

	if (!mi->ops->port_set)
		return 0;
	describe(port, &p);
	err = mi->ops->port_set(&mi->env, mi->state, &p, settings,
				error ? error : &mine);
	module_settle(mi);
	return err;
}

int module_port_check(const struct module *m, json_t *settings,
		      struct glen_error *error)
{
	struct module_instance nowhere = { .module = m, .ops = &m->ops };
	struct glen_error mine = { 0 };
	int err;

	env_init(&nowhere, NULL, 1);
	err = m->ops.port_set(&nowhere.env, NULL, NULL, settings,
			      error ? error : &mine);
	call_deferred(&nowhere);
	return err;
}

json_t *module_port_settings(struct module_instance *mi,
			     const struct port *port)
{
	struct glen_module_port p;
	json_t *settings;

	if (!mi->ops->port_settings)
		return NULL;
	describe(port, &p);
	settings = mi->ops->port_settings(mi->state, &p);
	module_settle(mi);
	return settings;
}

void module_tick(struct module_instance *mi, uint32_t now_s)
{
	if (!mi->ops->tick)
		return;
	mi->ops->tick(mi->state, now_s);
	module_settle(mi);
}

int module_set(struct module_instance *mi, json_t *params,
	       struct glen_error *error)
{
	struct glen_error mine = { 0 };
	int err = mi->ops->set(mi->state, params, error ? error : &mine);

	module_settle(mi);
	return err;
}

int module_command(struct module_instance *mi, const char *method,
		   json_t *params, json_t **result, struct glen_error *error)
{
	int err;

	if (!mi->ops->command)
		return -ENOSYS;
	err = mi->ops->command(mi->state, method, params, result, error);
	module_settle(mi);
	return err;
}

json_t *module_show(struct module_instance *mi)
{
	json_t *shown = mi->ops->show ? mi->ops->show(mi->state) :
					json_object();

	module_settle(mi);
	return shown;
}
