/* SPDX-License-Identifier: BSD-2-Clause */
/* raw_client.h - a client of a shared-memory port that can lie, for tests. */
#ifndef TESTS_UNIT_RAW_CLIENT_H
#define TESTS_UNIT_RAW_CLIENT_H
/*
 * Maps the window and the buffers of an shm port as any client could and
 * writes what it likes: nothing of lib/ stands between the test and the words
 * that glend reads. Use with rig.h; a thread of its own per client is fine.
 */
#include <net/netmap.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/shm.h"
#include "port/shm/shm.h"
#include "rig.h"

struct client {
	struct port *port;
	struct layout l;
	uint8_t *window, *bufs;
	int fds[4]; /* ours: window, buffers, kick, call */
	char token[2 * SHM_TOKEN_SIZE + 1];
	uint32_t tx_head[GLEN_RINGS_MAX]; /* next slot to fill */
	uint32_t rx_head[GLEN_RINGS_MAX]; /* next slot to read */
	uint32_t kicked[GLEN_RINGS_MAX];  /* last need-kick obeyed */
	unsigned n_kicks;
	uint8_t saved[PORT_SAVED_SIZE] __attribute__((aligned(64)));
};

static inline struct netmap_slot *client_slots(struct client *c, bool rx,
					       unsigned ring)
{
	uint64_t off = rx ? layout_rx_ring(&c->l, ring) :
			    layout_tx_ring(&c->l, ring);

	return ((struct netmap_ring *)(c->window + off))->slot;
}

static inline struct nm_csb_atok *client_atok(struct client *c, bool rx,
					      unsigned ring)
{
	return (struct nm_csb_atok *)(c->window + LAYOUT_ATOK_OFF) +
	       (rx ? c->l.rings : 0) + ring;
}

static inline struct nm_csb_ktoa *client_ktoa(struct client *c, bool rx,
					      unsigned ring)
{
	return (struct nm_csb_ktoa *)(c->window + LAYOUT_KTOA_OFF) +
	       (rx ? c->l.rings : 0) + ring;
}

static inline uint8_t *client_buf(struct client *c, uint32_t buf)
{
	return c->bufs + (size_t)buf * c->l.buf_size;
}

static inline void client_map(struct client *c)
{
	int prot = PROT_READ | PROT_WRITE;

	c->window = mmap(NULL, c->l.window_size, prot, MAP_SHARED, c->fds[0],
			 0);
	c->bufs = mmap(NULL, c->l.bufs_size, prot, MAP_SHARED, c->fds[1], 0);
	assert_true(c->window != MAP_FAILED && c->bufs != MAP_FAILED);
}

/* Opens port name with params, a JSON text, and attaches to it. */
static inline struct client *client_open(const char *name, const char *params)
{
	struct client *c = aligned_alloc(64, (sizeof(*c) + 63) & ~63UL);
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	json_t *info = json_object();
	struct glen_error error;
	int fds[PORT_FDS_MAX];
	unsigned n = 0;

	memset(c, 0, sizeof(*c));
	args.saved = c->saved;
	if (port_create(sw, name, "shm", &args, &c->port, &error))
		fail_msg("%s", error.text);
	json_decref(args.params);
	c->port->ops->attach_info(c->port, info, fds, &n);
	assert_int_equal(n, 4);
	for (unsigned i = 0; i < n; i++)
		c->fds[i] = dup(fds[i]);
	strcpy(c->token, json_string_value(json_object_get(info, "token")));
	json_decref(info);
	c->l = ((struct shm_port *)c->port->drv)->layout;
	client_map(c);
	return c;
}

/* Lets go of everything but the port. */
static inline void client_free(struct client *c)
{
	munmap(c->window, c->l.window_size);
	munmap(c->bufs, c->l.bufs_size);
	for (unsigned i = 0; i < 4; i++)
		if (c->fds[i] >= 0)
			close(c->fds[i]);
	free(c);
}

static inline void client_close(struct client *c)
{
	port_destroy(c->port);
	client_free(c);
}

