// SPDX-License-Identifier: BSD-2-Clause
// port.c - open, map and close the client's end of a port.
#include "lib/port.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/error.h"

enum {
	OPEN_MS = 10000, /* patience with glend's answer to port.open */
	SPIN_MAX_NS = 20000,
	SPIN_FEW_NS = 4000, /* where a spinner takes a peer's core */
	MANY_CPUS = 4,
	N_FDS = 4, /* window, buffers, kick, call */
};

/* Spinning pays only while the peers run on other cores. */
static uint32_t spin_limit(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return SPIN_FEW_NS;
	if (CPU_COUNT(&set) < 2)
		return 0;
	return CPU_COUNT(&set) < MANY_CPUS ? SPIN_FEW_NS : SPIN_MAX_NS;
}

static struct glen_port *port_alloc(const char *name, const struct layout *l)
{
	struct glen_port *port;

	port = aligned_alloc(64, sizeof(*port));
	if (!port)
		return NULL;
	memset(port, 0, sizeof(*port));
	snprintf(port->name, sizeof(port->name), "%s", name);
	port->layout = *l;
	port->n_rings = l->rings;
	port->kick_fd = port->call_fd = -1;
	port->window_fd = port->bufs_fd = -1;
	port->spin_max_ns = spin_limit();
	port->waiter.epfd = -1;
	for (unsigned i = 0; i < GLEN_RINGS_MAX; i++)
		port->tx[i].waiter.epfd = port->rx[i].waiter.epfd = -1;
	return port;
}

/* The file must be as big as the layout says and must stay so. */
static int check_memfd(int fd, uint64_t size, const char *what,
		       struct glen_error *error)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st))
		return error_set(error, -errno, "cannot examine the %s: %s",
				 what, strerror(errno));
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return error_set(error, -EPROTO,
				 "the %s from glend can shrink (not sealed)",
				 what);
	if ((uint64_t)st.st_size < size)
		return error_set(error, -EPROTO,
				 "the %s from glend has %llu bytes, not %llu; "
				 "is this libglen of another version?",
				 what, (unsigned long long)st.st_size,
				 (unsigned long long)size);
	return 0;
}

static void init_ring(struct glen_port *port, struct ring *r, unsigned i,
		      bool rx)
{
	const struct layout *l = &port->layout;
	unsigned line = (rx ? l->rings : 0) + i;
	struct nm_csb_atok *atok = (void *)(port->base + LAYOUT_ATOK_OFF);
	const struct nm_csb_ktoa *ktoa = (void *)(port->base + LAYOUT_KTOA_OFF);

	r->ring = (void *)(port->base +
			   (rx ? layout_rx_ring(l, i) : layout_tx_ring(l, i)));
	r->atok = atok + line;
	r->ktoa = ktoa + line;
	r->bufs = port->base + l->bufs_off;
	r->mask = l->slots - 1;
	r->buf_size = l->buf_size;
	r->n_bufs = l->n_bufs;
	r->slot_max = l->buf_size < UINT16_MAX ? l->buf_size : UINT16_MAX;
	r->offsets = l->offsets;
	r->head = r->ring->head;
	r->cur = r->ring->cur;
	r->epoch = port_epoch(port);
}

static void init_rings(struct glen_port *port)
{
	for (unsigned i = 0; i < port->n_rings; i++) {
		init_ring(port, &port->tx[i], i, false);
		init_ring(port, &port->rx[i], i, true);
	}
}

/* Chains the extra buffers: the first word of each names the next. */
static void link_extra(struct glen_port *port)
{
	const struct layout *l = &port->layout;
	char *buf = port->base + l->bufs_off +
		    (size_t)l->first_extra * l->buf_size;

	if (!l->first_extra)
		return;
	for (uint32_t i = l->first_extra; i < l->n_bufs; i++) {
		uint32_t next = i + 1 < l->n_bufs ? i + 1 : 0;

		memcpy(buf, &next, sizeof(next));
		buf += l->buf_size;
	}
}

