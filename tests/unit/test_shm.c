// SPDX-License-Identifier: BSD-2-Clause
// test_shm.c - a client's rings: what it may write, and what if it lies.
#include "liar.h"

#include <fcntl.h>
#include <poll.h>

#include "core/offload.h"
#include "packet.h"

static struct client *other;

static void wraps_around(void **state)
{
	client = client_open("a", TINY);
	other = client_open("b", TINY);
	rnd_seed();
	for (uint32_t seq = 0, got = 0; got < 5000;) {
		while (seq < got + 5 && rnd(8)) {
			struct sent s = { .verdict = TO(1),
					  .seq = seq,
					  .len = 38 + rnd(100) };

			if (!client_send(client, 0, s))
				break;
			seq++;
		}
		engine_poll(engine);
		while (rnd(8) && client_waiting(other, 0))
			client_expect(other, 0, got++);
	}
	assert_int_equal(rig_out(other->port).drops[DROP_OUT_NO_ROOM], 0);
	rig_check();
	client_close(client);
	client_close(other);
	rig_check();
}

static void full_rings(void **state)
{
	client = client_open("a", TINY);
	other = client_open("b", TINY);
	for (unsigned round = 0; round < 40; round++) {
		for (uint32_t seq = 0; seq < 15; seq++)
			assert_true(client_send(client, 0,
						(struct sent){ .verdict = TO(1),
							       .seq = seq }));
		assert_false(client_send(client, 0, (struct sent){ 0 }));
		rig_run();
		assert_int_equal(client_waiting(other, 0), 15);
		/* The receiver is full: this one is lost. */
		assert_true(client_send(client, 0,
					(struct sent){ .verdict = TO(1) }));
		rig_run();
		assert_int_equal(rig_out(other->port).drops[DROP_OUT_NO_ROOM],
				 round + 1);
		for (uint32_t seq = 0; seq < 15; seq++)
			client_expect(other, 0, seq);
	}
	rig_check();
	client_close(client);
	client_close(other);
}

/* Chains of 1 to 64 slots, in rings that are larger than a batch. */
static void chains(void **state)
{
	static uint8_t buf[65536];

	open_far();
	client = client_open("a", "{\"slots\": 4096, \"buf_size\": 128}");
	rnd_seed();
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = 0;

		for (; n < 200; n++) {
			struct sent s = { .verdict = TO(0), .seq = n };
			uint32_t step = 20 + rnd(100);

			s.len = 38 + rnd(64 * step - 37);
			rig_build(buf, &s);
			if (!client_put(client, 0, buf, s.len, step))
				break;
		}
		client_publish(client, 0);
		rig_run();
		for (unsigned i = 0; i < n; i++)
			rig_expect(far, 0, i);
		rig_none(far);
	}
	assert_int_equal(rig_in(client->port).drops[DROP_IN_SEGMENTS], 0);
	rig_check();
	client_close(client);
}

static void put_slots(struct client *c, unsigned n, uint16_t len,
		      uint16_t flags)
{
	for (; n; n--) {
		memset(client_slot(c, 0, c->tx_head[0], len, flags), 0, len);
		c->tx_head[0] = (c->tx_head[0] + 1) & (c->l.slots - 1);
	}
}

static void chains_too_long(void **state)
{
	static const unsigned n_slots[] = { 65, 66, 127, 128, 129, 320, 400 };

	open_far();
	client = client_open("a", "{\"slots\": 512, \"buf_size\": 64}");
	for (unsigned i = 0; i < 7; i++) {
		struct sent s = { .verdict = TO(0), .seq = i };
		unsigned n = n_slots[i];

		assert_true(client_send(client, 0, s));
		put_slots(client, n - 1, 64, NS_MOREFRAG);
		put_slots(client, 1, 64, 0);
		assert_true(client_send(client, 0, s));
		rig_run();
		rig_expect(far, 0, i);
		rig_expect(far, 0, i);
		rig_none(far);
		assert_int_equal(rig_in(client->port).drops[DROP_IN_SEGMENTS],
				 i + 1);
	}
	/* An endless one is one packet as well. */
	for (unsigned i = 0; i < 30; i++) {
		put_slots(client, 100, 64, NS_MOREFRAG);
		client_publish(client, 0);
		rig_run();
	}
	put_slots(client, 1, 64, 0);
	assert_true(client_send(client, 0, (struct sent){ .verdict = TO(0) }));
	rig_run();
	rig_expect(far, 0, 0);
	assert_int_equal(rig_in(client->port).drops[DROP_IN_SEGMENTS], 8);
	rig_check();
	client_close(client);
}

