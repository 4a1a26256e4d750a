// SPDX-License-Identifier: BSD-2-Clause
// fuzz_tuple3.c - any packets, against a switch with a few claims.
/*
 * Input: packets, each with two bytes before it.
 *
 *   0   bits 0..1: source port; bit 2: the IPv4 header checksum is made right;
 *       bit 3: so is the total or payload length
 *   1   length of the packet that follows, 14 at least
 *
 * Port 0 is the default port, 1 the uplink; 2 claimed 10.0.0.1 tcp 80 and
 * 2001:db8::1 udp 80, 3 the same with port 81. What is checked is what must
 * never happen: that a claimant's TCP or UDP packet leaves with a source that
 * is not its own, that one reaches a claimant who did not claim it, that a
 * verdict leads nowhere, and that the parser reads behind what it was given.
 */
#include "fuzz.h"

#include <string.h>

#include "../unit/tuple3_rig.h"

static struct batch fuzz_batch;

/* The packet alone in memory, so that a sanitizer sees every byte too many. */
static void parse_exactly(const uint8_t *data, unsigned len)
{
	unsigned have = len < HDR_MAX ? len : HDR_MAX;
	unsigned type = data[12] << 8 | data[13];
	uint8_t *copy = malloc(have);
	struct t3_key src, dst;
	struct t3_packet p;

	memcpy(copy, data, have);
	if ((type == TYPE_IPV4 || type == TYPE_IPV6) &&
	    t3_parse(copy, have, len, &p) < 0) {
		FUZZ_CHECK(p.len <= len - ETH_LEN);
		FUZZ_CHECK(p.later || p.protocol != T3_TCP ||
			   p.l4 + TCP_LEN <= p.len);
		t3_parse_error(&p, &src, &dst);
	}
	free(copy);
}

/* The checksum as RFC 1071 has it, byte by byte. */
static bool sum_is_right(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Who claimed what is at addr and port; 0: nobody. */
static unsigned claimed_by(bool v6, unsigned protocol, const uint8_t *addr,
			   const uint8_t *port)
{
	uint8_t own[16];

	put_addr(own, v6 ? 6 : 4, 1);
	if (memcmp(addr, own, v6 ? 16 : 4) || port[0] ||
	    protocol != (v6 ? T3_UDP : T3_TCP))
		return 0;
	return port[1] == 80 ? 2 : port[1] == 81 ? 3 : 0;
}

static void check_plain(const uint8_t *hdr, unsigned src, uint32_t verdict)
{
	bool v6 = hdr[12] == 0x86;
	const uint8_t *ip = hdr + 14, *l4 = ip + (v6 ? 40 : 20);
	unsigned protocol = v6 ? ip[6] : ip[9];
	unsigned from = claimed_by(v6, protocol, ip + (v6 ? 8 : 12), l4);
	unsigned want = claimed_by(v6, protocol, ip + (v6 ? 24 : 16), l4 + 2);
	unsigned got = verdict & 0xffff;

	FUZZ_CHECK((verdict & GLEN_VERDICT_KIND) == GLEN_VERDICT_PORT);
	FUZZ_CHECK(src > UPLINK ? from == src : !from);
	FUZZ_CHECK(want ? got == want : got <= UPLINK);
	FUZZ_CHECK(v6 || sum_is_right(ip));
}

/* TCP or UDP over IP without options, so that the ports are where they are
 * looked for. */
static bool is_plain(const uint8_t *hdr)
{
	unsigned type = hdr[12] << 8 | hdr[13];
	const uint8_t *ip = hdr + 14;

	if (type == TYPE_IPV6)
		return ip[6] == T3_TCP || ip[6] == T3_UDP;
	return type == TYPE_IPV4 && ip[0] == 0x45 && !(ip[6] & 0x3f) &&
	       !ip[7] && (ip[9] == T3_TCP || ip[9] == T3_UDP);
}

static void check(const uint8_t *hdr, unsigned src, uint32_t verdict)
{
	uint32_t kind = verdict & GLEN_VERDICT_KIND;
	uint32_t n = verdict & 0xffff;

	if (kind == GLEN_VERDICT_DROP) {
		FUZZ_CHECK(n < T3_DROPS);
		FUZZ_CHECK(!batch->view.n_copies);
		return;
	}
	FUZZ_CHECK(kind == GLEN_VERDICT_PORT || kind == GLEN_VERDICT_SET);
	FUZZ_CHECK(kind == GLEN_VERDICT_SET ? n < GLEN_SET_FIRST || sets[n] :
					      n < 4);
	if (is_plain(hdr))
		check_plain(hdr, src, verdict);
}

static void fix(uint8_t *hdr, unsigned len, unsigned how)
{
	unsigned type = hdr[12] << 8 | hdr[13];

	if (how & 8 && type == TYPE_IPV4)
		put16(hdr + 16, len - 14);
	if (how & 8 && type == TYPE_IPV6 && len >= 54)
		put16(hdr + 18, len - 54);
	if (how & 4 && type == TYPE_IPV4 && hdr[14] >> 4 == 4)
		set_sum(hdr + 14);
}

static void *make_switch(void)
{
	void *t;

	memset(sets, 0, sizeof(sets));
	t = made();
	for (unsigned port = 2; port < 4; port++) {
		FUZZ_CHECK(!claim(t, port, 4, 1, T3_TCP, 78 + port));
		FUZZ_CHECK(!claim(t, port, 6, 1, T3_UDP, 78 + port));
	}
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *t = make_switch();

	batch = &fuzz_batch;
	while (size > 2 + ETH_LEN) {
		unsigned how = data[0], len = data[1];
		uint8_t *hdr;

		data += 2;
		size -= 2;
		len = len < ETH_LEN ? ETH_LEN : len;
		len = len < size ? len : size;
		hdr = fresh(0, 0, len);
		memcpy(hdr, data, batch->hdr_len[0]);
		fix(hdr, len, how);
		parse_exactly(hdr, len);
		check(hdr, how & 3, sent(t, how & 3));
		data += len;
		size -= len;
	}
	ops->destroy(t);
	return 0;
}
