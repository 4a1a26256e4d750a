// SPDX-License-Identifier: BSD-2-Clause
// fuzz_guard.c - any packet before a guard of the learning bridge.
/*
 * Input: one byte that says which guard (bit 0: with IPv6 addresses) and how
 * much the guard is shown (the rest, modulo what there is), then the packet.
 *
 * Whoever sees less of a packet judges the same, or that he cannot judge; and
 * what passes comes from an address on the list, by a reading of its own here.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "module/learn/guard.h"

enum { SHOWN_MAX = 128 };

static const char *const lists[2] = {
	"[\"02:00:00:00:00:01 10.0.0.0/8\"]",
	"[\"02:00:00:00:00:01 10.0.0.0/8 2001:db8::/32\"]",
};

static struct guard *guard_of(unsigned which)
{
	static struct guard *guards[2];
	json_t *list;

	if (guards[which])
		return guards[which];
	list = json_loads(lists[which], 0, NULL);
	FUZZ_CHECK(!guard_create(list, &guards[which], NULL));
	json_decref(list);
	return guards[which];
}

static enum guard_result judge(const struct guard *g, const uint8_t *data,
			       size_t shown, size_t len)
{
	/* Exactly as long as it may look. */
	uint8_t *hdr = malloc(shown);
	enum guard_result r;

	memcpy(hdr, data, shown);
	r = guard_check(g, hdr, shown, len);
	free(hdr);
	return r;
}

/* What every packet that passes must be. */
static void check_source(const uint8_t *p, size_t len, bool ipv6)
{
	static const uint8_t mine[6] = { 2, 0, 0, 0, 0, 1 };
	static const uint8_t link_local[16] = { 0xfe, 0x80, 0, 0, 0, 0,
						0,    0,    0, 0, 0, 0xff,
						0xfe, 0,    0, 1 };
	static const uint8_t none[16];
	size_t at = 12;

	FUZZ_CHECK(!memcmp(p + 6, mine, 6));
	while (at < 20 && ((p[at] == 0x81 && p[at + 1] == 0) ||
			   (p[at] == 0x88 && p[at + 1] == 0xa8)))
		at += 4;
	if (p[at] == 8 && p[at + 1] == 0) {
		FUZZ_CHECK(len >= at + 22);
		FUZZ_CHECK(p[at + 14] == 10 || !memcmp(p + at + 14, none, 4));
	} else if (p[at] == 8 && p[at + 1] == 6) {
		FUZZ_CHECK(len >= at + 30);
		FUZZ_CHECK(!memcmp(p + at + 10, mine, 6));
		FUZZ_CHECK(p[at + 16] == 10 || !memcmp(p + at + 16, none, 4));
	} else {
		uint8_t from[16];

		FUZZ_CHECK(ipv6 && p[at] == 0x86 && p[at + 1] == 0xdd);
		FUZZ_CHECK(len >= at + 42);
		memcpy(from, p + at + 10, 16);
		if (!memcmp(from, none, 16)) /* only ICMPv6, maybe behind */
			return;
		FUZZ_CHECK(!memcmp(from, "\x20\x01\x0d\xb8", 4) ||
			   !memcmp(from, link_local, 16));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct guard *g;
	enum guard_result all, less;
	size_t shown, most;

	if (size < 15)
		return 0;
	g = guard_of(data[0] & 1);
	most = size - 1 < SHOWN_MAX ? size - 1 : SHOWN_MAX;
	shown = 14 + (data[0] >> 1) % (most - 13);
	all = judge(g, data + 1, most, size - 1);
	less = judge(g, data + 1, shown, size - 1);
	FUZZ_CHECK(less == all || less == GUARD_OTHER);
	if (all == GUARD_PASS)
		check_source(data + 1, size - 1, data[0] & 1);
	return 0;
}
