// SPDX-License-Identifier: BSD-2-Clause
// test_deliver.c - where packets go, in which order, and what is counted.
#include "rig.h"

#include "lib/flow_hash.h"
#include "core/offload.h"
#include "packet.h"

enum { PORTS = 24 };

static struct port *ports[PORTS];

static void open_ports(unsigned n, const char *params)
{
	for (unsigned i = 0; i < n; i++) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", i);
		ports[i] = rig_port(name, params);
		assert_int_equal(ports[i]->index, i);
	}
}

static void verdict_names_a_ring(void **state)
{
	struct sent s;

	open_ports(2, "{\"out_rings\": 4}");
	for (unsigned r = 0; r < 4; r++)
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = TO_RING(1, r), .seq = r });
	rig_run();
	for (unsigned r = 0; r < 4; r++)
		rig_expect(ports[1], r, r);
	/* A ring that is not there: as if none was named. */
	for (unsigned f = 0; f < 64; f++) {
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = TO(1), .flow = f });
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = TO_RING(1, 4 + f % 200),
					.flow = f });
	}
	rig_run();
	for (unsigned r = 0; r < 4; r++) {
		assert_true(dummy_pending_out(ports[1], r) > 0);
		while (rig_recv(ports[1], r, &s)) {
			uint32_t flow = s.flow;

			assert_true(rig_recv(ports[1], r, &s));
			assert_int_equal(s.flow, flow);
		}
	}
	rig_check();
}

/* What each egress ring must hold: numbers in the order they were sent. */
struct expected {
	uint32_t seq[16384];
	unsigned n;
};

static struct expected expected[PORTS][PORT_RINGS_MAX];

static void expect(const struct sent *s, unsigned port)
{
	unsigned n_out = ports[port]->n_out, ring = 0;
	uint8_t buf[64];

	if (!n_out)
		return;
	rig_build(buf, s);
	if (n_out > 1)
		ring = (uint64_t)flow_hash(buf, 60) * n_out >> 32;
	expected[port][ring].seq[expected[port][ring].n++] = s->seq;
}

static void collect_expected(unsigned n_ports)
{
	for (unsigned p = 0; p < n_ports; p++)
		for (unsigned r = 0; r < ports[p]->n_out; r++) {
			struct expected *e = &expected[p][r];

			for (unsigned i = 0; i < e->n; i++)
				rig_expect(ports[p], r, e->seq[i]);
			e->n = 0;
		}
	for (unsigned p = 0; p < n_ports; p++)
		rig_none(ports[p]);
}

/* Unicasts, floods and drops, mixed in full batches. */
static void groups_keep_order(void **state)
{
	static const char *const params[] = {
		"{\"slots\": 16384, \"buf_size\": 64}",
		"{\"slots\": 16384, \"buf_size\": 64, \"out_rings\": 3}",
		"{\"slots\": 16384, \"buf_size\": 64, \"out_rings\": 16}",
		"{\"slots\": 16384, \"buf_size\": 64, \"out_rings\": 0}",
	};
	uint64_t floods = 0, drops = 0;

	rnd_seed();
	for (unsigned i = 0; i < 9; i++) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", i);
		ports[i] = rig_port(name, params[i % 4]);
	}
	for (uint32_t seq = 0; seq < 10000; seq++) {
		struct sent s = { .seq = seq, .flow = rnd(50), .len = 60 };
		unsigned what = rnd(10);

		if (what == 0) {
			s.verdict = VERDICT_FLOOD | FLOOD_ALL;
			for (unsigned p = 1; p < 9; p++)
				expect(&s, p);
			floods++;
		} else if (what == 1) {
			s.verdict = VERDICT_DROP | DROP_IN_MODULE;
			drops++;
		} else {
			unsigned to = 1 + rnd(8);

			s.verdict = TO(to);
			expect(&s, to);
			drops += to % 4 == 3;
		}
		rig_send(ports[0], 0, s);
		if (rnd(300) == 0)
			rig_run();
	}
	rig_run();
	collect_expected(9);
	/* Ports 3 and 7 take nothing, port 0 is the source: six copies. */
	assert_int_equal(rig_in(ports[0]).packets, 10000);
	assert_int_equal(rig_in(ports[0]).replicated, floods * 5);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_MODULE] +
				 rig_in(ports[0]).drops[DROP_IN_NO_PORT],
			 drops);
	rig_check();
}

