// SPDX-License-Identifier: BSD-2-Clause
// api_names.c - what names of ports mean, and which errno those have that mean
// nothing.
#include "nmt.h"

#define LONG "1234567890123456789012345678901234567890123456789012345678"

/* Name, and the errno of REGISTER and PORT_INFO_GET; 0: there is such a port,
 * or it is made. The interface lo is there, and attached to no switch. */
static const struct {
	const char *name;
	int error;
} names[] = {
	/* No kind of port has such names. */
	{ "", ENXIO },
	{ "none%", ENXIO },
	{ "none%/z", ENXIO },
	{ "none%@1", ENXIO },
	{ "none%^", ENXIO },
	{ "/etc/passwd", ENXIO },
	{ "%", ENXIO },
	{ LONG, ENXIO },
	/* What a program writes in front of and behind names is its own. */
	{ "netmap:lo", ENXIO },
	{ "netmap:lo/z", ENXIO },
	{ "netmap:none%", ENXIO },
	{ "lo/z", ENXIO },
	{ "lo/r", ENXIO },
	{ "lo^", ENXIO },
	{ "lo*", ENXIO },
	{ "lo-0", ENXIO },
	{ "lo@1", ENXIO },
	{ "lo ", ENXIO },
	{ " lo", ENXIO },
	{ "lo:1", ENXIO },
	/* Switches: vale and letters, digits, _; at most 15 characters. */
	{ "vale", ENXIO },
	{ "vale%", ENXIO },
	{ "vale:%", 0 },
	{ "vale%:1", 0 },
	{ "vale_%_X9:a", 0 },
	{ "valeabcdefghijk:a", 0 },
	{ "valeabcdefghijkl:a", ENXIO },
	{ "vale-%:a", ENXIO },
	{ "vale.%:a", ENXIO },
	{ "vale %:a", ENXIO },
	{ "vale/%:a", ENXIO },
	{ "vale{:a", ENXIO },
	{ "Vale%:a", ENXIO },
	{ "val:a", ENXIO },
	{ ":a", ENXIO },
	/* Ports: up to 15 characters of any kind. */
	{ "vale%:", 0 },
	{ "vale:", 0 },
	{ "vale%:123456789012345", 0 },
	{ "vale%:1234567890123456", ENXIO },
	{ "vale%:a:b", 0 },
	{ "vale%: ", 0 },
	{ "vale%:a/z", 0 },
	{ "vale%:a-1", 0 },
	{ "vale%:a@7", 0 },
	{ "vale%:lo^", 0 },
	{ "vale%:lo/z", 0 },
	{ "vale%:lo:1", 0 },
	{ "vale%:\xc3\xa4", 0 },
	/* Glend wants UTF-8. */
	{ "vale%:\x80\xff", ENXIO },
	/* But not those of interfaces that are not attached. */
	{ "vale%:lo", EINVAL },
	{ "vale:lo", EINVAL },
	/* Pipes: a parent, a brace, a word. */
	{ "p%{1", 0 },
	{ "p%}1", 0 },
	{ "p%{word.x-1", 0 },
	{ "1%{2", 0 },
	{ "vale%:a{1", 0 },
	{ "vale%:a}1", 0 },
	{ "vale%:1{22", 0 },
	{ "vale%:{1", 0 },
	{ "p%{", EINVAL },
	{ "p%}", EINVAL },
	{ "vale%:a{", EINVAL },
	{ "{1", EINVAL },
	{ "}1", EINVAL },
	{ "{", EINVAL },
	/* The last { parts it, or else the last }. */
	{ "p%{1{2", 0 },
	{ "p%}1}2", 0 },
	{ "p%{1}2", 0 },
	/* A parent that could be no persistent port is not made. */
	{ "a234567890123456{1", ENXIO },
	{ "p% x{1", ENXIO },
	{ "vale-%:a{1", ENXIO },
	{ "vale%{1", ENXIO },
	{ "vale%:1234567890123456{1", ENXIO },
	{ "vale%:lo{1", EINVAL },
};

static int error_of(int result)
{
	return result < 0 ? errno : 0;
}

static const char *word(int error)
{
	return error ? strerrorname_np(error) : "success";
}

POINT(names_table)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct nmreq_port_info_get info = { 0 };
		struct nm p = { .fd = dev() };
		int got = error_of(ctrl(p.fd, NETMAP_REQ_PORT_INFO_GET,
					names[i].name, &info));

		/* Without a name it is about a region. */
		if (names[i].name[0] && got != names[i].error)
			FAIL("PORT_INFO_GET '%s': %s, not %s", N(names[i].name),
			     word(got), word(names[i].error));
		got = error_of(bind_mode(&p, names[i].name, NR_REG_ALL_NIC, 0));
		if (got != names[i].error)
			FAIL("REGISTER '%s': %s, not %s", N(names[i].name),
			     word(got), word(names[i].error));
		if (!got) {
			map_port(&p);
			CHECK(!strncmp(p.nifp->ni_name, N(names[i].name), 15));
			txsync(&p);
		} else {
			FAILS(ENXIO, ioctl(p.fd, NIOCTXSYNC, NULL));
		}
		WORKS(close(p.fd));
	}
}

