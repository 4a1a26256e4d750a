// SPDX-License-Identifier: BSD-2-Clause
// fuzz_steer.c - any packets and marks, against a switch with a few rules.
/*
 * Input: packets, each with ten bytes before it: the source port (modulo 4),
 * the packet's length (14 at least), and eight bytes of a mark, of which the
 * last bit says that packets of this batch have marks.
 *
 * Port 0 and 1 are outside, 2 and 3 instances. What must never happen: a
 * verdict that leads nowhere; an instance's packet that goes out by a port that
 * its mark may not name; a mark of a packet from outside that is the sender's.
 */
#include "fuzz.h"

#include <string.h>

#include "../unit/fake_env.h"
#include "module/steer/steer.h"

static struct batch fuzz_batch;

static void *make_switch(void)
{
	json_t *options = json_loads(
		"{\"rules\": [{\"protocol\": \"tcp\", \"dport\": \"0-1023\", "
		"\"chain\": \"c\"}, {\"src\": \"::/1\", \"service\": \"s\"}, "
		"{\"odd\": true, \"drop\": true}, {\"vlan\": 1, \"port\": "
		"\"p1\"}], \"services\": {\"s\": {\"instances\": {\"p2\": 1, "
		"\"p3\": 2}}}, \"chains\": {\"c\": {\"services\": [\"s\", "
		"\"s\"], \"exit\": \"p0\"}}, \"default\": {\"port\": \"p1\"}}",
		0, NULL);
	struct glen_error error;
	void *s;

	FUZZ_CHECK(!module_steer.ops.create(fake_env(1), options, &s, &error));
	json_decref(options);
	for (unsigned i = 0; i < 4; i++) {
		struct glen_module_port port;

		fake_port_get(NULL, i, &port);
		module_steer.ops.port_add(s, &port);
	}
	return s;
}

static void check(unsigned src, uint64_t mark, uint32_t verdict, uint64_t left)
{
	uint32_t n = verdict & 0xffff;

	if ((verdict & GLEN_VERDICT_KIND) == GLEN_VERDICT_DROP) {
		FUZZ_CHECK(n < STEER_DROPS);
		return;
	}
	FUZZ_CHECK((verdict & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT && n < 4);
	if (n < 2) {
		FUZZ_CHECK(left == 0);
	} else if (src < 2) {
		FUZZ_CHECK((left & 0xffff) != 0);
		FUZZ_CHECK(left >> 16 == 0 || left >> 16 == 0xffff);
	} else {
		FUZZ_CHECK((left >> 16 & 0xffff) == 0);
		FUZZ_CHECK(left >> 40 == (mark >> 40 & 0xff) + 1);
		FUZZ_CHECK(left >> 40 <= STEER_HOPS_MAX);
	}
}

static void one(void *s, unsigned src, const uint8_t *data, unsigned len,
		uint64_t mark)
{
	static const uint8_t isolated[4];
	struct glen_lookup ctx = { .src = src,
				   .port_isolated = isolated,
				   .n_ports = 4 };
	struct batch *b = &fuzz_batch;

	batch_init(b);
	memset(b->hdr[0], 0, HDR_SIZE);
	b->n = 1;
	b->len[0] = len;
	b->hdr_len[0] = len < HDR_MAX ? len : HDR_MAX;
	memcpy(b->hdr[0], data, b->hdr_len[0]);
	b->marks = mark & 1;
	b->mark[0] = mark;
	module_steer.lookup[isa_now()](s, &ctx, batch_view(b));
	FUZZ_CHECK(src < 2 ? b->view.marks : b->view.marks == (mark & 1));
	if (b->view.marks)
		check(src, mark & ((1ULL << 48) - 1), b->verdict[0],
		      b->mark[0]);
	else
		FUZZ_CHECK(b->verdict[0] == glen_drop(STEER_NO_MARK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *s = make_switch();

	while (size > 10 + 14) {
		unsigned src = data[0] % 4, len = data[1];
		uint64_t mark;

		memcpy(&mark, data + 2, 8);
		data += 10;
		size -= 10;
		len = len < 14 ? 14 : len;
		len = len < size ? len : size;
		one(s, src, data, len, mark);
		data += len;
		size -= len;
	}
	module_steer.ops.destroy(s);
	return 0;
}
