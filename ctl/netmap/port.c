// SPDX-License-Identifier: BSD-2-Clause
// port.c - what names mean, and the life of netmap ports.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/engine.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"

static const char *const kinds[] = { "vale", "pipe", "nic", "monitor", "null" };

struct nm_port *nm_port_find(struct nm *nm, const char *name)
{
	for (struct nm_port *p = nm->ports; p; p = p->next)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

struct nm_port *nm_port_make(struct nm *nm, enum nm_kind kind, const char *name,
			     struct nm_mem *mem)
{
	struct nm_port *p = calloc(1, sizeof(*p));

	if (!p) {
		nm_mem_put(nm, mem);
		return NULL;
	}
	p->nm = nm;
	p->kind = kind;
	p->refs = 1;
	p->uid = mem->uid;
	p->mem = mem;
	strcpy(p->name, name);
	p->next = nm->ports;
	nm->ports = p;
	return p;
}

void nm_port_put(struct nm_port *p)
{
	struct nm_port **at = &p->nm->ports;

	if (--p->refs)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	nm_mem_put(p->nm, p->mem);
	free(p);
}

/* 0: what there is by default; what is too much becomes the most. */
static uint32_t bound(uint32_t value, uint32_t def, uint32_t min, uint32_t max)
{
	if (!value)
		return def;
	return value < min ? min : value > max ? max : value;
}

/* An ephemeral port of a switch. */
static int make_vale(struct nm *nm, const struct nm_req *req,
		     struct nm_mem *mem, struct nm_port **port,
		     struct glen_error *error)
{
	struct control_name name;
	struct nm_port *p;
	int err = control_split(req->name, &name, error);

	if (!err && req->interface)
		err = error_set(error, -EINVAL,
				"%s is a network interface, and not attached "
				"to %s (VALE_ATTACH, vale-ctl -a)",
				name.port, name.sw);
	if (err) {
		nm_mem_put(nm, mem);
		return err;
	}
	p = nm_port_make(nm, NM_VALE, req->name, mem);
	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	p->n[NMW_TX] = bound(req->n[NMW_TX], 1, 1, NMW_RINGS_MAX);
	p->n[NMW_RX] = bound(req->n[NMW_RX], 1, 1, NMW_RINGS_MAX);
	p->tx_slots = bound(req->tx_slots, NM_SLOTS, NMW_SLOTS_MIN,
			    NMW_SLOTS_MAX);
	p->rx_slots = bound(req->rx_slots, NM_SLOTS, NMW_SLOTS_MIN,
			    NMW_SLOTS_MAX);
	*port = p;
	return 0;
}

static int unknown(const struct nm_req *req, struct glen_error *error)
{
	return error_set(error, -ENXIO,
			 "there is no port '%s': names are valeX:port, "
			 "port{pipe, port}pipe, or those of interfaces",
			 req->name);
}

int nm_port_get(struct nm *nm, const struct nm_req *req, struct nm_port **port,
		struct glen_error *error)
{
	struct nm_mem *mem = NULL;
	struct nm_port *p;
	int err = 0;

