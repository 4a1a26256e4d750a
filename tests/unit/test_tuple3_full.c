// SPDX-License-Identifier: BSD-2-Clause
// test_tuple3_full.c - ARP, neighbour discovery, ICMP and fragments.
#include "unit.h"

#include <errno.h>

#include "tuple3_rig.h"

enum {
	A = 2,
	B = 3,
	C = 4,
	SHARED = 1, /* A's and B's */
	ALONE = 9,  /* C's */
	NOBODYS = 77,
	TO_HOST = 1 << HOST,
	TO_UPLINK = 1 << UPLINK,
	TO_A = 1 << A,
	TO_B = 1 << B,
	TO_C = 1 << C,
	ALL = (1 << N_PORTS) - 1,
	NS = 135,
	NA = 136,
};

static void *t;

static int set_up(void **state)
{
	if (!batch)
		batch = aligned_alloc(64, sizeof(*batch));
	memset(batch, 0, sizeof(*batch));
	memset(isolated, 0, sizeof(isolated));
	now_s = 1000;
	t = made();
	for (int family = 4; family <= 6; family += 2)
		if (claim(t, A, family, SHARED, T3_UDP, 80) ||
		    claim(t, B, family, SHARED, T3_TCP, 81) ||
		    claim(t, C, family, ALONE, T3_TCP, 82))
			return -1;
	return 0;
}

/* When all claims have ended there are no sets but that of both ways. */
static int tear_down(void **state)
{
	for (unsigned i = A; i <= C; i++)
		port_goes(t, i);
	assert_int_equal(n_sets(), 1);
	assert_int_equal(((struct tuple3 *)t)->table.n, 0);
	port_goes(t, UPLINK);
	assert_int_equal(n_sets(), 0);
	ops->destroy(t);
	return 0;
}

/* Who gets an ARP from this sender about that target. */
static unsigned arp(unsigned port, unsigned sender, unsigned target)
{
	static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	uint8_t *hdr = fresh(0, TYPE_ARP, 60);

	memcpy(hdr + 14, head, sizeof(head));
	if (sender)
		put_addr(hdr + 28, 4, sender);
	put_addr(hdr + 38, 4, target);
	run(t, port, 1);
	return reached(port);
}

static void arp_reaches_who_has_the_address(void **state)
{
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST | TO_A | TO_B);
	assert_int_equal(arp(UPLINK, REMOTE, ALONE), TO_HOST | TO_C);
	assert_int_equal(arp(UPLINK, REMOTE, NOBODYS), TO_HOST);
	assert_int_equal(arp(HOST, NOBODYS, SHARED), TO_UPLINK | TO_A | TO_B);
	assert_int_equal(arp(HOST, NOBODYS, REMOTE), TO_UPLINK);
	assert_int_equal(arp(A, SHARED, REMOTE), TO_UPLINK | TO_HOST);
	assert_int_equal(arp(A, SHARED, ALONE), TO_UPLINK | TO_HOST | TO_C);
	assert_int_equal(arp(A, SHARED, SHARED), TO_UPLINK | TO_HOST | TO_B);
	/* Announcements: the router has a new address. */
	assert_int_equal(arp(UPLINK, REMOTE, REMOTE), ALL & ~TO_UPLINK);
	/* A probe, before the address is used. */
	assert_int_equal(arp(A, 0, SHARED), TO_UPLINK | TO_HOST | TO_B);
}

static void arp_follows_the_claims(void **state)
{
	assert_int_equal(claim(t, A, 4, SHARED, T3_TCP, 7), 0);
	assert_int_equal(release(t, A, 4, SHARED, T3_UDP, 80), 0);
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST | TO_A | TO_B);
	assert_int_equal(release(t, A, 4, SHARED, T3_TCP, 7), 0);
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST | TO_B);
	assert_int_equal(arp(A, SHARED, REMOTE), 0);
	assert_int_equal(release(t, B, 4, SHARED, T3_TCP, 81), 0);
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST);
	assert_int_equal(claim(t, A, 4, SHARED, T3_TCP, 81), 0);
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST | TO_A);
}

