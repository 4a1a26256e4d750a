// SPDX-License-Identifier: BSD-2-Clause
// queue.c - starts, changes and stops virtqueues.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/offload.h"
#include "core/rcu.h"
#include "lib/error.h"
#include "lib/shm.h"
#include "port/vhost_user/session.h"

enum { INDEX_MASK = 0x7fff, WRAP_BIT = 0x8000 };

static bool is_egress(unsigned i)
{
	return !(i & 1);
}

void vhost_queue_fail(struct vhost_queue *q, const char *reason)
{
	static const uint64_t one = 1;
	const char *none = NULL;

	if (atomic_compare_exchange_strong(&q->failed, &none, reason))
		(void)!write(q->vhost->faults.fd, &one, sizeof(one));
}

void vhost_queue_owe(struct vhost_queue *q, uint8_t what)
{
	static const uint64_t one = 1;

	atomic_fetch_or(&q->owed, what);
	(void)!write(q->vhost->faults.fd, &one, sizeof(one));
}

/* The eventfd of the front end's that a VHOST_OWED_* stands for. */
static int signal_fd(const struct vhost_setup *s, uint8_t what)
{
	return what == VHOST_OWED_CALL ? s->call_fd :
	       what == VHOST_OWED_KICK ? s->kick_fd :
					 s->err_fd;
}

void vhost_queue_signal(struct vhost_port *vp, unsigned i, uint8_t what)
{
	int fd = signal_fd(&vp->setup[i], what);

	if (fd < 0 || doorbell_ring(vp->doorbell, fd))
		return;
	atomic_fetch_or(&vp->queue[i].owed, what);
	loop_timer_set(&vp->owing, VHOST_OWING_MS);
}

void vhost_queues_owed(struct vhost_port *vp)
{
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		uint8_t owed = atomic_exchange(&vp->queue[i].owed, 0);

		if (owed)
			vp->setup[i].late++;
		for (uint8_t what = 1; what <= owed; what <<= 1)
			if (owed & what)
				vhost_queue_signal(vp, i, what);
	}
}

/* Offloads that a set of feature bits stands for. */
static unsigned offloads_of(uint64_t features, const uint8_t bits[6],
			    uint8_t uso_too)
{
	static const unsigned caps[] = { OFFLOAD_CAP_CSUM, OFFLOAD_CAP_TSO4,
					 OFFLOAD_CAP_TSO6, OFFLOAD_CAP_ECN,
					 OFFLOAD_CAP_UFO,  OFFLOAD_CAP_USO };
	unsigned sum = 0;

	/* All others build on the checksum. */
	if (!(features >> bits[0] & 1))
		return 0;
	for (unsigned i = 0; i < 6; i++)
		if (features >> bits[i] & 1)
			sum |= caps[i];
	if (!(features >> uso_too & 1))
		sum &= ~OFFLOAD_CAP_USO;
	return sum;
}

unsigned vhost_takes(uint64_t features)
{
	static const uint8_t bits[] = {
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
		VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN,
		VIRTIO_NET_F_GUEST_UFO,	 VIRTIO_NET_F_GUEST_USO4,
	};

	return offloads_of(features, bits, VIRTIO_NET_F_GUEST_USO6);
}

unsigned vhost_sends(uint64_t features)
{
	static const uint8_t bits[] = {
		VIRTIO_NET_F_CSUM,	VIRTIO_NET_F_HOST_TSO4,
		VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN,
		VIRTIO_NET_F_HOST_UFO,	VIRTIO_NET_F_HOST_USO,
	};

	return offloads_of(features, bits, VIRTIO_NET_F_HOST_USO);
}

/* Finds the parts of a split virtqueue. Returns NULL or what is wrong. */
static const char *split_find(const struct vhost_port *vp,
			      const struct vhost_setup *s, struct vhost_ring *r)
{
	const struct vhost_memory *m = &vp->memory;
	uint64_t n = s->size, event = r->event_idx ? 2 : 0;

	if (n & (n - 1))
		return "its size is not a power of two";
	r->mask = n - 1;
	r->desc = vhost_memory_uva(m, s->addr.desc, 16 * n, 16, NULL);
	r->avail = vhost_memory_uva(m, s->addr.avail, 4 + 2 * n + event, 2,
				    NULL);
	r->used = vhost_memory_uva(m, s->addr.used, 4 + 8 * n + event, 4, NULL);
	if (!r->desc || !r->avail || !r->used)
		return "its rings are not aligned, or not all in the guest's "
		       "memory";
	r->log_gpa = s->addr.flags & 1 ? s->addr.log : UINT64_MAX;
	return NULL;
}

