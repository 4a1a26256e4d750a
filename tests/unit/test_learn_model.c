// SPDX-License-Identifier: BSD-2-Clause
// test_learn_model.c - random operations on the bridge and on a simple model.
/*
 * The model is an array of all addresses there are: at which port, since when,
 * static or not (one port keeps what it learns). Every packet's verdict is
 * compared, and from time to time what the table says of its size, also by
 * ports, of which some have a limit. The table's window changes all the time.
 * LEARN_SEED=N in the environment repeats a run.
 */
#include "unit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "learn_bridge.h"
#include "module/learn/ports.h"

enum {
	STATIONS = 48,
	VLANS = 3,
	AGEING_S = 20,
	STEPS = 60000,
	STICKY = 5, /* a port that keeps what it learns */
	LIMIT = 5,  /* of ports 6 and 7 */
};

struct station {
	int port; /* -1: not in the table */
	bool fixed;
	uint32_t seen_s;
};

static struct station model[VLANS][STATIONS];
static uint64_t seed;
static struct glen_module_port ports[N_PORTS];
static struct learn *l;

static unsigned pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 20) % n;
}

static bool limited(int port)
{
	return port >= 6;
}

static bool alive(const struct station *s)
{
	return s->port >= 0 && (s->fixed || now_s - s->seen_s < AGEING_S);
}

/* Addresses in the table, aged ones too until they are swept. */
static unsigned n_of(int port)
{
	unsigned n = 0;

	for (unsigned v = 0; v < VLANS; v++)
		for (unsigned i = 0; i < STATIONS; i++)
			n += model[v][i].port == port;
	return n;
}

/* What the model learns; false: the packet is dropped, *why says how. */
static bool model_learn(struct station *s, int port, uint32_t *why)
{
	if (s->fixed) {
		*why = glen_drop(LEARN_MAC_STATIC);
		return s->port == port || port < STICKY;
	}
	if (s->port != port && limited(port) && n_of(port) >= LIMIT) {
		*why = glen_drop(LEARN_MAC_LIMIT);
		return false;
	}
	s->port = port;
	s->seen_s = now_s;
	s->fixed = port == STICKY;
	return true;
}

static void packet(void)
{
	unsigned vlan = pick(VLANS), src = pick(STATIONS), dst = pick(STATIONS);
	int port = pick(N_PORTS);
	struct station *s = &model[vlan][src], *d = &model[vlan][dst];
	uint32_t want, got;

	if (model_learn(s, port, &want))
		want = alive(d) ? to(d->port) : UNKNOWN;
	got = vlan ? tagged(l, port, dst + 1, src + 1, TPID_C, vlan) :
		     one(l, port, dst + 1, src + 1);
	if (got != want)
		fail_msg("VLAN %u, %u to %u at port %d: %x, not %x", vlan, src,
			 dst, port, got, want);
}

static json_t *address(unsigned vlan, unsigned i)
{
	char mac[18];

	snprintf(mac, sizeof(mac), "02:00:00:00:00:%02x", i + 1);
	return json_pack("{s:s, s:i}", "mac", mac, "vlan", (int)vlan);
}

static void add_static(void)
{
	unsigned vlan = pick(VLANS), i = pick(STATIONS), port = pick(N_PORTS);
	json_t *params = address(vlan, i);

	json_object_set_new(params, "port", json_sprintf("p%d", (int)port));
	assert_int_equal(command(l, "fdb.add", params, NULL, NULL), 0);
	model[vlan][i] = (struct station){ port, true, 0 };
}

static void delete (void)
{
	unsigned vlan = pick(VLANS), i = pick(STATIONS);
	struct station *s = &model[vlan][i];
	int err = command(l, "fdb.del", address(vlan, i), NULL, NULL);

	assert_int_equal(err == 0, s->port >= 0);
	*s = (struct station){ .port = -1 };
}

