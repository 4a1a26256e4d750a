// SPDX-License-Identifier: BSD-2-Clause
// port.c - open, change and close ports on the control thread.
#include "core/port.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/balance.h"
#include "core/capture.h"
#include "core/engine.h"
#include "core/offload.h"
#include "core/rcu.h"
#include "core/settings.h"
#include "core/socket.h"
#include "lib/error.h"

enum { PORT_LOG_SIZE = 384 };

void port_break(struct port *port, const char *reason)
{
	const char *none = NULL;
	struct engine *e = port->sw->engine;

	if (atomic_compare_exchange_strong(&port->broken, &none, reason) &&
	    e->config.wake)
		e->config.wake(e->config.wake_arg);
}

/* The device and inode of the socket that a port has at its path option. */
static bool socket_of(const struct port *port, struct stat *st)
{
	json_t *path = json_object_get(port->params, "path");
	const char *mode = json_string_value(
		json_object_get(port->params, "mode"));

	return json_is_string(path) && (!mode || strcmp(mode, "client")) &&
	       !stat(json_string_value(path), st);
}

struct port *port_at_socket(struct engine *engine, const struct socket_addr *a)
{
	struct vswitch *sw = engine_switches(engine);
	struct stat wanted, st;

	if (a->any.sa_family != AF_UNIX || stat(a->un.sun_path, &wanted))
		return NULL;
	for (; sw; sw = sw->next) {
		unsigned left = sw->n_ports;

		for (unsigned i = 0; left && i < SWITCH_PORTS_MAX; i++) {
			struct port *port = sw->ports[i];

			if (!port)
				continue;
			left--;
			if (socket_of(port, &st) &&
			    st.st_ino == wanted.st_ino &&
			    st.st_dev == wanted.st_dev)
				return port;
		}
	}
	return NULL;
}

struct port *port_find(struct vswitch *sw, const char *name)
{
	for (unsigned i = 0; i < SWITCH_PORTS_MAX; i++)
		if (sw->ports[i] && !strcmp(sw->ports[i]->name, name))
			return sw->ports[i];
	return NULL;
}

static int mac_parse(const char *text, uint8_t mac[6], struct glen_error *error)
{
	unsigned m[6];
	char end;

	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &m[0], &m[1], &m[2],
		   &m[3], &m[4], &m[5], &end) != 6)
		return error_set(error, -EINVAL,
				 "mac \"%.32s\" is not of the form "
				 "02:00:00:00:00:01",
				 text);
	if (m[0] & 1)
		return error_set(error, -EINVAL,
				 "mac %s is a group address; a port needs one "
				 "whose first byte is even",
				 text);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = m[i];
	return 0;
}

static void mtu_apply(struct port *port)
{
	unsigned mtu = port->mtu;

	if (port->peer_mtu && (!mtu || port->peer_mtu < mtu))
		mtu = port->peer_mtu;
	atomic_store(&port->max_len,
		     mtu ? mtu + PACKET_LEN_MIN : PACKET_LEN_MAX);
}

void port_peer_mtu(struct port *port, unsigned mtu)
{
	port->peer_mtu = mtu;
	mtu_apply(port);
}

/*
 * Takes the members that all drivers share out of params. What is not there
 * stays as it is.
 */
static int common_params(struct port *port, json_t *params, bool resume,
			 struct glen_error *error)
{
	const struct engine *e = port->sw->engine;
	json_t *workers = json_object_get(params, "workers");
	struct port_pins pins = port->pins;
	const char *mac = NULL;
	long mtu = port->mtu;
	bool isolated = port->isolated;
	int err;

	err = params_int(params, "mtu", mtu, 0, PACKET_LEN_MAX - 14, &mtu,
			 error);
	if (!err && mtu && mtu < 68)
		err = error_set(error, -EINVAL,
				"mtu %ld is below 68, the least IPv4 allows "
				"(0 means no limit)",
				mtu);
	if (!err)
		err = params_bool(params, "isolated", isolated, &isolated,
				  error);
	if (!err && workers)
		err = pins_parse(&pins, workers, resume ? 0 : e->n_workers,
				 error);
	if (!err)
		err = params_str(params, "mac", &mac, error);
	if (!err && mac)
		err = mac_parse(mac, port->mac, error);
	if (err)
		return err;
	port->mtu = mtu;
	port->isolated = isolated;
	port->pins = pins;
	mtu_apply(port);
	json_object_del(params, "workers");
	json_object_del(params, "mtu");
	json_object_del(params, "isolated");
	json_object_del(params, "mac");
	return 0;
}

