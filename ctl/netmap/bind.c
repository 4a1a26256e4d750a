// SPDX-License-Identifier: BSD-2-Clause
// bind.c - which rings an open has, and what else comes and goes with it.
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "ctl/netmap/internal.h"
#include "lib/error.h"

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

unsigned nm_opens_of_end(const struct nm_port *p, unsigned end)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NMW_OPENS; i++)
		n += p->open[i] && p->open[i]->end == end;
	return n;
}

/* Somebody else than the control loop looks for kicks. */
static bool has_worker(const struct nm_port *p)
{
	return p->core[0] || p->core[1] || p->core[NM_PUMP];
}

/* Nobody has it open any more. What is attached to a switch stays there, with
 * fresh rings. */
static void rest(struct nm_port *p)
{
	struct glen_error error;

	nm_port_stop(p);
	if (!p->attached[0] || !nm_port_start(p, &error))
		return;
	p->attached[0] = p->full[0] = '\0';
}

enum { BLOCK = 64 }; /* of bytes: packets are written in such */

/* Option OFFSETS holds for the port, from its first open on. */
static int offsets(struct nm_port *p, const struct nm_req *req,
		   struct glen_error *error)
{
	unsigned bits = req->offset_bits ? req->offset_bits : 64;
	uint32_t size = p->mem->buf_size;

	if (req->offset_max > size || req->offset_gap + BLOCK > size ||
	    req->offset_first > size - BLOCK - req->offset_gap)
		return error_set(error, -EINVAL,
				 "option OFFSETS: buffers have %u bytes; at "
				 "most %u, at first %u, and a gap of %u do not "
				 "go with that",
				 size, req->offset_max, req->offset_first,
				 req->offset_gap);
	if (!p->n_opens) {
		p->offset_max = req->offset_max;
		p->offset_first = req->offset_first;
		p->offset_gap = req->offset_gap;
		p->offset_mask = !req->offsets ? 0 :
				 bits < 64     ? (1ULL << bits) - 1 :
						 UINT64_MAX;
		return 0;
	}
	if (!req->offsets ||
	    (p->offset_mask && req->offset_max <= p->offset_max &&
	     req->offset_gap <= p->offset_gap &&
	     (bits == 64 || p->offset_mask == (1ULL << bits) - 1)))
		return 0;
	return error_set(error, -EBUSY,
			 "port %s is open, with offsets of at most %u bytes",
			 p->name, p->offset_max);
}

int nm_port_bind(struct nm_port *p, struct nm_open *o, const struct nm_req *req,
		 struct glen_error *error)
{
	bool first = !p->n_opens, exclusive = req->flags & NR_EXCLUSIVE;
	bool first_of_end;
	uint32_t extra;
	int err;

	o->end = p->kind == NM_PIPE ? nm_pipe_end(req->name) : 0;
	err = ranges(p, o->end, req, &o->bind, error);
	err = err ?: offsets(p, req, error);
	/* One that is attached to a switch runs already, and begins anew. */
	if (!err && first) {
		nm_port_stop(p);
		err = nm_port_start(p, error);
	}
	if (err)
		return err;
	first_of_end = !nm_opens_of_end(p, o->end);
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
	err = netmap_bell_add(&p->bell, p->core, NM_CORES, o->fd, o->end);
	if (!err)
		err = loop_set(&p->nm->loop, &o->source,
			       has_worker(p) ? EPOLLRDHUP :
					       EPOLLIN | EPOLLRDHUP);
	if (err) {
		error_set(error, err, "epoll: %s", strerror(-err));
		netmap_bell_del(&p->bell, p->core, NM_CORES, o->fd);
		goto err_stop;
	}
	if (p->kind == NM_MONITOR)
		err = nm_monitor_begin(p, &o->bind, error);
	if (err) {
		netmap_bell_del(&p->bell, p->core, NM_CORES, o->fd);
		goto err_stop;
	}
	extra = take_extra(p,
			   req->extra_bufs < NM_EXTRA_MAX ? req->extra_bufs :
							    NM_EXTRA_MAX,
			   &o->extra_bufs);
	each_line(p, o->end, &o->bind, line_get, exclusive);
	if (first_of_end && !first)
		nm_pipe_first(p, o->end);
	nm_nic_bound(p);
	strcpy(o->name, req->name);
	nmw_write_open(&p->window->layout, p->window->base, o->index, o->end,
		       o->name, &o->bind,
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
		rest(p);
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

	netmap_bell_del(&p->bell, p->core, NM_CORES, o->fd);
	each_line(p, o->end, &o->bind, line_put, false);
	p->open[o->index] = NULL;
	if (--p->n_opens) {
		give_extra(o);
		/* Others see there which rings are bound. */
		memset(p->window->base + nmw_nifp_off(o->index), 0,
		       NMW_OPEN_OFF);
		if (!nm_opens_of_end(p, o->end))
			nm_pipe_last(p, o->end);
		nm_nic_bound(p);
	} else {
		rest(p);
	}
	o->port = NULL;
	nm_port_put(p);
}
