// SPDX-License-Identifier: BSD-2-Clause
// nic.c - an interface by its name: NIC rings, host rings, and on a switch.
/*
 *   nm0 (10.77.0.1) ====== nm1, where a raw socket stands for the wire
 *
 * test_nic.py makes the pair, with 2 queues, and gives 10.77.0.2 a fixed
 * address of the wire, 02:00:00:00:77:02. The interface's own is ..:77:01.
 */
#include "nmt.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>

enum { WIRE = 2, HOST = 1, PORT = 7777 };

/* Raw socket on an interface that sees only our own kind of frames, or IP. */
static int raw_socket(const char *ifname, uint16_t type)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(type),
				  .sll_ifindex = (int)if_nametoindex(ifname) };
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	int fd = WORKS(socket(AF_PACKET, SOCK_RAW, htons(type)));

	CHECK(at.sll_ifindex > 0);
	WORKS(bind(fd, (void *)&at, sizeof(at)));
	WORKS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	return fd;
}

/* The next frame that came in there, not out. */
static size_t wire_receive(int fd, void *at, size_t room)
{
	struct sockaddr_ll from;
	socklen_t size;
	ssize_t n;

	do {
		size = sizeof(from);
		n = WORKS(recvfrom(fd, at, room, 0, (void *)&from, &size));
	} while (from.sll_pkttype == PACKET_OUTGOING);
	return (size_t)n;
}

static int udp_socket(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(0x0a4d0001) };
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	int fd = WORKS(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;

	WORKS(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	WORKS(bind(fd, (void *)&at, sizeof(at)));
	WORKS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)));
	return fd;
}

static void udp_send(int fd, const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(0x0a4d0002) };

	EQ(sendto(fd, text, strlen(text), 0, (void *)&to, sizeof(to)),
	   strlen(text));
}

static uint16_t ip_sum(const uint8_t *ip)
{
	uint32_t s = 0;

	for (int i = 0; i < 20; i += 2)
		s += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

/* A UDP datagram from the wire to the host; its length. */
static size_t udp_frame(void *at, const char *text)
{
	uint8_t *f = at, *ip = f + 14;
	size_t n = strlen(text);
	uint16_t sum;

	memset(f, 0, 64);
	memcpy(f, (uint8_t[]){ 2, 0, 0, 0, 0x77, HOST }, 6);
	memcpy(f + 6, (uint8_t[]){ 2, 0, 0, 0, 0x77, WIRE }, 6);
	f[12] = 8;
	ip[0] = 0x45;
	ip[3] = (uint8_t)(28 + n);
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, (uint8_t[]){ 10, 77, 0, WIRE, 10, 77, 0, HOST }, 8);
	sum = ip_sum(ip);
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
	ip[20] = ip[22] = PORT >> 8;
	ip[21] = ip[23] = PORT & 255;
	ip[25] = (uint8_t)(8 + n); /* no checksum: it is optional */
	memcpy(ip + 28, text, n);
	return 42 + n < 60 ? 60 : 42 + n;
}

static void udp_expect(int fd, const char *text)
{
	char got[100] = { 0 };

	WORKS(recv(fd, got, sizeof(got) - 1, 0));
	CHECK(!strcmp(got, text));
}

/*
 * Host and wire reach each other as if there were no netmap; soon, for glend
 * hears of the end of a port when it looks.
 */
static void all_is_normal(void)
{
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	char out[200] = { 0 }, in[200], got[200] = { 0 };
	size_t len = udp_frame(in, "back");
	bool went = false, came = false;

	for (int ms = 0; !(went && came); ms += 100) {
		if (ms > WAIT_MS)
			FAIL("host to wire %d, wire to host %d", went, came);
		udp_send(udp, "normal");
		EQ(send(raw, in, len, 0), len);
		while (poll1(raw, POLLIN, 50) & POLLIN) {
			WORKS(recv(raw, out, sizeof(out), 0));
			went |= !memcmp(out + 42, "normal", 6);
		}
		while (poll1(udp, POLLIN, 50) & POLLIN) {
			WORKS(recv(udp, got, sizeof(got) - 1, 0));
			came |= !strcmp(got, "back");
		}
	}
	close(udp);
	close(raw);
}

