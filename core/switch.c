// SPDX-License-Identifier: BSD-2-Clause
// switch.c - engines and switches: create, destroy, show, replace the module.
#include "core/engine.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/balance.h"
#include "core/capture.h"
#include "core/rcu.h"
#include "core/settings.h"
#include "lib/error.h"

bool name_check(const char *what, const char *name, struct glen_error *error)
{
	size_t len = name ? strlen(name) : 0;
	bool good = len > 0 && len < PORT_NAME_SIZE &&
		    isalnum((unsigned char)name[0]);

	/* The host's side of port eth0 is eth0^. */
	if (good && name[len - 1] == '^' && !strcmp(what, "port"))
		len--;
	for (size_t i = 0; good && i < len; i++)
		good = isalnum((unsigned char)name[i]) ||
		       strchr("_.-", name[i]);
	if (!good)
		error_set(error, -EINVAL,
			  "%s name \"%.64s\" is not allowed: use 1 to %d of "
			  "A-Z a-z 0-9 _ . - and begin with a letter or digit",
			  what, name ? name : "", PORT_NAME_SIZE - 1);
	return good;
}

int engine_create(struct engine **engine, const struct engine_config *config,
		  struct glen_error *error)
{
	struct engine *e = calloc(1, sizeof(*e));
	unsigned n = config && config->n_workers ? config->n_workers : 1;

	if (!e)
		return error_set(error, -ENOMEM, "out of memory");
	if (config)
		e->config = *config;
	e->null_fd = -1;
	e->config.cpus = NULL; /* borrowed only during this call */
	if (n > WORKERS_MAX || e->config.n_active > n) {
		n = n > WORKERS_MAX ? n : e->config.n_active;
		free(e);
		return error_set(error, -EINVAL,
				 "%u workers are too many: at most %d, and no "
				 "more active ones than there are",
				 n, WORKERS_MAX);
	}
	e->n_workers = n;
	e->n_active = e->config.n_active ? e->config.n_active : n;
	for (unsigned i = 0; i <= n; i++) {
		int cpu = config && config->cpus && i < n ? config->cpus[i] :
							    -1;

		e->workers[i] = worker_create(e, i, cpu, e->config.poll, error);
		if (!e->workers[i]) {
			engine_destroy(e);
			return -ENOMEM;
		}
	}
	*engine = e;
	return 0;
}

void engine_destroy(struct engine *e)
{
	if (!e)
		return;
	while (e->switches)
		switch_destroy(e->switches);
	engine_stop(e);
	for (unsigned i = 0; i <= e->n_workers; i++)
		worker_destroy(e->workers[i]);
	if (e->null_fd >= 0)
		close(e->null_fd);
	free(e);
}

static int port_spread(struct engine *e, struct port *port,
		       struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; i < port->n_in && !err; i++) {
		struct ingress *in = &port->in[i];
		int fd = in->in_fd;

		if (!in->worker)
			continue;
		port_in_stop(in);
		err = port_in_start(in, fd, error);
	}
	return err;
}

int engine_spread(struct engine *e, unsigned n, struct glen_error *error)
{
	int err = 0;

	if (e->workers[0]->started)
		return error_set(error, -EBUSY, "the switch runs already");
	if (!n || n > e->n_workers)
		return error_set(error, -EINVAL,
				 "%u threads: a switch runs with 1 to %u", n,
				 e->n_workers);
	e->n_active = n;
	for (unsigned i = 0; i < n; i++)
		e->workers[i]->poll_mode = false;
	for (struct vswitch *sw = e->switches; sw; sw = sw->next)
		for (unsigned i = 0; i < SWITCH_PORTS_MAX && !err; i++)
			if (sw->ports[i])
				err = port_spread(e, sw->ports[i], error);
	return err;
}

int engine_start(struct engine *e, struct glen_error *error)
{
	for (unsigned i = 0; i < e->n_active; i++) {
		int err = worker_start(e->workers[i], error);

		if (err) {
			engine_stop(e);
			return err;
		}
	}
	return 0;
}