static void arp_of_claimants_is_about_themselves(void **state)
{
	const uint32_t refused = glen_drop(T3_ADDRESS);

	assert_int_equal(arp(A, REMOTE, ALONE), 0);
	assert_int_equal(batch->verdict[0], refused);
	assert_int_equal(batch->view.n_copies, 0);
	assert_int_equal(arp(A, ALONE, ALONE), 0);
	assert_int_equal(batch->verdict[0], refused);
	assert_int_equal(arp(A, 0, ALONE), 0);
	assert_int_equal(batch->verdict[0], refused);
	assert_int_equal(arp(5, SHARED, REMOTE), 0);
	assert_int_equal(batch->verdict[0], refused);
}

static void bad_arp_goes_nowhere(void **state)
{
	for (unsigned at = 14; at < 20; at++) {
		arp(UPLINK, REMOTE, SHARED);
		batch->hdr[0][at] ^= 3;
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_ARP));
	}
	arp(UPLINK, REMOTE, SHARED);
	batch->len[0] = batch->hdr_len[0] = 41;
	assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_ARP));
	batch->len[0] = batch->hdr_len[0] = 42;
	run(t, UPLINK, 1);
	assert_int_equal(reached(UPLINK), TO_HOST | TO_A | TO_B);
}

static void isolated_ports_hear_no_arp_of_each_other(void **state)
{
	isolated[A] = isolated[B] = isolated[C] = 1;
	assert_int_equal(arp(A, SHARED, ALONE), TO_UPLINK | TO_HOST);
	assert_int_equal(arp(A, SHARED, SHARED), TO_UPLINK | TO_HOST);
	assert_int_equal(arp(UPLINK, REMOTE, SHARED), TO_HOST | TO_A | TO_B);
	isolated[HOST] = 1;
	assert_int_equal(arp(A, SHARED, REMOTE), TO_UPLINK);
	isolated[UPLINK] = 1;
	assert_int_equal(arp(A, SHARED, REMOTE), 0);
	assert_int_equal(batch->verdict[0], glen_drop(T3_UNCLAIMED));
}

/* Who gets an ICMPv6 message of this type; dst 0: a group. */
static unsigned nd(unsigned port, unsigned type, unsigned src, unsigned dst,
		   unsigned target)
{
	struct spec s = { 6, src, dst, 58, 0, 0 };
	uint8_t *hdr = fresh(0, TYPE_IPV6, 14 + 40 + 32);

	put_ip(hdr + 14, &s, 32);
	if (!src)
		memset(hdr + 22, 0, 16);
	if (!dst)
		hdr[38] = 0xff;
	hdr[54] = type;
	put_addr(hdr + 62, 6, target);
	run(t, port, 1);
	return reached(port);
}

static void discovery_reaches_who_has_the_address(void **state)
{
	assert_int_equal(nd(UPLINK, NS, REMOTE, 0, SHARED),
			 TO_HOST | TO_A | TO_B);
	assert_int_equal(nd(UPLINK, NS, REMOTE, ALONE, ALONE), TO_HOST | TO_C);
	assert_int_equal(nd(UPLINK, NS, REMOTE, 0, NOBODYS), TO_HOST);
	assert_int_equal(nd(UPLINK, NA, REMOTE, SHARED, REMOTE),
			 TO_HOST | TO_A | TO_B);
	assert_int_equal(nd(UPLINK, NA, REMOTE, 0, REMOTE), ALL & ~TO_UPLINK);
	assert_int_equal(nd(UPLINK, 134, REMOTE, 0, 0), ALL & ~TO_UPLINK);
	assert_int_equal(nd(UPLINK, 133, REMOTE, NOBODYS, 0), TO_HOST);
	assert_int_equal(nd(UPLINK, 137, REMOTE, ALONE, REMOTE),
			 TO_HOST | TO_C);
	assert_int_equal(nd(A, NS, SHARED, 0, REMOTE), TO_UPLINK | TO_HOST);
	assert_int_equal(nd(A, NS, SHARED, 0, ALONE),
			 TO_UPLINK | TO_HOST | TO_C);
	assert_int_equal(nd(A, NS, 0, 0, SHARED), TO_UPLINK | TO_HOST | TO_B);
	assert_int_equal(nd(A, NA, SHARED, REMOTE, SHARED),
			 TO_UPLINK | TO_HOST);
	assert_int_equal(nd(A, NA, SHARED, 0, SHARED),
			 TO_UPLINK | TO_HOST | TO_B);
}

