// SPDX-License-Identifier: BSD-2-Clause
// api_vale.c - switches: persistent ports, attach, list, headers, polling.
#include "nmt.h"

/* Requests on a descriptor that is used for nothing else. */
static int ask(int type, const char *name, void *body)
{
	int fd = dev(), result = ctrl(fd, type, name, body);
	int error = errno;

	WORKS(close(fd));
	errno = error;
	return result;
}

static int newif(const char *name)
{
	struct nmreq_vale_newif body = { 0 };

	return ask(NETMAP_REQ_VALE_NEWIF, name, &body);
}

static int delif(const char *name)
{
	return ask(NETMAP_REQ_VALE_DELIF, name, NULL);
}

static int attach(const char *name)
{
	struct nmreq_vale_attach body = { .reg.nr_mode = NR_REG_ALL_NIC };

	return ask(NETMAP_REQ_VALE_ATTACH, name, &body);
}

static int detach(const char *name)
{
	struct nmreq_vale_detach body = { 0 };

	return ask(NETMAP_REQ_VALE_DETACH, name, &body);
}

/* The index of a port; -1 with errno; 255: only its switch is there. */
static int port_idx(const char *name)
{
	struct nmreq_vale_list body = { 0 };

	if (ask(NETMAP_REQ_VALE_LIST, name, &body))
		return -1;
	return (int)body.nr_port_idx;
}

POINT(newif_gives_real_numbers)
{
	struct nmreq_vale_newif body = { 0 };
	struct nmreq_port_info_get info = { 0 };

	WORKS(ask(NETMAP_REQ_VALE_NEWIF, "p%", &body));
	EQ(body.nr_tx_rings, 1);
	EQ(body.nr_rx_rings, 1);
	EQ(body.nr_tx_slots, 1024);
	EQ(body.nr_rx_slots, 1024);
	CHECK(body.nr_mem_id != 0);
	WORKS(ask(NETMAP_REQ_PORT_INFO_GET, "p%", &info));
	EQ(info.nr_mem_id, body.nr_mem_id);
	EQ(info.nr_tx_slots, 1024);
	WORKS(delif("p%"));
	info.nr_mem_id = 0;
	FAILS(ENXIO, ask(NETMAP_REQ_PORT_INFO_GET, "p%", &info));
}

POINT(newif_takes_wishes)
{
	struct nmreq_vale_newif body = { .nr_tx_rings = 2,
					 .nr_rx_rings = 4,
					 .nr_tx_slots = 256,
					 .nr_rx_slots = 512 };
	struct nm p = { 0 };

	WORKS(ask(NETMAP_REQ_VALE_NEWIF, "p%", &body));
	EQ(body.nr_tx_rings, 2);
	EQ(body.nr_rx_rings, 4);
	WORKS(bind_mode(&p, "p%", NR_REG_ALL_NIC, 0));
	EQ(p.reg.nr_tx_rings, 2);
	EQ(p.reg.nr_rx_rings, 4);
	EQ(p.reg.nr_tx_slots, 256);
	EQ(p.reg.nr_rx_slots, 512);
	EQ(p.reg.nr_mem_id, body.nr_mem_id);
	WORKS(close(p.fd));
	WORKS(delif("p%"));
}

POINT(newif_in_a_region)
{
	struct nm a = up("vale%:a");
	struct nmreq_vale_newif body = { .nr_mem_id = a.reg.nr_mem_id };

	WORKS(ask(NETMAP_REQ_VALE_NEWIF, "p%", &body));
	EQ(body.nr_mem_id, a.reg.nr_mem_id);
	WORKS(delif("p%"));
	body.nr_mem_id = 54321;
	FAILS(EINVAL, ask(NETMAP_REQ_VALE_NEWIF, "p%", &body));
}

POINT(newif_of_a_name_that_exists)
{
	WORKS(newif("p%"));
	FAILS(EEXIST, newif("p%"));
	FAILS(EEXIST, newif("lo"));
	WORKS(delif("p%"));
}