/* The ring, of those from first on, in which something is. */
static struct netmap_ring *await_any(const struct nm *p, unsigned first,
				     unsigned n)
{
	for (;;) {
		for (unsigned i = first; i < first + n; i++) {
			if (nm_ring_space(rxr(p, i)))
				return rxr(p, i);
		}
		if (!(poll1(p->fd, POLLIN, WAIT_MS) & POLLIN))
			FAIL("nothing came");
	}
}

POINT(nic_register)
{
	struct nm p = up("nm0");

	CHECK(!strcmp(p.nifp->ni_name, "nm0"));
	CHECK(p.reg.nr_tx_rings >= 1 && p.reg.nr_rx_rings >= 1);
	EQ(p.reg.nr_mem_id, 1);
	EQ(p.nifp->ni_tx_rings, p.reg.nr_tx_rings);
	CHECK(p.nifp->ni_host_tx_rings >= 1 && p.nifp->ni_host_rx_rings >= 1);
	/* Host rings are not bound. */
	EQ(p.nifp->ring_ofs[p.nifp->ni_tx_rings], 0);
}

POINT(nic_receives)
{
	struct nm p = up("nm0");
	int raw = raw_socket("nm1", 0x88b5);
	char f[1514];

	for (uint32_t i = 0; i < 50; i++) {
		struct netmap_slot *slot;
		struct netmap_ring *rx;
		size_t len = frame(f, 255, WIRE, 60 + i * 29, i);

		EQ(send(raw, f, len, 0), len);
		do {
			rx = await_any(&p, 0, p.reg.nr_rx_rings);
			if (frame_number(peek(rx, &slot)) == i)
				break;
			drop(rx, 1); /* the host's neighbours speak */
		} while (1);
		EQ(slot->len, len);
		CHECK(!memcmp(peek(rx, NULL), f, len));
		drop(rx, 1);
	}
}

POINT(nic_sends)
{
	struct nm p = up("nm0");
	int raw = raw_socket("nm1", 0x88b5);
	char f[1514], got[2000];

	for (uint32_t i = 0; i < 50; i++) {
		size_t len = frame(f, 255, HOST, 60 + i * 29, i);

		put(txr(&p, i % p.reg.nr_tx_rings), f, len, 0);
		txsync(&p);
		EQ(wire_receive(raw, got, sizeof(got)), len);
		CHECK(!memcmp(got, f, len));
	}
}

POINT(nic_is_cut_off_from_the_host)
{
	struct nm p = up("nm0");
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	char f[200];

	udp_send(udp, "to nobody");
	WORKS(send(raw, f, udp_frame(f, "to the ring"), 0));
	await_any(&p, 0, p.reg.nr_rx_rings);
	EQ(poll1(udp, POLLIN, 50), 0);
	EQ(poll1(raw, POLLIN, 50) & POLLIN, 0);
}

POINT(nic_comes_back)
{
	struct nm p;

	all_is_normal();
	for (int i = 0; i < 3; i++) {
		p = up("nm0");
		txsync(&p);
		down(&p);
		all_is_normal();
	}
}

POINT(nic_comes_back_from_the_dead)
{
	pid_t pid = fork();

	if (!pid) {
		up("nm0");
		raise(SIGKILL);
	}
	waitpid(pid, NULL, 0);
	all_is_normal();
}

POINT(host_rings_register)
{
	struct nm p = up_mode("nm0", NR_REG_SW, 0);
	unsigned n = p.nifp->ni_tx_rings;

	EQ(p.nifp->ring_ofs[0], 0);
	CHECK(p.nifp->ring_ofs[n] != 0);
	EQ(txr(&p, n)->ringid, n);
	EQ(rxr(&p, p.nifp->ni_rx_rings)->ringid, p.nifp->ni_rx_rings);
}

