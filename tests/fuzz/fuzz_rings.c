// SPDX-License-Identifier: BSD-2-Clause
// fuzz_rings.c - a client that writes anything, beside two that lose nothing.
/*
 * Ports a and b exchange packets that carry a secret tag; what "gen" sends
 * goes to the liar, and what the liar sends goes to b. Input: a byte of
 * options, then operations, each a byte and its arguments:
 *
 *   options  bits 0..1: buf_size 64, 128, 2048, 65536; bits 2..3:
 *            vnet_hdr_len 0, 0, 10, 12; bit 4: 16 or 64 slots; bit 5: 2 rings
 *   0, 1     TX, RX slot: ring, slot, buffer (2), length (2), flags
 *   2, 3     head of TX, RX: ring, value
 *   4, 5     need-kick of TX, RX: ring, value
 *   6        poll
 *   7        gen sends to the liar: length (2), kind of offload
 *   8        a and b exchange packets
 *   9        a byte of a TX buffer: slot, offset, value
 *   10       honest: give back all of RX
 *   11       honest: send so many slots: count, length, flags
 *   12       a word anywhere in the CSB: offset (2), value (4)
 *
 * A value of 255 for a head or a buffer means the largest number there is.
 * When the port broke, the next operation finds a new one.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/random.h>

#include "core/engine.h"
#include "lib/port.h"
#include "lib/shm.h"
#include "port/dummy/dummy.h"
#include "port/shm/shm.h"

enum { OPS_MAX = 2000, PAIR = 4, TURNS_MAX = 20 };

/* One of the honest ports. */
struct honest {
	struct port *port;
	struct glen_port *user;
	uint32_t sent, received;
};

struct reader {
	const uint8_t *data;
	size_t left;
};

static struct engine *engine;
static struct vswitch *sw;
static struct honest a, b;
static struct port *gen, *liar;
static struct shm_port *shm;
static char liar_params[128];
static uint64_t secret;

static uint8_t get8(struct reader *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->data++;
}

static uint16_t get16(struct reader *r)
{
	uint16_t high = get8(r);

	return (uint16_t)(high << 8 | get8(r));
}

/* A number near the small ones, or far off. */
static uint32_t get_index(struct reader *r)
{
	uint8_t value = get8(r);

	return value == 255 ? UINT32_MAX : value;
}

static struct port *open_port(const char *name, const char *driver,
			      const char *params)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct port *port;

	FUZZ_CHECK(!port_create(sw, name, driver, &args, &port, NULL));
	json_decref(args.params);
	return port;
}

static void on_close(void *arg)
{
}

static void open_honest(struct honest *h, const char *name)
{
	json_t *info = json_object();
	int fds[PORT_FDS_MAX];
	unsigned n;

	h->port = open_port(name, "shm", "{}");
	h->port->ops->attach_info(h->port, info, fds, &n);
	json_decref(info);
	FUZZ_CHECK(!port_map_local(&h->user, name,
				   &((struct shm_port *)h->port->drv)->layout,
				   NULL, fds[0], fds[1], fds[2], fds[3],
				   on_close, NULL));
}

static void open_all(void)
{
	const struct engine_config config = { .n_workers = 1, .poll = true };
	json_t *options = json_pack("{s:{s:s, s:s, s:s, s:s}}", "map", "a", "b",
				    "b", "a", "gen", "liar", "liar", "b");

	FUZZ_CHECK(getrandom(&secret, sizeof(secret), 0) == sizeof(secret));
	FUZZ_CHECK(!engine_create(&engine, &config, NULL));
	FUZZ_CHECK(!switch_create(engine, "sw", "static", options, &sw, NULL));
	json_decref(options);
	open_honest(&a, "a");
	open_honest(&b, "b");
	gen = open_port("gen", "dummy", "{}");
}

static void open_liar(void)
{
	liar = open_port("liar", "shm", liar_params);
	shm = liar->drv;
}

