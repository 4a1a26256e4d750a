// SPDX-License-Identifier: BSD-2-Clause
// test_fabric_race.c - port sets, VLANs and ports change under traffic.
/*
 * Two producers feed two ports, three workers run the switch, and the control
 * thread changes where packets go: port sets come, change and go while verdicts
 * name them, with edits and mirrors, or ports change their VLANs; destinations
 * are closed and opened; captures run for a while. In the end received +
 * replicated = sent + drops, exactly. Build with ThreadSanitizer for the other
 * half of the test.
 */
#include "rig.h"

#include <pthread.h>
#include <sched.h>

#include "core/capture.h"
#include "packet.h"

enum {
	WORKERS = 3,
	SOURCES = 2,
	DESTS = 4,
	SETS = 6,
	ROUNDS = 150,
	CHANGES = 400, /* of sets in a round */
	AT_ONCE = 100, /* packets of each source between two changes */
	STATIONS = 16,
	VIDS = 4,
};

struct source {
	struct port *port;
	pthread_t thread;
	uint64_t seed;
	void (*fill)(uint8_t *p, uint64_t *seed);
	_Atomic uint64_t sent;
};

static const struct glen_module_env *env;
static struct source sources[SOURCES];
static struct port *dests[DESTS];
static uint32_t sets[SETS]; /* 0: not made */
static struct capture_session *session;
static atomic_bool stop;

static unsigned draw(uint64_t *seed, unsigned n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 20) % n;
}

static void *produce(void *arg)
{
	struct source *s = arg;
	uint8_t p[64];

	while (!atomic_load(&stop)) {
		memset(p, 0, sizeof(p));
		s->fill(p, &s->seed);
		if (dummy_inject_flat(s->port, 0, p, sizeof(p)))
			sched_yield();
		else
			atomic_fetch_add(&s->sent, 1);
	}
	return NULL;
}

static void traffic_goes_on(void)
{
	for (unsigned i = 0; i < SOURCES; i++) {
		uint64_t goal = atomic_load(&sources[i].sent) + AT_ONCE;

		while (atomic_load(&sources[i].sent) < goal)
			sched_yield();
	}
}

static void dest_open(unsigned i)
{
	static const char *const params[] = {
		"{\"sink\": true}",
		"{\"sink\": true, \"out_rings\": 3}",
	};
	char name[3] = { 'd', '0' + i };

	dests[i] = rig_port(name, params[i & 1]);
}

static void capture_for_a_while(void)
{
	struct capture_config config = { .snaplen = 64,
					 .ring_bytes = CAPTURE_RING_MIN,
					 .n_workers = WORKERS };
	struct glen_error error;

	if (session) {
		capture_destroy(session);
		session = NULL;
	} else if (capture_create(sw, &config, &session, &error)) {
		fail_msg("%s", error.text);
	}
}

/* Runs ROUNDS of change while packets made by fill pass the module. */
static void run(const struct glen_module *module, void (*change)(void),
		void (*fill)(uint8_t *p, uint64_t *seed))
{
	const struct engine_config config = { .n_workers = WORKERS };

	rig_close();
	rig_open(&config);
	rig_swap_module(module);
	rnd_seed();
	atomic_store(&stop, false);
	for (unsigned i = 0; i < SOURCES; i++) {
		char name[3] = { 's', '0' + i };

		sources[i] = (struct source){ rig_port(name, "{}"),
					      .seed = 4711 + i, .fill = fill };
	}
	for (unsigned i = 0; i < DESTS; i++)
		dest_open(i);
	assert_int_equal(engine_start(engine, NULL), 0);
	for (unsigned i = 0; i < SOURCES; i++)
		pthread_create(&sources[i].thread, NULL, produce, &sources[i]);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned d = rnd(DESTS);

		change();
		if (i % 8 == 7) {
			port_destroy(dests[d]);
			traffic_goes_on();
			dest_open(d);
		}
		if (i % 32 == 31)
			capture_for_a_while();
		traffic_goes_on();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < SOURCES; i++) {
		pthread_join(sources[i].thread, NULL);
		while (dummy_pending_in(sources[i].port, 0))
			sched_yield();
		assert_int_equal(rig_in(sources[i].port).packets,
				 atomic_load(&sources[i].sent));
	}
	capture_destroy(session);
	session = NULL;
	engine_stop(engine);
	rig_check();
}

static int sets_create(const struct glen_module_env *e, json_t *options,
		       void **state, struct glen_error *error)
{
	env = e;
	*state = NULL;
	return 0;
}

/* What the packet says, and a copy of some to a set. */
static void sets_lookup(void *state, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	rig_lookup(state, ctx, b);
	for (unsigned i = 0; i < b->n; i += 5)
		glen_batch_copy(b, i, GLEN_VERDICT_SET | (2 + i % 4));
}

