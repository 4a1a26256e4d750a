// SPDX-License-Identifier: BSD-2-Clause
// fuzz_learn.c - any packets in any order, against a bridge of a few lines.
/*
 * Input: one byte of options, maybe one for each port, then a record of 8 bytes
 * per packet.
 *
 *   options  bit 0: VLANs count; bit 1: ports have modes, and VLANs count;
 *            bits 4..7: ports 0..3 are isolated
 *   port     bits 0..1: its mode; bits 2..3: its VLAN; bits 4..6: a trunk's
 *            VLANs, of 1 to 3
 *   0        bits 0..1: source port, if it begins a batch; bit 5: that port
 *            goes and comes first; bit 6: 40 seconds pass first; bit 7: begins
 *            a batch
 *   1, 2     destination: first and last byte
 *   3, 4     source: first and last byte
 *   5        bits 0..1: no tag, 802.1Q, 802.1ad, 0x9100; bits 2..3: the same
 *            behind that; bit 4: the packet ends within its first tag
 *   6, 7     tag, and the other one
 *
 * The model remembers for each address the port and the time it was last seen.
 * Within a batch the bridge may look up a destination before or after it
 * learns the sources of the other packets: both answers are right. Where ports
 * have modes, the model also says what tag a packet gets and who is in the set
 * that a flood goes to, with or without tag.
 */
#include "fuzz.h"

#include <string.h>

#include "../unit/fake_env.h"
#include "core/drop.h"
#include "module/learn/ports.h"

enum {
	RECORD = 8,
	PACKETS_MAX = 1024,
	AGEING_S = 100,
	N_PORTS = 4,
	SETS = 64,
};

struct station {
	uint8_t mac[6];
	uint16_t vid;
	int port; /* -1: unknown */
	uint32_t seen_s;
};

/* A port's settings, and what they make of a packet. */
struct port_mode {
	unsigned mode, vid, allowed; /* bit v: VLAN v */
};

struct form {
	uint16_t vid;
	int drop; /* LEARN_DROPS: none */
	bool tagged, priority, stacked;
};

/* A port set: bit p is port p, and that it has no tag there. */
struct set {
	bool made;
	unsigned members, untagged;
};

static struct batch batch;
static struct port_mode modes[N_PORTS];
static struct set sets[SETS];
static bool use_modes, aware;
static struct station stations[PACKETS_MAX];
static unsigned n_stations;
static bool use_vlan;
static uint8_t isolated[N_PORTS];
static uint32_t now_s;

static const uint8_t tpids[4][2] = {
	{ 8, 0 },
	{ 0x81, 0 },
	{ 0x88, 0xa8 },
	{ 0x91, 0 },
};

static bool is_tag(const uint8_t *type)
{
	return !memcmp(type, tpids[1], 2) || !memcmp(type, tpids[2], 2);
}

static enum vlan_way way_of(unsigned port, unsigned vid, bool stacked)
{
	const struct port_mode *p = &modes[port];

	if (p->mode == VLAN_PLAIN)
		return VLAN_TAGGED;
	if (vid && vid == p->vid)
		return stacked && p->mode != VLAN_QINQ ? VLAN_NOT :
							 VLAN_UNTAGGED;
	return p->mode == VLAN_TRUNK && vid < 4 && p->allowed >> vid & 1 ?
		       VLAN_TAGGED :
		       VLAN_NOT;
}

/* What a packet from port src is: its VLAN, and its tags. */
static struct form form_of(const uint8_t *hdr, unsigned hdr_len, unsigned src)
{
	const struct port_mode *p = &modes[src];
	bool tag = is_tag(hdr + 12), inner = tag && is_tag(hdr + 16);
	unsigned own = tag ? (hdr[14] << 8 | hdr[15]) & 0xfff : 0;
	struct form f = { .vid = use_vlan ? own : 0, .drop = LEARN_DROPS };

