// SPDX-License-Identifier: BSD-2-Clause
// session.c - requests of clients: attaching ports, waiting, glend itself.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/capture.h"
#include "core/discard.h"
#include "core/module.h"
#include "core/settings.h"
#include "ctl/config.h"
#include "ctl/daemon.h"
#include "ctl/methods.h"
#include "ctl/missing.h"
#include "ctl/netmap/netmap.h"
#include "ctl/priv.h"
#include "lib/error.h"
#include "port/guard.h"

/* A request on its way to its answer. */
struct call {
	struct daemon *d;
	struct conn *conn;
	const char *method;
	json_t *id;
	json_t *params;
	json_t *result;	       /* owned; taken by the answer */
	int fds[PORT_FDS_MAX]; /* borrowed, go with the answer */
	unsigned n_fds;
	bool close_fds; /* once they were sent */
	bool later;	/* the answer comes later */
	struct config_where where;
};

struct session_method {
	const char *name;
	const char *const *keys; /* NULL: it checks them itself */
	int (*run)(struct call *call, struct glen_error *error);
};

static int done(struct call *call, json_t *result, struct glen_error *error)
{
	call->result = result;
	return result ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/* glend itself */

static int version(struct call *call, struct glen_error *error)
{
	return done(call,
		    json_pack("{ss si}", "glend", GLEN_VERSION, "protocol",
			      DAEMON_PROTOCOL),
		    error);
}

/* Ports that broke, the latest first. */
static json_t *show_broken(const struct daemon *d)
{
	json_t *list = json_array();
	unsigned n = d->n_broken;

	for (unsigned i = 0; i < DAEMON_BROKEN_MAX && i < d->n_broken; i++) {
		const struct broken *b = &d->broken[--n % DAEMON_BROKEN_MAX];

		json_array_append_new(list,
				      json_pack("{ss ss sI}", "port", b->port,
						"reason", b->reason, "at_s",
						(json_int_t)b->at_s));
	}
	return list;
}

/* Names of ports whose clients may still resume. */
static json_t *show_pending(const struct daemon *d)
{
	json_t *list = json_array();
	const char *name, *driver;

	if (!d->state)
		return list;
	for (unsigned i = 0; (name = state_next(d->state, &i, &driver)); i++)
		if (!strcmp(driver, "shm"))
			json_array_append_new(list, json_string(name));
	return list;
}

/* Configured ports that could not be opened. */
static json_t *show_missing(const struct daemon *d)
{
	json_t *list = json_array(), *entry;
	const char *full;

	json_object_foreach(d->control.missing, full, entry) {
		json_array_append_new(
			list,
			json_pack("{ss sO sO*}", "port", full, "driver",
				  json_object_get(entry, "driver"), "problem",
				  json_object_get(entry, "problem")));
	}
	return list;
}

/* Switches of the state file that could not be made. */
static json_t *show_kept(const struct daemon *d)
{
	json_t *list = json_array(), *entry;
	const char *name;

	json_object_foreach(d->kept, name, entry) {
		json_array_append_new(
			list, json_pack("{ss sO}", "switch", name, "problem",
					json_object_get(entry, "problem")));
	}
	return list;
}

static json_t *show_guards(void)
{
	pid_t pids[GUARD_PIDS];
	unsigned n = guard_pids(pids);
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_integer(pids[i]));
	return list;
}

static int status(struct call *call, struct glen_error *error)
{
	struct daemon *d = call->d;
	json_int_t switches = 0, ports = 0;
	struct vswitch *sw;
	json_t *object;

	for (sw = engine_switches(d->engine); sw; sw = sw->next) {
		switches++;
		ports += sw->n_ports +
			 control_n_reserved(&d->control, sw->name);
	}
	object = json_pack("{ss si sI ss so sI sI ss so so ss? ss? so so so so "
			   "sI}",
			   "version", GLEN_VERSION, "pid", (int)getpid(),
			   "uptime_s",
			   (json_int_t)(server_now_s() - d->started_s),
			   "socket", d->server.path, "workers",
			   engine_show_workers(d->engine), "switches", switches,
			   "ports", ports, "isa", isa_name(isa_now()),
			   "capabilities", priv_show(), "guards", show_guards(),
			   "state_file", d->state ? d->state_path : NULL,
			   "config_file", d->options->config, "broken_ports",
			   show_broken(d), "missing_ports", show_missing(d),
			   "missing_switches", show_kept(d), "resumable",
			   show_pending(d), "connections",
			   (json_int_t)d->server.n_conns);
	return done(call, object, error);
}