/* The bytes of packet seq: nobody else knows the secret. */
static uint32_t build(uint8_t *p, const struct honest *from, uint32_t seq)
{
	uint64_t x = secret + seq * 2 + (from == &a);
	uint32_t len = 60 + (seq * 7919) % 3000;

	for (uint32_t i = 0; i < len; i += 8) {
		x = (x ^ x >> 29) * 0x9e3779b97f4a7c15ULL + i;
		memcpy(p + i, &x, len - i < 8 ? len - i : 8);
	}
	p[12] = 0x88;
	p[13] = 0xb5;
	return len;
}

static void send_pair(struct honest *h)
{
	static uint8_t data[4096];

	for (unsigned i = 0; i < PAIR; i++) {
		struct glen_packet p = { data, 0 };

		p.len = build(data, h, h->sent++);
		FUZZ_CHECK(glen_send(h->user, 0, &p, 1) == 1);
	}
}

/* What does not carry the next tag of from is the liar's. */
static void receive(struct honest *h, struct honest *from)
{
	static uint8_t want[4096];
	struct glen_packet p;

	while (glen_recv(h->user, 0, &p, 1) == 1) {
		uint32_t len = build(want, from, h->received);

		if (p.len >= 12 && !memcmp(p.data, want, 12)) {
			FUZZ_CHECK(p.len == len);
			FUZZ_CHECK(!memcmp(p.data, want, len));
			h->received++;
		}
		glen_release(h->user, 0);
	}
}

static void poll_all(void)
{
	engine_poll(engine);
	receive(&a, &b);
	receive(&b, &a);
}

static void exchange(void)
{
	send_pair(&a);
	send_pair(&b);
	/* A ring that was idle is not looked at in every turn. */
	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		poll_all();
		if (a.received == b.sent && b.received == a.sent)
			return;
	}
	FUZZ_CHECK(!"what the honest send arrives");
}

static struct netmap_ring *ring_of(bool rx, uint8_t ring)
{
	uint64_t off;

	ring %= shm->layout.rings;
	off = rx ? layout_rx_ring(&shm->layout, ring) :
		   layout_tx_ring(&shm->layout, ring);
	return (struct netmap_ring *)(shm->window + off);
}

static struct nm_csb_atok *atok_of(bool rx, uint8_t ring)
{
	return (struct nm_csb_atok *)(shm->window + LAYOUT_ATOK_OFF) +
	       (rx ? shm->layout.rings : 0) + ring % shm->layout.rings;
}

static void write_slot(struct reader *r, bool rx)
{
	struct netmap_ring *ring = ring_of(rx, get8(r));
	uint32_t at = get8(r) & (shm->layout.slots - 1);
	uint32_t buf = get16(r);
	uint16_t len = get16(r), flags = get8(r);

	if (buf == UINT16_MAX)
		buf = UINT32_MAX;
	slot_store(&ring->slot[at], slot_word(buf, len, flags));
}

static void gen_sends(struct reader *r)
{
	static uint8_t data[PACKET_LEN_MAX] = { 2 };
	struct offload off = { .flags = OFFLOAD_NEEDS_CSUM,
			       .csum_start = 34,
			       .csum_offset = 16 };
	struct iovec iov = { data, get16(r) };
	uint8_t kind = get8(r);

	data[12] = 8;
	data[14] = 0x45;
	data[23] = 6;
	data[46] = 0x50;
	data[16] = (uint8_t)((iov.iov_len - 14) >> 8);
	data[17] = (uint8_t)(iov.iov_len - 14);
	if (kind & 2) {
		off.gso_type = OFFLOAD_GSO_TCPV4;
		off.gso_size = 100 + kind * 8;
	}
	dummy_inject(gen, 0, &iov, 1, kind & 1 ? &off : NULL);
}