POINT(host_rings_receive)
{
	struct nm p = up_mode("nm0", NR_REG_SW, 0);
	int udp = udp_socket();
	struct netmap_ring *rx;

	udp_send(udp, "hello, ring");
	rx = await_any(&p, p.reg.nr_rx_rings, 1);
	CHECK(!memcmp(peek(rx, NULL) + 42, "hello, ring", 11));
}

POINT(host_rings_send)
{
	struct nm p = up_mode("nm0", NR_REG_SW, 0);
	int udp = udp_socket();
	char f[200];

	for (int i = 0; i < 20; i++) {
		put(txr(&p, p.reg.nr_tx_rings), f, udp_frame(f, "hello, host"),
		    0);
		txsync(&p);
		udp_expect(udp, "hello, host");
	}
}

POINT(host_rings_one)
{
	struct nm p = up_mode("nm0", NR_REG_ONE_SW, 0);

	CHECK(p.nifp->ring_ofs[p.nifp->ni_tx_rings] != 0);
	FAILS(EINVAL, bind_mode(&(struct nm){ .reg.nr_ringid = 60 }, "nm0",
				NR_REG_ONE_SW, 0));
}

/* A program between the host and the wire, as bridges are. */
POINT(host_and_nic_bridged)
{
	struct nm p = up_mode("nm0", NR_REG_NIC_SW, 0);
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	unsigned nic_rx = p.reg.nr_rx_rings, nic_tx = p.reg.nr_tx_rings;
	struct netmap_ring *rx;
	struct netmap_slot *slot;
	char f[2000], *data;

	for (int i = 0; i < 10; i++) {
		udp_send(udp, "outward");
		rx = await_any(&p, nic_rx, 1);
		data = peek(rx, &slot);
		put(txr(&p, 0), data, slot->len, 0);
		drop(rx, 1);
		txsync(&p);
		CHECK(wire_receive(raw, f, sizeof(f)) >= 49);
		CHECK(!memcmp(f + 42, "outward", 7));
		WORKS(send(raw, f, udp_frame(f, "inward"), 0));
		rx = await_any(&p, 0, nic_rx);
		data = peek(rx, &slot);
		put(txr(&p, nic_tx), data, slot->len, 0);
		drop(rx, 1);
		txsync(&p);
		udp_expect(udp, "inward");
	}
}

/* The same without touching a packet. */
POINT(transparent_forwarding)
{
	struct nm p = up_mode("nm0", NR_REG_NIC_SW, 0);
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	unsigned nic_rx = p.reg.nr_rx_rings;
	struct netmap_ring *rx;
	struct netmap_slot *slot;
	char f[2000];

	for (unsigned i = 0; i <= nic_rx; i++)
		rxr(&p, i)->flags |= NR_FORWARD;
	for (int i = 0; i < 10; i++) {
		udp_send(udp, "outward");
		rx = await_any(&p, nic_rx, 1);
		peek(rx, &slot);
		slot->flags |= NS_FORWARD;
		drop(rx, 1);
		rxsync(&p);
		txsync(&p);
		CHECK(wire_receive(raw, f, sizeof(f)) >= 49);
		CHECK(!memcmp(f + 42, "outward", 7));
		WORKS(send(raw, f, udp_frame(f, "inward"), 0));
		rx = await_any(&p, 0, nic_rx);
		peek(rx, &slot);
		slot->flags |= NS_FORWARD;
		drop(rx, 1);
		rxsync(&p);
		udp_expect(udp, "inward");
	}
}

/* A frame from the wire, which the program gives back with NS_FORWARD. */
static void forward_inward(const struct nm *p, int raw, const char *text)
{
	struct netmap_ring *rx;
	struct netmap_slot *slot;
	char f[2000], *data;
	bool mine;

	WORKS(send(raw, f, udp_frame(f, text), 0));
	do {
		rx = await_any(p, 0, p->reg.nr_rx_rings);
		data = peek(rx, &slot);
		mine = !memcmp(data + 42, text, strlen(text));
		slot->flags |= NS_FORWARD;
		drop(rx, 1);
		rxsync(p);
	} while (!mine);
}

