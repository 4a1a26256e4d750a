// SPDX-License-Identifier: BSD-2-Clause
// show.c - what "port show" says about a vhost-user port.
#include "port/vhost_user/session.h"

void vhost_show(struct port *port, json_t *o)
{
	const struct vhost_port *vp = port->drv;

	json_object_set_new(o, "path", json_string(vp->addr.sun_path));
	json_object_set_new(o, "mode",
			    json_string(vp->client ? "client" : "server"));
	json_object_set_new(o, "connected", json_boolean(vhost_connected(vp)));
	json_object_set_new(o, "connections", json_integer(vp->connections));
	json_object_set_new(o, "refused", json_integer(vp->refused));
	if (vp->last_error.code)
		json_object_set_new(o, "last_error",
				    json_string(vp->last_error.text));
}
