// SPDX-License-Identifier: BSD-2-Clause
// fuzz_learn.c - any packets in any order, against a bridge of a few lines.
/*
 * Input: one byte of options, then a record of 8 bytes per packet.
 *
 *   options  bit 0: VLANs count; bits 4..7: ports 0..3 are isolated
 *   0        bits 0..1: source port, if it begins a batch; bit 5: that port
 *            goes and comes first; bit 6: 40 seconds pass first; bit 7: begins
 *            a batch
 *   1, 2     destination: first and last byte
 *   3, 4     source: first and last byte
 *   5        bits 0..1: no tag, 802.1Q, 802.1ad, 0x9100
 *   6, 7     tag
 *
 * The model remembers for each address the port and the time it was last seen.
 * Within a batch the bridge may look up a destination before or after it
 * learns the sources of the other packets: both answers are right.
 */
#include "fuzz.h"

#include <string.h>

#include "core/drop.h"
#include "core/module.h"
#include "module/learn/learn.h"

enum {
	RECORD = 8,
	PACKETS_MAX = 1024,
	AGEING_S = 100,
	N_PORTS = 4,
};

struct station {
	uint8_t mac[6];
	uint16_t vid;
	int port; /* -1: unknown */
	uint32_t seen_s;
};

static struct batch batch;
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

static uint16_t vid_of(const uint8_t *hdr)
{
	unsigned type = hdr[12] << 8 | hdr[13];

	if (!use_vlan || (type != 0x8100 && type != 0x88a8))
		return 0;
	return (hdr[14] << 8 | hdr[15]) & 0xfff;
}

static struct station *find(const uint8_t *mac, uint16_t vid)
{
	for (unsigned i = 0; i < n_stations; i++)
		if (!memcmp(stations[i].mac, mac, 6) && stations[i].vid == vid)
			return &stations[i];
	return NULL;
}

/* The verdict on a packet by what the model knows now. */
static uint32_t expected(const uint8_t *hdr, uint16_t src)
{
	const struct station *s = find(hdr, vid_of(hdr));

	if (!s || s->port < 0 || now_s - s->seen_s >= AGEING_S)
		return VERDICT_FLOOD |
		       (isolated[src] ? FLOOD_NOT_ISOLATED : FLOOD_ALL);
	if (isolated[src] && isolated[s->port] && s->port != src)
		return VERDICT_DROP | DROP_IN_ISOLATED;
	return VERDICT_PORT | RING_ANY << VERDICT_RING_SHIFT |
	       (uint32_t)s->port;
}

static void model_learn(const uint8_t *hdr, uint16_t src)
{
	static const uint8_t zero[6];
	const uint8_t *mac = hdr + 6;
	struct station *s = find(mac, vid_of(hdr));

	if (mac[0] & 1 || !memcmp(mac, zero, 6))
		return;
	if (!s) {
		s = &stations[n_stations++];
		memcpy(s->mac, mac, 6);
		s->vid = vid_of(hdr);
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
	uint32_t before[BATCH_MAX];

	if (!batch.n)
		return;
	for (unsigned i = 0; i < batch.n; i++)
		before[i] = expected(batch.hdr[i], src);
	for (unsigned i = 0; i < batch.n; i++)
		model_learn(batch.hdr[i], src);
	batch_init(&batch);
	module_learn.lookup[isa_now()](state, &ctx, batch_view(&batch));
	for (unsigned i = 0; i < batch.n; i++)
		FUZZ_CHECK(batch.verdict[i] == before[i] ||
			   batch.verdict[i] == expected(batch.hdr[i], src));
	batch.n = 0;
}

static void port_goes(const struct glen_module *ops, void *state, uint16_t i)
{
	struct glen_module_port port = { .index = i, .name = "port" };

	ops->port_del(state, &port);
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
}

static uint64_t used(const struct glen_module *ops, void *state)
{
	json_t *shown = ops->show(state);
	json_t *counts = json_object_get(shown, "counts");
	uint64_t n = json_integer_value(json_object_get(counts, "used"));

	json_decref(shown);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct glen_module *ops = &module_learn.ops;
	const struct glen_module_env env = { .host = &module_host,
					     .switch_name = "",
					     .n_workers = 1 };
	uint16_t src = 0;
	json_t *options;
	unsigned alive = 0;
	void *state;

	if (!size)
		return 0;
	use_vlan = data[0] & 1;
	for (unsigned i = 0; i < N_PORTS; i++)
		isolated[i] = data[0] >> (4 + i) & 1;
	n_stations = 0;
	batch.n = 0;
	now_s = 1000;
	options = json_pack("{s:i, s:b, s:i}", "entries", PACKETS_MAX, "vlan",
			    use_vlan, "ageing_s", AGEING_S);
	FUZZ_CHECK(!ops->create(&env, options, &state, NULL));
	json_decref(options);
	data++;
	size = (size - 1) / RECORD;
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
