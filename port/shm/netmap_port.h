/* SPDX-License-Identifier: BSD-2-Clause */
/* netmap_port.h - a port of driver netmap, for the files of the driver. */
#ifndef PORT_SHM_NETMAP_PORT_H
#define PORT_SHM_NETMAP_PORT_H
#include "port/shm/netmap.h"
#include "port/shm/shm.h"

struct netmap_port {
	struct shm_peer peer; /* first: what rings know */
	struct netmap_rings rings;
	struct port *port;
	/* Of a monitor: whom it watches, and the next one that does. */
	struct netmap_port *watched, *next_watcher;
	struct netmap_port *watchers; /* monitors of this one */
	int epfd;
	struct shm_in in[PORT_RINGS_MAX];
	struct shm_out out[PORT_RINGS_MAX];
};

/* Neither watches nor is watched any more; no worker runs its own rings. */
void netmap_unwatch(struct netmap_port *p);

#endif
