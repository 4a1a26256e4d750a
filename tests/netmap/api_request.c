// SPDX-License-Identifier: BSD-2-Clause
// api_request.c - the descriptor, the header of a request, options, queries.
#include "nmt.h"

#include <sys/stat.h>

int __open_2(const char *path, int flags);
int open64(const char *path, int flags, ...);

POINT(open_gives_a_descriptor)
{
	int fd = dev();

	EQ(fcntl(fd, F_GETFD), 0);
	WORKS(close(fd));
	FAILS(EBADF, ioctl(fd, NIOCTXSYNC, NULL));
}

POINT(open_cloexec)
{
	int fd = WORKS(open(DEV, O_RDWR | O_CLOEXEC));

	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

POINT(open_in_all_ways)
{
	int fds[4] = { WORKS(openat(AT_FDCWD, DEV, O_RDWR)),
		       WORKS(open64(DEV, O_RDWR)), WORKS(__open_2(DEV, O_RDWR)),
		       WORKS(openat(-1, DEV, O_RDWR)) };

	for (int i = 0; i < 4; i++)
		FAILS(ENXIO, ioctl(fds[i], NIOCTXSYNC, NULL));
}

POINT(device_can_be_probed)
{
	struct stat st;

	WORKS(access(DEV, R_OK | W_OK));
	WORKS(stat(DEV, &st));
	CHECK(S_ISCHR(st.st_mode));
}

POINT(unbound_txsync)
{
	FAILS(ENXIO, ioctl(dev(), NIOCTXSYNC, NULL));
}

POINT(unbound_rxsync)
{
	FAILS(ENXIO, ioctl(dev(), NIOCRXSYNC, NULL));
}

POINT(unbound_mmap)
{
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, dev(), 0);

	CHECK(at == MAP_FAILED);
	EQ(errno, EINVAL);
}

POINT(unbound_poll)
{
	EQ(poll1(dev(), POLLIN, WAIT_MS), POLLERR);
}

POINT(unknown_ioctl)
{
	int fd = dev();

	FAILS(EOPNOTSUPP, ioctl(fd, _IO('i', 200), NULL));
	FAILS(EOPNOTSUPP, ioctl(fd, _IO('i', 144), NULL));
	WORKS(bind_mode(&(struct nm){ .fd = fd }, "vale%:a", NR_REG_ALL_NIC,
			0));
	FAILS(EOPNOTSUPP, ioctl(fd, _IO('i', 200), NULL));
}

/* One request with a version, a reserved word and a type. */
static int raw_request(uint16_t version, uint32_t reserved, uint16_t type,
		       void *body)
{
	struct nmreq_header hdr = { .nr_version = version,
				    .nr_reserved = reserved,
				    .nr_reqtype = type,
				    .nr_body = (uintptr_t)body };
	int fd = dev(), result;

	snprintf(hdr.nr_name, sizeof(hdr.nr_name), "%s", N("vale%:a"));
	result = ioctl(fd, NIOCCTRL, &hdr);
	if (!result)
		WORKS(close(fd));
	return result;
}

POINT(header_version)
{
	struct nmreq_port_info_get info = { 0 };

	FAILS(EINVAL, raw_request(13, 0, NETMAP_REQ_PORT_INFO_GET, &info));
	FAILS(EINVAL, raw_request(16, 0, NETMAP_REQ_PORT_INFO_GET, &info));
	FAILS(EINVAL, raw_request(0, 0, NETMAP_REQ_PORT_INFO_GET, &info));
	WORKS(raw_request(14, 0, NETMAP_REQ_PORT_INFO_GET, &info));
	info.nr_mem_id = 0; /* that region is gone */
	WORKS(raw_request(15, 0, NETMAP_REQ_PORT_INFO_GET, &info));
}

POINT(header_reserved)
{
	struct nmreq_port_info_get info = { 0 };

	FAILS(EINVAL, raw_request(14, 1, NETMAP_REQ_PORT_INFO_GET, &info));
	FAILS(EINVAL,
	      raw_request(14, 0x80000000, NETMAP_REQ_PORT_INFO_GET, &info));
}