static const char *packed_find(const struct vhost_port *vp,
			       const struct vhost_setup *s,
			       struct vhost_ring *r)
{
	const struct vhost_memory *m = &vp->memory;

	r->pdesc = vhost_memory_uva(m, s->addr.desc, 16 * (uint64_t)s->size, 16,
				    &r->log_gpa);
	r->driver_event = vhost_memory_uva(m, s->addr.avail, 4, 4, NULL);
	r->device_event = vhost_memory_uva(m, s->addr.used, 4, 4,
					   &r->log_event_gpa);
	if (!r->pdesc || !r->driver_event || !r->device_event)
		return "its ring is not aligned, or not all in the guest's "
		       "memory";
	return NULL;
}

/* What virtqueue i is to be like; NULL with *why if that cannot be. */
static struct vhost_ring *ring_make(const struct vhost_port *vp, unsigned i,
				    const char **why)
{
	const struct vhost_setup *s = &vp->setup[i];
	struct vhost_ring *r;

	*why = !s->size	    ? "it was started before its size was set" :
	       !s->has_addr ? "it was started before its addresses were set" :
	       !vp->memory.mem ? "there is no guest memory that glend may see: "
				 "start the guest with a memory backend that "
				 "has share=on" :
				 NULL;
	if (*why)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r) {
		*why = "out of memory";
		return NULL;
	}
	r->packed = vhost_has(vp, VIRTIO_F_RING_PACKED);
	r->event_idx = vhost_has(vp, VIRTIO_RING_F_EVENT_IDX);
	r->indirect = vhost_has(vp, VIRTIO_RING_F_INDIRECT_DESC);
	r->mergeable = vhost_has(vp, VIRTIO_NET_F_MRG_RXBUF);
	r->hdr_len = r->mergeable || vhost_has(vp, VIRTIO_F_VERSION_1) ? 12 :
									 10;
	r->no_kick = s->kick_fd < 0;
	r->size = s->size;
	r->sends = vhost_sends(vp->features);
	r->takes = vhost_takes(vp->features);
	r->call_fd = s->call_fd;
	r->mem = vp->memory.mem;
	if (vhost_has(vp, VHOST_F_LOG_ALL_BIT))
		r->log = vp->log;
	*why = r->packed ? packed_find(vp, s, r) : split_find(vp, s, r);
	if (!*why)
		return r;
	free(r);
	return NULL;
}

/* What control writes of a ring is logged as well. */
static void log_byte(const struct vhost_ring *r, uint64_t gpa)
{
	uint64_t page = gpa >> 12;

	if (r->log && gpa != UINT64_MAX && page / 8 < r->log->size)
		__atomic_fetch_or(&r->log->bits[page / 8], 1 << page % 8,
				  __ATOMIC_RELAXED);
}

/*
 * No kicks are needed: a queue into the guest never needs any, one out of it is
 * polled at first. (With event indexes a split ring cannot say never; where
 * its avail_event is not moved, a kick comes once in 65536 entries.)
 */
static void ring_quiet(const struct vhost_ring *r)
{
	if (r->packed) {
		shm_store16(&r->device_event->flags,
			    VRING_PACKED_EVENT_FLAG_DISABLE);
		log_byte(r, r->log_event_gpa);
	} else if (!r->event_idx) {
		shm_store16(&r->used->flags, VRING_USED_F_NO_NOTIFY);
		log_byte(r, r->log_gpa);
	}
}

/*
 * Where a virtqueue begins that is set up anew.
 *
 * Split: behind what the guest was told to be used; what had been taken besides
 * is taken again. Packed: the base, whose upper half (not all front ends fill
 * it in) is what has been used.
 */