/* To the host it goes if the program has the NIC's rings only, or one. */
POINT(transparent_forwarding_to_the_host_only)
{
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	struct nm p = up("nm0"), host;
	struct netmap_ring *tx;
	char got[100];
	uint32_t head;

	for (unsigned i = 0; i < p.reg.nr_rx_rings; i++)
		rxr(&p, i)->flags |= NR_FORWARD;
	for (int i = 0; i < 2000; i++) {
		forward_inward(&p, raw, "inward");
		udp_expect(udp, "inward");
	}
	/* A program that has the host's ring fills it by itself. */
	host = up_mode("nm0", NR_REG_SW, 0);
	tx = txr(&host, host.reg.nr_tx_rings);
	head = tx->head;
	forward_inward(&p, raw, "to nobody");
	EQ(tx->head, head);
	EQ(poll1(udp, POLLIN, 50), 0);
	put(tx, got, udp_frame(got, "by hand"), 0);
	txsync(&host);
	udp_expect(udp, "by hand");
	down(&host);
	/* Glend hears of that when it looks. */
	for (int i = 0; !(poll1(udp, POLLIN, 100) & POLLIN); i++) {
		CHECK(i < 100);
		forward_inward(&p, raw, "again");
	}
	udp_expect(udp, "again");
}

/* Without the ring's flag nothing is forwarded. */
POINT(no_transparent_forwarding)
{
	struct nm p = up("nm0");
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);

	forward_inward(&p, raw, "inward");
	EQ(poll1(udp, POLLIN, 50), 0);
}

/* From host rings alone nothing goes to the NIC: netmap wants TX rings. */
POINT(transparent_forwarding_without_tx_rings)
{
	struct nm p = up_mode("nm0", NR_REG_SW, 0);
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	struct netmap_ring *rx = rxr(&p, p.reg.nr_rx_rings);
	struct netmap_slot *slot;

	rx->flags |= NR_FORWARD;
	for (int i = 0; i < 10; i++) {
		udp_send(udp, "outward");
		await_any(&p, p.reg.nr_rx_rings, 1);
		peek(rx, &slot);
		slot->flags |= NS_FORWARD;
		drop(rx, 1);
		rxsync(&p);
	}
	EQ(poll1(raw, POLLIN, 50), 0);
}

static int attach(uint32_t mode)
{
	struct nmreq_vale_attach body = { .reg.nr_mode = mode };

	return ctrl(dev(), NETMAP_REQ_VALE_ATTACH, "vale%:nm0", &body);
}

static int detach(void)
{
	struct nmreq_vale_detach body = { 0 };

	return ctrl(dev(), NETMAP_REQ_VALE_DETACH, "vale%:nm0", &body);
}

static void on_switch(uint32_t mode)
{
	struct nm b = up("vale%:b");
	int raw = raw_socket("nm1", 0x88b5);
	char f[1514], got[2000];
	struct netmap_slot *slot;

	WORKS(attach(mode));
	FAILS(EBUSY, attach(mode));
	FAILS(EBUSY, bind_mode(&(struct nm){ 0 }, "nm0", NR_REG_ALL_NIC, 0));
	for (uint32_t i = 1; i < 20; i++) {
		put(txr(&b, 0), f, frame(f, 255, 9, 500, i), 0);
		txsync(&b);
		EQ(wire_receive(raw, got, sizeof(got)), 500);
		EQ(frame_number(got), i);
		EQ(send(raw, f, frame(f, 9, WIRE, 600, i), 0), 600);
		await_slots(&b, rxr(&b, 0), 1);
		EQ(frame_number(peek(rxr(&b, 0), &slot)), i);
		EQ(slot->len, 600);
		drop(rxr(&b, 0), 1);
	}
}

POINT(nic_on_a_switch)
{
	on_switch(NR_REG_ALL_NIC);
	WORKS(detach());
	all_is_normal();
}

