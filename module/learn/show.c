// SPDX-License-Identifier: BSD-2-Clause
// learn/show.c - the method vlan.show: VLANs and mirrors of ports.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/port.h"
#include "lib/error.h"
#include "module/learn/ports.h"

static int put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value);
}

static int put_vlans(json_t *object, const struct vlan_port *p, char *text)
{
	static const char *const names[] = {
		[VLAN_PLAIN] = NULL,
		[VLAN_ACCESS] = "vlan",
		[VLAN_TRUNK] = "native",
		[VLAN_QINQ] = "vlan",
	};
	int err = 0;

	if (p->vid)
		err = put(object, names[p->mode], json_integer(p->vid));
	if (p->mode != VLAN_TRUNK)
		return err;
	vlan_allowed_text(p, text);
	return err | put(object, "allowed", json_string(text));
}

static int put_mirror(json_t *object, const struct port_slot *slot)
{
	static const char *const what[] = { "none", "in", "out", "both" };
	const struct mirror *m = &slot->now->mirror;
	int err;

	if (!m->what)
		return 0;
	err = put(object, "mirror", json_string(what[m->what]));
	err |= put(object, "mirror_to", json_string(m->to));
	return err |
	       put(object, "mirrored",
		   json_boolean(slot->mirror_at[0] || slot->mirror_at[1]));
}

static json_t *port_object(const struct port_slot *slot, char *text)
{
	unsigned mode = slot->now ? slot->now->vlan.mode : VLAN_PLAIN;
	json_t *object = json_object();
	int err;

	err = put(object, "port", json_string(slot->name));
	err |= put(object, "mode",
		   json_string(slot->span ? "mirror" : vlan_mode_name(mode)));
	if (slot->now && !slot->span)
		err |= put_vlans(object, &slot->now->vlan, text);
	if (slot->now)
		err |= put_mirror(object, slot);
	if (!err)
		return object;
	json_decref(object);
	return NULL;
}

int learn_vlan_show(struct learn *l, json_t *params, json_t **result,
		    struct glen_error *error)
{
	static const char *const known[] = { "switch", NULL };
	int err = params_check(params, known, error);
	json_t *ports;
	char *text;

	if (err)
		return err;
	ports = json_array();
	text = malloc(VLAN_TEXT_SIZE);
	for (unsigned i = 0; i < LEARN_PORTS && text && !err; i++)
		if (l->slots[i].here)
			err = json_array_append_new(ports,
						    port_object(&l->slots[i],
								text));
	*result = !text || err ? NULL :
				 json_pack("{s:b, s:O}", "aware", l->aware,
					   "ports", ports);
	free(text);
	json_decref(ports);
	return *result ? 0 : error_set(error, -ENOMEM, "out of memory");
}