static const struct glen_module sets_module = {
	GLEN_MODULE_HEAD,
	.name = "sets",
	.version = "1",
	.summary = "verdicts from packets, and sets",
	.hdr_want = GLEN_HDR_MIN,
	.create = sets_create,
	.destroy = rig_module_destroy,
	.lookup = sets_lookup,
};

static void set_packet(uint8_t *p, uint64_t *seed)
{
	const struct sent s = {
		.verdict = draw(seed, 4) ?
				   GLEN_VERDICT_SET | draw(seed, SETS + 3) :
				   TO(draw(seed, SOURCES + DESTS + 1)),
		.flow = draw(seed, 16),
		.len = 64,
	};

	rig_build(p, &s);
}

static struct glen_edit any_edit(void)
{
	return (struct glen_edit){ .size = sizeof(struct glen_edit),
				   .pop = rnd(2),
				   .push = rnd(3),
				   .tpid = { 0x8100, 0x88a8 },
				   .tci = { rnd(4095), rnd(4095) } };
}

static void set_change(void)
{
	struct glen_edit edit = any_edit();
	unsigned i = rnd(SETS), port = rnd(SOURCES + DESTS), what = rnd(12);

	if (!sets[i]) {
		assert_int_equal(glen_module_set_create(env, &sets[i]), 0);
	} else if (what < 4) {
		assert_int_equal(glen_module_set_destroy(env, sets[i]), 0);
		sets[i] = 0;
	} else if (what < 6) {
		glen_module_set_remove(env, sets[i], port);
	} else if (what < 10) {
		glen_module_set_add(env, sets[i], port,
				    what & 1 ? &edit : NULL);
	} else if (what == 10) {
		glen_module_port_edit(env, port, rnd(2) ? &edit : NULL);
	} else {
		uint32_t to[] = { GLEN_MIRROR_NONE, TO(SOURCES),
				  GLEN_VERDICT_SET | sets[i] };

		glen_module_port_mirror(env, port, rnd(2), to[rnd(3)]);
	}
}

/* At any moment of a turn: what waits for workers would meet them all at its
 * beginning. */
static void sets_change(void)
{
	for (unsigned i = 0; i < CHANGES; i++)
		set_change();
	module_settle(sw->module);
}

static void sets_come_and_go(void **state)
{
	memset(sets, 0, sizeof(sets));
	run(&sets_module, sets_change, set_packet);
}

/* The learning bridge: stations at the sources, some frames with a tag. */
static void vlan_packet(uint8_t *p, uint64_t *seed)
{
	p[0] = p[6] = 2;
	p[5] = draw(seed, STATIONS);
	p[11] = draw(seed, STATIONS);
	if (!draw(seed, 8))
		memset(p, 0xff, 6);
	rig_put32(p + 12,
		  draw(seed, 2) ? 0x81000000 | draw(seed, VIDS) : 0x08000000);
}

static unsigned n_set;

static void vlans_change(void)
{
	static const char *const settings[] = {
		"{'learn': {'mode': null, 'vlan': null, 'native': null,"
		" 'allowed': null, 'mirror_to': null}}",
		"{'learn': {'mode': 'access', 'vlan': 1, 'native': null,"
		" 'allowed': null}}",
		"{'learn': {'mode': 'trunk', 'vlan': null, 'native': 1,"
		" 'allowed': '1-2'}}",
		"{'learn': {'mode': 'trunk', 'vlan': null}}",
		"{'learn': {'mode': 'qinq', 'vlan': 3, 'native': null,"
		" 'allowed': null}}",
		"{'learn': {'mirror_to': 'd0'}}",
		"{'isolated': true}",
		"{'isolated': false}",
	};
	unsigned n = sizeof(settings) / sizeof(settings[0]);
	unsigned i = rnd(SOURCES + DESTS);
	char text[128];
	json_t *p;

	strcpy(text, settings[rnd(n)]);
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	p = json_loads(text, 0, NULL);
	assert_non_null(p);
	/* d0 is not mirrored to itself; then nothing changes. */
	n_set += !port_set(i < SOURCES ? sources[i].port : dests[i - SOURCES],
			   p, NULL);
	json_decref(p);
	engine_tick(engine);
}

static void vlans_and_ports_change(void **state)
{
	n_set = 0;
	run(&module_find("learn")->ops, vlans_change, vlan_packet);
	assert_in_range(n_set, ROUNDS * 9 / 10, ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(sets_come_and_go),
		RIG_TEST(vlans_and_ports_change),
	};

	return cmocka_run_group_tests_name("fabric_race", tests, NULL, NULL);
}
