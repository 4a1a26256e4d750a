// SPDX-License-Identifier: BSD-2-Clause
// ring.c - the client's side of rings: indexes, kicks, send and receive.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/port.h"
#include "lib/shm.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum {
	PREFETCH = 8, /* slots ahead; measured: a quarter off glen_send() */
};

/*
 * Another epoch than the ring's: either the port is closed, or there is a new
 * glend, which may ask for a kick with a value that the old one used too.
 */
static __attribute__((noinline)) int renew(struct glen_port *port,
					   struct ring *r)
{
	uint32_t epoch = port_epoch(port);

	if (epoch == EPOCH_DEAD)
		return -ENOTCONN;
	r->epoch = epoch;
	r->kicked = 0;
	return 0;
}

static inline int check_epoch(struct glen_port *port, struct ring *r)
{
	if (likely(port_epoch(port) == r->epoch))
		return 0;
	return renew(port, r);
}

static __attribute__((noinline)) void kick(struct glen_port *port)
{
	uint64_t one = 1;

	/* EAGAIN means that a kick is pending. */
	while (write(port->kick_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Makes head and cur of the ring header visible to the switch. */
static inline void publish(struct glen_port *port, struct ring *r)
{
	uint32_t head = r->ring->head, cur = r->ring->cur, need;

	if (cur != r->cur) {
		shm_store32(&r->atok->cur, cur);
		r->cur = cur;
	}
	if (head == r->head)
		return;
	/* Pairs with the acquire in port/shm's rx() and tx(). */
	shm_store_release32(&r->atok->head, head);
	r->head = head;
	/* Pairs with the fence of port/shm between arming and looking. */
	shm_full_fence();
	need = shm_load32(&r->ktoa->kern_need_kick);
	if (unlikely(need && need != r->kicked)) {
		r->kicked = need;
		kick(port);
	}
}

/* Sees how far the switch got. */
static inline int refresh(struct glen_port *port, struct ring *r)
{
	/* Pairs with the release of hwtail in port/shm. */
	uint32_t tail = shm_load_acquire32(&r->ktoa->hwtail);

	if (likely(tail != r->ring->tail)) {
		if (unlikely(tail > r->mask)) {
			port_die(port, "glend published an index beyond the "
				       "ring");
			return -ENOTCONN;
		}
		r->ring->tail = tail;
	} else if (!port->local) {
		link_idle(port);
	}
	return 0;
}

int ring_sync(struct glen_port *port, struct ring *r)
{
	int err = check_epoch(port, r);

	if (unlikely(err))
		return err;
	publish(port, r);
	return refresh(port, r);
}

int glen_txsync(struct glen_port *port, unsigned i)
{
	if (unlikely(i >= port->n_rings))
		return -EINVAL;
	return ring_sync(port, &port->tx[i]);
}

int glen_rxsync(struct glen_port *port, unsigned i)
{
	if (unlikely(i >= port->n_rings))
		return -EINVAL;
	return ring_sync(port, &port->rx[i]);
}

void ring_arm(struct ring *r)
{
	if (!++r->arm)
		r->arm = 1;
	shm_store32(&r->atok->appl_need_kick, r->arm);
}

void ring_disarm(struct ring *r)
{
	shm_store32(&r->atok->appl_need_kick, 0);
}

static inline char *buffer(const struct ring *r, uint32_t idx)
{
	return r->bufs + (size_t)idx * r->buf_size;
}

/* Where in its buffer the slot's packet begins; UINT32_MAX: nowhere. */
static inline uint32_t offset_of(const struct ring *r, uint32_t at,
				 uint32_t len)
{
	uint32_t offset;

	if (likely(!r->offsets))
		return 0;
	offset = shm_load64(&r->ring->slot[at].ptr) & LAYOUT_OFFSET_MASK;
	return offset <= r->buf_size - len ? offset : UINT32_MAX;
}

/* Copies len bytes, reading and writing nothing beyond them. */
static inline void copy(char *dst, const char *src, uint32_t len)
{
	uint32_t o;

	if (len >= 32 && len <= 64) {
		char a[32], b[32];

		__builtin_memcpy(a, src, 32);
		__builtin_memcpy(b, src + len - 32, 32);
		__builtin_memcpy(dst, a, 32);
		__builtin_memcpy(dst + len - 32, b, 32);
	} else if (len > 64 && len <= 256) {
		for (o = 0; o < len - 64; o += 64)
			__builtin_memcpy(dst + o, src + o, 64);
		__builtin_memcpy(dst + len - 64, src + len - 64, 64);
	} else {
		memcpy(dst, src, len);
	}
}

/* Fills slot i with one piece of a packet. False: the slot is unusable. */
static inline bool put(struct ring *r, uint32_t i, const char *data,
		       uint32_t len, uint16_t flags)
{
	struct netmap_slot *slot = &r->ring->slot[i];
	struct netmap_slot *ahead = &r->ring->slot[(i + PREFETCH) & r->mask];
	uint32_t idx = slot_buf(slot_load(slot));

	__builtin_prefetch(buffer(r, slot_buf(slot_load(ahead))), 1);
	/* Programs may exchange buf_idx; a slip must not hit the heap. */
	if (unlikely(idx >= r->n_bufs))
		return false;
	copy(buffer(r, idx), data, len);
	if (unlikely(r->offsets))
		shm_store64(&slot->ptr, 0);
	slot_store(slot, slot_word(idx, (uint16_t)len, flags));
	return true;
}

/* How many slots a packet takes. */
static inline uint32_t slots_of(const struct ring *r, uint32_t len)
{
	return len ? (len + r->slot_max - 1) / r->slot_max : 1;
}

/* Puts a packet that needs several slots at *head; -ENOBUFS: not now. */
static __attribute__((noinline)) int put_chain(struct glen_port *port,
					       struct ring *r, uint32_t *head,
					       const struct glen_packet *p)
{
	uint32_t n = slots_of(r, p->len), left = p->len, at = *head;
	const char *data = p->data;
	int err;

	if (n > NETMAP_MAX_FRAGS || n > r->mask)
		return -EMSGSIZE;
	if (n > ((r->ring->tail - at) & r->mask)) {
		err = refresh(port, r);
		if (err)
			return err;
	}
	if (n > ((r->ring->tail - at) & r->mask))
		return -ENOBUFS;
	for (; left; at = (at + 1) & r->mask) {
		uint32_t len = left < r->slot_max ? left : r->slot_max;

		left -= len;
		if (!put(r, at, data, len, left ? NS_MOREFRAG : 0))
			return -EINVAL;
		data += len;
	}
	*head = at;
	return 0;
}

int glen_send(struct glen_port *port, unsigned i,
	      const struct glen_packet *packets, unsigned n)
{
	struct netmap_ring *ring;
	struct ring *r;
	uint32_t head, room;
	unsigned done;
	int err;

	if (unlikely(i >= port->n_rings))
		return -EINVAL;
	r = &port->tx[i];
	ring = r->ring;
	err = check_epoch(port, r);
	head = ring->head;
	if (!err && ((ring->tail - head) & r->mask) < n)
		err = refresh(port, r);
	if (unlikely(err))
		return err;
	room = (ring->tail - head) & r->mask;
	for (done = 0; done < n && room; done++) {
		const struct glen_packet *p = &packets[done];

		if (likely(p->len <= r->slot_max)) {
			if (unlikely(!put(r, head, p->data, p->len, 0)))
				err = -EINVAL;
			else
				head = (head + 1) & r->mask;
			room--;
		} else {
			err = put_chain(port, r, &head, p);
			room = (ring->tail - head) & r->mask;
		}
		if (unlikely(err))
			break;
	}
	if (likely(done)) {
		ring->head = ring->cur = head;
		publish(port, r);
		return (int)done;
	}
	return err == -ENOBUFS ? 0 : err;
}

/* The next free scratch memory of a ring; NULL: out of memory. */
static struct scratch *scratch_get(struct ring *r)
{
	struct scratch *s = r->used ? r->used->next : r->scratch;

	if (!s) {
		s = malloc(sizeof(*s) + (size_t)NETMAP_MAX_FRAGS * r->slot_max);
		if (!s)
			return NULL;
		s->next = NULL;
		if (r->used)
			r->used->next = s;
		else
			r->scratch = s;
	}
	r->used = s;
	return s;
}

void ring_fini(struct ring *r)
{
	while (r->scratch) {
		struct scratch *next = r->scratch->next;

		free(r->scratch);
		r->scratch = next;
	}
	r->used = NULL;
}

/* Slots of the chain at at, at most left of them; 0: no end in sight. */
static uint32_t chain_len(const struct ring *r, uint32_t at, uint32_t left)
{
	for (uint32_t n = 1; n <= left; n++) {
		uint64_t w = slot_load(&r->ring->slot[at]);

		if (!(slot_flags(w) & NS_MOREFRAG))
			return n;
		at = (at + 1) & r->mask;
	}
	return 0;
}

/*
 * Copies the chain at *at together. Returns 1 and moves *at behind it, 0 if
 * its end is not there yet, or -errno.
 */
static __attribute__((noinline)) int get_chain(struct glen_port *port,
					       struct ring *r, uint32_t *at,
					       struct glen_packet *p)
{
	uint32_t left = (r->ring->tail - *at) & r->mask;
	uint32_t n = chain_len(r, *at, left);
	struct scratch *s;
	uint32_t len = 0;

	if (n > NETMAP_MAX_FRAGS || (!n && left >= NETMAP_MAX_FRAGS)) {
		port_die(port, "glend delivered a packet of more than 64 "
			       "slots");
		return -ENOTCONN;
	}
	if (!n)
		return 0;
	s = scratch_get(r);
	if (!s)
		return -ENOMEM;
	for (; n; n--, *at = (*at + 1) & r->mask) {
		uint64_t w = slot_load(&r->ring->slot[*at]);
		uint32_t offset;

		if (slot_buf(w) >= r->n_bufs || slot_len(w) > r->slot_max ||
		    (offset = offset_of(r, *at, slot_len(w))) == UINT32_MAX) {
			port_die(port, "glend delivered a bad slot");
			return -ENOTCONN;
		}
		memcpy(s->data + len, buffer(r, slot_buf(w)) + offset,
		       slot_len(w));
		len += slot_len(w);
	}
	p->data = s->data;
	p->len = len;
	return 1;
}

/* Fills packets[] from slots cur..tail. Returns the number or -errno. */
static inline int collect(struct glen_port *port, struct ring *r,
			  struct glen_packet *packets, unsigned n)
{
	uint32_t at = r->ring->cur, tail = r->ring->tail;
	unsigned done = 0;
	int err = 0;

	while (done < n && at != tail) {
		uint64_t w = slot_load(&r->ring->slot[at]);
		uint32_t len = slot_len(w), offset = 0;

		if (unlikely(slot_flags(w) & NS_MOREFRAG)) {
			err = get_chain(port, r, &at, &packets[done]);
			if (err > 0)
				done += packets[done].len > 0;
			break;
		}
		if (unlikely(slot_buf(w) >= r->n_bufs || len > r->slot_max ||
			     (offset = offset_of(r, at, len)) == UINT32_MAX)) {
			port_die(port, "glend delivered a bad slot");
			return -ENOTCONN;
		}
		packets[done].data = buffer(r, slot_buf(w)) + offset;
		packets[done].len = len;
		done += len > 0; /* empty slots are skipped */
		at = (at + 1) & r->mask;
	}
	r->ring->cur = at;
	return done || err > 0 ? (int)done : err;
}

int glen_recv(struct glen_port *port, unsigned i, struct glen_packet *packets,
	      unsigned n)
{
	struct netmap_ring *ring;
	struct ring *r;
	uint32_t start;
	int got;

	if (unlikely(i >= port->n_rings))
		return -EINVAL;
	r = &port->rx[i];
	ring = r->ring;
	got = check_epoch(port, r);
	start = ring->cur;
	if (!got && ((ring->tail - start) & r->mask) < n)
		got = refresh(port, r);
	if (unlikely(got))
		return got;
	got = collect(port, r, packets, n);
	/* Nobody will release slots that held nothing. */
	if (unlikely(!got && ring->cur != start && ring->head == start))
		glen_release(port, i);
	return got;
}

void glen_release(struct glen_port *port, unsigned i)
{
	struct ring *r;

	if (unlikely(i >= port->n_rings))
		return;
	r = &port->rx[i];
	r->ring->head = r->ring->cur;
	r->used = NULL;
	publish(port, r);
}
