// SPDX-License-Identifier: BSD-2-Clause
// daemon.c - glend's life: start, events, configuration, end.
#include "ctl/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "ctl/config.h"
#include "ctl/missing.h"
#include "ctl/netmap/netmap.h"
#include "ctl/notify.h"
#include "ctl/priv.h"
#include "ctl/topology.h"
#include "lib/error.h"
#include "port/guard.h"

int64_t daemon_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Hooks of control.h */

static int hook_saved_open(void *arg, const char *name, const char *driver,
			   json_t *params, void **saved, bool *resume,
			   struct glen_error *error)
{
	struct daemon *d = arg;

	if (!d->state)
		return 0;
	if (!d->resuming && state_pending(d->state, name, "shm"))
		return error_set(error, -EBUSY,
				 "port %s is kept for the client that had it "
				 "before glend restarted, for %d s at most; "
				 "port.del frees it now",
				 name, DAEMON_PENDING_S);
	return state_open(d->state, name, driver, params, saved, resume, error);
}

static void hook_saved_close(void *arg, void *saved, bool again)
{
	struct daemon *d = arg;

	if (d->stopping)
		return;
	if (d->resuming || again)
		state_reopen(d->state, saved);
	else
		state_close(d->state, saved);
}

static int hook_saved_params(void *arg, void *saved, json_t *params,
			     struct glen_error *error)
{
	struct daemon *d = arg;

	return state_set_params(d->state, saved, params, error);
}

static void hook_closing(void *arg, struct port *port, const char *reason)
{
	struct daemon *d = arg;

	session_port_closing(port, reason);
	if (d->netmap)
		nm_port_closing(d->netmap, port);
}

static void hook_changed(void *arg)
{
	struct daemon *d = arg;

	if (!d->hold && !d->stopping)
		daemon_save(d, false);
}

static const struct control_hooks hooks = {
	.saved_open = hook_saved_open,
	.saved_close = hook_saved_close,
	.saved_params = hook_saved_params,
	.closing = hook_closing,
	.changed = hook_changed,
};

/* Configuration */

/* Switches that go with their last port, which config.get does not say. */
static json_t *implicit_switches(struct daemon *d)
{
	struct vswitch *sw = engine_switches(d->engine);
	json_t *list = json_array();

	for (; sw; sw = sw->next)
		if (!sw->configured)
			json_array_append_new(list, json_string(sw->name));
	return list;
}

/* Switches whose module is missing stay in the state file, unless another one
 * has been made in their place. */
static void add_kept(struct daemon *d, json_t *config, json_t *implicit)
{
	json_t *switches = json_object_get(config, "switches"), *entry;
	const char *name;
	void *next;

	json_object_foreach_safe(d->kept, next, name, entry) {
		if (switch_find(d->engine, name)) {
			json_object_del(d->kept, name);
			continue;
		}
		json_object_set(switches, name,
				json_object_get(entry, "object"));
		if (json_is_true(json_object_get(entry, "implicit")))
			json_array_append_new(implicit, json_string(name));
	}
}

void daemon_save(struct daemon *d, bool clean)
{
	struct glen_error error;
	json_t *stored, *config, *implicit;

	if (!d->state)
		return;
	config = control_config(&d->control);
	implicit = implicit_switches(d);
	add_kept(d, config, implicit);
	stored = json_pack("{so so sb}", "config", config, "implicit", implicit,
			   "clean", clean);
	if (!stored)
		log_error("state file: out of memory; a change was not kept");
	else if (state_set_config(d->state, stored, &error))
		log_error("state file: %s; a change was not kept", error.text);
	json_decref(stored);
}

/* Opens a configured port that is not open; what fails is told, and tried
 * again. True: it is open. */