/* Fills TX slot at, which keeps its buffer; returns the buffer. */
static inline uint8_t *client_slot(struct client *c, unsigned ring, uint32_t at,
				   uint16_t len, uint16_t flags)
{
	struct netmap_slot *s = &client_slots(c, false, ring)[at];
	uint32_t buf = slot_buf(slot_load(s));

	slot_store(s, slot_word(buf, len, flags));
	return client_buf(c, buf);
}

/* Publishes tx_head and kicks if asked to. */
static inline void client_publish(struct client *c, unsigned ring)
{
	uint32_t need;

	shm_store_release32(&client_atok(c, false, ring)->head,
			    c->tx_head[ring]);
	shm_full_fence();
	need = shm_load32(&client_ktoa(c, false, ring)->kern_need_kick);
	if (need && need != c->kicked[ring]) {
		c->kicked[ring] = need;
		c->n_kicks++;
		assert_int_equal(eventfd_write(c->fds[2], 1), 0);
	}
}

static inline uint32_t client_room(struct client *c, unsigned ring)
{
	uint32_t tail = shm_load_acquire32(
		&client_ktoa(c, false, ring)->hwtail);

	return (tail - c->tx_head[ring]) & (c->l.slots - 1);
}

/*
 * Puts len bytes into slots of at most step bytes, without publishing them.
 * False if the ring has no room.
 */
static inline bool client_put(struct client *c, unsigned ring,
			      const uint8_t *data, uint32_t len, uint32_t step)
{
	uint32_t mask = c->l.slots - 1, n = (len + step - 1) / step;

	if (n > client_room(c, ring))
		return false;
	for (uint32_t at = 0; at < len; at += step) {
		uint32_t part = len - at < step ? len - at : step;
		uint8_t *buf = client_slot(c, ring, c->tx_head[ring], part,
					   at + part < len ? NS_MOREFRAG : 0);

		memcpy(buf, data + at, part);
		c->tx_head[ring] = (c->tx_head[ring] + 1) & mask;
	}
	return true;
}

/* Sends one packet in as few slots as it takes. */
static inline bool client_send(struct client *c, unsigned ring, struct sent s)
{
	static _Thread_local uint8_t buf[RIG_MAX];
	uint32_t step = c->l.buf_size < UINT16_MAX ? c->l.buf_size : UINT16_MAX;

	if (!s.len)
		s.len = 60;
	rig_build(buf, &s);
	if (!client_put(c, ring, buf, s.len, step))
		return false;
	client_publish(c, ring);
	return true;
}

static inline uint32_t client_waiting(struct client *c, unsigned ring)
{
	uint32_t tail = shm_load_acquire32(&client_ktoa(c, true, ring)->hwtail);

	assert_true(tail < c->l.slots);
	return (tail - c->rx_head[ring]) & (c->l.slots - 1);
}

/* Takes a packet, all of its slots, into buf; -1 if there is none. */
static inline int client_take(struct client *c, unsigned ring, uint8_t *buf)
{
	uint32_t left = client_waiting(c, ring), mask = c->l.slots - 1, n = 0;
	uint64_t w;
	int len = 0;

	if (!left)
		return -1;
	do {
		w = slot_load(&client_slots(c, true, ring)[c->rx_head[ring]]);
		assert_true(n++ < left);
		assert_true(slot_buf(w) >= 2 && slot_buf(w) < c->l.n_bufs);
		assert_true(slot_len(w) <= c->l.buf_size);
		memcpy(buf + len, client_buf(c, slot_buf(w)), slot_len(w));
		len += slot_len(w);
		c->rx_head[ring] = (c->rx_head[ring] + 1) & mask;
	} while (slot_flags(w) & NS_MOREFRAG);
	shm_store_release32(&client_atok(c, true, ring)->head,
			    c->rx_head[ring]);
	return len;
}

static inline bool client_recv(struct client *c, unsigned ring, struct sent *s)
{
	static _Thread_local uint8_t buf[RIG_MAX];
	int len = client_take(c, ring, buf);

	if (len < 0)
		return false;
	*s = rig_parse(buf, len);
	return true;
}

static inline void client_expect(struct client *c, unsigned ring, uint32_t seq)
{
	struct sent s;

	assert_true(client_recv(c, ring, &s));
	assert_int_equal(s.seq, seq);
}

#endif