static void honest_send(struct reader *r)
{
	struct nm_csb_atok *atok = atok_of(false, 0);
	struct netmap_ring *ring = ring_of(false, 0);
	uint32_t n = get8(r), mask = shm->layout.slots - 1, head = atok->head;
	uint16_t len = get8(r) * 8, flags = get8(r);

	for (; n && head <= mask; n--, head = (head + 1) & mask) {
		uint32_t buf = slot_buf(slot_load(&ring->slot[head]));

		slot_store(&ring->slot[head], slot_word(buf, len, flags));
	}
	shm_store_release32(&atok->head, head);
}

static void honest_release(struct reader *r)
{
	struct nm_csb_ktoa *ktoa;
	uint8_t ring = get8(r) % shm->layout.rings;

	ktoa = (struct nm_csb_ktoa *)(shm->window + LAYOUT_KTOA_OFF) +
	       shm->layout.rings + ring;
	shm_store_release32(&atok_of(true, ring)->head,
			    shm_load32(&ktoa->hwtail));
}

static void write_buf(struct reader *r)
{
	struct netmap_ring *ring = ring_of(false, 0);
	uint32_t at = get8(r) & (shm->layout.slots - 1);
	uint32_t buf = slot_buf(slot_load(&ring->slot[at]));
	uint8_t off = get8(r) & 63, value = get8(r);

	if (buf < shm->layout.n_bufs)
		shm->bufs[(size_t)buf * shm->layout.buf_size + off] = value;
}

static void write_csb(struct reader *r)
{
	uint32_t off = get16(r) % (2 * LAYOUT_PAGE) & ~3u;
	uint32_t high = get16(r), value = high << 16 | get16(r);

	shm_store32((uint32_t *)(shm->window + off), value);
}

static void run_op(struct reader *r)
{
	uint8_t op = get8(r) % 13, ring;

	switch (op) {
	case 0:
	case 1:
		write_slot(r, op == 1);
		break;
	case 2:
	case 3:
		ring = get8(r);
		shm_store_release32(&atok_of(op == 3, ring)->head,
				    get_index(r));
		break;
	case 4:
	case 5:
		ring = get8(r);
		shm_store32(&atok_of(op == 5, ring)->appl_need_kick, get8(r));
		break;
	case 6:
		poll_all();
		break;
	case 7:
		gen_sends(r);
		break;
	case 8:
		exchange();
		break;
	case 9:
		write_buf(r);
		break;
	case 10:
		honest_release(r);
		break;
	case 11:
		honest_send(r);
		break;
	default:
		write_csb(r);
	}
}

static uint64_t drops(const struct counters *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROP_N; i++)
		sum += c->drops[i];
	return sum;
}

/* What core/drop.h promises. */
static void check_counters(void)
{
	struct counters in = sw->gone, out = sw->gone_out, i, o;

	for (unsigned p = 0; p < SWITCH_PORTS_MAX; p++) {
		if (!sw->ports[p])
			continue;
		port_counters(sw->ports[p], -1, &i, &o);
		counters_add(&in, &i);
		counters_add(&out, &o);
	}
	FUZZ_CHECK(in.packets + in.replicated ==
		   out.packets + drops(&in) + drops(&out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned buf_sizes[] = { 64, 128, 2048, 65536 };
	static const unsigned vnets[] = { 0, 0, 10, 12 };
	struct reader r = { data, size };
	uint8_t o = get8(&r);

	if (!engine)
		open_all();
	snprintf(liar_params, sizeof(liar_params),
		 "{\"buf_size\": %u, \"vnet_hdr_len\": %u, \"slots\": %u, "
		 "\"rings\": %u}",
		 buf_sizes[o & 3], vnets[o >> 2 & 3], o & 16 ? 64 : 16,
		 o & 32 ? 2 : 1);
	open_liar();
	for (unsigned n = 0; r.left && n < OPS_MAX; n++) {
		if (port_is_broken(liar)) {
			port_destroy(liar);
			open_liar();
		}
		run_op(&r);
	}
	port_destroy(liar);
	/* Also what gen still has: nobody takes it any more. */
	exchange();
	while (engine_poll(engine))
		;
	FUZZ_CHECK(!port_is_broken(a.port) && !port_is_broken(b.port));
	check_counters();
	return 0;
}
