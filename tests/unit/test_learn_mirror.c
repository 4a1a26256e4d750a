// SPDX-License-Identifier: BSD-2-Clause
// test_learn_mirror.c - copies of ports' packets, and ports only for those.
#include "learn_vlan.h"

/* Frames that came out at each port since the last look must be so many. */
static void came(unsigned a, unsigned b, unsigned c, unsigned d)
{
	const unsigned want[4] = { a, b, c, d };

	for (unsigned i = 0; i < 4; i++)
		if (vlan_ports[i])
			assert_int_equal(dummy_pending_out(vlan_ports[i], 0),
					 want[i]);
	vlan_drain();
	rig_check();
}

static void four_ports(const char *a, const char *d)
{
	vlan_open(0, a);
	vlan_open(1, "{}");
	vlan_open(2, "{}");
	vlan_open(3, d);
	vlan_say(0, GROUP, 10, 0);
	vlan_say(1, GROUP, 11, 0);
	vlan_drain();
}

static void each_direction(void **state)
{
	four_ports("{\"learn\": {\"mirror\": \"in\", \"mirror_to\": \"d\"}}",
		   "{}");
	vlan_say(0, 11, 10, 0);
	came(0, 1, 0, 1);
	vlan_say(1, 10, 11, 0);
	came(1, 0, 0, 0);
	vlan_change(0, "{\"learn\": {\"mirror\": \"out\"}}");
	vlan_say(0, 11, 10, 0);
	came(0, 1, 0, 0);
	vlan_say(1, 10, 11, 0);
	came(1, 0, 0, 1);
	vlan_change(0, "{\"learn\": {\"mirror\": null}}"); /* both */
	vlan_say(0, 11, 10, 0);
	came(0, 1, 0, 1);
	vlan_say(1, 10, 11, 0);
	came(1, 0, 0, 1);
	/* Counted: at the source as replicated, at the mirror port as sent. */
	assert_int_equal(rig_in(vlan_ports[1]).replicated, 1 + 2);
	assert_int_equal(rig_out(vlan_ports[3]).packets, 1 + 2 + 2);
	vlan_change(0, "{\"learn\": null}");
	vlan_say(1, GROUP, 11, 0);
	came(1, 0, 1, 1);
}

/* Nothing but copies goes there, nothing is learnt or taken from there. */
static void a_mirror_port_is_only_for_copies(void **state)
{
	four_ports("{}", "{}");
	vlan_say(3, GROUP, 13, 0);
	vlan_drain();
	vlan_change(0, "{\"learn\": {\"mirror_to\": \"d\"}}");
	vlan_say(1, GROUP, 11, 0);
	came(1, 0, 1, 1);	/* the copy of what a got */
	vlan_say(1, 13, 11, 0); /* forgotten: a flood */
	came(1, 0, 1, 1);
	vlan_say(3, GROUP, 14, 0);
	came(0, 0, 0, 0);
	assert_int_equal(
		rig_in(vlan_ports[3]).drops[vlan_drop(LEARN_MIRROR_PORT)], 1);
	vlan_say(1, 14, 11, 0);
	came(1, 0, 1, 1);
	/* It was told to take part. */
	vlan_change(3, "{\"learn\": {\"mirror_normal\": true}}");
	vlan_say(3, GROUP, 14, 0);
	came(1, 1, 1, 0);
	vlan_say(1, 14, 11, 0);
	came(0, 0, 0, 1);
	vlan_change(3, "{\"learn\": null}");
	vlan_say(1, 14, 11, 0);
	came(1, 0, 1, 1);
	/* Its own again when nobody mirrors there. */
	vlan_change(0, "{\"learn\": null}");
	vlan_say(1, 14, 11, 0);
	came(1, 0, 1, 1);
	vlan_say(3, 11, 14, 0);
	came(0, 1, 0, 0);
	assert_null(atomic_load(&vlan_learn()->vlans));
}

/* Static addresses there are not reached either. */
static void static_addresses_do_not_lead_there(void **state)
{
	four_ports("{\"learn\": {\"mirror\": \"in\", \"mirror_to\": \"d\"}}",
		   "{\"learn\": {\"macs\": [\"02:00:00:00:00:0d\"]}}");
	vlan_say(1, 13, 11, 0);
	came(0, 0, 0, 0);
	assert_int_equal(
		rig_in(vlan_ports[1]).drops[vlan_drop(LEARN_VLAN_DEST)], 1);
}