int port_map_local(struct glen_port **port, const char *name,
		   const struct layout *l, char *base, int window_fd,
		   int bufs_fd, int kick_fd, int call_fd,
		   void (*on_close)(void *arg), void *arg)
{
	struct glen_port *p = port_alloc(name, l);
	int err;

	*port = NULL;
	if (!p)
		return -ENOMEM;
	p->local = true;
	p->kick_fd = kick_fd;
	p->call_fd = call_fd;
	p->on_close = on_close;
	p->arg = arg;
	p->mapped_by_us = !base;
	p->base = base;
	err = link_init(p);
	if (!err && !base)
		err = layout_map(l, window_fd, bufs_fd, &p->base, NULL);
	if (err) {
		link_fini(p);
		free(p);
		return err;
	}
	init_rings(p);
	link_extra(p);
	*port = p;
	return 0;
}

void port_local_stats(struct glen_port *port, port_stats_fn stats)
{
	port->stats = stats;
}

void port_local_command(struct glen_port *port, port_command_fn command)
{
	port->command = command;
}

void port_region_params(json_t *params, const struct glen_port_config *c)
{
	if (c->region)
		json_object_set_new(params, "region", json_string(c->region));
	if (c->region_token)
		json_object_set_new(params, "region_token",
				    json_string(c->region_token));
	if (c->region_bufs)
		json_object_set_new(params, "region_bufs",
				    json_integer(c->region_bufs));
	if (c->swap)
		json_object_set_new(params, "swap", json_true());
	if (c->offsets)
		json_object_set_new(params, "offsets", json_true());
	if (c->marks)
		json_object_set_new(params, "marks", json_true());
}

void port_region_result(struct glen_port *port, json_t *result)
{
	const char *token = json_string_value(
		json_object_get(result, "region_token"));

	snprintf(port->region_token, sizeof(port->region_token), "%s",
		 token ? token : "");
}

/* The parameters of port.open; what is 0 is left to glend's defaults. */
static json_t *open_params(const char *name, const struct glen_port_config *c)
{
	const struct {
		const char *key;
		unsigned value;
	} numbers[] = {
		{ "rings", c->rings },
		{ "slots", c->slots },
		{ "buf_size", c->buf_size },
		{ "extra_bufs", c->extra_bufs },
		{ "vnet_hdr_len", c->vnet_hdr_len },
		{ "mtu", c->mtu },
	};
	json_t *params = json_pack("{s:s}", "port", name);
	static const uint8_t none[6];
	char mac[18];

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].value)
			json_object_set_new(params, numbers[i].key,
					    json_integer(numbers[i].value));
	if (c->isolated)
		json_object_set_new(params, "isolated", json_true());
	if (memcmp(c->mac, none, sizeof(none))) {
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
			 c->mac[0], c->mac[1], c->mac[2], c->mac[3], c->mac[4],
			 c->mac[5]);
		json_object_set_new(params, "mac", json_string(mac));
	}
	port_region_params(params, c);
	return params;
}

