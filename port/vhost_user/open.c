// SPDX-License-Identifier: BSD-2-Clause
// open.c - makes, changes and closes vhost-user ports.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "core/discard.h"
#include "core/engine.h"
#include "lib/error.h"
#include "port/vhost_user/session.h"
#include "port/vhost_user/sigbus.h"

enum { MODE = 0660, MTU_MAX = 65535, MEMORY_MIN = 1 << 20 };

_Static_assert(sizeof(struct vhost_saved) <= PORT_SAVED_SIZE,
	       "the state file's record is large enough");

/* virtio's field for it has 16 bits. */
static int mtu_check(const struct vhost_port *vp, struct glen_error *error)
{
	if (vp->port->mtu <= MTU_MAX)
		return 0;
	return error_set(error, -EINVAL,
			 "mtu %u is more than a virtio network card can have: "
			 "it must be from 68 to %d, or 0 for no limit",
			 vp->port->mtu, MTU_MAX);
}

/* A guest that has more than this host is a mistake, or worse. */
static uint64_t default_memory(void)
{
	struct sysinfo info;
	uint64_t bytes;

	if (sysinfo(&info))
		return VHOST_BYTES_MAX;
	bytes = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
	return bytes < VHOST_BYTES_MAX ? bytes : VHOST_BYTES_MAX;
}

static int options(struct vhost_port *vp, json_t *params,
		   struct glen_error *error)
{
	static const char *const known[] = { "path",   "mode",	     "access",
					     "queues", "packed",     "offloads",
					     "config", "max_memory", NULL };
	const char *path, *mode, *access;
	long queues;
	int err = mtu_check(vp, error);

	err = err ?: params_check(params, known, error);

	err = err ?: params_str(params, "path", &path, error);
	err = err ?: params_str(params, "mode", &mode, error);
	err = err ?: params_str(params, "access", &access, error);
	err = err   ?:
		      params_int(params, "queues", VHOST_PAIRS_MAX, 1,
				 VHOST_PAIRS_MAX, &queues, error);
	err = err ?: params_bool(params, "packed", true, &vp->packed, error);
	err = err   ?:
		      params_bool(params, "offloads", true, &vp->offloads,
				  error);
	err = err ?: params_bool(params, "config", false, &vp->config, error);
	err = err   ?:
		      params_bytes(params, "max_memory", default_memory(),
				   MEMORY_MIN, VHOST_BYTES_MAX, &vp->max_memory,
				   error);
	if (err)
		return err;
	if (!path || !*path)
		return error_set(error, -EINVAL,
				 "path is missing: the socket that the virtual "
				 "machine uses, as path=/run/vm1.sock");
	if (mode && strcmp(mode, "server") && strcmp(mode, "client"))
		return error_set(error, -EINVAL,
				 "mode \"%.20s\": there is server (glend "
				 "listens) and client (glend connects)",
				 mode);
	vp->client = mode && !strcmp(mode, "client");
	if (access && vp->client)
		return error_set(error, -EINVAL,
				 "access is the mode of the socket file that "
				 "mode=server makes");
	vp->n_pairs = queues;
	err = socket_addr_unix(&vp->addr, "path", path, error);
	return err ?: socket_mode(access, MODE, &vp->access, error);
}

static void on_faults(void *arg, uint32_t events)
{
	struct vhost_port *vp = arg;
	uint64_t n;

	(void)!read(vp->faults.fd, &n, sizeof(n));
	if (atomic_load(&vp->memory_gone))
		vhost_session_end(vp, vhost_memory_is_gone);
	vhost_queues_check(vp);
	vhost_queues_owed(vp);
}

static void on_owing(void *arg)
{
	vhost_queues_owed(arg);
}

/* The eventfd by which workers tell of a failure, and a timer for those that
 * pass. */
static int faults_open(struct vhost_port *vp, struct glen_error *error)
{
	int err = sigbus_init();

	if (!err) {
		vp->faults.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vp->faults.ready = on_faults;
		vp->faults.arg = vp;
		err = vp->faults.fd < 0 ?
			      -errno :
			      loop_add(vp->loop, &vp->faults, EPOLLIN);
	}
	if (!err)
		err = loop_timer_init(vp->loop, &vp->owing, on_owing, vp);
	if (err)
		return error_set(error, err, "cannot make an eventfd: %s",
				 error_reason(-err));
	return 0;
}

