// SPDX-License-Identifier: BSD-2-Clause
// handle.c - what each vhost-user message does.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/discard.h"
#include "core/rcu.h"
#include "lib/error.h"
#include "port/vhost_user/session.h"

enum { NOFD = 1 << 8, INDEX = 0xff, RARPS = 3 };

#define F(bit) (1ULL << (bit))

/* Always offered. */
static const uint64_t plain_features =
	F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_ANY_LAYOUT) | F(VIRTIO_F_IN_ORDER) |
	F(VIRTIO_RING_F_INDIRECT_DESC) | F(VIRTIO_RING_F_EVENT_IDX) |
	F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_STATUS) |
	F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_MTU) |
	F(VIRTIO_NET_F_GUEST_ANNOUNCE) | F(VHOST_F_LOG_ALL_BIT) |
	F(VHOST_F_PROTOCOL_BIT);

static const uint64_t offload_features =
	F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_GUEST_CSUM) |
	F(VIRTIO_NET_F_GUEST_TSO4) | F(VIRTIO_NET_F_GUEST_TSO6) |
	F(VIRTIO_NET_F_GUEST_ECN) | F(VIRTIO_NET_F_GUEST_UFO) |
	F(VIRTIO_NET_F_HOST_TSO4) | F(VIRTIO_NET_F_HOST_TSO6) |
	F(VIRTIO_NET_F_HOST_ECN) | F(VIRTIO_NET_F_HOST_UFO) |
	F(VIRTIO_NET_F_GUEST_USO4) | F(VIRTIO_NET_F_GUEST_USO6) |
	F(VIRTIO_NET_F_HOST_USO);

static bool has_mac(const struct vhost_port *vp)
{
	static const uint8_t none[6];

	return memcmp(vp->port->mac, none, sizeof(none)) != 0;
}

uint64_t vhost_features(const struct vhost_port *vp)
{
	return plain_features | (vp->offloads ? offload_features : 0) |
	       (vp->n_pairs > 1 ? F(VIRTIO_NET_F_MQ) : 0) |
	       (vp->packed ? F(VIRTIO_F_RING_PACKED) : 0) |
	       (vp->config && has_mac(vp) ? F(VIRTIO_NET_F_MAC) : 0);
}

uint64_t vhost_protocol(const struct vhost_port *vp)
{
	return F(VHOST_PROTOCOL_LOG_SHMFD) | F(VHOST_PROTOCOL_RARP) |
	       F(VHOST_PROTOCOL_REPLY_ACK) | F(VHOST_PROTOCOL_MTU) |
	       F(VHOST_PROTOCOL_BACKEND_REQ) |
	       F(VHOST_PROTOCOL_INFLIGHT_SHMFD) |
	       F(VHOST_PROTOCOL_RESET_DEVICE) | F(VHOST_PROTOCOL_MEM_SLOTS) |
	       F(VHOST_PROTOCOL_STATUS) |
	       (vp->config ? F(VHOST_PROTOCOL_CONFIG) : 0) |
	       (vp->n_pairs > 1 ? F(VHOST_PROTOCOL_MQ) : 0);
}

/* The descriptor that came with the message becomes the caller's. */
static int take_fd(struct vhost_message *m)
{
	int fd = m->fds[0];

	m->fds[0] = -1;
	return fd;
}

static void replace_fd(int *old, int fd)
{
	if (*old >= 0)
		close(*old);
	*old = fd;
}

static struct vhost_faults faults_of(struct vhost_port *vp)
{
	return (struct vhost_faults){ &vp->memory_gone, vp->faults.fd };
}

/* The virtqueue of that number; NULL: there is none. */
static struct vhost_setup *setup_of(struct vhost_port *vp, uint32_t index)
{
	if (index < 2 * vp->n_pairs)
		return &vp->setup[index];
	error_set(&vp->error, -EINVAL,
		  "there is no virtqueue %u: the port has %u", index,
		  2 * vp->n_pairs);
	return NULL;
}

static int get_features(struct vhost_port *vp, struct vhost_message *m)
{
	m->u64 = vhost_features(vp);
	return 0;
}