static void chains_in_instalments(void **state)
{
	static uint8_t buf[64 * 64];
	struct sent s = { .verdict = TO(0), .seq = 7, .len = 64 * 64 };
	uint32_t end;

	open_far();
	client = client_open("a", "{\"slots\": 128, \"buf_size\": 64}");
	rig_build(buf, &s);
	for (unsigned round = 0; round < 5; round++) {
		uint32_t at = client->tx_head[0];

		assert_true(client_put(client, 0, buf, s.len, 64));
		for (end = client->tx_head[0]; at != end;) {
			rig_none(far);
			at = (at + 1) & 127;
			client->tx_head[0] = at;
			client_publish(client, 0);
			rig_run();
		}
		rig_expect(far, 0, 7);
	}
	assert_int_equal(rig_in(client->port).packets, 5);
	/* An unfinished chain that is never finished holds nothing up. */
	put_slots(client, 63, 64, NS_MOREFRAG);
	client_publish(client, 0);
	rig_run();
	rig_check();
	client_close(client);
	assert_int_equal(sw->gone.packets, 5);
}

/* With 16 slots a chain of 15 is the longest that can ever be complete. */
static void chains_as_long_as_the_ring(void **state)
{
	static uint8_t buf[15 * 64];
	struct sent s = { .verdict = TO(0), .seq = 1, .len = 15 * 64 };

	open_far();
	client = client_open("a", TINY);
	rig_build(buf, &s);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(client_put(client, 0, buf, s.len, 64));
		client_publish(client, 0);
		rig_run();
		rig_expect(far, 0, 1);
		/* Nobody can finish this one. */
		put_slots(client, 15, 64, NS_MOREFRAG);
		client_publish(client, 0);
		rig_run();
		assert_int_equal(rig_in(client->port).drops[DROP_IN_SEGMENTS],
				 i + 1);
		put_slots(client, 1, 1, 0);
		client_publish(client, 0);
		rig_run();
		assert_int_equal(client_room(client, 0), 15);
	}
	rig_none(far);
	rig_check();
	client_close(client);
}

static void empty_slots(void **state)
{
	static uint8_t buf[128];
	struct sent s = { .verdict = TO(0), .seq = 1, .len = 100 };

	open_far();
	client = client_open("a", "{\"slots\": 256}");
	put_slots(client, 10, 0, 0);
	put_slots(client, 63, 0, NS_MOREFRAG);
	put_slots(client, 1, 0, 0);
	client_publish(client, 0);
	rig_run();
	assert_int_equal(rig_in(client->port).packets, 0);
	assert_int_equal(client_room(client, 0), 255);
	/* Empty slots within a packet do not matter. */
	rig_build(buf, &s);
	put_slots(client, 5, 0, NS_MOREFRAG);
	assert_true(client_put(client, 0, buf, 50, 50));
	client_slot(client, 0, (client->tx_head[0] - 1) & 255, 50, NS_MOREFRAG);
	put_slots(client, 3, 0, NS_MOREFRAG);
	assert_true(client_put(client, 0, buf + 50, 50, 50));
	client_slot(client, 0, (client->tx_head[0] - 1) & 255, 50, NS_MOREFRAG);
	put_slots(client, 1, 0, 0);
	client_publish(client, 0);
	rig_run();
	rig_expect(far, 0, 1);
	/* Too long is too long, even if empty. */
	put_slots(client, 64, 0, NS_MOREFRAG);
	put_slots(client, 1, 0, 0);
	client_publish(client, 0);
	rig_run();
	assert_int_equal(rig_in(client->port).drops[DROP_IN_SEGMENTS], 1);
	rig_check();
	client_close(client);
}

/* Towards a client: as many slots as it takes, at most 64. */
static void egress_chains(void **state)
{
	uint64_t too_many = 0;

	open_far();
	client = client_open("a", "{\"slots\": 256, \"buf_size\": 64}");
	other = client_open("b", TINY);
	for (uint32_t len = 38; len < 65 * 64; len += 13) {
		bool fits = len <= 64 * 64;

		rig_send(far, 0,
			 (struct sent){
				 .verdict = TO(1), .seq = len, .len = len });
		rig_send(far, 0, (struct sent){ .verdict = TO(1), .seq = 1 });
		rig_run();
		if (fits)
			client_expect(client, 0, len);
		too_many += !fits;
		client_expect(client, 0, 1);
	}
	assert_int_equal(rig_out(client->port).drops[DROP_OUT_SEGMENTS],
			 too_many);
	/* More slots than the ring has. */
	rig_send(far, 0,
		 (struct sent){ .verdict = TO(2), .seq = 1, .len = 15 * 64 });
	rig_send(far, 0,
		 (struct sent){ .verdict = TO(2), .seq = 2, .len = 16 * 64 });
	rig_run();
	client_expect(other, 0, 1);
	assert_int_equal(client_waiting(other, 0), 0);
	assert_int_equal(rig_out(other->port).packets, 1);
	rig_check();
	client_close(client);
	client_close(other);
}