static void place(const struct vhost_port *vp, unsigned i,
		  const struct vhost_ring *r, struct vhost_saved_queue *at)
{
	uint16_t low = vp->setup[i].base, high = vp->setup[i].base >> 16;
	uint16_t word = high ? high : low;

	*at = (struct vhost_saved_queue){ .valid = 1 };
	if (!r->packed) {
		at->avail = at->used = shm_load16(&r->used->idx);
		return;
	}
	if (vp->saved->queue[i].valid && vp->saved->packed &&
	    vhost_packed_resume(r, &vp->saved->queue[i], is_egress(i), at))
		return;
	at->avail = at->used = word & INDEX_MASK;
	at->avail_wrap = at->used_wrap = word >> 15;
}

/* The state file's record becomes one of this kind of rings. */
static void save_kind(struct vhost_port *vp, bool packed)
{
	if (vp->saved->packed == packed)
		return;
	for (unsigned i = 0; i < VHOST_QUEUES_MAX; i++)
		if (!vp->setup[i].running)
			vp->saved->queue[i].valid = 0;
	vp->saved->packed = packed;
}

static void note_failure(struct vhost_port *vp, unsigned i, const char *why)
{
	struct vhost_setup *s = &vp->setup[i];

	atomic_store(&vp->queue[i].failed, why);
	s->reason = why;
	s->fails++;
	port_log(vp->port, "virtqueue %u is stopped: %s", i, why);
	vhost_queue_signal(vp, i, VHOST_OWED_ERR);
}

/* A ring that does not run yet. Returns NULL or what is wrong. */
static const char *start(struct vhost_port *vp, unsigned i,
			 struct vhost_ring *r)
{
	struct vhost_setup *s = &vp->setup[i];
	struct vhost_queue *q = &vp->queue[i];
	struct vhost_saved_queue at = vhost_queue_at(q);
	const char *why;

	if (!s->placed) {
		place(vp, i, r, &at);
		why = vhost_inflight_settle(vp, i, r, &at);
		if (why)
			return why;
	}
	/* Also where it stood when it was longer, or a split one. */
	if (r->packed && at.used >= r->size)
		return "its base is not an index of the ring";
	/* It would stand still, and nobody would know why. */
	if (r->packed && vhost_packed_is_worn(r) &&
	    !vhost_packed_is_next(r, &at))
		return "nobody knows any more how far this packed ring is: "
		       "reset the guest's network card, or reboot the guest";
	vhost_queue_reset(q, is_egress(i), &at);
	if (is_egress(i) && r->packed) {
		q->later = calloc(r->size, sizeof(*q->later));
		if (!q->later)
			return "out of memory";
	}
	save_kind(vp, r->packed);
	*q->saved = at;
	s->placed = s->running = true;
	s->started++;
	vp->useful = true;
	ring_quiet(r);
	rcu_publish(&q->ring, r);
	/* Somebody before us may have used entries and not called. */
	vhost_queue_signal(vp, i, VHOST_OWED_CALL);
	return NULL;
}

/* Nobody uses ring i any more. */
static void stopped(struct vhost_port *vp, unsigned i)
{
	struct vhost_queue *q = &vp->queue[i];

	vp->setup[i].running = false;
	if (is_egress(i)) {
		free(q->later);
		q->later = NULL;
	} else {
		port_in_stop(&vp->port->in[i / 2]);
	}
}

static bool is_wanted(const struct vhost_port *vp, unsigned i)
{
	const struct vhost_setup *s = &vp->setup[i];
	/* Without protocol features there is no ENABLE. */
	bool enabled = s->enabled || !vhost_has(vp, VHOST_F_PROTOCOL_BIT);

	return s->kicked && enabled && !atomic_load(&vp->queue[i].failed);
}

/*
 * What virtqueue i is to be now; NULL: it is not to run. A front end replaces
 * memory by removing it and adding it: a ring that was in it goes on then.
 */
static struct vhost_ring *ring_wanted(struct vhost_port *vp, unsigned i)
{
	struct vhost_setup *s = &vp->setup[i];
	struct vhost_queue *q = &vp->queue[i];
	bool again = s->astray;
	struct vhost_ring *r;
	const char *why;

