// SPDX-License-Identifier: BSD-2-Clause
// filter.c - filter expressions as instructions of the program.
/*
 * libpcap compiles an expression to classic BPF, a machine with an accumulator,
 * an index register and 16 words of memory that reads the packet by offsets.
 * Each of its instructions becomes a few of the kernel's; a read behind the
 * packet's end means that the filter does not match, as it does there.
 */
/* libpcap and the kernel have a struct of this name each. */
#define bpf_insn bpf_insn_classic
#include <pcap.h>
#undef bpf_insn

#include <errno.h>
#include <stdlib.h>

#include "lib/error.h"
#include "port/xdp/code.h"
#include "port/xdp/xdp.h"

enum {
	A = BPF_REG_1,
	X = BPF_REG_2,
	T = BPF_REG_3,
	U = BPF_REG_4,
	START = BPF_REG_8,
	END = BPF_REG_9,
	FP = BPF_REG_10,
	/* Offsets in a packet that the kernel's verifier can follow. */
	REACH = 0x3fff,
	PCAP_SNAP = 65535,
	/* Classic: which the kernel's header calls by other names. */
	CLASSIC_MSH = 0xa0,
	CLASSIC_LEN = 0x80,
	CLASSIC_IMM = 0x00,
	CLASSIC_ABS = 0x20,
	CLASSIC_IND = 0x40,
	CLASSIC_MEM = 0x60,
	CLASSIC_LD = 0,
	CLASSIC_LDX = 1,
	CLASSIC_ST = 2,
	CLASSIC_STX = 3,
	CLASSIC_ALU = 4,
	CLASSIC_JMP = 5,
	CLASSIC_RET = 6,
	CLASSIC_MISC = 7,
	CLASSIC_A = 0x10, /* of RET */
	CLASSIC_TXA = 0x80,
};

static int compile(const char *expression, struct bpf_program *program,
		   struct glen_error *error)
{
	pcap_t *handle = pcap_open_dead(DLT_EN10MB, PCAP_SNAP);
	int err = 0;

	if (!handle)
		return error_set(error, -ENOMEM, "out of memory");
	if (pcap_compile(handle, program, expression, 1, PCAP_NETMASK_UNKNOWN))
		err = error_set(error, -EINVAL,
				"filter \"%.100s\": %.120s; see "
				"pcap-filter(7)",
				expression, pcap_geterr(handle));
	pcap_close(handle);
	return err;
}

static uint8_t size_of(uint16_t code)
{
	return code & 0x18; /* W 0, H 8, B 16: the same numbers as the kernel's
			     */
}

static unsigned bytes_of(uint16_t code)
{
	return size_of(code) == BPF_W ? 4 : size_of(code) == BPF_H ? 2 : 1;
}

/* dst = what lies size bytes wide at base + off, in network byte order. */
static void load(struct bpf_code *c, uint16_t code, unsigned dst, unsigned base,
		 unsigned off)
{
	code_add(c, BPF_LDX | BPF_MEM | size_of(code), dst, base, off, 0);
	if (bytes_of(code) > 1)
		code_add(c, BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0,
			 8 * bytes_of(code));
}

/* dst = packet[k]. */
static int load_abs(struct bpf_code *c, uint16_t code, unsigned dst, uint32_t k)
{
	if (k > REACH)
		return -ERANGE;
	code_add(c, OP_MOV, T, START, 0, 0);
	code_add(c, OP_ADDI, T, 0, 0, k + bytes_of(code));
	code_jump(c, OP_JGT, T, END, 0, LABEL_NO_MATCH);
	load(c, code, dst, START, k);
	return 0;
}

/* A = packet[X + k]. */
static int load_ind(struct bpf_code *c, uint16_t code, uint32_t k)
{
	if (k > REACH)
		return -ERANGE;
	code_add(c, OP_MOV32, T, X, 0, 0);
	code_jump(c, OP_JGTI, T, 0, REACH, LABEL_NO_MATCH);
	code_add(c, OP_MOV, U, START, 0, 0);
	code_add(c, OP_ADD, U, T, 0, 0);
	code_add(c, OP_MOV, T, U, 0, 0);
	code_add(c, OP_ADDI, T, 0, 0, k + bytes_of(code));
	code_jump(c, OP_JGT, T, END, 0, LABEL_NO_MATCH);
	load(c, code, A, U, k);
	return 0;
}