static void more_batches_than_epochs(void **state)
{
	open_ports(4, "{\"slots\": 4, \"buf_size\": 64}");
	for (uint32_t i = 0; i < 66000; i++) {
		unsigned to = 1 + i / 3 % 3;

		/* Two groups: the short cut for one group does not apply. */
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = TO(to), .seq = i });
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = TO(to % 3 + 1), .seq = i });
		assert_int_equal(engine_poll(engine), 2);
		rig_expect(ports[to], 0, i);
		rig_expect(ports[to % 3 + 1], 0, i);
	}
	rig_check();
}

static void floods_are_replicated(void **state)
{
	struct port *mute, *island;

	open_ports(1, "{}");
	rig_send(ports[0], 0, (struct sent){ .verdict = VERDICT_FLOOD });
	rig_run();
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_NO_PORT], 1);
	/* A port without egress rings gets no copies. */
	mute = rig_port("mute", "{\"out_rings\": 0}");
	rig_send(ports[0], 0, (struct sent){ .verdict = VERDICT_FLOOD });
	rig_run();
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_NO_PORT], 2);
	ports[1] = rig_port("p1", "{}");
	ports[2] = rig_port("p2", "{\"out_rings\": 2}");
	island = rig_port("island", "{\"isolated\": true}");
	rig_send(mute, 0, (struct sent){ .verdict = VERDICT_FLOOD, .seq = 1 });
	rig_run();
	assert_int_equal(rig_in(mute).replicated, 3);
	for (unsigned i = 0; i < 2; i++)
		rig_expect(ports[i], 0, 1);
	rig_expect(island, 0, 1);
	assert_int_equal(rig_out(ports[2]).packets, 1);
	/* Not to isolated ports. */
	rig_send(island, 0,
		 (struct sent){ .verdict = VERDICT_FLOOD | FLOOD_NOT_ISOLATED,
				.seq = 2 });
	rig_run();
	assert_int_equal(rig_in(island).replicated, 2);
	rig_expect(ports[0], 0, 2);
	rig_none(island);
	assert_int_equal(rig_out(ports[2]).packets, 2);
	rig_check();
}

static void isolation_changes_at_once(void **state)
{
	json_t *yes = json_pack("{s:b}", "isolated", 1);

	open_ports(3, "{}");
	assert_int_equal(port_set(ports[2], yes, NULL), 0);
	json_decref(yes);
	rig_send(ports[0], 0,
		 (struct sent){ .verdict = VERDICT_FLOOD | FLOOD_NOT_ISOLATED,
				.seq = 5 });
	rig_run();
	rig_expect(ports[1], 0, 5);
	rig_none(ports[2]);
	rig_check();
}

static void every_verdict_has_a_name(void **state)
{
	static const uint32_t to_module[] = {
		VERDICT_DROP | DROP_OUT_NO_ROOM, /* not ours to say */
		VERDICT_DROP | DROP_OUT_GONE,
		VERDICT_DROP | DROP_N,
		VERDICT_DROP | 0xffff,
		VERDICT_DROP | 1 << 16 | DROP_IN_RUNT,
		VERDICT_FLOOD | FLOOD_SETS,
		VERDICT_FLOOD | RING_ANY << 16,
		3u << 24,
		0xffffffff,
	};
	unsigned n = sizeof(to_module) / sizeof(*to_module);
	struct counters c;

	open_ports(2, "{}");
	for (unsigned i = 0; i < DROP_OUT_NO_ROOM; i++)
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = VERDICT_DROP | i });
	for (unsigned i = 0; i < n; i++)
		rig_send(ports[0], 0, (struct sent){ .verdict = to_module[i] });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(0) });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(2) });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(0xffff) });
	rig_run();
	c = rig_in(ports[0]);
	for (unsigned i = 0; i < DROP_OUT_NO_ROOM; i++)
		assert_int_equal(c.drops[i],
				 1 + (i == DROP_IN_MODULE ? n : 0) +
					 (i == DROP_IN_SAME_PORT) +
					 2 * (i == DROP_IN_NO_PORT));
	assert_int_equal(c.packets, DROP_OUT_NO_ROOM + n + 3);
	rig_none(ports[1]);
	rig_check();
}

