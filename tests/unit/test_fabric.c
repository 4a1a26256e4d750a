// SPDX-License-Identifier: BSD-2-Clause
// test_fabric.c - port sets, edits, copies and mirrors against a plain model.
#include "rig.h"

#include <errno.h>

#include "core/capture.h"
#include "lib/flow_hash.h"
#include "packet.h"

enum { PORTS = 6, SETS = 5, PACKETS = 200, BYTES = 200, QUEUE = 4096 };

static const char *const params[PORTS] = {
	"{\"slots\": 4096, \"buf_size\": 256}",
	"{\"slots\": 4096, \"buf_size\": 256}",
	"{\"slots\": 4096, \"buf_size\": 256, \"out_rings\": 3}",
	"{\"slots\": 4096, \"buf_size\": 256}",
	"{\"slots\": 4096, \"buf_size\": 256, \"out_rings\": 2}",
	"{\"slots\": 4096, \"buf_size\": 256, \"out_rings\": 0}",
};

struct bytes {
	unsigned len;
	uint8_t p[BYTES + 16];
};

/* What lookup() says of packet i of the next batch. */
static uint32_t verdict[BATCH_MAX], copies[BATCH_MAX][2];
static struct glen_module_env const *env;
static struct port *ports[PORTS];

static int said_create(const struct glen_module_env *e, json_t *options,
		       void **state, struct glen_error *error)
{
	env = e;
	*state = NULL;
	return 0;
}

static void said_lookup(void *state, const struct glen_lookup *ctx,
			struct glen_batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		b->verdict[i] = verdict[i];
		for (unsigned k = 0; k < 2; k++)
			if (copies[i][k] != GLEN_MIRROR_NONE)
				assert_true(
					glen_batch_copy(b, i, copies[i][k]));
	}
}

static const struct glen_module said = {
	GLEN_MODULE_HEAD,
	.name = "said",
	.version = "1",
	.summary = "verdicts and copies as the test says",
	.hdr_want = GLEN_HDR_MIN,
	.create = said_create,
	.destroy = rig_module_destroy,
	.lookup = said_lookup,
};

static int fabric_setup(void **state)
{
	rig_open(NULL);
	rig_swap_module(&said);
	memset(copies, 0xff, sizeof(copies));
	for (unsigned i = 0; i < PORTS; i++)
		ports[i] = rig_port(&"a\0b\0c\0d\0e\0f"[2 * i], params[i]);
	return 0;
}

#define FABRIC_TEST(f) \
	cmocka_unit_test_setup_teardown(f, fabric_setup, rig_teardown)

/* The model. */

struct queue {
	unsigned head, n;
	struct bytes *packet;
};

static struct queue queues[PORTS][PORT_RINGS_MAX];
static uint64_t replicated;

static bool model_tagged(const struct bytes *b)
{
	unsigned type = b->p[12] << 8 | b->p[13];

	return b->len >= 18 && (type == 0x8100 || type == 0x88a8);
}

static void model_edit(struct bytes *b, const struct glen_edit *e)
{
	bool tagged = model_tagged(b);
	unsigned outer = b->p[14] << 8 | b->p[15];

	if (e->flags & GLEN_EDIT_IF_VID &&
	    (!tagged || (outer & 4095) != e->vid))
		return;
	for (unsigned i = 0; i < e->pop && model_tagged(b); i++) {
		memmove(b->p + 12, b->p + 16, b->len - 16);
		b->len -= 4;
	}
	for (int i = e->push - 1; i >= 0; i--) {
		unsigned tci = e->tci[i];

		if (i == 0 && tagged && e->flags & GLEN_EDIT_KEEP_PRIORITY)
			tci = (tci & 4095) | (outer & 0xf000);
		memmove(b->p + 16, b->p + 12, b->len - 12);
		rig_put32(b->p + 12, (uint32_t)e->tpid[i] << 16 | tci);
		b->len += 4;
	}
}