/* A slot's length has 16 bits: a buffer of 65536 takes 65535. */
static void the_largest_buffers(void **state)
{
	static const uint32_t lens[] = { 60,	65534, 65535,
					 65536, 65537, PACKET_LEN_MAX };

	client = client_open("a", "{\"slots\": 16, \"buf_size\": 65536}");
	other = client_open("b", "{\"slots\": 16, \"buf_size\": 65536}");
	for (unsigned i = 0; i < 60; i++) {
		assert_true(client_send(client, 0,
					(struct sent){ .verdict = TO(1),
						       .seq = i,
						       .len = lens[i % 6] }));
		rig_run();
		client_expect(other, 0, i);
	}
	rig_check();
	client_close(client);
	client_close(other);
}

/* Any of them may take the place of a slot's buffer. */
static void extra_buffers_are_the_clients(void **state)
{
	struct netmap_if *nifp;

	open_far();
	client = client_open("a", "{\"slots\": 16, \"extra_bufs\": 100}");
	nifp = (void *)(client->window + LAYOUT_NIFP_OFF);
	assert_int_equal(nifp->ni_bufs_head, client->l.first_extra);
	assert_int_equal(client->l.n_bufs - client->l.first_extra, 100);
	for (uint32_t i = client->l.first_extra; i < client->l.n_bufs; i++) {
		struct sent s = { .verdict = TO(0), .seq = i, .len = 60 };

		rig_build(client_buf(client, i), &s);
		slot_store(&client_slots(client, false, 0)[client->tx_head[0]],
			   slot_word(i, 60, NS_BUF_CHANGED));
		client->tx_head[0] = (client->tx_head[0] + 1) & 15;
		client_publish(client, 0);
		rig_run();
		rig_expect(far, 0, i);
	}
	rig_check();
	client_close(client);
}

static void many_rings(void **state)
{
	struct sent s;

	client = client_open("a", "{\"rings\": 16, \"slots\": 64}");
	other = client_open("b", "{\"rings\": 16, \"slots\": 64}");
	for (unsigned i = 0; i < 640; i++)
		assert_true(client_send(client, i % 16,
					(struct sent){
						.verdict = TO_RING(1, i % 16),
						.seq = i }));
	rig_run();
	for (unsigned i = 0; i < 640; i++)
		client_expect(other, i % 16, i);
	for (unsigned r = 0; r < 16; r++)
		assert_false(client_recv(other, r, &s));
	rig_check();
	client_close(client);
	client_close(other);
}

/* A TCP packet to be cut, behind a header of vnet bytes; its length. */
static uint32_t vnet_packet(uint8_t *buf, unsigned vnet, uint32_t to)
{
	static uint8_t data[10000];
	struct spec spec = { .version = 4, .protocol = TCP };
	struct piece pc = { .data = data, .n = sizeof(data), .last = true };
	static const uint8_t hdr[12] = { 1, 1, 54, 0, 0xe8, 3, 34, 0, 16, 0 };
	uint32_t len = build(buf + vnet, &spec, &pc);

	memcpy(buf, hdr, vnet);
	buf[vnet] = 2;
	rig_put32(buf + vnet + 1, to);
	return vnet + len;
}

