/* SPDX-License-Identifier: BSD-2-Clause */
/* liar.h - a client that broke the protocol, and what must follow. */
#ifndef TESTS_UNIT_LIAR_H
#define TESTS_UNIT_LIAR_H
#include "raw_client.h"

#define TINY "{\"slots\": 16, \"buf_size\": 64}"

/* Port 0 is a sink of the test's, or what else a test wants there. */
static struct port *far;
static struct client *client;

static inline void open_far(void)
{
	far = rig_port("far", "{\"slots\": 4096}");
}

/* Two honest ports next to a liar: they lose nothing. */
static inline void breaks(const char *reason)
{
	struct port *honest = rig_port("honest", "{}");
	const char *broken = NULL;

	for (unsigned i = 0; i < 10; i++) {
		rig_send(far, 0,
			 (struct sent){ .verdict = TO(honest->index),
					.seq = i });
		rig_send(far, 0,
			 (struct sent){ .verdict = TO(client->port->index) });
	}
	rig_run();
	for (unsigned i = 0; i < 10; i++)
		rig_expect(honest, 0, i);
	broken = atomic_load(&client->port->broken);
	assert_non_null(broken);
	if (!strstr(broken, reason))
		fail_msg("\"%s\" is not about \"%s\"", broken, reason);
	assert_ptr_equal(engine_broken(engine), client->port);
	rig_check();
	client_close(client);
	port_destroy(honest);
	rig_check();
	client = client_open("a", TINY);
}

#endif