static int counters_alloc(struct port *port, struct glen_error *error)
{
	unsigned per_out = port->sw->engine->n_workers + 1;
	size_t n = 2 * port->n_in + (size_t)port->n_out * per_out;
	struct counters *c;

	c = aligned_alloc(64, (n ? n : 1) * sizeof(*c));
	if (!c)
		return error_set(error, -ENOMEM, "out of memory");
	memset(c, 0, n * sizeof(*c));
	port->counters = c;
	for (unsigned i = 0; i < port->n_in; i++) {
		port->in[i].counters = c;
		c += 2;
	}
	for (unsigned i = 0; i < port->n_out; i++) {
		port->out[i].counters = c;
		c += per_out;
	}
	return 0;
}

void port_log(struct port *port, const char *format, ...)
{
	const struct engine_config *config = &port->sw->engine->config;
	char text[PORT_LOG_SIZE];
	va_list args;

	if (!config->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	config->log(config->log_arg, port, text);
}

struct loop *port_loop(struct port *port)
{
	return port->sw->engine->config.loop;
}

/*
 * Before the ring is added to its worker; of a port whose rings are all run at
 * once, before any is: who is woken by one of them looks at the others, too.
 */
static void ring_assign(struct ingress *in)
{
	balance_assign(in->port->sw->engine, in);
	in->armed = false;
	in->idle_since_ns = 0;
	in->burst = 0;
	in->spin_ns = in->worker->spin_max_ns / 2;
}

/* Fills in what the driver's open() left to the core. */
static int rings_init(struct port *port, struct glen_error *error)
{
	const struct port_hot *hot = port->ops->hot[isa_now()];

	for (unsigned i = 0; i < port->n_in; i++) {
		struct ingress *in = &port->in[i];

		in->port = port;
		in->hot = hot;
		in->ring = i;
		if (!port->starts_rings)
			ring_assign(in);
	}
	port->n_out_used = port->n_out;
	for (unsigned i = 0; i < port->n_out; i++) {
		port->out[i].port = port;
		port->out[i].hot = hot;
		port->out[i].ring = i;
	}
	return counters_alloc(port, error);
}

static int index_take(struct vswitch *sw, struct port *port,
		      struct glen_error *error)
{
	unsigned i = 0;

	while (i < SWITCH_PORTS_MAX && sw->ports[i])
		i++;
	if (i == SWITCH_PORTS_MAX)
		return error_set(error, -ENOSPC,
				 "switch %s is full: it has %d ports", sw->name,
				 SWITCH_PORTS_MAX);
	port->index = i;
	return 0;
}

/* Takes all rings from the workers; returns when none is in use. */
static void rings_stop(struct port *port)
{
	struct engine *e = port->sw->engine;

	for (unsigned i = 0; i < e->n_workers; i++)
		worker_del(e->workers[i], port, NULL);
}

int port_in_start(struct ingress *in, int in_fd, struct glen_error *error)
{
	int err;

	ring_assign(in);
	in->in_fd = in_fd;
	err = worker_add(in->worker, in, error);
	if (err) {
		in->worker = NULL;
		in->in_fd = -1;
	}
	return err;
}

void port_in_stop(struct ingress *in)
{
	if (!in->worker)
		return;
	worker_del(in->worker, in->port, in);
	in->worker = NULL;
	in->in_fd = -1;
}

void port_out_use(struct port *port, unsigned n)
{
	if (n == port->n_out_used)
		return;
	port->n_out_used = n;
	/* Not yet, or no more, in the switch: nobody sends to it. */
	if (port->sw->ports[port->index] == port)
		snapshot_update_or_wait(port->sw);
}

/* What a port counted stays in the sums of its switch. */
static void keep_counters(struct port *port)
{
	struct counters in, out;

	port_counters(port, -1, &in, &out);
	counters_add(&port->sw->gone, &in);
	counters_add(&port->sw->gone_out, &out);
}

/* Makes the opened port part of its switch. */
static int port_plug(struct port *port, struct glen_error *error)
{
	struct vswitch *sw = port->sw;
	int err;

	sw->ports[port->index] = port;
	sw->n_ports++;
	/* The module first: no packet reaches a port without its settings. */
	module_port_add(sw->module, port);
	err = settings_apply(sw->module, port, port->params, error);
	if (!err)
		err = snapshot_update(sw, error);
	if (err)
		goto err_module;
	capture_port_add(port);
	for (unsigned i = 0; i < port->n_in && !port->starts_rings; i++) {
		err = worker_add(port->in[i].worker, &port->in[i], error);
		if (err)
			goto err_rings;
	}
	return 0;
err_rings:
	rings_stop(port);
	sw->ports[port->index] = NULL;
	snapshot_update_or_wait(sw);
	capture_port_del(port);
	keep_counters(port);
err_module:
	module_port_del(sw->module, port);
	sw->ports[port->index] = NULL;
	sw->n_ports--;
	return err;
}

int port_create(struct vswitch *sw, const char *name, const char *driver,
		struct port_args *args, struct port **out,
		struct glen_error *error)
{
	const struct port_ops *ops = port_driver_find(driver);
	struct port *port;
	int err;

	if (!name_check("port", name, error))
		return -EINVAL;
	if (port_find(sw, name))
		return error_set(error, -EEXIST, "port %s:%s exists already",
				 sw->name, name);
	if (!ops)
		return error_set(error, -EINVAL,
				 "there is no port driver \"%.64s\"; see "
				 "\"glenctl driver list\"",
				 driver);
	port = aligned_alloc(64, (sizeof(*port) + 63) & ~63UL);
	if (!port)
		return error_set(error, -ENOMEM, "out of memory");
	memset(port, 0, sizeof(*port));
	strcpy(port->name, name);
	port->sw = sw;
	port->ops = ops;
	for (unsigned i = 0; i < PORT_RINGS_MAX; i++)
		port->in[i].in_fd = -1;
	port->params = json_object();
	json_t *mine = args->params ? json_deep_copy(args->params) :
				      json_object();
	json_t *theirs = args->params;

	args->params = mine;
	mtu_apply(port);
	err = index_take(sw, port, error);
	if (!port->params || !mine || settings_merge(port->params, mine))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = settings_check(port->params, error);
	settings_strip(mine);
	if (!err)
		err = common_params(port, mine, args->resume, error);
	if (!err)
		err = ops->open(port, args, error);
	args->params = theirs;
	json_decref(mine);
	if (err)
		goto err_free;
	mtu_apply(port);
	err = rings_init(port, error);
	if (!err)
		err = port_plug(port, error);
	if (err)
		goto err_close;
	*out = port;
	return 0;
err_close:
	ops->close(port);
err_free:
	json_decref(port->params);
	free(port->counters);
	free(port);
	return err;
}

/* What the peer handed over before it went is still forwarded. */
static void drain(struct port *port)
{
	struct engine *e = port->sw->engine;
	struct worker *w = e->workers[e->n_workers];
	const struct core_hot *hot = core_hots[w->isa];
	unsigned budget = 2 * GLEN_SLOTS_MAX;

	w->now_ns = worker_clock();
	for (unsigned i = 0; i < port->n_in; i++) {
		port->in[i].worker_idx = w->index;
		for (unsigned done = 0; done < budget;) {
			unsigned n = hot->run_ring(w, &port->in[i]);

			if (!n)
				break;
			done += n;
		}
	}
}

int port_start(struct port *port, struct glen_error *error)
{
	port->started = true;
	return port->ops->start ? port->ops->start(port, error) : 0;
}

void port_rest(struct port *port)
{
	rings_stop(port);
	if (port->started && port->ops->stop) {
		/* What others get from then on overtakes little. */
		drain(port);
		port->ops->stop(port);
	}
	port->started = false;
	drain(port);
}

void port_destroy(struct port *port)
{
	struct vswitch *sw = port->sw;

	port_rest(port);
	if (port->pair)
		port->pair->pair = NULL;
	sw->ports[port->index] = NULL;
	sw->n_ports--;
	snapshot_update_or_wait(sw);
	module_port_del(sw->module, port);
	capture_port_del(port);
	port->ops->close(port);
	keep_counters(port);
	json_decref(port->params);
	free(port->counters);
	free(port);
}

/*
 * The port's options with params in, and its module's settings in force. What
 * comes after may fail: settings_apply() with the old ones undoes it.
 */
static int set_settings(struct port *port, json_t *params, json_t **merged,
			struct glen_error *error)
{
	struct vswitch *sw = port->sw;
	int err;

	*merged = json_copy(port->params);
	if (!*merged || settings_merge(*merged, params))
		return error_set(error, -ENOMEM, "out of memory");
	err = settings_check(*merged, error);
	if (!err &&
	    !json_equal(json_object_get(*merged, sw->module->ops->name),
			json_object_get(port->params, sw->module->ops->name)))
		err = settings_apply(sw->module, port, *merged, error);
	return err;
}

int port_set(struct port *port, json_t *params, struct glen_error *error)
{
	struct vswitch *sw = port->sw;
	unsigned mtu = port->mtu;
	bool isolated = port->isolated, applied;
	struct port_pins pins = port->pins;
	uint8_t mac[6];
	json_t *mine = params ? json_deep_copy(params) : json_object();
	json_t *merged = NULL;
	int err;

	memcpy(mac, port->mac, sizeof(mac));
	err = set_settings(port, params, &merged, error);
	applied = !err && json_object_get(mine, sw->module->ops->name);
	settings_strip(mine);
	if (!err)
		err = common_params(port, mine, false, error);
	if (!err && port->ops->set)
		err = port->ops->set(port, mine, error);
	else if (!err && json_object_size(mine))
		err = error_set(error, -EINVAL,
				"a %s port has no option \"%.64s\" that can be "
				"changed while it is open",
				port->ops->name,
				json_object_iter_key(json_object_iter(mine)));
	if (!err &&
	    (isolated != port->isolated ||
	     module_hdr_want(sw->module) != atomic_load(&sw->snap)->hdr_want))
		err = snapshot_update(sw, error);
	json_decref(mine);
	if (err) {
		port->mtu = mtu;
		port->isolated = isolated;
		port->pins = pins;
		memcpy(port->mac, mac, sizeof(mac));
		if (applied)
			settings_apply(sw->module, port, port->params, NULL);
		json_decref(merged);
	} else {
		json_decref(port->params);
		port->params = merged;
	}
	mtu_apply(port);
	if (!err) {
		balance_pinned(port);
		module_port_change(port->sw->module, port);
	}
	return err;
}

static json_t *offloads_show(unsigned caps)
{
	static const struct {
		unsigned cap;
		const char *name;
	} names[] = {
		{ OFFLOAD_CAP_CSUM, "csum" }, { OFFLOAD_CAP_TSO4, "tso4" },
		{ OFFLOAD_CAP_TSO6, "tso6" }, { OFFLOAD_CAP_USO, "uso" },
		{ OFFLOAD_CAP_UFO, "ufo" },   { OFFLOAD_CAP_ECN, "ecn" },
	};
	json_t *list = json_array();

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (caps & names[i].cap)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

json_t *port_show(struct port *port)
{
	char name[2 * PORT_NAME_SIZE + 1], mac[18];
	const char *broken = atomic_load(&port->broken);
	json_t *o;

	snprintf(name, sizeof(name), "%s:%s", port->sw->name, port->name);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
		 port->mac[0], port->mac[1], port->mac[2], port->mac[3],
		 port->mac[4], port->mac[5]);
	o = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:b, s:b, s:o, s:b}",
		      "port", name, "driver", port->ops->name, "index",
		      (int)port->index, "in_rings", (int)port->n_in,
		      "out_rings", (int)port->n_out, "mtu", (int)port->mtu,
		      "mac", mac, "isolated", port->isolated, "link",
		      !port->ops->link || port->ops->link(port), "offloads",
		      offloads_show(port->caps), "configured",
		      port->configured);
	if (broken)
		json_object_set_new(o, "broken", json_string(broken));
	if (json_object_get(port->params, port->sw->module->ops->name))
		json_object_set(o, port->sw->module->ops->name,
				json_object_get(port->params,
						port->sw->module->ops->name));
	if (port->ops->show)
		port->ops->show(port, o);
	return o;
}
