// SPDX-License-Identifier: BSD-2-Clause
// api_legacy.c - NIOCREGIF, NIOCGINFO and NIOCCONFIG, with struct nmreq.
#include "nmt.h"

static struct nmreq request(const char *name)
{
	struct nmreq req = { .nr_version = NETMAP_API };

	strncpy(req.nr_name, N(name), sizeof(req.nr_name) - 1);
	return req;
}

/* NIOCREGIF with a verb, on a descriptor of its own. */
static int verb(struct nmreq *req, int cmd)
{
	int fd = dev(), result, error;

	req->nr_cmd = (uint16_t)cmd;
	result = ioctl(fd, NIOCREGIF, req);
	error = errno;
	WORKS(close(fd));
	errno = error;
	return result;
}

static int verb_on(const char *name, int cmd)
{
	struct nmreq req = request(name);

	return verb(&req, cmd);
}

POINT(legacy_info)
{
	struct nmreq req = request("vale%:a");

	WORKS(ioctl(dev(), NIOCGINFO, &req));
	EQ(req.nr_tx_rings, 1);
	EQ(req.nr_rx_rings, 1);
	EQ(req.nr_tx_slots, 1024);
	EQ(req.nr_rx_slots, 1024);
	CHECK(req.nr_memsize > 0 && req.nr_arg2 != 0);
	req = request("none%");
	FAILS(ENXIO, ioctl(dev(), NIOCGINFO, &req));
}

POINT(legacy_info_without_a_name)
{
	struct nmreq req = request("");

	WORKS(ioctl(dev(), NIOCGINFO, &req));
	EQ(req.nr_arg2, 1);
	CHECK(req.nr_memsize > 0);
}

POINT(legacy_versions)
{
	static const uint32_t good[] = { 14, 15, 16, 0xffff };

	for (int i = 0; i < 4; i++) {
		struct nmreq req = request("vale%:a");

		req.nr_version = good[i];
		WORKS(ioctl(dev(), NIOCGINFO, &req));
	}
	for (uint32_t version = 0; version < 14; version += 13) {
		struct nmreq req = request("vale%:a");

		req.nr_version = version;
		FAILS(EINVAL, ioctl(dev(), NIOCGINFO, &req));
		FAILS(EINVAL, ioctl(dev(), NIOCREGIF, &req));
	}
}

/* Registers and maps; the netmap_if. */
static struct netmap_if *regif(struct nmreq *req)
{
	int fd = dev();
	char *mem;

