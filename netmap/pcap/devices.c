// SPDX-License-Identifier: BSD-2-Clause
// devices.c - what pcap_findalldevs() lists of glend.
/*
 * One device per switch: a port that would be made there. Its name can be used
 * as it is, and says how others look. Nothing is added if no glend answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/rpc.h"
#include "netmap/pcap/handle.h"

enum {
	LIST_MS = 1000, /* for glend to answer */
};

/* In memory that pcap_freealldevs() can free; NULL: none left. */
static pcap_if_t *device(const char *name)
{
	pcap_if_t *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	if (asprintf(&d->name, PREFIX "%s:pcap", name) < 0)
		d->name = NULL;
	if (asprintf(&d->description, "a new port of glen switch %s", name) < 0)
		d->description = NULL;
	d->flags = PCAP_IF_UP | PCAP_IF_RUNNING |
		   PCAP_IF_CONNECTION_STATUS_NOT_APPLICABLE;
	if (d->name)
		return d;
	free(d->description);
	free(d);
	return NULL;
}

void devices_append(pcap_if_t **list)
{
	struct rpc rpc = { .fd = -1 };
	json_t *switches = NULL, *one;
	size_t i;

	while (*list)
		list = &(*list)->next;
	if (rpc_open(&rpc, NULL, 0, NULL))
		return;
	if (!rpc_call(&rpc, "switch.list", NULL, NULL, 0, &switches, LIST_MS,
		      NULL)) {
		json_array_foreach(switches, i, one) {
			const char *name = json_string_value(
				json_object_get(one, "switch"));

			*list = name ? device(name) : NULL;
			if (*list)
				list = &(*list)->next;
		}
	}
	json_decref(switches);
	rpc_close(&rpc);
}
