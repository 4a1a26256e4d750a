// SPDX-License-Identifier: BSD-2-Clause
// test_learn_vlan.c - VLANs of ports against a plain model, on a real switch.
/*
 * Frames with 0 to 3 tags go in at random ports, whose settings, isolation and
 * existence change all the time. The model knows frames as lists of tags and
 * the table as an array by VLAN and station; it says which frames come out
 * where, tag for tag, and which drops are counted. LEARN_SEED=N repeats a run.
 */
#include "rig.h"

#include <inttypes.h>
#include <time.h>

#include "learn_vlan.h"

enum { STEPS = 4000, BATCH = 12, QUEUE = 256, TAGS = 4, WORDS = 2 };

struct tag {
	unsigned tpid, tci;
};

struct frame {
	unsigned dst, src, seq, n; /* stations; GROUP is everybody */
	bool cut;		   /* ends within its first tag */
	struct tag tag[TAGS];
};

/* A port's settings as the test made them. */
struct model_port {
	bool here, isolated;
	enum vlan_mode mode;
	unsigned vid;
	bool allowed[VIDS];
};

static struct model_port model[PORTS];
static int where[VIDS][STATIONS]; /* port, or -1 */
static struct frame queue[PORTS][QUEUE];
static unsigned n_queue[PORTS];
static uint64_t dropped[PORTS][LEARN_DROPS], seed;

static unsigned pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 20) % n;
}

/* Bytes of a frame; returns how many. */
static unsigned build(const struct frame *f, uint8_t *p)
{
	unsigned at = 12;

	memset(p, 0, FRAME_LEN);
	p[0] = p[6] = 2;
	p[5] = f->dst;
	p[11] = f->src;
	if (f->dst == GROUP)
		memset(p, 0xff, 6);
	for (unsigned i = 0; i < f->n; i++, at += 4)
		rig_put32(p + at, f->tag[i].tpid << 16 | f->tag[i].tci);
	if (f->cut)
		return 16;
	p[at] = 8;
	rig_put32(p + at + 2, f->seq);
	return FRAME_LEN - 4 * TAGS + 4 * f->n;
}

/* The model. */

static bool model_in(const struct model_port *p, unsigned vid)
{
	switch (p->mode) {
	case VLAN_PLAIN:
		return true;
	case VLAN_TRUNK:
		return vid && (vid == p->vid || p->allowed[vid]);
	default:
		return vid == p->vid;
	}
}

static void outer(struct frame *f, unsigned tpid, unsigned tci)
{
	memmove(&f->tag[1], &f->tag[0], f->n * sizeof(f->tag[0]));
	f->tag[0] = (struct tag){ tpid, tci };
	f->n++;
}

static void inner(struct frame *f)
{
	f->n--;
	memmove(&f->tag[0], &f->tag[1], f->n * sizeof(f->tag[0]));
}

/* Not all ports are plain. */
static bool aware(void)
{
	bool any = false;

	for (unsigned p = 0; p < PORTS; p++)
		any |= model[p].here && model[p].mode != VLAN_PLAIN;
	return any;
}

/* The VLAN of a frame, which gets its tag; or -1 - the reason to drop it. */
static int model_take(const struct model_port *p, struct frame *f)
{
	unsigned own = f->n ? f->tag[0].tci & 4095 : 0;

	if (f->cut)
		return aware() ? -1 - LEARN_VLAN_BAD : (int)own;
	if (p->mode == VLAN_QINQ) {
		outer(f, 0x88a8, p->vid | (f->n ? f->tag[0].tci & 0xf000 : 0));
		return p->vid;
	}
	if (p->mode == VLAN_ACCESS) {
		if (f->n > 1 || own || (f->n && f->tag[0].tpid != 0x8100))
			return -1 - LEARN_VLAN_TAGGED;
	} else if (own) {
		return model_in(p, own) ? (int)own : -1 - LEARN_VLAN_DENIED;
	} else if (p->mode == VLAN_PLAIN) {
		return 0;
	}
	if (!p->vid)
		return -1 - LEARN_VLAN_UNTAGGED;
	if (!f->n)
		outer(f, 0x8100, p->vid);
	else
		f->tag[0].tci = (f->tag[0].tci & 0xf000) | p->vid;
	return p->vid;
}