static void vnet_headers(void **state)
{
	static uint8_t buf[RIG_MAX], got[RIG_MAX];
	struct offload off;
	char params[80];

	far = rig_port("far", "{\"caps\": 63}");
	for (unsigned vnet = 10; vnet <= 12; vnet += 2) {
		uint32_t len;

		snprintf(params, sizeof(params), "{\"vnet_hdr_len\": %u}",
			 vnet);
		client = client_open("a", params);
		len = vnet_packet(buf, vnet, TO(0));
		assert_true(client_put(client, 0, buf, len, 2048));
		client_publish(client, 0);
		rig_run();
		assert_int_equal(dummy_collect(far, 0, got, sizeof(got), &off),
				 len - vnet);
		assert_memory_equal(got, buf + vnet, len - vnet);
		assert_int_equal(off.gso_type, OFFLOAD_GSO_TCPV4);
		assert_int_equal(off.gso_size, 1000);
		assert_int_equal(off.csum_start, 34);
		assert_int_equal(off.csum_offset, 16);
		/* And back to the client, as it is. */
		rig_put32(got + 1, TO(1));
		assert_int_equal(
			dummy_inject(far, 0, &(struct iovec){ got, len - vnet },
				     1, &off),
			0);
		rig_run();
		assert_int_equal(client_take(client, 0, got), len);
		assert_memory_equal(got, buf, 10);
		if (vnet == 12)
			assert_int_equal(got[10] | got[11] << 8, 1);
		rig_check();
		client_close(client);
	}
}

static void bad_vnet_headers(void **state)
{
	uint8_t buf[128] = { 0 };
	struct sent s = { .verdict = TO(0), .seq = 1, .len = 60 };

	open_far();
	client = client_open("a", "{\"vnet_hdr_len\": 12}");
	/* Not all of the header. */
	put_slots(client, 1, 11, 0);
	put_slots(client, 1, 6, NS_MOREFRAG);
	put_slots(client, 1, 5, 0);
	/* Only a header. */
	put_slots(client, 1, 12, 0);
	/* What follows is good: a header alone in its slot, then the rest. */
	rig_build(buf + 12, &s);
	assert_true(client_put(client, 0, buf, 12, 12));
	client_slot(client, 0, client->tx_head[0] - 1, 12, NS_MOREFRAG);
	assert_true(client_put(client, 0, buf + 12, 60, 60));
	client_publish(client, 0);
	rig_run();
	assert_int_equal(rig_in(client->port).packets, 4);
	assert_int_equal(rig_in(client->port).drops[DROP_IN_BAD_OFFLOAD], 2);
	assert_int_equal(rig_in(client->port).drops[DROP_IN_RUNT], 1);
	rig_expect(far, 0, 1);
	rig_none(far);
	rig_check();
	client_close(client);
}

static void bad_indexes(void **state)
{
	static const uint32_t heads[] = { 16, 17, 1 << 16, UINT32_MAX };
	struct nm_csb_atok *atok;

	open_far();
	client = client_open("a", TINY);
	for (unsigned i = 0; i < 4; i++) {
		atok = client_atok(client, false, 0);
		shm_store32(&atok->head, heads[i]);
		breaks("head of a TX ring");
		atok = client_atok(client, true, 0);
		shm_store32(&atok->head, heads[i]);
		breaks("head of an RX ring");
	}
	/* Giving back what was never given. */
	shm_store32(&client_atok(client, true, 0)->head, 1);
	breaks("head of an RX ring");
	/* Backwards. */
	for (unsigned i = 0; i < 5; i++)
		rig_send(far, 0, (struct sent){ .verdict = TO(1), .seq = i });
	rig_run();
	for (unsigned i = 0; i < 5; i++)
		client_expect(client, 0, i);
	rig_send(far, 0, (struct sent){ .verdict = TO(1) });
	rig_run();
	shm_store32(&client_atok(client, true, 0)->head, 4);
	breaks("head of an RX ring");
	client_close(client);
}

static void bad_slots(void **state)
{
	static const uint32_t bufs[] = {
		0, 1, 34, 1000, UINT32_MAX, INT32_MAX
	};

	open_far();
	client = client_open("a", TINY);
	assert_int_equal(client->l.n_bufs, 34);
	for (unsigned chain = 0; chain < 2; chain++) {
		uint16_t flags = chain ? NS_MOREFRAG : 0;

		for (unsigned i = 0; i < sizeof(bufs) / sizeof(*bufs); i++) {
			/* A good one in front, which is not forwarded. */
			put_slots(client, 1, 60, 0);
			slot_store(&client_slots(client, false, 0)[1],
				   slot_word(bufs[i], 60, flags));
			client->tx_head[0] = 2;
			client_publish(client, 0);
			breaks("TX slot names a buffer");
			for (unsigned s = 0; s < 16; s++)
				slot_store(&client_slots(client, true, 0)[s],
					   slot_word(bufs[i], 0, flags));
			breaks("RX slot names a buffer");
		}
		slot_store(&client_slots(client, false, 0)[0],
			   slot_word(2, 65, flags));
		client->tx_head[0] = 1;
		client_publish(client, 0);
		breaks("longer than its buffer");
		slot_store(&client_slots(client, false, 0)[0],
			   slot_word(2, UINT16_MAX, flags));
		client->tx_head[0] = 1;
		client_publish(client, 0);
		breaks("longer than its buffer");
	}
	/* The last buffer is good, in both directions. */
	slot_store(&client_slots(client, false, 0)[0], slot_word(33, 64, 0));
	rig_build(client_buf(client, 33),
		  &(struct sent){ .verdict = TO(0), .seq = 4, .len = 64 });
	client->tx_head[0] = 1;
	client_publish(client, 0);
	rig_run();
	rig_expect(far, 0, 4);
	slot_store(&client_slots(client, true, 0)[0], slot_word(33, 0, 0));
	rig_send(far, 0, (struct sent){ .verdict = TO(1), .seq = 5 });
	rig_run();
	client_expect(client, 0, 5);
	client_close(client);
}