static unsigned model_ring(const struct bytes *b, unsigned port)
{
	unsigned n = ports[port]->n_out, len = b->len < 64 ? b->len : 64;
	uint8_t hdr[64] = { 0 };

	memcpy(hdr, b->p, len);
	return n > 1 ? (uint64_t)flow_hash(hdr, len) * n >> 32 : 0;
}

static void model_put(unsigned port, unsigned ring, const struct bytes *b)
{
	struct queue *q = &queues[port][ring];

	assert_true(q->n < QUEUE);
	if (!q->packet)
		q->packet = calloc(QUEUE, sizeof(*q->packet));
	q->packet[q->n++] = *b;
}

/* All rings must hold just what the model says, in this order. */
static void model_check(void)
{
	uint8_t buf[512];

	for (unsigned p = 0; p < PORTS; p++)
		for (unsigned r = 0; r < ports[p]->n_out; r++) {
			struct queue *q = &queues[p][r];

			for (unsigned i = 0; i < q->n; i++) {
				int len = dummy_collect(ports[p], r, buf,
							sizeof(buf), NULL);

				assert_int_equal(len, q->packet[i].len);
				assert_memory_equal(buf, q->packet[i].p, len);
			}
			assert_int_equal(dummy_pending_out(ports[p], r), 0);
			q->n = 0;
		}
	assert_int_equal(rig_in(ports[0]).replicated, replicated);
	rig_check();
}

static void model_free(void)
{
	for (unsigned p = 0; p < PORTS; p++)
		for (unsigned r = 0; r < PORT_RINGS_MAX; r++) {
			free(queues[p][r].packet);
			queues[p][r] = (struct queue){ 0 };
		}
	replicated = 0;
}

struct model_set {
	uint32_t id;
	bool in[PORTS], edits[PORTS];
	struct glen_edit edit[PORTS];
};

static struct model_set sets[SETS];
static bool port_edits[PORTS];
static struct glen_edit port_edit[PORTS];

static struct glen_edit random_edit(void)
{
	struct glen_edit e = { .size = sizeof(e) };

	e.pop = rnd(3);
	e.push = rnd(3);
	e.flags = rnd(4);
	e.vid = 100 + rnd(3);
	for (unsigned i = 0; i < 2; i++) {
		e.tpid[i] = rnd(2) ? 0x8100 : 0x88a8;
		e.tci[i] = rnd(65536);
	}
	return e;
}

/* A few changes of what there is. */
static void random_changes(void)
{
	struct model_set *s = &sets[rnd(SETS)];
	unsigned p = rnd(PORTS);

	s->edit[p] = random_edit();
	s->edits[p] = rnd(2);
	if (rnd(3) == 0) {
		assert_int_equal(glen_module_set_remove(env, s->id, p),
				 s->in[p] ? 0 : -ENOENT);
		s->in[p] = false;
	} else {
		assert_int_equal(glen_module_set_add(env, s->id, p,
						     s->edits[p] ? &s->edit[p] :
								   NULL),
				 0);
		s->in[p] = true;
	}
	if (rnd(4) == 0) {
		p = rnd(PORTS);
		port_edit[p] = random_edit();
		port_edits[p] = rnd(2);
		assert_int_equal(glen_module_port_edit(env, p,
						       port_edits[p] ?
							       &port_edit[p] :
							       NULL),
				 0);
	}
	module_settle(sw->module);
}

static bool takes(unsigned port)
{
	return port != 0 && port < PORTS && ports[port]->n_out;
}

static void model_to_port(unsigned port, unsigned ring, struct bytes b,
			  const struct glen_edit *e)
{
	if (ring >= ports[port]->n_out)
		ring = model_ring(&b, port);
	if (e)
		model_edit(&b, e);
	if (port_edits[port])
		model_edit(&b, &port_edit[port]);
	model_put(port, ring, &b);
}