static void discovery_of_claimants_is_about_themselves(void **state)
{
	static const struct {
		unsigned type, src, target, why;
	} rows[] = {
		{ NS, ALONE, REMOTE, T3_ADDRESS },
		{ NS, 0, ALONE, T3_ADDRESS },
		{ NA, SHARED, ALONE, T3_ADDRESS },
		{ NA, REMOTE, SHARED, T3_ADDRESS },
		{ 133, SHARED, 0, T3_ICMP },
		{ 134, SHARED, 0, T3_ICMP },
		{ 137, SHARED, SHARED, T3_ICMP },
		{ 143, SHARED, SHARED, T3_ICMP },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(nd(A, rows[i].type, rows[i].src, 0,
				    rows[i].target),
				 0);
		assert_int_equal(batch->verdict[0], glen_drop(rows[i].why));
	}
	nd(UPLINK, NS, REMOTE, 0, SHARED);
	put16(batch->hdr[0] + 18, 23);
	assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
	nd(UPLINK, NS, REMOTE, 0, SHARED);
	put16(batch->hdr[0] + 18, 7);
	assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
}

/* An ICMP message of this type from src to dst, about a packet like *inner. */
static uint8_t *put_icmp(const struct spec *outer, unsigned type,
			 const struct spec *inner)
{
	bool v6 = outer->family == 6;
	unsigned l3 = v6 ? 40 : 20, len = 8 + l3 + 20;
	struct spec s = *outer;
	uint8_t *hdr, *l4;

	s.protocol = v6 ? 58 : 1;
	hdr = fresh(0, v6 ? TYPE_IPV6 : TYPE_IPV4, 14 + l3 + len);
	l4 = put_ip(hdr + 14, &s, len);
	l4[0] = type;
	put_ports(put_ip(l4 + 8, inner, 20), inner, 20);
	return l4;
}

static void errors_follow_the_packet_they_are_about(void **state)
{
	static const unsigned types[2][5] = { { 3, 4, 5, 11, 12 },
					      { 1, 2, 3, 4, 4 } };

	for (int f = 4; f <= 6; f += 2) {
		struct spec outer = { f, REMOTE, SHARED, 0, 0, 0 };
		struct spec inner = { f, SHARED, REMOTE, T3_TCP, 81, 5 };
		uint8_t *l4;

		for (unsigned i = 0; i < 5; i++) {
			put_icmp(&outer, types[f == 6][i], &inner);
			assert_int_equal(sent(t, UPLINK), to(B));
			assert_int_equal(sent(t, HOST), to(B));
		}
		/* About a packet of the host, or one without ports. */
		inner.sport = 22;
		put_icmp(&outer, types[f == 6][0], &inner);
		assert_int_equal(sent(t, UPLINK), to(HOST));
		inner.sport = 81;
		inner.protocol = 47;
		put_icmp(&outer, types[f == 6][0], &inner);
		assert_int_equal(sent(t, UPLINK), to(HOST));
		/* An echo is no error. */
		inner.protocol = T3_TCP;
		put_icmp(&outer, f == 6 ? 128 : 8, &inner);
		assert_int_equal(sent(t, UPLINK), to(HOST));
		/* Cut off within the ports; within the header. */
		l4 = put_icmp(&outer, types[f == 6][0], &inner);
		if (f == 4) {
			put16(l4 - 18, 20 + 8 + 20 + 3);
			set_sum(l4 - 20);
		} else {
			put16(l4 - 36, 8 + 40 + 3);
		}
		assert_int_equal(sent(t, UPLINK), to(HOST));
		put_icmp(&outer, types[f == 6][0], &inner);
		batch->hdr_len[0] -= 17;
		assert_int_equal(sent(t, UPLINK), to(HOST));
	}
}