static void holes_in_the_table(void **state)
{
	open_ports(3, "{}");
	port_destroy(ports[1]);
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1) });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(2), .seq = 3 });
	rig_run();
	rig_expect(ports[2], 0, 3);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_NO_PORT], 1);
	rig_check();
}

static void lengths_at_the_edges(void **state)
{
	static uint8_t zero[PACKET_LEN_MAX + 1] = { 2 };
	struct iovec half[2] = { { zero, 65536 }, { zero, 65537 } };

	open_ports(2, "{\"mtu\": 0}");
	rig_put32(zero + 1, TO(1));
	for (unsigned len = 0; len <= 14; len++)
		assert_int_equal(dummy_inject_flat(ports[0], 0, zero, len), 0);
	assert_int_equal(dummy_inject_flat(ports[0], 0, zero, PACKET_LEN_MAX),
			 0);
	assert_int_equal(dummy_inject_flat(ports[0], 0, zero,
					   PACKET_LEN_MAX + 1),
			 0);
	assert_int_equal(dummy_inject(ports[0], 0, half, 2, NULL), 0);
	rig_run();
	assert_int_equal(rig_in(ports[0]).packets, 18);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_RUNT], 14);
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_TOO_LONG], 2);
	assert_int_equal(dummy_collect(ports[1], 0, zero, 1, NULL), 14);
	assert_int_equal(dummy_collect(ports[1], 0, zero, 1, NULL),
			 PACKET_LEN_MAX);
	rig_check();
}

/* len fits, one byte more does not; tags of a frame come on top. */
static void mtu_edge(struct port *from, struct port *to, const struct port *who,
		     enum drop reason)
{
	for (unsigned tags = 0; tags <= 3; tags++) {
		unsigned max = 1514 + 4 * (tags < 2 ? tags : 2);
		struct counters a, b;

		for (unsigned more = 0; more < 2; more++)
			rig_send(from, 0,
				 (struct sent){ .verdict = TO(to->index),
						.seq = tags,
						.tags = tags,
						.len = max + more });
		rig_run();
		rig_expect(to, 0, tags);
		rig_none(to);
		port_counters(who, -1, &a, &b);
		assert_int_equal(a.drops[reason] + b.drops[reason], tags + 1);
	}
	rig_check();
}

static void mtu_of_the_source(void **state)
{
	ports[0] = rig_port("p0", "{\"mtu\": 1500}");
	ports[1] = rig_port("p1", "{}");
	mtu_edge(ports[0], ports[1], ports[0], DROP_IN_OVERSIZE);
}

static void mtu_of_the_destination(void **state)
{
	json_t *none = json_pack("{s:i}", "mtu", 0);

	ports[0] = rig_port("p0", "{}");
	ports[1] = rig_port("p1", "{\"mtu\": 1500}");
	mtu_edge(ports[0], ports[1], ports[1], DROP_OUT_OVERSIZE);
	/* A long packet among short ones costs those nothing. */
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 1 });
	rig_send(ports[0], 0,
		 (struct sent){ .verdict = TO(1), .seq = 2, .len = 9000 });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 3 });
	rig_run();
	rig_expect(ports[1], 0, 1);
	rig_expect(ports[1], 0, 3);
	assert_int_equal(port_set(ports[1], none, NULL), 0);
	json_decref(none);
	rig_send(ports[0], 0,
		 (struct sent){ .verdict = TO(1), .seq = 4, .len = 9000 });
	rig_run();
	rig_expect(ports[1], 0, 4);
	rig_check();
}

static void broken_ports_are_left_alone(void **state)
{
	open_ports(3, "{}");
	port_break(ports[1], "tested");
	port_break(ports[1], "tested again");
	assert_string_equal(atomic_load(&ports[1]->broken), "tested");
	assert_ptr_equal(engine_broken(engine), ports[1]);
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1) });
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(2), .seq = 1 });
	rig_send(ports[0], 0, (struct sent){ .verdict = VERDICT_FLOOD });
	rig_send(ports[1], 0, (struct sent){ .verdict = TO(2) });
	rig_run();
	assert_int_equal(rig_out(ports[1]).drops[DROP_OUT_GONE], 2);
	assert_int_equal(rig_in(ports[1]).packets, 0);
	assert_int_equal(dummy_pending_in(ports[1], 0), 1);
	rig_expect(ports[2], 0, 1);
	rig_expect(ports[2], 0, 0);
	rig_check();
	port_destroy(ports[1]);
	assert_null(engine_broken(engine));
	rig_check();
}

