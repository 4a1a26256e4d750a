/* SPDX-License-Identifier: BSD-2-Clause */
/* code.h - instructions of the program, as they are put together. */
#ifndef PORT_XDP_CODE_H
#define PORT_XDP_CODE_H
/*
 * Registers:   R6 context, R7 1 if a VLAN tag was put in, else 0,
 *              R8 start of the packet, R9 its end;
 * of a filter: R1 its accumulator, R2 its index register, R3 and R4 scratch;
 *              the stack from FP - CODE_MEM down to FP - CODE_MEM - 60 holds
 *              its memory words, FP - CODE_LEN the packet's length.
 *
 * A filter ends with jumps to its match or no-match label, which the caller of
 * xdp_filter_add() resolves: a jump to a label has the label's number in imm
 * and CODE_JUMP in its code until code_resolve().
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	CODE_MAX = 4096, /* what every kernel takes from everybody */
	CODE_MEM = 64,	 /* 16 words below */
	CODE_LEN = 136,
	CODE_PROTO = 144, /* of a tag */
	CODE_TCI = 152,
};

enum code_label { LABEL_MATCH, LABEL_NO_MATCH, LABEL_DROP, LABELS };

struct bpf_code {
	struct bpf_insn insn[CODE_MAX];
	unsigned n;
	bool overflow;		    /* did not fit */
	uint8_t label_of[CODE_MAX]; /* jump target, plus 1; 0: as in off */
	unsigned at[LABELS];
};

static inline void code_add(struct bpf_code *c, uint8_t op, uint8_t dst,
			    uint8_t src, int16_t off, int32_t imm)
{
	if (c->n == CODE_MAX) {
		c->overflow = true;
		return;
	}
	c->label_of[c->n] = 0;
	c->insn[c->n++] = (struct bpf_insn){ .code = op,
					     .dst_reg = dst,
					     .src_reg = src,
					     .off = off,
					     .imm = imm };
}

/* A jump to a label. */
static inline void code_jump(struct bpf_code *c, uint8_t op, uint8_t dst,
			     uint8_t src, int32_t imm, enum code_label to)
{
	code_add(c, op, dst, src, 0, imm);
	if (!c->overflow)
		c->label_of[c->n - 1] = 1 + to;
}

static inline void code_label(struct bpf_code *c, enum code_label label)
{
	c->at[label] = c->n;
}

/* All labels are known: fills in the jumps. False if one is too far. */
static inline bool code_resolve(struct bpf_code *c)
{
	for (unsigned i = 0; i < c->n && !c->overflow; i++) {
		int off;

		if (!c->label_of[i])
			continue;
		off = (int)c->at[c->label_of[i] - 1] - (int)i - 1;
		if (off > INT16_MAX || off < INT16_MIN)
			return false;
		c->insn[i].off = off;
	}
	return !c->overflow;
}

/* 64-bit register move and operations, loads and stores. */
enum {
	OP_MOV = BPF_ALU64 | BPF_MOV | BPF_X,
	OP_MOVI = BPF_ALU64 | BPF_MOV | BPF_K,
	OP_ADD = BPF_ALU64 | BPF_ADD | BPF_X,
	OP_ADDI = BPF_ALU64 | BPF_ADD | BPF_K,
	OP_MOV32 = BPF_ALU | BPF_MOV | BPF_X,
	OP_MOVI32 = BPF_ALU | BPF_MOV | BPF_K,
	OP_JA = BPF_JMP | BPF_JA,
	OP_CALL = BPF_JMP | BPF_CALL,
	OP_EXIT = BPF_JMP | BPF_EXIT,
	OP_JGT = BPF_JMP | BPF_JGT | BPF_X,
	OP_JGTI = BPF_JMP | BPF_JGT | BPF_K,
	OP_JEQI = BPF_JMP | BPF_JEQ | BPF_K,
	OP_JNEI = BPF_JMP | BPF_JNE | BPF_K,
};

#endif