static int apply(struct call *call, struct glen_error *error)
{
	json_t *config = json_object_get(call->params, "config");
	json_t *changes;
	bool dry_run;
	int err = params_bool(call->params, "dry_run", false, &dry_run, error);

	if (err)
		return err;
	if (!config)
		return error_set(error, -EINVAL,
				 "parameter 'config' is missing");
	changes = json_array();
	call->d->hold = true;
	err = config_apply(&call->d->control, config, dry_run, changes,
			   &call->where, error);
	call->d->hold = false;
	if (!dry_run && (err || json_array_size(changes)))
		daemon_save(call->d, false);
	if (err)
		json_decref(changes);
	return err ? err :
		     done(call, json_pack("{so}", "changes", changes), error);
}

/* Attaching */

/* Who has a port, for the one who wants it as well. */
static int refuse_in_use(const char *full, const struct port *port,
			 struct glen_error *error)
{
	const struct conn *owner = port->owner;

	if (!owner)
		return error_set(error, -EBUSY,
				 "port %s exists already, with driver %s", full,
				 port->ops->name);
	return error_set(error, -EBUSY,
			 "port %s is in use by process %d (uid %u); a port has "
			 "one user, choose another name",
			 full, (int)owner->pid, (unsigned)owner->uid);
}

static int check_free(struct call *call, const char *full,
		      struct glen_error *error)
{
	struct glen_error ignored;
	struct control_name name;
	struct port *port;
	int err = control_split(full, &name, error);

	if (err)
		return err;
	if (call->conn->port || call->conn->capture)
		return error_set(error, -EBUSY,
				 "this connection is a port or a capture "
				 "already; open another one");
	port = control_port(&call->d->control, full, &ignored);
	return port ? refuse_in_use(full, port, error) : 0;
}

/* Connection and port become one. */
static int attach(struct call *call, const char *full, struct port *port,
		  struct glen_error *error)
{
	json_t *object = json_pack("{ss}", "port", full);

	if (!object) {
		control_port_close(&call->d->control, port, NULL);
		return error_set(error, -ENOMEM, "out of memory");
	}
	port->ops->attach_info(port, object, call->fds, &call->n_fds);
	port->owner = call->conn;
	call->conn->port = port;
	call->result = object;
	return 0;
}

/* What a reservation fixes goes before what the client asks for. */
static json_t *merge_params(struct call *call, const char *full,
			    json_t *reserved)
{
	static const char *const without[] = { "port", NULL };
	json_t *params = method_rest(call->params, without);

	if (params && reserved && json_object_update(params, reserved)) {
		json_decref(params);
		return NULL;
	}
	return params;
}

/* What a port may do is not its client's to say. */
static int refuse_settings(json_t *params, struct glen_error *error)
{
	const char *key;
	json_t *value;

	json_object_foreach(params, key, value) {
		if (settings_named(key))
			return error_set(error, -EPERM,
					 "%s: settings of a module are for "
					 "port.add and port.set",
					 key);
	}
	return 0;
}

static int port_open(struct call *call, struct glen_error *error)
{
	struct port_args args = { 0 };
	json_t *reserved;
	struct port *port;
	const char *full;
	int err = method_need(call->params, "port", &full, error);

	if (!err && json_object_get(call->params, "token"))
		err = error_set(error, -EINVAL,
				"a token is for port.resume only");
	if (!err)
		err = check_free(call, full, error);
	if (err)
		return err;
	err = refuse_settings(call->params, error);
	if (err)
		return err;
	reserved = control_reserved(&call->d->control, full);
	args.params = merge_params(call, full, reserved);
	if (!args.params)
		return error_set(error, -ENOMEM, "out of memory");
	err = control_port_open(&call->d->control, full, "shm", &args, reserved,
				&port, error);
	json_decref(args.params);
	return err ? err : attach(call, full, port, error);
}

/* The client's descriptors become the driver's; what it does not take goes
 * back to the connection, which closes them. */
static int resume(struct call *call, const char *full, json_t *params,
		  struct port **port, struct glen_error *error)
{
	struct daemon *d = call->d;
	struct conn *c = call->conn;
	struct port_args args = { .params = params, .n_fds = c->n_fds };
	int err;