static bool try_port(struct daemon *d, const char *full, bool first)
{
	struct glen_error error;
	char name[GLEN_NAME_MAX + 1];
	bool is_new;

	snprintf(name, sizeof(name), "%s", full);
	if (!missing_try(&d->control, name, &is_new, &error)) {
		if (!first)
			log_info("port %s is open now", name);
		return true;
	}
	if (is_new)
		log_error("port %s could not be opened: %s; it is tried again "
			  "every second",
			  name, error.text);
	return false;
}

static void try_ports(struct daemon *d)
{
	bool any = false;
	const char *full;
	json_t *entry;
	void *next;

	/* Saved once, however many come. */
	d->hold = true;
	json_object_foreach_safe(d->control.missing, next, full, entry) {
		any |= try_port(d, full, false);
	}
	d->hold = false;
	if (any)
		daemon_save(d, false);
}

/* Makes one switch of the last run again; one that fails is told, and kept for
 * the next start. */
static void restore_switch(struct daemon *d, const char *name, json_t *object,
			   bool implicit)
{
	const char *module = json_string_value(
		json_object_get(object, "module"));
	struct glen_error error;
	struct vswitch *sw;
	const char *key;
	json_t *port;

	if (switch_create(d->engine, name, module ? module : "learn",
			  json_object_get(object, "options"), &sw, &error)) {
		log_error("switch %s was not restored: %s; it and its ports "
			  "stay in the state file: start glend again when that "
			  "is mended, or make another switch of that name",
			  name, error.text);
		json_object_set_new(d->kept, name,
				    json_pack("{sO sb ss}", "object", object,
					      "implicit", implicit, "problem",
					      error.text));
		return;
	}
	sw->configured = true;
	json_object_foreach(json_object_get(object, "ports"), key, port) {
		const char *driver = json_string_value(
			json_object_get(port, "driver"));
		json_t *params = json_copy(port);
		char full[GLEN_NAME_MAX + 1];

		json_object_del(params, "driver");
		snprintf(full, sizeof(full), "%.31s:%.31s", name, key);
		if (missing_add(&d->control, full, driver ? driver : "?",
				params, &error))
			log_error("port %s was not restored: %s", full,
				  error.text);
		else
			try_port(d, full, true);
		json_decref(params);
	}
	sw->configured = !implicit;
	control_switch_release(&d->control, name);
}

static bool list_has(json_t *list, const char *text)
{
	json_t *value;
	size_t i;

	json_array_foreach(list, i, value) {
		const char *name = json_string_value(value);

		if (name && !strcmp(name, text))
			return true;
	}
	return false;
}

static void restore(struct daemon *d, json_t *stored)
{
	json_t *implicit = json_object_get(stored, "implicit"), *object;
	json_t *config = json_object_get(stored, "config");
	const char *name;

	d->hold = true;
	json_object_foreach(json_object_get(config, "switches"), name, object) {
		restore_switch(d, name, object, list_has(implicit, name));
	}
	d->hold = false;
}

int daemon_load_config(struct daemon *d, struct glen_error *error)
{
	const char *path = d->options->config;
	struct config_where where;
	json_t *changes = json_array(), *change;
	struct topology *t;
	size_t i;
	int err = topology_load(path, &t, error);

	if (err) {
		json_decref(changes);
		return err;
	}
	d->hold = true;
	err = config_apply(&d->control, t->config, false, changes, &where,
			   error);
	d->hold = false;
	if (err)
		topology_locate(t, &where, error);
	else
		daemon_save(d, false);
	json_array_foreach(changes, i, change) {
		log_info("%s: %s", path, json_string_value(change));
	}
	topology_destroy(t);
	json_decref(changes);
	return err;
}

/* The configuration to begin with. */
static int first_config(struct daemon *d, struct glen_error *error)
{
	json_t *stored = d->state ? state_config(d->state) : NULL;
	bool clean = json_is_true(json_object_get(stored, "clean"));
	int err = 0;

	if (stored && (!clean || !d->options->config)) {
		log_info("going on with the configuration in %s%s%s",
			 d->state_path,
			 d->options->config ? "; SIGHUP applies " : "",
			 d->options->config ? d->options->config : "");
		restore(d, stored);
		daemon_save(d, false);
	} else if (d->options->config) {
		err = daemon_load_config(d, error);
	}
	json_decref(stored);
	return err;
}

