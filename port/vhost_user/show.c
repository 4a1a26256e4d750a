// SPDX-License-Identifier: BSD-2-Clause
// show.c - what "port show" says about a vhost-user port.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/engine.h"
#include "lib/shm.h"
#include "port/vhost_user/session.h"

enum {
	KICKS_SURE = 2, /* QEMU makes the first one itself */
	ZEROS = 256,	/* bytes of a ring that a driver would have written */
};

struct name {
	uint8_t bit;
	const char *name;
};

static const struct name virtio_names[] = {
	{ VIRTIO_NET_F_CSUM, "csum" },
	{ VIRTIO_NET_F_GUEST_CSUM, "guest_csum" },
	{ VIRTIO_NET_F_MTU, "mtu" },
	{ VIRTIO_NET_F_MAC, "mac" },
	{ VIRTIO_NET_F_GUEST_TSO4, "guest_tso4" },
	{ VIRTIO_NET_F_GUEST_TSO6, "guest_tso6" },
	{ VIRTIO_NET_F_GUEST_ECN, "guest_ecn" },
	{ VIRTIO_NET_F_GUEST_UFO, "guest_ufo" },
	{ VIRTIO_NET_F_HOST_TSO4, "host_tso4" },
	{ VIRTIO_NET_F_HOST_TSO6, "host_tso6" },
	{ VIRTIO_NET_F_HOST_ECN, "host_ecn" },
	{ VIRTIO_NET_F_HOST_UFO, "host_ufo" },
	{ VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf" },
	{ VIRTIO_NET_F_STATUS, "status" },
	{ VIRTIO_NET_F_CTRL_VQ, "ctrl_vq" },
	{ VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce" },
	{ VIRTIO_NET_F_MQ, "mq" },
	{ VHOST_F_LOG_ALL_BIT, "log_all" },
	{ VIRTIO_F_ANY_LAYOUT, "any_layout" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc" },
	{ VIRTIO_RING_F_EVENT_IDX, "event_idx" },
	{ VHOST_F_PROTOCOL_BIT, "protocol_features" },
	{ VIRTIO_F_VERSION_1, "version_1" },
	{ VIRTIO_F_RING_PACKED, "ring_packed" },
	{ VIRTIO_F_IN_ORDER, "in_order" },
	{ VIRTIO_NET_F_GUEST_USO4, "guest_uso4" },
	{ VIRTIO_NET_F_GUEST_USO6, "guest_uso6" },
	{ VIRTIO_NET_F_HOST_USO, "host_uso" },
	{ 0, NULL },
};

static const struct name protocol_names[] = {
	{ VHOST_PROTOCOL_MQ, "mq" },
	{ VHOST_PROTOCOL_LOG_SHMFD, "log_shmfd" },
	{ VHOST_PROTOCOL_RARP, "rarp" },
	{ VHOST_PROTOCOL_REPLY_ACK, "reply_ack" },
	{ VHOST_PROTOCOL_MTU, "mtu" },
	{ VHOST_PROTOCOL_BACKEND_REQ, "backend_req" },
	{ VHOST_PROTOCOL_CONFIG, "config" },
	{ VHOST_PROTOCOL_INFLIGHT_SHMFD, "inflight_shmfd" },
	{ VHOST_PROTOCOL_RESET_DEVICE, "reset_device" },
	{ VHOST_PROTOCOL_MEM_SLOTS, "configure_mem_slots" },
	{ VHOST_PROTOCOL_STATUS, "status" },
	{ 0, NULL },
};

static const struct name status_names[] = {
	{ 0, "acknowledge" }, { 1, "driver" },	    { 2, "driver_ok" },
	{ 3, "features_ok" }, { 6, "needs_reset" }, { 7, "failed" },
	{ 0, NULL },
};

static json_t *names_of(uint64_t bits, const struct name *names)
{
	json_t *list = json_array();

	for (; names->name; names++)
		if (bits >> names->bit & 1)
			json_array_append_new(list, json_string(names->name));
	return list;
}

/*
 * How often an eventfd was signalled since it was read last, by us never. Read
 * from /proc: read() could wait for ever, and would take the count away.
 */
static uint64_t eventfd_count(int fd)
{
	char path[40], text[256];
	const char *at;
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return 0;
	n = read(info, text, sizeof(text) - 1);
	close(info);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, "eventfd-count:");
	return at ? strtoull(at + strlen("eventfd-count:"), NULL, 16) : 0;
}

/* True if no driver has ever written to the ring, as far as we can see. */
static bool is_untouched(const struct vhost_ring *r)
{
	const uint64_t *words = (const uint64_t *)(r->packed ?
							   (void *)r->pdesc :
							   r->desc);
	size_t bytes = 16 * (size_t)r->size;

	if (!r->packed && shm_load16(&r->avail->idx))
		return false;
	for (size_t i = 0; i < (bytes < ZEROS ? bytes : ZEROS) / 8; i++)
		if (shm_load64(&words[i]))
			return false;
	return true;
}

const char *vhost_problem(const struct vhost_port *vp)
{
	if (!vp->heard && vhost_now_ms() - vp->since_ms >= VHOST_SILENT_MS)
		return "who is connected has not sent one message: a QEMU "
		       "serves one connection, so another port may have it "
		       "(each needs a socket of its own), or it is no "
		       "vhost-user front end";
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		const struct vhost_ring *r = atomic_load(&vp->queue[i].ring);

		if (r && is_untouched(r) &&
		    eventfd_count(vp->setup[i].kick_fd) >= KICKS_SURE)
			return "the guest kicks, but nothing appears in its "
			       "virtqueues: its memory is not shared; give "
			       "QEMU's memory backend share=on (libvirt: "
			       "<access mode='shared'/>)";
	}
	return NULL;
}

static uint64_t calls_of(const struct port *port, unsigned i)
{
	const struct counters *c = port->in[i / 2].counters;
	unsigned n = 1;
	uint64_t sum = 0;

	if (!(i & 1)) {
		c = port->out[i / 2].counters;
		n = port->sw->engine->n_workers + 1;
	}
	for (unsigned w = 0; w < n; w++)
		sum += __atomic_load_n(&c[w].kicks, __ATOMIC_RELAXED);
	return sum;
}

typedef uint64_t __attribute__((may_alias)) saved_word;

static json_t *queue_show(const struct vhost_port *vp, unsigned i)
{
	const struct vhost_setup *s = &vp->setup[i];
	const struct vhost_queue *q = &vp->queue[i];
	struct vhost_saved_queue at;
	json_t *o = json_object();

	*(saved_word *)&at = __atomic_load_n((saved_word *)q->saved,
					     __ATOMIC_RELAXED);
	json_object_set_new(o, "queue", json_integer(i));
	json_object_set_new(o, "for",
			    json_string(i & 1 ? "transmit" : "receive"));
	json_object_set_new(o, "size", json_integer(s->size));
	json_object_set_new(o, "enabled", json_boolean(s->enabled));
	json_object_set_new(o, "running", json_boolean(s->running));
	json_object_set_new(o, "index", json_integer(at.used));
	if (vhost_has(vp, VIRTIO_F_RING_PACKED))
		json_object_set_new(o, "wrap", json_boolean(at.used_wrap));
	json_object_set_new(o, "kicks",
			    json_integer(eventfd_count(s->kick_fd)));
	json_object_set_new(o, "wakeups",
			    json_integer(__atomic_load_n(&q->n_kicks,
							 __ATOMIC_RELAXED)));
	json_object_set_new(o, "calls", json_integer(calls_of(vp->port, i)));
	json_object_set_new(o, "late", json_integer(s->late));
	json_object_set_new(o, "starts", json_integer(s->started));
	json_object_set_new(o, "failures", json_integer(s->fails));
	if (s->reason)
		json_object_set_new(o,
				    atomic_load(&q->failed) ? "stopped" :
							      "was_stopped",
				    json_string(s->reason));
	return o;
}

static json_t *memory_show(const struct vhost_memory *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->n; i++) {
		const struct vhost_piece *p = &m->piece[i];
		char gpa[24];

		snprintf(gpa, sizeof(gpa), "0x%llx",
			 (unsigned long long)p->region.gpa);
		json_array_append_new(
			list, json_pack("{s:s, s:I, s:s, s:I, s:b}", "gpa", gpa,
					"size", (json_int_t)p->region.size,
					"kind", p->map->kind, "page",
					(json_int_t)p->map->page, "sealed",
					p->map->seals & F_SEAL_SHRINK ? 1 : 0));
	}
	return list;
}