/* A chain that goes wrong half way, towards the client. */
static void bad_slot_within_a_chain(void **state)
{
	open_far();
	client = client_open("a", TINY);
	slot_store(&client_slots(client, true, 0)[3], slot_word(1, 0, 0));
	rig_send(far, 0, (struct sent){ .verdict = TO(1), .len = 500 });
	rig_send(far, 0, (struct sent){ .verdict = TO(1) });
	rig_run();
	assert_int_equal(rig_out(client->port).drops[DROP_OUT_GONE], 2);
	assert_int_equal(client_waiting(client, 0), 0);
	breaks("RX slot names a buffer");
	client_close(client);
}

/* Many packets cut in software for a client that lies: no lease is lost. */
static void lies_during_segmentation(void **state)
{
	static uint8_t buf[RIG_MAX];
	struct offload off = { .flags = OFFLOAD_NEEDS_CSUM,
			       .gso_type = OFFLOAD_GSO_TCPV4,
			       .gso_size = 1000,
			       .csum_start = 34,
			       .csum_offset = 16 };
	uint32_t len = vnet_packet(buf, 0, TO(1));
	struct shm_out *out;

	open_far();
	client = client_open("a", "{\"slots\": 4096}");
	for (unsigned s = 0; s < 4096; s++)
		slot_store(&client_slots(client, true, 0)[s],
			   slot_word(0, 0, 0));
	for (unsigned i = 0; i < BATCH_MAX; i++)
		assert_int_equal(dummy_inject(far, 0,
					      &(struct iovec){ buf, len }, 1,
					      &off),
				 0);
	rig_run();
	out = &((struct shm_port *)client->port->drv)->out[0];
	assert_int_equal(out->q.last, 0);
	assert_int_equal(rig_out(client->port).drops[DROP_OUT_GONE], BATCH_MAX);
	breaks("RX slot names a buffer");
	client_close(client);
}

/* Until no ring is polled any more. */
static void run_to_sleep(void)
{
	while (engine_poll(engine) || engine->workers[0]->n_polled)
		;
}

static void arms_and_kicks(void **state)
{
	const struct engine_config config = { .n_workers = 1 };
	struct nm_csb_ktoa *ktoa;
	struct sent s;
	uint32_t last;

	rig_close();
	rig_open(&config);
	client = client_open("a", "{}");
	other = client_open("b", "{}");
	ktoa = client_ktoa(client, false, 0);
	run_to_sleep();
	last = shm_load32(&ktoa->kern_need_kick);
	assert_int_not_equal(last, 0);
	for (unsigned i = 0; i < 100; i++) {
		unsigned kicks = client->n_kicks, n = 0;

		/* A burst costs one kick. */
		for (unsigned k = 0; k < 50; k++)
			assert_true(client_send(client, 0,
						(struct sent){ .verdict = TO(1),
							       .seq = k }));
		assert_int_equal(client->n_kicks, kicks + 1);
		while (n < 50)
			if (engine_poll(engine) &&
			    !shm_load32(&ktoa->kern_need_kick))
				while (client_recv(other, 0, &s))
					assert_int_equal(s.seq, n++);
		run_to_sleep();
		assert_int_not_equal(shm_load32(&ktoa->kern_need_kick), last);
		last = shm_load32(&ktoa->kern_need_kick);
	}
	rig_check();
	client_close(client);
	client_close(other);
}

static unsigned calls(struct client *c)
{
	char buf[4096];
	ssize_t n = read(c->fds[3], buf, sizeof(buf));

	return n > 0 ? n : 0;
}