POINT(nic_and_host_on_a_switch)
{
	struct nmreq_vale_list list = { 0 };

	on_switch(NR_REG_NIC_SW);
	WORKS(ctrl(dev(), NETMAP_REQ_VALE_LIST, "vale%:nm0^", &list));
	CHECK(list.nr_port_idx < 254);
	all_is_normal(); /* by way of the switch */
	WORKS(detach());
	all_is_normal();
}

POINT(nic_attach_errors)
{
	struct nm p = up("nm0");

	FAILS(EBUSY, attach(NR_REG_ALL_NIC));
	down(&p);
	FAILS_SOMEHOW(detach());
	WORKS(attach(NR_REG_ALL_NIC));
	WORKS(detach());
	FAILS(EINVAL,
	      bind_mode(&(struct nm){ 0 }, "vale%:nm0", NR_REG_ALL_NIC, 0));
}

POINT(nic_polling)
{
	struct nmreq_vale_polling polling = {
		.nr_mode = NETMAP_POLLING_MODE_SINGLE_CPU,
		.nr_num_polling_cpus = 1,
	};
	int fd = dev();

	WORKS(attach(NR_REG_ALL_NIC));
	WORKS(ctrl(fd, NETMAP_REQ_VALE_POLLING_ENABLE, "vale%:nm0", &polling));
	FAILS(EBUSY, detach());
	WORKS(ctrl(fd, NETMAP_REQ_VALE_POLLING_DISABLE, "vale%:nm0", &polling));
	WORKS(detach());
	all_is_normal();
}

POINT(nic_monitor)
{
	struct nm p = up("nm0"), m;
	int raw = raw_socket("nm1", 0x88b5);
	char f[100];

	m = up_mode("nm0", NR_REG_ALL_NIC, NR_MONITOR_RX);
	EQ(send(raw, f, frame(f, 255, WIRE, 100, 5), 0), 100);
	await_any(&p, 0, p.reg.nr_rx_rings);
	EQ(frame_number(peek(await_any(&m, 0, m.reg.nr_rx_rings), NULL)), 5);
}

POINT(nic_as_parent_of_a_pipe)
{
	struct nm p = up("nm0"), m = up("nm0{1"), s = up("nm0}1");

	EQ(m.reg.nr_mem_id, p.reg.nr_mem_id);
	put_frame(txr(&m, 0), 1, 2, 60, 4);
	txsync(&m);
	rxsync(&s);
	EQ(frame_number(peek(rxr(&s, 0), NULL)), 4);
}

POINT(nic_interfaces_rings_only_once_exclusive)
{
	struct nm p = up_mode("nm0", NR_REG_ALL_NIC, NR_EXCLUSIVE);

	FAILS(EBUSY, bind_mode(&(struct nm){ 0 }, "nm0", NR_REG_ALL_NIC, 0));
	/* The host's rings are others. */
	WORKS(bind_mode(&(struct nm){ 0 }, "nm0", NR_REG_SW, NR_EXCLUSIVE));
	txsync(&p);
}

/* What a program with a CSB over all rings of the interface has. */
struct nic_csb {
	struct nm_csb_atok atok[32] __attribute__((aligned(64)));
	struct nm_csb_ktoa ktoa[32] __attribute__((aligned(64)));
	struct nm p;
	unsigned n_tx, n_rx; /* lines, host rings last */
};

static void csb_up(struct nic_csb *c)
{
	struct nmreq_opt_csb option = {
		.nro_opt = { .nro_reqtype = NETMAP_REQ_OPT_CSB },
		.csb_atok = (uintptr_t)c->atok,
		.csb_ktoa = (uintptr_t)c->ktoa,
	};

	c->p.reg.nr_mode = NR_REG_NIC_SW;
	c->p.reg.nr_flags = NR_EXCLUSIVE;
	WORKS(bind_port(&c->p, "nm0", &option));
	map_port(&c->p);
	c->n_tx = c->p.reg.nr_tx_rings + c->p.reg.nr_host_tx_rings;
	c->n_rx = c->p.reg.nr_rx_rings + c->p.reg.nr_host_rx_rings;
	CHECK(c->n_tx + c->n_rx <= 32);
}