void engine_stop(struct engine *e)
{
	for (unsigned i = 0; i < e->n_workers; i++)
		worker_stop(e->workers[i]);
}

static pthread_key_t poller_key;
static pthread_once_t poller_once = PTHREAD_ONCE_INIT;

static void poller_exit(void *arg)
{
	urcu_qsbr_unregister_thread();
}

static void poller_init(void)
{
	if (pthread_key_create(&poller_key, poller_exit))
		abort();
}

/*
 * The first engine_poll() of a thread of the program's: RCU knows it from now
 * on until it ends, since the list of readers points into its memory.
 */
static __attribute__((noinline)) void poller_register(void)
{
	pthread_once(&poller_once, poller_init);
	urcu_qsbr_register_thread();
	pthread_setspecific(poller_key, &poller_key);
}

unsigned engine_poll_worker(struct engine *e, unsigned i)
{
	static __thread bool registered;
	struct worker *w = e->workers[i];
	unsigned used;

	if (!registered) {
		poller_register();
		registered = true;
	} else {
		rcu_online();
	}
	used = core_hots[w->isa]->turn(w);
	if (w->n_polled + w->n_cold < w->n_rings && w->now_ns >= w->epoll_at_ns)
		worker_events(w, 0);
	rcu_offline();
	return used;
}

unsigned engine_poll(struct engine *e)
{
	return engine_poll_worker(e, 0);
}

unsigned engine_n_workers(const struct engine *e)
{
	return e->n_workers;
}

struct vswitch *engine_switches(struct engine *e)
{
	return e->switches;
}

void engine_tick(struct engine *e)
{
	uint32_t now_s = worker_clock() / 1000000000;

	balance_tick(e);
	for (struct vswitch *sw = e->switches; sw; sw = sw->next) {
		module_tick(sw->module, now_s);
		for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++)
			if (sw->ports[i] && sw->ports[i]->ops->tick)
				sw->ports[i]->ops->tick(sw->ports[i]);
	}
}

struct port *engine_broken(struct engine *e)
{
	for (struct vswitch *sw = e->switches; sw; sw = sw->next)
		for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++)
			if (sw->ports[i] && port_is_broken(sw->ports[i]))
				return sw->ports[i];
	return NULL;
}

json_t *engine_show_workers(struct engine *e)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < e->n_workers; i++) {
		struct worker *w = e->workers[i];
		const struct worker_set *set = atomic_load(&w->set);
		json_int_t polled = count_read(&w->polled_shown), rings = 0;

		for (uint32_t r = 0; r < set->n; r++)
			rings += set->ring[r] != NULL;
		json_array_append_new(
			all,
			json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, "
				  "s:I, s:I}",
				  "worker", (int)i, "cpu", w->cpu, "polled",
				  polled, "armed",
				  rings > polled ? rings - polled : 0, "turns",
				  (json_int_t)count_read(&w->turns), "batches",
				  (json_int_t)count_read(&w->batches),
				  "packets",
				  (json_int_t)count_read(&w->packets), "sleeps",
				  (json_int_t)count_read(&w->sleeps), "wakeups",
				  (json_int_t)count_read(&w->wakeups),
				  "busy_ns",
				  (json_int_t)count_read(&w->busy_ns)));
	}
	return all;
}

struct vswitch *switch_find(struct engine *e, const char *name)
{
	struct vswitch *sw = e->switches;

	while (sw && strcmp(sw->name, name))
		sw = sw->next;
	return sw;
}

int switch_create(struct engine *e, const char *name, const char *module,
		  json_t *params, struct vswitch **out,
		  struct glen_error *error)
{
	struct vswitch *sw;
	int err;