/* The frame leaves at the port, if it may: NONE, or the reason. */
static int model_leave(unsigned port, struct frame f, unsigned vid, bool real)
{
	const struct model_port *p = &model[port];

	if (!model_in(p, vid))
		return LEARN_VLAN_DEST;
	if (vid && vid == p->vid) {
		if (p->mode != VLAN_QINQ && f.n > 1)
			return LEARN_VLAN_STACKED;
		inner(&f);
	}
	assert_true(n_queue[port] < QUEUE);
	if (real)
		queue[port][n_queue[port]++] = f;
	return LEARN_DROPS;
}

static void model_send(unsigned from, const struct frame *f, unsigned vid)
{
	int to = f->dst == GROUP ? -1 : where[vid][f->dst], why;

	if (to == (int)from)
		return;
	if (to >= 0 && model[from].isolated && model[to].isolated)
		return;
	if (to >= 0) {
		why = model_leave(to, *f, vid, true);
		if (why != LEARN_DROPS)
			dropped[from][why]++;
		return;
	}
	for (unsigned p = 0; p < PORTS; p++)
		if (model[p].here && p != from &&
		    !(model[from].isolated && model[p].isolated))
			model_leave(p, *f, vid, true);
}

static void forget(unsigned port)
{
	for (unsigned v = 0; v < VIDS; v++)
		for (unsigned s = 0; s < STATIONS; s++)
			if (where[v][s] == (int)port)
				where[v][s] = -1;
}

/* What happens. */

static struct frame random_frame(unsigned seq)
{
	struct frame f = { .seq = seq, .n = pick(3) };

	f.src = pick(STATIONS);
	f.dst = pick(5) ? pick(STATIONS) : GROUP;
	if (f.n == 2 && !pick(4))
		f.n = 3;
	for (unsigned i = 0; i < f.n; i++) {
		f.tag[i].tpid = pick(4) ? 0x8100 : 0x88a8;
		f.tag[i].tci = pick(16) << 12 | pick(VIDS);
	}
	if (f.n && !pick(40)) {
		f.cut = true;
		f.n = 1;
	}
	return f;
}

static void send_some(void)
{
	static unsigned seq;
	struct frame f[BATCH];
	int vid[BATCH];
	unsigned from = pick(PORTS), n = 1 + pick(BATCH);
	uint8_t bytes[FRAME_LEN];

	if (!model[from].here)
		return;
	for (unsigned i = 0; i < n; i++) {
		f[i] = random_frame(seq++);
		assert_int_equal(dummy_inject_flat(vlan_ports[from], 0, bytes,
						   build(&f[i], bytes)),
				 0);
		vid[i] = model_take(&model[from], &f[i]);
		if (vid[i] < 0)
			dropped[from][-1 - vid[i]]++;
		else
			where[vid[i]][f[i].src] = from;
	}
	for (unsigned i = 0; i < n; i++)
		if (vid[i] >= 0)
			model_send(from, &f[i], vid[i]);
	assert_int_equal(engine_poll(engine), n);
}

static void compare(unsigned port)
{
	uint8_t want[FRAME_LEN], got[FRAME_LEN];

	for (unsigned i = 0; i < n_queue[port]; i++) {
		unsigned len = build(&queue[port][i], want);
		int n = dummy_collect(vlan_ports[port], 0, got, sizeof(got),
				      NULL);

		if (n != (int)len || memcmp(want, got, len))
			fail_msg("port %u: %d bytes, not %u as frame %u", port,
				 n, len, queue[port][i].seq);
	}
	if (dummy_pending_out(vlan_ports[port], 0))
		fail_msg("port %u got more than it should", port);
	n_queue[port] = 0;
	for (unsigned k = LEARN_VLAN_BAD; k < LEARN_DROPS; k++) {
		uint64_t n = rig_in(vlan_ports[port]).drops[vlan_drop(k)];

		if (n != dropped[port][k])
			fail_msg("port %u: %" PRIu64 " %s, not %" PRIu64, port,
				 n, learn_drops[k].name, dropped[port][k]);
	}
}

