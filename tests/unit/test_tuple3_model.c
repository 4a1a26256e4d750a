// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_model.c - claims come and go like in a list that is searched.
#include "unit.h"

#include <errno.h>
#include <time.h>

#include "tuple3_rig.h"

enum {
	HOSTS = 4,
	NUMBERS = 12, /* ports of a protocol that are claimed */
	TUPLES = 2 * HOSTS * 2 * NUMBERS,
	STEPS = 4000,
	PACKETS = 32, /* after each step */
};

/* Who has tuple i; 0: nobody. */
static unsigned owners[TUPLES];
static bool gone[N_PORTS];
static uint64_t seed;
static void *t;

static uint32_t draw(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 11) % n;
}

struct tuple {
	int family;
	unsigned host, protocol, port;
};

static struct tuple tuple_of(unsigned i)
{
	return (struct tuple){
		.family = i & 1 ? 4 : 6,
		.protocol = i & 2 ? T3_TCP : T3_UDP,
		.host = 1 + i / 4 % HOSTS,
		.port = 1 + i / 4 / HOSTS,
	};
}

static bool host_is_claimed(int family, unsigned host)
{
	for (unsigned i = 0; i < TUPLES; i++)
		if (owners[i] && tuple_of(i).family == family &&
		    tuple_of(i).host == host)
			return true;
	return false;
}

static void try_claim(unsigned port, unsigned i)
{
	struct tuple c = tuple_of(i);
	int err = claim(t, port, c.family, c.host, c.protocol, c.port);

	if (gone[port]) {
		assert_int_equal(err, -ENOENT);
	} else if (owners[i]) {
		assert_int_equal(err, -EADDRINUSE);
	} else {
		assert_int_equal(err, 0);
		owners[i] = port;
	}
}

static void try_release(unsigned port, unsigned i)
{
	struct tuple c = tuple_of(i);
	int err = release(t, port, c.family, c.host, c.protocol, c.port);

	if (gone[port] || owners[i] != port) {
		assert_int_equal(err, -ENOENT);
		return;
	}
	assert_int_equal(err, 0);
	owners[i] = 0;
}

static void toggle(unsigned port)
{
	gone[port] = !gone[port];
	if (!gone[port]) {
		port_comes(t, port);
		return;
	}
	port_goes(t, port);
	for (unsigned i = 0; i < TUPLES; i++)
		if (owners[i] == port)
			owners[i] = 0;
}

static void step(void)
{
	unsigned port = 2 + draw(N_PORTS - 2), what = draw(100);

	if (what < 60)
		try_claim(port, draw(TUPLES));
	else if (what < 97)
		try_release(port, draw(TUPLES));
	else
		toggle(port);
}

/* The verdict on a packet; from and to_owner: whose its tuples are. */
static uint32_t expect(unsigned port, unsigned from, unsigned to_owner,
		       bool local)
{
	bool claimant = port > UPLINK;

	if (claimant ? from != port : from != 0)
		return glen_drop(T3_SPOOFED);
	if (to_owner)
		return to(to_owner);
	if (port == UPLINK || (claimant && local))
		return to(HOST);
	return to(UPLINK);
}

/* A packet from a tuple to another one, or from or to elsewhere. */
static void packet(unsigned n, uint32_t *expected, unsigned port)
{
	unsigned i = draw(TUPLES), k = draw(TUPLES);
	struct tuple a = tuple_of(i), b = tuple_of(k);
	struct spec s = {
		a.family, a.host, b.host, a.protocol, a.port, b.port
	};
	unsigned from = owners[i], to_owner = 0;

	if (!draw(3)) {
		s.src = REMOTE;
		from = 0;
	}
	for (unsigned j = 0; j < TUPLES; j++) {
		struct tuple c = tuple_of(j);

		if (c.family == s.family && c.protocol == s.protocol &&
		    c.host == s.dst && c.port == s.dport)
			to_owner = owners[j];
	}
	if (!draw(3)) {
		s.dst = REMOTE;
		to_owner = 0;
	}
	put_packet(n, &s);
	expected[n] = expect(port, from, to_owner,
			     host_is_claimed(s.family, s.dst));
}

static void packets(void)
{
	unsigned port = draw(N_PORTS);
	uint32_t expected[PACKETS];

	if (port > UPLINK && gone[port])
		return;
	for (unsigned n = 0; n < PACKETS; n++)
		packet(n, expected, port);
	run(t, port, PACKETS);
	for (unsigned n = 0; n < PACKETS; n++)
		assert_int_equal(batch->verdict[n], expected[n]);
}

static void agrees_with_a_list(void **state)
{
	struct timespec now;
	unsigned n = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = now.tv_nsec * 2654435761ULL + now.tv_sec;
	print_message("# seed %llu\n", (unsigned long long)seed);
	batch = calloc(1, (sizeof(*batch) + 63) & ~63UL);
	t = made();
	for (unsigned i = 0; i < STEPS; i++) {
		step();
		packets();
	}
	for (unsigned i = 0; i < TUPLES; i++)
		n += owners[i] != 0;
	assert_int_equal(((struct tuple3 *)t)->n_claims, n);
	for (unsigned i = 2; i < N_PORTS; i++)
		if (!gone[i])
			toggle(i);
	assert_int_equal(n_sets(), 1);
	assert_int_equal(((struct tuple3 *)t)->table.n, 0);
	ops->destroy(t);
	free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_list),
	};

	return cmocka_run_group_tests_name("tuple3_model", tests, NULL, NULL);
}