/* Events */

static void reload(struct daemon *d)
{
	struct glen_error error;
	char text[80];

	if (!d->options->config) {
		log_warning("SIGHUP: there is no --config to read again");
		return;
	}
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)daemon_now_ms() * 1000);
	notify_send(text);
	if (daemon_load_config(d, &error))
		log_error("nothing was changed: %s", error.text);
	else
		log_info("%s is in force", d->options->config);
	notify_send("READY=1");
}

static void on_signal(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct signalfd_siginfo info;

	while (read(d->signals.fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload(d);
			continue;
		}
		d->quit = true;
		d->quit_signal = info.ssi_signo;
	}
}

/* A client that did not come back loses its claim. */
static void forget_pending(struct daemon *d)
{
	unsigned n;

	if (!d->pending_until_s || server_now_s() < d->pending_until_s)
		return;
	d->pending_until_s = 0;
	/* Those that are tried again keep theirs. */
	n = d->state ? state_forget(d->state, d->control.missing) : 0;
	if (n)
		log_info("%u ports of the last run were not resumed within %d "
			 "s; they are forgotten",
			 n, DAEMON_PENDING_S);
}

/* Says how much a port had more to say than it may. */
static void port_left_out(struct port *port)
{
	struct log_limit limit = { port->log_since_s, port->log_n };
	unsigned n = log_left_out(&limit);

	port->log_n = limit.n;
	if (n)
		log_info("port %s:%s: %u more messages were left out",
			 port->sw->name, port->name, n);
}

static void all_left_out(struct engine *engine)
{
	struct vswitch *sw = engine_switches(engine);

	for (; sw; sw = sw->next) {
		unsigned left = sw->n_ports;

		for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
			if (!sw->ports[i])
				continue;
			left--;
			port_left_out(sw->ports[i]);
		}
	}
}

static void on_timer(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	uint64_t n;

	if (read(d->timer.fd, &n, sizeof(n)) != sizeof(n))
		return;
	engine_tick(d->engine);
	all_left_out(d->engine);
	control_refresh(&d->control);
	server_tick(&d->server);
	try_ports(d);
	forget_pending(d);
}

/* Any thread: some port broke. */
static void daemon_wake(void *arg)
{
	struct daemon *d = arg;
	uint64_t one = 1;

	(void)!write(d->wake.fd, &one, sizeof(one));
}

/* Each port has a limit of its own: one whose peers keep coming and going does
 * not silence the others. */
static void daemon_port_log(void *arg, struct port *port, const char *text)
{
	struct log_limit limit;

	port_left_out(port);
	limit = (struct log_limit){ port->log_since_s, port->log_n };
	log_limited(&limit, LOG_LEVEL_INFO, "port %s:%s: %s", port->sw->name,
		    port->name, text);
	port->log_since_s = limit.since_s;
	port->log_n = limit.n;
}

static void on_wake(void *arg, uint32_t events)
{
	struct daemon *d = arg;
	struct port *port;
	uint64_t n;

	(void)!read(d->wake.fd, &n, sizeof(n));
	while ((port = engine_broken(d->engine))) {
		const char *reason = atomic_load(&port->broken);
		struct broken *b =
			&d->broken[d->n_broken++ % DAEMON_BROKEN_MAX];

		control_full_name(port, b->port);
		b->reason = reason;
		b->at_s = time(NULL);
		log_limited(&d->broken_limit, LOG_LEVEL_WARNING,
			    "port %s closed: %s", b->port, reason);
		control_port_close(&d->control, port, reason);
	}
}

/* Start */