POINT(delif_errors)
{
	struct nm p = { 0 };

	FAILS(ENXIO, delif("p%"));
	FAILS(EINVAL, delif("lo"));
	WORKS(newif("p%"));
	WORKS(bind_mode(&p, "p%", NR_REG_ALL_NIC, 0));
	FAILS(EBUSY, delif("p%"));
	WORKS(close(p.fd));
	WORKS(attach("vale%:p%"));
	FAILS(EBUSY, delif("p%"));
	WORKS(detach("vale%:p%"));
	WORKS(delif("p%"));
	FAILS(ENXIO, delif("p%"));
}

POINT(persistent_port_outlives_its_opens)
{
	struct nm p = { 0 };

	WORKS(newif("p%"));
	WORKS(bind_mode(&p, "p%", NR_REG_ALL_NIC, 0));
	WORKS(close(p.fd));
	p = (struct nm){ 0 };
	WORKS(bind_mode(&p, "p%", NR_REG_ALL_NIC, 0));
	WORKS(close(p.fd));
	WORKS(delif("p%"));
}

POINT(attach_and_open_as_port_of_the_switch)
{
	struct nmreq_vale_attach body = { .reg.nr_mode = NR_REG_ALL_NIC };
	struct nmreq_vale_newif made = { 0 };
	struct nmreq_vale_detach gone = { .port_index = 99 };
	struct nm a, b;

	WORKS(ask(NETMAP_REQ_VALE_NEWIF, "p%", &made));
	WORKS(ask(NETMAP_REQ_VALE_ATTACH, "vale%:p%", &body));
	EQ(port_idx("vale%:p%"), body.port_index);
	/* Not written back. */
	EQ(body.reg.nr_mem_id, 0);
	a = up("vale%:p%");
	EQ(a.reg.nr_mem_id, made.nr_mem_id);
	b = up("vale%:b");
	put_frame(txr(&b, 0), 255, 2, 60, 5);
	txsync(&b);
	rxsync(&a);
	EQ(nm_ring_space(rxr(&a, 0)), 1);
	EQ(frame_number(peek(rxr(&a, 0), NULL)), 5);
	down(&a);
	WORKS(ask(NETMAP_REQ_VALE_DETACH, "vale%:p%", &gone));
	EQ(gone.port_index, body.port_index);
	EQ(port_idx("vale%:p%"), 255);
	WORKS(delif("p%"));
}

POINT(attach_errors)
{
	struct nmreq_vale_attach body = { .reg.nr_mode = NR_REG_ONE_NIC };
	struct nm p = { 0 };

	WORKS(newif("p%"));
	FAILS(EINVAL, ask(NETMAP_REQ_VALE_ATTACH, "vale%:p%", &body));
	body.reg.nr_mode = NR_REG_SW;
	FAILS(EINVAL, ask(NETMAP_REQ_VALE_ATTACH, "vale%:p%", &body));
	body.reg.nr_mode = NR_REG_ALL_NIC;
	body.reg.nr_ringid = 1;
	FAILS(EINVAL, ask(NETMAP_REQ_VALE_ATTACH, "vale%:p%", &body));
	body.reg.nr_ringid = 0;
	body.reg.nr_mem_id = 54321;
	FAILS(EINVAL, ask(NETMAP_REQ_VALE_ATTACH, "vale%:p%", &body));
	FAILS(EINVAL, attach("vale%:none%"));
	/* Open by somebody. */
	WORKS(bind_mode(&p, "p%", NR_REG_ALL_NIC, 0));
	FAILS(EBUSY, attach("vale%:p%"));
	WORKS(close(p.fd));
	WORKS(attach("vale%:p%"));
	FAILS(EBUSY, attach("vale%:p%"));
	WORKS(detach("vale%:p%"));
	WORKS(delif("p%"));
}

POINT(attached_port_is_not_for_others)
{
	WORKS(newif("p%"));
	WORKS(attach("vale%:p%"));
	FAILS(EBUSY, bind_mode(&(struct nm){ 0 }, "p%", NR_REG_ALL_NIC, 0));
	WORKS(detach("vale%:p%"));
	/* Nor does one that is not attached share its name. */
	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:p%", NR_REG_ALL_NIC, 0));
	WORKS(delif("p%"));
	WORKS(bind_mode(&(struct nm){ 0 }, "vale%:p%", NR_REG_ALL_NIC, 0));
}

