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

	for (unsigned i = 0; i < NM_CORES; i++)
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

void nm_port_unplug(struct nm_port *p, unsigned i)
{
	bool before = p->stopping;

	p->stopping = true;
	if (p->core[i])
		control_port_close(p->nm->control, p->core[i], NULL);
	p->stopping = before;
}

void nm_port_stop(struct nm_port *p)
{
	p->stopping = true;
	for (unsigned i = NM_CORES; i-- > 0;)
		nm_port_unplug(p, i);
	nm_nic_stop(p);
	p->stopping = false;
	if (p->kind == NM_MONITOR)
		nm_monitor_end(p->parent);
	netmap_window_destroy(p->window);
	p->window = NULL;
	netmap_bell_fini(&p->bell);
}

static int open_core(struct nm_port *p, unsigned i, const char *full,
		     const char *driver, const void *made,
		     struct glen_error *error)
{
	struct port_args args = { .made = made };
	int err;

	p->stopping = true;
	args.params = json_object();
	err = control_port_open(p->nm->control, full, driver, &args, false,
				&p->core[i], error);
	json_decref(args.params);
	p->stopping = false;
	return err == -EEXIST ? -EBUSY : err;
}

static struct netmap_rings rings_of(struct nm_port *p)
{
	return (struct netmap_rings){
		.window = p->window,
		.bell = &p->bell,
		.closed = closed,
		.show = show,
		.arg = p,
	};
}

int nm_port_plug(struct nm_port *p, unsigned i, const char *full,
		 struct glen_error *error)
{
	const struct nm_window *l = &p->window->layout;
	enum nmw_kind tx = i ? NMW_HOST_TX : NMW_TX;
	enum nmw_kind rx = i ? NMW_HOST_RX : NMW_RX;
	bool sends = p->kind != NM_MONITOR;
	struct netmap_rings rings = rings_of(p);

	rings.tx_line = nmw_line(l, 0, tx, 0);
	rings.n_tx = sends ? l->n[tx] : 0;
	rings.rx_line = nmw_line(l, 0, rx, 0);
	rings.n_rx = l->n[rx];
	rings.tx_slots = l->tx_slots;
	rings.rx_slots = l->rx_slots;
	rings.vnet_hdr_len = p->hdr_len;
	rings.swap = p->swap;
	rings.asks = p->kind == NM_VALE;
	rings.saved = p->window->saved[i];
	return open_core(p, i, full, "netmap", &rings, error);
}

int nm_port_pump(struct nm_port *p, unsigned i, const char *full,
		 struct glen_error *error)
{
	const struct netmap_pump_config config = { rings_of(p), p->core[i] };

	return open_core(p, NM_PUMP + i, full, "netmap-pump", &config, error);
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

static int plug_monitor(struct nm_port *p, struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	int err = idle_switch(p->nm, error);

	for (unsigned i = 0; !err && i < 2; i++) {
		if (i && !p->n[NMW_HOST_TX] && !p->n[NMW_HOST_RX])
			break;
		snprintf(full, sizeof(full), "%s:monitor-%" PRIu64,
			 NM_IDLE_SWITCH, ++p->nm->n_odd);
		err = nm_port_plug(p, i, full, error);
	}
	return err;
}

static int plug_vale(struct nm_port *p, struct glen_error *error)
{
	char full[GLEN_NAME_MAX + 1];
	int err;

	if (p->full[0])
		return nm_port_plug(p, 0, p->full, error);
	snprintf(full, sizeof(full), "%s:%.31s", NM_IDLE_SWITCH, p->name);
	err = idle_switch(p->nm, error);
	return err ? err : nm_port_plug(p, 0, full, error);
}

int nm_port_move(struct nm_port *p, const char *full, struct glen_error *error)
{
	int err = 0;

	strcpy(p->full, full);
	nm_port_unplug(p, NM_PUMP);
	nm_port_unplug(p, 0);
	if (p->window)
		err = plug_vale(p, error);
	for (unsigned i = 0; i < NMW_OPENS && !err; i++) {
		struct nm_open *o = p->open[i];

		if (!o)
			continue;
		netmap_bell_del(&p->bell, p->core, NM_CORES, o->fd);
		err = netmap_bell_add(&p->bell, p->core, NM_CORES, o->fd,
				      o->end);
		if (err)
			error_set(error, err, "epoll: %s", strerror(-err));
	}
	if (!err)
		nm_monitor_again(p);
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
	if (!err && p->kind == NM_VALE)
		err = plug_vale(p, error);
	if (!err && p->kind == NM_MONITOR)
		err = plug_monitor(p, error);
	if (!err && p->kind == NM_NIC)
		err = nm_nic_start(p, error);
	if (err)
		nm_port_stop(p);
	return err;
}