POINT(header_unknown_type)
{
	char body[256] = { 0 };

	FAILS(EINVAL, raw_request(14, 0, 0, body));
	FAILS(EINVAL, raw_request(14, 0, 16, body));
	FAILS(EINVAL, raw_request(14, 0, 0xffff, body));
	FAILS(EINVAL, raw_request(14, 0, 16, NULL));
}

POINT(header_body_required)
{
	static const int types[] = {
		NETMAP_REQ_REGISTER,
		NETMAP_REQ_PORT_INFO_GET,
		NETMAP_REQ_VALE_ATTACH,
		NETMAP_REQ_VALE_DETACH,
		NETMAP_REQ_VALE_LIST,
		NETMAP_REQ_PORT_HDR_SET,
		NETMAP_REQ_PORT_HDR_GET,
		NETMAP_REQ_VALE_NEWIF,
		NETMAP_REQ_POOLS_INFO_GET,
		NETMAP_REQ_SYNC_KLOOP_START,
		NETMAP_REQ_VALE_POLLING_ENABLE,
		NETMAP_REQ_VALE_POLLING_DISABLE,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		FAILS(EINVAL, ctrl(dev(), types[i], "vale%:a", NULL));
}

POINT(header_body_forbidden)
{
	char body[64] = { 0 };

	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_VALE_DELIF, "p%", body));
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_CSB_ENABLE, "", body));
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_SYNC_KLOOP_STOP, "", body));
}

POINT(header_bad_addresses)
{
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	int fd = dev();

	FAILS(EFAULT, ioctl(fd, NIOCCTRL, hole));
	FAILS(EFAULT, ioctl(fd, NIOCCTRL, NULL));
	FAILS(EFAULT, ctrl(fd, NETMAP_REQ_REGISTER, "vale%:a", hole));
	FAILS(EFAULT, ioctl(fd, NIOCREGIF, hole));
	FAILS(EFAULT, ioctl(fd, NIOCGINFO, hole));
	WORKS(bind_mode(&(struct nm){ .fd = fd }, "vale%:a", NR_REG_ALL_NIC,
			0));
}

POINT(header_name_without_end)
{
	struct nmreq_register reg = { .nr_mode = NR_REG_ALL_NIC };
	struct nmreq_header hdr = { .nr_version = NETMAP_API,
				    .nr_reqtype = NETMAP_REQ_REGISTER,
				    .nr_body = (uintptr_t)&reg };

	memset(hdr.nr_name, 'x', sizeof(hdr.nr_name));
	FAILS_SOMEHOW(ioctl(dev(), NIOCCTRL, &hdr));
}

/* A request with options, on a descriptor of its own. */
static int with_option(int type, void *option)
{
	struct nmreq_port_info_get info = { 0 };
	struct nmreq_register reg = { .nr_mode = NR_REG_ALL_NIC };
	int result, fd = dev();

	result = ctrl_opt(fd, type, "vale%:a",
			  type == NETMAP_REQ_REGISTER ? (void *)&reg : &info,
			  option);
	if (!result)
		WORKS(close(fd));
	return result;
}

POINT(option_nobody_wants)
{
	struct nmreq_opt_csb csb = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_CSB }
	};

	FAILS(EOPNOTSUPP, with_option(NETMAP_REQ_PORT_INFO_GET, &csb));
	EQ(csb.nro_opt.nro_status, EOPNOTSUPP);
}

POINT(option_kloop_on_register)
{
	struct nmreq_opt_sync_kloop_mode mode = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_SYNC_KLOOP_MODE }
	};

	FAILS(EOPNOTSUPP, with_option(NETMAP_REQ_REGISTER, &mode));
	EQ(mode.nro_opt.nro_status, EOPNOTSUPP);
}