static void vhost_close(struct port *port)
{
	struct vhost_port *vp = port->drv;

	vhost_socket_close(vp);
	vhost_session_end(vp, NULL);
	if (vp->faults.fd >= 0) {
		loop_del(vp->loop, &vp->faults);
		close(vp->faults.fd);
	}
	loop_timer_fini(vp->loop, &vp->owing);
	discard_destroy(vp->bin);
	free(vp);
}

static void queues_init(struct vhost_port *vp)
{
	for (unsigned i = 0; i < VHOST_QUEUES_MAX; i++) {
		struct vhost_setup *s = &vp->setup[i];

		vp->queue[i].vhost = vp;
		vp->queue[i].saved = &vp->saved->queue[i];
		s->kick_fd = s->call_fd = s->err_fd = -1;
	}
	vp->port->n_in = vp->port->n_out = vp->n_pairs;
	for (unsigned i = 0; i < vp->n_pairs; i++) {
		vp->port->in[i].drv = &vp->queue[2 * i + 1];
		vp->port->in[i].in_fd = -1;
		vp->port->out[i].drv = &vp->queue[2 * i];
	}
}

static int vhost_open(struct port *port, struct port_args *args,
		      struct glen_error *error)
{
	size_t size = (sizeof(struct vhost_port) + 63) & ~63UL;
	struct vhost_port *vp = aligned_alloc(64, size);
	struct engine *e = port->sw->engine;
	int err;

	if (!vp)
		return error_set(error, -ENOMEM, "out of memory");
	memset(vp, 0, size);
	vp->port = port;
	vp->loop = port_loop(port);
	vp->link.fd = vp->source.fd = vp->listener.fd = vp->faults.fd = -1;
	vp->retry.source.fd = vp->owing.source.fd = -1;
	vp->inflight_fd = vp->request_fd = -1;
	vp->saved = args->saved ? args->saved : &vp->own_saved;
	if (!args->resume)
		memset(vp->saved, 0, sizeof(*vp->saved));
	port->drv = vp;
	port->starts_rings = true;
	err = options(vp, args->params, error);
	if (err)
		goto err_close;
	queues_init(vp);
	err = engine_doorbells(e, error);
	if (err)
		goto err_close;
	vp->bin = discard_create(0);
	if (!vp->bin) {
		err = error_set(error, -ENOMEM, "out of memory");
		goto err_close;
	}
	vp->doorbell = &e->workers[e->n_workers]->doorbell;
	err = faults_open(vp, error);
	if (!err)
		err = vhost_socket_open(vp, error);
	if (err)
		goto err_close;
	return 0;
err_close:
	vhost_close(port);
	return err;
}

static int vhost_set(struct port *port, json_t *params,
		     struct glen_error *error)
{
	int err;

	if (json_object_size(params))
		return error_set(error, -EINVAL,
				 "a vhost-user port has no option \"%.64s\" "
				 "that can be changed while it is open",
				 json_object_iter_key(
					 json_object_iter(params)));
	err = mtu_check(port->drv, error);
	if (!err)
		vhost_config_changed(port->drv);
	return err;
}

static void vhost_tick(struct port *port)
{
	vhost_socket_tick(port->drv);
	vhost_session_tick(port->drv);
}

static bool vhost_link(struct port *port)
{
	const struct vhost_port *vp = port->drv;

	/* DRIVER_OK, where the front end tells. */
	if (vp->has_status && !(vp->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	return vp->setup[0].running;
}

const struct port_ops vhost_port_ops = {
	.name = "vhost-user",
	.summary = "a virtual machine, through its virtqueues",
	.options = "path=SOCKET   of the virtual machine's network card\n"
		   "mode=ROLE     server: glend listens; client: glend "
		   "connects, again and again (server)\n"
		   "access=MODE   of the socket's file, in octal (0660)\n"
		   "queues=N      1..16, most queue pairs (16)\n"
		   "packed=BOOL   packed virtqueues are offered (true)\n"
		   "offloads=BOOL checksums and segmentation are left to who "
		   "needs them (true)\n"
		   "config=BOOL   glend tells MAC and MTU to front ends that "
		   "ask (false)\n"
		   "max_memory=N  most memory that a guest may have, in bytes "
		   "or as 64G (the host's memory and swap)\n",
	.open = vhost_open,
	.close = vhost_close,
	.set = vhost_set,
	.show = vhost_show,
	.tick = vhost_tick,
	.link = vhost_link,
	.hot = ISA_TABLE_PTR(vhost_hot),
};