	memcpy(args.fds, c->fds, c->n_fds * sizeof(int));
	c->n_fds = 0;
	d->resuming = true;
	err = control_port_open(&d->control, full, "shm", &args,
				control_reserved(&d->control, full), port,
				error);
	d->resuming = false;
	for (unsigned i = 0; i < args.n_fds; i++)
		discard_fd(d->server.bin, args.fds[i]);
	return err;
}

static int port_resume(struct call *call, struct glen_error *error)
{
	struct daemon *d = call->d;
	const char *full, *token;
	struct port *port;
	json_t *params, *reserved;
	int err = method_need(call->params, "port", &full, error);

	if (!err)
		err = method_need(call->params, "token", &token, error);
	if (!err)
		err = check_free(call, full, error);
	if (err)
		return err;
	if (!d->state || !state_pending(d->state, full, "shm"))
		return error_set(error, -ENOENT,
				 "port %s is not known from before glend was "
				 "started; open it anew (port.open)",
				 full);
	reserved = control_reserved(&d->control, full);
	params = state_params(d->state, full);
	if (!params)
		params = json_object();
	json_object_set_new(params, "token", json_string(token));
	if (reserved && settings_copy(params, reserved)) {
		json_decref(params);
		return error_set(error, -ENOMEM, "out of memory");
	}
	err = resume(call, full, params, &port, error);
	json_decref(params);
	if (err)
		return err;
	json_object_del(port->params, "token");
	err = attach(call, full, port, error);
	call->n_fds = 0; /* the client has them */
	return err;
}

void session_port_closing(struct port *port, const char *reason)
{
	struct conn *c = port->owner;
	char full[GLEN_NAME_MAX + 1];

	if (!c)
		return;
	port->owner = NULL;
	c->port = NULL;
	if (reason)
		conn_notify(c, "port.closed",
			    json_pack("{ss ss}", "port",
				      control_full_name(port, full), "reason",
				      reason));
	conn_hang_up(c);
}

/* A name that is only kept for a client to come back is freed. */
static int port_del(struct call *call, struct glen_error *error)
{
	struct daemon *d = call->d;
	struct glen_error ignored;
	json_t *params = NULL;
	const char *full;
	void *saved;
	bool resume_it, kept;
	int err = method_need(call->params, "port", &full, error);

	if (err)
		return err;
	kept = d->state && state_pending(d->state, full, "shm");
	if (kept) {
		/* Taken and given back: free. */
		params = state_params(d->state, full);
		if (!state_open(d->state, full, "shm", params, &saved,
				&resume_it, &ignored))
			state_close(d->state, saved);
		json_decref(params);
	}
	err = control_port_del(&d->control, full, error);
	if (err == -ENOENT && kept)
		err = 0;
	return err ? err : done(call, json_object(), error);
}

/* Waiting */

static void wait_free(struct daemon *d, struct wait **at)
{
	struct wait *w = *at;

	*at = w->next;
	w->conn->wait = NULL;
	json_decref(w->id);
	free(w);
	d->n_waits--;
}

static bool port_is_up(struct port *port)
{
	return (!port->ops->link || port->ops->link(port)) &&
	       (!port->ops->attach_info || port->owner);
}

static int port_wait(struct call *call, struct glen_error *error)
{
	struct daemon *d = call->d;
	struct control_name name;
	struct glen_error ignored;
	const char *full;
	struct port *port;
	struct wait *w;
	long timeout_ms;
	int err = method_need(call->params, "port", &full, error);

	err = err   ?:
		      params_int(call->params, "timeout_ms", -1, -1, INT32_MAX,
				 &timeout_ms, error);
	err = err ?: control_split(full, &name, error);
	if (err)
		return err;
	port = control_port(&d->control, full, &ignored);
	if (port && port_is_up(port))
		return done(call, control_show_port(&d->control, port), error);
	if (d->n_waits == DAEMON_WAITS_MAX)
		return error_set(error, -ENOSPC,
				 "%d connections wait for ports already",
				 DAEMON_WAITS_MAX);
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(error, -ENOMEM, "out of memory");
	w->conn = call->conn;
	w->id = json_incref(call->id);
	strcpy(w->port, full);
	w->deadline_ms = timeout_ms < 0 ? -1 : daemon_now_ms() + timeout_ms;
	w->next = d->waits;
	d->waits = w;
	d->n_waits++;
	call->conn->wait = w;
	call->conn->busy = true;
	call->later = true;
	return 0;
}

