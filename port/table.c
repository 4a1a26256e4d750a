// SPDX-License-Identifier: BSD-2-Clause
// table.c - the port drivers that are built in.
#include <string.h>

#include "core/port.h"
#include "port/dgram/dgram.h"
#include "port/dummy/dummy.h"
#include "port/packet/packet.h"
#include "port/pcap/pcap_port.h"
#include "port/shm/netmap.h"
#include "port/shm/shm.h"
#include "port/stream/stream.h"
#include "port/tap/tap.h"
#include "port/vhost_user/vhost_user.h"
#include "port/xdp/xdp.h"

static const struct port_ops *const drivers[] = {
	&shm_port_ops,
	&tap_port_ops,
	&vhost_port_ops,
	&stream_port_ops,
	&dgram_port_ops,
	&pcap_port_ops,
	&xdp_port_ops,
	&packet_port_ops,
	&host_port_ops,
	&dummy_port_ops,
	NULL,
};

const struct port_ops *const *port_drivers(void)
{
	return drivers;
}

const struct port_ops *port_driver_find(const char *name)
{
	for (unsigned i = 0; drivers[i]; i++)
		if (!strcmp(drivers[i]->name, name))
			return drivers[i];
	/* Not offered to users: ctl/netmap opens its ports. */
	if (!strcmp(netmap_port_ops.name, name))
		return &netmap_port_ops;
	if (!strcmp(netmap_pump_ops.name, name))
		return &netmap_pump_ops;
	return NULL;
}