static void full_rings_cost_their_port_only(void **state)
{
	ports[0] = rig_port("p0", "{}");
	ports[1] = rig_port("p1", "{\"slots\": 2}");
	ports[2] = rig_port("p2", "{}");
	for (unsigned i = 0; i < 10; i++)
		rig_send(ports[0], 0,
			 (struct sent){ .verdict = VERDICT_FLOOD, .seq = i });
	rig_run();
	assert_int_equal(rig_out(ports[1]).drops[DROP_OUT_NO_ROOM], 8);
	for (unsigned i = 0; i < 2; i++)
		rig_expect(ports[1], 0, i);
	for (unsigned i = 0; i < 10; i++)
		rig_expect(ports[2], 0, i);
	rig_check();
}

/* In pieces of all lengths, with empty ones: the same bytes arrive. */
static void segments_are_joined(void **state)
{
	static uint8_t packet[4096];
	unsigned wants[] = { 64, 100, HDR_MAX };

	open_ports(2, "{}");
	for (unsigned k = 0; k < 3 * 64; k++) {
		struct sent s = { .verdict = TO(1),
				  .seq = k,
				  .flow = k,
				  .len = 38 + k * 17 };
		struct iovec iov[PACKET_SEGS_MAX];
		unsigned n = 0, at = 0, step = 1 + k % 64;

		rig_hdr_want(wants[k / 64]);
		rig_build(packet, &s);
		for (; at < s.len && n < PACKET_SEGS_MAX - 1; n++) {
			unsigned len = n % 3 == 2 ? 0 : step;

			len = len < s.len - at ? len : s.len - at;
			iov[n] = (struct iovec){ packet + at, len };
			at += len;
		}
		iov[n++] = (struct iovec){ packet + at, s.len - at };
		assert_int_equal(dummy_inject(ports[0], 0, iov, n, NULL), 0);
	}
	rig_run();
	for (unsigned k = 0; k < 3 * 64; k++)
		rig_expect(ports[1], 0, k);
	rig_check();
}

/* Of one segment, around both ends of the second 64 bytes of header. */
static void long_headers_of_one_segment(void **state)
{
	static uint8_t packet[4096];

	open_ports(2, "{}");
	rig_hdr_want(HDR_MAX);
	rig_swap_module(&rig_module);
	for (unsigned k = 0; k < 200; k++) {
		struct sent s = {
			.verdict = TO(1), .seq = k, .flow = k, .len = 38 + k
		};
		struct iovec iov = { packet, s.len };

		rig_build(packet, &s);
		assert_int_equal(dummy_inject(ports[0], 0, &iov, 1, NULL), 0);
	}
	rig_run();
	for (unsigned k = 0; k < 200; k++)
		rig_expect(ports[1], 0, k);
	rig_check();
}

/* A TCP packet over IPv4 to be cut every 1000 bytes. */
static uint32_t gso_packet(uint8_t *buf, struct offload *off, uint32_t payload)
{
	static uint8_t data[65536];
	struct spec s = { .version = 4, .protocol = TCP, .tcp_flags = 0x10 };
	struct piece pc = { .data = data, .n = payload, .last = true };
	uint32_t len = build(buf, &s, &pc);

	buf[0] = 2;
	rig_put32(buf + 1, TO(1));
	*off = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
				 .gso_type = OFFLOAD_GSO_TCPV4,
				 .hdr_len = end_of(&s),
				 .gso_size = 1000,
				 .csum_start = l4_of(&s),
				 .csum_offset = 16 };
	return len;
}

static void send_gso(struct port *port, uint32_t payload, unsigned hdr_len)
{
	static uint8_t buf[70000];
	struct offload off;
	struct iovec iov = { buf, 0 };

	iov.iov_len = gso_packet(buf, &off, payload);
	if (hdr_len != UINT32_MAX)
		off.hdr_len = hdr_len;
	assert_int_equal(dummy_inject(port, 0, &iov, 1, &off), 0);
}