void session_waits(struct daemon *d)
{
	int64_t now_ms = daemon_now_ms();
	struct wait **at = &d->waits;

	while (*at) {
		struct wait *w = *at;
		struct conn *c = w->conn;
		struct glen_error error;
		struct port *port = control_port(&d->control, w->port, &error);

		if (port && port_is_up(port)) {
			conn_answer(c, w->id,
				    control_show_port(&d->control, port), NULL,
				    0);
		} else if (w->deadline_ms >= 0 && now_ms >= w->deadline_ms) {
			error_set(&error, -ETIMEDOUT,
				  port ? "the link of port %s did not come up "
					 "in time" :
					 "port %s did not appear in time",
				  w->port);
			conn_refuse(c, w->id, error.code, error.text, NULL);
		} else {
			at = &w->next;
			continue;
		}
		wait_free(d, at);
		conn_resume(c);
	}
}

/* Capturing */

static int capture_start(struct call *call, struct glen_error *error)
{
	struct daemon *d = call->d;
	struct capture_config config = {
		.n_workers = engine_n_workers(d->engine),
	};
	const char *full = NULL, *sw_name = NULL;
	struct capture_session *session;
	struct control_name name;
	long snaplen = 0, ring_bytes = 0;
	struct vswitch *sw;
	int fds[2];
	int err = params_str(call->params, "port", &full, error);

	err = err ?: params_str(call->params, "switch", &sw_name, error);
	err = err   ?:
		      params_int(call->params, "snaplen",
				 CAPTURE_SNAPLEN_DEFAULT, 1, INT32_MAX,
				 &snaplen, error);
	err = err   ?:
		      params_int(call->params, "ring_bytes",
				 CAPTURE_RING_DEFAULT, CAPTURE_RING_MIN,
				 CAPTURE_BYTES_MAX, &ring_bytes, error);
	if (!err && !full == !sw_name)
		err = error_set(error, -EINVAL, "give either port or switch");
	if (!err && (call->conn->port || call->conn->capture))
		err = error_set(error, -EBUSY,
				"this connection is a port or a capture "
				"already; open another one");
	if (!err && full)
		err = control_split(full, &name, error);
	if (err)
		return err;
	sw = control_switch(&d->control, full ? name.sw : sw_name, error);
	if (!sw)
		return -ENOENT;
	config.port = full ? name.port : NULL;
	config.snaplen = snaplen;
	config.ring_bytes = ring_bytes;
	err = capture_create(sw, &config, &session, error);
	if (err)
		return err;
	call->conn->capture = session;
	capture_fds(session, fds);
	memcpy(call->fds, fds, sizeof(fds));
	call->n_fds = 2;
	call->result = capture_show(session);
	json_object_set_new(call->result, "session",
			    json_integer(++d->next_session));
	return done(call, call->result, error);
}

/* Claims */

/*
 * A method of the switch's module that is about the port of the connection
 * which calls it, and about no other: who else could say it is that port?
 */
static int port_command(struct call *call, struct glen_error *error)
{
	static const char *const without[] = { "port", NULL };
	struct port *port = call->conn->port;
	json_t *params;
	int err;

	if (!port)
		return error_set(error, -EPERM,
				 "%s is for the connection of a port, whose "
				 "claims end with it (glen_claim() of libglen)",
				 call->method);
	params = method_rest(call->params, without);
	if (!params ||
	    json_object_set_new(params, "port", json_string(port->name))) {
		json_decref(params);
		return error_set(error, -ENOMEM, "out of memory");
	}
	err = module_command(port->sw->module, call->method, params,
			     &call->result, error);
	json_decref(params);
	if (err == -ENOSYS)
		err = error_set(error, -EOPNOTSUPP,
				"module %s of switch %s knows no claims; "
				"module tuple3 does (glenctl module set)",
				port->sw->module->ops->name, port->sw->name);
	return err;
}

/* Netmap */