static int set_features(struct vhost_port *vp, struct vhost_message *m)
{
	uint64_t changed = vp->features ^ m->u64;
	uint64_t more = m->u64 & ~vhost_features(vp);
	bool runs = false;

	for (unsigned i = 0; i < 2 * vp->n_pairs; i++)
		runs |= vp->setup[i].running;
	/* Rings that run keep their format: indexes of one are not such of
	 * another. A migration switches the log on and off. */
	if (runs && changed & ~F(VHOST_F_LOG_ALL_BIT))
		return error_set(&vp->error, -EBUSY,
				 "features were changed while virtqueues run: "
				 "0x%llx",
				 (unsigned long long)changed);
	if (more)
		return error_set(&vp->error, -EINVAL,
				 "features were set that are not offered: "
				 "0x%llx",
				 (unsigned long long)more);
	vp->features = m->u64;
	atomic_store(&vp->port->caps, vhost_takes(vp->features));
	if (changed)
		vhost_queues_update(vp, UINT32_MAX);
	return 0;
}

static int get_protocol(struct vhost_port *vp, struct vhost_message *m)
{
	m->u64 = vhost_protocol(vp);
	return 0;
}

static int set_protocol(struct vhost_port *vp, struct vhost_message *m)
{
	uint64_t more = m->u64 & ~vhost_protocol(vp);

	if (more)
		return error_set(&vp->error, -EINVAL,
				 "protocol features were set that are not "
				 "offered: 0x%llx",
				 (unsigned long long)more);
	vp->protocol = m->u64;
	return 0;
}

static int get_queue_num(struct vhost_port *vp, struct vhost_message *m)
{
	m->u64 = vp->n_pairs;
	return 0;
}

static int get_slots(struct vhost_port *vp, struct vhost_message *m)
{
	m->u64 = VHOST_REGIONS_MAX;
	return 0;
}

/* SET_OWNER, RESET_OWNER: nothing follows from them. */
static int ignore(struct vhost_port *vp, struct vhost_message *m)
{
	return 0;
}

/* The state file's record is of this memory; else it says nothing. */
static void save_memory(struct vhost_port *vp)
{
	const struct vhost_map *map = vp->memory.piece[0].map;
	struct vhost_saved *s = vp->saved;

	if (!vp->memory.n || (s->dev == map->dev && s->ino == map->ino))
		return;
	for (unsigned i = 0; i < VHOST_QUEUES_MAX; i++)
		if (!vp->setup[i].running)
			s->queue[i].valid = 0;
	s->dev = map->dev;
	s->ino = map->ino;
}

/* What lies in holes of it is charged to glend when it is first read. */
static int limit_check(struct vhost_port *vp, const struct vhost_memory *m)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < m->n; i++)
		sum += m->piece[i].region.size;
	if (sum <= vp->max_memory)
		return 0;
	return error_set(&vp->error, -ENOSPC,
			 "the guest has %llu MiB of memory, and max_memory= of "
			 "the port is %llu MiB: add the port with more, or "
			 "give the guest less",
			 (unsigned long long)(sum >> 20),
			 (unsigned long long)(vp->max_memory >> 20));
}

/* The guest's memory is next from now on; next is empty afterwards. */
static int change_memory(struct vhost_port *vp, struct vhost_memory *next)
{
	struct vhost_memory old = vp->memory;
	int err = limit_check(vp, next);

	if (err)
		return err;
	err = vhost_memory_seal(next);
	if (err)
		return error_set(&vp->error, err, "out of memory");
	vp->memory = *next;
	next->n = 0;
	next->mem = NULL;
	save_memory(vp);
	vhost_queues_update(vp, UINT32_MAX);
	vhost_memory_fini(&old);
	return 0;
}

static int set_table(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_faults faults = faults_of(vp);
	struct vhost_memory *next;
	uint32_t n = m->table.n;
	int err = 0;

	if (n > VHOST_TABLE_MAX || m->n_fds != n ||
	    m->size < 8 + n * sizeof(m->table.region[0]))
		return error_set(&vp->error, -EINVAL,
				 "a memory table of %u regions came with %u "
				 "bytes and %u descriptors",
				 n, m->size, m->n_fds);
	next = calloc(1, sizeof(*next));
	if (!next)
		return error_set(&vp->error, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < n && !err; i++)
		err = vhost_memory_add(next, &m->table.region[i], m->fds[i],
				       &faults, &vp->error);
	if (!err)
		err = change_memory(vp, next);
	vhost_memory_fini(next);
	free(next);
	return err;
}