POINT(option_unknown_type)
{
	struct nmreq_option option = { .nro_reqtype = 77 };

	FAILS(EOPNOTSUPP, with_option(NETMAP_REQ_REGISTER, &option));
	EQ(option.nro_status, EOPNOTSUPP);
	option.nro_status = 0;
	FAILS(EOPNOTSUPP, with_option(NETMAP_REQ_PORT_INFO_GET, &option));
	EQ(option.nro_status, EOPNOTSUPP);
}

POINT(option_failure_leaves_no_port)
{
	struct nmreq_option option = { .nro_reqtype = 77 };
	struct nmreq_vale_list list = { 0 };
	int fd = dev();
	struct nm p = { .fd = fd };

	FAILS(EOPNOTSUPP, bind_port(&p, "vale%:a", &option));
	FAILS(ENXIO, ioctl(fd, NIOCTXSYNC, NULL));
	FAILS(ENOENT, ctrl(fd, NETMAP_REQ_VALE_LIST, "vale%:a", &list));
	WORKS(bind_mode(&p, "vale%:a", NR_REG_ALL_NIC, 0));
}

POINT(option_type_zero)
{
	struct nmreq_option option = { .nro_reqtype = 0 };

	FAILS(EINVAL, with_option(NETMAP_REQ_REGISTER, &option));
}

POINT(option_twice)
{
	struct nmreq_opt_offsets two[2] = {
		{ .nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS } },
		{ .nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS } },
	};

	two[0].nro_opt.nro_next = (uintptr_t)&two[1];
	FAILS(EINVAL, with_option(NETMAP_REQ_REGISTER, &two[0]));
	EQ(two[0].nro_opt.nro_status, EINVAL);
	EQ(two[1].nro_opt.nro_status, EINVAL);
}

POINT(option_loop_of_unknown_type)
{
	struct nmreq_option option = { .nro_reqtype = 77 };

	option.nro_next = (uintptr_t)&option;
	FAILS(EMSGSIZE, with_option(NETMAP_REQ_REGISTER, &option));
}

POINT(option_loop_of_valid_type)
{
	struct nmreq_opt_offsets option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS }
	};

	option.nro_opt.nro_next = (uintptr_t)&option;
	FAILS(EINVAL, with_option(NETMAP_REQ_REGISTER, &option));
}

POINT(option_too_many)
{
	struct nmreq_option many[4096 / sizeof(struct nmreq_option)];

	memset(many, 0, sizeof(many));
	for (size_t i = 0; i < sizeof(many) / sizeof(*many); i++) {
		many[i].nro_reqtype = 77;
		many[i].nro_next = (uintptr_t)&many[i + 1];
	}
	many[sizeof(many) / sizeof(*many) - 1].nro_next = 0;
	FAILS(EMSGSIZE, with_option(NETMAP_REQ_REGISTER, many));
}

POINT(option_bad_address)
{
	char *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	FAILS(EFAULT, with_option(NETMAP_REQ_REGISTER, hole));
}

POINT(option_consumed_has_status_0)
{
	struct nmreq_opt_offsets option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS,
			     .nro_status = 99 },
		.nro_max_offset = 128,
	};

	WORKS(with_option(NETMAP_REQ_REGISTER, &option));
	EQ(option.nro_opt.nro_status, 0);
}

POINT(option_one_of_two_unknown)
{
	struct nmreq_option unknown = { .nro_reqtype = 77 };
	struct nmreq_opt_offsets option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_OFFSETS,
			     .nro_next = (uintptr_t)&unknown },
	};

	FAILS(EOPNOTSUPP, with_option(NETMAP_REQ_REGISTER, &option));
	EQ(unknown.nro_status, EOPNOTSUPP);
	EQ(option.nro_opt.nro_status, 0);
}

POINT(info_makes_no_port)
{
	struct nmreq_port_info_get info = { 0 };
	struct nmreq_vale_list list = { 0 };

	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "vale%:a", &info));
	EQ(info.nr_tx_rings, 1);
	EQ(info.nr_rx_rings, 1);
	EQ(info.nr_tx_slots, 1024);
	EQ(info.nr_rx_slots, 1024);
	CHECK(info.nr_memsize > 1024 * 2 * BUF_SIZE);
	CHECK(info.nr_mem_id != 0);
	FAILS(ENOENT, ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:a", &list));
}

