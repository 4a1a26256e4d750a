// SPDX-License-Identifier: BSD-2-Clause
// test_nmport.c - what libnetmap asks of the device, and what it makes of it.
#include "unit.h"

#include "fake_netmap.h"
#include "nmctx_log.h"

static int setup(void **state)
{
	fake_reset();
	memset(&ctx_log, 0, sizeof(ctx_log));
	nmctx_set_default(&log_ctx);
	return 0;
}

static int nothing_left(void **state)
{
	nmctx_set_default(&log_ctx);
	assert_int_equal(ctx_log.errors, 0);
	assert_int_equal(ctx_log.blocks, 0);
	assert_int_equal(ctx_log.locked, 0);
	assert_null(log_ctx.mem_descs);
	assert_int_equal(fake_open_fds(), 0);
	nmport_disable_option("offset");
	return 0;
}

static void opens_and_closes(void **state)
{
	struct nmport_d *d = nmport_open("netmap:eth0-1/x");

	assert_non_null(d);
	assert_int_equal(fake.request, NIOCCTRL);
	assert_int_equal(fake.hdr.nr_reqtype, NETMAP_REQ_REGISTER);
	assert_int_equal(fake.hdr.nr_reserved, 0);
	assert_int_equal(fake.hdr.nr_options, 0);
	assert_string_equal(fake.hdr.nr_name, "eth0");
	assert_int_equal(fake.hdr.nr_body, (uintptr_t)&d->reg);
	assert_int_equal(fake.reg.nr_mode, NR_REG_ONE_NIC);
	assert_int_equal(fake.reg.nr_ringid, 1);
	assert_int_equal(fake.reg.nr_flags, NR_EXCLUSIVE);
	assert_int_equal(fake.reg.nr_mem_id, 0);
	assert_int_equal(d->reg.nr_mem_id, FAKE_REGION);
	assert_true(d->register_done && d->mmap_done && d->fd >= 0);
	assert_int_equal(d->mem->mem_id, FAKE_REGION);
	assert_int_equal(d->mem->size, FAKE_SIZE);
	assert_ptr_equal(d->nifp, (char *)d->mem->mem + FAKE_NIFP);
	assert_int_equal(d->nifp->ni_tx_rings, 2);
	assert_ptr_equal(d->ctx, &log_ctx);
	nmport_close(d);
	nmport_close(NULL);
	nmport_delete(NULL);
	nmport_undo_prepare(NULL);
}