/* Forgets what is at port (-1: anywhere), static ones too if fixed. */
static unsigned forget(int port, bool fixed)
{
	unsigned n = 0;

	for (unsigned v = 0; v < VLANS; v++)
		for (unsigned i = 0; i < STATIONS; i++) {
			struct station *s = &model[v][i];

			if (s->port < 0 || (port >= 0 && s->port != port) ||
			    (s->fixed && !fixed))
				continue;
			*s = (struct station){ .port = -1 };
			n++;
		}
	return n;
}

static void flush(void)
{
	int port = (int)pick(N_PORTS + 1) - 1;
	bool fixed = pick(2);
	json_t *params = json_pack("{s:b}", "static", (int)fixed);

	if (port >= 0)
		json_object_set_new(params, "port",
				    json_sprintf("p%d", (int)port));
	assert_int_equal(fdb_flush(l, params), forget(port, fixed));
}

static void set_rule(unsigned port)
{
	json_t *limit = port == STICKY ? json_pack("{s:b}", "mac_sticky", 1) :
					 json_pack("{s:i}", "mac_limit", LIMIT);

	assert_int_equal(ops->port_set(fake_env(2), l, &ports[port], limit,
				       NULL),
			 0);
	json_decref(limit);
}

static void port_goes(void)
{
	unsigned port = pick(N_PORTS);

	ops->port_del(l, &ports[port]);
	forget(port, true);
	if (port >= STICKY)
		set_rule(port);
}

static void time_passes(void)
{
	now_s += pick(AGEING_S + 5);
	for (unsigned i = 0; i < 8; i++)
		ops->tick(l, now_s);
	for (unsigned v = 0; v < VLANS; v++)
		for (unsigned i = 0; i < STATIONS; i++)
			if (!alive(&model[v][i]))
				model[v][i] = (struct station){ .port = -1 };
}

static void sizes_agree(void)
{
	struct table *t = atomic_load(&l->table);
	unsigned all = 0;

	for (unsigned p = 0; p < N_PORTS; p++) {
		assert_int_equal(table_n_of(t, p), n_of(p));
		all += n_of(p);
	}
	assert_int_equal(count(l, "used"), all);
}

/* Another table, with everything that was in the old one. */
static void resize(void)
{
	json_t *o = json_pack("{s:i, s:i}", "entries", pick(2) ? 1024 : 4096,
			      "ageing_s", AGEING_S);

	assert_int_equal(ops->set(l, o, NULL), 0);
	json_decref(o);
}

/* Another one, or some buckets more of the one being left. */
static void window(void)
{
	struct table *t = atomic_load(&l->table);

	if (pick(2))
		table_set_window(t, 1ULL << pick(__builtin_ctzll(t->mask + 1)));
	table_settle(t, 1 + pick(512));
}

static void step(void)
{
	unsigned what = pick(1000);

	if (what < 900)
		packet();
	else if (what < 920)
		add_static();
	else if (what < 960)
		delete ();
	else if (what < 970)
		time_passes();
	else if (what < 975)
		flush();
	else if (what < 980)
		port_goes();
	else if (what < 982)
		resize();
	else if (what < 990)
		window();
	else
		sizes_agree();
}

static void behaves_like_the_model(void **state)
{
	const char *given = getenv("LEARN_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 8 | 1;
	print_message("LEARN_SEED=%" PRIu64 "\n", seed);
	l = made(
		json_pack("{s:i, s:i}", "entries", 1024, "ageing_s", AGEING_S));
	forget(-1, true);
	for (unsigned v = 0; v < VLANS; v++)
		for (unsigned i = 0; i < STATIONS; i++)
			model[v][i] = (struct station){ .port = -1 };
	set_rule(STICKY);
	set_rule(6);
	set_rule(7);
	for (unsigned i = 0; i < STEPS; i++)
		step();
	sizes_agree();
	ops->destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behaves_like_the_model),
	};
	int failed;

	batch = aligned_alloc(64, sizeof(*batch));
	for (unsigned i = 0; i < N_PORTS; i++)
		ports[i].index = i;
	failed = cmocka_run_group_tests_name("learn_model", tests, NULL, NULL);
	free(batch);
	return failed;
}