/* Requests on ports that are there, and nothing else. */
POINT(names_of_ports_that_are_not_there)
{
	static const char *const none[] = { "",		"none%",   "vale%",
					    "vale%:a",	"vale-%:", "p%{1",
					    "netmap:lo" };

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct nmreq_port_hdr hdr = { .nr_hdr_len = 12 };
		struct nmreq_vale_polling polling = {
			.nr_mode = NETMAP_POLLING_MODE_SINGLE_CPU,
			.nr_num_polling_cpus = 1,
		};
		bool vale = strchr(none[i], ':') && none[i][0] == 'v';
		int fd = dev();

		FAILS(ENXIO, ctrl(fd, NETMAP_REQ_PORT_HDR_SET, none[i], &hdr));
		FAILS(ENXIO, ctrl(fd, NETMAP_REQ_PORT_HDR_GET, none[i], &hdr));
		FAILS(ENXIO, ctrl(fd, NETMAP_REQ_VALE_DELIF, none[i], NULL));
		FAILS(vale ? ENXIO : EINVAL,
		      ctrl(fd, NETMAP_REQ_VALE_POLLING_ENABLE, none[i],
			   &polling));
		FAILS(vale ? ENXIO : EINVAL,
		      ctrl(fd, NETMAP_REQ_VALE_POLLING_DISABLE, none[i],
			   &polling));
		FAILS(vale ? ENXIO : EINVAL,
		      ctrl(fd, NETMAP_REQ_VALE_DETACH, none[i],
			   &(struct nmreq_vale_detach){ 0 }));
		WORKS(close(fd));
	}
}

/* Names that netmap allows and ports of glen cannot have, or that differ from
 * others in nothing but the switch, are ports of their own. */
POINT(names_are_apart)
{
	struct nm a = up("vale%:a b"), b = up("vale%:a  b"), c = up("vale%:");
	struct nm d = up("vale%x:a b");
	struct nmreq_vale_list la = { 0 }, lb = { 0 }, lc = { 0 };

	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a b", &la));
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a  b", &lb));
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:", &lc));
	CHECK(la.nr_port_idx != lb.nr_port_idx);
	CHECK(la.nr_port_idx != lc.nr_port_idx);
	CHECK(lb.nr_port_idx != lc.nr_port_idx && lc.nr_port_idx < 254);
	put_frame(txr(&a, 0), 255, 1, 60, 9);
	txsync(&a);
	rxsync(&b);
	rxsync(&c);
	rxsync(&d);
	EQ(frame_number(peek(rxr(&b, 0), NULL)), 9);
	EQ(frame_number(peek(rxr(&c, 0), NULL)), 9);
	EQ(nm_ring_space(rxr(&d, 0)), 0);
}

/* A name of 63 characters and no end is cut, not read on. */
POINT(names_of_full_length)
{
	struct nmreq_register reg = { .nr_mode = NR_REG_ALL_NIC };
	struct nmreq_header hdr = { .nr_version = NETMAP_API,
				    .nr_reqtype = NETMAP_REQ_REGISTER,
				    .nr_body = (uintptr_t)&reg };
	int fd = dev();

	memset(hdr.nr_name, 'x', sizeof(hdr.nr_name));
	FAILS(ENXIO, ioctl(fd, NIOCCTRL, &hdr));
	memset(hdr.nr_name, 'y', sizeof(hdr.nr_name));
	memcpy(hdr.nr_name, "pipe{", 5);
	WORKS(ioctl(fd, NIOCCTRL, &hdr));
}

/* Old requests have names of 15 characters. */
POINT(names_of_old_requests)
{
	struct nmreq req = { .nr_version = NETMAP_API,
			     .nr_flags = NR_REG_PIPE_SLAVE,
			     .nr_ringid = 4095 };
	struct nmreq_port_info_get info = { 0 };
	int fd = dev();

	memcpy(req.nr_name, "vale12345678:ab0", 16);
	WORKS(ioctl(fd, NIOCREGIF, &req));
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "vale12345678:ab}4095",
		   &info));
	EQ(info.nr_mem_id, req.nr_arg2);
	WORKS(close(fd));
	FAILS(ENXIO,
	      ctrl(dev(), NETMAP_REQ_PORT_HDR_GET, "vale12345678:ab}4095",
		   &(struct nmreq_port_hdr){ 0 }));
}