static int netmap(struct call *call, struct glen_error *error)
{
	struct conn *c = call->conn;
	struct nm_call nm = {
		.method = call->method,
		.params = call->params,
		.uid = c->uid,
		.pid = c->pid,
		.fds = c->fds,
		.n_fds = c->n_fds,
	};
	int err = nm_request(call->d->netmap, &nm, error);

	c->n_fds = nm.n_fds;
	if (err)
		return err;
	call->result = nm.result;
	memcpy(call->fds, nm.out, nm.n_out * sizeof(int));
	call->n_fds = nm.n_out;
	call->close_fds = nm.close_out;
	return 0;
}

/* Dispatch */

static const char *const no_keys[] = { NULL };
static const char *const apply_keys[] = { "config", "dry_run", NULL };
static const char *const resume_keys[] = { "port", "token", NULL };
static const char *const port_keys[] = { "port", NULL };
static const char *const wait_keys[] = { "port", "timeout_ms", NULL };
static const char *const capture_keys[] = { "port", "switch", "snaplen",
					    "ring_bytes", NULL };

static const struct session_method methods[] = {
	{ "version", no_keys, version },
	{ "status", no_keys, status },
	{ "config.apply", apply_keys, apply },
	{ "port.open", NULL, port_open },
	{ "port.resume", resume_keys, port_resume },
	{ "port.del", port_keys, port_del },
	{ "port.wait", wait_keys, port_wait },
	{ "capture.start", capture_keys, capture_start },
	{ "tuple3.claim", NULL, port_command },
	{ "tuple3.release", NULL, port_command },
};

/* Methods that a port may call about itself. */
static const char *const own_methods[] = { "stats", "port.show", "tuple3.claim",
					   "tuple3.release", NULL };

/*
 * A connection that is a port belongs to a client that may do little: ask for
 * its own port.
 */
static int check_owner(const struct call *call, const char *method,
		       struct glen_error *error)
{
	const char *name = json_string_value(
		json_object_get(call->params, "port"));
	char own[GLEN_NAME_MAX + 1];

	if (!call->conn->port || !strcmp(method, "version"))
		return 0;
	control_full_name(call->conn->port, own);
	for (unsigned i = 0; own_methods[i] && name && !strcmp(name, own); i++)
		if (!strcmp(method, own_methods[i]))
			return 0;
	return error_set(error, -EBUSY,
			 "this connection is port %s and only answers version, "
			 "and stats, port.show, tuple3.claim and "
			 "tuple3.release of that port; open another one",
			 own);
}

static int run(struct call *call, const char *method, struct glen_error *error)
{
	int err = check_owner(call, method, error);

	if (err)
		return err;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		const struct session_method *m = &methods[i];

		if (strcmp(m->name, method))
			continue;
		if (m->keys)
			err = params_check(call->params, m->keys, error);
		return err ? err : m->run(call, error);
	}
	if (!strncmp(method, "netmap.", 7))
		return netmap(call, error);
	return method_call(&call->d->control, method, call->params,
			   &call->result, error);
}

static void on_request(void *arg, struct conn *conn, struct jsonrpc_request *r)
{
	struct call call = {
		.d = arg,
		.conn = conn,
		.method = r->method,
		.id = r->id,
		.params = r->params,
	};
	struct glen_error error = { 0 };
	int err = run(&call, r->method, &error);

	log_debug("process %d: %s: %s", (int)conn->pid, r->method,
		  err ? error.text : "ok");
	if (err == -ENOSYS && !error.code) {
		error_set(&error, JSONRPC_NO_METHOD,
			  "there is no method '%.63s'", r->method);
		err = JSONRPC_NO_METHOD;
	}
	if (err)
		conn_refuse(conn, r->id, err, error.text, call.where.path);
	else if (!call.later)
		conn_answer(conn, r->id, call.result, call.fds, call.n_fds);
	for (unsigned i = 0; call.close_fds && i < call.n_fds; i++)
		close(call.fds[i]);
}

static void on_gone(void *arg, struct conn *conn)
{
	struct daemon *d = arg;
	struct port *port = conn->port;

	if (conn->wait) {
		struct wait **at = &d->waits;

		while (*at != conn->wait)
			at = &(*at)->next;
		wait_free(d, at);
	}
	if (port) {
		port->owner = NULL;
		conn->port = NULL;
		/* On the way out it is left for the next glend. */
		if (!d->stopping)
			control_port_close(&d->control, port, NULL);
	}
	capture_destroy(conn->capture);
	conn->capture = NULL;
}

const struct server_ops session_ops = {
	.request = on_request,
	.gone = on_gone,
};
