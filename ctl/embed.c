// SPDX-License-Identifier: BSD-2-Clause
// embed.c - a switch inside one process: include/glen/switch.h on an engine.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/loop.h"
#include "core/worker.h"
#include "ctl/control.h"
#include "ctl/methods.h"
#include "include/glen/switch.h"
#include "lib/error.h"
#include "lib/port.h"
#include "port/shm/shm.h"

enum { THREADS_MAX = 8 };

/* A shared-memory port of ours; the list is guarded by the switch's lock. */
struct embedded {
	struct embedded *next;
	struct glen_switch *sw;
	struct port *port;	/* the switch's end */
	struct glen_port *user; /* the program's end */
};

struct glen_switch {
	struct control control;
	char name[PORT_NAME_SIZE];
	struct loop loop; /* of drivers' descriptors */
	pthread_mutex_t lock;
	struct embedded *ports;
};

/* Any thread: a port broke the ring protocol, so its user must stop. */
static void wake(void *arg)
{
	struct glen_switch *sw = arg;

	pthread_mutex_lock(&sw->lock);
	for (struct embedded *e = sw->ports; e; e = e->next) {
		const char *reason = atomic_load(&e->port->broken);

		if (reason && e->user)
			port_die(e->user, reason);
	}
	pthread_mutex_unlock(&sw->lock);
}

/* A JSON object from text; NULL text is no object. */
static int parse(const char *what, const char *text, json_t **object,
		 struct glen_error *error)
{
	json_error_t at;

	*object = NULL;
	if (!text)
		return 0;
	*object = json_loads(text, JSON_REJECT_DUPLICATES, &at);
	if (!*object)
		return error_set(error, -EINVAL,
				 "%s: not JSON at line %d, column %d: %s", what,
				 at.line, at.column, at.text);
	if (json_is_object(*object))
		return 0;
	json_decref(*object);
	*object = NULL;
	return error_set(error, -EINVAL, "%s: a JSON object is needed", what);
}

/* The first one counts. */
static void keep_error(void *arg, const struct glen_error *why)
{
	struct glen_error *error = arg;

	if (!error->code)
		*error = *why;
}

int glen_switch_module_load(const char *path, struct glen_error *error)
{
	struct glen_error first = { 0 };
	struct stat st;
	int err;

	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return module_load(path, error);
	err = module_load_dir(path, keep_error, &first, error);
	if (err >= 0 && first.code)
		err = error_set(error, first.code, "%s", first.text);
	return err < 0 ? err : 0;
}

int glen_switch_create(struct glen_switch **out, const char *name,
		       const char *module, const char *options,
		       struct glen_error *error)
{
	struct glen_switch *sw = calloc(1, sizeof(*sw));
	struct engine_config config = {
		.n_workers = THREADS_MAX,
		.n_active = 1,
		.poll = true,
		.loop = &sw->loop,
		.wake = wake,
		.wake_arg = sw,
	};
	struct vswitch *vsw;
	json_t *params;
	int err;

	if (!sw)
		return error_set(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&sw->lock, NULL);
	err = loop_init(&sw->loop);
	if (err) {
		error_set(error, err, "epoll: %s", strerror(-err));
		goto err_free;
	}
	err = parse("options", options, &params, error);
	if (err)
		goto err_loop;
	err = engine_create(&sw->control.engine, &config, error);
	if (err)
		goto err_params;
	err = switch_create(sw->control.engine, name, module, params, &vsw,
			    error);
	if (err)
		goto err_engine;
	vsw->configured = true;
	strcpy(sw->name, vsw->name);
	json_decref(params);
	*out = sw;
	return 0;
err_engine:
	engine_destroy(sw->control.engine);
err_params:
	json_decref(params);
err_loop:
	loop_fini(&sw->loop);
err_free:
	pthread_mutex_destroy(&sw->lock);
	free(sw);
	return err;
}

void glen_switch_destroy(struct glen_switch *sw)
{
	if (!sw)
		return;
	engine_destroy(sw->control.engine);
	loop_fini(&sw->loop);
	pthread_mutex_destroy(&sw->lock);
	free(sw);
}

