// SPDX-License-Identifier: BSD-2-Clause
// test_nmreq.c - the grammar of netmap's port names, word by word.
#include "unit.h"

#include "fake_netmap.h"
#include "nmctx_log.h"

static const struct {
	const char *spec, *name, *rest;
} names[] = {
	{ "netmap:eth0", "eth0", "" },
	{ "netmap:eth0.100", "eth0.100", "" },
	{ "netmap:eth0-3", "eth0", "-3" },
	{ "netmap:eth0^", "eth0", "^" },
	{ "netmap:eth0*/x", "eth0", "*/x" },
	{ "netmap:eth0/rt", "eth0", "/rt" },
	{ "netmap:eth0@5", "eth0", "@5" },
	{ "netmap:eth0{1", "eth0{1", "" },
	{ "netmap:eth0}left_1/x", "eth0}left_1", "/x" },
	{ "vale:1", "vale:1", "" },
	{ "vale0:port", "vale0:port", "" },
	{ "vale_a1:p_1-0", "vale_a1:p_1", "-0" },
	{ "vale0:p{3@share:vale1:q", "vale0:p{3", "@share:vale1:q" },
	{ "netmap:vale0:p", "vale0:p", "" },
	{ "netmap:123456789012345678901234567890123456789012345678901234567890"
	  "123",
	  "123456789012345678901234567890123456789012345678901234567890123",
	  "" },
};

static const struct {
	const char *spec, *said;
} bad_names[] = {
	{ "", "'' is no port" },
	{ "eth0", "'eth0' is no port: write netmap:NAME or valeX:NAME" },
	{ "netmap", "is no port" },
	{ "netmap:", "no port is named" },
	{ "netmap:-1", "no port is named before '-1'" },
	{ "netmap:{1", "no port is named before '{1'" },
	{ "netmap:eth0{", "after { comes the pipe's name" },
	{ "netmap:eth0{1}2", "after { comes the pipe's name" },
	{ "netmap:eth0}a.b", "after } comes the pipe's name" },
	{ "vale0", "there is no ':'" },
	{ "vale0:", "no port is named" },
	{ "vale 0:a", "'vale 0': a switch has only letters" },
	{ "vale0:a.b", "'a.b': a port of a switch has only letters" },
	{ "vale0:a:b", "'a:b': a port of a switch has only letters" },
	{ "netmap:1234567890123456789012345678901234567890123456789012345678901"
	  "234",
	  "is too long: a name has at most 63 characters" },
};

static void takes_names(void **state)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const char *s = names[i].spec;
		struct nmreq_header hdr;

		memset(&hdr, 0xff, sizeof(hdr));
		assert_int_equal(nmreq_header_decode(&s, &hdr, &log_ctx), 0);
		assert_string_equal(hdr.nr_name, names[i].name);
		assert_string_equal(s, names[i].rest);
		assert_int_equal(hdr.nr_reqtype, 0xffff);
	}
}

static void refuses_names(void **state)
{
	for (unsigned i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++) {
		struct nmreq_header hdr = { .nr_name = "as before" };
		const char *s = bad_names[i].spec;

		errno = 0;
		assert_int_equal(nmreq_header_decode(&s, &hdr, &log_ctx), -1);
		assert_said(EINVAL, bad_names[i].said);
		assert_ptr_equal(s, bad_names[i].spec);
		assert_string_equal(hdr.nr_name, "as before");
	}
}

static const struct {
	const char *spec;
	uint32_t mode;
	uint16_t ring, region;
	uint64_t flags;
	const char *rest;
} modes[] = {
	{ "", NR_REG_ALL_NIC, 0, 9, 0, "" },
	{ "-0", NR_REG_ONE_NIC, 0, 9, 0, "" },
	{ "-12", NR_REG_ONE_NIC, 12, 9, 0, "" },
	{ "-4094", NR_REG_ONE_NIC, 4094, 9, 0, "" },
	{ "^", NR_REG_SW, 0, 9, 0, "" },
	{ "^3", NR_REG_ONE_SW, 3, 9, 0, "" },
	{ "*", NR_REG_NIC_SW, 0, 9, 0, "" },
	{ "/", NR_REG_ALL_NIC, 0, 9, 0, "" },
	{ "/x", NR_REG_ALL_NIC, 0, 9, 0x800, "" },
	{ "/t", NR_REG_ALL_NIC, 0, 9, 0x100, "" },
	{ "/r", NR_REG_ALL_NIC, 0, 9, 0x200, "" },
	{ "/rtz", NR_REG_ALL_NIC, 0, 9, 0x700, "" },
	{ "/zr", NR_REG_ALL_NIC, 0, 9, 0x600, "" },
	{ "/R", NR_REG_ALL_NIC, 0, 9, 0x2000, "" },
	{ "/T", NR_REG_ALL_NIC, 0, 9, 0x4000, "" },
	{ "-2/xT", NR_REG_ONE_NIC, 2, 9, 0x4800, "" },
	{ "@0", NR_REG_ALL_NIC, 0, 0, 0, "" },
	{ "@65535", NR_REG_ALL_NIC, 0, 65535, 0, "" },
	{ "^1/x@3", NR_REG_ONE_SW, 1, 3, 0x800, "" },
	{ "@3/x", NR_REG_ALL_NIC, 0, 3, 0x800, "" },
	{ "*@conf:rings=2", NR_REG_NIC_SW, 0, 9, 0, "@conf:rings=2" },
	{ "-1/x@4@share=b", NR_REG_ONE_NIC, 1, 4, 0x800, "@share=b" },
	{ "-1@@", NR_REG_ONE_NIC, 1, 9, 0, "@@" },
};

