// SPDX-License-Identifier: BSD-2-Clause
// snapshot.c - the immutable picture of a switch that workers use.
#include "core/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/rcu.h"
#include "lib/error.h"

void snapshot_free(struct switch_snap *snap)
{
	if (!snap)
		return;
	free(snap->dest);
	free(snap->egress);
	free(snap->isolated);
	for (unsigned s = 0; s < FLOOD_SETS; s++)
		free(snap->flood[s]);
	free(snap);
}

static struct switch_snap *snapshot_alloc(uint32_t n_dest, uint32_t n_egress)
{
	struct switch_snap *snap = calloc(1, sizeof(*snap));
	size_t member = sizeof(struct set_member);
	bool ok;

	if (!snap)
		return NULL;
	snap->n_dest = n_dest;
	snap->n_egress = n_egress;
	snap->dest = calloc(n_dest + 1, sizeof(*snap->dest));
	snap->egress = calloc(n_egress + 1, sizeof(*snap->egress));
	snap->isolated = calloc(n_dest + 1, sizeof(*snap->isolated));
	ok = snap->dest && snap->egress && snap->isolated;
	for (unsigned s = 0; s < FLOOD_SETS; s++) {
		snap->flood[s] = calloc(1, sizeof(*snap->flood[s]) +
						   n_dest * member);
		ok = ok && snap->flood[s];
	}
	if (ok)
		return snap;
	snapshot_free(snap);
	return NULL;
}

static void flood_add(struct port_set *set, const struct port *port)
{
	set->member[set->n++].port = port->index;
}

static void snapshot_add(struct switch_snap *snap, struct port *port,
			 uint32_t *egress)
{
	struct dest *d = &snap->dest[port->index];

	d->port = port;
	d->egress0 = *egress;
	d->n_out = port->n_out_used;
	for (unsigned r = 0; r < port->n_out; r++)
		snap->egress[(*egress)++] = &port->out[r];
	snap->isolated[port->index] = port->isolated;
	/* A port that only sends takes no copies: they would be counted. */
	if (!port->n_out)
		return;
	flood_add(snap->flood[FLOOD_ALL], port);
	if (!port->isolated)
		flood_add(snap->flood[FLOOD_NOT_ISOLATED], port);
}

int snapshot_update(struct vswitch *sw, struct glen_error *error)
{
	struct switch_snap *old = atomic_load(&sw->snap), *snap;
	uint32_t n_dest = 0, n_egress = 0, egress = 0;

	for (uint32_t i = 0; i < SWITCH_PORTS_MAX; i++) {
		if (!sw->ports[i])
			continue;
		n_dest = i + 1;
		n_egress += sw->ports[i]->n_out;
	}
	snap = snapshot_alloc(n_dest, n_egress);
	if (!snap)
		return error_set(error, -ENOMEM, "out of memory");
	snap->lookup = module_lookup_of(sw->module);
	snap->module_state = sw->module->state;
	snap->hdr_want = module_hdr_want(sw->module);
	snap->fabric = &sw->module->fabric;
	snap->drop = sw->module->module->drop;
	snap->n_drops = sw->module->module->n_drops;
	for (uint32_t i = 0; i < n_dest; i++)
		if (sw->ports[i])
			snapshot_add(snap, sw->ports[i], &egress);
	rcu_publish(&sw->snap, snap);
	rcu_wait();
	snapshot_free(old);
	return 0;
}

void snapshot_update_or_wait(struct vswitch *sw)
{
	while (snapshot_update(sw, NULL))
		usleep(1000);
}
