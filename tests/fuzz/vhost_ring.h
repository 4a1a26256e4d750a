/* SPDX-License-Identifier: BSD-2-Clause */
/* vhost_ring.h - a guest that writes anything into its virtqueues, fuzzed. */
#ifndef TESTS_FUZZ_VHOST_RING_H
#define TESTS_FUZZ_VHOST_RING_H
/*
 * The body of fuzz_vhost_split and fuzz_vhost_packed, which say with
 * RING_PACKED which format is walked.
 *
 * A switch with three ports: the guest, whose hot callbacks are those of
 * vhost-user and whose virtqueues lie in memory that the input writes; gen,
 * whose packets go to the guest; and drain, which takes what the guest sends.
 *
 * The guest's memory are two regions that are neighbours in guest-physical
 * address and not in ours. Behind each are the VHOST_SPARE bytes that may be
 * read, read only, and then nothing: whatever else is touched is a SIGSEGV. The
 * transmit ring ends where the first region does, the receive ring where the
 * second does, so leaving them is leaving the memory.
 *
 * Input: two bytes of options, then operations, each a byte and its arguments.
 *
 *   options  0: log2 of the rings' size, 0..7 (packed: minus one, if not 1)
 *            1: bits: indirect, event index, mergeable, offloads, dirty log,
 *            short header, 64 KiB into the guest
 *   0, 1     descriptor of TX, RX: index, region and offset (3), length (2),
 *            flags (2), next or id
 *   2, 3     avail entry of TX, RX (split) or flags of a descriptor (packed):
 *            index, value (2)
 *   4, 5     avail index of TX, RX: value (2); 255 of the high byte: plus low
 *   6        poll
 *   7        gen sends: length (2), kind of offload
 *   8        8 bytes anywhere: region and offset (3), bytes
 *   9        events: of RX or TX, two words (4)
 *   10       arm, poll, disarm
 *   11       good receive buffers: count, length (2)
 *   12       a good packet to send: length (2), pieces, header (4)
 *   13       a table of good descriptors at an offset: region and offset (3),
 *            count, flags
 *
 * A virtqueue that was stopped is made anew before the next operation.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "core/engine.h"
#include "core/offload.h"
#include "core/rcu.h"
#include "port/dummy/dummy.h"
#include "port/vhost_user/session.h"

enum {
	OPS_MAX = 400,
	REGION = 1 << 16, /* bytes of each region; also where they begin */
	PAGE = 4096,
	HUGE_LEN = 65535,
	LOG_BYTES = 8, /* fewer than the pages there are */
};

struct fuzz_reader {
	const uint8_t *data;
	size_t left;
};

/* One virtqueue. */
struct side {
	struct vhost_queue q;
	struct vhost_ring r;
	struct vhost_saved_queue saved;
	uint64_t *desc;
	uint16_t *avail, *used; /* packed: driver's and device's events */
	uint16_t avail_idx;	/* honest operations go on here */
	bool wrap;
	struct vhost_later later[256];
};

static struct engine *engine;
static struct vswitch *sw;
static struct port *gen, *guest, *drain;
static struct vhost_port vp; /* only what a failing queue needs of it */
static struct vhost_log dirty;
static uint8_t *memory[2];
static union {
	struct vhost_mem mem;
	uint8_t room[sizeof(struct vhost_mem) +
		     2 * sizeof(struct vhost_region)];
} map;
static struct side tx, rx;
static uint32_t fill; /* where good buffers come from next */
static int call_fd;

static uint8_t get8(struct fuzz_reader *r)
{
	if (!r->left)
		return 0;
	r->left--;
	return *r->data++;
}

static uint16_t get16(struct fuzz_reader *r)
{
	uint16_t high = get8(r);

	return (uint16_t)(high << 8 | get8(r));
}

/* A guest-physical address: in one of the regions, near an end, or far off. */
static uint64_t get_gpa(struct fuzz_reader *r)
{
	uint8_t kind = get8(r);
	uint64_t off = get16(r);

	if (kind < 0xf0)
		return (kind & 1 ? 2 : 1) * (uint64_t)REGION + off;
	return kind & 1 ? UINT64_MAX - off : off << 20;
}

static uint32_t get_len(struct fuzz_reader *r)
{
	uint16_t len = get16(r);

	return len >= 0xfff0 ? UINT32_MAX - (len & 15) : len;
}