/* ADD_MEM_REG and REM_MEM_REG. */
static int change_region(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_faults faults = faults_of(vp);
	struct vhost_memory *next = calloc(1, sizeof(*next));
	int err;

	if (!next)
		return error_set(&vp->error, -ENOMEM, "out of memory");
	vhost_memory_copy(next, &vp->memory);
	if (m->request == VHOST_REM_MEM_REG)
		err = vhost_memory_remove(next, &m->slot.region, &vp->error);
	else if (m->n_fds == 1 &&
		 vhost_memory_again(next, &m->slot.region, m->fds[0]))
		err = 0;
	else if (m->n_fds == 1)
		err = vhost_memory_add(next, &m->slot.region, m->fds[0],
				       &faults, &vp->error);
	else
		err = error_set(&vp->error, -EINVAL,
				"a memory region came without a descriptor");
	if (!err)
		err = change_memory(vp, next);
	vhost_memory_fini(next);
	free(next);
	return err;
}

static int set_log_base(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_faults faults = faults_of(vp);
	struct vhost_map map, old = vp->log_map;
	struct vhost_log *next;
	int err;

	if (!vhost_has_protocol(vp, VHOST_PROTOCOL_LOG_SHMFD) || m->n_fds != 1)
		return error_set(&vp->error, -EINVAL,
				 "a dirty log came without a descriptor");
	err = vhost_map(&map, "the dirty log", m->fds[0], m->log.offset,
			m->log.size, &faults, &vp->error);
	if (err)
		return err;
	if (vp->memory.n &&
	    vhost_memory_last(&vp->memory) >> 12 >> 3 >= map.size) {
		vhost_unmap(&map);
		return error_set(&vp->error, -EINVAL,
				 "the dirty log is too small for the guest's "
				 "memory");
	}
	/* Workers may be using the one before until they have the rings. */
	next = vp->log == vp->logs ? vp->logs + 1 : vp->logs;
	*next = (struct vhost_log){ map.base, map.size };
	vp->log_map = map;
	vp->log = next;
	vhost_queues_update(vp, UINT32_MAX);
	vhost_unmap(&old);
	m->u64 = 0;
	m->size = sizeof(m->u64);
	return 0;
}

static int set_num(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(vp, m->state.index);

	if (!s)
		return -EINVAL;
	if (!m->state.num || m->state.num > VHOST_RING_MAX)
		return error_set(&vp->error, -EINVAL,
				 "a virtqueue of %u descriptors was asked for; "
				 "1 to %d may be",
				 m->state.num, VHOST_RING_MAX);
	if (s->running && s->size != m->state.num)
		return error_set(&vp->error, -EBUSY,
				 "the size of a virtqueue that runs was to be "
				 "changed");
	s->size = m->state.num;
	return 0;
}

static int set_addr(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(vp, m->addr.index);

	if (!s)
		return -EINVAL;
	s->addr = m->addr;
	s->has_addr = true;
	if (s->running)
		vhost_queues_update(vp, 1U << m->addr.index);
	return 0;
}

static int set_base(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(vp, m->state.index);

	if (!s)
		return -EINVAL;
	if (s->running)
		return error_set(&vp->error, -EBUSY,
				 "the base of a virtqueue that runs was to be "
				 "changed");
	s->base = m->state.num;
	s->placed = false;
	return 0;
}

static int get_base(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(vp, m->state.index);
	unsigned i = m->state.index;

	if (!s)
		return -EINVAL;
	vhost_queues_stop(vp, 1U << i);
	s->base = m->state.num = vhost_queue_base(vp, i);
	s->placed = false;
	atomic_store(&vp->queue[i].failed, NULL);
	/* The front end knows now; what it says next time counts. */
	vp->queue[i].saved->valid = 0;
	return 0;
}

/*
 * KICK, CALL and ERR: which virtqueue, and *fd, -1 if none came and none was
 * to come. NULL: refused.
 */
static struct vhost_setup *vring_fd(struct vhost_port *vp,
				    struct vhost_message *m, int *fd)
{
	bool want = !(m->u64 & NOFD);
	struct vhost_setup *s = setup_of(vp, m->u64 & INDEX);

