/* SPDX-License-Identifier: BSD-2-Clause */
/* learn_vlan.h - a real switch with the learning bridge and dummy ports. */
#ifndef TESTS_UNIT_LEARN_VLAN_H
#define TESTS_UNIT_LEARN_VLAN_H
#include <errno.h>

#include "core/module.h"
#include "module/learn/ports.h"
#include "rig.h"

enum {
	PORTS = 6,
	VIDS = 6,
	STATIONS = 24,
	GROUP = 255,
	FRAME_LEN = 80,
};

static struct port *vlan_ports[PORTS];

static inline int vlan_setup(void **state)
{
	struct glen_error error;

	rig_open(NULL);
	memset(vlan_ports, 0, sizeof(vlan_ports));
	return switch_set_module(sw, "learn", NULL, &error);
}

#define VLAN_TEST(f) \
	cmocka_unit_test_setup_teardown(f, vlan_setup, rig_teardown)

static inline struct learn *vlan_learn(void)
{
	return sw->module->state;
}

/* The counter of one of the bridge's reasons. */
static inline unsigned vlan_drop(enum learn_drop reason)
{
	return sw->module->module->drop[reason];
}

static inline int vlan_try(unsigned i, const char *params,
			   struct glen_error *error)
{
	char name[2] = { 'a' + i };

	return rig_try(name, "dummy", params, &vlan_ports[i], error);
}

/* Ports are called a, b, ... and should get their indexes in this order. */
static inline void vlan_open(unsigned i, const char *params)
{
	struct glen_error error;

	if (vlan_try(i, params, &error))
		fail_msg("%s: %s", params, error.text);
}

static inline void vlan_change(unsigned i, const char *params)
{
	json_t *p = json_loads(params, 0, NULL);
	struct glen_error error;

	assert_non_null(p);
	if (port_set(vlan_ports[i], p, &error))
		fail_msg("%s: %s", params, error.text);
	json_decref(p);
}

/* A frame of 60 bytes, with a tag if vid is not 0, goes in and through. */
static inline void vlan_say(unsigned port, unsigned dst, unsigned src,
			    unsigned vid)
{
	uint8_t p[60] = { 2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src };

	if (dst == GROUP)
		memset(p, 0xff, 6);
	if (vid)
		rig_put32(p + 12, 0x81000000 | vid);
	assert_int_equal(dummy_inject_flat(vlan_ports[port], 0, p, sizeof(p)),
			 0);
	rig_run();
}

/* Takes all that came out. */
static inline void vlan_drain(void)
{
	uint8_t p[FRAME_LEN];

	for (unsigned i = 0; i < PORTS; i++)
		while (vlan_ports[i] &&
		       dummy_collect(vlan_ports[i], 0, p, sizeof(p), NULL) >= 0)
			;
}

#endif