static void segmented_for_ports_without_offloads(void **state)
{
	uint8_t buf[2048];

	open_ports(2, "{\"slots\": 512, \"buf_size\": 2048}");
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 1 });
	send_gso(ports[0], 64000, UINT32_MAX);
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 2 });
	send_gso(ports[0], 300500 % 65536, UINT32_MAX);
	rig_run();
	rig_expect(ports[1], 0, 1);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(dummy_collect(ports[1], 0, buf, 2048, NULL),
				 1054);
	rig_expect(ports[1], 0, 2);
	assert_int_equal(rig_out(ports[1]).packets, 4);
	assert_int_equal(rig_out(ports[1]).segments,
			 64 + (300500 % 65536 + 999) / 1000);
	rig_check();
}

static void segments_without_room_are_one_drop(void **state)
{
	uint8_t buf[2048];

	ports[0] = rig_port("p0", "{}");
	ports[1] = rig_port("p1", "{\"slots\": 4}");
	send_gso(ports[0], 10000, UINT32_MAX);
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 2 });
	rig_run();
	assert_int_equal(rig_out(ports[1]).packets, 0);
	assert_int_equal(rig_out(ports[1]).segments, 4);
	assert_int_equal(rig_out(ports[1]).bytes, 4 * 1054);
	assert_int_equal(rig_out(ports[1]).drops[DROP_OUT_NO_ROOM], 2);
	while (dummy_collect(ports[1], 0, buf, sizeof(buf), NULL) > 0)
		;
	rig_check();
}

static void offloads_pass_to_ports_that_take_them(void **state)
{
	static uint8_t buf[70000];
	struct offload off;

	ports[0] = rig_port("p0", "{}");
	ports[1] = rig_port("p1", "{\"caps\": 63, \"mtu\": 1500}");
	send_gso(ports[0], 60000, UINT32_MAX);
	rig_run();
	assert_int_equal(dummy_collect(ports[1], 0, buf, sizeof(buf), &off),
			 60054);
	assert_int_equal(off.gso_size, 1000);
	assert_int_equal(off.hdr_len, 54);
	assert_int_equal(rig_out(ports[1]).segments, 0);
	rig_check();
}

/* The sender says how long its headers are; an MTU must not rely on that. */
static void mtu_binds_segments(void **state)
{
	static uint8_t buf[70000];

	for (unsigned caps = 0; caps < 2; caps++) {
		ports[0] = rig_port("p0", "{}");
		ports[1] = rig_port("p1",
				    caps ? "{\"mtu\": 1039, \"caps\": 63}" :
					   "{\"mtu\": 1039}");
		send_gso(ports[0], 10000, UINT32_MAX);
		send_gso(ports[0], 10000, 0);
		send_gso(ports[0], 10000, 14);
		rig_run();
		rig_none(ports[1]);
		assert_int_equal(rig_out(ports[1]).drops[DROP_OUT_OVERSIZE], 3);
		port_destroy(ports[1]);
		ports[1] = rig_port("p1",
				    caps ? "{\"mtu\": 1040, \"caps\": 63}" :
					   "{\"mtu\": 1040}");
		send_gso(ports[0], 10000, 0);
		send_gso(ports[0], 10000, 2000);
		rig_run();
		assert_int_equal(rig_out(ports[1]).packets, 2);
		while (dummy_collect(ports[1], 0, buf, sizeof(buf), NULL) > 0)
			;
		rig_check();
		port_destroy(ports[1]);
		port_destroy(ports[0]);
		rig_check();
	}
}

/* Segments of 1054 bytes, 1040 behind the Ethernet header. */
static void mtu_counts_for_segments(void **state)
{
	static const struct {
		const char *source, *target;
		uint32_t payload;
		bool in, out;
	} cases[] = {
		{ "{\"mtu\": 1040}", "{\"caps\": 63}", 5000, true, true },
		{ "{\"mtu\": 1039}", "{\"caps\": 63}", 5000, false, false },
		{ "{}", "{\"caps\": 63, \"mtu\": 1040}", 5000, true, true },
		{ "{}", "{\"caps\": 63, \"mtu\": 1039}", 5000, true, false },
		/* A single one, shorter than it might be. */
		{ "{\"mtu\": 540}", "{\"mtu\": 540}", 500, true, true },
		{ "{\"mtu\": 539}", "{}", 500, false, false },
		{ "{}", "{\"mtu\": 539}", 500, true, false },
	};
	static uint8_t buf[70000];

	for (unsigned c = 0; c < sizeof(cases) / sizeof(*cases); c++) {
		ports[0] = rig_port("p0", cases[c].source);
		ports[1] = rig_port("p1", cases[c].target);
		/* What the sender says of the headers' length does not help. */
		send_gso(ports[0], cases[c].payload, 0);
		rig_run();
		assert_int_equal(rig_in(ports[0]).drops[DROP_IN_OVERSIZE],
				 !cases[c].in);
		assert_int_equal(rig_out(ports[1]).drops[DROP_OUT_OVERSIZE],
				 cases[c].in && !cases[c].out);
		assert_int_equal(rig_out(ports[1]).packets, cases[c].out);
		while (dummy_pending_out(ports[1], 0))
			dummy_collect(ports[1], 0, buf, sizeof(buf), NULL);
		rig_check();
		port_destroy(ports[1]);
		port_destroy(ports[0]);
		rig_check();
	}
}

