// SPDX-License-Identifier: BSD-2-Clause
// test_nf_firewall_track.c - connections: states, handshakes, errors, limits.
#include "unit.h"

#include "firewall_packet.h"
#include "lib/classifier_parse.h"
#include "nf/firewall/track.h"

static struct fw_track *track;
static uint64_t now = 1;

static void begin(unsigned flows, bool loose)
{
	struct fw_limits limits = { .flows = flows,
				    .opening_ns = 30,
				    .tcp_ns = 1000,
				    .other_ns = 200,
				    .loose = loose };

	assert_int_equal(fw_track_create(&track, &limits), 0);
	now = 1;
}

static void end(void)
{
	fw_track_destroy(track);
	track = NULL;
}

/* A packet arrives; what is new is accepted. */
static enum fw_state arrives(const struct fp *f)
{
	struct glen_nf_packet p = { .data = (uint8_t *)f->data, .len = f->len };
	struct classifier_key key;
	struct fw_seen seen;
	enum fw_state state;
	bool fresh;

	classifier_parse(p.data, p.len, p.len, 0, &key);
	state = fw_track_look(track, &p, key.w[CLASSIFIER_L4], now, &seen,
			      &fresh);
	assert_true(!fresh || state == FW_NEW);
	if (fresh)
		assert_true(fw_track_make(track, &seen, now));
	return state;
}

static enum fw_state tcp(unsigned from, unsigned flags)
{
	struct fp f = { .protocol = 6,
			.from = from,
			.flags = flags,
			.port = { 1000, 80 },
			.seq = 5,
			.ack = 7 };

	return arrives(fp_make(&f));
}