static uint8_t *at_gpa(uint64_t gpa)
{
	return memory[gpa / REGION - 1] + gpa % REGION;
}

/* len bytes that end where nothing is mapped but what may be read. */
static uint8_t *make_region(void)
{
	uint8_t *p = mmap(NULL, REGION + VHOST_SPARE + 2 * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	FUZZ_CHECK(p != MAP_FAILED);
	p += PAGE;
	FUZZ_CHECK(!mprotect(p, REGION, PROT_READ | PROT_WRITE));
	FUZZ_CHECK(!mprotect(p + REGION, VHOST_SPARE, PROT_READ));
	return p;
}

static struct port *open_dummy(const char *name, const char *params)
{
	struct port_args args = { .params = json_loads(params, 0, NULL) };
	struct port *port;

	FUZZ_CHECK(!port_create(sw, name, "dummy", &args, &port, NULL));
	json_decref(args.params);
	return port;
}

static void open_all(void)
{
	const struct engine_config config = { .n_workers = 1, .poll = true };
	json_t *options = json_pack("{s:{s:s, s:s}}", "map", "gen", "guest",
				    "guest", "drain");
	const struct port_hot *hot;

	FUZZ_CHECK(!engine_create(&engine, &config, NULL));
	FUZZ_CHECK(!engine_doorbells(engine, NULL));
	FUZZ_CHECK(!switch_create(engine, "sw", "static", options, &sw, NULL));
	json_decref(options);
	gen = open_dummy("gen", "{}");
	guest = open_dummy("guest", "{}");
	drain = open_dummy("drain", "{\"slots\": 1024}");
	hot = vhost_port_ops.hot[engine->workers[0]->isa];
	guest->in[0].hot = guest->out[0].hot = hot;
	guest->in[0].drv = &tx.q;
	guest->out[0].drv = &rx.q;
	vp.faults.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	FUZZ_CHECK(vp.faults.fd >= 0 && call_fd >= 0);
	for (unsigned i = 0; i < 2; i++)
		memory[i] = make_region();
	dirty.bits = malloc(LOG_BYTES);
	dirty.size = LOG_BYTES;
}

/* The virtqueue as after a reset of the guest's driver. */
static void side_reset(struct side *s)
{
	struct vhost_saved_queue at = { .valid = 1,
					.avail_wrap = RING_PACKED,
					.used_wrap = RING_PACKED };
	size_t n = s->r.size;

	rcu_publish(&s->q.ring, NULL);
	memset(s->desc, 0, 16 * n);
	memset(s->avail, 0, RING_PACKED ? 4 : 6 + 2 * n);
	memset(s->used, 0, RING_PACKED ? 4 : 6 + 8 * n);
	memset(s->later, 0, sizeof(s->later));
	s->q.vhost = &vp;
	s->q.saved = &s->saved;
	vhost_queue_reset(&s->q, s == &rx, &at);
	if (s == &rx)
		s->q.later = s->later;
	s->avail_idx = 0;
	s->wrap = true;
	rcu_publish(&s->q.ring, &s->r);
}

/* The parts of a ring, from the end of a region downwards. */
static void side_place(struct side *s, uint8_t *end)
{
	size_t n = s->r.size;

	s->desc = (uint64_t *)(void *)(end - 16 * n);
	end -= 16 * n + 16;
	s->used = (uint16_t *)(void *)(end - (RING_PACKED ? 4 : 8 + 8 * n));
	end = (uint8_t *)s->used - 16;
	s->avail = (uint16_t *)(void *)(end - (RING_PACKED ? 4 : 8 + 2 * n));
	s->r.desc = (struct split_desc *)(void *)s->desc;
	s->r.pdesc = (struct packed_desc *)(void *)s->desc;
	s->r.avail = (struct split_avail *)(void *)s->avail;
	s->r.used = (struct split_used *)(void *)s->used;
	s->r.driver_event = (struct packed_event *)(void *)s->avail;
	s->r.device_event = (struct packed_event *)(void *)s->used;
}

static void set_up(struct fuzz_reader *r)
{
	uint8_t size = get8(r), o = get8(r);
	struct vhost_ring ring = {
		.packed = RING_PACKED,
		.indirect = o & 1,
		.event_idx = o & 2,
		.mergeable = o & 4,
		.hdr_len = o & 4 || !(o & 32) ? 12 : 10,
		.sends = o & 8 ? OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 |
					 OFFLOAD_CAP_UFO :
				 0,
		.takes = o & 64 ? OFFLOAD_CAP_CSUM | OFFLOAD_CAP_TSO4 : 0,
		.log = o & 16 ? &dirty : NULL,
		.log_gpa = 0x1000,
		.log_event_gpa = UINT64_MAX,
		.call_fd = call_fd,
		.mem = &map.mem,
	};

	ring.size = (uint16_t)(1 << (size & 7));
	if (RING_PACKED && size & 8 && ring.size > 1)
		ring.size--;
	ring.mask = ring.size - 1;
	map.mem.n = 2;
	for (unsigned i = 0; i < 2; i++) {
		memset(memory[i], 0, REGION);
		map.mem.region[i] = (struct vhost_region){
			(i + 1) * (uint64_t)REGION, REGION, 0, memory[i]
		};
	}
	memset(dirty.bits, 0, LOG_BYTES);
	dummy_set_caps(guest, ring.takes);
	tx.r = rx.r = ring;
	side_place(&tx, memory[0] + REGION);
	side_place(&rx, memory[1] + REGION);
	side_reset(&tx);
	side_reset(&rx);
	fill = 0;
}

static void put_desc(struct side *s, uint32_t i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t other)
{
	uint64_t *d = &s->desc[2 * (i % s->r.size)];

	d[0] = addr;
	d[1] = RING_PACKED ?
		       len | (uint64_t)other << 32 | (uint64_t)flags << 48 :
		       len | (uint64_t)flags << 32 | (uint64_t)other << 48;
}

static void op_desc(struct fuzz_reader *r, struct side *s)
{
	uint8_t i = get8(r);
	uint64_t addr = get_gpa(r);
	uint32_t len = get_len(r);
	uint16_t flags = get16(r);

	put_desc(s, i, addr, len, flags, get8(r));
}

static void op_entry(struct fuzz_reader *r, struct side *s)
{
	unsigned i = get8(r) % s->r.size;
	uint16_t value = get16(r);

	if (RING_PACKED)
		((uint16_t *)(void *)&s->desc[2 * i + 1])[3] = value;
	else
		s->avail[2 + i] = value;
}

static void op_index(struct fuzz_reader *r, struct side *s)
{
	uint16_t value = get16(r);

	if (RING_PACKED)
		return;
	if (value >> 8 == 255)
		value = (uint16_t)(s->avail[1] + (value & 0xff));
	s->avail[1] = value;
}

/* Makes a chain available as an honest guest would: pieces of equal length. */
static void honest_chain(struct side *s, const uint8_t *hdr, uint32_t len,
			 unsigned pieces, bool write)
{
	uint16_t first = 0;

	if (pieces > s->r.size)
		pieces = s->r.size;
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t slot = (s->avail_idx + i) % s->r.size;
		uint32_t n = i + 1 < pieces ? len / pieces :
					      len - len / pieces * i;
		uint16_t flags = (write ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < pieces ? VRING_DESC_F_NEXT : 0);
		uint64_t gpa = REGION + fill % (REGION / 2);

		if (!i && hdr && n >= 4)
			memcpy(at_gpa(gpa), hdr, 4);
		fill += n + 1;
		if (!RING_PACKED) {
			put_desc(s, slot, gpa, n, flags,
				 (uint16_t)((slot + 1) % s->r.size));
			continue;
		}
		flags |= s->wrap ? 1 << VRING_PACKED_DESC_F_AVAIL :
				   1 << VRING_PACKED_DESC_F_USED;
		if (!i)
			first = flags;
		put_desc(s, slot, gpa, n, i ? flags : 0, (uint16_t)slot);
		if (!i)
			put_desc(s, slot, gpa, n, first, (uint16_t)slot);
		if (slot + 1 == s->r.size)
			s->wrap = !s->wrap;
	}
	if (RING_PACKED) {
		s->avail_idx = (uint16_t)((s->avail_idx + pieces) % s->r.size);
	} else {
		s->avail[2 + s->avail[1] % s->r.size] = s->avail_idx %
							s->r.size;
		s->avail[1]++;
		s->avail_idx += pieces;
	}
}

