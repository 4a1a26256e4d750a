// SPDX-License-Identifier: BSD-2-Clause
// pipe.c - pipes: two ends in one window, and no packet through glend.
/*
 * Theory of operation
 *
 * Programs at the ends move packets themselves: the sender exchanges its TX
 * slots with the other end's RX slots. What is left for glend is the window,
 * the relay of wake-ups (each end kicks, and the other one is called), and to
 * mend what a program leaves that is killed in the middle of an exchange.
 *
 * A pipe's port is that of its master, "parent{id"; opens know their end. It
 * has a reference of its parent, whose region it is in. A parent that does not
 * exist is made: a persistent port that goes with the last pipe.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/port.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"
#include "lib/shm.h"

/* Where a pipe's name parts; NULL: it is none. */
static const char *mark(const char *name)
{
	const char *at = strrchr(name, '{');

	return at ? at : strrchr(name, '}');
}

int nm_pipe_end(const char *name)
{
	const char *at = mark(name);

	return at ? *at == '}' : -1;
}

/* Could a persistent port have this name? */
static bool is_free_name(const char *name)
{
	struct glen_error none;

	return strlen(name) <= NM_VALE_PART &&
	       strncmp(name, NM_BDG_NAME, strlen(NM_BDG_NAME)) &&
	       name_check("port", name, &none);
}

/* The parent of a pipe, made if it is not there. */
static int get_parent(struct nm *nm, const struct nm_req *req,
		      struct nm_port **parent, struct glen_error *error)
{
	struct nm_req up = {
		.uid = req->uid,
		.mode = NR_REG_ALL_NIC,
		.mem_id = req->mem_id,
		.swap = req->swap,
		.interface = req->interface,
		.netns = req->netns,
		.pid = req->pid,
	};
	struct nm_port *p;
	struct nm_mem *mem = NULL;
	int err;

	memcpy(up.name, req->name, mark(req->name) - req->name);
	p = nm_port_find(nm, up.name);
	if (p && p->attached[0] && !strcmp(p->name, up.name))
		return error_set(error, -EBUSY,
				 "port %s is attached to switch port %s",
				 p->name, p->attached);
	err = nm_port_get(nm, &up, parent, error);
	if (err != -ENXIO || !is_free_name(up.name))
		return err;
	if (up.mem_id)
		err = nm_mem_find(nm, up.uid, up.mem_id, &mem, error);
	else
		err = nm_mem_make(nm, up.uid, &mem, error);
	if (err)
		return err;
	p = nm_port_make(nm, NM_VALE, up.name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	nm_port_shape(p, &up);
	p->made_by_pipe = true;
	*parent = p;
	return 0;
}

static int make(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error)
{
	char name[NETMAP_REQ_IFNAMSIZ];
	struct nm_port *parent, *p;
	int err = get_parent(nm, req, &parent, error);

	if (err)
		return err;
	if (parent->n_pipes == NM_PIPES_MAX) {
		err = error_set(error, -ENOMEM,
				"port %s has %d pipes, as many as it can have",
				parent->name, NM_PIPES_MAX);
		goto err_put;
	}
	strcpy(name, req->name);
	name[mark(name) - name] = '{';
	parent->mem->refs++;
	p = nm_port_make(nm, NM_PIPE, name, parent->mem);
	if (!p) {
		err = error_set(error, -ENOMEM, "out of memory");
		goto err_put;
	}
	p->parent = parent;
	parent->n_pipes++;
	nm_port_shape(p, req);
	*port = p;
	return 0;
err_put:
	nm_port_put(parent);
	return err;
}

int nm_pipe_get(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error)
{
	const char *at = mark(req->name);
	struct nm_port *p;

	if (at == req->name || !at[1])
		return error_set(error, -EINVAL,
				 "'%s': a pipe has a parent in front of its "
				 "brace and a name behind it",
				 req->name);
	if (req->mode != NR_REG_ALL_NIC && req->mode != NR_REG_ONE_NIC)
		return error_set(error, -EINVAL,
				 "a pipe has rings of modes ALL_NIC and "
				 "ONE_NIC only");
	p = nm_port_find(nm, req->name);
	return p ? nm_port_look(nm, req, port, error) :
		   make(nm, req, port, error);
}

/* Whoever opens an end that somebody had finds the indexes that were last
 * published, and no others. */
static void settle(struct nm_port *p, unsigned end, enum nmw_kind kind)
{
	const struct nm_window *l = &p->window->layout;

	for (unsigned i = 0; i < nmw_n(l, end, kind); i++) {
		unsigned line = nmw_line(l, end, kind, i);
		uint8_t *base = p->window->base;
		struct netmap_ring *ring = nmw_ring(l, base, line);
		uint32_t mask = nmw_slots(l, end, kind) - 1;
		uint32_t head = shm_load32(&nmw_atok(base, line)->head) & mask;

		shm_store32(&ring->head, head);
		shm_store32(&ring->cur, head);
		shm_store32(&ring->tail,
			    shm_load32(&nmw_ktoa(base, line)->hwtail) & mask);
		shm_store32(&ring->flags, 0);
		shm_store32(&nmw_sync(base, line)->head, head);
		shm_store32(&nmw_sync(base, line)->cur, head);
	}
}

void nm_pipe_first(struct nm_port *p, unsigned end)
{
	settle(p, end, NMW_TX);
	settle(p, end, NMW_RX);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * A sender that was killed between the two halves of an exchange leaves a
 * buffer in a slot of each side. The receiver does not look at its one, which
 * was not published; the sender's gets another buffer.
 */
static void mend(struct nm_port *p, unsigned end, unsigned i)
{
	struct netmap_window *w = p->window;
	const struct nm_window *l = &w->layout;
	struct netmap_ring *tx = nmw_ring(l, w->base,
					  nmw_line(l, end, NMW_TX, i));
	struct netmap_ring *rx = nmw_ring(l, w->base,
					  nmw_line(l, !end, NMW_RX, i));
	uint32_t slots = nmw_slots(l, end, NMW_TX), id;
	uint32_t *have = malloc(slots * sizeof(*have));
	struct glen_error error;

	for (uint32_t s = 0; have && s < slots; s++)
		have[s] = slot_buf(slot_load(&rx->slot[s]));
	if (have)
		qsort(have, slots, sizeof(*have), by_number);
	for (uint32_t s = 0; have && s < slots; s++) {
		uint64_t word = slot_load(&tx->slot[s]);

		id = slot_buf(word);
		if (!bsearch(&id, have, slots, sizeof(*have), by_number) ||
		    region_take(&w->member, 1, &id, &error))
			continue;
		slot_store(&tx->slot[s],
			   slot_word(id, slot_len(word),
				     slot_flags(word) | NS_BUF_CHANGED));
	}
	free(have);
}

void nm_pipe_last(struct nm_port *p, unsigned end)
{
	const struct nm_window *l = &p->window->layout;

	if (p->kind != NM_PIPE)
		return;
	for (unsigned i = 0; i < nmw_n(l, end, NMW_TX); i++) {
		unsigned line = nmw_line(l, end, NMW_TX, i);

		/* Where it was in no sync glend may be moving slots now. */
		if (!p->core[NM_PUMP] ||
		    shm_load32(&nmw_sync(p->window->base, line)->owner))
			mend(p, end, i);
	}
	netmap_bell_call(&p->bell);
}

void nm_pipe_relay(struct nm_open *o)
{
	struct nm_port *p = o->port;

	for (unsigned i = 0; i < NMW_OPENS; i++)
		if (p->open[i] && p->open[i]->end != o->end)
			(void)!send(p->open[i]->fd, "", 1,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
}