/* What there is while a front end is connected. */
static void session_show(const struct vhost_port *vp, json_t *o)
{
	const char *problem = vhost_problem(vp)	    ?:
				      vp->lost.code ? vp->lost.text :
						      NULL;
	json_t *queues = json_array();

	json_object_set_new(o, "peer",
			    json_pack("{s:i, s:i}", "pid", (int)vp->peer.pid,
				      "uid", (int)vp->peer.uid));
	json_object_set_new(o, "connected_ms",
			    json_integer(vhost_now_ms() - vp->since_ms));
	json_object_set_new(o, "features",
			    names_of(vp->features, virtio_names));
	json_object_set_new(o, "protocol_features",
			    names_of(vp->protocol, protocol_names));
	if (vp->has_status)
		json_object_set_new(o, "status",
				    names_of(vp->status, status_names));
	if (vp->mtu)
		json_object_set_new(o, "guest_mtu", json_integer(vp->mtu));
	json_object_set_new(o, "memory", memory_show(&vp->memory));
	json_object_set_new(o, "migrating",
			    json_boolean(vp->log &&
					 vhost_has(vp, VHOST_F_LOG_ALL_BIT)));
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++)
		if (vp->setup[i].size || vp->setup[i].kicked)
			json_array_append_new(queues, queue_show(vp, i));
	json_object_set_new(o, "queues", queues);
	if (problem)
		json_object_set_new(o, "problem", json_string(problem));
}

void vhost_show(struct port *port, json_t *o)
{
	const struct vhost_port *vp = port->drv;
	json_t *own = json_object();

	json_object_set_new(o, "path", json_string(vp->addr.un.sun_path));
	json_object_set_new(o, "mode",
			    json_string(vp->client ? "client" : "server"));
	json_object_set_new(o, "packed", json_boolean(vp->packed));
	json_object_set_new(own, "connected",
			    json_boolean(vhost_connected(vp)));
	json_object_set_new(own, "connections", json_integer(vp->connections));
	json_object_set_new(own, "refused", json_integer(vp->refused));
	json_object_set_new(own, "max_memory", json_integer(vp->max_memory));
	if (vp->last_error.code)
		json_object_set_new(own, "last_error",
				    json_string(vp->last_error.text));
	if (vhost_connected(vp))
		session_show(vp, own);
	else if (vp->lost.code)
		json_object_set_new(own, "problem", json_string(vp->lost.text));
	else if (vp->unreached.code)
		json_object_set_new(own, "problem",
				    json_string(vp->unreached.text));
	json_object_set_new(o, "vhost", own);
}