static int add_source(struct daemon *d, struct loop_source *source, int fd,
		      void (*ready)(void *, uint32_t), struct glen_error *error)
{
	int err = fd < 0 ? -errno : 0;

	*source = (struct loop_source){ fd, ready, d };
	if (!err)
		err = loop_add(&d->loop, source, EPOLLIN);
	if (err)
		error_set(error, err, "cannot set up events: %s",
			  strerror(-err));
	return err;
}

static int init_events(struct daemon *d, struct glen_error *error)
{
	struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	sigset_t set;
	int err, fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = loop_init(&d->loop);
	if (err)
		return error_set(error, err, "epoll: %s", strerror(-err));
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	err = add_source(d, &d->signals, fd, on_signal, error);
	if (err)
		return err;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = add_source(d, &d->timer, fd, on_timer, error);
	if (err)
		return err;
	timerfd_settime(fd, 0, &second, NULL);
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return add_source(d, &d->wake, fd, on_wake, error);
}

/* A state file that cannot be had is no reason not to run, except when another
 * glend has it. */
static int init_state(struct daemon *d, struct glen_error *error)
{
	const struct options *o = d->options;
	struct glen_error warning;
	int err;

	if (!o->use_state)
		return 0;
	if (o->state)
		d->state_path = strdup(o->state);
	else if (asprintf(&d->state_path, "%s.state", o->socket) < 0)
		d->state_path = NULL;
	if (!d->state_path)
		return error_set(error, -ENOMEM, "out of memory");
	err = state_create(&d->state, d->state_path, &warning, error);
	if (err == -EBUSY || (err && o->state))
		return err;
	if (warning.code)
		log_warning("%s", warning.text);
	if (err) {
		log_warning("%s; running without a state file", error->text);
		return 0;
	}
	if (state_n_pending(d->state)) {
		log_info("remembering %u ports of the last run for %d s",
			 state_n_pending(d->state), DAEMON_PENDING_S);
		d->pending_until_s = server_now_s() + DAEMON_PENDING_S;
	}
	return 0;
}

static int init_engine(struct daemon *d, struct glen_error *error)
{
	const struct options *o = d->options;
	struct engine_config config = {
		.n_workers = o->workers,
		.cpus = o->n_cpus ? o->cpus : NULL,
		.poll = o->poll,
		.loop = &d->loop,
		.wake = daemon_wake,
		.wake_arg = d,
		.log = daemon_port_log,
		.log_arg = d,
	};
	int err = engine_create(&d->engine, &config, error);

	if (err)
		return err;
	d->control.engine = d->engine;
	d->control.hooks = &hooks;
	d->control.arg = d;
	d->control.reserved = json_object();
	d->control.missing = json_object();
	d->kept = json_object();
	d->netmap = nm_create(&d->control, &d->loop, d->server.bin);
	if (!d->control.reserved || !d->control.missing || !d->netmap)
		return error_set(error, -ENOMEM, "out of memory");
	return engine_start(d->engine, error);
}

static void guard_log(const char *text)
{
	log_warning("%s", text);
}

/* Before anything is opened that the guards should not have. */
static int init_guard(struct daemon *d, struct glen_error *error)
{
	const struct guard_config config = { &d->loop, d->server.lock_fd,
					     priv_guard, guard_log };

	return priv_may_change_interfaces() ? guard_start(&config, error) : 0;
}

static void module_refused_log(void *arg, const struct glen_error *why)
{
	log_error("%s", why->text);
}

/*
 * All modules outside the tree, before the system call filter forbids memory
 * that is executable, but with no more capabilities than are kept. One that is
 * broken costs itself; a directory that was asked for must be good.
 */
static int init_modules(const struct options *o, struct glen_error *error)
{
	const char *dir = o->module_dir ? o->module_dir : GLEN_MODULE_DIR;
	int n = module_load_dir(dir, module_refused_log, NULL, error);

	if (n < 0 && o->module_dir)
		return n;
	if (n < 0 && n != -ENOENT)
		log_error("no modules are loaded: %s", error->text);
	if (n > 0)
		log_info("%d module%s loaded from %s", n, n == 1 ? "" : "s",
			 dir);
	return 0;
}