POINT(info_of_a_bound_port)
{
	struct nmreq_register reg = { .nr_tx_rings = 2,
				      .nr_rx_rings = 3,
				      .nr_tx_slots = 256,
				      .nr_rx_slots = 512,
				      .nr_mode = NR_REG_ALL_NIC };
	struct nmreq_port_info_get info = { 0 };
	struct nm p = { .reg = reg };

	WORKS(bind_port(&p, "vale%:a", NULL));
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "vale%:a", &info));
	EQ(info.nr_tx_rings, 2);
	EQ(info.nr_rx_rings, 3);
	EQ(info.nr_tx_slots, 256);
	EQ(info.nr_rx_slots, 512);
	EQ(info.nr_mem_id, p.reg.nr_mem_id);
	EQ(info.nr_memsize, p.reg.nr_memsize);
	/* On the bound descriptor as well. */
	WORKS(ctrl(p.fd, NETMAP_REQ_PORT_INFO_GET, "vale%:a", &info));
}

POINT(info_of_a_pipe)
{
	struct nmreq_port_info_get info = { 0 };

	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "p%{1", &info));
	EQ(info.nr_tx_rings, 1);
	EQ(info.nr_rx_rings, 1);
	CHECK(info.nr_mem_id != 0);
	/* Neither the pipe nor its parent nor their region is left. */
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
	info.nr_mem_id = 0;
	FAILS(ENXIO, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "p%", &info));
}

POINT(info_of_unknown_names)
{
	struct nmreq_port_info_get info = { 0 };

	FAILS(ENXIO, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "none%", &info));
}

POINT(info_without_a_name)
{
	struct nmreq_port_info_get info = { 0 };
	struct nm p = up("vale%:a");

	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
	EQ(info.nr_mem_id, 1);
	CHECK(info.nr_memsize > 0);
	memset(&info, 0, sizeof(info));
	info.nr_mem_id = p.reg.nr_mem_id;
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
	EQ(info.nr_mem_id, p.reg.nr_mem_id);
	EQ(info.nr_memsize, p.reg.nr_memsize);
	info.nr_mem_id = 54321;
	FAILS(EINVAL, ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "", &info));
}

POINT(pools_of_a_port)
{
	struct nmreq_pools_info pools = { 0 };
	struct nm p = up("vale%:a");
	struct netmap_ring *tx = txr(&p, 0);

	WORKS(ctrl(dev(), NETMAP_REQ_POOLS_INFO_GET, "vale%:a", &pools));
	EQ(pools.nr_memsize, p.reg.nr_memsize);
	EQ(pools.nr_mem_id, p.reg.nr_mem_id);
	EQ(pools.nr_buf_pool_objsize, BUF_SIZE);
	CHECK(pools.nr_buf_pool_objtotal >= 2048);
	CHECK(pools.nr_if_pool_objtotal >= 1 && pools.nr_if_pool_objsize >= 64);
	CHECK(pools.nr_ring_pool_objtotal >= 2);
	CHECK(pools.nr_ring_pool_objsize >= 256 + 16);
	CHECK(pools.nr_if_pool_offset < pools.nr_memsize);
	CHECK(pools.nr_ring_pool_offset < pools.nr_memsize);
	CHECK(pools.nr_buf_pool_offset +
		      (uint64_t)pools.nr_buf_pool_objtotal * BUF_SIZE <=
	      pools.nr_memsize);
	/* Buffers lie where it says. */
	CHECK((char *)tx + tx->buf_ofs == p.mem + pools.nr_buf_pool_offset);
}

POINT(pools_need_a_name)
{
	struct nmreq_pools_info pools = { 0 };

	FAILS_SOMEHOW(ctrl(dev(), NETMAP_REQ_POOLS_INFO_GET, "", &pools));
	FAILS(ENXIO, ctrl(dev(), NETMAP_REQ_POOLS_INFO_GET, "none%", &pools));
}
