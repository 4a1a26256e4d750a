// SPDX-License-Identifier: BSD-2-Clause
// test_preload_request.c - lists of options: what is read and what refused.
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "netmap/preload/preload.h"

static struct request q;

static struct nmreq_option option(uint32_t type, const void *next)
{
	return (struct nmreq_option){ .nro_reqtype = type,
				      .nro_next = (uintptr_t)next };
}

static int read_list(unsigned type, const void *first)
{
	memset(&q, 0, sizeof(q));
	q.hdr.nr_reqtype = (uint16_t)type;
	return request_read_options(&q, (uintptr_t)first);
}

static void test_known(void **state)
{
	struct nmreq_opt_offsets offsets = {
		.nro_opt = option(NETMAP_REQ_OPT_OFFSETS, NULL),
		.nro_max_offset = 64,
	};
	struct nmreq_opt_csb csb = { .nro_opt = option(NETMAP_REQ_OPT_CSB,
						       &offsets) };

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &csb), 0);
	request_know_options(&q);
	assert_false(q.odd);
	assert_non_null(q.csb);
	assert_non_null(q.offsets);
	assert_int_equal(q.offsets->nro_max_offset, 64);
	q.offsets->nro_max_offset = 128;
	request_finish_options(&q, 0);
	assert_int_equal(csb.nro_opt.nro_status, 0);
	assert_int_equal(offsets.nro_max_offset, 128);
}

/* The same options belong to another request: nobody knows them. */
static void test_not_of_this_request(void **state)
{
	struct nmreq_opt_offsets offsets = {
		.nro_opt = option(NETMAP_REQ_OPT_OFFSETS, NULL),
		.nro_max_offset = 64,
	};

	assert_int_equal(read_list(NETMAP_REQ_CSB_ENABLE, &offsets), 0);
	request_know_options(&q);
	assert_true(q.odd);
	assert_null(q.offsets);
	q.options[0].opt->nro_status = EOPNOTSUPP;
	((struct nmreq_opt_offsets *)q.options[0].opt)->nro_max_offset = 1;
	request_finish_options(&q, -EOPNOTSUPP);
	assert_int_equal(offsets.nro_opt.nro_status, EOPNOTSUPP);
	assert_int_equal(offsets.nro_max_offset, 64); /* not after errors */
}

static void test_unknown_type(void **state)
{
	struct nmreq_option o = option(77, NULL);

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &o), 0);
	request_know_options(&q);
	assert_true(q.odd);
	request_finish_options(&q, -EOPNOTSUPP);
	assert_int_equal(o.nro_status, EOPNOTSUPP);
}

static void test_type_zero(void **state)
{
	struct nmreq_option o = option(0, NULL);

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &o), -EINVAL);
	request_finish_options(&q, -EINVAL);
	assert_int_equal(o.nro_status, EINVAL);
}

static void test_twice(void **state)
{
	struct nmreq_opt_csb b = { .nro_opt = option(NETMAP_REQ_OPT_CSB,
						     NULL) };
	struct nmreq_option between = option(77, &b);
	struct nmreq_opt_csb a = { .nro_opt = option(NETMAP_REQ_OPT_CSB,
						     &between) };

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &a), -EINVAL);
	request_finish_options(&q, -EINVAL);
	assert_int_equal(a.nro_opt.nro_status, EINVAL);
	assert_int_equal(b.nro_opt.nro_status, EINVAL);
	assert_int_equal(between.nro_status, EOPNOTSUPP);
}

static void test_loops(void **state)
{
	struct nmreq_opt_csb known = { .nro_opt = option(NETMAP_REQ_OPT_CSB,
							 &known) };
	struct nmreq_option unknown = option(77, &unknown);

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &known), -EINVAL);
	request_finish_options(&q, -EINVAL);
	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &unknown), -EMSGSIZE);
	request_finish_options(&q, -EMSGSIZE);
}

static void test_too_big(void **state)
{
	struct nmreq_opt_sync_kloop_eventfds e = {
		.nro_opt = option(NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS, NULL)
	};

	e.nro_opt.nro_size = NETMAP_REQ_MAXSIZE + 1;
	assert_int_equal(read_list(NETMAP_REQ_SYNC_KLOOP_START, &e), -EMSGSIZE);
	request_finish_options(&q, -EMSGSIZE);
	/* Not by itself, but with its header. */
	e.nro_opt.nro_size = NETMAP_REQ_MAXSIZE;
	assert_int_equal(read_list(NETMAP_REQ_SYNC_KLOOP_START, &e), -EMSGSIZE);
	request_finish_options(&q, -EMSGSIZE);
}

static void test_no_memory_there(void **state)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	struct nmreq_option o = option(77, page);

	assert_int_equal(read_list(NETMAP_REQ_REGISTER, &o), -EFAULT);
	request_finish_options(&q, -EFAULT);
	assert_int_equal(read_list(NETMAP_REQ_REGISTER, page), -EFAULT);
	request_finish_options(&q, -EFAULT);
	munmap(page, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_not_of_this_request),
		cmocka_unit_test(test_unknown_type),
		cmocka_unit_test(test_type_zero),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_no_memory_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