static void knows_which_rings_are_bound(void **state)
{
	static const struct {
		const char *spec;
		uint16_t first_tx, last_tx, first_rx, last_rx;
	} cases[] = {
		{ "netmap:a", 0, 1, 0, 1 },	{ "netmap:a-1", 1, 1, 1, 1 },
		{ "netmap:a^", 2, 2, 2, 2 },	{ "netmap:a^0", 2, 2, 2, 2 },
		{ "netmap:a*", 0, 2, 0, 2 },	{ "netmap:a/R", 1, 0, 0, 1 },
		{ "netmap:a/T", 0, 1, 1, 0 },	{ "netmap:a*/R", 1, 0, 0, 2 },
		{ "netmap:a{1", 0, 1, 0, 1 },	{ "netmap:a-0/rt", 0, 0, 0, 0 },
		{ "netmap:a^/RT", 1, 0, 1, 0 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nmport_d *d = nmport_open(cases[i].spec);

		assert_non_null(d);
		assert_int_equal(d->first_tx_ring, cases[i].first_tx);
		assert_int_equal(d->last_tx_ring, cases[i].last_tx);
		assert_int_equal(d->first_rx_ring, cases[i].first_rx);
		assert_int_equal(d->last_rx_ring, cases[i].last_rx);
		assert_int_equal(d->cur_tx_ring, d->first_tx_ring);
		assert_int_equal(d->cur_rx_ring, d->first_rx_ring);
		nmport_close(d);
	}
}

static void binds_the_first_ring_where_there_is_no_such(void **state)
{
	struct nmport_d *d;

	fake.rx_rings = 1;
	d = nmport_open("netmap:a-1");
	assert_int_equal(d->first_tx_ring, 1);
	assert_int_equal(d->last_tx_ring, 1);
	assert_int_equal(d->first_rx_ring, 0);
	assert_int_equal(d->last_rx_ring, 0);
	nmport_close(d);
	d = nmport_open("netmap:a^1"); /* there is one host ring each way */
	assert_int_equal(d->first_tx_ring, 2);
	assert_int_equal(d->last_tx_ring, 2);
	assert_int_equal(d->first_rx_ring, 1);
	nmport_close(d);
}

static void refuses_modes_it_does_not_know(void **state)
{
	struct nmport_d *d = nmport_prepare("netmap:a");

	d->reg.nr_mode = 44;
	assert_int_equal(nmport_open_desc(d), -1);
	assert_said(EINVAL, "cannot register 'a': 44 is no NR_REG_ mode");
	assert_int_equal(d->fd, -1);
	d->reg.nr_mode = NR_REG_NULL;
	assert_int_equal(nmport_open_desc(d), 0);
	assert_int_equal(d->last_tx_ring, 1);
	nmport_close(d);
}

static void says_why_it_failed(void **state)
{
	struct nmport_d *d;

	assert_null(nmport_open("eth0"));
	assert_said(EINVAL, "'eth0' is no port");
	fake.open_error = ENOENT;
	assert_null(nmport_open("netmap:eth0"));
	assert_said(ENOENT, "cannot open /dev/netmap: No such file");
	fake.open_error = 0;
	fake.ioctl_error = EBUSY;
	assert_null(nmport_open("netmap:eth0"));
	assert_said(EBUSY, "cannot register 'eth0': Device or resource busy");
	fake.ioctl_error = EOPNOTSUPP;
	fake.option_error = EOPNOTSUPP;
	d = nmport_prepare("vale0:a");
	assert_int_equal(nmport_offset(d, 2, 16, 16, 0), 0);
	assert_int_equal(nmport_register(d), -1);
	assert_said(EOPNOTSUPP, "cannot register 'vale0:a': option offsets: "
				"Operation not supported");
	fake.ioctl_error = 0;
	assert_int_equal(nmport_mmap(d), -1);
	assert_said(EINVAL, "'vale0:a' is not registered yet");
	assert_int_equal(nmport_register(d), 0);
	assert_int_equal(nmport_register(d), -1);
	assert_said(EINVAL, "'vale0:a' is registered already");
	assert_int_equal(nmport_mmap(d), 0);
	assert_int_equal(nmport_mmap(d), -1);
	assert_said(EINVAL, "'vale0:a' is mapped already");
	nmport_close(d);
}

static void changes_nothing_when_parsing_fails(void **state)
{
	struct nmport_d *d = nmport_prepare("vale0:a@4@conf:slots=64"), before;

	assert_int_equal(nmport_extmem(d, &before, 4096), 0);
	before = *d;
	assert_int_equal(nmport_parse(d, "netmap:b-1/x@5@conf:rings=2@nope"),
			 -1);
	assert_said(EINVAL, "there is no option 'nope'");
	assert_memory_equal(d, &before, sizeof(before));
	assert_int_equal(nmport_parse(d, "netmap:b@extmem=/dev/null"), -1);
	assert_said(EINVAL, "extmem: '/dev/null' is empty");
	assert_memory_equal(d, &before, sizeof(before));
	nmport_undo_parse(d);
	assert_int_equal(d->hdr.nr_name[0], 0);
	assert_int_equal(d->hdr.nr_options, 0);
	assert_int_equal(d->hdr.nr_body, (uintptr_t)&d->reg);
	assert_int_equal(d->reg.nr_tx_slots, 0);
	assert_null(d->extmem);
	nmport_delete(d);
}

static void configures(void **state)
{
	struct nmport_d *d;

	d = nmport_prepare("vale0:a@conf:rings=2,rx-rings=3,slots=0x200,"
			   "tx-slots=64,host-rings=4,host-tx-rings=5");
	assert_non_null(d);
	assert_int_equal(d->reg.nr_tx_rings, 2);
	assert_int_equal(d->reg.nr_rx_rings, 3);
	assert_int_equal(d->reg.nr_tx_slots, 64);
	assert_int_equal(d->reg.nr_rx_slots, 512);
	assert_int_equal(d->reg.nr_host_tx_rings, 5);
	assert_int_equal(d->reg.nr_host_rx_rings, 4);
	nmport_undo_prepare(d);
	d = nmport_prepare("vale0:a@conf=4");
	assert_int_equal(d->reg.nr_tx_rings, 4);
	assert_int_equal(d->reg.nr_rx_rings, 4);
	assert_int_equal(d->reg.nr_tx_slots, 0);
	nmport_undo_prepare(d);
	assert_null(nmport_prepare("vale0:a@conf:rings=65536"));
	assert_said(EINVAL, "tx-rings: '65536' is no number from 0 to 65535");
	assert_null(nmport_prepare("vale0:a@conf:rx-slots=many"));
	assert_said(EINVAL, "rx-slots: 'many' is no number");
	assert_null(nmport_prepare("vale0:a@conf:rx-slots=12x"));
	assert_said(EINVAL, "rx-slots: '12x' is no number");
	assert_null(nmport_prepare("vale0:a@conf:slots=-1"));
	assert_said(EINVAL, "'-1' is no number");
	assert_null(nmport_prepare("vale0:a@conf"));
	assert_said(EINVAL, "option conf needs a value");
}

static void shares_regions(void **state)
{
	struct nmport_d *d;

	for (int i = 0; i < 2; i++) {
		d = nmport_prepare(i ? "netmap:eth0@share=vale0:there" :
				       "netmap:eth0@share:vale0:there");
		assert_non_null(d);
		assert_int_equal(d->reg.nr_mem_id, 5);
		nmport_undo_prepare(d);
	}
	d = nmport_prepare("netmap:eth0@5@share:vale0:there");
	nmport_undo_prepare(d);
	assert_null(nmport_prepare("netmap:eth0@4@share:vale0:there"));
	assert_said(EINVAL, "is in region 5, but region 4 is given, too");
	assert_null(nmport_prepare("netmap:eth0@share:vale0:there-1"));
	assert_said(EINVAL, "'-1' follows the port's name");
	assert_null(nmport_prepare("netmap:eth0@share:vale0:gone"));
	assert_said(ENXIO, "cannot ask for the region of 'vale0:gone'");
	assert_null(nmport_prepare("netmap:eth0@share"));
	assert_said(EINVAL, "option share needs a value");
}

static void offsets_must_be_enabled(void **state)
{
	struct nmport_d *d;

	assert_null(nmport_prepare("netmap:a@offset=32"));
	assert_said(EOPNOTSUPP, "does not take option 'offset'");
	assert_int_equal(nmport_enable_option("nope"), -1);
	assert_int_equal(errno, EOPNOTSUPP);
	nmport_disable_option("nope");
	assert_int_equal(nmport_enable_option("offset"), 0);
	d = nmport_open("netmap:a@offset:bits=16,initial=32");
	assert_non_null(d);
	assert_int_equal(fake.n_options, 1);
	assert_int_equal(fake.option.opt.nro_reqtype, NETMAP_REQ_OPT_OFFSETS);
	assert_int_equal(fake.option.opt.nro_next, 0);
	assert_int_equal(fake.option.opt.nro_size, 0);
	assert_int_equal(fake.option.offsets.nro_initial_offset, 32);
	assert_int_equal(fake.option.offsets.nro_max_offset, 32);
	assert_int_equal(fake.option.offsets.nro_offset_bits, 16);
	assert_int_equal(fake.option.offsets.nro_min_gap, 0);
	assert_int_equal(nmport_offset(d, 1, 2, 3, 4), -1);
	assert_said(EINVAL, "the port is registered already");
	nmport_close(d);
	assert_null(nmport_prepare("netmap:a@offset:bits=16"));
	assert_said(EINVAL, "option offset needs key initial");
	assert_null(nmport_prepare("netmap:a@offset:initial=1,bits=65"));
	assert_said(EINVAL, "bits: '65' is no number from 0 to 64");
	d = nmport_prepare("netmap:a");
	assert_int_equal(nmport_offset(d, 1, 2, 3, 4), 0);
	assert_int_equal(nmport_offset(d, 1, 2, 3, 4), -1);
	assert_said(EINVAL, "option offsets is given twice");
	assert_int_equal(nmport_register(d), 0);
	assert_int_equal(fake.option.offsets.nro_initial_offset, 1);
	assert_int_equal(fake.option.offsets.nro_max_offset, 2);
	assert_int_equal(fake.option.offsets.nro_offset_bits, 3);
	assert_int_equal(fake.option.offsets.nro_min_gap, 4);
	nmport_close(d);
	nmport_disable_option("conf");
	assert_null(nmport_prepare("netmap:a@conf=2"));
	assert_said(EOPNOTSUPP, "does not take option 'conf'");
	assert_int_equal(nmport_enable_option("conf"), 0);
}

static void uses_memory_of_the_program(void **state)
{
	_Alignas(4096) static char memory[FAKE_SIZE];
	struct nmport_d *d = nmport_prepare("netmap:a"), *c;

	assert_null(nmport_extmem_getinfo(d));
	assert_int_equal(nmport_extmem(d, memory, sizeof(memory)), 0);
	assert_int_equal(nmport_extmem(d, memory, sizeof(memory)), -1);
	assert_said(EINVAL, "option extmem is given twice");
	nmport_extmem_getinfo(d)->nr_buf_pool_objtotal = 17;
	assert_null(nmport_clone(d));
	assert_said(EINVAL, "register it first");
	assert_int_equal(nmport_open_desc(d), 0);
	assert_int_equal(fake.option.extmem.nro_usrptr, (uintptr_t)memory);
	assert_int_equal(fake.option.extmem.nro_info.nr_memsize, FAKE_SIZE);
	assert_int_equal(fake.option.extmem.nro_info.nr_buf_pool_objtotal, 17);
	assert_ptr_equal(d->mem->mem, memory);
	assert_true(d->mem->is_extmem);
	assert_ptr_equal(d->nifp, memory + FAKE_NIFP);
	c = nmport_clone(d);
	assert_int_equal(nmport_open_desc(c), 0);
	assert_int_equal(fake.n_options, 0);
	assert_ptr_equal(c->mem, d->mem);
	assert_null(c->extmem);
	nmport_close(d);
	assert_int_equal(c->nifp->ni_tx_rings, 2);
	nmport_close(c);
	memory[0] = 1; /* is still mapped */
}

static void uses_files(void **state)
{
	char path[] = "/tmp/glen-nmport-XXXXXX", spec[128];
	int fd = mkstemp(path);
	struct nmport_d *d;

	assert_true(fd >= 0 && !ftruncate(fd, FAKE_SIZE));
	close(fd);
	snprintf(spec, sizeof(spec),
		 "netmap:a@extmem:file=%s,if-num=1,if-size=2,ring-num=3,"
		 "ring-size=4,buf-num=5,buf-size=6",
		 path);
	d = nmport_open(spec);
	unlink(path);
	assert_non_null(d);
	assert_int_equal(fake.option.extmem.nro_info.nr_memsize, FAKE_SIZE);
	assert_int_equal(fake.option.extmem.nro_info.nr_if_pool_objtotal, 1);
	assert_int_equal(fake.option.extmem.nro_info.nr_if_pool_objsize, 2);
	assert_int_equal(fake.option.extmem.nro_info.nr_ring_pool_objtotal, 3);
	assert_int_equal(fake.option.extmem.nro_info.nr_ring_pool_objsize, 4);
	assert_int_equal(fake.option.extmem.nro_info.nr_buf_pool_objtotal, 5);
	assert_int_equal(fake.option.extmem.nro_info.nr_buf_pool_objsize, 6);
	assert_int_equal(d->nifp->ni_tx_rings, 2);
	nmport_close(d);
	assert_null(nmport_prepare(spec));
	assert_said(ENOENT, "extmem: cannot open '/tmp/glen-nmport-");
	assert_null(nmport_prepare("netmap:a@extmem:buf-num=1"));
	assert_said(EINVAL, "option extmem needs key file");
}

static void ports_of_a_region_share_its_mapping(void **state)
{
	struct nmport_d *a = nmport_open("netmap:a");
	struct nmport_d *b = nmport_open("netmap:b");
	struct nmport_d *other = nmport_open("netmap:c@9");
	struct nmport_d *clone = nmport_clone(a);

	assert_ptr_equal(a->mem, b->mem);
	assert_ptr_not_equal(a->mem, other->mem);
	assert_int_equal(clone->fd, -1);
	assert_int_equal(clone->reg.nr_mem_id, FAKE_REGION);
	assert_int_equal(clone->hdr.nr_body, (uintptr_t)&clone->reg);
	assert_false(clone->register_done || clone->mmap_done);
	assert_int_equal(nmport_open_desc(clone), 0);
	assert_ptr_equal(clone->mem, a->mem);
	assert_int_equal(a->mem->refcount, 3);
	assert_true(ctx_log.locks >= 4);
	nmport_close(a);
	assert_int_equal(b->nifp->ni_rx_rings, 2);
	nmport_undo_open_desc(b);
	nmport_undo_open_desc(b); /* nothing is left to undo */
	assert_int_equal(clone->mem->refcount, 1);
	assert_int_equal(nmport_open_desc(b), 0);
	nmport_close(clone);
	nmport_close(b);
	nmport_close(other);
}

static void survives_lack_of_memory(void **state)
{
	struct nmport_d *d;
	int n = 0;

	/* The n-th allocation fails, until none does. */
	do {
		ctx_log.fail_after = ++n;
		nmport_enable_option("offset");
		d = nmport_open("netmap:a@offset=1");
		if (!d)
			assert_said(ENOMEM, "");
		else
			nmport_close(d);
		assert_int_equal(ctx_log.blocks, 0);
		assert_int_equal(fake_open_fds(), 0);
	} while (!d);
	assert_int_equal(n, 5); /* port, text, option, region; then none */
	ctx_log.fail_after = 0;
}

static void injects(void **state)
{
	struct nmport_d *d = nmport_open("netmap:a");
	struct netmap_ring *r0 = NETMAP_TXRING(d->nifp, 0);
	struct netmap_ring *r1 = NETMAP_TXRING(d->nifp, 1);
	char packet[2048];

	for (unsigned i = 0; i < sizeof(packet); i++)
		packet[i] = (char)(i * 7);
	assert_int_equal(nmport_inject(d, packet, 60), 60);
	assert_int_equal(r0->head, 1);
	assert_int_equal(r0->cur, 1);
	assert_int_equal(r0->slot[0].len, 60);
	assert_int_equal(r0->slot[0].flags, 0);
	assert_memory_equal(NETMAP_BUF(r0, r0->slot[0].buf_idx), packet, 60);
	/* Three slots, the first of which has an offset. */
	r0->offset_mask = 0xff;
	r0->slot[1].ptr = 0xabcd00 + 16;
	assert_int_equal(nmport_inject(d, packet, 500), 500);
	assert_int_equal(r0->head, 4);
	assert_int_equal(r0->slot[1].len, 240);
	assert_int_equal(r0->slot[1].flags, NS_MOREFRAG);
	assert_int_equal(r0->slot[2].len, 256);
	assert_int_equal(r0->slot[2].flags, NS_MOREFRAG);
	assert_int_equal(r0->slot[3].len, 4);
	assert_int_equal(r0->slot[3].flags, 0);
	assert_memory_equal(NETMAP_BUF(r0, r0->slot[1].buf_idx) + 16, packet,
			    240);
	assert_memory_equal(NETMAP_BUF(r0, r0->slot[3].buf_idx), packet + 496,
			    4);
	NETMAP_WOFFSET(r0, &r0->slot[1], 3);
	assert_int_equal(r0->slot[1].ptr, 0xabcd03);
	/* Three slots are left here: exactly enough, then too few. */
	assert_int_equal(nmport_inject(d, packet, 769), 769);
	assert_int_equal(r0->head, 4);
	assert_int_equal(r1->head, 4);
	assert_int_equal(d->cur_tx_ring, 1);
	assert_int_equal(nmport_inject(d, packet, 768), 768);
	assert_int_equal(r1->head, 7);
	assert_int_equal(nmport_inject(d, packet, 768), 768);
	assert_int_equal(r0->head, 7);
	assert_int_equal(nmport_inject(d, packet, 1), 0);
	assert_int_equal(r0->head, 7);
	nmport_close(d);
	d = nmport_open("netmap:a/R");
	assert_int_equal(nmport_inject(d, packet, 60), 0);
	nmport_close(d);
}

static void has_a_context_of_its_own(void **state)
{
	struct nmctx *own = nmctx_set_default(nmctx_get());
	struct nmport_d *d;

	assert_ptr_equal(own, &log_ctx);
	nmctx_set_default(NULL);
	nmctx_set_default(own);
	nmctx_threadsafe = 1;
	nmctx_set_threadsafe();
	d = nmport_open("netmap:a");
	nmctx_set_default(NULL);
	nmport_close(d); /* uses the context that it was made with */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_and_closes),
		cmocka_unit_test(knows_which_rings_are_bound),
		cmocka_unit_test(binds_the_first_ring_where_there_is_no_such),
		cmocka_unit_test(refuses_modes_it_does_not_know),
		cmocka_unit_test(says_why_it_failed),
		cmocka_unit_test(changes_nothing_when_parsing_fails),
		cmocka_unit_test(configures),
		cmocka_unit_test(shares_regions),
		cmocka_unit_test(offsets_must_be_enabled),
		cmocka_unit_test(uses_memory_of_the_program),
		cmocka_unit_test(uses_files),
		cmocka_unit_test(ports_of_a_region_share_its_mapping),
		cmocka_unit_test(survives_lack_of_memory),
		cmocka_unit_test(injects),
		cmocka_unit_test(has_a_context_of_its_own),
	};
	struct CMUnitTest all[sizeof(tests) / sizeof(*tests)];

	for (unsigned i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		all[i] = tests[i];
		all[i].setup_func = setup;
		all[i].teardown_func = nothing_left;
	}
	return cmocka_run_group_tests_name("nmport", all, NULL, NULL);
}