static void op_receive(struct fuzz_reader *r)
{
	unsigned n = get8(r) % (rx.r.size + 1);
	uint32_t len = get16(r);

	while (n--)
		honest_chain(&rx, NULL, len, 1, true);
}

static void op_send(struct fuzz_reader *r)
{
	uint32_t len = get16(r);
	unsigned pieces = get8(r) % 80 + 1;
	uint8_t hdr[4];

	for (unsigned i = 0; i < 4; i++)
		hdr[i] = get8(r);
	honest_chain(&tx, hdr, len, pieces, false);
}

static void op_table(struct fuzz_reader *r)
{
	uint64_t gpa = get_gpa(r) & ~15ULL;
	unsigned n = get8(r);
	uint16_t flags = get8(r);

	for (unsigned i = 0; i < n; i++, gpa += 16) {
		uint64_t word = 100 | (uint64_t)flags
					      << (RING_PACKED ? 48 : 32);

		if (gpa < REGION || gpa >= 3 * REGION)
			return;
		if (!RING_PACKED)
			word |= (uint64_t)(i + 1) << 48;
		((uint64_t *)(void *)at_gpa(gpa))[0] = REGION + 100 * i;
		((uint64_t *)(void *)at_gpa(gpa))[1] = word;
	}
}

static void op_bytes(struct fuzz_reader *r)
{
	uint64_t gpa = get_gpa(r);

	for (unsigned i = 0; i < 8; i++, gpa++) {
		uint8_t byte = get8(r);

		if (gpa >= REGION && gpa < 3 * REGION)
			*at_gpa(gpa) = byte;
	}
}