	if (!s)
		return NULL;
	if (m->u64 & ~(uint64_t)(NOFD | INDEX) || m->n_fds != want) {
		error_set(&vp->error, -EINVAL,
			  "%s came with %u descriptors and the value 0x%llx",
			  vhost_request_name(m->request), m->n_fds,
			  (unsigned long long)m->u64);
		return NULL;
	}
	if (want && !vhost_is_eventfd(m->fds[0])) {
		error_set(&vp->error, -EINVAL,
			  "%s came with a descriptor that is not an eventfd",
			  vhost_request_name(m->request));
		return NULL;
	}
	*fd = want ? take_fd(m) : -1;
	return s;
}

static int set_kick(struct vhost_port *vp, struct vhost_message *m)
{
	unsigned i = m->u64 & INDEX;
	struct vhost_setup *s;
	int fd;

	s = vring_fd(vp, m, &fd);
	if (!s)
		return -EINVAL;
	if (i & 1)
		port_in_stop(&vp->port->in[i / 2]);
	replace_fd(&s->kick_fd, fd);
	s->kicked = true;
	s->astray = false;
	atomic_store(&vp->queue[i].failed, NULL);
	vhost_queues_update(vp, 1U << i);
	return 0;
}

static int set_call(struct vhost_port *vp, struct vhost_message *m)
{
	unsigned i = m->u64 & INDEX;
	struct vhost_setup *s;
	int fd, old;

	s = vring_fd(vp, m, &fd);
	if (!s)
		return -EINVAL;
	old = s->call_fd;
	s->call_fd = fd;
	if (s->running) {
		vhost_queues_update(vp, 1U << i);
		/* What was meant for the old one may not have been seen. */
		vhost_queue_signal(vp, i, VHOST_OWED_CALL);
	}
	if (old >= 0)
		close(old);
	return 0;
}

static int set_err(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s;
	int fd;

	s = vring_fd(vp, m, &fd);
	if (!s)
		return -EINVAL;
	replace_fd(&s->err_fd, fd);
	return 0;
}

static int set_enable(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_setup *s = setup_of(vp, m->state.index);

	if (!s)
		return -EINVAL;
	if (m->state.num > 1)
		return error_set(&vp->error, -EINVAL,
				 "SET_VRING_ENABLE came with the value %u",
				 m->state.num);
	s->enabled = m->state.num;
	vhost_queues_update(vp, 1U << m->state.index);
	return 0;
}

/* The guest has moved here; on older front ends nobody else says so. */
static int send_rarp(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_queue *q = &vp->queue[1];

	if (m->bytes[0] & 1)
		return error_set(&vp->error, -EINVAL,
				 "SEND_RARP came with a group address");
	/* A second time while the first is under way says nothing new. */
	if (atomic_load(&q->rarp))
		return 0;
	memcpy(q->rarp_mac, m->bytes, sizeof(q->rarp_mac));
	atomic_store_explicit(&q->rarp, RARPS, memory_order_release);
	vhost_queue_signal(vp, 1, VHOST_OWED_KICK);
	return 0;
}

static int set_mtu(struct vhost_port *vp, struct vhost_message *m)
{
	if (m->u64 < 68 || m->u64 > 65535)
		return error_set(&vp->error, -EINVAL,
				 "an MTU of %llu is not one of Ethernet's",
				 (unsigned long long)m->u64);
	/* Between the front end and the guest it is settled: what is longer
	 * would come as a surprise. */
	vp->mtu = m->u64;
	port_peer_mtu(vp->port, vp->mtu);
	return 0;
}

/*
 * What the guest finds in its network card's configuration space (virtio 1.2,
 * 5.1.4), for front ends that have none of their own.
 */
static int get_config(struct vhost_port *vp, struct vhost_message *m)
{
	struct vhost_wire_config *c = &m->config;
	struct virtio_net_config own = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = vp->n_pairs,
		.mtu = vp->port->mtu ? vp->port->mtu : 1500,
		.speed = UINT32_MAX, /* unknown */
		.duplex = UINT8_MAX,
	};

	if (m->size != 12 + (uint64_t)c->size || c->size > VHOST_CONFIG_MAX ||
	    c->offset > VHOST_CONFIG_MAX - c->size)
		return error_set(
			&vp->error, -EINVAL,
			"GET_CONFIG asked for %u bytes from %u on with "
			"%u bytes",
			c->size, c->offset, m->size);
	memcpy(own.mac, vp->port->mac, sizeof(own.mac));
	memset(c->bytes, 0, c->size);
	if (c->offset < sizeof(own)) {
		uint32_t left = sizeof(own) - c->offset;

		memcpy(c->bytes, (uint8_t *)&own + c->offset,
		       left < c->size ? left : c->size);
	}
	return 0;
}

