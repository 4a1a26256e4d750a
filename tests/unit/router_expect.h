/* SPDX-License-Identifier: BSD-2-Clause */
/* router_expect.h - what tests of the router expect to leave it. */
#ifndef TESTS_UNIT_ROUTER_EXPECT_H
#define TESTS_UNIT_ROUTER_EXPECT_H
#include "router_frames.h"

/* The next frame that left is this one, byte by byte. */
static inline void expect(unsigned port, const struct router_frame *f)
{
	assert_true(rr.n_out > 0);
	assert_int_equal(rr.out[0].port, port);
	assert_int_equal(rr.out[0].len, f->len);
	assert_memory_equal(rr.out[0].b, f->b, f->len);
	memmove(rr.out, rr.out + 1, --rr.n_out * sizeof(rr.out[0]));
}

static inline void expect_none(void)
{
	assert_int_equal(rr.n_out, 0);
}

static inline void finish(void)
{
	expect_none();
	assert_true(router_adds_up());
	router_close();
}

#endif