static const struct {
	const char *spec, *said;
} bad_modes[] = {
	{ "-", "after - comes the number of a ring" },
	{ "-x", "after - comes the number of a ring" },
	{ "-4095", "a ring's number is at most 4094" },
	{ "-99999999999999999999", "a ring's number is at most 4094" },
	{ "^4095", "a ring's number is at most 4094" },
	{ "-1-2", "'-2': there must be /FLAGS or @ here" },
	{ "**", "'*': there must be /FLAGS or @ here" },
	{ "*1", "'1': there must be /FLAGS or @ here" },
	{ "x", "'x': there must be /FLAGS or @ here" },
	{ "/q", "unknown flag 'q' in '/q'" },
	{ "/xq@1", "unknown flag 'q'" },
	{ "/z", "flag z goes with t or r" },
	{ "/zx", "flag z goes with t or r" },
	{ "@65536", "a region's number is at most 65535" },
	{ "@1@2", "a region is already given" },
	{ "@", "after @ comes the number of a region or an option" },
	{ "/x@", "after @ comes the number of a region or an option" },
	{ "@1@", "after @ comes the number of a region or an option" },
	{ "@1x", "'x': there must be /FLAGS or @ here" },
};

static void takes_modes(void **state)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		struct nmreq_register reg = {
			.nr_mode = 77,
			.nr_ringid = 77,
			.nr_flags = 77,
			.nr_mem_id = 9,
			.nr_extra_bufs = 77,
		};
		const char *s = modes[i].spec;

		assert_int_equal(nmreq_register_decode(&s, &reg, &log_ctx), 0);
		assert_int_equal(reg.nr_mode, modes[i].mode);
		assert_int_equal(reg.nr_ringid, modes[i].ring);
		assert_int_equal(reg.nr_mem_id, modes[i].region);
		assert_int_equal(reg.nr_flags, modes[i].flags);
		assert_int_equal(reg.nr_extra_bufs, 77);
		assert_string_equal(s, modes[i].rest);
	}
}

static void refuses_modes(void **state)
{
	for (unsigned i = 0; i < sizeof(bad_modes) / sizeof(*bad_modes); i++) {
		struct nmreq_register reg, before;
		const char *s = bad_modes[i].spec;

		memset(&reg, 0x5a, sizeof(reg));
		before = reg;
		errno = 0;
		assert_int_equal(nmreq_register_decode(&s, &reg, &log_ctx), -1);
		assert_said(EINVAL, bad_modes[i].said);
		assert_ptr_equal(s, bad_modes[i].spec);
		assert_memory_equal(&reg, &before, sizeof(reg));
	}
}

/* What the parsers below were called with: "name(key0|key1|key2)...". */
static char called[256];

static int remember(struct nmreq_parse_ctx *parse)
{
	const char *name = parse->token;
	size_t n = strlen(called);

	snprintf(called + n, sizeof(called) - n, "%s(%s|%s|%s)", name,
		 parse->keys[0] ? parse->keys[0] : "-",
		 parse->keys[1] ? parse->keys[1] : "-",
		 parse->keys[2] ? parse->keys[2] : "-");
	if (parse->keys[0] && !strcmp(parse->keys[0], "fail")) {
		nmctx_ferror(parse->ctx, "as you like");
		errno = EXDEV;
		return -1;
	}
	return 0;
}