static void *nic_loop(void *arg)
{
	struct nic_csb *c = arg;
	struct nmreq_sync_kloop_start body = { .sleep_us = 20 };

	WORKS(ctrl(c->p.fd, NETMAP_REQ_SYNC_KLOOP_START, "", &body));
	return NULL;
}

/* Sends one frame on a TX line, and waits until the loop has taken it. */
static void csb_send(struct nic_csb *c, unsigned line, const void *data,
		     size_t len)
{
	struct netmap_ring *ring = txr(&c->p, line);
	uint32_t head = c->atok[line].head;
	struct netmap_slot *slot = &ring->slot[head];

	memcpy(NETMAP_BUF(ring, slot->buf_idx), data, len);
	slot->len = (uint16_t)len;
	slot->flags = 0;
	head = nm_ring_next(ring, head);
	__atomic_store_n(&c->atok[line].cur, head, __ATOMIC_RELEASE);
	__atomic_store_n(&c->atok[line].head, head, __ATOMIC_RELEASE);
	for (int ms = 0;
	     __atomic_load_n(&c->ktoa[line].hwcur, __ATOMIC_ACQUIRE) != head;
	     ms++) {
		if (ms > WAIT_MS)
			FAIL("TX line %u is not taken", line);
		usleep(1000);
	}
}

/* Waits for a packet that has text at an offset on RX lines [from, to), and
 * gives back all that comes. */
static void csb_expect(struct nic_csb *c, unsigned from, unsigned to,
		       const char *text, size_t offset)
{
	for (int ms = 0; ms < WAIT_MS; ms++) {
		for (unsigned i = from; i < to; i++) {
			struct netmap_ring *ring = rxr(&c->p, i);
			unsigned line = c->n_tx + i;
			uint32_t head = c->atok[line].head;
			const char *data = NETMAP_BUF(ring,
						      ring->slot[head].buf_idx);
			bool found;

			if (__atomic_load_n(&c->ktoa[line].hwtail,
					    __ATOMIC_ACQUIRE) == head)
				continue;
			found = !memcmp(data + offset, text, strlen(text));
			head = nm_ring_next(ring, head);
			__atomic_store_n(&c->atok[line].cur, head,
					 __ATOMIC_RELEASE);
			__atomic_store_n(&c->atok[line].head, head,
					 __ATOMIC_RELEASE);
			if (found)
				return;
		}
		usleep(1000);
	}
	FAIL("'%s' did not come on RX lines %u to %u", text, from, to - 1);
}

/* A loop syncs rings of the wire and of the host as those of switches. */
POINT(nic_kloop)
{
	static struct nic_csb c;
	int udp = udp_socket(), raw = raw_socket("nm1", ETH_P_IP);
	unsigned nic_tx, nic_rx;
	char f[200], got[2000], text[20];
	pthread_t thread;
	size_t len;

	csb_up(&c);
	nic_tx = c.p.reg.nr_tx_rings;
	nic_rx = c.p.reg.nr_rx_rings;
	EQ(pthread_create(&thread, NULL, nic_loop, &c), 0);
	for (unsigned i = 0; i < 60; i++) {
		snprintf(text, sizeof(text), "number %u;", i);
		len = udp_frame(f, text);
		csb_send(&c, i % nic_tx, f, len);
		do
			wire_receive(raw, got, sizeof(got));
		while (memcmp(got + 42, text, strlen(text)));
		EQ(send(raw, f, len, 0), len);
		csb_expect(&c, 0, nic_rx, text, 42);
		csb_send(&c, nic_tx, f, len);
		udp_expect(udp, text);
		udp_send(udp, text);
		csb_expect(&c, nic_rx, c.n_rx, text, 42);
	}
	WORKS(ctrl(c.p.fd, NETMAP_REQ_SYNC_KLOOP_STOP, "", NULL));
	pthread_join(thread, NULL);
}