	if (!aware)
		return f;
	if (tag && hdr_len < 18) {
		f.drop = LEARN_VLAN_BAD;
		return f;
	}
	f.tagged = own && p->mode != VLAN_QINQ;
	f.priority = tag && !own && p->mode != VLAN_QINQ;
	f.stacked = p->mode == VLAN_QINQ ? tag : inner;
	if (!f.tagged)
		f.vid = p->vid;
	if (p->mode == VLAN_ACCESS &&
	    (own || inner || (tag && hdr[12] != 0x81)))
		f.drop = LEARN_VLAN_TAGGED;
	else if (p->mode == VLAN_TRUNK && !own && !p->vid)
		f.drop = LEARN_VLAN_UNTAGGED;
	else if (f.tagged && way_of(src, own, false) == VLAN_NOT)
		f.drop = LEARN_VLAN_DENIED;
	return f;
}

static struct station *find(const uint8_t *mac, uint16_t vid)
{
	for (unsigned i = 0; i < n_stations; i++)
		if (!memcmp(stations[i].mac, mac, 6) && stations[i].vid == vid)
			return &stations[i];
	return NULL;
}

/* What the model says of a flood; the set's number is the bridge's affair. */
enum { A_FLOOD = VERDICT_FLOOD | 0xffff };

/* The verdict on a packet by what the model knows now. */
static uint32_t expected(const uint8_t *hdr, const struct form *f, uint16_t src)
{
	const struct station *s = find(hdr, f->vid);

	if (f->drop != LEARN_DROPS)
		return glen_drop(f->drop);
	if (!s || s->port < 0 || now_s - s->seen_s >= AGEING_S)
		return A_FLOOD;
	if (isolated[src] && isolated[s->port] && s->port != src)
		return VERDICT_DROP | DROP_IN_ISOLATED;
	if (aware && s->port != src) {
		if (way_of(s->port, f->vid, false) == VLAN_NOT)
			return glen_drop(LEARN_VLAN_DEST);
		if (way_of(s->port, f->vid, f->stacked) == VLAN_NOT)
			return glen_drop(LEARN_VLAN_STACKED);
	}
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT |
	       (uint32_t)s->port;
}

/* Who gets a flood is who is in the set. */
static bool flood_is_right(uint32_t verdict, const struct form *f, uint16_t src)
{
	struct set want = { .made = true };
	uint32_t id = verdict & 0xffff;

	if (!aware)
		return id == (isolated[src] ? FLOOD_NOT_ISOLATED : FLOOD_ALL);
	for (unsigned p = 0; p < N_PORTS; p++) {
		enum vlan_way way = way_of(p, f->vid, f->stacked);

		if (way == VLAN_NOT || (isolated[src] && isolated[p]))
			continue;
		want.members |= 1U << p;
		want.untagged |= (unsigned)(way == VLAN_UNTAGGED) << p;
	}
	return id < SETS && !memcmp(&sets[id], &want, sizeof(want));
}