static struct nmreq_opt_parser flag = {
	.prefix = "flag",
	.parse = remember,
	.default_key = -1,
	.flags = NMREQ_OPTF_ALLOWEMPTY,
};
static struct nmreq_opt_parser one = {
	.prefix = "one",
	.parse = remember,
	.default_key = 0,
	.nr_keys = 1,
	.next = &flag,
	.keys = { { "key", 0, NMREQ_OPTK_DEFAULT | NMREQ_OPTK_MUSTSET } },
};
static struct nmreq_opt_parser off = {
	.prefix = "off",
	.parse = remember,
	.default_key = -1,
	.flags = NMREQ_OPTF_DISABLED | NMREQ_OPTF_ALLOWEMPTY,
	.next = &one,
};
static struct nmreq_opt_parser many = {
	.prefix = "many",
	.parse = remember,
	.default_key = 2,
	.nr_keys = 3,
	.next = &off,
	.keys = {
		{ "a", 0, NMREQ_OPTK_MUSTSET },
		{ "b", 1, NMREQ_OPTK_ALLOWEMPTY },
		{ "c", 2, NMREQ_OPTK_DEFAULT },
	},
};
static struct nmreq_opt_parser none = {
	.prefix = "none",
	.parse = remember,
	.default_key = -1,
	.nr_keys = 2,
	.next = &many,
	.keys = { { "a", 0, 0 }, { "b", 1, 0 } },
};

static const struct {
	const char *spec, *calls;
} options[] = {
	{ "", "" },
	{ "@flag", "T(-|-|-)" },
	{ "@flag@flag", "T(-|-|-)T(-|-|-)" },
	{ "@one=x", "T(x|-|-)" },
	{ "@one:x", "T(x|-|-)" },
	{ "@one:key=x", "T(x|-|-)" },
	{ "@one:vale0:x,y", "T(vale0:x,y|-|-)" },
	{ "@one=a=b", "T(a=b|-|-)" },
	{ "@many:a=1", "T(1|-|-)" },
	{ "@many:c=3,a=1,b=2", "T(1|2|3)" },
	{ "@many:b,a=1", "T(1||-)" },
	{ "@many:a=", "T(|-|-)" },
	{ "@none:b=x@flag@one=1", "T(-|x|-)T(-|-|-)T(1|-|-)" },
};

static const struct {
	const char *spec;
	int error;
	const char *said, *calls;
} bad_options[] = {
	{ "flag", EINVAL, "'flag': an option begins with @", "" },
	{ "@", EINVAL, "there is no option ''", "" },
	{ "@fla", EINVAL, "there is no option 'fla'", "" },
	{ "@flags=1", EINVAL, "there is no option 'flags'", "" },
	{ "@flag@", EINVAL, "there is no option ''", "T(-|-|-)" },
	{ "@flag=1", EINVAL, "option flag is written flag:KEY=VALUE", "" },
	{ "@off", EOPNOTSUPP, "this program does not take option 'off'", "" },
	{ "@one", EINVAL, "option one needs a value", "" },
	{ "@one=", EINVAL, "option one needs a value", "" },
	{ "@one:", EINVAL, "option one needs a value", "" },
	{ "@none=1", EINVAL, "option none is written none:KEY=VALUE,...", "" },
	{ "@none:", EINVAL, "option none has no key ''", "" },
	{ "@none:c=1", EINVAL, "option none has no key 'c'", "" },
	{ "@none:a=1,a=2", EINVAL, "option none: key a is given twice", "" },
	{ "@none:a", EINVAL, "option none: key a needs a value: a=...", "" },
	{ "@many=3", EINVAL, "option many needs key a", "" },
	{ "@many:b=1", EINVAL, "option many needs key a", "" },
	{ "@many:a=fail@flag", EXDEV, "as you like", "T(fail|-|-)" },
};

static void takes_options(void **state)
{
	for (unsigned i = 0; i < sizeof(options) / sizeof(*options); i++) {
		called[0] = '\0';
		assert_int_equal(nmreq_options_decode(options[i].spec, &none,
						      "T", &log_ctx),
				 0);
		assert_string_equal(called, options[i].calls);
		assert_int_equal(ctx_log.blocks, 0);
	}
}

static void refuses_options(void **state)
{
	for (unsigned i = 0; i < sizeof(bad_options) / sizeof(*bad_options);
	     i++) {
		called[0] = '\0';
		errno = 0;
		assert_int_equal(nmreq_options_decode(bad_options[i].spec,
						      &none, "T", &log_ctx),
				 -1);
		assert_said(bad_options[i].error, bad_options[i].said);
		assert_string_equal(called, bad_options[i].calls);
		assert_int_equal(ctx_log.blocks, 0);
	}
	ctx_log.fail_after = 1;
	assert_int_equal(nmreq_options_decode("@flag", &none, "T", &log_ctx),
			 -1);
	assert_said(ENOMEM, "no memory");
}