static void random_settings(struct model_port *p)
{
	p->mode = pick(4);
	p->vid = p->mode == VLAN_PLAIN		       ? 0 :
		 p->mode == VLAN_TRUNK && pick(2) == 0 ? 0 :
							 1 + pick(VIDS - 1);
	for (unsigned v = 1; v < VIDS; v++)
		p->allowed[v] = pick(2);
	p->allowed[1 + pick(VIDS - 1)] = true;
}

/* As JSON text; "null" for a plain port. */
static void settings_text(const struct model_port *p, char *text, size_t size)
{
	char list[8 * VIDS] = "";

	if (p->mode == VLAN_PLAIN) {
		snprintf(text, size, "null");
		return;
	}
	if (p->mode != VLAN_TRUNK) {
		snprintf(text, size, "{\"mode\": \"%s\", \"vlan\": %u}",
			 vlan_mode_name(p->mode), p->vid);
		return;
	}
	for (unsigned v = 1; v < VIDS; v++)
		if (p->allowed[v])
			snprintf(list + strlen(list), 8, "%s%u",
				 list[0] ? ", " : "", v);
	if (p->vid)
		snprintf(text, size,
			 "{\"mode\": \"trunk\", \"allowed\": [%s], "
			 "\"native\": %u}",
			 list, p->vid);
	else
		snprintf(text, size, "{\"mode\": \"trunk\", \"allowed\": [%s]}",
			 list);
}

static void change(void)
{
	unsigned i = pick(PORTS);
	struct model_port *p = &model[i];
	char text[256], all[400];
	bool was_plain = p->mode == VLAN_PLAIN;

	random_settings(p);
	p->isolated = !pick(3);
	settings_text(p, text, sizeof(text));
	snprintf(all, sizeof(all), "{\"isolated\": %s, \"learn\": %s}",
		 p->isolated ? "true" : "false", text);
	if (p->here && !(was_plain && p->mode == VLAN_PLAIN))
		forget(i);
	if (p->here && !pick(5)) {
		port_destroy(vlan_ports[i]);
		vlan_ports[i] = NULL;
		p->here = false;
		forget(i);
	} else if (p->here) {
		vlan_change(i, "{\"learn\": {\"mode\": null, \"vlan\": null, "
			       "\"native\": null, \"allowed\": null}}");
		vlan_change(i, all);
	} else {
		vlan_open(i, all);
		p->here = true;
		memset(dropped[i], 0, sizeof(dropped[i]));
	}
}

static void all_plain(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		if (!model[i].here)
			continue;
		vlan_change(i, "{\"learn\": null}");
		if (model[i].mode != VLAN_PLAIN)
			forget(i);
		model[i].mode = VLAN_PLAIN;
		model[i].vid = 0;
	}
	assert_null(atomic_load(&vlan_learn()->vlans));
}

static void behaves_like_the_model(void **state)
{
	const char *given = getenv("LEARN_SEED");

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 8 | 1;
	print_message("LEARN_SEED=%" PRIu64 "\n", seed);
	memset(where, 0xff, sizeof(where));
	for (unsigned i = 0; i < STEPS; i++) {
		if (!pick(4))
			change();
		if (!pick(500))
			all_plain();
		send_some();
		for (unsigned p = 0; p < PORTS; p++)
			if (model[p].here)
				compare(p);
	}
	rig_check();
	for (unsigned p = 0; p < PORTS; p++)
		if (model[p].here)
			port_destroy(vlan_ports[p]);
	memset(model, 0, sizeof(model));
	assert_null(atomic_load(&vlan_learn()->vlans));
	rig_check();
}