/* A packet between two mirrored ports is copied once. */
static void once_between_two(void **state)
{
	four_ports("{\"learn\": {\"mirror_to\": \"d\"}}", "{}");
	vlan_change(1, "{\"learn\": {\"mirror_to\": \"d\"}}");
	vlan_say(0, 11, 10, 0);
	came(0, 1, 0, 1);
	vlan_say(1, 10, 11, 0);
	came(1, 0, 0, 1);
	/* From elsewhere, and to elsewhere. */
	vlan_say(2, 10, 12, 0);
	came(1, 0, 0, 1);
	vlan_say(0, 12, 10, 0);
	came(0, 0, 1, 1);
	vlan_change(0, "{\"learn\": {\"mirror\": \"out\"}}");
	vlan_say(0, 11, 10, 0);
	came(0, 1, 0, 1);
}

/* As it came and as it left: with the tags of that side. */
static void with_the_tags_of_its_side(void **state)
{
	uint8_t p[FRAME_LEN];

	vlan_open(0, "{\"learn\": {\"mode\": \"access\", \"vlan\": 5, "
		     "\"mirror_to\": \"d\"}}");
	vlan_open(1, "{\"learn\": {\"mode\": \"trunk\"}}");
	vlan_open(3, "{}");
	vlan_say(0, GROUP, 10, 0);
	assert_int_equal(dummy_collect(vlan_ports[3], 0, p, sizeof(p), NULL),
			 60);
	assert_int_equal(p[12], 0);
	assert_int_equal(dummy_collect(vlan_ports[1], 0, p, sizeof(p), NULL),
			 64);
	assert_int_equal(rig_get32(p + 12), 0x81000005);
	vlan_say(1, 10, 11, 5);
	assert_int_equal(dummy_collect(vlan_ports[3], 0, p, sizeof(p), NULL),
			 56);
	assert_int_equal(p[12], 0);
	vlan_change(0, "{\"learn\": {\"mirror_to\": null}}");
	vlan_change(1, "{\"learn\": {\"mirror_to\": \"d\"}}");
	vlan_drain();
	vlan_say(1, 10, 11, 5);
	assert_int_equal(dummy_collect(vlan_ports[3], 0, p, sizeof(p), NULL),
			 60);
	assert_int_equal(rig_get32(p + 12), 0x81000005);
}

/* Mirror ports come and go; the name counts. */
static void waits_for_the_name(void **state)
{
	struct glen_error error;

	vlan_open(0, "{\"learn\": {\"mirror_to\": \"d\"}}");
	vlan_open(1, "{}");
	vlan_say(0, GROUP, 10, 0);
	came(0, 1, 0, 0);
	vlan_open(2, "{}");
	vlan_open(3, "{}");
	vlan_say(0, GROUP, 10, 0);
	came(0, 1, 1, 1);
	port_destroy(vlan_ports[3]);
	vlan_ports[3] = NULL;
	vlan_open(4, "{}"); /* with d's index */
	vlan_say(0, GROUP, 10, 0);
	assert_int_equal(dummy_pending_out(vlan_ports[4], 0), 1);
	came(0, 1, 1, 0);
	vlan_open(3, "{}");
	vlan_say(0, GROUP, 10, 0);
	assert_int_equal(dummy_pending_out(vlan_ports[4], 0), 1);
	came(0, 1, 1, 1);
	/* The mirrored port goes: d is a port like others. */
	port_destroy(vlan_ports[0]);
	vlan_ports[0] = NULL;
	vlan_say(1, GROUP, 11, 0);
	came(0, 0, 1, 1);
	assert_int_equal(vlan_try(0, "{\"learn\": {\"mirror_to\": \"a\"}}",
				  &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "'a' cannot be its own mirror"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VLAN_TEST(each_direction),
		VLAN_TEST(a_mirror_port_is_only_for_copies),
		VLAN_TEST(static_addresses_do_not_lead_there),
		VLAN_TEST(once_between_two),
		VLAN_TEST(with_the_tags_of_its_side),
		VLAN_TEST(waits_for_the_name),
	};

	return cmocka_run_group_tests_name("learn_mirror", tests, NULL, NULL);
}