static void fills_headers(void **state)
{
	struct nmreq_register reg;
	struct nmreq_header hdr, zero = { 0 };

	memset(&hdr, 0xff, sizeof(hdr));
	nmreq_header_init(&hdr, NETMAP_REQ_REGISTER, &reg);
	assert_int_equal(hdr.nr_version, 14);
	assert_int_equal(hdr.nr_reqtype, 1);
	assert_int_equal(hdr.nr_reserved, 0);
	assert_int_equal(hdr.nr_body, (uintptr_t)&reg);
	assert_int_equal(hdr.nr_options, 0);
	assert_memory_equal(hdr.nr_name, zero.nr_name, sizeof(hdr.nr_name));
}

static void keeps_lists_of_options(void **state)
{
	struct nmreq_option a = { .nro_reqtype = 1 }, b = { .nro_reqtype = 3 };
	struct nmreq_option c = { .nro_reqtype = 3 }, *o;
	struct nmreq_header hdr = { 0 };
	unsigned n = 0;

	assert_null(nmreq_find_option(&hdr, 1));
	nmreq_push_option(&hdr, &a);
	nmreq_push_option(&hdr, &b);
	nmreq_push_option(&hdr, &c);
	nmreq_foreach_option(&hdr, o) n++;
	assert_int_equal(n, 3);
	assert_int_equal(hdr.nr_options, (uintptr_t)&c);
	assert_ptr_equal(nmreq_find_option(&hdr, 1), &a);
	assert_ptr_equal(nmreq_find_option(&hdr, 3), &c);
	assert_null(nmreq_find_option(&hdr, 2));
	nmreq_remove_option(&hdr, &b);
	nmreq_remove_option(&hdr, &b); /* is not there: no harm */
	assert_int_equal(b.nro_next, 0);
	assert_int_equal(c.nro_next, (uintptr_t)&a);
	nmreq_remove_option(&hdr, &c);
	nmreq_remove_option(&hdr, &a);
	assert_int_equal(hdr.nr_options, 0);
	for (n = 0; n < 3; n++)
		nmreq_push_option(&hdr, calloc(1, sizeof(a)));
	nmreq_free_options(&hdr);
	assert_int_equal(hdr.nr_options, 0);
}

static void names_options(void **state)
{
	assert_string_equal(nmreq_option_name(1), "extmem");
	assert_string_equal(nmreq_option_name(2), "sync-kloop-eventfds");
	assert_string_equal(nmreq_option_name(3), "csb");
	assert_string_equal(nmreq_option_name(4), "sync-kloop-mode");
	assert_string_equal(nmreq_option_name(5), "offsets");
	assert_string_equal(nmreq_option_name(0), "unknown");
	assert_string_equal(nmreq_option_name(6), "unknown");
	assert_string_equal(nmreq_option_name(UINT32_MAX), "unknown");
}

static void asks_for_regions(void **state)
{
	const char *there = "vale0:there-1", *gone = "vale0:gone";

	fake_reset();
	assert_int_equal(nmreq_get_mem_id(&there, &log_ctx), 5);
	assert_string_equal(there, "-1");
	assert_int_equal(fake.hdr.nr_reqtype, NETMAP_REQ_PORT_INFO_GET);
	assert_int_equal(nmreq_get_mem_id(&gone, &log_ctx), -1);
	assert_said(ENXIO,
		    "cannot ask for the region of 'vale0:gone': No such");
	assert_string_equal(gone, "vale0:gone");
	fake.open_error = EACCES;
	assert_int_equal(nmreq_get_mem_id(&gone, &log_ctx), -1);
	assert_said(EACCES, "cannot open /dev/netmap: Permission denied");
	assert_int_equal(fake_open_fds(), 0);
}

static void is_silent_if_told_to(void **state)
{
	struct nmreq_header hdr;
	const char *s = "nothing";

	log_ctx.verbose = 0;
	assert_int_equal(nmreq_header_decode(&s, &hdr, &log_ctx), -1);
	log_ctx.verbose = 1;
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ctx_log.errors, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_names),
		cmocka_unit_test(refuses_names),
		cmocka_unit_test(takes_modes),
		cmocka_unit_test(refuses_modes),
		cmocka_unit_test(takes_options),
		cmocka_unit_test(refuses_options),
		cmocka_unit_test(fills_headers),
		cmocka_unit_test(keeps_lists_of_options),
		cmocka_unit_test(names_options),
		cmocka_unit_test(asks_for_regions),
		cmocka_unit_test(is_silent_if_told_to),
	};

	return cmocka_run_group_tests_name("nmreq", tests, NULL, NULL);
}