static void op_events(struct fuzz_reader *r)
{
	struct side *s = get8(r) & 1 ? &tx : &rx;
	uint16_t first = get16(r), second = get16(r);

	s->avail[0] = first;
	s->avail[RING_PACKED ? 1 : 2 + s->r.size] = second;
}

static void gen_sends(struct fuzz_reader *r)
{
	static uint8_t data[HUGE_LEN] = { 2 };
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
		off.gso_size = (uint16_t)(100 + kind * 8);
	}
	dummy_inject(gen, 0, &iov, 1, kind & 1 ? &off : NULL);
}

static void poll_all(void)
{
	static uint8_t data[PACKET_LEN_MAX];
	int len;

	engine_poll(engine);
	while ((len = dummy_collect(drain, 0, data, sizeof(data), NULL)) !=
	       -EAGAIN)
		FUZZ_CHECK(len >= PACKET_LEN_MIN && len <= PACKET_LEN_MAX);
}

static void op_arm(void)
{
	const struct port_hot *hot = guest->in[0].hot;

	hot->rx_arm(&guest->in[0]);
	poll_all();
	hot->rx_disarm(&guest->in[0]);
}

static void run_op(struct fuzz_reader *r)
{
	uint8_t op = get8(r) % 14;

	if (atomic_load(&tx.q.failed))
		side_reset(&tx);
	if (atomic_load(&rx.q.failed))
		side_reset(&rx);
	switch (op) {
	case 0:
	case 1:
		op_desc(r, op ? &rx : &tx);
		break;
	case 2:
	case 3:
		op_entry(r, op == 3 ? &rx : &tx);
		break;
	case 4:
	case 5:
		op_index(r, op == 5 ? &rx : &tx);
		break;
	case 6:
		poll_all();
		break;
	case 7:
		gen_sends(r);
		break;
	case 8:
		op_bytes(r);
		break;
	case 9:
		op_events(r);
		break;
	case 10:
		op_arm();
		break;
	case 11:
		op_receive(r);
		break;
	case 12:
		op_send(r);
		break;
	default:
		op_table(r);
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
	struct counters in = { 0 }, out = { 0 }, i, o;

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
	struct fuzz_reader r = { data, size };

	if (!engine)
		open_all();
	set_up(&r);
	for (unsigned n = 0; r.left && n < OPS_MAX; n++)
		run_op(&r);
	poll_all();
	/* Indexes of ours stay inside, whatever the guest wrote. */
	if (RING_PACKED) {
		FUZZ_CHECK(tx.q.avail < tx.r.size && tx.q.used < tx.r.size);
		FUZZ_CHECK(rx.q.avail < rx.r.size && rx.q.used < rx.r.size);
	}
	/* What gen has still goes nowhere, and not into the next input. */
	rcu_publish(&tx.q.ring, NULL);
	rcu_publish(&rx.q.ring, NULL);
	while (dummy_pending_in(gen, 0))
		poll_all();
	check_counters();
	return 0;
}

#endif