/* Programs that have the port open keep it, and reach nobody any more. */
POINT(detach_of_a_port_that_is_open)
{
	struct nmreq_vale_detach gone = { .port_index = 99 };
	struct nm a, b, c = { 0 };
	int index;

	WORKS(newif("p%"));
	WORKS(attach("vale%:p%"));
	a = up("vale%:p%");
	b = up("vale%:b");
	index = port_idx("vale%:p%");
	put_frame(txr(&b, 0), 255, 2, 60, 1);
	txsync(&b);
	put_frame(txr(&a, 0), 255, 1, 60, 2);
	WORKS(ask(NETMAP_REQ_VALE_DETACH, "vale%:p%", &gone));
	EQ(gone.port_index, index);
	EQ(port_idx("vale%:p%"), 255);
	for (int i = 0; i < 2000; i++) {
		put_frame(txr(&a, 0), 255, 1, 60, 3);
		txsync(&a);
		EQ(nm_ring_space(txr(&a, 0)), 1023);
		put_frame(txr(&b, 0), 255, 2, 60, 3);
		txsync(&b);
	}
	rxsync(&a);
	rxsync(&b);
	EQ(nm_ring_space(rxr(&a, 0)), 1);
	EQ(frame_number(peek(rxr(&a, 0), NULL)), 1);
	EQ(nm_ring_space(rxr(&b, 0)), 0);
	EQ(poll1(a.fd, POLLOUT, WAIT_MS), POLLOUT);
	/* It has its own name again, and no other. */
	WORKS(bind_mode(&c, "p%", NR_REG_ALL_NIC, 0));
	EQ(c.reg.nr_mem_id, a.reg.nr_mem_id);
	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:p%", NR_REG_ALL_NIC, 0));
	FAILS(EBUSY, attach("vale%:p%"));
	FAILS(EBUSY, delif("p%"));
	WORKS(close(c.fd));
	down(&a);
	WORKS(delif("p%"));
}

POINT(detach_errors)
{
	FAILS_SOMEHOW(detach("vale%:p%"));
	WORKS(newif("p%"));
	FAILS_SOMEHOW(detach("vale%:p%"));
	FAILS_SOMEHOW(detach("p%"));
	WORKS(delif("p%"));
}

POINT(attach_to_two_switches)
{
	WORKS(newif("p%"));
	WORKS(attach("vale%x:p%"));
	WORKS(attach("vale%y:p%"));
	FAILS(EBUSY, detach("vale%x:p%"));
	WORKS(detach("vale%y:p%"));
	WORKS(detach("vale%x:p%"));
	WORKS(delif("p%"));
}

POINT(list_by_name)
{
	struct nmreq_vale_list a = { 0 }, b = { 0 }, c = { 0 };
	struct nm p = up("vale%x:a"), q = up("vale%x:b"), r = up("vale%y:a");

	WORKS(ask(NETMAP_REQ_VALE_LIST, "vale%x:a", &a));
	WORKS(ask(NETMAP_REQ_VALE_LIST, "vale%x:b", &b));
	WORKS(ask(NETMAP_REQ_VALE_LIST, "vale%y:a", &c));
	EQ(a.nr_bridge_idx, b.nr_bridge_idx);
	CHECK(a.nr_bridge_idx != c.nr_bridge_idx);
	CHECK(a.nr_port_idx != b.nr_port_idx);
	CHECK(a.nr_port_idx < 254 && b.nr_port_idx < 254);
	EQ(port_idx("vale%x:none"), 255);
	FAILS(ENOENT, port_idx("vale%z:a"));
	FAILS(EINVAL, port_idx("p%"));
	FAILS(EINVAL, port_idx("lo"));
	(void)p, (void)q, (void)r;
}

/* Counts the ports of all switches; *mine of those whose name is in names. */
static int list_all(const char *const *names, int *mine)
{
	struct nmreq_vale_list body = { 0 };
	struct nmreq_header hdr = { .nr_version = NETMAP_API,
				    .nr_reqtype = NETMAP_REQ_VALE_LIST,
				    .nr_body = (uintptr_t)&body };
	uint32_t last = 0, here;
	int n = 0, fd = dev();

	for (*mine = 0;; n++, body.nr_port_idx++) {
		hdr.nr_name[0] = 0;
		if (ioctl(fd, NIOCCTRL, &hdr))
			break;
		CHECK(n < 3000);
		CHECK(!strncmp(hdr.nr_name, "vale", 4));
		here = body.nr_bridge_idx * 256U + body.nr_port_idx;
		CHECK(!n || here > last);
		last = here;
		for (const char *const *name = names; *name; name++)
			*mine += !strcmp(hdr.nr_name, N(*name));
	}
	EQ(errno, ENOENT);
	WORKS(close(fd));
	return n;
}