static void handshake(void)
{
	assert_int_equal(tcp(0, FP_SYN), FW_NEW);
	assert_int_equal(tcp(0, FP_SYN), FW_NEW); /* once more */
	assert_int_equal(tcp(1, FP_SYN | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(0, FP_ACK), FW_ESTABLISHED);
}

static void tcp_opens_and_closes(void **state)
{
	begin(100, false);
	assert_int_equal(tcp(0, FP_ACK), FW_INVALID);
	assert_int_equal(tcp(0, FP_SYN), FW_NEW);
	assert_int_equal(tcp(0, FP_ACK), FW_INVALID);
	assert_int_equal(tcp(1, FP_ACK), FW_INVALID);
	assert_int_equal(tcp(1, FP_SYN), FW_INVALID);
	handshake();
	assert_int_equal(tcp(0, FP_SYN), FW_INVALID);
	now += 900; /* it is up: the long time-out counts */
	assert_int_equal(tcp(1, FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(0, FP_FIN | FP_ACK), FW_ESTABLISHED);
	now += 900; /* one side only */
	assert_int_equal(tcp(1, FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(1, FP_FIN | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(0, FP_ACK), FW_ESTABLISHED);
	now += 31; /* closed: the short one */
	assert_int_equal(tcp(0, FP_ACK), FW_INVALID);
	end();
}

static void closed_connections_open_again(void **state)
{
	begin(100, false);
	handshake();
	assert_int_equal(tcp(0, FP_FIN | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(1, FP_FIN | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(1, FP_SYN), FW_NEW); /* the other way round */
	assert_int_equal(tcp(0, FP_SYN | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(1, FP_ACK), FW_ESTABLISHED);
	now += 900;
	assert_int_equal(tcp(0, FP_ACK), FW_ESTABLISHED);
	end();
}

/* A reset with another number than the receiver expects closes nothing. */
static void resets_need_the_number(void **state)
{
	struct fp f = { .protocol = 6,
			.from = 1,
			.flags = FP_RST,
			.port = { 1000, 80 },
			.seq = 6 };

	begin(100, false);
	handshake(); /* end 0 acknowledged 7 */
	assert_int_equal(arrives(fp_make(&f)), FW_ESTABLISHED);
	assert_int_equal(tcp(0, FP_ACK), FW_ESTABLISHED);
	f.seq = 7;
	assert_int_equal(arrives(fp_make(&f)), FW_ESTABLISHED);
	assert_int_equal(tcp(0, FP_ACK), FW_INVALID);
	end();
}

static void refused_connections_end(void **state)
{
	begin(100, false);
	assert_int_equal(tcp(0, FP_SYN), FW_NEW);
	assert_int_equal(tcp(1, FP_RST | FP_ACK), FW_ESTABLISHED);
	assert_int_equal(tcp(1, FP_SYN | FP_ACK), FW_INVALID);
	end();
}

static void impossible_flags_are_invalid(void **state)
{
	static const unsigned bad[] = {
		0, FP_FIN, FP_SYN | FP_FIN,	     FP_SYN | FP_RST,
		8, 0x20,   FP_FIN | FP_RST | FP_ACK, 0x3f
	};

	begin(100, true);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tcp(0, bad[i]), FW_INVALID);
	handshake();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(tcp(0, bad[i]), FW_INVALID);
	end();
}

static void loose_takes_over(void **state)
{
	begin(100, true);
	assert_int_equal(tcp(0, FP_ACK), FW_NEW);
	assert_int_equal(tcp(0, FP_ACK), FW_NEW);
	assert_int_equal(tcp(1, FP_ACK), FW_ESTABLISHED);
	now += 900;
	assert_int_equal(tcp(0, FP_ACK), FW_ESTABLISHED);
	end();
}

static void udp_and_echo(void **state)
{
	struct fp there = { .protocol = 17, .port = { 1000, 53 } }, back;

	begin(100, false);
	for (unsigned i = 0; i < 3; i++) {
		if (i)
			there = (struct fp){ .protocol = i == 1 ? 1 : 58,
					     .v6 = i == 2,
					     .type = i == 1 ? 8 : 128,
					     .id = 77 };
		back = there;
		back.from = 1;
		back.type = i == 1 ? 0 : 129;
		fp_make(&there);
		fp_make(&back);
		/* Of a reply to nothing asked only ICMP can tell. */
		if (i)
			assert_int_equal(arrives(&back), FW_INVALID);
		assert_int_equal(arrives(&there), FW_NEW);
		now += 29;
		assert_int_equal(arrives(&there), FW_NEW);
		assert_int_equal(arrives(&back), FW_ESTABLISHED);
		assert_int_equal(arrives(&there), FW_ESTABLISHED);
		now += 199;
		assert_int_equal(arrives(&back), FW_ESTABLISHED);
		now += 201;
		assert_int_equal(arrives(&there), FW_NEW);
	}
	back.id = 78;
	assert_int_equal(arrives(fp_make(&back)), FW_INVALID);
	end();
}

static void errors_are_related(void **state)
{
	begin(100, false);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct fp udp = { .v6 = v6,
				  .protocol = 17,
				  .port = { 1000, 53 } };
		struct fp echo = { .v6 = v6,
				   .protocol = v6 ? 58 : 1,
				   .type = v6 ? 128 : 8,
				   .id = 5 };
		struct fp error = { .from = 1 };
		unsigned type = v6 ? 1 : 3;

		fp_make_error(&error, fp_make(&udp), type);
		assert_int_equal(arrives(&error), FW_INVALID);
		assert_int_equal(arrives(&udp), FW_NEW);
		assert_int_equal(arrives(&error), FW_RELATED);
		/* To somebody who did not send it. */
		error.from = 0;
		fp_make_error(&error, &udp, type);
		assert_int_equal(arrives(&error), FW_INVALID);
		error.from = 1;
		fp_make_error(&error, fp_make(&echo), type);
		assert_int_equal(arrives(&error), FW_INVALID);
		assert_int_equal(arrives(&echo), FW_NEW);
		assert_int_equal(arrives(&error), FW_RELATED);
		/* Cut anywhere, headers and all, nothing is related. */
		for (unsigned len = 14; len < error.len; len++) {
			struct fp cut = error;

			cut.len = len;
			if (v6 && len > 54)
				fp_put16(cut.data + 18, len - 54);
			else if (!v6 && len > 34)
				fp_put16(cut.data + 16, len - 14);
			assert_int_not_equal(arrives(&cut), FW_RELATED);
		}
	}
	end();
}

static void what_is_untracked(void **state)
{
	struct fp arp = { .protocol = 17 }, frag = { .protocol = 17 };
	struct fp nd = { .v6 = true, .protocol = 58, .type = 135 };
	struct fp odd = { .protocol = 17 };

	begin(100, false);
	fp_make(&arp);
	fp_put16(arp.data + 12, 0x0806);
	assert_int_equal(arrives(&arp), FW_UNTRACKED);
	fp_make(&frag);
	frag.data[20] = 0x20;
	assert_int_equal(arrives(&frag), FW_UNTRACKED);
	assert_int_equal(arrives(fp_make(&nd)), FW_UNTRACKED);
	fp_make(&odd);
	odd.data[14] = 0x43; /* a header of 12 bytes */
	assert_int_equal(arrives(&odd), FW_INVALID);
	end();
}

/* Whoever opens without end fills one table; what is up stays up. */
static void floods_fill_the_first_table_only(void **state)
{
	unsigned refused = 0;

	begin(16, false);
	handshake();
	for (unsigned i = 0; i < 1000; i++) {
		struct fp f = { .protocol = 6,
				.flags = FP_SYN,
				.port = { i, 443 } };
		struct glen_nf_packet p = { .data = f.data };
		struct classifier_key key;
		struct fw_seen seen;
		bool fresh;

		fp_make(&f);
		p.len = f.len;
		classifier_parse(p.data, p.len, p.len, 0, &key);
		assert_int_equal(fw_track_look(track, &p, key.w[CLASSIFIER_L4],
					       now, &seen, &fresh),
				 FW_NEW);
		assert_true(fresh);
		refused += !fw_track_make(track, &seen, now);
	}
	assert_in_range(refused, 1000 - 32, 1000 - 8);
	assert_int_equal(tcp(1, FP_ACK), FW_ESTABLISHED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_opens_and_closes),
		cmocka_unit_test(closed_connections_open_again),
		cmocka_unit_test(resets_need_the_number),
		cmocka_unit_test(refused_connections_end),
		cmocka_unit_test(impossible_flags_are_invalid),
		cmocka_unit_test(loose_takes_over),
		cmocka_unit_test(udp_and_echo),
		cmocka_unit_test(errors_are_related),
		cmocka_unit_test(what_is_untracked),
		cmocka_unit_test(floods_fill_the_first_table_only),
	};

	return cmocka_run_group_tests_name("nf_firewall_track", tests, NULL,
					   NULL);
}