	if (req->mem_id)
		err = nm_mem_find(nm, req->uid, req->mem_id, &mem, error);
	if (err)
		return err;
	p = nm_port_find(nm, req->name);
	if (p) {
		nm_mem_put(nm, mem);
		if (p->uid != req->uid)
			return error_set(error, -EACCES,
					 "port %s belongs to uid %u", p->name,
					 (unsigned)p->uid);
		p->refs++;
		*port = p;
		return 0;
	}
	if (strncmp(req->name, NM_BDG_NAME, strlen(NM_BDG_NAME)) ||
	    !strchr(req->name, ':')) {
		nm_mem_put(nm, mem);
		return unknown(req, error);
	}
	if (!mem)
		err = nm_mem_make(nm, req->uid, &mem, error);
	return err ? err : make_vale(nm, req, mem, port, error);
}

/* Start and stop */

/* netmap_rings': a port of a switch is gone. */
static void closed(void *arg, struct port *core)
{
	struct nm_port *p = arg;

	for (unsigned i = 0; i < 2; i++)
		if (p->core[i] == core)
			p->core[i] = NULL;
	if (p->stopping)
		return;
	/* Somebody deleted it, or its client broke the rules. Programs see
	 * their descriptors hang up; then the loop sees ours do. */
	p->name[0] = '\0';
	for (unsigned i = 0; i < NMW_OPENS; i++)
		if (p->open[i])
			shutdown(p->open[i]->fd, SHUT_RDWR);
}

static void show(void *arg, json_t *o)
{
	const struct nm_port *p = arg;

	json_object_set_new(o, "kind", json_string(kinds[p->kind]));
	json_object_set_new(o, "opens", json_integer(p->n_opens));
	json_object_set_new(o, "mem_id", json_integer(p->mem->id));
	json_object_set_new(o, "vnet_hdr_len", json_integer(p->hdr_len));
}

static int make_window(struct nm_port *p, struct glen_error *error)
{
	struct nm_window layout;
	struct netmap_window_config config = {
		.engine = p->nm->control->engine,
		.layout = &layout,
		.region = {
			.name = p->mem->region,
			.buf_size = p->mem->buf_size,
			.n_bufs = p->mem->n_bufs,
		},
		.name = p->name,
	};
	int err = nmw_init(&layout, p->n, p->tx_slots, p->rx_slots,
			   p->mem->buf_size, p->kind == NM_PIPE, error);

	if (!err)
		err = netmap_window_create(&config, &p->window, error);
	/* Netmap's word for "no room in the region". */
	return err == -ENOSPC ? -ENOMEM : err;
}

static void stop(struct nm_port *p)
{
	p->stopping = true;
	for (unsigned i = 2; i-- > 0;)
		if (p->core[i])
			control_port_close(p->nm->control, p->core[i], NULL);
	p->stopping = false;
	netmap_window_destroy(p->window);
	p->window = NULL;
	netmap_bell_fini(&p->bell);
}

/* Puts its rings on a switch. */
static int plug(struct nm_port *p, unsigned i, const char *full,
		struct glen_error *error)
{
	const struct nm_window *l = &p->window->layout;
	enum nmw_kind tx = i ? NMW_HOST_TX : NMW_TX;
	enum nmw_kind rx = i ? NMW_HOST_RX : NMW_RX;
	const struct netmap_rings rings = {
		.window = p->window,
		.bell = &p->bell,
		.tx_line = nmw_line(l, 0, tx, 0),
		.n_tx = l->n[tx],
		.rx_line = nmw_line(l, 0, rx, 0),
		.n_rx = l->n[rx],
		.tx_slots = l->tx_slots,
		.rx_slots = l->rx_slots,
		.vnet_hdr_len = p->hdr_len,
		.closed = closed,
		.show = show,
		.arg = p,
	};
	struct port_args args = { .made = &rings };
	int err;

	p->stopping = true;
	err = control_port_open(p->nm->control, full, "netmap", &args, false,
				&p->core[i], error);
	p->stopping = false;
	return err == -EEXIST ? -EBUSY : err;
}

static int start(struct nm_port *p, struct glen_error *error)
{
	int err = make_window(p, error);

	if (!err && netmap_bell_init(&p->bell))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err && p->kind == NM_VALE)
		err = plug(p, 0, p->name, error);
	if (err)
		stop(p);
	return err;
}

/* Binding */

/* Which rings of one direction: of n NIC rings and host host rings. */
static int range(const struct nm_req *req, unsigned n, unsigned host,
		 uint16_t *first, uint16_t *last)
{
	unsigned one = req->ringid;

	*first = 0;
	*last = n;
	switch (req->mode) {
	case NR_REG_ALL_NIC:
	case NR_REG_NULL:
		return 0;
	case NR_REG_SW:
		*first = n;
		*last = n + host;
		return 0;
	case NR_REG_NIC_SW:
		*last = n + host;
		return 0;
	case NR_REG_ONE_NIC:
		/* The direction that has fewer binds its first. */
		*first = one < n ? one : 0;
		*last = *first + (n > 0);
		return 0;
	case NR_REG_ONE_SW:
		*first = n + (one < host ? one : 0);
		*last = *first + (host > 0);
		return 0;
	}
	return -EINVAL;
}

static int ranges(const struct nm_port *p, unsigned end,
		  const struct nm_req *req, struct nmw_bind *b,
		  struct glen_error *error)
{
	const uint16_t *n = p->n;
	unsigned swap = end ? NMW_RX : 0;
	unsigned tx = n[NMW_TX ^ swap], rx = n[NMW_RX ^ swap];
	unsigned htx = n[NMW_HOST_TX ^ swap], hrx = n[NMW_HOST_RX ^ swap];
	bool host = req->mode == NR_REG_SW || req->mode == NR_REG_NIC_SW ||
		    req->mode == NR_REG_ONE_SW;

	if (host && !htx && !hrx)
		return error_set(error, -EINVAL, "port %s has no host rings",
				 p->name);
	if ((req->mode == NR_REG_ONE_NIC && req->ringid >= tx &&
	     req->ringid >= rx) ||
	    (req->mode == NR_REG_ONE_SW && req->ringid >= htx &&
	     req->ringid >= hrx))
		return error_set(error, -EINVAL, "port %s has no ring %u",
				 p->name, req->ringid);
	if (range(req, tx, htx, &b->tx_first, &b->tx_last) ||
	    range(req, rx, hrx, &b->rx_first, &b->rx_last))
		return error_set(error, -EINVAL, "nr_mode %u: there is none",
				 req->mode);
	if (req->flags & NR_RX_RINGS_ONLY)
		b->tx_first = b->tx_last = 0;
	if (req->flags & NR_TX_RINGS_ONLY)
		b->rx_first = b->rx_last = 0;
	return 0;
}

