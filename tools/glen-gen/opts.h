/* SPDX-License-Identifier: BSD-2-Clause */
/* opts.h - glen-gen's command line. */
#ifndef GEN_OPTS_H
#define GEN_OPTS_H
/*
 * One struct holds all options of all modes. opts_parse() checks everything
 * that can be checked without a port, so that what comes later need not.
 */
#include <stdbool.h>
#include <stdint.h>

#include <glen/glen.h>

#include "parse.h"
#include "payload.h"

enum gen_mode {
	MODE_SEND = 1,
	MODE_RECV = 2,
	MODE_PING = 4,
	MODE_PONG = 8,
	MODE_EMBEDDED = 16,
	MODE_ANY = 31,
};

struct gen_opts {
	enum gen_mode mode;
	const char *port; /* NULL for MODE_EMBEDDED; of argv */
	struct glen_port_config config;

	/* Frames. */
	struct frame_spec spec;
	struct sizes sizes;
	uint32_t flows, first_flow;
	bool check;

	/* When to stop; 0: never. Times in ns. */
	uint64_t count;
	uint64_t time;
	uint64_t idle;
	bool until_end; /* every flow's end marker came */

	/* How to send and receive. */
	struct rate rate;
	uint32_t batch;
	uint32_t burst;
	uint64_t interval; /* ping: ns between two */
	uint64_t timeout;  /* ping: ns after which one is lost */
	bool busy;
	int cpu;	    /* -1: wherever */
	unsigned threads;   /* embedded: 1 or 2 */
	const char *module; /* embedded: "learn" or "static" */

	/* How to report. */
	bool json;
	bool quiet;
	uint64_t every; /* ns between reports on the way; 0: no */
	bool expect_lossless;
	bool announce;
};

/* What to do after opts_parse(). */
enum opts_result {
	OPTS_RUN,
	OPTS_DONE,  /* help or version was printed: exit with 0 */
	OPTS_ERROR, /* a message was printed: exit with EXIT_USAGE */
};

/* Exit codes of glen-gen. */
enum {
	EXIT_LOSS = 1, /* --expect-lossless, and packets were lost */
	EXIT_USAGE = 2,
	EXIT_TROUBLE = 3, /* no glend, port closed, no memory */
};

enum opts_result opts_parse(int argc, char **argv, struct gen_opts *opts);

/* Bytes of a slot that are used, a multiple of 64. */
uint32_t opts_seg_max(uint32_t buf_size);

#endif
