/* SPDX-License-Identifier: BSD-2-Clause */
/* netmap_port.h - a port of driver netmap, for the files of the driver. */
#ifndef PORT_SHM_NETMAP_PORT_H
#define PORT_SHM_NETMAP_PORT_H
#include "port/shm/netmap.h"
#include "port/shm/shm.h"

struct pump;

struct netmap_port {
	struct shm_peer peer; /* first: what rings know */
	struct netmap_rings rings;
	struct port *port;
	/* Of a monitor: whom it watches, and the next one that does. */
	struct netmap_port *watched, *next_watcher;
	struct netmap_port *watchers; /* monitors of this one */
	struct pump *pump;	      /* what it is, if it is one */
	/* A pump: whose RX rings it looks at. Such a port: the pump. */
	struct netmap_port *pumped, *pumped_by;
	int epfd;
	struct shm_in in[PORT_RINGS_MAX];
	struct shm_out out[PORT_RINGS_MAX];
};

/* What a port has before it has rings; *out is also port->drv. */
int netmap_port_make(struct port *port, const struct netmap_rings *rings,
		     struct netmap_port **out, struct glen_error *error);
void netmap_port_free(struct port *port);
/* The pump that looks at its RX rings does so no more. */
void netmap_unpump(struct netmap_port *p);
/* Who sleeps on the ring of atok and was not called yet: bit i, of those that
 * want to be woken in way i of enum nmw_how. Now they count as called. */
unsigned netmap_asked(struct nm_csb_atok *atok, uint32_t called[2]);
/* Neither watches nor is watched any more; no worker runs its own rings. */
void netmap_unwatch(struct netmap_port *p);

#endif