/* Where a checksum belongs moves with the tags, both ways and in floods. */
static void offloads_move_along(void **state)
{
	struct offload off = { .flags = OFFLOAD_NEEDS_CSUM,
			       .csum_start = 34,
			       .csum_offset = 6 };
	struct frame f = { .dst = GROUP, .src = 1 };
	struct offload got;
	uint8_t bytes[FRAME_LEN];
	struct iovec iov = { bytes, 60 };

	vlan_open(0, "{\"learn\": {\"mode\": \"access\", \"vlan\": 5}}");
	vlan_open(1, "{\"caps\": 63, \"learn\": {\"mode\": \"trunk\"}}");
	vlan_open(2, "{\"caps\": 63, \"learn\": {\"mode\": \"access\", "
		     "\"vlan\": 5}}");
	for (unsigned round = 0; round < 3; round++) {
		f.dst = round ? 10 + round : GROUP; /* a flood, then each */
		build(&f, bytes);
		bytes[14] = 0x45;
		bytes[23] = 17;
		assert_int_equal(dummy_inject(vlan_ports[0], 0, &iov, 1, &off),
				 0);
		rig_run();
		if (round != 2) {
			assert_int_equal(dummy_collect(vlan_ports[1], 0, bytes,
						       sizeof(bytes), &got),
					 64);
			assert_int_equal(got.csum_start, 38);
			assert_int_equal(got.csum_offset, 6);
			assert_int_equal(got.flags, OFFLOAD_NEEDS_CSUM);
		}
		if (round != 1) {
			assert_int_equal(dummy_collect(vlan_ports[2], 0, bytes,
						       sizeof(bytes), &got),
					 60);
			assert_int_equal(got.csum_start, 34);
		}
		rig_none(vlan_ports[1]);
		rig_none(vlan_ports[2]);
		if (round)
			continue;
		/* Stations 11 and 12 show themselves. */
		vlan_say(1, GROUP, 11, 5);
		vlan_say(2, GROUP, 12, 0);
		vlan_drain();
	}
	rig_check();
}

/* A switch that ignores VLANs has no use for them, and says so. */
static void needs_option_vlan(void **state)
{
	struct glen_error error = { 0 };
	json_t *off = json_pack("{s:b}", "vlan", 0);

	vlan_open(0, "{\"learn\": {\"mode\": \"access\", \"vlan\": 5}}");
	assert_int_equal(switch_set_module(sw, "learn", off, &error), -EINVAL);
	assert_non_null(strstr(error.text, "while ports have a mode"));
	vlan_change(0, "{\"learn\": null}");
	assert_int_equal(switch_set_module(sw, "learn", off, &error), 0);
	assert_int_equal(vlan_try(1, "{\"learn\": {\"mode\": \"trunk\"}}",
				  &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "module option vlan is false"));
	json_decref(off);
}

/* What would never be used is refused, by name. */
static void static_addresses_are_in_the_vlan(void **state)
{
	struct glen_error error;

	assert_int_equal(vlan_try(0,
				  "{\"learn\": {\"mode\": \"access\", \"vlan\":"
				  " 5, \"macs\": [\"02:00:00:00:00:01\"]}}",
				  &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "02:00:00:00:00:01 is in VLAN 0"));
	vlan_open(0, "{\"learn\": {\"mode\": \"access\", \"vlan\": 5, "
		     "\"macs\": [\"02:00:00:00:00:01@5\"]}}");
	vlan_open(1, "{\"learn\": {\"mode\": \"trunk\"}}");
	vlan_open(2, "{\"learn\": {\"mode\": \"trunk\"}}");
	vlan_say(1, 1, 20, 5);
	assert_int_equal(dummy_pending_out(vlan_ports[0], 0), 1);
	rig_none(vlan_ports[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VLAN_TEST(behaves_like_the_model),
		VLAN_TEST(offloads_move_along),
		VLAN_TEST(needs_option_vlan),
		VLAN_TEST(static_addresses_are_in_the_vlan),
	};

	return cmocka_run_group_tests_name("learn_vlan", tests, NULL, NULL);
}