/* Makes the layout and the token from glend's answer. */
static int read_result(json_t *result, struct layout *l, char *token,
		       size_t token_size, struct glen_error *error)
{
	const char *text;
	int rings, slots, buf_size, extra_bufs, n_bufs = 0, err;
	json_int_t bufs_off = 0;

	if (json_unpack(result, "{s:s, s:i, s:i, s:i, s:i}", "token", &text,
			"rings", &rings, "slots", &slots, "buf_size", &buf_size,
			"extra_bufs", &extra_bufs) ||
	    rings < 1 || slots < 1 || buf_size < 1 || extra_bufs < 0 ||
	    strlen(text) >= token_size)
		return error_set(error, -EPROTO,
				 "glend's answer to port.open is incomplete");
	strcpy(token, text);
	err = layout_init(l, (uint32_t)rings, (uint32_t)slots,
			  (uint32_t)buf_size, (uint32_t)extra_bufs, error);
	l->offsets = json_is_true(json_object_get(result, "offsets"));
	if (err || !json_object_get(result, "region_token"))
		return err;
	if (json_unpack(result, "{s:i, s:I}", "n_bufs", &n_bufs, "bufs_off",
			&bufs_off))
		return error_set(error, -EPROTO,
				 "glend's answer to port.open is incomplete");
	return layout_share(l, (uint32_t)n_bufs, (uint64_t)bufs_off, error);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Frees everything that is there. */
static void port_free(struct glen_port *port)
{
	link_fini(port);
	for (unsigned i = 0; i < port->n_rings; i++) {
		ring_fini(&port->rx[i]);
		waiter_close(&port->rx[i].waiter);
		waiter_close(&port->tx[i].waiter);
	}
	waiter_close(&port->waiter);
	if (port->base && port->mapped_by_us)
		munmap(port->base, port->layout.size);
	if (!port->local) {
		close_fd(port->window_fd);
		close_fd(port->bufs_fd);
		close_fd(port->kick_fd);
		close_fd(port->call_fd);
	}
	json_decref(port->claims);
	free(port);
}

/* Makes *port from the answer to port.open and its descriptors, all taken. */
static int attach(struct glen_port **port, const char *name, struct rpc *rpc,
		  json_t *result, const char *path, struct glen_error *error)
{
	int fds[N_FDS] = { -1, -1, -1, -1 };
	unsigned n = rpc_take_fds(rpc, fds, N_FDS);
	char token[sizeof((*port)->link.token)];
	struct layout l = { 0 };
	struct glen_port *p;
	int err, no_timer;

	err = read_result(result, &l, token, sizeof(token), error);
	p = port_alloc(name, &l);
	if (!p) {
		while (n)
			close(fds[--n]);
		rpc_close(rpc);
		return error_set(error, -ENOMEM, "out of memory");
	}
	no_timer = link_init(p);
	p->window_fd = fds[0];
	p->bufs_fd = fds[1];
	p->kick_fd = fds[2];
	p->call_fd = fds[3];
	p->link.rpc = *rpc;
	p->link.path = strdup(path);
	strcpy(p->link.token, token);
	port_region_result(p, result);
	if (!err && n != N_FDS)
		err = error_set(error, -EPROTO,
				"glend sent %u descriptors, not 4; does this "
				"process have too many files open?",
				n);
	if (!err && (no_timer || !p->link.path))
		err = error_set(error, no_timer ? no_timer : -ENOMEM,
				"cannot make a timer: %s",
				strerror(no_timer ? -no_timer : ENOMEM));
	if (!err)
		err = check_memfd(p->window_fd, l.window_size, "window", error);
	if (!err)
		err = check_memfd(p->bufs_fd, l.bufs_size, "buffers", error);
	if (!err)
		err = layout_map(&p->layout, p->window_fd, p->bufs_fd, &p->base,
				 error);
	if (err) {
		port_free(p);
		return err;
	}
	init_rings(p);
	link_extra(p);
	*port = p;
	return 0;
}

int glen_port_open(struct glen_port **port, const char *name,
		   const struct glen_port_config *config,
		   struct glen_error *error)
{
	static const struct glen_port_config defaults;
	char path[512];
	json_t *result = NULL;
	struct rpc rpc;
	int err;

	*port = NULL;
	if (!config)
		config = &defaults;
	if (!name || !strchr(name, ':') || strlen(name) > GLEN_NAME_MAX)
		return error_set(error, -EINVAL,
				 "bad port name \"%s\": a port is named "
				 "switch:port, with at most %d characters",
				 name ? name : "", GLEN_NAME_MAX);
	snprintf(path, sizeof(path), "%s",
		 config->socket ? config->socket : glen_default_socket());
	err = rpc_open(&rpc, path, config->connect_timeout_ms, error);
	if (err)
		return err;
	err = rpc_call(&rpc, "port.open", open_params(name, config), NULL, 0,
		       &result, OPEN_MS, error);
	if (err)
		rpc_close(&rpc);
	else
		err = attach(port, name, &rpc, result, path, error);
	json_decref(result);
	return err;
}

void glen_port_close(struct glen_port *port)
{
	void (*on_close)(void *arg);
	void *arg;

	if (!port)
		return;
	on_close = port->on_close;
	arg = port->arg;
	port_free(port);
	if (on_close)
		on_close(arg);
}

struct netmap_if *glen_port_nifp(const struct glen_port *port)
{
	return (void *)(port->base + LAYOUT_NIFP_OFF);
}

struct netmap_ring *glen_port_tx_ring(const struct glen_port *port, unsigned i)
{
	return i < port->n_rings ? port->tx[i].ring : NULL;
}

struct netmap_ring *glen_port_rx_ring(const struct glen_port *port, unsigned i)
{
	return i < port->n_rings ? port->rx[i].ring : NULL;
}

unsigned glen_port_rings(const struct glen_port *port)
{
	return port->n_rings;
}

const char *glen_port_region_token(const struct glen_port *port)
{
	return port->region_token[0] ? port->region_token : NULL;
}

const char *glen_port_name(const struct glen_port *port)
{
	return port->name;
}