static int mem_off(uint32_t k)
{
	return -CODE_MEM - 4 * (int)(k & 15);
}

/* LD and LDX. */
static int add_load(struct bpf_code *c, const struct bpf_insn_classic *in)
{
	unsigned dst = (in->code & 7) == CLASSIC_LD ? A : X;

	switch (in->code & 0xe0) {
	case CLASSIC_IMM:
		code_add(c, OP_MOVI32, dst, 0, 0, in->k);
		return 0;
	case CLASSIC_ABS:
		return load_abs(c, in->code, dst, in->k);
	case CLASSIC_IND:
		return load_ind(c, in->code, in->k);
	case CLASSIC_MEM:
		code_add(c, BPF_LDX | BPF_MEM | BPF_W, dst, FP, mem_off(in->k),
			 0);
		return 0;
	case CLASSIC_LEN:
		code_add(c, BPF_LDX | BPF_MEM | BPF_W, dst, FP, -CODE_LEN, 0);
		return 0;
	case CLASSIC_MSH: /* X = 4 * (packet[k] & 15) */
		if (load_abs(c, BPF_B, X, in->k))
			return -ERANGE;
		code_add(c, BPF_ALU | BPF_AND | BPF_K, X, 0, 0, 15);
		code_add(c, BPF_ALU | BPF_LSH | BPF_K, X, 0, 0, 2);
		return 0;
	}
	return -EOPNOTSUPP;
}

static int add_alu(struct bpf_code *c, const struct bpf_insn_classic *in)
{
	uint8_t op = in->code & 0xf0;
	bool by_x = in->code & BPF_X;
	bool shift = op == BPF_LSH || op == BPF_RSH;

	if (op > BPF_XOR) /* NEG is the only one between */
		return -EOPNOTSUPP;
	if (op == BPF_NEG) {
		code_add(c, BPF_ALU | BPF_NEG, A, 0, 0, 0);
		return 0;
	}
	if (!by_x) {
		if (shift && in->k > 31)
			code_add(c, OP_MOVI32, A, 0, 0, 0);
		else
			code_add(c, BPF_ALU | op | BPF_K, A, 0, 0, in->k);
		return 0;
	}
	if (op == BPF_DIV || op == BPF_MOD)
		code_jump(c, OP_JEQI, X, 0, 0, LABEL_NO_MATCH);
	if (shift) { /* by 32 or more: 0 */
		code_add(c, BPF_JMP | BPF_JLE | BPF_K, X, 0, 2, 31);
		code_add(c, OP_MOVI32, A, 0, 0, 0);
		code_add(c, OP_JA, 0, 0, 1, 0);
	}
	code_add(c, BPF_ALU | op | BPF_X, A, X, 0, 0);
	return 0;
}

/* Where classic instructions begin, and the jumps between them. */
struct places {
	unsigned at[BPF_MAXINSNS + 1];
	uint16_t to[CODE_MAX]; /* of jumps: the classic target, plus 1 */
};

static void jump_to(struct bpf_code *c, struct places *p, uint8_t op, bool by_x,
		    uint32_t k, unsigned target)
{
	code_add(c, op, op == OP_JA ? 0 : A, by_x ? X : 0, 0, k);
	if (!c->overflow)
		p->to[c->n - 1] = target + 1;
}

static void add_jump(struct bpf_code *c, struct places *p, unsigned i,
		     const struct bpf_insn_classic *in)
{
	bool by_x = in->code & BPF_X;

	if ((in->code & 0xf0) == BPF_JA) {
		jump_to(c, p, OP_JA, false, 0, i + 1 + in->k);
		return;
	}
	jump_to(c, p, BPF_JMP32 | (in->code & 0xf8), by_x, by_x ? 0 : in->k,
		i + 1 + in->jt);
	jump_to(c, p, OP_JA, false, 0, i + 1 + in->jf);
}