	s->astray = false;
	if (again)
		atomic_store(&q->failed, NULL);
	if (!is_wanted(vp, i))
		return NULL;
	r = ring_make(vp, i, &why);
	s->astray = !r;
	if (!r && again && why == s->reason)
		atomic_store(&q->failed, why); /* as was said */
	else if (!r)
		note_failure(vp, i, why);
	return r;
}

/* The egress rings that get packets are the first ones that run. */
static void use_out(struct vhost_port *vp, const bool *runs, bool only_fewer)
{
	unsigned n = 0;

	while (n < vp->n_pairs && runs[2 * n])
		n++;
	n = n ? n : 1;
	if (n < vp->port->n_out_used || !only_fewer)
		port_out_use(vp->port, n);
}

/* Runs the ingress rings whose virtqueues run. */
static void start_in(struct vhost_port *vp)
{
	for (unsigned i = 1; i < 2 * vp->n_pairs; i += 2) {
		struct ingress *in = &vp->port->in[i / 2];
		struct glen_error error;

		if (!vp->setup[i].running || in->worker ||
		    !port_in_start(in, vp->setup[i].kick_fd, &error))
			continue;
		note_failure(vp, i, "no worker can run it: out of memory");
		vhost_queues_update(vp, 1U << i);
	}
}

void vhost_queues_update(struct vhost_port *vp, uint32_t mask)
{
	struct vhost_ring *was[VHOST_QUEUES_MAX], *now[VHOST_QUEUES_MAX];
	bool runs[VHOST_QUEUES_MAX], any = false;
	const char *why;

	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		was[i] = now[i] = atomic_load(&vp->queue[i].ring);
		if (mask >> i & 1)
			now[i] = ring_wanted(vp, i);
		runs[i] = now[i];
	}
	use_out(vp, runs, true);
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		if (was[i] && was[i] != now[i]) {
			rcu_publish(&vp->queue[i].ring, now[i]);
			any = true;
		}
	}
	if (any)
		rcu_wait();
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		if (was[i] == now[i])
			continue;
		free(was[i]);
		if (was[i] && !now[i])
			stopped(vp, i);
		if (was[i] || !now[i])
			continue;
		why = start(vp, i, now[i]);
		if (!why)
			continue;
		free(now[i]);
		runs[i] = false;
		note_failure(vp, i, why);
	}
	start_in(vp);
	use_out(vp, runs, false);
}

void vhost_queues_stop(struct vhost_port *vp, uint32_t mask)
{
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++)
		if (mask >> i & 1)
			vp->setup[i].kicked = false;
	vhost_queues_update(vp, mask);
}

void vhost_queues_check(struct vhost_port *vp)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		const char *why = atomic_load(&vp->queue[i].failed);

		if (!why || !vp->setup[i].running)
			continue;
		note_failure(vp, i, why);
		mask |= 1U << i;
	}
	if (mask)
		vhost_queues_update(vp, mask);
}

uint32_t vhost_queue_base(const struct vhost_port *vp, unsigned i)
{
	struct vhost_saved_queue at = vhost_queue_at(&vp->queue[i]);
	uint32_t word = at.used;

	if (!vp->setup[i].placed)
		return vp->setup[i].base;
	if (!vhost_has(vp, VIRTIO_F_RING_PACKED))
		return word;
	word |= at.used_wrap ? WRAP_BIT : 0;
	return word | word << 16;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vhost_queues_forget(struct vhost_port *vp)
{
	vhost_queues_stop(vp, UINT32_MAX);
	for (unsigned i = 0; i < 2 * vp->n_pairs; i++) {
		struct vhost_setup *s = &vp->setup[i];

		fd_close(s->kick_fd);
		fd_close(s->call_fd);
		fd_close(s->err_fd);
		*s = (struct vhost_setup){
			.kick_fd = -1,
			.call_fd = -1,
			.err_fd = -1,
			.started = s->started,
			.fails = s->fails,
			.late = s->late,
			.reason = s->reason,
		};
		atomic_store(&vp->queue[i].failed, NULL);
		atomic_store(&vp->queue[i].owed, 0);
		/* The next guest is another one. */
		if (!is_egress(i))
			atomic_store(&vp->queue[i].rarp, 0);
	}
}
