// SPDX-License-Identifier: BSD-2-Clause
// test_nf_firewall_reject.c - refused packets become their answers.
#include "unit.h"

#include "firewall_packet.h"
#include "nf/firewall/instance.h"
#include "nf_rig.h"
#include "packet.h"

enum { PORT = 5, ROOM = 200 };

static struct glen_nf *firewall;
static struct fw_thread thread;
static struct fw fw;
static uint8_t buffer[ROOM + FP_MAX];

static void begin(void)
{
	rig_create(NULL);
	firewall = rig_add(&pass, NULL); /* whose thread counts */
	fw.config.answers[PORT] = true;
	fw.config.reject_rate = 1000;
	thread = (struct fw_thread){ .fw = &fw };
}

static uint32_t reject_at(const struct fp *f, unsigned room,
			  struct glen_nf_packet *p)
{
	memcpy(buffer, f->data, f->len);
	*p = (struct glen_nf_packet){ .data = buffer,
				      .len = f->len,
				      .tailroom = (uint16_t)room,
				      .in = PORT };
	return fw_reject(firewall->runners[0]->t, &thread, p);
}

static bool is_answered(const struct fp *f, struct glen_nf_packet *p)
{
	uint32_t verdict = reject_at(f, ROOM, p);

	if (verdict == glen_nf_out(PORT))
		return true;
	assert_int_equal(verdict, glen_nf_drop(FW_R_NO_ANSWER));
	return false;
}

/* MACs and addresses are turned round, the headers' sums are right. */
static void check_headers(const struct fp *f, const struct glen_nf_packet *p,
			  unsigned protocol, unsigned l4_len)
{
	const uint8_t *ip = p->data + 14;
	unsigned ip_len = f->v6 ? 40 : 20, n = f->v6 ? 16 : 4;
	unsigned at = f->v6 ? 8 : 12;

	assert_memory_equal(p->data, f->data + 6, 6);
	assert_memory_equal(p->data + 6, f->data, 6);
	assert_memory_equal(ip + at, f->data + 14 + at + n, n);
	assert_memory_equal(ip + at + n, f->data + 14 + at, n);
	assert_int_equal(ip[f->v6 ? 6 : 9], protocol);
	assert_int_equal(p->len, 14 + ip_len + l4_len);
	if (f->v6) {
		assert_int_equal(ip[4] << 8 | ip[5], l4_len);
	} else {
		assert_int_equal(ip[2] << 8 | ip[3], 20 + l4_len);
		assert_int_equal(slow_sum(0, ip, 20), 0xffff);
	}
	if (protocol == 1)
		assert_int_equal(slow_sum(0, ip + 20, l4_len), 0xffff);
	else
		assert_int_equal(slow_l4(ip, f->v6 ? 6 : 4, (int)protocol,
					 ip + at + n, ip + ip_len, l4_len),
				 0);
}

static void tcp_is_reset(void **state)
{
	begin();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct fp f = { .v6 = v6,
				.protocol = 6,
				.flags = FP_SYN,
				.port = { 1000, 80 },
				.seq = 77,
				.ack = 99 };
		struct glen_nf_packet p;
		const uint8_t *tcp = buffer + (v6 ? 54 : 34);

		assert_true(is_answered(fp_make(&f), &p));
		check_headers(&f, &p, 6, 20);
		assert_memory_equal(tcp, "\0\x50\x03\xe8", 4);
		assert_memory_equal(tcp + 4, "\0\0\0\0\0\0\0\x4e", 8);
		assert_int_equal(tcp[13], FP_RST | FP_ACK);
		f.flags = FP_ACK;
		assert_true(is_answered(fp_make(&f), &p));
		check_headers(&f, &p, 6, 20);
		assert_memory_equal(tcp + 4, "\0\0\0\x63\0\0\0\0", 8);
		assert_int_equal(tcp[13], FP_RST);
		f.flags = FP_RST;
		assert_false(is_answered(fp_make(&f), &p));
		f.flags = FP_SYN;
		fp_make(&f);
		f.data[v6 ? 66 : 46] = 0xf0; /* a header beyond the packet */
		assert_false(is_answered(&f, &p));
		f.data[v6 ? 66 : 46] = 0x10;
		assert_false(is_answered(&f, &p));
	}
	rig_destroy();
}

static void all_else_is_prohibited(void **state)
{
	begin();
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct fp f = { .v6 = v6,
				.protocol = 17,
				.port = { 1000, 53 } };
		unsigned quoted = v6 ? 48 : 28;
		struct glen_nf_packet p;
		const uint8_t *icmp = buffer + (v6 ? 54 : 34);

		assert_true(is_answered(fp_make(&f), &p));
		check_headers(&f, &p, v6 ? 58 : 1, 8 + quoted);
		assert_int_equal(icmp[0], v6 ? 1 : 3);
		assert_int_equal(icmp[1], v6 ? 1 : 13);
		assert_memory_equal(icmp + 8, f.data + 14, quoted);
		f.protocol = v6 ? 58 : 1;
		f.type = v6 ? 128 : 8;
		assert_true(is_answered(fp_make(&f), &p));
		f.type = v6 ? 1 : 3;
		assert_false(is_answered(fp_make(&f), &p));
	}
	rig_destroy();
}

static void nobody_else_is_answered(void **state)
{
	struct fp f = { .protocol = 17 }, bad;
	struct glen_nf_packet p;

	begin();
	fp_make(&f);
	assert_true(is_answered(&f, &p));
	bad = f;
	bad.data[0] |= 1; /* to a group */
	assert_false(is_answered(&bad, &p));
	bad = f;
	bad.data[30] = 224;
	assert_false(is_answered(&bad, &p));
	bad = f;
	bad.data[26] = 224;
	assert_false(is_answered(&bad, &p));
	bad = f;
	bad.data[20] = 0x20; /* a fragment */
	assert_false(is_answered(&bad, &p));
	bad = f;
	fp_put16(bad.data + 12, 0x0806);
	assert_false(is_answered(&bad, &p));
	bad = f;
	for (bad.len = 14; bad.len < f.len; bad.len++)
		assert_false(is_answered(&bad, &p));
	assert_int_equal(reject_at(&f, 27, &p), glen_nf_drop(FW_R_NO_ANSWER));
	fw.config.answers[PORT] = false;
	assert_false(is_answered(&f, &p));
	rig_destroy();
}

static void answers_have_a_rate(void **state)
{
	struct fp f = { .protocol = 17 };
	struct glen_nf_packet p;
	unsigned n = 0;

	begin();
	fw.config.reject_rate = 3;
	thread.rejected.since_ns = glen_nf_now_ns(firewall->runners[0]->t);
	fp_make(&f);
	for (unsigned i = 0; i < 10; i++)
		n += is_answered(&f, &p);
	assert_int_equal(n, 3);
	rig_destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_is_reset),
		cmocka_unit_test(all_else_is_prohibited),
		cmocka_unit_test(nobody_else_is_answered),
		cmocka_unit_test(answers_have_a_rate),
	};

	return cmocka_run_group_tests_name("nf_firewall_reject", tests, NULL,
					   NULL);
}