static void add_ret(struct bpf_code *c, const struct bpf_insn_classic *in)
{
	if (in->code & CLASSIC_A) {
		code_jump(c, BPF_JMP32 | BPF_JNE | BPF_K, A, 0, 0, LABEL_MATCH);
		code_jump(c, OP_JA, 0, 0, 0, LABEL_NO_MATCH);
		return;
	}
	code_jump(c, OP_JA, 0, 0, 0, in->k ? LABEL_MATCH : LABEL_NO_MATCH);
}

static int add_one(struct bpf_code *c, struct places *p, unsigned i,
		   const struct bpf_insn_classic *in)
{
	switch (in->code & 7) {
	case CLASSIC_LD:
	case CLASSIC_LDX:
		return add_load(c, in);
	case CLASSIC_ST:
	case CLASSIC_STX:
		code_add(c, BPF_STX | BPF_MEM | BPF_W, FP,
			 (in->code & 7) == CLASSIC_ST ? A : X, mem_off(in->k),
			 0);
		return 0;
	case CLASSIC_ALU:
		return add_alu(c, in);
	case CLASSIC_JMP:
		add_jump(c, p, i, in);
		return 0;
	case CLASSIC_RET:
		add_ret(c, in);
		return 0;
	case CLASSIC_MISC:
		if (in->code & CLASSIC_TXA)
			code_add(c, OP_MOV32, A, X, 0, 0);
		else
			code_add(c, OP_MOV32, X, A, 0, 0);
		return 0;
	}
	return -EOPNOTSUPP;
}

/* What a filter may read must have been written. */
static void add_start(struct bpf_code *c)
{
	code_add(c, OP_MOVI, A, 0, 0, 0);
	code_add(c, OP_MOVI, X, 0, 0, 0);
	for (unsigned i = 0; i < 16; i++)
		code_add(c, BPF_STX | BPF_MEM | BPF_W, FP, A, mem_off(i), 0);
}

static int translate(const struct bpf_program *program, struct bpf_code *c,
		     struct places *p)
{
	int err = 0;

	add_start(c);
	for (unsigned i = 0; !err && i < program->bf_len; i++) {
		p->at[i] = c->n;
		err = add_one(c, p, i, &program->bf_insns[i]);
	}
	for (unsigned i = 0; !err && i < c->n; i++) {
		int off;

		if (!p->to[i])
			continue;
		if (p->to[i] > program->bf_len)
			return -EINVAL;
		off = (int)p->at[p->to[i] - 1] - (int)i - 1;
		if (off > INT16_MAX)
			return -E2BIG;
		c->insn[i].off = off;
	}
	return err ? err : c->overflow ? -E2BIG : 0;
}

int xdp_filter_add(const char *expression, struct bpf_code *code,
		   struct glen_error *error)
{
	struct places *p = calloc(1, sizeof(*p));
	struct bpf_program program = { 0 };
	int err;

	if (!p)
		return error_set(error, -ENOMEM, "out of memory");
	err = compile(expression, &program, error);
	if (err)
		goto out;
	err = translate(&program, code, p);
	if (err == -ERANGE)
		error_set(error, err,
			  "filter \"%.100s\" looks further into packets than "
			  "%d bytes",
			  expression, REACH);
	else if (err == -E2BIG)
		error_set(error, err, "filter \"%.100s\" is too long",
			  expression);
	else if (err)
		error_set(error, err,
			  "filter \"%.100s\" needs what cannot be done at an "
			  "interface",
			  expression);
	pcap_freecode(&program);
out:
	free(p);
	return err;
}

int xdp_filter_check(const char *expression, struct glen_error *error)
{
	struct bpf_code *code = calloc(1, sizeof(*code));
	int err;

	if (!code)
		return error_set(error, -ENOMEM, "out of memory");
	err = xdp_filter_add(expression, code, error);
	free(code);
	return err;
}
