// SPDX-License-Identifier: BSD-2-Clause
// start.c - windows of netmap ports, and their rings on switches.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/engine.h"
#include "ctl/netmap/internal.h"
#include "lib/error.h"

void nm_port_hang_up(struct nm_port *p)
{
	for (unsigned i = 0; i < NMW_OPENS; i++)
		if (p->open[i])
			shutdown(p->open[i]->fd, SHUT_RDWR);
}

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
	p->hidden = !p->persistent;
	p->attached[0] = '\0';
	nm_nic_forget(p);
	if (p->persistent)
		p->full[0] = '\0';
	nm_port_hang_up(p);
	if (!p->n_opens)
		nm_port_stop(p);
}

static void show(void *arg, json_t *o)
{
	const struct nm_port *p = arg;

	json_object_set_new(o, "kind", json_string(nm_kind_name(p->kind)));
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
			.windows = p->mem->pools.windows,
		},
		.name = p->name,
	};
	int err = nmw_init(&layout, p->n, p->tx_slots, p->rx_slots,
			   p->mem->buf_size, p->kind == NM_PIPE, error);

	if (!err)
		err = netmap_window_create(&config, &p->window, error);
	if (!err && p->offset_mask)
		netmap_window_offsets(p->window, p->offset_max, p->offset_first,
				      p->offset_gap, p->offset_mask);
	/* Netmap's word for "no room in the region". */
	return err == -ENOSPC ? -ENOMEM : err;
}

void nm_port_stop(struct nm_port *p)
{
	p->stopping = true;
	for (unsigned i = 2; i-- > 0;)
		if (p->core[i])
			control_port_close(p->nm->control, p->core[i], NULL);
	nm_nic_stop(p);
	p->stopping = false;
	netmap_window_destroy(p->window);
	p->window = NULL;
	netmap_bell_fini(&p->bell);
}

int nm_port_plug(struct nm_port *p, unsigned i, const char *full,
		 struct glen_error *error)
{
	const struct nm_window *l = &p->window->layout;
	enum nmw_kind tx = i ? NMW_HOST_TX : NMW_TX;
	enum nmw_kind rx = i ? NMW_HOST_RX : NMW_RX;
	bool sends = p->kind != NM_MONITOR;
	const struct netmap_rings rings = {
		.window = p->window,
		.bell = &p->bell,
		.tx_line = nmw_line(l, 0, tx, 0),
		.n_tx = sends ? l->n[tx] : 0,
		.rx_line = nmw_line(l, 0, rx, 0),
		.n_rx = l->n[rx],
		.tx_slots = l->tx_slots,
		.rx_slots = l->rx_slots,
		.vnet_hdr_len = p->hdr_len,
		.swap = p->swap,
		.asks = p->kind == NM_VALE,
		.saved = p->window->saved[i],
		.closed = closed,
		.show = show,
		.arg = p,
	};
	struct port_args args = { .made = &rings };
	int err;

	p->stopping = true;
	args.params = json_object();
	err = control_port_open(p->nm->control, full, "netmap", &args, false,
				&p->core[i], error);
	json_decref(args.params);
	p->stopping = false;
	return err == -EEXIST ? -EBUSY : err;
}

/* Where a persistent port is that is attached to no switch: what it sends is
 * dropped there. */
static int idle_switch(struct nm *nm, struct glen_error *error)
{
	struct engine *e = nm->control->engine;
	struct vswitch *sw = switch_find(e, NM_IDLE_SWITCH);

	return sw ? 0 :
		    switch_create(e, NM_IDLE_SWITCH, "static", NULL, &sw,
				  error);
}

static int plug_vale(struct nm_port *p, struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	int err;

	if (p->full[0])
		return nm_port_plug(p, 0, p->full, error);
	if (p->kind == NM_MONITOR)
		snprintf(full, sizeof(full), "%s:monitor-%" PRIu64,
			 NM_IDLE_SWITCH, ++p->nm->n_odd);
	else
		snprintf(full, sizeof(full), "%s:%.31s", NM_IDLE_SWITCH,
			 p->name);
	err = idle_switch(p->nm, error);
	return err ? err : nm_port_plug(p, 0, full, error);
}

int nm_port_move(struct nm_port *p, const char *full, struct glen_error *error)
{
	int err = 0;

	strcpy(p->full, full);
	p->stopping = true;
	if (p->core[0])
		control_port_close(p->nm->control, p->core[0], NULL);
	p->stopping = false;
	if (p->window)
		err = plug_vale(p, error);
	for (unsigned i = 0; i < NMW_OPENS && !err; i++) {
		struct nm_open *o = p->open[i];

		if (!o)
			continue;
		netmap_bell_del(&p->bell, p->core, 2, o->fd);
		err = netmap_bell_add(&p->bell, p->core, 2, o->fd);
		if (err)
			error_set(error, err, "epoll: %s", strerror(-err));
	}
	if (!err && p->window)
		/* Some may wait for the port that was. */
		netmap_bell_call(&p->bell);
	return err;
}

int nm_port_start(struct nm_port *p, struct glen_error *error)
{
	int err = make_window(p, error);

	if (!err && netmap_bell_init(&p->bell))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err && (p->kind == NM_VALE || p->kind == NM_MONITOR))
		err = plug_vale(p, error);
	if (!err && p->kind == NM_NIC)
		err = nm_nic_start(p, error);
	if (err)
		nm_port_stop(p);
	return err;
}