/* Our requests go by a socket of their own, of which the front end has the
 * other end. */
static int set_request_fd(struct vhost_port *vp, struct vhost_message *m)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	if (m->n_fds != 1)
		return error_set(&vp->error, -EINVAL,
				 "SET_BACKEND_REQ_FD came without a "
				 "descriptor");
	if (getsockopt(m->fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
	    getsockopt(m->fds[0], SOL_SOCKET, SO_TYPE, &type, &len) ||
	    domain != AF_UNIX || type != SOCK_STREAM)
		return error_set(&vp->error, -EINVAL,
				 "SET_BACKEND_REQ_FD came with something that "
				 "is not a Unix stream socket");
	discard_connection(vp->bin, vp->request_fd);
	vp->request_fd = take_fd(m);
	return 0;
}

void vhost_config_changed(struct vhost_port *vp)
{
	static const uint32_t message[] = { VHOST_BACKEND_CONFIG_CHANGE,
					    VHOST_VERSION, 0 };

	if (vp->request_fd < 0 ||
	    !vhost_has_protocol(vp, VHOST_PROTOCOL_CONFIG))
		return;
	/* One that does not read them has not missed anything: it asks for the
	 * whole space after the first. Half a message is never sent. */
	if (send(vp->request_fd, message, sizeof(message),
		 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		port_log(vp->port,
			 "cannot tell the front end of a new MTU or MAC: %s",
			 error_reason(errno));
}

static int set_status(struct vhost_port *vp, struct vhost_message *m)
{
	if (m->u64 > UINT8_MAX)
		return error_set(&vp->error, -EINVAL,
				 "a device status of 0x%llx does not exist",
				 (unsigned long long)m->u64);
	vp->status = m->u64;
	vp->has_status = true;
	/* The indexes stay: QEMU 7.2 asks for them after this. */
	if (!vp->status)
		vhost_queues_stop(vp, UINT32_MAX);
	return 0;
}

static int get_status(struct vhost_port *vp, struct vhost_message *m)
{
	m->u64 = vp->status;
	return 0;
}

/* All but the memory and the descriptors is as at first. */
static int reset_device(struct vhost_port *vp, struct vhost_message *m)
{
	vhost_queues_stop(vp, UINT32_MAX);
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		struct vhost_setup *s = &vp->setup[i];

		s->size = s->base = 0;
		s->has_addr = s->enabled = s->placed = false;
		atomic_store(&vp->queue[i].failed, NULL);
		vp->queue[i].saved->valid = 0;
	}
	vp->status = 0;
	vp->features = 0;
	vp->mtu = 0;
	port_peer_mtu(vp->port, 0);
	atomic_store(&vp->port->caps, 0);
	return 0;
}

/* What a message may be like; needs: the protocol feature's bit, plus 1. */
static const struct rule {
	int (*handle)(struct vhost_port *vp, struct vhost_message *m);
	uint16_t size, size_max; /* of the payload */
	uint8_t fds_max;
	bool replies;
	uint8_t needs;
} rules[VHOST_REQUESTS] = {
	[VHOST_GET_FEATURES] = { get_features, 0, 8, 0, true, 0 },
	[VHOST_SET_FEATURES] = { set_features, 8, 8, 0, false, 0 },
	[VHOST_SET_OWNER] = { ignore, 0, 0, 0, false, 0 },
	[VHOST_RESET_OWNER] = { ignore, 0, 0, 0, false, 0 },
	[VHOST_SET_MEM_TABLE] = { set_table, 8, sizeof(struct vhost_wire_table),
				  VHOST_TABLE_MAX, false, 0 },
	[VHOST_SET_LOG_BASE] = { set_log_base, 16, 16, 1, true, 0 },
	[VHOST_SET_LOG_FD] = { ignore, 0, 8, 1, false, 0 },
	[VHOST_SET_VRING_NUM] = { set_num, 8, 8, 0, false, 0 },
	[VHOST_SET_VRING_ADDR] = { set_addr, 40, 40, 0, false, 0 },
	[VHOST_SET_VRING_BASE] = { set_base, 8, 8, 0, false, 0 },
	[VHOST_GET_VRING_BASE] = { get_base, 8, 8, 0, true, 0 },
	[VHOST_SET_VRING_KICK] = { set_kick, 8, 8, 1, false, 0 },
	[VHOST_SET_VRING_CALL] = { set_call, 8, 8, 1, false, 0 },
	[VHOST_SET_VRING_ERR] = { set_err, 8, 8, 1, false, 0 },
	[VHOST_GET_PROTOCOL_FEATURES] = { get_protocol, 0, 8, 0, true, 0 },
	[VHOST_SET_PROTOCOL_FEATURES] = { set_protocol, 8, 8, 0, false, 0 },
	[VHOST_GET_QUEUE_NUM] = { get_queue_num, 0, 8, 0, true,
				  1 + VHOST_PROTOCOL_MQ },
	[VHOST_SET_VRING_ENABLE] = { set_enable, 8, 8, 0, false, 0 },
	[VHOST_GET_CONFIG] = { get_config, 12, 12 + VHOST_CONFIG_MAX, 0, true,
			       1 + VHOST_PROTOCOL_CONFIG },
	[VHOST_SEND_RARP] = { send_rarp, 8, 8, 0, false,
			      1 + VHOST_PROTOCOL_RARP },
	[VHOST_GET_INFLIGHT_FD] = { vhost_inflight_get, 20, 24, 0, true,
				    1 + VHOST_PROTOCOL_INFLIGHT_SHMFD },
	[VHOST_SET_INFLIGHT_FD] = { vhost_inflight_set, 20, 24, 1, false,
				    1 + VHOST_PROTOCOL_INFLIGHT_SHMFD },
	[VHOST_NET_SET_MTU] = { set_mtu, 8, 8, 0, false,
				1 + VHOST_PROTOCOL_MTU },
	[VHOST_SET_BACKEND_REQ_FD] = { set_request_fd, 0, 8, 1, false,
				       1 + VHOST_PROTOCOL_BACKEND_REQ },
	[VHOST_RESET_DEVICE] = { reset_device, 0, 0, 0, false,
				 1 + VHOST_PROTOCOL_RESET_DEVICE },
	[VHOST_GET_MAX_MEM_SLOTS] = { get_slots, 0, 8, 0, true,
				      1 + VHOST_PROTOCOL_MEM_SLOTS },
	[VHOST_ADD_MEM_REG] = { change_region, 40, 40, 1, false,
				1 + VHOST_PROTOCOL_MEM_SLOTS },
	[VHOST_REM_MEM_REG] = { change_region, 40, 40, 1, false,
				1 + VHOST_PROTOCOL_MEM_SLOTS },
	[VHOST_SET_STATUS] = { set_status, 8, 8, 0, false,
			       1 + VHOST_PROTOCOL_STATUS },
	[VHOST_GET_STATUS] = { get_status, 0, 8, 0, true,
			       1 + VHOST_PROTOCOL_STATUS },
};

int vhost_handle(struct vhost_port *vp, bool *replies, int *fd)
{
	struct vhost_message *m = &vp->link.in;
	const struct rule *rule = NULL;
	const char *name = vhost_request_name(m->request);
	int err;

	*replies = false;
	*fd = -1;
	if (m->request < VHOST_REQUESTS)
		rule = &rules[m->request];
	if (!rule || !rule->handle)
		return error_set(&vp->error, -EOPNOTSUPP,
				 "request %u is not known here", m->request);
	if (rule->needs && !vhost_has_protocol(vp, rule->needs - 1))
		return error_set(&vp->error, -EPROTO,
				 "%s came, but its protocol feature was not "
				 "negotiated",
				 name);
	if (m->size < rule->size || m->size > rule->size_max)
		return error_set(&vp->error, -EPROTO,
				 "%s came with %u bytes instead of %u", name,
				 m->size, rule->size);
	if (m->n_fds > rule->fds_max)
		return error_set(&vp->error, -EPROTO,
				 "%s came with %u descriptors; %u may come",
				 name, m->n_fds, rule->fds_max);
	if (rule->replies && !rule->size)
		m->size = sizeof(m->u64);
	err = rule->handle(vp, m);
	*replies = !err && rule->replies;
	if (m->request == VHOST_GET_INFLIGHT_FD && !err)
		*fd = vp->inflight_fd;
	return err;
}