	WORKS(ioctl(fd, NIOCREGIF, req));
	CHECK(req->nr_offset < req->nr_memsize);
	mem = mmap(NULL, req->nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	CHECK(mem != MAP_FAILED);
	return NETMAP_IF(mem, req->nr_offset);
}

POINT(legacy_register)
{
	struct nmreq req = request("vale%:a");
	struct netmap_if *nifp;

	req.nr_flags = NR_REG_ALL_NIC;
	nifp = regif(&req);
	EQ(req.nr_tx_rings, 1);
	EQ(req.nr_tx_slots, 1024);
	CHECK(req.nr_arg2 != 0);
	EQ(NETMAP_TXRING(nifp, 0)->tail, 1023);
	EQ(NETMAP_RXRING(nifp, 0)->dir, 1);
}

POINT(legacy_register_without_a_mode)
{
	struct nmreq req = request("vale%:a"), one = request("vale%:a");
	struct netmap_if *nifp;

	req.nr_tx_rings = req.nr_rx_rings = 2;
	nifp = regif(&req);
	CHECK(nifp->ring_ofs[0] && nifp->ring_ofs[1]);
	one.nr_ringid = NETMAP_HW_RING | 1;
	nifp = regif(&one);
	CHECK(!nifp->ring_ofs[0] && nifp->ring_ofs[1]);
	CHECK(!nifp->ring_ofs[3] && nifp->ring_ofs[4]);
	EQ(one.nr_ringid & NETMAP_RING_MASK, 1);
}

POINT(legacy_register_one_ring)
{
	struct nmreq req = request("vale%:a");
	struct netmap_if *nifp;

	req.nr_tx_rings = req.nr_rx_rings = 2;
	req.nr_flags = NR_REG_ONE_NIC;
	req.nr_ringid = 1;
	nifp = regif(&req);
	CHECK(!nifp->ring_ofs[0] && nifp->ring_ofs[1]);
}

POINT(legacy_register_extra_buffers_and_memory)
{
	struct nmreq a = request("vale%:a"), b = request("vale%:b");
	struct netmap_if *nifp;

	a.nr_flags = b.nr_flags = NR_REG_ALL_NIC;
	a.nr_arg3 = 50;
	nifp = regif(&a);
	EQ(a.nr_arg3, 50);
	CHECK(nifp->ni_bufs_head > 1);
	b.nr_arg2 = a.nr_arg2;
	regif(&b);
	EQ(b.nr_arg2, a.nr_arg2);
	EQ(b.nr_memsize, a.nr_memsize);
	b = request("vale%:c");
	b.nr_arg2 = 54321;
	FAILS(EINVAL, ioctl(dev(), NIOCREGIF, &b));
}

POINT(legacy_pipes)
{
	struct nmreq a = request("p%"), b = request("p%"), c = request("p%{7");
	struct netmap_if *m, *s;

	a.nr_flags = NR_REG_PIPE_MASTER;
	b.nr_flags = NR_REG_PIPE_SLAVE;
	a.nr_ringid = b.nr_ringid = 3;
	m = regif(&a);
	s = regif(&b);
	EQ(a.nr_arg2, b.nr_arg2);
	CHECK(NETMAP_TXRING(m, 0)->num_slots == NETMAP_RXRING(s, 0)->num_slots);
	c.nr_flags = NR_REG_ALL_NIC;
	regif(&c);
	EQ(c.nr_arg2, a.nr_arg2);
}

POINT(legacy_null_is_no_mode_of_a_name)
{
	struct nmreq a = request("vale%:a"), b = request("");

	a.nr_flags = NR_REG_ALL_NIC;
	regif(&a);
	b.nr_flags = NR_REG_NULL;
	b.nr_arg2 = a.nr_arg2;
	regif(&b);
	EQ(b.nr_arg2, a.nr_arg2);
}

/* The struct comes back also with an error. */
POINT(legacy_error_copies_back)
{
	struct nmreq req = request("vale%:a");
	int fd = dev();

	req.nr_flags = NR_REG_ALL_NIC;
	WORKS(ioctl(fd, NIOCREGIF, &req));
	req = request("vale%:a");
	req.nr_flags = NR_REG_ALL_NIC;
	FAILS(EBUSY, ioctl(fd, NIOCREGIF, &req));
	CHECK(!strcmp(req.nr_name, N("vale%:a")));
	EQ(req.nr_flags & 0xf, NR_REG_ALL_NIC);
}

POINT(legacy_newif_delif)
{
	struct nmreq req = request("p%");

	req.nr_tx_rings = 2;
	WORKS(verb(&req, NETMAP_BDG_NEWIF));
	FAILS(EEXIST, verb_on("p%", NETMAP_BDG_NEWIF));
	req = request("p%");
	WORKS(ioctl(dev(), NIOCGINFO, &req));
	EQ(req.nr_tx_rings, 2);
	WORKS(verb_on("p%", NETMAP_BDG_DELIF));
	FAILS(ENXIO, verb_on("p%", NETMAP_BDG_DELIF));
}

POINT(legacy_attach_list_detach)
{
	struct nmreq req = request("vale%:p%");

	WORKS(verb_on("p%", NETMAP_BDG_NEWIF));
	WORKS(verb_on("vale%:p%", NETMAP_BDG_ATTACH));
	FAILS(EBUSY, verb_on("vale%:p%", NETMAP_BDG_ATTACH));
	req.nr_cmd = NETMAP_BDG_LIST;
	WORKS(ioctl(dev(), NIOCGINFO, &req));
	CHECK(req.nr_arg2 < 254); /* the port's index; nr_arg1: the switch's */
	req = request("none%");
	req.nr_cmd = NETMAP_BDG_LIST;
	FAILS(EINVAL, ioctl(dev(), NIOCGINFO, &req));
	WORKS(verb_on("vale%:p%", NETMAP_BDG_DETACH));
	WORKS(verb_on("p%", NETMAP_BDG_DELIF));
}

POINT(legacy_list_iterates)
{
	struct nmreq req = request("");
	struct nm a = up("vale%:a"), b = up("vale%:b");
	int mine = 0, n = 0, fd = dev();

	for (; n < 3000; n++, req.nr_arg2++) {
		req.nr_name[0] = 0;
		req.nr_version = NETMAP_API;
		req.nr_cmd = NETMAP_BDG_LIST;
		if (ioctl(fd, NIOCGINFO, &req))
			break;
		mine += !strcmp(req.nr_name, N("vale%:a")) ||
			!strcmp(req.nr_name, N("vale%:b"));
	}
	EQ(errno, ENOENT);
	EQ(mine, 2);
	(void)a, (void)b;
}

POINT(legacy_vnet_header)
{
	struct nmreq req = request("vale%:a");
	struct nm p = up_mode("vale%:a", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);

	req.nr_arg1 = 12;
	WORKS(verb(&req, NETMAP_BDG_VNET_HDR));
	req = request("vale%:a");
	WORKS(verb(&req, NETMAP_VNET_HDR_GET));
	EQ(req.nr_arg1, 12);
	req = request("vale%:a");
	req.nr_arg1 = 11;
	FAILS(EINVAL, verb(&req, NETMAP_BDG_VNET_HDR));
	txsync(&p);
}

POINT(legacy_polling_needs_an_interface)
{
	struct nmreq req = request("vale%:a");
	struct nm p = up("vale%:a");

	req.nr_flags = NR_REG_ALL_NIC;
	req.nr_arg1 = 1;
	FAILS(EOPNOTSUPP, verb(&req, NETMAP_BDG_POLLING_ON));
	txsync(&p);
}

POINT(legacy_verbs_that_are_refused)
{
	FAILS_SOMEHOW(verb_on("vale%:a", NETMAP_PT_HOST_CREATE));
	FAILS_SOMEHOW(verb_on("vale%:a", NETMAP_PT_HOST_DELETE));
	FAILS_SOMEHOW(verb_on("vale%:a", 999));
}

POINT(legacy_config_without_a_hook)
{
	struct nm_ifreq req = { .nifr_name = "" };
	struct nm p = up("vale%:a");

	strncpy(req.nifr_name, N("vale%:a"), sizeof(req.nifr_name) - 1);
	FAILS(EOPNOTSUPP, ioctl(dev(), NIOCCONFIG, &req));
	txsync(&p);
}

POINT(legacy_flags)
{
	struct nmreq a = request("vale%:a"), b = request("vale%:a");
	int fd = dev();

	a.nr_flags = NR_REG_ALL_NIC | NR_EXCLUSIVE;
	a.nr_ringid = NETMAP_NO_TX_POLL;
	WORKS(ioctl(fd, NIOCREGIF, &a));
	EQ(a.nr_flags, NR_REG_ALL_NIC | NR_EXCLUSIVE);
	b.nr_flags = NR_REG_ALL_NIC;
	FAILS(EBUSY, ioctl(dev(), NIOCREGIF, &b));
}