int daemon_init(struct daemon *d, const struct options *options,
		struct glen_error *error)
{
	struct server_config config = { options->socket, options->group,
					options->mode };
	unsigned long files = priv_limits();
	int err;

	memset(d, 0, sizeof(*d));
	d->options = options;
	d->loop.fd = d->signals.fd = d->timer.fd = d->wake.fd = -1;
	d->server.fd = d->server.lock_fd = d->server.reserve_fd = -1;
	d->server.again.source.fd = -1;
	d->started_s = server_now_s();
	log_debug("%lu files may be open", files);
	err = init_events(d, error);
	if (!err)
		err = server_init(&d->server, &d->loop, &config, &session_ops,
				  d, error);
	if (!err)
		err = init_guard(d, error);
	if (!err)
		err = init_state(d, error);
	if (!err)
		err = priv_drop(options->netns, error);
	if (!err)
		err = init_modules(options, error);
	if (!err && options->seccomp)
		err = priv_filter(error);
	if (!err)
		err = init_engine(d, error);
	if (!err)
		err = first_config(d, error);
	if (err)
		return err;
	log_info("listening on %s, %u worker%s", options->socket,
		 engine_n_workers(d->engine),
		 engine_n_workers(d->engine) == 1 ? "" : "s");
	notify_send("READY=1");
	return 0;
}

int daemon_run(struct daemon *d)
{
	int err = 0;

	while (!d->quit && !err) {
		int timeout_ms = -1;

		if (d->waits)
			timeout_ms = DAEMON_WAIT_POLL_MS;
		if (server_busy(&d->server))
			timeout_ms = 0;
		err = loop_turn(&d->loop, timeout_ms);
		server_turn(&d->server);
		if (d->waits)
			session_waits(d);
	}
	if (err)
		log_error("epoll: %s", strerror(-err));
	return err;
}

/* End */

/* All ports whose client is not a process, or all. */
static void close_ports(struct daemon *d, bool all)
{
	for (struct vswitch *sw = engine_switches(d->engine); sw;
	     sw = sw->next) {
		/* Not to be released with its last port, under our feet. */
		sw->configured = true;
		for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++) {
			struct port *port = sw->ports[i];

			if (port && (all || !port->ops->attach_info))
				control_port_close(&d->control, port,
						   "glend ends");
		}
	}
}

/*
 * Leaves clients' ports as a SIGKILL would, but at rest: once the workers have
 * stopped, the records say exactly how far each ring was served. The engine is
 * not destroyed, since closing a port ends the client's claim.
 */
static void end_for_resume(struct daemon *d)
{
	daemon_save(d, true);
	d->stopping = true;
	close_ports(d, false);
	engine_stop(d->engine);
}

static void end_for_good(struct daemon *d)
{
	close_ports(d, true);
	d->stopping = true;
	engine_destroy(d->engine);
	d->engine = NULL;
}

static void close_source(struct loop_source *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}

void daemon_fini(struct daemon *d)
{
	bool keep = d->state && d->quit_signal != SIGINT;
	/* A start that failed leaves the state of the last run alone. */
	bool discard = d->quit && !keep;

	if (d->quit)
		notify_send("STOPPING=1");
	nm_destroy(d->netmap);
	d->netmap = NULL;
	if (d->engine && d->quit && keep)
		end_for_resume(d);
	else if (d->engine)
		end_for_good(d);
	d->stopping = true;
	guard_stop();
	server_fini(&d->server);
	state_destroy(d->state, discard);
	json_decref(d->control.reserved);
	json_decref(d->control.missing);
	json_decref(d->kept);
	close_source(&d->signals);
	close_source(&d->timer);
	close_source(&d->wake);
	loop_fini(&d->loop);
	free(d->state_path);
}