static void claimants_report_what_they_got(void **state)
{
	for (int f = 4; f <= 6; f += 2) {
		struct spec outer = { f, SHARED, REMOTE, 0, 0, 0 };
		struct spec inner = { f, REMOTE, SHARED, T3_UDP, 5, 80 };
		unsigned type = f == 6 ? 1 : 3;

		put_icmp(&outer, type, &inner);
		assert_int_equal(sent(t, A), to(UPLINK));
		/* Not about B's packets, nor from C's address. */
		assert_int_equal(sent(t, B), glen_drop(T3_ICMP));
		outer.src = ALONE;
		put_icmp(&outer, type, &inner);
		assert_int_equal(sent(t, A), glen_drop(T3_ADDRESS));
		/* To another claimant, to the host. */
		outer.src = SHARED;
		outer.dst = inner.src = ALONE;
		inner.protocol = T3_TCP;
		inner.sport = 82;
		inner.dport = 81;
		put_icmp(&outer, type, &inner);
		assert_int_equal(sent(t, B), to(C));
		inner.sport = 83;
		put_icmp(&outer, type, &inner);
		assert_int_equal(sent(t, B), to(HOST));
		/* Echoes are for the host. */
		put_icmp(&outer, f == 6 ? 128 : 8, &inner);
		assert_int_equal(sent(t, B), glen_drop(T3_ICMP));
	}
}

/* A fragment of a UDP packet; part 0 is the first. */
static uint32_t frag(unsigned port, const struct spec *s, unsigned id,
		     unsigned part, bool more)
{
	bool v6 = s->family == 6;
	unsigned l3 = v6 ? 48 : 20;
	uint8_t *hdr = fresh(0, v6 ? TYPE_IPV6 : TYPE_IPV4, 14 + l3 + 24);
	uint8_t *ip = hdr + 14;

	put_ip(ip, s, l3 + 24 - (v6 ? 40 : 20));
	if (v6) {
		ip[6] = 44;
		ip[40] = s->protocol;
		put16(ip + 42, part * 24 | more);
		put16(ip + 46, id);
	} else {
		put16(ip + 4, id);
		put16(ip + 6, part * 3 | more << 13);
		set_sum(ip);
	}
	if (!part)
		put_ports(ip + l3, s, 1000);
	return sent(t, port);
}

static void fragments_follow_the_first(void **state)
{
	const uint32_t lost = glen_drop(T3_FRAGMENT);

	for (int f = 4; f <= 6; f += 2) {
		struct spec s = { f, REMOTE, SHARED, T3_UDP, 5, 80 };
		struct spec host = { f, REMOTE, SHARED, T3_UDP, 5, 81 };

		assert_int_equal(frag(UPLINK, &s, 7, 1, true), lost);
		assert_int_equal(frag(UPLINK, &s, 7, 0, true), to(A));
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), to(A));
		assert_int_equal(frag(UPLINK, &s, 7, 2, false), to(A));
		assert_int_equal(frag(UPLINK, &host, 8, 0, true), to(HOST));
		assert_int_equal(frag(UPLINK, &host, 8, 1, false), to(HOST));
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), to(A));
		/* Another packet, source, port of the switch. */
		assert_int_equal(frag(UPLINK, &s, 9, 1, true), lost);
		s.src++;
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), lost);
		s.src--;
		assert_int_equal(frag(HOST, &s, 7, 1, true), lost);
		/* In time. */
		now_s += FRAG_SECONDS - 1;
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), to(A));
		now_s++;
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), lost);
		/* Addresses that nobody here has. */
		s.dst = NOBODYS;
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), to(HOST));
		/* Too short for its ports. */
		s.dst = SHARED;
		s.protocol = T3_TCP;
		frag(UPLINK, &s, 10, 0, true);
		put16(batch->hdr[0] + (f == 6 ? 18 : 16),
		      f == 6 ? 8 + 16 : 20 + 16);
		if (f == 4)
			set_sum(batch->hdr[0] + 14);
		assert_int_equal(sent(t, UPLINK), glen_drop(T3_BAD_L4));
	}
}

