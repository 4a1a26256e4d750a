// SPDX-License-Identifier: BSD-2-Clause
// test_nf_edge.c - ports of an embedded switch as entry and exit of a group.
#include "unit.h"

#include <glen/switch.h>

#include "nf_rig.h"

enum { PACKETS = 5000 };

static struct glen_switch *sw[2];
static struct glen_port *outside[2];

/* Two switches, with a port of the group and one of ours each. */
static void make(const char *const *services, unsigned n)
{
	static const char *const names[] = { "left", "right" };
	struct glen_error error = { 0 };
	struct glen_port *port;

	rig_create(NULL);
	for (unsigned i = 0; i < 2; i++) {
		const char *chain = i ? NULL : "c";

		if (glen_switch_create(&sw[i], names[i], "learn", NULL, &error))
			fail_msg("%s", error.text);
		if (glen_switch_port_open(sw[i], &outside[i], "user", NULL,
					  &error) ||
		    glen_switch_port_open(sw[i], &port, i ? "lan1" : "lan0",
					  NULL, &error) ||
		    glen_nf_group_attach(rig.group, port, chain, &error))
			fail_msg("%s", error.text);
	}
	if (glen_nf_group_chain(rig.group, "c", services, n, "lan1", &error))
		fail_msg("%s", error.text);
}

static void unmake(void)
{
	rig_destroy();
	for (unsigned i = 0; i < 2; i++) {
		glen_port_close(outside[i]);
		glen_switch_destroy(sw[i]);
	}
}

static void turn(void)
{
	glen_switch_poll(sw[0]);
	glen_nf_group_poll(rig.group);
	glen_switch_poll(sw[1]);
}

/* Sends frame number n of 60 to 1500 bytes. False: no room. */
static bool send(uint32_t n, unsigned len)
{
	uint8_t frame[1500] = {
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5
	};
	struct glen_packet p = { frame, len };

	memcpy(frame + 14, &n, sizeof(n));
	return glen_send(outside[0], 0, &p, 1) == 1;
}

static uint32_t receive(uint32_t next)
{
	struct glen_packet p[64];
	int n = glen_recv(outside[1], 0, p, 64);

	for (int i = 0; i < n; i++, next++) {
		assert_int_equal(p[i].len, 60 + next % 60);
		assert_memory_equal((char *)p[i].data + 14, &next, 4);
	}
	if (n > 0)
		glen_release(outside[1], 0);
	return next;
}

static void through_a_chain(void **state)
{
	static const char *const services[] = { "pass" };
	uint32_t sent = 0, got = 0;

	make(services, 1);
	rig_add(&pass, NULL);
	for (unsigned idle = 0; got < PACKETS && idle < 1000; idle++) {
		uint32_t before = got;

		while (sent < PACKETS && sent - got < 500 &&
		       send(sent, 60 + sent % 60))
			sent++;
		turn();
		got = receive(got);
		idle = got > before ? 0 : idle;
	}
	assert_int_equal(got, PACKETS);
	rig_check();
	unmake();
}

static unsigned receive_any(void)
{
	struct glen_packet p[64];
	unsigned got = 0;
	int n;

	while ((n = glen_recv(outside[1], 0, p, 64)) > 0) {
		glen_release(outside[1], 0);
		got += (unsigned)n;
	}
	return got;
}

/* The exit's switch does not run: all backs up to the switch at the entry. */
static void backs_up(void **state)
{
	static const char *const services[] = { "pass" };
	const struct nf_stats *stats;
	uint32_t got = 0, sent = 0;
	struct glen_nf *nf;

	make(services, 1);
	nf = rig_add(&pass, NULL);
	stats = &nf->runners[0]->t->stats;
	for (uint32_t i = 0; i < 20000; i++) {
		if (sent < 6000 && send(sent, 60 + sent % 60))
			sent++;
		if (i % 16)
			continue;
		glen_switch_poll(sw[0]);
		glen_nf_group_poll(rig.group);
	}
	assert_int_equal(sent, 6000);
	/* What the exit's ring takes, one pipe, and a batch that is decided. */
	assert_in_range(stats->in, 1024, 1023 + 128 + 128);
	assert_int_equal(stats->out, 1023 + 128);
	rig_check();
	for (unsigned i = 0; i < 2000; i++) {
		turn();
		got += receive_any();
	}
	assert_int_equal(got, stats->in);
	assert_int_equal(rig_drops(nf->runners[0]->t), 0);
	rig_check();
	unmake();
}

static void too_long(void **state)
{
	static const char *const services[] = { "pass" };

	make(services, 1);
	rig_add(&pass, NULL);
	assert_true(send(0, 1000)); /* buffers have 256 bytes here */
	assert_true(send(0, 60));
	for (unsigned i = 0; i < 10; i++)
		turn();
	assert_int_equal(rig.group->runners->t->stats.drops[NF_DROP_TOO_LONG],
			 1);
	assert_int_equal(receive(0), 1);
	rig_check();
	unmake();
}

static void refuses_a_second_one(void **state)
{
	static const char *const services[] = { "pass" };
	struct glen_error error;
	struct glen_port *port;

	make(services, 1);
	assert_int_equal(glen_switch_port_open(sw[1], &port, "lan0", NULL,
					       &error),
			 0);
	assert_int_equal(glen_nf_group_attach(rig.group, port, "c", &error),
			 -EEXIST);
	assert_string_equal(error.text, "the group has a port lan0 already");
	glen_port_close(port);
	unmake();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(through_a_chain),
		cmocka_unit_test(backs_up),
		cmocka_unit_test(too_long),
		cmocka_unit_test(refuses_a_second_one),
	};

	return cmocka_run_group_tests_name("nf_edge", tests, NULL, NULL);
}