/* Sends b, of port 0, where v says; returns how many it became. */
static unsigned model_send(uint32_t v, const struct bytes *b)
{
	unsigned n = 0, low = v & 0xffff;

	if ((v & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT) {
		if (!takes(low))
			return 0;
		model_to_port(low, v >> 16 & 255, *b, NULL);
		return 1;
	}
	if ((v & GLEN_VERDICT_KIND) != GLEN_VERDICT_SET)
		return 0;
	for (unsigned p = 0; p < PORTS; p++) {
		const struct model_set *s = NULL;

		for (unsigned k = 0; low != GLEN_SET_ALL && k < SETS; k++)
			if (sets[k].id == low)
				s = &sets[k];
		if (!takes(p) || (low != GLEN_SET_ALL && (!s || !s->in[p])))
			continue;
		model_to_port(p, 255, *b,
			      s && s->edits[p] ? &s->edit[p] : NULL);
		n++;
	}
	return n;
}

static uint32_t random_target(void)
{
	switch (rnd(6)) {
	case 0:
		return glen_to_port(rnd(PORTS + 2));
	case 1:
		return glen_to_ring(rnd(PORTS), rnd(5));
	case 2:
		return glen_to_set(GLEN_SET_ALL);
	case 3:
		return glen_to_set(1000 + rnd(10));
	default:
		return glen_to_set(sets[rnd(SETS)].id);
	}
}

static struct bytes random_packet(uint32_t seq)
{
	struct sent s = { .flow = rnd(30), .seq = seq, .tags = rnd(3) };
	struct bytes b;

	b.len = s.len = 60 + rnd(BYTES - 60);
	rig_build(b.p, &s);
	return b;
}

/* Batches in which neighbours often go the same way. */
static void model_and_switch_agree(void **state)
{
	uint32_t seq = 0;

	rnd_seed();
	for (unsigned k = 0; k < SETS; k++)
		assert_int_equal(glen_module_set_create(env, &sets[k].id), 0);
	for (unsigned round = 0; round < 400; round++) {
		struct bytes b[PACKETS];
		unsigned n = 1 + rnd(PACKETS);

		for (unsigned i = rnd(8); i; i--)
			random_changes();
		for (unsigned i = 0; i < n; i++) {
			b[i] = random_packet(seq++);
			verdict[i] = i && rnd(2) ? verdict[i - 1] :
				     rnd(9)	 ? random_target() :
						   glen_drop(rnd(600));
			for (unsigned k = 0; k < 2; k++)
				copies[i][k] = rnd(4) ? GLEN_MIRROR_NONE :
							random_target();
			assert_int_equal(dummy_inject_flat(ports[0], 0, b[i].p,
							   b[i].len),
					 0);
		}
		for (unsigned i = 0; i < n; i++) {
			unsigned to = model_send(verdict[i], &b[i]);

			replicated += to ? to - 1 : 0;
		}
		for (unsigned i = 0; i < n; i++)
			for (unsigned k = 0; k < 2; k++)
				if (copies[i][k] != GLEN_MIRROR_NONE)
					replicated += model_send(copies[i][k],
								 &b[i]);
		assert_int_equal(engine_poll(engine), n);
		model_check();
	}
	memset(sets, 0, sizeof(sets));
	memset(port_edits, 0, sizeof(port_edits));
	model_free();
}

static void mirror(unsigned port, unsigned direction, uint32_t to)
{
	assert_int_equal(glen_module_port_mirror(env, port, direction, to), 0);
	module_settle(sw->module);
}

/* One packet of port 0 with a tag; where the mirrors' copies must be. */
static void mirrors_show_what_passed(void **state)
{
	struct glen_edit pop = { .size = sizeof(pop), .pop = 1 };
	struct sent s = { .tags = 1, .len = 100, .flow = 3 };
	struct bytes whole = { .len = 100 }, cut;

	rig_build(whole.p, &s);
	cut = whole;
	model_edit(&cut, &pop);
	mirror(0, GLEN_MIRROR_IN, glen_to_port(3));
	mirror(1, GLEN_MIRROR_OUT, glen_to_port(4));
	assert_int_equal(glen_module_port_edit(env, 1, &pop), 0);
	/* As it came, as it left, and what the verdict says. */
	verdict[0] = glen_to_port(1);
	model_put(3, 0, &whole);
	model_put(1, 0, &cut);
	model_put(4, model_ring(&cut, 4), &cut);
	replicated = 2;
	rig_send(ports[0], 0, s);
	rig_run();
	model_check();
	/* What is dropped came nevertheless, but did not leave. */
	verdict[0] = glen_drop(GLEN_DROP_MODULE);
	model_put(3, 0, &whole);
	replicated++;
	rig_send(ports[0], 0, s);
	rig_run();
	model_check();
	/* Never back to the source; to a set; not mirrored again. */
	mirror(0, GLEN_MIRROR_IN, glen_to_set(GLEN_SET_ALL));
	mirror(1, GLEN_MIRROR_OUT, glen_to_port(0));
	for (unsigned p = 1; p < 5; p++)
		model_put(p, model_ring(&whole, p), &whole);
	replicated += 4;
	rig_send(ports[0], 0, s);
	rig_run();
	model_check();
	mirror(0, GLEN_MIRROR_IN, GLEN_MIRROR_NONE);
	verdict[0] = glen_to_port(1);
	model_put(1, 0, &cut);
	rig_send(ports[0], 0, s);
	rig_run();
	model_check();
	model_free();
}

static void mirrors_leave_out_what_found_no_room(void **state)
{
	struct port *small = rig_port("small", "{\"slots\": 4}");

	mirror(small->index, GLEN_MIRROR_OUT, glen_to_port(1));
	for (unsigned i = 0; i < 40; i++) {
		verdict[i] = glen_to_port(small->index);
		rig_send(ports[0], 0, (struct sent){ .seq = i });
	}
	rig_run();
	assert_true(rig_out(small).drops[DROP_OUT_NO_ROOM] > 30);
	assert_int_equal(rig_out(small).packets, rig_out(ports[1]).packets);
	for (unsigned i = 0; i < rig_out(small).packets; i++)
		rig_expect(ports[1], 0, i);
	rig_check();
}

/* More runs than there is room for at a time, with somebody who captures. */
static void floods_to_very_many_ports(void **state)
{
	enum { MANY = 700, N = 256 };
	static struct port *many[MANY];
	struct capture_config config = { .n_workers = 1 };
	struct capture_session *session;
	uint32_t set[2];
	struct sent got;

	for (unsigned k = 0; k < 2; k++)
		assert_int_equal(glen_module_set_create(env, &set[k]), 0);
	for (unsigned i = 0; i < MANY; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%u", i);
		many[i] = rig_port(name, "{\"slots\": 512, \"buf_size\": 64}");
		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(glen_module_set_add(env, set[k],
							     many[i]->index,
							     NULL),
					 0);
	}
	module_settle(sw->module);
	for (unsigned pass = 0; pass < 2; pass++) {
		if (pass)
			assert_int_equal(capture_create(sw, &config, &session,
							NULL),
					 0);
		for (unsigned i = 0; i < N; i++) {
			verdict[i] = i % 5 == 4 ? glen_drop(GLEN_DROP_MODULE) :
						  glen_to_set(set[i % 2]);
			rig_send(ports[0], 0, (struct sent){ .seq = i });
		}
		rig_run();
		for (unsigned p = 0; p < MANY; p++)
			for (unsigned i = 0; i < N; i++)
				if (i % 5 != 4)
					rig_expect(many[p], 0, i);
		assert_false(rig_recv(many[0], 0, &got));
		assert_int_equal(rig_in(ports[0]).drops[DROP_IN_MODULE],
				 (pass + 1) * (N / 5));
		rig_check();
	}
	capture_destroy(session);
}

/* Nothing leads to the index of a port that went. */
static void ports_leave_everything(void **state)
{
	struct port *last = rig_port("g", "{}");
	unsigned index = last->index;
	uint32_t set;

	assert_int_equal(glen_module_set_create(env, &set), 0);
	assert_int_equal(glen_module_set_add(env, set, 1, NULL), 0);
	assert_int_equal(glen_module_set_add(env, set, index, NULL), 0);
	mirror(0, GLEN_MIRROR_IN, glen_to_port(index));
	mirror(index, GLEN_MIRROR_OUT, glen_to_port(3));
	port_destroy(last);
	last = rig_port("h", "{}");
	assert_int_equal(last->index, index);
	verdict[0] = glen_to_set(set);
	verdict[1] = glen_to_port(index);
	rig_send(ports[0], 0, (struct sent){ .seq = 0 });
	rig_send(ports[0], 0, (struct sent){ .seq = 1 });
	rig_run();
	rig_expect(ports[1], 0, 0);
	rig_expect(last, 0, 1);
	rig_none(last);
	rig_none(ports[3]);
	rig_check();
}

static void errors_are_told(void **state)
{
	struct glen_edit bad = { .size = sizeof(bad) }, good = bad;
	uint32_t set, more, many[100];

	assert_int_equal(glen_module_set_add(env, 2, 1, NULL), -ENOENT);
	assert_int_equal(glen_module_set_destroy(env, 2), -ENOENT);
	assert_int_equal(glen_module_set_create(env, &set), 0);
	assert_int_equal(set, GLEN_SET_FIRST);
	assert_int_equal(glen_module_set_add(env, set, PORTS, NULL), -ENOENT);
	assert_int_equal(glen_module_set_add(env, set, 70000, NULL), -ENOENT);
	assert_int_equal(glen_module_set_remove(env, set, 1), -ENOENT);
	assert_int_equal(glen_module_set_add(env, GLEN_SET_ALL, 1, NULL),
			 -ENOENT);
	bad.pop = 3;
	assert_int_equal(glen_module_set_add(env, set, 1, &bad), -EINVAL);
	bad = good;
	bad.size--;
	assert_int_equal(glen_module_port_edit(env, 1, &bad), -EINVAL);
	bad = good;
	bad.flags = 4;
	assert_int_equal(glen_module_port_edit(env, 1, &bad), -EINVAL);
	assert_int_equal(glen_module_port_edit(env, PORTS, &good), -ENOENT);
	assert_int_equal(glen_module_port_mirror(env, 0, 2, 0), -EINVAL);
	assert_int_equal(glen_module_port_mirror(env, 0, GLEN_MIRROR_IN,
						 glen_to_port(0)),
			 -EINVAL);
	assert_int_equal(glen_module_port_mirror(env, 0, GLEN_MIRROR_IN,
						 glen_to_port(PORTS)),
			 -ENOENT);
	assert_int_equal(glen_module_port_mirror(env, 0, GLEN_MIRROR_IN,
						 glen_drop(1)),
			 -EINVAL);
	/* Numbers are used again, and there are many. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(glen_module_set_create(env, &many[i]), 0);
	assert_int_equal(many[99], set + 100);
	assert_int_equal(glen_module_set_destroy(env, many[7]), 0);
	assert_int_equal(glen_module_set_create(env, &more), 0);
	assert_int_equal(more, many[7]);
	while (!glen_module_set_create(env, &more))
		;
	assert_int_equal(more, GLEN_SETS_MAX);
	assert_int_equal(glen_module_set_create(env, &more), -ENOSPC);
	module_settle(sw->module);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FABRIC_TEST(model_and_switch_agree),
		FABRIC_TEST(mirrors_show_what_passed),
		FABRIC_TEST(mirrors_leave_out_what_found_no_room),
		FABRIC_TEST(floods_to_very_many_ports),
		FABRIC_TEST(ports_leave_everything),
		FABRIC_TEST(errors_are_told),
	};

	return cmocka_run_group_tests_name("fabric", tests, NULL, NULL);
}