static void calls_once_per_request(void **state)
{
	struct nm_csb_atok *atok;

	open_far();
	client = client_open("a", "{\"slots\": 16}");
	atok = client_atok(client, true, 0);
	for (unsigned need = 0; need < 100; need++) {
		shm_store32(&atok->appl_need_kick, need);
		for (unsigned i = 0; i < 5; i++) {
			rig_send(far, 0, (struct sent){ .verdict = TO(1) });
			rig_run();
		}
		assert_int_equal(calls(client), need ? 1 : 0);
		for (unsigned i = 0; i < 5; i++)
			client_expect(client, 0, 0);
	}
	assert_int_equal(rig_out(client->port).kicks, 99);
	/* For room in a TX ring, too. */
	atok = client_atok(client, false, 0);
	for (unsigned need = 1; need < 50; need++) {
		for (unsigned i = 0; i < 15; i++)
			assert_true(
				client_send(client, 0,
					    (struct sent){ .verdict = TO(0) }));
		shm_store32(&atok->appl_need_kick, need);
		rig_run();
		assert_int_equal(calls(client), 1);
		assert_int_equal(client_room(client, 0), 15);
	}
	assert_int_equal(rig_in(client->port).kicks, 49);
	client_close(client);
}

/* A call that waits would wait for ever. */
static void a_full_call_pipe_stalls_nobody(void **state)
{
	struct nm_csb_atok *atok;
	struct pollfd p = { .events = POLLIN };
	struct shm_port *shm;
	char path[64], fill[4096];
	int mine;

	open_far();
	client = client_open("a", "{\"slots\": 16}");
	shm = client->port->drv;
	atok = client_atok(client, true, 0);
	/* What a client can do to its end. */
	assert_int_equal(fcntl(client->fds[3], F_SETFL, 0), 0);
	for (unsigned need = 1; need < 10000; need++) {
		shm_store32(&atok->appl_need_kick, need);
		rig_send(far, 0,
			 (struct sent){ .verdict = TO(1), .seq = need });
		rig_run();
		client_expect(client, 0, need);
	}
	assert_int_equal(shm->lost_calls, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", client->fds[3]);
	mine = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(mine >= 0);
	fcntl(mine, F_SETPIPE_SZ, 1 << 20);
	memset(fill, 0, sizeof(fill));
	for (unsigned need = 10000; need < 10100; need++) {
		while (write(mine, fill, sizeof(fill)) > 0 ||
		       write(mine, fill, 1) > 0)
			;
		shm_store32(&atok->appl_need_kick, need);
		rig_send(far, 0,
			 (struct sent){ .verdict = TO(1), .seq = need });
		rig_run();
		client_expect(client, 0, need);
		p.fd = client->fds[3];
		assert_int_equal(poll(&p, 1, 0), 1);
	}
	assert_int_equal(shm->lost_calls, 0);
	close(mine);
	client_close(client);
}

/* What was handed over before the port closes still goes out. */
static void drains_on_close(void **state)
{
	open_far();
	client = client_open("a", "{\"rings\": 2, \"slots\": 4096}");
	for (unsigned i = 0; i < 4000; i++)
		assert_true(client_send(client, i & 1,
					(struct sent){ .verdict = TO(0),
						       .seq = i }));
	client_close(client);
	for (unsigned i = 0; i < 4000; i += 2)
		rig_expect(far, 0, i);
	for (unsigned i = 1; i < 4000; i += 2)
		rig_expect(far, 0, i);
	assert_int_equal(sw->gone.packets, 4000);
	rig_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(wraps_around),
		RIG_TEST(full_rings),
		RIG_TEST(chains),
		RIG_TEST(chains_too_long),
		RIG_TEST(chains_in_instalments),
		RIG_TEST(chains_as_long_as_the_ring),
		RIG_TEST(empty_slots),
		RIG_TEST(egress_chains),
		RIG_TEST(the_largest_buffers),
		RIG_TEST(extra_buffers_are_the_clients),
		RIG_TEST(many_rings),
		RIG_TEST(vnet_headers),
		RIG_TEST(bad_vnet_headers),
		RIG_TEST(bad_indexes),
		RIG_TEST(bad_slots),
		RIG_TEST(bad_slot_within_a_chain),
		RIG_TEST(lies_during_segmentation),
		RIG_TEST(arms_and_kicks),
		RIG_TEST(calls_once_per_request),
		RIG_TEST(a_full_call_pipe_stalls_nobody),
		RIG_TEST(drains_on_close),
	};

	return cmocka_run_group_tests_name("shm", tests, NULL, NULL);
}