int glen_switch_fd(struct glen_switch *sw)
{
	return sw->loop.fd;
}

int glen_switch_events(struct glen_switch *sw, int timeout_ms)
{
	return loop_turn(&sw->loop, timeout_ms);
}

/* The program closed its end: what it handed over is forwarded first. */
static void on_close(void *arg)
{
	struct embedded *e = arg, **at = &e->sw->ports;

	pthread_mutex_lock(&e->sw->lock);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	pthread_mutex_unlock(&e->sw->lock);
	control_port_close(&e->sw->control, e->port, NULL);
	free(e);
}

static int stats(void *arg, struct glen_port_stats *s)
{
	struct embedded *e = arg;
	struct counters in, out;

	port_counters(e->port, -1, &in, &out);
	memset(s, 0, sizeof(*s));
	s->in_packets = in.packets;
	s->in_bytes = in.bytes;
	s->out_packets = out.packets;
	s->out_bytes = out.bytes;
	for (unsigned i = 0; i < DROP_MAX; i++) {
		s->in_drops += in.drops[i];
		s->out_drops += out.drops[i];
	}
	return 0;
}

static int command(void *arg, const char *method, json_t *params,
		   json_t **result, struct glen_error *error)
{
	struct embedded *e = arg;
	struct vswitch *sw = e->port->sw;
	int err;

	json_object_set_new(params, "port", json_string(e->port->name));
	err = module_command(sw->module, method, params, result, error);
	if (err == -ENOSYS)
		err = error_set(error, -EOPNOTSUPP,
				"module %s of switch %s knows no claims",
				sw->module->ops->name, sw->name);
	return err;
}

static json_t *config_params(const struct glen_port_config *c)
{
	static const uint8_t no_mac[6];
	json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "rings",
			      (int)c->rings, "slots", (int)c->slots, "buf_size",
			      (int)c->buf_size, "extra_bufs",
			      (int)c->extra_bufs, "vnet_hdr_len",
			      (int)c->vnet_hdr_len, "mtu", (int)c->mtu,
			      "isolated", (int)c->isolated);
	char mac[18];

	if (o && memcmp(c->mac, no_mac, sizeof(no_mac))) {
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
			 c->mac[0], c->mac[1], c->mac[2], c->mac[3], c->mac[4],
			 c->mac[5]);
		json_object_set_new(o, "mac", json_string(mac));
	}
	if (o)
		port_region_params(o, c);
	return o;
}

/* "sw:name"; a name too long is refused by control_split() later. */
static void full_name(const struct glen_switch *sw, const char *name,
		      char *full, size_t size)
{
	snprintf(full, size, "%s:%s", sw->name, name);
}

/* Maps the program's end onto what the driver made. */
static int map_user(struct embedded *e, const char *full,
		    struct glen_error *error)
{
	struct shm_port *shm = e->port->drv;
	json_t *info = json_object();
	int fds[PORT_FDS_MAX], err;
	unsigned n_fds = 0;

	if (!info)
		return error_set(error, -ENOMEM, "out of memory");
	e->port->ops->attach_info(e->port, info, fds, &n_fds);
	/* Of a shared region there is no mapping with window and buffers. */
	err = port_map_local(&e->user, full, &shm->layout,
			     shm->member.region ? NULL : shm->base, fds[0],
			     fds[1], fds[2], fds[3], on_close, e);
	if (!err)
		port_region_result(e->user, info);
	json_decref(info);
	if (err)
		return error_set(error, err, "cannot map port %s: %s", full,
				 strerror(-err));
	port_local_stats(e->user, stats);
	port_local_command(e->user, command);
	return 0;
}

int glen_switch_port_open(struct glen_switch *sw, struct glen_port **port,
			  const char *name,
			  const struct glen_port_config *config,
			  struct glen_error *error)
{
	static const struct glen_port_config defaults;
	struct port_args args = { 0 };
	char full[4 * PORT_NAME_SIZE];
	struct embedded *e = calloc(1, sizeof(*e));
	int err;

