// SPDX-License-Identifier: BSD-2-Clause
// fuzz_router.c - any frames for a router, while time passes.
/*
 * Input: frames, each behind three bytes:
 *
 *   byte 0     bit 0: the interface; bits 4..7: quarters of seconds that pass
 *              before
 *   bytes 1-2  how many bytes it has, as far as there are some
 */
#include "fuzz.h"

#include "core/headers.h"

#include "../unit/router_rig.h"

enum { HEAD = 3, FRAME_MAX = 1600 };

/* What leaves is well-formed. */
static void check_frame(const struct router_frame *f)
{
	const struct router_iface *i = &rr.state->iface[f->port];
	unsigned type = headers_get16(f->b + 12);
	const uint8_t *ip = f->b + ROUTER_ETH;

	FUZZ_CHECK(f->len >= ROUTER_ETH && !memcmp(f->b + 6, i->mac, 6));
	FUZZ_CHECK(type == 0x0800 || type == 0x86dd || type == 0x0806);
	if (type == 0x0806)
		return;
	FUZZ_CHECK(f->len >= ROUTER_ETH + 20 &&
		   ip[0] >> 4 == (type == 0x0800 ? 4 : 6));
	FUZZ_CHECK(ip[type == 0x0800 ? 8 : 7] > 0);
	if (type == 0x0800)
		FUZZ_CHECK(
			checksum_fold(checksum_best()(ip, (ip[0] & 15) * 4u)) ==
			0xffff);
	else
		FUZZ_CHECK(f->len >= ROUTER_ETH + ROUTER_IP6);
}

static void check_all(void)
{
	for (unsigned i = 0; i < rr.n_out; i++)
		check_frame(&rr.out[i]);
	rr.n_out = 0;
	FUZZ_CHECK(router_adds_up());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	router_open(router_file);
	while (size >= HEAD) {
		unsigned what = data[0], len = headers_get16(data + 1);

		data += HEAD;
		size -= HEAD;
		len = len < size ? len : (unsigned)size;
		router_pass(what >> 4);
		if (len <= FRAME_MAX)
			FUZZ_CHECK(router_feed(what & 1, data, len));
		router_run();
		check_all();
		data += len;
		size -= len;
	}
	router_pass(16);
	check_all();
	router_close();
	return 0;
}