POINT(list_iterates)
{
	static const char *const names[] = { "vale%x:a", "vale%x:b", "vale%y:c",
					     "vale%z:p%", NULL };
	struct nm p = up(names[0]), q = up(names[1]), r = up(names[2]);
	int mine;

	WORKS(newif("p%"));
	WORKS(attach(names[3]));
	CHECK(list_all(names, &mine) >= 4);
	EQ(mine, 4);
	down(&q);
	list_all(names, &mine);
	EQ(mine, 3);
	WORKS(detach(names[3]));
	WORKS(delif("p%"));
	(void)p, (void)r;
}

POINT(hdr_set_and_get)
{
	static const uint32_t good[] = { 10, 12, 0 };
	static const uint32_t bad[] = { 1, 9, 11, 13, 14, 0xffffffff };
	struct nmreq_port_hdr hdr = { 0 };
	struct nm p = up_mode("vale%:a", NR_REG_ALL_NIC, NR_ACCEPT_VNET_HDR);

	WORKS(ask(NETMAP_REQ_PORT_HDR_GET, "vale%:a", &hdr));
	EQ(hdr.nr_hdr_len, 0);
	for (int i = 0; i < 3; i++) {
		hdr.nr_hdr_len = good[i];
		WORKS(ask(NETMAP_REQ_PORT_HDR_SET, "vale%:a", &hdr));
		hdr.nr_hdr_len = 99;
		WORKS(ask(NETMAP_REQ_PORT_HDR_GET, "vale%:a", &hdr));
		EQ(hdr.nr_hdr_len, good[i]);
	}
	for (int i = 0; i < 6; i++) {
		hdr.nr_hdr_len = bad[i];
		FAILS(EINVAL, ask(NETMAP_REQ_PORT_HDR_SET, "vale%:a", &hdr));
	}
	txsync(&p);
}

POINT(hdr_is_for_switches)
{
	struct nmreq_port_hdr hdr = { .nr_hdr_len = 12 };
	struct nm p = up("p%{1");

	FAILS(ENXIO, ask(NETMAP_REQ_PORT_HDR_SET, "p%{1", &hdr));
	FAILS(ENXIO, ask(NETMAP_REQ_PORT_HDR_SET, "vale%:none", &hdr));
	WORKS(ask(NETMAP_REQ_PORT_HDR_GET, "p%{1", &hdr));
	EQ(hdr.nr_hdr_len, 0);
	FAILS_SOMEHOW(ask(NETMAP_REQ_PORT_HDR_GET, "none%", &hdr));
	txsync(&p);
}

POINT(polling_needs_an_interface)
{
	struct nmreq_vale_polling polling = {
		.nr_mode = NETMAP_POLLING_MODE_SINGLE_CPU,
		.nr_num_polling_cpus = 1,
	};
	struct nm p = up("vale%:a");

	FAILS(EOPNOTSUPP,
	      ask(NETMAP_REQ_VALE_POLLING_ENABLE, "vale%:a", &polling));
	FAILS(EOPNOTSUPP,
	      ask(NETMAP_REQ_VALE_POLLING_DISABLE, "vale%:a", &polling));
	txsync(&p);
}

POINT(two_hundred_and_fifty_ports)
{
	struct nm p = { 0 };
	char name[32];
	int n;

	for (n = 0; n < 260; n++) {
		p = (struct nm){ .reg = { .nr_tx_slots = 64,
					  .nr_rx_slots = 64 } };
		snprintf(name, sizeof(name), "vale%%:p%d", n);
		if (bind_mode(&p, name, NR_REG_ALL_NIC, 0))
			break;
	}
	if (n < 250) /* indexes end at 253 upstream */
		FAIL("%d ports, then %s", n, strerror(errno));
}