	full_name(sw, name, full, sizeof(full));
	args.params = config_params(config ? config : &defaults);
	if (!e || !args.params) {
		err = error_set(error, -ENOMEM, "out of memory");
		goto out;
	}
	e->sw = sw;
	err = control_port_open(&sw->control, full, "shm", &args, false,
				&e->port, error);
	if (err)
		goto out;
	err = map_user(e, full, error);
	if (err) {
		control_port_close(&sw->control, e->port, NULL);
		goto out;
	}
	pthread_mutex_lock(&sw->lock);
	e->next = sw->ports;
	sw->ports = e;
	pthread_mutex_unlock(&sw->lock);
	*port = e->user;
	e = NULL;
out:
	json_decref(args.params);
	free(e);
	return err;
}

int glen_switch_port_add(struct glen_switch *sw, const char *name,
			 const char *driver, const char *options,
			 struct glen_error *error)
{
	char full[4 * PORT_NAME_SIZE];
	json_t *params;
	int err = parse("options", options, &params, error);

	if (err)
		return err;
	full_name(sw, name, full, sizeof(full));
	if (!strcmp(driver, "shm"))
		err = error_set(error, -EINVAL,
				"port %s: use glen_switch_port_open() for a "
				"port of this process",
				full);
	else
		err = control_port_add(&sw->control, full, driver, params,
				       error);
	json_decref(params);
	return err;
}

int glen_switch_port_del(struct glen_switch *sw, const char *name,
			 struct glen_error *error)
{
	char full[4 * PORT_NAME_SIZE];

	full_name(sw, name, full, sizeof(full));
	for (struct embedded *e = sw->ports; e; e = e->next)
		if (!strcmp(e->port->name, name))
			return error_set(error, -EBUSY,
					 "port %s is open in this process; "
					 "close it with glen_port_close()",
					 full);
	return control_port_del(&sw->control, full, error);
}

unsigned glen_switch_poll(struct glen_switch *sw)
{
	return engine_poll(sw->control.engine);
}

int glen_switch_start(struct glen_switch *sw, unsigned n_threads,
		      struct glen_error *error)
{
	if (n_threads < 1 || n_threads > THREADS_MAX)
		return error_set(error, -EINVAL,
				 "%u threads: a switch runs with 1 to %d",
				 n_threads, THREADS_MAX);
	return engine_spread(sw->control.engine, n_threads, error) ?:
		       engine_start(sw->control.engine, error);
}

/* What would pull the rug from under the program's own ports. */
static bool forbidden(const char *method)
{
	return !strcmp(method, "switch.del") || !strcmp(method, "port.del") ||
	       !strcmp(method, "config.apply");
}

/*
 * Nothing runs about once a second here as in glend, so what glend's timer
 * tells modules and drivers they are told before they are asked. Not the
 * program's own ports: after some ticks those close what it still watches.
 */
static void tick(struct glen_switch *sw)
{
	struct vswitch *vsw = engine_switches(sw->control.engine);
	uint32_t now_s = worker_clock() / 1000000000;

	for (; vsw; vsw = vsw->next) {
		module_tick(vsw->module, now_s);
		for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
			struct port *port = vsw->ports[i];

			if (port && port->ops->tick && !port->ops->attach_info)
				port->ops->tick(port);
		}
	}
}

int glen_switch_command(struct glen_switch *sw, const char *method,
			const char *params, char **result,
			struct glen_error *error)
{
	struct glen_error mine = { 0 };
	json_t *object, *answer = NULL;
	int err;

	if (!error)
		error = &mine;
	if (forbidden(method))
		return error_set(error, -ENOSYS,
				 "%s: an embedded switch has functions for "
				 "this, see glen/switch.h",
				 method);
	err = parse("params", params, &object, error);
	if (err)
		return err;
	error->code = 0; /* of an earlier call, maybe */
	tick(sw);
	loop_turn(&sw->loop, 0);
	err = method_call(&sw->control, method, object, &answer, error);
	json_decref(object);
	if (err == -ENOSYS && !error->code)
		return error_set(error, err, "there is no method '%.63s'",
				 method);
	if (err)
		return err;
	*result = json_dumps(answer, JSON_ENCODE_ANY);
	json_decref(answer);
	return *result ? 0 : error_set(error, -ENOMEM, "out of memory");
}
