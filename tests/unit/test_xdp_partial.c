// SPDX-License-Identifier: BSD-2-Clause
// test_xdp_partial.c - checksums that a sender left to its interface are seen.
#include "port/xdp/partial.h"

#include "core/checksum.h"
#include "unit.h"

struct frame {
	uint8_t b[300];
	unsigned len, l4, l4_len, field;
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = v >> 8;
	p[1] = v;
}

/* A TCP (6) or UDP (17) packet with tags VLAN tags and data bytes of data. */
static struct frame make(bool v6, unsigned proto, unsigned tags, unsigned ext,
			 unsigned data)
{
	struct frame f = { .field = proto == 6 ? 16 : 6 };
	unsigned at = 12;

	for (unsigned i = 0; i < sizeof(f.b); i++)
		f.b[i] = i * 7;
	for (unsigned i = 0; i < tags; i++, at += 4)
		put16(f.b + at, i ? 0x8100 : 0x88a8);
	put16(f.b + at, v6 ? 0x86dd : 0x0800);
	at += 2;
	f.l4_len = (proto == 6 ? 20 : 8) + data;
	if (v6) {
		f.b[at] = 0x60;
		put16(f.b + at + 4, 8 * ext + f.l4_len);
		f.b[at + 6] = ext ? 0 : proto;
		at += 40;
		for (unsigned i = 0; i < ext; i++, at += 8) {
			f.b[at] = i + 1 < ext ? 60 : proto;
			f.b[at + 1] = 0;
		}
	} else {
		f.b[at] = 0x45 + ext;
		put16(f.b + at + 2, 20 + 4 * ext + f.l4_len);
		put16(f.b + at + 6, 0x4000);
		f.b[at + 9] = proto;
		at += 20 + 4 * ext;
	}
	f.l4 = at;
	f.len = at + f.l4_len;
	return f;
}

static uint16_t pseudo(const struct frame *f, bool v6, unsigned proto,
		       unsigned ip)
{
	const uint8_t tail[4] = { f->l4_len >> 8, f->l4_len, 0, proto };
	uint64_t sum = v6 ? checksum_best()(f->b + ip + 8, 32) :
			    checksum_best()(f->b + ip + 12, 8);

	return checksum_fold(sum + checksum_best()(tail, 4));
}

static void store(struct frame *f, uint16_t csum)
{
	memcpy(f->b + f->l4 + f->field, &csum, 2);
}

static void one(bool v6, unsigned proto, unsigned tags, unsigned ext)
{
	struct frame f = make(v6, proto, tags, ext, 41);
	uint16_t sum = pseudo(&f, v6, proto, 14 + 4 * tags);
	struct offload off;

	store(&f, sum);
	assert_true(partial_check(f.b, f.len, f.len, &off));
	assert_int_equal(off.flags, OFFLOAD_NEEDS_CSUM);
	assert_int_equal(off.csum_start, f.l4);
	assert_int_equal(off.csum_offset, f.field);
	assert_int_equal(off.gso_type, OFFLOAD_GSO_NONE);
	/* Behind the frame's end there may be padding. */
	assert_true(partial_check(f.b, f.len + 5, f.len + 5, &off));
	/* Only the headers are in the first piece. */
	assert_true(partial_check(f.b, f.l4 + f.field + 2, f.len, &off));
	assert_false(partial_check(f.b, f.l4 + f.field + 1, f.len, &off));
	assert_false(partial_check(f.b, f.len, f.len - 1, &off));
	/* Complete, or wrong in another way. */
	store(&f, ~sum);
	assert_false(partial_check(f.b, f.len, f.len, &off));
	store(&f, sum + 1);
	assert_false(partial_check(f.b, f.len, f.len, &off));
	/* However short it is cut, nothing behind is read. */
	store(&f, sum);
	for (unsigned n = 0; n < f.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		memcpy(copy, f.b, n);
		partial_check(copy, n, f.len, &off);
		free(copy);
	}
}

static void test_seen(void **state)
{
	for (unsigned tags = 0; tags < 3; tags++)
		for (unsigned ext = 0; ext < 4; ext++) {
			one(false, 6, tags, ext);
			one(false, 17, tags, ext);
			one(true, 6, tags, ext);
			one(true, 17, tags, ext);
		}
}

static void test_not_these(void **state)
{
	struct frame f = make(false, 17, 0, 0, 20);
	struct offload off;

	store(&f, pseudo(&f, false, 17, 14));
	assert_true(partial_check(f.b, f.len, f.len, &off));
	put16(f.b + 14 + 6, 0x2000); /* a fragment, the first */
	assert_false(partial_check(f.b, f.len, f.len, &off));
	put16(f.b + 14 + 6, 1); /* another one */
	assert_false(partial_check(f.b, f.len, f.len, &off));
	put16(f.b + 14 + 6, 0);
	f.b[14] = 0x44; /* a header that is too short */
	assert_false(partial_check(f.b, f.len, f.len, &off));
	f = make(false, 132, 0, 0, 20);
	assert_false(partial_check(f.b, f.len, f.len, &off));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_not_these),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
