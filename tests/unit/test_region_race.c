// SPDX-License-Identifier: BSD-2-Clause
// test_region_race.c - members of a region come and go under its traffic.
/*
 * Three clients, each in its own thread, send to each other by exchange of
 * buffers through a switch of two workers; others open ports in the same
 * region, send a little, and go. What arrives is whole. Build with
 * ThreadSanitizer for the other half of the test.
 */
#include "unit.h"

#include <glen/switch.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3, ROUNDS = 150, BUFS = 2048, SLOTS = 64, LEN = 200 };
enum { MORE = (BUFS - 2) / (2 * SLOTS) - CLIENTS };

static struct glen_switch *sw;
static char token[33];
static atomic_bool stop;
static _Atomic uint64_t received;

struct client {
	struct glen_port *port;
	uint8_t id;
	uint32_t next;
	pthread_t thread;
	unsigned bad;
};

static struct glen_port *join(const char *name)
{
	struct glen_port_config config = {
		.region = "group",
		.region_token = token[0] ? token : NULL,
		.region_bufs = token[0] ? 0 : BUFS,
		.slots = SLOTS,
		.swap = true,
	};
	struct glen_error error = { 0 };
	struct glen_port *port = NULL;

	if (glen_switch_port_open(sw, &port, name, &config, &error))
		fail_msg("%s", error.text);
	strcpy(token, glen_port_region_token(port));
	return port;
}

/* A frame to station to, every word of which says its number. */
static void send_one(struct glen_port *port, uint8_t to, uint8_t from,
		     uint32_t number)
{
	uint8_t p[LEN] = { 2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5 };
	struct glen_packet packet = { p, LEN };

	for (unsigned i = 16; i < LEN; i += 4)
		memcpy(p + i, &number, 4);
	glen_send(port, 0, &packet, 1);
}

static bool whole(const struct glen_packet *packet)
{
	const uint8_t *p = packet->data;

	if (packet->len != LEN)
		return false;
	for (unsigned i = 20; i < LEN; i += 4)
		if (memcmp(p + 16, p + i, 4))
			return false;
	return true;
}

static void *play(void *arg)
{
	struct client *c = arg;
	struct glen_packet packet[16];
	int got;

	while (!atomic_load(&stop)) {
		for (unsigned i = 0; i < 8; i++, c->next++)
			send_one(c->port, 1 + c->next % (CLIENTS + 1), c->id,
				 c->next);
		got = glen_recv(c->port, 0, packet, 16);
		for (int i = 0; i < got; i++)
			c->bad += !whole(&packet[i]);
		glen_release(c->port, 0);
		atomic_fetch_add(&received, got > 0 ? got : 0);
		if (got <= 0)
			sched_yield();
	}
	return NULL;
}

static void traffic_goes_on(unsigned n)
{
	uint64_t goal = atomic_load(&received) + n;

	while (atomic_load(&received) < goal)
		sched_yield();
}

static void members_come_and_go(void **state)
{
	struct client client[CLIENTS] = { 0 };
	struct glen_port *more[MORE];
	unsigned n = MORE;
	struct glen_error error = { 0 };

	assert_int_equal(glen_switch_create(&sw, "s", "learn", NULL, &error),
			 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		char name[3] = { 'c', '0' + i };

		client[i].id = 1 + i;
		client[i].port = join(name);
	}
	assert_int_equal(glen_switch_start(sw, 2, &error), 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_create(&client[i].thread, NULL, play,
						&client[i]),
				 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct glen_port *x = join("x"), *y = join("y");

		for (unsigned i = 0; i < SLOTS / 2; i++) {
			send_one(x, 1 + i % CLIENTS, CLIENTS + 1, i);
			send_one(y, CLIENTS + 1, CLIENTS + 2, i);
		}
		traffic_goes_on(50);
		glen_port_close(round & 1 ? x : y);
		traffic_goes_on(50);
		glen_port_close(round & 1 ? y : x);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(client[i].thread, NULL);
		assert_int_equal(client[i].bad, 0);
	}
	/* Nothing leaked: as many more members as the region has room for. */
	for (unsigned i = 0; i < n; i++) {
		char name[8];

		snprintf(name, sizeof(name), "z%u", i);
		more[i] = join(name);
	}
	print_message("# %llu packets\n", (unsigned long long)received);
	while (n)
		glen_port_close(more[--n]);
	for (unsigned i = 0; i < CLIENTS; i++)
		glen_port_close(client[i].port);
	glen_switch_destroy(sw);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
