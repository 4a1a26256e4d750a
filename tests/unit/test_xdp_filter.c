// SPDX-License-Identifier: BSD-2-Clause
// test_xdp_filter.c - filters mean the same at an interface as in libpcap.
#define bpf_insn bpf_insn_classic
#include <pcap.h>
#undef bpf_insn

#include <errno.h>

#include "port/xdp/code.h"
#include "port/xdp/xdp.h"
#include "unit.h"

enum { PACKETS = 3000, PACKET_MAX = 200, STEPS_MAX = 20000 };

static struct bpf_code code;
static unsigned seed = 1;

static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

/* What the program would do: the instructions a filter may use. */
struct machine {
	uint64_t r[11];
	uint8_t stack[512] __attribute__((aligned(8)));
	const uint8_t *start, *end;
};

static uint64_t read_mem(struct machine *m, uint64_t at, unsigned size)
{
	const uint8_t *p = (const uint8_t *)(uintptr_t)at;
	uint64_t v = 0;
	bool stack = p >= m->stack && p + size <= m->stack + sizeof(m->stack);

	/* The verifier would refuse it. */
	assert_true(stack || (p >= m->start && p + size <= m->end));
	memcpy(&v, p, size);
	return v;
}

static unsigned size_of(uint8_t op)
{
	switch (BPF_SIZE(op)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

static uint64_t alu(uint8_t op, uint64_t a, uint64_t b)
{
	bool wide = BPF_CLASS(op) == BPF_ALU64;
	uint64_t mask = wide ? UINT64_MAX : UINT32_MAX;
	unsigned bits = wide ? 63 : 31;

	a &= mask;
	b &= mask;
	switch (BPF_OP(op)) {
	case BPF_ADD:
		return (a + b) & mask;
	case BPF_SUB:
		return (a - b) & mask;
	case BPF_MUL:
		return (a * b) & mask;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_MOD:
		return b ? a % b : a;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return (a << (b & bits)) & mask;
	case BPF_RSH:
		return a >> (b & bits);
	case BPF_NEG:
		return -a & mask;
	case BPF_MOV:
		return b;
	}
	fail_msg("unknown operation %#x", op);
	return 0;
}

static bool jump(uint8_t op, uint64_t a, uint64_t b)
{
	if (BPF_CLASS(op) == BPF_JMP32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (BPF_OP(op)) {
	case BPF_JA:
		return true;
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return a & b;
	}
	fail_msg("unknown jump %#x", op);
	return false;
}

static uint64_t to_be(uint64_t v, int bits)
{
	return bits == 16 ? __builtin_bswap16(v) : __builtin_bswap32(v);
}

/* Where the filter ends: code.n for a match, code.n + 1 for none. */
static unsigned run(struct machine *m)
{
	unsigned pc = 0;

	for (unsigned steps = 0; pc < code.n; steps++) {
		const struct bpf_insn *in = &code.insn[pc++];
		uint64_t b = in->code & BPF_X ? m->r[in->src_reg] :
						(uint64_t)(int64_t)in->imm;

		assert_true(steps < STEPS_MAX);
		switch (BPF_CLASS(in->code)) {
		case BPF_LDX:
			m->r[in->dst_reg] = read_mem(m,
						     m->r[in->src_reg] +
							     in->off,
						     size_of(in->code));
			break;
		case BPF_STX:
			memcpy((void *)(uintptr_t)(m->r[in->dst_reg] + in->off),
			       &m->r[in->src_reg], size_of(in->code));
			break;
		case BPF_ALU:
		case BPF_ALU64:
			m->r[in->dst_reg] = BPF_OP(in->code) == BPF_END ?
						    to_be(m->r[in->dst_reg],
							  in->imm) :
						    alu(in->code,
							m->r[in->dst_reg], b);
			break;
		case BPF_JMP:
		case BPF_JMP32:
			if (jump(in->code, m->r[in->dst_reg], b))
				pc += in->off;
			break;
		default:
			fail_msg("unknown class %#x", in->code);
		}
	}
	return pc;
}

static bool matches(const uint8_t *packet, unsigned len)
{
	struct machine m = { .start = packet, .end = packet + len };
	uint32_t stored = len;

	memset(m.stack, 0xee, sizeof(m.stack));
	m.r[BPF_REG_8] = (uintptr_t)packet;
	m.r[BPF_REG_9] = (uintptr_t)packet + len;
	m.r[BPF_REG_10] = (uintptr_t)m.stack + sizeof(m.stack);
	memcpy(m.stack + sizeof(m.stack) - CODE_LEN, &stored, 4);
	return run(&m) == code.n;
}

/* Something that filters look at: types, addresses and ports of a few kinds. */
static unsigned make_packet(uint8_t *p)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x0806,
					  0x8100, 0x8847, 0x8864 };
	static const uint8_t protos[] = { 6, 17, 1, 58, 0, 44, 132 };
	unsigned len = 14 + rnd(PACKET_MAX - 14), at = 12;
	uint16_t type = types[rnd(6)];

	for (unsigned i = 0; i < PACKET_MAX; i++)
		p[i] = rnd(4) ? rnd(8) : rnd(256);
	memset(p, rnd(2) ? 0xff : 2, 6);
	if (rnd(3) == 0)
		memcpy(p, "\x02\0\0\0\0\x99", 6);
	for (; type == 0x8100 && at < 20; at += 4, type = types[rnd(6)]) {
		p[at] = 0x81;
		p[at + 1] = 0;
		p[at + 2] = 0;
		p[at + 3] = 5;
	}
	p[at] = type >> 8;
	p[at + 1] = type;
	at += 2;
	if (type == 0x0800) {
		p[at] = 0x40 | (5 + (rnd(3) == 0));
		p[at + 9] = protos[rnd(7)];
		p[at + 6] = rnd(4) ? 0 : 0x20;
		memcpy(p + at + 12, "\x0a\0\0\1\x0a\0\0\2", 8);
	} else if (type == 0x86dd) {
		p[at] = 0x60;
		p[at + 6] = protos[rnd(7)];
		memcpy(p + at + 8, "\xfd\0", 2);
	}
	return len;
}

static const char *const filters[] = {
	"ip",
	"ip6",
	"arp",
	"tcp or udp",
	"udp port 1",
	"vlan 5",
	"vlan 5 and tcp",
	"vlan and vlan and ip6",
	"ether host 02:00:00:00:00:99",
	"net 10.0.0.0/8",
	"ip6 net fd00::/16",
	"portrange 1-1000",
	"tcp[tcpflags] & tcp-syn != 0",
	"len > 100",
	"less 50 or greater 150",
	"icmp6 and ip6[40] = 135",
	"ip[2:2] / 4 * 3 - 1 > 100",
	"(ip[0] & 0xf) << ip[1] > 1 or 1 >> ip[8] = 1",
	"ether[20] % ether[21] = 2",
	"ether[20] / (ether[21] - ether[22]) = 1",
	"not (tcp or udp) and not ether broadcast",
	"mpls 16",
	"pppoes 1",
	"ip[ip[0] & 0xf:4] = 1 or -ether[3] = 0xfffffffe",
	"ether[ether[14:4]] = 3",
	"ether[ether[14] - ether[15]:2] > 3",
	"tcp port 1 or tcp port 443 or host 10.0.0.1 or host fd00::1",
	"ether[14:4] & ether[18:4] | ether[20:4] > 0x80000000",
	"ether[14:4] ^ ether[15:4] >= 0xf0000000",
};

static void test_same_as_libpcap(void **state)
{
	unsigned hits = 0, all = 0;

	for (unsigned f = 0; f < sizeof(filters) / sizeof(*filters); f++) {
		pcap_t *handle = pcap_open_dead(DLT_EN10MB, 65535);
		struct bpf_program program;
		struct glen_error error;

		memset(&code, 0, sizeof(code));
		assert_int_equal(pcap_compile(handle, &program, filters[f], 1,
					      PCAP_NETMASK_UNKNOWN),
				 0);
		if (xdp_filter_add(filters[f], &code, &error))
			fail_msg("%s", error.text);
		code_label(&code, LABEL_MATCH);
		code.at[LABEL_NO_MATCH] = code.n + 1;
		assert_true(code_resolve(&code));
		for (unsigned i = 0; i < PACKETS; i++) {
			uint8_t packet[PACKET_MAX];
			struct pcap_pkthdr h = { .len = make_packet(packet) };
			bool want;

			h.caplen = h.len;
			want = pcap_offline_filter(&program, &h, packet) != 0;
			hits += want;
			all++;
			if (matches(packet, h.len) != want)
				fail_msg("\"%s\": packet %u should%s match",
					 filters[f], i, want ? "" : " not");
		}
		pcap_freecode(&program);
		pcap_close(handle);
	}
	assert_true(hits > all / 20 && hits < all - all / 20);
}

static void test_refused(void **state)
{
	struct glen_error error;

	assert_int_equal(xdp_filter_check("udp prot 7", &error), -EINVAL);
	assert_non_null(strstr(error.text, "udp prot 7"));
	assert_int_equal(xdp_filter_check("ether[20000] = 1", &error), -ERANGE);
	assert_int_equal(xdp_filter_check("ether[16000] = 1", &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_as_libpcap),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