	if (!name_check("switch", name, error))
		return -EINVAL;
	if (switch_find(e, name))
		return error_set(error, -EEXIST, "switch %s exists already",
				 name);
	if (e->n_switches == SWITCHES_MAX)
		return error_set(error, -ENOSPC,
				 "there are %d switches already, and no room "
				 "for more",
				 SWITCHES_MAX);
	sw = calloc(1, sizeof(*sw));
	if (!sw)
		return error_set(error, -ENOMEM, "out of memory");
	strcpy(sw->name, name);
	sw->engine = e;
	err = module_instance_create(sw, e->n_workers + 1,
				     module ? module : "learn", params,
				     &sw->module, error);
	if (err)
		goto err_free;
	err = snapshot_update(sw, error);
	if (err)
		goto err_module;
	sw->module_params = params ? json_deep_copy(params) : json_object();
	sw->next = e->switches;
	e->switches = sw;
	e->n_switches++;
	*out = sw;
	return 0;
err_module:
	module_instance_destroy(sw->module);
err_free:
	free(sw);
	return err;
}

void switch_destroy(struct vswitch *sw)
{
	struct vswitch **at = &sw->engine->switches;

	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++)
		if (sw->ports[i])
			port_destroy(sw->ports[i]);
	capture_switch_del(sw);
	while (*at != sw)
		at = &(*at)->next;
	*at = sw->next;
	sw->engine->n_switches--;
	rcu_wait();
	snapshot_free(atomic_load(&sw->snap));
	module_instance_destroy(sw->module);
	json_decref(sw->module_params);
	free(sw);
}

static void keep_module_params(struct vswitch *sw, json_t *params)
{
	json_t *copy = params ? json_deep_copy(params) : json_object();

	json_decref(sw->module_params);
	sw->module_params = copy;
}

/* Tells a new instance of the ports there are, and their settings. */
static int module_ports(struct vswitch *sw, struct module_instance *mi,
			struct glen_error *error)
{
	int err = 0;

	for (unsigned i = 0; i < SWITCH_PORTS_MAX && !err; i++) {
		struct port *port = sw->ports[i];

		if (!port)
			continue;
		module_port_add(mi, port);
		err = settings_apply(mi, port, port->params, error);
	}
	return err;
}

/* Old and new understand each other's state. */
static bool may_adopt(const struct module_instance *mi,
		      const struct module_instance *old)
{
	return mi->ops->adopt && mi->ops->state_version &&
	       mi->ops->state_version == old->ops->state_version &&
	       !strcmp(mi->ops->name, old->ops->name);
}

/* Puts a new instance in place of the present one, between two batches. */
static int module_replace(struct vswitch *sw, const char *name, json_t *params,
			  struct glen_error *error)
{
	struct module_instance *old = sw->module, *mi;
	bool adopt;
	int err = module_instance_create(sw, sw->engine->n_workers + 1, name,
					 params, &mi, error);

	if (err)
		return err;
	err = module_ports(sw, mi, error);
	if (err) {
		module_instance_destroy(mi);
		return err;
	}
	adopt = may_adopt(mi, old);
	if (adopt)
		mi->ops->adopt(mi->state, old->state, GLEN_ADOPT_BEFORE);
	sw->module = mi;
	err = snapshot_update(sw, error);
	if (err) {
		sw->module = old;
		module_instance_destroy(mi);
		return err;
	}
	if (adopt)
		mi->ops->adopt(mi->state, old->state, GLEN_ADOPT_AFTER);
	module_settle(mi);
	module_instance_destroy(old);
	return 0;
}

int switch_set_module(struct vswitch *sw, const char *name, json_t *params,
		      struct glen_error *error)
{
	struct module_instance *old = sw->module;
	int err;

	/* The same module with other options keeps what it has learnt. */
	if (!strcmp(name, old->ops->name) && old->ops->set)
		err = module_set(old, params, error);
	else
		err = module_replace(sw, name, params, error);
	if (!err)
		keep_module_params(sw, params);
	return err;
}

int switch_replace_module(struct vswitch *sw, const char *name, json_t *params,
			  struct glen_error *error)
{
	int err = module_replace(sw, name, params, error);

	if (!err)
		keep_module_params(sw, params);
	return err;
}

json_t *switch_show(struct vswitch *sw)
{
	return json_pack("{s:s, s:s, s:o, s:i, s:b}", "switch", sw->name,
			 "module", sw->module->ops->name, "options",
			 module_show(sw->module), "ports", (int)sw->n_ports,
			 "configured", sw->configured);
}