/* The packet has the tags in front that it needs where it goes. */
static bool tags_are_right(const uint8_t *now, const uint8_t *was,
			   const struct form *f, uint32_t verdict, uint16_t src)
{
	uint8_t want[HDR_MIN + 4];
	uint32_t port = verdict & 0xffff;
	unsigned tpid = modes[src].mode == VLAN_QINQ ? 0x88a8 : 0x8100;
	unsigned at = 12, priority = 0;
	bool untagged = false;

	if ((verdict & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT)
		untagged = port != src &&
			   way_of(port, f->vid, false) == VLAN_UNTAGGED;
	memcpy(want, was, 12);
	if (!aware ||
	    ((verdict & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT && port == src))
		return !memcmp(now, was, 24);
	if (untagged && (f->tagged || f->priority)) {
		memcpy(want + 12, was + 16, 20);
		return !memcmp(now, want, 24);
	}
	if (!untagged && f->vid && f->priority) {
		memcpy(want + 12, was + 12, 12);
		want[14] = (want[14] & 0xf0) | f->vid >> 8;
		want[15] = f->vid & 0xff;
		return !memcmp(now, want, 24);
	}
	if (!untagged && f->vid && !f->tagged) {
		if (tpid == 0x88a8 && f->stacked)
			priority = was[14] & 0xf0;
		want[at++] = tpid >> 8;
		want[at++] = tpid & 0xff;
		want[at++] = priority | f->vid >> 8;
		want[at++] = f->vid & 0xff;
	}
	memcpy(want + at, was + 12, 12);
	return !memcmp(now, want, 24);
}

static void model_learn(const uint8_t *hdr, const struct form *f, uint16_t src)
{
	static const uint8_t zero[6];
	const uint8_t *mac = hdr + 6;
	struct station *s = find(mac, f->vid);

	if (f->drop != LEARN_DROPS || mac[0] & 1 || !memcmp(mac, zero, 6))
		return;
	if (!s) {
		s = &stations[n_stations++];
		memcpy(s->mac, mac, 6);
		s->vid = f->vid;
	}
	s->port = src;
	s->seen_s = now_s;
}

static void run_batch(const struct glen_module *ops, void *state, uint16_t src)
{
	struct glen_lookup ctx = {
		.src = src,
		.src_isolated = isolated[src],
		.now_s = now_s,
		.port_isolated = isolated,
		.n_ports = N_PORTS,
	};
	static uint8_t was[BATCH_MAX][HDR_MIN];
	struct form form[BATCH_MAX];
	uint32_t before[BATCH_MAX];

	if (!batch.n)
		return;
	for (unsigned i = 0; i < batch.n; i++) {
		memcpy(was[i], batch.hdr[i], HDR_MIN);
		form[i] = form_of(was[i], batch.hdr_len[i], src);
		before[i] = expected(was[i], &form[i], src);
	}
	for (unsigned i = 0; i < batch.n; i++)
		model_learn(was[i], &form[i], src);
	batch_init(&batch);
	module_learn.lookup[isa_now()](state, &ctx, batch_view(&batch));
	for (unsigned i = 0; i < batch.n; i++) {
		uint32_t v = batch.verdict[i], after;

		after = expected(was[i], &form[i], src);
		if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_SET) {
			FUZZ_CHECK(flood_is_right(v, &form[i], src));
			v = A_FLOOD;
		}
		FUZZ_CHECK(v == before[i] || v == after);
		if ((v & GLEN_VERDICT_KIND) != GLEN_VERDICT_DROP)
			FUZZ_CHECK(tags_are_right(
				glen_batch_hdr(batch_view(&batch), i), was[i],
				&form[i], v, src));
	}
	batch.n = 0;
}

static int set_create(const struct glen_module_env *env, uint32_t *set)
{
	for (*set = GLEN_SET_FIRST; *set < SETS; ++*set)
		if (!sets[*set].made) {
			sets[*set] = (struct set){ .made = true };
			return 0;
		}
	return -ENOSPC;
}

static int set_add(const struct glen_module_env *env, uint32_t set,
		   unsigned port, const struct glen_edit *edit)
{
	FUZZ_CHECK(sets[set].made && port < N_PORTS);
	sets[set].members |= 1U << port;
	sets[set].untagged &= ~(1U << port);
	sets[set].untagged |= (unsigned)(edit && edit->pop == 1) << port;
	return 0;
}

static int set_remove(const struct glen_module_env *env, uint32_t set,
		      unsigned port)
{
	FUZZ_CHECK(sets[set].made);
	sets[set].members &= ~(1U << port);
	sets[set].untagged &= ~(1U << port);
	return 0;
}

static int set_destroy(const struct glen_module_env *env, uint32_t set)
{
	FUZZ_CHECK(sets[set].made);
	sets[set] = (struct set){ 0 };
	return 0;
}

static const struct glen_module_env *fuzz_env(void)
{
	const struct glen_module_env *env = fake_env(1);
	struct glen_module_host *host = (struct glen_module_host *)(uintptr_t)
						env->host;

	host->set_create = set_create;
	host->set_add = set_add;
	host->set_remove = set_remove;
	host->set_destroy = set_destroy;
	return env;
}

static void port_comes(const struct glen_module *ops, void *state, unsigned i)
{
	const struct port_mode *p = &modes[i];
	struct glen_module_port port;
	json_t *allowed, *settings;

	fake_port_get(NULL, i, &port);
	port.isolated = isolated[i];
	if (ops->port_add)
		ops->port_add(state, &port);
	if (p->mode == VLAN_PLAIN)
		return;
	settings = json_pack("{s:s}", "mode", vlan_mode_name(p->mode));
	if (p->vid)
		json_object_set_new(settings,
				    p->mode == VLAN_TRUNK ? "native" : "vlan",
				    json_integer(p->vid));
	allowed = json_array();
	for (unsigned v = 1; v < 4; v++)
		if (p->allowed >> v & 1)
			json_array_append_new(allowed, json_integer(v));
	if (p->mode == VLAN_TRUNK)
		json_object_set(settings, "allowed", allowed);
	FUZZ_CHECK(!ops->port_set(fuzz_env(), state, &port, settings, NULL));
	json_decref(allowed);
	json_decref(settings);
}

static void port_goes(const struct glen_module *ops, void *state, uint16_t i)
{
	struct glen_module_port port = { .index = i, .name = "port" };

	for (unsigned k = 0; k < SETS; k++)
		if (sets[k].made)
			set_remove(NULL, k, i);
	ops->port_del(state, &port);
	if (use_modes)
		port_comes(ops, state, i);
	for (unsigned k = 0; k < n_stations; k++)
		if (stations[k].port == i)
			stations[k].port = -1;
}

static void put_packet(const uint8_t *record)
{
	uint8_t *hdr = batch.hdr[batch.n++];

	memset(hdr, 0, HDR_SIZE);
	hdr[0] = record[1];
	hdr[5] = record[2];
	hdr[6] = record[3];
	hdr[11] = record[4];
	memcpy(hdr + 12, tpids[record[5] & 3], 2);
	memcpy(hdr + 14, record + 6, 2);
	batch.len[batch.n - 1] = batch.hdr_len[batch.n - 1] = 16;
	if (record[5] & 0x10)
		return;
	batch.len[batch.n - 1] = batch.hdr_len[batch.n - 1] = 60;
	memcpy(hdr + 16, tpids[record[5] >> 2 & 3], 2);
	memcpy(hdr + 18, record + 6, 2);
}

static uint64_t used(const struct glen_module *ops, void *state)
{
	json_t *shown = ops->show(state);
	json_t *counts = json_object_get(shown, "counts");
	uint64_t n = json_integer_value(json_object_get(counts, "used"));

	json_decref(shown);
	return n;
}

static void modes_read(const uint8_t *data)
{
	for (unsigned i = 0; i < N_PORTS; i++) {
		struct port_mode *p = &modes[i];

		p->mode = data[i] & 3;
		aware |= p->mode != VLAN_PLAIN;
		if (p->mode == VLAN_PLAIN)
			continue;
		p->vid = data[i] >> 2 & 3;
		if (p->mode != VLAN_TRUNK && !p->vid)
			p->vid = 1;
		p->allowed = data[i] >> 3 & 0xe;
		if (p->mode == VLAN_TRUNK && !p->allowed)
			p->allowed = 2;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct glen_module *ops = &module_learn.ops;
	uint16_t src = 0;
	json_t *options;
	unsigned alive = 0;
	void *state;

	if (!size)
		return 0;
	memset(modes, 0, sizeof(modes));
	memset(sets, 0, sizeof(sets));
	aware = false;
	use_modes = data[0] & 2 && size > N_PORTS;
	use_vlan = data[0] & 1 || use_modes;
	for (unsigned i = 0; i < N_PORTS; i++)
		isolated[i] = data[0] >> (4 + i) & 1;
	n_stations = 0;
	batch.n = 0;
	now_s = 1000;
	options = json_pack("{s:i, s:b, s:i}", "entries", PACKETS_MAX, "vlan",
			    use_vlan, "ageing_s", AGEING_S);
	FUZZ_CHECK(!ops->create(fuzz_env(), options, &state, NULL));
	json_decref(options);
	data++;
	size--;
	if (use_modes) {
		modes_read(data);
		for (unsigned i = 0; i < N_PORTS; i++)
			port_comes(ops, state, i);
		data += N_PORTS;
		size -= N_PORTS;
	}
	size /= RECORD;
	size = size < PACKETS_MAX ? size : PACKETS_MAX;
	for (; size; size--, data += RECORD) {
		if (data[0] & 0x80 || batch.n == BATCH_MAX) {
			run_batch(ops, state, src);
			src = data[0] % N_PORTS;
			now_s += data[0] & 0x40 ? 40 : 0;
			if (data[0] & 0x20)
				port_goes(ops, state, src);
		}
		put_packet(data);
	}
	run_batch(ops, state, src);
	ops->tick(state, now_s);
	for (unsigned i = 0; i < n_stations; i++)
		alive += stations[i].port >= 0 &&
			 now_s - stations[i].seen_s < AGEING_S;
	FUZZ_CHECK(used(ops, state) == alive);
	ops->destroy(state);
	return 0;
}