/* One host ring of a kind, or as many as the first open asks for. */
POINT(host_rings_as_many_as_wanted)
{
	struct nmreq_port_info_get info = { 0 };
	struct nm p = { .reg = { .nr_host_tx_rings = 2,
				 .nr_host_rx_rings = 3 } },
		  q = { .reg.nr_host_tx_rings = 5 };

	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "nm0", &info));
	EQ(info.nr_host_tx_rings, 1);
	EQ(info.nr_host_rx_rings, 1);
	EQ(info.nr_tx_rings, 2);
	EQ(info.nr_rx_rings, 2);
	WORKS(bind_mode(&p, "nm0", NR_REG_NIC_SW, 0));
	EQ(p.reg.nr_host_tx_rings, 2);
	EQ(p.reg.nr_host_rx_rings, 3);
	map_port(&p);
	EQ(p.nifp->ni_host_tx_rings, 2);
	EQ(p.nifp->ni_host_rx_rings, 3);
	for (int i = 0; i < 2 + 2 + 2 + 3; i++)
		CHECK(p.nifp->ring_ofs[i] != 0);
	EQ(rxr(&p, 4)->ringid, 4);
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "nm0", &info));
	EQ(info.nr_host_tx_rings, 2);
	EQ(info.nr_host_rx_rings, 3);
	/* It is there, and keeps its numbers. */
	WORKS(bind_mode(&q, "nm0", NR_REG_SW, 0));
	EQ(q.reg.nr_host_tx_rings, 2);
	EQ(q.reg.nr_host_rx_rings, 3);
	down(&p);
	close(q.fd);
	info = (struct nmreq_port_info_get){ 0 };
	WORKS(ctrl(dev(), NETMAP_REQ_PORT_INFO_GET, "nm0", &info));
	EQ(info.nr_host_tx_rings, 1);
	EQ(info.nr_host_rx_rings, 1);
}

static int poll_rings(int type, uint32_t mode, uint32_t first, uint32_t n)
{
	struct nmreq_vale_polling polling = {
		.nr_mode = mode,
		.nr_first_cpu_id = first,
		.nr_num_polling_cpus = n,
	};

	return ctrl(dev(), type, "vale%:nm0", &polling);
}

/* Two RX rings. */
POINT(nic_polling_errors)
{
	enum {
		ON = NETMAP_REQ_VALE_POLLING_ENABLE,
		OFF = NETMAP_REQ_VALE_POLLING_DISABLE,
		SINGLE = NETMAP_POLLING_MODE_SINGLE_CPU,
		MULTI = NETMAP_POLLING_MODE_MULTI_CPU
	};

	FAILS(ENXIO, poll_rings(ON, SINGLE, 0, 1));
	WORKS(attach(NR_REG_ALL_NIC));
	FAILS(EFAULT, poll_rings(OFF, SINGLE, 0, 1));
	FAILS(EINVAL, poll_rings(ON, 0, 0, 1));
	FAILS(EINVAL, poll_rings(ON, 3, 0, 1));
	FAILS(EINVAL, poll_rings(ON, SINGLE, 0, 0));
	FAILS(EINVAL, poll_rings(ON, SINGLE, 0, 2));
	FAILS(EINVAL, poll_rings(ON, MULTI, 0, 0));
	FAILS(EINVAL, poll_rings(ON, MULTI, 2, 1));
	FAILS(EINVAL, poll_rings(ON, MULTI, UINT32_MAX, 2));
	for (int i = 0; i < 2; i++) {
		WORKS(poll_rings(ON, i ? MULTI : SINGLE, i, 1));
		FAILS(EFAULT, poll_rings(ON, SINGLE, 0, 1));
		FAILS(EBUSY, detach());
		WORKS(poll_rings(OFF, SINGLE, 0, 1));
		FAILS(EFAULT, poll_rings(OFF, SINGLE, 0, 1));
	}
	WORKS(detach());
}