/* Calls f for each line that is bound, until it says no. */
static bool each_line(struct nm_port *p, unsigned end, const struct nmw_bind *b,
		      bool (*f)(struct nm_port *p, unsigned line, bool flag),
		      bool flag)
{
	const struct nm_window *l = &p->window->layout;

	for (unsigned i = b->tx_first; i < b->tx_last; i++)
		if (!f(p, nmw_line(l, end, NMW_TX, i), flag))
			return false;
	for (unsigned i = b->rx_first; i < b->rx_last; i++)
		if (!f(p, nmw_line(l, end, NMW_RX, i), flag))
			return false;
	return true;
}

static bool is_free(struct nm_port *p, unsigned line, bool exclusive)
{
	return !p->exclusive[line] && !(exclusive && p->users[line]);
}

static bool line_get(struct nm_port *p, unsigned line, bool exclusive)
{
	p->users[line]++;
	p->exclusive[line] = exclusive;
	return true;
}

static bool line_put(struct nm_port *p, unsigned line, bool flag)
{
	p->users[line]--;
	p->exclusive[line] = false;
	return true;
}

/* Extra buffers, chained; as many as there are, up to n. Their first. */
static uint32_t take_extra(struct nm_port *p, uint32_t n, uint32_t *got)
{
	struct netmap_window *w = p->window;
	struct region *r = w->member.region;
	struct glen_error error;
	uint32_t first = 0, id;

	*got = 0;
	if (n)
		w->member.extra = r->extra = true;
	while (*got < n && !region_take(&w->member, 1, &id, &error)) {
		memcpy(r->bufs + (size_t)id * r->buf_size, &first,
		       sizeof(first));
		first = id;
		++*got;
	}
	return first;
}

int nm_port_bind(struct nm_port *p, struct nm_open *o, const struct nm_req *req,
		 struct glen_error *error)
{
	bool first = !p->n_opens, exclusive = req->flags & NR_EXCLUSIVE;
	uint32_t extra;
	int err;

	o->end = 0;
	err = ranges(p, o->end, req, &o->bind, error);
	if (!err && first)
		err = start(p, error);
	if (err)
		return err;
	if (!each_line(p, o->end, &o->bind, is_free, exclusive)) {
		err = error_set(error, -EBUSY,
				"rings of port %s are bound exclusively, or "
				"were to be and are bound",
				p->name);
		goto err_stop;
	}
	for (o->index = 0; o->index < NMW_OPENS && p->open[o->index];)
		o->index++;
	if (o->index == NMW_OPENS) {
		err = error_set(error, -ENOMEM,
				"port %s is open %d times already", p->name,
				NMW_OPENS);
		goto err_stop;
	}
	err = netmap_bell_add(&p->bell, p->core, 2, o->fd);
	if (!err)
		err = loop_set(&p->nm->loop, &o->source, EPOLLRDHUP);
	if (err) {
		error_set(error, err, "epoll: %s", strerror(-err));
		netmap_bell_del(&p->bell, p->core, 2, o->fd);
		goto err_stop;
	}
	extra = take_extra(p,
			   req->extra_bufs < NM_EXTRA_MAX ? req->extra_bufs :
							    NM_EXTRA_MAX,
			   &o->extra_bufs);
	each_line(p, o->end, &o->bind, line_get, exclusive);
	nmw_write_open(&p->window->layout, p->window->base, o->index, o->end,
		       p->name, &o->bind,
		       p->mem->id == NM_MEM_GLOBAL ? 0 : NI_PRIV_MEM, extra);
	o->mode = req->mode;
	o->ringid = req->ringid;
	o->flags = req->flags;
	o->port = p;
	p->open[o->index] = o;
	p->n_opens++;
	p->refs++;
	return 0;
err_stop:
	if (first)
		stop(p);
	return err;
}

/* Extra buffers go back, from wherever the program left the list. */
static void give_extra(struct nm_open *o)
{
	struct netmap_window *w = o->port->window;
	struct region *r = w->member.region;
	const struct netmap_if *nifp = (void *)(w->base +
						nmw_nifp_off(o->index));
	uint32_t id = __atomic_load_n(&nifp->ni_bufs_head, __ATOMIC_RELAXED);

	for (uint32_t i = 0; i < o->extra_bufs; i++) {
		uint32_t next;

		if (id < REGION_RESERVED || id >= r->n_bufs)
			return;
		memcpy(&next, r->bufs + (size_t)id * r->buf_size, sizeof(next));
		region_give(&w->member, id);
		id = next;
	}
}

void nm_port_unbind(struct nm_open *o)
{
	struct nm_port *p = o->port;

	netmap_bell_del(&p->bell, p->core, 2, o->fd);
	each_line(p, o->end, &o->bind, line_put, false);
	p->open[o->index] = NULL;
	if (--p->n_opens)
		give_extra(o);
	else
		stop(p);
	o->port = NULL;
	nm_port_put(p);
}