static void claimants_fragments_are_theirs(void **state)
{
	const uint32_t lost = glen_drop(T3_FRAGMENT);

	for (int f = 4; f <= 6; f += 2) {
		struct spec s = { f, SHARED, REMOTE, T3_UDP, 80, 5 };

		assert_int_equal(frag(A, &s, 7, 1, true), lost);
		assert_int_equal(frag(A, &s, 7, 0, true), to(UPLINK));
		assert_int_equal(frag(A, &s, 7, 1, true), to(UPLINK));
		/* B cannot put its own pieces into A's packet. */
		assert_int_equal(frag(B, &s, 7, 0, true),
				 glen_drop(T3_SPOOFED));
		assert_int_equal(frag(B, &s, 7, 1, true), lost);
		/* Nor can the host, or the network. */
		assert_int_equal(frag(HOST, &s, 7, 1, true), lost);
		assert_int_equal(frag(UPLINK, &s, 7, 1, true), lost);
		s.protocol = 47;
		assert_int_equal(frag(A, &s, 8, 0, true),
				 glen_drop(T3_PROTOCOL));
	}
}

static void a_port_that_goes_leaves_no_fragments(void **state)
{
	struct spec s = { 4, REMOTE, SHARED, T3_UDP, 5, 80 };
	struct spec out = { 4, SHARED, REMOTE, T3_UDP, 80, 5 };

	assert_int_equal(frag(UPLINK, &s, 7, 0, true), to(A));
	assert_int_equal(frag(A, &out, 7, 0, true), to(UPLINK));
	port_goes(t, A);
	port_comes(t, A);
	assert_int_equal(frag(UPLINK, &s, 7, 1, true), glen_drop(T3_FRAGMENT));
	assert_int_equal(frag(A, &out, 7, 1, true), glen_drop(T3_FRAGMENT));
}

static void a_flood_of_fragments_is_bounded(void **state)
{
	struct spec s = { 4, REMOTE, SHARED, T3_UDP, 5, 80 };
	unsigned found = 0;

	for (unsigned id = 0; id < 60000; id++)
		assert_int_equal(frag(UPLINK, &s, id, 0, true), to(A));
	for (unsigned id = 0; id < 60000; id++)
		found += frag(UPLINK, &s, id, 1, true) == to(A);
	assert_in_range(found, FRAG_BUCKETS * FRAG_WAYS * 9 / 10,
			FRAG_BUCKETS * FRAG_WAYS);
	/* Those of claimants have a table of their own. */
	s = (struct spec){ 4, SHARED, REMOTE, T3_UDP, 80, 5 };
	assert_int_equal(frag(A, &s, 7, 0, true), to(UPLINK));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(arp_reaches_who_has_the_address),
		CASE(arp_follows_the_claims),
		CASE(arp_of_claimants_is_about_themselves),
		CASE(bad_arp_goes_nowhere),
		CASE(isolated_ports_hear_no_arp_of_each_other),
		CASE(discovery_reaches_who_has_the_address),
		CASE(discovery_of_claimants_is_about_themselves),
		CASE(errors_follow_the_packet_they_are_about),
		CASE(claimants_report_what_they_got),
		CASE(fragments_follow_the_first),
		CASE(claimants_fragments_are_theirs),
		CASE(a_port_that_goes_leaves_no_fragments),
		CASE(a_flood_of_fragments_is_bounded),
	};

	return cmocka_run_group_tests_name("tuple3_full", tests, NULL, NULL);
}