static void lying_offloads_stay_out(void **state)
{
	static uint8_t buf[70000];
	struct offload off;
	struct iovec iov = { buf, 0 };

	open_ports(2, "{}");
	iov.iov_len = gso_packet(buf, &off, 5000);
	off.gso_size = 0;
	assert_int_equal(dummy_inject(ports[0], 0, &iov, 1, &off), 0);
	off.gso_size = 1000;
	off.gso_type = 77;
	assert_int_equal(dummy_inject(ports[0], 0, &iov, 1, &off), 0);
	rig_send(ports[0], 0, (struct sent){ .verdict = TO(1), .seq = 9 });
	off = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
				.csum_start = 0xffff,
				.csum_offset = 0xffff };
	assert_int_equal(dummy_inject(ports[0], 0, &iov, 1, &off), 0);
	rig_run();
	assert_int_equal(rig_in(ports[0]).drops[DROP_IN_BAD_OFFLOAD], 3);
	rig_expect(ports[1], 0, 9);
	rig_none(ports[1]);
	rig_check();
}

/* A flood that one receiver takes whole, one in pieces, one not at all. */
static void floods_meet_all_kinds(void **state)
{
	static uint8_t buf[70000];
	struct iovec iov = { buf, 0 };
	struct offload off;

	ports[0] = rig_port("p0", "{}");
	ports[1] = rig_port("p1", "{\"caps\": 63}");
	ports[2] = rig_port("p2", "{\"slots\": 16}");
	ports[3] = rig_port("p3", "{\"mtu\": 600}");
	ports[4] = rig_port("p4", "{\"slots\": 8}");
	iov.iov_len = gso_packet(buf, &off, 9500);
	rig_put32(buf + 1, VERDICT_FLOOD);
	assert_int_equal(dummy_inject(ports[0], 0, &iov, 1, &off), 0);
	rig_run();
	assert_int_equal(dummy_pending_out(ports[1], 0), 1);
	assert_int_equal(dummy_pending_out(ports[2], 0), 10);
	assert_int_equal(rig_out(ports[3]).drops[DROP_OUT_OVERSIZE], 1);
	assert_int_equal(rig_out(ports[4]).drops[DROP_OUT_NO_ROOM], 1);
	assert_int_equal(rig_in(ports[0]).replicated, 3);
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(verdict_names_a_ring),
		RIG_TEST(groups_keep_order),
		RIG_TEST(more_batches_than_epochs),
		RIG_TEST(floods_are_replicated),
		RIG_TEST(isolation_changes_at_once),
		RIG_TEST(every_verdict_has_a_name),
		RIG_TEST(holes_in_the_table),
		RIG_TEST(lengths_at_the_edges),
		RIG_TEST(mtu_of_the_source),
		RIG_TEST(mtu_of_the_destination),
		RIG_TEST(broken_ports_are_left_alone),
		RIG_TEST(full_rings_cost_their_port_only),
		RIG_TEST(segments_are_joined),
		RIG_TEST(long_headers_of_one_segment),
		RIG_TEST(mtu_counts_for_segments),
		RIG_TEST(segmented_for_ports_without_offloads),
		RIG_TEST(segments_without_room_are_one_drop),
		RIG_TEST(offloads_pass_to_ports_that_take_them),
		RIG_TEST(mtu_binds_segments),
		RIG_TEST(lying_offloads_stay_out),
		RIG_TEST(floods_meet_all_kinds),
	};

	return cmocka_run_group_tests_name("deliver", tests, NULL, NULL);
}
